"""The portal's answers as pages: replies to records that point at their parents, in the order people want them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from msgspec.structs import asdict, replace

from napari_cryoet import records
from napari_cryoet.exceptions import NotFoundError, PortalError
from napari_cryoet.portal import pages
from napari_cryoet.portal.pages import Freshness
from napari_cryoet.records import Record, Terms

R = TypeVar("R", bound=Record)
T = TypeVar("T")

Row = Mapping[str, Any]
Counts = Counter[tuple[Any, ...]]
"""Counts by group: the cells at the ends of some paths."""


class _Group(msgspec.Struct, frozen=True, rename="camel"):
    count: int
    group_by: Row | None = None


class _Aggregate(msgspec.Struct, frozen=True):
    """Counts by group; none where the API has an empty list."""

    aggregate: list[_Group]

    @property
    def total(self) -> int:
        return sum(group.count for group in self.aggregate)

    def counts(self, *paths: str) -> Counts:
        """The counts by the cells at the ends of paths."""
        counts: Counts = Counter()
        for group in self.aggregate:
            counts[tuple(_at(group.group_by, path) for path in paths)] += group.count
        return counts


class _Edge(msgspec.Struct, Generic[T], frozen=True):
    node: T


class _Connection(msgspec.Struct, Generic[T], frozen=True):
    edges: list[_Edge[T]]

    @property
    def first(self) -> T | None:
        return self.edges[0].node if self.edges else None


def catalogue(data: Row, freshness: Freshness, _: Terms | None) -> pages.Catalogue:
    """All datasets and depositions, as `queries.CATALOGUE` asks for them."""
    authors = _by_parent(data, "datasetAuthors", "datasetId", pages.CatalogueAuthor)
    runs = _aggregate(data, "runCounts").counts("dataset.id")
    tomograms = _aggregate(data, "tomogramCounts").counts("run.dataset.id")
    annotations = _aggregate(data, "annotationCounts").counts("run.dataset.id")
    objects = _by_first(_aggregate(data, "objects").counts("id", "runs.annotations.objectName"))
    shapes = _by_first(_aggregate(data, "shapes").counts("id", "runs.annotations.annotationShapes.shapeType"))
    rows = tuple(
        replace(
            row,
            authors=authors.get(row.id, ()),
            run_count=runs[row.id,],
            tomogram_count=tomograms[row.id,],
            annotation_count=annotations[row.id,],
            objects=_objects(objects[row.id]),
            shapes=tuple(shape for (shape,), _ in _most_first(shapes[row.id]) if shape),
        )
        for row in _rows(data, "datasets", pages.CatalogueRow)
    )
    return pages.Catalogue(rows=rows, freshness=freshness, depositions=_deposition_rows(data, rows))


def _deposition_rows(data: Row, datasets: Iterable[pages.CatalogueRow]) -> tuple[pages.DepositionRow, ...]:
    authors = _by_parent(data, "depositionAuthors", "depositionId", pages.CatalogueAuthor)
    kinds = _kinds(data)
    objects = _by_first(_aggregate(data, "depositionObjects").counts("deposition.id", "objectName"))
    annotations = _by_first(_aggregate(data, "depositionAnnotations").counts("deposition.id", "run.dataset.id"))
    tomograms = _by_first(_aggregate(data, "depositionTomograms").counts("deposition.id", "run.dataset.id"))
    brought: dict[int, list[int]] = defaultdict(list)
    for dataset in datasets:
        brought[dataset.deposition_id].append(dataset.id)
    found = []
    for row in _rows(data, "depositions", pages.DepositionRow):
        own = sorted(brought[row.id])
        touched = {key for (key,) in tomograms[row.id] | annotations[row.id] if key}
        found.append(
            replace(
                row,
                kinds=kinds.get(row.id, ()),
                authors=authors.get(row.id, ()),
                dataset_ids=tuple(own),
                enriched_dataset_ids=tuple(sorted(touched.difference(own))),
                tomogram_count=tomograms[row.id].total(),
                annotation_count=objects[row.id].total(),
                objects=_objects(objects[row.id]),
            )
        )
    return tuple(found)


def dataset_page(
    dataset_id: int, offset: int, data: Row, freshness: Freshness, terms: Terms | None
) -> pages.DatasetPage:
    """A dataset and some of its runs, as `queries.DATASET_PAGE` asks for them."""
    dataset = _only(_rows(data, "datasets", records.Dataset), "dataset", dataset_id)
    return pages.DatasetPage(
        dataset=_whole_dataset(dataset, data, terms),
        runs=tuple(_run_row(row) for row in _rows(data, "runs", _RunOfDataset)),
        run_total=_aggregate(data, "total").total,
        offset=offset,
        objects=_objects(_aggregate(data, "objects").counts("objectName")),
        freshness=freshness,
    )


class _ShownTomogram(Record, frozen=True, kw_only=True):
    """As much of a tomogram as its run's row shows."""

    voxel_spacing: float
    size_x: int
    size_y: int
    size_z: int
    file_size_omezarr: float | None = None
    key_photo_thumbnail_url: str | None = None


