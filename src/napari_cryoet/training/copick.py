"""A copick project of a selection, which trains as it is.

::

    PROJECT/config.json                         open this with copick: objects with labels, colours and radii
    PROJECT/splits.json                         the names of the runs of each split, if there are any
    PROJECT/static/ExperimentRuns/RUN/...       what the portal has: copick only reads here
    PROJECT/overlay/                            for your own picks and segmentations
    PROJECT/portal/                             volumes as they were downloaded: a pack, to which the project is linked

Volumes on this computer are linked, not copied, where the disk can do that. A project of coarse levels has them as its
finest ones, as copick reads these.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any, Final

from napari_cryoet.download import download_files
from napari_cryoet.download.plan import every_cell, plan_cells
from napari_cryoet.exceptions import raise_if_stopped
from napari_cryoet.files import local_path, replace_file, written_whole
from napari_cryoet.formats.ome_zarr import find_multiscales
from napari_cryoet.formats.registry import write_picks
from napari_cryoet.training.selection import (
    ExportReport,
    Progress,
    SelectedAnnotation,
    Selection,
    folder_to_write,
    read_points,
    side_by_side,
)
from napari_cryoet.wording import size_text

CONFIG_NAME: Final = "config.json"


def export_copick(
    selection: Selection,
    folder: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress = lambda _share, _words: None,
    stop: threading.Event | None = None,
) -> ExportReport:
    """Write a copick project; volumes that aren't on this computer are downloaded, and that continues after a stop.

    Parameters
    ----------
    selection
        From `select_basket`.
    overwrite
        Replace a project that is there; what is in its ``overlay`` stays.
    stop
        Set it to end; what is there then is taken up by the next export into the folder.

    Raises
    ------
    ExistsError
        If there is a project already, and ``overwrite`` isn't set.
    DownloadError, NetworkError, SaveError
        If something can't be fetched or written.
    StoppedError
        When ``stop`` is set.
    """
    folder = folder_to_write(folder, CONFIG_NAME, overwrite=overwrite)
    static, n_picks = folder / "static", 0
    if (folder / CONFIG_NAME).exists():  # its runs aren't those of this selection
        (folder / CONFIG_NAME).unlink()
        (folder / "splits.json").unlink(missing_ok=True)
        shutil.rmtree(static / "ExperimentRuns", ignore_errors=True)
    points = [each for each in selection.annotations if each.is_points]
    for each, picks in side_by_side(read_points, points, lambda _share, words: progress(0.0, words), stop):
        write_picks(picks, static / _path(each), format="copick", overwrite=True)
        n_picks += len(picks)
    volumes = dict(_volumes(selection))
    downloaded = _download(selection, {url for url, _ in volumes.values()}, folder / "portal", progress, stop)
    for path, (url, first_level) in volumes.items():
        raise_if_stopped(stop)
        local = local_path(url)
        _link(local or downloaded[url], static / path, first_level if local else 0)  # a download has no finer levels
    (folder / "overlay").mkdir(parents=True, exist_ok=True)
    if selection.splits:
        _write_json(folder / "splits.json", selection.splits)
    _write_json(folder / CONFIG_NAME, _config(selection, folder))  # last: a project that opens is whole
    return ExportReport(
        path=folder,
        n_runs=len(selection.runs),
        n_volumes=len(volumes),
        n_picks=n_picks,
        left_out=selection.left_out,
    )


def _config(selection: Selection, folder: Path) -> dict[str, Any]:
    return {
        "config_type": "filesystem",
        "name": folder.name,
        "description": f"{len(selection.runs)} runs of {selection.source.label}",
        "version": "1.0.0",
        "pickable_objects": selection.objects,
        "static_root": f"local://{(folder / 'static').as_posix()}",
        "overlay_root": f"local://{(folder / 'overlay').as_posix()}",
        "static_fs_args": {"auto_mkdir": False},
        "overlay_fs_args": {"auto_mkdir": True},
    }


def _volumes(selection: Selection) -> Iterator[tuple[str, tuple[str, int]]]:
    """Where copick looks for each OME-Zarr, below the root of its project; its address and the first level."""
    first_level = selection.first_level
    for run in selection.runs:
        for each in run.tomograms:
            folder = f"ExperimentRuns/{run.name}/VoxelSpacing{each.tomogram.voxel_spacing * 2**first_level:.3f}"
            yield f"{folder}/{each.kind}.zarr", (each.url, first_level)
    yield from ((_path(mask), (mask.file.https_path, 0)) for mask in selection.annotations if not mask.is_points)


def _path(each: SelectedAnnotation) -> str:
    """Where copick looks for an annotation, below the root of its project."""
    name = f"{each.user}_{each.session}_{each.object}"
    if each.is_points:
        return f"ExperimentRuns/{each.run.name}/Picks/{name}.json"
    folder = "InstanceSegmentations" if each.is_instances else "Segmentations"
    return f"ExperimentRuns/{each.run.name}/{folder}/{each.spacing_angstrom:.3f}_{name}.zarr"


def _download(
    selection: Selection, urls: Container[str], folder: Path, progress: Progress, stop: threading.Event | None
) -> dict[str, Path]:
    """Download the volumes that aren't on this computer; where each is then, by its address."""
    cells = [cell for cell in every_cell(selection.rows) if (url := cell[1][cell[2]]) in urls and not local_path(url)]
    if not cells:
        return {}

    def show(done_bytes: int, total_bytes: int) -> None:
        progress(done_bytes / max(1, total_bytes), f"{size_text(done_bytes)} of {size_text(total_bytes)}")

    plan = plan_cells(selection.rows, selection.source, cells, first_level=selection.first_level)
    download_files(plan, folder, progress=show, stop=stop)
    return {item.url: folder / item.path for item in plan.items}


def _link(source: Path, place: Path, skipped: int) -> None:
    """Put the levels of an OME-Zarr but for the finest at another place too, where they are called 0, 1, 2...

    Their files are links where the disk has them, else copies.
    """
    attributes = json.loads((source / ".zattrs").read_bytes())
    image = find_multiscales(attributes)[0]
    image["datasets"] = image["datasets"][skipped:]
    with written_whole(place, overwrite=True, flush=False) as unfinished:
        unfinished.mkdir()
        for number, dataset in enumerate(image["datasets"]):
            shutil.copytree(source / dataset["path"], unfinished / str(number), copy_function=_link_or_copy)
            dataset["path"] = str(number)
        (unfinished / ".zgroup").write_text('{"zarr_format": 2}')
        (unfinished / ".zattrs").write_text(json.dumps(attributes))


def _link_or_copy(file: str, target: str) -> None:
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)


def _write_json(path: Path, content: Any) -> None:
    replace_file(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
