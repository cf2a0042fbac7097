"""A crop is centred on its pick, for every plane, level, spacing and orientation.

Many tests use a ramp as the volume. Linear interpolation and coarse levels reproduce it exactly, so
the value of each sample determines its position.
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from napari_cryoet.exceptions import StoppedError
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.streaming import open_pyramid
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.volumes import Volume
from napari_cryoet.volumes.crops import Crop, CropReader, Cube, Frame, RunningMean
from server import Server

SHAPE = (37, 49, 63)  # odd, so that no coarse level is exactly half as large
SLOPES = np.array([3.0, -2.0, 0.5])
PLANES = {"xy": (1, 2), "xz": (0, 2), "yz": (0, 1)}


def ramp():
    grids = np.meshgrid(*(np.arange(size, dtype=np.float32) for size in SHAPE), indexing="ij")
    return sum(slope * grid for slope, grid in zip(SLOPES, grids, strict=True)).astype(np.float32)


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ramp") / "ramp.zarr"
    write_pyramid(folder, ramp(), spacing_angstrom=10.0)
    return open_pyramid(folder)


def in_memory(values, spacing=(10.0,) * 3):
    return Volume([values], spacing)


def middle(values):
    return values[tuple(size // 2 for size in values.shape)]


@pytest.mark.parametrize("plane", PLANES)
def test_unscaled_crops_match_array_slices(plane):
    values = np.random.default_rng(0).normal(size=(30, 32, 34)).astype(np.float32)
    at = (14, 15, 16)
    (crop,) = CropReader(in_memory(values), [at]).read([0], Frame(110, 30, plane))
    block = values[tuple(slice(n - 5, n + 6) for n in at)]
    depth = {"xy": 0, "xz": 1, "yz": 2}[plane]

    np.testing.assert_allclose(
        crop.values, block.take(range(4, 7), axis=depth).mean(axis=depth), rtol=1e-5
    )
    (cube,) = CropReader(in_memory(values), [at]).read([0], Cube(110))
    np.testing.assert_array_equal(cube.values, block)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    plane=st.sampled_from(sorted(PLANES)),
    side=st.sampled_from([110.0, 210.0, 420.0]),
    angles=st.one_of(st.none(), st.tuples(*[st.floats(-180, 180)] * 3)),
    center=st.tuples(st.floats(15, 20), st.floats(20, 27), st.floats(25, 38)),
)
def test_samples_have_the_right_positions_at_every_level(pyramid, plane, side, angles, center):
    volume = Volume(pyramid.levels, (10.0,) * 3)
    rotation = (
        np.eye(3)
        if angles is None
        else Rotation.from_euler("zyx", angles, degrees=True).as_matrix()
    )
    frame = Frame(side, side / 5, plane=plane, is_oriented=angles is not None, pixels=21)
    (crop,) = CropReader(volume, [center], rotation[None]).read([0], frame)
    count, factor = len(crop.values), {110.0: 1, 210.0: 1, 420.0: 2}[side]
    steps = (np.arange(count) - count // 2) * side / count / 10
    down, right = (rotation[:, axis] for axis in PLANES[plane])
    positions = np.array(center) + steps[:, None, None] * down + steps[None, :, None] * right
    # samples of the slab lie on both sides of the plane, and the last coarse voxel may be of fewer
    # fine ones
    margin = frame.slab_angstrom / 20 + 2 * factor
    safe = ((positions >= margin) & (positions <= np.array(SHAPE) - 1 - margin)).all(axis=-1)

    assert middle(safe)
    np.testing.assert_allclose(crop.values[safe], (positions @ SLOPES)[safe], atol=2e-2)


@given(
    spacing=st.tuples(*[st.sampled_from([5.0, 10.0, 23.0])] * 3),
    plane=st.sampled_from(sorted(PLANES)),
)
def test_crops_are_centred_for_anisotropic_voxels(spacing, plane):
    values = np.zeros(SHAPE, dtype=np.int16)
    values[14, 20, 30] = 100
    (crop,) = CropReader(in_memory(values, spacing), [[14, 20, 30]]).read(
        [0], Frame(100, 5, plane=plane)
    )

    assert middle(crop.values) == crop.values.max() == 100


@pytest.mark.parametrize(("offset", "at"), [("mean", 1.75), ("strided", 2.125)])
def test_coarse_voxels_are_where_the_pyramid_says(tmp_path, offset, at):
    write_pyramid(tmp_path / "a.zarr", np.zeros((16, 16, 16), np.float32), spacing_angstrom=10.0)
    pyramid = open_pyramid(tmp_path / "a.zarr")
    pyramid.coarse_offset = offset
    grid = Volume(pyramid.levels, (10.0,) * 3).grid(2)

    assert grid.from_finest(np.full((1, 3), 8.5)).tolist() == [[at] * 3]


@pytest.mark.parametrize("is_oriented", [False, True])
def test_only_samples_outside_the_volume_are_nan(is_oriented):
    volume = in_memory(np.ones((20, 20, 20), dtype=np.uint8))
    reader = CropReader(volume, [[0, 0, 0], [-30, 5, 5], [10, 10, 10]], np.stack([np.eye(3)] * 3))
    corner, outside, inside = (
        crop.values for crop in reader.read([0, 1, 2], Frame(90, 50, "xz", is_oriented))
    )

    assert np.isnan(outside).all()
    assert (inside == 1).all()
    np.testing.assert_array_equal(
        np.isnan(corner), np.add.outer(np.arange(9) < 4, np.arange(9) < 4)
    )
    assert (
        np.nanmin(corner) == np.nanmax(corner) == 1
    )  # and the slab's mean ignores samples outside


def test_picks_without_rotation_are_cropped_along_the_axes():
    rotations = np.stack([np.full((3, 3), np.nan), np.eye(3) * 2, np.diag([1.0, 1.0, -1.0])])
    reader = CropReader(in_memory(ramp()), [[18, 24, 32]] * 3, rotations)

    crops = [
        [crop.values for crop in reader.read(range(3), Frame(90, 10, is_oriented=way))]
        for way in (True, False)
    ]
    np.testing.assert_array_equal(*crops)


def test_remote_crops_request_little_and_nothing_twice(tmp_path):
    values = np.random.default_rng(0).normal(size=(64, 300, 300)).astype(np.float32)
    write_pyramid(tmp_path / "a.zarr", values, spacing_angstrom=10.0)
    with Server(tmp_path) as server:
        pyramid = open_pyramid(f"{server.url}/a.zarr", cache=None)
        volume = Volume(pyramid.levels, (10.0,) * 3)
        server.requests.clear()
        reader = CropReader(volume, [[20, 100 + row, 100] for row in range(20)])
        crops = {crop.row: crop.values for crop in reader.read(range(20), Frame(210, 50))}

    assert not volume.is_local
    assert sorted(crops) == list(range(20))
    np.testing.assert_allclose(crops[7], values[18:23, 97:118, 90:111].mean(axis=0), atol=1e-5)
    requests = [(request.path, request.headers.get("range")) for request in server.requests]
    assert len(set(requests)) == len(requests)
    assert server.sent_bytes() < values.nbytes / 4


@pytest.mark.parametrize("is_local", [True, False])
def test_reading_can_be_stopped(is_local):
    stopped = Task()

    class Stopping(Volume):
        def read(self, level, box, *, task=UNWATCHED):
            stopped.stop()
            task.check()

    Stopping.is_local = is_local
    volume = Stopping([np.zeros((20, 20, 20))], (10.0,) * 3)
    with pytest.raises(StoppedError):
        list(CropReader(volume, [[5, 6, 7]] * 100).read(range(100), Frame(90, 10), task=stopped))
    with pytest.raises(StoppedError):
        list(CropReader(in_memory(ramp()), [[5, 6, 7]]).read([0], Frame(90, 10), task=stopped))


def test_rows_are_ordered_by_proximity():
    points = [[5, 5, 5], [5, 150, 5], [6, 6, 6], [150, 5, 5], [5, 151, 5]]
    reader = CropReader(in_memory(np.zeros((200, 200, 200), np.uint8)), points)

    assert reader.near_each_other(range(5)) == [0, 2, 3, 1, 4]
    assert reader.near_each_other([]) == []


# the average of kept picks

CUBES = np.random.default_rng(0).normal(5, 1, (6, 5, 5, 5)).astype(np.float32)
CUBES[2, :2] = np.nan  # partly outside the volume


def crop(row):
    return Crop(row, CUBES[row])


@given(st.lists(st.integers(0, 5), max_size=30))
def test_the_running_mean_matches_the_mean_of_its_crops(changes):
    mean = RunningMean()
    for row in changes:
        mean.change(crop(row))
    inside = [row for row in range(6) if changes.count(row) % 2]

    assert sorted(mean.rows) == inside
    if not inside:
        assert mean.mean is None
        assert mean.sections() is None
        return
    known = ~np.isnan(CUBES[inside])
    with np.errstate(invalid="ignore"):
        expected = np.where(known, CUBES[inside], 0).sum(axis=0) / known.sum(axis=0)
    np.testing.assert_allclose(mean.mean, expected, rtol=1e-5)
    for section, plane in zip(
        mean.sections(), (expected[2], expected[:, 2], expected[:, :, 2]), strict=True
    ):
        np.testing.assert_allclose(section, plane, rtol=1e-5)


def test_aligned_particles_average_to_one_sharp_particle():
    """Particles with an off-centre bright ball: the balls coincide only if aligned."""
    rotations = Rotation.random(12, random_state=1).as_matrix()
    centers = np.array([[20.0, 20, 20 + 40 * i] for i in range(12)])
    grid = np.stack(np.meshgrid(*map(np.arange, (40, 40, 480)), indexing="ij"), axis=-1)
    values = sum(
        np.exp(-((grid - (center + rotation @ [6.0, 0, 0])) ** 2).sum(axis=-1) / 8)
        for center, rotation in zip(centers, rotations, strict=True)
    )
    reader = CropReader(in_memory(values.astype(np.float32)), centers, rotations)

    def peak(is_oriented):
        mean = RunningMean()
        for cube in reader.read(range(12), Cube(250, is_oriented=is_oriented)):
            mean.change(cube)
        average = mean.mean
        return average.max(), np.array(
            np.unravel_index(np.argmax(average), average.shape)
        ) - average.shape[0] // 2

    height, position = peak(is_oriented=True)
    assert height > 0.9
    np.testing.assert_allclose(position * 1.0, [6, 0, 0], atol=1.01)
    assert peak(is_oriented=False)[0] < 0.6
