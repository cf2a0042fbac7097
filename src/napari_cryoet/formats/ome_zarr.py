"""OME-Zarr: the metadata of one image (0.1 to 0.5), and writing pyramids as the portal has them (0.4), or in 0.5.

Versions to 0.4 keep the metadata in the group's attributes, 0.5 in their ``ome`` part; see
https://ngff.openmicroscopy.org.

The portal's pyramids have the levels ``0``, ``1``, ``2``; chunks of 256 x 256 x 256, full size also where the array
ends; ``/`` between chunk indices; Blosc with lz4, level 5, byte shuffle; no ``.zmetadata``; a scale in ångström and no
translation. Tilt series have chunks of 1 x 1024 x 1024, and all their images at every level.
"""

from __future__ import annotations

import itertools
import math
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError, raise_if_stopped

#: Where a coarse voxel is: amid the voxels it was averaged from, or on the one it was picked from.
CoarseOffset = Literal["mean", "strided"]

Kind = Literal["tomogram", "mask", "instances", "tiltseries"]
Version = Literal["0.4", "0.5"]

_LEVELS_WRITTEN: Final = 3
_MAX_LEVELS: Final = 32
_MAX_CHANNELS: Final = 4096
#: Products and ratios of what is beyond may be no numbers any more.
_LARGEST, _SMALLEST = 1e50, 1e-50


class Axis(msgspec.Struct, frozen=True):
    """One axis of the arrays, in their order."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    unit: str | None = None


_OLD_AXES: Final = tuple(map(Axis, "tczyx"))


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution: its array, relative to the image, and its place along each axis; None where nothing is said."""

    path: str
    scale: tuple[float, ...] | None = None  # the voxel size, in the unit of the axis
    translation: tuple[float, ...] | None = None  # the position of the first voxel


@dataclass(frozen=True, slots=True)
class Multiscale:
    """An image: its axes and its levels, finest first."""

    axes: tuple[Axis, ...]
    levels: tuple[Level, ...]
    is_labels: bool  # as far as the file says it
    coarse_offset: CoarseOffset | None


@dataclass(frozen=True, slots=True)
class Channel:
    """How a channel is to be shown; empty or None where the file doesn't say."""

    name: str = ""
    color: str = ""  # as #rrggbb
    window: tuple[float, float] | None = None  # the values that are drawn darkest and brightest
    is_visible: bool = True


_Number = Annotated[float, msgspec.Meta(ge=-_LARGEST, le=_LARGEST)]


class _Transformation(msgspec.Struct):
    type: str = ""
    scale: tuple[Annotated[float, msgspec.Meta(ge=_SMALLEST, le=_LARGEST)], ...] | None = None
    translation: tuple[_Number, ...] | None = None


class _Dataset(msgspec.Struct, rename="camel"):
    path: str
    coordinate_transformations: list[_Transformation] | None = None


class _Image(msgspec.Struct, rename="camel"):
    datasets: Annotated[list[_Dataset], msgspec.Meta(min_length=1, max_length=_MAX_LEVELS)]
    axes: list[str | Axis] | None = None
    coordinate_transformations: list[_Transformation] | None = None
    type: Any = None
    metadata: Any = None


def find_multiscales(attributes: dict[str, Any]) -> list[Any]:
    """The ``multiscales`` of a group's attributes, in any version; empty if there are none."""
    ome = attributes.get("ome")
    multiscales = (ome if isinstance(ome, dict) else attributes).get("multiscales")
    return multiscales if isinstance(multiscales, list) else []


def parse_multiscale(attributes: dict[str, Any], where: str) -> Multiscale:
    """Read the first image of a group's attributes; ``where`` is what to call the group in messages."""
    multiscales = find_multiscales(attributes)
    if not multiscales or not isinstance(multiscales[0], dict):
        raise FormatError(f"{where} holds no OME-Zarr image: there are no multiscales in its attributes.")
    try:
        image = msgspec.convert(multiscales[0], _Image)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where}: multiscales[0] can't be used ({error}).") from error
    axes = tuple(Axis(axis) if isinstance(axis, str) else axis for axis in image.axes or ())
    common = _scale_and_translation(image.coordinate_transformations)
    levels = tuple(_level(dataset, common, len(axes), where) for dataset in image.datasets)
    ome = attributes.get("ome")
    # some writers leave image-label in the nested places
    is_labels = any(
        isinstance(place, dict) and "image-label" in place
        for place in (attributes, ome, multiscales[0], image.metadata)
    )
    offset = _coarse_offset(str(image.type or ""), levels) or ("strided" if is_labels else None)
    return Multiscale(axes, levels, is_labels, offset)


def with_old_axes(multiscale: Multiscale, n_axes: int) -> Multiscale:
    """An image with names for its axes: those of versions 0.1 and 0.2 have none and are always the same five."""
    is_old = not multiscale.axes and multiscale.levels[0].scale is None and n_axes == len(_OLD_AXES)
    return replace(multiscale, axes=_OLD_AXES) if is_old else multiscale


