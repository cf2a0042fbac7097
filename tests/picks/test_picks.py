import copy
import pickle
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.picks import LARGEST_ID, NO_INSTANCE, Picks, joined

ROTATIONS = np.stack([np.eye(3), [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])


def some_picks(count=3, **more):
    return Picks(np.arange(count * 3, dtype=float).reshape(count, 3), 10.0, **more)


def test_arrays_are_copies_that_nobody_can_change():
    places = np.zeros((2, 3))
    picks = Picks(places, features={"cc": np.array([0.1, 0.2])})
    places[:] = 7

    assert picks.points_zyx.max() == 0
    with pytest.raises(ValueError, match="read-only"):
        picks.points_zyx[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        picks.features["cc"][0] = 1


def test_places_in_the_world_are_voxels_times_the_spacing():
    assert some_picks(1).changed(points_zyx=[[1.0, 2.0, 3.5]]).positions_angstrom_zyx.tolist() == [[10.0, 20.0, 35.0]]
    with pytest.raises(ValueError, match="voxel spacing"):
        _ = Picks(np.zeros((1, 3))).positions_angstrom_zyx


def test_no_picks_at_all_are_picks_too():
    assert len(Picks(np.empty((0, 3)))) == 0
    assert len(Picks([])) == 0
    assert not Picks([]).is_cloud


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"points_zyx": np.zeros((2, 2))}, "points_zyx has the shape"),
        ({"points_zyx": [[np.nan, 0, 0]]}, "pick 1 is nowhere"),
        ({"ids": [1, 1, 2]}, "unique"),
        ({"scores": [1.0]}, "scores has the shape"),
        ({"rotations_zyx": np.eye(3)}, "rotations_zyx has the shape"),
        ({"features": {"cc": [1.0]}}, "cc has the shape"),
        ({"spacing_angstrom": 0.0}, "0.0 Å wide"),
        ({"spacing_angstrom": np.nan}, "Å wide"),
    ],
)
def test_what_does_not_fit_together_is_refused(wrong, why):
    with pytest.raises(ValueError, match=why):
        some_picks().changed(**wrong)


def test_the_particles_axes_are_the_columns_of_its_rotation():
    z_to_x = np.array([[[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]])  # x, y, z: the particle's z lies along x
    picks = Picks(np.zeros((1, 3)), rotations_zyx=z_to_x[:, ::-1, ::-1])

    assert picks.particle_axes_zyx(2).tolist() == [[0.0, 0.0, 1.0]]
    assert picks.particle_axes_zyx(1).tolist() == [[0.0, 1.0, 0.0]]
    assert picks.particle_axes_zyx(0).tolist() == [[-1.0, 0.0, 0.0]]
    assert picks.rotations_xyz.tolist() == z_to_x.tolist()


def test_mirrors_and_missing_rotations_are_no_orientations():
    matrices = np.stack([np.eye(3), np.diag([1.0, 1.0, -1.0]), np.full((3, 3), np.nan)])

    assert some_picks(rotations_zyx=matrices).are_oriented.tolist() == [True, False, False]


def test_taken_picks_keep_their_ids_and_all_that_is_known_of_them():
    picks = some_picks(
        2, rotations_zyx=ROTATIONS, instance_ids=[4, NO_INSTANCE], scores=[0.5, np.nan], features={"by": ["me", "you"]}
    )
    taken = picks.take([1, 0], "turned round").take([False, True])

    assert taken.ids.tolist() == [0]
    assert taken.points_zyx.tolist() == [[0.0, 1.0, 2.0]]
    assert taken.rotations_zyx.tolist() == [np.eye(3).tolist()]
    assert (taken.instance_ids.tolist(), taken.scores.tolist()) == ([4], [0.5])
    assert taken.features["by"].tolist() == ["me"]
    assert taken.edits == ("turned round",)
    with pytest.raises(ValueError, match="mask"):
        picks.take([True])


def test_added_picks_have_ids_of_their_own_and_nothing_made_up():
    picks = some_picks(2, rotations_zyx=ROTATIONS, ids=[5, 9], features={"cc": [1, 2]})
    more = picks.added([[7.0, 7.0, 7.0]], "added 1")

    assert more.ids.tolist() == [5, 9, 10]
    assert np.isnan(more.rotations_zyx[2]).all()
    assert np.isnan(more.features["cc"][2])
    assert more.features["cc"][:2].tolist() == [1, 2]


def test_the_id_of_a_pick_that_was_taken_away_is_never_given_again():
    fewer = some_picks(3).take([0, 1], "deleted 1")

    assert fewer.added([[1, 1, 1]]).ids.tolist() == [0, 1, 3]
    assert fewer.take([0]).changed("x", scores=[1.0]).rescaled(5.0).added([[1, 1, 1]]).ids.tolist() == [0, 3]
    assert joined([fewer, some_picks(1)]).ids.tolist() == [0, 1, 3]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda picks: pickle.loads(pickle.dumps(picks))])
