"""Scripts in `examples/` that need a window do what they say, with the demo."""

from __future__ import annotations

import runpy

import napari
import pytest

import napari_cryoet


@pytest.fixture
def run(project_folder, demo_pack, tmp_path, monkeypatch, make_napari_viewer, capsys):
    """Run an example in an empty folder, with the small demo; gives its viewer, its names and what it printed."""
    viewer = make_napari_viewer()
    open_portal = napari_cryoet.open_portal
    monkeypatch.setattr("napari_cryoet.open_portal", lambda _source: open_portal(str(demo_pack)))
    monkeypatch.setattr(napari, "Viewer", lambda **_options: viewer)
    monkeypatch.setattr(napari, "run", lambda: None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["example.py"])

    def run_example(name):
        return viewer, runpy.run_path(str(project_folder / "examples" / name)), capsys.readouterr().out

    return run_example


def test_open_run_shows_the_tomogram_and_what_the_curators_show(run):
    viewer, names, _told = run("open_run.py")

    assert sorted(layer.name for layer in viewer.layers) == sorted(spec.options["name"] for spec in names["specs"])
    assert len(viewer.layers) > 3


def test_save_layers_writes_by_the_plugin_and_opens_again(run):
    viewer, names, told = run("save_layers.py")

    assert told.count("opens as") == 3
    assert "ribosomes.picks.csv.provenance.json" in told
    assert "vesicles (Labels)" in told
    again = next(layer for layer in viewer.layers if layer.name == "ribosomes")
    assert len(again.data) == len(names["picks_layer"].data)
