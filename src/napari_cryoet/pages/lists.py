"""Lists of datasets, runs and depositions, and of what a deposition holds: rows, orders, messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as with_changes
from itertools import chain
from typing import Any, Final

import numpy as np

from napari_cryoet.discovery.advice import Advice, advise
from napari_cryoet.discovery.catalogue import CatalogueSearch, found_first
from napari_cryoet.discovery.columns import Places
from napari_cryoet.discovery.facets import CountUnit, Facet, count_facets
from napari_cryoet.discovery.index import Index
from napari_cryoet.discovery.matches import ListedRun, Matches, find
from napari_cryoet.discovery.search import Search, chips
from napari_cryoet.discovery.texts import objects_named, reasons, terms_of, text_columns
from napari_cryoet.pages.rows import RecordRow, RowKind
from napari_cryoet.portal.pages import (
    Catalogue,
    CatalogueRow,
    DatasetCount,
    DepositionPage,
    DepositionRow,
    ObjectCount,
    RunRow,
)
from napari_cryoet.wording import (
    count_text,
    date_text,
    dimensions_text,
    joined,
    kinds_text,
    lines_text,
    names_text,
    plain,
    reported,
    short_species,
    size_text,
    spacing_text,
)

_OBJECTS_IN_TOOLTIP: Final = 20
_AUTHORS_IN_TOOLTIP: Final = 8
#: A deposition's datasets start unfolded if they have no more child rows in all.
UNFOLDED_ROWS: Final = 16

#: Sort keys of rows by the name of the order.
DATASET_ORDERS: Final[Mapping[str, Callable[[CatalogueRow], Any]]] = {
    "newest": lambda row: (-row.release_date.timestamp(), row.id),
    "title": lambda row: (row.title.casefold(), row.id),
    "most runs": lambda row: (-row.run_count, row.id),
    "most annotations": lambda row: (-row.annotation_count, row.id),
}
DEPOSITION_ORDERS: Final[Mapping[str, Callable[[DepositionRow], Any]]] = {
    "newest": lambda row: (-row.release_date.timestamp(), row.id),
    "title": lambda row: (row.title.casefold(), row.id),
    "most datasets": lambda row: (-len(row.dataset_ids), -len(row.enriched_dataset_ids), row.id),
    "most annotations": lambda row: (-row.annotation_count, row.id),
}
#: Search results are already sorted by dataset and name.
RUN_ORDERS: Final[Mapping[str, Callable[[ListedRun], Any]]] = {
    "by dataset": lambda _run: 0,
    "by name": lambda run: (run.run.casefold(), run.run_id),
    "most picks": lambda run: -sum(run.object_counts),
    "most annotations": lambda run: -run.n_annotations,
    "finest": lambda run: run.spacings_angstrom or (float("inf"),),
    "best tilts": lambda run: -(run.tilt_quality or 0),
    "smallest": lambda run: run.size_bytes,
}
_FIRST_RUNS: Final = 100
_MOST_REASONS: Final = 60  # datasets
_SHOWN_FIELDS: Final = frozenset(
    {"title", "object", "id"}
)  # fields that the row of a dataset shows, like the organism


def dataset_row(dataset: CatalogueRow, answer: Answer) -> RecordRow:
    """A dataset in search results, with the reason for the match or its objects, searched ones first."""
    named = found_first(dataset.objects, answer.words)
    number = f"DS-{dataset.id}"
    species = short_species(dataset.organism_name)
    runs = count_text(dataset.run_count, "run")
    n_found = answer.run_counts.get(dataset.id, dataset.run_count)
    found = runs if n_found in (0, dataset.run_count) else f"{n_found:,} of {runs}"
    annotations = _some(dataset.annotation_count, "annotation")
    facts = (
        joined(number, species, found, annotations),
        joined(number, species, found),
        joined(number, found),
    )
    objects = _objects_texts(named, 3) if dataset.objects else "no annotations"
    reason = plain(answer.reasons.get(dataset.id, ""))
    return RecordRow(
        record=dataset,
        key=dataset.id,
        title=plain(dataset.title),
        title_lines=2,
        is_bold=True,
        lines=(facts, reason or objects),
        picture_url=dataset.key_photo_thumbnail_url or "",
        tooltip=lines_text(
            dataset.title,
            joined(number, date_text(dataset.release_date)),
            joined(reported(dataset.organism_name), runs, annotations),
            objects_text(named, _OBJECTS_IN_TOOLTIP),
            reason,
        ),
    )


def deposition_row(deposition: DepositionRow, answer: Answer) -> RecordRow:
    """A deposition in search results."""
    named = found_first(deposition.objects, answer.words)
    n_own = len(deposition.dataset_ids)
    n_enriched = len(deposition.enriched_dataset_ids)
    facts = joined(f"CZCDP-{deposition.id}", _some(n_own, "dataset"), added_text(n_enriched, n_own))
    annotations = _some(deposition.annotation_count, "annotation") or "no annotations"
    contents = tuple(joined(annotations, objects) for objects in _objects_texts(named, 3))
    return RecordRow(
        record=deposition,
        key=deposition.id,
        title=plain(deposition.title),
        title_lines=2,
        is_bold=True,
        lines=(facts, contents),
        picture_url=deposition.key_photo_thumbnail_url or "",
        tooltip=lines_text(
            deposition.title,
            names_text([author.name for author in deposition.authors], limit=_AUTHORS_IN_TOOLTIP),
            joined(facts, date_text(deposition.release_date)),
            kinds_text(deposition.kinds),
            objects_text(named, _OBJECTS_IN_TOOLTIP),
        ),
    )


def found_run_row(run: ListedRun, _answer: Answer) -> RecordRow:
    """A run in search results, with its matching objects, voxel spacings and processing."""
    counts = zip(run.objects, run.object_counts, run.object_annotations, strict=True)
    objects = [_rivals_text(*each) for each in counts]
    limits = (len(objects), 4, 3, 2, 1)
    contents = tuple(_first_texts(objects, limit) for limit in limits)
    spacings = ", ".join(map(spacing_text, run.spacings_angstrom))
    facts = joined(f"DS-{run.dataset_id}", spacings, ", ".join(run.processing))
    return RecordRow(
        record=run,
        key=run.run_id,
        title=plain(run.run),
        is_bold=True,
        right=(size_text(run.size_bytes), ""),
        lines=(facts, contents if objects else "no annotations"),
        tooltip="\n".join((run.run, f"RN-{run.run_id}", facts, contents[0])),
    )


def run_row(run: RunRow) -> RecordRow:
    """A run in the list of its dataset, with the size of its default tomogram."""
    tomograms = _some(run.tomogram_count, "tomogram") or "no tomogram"
    spacing = spacing_text(run.voxel_spacing)
    size = size_text(run.file_size_omezarr)
    sizes = (f"{size} per tomogram", f"{size} each") if run.tomogram_count > 1 and size else (size,)
    facts = tuple(joined(tomograms, spacing, text) for text in sizes)
    dimensions = dimensions_text(run.size_x, run.size_y, run.size_z)
    counts = (
        f"{each.object_name}: {count_text(each.count, 'annotation')}"
        for each in run.objects[:_OBJECTS_IN_TOOLTIP]
    )
    return RecordRow(
        record=run,
        key=run.id,
        title=run.title,
        is_bold=True,
        lines=(facts, _objects_texts(run.objects, 4) if run.annotation_count else "no annotations"),
        right=(_some(run.annotation_count, "annotation"), ""),
        picture_url=run.key_photo_thumbnail_url or "",
        tooltip=lines_text(
            f"{run.name} (RN-{run.id})",
            joined(facts[0], dimensions and f"{dimensions} voxels"),
            *counts,
        ),
    )


def holdings(page: DepositionPage) -> list[RecordRow]:
    """A deposition's own and other datasets, with annotations by object and runs as children."""
    children = {dataset.dataset_id: _children(page, dataset) for dataset in page.datasets}
    is_unfolded = sum(map(len, children.values())) <= UNFOLDED_ROWS
    rows: list[RecordRow] = []
    for name, is_own in (("Its datasets", True), ("Added to other datasets", False)):
        datasets = [dataset for dataset in page.datasets if dataset.is_own == is_own]
        if datasets:
            title = f"{name} ({len(datasets):,})"
            rows.append(RecordRow(None, title, ("heading", is_own), RowKind.HEADING, is_bold=True))
        for dataset in datasets:
            below = children[dataset.dataset_id]
            rows.append(_contributed_row(dataset, below, is_unfolded=is_unfolded))
    return rows


