"""Zoom and pan of several views of one world as one: what is in the middle of one is in the middle of all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from napari.components import ViewerModel
from qtpy.QtCore import QObject

from napari_cryoet._qt.ortho.plane_view import PlaneView
from napari_cryoet._qt.ortho.shared_cursor import SharedCursor


class LinkedCameras(QObject):
    """Lets further planes and the main viewer have one zoom and one centre, while it is asked to.

    A plane has no say along the axis that it lies across: there the cursor is in the middle.
    """

    def __init__(
        self, main: ViewerModel, views: Sequence[PlaneView], cursor: SharedCursor, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._main, self._views, self._cursor = main, tuple(views), cursor
        self._is_linked = self._is_moving = False
        self._center: dict[int, float] = {}
        for event in self._events():
            event.connect(self._on_main)
        for view in self._views:
            view.camera_moved.connect(partial(self._on_view, view))

    def set_linked(self, is_linked: bool) -> None:
        """Link the cameras, starting from the main viewer's; or let each be where it is."""
        self._is_linked = is_linked
        if is_linked:
            self._center = dict(zip((-3, -2, -1), self._cursor.position[-3:], strict=False))
            self._on_main()

    def close(self) -> None:
        """Let go of the main viewer."""
        for event in self._events():
            event.disconnect(self._on_main)

    def _events(self) -> tuple[Any, ...]:
        events = self._main.scene.camera.events
        return events.center, events.zoom

    def _on_main(self, _event: Any = None) -> None:
        dims, camera = self._main.dims, self._main.scene.camera
        if not self._is_linked or self._is_moving or dims.ndim < 3 or dims.ndisplay != 2:
            return
        down, right = (axis - dims.ndim for axis in dims.displayed)
        if min(down, right) >= -3:
            self._center |= {down: camera.center[-2], right: camera.center[-1]}
            self._move_views(float(camera.zoom), but=None)

    def _on_view(self, view: PlaneView) -> None:
        if not self._is_linked or self._is_moving:
            return
        self._center |= view.center()
        zoom = float(view.model.scene.camera.zoom)
        self._move_views(zoom, but=view)
        dims, camera = self._main.dims, self._main.scene.camera
        if dims.ndisplay != 2:
            return
        self._is_moving = True
        try:
            middle = [
                self._center.get(axis - dims.ndim, at)
                for axis, at in zip(dims.displayed, camera.center[-2:], strict=True)
            ]
            camera.center = (camera.center[0], *middle)
            camera.zoom = zoom
        finally:
            self._is_moving = False

    def _move_views(self, zoom: float, *, but: PlaneView | None) -> None:
        center_zyx = tuple(self._center[axis] for axis in (-3, -2, -1))
        for view in self._views:
            if view is not but:
                view.look_at(center_zyx, zoom)
