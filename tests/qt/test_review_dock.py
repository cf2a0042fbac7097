"""Picks are judged in a real viewer by keys and clicks, and what was judged is there again."""

import threading

import numpy as np
import pytest
from napari.layers import Image, Points, Vectors
from qtpy.QtCore import QEvent, QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_cryoet._qt import measuring, review_results
from napari_cryoet._qt.adding import add_layers
from napari_cryoet._qt.picks_link import link_of
from napari_cryoet._qt.question import Question
from napari_cryoet._qt.review_dock import ReviewDock
from napari_cryoet._qt.review_opening import review_picks
from napari_cryoet._qt.reviewed_layer import ReviewedLayer
from napari_cryoet.exceptions import StoppedError
from napari_cryoet.formats.registry import read_picks
from napari_cryoet.layers.specs import METADATA_KEY, arrows_spec, points_spec
from napari_cryoet.picks import Picks
from napari_cryoet.review import Cube, Review, Verdict
from python_calls import calls_of_ours
from qt.cut_texts import cut_texts

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


def test_the_first_key_judges_the_first_undecided_pick_and_the_viewer_stays(dock, make_dock, viewer, qtbot):
    step = viewer.dims.current_step
    dock.sheet.setFocus()
    qtbot.keyClick(dock.sheet, Qt.Key.Key_K)
    assert letters(dock) == "K---------"
    assert viewer.dims.current_step == step
    dock.close_down()

    again = make_dock()
    assert again.sheet.selected_places == [1]


def test_what_is_taken_back_is_said_also_where_the_filter_hides_it(dock, press, qtbot):
    press(Qt.Key.Key_X)
    press(Qt.Key.Key_Z, CONTROL)
    assert dock.status.label.text() == "Undone: pick 0 is undecided again."
    press(Qt.Key.Key_Z, CONTROL | SHIFT)
    assert dock.status.label.text() == "Redone: pick 0 is rejected again."

    dock.controls.filter.setText("score < 0.9")
    qtbot.keyClick(dock.controls.filter, Qt.Key.Key_Return)
    assert len(dock.review.rows) < 10
    press(Qt.Key.Key_Z, CONTROL)
    assert letters(dock) == "----------"
    assert dock.status.label.text() == "Undone: pick 0 is undecided again. The filter hides it."
    dock.feed.state_changed.emit()  # as crops arrive
    assert "The filter hides it" in dock.status.label.text()
    press(Qt.Key.Key_K)
    assert "filter" not in dock.status.label.text()


def test_of_very_many_picks_none_is_asked_about_one_by_one(viewer, folder, qtbot):
    many = viewer.add_points(np.random.default_rng(0).uniform(0, SHAPE, (3000, 3)), scale=(SPACING,) * 3, name="many")
    many.units = ("angstrom",) * 3
    viewer.layers.selection.active = many
    dock = ReviewDock(viewer, folder=folder)
    qtbot.addWidget(dock)

    def open_and_judge():
        dock.resize(400, 760)
        dock.show()
        dock.average.switch.setChecked(False)
        dock.sheet.doItemsLayout()
        dock.sheet.setFocus()
        qtbot.keyClick(dock.sheet, Qt.Key.Key_A, CONTROL)
        qtbot.keyClick(dock.sheet, Qt.Key.Key_X)
        qtbot.keyClick(dock.sheet, Qt.Key.Key_Z, CONTROL)
        qtbot.keyClick(dock.sheet, Qt.Key.Key_Z, CONTROL | SHIFT)

    assert calls_of_ours(open_and_judge) < 3000
    assert dock.review.counts.rejected == 3000
    assert len(dock.sheet.selected_places) == 3000
    dock.close_down()


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


