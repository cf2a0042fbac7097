"""Export crops around the picks of many runs to one Zarr, using threads or a cluster.

::

    FILE.zarr/crops               (n, size, size, size) float32, z, y, x; several crops a chunk
    FILE.zarr/masks               the same in uint16: labels of objects, if runs have segmentations
    FILE.zarr/label               (n,) the object's label, 0 for background
    FILE.zarr/run, split          (n,) names; an empty split for none
    FILE.zarr/has_mask            (n,) whether the run has a segmentation
    FILE.zarr/annotation_id, pick_id   (n,) 0 and a number for background
    FILE.zarr/position_angstrom   (n, 3) z, y, x of the pick in its tomogram
    FILE.zarr/shift               (n, 3) z, y, x from the middle voxel, size // 2, to the pick
    FILE.zarr/inside              (n,) the fraction of the crop's voxels that are in the tomogram
    FILE.zarr/rotation            (n, 3, 3) as `Picks.rotations_zyx`; NaN without one
    FILE.zarr/statistics          (runs, 2) mean and standard deviation of each tomogram

The attributes describe the objects with their weights, the runs with their tomograms, the voxel
size, the background, and whether the export is complete. A task writes one chunk, so tasks are
independent and can be repeated. Voxels outside the tomogram have the mean of the crop, and the
mask's are 0.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_cryoet._version import __version__
from napari_cryoet.appearance.diameters import diameter_angstrom
from napari_cryoet.exceptions import ChangedError, CryoETError, ExistsError, FormatError
from napari_cryoet.exports.selection import (
    SAME_SPACING,
    ExportReport,
    SelectedAnnotation,
    SelectedRun,
    Selection,
    annotations_of_run,
    best_annotations,
    best_particles,
    map_concurrently,
    read_points,
)
from napari_cryoet.files import written_whole
from napari_cryoet.locations import Location, path_to_write
from napari_cryoet.network import client
from napari_cryoet.picks import Picks
from napari_cryoet.provenance import plain_data
from napari_cryoet.streaming.sources import DOCUMENTS, open_source, version_of
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.volumes import LevelGrid, Volume, are_inside, open_file
from napari_cryoet.volumes.crops import read_box
from napari_cryoet.wording import count_text, nm_text, spacing_text

_THREADS: Final = 4

_DIAMETER: Final = "the object's diameter"
_FORMAT: Final = "napari-cryoet-crops"
_METHOD: Final = (
    "linear interpolation of the next finer level, averaged over each voxel; nearest voxel of masks"
)
_CHUNK_BYTES: Final = 8 << 20
_MAX_CROPS_PER_CHUNK: Final = 64
_MAX_SIZE: Final = 512
_MAX_READS: Final = 4  # concurrent reads of one task
_RETRIES: Final = 3  # of a task whose worker died
_OPEN_VOLUMES: Final = 16
#: The boxes of a tomogram whose voxels give its mean and standard deviation: flat, as blocks are.
_SAMPLE: Final = (8, 64, 64)
_SAMPLES: Final = 32
_POLL_S: Final = 0.2


class _Box(NamedTuple):
    """A box of a volume, as `read_box` reads it."""

    url: str
    version: str  # of the volume, see `_version_of`
    level: int
    middle: tuple[float, ...]
    shape: tuple[int, ...]
    steps: tuple[float, ...]
    label: int = 0  # of the object in a mask


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk of an array, with everything that a worker needs to write it."""

    store: str
    array: str  # crops, masks or statistics
    number: int
    size: int  # of a crop
    boxes: tuple[tuple[_Box, ...], ...]  # of each crop: a mask may be joined from several

    @property
    def is_done(self) -> bool:
        """Whether the chunk's file exists; it is renamed into place when complete."""
        ending = ".0" if self.array == "statistics" else ".0.0.0"
        return Path(self.store, self.array, f"{self.number}{ending}").is_file()


