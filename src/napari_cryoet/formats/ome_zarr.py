"""OME-Zarr: parse the metadata of an image (0.1 to 0.5); write pyramids in 0.4, like the portal's, or in 0.5.

Up to 0.4, the metadata is in the group's attributes; in 0.5, it is in their ``ome`` entry. See
https://ngff.openmicroscopy.org.

The portal's pyramids have the levels ``0``, ``1``, ``2``; chunks of 256 x 256 x 256, full size even
at the edges; ``/`` between chunk indices; Blosc with lz4, level 5, byte shuffle; no ``.zmetadata``;
a scale in ångström and no translation. Tilt series have chunks of 1 x 1024 x 1024 and the full
number of images at every level.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError
from napari_cryoet.files import size_on_disk
from napari_cryoet.task import UNWATCHED, Task

#: The position of a coarse voxel: at the centre of the voxels it averages, or at the one it was
#: sampled from.
CoarseOffset = Literal["mean", "strided"]

ImageKind = Literal["tomogram", "mask", "instances", "tiltseries"]
OmeZarrVersion = Literal["0.4", "0.5"]

#: The attribute of an image of which some levels are here only in part.
PARTIAL: Final = "napari-cryoet-partial"

#: Voxels along each side of a block that `add_blocks` writes.
BLOCK: Final = 32

_LEVELS_WRITTEN: Final = 3
_MAX_LEVELS: Final = 32
_MAX_CHANNELS: Final = 4096
#: Beyond these limits, products and ratios may overflow.
_LARGEST, _SMALLEST = 1e50, 1e-50


class Axis(msgspec.Struct, frozen=True):
    """One axis of the arrays."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    unit: str | None = None


_OLD_AXES: Final = tuple(map(Axis, "tczyx"))


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution level; scale and translation are per axis, None if not given."""

    path: str  # relative to the image
    scale: tuple[float, ...] | None = None  # voxel size, in the unit of the axis
    translation: tuple[float, ...] | None = None  # position of the first voxel


@dataclass(frozen=True, slots=True)
class Multiscale:
    """An image: its axes and its levels, finest first."""

    axes: tuple[Axis, ...]
    levels: tuple[Level, ...]
    is_labels: bool  # False if the file doesn't say
    coarse_offset: CoarseOffset | None


@dataclass(frozen=True, slots=True)
class Channel:
    """Display settings of a channel; empty or None if not given."""

    name: str = ""
    color: str = ""  # as #rrggbb
    window: tuple[float, float] | None = None  # contrast limits
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
    """The ``multiscales`` in a group's attributes, for any version; empty if there are none."""
    ome = attributes.get("ome")
    multiscales = (ome if isinstance(ome, dict) else attributes).get("multiscales")
    return multiscales if isinstance(multiscales, list) else []


def parse_multiscale(attributes: dict[str, Any], where: str) -> Multiscale:
    """Parse the first image in a group's attributes; ``where`` names the group in messages."""
    multiscales = find_multiscales(attributes)
    if not multiscales or not isinstance(multiscales[0], dict):
        raise FormatError(
            f"{where} holds no OME-Zarr image: there are no multiscales in its attributes."
        )
    try:
        image = msgspec.convert(multiscales[0], _Image)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where}: multiscales[0] can't be used ({error}).") from error
    axes = tuple(Axis(axis) if isinstance(axis, str) else axis for axis in image.axes or ())
    common = _scale_and_translation(image.coordinate_transformations)
    levels = tuple(_level(dataset, common, len(axes), where) for dataset in image.datasets)
    ome = attributes.get("ome")
    # some writers put image-label into nested metadata
    is_labels = any(
        isinstance(metadata, dict) and "image-label" in metadata
        for metadata in (attributes, ome, multiscales[0], image.metadata)
    )
    offset = _coarse_offset(str(image.type or ""), levels) or ("strided" if is_labels else None)
    return Multiscale(axes, levels, is_labels, offset)


