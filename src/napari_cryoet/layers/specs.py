"""Layer specs: what napari layers of volumes, picks and meshes are made of.

World is ångström in z, y, x with its origin at the centre of voxel (0, 0, 0): ``world = index * spacing``. Where no
voxel spacing is known, layers are in voxels: their unit is ``"pixel"`` and their metadata has a warning.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.appearance.colors import RGBA, instance_colormap, instance_colors
from napari_cryoet.exceptions import FormatError, raise_if_stopped
from napari_cryoet.formats.mesh import ASSUMED_UNIT, ONLY_IN_3D, Mesh
from napari_cryoet.picks import NO_INSTANCE, Picks
from napari_cryoet.picks.orientations import Orientation, line_width, orientation_vectors
from napari_cryoet.volumes import AXES, Triple, Volume
from napari_cryoet.wording import joined, plain

LayerKind = Literal["image", "labels", "points", "vectors", "surface"]

#: As layers lie on each other. napari makes the last one the active one.
FROM_BOTTOM: Final[tuple[LayerKind, ...]] = ("image", "labels", "surface", "vectors", "points")
#: The key of ``layer.metadata`` under which every layer of ours keeps its provenance.
METADATA_KEY: Final = "napari_cryoet"
#: The key under which layers of points and arrows keep the `Picks` that they were made of.
PICKS_KEY: Final = "napari_cryoet_picks"
#: The column of a Points layer's features with the id of each row's pick; a new row has `NEW_PICK`.
PICK_ID: Final = "pick_id"
NEW_PICK: Final = -1
#: The widest voxel that is believed.
MAX_SPACING_ANGSTROM: Final = 1e6
#: How wide a voxel is taken to be where nothing says so, to give particles a size.
UNKNOWN_SPACING_ANGSTROM: Final = 10.0

_NO_SPACING: Final = "The file doesn't say how large its voxels are, so positions are in voxels, not in ångström."
_NO_MARKUP: Final = str.maketrans("<>", "‹›")  # napari's status bar takes names for HTML
_MASK_OPACITY: Final = 0.5
#: A tomogram of the portal has half of this; more labels would not fit into the memory of a usual computer.
_MAX_VOXELS_IN_MEMORY: Final = 2**30
_PLANES_AT_ONCE: Final = 16
_PERCENTILES: Final = (0.5, 99.5)
_MAX_SAMPLES: Final = 2**20
#: A disc is a ring over a faint fill, so that the particle below it can be judged.
_FILL_OPACITY: Final = 0.15
_RING_WIDTH: Final = 0.08
#: Points of an instance are a cloud that outlines it; each is drawn this many voxels wide.
_CLOUD_POINT_VOXELS: Final = 2.0
_BLANKS: Final = {PICK_ID: NEW_PICK, "instance_id": NO_INSTANCE}


class LayerSpec(NamedTuple):
    """A napari layer-data tuple, with names.

    Attributes
    ----------
    data
        image and labels: a list of dask arrays (z, y, x) of the stored shapes, finest first, or one dask array where
        there is only one level;
        points: float64 (n, 3), z, y, x in voxels of the file's own grid, so that ``data * scale`` is in ångström;
        vectors: float64 (n, 2, 3), start and direction, likewise;
        surface: vertices, float64 (n, 3), likewise; triangles, int64 (m, 3), and a value for each vertex.
    options
        Keyword arguments of napari's layer, among them ``scale`` (ångström a voxel), ``units``, ``axis_labels`` and
        ``metadata`` (provenance under `METADATA_KEY`).
    kind
        Which napari layer this makes.
    """

    data: Any
    options: dict[str, Any]
    kind: LayerKind

    @property
    def name(self) -> str:
        """The name of the layer to be."""
        return str(self.options["name"])


def world(
    about: dict[str, Any], spacing_angstrom: float | Triple | None, proportions: Triple = (1.0, 1.0, 1.0)
) -> dict[str, Any]:
    """The options that place a layer, and its metadata with provenance.

    Where the spacing (z, y, x where it differs) isn't known, voxels have the proportions that the file gives.
    """
    if spacing_angstrom is None:
        about, scale, unit = with_warnings(about, _NO_SPACING), proportions, "pixel"
    elif isinstance(spacing_angstrom, tuple):
        scale, unit = spacing_angstrom, "angstrom"
    else:
        scale, unit = (float(spacing_angstrom),) * 3, "angstrom"
    if not all(0 < width <= MAX_SPACING_ANGSTROM for width in scale):  # NaN compares false
        raise FormatError(f"A voxel can't be {scale[0]:g} Å wide.", hint="Give the voxel spacing in ångström yourself.")
    return {"scale": scale, "units": (unit,) * 3, "axis_labels": AXES, "metadata": {METADATA_KEY: about}}


def with_warnings(about: dict[str, Any], *warnings: str) -> dict[str, Any]:
    """Provenance with further warnings."""
    return about | {"warnings": [*about.get("warnings", ()), *warnings]} if warnings else about


def layer_name(*parts: str) -> str:
    """A name of parts that may be remote text, without markup."""
    return joined(*(plain(part).translate(_NO_MARKUP) for part in parts))


# volumes


def image_spec(volume: Volume, options: dict[str, Any], stop: threading.Event | None = None) -> LayerSpec:
    """An Image layer, with contrast limits from the planes that are seen first: no other voxel is read."""
    common = {"colormap": "gray", "rgb": False, "contrast_limits": _first_limits(volume, stop)}
    return volume_spec(volume.levels, common | options, "image")


def labels_spec(
    volume: Volume, options: dict[str, Any], color: RGBA | None, stop: threading.Event | None = None
) -> LayerSpec:
    """A Labels layer: one colour for all that isn't background, or without a colour one in turn for each instance."""
    colormap = instance_colormap() if color is None else {None: color, 0: (0.0, 0.0, 0.0, 0.0), 1: color}
    levels = volume.levels if volume.dtype.kind in "iu" else [_labels_in_memory(volume, stop)]
    return volume_spec(levels, options | {"colormap": colormap, "opacity": _MASK_OPACITY}, "labels")


