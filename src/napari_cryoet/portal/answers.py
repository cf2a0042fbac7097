"""Turn the portal's answers into pages: sorted records that refer to their parents."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import structs
from msgspec.structs import replace

from napari_cryoet import records
from napari_cryoet.exceptions import NotFoundError
from napari_cryoet.portal import pages
from napari_cryoet.portal.pages import Freshness
from napari_cryoet.records import Author, Record, Terms, converted, terms_of
from napari_cryoet.runs.runs import Runs, authors_by, datasets_of, grouped
from napari_cryoet.tables.database import Rows

R = TypeVar("R", bound=Record)

GroupCounts: TypeAlias = Counter[tuple[Any, ...]]
"""Counts by group: the cells at the ends of paths."""


class PortalAnswer(msgspec.Struct, frozen=True):
    """The data of an answer, when it was fetched, and the terms of its source."""

    data: dict[str, Any]
    terms: Terms | None = None
    source: str = ""  # as `open_portal` takes it
    freshness: Freshness = msgspec.field(
        default_factory=lambda: Freshness(fetched_at=datetime.now(UTC))
    )

    def rows(self, name: str, kind: type[R]) -> list[R]:
        """The rows of a root list as records."""
        rows: list[R] = converted(self.data.get(name), list[kind], name)  # type: ignore[valid-type]
        return rows

    def counts(self, name: str, *paths: str) -> GroupCounts:
        """The counts of a root aggregate, grouped by the cells at the ends of paths."""
        return _counts(self.data.get(name), name, *paths)


class _Group(msgspec.Struct, frozen=True, rename="camel"):
    count: int
    group_by: dict[str, Any] | None = None


class _Aggregate(msgspec.Struct, frozen=True):
    aggregate: list[_Group]  # empty if there are no rows


class _Edge(msgspec.Struct, frozen=True):
    node: dict[str, Any]


def catalogue(answer: PortalAnswer) -> pages.Catalogue:
    """The catalogue, from `queries.CATALOGUE`."""
    authors = authors_by(answer.data, "datasetAuthors", "datasetId")
    runs = answer.counts("runCounts", "dataset.id")
    tomograms = answer.counts("tomogramCounts", "run.dataset.id")
    objects = _by_first(answer.counts("objects", "id", "runs.annotations.objectName"))
    shapes = _by_first(answer.counts("shapes", "id", "runs.annotations.annotationShapes.shapeType"))
    rows = tuple(
        replace(
            row,
            authors=authors(row.id),
            run_count=runs[row.id,],
            tomogram_count=tomograms[row.id,],
            annotation_count=objects[row.id].total(),
            objects=_objects(objects[row.id]),
            shapes=tuple(shape for (shape,), _ in _most_first(shapes[row.id]) if shape),
        )
        for row in answer.rows("datasets", pages.CatalogueRow)
    )
    return pages.Catalogue(
        rows=rows, freshness=answer.freshness, depositions=_deposition_rows(answer, rows)
    )


def _deposition_rows(
    answer: PortalAnswer, datasets: Iterable[pages.CatalogueRow]
) -> tuple[pages.DepositionRow, ...]:
    authors = authors_by(answer.data, "depositionAuthors", "depositionId")
    kinds = _kinds(answer)
    objects = _by_first(answer.counts("annotationCounts", "deposition.id", "objectName"))
    annotations = _by_first(answer.counts("annotationCounts", "deposition.id", "run.dataset.id"))
    tomograms = _by_first(answer.counts("tomogramCounts", "deposition.id", "run.dataset.id"))
    brought: dict[int, list[int]] = defaultdict(list)
    for dataset in datasets:
        brought[dataset.deposition_id].append(dataset.id)
    return tuple(
        replace(
            row,
            kinds=kinds.get(row.id, ()),
            authors=authors(row.id),
            dataset_ids=tuple(sorted(brought[row.id])),
            enriched_dataset_ids=tuple(
                sorted(
                    {key for (key,) in tomograms[row.id] | annotations[row.id]}.difference(
                        brought[row.id]
                    )
                )
            ),
            tomogram_count=tomograms[row.id].total(),
            annotation_count=annotations[row.id].total(),
            objects=_objects(objects[row.id]),
        )
        for row in answer.rows("depositions", pages.DepositionRow)
    )


def dataset_page(dataset_id: int, offset: int, answer: PortalAnswer) -> pages.DatasetPage:
    """A dataset and a page of its runs, from `queries.DATASET_PAGE`."""
    dataset = next(datasets_of(answer.data, answer.terms), None)
    if dataset is None:
        raise _not_found(f"dataset {dataset_id}")
    return pages.DatasetPage(
        dataset=dataset,
        runs=_run_rows(answer, "runs"),
        run_total=answer.counts("total").total(),
        offset=offset,
        freshness=answer.freshness,
    )


def run_page(run_id: int, answer: PortalAnswer) -> pages.RunPage:
    """A run with all its records, from `queries.RUN_PAGE`."""
    rows: Rows = converted(answer.data, dict[str, list[dict[str, Any]]], "the run's page")
    records = Runs.of_rows(rows, answer.terms, answer.source).records.get(run_id)
    if records is None:
        raise _not_found(f"run {run_id}")
    return pages.RunPage(**structs.asdict(records), freshness=answer.freshness)


def deposition_page(deposition_id: int, answer: PortalAnswer) -> pages.DepositionPage:
    """A deposition, from `queries.DEPOSITION_PAGE`."""
    deposition = next(iter(answer.rows("depositions", records.Deposition)), None)
    if deposition is None:
        raise _not_found(f"deposition {deposition_id}")
    authors = tuple(answer.rows("depositionAuthors", Author))
    kinds = _kinds(answer).get(deposition_id, ())
    runs = {
        run.id: run
        for name in ("annotatedRuns", "reconstructedRuns")
        for run in _run_rows(answer, name)
    }
    objects = answer.counts("annotationCounts", "objectName")
    return pages.DepositionPage(
        deposition=replace(
            deposition, kinds=kinds, authors=authors, terms=terms_of("", answer.terms)
        ),
        datasets=_dataset_counts(answer, runs.values()),
        objects=_objects(objects),
        tomogram_count=answer.counts("tomogramCounts").total(),
        annotation_count=objects.total(),
        freshness=answer.freshness,
        runs=tuple(sorted(runs.values(), key=lambda run: (run.name, run.id))),
    )


def _dataset_counts(
    answer: PortalAnswer, listed: Iterable[pages.RunRow]
) -> tuple[pages.DatasetCount, ...]:
    """A deposition's own datasets, then those that it only added to."""
    runs = Counter((run.dataset_id,) for run in listed)
    for name in ("ownRunCounts", "annotatedRunCounts", "reconstructedRunCounts"):
        runs |= answer.counts(name, "dataset.id")
    tomograms = answer.counts("tomogramCounts", "run.dataset.id")
    objects = _by_first(
        answer.counts("annotationCounts", "run.dataset.id", "objectName", "methodType")
    )
    names = ("id", "title", "organismName", "keyPhotoThumbnailUrl")
    paths = [f"run.dataset.{name}" for name in names]
    cells = answer.counts("tomogramCounts", *paths) | answer.counts("annotationCounts", *paths)
    rows = [dict(zip(names, each, strict=True)) for each in cells]
    enriched: list[pages.DatasetCount] = converted(rows, list[pages.DatasetCount], "tomogramCounts")
    own = [replace(each, is_own=True) for each in answer.rows("datasets", pages.DatasetCount)]
    counts = [
        replace(
            each,
            run_count=runs[key,],
            tomogram_count=tomograms[key,],
            annotation_count=objects[key].total(),
            objects=_objects(objects[key]),
        )
        for key, each in {each.dataset_id: each for each in (*enriched, *own)}.items()
    ]
    return tuple(sorted(counts, key=lambda each: (not each.is_own, each.dataset_id)))


