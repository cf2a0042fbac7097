"""Facets: by what a search can be narrowed, and how many datasets or runs each choice would leave."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal

import numpy as np
from msgspec.structs import replace

from napari_cryoet.discovery.fields import CONTENTS, FIELDS, Field, release_days, rows_that_meet
from napari_cryoet.discovery.index import Index, Mask, Places, all_of, at, marked
from napari_cryoet.discovery.search import Condition, Narrowed, Search

Unit = Literal["datasets", "runs"]

_MOST_CELLS: Final = 1 << 25


@dataclass(frozen=True, slots=True)
class FacetValue:
    """One choice of a facet: ``value`` goes into the search, see `toggled`; ``text`` is shown."""

    value: Any
    text: str
    count: int  # datasets or runs that are left with this choice, whatever else is chosen in the facet
    is_chosen: bool = False


@dataclass(frozen=True, slots=True)
class Facet:
    """A field of a search with its values: most first, or ranges in their order; those that leave nothing are left out.

    Unless it ``is_single``, several may be chosen at once, of which one has to hold; of ``has`` all.
    """

    name: str  # the field of `Search`, or of `Condition`
    title: str
    values: tuple[FacetValue, ...]
    is_of_condition: bool = False
    is_single: bool = False


def count_facets(index: Index, search: Search, unit: Unit = "datasets", *, condition: int = 0) -> tuple[Facet, ...]:
    """All facets of a search, counted in some milliseconds.

    A count says how many datasets, or runs, `find` would find with just this choice in the facet. ``condition`` says
    which condition the facets about annotations are for; ``len(search.annotations)`` is one more, met in the same run.
    """
    counting = _Counting(index, search, unit, condition)
    return tuple(counting.facet(field) for field in FIELDS)


def toggled(search: Search, facet: Facet, value: Any, *, condition: int = 0) -> Search:
    """The search after a click on a value of a facet: chosen if it wasn't, and else no longer."""
    conditions = search.annotations
    holder = search if not facet.is_of_condition else (*conditions, Condition())[min(condition, len(conditions))]
    chosen = getattr(holder, facet.name)
    if facet.is_single:
        changed = getattr(type(holder)(), facet.name) if chosen == value else value
    else:
        changed = tuple(each for each in chosen if each != value) if value in chosen else (*chosen, value)
    holder = replace(holder, **{facet.name: changed})
    return search.with_condition(condition, holder) if isinstance(holder, Condition) else holder


