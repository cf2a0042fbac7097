"""A cursor shared by all planes, in sync with the main viewer's sliders, and its crosshair."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final

import numpy as np
from napari.components import Dims, ViewerModel
from napari.components.overlays import SceneOverlay
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt import seam
from napari_cryoet._qt.connections import Connections
from napari_cryoet._qt.layers.ownership import active_layer
from napari_cryoet._qt.tasks import single_shot

_STILL_MS: Final = 150
_APART_MS: Final = 12  # Qt paints 5 ms after a change
_PLAIN_MODES: Final = frozenset(
    {"pan_zoom", "transform"}
)  # in other modes the mouse edits the layer
CURSOR: Final = "napari_cryoet_crosshair"
_GAP_PX: Final = 9.0  # around the cursor
_FAR_ANGSTROM: Final = 1e7
_COLOR: Final = (1.0, 0.35, 0.35, 0.9)


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


# the crosshair, a scene overlay


class CrosshairOverlay(SceneOverlay):  # type: ignore[misc] # napari is not typed
    """A crosshair's position in world coordinates along all axes, and the gap around it."""

    position: tuple[float, ...] = ()
    gap: float = 0.0  # drawn in 3D only if it isn't 0


def show_crosshair(viewer: ViewerModel, name: str = CURSOR) -> CrosshairOverlay:
    """Add a crosshair to a viewer, if this napari can draw one."""
    overlay = CrosshairOverlay(visible=True, blending="translucent_no_depth")
    if _can_draw():
        viewer.scene.overlays[name] = overlay
    return overlay


def remove_crosshair(viewer: ViewerModel, name: str = CURSOR) -> None:
    """Remove a viewer's crosshair."""
    viewer.scene.overlays.pop(name, None)


@cache
def _can_draw() -> bool:
    return seam.draw_overlays(CrosshairOverlay, _visual_over)


def _visual_over(scene_visual: Any) -> type:
    from vispy.scene.visuals import Line

    class VispyCrosshair(scene_visual):  # type: ignore[misc]
        """Draws lines along the displayed axes, with a gap around the position."""

        def __init__(self, **options: Any) -> None:
            super().__init__(
                node=Line(np.zeros((8, 3), np.float32), color=_COLOR, connect="segments"), **options
            )
            dims, camera = self.viewer.dims, self.viewer.scene.camera
            self._connections = Connections()
            self._connections.connect(self.overlay.events.position, self._on_move)
            self._connections.connect(camera.events.zoom, self._on_move)
            self._connections.connect(dims.events.order, self._on_move)
            self._connections.connect(dims.events.ndisplay, self._on_move)
            self.reset()
            self._on_move()

        def _on_move(self, _event: Any = None) -> None:
            dims, overlay = self.viewer.dims, self.overlay
            ends = np.full((8, 3), _FAR_ANGSTROM)  # out of view
            if len(overlay.position) == dims.ndim and (dims.ndisplay == 2 or overlay.gap):
                center = np.zeros(3)
                center[: dims.ndisplay] = [
                    overlay.position[axis] for axis in reversed(dims.displayed)
                ]
                gap = max(_GAP_PX / self.viewer.scene.camera.zoom, overlay.gap)
                along = np.array([-_FAR_ANGSTROM, -gap, gap, _FAR_ANGSTROM])
                ends = np.vstack(
                    [center + np.outer(along, axis) for axis in np.eye(3)[: dims.ndisplay]]
                )
            self.node.set_data(ends.astype(np.float32))

        def close(self) -> None:
            self._connections.close()
            super().close()

    return VispyCrosshair


def move_sliders(dims: Dims, positions: Mapping[int, float]) -> None:
    """Move sliders to the steps nearest to the given positions, by axis.

    Between two steps, napari would slice all layers twice: there, and again at the step.
    """
    point = dims.point
    wanted = {axis: _nearest_step(dims, axis, value) for axis, value in positions.items()}
    moved = {axis: value for axis, value in wanted.items() if value != point[axis]}
    if moved:
        dims.set_point(tuple(moved), tuple(moved.values()))


def _nearest_step(dims: Dims, axis: int, value: float) -> float:
    """The position of the nearest step, computed exactly as napari's sliders do."""
    start, stop, step = dims.range[axis]
    within = min(max(value, start), stop)
    last = int((stop - start) / step + 1e-6)  # volumes of several spacings end between two steps
    return float(min(start + min(round((within - start) / step), last) * step, stop))