def _contributed_row(
    dataset: DatasetCount, children: tuple[RecordRow, ...], *, is_unfolded: bool
) -> RecordRow:
    runs = count_text(dataset.run_count, "run")
    facts = joined(
        f"DS-{dataset.dataset_id}",
        short_species(dataset.organism_name),
        runs if dataset.is_own else f"in {runs}",
    )
    counts = _counts(dataset)
    return RecordRow(
        record=dataset,
        key=("dataset", dataset.dataset_id),
        title=plain(dataset.title),
        title_lines=2,
        is_bold=True,
        lines=(facts, counts),
        picture_url=dataset.key_photo_thumbnail_url or "",
        tooltip="\n".join([dataset.title, facts, counts]),
        is_unfolded=is_unfolded,
        children=children,
    )


def _children(page: DepositionPage, dataset: DatasetCount) -> tuple[RecordRow, ...]:
    """Annotations by object and method, then the runs if the dataset belongs to another deposition."""
    by_name: dict[str, list[ObjectCount]] = {}
    for count in dataset.objects:
        by_name.setdefault(count.object_name, []).append(count)
    most_first = sorted(by_name.items(), key=lambda item: -sum(count.count for count in item[1]))
    rows = [_object_row(dataset, name, counts) for name, counts in most_first]
    if dataset.is_own:
        return tuple(rows)
    runs = page.runs_of(dataset.dataset_id)
    rows += map(_contributed_run_row, runs)
    n_more = dataset.run_count - len(runs)
    if n_more > 0:
        title = f"… and {count_text(n_more, 'more run')} of this dataset"
        rows.append(RecordRow(dataset, title, ("runs", dataset.dataset_id), is_dim=True))
    return tuple(rows)


