"""`check_picks` on picks whose mistake is known, on right ones, and on nothing."""

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from fitness_scene import (
    DIAMETER_ANGSTROM,
    SHAPE_ZYX,
    SPACING_ANGSTROM,
    make_mirrored_scene,
    make_scene,
    places_apart,
    volume_of_array,
)
from napari_cryoet import check_picks
from napari_cryoet.appearance.diameters import set_diameter
from napari_cryoet.exceptions import FormatError, StoppedError
from napari_cryoet.fitness import diameter_of
from napari_cryoet.formats.portal_zarr import write_mrc, write_pyramid
from napari_cryoet.picks import Picks

LAST = np.array(SHAPE_ZYX) - 1.0


@pytest.fixture(scope="module")
def scene():
    return make_scene()


def check(points, volume, spacing=SPACING_ANGSTROM, **options):
    return check_picks(Picks(points, spacing), volume, **{"diameter_angstrom": DIAMETER_ANGSTROM} | options)


@pytest.mark.parametrize("polarity", [-1.0, 1.0])
def test_right_picks_fit_and_nothing_is_odd_about_them(polarity):
    scene = make_scene(polarity=polarity)
    found = check(scene.truth_zyx, scene.volume)

    assert found.verdict == "fits"
    assert found.oddities == ()
    assert found.suggestion is None
    assert np.sign(found.judgement.given.effect) == polarity
    assert ("darker" if polarity < 0 else "brighter") in found.statements[1].text


