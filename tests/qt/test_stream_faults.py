"""A server that fails while scrubbing through planes: no wrong pixels, and the dock offers to resume."""

from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_cryoet._qt.streaming.progressive import make_layer
from napari_cryoet._qt.viewer.detail import Detail
from napari_cryoet._qt.viewer.manager import LayerManager
from napari_cryoet._qt.viewer.status import StatusStrip, StreamWatch
from napari_cryoet.exceptions import ChangedError
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.layers.specs import METADATA_KEY, LayerSpec
from napari_cryoet.network import client
from napari_cryoet.network.policy import policy, save_data
from napari_cryoet.streaming import open_pyramid
from napari_cryoet.streaming.engine import shared_engine
from qt.docks import FINEST
from server import Server, garbled, saying, sent

SHAPE = (120, 280, 264)
MIDDLE = 59  # napari's first plane
STALL_TIMEOUT_S = (
    0.5  # timeout for a stalling server; longer elsewhere, since a busy machine stalls too
)
FAULTS = {
    "drops the connection": sent("cut"),
    "stalls": sent("stalled"),
    "sends wrong bytes": garbled,
    "reaches the data saver's limit": None,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pyramids")
    values = np.random.default_rng(0).normal(size=SHAPE).astype("f4")
    write_pyramid(folder / "image.zarr", values, 10.0)
    return folder


@pytest.fixture(scope="module")
def truth(folder):
    pyramid = open_pyramid(folder / "image.zarr")
    return [pyramid.read(level) for level in range(3)]


@pytest.fixture
def server(folder):
    with Server(folder) as server:
        yield server


@pytest.fixture
def viewer(viewer_in_window):
    return viewer_in_window


@pytest.fixture
def shown(qtbot, viewer, server):
    """The layer, its stream's status, and the dock's status strip."""
    pyramid = open_pyramid(f"{server.url}/image.zarr")
    options = {"contrast_limits": (-3, 3), "metadata": {METADATA_KEY: {"run_name": "TS_026"}}}
    layer, stream = make_layer(LayerSpec(pyramid.levels, options, "image"), viewer=viewer)
    strip = StatusStrip()
    qtbot.addWidget(strip)
    strip.show()
    manager = LayerManager(viewer)
    watch = StreamWatch(manager, strip, Detail(viewer, manager))
    viewer.add_layer(layer)
    yield SimpleNamespace(layer=layer, stream=stream, strip=strip)
    watch.close()
    manager.close()
    save_data()


def assert_nothing_wrong_is_drawn(layer, z, truth):
    """Assert that every pixel is exact, from a coarser level, or still empty."""
    drawn = layer._slice.image.raw
    is_right = drawn == 0
    for level, values in enumerate(truth):
        at_z, y, x = (
            np.minimum(np.arange(size) >> level, n - 1)
            for size, n in zip(SHAPE, values.shape, strict=True)
        )
        is_right |= drawn == values[at_z[z]][np.ix_(y, x)]
    assert is_right.all()


def wait_exact(qtbot, shown, z, truth):
    def is_drawn():
        assert shown.stream.state.is_exact
        assert np.array_equal(shown.layer._slice.image.raw, truth[0][z])

    qtbot.waitUntil(is_drawn)


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_while_scrubbing_is_shown_and_can_be_retried(
    name, qtbot, viewer, server, shown, truth, monkeypatch
):
    wait_exact(qtbot, shown, MIDDLE, truth)
    if name == "stalls":
        monkeypatch.setattr(client, "STALL_S", STALL_TIMEOUT_S)
    if FAULTS[name] is None:
        policy().max_session_bytes = policy().received_bytes + 200_000
    else:
        server.script(FINEST, FAULTS[name])
    for z in range(95, 107):
        viewer.dims.set_current_step(0, z)
        assert_nothing_wrong_is_drawn(shown.layer, z, truth)
        QApplication.processEvents()
        assert_nothing_wrong_is_drawn(shown.layer, z, truth)
    qtbot.waitUntil(shown.strip.retry.isVisible)

    assert "TS_026" in shown.strip.label.text()
    assert not shown.stream.state.is_exact
    assert_nothing_wrong_is_drawn(shown.layer, 106, truth)

    server.end()
    save_data()

    def press_until_exact():
        if shown.strip.retry.isVisible():
            qtbot.mouseClick(shown.strip.retry, Qt.MouseButton.LeftButton)
        assert shown.stream.state.is_exact

    qtbot.waitUntil(press_until_exact)
    wait_exact(qtbot, shown, 106, truth)
    qtbot.waitUntil(lambda: not shown.strip.label.text())


def test_a_changed_image_is_reported_and_its_new_data_are_not_drawn(
    qtbot, viewer, server, shown, truth
):
    wait_exact(qtbot, shown, MIDDLE, truth)
    server.script(FINEST, saying(ETag='"another"'))
    viewer.dims.set_current_step(0, 95)
    qtbot.waitUntil(lambda: isinstance(shown.stream.state.error, ChangedError))
    qtbot.waitUntil(lambda: "image.zarr" in shown.strip.label.text())
    assert_nothing_wrong_is_drawn(shown.layer, 95, truth)
    qtbot.waitUntil(
        lambda: shared_engine().is_idle
    )  # pending requests would use up the server's responses


def test_the_window_stays_responsive_while_a_server_stalls(qtbot, viewer, server, shown, truth):
    wait_exact(qtbot, shown, MIDDLE, truth)
    server.script(FINEST, None)
    for z in range(95, 107):
        viewer.dims.set_current_step(0, z)
        assert_nothing_wrong_is_drawn(shown.layer, z, truth)
    qtbot.waitUntil(lambda: server.held > 0)
    viewer.dims.order = (1, 0, 2)
    viewer.dims.order = (0, 1, 2)
    viewer.dims.ndisplay = 3
    viewer.dims.ndisplay = 2
    viewer.dims.set_current_step(0, 100)
    assert_nothing_wrong_is_drawn(shown.layer, 100, truth)
    assert not shown.stream.state.is_exact
    server.end()
    wait_exact(qtbot, shown, 100, truth)
