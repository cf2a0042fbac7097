"""What a plan asks for, in which order, and what it leaves alone."""

import math

import numpy as np
import pytest

from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.streaming import open_pyramid
from napari_cryoet.streaming.plan import (
    Motion,
    View,
    affordable_level,
    level_that_keeps_up,
    motion_between,
    plan,
    still_after_s,
    went_far,
)
from napari_cryoet.streaming.wishes import Priority

SHAPE = (60, 300, 280)
MIB = 2**20


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory):
    path = tmp_path_factory.mktemp("pyramid") / "a.zarr"
    write_pyramid(path, np.random.default_rng(0).normal(size=SHAPE).astype("f4"), 10.0)
    return open_pyramid(path)


def plane(at, axis=0, level=0):
    shape = tuple(-(-size // 2**level) for size in SHAPE)
    return View(level, tuple((at, at + 1) if i == axis else (0, size) for i, size in enumerate(shape)))


def wants(pyramid, view, motion=None, *, needs_coarse=False, largest=64 * MIB, **options):
    options |= {"needs_coarse": needs_coarse, "largest_background_bytes": largest}
    return list(plan(pyramid, view, view.level, motion, **options))


def ahead_of(pyramid, view, motion, **options):
    """Where on the axis it moves along each block ahead is, nearest first."""
    found = wants(pyramid, view, motion, **options)
    return [
        want.box[motion.axis]
        for want in found
        if (want.priority, want.level, want.is_table) == (Priority.AHEAD, view.level, False)
    ]


def test_something_coarse_then_the_view_then_what_is_ahead_then_the_coarsest_level(pyramid):
    found = wants(pyramid, plane(20), Motion(0, 1), needs_coarse=True)
    assert [want.priority for want in found] == sorted(want.priority for want in found)
    assert (found[0].level, found[0].box[0]) == (2, (5, 6))
    assert (found[1].priority, found[1].box) == (Priority.VIEW, plane(20).box)
    assert [want.box[0] for want in found[2:5]] == [(22, 24), (24, 26), (26, 28)]
    assert (found[-2].level, found[-2].box) == (2, ((0, 15), (0, 75), (0, 70)))
    assert (found[-1].is_table, found[-1].level, found[-1].box) == (True, 0, ((0, 60), (0, 300), (0, 280)))


def test_ahead_follows_the_direction_and_ends_with_the_volume(pyramid):
    assert ahead_of(pyramid, plane(20), Motion(0, -1)) == [(18, 20), (16, 18), (14, 16)]
    assert ahead_of(pyramid, plane(57), Motion(0, 1)) == [(58, 60)]
    assert ahead_of(pyramid, plane(59), Motion(0, 1)) == []


def test_the_faster_it_moves_the_farther_ahead_is_fetched_but_not_without_end(pyramid):
    counts = [len(ahead_of(pyramid, plane(10), Motion(0, 1, pace))) for pace in (1, 10, 20, 200)]
    assert counts == [3, 4, 7, 8]


def test_small_blocks_are_asked_for_together_where_the_line_is_long(pyramid):
    one = pyramid.wire_bytes(0, pyramid.grid(0).largest_block * 4)
    assert ahead_of(pyramid, plane(20), Motion(0, 1, 20), request_bytes=3 * one) == [(22, 28), (28, 34), (34, 36)]


def test_the_tables_of_the_chunks_that_it_comes_to_are_read_before_their_blocks(tmp_path):
    write_pyramid(tmp_path / "a.zarr", np.zeros((300, 40, 40), "f4"), 10.0)
    tall = open_pyramid(tmp_path / "a.zarr")

    def tables(z):
        view = View(0, ((z, z + 1), (0, 40), (0, 40)))
        found = wants(tall, view, Motion(0, 1, 10))
        return [want.box[0] for want in found if want.is_table and want.priority == Priority.AHEAD]

    first_block_beyond = (256, tall.grid(0).borders[0][tall.grid(0).borders[0].index(256) + 1])
    assert tables(254) == [first_block_beyond]
    assert tables(10) == []
    assert tables(257) == []


def test_something_coarse_is_fetched_far_ahead_of_a_motion(pyramid):
    found = wants(pyramid, plane(20), Motion(0, 1, 10))
    coarse = [want for want in found if want.level == 2]
    assert [(want.priority, want.box[0]) for want in coarse] == [(Priority.AHEAD, (5, 9))]
    assert found.index(coarse[0]) == 1
    down = [want.box[0] for want in wants(pyramid, plane(20), Motion(0, -1, 1000)) if want.level == 2]
    assert down == [(0, 6)]


def test_nothing_is_done_in_the_background_of_a_motion(pyramid):
    assert {want.priority for want in wants(pyramid, plane(20), Motion(0, 1, 5))} == {Priority.VIEW, Priority.AHEAD}
    assert wants(pyramid, plane(20), Motion(0, 1))[-1].priority == Priority.BACKGROUND


def test_a_still_plane_has_its_neighbours_in_the_background(pyramid):
    found = [want for want in wants(pyramid, plane(20)) if want.priority == Priority.BACKGROUND]
    assert [want.box[0] for want in found] == [(22, 24), (18, 20), (0, 15), (24, 26), (16, 18), (0, 60)]


def test_who_has_jumped_somewhere_has_only_the_nearest_there(pyramid):
    found = [want for want in wants(pyramid, plane(20), is_far=True) if want.priority == Priority.BACKGROUND]
    assert [want.box[0] for want in found] == [(22, 24), (18, 20), (0, 15), (0, 60)]
    assert ahead_of(pyramid, plane(20), Motion(0, 1)) == [(22, 24), (24, 26), (26, 28)]  # as soon as they move on


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (None, plane(5), False),
        (plane(5), plane(6), False),
        (plane(5), plane(8), False),
        (plane(5), plane(9), True),
        (plane(50), plane(5), True),
        (plane(5), View(1, plane(50).box), False),
        (plane(5), View(0, (*plane(50).box[:2], (0, 3))), False),
        (View(0, ((0, 60), (0, 40), (0, 40))), plane(50), False),
    ],
)
def test_a_jump_is_a_plane_far_along_its_axis(before, now, expected):
    assert went_far(before, now) is expected