@dataclass(frozen=True, slots=True)
class _Options:
    """What to cut; see `export_crops`."""

    size: int
    spacing_angstrom: float | None
    background: float
    distance_angstrom: float | None
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grid:
    """The voxels of crops of a volume, and how they are read from one of its levels."""

    url: str
    version: str
    grid: LevelGrid
    shape_zyx: tuple[int, int, int]  # of the finest level
    finest_angstrom: float
    origin_angstrom: NDArray[np.float64]
    steps: tuple[float, ...]  # of a crop's voxels, in voxels of the level

    @property
    def is_resampled(self) -> bool:
        """Whether voxels are interpolated, not copied."""
        return any(step != 1 for step in self.steps)

    @property
    def voxel_angstrom(self) -> float:
        """The size of a crop's voxels."""
        return self.grid.voxel_angstrom * max(self.steps)

    def places(self, positions_angstrom: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert positions (n, 3) to voxels of the level."""
        at_finest = (positions_angstrom - self.origin_angstrom) / self.finest_angstrom
        return self.grid.from_finest(at_finest)

    def positions(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert voxels of the level (n, 3) to positions in ångström."""
        at_finest = places * self.grid.factor_zyx + self.grid.first_zyx
        return np.asarray(at_finest * self.finest_angstrom + self.origin_angstrom)

    def boxes(
        self, places: NDArray[np.float64], shape: tuple[int, ...], label: int = 0
    ) -> list[_Box]:
        """Boxes of a shape around places."""
        source = (self.url, self.version, self.grid.level)
        return [_Box(*source, tuple(at), shape, self.steps, label) for at in places.tolist()]

    def random_places(self, count: int, random: np.random.Generator) -> NDArray[np.float64]:
        """Random places in the volume, in voxels of the level."""
        places = random.uniform(0, np.array(self.grid.shape_zyx) - 1, (count, 3))
        return np.asarray(places if self.is_resampled else np.round(places))


@dataclass(frozen=True, slots=True, kw_only=True)
class _RunPlan:
    """The crops of one run, and what to say about it."""

    annotations: Sequence[SelectedAnnotation]
    grid: _Grid
    masks: Mapping[str, tuple[int, _Grid]]  # labels and grids by the object's name
    places: NDArray[np.float64]  # (n, 3) the middles of crops, in voxels of the level
    columns: Mapping[str, NDArray[Any]]  # a value for each crop
    n_background: int  # wanted crops of background
    left_out: Sequence[str]

    @property
    def run(self) -> SelectedRun:
        """The run of the annotations."""
        return self.annotations[0].run


def export_crops(
    selection: Selection,
    path: str | Path,
    *,
    size: int = 32,
    spacing_angstrom: float | None = None,
    background: float = 1.0,
    distance_angstrom: float | None = None,
    seed: int = 0,
    scheduler: str = "",
    overwrite: bool = False,
    task: Task = UNWATCHED,
) -> ExportReport:
    """Write a cube around each particle, cut from its run's tomogram, into one Zarr.

    After a stop or a crash, only the missing crops are cut, unless a tomogram has changed. Of
    several annotations of an object in a run, one is exported, preferably the ground truth. Runs
    whose files can't be read are left out.

    Parameters
    ----------
    selection, overwrite, task
        As for `export_copick`.
    path
        The Zarr to write, ending in ``.zarr``. Workers of a cluster must be able to write there.
    size
        The width of a cube in voxels.
    spacing_angstrom
        The voxel size of all crops. Levels of this size, within half a percent, are copied. Others
        are resampled, from the next finer level by linear interpolation that is averaged over each
        voxel, with the pick at the centre of the middle voxel. By default, voxels of the finest
        selected level are copied, which must have one size.
    background
        The number of crops without a pick, for each pick of the most frequent object of a run. 0
        for none.
    distance_angstrom
        The distance of their middles from all picks that the portal has of the run. By default the
        diameter of the object that was picked.
    seed
        Chooses other places for them. Those of one run don't depend on other runs.
    scheduler
        The address of a dask.distributed scheduler, such as ``tcp://host:8786``. The default uses threads.

    Raises
    ------
    ExistsError
        If the path has other content.
    CryoETError
        If no particle has a tomogram, tomograms have several voxel sizes and none is given, a part
        of the split has no crops, or a volume can't be read. For other errors see `export_copick`.
    """
    import zarr

    path = path_to_write(path)
    if not 1 <= size <= _MAX_SIZE:
        raise CryoETError(f"A crop can't be {size} voxels wide.", hint=f"Choose 1 to {_MAX_SIZE}.")
    remarks = list(selection.remarks)
    left_out = list(selection.left_out)
    chosen = best_particles(selection.annotations, remarks)
    if spacing_angstrom is None:
        _require_one_spacing(chosen)
    options = _Options(size, spacing_angstrom, background, distance_angstrom, seed)
    planning = task.part(0.0, 0.1)
    plans = _plan(selection, chosen, options, planning, remarks=remarks, left_out=left_out)
    attributes, columns = _describe(plans, options, selection)
    chunk = max(1, min(_MAX_CROPS_PER_CHUNK, _CHUNK_BYTES // (4 * size**3)))
    sizes = {"n_runs": len(plans), "size": size, "chunk": chunk}
    _prepare(path, attributes, columns, **sizes, overwrite=overwrite)
    chunks = [each for each in _chunks(path, plans, options, chunk) if not each.is_done]
    _cut_all(chunks, scheduler, task.part(0.1, 1.0))
    group = zarr.open_group(path, mode="r+")
    statistics: Any = group["statistics"]
    for run, (mean, deviation) in zip(attributes["runs"], statistics[:].tolist(), strict=True):
        run |= {"mean": mean, "standard_deviation": deviation}
    group.attrs.update({"runs": attributes["runs"], "is_complete": True})
    return ExportReport(
        path=path,
        n_runs=len(plans),
        n_picks=int((columns["label"] > 0).sum()),
        left_out=tuple(left_out),
        remarks=tuple(remarks + _remarks(plans, columns, options)),
    )


def cut(chunks: Sequence[Chunk]) -> None:
    """Write chunks, skipping those that a lost worker completed."""
    import zarr

    with ThreadPoolExecutor(_MAX_READS, thread_name_prefix="napari-cryoet-crops") as pool:
        for chunk in chunks:
            if not chunk.is_done:
                read = partial(_READERS[chunk.array], chunk.size)
                values = np.stack(list(pool.map(read, chunk.boxes)))
                array = zarr.open_array(f"{chunk.store}/{chunk.array}", mode="r+")
                array.blocks[chunk.number] = values


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


def _read(box: _Box, *, is_mask: bool = False) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    volume = _opened(box.url, box.version)
    return read_box(volume, box.level, box.middle, box.shape, box.steps, is_mask=is_mask)


def _image_of(_size: int, boxes: tuple[_Box, ...]) -> NDArray[np.float32]:
    """Read a crop, which may extend beyond the tomogram."""
    values, inside = _read(boxes[0])
    image = values.astype(np.float32)
    return image if inside.all() else np.where(inside, image, image[inside].mean())


def _mask_of(size: int, boxes: tuple[_Box, ...]) -> NDArray[np.uint16]:
    """Join the masks of a crop; where they overlap, the last one counts."""
    joined = np.zeros((size,) * 3, dtype=np.uint16)
    for box in boxes:
        values, inside = _read(box, is_mask=True)
        joined[(values > 0) & inside] = box.label
    return joined


def _statistics_of(_size: int, boxes: tuple[_Box, ...]) -> NDArray[np.float64]:
    """The mean and the standard deviation of the voxels in boxes of a tomogram."""
    samples = []
    for box in boxes:
        values, inside = _read(box)
        samples.append(values[inside])
    voxels = np.concatenate(samples).astype(np.float64)
    return np.array([voxels.mean(), voxels.std()])


_READERS: Final[Mapping[str, Callable[[int, tuple[_Box, ...]], NDArray[Any]]]] = {
    "crops": _image_of,
    "masks": _mask_of,
    "statistics": _statistics_of,
}


# the plan


def _require_one_spacing(particles: Iterable[SelectedAnnotation]) -> None:
    """Raise `CryoETError` if tomograms have voxels of several sizes."""
    runs = {each.run.name: each.run for each in particles if each.run.tomograms}
    counts = Counter(run.tomograms[0].tomogram.voxel_spacing for run in runs.values())
    if max(counts, default=0) > min(counts, default=0) * (1 + SAME_SPACING):
        sizes = [f"{spacing_text(size)} ({count_text(counts[size], 'run')})" for size in counts]
        raise CryoETError(
            f"The tomograms have voxels of several sizes: {', '.join(sorted(sizes))}.",
            hint="Give the voxel size to resample them to (--voxel-size on the command line).",
        )


def _plan(
    selection: Selection,
    chosen: Iterable[SelectedAnnotation],
    options: _Options,
    task: Task,
    *,
    remarks: list[str],
    left_out: list[str],
) -> list[_RunPlan]:
    """Plan all crops, with remarks and what is left out; reads picks and metadata concurrently."""
    masks = [each for each in selection.annotations if not each.is_points]
    of_runs: dict[str, list[SelectedAnnotation]] = defaultdict(list)
    for each in (*chosen, *best_annotations(masks, remarks)):
        of_runs[each.run.name].append(each)
    runs = [
        run
        for run in selection.runs
        if any(each.is_particles for each in of_runs.get(run.name, ()))
    ]
    labels = {each["name"]: each["label"] for each in selection.objects}

    def plan_run(run: SelectedRun, task: Task) -> _RunPlan | str:
        if not run.tomograms:
            return "no tomogram is selected." if run.all_tomograms else "it has no tomogram."
        try:
            return _plan_run(of_runs[run.name], labels, options, selection.first_level, task)
        except FormatError as error:  # a server that doesn't answer stops the export instead
            return error.message

    plans = []
    for run, plan in map_concurrently(plan_run, runs, task):
        if isinstance(plan, str):
            left_out.append(f"{run.name}: {plan}")
        else:
            left_out += plan.left_out
            if len(plan.places):
                plans.append(plan)
    if not plans:
        raise CryoETError(f"No particle can be cut out. {' '.join(left_out)}")
    selection.require_parts({plan.run.split for plan in plans}, "crops")
    return plans


def _plan_run(
    annotations: Sequence[SelectedAnnotation],
    labels: Mapping[str, int],
    options: _Options,
    first_level: int,
    task: Task,
) -> _RunPlan:
    """Plan the crops of a run from its chosen annotations."""
    run = annotations[0].run
    tomogram = run.tomograms[0].tomogram
    wanted = options.spacing_angstrom
    grid = _grid_of(run.tomograms[0].url, tomogram.voxel_spacing, wanted, first_level, task)
    if tomogram.tomogram_voxel_spacing_id is None:
        # in a tomogram downloaded without its finest levels, the first voxel isn't at 0
        origin = _opened(grid.url, grid.version).origin_angstrom or (0, 0, 0)
        grid = replace(grid, origin_angstrom=np.array(origin, dtype=np.float64))
    parts = []
    masks = {}
    left_out = []
    for each in annotations:
        label = labels[each.object]
        if each.is_points:
            picks = read_points(each, task)
            parts.append(_part(each.annotation.id, label, grid, options.size, picks))
            if n_outside := len(picks) - len(parts[-1]["places"]):
                left_out.append(f"{each.label}: {count_text(n_outside, 'pick')} outside.")
        else:
            url = each.file.https_path
            masks[each.object] = (
                label,
                _grid_of(url, each.spacing_angstrom, grid.voxel_angstrom, 0, task),
            )
    n_background = round(options.background * max(len(part["places"]) for part in parts))
    if n_background:
        places = _background(run, grid, options, n_background, task)
        picks = Picks(grid.positions(places), 1.0)
        parts.append(_part(0, 0, grid, options.size, picks))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return _RunPlan(
        annotations=annotations,
        grid=grid,
        masks=masks,
        places=columns.pop("places"),
        columns=columns,
        n_background=n_background,
        left_out=left_out,
    )


def _background(
    run: SelectedRun, grid: _Grid, options: _Options, count: int, task: Task
) -> NDArray[np.float64]:
    """Up to ``count`` random places far from all picks of the run."""
    from scipy.spatial import KDTree

    random = np.random.default_rng([options.seed, run.run.id])
    places = grid.random_places(1000 + 100 * count, random)
    for each in annotations_of_run(run):
        if each.is_points:
            picks = read_points(each, task)
            about = each.annotation
            diameter = diameter_angstrom(about.object_id, about.object_name)
            distances, _ = KDTree(picks.positions_angstrom_zyx).query(grid.positions(places))
            places = places[distances >= (options.distance_angstrom or diameter)]
    return places[:count]


def _grid_of(
    url: str, spacing_angstrom: float, wanted: float | None, first_level: int, task: Task
) -> _Grid:
    """The grid of crops of a volume: of the wanted voxel size, else of the first level's."""
    version = _version_of(url, task)
    volume = replace(_opened(url, version), spacing_angstrom=(spacing_angstrom,) * 3)
    grids = [volume.grid(level) for level in range(len(volume.levels))]
    grid = grids[min(first_level, len(grids) - 1)]
    steps = np.ones(3)
    if wanted is not None:
        fine = [each for each in grids if each.voxel_angstrom <= wanted * (1 + SAME_SPACING)]
        grid = fine[-1] if fine else grids[0]
        exact = wanted / grid.spacing_zyx
        steps = steps if np.all(np.abs(exact - 1) <= SAME_SPACING) else exact
    return _Grid(
        url=url,
        version=version,
        grid=grid,
        shape_zyx=volume.shape_zyx,
        finest_angstrom=spacing_angstrom,
        origin_angstrom=np.zeros(3),
        steps=tuple(steps.tolist()),
    )


def _part(
    annotation_id: int, label: int, grid: _Grid, size: int, picks: Picks
) -> dict[str, NDArray[Any]]:
    """The places and columns of crops of picks that are in the tomogram, in an order that shares fetched data."""
    places = grid.places(picks.positions_angstrom_zyx)
    is_in = are_inside(places * grid.grid.factor_zyx + grid.grid.first_zyx, grid.shape_zyx)
    middles = places if grid.is_resampled else np.round(places)
    along = middles[:, :, None] + np.multiply.outer(grid.steps, np.arange(size) - size // 2)
    ends = np.array(grid.grid.shape_zyx)[:, None] - 0.5
    order = np.lexsort((*middles.T[::-1], *(middles // 256).T[::-1]))
    rows = order[is_in[order]]
    rotations = picks.rotations_zyx
    columns = {
        "places": middles,
        "label": np.full(len(picks), label),
        "annotation_id": np.full(len(picks), annotation_id),
        "shift": places - middles,
        "inside": ((along >= -0.5) & (along <= ends)).mean(axis=2).prod(axis=1),
        "position_angstrom": picks.positions_angstrom_zyx,
        "rotation": np.full((len(picks), 3, 3), np.nan) if rotations is None else rotations,
        "pick_id": picks.ids,
    }
    return {name: column[rows] for name, column in columns.items()}


def _chunks(
    path: Path, plans: Sequence[_RunPlan], options: _Options, chunk: int
) -> Iterator[Chunk]:
    """All chunks; those of crops may hold crops of several volumes."""
    size = options.size
    crops: list[tuple[_Box, ...]] = []
    masks: list[tuple[_Box, ...]] = []
    for number, plan in enumerate(plans):
        random = np.random.default_rng([options.seed, plan.run.run.id, 1])
        boxes = tuple(plan.grid.boxes(plan.grid.random_places(_SAMPLES, random), _SAMPLE))
        yield Chunk(str(path), "statistics", number, size, (boxes,))
        crops += [(box,) for box in plan.grid.boxes(plan.places, (size,) * 3)]
        positions = plan.grid.positions(plan.places)
        of_masks = [
            grid.boxes(grid.places(positions), (size,) * 3, label)
            for label, grid in plan.masks.values()
        ]
        masks += zip(*of_masks, strict=True) if of_masks else [()] * len(plan.places)
    arrays = {"crops": crops} | ({"masks": masks} if any(masks) else {})
    for name, of_crops in arrays.items():
        for number in range(math.ceil(len(of_crops) / chunk)):
            part_of_crops = tuple(of_crops[number * chunk :][:chunk])
            yield Chunk(str(path), name, number, size, part_of_crops)


# the file


def _describe(
    plans: Sequence[_RunPlan], options: _Options, selection: Selection
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The attributes of the Zarr, and its columns with one value for each crop."""
    of_runs = {
        "run": [plan.run.name for plan in plans],
        "split": [plan.run.split for plan in plans],
        "has_mask": [bool(plan.masks) for plan in plans],
    }
    counts = [len(plan.places) for plan in plans]
    columns = {name: np.repeat(np.array(values), counts) for name, values in of_runs.items()}
    for name in plans[0].columns:
        columns[name] = np.concatenate([plan.columns[name] for plan in plans])
    attributes: dict[str, Any] = plain_data(
        {
            "format": _FORMAT,
            "version": 2,
            "source": selection.source.location,
            "size_voxels": options.size,
            "voxel_size_angstrom": options.spacing_angstrom or plans[0].grid.voxel_angstrom,
            "resampling": _METHOD if any(plan.grid.is_resampled for plan in plans) else "none",
            "background": {
                "crops_per_pick": options.background,
                "distance_angstrom": options.distance_angstrom or _DIAMETER,
                "seed": options.seed,
            },
            "statistics": f"of {_SAMPLES} random boxes of {_SAMPLE} voxels of a crop's size",
            "axes": ["z", "y", "x"],
            "objects": _classes(selection, columns["label"], columns["split"]),
            "runs": [_run_attributes(plan) for plan in plans],
            "authors": {
                str(each.annotation.id): each.about.authors
                for plan in plans
                for each in plan.annotations
            },
        }
    )
    versions = []
    for plan in plans:
        versions += [plan.grid.version, *(grid.version for _, grid in plan.masks.values())]
    digest = hashlib.sha256(json.dumps([attributes, versions]).encode())
    for column in columns.values():
        digest.update(column.tobytes())
    state = {
        "plan": digest.hexdigest(),
        "software": f"napari-cryoet {__version__}",
        "is_complete": False,
    }
    return attributes | state, columns


def _classes(
    selection: Selection, labels: NDArray[np.int64], splits: NDArray[np.str_]
) -> list[dict[str, Any]]:
    """The objects by label, with numbers of crops and balanced weights for the training part."""
    background = {"name": "background", "label": 0, "is_particle": False}
    is_train = splits == "train" if "train" in splits else np.full(len(labels), True)
    n_classes = len(np.unique(labels[is_train]))
    classes = []
    for each in (background, *selection.objects):
        is_own = labels == each["label"]
        parts, counts = np.unique(splits[is_own], return_counts=True)
        n_train = int((is_own & is_train).sum())
        weight = float(is_train.sum() / (n_classes * n_train)) if n_train else None
        n_crops = dict(zip(parts.tolist(), counts.tolist(), strict=True))
        classes.append(each | {"n_crops": n_crops, "weight": weight})
    return classes


def _run_attributes(plan: _RunPlan) -> dict[str, Any]:
    tomogram = plan.run.tomograms[0]
    about = ("run_id", "dataset_id", "dataset_title", "licence", "dois", "portal_url")
    return {
        "name": plan.run.name,
        "split": plan.run.split,
        "tomogram_id": tomogram.tomogram.id,
        "tomogram_url": tomogram.url,
        "level": plan.grid.grid.level,
        "level_spacing_angstrom": plan.grid.grid.voxel_angstrom,
        "spacing_angstrom": plan.grid.voxel_angstrom,
        "is_resampled": plan.grid.is_resampled,
        "masks": [*plan.masks],
        **{name: getattr(plan.annotations[0].about, name) for name in about},
    }


def _remarks(
    plans: Sequence[_RunPlan], columns: Mapping[str, NDArray[Any]], options: _Options
) -> list[str]:
    """What was resampled, padded and added."""
    remarks = []
    resampled = Counter(plan.grid.grid.voxel_angstrom for plan in plans if plan.grid.is_resampled)
    for spacing, count in sorted(resampled.items()):
        wanted = options.spacing_angstrom or spacing
        coarser = ", which adds no detail" if wanted < spacing else ""
        remarks.append(
            f"{count_text(count, 'run')} resampled from {spacing_text(spacing)} "
            f"to {spacing_text(wanted)}{coarser}: {_METHOD}."
        )
    if n_over := int((columns["inside"] < 1).sum()):
        remarks.append(
            f"{count_text(n_over, 'crop')} over the edge of a tomogram: the voxels outside have "
            "the mean of the others."
        )
    if n_background := sum(plan.n_background for plan in plans):
        n_found = int((columns["label"] == 0).sum())
        distance = nm_text(options.distance_angstrom) if options.distance_angstrom else _DIAMETER
        found = "" if n_found == n_background else f"{n_found:,} of "
        remarks.append(
            f"{found}{count_text(n_background, 'crop')} of background: at least {distance} "
            "from every pick."
        )
    return remarks


def _prepare(
    path: Path,
    attributes: Mapping[str, Any],
    columns: Mapping[str, NDArray[Any]],
    *,
    n_runs: int,
    size: int,
    chunk: int,
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
        crops = (len(columns["pick_id"]), size, size, size)
        arrays = [("crops", crops, chunk, "float32"), ("statistics", (n_runs, 2), 1, "float64")]
        if columns["has_mask"].any():
            arrays.append(("masks", crops, chunk, "uint16"))
        for name, shape, rows, dtype in arrays:
            group.create_array(
                name,
                shape=shape,
                chunks=(rows, *shape[1:]),
                dtype=dtype,
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


def _cut_all(chunks: Sequence[Chunk], scheduler: str, task: Task) -> None:
    """Cut all chunks.

    On a cluster, one worker cuts all crops of a volume, since neighbours share fetched data.
    """
    by_volume = itertools.groupby(
        chunks, key=lambda chunk: [box.url for box in chunk.boxes[0]] if scheduler else chunk
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