def with_old_axes(multiscale: Multiscale, n_axes: int) -> Multiscale:
    """Name the axes of an image of version 0.1 or 0.2, which are always the same five."""
    is_old = not multiscale.axes and multiscale.levels[0].scale is None and n_axes == len(_OLD_AXES)
    return replace(multiscale, axes=_OLD_AXES) if is_old else multiscale


def as_labels(multiscale: Multiscale) -> Multiscale:
    """A copy of the image marked as labels.

    Its coarse levels count as strided unless it says otherwise.
    """
    return replace(multiscale, is_labels=True, coarse_offset=multiscale.coarse_offset or "strided")


def is_safe_path(path: str) -> bool:
    """Whether a path is relative and doesn't leave its folder."""
    is_relative = not path.startswith("/") and "\\" not in path and ":" not in path
    return (
        is_relative and path.isprintable() and not {"", ".", ".."} & set(path.strip("/").split("/"))
    )


def parse_partial(attributes: dict[str, Any], where: str) -> dict[str, list[tuple[int, ...]]]:
    """The numbers of the chunks that are here, by the path of each level that isn't here whole.

    Other chunks were left out: they don't hold the fill value, as missing chunks usually do.
    """
    try:
        return msgspec.convert(attributes.get(PARTIAL, {}), dict[str, list[tuple[int, ...]]])
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where}: {PARTIAL} can't be used ({error}).") from error


def parse_channels(attributes: dict[str, Any]) -> tuple[Channel, ...]:
    """Parse the channels in a group's ``omero`` attributes; invalid values are ignored."""
    ome = attributes.get("ome")
    omero = (ome if isinstance(ome, dict) else attributes).get("omero")
    channels = omero.get("channels") if isinstance(omero, dict) else None
    return tuple(map(_channel, channels[:_MAX_CHANNELS])) if isinstance(channels, list) else ()


def _level(dataset: _Dataset, common: tuple[Any, Any], n_axes: int, where: str) -> Level:
    """Create a level; the transformations of the image are applied after its own."""
    if not is_safe_path(dataset.path):
        raise FormatError(
            f"{where}: the dataset path {dataset.path!r} isn't the name of an array in this image."
        )
    scale, translation = _scale_and_translation(dataset.coordinate_transformations)
    for values in (scale, translation, *common):
        if values is not None and n_axes and len(values) != n_axes:
            raise FormatError(
                f"{where}: level {dataset.path!r} has {len(values)} numbers for {n_axes} axes."
            )
    common_scale, common_translation = common
    if common_scale is not None:
        scale = tuple(
            a * b for a, b in zip(scale or (1.0,) * len(common_scale), common_scale, strict=False)
        )
        if translation is not None:
            translation = tuple(a * b for a, b in zip(translation, common_scale, strict=False))
    if common_translation is not None:
        start = translation or (0.0,) * len(common_translation)
        translation = tuple(a + b for a, b in zip(start, common_translation, strict=False))
    return Level(dataset.path.strip("/"), scale, translation)


def _scale_and_translation(transformations: list[_Transformation] | None) -> tuple[Any, Any]:
    scale = translation = None
    for transformation in transformations or ():
        scale = transformation.scale if transformation.type == "scale" else scale
        translation = (
            transformation.translation if transformation.type == "translation" else translation
        )
    return scale, translation


def _coarse_offset(method: str, levels: tuple[Level, ...]) -> CoarseOffset | None:
    """The position of coarse voxels, from the translations of the levels or the name of the method."""
    first, last = levels[0], levels[-1]
    if (
        first.scale
        and last.scale
        and first.translation
        and last.translation
        and last.scale != first.scale
    ):
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
    are_limits = limits and all(
        type(limit) in {int, float} and math.isfinite(limit) for limit in limits
    )
    return Channel(
        name=label if isinstance(label, str) else "",
        color=f"#{color.lower()}"
        if isinstance(color, str) and re.fullmatch("[0-9A-Fa-f]{6}", color)
        else "",
        window=(float(limits[0]), float(limits[1]))
        if are_limits and limits[0] < limits[1]
        else None,
        is_visible=entry.get("active") is not False,
    )


# writing


