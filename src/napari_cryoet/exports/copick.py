"""Export a selection as a copick project that is ready for training.

::

    PROJECT/config.json                     open this with copick: objects with labels and radii
    PROJECT/splits.json                     the names of the runs of each split, if there are any
    PROJECT/static/ExperimentRuns/RUN/...   data of the portal, which copick only reads
    PROJECT/overlay/                        for your own picks and segmentations
    PROJECT/portal/                         downloaded volumes: a pack that the project links to

Volumes on this computer are hard-linked, or copied if the file system can't link. If only coarse
levels are selected, they are renumbered from 0, because copick reads level 0.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from napari_cryoet.download.plan import plan_cells
from napari_cryoet.download.run import download_files
from napari_cryoet.exceptions import LeftOutError
from napari_cryoet.exports.selection import (
    SAME_SPACING,
    ExportReport,
    SelectedAnnotation,
    SelectedRun,
    SelectedTomogram,
    Selection,
    folder_to_write,
    map_concurrently,
    read_points,
)
from napari_cryoet.files import replace_file, written_whole
from napari_cryoet.formats.ome_zarr import create_array, find_multiscales, parse_partial
from napari_cryoet.formats.registry import write_picks
from napari_cryoet.locations import Location
from napari_cryoet.runs.runs import LEVELS, every_cell
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.wording import count_text, spacing_text

CONFIG_NAME: Final = "config.json"


def export_copick(
    selection: Selection,
    folder: str | Path,
    *,
    spacing_angstrom: float | None = None,
    overwrite: bool = False,
    task: Task = UNWATCHED,
) -> ExportReport:
    """Write a copick project, downloading volumes that aren't on this computer. Stopped downloads are resumed.

    Parameters
    ----------
    selection
        From `select_basket`.
    spacing_angstrom
        The voxel size of all runs. Levels of tomograms within half a percent of it are exported
        under this voxel size, and positions of picks are scaled to stay on their voxels. Other
        tomograms are left out.
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
    static = folder / "static"
    left_out = list(selection.left_out)
    plans = [
        _plan_run(run, selection.first_level, spacing_angstrom, left_out) for run in selection.runs
    ]
    factors = {plan.run.name: plan.factor for plan in plans}
    n_picks = 0
    if (folder / CONFIG_NAME).exists():  # its runs may differ from this selection's
        (folder / CONFIG_NAME).unlink()
        (folder / "splits.json").unlink(missing_ok=True)
        shutil.rmtree(static / "ExperimentRuns", ignore_errors=True)
    points = [each for each in selection.annotations if each.is_points]
    for each, picks in map_concurrently(read_points, points, task.part(0.0, 0.1)):
        factor = factors[each.run.name]
        edit = "" if factor == 1 else f"scaled by {factor:.6g}, with the voxels of its tomogram"
        scaled = picks.changed(edit, spacing_angstrom=each.spacing_angstrom * factor)
        write_picks(scaled, static / _path(each, factor), format="copick", overwrite=True)
        n_picks += len(picks)
    volumes = dict(_volumes(selection, plans))
    downloaded = _download(selection, [*volumes.values()], folder / "portal", task.part(0.1, 1.0))
    for path, (url, first_level) in volumes.items():
        task.check()
        local = Location.of(url).path
        if local is None:  # downloads start at the first level
            _link(downloaded[url, first_level], static / path, 0)
        else:
            _link(local, static / path, first_level)
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
        left_out=tuple(left_out),
        remarks=(*selection.remarks, *_remarks(plans, spacing_angstrom)),
    )


@dataclass(frozen=True, slots=True)
class _RunPlan:
    """The tomograms of a run with the finest level of each, and the factor of all its lengths."""

    run: SelectedRun
    tomograms: tuple[tuple[SelectedTomogram, int], ...]
    factor: float = 1.0  # of the exported voxel size to the true one


