"""Depositions of our queries' answers: as rows of the catalogue, and one as a page with all that it holds where."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from napari_cryoet.portal import decode
from napari_cryoet.portal.decode import count_of, groups_of, int_of, record_of, records_of, rows_of, text_of
from napari_cryoet.portal.decode_counts import (
    by_object,
    count_by_dataset,
    dataset_of,
    object_counts,
    objects_of,
    only_row,
)
from napari_cryoet.portal.pages import (
    CatalogueAuthor,
    Contribution,
    DatasetCount,
    DepositionPage,
    DepositionRow,
    Freshness,
    RunCount,
)
from napari_cryoet.records import Author, Deposition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_cryoet.portal.decode import Row
    from napari_cryoet.portal.pages import CatalogueRow


def deposition_rows(data: Row, datasets: Iterable[CatalogueRow]) -> tuple[DepositionRow, ...]:
    """All depositions, as `queries.CATALOGUE` asks for them, with the datasets that the same answer holds."""
    authors = decode.sequence_by(rows_of(data, "depositionAuthors"), "depositionId", "depositionAuthors")
    kinds = decode.sequence_by(rows_of(data, "depositionTypes"), "depositionId", "depositionTypes")
    objects = _groups_by_deposition(data, "depositionObjects")
    tomograms = _groups_by_deposition(data, "depositionTomograms")
    annotations = _groups_by_deposition(data, "depositionAnnotations")
    own: dict[int, list[int]] = {}
    for dataset in datasets:
        own.setdefault(dataset.deposition_id, []).append(dataset.id)
    found = []
    for number, row in enumerate(rows_of(data, "depositions")):
        where = f"depositions[{number}]"
        deposition_id = int_of(row, "id", where)
        here, named = [tomograms.get(deposition_id, []), annotations.get(deposition_id, [])], objects.get(deposition_id)
        touched = {int_of(place, "id", where) for groups in here for _, group in groups if (place := _place_of(group))}
        brought = tuple(sorted(own.get(deposition_id, ())))
        counts = {"tomogramCount": _sum(here[0]), "annotationCount": _sum(named or [])}
        found.append(
            record_of(
                DepositionRow,
                {**row, **counts},
                where,
                kinds=_kinds(kinds.get(deposition_id, ())),
                authors=tuple(record_of(CatalogueAuthor, each, where) for each in authors.get(deposition_id, ())),
                dataset_ids=brought,
                enriched_dataset_ids=tuple(sorted(touched.difference(brought))),
                objects=objects_of(by_object(named or [], where)),
            )
        )
    return tuple(found)


def deposition_page(data: Row, deposition_id: int, freshness: Freshness) -> DepositionPage:
    """A deposition, as `queries.DEPOSITION_PAGE` asks for it."""
    row = only_row(rows_of(data, "depositions"), "deposition", deposition_id)
    deposition = record_of(
        Deposition,
        row,
        "depositions[0]",
        kinds=_kinds(rows_of(data, "depositionTypes")),
        authors=tuple(records_of(Author, data, "depositionAuthors")),
    )
    runs = _run_counts(data)
    return DepositionPage(
        deposition=deposition,
        datasets=_dataset_counts(data, runs),
        objects=object_counts(data),
        tomogram_count=count_of(data, "tomogramTotal"),
        annotation_count=count_of(data, "annotationTotal"),
        freshness=freshness,
        runs=runs,
    )


def _kinds(rows: Iterable[Row]) -> tuple[str, ...]:
    named = (text_of(row, "type", "depositionTypes") for row in rows)
    return tuple(dict.fromkeys(kind for kind in named if kind))


def _groups_by_deposition(data: Row, name: str) -> dict[int, list[tuple[int, Row]]]:
    """Grouped counts under the deposition that each group names; what has none is left out."""
    found: dict[int, list[tuple[int, Row]]] = {}
    for count, group in groups_of(data, name):
        deposition = decode.optional_object_of(group, "deposition", name)
        if deposition is not None:
            found.setdefault(int_of(deposition, "id", name), []).append((count, group))
    return found


def _place_of(group: Row) -> Row | None:
    return dataset_of(group, "run.dataset")


def _sum(groups: Iterable[tuple[int, Row]]) -> int:
    return sum(count for count, _ in groups)


def _contributions(groups: Iterable[tuple[int, Row]], where: str) -> tuple[Contribution, ...]:
    """Counts by object and kind of method, most of them first."""
    counts: Counter[tuple[str, str]] = Counter()
    for count, group in groups:
        counts[text_of(group, "objectName", where) or "", text_of(group, "methodType", where) or ""] += count
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0][0].casefold(), item[0]))
    return tuple(Contribution(object_name=name, method_type=method, count=count) for (name, method), count in ordered)


def _contributions_by_dataset(data: Row, name: str) -> dict[int, tuple[Contribution, ...]]:
    groups: dict[int, list[tuple[int, Row]]] = {}
    for count, group in groups_of(data, name):
        dataset = dataset_of(group, name)
        if dataset is not None:
            groups.setdefault(int_of(dataset, "id", name), []).append((count, group))
    return {dataset_id: _contributions(found, name) for dataset_id, found in groups.items()}


def _dataset_counts(data: Row, runs: Iterable[RunCount]) -> tuple[DatasetCount, ...]:
    """The datasets that a deposition brought, then those that it only added to."""
    tomograms, annotations = count_by_dataset(data, "tomogramCounts"), count_by_dataset(data, "annotationCounts")
    touched = count_by_dataset(data, "runsWithTomograms") | count_by_dataset(data, "runsWithAnnotations")
    listed = Counter(run.dataset_id for run in runs)
    contributions = _contributions_by_dataset(data, "contributions")
    rows: dict[int, Row] = {}
    for number, row in enumerate(rows_of(data, "datasets")):
        where = f"datasets[{number}]"
        rows[int_of(row, "id", where)] = {**row, "isOwn": True, "runCount": count_of(row, "runsAggregate", where)}
    for name in ("tomogramCounts", "annotationCounts"):
        for _, group in groups_of(data, name):
            dataset = dataset_of(group, name)
            if dataset is not None:
                dataset_id = int_of(dataset, "id", name)
                run_count = max(touched[dataset_id], listed[dataset_id])
                rows.setdefault(dataset_id, {**dataset, "isOwn": False, "runCount": run_count})
    found = [
        record_of(
            DatasetCount,
            {**row, "datasetId": key, "tomogramCount": tomograms[key], "annotationCount": annotations[key]},
            "datasets",
            contributions=contributions.get(key, ()),
        )
        for key, row in rows.items()
    ]
    return tuple(sorted(found, key=lambda each: (not each.is_own, each.dataset_id)))


def _run_counts(data: Row) -> tuple[RunCount, ...]:
    """The runs of others' datasets that a deposition added annotations or tomograms to, each once, by name."""
    rows: dict[int, Row] = {}
    tomograms: Counter[int] = Counter()
    contributions: dict[int, tuple[Contribution, ...]] = {}
    for number, row in enumerate(rows_of(data, "annotatedRuns")):
        where = f"annotatedRuns[{number}]"
        run_id = int_of(row, "id", where)
        rows[run_id] = row
        contributions[run_id] = _contributions(groups_of(row, "annotationsAggregate", where), where)
    for number, row in enumerate(rows_of(data, "reconstructedRuns")):
        where = f"reconstructedRuns[{number}]"
        run_id = int_of(row, "id", where)
        rows[run_id] = row
        tomograms[run_id] = count_of(row, "tomogramsAggregate", where)
    found = [
        record_of(RunCount, {**row, "tomogramCount": tomograms[key]}, "runs", contributions=contributions.get(key, ()))
        for key, row in rows.items()
    ]
    return tuple(sorted(found, key=lambda run: (run.name, run.id)))