class VoxelSource(Protocol):
    """An array that can be sliced in z, y, x, such as a NumPy, dask or zarr array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along z, y, x."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the voxels."""

    def __getitem__(self, region: tuple[slice, slice, slice], /) -> Any: ...


def write_pyramid(
    path: Path | str,
    volume_zyx: VoxelSource,
    spacing_angstrom: float,
    kind: ImageKind = "tomogram",
    *,
    version: OmeZarrVersion = "0.4",
    is_labels: bool = False,
    attributes: Mapping[str, Any] | None = None,
    task: Task = UNWATCHED,
) -> int:
    """Write a volume as an OME-Zarr pyramid to a new folder; return its size in bytes.

    The portal uses float32 for tomograms and tilt series, int8 for masks, uint16 for instances. One
    slab of planes is read at a time; the coarser levels stay in memory.

    A coarse voxel of a tomogram is the mean of 2 x 2 x 2 voxels, padded with zeros; of a tilt
    series, of 1 x 2 x 2 pixels. In a mask, it is one if any of its voxels is. Of instances, every
    second voxel is kept; they are always marked as labels. Files written before a stop are not
    removed.
    """
    import zarr

    group = zarr.open_group(path, mode="w-", zarr_format=2 if version == "0.4" else 3)
    level = volume_zyx
    for number in range(_LEVELS_WRITTEN):
        level = _write_level(
            create_array(group, str(number), level, kind, version), level, kind, task
        )
    ome: dict[str, Any] = {"multiscales": [_multiscale(spacing_angstrom, kind, version)]}
    if is_labels or kind == "instances":
        ome["image-label"] = {}
    # written last: without attributes, the folder isn't an image
    group.attrs.update(
        (ome if version == "0.4" else {"ome": {"version": version} | ome}) | dict(attributes or {})
    )
    return size_on_disk(Path(path))


def slabs(volume_zyx: VoxelSource, planes: int, task: Task) -> Iterator[tuple[int, NDArray[Any]]]:
    """Iterate over slabs of planes, each with the index of its first plane."""
    for start in range(0, volume_zyx.shape[0], planes):
        task.check()
        yield start, np.asarray(volume_zyx[start : start + planes, slice(None), slice(None)])


def add_blocks(
    path: Path | str,
    name: str,
    volume_zyx: VoxelSource,
    blocks: Collection[tuple[int, int, int]],
    *,
    task: Task = UNWATCHED,
) -> None:
    """Write some blocks of a level into an OME-Zarr, which states that it lacks the others.

    Parameters
    ----------
    name
        The path of the level, which is replaced.
    volume_zyx
        The whole level.
    blocks
        Numbers along z, y, x of blocks with `BLOCK` voxels along each side.
    """
    import zarr

    group = zarr.open_group(path, mode="r+")
    version: OmeZarrVersion = "0.4" if group.metadata.zarr_format == 2 else "0.5"
    array = create_array(group, name, volume_zyx, "tomogram", version, block_shape=(BLOCK,) * 3)
    for number, block in enumerate(sorted(blocks)):
        task.step(number / len(blocks))
        z, y, x = (slice(at * BLOCK, (at + 1) * BLOCK) for at in block)
        array[z, y, x] = np.asarray(volume_zyx[z, y, x])
    partial = group.attrs.get(PARTIAL, {})
    group.attrs[PARTIAL] = {**partial, name: sorted(blocks)}  # type: ignore[dict-item]


def create_array(
    group: Any,
    name: str,
    volume: VoxelSource,
    kind: ImageKind,
    version: OmeZarrVersion,
    *,
    block_shape: tuple[int, int, int] | None = None,
) -> Any:
    """Create an array for a volume in a zarr group, with the portal's chunks and codec for 0.4."""
    chunks = (1, 1024, 1024) if kind == "tiltseries" else (256,) * 3
    options: dict[str, Any] = {"chunks": chunks}
    if version == "0.4":
        from numcodecs import Blosc

        options["chunk_key_encoding"] = {"name": "v2", "separator": "/"}
        options["compressors"] = Blosc(cname="lz4", clevel=5, shuffle=Blosc.SHUFFLE)
    else:
        options |= {"chunks": (128,) * 3, "dimension_names": ["z", "y", "x"]}
    if block_shape is not None:
        options["chunks"] = block_shape
    config = {"write_empty_chunks": True}
    return group.create_array(
        name,
        shape=volume.shape,
        dtype=volume.dtype,
        fill_value=0,
        config=config,
        overwrite=block_shape is not None,
        **options,
    )


