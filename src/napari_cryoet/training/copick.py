"""A copick project of a selection, which trains as it is.

::

    PROJECT/config.json                         open this with copick: objects with labels, colours and radii
    PROJECT/splits.json                         the names of the runs of each split, if there are any
    PROJECT/sources.json                        where each volume comes from and whom to cite; picks have it beside them
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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from napari_cryoet.download import download_files
from napari_cryoet.download.plan import plan_cells
from napari_cryoet.exceptions import ExistsError, raise_if_stopped
from napari_cryoet.files import local_path, path_to_write, replace_file, written_whole
from napari_cryoet.formats.notes import plain_data
from napari_cryoet.formats.ome_zarr import find_multiscales
from napari_cryoet.formats.registry import write_picks
from napari_cryoet.training.naming import NamedAnnotation, NamedObject, NamedTomogram, Names, name_all
from napari_cryoet.training.selection import Selection, read_each
from napari_cryoet.wording import size_text

#: Told which share of the work is done, and in words what is going on.
Progress = Callable[[float, str], None]

CONFIG_NAME: Final = "config.json"
_SHARE_OF_DOWNLOAD: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What an export wrote."""

    path: Path
    n_runs: int
    n_volumes: int = 0
    n_files: int = 0  # of picks
    n_picks: int = 0
    left_out: tuple[str, ...] = ()  # what was chosen and isn't there, and why


@dataclass(frozen=True, slots=True)
class _Volume:
    """An OME-Zarr of a project: where it goes, and the finest level that is wanted of it."""

    named: NamedTomogram | NamedAnnotation
    path: str
    first_level: int = 0

    @property
    def cell(self) -> tuple[str, int, str]:
        """What a download knows it by: table, id, and column of its address."""
        if isinstance(self.named, NamedTomogram):
            return "tomograms", self.named.tomogram.id, "httpsOmezarrDir"
        return "annotationFiles", self.named.file.id, "httpsPath"


def export_copick(
    selection: Selection,
    folder: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> ExportReport:
    """Write a copick project; volumes that aren't on this computer are downloaded, and that continues after a stop.

    Parameters
    ----------
    selection
        From `select`.
    folder
        Where to.
    overwrite
        Replace a project that is there; what is in its ``overlay`` stays.
    progress
        Told how far it is, on this thread.
    stop
        Set it to end; what is there then is taken up by the next export into the folder.

    Raises
    ------
    ExistsError
        If there is a project already, and ``overwrite`` isn't set.
    DownloadError, NetworkError
        If something can't be fetched.
    SaveError
        If something can't be written.
    StoppedError
        When ``stop`` is set.
    """
    folder = path_to_write(folder).expanduser().absolute()
    config, tell = folder / CONFIG_NAME, progress or (lambda _share, _words: None)
    if config.exists() and not overwrite:
        raise ExistsError(f"There is a project in {folder} already.", hint="Choose another folder, or say --overwrite.")
    names = name_all(selection)
    picks = [named for named in names.annotations if named.is_points]
    volumes = [
        _Volume(named, named.path(selection.first_level), selection.first_level)
        for named in names.tomograms
        if named.url
    ]
    volumes += [_Volume(named, named.path) for named in names.annotations if not named.is_points]
    local = _local_volumes(selection, volumes, folder / "portal", tell, stop)
    static, n_picks = folder / "static", 0
    for volume in volumes:
        raise_if_stopped(stop)
        _link(local[volume.named.url], static / volume.path, volume.first_level)
    read = read_each([(each.file, each.selected) for each in picks], stop=stop)
    for number, (each, found) in enumerate(zip(picks, read, strict=True)):
        raise_if_stopped(stop)
        tell(_SHARE_OF_DOWNLOAD + (1 - _SHARE_OF_DOWNLOAD) * number / len(picks), f"picks of {each.run}")
        write_picks(found, static / each.path, format="copick", overwrite=True)
        n_picks += len(found)
    sources = {f"static/{volume.path}": _without_records(volume.named.about) for volume in volumes}
    (folder / "overlay").mkdir(parents=True, exist_ok=True)
    _write_json(folder / "sources.json", sources)
    if names.splits:
        _write_json(folder / "splits.json", names.splits)
    _write_json(config, _config(names, selection, folder))  # last: a project that opens is whole
    return ExportReport(
        path=folder,
        n_runs=len(names.runs),
        n_volumes=len(volumes),
        n_files=len(picks),
        n_picks=n_picks,
        left_out=selection.left_out,
    )


def object_config(named: NamedObject) -> dict[str, Any]:
    """An object as copick's configurations have it."""
    return {
        "name": named.name,
        "is_particle": named.is_particle,
        "label": named.label,
        "color": list(named.color),
        "radius": named.radius_angstrom,
        "identifier": named.identifier or None,
    }


def _config(names: Names, selection: Selection, folder: Path) -> dict[str, Any]:
    return {
        "config_type": "filesystem",
        "name": folder.name,
        "description": f"{len(names.runs)} runs of {selection.source.label}",
        "version": "1.0.0",
        "pickable_objects": [object_config(each) for each in names.objects],
        "static_root": f"local://{(folder / 'static').as_posix()}",
        "overlay_root": f"local://{(folder / 'overlay').as_posix()}",
        "static_fs_args": {"auto_mkdir": False},
        "overlay_fs_args": {"auto_mkdir": True},
    }


def _local_volumes(
    selection: Selection, volumes: Sequence[_Volume], folder: Path, tell: Progress, stop: threading.Event | None
) -> dict[str, Path]:
    """Where each volume is on this computer, by its address; what isn't yet is downloaded."""
    local = {volume.named.url: path for volume in volumes if (path := local_path(volume.named.url)) is not None}
    if all(volume.named.url in local for volume in volumes):
        return local
    rows = {name: {row["id"]: row for row in selection.rows[name]} for name in ("tomograms", "annotationFiles")}
    cells = [(table, rows[table][row_id], column) for table, row_id, column in (volume.cell for volume in volumes)]
    plan = plan_cells(selection.rows, selection.source, cells, first_level=selection.first_level)

    def show(done_bytes: int, total_bytes: int) -> None:
        words = f"{size_text(done_bytes)} of {size_text(total_bytes)}"
        tell(_SHARE_OF_DOWNLOAD * done_bytes / max(1, total_bytes), words)

    download_files(plan, folder, progress=show, stop=stop)
    return local | {item.url: folder / item.path for item in plan.items}


def _link(source: Path, place: Path, first_level: int) -> None:
    """Put the levels of an OME-Zarr from one on at another place too, where they are called 0, 1, 2...

    Their files are links where the disk has them, else copies. What a download left out of finer levels is left out.
    """
    attributes = json.loads((source / ".zattrs").read_bytes())
    image = find_multiscales(attributes)[0]
    is_whole = image["datasets"][0]["path"] == "0"
    image["datasets"] = image["datasets"][first_level if is_whole else 0 :]
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


def _without_records(about: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in about.items() if key != "records"}


def _write_json(path: Path, content: Any) -> None:
    replace_file(path, (json.dumps(plain_data(content), indent=1, ensure_ascii=False) + "\n").encode())
