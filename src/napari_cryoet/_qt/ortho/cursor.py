"""A cursor shared by all planes, in sync with the main viewer's sliders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from napari.components import ViewerModel
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.layers.ownership import active_layer
from napari_cryoet._qt.tasks import single_shot
from napari_cryoet._qt.viewer.crosshair import move_sliders, remove_crosshair, show_crosshair
from napari_cryoet._qt.widgets.connections import Connections

_STILL_MS: Final = 150
_APART_MS: Final = 12  # Qt paints 5 ms after a change
_PLAIN_MODES: Final = frozenset(
    {"pan_zoom", "transform"}
)  # in other modes the mouse edits the layer


class SharedCursor(QObject):
    """A viewer's cursor, in world coordinates along all axes; a click in the viewer moves it."""

    moved = Signal()

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.position = tuple(float(at) for at in viewer.dims.point)
        self._seen = self.position
        self._waiting: list[Callable[[], None]] = []  # queued moves of the viewer and the planes
        self._next = single_shot(self, 0, self._move_next)
        # delayed: these sliders don't change the viewer's plane, but napari slices all layers again
        self._along = single_shot(self, _STILL_MS, self._move_along)
        self._crosshair = show_crosshair(viewer)
        self._connections = Connections()
        self._connections.connect(viewer.dims.events.point, self._on_dims)
        self._connections.connect(viewer.dims.events.ndim, self._on_dims)
        viewer.mouse_drag_callbacks.append(self._on_drag)
        self._draw()

    @property
    def is_moving(self) -> bool:
        """Whether moves of the viewer or a plane are queued."""
        return bool(self._waiting)

    def ask(self, move: Callable[[], None]) -> None:
        """Queue a move.

        Planes are sliced one at a time, so that the window can paint in between.
        """
        if move not in self._waiting:
            self._waiting.append(move)
        if not self._next.isActive():
            self._next.start(0)

    def move_to(self, positions: Mapping[int, float]) -> None:
        """Move the cursor along the given axes, within the range of the sliders."""
        position = list(self.position)
        for axis, value in positions.items():
            start, stop, _ = self._viewer.dims.range[axis]
            position[axis] = min(max(float(value), start), stop)
        if tuple(position) != self.position:
            self.position = tuple(position)
            self.ask(self._move_across)
            self.moved.emit()

    def set_shown(self, is_shown: bool) -> None:
        """Show or hide the crosshair in the viewer."""
        self._crosshair.visible = is_shown

    def close(self) -> None:
        self._waiting.clear()
        self._next.stop()
        self._along.stop()
        self._connections.close()
        self._viewer.mouse_drag_callbacks.remove(self._on_drag)
        remove_crosshair(self._viewer)

    def _on_dims(self, _event: Any = None) -> None:
        """Follow sliders that were moved elsewhere."""
        point = tuple(float(at) for at in self._viewer.dims.point)
        before, self._seen = self._seen, point
        if len(point) != len(self.position):
            self.position = point
        else:
            axes = zip(point, before, self.position, strict=True)
            self.position = tuple(now if now != was else own for now, was, own in axes)
        self._next.start(_APART_MS)  # paint the viewer first
        self._draw()
        self.moved.emit()

    def _move_next(self) -> None:
        if self._waiting:
            try:
                self._waiting.pop(0)()
            finally:
                self._next.start(_APART_MS)

    def _move_across(self) -> None:
        self._draw()
        self._move_dims(self._viewer.dims.not_displayed)
        self._along.start()

    def _move_along(self) -> None:
        self._move_dims(range(self._viewer.dims.ndim))

    def _move_dims(self, axes: Iterable[int]) -> None:
        dims = self._viewer.dims
        with dims.events.point.blocker(self._on_dims):
            move_sliders(dims, {axis: self.position[axis] for axis in axes})
        self._seen = tuple(float(at) for at in dims.point)

    def _on_drag(self, viewer: ViewerModel, event: Any) -> Iterator[None]:
        """Move the cursor on a click; drags still pan."""
        layer = active_layer(viewer.layers)
        is_free = layer is None or str(getattr(layer, "mode", "pan_zoom")) in _PLAIN_MODES
        is_used = self._crosshair.visible and event.button == 1 and viewer.dims.ndisplay == 2
        if not is_used or not is_free:
            return
        is_dragged = False
        yield
        while event.type == "mouse_move":
            is_dragged = True
            yield
        if not is_dragged:
            self.move_to({axis: event.position[axis] for axis in viewer.dims.displayed})

    def _draw(self) -> None:
        self._crosshair.position = self.position
