"""The line at the dock's edge says of which day pixels are whose server can't be reached."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.own_layers import LayerKey
from napari_cryoet._qt.status_strip import StatusStrip
from napari_cryoet._qt.stream_state import StreamState
from napari_cryoet._qt.stream_watch import StreamWatch
from napari_cryoet.layer_spec import METADATA_KEY
from qt.fake_link import NothingHeld


class Stream(QObject):
    """Stands for a layer's stream, whose state is given."""

    changed = Signal(object)

    def __init__(self, state):
        super().__init__()
        self.state = state


class Link(QObject):
    """Stands for the link to a viewer that shows some streams."""

    changed = Signal()
    appearance_changed = Signal(object)

    def __init__(self, *states):
        super().__init__()
        self.streams = {LayerKey("tomogram", i): Stream(state) for i, state in enumerate(states)}

    def shown(self):
        return set(self.streams)

    def coming(self):
        return set()

    def appearance(self, _key):
        return SimpleNamespace(is_visible=True)

    def stream_of(self, key):
        return self.streams[key]

    def layers_of(self, _key):
        return [SimpleNamespace(metadata={METADATA_KEY: {"run_name": "TS_026"}})]


EXACT = StreamState(is_progressive=True, is_exact=True)
OLD = StreamState(is_progressive=True, is_exact=True, as_of=datetime(2024, 3, 5, tzinfo=UTC))
OLDER = StreamState(is_progressive=True, missing_blocks=2, as_of=datetime(2023, 6, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ((EXACT,), "TS_026 · exact"),
        ((EXACT, OLD), "TS_026 · offline, as of 5 Mar 2024 · exact"),
        ((OLD, OLDER), "TS_026 · offline, as of 1 Jun 2023 · sharpening… 0 B"),
    ],
)
def test_pixels_of_a_server_that_is_not_reached_say_of_which_day_they_are(qtbot, states, words):
    strip, link = StatusStrip(), Link(*states)
    qtbot.addWidget(strip)
    watch = StreamWatch(link, strip, NothingHeld())
    link.changed.emit()
    assert strip.label.accessibleName() == words
    watch.close()