MISTAKES = {
    "z is flipped": lambda p: np.where((True, False, False), LAST - p, p),
    "y is flipped": lambda p: np.where((False, True, False), LAST - p, p),
    "x and z are flipped": lambda p: np.where((True, False, True), LAST - p, p),
    "x and z are swapped": lambda p: p[:, ::-1],
    "x and y are swapped": lambda p: p[:, [0, 2, 1]],
    "what is given as y, x and z is taken for z, y and x": lambda p: p[:, [2, 0, 1]],
    "the numbers are ångström, not voxels": lambda p: p * SPACING_ANGSTROM,
    "they were picked in voxels twice as wide (binned by 2)": lambda p: p / 2,
    "they were picked in voxels four times as wide (binned by 4)": lambda p: p / 4,
    "they were picked in voxels half as wide (this volume is binned by 2)": lambda p: p * 2,
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_named_and_undone_in_a_copy(scene, words):
    picks = Picks(MISTAKES[words](scene.truth_zyx), SPACING_ANGSTROM)
    found = check_picks(picks, scene.volume, diameter_angstrom=DIAMETER_ANGSTROM)

    assert found.verdict == "better"
    assert found.suggestion.words() == words
    assert f"They fit much better if {words}" in found.oddities[-1] + found.oddities[0]
    np.testing.assert_allclose(found.suggested_picks().points_zyx, scene.truth_zyx, atol=1e-9)
    np.testing.assert_array_equal(found.picks.points_zyx, picks.points_zyx)


def test_voxels_that_were_divided_by_the_spacing_are_named(scene):
    found = check(scene.truth_zyx / SPACING_ANGSTROM, scene.volume)

    assert "divided by the voxel spacing once too often" in found.suggestion.words()


@pytest.mark.parametrize("way", [(0.0, 9.0, -6.0), (3.0, 0.0, 14.0)])
def test_picks_that_are_all_off_are_moved_back(scene, way):
    found = check(scene.truth_zyx + way, scene.volume)

    assert found.verdict == "better"
    np.testing.assert_allclose(found.suggestion.shift_zyx, np.negative(way), atol=1.5)


@pytest.mark.parametrize("seed", range(3))
def test_the_fainter_halves_of_pairs_that_all_lie_alike_arent_moved_to_the_others(seed):
    shape, apart = (44, 96, 96), 8.0
    rng = np.random.default_rng(seed)
    middles = places_apart(rng, 25, 2.04 * DIAMETER_ANGSTROM / SPACING_ANGSTROM, shape)
    half = np.array([0, 0, apart / 2])
    fainter, denser = middles - half, middles + half
    grey = ndimage.gaussian_filter(rng.standard_normal(shape), 0.7)
    grey /= grey.std()
    for points, density in ((fainter, 1.0), (denser, 2.5)):
        for point in points:
            distance = np.linalg.norm(np.indices(shape) - point[:, None, None, None], axis=0)
            grey -= density * np.clip(DIAMETER_ANGSTROM / 2 / SPACING_ANGSTROM - distance + 0.5, 0, 1)
    volume = volume_of_array(grey.astype(np.float32))

    assert [check(points, volume).verdict for points in (fainter, denser)] == ["fits", "fits"]
    assert "all are moved" in check(fainter - (0, 0, 6), volume).suggestion.words()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("mistake", [lambda p: p / 2, lambda p: p * SPACING_ANGSTROM])
def test_picks_on_what_looks_the_same_from_all_sides_dont_say_from_which(seed, mistake):
    rng = np.random.default_rng(seed)
    middle, radius = 31.5, 20.0  # as a virus
    ways = rng.standard_normal((40, 3))
    truth = middle + radius * ways / np.linalg.norm(ways, axis=1, keepdims=True)
    from_middle = np.linalg.norm(np.indices((64, 64, 64)) - middle, axis=0)
    grey = rng.standard_normal((64, 64, 64)) - 2 * np.exp(-(((from_middle - radius) / 1.5) ** 2))
    volume = volume_of_array(grey.astype(np.float32))

    assert check(truth, volume).verdict == "fits"
    found = check(mistake(truth), volume)
    assert (found.verdict, found.suggestion) == ("several", None)  # any order and any flip is as good as no other
    assert len(found.alternatives) > 3
    assert any("or in yet other ways, against" in text for text in found.oddities)


@pytest.mark.parametrize("seed", range(3))
def test_a_mistake_in_what_is_its_own_mirror_image_is_named_with_each_way_to_mend_it(seed):
    scene = make_mirrored_scene(seed)
    found = check(MISTAKES["y is flipped"](scene.truth_zyx), scene.volume)

    assert found.verdict == "several"
    assert {reading.words() for reading in found.alternatives} == {"y is flipped", "y and z are flipped"}
    (text,) = [statement.text for statement in found.statements if statement.topic == "density"]
    assert text in found.oddities
    assert text.startswith("They fit much better another way, but the density can't tell which: if y ")
    for evidence in found.judgement.surely_better:
        numbers = f"effect −{abs(evidence.effect):.2f}, {abs(evidence.sigma):.1f} σ"
        assert f"if {evidence.reading.words()} ({numbers})" in text


@pytest.mark.parametrize("seed", range(3))
def test_right_picks_of_what_is_its_own_mirror_image_fit(seed):
    scene = make_mirrored_scene(seed)

    for points in (scene.truth_zyx, MISTAKES["z is flipped"](scene.truth_zyx)):
        found = check(points, scene.volume)
        assert (found.verdict, found.oddities, found.alternatives) == ("fits", (), ())


@pytest.mark.parametrize("seed", range(3))
def test_random_picks_in_what_is_its_own_mirror_image_get_no_suggestion(seed):
    volume = make_mirrored_scene(seed).volume
    found = check(np.random.default_rng(seed + 50).uniform(0, LAST, (43, 3)), volume)

    assert (found.verdict, found.alternatives) == ("unclear", ())
    assert "is sure to be better" in found.statements[1].text


def test_no_one_of_several_ways_is_ever_suggested():
    scene = make_mirrored_scene()
    found = check(MISTAKES["y is flipped"](scene.truth_zyx), scene.volume)
    data = found.as_data()

    assert found.suggestion is None
    assert (data["verdict"], data["suggestion"]) == ("several", None)
    assert [each["reading"]["words"] for each in data["surely_better"]] == [r.words() for r in found.alternatives]
    with pytest.raises(ValueError, match="no other reading is suggested"):
        found.suggested_picks()
    mended = [reading.applied_to(found.picks, found.frame).points_zyx for reading in found.alternatives]
    assert any(np.allclose(points, scene.truth_zyx) for points in mended)


def test_one_way_that_is_surely_better_isnt_denied_where_its_rival_isnt():
    scene = make_mirrored_scene()
    found = check(MISTAKES["y is flipped"](scene.truth_zyx), scene.volume)
    judgement = replace(found.judgement, verdict="unclear", surely_better=found.judgement.surely_better[:1])
    found = replace(found, judgement=judgement)

    assert "is sure to be better" not in found.statements[1].text
    assert f"one fits better ({judgement.surely_better[0].reading.words()}: effect" in found.statements[1].text
    assert found.alternatives == ()


@pytest.mark.parametrize("seed", range(5))
def test_random_picks_get_no_suggestion(scene, seed):
    points = np.random.default_rng(seed + 100).uniform(0, LAST, (43, 3))
    found = check(points, scene.volume, seed=seed)

    assert found.verdict == "unclear"
    assert found.suggestion is None
    assert "Can't tell" in found.statements[1].text
    assert "show effects above" in found.statements[1].text


@pytest.mark.parametrize("seed", range(5))
def test_noise_gets_no_suggestion_whatever_the_pattern(scene, seed):
    noise = np.random.default_rng(seed).standard_normal(SHAPE_ZYX).astype(np.float32)

    assert check(scene.truth_zyx, volume_of_array(noise)).verdict == "unclear"


def test_few_picks_cant_tell(scene):
    wrong = MISTAKES["y is flipped"](scene.truth_zyx)

    assert "4 picks are too few" in check(wrong[:4], scene.volume).statements[1].text
    assert check(wrong[:6], scene.volume).verdict == "unclear"


def test_nothing_can_be_told_in_one_grey(scene):
    found = check(scene.truth_zyx, volume_of_array(np.ones(SHAPE_ZYX, np.float32)))

    assert found.verdict == "unclear"
    assert "nothing in this volume stands out" in found.statements[1].text


@pytest.mark.parametrize(("shape_zyx", "spacing"), [((1, 50, 60), (10.0,) * 3), ((20, 50, 60), (1e6, 10.0, 10.0))])
def test_a_particle_far_larger_than_a_volume_is_wide_is_not_looked_for(shape_zyx, spacing):
    grey = np.random.default_rng(0).normal(size=shape_zyx).astype(np.float32)
    points = np.random.default_rng(1).uniform(0, shape_zyx, (20, 3))

    found = check_picks(
        Picks(points), replace(volume_of_array(grey), spacing_angstrom=spacing), diameter_angstrom=20_000
    )

    assert found.verdict == "unclear"
    assert "a particle of 2,000 nm can't be looked for in a volume of" in found.statements[1].text


@pytest.mark.parametrize(
    ("seed", "shape", "diameter", "count"), [(26, (14, 37, 16), 280, 20), (55, (38, 17, 25), 340, 100)]
)
def test_in_noise_that_is_thinner_than_a_particle_nothing_is_suggested(seed, shape, diameter, count):
    found = []
    for more in range(12):
        rng = np.random.default_rng([seed, more])
        volume = volume_of_array(ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), 0.7))
        points = rng.uniform(0, np.array(shape) - 1.0, (count, 3))
        found.append(check(points, volume, diameter_angstrom=diameter, seed=more).suggestion)

    assert found == [None] * 12