def lookup(answer: PortalAnswer) -> tuple[pages.LookupHit, ...]:
    """All records with an id, from `queries.LOOKUP`."""
    return tuple(
        replace(hit, kind=kind)
        for kind in (
            "dataset",
            "deposition",
            "run",
            "tomogram",
            "annotation",
            "alignment",
            "tilt series",
        )
        for hit in answer.rows(kind.replace(" ", ""), pages.LookupHit)
    )


def run_of_file(answer: PortalAnswer) -> int | None:
    """The id of an annotation file's run, from `queries.FILE_RUN`; None if there is none."""
    rows: list[dict[str, Any]] = converted(
        answer.data.get("annotationFiles"), list[dict[str, Any]], "annotationFiles"
    )
    return next((_at(row, "annotationShape.annotation.runId") for row in rows), None)


def neuroglancer_config(tomogram_id: int, answer: PortalAnswer) -> str:
    """The viewer's state from `queries.NEUROGLANCER_CONFIG`; empty if the tomogram has none."""
    rows: list[dict[str, Any]] = converted(
        answer.data.get("tomograms"), list[dict[str, Any]], "tomograms"
    )
    if not rows:
        raise _not_found(f"tomogram {tomogram_id}")
    return str(rows[0].get("neuroglancerConfig") or "")