def _object_row(dataset: DatasetCount, name: str, counts: Sequence[ObjectCount]) -> RecordRow:
    """An object and its annotations by type of method: ``12 automated · 1 manual``."""
    methods = joined(*(f"{count.count:,} {plain(str(count.method_type))}" for count in counts))
    return RecordRow(
        record=dataset,
        key=("object", dataset.dataset_id, name),
        title=plain(name),
        right=(methods, f"{sum(count.count for count in counts):,}"),
        tooltip=f"{name}\n{methods}",
        is_dim=True,
    )


def _contributed_run_row(run: RunRow) -> RecordRow:
    counts = _counts(run)
    return RecordRow(
        record=run,
        key=("run", run.id),
        title=run.title,
        right=(counts, count_text(run.annotation_count, "annotation")),
        tooltip="\n".join([run.title, f"RN-{run.id}", counts]),
    )


def _counts(contributed: DatasetCount | RunRow) -> str:
    """Numbers of the deposition's tomograms and annotations in a dataset or run."""
    return joined(
        _some(contributed.tomogram_count, "tomogram"),
        _some(contributed.annotation_count, "annotation"),
    )


def nothing_found(noun: str, answer: Answer) -> tuple[str, str]:
    """The message and the hint of an empty list."""
    text = answer.search.text
    if answer.search == Search():
        return f"This source has no {noun}s.", ""
    query = "all filters" if chips(answer.search) else f"“{text}”"
    hint = answer.advice.text
    if not hint:
        hint = "Every word has to match. Try fewer or shorter words."
        hint = f"{hint} To jump to an id like 10000, press Enter."
    return f"No {noun} matches {query}.", hint


def remark_text(answer: Answer) -> str:
    """Corrected words of a search, and what its words are about if it has annotation filters."""
    corrections = answer.matches.corrections if answer.matches is not None else {}
    sentences = [
        f"No results for “{word}”: showing {' or '.join(like)}."
        for word, like in corrections.items()
    ]
    terms = terms_of(answer.search.text) if answer.search.annotations else ()
    named = [name for term in terms for name in objects_named(term, corrections)]
    if named:
        words = " and ".join(f"“{name}”" for name in named)
        sentences.append(f"One annotation is {words} and meets its filters.")
    return " ".join(sentences)


def objects_text(objects: Sequence[ObjectCount], limit: int = 3) -> str:
    """The most annotated objects, and the number of others: ``ribosome · FAS · membrane  +4``."""
    return _first_texts([plain(item.object_name) for item in objects], limit)


def _rivals_text(name: str, count: int, n_annotations: int) -> str:
    """An object with its largest annotation of several: ``ribosome 85 (largest of 5)``."""
    counted = f"{plain(name)} {count:,}" if count else plain(name)
    several = f"largest of {n_annotations:,}" if count else f"{n_annotations:,} annotations"
    return f"{counted} ({several})" if n_annotations > 1 else counted


def _first_texts(texts: Sequence[str], limit: int) -> str:
    first = " · ".join(texts[:limit])
    return first if len(texts) <= limit else f"{first}  +{len(texts) - limit}"


def added_text(n_enriched: int, n_own: int) -> str:
    """The number of datasets that a deposition adds to: ``adds to 2 other datasets``."""
    noun = "other dataset" if n_own else "dataset"
    return f"adds to {count_text(n_enriched, noun)}" if n_enriched else ""


def _objects_texts(objects: Sequence[ObjectCount], limit: int) -> tuple[str, ...]:
    """Alternatives from the longest to the shortest."""
    return tuple(objects_text(objects, fewer) for fewer in range(limit, 0, -1))


def _some(count: int, noun: str) -> str:
    return count_text(count, noun) if count else ""


# answers


@dataclass(frozen=True, slots=True)
class Question:
    """A search, and which results to show."""

    search: Search
    unit: CountUnit = "datasets"  # what facets count; runs are listed only for "runs"
    n_facet_sets: int = 0  # sets of annotation facets: one for each condition


