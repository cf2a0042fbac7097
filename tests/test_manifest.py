"""The plugin's manifest: docks, and the files and layers of readers and writers."""

import importlib
import importlib.resources
from pathlib import Path

import pytest
from napari._app_model.constants import MenuId  # napari names its menus nowhere else
from npe2 import PluginManager, PluginManifest

PICKS = (".ndjson", ".star", ".tbl", ".json", ".csv", ".parquet")


@pytest.fixture(scope="module")
def manifest():
    return PluginManifest.from_file(
        Path(str(importlib.resources.files("napari_cryoet") / "napari.yaml"))
    )


@pytest.fixture
def plugins(manifest):
    """A plugin manager that knows only this plugin."""
    manager = PluginManager()
    manager.register(manifest)
    return manager


@pytest.fixture
def writer_of(plugins):
    """The command that saves layers of these types to a file name; None if there is none."""

    def find(name, kinds):
        writer, _path = plugins.get_writer(name, kinds, "napari-cryoet")
        return writer and writer.command.partition(".")[2]

    return find


def test_the_manifest_is_valid_and_its_commands_exist(manifest):
    manifest.validate_imports()

    for command in manifest.contributions.commands:
        module, _, name = command.python_name.partition(":")
        assert callable(getattr(importlib.import_module(module), name))
    assert PluginManifest.from_distribution("napari-cryoet").display_name == "CryoET Explorer"
    module, _, name = manifest.icon.partition(":")
    assert (importlib.resources.files(module) / name).is_file()
    assert [sample.key for sample in manifest.contributions.sample_data] == ["demo_run"]


def test_the_portal_dock_is_first_and_all_docks_are_in_menus(manifest):
    docks = manifest.contributions.widgets
    listed = {item.command for items in manifest.contributions.menus.values() for item in items}

    assert docks[0].display_name == "CryoET Explorer"
    shown = {menu.value for menu in MenuId.contributables()}
    assert set(manifest.contributions.menus) <= shown
    assert (
        {dock.command for dock in docks}
        <= listed
        <= {each.id for each in manifest.contributions.commands}
    )


def test_supported_files_and_addresses_reach_the_reader(plugins, tmp_path):
    volumes = [
        "TS.mrc",
        "TS.MAP",
        "TS.rec",
        "TS.mrc.gz",
        "https://host/emd_1.map.gz",
        "https://host/10000/TS.zarr",
    ]
    picks = [
        "a.ndjson",
        "run_data.star",
        "final.tbl",
        "ada_17_ribosome.json",
        "a.picks.csv",
        "a.parquet",
        "TS.mod",
    ]
    for path in [*volumes, *picks, "a/pack.json", "a.zip", str(tmp_path)]:
        commands = [reader.command for reader in plugins.iter_compatible_readers([path])]
        assert commands == ["napari-cryoet.get_reader"], path
    for path in ("a.tif", "a.csv", "https://host/a.png"):
        assert list(plugins.iter_compatible_readers([path])) == [], path


def test_points_and_labels_have_writers_for_every_format(writer_of):
    for suffix in PICKS:
        assert writer_of(f"picks{suffix}", ["points"]) == "write_points"
        assert writer_of(f"picks{suffix}", ["vectors", "points"]) == "write_points_with_arrows"
        assert writer_of(f"picks{suffix}", ["points", "points"]) is None
    for suffix in (".zarr", ".mrc"):
        assert writer_of(f"mask{suffix}", ["labels"]) == "write_labels"


def test_several_layers_are_saved_to_a_folder(writer_of):
    for kinds in (
        ["points"] * 2,
        ["points", "vectors", "points"],
        ["labels", "points"],
        ["image", "labels"],
    ):
        assert writer_of("all", kinds) == "write_folder"
        assert writer_of("all", [*kinds, "image", "surface"]) == "write_folder"
        assert writer_of("all", [*kinds, "shapes"]) is None
