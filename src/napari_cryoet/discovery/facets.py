"""Facets: the choices that narrow a search, each with the number of datasets or runs it leaves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal

import numpy as np
from msgspec.structs import replace

from napari_cryoet.discovery.columns import Columns, Places, at, marked
from napari_cryoet.discovery.fields import (
    FIELDS,
    IDENTIFIED,
    OBJECT_FIELDS,
    Field,
    deposition_names,
    depositions_of_runs,
    object_kinds,
    object_names,
    release_days,
    rows_that_meet,
)
from napari_cryoet.discovery.search import Condition, Search, SearchMasks, without

CountUnit = Literal["datasets", "runs"]

_MOST_CELLS: Final = 1 << 25


@dataclass(frozen=True, slots=True)
class FacetValue:
    """One choice of a facet: the ``value`` for the search, see `toggled`, and the ``text`` to show."""

    value: Any
    text: str
    count: int  # datasets or runs with this choice, whatever else is chosen in the facet
    is_chosen: bool = False


@dataclass(frozen=True, slots=True)
class Facet:
    """A field of a search with its values by count, or ranges in order. Values without matches are left out.

    Several values may be chosen unless the field ``is_single``: a match has one of them, or for
    ``has`` all of them.
    """

    field: Field
    values: tuple[FacetValue, ...]

    @property
    def name(self) -> str:
        """The field of `Search`, or of `Condition`."""
        return self.field.name

    @property
    def title(self) -> str:
        """The title to show."""
        return self.field.title


def count_facets(
    index: Columns, search: Search, unit: CountUnit = "datasets", *, condition: int = 0
) -> tuple[Facet, ...]:
    """Count all facets of a search, in a few milliseconds.

    A count is the number of datasets or runs that `find` returns with only this choice in the
    facet. ``condition`` is the number of the condition that annotation facets belong to;
    ``len(search.annotations)`` adds one.
    """
    counting = _Counter(index, search, unit, condition)
    return tuple(counting.facet(field) for field in FIELDS)


def toggled(search: Search, facet: Facet, value: Any, *, condition: int = 0) -> Search:
    """The search with a value of a facet added, or removed if it was chosen."""
    field = facet.field
    criteria: Search | Condition = search.condition(condition) if field.is_of_annotation else search
    chosen = getattr(criteria, field.name)
    if value in field.values_of(chosen):
        criteria = without(criteria, field, value)
    else:
        criteria = replace(criteria, **{field.name: value if field.is_single else (*chosen, value)})
    return (
        search.with_condition(condition, criteria) if isinstance(criteria, Condition) else criteria
    )


class _Counter:
    """Counts datasets or runs for the values of facets."""

    def __init__(self, index: Columns, search: Search, unit: CountUnit, condition: int) -> None:
        self._index, self._search, self._unit, self._number = index, search, unit, condition
        self._condition = search.condition(condition)
        self._search_masks = SearchMasks(index, search)
        self._size = index.count(unit)

    def facet(self, field: Field) -> Facet:
        """A facet with the values that have matches or are chosen."""
        criteria = self._search.condition(self._number) if field.is_of_annotation else self._search
        chosen = field.values_of(getattr(criteria, field.name))
        counted = (each for each in self._counted(field) if each[2] or each[0] in chosen)
        return Facet(
            field, tuple(FacetValue(value, text, n, value in chosen) for value, text, n in counted)
        )

    def _counted(self, field: Field) -> Iterable[tuple[Any, str, int]]:
        """All values of a field with their texts and counts, in order."""
        index = self._index
        if field.kind == "object":
            yield from self._objects(field)
            return
        units, places = self._rows(field)
        if choices := _choices(index, field):
            for choice in choices:
                meeting = rows_that_meet(index, field, choice if field.is_single else (choice,))
                yield (
                    choice,
                    field.text_of(choice),
                    int(marked(units[meeting[places]], self._size).sum()),
                )
            return
        if field.kind == "deposition":
            codes, values, texts = (
                places,
                index.ids("depositions").tolist(),
                deposition_names(index),
            )
        else:
            words, quote = (
                index.words(field.table, field.column),
                "" if field.kind == "word" else '"',
            )  # a whole name
            codes, values = words.codes[places], [f"{quote}{word}{quote}" for word in words.words]
            texts = [field.text_of(value) for value in values]
        yield from _most_first(values, texts, self._counts(units, codes, len(values)))

    def _objects(self, field: Field) -> Iterable[tuple[Any, str, int]]:
        """The names of annotated and identified objects, kinds of them, and other chosen words."""
        index = self._index
        names = object_names(self._index)
        code_of = {name: code for code, name in enumerate(names)}
        rows = dict(zip(OBJECT_FIELDS, (self._rows(field), self._identified()), strict=True))
        units = np.concatenate([units for units, _ in rows.values()])
        codes = []
        for each, (_, places) in rows.items():
            words = index.words(each.table, each.column)
            codes_of_words = np.array([*(code_of[name] for name in words.words), -1], np.int32)
            codes.append(codes_of_words[words.codes[places]])
        values = [f'"{name}"' for name in names]
        counts = [*self._counts(units, np.concatenate(codes), len(values))]
        chosen = (each for each in self._condition.objects if each not in values)
        for value in dict.fromkeys([*object_kinds(index), *chosen]):
            meeting = [rows_that_meet(index, each, (value,))[rows[each][1]] for each in rows]
            found = marked(units[np.concatenate(meeting)], self._size)
            values.append(value)
            counts.append(int(found.sum()))
        yield from _most_first(values, map(field.text_of, values), counts)

    def _identified(self) -> tuple[Places, Places]:
        """The unit and the position of each identified object, if the condition has only objects."""
        index = self._index
        table = IDENTIFIED.table
        of_runs = index.places(table, "runs")
        runs = self._search_masks.runs(("annotations", self._number), with_text=False)
        left = at(runs, of_runs) & self._search_masks.with_words(table, self._number)
        if replace(self._condition, objects=()) != Condition():
            left[:] = False
        return index.places("runs", self._unit)[of_runs[left]], index.places(table, table)[left]

    def _rows(self, field: Field) -> tuple[Places, Places]:
        """The unit and the choice (as a position) of each row that matches without the choices of a field."""
        index, subject, search_masks = self._index, field.subject, self._search_masks
        if subject == "datasets":  # one row for each unit
            left = (
                search_masks.datasets(field.name)
                if self._unit == subject
                else search_masks.runs(field.name)
            )
            return np.flatnonzero(left).astype(np.int32), index.places(self._unit, subject)[left]
        part = subject, self._number if field.is_of_annotation else 0
        left = search_masks.rows(
            part, field.name if field.kind != "content" else None
        )  # all contents have to be there
        runs = search_masks.runs(
            part, with_text=self._unit == "runs"
        )  # else only the dataset has to contain the text
        left &= at(runs, index.places(subject, "runs"))
        if field.kind == "deposition":
            of_runs, places = depositions_of_runs(index)
            left = at(left, of_runs)
        else:
            of_runs, places = (
                index.places(field.table, "runs"),
                index.places(field.table, field.table),
            )
            left = at(left, index.places(field.table, subject))
        return index.places("runs", self._unit)[of_runs[left]], places[left]

    def _counts(self, units: Places, codes: Places, n_values: int) -> Sequence[int]:
        """The number of units that have a row with each value."""
        kept = (codes >= 0) & (units >= 0)
        keys = units[kept].astype(np.int64) * n_values + codes[kept]
        n_cells = (
            self._size * n_values
        )  # marking is several times faster than sorting, and takes a byte a cell
        keys = np.flatnonzero(marked(keys, n_cells)) if n_cells <= _MOST_CELLS else np.unique(keys)
        counts: list[int] = (
            np.bincount(keys % n_values, minlength=n_values).tolist() if n_values else []
        )
        return counts


def _most_first(
    values: Iterable[Any], texts: Iterable[str], counts: Iterable[int]
) -> list[tuple[Any, str, int]]:
    counted = zip(values, texts, counts, strict=True)
    return sorted(counted, key=lambda each: (-each[2], each[1].casefold()))


def _choices(index: Columns, field: Field) -> Sequence[Any]:
    """The choices of a field that doesn't offer the values of its column."""
    if field.kind == "days":
        years = sorted({int(day[:4]) for day in release_days(index) if day}, reverse=True)
        return [(date(year, 1, 1), date(year, 12, 31)) for year in years]
    return [choice for choice in field.choices if choice not in index.unknown]
