"""A view of a viewer's layers in another plane, with its own canvas and the shared data and cursor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer
from napari.qt import QtViewer
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent, QResizeEvent
from qtpy.QtWidgets import QWidget

from napari_cryoet._qt.ortho.cursor import SharedCursor
from napari_cryoet._qt.ortho.layer_copy import LayerCopy, why_not_copied
from napari_cryoet._qt.seam import delete_in_own_canvas
from napari_cryoet._qt.streaming.progressive import SETTLE_MS, StreamState, state_text
from napari_cryoet._qt.tasks import single_shot
from napari_cryoet._qt.viewer.crosshair import (
    CrosshairOverlay,
    move_sliders,
    remove_crosshair,
    show_crosshair,
)
from napari_cryoet._qt.widgets.connections import Connections
from napari_cryoet._qt.widgets.controls import ElidedLabel, column_in
from napari_cryoet._qt.widgets.dock import COMMAND_KEYS
from napari_cryoet.wording import joined

_ZOOM_PER_NOTCH: Final = 1.15
_AXIS_NAMES: Final = {-3: "z", -2: "y", -1: "x"}


@dataclass(frozen=True, slots=True)
class Plane:
    """The axes of a view, of the last three (z, y, x as -3, -2, -1): down, to the right, and across the plane."""

    name: str
    down: int
    right: int
    across: int


XZ: Final = Plane("XZ", down=-3, right=-1, across=-2)
YZ: Final = Plane("YZ", down=-3, right=-2, across=-1)


def unit_of(viewer: ViewerModel) -> str:
    """Å if a viewer's world is in ångström; otherwise empty."""
    units = viewer.layers.extent.units if viewer.layers else None
    return "Å" if units and str(units[-1]) == "angstrom" else ""


