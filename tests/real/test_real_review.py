"""Reviews of real picks, and of picks on a real microtubule, which rank before picks beside it."""

import numpy as np
import pytest
import tifffile

from napari_cryoet.layers.load import load_annotation
from napari_cryoet.layers.specs import PICKS_KEY
from napari_cryoet.measure.measuring import densities_at, distances_nm
from napari_cryoet.picks import Picks
from napari_cryoet.review import (
    CropReader,
    Cube,
    Frame,
    Order,
    Review,
    RunningMean,
    Subject,
    Verdict,
)
from napari_cryoet.volumes import Volume

SPACING = 10.52


@pytest.fixture(scope="module")
def microtubule(real_data):
    return tifffile.imread(real_data / "tomograms" / "13pf_MT.tif").astype(np.float32)


@pytest.fixture(scope="module")
def tube_points(microtubule):
    """Positions along the tube, which is parallel to y: the centre of bright voxels, every ten voxels."""
    points = []
    for y in range(30, 180, 10):
        slab = microtubule[:, y - 5 : y + 5].mean(axis=1)
        weights = np.clip(slab - np.percentile(slab, 70), 0, None)
        z, x = (np.indices(slab.shape) * weights).sum(axis=(1, 2)) / weights.sum()
        points.append([z, y, x])
    return np.array(points)


@pytest.fixture
def reader(microtubule, tube_points):
    beside = tube_points + np.array([0, 0, -34 if tube_points[0, 2] > 47 else 34])
    return CropReader(Volume([microtubule], (SPACING,) * 3), np.concatenate([tube_points, beside]))


def test_picks_on_the_microtubule_rank_before_picks_beside_it(reader, tube_points, tmp_path):
    review = Review(
        Picks(reader.points_zyx, SPACING), Subject("microtubule", "microtubule"), tmp_path
    )
    review.set_measured({"density": densities_at(reader.volume, reader.points_zyx, 250.0)})
    review.look_at(Order("density", is_descending=True), "")

    assert set(review.rows[: len(tube_points)].tolist()) == set(range(len(tube_points)))


def test_the_average_of_kept_picks_shows_the_microtubule(reader, tube_points):
    mean = RunningMean()
    for cube in reader.read(range(len(tube_points)), Cube(420.0)):
        mean.change(cube)
    _, across, _ = mean.sections()
    step_nm = 42.0 / len(across)
    z, x = (np.indices(across.shape) - len(across) // 2) * step_nm
    radius = np.hypot(z, x)
    spread = np.nanstd(across) / np.sqrt(len(tube_points))

    assert np.nanmean(across[radius < 6]) > np.nanmean(across[radius > 15]) + spread


def test_crops_at_the_voxel_spacing_are_not_interpolated(reader, microtubule):
    """A pick at a voxel's centre, cropped at the volume's spacing, isn't interpolated."""
    own = CropReader(reader.volume, [[18, 100, 47]])
    (crop,) = own.read([0], Frame(21 * SPACING, SPACING, plane="xy", pixels=21))

    np.testing.assert_allclose(crop.values, microtubule[18, 90:111, 37:58], rtol=1e-5)


def test_real_picks_are_measured_and_their_verdicts_reloaded(real_data, tmp_path):
    path = real_data / "ndjson" / "10445-TS_105_5-69546_Point.ndjson"
    picks = load_annotation(path, 4.99)[0].options["metadata"][PICKS_KEY]
    shape_zyx = (368, 1260, 1260)
    review = Review(picks, Subject.of(picks, name="real", path=str(path)), tmp_path)
    columns = distances_nm(picks.points_zyx, shape_zyx, np.full(3, 4.99))
    review.set_measured(columns)
    review.look_at(Order("nearest_neighbour_nm"), "edge_distance_nm > 0")
    review.judge(review.rows[:10], Verdict.KEPT)
    review.save()

    assert len(review.rows) == len(picks) == 43
    assert (np.diff(columns["nearest_neighbour_nm"][review.rows]) >= 0).all()
    again = Review(picks, Subject.of(picks, name="real", path=str(path)), tmp_path)
    assert again.rows_with(Verdict.KEPT).tolist() == sorted(review.rows[:10].tolist())
