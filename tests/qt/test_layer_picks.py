import numpy as np
import pytest
from napari.layers import Points

from napari_cryoet._qt.layers.manager import add_layers
from napari_cryoet._qt.picks.layer_picks import picks_of, placed_picks_of
from napari_cryoet._qt.picks.picks_link import link_of
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


@pytest.mark.parametrize("column", [[3.0, np.nan], np.array([np.int64(3), None], object), [3, -1]])
def test_instances_are_whole_numbers_however_a_table_holds_them(viewer_model, column):
    layer = viewer_model.add_points(np.ones((2, 3)), features={"instance_id": column})

    assert picks_of(layer).instance_ids.tolist() == [3, -1]
