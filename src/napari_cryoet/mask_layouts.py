"""The files of a mask whose values were looked at: OME-Zarr as the portal has it and of version 0.5, and MRC."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from napari_cryoet import provenance
from napari_cryoet._version import __version__
from napari_cryoet.formats import portal_zarr
from napari_cryoet.formats.portal_zarr import LEVELS, coarser, write_pyramid
from napari_cryoet.mask_voxels import CheckedVoxels
from napari_cryoet.stopping import raise_if_stopped
from napari_cryoet.volumes import ATTRIBUTE

_CHUNK: Final = (128, 128, 128)
_LABEL_CHARACTERS: Final = 80
_MAX_LABELS: Final = 10


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the voxels lie: how wide they are, and where the first one is, z, y, x, in ångström."""

    spacing_angstrom: float
    origin_angstrom: tuple[float, ...]

    @classmethod
    def of(cls, spacing_angstrom: float, about: Mapping[str, Any]) -> Grid:
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
        """Whether the first voxel lies elsewhere than at 0."""
        return any(self.origin_angstrom)

    def scale(self, level: int) -> dict[str, Any]:
        """How wide the voxels of a level are, as OME-Zarr has it."""
        return {"type": "scale", "scale": [self.spacing_angstrom * 2**level] * 3}

    def translation(self, level: int, *, is_instances: bool) -> dict[str, Any]:
        """Where the first voxel of a level is: amid those it stands for, or on the one that it was taken from."""
        shift = 0.0 if is_instances else (2**level - 1) / 2 * self.spacing_angstrom
        return {"type": "translation", "translation": [position + shift for position in self.origin_angstrom]}


def write_portal_zarr(
    source: CheckedVoxels, folder: Path, grid: Grid, is_instances: bool, notes: Mapping[str, Any]
) -> None:
    """Write zarr v2 as the portal does, with more digits of the spacing, and an origin where there is one."""
    write_pyramid(folder, source, grid.spacing_angstrom, "instances" if is_instances else "mask", stop=source.stop)
    attributes = json.loads((folder / ".zattrs").read_text(encoding="utf-8"))
    for level, dataset in enumerate(attributes["multiscales"][0]["datasets"]):  # the portal rounds to three digits
        dataset["coordinateTransformations"] = [grid.scale(level)]
        if grid.has_origin:  # the portal's have none
            dataset["coordinateTransformations"].append(grid.translation(level, is_instances=is_instances))
    attributes[ATTRIBUTE] = dict(notes)
    (folder / ".zattrs").write_text(json.dumps(attributes, indent=4, default=str), encoding="utf-8", newline="\n")


def write_zarr(source: CheckedVoxels, folder: Path, grid: Grid, is_instances: bool, notes: Mapping[str, Any]) -> None:
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
        below = coarser(block, kind)
        coarse[planes.start // 2 : planes.start // 2 + len(below)] = below
    for level in range(1, LEVELS):
        raise_if_stopped(source.stop)
        _put(arrays[level], 0, coarse)
        coarse = coarser(coarse, kind)
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


def _ome(grid: Grid, is_instances: bool) -> dict[str, Any]:
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


def write_mrc(source: CheckedVoxels, path: Path, grid: Grid, notes: Mapping[str, Any]) -> None:
    """Write an MRC file, with the full spacing, its origin, and in its labels where it comes from."""
    import mrcfile

    portal_zarr.write_mrc(path, source, grid.spacing_angstrom, stop=source.stop)
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
        _line("Authors", source.get("authors")),
        _line("DOI", source.get("dois")),
        _line("Deposition", source.get("deposition_id")),
        _line("Licence", source.get("licence")),
        _line("Method", source.get("annotation_method")),
        _line("Alignment", notes.get("alignment_id") or source.get("alignment_id")),
        "More in the .provenance.json beside this file",
    ]
    return [line.encode("ascii", errors="replace")[:_LABEL_CHARACTERS] for line in lines if line]


def _line(what: str, value: object) -> str:
    value = ", ".join(map(str, value)) if isinstance(value, list) else value
    return f"{what}: {value}" if value else ""
