"""Export crops around the picks of many runs to one Zarr, using threads or a cluster.

::

    FILE.zarr/crops               (n, size, size, size) float32, z, y, x; several crops a chunk
    FILE.zarr/label               (n,) the object's label; the attributes list the objects
    FILE.zarr/run, split          (n,) names; an empty split for none FILE.zarr/annotation_id,
    pick_id FILE.zarr/position_angstrom   (n, 3) z, y, x of the pick in its tomogram FILE.zarr/shift
    (n, 3) z, y, x from the crop's middle voxel, ``size // 2``, to the pick, in voxels
    FILE.zarr/rotation            (n, 3, 3) as `Picks.rotations_zyx`; NaN without one

The attributes describe the objects and runs (with each tomogram's URL, level and spacing), and
whether the export is complete. A task writes one chunk, so tasks are independent and can be
repeated. Values are those of the tomogram's level, without scaling; voxels outside the tomogram get
the mean of the crop.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_cryoet._version import __version__
from napari_cryoet.exceptions import ChangedError, CryoETError, ExistsError
from napari_cryoet.exports.selection import (
    ExportReport,
    SelectedAnnotation,
    SelectedTomogram,
    Selection,
    best_particles,
    map_concurrently,
    read_points,
)
from napari_cryoet.files import written_whole
from napari_cryoet.locations import Location, path_to_write
from napari_cryoet.network import client
from napari_cryoet.provenance import plain_data
from napari_cryoet.streaming.sources import DOCUMENTS, open_source, version_of
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.volumes import are_inside, open_file
from napari_cryoet.wording import count_text, spacing_text

if TYPE_CHECKING:
    from napari_cryoet.volumes import Volume

_THREADS: Final = 4

_FORMAT: Final = "napari-cryoet-crops"
_CHUNK_BYTES: Final = 8 << 20
_MAX_CROPS_PER_CHUNK: Final = 64
_MAX_SIZE: Final = 512
_MAX_READS: Final = 4  # concurrent reads of one task
_SAME_SPACING: Final = 0.05  # relative difference of spacings that count as equal
_RETRIES: Final = 3  # of a task whose worker died
_OPEN_VOLUMES: Final = 4
_POLL_S: Final = 0.2


class _Crop(NamedTuple):
    url: str
    version: str  # of the volume, see `_version_of`
    level: int
    start: tuple[int, int, int]  # the first voxel


@dataclass(frozen=True, slots=True)
class ChunkOfCrops:
    """The crops of one chunk, with everything a worker needs."""

    store: str
    number: int  # of the chunk
    size: int
    crops: tuple[_Crop, ...]

    @property
    def is_done(self) -> bool:
        """Whether the chunk's file exists; it is renamed into place when complete."""
        return Path(self.store, "crops", f"{self.number}.0.0.0").is_file()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """The crops of one annotation file."""

    selected: SelectedAnnotation
    tomogram: SelectedTomogram
    version: str  # of the tomogram's files
    level: int
    spacing_angstrom: float
    #: (n, 3) z, y, x in the level, sorted so that neighbours follow each other
    starts: NDArray[np.int64]
    columns: Mapping[str, NDArray[Any]]


