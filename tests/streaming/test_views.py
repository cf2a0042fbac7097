"""A display never waits: it shows the best available picture and reports when a better one arrives."""

import threading

import numpy as np
import pytest

from napari_cryoet.exceptions import CryoETError
from napari_cryoet.streaming import Display, open_pyramid
from portal_images import CHUNKS_OF_A_PLANE, SHAPE, noise, write_image
from server import Server, sent, status

FINEST = r"/0/\d+/\d+/\d+$"
CHUNKS = r"/\d/\d+/\d+/\d+$"


@pytest.fixture(scope="module")
def values():
    return noise(SHAPE)


@pytest.fixture
def server(portal_images):
    with Server(portal_images) as running:
        yield running


class Viewer:
    """Shows planes of a display and redraws whenever it changes, as viewers do."""

    def __init__(self, address, **options):
        self.changed = threading.Event()
        self.pyramid = open_pyramid(address, cache=None)
        self.display = Display(self.pyramid, on_change=self.changed.set, **options)

    def show(self, z, level=0):
        return np.asarray(self.display.levels[level][z])

    def wait_until(self, condition, z, level=0):
        """Redraw until the display's state meets a condition."""
        while True:
            self.changed.clear()
            picture, state = self.show(z, level), self.display.state
            if condition(state):
                return picture
            assert self.changed.wait(60), state

    def wait_until_exact(self, z, level=0):
        return self.wait_until(lambda state: state.is_exact, z, level)


@pytest.fixture
def viewer(server):
    viewer = Viewer(f"{server.url}/image.zarr", placeholder=np.nan)
    yield viewer
    viewer.display.close()
    viewer.pyramid.close()


