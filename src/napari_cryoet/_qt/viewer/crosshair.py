"""A crosshair on a viewer's canvas, and sliders that move in one step."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import numpy as np
from napari.components import Dims, ViewerModel
from napari.components.overlays import SceneOverlay

from napari_cryoet._qt import seam
from napari_cryoet._qt.widgets.connections import Connections

CURSOR: Final = "napari_cryoet_crosshair"
_GAP_PX: Final = 9.0  # around the cursor
_FAR_ANGSTROM: Final = 1e7
_COLOR: Final = (1.0, 0.35, 0.35, 0.9)


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
