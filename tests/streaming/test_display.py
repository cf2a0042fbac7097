"""A display never waits, shows the best there is in its place, and asks for the right things in the right order."""

import gc
import threading
import time
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks_here import planes_in_memory
from napari_cryoet.exceptions import DamagedError, StreamError
from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.streaming import display as display_module
from napari_cryoet.streaming import open_pyramid
from napari_cryoet.streaming import orders as orders_module
from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.fetcher import Fetcher, Priority
from napari_cryoet.streaming.plan import plan
from quiet import is_quiet
from stalling_server import StallingServer
from stream_server import StreamServer

SHAPE = (61, 302, 275)
DOCUMENTS = (".zattrs", ".zarray", "zarr.json")


def noise(shape=SHAPE):
    return np.random.default_rng(0).normal(size=shape).astype("f4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pyramids")
    write_pyramid(folder / "image.zarr", noise(), 10.0)
    labels = np.random.default_rng(1).integers(0, 9, SHAPE).astype("u2")
    write_pyramid(folder / "labels.zarr", labels, 10.0, "instances")
    return folder


@pytest.fixture
def served(folder):
    with StreamServer(folder) as server:
        yield server


def open_alone(served, name="image.zarr", limit_bytes=256 * 2**20, threads=16):
    return open_alone_at(f"{served.url}/{name}", limit_bytes, threads)


def open_alone_at(url, limit_bytes=256 * 2**20, threads=16):
    return open_pyramid(url, fetcher=Fetcher(MemoryCache(limit_bytes), threads=threads))


class Watcher:
    """A display and a way to wait for it."""

    def __init__(self, pyramid, **options):
        self.changed = threading.Event()
        self.display = pyramid.display(on_change=self.changed.set, **options)

    def show(self, level, *key):
        return np.asarray(self.display.levels[level][key])

    def wait(self, level, *key, until=None, timeout_s=60.0):
        """Show again whenever something arrives, as a viewer does, until the picture is exact or as wanted."""
        end = time.monotonic() + timeout_s
        while True:
            picture = self.show(level, *key)
            state = self.display.state
            if until(state) if until else state.is_exact:
                return picture
            left = end - time.monotonic()
            assert left > 0
            assert self.changed.wait(left), self.display.state
            self.changed.clear()


def wait_until(condition, timeout_s=30.0):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        threading.Event().wait(0.01)


def test_a_picture_is_there_at_once_and_ends_exact(served):
    watcher = Watcher(open_alone(served), placeholder=7)
    served.gate.clear()
    assert (watcher.show(0, 30) == 7).all()
    assert not watcher.display.state.is_exact
    assert watcher.display.state.missing_blocks > 0
    served.gate.set()
    assert np.array_equal(watcher.wait(0, 30), noise()[30])


def test_something_coarse_comes_first(served):
    pyramid = open_alone(served, threads=1)
    seen = len(served.requests)
    watcher = Watcher(pyramid)
    watcher.wait(0, 30)
    paths = [path for path, _ in served.requests[seen:]]
    assert paths[0] == "/image.zarr/2/0/0/0"  # its block: opening has brought its table
    assert {path.split("/")[2] for path in paths[1:]} >= {"0"}


@pytest.mark.parametrize(("name", "is_mean"), [("image.zarr", True), ("labels.zarr", False)])
@pytest.mark.parametrize("coarse", [1, 2])
def test_a_hole_is_filled_with_the_coarse_voxels_that_lie_there(name, is_mean, coarse, served):
    pyramid = open_alone(served, name)
    values = pyramid.read(coarse)
    display = pyramid.display(is_held=True)
    factor = 2**coarse
    index = []
    for size, coarse_size in zip(SHAPE, values.shape, strict=True):
        i = np.arange(size)
        nearest = i // factor if is_mean else np.floor(i / factor + 0.5).astype(int)
        index.append(np.clip(nearest, 0, coarse_size - 1))
    expected = values[np.ix_(*index)]
    assert np.array_equal(np.asarray(display.levels[0]), expected)
    assert np.array_equal(np.asarray(display.levels[0][13, 5:200, 7]), expected[13, 5:200, 7])


