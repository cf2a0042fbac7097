"""The dock's status strip shows, stops and loads every streamed layer, whoever added it."""

import re
from datetime import UTC, datetime

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.layers.ownership import LayerKey
from napari_cryoet._qt.streaming.progressive import StreamState, stream_of
from napari_cryoet._qt.viewer.detail import Detail
from napari_cryoet._qt.viewer.manager import LayerManager
from napari_cryoet._qt.viewer.status import StatusStrip, StreamWatch
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.layers.load import load_tomogram
from napari_cryoet.viewer import add_layers
from server import Server, status

SHAPE = (61, 302, 275)


class Stream(QObject):
    """A fake stream with a given state."""

    changed = Signal(object)

    def __init__(self, state):
        super().__init__()
        self.state = state


@pytest.fixture
def manager(qtbot, viewer_model):
    manager = LayerManager(viewer_model)
    yield manager
    manager.close()


@pytest.fixture
def strip(qtbot, viewer_model, manager):
    """A status strip on a viewer, updated by a `StreamWatch`."""
    strip, detail = StatusStrip(), Detail(viewer_model, manager)
    qtbot.addWidget(strip)
    strip.show()
    watch = StreamWatch(manager, strip, detail)
    yield strip
    watch.close()
    detail.close()


EXACT = StreamState(is_exact=True)
OLD = StreamState(is_exact=True, as_of=datetime(2024, 3, 5, tzinfo=UTC))
LOADING = StreamState(missing_blocks=2, bytes_read=3_000_000, bytes_per_s=2e6, source_number=1)
ALSO_LOADING = StreamState(missing_blocks=2, bytes_read=1_000_000, bytes_per_s=1e6)
WAITING = StreamState(missing_blocks=2, wait_text="The server asks to wait until 16:45:10")
LOADING_OLDER = StreamState(missing_blocks=2, as_of=datetime(2023, 6, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("states", "text"),
    [
        ((EXACT, OLD), "offline, as of 5 Mar 2024"),
        ((LOADING, ALSO_LOADING), "sharpening… 4 MB · 3 MB/s"),
        ((LOADING, WAITING), "The server asks to wait until 16:45:10"),
        ((OLD, LOADING_OLDER), "offline, as of 1 Jun 2023 · sharpening… 0 B"),
    ],
)
def test_the_strip_summarizes_all_streams(qtbot, monkeypatch, manager, strip, states, text):
    streams = [(Image(np.zeros((2, 2))), Stream(state)) for state in states]
    with monkeypatch.context() as patch:
        patch.setattr(manager, "streams", lambda: streams)
        manager.appearance_changed.emit(None)
        qtbot.waitUntil(lambda: strip.label.text() == text)


@pytest.fixture
def served(tmp_path):
    write_pyramid(
        tmp_path / "v.zarr", np.random.default_rng(0).normal(size=SHAPE).astype("f4"), 10.0
    )
    with Server(tmp_path) as server:
        yield server


@pytest.fixture
def layer(viewer_model, served, strip):
    """A layer that the dock didn't open, as napari creates it from a reader's data."""
    (layer,) = add_layers(
        viewer_model, [load_tomogram(f"{served.url}/v.zarr", spacing_angstrom=10.0)]
    )
    layer.data_level = 0  # napari sets it when it draws
    return layer


def layer_is_exact(layer, strip) -> bool:
    return stream_of(layer).state.is_exact and not strip.label.text()


def test_the_strip_counts_the_records_that_are_opened(qtbot, monkeypatch, manager, strip):
    monkeypatch.setattr(manager, "coming", lambda: {LayerKey("annotation", 7)})
    monkeypatch.setattr(LayerManager, "progress", (4, 27))
    manager.changed.emit()
    assert strip.label.text() == "opening 5 of 27…"
    assert not strip.stop.isHidden()
    manager.said.emit("The server asks to wait until 16:45:10")
    qtbot.waitUntil(lambda: "until 16:45:10" in strip.label.text())


def test_a_layer_added_by_others_is_shown_and_can_be_stopped(
    qtbot, viewer_model, served, strip, layer
):
    qtbot.waitUntil(lambda: layer_is_exact(layer, strip))
    served.script("", None)
    viewer_model.dims.set_current_step(0, 44)
    qtbot.waitUntil(lambda: strip.label.text().startswith("sharpening…"))
    strip.stop.click()
    assert strip.label.text() == "stopped"
    served.end()
    strip.retry.click()
    qtbot.waitUntil(lambda: layer_is_exact(layer, strip))
    busy = served.script("", status(429, Retry_After="1"))
    viewer_model.dims.set_current_step(0, 20)
    qtbot.waitUntil(lambda: "The server asks to wait until" in strip.label.text())
    served.end(busy)
    qtbot.waitUntil(lambda: layer_is_exact(layer, strip))


def test_the_full_detail_button_shows_its_download_size(
    qtbot, viewer_model, strip, layer, tmp_path
):
    stream_of(layer).display.largest_view_bytes = (
        24 * 2**20
    )  # too little for a plane across the blocks
    viewer_model.dims.order = (1, 0, 2)
    viewer_model.dims.set_current_step(1, 100)
    qtbot.waitUntil(lambda: "coarser level" in strip.label.text())
    assert not stream_of(layer).state.is_exact
    match = re.fullmatch(r"Load full detail \((.+) MB\)", strip.action.text())
    files = [
        tmp_path / "v.zarr" / "0" / "0" / "0" / name for name in "01"
    ]  # the plane cuts all their blocks
    assert float(match[1]) * 1e6 == pytest.approx(
        sum(file.stat().st_size for file in files), rel=0.1
    )
    strip.action.click()
    qtbot.waitUntil(lambda: layer_is_exact(layer, strip))
    assert not strip.action.isVisible()
