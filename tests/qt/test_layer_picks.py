"""The picks of a layer, and their synchronization."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.layers import Points
from napari.layers.points._points_mouse_bindings import select

from napari_cryoet._qt.layers.placement import PlacementError
from napari_cryoet._qt.picks.layer_picks import live_picks_of, picks_of, placed_picks_of
from napari_cryoet._qt.viewer.adding import add_layers
from napari_cryoet.layers.load import load_picks
from napari_cryoet.layers.specs import PICK_ID, PICKS_KEY
from napari_cryoet.picks import Picks

ROTATIONS = np.stack(
    [np.eye(3), [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], np.full((3, 3), np.nan)]
)
POSITIONS = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]


@pytest.fixture
def picks():
    return Picks(
        POSITIONS,
        10.0,
        rotations_zyx=ROTATIONS,
        scores=[0.25, np.nan, 0.75],
        features={
            "by": np.array(["me", "you", "them"], dtype=object),
            "class": np.array([1, 2, 3]),
        },
    )


@pytest.fixture
def viewer(viewer_model):
    viewer_model.dims.ndisplay = 3  # since napari 0.9.2 can't paste points into a slice
    return viewer_model


@pytest.fixture
def layer(viewer, picks):
    return add_layers(viewer, load_picks(picks, name="picks"))[-1]


@pytest.fixture
def live(layer):
    return live_picks_of(layer)


class TestLayerEdits:
    def test_a_drag_is_recorded_as_one_edit(self, qapp, layer, live):
        layer.size = 1  # else other points lie below the cursor too
        layer.mode = "select"
        layer.selected_data = {1}
        event = SimpleNamespace(
            position=tuple(np.multiply(POSITIONS[1], 10)),
            view_direction=np.array([1.0, 0.0, 0.0]),
            dims_displayed=[0, 1, 2],
            modifiers=(),
            type="mouse_press",
        )
        positions = []
        live.changed.connect(lambda: positions.append(live.picks.points_zyx[1].tolist()))
        drag = select(layer, event)
        next(drag)
        event.type = "mouse_move"
        for step in range(1, 6):
            event.position = (40.0, 50.0, 60.0 + 10 * step)
            next(drag)
            qapp.processEvents()
        event.type = "mouse_release"
        next(drag, None)

        assert positions == [[4, 5, 11]]
        assert live.picks.edits == ("moved 1 pick",)

    def test_a_new_point_does_not_inherit_the_selected_picks_data(self, layer, live):
        layer.selected_data = {0}  # napari copies its features to the next point
        layer.add([1.5, 1.5, 1.5])

        assert layer.features[PICK_ID].tolist() == [0, 1, 2, 3]
        assert np.isnan(layer.features["score"][3])
        assert not live.picks.are_oriented[3]
        assert live.picks.edits == ("added 1 pick",)

    def test_ids_of_deleted_picks_are_not_reused(self, layer, live):
        layer.remove([2])
        layer.add([0, 0, 0])
        layer.remove([2])
        layer.add([0, 0, 0])

        assert live.picks.ids.tolist() == [0, 1, 4]
        assert layer.features[PICK_ID].tolist() == [0, 1, 4]

    def test_a_pick_keeps_its_id_when_cut_and_pasted(self, layer, live):
        layer.selected_data = {1}
        layer._copy_data()
        layer.remove_selected()
        layer._paste_data()
        layer._paste_data()

        assert live.picks.ids.tolist() == [0, 2, 1, 3]
        np.testing.assert_array_equal(live.picks.rotations_zyx[2:], ROTATIONS[[1, 1]])

    def test_edits_in_naparis_table_change_the_picks(self, layer, live):
        layer.features.iloc[1, layer.features.columns.get_loc("score")] = (
            0.5  # as napari's table does it
        )

        assert live.picks.scores.tolist() == [0.25, 0.5, 0.75]
        assert live.picks.edits == ("changed score of 1 pick",)

    @pytest.mark.parametrize("rows", [[0, 2], [2, 1, 0], [1]])
    def test_a_script_can_subset_or_reorder_points(self, layer, live, picks, rows):
        layer.data = layer.data[rows]  # napari truncates the table

        assert live.picks.ids.tolist() == layer.features[PICK_ID].tolist() == rows
        assert layer.features["by"].tolist() == picks.features["by"][rows].tolist()
        np.testing.assert_array_equal(live.picks.rotations_zyx, ROTATIONS[rows])

    def test_points_at_nan_are_refused_until_removed(self, layer, live):
        layer.add([np.nan, 0, 0])
        with pytest.raises(ValueError, match="finite"):
            picks_of(layer)
        layer.remove([3])
        assert live.picks.ids.tolist() == [0, 1, 2]


class TestPicksEdits:
    def test_picks_keep_appearance_and_selection_when_rows_change(self, layer, live):
        layer.border_color = [[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1]]
        layer.size = [1, 2, 3]
        layer.shown = [True, True, False]
        layer.selected_data = {2}
        live.set(live.picks.take([2, 1]))

        assert layer.border_color.tolist() == [[0, 0, 1, 1], [0, 1, 0, 1]]
        assert layer.size.tolist() == [3, 2]
        assert layer.shown.tolist() == [False, True]
        assert set(layer.selected_data) == {0}
        assert live.selected_ids.tolist() == [2]


class TestUserLayer:
    def test_ids_are_tracked_without_changing_the_layer(self, viewer):
        own = viewer.add_points(
            POSITIONS, features={"score": [1.0, 2.0, 3.0], "kind": ["a", "b", "c"]}
        )
        live = live_picks_of(own)
        own.remove([0])
        own.add([0, 0, 0])
        own.data = own.data + 1

        assert live.picks.ids.tolist() == [1, 2, 3]
        assert list(own.features) == ["score", "kind"]
        assert PICKS_KEY not in own.metadata
        assert type(own) is Points


class TestPlacedPicks:
    def test_picks_of_a_moved_layer_have_the_displayed_positions(self, layer):
        assert placed_picks_of(layer).points_zyx.tolist() == picks_of(layer).points_zyx.tolist()
        layer.translate = (20.0, 0.0, -5.0)
        placed = placed_picks_of(layer)

        assert placed.points_zyx[0].tolist() == [3.0, 2.0, 2.5]
        assert placed.positions_angstrom_zyx[0].tolist() == list(
            layer.data_to_world((1.0, 2.0, 3.0))
        )
        assert placed.edits == ("moved with their layer by 2, 0, -0.5 voxels (z, y, x)",)
        layer.rotate = (0, 0, 30)
        with pytest.raises(PlacementError, match="rotated"):
            placed_picks_of(layer)

    @pytest.mark.parametrize("scale", [(5.0, 10.0, -20.0), (10.0, -10.0, 10.0), (-10.0,) * 3])
    def test_picks_of_a_flipped_layer_have_a_positive_spacing(self, scale):
        layer = Points([[1.0, 2.0, 3.0]], scale=scale, units="angstrom")
        placed = placed_picks_of(layer)

        assert placed.spacing_angstrom == abs(scale[-1])
        assert placed.positions_angstrom_zyx[0].tolist() == list(
            layer.data_to_world((1.0, 2.0, 3.0))
        )
