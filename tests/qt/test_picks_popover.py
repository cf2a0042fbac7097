"""The popover to set how picks are drawn, used by keys in a real window."""

from __future__ import annotations

import runpy

import napari
import numpy as np
import pytest
from qtpy.QtCore import Qt

import napari_cryoet
from napari_cryoet._qt.picks.orientations import orientation_of
from napari_cryoet._qt.picks.popover import PicksPopover, show_picks_popover
from napari_cryoet._qt.picks.slabs import slab_nm_of
from napari_cryoet._qt.viewer.adding import add_layers
from napari_cryoet.appearance.diameters import diameter_angstrom
from napari_cryoet.layers.load import load_picks
from napari_cryoet.layers.specs import METADATA_KEY
from napari_cryoet.picks import Picks
from napari_cryoet.picks.orientations import Orientation

POSITIONS = [[20.0, 5.0, 5.0], [24.0, 8.0, 8.0], [30.0, 9.0, 9.0]]


def add_picks(viewer, name="ribosomes"):
    about = {"object_id": "GO:0022626", "object_name": "cytosolic ribosome"}
    picks = Picks(POSITIONS, 10.0, rotations_zyx=np.tile(np.eye(3), (3, 1, 1)), about=about)
    return add_layers(viewer, load_picks(picks, name=name))[-1]


@pytest.fixture
def viewer(viewer_in_window):
    viewer_in_window.add_image(
        np.zeros((40, 20, 20), "f4"), scale=(10.0,) * 3, units=("angstrom",) * 3
    )
    return viewer_in_window


@pytest.fixture
def open_popover(qtbot, viewer):
    opened = []

    def open_popover(layer):
        popover = show_picks_popover(viewer, layer)
        assert isinstance(popover, PicksPopover)
        opened.append(popover)
        return popover

    yield open_popover
    for popover in opened:
        popover.close()


def enter(qtbot, box, text):
    """Type a number into a field."""
    box.setFocus()
    box.selectAll()
    qtbot.keyClicks(box, text)
    qtbot.keyClick(box, Qt.Key.Key_Tab)


def test_an_objects_name_is_plain_text_in_the_tooltip(viewer, open_popover):
    layer = add_picks(viewer)
    layer.metadata[METADATA_KEY] = {"object_name": "<img src='file:///x'>"}

    assert "&lt;img" in open_popover(layer).diameter.toolTip()


def test_naparis_menu_opens_the_popover_and_escape_closes_it(qtbot, viewer):
    viewer.layers.selection.active = add_picks(viewer)
    napari._app_model.get_app_model().commands.execute_command(
        "napari-cryoet.picks_on_screen"
    ).result()
    window = viewer.window._qt_window
    popover = window.findChild(PicksPopover)
    qtbot.waitUntil(popover.isVisible)

    qtbot.keyClick(popover, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: window.findChild(PicksPopover) is None)


def test_a_diameter_applies_to_all_picks_of_the_object_and_is_saved(qtbot, viewer, open_popover):
    one, other = add_picks(viewer), add_picks(viewer, "more ribosomes")
    popover = open_popover(one)
    assert popover.diameter.value() == 30
    enter(qtbot, popover.diameter, "26")

    assert one.size.tolist() == other.size.tolist() == [26] * 3
    assert diameter_angstrom("GO:0022626") == 260
    qtbot.waitUntil(lambda: orientation_of(one).length_angstrom == 260)


def test_chosen_orientations_are_drawn(qtbot, viewer, open_popover):
    points = add_picks(viewer)
    popover = open_popover(points)
    popover.orientation.setFocus()
    qtbot.keyClick(popover.orientation, Qt.Key.Key_Down)
    enter(qtbot, popover.length, "12")

    display = orientation_of(points)
    assert (display.orientation, display.length_angstrom) == (Orientation.TRIADS, 120)
    assert len(display.layer.data) == 9
    qtbot.keyClick(popover.orientation, Qt.Key.Key_End)
    assert len(display.layer.data) == 0
    assert not popover.length.isEnabled()


def test_the_example_works_as_described(viewer, demo_pack, project_folder, monkeypatch, capsys):
    viewer.layers.clear()
    open_portal = napari_cryoet.open_portal
    monkeypatch.setattr("napari_cryoet.open_portal", lambda _source: open_portal(str(demo_pack)))
    monkeypatch.setattr(napari, "Viewer", lambda: viewer)
    monkeypatch.setattr(napari, "run", lambda: None)
    names = runpy.run_path(str(project_folder / "examples" / "picks_on_screen.py"))
    display = orientation_of(names["picks_layer"])

    assert slab_nm_of(names["picks_layer"]) == 30
    assert (display.orientation, display.length_angstrom) == (Orientation.TRIADS, 300)
    assert names["live"].picks.edits == ("kept the upper half", "added 1 pick")
    assert len(display.layer.data) == 3 * (len(names["live"].picks) - 1)
    assert "kept the upper half" in capsys.readouterr().out
