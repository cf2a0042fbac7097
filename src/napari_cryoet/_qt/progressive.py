"""Let napari draw a streamed layer from what is in memory, while ``layer.data`` stays exact for everybody else.

napari asks each image-like layer's *slicing state* for a slice request, which holds the arrays that are then sliced.
`attach` replaces that state by one whose requests hold a `Display`'s arrays (see `napari_internals`), which never wait,
and sets their geometry right (see `slice_geometry`). In a napari without that seam, napari slices on its own thread.
"""

from __future__ import annotations

import logging
import math
import time
import weakref
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels, Layer
from qtpy.QtCore import QObject, QTimer, Signal

from napari_cryoet._qt import napari_internals, volume_layers
from napari_cryoet._qt.arrows import Vectors
from napari_cryoet._qt.copies import stream_copies_in
from napari_cryoet._qt.first_drawing import FirstDrawing
from napari_cryoet._qt.first_view import foresee, placeholder_of
from napari_cryoet._qt.late_thumbnail import LateThumbnail
from napari_cryoet._qt.napari_check import Feature, lacks
from napari_cryoet._qt.plain_slicing import NoSeamError, slice_on_another_thread
from napari_cryoet._qt.presence import Presence
from napari_cryoet._qt.redraws import shared_redraws
from napari_cryoet._qt.slice_geometry import placed_response, streamed_request
from napari_cryoet._qt.stream_mark import mark_in
from napari_cryoet._qt.stream_state import Speed, StreamState, state_of
from napari_cryoet._qt.stream_words import is_loading
from napari_cryoet._qt.surfaces import Surface
from napari_cryoet._qt.tidying import shared_tidying
from napari_cryoet._qt.timers import single_shot
from napari_cryoet._qt.weak_calls import weak_call
from napari_cryoet.streaming.own_levels import pyramid_below
from napari_cryoet.streaming.paint import paint_on

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_cryoet.layer_spec import LayerSpec
    from napari_cryoet.streaming.display import Display
    from napari_cryoet.streaming.pyramid import Pyramid

log = logging.getLogger(__name__)

_REFRESH_2D_S, _REFRESH_3D_S = 0.05, 0.33  # uploading textures costs most, so pictures come at most this often
_SILENT_S = 0.25  # at most, of how far a picture is that waits for being drawn again
_SAY_AGAIN_MS = 500  # where nothing can be drawn of what comes, as of a large file that comes as a whole
_PAINTED_AFTER_MS = 10  # of the event loop; Qt waits for half of it before it paints