class _Quality(Record, frozen=True):
    tilt_series_quality: int | None = None


class _RunOfDataset(Record, frozen=True, kw_only=True):
    """A run as `queries.DATASET_PAGE` asks for it."""

    id: int
    name: str
    dataset_id: int
    tomograms: _Connection[_ShownTomogram]
    tomograms_aggregate: _Aggregate
    annotations_aggregate: _Aggregate
    tiltseries: _Connection[_Quality]


def _run_row(row: _RunOfDataset) -> pages.RunRow:
    tomogram, quality = row.tomograms.first, row.tiltseries.first
    shown = pages.RunRow(
        id=row.id,
        name=row.name,
        dataset_id=row.dataset_id,
        tomogram_count=row.tomograms_aggregate.total,
        annotation_count=row.annotations_aggregate.total,
        objects=_objects(row.annotations_aggregate.counts("objectName")),
        tilt_series_quality=quality.tilt_series_quality if quality is not None else None,
    )
    return shown if tomogram is None else replace(shown, **asdict(tomogram))


def run_page(run_id: int, data: Row, freshness: Freshness, terms: Terms | None) -> pages.RunPage:
    """Everything of a run, as `queries.RUN_PAGE` asks for it."""
    run = _only(_rows(data, "runs", records.Run), "run", run_id)
    dataset = None if run.dataset is None else _whole_dataset(run.dataset, data, terms)
    run = replace(run, dataset=dataset, terms=_terms(run.s3_prefix, terms))
    tomogram_authors = _by_parent(data, "tomogramAuthors", "tomogramId", records.Author)
    tomograms = [
        replace(each, authors=tomogram_authors.get(each.id, ()), run=run)
        for each in _rows(data, "tomograms", records.Tomogram)
    ]
    annotation_authors = _by_parent(data, "annotationAuthors", "annotationId", records.Author)
    links = _by_parent(data, "annotationMethodLinks", "annotationId", records.MethodLink)
    annotations = {
        each.id: replace(
            each, authors=annotation_authors.get(each.id, ()), method_links=links.get(each.id, ()), run=run
        )
        for each in _rows(data, "annotations", records.Annotation)
    }
    shapes = {
        each.id: replace(each, annotation=annotations.get(each.annotation_id or 0))
        for each in _rows(data, "annotationShapes", records.AnnotationShape)
    }
    spacings = {each.id: each for each in _rows(data, "tomogramVoxelSpacings", records.VoxelSpacing)}
    files = tuple(
        replace(
            each,
            shape=shapes.get(each.annotation_shape_id or 0),
            voxel_spacing=spacings.get(each.tomogram_voxel_spacing_id or 0),
        )
        for each in _rows(data, "annotationFiles", records.AnnotationFile)
    )
    return pages.RunPage(
        run=run,
        voxel_spacings=tuple(spacings.values()),
        tomograms=tuple(sorted(tomograms, key=_opening_order)),
        annotations=tuple(sorted(annotations.values(), key=_annotation_order)),
        annotation_shapes=tuple(shapes.values()),
        annotation_files=files,
        alignments=tuple(_rows(data, "alignments", records.Alignment)),
        tilt_series=tuple(_rows(data, "tiltseries", records.TiltSeries)),
        freshness=freshness,
    )


