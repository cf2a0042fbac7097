"""The fields of a search and their columns, which define its rows, facets, chips and scripts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.appearance.objects import is_object
from napari_cryoet.discovery.columns import Columns, Places, RowMask, Words, all_of, at, marked
from napari_cryoet.words import is_named

Range = tuple[float | None, float | None]
"""Lowest and highest number, both included; None for no bound."""
Days = tuple[date | None, date | None]
"""First and last day, both included; None for no bound."""
FieldKind = Literal[
    "word", "name", "object", "number", "range", "least", "truth", "days", "deposition", "content"
]

Content = Literal["annotations", "tomograms", "tiltseries", "alignments", "frames", "ctf"]

#: Titles of the values of `Search.has`: tables with rows for the run, or keys of `index.RUNS_WITH`.
CONTENTS: Final[dict[Content, str]] = {
    **{
        "annotations": "annotations",
        "tomograms": "tomograms",
        "tiltseries": "tilt series",
        "alignments": "alignments",
    },
    **{"frames": "raw frames", "ctf": "CTF estimates"},
}
NO_BOUNDS: Final = (None, None)

_SLACK: Final = 0.005


@dataclass(frozen=True, slots=True)
class Field:
    """A field of `Search`, or of `Condition` if its subject is the annotations.

    One row of the subject has to meet all of its fields. Values are exact values of the column
    (``word``), or words of a name, or the whole name in double quotes (``name``, ``object``).
    """

    name: str
    title: str
    kind: FieldKind
    subject: str  # a table
    table: str
    column: str
    choices: tuple[Any, ...] = ()  # values to offer, if not those of the column
    chip: str = "{}"
    unit: str = ""

    @property
    def is_of_annotation(self) -> bool:
        """Whether it is a field of `Condition`."""
        return self.subject == "annotations"

    @property
    def is_single(self) -> bool:
        """Whether it has one value, not alternatives."""
        return self.kind in {"range", "least", "truth", "days"}

    def text_of(self, value: Any) -> str:
        """The display text of a value."""
        match self.kind:
            case "content":
                return CONTENTS[value]
            case "range" | "days":
                return _range_text(value, self.unit)
            case "least":
                return _range_text((value, None), self.unit)
            case "truth":
                return "yes" if value else "no"
        return str(value).strip('"').replace("_", " ")

    def chip_of(self, value: Any) -> str:
        """The display text of a value without the field's title beside it."""
        if self.kind == "truth":
            return "ground truth" if value else "not ground truth"
        return self.chip.format(self.text_of(value))

    def values_of(self, wanted: Any) -> tuple[Any, ...]:
        """The values of the field as a tuple, also of a field with one value."""
        return (wanted,) if self.is_single else tuple(wanted)


def _field(
    subject: str, name: str, title: str, kind: FieldKind, column: str = "", *more: Any
) -> Field:
    """Make a field; ``table.column`` names a column of another table than the subject's."""
    table, dot, of_table = column.partition(".")
    return Field(
        name, title, kind, subject, table if dot else subject, of_table if dot else column, *more
    )


_SPACINGS: Final = ((None, 5.0), (None, 8.0), (None, 10.0), (None, 14.0), (14.0, None))
_TILTS: Final = ((80.0, None), (100.0, None), (120.0, None))
_QUALITIES: Final = (5, 4, 3, 2, 1)

#: All fields in the order in which facets are listed.
FIELDS: Final = (
    _field("annotations", "objects", "Object", "object", "objectName"),
    _field("annotations", "shapes", "Shape", "word", "annotationShapes.shapeType"),
    _field(
        "annotations",
        "is_ground_truth",
        "Ground truth",
        "truth",
        "groundTruthStatus",
        (True, False),
    ),
    _field("annotations", "methods", "Method", "word", "methodType"),
    _field(
        "annotations", "min_count", "Picks", "least", "objectCount", (10, 100, 1000), "{}", " picks"
    ),
    _field("datasets", "organisms", "Organism", "name", "organismName"),
    _field("datasets", "sample_types", "Sample", "word", "sampleType"),
    _field("tomograms", "processing", "Processing", "word", "processing"),
    _field(
        "tomograms",
        "spacing_angstrom",
        "Voxel spacing",
        "range",
        "voxelSpacing",
        _SPACINGS,
        "{}",
        " Å",
    ),
    _field("tomograms", "processing_software", "Processing software", "name", "processingSoftware"),
    _field("tomograms", "reconstruction", "Reconstruction", "word", "reconstructionMethod"),
    _field("runs", "has", "Has", "content", "", tuple(CONTENTS), "has {}"),
    _field(
        "tiltseries",
        "tilt_quality",
        "Tilt quality",
        "number",
        "tiltSeriesQuality",
        _QUALITIES,
        "tilt quality {}",
    ),
    _field(
        "tiltseries",
        "tilt_range_degrees",
        "Tilt range",
        "range",
        "tiltRange",
        _TILTS,
        "tilts {}",
        "°",
    ),
    _field("annotations", "authors", "Annotation author", "name", "annotationAuthors.name"),
    _field("annotations", "software", "Annotation software", "name", "annotationSoftware"),
    _field("runs", "depositions", "Deposition", "deposition", "", (), "CZCDP-{}"),
    _field("datasets", "released", "Released", "days", "releaseDate", (), "released {}"),
)

#: The objects that were identified in runs, which `Condition.objects` alone also finds.
IDENTIFIED: Final = _field("identifiedObjects", "objects", "Identified", "object", "objectName")


