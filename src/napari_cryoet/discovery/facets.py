"""Facets: by what a search can be narrowed, and how many datasets or runs each choice would leave."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any, Final, Literal

import numpy as np
from msgspec.structs import replace

from napari_cryoet.discovery.index import Index, Mask, Places, all_of, at, marked
from napari_cryoet.discovery.search import (
    CONTENTS,
    Condition,
    Narrowed,
    Range,
    Search,
    annotation_masks,
    bare,
    range_text,
    release_days,
    tilt_masks,
    tomogram_masks,
    within,
)

Unit = Literal["datasets", "runs"]

_SPACINGS: Final = (5.0, 8.0, 10.0, 14.0)  # Å, at most
_TILT_RANGES: Final = (80.0, 100.0, 120.0)  # degrees, at least
_COUNTS: Final = (10, 100, 1000)  # points, at least
_MOST_CELLS: Final = 1 << 25  # of a table of units and values: bytes that it takes for a moment


@dataclass(frozen=True, slots=True)
class FacetValue:
    """One choice of a facet: ``value`` goes into the search, see `toggled`; ``text`` is shown."""

    value: Any
    text: str
    count: int  # datasets or runs that are left with this choice, whatever else is chosen in the facet
    is_chosen: bool = False


@dataclass(frozen=True, slots=True)
class Facet:
    """A field of a search with its values: most first, or ranges in their order.

    Values that would leave nothing are left out. Several values may be chosen at once, of which one has to hold. Of a
    range, of ground truth and of the least count there is one; of ``has`` all have to hold.
    """

    name: str  # the field of `Search`, or of `Condition`
    title: str
    values: tuple[FacetValue, ...]
    is_of_condition: bool = False
    is_single: bool = False


def count_facets(index: Index, search: Search, unit: Unit = "datasets", *, condition: int = 0) -> tuple[Facet, ...]:
    """All facets of a search, counted in some milliseconds.

    Parameters
    ----------
    unit
        What is counted. A count says how many datasets, or runs, `find` would find with just this choice in the facet.
    condition
        Which condition on annotations the facets about annotations are for. ``len(search.annotations)`` is for one
        more, to be met in the same run as the others.
    """
    counting = _Counting(index, search, unit, condition)
    facets = (*counting.of_datasets(), *counting.of_annotations(), *counting.of_tomograms(), *counting.of_the_rest())
    order = {name: place for place, name in enumerate(TITLES)}
    return tuple(sorted(facets, key=lambda facet: order[facet.name]))


def toggled(search: Search, facet: Facet, value: Any, *, condition: int = 0) -> Search:
    """The search after a click on a value of a facet: chosen if it wasn't, and else no longer."""
    conditions = search.annotations
    holder = search if not facet.is_of_condition else (*conditions, Condition())[min(condition, len(conditions))]
    chosen = getattr(holder, facet.name)
    if facet.is_single:
        empty = getattr(type(holder)(), facet.name)
        changed = empty if chosen == value else value
    else:
        changed = tuple(each for each in chosen if each != value) if value in chosen else (*chosen, value)
    changes = {facet.name: changed}
    if isinstance(holder, Condition):
        return search.with_condition(condition, replace(holder, **changes))
    return replace(holder, **changes)


