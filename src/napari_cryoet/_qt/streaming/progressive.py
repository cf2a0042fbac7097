"""Let napari draw a streamed layer from what is in memory, while ``layer.data`` stays exact for everybody else."""

from __future__ import annotations

import math
import time
import weakref
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, QTimer, Signal

from napari_cryoet._qt.layers.ownership import real
from napari_cryoet._qt.layers.types import OWN_TYPES, Surface, Vectors
from napari_cryoet._qt.streaming import seam
from napari_cryoet._qt.streaming.slice_geometry import placed_response, streamed_request
from napari_cryoet._qt.tasks import single_shot
from napari_cryoet.streaming import Display, DisplayState, Pyramid, pyramid_of
from napari_cryoet.wording import plain

if TYPE_CHECKING:
    from datetime import datetime

    from napari.components import ViewerModel

    from napari_cryoet.layers.specs import LayerSpec
    from napari_cryoet.streaming.grid import Box

_REFRESH_2D_S, _REFRESH_3D_S = 0.05, 0.33  # uploading textures costs most, so pictures come at most this often
_SAY_AGAIN_MS: Final = 500  # while more comes of which nothing can be drawn yet
_THUMBNAIL_AFTER_MS: Final = 500  # made with each slice, as napari does, thumbnails cost as much as a small picture
_REST: Final = 2.0  # times as long as drawing took, nothing is drawn again
_LONGEST_REST_S: Final = 0.5
_AHEAD_AFTER_MS: Final = 300  # so long a window draws a new layer, and fetching ahead would hold it up


@dataclass(frozen=True, slots=True)
class StreamState(DisplayState):
    """How far a layer's picture is: the state of its display, and more of where its bytes come from.

    Attributes
    ----------
    bytes_per_s
        How fast bytes come now.
    as_of
        When the server last confirmed what is kept on disk, if it doesn't answer now; else None.
    source_number
        The same for layers that share their source and its bytes, as copies and channels of an image do.
    """

    bytes_per_s: float = 0.0
    as_of: datetime | None = None
    source_number: int | None = None

    @property
    def is_coming(self) -> bool:
        """Whether the picture will still get better."""
        return not self.is_exact and (self.missing_blocks > 0 or not self.is_limited)


