"""A biologist's own files: a tomogram, a TIFF and two tables of picks, dropped together."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile
from napari._qt.dialogs.qt_notification import NapariQtNotification
from napari.layers import Image, Points
from qtpy.QtCore import QMimeData, QPointF, Qt, QTimer, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QApplication, QDialog

from napari_cryoet.formats.registry import write_picks
from napari_cryoet.picks import Picks

SPACING = 13.48
SHAPE_ZYX = (20, 30, 41)
#: In voxels.
POINTS_ZYX = np.array([[1.0, 2.0, 3.0], [10.25, 20.5, 30.75]])


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A tomogram as MRC and TIFF, and its picks as tables that don't say how large it is."""
    folder = tmp_path / "mine"
    folder.mkdir()
    voxels = np.random.default_rng(0).normal(size=SHAPE_ZYX).astype(np.float32)
    with mrcfile.new(folder / "TS_01.mrc") as mrc:
        mrc.set_data(voxels)
        mrc.voxel_size = SPACING
    tifffile.imwrite(
        folder / "TS_01_denoised.tif",
        voxels,
        imagej=True,
        resolution=(10 / SPACING, 10 / SPACING),
        metadata={"axes": "ZYX", "spacing": SPACING / 10, "unit": "nm"},
    )
    known = Picks(POINTS_ZYX, SPACING, shape_zyx=SHAPE_ZYX, about={"tomogram_name": "TS_01"})
    write_picks(known, folder / "relion.star", format="relion5")
    write_picks(Picks(POINTS_ZYX), folder / "dynamo.tbl")
    for notes in folder.glob("*.provenance.json"):  # the tables come from other programs
        notes.unlink()
    return {path.name: path for path in folder.iterdir()}


def drop(qtbot, viewer, paths: list[Path], n_layers: int = 0) -> list[str]:
    """Drop files on the canvas; returns the titles of dialogs, which Enter answers."""
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    event = QDropEvent(
        QPointF(5, 5),
        Qt.DropAction.CopyAction,
        mime,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    asked: list[str] = []

    def press_enter() -> None:
        dialog = QApplication.activeModalWidget()
        if isinstance(dialog, QDialog):
            asked.append(dialog.windowTitle())
            qtbot.keyClick(dialog, Qt.Key.Key_Return)

    timer = QTimer(interval=20)
    timer.timeout.connect(press_enter)
    timer.start()
    target = viewer.window._qt_viewer  # napari has no public name for what takes drops
    QTimer.singleShot(0, lambda: target.dropEvent(event))
    qtbot.waitUntil(lambda: len(viewer.layers) == (n_layers or len(paths)))
    return asked


@pytest.fixture
def viewer(qtbot, make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    window = viewer.window._qt_window  # napari has no public name for its window
    with qtbot.waitActive(window):
        window.activateWindow()
    return viewer


def world_of(layer: Points) -> np.ndarray:
    return np.array([layer.data_to_world(point) for point in layer.data])


@pytest.mark.parametrize(
    "order",
    [
        ["relion.star", "dynamo.tbl", "TS_01.mrc", "TS_01_denoised.tif"],
        ["TS_01_denoised.tif", "TS_01.mrc", "dynamo.tbl", "relion.star"],
    ],
    ids=["picks first", "volumes first"],
)
def test_files_dropped_together_raise_no_question(qtbot, viewer, files, order):
    assert drop(qtbot, viewer, [files[name] for name in order]) == []

    images = [layer for layer in viewer.layers if isinstance(layer, Image)]
    points = [layer for layer in viewer.layers if isinstance(layer, Points)]
    assert [len(images), len(points)] == [2, 2]
    for image in images:
        assert image.scale == pytest.approx([SPACING] * 3)
        assert {str(unit) for unit in image.units} == {"angstrom"}
    for layer in points:
        np.testing.assert_allclose(world_of(layer), POINTS_ZYX * SPACING, rtol=1e-6)
    assert viewer.dims.nsteps == SHAPE_ZYX


def test_a_damaged_file_is_explained_in_full_and_the_others_open(qtbot, viewer, files):
    damaged = files["TS_01.mrc"]
    damaged.write_bytes(damaged.read_bytes()[:-1000])
    assert drop(qtbot, viewer, [damaged, files["TS_01_denoised.tif"]], n_layers=1) == []

    window = viewer.window._qt_window  # napari has no public name for its window
    (message,) = (each.message for each in window.findChildren(NapariQtNotification))
    assert "TS_01.mrc is cut short" in message.text()
    qtbot.waitUntil(lambda: message.height() >= message.heightForWidth(message.width()))


def test_picks_of_another_tomogram_are_asked_about_once(qtbot, viewer, files, tmp_path):
    other = files["relion.star"].rename(tmp_path / "relion.star")
    other.write_text(other.read_text().replace("TS_01", "TS_02"))
    assert drop(qtbot, viewer, [other, files["TS_01.mrc"]]) == ["Missing information"]
    (points,) = (layer for layer in viewer.layers if isinstance(layer, Points))
    np.testing.assert_allclose(world_of(points), POINTS_ZYX * SPACING)
