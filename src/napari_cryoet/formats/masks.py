"""Masks in files: OME-Zarr as the portal writes it (0.4), OME-Zarr 0.5, and MRC; lazily, whole or not at all.

A mask is read twice, some planes at a time: for its values, so that an id that doesn't fit is refused before anything
is written, and to be written. Coarser levels are one where any voxel of a mask is, and every second voxel of instances.
"""

from __future__ import annotations

import itertools
import json
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from napari_cryoet._version import __version__
from napari_cryoet.exceptions import FormatError, SaveError
from napari_cryoet.files import path_to_write, refuse_existing, written_whole
from napari_cryoet.formats.notes import (
    ORIGIN_KEY,
    Notes,
    as_json,
    of_export,
    path_beside,
    read_beside,
    source_of_download,
    written_with_notes,
)
from napari_cryoet.formats.portal_zarr import LEVELS, Volume, coarser
from napari_cryoet.stopping import raise_if_stopped

MaskFormat = Literal["ome-zarr-0.4", "ome-zarr-0.5", "mrc"]
Progress = Callable[[int, int | None], None]

FORMATS: Final[tuple[MaskFormat, ...]] = get_args(MaskFormat)
TITLES: Final[dict[MaskFormat, str]] = {
    "ome-zarr-0.4": "OME-Zarr 0.4 (as the portal)",
    "ome-zarr-0.5": "OME-Zarr 0.5",
    "mrc": "MRC",
}
#: The attribute of an OME-Zarr that has the notes of an export.
ATTRIBUTE: Final = "napari_cryoet"
_TYPES: Final[dict[MaskFormat, tuple[str, ...]]] = {
    "ome-zarr-0.4": ("uint16",),
    "ome-zarr-0.5": ("uint8", "uint16", "uint32", "uint64"),
    "mrc": ("int8", "int16", "uint16"),
}
_CHUNK: Final = {2: 256, 3: 128}
_PLANES: Final = 64  # read at a time where nothing else decides
_LABEL_CHARACTERS, _MAX_LABELS = 80, 10


@dataclass(frozen=True, slots=True)
class WrittenMask:
    """What was written.

    Attributes
    ----------
    path, format, dtype
        Where, as what, and in which type of numbers.
    is_instances
        Whether its values are ids of instances, or just 0 and 1.
    provenance_path
        The file beside it that says where it comes from; None if the file itself does.
    """

    path: Path
    format: MaskFormat
    dtype: str
    is_instances: bool
    provenance_path: Path | None


