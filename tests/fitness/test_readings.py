import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.fitness.readings import Frame, Reading, all_readings, are_inside
from napari_cryoet.picks import Picks

SHAPE = (10, 20, 30)
POINTS = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
readings = st.builds(
    Reading,
    st.permutations(range(3)).map(tuple),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
    st.sampled_from([1.0, 0.5, 10.0]),
)


def frame_of(picks, spacing=(10.0,) * 3, origin=(0.0, 0.0, 0.0)):
    return Frame.of(picks, SHAPE, spacing, origin)


def test_the_given_reading_changes_nothing_and_says_so():
    assert Reading().is_given
    assert Reading().words() == "they are taken as they are"
    np.testing.assert_array_equal(Reading().apply(POINTS, SHAPE), POINTS)


def test_a_flip_counts_from_the_centre_of_the_last_voxel():
    flipped = Reading(flipped_zyx=(False, True, False))

    assert flipped.apply(POINTS, SHAPE)[0].tolist() == [1.0, 17.0, 3.0]
    np.testing.assert_array_equal(flipped.apply(flipped.apply(POINTS, SHAPE), SHAPE), POINTS)


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        (Reading(flipped_zyx=(False, True, False)), "y is flipped"),
        (Reading(flipped_zyx=(True, False, True)), "x and z are flipped"),
        (Reading((2, 1, 0)), "x and z are swapped"),
        (Reading((0, 2, 1), (True, False, False)), "x and y are swapped and z is flipped"),
        (Reading((1, 2, 0)), "what is given as y, x and z is taken for z, y and x"),
        (Reading(factor=0.1, unit="the numbers are ångström, not voxels"), "the numbers are ångström, not voxels"),
        (Reading(shift_zyx=(0.0, -3.0, 12.5)), "all are moved by +12.5 in x and -3 in y voxels"),
    ],
)
def test_a_reading_says_what_is_different(reading, words):
    assert reading.words() == words


def test_all_48_orders_and_flips_are_there_at_each_scale_once():
    found = list(all_readings(10.0, 10.0))

    assert found[0].is_given
    assert len(found) == len(set(found)) == 48 * len({reading.factor for reading in found})
    assert {1.0, 0.1, 10.0, 2.0, 4.0, 0.5, 0.25} == {reading.factor for reading in found}


def test_scales_that_are_the_same_are_tried_once():
    assert {reading.factor for reading in all_readings(2.0, 2.0)} == {1.0, 0.5, 2.0, 4.0, 0.25}


def test_picks_of_another_spacing_lie_where_their_angstroms_are():
    picks = Picks(POINTS, 5.0)

    np.testing.assert_array_equal(frame_of(picks).voxels_zyx, POINTS / 2)
    np.testing.assert_array_equal(frame_of(picks, origin=(1.0, 0.0, 0.0)).voxels_zyx, POINTS / 2 - [1, 0, 0])
    np.testing.assert_array_equal(frame_of(Picks(POINTS)).voxels_zyx, POINTS)


@given(readings)
def test_what_is_read_anew_is_in_the_volumes_grid_and_says_what_was_done(reading):
    read = reading.applied_to(Picks(POINTS, 5.0, scores=[0.1, 0.2]), frame_of(Picks(POINTS, 5.0)))

    np.testing.assert_allclose(read.points_zyx, reading.apply(POINTS / 2, SHAPE))
    assert read.spacing_angstrom == 10.0
    assert read.shape_zyx == SHAPE
    assert read.scores.tolist() == [0.1, 0.2]
    assert reading.words() in read.edits[-1]


@given(readings)
def test_rotations_turn_along_and_stay_rotations_or_are_left_out(reading):
    quarter = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    picks = Picks(POINTS, 10.0, rotations_zyx=np.stack([np.eye(3), quarter]))
    read = reading.applied_to(picks, frame_of(picks))

    if reading.is_mirrored:
        assert read.rotations_zyx is None
        assert "orientations left out" in read.edits[-1]
    else:
        assert read.are_oriented.all()
        ahead = picks.points_zyx + picks.particle_axes_zyx()  # an arrow's end goes where its pick goes
        ends = reading.apply(ahead, SHAPE) - reading.apply(picks.points_zyx, SHAPE)
        np.testing.assert_allclose(read.particle_axes_zyx(), ends / reading.factor, atol=1e-9)


def test_the_outer_half_of_a_border_voxel_is_inside():
    edge = np.array([[-0.5, 0, 0], [9.5, 19.5, 29.5], [-0.51, 0, 0], [9.51, 0, 0], [0, 0, 30]])

    assert are_inside(edge, SHAPE).tolist() == [True, True, False, False, False]
