"""Sums up how exact the streamed layers of ours are, for the status strip; Stop and Go on reach all of them."""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakSet

from qtpy.QtCore import QObject

from napari_cryoet._qt.own_layers import LayerKey
from napari_cryoet._qt.progressive import StreamState, StreamStatus
from napari_cryoet._qt.status_strip import StatusStrip
from napari_cryoet._qt.timers import single_shot
from napari_cryoet._qt.viewer_link import ViewerLink
from napari_cryoet.layer_spec import METADATA_KEY
from napari_cryoet.wording import joined, plain, size_text

SETTLE_MS = 100  # states change with every block


class StreamWatch(QObject):
    """Follows what a `ViewerLink` shows and writes it into a `StatusStrip`."""

    def __init__(self, link: ViewerLink, strip: StatusStrip, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._link = link
        self._strip = strip
        self._followed: WeakSet[StreamStatus] = WeakSet()  # each lives as long as its layer
        self._settle = single_shot(self, SETTLE_MS, self.update)
        link.changed.connect(self._on_layers)
        link.appearance_changed.connect(lambda _key: self._settle.start())
        strip.stop_requested.connect(self._stop)
        strip.retry_requested.connect(self._retry)

    def update(self) -> None:
        """Say how exact the visible layers are."""
        visible = [key for key in self._link.shown() if (look := self._link.appearance(key)) and look.is_visible]
        streams = {key: stream for key in visible if (stream := self._link.stream_of(key)) is not None}
        if self._link.coming():
            self._strip.set_status("opening…", can_stop=True)
        elif streams:
            names = dict.fromkeys(name for key in sorted(streams) if (name := self._run_name(key)))
            self._tell(", ".join(names), [stream.state for stream in streams.values()])
        else:
            self._strip.set_status("")

    def _tell(self, names: str, states: list[StreamState]) -> None:
        error = next((state.error for state in states if state.error is not None), None)
        bytes_per_s = sum(state.bytes_per_s for state in states)
        speed = f"{size_text(bytes_per_s)}/s" if bytes_per_s >= 1 else ""
        if error is not None:
            self._strip.set_status(joined(names, plain(str(error))), can_retry=True)
        elif any(state.is_stopped for state in states):
            self._strip.set_status(joined(names, "stopped"), can_retry=True)
        elif not all(state.is_progressive for state in states):
            self._strip.set_status(joined(names, "loads plane by plane"))
        elif not all(state.is_exact for state in states):
            read = size_text(sum(state.bytes_read for state in states))
            self._strip.set_status(joined(f"{names} · sharpening… {read}", speed), can_stop=True)
        elif any(state.is_limited for state in states):
            self._strip.set_status(joined(names, "coarser level, zoom in for more"))
        else:
            self._strip.set_status(joined(names, "exact"))

    def _run_name(self, key: LayerKey) -> str:
        about = self._link.layers_of(key)[0].metadata.get(METADATA_KEY, {})
        return plain(about.get("run_name"))

    def _streams(self) -> Iterator[StreamStatus]:
        for key in self._link.shown():
            stream = self._link.stream_of(key)
            if stream is not None:
                yield stream

    def _on_layers(self) -> None:
        for stream in self._streams():
            if stream not in self._followed:
                self._followed.add(stream)
                stream.changed.connect(self._on_state)
        self.update()

    def _on_state(self, _state: StreamState) -> None:
        if not self._settle.isActive():
            self._settle.start()

    def _stop(self) -> None:
        self._link.stop()
        for stream in self._streams():
            stream.stop()
        self.update()

    def _retry(self) -> None:
        for stream in self._streams():
            stream.retry()
        self.update()
