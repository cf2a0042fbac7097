"""Picks and the layer that shows them stay in step, both ways."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from napari.layers import Points
from napari.layers._layer_actions import _duplicate_layer
from napari.layers.points._points_mouse_bindings import select
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_cryoet._qt.adding import add_layers
from napari_cryoet._qt.layer_picks import picks_of
from napari_cryoet._qt.picks_link import link_of
from napari_cryoet.layers.specs import METADATA_KEY, PICK_ID, PICKS_KEY, points_spec
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

    @pytest.mark.parametrize("shift", [[2.5, -1.0, 0.0], [2, -1, 0]], ids=["reals", "whole numbers"])
    def test_a_new_point_has_nothing_of_the_image_that_was_cut_out_of_the_one_that_was_selected(self, viewer, shift):
        images = {"rlnImageName": np.array(["a.mrcs", "b.mrcs", "c.mrcs"], dtype=object)}
        images |= {"rlnOriginXAngst": np.array(shift), "rlnTomoSubtomogramTilt": np.array(shift)}
        layer = add_picks(viewer, Picks(PLACES, 10.0, features=images | {"class": np.array([1, 2, 3])}))
        layer.selected_data = {0}
        layer.add([1.5, 1.5, 1.5])

        features = picks_of(layer).features
        assert {name: column[3] for name, column in features.items()} == {
            "rlnImageName": "",
            "rlnOriginXAngst": 0,
            "rlnTomoSubtomogramTilt": 0,
            "class": 1,
        }
        assert features["rlnImageName"][0] == "a.mrcs"

    def test_a_new_point_keeps_what_is_only_called_like_a_shift(self, viewer):
        layer = add_picks(viewer, Picks(PLACES, 10.0, features={"dx": np.array([1, 2, 3])}))
        layer.selected_data = {0}
        layer.add([1.5, 1.5, 1.5])

        assert picks_of(layer).features["dx"].tolist() == [1, 2, 3, 1]

    def test_the_id_of_a_deleted_pick_is_never_given_again(self, layer, link):
        layer.remove([2])
        layer.add([0, 0, 0])
        layer.remove([2])
        layer.add([0, 0, 0])

        assert link.picks.ids.tolist() == [0, 1, 4]
        assert layer.features[PICK_ID].tolist() == [0, 1, 4]

    def test_nor_is_it_by_a_script_or_after_an_undo(self, layer, link):
        link.set(link.picks.take([0, 1]))
        link.set(link.picks.added([[0, 0, 0]]))
        assert link.picks.ids.tolist() == [0, 1, 3]

        link.undo()
        link.set(link.picks.added([[5, 5, 5]]))
        assert link.picks.ids.tolist() == [0, 1, 4]

    def test_a_layer_can_be_duplicated_whatever_its_columns_are(self, viewer, layer, link):
        viewer.layers.selection = {layer}
        _duplicate_layer(viewer.layers)  # "class" holds whole numbers, of which none stands for what isn't known
        copy = viewer.layers["picks copy"]
        copy.add([0, 0, 0])

        assert picks_of(copy).features["class"][:3].tolist() == [1, 2, 3]
        assert np.isnan(picks_of(copy).features["class"][3])
        assert len(link.picks) == 3

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

    def test_a_pasted_pick_has_nothing_of_the_image_that_was_cut_out_of_its_original(self, viewer):
        images = {"rlnImageName": np.array(["a.mrcs", "b.mrcs", "c.mrcs"], dtype=object)}
        images |= {"rlnOriginXAngst": np.array([2.5, -1.0, 0.5]), "class": np.array([1, 2, 3])}
        layer = add_picks(viewer, Picks(PLACES, 10.0, features=images))
        link = link_of(layer)
        layer.selected_data = {1}
        layer._copy_data()
        layer._paste_data()

        assert link.picks.features["rlnImageName"].tolist() == ["a.mrcs", "b.mrcs", "c.mrcs", ""]
        assert link.picks.features["rlnOriginXAngst"].tolist() == [2.5, -1, 0.5, 0]
        assert link.picks.features["class"].tolist() == [1, 2, 3, 2]
        assert layer.features["rlnImageName"].tolist() == ["a.mrcs", "b.mrcs", "c.mrcs", ""]
        assert link.picks.edits == ("added 1 pick",)

    def test_of_a_pick_that_is_cut_and_pasted_twice_only_the_first_has_its_image(self, viewer):
        images = {"rlnImageName": np.array(["a.mrcs", "b.mrcs", "c.mrcs"], dtype=object)}
        layer = add_picks(viewer, Picks(PLACES, 10.0, features=images))
        link = link_of(layer)
        layer.selected_data = {1}
        layer._copy_data()
        layer.remove_selected()
        layer._paste_data()
        layer._paste_data()

        assert link.picks.features["rlnImageName"].tolist() == ["a.mrcs", "c.mrcs", "b.mrcs", ""]
        link.undo()
        assert link.picks.features["rlnImageName"].tolist() == ["a.mrcs", "c.mrcs", "b.mrcs"]

    @pytest.mark.parametrize("typed", [2, 77, -1, np.nan, "seven"])
    def test_what_is_typed_into_the_column_of_ids_makes_no_pick_another_one(self, layer, link, typed):
        before = link.picks
        layer.features[PICK_ID] = layer.features[PICK_ID].astype(object)
        layer.features.loc[0, PICK_ID] = typed

        assert link.picks.ids.tolist() == [0, 1, 2]
        np.testing.assert_array_equal(link.picks.rotations_zyx, ROTATIONS)
        assert (link.obstacle, link.undo_text, link.picks.edits) == ("", "", before.edits)
        assert layer.features[PICK_ID].tolist() == [0, 1, 2]

    def test_a_pick_that_is_cut_and_pasted_is_the_one_that_it_was(self, layer, link):
        layer.selected_data = {1}
        layer._copy_data()
        layer.remove_selected()
        layer._paste_data()
        layer._paste_data()

        assert link.picks.ids.tolist() == [0, 2, 1, 3]
        np.testing.assert_array_equal(link.picks.rotations_zyx[2:], ROTATIONS[[1, 1]])

    def test_picks_that_all_are_cut_and_pasted_keep_their_orientations(self, layer, link):
        layer.selected_data = {0, 1, 2}
        layer._copy_data()
        layer.remove_selected()
        layer._paste_data()

        assert link.picks.ids.tolist() == [0, 1, 2]
        np.testing.assert_array_equal(link.picks.rotations_zyx, ROTATIONS)

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

    def test_points_that_are_nowhere_break_nothing_until_they_are_asked_for(self, layer, link):
        layer.data = [[np.nan, 0, 0], *PLACES[1:]]

        with pytest.raises(ValueError, match="pick 1 is nowhere"):
            _ = link.picks

    @pytest.mark.parametrize("do", [lambda layer: layer.add([np.nan, 0, 0]), lambda layer: layer.remove([0])])
    def test_undo_takes_back_what_made_points_that_are_nowhere(self, layer, link, do):
        layer.size = [1, 2, 3]
        assert link.undo_text == ""
        layer.data = [PLACES[0], [np.inf, 0, 0], PLACES[2]]
        do(layer)
        assert "is nowhere: its place is inf, 0, 0 (z, y, x)" in link.obstacle
        assert link.undo_text
        assert not link.redo()
        assert link.undo()

        assert layer.data.tolist() == PLACES
        assert layer.size.tolist() == [1, 2, 3]
        assert layer.features["by"].tolist() == ["me", "you", "them"]
        assert (link.obstacle, link.undo_text, link.picks.edits) == ("", "", ())

    def test_rows_that_are_there_no_more_are_not_selected_any_longer(self, layer, link):
        layer.selected_data = {0, 2}
        layer.data = PLACES[:2]  # napari goes on with both

        assert link.selected_ids.tolist() == [0]
        layer.remove([1])
        link.undo()
        link.undo()
        assert layer.data.tolist() == PLACES


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
    def test_what_a_script_does_without_a_word_leaves_nothing_to_do_again(self, layer, link):
        layer.remove([0])
        link.undo()
        layer.data[0] += 1
        assert link.redo_text == ""
        assert not link.redo()

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

    @pytest.mark.parametrize(("column", "mode"), [("score", "colormap"), ("class", "cycle")])
    def test_colours_by_a_column_stay_so_through_undo_and_for_new_picks(self, layer, link, column, mode):
        layer.features.loc[1, "score"] = 0.5  # napari shows nothing at all by a column with a gap
        for name in ("face_color", "border_color"):
            setattr(layer, name, column)
            setattr(layer, f"{name}_mode", mode)
        before = layer.face_color.copy()
        layer.selected_data = {0}
        layer.remove_selected()
        link.undo()
        layer.add([1, 1, 1])

        assert len(link.picks) == 4
        assert (layer.face_color_mode, layer.border_color_mode) == (mode, mode)
        np.testing.assert_array_equal(layer.face_color[:3], before)
        layer.features = layer.features.assign(**{column: [2, 2, 2, 1]})
        np.testing.assert_array_equal(layer.face_color[:2], layer.face_color[1:3])
        link.undo()
        link.undo()
        np.testing.assert_array_equal(layer.border_color, before)

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

    @pytest.mark.parametrize(("rows", "left"), [([0], ["square", "ring"]), ([0, 1, 2], [])])
    def test_what_is_done_to_hidden_picks_is_taken_back_and_done_again_too(self, make_napari_viewer, picks, rows, left):
        layer = add_picks(make_napari_viewer(ndisplay=3), picks)
        link = link_of(layer)
        layer.symbol, layer.text = ["disc", "square", "ring"], "by"
        layer.remove(rows)
        link.undo()
        layer.visible = False

        assert link.redo()
        assert [str(symbol) for symbol in layer.symbol] == left

    @pytest.mark.parametrize("delete", [lambda layer: layer.remove([0, 1]), lambda layer: setattr(layer, "data", [])])
    def test_hidden_picks_of_which_some_were_deleted_take_other_symbols_and_texts(
        self, make_napari_viewer, picks, delete
    ):
        layer = add_picks(make_napari_viewer(ndisplay=3), picks)
        link_of(layer)
        layer.visible = False
        delete(layer)
        layer.symbol, layer.text = "square", "by"

        assert [str(symbol) for symbol in layer.symbol] == ["square"] * len(layer.data)

    def test_the_oldest_states_are_forgotten_before_they_take_too_much(self, layer, link, monkeypatch):
        monkeypatch.setattr("napari_cryoet.picks.history.UNDO_BYTES", 1)
        layer.remove([0])
        layer.remove([0])

        assert link.undo()
        assert not link.undo()

    def test_picks_stay_who_they_are_when_another_table_is_put_in_place_of_theirs(self, layer, link, picks):
        layer.features = {"class": [5, 6, 7]}

        assert link.picks.ids.tolist() == [0, 1, 2]
        np.testing.assert_array_equal(link.picks.rotations_zyx, ROTATIONS)
        assert layer.features[PICK_ID].tolist() == [0, 1, 2]
        assert link.picks.edits == ("changed by of 3 picks, changed class of 3 picks, changed score of 3 picks",)
        link.undo()
        assert layer.features["by"].tolist() == ["me", "you", "them"]

    @pytest.mark.parametrize(
        "theirs", [{"mine": 1}, {PICKS_KEY: "none"}, {PICKS_KEY: Picks(np.array(PLACES) + 1, 10.0)}]
    )
    def test_and_when_other_metadata_are(self, layer, link, picks, theirs):
        layer.metadata = theirs
        layer.data = [[1.0, 2.0, 4.0], *PLACES[1:]]

        assert link.picks.edits == ("moved 1 pick",)
        np.testing.assert_array_equal(link.picks.rotations_zyx, ROTATIONS)
        assert layer.metadata[PICKS_KEY] is link.picks


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

    def test_an_edit_of_its_table_in_place_is_noticed(self, qtbot, viewer):
        own = viewer.add_points(PLACES, features={"class": [1, 2, 3]})
        link = link_of(own)
        with qtbot.waitSignal(link.changed):
            own.features.loc[1, "class"] = 5

        assert link.undo_text == "changed class of 1 pick"
        assert type(own).__name__ == "Points"

    def test_categories_stay_categories(self, viewer):
        import pandas as pd

        own = viewer.add_points(PLACES, features=pd.DataFrame({"kind": pd.Categorical(["a", "b", "a"])}))
        link = link_of(own)
        link.set(link.picks.take([1, 2]))

        assert isinstance(own.features["kind"].dtype, pd.CategoricalDtype)

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


class TestOwnColumns:
    """A person's own column may be called as ours."""

    def test_different_whole_numbers_are_the_ids_of_the_picks(self, viewer):
        own = viewer.add_points(PLACES, features={PICK_ID: [101, 7, 300]})
        assert picks_of(own).ids.tolist() == [101, 7, 300]
        link = link_of(own)
        own.remove([0])

        assert link.picks.ids.tolist() == [7, 300]
        assert own.features[PICK_ID].tolist() == [7, 300]

    @pytest.mark.parametrize("column", [["a", "b", "c"], [1, 1, 2], [0.5, 1.0, 2.0], [1.0, np.nan, 2.0], [-1, 0, 1]])
    def test_anything_else_goes_on_under_another_name(self, viewer, column):
        own = viewer.add_points(PLACES, features={PICK_ID: column})
        np.testing.assert_array_equal(picks_of(own).features["own_pick_id"], column)
        link = link_of(own)

        np.testing.assert_array_equal(own.features["own_pick_id"], column)
        assert own.features[PICK_ID].tolist() == [0, 1, 2]
        assert link.picks.edits == ()
        own.remove([0])
        np.testing.assert_array_equal(link.picks.features["own_pick_id"], column[1:])


