"""The answers of our queries as pages: records that point at their parents, in the order in which people want them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from napari_cryoet.portal import decode
from napari_cryoet.portal.decode import count_of, groups_of, int_of, record_of, records_of, rows_of, text_of
from napari_cryoet.portal.decode_counts import (
    by_object,
    count_by_dataset,
    most_first,
    object_counts,
    objects_of,
    only_row,
    tally,
)
from napari_cryoet.portal.decode_depositions import deposition_rows
from napari_cryoet.portal.pages import (
    Catalogue,
    CatalogueAuthor,
    CatalogueRow,
    DatasetPage,
    Freshness,
    LookupHit,
    RunPage,
    RunRow,
)
from napari_cryoet.records import (
    Alignment,
    Annotation,
    AnnotationFile,
    AnnotationShape,
    Author,
    Dataset,
    DepositionTitle,
    Funding,
    MethodLink,
    Record,
    Run,
    TiltSeries,
    Tomogram,
    VoxelSpacing,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_cryoet.portal.decode import Row

R = TypeVar("R", Annotation, AnnotationShape, Tomogram, VoxelSpacing)


def catalogue(data: Row, freshness: Freshness) -> Catalogue:
    """All datasets and depositions, as `queries.CATALOGUE` asks for them."""
    authors = decode.sequence_by(rows_of(data, "datasetAuthors"), "datasetId", "datasetAuthors")
    runs = count_by_dataset(data, "runCounts")
    tomograms = count_by_dataset(data, "tomogramCounts")
    annotations = count_by_dataset(data, "annotationCounts")
    objects = tally(data, "objects", "runs", "annotations", "objectName")
    shapes = tally(data, "shapes", "runs", "annotations", "annotationShapes", "shapeType")
    rows = []
    for number, row in enumerate(rows_of(data, "datasets")):
        where = f"datasets[{number}]"
        dataset_id = int_of(row, "id", where)
        counts = {
            "runCount": runs[dataset_id],
            "tomogramCount": tomograms[dataset_id],
            "annotationCount": annotations[dataset_id],
        }
        rows.append(
            record_of(
                CatalogueRow,
                {**row, **counts},
                where,
                authors=tuple(
                    record_of(CatalogueAuthor, each, f"{where}.authors") for each in authors.get(dataset_id, ())
                ),
                objects=objects_of(objects.get(dataset_id, {})),
                shapes=tuple(name for name, _ in most_first(shapes.get(dataset_id, {}))),
            )
        )
    return Catalogue(rows=tuple(rows), freshness=freshness, depositions=deposition_rows(data, rows))


def dataset_page(data: Row, dataset_id: int, offset: int, freshness: Freshness) -> DatasetPage:
    """A dataset and some of its runs, as `queries.DATASET_PAGE` asks for them."""
    row = only_row(rows_of(data, "datasets"), "dataset", dataset_id)
    return DatasetPage(
        dataset=_dataset(row, "datasets[0]", data),
        runs=tuple(_run_row(each, f"runs[{number}]") for number, each in enumerate(rows_of(data, "runs"))),
        run_total=count_of(data, "total"),
        offset=offset,
        objects=object_counts(data),
        freshness=freshness,
    )


def run_page(data: Row, run_id: int, freshness: Freshness) -> RunPage:
    """Everything of a run, as `queries.RUN_PAGE` asks for it."""
    row = only_row(rows_of(data, "runs"), "run", run_id)
    dataset_row = decode.optional_object_of(row, "dataset", "runs[0]")
    dataset = None if dataset_row is None else _dataset(dataset_row, "runs[0].dataset", data)
    run = record_of(Run, row, "runs[0]", dataset=dataset)
    spacings = records_of(VoxelSpacing, data, "tomogramVoxelSpacings")
    annotations = _annotations(data, run)
    shapes = _shapes(data, _by_id(annotations))
    return RunPage(
        run=run,
        voxel_spacings=tuple(spacings),
        tomograms=tuple(sorted(_tomograms(data, run), key=_opening_order)),
        annotations=tuple(sorted(annotations, key=_annotation_order)),
        annotation_shapes=shapes,
        annotation_files=_files(data, _by_id(shapes), _by_id(spacings)),
        alignments=tuple(records_of(Alignment, data, "alignments")),
        tilt_series=tuple(records_of(TiltSeries, data, "tiltseries")),
        freshness=freshness,
    )


def lookup(data: Row) -> tuple[LookupHit, ...]:
    """All records that carry one id, as `queries.LOOKUP` asks for them."""
    hits = []
    for kind, name in _LOOKUP_LISTS.items():
        for row in rows_of(data, name):
            run = row if kind == "run" else decode.optional_object_of(row, "run", name)
            dataset = row if kind == "dataset" else decode.optional_object_of(run or {}, "dataset", name)
            hits.append(
                LookupHit(
                    kind=kind,
                    id=int_of(row, "id", name),
                    title=_lookup_title(kind, row),
                    dataset_id=None if dataset is None else int_of(dataset, "id", name),
                    dataset_title=None if dataset is None else text_of(dataset, "title", name),
                    run_id=None if run is None else int_of(run, "id", name),
                    run_name=None if run is None else text_of(run, "name", name),
                )
            )
    return tuple(hits)


def run_of_file(data: Row) -> int | None:
    """The run that an annotation file belongs to, as `queries.FILE_RUN` asks for it; None where there is none."""
    for row in rows_of(data, "annotationFiles"):
        shape = decode.optional_object_of(row, "annotationShape", "annotationFiles") or {}
        annotation = decode.optional_object_of(shape, "annotation", "annotationFiles")
        if annotation is not None and annotation.get("runId") is not None:
            return int_of(annotation, "runId", "annotationFiles")
    return None


_LOOKUP_LISTS = {
    "dataset": "dataset",
    "deposition": "deposition",
    "run": "run",
    "tomogram": "tomogram",
    "annotation": "annotation",
    "alignment": "alignment",
    "tilt series": "tiltseries",
}


def found_ids(data: Row, word_count: int) -> list[set[int]]:
    """The answer to `queries.search`: for each word, the ids of the datasets in which it was found somewhere."""
    by_word: list[set[int]] = [set() for _ in range(word_count)]
    for alias in data:
        number = alias.partition("_")[0].removeprefix("w")
        if number.isascii() and number.isdigit() and int(number) < word_count:
            by_word[int(number)] |= {int_of(row, "id", alias) for row in rows_of(data, alias)}
    return by_word


def _lookup_title(kind: str, row: Row) -> str:
    match kind:
        case "tomogram":
            name, processing = text_of(row, "name", kind) or "", text_of(row, "processing", kind) or ""
            return f"{name} {processing} {decode.float_of(row, 'voxelSpacing', kind):g} Å".strip()
        case "annotation":
            return text_of(row, "objectName", kind) or ""
        case "alignment":
            return (text_of(row, "alignmentMethod", kind) or "alignment").replace("_", " ")
        case "tilt series":
            return text_of(row, "cameraModel", kind) or ""
        case _:
            return text_of(row, "name" if kind == "run" else "title", kind) or ""


def _dataset(row: Row, where: str, data: Row) -> Dataset:
    return record_of(
        Dataset,
        row,
        where,
        authors=tuple(records_of(Author, data, "datasetAuthors")),
        funding_sources=tuple(records_of(Funding, data, "datasetFunding")),
        deposition=_deposition_title(row, where),
    )


def _deposition_title(row: Row, where: str) -> DepositionTitle | None:
    found = decode.optional_object_of(row, "deposition", where)
    return None if found is None else record_of(DepositionTitle, found, f"{where}.deposition")


def _authors(data: Row, name: str, key: str) -> dict[int, tuple[Author, ...]]:
    found = decode.sequence_by(rows_of(data, name), key, name)
    return {parent: tuple(record_of(Author, row, name) for row in rows) for parent, rows in found.items()}


def _tomograms(data: Row, run: Run) -> list[Tomogram]:
    authors = _authors(data, "tomogramAuthors", "tomogramId")
    found = []
    for number, row in enumerate(rows_of(data, "tomograms")):
        where = f"tomograms[{number}]"
        title = _deposition_title(row, where)
        mine = authors.get(int_of(row, "id", where), ())
        found.append(record_of(Tomogram, row, where, authors=mine, deposition=title, run=run))
    return found


def _annotations(data: Row, run: Run) -> list[Annotation]:
    authors = _authors(data, "annotationAuthors", "annotationId")
    links = decode.sequence_by(rows_of(data, "annotationMethodLinks"), "annotationId", "annotationMethodLinks")
    found = []
    for number, row in enumerate(rows_of(data, "annotations")):
        where = f"annotations[{number}]"
        annotation_id = int_of(row, "id", where)
        found.append(
            record_of(
                Annotation,
                row,
                where,
                authors=authors.get(annotation_id, ()),
                method_links=tuple(
                    record_of(MethodLink, each, f"{where}.links") for each in links.get(annotation_id, ())
                ),
                deposition=_deposition_title(row, where),
                run=run,
            )
        )
    return found


def _shapes(data: Row, annotations: Mapping[int, Annotation]) -> tuple[AnnotationShape, ...]:
    found = []
    for number, row in enumerate(rows_of(data, "annotationShapes")):
        where = f"annotationShapes[{number}]"
        parent = None if row.get("annotationId") is None else annotations.get(int_of(row, "annotationId", where))
        found.append(record_of(AnnotationShape, row, where, annotation=parent))
    return tuple(found)


def _files(
    data: Row, shapes: Mapping[int, AnnotationShape], spacings: Mapping[int, VoxelSpacing]
) -> tuple[AnnotationFile, ...]:
    found = []
    for number, row in enumerate(rows_of(data, "annotationFiles")):
        where = f"annotationFiles[{number}]"
        bare = record_of(AnnotationFile, row, where)
        shape = shapes.get(bare.annotation_shape_id or 0)
        spacing = spacings.get(bare.tomogram_voxel_spacing_id or 0)
        found.append(record_of(AnnotationFile, row, where, shape=shape, voxel_spacing=spacing))
    return tuple(found)


def _by_id(records: Iterable[R]) -> dict[int, R]:
    return {record.id: record for record in records}


class _TomogramRow(Record, frozen=True, kw_only=True):
    """As much of a tomogram as its run's row shows."""

    id: int
    voxel_spacing: float
    size_x: int
    size_y: int
    size_z: int
    file_size_omezarr: float | None = None
    key_photo_thumbnail_url: str | None = None
    is_visualization_default: bool | None = None
    is_portal_standard: bool | None = None
    is_author_submitted: bool | None = None


