"""Results of a comparison: named figures, as text and JSON."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet._version import __version__
from napari_cryoet.locations import Location
from napari_cryoet.picks import Picks
from napari_cryoet.provenance import plain_data
from napari_cryoet.volumes import Mask
from napari_cryoet.wording import joined, nm_text, plain

if TYPE_CHECKING:
    from pandas import DataFrame

#: Labels of figures that aren't just their key with spaces.
_LABELS: Final = {
    "true_positives": "matched (true positives)",
    "false_positives": "only in A (false positives)",
    "false_negatives": "only in B (false negatives)",
    "f_beta": "F-beta",
    "dice": "Dice",
    "iou": "IoU",
    "iou_threshold": "least IoU",
}
#: Reasons for undefined figures.
_REASONS: Final = {
    "precision": "A is empty",
    "recall": "B is empty",
    "f_beta": "both are empty",
    "distance": "no picks match",
    "rotation_error": "no two matched picks both have an orientation",
    "tilt_error": "no two matched picks both have an orientation",
    "share_inside": "there are no picks",
    "surface_distance": "the mask has no surface, or there are no picks",
    "dice": "both masks are empty",
    "iou": "both masks are empty",
    "instances": "a mask whose only label is 1 doesn't distinguish objects, unless its record says so",
}
#: Fields of comparisons that aren't figures.
_NOT_FIGURES: Final = frozenset({"a", "b", "warnings"})
#: Keys in ``about`` for the portal's own assessment of an annotation.
_OF_PORTAL: Final = (
    "confidence_precision_percent",
    "confidence_recall_percent",
    "ground_truth_used",
)
#: Start and end in ångström; None for everything.
Span = tuple[float, float] | None
#: Start and end along z, y, x in ångström; the end is excluded.
Region = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]

_EVERYTHING: Final = (-math.inf, math.inf)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class Comparison(ABC):
    """Annotation A evaluated against the reference B."""

    kind: ClassVar[str]
    a: Picks | Mask
    b: Picks | Mask
    warnings: tuple[str, ...]  # caveats about the numbers

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.headline}>"

    @property
    @abstractmethod
    def headline(self) -> str:
        """The result in one sentence."""

    @property
    def figures(self) -> dict[str, Any]:
        """Settings and numbers by their names in JSON."""
        figures: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Scores):
                figures |= asdict(value)
            elif field.name not in _NOT_FIGURES and not isinstance(value, np.ndarray):
                figures[field.name] = value
        return figures

    @property
    def text(self) -> str:
        """The result, its subject, numbers and remarks as plain text."""
        rows = rows_of(self.figures)
        label_width = max(len(label) for label, _ in rows)
        value_width = max(len(value) for _, value in rows)
        table = [f"{label:<{label_width}}  {value:>{value_width}}" for label, value in rows]
        lines = [self.headline, subject(self), "", *table, "", *remarks_of(self)]
        return "\n".join(lines).strip() + "\n"

    @abstractmethod
    def to_dataframe(self) -> DataFrame:
        """A table of what was compared: matches, picks or objects."""

    @property
    def why_undefined(self) -> dict[str, str]:
        """The reason for each figure that is None."""
        return {key: _REASONS[key] for key, value in self.figures.items() if value is None}

    def to_dict(self) -> dict[str, Any]:
        """Convert all numbers and the provenance of both sides to JSON-compatible data."""
        report = {
            "kind": self.kind,
            "headline": self.headline,
            "reference": "b",
            "a": _plain_side(self.a),
            "b": _plain_side(self.b),
            **{
                key: value.to_dict() if hasattr(value, "to_dict") else value
                for key, value in self.figures.items()
            },
            "why_undefined": self.why_undefined,
            "warnings": self.warnings,
            "software": f"napari-cryoet {__version__}",
        }
        return dict(plain_data(report))


@dataclass(frozen=True, slots=True)
class Scores:
    """Counts, and scores from 0 to 1, of A with B as the reference.

    Scores are None if a set is empty.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    beta: float
    precision: float | None
    recall: float | None
    f_beta: float | None