def _write_level(array: Any, volume: VoxelSource, kind: ImageKind, task: Task) -> NDArray[Any]:
    """Write one level and return the next coarser one."""
    factor = _factor(kind)
    coarse = np.zeros(
        [-(-size // step) for size, step in zip(array.shape, factor, strict=True)], array.dtype
    )
    planes, rows, columns = array.chunks
    write = _chunk_writer(array)
    for z, slab in slabs(volume, planes, task):
        for y, x in itertools.product(
            range(0, slab.shape[1], rows), range(0, slab.shape[2], columns)
        ):
            task.check()
            write((z, y, x), slab[:, y : y + rows, x : x + columns])
        coarse_slab = _coarser(slab, kind)
        coarse[z // factor[0] : z // factor[0] + len(coarse_slab)] = coarse_slab
    return coarse


def _chunk_writer(array: Any) -> Callable[[tuple[int, int, int], NDArray[Any]], None]:
    """A function that writes the chunk at a position.

    Of the portal's chunks, most is padding. zarr allocates and clears 64 MB for each of them, which
    takes longer than simulating the demo, so they are encoded from one buffer here.
    """
    if array.metadata.zarr_format != 2:
        return lambda start, block: array.set_basic_selection(
            tuple(slice(at, at + size) for at, size in zip(start, block.shape, strict=True)), block
        )
    buffer = np.zeros(array.chunks, array.dtype)
    folder = Path(array.store.root, array.path)
    codec = array.compressors[0]

    def write(start: tuple[int, int, int], block: NDArray[Any]) -> None:
        numbers = [at // size for at, size in zip(start, array.chunks, strict=True)]
        path = folder.joinpath(*map(str, numbers))
        path.parent.mkdir(parents=True, exist_ok=True)
        corner = buffer[tuple(map(slice, block.shape))]
        corner[...] = block
        path.write_bytes(codec.encode(buffer))
        corner[...] = 0  # the rest was never touched, so it takes no memory

    return write


def _coarser(block: NDArray[Any], kind: ImageKind) -> NDArray[Any]:
    """Downsample a block that starts at an even index; see `write_pyramid`."""
    if kind == "instances":
        return block[::2, ::2, ::2]
    factor = _factor(kind)
    padded = np.pad(
        block, [(0, -size % step) for size, step in zip(block.shape, factor, strict=True)]
    )
    parts = [
        padded[z :: factor[0], y :: factor[1], x :: factor[2]] for z, y, x in np.ndindex(*factor)
    ]
    if kind == "mask":
        return np.asarray(np.logical_or.reduce(parts), dtype=block.dtype)
    return np.asarray(sum(parts[1:], start=parts[0]) / np.float32(len(parts)))


def _factor(kind: ImageKind) -> tuple[int, int, int]:
    return (1, 2, 2) if kind == "tiltseries" else (2, 2, 2)


def _multiscale(
    spacing_angstrom: float, kind: ImageKind, version: OmeZarrVersion
) -> dict[str, Any]:
    datasets = []
    for level in range(_LEVELS_WRITTEN):
        scale = [spacing_angstrom * step**level for step in _factor(kind)]
        transformations: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if version == "0.5":  # see `CoarseOffset`
            shift = [
                0.0 if kind == "instances" else (width - spacing_angstrom) / 2 for width in scale
            ]
            transformations.append({"type": "translation", "translation": shift})
        datasets.append({"path": str(level), "coordinateTransformations": transformations})
    axes = [{"name": name, "type": "space", "unit": "angstrom"} for name in "zyx"]
    multiscale: dict[str, Any] = {"name": "/", "axes": axes, "datasets": datasets}
    return multiscale | {"version": version} if version == "0.4" else multiscale
