"""What is in the middle of a crop is what was picked, whatever the plane, the level, the spacing and the orientation.

The volume is a ramp: its value at any place is known, linear interpolation gives it exactly, and so do the means that
coarse levels are made of. So each sample of a crop tells where it was taken.
"""

import threading

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from napari_cryoet.exceptions import ChangedError, FormatError, StoppedError
from napari_cryoet.packs.portal_zarr import write_pyramid
from napari_cryoet.review import CropReader, Frame
from napari_cryoet.review.cropping import Cube, level_of
from napari_cryoet.review.ordering import edge_distances
from napari_cryoet.review.volume import ArrayVolume, open_for_review
from napari_cryoet.streaming import open_pyramid
from stream_server import StreamServer

SHAPE = (36, 48, 64)
SLOPES = np.array([3.0, -2.0, 0.5])
PLANES = {"xy": (1, 2), "xz": (0, 2), "yz": (0, 1)}


def ramp(shape=SHAPE, slopes=SLOPES):
    grids = np.meshgrid(*(np.arange(size, dtype=np.float32) for size in shape), indexing="ij")
    return sum(slope * grid for slope, grid in zip(slopes, grids, strict=True)).astype(np.float32)


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ramp") / "ramp.zarr"
    write_pyramid(folder, ramp(), spacing_angstrom=10.0)
    return open_pyramid(folder)