def deposition_page(deposition_id: int, data: Row, freshness: Freshness, terms: Terms | None) -> pages.DepositionPage:
    """A deposition, as `queries.DEPOSITION_PAGE` asks for it."""
    deposition = _only(_rows(data, "depositions", records.Deposition), "deposition", deposition_id)
    authors, kinds = tuple(_rows(data, "depositionAuthors", records.Author)), _kinds(data).get(deposition_id, ())
    runs = _run_counts(data)
    return pages.DepositionPage(
        deposition=replace(deposition, kinds=kinds, authors=authors, terms=terms or Terms()),
        datasets=_dataset_counts(data, runs),
        objects=_objects(_aggregate(data, "objects").counts("objectName")),
        tomogram_count=_aggregate(data, "tomogramTotal").total,
        annotation_count=_aggregate(data, "annotationTotal").total,
        freshness=freshness,
        runs=runs,
    )


class _HeldDataset(Record, frozen=True, kw_only=True):
    """A dataset as `queries.DEPOSITION_PAGE` asks for it, itself or in a group."""

    id: int
    title: str
    organism_name: str | None = None
    key_photo_thumbnail_url: str | None = None
    runs_aggregate: _Aggregate | None = None  # of the deposition's own


def _dataset_counts(data: Row, runs: Iterable[pages.RunCount]) -> tuple[pages.DatasetCount, ...]:
    """The datasets that a deposition brought, then those that it only added to."""
    tomograms = _aggregate(data, "tomogramCounts").counts("run.dataset.id")
    annotations = _aggregate(data, "annotationCounts").counts("run.dataset.id")
    touched = _aggregate(data, "runsWithTomograms").counts("dataset.id")
    touched |= _aggregate(data, "runsWithAnnotations").counts("dataset.id")
    listed = Counter(run.dataset_id for run in runs)
    contributions = _by_first(_aggregate(data, "contributions").counts("run.dataset.id", "objectName", "methodType"))
    held = {each.id: each for each in _rows(data, "datasets", _HeldDataset)}
    for name in ("tomogramCounts", "annotationCounts"):
        for group in _aggregate(data, name).aggregate:
            place = _at(group.group_by, "run.dataset")
            if place is not None:
                other: _HeldDataset = _converted(place, _HeldDataset, name)
                held.setdefault(other.id, other)
    found = []
    for key, each in held.items():
        own = each.runs_aggregate
        found.append(
            pages.DatasetCount(
                dataset_id=key,
                title=each.title,
                organism_name=each.organism_name,
                key_photo_thumbnail_url=each.key_photo_thumbnail_url,
                is_own=own is not None,
                run_count=max(touched[key,], listed[key]) if own is None else own.total,
                tomogram_count=tomograms[key,],
                annotation_count=annotations[key,],
                contributions=_contributions(contributions[key]),
            )
        )
    return tuple(sorted(found, key=lambda each: (not each.is_own, each.dataset_id)))


class _TouchedRun(Record, frozen=True, kw_only=True):
    """A run of another's dataset as `queries.DEPOSITION_PAGE` asks for it."""

    id: int
    name: str
    dataset_id: int
    annotations_aggregate: _Aggregate | None = None
    tomograms_aggregate: _Aggregate | None = None


