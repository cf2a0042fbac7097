"""Masks into files: OME-Zarr as the portal has them (0.4), OME-Zarr 0.5, and MRC; lazily, whole or not at all.

A mask is looked through twice, a slab of planes at a time: first for its values, so that a number that doesn't fit is
refused before anything is written, then to be written. `napari_cryoet.volumes.open_volume` reads all of these.
"""

from __future__ import annotations

import itertools
import json
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from napari_cryoet import provenance
from napari_cryoet._version import __version__
from napari_cryoet.exceptions import SaveError
from napari_cryoet.expecting import expect_choice, expect_number, expect_volume, local_path
from napari_cryoet.packs.portal_zarr import LEVELS, downsampled, write_mrc, write_pyramid
from napari_cryoet.provenance_beside import path_beside, written_with_provenance
from napari_cryoet.stopping import raise_if_stopped
from napari_cryoet.streaming.pyramid import unpadded_shape
from napari_cryoet.volumes import ATTRIBUTE
from napari_cryoet.whole_files import refuse_existing, written_whole

MaskFormat = Literal["ome-zarr-0.4", "ome-zarr-0.5", "mrc"]
FORMATS: Final[tuple[MaskFormat, ...]] = get_args(MaskFormat)
TITLES: Final[dict[MaskFormat, str]] = {
    "ome-zarr-0.4": "OME-Zarr 0.4 (as the portal)",
    "ome-zarr-0.5": "OME-Zarr 0.5",
    "mrc": "MRC",
}

Progress = Callable[[int, int | None], None]

_SLAB_PLANES: Final = 128
_CHUNK: Final = (128, 128, 128)
_TYPES: Final[dict[str, tuple[str, ...]]] = {
    "ome-zarr-0.5": ("uint8", "uint16", "uint32", "uint64"),
    "mrc": ("int8", "int16", "uint16"),
}
_LABEL_CHARACTERS: Final = 80
_MAX_LABELS: Final = 10


class Voxels(Protocol):
    """Anything in z, y, x that gives boxes of voxels: a numpy, dask or zarr array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along z, y, x."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels."""

    def __getitem__(self, region: tuple[slice, slice, slice], /) -> Any:
        """The voxels of a box, or what computes them."""


@dataclass(frozen=True, slots=True)
class WrittenMask:
    """What was written.

    Attributes
    ----------
    path, format
        Where, and as what.
    dtype
        In which type of numbers.
    is_instances
        Whether its values are ids of instances, or just 0 and 1.
    provenance_path
        The file beside it that says where it comes from; None where the file itself does.
    """

    path: Path
    format: MaskFormat
    dtype: str
    is_instances: bool
    provenance_path: Path | None


