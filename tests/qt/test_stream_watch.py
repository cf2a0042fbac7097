"""The line at the dock's edge tells of every layer that streams, whoever added it, and stops all of them."""

from datetime import UTC, datetime

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_cryoet import add_layers
from napari_cryoet._qt.browser.status_bar import StatusStrip, StreamWatch
from napari_cryoet._qt.layers.manager import LayerManager
from napari_cryoet._qt.streaming.progressive import StreamState, stream_of
from napari_cryoet._qt.streaming.volume_detail import Detail
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.layers.load import load_tomogram
from napari_cryoet.layers.specs import METADATA_KEY
from napari_cryoet.network.policy import save_data
from qt.fake_link import NothingHeld
from server import Server


class Stream(QObject):
    """Stands for a layer's stream, whose state is given."""

    changed = Signal(object)

    def __init__(self, state):
        super().__init__()
        self.state = state


class Link(QObject):
    """Stands for the link to a viewer that shows some streams."""

    changed = Signal()
    streams_changed = Signal()
    appearance_changed = Signal(object)

    def __init__(self, *states):
        super().__init__()
        layer = Image(np.zeros((2, 2)), metadata={METADATA_KEY: {"run_name": "TS_026"}})
        self._streams = [(layer, Stream(state)) for state in states]

    def coming(self):
        return set()

    def streams(self):
        return self._streams


EXACT = StreamState(is_exact=True)
OLD = StreamState(is_exact=True, as_of=datetime(2024, 3, 5, tzinfo=UTC))
COMING = StreamState(missing_blocks=2, bytes_read=3_000_000, bytes_per_s=2e6, source_number=1)
OTHER = StreamState(missing_blocks=2, bytes_read=1_000_000, bytes_per_s=1e6)
OLDER = StreamState(missing_blocks=2, as_of=datetime(2023, 6, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ((EXACT, OLD), "offline, as of 5 Mar 2024"),
        ((COMING, OTHER), "sharpening… 4 MB · 3 MB/s"),
        ((OLD, OLDER), "offline, as of 1 Jun 2023 · sharpening… 0 B"),
    ],
)
def test_pixels_of_a_server_that_is_not_reached_say_of_which_day_they_are(qtbot, states, words):
    strip, link = StatusStrip(), Link(*states)
    qtbot.addWidget(strip)
    watch = StreamWatch(link, strip, NothingHeld())
    link.changed.emit()
    assert strip.label.accessibleName() == words
    watch.close()


@pytest.fixture
def served(tmp_path):
    write_pyramid(tmp_path / "v.zarr", np.random.default_rng(0).normal(size=(45, 300, 310)).astype("f4"), 10.0)
    with Server(tmp_path) as server:
        yield server
    save_data()


@pytest.fixture
def watch(qtbot, viewer_model):
    """What writes into the line of a dock on a viewer."""
    strip, link = StatusStrip(), LayerManager(viewer_model)
    qtbot.addWidget(strip)
    strip.show()
    detail = Detail(viewer_model, link)
    watch = StreamWatch(link, strip, detail)
    yield watch
    watch.close()
    detail.close()
    link.close()


@pytest.fixture
def strip(watch):
    """The line."""
    return watch._strip


def opened(viewer, served, **options):
    """A layer that the dock knows nothing of, as napari makes it of what its reader has read."""
    spec = load_tomogram(f"{served.url}/v.zarr", spacing_angstrom=10.0)
    (layer,) = add_layers(viewer, [spec._replace(options=spec.options | options)])
    layer.data_level = 0  # which napari chooses once it draws
    return layer


def layer_is_exact(layer, strip) -> bool:
    return stream_of(layer).state.is_exact and not strip.label.text()


def test_a_layer_that_somebody_else_added_is_told_of_and_stopped(qtbot, viewer_model, served, strip):
    layer = opened(viewer_model, served, name="mine")
    qtbot.waitUntil(lambda: layer_is_exact(layer, strip))
    served.script("", None)
    viewer_model.dims.set_current_step(0, 44)
    qtbot.waitUntil(lambda: strip.label.text().startswith("sharpening…"))
    strip.stop.click()
    assert strip.label.text() == "stopped"
    served.end()
    strip.retry.click()
    qtbot.waitUntil(lambda: layer_is_exact(layer, strip))