def _run_counts(data: Row) -> tuple[pages.RunCount, ...]:
    """The runs of others' datasets that a deposition added annotations or tomograms to, each once, by name."""
    found: dict[int, pages.RunCount] = {}
    for run in [*_rows(data, "annotatedRuns", _TouchedRun), *_rows(data, "reconstructedRuns", _TouchedRun)]:
        counted = found.get(run.id) or pages.RunCount(id=run.id, name=run.name, dataset_id=run.dataset_id)
        if run.annotations_aggregate is not None:
            contributions = _contributions(run.annotations_aggregate.counts("objectName", "methodType"))
            counted = replace(counted, contributions=contributions)
        if run.tomograms_aggregate is not None:
            counted = replace(counted, tomogram_count=run.tomograms_aggregate.total)
        found[run.id] = counted
    return tuple(sorted(found.values(), key=lambda run: (run.name, run.id)))


class _Hit(Record, frozen=True, kw_only=True):
    """A record as `queries.LOOKUP` asks for it."""

    id: int
    title: str | None = None
    processing: str | None = None
    voxel_spacing: float | None = None
    run: _Hit | None = None
    dataset: _Hit | None = None

    def title_as(self, kind: str) -> str:
        """What a person calls it."""
        match kind:
            case "tomogram":
                return f"{self.title or ''} {self.processing or ''} {self.voxel_spacing:g} Å".strip()
            case "alignment":
                return (self.title or "alignment").replace("_", " ")
        return self.title or ""


_LOOKUP_LISTS = {
    "dataset": "dataset",
    "deposition": "deposition",
    "run": "run",
    "tomogram": "tomogram",
    "annotation": "annotation",
    "alignment": "alignment",
    "tilt series": "tiltseries",
}


def lookup(data: Row, *_: object) -> tuple[pages.LookupHit, ...]:
    """All records that carry one id, as `queries.LOOKUP` asks for them."""
    hits = []
    for kind, name in _LOOKUP_LISTS.items():
        for hit in _rows(data, name, _Hit):
            run = hit if kind == "run" else hit.run
            dataset = hit if kind == "dataset" else run.dataset if run is not None else None
            hits.append(
                pages.LookupHit(
                    kind=kind,
                    id=hit.id,
                    title=hit.title_as(kind),
                    dataset_id=dataset.id if dataset is not None else None,
                    dataset_title=dataset.title if dataset is not None else None,
                    run_id=run.id if run is not None else None,
                    run_name=run.title if run is not None else None,
                )
            )
    return tuple(hits)


def run_of_file(data: Row, *_: object) -> int | None:
    """The run that an annotation file belongs to, as `queries.FILE_RUN` asks for it; None where there is none."""
    rows = _converted(data.get("files"), list[Row], "files")
    ids = (_at(row, "annotationShape.annotation.runId") for row in rows)
    return next((run_id for run_id in ids if isinstance(run_id, int)), None)


class _Found(Record, frozen=True):
    id: int


def found_ids(word_count: int, data: Row, *_: object) -> list[set[int]]:
    """The answer to `queries.search`: for each word, the ids of the datasets in which it was found somewhere."""
    by_word: list[set[int]] = [set() for _ in range(word_count)]
    for alias in data:
        number = alias.partition("_")[0].removeprefix("w")
        if number.isascii() and number.isdigit() and int(number) < word_count:
            by_word[int(number)] |= {row.id for row in _rows(data, alias, _Found)}
    return by_word


# records and their parts


def _whole_dataset(dataset: records.Dataset, data: Row, terms: Terms | None) -> records.Dataset:
    return replace(
        dataset,
        authors=tuple(_rows(data, "datasetAuthors", records.Author)),
        funding_sources=tuple(_rows(data, "datasetFunding", records.Funding)),
        terms=_terms(dataset.s3_prefix, terms),
    )


def _terms(s3_prefix: str, terms: Terms | None) -> Terms:
    """Those that the source says, else the portal's for its own files."""
    return terms or (records.PORTAL_TERMS if s3_prefix.startswith(records.PORTAL_S3_PREFIX) else Terms())