class _Counting:
    """Counts units by the values of facets."""

    def __init__(self, index: Index, search: Search, unit: Unit, condition: int) -> None:
        self._index, self._search, self._number = index, search, condition
        self._is_of_runs = unit == "runs"
        self._narrowed = Narrowed(index, search)
        self._condition = (*search.annotations, Condition())[min(condition, len(search.annotations))]
        self._size = index.count(unit)
        every_run = np.arange(index.count("runs"), dtype=np.int32)
        self._unit_of_run = every_run if self._is_of_runs else index.places("runs", "datasets")

    def facet(self, field: Field) -> Facet:
        """A field with the values that leave something, or are chosen."""
        chosen = getattr(self._condition if field.is_of_annotation else self._search, field.name)
        found = []
        for value, count, text in self._values(field):
            is_chosen = chosen == value if field.is_single else value in chosen
            if count or is_chosen:
                found.append(FacetValue(value, text or field.text_of(value), int(count), is_chosen))
        if field.is_coded or field.kind == "deposition":
            found.sort(key=lambda each: (-each.count, each.text.casefold()))
        return Facet(field.name, field.title, tuple(found), field.is_of_annotation, field.is_single)

    def _values(self, field: Field) -> Iterable[tuple[Any, int, str]]:
        """What can be chosen, with counts and, where the value doesn't say it, a text."""
        index = self._index
        if field.kind == "content":
            known = [what for what in CONTENTS if what not in index.unknown]
            runs = [self._runs(f"has {what}") & index.runs_with(what) for what in known]
            return [(what, self._count(mask, self._unit_of_run), "") for what, mask in zip(known, runs, strict=True)]
        if field.kind == "deposition":
            return self._depositions()
        rows, units = self._rows(field)
        is_of_owner = field.subject == "datasets" and self._is_of_runs  # what a run has of its dataset
        if field.is_coded:
            words = index.words(field.table, field.column)
            codes = words.codes[index.places("runs", "datasets")] if is_of_owner else words.codes
            counts = self._counts(rows, codes, len(words.words), units)
            quote = "" if field.kind == "word" else '"'  # a whole name
            return [(f"{quote}{word}{quote}", count, "") for word, count in zip(words.words, counts, strict=True)]
        choices = field.choices
        if field.kind == "days":
            years = sorted({int(day[:4]) for day in release_days(index) if day}, reverse=True)
            choices = tuple((date(year, 1, 1), date(year, 12, 31)) for year in years)
        found = []
        for choice in choices:
            meeting = rows_that_meet(index, field, (choice,) if field.kind == "number" else choice)
            meeting = at(meeting, index.places("runs", "datasets")) if is_of_owner else meeting
            found.append((choice, self._count(rows & meeting, units), ""))
        return found

    def _rows(self, field: Field) -> tuple[Mask, Places]:
        """The rows of the field's table that are left without a choice in it, and the unit of each."""
        index, subject = self._index, field.subject
        if subject == "datasets":
            left = self._narrowed.runs(field.name) if self._is_of_runs else self._narrowed.datasets(field.name)
            return left, np.arange(self._size, dtype=np.int32)
        part = f"annotations {self._number}" if subject == "annotations" else subject
        others = [mask for name, mask in self._narrowed.masks.get(part, {}).items() if name != field.name]
        left = at(self._runs(part), index.places(subject, "runs")) & all_of(others, index.count(subject))
        if field.table != subject:
            left = at(left, index.places(field.table, subject))
        return left, self._units_of(field.table)

    def _depositions(self) -> Iterable[tuple[int, int, str]]:
        index, left = self._index, self._runs("depositions")
        pairs = [(left, index.places("datasets", "depositions")[index.places("runs", "datasets")], self._unit_of_run)]
        for table in ("tomograms", "annotations"):
            rows = at(left, index.places(table, "runs"))
            pairs.append((rows, index.places(table, "depositions"), self._units_of(table)))
        rows, places, units = (np.concatenate(each) for each in zip(*pairs, strict=True))
        ids, titles = index.ids("depositions").tolist(), index.texts("depositions", "title")
        names = [f"CZCDP-{each} {title}" for each, title in zip(ids, titles, strict=True)]
        return zip(ids, self._counts(rows, places, len(ids), units), names, strict=True)

    def _runs(self, without: str) -> Mask:
        """The runs that are left: those with the text, where runs are counted; else those of datasets with the text."""
        return self._narrowed.runs(without, with_text=self._is_of_runs)

    def _units_of(self, table: str) -> Places:
        """The unit of each row."""
        units: Places = np.append(self._unit_of_run, np.int32(-1))[self._index.places(table, "runs")]
        return units

    def _count(self, rows: Mask, units: Places) -> int:
        """How many units have one of some rows."""
        return int(marked(units[rows], self._size).sum())

    def _counts(self, rows: Mask, codes: Places, n_values: int, units: Places) -> Sequence[int]:
        """For each value, how many units have a row with it."""
        kept = rows & (codes >= 0) & (units >= 0)
        keys = units[kept].astype(np.int64) * n_values + codes[kept]
        n_cells = self._size * n_values  # to mark them is several times as fast as to sort, and takes a byte for each
        keys = np.flatnonzero(marked(keys, n_cells)) if n_cells <= _MOST_CELLS else np.unique(keys)
        counts: list[int] = np.bincount(keys % n_values, minlength=n_values).tolist() if n_values else []
        return counts
