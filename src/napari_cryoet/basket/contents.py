"""The contents of a basket: its runs, files and sizes, before anything is downloaded."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, NamedTuple

from napari_cryoet.basket.basket import KINDS, PARTS, Basket, Part, RecordKind, basket_text
from napari_cryoet.download.plan import (
    Cell,
    Plan,
    every_cell,
    file_cells,
    plan_cells,
    size_of,
    volume_cells,
)
from napari_cryoet.download.rows import ask_rows, ask_table, by_id
from napari_cryoet.download.run import DownloadReport, download_files
from napari_cryoet.locations import PathOrUrl
from napari_cryoet.portal.portal import Portal
from napari_cryoet.records import Record, ShapeType
from napari_cryoet.tables.database import Row, Rows
from napari_cryoet.tables.schema import tables
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
#: The richer equivalent of a shape type.
_RICHER: Final[Mapping[str, str]] = {
    ShapeType.POINT: ShapeType.ORIENTED_POINT,
    ShapeType.SEGMENTATION_MASK: ShapeType.INSTANCE_SEGMENTATION_MASK,
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
    }
    | {"alignments", "datasets"}
)
_OF_WHOLE_RUNS: Final = frozenset({"frames", "gainFiles", "frameAcquisitionFiles", "depositions"})


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
    """A file or an OME-Zarr: the row that names it, and its size, or 0 if unknown."""

    table: str
    row_id: int
    run_id: int | None
    part: Part
    size_bytes: int


@dataclass(frozen=True)
class Chosen:
    """The rows that a basket selects from the rows of its runs."""

    basket: Basket
    rows: Rows
    owners: Owners
    tomograms: tuple[Row, ...]  # like the next two, includes those of whole runs and datasets
    annotation_files: tuple[Row, ...]
    tilt_series: tuple[Row, ...]
    whole_runs: frozenset[int]  # ids of runs to download with all their files

    @cached_property
    def files(self) -> tuple[File, ...]:
        """The files, each once even if several rows name it."""
        files, first_level = [], self.basket.choices.level
        for cell in _cells(self):
            table, row, column = cell
            run_id, size_bytes = self.owners.run_id(table, row), size_of(cell, first_level) or 0
            files.append(File(table, row["id"], run_id, part_of(table, column), size_bytes))
        return tuple(files)


class Owners:
    """Looks up the run of a row, and related rows."""

    def __init__(self, rows: Mapping[str, Mapping[int, Row]]) -> None:
        self._by_id = rows  # by table and id

    def row(self, table: str, row_id: int | None) -> Row | None:
        """A row by its id, or None if it is unknown."""
        return self._by_id[table].get(row_id) if row_id is not None else None

    def annotation(self, row: Row) -> Row | None:
        """The annotation of an annotation file or shape."""
        shape = (
            self.row("annotationShapes", row["annotationShapeId"])
            if "annotationShapeId" in row
            else row
        )
        return self.row("annotations", shape["annotationId"]) if shape else None

    def run_id(self, table: str, row: Row) -> int | None:
        """The id of a row's run; None for rows above runs."""
        if table in {"annotationFiles", "annotationShapes"}:
            row = self.annotation(row) or {}
        run_id: int | None = row.get("id" if table == "runs" else "runId")
        return run_id


def choose(basket: Basket, rows: Rows) -> Chosen:
    """Select rows by a basket's ids and choices; ``rows`` are those of its runs."""
    owners, left_out, runs, datasets = (
        Owners(by_id(rows)),
        basket.choices.leave_out,
        {*basket.runs},
        {*basket.datasets},
    )
    whole = {row["id"] for row in rows["runs"] if row["id"] in runs or row["datasetId"] in datasets}

    def wanted(table: str, part: Part, ids: Iterable[int]) -> list[Row]:
        ticked, of_whole = set(ids), frozenset() if part in left_out else whole
        return [
            row
            for row in rows[table]
            if row["id"] in ticked or owners.run_id(table, row) in of_whole
        ]

    annotation_files = wanted("annotationFiles", "annotations", _file_ids(basket, rows))
    tomograms = wanted("tomograms", "tomograms", basket.tomograms)
    if basket.choices.with_tomogram:
        have = {row["runId"] for row in tomograms}
        lacking = {owners.run_id("annotationFiles", row) for row in annotation_files} - have
        added = default_tomograms(rows, basket.choices.with_tomogram)
        tomograms += [row for row in added if row["runId"] in lacking]
    tilt_series = wanted("tiltseries", "tilt series", basket.tilt_series)
    parts = tuple(tomograms), tuple(annotation_files), tuple(tilt_series)
    return Chosen(basket, rows, owners, *parts, frozenset(whole))


