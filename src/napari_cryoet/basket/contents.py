"""The contents of a basket: its runs, files and sizes, before anything is downloaded; and its split.

Whole runs are for training, validation or test, and stay when others are added.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from msgspec.structs import replace

from napari_cryoet.basket.basket import (
    KINDS,
    PARTS,
    SPLIT_NAMES,
    Basket,
    Part,
    RecordKind,
    Split,
    SplitName,
)
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.portal.portal import Portal, ask_rows, ask_table
from napari_cryoet.records import AnnotationFile, Record, Run, TiltSeries, Tomogram
from napari_cryoet.runs.runs import (
    Cell,
    RunRecords,
    Runs,
    every_cell,
    file_cells,
    file_columns,
    richest_shapes,
    size_of,
    volume_cells,
)
from napari_cryoet.tables.database import Row, Rows, tables
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.wording import count_text, joined, size_text

#: API tables by kind.
TABLES: Final[Mapping[RecordKind, str]] = {
    "datasets": "datasets",
    "runs": "runs",
    "tomograms": "tomograms",
    "annotations": "annotations",
    "annotation_shapes": "annotationShapes",
    "tilt_series": "tiltseries",
}

_PARTS: Final[Mapping[str, Part]] = {
    "tomograms": "tomograms",
    "annotationFiles": "annotations",
    "tiltseries": "tilt series",
    "frames": "frames",
    "gainFiles": "frames",
    "frameAcquisitionFiles": "frames",
}
#: The tables needed to list files and sizes.
_NEEDED: Final = frozenset(
    {
        "annotations",
        "annotationShapes",
        "annotationFiles",
        "tomograms",
        "tomogramVoxelSpacings",
        "tiltseries",
        "alignments",
        "datasets",
    }
)
_OF_WHOLE_RUNS: Final = frozenset({"frames", "gainFiles", "frameAcquisitionFiles", "depositions"})
DEFAULT_SHARES = (80.0, 10.0, 10.0)
_SEEDS: Final = 100
_MOST_DRAWS: Final = 100_000  # about a second


class Amount(Record, frozen=True, kw_only=True):
    """The number of files and the sum of their known sizes; an OME-Zarr counts as one file."""

    n_files: int = 0
    size_bytes: int = 0


class Contents(Record, frozen=True, kw_only=True):
    """The runs of a basket, and the amount of each part."""

    run_ids: tuple[int, ...]  # runs with files
    parts: dict[Part, Amount]  # parts with files

    @property
    def total(self) -> Amount:
        """The sum of all parts."""
        parts = self.parts.values()
        return Amount(
            n_files=sum(part.n_files for part in parts),
            size_bytes=sum(part.size_bytes for part in parts),
        )

    @property
    def summary(self) -> str:
        """``3 runs · 12 files · 412 MB``."""
        total = self.total
        runs = count_text(len(self.run_ids), "run") if self.run_ids else ""
        return (
            joined(runs, count_text(total.n_files, "file"), size_text(total.size_bytes))
            if total.n_files
            else ""
        )

    @property
    def sizes_text(self) -> str:
        """``tomograms 18.1 GB · annotations 104 MB``."""
        return joined(
            *(
                f"{name} {size_text(part.size_bytes)}"
                for name, part in self.parts.items()
                if part.size_bytes
            )
        )


class File(NamedTuple):
    """A file or an OME-Zarr: the cell that names it, and its size, or 0 if unknown."""

    cell: Cell
    run_id: int | None  # None above runs
    part: Part
    size_bytes: int


class ChosenRun(NamedTuple):
    """The records that a basket selects from a run."""

    records: RunRecords
    is_whole: bool  # to download with all its files
    tomograms: tuple[Tomogram, ...]  # like the next two, all of them if the run is whole
    annotation_files: tuple[AnnotationFile, ...]
    tilt_series: tuple[TiltSeries, ...]

    @property
    def n_records(self) -> int:
        """The number of selected records."""
        return len(self.tomograms) + len(self.annotation_files) + len(self.tilt_series)


@dataclass(frozen=True)
class Chosen:
    """The records that a basket selects from its runs."""

    basket: Basket
    known: Runs
    runs: tuple[ChosenRun, ...]

    @property
    def run_parts(self) -> tuple[ChosenRun, ...]:
        """The runs that aren't whole, whose parts were picked one by one."""
        return tuple(run for run in self.runs if not run.is_whole)

    @cached_property
    def files(self) -> tuple[File, ...]:
        """The files, each once even if several rows name it."""
        files: dict[str, File] = {}
        for run_id, (table, row, column) in _cells(self):
            cell = table, row, column
            size_bytes = size_of(cell, self.basket.choices.level) or 0
            files[row[column]] = File(cell, run_id, part_of(table, column), size_bytes)
        return tuple(files.values())

    @cached_property
    def contents(self) -> Contents:
        """The number and size of the files."""
        sizes: dict[Part, list[int]] = defaultdict(list)
        for file in self.files:
            sizes[file.part].append(file.size_bytes)
        run_ids = {file.run_id for file in self.files}
        return Contents(
            run_ids=tuple(run_id for run_id in self.known.records if run_id in run_ids),
            parts={
                part: Amount(n_files=len(sizes[part]), size_bytes=sum(sizes[part]))
                for part in PARTS
                if part in sizes
            },
        )


