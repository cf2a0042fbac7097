"""How many bytes a view may need can be changed while it is looked at."""

import threading
import time

import numpy as np
import pytest

from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.network.policy import save_data
from napari_cryoet.streaming import open_pyramid
from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.fetcher import Fetcher
from stream_server import StreamServer

PLANE = 20


@pytest.fixture
def pyramid(tmp_path):
    write_pyramid(tmp_path / "a.zarr", np.random.default_rng(0).normal(size=(40, 300, 280)).astype("f4"), 10.0)
    with StreamServer(tmp_path) as server:
        yield open_pyramid(f"{server.url}/a.zarr", fetcher=Fetcher(MemoryCache(256 * 2**20)))


def look_until(display, changed, is_reached, timeout_s=60.0, plane=PLANE):
    """Show the plane again whenever something is new, as a viewer does."""
    end = time.monotonic() + timeout_s
    while True:
        picture = np.asarray(display.levels[0][plane])
        state = display.state
        if is_reached(state):
            return picture
        assert changed.wait(end - time.monotonic()), state
        changed.clear()


def has_what_it_wants(state):
    return state.is_limited and not state.missing_blocks


def test_nothing_allowed_leaves_a_view_at_its_coarsest_level_until_more_is_allowed(pyramid):
    changed = threading.Event()
    display = pyramid.display(on_change=changed.set)
    usual_bytes = display.largest_view_bytes
    display.largest_view_bytes = 0
    look_until(display, changed, has_what_it_wants)
    display.largest_view_bytes = usual_bytes
    picture = look_until(display, changed, lambda state: state.is_exact)
    assert np.array_equal(picture, pyramid.read(0, ((PLANE, PLANE + 1), (0, 300), (0, 280)))[0])
    display.close()


@pytest.fixture
def coarse_only():
    save_data(coarse_only=True)
    yield
    save_data()


@pytest.mark.usefixtures("coarse_only")
def test_while_data_are_saved_what_comes_from_a_server_stays_coarse_whoever_shows_it(pyramid):
    changed = threading.Event()
    display = pyramid.display(on_change=changed.set)
    look_until(display, changed, has_what_it_wants)
    assert not pyramid.has(0, ((PLANE, PLANE + 1), (0, 300), (0, 280)))
    display.load_in_full()
    look_until(display, changed, lambda state: state.is_exact)
    save_data()
    look_until(display, changed, lambda state: state.is_exact, plane=PLANE + 8)
    display.close()


@pytest.mark.usefixtures("coarse_only")
def test_what_is_on_this_computer_is_shown_exactly_while_data_are_saved(tmp_path):
    write_pyramid(tmp_path / "b.zarr", np.ones((40, 300, 280), "f4"), 10.0)
    display = open_pyramid(tmp_path / "b.zarr").display()
    assert display.largest_view_bytes == display.usual_view_bytes
    display.close()


def test_a_view_that_is_exact_stays_so_when_less_is_allowed(pyramid):
    changed = threading.Event()
    display = pyramid.display(on_change=changed.set)
    look_until(display, changed, lambda state: state.is_exact)
    display.largest_view_bytes = 0
    look_until(display, changed, lambda state: state.is_limited and state.is_exact)
    display.close()