class StreamStatus(QObject):
    """How a streamed layer is doing, and the way to stop it.

    Made by `attach`; lives as long as the layer.
    """

    changed = Signal(object)  # StreamState, also when the layer is shown or hidden
    stopped = Signal()  # by `stop`
    retried = Signal()
    _woken = Signal()

    def __init__(self, layer: Image | Labels, display: Display) -> None:
        super().__init__()
        self.display = display
        self._layer = weakref.ref(layer)
        self._samples: list[tuple[float, int]] = []
        self._drawn_at = self._sliced_at = self._woken_at = -math.inf
        self._is_redrawing = self._is_beside = self._had_others = False
        self._viewer: weakref.ref[ViewerModel] | None = None
        #: Whether something else tells users what goes wrong; if not, napari's notifications do.
        self.is_watched = False
        self._told = ""  # the last error
        self._say_again = single_shot(self, _SAY_AGAIN_MS, self._say_state)
        self._thumbnail = single_shot(self, _THUMBNAIL_AFTER_MS, self._make_thumbnail)
        self._ahead = single_shot(self, _AHEAD_AFTER_MS, display.release)
        self._goes_ahead = False
        self._woken.connect(self._on_woken)
        layer.events.visible.connect(self._on_visible)
        wake = weakref.WeakMethod(self._wake)  # a display may outlive its layer
        display.on_change = lambda: method() if (method := wake()) is not None else None
        self._leaving = weakref.finalize(layer, display.close)

    @property
    def state(self) -> StreamState:
        """How far the picture is now."""
        state, pyramid = self.display.state, self.display.pyramid
        if self._is_beside:  # then nothing is seen of it that could lack something
            state = replace(state, is_exact=True, missing_blocks=0, is_limited=False, full_bytes=0, error=None)
        return StreamState(
            **{field.name: getattr(state, field.name) for field in fields(state)},
            bytes_per_s=self._speed(state.bytes_read),
            as_of=pyramid.as_of,
            source_number=pyramid.source_number,
        )

    def _speed(self, bytes_read: int) -> float:
        """Bytes a second over the last second or so."""
        now = time.monotonic()
        self._samples = [(at, count) for at, count in self._samples if now - at <= 1.5]
        self._samples.append((now, bytes_read))
        first_at, first_count = self._samples[0]
        return (bytes_read - first_count) / (now - first_at) if now - first_at > 0.1 else 0.0

    def stop(self) -> None:
        """Ask for nothing any more until `retry`; the layer shows what is in memory."""
        self.display.stop()
        self.stopped.emit()

    def retry(self) -> None:
        """Ask again for what failed or was stopped."""
        self.display.retry()
        self.retried.emit()

    def load_in_full(self) -> None:
        """Fetch the exact values of what is looked at, whatever they cost, until something else is looked at."""
        self.display.load_in_full()

    def close(self) -> None:
        """Ask for nothing ever again."""
        shared_redraws().withdraw(self)
        for timer in (self._say_again, self._thumbnail, self._ahead):
            timer.stop()
        self.display.close()
        self._leaving.detach()

    def follow(self, viewer: ViewerModel) -> None:
        """Pause while the layer isn't in this viewer."""
        viewer, before = real(viewer), self.view
        if before is not viewer:
            if before is not None:
                before.layers.events.removed.disconnect(self._on_removed)
                before.layers.events.inserted.disconnect(self._on_inserted)
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
        """Fetch nothing for a hidden layer, as those of another run are."""
        layer, viewer = self._layer(), self.view
        if layer is None:
            return
        if not layer.visible:
            self.display.pause()
        elif viewer is None or layer in viewer.layers:
            self.display.resume()
        self._say_state()

    # how it is drawn again

    @property
    def view(self) -> ViewerModel | None:
        """The viewer that the layer is in, where one was named: its layers are painted together."""
        return None if self._viewer is None else self._viewer()

    def may_redraw_at(self) -> float:
        layer = self._layer()
        is_volume = layer is not None and seam.is_sliced_in_3d(layer)
        return self._drawn_at + (_REFRESH_3D_S if is_volume and not self.display.has_all else _REFRESH_2D_S)

    def redraw(self) -> None:
        """Slice the layer again from what is in memory now, unless napari has done so."""
        layer = self._layer()
        if layer is None:
            return
        try:
            if self._woken_at >= self._sliced_at and self._has_own_data(layer):
                self._is_redrawing = True
                layer.refresh(extent=False, thumbnail=False, highlight=False)  # which calls whoever hears of slices
                self._drawn_at = time.monotonic()
        finally:
            self._is_redrawing = False
            self._say_state()

    def _wake(self) -> None:
        """Called on any thread when there is something new."""
        self._woken_at = time.monotonic()
        self._woken.emit()

    def _on_woken(self) -> None:
        if self._layer() is not None:
            shared_redraws().ask(self)

    def _say_state(self) -> None:
        state = self.state
        if state.missing_blocks and not state.is_exact and state.error is None and not state.is_stopped:
            self._say_again.start()
        if state.error is not None and str(state.error) != self._told and not self.is_watched:
            self._told = str(state.error)
            show_warning(plain(self._told))
        self.changed.emit(state)

    def begin(self) -> None:
        """Fetch from now on, first only what is looked at; a picture from before it streamed is made again."""
        self.display.release(ahead=False)
        if (layer := self._layer()) is not None and layer.visible and self._sliced_at == -math.inf:
            self._wake()

    # how it is sliced; see `seam.slice_by`

    def begin_slice(self) -> None:
        self._sliced_at = time.monotonic()

    def changed_request(self, request: Any) -> Any:
        """Let napari slice the display, unless the layer was given other data."""
        layer = self._layer()
        had_others, self._had_others = self._had_others, layer is None or not self._has_own_data(layer)
        if self._had_others:
            self.display.pause()
            return request
        if had_others:
            self.display.resume()
        return streamed_request(request, self.display)

    def changed_response(self, response: Any) -> Any:
        self._is_beside = bool(response.empty)
        return response if self._had_others else placed_response(response, self.display)

    def end_slice(self) -> None:
        shared_redraws().spent(time.monotonic() - self._sliced_at)
        if not self._is_redrawing:
            QTimer.singleShot(0, self._say_state)  # where all it shall show is here, nothing else will
        if not self._is_redrawing or not self._thumbnail.isActive():
            self._thumbnail.start()
        if not self._goes_ahead and self.display.state.is_settled:
            self._goes_ahead = True
            self._ahead.start()

    def _has_own_data(self, layer: Layer) -> bool:
        return pyramid_of(layer.data) is self.display.pyramid

    # thumbnails

    @property
    def postpones_thumbnail(self) -> bool:
        """Whether the thumbnail is made later, whatever asks for it now."""
        return self._thumbnail.isActive()

    def _make_thumbnail(self) -> None:
        if (layer := self._layer()) is not None:
            seam.update_thumbnail(layer)