class PlaneView(QWidget):
    """Shows the layers of the main viewer in another plane.

    Mouse: the left button moves the cursor, other buttons or Shift+left pan, the wheel steps, and
    Ctrl+wheel zooms. Keys: arrows move the cursor by a voxel, Page up and down step, plus and minus
    zoom, and Home fits.
    """

    context_lost = Signal()  # the view moved to another window and must be replaced

    def __init__(self, plane: Plane, main: ViewerModel, cursor: SharedCursor) -> None:
        super().__init__()
        self.plane = plane
        self.copies: list[LayerCopy] = []
        self.qt_viewer: QtViewer | None = None
        self._main, self._cursor = main, cursor
        self._crosshair: CrosshairOverlay | None = None
        self._is_fitted = True
        self._is_active = True
        self.is_complete = False  # all layers have a copy
        self._is_closed = False
        self.model = ViewerModel(title=plane.name)
        self.model.theme = main.theme
        # skip looking up values under the mouse in all layers: they aren't shown
        self.model.cursor.events.position.disconnect(self.model.update_status_from_cursor)
        self.model.mouse_drag_callbacks[:] = [self._on_drag]
        self.model.mouse_double_click_callbacks.clear()
        self.model.mouse_wheel_callbacks[:] = [self._on_wheel]
        camera = self.model.scene.camera
        for event in (camera.events.mouse_pan, camera.events.mouse_zoom):
            event.connect(self._keep_mouse)
        self._keep_mouse()
        self.setObjectName("plane")
        self.setAttribute(
            Qt.WidgetAttribute.WA_StyledBackground
        )  # for the frame that shows the focus
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(f"{plane.name} plane")
        self.label = ElidedLabel(name="dimText")
        self._column = column_in(self, self.label, margins=(2, 1, 2, 2), spacing=2)
        self._column.addStretch(1)  # replaced by the canvas
        self._fit_soon = single_shot(self, 0, self._fit_again)
        self._say_soon = single_shot(self, SETTLE_MS, self._say_state)
        self._connections = Connections()
        self._connect()

    def build_next(self) -> bool:
        """Create the canvas or the next layer's copy; return False once all are created.

        Each step takes a good part of a second, so process events in between.
        """
        if self._is_closed or self.is_complete:
            return False
        if self.qt_viewer is None:
            self._make_canvas()
            return True
        copied = {id(copy.layer) for copy in self.copies}
        missing = (
            layer
            for layer in self._main.layers
            if id(layer) not in copied and not why_not_copied(layer)
        )
        layer = next(missing, None)
        if layer is not None:
            self._copy(layer)
        self._fit_again()
        self._follow()
        self.is_complete = layer is None
        return not self.is_complete

    def close_down(self) -> None:
        """Disconnect from the main viewer and close the canvas."""
        self._is_closed = True
        self._connections.close()
        self._close_layers()
        if self.qt_viewer is not None:
            self.qt_viewer.close()
            self.qt_viewer.deleteLater()
            self.qt_viewer = None  # napari's tests count remaining instances

    # the camera

    def fit(self) -> None:
        """Fit the plane to the canvas, now and after each resize until the user zooms."""
        self._is_fitted = True
        if self.model.layers and self.qt_viewer is not None:
            self.model.fit_to_view()

    def set_active(self, is_active: bool) -> None:
        """Resume or pause fetching and drawing."""
        self._is_active = is_active
        for copy in self.copies:
            copy.set_active(is_active)
        if is_active:
            self._follow()

    # loading state

    def _on_stream(self, _state: StreamState) -> None:
        if not self._say_soon.isActive():
            self._say_soon.start()

    def _say_state(self) -> None:
        """Show the plane's name and position, and its loading state."""
        position = self._cursor.position
        states = [state for copy in self.copies if (state := copy.state) is not None]
        if len(position) >= 3:
            position_text = f"{_AXIS_NAMES[self.plane.across]} {position[self.plane.across]:,.0f} {unit_of(self.model)}"
            self.label.setText(joined(self.plane.name, position_text.rstrip(), state_text(states)))

    # layers

    def _copy(self, layer: Layer) -> None:
        if why_not_copied(layer):
            return
        copy = LayerCopy(layer, self.model, self)
        copy.replaced.connect(partial(self._replace, copy))
        if copy.stream is not None:
            copy.stream.changed.connect(self._on_stream)
        self.copies.append(copy)
        self.model.layers.append(copy.copy)
        copy.set_active(self._is_active)
        self.model.layers.selection.clear()  # else the active layer's mode would take the mouse
        dims = self.model.dims
        if dims.ndim >= 3:
            axes = (self.plane.across, self.plane.down, self.plane.right)
            dims.order = (*range(dims.ndim - 3), *(dims.ndim + axis for axis in axes))
        self._sort()

    def _remove(self, copy: LayerCopy) -> None:
        self.copies.remove(copy)
        copy.close()
        self.model.layers.remove(copy.copy)
        copy.deleteLater()

    def _replace(self, copy: LayerCopy) -> None:
        self._remove(copy)
        self._copy(copy.layer)
        self._fit_again()
        self._on_cursor()

    def _on_inserted(self, event: Any) -> None:
        self.is_complete &= self._is_active
        if self.is_complete:  # otherwise `build_next` will copy it
            self._copy(event.value)
            self._fit_again()
            self._on_cursor()

    def _on_removed(self, event: Any) -> None:
        for copy in [copy for copy in self.copies if copy.layer is event.value]:
            self._remove(copy)

    def _on_batch(self, event: Any) -> None:
        """Batch changes here too: napari collects garbage after each layer otherwise."""
        getattr(self.model.layers.events, event.type)()

    def _sort(self, _event: Any = None) -> None:
        """Sort the copies in the order of their layers."""
        copies = {id(copy.layer): copy.copy for copy in self.copies}
        wanted = [copies[id(layer)] for layer in self._main.layers if id(layer) in copies]
        for index, copy in enumerate(wanted):
            now = self.model.layers.index(copy)
            if now != index:
                self.model.layers.move(now, index)

    def _close_layers(self) -> None:
        for copy in self.copies:
            copy.close()
        self.copies.clear()
        remove_crosshair(self.model)
        self._crosshair = None
        # napari collects all garbage at the end of a batch; this canvas goes, so its batch never ends
        self.model.layers.events.begin_batch()
        while self.model.layers:
            self.model.layers.pop()

    # the cursor

    def _on_cursor(self) -> None:
        if self._is_active:  # hidden planes follow once they are shown again
            self._cursor.ask(self._follow)

    def _follow(self) -> None:
        """Move the slice and the crosshair to the cursor."""
        ndim = self.model.dims.ndim
        position = self._cursor.position[-ndim:]
        if self._is_closed or len(position) != ndim or ndim < 3:
            return
        moves = [*range(ndim - 3), ndim + self.plane.across]
        move_sliders(self.model.dims, {axis: position[axis] for axis in moves})
        if self._crosshair is not None:
            self._crosshair.position = position
        for copy in self.copies:
            copy.update_budget()
        self._say_state()

    def _move_cursor(self, positions: dict[int, float]) -> None:
        ndim = self._main.dims.ndim
        self._cursor.move_to({ndim + axis: value for axis, value in positions.items()})

    def _step(self, axis: int, count: int) -> None:
        dims = self._main.dims
        step = dims.range[dims.ndim + axis].step
        self._move_cursor({axis: self._cursor.position[axis] + count * step})

    # mouse and keys

    def _on_drag(self, _viewer: ViewerModel, event: Any) -> Iterator[None]:
        pans = event.button in (2, 3) or "Shift" in event.modifiers
        last = np.asarray(event.pos, float)
        if not pans:
            self._point_at(event)
        yield
        while event.type == "mouse_move":
            if pans:
                now = np.asarray(event.pos, float)
                self._pan(now - last)
                last = now
            else:
                self._point_at(event)
            yield

    def _keep_mouse(self, _event: Any = None) -> None:
        """Turn napari's panning and zooming off: it turns both on whenever no layer is active."""
        self.model.scene.camera.mouse_pan = False
        self.model.scene.camera.mouse_zoom = False

    def _on_wheel(self, _viewer: ViewerModel, event: Any) -> None:
        notches = float(event.delta[1])
        if "Control" in event.modifiers:
            self._zoom(_ZOOM_PER_NOTCH**notches, event.position)
        elif notches:
            self._step(self.plane.across, -1 if notches > 0 else 1)

    def _point_at(self, event: Any) -> None:
        self._move_cursor(
            {axis: event.position[axis] for axis in (self.plane.down, self.plane.right)}
        )

    def _pan(self, moved_px: Any) -> None:
        camera = self.model.scene.camera
        _, down, right = camera.center
        camera.center = (0.0, down - moved_px[1] / camera.zoom, right - moved_px[0] / camera.zoom)
        self._is_fitted = False

    def _zoom(self, factor: float, around: tuple[float, ...]) -> None:
        """Zoom so that the position ``around`` stays in place on screen."""
        camera = self.model.scene.camera
        _, down, right = camera.center
        at_down, at_right = around[self.plane.down], around[self.plane.right]
        camera.center = (
            0.0,
            at_down + (down - at_down) / factor,
            at_right + (right - at_right) / factor,
        )
        camera.zoom = camera.zoom * factor
        self._is_fitted = False

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        if event is None or event.modifiers() & COMMAND_KEYS or not self._press(event.key()):
            super().keyPressEvent(event)

    def _press(self, key: int) -> bool:
        plane, position = self.plane, self._cursor.position
        steps = {
            Qt.Key.Key_Left: (plane.right, -1),
            Qt.Key.Key_Right: (plane.right, 1),
            Qt.Key.Key_Up: (plane.down, -1),
            Qt.Key.Key_Down: (plane.down, 1),
            Qt.Key.Key_PageUp: (plane.across, -1),
            Qt.Key.Key_PageDown: (plane.across, 1),
        }
        if key in steps:
            self._step(*steps[Qt.Key(key)])
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self._zoom(_ZOOM_PER_NOTCH, position)
        elif key == Qt.Key.Key_Minus:
            self._zoom(1 / _ZOOM_PER_NOTCH, position)
        elif key == Qt.Key.Key_Home:
            self.fit()
        else:
            return False
        return True

    # Qt and napari

    def _connect(self) -> None:
        layers, connect = self._main.layers.events, self._connections.connect
        connect(layers.inserted, self._on_inserted)
        connect(layers.removed, self._on_removed)
        connect(layers.reordered, self._sort)
        connect(layers.begin_batch, self._on_batch)
        connect(layers.end_batch, self._on_batch)
        connect(self._main.events.theme, self._set_theme)
        connect(self._cursor.moved, self._on_cursor)

    def _set_theme(self, _event: Any = None) -> None:
        self.model.theme = self._main.theme

    def _make_canvas(self) -> None:
        self.qt_viewer = QtViewer(self.model)
        delete_in_own_canvas(self.qt_viewer)
        self.qt_viewer.dims.hide()
        native = self.qt_viewer.canvas.native
        for widget in (self.qt_viewer, native, *native.findChildren(QWidget)):
            widget.setAcceptDrops(False)
        native.setFocusPolicy(
            Qt.FocusPolicy.NoFocus
        )  # this widget handles keys: napari's would roll the axes
        native.setFocusProxy(self)
        self._crosshair = show_crosshair(self.model)
        self._column.takeAt(self._column.count() - 1)
        self._column.addWidget(self.qt_viewer, 1)
        self._context: Any = None
        native.resized.connect(self._watch_context)

    def _watch_context(self) -> None:
        context = None if self.qt_viewer is None else self.qt_viewer.canvas.native.context()
        if context is not None and context is not self._context:
            self._context = context
            context.aboutToBeDestroyed.connect(self._on_context_lost)

    def _on_context_lost(self) -> None:
        """Stop drawing: in another window, Qt creates a context whose texture numbers may clash with the main one's."""
        if self.qt_viewer is not None:
            self._close_layers()
            self.is_complete = True
            self.qt_viewer.canvas.native.setUpdatesEnabled(False)
            self.context_lost.emit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        self._fit_soon.start()  # after the canvas is resized

    def _fit_again(self) -> None:
        if self._is_fitted:
            self.fit()
