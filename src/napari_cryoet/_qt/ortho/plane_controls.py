"""What mouse and keys do in a further plane of a viewer: they move its cursor, or the view."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from napari.components import ViewerModel
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtGui import QKeyEvent

from napari_cryoet._qt.ortho.planes import Plane
from napari_cryoet._qt.ortho.shared_cursor import SharedCursor

_ZOOM_PER_NOTCH: Final = 1.15


class PlaneControls(QObject):
    """The left button moves the cursor, the wheel steps, the other buttons pan; see `PlaneView`.

    Parameters
    ----------
    plane
        Which plane it is.
    main
        The viewer whose planes are stepped through.
    cursor
        What is moved.
    """

    camera_moved = Signal()
    fit_requested = Signal()

    def __init__(self, plane: Plane, main: ViewerModel, cursor: SharedCursor, parent: QObject) -> None:
        super().__init__(parent)
        self._plane, self._main, self._cursor = plane, main, cursor

    def take_over(self, model: ViewerModel) -> None:
        """Let the mouse in a viewer do this, and nothing of napari's."""
        self._model = model
        model.mouse_drag_callbacks[:] = [self._on_drag]
        model.mouse_double_click_callbacks.clear()
        model.mouse_wheel_callbacks[:] = [self._on_wheel]
        model.scene.camera.mouse_pan = model.scene.camera.mouse_zoom = False

    def press(self, event: QKeyEvent) -> bool:
        """Arrows move the cursor in the plane, Page up and down across it; plus and minus zoom, Home fits.

        False where a key means something else.
        """
        plane = self._plane
        match event.key():
            case Qt.Key.Key_Left:
                self._step(plane.right, -1)
            case Qt.Key.Key_Right:
                self._step(plane.right, 1)
            case Qt.Key.Key_Up:
                self._step(plane.down, -1)
            case Qt.Key.Key_Down:
                self._step(plane.down, 1)
            case Qt.Key.Key_PageUp:
                self._step(plane.across, -1)
            case Qt.Key.Key_PageDown:
                self._step(plane.across, 1)
            case Qt.Key.Key_Plus | Qt.Key.Key_Equal:
                self._zoom(_ZOOM_PER_NOTCH, self._cursor.position)
            case Qt.Key.Key_Minus:
                self._zoom(1 / _ZOOM_PER_NOTCH, self._cursor.position)
            case Qt.Key.Key_Home:
                self.fit_requested.emit()
            case _:
                return False
        return True

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

    def _on_wheel(self, _viewer: ViewerModel, event: Any) -> None:
        notches = float(event.delta[1])
        if "Control" in event.modifiers:
            self._zoom(_ZOOM_PER_NOTCH**notches, event.position)
        elif notches:
            self._step(self._plane.across, -1 if notches > 0 else 1)

    def _point_at(self, event: Any) -> None:
        self._move_cursor({axis: event.position[axis] for axis in (self._plane.down, self._plane.right)})

    def _step(self, axis: int, count: int) -> None:
        dims = self._main.dims
        step = dims.range[dims.ndim + axis].step
        self._move_cursor({axis: self._cursor.position[axis] + count * step})

    def _move_cursor(self, places: dict[int, float]) -> None:
        ndim = self._main.dims.ndim
        self._cursor.move_to({ndim + axis: place for axis, place in places.items()})

    def _pan(self, moved_px: np.ndarray) -> None:
        camera = self._model.scene.camera
        _, down, right = camera.center
        camera.center = (0.0, down - moved_px[1] / camera.zoom, right - moved_px[0] / camera.zoom)
        self.camera_moved.emit()

    def _zoom(self, factor: float, around: tuple[float, ...]) -> None:
        """Zoom so that what is below the mouse stays there."""
        camera = self._model.scene.camera
        _, down, right = camera.center
        at_down, at_right = around[self._plane.down], around[self._plane.right]
        camera.center = (0.0, at_down + (down - at_down) / factor, at_right + (right - at_right) / factor)
        camera.zoom = camera.zoom * factor
        self.camera_moved.emit()
