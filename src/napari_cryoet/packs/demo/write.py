"""Write the demo pack: simulate every run, write its files as the portal lays them out, and its rows."""

from __future__ import annotations

import contextlib
import math
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.packs.demo import rows, sidecars
from napari_cryoet.packs.demo.content import HTTPS_PREFIX, RUNS, S3_PREFIX, RunPlan, Size
from napari_cryoet.packs.demo.pictures import save_cover
from napari_cryoet.packs.demo.place import Place
from napari_cryoet.packs.demo.run_files import RunWriter
from napari_cryoet.packs.pack import Manifest, write_pack
from napari_cryoet.packs.portal_zarr import folder_bytes
from napari_cryoet.stopping import raise_if_stopped

Progress = Callable[[float, str], None]

_MANIFEST: Final = Manifest(
    title="napari-cryoet demo",
    https_prefix=HTTPS_PREFIX,
    s3_prefix=S3_PREFIX,
    source="Simulated by napari-cryoet from a fixed seed; nothing in it was measured.",
    created="2026-11-24",
    licence="CC0-1.0",
)


def write_demo_pack(
    folder: Path | str,
    *,
    size: Size = "full",
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> Path:
    """Write the demo pack into a folder that doesn't exist or is empty; if that fails, it is so again.

    Parameters
    ----------
    folder
        Where to write.
    size
        "full" for people; "tiny" has the same content in voxels four times as large, for tests.
    progress
        Called with the share that is done (0 to 1) and words for it.
    stop
        Set it to give up.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FileExistsError
        There is something in the folder.
    StoppedError
        ``stop`` was set.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    is_new = not folder.exists()
    try:
        _write(folder, size, progress, stop)
    except BaseException:
        for part in ("files", "tables"):
            shutil.rmtree(folder / part, ignore_errors=True)
        if is_new:
            with contextlib.suppress(OSError):  # it was never made, or somebody put something there
                folder.rmdir()
        raise
    return folder


def _write(folder: Path, size: Size, progress: Progress | None, stop: threading.Event | None) -> None:
    files = folder / "files"
    tables = rows.Tables()
    rows.add_depositions(tables)
    for run, share_done in _with_share_done(RUNS):
        _report(progress, stop, share_done, f"Simulating run {run.name}")
        writer = RunWriter(files, tables, run, size=size, stop=stop)
        writer.write()
        if writer.cover is not None:
            _write_cover_once(files, run, writer.cover)
    _report(progress, stop, 0.98, "Writing tables")
    _finish_datasets(files, tables)
    for row in tables.rows["depositions"]:
        sidecars.write_deposition(Place(files, f"depositions_metadata/{row['id']}"), row)
    write_pack(folder, _MANIFEST, tables.rows)
    _report(progress, None, 1.0, "The demo is ready")


def _with_share_done(runs: Sequence[RunPlan]) -> Iterator[tuple[RunPlan, float]]:
    """Each run with the share of all voxels that come before it."""
    voxels = [math.prod(run.full_shape_zyx) * (1 + 2 * len(run.tomograms)) for run in runs]
    before = accumulate(voxels, initial=0)
    for run, done in zip(runs, before, strict=False):
        yield run, 0.97 * done / sum(voxels)


def _write_cover_once(files: Path, run: RunPlan, picture: NDArray[np.uint8]) -> None:
    """The first picture of a dataset becomes its photo and its deposition's."""
    folders = f"{run.dataset_id}/Images", f"depositions_metadata/{rows.deposition_of(run)}/Images"
    for folder in (Place(files, key).path for key in folders):
        if not folder.exists():
            save_cover(folder, picture)


def _finish_datasets(files: Path, tables: rows.Tables) -> None:
    for dataset_id in sorted({run.dataset_id for run in RUNS}):
        place = Place(files, str(dataset_id))
        sidecars.write_dataset(place, rows.dataset_row(dataset_id), dataset_id)
        rows.add_dataset(tables, dataset_id, folder_bytes(place.path))


def _report(progress: Progress | None, stop: threading.Event | None, share_done: float, words: str) -> None:
    raise_if_stopped(stop)
    if progress is not None:
        progress(share_done, words)
