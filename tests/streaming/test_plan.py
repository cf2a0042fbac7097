"""What a plan asks for, in which order, and what it leaves alone."""

import numpy as np
import pytest

from napari_cryoet.packs.portal_zarr import write_pyramid
from napari_cryoet.streaming import open_pyramid
from napari_cryoet.streaming.fetcher import Priority
from napari_cryoet.streaming.plan import Motion, View, affordable_level, motion_between, plan

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


def wants(pyramid, view, motion=None, *, needs_coarse=False, largest=64 * MIB):
    return list(plan(pyramid, view, view.level, motion, needs_coarse=needs_coarse, largest_background_bytes=largest))


def test_something_coarse_then_the_view_then_what_is_ahead_then_the_coarsest_level(pyramid):
    found = wants(pyramid, plane(20), Motion(0, 1), needs_coarse=True)
    assert [want.priority for want in found] == sorted(want.priority for want in found)
    assert (found[0].level, found[0].box[0]) == (2, (5, 6))
    assert (found[1].priority, found[1].box) == (Priority.VIEW, plane(20).box)
    assert [want.box[0] for want in found[2:5]] == [(22, 25), (26, 29), (30, 33)]
    assert (found[-1].level, found[-1].box) == (2, ((0, 15), (0, 75), (0, 70)))


def test_ahead_follows_the_direction_and_ends_with_the_volume(pyramid):
    down = [want.box[0] for want in wants(pyramid, plane(20), Motion(0, -1)) if want.priority == Priority.AHEAD]
    assert down == [(16, 19), (12, 15), (8, 11)]
    end = [want.box[0] for want in wants(pyramid, plane(57), Motion(0, 1)) if want.priority == Priority.AHEAD]
    assert end == [(58, 59)]
    assert not [want for want in wants(pyramid, plane(59), Motion(0, 1)) if want.priority == Priority.AHEAD]


def test_a_still_plane_has_its_neighbours_in_the_background(pyramid):
    found = [want for want in wants(pyramid, plane(20)) if want.priority == Priority.BACKGROUND]
    assert [want.box[0] for want in found] == [(22, 25), (16, 19), (0, 15)]


def test_a_coarsest_level_that_is_too_large_is_left_alone(pyramid):
    assert all(want.level == 0 for want in wants(pyramid, plane(20), largest=1000))


def test_a_volume_has_nothing_ahead(pyramid):
    whole = View(2, ((0, 15), (0, 75), (0, 70)))
    assert {want.priority for want in wants(pyramid, whole, Motion(0, 1))} == {Priority.VIEW, Priority.BACKGROUND}


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (plane(3), plane(4), Motion(0, 1)),
        (plane(9), plane(4), Motion(0, -1)),
        (plane(9, axis=2), plane(11, axis=2), Motion(2, 1)),
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
