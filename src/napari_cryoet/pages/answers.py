"""Results of a search for windows: lists, facet counts, why datasets match, and which choice to drop if none do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from dataclasses import replace as with_changes
from itertools import chain
from typing import Final

import numpy as np

from napari_cryoet.discovery.advice import Advice, advise
from napari_cryoet.discovery.catalogue import CatalogueSearch
from napari_cryoet.discovery.columns import Places
from napari_cryoet.discovery.facets import CountUnit, Facet, count_facets
from napari_cryoet.discovery.index import Index
from napari_cryoet.discovery.matches import ListedRun, Matches, find
from napari_cryoet.discovery.search import Search, chips
from napari_cryoet.discovery.texts import reasons, text_columns
from napari_cryoet.portal.pages import Catalogue, CatalogueRow, DepositionRow

_FIRST_RUNS: Final = 100
_MOST_REASONS: Final = 60  # datasets
_SHOWN_FIELDS: Final = frozenset(
    {"title", "object", "id"}
)  # fields that the row of a dataset shows, like the organism


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
    search, is_of_runs = question.search, question.unit == "runs"
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