#: All facets in the order in which people narrow.
TITLES: Final = {
    "objects": "Object",
    "shapes": "Shape",
    "is_ground_truth": "Ground truth",
    "methods": "Method",
    "min_count": "Picks",
    "organisms": "Organism",
    "sample_types": "Sample",
    "processing": "Processing",
    "spacing_angstrom": "Voxel spacing",
    "processing_software": "Processing software",
    "reconstruction": "Reconstruction",
    "has": "Has",
    "tilt_quality": "Tilt series quality",
    "tilt_range_degrees": "Tilt range",
    "authors": "Annotation author",
    "software": "Annotation software",
    "depositions": "Deposition",
    "released": "Released",
}
_SINGLE: Final = frozenset({"is_ground_truth", "min_count", "spacing_angstrom", "tilt_range_degrees", "released"})


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

    def of_datasets(self) -> Iterable[Facet]:
        index = self._index
        for name, column in (("organisms", "organismName"), ("sample_types", "sampleType")):
            known = index.words("datasets", column)
            counts = self._counts(self._units(name), self._of_units(known.codes), len(known.words))
            values = [f'"{word}"' if name == "organisms" else word for word in known.words]
            yield self._facet(name, values, counts)
        years = np.array([int(day[:4] or 0) for day in release_days(index)], np.int32)
        known_years = sorted(set(years.tolist()) - {0}, reverse=True)
        left = self._units("released")
        ranges = [(date(year, 1, 1), date(year, 12, 31)) for year in known_years]
        counts = [int((left & (self._of_units(years) == year)).sum()) for year in known_years]
        yield self._facet("released", ranges, counts, [str(year) for year in known_years])

    def of_annotations(self) -> Iterable[Facet]:
        index = self._index
        masks = annotation_masks(index, self._condition)
        left = at(self._runs(f"annotations {self._number}"), index.places("annotations", "runs"))
        rows = {
            name: left & all_of((mask for other, mask in masks.items() if other != name), index.count("annotations"))
            for name in Condition.__struct_fields__
        }
        units = self._units_of("annotations")
        for name, column in (("objects", "objectName"), ("methods", "methodType"), ("software", "annotationSoftware")):
            known = index.words("annotations", column)
            counts = self._counts(rows[name], known.codes, len(known.words), units)
            values = [word if name == "methods" else f'"{word}"' for word in known.words]
            yield self._facet(name, values, counts)
        for name, table, column in (
            ("shapes", "annotationShapes", "shapeType"),
            ("authors", "annotationAuthors", "name"),
        ):
            known, owners = index.words(table, column), index.places(table, "annotations")
            counts = self._counts(at(rows[name], owners), known.codes, len(known.words), self._units_of(table))
            yield self._facet(name, [f'"{word}"' if name == "authors" else word for word in known.words], counts)
        truth = index.numbers("annotations", "groundTruthStatus") == 1
        counts = [self._count(rows["is_ground_truth"] & (truth == value), units) for value in (True, False)]
        yield self._facet("is_ground_truth", (True, False), counts, ("yes", "no"))
        sizes = index.numbers("annotations", "objectCount")
        counts = [self._count(rows["min_count"] & (sizes >= least), units) for least in _COUNTS]
        yield self._facet("min_count", _COUNTS, counts, [f"≥ {least:,}" for least in _COUNTS])

    def of_tomograms(self) -> Iterable[Facet]:
        index, masks = self._index, tomogram_masks(self._index, self._search)
        left = at(self._runs("tomograms"), index.places("tomograms", "runs"))
        units, size = self._units_of("tomograms"), index.count("tomograms")
        for name, column in (
            ("processing", "processing"),
            ("processing_software", "processingSoftware"),
            ("reconstruction", "reconstructionMethod"),
        ):
            known = index.words("tomograms", column)
            rows = left & all_of((mask for other, mask in masks.items() if other != name), size)
            values = [f'"{word}"' if name == "processing_software" else word for word in known.words]
            yield self._facet(name, values, self._counts(rows, known.codes, len(known.words), units))
        rows = left & all_of((mask for other, mask in masks.items() if other != "spacing_angstrom"), size)
        ranges: list[Range] = [*((None, most) for most in _SPACINGS), (_SPACINGS[-1], None)]
        spacings = index.numbers("tomograms", "voxelSpacing")
        yield self._ranges("spacing_angstrom", ranges, lambda bounds: rows & within(spacings, bounds), units, " Å")

    def of_the_rest(self) -> Iterable[Facet]:
        index, masks = self._index, tilt_masks(self._index, self._search)
        left = at(self._runs("tiltseries"), index.places("tiltseries", "runs"))
        units, ranges = self._units_of("tiltseries"), index.numbers("tiltseries", "tiltRange")
        rows = left & masks.get("tilt_quality", np.True_)
        least: list[Range] = [(degrees, None) for degrees in _TILT_RANGES]
        yield self._ranges("tilt_range_degrees", least, lambda bounds: rows & within(ranges, bounds), units, "°")
        qualities, others = index.numbers("tiltseries", "tiltSeriesQuality"), masks.get("tilt_range_degrees", np.True_)
        counts = [self._count(left & others & (qualities == quality), units) for quality in range(5, 0, -1)]
        yield self._facet("tilt_quality", range(5, 0, -1), counts)
        counts = [
            self._count(self._runs(f"has {what}") & index.runs_with(what), self._unit_of_run) for what in CONTENTS
        ]
        yield self._facet("has", tuple(CONTENTS), counts, tuple(CONTENTS.values()))
        yield self._depositions()

    def _depositions(self) -> Facet:
        index, left = self._index, self._runs("depositions")
        pairs = [(left, index.places("datasets", "depositions")[index.places("runs", "datasets")], self._unit_of_run)]
        for table in ("tomograms", "annotations"):
            rows = at(left, index.places(table, "runs"))
            pairs.append((rows, index.places(table, "depositions"), self._units_of(table)))
        rows, places, units = (np.concatenate(each) for each in zip(*pairs, strict=True))
        ids = index.ids("depositions").tolist()
        names = [f"CZCDP-{each} {title}" for each, title in zip(ids, index.texts("depositions", "title"), strict=True)]
        return self._facet("depositions", ids, self._counts(rows, places, len(ids), units), names)

    def _ranges(self, name: str, ranges: Sequence[Range], rows_in: Any, units: Places, unit: str) -> Facet:
        counts = [self._count(rows_in(bounds), units) for bounds in ranges]
        return self._facet(name, ranges, counts, [range_text(bounds, unit) for bounds in ranges])

    def _facet(self, name: str, values: Sequence[Any], counts: Sequence[int], texts: Sequence[str] = ()) -> Facet:
        is_of_condition = name in Condition.__struct_fields__
        chosen = getattr(self._condition if is_of_condition else self._search, name)
        is_chosen = partial(_is_chosen, chosen, name in _SINGLE)
        shown = texts or [bare(str(value)).replace("_", " ") for value in values]
        found = [
            FacetValue(value, text, int(count), is_chosen(value))
            for value, text, count in zip(values, shown, counts, strict=True)
            if count or is_chosen(value)
        ]
        if not texts or name == "depositions":
            found.sort(key=lambda each: (-each.count, each.text.casefold()))
        return Facet(name, TITLES[name], tuple(found), is_of_condition, name in _SINGLE)

    def _runs(self, without: str) -> Mask:
        """The runs that are left: those with the text, where runs are counted; else those of datasets with the text."""
        return self._narrowed.runs(without, with_text=self._is_of_runs)

    def _units(self, without: str) -> Mask:
        return self._narrowed.runs(without) if self._is_of_runs else self._narrowed.datasets(without)

    def _of_units(self, of_datasets: Places) -> Places:
        """What each dataset has, for each unit."""
        return of_datasets[self._index.places("runs", "datasets")] if self._is_of_runs else of_datasets

    def _units_of(self, table: str) -> Places:
        """The unit of each row."""
        runs = self._index.places(table, "runs")
        units: Places = np.append(self._unit_of_run, np.int32(-1))[runs]
        return units

    def _count(self, rows: Mask, units: Places) -> int:
        """How many units have one of some rows."""
        return int(marked(units[rows], self._size).sum())

    def _counts(self, rows: Mask, codes: Places, n_values: int, units: Places | None = None) -> Sequence[int]:
        """For each value, how many units have a row with it."""
        if units is None:
            return list(np.bincount(codes[rows & (codes >= 0)], minlength=n_values))
        kept = rows & (codes >= 0) & (units >= 0)
        keys = units[kept].astype(np.int64) * n_values + codes[kept]
        if self._size * n_values <= _MOST_CELLS:  # several times as fast as to sort
            keys = np.flatnonzero(marked(keys, self._size * n_values))
        else:
            keys = np.unique(keys)
        counts: list[int] = np.bincount(keys % n_values, minlength=n_values).tolist() if n_values else []
        return counts


def _is_chosen(chosen: Any, is_single: bool, value: Any) -> bool:
    return bool(chosen == value if is_single else value in chosen)
