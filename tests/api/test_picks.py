"""`Picks`: immutable columns, and the copies that methods return."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet import FormatError, Picks, read_picks
from napari_cryoet.provenance import Provenance

NO_INSTANCE = -1
ROTATIONS = np.stack([np.eye(3), [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])


def some_picks(count=3, **more):
    return Picks(np.arange(count * 3, dtype=float).reshape(count, 3), 10.0, **more)


class TestConstruction:
    def test_arrays_are_read_only_copies(self):
        points = np.zeros((2, 3))
        picks = Picks(points, features={"cc": np.array([0.1, 0.2])})
        points[:] = 7

        assert picks.points_zyx.max() == 0
        for array in (picks.points_zyx, picks.features["cc"], picks.ids):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1

    def test_omitted_arguments_have_defaults(self):
        picks = some_picks()

        assert picks.ids.tolist() == [0, 1, 2]
        assert picks.rotations_zyx is picks.instance_ids is picks.scores is picks.shape_zyx is None
        assert (dict(picks.features), picks.about, picks.edits) == ({}, Provenance(), ())

    def test_invalid_arguments_are_named(self):
        for wrong, noun in (
            ({"points_zyx": [[np.nan, 0, 0]]}, "pick 1"),
            ({"ids": [1, 1, 2]}, "unique"),
            ({"scores": [1.0]}, "scores"),
            ({"rotations_zyx": np.eye(3)}, "rotations_zyx"),
            ({"features": {"cc": [1.0]}}, "cc"),
            ({"spacing_angstrom": 0.0}, "Å"),
            ({"shape_zyx": (1, 2)}, "shape_zyx"),
            ({"instance_ids": [2.0**64, 1, 2]}, "instance_ids"),
        ):
            with pytest.raises((ValueError, OverflowError), match=noun):
                some_picks().changed(**wrong)


class TestPositions:
    def test_in_angstrom_are_voxels_times_spacing(self):
        assert Picks([[1.0, 2.0, 3.5]], 10.0).positions_angstrom_zyx.tolist() == [
            [10.0, 20.0, 35.0]
        ]
        with pytest.raises(ValueError, match="spacing"):
            _ = Picks([[1.0, 2.0, 3.5]]).positions_angstrom_zyx

    @given(st.floats(0.5, 50), st.floats(0.5, 50))
    def test_in_angstrom_are_kept_by_rescaling(self, spacing, other):
        picks = some_picks().changed(spacing_angstrom=spacing)

        assert np.allclose(
            picks.rescaled(other).positions_angstrom_zyx, picks.positions_angstrom_zyx, rtol=1e-12
        )


class TestOrientations:
    def test_columns_are_the_particles_axes(self):
        z_to_x = np.array(
            [[[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]]
        )  # x, y, z: its z lies along x
        picks = Picks(np.zeros((1, 3)), rotations_zyx=z_to_x[:, ::-1, ::-1])

        assert picks.rotations_xyz.tolist() == z_to_x.tolist()
        assert [picks.particle_axes_zyx(axis).tolist() for axis in (0, 1, 2)] == [
            [[-1.0, 0.0, 0.0]],
            [[0.0, 1.0, 0.0]],
            [[0.0, 0.0, 1.0]],
        ]


class TestEdits:
    def test_take_keeps_ids_and_columns(self):
        columns = {
            "instance_ids": [4, NO_INSTANCE],
            "scores": [0.5, np.nan],
            "features": {"by": ["me", "you"]},
        }
        picks = some_picks(2, rotations_zyx=ROTATIONS, **columns)
        taken = picks.take([1, 0], "turned round").take([False, True])

        assert taken.ids.tolist() == [0]
        assert taken.points_zyx.tolist() == [[0.0, 1.0, 2.0]]
        assert taken.rotations_zyx.tolist() == [np.eye(3).tolist()]
        assert (taken.instance_ids.tolist(), taken.scores.tolist()) == ([4], [0.5])
        assert taken.features["by"].tolist() == ["me"]
        assert taken.edits == ("turned round",)
        assert len(picks) == 2

    def test_added_picks_have_new_ids_and_missing_values(self):
        picks = some_picks(2, rotations_zyx=ROTATIONS, ids=[5, 9], features={"cc": [1, 2]})
        more = picks.added([[7.0, 7.0, 7.0]], "added 1")

        assert more.ids.tolist() == [5, 9, 10]
        assert more.points_zyx[2].tolist() == [7, 7, 7]
        assert np.isnan(more.rotations_zyx[2]).all()
        assert more.features["cc"][:2].tolist() == [1, 2]
        assert np.isnan(more.features["cc"][2])
        assert more.edits == ("added 1",)

    def test_ids_of_removed_picks_are_not_reused(self):
        fewer = some_picks(3).take([0, 1], "deleted 1")

        assert fewer.added([[1, 1, 1]]).ids.tolist() == [0, 1, 3]
        assert fewer.take([0]).changed("x", scores=[1.0]).rescaled(5.0).added(
            [[1, 1, 1]]
        ).ids.tolist() == [0, 3]

    @pytest.mark.parametrize(
        "copied", [copy.copy, copy.deepcopy, lambda picks: pickle.loads(pickle.dumps(picks))]
    )
    def test_copies_and_pickles_are_equal(self, copied):
        picks = some_picks(
            2, rotations_zyx=ROTATIONS, features={"by": ["me", "you"]}, about={"id": 7}
        ).take([1], "x")
        other = copied(picks)

        for name in ("points_zyx", "rotations_zyx", "ids"):
            np.testing.assert_array_equal(getattr(other, name), getattr(picks, name))
        assert other.features["by"].tolist() == ["you"]
        assert (other.about.more, other.edits, other.spacing_angstrom) == ({"id": 7}, ("x",), 10.0)
        assert other.added([[1, 1, 1]]).ids.tolist() == picks.added([[1, 1, 1]]).ids.tolist()


def test_instance_points_are_a_cloud_but_particles_are_not():
    assert some_picks(instance_ids=[1, 1, 2]).is_cloud
    assert not some_picks(instance_ids=[1, 1, NO_INSTANCE]).is_cloud
    assert not some_picks(2, instance_ids=[1, 1], rotations_zyx=ROTATIONS).is_cloud


def test_a_table_has_named_units_and_becomes_the_same_picks():
    picks = some_picks(
        rotations_zyx=np.stack([*ROTATIONS, np.full((3, 3), np.nan)]),
        instance_ids=[4, NO_INSTANCE, 2**40],
        scores=[0.1, np.nan, 1 / 3],
        features={"class": np.array([1, 2, 3])},
    )
    frame = picks.to_dataframe()
    assert frame["z_angstrom"].tolist() == [0, 30, 60]

    back = read_picks(frame)
    assert (back.spacing_angstrom, back.ids.tolist()) == (10.0, [0, 1, 2])
    for name in ("points_zyx", "rotations_zyx", "instance_ids", "scores"):
        np.testing.assert_array_equal(getattr(back, name), getattr(picks, name), strict=True)
    assert back.features["class"].tolist() == [1, 2, 3]
    with pytest.raises(FormatError, match="position"):
        read_picks(frame[["score"]])


def test_a_notebook_shows_one_line_and_a_short_table():
    picks = some_picks(1000)
    assert repr(picks) == "<Picks 1,000, 10 Å>"
    assert picks._repr_html_().count("<tr") < 12  # the method that notebooks look for
