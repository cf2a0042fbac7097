"""What a window shows for a search: lists, counts of facets, why a dataset matched, and what to drop if nothing did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from dataclasses import replace as with_changes
from itertools import chain
from typing import Final

import numpy as np
from msgspec.structs import replace

from napari_cryoet.discovery.catalogue import CatalogueSearch
from napari_cryoet.discovery.facets import Facet, Unit, count_facets
from napari_cryoet.discovery.index import Index, Places
from napari_cryoet.discovery.listing import ListedRun, list_matches
from napari_cryoet.discovery.search import Chip, Matches, Search, chips, find
from napari_cryoet.discovery.texts import reasons
from napari_cryoet.portal.pages import Catalogue, CatalogueRow, DepositionRow

_FIRST_RUNS: Final = 100
_MOST_REASONS: Final = 60  # datasets
_SEEN: Final = frozenset({"title", "object", "id"})  # fields that a row of a dataset shows anyway, beside the organism


@dataclass(frozen=True, slots=True)
class Question:
    """A search, and what is shown of its answer."""

    search: Search
    unit: Unit = "datasets"  # what facets count; the runs themselves are listed only for "runs"
    n_facet_sets: int = 0  # of facets about annotations: one for each condition


@dataclass(frozen=True, slots=True)
class Answer:
    """What a search found. Without an index it is what the catalogue has of its text."""

    search: Search
    datasets: tuple[CatalogueRow, ...] = ()
    depositions: tuple[DepositionRow, ...] = ()
    matches: Matches | None = None  # None without an index
    runs: tuple[ListedRun, ...] = ()
    run_counts: Mapping[int, int] = field(default_factory=dict)  # runs that match, by dataset
    facets: tuple[tuple[Facet, ...], ...] = ()
    reasons: Mapping[int, str] = field(default_factory=dict)  # why datasets match of which a row doesn't show it
    to_drop: Chip | None = None  # where nothing is found: the choice without which most is found
    n_without: int = 0  # how much is found then

    @property
    def words(self) -> str:
        """The text, what was taken instead of its words, and the objects asked for: what is named first in a row."""
        instead = self.matches.corrections.values() if self.matches is not None else ()
        objects = (condition.objects for condition in self.search.annotations)
        return " ".join((self.search.text, *chain(*instead, *objects)))


def answer_from_catalogue(catalogue: Catalogue, words: CatalogueSearch, search: Search) -> Answer:
    """What the catalogue alone finds: it knows nothing of the choices of a search."""
    if not search.text:
        return Answer(search, catalogue.rows, catalogue.depositions)
    return Answer(search, words.datasets(search.text), words.depositions(search.text))


def answer(index: Index, catalogue: Catalogue, words: CatalogueSearch, question: Question) -> Answer:
    """What an index finds, as rows of the catalogue, in some milliseconds: of runs the first, see `all_runs`."""
    search, is_of_runs = question.search, question.unit == "runs"
    matches = find(index, search)
    known = {row.id: row for row in catalogue.rows}
    datasets = tuple(known[each] for each in matches.dataset_ids if each in known)
    facets = tuple(count_facets(index, search, question.unit, condition=n) for n in range(question.n_facet_sets))
    places = index.places("runs", "datasets")[np.searchsorted(index.ids("runs"), matches.run_ids)]
    counts = np.bincount(places[places >= 0], minlength=index.count("datasets")).tolist()
    is_empty = not (matches.run_ids if is_of_runs else datasets)
    n_without, to_drop = _to_drop(index, search, is_of_runs=is_of_runs) if is_empty else (0, None)
    return Answer(
        search,
        datasets,
        _depositions(index, catalogue, words, search, facets),
        matches,
        _first_runs(index, matches, places) if is_of_runs else (),
        dict(zip(index.ids("datasets").tolist(), counts, strict=True)),
        facets,
        to_drop=to_drop if n_without else None,
        n_without=n_without,
    )


def all_runs(index: Index, found: Answer) -> Answer:
    """The answer with all runs; the whole portal's take some tenths of a second."""
    return with_changes(found, runs=list_matches(index, found.matches, "runs") if found.matches is not None else ())


def with_reasons(index: Index, found: Answer) -> Answer:
    """The answer with why datasets match of which a row wouldn't show it: ``description: … of yeast cells …``."""
    hidden: dict[int, str] = {}
    for row in found.datasets[:_MOST_REASONS] if found.search.text else ():
        known = reasons(index, found.search.text, row.id)
        if texts := [str(each) for each in known if each.field not in _SEEN and each.text != row.organism_name]:
            hidden[row.id] = " · ".join(texts)
    return with_changes(found, reasons=hidden)


def _first_runs(index: Index, matches: Matches, datasets: Places) -> tuple[ListedRun, ...]:
    """The beginning of the list of all runs, which is by dataset and id."""
    first = np.argsort(datasets, kind="stable")[:_FIRST_RUNS]
    run_ids = tuple(matches.run_ids[each] for each in first.tolist())
    return list_matches(index, with_changes(matches, run_ids=run_ids), "runs")


def _depositions(
    index: Index, catalogue: Catalogue, words: CatalogueSearch, search: Search, facets: tuple[tuple[Facet, ...], ...]
) -> tuple[DepositionRow, ...]:
    """Those that match by their own words; once more than words are asked for, those that what matches belongs to."""
    if not chips(search):
        return words.depositions(search.text) if search.text else catalogue.depositions
    (facet,) = (each for each in (facets[0] if facets else count_facets(index, search)) if each.name == "depositions")
    ids = {each.value for each in facet.values if each.count and (each.is_chosen or not search.depositions)}
    return tuple(row for row in catalogue.depositions if row.id in ids)


def _to_drop(index: Index, search: Search, *, is_of_runs: bool) -> tuple[int, Chip | None]:
    choices = [*chips(search)]
    if search.text and choices:
        choices.append(Chip(search.text, replace(search, text="")))
    found = [find(index, choice.without) for choice in choices]
    counts = [len(each.run_ids if is_of_runs else each.dataset_ids) for each in found]
    return max(zip(counts, choices, strict=True), key=lambda each: each[0], default=(0, None))