@dataclass(frozen=True, slots=True)
class Answer:
    """The results of a search.

    Without an index, only the catalogue is searched, and only for the text.
    """

    search: Search
    datasets: tuple[CatalogueRow, ...] = ()
    depositions: tuple[DepositionRow, ...] = ()
    matches: Matches | None = None  # None without an index
    runs: tuple[ListedRun, ...] = ()
    run_counts: Mapping[int, int] = field(default_factory=dict)  # matching runs by dataset id
    facets: tuple[tuple[Facet, ...], ...] = ()
    reasons: Mapping[int, str] = field(
        default_factory=dict
    )  # by dataset id, where its row doesn't show why it matches
    advice: Advice = field(default_factory=Advice)  # if nothing matches

    @property
    def words(self) -> str:
        """The text, its corrected words and the wanted objects: rows name these objects first."""
        corrections = self.matches.corrections.values() if self.matches is not None else ()
        objects = (condition.objects for condition in self.search.annotations)
        return " ".join((self.search.text, *chain(*corrections, *objects)))


def answer_from_catalogue(catalogue: Catalogue, words: CatalogueSearch, search: Search) -> Answer:
    """Search the catalogue alone, which ignores everything but the text of a search."""
    if not search.text:
        return Answer(search, catalogue.rows, catalogue.depositions)
    return Answer(search, words.datasets(search.text), words.depositions(search.text))


def answer(
    index: Index, catalogue: Catalogue, words: CatalogueSearch, question: Question
) -> Answer:
    """Search an index, in a few milliseconds; only the first runs are listed, see `all_runs`."""
    search = question.search
    is_of_runs = question.unit == "runs"
    matches = find(index, search)
    by_id = {row.id: row for row in catalogue.rows}
    datasets = tuple(by_id[dataset_id] for dataset_id in matches.dataset_ids if dataset_id in by_id)
    facets = tuple(
        count_facets(index, search, question.unit, condition=n)
        for n in range(question.n_facet_sets)
    )
    owners = index.places("runs", "datasets")[np.searchsorted(index.ids("runs"), matches.run_ids)]
    counts = np.bincount(owners[owners >= 0], minlength=index.count("datasets")).tolist()
    is_empty = not (matches.run_ids if is_of_runs else datasets)
    return Answer(
        search,
        datasets,
        _depositions(index, catalogue, words, search, facets),
        matches,
        _first_runs(matches, owners) if is_of_runs else (),
        dict(zip(index.ids("datasets").tolist(), counts, strict=True)),
        facets,
        advice=advise(index, search, question.unit) if is_empty else Advice(),
    )


def warm_up(index: Index) -> None:
    """Read the columns that every search uses, which takes tenths of a second for the whole portal."""
    count_facets(index, Search())
    text_columns(index)
    with_changes(index.find(), run_ids=()).rows("runs")


def all_runs(found: Answer) -> Answer:
    """The answer with all runs, which takes tenths of a second for the whole portal."""
    return with_changes(found, runs=found.matches.rows("runs") if found.matches else ())


def with_reasons(index: Index, found: Answer) -> Answer:
    """The answer with reasons that rows don't show, such as ``description: … of yeast cells …``."""
    hidden: dict[int, str] = {}
    for row in found.datasets[:_MOST_REASONS] if found.search.text else ():
        own = reasons(index, found.search.text, row.id)
        if texts := [
            str(each)
            for each in own
            if each.field not in _SHOWN_FIELDS and each.text != row.organism_name
        ]:
            hidden[row.id] = " · ".join(texts)
    return with_changes(found, reasons=hidden)


def _first_runs(matches: Matches, datasets: Places) -> tuple[ListedRun, ...]:
    """The first rows of the list of all runs, which is sorted by dataset and id."""
    first = np.argsort(datasets, kind="stable")[:_FIRST_RUNS]
    run_ids = tuple(matches.run_ids[each] for each in first.tolist())
    return with_changes(matches, run_ids=run_ids).rows("runs")


def _depositions(
    index: Index,
    catalogue: Catalogue,
    words: CatalogueSearch,
    search: Search,
    facets: tuple[tuple[Facet, ...], ...],
) -> tuple[DepositionRow, ...]:
    """Depositions that match a plain text, or for other searches the depositions of what matches."""
    if not chips(search):
        return words.depositions(search.text) if search.text else catalogue.depositions
    (facet,) = (
        each
        for each in (facets[0] if facets else count_facets(index, search))
        if each.name == "depositions"
    )
    ids = {
        each.value
        for each in facet.values
        if each.count and (each.is_chosen or not search.depositions)
    }
    return tuple(row for row in catalogue.depositions if row.id in ids)
