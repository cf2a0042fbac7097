"""Numbers by pick id say what a dictionary would."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.review.by_id import ById, different

CHANGES = st.lists(st.dictionaries(st.integers(-3, 12), st.integers(0, 3)), max_size=8)


def as_dict(found):
    return dict(zip(found.ids.tolist(), found.values.tolist(), strict=True))


@given(CHANGES)
def test_changes_are_those_of_a_dictionary(changes):
    found, expected = ById(), {}
    for change in changes:
        before, was = found, as_dict(found)
        found = found.changed(np.array(list(change), dtype=np.int64), list(change.values()))
        expected |= change
        assert as_dict(before) == was
        assert as_dict(found) == {pick_id: value for pick_id, value in expected.items() if value}
        assert (np.diff(found.ids) > 0).all()

    asked = np.array([12, -3, 5, 99, 0])
    assert found.of(asked).tolist() == [expected.get(pick_id, 0) for pick_id in asked.tolist()]
    assert len(found) == len(as_dict(found))


def test_one_number_for_many_picks():
    found = ById().changed(np.array([7, 3]), 2)

    assert as_dict(found) == {3: 2, 7: 2}
    assert found.of(np.empty(0, np.int64)).tolist() == []


@given(st.lists(st.integers(-5, 5)))
def test_each_number_once_in_order(numbers):
    assert different(np.array(numbers, dtype=np.int64)).tolist() == sorted(set(numbers))
