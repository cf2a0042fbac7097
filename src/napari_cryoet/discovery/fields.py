"""The fields of a search and their columns, which define its rows, facets, chips and scripts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice, product
from typing import Any, Final, Literal, TypeVar

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from napari_cryoet.appearance.objects import is_object, is_object_id, nearest_object
from napari_cryoet.discovery.columns import Columns, Places, RowMask, Words, all_of, at, marked
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.words import Texts, is_named, is_quoted

T = TypeVar("T", bound=msgspec.Struct)
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
    "annotations": "annotations",
    "tomograms": "tomograms",
    "tiltseries": "tilt series",
    "alignments": "alignments",
    "frames": "raw frames",
    "ctf": "CTF estimates",
}
NO_BOUNDS: Final = (None, None)

_SLACK: Final = 0.005
_MOST_CORRECTIONS: Final = 5


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
            case "object" if not (is_quoted(value) or is_object_id(value)):
                return f"any {value}"  # a kind, or words of the name
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
OBJECT_FIELDS: Final = (FIELDS[0], IDENTIFIED)


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
            corrections = object_corrections(index, wanted)
            meant = [each for name in wanted for each in corrections.get(name, (name,))]
            ids = index.words(table, "objectId")
            keys = {each.casefold() for each in meant}
            by_id = ids.rows_at([each.casefold() in keys for each in ids.words])
            return by_id | _rows_named(index.words(table, column), meant, is_object)
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


def spelled(index: Columns, criteria: T) -> T:
    """A `Search` or `Condition` with the words of the portal's lists spelt as in the index.

    Case, hyphens and underscores don't matter. CryoETError lists the words that there are if none
    is meant.
    """
    changes = {
        field.name: tuple(_spelled(index, field, word) for word in wanted)
        for field, wanted in fields_set(criteria)
        if field.kind == "word"
    }
    return replace(criteria, **changes)


def _spelled(index: Columns, field: Field, word: str) -> str:
    known = index.words(field.table, field.column).words
    by_key = {_key(each): each for each in known}
    if known and _key(word) not in by_key:
        message = f"Nothing here has the {field.title.lower()} {word!r}."
        raise CryoETError(message, hint=f"Use one of {', '.join(sorted(known))}.")
    return by_key.get(_key(word), word)


def _key(word: str) -> str:
    return re.sub(r"[\s_-]+", "", word).casefold()


def object_corrections(index: Columns, wanted: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The similar names to use for wanted objects that the index lacks, as for words of a text."""
    found: dict[str, tuple[str, ...]] = index.recent(_object_corrections, tuple(wanted))
    return found


def _object_corrections(index: Columns, wanted: Sequence[str]) -> dict[str, tuple[str, ...]]:
    texts = index.made("texts of objects", lambda: Texts(object_names(index)))
    found = {}
    for name in wanted:
        if is_quoted(name) or has_object(index, name):
            continue
        words = [(word,) if any(texts.having(word)) else texts.like(word) for word in name.split()]
        similar = [" ".join(each) for each in islice(product(*words), _MOST_CORRECTIONS)]
        if similar:
            found[name] = tuple(similar)
    return found


def has_object(index: Columns, wanted: str) -> bool:
    """Whether an object with this name or id was annotated or identified."""
    ids = [each for field in OBJECT_FIELDS for each in index.words(field.table, "objectId").words]
    return wanted.casefold() in map(str.casefold, ids) or any(
        is_object(name, wanted) for name in object_names(index)
    )


def object_names(index: Columns) -> tuple[str, ...]:
    """The names of all annotated and identified objects, each once."""
    columns = (index.words(field.table, field.column) for field in OBJECT_FIELDS)
    return tuple(dict.fromkeys(name for column in columns for name in column.words))


def object_kinds(index: Columns) -> tuple[str, ...]:
    """The names of known objects that several names of the index mean, such as ``ribosome``."""
    return index.made("kinds of objects", lambda: tuple(_object_kinds(index)))


def _object_kinds(index: Columns) -> Iterator[str]:
    counts: Counter[str] = Counter()
    for known in filter(None, map(nearest_object, object_names(index))):
        counts.update({each.name for each in known.lineage()})
    return (name for name, count in counts.items() if count > 1)


def fields_set(criteria: Any, subject: str = "") -> Iterator[tuple[Field, Any]]:
    """The fields set in a `Search` or `Condition` with their values, of one subject or of all."""
    for field in FIELDS:
        wanted = getattr(criteria, field.name, None)
        if subject in {"", field.subject} and wanted not in ((), NO_BOUNDS, None):
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
