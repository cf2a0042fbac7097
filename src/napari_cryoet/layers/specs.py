"""Layer specs: data and options of napari layers for volumes, picks and meshes.

World coordinates are ångström in z, y, x, with the origin at the centre of voxel (0, 0, 0): ``world
= index * spacing``. Without a known voxel spacing, layers are in voxels: their unit is ``"pixel"``
and their metadata has a warning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.appearance.colors import RGBA, instance_colormap, instance_colors
from napari_cryoet.exceptions import FormatError
from napari_cryoet.formats.mesh import ASSUMED_UNIT, ONLY_IN_3D, Mesh
from napari_cryoet.formats.mrc import Triple
from napari_cryoet.picks import NO_INSTANCE, Picks
from napari_cryoet.picks.orientations import Orientation, line_width, orientation_vectors
from napari_cryoet.provenance import Provenance
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.volumes import AXES, Mask, Volume
from napari_cryoet.wording import joined

LayerKind = Literal["image", "labels", "points", "vectors", "surface"]

#: Stacking order of layers. napari activates the last one.
FROM_BOTTOM: Final[tuple[LayerKind, ...]] = ("image", "labels", "surface", "vectors", "points")
#: The key in ``layer.metadata`` for the provenance of our layers.
METADATA_KEY: Final = "napari_cryoet"
#: The key in ``layer.metadata`` for the `Picks` of points and arrows.
PICKS_KEY: Final = "napari_cryoet_picks"
#: The key in ``layer.metadata`` for the contrast limits that an image was opened with.
OPENING_CONTRAST: Final = "napari_cryoet_opening_contrast"
#: The feature of a Points layer with the ids of picks; new rows have `NEW_PICK`.
PICK_ID: Final = "pick_id"
NEW_PICK: Final = -1
#: Maximum plausible voxel size.
MAX_SPACING_ANGSTROM: Final = 1e6
#: Assumed voxel size if unknown, to draw particles with a plausible size.
UNKNOWN_SPACING_ANGSTROM: Final = 10.0

_NO_SPACING: Final = "The file has no voxel spacing, so positions are in voxels, not in ångström."
_MASK_OPACITY: Final = 0.5
#: Twice the size of a large portal tomogram; more labels wouldn't fit into memory.
_MAX_VOXELS_IN_MEMORY: Final = 2**30
_PLANES_AT_ONCE: Final = 16
_PERCENTILES: Final = (0.5, 99.5)
_MAX_SAMPLES: Final = 2**20
#: Discs are rings with a faint fill, so that the particle stays visible.
_FILL_OPACITY: Final = 0.15
_RING_WIDTH: Final = 0.08
#: Blending in front of a tomogram's plane in 3D, which would cut circles and hide what lies behind.
_IN_FRONT: Final = "translucent_no_depth"
#: Size of points that outline an instance.
_CLOUD_POINT_VOXELS: Final = 2.0
_BLANKS: Final = {PICK_ID: NEW_PICK, "instance_id": NO_INSTANCE}


class LayerSpec(NamedTuple):
    """A napari layer-data tuple, with names.

    Attributes
    ----------
    data
        image and labels: a list of dask arrays (z, y, x) with the stored shapes, finest first;
        points: float64 (n, 3), z, y, x in voxels of the file's grid, so that ``data * scale`` is in ångström;
        vectors: float64 (n, 2, 3), start and direction, in the same voxels;
        surface: vertices, float64 (n, 3), in the same voxels; triangles, int64 (m, 3); and a value for each vertex.
    options
        Keyword arguments of napari's layer, including ``scale`` (ångström per voxel), ``units``, ``axis_labels`` and
        ``metadata`` (provenance under `METADATA_KEY`).
    kind
        The type of the layer.
    """

    data: Any
    options: dict[str, Any]
    kind: LayerKind

    @property
    def name(self) -> str:
        """The name of the layer."""
        return str(self.options["name"])


def world(
    about: Provenance,
    spacing_angstrom: float | Triple | None,
    proportions: Triple = (1.0, 1.0, 1.0),
) -> dict[str, Any]:
    """Create the options for a layer's placement, and its metadata with provenance.

    Give an anisotropic spacing as z, y, x. If the spacing is unknown, voxels have the file's
    proportions.
    """
    if spacing_angstrom is None:
        about = about.with_warnings(_NO_SPACING)
        scale, unit = proportions, "pixel"
    elif isinstance(spacing_angstrom, tuple):
        scale, unit = spacing_angstrom, "angstrom"
    else:
        scale, unit = (float(spacing_angstrom),) * 3, "angstrom"
    if not all(0 < width <= MAX_SPACING_ANGSTROM for width in scale):  # NaN compares false
        raise FormatError(
            f"A voxel can't be {scale[0]:g} Å wide.",
            hint="Give the voxel spacing in ångström yourself.",
        )
    return {
        "scale": scale,
        "units": (unit,) * 3,
        "axis_labels": AXES,
        "metadata": {METADATA_KEY: about},
    }


def arrows_name(points_name: str) -> str:
    """The name of the layer of arrows that belongs to a Points layer."""
    return joined(points_name, "orientation")


# volumes


def image_spec(volume: Volume, options: dict[str, Any], task: Task = UNWATCHED) -> LayerSpec:
    """Create an Image layer, which shows one plane in 3D: a volume of noise hides what is in it.

    Only the planes that are displayed first are read, for contrast limits.
    """
    limits = _first_limits(volume, task)
    looks = {
        "colormap": "gray",
        "rgb": False,
        "contrast_limits": limits,
        "depiction": "plane",
        "plane": {"position": [size // 2 for size in volume.shape_zyx]},
    }
    metadata = options["metadata"] | {OPENING_CONTRAST: limits}
    return volume_spec(volume.levels, looks | options | {"metadata": metadata}, "image")


def labels_spec(
    volume: Volume, options: dict[str, Any], color: RGBA | None, task: Task = UNWATCHED
) -> LayerSpec:
    """Create a Labels layer with one colour, or with cycling colours for instances if ``color`` is None."""
    colormap = (
        instance_colormap() if color is None else {None: color, 0: (0.0, 0.0, 0.0, 0.0), 1: color}
    )
    levels = volume.levels if volume.dtype.kind in "iu" else [_labels_in_memory(volume, task)]
    return volume_spec(levels, options | {"colormap": colormap, "opacity": _MASK_OPACITY}, "labels")


def volume_spec(levels: list[Any], options: dict[str, Any], kind: LayerKind) -> LayerSpec:
    """Create a layer from a volume's levels; napari takes a list of one for a single array."""
    several = {"multiscale": True} if len(levels) > 1 else {}
    return LayerSpec(levels, options | several, kind)


