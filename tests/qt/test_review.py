"""Reviewing picks in a real viewer by keys and clicks, with verdicts that persist."""

import threading

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Points, Vectors
from qtpy.QtCore import QPoint, Qt

from napari_cryoet._qt.files.questions import ContextDialog
from napari_cryoet._qt.picks.layer_picks import live_picks_of
from napari_cryoet._qt.review.dock import ReviewDock
from napari_cryoet._qt.review.reviewed_layer import PickMark
from napari_cryoet._qt.viewer.adding import add_layers
from napari_cryoet.layers.specs import METADATA_KEY, points_spec
from napari_cryoet.picks import Picks
from napari_cryoet.review import Review, Verdict

SPACING = 10.0
SHAPE = (24, 60, 60)
POINTS = np.array([[12.0, 10 + 10 * (i % 5), 10 + 10 * (i // 5)] for i in range(10)])
ABOUT = {
    "kind": "annotation",
    "annotation_file_id": 7,
    "source_url": "https://files.example.invalid/7.ndjson",
}
CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
LEFT = Qt.MouseButton.LeftButton


def volume():
    """A volume with a sphere at each pick, brighter with its number."""
    z, y, x = np.indices(SHAPE)
    values = np.random.default_rng(0).normal(0, 0.05, SHAPE).astype(np.float32)
    for number, (cz, cy, cx) in enumerate(POINTS):
        values[(z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 <= 9] += 1 + number
    return values


@pytest.fixture
def viewer(viewer_model):
    viewer = viewer_model
    viewer.add_image(volume(), scale=(SPACING,) * 3, units=("angstrom",) * 3, name="volume")
    rotations = np.stack([np.eye(3)] * 9 + [np.full((3, 3), np.nan)])
    picks = Picks(
        POINTS, SPACING, rotations_zyx=rotations, scores=np.linspace(1, 0, 10), about=ABOUT
    )
    common = {
        "scale": (SPACING,) * 3,
        "units": ("angstrom",) * 3,
        "metadata": {METADATA_KEY: ABOUT},
    }
    looks = {"color": (1, 0, 0, 1), "diameter_angstrom": 60.0, "spacing_angstrom": SPACING}
    add_layers(viewer, [points_spec(picks, common, name="ribosomes", **looks)])
    viewer.layers.selection.active = viewer.layers["ribosomes"]
    return viewer


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "reviews"


@pytest.fixture
def make_dock(qtbot, viewer, folder):
    made = []

    def make():
        dock = ReviewDock(viewer, folder=folder)
        qtbot.addWidget(dock)
        dock.resize(322, 700)
        dock.show()
        made.append(dock)
        wait_until_open(qtbot, dock)
        return dock

    yield make
    for dock in made:
        dock.close_down()


@pytest.fixture
def dock(make_dock):
    return make_dock()


@pytest.fixture
def press(qtbot, dock):
    def press(key, modifier=Qt.KeyboardModifier.NoModifier):
        qtbot.keyClick(dock.sheet, key, modifier)

    return press


def wait_until_open(qtbot, dock):
    """Wait until a review is open and all its crops are loaded."""
    qtbot.waitUntil(lambda: dock.review is not None)
    qtbot.waitUntil(
        lambda: all(dock.feed.crop(row) is not None for row in range(len(dock.review.picks)))
    )


def verdict_letters(dock):
    return "".join(dock.review.verdict(row).letter or "-" for row in range(len(dock.review.picks)))


def judge(dock, positions, verdict):
    dock.sheet.select(positions)
    dock.judge(verdict)


def colors_of(layer):
    return [layer.face_color.copy(), layer.border_color.copy()]


def all_equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_review_starts_with_the_active_layer_and_its_volume(dock, viewer):
    assert dock.layer is viewer.layers["ribosomes"]
    assert dock.image.layer is viewer.layers["volume"]
    assert dock.counts.text() == "0 of 10"
    assert dock.controls.side.value() == pytest.approx(10)  # 1.6 diameters of 6 nm
    crop = dock.feed.crop(3).values
    assert crop[tuple(n // 2 for n in crop.shape)] == pytest.approx(4, abs=0.3)


def test_crops_fill_a_narrow_dock_and_can_be_resized(dock, qtbot):
    assert dock.sheet.height() > dock.height() * 0.6
    assert not dock.controls.isVisible()
    columns, size = [], dock.controls.crop_size
    for px in (size.minimum(), size.value(), size.maximum()):
        size.setValue(px)
        qtbot.wait(1)
        columns.append(len({dock.sheet.visualRect(dock.model.index(n)).left() for n in range(10)}))
    assert columns[0] > columns[1] > columns[2] == 1
    qtbot.mouseClick(dock.gear, LEFT)
    assert dock.controls.isVisible()
    assert dock.layout().minimumSize().width() <= 322


def test_keys_set_verdicts_undo_and_redo_them(dock, press):
    for key in (Qt.Key.Key_K, Qt.Key.Key_X, Qt.Key.Key_K):
        press(key)
    assert verdict_letters(dock) == "KXK-------"
    assert dock.sheet.currentIndex().row() == 3
    assert [button.text() for button in dock.shown.values()] == [
        "Kept 2",
        "Rejected 1",
        "Undecided 7",
    ]
    assert dock.progress.value() == 3

    press(Qt.Key.Key_Z, CONTROL)
    press(Qt.Key.Key_Z, CONTROL)
    assert verdict_letters(dock) == "K---------"
    assert dock.sheet.selected_cells == [1]
    assert dock.status.text() == "Undone: pick 2 is undecided again."
    press(Qt.Key.Key_Z, CONTROL | SHIFT)
    assert verdict_letters(dock) == "KX--------"
    press(Qt.Key.Key_U)
    assert verdict_letters(dock) == "K---------"
    assert dock.sheet.currentIndex().row() == 1


@pytest.mark.parametrize("ndisplay", [2, 3])
def test_a_click_or_enter_moves_the_view_to_the_pick_and_selects_it(
    dock, press, viewer, qtbot, ndisplay
):
    viewer.dims.ndisplay = ndisplay
    viewer.dims.set_point(0, 0)
    zoom = viewer.scene.camera.zoom
    center = dock.sheet.visualRect(dock.model.index(7)).center()
    qtbot.mouseClick(dock.sheet.viewport(), LEFT, pos=QPoint(center.x(), center.y()))

    assert viewer.layers["ribosomes"].selected_data == {7}
    if ndisplay == 2:  # sliders along the plane move too, so that other planes follow
        np.testing.assert_allclose(viewer.dims.point, POINTS[7] * SPACING)
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], POINTS[7, 1:] * SPACING)
    assert viewer.scene.camera.zoom == zoom

    mark = viewer.scene.overlays["napari_cryoet_reviewed_pick"]
    assert mark.visible
    press(Qt.Key.Key_K)
    assert mark.position == tuple(POINTS[7] * SPACING), "drawn once, when the view moves"
    qtbot.waitUntil(lambda: viewer.layers["ribosomes"].selected_data == {8})
    assert mark.position == tuple(POINTS[8] * SPACING)
    press(Qt.Key.Key_Left)
    press(Qt.Key.Key_Left)
    press(Qt.Key.Key_Return)
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], POINTS[6, 1:] * SPACING)
    viewer.layers["ribosomes"].selected_data = {4}
    assert dock.sheet.currentIndex().row() == 4


def test_the_mark_is_shown_at_the_pick_in_its_plane_until_closed():
    viewer = ViewerModel()
    layer = viewer.add_points([[0, 0, 0], [5, 2, 40], [9, 49, 59]], size=4, scale=(2, 2, 2))
    overlays = set(viewer.scene.overlays)
    mark = PickMark(viewer, layer)
    (key,) = set(viewer.scene.overlays) - overlays
    crosshair = viewer.scene.overlays[key]
    viewer.dims.set_point(0, 10)
    mark.show(layer.data[1])
    assert (crosshair.visible, crosshair.position, crosshair.gap) == (True, (10, 4, 80), 6)
    viewer.dims.set_point(0, 2)
    assert not crosshair.visible
    viewer.dims.ndisplay = 3
    assert crosshair.visible
    layer.visible = False
    assert not crosshair.visible
    mark.close()
    assert set(viewer.scene.overlays) == overlays


def test_picks_are_sorted_and_filtered(dock, qtbot):
    def enter(text):
        dock.controls.filter.setText(text)
        qtbot.keyClick(dock.controls.filter, Qt.Key.Key_Return)

    dock.controls.order.setCurrentIndex(dock.controls.order.findData("density"))
    dock.controls.direction.click()
    enter("score > 0.5 and edge_distance_nm > 10")
    qtbot.waitUntil(lambda: dock.review.rows.tolist() == [3, 2, 1, 0])
    assert "4 of 10" in dock.status.text()
    enter("beauty > 3")
    assert dock.review.rows.tolist() == [3, 2, 1, 0]
    assert "beauty" in dock.controls.filter_problem.text()
    enter("")
    assert not dock.controls.filter_problem.text()
    assert dock.model.rowCount() == 10


def test_picks_can_be_filtered_by_verdict(dock, press, qtbot):
    judge(dock, [2, 5], Verdict.REJECTED)
    qtbot.mouseClick(dock.shown[Verdict.REJECTED], LEFT)
    assert dock.review.rows.tolist() == [2, 5]
    dock.sheet.go_to(0)
    press(Qt.Key.Key_K)
    assert dock.review.rows.tolist() == [2, 5], (
        "a judged pick stays visible until the filter is applied again"
    )
    qtbot.mouseClick(dock.shown[Verdict.KEPT], LEFT)
    assert dock.review.rows.tolist() == [2]
    assert dock.shown_verdict is Verdict.KEPT
    qtbot.mouseClick(dock.shown[Verdict.KEPT], LEFT)
    assert dock.model.rowCount() == 10


def test_the_average_follows_each_verdict(dock, press, qtbot):
    assert dock.average.switch.isChecked()  # the volume is in memory
    press(Qt.Key.Key_Right, SHIFT)
    press(Qt.Key.Key_K)
    qtbot.waitUntil(lambda: dock.average.count == 2)
    mean = dock.average.mean.mean
    assert mean[tuple(n // 2 for n in mean.shape)] == pytest.approx(1.5, abs=0.2)
    assert dock.average.note.text() == "2, not aligned"
    assert not dock.average.sections.pixmap().isNull()

    press(Qt.Key.Key_Z, CONTROL)
    qtbot.waitUntil(lambda: dock.average.count == 0)
    dock.controls.oriented.setChecked(True)
    judge(dock, [8, 9], Verdict.KEPT)
    qtbot.waitUntil(lambda: dock.average.note.text() == "1, aligned; 1 have no orientation")


def test_kept_and_rejected_picks_become_layers(dock, viewer, qtbot):
    assert not dock.as_layers.isEnabled()
    judge(dock, [1, 2], Verdict.KEPT)
    judge(dock, [5], Verdict.REJECTED)
    qtbot.mouseClick(dock.as_layers, LEFT)

    kept, rejected = viewer.layers["kept 2 · ribosomes"], viewer.layers["rejected 1 · ribosomes"]
    assert isinstance(kept, Points)
    np.testing.assert_array_equal(kept.data, POINTS[[1, 2]])
    np.testing.assert_array_equal(kept.scale, (SPACING,) * 3)
    np.testing.assert_array_equal(rejected.data, POINTS[[5]])
    assert np.all(rejected.border_color[:, 3] == 1)
    assert isinstance(viewer.layers["kept 2 · ribosomes · orientation"], Vectors)
    assert live_picks_of(kept).picks.edits[-1].startswith("kept 2 of 10 in review")
    assert viewer.layers.selection.active is viewer.layers["ribosomes"]
    dock.review_layer(kept)
    qtbot.waitUntil(lambda: dock.review is not None)
    assert len(dock.review.picks) == 2


def test_verdicts_are_restored_when_the_annotation_is_reopened(dock, make_dock, qtbot):
    judge(dock, [1, 2], Verdict.KEPT)
    dock.controls.slab.setValue(7)
    qtbot.waitUntil(lambda: not dock.review.has_unsaved)
    assert dock.review.path.read_text().count('"kept"') == 2, "saved even if napari is killed"
    dock.close_down()
    again = make_dock()

    assert verdict_letters(again) == "-KK-------"
    assert "Resumed 2" in again.status.text()
    assert again.controls.slab.value() == 7


def test_rejected_picks_are_faint_until_the_review_closes(dock, viewer, qtbot):
    layer = viewer.layers["ribosomes"]
    before = colors_of(layer)
    judge(dock, [3, 6], Verdict.REJECTED)
    assert 0 < layer.face_color[6, 3] < before[0][6, 3] / 2
    layer.selected_data = {0, 3}
    layer.remove_selected()
    qtbot.waitUntil(lambda: len(dock.review.picks) == 8)
    left = [colors[[1, 2, 4, 5, 6, 7, 8, 9]] for colors in before]
    assert verdict_letters(dock) == "----X---"
    assert layer.face_color[4, 3] < left[0][4, 3]
    dock.undo()
    assert all_equal(colors_of(layer), left)
    dock.redo()
    dock.close_down()
    assert all_equal(colors_of(layer), left)


def test_saving_does_not_block_the_gui(dock, make_dock, press, viewer, monkeypatch, qtbot):
    gate, save, threads = threading.Event(), Review.save, set()

    def slow(review):
        threads.add(threading.current_thread())
        gate.wait(60)
        save(review)

    monkeypatch.setattr(Review, "save", slow)
    press(Qt.Key.Key_K)
    dock.hide()
    dock.show()
    press(Qt.Key.Key_X)
    review = dock.review
    dock.review_layer(None)
    dock.close_down()
    assert review.has_unsaved, "nothing above waited for the disk"

    gate.set()
    qtbot.waitUntil(lambda: not review.has_unsaved)
    assert threading.main_thread() not in threads
    assert verdict_letters(make_dock()) == "KX--------"


def test_an_unsaved_review_stays_open_until_it_is_saved(dock, viewer, folder, qtbot):
    other = viewer.add_points(
        POINTS + 1, scale=(SPACING,) * 3, units=("angstrom",) * 3, name="other"
    )
    folder.write_text("in the way")
    judge(dock, [1], Verdict.KEPT)
    qtbot.waitUntil(lambda: "can't be saved" in dock.notice.text)
    dock.review_layer(other)
    assert dock.layer is viewer.layers["ribosomes"]
    assert verdict_letters(dock) == "-K--------"

    folder.unlink()
    judge(dock, [2], Verdict.KEPT)
    qtbot.waitUntil(dock.notice.isHidden)
    dock.review_layer(other)
    assert dock.layer is other
    dock.review_layer(viewer.layers["ribosomes"])
    qtbot.waitUntil(lambda: dock.review is not None)
    assert verdict_letters(dock) == "-KK-------"


def test_review_needs_the_picks_layer_but_no_volume(dock, viewer, qtbot):
    viewer.layers.remove("volume")
    assert "Open the tomogram" in dock.hint.text()
    judge(dock, [1], Verdict.KEPT)
    assert verdict_letters(dock) == "-K--------"
    assert dock.average.note.text() == "needs a tomogram"

    viewer.add_image(volume(), scale=(SPACING,) * 3, units=("angstrom",) * 3)
    wait_until_open(qtbot, dock)
    assert not dock.hint.isVisible()

    viewer.layers.remove("ribosomes")
    assert dock.review is dock.layer is None
    assert dock.hint.isVisible()
    assert not dock.sheet.isVisible()


@pytest.mark.parametrize("name", ["volume", "ribosomes"])
def test_crops_are_updated_when_a_layer_moves(dock, viewer, qtbot, name):
    layer = viewer.layers[name]

    def middle(row):
        crop = dock.feed.crop(row)
        return None if crop is None else crop.values[5, 5]

    assert middle(1) == pytest.approx(2, abs=0.3)
    shift = -10.0 if name == "volume" else 10.0
    layer.translate = (0, 0, shift * SPACING)  # moves pick 1 to the old position of pick 6
    qtbot.waitUntil(lambda: middle(1) == pytest.approx(7, abs=0.3))
    layer.rotate = 30
    qtbot.waitUntil(lambda: "rotated" in dock.notice.text)
    layer.rotate = 0
    qtbot.waitUntil(lambda: middle(1) == pytest.approx(7, abs=0.3))
    assert not dock.notice.isVisible()


def test_a_tomogram_in_pixels_is_reviewed_with_an_entered_spacing(dock, viewer, qtbot, monkeypatch):
    image = viewer.add_image(volume(), name="as napari opens a TIFF")
    dock.image.choose(image)
    assert "doesn't say how wide its voxels are" in dock.notice.text
    monkeypatch.setattr(
        ContextDialog, "exec", lambda dialog: dialog.spacing.setValue(SPACING) or True
    )
    qtbot.mouseClick(dock.notice.action, LEFT)
    wait_until_open(qtbot, dock)
    np.testing.assert_array_equal(image.scale, (SPACING,) * 3)
    qtbot.waitUntil(lambda: dock.feed.crop(3) is not None and dock.feed.crop(3).values.max() > 3)
    assert not dock.notice.isVisible()


def test_verdict_keys_work_after_a_click_anywhere_in_the_dock(dock, qtbot):
    dock.activateWindow()
    qtbot.mouseClick(dock.gear, LEFT)
    for control in (
        dock.shown[Verdict.UNDECIDED],
        dock.average.switch,
        dock.controls.direction,
        dock.progress,
    ):
        qtbot.mouseClick(control, LEFT)
        before = dock.review.counts.judged
        qtbot.keyClick(dock.focusWidget() or dock, Qt.Key.Key_K)
        assert dock.review.counts.judged == before + 1, control
    qtbot.keyClick(dock.controls.side, Qt.Key.Key_K)
    assert dock.review.counts.judged == before + 2
    qtbot.keyClicks(dock.controls.filter, "kxu")
    assert dock.controls.filter.text() == "kxu"
    assert dock.review.counts.judged == before + 2