def test_exact_blocks_and_finer_levels_are_shown_over_coarser_ones(served):
    pyramid = open_alone(served)
    coarse, middle = pyramid.read(2), pyramid.read(1, ((14, 16), (0, 151), (0, 138)))
    exact = pyramid.read(0, ((30, 31), (0, 256), (0, 256)))[0]
    display = pyramid.display(is_held=True)
    picture, beside = np.asarray(display.levels[0][30]), np.asarray(display.levels[0][24])
    assert np.array_equal(picture[:256, :256], exact)
    assert picture[300, 270] == middle[1, 150, 135] != coarse[7, 75, 67]
    assert beside[300, 270] == coarse[6, 75, 67]


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_display_level_is_sliced_as_an_array_is(data, folder):
    pyramid = open_pyramid(folder / "labels.zarr")
    level = pyramid.display(is_held=True).levels[2]
    values = pyramid.read(2)
    array, expected = level, values
    for _ in range(data.draw(st.integers(1, 3))):
        if 0 in expected.shape:
            break
        key = tuple(
            data.draw(
                st.one_of(
                    st.integers(-size, size - 1),
                    st.builds(
                        slice,
                        st.one_of(st.none(), st.integers(-size, size)),
                        st.one_of(st.none(), st.integers(-size, size)),
                        st.sampled_from([None, 1]),
                    ),
                )
            )
            for size in expected.shape[: data.draw(st.integers(1, 3))]
        )
        array, expected = array[key], expected[key]
    assert array.shape == expected.shape
    assert array.dtype == expected.dtype
    assert np.array_equal(np.asarray(array), expected)


def test_other_indices_give_values(folder):
    pyramid = open_pyramid(folder / "labels.zarr")
    values = pyramid.read(2)
    level = pyramid.display(is_held=True).levels[2]
    assert np.array_equal(level[::2, ::-1], values[::2, ::-1])
    assert np.array_equal(level[[1, 3]], values[[1, 3]])
    assert np.array_equal(level[..., None], values[..., None])
    with pytest.raises(IndexError):
        level[99]
    with pytest.raises(IndexError):
        level[0, 0, 0, 0]
    with pytest.raises(IndexError):
        level[0, ..., 0, 0, 0]


@pytest.mark.parametrize("key", [(..., 3), (2, ...), (2, ..., 3), (1, 2, 3, ...), ...])
def test_dots_for_all_other_axes_are_followed_without_looking_at_the_whole(key, folder):
    pyramid = open_pyramid(folder / "labels.zarr")
    values, level = pyramid.read(2), pyramid.display(is_held=True).levels[2]
    assert isinstance(level[key], type(level))
    assert np.array_equal(np.asarray(level[key]), values[key])


def test_what_is_no_longer_looked_at_is_not_asked_for(served):
    pyramid = open_alone(served, threads=4)
    watcher = Watcher(pyramid)
    watcher.wait(0, 0)
    served.gate.clear()
    seen = len(served.requests)
    for z in range(4, 60, 4):
        watcher.show(0, z)
    served.gate.set()
    watcher.wait(0, 56)
    asked = len(served.requests) - seen
    assert asked < 4 + 4 + 3 * 4 + 8  # what was under way, the last plane, what is ahead of it, the coarsest level