def choose(basket: Basket, runs: Runs) -> Chosen:
    """Select records by a basket's ids and choices; ``runs`` are the basket's."""
    run_ids = {*basket.runs}
    dataset_ids = {*basket.datasets}
    chosen = []
    for records in runs:
        run = records.run
        is_whole = run.id in run_ids or run.dataset_id in dataset_ids
        chosen.append(_choose_in_run(basket, records, is_whole=is_whole))
    return Chosen(basket, runs, tuple(chosen))


def _choose_in_run(basket: Basket, records: RunRecords, *, is_whole: bool) -> ChosenRun:
    choices = basket.choices
    whole = frozenset[Part]() if not is_whole else frozenset(PARTS).difference(choices.leave_out)
    shape_ids = _shape_ids(basket, records)
    files = [
        file
        for file in records.annotation_files
        if "annotations" in whole or file.annotation_shape_id in shape_ids
    ]
    tomogram_ids = {*basket.tomograms}
    tomograms = [
        each for each in records.tomograms if "tomograms" in whole or each.id in tomogram_ids
    ]
    if choices.with_tomogram and files and not tomograms:
        added = records.tomogram_of(choices.with_tomogram)
        tomograms = [added] if added is not None else []
    series_ids = {*basket.tilt_series}
    tilt_series = [
        each for each in records.tilt_series if "tilt series" in whole or each.id in series_ids
    ]
    return ChosenRun(records, is_whole, tuple(tomograms), tuple(files), tuple(tilt_series))


def _shape_ids(basket: Basket, records: RunRecords) -> set[int]:
    """Ids of ticked shapes, and of the chosen shapes of ticked annotations."""
    annotation_ids = {*basket.annotations}
    with_files = {file.annotation_shape_id for file in records.annotation_files}
    shapes = [
        shape
        for shape in records.annotation_shapes
        if shape.annotation_id in annotation_ids and shape.id in with_files
    ]
    if basket.choices.shapes == "richest":
        shapes = richest_shapes(shapes)
    return {shape.id for shape in shapes}.union(basket.annotation_shapes)


def part_of(table: str, column: str) -> Part:
    """The part that a file belongs to, by the cell that names it."""
    return "metadata" if column.startswith("keyPhoto") else _PARTS.get(table, "metadata")


def rows_without_files(chosen: Chosen) -> Iterator[tuple[str, int]]:
    """The table and id of rows of whole runs that name no file although others of the table do, such as frames."""
    for run in chosen.runs:
        rows_of = chosen.known.rows_of[run.records.run.id] if run.is_whole else {}
        for table, columns in file_columns().items():
            if part_of(table, "") not in chosen.basket.choices.leave_out:
                rows = rows_of.get(table, ())
                yield from ((table, row["id"]) for row in rows if not any(map(row.get, columns)))


def _cells(chosen: Chosen) -> Iterator[tuple[int | None, Cell]]:
    """The cells of all files with their runs; whole runs first, then what is above them."""
    choices = chosen.basket.choices
    rows_of = chosen.known.rows_of
    whole = [run.records.run for run in chosen.runs if run.is_whole]
    rows_to_list: dict[int | None, Rows] = {run.id: rows_of[run.id] for run in whole}
    rows_to_list[None] = _rows_above(chosen.known, whole)
    for run_id, rows in rows_to_list.items():
        for table, row, column in every_cell(rows):
            if part_of(table, column) not in choices.leave_out:
                yield run_id, (table, row, column)
    for part in chosen.run_parts:
        run_id = part.records.run.id
        for cell in _cells_of_parts(chosen.basket, part, rows_of[run_id]):
            yield run_id, cell


def _rows_above(known: Runs, runs: Sequence[Run]) -> Rows:
    """The rows of the datasets of runs, and of depositions that these or the runs' records are from."""
    dataset_ids = {run.dataset_id for run in runs}
    datasets = [row for row in known.above.get("datasets", ()) if row["id"] in dataset_ids]
    deposition_ids = {row["depositionId"] for row in datasets}
    for run in runs:
        for table in file_columns().keys() & known.rows_of[run.id].keys():
            deposition_ids |= {row.get("depositionId") for row in known.rows_of[run.id][table]}
    depositions = [row for row in known.above.get("depositions", ()) if row["id"] in deposition_ids]
    return {"datasets": datasets, "depositions": depositions}


