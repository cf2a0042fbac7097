"""The way to where one is, ``Depositions › CZCDP-10301 › DS-10000 › TS_026``: how it begins, grows and is cut."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

MAX_PLACES = 8  # following links on and on forgets the oldest, but never the list at the beginning


@dataclass(frozen=True, slots=True)
class Place:
    """A screen: one of the two lists, or the page of a record; two places are the same whatever they are called.

    Attributes
    ----------
    id
        Of the record; 0 for a list.
    name
        What a run is called.
    """

    kind: Literal["datasets", "depositions", "dataset", "deposition", "run"]
    id: int = 0
    name: str = field(default="", compare=False)

    @property
    def label(self) -> str:
        """What the place is called on the way: a list's name, an id, or the name of a run."""
        match self.kind:
            case "datasets" | "depositions":
                return self.kind.capitalize()
            case "dataset":
                return f"DS-{self.id}"
            case "deposition":
                return f"CZCDP-{self.id}"
        return self.name or f"RN-{self.id}"

    @property
    def is_list(self) -> bool:
        """Whether this is where ways begin."""
        return self.kind in {"datasets", "depositions"}


DATASETS, DEPOSITIONS = Place("datasets"), Place("depositions")

Trail: TypeAlias = tuple[Place, ...]


def begin(place: Place) -> Trail:
    """The way to a place that was named outright: from its list.

    >>> [step.label for step in begin(Place("deposition", 10301))]
    ['Depositions', 'CZCDP-10301']
    """
    if place.is_list:
        return (place,)
    return (DEPOSITIONS if place.kind == "deposition" else DATASETS, place)


def follow(trail: Trail, place: Place) -> Trail:
    """The way on to a place that the last one leads to.

    No place is on a way twice: one that is led to again makes the way begin anew at where one is, so that one step back
    is always where one came from.

    >>> there = follow(follow(begin(Place("dataset", 1)), Place("deposition", 2)), Place("dataset", 1))
    >>> [step.label for step in there]
    ['Depositions', 'CZCDP-2', 'DS-1']
    """
    if place == trail[-1]:
        return (*trail[:-1], place)
    if place in trail:
        trail = _anew(trail)
    if place in trail:  # a run's dataset
        return (*trail[: trail.index(place)], place)
    grown = (*trail, place)
    return grown if len(grown) <= MAX_PLACES else (grown[0], *grown[1 - MAX_PLACES :])


def follow_to_run(trail: Trail, dataset: Place, run: Place) -> Trail:
    """The way on to a run, over its dataset and no other."""
    if trail[-1].kind == "dataset" and trail[-1] != dataset:
        trail = trail[:-1]
    return follow(follow(trail, dataset), run)


def _anew(trail: Trail) -> Trail:
    """The way that begins at where one is; to a run it leads over its dataset."""
    last = trail[-1]
    if last.kind == "run" and trail[-2].kind == "dataset":
        return (DATASETS, *trail[-2:])
    return begin(last)
