"""Rows that are taken in stretches, and found again in another table."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.table_rows import rows_among, spans_of, taken

COLUMN = np.arange(100, 120)


@given(st.lists(st.integers(0, 19), max_size=40))
def test_rows_are_those_of_the_column_however_they_are_taken(rows):
    rows = np.array(rows, dtype=np.intp)

    np.testing.assert_array_equal(taken(COLUMN, rows, spans_of(rows, 20)), COLUMN[rows])


@pytest.mark.parametrize(
    ("rows", "spans"),
    [
        ([0, 1, 2, 5, 6, 9], [(0, 3), (5, 7), (9, 10)]),
        ([3, 2], [(3, 4), (2, 3)]),
        ([-2, -1], None),  # counted from the end
        ([18, 19, 20], None),  # which there isn't
        ([], None),
        (list(range(0, 200, 2)), None),  # too many
    ],
)
def test_stretches_are_of_rows_that_there_are(rows, spans):
    assert spans_of(np.array(rows, dtype=np.intp), 20 if max(rows, default=0) < 100 else 200) == spans


@given(st.sets(st.integers(0, 30)), st.data())
def test_what_is_left_of_a_table_is_found_in_it(ids, data):
    ids = np.array(data.draw(st.permutations(sorted(ids))), dtype=np.int64)
    is_left = np.array(data.draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids))), dtype=bool)

    found = rows_among(ids, ids[is_left])
    assert found.tolist() == np.flatnonzero(is_left).tolist()


@pytest.mark.parametrize("wanted", [[1, 0], [0, 0], [0, 7], [0, 1, 2, 3]])
def test_what_stands_elsewhere_or_twice_or_nowhere_isnt(wanted):
    assert rows_among(np.array([0, 1, 2]), np.array(wanted)) is None
