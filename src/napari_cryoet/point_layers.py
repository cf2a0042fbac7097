"""Picks as layers: discs of the particle's size, and arrows along the particles' z axes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from napari_cryoet.appearance.colors import RGBA, instance_colors
from napari_cryoet.layer_spec import NEW_PICK, OWN_START, PICK_ID, PICKS_KEY, LayerSpec
from napari_cryoet.picks import NO_INSTANCE, Picks
from napari_cryoet.picks.orientations import Orientation, line_width, orientation_vectors

#: How wide a voxel is taken to be where nobody says so: positions are then in voxels, and sizes must be something.
UNKNOWN_SPACING_ANGSTROM: Final = 10.0
#: A disc is drawn as a ring over a faint fill, so that the particle below it can be judged.
_FILL_OPACITY: Final = 0.15
_RING_WIDTH: Final = 0.08
#: Points of an instance are a cloud that outlines it; each is drawn this many voxels wide.
_CLOUD_POINT_VOXELS: Final = 2.0
_BLANKS: Final = {PICK_ID: NEW_PICK, "instance_id": NO_INSTANCE}


def points_spec(
    picks: Picks, common: dict[str, Any], *, name: str, color: RGBA, diameter_angstrom: float, spacing_angstrom: float
) -> LayerSpec:
    """The Points layer of picks: coordinates in their own voxels, scaled to ångström by ``common["scale"]``.

    In a slice a point shows as the disc that the plane cuts out of its sphere, if it lies within the slice's thickness.
    """
    picks = _with_own_columns_spared(picks)
    size_voxels = _CLOUD_POINT_VOXELS if picks.is_cloud else diameter_angstrom / spacing_angstrom
    face: Any
    border: Any
    if picks.is_cloud and picks.instance_ids is not None:
        face = border = instance_colors(picks.instance_ids)
    else:
        border, face = list(color), [*color[:3], _FILL_OPACITY]
    options = common | {
        "name": name,
        "metadata": common.get("metadata", {}) | {PICKS_KEY: picks},
        "size": size_voxels,
        "features": (features := features_of(picks)),
        "feature_defaults": blank_features(features),
        "face_color": face,
        "border_color": border,
        "border_width": 0.0 if picks.is_cloud else _RING_WIDTH,
        "symbol": "disc",
        "ndim": 3,
        "projection_mode": "rescale_spherical",
    }
    return LayerSpec(np.array(picks.points_zyx), options, "points")


def arrows_spec(
    picks: Picks, common: dict[str, Any], *, name: str, color: RGBA, diameter_angstrom: float, spacing_angstrom: float
) -> LayerSpec | None:
    """The Vectors layer of picks: an arrow of the particle's diameter along its z axis, for each proper rotation.

    None where no pick has one. The layer's metadata hold the picks, as those of their Points layer do: a viewer lets
    arrows follow the points by that.
    """
    picks = _with_own_columns_spared(picks)
    length_voxels = diameter_angstrom / spacing_angstrom
    arrows = orientation_vectors(picks, Orientation.ARROWS, length_voxels)
    if not len(arrows):
        return None
    options = common | {
        "name": name,
        "metadata": common.get("metadata", {}) | {PICKS_KEY: picks},
        "features": {column: values[arrows.rows] for column, values in features_of(picks).items()},
        "edge_color": list(color),
        "edge_width": line_width(Orientation.ARROWS, length_voxels),
        "vector_style": "arrow",
        "ndim": 3,
        "projection_mode": "fade",
    }
    return LayerSpec(arrows.data, options, "vectors")


def _with_own_columns_spared(picks: Picks) -> Picks:
    """Picks without columns of somebody else's that are called as what a layer's features say of all picks."""
    taken = {PICK_ID, "instance_id"} | ({"score"} if picks.scores is not None else set())
    if not taken & picks.features.keys():
        return picks
    features: dict[str, Any] = {name: values for name, values in picks.features.items() if name not in taken}
    for column in [name for name in picks.features if name in taken]:
        name = OWN_START + column
        while name in features:
            name = OWN_START + name
        features[name] = picks.features[column]
    return picks.changed(features=features)


def blank_features(features: Mapping[str, Any]) -> dict[str, Any]:
    """One row for a new pick, of which nothing is known yet; napari would give it the values of the last one.

    Parameters
    ----------
    features
        A layer's features, by column.
    """
    blanks: dict[str, Any] = {}
    for name in features:
        kind = np.asarray(features[name]).dtype.kind
        blanks[str(name)] = _BLANKS.get(str(name), np.nan if kind in "iufc" else False if kind == "b" else "")
    return blanks


def features_of(picks: Picks) -> dict[str, Any]:
    """What is known of each pick, and which one a row is."""
    return {name: np.array(column) for name, column in picks.table().items()} | {PICK_ID: np.array(picks.ids)}
