"""Parts of tomograms at full resolution: a box as a small tomogram, or blocks of an OME-Zarr's finer levels."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.download.folder import (
    has_voxels_of,
    note_file,
    note_items,
    pack_of,
    write_tables,
)
from napari_cryoet.download.plan import Plan, plan_cells
from napari_cryoet.download.run import check_place
from napari_cryoet.download.transfer import sha256_of
from napari_cryoet.exceptions import DownloadError, NotFoundError
from napari_cryoet.files import written_whole
from napari_cryoet.formats.ome_zarr import BLOCK, add_blocks, parse_multiscale, write_pyramid
from napari_cryoet.portal.portal import Portal, ask_rows, ask_table
from napari_cryoet.streaming.grid import Box
from napari_cryoet.tables.database import Row, Rows
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.volumes import Volume, open_volume

BlockNumbers: TypeAlias = set[tuple[int, int, int]]


def download_region(
    portal: Portal,
    tomogram_id: int,
    box_zyx: Box,
    folder: str | Path,
    *,
    task: Task = UNWATCHED,
) -> Path:
    """Download a box of a tomogram's finest level into a folder, which becomes a pack; returns the OME-Zarr's path.

    Only blocks that overlap the box are fetched. In the pack, the tomogram has the size of the box
    and an offset, so that annotations fit it like the whole one.

    Parameters
    ----------
    box_zyx
        The start and the exclusive end, in voxels, along z, y and x.

    Raises
    ------
    NotFoundError
        If there is no such tomogram.
    DownloadError
        If the box isn't inside the tomogram, or the folder has the whole tomogram or can't be written.
    StreamError
        If voxels can't be read.
    StoppedError
        If ``task`` is stopped; nothing is left behind.
    """
    folder = Path(folder).expanduser().absolute()
    tomograms = ask_table(
        portal, "tomograms", {"id": {"_eq": tomogram_id}}, columns=["runId"], task=task
    )
    if not tomograms:
        raise NotFoundError(f"The portal has no tomogram {tomogram_id}.")
    rows = ask_rows(portal, run_ids=[tomograms[0]["runId"]], task=task)
    row = next(row for row in rows["tomograms"] if row["id"] == tomogram_id)
    plan = _plan(portal, rows, row, box_zyx)
    (item,) = plan.items
    target = folder / item.path
    pack = pack_of(folder, plan)
    if pack and any(
        each["id"] == row["id"] and has_voxels_of(each, row) for each in pack.tables["tomograms"]
    ):
        raise DownloadError(
            "The folder has the whole tomogram already.", hint="Choose another folder."
        )
    check_place(folder, item.size_bytes or 0)
    volume = open_volume(item.url.partition("#")[0], task=task)
    try:
        voxels = _Voxels(volume, box_zyx, task)
        with written_whole(target, overwrite=True, flush=False) as unfinished:
            write_pyramid(unfinished, voxels, row["voxelSpacing"], task=task)
        note_items(folder, plan, task, begins=True)
        for path in sorted(each for each in target.rglob("*") if each.is_file()):
            note_file(
                folder,
                path.relative_to(folder).as_posix(),
                item.url,
                path.stat().st_size,
                sha256_of(path, task),
            )
        note_items(folder, plan, task, complete={item.path})
        write_tables(folder, plan, {item.path})
    except OSError as error:
        raise DownloadError(f"{error.filename or folder}: {error.strerror or error}.") from error
    finally:
        volume.close()
    return target


def _plan(portal: Portal, rows: Rows, row: Row, box_zyx: Box) -> Plan:
    """A plan for the box alone, as a tomogram of its size."""
    sizes = [row[f"size{axis}"] for axis in "ZYX"]
    if not all(0 <= start < end <= size for (start, end), size in zip(box_zyx, sizes, strict=True)):
        whole = " x ".join(map(str, sizes))
        raise DownloadError(
            "The region isn't in the tomogram.", hint=f"It has {whole} voxels along z, y and x."
        )
    url = row["httpsOmezarrDir"] or row["httpsMrcFile"]
    if not url:
        raise DownloadError("The portal lists no file of this tomogram.")
    spans = "_".join(
        f"{axis}{start}-{end}" for axis, (start, end) in zip("zyx", box_zyx, strict=True)
    )
    stem = url.rstrip("/").removesuffix(".zarr").removesuffix(".mrc")
    region = row | {
        "httpsOmezarrDir": f"{stem}.{spans}.zarr",
        "httpsMrcFile": None,
        "s3MrcFile": None,
        "fileSizeOmezarr": float(4 * np.prod([end - start for start, end in box_zyx])),
        "fileSizeMrc": None,
        "tomogramVoxelSpacingId": None,  # the grid of that record is that of the annotations
        **dict.fromkeys(f"scale{n}Dimensions" for n in range(3)),
        **{f"size{axis}": end - start for axis, (start, end) in zip("ZYX", box_zyx, strict=True)},
        **{
            f"offset{axis}": row[f"offset{axis}"] + start
            for axis, (start, _) in zip("ZYX", box_zyx, strict=True)
        },
    }
    rows = {**rows, "tomograms": [region]}
    plan = plan_cells(rows, portal.source, [("tomograms", region, "httpsOmezarrDir")])
    (item,) = plan.items
    about = {"region_of": url, "box_zyx": [list(span) for span in box_zyx]}
    return replace(plan, items=(replace(item, url=f"{url}#{spans}"),), about=about)


class _Voxels:
    """The voxels of a box, read slab by slab while they are written."""

    def __init__(self, volume: Volume, box: Box, task: Task) -> None:
        self._volume = volume
        self._box = box
        self._task = task
        self.shape = tuple(end - start for start, end in box)
        self.dtype = np.dtype("f4")  # like the portal's tomograms
        self._done_bytes = 0

    def __getitem__(self, region: tuple[slice, slice, slice], /) -> NDArray[Any]:
        spans = (part.indices(size)[:2] for part, size in zip(region, self.shape, strict=True))
        box = tuple(
            (start + first, start + last)
            for (start, _), (first, last) in zip(self._box, spans, strict=True)
        )
        values = self._volume.read(0, box, task=self._task).astype(self.dtype, copy=False)
        self._done_bytes += values.nbytes
        total_bytes = int(np.prod(self.shape)) * self.dtype.itemsize
        self._task.step_bytes(self._done_bytes, total_bytes)
        return values


# blocks of levels


def blocks_in(
    boxes_zyx: Iterable[Box], shape_zyx: Sequence[int], factor: float = 1.0
) -> BlockNumbers:
    """The blocks of a level that overlap boxes.

    Parameters
    ----------
    boxes_zyx
        Start and end (exclusive) in voxels of the finest level; parts outside are ignored.
    shape_zyx
        The shape of the level in voxels.
    factor
        The size of its voxels in voxels of the finest level.
    """
    blocks: BlockNumbers = set()
    for box in boxes_zyx:
        along_z, along_y, along_x = (
            range(
                max(0, int(start // factor)) // BLOCK,
                -(-min(size, int(-(-end // factor))) // BLOCK),
            )
            for (start, end), size in zip(box, shape_zyx, strict=True)
        )
        blocks.update(itertools.product(along_z, along_y, along_x))
    return blocks


def download_blocks(
    url: str, target: Path, boxes_zyx: Sequence[Box], n_levels: int, *, task: Task = UNWATCHED
) -> None:
    """Add the blocks that overlap boxes to the first ``n_levels`` levels of a downloaded OME-Zarr.

    Voxels stay as they are; only the size of the chunks is another. StreamError if the image can't
    be read.
    """
    from napari_cryoet.streaming import open_pyramid

    pyramid = open_pyramid(url, task=task)
    try:
        names = [level.path for level in parse_multiscale(pyramid.metadata, url).levels]
        for level in range(min(n_levels, len(names) - 1)):
            part = task.part(level / n_levels, (level + 1) / n_levels)
            blocks = blocks_in(boxes_zyx, pyramid.shapes[level], pyramid.factors[level][0])
            add_blocks(target, names[level], pyramid.levels[level], blocks, task=part)
    finally:
        pyramid.close()