@pytest.mark.parametrize(
    "column",
    [
        np.array([1, 2, 3], np.uint16),
        pd.array([1, None, 3], dtype="UInt8"),
        pd.Categorical([1, 2, 3]),
        np.array([1, 2, 3], np.int8),
        np.array([1, 2, 3], object),
    ],
)
def test_a_point_that_is_added_is_of_no_instance_whatever_type_their_numbers_have(viewer, column):
    features = pd.DataFrame({"instance_id": column})
    layer = viewer.add_points(PLACES, features=features, scale=(10.0,) * 3, units=("angstrom",) * 3)
    link = link_of(layer)
    layer.add([[1.0, 1, 1]])

    assert link.picks.instance_ids.tolist() == [1, -1 if features["instance_id"].isna()[1] else 2, 3, -1]


def test_a_point_can_be_added_where_a_person_has_a_column_that_is_called_as_that_of_instances(viewer, picks):
    layer = add_picks(viewer, picks.changed(instance_ids=[-1, -1, -1]))
    link = link_of(layer)
    layer.features = layer.features.assign(instance_id=["a", "b", "c"])
    layer.add([[1.0, 1, 1]])

    assert len(link.picks) == 4
    assert layer.features["instance_id"].tolist()[:3] == ["a", "b", "c"]


def test_words_in_the_column_of_scores_are_a_column_of_a_persons_own(viewer, layer, link):
    layer.features = layer.features.assign(score=["good", "bad", ""])
    picks = link.picks

    assert picks.scores is None
    assert picks.features["own_score"].tolist() == ["good", "bad", ""]
    layer.add([[1.0, 1, 1]])
    assert len(link.picks) == 4
    assert link.undo()
    assert link.undo()
    np.testing.assert_array_equal(link.picks.scores, [0.25, np.nan, 0.75])
    assert layer.features["score"].tolist()[::2] == [0.25, 0.75]