def attach(layer: Image | Labels, pyramid: Pyramid, *, viewer: ViewerModel | None = None) -> StreamStatus | None:
    """Let a layer of a pyramid's levels stream; the status is kept alive by the layer.

    Nothing is fetched while the layer isn't in ``viewer``. None if this napari slices in a way we don't know: then it
    slices exact arrays on its own thread.
    """
    status = seam.slicer_of(layer)
    if status is None:
        return _attach(layer, pyramid.display(is_held=True), viewer)
    if viewer is not None:
        status.follow(viewer)
    return status


def _attach(layer: Image | Labels, display: Display, viewer: ViewerModel | None) -> StreamStatus | None:
    status = StreamStatus(layer, display)
    if not seam.slice_by(layer, status):
        status.close()
        slice_on_another_thread()
        return None
    display.placeholder = _placeholder_of(layer, display.pyramid)
    _foresee(display, viewer, layer)
    for event in (layer.events.set_data, layer.events.plane, layer.events.depiction):
        event.connect(seam.on_plane, position="last")  # after napari, which draws it elsewhere
    QTimer.singleShot(0, status.begin)  # napari slices four times while it adds a layer
    if viewer is not None:
        status.follow(viewer)
    return status


def make_layer(spec: LayerSpec, *, viewer: ViewerModel | None = None) -> tuple[Layer, StreamStatus | None]:
    """Make the layer of a spec, streaming from its first slice on if its data are a pyramid's levels.

    Parameters
    ----------
    spec
        What to make. An image should have ``contrast_limits``, since there are no values yet to find them from.
    viewer
        As in `attach`; the caller adds the layer to it.

    Returns
    -------
    Layer, StreamStatus or None where the data don't stream
    """
    pyramid = pyramid_of(spec.data) if spec.kind in {"image", "labels"} else None
    if spec.kind == "vectors":
        return Vectors(spec.data, **spec.options), None
    if spec.kind == "surface":
        return Surface(spec.data, **spec.options), None
    if pyramid is None:
        return Layer.create(spec.data, dict(spec.options), spec.kind), None
    hidden = spec.options | {"visible": False, "cache": False}  # what is not visible is not sliced
    display = pyramid.display(is_held=True)
    _foresee(display, viewer)
    layer = OWN_TYPES[Image if spec.kind == "image" else Labels](spec.data, **hidden)
    status = _attach(layer, display, viewer)
    layer.visible = spec.options.get("visible", True)
    return layer, status


def stream_of(layer: Layer) -> StreamStatus | None:
    """How the picture of a layer is coming along; None where it doesn't stream, or has been given other data."""
    status = seam.slicer_of(layer)
    return status if status is not None and status._has_own_data(layer) else None


