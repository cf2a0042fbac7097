"""Export a selection as a copick project that is ready for training.

::

    PROJECT/config.json                         open this with copick: objects with labels, colours
    and radii PROJECT/splits.json                         the names of the runs of each split, if
    there are any PROJECT/static/ExperimentRuns/RUN/...       data of the portal, which copick only
    reads PROJECT/overlay/                            for your own picks and segmentations
    PROJECT/portal/                             downloaded volumes: a pack that the project links to

Volumes on this computer are hard-linked, or copied if the file system can't link. If only coarse
levels are selected, they are renumbered from 0, because copick reads level 0.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any, Final

from napari_cryoet.download import download_files
from napari_cryoet.download.plan import plan_cells
from napari_cryoet.exports.selection import (
    ExportReport,
    SelectedAnnotation,
    Selection,
    folder_to_write,
    map_concurrently,
    read_points,
)
from napari_cryoet.files import replace_file, written_whole
from napari_cryoet.formats.ome_zarr import create_array, find_multiscales
from napari_cryoet.formats.registry import write_picks
from napari_cryoet.locations import Location
from napari_cryoet.runs.files import every_cell
from napari_cryoet.task import UNWATCHED, Task

CONFIG_NAME: Final = "config.json"


def export_copick(
    selection: Selection,
    folder: str | Path,
    *,
    overwrite: bool = False,
    task: Task = UNWATCHED,
) -> ExportReport:
    """Write a copick project, downloading volumes that aren't on this computer. Stopped downloads are resumed.

    Parameters
    ----------
    selection
        From `select_basket`.
    overwrite
        Replace an existing project, except for its ``overlay``.
    task
        Stop it, and the next export into the same folder resumes.

    Raises
    ------
    ExistsError
        If there is a project and ``overwrite`` isn't set.
    DownloadError, NetworkError, SaveError
        If a file can't be fetched or written.
    StoppedError
        When ``task`` is stopped.
    """
    folder = folder_to_write(folder, CONFIG_NAME, overwrite=overwrite)
    static, n_picks = folder / "static", 0
    if (folder / CONFIG_NAME).exists():  # its runs may differ from this selection's
        (folder / CONFIG_NAME).unlink()
        (folder / "splits.json").unlink(missing_ok=True)
        shutil.rmtree(static / "ExperimentRuns", ignore_errors=True)
    points = [each for each in selection.annotations if each.is_points]
    for each, picks in map_concurrently(read_points, points, task.part(0.0, 0.1)):
        write_picks(picks, static / _path(each), format="copick", overwrite=True)
        n_picks += len(picks)
    volumes = dict(_volumes(selection))
    urls = {url for url, _ in volumes.values()}
    downloaded = _download(selection, urls, folder / "portal", task.part(0.1, 1.0))
    for path, (url, first_level) in volumes.items():
        task.check()
        local = Location.of(url).path
        _link(
            local or downloaded[url], static / path, first_level if local else 0
        )  # downloads start at the first level
    (folder / "overlay").mkdir(parents=True, exist_ok=True)
    if selection.splits:
        _write_json(folder / "splits.json", selection.splits)
    _write_json(
        folder / CONFIG_NAME, _config(selection, folder)
    )  # written last, so that a project that opens is complete
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
    """The path of each OME-Zarr below the project's static root, its URL and its first level."""
    first_level = selection.first_level
    for run in selection.runs:
        for each in run.tomograms:
            folder = f"ExperimentRuns/{run.name}/VoxelSpacing{each.tomogram.voxel_spacing * 2**first_level:.3f}"
            yield f"{folder}/{each.kind}.zarr", (each.url, first_level)
    yield from (
        (_path(mask), (mask.file.https_path, 0))
        for mask in selection.annotations
        if not mask.is_points
    )


def _path(each: SelectedAnnotation) -> str:
    """The path of an annotation below the project's static root."""
    name = f"{each.user}_{each.session}_{each.object}"
    if each.is_points:
        return f"ExperimentRuns/{each.run.name}/Picks/{name}.json"
    folder = "InstanceSegmentations" if each.is_instances else "Segmentations"
    return f"ExperimentRuns/{each.run.name}/{folder}/{each.spacing_angstrom:.3f}_{name}.zarr"


def _download(
    selection: Selection,
    urls: Container[str],
    folder: Path,
    task: Task,
) -> dict[str, Path]:
    """Download the volumes that aren't on this computer, and return their paths by URL."""
    cells = [
        cell
        for cell in every_cell(selection.rows)
        if (url := cell[1][cell[2]]) in urls and Location.of(url).is_remote
    ]
    if not cells:
        return {}
    plan = plan_cells(selection.rows, selection.source, cells, first_level=selection.first_level)
    download_files(plan, folder, task=task)
    return {item.url: folder / item.path for item in plan.items}


def _link(source: Path, target: Path, n_skipped: int) -> None:
    """Link an OME-Zarr to another path without its ``n_skipped`` finest levels; levels are renumbered from 0.

    Files are copied if the file system can't link them. OME-Zarr 0.5, which copick can't read, is
    written again as 0.4.
    """
    is_new = (source / "zarr.json").exists()
    attributes = json.loads((source / ("zarr.json" if is_new else ".zattrs")).read_bytes())
    if is_new:
        (image, *_) = find_multiscales(attributes["attributes"])
        attributes = {"multiscales": [image | {"version": "0.4"}]}
    image = find_multiscales(attributes)[0]
    image["datasets"] = image["datasets"][n_skipped:]
    with written_whole(target, overwrite=True, flush=False) as unfinished:
        unfinished.mkdir()
        (unfinished / ".zgroup").write_text('{"zarr_format": 2}')
        for number, dataset in enumerate(image["datasets"]):
            level = source / dataset["path"]
            if is_new:
                _write_again(level, unfinished, str(number))
            else:
                shutil.copytree(level, unfinished / str(number), copy_function=_link_or_copy)
            dataset["path"] = str(number)
        (unfinished / ".zattrs").write_text(json.dumps(attributes))


def _write_again(level: Path, group: Path, name: str) -> None:
    """Write an array of OME-Zarr 0.5 as one of 0.4."""
    import dask.array as da
    import zarr

    values = da.from_zarr(level)  # type: ignore[no-untyped-call]
    array = create_array(zarr.open_group(group, zarr_format=2), name, values, "tomogram", "0.4")
    da.store(values.rechunk(array.chunks), array)


def _link_or_copy(file: str, target: str) -> None:
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)


def _write_json(path: Path, content: Any) -> None:
    replace_file(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
