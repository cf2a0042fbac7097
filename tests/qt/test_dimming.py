import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet._qt.dimming import DIM, Dimming

IDS = np.arange(5)
BASE = np.column_stack([np.linspace(0, 1, 5)] * 3 + [np.linspace(0.2, 1, 5)])
NONE = np.empty(0, np.int64)


class Holder:
    def __init__(self, base=BASE):
        self.colors = base.copy()
        self.part = Dimming(lambda: self.colors, lambda: None)


@given(st.lists(st.sets(st.integers(0, 4)), max_size=6))
def test_whatever_was_dimmed_all_is_exactly_as_before_in_the_end(steps):
    holder = Holder()
    for dimmed in steps:
        holder.part.show(IDS, np.array(sorted(dimmed), dtype=np.int64))
        expected = BASE.copy()
        expected[sorted(dimmed), 3] *= DIM
        np.testing.assert_array_equal(holder.colors, expected)
    holder.part.show(IDS, NONE)

    np.testing.assert_array_equal(holder.colors, BASE)


def test_what_is_recoloured_meanwhile_keeps_its_new_colour():
    holder = Holder()
    holder.part.show(IDS, np.array([1, 2]))
    holder.colors[1] = [0.5, 0.5, 0.5, 0.9]
    holder.colors[2, :3] = 0.25  # its opacity is ours still
    holder.part.show(IDS, NONE)

    assert holder.colors[1].tolist() == [0.5, 0.5, 0.5, 0.9]
    assert holder.colors[2].tolist() == [0.25, 0.25, 0.25, BASE[2, 3]]


def test_all_rows_of_a_pick_are_as_they_were_when_it_goes_and_comes_back():
    row_ids = np.repeat(IDS, 3)  # as axes of a triad
    base = np.repeat(BASE, 3, axis=0)
    holder = Holder(base)
    holder.part.show(row_ids, np.array([1, 3]))
    is_gone = row_ids == 1
    gone, left = holder.colors[is_gone], row_ids[~is_gone]
    holder.part.show(left, np.array([1, 3]))  # before the layer is changed: its rows are others
    holder.colors = holder.colors[~is_gone]
    holder.part.show(left, np.array([1, 3]))
    np.testing.assert_allclose(holder.colors[left == 3, 3], base[row_ids == 3, 3] * DIM)
    holder.colors = np.insert(holder.colors, [3] * 3, gone, axis=0)
    holder.part.show(row_ids, np.array([1, 3]))
    np.testing.assert_allclose(holder.colors[is_gone, 3], base[is_gone, 3] * DIM)
    holder.part.show(row_ids, NONE)

    np.testing.assert_allclose(holder.colors, base)
