"""Hand edits of picks: kept, marked on the row, undone, and offered in the next session."""

from __future__ import annotations

import numpy as np
import pytest
from napari._app_model.actions._file import new_points
from napari.components import ViewerModel
from napari.layers import Points
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QModelIndex, QPoint
from qtpy.QtWidgets import QApplication, QMenu

from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.browser.run_page import SHOW
from napari_cryoet._qt.layers.ownership import LayerKey
from napari_cryoet._qt.picks.edits import edits_of, undo_edit
from napari_cryoet._qt.picks.layer_picks import picks_of
from napari_cryoet._qt.tasks import disk
from napari_cryoet._qt.viewer.adding import adopt_layers_of
from napari_cryoet.files import data_path
from napari_cryoet.formats.registry import write_picks
from qt.two_picks import messages, two_picks

CELL_RUN = 9001
PLUGIN = "napari-cryoet"


def restore_offered() -> None:
    """Press the button of the notification that offers edits."""
    offer = next(each for each in notification_manager.records if "1 edit" in each.message)
    ((verb, restore),) = offer.actions
    assert verb == "Restore"
    restore(None)


class Session:
    """A dock at a run of the demo, with its largest annotation of points shown."""

    def __init__(self, qtbot, viewer: ViewerModel, dock: PortalBrowser) -> None:
        self._qtbot, self._viewer, self._dock = qtbot, viewer, dock
        with qtbot.waitSignal(dock.navigator.run_arrived):
            dock.navigator.go_to_run(CELL_RUN)
        self.run = dock.screens.run
        self.row = self._row()

    @property
    def title(self) -> str:
        return self.run.annotations.row_at(self.row).title[0]

    def show(self) -> Points:
        file = self.run.annotations.record_at(self.row).shown_file
        self.row.model().request_tick(self.row.siblingAtColumn(SHOW + 1), SHOW)
        self._qtbot.waitUntil(lambda: not self._dock.manager.coming())
        layer = self._dock.manager.layers_of(LayerKey("annotation", file.id))[0]
        self._qtbot.waitUntil(lambda: edits_of(layer).kept is not None)
        return layer

    def menu(self) -> dict:
        tree = self.run.tree
        tree.menu_requested.emit(self.run.annotations.record_at(self.row), QPoint(10, 10))
        menu = QApplication.activePopupWidget()
        assert isinstance(menu, QMenu)
        menu.close()
        return {action.text(): action.trigger for action in menu.actions()}

    def _row(self) -> QModelIndex:
        model = self.run.annotations
        rows = [index for index in model.indexes() if index.parent().isValid()]
        shown = [index for index in rows if model.row_at(index).title[0].endswith("points")]
        return shown[0]

    def close(self) -> None:
        self._dock.close_down()
        self._viewer.layers.clear()
        disk.submit(lambda: None).result()  # everything is written


@pytest.fixture
def start(qtbot, make_demo_browser, viewer_model):
    """Open the demo's run, as after a start of the program."""
    return lambda: Session(qtbot, viewer_model, make_demo_browser())


def test_edits_are_marked_kept_and_offered_in_the_next_session(qtbot, start):
    session = start()
    before = session.title
    layer = session.show()
    n_picks, original = len(layer.data), picks_of(layer)
    layer.remove([0, 1, 2, 3])
    layer.add([1.0, 2.0, 3.0])
    assert session.title == f"{n_picks - 3} points · edited"
    session.menu()["Undo: added 1 pick"]()
    assert session.title == f"{n_picks - 4} points · edited"
    session.close()

    again = start()
    qtbot.waitUntil(lambda: again.title == f"{n_picks - 4} points · edited")
    layer = again.show()
    assert len(layer.data) == n_picks, "the file's own picks until you agree"
    restore_offered()
    assert picks_of(layer).ids.tolist() == original.ids[4:].tolist()
    assert picks_of(layer).edits == ("deleted 4 picks",)
    again.menu()["Undo: deleted 4 picks"]()
    assert picks_of(layer).ids.tolist() == original.ids.tolist()
    np.testing.assert_array_equal(layer.data, original.points_zyx)
    assert picks_of(layer).edits == ()
    assert again.title == before