def as_labels(multiscale: Multiscale) -> Multiscale:
    """An image whose values are labels; its coarse voxels were picked, unless it says otherwise."""
    return replace(multiscale, is_labels=True, coarse_offset=multiscale.coarse_offset or "strided")


def is_safe_path(path: str) -> bool:
    """Whether a relative path stays below where it starts."""
    is_relative = not path.startswith("/") and "\\" not in path and ":" not in path
    return is_relative and path.isprintable() and not {"", ".", ".."} & set(path.strip("/").split("/"))


def parse_channels(attributes: dict[str, Any]) -> tuple[Channel, ...]:
    """The channels of a group's ``omero`` attributes, in their order; anything odd counts as not said."""
    ome = attributes.get("ome")
    omero = (ome if isinstance(ome, dict) else attributes).get("omero")
    channels = omero.get("channels") if isinstance(omero, dict) else None
    return tuple(map(_channel, channels[:_MAX_CHANNELS])) if isinstance(channels, list) else ()


def _level(dataset: _Dataset, common: tuple[Any, Any], n_axes: int, where: str) -> Level:
    """A level, with what holds for all levels applied after what holds for it alone."""
    if not is_safe_path(dataset.path):
        raise FormatError(
            f"{where}: a path of its datasets, {dataset.path!r}, isn't the name of an array in this image."
        )
    scale, translation = _scale_and_translation(dataset.coordinate_transformations)
    for values in (scale, translation, *common):
        if values is not None and n_axes and len(values) != n_axes:
            raise FormatError(f"{where}: level {dataset.path!r} has {len(values)} numbers for {n_axes} axes.")
    common_scale, common_translation = common
    if common_scale is not None:
        scale = tuple(a * b for a, b in zip(scale or (1.0,) * len(common_scale), common_scale, strict=False))
        if translation is not None:
            translation = tuple(a * b for a, b in zip(translation, common_scale, strict=False))
    if common_translation is not None:
        start = translation or (0.0,) * len(common_translation)
        translation = tuple(a + b for a, b in zip(start, common_translation, strict=False))
    return Level(dataset.path.strip("/"), scale, translation)


def _scale_and_translation(transformations: list[_Transformation] | None) -> tuple[Any, Any]:
    scale = translation = None
    for each in transformations or ():
        scale = each.scale if each.type == "scale" else scale
        translation = each.translation if each.type == "translation" else translation
    return scale, translation


def _coarse_offset(method: str, levels: tuple[Level, ...]) -> CoarseOffset | None:
    """Where coarse voxels are, by the translations of the levels, or by the method's name."""
    first, last = levels[0], levels[-1]
    if first.scale and last.scale and first.translation and last.translation and last.scale != first.scale:
        shifts = [b - a for a, b in zip(first.translation, last.translation, strict=False)]
        means = [(b - a) / 2 for a, b in zip(first.scale, last.scale, strict=False)]
        return "mean" if sum(map(abs, shifts)) > sum(means) / 2 else "strided"
    if re.search("nearest|stride", method, re.IGNORECASE):
        return "strided"
    return "mean" if re.search("mean|gauss", method, re.IGNORECASE) else None


def _channel(entry: Any) -> Channel:
    if not isinstance(entry, dict):
        return Channel()
    label, color, window = entry.get("label"), entry.get("color"), entry.get("window")
    limits: list[Any] = [window.get("start"), window.get("end")] if isinstance(window, dict) else []
    are_limits = limits and all(type(limit) in {int, float} and math.isfinite(limit) for limit in limits)
    return Channel(
        name=label if isinstance(label, str) else "",
        color=f"#{color.lower()}" if isinstance(color, str) and re.fullmatch("[0-9A-Fa-f]{6}", color) else "",
        window=(float(limits[0]), float(limits[1])) if are_limits and limits[0] < limits[1] else None,
        is_visible=entry.get("active") is not False,
    )


# writing


class VoxelSource(Protocol):
    """Anything that gives boxes of voxels in z, y, x: a NumPy, dask or zarr array, or a lazy tiling."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along z, y, x."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels."""

    def __getitem__(self, region: tuple[slice, slice, slice], /) -> Any: ...


