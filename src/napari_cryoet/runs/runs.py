"""The records of runs, joined from rows of the portal's tables: an answer's, a server's or a pack's.

All rules about the records of one run are here, each once: which tomogram is the default, which
files an annotation has, which of its shapes says most.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Final, Literal, NamedTuple, TypeVar

from msgspec.structs import replace

from napari_cryoet.locations import without_login
from napari_cryoet.records import (
    Alignment,
    Annotation,
    AnnotationFile,
    AnnotationShape,
    Author,
    Dataset,
    DepositionTitle,
    Funding,
    IdentifiedObject,
    MethodLink,
    Record,
    Run,
    ShapeType,
    Terms,
    TiltSeries,
    Tomogram,
    VoxelSpacing,
    converted,
    terms_of,
)
from napari_cryoet.tables.database import Row, Rows, is_url, tables

R = TypeVar("R", bound=Record)

#: The columns that rank the tomograms of a run, the default first: each in descending order,
#: unknown values last. Ties are sorted by id.
DEFAULT_FIRST: Final = (
    "isVisualizationDefault",
    "isPortalStandard",
    "isAuthorSubmitted",
    "voxelSpacing",
)
#: The shape type that says more than another about the same annotation.
_RICHER: Final[Mapping[str, str]] = {
    ShapeType.POINT: ShapeType.ORIENTED_POINT,
    ShapeType.SEGMENTATION_MASK: ShapeType.INSTANCE_SEGMENTATION_MASK,
}
VolumeFormat = Literal["zarr", "mrc"]

LEVELS: Final = 3  # in the portal's volumes

Cell = tuple[str, Row, str]
"""A file: its table, its row, and the column with its HTTPS URL."""
_VOLUME_COLUMNS: Final[dict[VolumeFormat, str]] = {"zarr": "httpsOmezarrDir", "mrc": "httpsMrcFile"}


class RunRecords(Record, frozen=True, kw_only=True):
    """A run with all its records: flat tuples of records that refer to their parents."""

    run: Run
    voxel_spacings: tuple[VoxelSpacing, ...]  # finest first
    tomograms: tuple[Tomogram, ...]  # default first
    annotations: tuple[Annotation, ...]  # by object
    annotation_shapes: tuple[AnnotationShape, ...]
    annotation_files: tuple[AnnotationFile, ...]
    alignments: tuple[Alignment, ...]
    tilt_series: tuple[TiltSeries, ...]
    identified_objects: tuple[IdentifiedObject, ...] = ()

    @property
    def default_tomogram(self) -> Tomogram | None:
        """The tomogram to open first, or None if the run has none."""
        return self.tomogram_of("default")

    def tomogram_of(self, processing: str) -> Tomogram | None:
        """The first tomogram of a processing, such as "denoised", or the "default" one."""
        return next(
            (each for each in self.tomograms if processing in {"default", each.processing}), None
        )

    def files_of(self, shape: AnnotationShape) -> tuple[AnnotationFile, ...]:
        """The files of an annotation shape."""
        return tuple(file for file in self.annotation_files if file.annotation_shape_id == shape.id)

    def shapes_of(self, annotation: Annotation) -> tuple[AnnotationShape, ...]:
        """The shapes of an annotation."""
        return tuple(
            shape for shape in self.annotation_shapes if shape.annotation_id == annotation.id
        )


def default_rank(tomogram: Tomogram) -> tuple[float, ...]:
    """A sort key that puts a run's default tomogram first; see `DEFAULT_FIRST`."""
    values = (
        tomogram.is_visualization_default,
        tomogram.is_portal_standard,
        tomogram.is_author_submitted,
        tomogram.voxel_spacing,
    )
    return (*(math.inf if value is None else -value for value in values), tomogram.id)


def richest_shapes(shapes: Iterable[AnnotationShape]) -> list[AnnotationShape]:
    """Leave out shapes if another of the same annotation says more, such as oriented points."""
    several = list(shapes)
    offered = {(each.annotation_id, each.shape_type) for each in several}
    return [
        each
        for each in several
        if (each.annotation_id, _RICHER.get(each.shape_type or "")) not in offered
    ]


def best_rank(annotation: Annotation) -> tuple[bool, bool, int, int]:
    """A sort key that puts the best annotation to train with first: ground truth, recommended, with most objects."""
    return (
        not annotation.ground_truth_status,
        not annotation.is_curator_recommended,
        -(annotation.object_count or 0),
        annotation.id,
    )


