"""What a plan requests, in which order, and what it leaves out."""

import math

import numpy as np
import pytest

from napari_cryoet.streaming import open_pyramid
from napari_cryoet.streaming.engine import Priority
from napari_cryoet.streaming.plan import (
    Motion,
    View,
    affordable_level,
    blocks_passed,
    level_that_keeps_up,
    motion_between,
    plan,
)
from portal_images import noise, write_image

SHAPE = (60, 300, 280)
MIB = 2**20


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    write_image(folder / "a.zarr", noise(SHAPE))
    return open_pyramid(folder / "a.zarr").image


def plane(at, axis=0, level=0):
    shape = tuple(-(-size // 2**level) for size in SHAPE)
    return View(
        level, tuple((at, at + 1) if i == axis else (0, size) for i, size in enumerate(shape))
    )


def parts(
    image, view, motion=None, *, bytes_per_s=math.inf, needs_coarse=False, memory_bytes=256 * MIB
):
    options = {"axes": (0, 1, 2), "needs_coarse": needs_coarse, "memory_bytes": memory_bytes}
    return list(plan(image, view, view.level, motion, bytes_per_s, **options))


def ahead_of(image, view, motion):
    """Start and stop of each block ahead along the axis of motion, nearest first."""
    planned = [part for part in parts(image, view, motion) if part.priority == Priority.AHEAD]
    return [
        part.box[motion.axis] for part in planned if part.level == view.level and not part.is_table
    ]


def test_parts_are_ordered_coarse_view_ahead_background(image):
    planned = parts(image, plane(20), Motion(0, 1), needs_coarse=True)
    assert [part.priority for part in planned] == sorted(part.priority for part in planned)
    assert (planned[0].level, planned[0].box[0]) == (2, (5, 6))
    assert (planned[1].priority, planned[1].box) == (Priority.VIEW, plane(20).box)
    assert [part.box[0] for part in planned[2:4]] == [(22, 24), (24, 28)]
    assert (planned[-2].level, planned[-2].box) == (2, ((0, 15), (0, 75), (0, 70)))
    assert (planned[-1].is_table, planned[-1].level) == (True, 0)


def test_prefetching_follows_the_motion_and_ends_at_the_edge(image):
    assert ahead_of(image, plane(20), Motion(0, -1)) == [(16, 20), (14, 16)]
    assert ahead_of(image, plane(57), Motion(0, 1)) == [(58, 60)]
    assert ahead_of(image, plane(59), Motion(0, 1)) == []


def test_prefetch_distance_grows_with_speed_up_to_a_limit(image):
    ends = [ahead_of(image, plane(10), Motion(0, 1, pace))[-1][1] for pace in (1, 10, 20, 200)]
    assert ends == [18, 20, 26, 28]


def test_blocks_passed_before_they_arrive_are_not_prefetched(image):
    def first_of(answer_s, sign=1):
        options = {"axes": (0, 1, 2), "needs_coarse": False, "memory_bytes": 256 * MIB}
        motion = Motion(0, sign, 10)
        planned = plan(image, plane(20), 0, motion, math.inf, **options, answer_s=answer_s)
        ahead = [part for part in planned if part.priority == Priority.AHEAD and part.level == 0]
        return ahead[0].box[0]

    assert [first_of(answer_s) for answer_s in (0, 0.3, 0.5)] == [(22, 24), (22, 24), (24, 28)]
    assert first_of(0.4, sign=-1) == (16, 18)
    moving = Motion(0, 1, 10)
    assert [blocks_passed(image, plane(20), 0, moving, late_s) for late_s in (0.1, 0.3)] == [0, 1]


def test_coarse_planes_are_prefetched_far_ahead(image):
    coarse = [part for part in parts(image, plane(20), Motion(0, 1, 10)) if part.level == 2]
    assert [(part.priority, part.box[0]) for part in coarse] == [(Priority.AHEAD, (5, 9))]
    down = [part.box[0] for part in parts(image, plane(20), Motion(0, -1, 1000)) if part.level == 2]
    assert down == [(0, 6)]


def test_fast_motion_suspends_background_requests(image):
    assert {part.priority for part in parts(image, plane(20), Motion(0, 1, 5))} == {
        Priority.VIEW,
        Priority.AHEAD,
    }
    assert parts(image, plane(20), Motion(0, 1))[-1].priority == Priority.BACKGROUND


def test_neighbours_of_a_still_plane_are_fetched_in_the_background(image):
    planned = [part for part in parts(image, plane(20)) if part.priority == Priority.BACKGROUND]
    sides = [(22, 24), (24, 26), (16, 20)]  # (16, 20) are two blocks of one request
    assert [part.box[0] for part in planned] == [*sides, (0, 15), (0, 60)]
    assert [part.level for part in planned] == [0, 0, 0, 2, 0]


def test_motion_too_fast_for_the_bandwidth_uses_a_coarser_level(image):
    motion = Motion(0, 1, 25)
    finest = image.wire_bytes(0, image.size_bytes(0, plane(20).box)) / 2 * 25
    levels = [
        level_that_keeps_up(image, plane(20), 0, motion, bytes_per_s)
        for bytes_per_s in (math.inf, 0.6 * finest, 0.4 * finest, 0.01 * finest, 1)
    ]
    assert levels == [0, 0, 1, 2, 2]
    assert level_that_keeps_up(image, plane(20), 0, Motion(0, 1), 1) == 0  # a single step
    assert level_that_keeps_up(image, plane(20), 0, None, 1) == 0


def test_a_coarsest_level_too_large_for_memory_is_not_requested(image):
    assert all(part.level == 0 for part in parts(image, plane(20), memory_bytes=1000))


def test_a_volume_view_prefetches_nothing_ahead(image):
    whole = View(2, ((0, 15), (0, 75), (0, 70)))
    assert {part.priority for part in parts(image, whole, Motion(0, 1))} == {
        Priority.VIEW,
        Priority.BACKGROUND,
    }


def test_speed_is_measured_over_the_last_steps():
    motion = motion_between(plane(3), plane(4), None, 0.1)
    assert motion == Motion(0, 1, pytest.approx(10))
    motion = motion_between(plane(4), plane(5), motion, 0.05)
    assert motion == Motion(0, 1, pytest.approx(15))
    assert motion_between(plane(5), plane(4), motion, 0.1) == Motion(0, -1, pytest.approx(10))
    assert motion_between(plane(5), plane(6), motion, 3.0) == Motion(0, 1, 0.0)
    assert motion_between(plane(5), plane(45), motion, 0.1).planes_per_s > 100  # a dragged slider


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (plane(3), plane(4), Motion(0, 1)),
        (plane(6), plane(4), Motion(0, -1)),
        (plane(9, axis=2), plane(11, axis=2), Motion(2, 1)),
        (plane(9), plane(13), None),
        (plane(3), plane(3), None),
        (plane(3), plane(3, axis=1), None),
        (plane(3), plane(4, level=1), None),
        (None, plane(3), None),
    ],
)
def test_motion_is_a_small_step_along_one_axis(before, now, expected):
    assert motion_between(before, now, None, math.inf) == expected


def test_planes_across_blocks_have_half_the_byte_budget(image):
    along, across = plane(20), plane(20, axis=1)
    assert image.size_bytes(0, along.box) < MIB
    assert affordable_level(image, along, MIB) == 0
    assert affordable_level(image, along, 500_000) == 1
    cost = image.size_bytes(0, across.box)
    assert affordable_level(image, across, 2 * cost) == 0
    assert affordable_level(image, across, 2 * cost - 2) == 1
    assert affordable_level(image, across, 1) == 2
    assert np.all(
        np.diff([image.size_bytes(level, plane(1, level=level).box) for level in range(3)]) < 0
    )