def write_mask(
    mask_zyx: Volume,
    path: str | Path,
    *,
    spacing_angstrom: float,
    format: MaskFormat | None = None,  # noqa: A002
    about: Mapping[str, Any] | None = None,
    alignment_id: int | None = None,
    edits: Iterable[str] = (),
    who: str = "",
    overwrite: bool = False,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> WrittenMask:
    """Write a mask or instances, with where they come from.

    Parameters
    ----------
    mask_zyx
        Whole numbers from 0, or truth values. Only some planes, and an eighth of it all, are ever in memory.
    path
        Ending in ``.zarr`` or ``.mrc``.
    spacing_angstrom
        The voxel size.
    format
        By default MRC for ``.mrc``, and for ``.zarr`` OME-Zarr 0.4, or 0.5 if ids don't fit 16 bits.
    about, alignment_id, edits, who
        For the record: its provenance, its alignment, what was done to it, and who exports it. If the file that it
        comes from has an origin, and voxels of the same size, the mask gets that origin.
    overwrite
        Whether to replace what is there.
    progress
        Called with how many bytes are done, of how many.
    stop
        Set it to give up; then nothing is written.

    Raises
    ------
    ExistsError
        If there is something at ``path``, and ``overwrite`` isn't set.
    SaveError
        If a value doesn't fit the format, or the disk refuses.
    StoppedError
        When ``stop`` is set.
    ValueError
        If there is no such ``format``.
    """
    path = path_to_write(path)
    name = _checked_format(path, format, overwrite=overwrite)
    if not 0 < spacing_angstrom < math.inf:
        raise SaveError(f"A voxel can't be {spacing_angstrom} Å wide.")
    source = _Source(mask_zyx, progress, stop)
    largest = source.largest()
    if format is None and name == "ome-zarr-0.4" and largest > np.iinfo(np.uint16).max:
        name = "ome-zarr-0.5"
    dtype = _dtype_for(largest, name)
    grid = _Grid(float(spacing_angstrom), _origin_of(about or {}, spacing_angstrom), largest > 1)
    notes = of_export(
        "mask",
        about or {},
        spacing_angstrom=grid.spacing_angstrom,
        shape_zyx=source.shape,
        alignment_id=alignment_id,
        edits=edits,
        who=who,
    )
    if name == "mrc":
        with written_with_notes(path, notes, overwrite=overwrite) as unfinished:
            _write_mrc(source, dtype, unfinished, grid, notes)
            raise_if_stopped(stop)
    else:
        with written_whole(path, overwrite=overwrite) as unfinished:
            _write_zarr(source, dtype, unfinished, grid, notes, zarr_format=2 if name == "ome-zarr-0.4" else 3)
            raise_if_stopped(stop)
    return WrittenMask(path, name, dtype.name, grid.is_instances, path_beside(path) if name == "mrc" else None)


def source_of_mask(path: Path | None, attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Where a mask comes from: the provenance of an export of ours, or of a download; else empty.

    Parameters
    ----------
    path
        On this computer; None for an address.
    attributes
        Of an OME-Zarr; None for other files.
    """
    notes: Notes | None = None
    if attributes is not None and isinstance(attributes.get(ATTRIBUTE), dict):
        try:
            notes = msgspec.convert(attributes[ATTRIBUTE], Notes)
        except msgspec.ValidationError:
            notes = None
    elif attributes is None and path is not None and path.is_file():
        notes = read_beside(path)
    if notes is None:
        return {} if path is None else source_of_download(path)
    known = notes.lasting_source
    edits = [*(known.get("edits") or ()), *notes.edits]
    alignment = {} if notes.alignment_id is None else {"alignment_id": notes.alignment_id}
    return known | ({"edits": edits} if edits else {}) | alignment


def whole_numbers(values: NDArray[Any]) -> NDArray[np.uint16]:
    """Voxels of a mask that is kept as float numbers, as uint16.

    Raises
    ------
    FormatError
        If they aren't whole numbers from 0 to 65535.
    """
    if values.dtype.kind != "b":
        is_label = (values >= 0) & (values <= np.iinfo(np.uint16).max) & (values == np.rint(values))
        if not is_label.all():
            raise FormatError("This mask holds other values than whole numbers from 0 to 65535.")
    return values.astype(np.uint16)


@dataclass(frozen=True, slots=True)
class _Grid:
    """Where the voxels are: their size, and the position of the first one, z, y, x, in ångström."""

    spacing_angstrom: float
    origin_angstrom: tuple[float, ...]
    is_instances: bool

    @property
    def kind(self) -> Literal["mask", "instances"]:
        """What the voxels stand for."""
        return "instances" if self.is_instances else "mask"

    def transformations(self, level: int, zarr_format: int) -> list[dict[str, Any]]:
        """Of a level; the portal's format has no translation unless there is an origin."""
        scale = {"type": "scale", "scale": [self.spacing_angstrom * 2**level] * 3}
        if zarr_format == 2 and not any(self.origin_angstrom):
            return [scale]
        # a coarse voxel of a mask is amid those it stands for, of instances on the one that it was taken from
        shift = 0.0 if self.is_instances else (2**level - 1) / 2 * self.spacing_angstrom
        return [scale, {"type": "translation", "translation": [start + shift for start in self.origin_angstrom]}]


class _Source:
    """A mask that is read some planes at a time."""

    def __init__(self, voxels: Volume, progress: Progress | None, stop: threading.Event | None) -> None:
        if len(voxels.shape) != 3 or 0 in voxels.shape:
            raise SaveError(f"A mask has three axes, none of them empty; this one has the shape {tuple(voxels.shape)}.")
        if np.dtype(voxels.dtype).kind not in "biu":
            raise SaveError(
                f"A mask holds whole numbers, and this one holds {voxels.dtype}.",
                hint="Decide first which values belong to the mask, with a threshold.",
            )
        size_z, size_y, size_x = voxels.shape
        self.shape = (int(size_z), int(size_y), int(size_x))
        self.stop = stop
        self._voxels, self._progress = voxels, progress
        self._bytes_done, self._bytes = 0, 2 * math.prod(self.shape) * np.dtype(voxels.dtype).itemsize

    def largest(self) -> int:
        """The largest value; the smallest must be 0 or more."""
        largest = 0
        for _, block in self.slabs(_PLANES):
            if block.dtype.kind == "i" and int(block.min()) < 0:
                raise SaveError(f"A mask has no values below 0, and this one has {int(block.min())}.")
            largest = max(largest, int(block.max()))
        return largest

    def slabs(self, planes: int) -> Iterator[tuple[int, NDArray[Any]]]:
        """All planes in order, some at a time, each time with the number of the first."""
        for start in range(0, self.shape[0], planes):
            raise_if_stopped(self.stop)
            block = np.asarray(self._voxels[slice(start, min(start + planes, self.shape[0])), slice(None), slice(None)])
            self._bytes_done += block.nbytes
            if self._progress is not None:
                self._progress(min(self._bytes_done, self._bytes), self._bytes)
            yield start, block


def _checked_format(path: Path, wanted: MaskFormat | None, *, overwrite: bool) -> MaskFormat:
    """The format to write, if the place may have such a file."""
    if wanted is not None and wanted not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, not {wanted!r}")
    suffix = path.suffix.lower()
    by_suffix: dict[str, MaskFormat] = {".zarr": "ome-zarr-0.4", ".mrc": "mrc"}
    if wanted is None and suffix not in by_suffix:
        raise SaveError(f"A name like {path.name} doesn't say in which format.", hint="Let it end in .zarr or .mrc.")
    name = wanted or by_suffix[suffix]
    if suffix in by_suffix and (by_suffix[suffix] == "mrc") != (name == "mrc"):
        raise SaveError(f"{path.name} has the name of another format than {TITLES[name]}.", hint="Choose another name.")
    refuse_existing(path, overwrite=overwrite)
    if name == "mrc":
        refuse_existing(path_beside(path), overwrite=overwrite)
    return name


def _dtype_for(largest: int, name: MaskFormat) -> np.dtype[Any]:
    """The smallest type of the format that holds all values; int8 for a plain mask, as the portal has it."""
    for dtype in map(np.dtype, ("int8",) if largest <= 1 else _TYPES[name]):
        if largest <= np.iinfo(dtype).max:
            return dtype
    raise SaveError(
        f"Its largest id, {largest:,}, doesn't fit the 16 bits that {TITLES[name]} has for one.",
        hint=f"Choose {TITLES['ome-zarr-0.5']}, or number the instances anew.",
    )


def _origin_of(about: Mapping[str, Any], spacing_angstrom: float) -> tuple[float, ...]:
    """The origin of the file that a mask comes from, unless that has other voxels."""
    try:
        origin = tuple(float(position) for position in about[ORIGIN_KEY])
        is_same = bool(np.allclose(about["voxel_spacing_angstrom"], spacing_angstrom, rtol=1e-4))
    except (LookupError, TypeError, ValueError):  # what a layer's metadata say isn't always ours
        return (0.0,) * 3
    return origin if is_same and len(origin) == 3 and all(map(math.isfinite, origin)) else (0.0,) * 3


def _write_zarr(
    source: _Source,
    dtype: np.dtype[Any],
    folder: Path,
    grid: _Grid,
    notes: Mapping[str, Any],
    *,
    zarr_format: Literal[2, 3],
) -> None:
    import zarr

    group = zarr.open_group(folder, mode="w-", zarr_format=zarr_format)
    shapes = [tuple(-(-size // 2**level) for size in source.shape) for level in range(LEVELS)]
    arrays = [_created(group, level, shape, dtype, zarr_format) for level, shape in enumerate(shapes)]
    coarse = np.zeros(shapes[1], dtype)
    for start, block in source.slabs(_CHUNK[zarr_format]):
        typed = _typed(block, dtype)
        _put(arrays[0], start, typed, source.stop)
        below = coarser(typed, grid.kind)
        coarse[start // 2 : start // 2 + len(below)] = below
    for level in range(1, LEVELS):
        _put(arrays[level], 0, coarse, source.stop)
        coarse = coarser(coarse, grid.kind)
    datasets = [
        {"path": str(level), "coordinateTransformations": grid.transformations(level, zarr_format)}
        for level in range(LEVELS)
    ]
    axes = [{"name": name, "type": "space", "unit": "angstrom"} for name in "zyx"]
    image: dict[str, Any] = {"name": "/", "axes": axes, "datasets": datasets}
    ome: dict[str, Any] = {"version": "0.5", "multiscales": [image], "image-label": {}}
    if zarr_format == 2:
        ome = {"multiscales": [image | {"version": "0.4"}], "image-label": {"version": "0.4"}}
    # last of all: without them, the folder is no image
    group.attrs.update((ome if zarr_format == 2 else {"ome": ome}) | {ATTRIBUTE: json.loads(as_json(notes))})


def _created(group: Any, level: int, shape: tuple[int, ...], dtype: np.dtype[Any], zarr_format: int) -> Any:
    """An array of a level; in version 2 with the portal's chunks and compression."""
    options: dict[str, Any] = {"dimension_names": ["z", "y", "x"]}
    if zarr_format == 2:
        from numcodecs import Blosc

        options = {
            "chunk_key_encoding": {"name": "v2", "separator": "/"},
            "compressors": Blosc(cname="lz4", clevel=5, shuffle=Blosc.SHUFFLE),
        }
    chunks = (_CHUNK[zarr_format],) * 3
    return group.create_array(str(level), shape=shape, chunks=chunks, dtype=dtype, fill_value=0, **options)


def _put(array: Any, first_z: int, block: NDArray[Any], stop: threading.Event | None) -> None:
    """Write whole planes, a chunk at a time."""
    starts = (range(0, size, chunk) for size, chunk in zip(block.shape, array.chunks, strict=True))
    for start in itertools.product(*starts):
        raise_if_stopped(stop)
        part = block[tuple(slice(at, at + chunk) for at, chunk in zip(start, array.chunks, strict=True))]
        z, y, x = first_z + start[0], start[1], start[2]
        array[z : z + part.shape[0], y : y + part.shape[1], x : x + part.shape[2]] = part


def _typed(block: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    typed = block.astype(dtype)
    if not np.array_equal(typed, block):
        raise SaveError(f"The mask changed while it was written: a value doesn't fit {dtype}.")
    return typed


def _write_mrc(source: _Source, dtype: np.dtype[Any], path: Path, grid: _Grid, notes: Mapping[str, Any]) -> None:
    import mrcfile

    labels = _mrc_labels(notes)
    largest, total, total_of_squares = 0, 0.0, 0.0
    mode = mrcfile.utils.mode_from_dtype(dtype)
    with mrcfile.new_mmap(path, source.shape, mode, overwrite=True) as mrc:
        with path.open("rb+") as file:  # on a full disk, writing into the memory map would end the process
            file.seek(mrc.header.nbytes)
            for _, block in source.slabs(_PLANES):
                typed = _typed(block, dtype)
                file.write(np.ascontiguousarray(typed).data)
                largest, total = max(largest, int(typed.max())), total + float(typed.sum(dtype=np.float64))
                total_of_squares += float(np.square(typed, dtype=np.float64).sum())
        mean = total / math.prod(source.shape)
        mrc.voxel_size = grid.spacing_angstrom
        header = mrc.header
        header.ispg, header.origin = 1, grid.origin_angstrom[::-1]
        header.dmin, header.dmax, header.dmean = 0, largest, mean
        header.rms = math.sqrt(max(0.0, total_of_squares / math.prod(source.shape) - mean**2))
        header.nlabl = len(labels)
        header.label = np.array([*labels, *[b""] * (_MAX_LABELS - len(labels))], dtype=f"S{_LABEL_CHARACTERS}")


def _mrc_labels(notes: Mapping[str, Any]) -> list[bytes]:
    """The ten lines of 80 characters that MRC has for what a file is."""
    source = notes["source"]
    facts = {
        "Object": source.get("object_name"),
        "Run": source.get("run_name"),
        "Authors": source.get("authors"),
        "DOI": source.get("dois"),
        "Deposition": source.get("deposition_id"),
        "Licence": source.get("licence"),
        "Method": source.get("annotation_method"),
        "Alignment": notes.get("alignment_id") or source.get("alignment_id"),
    }
    lines = [f"Written by napari-cryoet {__version__}, {notes['written_at']}"]
    for name, value in facts.items():
        if value:
            lines.append(f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}")
    lines.append("More in the .provenance.json beside this file")
    return [line.encode("ascii", errors="replace")[:_LABEL_CHARACTERS] for line in lines]
