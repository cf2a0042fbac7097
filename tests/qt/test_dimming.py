import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet._qt.dimming import DIM, DimmedColors

IDS = np.arange(5)
BASE = np.column_stack([np.linspace(0, 1, 5)] * 3 + [np.linspace(0.2, 1, 5)])


class Holder:
    def __init__(self):
        self.colors = BASE.copy()
        self.part = DimmedColors(lambda: self.colors, lambda: None)


@given(st.lists(st.sets(st.integers(0, 4)), max_size=6))
def test_whatever_was_dimmed_all_is_exactly_as_before_in_the_end(steps):
    holder = Holder()
    for dimmed in steps:
        holder.part.show(IDS, np.array(sorted(dimmed), dtype=np.int64))
        expected = BASE.copy()
        expected[sorted(dimmed), 3] *= DIM
        np.testing.assert_array_equal(holder.colors, expected)
    holder.part.show(IDS, np.empty(0, np.int64))

    np.testing.assert_array_equal(holder.colors, BASE)


def test_what_is_recoloured_meanwhile_keeps_its_new_colour():
    holder = Holder()
    holder.part.show(IDS, np.array([1, 2]))
    holder.colors[1] = [0.5, 0.5, 0.5, 0.9]
    holder.colors[2, :3] = 0.25  # its opacity is ours still
    holder.part.show(IDS, np.empty(0, np.int64))

    assert holder.colors[1].tolist() == [0.5, 0.5, 0.5, 0.9]
    assert holder.colors[2].tolist() == [0.25, 0.25, 0.25, BASE[2, 3]]


def test_rows_that_go_and_come_back_are_as_they_were():
    holder = Holder()
    holder.part.show(IDS, np.array([1, 3]))
    gone = holder.colors[1].copy()
    holder.colors = np.delete(holder.colors, 1, axis=0)
    holder.part.show(np.delete(IDS, 1), np.array([1, 3]))
    holder.colors = np.insert(holder.colors, 1, gone, axis=0)
    holder.part.show(IDS, np.array([1, 3]))
    assert holder.colors[1, 3] == BASE[1, 3] * DIM

    holder.part.show(IDS, np.empty(0, np.int64))
    np.testing.assert_array_equal(holder.colors, BASE)


def test_colours_that_do_not_fit_the_rows_yet_are_left_alone():
    holder = Holder()
    holder.part.show(np.arange(4), np.array([1]))

    np.testing.assert_array_equal(holder.colors, BASE)


def test_a_copy_of_what_is_dim_is_not_dim():
    holder = Holder()
    holder.part.show(IDS, np.array([1, 3]))
    holder.colors = np.vstack([holder.colors, holder.colors[[1, 2]], [[0.1, 0.2, 0.3, 0.4]]]).astype(np.float32)
    holder.part.show(np.arange(8), np.array([1, 3]))

    np.testing.assert_allclose(holder.colors[5:], [BASE[1], BASE[2], [0.1, 0.2, 0.3, 0.4]], atol=1e-6)


def test_all_axes_of_a_triad_are_as_they_were_when_its_pick_goes_and_comes_back():
    row_ids = np.repeat(IDS, 3)
    base = np.column_stack([np.linspace(0, 1, 15)] * 3 + [np.linspace(0.2, 1, 15)])
    colors = [base.copy()]
    part = DimmedColors(lambda: colors[0], lambda: None)
    part.show(row_ids, np.array([1, 3]))
    gone, left = row_ids == 1, np.delete(row_ids, np.s_[3:6])
    taken_out = colors[0][gone]
    colors[0] = colors[0][~gone]
    part.show(left, np.array([1, 3]))
    np.testing.assert_array_equal(colors[0][left == 3, 3], base[row_ids == 3, 3] * DIM)
    colors[0] = np.insert(colors[0], [3] * 3, taken_out, axis=0)
    part.show(row_ids, np.empty(0, np.int64))

    np.testing.assert_array_equal(colors[0], base)
