"""Picks are judged in a real viewer by keys and clicks, and what was judged is there again."""

import threading

import numpy as np
import pytest
from napari.layers import Points, Vectors
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QFileDialog

from napari_cryoet._qt.layers.manager import add_layers
from napari_cryoet._qt.review.review_dock import ReviewDock
from napari_cryoet._qt.review.review_opening import review_picks
from napari_cryoet._qt.widgets.question import Question
from napari_cryoet.formats.registry import read_picks
from napari_cryoet.layers.specs import METADATA_KEY, arrows_spec, points_spec
from napari_cryoet.picks import Picks
from napari_cryoet.review import Review, Verdict

SPACING = 10.0
SHAPE = (24, 60, 60)
POINTS = np.array([[12.0, 10 + 10 * (i % 5), 10 + 10 * (i // 5)] for i in range(10)])
ABOUT = {"kind": "annotation", "annotation_file_id": 7, "source_url": "https://files.example.invalid/7.ndjson"}
LONG_MS = 60_000


def volume():
    """A ball at each pick, the brighter the higher its number."""
    z, y, x = np.indices(SHAPE)
    values = np.random.default_rng(0).normal(0, 0.05, SHAPE).astype(np.float32)
    for number, (cz, cy, cx) in enumerate(POINTS):
        values[(z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 <= 9] += 1 + number
    return values


@pytest.fixture
def viewer(viewer_in_hidden_window):
    viewer = viewer_in_hidden_window
    viewer.add_image(volume(), scale=(SPACING,) * 3, units=("angstrom",) * 3, name="volume")
    rotations = np.stack([np.eye(3)] * 9 + [np.full((3, 3), np.nan)])
    picks = Picks(POINTS, SPACING, rotations_zyx=rotations, scores=np.linspace(1, 0, 10), about=ABOUT)
    common = {"scale": (SPACING,) * 3, "units": ("angstrom",) * 3, "metadata": {METADATA_KEY: ABOUT}}
    looks = {"color": (1, 0, 0, 1), "diameter_angstrom": 60.0, "spacing_angstrom": SPACING}
    specs = [points_spec(picks, common, name="ribosomes", **looks), arrows_spec(picks, common, name="arrows", **looks)]
    add_layers(viewer, specs)
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
        dock.resize(400, 760)
        dock.show()
        made.append(dock)
        qtbot.waitUntil(lambda: dock.review is None or has_all_crops(dock), timeout=LONG_MS)
        return dock

    yield make
    for dock in made:
        if dock.layer is not None:
            dock.close_down()


@pytest.fixture
def dock(make_dock):
    return make_dock()


@pytest.fixture
def press(qtbot, dock):
    def press(key, modifier=Qt.KeyboardModifier.NoModifier):
        qtbot.keyClick(dock.sheet, key, modifier)

    dock.sheet.go_to(0)
    dock.sheet.setFocus()
    return press


def has_all_crops(dock):
    """Whether all crops are here, so that none is still being read while a test looks at the dock."""
    return all(dock.feed.crop(row) is not None for row in range(len(dock.review.picks)))


def letters(dock):
    return "".join(dock.review.verdict(row).letter or "-" for row in range(len(dock.review.picks)))


def looks_of(layer):
    if isinstance(layer, Vectors):
        return [layer.edge_color.copy()]
    return [layer.face_color.copy(), layer.border_color.copy()]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


def test_it_begins_with_the_active_layer_and_the_volume_below_it(dock, viewer):
    assert dock.layer is viewer.layers["ribosomes"]
    assert dock.image is viewer.layers["volume"]
    assert dock.counts.text() == "0 of 10 judged · kept 0 · rejected 0"
    assert dock.controls.side.value() == pytest.approx(10)  # 1.6 diameters of 6 nm
    crop = dock.feed.crop(3).values
    assert crop[tuple(n // 2 for n in crop.shape)] == pytest.approx(4, abs=0.3)


def test_keys_judge_and_undo_and_go_on(dock, press):
    press(Qt.Key.Key_K)
    press(Qt.Key.Key_Space)
    press(Qt.Key.Key_X, SHIFT)  # and on to the next
    press(Qt.Key.Key_K)
    assert letters(dock) == "KXK-------"
    assert dock.counts.text() == "3 of 10 judged · kept 2 · rejected 1"
    assert dock.progress.value() == 3

    press(Qt.Key.Key_Z, CONTROL)
    press(Qt.Key.Key_Z, CONTROL)
    assert letters(dock) == "K---------"
    assert dock.sheet.selected_places == [1]
    press(Qt.Key.Key_Z, CONTROL | SHIFT)
    assert letters(dock) == "KX--------"
    press(Qt.Key.Key_U)
    assert letters(dock) == "K---------"


def test_space_finds_the_undecided_round_the_end_and_says_when_there_are_none(dock, press):
    dock.review.judge(range(8), Verdict.KEPT)
    press(Qt.Key.Key_Space)
    assert dock.sheet.currentIndex().row() == 8
    press(Qt.Key.Key_Space, SHIFT)
    assert dock.sheet.currentIndex().row() == 9
    dock.review.judge([8, 9], Verdict.KEPT)
    press(Qt.Key.Key_Space)
    assert dock.status.label.text() == "All picks that are shown are judged."


@pytest.mark.parametrize("ndisplay", [2, 3])
def test_a_click_or_enter_flies_there_and_selects_the_pick(dock, press, viewer, qtbot, ndisplay):
    viewer.dims.ndisplay = ndisplay
    viewer.dims.set_point(0, 0)
    zoom = viewer.scene.camera.zoom
    center = dock.sheet.visualRect(dock.model.index(7)).center()
    qtbot.mouseClick(dock.sheet.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(center.x(), center.y()))

    assert viewer.layers["ribosomes"].selected_data == {7}
    if ndisplay == 2:  # the sliders along the plane, too, so that other planes follow
        np.testing.assert_allclose(viewer.dims.point, POINTS[7] * SPACING)
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], POINTS[7, 1:] * SPACING)
    assert ndisplay == 2 or viewer.scene.camera.center[0] == 120
    assert viewer.scene.camera.zoom == zoom

    press(Qt.Key.Key_N)
    qtbot.waitUntil(lambda: viewer.layers["ribosomes"].selected_data == {8}, timeout=LONG_MS)
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], POINTS[8, 1:] * SPACING)
    press(Qt.Key.Key_P)
    press(Qt.Key.Key_P)
    press(Qt.Key.Key_Return)
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], POINTS[6, 1:] * SPACING)


def test_what_is_selected_in_the_viewer_is_shown_in_the_sheet(dock, viewer):
    viewer.layers["ribosomes"].selected_data = {4}

    assert dock.sheet.currentIndex().row() == 4


def test_rejects_are_dim_at_once_with_their_arrows_and_look_as_before_after_undo_and_closing(dock, press, viewer):
    layers = [viewer.layers["ribosomes"], viewer.layers["arrows"]]
    before = [looks_of(layer) for layer in layers]
    press(Qt.Key.Key_X)
    for layer, looks in zip(layers, before, strict=True):
        for now, was in zip(looks_of(layer), looks, strict=True):
            assert 0 < now[0, 3] < was[0, 3] / 2
            np.testing.assert_array_equal(now[1:], was[1:])
            np.testing.assert_array_equal(now[:, :3], was[:, :3])

    press(Qt.Key.Key_Z, CONTROL)
    assert all(same(looks_of(layer), looks) for layer, looks in zip(layers, before, strict=True))
    press(Qt.Key.Key_X)
    dock.close_down()
    assert all(same(looks_of(layer), looks) for layer, looks in zip(layers, before, strict=True))


def test_picks_are_sorted_and_filtered_as_the_fields_say(dock, qtbot):
    dock.controls.order.setCurrentIndex(dock.controls.order.findData("density"))
    qtbot.waitUntil(lambda: dock.review.order.column == "density", timeout=LONG_MS)
    assert dock.review.rows.tolist() == list(range(10))
    dock.controls.direction.click()
    assert dock.review.rows.tolist() == list(range(10))[::-1]

    dock.controls.filter.setText("score > 0.5 and edge_nm > 10")
    qtbot.keyClick(dock.controls.filter, Qt.Key.Key_Return)
    assert dock.review.rows.tolist() == [3, 2, 1, 0]
    assert dock.counts.text().endswith("4 shown")

    dock.controls.filter.setText("beauty > 3")
    qtbot.keyClick(dock.controls.filter, Qt.Key.Key_Return)
    assert dock.review.rows.tolist() == [3, 2, 1, 0]
    assert "no column “beauty”" in dock.controls.filter_problem.text()
    assert dock.controls.filter_problem.isVisible()

    dock.controls.filter.setText("")
    qtbot.keyClick(dock.controls.filter, Qt.Key.Key_Return)
    assert not dock.controls.filter_problem.isVisible()


def test_crops_are_cut_as_the_fields_say(dock, qtbot):
    dock.controls.plane.setCurrentIndex(1)
    dock.controls.side.setValue(12)
    dock.controls.oriented.setChecked(True)
    qtbot.waitUntil(lambda: dock.feed.frame.is_oriented, timeout=LONG_MS)
    qtbot.waitUntil(lambda: all(dock.feed.crop(row) for row in range(10)), timeout=LONG_MS)

    assert (dock.feed.frame.plane, dock.feed.frame.side_angstrom) == ("xz", 120)


def test_the_average_follows_each_decision(dock, press, qtbot):
    assert dock.average.switch.isChecked()  # the volume is in memory
    press(Qt.Key.Key_Right, SHIFT)
    press(Qt.Key.Key_K)
    qtbot.waitUntil(lambda: dock.average.count == 2, timeout=LONG_MS)
    mean = dock.average.mean.mean
    assert mean[tuple(n // 2 for n in mean.shape)] == pytest.approx(1.5, abs=0.2)
    assert dock.average.note.text() == "2, not aligned"
    assert all(section.has_picture for section in dock.average.sections)

    press(Qt.Key.Key_Z, CONTROL)
    qtbot.waitUntil(lambda: dock.average.count == 0, timeout=LONG_MS)
    dock.controls.oriented.setChecked(True)
    dock.sheet.select([8, 9])
    dock.judge(Verdict.KEPT)
    qtbot.waitUntil(lambda: dock.average.note.text() == "1, aligned; 1 have no orientation", timeout=LONG_MS)


def test_kept_and_rejected_picks_become_layers_that_say_who_judged_them(dock, viewer, qtbot):
    assert not dock.results.kept.isEnabled()
    dock.sheet.select([1, 2])
    dock.judge(Verdict.KEPT)
    dock.sheet.select([5])
    dock.judge(Verdict.REJECTED)
    qtbot.mouseClick(dock.results.kept, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(dock.results.rejected, Qt.MouseButton.LeftButton)

    kept, rejected = viewer.layers["ribosomes · kept 2"], viewer.layers["ribosomes · rejected 1"]
    assert isinstance(kept, Points)
    np.testing.assert_array_equal(kept.data, POINTS[[1, 2]])
    np.testing.assert_array_equal(kept.scale, (SPACING,) * 3)
    np.testing.assert_array_equal(rejected.data, POINTS[[5]])
    assert np.all(rejected.border_color[:, 3] == 1)
    assert isinstance(viewer.layers["ribosomes · kept 2 · orientation"], Vectors)
    assert "kept 2 of 10 in review" in dock.notice.text or "rejected 1 of 10 in review" in dock.notice.text
    assert viewer.layers.selection.active is viewer.layers["ribosomes"]
    dock.review_layer(kept)
    assert len(dock.review.picks) == 2


def test_kept_picks_are_written_with_who_kept_them_and_when(dock, tmp_path, qtbot):
    dock.sheet.select([1, 2])
    dock.judge(Verdict.KEPT)
    path = tmp_path / "kept.ndjson"
    with qtbot.waitSignal(dock.results.told, timeout=LONG_MS) as told:
        dock.results.export_kept(path)
    assert told.args[0].startswith("Wrote 2 picks to kept.ndjson.")
    assert ".." not in told.args[0]
    written = read_picks(path)
    np.testing.assert_allclose(written.points_zyx, POINTS[[1, 2]])
    assert written.edits[-1].startswith("kept 2 of 10 in review")

    with qtbot.waitSignal(dock.results.failed, timeout=LONG_MS):
        dock.results.export_kept(path)  # never over what is there, unasked


@pytest.mark.parametrize("is_wanted", [True, False])
def test_a_file_whose_ending_was_not_typed_is_replaced_only_when_asked(dock, tmp_path, qtbot, monkeypatch, is_wanted):
    typed = "kept 1.2"
    path = tmp_path / f"{typed}.ndjson"
    path.write_text("mine")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / typed), "Portal ndjson (*.ndjson)"))
    asked = []
    monkeypatch.setattr(Question, "ask", lambda question: (asked.append(question.text()), is_wanted)[1])
    dock.sheet.select([1])
    dock.judge(Verdict.KEPT)
    if is_wanted:
        with qtbot.waitSignal(dock.results.told, timeout=LONG_MS):
            qtbot.mouseClick(dock.results.export, Qt.MouseButton.LeftButton)
        assert len(read_picks(path)) == 1
    else:
        qtbot.mouseClick(dock.results.export, Qt.MouseButton.LeftButton)
        assert path.read_text() == "mine"
    assert asked == [f"There is a {typed}.ndjson already. Replace it?"]


def test_decisions_are_there_when_the_annotation_opens_again(dock, make_dock, viewer):
    dock.sheet.select([1, 2])
    dock.judge(Verdict.KEPT)
    dock.controls.slab.setValue(7)
    dock.close_down()
    again = make_dock()

    assert letters(again) == "-KK-------"
    assert again.notice.text == "Resumed 2 decisions of an earlier review."
    assert again.controls.slab.value() == 7


def test_decisions_stay_with_their_picks_when_points_are_deleted_and_moved(dock, viewer, qtbot):
    layer = viewer.layers["ribosomes"]
    before = looks_of(layer)
    dock.sheet.select([3, 6])
    dock.judge(Verdict.REJECTED)
    layer.selected_data = {0, 3}
    layer.remove_selected()
    qtbot.waitUntil(lambda: len(dock.review.picks) == 8, timeout=LONG_MS)
    assert letters(dock) == "----X---"
    assert layer.face_color[4, 3] < before[0][6, 3]
    dock.close_down()
    assert layer.face_color[4, 3] == before[0][6, 3]


def test_hiding_the_dock_and_judging_never_wait_for_the_disk(dock, make_dock, press, viewer, monkeypatch, qtbot):
    gate, save = threading.Event(), Review.save
    monkeypatch.setattr(Review, "save", lambda review: gate.wait(60) and save(review))
    press(Qt.Key.Key_K)
    dock.hide()
    dock.show()
    press(Qt.Key.Key_X, SHIFT)
    assert letters(dock) == "X---------"
    assert dock.review.has_unsaved

    gate.set()
    qtbot.waitUntil(lambda: not dock.review.has_unsaved, timeout=LONG_MS)
    dock.close_down()
    assert letters(make_dock()) == "X---------"


def test_what_can_not_be_saved_is_said_and_its_review_goes_on_until_it_can(dock, viewer, folder, qtbot):
    other = viewer.add_points(POINTS + 1, scale=(SPACING,) * 3, units=("angstrom",) * 3, name="other")
    folder.write_text("in the way")
    dock.sheet.select([1])
    dock.judge(Verdict.KEPT)
    qtbot.waitUntil(lambda: "can't be saved" in dock.notice.text, timeout=LONG_MS)
    dock.review_layer(other)
    assert dock.layer is viewer.layers["ribosomes"]
    assert letters(dock) == "-K--------"

    folder.unlink()
    dock.sheet.select([2])
    dock.judge(Verdict.KEPT)
    qtbot.waitUntil(lambda: dock.notice.text == "What could not be saved is saved now.", timeout=LONG_MS)
    dock.review_layer(other)
    dock.review_layer(viewer.layers["ribosomes"])
    assert letters(dock) == "-KK-------"


def test_the_review_ends_with_its_layer(dock, viewer, qtbot):
    viewer.layers.remove("ribosomes")
    qtbot.waitUntil(lambda: dock.layer is None, timeout=LONG_MS)

    assert dock.empty.isVisible()
    assert not dock.verdicts.isVisible()
    assert dock.controls.points.count() == 0


def test_without_a_volume_picks_can_be_judged_all_the_same(dock, viewer, qtbot):
    viewer.layers.remove("volume")
    qtbot.waitUntil(lambda: dock.image is None, timeout=LONG_MS)
    assert "Open the tomogram" in dock.empty.text()
    assert "Reading" not in dock.status.label.text()
    assert not dock.status.stop.isVisible()
    dock.sheet.select([1])
    dock.judge(Verdict.KEPT)
    assert letters(dock) == "-K--------"
    assert dock.average.note.text() == "needs a tomogram"

    viewer.add_image(volume(), scale=(SPACING,) * 3, units=("angstrom",) * 3)
    qtbot.waitUntil(lambda: dock.feed.crop(0) is not None, timeout=LONG_MS)
    assert not dock.empty.isVisible()


@pytest.mark.parametrize("name", ["volume", "ribosomes"])
def test_crops_are_cut_anew_where_the_picks_lie_when_a_layer_is_moved(dock, viewer, qtbot, name):
    layer = viewer.layers[name]

    def middle(row):
        crop = dock.feed.crop(row)
        return None if crop is None else crop.values[5, 5]

    assert middle(1) == pytest.approx(2, abs=0.3)
    shift = -10.0 if name == "volume" else 10.0
    layer.translate = (0, 0, shift * SPACING)  # the pick 1 now lies where 6 was
    qtbot.waitUntil(lambda: middle(1) == pytest.approx(7, abs=0.3), timeout=LONG_MS)

    layer.rotate = 30
    qtbot.waitUntil(lambda: "rotated" in dock.notice.text, timeout=LONG_MS)
    layer.rotate = 0
    qtbot.waitUntil(lambda: middle(1) == pytest.approx(7, abs=0.3), timeout=LONG_MS)
    assert not dock.notice.isVisible()


def test_a_dock_that_is_closed_lets_go_of_everything(viewer, qtbot, user_folder):
    layer = viewer.layers["ribosomes"]
    before = looks_of(layer)
    dock = review_picks(viewer, layer)
    assert review_picks(viewer, layer) is dock
    dock.sheet.go_to(0)
    dock.judge(Verdict.REJECTED)
    assert not same(looks_of(layer), before)
    viewer.window.remove_dock_widget(dock)

    assert same(looks_of(layer), before)
    assert dock.review is None
    assert not dock.tasks.is_running("review average")
    viewer.add_points(POINTS)  # nobody is there to hear of it
    again = review_picks(viewer, layer)
    assert letters(again)[0] == "X"
    again.close_down()


def choose_uppermost(dock, qtbot, image):
    qtbot.waitUntil(lambda: dock.controls.image.findText(image.name) >= 0, timeout=LONG_MS)
    dock.controls.image.setFocus()
    qtbot.keyClick(dock.controls.image, Qt.Key.Key_Home)
    assert dock.image is image


def say_width(dock, qtbot, text):
    field = dock.controls.voxels
    field.setFocus()
    field.selectAll()
    qtbot.keyClicks(field, text)
    qtbot.keyClick(field, Qt.Key.Key_Return)


def test_a_tomogram_in_pixels_is_reviewed_once_somebody_says_how_wide_its_voxels_are(dock, viewer, qtbot):
    assert not dock.controls.voxels.isVisible()
    image = viewer.add_image(volume(), translate=(0, 2, 0), name="as napari opens a TIFF")
    choose_uppermost(dock, qtbot, image)
    qtbot.waitUntil(dock.empty.isVisible, timeout=LONG_MS)
    assert dock.empty.text().startswith("Nothing says how wide the voxels of this tomogram are")
    assert dock.controls.voxels.isVisible()
    assert dock.controls.voxels.text() == "unknown"

    say_width(dock, qtbot, f"{SPACING:g}")
    qtbot.waitUntil(lambda: not dock.empty.isVisible() and has_all_crops(dock), timeout=LONG_MS)
    np.testing.assert_array_equal(image.scale, (SPACING,) * 3)
    np.testing.assert_array_equal(image.translate, (0, 2 * SPACING, 0))
    image.translate = (0, 0, 0)
    qtbot.waitUntil(lambda: dock.feed.crop(3) is not None and dock.feed.crop(3).values.max() > 3, timeout=LONG_MS)
    dock.sheet.go_to(3)
    qtbot.keyClick(dock.sheet, Qt.Key.Key_Return)
    np.testing.assert_allclose(image.world_to_data(viewer.dims.point), POINTS[3], atol=0.5)


def test_a_filter_that_matches_nothing_says_so(dock, qtbot):
    qtbot.keyClicks(dock.controls.filter, "score > 5")
    qtbot.keyClick(dock.controls.filter, Qt.Key.Key_Return)
    assert dock.model.rowCount() == 0
    assert dock.status.label.text() == "No pick matches the filter. Clear it to see all."
