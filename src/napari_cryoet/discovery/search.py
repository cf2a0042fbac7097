"""Questions to an index: what a search asks, and which datasets, runs, tomograms and annotations answer it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, TypeVar

import msgspec
import numpy as np
from msgspec.structs import replace

from napari_cryoet.discovery.fields import (
    NO_BOUNDS,
    Content,
    Days,
    Field,
    Range,
    asked_for,
    lifted,
    masks_of,
    release_days,
)
from napari_cryoet.discovery.index import Index, Mask, all_of, at
from napari_cryoet.discovery.texts import text_match
from napari_cryoet.exceptions import FormatError

T = TypeVar("T", bound=msgspec.Struct)
Part = tuple[str, int]
"""What is asked of one row: its table, and for annotations the number of the condition."""

_DATASETS: Final = ("datasets", 0)
_ASKED_BY_SEARCH: Final = ("datasets", "runs", "tomograms", "tiltseries")


class _Asked(msgspec.Struct, frozen=True, omit_defaults=True, repr_omit_defaults=True, forbid_unknown_fields=True):
    pass


class Condition(_Asked, frozen=True, kw_only=True):
    """What one annotation has to be: all fields hold for the same annotation, and one value of each field is enough.

    Objects, authors and software are words that occur in the name, in any order and number; in double quotes, the whole
    name. Objects may also be ids, such as ``GO:0022626``. An object that is known (`objects.concepts`) is found by its
    other names, and with all kinds of it and nothing else: ``ribosome`` finds a cytosolic ribosome, and no subunit.
    """

    objects: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()  # as `records.ShapeType` has them; one of the annotation's shapes is
    methods: tuple[str, ...] = ()  # "manual", "automated", "hybrid", "simulated"
    is_ground_truth: bool | None = None  # an annotation that doesn't say it isn't
    authors: tuple[str, ...] = ()
    software: tuple[str, ...] = ()
    min_count: int | None = None  # points or instances; masks have none


class Search(_Asked, frozen=True, kw_only=True):
    """A question about runs. All fields have to hold; one value of a field is enough. An empty search finds everything.

    Use ``msgspec.structs.replace`` for a search that differs in a field, and `chips` for what can be taken away.
    """

    text: str = ""  # every word occurs in the dataset or, where that doesn't have it, in the run
    organisms: tuple[str, ...] = ()  # words, or a whole name in double quotes
    sample_types: tuple[str, ...] = ()
    depositions: tuple[int, ...] = ()  # brought the dataset, or a tomogram or an annotation of the run
    released: Days = NO_BOUNDS  # first and last day, of the dataset
    processing: tuple[str, ...] = ()  # this and the next four are about one tomogram: "raw", "denoised", …
    processing_software: tuple[str, ...] = ()  # words, or a whole name in double quotes
    reconstruction: tuple[str, ...] = ()  # "WBP", "SIRT", …
    spacing_angstrom: Range = NO_BOUNDS
    tilt_range_degrees: Range = NO_BOUNDS  # this and the next are about one tilt series: the sum of both sides
    tilt_quality: tuple[int, ...] = ()  # 1 to 5, the best
    has: tuple[Content, ...] = ()  # here all of them
    annotations: tuple[Condition, ...] = ()  # each is met by an annotation of the same run

    def to_dict(self) -> dict[str, Any]:
        """The fields that aren't empty as plain data, for JSON or TOML; `search_from` reads it."""
        return _with(msgspec.to_builtins(self, builtin_types=(date,)), None, "")  # TOML has no null

    def condition(self, number: int) -> Condition:
        """The condition with this number; an empty one after all."""
        return self.annotations[number] if number < len(self.annotations) else Condition()

    def with_condition(self, number: int, condition: Condition) -> Search:
        """The search with a condition in place of the one with this number, or after all; an empty one is left out."""
        conditions = list(self.annotations)
        conditions[number : number + 1] = [condition]
        return replace(self, annotations=tuple(each for each in conditions if each != Condition()))


def search_from(data: dict[str, Any]) -> Search:
    """The search that `Search.to_dict` made plain; FormatError, with the name of the field, for what is none."""
    try:
        return msgspec.convert(_with(data, "", None), Search)
    except msgspec.ValidationError as error:
        raise FormatError(f"The search can't be read: {error}.") from error


