"""The browser's screens as places, and the breadcrumbs to them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import msgspec

MOST_CRUMBS: Final = 4


@dataclass(frozen=True, slots=True)
class Place:
    """A screen: a list, a record's page, or a room's page. Comparisons ignore the name."""

    kind: str  # such as "datasets", "dataset" or "basket"
    id: int = 0  # of a record
    name: str = field(default="", compare=False)

    @property
    def label(self) -> str:
        """The name, or else the id."""
        prefix = {"dataset": "DS", "deposition": "CZCDP", "run": "RN"}.get(self.kind)
        return self.name or (f"{prefix}-{self.id}" if prefix else self.kind.capitalize())


DATASETS, RUNS, DEPOSITIONS = LISTS = Place("datasets"), Place("runs"), Place("depositions")
Crumbs: TypeAlias = tuple[Place, ...]  # from a list to where you are


def crumbs_from(data: Any, kinds: Collection[str]) -> Crumbs:
    """Read saved breadcrumbs of some kinds; those of the list of datasets if they are invalid."""
    try:
        crumbs = msgspec.convert(data, Crumbs)
    except msgspec.ValidationError:
        return (DATASETS,)
    are_lists = [place in LISTS for place in crumbs[:MOST_CRUMBS]]
    is_valid = are_lists == [True, *[False] * (len(crumbs) - 1)]
    is_valid &= all(place.kind in kinds for place in crumbs)
    return crumbs if is_valid else (DATASETS,)


def begin(place: Place) -> Crumbs:
    """The breadcrumbs of a place: its list, then the place."""
    return (DEPOSITIONS if place.kind == "deposition" else DATASETS, place)


def follow(crumbs: Crumbs, place: Place) -> Crumbs:
    """Append a place, or go back to it if it is a crumb already.

    The oldest crumb after the list may be dropped.
    """
    if place in crumbs:
        return (*crumbs[: crumbs.index(place)], place)
    return (crumbs[0], *crumbs[1:][2 - MOST_CRUMBS :], place)


def follow_to_page(crumbs: Crumbs, page: Place) -> Crumbs:
    """Append the page of a room, keeping only the list and the current place before it."""
    return follow(crumbs if page in crumbs else (crumbs[0], *crumbs[1:][-1:]), page)


def follow_to_run(crumbs: Crumbs, dataset: Place, run: Place) -> Crumbs:
    """Append a run after its dataset, dropping another dataset."""
    if crumbs[-1].kind == "dataset":
        crumbs = crumbs[:-1]
    return follow(follow(crumbs, dataset), run)