def default_tomograms(rows: Rows, processing: str = "default") -> list[Row]:
    """For each run, the tomogram that its page opens first, or the first one of a processing."""
    best: dict[int | None, Row] = {}
    for row in sorted(
        rows["tomograms"], key=lambda row: (not row.get("isVisualizationDefault"), row["id"])
    ):
        if processing in {"default", row["processing"]}:
            best.setdefault(row["runId"], row)
    return list(best.values())


def contents_of(chosen: Chosen) -> Contents:
    """Count the files of a basket."""
    sizes: dict[Part, list[int]] = defaultdict(list)
    for file in chosen.files:
        sizes[file.part].append(file.size_bytes)
    run_ids = {file.run_id for file in chosen.files}
    return Contents(
        run_ids=tuple(row["id"] for row in chosen.rows["runs"] if row["id"] in run_ids),
        parts={
            part: Amount(n_files=len(sizes[part]), size_bytes=sum(sizes[part]))
            for part in PARTS
            if part in sizes
        },
    )


def plan_basket(basket: Basket, rows: Rows, portal: Portal) -> Plan:
    """Plan the download of a basket from rows of all tables.

    DownloadError if there is nothing to fetch.
    """
    plan = plan_cells(
        rows, portal.source, _cells(choose(basket, rows)), first_level=basket.choices.level
    )
    about = {
        "basket": basket.name,
        "catalogue_date": basket.catalogue_date,
        "searches": [saved.search for saved in basket.searches],
    }
    return replace(plan, about=about, beside={"basket.toml": basket_text(basket)})


def download_basket(
    basket: Basket,
    portal: Portal,
    folder: PathOrUrl,
    *,
    stop: threading.Event | None = None,
    **options: Any,
) -> DownloadReport:
    """Download a basket into a folder, which becomes a pack.

    ``options`` and errors are those of `download_files`.
    """
    rows = ask_basket_rows(portal, basket, stop=stop)
    return download_files(plan_basket(basket, rows, portal), folder, stop=stop, **options)


def part_of(table: str, column: str) -> Part:
    """The part that a file belongs to, by the cell that names it."""
    return "metadata" if column.startswith("keyPhoto") else _PARTS.get(table, "metadata")


def _file_ids(basket: Basket, rows: Rows) -> set[int]:
    """Ids of annotation files: of ticked shapes, and of the chosen shapes of ticked annotations."""
    annotations, with_files = (
        {*basket.annotations},
        {row["annotationShapeId"] for row in rows["annotationFiles"]},
    )
    shapes = [
        row
        for row in rows["annotationShapes"]
        if row["annotationId"] in annotations and row["id"] in with_files
    ]
    if basket.choices.shapes == "richest":
        offered = {(row["annotationId"], row["shapeType"]) for row in shapes}
        shapes = [
            row
            for row in shapes
            if (row["annotationId"], _RICHER.get(row["shapeType"], "")) not in offered
        ]
    wanted = {row["id"] for row in shapes} | {*basket.annotation_shapes}
    return {row["id"] for row in rows["annotationFiles"] if row["annotationShapeId"] in wanted}


def _cells(chosen: Chosen) -> Iterable[Cell]:
    """The cells of all files, each file once even if several rows name it."""
    cells = (*_cells_of_whole_runs(chosen), *_cells_of_parts(chosen))
    return {row[column]: (table, row, column) for table, row, column in cells}.values()


