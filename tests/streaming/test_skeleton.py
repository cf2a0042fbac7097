"""Of a coarsest level that takes long every eighth block comes first, and is seen in place of those around it."""

import itertools
import math
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_cryoet.exceptions import WithheldError
from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.network.policy import policy as shared_policy
from napari_cryoet.streaming import open_pyramid
from napari_cryoet.streaming import orders as orders_module
from napari_cryoet.streaming import picture as picture_module
from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.fetcher import Fetcher
from napari_cryoet.streaming.geometry import box_slices, make_grid
from napari_cryoet.streaming.picture import compose
from napari_cryoet.streaming.plan import Motion, View, plan
from napari_cryoet.streaming.skeleton import REACH, nearest_planes, skeleton
from napari_cryoet.streaming.thin import cut_box, plane_of, thin_key
from napari_cryoet.streaming.wishes import Priority
from ome_images import write_image
from stream_server import StreamServer

MIB = 2**20
TALL = (520, 40, 44)
LEVELS = (40, 24, 20), (40, 12, 10)  # of blocks of 2 x 8 x 8


# which blocks


@pytest.mark.parametrize("n_blocks", range(1, 100))
def test_every_block_is_near_one_of_the_skeleton_which_is_an_eighth(n_blocks):
    grid = make_grid((2 * n_blocks, 8, 8), (2, 8, 8), (2, 8, 8))
    boxes = skeleton(grid, ((0, 2 * n_blocks), (3, 4), (0, 8)), (0, 2))
    places = sorted(box[0][0] // 2 for box in boxes)
    assert bool(places) == (n_blocks >= 16)
    assert len(places) <= math.ceil(n_blocks / 8) + 1
    assert all(box[1:] == ((3, 4), (0, 8)) for box in boxes)
    assert all(box[0] == (2 * place, 2 * place + 2) for box, place in zip(sorted(boxes), places, strict=True))
    assert all(min(abs(block - place) for place in places) <= REACH for block in range(n_blocks) if places)


@pytest.mark.parametrize(("start", "stop"), [(0, 80), (3, 77), (9, 71), (10, 50), (17, 50)])
def test_a_part_of_a_plane_has_blocks_of_the_same_skeleton_and_is_covered_to_its_ends(start, stop):
    grid = make_grid((80, 8, 8), (2, 8, 8), (2, 8, 8))
    of_all = {box[0] for box in skeleton(grid, ((0, 80), (3, 4), (0, 8)), (0,))}
    boxes = skeleton(grid, ((start, stop), (3, 4), (0, 8)), (0,))
    first, last = start // 2, (stop - 1) // 2
    places = [box[0][0] // 2 for box in boxes]
    assert all(start <= begin < end <= stop for (begin, end), *_ in boxes)
    assert {box[0] for box in boxes} - of_all <= {(start, 2 * first + 2), (2 * last, stop)}
    assert all(min(abs(block - place) for place in places) <= REACH for block in range(first, last + 1))


def test_the_middle_comes_first():
    grid = make_grid((80, 8, 8), (2, 8, 8), (2, 8, 8))
    places = [box[0][0] // 2 for box in skeleton(grid, ((0, 80), (3, 4), (0, 8)), (0,))]
    distances = [abs(place - 19.5) for place in places]
    assert distances == sorted(distances)


# which comes when


@pytest.fixture(scope="module")
def tall(tmp_path_factory):
    path = tmp_path_factory.mktemp("tall") / "a.zarr"
    write_pyramid(path, np.random.default_rng(0).normal(size=TALL).astype("f4"), 10.0)
    return open_pyramid(path)


def plane(at, axis=1, level=0):
    shape = [-(-size // 2**level) for size in TALL]
    return View(level, tuple((at, at + 1) if i == axis else (0, size) for i, size in enumerate(shape)))


def wants(pyramid, view, motion=None, *, target=None, needs_coarse=True, bytes_per_s=1.0):
    target = view.level if target is None else target
    options = {"needs_coarse": needs_coarse, "largest_background_bytes": 64 * MIB, "bytes_per_s": bytes_per_s}
    return list(plan(pyramid, view, target, motion, **options))


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("motion", [None, "step", "moving"])
def test_a_plane_across_many_blocks_comes_everywhere_before_it_comes_as_a_whole(axis, motion, tall):
    view = plane(20, axis)
    motion = {"step": Motion(axis, 1), "moving": Motion(axis, 1, 25.0)}.get(motion)
    found = wants(tall, view, motion)
    box = view.at(tall, 2)
    first = [want for want in found if want.priority == Priority.FIRST_SIGHT]
    assert [want.box for want in first] == skeleton(tall.grid(2), box, (0,))
    assert found[: len(first)] == first
    assert (found[len(first)].priority, found[len(first)].box) == (Priority.COARSE, box)
    assert sum(want.priority == Priority.COARSE for want in found) == 1
    priorities = [want.priority for want in found]
    assert priorities == sorted(priorities)


@pytest.mark.parametrize("axis", [1, 2])
def test_what_follows_is_what_it_was(axis, tall):
    view = plane(20, axis)
    at_first = [want for want in wants(tall, view) if want.priority <= Priority.COARSE]
    known = wants(tall, view, needs_coarse=False)
    assert wants(tall, view) == [*at_first, *known]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("motion", [None, Motion(1, 1), Motion(0, -1, 12.0)])
def test_where_the_line_brings_it_soon_nothing_of_it_comes_before_the_rest(axis, motion, tall):
    whole = tuple((0, size) for size in tall.shapes[2])
    soon = tall.wire_bytes(2, tall.size_bytes(2)) / 2  # what is known of a line is rough: it may be twice as fast
    for bytes_per_s in (soon, math.inf):
        found = wants(tall, plane(20, axis), motion, bytes_per_s=bytes_per_s)
        assert Priority.COARSE not in {want.priority for want in found}
        at_first = [want.box for want in found if want.priority == Priority.FIRST_SIGHT]
        assert at_first == [plane(20, axis).at(tall, 2)]
        everything = [want.box for want in found if want.priority == Priority.BACKGROUND and want.level == 2]
        assert everything == ([] if motion is not None and motion.planes_per_s else [whole])


def test_a_plane_that_lies_in_one_block_comes_as_ever_and_the_skeleton_after_all_that_is_looked_at(tall):
    found = wants(tall, plane(20, axis=0))
    whole = tuple((0, size) for size in tall.shapes[2])
    assert (found[0].priority, found[0].box) == (Priority.FIRST_SIGHT, plane(20, axis=0).at(tall, 2))
    assert Priority.COARSE not in {want.priority for want in found}
    background = [want.box for want in found if want.priority == Priority.BACKGROUND and want.level == 2]
    beside = [((start, stop), *whole[1:]) for start, stop in ((8, 20), (0, 4), (20, 28))]  # of blocks of 4 planes
    assert background == [*beside, *skeleton(tall.grid(2), whole, (0, 1, 2)), whole]
    assert len(background) > len(beside) + 3
    assert [want.priority for want in found] == sorted(want.priority for want in found)


def test_nothing_of_it_is_fetched_in_the_background_of_a_motion_along_the_blocks(tall):
    found = wants(tall, plane(20, axis=0), Motion(0, 1, 10.0))
    assert Priority.BACKGROUND not in {want.priority for want in found}
    assert Priority.COARSE not in {want.priority for want in found}


def test_volumes_and_small_parts_of_planes_come_as_ever(tall):
    volume = View(2, tuple((0, size) for size in tall.shapes[2]))
    small = View(0, ((0, 100), (20, 21), (0, TALL[2])))
    for view in (volume, small):
        found = wants(tall, view)
        assert Priority.COARSE not in {want.priority for want in found}
        assert [want.box for want in found if want.priority == Priority.FIRST_SIGHT] == [view.at(tall, 2)]


@pytest.mark.parametrize(
    "what", [("is_labels", True), ("is_shown_as_labels", True), ("coarse_offset", "strided")], ids=lambda what: what[0]
)
def test_labels_come_as_ever(what, tall, monkeypatch):
    monkeypatch.setattr(tall, *what)
    for axis in range(3):
        found = wants(tall, plane(20, axis))
        assert Priority.COARSE not in {want.priority for want in found}
        assert len([want for want in found if want.priority == Priority.BACKGROUND and want.level == 2]) == 1


# what is seen of it


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("image") / "a.zarr"
    values = np.random.default_rng(0).normal(size=LEVELS[0]).astype("f4")
    return path, write_image(path, values, "zyx", chunks=(2, 8, 8))


def open_image(path):
    """A pyramid of two levels of 20 layers of blocks, a new memory, and nothing in it."""
    memory = MemoryCache(64 * MIB)
    pyramid = open_pyramid(path, fetcher=Fetcher(memory))
    pyramid.coarse_offset = "mean"
    assert pyramid.shapes == LEVELS
    return pyramid, memory


def put(pyramid, memory, values, level, block, plane=None):
    box = pyramid.grid(level).box(block)
    key = pyramid.key(level, block)
    if plane is not None:
        box, key = cut_box(box, plane), thin_key(key, plane)
    content = np.ascontiguousarray(values[level][box_slices(box)])
    memory.put(key, content, content.nbytes)


def by_hand(values, here, level, box, reach=REACH):
    """Each voxel looked for by itself: finer blocks first, then the nearest plane of the coarsest level."""
    expected = np.full([stop - start for start, stop in box], np.nan, "f4")
    for at in np.ndindex(expected.shape):
        z, y, x = (start + i for (start, _), i in zip(box, at, strict=True))
        if (level, (z // 2, y // 8, x // 8)) in here:
            expected[at] = values[level][z, y, x]
            continue
        y, x = (y, x) if level == 1 else (y // 2, x // 2)
        planes = [
            (abs(place - z), place)
            for place in range(LEVELS[1][0])
            if abs(place // 2 - z // 2) <= reach and (1, (place // 2, y // 8, x // 8)) in here
        ]
        if planes:
            expected[at] = values[1][min(planes)[1], y, x]
    return expected


def all_blocks(pyramid, level):
    return pyramid.grid(level).covering(tuple((0, size) for size in LEVELS[level]))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_holes_of_a_plane_are_filled_from_what_is_nearest_as_by_hand(data, image):
    path, values = image
    pyramid, memory = open_image(path)
    level = data.draw(st.integers(0, 1))
    axis = data.draw(st.integers(0, 2))
    box = []
    for each, size in enumerate(LEVELS[level]):
        start = data.draw(st.integers(0, size - 1))
        stop = start + 1 if each == axis else data.draw(st.integers(start + 1, size))
        box.append((start, stop))
    box = tuple(box)
    chances = data.draw(st.sampled_from([(0, 0), (0, 0.03), (0, 0.2), (0, 0.9), (0.1, 0.1), (0.5, 0.03), (0, 1)]))
    random, here = np.random.default_rng(data.draw(st.integers(0, 2**32))), set()
    for each, chance in enumerate(chances):
        for block in all_blocks(pyramid, each):
            if random.random() < chance:
                here.add((each, block))
                put(pyramid, memory, values, each, block)
    picture = compose(pyramid, memory, level, box, np.nan)
    shown = [each for each, (start, stop) in enumerate(box) if stop - start > 1]
    expected = by_hand(values, here, level, box, REACH if 0 in shown else 0)
    assert np.array_equal(picture.values, expected, equal_nan=True)
    own = {(level, block) for block in pyramid.grid(level).covering(box)}
    assert picture.is_whole == (own <= here)
    assert {key[1:] for key in picture.holes} == own - here
    assert picture.is_blank == bool(np.isnan(expected).all())


@pytest.mark.parametrize("axis", [1, 2])
def test_what_a_plane_has_cut_out_of_blocks_stands_in_as_whole_ones_do(axis, image):
    path, values = image
    pyramid, memory = open_image(path)
    box = tuple((3, 4) if each == axis else (0, size) for each, size in enumerate(LEVELS[1]))
    here = set()
    for block in list(pyramid.grid(1).covering(box))[::7]:
        here.add((1, block))
        put(pyramid, memory, values, 1, block, plane_of(box))
    picture = compose(pyramid, memory, 1, box, np.nan)
    assert np.array_equal(picture.values, by_hand(values, here, 1, box), equal_nan=True)
    assert not np.isnan(picture.values).all()


def test_one_block_is_not_stretched_over_all_of_a_plane(image):
    path, values = image
    pyramid, memory = open_image(path)
    for y, x in itertools.product(range(2), range(2)):
        put(pyramid, memory, values, 1, (10, y, x))
    picture = compose(pyramid, memory, 0, ((0, 40), (5, 6), (0, 20)), 7.0)
    assert (picture.values[:12] == 7).all()
    assert (picture.values[30:] == 7).all()
    assert (picture.values[12:30] != 7).all()
    assert (picture.values[12:20] == picture.values[20]).all()  # planes of its own are in their place
    assert (picture.values[22:30] == picture.values[21]).all()
    assert not np.array_equal(picture.values[20], picture.values[21])
    assert (picture.is_blank, picture.is_whole) == (False, False)
    assert len(picture.holes) == 20 * 3


def test_a_part_of_a_plane_shows_what_all_of_it_shows_there(image):
    path, values = image
    pyramid, memory = open_image(path)
    for block in [(4, 0, 0), (4, 0, 1), (13, 0, 1)]:
        put(pyramid, memory, values, 1, block)
    whole = compose(pyramid, memory, 0, ((0, 40), (5, 6), (0, 20)), np.nan).values
    for start, stop in itertools.combinations((0, 5, 7, 9, 11, 16, 19, 26, 36, 40), 2):
        part = compose(pyramid, memory, 0, ((start, stop), (5, 6), (3, 19)), np.nan)
        assert np.array_equal(part.values, whole[start:stop, :, 3:19], equal_nan=True)
        assert part.is_blank == np.isnan(part.values).all()


@pytest.mark.parametrize("level", [0, 1])
def test_what_comes_while_a_picture_is_put_together_is_seen_in_its_place(level, image, monkeypatch):
    path, values = image
    pyramid, memory = open_image(path)
    blocks, near = list(all_blocks(pyramid, 1)), picture_module.with_what_is_near
    for block in blocks:
        if block[0] != 12:
            put(pyramid, memory, values, 1, block)

    def come(*arguments):
        for block in blocks:
            put(pyramid, memory, values, 1, block)
        return near(*arguments)

    monkeypatch.setattr(picture_module, "with_what_is_near", come)
    box = ((20, 30), (5, 6), (0, LEVELS[level][2]))
    picture = compose(pyramid, memory, level, box, np.nan)
    assert np.array_equal(picture.values, by_hand(values, {(1, block) for block in blocks}, level, box))


@pytest.mark.parametrize("kind", ["labels", "shown as labels", "strided", "volume", "plane in one layer of blocks"])
def test_nothing_is_made_up_of_labels_of_volumes_and_along_planes(kind, image, monkeypatch):
    path, values = image
    pyramid, memory = open_image(path)
    box = ((0, 40), (5, 6), (0, 20))
    if kind == "labels":
        pyramid.is_labels = True
    elif kind == "shown as labels":
        pyramid.is_shown_as_labels = True
    elif kind == "strided":
        pyramid.coarse_offset = "strided"
    else:
        box = ((0, 40), (5, 9), (0, 20)) if kind == "volume" else ((9, 10), (0, 24), (0, 20))
    monkeypatch.setattr(picture_module, "nearest_planes", None)  # would fail
    for block in [(4, 0, 0), (4, 0, 1), (13, 0, 1)]:
        put(pyramid, memory, values, 1, block)
    shown = compose(pyramid, memory, 0, box, np.nan).values
    there, edge = np.zeros(LEVELS[0], bool), 15 if kind == "strided" else 16
    there[8:10, :edge] = True
    there[26:28, :edge, edge:] = True
    assert np.array_equal(~np.isnan(shown), there[box_slices(box)])


def test_where_nothing_is_lacking_nothing_is_looked_for(image, monkeypatch):
    path, values = image
    pyramid, memory = open_image(path)
    for block in all_blocks(pyramid, 1):
        put(pyramid, memory, values, 1, block)
    monkeypatch.setattr(picture_module, "nearest_planes", None)
    monkeypatch.setattr(picture_module, "with_what_is_near", None)
    box = ((0, 40), (5, 6), (0, 20))
    here = {(1, block) for block in all_blocks(pyramid, 1)}
    assert np.array_equal(compose(pyramid, memory, 0, box, np.nan).values, by_hand(values, here, 0, box))
    box = ((0, 40), (2, 3), (0, 10))
    assert np.array_equal(compose(pyramid, memory, 1, box, np.nan).values, values[1][box_slices(box)])


def test_a_plane_at_a_time_is_filled_along_its_own_axes(tmp_path):
    values = np.random.default_rng(0).normal(size=(20, 40, 6, 8)).astype("f4")
    write_image(tmp_path / "film.zarr", values, "tzyx", levels=1, chunks=(1, 2, 6, 8))
    memory = MemoryCache(64 * MIB)
    pyramid = open_pyramid(tmp_path / "film.zarr", fetcher=Fetcher(memory))
    pyramid.coarse_offset = "mean"
    for block in [(7, 3, 0, 0), (8, 9, 0, 0)]:
        put(pyramid, memory, [values], 0, block)
    shown = compose(pyramid, memory, 0, ((7, 8), (0, 40), (2, 3), (0, 8)), np.nan).values[0, :, 0]
    assert np.array_equal(shown[:7], np.repeat(values[7, 6:7, 2], 7, 0))
    assert np.array_equal(shown[7:16], np.repeat(values[7, 7:8, 2], 9, 0))
    assert np.isnan(shown[16:]).all()
    volume = compose(pyramid, memory, 0, ((7, 8), (0, 40), (0, 6), (0, 8)), np.nan).values
    assert np.isnan(volume[0, :6]).all()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_the_nearest_plane_is_the_one_that_is_found_by_hand(blocks):
    present = np.array([flags for _, *flags in blocks])
    of_planes = np.repeat(np.arange(len(blocks)), [size for size, *_ in blocks])
    found = nearest_planes(present, of_planes)
    for (place, column), plane in np.ndenumerate(found):
        there = [
            (abs(other - place), other)
            for other, block in enumerate(of_planes)
            if present[block, column] and abs(block - of_planes[place]) <= REACH
        ]
        assert plane == min(there, default=(0, -1))[1]


# all of it together


@pytest.fixture
def served(image):
    with StreamServer(image[0].parent) as server:
        yield server


def show_until(display, changed, key, is_reached):
    """Show again whenever something arrives, as a viewer does."""
    end = time.monotonic() + 60
    while True:
        picture, state = np.asarray(display.levels[key[0]][key[1:]]), display.state
        if is_reached(picture, state):
            return picture
        assert changed.wait(end - time.monotonic()), state
        changed.clear()


def layer_of(path):
    """Which layer of blocks a file of the coarsest level is of."""
    return int(path.split("/")[3].split(".")[0])


def test_a_plane_across_blocks_is_seen_everywhere_once_the_skeleton_is_there_and_ends_exact(served, image, monkeypatch):
    _, values = image
    pyramid = open_pyramid(f"{served.url}/a.zarr", fetcher=Fetcher(MemoryCache(64 * MIB), threads=1), cache=None)
    pyramid.coarse_offset = "mean"
    layers = {box[0][0] // 2 for box in skeleton(pyramid.grid(1), ((0, 40), (2, 3), (0, 10)), (0, 2))}
    monkeypatch.setattr(orders_module, "plan", lambda *given, **options: plan(*given, **options | {"bytes_per_s": 1.0}))
    asked, may_have_all = [], threading.Event()

    def hold(path, _wanted):
        if path.startswith("/a.zarr/1/"):
            asked.append(path)
            assert layer_of(path) in layers or may_have_all.wait(60)

    served.before_answer = hold
    changed = threading.Event()
    display = pyramid.display(on_change=changed.set, placeholder=np.nan)

    key = 0, slice(None), 5
    show_until(display, changed, key, lambda picture, _: not np.isnan(picture).all())
    assert not display.is_blank
    seen = show_until(display, changed, key, lambda picture, _: not np.isnan(picture).any())
    assert (display.is_blank, display.has_all, display.state.is_exact) == (False, False, False)
    assert display.state.missing_blocks == 20 * 3
    assert [path for path in asked if layer_of(path) not in layers] in ([], asked[-1:])  # the next one, which is held
    for layer in layers:
        assert np.array_equal(seen[2 * layer], values[1][2 * layer, 2][np.arange(20) // 2])
    may_have_all.set()
    exact = show_until(display, changed, key, lambda _, state: state.is_exact)
    assert np.array_equal(exact, values[0][:, 5])
    assert len(asked) == len(set(asked))
    display.close()


def test_of_a_plane_of_which_only_what_it_cuts_out_is_kept_the_skeleton_is_cut_too(served, image, monkeypatch):
    _, values = image
    memory = MemoryCache(22_000)  # of which the plane's blocks take more than half
    pyramid = open_pyramid(f"{served.url}/a.zarr", fetcher=Fetcher(memory), cache=None)
    pyramid.coarse_offset = "mean"
    wanted = []

    def on_a_narrow_line(*given, **options):
        found = list(plan(*given, **options | {"bytes_per_s": 1.0}))
        wanted.extend(found)
        return iter(found)

    monkeypatch.setattr(orders_module, "plan", on_a_narrow_line)
    changed = threading.Event()
    display = pyramid.display(on_change=changed.set)
    exact = show_until(display, changed, (1, slice(None), 2), lambda _, state: state.is_exact)
    assert np.array_equal(exact, values[1][:, 2])
    assert Priority.COARSE in {want.priority for want in wanted}
    assert display._aim.is_thin
    assert not any(pyramid.key(1, block) in memory for block in all_blocks(pyramid, 1))
    display.close()


def test_what_can_not_be_had_is_not_made_up(served, image, monkeypatch):
    monkeypatch.setattr("napari_cryoet.http._pause_s", lambda _: 0.01)
    _, values = image
    pyramid = open_pyramid(f"{served.url}/a.zarr", fetcher=Fetcher(MemoryCache(64 * MIB)), cache=None)
    pyramid.coarse_offset = "mean"
    served.statuses[r"a.zarr/1/10\."] = 403
    changed = threading.Event()
    display = pyramid.display(on_change=changed.set, placeholder=np.nan)
    key = 1, slice(None), 2
    show_until(display, changed, key, lambda _, state: state.error is not None and state.missing_blocks == 2)
    seen = np.asarray(display.levels[1][:, 2])  # the state may be of a moment later than the picture before it
    expected = values[1][:, 2].copy()
    expected[20:22] = np.nan
    assert np.array_equal(seen, expected, equal_nan=True)
    served.statuses.clear()
    display.retry()
    exact = show_until(display, changed, key, lambda _, state: state.is_exact)
    assert np.array_equal(exact, values[1][:, 2])
    display.close()


# only while it is expected to come

#: A plane across the blocks, by level, and a few blocks of the coarsest level that it cuts.
PLANES = {0: ((0, 40), (5, 6), (0, 20)), 1: ((0, 40), (2, 3), (0, 10))}
BLOCKS = (4, 0, 0), (4, 0, 1), (13, 0, 1)
DRAWN_OUT, MISSING = "drawn out", "missing"


class Begun:
    """A display of an image of which a few blocks are in memory; its server answers nothing before its gate is open."""

    def __init__(self, served, image, limit_bytes=64 * MIB, threads=64, **options):
        self.values = image[1]
        self.memory = MemoryCache(limit_bytes)
        fetcher = Fetcher(self.memory, threads=threads)
        self.pyramid = open_pyramid(f"{served.url}/a.zarr", fetcher=fetcher, cache=None)
        self.pyramid.coarse_offset = "mean"
        served.gate.clear()
        for block in BLOCKS:
            put(self.pyramid, self.memory, self.values, 1, block)
        self.changed = threading.Event()
        self.display = self.pyramid.display(on_change=self.changed.set, placeholder=np.nan, **options)

    def how_it_looks(self, level, box=None):
        """How a plane shows what isn't in memory."""
        box = box or PLANES[level]
        seen = self.display.picture(level, box).values
        blocks = [(each, block) for each in (0, 1) for block in all_blocks(self.pyramid, each)]
        here = {(each, block) for each, block in blocks if self.pyramid.key(each, block) in self.memory}
        by_reach = {
            how: by_hand(self.values, here, level, box, reach) for how, reach in ((DRAWN_OUT, REACH), (MISSING, 0))
        }
        assert not np.array_equal(by_reach[DRAWN_OUT], by_reach[MISSING], equal_nan=True)
        return [how for how, expected in by_reach.items() if np.array_equal(seen, expected, equal_nan=True)]

    def wait(self, level, is_reached):
        return show_until(self.display, self.changed, (level, slice(None), PLANES[level][1][0]), is_reached)

    def ends_exact(self, level):
        seen = self.wait(level, lambda _, state: state.is_exact)
        self.display.close()
        return np.array_equal(seen, self.values[level][:, PLANES[level][1][0]])


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize(("end", "go_on"), [("stop", "retry"), ("pause", "resume")])
def test_nothing_is_drawn_out_once_loading_is_stopped_until_it_goes_on(end, go_on, level, served, image):
    begun = Begun(served, image)
    assert begun.how_it_looks(level) == [DRAWN_OUT]
    begun.changed.clear()
    getattr(begun.display, end)()
    assert begun.changed.is_set()  # else nobody would look again
    assert begun.how_it_looks(level) == [MISSING]
    begun.changed.clear()
    getattr(begun.display, go_on)()
    assert begun.changed.is_set()
    assert begun.how_it_looks(level) == [DRAWN_OUT]
    served.gate.set()
    assert begun.ends_exact(level)


def test_what_is_stopped_before_it_is_looked_at_is_not_drawn_out(served, image):
    begun = Begun(served, image)
    begun.display.stop()
    assert begun.how_it_looks(1) == [MISSING]
    assert begun.how_it_looks(0) == [MISSING]
    begun.display.resume()  # which doesn't undo it
    assert begun.how_it_looks(0) == [MISSING]
    begun.display.close()


def test_what_is_paused_and_stopped_is_drawn_out_again_once_both_are_over(served, image):
    begun = Begun(served, image)
    begun.display.stop()
    begun.display.pause()
    begun.display.retry()
    assert begun.how_it_looks(1) == [MISSING]
    begun.display.resume()
    assert begun.how_it_looks(1) == [DRAWN_OUT]
    begun.display.close()


def test_nothing_is_drawn_out_that_is_held_back_and_nothing_once_all_is_closed(served, image):
    begun = Begun(served, image, is_held=True)
    assert begun.how_it_looks(0) == [MISSING]
    begun.display.foresee(0, PLANES[0])
    assert begun.how_it_looks(0) == [DRAWN_OUT]
    begun.display.close()
    assert begun.how_it_looks(0) == [MISSING]
    served.gate.set()
    begun = Begun(served, image, is_held=True)
    begun.display.release()
    assert begun.how_it_looks(0) == [DRAWN_OUT]
    begun.display.close()


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("limit", ["offline", "max_session_bytes", "max_minute_bytes"])
def test_nothing_is_drawn_out_that_may_not_come(limit, level, served, image, monkeypatch):
    begun = Begun(served, image)
    before = getattr(shared_policy(), limit)
    monkeypatch.setattr(shared_policy(), limit, True if limit == "offline" else 1)
    begun.wait(level, lambda _, state: isinstance(state.error, WithheldError))
    assert begun.how_it_looks(level) == [MISSING]
    assert begun.how_it_looks(1 - level) == [MISSING]
    assert begun.how_it_looks(level) == [MISSING]
    monkeypatch.setattr(shared_policy(), limit, before)
    begun.display.retry()
    assert begun.how_it_looks(level) == [DRAWN_OUT]
    served.gate.set()
    assert begun.ends_exact(level)


def test_nothing_is_drawn_out_once_offline_mode_has_ended_what_was_under_way(served, image, monkeypatch):
    begun = Begun(served, image, threads=1)
    assert begun.how_it_looks(0) == [DRAWN_OUT]
    monkeypatch.setattr(shared_policy(), "offline", True)
    served.gate.set()
    begun.wait(0, lambda _, state: isinstance(state.error, WithheldError))
    assert MISSING in begun.how_it_looks(0)
    begun.display.close()


@pytest.mark.parametrize("is_lost", [False, True])
def test_what_stays_coarse_is_drawn_out_only_until_it_is_there(is_lost, served, image, monkeypatch):
    monkeypatch.setattr(shared_policy(), "coarse_only", True)
    monkeypatch.setattr("napari_cryoet.http._pause_s", lambda _: 0.01)
    begun = Begun(served, image)
    assert begun.how_it_looks(0) == [DRAWN_OUT]
    served.statuses.update({r"a.zarr/1/10\.": 403} if is_lost else {})
    served.gate.set()
    begun.wait(0, lambda _, state: state.is_settled and state.missing_blocks == 2 * is_lost)
    here = {(1, block) for block in all_blocks(begun.pyramid, 1) if not (is_lost and block[0] == 10)}
    seen = begun.display.picture(0, PLANES[0]).values
    assert np.array_equal(seen, by_hand(begun.values, here, 0, PLANES[0], reach=0), equal_nan=True)
    assert np.isnan(seen).any() == is_lost
    begun.display.close()


def test_what_is_lost_of_something_coarse_is_not_made_up_while_the_rest_comes(served, image, monkeypatch):
    monkeypatch.setattr("napari_cryoet.http._pause_s", lambda _: 0.01)
    begun, may_come = Begun(served, image), threading.Event()
    served.before_answer = lambda path, _wanted: path.startswith("/a.zarr/0/") and may_come.wait(60)
    served.statuses[r"a.zarr/1/10\."] = 403
    served.gate.set()
    here = {(1, block) for block in all_blocks(begun.pyramid, 1) if block[0] != 10}
    expected = by_hand(begun.values, here, 0, PLANES[0], reach=0)
    assert np.isnan(expected).any()
    begun.wait(0, lambda picture, _: np.array_equal(picture, expected[:, 0], equal_nan=True))
    assert begun.display.state.error is None  # what is looked at is still to come
    may_come.set()
    assert begun.ends_exact(0)


def test_nothing_is_drawn_out_of_what_never_fits_into_memory(served, image):
    begun = Begun(served, image, limit_bytes=6_000)  # forty blocks take more than that
    assert begun.how_it_looks(1) == [MISSING]
    assert "takes more than" in str(begun.display.state.error)
    half = (*PLANES[1][:2], (0, 5))
    assert begun.how_it_looks(1, half) == [DRAWN_OUT]
    assert begun.display.state.error is None
    assert begun.how_it_looks(1) == [MISSING]
    begun.display.close()


@pytest.mark.parametrize("level", [0, 1])
def test_in_a_volume_what_is_missing_is_missing_from_the_start(level, served, image):
    begun = Begun(served, image)
    volume = tuple((0, size) for size in LEVELS[level])
    assert begun.how_it_looks(level, volume) == [MISSING]
    begun.display.stop()
    assert begun.how_it_looks(level, volume) == [MISSING]
    begun.display.retry()
    assert begun.how_it_looks(level, volume) == [MISSING]
    begun.display.close()