def export_crops(
    selection: Selection,
    path: str | Path,
    *,
    size: int = 32,
    spacing_angstrom: float | None = None,
    scheduler: str = "",
    overwrite: bool = False,
    task: Task = UNWATCHED,
) -> ExportReport:
    """Write a cube around each particle, cut from its run's tomogram, into one Zarr.

    After a stop or a crash, only the missing crops are cut, unless a tomogram has changed. Of
    several annotations of an object in a run, one is exported, preferably the ground truth.

    Parameters
    ----------
    selection, overwrite, task
        As for `export_copick`.
    path
        The Zarr to write, ending in ``.zarr``. Workers of a cluster must be able to write there.
    size
        The width of a cube in voxels.
    spacing_angstrom
        Use the level whose voxels are nearest to this size, by default that of the first tomogram's finest level.
        Nothing is resampled: tomograms without such a level are left out.
    scheduler
        The address of a dask.distributed scheduler, such as ``tcp://host:8786``. The default uses threads.

    Raises
    ------
    ExistsError
        If the path has other content.
    CryoETError
        If no particle has a tomogram, or a volume can't be read. For other errors see `export_copick`.
    """
    import zarr

    path = path_to_write(path)
    parts, left_out = _plan(selection, size, spacing_angstrom, task.part(0.0, 0.1))
    chunk = max(1, min(_MAX_CROPS_PER_CHUNK, _CHUNK_BYTES // (4 * size**3)))
    attributes, columns = _describe(parts, size, selection)
    _prepare(path, attributes, columns, size, chunk, overwrite=overwrite)
    chunks = [each for each in _chunks(path, parts, size, chunk) if not each.is_done]
    _cut_all(chunks, scheduler, task.part(0.1, 1.0))
    zarr.open_group(path, mode="r+").attrs["is_complete"] = True
    return ExportReport(
        path=path,
        n_runs=len(attributes["runs"]),
        n_picks=len(columns["pick_id"]),
        left_out=(*selection.left_out, *left_out),
    )


def cut(chunks: Sequence[ChunkOfCrops]) -> None:
    """Cut the crops of chunks and write them, skipping those that a lost worker completed."""
    import zarr

    with ThreadPoolExecutor(_MAX_READS, thread_name_prefix="napari-cryoet-crops") as pool:
        for chunk in chunks:
            if not chunk.is_done:
                cubes = np.stack(list(pool.map(partial(_read_cube, chunk.size), chunk.crops)))
                zarr.open_array(f"{chunk.store}/crops", mode="r+").blocks[chunk.number] = cubes


@lru_cache(maxsize=_OPEN_VOLUMES)
def _opened(url: str, version: str) -> Volume:
    """A version of a volume; ChangedError if it has another one now."""
    if _version_of(url) != version:
        hint = "Export again, and allow replacing the export."
        raise ChangedError(f"{Location.of(url).shown()} changed during the export.", hint=hint)
    return open_file(Location.of(url), cache=None)  # the cache trusts files for an hour


def _version_of(url: str, task: Task = UNWATCHED) -> str:
    """The version of an OME-Zarr: of its first document, or of all its files on this computer."""
    path = Location.of(url).path
    if path is not None:
        files = sorted(each for each in path.rglob("*") if each.is_file())
        versions = [f"{each} {version_of(each.stat())}" for each in files]
        return hashlib.sha256("\n".join(versions).encode()).hexdigest()
    source = open_source(url, cache=None)
    for document in sorted(DOCUMENTS):
        piece = client.run(source.read(document, 0, 1, limit_bytes=1), task)
        if piece is not None:
            return f"{piece.etag} {piece.modified}"
    return ""


def _read_cube(size: int, crop: _Crop) -> NDArray[np.float32]:
    """Read a cube of a level; it may extend beyond the volume."""
    volume = _opened(crop.url, crop.version)
    shape = volume.levels[crop.level].shape
    box = tuple(
        (max(0, first), min(first + size, length))
        for first, length in zip(crop.start, shape, strict=True)
    )
    values = volume.read(crop.level, box).astype(np.float32)
    padding = [
        (low - first, first + size - high)
        for first, (low, high) in zip(crop.start, box, strict=True)
    ]
    return np.pad(values, padding, constant_values=values.mean()) if np.any(padding) else values


# the plan


def _plan(
    selection: Selection,
    size: int,
    wanted: float | None,
    task: Task,
) -> tuple[list[_Part], list[str]]:
    """Plan all crops, and list what is left out; reads picks and tomogram metadata concurrently."""
    if not 1 <= size <= _MAX_SIZE:
        raise CryoETError(f"A crop can't be {size} voxels wide.", hint=f"Choose 1 to {_MAX_SIZE}.")
    left_out, parts = list[str](), list[_Part]()
    chosen = best_particles(selection.annotations, left_out)
    tomograms = [each.tomogram for run in selection.runs for each in run.tomograms]
    if not tomograms:
        raise CryoETError(
            "There is no tomogram to cut particles out of.", hint="Select one for each run."
        )
    spacing = wanted or tomograms[0].voxel_spacing
    part_of = partial(_part_of, size=size, wanted=spacing)
    for each, part in map_concurrently(part_of, chosen, task):
        if isinstance(part, str):
            left_out.append(f"{each.label}: {part}")
        elif len(part.starts):
            parts.append(part)
    if not parts:
        raise CryoETError(
            f"No particle is in a tomogram with voxels of about {spacing_text(spacing)}."
        )
    return parts, left_out


def _part_of(each: SelectedAnnotation, task: Task, *, size: int, wanted: float) -> _Part | str:
    """The crops of an annotation file, or the reason why it has none."""
    if not each.run.tomograms:
        return "no tomogram is selected."
    chosen = each.run.tomograms[0]
    tomogram = chosen.tomogram
    version = _version_of(chosen.url, task)
    opened = _opened(chosen.url, version)
    volume = replace(opened, spacing_angstrom=(tomogram.voxel_spacing,) * 3)
    grids = [volume.grid(level) for level in range(len(volume.levels))]
    spacings = np.array([grid.voxel_angstrom for grid in grids])
    level = int(np.abs(np.log(spacings / wanted)).argmin())
    if abs(spacings[level] / wanted - 1) > _SAME_SPACING:
        return f"its tomogram has no level with voxels of about {spacing_text(wanted)}."
    picks = read_points(each, task)
    # in a tomogram downloaded without its finest levels, the first voxel isn't at 0
    origin = np.array(
        (opened.origin_angstrom if tomogram.tomogram_voxel_spacing_id is None else None)
        or (0, 0, 0)
    )
    at_finest = (picks.positions_angstrom_zyx - origin) / tomogram.voxel_spacing
    at_level = grids[level].from_finest(at_finest)
    middles = np.round(at_level).astype(np.int64)
    # sorted by chunk, so that neighbouring crops share fetched data
    order = np.lexsort((middles[:, 2], middles[:, 1], middles[:, 0], *(middles // 256).T[::-1]))
    rows = order[are_inside(at_finest, volume.shape_zyx)[order]]
    rotations = (
        np.full((len(picks), 3, 3), np.nan) if picks.rotations_zyx is None else picks.rotations_zyx
    )
    return _Part(
        selected=each,
        tomogram=chosen,
        version=version,
        level=level,
        spacing_angstrom=float(spacings[level]),
        starts=middles[rows] - size // 2,
        columns={
            "shift": (at_level - middles)[rows],
            "position_angstrom": picks.positions_angstrom_zyx[rows],
            "rotation": rotations[rows],
            "pick_id": picks.ids[rows],
        },
    )


def _chunks(path: Path, parts: Sequence[_Part], size: int, chunk: int) -> Iterator[ChunkOfCrops]:
    """The chunks, which may hold crops of several volumes."""
    crops = [
        _Crop(part.tomogram.url, part.version, part.level, tuple(start))
        for part in parts
        for start in part.starts.tolist()
    ]
    for number in range(math.ceil(len(crops) / chunk)):
        yield ChunkOfCrops(str(path), number, size, tuple(crops[number * chunk :][:chunk]))


# the file


def _describe(
    parts: Sequence[_Part], size: int, selection: Selection
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The attributes of the Zarr, and its columns with one value for each crop."""
    runs: dict[str, dict[str, Any]] = {}
    for part in parts:
        run, about = part.selected.run, part.selected.about
        runs[run.name] = {
            "name": run.name,
            "split": run.split,
            "tomogram_id": part.tomogram.tomogram.id,
            "tomogram_url": part.tomogram.url,
            "level": part.level,
            "spacing_angstrom": part.spacing_angstrom,
            **{
                key: getattr(about, key)
                for key in (
                    "run_id",
                    "dataset_id",
                    "dataset_title",
                    "licence",
                    "dois",
                    "portal_url",
                )
            },
        }
    attributes: dict[str, Any] = plain_data(
        {
            "format": _FORMAT,
            "version": 1,
            "source": selection.source.location,
            "size_voxels": size,
            "axes": ["z", "y", "x"],
            "objects": selection.objects,
            "runs": list(runs.values()),
            "authors": {
                str(part.selected.annotation.id): part.selected.about.authors for part in parts
            },
        }
    )
    labels = {each["name"]: each["label"] for each in selection.objects}
    constants = {
        "label": [labels[part.selected.object] for part in parts],
        "run": [part.selected.run.name for part in parts],
        "split": [part.selected.run.split for part in parts],
        "annotation_id": [part.selected.annotation.id for part in parts],
    }
    counts = [len(part.starts) for part in parts]
    columns = {name: np.repeat(np.array(values), counts) for name, values in constants.items()}
    columns |= {
        name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns
    }
    versions = [part.version for part in parts]
    plan = hashlib.sha256(json.dumps([attributes, versions]).encode())
    for column in columns.values():
        plan.update(column.tobytes())
    state = {
        "plan": plan.hexdigest(),
        "software": f"napari-cryoet {__version__}",
        "is_complete": False,
    }
    return attributes | state, columns


def _prepare(
    path: Path,
    attributes: Mapping[str, Any],
    columns: Mapping[str, NDArray[Any]],
    size: int,
    chunk: int,
    *,
    overwrite: bool,
) -> None:
    """Create the Zarr without its crops, unless a stopped export left it."""
    import zarr

    if path.exists():
        before = _existing_plan(path)
        if before == attributes["plan"]:
            return
        if not (overwrite and before):
            raise ExistsError(
                f"{path.name} exists already, with other content.", hint="Choose another name."
            )
    with written_whole(path, overwrite=overwrite, flush=False) as unfinished:
        group = zarr.open_group(unfinished, mode="w-", zarr_format=2)
        group.create_array(
            "crops",
            shape=(len(columns["pick_id"]), size, size, size),
            chunks=(chunk, size, size, size),
            dtype="float32",
            fill_value=0,
            config={"write_empty_chunks": True},
            chunk_key_encoding={"name": "v2", "separator": "."},
        )
        for name, column in columns.items():
            group.create_array(name, data=column, chunks=column.shape)
        group.attrs.update(attributes)


def _existing_plan(path: Path) -> str:
    """The hash of the plan of existing crops; empty for other content."""
    try:
        found = json.loads((path / ".zattrs").read_bytes())
        return str(found["plan"]) if found["format"] == _FORMAT else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


# workers


def _cut_all(chunks: Sequence[ChunkOfCrops], scheduler: str, task: Task) -> None:
    """Cut all chunks.

    On a cluster, one worker cuts all crops of a volume, since neighbours share fetched data.
    """
    by_volume = itertools.groupby(
        chunks, key=lambda chunk: chunk.crops[0].url if scheduler else chunk
    )
    with _executor(scheduler) as executor:
        waiting = {executor.submit(cut, tuple(several)) for _, several in by_volume}
        try:
            while waiting:
                done, waiting = wait(waiting, _POLL_S, FIRST_COMPLETED)
                for future in done:
                    future.result()
                n_done = sum(chunk.is_done for chunk in chunks)
                of_all = f"{n_done:,} of {count_text(len(chunks), 'chunk')} of crops"
                task.step(n_done / len(chunks), of_all)
        finally:
            for future in waiting:
                future.cancel()


@contextmanager
def _executor(scheduler: str) -> Iterator[Executor]:
    """Threads, or the workers of a scheduler."""
    if not scheduler:
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="napari-cryoet-cut") as pool:
            yield pool
        return
    try:
        from distributed import Client
    except ImportError as error:
        hint = "Install it: pip install 'napari-cryoet[cluster]'."
        raise CryoETError(
            "A cluster needs dask.distributed, which isn't installed.", hint=hint
        ) from error
    try:
        client: Any = Client(scheduler, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise CryoETError(f"There is no scheduler at {scheduler} ({error}).") from error
    with client:
        yield client.get_executor(pure=False, retries=_RETRIES)