def rows_that_meet(index: Columns, field: Field, wanted: Any) -> RowMask:
    """The rows of a field's table that have a wanted value."""
    table, column = field.table, field.column
    match field.kind:
        case "word":
            known = index.words(table, column)
            return known.rows_at([word in wanted for word in known.words])
        case "name":
            return _rows_named(index.words(table, column), wanted, is_named)
        case "object":
            ids, keys = index.words(table, "objectId"), {each.casefold() for each in wanted}
            by_id = ids.rows_at([each.casefold() in keys for each in ids.words])
            return by_id | _rows_named(index.words(table, column), wanted, is_object)
        case "number":
            return np.isin(index.numbers(table, column), wanted)
        case "range":
            low, high = widened(wanted)
            numbers = index.numbers(table, column)
            return _within(
                numbers, -np.inf if low is None else low, np.inf if high is None else high
            )
        case "days":
            first, last = wanted
            return _within(release_days(index), str(first or ""), str(last or "9999"))
        case "least":
            return _within(index.numbers(table, column), wanted, np.inf)
        case "content":
            return all_of((index.runs_with(what) for what in wanted), index.count("runs"))
        case "deposition":
            runs, depositions = depositions_of_runs(index)
            is_wanted = at(np.isin(index.ids("depositions"), wanted), depositions)
            return marked(runs[is_wanted], index.count("runs"))
    is_true: RowMask = index.numbers(table, column) == 1  # a missing value isn't true
    return is_true if wanted else ~is_true


def fields_set(criteria: Any, subject: str = "") -> Iterator[tuple[Field, Any]]:
    """The fields set in a `Search` or `Condition` with their values, of one subject or of all."""
    for field in FIELDS:
        if subject in {"", field.subject} and (
            wanted := getattr(criteria, field.name, None)
        ) not in (
            (),
            NO_BOUNDS,
            None,
        ):
            yield field, wanted


def masks_of(index: Columns, criteria: Any, subject: str) -> dict[str, RowMask]:
    """The rows of a subject that meet a `Search` or `Condition`, for each of its fields that is set."""
    return {
        field.name: rows_above(index, rows_that_meet(index, field, wanted), field.table, subject)
        for field, wanted in fields_set(criteria, subject)
    }


def rows_above(index: Columns, rows: RowMask, table: str, above: str) -> RowMask:
    """The rows of ``above`` that own these rows of a table."""
    return rows if table == above else marked(index.places(table, above)[rows], index.count(above))


def widened(bounds: Range) -> Range:
    """A range widened by half a percent: 10 Å in the literature is often 10.012 Å in files."""
    low, high = bounds
    return None if low is None else low * (1 - _SLACK), None if high is None else high * (
        1 + _SLACK
    )


def release_days(index: Columns) -> NDArray[np.str_]:
    """The release day of each dataset, such as ``2024-05-31``."""
    return index.made(
        "release days",
        lambda: np.array([x[:10] for x in index.texts("datasets", "releaseDate")], "U10"),
    )


def depositions_of_runs(index: Columns) -> tuple[Places, Places]:
    """Pairs of runs and depositions: of the run's dataset, and of each of its tomograms and annotations."""

    def places(above: str) -> Places:
        return np.concatenate(
            [index.places(table, above) for table in ("runs", "tomograms", "annotations")]
        )

    return index.made("depositions of runs", lambda: (places("runs"), places("depositions")))


def deposition_names(index: Columns) -> list[str]:
    """The ids and titles of depositions, such as ``CZCDP-10301 Lamellae``."""
    titles = zip(index.ids("depositions"), index.texts("depositions", "title"), strict=True)
    return [f"CZCDP-{each} {title}" for each, title in titles]


def _within(values: NDArray[Any], low: Any, high: Any) -> RowMask:
    mask: RowMask = (values >= low) & (values <= high)
    return mask


def _rows_named(
    known: Words, wanted: Sequence[str], is_meant: Callable[[str, str], bool]
) -> RowMask:
    return known.rows_at([any(is_meant(name, each) for each in wanted) for name in known.words])


def _range_text(bounds: tuple[Any, Any], unit: str = "") -> str:
    """The display text of a range.

    >>> _range_text((None, 10.0), " Å"), _range_text((100, None), "°"), _range_text((8.0, 12.5), " Å")
    ('≤ 10 Å', '≥ 100°', '8–12.5 Å')
    """
    low, high = (
        f"{end:,g}" if isinstance(end, int | float) else end and str(end) for end in bounds
    )
    if low and low.endswith("-01-01") and high == f"{low[:4]}-12-31":
        return low[:4]
    if low is None or high is None:
        return f"≤ {high}{unit}" if low is None else f"≥ {low}{unit}"
    return f"{low}{unit}" if low == high else f"{low}–{high}{unit}"


def typed_range(text: str, *, of_days: bool = False) -> tuple[Any, Any]:
    """Parse ``8..14``, ``..10`` or one number, or for days also years; ValueError for anything else.

    >>> typed_range("..10"), typed_range("2024", of_days=True)
    ((None, 10.0), (datetime.date(2024, 1, 1), datetime.date(2024, 12, 31)))
    """

    def end(part: str, day_of_year: str) -> float | date | None:
        if not part:
            return None
        is_year = re.fullmatch("[0-9]{4}", part)
        return (
            date.fromisoformat(f"{part}-{day_of_year}" if is_year else part)
            if of_days
            else float(part)
        )

    first, dots, last = map(str.strip, text.partition(".."))
    return end(first, "01-01"), end(last if dots else first, "12-31")