def scores_of(n_matched: int, n_a: int, n_b: int, beta: float = 1.0) -> Scores:
    """Compute scores from the number of matches and the sizes of A and B.

    F-beta is van Rijsbergen's ``(1 + beta²) P R / (beta² P + R)``, computed from counts so that it
    is defined unless both are empty. With ``beta`` 1 it is the Dice coefficient.
    """
    only_a, only_b = n_a - n_matched, n_b - n_matched
    total = (1 + beta**2) * n_matched + beta**2 * only_b + only_a
    return Scores(
        true_positives=n_matched,
        false_positives=only_a,
        false_negatives=only_b,
        beta=beta,
        precision=n_matched / n_a if n_a else None,
        recall=n_matched / n_b if n_b else None,
        f_beta=(1 + beta**2) * n_matched / total if total else None,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """Statistics and a histogram of distances (``unit`` is ``"Å"``) or angles (``"°"``)."""

    unit: str
    count: int
    mean: float
    median: float
    largest: float
    edges: NDArray[np.float64]
    counts: NDArray[np.int64]

    @property
    def summary(self) -> str:
        """Median, mean and maximum as text."""
        return joined(
            *(f"{name} {self.text(getattr(self, name))}" for name in ("median", "mean", "largest"))
        )

    def text(self, value: float) -> str:
        """Format a value with its unit; lengths in nm."""
        return f"{value:.1f}°" if self.unit == "°" else nm_text(value)

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON-compatible data."""
        numbers = {
            name: getattr(self, name) for name in ("unit", "count", "mean", "median", "largest")
        }
        return numbers | {"histogram": {"edges": self.edges, "counts": self.counts}}


def spread_of(values: NDArray[np.float64], unit: str, *, top: float | None = None) -> Spread | None:
    """Compute statistics of finite values, None if there are none.

    The histogram ends at ``top``, if given.
    """
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return None
    bottom = min(0.0, float(values.min()))
    end = top or max(
        float(values.max()), bottom + 0.1
    )  # a narrower histogram would show rounding errors
    counts, edges = np.histogram(np.clip(values, bottom, end), bins=20, range=(bottom, end))
    return Spread(
        unit,
        len(values),
        float(values.mean()),
        float(np.median(values)),
        float(values.max()),
        edges,
        counts,
    )


def subject(comparison: Comparison) -> str:
    """Describe what was compared."""
    a, b = (
        f" ({name})" if (name := name_of_side(side)) else ""
        for side in (comparison.a, comparison.b)
    )
    return f"A{a} against the reference B{b}."


def rows_of(figures: Mapping[str, Any], group: str = "") -> list[tuple[str, str]]:
    """Label and formatted value of each figure."""
    rows = []
    for key, value in figures.items():
        if hasattr(value, "to_dict") and not isinstance(value, Spread):
            rows += rows_of(value.to_dict(), f"{label_of(key)}: ")
        elif not isinstance(value, list):
            rows.append((group + label_of(key), _text(key, value)))
    return rows


def label_of(key: str) -> str:
    """The label of a figure."""
    return _LABELS.get(key, key.removesuffix("_angstrom").replace("_", " "))


def remarks_of(comparison: Comparison) -> list[str]:
    """The portal's own assessment of A and B, caveats, and reasons for undefined figures."""
    lines = []
    for letter, side in (("A", comparison.a), ("B", comparison.b)):
        numbers = [getattr(side.about, name) for name in _OF_PORTAL]
        if any(numbers):
            precision, recall, used = (
                "unknown" if number is None else number for number in numbers
            )
            assessment = f"precision {precision} %, recall {recall} %, ground truth {used}"
            lines.append(plain(f"The portal's figures for {letter} as published: {assessment}."))
    undefined: dict[str, list[str]] = {}
    for key, why in comparison.why_undefined.items():
        undefined.setdefault(why, []).append(label_of(key))
    missing = [
        f"There is no {' or '.join(labels)}, because {why}." for why, labels in undefined.items()
    ]
    return [*lines, *comparison.warnings, *missing]


def share_text(share: float) -> str:
    """Format a fraction as percent without decimals."""
    return f"{100 * share:.0f} %"


def _text(key: str, value: Any) -> str:
    match value:
        case None:
            return "–"
        case int():
            return f"{value:,}"
        case float() if key.endswith("_angstrom"):
            return nm_text(value)
        case float() if key != "beta":
            return f"{100 * value:.1f} %"
        case Spread():
            return value.summary
    return f"{value:g}" if isinstance(value, float) else str(value)


def name_of_side(side: Picks | Mask) -> str:
    """The display name, else that of the annotation, else of the file; empty if unknown."""
    about = side.about
    if about.shown_name:
        return plain(about.shown_name)
    if about.annotation_id:
        return joined(
            plain(about.object_name),
            f"AN-{about.annotation_id}",
            plain(about.run_name),
        )
    return plain(Location.of(about.source_url).name) if about.source_url else ""


def _plain_side(side: Picks | Mask) -> dict[str, Any]:
    count, edits = (len(side), side.edits) if isinstance(side, Picks) else (None, ())
    known = {name: getattr(side, name) for name in ("spacing_angstrom", "alignment_id")}
    return {
        "name": name_of_side(side),
        "count": count,
        "edits": edits or side.about.edits,
        **known,
        "about": side.about.to_dict(),
    }


# regions


def region_of(spans: Sequence[Span]) -> Region:
    """A region of up to three spans along z, y, x; missing ones are unlimited.

    ValueError if one is empty.
    """
    z, y, x = (span or _EVERYTHING for _, span in zip_longest("zyx", spans))
    for start, end in (z, y, x):
        if not start < end:
            raise ValueError(f"a region must end after its start, not {start:g} to {end:g}")
    return z, y, x


def region_text(region: Region) -> str:
    """The limited axes of a region: ``z 20 nm to 80 nm``."""
    limited = zip("zyx", region, strict=True)
    spans = (
        f"{axis} {nm_text(start)} to {nm_text(end)}"
        for axis, (start, end) in limited
        if (start, end) != _EVERYTHING
    )
    return joined(*spans)


def picks_within(picks: Picks, region: Region) -> Picks:
    """The picks in a region."""
    starts, ends = np.array(region).T
    positions = picks.positions_angstrom_zyx
    is_inside = ((positions >= starts) & (positions < ends)).all(axis=1)
    if is_inside.all():
        return picks
    return picks.take(is_inside, f"kept those within {region_text(region)}")