def test_an_unanswered_offer_stays_in_the_menu_with_new_edits_above(start):
    session = start()
    layer = session.show()
    layer.data = np.concatenate([[layer.data[0] + 1], layer.data[1:]])
    session.close()

    again = start()
    layer = again.show()
    layer.add([1.0, 2.0, 3.0])
    again.menu()["Restore earlier edits"]()
    assert picks_of(layer).edits == ("added 1 pick", "moved 1 pick")
    edited = picks_of(layer)
    again.close()

    last = start()
    layer = last.show()
    last.menu()["Restore earlier edits"]()
    assert picks_of(layer).ids.tolist() == edited.ids.tolist()
    np.testing.assert_allclose(picks_of(layer).points_zyx, edited.points_zyx)


def test_edits_of_a_users_file_are_offered_and_undone(qtbot, viewer_in_window, tmp_path):
    path = str(write_picks(two_picks(), tmp_path / "mine.star").path)
    _arrows, points = viewer_in_window.open(path, plugin=PLUGIN)
    points.remove([0])
    viewer_in_window.layers.clear()

    _arrows, points = viewer_in_window.open(path, plugin=PLUGIN)
    qtbot.waitUntil(lambda: "1 edit" in messages())
    restore_offered()
    assert len(points.data) == 1

    undo_edit(viewer_in_window)
    assert len(points.data) == 2
    np.testing.assert_allclose(picks_of(points).rotations_zyx, two_picks().rotations_zyx, atol=1e-9)
    undo_edit(viewer_in_window)
    assert "no edit to undo" in messages()


def test_new_picks_know_their_tomogram_and_are_kept(qtbot, start, viewer_model):
    session = start()
    page = session.run.page
    session.run.tomogram_open_requested.emit(page, page.default_tomogram)
    qtbot.waitUntil(lambda: len(viewer_model.layers) == 1)
    new_points(viewer_model)
    layer = viewer_model.layers[-1]
    layer.add([1.0, 2.0, 3.0])
    picks = picks_of(layer)
    assert picks.about.run_name == page.run.name
    assert picks.alignment_id == page.default_tomogram.alignment_id
    assert picks.shape_zyx == page.default_tomogram.shape_zyx
    assert picks.spacing_angstrom == page.default_tomogram.voxel_spacing
    session.close()

    again = start()
    again.run.tomogram_open_requested.emit(page, page.default_tomogram)
    qtbot.waitUntil(lambda: len(viewer_model.layers) == 1)
    new_points(viewer_model)
    qtbot.waitUntil(lambda: "1 edit" in messages())
    restore_offered()
    assert picks_of(viewer_model.layers[-1]).points_zyx.tolist() == [[1, 2, 3]]


def test_points_of_a_script_stay_as_they_are(viewer_model):
    adopt_layers_of(viewer_model)
    viewer_model.add_image(np.zeros((4, 4, 4)), scale=(10,) * 3, units="angstrom")
    assert not viewer_model.add_points(ndim=3).metadata
    assert not viewer_model.add_points(np.zeros((2, 3)), units="angstrom").metadata


def test_a_copy_keeps_its_edits_to_itself(qtbot, viewer_in_window, tmp_path):
    path = str(write_picks(two_picks(), tmp_path / "mine.star").path)
    _arrows, points = viewer_in_window.open(path, plugin=PLUGIN)
    copy = viewer_in_window.add_layer(Points.create(*points.as_layer_data_tuple()))
    assert edits_of(copy) is None


def test_edits_that_cannot_be_saved_are_reported(qtbot, viewer_in_window, tmp_path):
    path = str(write_picks(two_picks(), tmp_path / "mine.star").path)
    _arrows, points = viewer_in_window.open(path, plugin=PLUGIN)
    data_path().mkdir(parents=True, exist_ok=True)
    (data_path() / "reviews").write_text("in the way")
    points.remove([0])
    qtbot.waitUntil(lambda: "can't be saved" in messages())