class StreamStatus(QObject):
    """How a streamed layer is doing, and the way to stop it.

    Made by `attach`. Lives as long as the layer.
    """

    changed = Signal(object)  # StreamState
    stopped = Signal()  # by `stop`
    retried = Signal()
    _woken = Signal()

    def __init__(self, layer: Image | Labels, display: Display | None) -> None:
        super().__init__()
        self._layer = weakref.ref(layer)
        self._display = display
        self._speed = Speed()
        self._drawn_at = self._woken_at = self._sliced_at = self._said_at = -math.inf
        self._is_redrawing = self._is_beside = False
        self._presence = Presence(layer, display, self)
        self._first_drawing = FirstDrawing(display, self)
        self._redraw_timer = single_shot(self, 0, self._on_time)
        self._say_again = single_shot(self, _SAY_AGAIN_MS, self._say_state)
        self.thumbnail = LateThumbnail(layer, self)
        self._woken.connect(self._on_woken)
        if display is not None:
            display.on_change = weak_call(self, "_wake")
            self._leaving = weakref.finalize(layer, display.leave)

    @property
    def state(self) -> StreamState:
        """How far the picture is now."""
        if self._display is None:
            return StreamState(is_progressive=False)
        return state_of(self._display, self._speed, is_beside=self._is_beside)

    def begin(self) -> None:
        """Fetch from now on; a picture that was there before it streamed, as a copy's, is made again."""
        self._first_drawing.begin()
        if (layer := self._layer()) is not None and layer.visible and self._sliced_at == -math.inf:
            self._redraw_soon()

    def stop(self) -> None:
        """Ask for nothing any more until `retry`; the layer shows what is in memory."""
        if self._display is not None:
            self._display.stop()
        self.stopped.emit()

    def retry(self) -> None:
        """Ask again for what failed or was stopped."""
        if self._display is not None:
            self._display.retry()
        self.retried.emit()

    def load_in_full(self) -> None:
        """Fetch the exact values of what is looked at, whatever they cost, until something else is looked at."""
        if self._display is not None:
            self._display.load_in_full()

    def close(self) -> None:
        """Ask for nothing ever again."""
        self._redraw_timer.stop()
        self._say_again.stop()
        self.thumbnail.stop()
        self._first_drawing.stop()
        if self._display is not None:
            self._display.close()
            self._leaving.detach()  # which would keep all that it has for as long as the layer is there

    def follow(self, viewer: ViewerModel) -> None:
        """Pause while the layer is in no viewer that was named, and be drawn again together with what else is there."""
        mark_in(viewer, stream_of)
        stream_copies_in(viewer, attach)
        self._first_drawing.follow(viewer)
        self._presence.follow(viewer)

    @property
    def view(self) -> int | None:
        """In which viewer it is painted, where one is known; see `Redrawn`."""
        return self._presence.view

    @property
    def shows_nothing(self) -> bool:
        """Whether there was nothing at all to show when it was drawn; see `Redrawn`."""
        return self._display is not None and self._display.is_blank

    @property
    def is_volume(self) -> bool:
        """Whether it is drawn in three dimensions; see `Redrawn`."""
        return napari_internals.is_sliced_in_3d(self._layer())

    def may_redraw_at(self) -> float:
        """From when on it may be drawn again; see `Redrawn`."""
        is_last = self._display is not None and self._display.has_all
        return self._drawn_at + (_REFRESH_3D_S if self.is_volume and not is_last else _REFRESH_2D_S)

    def redraw(self) -> bool:
        """Slice the layer again from what is in memory now, and say how far it is; False where it needed no slice."""
        layer = self._layer()
        if layer is None:
            return False
        is_due = self._woken_at >= self._sliced_at  # else napari has sliced it meanwhile, for a step; clocks tick
        is_due = is_due and stream_of(layer) is self  # other data are napari's affair, and may take long to slice
        try:
            if is_due:
                self._refresh(layer)
        finally:
            self._say_state()
        return is_due

    def _say_state(self) -> None:
        state, self._said_at = self.state, time.monotonic()
        if is_loading(state) and state.missing_blocks:  # else what came waits to be drawn, as where it is hidden
            self._say_again.start()
        else:
            self._say_again.stop()
        self.changed.emit(state)

    def _refresh(self, layer: Layer) -> None:
        self._is_redrawing = True
        try:
            layer.refresh(extent=False, thumbnail=False, highlight=False)  # which calls whoever hears of slices
        finally:
            self._is_redrawing = False
            self._drawn_at = time.monotonic()

    def begin_slice(self) -> None:
        """Note that napari slices the layer, and so will show all that there is by now; it also draws it then."""
        self._sliced_at = time.monotonic()
        if self._display is not None:
            self._display.right_of_way.take()
            QTimer.singleShot(_PAINTED_AFTER_MS, self._display.right_of_way.give_back)

    def end_slice(self, *, is_beside: bool = False) -> None:
        """Note that napari shows what it began to slice, which is nothing where that is beside the layer."""
        self._is_beside = is_beside
        self._first_drawing.note_slice()
        shared_redraws.spent(time.monotonic() - self._sliced_at)
        if not self._is_redrawing:
            self._presence.look_around()
            shared_redraws.step(self, self._sliced_at)
            self._redraw_soon()  # to say how far this picture is: where all it shall show is here, nothing else will
            shared_tidying().put_off()
        self.thumbnail.note_slice(is_step=not self._is_redrawing)

    def _wake(self) -> None:
        """Called on any thread when there is something new."""
        self._woken_at = time.monotonic()
        self._woken.emit()

    def _on_woken(self) -> None:
        if self.shows_nothing and self._layer() is not None and shared_redraws.wait_s(self) <= 0:
            self._on_time()  # a timer would come only after all that a window paints when it has a new layer
        else:
            self._redraw_soon()

    def _redraw_soon(self) -> None:
        if self._layer() is None:
            return
        wait_ms = math.ceil(shared_redraws.wait_s(self) * 1000)  # noted in any case: others may have been drawn with it
        if not self._redraw_timer.isActive() or self._redraw_timer.remainingTime() > wait_ms:
            self._redraw_timer.start(wait_ms)

    def _on_time(self) -> None:
        try:
            shared_redraws.redraw()
        finally:
            if shared_redraws.is_waiting(self):
                if time.monotonic() - self._said_at > _SILENT_S:
                    self._say_state()
                self._redraw_soon()


def attach(layer: Image | Labels, pyramid: Pyramid, *, viewer: ViewerModel | None = None) -> StreamStatus:
    """Let a layer stream.

    To let no slice at all read exact values, not even those that napari takes while a layer is made, make the layer
    with ``visible=False``, attach, and make it visible; or use `make_layer`, which does just that.

    Parameters
    ----------
    layer
        An Image or Labels layer whose data are ``pyramid.levels``.
    pyramid
        What is behind its data.
    viewer
        Nothing is fetched while the layer is neither in this viewer nor in another one that has a window.

    Returns
    -------
    StreamStatus, kept alive by the layer; the one that it has, where it streams already
    """
    pyramid.is_shown_as_labels |= isinstance(layer, Labels)
    if (status := stream_of(layer)) is None:
        return _attach(layer, pyramid.display(is_held=True), viewer)
    if viewer is not None:
        status.follow(viewer)
    return status


