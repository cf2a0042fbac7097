import numpy as np
import pandas as pd
import pytest
from napari.layers import Points

from napari_cryoet._qt.adding import add_layers
from napari_cryoet._qt.layer_picks import picks_of, placed_picks_of
from napari_cryoet._qt.picks_link import link_of
from napari_cryoet.layers.specs import METADATA_KEY, points_spec
from napari_cryoet.picks import Picks

ROTATIONS = np.stack([np.eye(3), [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], np.full((3, 3), np.nan)])


@pytest.fixture
def picks():
    return Picks(
        [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]],
        10.0,
        rotations_zyx=ROTATIONS,
        instance_ids=[2**60 + 1, -1, 7],
        scores=[0.25, np.nan, 0.75],
        features={"by": np.array(["me", "you", "them"], dtype=object)},
        alignment_id=17,
    )


@pytest.fixture
def layer(viewer_model, picks):
    viewer_model.dims.ndisplay = 3  # since napari 0.9.2 can't paste points into a slice
    common = {"scale": (10.0,) * 3, "units": ("angstrom",) * 3, "metadata": {METADATA_KEY: {"kind": "annotation"}}}
    spec = points_spec(picks, common, name="picks", color=(1, 0, 0, 1), diameter_angstrom=100, spacing_angstrom=10)
    return add_layers(viewer_model, [spec])[0]


def test_a_layer_that_nobody_touched_gives_the_picks_that_it_was_made_of(layer, picks):
    found = picks_of(layer)

    for name in ("points_zyx", "rotations_zyx", "instance_ids", "scores", "ids"):
        np.testing.assert_array_equal(getattr(found, name), getattr(picks, name))
    assert found.features["by"].tolist() == ["me", "you", "them"]
    assert (found.spacing_angstrom, found.alignment_id) == (10.0, 17)


def test_moved_and_deleted_points_keep_their_ids_and_rotations(layer):
    layer.selected_data = {0}
    layer.remove_selected()
    layer.data = np.add(layer.data, [0.5, 0.0, 0.0])
    found = picks_of(layer)

    assert found.ids.tolist() == [1, 2]
    assert found.points_zyx.tolist() == [[4.5, 5.0, 6.0], [7.5, 8.0, 9.0]]
    np.testing.assert_array_equal(found.rotations_zyx, ROTATIONS[1:])


@pytest.mark.parametrize("followed", ["never", "before", "since"])
def test_what_was_done_to_points_is_told_whether_or_not_somebody_follows_them(layer, followed):
    if followed == "before":
        link_of(layer)
    layer.data = np.add(layer.data, [0.5, 0.0, 0.0])
    if followed == "since":
        link_of(layer)

    assert picks_of(layer).edits == picks_of(layer).edits == ("moved 3 picks",)


def test_a_copy_has_the_rotation_of_its_original_and_an_id_of_its_own(layer):
    layer.selected_data = {1}
    layer._copy_data()
    layer._paste_data()
    found = picks_of(layer)

    assert found.ids.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(found.rotations_zyx[3], ROTATIONS[1])


def test_points_of_uneven_voxels_are_placed_in_cubes():
    deep = Points([[1.0, 4, 5]], scale=(40, 10, 10), translate=(20, 0, 0), units=("angstrom",) * 3)
    found = placed_picks_of(deep)

    assert found.points_zyx.tolist() == [[6, 4, 5]]
    assert found.spacing_angstrom == 10
    assert found.edits[-1].startswith("stretched with their layer by 4, 1, 1 (z, y, x), moved with their layer by 2")


def test_anybodys_points_are_picks_in_their_own_voxels():
    nanometres = Points(np.ones((2, 3)), scale=(1.0,) * 3, units=("nm",) * 3, features={"cc": [0.1, 0.2]})

    assert picks_of(nanometres).spacing_angstrom == 10.0
    assert picks_of(nanometres).features["cc"].tolist() == [0.1, 0.2]
    assert picks_of(Points(np.ones((2, 3)))).spacing_angstrom is None
    assert picks_of(Points(np.ones((2, 3)), scale=(1, 2, 2), units=("nm",) * 3)).spacing_angstrom is None
    with pytest.raises(ValueError, match="three coordinates"):
        picks_of(Points(np.ones((2, 2))))


def test_picks_of_a_moved_layer_are_written_where_the_viewer_shows_them(layer):
    assert placed_picks_of(layer).points_zyx.tolist() == picks_of(layer).points_zyx.tolist()
    layer.translate = (20.0, 0.0, -5.0)
    placed = placed_picks_of(layer)

    assert placed.points_zyx[0].tolist() == [3.0, 2.0, 2.5]
    assert placed.positions_angstrom_zyx[0].tolist() == list(layer.data_to_world((1.0, 2.0, 3.0)))
    assert placed.edits == ("moved with their layer by 2, 0, -0.5 voxels (z, y, x)",)
    layer.rotate = (0, 0, 30)
    with pytest.raises(ValueError, match="rotated"):
        placed_picks_of(layer)


def test_picks_with_rotations_are_not_written_from_a_layer_that_is_flipped(layer, picks):
    layer.scale = (-10.0, -10.0, 10.0)
    with pytest.raises(ValueError, match="flipped in the viewer"):
        placed_picks_of(layer)
    link_of(layer).set(picks.changed(rotations_zyx=None))

    assert placed_picks_of(layer).points_zyx[0].tolist() == [-1.0, -2.0, 3.0]