def volume_spec(levels: list[Any], options: dict[str, Any], kind: LayerKind) -> LayerSpec:
    """The layer of a volume's levels; napari's Labels take no list of one."""
    is_multiscale = len(levels) > 1
    return LayerSpec(levels if is_multiscale else levels[0], options | {"multiscale": is_multiscale}, kind)


def _labels_in_memory(volume: Volume, stop: threading.Event | None) -> Any:
    """The finest level of a mask of float numbers or truth values as uint16, read at once.

    Some masks of the portal have only a float32 MRC file. Converting lazily would read it again for every plane.
    """
    from dask.array import from_array

    size_z, size_y, size_x = volume.shape_zyx
    if size_z * size_y * size_x > _MAX_VOXELS_IN_MEMORY:
        raise FormatError("This mask is kept as float numbers and too large for the memory.")
    labels = np.empty(volume.shape_zyx, np.uint16)
    for start in range(0, size_z, _PLANES_AT_ONCE):
        raise_if_stopped(stop)
        planes = slice(start, start + _PLANES_AT_ONCE)
        labels[planes] = _whole_numbers(volume.read_planes(planes, stop=stop))
    return from_array(labels, chunks=(_PLANES_AT_ONCE, size_y, size_x))  # type: ignore[no-untyped-call]


def _whole_numbers(values: NDArray[Any]) -> NDArray[np.uint16]:
    """Voxels as uint16; FormatError if that can't hold them."""
    if values.dtype.kind != "b":
        is_label = (values >= 0) & (values <= np.iinfo(np.uint16).max) & (values == np.rint(values))
        if not is_label.all():
            raise FormatError("This mask holds other values than whole numbers from 0 to 65535.")
    return values.astype(np.uint16)


