"""Places among the pages of a portal, and the crumbs that lead back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

MOST_CRUMBS: Final = 4
Kind: TypeAlias = Literal["datasets", "runs", "depositions", "dataset", "deposition", "run", "basket"]


@dataclass(frozen=True, slots=True)
class Place:
    """A screen: a list, the page of a record, or the basket. Its name doesn't count in comparisons."""

    kind: Kind
    id: int = 0  # 0 for a list and the basket
    name: str = field(default="", compare=False)

    @property
    def label(self) -> str:
        """Its name, or its id."""
        prefix = {"dataset": "DS", "deposition": "CZCDP", "run": "RN"}.get(self.kind)
        return self.name or (f"{prefix}-{self.id}" if prefix else self.kind.capitalize())


DATASETS, RUNS, DEPOSITIONS = LISTS = Place("datasets"), Place("runs"), Place("depositions")
BASKET: Final = Place("basket")
Crumbs: TypeAlias = tuple[Place, ...]  # from a list to where you are


def begin(place: Place) -> Crumbs:
    """From its list to a place."""
    return (DEPOSITIONS if place.kind == "deposition" else DATASETS, place)


def follow(crumbs: Crumbs, place: Place) -> Crumbs:
    """Go on to a place: back to it where the crumbs have it; else one longer, without the oldest after the list."""
    if place in crumbs:
        return (*crumbs[: crumbs.index(place)], place)
    return (crumbs[0], *crumbs[1:][2 - MOST_CRUMBS :], place)


def follow_to_basket(crumbs: Crumbs) -> Crumbs:
    """Go on to the basket, from where you are and no further place."""
    return follow(crumbs if BASKET in crumbs else (crumbs[0], *crumbs[1:][-1:]), BASKET)


def follow_to_run(crumbs: Crumbs, dataset: Place, run: Place) -> Crumbs:
    """Go on to a run, over its dataset and no other."""
    if crumbs[-1].kind == "dataset":
        crumbs = crumbs[:-1]
    return follow(follow(crumbs, dataset), run)