def write_mask(
    mask_zyx: Voxels,
    path: str | Path,
    *,
    spacing_angstrom: float,
    format: MaskFormat | None = None,  # noqa: A002 - what everybody calls it
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
        Whole numbers from 0, or truth values. Only a slab of planes, and an eighth of it all, is ever in memory. Of a
        level of a layer of ours, what was added to make levels fit each other isn't written.
    path
        Ending in ``.zarr`` or ``.mrc``.
    spacing_angstrom
        The width of a voxel.
    format
        By default MRC for ``.mrc``, OME-Zarr 0.4 for ``.zarr``, or 0.5 if there are ids that only that can hold.
    about, alignment_id, edits, who
        For the record: where it comes from, on which alignment it lies, what was done to it, and who exports it. Where
        the file that it comes from has an origin, and voxels of the same width, the mask gets that origin too.
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
        If a value doesn't fit the format, in words that say which and what does; or if the disk doesn't take it.
    StoppedError
        When ``stop`` is set.
    ValueError
        If there is no such ``format``.
    """
    expect_volume(mask_zyx, "mask_zyx")
    expect_number(spacing_angstrom, "spacing_angstrom")
    path = local_path(path, "path")
    name = _checked_format(path, format, overwrite=overwrite)
    if not 0 < spacing_angstrom < math.inf:
        raise SaveError(f"A voxel can't be {spacing_angstrom} Å wide.")
    voxels = _Voxels(mask_zyx, progress, stop)
    largest = voxels.largest()
    if format is None and name == "ome-zarr-0.4" and largest > np.iinfo(np.uint16).max:
        name = "ome-zarr-0.5"
    dtype = _dtype_for(largest, name)
    notes = provenance.of_export(
        "mask",
        about or {},
        spacing_angstrom=float(spacing_angstrom),
        shape_zyx=voxels.shape,
        alignment_id=alignment_id,
        edits=edits,
        who=who,
        when=datetime.now(UTC),
    )
    source = voxels.as_type(dtype)
    grid = _Grid.of(spacing_angstrom, about or {})
    written = written_whole(path, overwrite=overwrite)
    if name == "mrc":
        written = written_with_provenance(path, notes, overwrite=overwrite)
    with written as unfinished:
        match name:
            case "ome-zarr-0.4":
                _write_portal_zarr(source, unfinished, grid, largest > 1, notes)
            case "ome-zarr-0.5":
                _write_zarr(source, unfinished, grid, largest > 1, notes)
            case "mrc":
                _write_mrc(source, unfinished, grid, notes)
        raise_if_stopped(stop)
    return WrittenMask(path, name, dtype.name, largest > 1, path_beside(path) if name == "mrc" else None)


@dataclass(frozen=True, slots=True)
class _Grid:
    """Where the voxels lie: how wide they are, and where the first one is, z, y, x, in ångström."""

    spacing_angstrom: float
    origin_angstrom: tuple[float, ...]

    @classmethod
    def of(cls, spacing_angstrom: float, about: Mapping[str, Any]) -> _Grid:
        """With the origin of the file that the mask comes from, unless that has other voxels or none is known."""
        try:
            origin = tuple(float(position) for position in about.get(provenance.ORIGIN_KEY) or ())
            is_same = bool(np.allclose(about.get("voxel_spacing_angstrom") or 0.0, spacing_angstrom, rtol=1e-4))
        except (TypeError, ValueError):  # what a layer's metadata say isn't always ours
            return cls(float(spacing_angstrom), (0.0,) * 3)
        is_known = len(origin) == 3 and all(map(math.isfinite, origin)) and is_same
        return cls(float(spacing_angstrom), origin if is_known else (0.0,) * 3)

    @property
    def has_origin(self) -> bool:
        return any(self.origin_angstrom)

    def scale(self, level: int) -> dict[str, Any]:
        """How wide the voxels of a level are, as OME-Zarr has it."""
        return {"type": "scale", "scale": [self.spacing_angstrom * 2**level] * 3}

    def translation(self, level: int, *, is_instances: bool) -> dict[str, Any]:
        """Where the first voxel of a level is: amid those it stands for, or on the one that it was taken from."""
        shift = 0.0 if is_instances else (2**level - 1) / 2 * self.spacing_angstrom
        return {"type": "translation", "translation": [position + shift for position in self.origin_angstrom]}


class _Voxels:
    """A mask that is read a slab at a time, checks its values, and counts what was read."""

    def __init__(self, source: Voxels, progress: Progress | None, stop: threading.Event | None) -> None:
        if len(source.shape) != 3 or 0 in source.shape:
            raise SaveError(f"A mask has three axes, none of them empty; this one has the shape {tuple(source.shape)}.")
        if np.dtype(source.dtype).kind not in "biu":
            raise SaveError(
                f"A mask holds whole numbers, and this one holds {source.dtype}.",
                hint="Decide first which values belong to the mask, with a threshold.",
            )
        size_z, size_y, size_x = (int(size) for size in unpadded_shape(source))
        self.shape = (size_z, size_y, size_x)
        source = source[:size_z, :size_y, :size_x] if self.shape != tuple(source.shape) else source
        self.dtype = np.dtype(source.dtype)
        self.stop = stop
        self._source, self._progress = source, progress
        self._total_bytes = 2 * math.prod(self.shape) * self.dtype.itemsize
        self._done_bytes = 0

    def largest(self) -> int:
        """The largest value; the smallest must be 0 or more."""
        largest = 0
        for planes in self.slabs():
            block = self._read((planes, slice(None), slice(None)))
            if self.dtype.kind == "i" and int(block.min()) < 0:
                raise SaveError(f"A mask has no values below 0, and this one has {int(block.min())}.")
            largest = max(largest, int(block.max()))
        return largest

    def slabs(self) -> Iterator[slice]:
        for start in range(0, self.shape[0], _SLAB_PLANES):
            yield slice(start, min(start + _SLAB_PLANES, self.shape[0]))

    def as_type(self, dtype: np.dtype[Any]) -> _Voxels:
        """The same voxels as numbers of another type, in which all of them fit."""
        self.dtype = dtype
        return self

    def __getitem__(self, region: tuple[slice, slice, slice]) -> NDArray[Any]:
        block = self._read(region)
        typed = block.astype(self.dtype)
        if not np.array_equal(typed, block):  # a source that changed since its values were looked at
            raise SaveError(f"The mask changed while it was written: a value doesn't fit {self.dtype}.")
        return typed

    def _read(self, region: tuple[slice, slice, slice]) -> NDArray[Any]:
        raise_if_stopped(self.stop)
        block = np.asarray(self._source[region])
        self._done_bytes += block.size * self._total_bytes // (2 * math.prod(self.shape))
        if self._progress is not None:
            self._progress(min(self._done_bytes, self._total_bytes), self._total_bytes)
        return block


def _checked_format(path: Path, wanted: MaskFormat | None, *, overwrite: bool) -> MaskFormat:
    """In which format to write, once it is sure that the place may have such a file."""
    if wanted is not None:
        expect_choice(wanted, FORMATS, "format")
    name = wanted or _format_of(path)
    if path.suffix.lower() == (".zarr" if name == "mrc" else ".mrc"):
        raise SaveError(f"{path.name} has the name of another format than {TITLES[name]}.", hint="Choose another name.")
    refuse_existing(path, overwrite=overwrite)
    if name == "mrc":
        refuse_existing(path_beside(path), overwrite=overwrite)
    return name


def _format_of(path: Path) -> MaskFormat:
    match path.suffix.lower():
        case ".zarr":
            return "ome-zarr-0.4"
        case ".mrc":
            return "mrc"
    raise SaveError(f"A name like {path.name} doesn't say in which format.", hint="Let it end in .zarr or .mrc.")


def _dtype_for(largest: int, name: MaskFormat) -> np.dtype[Any]:
    """The numbers in which all values up to the largest fit, of those that the format has."""
    names = ("int8",) if largest <= 1 else ("uint16",) if name == "ome-zarr-0.4" else _TYPES[name]
    for dtype in map(np.dtype, names):
        if largest <= np.iinfo(dtype).max:
            return dtype
    raise SaveError(
        f"Its largest id, {largest:,}, doesn't fit the 16 bits that {TITLES[name]} has for one.",
        hint=f"Choose {TITLES['ome-zarr-0.5']}, or number the instances anew.",
    )


def _write_portal_zarr(
    source: _Voxels, folder: Path, grid: _Grid, is_instances: bool, notes: Mapping[str, Any]
) -> None:
    write_pyramid(folder, source, grid.spacing_angstrom, "instances" if is_instances else "mask", stop=source.stop)
    attributes = json.loads((folder / ".zattrs").read_text(encoding="utf-8"))
    for level, dataset in enumerate(attributes["multiscales"][0]["datasets"]):  # the portal rounds to three digits
        dataset["coordinateTransformations"] = [grid.scale(level)]
        if grid.has_origin:  # the portal's have none
            dataset["coordinateTransformations"].append(grid.translation(level, is_instances=is_instances))
    attributes[ATTRIBUTE] = dict(notes)
    (folder / ".zattrs").write_text(json.dumps(attributes, indent=4, default=str), encoding="utf-8", newline="\n")


def _write_zarr(source: _Voxels, folder: Path, grid: _Grid, is_instances: bool, notes: Mapping[str, Any]) -> None:
    """Write zarr v3. Coarser levels are one where any voxel of a mask is, and every second voxel of instances."""
    import zarr

    kind: Literal["instances", "mask"] = "instances" if is_instances else "mask"
    group = zarr.open_group(folder, mode="w-", zarr_format=3)
    shapes = [tuple(math.ceil(size / 2**level) for size in source.shape) for level in range(LEVELS)]
    arrays = [
        group.create_array(
            str(level), shape=shape, chunks=_CHUNK, dtype=source.dtype, fill_value=0, dimension_names=["z", "y", "x"]
        )
        for level, shape in enumerate(shapes)
    ]
    coarse = np.zeros(shapes[1], source.dtype)
    for planes in source.slabs():
        block = source[planes, slice(None), slice(None)]
        _put(arrays[0], planes.start, block)
        below = downsampled(block, kind)
        coarse[planes.start // 2 : planes.start // 2 + len(below)] = below
    for level in range(1, LEVELS):
        raise_if_stopped(source.stop)
        _put(arrays[level], 0, coarse)
        coarse = downsampled(coarse, kind)
    # at the very end: without it, the folder is no image
    group.attrs.update({"ome": _ome(grid, is_instances), ATTRIBUTE: json.loads(json.dumps(notes, default=str))})


def _put(array: Any, first_z: int, block: NDArray[Any]) -> None:
    """Write whole planes, and end when the last chunk is written, also where one failed: the library goes on then."""

    def put(start: tuple[int, ...]) -> None:
        z, y, x = start
        part = block[z : z + _CHUNK[0], y : y + _CHUNK[1], x : x + _CHUNK[2]]
        size_z, size_y, size_x = part.shape
        array[first_z + z : first_z + z + size_z, y : y + size_y, x : x + size_x] = part

    starts = itertools.product(*(range(0, size, chunk) for size, chunk in zip(block.shape, _CHUNK, strict=True)))
    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="mask-zarr") as workers:
        for _ in workers.map(put, starts):
            pass


def _ome(grid: _Grid, is_instances: bool) -> dict[str, Any]:
    """OME-Zarr 0.5 metadata (ngff.openmicroscopy.org/0.5), which also say where coarse voxels lie."""
    datasets = [
        {
            "path": str(level),
            "coordinateTransformations": [grid.scale(level), grid.translation(level, is_instances=is_instances)],
        }
        for level in range(LEVELS)
    ]
    axes = [{"name": name, "type": "space", "unit": "angstrom"} for name in "zyx"]
    return {
        "version": "0.5",
        "multiscales": [{"name": "/", "axes": axes, "datasets": datasets}],
        "image-label": {},
    }


def _write_mrc(source: _Voxels, path: Path, grid: _Grid, notes: Mapping[str, Any]) -> None:
    import mrcfile

    write_mrc(path, source, grid.spacing_angstrom, stop=source.stop)
    labels = _mrc_labels(notes)
    with mrcfile.mmap(path, mode="r+") as mrc:
        mrc.voxel_size = grid.spacing_angstrom  # with all the digits that 32 bits hold
        mrc.header.origin = grid.origin_angstrom[::-1]
        mrc.header.nlabl = len(labels)
        mrc.header.label = np.array([*labels, *[b""] * (_MAX_LABELS - len(labels))], dtype=f"S{_LABEL_CHARACTERS}")


def _mrc_labels(notes: Mapping[str, Any]) -> list[bytes]:
    """The ten lines of 80 characters that MRC has for what a file is."""
    source = notes["source"]
    lines = [
        f"Written by napari-cryoet {__version__}, {notes['written_at']}",
        _line("Object", source.get("object_name")),
        _line("Run", source.get("run_name")),
        _line("Authors", ", ".join(map(str, source.get("authors") or ()))),
        _line("DOI", ", ".join(map(str, source.get("dois") or ()))),
        _line("Deposition", source.get("deposition_id")),
        _line("Licence", source.get("licence")),
        _line("Method", source.get("annotation_method")),
        _line("Alignment", notes.get("alignment_id") or source.get("alignment_id")),
        "More in the .provenance.json beside this file",
    ]
    return [line.encode("ascii", errors="replace")[:_LABEL_CHARACTERS] for line in lines if line]


def _line(what: str, value: object) -> str:
    return f"{what}: {value}" if value else ""