def test_the_viewer_flies_once_the_keys_rest_and_judges_at_once(dock, press, viewer, qtbot):
    centers = []
    viewer.scene.camera.events.center.connect(lambda event: centers.append(tuple(event.value[-2:])))
    for key in (Qt.Key.Key_X, Qt.Key.Key_K, Qt.Key.Key_X):
        press(key, SHIFT)
    assert letters(dock) == "XKX-------"
    assert viewer.layers["ribosomes"].face_color[2, 3] < viewer.layers["ribosomes"].face_color[1, 3]
    assert dock.sheet.currentIndex().row() == 3
    assert not centers

    qtbot.waitUntil(lambda: bool(centers), timeout=LONG_MS)
    assert centers == [tuple(POINTS[3, 1:] * SPACING)]
    assert viewer.layers["ribosomes"].selected_data == {3}


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


def test_the_looks_that_a_person_chose_for_their_own_layer_are_theirs_again(dock, viewer):
    theirs = viewer.add_points(
        POINTS,
        scale=(SPACING,) * 3,
        units=("angstrom",) * 3,
        features={"cc": np.arange(10.0)},
        face_color="cc",
        name="theirs",
    )
    before, mode = looks_of(theirs), theirs.face_color_mode
    dock.review_layer(theirs)
    dock.sheet.go_to(2)
    dock.judge(Verdict.REJECTED)
    assert theirs.face_color[2, 3] < 1
    theirs.border_color = "green"  # in the middle of it
    dock.review_layer(viewer.layers["ribosomes"])

    assert theirs.face_color_mode == mode
    np.testing.assert_array_equal(theirs.face_color, before[0])
    np.testing.assert_allclose(theirs.border_color, [[0, 128 / 255, 0, 1]] * 10, atol=1e-3)


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
    assert dock.feed.crop(0).is_oriented
    assert not dock.feed.crop(9).is_oriented


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
    assert dock.average.count == 0
    dock.controls.oriented.setChecked(True)
    dock.sheet.select([8, 9])
    dock.judge(Verdict.KEPT)
    qtbot.waitUntil(lambda: dock.average.note.text() == "1, aligned; 1 have no orientation", timeout=LONG_MS)


def test_stop_ends_the_reading_for_the_average_and_the_switch_begins_it_again(dock, monkeypatch, qtbot):
    gate, read = threading.Event(), dock.average._reader.read

    def slow(rows, shape, *, stop):
        while isinstance(shape, Cube) and not gate.wait(0.01):  # crops, which the same reader reads, come all the same
            if stop.is_set():
                raise StoppedError
        yield from read(rows, shape, stop=stop)

    monkeypatch.setattr(dock.average._reader, "read", slow)
    dock.sheet.select([1, 2])
    dock.judge(Verdict.KEPT)
    qtbot.waitUntil(lambda: "average" in dock.status.label.text(), timeout=LONG_MS)  # crops are named before it
    assert dock.average.is_reading
    qtbot.mouseClick(dock.status.stop, Qt.MouseButton.LeftButton)
    assert not dock.average.is_reading
    assert not dock.average.switch.isChecked()

    gate.set()
    dock.average.switch.click()
    qtbot.waitUntil(lambda: dock.average.count == 2, timeout=LONG_MS)


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


@pytest.mark.parametrize("is_wanted", [True, False])
def test_what_a_file_of_kept_picks_will_not_hold_is_said_before(dock, tmp_path, qtbot, monkeypatch, is_wanted):
    path, said = tmp_path / "kept.tbl", []
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), "Dynamo table (*.tbl)"))

    def may_write(name, losses):
        said.append((name, " ".join(losses), path.exists()))
        return is_wanted

    monkeypatch.setattr(review_results, "may_write", may_write)
    dock.sheet.select([1])
    dock.judge(Verdict.KEPT)
    with qtbot.waitSignal(dock.results.told, timeout=LONG_MS) as told:
        qtbot.mouseClick(dock.results.export, Qt.MouseButton.LeftButton)

    ((name, losses, was_there),) = said
    assert name == "kept.tbl"
    assert "counted from 1" in losses
    assert not was_there
    assert path.exists() is is_wanted
    assert told.args[0].startswith("Wrote 1 pick" if is_wanted else "Nothing was written.")


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

    link_of(layer).undo()
    qtbot.waitUntil(lambda: len(dock.review.picks) == 10, timeout=LONG_MS)
    assert letters(dock) == "---X--X---"
    dock.close_down()
    assert same(looks_of(layer), before)


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


