"""Streamed layers: napari draws them from the data in memory, while ``layer.data`` stays exact."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from functools import cache
from typing import Any, Final

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, QTimer, Signal

from napari_cryoet._qt import seam
from napari_cryoet._qt.layers.ownership import real
from napari_cryoet._qt.layers.types import OWN_TYPES, Surface, Vectors
from napari_cryoet._qt.streaming.slice_geometry import positioned_response, streamed_request
from napari_cryoet._qt.tasks import single_shot
from napari_cryoet.layers.specs import LayerSpec
from napari_cryoet.network.client import wait_text
from napari_cryoet.streaming import Display, DisplayState, Pyramid, pyramid_of
from napari_cryoet.streaming.grid import Box
from napari_cryoet.wording import date_text, joined, plain, size_text

_REFRESH_2D_S, _REFRESH_3D_S = (
    0.05,
    0.33,
)  # minimum intervals: uploading textures is the slowest step
_STATE_INTERVAL_MS: Final = 500  # between state updates while nothing new can be drawn
_THUMBNAIL_AFTER_MS: Final = 500  # a thumbnail with each slice, as in napari, would be slow
_PAUSE_FACTOR: Final = 2.0  # pause between redraws, relative to their duration
_MAX_PAUSE_S: Final = 0.5
_PREFETCH_AFTER_MS: Final = 300  # prefetching earlier would slow down the first drawing of a layer
#: The state of a picture of which a pack left out a part.
PARTIAL_TEXT: Final = "full resolution only in parts of this pack"
SETTLE_MS: Final = 100  # limits updates of texts, since states change with every block


class StreamStatus(QObject):
    """The state of a streamed layer, and methods to stop and retry it.

    Created by `attach`; lives as long as the layer.
    """

    changed = Signal(object)  # StreamState; also when the layer is shown or hidden
    stopped = Signal()  # by `stop`
    retried = Signal()
    _woken = Signal()

    def __init__(self, layer: Image | Labels, display: Display) -> None:
        super().__init__()
        self.display = display
        self._layer = weakref.ref(layer)
        self._samples: list[tuple[float, int]] = []
        self._drawn_at = self._sliced_at = self._woken_at = -math.inf
        self._is_redrawing = self._is_out_of_view = self._had_other_data = False
        self._viewer: weakref.ref[ViewerModel] | None = None
        #: Whether another widget shows errors; otherwise napari's notifications do.
        self.is_watched = False
        self._last_error = ""  # the last error shown
        self._state_timer = single_shot(self, _STATE_INTERVAL_MS, self._emit_state)
        self._thumbnail = single_shot(self, _THUMBNAIL_AFTER_MS, self._make_thumbnail)
        self._prefetch_timer = single_shot(self, _PREFETCH_AFTER_MS, display.release)
        self._is_prefetching = False
        self._woken.connect(self._on_woken)
        layer.events.visible.connect(self._on_visible)
        wake = weakref.WeakMethod(self._wake)  # the display may outlive its layer
        display.on_change = lambda: method() if (method := wake()) is not None else None
        self._leaving = weakref.finalize(layer, display.close)

    @property
    def state(self) -> StreamState:
        """The current loading state."""
        state, pyramid = self.display.state, self.display.pyramid
        if self._is_out_of_view:
            state = replace(
                state,
                is_exact=True,
                missing_blocks=0,
                is_limited=False,
                is_partial=False,
                full_bytes=0,
                error=None,
            )
        return StreamState(
            **{field.name: getattr(state, field.name) for field in fields(state)},
            bytes_per_s=self._speed(state.bytes_read),
            as_of=pyramid.as_of,
            source_number=pyramid.source_number,
            wait_text=wait_text(pyramid.server),
        )

    def _speed(self, bytes_read: int) -> float:
        """The mean transfer rate over about the last second, in bytes per second."""
        now = time.monotonic()
        self._samples = [(at, count) for at, count in self._samples if now - at <= 1.5]
        self._samples.append((now, bytes_read))
        first_at, first_count = self._samples[0]
        return (bytes_read - first_count) / (now - first_at) if now - first_at > 0.1 else 0.0

    def stop(self) -> None:
        """Stop fetching until `retry`; the layer shows the data in memory."""
        self.display.stop()
        self.stopped.emit()

    def retry(self) -> None:
        """Resume requests that failed or were stopped."""
        self.display.retry()
        self.retried.emit()

    def load_in_full(self) -> None:
        """Fetch the current view at full resolution, regardless of its size, until the view changes."""
        self.display.load_in_full()

    def close(self) -> None:
        """Stop fetching for good."""
        shared_redraws().withdraw(self)
        for timer in (self._state_timer, self._thumbnail, self._prefetch_timer):
            timer.stop()
        self.display.close()
        self._leaving.detach()

    def follow(self, viewer: ViewerModel) -> None:
        """Pause while the layer isn't in this viewer."""
        viewer = real(viewer)
        if self.view is not viewer:
            self._viewer = weakref.ref(viewer)
            viewer.layers.events.removed.connect(self._on_removed)
            viewer.layers.events.inserted.connect(self._on_inserted)
        layer = self._layer()
        if layer is not None and layer in viewer.layers and layer.visible:
            self.display.resume()

    def _on_removed(self, event: Any) -> None:
        if event.value is self._layer():
            self.display.pause()

    def _on_inserted(self, event: Any) -> None:
        if event.value is self._layer():
            self._on_visible()

    def _on_visible(self, _event: Any = None) -> None:
        """Pause while the layer is hidden."""
        layer, viewer = self._layer(), self.view
        if layer is None:
            return
        if not layer.visible:
            self.display.pause()
        elif viewer is None or layer in viewer.layers:
            self.display.resume()
        self._emit_state()

    # redrawing

    @property
    def view(self) -> ViewerModel | None:
        """The viewer passed to `follow`, if any; layers of one viewer are redrawn together."""
        return None if self._viewer is None else self._viewer()

    def may_redraw_at(self) -> float:
        layer = self._layer()
        is_volume = layer is not None and seam.is_sliced_in_3d(layer)
        return self._drawn_at + (
            _REFRESH_3D_S if is_volume and not self.display.has_all else _REFRESH_2D_S
        )

    def redraw(self) -> None:
        """Slice the layer again if new data arrived since napari last did."""
        layer = self._layer()
        if layer is None:
            return
        try:
            if self._woken_at >= self._sliced_at and self._has_own_data(layer):
                self._is_redrawing = True
                layer.refresh(
                    extent=False, thumbnail=False, highlight=False
                )  # may raise errors of other listeners
                self._drawn_at = time.monotonic()
        finally:
            self._is_redrawing = False
            self._emit_state()

    def _wake(self) -> None:
        """Schedule a redraw; called on any thread when new data arrives."""
        self._woken_at = time.monotonic()
        self._woken.emit()

    def _on_woken(self) -> None:
        if self._layer() is not None:
            shared_redraws().ask(self)

    def _emit_state(self) -> None:
        state = self.state
        if (
            state.missing_blocks
            and not state.is_exact
            and state.error is None
            and not state.is_stopped
        ):
            self._state_timer.start()
        if state.error is not None and str(state.error) != self._last_error and not self.is_watched:
            self._last_error = str(state.error)
            show_warning(plain(self._last_error))
        self.changed.emit(state)

    def begin(self) -> None:
        """Start fetching, at first only the current view, and redraw a slice from before streaming."""
        self.display.release(ahead=False)
        if (layer := self._layer()) is not None and layer.visible and self._sliced_at == -math.inf:
            self._wake()

    # slicing; called by `seam.slice_by`

    def begin_slice(self) -> None:
        self._sliced_at = time.monotonic()

    def changed_request(self, request: Any) -> Any:
        """Make napari slice the display, unless the layer's data were replaced."""
        layer = self._layer()
        had_other_data, self._had_other_data = (
            self._had_other_data,
            layer is None or not self._has_own_data(layer),
        )
        if self._had_other_data:
            self.display.pause()
            return request
        if had_other_data:
            self.display.resume()
        return streamed_request(request, self.display)

    def changed_response(self, response: Any) -> Any:
        self._is_out_of_view = bool(response.empty)
        return response if self._had_other_data else positioned_response(response, self.display)

    def end_slice(self) -> None:
        shared_redraws().spent(time.monotonic() - self._sliced_at)
        if not self._is_redrawing:
            QTimer.singleShot(
                0, self._emit_state
            )  # no redraw will follow if everything is in memory
        if not self._is_redrawing or not self._thumbnail.isActive():
            self._thumbnail.start()
        if not self._is_prefetching and self.display.state.is_settled:
            self._is_prefetching = True
            self._prefetch_timer.start()

    def _has_own_data(self, layer: Layer) -> bool:
        return pyramid_of(layer.data) is self.display.pyramid

    # thumbnails

    @property
    def postpones_thumbnail(self) -> bool:
        """Whether an update of the thumbnail is scheduled, so that earlier ones can be skipped."""
        return self._thumbnail.isActive()

    def _make_thumbnail(self) -> None:
        if (layer := self._layer()) is not None:
            seam.update_thumbnail(layer)