def test_so_are_those_of_a_stretched_one_and_of_one_moved_by_the_mouse(layer):
    layer.scale, layer.translate = (20.0, 20.0, 10.0), (0.0, 5.0, 0.0)
    layer.affine = np.array([[1.0, 0, 0, 30], [0, 1.5, 0, 0], [0, 0, 1, -7], [0, 0, 0, 1]])  # as napari's box does it
    placed = placed_picks_of(layer)

    for row, place in enumerate(layer.data):
        np.testing.assert_allclose(placed.positions_angstrom_zyx[row], layer.data_to_world(place))
    assert placed.edits == (
        "stretched with their layer by 2, 3, 1 (z, y, x), moved with their layer by 3, 0.75, -0.7 voxels (z, y, x)",
    )
    layer.affine, layer.scale, layer.translate, layer.units = np.eye(4), (1, 1, 1), (0, 0, 0), ("nm",) * 3
    assert placed_picks_of(layer).edits == ()  # 1 nm is 10 Å


def test_an_instance_keeps_all_its_digits_where_others_have_none(viewer_model):
    features = {"instance_id": np.array([2**60 + 1, None], dtype=object)}
    layer = viewer_model.add_points(np.ones((2, 3)), features=features)

    assert picks_of(layer).instance_ids.tolist() == [2**60 + 1, -1]


@pytest.mark.parametrize("rows", [[1, 2], [2, 0], [2, 1, 0]])
@pytest.mark.parametrize("selected", [set(), {2}], ids=["none selected", "the last selected"])
@pytest.mark.parametrize("is_followed", [True, False])
def test_what_a_script_leaves_of_the_points_keeps_all_that_is_known_of_it(layer, picks, rows, selected, is_followed):
    points = layer if is_followed else Points(**points_options(layer))
    points.selected_data = selected
    points.data = np.array(points.data)[rows]
    found, expected = picks_of(points), picks.take(rows)

    for name in ("points_zyx", "rotations_zyx", "instance_ids", "scores", "ids"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert found.features["by"].tolist() == expected.features["by"].tolist()
    if is_followed:
        np.testing.assert_array_equal(points.features["score"], expected.scores)


def points_options(layer):
    data, options, _ = layer.as_layer_data_tuple()
    return {"data": data, **options}


def test_of_several_points_at_one_place_a_script_leaves_the_first(layer, picks):
    link_of(layer).set(picks.changed(points_zyx=[[7.0, 8, 9], [1.0, 2, 3], [1.0, 2, 3]]))
    layer.data = np.array([[1.0, 2, 3]])

    assert picks_of(layer).ids.tolist() == [1]


def test_points_that_are_moved_to_where_another_is_stay_who_they_are(layer):
    layer.data = np.array(layer.data)[[1, 1, 2]]

    assert picks_of(layer).ids.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "column",
    [
        [1e300, 2.0],
        [2.0**63, 2.0],
        np.array([np.inf, 1e300], np.float64),
        np.array([2**64 - 1, 2], np.uint64),
        np.array([2**70, None], object),
    ],
    ids=str,
)
def test_instances_that_would_become_others_go_on_under_another_name(viewer_model, column):
    layer = viewer_model.add_points(np.ones((2, 3)), features={"instance_id": column})

    assert picks_of(layer).instance_ids is None
    assert picks_of(layer).features["own_instance_id"].tolist() == list(column)


@pytest.mark.parametrize("column", [["A", "B"], [1.5, 2.0], [True, False], ["1", "2"]])
def test_a_column_that_only_is_called_as_instances_are_goes_on_under_another_name(viewer_model, column):
    layer = viewer_model.add_points(np.ones((2, 3)), features={"instance_id": column})

    assert picks_of(layer).instance_ids is None
    assert picks_of(layer).features["own_instance_id"].tolist() == column


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([0, "0"], ["own_0", "0"]),
        (["0", 0, "own_0"], ["0", "own_own_0", "own_0"]),
        (["instance_id", "own_instance_id"], ["own_own_instance_id", "own_instance_id"]),
    ],
    ids=str,
)
def test_columns_whose_names_are_spelled_alike_all_stay(names, told):
    table = pd.DataFrame(np.arange(2 * len(names)).reshape(2, -1) + 0.5)
    table.columns = names
    found = picks_of(Points(np.ones((2, 3)), features=table)).features

    assert list(found) == told
    assert [column.tolist() for column in found.values()] == table.to_numpy().T.tolist()


@pytest.mark.parametrize("column", [[3.0, np.nan], np.array([np.int64(3), None], object), [3, -1]])
def test_instances_are_whole_numbers_however_a_table_holds_them(viewer_model, column):
    layer = viewer_model.add_points(np.ones((2, 3)), features={"instance_id": column})

    assert picks_of(layer).instance_ids.tolist() == [3, -1]


@pytest.mark.parametrize("scale", [(-10.0, -10.0, -10.0), (10.0, -10.0, 10.0)])
def test_own_points_that_are_flipped_are_picks_as_wide_voxels_and_placed_where_they_are_seen(scale):
    own = Points([[1.0, 2.0, 3.0]], scale=scale, units=("angstrom",) * 3)

    assert picks_of(own).spacing_angstrom == 10
    placed = placed_picks_of(own)
    assert (placed.points_zyx * placed.spacing_angstrom).tolist() == [(np.array([1.0, 2.0, 3.0]) * scale).tolist()]


def test_own_points_that_are_flipped_while_they_are_followed_stay_picks():
    own = Points([[1.0, 2.0, 3.0]], scale=(5.0,) * 3, units=("angstrom",) * 3)
    link = link_of(own)
    own.scale = (-10.0,) * 3

    assert link.picks.spacing_angstrom == 10