def upscaled(values, level, plane):
    """A plane of the finest level, as a coarser level shows it."""
    coarse = values[:: 2**level, :: 2**level, :: 2**level]
    return coarse[plane // 2**level].repeat(2**level, 0).repeat(2**level, 1)[: SHAPE[1], : SHAPE[2]]


def test_a_view_is_shown_at_once_and_becomes_exact(server, viewer, values):
    held = server.script(CHUNKS, None)
    picture = viewer.show(30)
    assert picture.shape == SHAPE[1:]
    assert np.isnan(picture).all()
    assert not viewer.display.state.is_exact
    server.wait_until(lambda: server.held)
    server.end(held)
    np.testing.assert_array_equal(viewer.wait_until_exact(30), values[30])
    assert viewer.display.state.error is None


def is_of_levels(picture, values, levels):
    """Whether each pixel of plane 30 is empty or taken from one of the levels."""
    shown = [upscaled(values, level, 30) for level in levels]
    return (np.isnan(picture) | np.any([picture == each for each in shown], axis=0)).all()


def test_coarse_levels_are_shown_before_the_exact_plane(server, viewer, values):
    held = server.script(FINEST, None)
    picture = viewer.wait_until(lambda _state: not np.isnan(viewer.show(30)).any(), 30)
    assert is_of_levels(picture, values, (1, 2))
    assert not viewer.display.state.is_exact
    server.end(held)
    np.testing.assert_array_equal(viewer.wait_until_exact(30), values[30])


def test_intermediate_pictures_show_only_stored_levels(viewer, values):
    def is_exact(state):
        assert is_of_levels(viewer.show(30), values, (0, 1, 2))
        return state.is_exact

    viewer.wait_until(is_exact, 30)


def test_blocks_of_a_view_that_moved_on_are_kept(server, viewer, values):
    held = server.script(FINEST, None)
    viewer.show(30)
    server.wait_until(lambda: server.held >= CHUNKS_OF_A_PLANE - 1)
    viewer.show(50)  # what arrives from now on is of no view
    server.end(held)
    viewer.wait_until_exact(50)
    np.testing.assert_array_equal(viewer.wait_until_exact(30), values[30])
    # the starts of chunks; a busy machine takes the line for slow, and gives up a block that is late
    assert server.repeated_bytes() <= CHUNKS_OF_A_PLANE * 2**16


def test_a_view_does_not_wait_for_a_silent_server(server, viewer):
    server.script(CHUNKS, sent("silent"))
    viewer.show(30)
    server.wait_until(lambda: server.held)
    for z in (31, 10, 55):
        assert np.isnan(viewer.show(z)).all()  # returned although nothing was answered
    assert not viewer.display.state.is_exact
    assert server.sent_bytes(CHUNKS) < 2**18  # fetched on opening


def test_planes_and_parts_along_any_axis_become_exact(viewer, values):
    for key in (np.s_[:, 100], np.s_[:, :, 7], np.s_[12, 20:200, 30:90], np.s_[3:5, 1, 1:2]):
        while True:
            viewer.changed.clear()
            picture = np.asarray(viewer.display.levels[0][key])
            if viewer.display.state.is_exact:
                break
            assert viewer.changed.wait(60)
        np.testing.assert_array_equal(picture, values[key])


def test_levels_have_the_stored_shapes_and_slice_like_arrays(viewer):
    for level, array in enumerate(viewer.display.levels):
        size_z, size_y, size_x = (-(-size // 2**level) for size in SHAPE)
        assert array.shape == (size_z, size_y, size_x)
        assert (array.ndim, array.dtype) == (3, np.float32)
        assert array[5].shape == (size_y, size_x)
        assert array[..., -1].shape == (size_z, size_y)
        assert array[2:4, 1:, 3].shape == (2, size_y - 1)


def test_displaying_a_plane_takes_few_requests(server, viewer):
    viewer.wait_until_exact(30)
    assert viewer.display.state.bytes_read <= server.sent_bytes()
    assert len(server.to(FINEST)) < 6 * CHUNKS_OF_A_PLANE  # its tables and blocks, and a few ahead


def test_skipped_views_are_not_fetched(server, viewer, values):
    viewer.wait_until_exact(0)
    held = server.script(FINEST, None)
    viewer.show(20)
    server.wait_until(lambda: server.held)
    server.reset()
    for z in range(22, 56, 2):  # each plane in another block
        viewer.show(z)
    server.end(held)
    np.testing.assert_array_equal(viewer.wait_until_exact(56), values[56])
    assert len(server.to(FINEST)) <= 12 * CHUNKS_OF_A_PLANE  # of 18 views


def test_returning_to_a_view_needs_no_server(server, viewer, values):
    for z in (30, 10):
        viewer.wait_until_exact(z)
    server.script(".", status(403))
    np.testing.assert_array_equal(viewer.show(30), values[30])
    assert viewer.display.state.is_exact


def test_a_failure_is_in_the_state_until_retry_succeeds(server, viewer, values):
    refused = server.script(FINEST, status(403))
    picture = viewer.wait_until(lambda state: state.error is not None, 30)
    assert isinstance(viewer.display.state.error, CryoETError)
    assert not viewer.display.state.is_exact
    assert not np.array_equal(picture, values[30])
    server.end(refused)
    viewer.display.retry()
    np.testing.assert_array_equal(viewer.wait_until_exact(30), values[30])
    assert viewer.display.state.error is None


def test_failed_chunks_are_never_shown_as_values(server, viewer):
    server.script(CHUNKS, status(403))
    picture = viewer.wait_until(lambda state: state.error is not None, 30)
    assert np.isnan(picture).all()


def test_a_stopped_display_requests_nothing_until_retry(server, viewer, values):
    silent = server.script(CHUNKS, sent("silent"))
    viewer.show(30)
    server.wait_until(lambda: server.held)
    viewer.display.stop()
    server.wait_until(lambda: not server.held)
    server.end(silent)
    server.reset()
    assert np.isnan(viewer.show(30)).all()
    assert viewer.display.state.is_stopped
    assert not server.requests
    viewer.display.retry()
    np.testing.assert_array_equal(viewer.wait_until_exact(30), values[30])


def test_closing_disconnects_and_ends_callbacks(server, viewer):
    server.script(CHUNKS, sent("silent"))
    viewer.show(30)
    server.wait_until(lambda: server.held)
    viewer.changed.clear()
    viewer.display.close()
    server.wait_until(lambda: not server.held)
    assert not viewer.changed.is_set()


def test_errors_in_on_change_do_not_disturb_reading(server, values, monkeypatch):
    failures = []
    monkeypatch.setattr(threading, "excepthook", failures.append)
    called = threading.Event()

    def fail():
        called.set()
        raise RuntimeError("the viewer's own")

    pyramid = open_pyramid(f"{server.url}/image.zarr", cache=None)
    display = Display(pyramid, on_change=fail)
    np.asarray(display.levels[0][30])
    assert called.wait(60)
    np.testing.assert_array_equal(pyramid.read(0, ((30, 31), (0, 300), (0, 280)))[0], values[30])
    display.close()
    pyramid.close()
    assert failures


def test_displays_of_one_pyramid_share_fetched_data(server, viewer, values):
    viewer.wait_until_exact(30)
    other = Display(viewer.pyramid)
    np.testing.assert_array_equal(np.asarray(other.levels[0][30]), values[30])
    assert other.state.is_exact
    other.close()


def test_a_mask_becomes_exact(portal_images):
    with Server(portal_images) as server:
        viewer = Viewer(f"{server.url}/mask.zarr")
        np.testing.assert_array_equal(viewer.wait_until_exact(30), noise(SHAPE)[30] > 3)
        viewer.display.close()


@pytest.mark.parametrize("shape", [(33, 70, 65), (31, 64, 67)])
def test_odd_sizes_become_exact_at_every_level(shape, tmp_path):
    levels = write_image(tmp_path / "odd.zarr", noise(shape), chunks=(16, 32, 32))
    with Server(tmp_path) as server:
        viewer = Viewer(f"{server.url}/odd.zarr")
        for level, expected in enumerate(levels):
            np.testing.assert_array_equal(viewer.wait_until_exact(-1, level), expected[-1])
        viewer.display.close()
