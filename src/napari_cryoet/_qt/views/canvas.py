"""A canvas off screen that draws a viewer's layers at any size, once their data are exact."""

from __future__ import annotations

import math
from concurrent.futures import Future, wait
from typing import Any, Final

from napari.components import ViewerModel
from napari.layers import Layer, Points
from napari.qt import QtViewer
from qtpy.QtCore import QObject, QRect, Qt, Signal
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QWidget

from napari_cryoet._qt.ortho.layer_copy import copy_layer
from napari_cryoet._qt.seam import delete_in_own_canvas, is_sliced_in_3d
from napari_cryoet._qt.streaming.progressive import (
    StreamStatus,
    state_text,
    stream_of,
    traffic_text,
)
from napari_cryoet._qt.tasks import single_shot
from napari_cryoet._qt.views.camera import show_camera
from napari_cryoet._qt.widgets.controls import column_in, not_none
from napari_cryoet.exceptions import SaveError, StreamError
from napari_cryoet.task import Task
from napari_cryoet.views.view import Camera
from napari_cryoet.wording import joined, plain

_POLL_S: Final = 0.05  # the longest delay of a stop


class Canvas(QObject):
    """Draws a viewer's visible layers as they are now, in a canvas of its own.

    The window stays as it is, and later changes of its layers don't matter. Copies of streamed
    layers share the pixels in memory and the requests.

    Parameters
    ----------
    viewer
        The viewer whose layers are drawn.
    size_px
        Width and height of the frames.
    is_coarse
        Draw the coarsest level, as the data saver does, instead of waiting for exact data.
    """

    _asked = Signal(object, object)  # Camera, Future[QImage]

    def __init__(
        self, viewer: ViewerModel, size_px: tuple[int, int], *, is_coarse: bool = False
    ) -> None:
        super().__init__()
        self.size_px = size_px
        self._is_coarse = is_coarse
        self._range = viewer.dims.range
        self._to_copy = [layer for layer in viewer.layers if layer.visible]
        self._streams: list[tuple[Layer, StreamStatus]] = []
        self._model = ViewerModel()
        self._model.theme = viewer.theme
        self._model.canvas.background_color_override = viewer.canvas.background_color_override
        self._window = QWidget()
        self._window.setAttribute(Qt.WidgetAttribute.WA_DontShowOnScreen)
        # napari ends with its own window
        self._window.setAttribute(Qt.WidgetAttribute.WA_QuitOnClose, False)
        self._qt_viewer: QtViewer | None = None
        self._camera: Camera | None = None
        self._future: Future[QImage] | None = None
        self._status = ""  # what the frame waits for
        self._is_closed = False
        self._next_soon = single_shot(self, 0, self._next)
        self._asked.connect(self._on_asked)

    def frame(self, camera: Camera, task: Task, label: str = "") -> QImage:
        """Draw a frame for a worker thread, which waits while the GUI thread draws.

        The task's messages begin with the label.

        Raises
        ------
        CryoETError
            If the data can't be exact: they can't be read, or the data saver withholds them.
        StoppedError
            If the task was stopped.
        """
        future: Future[QImage] = Future()
        self._asked.emit(camera, future)
        while not wait([future], _POLL_S).done:
            task.step(0.0, joined(label, self._status))
        task.step(1.0, label)
        return future.result()

    def close(self) -> None:
        """Free the canvas; the frame in progress is dropped."""
        self._is_closed = True
        self._future = None
        self._next_soon.stop()
        for _, stream in self._streams:
            stream.close()
        if self._qt_viewer is not None:
            # napari collects all garbage at the end of a batch; this canvas goes, so its batch never ends
            self._model.layers.events.begin_batch()
            while self._model.layers:
                self._model.layers.pop()
            self._qt_viewer.close()
            self._qt_viewer.deleteLater()
            self._qt_viewer = None
        self._window.close()
        self._window.deleteLater()
        self.deleteLater()

    # drawing, on the GUI thread

    def _on_asked(self, camera: Camera, future: Future[QImage]) -> None:
        if not self._is_closed:  # a worker may ask while it is stopped
            self._camera = camera
            self._future = future
            self._next_soon.start()

    def _next(self) -> None:
        """Take the next step towards the frame: each takes a good part of a second at first."""
        future = self._future
        if future is None:
            return
        try:
            if self._qt_viewer is None:
                self._make_canvas()
            elif self._to_copy:
                self._copy(self._to_copy.pop(0))
            elif self._camera is not None:
                self._show(self._camera)
            else:
                self._draw_if_ready(future)
                return
        except Exception as error:  # noqa: BLE001 - raised in the worker
            self._future = None
            future.set_exception(error)
        self._next_soon.start()

    def _make_canvas(self) -> None:
        qt_viewer = self._qt_viewer = QtViewer(self._model)
        largest_px = qt_viewer.canvas.max_texture_sizes[0]
        if max(self.size_px) > largest_px:
            raise SaveError(f"This graphics card draws up to {largest_px} pixels a side.")
        delete_in_own_canvas(qt_viewer)
        # without the sliders, which take a few pixels
        column_in(self._window, qt_viewer.canvas.native, margins=(0, 0, 0, 0))
        ratio = self._window.devicePixelRatioF()
        width, height = (math.ceil(side / ratio) for side in self.size_px)
        self._window.setFixedSize(width, height)
        self._window.show()

    def _copy(self, layer: Layer) -> None:
        copy, stream = copy_layer(layer, self._model, is_plane=False)
        shown = stream_of(layer)
        if stream is not None and shown is not None:
            limit = 0 if self._is_coarse else shown.display.largest_view_bytes
            stream.display.largest_view_bytes = limit
            stream.changed.connect(self._next_soon.start)
            self._streams.append((copy, stream))
        if isinstance(layer, Points):
            copy.selected_data = set(layer.selected_data)
        copy.events.loaded.connect(lambda _event=None: self._next_soon.start())
        self._model.layers.append(copy)
        self._model.layers.selection.clear()  # a selected layer may draw its handles

    def _show(self, camera: Camera) -> None:
        """Move to the frame's camera."""
        self._camera = None
        self._model.dims.ndim = 3
        self._model.dims.range = self._range
        show_camera(self._model, camera)

    def _draw_if_ready(self, future: Future[QImage]) -> None:
        canvas: Any = not_none(self._qt_viewer).canvas
        canvas.on_draw()  # chooses the levels for this camera
        if not self._is_ready():
            return
        frame = canvas.screenshot()
        if self._is_ready():
            self._future = None
            frame.setDevicePixelRatio(1)
            frame = frame.copy(QRect(0, 0, *self.size_px))
            future.set_result(frame.convertToFormat(QImage.Format.Format_RGBX8888))

    def _is_ready(self) -> bool:
        """Whether the picture is exact, or as good as it gets if coarse data will do.

        Raises CryoETError if it can't get there.
        """
        states = [stream.state for _, stream in self._streams]
        self._status = joined(state_text(states), traffic_text(states))
        is_loaded = all(layer.loaded for layer in self._model.layers)
        if self._is_coarse:
            for _, stream in self._streams:
                _check_is_known(stream)
            return is_loaded and all(state.is_settled for state in states)
        for layer, stream in self._streams:
            _check_gets_exact(layer, stream)
        return is_loaded and all(state.is_exact for state in states)


def _check_gets_exact(layer: Layer, stream: StreamStatus) -> None:
    """Load a plane in full if it would stay coarse; StreamError if the layer can't get exact."""
    state = stream.state
    name = plain(layer.name)
    if state.error is not None:
        raise StreamError(
            f"{name} can't be drawn exactly: {state.error.message}", hint=state.error.hint
        ) from state.error
    if not state.is_limited or state.is_exact:
        return
    if state.is_partial:
        raise StreamError(
            f"The pack has {name} only at a coarser level here.",
            hint="Open it from the portal, or allow coarse data.",
        )
    display = stream.display
    if display.pyramid.stays_coarse or is_sliced_in_3d(layer):
        raise StreamError(
            f"{name} is shown at a coarser level only.",
            hint="Turn off the data saver or choose a coarser level in 3D, or allow coarse data.",
        )
    display.load_in_full()


def _check_is_known(stream: StreamStatus) -> None:
    """Raise the error of a layer of which nothing can be drawn."""
    state = stream.state
    if state.error is not None and stream.display.is_blank:
        raise state.error
