"""A biologist's picks: found by object, judged, mended by hand, offered again, exported for RELION 5."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import starfile
import zarr
from napari.layers import Points
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLineEdit
from scipy.spatial.transform import Rotation

from keyboard import CONTROL, NONE, SHIFT, Keys, click, has_keys, press
from napari_cryoet._qt.browser.run_page import SHOW
from napari_cryoet._qt.layers.ownership import LayerKey
from napari_cryoet._qt.tasks import disk
from napari_cryoet.pages.breadcrumbs import LISTS, RUNS

OBJECT = "proteasome complex"
LEFT = Qt.MouseButton.LeftButton


class Session:
    """A window with the portal's dock, for one run of the program."""

    def __init__(self, qtbot, viewer) -> None:
        self.viewer = viewer
        self.keys = Keys(qtbot, viewer)
        viewer.window.resize(1280, 800)
        self._window = viewer.window._qt_window  # napari has no public names for these two
        self._canvas = viewer.window._qt_viewer.canvas.native
        with qtbot.waitActive(self._window):
            self._window.activateWindow()
        _, browser = viewer.window.add_plugin_dock_widget("napari-cryoet", "CryoET Explorer")
        self.screens = browser.screens
        self.run = browser.screens.run
        self.manager = browser.manager

    def find_run(self) -> None:
        """Open the demo, and the run with annotations of the object."""
        screens = self.screens
        self.keys.until(lambda: has_keys(screens.start))
        press(Qt.Key.Key_Return)
        self.keys.until(lambda: has_keys(screens.datasets.view))
        click(screens.filter_bar.filters)
        self.keys.until(lambda: len(screens.facets.model.rows) > 0)
        click(screens.facets.objects)
        self.keys.type("proteasome")
        press(Qt.Key.Key_Return)
        self.keys.until(lambda: screens.datasets.count.text() == "1 of 2 datasets")
        click(screens.switch, screens.switch.tabRect(LISTS.index(RUNS)).center())
        self.keys.until(lambda: screens.runs.count.text() == "2 of 7 runs")
        rows = screens.runs.model.indexes()
        row = next(each for each in rows if OBJECT in screens.runs.model.record_at(each).objects)
        click(screens.runs.view.viewport(), screens.runs.view.visualRect(row).center())
        press(Qt.Key.Key_Return)
        self.keys.until(lambda: self.run.page is not None)

    @property
    def row(self):
        """The row of the annotation of the object."""
        model = self.run.annotations
        rows = [index for index in model.indexes() if index.parent().isValid()]
        return next(row for row in rows if model.record_at(row).annotation.object_name == OBJECT)

    @property
    def title(self) -> str:
        return self.run.annotations.row_at(self.row).title[0]

    def tick(self) -> None:
        """Click *Show* of the annotation."""
        cell = self.row.siblingAtColumn(SHOW + 1)
        click(self.run.tree.viewport(), self.run.tree.visualRect(cell).center())

    def picks(self) -> Points:
        """The layer of the annotation, selected."""
        file = self.run.annotations.record_at(self.row).shown_file
        key = LayerKey("annotation", file.id)
        self.keys.until(lambda: key in self.manager.shown() and not self.manager.coming())
        layer = self.manager.layers_of(key)[0]
        self.viewer.layers.selection = {layer}
        return layer

    def click_pick(self, layer: Points, mode: str, point, to=None) -> None:
        """Click a position (z, y, x in voxels) in a mode of the layer, or drag from it to another."""
        self.viewer.dims.set_point(0, layer.data_to_world(point)[0])
        layer.mode = mode
        at = self._pixel(layer, point)
        QTest.mousePress(self._canvas, LEFT, pos=at)
        if to is not None:
            at = self._pixel(layer, to)
            places = (QPointF(at), QPointF(self._canvas.mapToGlobal(at)))
            kind = QEvent.Type.MouseMove
            drag = QMouseEvent(kind, *places, Qt.MouseButton.NoButton, LEFT, NONE)
            QApplication.sendEvent(self._canvas, drag)
        QTest.mouseRelease(self._canvas, LEFT, pos=at)

    def delete_pick(self, layer: Points, point) -> None:
        n_picks = len(layer.data)
        self.click_pick(layer, "select", point)
        QTest.keyClick(self._canvas, Qt.Key.Key_Delete)
        assert len(layer.data) == n_picks - 1

    def undo(self) -> None:
        """Undo the last edit with a command of napari's palette."""
        press(Qt.Key.Key_P, CONTROL | SHIFT)
        self.keys.until(lambda: isinstance(QApplication.focusWidget(), QLineEdit))
        self.keys.type("Undo the last edit of picks")
        press(Qt.Key.Key_Return)

    def _pixel(self, layer: Points, point) -> QPoint:
        _, y, x = layer.data_to_world(point)
        camera = self.viewer.scene.camera
        from_centre = np.array([x - camera.center[2], y - camera.center[1]]) * camera.zoom
        return self._canvas.rect().center() + QPoint(*from_centre.round().astype(int).tolist())

    def close(self) -> None:
        self.viewer.close()
        disk.submit(lambda: None).result()  # everything is written


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_mended_picks_reach_relion(qtbot, make_napari_viewer, demo_at_home, tmp_path) -> None:
    first = Session(qtbot, make_napari_viewer(show=True))
    first.find_run()
    layer = first.picks()  # what was searched for is shown
    original = layer.data.copy()
    assert first.title == f"{len(original)} oriented"

    # keep one pick and reject another
    review = first.keys.open_dock("Review picks")
    assert review.layer is layer
    first.keys.until(lambda: review.feed.crop(0) is not None)
    kept = review.model.row_at(0)
    rejected = review.model.row_at(1)
    press(Qt.Key.Key_K)
    press(Qt.Key.Key_X)
    assert (review.review.counts.kept, review.review.counts.rejected) == (1, 1)

    # move a third pick, add one, remove the rejected one, and undo the removal of a good one
    moved, good = [row for row in range(len(original)) if row not in {kept, rejected}][:2]
    first.click_pick(layer, "select", original[moved], original[moved] + [0, 2, 3])
    moved_to = layer.data[moved].copy()
    np.testing.assert_allclose(moved_to, original[moved] + [0, 2, 3], atol=0.2)
    first.click_pick(layer, "add", original[kept] + [0, 6, 6])
    added = layer.data[-1].copy()
    np.testing.assert_allclose(added[1:], original[kept][1:] + 6, atol=0.2)
    first.delete_pick(layer, original[rejected])
    first.delete_pick(layer, original[good])
    first.undo()
    mended_title = f"{len(original)} oriented · edited"
    first.keys.until(lambda: first.title == mended_title)
    first.close()

    # the next session begins at the run, and offers the edits
    second = Session(qtbot, make_napari_viewer(show=True))
    second.keys.until(lambda: second.run.page is not None and second.title == mended_title)
    click(second.run.open)
    second.tick()
    layer = second.picks()
    np.testing.assert_array_equal(layer.data, original)
    second.keys.until(lambda: len(offers()) == 1)
    offers()[0](None)

    # export for RELION 5
    export = second.keys.open_dock("Export picks")
    assert export.layer.layer is layer
    second.keys.tab_to(export.format)
    second.keys.choose(export.format, "RELION STAR")
    second.keys.tab_to(export.path)
    press(Qt.Key.Key_A, CONTROL)
    second.keys.type(str(tmp_path / "mended.star"))
    second.keys.tab_to(export.bar.button)
    press(Qt.Key.Key_Return)
    second.keys.until(lambda: export.bar.message.text().startswith("Wrote"))

    points, matrices = portal_picks(demo_at_home)
    np.testing.assert_allclose(points, original)
    points[moved] = moved_to
    points = np.delete(points, rejected, axis=0)
    matrices = np.delete(matrices, rejected, axis=0)
    written, rotations = relion_picks(tmp_path / "mended.star", demo_at_home)
    np.testing.assert_allclose(written, [*points, added], atol=1e-6)
    np.testing.assert_allclose(rotations[:-1], matrices, atol=1e-6)


