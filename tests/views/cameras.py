"""Cameras of views."""

from __future__ import annotations

from typing import Any

from napari_cryoet.views.view import Camera, Zyx


def camera_at(
    point: Zyx = (0.0, 0.0, 0.0), field: tuple[float, float] = (900.0, 900.0), **more: Any
) -> Camera:
    """A camera whose middle is a point, with a height and width, all in ångström."""
    return Camera(point_zyx_angstrom=point, center_zyx_angstrom=point, field_angstrom=field, **more)