def test_a_review_that_can_not_begin_lets_go_of_its_layer(dock, viewer, folder):
    layer = viewer.layers["ribosomes"]
    path = dock.review.path
    dock.review_layer(None)
    path.unlink(missing_ok=True)
    path.mkdir(parents=True)
    dock.review_layer(layer)
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)

    assert "can't be read" in dock.notice.text
    assert (dock.layer, dock.review) == (None, None)
    assert dock.findChildren(ReviewedLayer) == []


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


def test_crops_are_cut_anew_when_a_layer_gets_another_volume(dock, viewer, qtbot):
    viewer.layers["volume"].data = volume() * 3
    qtbot.waitUntil(lambda: dock.feed.crop(1) is not None and dock.feed.crop(1).values.max() > 5, timeout=LONG_MS)


def test_a_layer_with_a_point_that_is_nowhere_is_said_to_be_none_to_review(dock, viewer):
    stray = viewer.add_points([[np.nan, 20, 20], [5, 5, 5]], name="stray")
    dock.review_layer(stray)

    assert dock.review is None
    assert "stray can't be reviewed" in dock.notice.text


def test_a_layer_without_points_has_nothing_to_judge(dock, viewer, qtbot):
    empty = viewer.add_points(ndim=3, name="empty")
    dock.review_layer(empty)
    dock.judge(Verdict.KEPT)
    dock.next_undecided()

    assert dock.model.rowCount() == 0
    assert dock.counts.text().startswith("0 of 0 judged")
    assert dock.empty.text().startswith("This layer holds no picks.")
    assert not dock.status.label.text()
    empty.add([[1.0, 2.0, 3.0]])
    qtbot.waitUntil(lambda: dock.model.rowCount() == 1, timeout=LONG_MS)
    assert "holds no picks" not in dock.empty.text()
    dock.sheet.go_to(0)
    dock.judge(Verdict.KEPT)
    assert letters(dock) == "K"


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


def test_picks_that_all_lie_outside_are_said_to(dock, viewer, qtbot):
    assert not dock.empty.isVisible()
    viewer.layers["volume"].translate = (0, 9000, 0)
    qtbot.waitUntil(dock.empty.isVisible, timeout=LONG_MS)
    assert "None of these picks lies inside this tomogram" in dock.empty.text()

    viewer.layers["volume"].translate = (0, 0, 0)
    qtbot.waitUntil(lambda: not dock.empty.isVisible(), timeout=LONG_MS)


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


def test_the_width_of_voxels_is_asked_of_a_tomogram_in_pixels_beside_picks_in_angstrom_alone(dock, viewer, qtbot):
    image = viewer.add_image(volume(), name="in pixels")
    other = viewer.add_image(volume(), name="other")
    choose_uppermost(dock, qtbot, other)
    assert dock.controls.voxels.isVisible()
    dock.controls.voxels.selectAll()
    qtbot.keyClicks(dock.controls.voxels, "12")
    dock.review_layer(dock.layer, image)
    assert dock.controls.voxels.text() == "unknown"
    np.testing.assert_array_equal(image.scale, (1, 1, 1))

    dock.review_layer(viewer.add_points(POINTS, name="in pixels, too"), image)
    assert not dock.controls.voxels.isVisible()
    assert "Nothing says in which unit" in dock.empty.text()
    dock.review_layer(None)
    assert not dock.controls.voxels.isVisible()