def test_a_particle_that_is_narrower_than_a_voxel_is_not_looked_for(scene):
    found = check(scene.truth_zyx, scene.volume, diameter_angstrom=SPACING_ANGSTROM / 2)

    assert found.verdict == "unclear"
    assert "a particle of 0.5 nm can't be seen in voxels of 1 nm" in found.statements[1].text


def test_a_diameter_that_is_wrong_suggests_nothing(scene):
    for diameter in (45.0, 60.0, 120.0, 160.0):
        assert check(scene.truth_zyx, scene.volume, diameter_angstrom=diameter).suggestion is None


def test_picks_beyond_the_volume_are_counted(scene):
    points = np.vstack([scene.truth_zyx, [[-3.0, 5, 5], [5, 5, 900]]])
    found = check(points, scene.volume)

    assert found.outside.tolist() == [40, 41]
    assert found.oddities == ("2 of 42 picks (5 %) lie outside the volume.",)


def test_duplicates_are_told_and_the_better_one_stays(scene):
    points = np.vstack([scene.truth_zyx, scene.truth_zyx[:3] + 1.0])
    scores = np.r_[np.zeros(40), 1.0, 1.0, 1.0]
    picks = Picks(points, SPACING_ANGSTROM, scores=scores)
    found = check_picks(picks, scene.volume, diameter_angstrom=DIAMETER_ANGSTROM)

    assert found.duplicates.tolist() == [0, 1, 2]
    assert found.n_overlapping == 3
    assert "3 picks (7 %) are closer than a particle (8 nm)" in found.oddities[-1]