def _opening_order(tomogram: Tomogram | _TomogramRow) -> tuple[bool, bool, float, int]:
    """The curators' choice first, then the standard or its authors' own, then the coarsest, which opens quickest."""
    is_endorsed = bool(tomogram.is_portal_standard or tomogram.is_author_submitted)
    return not tomogram.is_visualization_default, not is_endorsed, -tomogram.voxel_spacing, tomogram.id


def _annotation_order(annotation: Annotation) -> tuple[str, bool, bool, int]:
    """By object; ground truth first, then what curators recommend."""
    return (
        annotation.object_name.casefold(),
        not annotation.ground_truth_status,
        not annotation.is_curator_recommended,
        annotation.id,
    )


def _run_row(row: Row, where: str) -> RunRow:
    nodes = decode.nodes_of(row, "tomograms", where)
    tomograms = [record_of(_TomogramRow, each, f"{where}.tomograms") for each in nodes]
    tilt_series = decode.nodes_of(row, "tiltseries", where)
    objects = groups_of(row, "annotationsAggregate", where)
    shown: Row = {
        "tomogramCount": count_of(row, "tomogramsAggregate", where),
        "annotationCount": sum(count for count, _ in objects),
        "tiltSeriesQuality": tilt_series[0].get("tiltSeriesQuality") if tilt_series else None,
    }
    if tomograms:
        first = min(tomograms, key=_opening_order)
        shown |= next(each for each in nodes if each["id"] == first.id)
    shown |= {name: row.get(name) for name in ("id", "name", "datasetId")}
    return record_of(RunRow, shown, where, objects=objects_of(by_object(objects, where)))