def test_a_filter_that_matches_nothing_says_so(dock, qtbot):
    qtbot.keyClicks(dock.controls.filter, "score > 5")
    qtbot.keyClick(dock.controls.filter, Qt.Key.Key_Return)
    assert dock.model.rowCount() == 0
    assert dock.status.label.text() == "No pick matches the filter. Clear it to see all."


def test_only_points_in_three_axes_of_a_viewer_with_a_window_can_be_reviewed(viewer_in_hidden_window, viewer_model):
    for viewer, layer, error in (
        (viewer_in_hidden_window, Image(np.zeros((3, 3, 3))), TypeError),
        (viewer_in_hidden_window, Points(np.zeros((3, 2))), ValueError),
        (viewer_model, Points(np.zeros((3, 3))), TypeError),
    ):
        with pytest.raises(error):
            review_picks(viewer, layer)


def test_what_many_decisions_were_about_is_selected_as_few_runs(dock):
    dock.sheet.select([0, 1, 2, 5, 6, 9])

    assert dock.sheet.selected_places == [0, 1, 2, 5, 6, 9]
    assert len(dock.sheet.selectionModel().selection()) == 3


def test_values_that_are_missing_are_counted_in_words(dock, viewer, qtbot):
    def status_of(scores):
        picks = Picks(POINTS, SPACING, scores=scores)
        common = {"scale": (SPACING,) * 3, "units": ("angstrom",) * 3}
        looks = {"color": (1, 0, 0, 1), "diameter_angstrom": 60.0, "spacing_angstrom": SPACING}
        (layer,) = add_layers(viewer, [points_spec(picks, common, name="scored", **looks)])
        dock.review_layer(layer)
        dock.controls.order.setCurrentIndex(dock.controls.order.findData("score"))
        qtbot.waitUntil(lambda: "Reading" not in dock.status.label.text(), timeout=LONG_MS)
        return dock.status.label.text()

    assert status_of([np.nan] * 10).startswith("None of these picks has that value")
    assert status_of([np.nan, *range(9)]) == "1 pick without that value comes last."


def test_nothing_is_squeezed_in_a_low_dock(dock, qtbot):
    dock.resize(360, 360)
    qtbot.waitUntil(lambda: dock.height() == 360)

    assert dock.width() == 360  # with a bar to scroll by, too
    assert cut_texts(dock) == []
    rows = [dock.controls.points, dock.controls.image, dock.controls.side, dock.controls.plane, dock.controls.order]
    tops = [row.mapTo(dock.controls, row.rect().topLeft()).y() for row in [*rows, dock.controls.filter]]
    assert min(np.diff(tops)) >= dock.controls.side.height()


def sort_by(dock, name):
    dock.controls.order.setCurrentIndex(dock.controls.order.findData(name))


def delete(viewer, *rows):
    layer = viewer.layers["ribosomes"]
    layer.selected_data = set(rows)
    layer.remove_selected()


def test_the_keys_stay_at_their_pick_when_others_are_deleted_and_go_on_when_it_is(dock, press, viewer, qtbot):
    dock.sheet.go_to(5)
    delete(viewer, 1, 2)
    assert len(dock.review.picks) == 8
    press(Qt.Key.Key_K)
    assert dock.review.decisions.ids(Verdict.KEPT).tolist() == [5]

    delete(viewer, dock.sheet.currentIndex().row())
    press(Qt.Key.Key_X)
    assert dock.review.decisions.ids(Verdict.REJECTED).tolist() == [6]