def test_points_that_outline_instances_are_no_duplicates(scene):
    cloud = Picks(np.repeat(scene.truth_zyx, 3, axis=0), SPACING_ANGSTROM, instance_ids=np.arange(120) // 3)
    found = check_picks(cloud, scene.volume, diameter_angstrom=DIAMETER_ANGSTROM)

    assert not len(found.duplicates)
    assert all(statement.topic != "duplicates" for statement in found.statements)


def test_the_share_at_the_edge_is_odd_only_against_chance(scene):
    edge = scene.truth_zyx.copy()
    edge[:30, 1] = 1.0
    edge[:30, 2] = np.linspace(8, 55, 30)

    assert any("cut by the volume's edge" in text for text in check(edge, scene.volume).oddities)
    assert not any("edge" in text for text in check(scene.truth_zyx, scene.volume).oddities)


def test_no_picks_at_all_is_said(scene):
    found = check(np.empty((0, 3)), scene.volume)

    assert [statement.text for statement in found.statements] == ["There are no picks."]


def test_of_a_single_pick_only_what_makes_sense_is_said(scene):
    texts = [statement.text for statement in check(scene.truth_zyx[:1], scene.volume).statements]

    assert "The only pick lies inside the volume." in texts
    assert not any("No two" in text or "1 picks" in text for text in texts)


@pytest.mark.parametrize("kind", ["zarr", "mrc"])
def test_files_give_the_same_findings(scene, tmp_path, kind):
    path = tmp_path / f"TS.{kind}"
    (write_pyramid if kind == "zarr" else write_mrc)(path, scene.grey, SPACING_ANGSTROM)
    found = check(MISTAKES["y is flipped"](scene.truth_zyx), path)

    assert found.suggestion.words() == "y is flipped"
    assert found.level == (1 if kind == "zarr" else 0)


def test_picks_counted_in_other_voxels_are_rescaled(scene):
    finer = scene.truth_zyx * 4

    assert check(finer, scene.volume, spacing=2.5).verdict == "fits"


def test_the_same_question_gets_the_same_answer_as_plain_data(scene):
    points = MISTAKES["y is flipped"](scene.truth_zyx)
    one, two = (check(points, scene.volume).as_data() for _ in range(2))

    assert one == two == json.loads(json.dumps(one))
    assert one["suggestion"]["flipped_zyx"] == [False, True, False]


def test_without_a_voxel_spacing_nothing_is_guessed(scene):
    with pytest.raises(FormatError, match="how large its voxels are"):
        check(scene.truth_zyx, volume_of_array(scene.grey, None))


def test_it_tells_how_far_it_is_and_stops_at_once(scene):
    told, stop = [], threading.Event()
    check(scene.truth_zyx, scene.volume, progress=lambda share, words: told.append((share, words)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0

    def stop_midway(share, _words):
        if share >= 0.9:
            stop.set()

    with pytest.raises(StoppedError):
        check(scene.truth_zyx, scene.volume, progress=stop_midway, stop=stop)


def test_more_picks_than_are_compared_are_all_looked_at(scene, monkeypatch):
    monkeypatch.setattr("napari_cryoet.fitness.verdict.MAX_COMPARED", 30)
    found = check(np.vstack([scene.truth_zyx, [[-9.0, 0, 0]]]), scene.volume)

    assert found.verdict == "fits"
    assert found.outside.tolist() == [40]


@pytest.mark.parametrize(
    ("about", "diameter"),
    [
        ({"object_id": "GO:0022626"}, (300.0, True)),
        ({"object_name": "proteasome complex"}, (150.0, True)),
        ({"source_url": "/data/101-fatty_acid_synthase-1.0_orientedpoint.ndjson"}, (260.0, True)),
        ({"source_url": "my_ribosome_picks.ndjson"}, (300.0, True)),
        ({"source_url": "picks.ndjson"}, (100.0, False)),
        ({}, (100.0, False)),
    ],
)
def test_the_diameter_is_that_of_what_the_picks_say_they_are(about, diameter):
    assert diameter_of(about) == diameter


def test_a_diameter_that_somebody_gave_is_known_though_it_is_that_of_unknown_objects():
    set_diameter("snoopy", 100.0)

    assert diameter_of({"object_name": "snoopy", "source_url": "not_a_ribosome.ndjson"}) == (100.0, True)


def test_an_unknown_size_is_said_where_nothing_can_be_told(scene):
    found = check_picks(Picks(np.full((20, 3), 5.0), SPACING_ANGSTROM), scene.volume)

    assert not found.diameter_is_known
    said = "Nobody said how large the particle is; 10 nm was taken. Its true diameter may tell more."
    assert said in found.statements[1].text


@pytest.mark.parametrize("spacing", [None, SPACING_ANGSTROM])
def test_a_damaged_position_beyond_all_volumes_changes_nothing_of_the_others(scene, spacing):
    points = np.concatenate([scene.truth_zyx, scene.truth_zyx[:1] + 0.5, [[1e300, -1e200, 1e300]]])
    found = check(points, scene.volume, spacing=spacing)

    assert found.verdict == "fits"
    assert found.outside.tolist() == [len(points) - 1]
    assert found.duplicates.tolist() == [len(points) - 2]