def test_planes_that_are_there_say_nothing_of_a_line_that_was_too_slow(served, monkeypatch):
    pyramid = open_alone(served, threads=4)
    watcher = Watcher(pyramid)
    watcher.wait(0, 30)
    wait_until(lambda: is_quiet(pyramid._fetcher, served))
    clock, planned = SimpleNamespace(now=0.0), {}

    def recorded(pyramid, view, *given, is_late, **options):
        planned[view.box[0][0]] = is_late
        return plan(pyramid, view, *given, is_late=is_late, **options)

    monkeypatch.setattr(display_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(orders_module, "plan", recorded)
    served.gate.clear()

    def is_late(z):
        clock.now += 0.1
        watcher.show(0, z)
        wait_until(lambda: z in planned)
        return planned[z]

    assert [is_late(z) for z in (44, 47, 50, 53)] == [False, False, False, True]
    assert [is_late(z) for z in (31, 30, 18)] == [True, True, True]  # the first two are in memory
    clock.now += 10.0
    assert not is_late(10)
    served.gate.set()


def test_the_next_planes_in_the_direction_of_motion_are_fetched_ahead(served):
    pyramid = open_alone(served)
    watcher = Watcher(pyramid)
    for z in (20, 22):
        watcher.wait(0, z)

    def is_in_memory(z):
        blocks = pyramid.grid(0).covering(((z, z + 1), (0, 302), (0, 275)))
        return all(pyramid.key(0, block) in pyramid._fetcher.memory for block in blocks)

    wait_until(lambda: all(map(is_in_memory, (24, 26, 28))))
    wait_until(lambda: is_quiet(pyramid._fetcher, served))  # what is ahead doesn't arrive in order
    seen = len(served.requests)
    for z in (24, 26, 28):
        assert np.array_equal(np.asarray(pyramid.display(is_held=True).levels[0][z]), noise()[z])
    assert len(served.requests) == seen
    assert not is_in_memory(44)  # however fast it was taken to be
    assert not is_in_memory(14)


def test_the_planes_on_both_sides_of_a_still_one_are_fetched_last(served):
    pyramid = open_alone(served)
    watcher = Watcher(pyramid)
    watcher.wait(0, 20)
    picture = pyramid.display(is_held=True, placeholder=np.nan)
    wait_until(lambda: not any(picture.picture(0, ((z, z + 1), (0, 302), (0, 275))).holes for z in (17, 18, 22, 25)))


def test_the_whole_coarsest_level_comes_in_the_end(served):
    pyramid = open_alone(served)
    Watcher(pyramid).wait(0, 30)
    wait_until(lambda: not np.isnan(np.asarray(pyramid.display(is_held=True, placeholder=np.nan).overviews[2])).any())


def test_a_failure_is_told_and_can_be_retried(served, monkeypatch):
    monkeypatch.setattr("napari_cryoet.http._pause_s", lambda _: 0.01)
    served.statuses["image.zarr/0/0"] = 500
    watcher = Watcher(open_alone(served), placeholder=7)
    watcher.wait(0, 30, until=lambda state: isinstance(state.error, StreamError))
    assert not watcher.display.state.is_exact
    served.statuses.clear()
    watcher.display.retry()
    assert np.array_equal(watcher.wait(0, 30), noise()[30])
    assert watcher.display.state.error is None


def test_what_failed_is_not_asked_for_again_within_ten_seconds_where_nobody_says_so(served, monkeypatch):
    monkeypatch.setattr("napari_cryoet.http._pause_s", lambda _: 0.01)
    served.statuses["image.zarr/0/0"] = 500
    pyramid, clock = open_alone(served), SimpleNamespace(ahead_s=0.0)
    monkeypatch.setattr(orders_module, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + clock.ahead_s))
    watcher = Watcher(pyramid, is_held=True)
    watcher.display.release(ahead=False)  # what lies beside may fail until it is looked at
    watcher.wait(0, 30, until=lambda state: state.error is not None)
    wait_until(lambda: is_quiet(pyramid._fetcher, served))
    seen = len(served.requests)
    watcher.show(0, 30)
    wait_until(lambda: is_quiet(pyramid._fetcher, served))
    assert len(served.requests) == seen
    clock.ahead_s = 10.0
    watcher.show(0, 30)
    wait_until(lambda: len(served.requests) > seen)