def _cells_of_parts(chosen: Chosen) -> Iterator[Cell]:
    """The cells of runs that aren't whole, with one format of each volume."""
    choices, owners = chosen.basket.choices, chosen.owners

    def in_parts(table: str, rows: Iterable[Row]) -> list[Row]:
        return [row for row in rows if owners.run_id(table, row) not in chosen.whole_runs]

    tomograms = in_parts("tomograms", chosen.tomograms)
    files = in_parts("annotationFiles", chosen.annotation_files)
    tilt_series = in_parts("tiltseries", chosen.tilt_series)
    yield from volume_cells("tomograms", tomograms, choices.volume_format)
    yield from file_cells(files, choices.volume_format)
    yield from volume_cells("tiltseries", tilt_series, choices.volume_format)
    yield from (
        ("tiltseries", row, "httpsAngleList") for row in tilt_series if row["httpsAngleList"]
    )
    if choices.metadata:
        annotations = {row["id"]: row for file in files if (row := owners.annotation(file))}
        alignment_ids = {row["alignmentId"] for row in (*tomograms, *files)}
        alignments = [row for row in chosen.rows["alignments"] if row["id"] in alignment_ids]
        yield from every_cell({"annotations": [*annotations.values()], "alignments": alignments})


def _cells_of_whole_runs(chosen: Chosen) -> Iterator[Cell]:
    """All cells of whole runs, and of their datasets and depositions."""
    rows, owners = chosen.rows, chosen.owners
    datasets = {row["datasetId"] for row in rows["runs"] if row["id"] in chosen.whole_runs}
    depositions = {row["depositionId"] for row in rows["datasets"] if row["id"] in datasets}
    above = {"datasets": datasets, "depositions": depositions}
    for table, row, column in every_cell(rows) if chosen.whole_runs else ():
        is_whole = (
            row["id"] in above[table]
            if table in above
            else owners.run_id(table, row) in chosen.whole_runs
        )
        if is_whole and part_of(table, column) not in chosen.basket.choices.leave_out:
            yield table, row, column


# asking


def ask_basket_rows(portal: Portal, basket: Basket, *, stop: threading.Event | None = None) -> Rows:
    """Request all rows of a basket's runs, to plan its download.

    Records that the portal lacks are left out.
    """
    return RowsOfRuns(portal, for_download=True).of(basket, stop=stop)


class RowsOfRuns:
    """A cache of rows by run: after a change of the basket, only new runs are requested.

    Without ``for_download``, only the few tables for `contents_of` are requested.
    """

    def __init__(self, portal: Portal, *, for_download: bool = False) -> None:
        self._portal, self._needed = portal, tables().keys() if for_download else _NEEDED
        self._lock = threading.Lock()
        self._known: dict[str, dict[int, Row]] = {name: {} for name in tables()}
        self._owners = Owners(self._known)
        self._requested: dict[int, Set[str]] = {}  # tables by run id

    def of(self, basket: Basket, *, stop: threading.Event | None = None) -> Rows:
        """The rows of a basket's runs. Thread-safe; blocks during requests."""
        with self._lock:
            whole, parts = (self._run_ids(basket, kinds, stop) for kinds in (KINDS[:2], KINDS[2:]))
            for wanted, names in (
                (whole, self._needed | _OF_WHOLE_RUNS),
                (parts - whole, self._needed),
            ):
                if new := {
                    run_id
                    for run_id in wanted
                    if not names <= self._requested.get(run_id, frozenset())
                }:
                    for name, rows in ask_rows(
                        self._portal, run_ids=new, names=names, stop=stop
                    ).items():
                        self._known[name] |= {row["id"]: row for row in rows}
                    self._requested |= dict.fromkeys(new, names)
            run_ids = {None, *whole, *parts}
            return {
                name: [row for row in rows.values() if self._owners.run_id(name, row) in run_ids]
                for name, rows in self._known.items()
            }

    def _run_ids(
        self, basket: Basket, kinds: Iterable[RecordKind], stop: threading.Event | None
    ) -> set[int]:
        """The runs of ticked records of some kinds, without records that the portal lacks."""
        run_ids: set[int | None] = set()
        for kind in kinds:
            table, key, known = TABLES[kind], "id", self._known[TABLES[kind]]
            if kind == "datasets":
                table, key, known = (
                    "runs",
                    "datasetId",
                    {},
                )  # always requested: only some of its runs may be known
            run_ids |= {
                self._owners.run_id(table, known[each])
                for each in basket.ids(kind)
                if each in known
            }
            if unknown := [each for each in basket.ids(kind) if each not in known]:
                column = {"runs": "runId: id", "annotationShapes": "annotation { runId }"}.get(
                    table, "runId"
                )
                rows = ask_table(
                    self._portal, table, {key: {"_in": unknown}}, columns=[column], stop=stop
                )
                run_ids |= {(row.get("annotation") or row).get("runId") for row in rows}
        return {run_id for run_id in run_ids if run_id is not None}
