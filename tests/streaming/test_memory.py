"""The memory cache: bounded, emptied when an image is closed, and holding as much of a view as fits."""

import gc
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.streaming import Display, open_pyramid
from napari_cryoet.streaming.engine import shared_engine
from napari_cryoet.streaming.memory import MemoryCache
from portal_images import noise, write_image

SHAPE = (40, 300, 280)
MIB = 2**20


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 400)), max_size=60))
def test_recently_used_entries_are_kept_within_the_limit(puts):
    memory, order = MemoryCache(2000), []
    for owner, number, size in puts:
        key = (owner, number)
        memory.put(key, size, size)
        order = [key, *(each for each in order if each != key)]
        assert memory.size_bytes <= memory.limit_bytes
    kept = [key in memory for key in order]
    assert kept == sorted(kept, reverse=True)
    memory.forget(1)
    assert not any(key in memory for key in order if key[0] == 1)
    assert memory.size_bytes == sum(memory.get(key) + 200 for key in order if key in memory)


@pytest.fixture
def memory(monkeypatch):
    """The memory cache of this process, emptied."""
    memory = shared_engine().memory
    monkeypatch.setattr(memory, "limit_bytes", 64 * MIB)
    memory.put(("filler",), None, 64 * MIB - 200)
    memory.discard(("filler",))
    return memory


@pytest.fixture
def stored(tmp_path):
    return write_image(tmp_path / "a.zarr", noise(SHAPE))


class Window:
    """Redraws a display whenever it changes."""

    def __init__(self, pyramid):
        self.changed = threading.Event()
        self.display = Display(pyramid, on_change=self.changed.set)

    def redraw_until(self, condition, index, level=0):
        while True:
            self.changed.clear()
            picture, state = np.asarray(self.display.levels[level][index]), self.display.state
            if condition(state):
                return picture, state
            assert self.changed.wait(60), state


def is_exact(state):
    return state.is_exact


@pytest.mark.parametrize("is_closed", [True, False])
def test_closing_or_deleting_a_pyramid_frees_its_memory(is_closed, stored, memory, tmp_path):
    pyramid = open_pyramid(tmp_path / "a.zarr")
    pyramid.read(1)
    assert pyramid.has(1, ((0, 20), (0, 150), (0, 140)))
    before = memory.size_bytes
    if is_closed:
        pyramid.close()
    else:
        del pyramid
        gc.collect()
    end = threading.Event()
    shared_engine().call(end.set)
    assert end.wait(60)
    assert memory.size_bytes < before / 2


def test_a_plane_becomes_exact_even_if_its_blocks_exceed_memory(
    stored, memory, monkeypatch, tmp_path
):
    monkeypatch.setattr(memory, "limit_bytes", 6 * MIB)  # its blocks take 13 MB
    pyramid = open_pyramid(tmp_path / "a.zarr")
    window = Window(pyramid)
    window.display.largest_view_bytes = 64 * MIB
    for y in (10, 200):
        picture, _ = window.redraw_until(is_exact, np.index_exp[:, y])
        np.testing.assert_array_equal(picture, stored[0][:, y])
    assert memory.size_bytes <= memory.limit_bytes
    window.display.close()


def test_a_view_too_large_for_memory_is_an_error(stored, memory, monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "limit_bytes", 2 * MIB)
    window = Window(open_pyramid(tmp_path / "a.zarr"))
    window.display.largest_view_bytes = 64 * MIB
    _, state = window.redraw_until(lambda state: state.error is not None, np.index_exp[:])
    assert "memory" in str(state.error)
    assert not state.is_exact
    picture, _ = window.redraw_until(is_exact, 10, level=1)
    np.testing.assert_array_equal(picture, stored[1][10])
    window.display.close()


def test_a_view_over_its_byte_limit_stays_coarse(stored, memory, tmp_path):
    window = Window(open_pyramid(tmp_path / "a.zarr"))
    window.display.largest_view_bytes = 0
    picture, state = window.redraw_until(
        lambda state: state.is_limited and not state.missing_blocks, 20
    )
    assert not state.is_exact
    assert state.full_bytes > 0
    np.testing.assert_array_equal(picture[::4, ::4], stored[2][5])
    window.display.load_in_full()
    picture, _ = window.redraw_until(is_exact, 20)
    np.testing.assert_array_equal(picture, stored[0][20])
    while not shared_engine().is_idle:
        time.sleep(0.01)
    assert not window.display.pyramid.has(0, ((22, 23), (0, 300), (0, 280)))
    _, state = window.redraw_until(lambda state: state.is_limited and not state.missing_blocks, 30)
    assert not state.is_exact, "load_in_full also applied to another plane"
    window.display.largest_view_bytes = 64 * MIB
    picture, _ = window.redraw_until(is_exact, 30)
    np.testing.assert_array_equal(picture, stored[0][30])
    window.display.close()


def test_a_paused_display_requests_only_predicted_planes(stored, memory, tmp_path):
    pyramid = open_pyramid(tmp_path / "a.zarr")
    display = Display(pyramid, is_held=True, placeholder=-1.0)
    assert (np.asarray(display.levels[0][20]) == -1).all()
    display.foresee(0, ((5, 6), (0, 300), (0, 280)))
    pause = threading.Event()
    while not pyramid.has(0, ((5, 6), (0, 300), (0, 280))):
        pause.wait(0.01)
    assert not pyramid.has(0, ((20, 21), (0, 300), (0, 280)))
    np.testing.assert_array_equal(np.asarray(display.levels[0][5]), stored[0][5])
    display.close()


def test_an_image_is_forgotten_while_readers_reorder():
    cache = MemoryCache(10_000)
    keys = [(1, "a"), (2, "b"), (1, "c")]
    for key in keys:
        cache.put(key, key, 1)

    class Owner(int):
        def __eq__(self, other):  # as if another thread read between two steps
            cache.get(keys[1])
            return int(self) == other

        __hash__ = int.__hash__

    cache.forget(Owner(1))
    assert [key in cache for key in keys] == [False, True, False]