@dataclass(frozen=True)
class Runs:
    """Some runs, and the rows that their records were joined from."""

    records: Mapping[int, RunRecords]  # by run id
    rows_of: Mapping[int, Rows]  # by run id
    above: Rows  # of datasets and depositions

    @classmethod
    def of_rows(cls, rows: Rows, terms: Terms | None = None, source: str = "") -> Runs:
        """Join rows of a source with its terms. PortalError if a row isn't valid."""
        above, rows_of = _split_by_run(rows)
        titles = _titles(above)
        datasets = {each.id: each for each in datasets_of(above, terms)}
        records = {}
        for run_id, of_run in rows_of.items():
            (run,) = _records(of_run, "runs", Run)
            dataset = datasets.get(run.dataset_id)
            known = terms_of(run.s3_prefix, terms)
            run = replace(run, dataset=dataset, terms=known, opened_from=without_login(source))
            records[run_id] = _joined(run, of_run, titles)
        return cls(records, rows_of, above)

    def __iter__(self) -> Iterator[RunRecords]:
        return iter(self.records.values())

    @cached_property
    def rows(self) -> Rows:
        """The rows of all runs, and those above them, by table."""
        rows: dict[str, list[Row]] = {name: [] for name in tables()}
        for part in (self.above, *self.rows_of.values()):
            for name, of_table in part.items():
                rows[name] += of_table
        return rows

    @cached_property
    def tomograms(self) -> Mapping[int, Tomogram]:
        """The tomograms of all runs by id."""
        return {each.id: each for run in self for each in run.tomograms}

    @cached_property
    def annotation_files(self) -> Mapping[int, AnnotationFile]:
        """The annotation files of all runs by id."""
        return {each.id: each for run in self for each in run.annotation_files}


def datasets_of(rows: Rows, terms: Terms | None) -> Iterator[Dataset]:
    """The datasets among rows, with their authors, grants and depositions."""
    titles = _titles(rows)
    authors = authors_by(rows, "datasetAuthors", "datasetId")
    funding = grouped(rows, "datasetFunding", "datasetId", Funding)
    for each in _records(rows, "datasets", Dataset):
        yield replace(
            each,
            authors=authors(each.id),
            funding_sources=tuple(funding.get(each.id, ())),
            deposition=each.deposition or titles.get(each.deposition_id),
            terms=terms_of(each.s3_prefix, terms),
        )


def _split_by_run(rows: Rows) -> tuple[Rows, dict[int, Rows]]:
    """The rows above runs, and the rows of each run by its id, by following each row's owners."""
    above: dict[str, list[Row]] = {}
    rows_of: dict[int, dict[str, list[Row]]] = {row["id"]: {} for row in rows["runs"]}
    run_ids: dict[str, dict[int, int]] = {"runs": {run_id: run_id for run_id in rows_of}}
    for name in sorted(rows, key=depth):
        owner = tables()[name].owning
        known = run_ids.setdefault(name, {})
        for row in rows[name]:
            if name == "runs" or owner is None:
                run_id = known.get(row["id"])
            else:
                run_id = run_ids.get(owner.table, {}).get(row.get(owner.key, 0))
            if run_id is None:
                above.setdefault(name, []).append(row)
            else:
                rows_of[run_id].setdefault(name, []).append(row)
                if "id" in row:  # not that of authors, which own nothing
                    known[row["id"]] = run_id
    return above, dict(rows_of)


def depth(name: str) -> int:
    """The number of tables above a table."""
    owner = tables()[name].owning
    return 0 if owner is None else 1 + depth(owner.table)


def _joined(run: Run, rows: Rows, titles: Mapping[int, DepositionTitle]) -> RunRecords:
    """The records of a run, sorted, with their parents."""
    spacings = {each.id: each for each in _records(rows, "tomogramVoxelSpacings", VoxelSpacing)}
    alignments = {each.id: each for each in _records(rows, "alignments", Alignment)}
    tomogram_authors = authors_by(rows, "tomogramAuthors", "tomogramId")
    tomograms = [
        replace(
            each,
            authors=tomogram_authors(each.id),
            deposition=each.deposition or titles.get(each.deposition_id),
            run=run,
            alignment=alignments.get(each.alignment_id or 0),
        )
        for each in _records(rows, "tomograms", Tomogram)
    ]
    annotations = {each.id: each for each in _annotations(run, rows, titles)}
    shapes = {
        each.id: replace(each, annotation=annotations.get(each.annotation_id or 0))
        for each in _records(rows, "annotationShapes", AnnotationShape)
    }
    files = [
        replace(
            each,
            shape=shapes.get(each.annotation_shape_id or 0),
            voxel_spacing=spacings.get(each.tomogram_voxel_spacing_id or 0),
        )
        for each in _records(rows, "annotationFiles", AnnotationFile)
    ]
    return RunRecords(
        run=run,
        voxel_spacings=tuple(sorted(spacings.values(), key=lambda each: each.voxel_spacing)),
        tomograms=tuple(sorted(tomograms, key=default_rank)),
        annotations=tuple(
            sorted(annotations.values(), key=lambda each: (each.object_name, each.id))
        ),
        annotation_shapes=tuple(shapes.values()),
        annotation_files=tuple(files),
        alignments=tuple(alignments.values()),
        tilt_series=tuple(_records(rows, "tiltseries", TiltSeries)),
        identified_objects=tuple(_records(rows, "identifiedObjects", IdentifiedObject)),
    )