def test_the_sheet_shows_the_picks_that_are_left_while_these_are_measured_anew(dock, press, viewer, qtbot, monkeypatch):
    sort_by(dock, "density")
    dock.controls.direction.click()
    qtbot.waitUntil(lambda: dock.review.order.column == "density", timeout=LONG_MS)
    dock.sheet.go_to(0)  # pick 9 is the densest
    gate, densities_at = threading.Event(), measuring.densities_at

    def wait(*args, **options):
        gate.wait(30)
        return densities_at(*args, **options)

    monkeypatch.setattr(measuring, "densities_at", wait)
    resets = []
    dock.model.modelReset.connect(lambda: resets.append(dock.model.rowCount()))
    delete(viewer, 0, 1)
    qtbot.waitUntil(lambda: dock.status.label.text() == "Measuring picks…", timeout=LONG_MS)
    assert resets == [8]
    press(Qt.Key.Key_K)
    assert dock.review.decisions.ids(Verdict.KEPT).tolist() == [9]

    gate.set()
    qtbot.waitUntil(lambda: dock.review.order.column == "density", timeout=LONG_MS)
    assert dock.review.shown_ids.tolist() == list(range(9, 1, -1))
    assert dock.sheet.selected_places == [0]
    delete(viewer, 7)  # pick 9, so that the next densest is next
    qtbot.waitUntil(lambda: dock.review.order.column == "density", timeout=LONG_MS)
    press(Qt.Key.Key_X)
    assert dock.review.decisions.ids(Verdict.REJECTED).tolist() == [8]


def test_density_is_that_of_the_particle_however_wide_crops_are(dock, qtbot):
    sort_by(dock, "density")
    qtbot.waitUntil(lambda: "density" in dock.review.columns, timeout=LONG_MS)
    before = dock.review.columns["density"]
    dock.controls.side.setValue(40)
    qtbot.waitUntil(lambda: dock.feed.frame.side_angstrom == 400, timeout=LONG_MS)
    qtbot.waitUntil(lambda: "density" in dock.review.columns, timeout=LONG_MS)

    np.testing.assert_array_equal(dock.review.columns["density"], before)


def test_without_a_volume_what_takes_one_is_said_and_the_nearest_pick_is_found_all_the_same(dock, viewer, qtbot):
    viewer.layers.remove("volume")
    qtbot.waitUntil(lambda: dock.image is None, timeout=LONG_MS)
    sort_by(dock, "density")
    assert dock.review.order.column == ""
    assert dock.status.label.text() == "Not sorted by density: that isn't measured."
    qtbot.keyClicks(dock.controls.filter, "edge_nm > 3")
    qtbot.keyClick(dock.controls.filter, Qt.Key.Key_Return)
    assert dock.controls.filter_problem.text() == "edge_nm is measured in a tomogram: choose one above."

    dock.controls.filter.setText("nearest_nm in 9..11")
    qtbot.keyClick(dock.controls.filter, Qt.Key.Key_Return)
    assert dock.model.rowCount() == 10
    sort_by(dock, "nearest_nm")
    assert dock.review.order.column == "nearest_nm"
    assert "Not sorted" not in dock.status.label.text()


def test_a_pick_that_is_chosen_in_the_viewer_with_ctrl_held_is_the_only_one_that_the_next_key_judges(
    dock, press, viewer
):
    layer, window = viewer.layers["ribosomes"], dock.window().windowHandle()
    QTest.keyPress(window, Qt.Key.Key_Control, CONTROL)
    try:
        layer.selected_data = {7}
    finally:
        QTest.keyRelease(window, Qt.Key.Key_Control)
    assert dock.sheet.selected_places == [7]
    press(Qt.Key.Key_X)
    assert letters(dock) == "-------X--"


