"""Searches in an index: their fields, and the rows that meet them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal, TypeVar

import msgspec
import numpy as np
from msgspec.structs import replace

from napari_cryoet.discovery.columns import Columns, RowMask, all_of, at
from napari_cryoet.discovery.fields import (
    CONTENTS,
    IDENTIFIED,
    NO_BOUNDS,
    Content,
    Days,
    Field,
    Range,
    fields_set,
    masks_of,
    rows_above,
    rows_that_meet,
)
from napari_cryoet.discovery.texts import text_match
from napari_cryoet.exceptions import FormatError, require_known

T = TypeVar("T", bound=msgspec.Struct)
CriteriaKey = tuple[str, int]
"""Fields that one row has to meet: its table, and the number of the condition (0 except for annotations)."""

_DATASETS: Final = ("datasets", 0)
_WORDS: Final = ("words", 0)
_TABLES_OF_SEARCH: Final = ("datasets", "runs", "tomograms", "tiltseries")


class _Criteria(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    repr_omit_defaults=True,
    forbid_unknown_fields=True,
):
    def __post_init__(self) -> None:
        """Take one value where several are possible; TypeError for one number as a range."""
        for name, default in zip(self.__struct_fields__, self.__struct_defaults__, strict=True):
            value = getattr(self, name)
            is_one = isinstance(value, str) or not isinstance(value, Iterable)
            if default == ():
                several = (value,) if is_one else tuple(value)
                msgspec.structs.force_setattr(self, name, several)
            elif default == NO_BOUNDS and is_one:
                raise TypeError(f"{name} is a range, such as (4, 10) or (None, 10), not {value!r}")
        for what in getattr(self, "has", ()):
            require_known(what, CONTENTS, "content of a run")


class Condition(_Criteria, frozen=True, kw_only=True):
    """A condition for one annotation: it meets all fields, each with one of the field's values.

    Objects, authors and software are words of the name in any order, or the whole name in double
    quotes. Objects may also be ids, such as ``GO:0022626``. Known objects (`objects.concepts`)
    match by their synonyms and kinds only: ``ribosome`` finds a cytosolic ribosome, but not a
    ribosomal subunit. A condition with objects alone is also met by a run in which one of them was
    identified, even without an annotation.
    """

    objects: tuple[str, ...] = ()
    shapes: tuple[
        str, ...
    ] = ()  # values of `records.ShapeType`; one of the annotation's shapes matches
    methods: tuple[str, ...] = ()  # "manual", "automated", "hybrid", "simulated"
    is_ground_truth: bool | None = None  # a missing value counts as False
    authors: tuple[str, ...] = ()
    software: tuple[str, ...] = ()
    min_count: int | None = None  # points or instances; masks have none


class Search(_Criteria, frozen=True, kw_only=True):
    """A search for runs: they meet all fields, each with one of the field's values. An empty search finds everything.

    Change fields with ``msgspec.structs.replace``; `chips` lists the choices that can be removed.
    """

    # Every word occurs in the dataset or in the run. With conditions, one annotation meets one of
    # them and has the words: the names of known objects itself, others perhaps in its run.
    text: str = ""
    organisms: tuple[str, ...] = ()  # words, or a whole name in double quotes
    sample_types: tuple[str, ...] = ()
    depositions: tuple[
        int, ...
    ] = ()  # of the dataset, or of a tomogram or an annotation of the run
    released: Days = NO_BOUNDS  # first and last release day of the dataset
    processing: tuple[
        str, ...
    ] = ()  # "raw", "denoised", …; one tomogram meets this and the next three
    processing_software: tuple[str, ...] = ()  # words, or a whole name in double quotes
    reconstruction: tuple[str, ...] = ()  # "WBP", "SIRT", …
    spacing_angstrom: Range = NO_BOUNDS
    tilt_range_degrees: Range = (
        NO_BOUNDS  # from end to end; one tilt series meets this and the next
    )
    tilt_quality: tuple[int, ...] = ()  # 1 to 5 (best)
    has: tuple[Content, ...] = ()  # all of them, not just one
    annotations: tuple[Condition, ...] = ()  # an annotation of the run for each

    def to_dict(self) -> dict[str, Any]:
        """The fields that aren't empty as plain data for JSON or TOML; `search_from` reads it."""
        plain = msgspec.to_builtins(self, builtin_types=(date,))
        data: dict[str, Any] = _replaced(plain, None, "")  # TOML has no null
        return data

    def condition(self, number: int) -> Condition:
        """The condition with this number; an empty one if there is none."""
        return self.annotations[number] if number < len(self.annotations) else Condition()

    def with_condition(self, number: int, condition: Condition) -> Search:
        """The search with this condition replaced, or appended if the number is new.

        Drops empty conditions.
        """
        conditions = list(self.annotations)
        conditions[number : number + 1] = [condition]
        return replace(self, annotations=tuple(each for each in conditions if each != Condition()))