def attach(
    layer: Image | Labels, pyramid: Pyramid, *, viewer: ViewerModel | None = None
) -> StreamStatus | None:
    """Stream a layer whose data are a pyramid's levels; the layer keeps the status alive.

    Fetching pauses while the layer isn't in ``viewer``. Return None if this napari's slicing isn't
    supported: it then slices exact arrays asynchronously.
    """
    status = _status_of(layer)
    if status is None:
        return _attach(layer, Display(pyramid, is_held=True), viewer)
    if viewer is not None:
        status.follow(viewer)
    return status


def _attach(
    layer: Image | Labels, display: Display, viewer: ViewerModel | None
) -> StreamStatus | None:
    status = StreamStatus(layer, display)
    if not seam.slice_by(layer, status):
        status.close()
        slice_on_another_thread()
        return None
    display.placeholder = _placeholder_of(layer, display.pyramid)
    _prefetch_first_view(display, viewer, layer)
    for event in (layer.events.set_data, layer.events.plane, layer.events.depiction):
        event.connect(seam.on_plane, position="last")  # after napari, which misplaces the plane
    QTimer.singleShot(0, status.begin)  # napari slices four times while it adds a layer
    if viewer is not None:
        status.follow(viewer)
    return status


def make_layer(
    spec: LayerSpec, *, viewer: ViewerModel | None = None
) -> tuple[Layer, StreamStatus | None]:
    """Create the layer of a spec; it streams from its first slice if its data are a pyramid's levels.

    Parameters
    ----------
    spec
        An image should have ``contrast_limits``, since no values are available yet to compute them.
    viewer
        As in `attach`; the caller adds the layer to it.

    Returns
    -------
    layer : Layer
    status : StreamStatus or None
        None if the data don't stream.
    """
    pyramid = pyramid_of(spec.data) if spec.kind in {"image", "labels"} else None
    if spec.kind == "vectors":
        return Vectors(spec.data, **spec.options), None
    if spec.kind == "surface":
        return Surface(spec.data, **spec.options), None
    if pyramid is None:
        return Layer.create(spec.data, dict(spec.options), spec.kind), None
    hidden = spec.options | {"visible": False, "cache": False}  # napari doesn't slice hidden layers
    display = Display(pyramid, is_held=True)
    _prefetch_first_view(display, viewer)
    layer = OWN_TYPES[Image if spec.kind == "image" else Labels](spec.data, **hidden)
    status = _attach(layer, display, viewer)
    layer.visible = spec.options.get("visible", True)
    return layer, status


