"""Of what layers of volumes are made: an image or labels of a volume, and where it lies in the world."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from napari_cryoet.appearance.colors import RGBA, instance_colormap
from napari_cryoet.contrast import robust_limits
from napari_cryoet.exceptions import FormatError, raise_if_stopped
from napari_cryoet.files import without_login
from napari_cryoet.formats.common import MAX_FILE_BYTES, spacing_in_layout
from napari_cryoet.formats.masks import whole_numbers
from napari_cryoet.formats.mesh import Mesh
from napari_cryoet.formats.notes import ORIGIN_KEY, of_bare_file
from napari_cryoet.layer_spec import METADATA_KEY, LayerSpec
from napari_cryoet.volumes import AXES, Volume, open_volume

T = TypeVar("T")

MAX_SPACING_ANGSTROM: Final = 1e6
MASK_OPACITY: Final = 0.5
#: A tomogram of the portal has half of this; more labels would not fit into the memory of a usual computer.
_MAX_VOXELS_IN_MEMORY: Final = 2**30
_PLANES_AT_ONCE: Final = 16
_NO_SPACING: Final = "The file doesn't say how large its voxels are, so positions are in voxels, not in ångström."


def labels_spec(
    volume: Volume, common: dict[str, Any], name: str, color: RGBA | None, stop: threading.Event | None
) -> LayerSpec:
    """A Labels layer: one colour for all that isn't background, or without a colour one in turn for each instance."""
    levels = list(volume.levels) if volume.dtype.kind in "iu" else [labels_in_memory(volume, stop=stop)]
    options = common | {
        "name": name,
        "multiscale": len(levels) > 1,
        "colormap": instance_colormap() if color is None else {None: color, 0: (0.0, 0.0, 0.0, 0.0), 1: color},
        "opacity": MASK_OPACITY,
    }
    return LayerSpec(_levels(levels), options, "labels")


def _levels(levels: list[Any]) -> Any:
    """The levels, or the array itself where there is only one: napari's Labels take no list of one."""
    return levels if len(levels) > 1 else levels[0]


def image_spec(volume: Volume, stop: threading.Event | None, **options: Any) -> LayerSpec:
    """An Image layer with contrast limits from the planes that are seen first."""
    limits = _limits(volume, stop)
    # not for napari to guess: it takes an axis of 3 or 4 voxels, to which a thin volume is padded, for colours
    options |= {"multiscale": len(volume.levels) > 1, "colormap": "gray", "rgb": False}
    return LayerSpec(_levels(volume.levels), options | ({} if limits is None else {"contrast_limits": limits}), "image")


def _limits(volume: Volume, stop: threading.Event | None) -> tuple[float, float] | None:
    """By the middle planes, or others where those hold nothing."""
    level = len(volume.levels) - 1 if _stays_coarse(volume) else 0
    for at in (0.5, 0.25, 0.75):
        limits = robust_limits(volume.sample(stop=stop, at=at, level=level))
        if limits is not None:
            return limits
    return None if volume.dtype.kind in "ui" else (0.0, 1.0)


def _stays_coarse(volume: Volume) -> bool:
    """Whether the finest planes aren't what is seen first."""
    return volume.pyramid is not None and volume.pyramid.stays_coarse


@contextmanager
def opened_volume(url: str, stop: threading.Event | None) -> Iterator[Volume]:
    """A volume for a layer to keep; if no layer comes of it, whatever is still being fetched of it ends."""
    raise_if_stopped(stop)
    volume = open_volume(url, stop=stop)
    try:
        yield volume
    except BaseException:
        volume.close()
        raise


def fetch_parsed(
    url: str, parse: Callable[[bytes], T], stop: threading.Event | None, max_bytes: int = MAX_FILE_BYTES
) -> T:
    """What is made of a whole file of at most ``max_bytes``."""
    from napari_cryoet.streaming.sources import read_file

    piece = read_file(url, limit_bytes=max_bytes, stop=stop)
    if piece is None:
        hint = "The portal lists it, but the server doesn't have it."
        raise FormatError(f"There is no file at {without_login(url)}.", hint=hint)
    return parse(piece.content)