def _attach(layer: Image | Labels, display: Display, viewer: ViewerModel | None) -> StreamStatus:
    try:
        state = _streaming(layer, display)
    except NoSeamError as error:
        log.warning("%s is not drawn progressively: %s", layer.name, error)
        slice_on_another_thread()
        display.close()
        status = StreamStatus(layer, None)
        if (slices_it := napari_internals.slicing_state_of(layer)) is not None:
            slices_it.status = status
    else:
        display.placeholder = placeholder_of(layer, display.pyramid)
        status = state.status = StreamStatus(layer, display)
        napari_internals.slice_by(layer, state)
        for event in (layer.events.set_data, layer.events.plane, layer.events.depiction):
            event.connect(_on_plane, position="last")  # after napari, which draws it elsewhere
        foresee(display, viewer, layer)
        QTimer.singleShot(0, status.begin)  # napari slices four times while it adds a layer
    if viewer is not None:
        status.follow(viewer)
    return status


def _on_plane(event: Any) -> None:
    napari_internals.place_plane(event.source)


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
    pyramid = pyramid_below(spec.data) if spec.kind in {"image", "labels"} else None
    if spec.kind == "vectors":
        return Vectors(spec.data, **spec.options), None
    if spec.kind == "surface":
        return Surface(spec.data, **spec.options), None
    if pyramid is None:
        return Layer.create(spec.data, dict(spec.options), spec.kind), None
    hidden = spec.options | {"visible": False, "cache": False}  # what is not visible is not sliced
    pyramid.is_shown_as_labels |= spec.kind == "labels"
    display = pyramid.display(is_held=True)
    foresee(display, viewer)
    layer_type = volume_layers.Image if spec.kind == "image" else volume_layers.Labels
    try:
        layer = layer_type(spec.data, **hidden)
    except Exception:
        display.close()
        raise
    status = _attach(layer, display, viewer)
    layer.visible = spec.options.get("visible", True)
    return layer, status


def follow(layer: Layer, viewer: ViewerModel) -> bool:
    """Let a layer that was attached stream in a viewer that it came into, too; False where it wasn't attached."""
    status = getattr(napari_internals.slicing_state_of(layer), "status", None)
    if isinstance(status, StreamStatus):
        status.follow(viewer)
    return isinstance(status, StreamStatus)


def stream_of(layer: Layer) -> StreamStatus | None:
    """How the picture of a layer is coming along; None where it doesn't stream, or has been given other data."""
    state = napari_internals.slicing_state_of(layer)
    has_others = isinstance(state, _Streaming) and not state.has_its_data
    status = getattr(state, "status", None)
    return status if isinstance(status, StreamStatus) and not has_others else None


def display_of(layer: Layer) -> Display | None:
    """What a layer's picture is made from; None where it doesn't stream, or has been given other data."""
    state = napari_internals.slicing_state_of(layer)
    return state.display if isinstance(state, _Streaming) and state.has_its_data else None


def _streaming(layer: Image | Labels, display: Display) -> _Streaming:
    """A slicing state that continues from a layer's own, but streams; it has made a request that fits."""
    gone = lacks(Feature.SHARPENING)
    if gone:
        raise NoSeamError(f"this napari's slicing is of another kind: it has no {', '.join(gone)}")
    if pyramid_below(layer.data) is not display.pyramid:
        raise NoSeamError("its data are not this pyramid")
    napari_internals.read_no_level_whole(layer)
    try:
        streamed_request(napari_internals.trial_request(layer), display)
        state = napari_internals.changed_slicing(layer, _Streaming)
    except Exception as error:  # whatever a napari may do that nobody knows yet
        raise NoSeamError(f"this napari's slicing is of another kind ({error})") from error
    state.display = display
    return state


class _Streaming(napari_internals.ChangedSlicing):
    """Over a layer's slicing state: its requests slice a display."""

    display: Display
    status: StreamStatus  # kept alive
    _is_let_go = _is_beside = False

    @property
    def has_its_data(self) -> bool:
        """Whether nobody has given the layer other data; what was painted over its own is drawn, too."""
        return pyramid_below(self.layer.data) is self.display.pyramid

    def begin_slice(self) -> None:
        if self.has_its_data:
            napari_internals.read_no_level_whole(self.layer)  # once more: it was given data since
        self.status.begin_slice()

    def end_slice(self) -> None:
        self.status.end_slice(is_beside=self._is_beside)

    def puts_off_thumbnail(self) -> bool:
        return self.status.thumbnail.is_put_off

    def changed_request(self, request: Any) -> Any:
        has_left, self._is_let_go = self._is_let_go, not self.has_its_data
        if self._is_let_go:
            self.display.pause()
            return request
        if has_left:
            self.display.resume()
        self.display.paint = paint_on(self.layer.data)
        return streamed_request(request, self.display)

    def changed_response(self, response: Any) -> Any:
        self._is_beside = bool(response.empty)
        return placed_response(response, self.display) if self.has_its_data else response
