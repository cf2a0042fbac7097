"""Points of a file as layers: discs of the particle's size, and arrows along the particles' z axes."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from napari_cryoet.colors import RGBA, instance_colors
from napari_cryoet.formats.ndjson import INSTANCE_POINT, NO_INSTANCE, Points
from napari_cryoet.layer_spec import LayerSpec

#: A disc is drawn as a ring over a faint fill, so that the particle below it can be judged.
_FILL_OPACITY: Final = 0.15
_RING_WIDTH: Final = 0.08
#: Points of an instance are a cloud that outlines it; each is drawn this many voxels wide.
_CLOUD_POINT_VOXELS: Final = 2.0


def points_spec(
    points: Points, common: dict[str, Any], *, name: str, color: RGBA, diameter_angstrom: float, spacing_angstrom: float
) -> LayerSpec:
    """The Points layer of a file: coordinates in the file's own voxels, scaled to ångström by ``common["scale"]``.

    In a slice a point shows as the disc that the plane cuts out of its sphere, if it lies within the slice's thickness.
    """
    is_cloud = bool(points.kinds) and all(kind == INSTANCE_POINT for kind in points.kinds)
    size_voxels = _CLOUD_POINT_VOXELS if is_cloud else diameter_angstrom / spacing_angstrom
    face: Any
    border: Any
    if is_cloud and points.instance_ids is not None:
        face = border = instance_colors(points.instance_ids)
    else:
        border, face = list(color), [*color[:3], _FILL_OPACITY]
    options = common | {
        "name": name,
        "size": size_voxels,
        "features": features_of(points),
        "face_color": face,
        "border_color": border,
        "border_width": 0.0 if is_cloud else _RING_WIDTH,
        "symbol": "disc",
        "ndim": 3,
        "projection_mode": "rescale_spherical",
    }
    return LayerSpec(points.points_zyx, options, "points")


def arrows_spec(
    points: Points, common: dict[str, Any], *, name: str, color: RGBA, diameter_angstrom: float, spacing_angstrom: float
) -> LayerSpec | None:
    """The Vectors layer of a file: an arrow of the particle's diameter along its z axis, for each proper rotation.

    None where no point of the file has one.
    """
    axes_zyx = points.particle_z_axes_zyx
    is_drawn = points.are_rotations
    if axes_zyx is None or not is_drawn.any():
        return None
    length_voxels = diameter_angstrom / spacing_angstrom
    options = common | {
        "name": name,
        "features": {column: values[is_drawn] for column, values in features_of(points).items()},
        "edge_color": list(color),
        "edge_width": length_voxels / 12,
        "vector_style": "arrow",
        "ndim": 3,
        "projection_mode": "fade",
    }
    data = np.stack([points.points_zyx[is_drawn], axes_zyx[is_drawn] * length_voxels], axis=1)
    return LayerSpec(data, options, "vectors")


def features_of(points: Points) -> dict[str, Any]:
    """One column a property: the instance, where there is one, and whatever else the file has for its points."""
    columns: dict[str, Any] = {}
    if points.instance_ids is not None:
        columns["instance_id"] = points.instance_ids
        if (points.instance_ids == NO_INSTANCE).all():
            del columns["instance_id"]
    return columns | {name: column for name, column in points.features.items() if name not in columns}