def _cells_of_parts(basket: Basket, run: ChosenRun, rows: Rows) -> Iterator[Cell]:
    """The cells of a run that isn't whole, with one format of each volume."""
    choices = basket.choices
    tomograms = _rows_with(rows, "tomograms", (each.id for each in run.tomograms))
    files = _rows_with(rows, "annotationFiles", (each.id for each in run.annotation_files))
    tilt_series = _rows_with(rows, "tiltseries", (each.id for each in run.tilt_series))
    yield from volume_cells("tomograms", tomograms, choices.volume_format)
    yield from file_cells(files, choices.volume_format)
    yield from volume_cells("tiltseries", tilt_series, choices.volume_format)
    yield from (
        ("tiltseries", row, "httpsAngleList") for row in tilt_series if row["httpsAngleList"]
    )
    if choices.metadata:
        annotation_ids = {each.annotation.id for each in run.annotation_files if each.annotation}
        alignment_ids = {row["alignmentId"] for row in (*tomograms, *files)}
        annotations = _rows_with(rows, "annotations", annotation_ids)
        alignments = _rows_with(rows, "alignments", alignment_ids)
        yield from every_cell({"annotations": annotations, "alignments": alignments})


def _rows_with(rows: Rows, table: str, ids: Iterable[int]) -> list[Row]:
    wanted = set(ids)
    return [row for row in rows.get(table, ()) if row["id"] in wanted]


# asking


def ask_basket_runs(portal: Portal, basket: Basket, *, task: Task = UNWATCHED) -> Runs:
    """Request all rows of a basket's runs, to plan its download.

    Records that the portal lacks are left out.
    """
    return KnownRuns(portal, for_download=True).of(basket, task=task)


class KnownRuns:
    """A cache of runs: after a change of the basket, only new ones are requested.

    Without ``for_download``, only the few tables for `Chosen.contents` are requested.
    """

    def __init__(self, portal: Portal, *, for_download: bool = False) -> None:
        self._portal = portal
        self._needed = frozenset(tables() if for_download else _NEEDED)
        self._lock = threading.Lock()
        self._records: dict[int, RunRecords] = {}
        self._rows_of: dict[int, Rows] = {}
        self._above: dict[str, dict[int, Row]] = {}
        self._requested: dict[int, frozenset[str]] = {}  # tables by run id
        self._run_ids: dict[str, dict[int, int]] = {name: {} for name in TABLES.values()}

    def of(self, basket: Basket, *, task: Task = UNWATCHED) -> Runs:
        """The runs of a basket. Thread-safe; blocks during requests. CryoETError if it is of another source."""
        basket.require_source(self._portal.source)
        with self._lock:
            whole = self._ids_of_runs(basket, KINDS[:2], task)
            parts = self._ids_of_runs(basket, KINDS[2:], task) - whole
            self._ask(whole, self._needed | _OF_WHOLE_RUNS, task)
            self._ask(parts, self._needed, task)
            run_ids = sorted(whole | parts)
            return Runs(
                records={run_id: self._records[run_id] for run_id in run_ids},
                rows_of={run_id: self._rows_of[run_id] for run_id in run_ids},
                above={name: list(rows.values()) for name, rows in self._above.items()},
            )

    def _ask(self, run_ids: Set[int], names: frozenset[str], task: Task) -> None:
        """Request the tables of runs that lack one."""
        new = [each for each in run_ids if not names <= self._requested.get(each, frozenset())]
        if not new:
            return
        rows = ask_rows(self._portal, run_ids=new, names=names, task=task)
        runs = Runs.of_rows(rows, self._portal.source.terms, self._portal.source.name)
        self._records |= runs.records
        self._rows_of |= runs.rows_of
        self._requested |= dict.fromkeys(new, names)
        for name, of_table in runs.above.items():
            self._above.setdefault(name, {}).update((row["id"], row) for row in of_table)
        for run_id, of_run in runs.rows_of.items():
            for name, known in self._run_ids.items():
                known.update((row["id"], run_id) for row in of_run.get(name, ()))

    def _ids_of_runs(self, basket: Basket, kinds: Iterable[RecordKind], task: Task) -> set[int]:
        """The runs of ticked records of some kinds, without records that the portal lacks."""
        run_ids: set[int | None] = set()
        for kind in kinds:
            table = TABLES[kind]
            known = self._run_ids[table]
            run_ids |= {known[each] for each in basket.ids(kind) if each in known}
            if unknown := [each for each in basket.ids(kind) if each not in known]:
                run_ids |= self._ask_ids_of_runs(table, unknown, task)
        return {run_id for run_id in run_ids if run_id is not None}

    def _ask_ids_of_runs(self, table: str, ids: Sequence[int], task: Task) -> set[int | None]:
        key = "id"
        column = "runId"
        match table:
            case "datasets":  # always requested: only some of its runs may be known
                table, key, column = "runs", "datasetId", "runId: id"
            case "runs":
                column = "runId: id"
            case "annotationShapes":
                column = "annotation { runId }"
        rows = ask_table(self._portal, table, {key: {"_in": ids}}, columns=[column], task=task)
        return {(row.get("annotation") or row).get("runId") for row in rows}