def _first_limits(volume: Volume, stop: threading.Event | None) -> tuple[float, float]:
    """By the middle planes, or others where those hold nothing."""
    is_coarse = volume.pyramid is not None and volume.pyramid.stays_coarse
    level = len(volume.levels) - 1 if is_coarse else 0
    for at in (0.5, 0.25, 0.75):
        limits = robust_limits(volume.sample(level=level, at=at, stop=stop))
        if limits is not None:
            return limits
    return whole_range(volume.dtype)


def robust_limits(values: NDArray[Any]) -> tuple[float, float] | None:
    """Contrast limits that let background noise fill the greys; None where all values are the same.

    Exact zeros of float values don't count where there are others: reconstructions are padded with them. Give values of
    the level that is looked at: averaging shrinks the noise, so limits from a coarse level saturate a fine one.
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
    """Contrast limits where the values give none."""
    if dtype.kind not in "iu":
        return 0.0, 1.0
    info = np.iinfo(dtype)
    return float(info.min), float(info.max)


# picks


def points_spec(
    picks: Picks, common: dict[str, Any], *, name: str, color: RGBA, diameter_angstrom: float, spacing_angstrom: float
) -> LayerSpec:
    """The Points layer of picks: coordinates in their own voxels, scaled to ångström by ``common["scale"]``.

    In a slice a point shows as the disc that the plane cuts out of its sphere, if it lies within the slice's thickness.
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
        "projection_mode": "rescale_spherical",
    }
    return LayerSpec(np.array(picks.points_zyx), options, "points")


def arrows_spec(
    picks: Picks, common: dict[str, Any], *, name: str, color: RGBA, diameter_angstrom: float, spacing_angstrom: float
) -> LayerSpec | None:
    """The Vectors layer of picks: an arrow of the particle's diameter along its z axis, for each proper rotation.

    None where no pick has one. Its metadata hold the picks, as those of their Points layer do: a viewer lets arrows
    follow the points by that.
    """
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


def features_of(picks: Picks) -> dict[str, Any]:
    """What is known of each pick, and which one a row is."""
    return {name: np.array(column) for name, column in picks.table().items()} | {PICK_ID: np.array(picks.ids)}


def blank_features(features: Mapping[str, Any]) -> dict[str, Any]:
    """The features of a new pick, of which nothing is known yet; napari would give it those of the last one."""
    blanks: dict[str, Any] = {}
    for name in features:
        kind = np.asarray(features[name]).dtype.kind
        blanks[str(name)] = _BLANKS.get(str(name), np.nan if kind in "iufc" else False if kind == "b" else "")
    return blanks


# meshes


def surface_spec(
    mesh: Mesh, about: dict[str, Any], spacing_angstrom: float | None, *, name: str, color: RGBA
) -> LayerSpec:
    """The Surface layer of a mesh in ångström.

    Its vertices count in voxels, as picks do, so that the sliders don't step by single ångström.
    """
    spacing = 1.0 if spacing_angstrom is None else spacing_angstrom
    options = world(with_warnings(about, ASSUMED_UNIT, ONLY_IN_3D), spacing) | {
        "name": name,
        "colormap": mesh_colormap(color),
        "contrast_limits": (0.0, 1.0),
        "opacity": 0.7,
        "shading": "smooth",
    }
    values = np.ones(len(mesh.vertices_zyx), np.float32)
    return LayerSpec((mesh.vertices_zyx / spacing, mesh.faces, values), options, "surface")


def mesh_colormap(color: RGBA) -> dict[str, Any]:
    """What napari's Surface layer takes as the colormap of a mesh of one colour."""
    rgba = [float(part) for part in color]
    return {"colors": [rgba, rgba], "name": "mesh #" + "".join(f"{round(255 * part):02x}" for part in rgba)}
