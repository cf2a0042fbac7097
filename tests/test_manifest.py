import importlib
import importlib.resources
from pathlib import Path

import pytest
from npe2 import PluginManager, PluginManifest

import napari_cryoet


@pytest.fixture(scope="module")
def manifest():
    return PluginManifest.from_file(Path(str(importlib.resources.files("napari_cryoet") / "napari.yaml")))


@pytest.fixture
def plugins(manifest):
    """A plugin manager that knows only this plugin."""
    manager = PluginManager()
    manager.register(manifest)
    return manager


def test_the_manifest_is_valid_and_all_its_commands_can_be_imported(manifest):
    manifest.validate_imports()

    for command in manifest.contributions.commands:
        module, _, name = command.python_name.partition(":")
        assert callable(getattr(importlib.import_module(module), name))


def test_the_installed_package_points_to_it():
    found = PluginManifest.from_distribution("napari-cryoet")

    assert found.name == "napari-cryoet"
    assert found.display_name == "CryoET Data Portal"


def test_the_portals_dock_comes_first_and_what_one_does_with_picks_follows(manifest):
    assert [widget.display_name for widget in manifest.contributions.widgets] == [
        "CryoET Data Portal",
        "Orthogonal views",
        "Picks on screen",
        "Review picks",
        "Compare annotations",
        "Check picks",
        "Export picks",
    ]
    assert manifest.contributions.commands[0].python_name == "napari_cryoet._qt.browser:PortalBrowser"


def test_every_dock_stands_in_a_menu_of_napari(manifest):
    listed = {item.command for items in manifest.contributions.menus.values() for item in items}

    assert {widget.command for widget in manifest.contributions.widgets} <= listed


@pytest.mark.parametrize(
    "path",
    [
        "picks.ndjson",
        "TS_026.mrc",
        "TS.MAP",
        "TS.rec",
        "TS.mrc.gz",
        "https://host/emd_1.map.gz",
        "TS.rec.bz2",
        "https://host/10000/TS.zarr",
        "https://host/TS.mrc",
        "a/pack.json",
        "run_data.star",
        "final.tbl",
        "ada_17_ribosome.json",
        "ribosomes.picks.csv",
        "ribosomes.parquet",
    ],
)
def test_files_and_addresses_that_may_be_ours_reach_our_reader(plugins, path):
    assert [reader.command for reader in plugins.iter_compatible_readers([path])] == ["napari-cryoet.get_reader"]


def test_folders_reach_our_reader(plugins, tmp_path):
    assert [reader.command for reader in plugins.iter_compatible_readers([str(tmp_path)])] == [
        "napari-cryoet.get_reader"
    ]


@pytest.mark.parametrize("path", ["a.tif", "a.csv", "https://host/a.png"])
def test_other_files_do_not(plugins, path):
    assert list(plugins.iter_compatible_readers([path])) == []


@pytest.mark.parametrize("suffix", [".ndjson", ".star", ".tbl", ".json", ".csv", ".parquet"])
def test_points_are_saved_in_every_format_of_picks(plugins, suffix):
    writer, path = plugins.get_writer(f"picks{suffix}", ["points"], "napari-cryoet")

    assert (writer.command, path) == ("napari-cryoet.write_points", f"picks{suffix}")


@pytest.mark.parametrize("suffix", [".ndjson", ".star", ".tbl", ".json", ".csv", ".parquet"])
def test_points_that_are_selected_with_arrows_are_saved_too(plugins, suffix):
    writer, _ = plugins.get_writer(f"picks{suffix}", ["vectors", "points"], "napari-cryoet")

    assert writer.command == "napari-cryoet.write_points_with_arrows"
    assert plugins.get_writer(f"picks{suffix}", ["points", "points"], "napari-cryoet")[0] is None


@pytest.mark.parametrize(
    "layers",
    [
        ["points", "points"],
        ["points", "vectors", "points"],
        ["points", "labels"],
        ["labels"] * 2 + ["points"],
        ["image", "labels"],
        ["image"] * 2 + ["labels"] * 2,
    ],
)
def test_several_layers_of_picks_and_masks_go_into_a_folder(plugins, layers):
    writer, path = plugins.get_writer("all", layers, "napari-cryoet")

    assert (writer.command, path) == ("napari-cryoet.write_folder", "all")
    assert plugins.get_writer("all", [*layers, "image", "surface"], "napari-cryoet")[0].command == writer.command
    assert plugins.get_writer("all", [*layers, "shapes"], "napari-cryoet")[0] is None


@pytest.mark.parametrize("suffix", [".zarr", ".mrc"])
def test_labels_are_saved_as_masks(plugins, suffix):
    assert plugins.get_writer(f"mask{suffix}", ["labels"], "napari-cryoet")[0].command == "napari-cryoet.write_labels"


def test_menus_name_commands_of_ours(manifest):
    commands = {command.id for command in manifest.contributions.commands}

    for items in manifest.contributions.menus.values():
        assert {item.command for item in items} <= commands


def test_there_is_a_sample(manifest):
    (sample,) = manifest.contributions.sample_data

    assert (sample.key, sample.display_name) == ("demo_run", "Demo run (simulated)")


@pytest.mark.parametrize("name", napari_cryoet.__all__)
def test_every_public_name_is_there(name):
    assert getattr(napari_cryoet, name) is not None
    assert name in dir(napari_cryoet)


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        napari_cryoet.nonsense  # noqa: B018
