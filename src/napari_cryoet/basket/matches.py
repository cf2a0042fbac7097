"""What a search finds, put into a basket, and found again later to see what is new."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
from msgspec.structs import replace

from napari_cryoet.basket.basket import Basket, Kind, SavedSearch
from napari_cryoet.basket.contents import TABLES
from napari_cryoet.discovery.index import Index, at
from napari_cryoet.discovery.search import Condition, Matches, Search, find, search_from

_OF_TOMOGRAMS: Final = ("processing", "processing_software", "reconstruction", "spacing_angstrom")


def add_matches(basket: Basket, index: Index, search: Search, kinds: Iterable[Kind] = ()) -> Basket:
    """Tick all that a search finds, and remember the search.

    Parameters
    ----------
    kinds
        What of it: "annotations" (those that the search asks for, or all of the runs that it finds), "tomograms" (one
        of each run, of those that it asks for), whole "runs" or whole "datasets". By default what it asks for.
    """
    for kind in tuple(kinds) or kinds_asked(search):
        ids = matching_ids(index, search, kind)
        rows = index.rows(TABLES[kind], ids)
        dates = {row["id"]: row.get("lastModifiedDate") or "" for row in rows}
        basket = basket.with_ids(kind, ids, modified=dates).with_search(search.to_dict(), kind)
    return replace(basket, catalogue_date=index.as_of.date().isoformat())


def kinds_asked(search: Search) -> tuple[Kind, ...]:
    """Whether a search asks for annotations, for tomograms or for both; for nothing special, it is annotations."""
    empty = Search()
    of_tomograms = any(getattr(search, name) != getattr(empty, name) for name in _OF_TOMOGRAMS)
    kinds: tuple[Kind, ...] = ("annotations",) if search.annotations or not of_tomograms else ()
    return (*kinds, "tomograms") if of_tomograms else kinds


def matching_ids(index: Index, search: Search, kind: Kind) -> tuple[int, ...]:
    """The ids of a kind that a search finds; see `add_matches`."""
    if kind == "annotations" and not search.annotations:
        search = replace(search, annotations=(Condition(),))  # any
    matches = find(index, search)
    match kind:
        case "datasets":
            return matches.dataset_ids
        case "runs":
            return matches.run_ids
        case "annotations":
            return tuple(dict.fromkeys(each for ids in matches.annotation_ids for each in ids))
        case "tomograms":
            best: dict[int, int] = {}
            rows = index.rows("tomograms", matches.tomogram_ids)
            for row in sorted(rows, key=lambda row: (not row["isVisualizationDefault"], row["id"])):
                best.setdefault(row["runId"], row["id"])
            return tuple(sorted(best.values()))
    return ()


def matching_amounts(index: Index, matches: Matches) -> dict[Kind, int]:
    """How many ids `matching_ids` gives of what a search found."""
    runs = np.isin(index.ids("runs"), matches.run_ids)
    tomograms = np.isin(index.ids("tomograms"), matches.tomogram_ids)
    met = len(set().union(*matches.annotation_ids))
    return {
        "datasets": len(matches.dataset_ids),
        "runs": len(matches.run_ids),
        "annotations": met if matches.annotation_ids else int(at(runs, index.places("annotations", "runs")).sum()),
        "tomograms": len(np.unique(index.places("tomograms", "runs")[tomograms])),
    }


def matching(index: Index) -> Callable[[SavedSearch], tuple[int, ...]]:
    """Finds a saved search again, for `aging.age_of`."""
    return lambda saved: matching_ids(index, search_from(saved.search), saved.adds)