def slice_on_another_thread() -> None:
    """Turn napari's asynchronous slicing on as the variable NAPARI_ASYNC does: what a person has saved stays."""
    from napari.settings import get_settings

    settings = get_settings()
    if not settings.experimental.async_:
        settings.env_settings.setdefault("experimental", {})["async_"] = True  # what is there, napari doesn't save
        settings.experimental.async_ = True


# what is shown first


def _foresee(display: Display, viewer: ViewerModel | None, layer: Layer | None = None) -> None:
    """Have fetched what a viewer will show first, as soon as that can be told: napari takes a while to add a layer."""
    if viewer is not None and not display.pyramid.stays_coarse:
        view = _first_view(display.pyramid, viewer, layer)
        if view is not None:
            display.foresee(*view)


def _first_view(pyramid: Pyramid, viewer: ViewerModel, layer: Layer | None) -> tuple[int, Box] | None:
    """The level and box that will be looked at first; None if that lies outside of the layer, or can't be told yet.

    napari shows the middle of the first layer, and goes on from where it is with any other.
    """
    dims, shape = viewer.dims, pyramid.shapes[0]
    ndim = len(shape)
    order = dims.order if dims.ndim >= ndim else tuple(range(ndim))  # napari adds the axes that it lacks
    displayed = [axis - len(order) + ndim for axis in order[-dims.ndisplay :]]
    if len(displayed) == 3:
        coarsest = len(pyramid.shapes) - 1
        return coarsest, tuple((0, size) for size in pyramid.shapes[coarsest])
    point = [(size - 1) // 2 for size in shape]
    if viewer.layers and dims.ndim >= ndim:
        if layer is None:
            return None
        point = np.round(layer.world_to_data(dims.point[-ndim:])).astype(int).tolist()
    box = tuple((0, size) if axis in displayed else (point[axis], point[axis] + 1) for axis, size in enumerate(shape))
    is_inside = all(0 <= start < stop <= size for (start, stop), size in zip(box, shape, strict=True))
    return (0, box) if is_inside else None


def _placeholder_of(layer: Layer, pyramid: Pyramid) -> float:
    """The value in the middle of what is visible: neither black nor white where nothing is known yet."""
    limits, dtype = getattr(layer, "contrast_limits", None), pyramid.dtype
    if limits is None or pyramid.is_labels:
        value: float = pyramid.fill_value
        return value
    middle = (limits[0] + limits[1]) / 2
    if dtype.kind in "iu":
        return int(np.clip(round(middle), np.iinfo(dtype).min, np.iinfo(dtype).max))
    return float(middle) if dtype.kind == "f" else float(round(middle))


# when it is drawn again


class Redraws(QObject):
    """Draws streamed layers again: together, longest waiting first, and not so often that a slider would stick."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: dict[StreamStatus, None] = {}
        self._free_at = 0.0
        self._timer = single_shot(self, 0, self._on_time)

    def ask(self, stream: StreamStatus) -> None:
        """Draw a layer again as soon as it may be; at once where it shows nothing yet."""
        self._waiting[stream] = None
        if stream.display.is_blank and stream.may_redraw_at() <= time.monotonic():
            self._on_time()  # a timer would come only after all that a window paints when it has a new layer
        else:
            self._start_timer()

    def withdraw(self, stream: StreamStatus) -> None:
        self._waiting.pop(stream, None)

    def spent(self, duration_s: float) -> None:
        """Note that the window's thread was kept busy by drawing streamed layers, for whatever reason."""
        self._free_at = max(self._free_at, time.monotonic() + min(_REST * duration_s, _LONGEST_REST_S))

    def _may_redraw_at(self, stream: StreamStatus) -> float:
        own = stream.may_redraw_at()
        return own if stream.display.is_blank else max(own, self._free_at)

    def _start_timer(self) -> None:
        if self._waiting:
            wait_s = min(map(self._may_redraw_at, self._waiting)) - time.monotonic()
            self._timer.start(round(1000 * max(0.0, wait_s)))  # -inf for a layer that was never drawn

    def _on_time(self) -> None:
        """Draw what may be drawn by now of the view that comes first: views are painted one after the other."""
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
    """What draws the layers of all windows."""
    return Redraws()