# splits


def split_basket(
    basket: Basket,
    source: Portal | Runs,
    shares: Sequence[float] = DEFAULT_SHARES,
    *,
    seed: int | None = None,
    by_dataset: bool = False,
) -> Basket:
    """Split a basket's runs and record the split in it; asks the portal for them, if one is given.

    The part of a run follows from the seed, its dataset and its name (`Split.drawn`), so adding or
    removing runs moves no other run. Such a split meets the shares only nearly, and a part of few
    runs may be empty.

    Parameters
    ----------
    shares
        Of training, validation and test: percentages or any weights; 0 leaves a part empty.
    seed
        By default that of the recorded split, whose runs then keep their parts, if it has the same
        shares; otherwise the one of many seeds that comes closest to the shares for all runs and
        for the runs with each object, with each object in every part if possible.
    by_dataset
        Put all runs of a dataset in the same part.

    Raises
    ------
    CryoETError
        There aren't three shares, one is negative, or all are 0.
    """
    if len(shares) != len(SPLIT_NAMES) or min(shares) < 0 or not sum(shares):
        raise CryoETError("A split needs three shares.", hint="For example, 80,10,10.")
    runs = ask_basket_runs(source, basket) if isinstance(source, Portal) else source
    chosen = choose(basket, runs)
    before = basket.split
    split = Split(seed=seed or 0, shares=(shares[0], shares[1], shares[2]), by_dataset=by_dataset)
    if (
        seed is None
        and before is not None
        and (before.shares, before.by_dataset) == (split.shares, by_dataset)
    ):
        split = before
    elif seed is None:
        split = _most_balanced(split, chosen)
    return basket.with_split(_recorded(split, chosen))


def parts_of(split: Split, chosen: Chosen) -> dict[int, SplitName]:
    """The part of each run with selected records, by id: as recorded, or drawn for other runs."""
    recorded = split.of_runs
    runs = (each.records.run for each in chosen.runs if each.n_records)
    return {run.id: recorded.get(run.id) or split.drawn(run.dataset_id, run.name) for run in runs}


def _recorded(split: Split, chosen: Chosen) -> Split:
    """The split with the parts of these runs, and of no others."""
    ids: dict[str, list[int]] = {name: [] for name in SPLIT_NAMES}
    for run_id, part in sorted(parts_of(split, chosen).items()):
        ids[part].append(run_id)
    return replace(split, **{name: tuple(of_part) for name, of_part in ids.items()})


def _most_balanced(split: Split, chosen: Chosen) -> Split:
    """The split with the seed that comes closest to the shares for each object."""
    n_seeds = max(1, min(_SEEDS, _MOST_DRAWS // max(1, len(chosen.runs))))
    seeds = [replace(split, seed=seed) for seed in range(n_seeds)]
    return min(seeds, key=lambda each: _imbalance(each, chosen))


def _imbalance(split: Split, chosen: Chosen) -> tuple[int, float]:
    """How many objects lack a part that they could have, and by how many runs all miss the shares."""
    parts = parts_of(split, chosen)
    totals: Counter[str] = Counter()
    counts: Counter[tuple[str, SplitName]] = Counter()
    for run in chosen.runs:
        annotations = (file.annotation for file in run.annotation_files)
        names = {each.object_name for each in annotations if each}
        if (part := parts.get(run.records.run.id)) is not None:
            for name in {"", *names}:  # "" for all runs
                totals[name] += 1
                counts[name, part] += 1
    n_missing = 0
    distance = 0.0
    n_parts = sum(share > 0 for share in split.shares)
    for name, total in totals.items():
        for part, share in zip(SPLIT_NAMES, split.shares, strict=True):
            count = counts[name, part]
            n_missing += share > 0 and not count and total >= n_parts
            distance += abs(count - total * share / sum(split.shares))
    return n_missing, distance
