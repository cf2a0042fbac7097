"""`check_picks` on picks with known mistakes, on correct picks, and on noise."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from check.scene import (
    DIAMETER_ANGSTROM,
    SHAPE_ZYX,
    SPACING_ANGSTROM,
    make_mirrored_scene,
    make_scene,
    places_apart,
    volume_of_array,
)
from napari_cryoet import Picks, check_picks
from napari_cryoet.check.findings import diameter_of

LAST = np.array(SHAPE_ZYX) - 1.0
MISTAKES = {
    "y is flipped": lambda p: np.where((False, True, False), LAST - p, p),
    "x and z are flipped": lambda p: np.where((True, False, True), LAST - p, p),
    "y, x and z are taken for z, y and x": lambda p: p[:, [2, 0, 1]],
    "the numbers are ångström, not voxels": lambda p: p * SPACING_ANGSTROM,
    "they were picked in voxels four times as wide (binned by 4)": lambda p: p / 4,
}


@pytest.fixture(scope="module")
def scene():
    return make_scene()


def check(points, volume, spacing=SPACING_ANGSTROM, **options):
    return check_picks(Picks(points, spacing), volume, **{"diameter_angstrom": DIAMETER_ANGSTROM} | options)


def about(found, topic):
    return next((statement.text for statement in found.statements if statement.topic == topic), "")


def test_right_picks_fit_also_where_particles_are_bright():
    scene = make_scene(polarity=1.0)
    found = check(scene.truth_zyx, scene.volume)

    assert (found.verdict, found.oddities, found.suggestion) == ("fits", (), None)
    assert found.judgement.given.effect > 0
    assert "brighter" in about(found, "density")


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_named_and_undone_in_a_copy(scene, words):
    picks = Picks(MISTAKES[words](scene.truth_zyx), SPACING_ANGSTROM)
    found = check_picks(picks, scene.volume, diameter_angstrom=DIAMETER_ANGSTROM)

    assert found.headline == f"The picks fit better if {words}."
    np.testing.assert_allclose(found.suggested_picks().points_zyx, scene.truth_zyx, atol=1e-9)
    np.testing.assert_array_equal(found.picks.points_zyx, picks.points_zyx)


def test_picks_on_one_half_of_each_pair_are_not_moved_to_the_other():
    shape, rng = (44, 96, 96), np.random.default_rng(0)
    middles = places_apart(rng, 25, 2.04 * DIAMETER_ANGSTROM / SPACING_ANGSTROM, shape)
    halves = {1.0: middles - (0, 0, 4), 2.5: middles - (0, 0, -4)}
    grey = ndimage.gaussian_filter(rng.standard_normal(shape), 0.7)
    grey /= grey.std()
    for density, point in ((density, point) for density, points in halves.items() for point in points):
        distance = np.linalg.norm(np.indices(shape) - point[:, None, None, None], axis=0)
        grey -= density * np.clip(DIAMETER_ANGSTROM / 2 / SPACING_ANGSTROM - distance + 0.5, 0, 1)
    volume = volume_of_array(grey.astype(np.float32))

    assert [check(points, volume).verdict for points in halves.values()] == ["fits", "fits"]
    assert any(check(halves[1.0] - (0, 0, 6), volume).suggestion.shift_zyx)


def test_picks_on_a_sphere_do_not_say_from_which_side():
    rng = np.random.default_rng(0)
    ways = rng.standard_normal((40, 3))
    truth = 31.5 + 20 * ways / np.linalg.norm(ways, axis=1, keepdims=True)
    from_middle = np.linalg.norm(np.indices((64, 64, 64)) - 31.5, axis=0)
    grey = rng.standard_normal((64, 64, 64)) - 2 * np.exp(-(((from_middle - 20) / 1.5) ** 2))
    volume = volume_of_array(grey.astype(np.float32))

    assert check(truth, volume).verdict == "fits"
    found = check(truth / 2, volume)
    assert (found.verdict, found.suggestion) == ("several", None)  # all orders and flips are equivalent
    assert len(found.alternatives) > 3


def test_in_what_is_its_own_mirror_image_each_way_to_mend_a_flip_is_named():
    scene = make_mirrored_scene()
    found = check(MISTAKES["y is flipped"](scene.truth_zyx), scene.volume)

    assert (found.verdict, found.suggestion, found.as_data()["suggestion"]) == ("several", None, None)
    assert {reading.words() for reading in found.alternatives} == {"y is flipped", "y and z are flipped"}
    assert all(f"if {reading.words()} (effect" in about(found, "density") for reading in found.alternatives)
    with pytest.raises(ValueError, match="suggested"):
        found.suggested_picks()
    mended = [reading.applied_to(found.frame).points_zyx for reading in found.alternatives]
    assert any(np.allclose(points, scene.truth_zyx) for points in mended)
    assert check(scene.truth_zyx, scene.volume).verdict == "fits"
    anywhere = check(np.random.default_rng(50).uniform(0, LAST, (43, 3)), scene.volume)
    assert (anywhere.verdict, anywhere.alternatives) == ("unclear", ())


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_suggested_of_picks_anywhere_or_in_noise(scene, seed):
    rng = np.random.default_rng(seed + 100)
    noise = volume_of_array(rng.standard_normal(SHAPE_ZYX).astype(np.float32))

    found = check(rng.uniform(0, LAST, (43, 3)), scene.volume, seed=seed)
    assert (found.verdict, found.suggestion) == ("unclear", None)
    assert "would be clear" in about(found, "density")
    assert check(scene.truth_zyx, noise).verdict == "unclear"


def test_why_nothing_can_be_told_is_said(scene):
    points = scene.truth_zyx
    plane = replace(volume_of_array(scene.grey[:1]), spacing_angstrom=(SPACING_ANGSTROM,) * 3)
    for found, noun in (
        (check(points[:4], scene.volume), "picks"),
        (check(points, volume_of_array(np.ones(SHAPE_ZYX, np.float32))), "stands out"),
        (check(points, plane, diameter_angstrom=20_000), "thin"),
        (check(points, scene.volume, diameter_angstrom=SPACING_ANGSTROM / 2), "voxels"),
        (check(points + 1e6, scene.volume), "no pick"),
    ):
        assert found.verdict == "unclear"
        assert noun in about(found, "density")
    assert check(np.empty((0, 3)), scene.volume).headline == "There are no picks."


def test_a_wrong_diameter_suggests_nothing(scene):
    for diameter in (45.0, 60.0, 120.0, 160.0):
        assert check(scene.truth_zyx, scene.volume, diameter_angstrom=diameter).suggestion is None


def test_picks_outside_and_duplicates_are_counted(scene):
    points = np.vstack([scene.truth_zyx, scene.truth_zyx[:3] + 1.0, [[-3.0, 5, 5]]])
    picks = Picks(points, scores=np.r_[np.zeros(40), np.ones(4)])
    found = check_picks(picks, scene.volume, diameter_angstrom=DIAMETER_ANGSTROM)

    assert found.verdict == "fits"
    assert found.outside.tolist() == [43]
    assert (found.duplicates.tolist(), found.n_overlapping) == ([0, 1, 2], 3)
    assert len(found.oddities) == 2
    assert found.headline.endswith("but 1 lies outside the volume and 3 may be duplicates.")

    cloud = Picks(np.repeat(scene.truth_zyx, 3, axis=0), SPACING_ANGSTROM, instance_ids=np.arange(120) // 3)
    assert not about(check_picks(cloud, scene.volume, diameter_angstrom=DIAMETER_ANGSTROM), "duplicates")


def test_picks_at_the_edge_are_odd_if_there_are_more_than_by_chance(scene):
    edge = scene.truth_zyx.copy()
    edge[:30, 1], edge[:30, 2] = 1.0, np.linspace(8, 55, 30)

    assert about(check(edge, scene.volume), "edge") in check(edge, scene.volume).oddities
    assert about(check(scene.truth_zyx, scene.volume), "edge") not in check(scene.truth_zyx, scene.volume).oddities


def test_the_diameter_is_that_of_what_the_picks_say_they_are():
    for known, diameter in (
        ({"object_id": "GO:0022626"}, (300.0, True)),
        ({"source_url": "/data/101-fatty_acid_synthase-1.0_orientedpoint.ndjson"}, (260.0, True)),
        ({"source_url": "picks.ndjson"}, (100.0, False)),
    ):
        assert diameter_of(known) == diameter
