"""Add the matches of a search to a basket, and repeat the search later to find new ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Final

import numpy as np
from msgspec.structs import replace

from napari_cryoet.basket.basket import Basket, RecordKind, SavedSearch
from napari_cryoet.basket.contents import TABLES
from napari_cryoet.discovery.index import Index, at
from napari_cryoet.discovery.search import Matches, Search, find, search_from
from napari_cryoet.runs.runs import DEFAULT_FIRST

_OF_TOMOGRAMS: Final = ("processing", "processing_software", "reconstruction", "spacing_angstrom")


def add_matches(
    basket: Basket, index: Index, search: Search, kinds: Iterable[RecordKind] = ()
) -> Basket:
    """Tick all matches of a search, and save the search in the basket.

    Parameters
    ----------
    kinds
        What to tick: "annotations" (the matching ones, or all annotations of the matching runs), "tomograms" (one
        matching tomogram of each run), whole "runs" or whole "datasets". By default, what the search has conditions on.
    """
    basket.require_source(index.source)
    matches = find(index, search)
    for kind in tuple(kinds) or kinds_asked(search):
        ids = matching_ids(index, matches, kind)
        rows = index.rows(TABLES[kind], ids)
        dates = {row["id"]: row.get("lastModifiedDate") or "" for row in rows}
        basket = basket.with_ids(kind, ids, modified=dates).with_search(search.to_dict(), kind)
    return replace(basket, catalogue_date=index.as_of.date().isoformat())


def kinds_asked(search: Search) -> tuple[RecordKind, ...]:
    """What a search has conditions on: annotations, tomograms or both.

    Without conditions, annotations.
    """
    empty = Search()
    of_tomograms = any(getattr(search, name) != getattr(empty, name) for name in _OF_TOMOGRAMS)
    kinds: tuple[RecordKind, ...] = (
        ("annotations",) if search.annotations or not of_tomograms else ()
    )
    return (*kinds, "tomograms") if of_tomograms else kinds


def matching_ids(index: Index, matches: Matches, kind: RecordKind) -> tuple[int, ...]:
    """The ids of a kind to tick for the matches of a search; see `add_matches`."""
    match kind:
        case "datasets":
            return matches.dataset_ids
        case "runs":
            return matches.run_ids
        case "annotations" if matches.annotation_ids:
            return tuple(dict.fromkeys(chain.from_iterable(matches.annotation_ids)))
        case "annotations":
            runs = np.isin(index.ids("runs"), matches.run_ids)
            return tuple(index.ids(kind)[at(runs, index.places(kind, "runs"))].tolist())
        case "tomograms":
            rows = np.flatnonzero(np.isin(index.ids(kind), matches.tomogram_ids))
            ranks = [-index.numbers(kind, column)[rows] for column in DEFAULT_FIRST]
            rows = rows[np.lexsort(ranks[::-1])]  # stable, and the last key is the first
            _, first = np.unique(index.places(kind, "runs")[rows], return_index=True)
            return tuple(np.sort(index.ids(kind)[rows[first]]).tolist())
    return ()


def matching(index: Index) -> Callable[[SavedSearch], tuple[int, ...]]:
    """A function that repeats a saved search, for `aging.age_of`."""
    return lambda saved: matching_ids(index, find(index, search_from(saved.search)), saved.adds)