def test_who_is_faster_than_the_line_gets_the_finest_level_that_keeps_up(pyramid):
    motion = Motion(0, 1, 25)
    finest = pyramid.wire_bytes(0, pyramid.size_bytes(0, plane(20).box)) / 2 * 25
    levels = [
        level_that_keeps_up(pyramid, plane(20), 0, motion, bytes_per_s)
        for bytes_per_s in (math.inf, 1.2 * finest, 0.8 * finest, 0.01 * finest, 1)
    ]
    assert levels == [0, 0, 1, 2, 2]
    assert level_that_keeps_up(pyramid, plane(20), 0, Motion(0, 1), 1) == 0  # a single step
    assert level_that_keeps_up(pyramid, plane(20), 0, None, 1) == 0


def test_who_is_late_is_shown_less_and_who_is_not_only_where_the_line_is_far_too_slow(pyramid):
    motion = Motion(0, 1, 25)
    needed = pyramid.wire_bytes(0, pyramid.size_bytes(0, plane(20).box)) / 2 * 25

    def level_in_view(**options):
        found = [want for want in wants(pyramid, plane(20), motion, **options) if want.priority == Priority.VIEW]
        return [want.level for want in found if want.box == plane(20).at(pyramid, want.level)]

    assert level_in_view(bytes_per_s=0.8 * needed) == [0]
    assert level_in_view(bytes_per_s=0.8 * needed, is_late=True) == [1]
    assert level_in_view(bytes_per_s=0.3 * needed) == [1]
    assert level_in_view(bytes_per_s=1) == [2]


def test_on_a_slow_line_the_coarsest_level_comes_before_the_planes_beside_a_still_one(pyramid):
    found = [want for want in wants(pyramid, plane(20), bytes_per_s=1000) if want.priority == Priority.BACKGROUND]
    places = [(want.level, want.box[0]) for want in found if not want.is_table]
    assert places == [(2, (0, 15)), (0, (22, 24)), (0, (24, 26)), (0, (18, 20)), (0, (16, 18))]


