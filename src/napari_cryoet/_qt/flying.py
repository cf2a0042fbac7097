"""Takes a viewer to a place: its slice and the middle of its canvas, in 2D and in 3D."""

from __future__ import annotations

from collections.abc import Sequence

from napari.components import ViewerModel

from napari_cryoet._qt.sliders import move_sliders


def fly_to(viewer: ViewerModel, world: Sequence[float]) -> None:
    """Show a place in the middle, at the zoom that there is.

    In 2D all sliders go there, also those along the plane: whatever shows other planes follows them.

    Parameters
    ----------
    world
        In world coordinates, of the viewer's last axes.
    """
    dims = viewer.dims
    first = dims.ndim - len(world)
    point = list(dims.point)
    point[first:] = [float(part) for part in world]
    if any(axis >= first for axis in dims.not_displayed):
        move_sliders(dims, {axis: point[axis] for axis in range(first, dims.ndim)})
    center = [point[axis] for axis in dims.displayed]
    viewer.scene.camera.center = (*(0.0,) * (3 - len(center)), *center)
