from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from napari_cryoet.picks import LARGEST_ID, Picks


@pytest.mark.parametrize("column", ["instance_ids", "ids"])
def test_ids_are_never_rounded(column):
    too_large = np.array([2**64 - 1], np.uint64)
    for numbers in (
        [1.5],
        [np.nan],
        [1e300],
        too_large,
        [Decimal("1.5")],
        [Fraction(3, 2)],
        [None],
    ):
        with pytest.raises(ValueError, match=column):
            Picks(np.ones((1, 3)), **{column: numbers})
    for numbers in (
        [-3.0],
        [True],
        [Decimal("2.0")],
        np.array([2**60 + 1], dtype=object),
        np.array([7], np.uint64),
    ):
        assert getattr(Picks(np.ones((1, 3)), **{column: numbers}), column).tolist() == [
            int(numbers[0])
        ]


def test_ids_over_the_limit_are_refused():
    assert Picks(np.ones((2, 3)), ids=[-LARGEST_ID, LARGEST_ID]).ids.tolist() == [
        -LARGEST_ID,
        LARGEST_ID,
    ]
    for number in (LARGEST_ID + 1, -LARGEST_ID - 1):
        with pytest.raises(ValueError, match="ids"):
            Picks(np.ones((1, 3)), ids=[number])