def _labels_in_memory(volume: Volume, task: Task) -> Any:
    """Read the finest level of a float or boolean mask as uint16.

    Some of the portal's masks exist only as float32 MRC. Lazy conversion would reread the file for
    every plane.
    """
    from dask.array import from_array

    size_z, size_y, size_x = volume.shape_zyx
    if size_z * size_y * size_x > _MAX_VOXELS_IN_MEMORY:
        raise FormatError("This mask has float values and is too large for memory.")
    labels = np.empty(volume.shape_zyx, np.uint16)
    for start, slab in Mask(volume.levels[0]).slabs(task):
        if slab.max(initial=0) > np.iinfo(np.uint16).max:
            raise FormatError("The values of this mask must be whole numbers from 0 to 65535.")
        labels[start : start + len(slab)] = slab
    return from_array(labels, chunks=(_PLANES_AT_ONCE, size_y, size_x))  # type: ignore[no-untyped-call]


def _first_limits(volume: Volume, task: Task) -> tuple[float, float]:
    """Contrast limits from the central planes, or from others if those are uniform."""
    is_coarse = volume.pyramid is not None and volume.pyramid.stays_coarse
    level = volume.whole_levels[-1 if is_coarse else 0]
    for at in (0.5, 0.25, 0.75):
        limits = robust_limits(volume.read_middle(level=level, at=at, task=task))
        if limits is not None:
            return limits
    return whole_range(volume.dtype)


