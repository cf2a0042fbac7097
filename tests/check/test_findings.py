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
    spaced_positions,
    volume_of_array,
)
from napari_cryoet import Picks, check_picks
from napari_cryoet.measure.measuring import diameter_of
from napari_cryoet.provenance import Provenance

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
    return check_picks(
        Picks(points, spacing), volume, **{"diameter_angstrom": DIAMETER_ANGSTROM} | options
    )


def about(result, topic):
    return next((statement.text for statement in result.statements if statement.topic == topic), "")


def test_correct_picks_fit_bright_particles():
    scene = make_scene(polarity=1.0)
    result = check(scene.truth_zyx, scene.volume)

    assert (result.verdict, result.warnings, result.suggestion) == ("fits", (), None)
    assert result.judgement.given.effect > 0
    assert "brighter" in about(result, "density")


@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes_are_named_and_corrected_in_a_copy(scene, words):
    picks = Picks(MISTAKES[words](scene.truth_zyx), SPACING_ANGSTROM)
    result = check_picks(picks, scene.volume, diameter_angstrom=DIAMETER_ANGSTROM)

    assert result.headline == f"The picks fit better if {words}."
    np.testing.assert_allclose(result.suggested_picks().points_zyx, scene.truth_zyx, atol=1e-9)
    np.testing.assert_array_equal(result.picks.points_zyx, picks.points_zyx)


def test_picks_on_one_subunit_are_not_moved_to_the_other():
    shape, rng = (44, 96, 96), np.random.default_rng(0)
    middles = spaced_positions(rng, 25, 2.04 * DIAMETER_ANGSTROM / SPACING_ANGSTROM, shape)
    halves = {1.0: middles - (0, 0, 4), 2.5: middles - (0, 0, -4)}
    grey = ndimage.gaussian_filter(rng.standard_normal(shape), 0.7)
    grey /= grey.std()
    for density, point in (
        (density, point) for density, points in halves.items() for point in points
    ):
        distance = np.linalg.norm(np.indices(shape) - point[:, None, None, None], axis=0)
        grey -= density * np.clip(DIAMETER_ANGSTROM / 2 / SPACING_ANGSTROM - distance + 0.5, 0, 1)
    volume = volume_of_array(grey.astype(np.float32))

    assert [check(points, volume).verdict for points in halves.values()] == ["fits", "fits"]
    assert any(check(halves[1.0] - (0, 0, 6), volume).suggestion.shift_zyx)


def test_several_readings_are_equal_for_picks_on_a_sphere():
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((40, 3))
    truth = 31.5 + 20 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    from_middle = np.linalg.norm(np.indices((64, 64, 64)) - 31.5, axis=0)
    grey = rng.standard_normal((64, 64, 64)) - 2 * np.exp(-(((from_middle - 20) / 1.5) ** 2))
    volume = volume_of_array(grey.astype(np.float32))

    assert check(truth, volume).verdict == "fits"
    result = check(truth / 2, volume)
    assert (result.verdict, result.suggestion) == (
        "several",
        None,
    )  # all orders and flips are equivalent
    assert len(result.alternatives) > 3


def test_a_symmetric_volume_lists_every_possible_flip():
    scene = make_mirrored_scene()
    result = check(MISTAKES["y is flipped"](scene.truth_zyx), scene.volume)

    assert (result.verdict, result.suggestion, result.to_dict()["suggestion"]) == (
        "several",
        None,
        None,
    )
    assert {reading.words() for reading in result.alternatives} == {
        "y is flipped",
        "y and z are flipped",
    }
    assert all(
        f"if {reading.words()} (effect" in about(result, "density")
        for reading in result.alternatives
    )
    with pytest.raises(ValueError, match="suggested"):
        result.suggested_picks()
    corrected = [reading.applied_to(result.frame).points_zyx for reading in result.alternatives]
    assert any(np.allclose(points, scene.truth_zyx) for points in corrected)
    assert check(scene.truth_zyx, scene.volume).verdict == "fits"
    anywhere = check(np.random.default_rng(50).uniform(0, LAST, (43, 3)), scene.volume)
    assert (anywhere.verdict, anywhere.alternatives) == ("unclear", ())


@pytest.mark.parametrize("seed", range(3))
def test_random_picks_and_noise_get_no_suggestion(scene, seed):
    rng = np.random.default_rng(seed + 100)
    noise = volume_of_array(rng.standard_normal(SHAPE_ZYX).astype(np.float32))

    result = check(rng.uniform(0, LAST, (43, 3)), scene.volume, seed=seed)
    assert (result.verdict, result.suggestion) == ("unclear", None)
    assert "would be clear" in about(result, "density")
    assert check(scene.truth_zyx, noise).verdict == "unclear"


def test_unclear_verdicts_give_the_reason(scene):
    points = scene.truth_zyx
    plane = replace(volume_of_array(scene.grey[:1]), spacing_angstrom=(SPACING_ANGSTROM,) * 3)
    for result, noun in (
        (check(points[:4], scene.volume), "picks"),
        (check(points, volume_of_array(np.ones(SHAPE_ZYX, np.float32))), "stands out"),
        (check(points, plane, diameter_angstrom=20_000), "thin"),
        (check(points, scene.volume, diameter_angstrom=SPACING_ANGSTROM / 2), "voxels"),
        (check(points + 1e6, scene.volume), "no pick"),
    ):
        assert result.verdict == "unclear"
        assert noun in about(result, "density")
    assert check(np.empty((0, 3)), scene.volume).headline == "There are no picks."


def test_a_wrong_diameter_causes_no_suggestion(scene):
    for diameter in (45.0, 60.0, 120.0, 160.0):
        assert check(scene.truth_zyx, scene.volume, diameter_angstrom=diameter).suggestion is None


def test_picks_outside_and_duplicates_are_counted(scene):
    points = np.vstack([scene.truth_zyx, scene.truth_zyx[:3] + 1.0, [[-3.0, 5, 5]]])
    picks = Picks(points, scores=np.r_[np.zeros(40), np.ones(4)])
    result = check_picks(picks, scene.volume, diameter_angstrom=DIAMETER_ANGSTROM)

    assert result.verdict == "fits"
    assert result.outside.tolist() == [43]
    assert (result.duplicates.tolist(), result.n_overlapping) == ([0, 1, 2], 3)
    assert len(result.warnings) == 2
    assert result.headline.endswith("but 1 lies outside the volume and 3 may be duplicates.")

    cloud = Picks(
        np.repeat(scene.truth_zyx, 3, axis=0), SPACING_ANGSTROM, instance_ids=np.arange(120) // 3
    )
    assert not about(
        check_picks(cloud, scene.volume, diameter_angstrom=DIAMETER_ANGSTROM), "duplicates"
    )


def test_too_many_picks_at_the_edge_are_reported(scene):
    edge = scene.truth_zyx.copy()
    edge[:30, 1], edge[:30, 2] = 1.0, np.linspace(8, 55, 30)

    assert about(check(edge, scene.volume), "edge") in check(edge, scene.volume).warnings
    assert (
        about(check(scene.truth_zyx, scene.volume), "edge")
        not in check(scene.truth_zyx, scene.volume).warnings
    )


def test_the_diameter_comes_from_the_picks_object():
    for metadata, diameter in (
        ({"object_id": "GO:0022626"}, (300.0, True)),
        ({"source_url": "/data/101-fatty_acid_synthase-1.0_orientedpoint.ndjson"}, (260.0, True)),
        ({"source_url": "picks.ndjson"}, (100.0, False)),
    ):
        assert diameter_of(Provenance.of(metadata)) == diameter
