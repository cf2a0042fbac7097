"""A crosshair in the scene of a viewer: an overlay, as napari's scale bar is one, and so never a layer in its list.

napari draws an overlay by the visual that it knows for its class; ours is made known the first time one is shown. A
napari that draws overlays in another way shows no crosshair, the log says why, and everything else goes on.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any, Final

import numpy as np
from napari.components import ViewerModel
from napari.components.overlays import SceneOverlay

from napari_cryoet._qt.files.napari_check import Feature, lacks
from napari_cryoet._qt.streaming import napari_internals

log = logging.getLogger(__name__)

_NAME: Final = "napari_cryoet_crosshair"
_GAP_PX: Final = 9.0  # so that what the cursor is on can be seen
_FAR_ANGSTROM: Final = 1e7
_COLOR: Final = (1.0, 0.35, 0.35, 0.9)


class CrosshairOverlay(SceneOverlay):  # type: ignore[misc] # napari is not typed
    """Where the crosshair is, in world coordinates of all axes."""

    position: tuple[float, ...] = ()


def show_crosshair(viewer: ViewerModel) -> CrosshairOverlay | None:
    """A viewer's crosshair, visible from now on; None where this napari can't draw one."""
    if not _is_known_to_napari():
        return None
    overlay = viewer.scene.overlays.get(_NAME)
    if overlay is None:
        overlay = CrosshairOverlay(visible=True, blending="translucent_no_depth")
        viewer.scene.overlays[_NAME] = overlay
    return overlay  # type: ignore[no-any-return]


def remove_crosshair(viewer: ViewerModel) -> None:
    """Take a viewer's crosshair away again."""
    if _NAME in viewer.scene.overlays:
        del viewer.scene.overlays[_NAME]


def segments(position_xy: tuple[float, float], gap: float) -> np.ndarray:
    """Four lines from far away up to a gap around a place; float32 (8, 2) in x, y."""
    x, y = position_xy
    return np.array(
        [
            *((x - _FAR_ANGSTROM, y), (x - gap, y), (x + gap, y), (x + _FAR_ANGSTROM, y)),
            *((x, y - _FAR_ANGSTROM), (x, y - gap), (x, y + gap), (x, y + _FAR_ANGSTROM)),
        ],
        np.float32,
    )


@cache
def _is_known_to_napari() -> bool:
    gone = lacks(Feature.CROSSHAIR)
    if gone:
        log.warning("This napari has no %s: there will be no crosshair", ", ".join(gone))
        return False
    napari_internals.draw_overlays(CrosshairOverlay, _visual_over)
    return True


def _visual_over(scene_visual: Any) -> type:
    from vispy.scene.visuals import Line

    class VispyCrosshair(scene_visual):  # type: ignore[misc]
        """Draws the crosshair in a plane; in 3D there is none."""

        def __init__(self, **given: Any) -> None:
            super().__init__(node=Line(segments((0.0, 0.0), 1.0), color=_COLOR, connect="segments"), **given)
            self._drawn: tuple[tuple[float, float], float] | None = None
            self.overlay.events.position.connect(self._on_move)
            self.viewer.scene.camera.events.zoom.connect(self._on_move)
            self.viewer.dims.events.order.connect(self._on_move)
            self.viewer.dims.events.ndisplay.connect(self._on_move)
            self.reset()
            self._on_move()

        def has_place(self) -> bool:
            """Whether there is something to draw."""
            return self._place() is not None

        def _place(self) -> tuple[float, float] | None:
            dims, position = self.viewer.dims, self.overlay.position
            if dims.ndisplay != 2 or len(position) != dims.ndim:
                return None
            row, column = dims.displayed
            return position[column], position[row]

        def _on_move(self, _event: Any = None) -> None:
            place = self._place()
            drawn = None if place is None else (place, _GAP_PX / self.viewer.scene.camera.zoom)
            if drawn is not None and drawn != self._drawn:  # across the plane it moves with the slice, not in it
                self.node.set_data(segments(*drawn))
                self._drawn = drawn
            self.look_again()

        def close(self) -> None:
            """As napari's own overlays end."""
            self.overlay.events.position.disconnect(self._on_move)
            self.viewer.scene.camera.events.zoom.disconnect(self._on_move)
            self.viewer.dims.events.order.disconnect(self._on_move)
            self.viewer.dims.events.ndisplay.disconnect(self._on_move)
            super().close()

    return VispyCrosshair