def test_a_failure_that_is_remembered_keeps_nothing_of_what_was_read_in_memory(served, monkeypatch):
    monkeypatch.setattr("napari_cryoet.streaming.fetcher._IDLE_S", 0.01)
    pyramid, read = open_alone(served), []

    def load(blocks, stop):
        content = np.zeros(1000)
        read.append(weakref.ref(content))
        raise DamagedError("It is damaged.", hint="Ask its owner.") from ValueError(stop)

    for reader in pyramid._readers:
        monkeypatch.setattr(reader, "load", load)
    watcher = Watcher(pyramid)
    watcher.wait(0, 30, until=lambda state: state.error)
    error = watcher.display.state.error
    assert type(error) is DamagedError
    assert str(error) == "It is damaged. Ask its owner."
    deadline = time.monotonic() + 30
    while any(content() is not None for content in read):
        assert time.monotonic() < deadline
        gc.collect()
        threading.Event().wait(0.01)
    watcher.display.close()


def test_a_failure_is_never_shown_as_zeros(served, monkeypatch):
    monkeypatch.setattr("napari_cryoet.http._pause_s", lambda _: 0.01)
    served.statuses["image.zarr/./0"] = 403
    watcher = Watcher(open_alone(served), placeholder=7)
    picture = watcher.wait(0, 30, until=lambda state: state.error is not None)
    assert (picture == 7).all()


def test_after_stop_nothing_is_asked_for_until_retry(served):
    watcher = Watcher(open_alone(served))
    watcher.display.stop()
    seen = len(served.requests)
    watcher.show(0, 30)
    assert watcher.display.state.is_stopped
    threading.Event().wait(0.05)
    assert len(served.requests) == seen
    watcher.display.retry()
    assert np.array_equal(watcher.wait(0, 30), noise()[30])


def test_a_stop_hangs_up_on_a_silent_server_and_going_on_asks_anew(folder):
    with StallingServer(folder) as server:
        watcher = Watcher(open_alone_at(server.address_of("image.zarr")))
        server.chosen = lambda request: not request.path.endswith(DOCUMENTS)
        server.how = "silent"
        watcher.show(0, 30)
        server.wait_until_held()
        watcher.display.stop()
        server.wait_until_left()
        assert watcher.display.state.is_stopped
        assert watcher.display.state.error is None
        server.how = None
        watcher.display.retry()
        assert np.array_equal(watcher.wait(0, 30), noise()[30])


def test_a_stop_also_ends_what_zarr_itself_is_reading(tmp_path):
    values = noise((16, 40, 40))
    options = {"zarr_format": 2, "chunks": (16, 40, 40), "order": "F"}
    zarr.create_array(tmp_path / "a.zarr", shape=values.shape, dtype=values.dtype, **options)[...] = values
    with StallingServer(tmp_path) as server:
        watcher = Watcher(open_alone_at(server.address_of("a.zarr")))
        server.chosen = lambda request: not request.path.endswith(DOCUMENTS)
        server.how = "stalled"
        watcher.show(0, 3)
        server.wait_until_held()
        watcher.display.stop()
        server.wait_until_left(10)
        server.how = None
        watcher.display.retry()
        assert np.array_equal(watcher.wait(0, 3), values[3])


def test_a_server_that_answers_nothing_holds_up_no_other(folder, served):
    fetcher = Fetcher(MemoryCache(2**28), threads=4)
    with StallingServer(folder) as silent:
        waiting = Watcher(open_pyramid(silent.address_of("image.zarr"), fetcher=fetcher))
        silent.chosen = lambda request: not request.path.endswith(DOCUMENTS)
        silent.how = "silent"
        waiting.show(0, 30)
        silent.wait_until_held(4)
        watcher = Watcher(open_pyramid(f"{served.url}/image.zarr", fetcher=fetcher))
        assert np.array_equal(watcher.wait(0, 30, timeout_s=20), noise()[30])
        assert np.array_equal(watcher.display.pyramid.read(0, ((9, 11), (0, 30), (0, 30))), noise()[9:11, :30, :30])
        assert silent.n_held >= 4
        waiting.display.close()
        waiting.display.pyramid.close()