def robust_limits(values: NDArray[Any]) -> tuple[float, float] | None:
    """Contrast limits at which background noise fills the grey scale; None if all values are equal.

    Exact zeros in float data are ignored if there are other values: reconstructions are padded with
    them. Pass values of the displayed level: averaging reduces noise, so limits from a coarse level
    saturate a fine one.
    """
    flat = values.ravel()
    flat = flat[:: max(1, flat.size // _MAX_SAMPLES)].astype(np.float64)
    flat = flat[np.isfinite(flat)]
    if values.dtype.kind == "f" and np.any(flat):
        flat = flat[flat != 0]
    if flat.size == 0:
        return None
    low, high = (float(limit) for limit in np.percentile(flat, _PERCENTILES))
    if low == high:
        low, high = float(flat.min()), float(flat.max())
    return (low, high) if low < high else None


def whole_range(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Default contrast limits of a data type."""
    if dtype.kind not in "iu":
        return 0.0, 1.0
    info = np.iinfo(dtype)
    return float(info.min), float(info.max)


# picks


def picks_specs(picks: Picks, common: dict[str, Any], **looks: Any) -> list[LayerSpec]:
    """Create the Points layer of picks, and that of their arrows if they have rotations.

    ``looks`` are the arguments of `points_spec`.
    """
    arrows = arrows_spec(picks, common, **looks)
    points = points_spec(picks, common, **looks)
    return [points] if arrows is None else [points, arrows]


def points_spec(
    picks: Picks,
    common: dict[str, Any],
    *,
    name: str,
    color: RGBA,
    diameter_angstrom: float,
    spacing_angstrom: float,
) -> LayerSpec:
    """Create the Points layer of picks, in voxels of their grid, scaled to ångström by ``common["scale"]``.

    In a slice, a point appears as the cross-section of its sphere, if it is within the slice's
    thickness.
    """
    face: Any
    border: Any
    if picks.is_cloud and picks.instance_ids is not None:
        face = border = instance_colors(picks.instance_ids)
    else:
        border, face = list(color), [*color[:3], _FILL_OPACITY]
    features = features_of(picks)
    options = common | {
        "name": name,
        "metadata": common.get("metadata", {}) | {PICKS_KEY: picks},
        "size": _CLOUD_POINT_VOXELS if picks.is_cloud else diameter_angstrom / spacing_angstrom,
        "features": features,
        "feature_defaults": blank_features(features),
        "face_color": face,
        "border_color": border,
        "border_width": 0.0 if picks.is_cloud else _RING_WIDTH,
        "symbol": "disc",
        "ndim": 3,
        "blending": _IN_FRONT,
        "projection_mode": "rescale_spherical",
    }
    return LayerSpec(np.array(picks.points_zyx), options, "points")


def arrows_spec(
    picks: Picks,
    common: dict[str, Any],
    *,
    name: str,
    color: RGBA,
    diameter_angstrom: float,
    spacing_angstrom: float,
) -> LayerSpec | None:
    """Create the Vectors layer of picks: an arrow of the particle's diameter along its z axis for each proper rotation.

    ``name`` is that of the Points layer. None if no pick has a rotation. Like the Points layer, its
    metadata has the picks, so that arrows can follow the points.
    """
    length_voxels = diameter_angstrom / spacing_angstrom
    arrows = orientation_vectors(picks, Orientation.ARROWS, length_voxels)
    if not len(arrows):
        return None
    options = common | {
        "name": arrows_name(name),
        "metadata": common.get("metadata", {}) | {PICKS_KEY: picks},
        "features": {column: values[arrows.rows] for column, values in features_of(picks).items()},
        "edge_color": list(color),
        "edge_width": line_width(Orientation.ARROWS, length_voxels),
        "vector_style": "arrow",
        "ndim": 3,
        "blending": _IN_FRONT,
        "projection_mode": "fade",
    }
    return LayerSpec(arrows.data, options, "vectors")


def features_of(picks: Picks) -> dict[str, Any]:
    """Features of a layer: all columns of the picks, and their ids."""
    return {name: np.array(column) for name, column in picks.table().items()} | {
        PICK_ID: np.array(picks.ids)
    }


def blank_features(features: Mapping[str, Any]) -> dict[str, Any]:
    """Missing values for the features of a new pick.

    By default napari copies those of the last one.
    """
    blanks: dict[str, Any] = {}
    for name in features:
        kind = np.asarray(features[name]).dtype.kind
        blanks[str(name)] = _BLANKS.get(
            str(name), np.nan if kind in "iufc" else False if kind == "b" else ""
        )
    return blanks


# meshes


def surface_spec(
    mesh: Mesh, about: Provenance, spacing_angstrom: float | None, *, name: str, color: RGBA
) -> LayerSpec:
    """Create the Surface layer of a mesh in ångström.

    Vertices are converted to voxels, like picks, so that sliders don't step by single ångström.
    """
    spacing = 1.0 if spacing_angstrom is None else spacing_angstrom
    options = world(about.with_warnings(ASSUMED_UNIT, ONLY_IN_3D), spacing) | {
        "name": name,
        "colormap": mesh_colormap(color),
        "contrast_limits": (0.0, 1.0),
        "opacity": 0.7,
        "shading": "smooth",
    }
    values = np.ones(len(mesh.vertices_zyx), np.float32)
    return LayerSpec((mesh.vertices_zyx / spacing, mesh.faces, values), options, "surface")


def mesh_colormap(color: RGBA) -> dict[str, Any]:
    """A single-colour colormap for napari's Surface layer."""
    rgba = [float(part) for part in color]
    return {
        "colors": [rgba, rgba],
        "name": "mesh #" + "".join(f"{round(255 * part):02x}" for part in rgba),
    }