def middle(values):
    return values[tuple(size // 2 for size in values.shape)]


def test_the_levels_are_those_that_fit_the_pixels(pyramid):
    volume = open_for_review(pyramid, (10.0,) * 3)

    assert len(volume.shapes) == 3
    assert [level_of(volume, Frame(side, 10, pixels=21)) for side in (100, 300, 430, 850, 9000)] == [0, 0, 1, 2, 2]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    plane=st.sampled_from(sorted(PLANES)),
    side=st.sampled_from([110.0, 210.0, 420.0]),
    turn=st.one_of(st.none(), st.tuples(*[st.floats(-180, 180)] * 3)),
    center=st.tuples(st.floats(15, 20), st.floats(20, 27), st.floats(25, 38)),
)
def test_every_sample_inside_is_taken_where_it_should_be(pyramid, plane, side, turn, center):
    volume = open_for_review(pyramid, (10.0,) * 3)
    rotation = np.eye(3) if turn is None else Rotation.from_euler("zyx", turn, degrees=True).as_matrix()
    frame = Frame(side, side / 5, plane=plane, is_oriented=turn is not None, pixels=21)
    crop = next(CropReader(volume, [center], rotation[None]).read([0], frame))
    steps = (np.arange(crop.values.shape[0]) - crop.values.shape[0] // 2) * side / crop.values.shape[0] / 10
    down, right = (rotation[:, axis] for axis in PLANES[plane])
    places = np.array(center) + steps[:, None, None] * down + steps[None, :, None] * right
    factor = 2 ** level_of(volume, frame)
    inner = ((places >= factor) & (places <= np.array(SHAPE) - 1 - factor)).all(axis=-1)

    assert crop.is_oriented == (turn is not None)
    assert inner[inner.shape[0] // 2, inner.shape[1] // 2]
    # the slab's samples lie on both sides of the plane; near an edge some of them are missing
    half = frame.slab_angstrom / 20 + factor
    safe = ((places >= half + factor) & (places <= np.array(SHAPE) - 1 - half - factor)).all(axis=-1)
    np.testing.assert_allclose(crop.values[safe], (places @ SLOPES)[safe], atol=2e-2)


@given(
    spacing=st.tuples(*[st.sampled_from([5.0, 10.0, 23.0])] * 3),
    plane=st.sampled_from(sorted(PLANES)),
    voxel=st.tuples(st.integers(12, 20), st.integers(12, 30), st.integers(12, 40)),
)
def test_a_bright_voxel_is_in_the_middle_also_where_voxels_are_no_cubes(spacing, plane, voxel):
    values = np.zeros(SHAPE, dtype=np.int16)
    values[voxel] = 100
    reader = CropReader(ArrayVolume(values, spacing), [voxel])
    crop = next(reader.read([0], Frame(100, 5, plane=plane)))

    assert np.unravel_index(np.argmax(crop.values), crop.values.shape) == tuple(n // 2 for n in crop.values.shape)
    assert middle(crop.values) == 100


@pytest.mark.parametrize(("pixels", "factor"), [(41, 1), (21, 2), (11, 4)])
@pytest.mark.parametrize("plane", PLANES)
def test_a_bright_block_is_in_the_middle_at_every_level(plane, pixels, factor, tmp_path):
    values = np.zeros((48, 48, 64), dtype=np.float32)
    values[20:24, 24:28, 32:36] = 1.0
    write_pyramid(tmp_path / "a.zarr", values, spacing_angstrom=10.0)
    volume = open_for_review(open_pyramid(tmp_path / "a.zarr"), (10.0,) * 3)
    frame = Frame(440, 40, plane=plane, pixels=pixels)
    crop = next(CropReader(volume, [[21.5, 25.5, 33.5]]).read([0], frame))

    assert volume.factors[level_of(volume, frame)] == (factor,) * 3
    weights = np.indices(crop.values.shape) * crop.values
    np.testing.assert_allclose(
        weights.sum(axis=(1, 2)) / crop.values.sum(), (crop.values.shape[0] // 2,) * 2, atol=1e-4
    )


def test_strided_levels_lie_on_the_first_of_their_voxels(pyramid):
    volume = open_for_review(pyramid, (10.0,) * 3)
    volume.is_mean = False

    assert volume.to_level(2, np.array([[8.0, 8.0, 8.0]])).tolist() == [[2.0, 2.0, 2.0]]


@pytest.mark.parametrize("is_oriented", [False, True])
@pytest.mark.parametrize("plane", PLANES)
def test_what_is_outside_is_nan_and_what_is_inside_is_not(plane, is_oriented):
    volume = ArrayVolume(np.ones((20, 20, 20), dtype=np.uint8), (10.0,) * 3)
    reader = CropReader(volume, [[0, 0, 0], [-30, 5, 5], [10, 10, 10]], np.stack([np.eye(3)] * 3))
    frame = Frame(90, 50, plane=plane, is_oriented=is_oriented)
    crops = {crop.row: crop.values for crop in reader.read([0, 1, 2], frame)}

    assert np.isnan(crops[1]).all()
    assert (crops[2] == 1).all()
    np.testing.assert_array_equal(np.isnan(crops[0]), np.add.outer(np.arange(9) < 4, np.arange(9) < 4))
    assert np.nanmin(crops[0]) == np.nanmax(crops[0]) == 1  # and the slab's mean counts only what is there


def test_a_crop_along_the_particles_axes_shows_them_upright():
    """A rod along the particle's z axis, which lies along the volume's y, is a rod along z in its own frame."""
    values = np.zeros((40, 40, 40), dtype=np.float32)
    values[20, 10:31, 20] = 1.0
    turned = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])  # first column: particle's z is y
    reader = CropReader(ArrayVolume(values, (10.0,) * 3), [[20, 20, 20]], turned[None])
    frame = Frame(210, 10, plane="xz", is_oriented=True)
    (crop,) = reader.read([0], frame)

    assert (crop.values[1:-1, 10] > 0.99).all()
    assert crop.values[:, :9].max() < 1e-6


def test_picks_without_a_rotation_are_cut_along_the_volume():
    rotations = np.stack([np.full((3, 3), np.nan), np.eye(3) * 2, np.diag([1.0, 1.0, -1.0])])
    reader = CropReader(ArrayVolume(ramp(), (10.0,) * 3), [[18, 24, 32]] * 3, rotations)

    assert [crop.is_oriented for crop in reader.read(range(3), Frame(90, 10, is_oriented=True))] == [False] * 3


def test_a_voxel_that_is_no_number_spoils_its_neighbours_only():
    values = np.ones((20, 20, 20), dtype=np.float32)
    values[10, 10, 13] = np.nan
    (crop,) = CropReader(ArrayVolume(values, (10.0,) * 3), [[10, 10, 10]]).read([0], Frame(90, 10))

    assert 0 < np.isnan(crop.values).sum() <= 9


def test_a_cube_has_the_axes_of_the_volume():
    (crop,) = CropReader(ArrayVolume(ramp(), (10.0,) * 3), [[18, 24, 32]]).read([0], Cube(90))

    np.testing.assert_allclose(np.gradient(crop.values)[0], SLOPES[0], atol=1e-3)
    np.testing.assert_allclose(np.gradient(crop.values)[1], SLOPES[1], atol=1e-3)
    np.testing.assert_allclose(np.gradient(crop.values)[2], SLOPES[2], atol=1e-3)


def test_each_block_is_read_once_for_all_crops_that_need_it(pyramid):
    class Counting(ArrayVolume):
        def __init__(self):
            super().__init__(ramp(), (10.0,) * 3)
            self.asked = []

        def covering(self, level, box):
            return [(z,) for z in range(box[0][0] // 4, -(-box[0][1] // 4))]

        def arriving(self, level, blocks, stop):
            for block in blocks:
                self.asked.append(block)
                place = ((block[0] * 4, block[0] * 4 + 4), (0, SHAPE[1]), (0, SHAPE[2]))
                yield block, place, self.read(level, place)
                yield block, place, self.read(level, place)  # with somebody else's once more
            yield (8,), ((32, 36), (0, SHAPE[1]), (0, SHAPE[2])), self.read(level, ((32, 36), (0, 1), (0, 1)))

    volume = Counting()
    crops = list(CropReader(volume, [[z, 20, 30] for z in (10, 11, 12, 20, 30)]).read(range(5), Frame(90, 50)))

    assert len(volume.asked) == len(set(volume.asked))
    assert sorted(crop.row for crop in crops) == [0, 1, 2, 3, 4]
    for crop in crops:
        assert middle(crop.values) == pytest.approx(np.dot([(10, 11, 12, 20, 30)[crop.row], 20, 30], SLOPES), abs=1e-3)


class Changing(ArrayVolume):
    """Is another one from some blocks on, counted as they come."""

    def __init__(self, changes):
        super().__init__(np.ones((32, 20, 20), np.float32), (10.0,) * 3)
        self.changes, self.came, self.times = changes, 0, 0

    def covering(self, level, box):
        return [(z,) for z in range(box[0][0] // 4, -(-box[0][1] // 4))]

    def arriving(self, level, blocks, stop):
        for block in blocks:
            self.times += self.came in self.changes
            self.came += 1
            place = ((block[0] * 4, block[0] * 4 + 4), (0, 20), (0, 20))
            yield block, place, np.full((4, 20, 20), self.times, np.float32)

    def times_changed(self):
        return self.times


@pytest.mark.parametrize("change", range(6))
def test_no_crop_is_of_two_versions_of_a_volume(change):
    reader = CropReader(Changing({change}), [[6, 10, 10], [20, 10, 10]])
    crops = list(reader.read([0, 1], Cube(90)))

    assert sorted(crop.row for crop in crops) == [0, 1]
    for crop in crops:
        assert len(np.unique(crop.values)) == 1


def test_a_volume_that_goes_on_changing_gives_no_crop():
    with pytest.raises(ChangedError, match="changed while crops"):
        list(CropReader(Changing(range(100)), [[16, 10, 10]]).read([0], Cube(300)))


def test_crops_of_an_image_that_was_replaced_are_all_of_the_new_one(tmp_path):
    old, new = np.full((128, 160, 160), 1.0, np.float32), np.full((128, 160, 160), 2.0, np.float32)
    layout = {"zarr_format": 2, "chunks": (64, 160, 160), "compressors": None}
    for name, values in (("a.zarr", old), ("new.zarr", new)):
        zarr.create_array(str(tmp_path / name), shape=values.shape, dtype="<f4", **layout)[...] = values
    pyramid = open_pyramid(tmp_path / "a.zarr")
    pyramid.read(0, ((62, 66), (0, 160), (0, 160)))
    for key in ("0.0.0", "1.0.0"):
        (tmp_path / "new.zarr" / key).replace(tmp_path / "a.zarr" / key)
    (crop,) = CropReader(open_for_review(pyramid, (10.0,) * 3), [[64, 80, 80]]).read([0], Cube(300))

    assert len(np.unique(crop.values)) == 1


def test_over_a_server_nothing_is_asked_for_twice_and_little_of_a_large_volume(tmp_path):
    values = np.random.default_rng(0).normal(size=(64, 300, 300)).astype(np.float32)
    write_pyramid(tmp_path / "a.zarr", values, spacing_angstrom=10.0)
    with StreamServer(tmp_path) as server:
        pyramid = open_pyramid(f"{server.url}/a.zarr", cache=None)
        volume = open_for_review(pyramid, (10.0,) * 3)
        server.requests.clear()
        reader = CropReader(volume, [[20, 100 + row, 100] for row in range(10)])
        crops = list(reader.read(range(10), Frame(200, 50)))

    assert not volume.is_near
    assert len(crops) == 10
    assert len(set(server.requests)) == len(server.requests)
    assert server.bytes_sent < values.nbytes / 4


def test_what_was_read_is_in_memory_then(pyramid):
    reader = CropReader(open_for_review(pyramid, (10.0,) * 3), [[5, 6, 7]])
    frame = Frame(90, 10)
    list(reader.read([0], frame))

    assert reader.is_in_memory(0, frame)


def test_rows_that_share_blocks_follow_one_another():
    points = [[5, 5, 5], [5, 150, 5], [6, 6, 6], [100, 5, 5], [5, 151, 5]]
    reader = CropReader(ArrayVolume(np.zeros((200, 200, 200), np.uint8), (10.0,) * 3), points)

    assert reader.near_each_other(range(5), Frame(90, 10)) == [0, 2, 3, 1, 4]
    assert reader.near_each_other([], Frame(90, 10)) == []


def test_reading_ends_when_it_is_stopped(pyramid):
    reader = CropReader(open_for_review(pyramid, (10.0,) * 3), [[5, 6, 7], [8, 8, 8]])
    stop = threading.Event()
    stop.set()

    with pytest.raises(StoppedError):
        list(reader.read([0, 1], Frame(90, 10), stop=stop))


def test_only_volumes_can_be_cut():
    with pytest.raises(FormatError, match="has 2"):
        open_for_review(np.zeros((4, 4)), (1.0,) * 3)


@pytest.mark.parametrize("plane", ["xy", "xz", "yz"])
@pytest.mark.parametrize("turn", [None, Rotation.from_euler("zyx", [20, 50, 70], degrees=True).as_matrix()])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_volume_that_is_mirrored_in_the_world_gives_the_same_crops(plane, turn, axis):
    values = np.random.default_rng(0).normal(size=(20, 22, 24)).astype(np.float32)
    spacing, at = np.array([8.0, 10.0, 12.0]), np.array([[9.3, 8.1, 11.4]])
    signs, there = np.ones(3), at.copy()
    signs[axis], there[0, axis] = -1, values.shape[axis] - 1 - at[0, axis]
    frame = Frame(100, 30, plane, is_oriented=turn is not None, pixels=21)
    rotations = None if turn is None else turn[None]
    straight = CropReader(ArrayVolume(values, spacing), at, rotations)
    mirrored = CropReader(ArrayVolume(np.flip(values, axis), spacing * signs), there, rotations)
    (one,), (other,) = straight.read([0], frame), mirrored.read([0], frame)

    np.testing.assert_allclose(one.values, other.values, atol=1e-5)
    assert edge_distances(there, values.shape, spacing * signs)[0] == pytest.approx(
        edge_distances(at, values.shape, spacing)[0]
    )