def in_angstrom(spacing: float | Iterable[float]) -> dict[str, Any]:
    """Scale, units and axes for a voxel spacing.

    Raises
    ------
    FormatError
        If no voxel can be that wide.
    """
    scale = (float(spacing),) * 3 if isinstance(spacing, (int, float)) else tuple(spacing)
    if not all(0 < each <= MAX_SPACING_ANGSTROM for each in scale):  # what isn't a number compares false
        raise FormatError(f"A voxel can't be {scale[0]:g} Å wide.", hint="Give the voxel spacing in ångström yourself.")
    return {"scale": scale, "units": ("angstrom",) * 3, "axis_labels": AXES}


def with_spacing(about: dict[str, Any], spacing: float | tuple[float, float, float] | None) -> dict[str, Any]:
    """Scale, units and metadata for a known spacing, or for none."""
    if spacing is not None:
        return in_angstrom(spacing) | {"metadata": {METADATA_KEY: about}}
    about = about | {"warnings": [*about.get("warnings", ()), _NO_SPACING]}
    return {
        "scale": (1.0, 1.0, 1.0),
        "units": ("pixel",) * 3,
        "axis_labels": AXES,
        "metadata": {METADATA_KEY: about},
    }


def in_world_of_file(volume: Volume, source: str | Path, given: float | None) -> dict[str, Any]:
    """Scale, units and metadata of a bare file: by the spacing that is given, else by its folder, else its own."""
    known = given if given is not None else spacing_in_layout(source)
    spacing = volume.spacing_angstrom if known is None else (known,) * 3
    return with_spacing(with_origin(of_bare_file("volume", str(source), spacing), volume), spacing)


def with_origin(about: dict[str, Any], volume: Volume) -> dict[str, Any]:
    """Where a volume's file says that its first voxel lies, for whoever writes a mask of it, and the remark on it."""
    if volume.origin_angstrom is not None:
        about = about | {ORIGIN_KEY: list(volume.origin_angstrom)}
    if volume.remarks:
        about = about | {"warnings": [*about.get("warnings", ()), *volume.remarks]}
    return about


def labels_in_memory(volume: Volume, *, stop: threading.Event | None = None) -> Any:
    """The finest level of a mask of float numbers or truth values as uint16, read at once.

    Some masks of the portal have only a float32 MRC file. Converting lazily would read it again for every plane.

    Raises
    ------
    FormatError
        If its values aren't whole numbers from 0 to 65535, or there are too many.
    StoppedError
        When ``stop`` is set.
    """
    from dask.array import from_array

    size_z, size_y, size_x = volume.shape_zyx
    if size_z * size_y * size_x > _MAX_VOXELS_IN_MEMORY:
        raise FormatError("This mask is kept as float numbers and too large for the memory; its OME-Zarr can be shown.")
    labels = np.empty(volume.shape_zyx, np.uint16)
    for start in range(0, size_z, _PLANES_AT_ONCE):
        raise_if_stopped(stop)
        planes = slice(start, min(start + _PLANES_AT_ONCE, size_z))
        labels[planes] = whole_numbers(volume.read_planes(planes, stop=stop))
    return from_array(labels, chunks=(_PLANES_AT_ONCE, size_y, size_x))  # type: ignore[no-untyped-call]


def surface_spec(
    mesh: Mesh, common: dict[str, Any], *, name: str, color: RGBA, spacing_angstrom: float | None
) -> LayerSpec:
    """The Surface layer of a mesh: vertices in voxels of ``common["scale"]``, so that ``data * scale`` is in ångström.

    In voxels, as picks are, so that the sliders don't step by single ångström.
    """
    options = common | {
        "name": name,
        "colormap": mesh_colormap(color),
        "contrast_limits": (0.0, 1.0),
        "opacity": 0.7,
        "shading": "smooth",
    }
    values = np.ones(len(mesh.vertices_zyx), np.float32)
    return LayerSpec((mesh.vertices_zyx / (spacing_angstrom or 1.0), mesh.faces, values), options, "surface")


def mesh_colormap(color: tuple[float, float, float, float]) -> dict[str, Any]:
    """What napari's Surface layer takes as the colormap of a mesh of one colour."""
    rgba = [float(part) for part in color]
    return {"colors": [rgba, rgba], "name": "mesh #" + "".join(f"{round(255 * part):02x}" for part in rgba)}