class _Kind(Record, frozen=True, kw_only=True):
    deposition_id: int
    type: str | None = None


def _kinds(data: Row) -> dict[int, tuple[str, ...]]:
    """What each deposition holds."""
    found: dict[int, dict[str, None]] = {}
    for row in _rows(data, "depositionTypes", _Kind):
        if row.type:
            found.setdefault(row.deposition_id, {})[row.type] = None
    return {key: tuple(kinds) for key, kinds in found.items()}


def _opening_order(tomogram: records.Tomogram) -> tuple[int, int, int, float, int]:
    """The curators' choice, the standard, its authors' own, the coarsest: the order of `queries.DATASET_PAGE`."""
    marks = (tomogram.is_visualization_default, tomogram.is_portal_standard, tomogram.is_author_submitted)
    default, standard, own = ((True, False, None).index(mark) for mark in marks)
    return default, standard, own, -tomogram.voxel_spacing, tomogram.id


def _annotation_order(annotation: records.Annotation) -> tuple[str, bool, bool, int]:
    """By object; ground truth first, then what curators recommend."""
    return (
        annotation.object_name.casefold(),
        not annotation.ground_truth_status,
        not annotation.is_curator_recommended,
        annotation.id,
    )


def _objects(counts: Counts) -> tuple[pages.ObjectCount, ...]:
    return tuple(pages.ObjectCount(object_name=name or "", count=count) for (name,), count in _most_first(counts))


def _contributions(counts: Counts) -> tuple[pages.Contribution, ...]:
    return tuple(
        pages.Contribution(object_name=name or "", method_type=method or "", count=count)
        for (name, method), count in _most_first(counts)
    )


def _most_first(counts: Counts) -> list[tuple[tuple[Any, ...], int]]:
    """Counts in falling order, equal ones by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], [(str(cell).casefold(), str(cell)) for cell in item[0]]))


# replies


def _rows(data: Row, name: str, kind: type[R]) -> list[R]:
    """The rows of a root list as records."""
    found: list[R] = _converted(data.get(name), list[kind], name)  # type: ignore[valid-type]
    return found


def _by_parent(data: Row, name: str, key: str, kind: type[R]) -> dict[Hashable, tuple[R, ...]]:
    """The rows of a root list as records, by the id of their parent."""
    found: dict[Hashable, list[R]] = {}
    for row, record in zip(data.get(name) or (), _rows(data, name, kind), strict=True):
        found.setdefault(row.get(key), []).append(record)
    return {parent: tuple(records) for parent, records in found.items()}


def _aggregate(data: Row, name: str) -> _Aggregate:
    found: _Aggregate = _converted(data.get(name), _Aggregate, name)
    return found


def _by_first(counts: Counts) -> dict[Any, Counts]:
    """Counts by the first cell of their group, then by the others."""
    found: dict[Any, Counts] = defaultdict(Counter)
    for (first, *others), count in counts.items():
        found[first][tuple(others)] += count
    return found


def _at(row: Row | None, path: str) -> Any:
    """What is at the end of a path, or None where something on it is null."""
    place: Any = row
    for name in path.split("."):
        place = place.get(name) if isinstance(place, dict) else None
    return place


def _only(rows: Sequence[R], kind: str, wanted_id: int) -> R:
    """The record that was asked for by its id."""
    if not rows:
        raise NotFoundError(f"The portal has no {kind} {wanted_id}.", hint="It may have been withdrawn or renumbered.")
    return rows[0]


def _converted(value: Any, kind: Any, name: str) -> Any:
    """A part of a reply as what it should be."""
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        words = str(error).replace("`$", f"`{name}")
        raise PortalError(
            f"The portal's answer can't be understood: {words}{'' if '`' + name in words else f' - at `{name}`'}.",
            hint="The portal may have changed; look for a newer version of napari-cryoet.",
        ) from error
