"""Sums up how exact the streamed layers are, for the status strip; Stop and Go on reach all of them."""

from __future__ import annotations

from weakref import WeakSet

from napari.layers import Layer
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.browser.status_strip import StatusStrip
from napari_cryoet._qt.browser.stream_words import LOAD_FULL_DETAIL, SETTLE_MS, traffic_of
from napari_cryoet._qt.layers.manager import LayerManager
from napari_cryoet._qt.streaming.progressive import StreamState, StreamStatus
from napari_cryoet._qt.streaming.volume_detail import Detail
from napari_cryoet._qt.widgets.labels import plain_tooltip
from napari_cryoet._qt.widgets.messages import SWITCH_TEXTS
from napari_cryoet._qt.widgets.timers import single_shot
from napari_cryoet.exceptions import WithheldError
from napari_cryoet.layers.specs import METADATA_KEY
from napari_cryoet.wording import day_text, joined, plain, size_text

_WITHHELD = {"offline mode": "more isn't kept here", "data saver": "limit reached"}


class StreamWatch(QObject):
    """Follows what streams in the viewer of a `LayerManager` and writes it into a `StatusStrip`."""

    switch_requested = Signal(object, object)  # WithheldError, what to do once it is lifted

    def __init__(self, link: LayerManager, strip: StatusStrip, detail: Detail, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._link = link
        self._detail = detail
        self._withheld: WithheldError | None = None
        self._is_closed = False
        self._strip = strip
        self._followed: WeakSet[StreamStatus] = WeakSet()  # each lives as long as its layer
        self._settle = single_shot(self, SETTLE_MS, self.update)
        link.changed.connect(self._on_layers)
        link.streams_changed.connect(self._on_layers)
        link.appearance_changed.connect(lambda _key: self._settle.start())
        strip.destroyed.connect(self.close)
        strip.stop_requested.connect(self._stop)
        strip.retry_requested.connect(self.retry)
        strip.action_requested.connect(self._act)
        detail.changed.connect(self._settle.start)

    def update(self) -> None:
        """Say how exact the visible layers are."""
        if self._is_closed:
            return
        visible = [(layer, stream) for layer, stream in self._link.streams() if layer.visible]
        if self._link.coming():
            self._strip.set_status("opening…", can_stop=True)
        elif visible:
            names = dict.fromkeys(sorted(name for layer, _ in visible if (name := _name_of(layer))))
            states = [stream.state for _, stream in visible]
            self._tell(joined(", ".join(names), _as_of_text(states)), states)
        else:
            self._strip.set_status("")

    def retry(self) -> None:
        """Go on with everything that was stopped or failed."""
        for _, stream in self._link.streams():
            stream.retry()
        self.update()

    def close(self) -> None:
        """Write nothing any more: the strip is going."""
        self._is_closed = True
        self._settle.stop()

    def _tell(self, names: str, states: list[StreamState]) -> None:
        error = next((state.error for state in states if state.error is not None), None)
        self._withheld = error if isinstance(error, WithheldError) else None
        if self._withheld is not None:
            by = self._withheld.by
            words, may_pass = _WITHHELD[by], by == "data saver"  # more may be allowed by now
            self._strip.set_status(joined(names, words), can_retry=may_pass, action=SWITCH_TEXTS[by])
            self._strip.label.setToolTip(plain_tooltip(str(error)))
        elif error is not None:
            self._strip.set_status(joined(names, plain(str(error))), can_retry=True)
        elif any(state.is_stopped for state in states):
            self._strip.set_status(joined(names, "stopped"), can_retry=True)
        elif not all(state.is_progressive for state in states):
            self._strip.set_status(joined(names, "loads plane by plane"))
        elif any(state.is_coming for state in states):
            self._strip.set_status(f"{names} · sharpening… {traffic_of(states)}", can_stop=True)
        elif self._detail.is_held_coarse and any(state.is_limited for state in states):
            self._strip.set_status(joined(names, "coarse only"), action=LOAD_FULL_DETAIL)
        elif any(state.is_limited for state in states):
            full_bytes = sum(state.full_bytes for state in states)
            action = f"{LOAD_FULL_DETAIL} ({size_text(full_bytes)})" if full_bytes else ""
            self._strip.set_status(joined(names, "coarser level"), action=action)
        else:
            self._strip.set_status(joined(names, "exact"))

    def _on_layers(self) -> None:
        for layer, stream in self._link.streams():
            if stream not in self._followed:
                self._followed.add(stream)
                stream.changed.connect(self._on_state)
                layer.events.visible.connect(self._on_state)
        self.update()

    def _on_state(self, _change: object) -> None:
        if not self._settle.isActive():
            self._settle.start()

    def _stop(self) -> None:
        self._link.stop()
        for _, stream in self._link.streams():
            stream.stop()
        self.update()

    def _act(self) -> None:
        if self._withheld is not None:
            self.switch_requested.emit(self._withheld, self.retry)
        else:
            self._detail.load_full()


def _name_of(layer: Layer) -> str:
    """Of its run, or its own."""
    return plain(layer.metadata.get(METADATA_KEY, {}).get("run_name") or layer.name)


def _as_of_text(states: list[StreamState]) -> str:
    """From when pixels are whose server can't be reached, the oldest; nothing where all can."""
    dates = [state.as_of for state in states if state.as_of is not None]
    return f"offline, as of {day_text(min(dates))}" if dates else ""
