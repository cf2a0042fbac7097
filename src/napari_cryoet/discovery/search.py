"""Searches in an index: their fields, and the datasets, runs, tomograms and annotations that match."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
import numpy as np
from msgspec.structs import asdict, force_setattr, replace

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
    release_days,
    rows_above,
    rows_that_meet,
)
from napari_cryoet.discovery.index import Index, RowMask, all_of, at
from napari_cryoet.discovery.listing import ListKind, fields_of, list_matches
from napari_cryoet.discovery.texts import text_match
from napari_cryoet.exceptions import FormatError, require_known
from napari_cryoet.wording import count_text, joined

if TYPE_CHECKING:
    from pandas import DataFrame

T = TypeVar("T", bound=msgspec.Struct)
CriteriaKey = tuple[str, int]
"""Fields that one row has to meet: its table, and the number of the condition (0 except for annotations)."""

_DATASETS: Final = ("datasets", 0)
_TABLES_OF_SEARCH: Final = ("datasets", "runs", "tomograms", "tiltseries")


class _Criteria(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    repr_omit_defaults=True,
    forbid_unknown_fields=True,
):
    """Base of searches and conditions: a text where several are expected is one of them."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, str) and name != "text":
                force_setattr(self, name, (value,))
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

    text: str = ""  # every word occurs in the dataset or in the run
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
        return _replaced(
            msgspec.to_builtins(self, builtin_types=(date,)), None, ""
        )  # TOML has no null

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


def search_from(data: dict[str, Any]) -> Search:
    """Read a search from the output of `Search.to_dict`; FormatError names an invalid field."""
    try:
        return msgspec.convert(_replaced(data, "", None), Search)
    except msgspec.ValidationError as error:
        raise FormatError(f"The search can't be read: {error}.") from error


@dataclass(frozen=True, slots=True, repr=False)
class Matches:
    """The ids that match a search.

    A dataset matches if one of its runs does, or by itself if the search has no conditions for
    runs. The words of the text may be in different runs: then the dataset matches, but none of its
    runs.
    """

    index: Index = field(compare=False)
    search: Search
    dataset_ids: tuple[int, ...]  # newest first
    run_ids: tuple[int, ...]  # ascending
    annotation_ids: tuple[tuple[int, ...], ...]  # in these runs, for each of `Search.annotations`
    tomogram_ids: tuple[int, ...]  # in these runs; all if the search has no tomogram fields
    corrections: dict[
        str, tuple[str, ...]
    ]  # words without matches, and the similar words used instead

    def __repr__(self) -> str:
        counts = joined(
            count_text(len(self.dataset_ids), "dataset"), count_text(len(self.run_ids), "run")
        )
        return f"<Matches: {counts}>"

    def to_dataframe(self, kind: ListKind = "runs") -> DataFrame:
        """A table of the matches, with a row for each of their "datasets", "runs", "annotations" or "tomograms"."""
        import pandas as pd

        rows = [asdict(row) for row in list_matches(self.index, self, kind)]
        return pd.DataFrame(rows, columns=fields_of(kind))


def find(index: Index, search: Search) -> Matches:
    """Find the matches of a search, in a few milliseconds."""
    search_masks = SearchMasks(index, search)
    datasets, runs = search_masks.datasets(), search_masks.runs()
    order = index.made(
        "newest first", lambda: np.lexsort((index.ids("datasets"), release_days(index)))[::-1]
    )

    def of_runs(table: str, number: int = 0) -> tuple[int, ...]:
        met = search_masks.rows((table, number)) & at(runs, index.places(table, "runs"))
        return tuple(index.ids(table)[met].tolist())

    return Matches(
        index=index,
        search=search,
        dataset_ids=tuple(index.ids("datasets")[order[datasets[order]]].tolist()),
        run_ids=tuple(index.ids("runs")[runs].tolist()),
        annotation_ids=tuple(
            of_runs("annotations", number) for number in range(len(search.annotations))
        ),
        tomogram_ids=of_runs("tomograms"),
        corrections=search_masks.text.corrections,
    )


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

    def __init__(self, index: Index, search: Search) -> None:
        self._index, self.text = index, text_match(index, search.text)
        criteria: dict[CriteriaKey, Search | Condition] = {
            (table, 0): search for table in _TABLES_OF_SEARCH
        }
        criteria |= {
            ("annotations", number): each for number, each in enumerate(search.annotations)
        }
        self._masks = {part: masks_of(index, each, part[0]) for part, each in criteria.items()}
        self._of_runs = {
            part: rows_above(index, self.rows(part), part[0], "runs")
            for part, masks in self._masks.items()
            if part[0] != "datasets"
            and (masks or part[0] == "annotations")  # any annotation meets an empty condition
        }

        for number, condition in enumerate(search.annotations):
            if can_be_identified(condition):
                identified = rows_that_meet(index, IDENTIFIED, condition.objects)
                self._of_runs["annotations", number] |= rows_above(
                    index, identified, IDENTIFIED.table, "runs"
                )

    def rows(self, part: CriteriaKey, without: object = None) -> RowMask:
        """The rows that meet all fields of a part, except the one named ``without``."""
        masks = [mask for name, mask in self._masks.get(part, {}).items() if name != without]
        return all_of(masks, self._index.count(part[0]))

    def datasets(self, without: CriteriaKey | str | None = None) -> RowMask:
        """The datasets that match, ignoring one part or one dataset field."""
        runs = [mask for part, mask in self._of_runs.items() if part != without]
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
        masks = [mask for part, mask in self._of_runs.items() if part != without]
        if with_text:
            masks.append(self.text.runs)
        datasets = self.text.datasets & self.rows(_DATASETS, without)
        return all_of(masks, self._index.count("runs")) & at(
            datasets, self._index.places("runs", "datasets")
        )


def _replaced(data: dict[str, Any], old: Any, new: Any) -> dict[str, Any]:
    return {
        name: [new if each == old else each for each in value]
        if isinstance(value, list | tuple)
        else value
        for name, value in data.items()
    }


def _choices(criteria: Search | Condition) -> Iterable[tuple[Field, Any]]:
    return (
        (field, value)
        for field, wanted in fields_set(criteria)
        for value in field.values_of(wanted)
    )