def test_picks_can_be_copied_and_sent_to_another_process(copied):
    picks = some_picks(
        2, rotations_zyx=ROTATIONS, scores=[1, 2], features={"by": ["me", "you"]}, about={"id": 7}, edits=("read",)
    ).take([1])
    other = copied(picks)

    for name in ("points_zyx", "rotations_zyx", "scores", "ids"):
        np.testing.assert_array_equal(getattr(other, name), getattr(picks, name))
        assert not getattr(other, name).flags.writeable
    assert other.features["by"].tolist() == ["you"]
    assert not other.features["by"].flags.writeable
    assert (dict(other.about), other.edits, other.spacing_angstrom) == ({"id": 7}, ("read",), 10.0)
    assert other.added([[1, 1, 1]]).ids.tolist() == picks.added([[1, 1, 1]]).ids.tolist()
    with pytest.raises(TypeError):
        other.features["by"] = np.array([])


def test_joined_picks_lie_where_they_did_in_the_world():
    fine = some_picks(2, features={"by": ["me", "you"]})
    coarse = Picks([[1.0, 1.0, 1.0]], 20.0, scores=[0.5])
    both = joined([fine, coarse], "joined")

    assert both.positions_angstrom_zyx[2].tolist() == [20.0, 20.0, 20.0]
    assert both.spacing_angstrom == 10.0
    assert both.ids.tolist() == [0, 1, 2]
    assert both.features["by"].tolist() == ["me", "you", ""]
    assert np.isnan(both.scores[:2]).all()


@given(st.floats(0.5, 50), st.floats(0.5, 50))
def test_rescaling_moves_nothing_in_the_world(spacing, other):
    picks = some_picks().changed(spacing_angstrom=spacing)

    assert np.allclose(picks.rescaled(other).positions_angstrom_zyx, picks.positions_angstrom_zyx, rtol=1e-12)


def test_points_of_instances_are_a_cloud_and_particles_are_not():
    assert some_picks(instance_ids=[1, 1, 2]).is_cloud
    assert not some_picks(instance_ids=[1, 1, NO_INSTANCE]).is_cloud
    assert not some_picks(2, instance_ids=[1, 1], rotations_zyx=ROTATIONS).is_cloud


@pytest.mark.parametrize("spacing", [0, -1, np.inf, np.nan])
def test_a_spacing_that_cant_be_is_refused_in_words(spacing):
    with pytest.raises(ValueError, match="a voxel can't be"):
        Picks(np.ones((1, 3)), 10.0).rescaled(spacing)


@pytest.mark.parametrize("column", ["instance_ids", "ids"])
def test_ids_are_never_rounded(column):
    too_large = np.array([2**64 - 1], np.uint64)
    for numbers in ([1.5], [np.nan], [1e300], too_large, [Decimal("1.5")], [Fraction(3, 2)], [None]):
        with pytest.raises(ValueError, match=column):
            Picks(np.ones((1, 3)), **{column: numbers})
    for numbers in ([-3.0], [True], [Decimal("2.0")], np.array([2**60 + 1], dtype=object), np.array([7], np.uint64)):
        assert getattr(Picks(np.ones((1, 3)), **{column: numbers}), column).tolist() == [int(numbers[0])]


def test_ids_have_one_limit():
    assert Picks(np.ones((2, 3)), ids=[-LARGEST_ID, LARGEST_ID]).ids.tolist() == [-LARGEST_ID, LARGEST_ID]
    for number in (LARGEST_ID + 1, -LARGEST_ID - 1):
        with pytest.raises(ValueError, match="ids"):
            Picks(np.ones((1, 3)), ids=[number])


@pytest.mark.parametrize("alignment", ["17", 1.5])
def test_an_alignment_is_a_whole_number(alignment):
    with pytest.raises(TypeError, match="alignment_id"):
        Picks(np.ones((1, 3)), 10.0, alignment_id=alignment)


def test_picks_of_several_alignments_are_not_joined():
    one, other, unknown = (Picks(np.ones((1, 3)), 10.0, alignment_id=alignment) for alignment in (17, 18, None))

    with pytest.raises(ValueError, match=r"several alignments \(17, 18\)"):
        joined([one, unknown, other])
    assert joined([one, unknown]).alignment_id == 17


@pytest.mark.parametrize("change", ["added", "changed"])
def test_further_picks_beside_some_without_rotations_are_known_to_have_none(change):
    picks = Picks(np.zeros((200, 3)))
    assert not picks.are_oriented.any()
    more = picks.added([[1, 2, 3]]) if change == "added" else picks.changed(points_zyx=np.zeros((201, 3)), ids=None)

    assert more.are_oriented.tolist() == [False] * 201
    assert len(more.take(np.arange(0, 201, 2)).are_oriented) == 101
    assert len(more.take(np.arange(100, 201)).are_oriented) == 101