def write_pyramid(
    path: Path | str,
    volume_zyx: VoxelSource,
    spacing_angstrom: float,
    kind: Kind = "tomogram",
    *,
    version: Version = "0.4",
    is_labels: bool = False,
    attributes: Mapping[str, Any] | None = None,
    stop: threading.Event | None = None,
) -> int:
    """Write a volume as an OME-Zarr pyramid to a folder that doesn't exist, and give its size in bytes.

    The portal has float32 for tomograms and tilt series, int8 for masks, uint16 for instances. A slab of planes is read
    at a time; the coarser levels are kept in memory. They are the mean of 2 x 2 x 2 voxels of a tomogram (zero beyond
    its end), or of 1 x 2 x 2 pixels of a tilt series; one where any voxel of a mask is; every second voxel of
    instances, which are always said to be labels. After a stop, what was written so far is left.
    """
    import zarr

    group = zarr.open_group(path, mode="w-", zarr_format=2 if version == "0.4" else 3)
    level = volume_zyx
    for number in range(_LEVELS_WRITTEN):
        level = _write_level(_created(group, str(number), level, kind, version), level, kind, stop)
    ome: dict[str, Any] = {"multiscales": [_multiscale(spacing_angstrom, kind, version)]}
    if is_labels or kind == "instances":
        ome["image-label"] = {}
    # last of all: without them, the folder is no image
    group.attrs.update((ome if version == "0.4" else {"ome": {"version": version} | ome}) | dict(attributes or {}))
    return folder_bytes(path)


def slabs(volume_zyx: VoxelSource, planes: int, stop: threading.Event | None) -> Iterator[tuple[int, NDArray[Any]]]:
    """All planes in order, some at a time, each time with the number of the first."""
    for start in range(0, volume_zyx.shape[0], planes):
        raise_if_stopped(stop)
        yield start, np.asarray(volume_zyx[start : start + planes, slice(None), slice(None)])


def folder_bytes(folder: Path | str) -> int:
    """Bytes of all files below a folder, as the portal counts the size of a Zarr."""
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


def _created(group: Any, name: str, volume: VoxelSource, kind: Kind, version: Version) -> Any:
    chunks = (1, 1024, 1024) if kind == "tiltseries" else (256,) * 3
    options: dict[str, Any] = {"chunks": chunks}
    if version == "0.4":
        from numcodecs import Blosc

        options["chunk_key_encoding"] = {"name": "v2", "separator": "/"}
        options["compressors"] = Blosc(cname="lz4", clevel=5, shuffle=Blosc.SHUFFLE)
    else:
        options |= {"chunks": (128,) * 3, "dimension_names": ["z", "y", "x"]}
    config = {"write_empty_chunks": True}
    return group.create_array(name, shape=volume.shape, dtype=volume.dtype, fill_value=0, config=config, **options)


def _write_level(array: Any, volume: VoxelSource, kind: Kind, stop: threading.Event | None) -> NDArray[Any]:
    """Write one level and give the next coarser one."""
    factor = _factor(kind)
    coarse = np.zeros([-(-size // step) for size, step in zip(array.shape, factor, strict=True)], array.dtype)
    _, rows, columns = array.chunks
    for z, slab in slabs(volume, array.chunks[0], stop):
        for y, x in itertools.product(range(0, slab.shape[1], rows), range(0, slab.shape[2], columns)):
            raise_if_stopped(stop)
            box = (slice(y, y + rows), slice(x, x + columns))
            array[(slice(z, z + len(slab)), *box)] = slab[:, *box]
        below = _coarser(slab, kind)
        coarse[z // factor[0] : z // factor[0] + len(below)] = below
    return coarse


def _coarser(block: NDArray[Any], kind: Kind) -> NDArray[Any]:
    """The next coarser level of a box that starts at an even index; see `write_pyramid`."""
    if kind == "instances":
        return block[::2, ::2, ::2]
    factor = _factor(kind)
    padded = np.pad(block, [(0, -size % step) for size, step in zip(block.shape, factor, strict=True)])
    parts = [padded[z :: factor[0], y :: factor[1], x :: factor[2]] for z, y, x in np.ndindex(*factor)]
    if kind == "mask":
        return np.asarray(np.logical_or.reduce(parts), dtype=block.dtype)
    return np.asarray(sum(parts[1:], start=parts[0]) / np.float32(len(parts)))


def _factor(kind: Kind) -> tuple[int, int, int]:
    return (1, 2, 2) if kind == "tiltseries" else (2, 2, 2)


def _multiscale(spacing_angstrom: float, kind: Kind, version: Version) -> dict[str, Any]:
    datasets = []
    for level in range(_LEVELS_WRITTEN):
        scale = [spacing_angstrom * step**level for step in _factor(kind)]
        transformations: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if version == "0.5":  # a coarse voxel is amid those it stands for, or on the one that it was taken from
            shift = [0.0 if kind == "instances" else (width - spacing_angstrom) / 2 for width in scale]
            transformations.append({"type": "translation", "translation": shift})
        datasets.append({"path": str(level), "coordinateTransformations": transformations})
    axes = [{"name": name, "type": "space", "unit": "angstrom"} for name in "zyx"]
    multiscale: dict[str, Any] = {"name": "/", "axes": axes, "datasets": datasets}
    return multiscale | {"version": version} if version == "0.4" else multiscale