def offers() -> list[Callable[[object], None]]:
    """What *Restore* does in notifications; their buttons may be gone on a busy machine."""
    actions = [action for each in notification_manager.records for action in each.actions]
    return [restore for verb, restore in actions if verb == "Restore"]


def portal_picks(demo: Path) -> tuple[np.ndarray, np.ndarray]:
    """Positions (z, y, x in voxels) and matrices (x, y, z) of the portal's file."""
    (path,) = demo.rglob("DEMO_001/**/proteasome_complex-*_orientedpoint.ndjson")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    points = [[line["location"][axis] for axis in "zyx"] for line in lines]
    return np.array(points), np.array([line["xyz_rotation_matrix"] for line in lines])


def relion_picks(path: Path, demo: Path) -> tuple[np.ndarray, np.ndarray]:
    """The same of a file of RELION 5.

    It counts in ångström from voxel N / 2 of the tomogram, and its angles turn the tomogram's axes
    to those of the reference.
    """
    blocks = starfile.read(path)
    particles = blocks["particles"]
    (pixel,) = {*blocks["optics"]["rlnTomoTiltSeriesPixelSize"]}
    assert {*particles["rlnTomoName"]} == {"DEMO_001"}
    tomogram = next(demo.rglob("DEMO_001/**/VoxelSpacing40.048/Tomograms/*/*.zarr"))
    shape_zyx = np.array(zarr.open_group(tomogram, mode="r")["0"].shape)
    centred = particles[[f"rlnCenteredCoordinate{axis}Angst" for axis in "ZYX"]].to_numpy()
    angles = particles[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy()
    to_reference = Rotation.from_euler("ZYZ", angles, degrees=True)
    return centred / pixel + shape_zyx / 2, to_reference.inv().as_matrix()