def test_nothing_is_asked_for_while_held(served):
    watcher = Watcher(open_alone(served), is_held=True)
    seen = len(served.requests)
    watcher.show(0, 30)
    threading.Event().wait(0.05)
    assert len(served.requests) == seen
    watcher.display.release()
    assert np.array_equal(watcher.wait(0, 30), noise()[30])


def test_what_is_looked_at_while_held_is_no_motion(served):
    watcher = Watcher(open_alone(served), is_held=True)
    watcher.show(0, 0)
    watcher.show(0, 30)
    watcher.display.release()
    watcher.wait(0, 30)
    wait_until(lambda: {28, 29, 32, 33} <= set(planes_in_memory(watcher.display.pyramid)))


def held_back_at_plane(served, plane):
    """A watcher that shows a plane and has all of it, and may fetch nothing ahead yet."""
    watcher = Watcher(open_alone(served), is_held=True)
    watcher.show(0, plane)
    watcher.display.release(ahead=False)
    watcher.wait(0, plane)
    wait_until(lambda: is_quiet(watcher.display.pyramid._fetcher, served))
    return watcher


def test_nothing_is_fetched_ahead_of_what_is_looked_at_until_that_is_released_too(served):
    watcher = held_back_at_plane(served, 30)
    pyramid = watcher.display.pyramid
    assert planes_in_memory(pyramid) == [30, 31]
    assert watcher.display._stock.lacking(2, ((0, 16), (0, 76), (0, 69)))
    watcher.display.release()
    wait_until(lambda: {28, 29, 32, 33} <= set(planes_in_memory(pyramid)))
    wait_until(lambda: not watcher.display._stock.lacking(2, ((0, 16), (0, 76), (0, 69))))


def test_who_moves_has_fetched_what_is_ahead_though_that_is_not_released(served):
    watcher = held_back_at_plane(served, 30)
    watcher.wait(0, 32)
    wait_until(lambda: {34, 35, 36, 37} <= set(planes_in_memory(watcher.display.pyramid)))


def test_a_view_is_settled_once_it_gets_no_better_unasked(served, monkeypatch):
    monkeypatch.setattr("napari_cryoet.http._pause_s", lambda _: 0.01)
    watcher = Watcher(open_alone(served))
    assert not watcher.display.state.is_settled
    watcher.wait(0, 30)
    assert watcher.display.state.is_settled
    served.gate.clear()
    watcher.show(0, 10)
    assert not watcher.display.state.is_settled
    served.statuses["image.zarr/0/0"] = 500
    served.gate.set()
    watcher.wait(0, 10, until=lambda state: state.is_settled)
    assert isinstance(watcher.display.state.error, StreamError)
    served.statuses.clear()
    watcher.display.largest_view_bytes = 24 * 2**20
    watcher.wait(0, slice(None), slice(100, 101), until=lambda state: state.is_settled)
    assert watcher.display.state.is_limited


