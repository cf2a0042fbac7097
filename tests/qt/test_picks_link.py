"""Picks and the layer that shows them stay in step, both ways."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from napari.layers import Points
from napari.layers.points._points_mouse_bindings import select
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_cryoet._qt.layers.manager import add_layers
from napari_cryoet._qt.picks.layer_picks import picks_of
from napari_cryoet._qt.picks.picks_link import link_of
from napari_cryoet.layers.specs import METADATA_KEY, PICK_ID, points_spec
from napari_cryoet.picks import Picks

ROTATIONS = np.stack([np.eye(3), [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], np.full((3, 3), np.nan)])
PLACES = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]


@pytest.fixture
def picks():
    return Picks(
        PLACES,
        10.0,
        rotations_zyx=ROTATIONS,
        scores=[0.25, np.nan, 0.75],
        features={"by": np.array(["me", "you", "them"], dtype=object), "class": np.array([1, 2, 3])},
    )


@pytest.fixture
def viewer(viewer_model):
    viewer_model.dims.ndisplay = 3  # since napari 0.9.2 can't paste points into a slice
    return viewer_model


def add_picks(viewer, picks):
    common = {"scale": (10.0,) * 3, "units": ("angstrom",) * 3, "metadata": {METADATA_KEY: {"kind": "annotation"}}}
    spec = points_spec(picks, common, name="picks", color=(1, 0, 0, 1), diameter_angstrom=100, spacing_angstrom=10)
    return add_layers(viewer, [spec])[0]


@pytest.fixture
def layer(viewer, picks):
    return add_picks(viewer, picks)


@pytest.fixture
def link(layer):
    return link_of(layer)


class TestWhatIsDoneToTheLayer:
    def test_a_layer_has_one_link_which_starts_with_the_picks_that_it_was_made_of(self, layer, link, picks):
        assert link_of(layer) is link
        assert link.picks.ids.tolist() == [0, 1, 2]
        assert link.picks.edits == ()
        assert not link.undo()

    def test_a_drag_is_one_step_however_many_places_it_goes_through(self, qapp, layer, link):
        layer.size = 1  # else others lie below the cursor, too
        layer.mode = "select"
        layer.selected_data = {1}
        event = SimpleNamespace(
            position=tuple(np.multiply(PLACES[1], 10)),
            view_direction=np.array([1.0, 0.0, 0.0]),
            dims_displayed=[0, 1, 2],
            modifiers=(),
            type="mouse_press",
        )
        heard = []
        link.changed.connect(lambda: heard.append(link.picks.points_zyx[1].tolist()))
        drag = select(layer, event)
        next(drag)
        event.type = "mouse_move"
        for step in range(1, 6):
            event.position = (40.0, 50.0, 60.0 + 10 * step)
            next(drag)
            assert layer.features is not None  # as napari's status bar, which asks for them at each step
            QTest.qWait(0)
            qapp.processEvents()
        event.type = "mouse_release"
        next(drag, None)

        assert heard == [[4, 5, 11]]
        assert link.picks.edits == ("moved 1 pick",)
        link.undo()
        assert layer.data[1].tolist() == [4, 5, 6]

    def test_moving_picks_is_told_in_words_and_as_a_signal(self, qtbot, layer, link):
        with qtbot.waitSignal(link.changed):
            layer.data = np.add(PLACES, [[0, 0, 0], [1, 0, 0], [1, 0, 0]])

        assert link.picks.points_zyx[:, 0].tolist() == [1, 5, 8]
        assert link.picks.edits == ("moved 2 picks",)
        assert picks_of(layer) is link.picks

    def test_a_new_point_is_a_pick_of_its_own_at_once_though_another_was_selected(self, layer, link):
        layer.selected_data = {0}  # whose features napari gives to the next point
        layer.add([1.5, 1.5, 1.5])

        assert layer.features[PICK_ID].tolist() == [0, 1, 2, 3]
        assert np.isnan(layer.features["score"][3])
        assert not link.picks.are_oriented[3]
        assert link.picks.edits == ("added 1 pick",)

    def test_the_id_of_a_deleted_pick_is_never_given_again(self, layer, link):
        layer.remove([2])
        layer.add([0, 0, 0])
        layer.remove([2])
        layer.add([0, 0, 0])

        assert link.picks.ids.tolist() == [0, 1, 4]
        assert layer.features[PICK_ID].tolist() == [0, 1, 4]

    def test_more_points_in_one_go_are_new_picks(self, layer, link):
        layer.selected_data = {1}
        layer.data = [*PLACES, [0, 0, 0], [1, 1, 1]]

        assert link.picks.ids.tolist() == [0, 1, 2, 3, 4]
        assert link.picks.are_oriented.tolist() == [True, True, False, False, False]

    def test_a_pasted_pick_has_the_orientation_of_its_original(self, layer, link):
        layer.selected_data = {1}
        layer._copy_data()
        layer._paste_data()

        assert layer.features[PICK_ID].tolist() == [0, 1, 2, 3]
        np.testing.assert_array_equal(link.picks.rotations_zyx[3], ROTATIONS[1])

    def test_a_pick_that_is_cut_and_pasted_is_the_one_that_it_was(self, layer, link):
        layer.selected_data = {1}
        layer._copy_data()
        layer.remove_selected()
        layer._paste_data()
        layer._paste_data()

        assert link.picks.ids.tolist() == [0, 2, 1, 3]
        np.testing.assert_array_equal(link.picks.rotations_zyx[2:], ROTATIONS[[1, 1]])

    def test_a_cell_that_is_edited_in_napari_s_table_is_noticed(self, qtbot, layer, link):
        with qtbot.waitSignal(link.changed):
            layer.features.iloc[1, layer.features.columns.get_loc("score")] = 0.5  # as napari's table does it

        assert link.picks.scores.tolist() == [0.25, 0.5, 0.75]
        assert link.picks.edits == ("changed score of 1 pick",)

    def test_a_column_that_is_added_belongs_to_the_picks(self, layer, link):
        layer.features = layer.features.assign(good=[True, False, True])

        assert link.picks.features["good"].tolist() == [True, False, True]
        assert link.picks.edits == ("changed good of 3 picks",)

    def test_all_picks_can_be_deleted_and_come_back(self, layer, link):
        layer.data = np.empty((0, 3))
        assert len(link.picks) == 0
        link.undo()

        assert layer.data.tolist() == PLACES
        assert link.picks.ids.tolist() == [0, 1, 2]


class TestWhatIsDoneToThePicks:
    def test_other_picks_show_in_the_layer_without_an_echo(self, layer, link):
        heard = []
        link.changed.connect(lambda: heard.append(link.picks))
        link.set(link.picks.take([2, 0], "dropped the middle one"))

        assert layer.data.tolist() == [PLACES[2], PLACES[0]]
        assert layer.features["by"].tolist() == ["them", "me"]
        assert layer.features[PICK_ID].tolist() == [2, 0]
        assert [picks.edits for picks in heard] == [("dropped the middle one",)]

    def test_picks_keep_their_looks_and_stay_selected_wherever_their_row_goes(self, layer, link):
        layer.border_color = [[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1]]
        layer.size = [1, 2, 3]
        layer.shown = [True, True, False]
        layer.selected_data = {2}
        link.set(link.picks.take([2, 1]))

        assert layer.border_color.tolist() == [[0, 0, 1, 1], [0, 1, 0, 1]]
        assert layer.size.tolist() == [3, 2]
        assert layer.shown.tolist() == [False, True]
        assert set(layer.selected_data) == {0}
        assert link.selected_ids.tolist() == [2]

    def test_picks_in_other_voxels_are_put_where_they_belong(self, layer, link):
        link.set(link.picks.rescaled(5.0), "")

        assert layer.data.tolist() == PLACES
        assert link.picks.spacing_angstrom == 10

    def test_there_may_be_no_picks_for_a_while(self, layer, link):
        layer.border_color = [[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1]]
        link.set(link.picks.take([], "dropped all"))
        layer.add([0, 0, 0])
        assert len(layer.border_color) == 1
        link.undo()
        link.undo()

        assert layer.data.tolist() == PLACES
        assert layer.border_color.tolist() == [[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1]]

    def test_a_pick_can_be_selected_by_its_id(self, layer, link):
        layer.remove([0])
        link.select([2, 99])

        assert set(layer.selected_data) == {1}


class TestUndo:
    def test_each_edit_is_taken_back_and_done_again(self, layer, link):
        layer.add([0, 0, 0])
        layer.remove([0])
        link.set(link.picks.changed("shifted", points_zyx=link.picks.points_zyx + 1))
        assert link.undo_text == "shifted"

        assert link.undo()
        assert layer.data.tolist() == [*PLACES[1:], [0, 0, 0]]
        assert (link.undo_text, link.redo_text) == ("deleted 1 pick", "shifted")
        assert link.undo()
        assert link.undo()
        assert not link.undo()
        assert layer.data.tolist() == PLACES
        assert link.picks.edits == ()
        assert link.redo()
        assert link.redo()
        assert link.redo()
        assert not link.redo()
        assert link.picks.edits == ("added 1 pick", "deleted 1 pick", "shifted")
        assert layer.data.tolist() == [[5, 6, 7], [8, 9, 10], [1, 1, 1]]

    def test_a_deleted_pick_comes_back_as_it_looked(self, layer, link):
        layer.border_color = [[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1]]
        layer.size = [1, 2, 3]
        layer.selected_data = {0}
        layer.remove_selected()
        layer.remove([0])
        link.undo()
        link.undo()

        assert layer.border_color.tolist() == [[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1]]
        assert layer.size.tolist() == [1, 2, 3]
        np.testing.assert_array_equal(link.picks.rotations_zyx, ROTATIONS)

    def test_after_another_edit_there_is_nothing_to_do_again(self, layer, link):
        layer.remove([0])
        link.undo()
        layer.remove([1])

        assert not link.redo()

    def test_the_keys_do_it_in_the_window(self, qtbot, make_napari_viewer, picks):
        viewer = make_napari_viewer(ndisplay=3)
        layer = add_picks(viewer, picks)
        link_of(layer)
        canvas = viewer.window._qt_viewer.canvas.native
        viewer.layers.selection.active = layer
        layer.remove([0])
        qtbot.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
        assert len(layer.data) == 3
        qtbot.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
        assert len(layer.data) == 2


class TestAPersonsOwnLayer:
    def test_it_is_linked_when_asked_for_and_keeps_what_it_had(self, viewer):
        own = viewer.add_points(PLACES, features={"score": [1.0, 2.0, 3.0], "kind": ["a", "b", "c"]}, scale=(1, 1, 1))
        assert PICK_ID not in own.features
        link = link_of(own)
        own.remove([0])
        own.add([0, 0, 0])

        assert list(own.features) == ["score", "kind", PICK_ID]
        assert own.features[PICK_ID].tolist() == [1, 2, 3]
        assert own.features["kind"].tolist() == ["b", "c", "c"]  # napari's own way
        link.undo()
        link.undo()
        assert own.features["kind"].tolist() == ["a", "b", "c"]
        assert own.features["score"].tolist() == [1, 2, 3]

    def test_its_scale_says_how_wide_voxels_are_also_when_it_is_mended_later(self, viewer):
        own = viewer.add_points(PLACES)
        link = link_of(own)
        own.remove([0])
        assert link.picks.spacing_angstrom is None
        own.scale, own.units = (7.5,) * 3, ("angstrom",) * 3

        assert link.picks.spacing_angstrom == 7.5
        link.undo()
        assert (link.picks.spacing_angstrom, len(link.picks)) == (7.5, 3)

    def test_what_has_no_three_coordinates_has_no_picks(self):
        with pytest.raises(ValueError, match="three coordinates"):
            link_of(Points(np.ones((2, 2))))

    def test_nothing_of_a_layer_that_is_gone_stays(self, qtbot):
        own = Points(PLACES)
        reference = weakref.ref(link_of(own))
        del own
        gc.collect()

        assert reference() is None


def test_a_hundred_thousand_picks_are_followed():
    many = Points(np.random.default_rng(1).uniform(0, 900, (100_000, 3)))
    link = link_of(many)
    many.remove(list(range(0, 100_000, 2)))

    assert len(link.picks) == 50_000
    link.undo()
    assert len(many.data) == 100_000