def _annotations(
    run: Run, rows: Rows, titles: Mapping[int, DepositionTitle]
) -> Iterator[Annotation]:
    authors = authors_by(rows, "annotationAuthors", "annotationId")
    links = grouped(rows, "annotationMethodLinks", "annotationId", MethodLink)
    for each in _records(rows, "annotations", Annotation):
        yield replace(
            each,
            authors=authors(each.id),
            method_links=tuple(links.get(each.id, ())),
            deposition=each.deposition or titles.get(each.deposition_id or 0),
            run=run,
        )


def _titles(rows: Rows) -> dict[int, DepositionTitle]:
    return {each.id: each for each in _records(rows, "depositions", DepositionTitle)}


def authors_by(rows: Rows, name: str, key: str) -> Callable[[int], tuple[Author, ...]]:
    """A function that gives the authors of a record by its id, in their order."""
    authors = grouped(rows, name, key, Author)
    return lambda row_id: tuple(
        sorted(authors.get(row_id, ()), key=lambda each: each.author_list_order)
    )


def grouped(rows: Rows, name: str, key: str, kind: type[R]) -> dict[Any, list[R]]:
    """The records of a table by a column that they lack."""
    groups: dict[Any, list[R]] = defaultdict(list)
    for row, record in zip(rows.get(name, ()), _records(rows, name, kind), strict=True):
        groups[row[key]].append(record)
    return groups


def _records(rows: Rows, name: str, kind: type[R]) -> list[R]:
    records: list[R] = converted(rows.get(name, ()), list[kind], name)  # type: ignore[valid-type]
    return records


# files


class FileColumn(NamedTuple):
    """The columns that accompany one with file URLs: their S3 paths and sizes, if any."""

    s3: str | None
    size: str | None


@cache
def file_columns() -> Mapping[str, Mapping[str, FileColumn]]:
    """The columns that name files, by table and name, without folders of whole datasets or runs."""
    columns: dict[str, dict[str, FileColumn]] = {}
    for table in tables().values():
        for name in table.columns:
            if is_url(name) and not name.startswith("s3") and not name.endswith("Prefix"):
                columns.setdefault(table.name, {})[name] = _file_column(name, table.columns)
    return columns


def _file_column(https: str, columns: Collection[str]) -> FileColumn:
    stem = https.removeprefix("https")
    volume_format = next((each for each in ("Omezarr", "Mrc") if stem.startswith(each)), "")
    s3 = f"s3{stem}"
    size = "" if stem == https else f"fileSize{volume_format}"
    return FileColumn(s3 if s3 in columns else None, size if size in columns else None)


def every_cell(rows: Rows) -> Iterator[Cell]:
    """The cells of all files that the rows list."""
    for table, columns in file_columns().items():
        for row in rows.get(table, ()):
            yield from ((table, row, name) for name in columns if row[name])


def volume_cells(table: str, rows: Iterable[Row], volume_format: VolumeFormat) -> Iterator[Cell]:
    """The cell of each tomogram or tilt series in this format if offered, else in the other one."""
    names = sorted(
        _VOLUME_COLUMNS.values(), key=lambda name: name != _VOLUME_COLUMNS[volume_format]
    )
    for row in rows:
        yield from [(table, row, name) for name in names if row[name]][:1]


def file_cells(files: Collection[Row], volume_format: VolumeFormat) -> Iterator[Cell]:
    """The cells of annotation files; a mask in several formats only in this one if offered."""
    offered = {_volume(row) for row in files if row["format"] == volume_format}
    for row in files:
        is_other_format = row["format"] in _VOLUME_COLUMNS and row["format"] != volume_format
        if not (is_other_format and _volume(row) in offered):
            yield "annotationFiles", row, "httpsPath"


def is_zarr(cell: Cell) -> bool:
    """Whether a cell names an OME-Zarr."""
    _, row, column = cell
    return column == _VOLUME_COLUMNS["zarr"] or row.get("format") == "zarr"


def size_of(cell: Cell, first_level: int) -> int | None:
    """The size in bytes that the portal lists, or an estimate if finer levels are left out.

    None if it lists none.
    """
    table, row, column = cell
    name = file_columns()[table][column].size
    size = row[name] if name else None
    return None if size is None else round(max(0, size) * level_share(table, column, first_level))


def level_share(table: str, column: str, first_level: int) -> float:
    """The approximate fraction of a file to fetch; each level is an eighth of the one before."""
    if not first_level or (table, column) != ("tomograms", _VOLUME_COLUMNS["zarr"]):
        return 1.0
    sizes = [8.0**-level for level in range(LEVELS)]
    return sum(sizes[min(first_level, LEVELS - 1) :]) / sum(sizes)


def _volume(row: Row) -> tuple[int | None, ...]:
    """A key that the formats of one mask share."""
    return row["annotationShapeId"], row["alignmentId"], row["tomogramVoxelSpacingId"]