def test_a_view_that_costs_too_much_is_shown_at_a_coarser_level(served):
    pyramid = open_alone(served)
    watcher = Watcher(pyramid)
    watcher.display.largest_view_bytes = 24 * 2**20
    exact = pyramid.read(1)
    whole = (slice(None), slice(100, 101))
    picture = watcher.wait(0, *whole, until=lambda state: state.is_limited and not state.missing_blocks)
    assert not watcher.display.state.is_exact
    assert np.array_equal(picture[:, 0], exact[np.ix_(np.arange(61) // 2, [50], np.arange(275) // 2)][:, 0])
    assert not any(path.startswith("/image.zarr/0/0/1/1") for path, _ in served.requests)


def test_a_limited_plane_is_loaded_in_full_when_asked_and_takes_only_its_own_memory(served):
    pyramid = open_alone(served)
    watcher = Watcher(pyramid)
    watcher.display.largest_view_bytes = 24 * 2**20
    across = (slice(None), slice(100, 101))
    watcher.wait(0, *across, until=lambda state: state.is_limited and not state.missing_blocks)
    plane_wire_bytes = watcher.display.state.full_bytes
    files = [served.folder / "image.zarr" / "0" / "0" / "0" / name for name in "01"]  # whose blocks it all cuts
    assert plane_wire_bytes == pytest.approx(sum(file.stat().st_size for file in files), rel=0.1)
    box = ((0, 61), (100, 101), (0, 275))
    watcher.display.load_in_full()
    assert not watcher.display.state.is_limited
    picture = watcher.wait(0, *across)
    assert np.array_equal(picture, noise()[:, 100:101])
    assert watcher.display.state.full_bytes == 0
    whole = [block for block in pyramid.grid(0).covering(box) if pyramid.key(0, block) in pyramid._fetcher.memory]
    assert not whole
    watcher.wait(0, slice(None), slice(200, 201), until=lambda state: state.is_limited and not state.missing_blocks)
    assert np.array_equal(watcher.show(0, *across), noise()[:, 100:101])  # was kept
    assert watcher.display.state.is_exact


def test_a_plane_that_fails_while_it_is_loaded_in_full_says_so_and_can_be_retried(served, monkeypatch):
    monkeypatch.setattr("napari_cryoet.http._pause_s", lambda _: 0.01)
    watcher = Watcher(open_alone(served))
    watcher.display.largest_view_bytes = 24 * 2**20
    across = (slice(None), slice(100, 101))
    watcher.wait(0, *across, until=lambda state: state.is_limited and not state.missing_blocks)
    served.statuses["image.zarr/0/0"] = 500
    watcher.display.load_in_full()
    watcher.wait(0, *across, until=lambda state: isinstance(state.error, StreamError))
    served.statuses.clear()
    watcher.display.retry()
    assert np.array_equal(watcher.wait(0, *across), noise()[:, 100:101])


def test_what_is_not_limited_or_no_plane_is_not_loaded_in_another_way(served):
    watcher = Watcher(open_alone(served))
    watcher.display.load_in_full()
    watcher.wait(0, 30)
    watcher.display.load_in_full()
    assert not watcher.display._aim.is_thin


def test_what_comes_while_a_picture_is_put_together_is_not_taken_for_driven_out(served, monkeypatch):
    pyramid = open_alone(served)
    watcher = Watcher(pyramid)
    compose = display_module.compose

    def slow(*given, **options):
        picture = compose(*given, **options)
        if watcher.display._missing:
            wait_until(lambda: not watcher.display._missing)  # all of it comes just now
        return picture

    monkeypatch.setattr(display_module, "compose", slow)
    for _ in range(20):
        watcher.show(0, 30)
        if watcher.display.state.is_exact:
            break
    assert watcher.display.state.is_exact
    assert not watcher.display._aim.fit._lost
    assert not watcher.display._aim.is_thin


def test_a_costly_plane_is_asked_for_once_it_is_still_and_not_given_up_while_it_moves(served, monkeypatch):
    monkeypatch.setattr(display_module, "_COSTLY_BYTES", 1)
    pyramid = open_alone(served)
    display, wanted, clock = pyramid.display(), [], SimpleNamespace(now=0.0)
    monkeypatch.setattr(display_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(pyramid._fetcher, "ask", lambda *_, **__: None)
    monkeypatch.setattr(pyramid._fetcher, "want", lambda _display, runs, under_way: wanted.append((runs, under_way)))

    def in_view(runs):
        return {key for priority, run in runs if priority == Priority.VIEW for key in run.keys}

    np.asarray(display.levels[0][:, 100:101])
    for clock.now in (0.09, 0.11):
        display.plan()
    (moving, kept), (still, _) = wanted
    assert not in_view(moving)
    assert in_view(kept) == in_view(still) == display._missing


def test_an_overview_asks_for_nothing(served):
    pyramid = open_alone(served)
    display = pyramid.display()
    seen = len(served.requests)
    np.asarray(display.overviews[2])
    threading.Event().wait(0.05)
    assert len(served.requests) == seen


def test_two_displays_share_what_is_fetched(served):
    pyramid = open_alone(served)
    first, second = Watcher(pyramid), Watcher(pyramid)
    second.show(0, 30)
    assert np.array_equal(first.wait(0, 30), noise()[30])
    assert np.array_equal(second.wait(0, 30), noise()[30])
    ranges = [request for request in served.requests if "/0/0/" in request[0]]
    assert len(ranges) == len(set(ranges))


def test_a_small_cache_does_not_fetch_for_ever(served):
    pyramid = open_alone(served, limit_bytes=8 * 2**20)
    watcher = Watcher(pyramid)
    watcher.wait(0, until=lambda state: state.is_limited and not state.missing_blocks)
    settled = len(served.requests)
    for _ in range(3):
        watcher.show(0)
        threading.Event().wait(0.05)
    assert len(served.requests) <= settled + 40


def test_a_walk_through_planes_axes_and_levels_never_shows_a_wrong_voxel(folder):
    pyramid = open_pyramid(folder / "image.zarr", fetcher=Fetcher(MemoryCache(24 * 2**20), threads=4))
    truth = [pyramid.read(level) for level in range(3)]
    changed = threading.Event()
    display = pyramid.display(placeholder=np.nan, on_change=changed.set)
    other = pyramid.display()
    random = np.random.default_rng(3)
    exact = 0
    for walk in range(300):
        level, axis = int(random.integers(3)), int(random.integers(3))
        here = int(random.integers(truth[level].shape[axis]))
        for step in range(4):
            index = min(here + step // 2, truth[level].shape[axis] - 1)
            key = (slice(None),) * axis + (index,)
            values, expected = np.asarray(display.levels[level][key]), truth[level][key]
            np.asarray(other.levels[level][key])
            while walk % 3 == step == 0 and not (state := display.state).is_exact and not state.is_limited:
                assert changed.wait(60), state  # or else all might be over before anything is exact
                changed.clear()
                values = np.asarray(display.levels[level][key])
            is_exact = display.state.is_exact
            exact += is_exact
            known = ~np.isnan(values)
            if is_exact:
                assert np.array_equal(values, expected)
            elif level == 2:
                assert np.array_equal(values[known], expected[known])  # nothing coarser could stand in
    assert exact > 50


def test_a_closed_display_tells_nothing_and_asks_for_nothing(served):
    watcher = Watcher(open_alone(served))
    watcher.display.close()
    seen = len(served.requests)
    watcher.show(0, 30)
    threading.Event().wait(0.05)
    assert not watcher.changed.is_set()
    assert len(served.requests) == seen


def test_closing_hangs_up_on_a_silent_server(folder):
    with StallingServer(folder) as server:
        watcher = Watcher(open_alone_at(server.address_of("image.zarr")))
        server.chosen = lambda request: not request.path.endswith(DOCUMENTS)
        server.how = "silent"
        watcher.show(0, 30)
        server.wait_until_held()
        sent = set(watcher.display._fetcher._traffic.under_way)
        watcher.display.close()
        assert sent
        assert all(flight.stop.is_set() for flight in sent), "and nobody waits until the server's time is up"
        server.wait_until_left()


def test_what_is_asked_for_while_a_display_is_closed_is_hung_up_too(folder, monkeypatch):
    with StallingServer(folder) as server:
        watcher, sent = Watcher(open_alone_at(server.address_of("image.zarr"))), set()
        fetcher = watcher.display._fetcher
        want = fetcher.want
        server.chosen = lambda request: not request.path.endswith(DOCUMENTS)
        server.how = "silent"

        def close_and_want(*arguments, **options):
            watcher.display.close()
            want(*arguments, **options)
            server.wait_until_held()
            sent.update(fetcher._traffic.under_way)

        monkeypatch.setattr(fetcher, "want", close_and_want)
        watcher.show(0, 30)
        wait_until(lambda: sent and all(flight.stop.is_set() for flight in list(sent)))
        server.wait_until_left()
        assert fetcher._traffic.wishes.wanters() == []


def test_a_closed_display_that_is_stopped_is_kept_by_nobody(served):
    watcher = Watcher(open_alone(served))
    watcher.wait(0, 30)
    watcher.display.close()
    watcher.display.stop()
    assert watcher.display._fetcher._traffic.wishes.wanters() == []


def test_who_has_not_looked_since_is_told_again_once_all_is_there(served):
    told = []
    pyramid = open_alone(served, threads=1)
    display = pyramid.display(on_change=lambda: told.append(display.has_all))
    served.gate.clear()
    np.asarray(display.levels[0][30])
    assert not display.has_all
    served.gate.set()
    wait_until(lambda: len(told) == 2)
    assert told == [False, True]
    assert np.array_equal(np.asarray(display.levels[0][30]), noise()[30])
    display.close()


def test_what_a_viewer_raises_when_it_is_told_reaches_nobody_who_fetches(served, monkeypatch):
    raised = []
    monkeypatch.setattr(threading, "excepthook", lambda found: raised.append(found.exc_type))
    pyramid = open_alone(served)

    def on_change():
        assert broken.state  # which lets it be told again
        raise ZeroDivisionError

    broken = pyramid.display(on_change=on_change)
    np.asarray(broken.levels[0][30])
    watcher = Watcher(pyramid)
    assert np.array_equal(watcher.wait(0, 30), noise()[30])
    broken.stop()
    assert np.array_equal(pyramid.read(0, ((50, 51), (0, 9), (0, 9))), noise()[50:51, :9, :9])
    assert raised
    assert set(raised) == {ZeroDivisionError}
    for display in (broken, watcher.display):
        display.close()


def test_no_thread_is_left_when_there_is_nothing_to_do(served):
    before = set(threading.enumerate())  # what other tests have left may take longer
    watcher = Watcher(open_alone(served))
    watcher.wait(0, 30)
    watcher.display.close()
    wait_until(lambda: all(each.name != "napari-cryoet-fetch" for each in set(threading.enumerate()) - before))


def test_a_volume_of_which_nothing_is_known_takes_no_memory(served):
    watcher = Watcher(open_alone(served))
    served.gate.clear()  # or else it comes before one has looked
    for blank in (watcher.show(2), np.asarray(watcher.display.overviews[2])):
        assert blank.shape == watcher.display.levels[2].shape
        assert blank.strides == (0, 0, 0)
        assert blank.max() == blank.min() == watcher.display.placeholder
    served.gate.set()


def test_a_thumbnail_of_what_is_looked_at_costs_nothing_but_is_never_of_an_older_picture(served):
    pyramid = open_alone(served)
    watcher = Watcher(pyramid)
    pyramid.read(2, tuple((0, 1) for _ in pyramid.shapes[2]))
    partial = watcher.show(2)
    assert np.shares_memory(partial, np.asarray(watcher.display.overviews[2]))
    exact = pyramid.read(2)
    assert np.array_equal(np.asarray(watcher.display.overviews[2]), exact)
    watcher.show(2, 3)
    assert np.array_equal(np.asarray(watcher.display.overviews[2]), exact)


def test_a_copy_of_a_picture_is_nobody_elses_and_can_be_written_to(folder):
    display = open_pyramid(folder / "image.zarr", fetcher=Fetcher(MemoryCache(2**28))).display(is_held=True)
    copy = np.array(display.levels[0])  # of which nothing is known, so that it is one value, seen everywhere
    copy[0, 0, 0] = 7
    assert copy.sum() == 7
    shown = np.asarray(display.levels[0][3])
    again = np.array(display.overviews[0][3])  # which is that very picture, once
    assert not np.shares_memory(again, shown)
    assert np.array(display.levels[0][3], "f8").dtype == "f8"
    with pytest.raises(ValueError, match="can't be had without"):
        display.levels[0].__array__(copy=False)
    display.close()
