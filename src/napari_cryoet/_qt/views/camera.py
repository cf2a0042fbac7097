"""What of the world a viewer's canvas shows, taken from napari and given to it."""

from __future__ import annotations

import numpy as np
from napari.components import ViewerModel

from napari_cryoet.exceptions import CryoETError
from napari_cryoet.views.view import Camera, zyx_of


def camera_of(viewer: ViewerModel) -> Camera:
    """What a viewer's canvas shows; CryoETError unless the viewer has three axes."""
    from scipy.spatial.transform import Rotation  # here, since it takes 0.2 s

    dims = viewer.dims
    if dims.ndim != 3:
        raise CryoETError(
            f"A view needs the three axes of a tomogram; this window has {dims.ndim}.",
            hint="Open a tomogram.",
        )
    camera = viewer.scene.camera
    height, width = viewer.canvas.size
    center = np.array(dims.point)
    center[list(dims.displayed)] = camera.center[-dims.ndisplay :]
    down = -np.array(camera.up_direction)[::-1]
    toward = -np.array(camera.view_direction)[::-1]
    axes = np.stack([np.cross(down, toward), down, toward], axis=1)
    w, x, y, z = map(float, Rotation.from_matrix(axes).as_quat(canonical=True, scalar_first=True))
    return Camera(
        ndisplay=dims.ndisplay,
        order=dims.order,
        point_zyx_angstrom=zyx_of(dims.point),
        center_zyx_angstrom=zyx_of(center),
        field_angstrom=(height / camera.zoom, width / camera.zoom),
        orientation=(w, x, y, z),
        perspective=camera.perspective,
        slab_angstrom=float(dims.thickness[dims.order[0]]),
    )


def show_camera(viewer: ViewerModel, camera: Camera) -> None:
    """Make a viewer's canvas show at least the camera's field, whatever its own size is."""
    from scipy.spatial.transform import Rotation

    dims = viewer.dims
    dims.order = camera.order
    dims.ndisplay = camera.ndisplay
    margins = [0.0, 0.0, 0.0]
    margins[camera.order[0]] = camera.slab_angstrom / 2
    dims.margin_left = dims.margin_right = tuple(margins)
    dims.point = camera.point_zyx_angstrom
    height, width = viewer.canvas.size
    high, wide = camera.field_angstrom
    _, down, toward = Rotation.from_quat(camera.orientation, scalar_first=True).as_matrix().T
    napari_camera = viewer.scene.camera
    napari_camera.set_view_direction(tuple(-toward[::-1]), tuple(-down[::-1]))
    napari_camera.perspective = camera.perspective
    napari_camera.zoom = min(height / high, width / wide)
    napari_camera.center = tuple(camera.center_zyx_angstrom[axis] for axis in camera.order)
