"""A region of a tomogram: a box of exact voxels, written as a small tomogram that lies where it was cut out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.download.folder import is_whole_tomogram, note_file, note_items, pack_of, write_tables
from napari_cryoet.download.plan import Plan, plan_cells
from napari_cryoet.download.rows import Row, ask_rows, ask_table
from napari_cryoet.download.run import check_place
from napari_cryoet.download.transfer import sha256_of
from napari_cryoet.exceptions import DownloadError, NotFoundError, raise_if_stopped
from napari_cryoet.files import written_whole
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.portal.portal import Portal
from napari_cryoet.tables.database import Rows
from napari_cryoet.volumes import Box, Volume, open_volume


def download_region(
    portal: Portal,
    tomogram_id: int,
    box_zyx: Box,
    folder: str | Path,
    *,
    progress: Callable[[int, int], None] | None = None,
    stop: threading.Event | None = None,
) -> Path:
    """Fetch a box of a tomogram's finest level into a folder, which becomes a pack; gives the OME-Zarr's path.

    Only the blocks that the box touches are fetched. In the pack the tomogram has the size of the box, and an offset:
    annotations lie over it as over the whole one.

    Parameters
    ----------
    box_zyx
        The first voxel and the one after the last along z, y and x.
    progress
        Called with how many bytes of voxels are written, and how many there will be.

    Raises
    ------
    NotFoundError
        If there is no such tomogram.
    DownloadError
        If the box isn't in the tomogram, the folder has the whole tomogram, or can't be written.
    StreamError
        If voxels can't be read.
    StoppedError
        If ``stop`` is set; nothing is left then.
    """
    folder, stop = Path(folder).expanduser().absolute(), stop or threading.Event()
    found = ask_table(portal, "tomograms", {"id": {"_eq": tomogram_id}}, columns=["runId"], stop=stop)
    if not found:
        raise NotFoundError(f"The portal has no tomogram {tomogram_id}.")
    rows = ask_rows(portal, run_ids=[found[0]["runId"]], stop=stop)
    row = next(row for row in rows["tomograms"] if row["id"] == tomogram_id)
    plan = _plan(portal, rows, row, box_zyx)
    (item,) = plan.items
    place = folder / item.path
    before = pack_of(folder, plan)
    if before and any(each["id"] == row["id"] and is_whole_tomogram(each, row) for each in before.tables["tomograms"]):
        raise DownloadError("The folder has the whole tomogram already.", hint="Choose another folder.")
    check_place(folder, item.size_bytes or 0)
    volume = open_volume(item.url.partition("#")[0], stop=stop)
    try:
        voxels = _Voxels(volume, box_zyx, progress or (lambda _done, _total: None), stop)
        with written_whole(place, overwrite=True, flush=False) as unfinished:
            write_pyramid(unfinished, voxels, row["voxelSpacing"], stop=stop)
        note_items(folder, plan, stop, begins=True)
        for path in sorted(each for each in place.rglob("*") if each.is_file()):
            note_file(folder, path.relative_to(folder).as_posix(), item.url, path.stat().st_size, sha256_of(path, stop))
        note_items(folder, plan, stop, complete={item.path})
        write_tables(folder, plan, {item.path})
    except OSError as error:
        raise DownloadError(f"{error.filename or folder}: {error.strerror or error}.") from error
    finally:
        volume.close()
    return place


def _plan(portal: Portal, rows: Rows, row: Row, box_zyx: Box) -> Plan:
    """A plan of nothing but the box, whose tomogram is as large as it."""
    sizes = [row[f"size{axis}"] for axis in "ZYX"]
    if not all(0 <= start < end <= size for (start, end), size in zip(box_zyx, sizes, strict=True)):
        whole = " x ".join(map(str, sizes))
        raise DownloadError("The region isn't in the tomogram.", hint=f"That has {whole} voxels along z, y and x.")
    url = row["httpsOmezarrDir"] or row["httpsMrcFile"]
    if not url:
        raise DownloadError("The portal lists no file of this tomogram.")
    words = "_".join(f"{axis}{start}-{end}" for axis, (start, end) in zip("zyx", box_zyx, strict=True))
    stem = url.rstrip("/").removesuffix(".zarr").removesuffix(".mrc")
    region = row | {
        "httpsOmezarrDir": f"{stem}.{words}.zarr",
        "httpsMrcFile": None,
        "s3MrcFile": None,
        "fileSizeOmezarr": float(4 * np.prod([end - start for start, end in box_zyx])),
        "fileSizeMrc": None,
        "tomogramVoxelSpacingId": None,  # whose grid is that of the annotations
        **dict.fromkeys(f"scale{n}Dimensions" for n in range(3)),
        **{f"size{axis}": end - start for axis, (start, end) in zip("ZYX", box_zyx, strict=True)},
        **{f"offset{axis}": row[f"offset{axis}"] + start for axis, (start, _) in zip("ZYX", box_zyx, strict=True)},
    }
    rows = {**rows, "tomograms": [region]}
    plan = plan_cells(rows, portal.source, [("tomograms", region, "httpsOmezarrDir")])
    (item,) = plan.items
    about = {"region_of": url, "box_zyx": [list(span) for span in box_zyx]}
    return replace(plan, items=(replace(item, url=f"{url}#{words}"),), about=about)


class _Voxels:
    """The voxels of a box, read a slab at a time while they are written."""

    def __init__(self, volume: Volume, box: Box, progress: Callable[[int, int], None], stop: threading.Event) -> None:
        self._volume, self._box, self._progress, self._stop = volume, box, progress, stop
        self.shape = tuple(end - start for start, end in box)
        self.dtype = np.dtype("f4")  # as the portal has tomograms
        self._done_bytes = 0

    def __getitem__(self, region: tuple[slice, slice, slice], /) -> NDArray[Any]:
        raise_if_stopped(self._stop)
        spans = (part.indices(size)[:2] for part, size in zip(region, self.shape, strict=True))
        box = tuple((start + first, start + last) for (start, _), (first, last) in zip(self._box, spans, strict=True))
        values = self._volume.read(0, box, stop=self._stop).astype(self.dtype, copy=False)
        self._done_bytes += values.nbytes
        self._progress(self._done_bytes, int(np.prod(self.shape)) * self.dtype.itemsize)
        return values