def _not_found(wanted: str) -> NotFoundError:
    return NotFoundError(
        f"The portal has no {wanted}.", hint="It may have been withdrawn or renumbered."
    )


# conversion to records


def _run_rows(answer: PortalAnswer, name: str) -> tuple[pages.RunRow, ...]:
    """Runs with their counts and the fields of their first tomogram."""
    runs = []
    for row in converted(answer.data.get(name), list[dict[str, Any]], name):
        edges = converted(_at(row, "tomograms.edges") or [], list[_Edge], name)
        run: pages.RunRow = converted((edges[0].node if edges else {}) | row, pages.RunRow, name)
        tomograms = _counts(row.get("tomogramsAggregate"), name)
        annotations = _counts(row.get("annotationsAggregate"), name, "objectName", "methodType")
        counts = {"tomogram_count": tomograms.total(), "annotation_count": annotations.total()}
        runs.append(replace(run, **counts, objects=_objects(annotations)))
    return tuple(runs)


class _Kind(Record, frozen=True):
    type: str | None = None


def _kinds(answer: PortalAnswer) -> dict[Any, tuple[str, ...]]:
    """The kinds of data in each deposition."""
    rows = grouped(answer.data, "depositionTypes", "depositionId", _Kind)
    return {
        key: tuple(dict.fromkeys(each.type for each in members if each.type))
        for key, members in rows.items()
    }


def _objects(counts: GroupCounts) -> tuple[pages.ObjectCount, ...]:
    """Counts by object, or by object and method type, in descending order."""
    return tuple(
        pages.ObjectCount(
            object_name=name or "", count=count, method_type=(method or [""])[0] or ""
        )
        for (name, *method), count in _most_first(counts)
    )


def _most_first(counts: GroupCounts) -> list[tuple[tuple[Any, ...], int]]:
    """Counts in descending order; ties are sorted by name."""
    return sorted(
        counts.items(),
        key=lambda item: (-item[1], [(str(cell).casefold(), str(cell)) for cell in item[0]]),
    )


def _by_first(counts: GroupCounts) -> dict[Any, GroupCounts]:
    """Nest counts by the first cell of their group."""
    nested: dict[Any, GroupCounts] = defaultdict(Counter)
    for (first, *others), count in counts.items():
        nested[first][tuple(others)] += count
    return nested


def _counts(value: Any, name: str, *paths: str) -> GroupCounts:
    counts: GroupCounts = Counter()
    aggregate: _Aggregate = converted(value, _Aggregate, name)
    for group in aggregate.aggregate:
        counts[tuple(_at(group.group_by, path) for path in paths)] += group.count
    return counts


def _at(row: Mapping[str, Any] | None, path: str) -> Any:
    """The value at the end of a path, or None if any part of the path is null."""
    value: Any = row
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value