def test_a_narrow_line_brings_something_coarse_beside_the_plane_before_the_plane(pyramid):
    needed = pyramid.wire_bytes(0, pyramid.size_bytes(0, plane(20).box))

    def in_view(motion, bytes_per_s, **options):
        found = wants(pyramid, plane(20), motion, bytes_per_s=bytes_per_s, needs_coarse=True, **options)
        return [(want.level, want.box[0]) for want in found if want.priority <= Priority.VIEW]

    assert in_view(None, 2 * needed) == [(2, (5, 6)), (0, (20, 21))]
    still, stepped = in_view(None, needed / 2), in_view(Motion(0, 1), needed / 2)
    moving = in_view(Motion(0, 1, 25), needed / 100)
    assert still[0] == stepped[0] == moving[0] == (2, (5, 6))
    assert still[-1] == stepped[-1] == (0, (20, 21))
    assert moving[-1] == (2, (5, 6))
    beside = {level for level, _ in (*still[1:-1], *stepped[1:-1], *moving[1:-1])}
    assert beside == {2}
    assert all(start > 5 for _, (start, _) in (*stepped[1:-1], *moving[1:-1])), "ahead of what moves"
    assert {start > 5 for _, (start, _) in still[1:-1]} == {True, False}, "on both sides of what is still"


def test_a_view_counts_as_still_after_a_step_and_a_half(pyramid):
    assert still_after_s(None) == still_after_s(Motion(0, 1)) == 0
    assert still_after_s(Motion(0, 1, 15)) == pytest.approx(0.1)
    assert still_after_s(Motion(0, 1, 1000)) == 0.05
    assert still_after_s(Motion(0, 1, 1)) == 0.15


def test_the_pace_is_that_of_the_last_steps():
    motion = motion_between(plane(3), plane(4), None, 0.1)
    assert motion == Motion(0, 1, pytest.approx(10))
    motion = motion_between(plane(4), plane(5), motion, 0.05)
    assert motion == Motion(0, 1, pytest.approx(15))
    assert motion_between(plane(5), plane(4), motion, 0.1) == Motion(0, -1, pytest.approx(10))
    assert motion_between(plane(5), plane(6), motion, 3.0) == Motion(0, 1, 0.0)
    assert motion_between(plane(5), plane(45), motion, 0.1).planes_per_s > 100  # a slider that is dragged


def test_a_coarsest_level_that_is_too_large_is_left_alone(pyramid):
    assert all(want.level == 0 for want in wants(pyramid, plane(20), largest=1000))


def test_a_volume_has_nothing_ahead(pyramid):
    whole = View(2, ((0, 15), (0, 75), (0, 70)))
    assert {want.priority for want in wants(pyramid, whole, Motion(0, 1))} == {Priority.VIEW, Priority.BACKGROUND}


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (plane(3), plane(4), Motion(0, 1)),
        (plane(6), plane(4), Motion(0, -1)),
        (plane(9, axis=2), plane(11, axis=2), Motion(2, 1)),
        (plane(9), plane(12), Motion(0, 1)),
        (plane(9), plane(13), None),
        (plane(3), plane(3), None),
        (plane(3), plane(3, axis=1), None),
        (plane(3), plane(4, level=1), None),
        (None, plane(3), None),
    ],
)
def test_motion_is_a_plane_that_moved_along_its_axis(before, now, expected):
    assert motion_between(before, now) == expected


def test_a_plane_across_the_blocks_may_cost_half_of_what_one_along_them_may(pyramid):
    along, across = plane(20), plane(20, axis=1)
    assert pyramid.size_bytes(0, along.box) < MIB
    assert affordable_level(pyramid, along, MIB) == 0
    assert affordable_level(pyramid, along, 500_000) == 1
    cost = pyramid.size_bytes(0, across.box)
    assert affordable_level(pyramid, across, 2 * cost) == 0
    assert affordable_level(pyramid, across, 2 * cost - 2) == 1
    assert affordable_level(pyramid, across, 1) == 2