def stream_of(layer: Layer) -> StreamStatus | None:
    """The status of a streamed layer; None if it doesn't stream or its data were replaced."""
    status = _status_of(layer)
    return status if status is not None and status._has_own_data(layer) else None


def _status_of(layer: Layer) -> StreamStatus | None:
    slicer = seam.slicer_of(layer)
    return slicer if isinstance(slicer, StreamStatus) else None


def slice_on_another_thread() -> None:
    """Turn on napari's asynchronous slicing like the variable NAPARI_ASYNC, without changing saved settings."""
    from napari.settings import get_settings

    settings = get_settings()
    if not settings.experimental.async_:
        settings.env_settings.setdefault("experimental", {})["async_"] = (
            True  # napari doesn't save values from here
        )
        settings.experimental.async_ = True


# prefetching the first view


def _prefetch_first_view(
    display: Display, viewer: ViewerModel | None, layer: Layer | None = None
) -> None:
    """Start fetching a viewer's first view, if it can be predicted, before napari has added the layer."""
    if viewer is not None and not display.pyramid.stays_coarse:
        view = _first_view(display.pyramid, viewer, layer)
        if view is not None:
            display.foresee(*view)


def _first_view(
    pyramid: Pyramid, viewer: ViewerModel, layer: Layer | None
) -> tuple[int, Box] | None:
    """The level and box of the first view; None if it is outside of the layer or can't be predicted.

    napari shows the middle of a viewer's first layer, and keeps the current position for later
    ones.
    """
    dims, shape = viewer.dims, pyramid.shapes[0]
    ndim = len(shape)
    order = (
        dims.order if dims.ndim >= ndim else tuple(range(ndim))
    )  # napari will add the missing axes
    displayed = [axis - len(order) + ndim for axis in order[-dims.ndisplay :]]
    if len(displayed) == 3:
        coarsest = len(pyramid.shapes) - 1
        return coarsest, tuple((0, size) for size in pyramid.shapes[coarsest])
    point = [(size - 1) // 2 for size in shape]
    if viewer.layers and dims.ndim >= ndim:
        if layer is None:
            return None
        point = np.round(layer.world_to_data(dims.point[-ndim:])).astype(int).tolist()
    box = tuple(
        (0, size) if axis in displayed else (point[axis], point[axis] + 1)
        for axis, size in enumerate(shape)
    )
    is_inside = all(
        0 <= start < stop <= size for (start, stop), size in zip(box, shape, strict=True)
    )
    return (0, box) if is_inside else None


def _placeholder_of(layer: Layer, pyramid: Pyramid) -> float:
    """The value for missing data: the middle of the contrast limits, or the fill value."""
    limits, dtype = getattr(layer, "contrast_limits", None), pyramid.dtype
    if limits is None or pyramid.is_labels:
        value: float = pyramid.fill_value
        return value
    middle = (limits[0] + limits[1]) / 2
    if dtype.kind in "iu":
        return int(np.clip(round(middle), np.iinfo(dtype).min, np.iinfo(dtype).max))
    return float(middle) if dtype.kind == "f" else float(round(middle))


# scheduling redraws


class Redraws(QObject):
    """Redraws streamed layers in batches, at a rate that keeps sliders responsive."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: dict[StreamStatus, None] = {}
        self._free_at = 0.0
        self._timer = single_shot(self, 0, self._on_time)

    def ask(self, stream: StreamStatus) -> None:
        """Redraw a layer as soon as its interval allows; immediately if it is still blank."""
        self._waiting[stream] = None
        if stream.display.is_blank and stream.may_redraw_at() <= time.monotonic():
            self._on_time()  # a timer would fire only after the window has painted everything else
        else:
            self._start_timer()

    def withdraw(self, stream: StreamStatus) -> None:
        self._waiting.pop(stream, None)

    def spent(self, duration_s: float) -> None:
        """Report time that the GUI thread spent drawing streamed layers.

        The next redraw waits accordingly.
        """
        self._free_at = max(
            self._free_at, time.monotonic() + min(_PAUSE_FACTOR * duration_s, _MAX_PAUSE_S)
        )

    def _may_redraw_at(self, stream: StreamStatus) -> float:
        own = stream.may_redraw_at()
        return own if stream.display.is_blank else max(own, self._free_at)

    def _start_timer(self) -> None:
        if self._waiting:
            wait_s = min(map(self._may_redraw_at, self._waiting)) - time.monotonic()
            self._timer.start(
                round(1000 * max(0.0, wait_s))
            )  # wait_s is -inf for layers never drawn

    def _on_time(self) -> None:
        """Redraw the layers that are due, of one view at a time.

        Views with blank layers come first.
        """
        began = time.monotonic()
        ready = [stream for stream in self._waiting if self._may_redraw_at(stream) <= began]
        first = min(ready, key=lambda stream: not stream.display.is_blank, default=None)
        try:
            for stream in ready:
                if first is not None and stream.view is first.view:
                    del self._waiting[stream]
                    stream.redraw()
        finally:
            self.spent(time.monotonic() - began)
            self._start_timer()


@cache
def shared_redraws() -> Redraws:
    """The scheduler shared by the layers of all windows."""
    return Redraws()


# the state of streams as text


@dataclass(frozen=True, slots=True)
class StreamState(DisplayState):
    """The loading state of a layer: its display's state, transfer rate and source.

    Attributes
    ----------
    bytes_per_s
        The current transfer rate.
    as_of
        When the server last confirmed the cached data, if it doesn't respond now; otherwise None.
    source_number
        Identifies the source; copies of a layer and channels of an image share it.
    wait_text
        Until when the server asks to wait; empty if it doesn't.
    """

    bytes_per_s: float = 0.0
    as_of: datetime | None = None
    source_number: int | None = None
    wait_text: str = ""

    @property
    def is_coming(self) -> bool:
        """Whether the picture will still improve."""
        return not self.is_exact and (self.missing_blocks > 0 or not self.is_limited)


def loading_text(states: Sequence[StreamState]) -> str:
    """What layers are waiting for: a server that asks for it, or bytes and their speed."""
    waits = next((state.wait_text for state in states if state.wait_text), "")
    return waits or f"sharpening… {traffic_text(states)}"


def traffic_text(states: Sequence[StreamState]) -> str:
    """The bytes loaded for some layers and the current speed, counting layers that share a source once."""
    sources = {
        id(state) if state.source_number is None else state.source_number: state for state in states
    }.values()
    bytes_per_s = sum(state.bytes_per_s for state in sources)
    speed = f"{size_text(bytes_per_s)}/s" if bytes_per_s >= 1 else ""
    return joined(size_text(sum(state.bytes_read for state in sources)), speed)


def state_text(states: Sequence[StreamState]) -> str:
    """The status of overlaid layers: an error, ``stopped``, ``sharpening…``, ``coarser level``, or empty if exact."""
    error = next((state.error for state in states if state.error is not None), None)
    if error is not None:
        return plain(str(error))
    if any(state.is_stopped and not state.is_exact for state in states):
        return "stopped"
    if any(state.is_coming for state in states):
        return "sharpening…"
    if any(state.is_partial for state in states):
        return PARTIAL_TEXT
    return "coarser level" if any(state.is_limited for state in states) else ""


def offline_text(states: Sequence[StreamState]) -> str:
    """The oldest date of cached pixels whose server is unreachable; empty if there are none."""
    dates = [state.as_of for state in states if state.as_of is not None]
    return f"offline, as of {date_text(min(dates))}" if dates else ""