def _plan_run(
    run: SelectedRun, first_level: int, wanted: float | None, left_out: list[str]
) -> _RunPlan:
    """Plan a run; its tomograms without a level of the wanted voxel size are left out."""
    if wanted is None:
        return _RunPlan(run, tuple((each, first_level) for each in run.tomograms))
    planned: list[tuple[SelectedTomogram, int]] = []
    factor = 1.0
    for each in run.tomograms:
        spacing = each.tomogram.voxel_spacing
        level = max(first_level, min(LEVELS - 1, round(math.log2(wanted / spacing))))
        ratio = wanted / (spacing * 2**level)
        factor = factor if planned else ratio
        if abs(ratio - 1) <= SAME_SPACING and math.isclose(ratio, factor):
            planned.append((each, level))
        else:
            left_out.append(
                f"TM-{each.tomogram.id} of {run.name}: it has no level with voxels of "
                f"{spacing_text(wanted)}, but {spacing_text(spacing)} and coarser."
            )
    return _RunPlan(run, tuple(planned), factor if planned else 1.0)


def _remarks(plans: Iterable[_RunPlan], wanted: float | None) -> Iterator[str]:
    """Which voxel sizes are called otherwise."""
    factors = Counter(plan.factor for plan in plans if plan.factor != 1)
    for factor, count in factors.items():
        true = spacing_text((wanted or 0) / factor)
        called = spacing_text(wanted)
        yield (
            f"{count_text(count, 'run')}: voxels of {true} are called {called}, and positions of "
            "picks are scaled to stay on their voxels."
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


def _volumes(
    selection: Selection, plans: Iterable[_RunPlan]
) -> Iterator[tuple[str, tuple[str, int]]]:
    """The path of each OME-Zarr below the project's static root, its URL and its first level."""
    for plan in plans:
        for each, level in plan.tomograms:
            spacing = each.tomogram.voxel_spacing * 2**level * plan.factor
            folder = f"ExperimentRuns/{plan.run.name}/VoxelSpacing{spacing:.3f}"
            yield f"{folder}/{each.kind}.zarr", (each.url, level)
    factors = {plan.run.name: plan.factor for plan in plans}
    for mask in selection.annotations:
        if not mask.is_points:
            yield _path(mask, factors[mask.run.name]), (mask.file.https_path, 0)


def _path(each: SelectedAnnotation, factor: float) -> str:
    """The path of an annotation below the project's static root."""
    name = f"{each.user}_{each.session}_{each.object}"
    if each.is_points:
        return f"ExperimentRuns/{each.run.name}/Picks/{name}.json"
    folder = "InstanceSegmentations" if each.is_instances else "Segmentations"
    spacing = each.spacing_angstrom * factor
    return f"ExperimentRuns/{each.run.name}/{folder}/{spacing:.3f}_{name}.zarr"


def _download(
    selection: Selection,
    volumes: Collection[tuple[str, int]],
    folder: Path,
    task: Task,
) -> dict[tuple[str, int], Path]:
    """Download the volumes that aren't on this computer; their paths by URL and first level."""
    remote = [volume for volume in volumes if Location.of(volume[0]).is_remote]
    levels = sorted({level for _, level in remote})
    paths: dict[tuple[str, int], Path] = {}
    for number, level in enumerate(levels):
        urls = {url for url, first_level in remote if first_level == level}
        cells = [cell for cell in every_cell(selection.rows) if cell[1][cell[2]] in urls]
        plan = plan_cells(selection.rows, selection.source, cells, first_level=level)
        part = task.part(number / len(levels), (number + 1) / len(levels))
        download_files(plan, folder, task=part)
        paths |= {(item.url, level): folder / item.path for item in plan.items}
    return paths


def _link(source: Path, target: Path, n_skipped: int) -> None:
    """Link an OME-Zarr to another path without its ``n_skipped`` finest levels; levels are renumbered from 0.

    Files are copied if the file system can't link them. OME-Zarr 0.5, which copick can't read, is
    written again as 0.4. LeftOutError if a pack left out a part of a linked level.
    """
    is_new = (source / "zarr.json").exists()
    attributes = json.loads((source / ("zarr.json" if is_new else ".zattrs")).read_bytes())
    partial = parse_partial(attributes.get("attributes", attributes), source.name)
    if is_new:
        (image, *_) = find_multiscales(attributes["attributes"])
        attributes = {"multiscales": [image | {"version": "0.4"}]}
    image = find_multiscales(attributes)[0]
    image["datasets"] = image["datasets"][n_skipped:]
    if any(dataset["path"] in partial for dataset in image["datasets"]):
        raise LeftOutError(
            f"The pack has only a part of {source.name} at full resolution.",
            hint="Choose a coarser level, or export from the portal.",
        )
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