@dataclass(frozen=True, slots=True)
class Matches:
    """What answers a search.

    A dataset answers it with one of its runs, or by itself where nothing is asked of runs. Its text may be spread over
    several of its runs, so it can be here without any of `run_ids`.
    """

    search: Search
    dataset_ids: tuple[int, ...]  # newest first
    run_ids: tuple[int, ...]  # ascending
    annotation_ids: tuple[tuple[int, ...], ...]  # of these runs, for each of `Search.annotations`
    tomogram_ids: tuple[int, ...]  # of these runs; where nothing is asked of tomograms, all
    corrections: dict[str, tuple[str, ...]]  # words that occur nowhere, and those like them that were taken instead


def find(index: Index, search: Search) -> Matches:
    """What answers a search, in some milliseconds."""
    narrowed = Narrowed(index, search)
    datasets, runs = narrowed.datasets(), narrowed.runs()
    order = index.made("newest first", lambda: np.lexsort((index.ids("datasets"), release_days(index)))[::-1])

    def of_runs(table: str, number: int = 0) -> tuple[int, ...]:
        met = narrowed.rows((table, number)) & at(runs, index.places(table, "runs"))
        return tuple(index.ids(table)[met].tolist())

    return Matches(
        search=search,
        dataset_ids=tuple(index.ids("datasets")[order[datasets[order]]].tolist()),
        run_ids=tuple(index.ids("runs")[runs].tolist()),
        annotation_ids=tuple(of_runs("annotations", number) for number in range(len(search.annotations))),
        tomogram_ids=of_runs("tomograms"),
        corrections=narrowed.text.corrections,
    )


@dataclass(frozen=True, slots=True)
class Chip:
    """One choice of a search as a word or two, and the search without it."""

    text: str
    without: Search


def chips(search: Search) -> tuple[Chip, ...]:
    """All choices of a search but its text, those about annotations first, each to be taken away by itself."""
    found = [
        Chip(field.chip_of(value), search.with_condition(number, without(condition, field, value)))
        for number, condition in enumerate(search.annotations)
        for field, value in _choices(condition)
    ]
    found += [Chip(field.chip_of(value), without(search, field, value)) for field, value in _choices(search)]
    return tuple(found)


def without(asked: T, field: Field, value: Any) -> T:
    """What is asked but for one value of a field."""
    wanted, nothing = getattr(asked, field.name), getattr(type(asked)(), field.name)
    rest = nothing if field.is_single else tuple(each for each in wanted if each != value)
    return replace(asked, **{field.name: rest})


class Narrowed:
    """Which rows of an index meet each part of a search; `find` and the facets put them together."""

    def __init__(self, index: Index, search: Search) -> None:
        self._index, self.text = index, text_match(index, search.text)
        asked: dict[Part, Search | Condition] = {(table, 0): search for table in _ASKED_BY_SEARCH}
        asked |= {("annotations", number): each for number, each in enumerate(search.annotations)}
        self._masks = {part: masks_of(index, each, part[0]) for part, each in asked.items()}
        self._of_runs = {
            part: lifted(index, self.rows(part), part[0], "runs")
            for part, masks in self._masks.items()
            if part[0] != "datasets" and (masks or part[0] == "annotations")  # any meets an empty condition
        }

    def rows(self, part: Part, without: object = None) -> Mask:
        """The rows that meet all fields of a part but one, by its name."""
        masks = [mask for name, mask in self._masks.get(part, {}).items() if name != without]
        return all_of(masks, self._index.count(part[0]))

    def datasets(self, without: Part | str | None = None) -> Mask:
        """The datasets that meet everything but a part, or but a field about datasets."""
        runs = [mask for part, mask in self._of_runs.items() if part != without]
        datasets = self.text.datasets & self.rows(_DATASETS, without)
        if runs:
            datasets &= lifted(self._index, all_of(runs, self._index.count("runs")), "runs", "datasets")
        return datasets

    def runs(self, without: Part | str | None = None, *, with_text: bool = True) -> Mask:
        """The same for runs; without the text, it is asked of their datasets only."""
        masks = [mask for part, mask in self._of_runs.items() if part != without]
        if with_text:
            masks.append(self.text.runs)
        datasets = self.text.datasets & self.rows(_DATASETS, without)
        return all_of(masks, self._index.count("runs")) & at(datasets, self._index.places("runs", "datasets"))


def _with(data: dict[str, Any], old: Any, new: Any) -> dict[str, Any]:
    return {
        name: [new if each == old else each for each in value] if isinstance(value, list | tuple) else value
        for name, value in data.items()
    }


def _choices(asked: Search | Condition) -> Iterable[tuple[Field, Any]]:
    return ((field, value) for field, wanted in asked_for(asked) for value in field.values_of(wanted))
