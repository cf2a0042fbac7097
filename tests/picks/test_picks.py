from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from napari_cryoet.picks import LARGEST_ID, Picks, joined

ROTATIONS = np.stack([np.eye(3), [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])


def some_picks(count=3, **more):
    return Picks(np.arange(count * 3, dtype=float).reshape(count, 3), 10.0, **more)


def test_joined_picks_lie_where_they_did_in_the_world():
    fine = some_picks(2, features={"by": ["me", "you"]})
    coarse = Picks([[1.0, 1.0, 1.0]], 20.0, scores=[0.5])
    both = joined([fine, coarse], "joined")

    assert both.positions_angstrom_zyx[2].tolist() == [20.0, 20.0, 20.0]
    assert both.spacing_angstrom == 10.0
    assert both.ids.tolist() == [0, 1, 2]
    assert both.features["by"].tolist() == ["me", "you", ""]
    assert np.isnan(both.scores[:2]).all()


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


def test_picks_of_several_alignments_are_not_joined():
    one, other, unknown = (Picks(np.ones((1, 3)), 10.0, alignment_id=alignment) for alignment in (17, 18, None))

    with pytest.raises(ValueError, match=r"several alignments \(17, 18\)"):
        joined([one, unknown, other])
    assert joined([one, unknown]).alignment_id == 17