def can_be_identified(condition: Condition) -> bool:
    """Whether runs with identified objects meet a condition: it asks for nothing but objects."""
    return condition == Condition(objects=condition.objects) and bool(condition.objects)


def search_with(search: Search, fields: Mapping[str, Any]) -> Search:
    """Set fields of a search, or of one more condition; TypeError names the fields that there are."""
    of_condition = {name: fields[name] for name in Condition.__struct_fields__ if name in fields}
    others = {name: value for name, value in fields.items() if name not in of_condition}
    known = (*Search.__struct_fields__, *Condition.__struct_fields__)
    unknown = others.keys() - {*known}
    if unknown:
        raise TypeError(f"{min(unknown)!r} is no field of a search; use {', '.join(known)}")
    if of_condition:
        others["annotations"] = (*search.annotations, Condition(**of_condition))
    return replace(search, **others)


def kinds_asked(search: Search) -> tuple[Literal["annotations", "tomograms"], ...]:
    """What a search has conditions on: annotations, tomograms or both.

    Without conditions, annotations.
    """
    if not [*fields_set(search, "tomograms")]:
        return ("annotations",)
    return ("annotations", "tomograms") if search.annotations else ("tomograms",)


def search_from(data: dict[str, Any]) -> Search:
    """Read a search from the output of `Search.to_dict`; FormatError names an invalid field."""
    try:
        return msgspec.convert(_replaced(data, "", None), Search)
    except msgspec.ValidationError as error:
        raise FormatError(f"The search can't be read: {error}.") from error


@dataclass(frozen=True, slots=True)
class Chip:
    """One choice of a search as a short text, and the search without it."""

    text: str
    without: Search


def chips(search: Search) -> tuple[Chip, ...]:
    """The choices of a search except its text, annotation conditions first."""
    found = [
        Chip(field.chip_of(value), search.with_condition(number, without(condition, field, value)))
        for number, condition in enumerate(search.annotations)
        for field, value in _choices(condition)
    ]
    found += [
        Chip(field.chip_of(value), without(search, field, value))
        for field, value in _choices(search)
    ]
    return tuple(found)


def without(criteria: T, field: Field, value: Any) -> T:
    """A search or condition without one value of a field."""
    wanted, nothing = getattr(criteria, field.name), getattr(type(criteria)(), field.name)
    rest = nothing if field.is_single else tuple(each for each in wanted if each != value)
    return replace(criteria, **{field.name: rest})


