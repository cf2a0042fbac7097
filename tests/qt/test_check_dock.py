"""The dock that checks picks: clicks and keys, without changing the user's layers."""

import gc
import weakref

import numpy as np
import pytest
from napari.layers import Points
from qtpy.QtCore import Qt

from check.scene import DIAMETER_ANGSTROM, SPACING_ANGSTROM, make_scene
from napari_cryoet import check_picks, load_picks, load_tomogram
from napari_cryoet._qt.check import dock as check_dock
from napari_cryoet._qt.check.dock import CheckDock
from napari_cryoet._qt.files.questions import ContextDialog
from napari_cryoet._qt.picks.layer_picks import picks_of
from napari_cryoet.appearance import diameters
from napari_cryoet.appearance.diameters import set_diameter
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.picks import Picks
from napari_cryoet.viewer import add_layers

IN_ANGSTROM = {"scale": (SPACING_ANGSTROM,) * 3, "units": ("angstrom",) * 3, "size": 8}


@pytest.fixture(scope="module")
def scene():
    return make_scene()


@pytest.fixture(scope="module")
def tomogram_path(scene, tmp_path_factory):
    path = tmp_path_factory.mktemp("check") / "TS.zarr"
    write_pyramid(path, scene.grey, SPACING_ANGSTROM)
    return path


@pytest.fixture
def viewer(viewer_model, tomogram_path):
    add_layers(viewer_model, [load_tomogram(tomogram_path)])
    return viewer_model


@pytest.fixture
def dock(viewer, qtbot):
    dock = CheckDock(viewer)
    qtbot.addWidget(dock)
    dock.show()
    yield dock
    dock.close_down()


def flipped(points, shape):
    return np.where((False, True, False), np.array(shape) - 1 - points, points)


def check(dock, qtbot):
    dock.diameter_nm.setValue(DIAMETER_ANGSTROM / 10)
    with qtbot.waitSignal(dock.tasks.finished):
        qtbot.mouseClick(dock.bar.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dock.bar.button.text() == "Check")


def test_a_correction_is_suggested_and_added_as_a_new_layer(viewer, dock, scene, qtbot):
    wrong = flipped(scene.truth_zyx, scene.grey.shape)
    mine = viewer.add_points(wrong, name="mine", **IN_ANGSTROM)
    check(dock, qtbot)
    assert any("if y is flipped" in text for text in dock.results.texts)

    qtbot.mouseClick(dock.results.buttons["copy"], Qt.MouseButton.LeftButton)
    copy = viewer.layers["y is flipped · mine"]
    assert isinstance(copy, Points)
    np.testing.assert_allclose(copy.data, scene.truth_zyx, atol=1e-9)
    np.testing.assert_array_equal(mine.data, wrong)
    assert picks_of(copy).edits == ("reread so that y is flipped",)
    assert picks_of(copy).spacing_angstrom == SPACING_ANGSTROM

    dock.choose(copy, viewer.layers[0])
    check(dock, qtbot)
    assert "copy" not in dock.results.buttons


def test_buttons_select_duplicates_and_picks_outside_the_volume(viewer, dock, scene, qtbot):
    points = np.vstack([scene.truth_zyx, scene.truth_zyx[:2] + 0.5, [[-20.0, 0, 0]]])
    mine = viewer.add_points(points, name="mine", **IN_ANGSTROM)
    check(dock, qtbot)

    qtbot.mouseClick(dock.results.buttons["duplicates"], Qt.MouseButton.LeftButton)
    assert set(mine.selected_data) == {40, 41}
    assert viewer.layers.selection.active is mine
    qtbot.mouseClick(dock.results.buttons["outside"], Qt.MouseButton.LeftButton)
    assert set(mine.selected_data) == {42}
    np.testing.assert_array_equal(mine.data, points)

    mine.data = points[1:]
    qtbot.mouseClick(dock.results.buttons["duplicates"], Qt.MouseButton.LeftButton)
    assert dock.results.texts == [], "results are cleared when the picks change"


def test_a_removed_tomogram_is_let_go(viewer, dock, scene, qtbot):
    viewer.add_points(scene.truth_zyx, name="mine", **IN_ANGSTROM)
    check(dock, qtbot)
    tomogram = weakref.ref(viewer.layers[0])
    viewer.layers.remove(viewer.layers[0])
    qtbot.waitUntil(lambda: dock.image.layer is None)
    gc.collect()
    assert tomogram() is None


def test_a_check_shows_progress_and_can_be_stopped(viewer, dock, scene, qtbot, monkeypatch):
    def endless(*_arguments, task, **_options):
        task.step(0.4, "reading the density")
        task.wait(30)

    monkeypatch.setattr(check_dock, "check_picks", endless)
    viewer.add_points(scene.truth_zyx, name="mine", **IN_ANGSTROM)
    with qtbot.waitSignal(dock.tasks.said):
        dock.start()
    assert dock.bar.button.text() == "Stop"
    assert dock.bar.bar.value() == 400
    qtbot.mouseClick(dock.bar.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dock.bar.message.text() == "Stopped.")
    assert dock.bar.button.text() == "Check"


def test_results_match_a_script_and_files_are_read_in_the_background(
    viewer, dock, scene, qtbot, tomogram_path, off_gui_thread
):
    set_diameter("snoopy", 83.4)
    picks = Picks(scene.truth_zyx * (SPACING_ANGSTROM / 7.3), 7.3, about={"object_name": "snoopy"})
    add_layers(viewer, load_picks(picks, name="mine"))
    by_script = check_picks(picks, tomogram_path)
    off_gui_thread(diameters, "_own")
    with qtbot.waitSignal(dock.tasks.finished):
        qtbot.mouseClick(dock.bar.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dock.findings is not None)

    assert by_script.diameter_angstrom == 83.4
    assert dock.findings.to_dict() == by_script.to_dict()


def test_a_tomogram_in_pixels_is_checked_with_an_entered_spacing(
    viewer_model, scene, qtbot, monkeypatch
):
    image = viewer_model.add_image(scene.grey, name="as napari opens a TIFF")
    viewer_model.add_points(scene.truth_zyx, name="mine", **IN_ANGSTROM)
    dock = CheckDock(viewer_model)
    qtbot.addWidget(dock)
    dock.show()

    monkeypatch.setattr(
        ContextDialog, "exec", lambda dialog: dialog.spacing.setValue(SPACING_ANGSTROM) or True
    )
    check(dock, qtbot)

    assert dock.findings.frame.mean_spacing == SPACING_ANGSTROM
    assert (image.scale == SPACING_ANGSTROM).all()
    dock.close_down()