def test_kept_picks_of_a_layer_that_was_moved_are_where_the_viewer_shows_them(dock, viewer, tmp_path, qtbot):
    layer = viewer.layers["ribosomes"]
    layer.translate = (0, 0, 5 * SPACING)
    layer.affine = np.diag([1.0, 1, 1, 1]) + np.array([[0] * 4, [0, 0, 0, 3 * SPACING], [0] * 4, [0] * 4])
    dock.sheet.select([1, 2])
    dock.judge(Verdict.KEPT)
    dock.results.add_layer(Verdict.KEPT)
    shown = [layer.data_to_world(layer.data[row]) for row in (1, 2)]
    kept = viewer.layers["ribosomes · kept 2"]
    np.testing.assert_allclose([kept.data_to_world(place) for place in kept.data], shown)

    with qtbot.waitSignal(dock.results.told, timeout=LONG_MS):
        dock.results.export_kept(tmp_path / "kept.ndjson")
    np.testing.assert_allclose(read_picks(tmp_path / "kept.ndjson").positions_angstrom_zyx, shown)
    layer.affine = np.eye(4)
    layer.rotate = 30
    with qtbot.waitSignal(dock.results.failed, timeout=LONG_MS) as failed:
        dock.results.export_kept(tmp_path / "turned.ndjson")
    assert "rotated or sheared" in str(failed.args[0])


def test_layers_without_a_unit_say_what_lengths_hold_for(dock, viewer):
    plain = viewer.add_points(POINTS, name="plain")
    dock.review_layer(plain)
    assert "Nothing says in which unit" in dock.empty.text()
    dock.review_layer(viewer.layers["ribosomes"])
    assert not dock.empty.isVisible()


def test_a_layer_of_ones_own_that_is_renamed_keeps_its_decisions(dock, viewer, qtbot):
    layer = viewer.add_points(POINTS[:5], name="mine", scale=(SPACING,) * 3, units=("angstrom",) * 3)
    dock.review_layer(layer)
    dock.sheet.select([1, 2])
    dock.judge(Verdict.KEPT)
    layer.name = "better name"
    qtbot.waitUntil(lambda: dock.controls.points.currentText() == "better name", timeout=LONG_MS)
    dock.review_layer(viewer.layers["ribosomes"])
    dock.review_layer(layer)

    assert letters(dock) == "-KK--"
    assert dock.review.subject.name == "better name"


def test_points_that_can_not_be_picks_are_said_until_they_are_gone(dock, viewer):
    layer = viewer.layers["ribosomes"]
    layer.add([np.nan] * 3)
    assert dock.empty.isVisible()
    assert "can't be picks: pick 11 is nowhere: its place is nan, nan, nan (z, y, x)." in dock.empty.text()
    assert len(dock.review.picks) == 10

    layer.selected_data = {10}
    layer.remove_selected()
    assert not dock.empty.isVisible()

    layer.add([np.nan] * 3)
    assert dock.empty.isVisible()
    link_of(layer).undo()
    assert not dock.empty.isVisible()


def test_a_flight_to_picks_in_nanometres_is_as_far_as_the_viewer_counts(dock, viewer):
    layer = viewer.layers["ribosomes"]
    layer.scale, layer.units = (SPACING / 10,) * 3, ("nm",) * 3
    dock.fly_to(7)

    assert viewer.dims.point == pytest.approx(POINTS[7] * SPACING)


def test_crops_of_layers_that_are_flipped_together_stay_as_they_were(dock, viewer, qtbot):
    turn = np.array([[0.0, -1, 0], [0.6, 0, -0.8], [0.8, 0, 0.6]])
    layer = viewer.layers["ribosomes"]
    link = link_of(layer)
    link.set(link.picks.changed(rotations_zyx=np.stack([turn] * 10)))
    dock.controls.plane.setCurrentIndex(1)
    dock.controls.oriented.setChecked(True)
    qtbot.waitUntil(lambda: dock.feed.frame.plane == "xz" and has_all_crops(dock), timeout=LONG_MS)
    before = [dock.feed.crop(row).values for row in range(10)]
    reader = dock._reader
    for each in (layer, viewer.layers["volume"]):
        each.scale = (-SPACING, SPACING, SPACING)
    qtbot.waitUntil(lambda: dock._reader is not reader and has_all_crops(dock), timeout=LONG_MS)

    for row in range(10):
        np.testing.assert_allclose(dock.feed.crop(row).values, before[row], atol=1e-5)