class SearchMasks:
    """The rows of an index that meet each part of a search; `find` and the facets combine them."""

    def __init__(self, index: Columns, search: Search) -> None:
        self._index, self.text = index, text_match(index, search.text)
        criteria: dict[CriteriaKey, Search | Condition] = {
            (table, 0): search for table in _TABLES_OF_SEARCH
        }
        criteria |= {
            ("annotations", number): each for number, each in enumerate(search.annotations)
        }
        self._masks = {part: masks_of(index, each, part[0]) for part, each in criteria.items()}
        self._of_runs = {
            part: rows_above(index, self._meeting(part), part[0], "runs")
            for part, masks in self._masks.items()
            if part[0] in _TABLES_OF_SEARCH[1:] and masks
        }
        #: For each condition, the runs with an annotation that meets it and has all words.
        self._worded: list[RowMask] = []
        for number, condition in enumerate(search.annotations):
            self._of_runs["annotations", number], worded = self._of_condition(number, condition)
            self._worded.append(worded)
        if search.text and search.annotations:  # then the words are about one of the annotations
            self._of_runs[_WORDS] = np.logical_or.reduce(self._worded)

    def _of_condition(self, number: int, condition: Condition) -> tuple[RowMask, RowMask]:
        """The runs with an annotation for a condition, and those where it also has all words."""
        meeting = {"annotations": self._meeting(("annotations", number))}
        if can_be_identified(condition):
            meeting[IDENTIFIED.table] = rows_that_meet(self._index, IDENTIFIED, condition.objects)
        found = np.zeros((2, self._index.count("runs")), np.bool_)
        for table, rows in meeting.items():
            found[0] |= rows_above(self._index, rows, table, "runs")
            found[1] |= rows_above(self._index, rows & self.text.rows[table], table, "runs")
        return found[0], found[1]

    def _meeting(self, part: CriteriaKey, without: object = None) -> RowMask:
        masks = [mask for name, mask in self._masks.get(part, {}).items() if name != without]
        return all_of(masks, self._index.count(part[0]))

    def rows(self, part: CriteriaKey, without: object = None) -> RowMask:
        """The rows that meet all fields of a part, except the one named ``without``.

        Annotations also have the words of the text, as `with_words` says.
        """
        rows = self._meeting(part, without)
        return rows & self.with_words(*part) if part[0] == "annotations" else rows

    def with_words(self, table: str, number: int) -> RowMask:
        """The annotations or identified objects that have all words of the text.

        Instead, the annotation of another condition in the same run may have them.
        """
        others = [runs for other, runs in enumerate(self._worded) if other != number]
        runs = np.logical_or.reduce([np.zeros(self._index.count("runs"), np.bool_), *others])
        return self.text.rows[table] | at(runs, self._index.places(table, "runs"))

    def datasets(self, without: CriteriaKey | str | None = None) -> RowMask:
        """The datasets that match, ignoring one part or one dataset field."""
        runs = self._masks_of_runs(without)
        datasets = self.text.datasets & self.rows(_DATASETS, without)
        if runs:
            datasets &= rows_above(
                self._index, all_of(runs, self._index.count("runs")), "runs", "datasets"
            )
        return datasets

    def runs(self, without: CriteriaKey | str | None = None, *, with_text: bool = True) -> RowMask:
        """The runs that match, like `datasets`.

        Unless ``with_text``, only their datasets have to contain the text.
        """
        masks = self._masks_of_runs(without)
        if with_text:
            masks.append(self.text.runs)
        datasets = self.text.datasets & self.rows(_DATASETS, without)
        return all_of(masks, self._index.count("runs")) & at(
            datasets, self._index.places("runs", "datasets")
        )

    def _masks_of_runs(self, without: CriteriaKey | str | None) -> list[RowMask]:
        """The masks of all parts but one; `rows` has the words without a condition."""
        is_condition = isinstance(without, tuple) and without[0] == "annotations"
        skipped = {without, _WORDS} if is_condition else {without}
        return [mask for part, mask in self._of_runs.items() if part not in skipped]


def _replaced(value: Any, old: Any, new: Any) -> Any:
    """Plain data with another value in lists, which also replace tuples."""
    match value:
        case dict():
            return {name: _replaced(each, old, new) for name, each in value.items()}
        case list() | tuple():
            return [new if each == old else _replaced(each, old, new) for each in value]
    return value


def _choices(criteria: Search | Condition) -> Iterable[tuple[Field, Any]]:
    return (
        (field, value)
        for field, wanted in fields_set(criteria)
        for value in field.values_of(wanted)
    )
