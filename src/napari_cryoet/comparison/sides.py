"""What all comparisons have in common: two sides, and figures that make up the report."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from napari_cryoet._version import __version__
from napari_cryoet.comparison.match import Scores, Spread
from napari_cryoet.picks import Picks
from napari_cryoet.provenance import plain_data
from napari_cryoet.volumes import name_of
from napari_cryoet.wording import joined, plain

if TYPE_CHECKING:
    from napari_cryoet.comparison.masks import Mask

#: Viewers and readers store here, in ``about``, the name under which they show a side.
SHOWN_NAME = "shown_name"


class Figure(NamedTuple):
    """A number: its key in JSON and its name in words, either of which may be empty. Fractions are shares."""

    key: str
    name: str
    value: float | str | Spread | None
    why_undefined: str = ""

    @property
    def text(self) -> str:
        """The number in words; a dash if it is undefined."""
        match self.value:
            case None:
                return "–"
            case Spread() as spread:
                named = {"median": spread.median, "mean": spread.mean, "largest": spread.largest}
                return joined(*(f"{name} {spread.text(number)}" for name, number in named.items()))
            case float() as share:
                return f"{100 * share:.1f} %"
        return f"{self.value:,}"


class Comparison(ABC):
    """A, which is judged, against B, the reference."""

    __slots__ = ()
    kind: ClassVar[str]
    notes: tuple[str, ...]

    @property
    def sides(self) -> tuple[Picks | Mask, Picks | Mask]:
        """A and B."""
        return self.a, self.b  # type: ignore[attr-defined] # of picks in a mask, they are called otherwise

    @property
    @abstractmethod
    def headline(self) -> str:
        """The outcome in one plain sentence."""

    @property
    @abstractmethod
    def setting(self) -> str:
        """How they were compared, in words."""

    @abstractmethod
    def figures(self) -> list[Figure]:
        """All numbers, most important first."""

    @property
    def why_undefined(self) -> dict[str, str]:
        """The reason for each number that is undefined."""
        return {figure.key: figure.why_undefined for figure in self.figures() if figure.key and figure.value is None}

    def plain(self) -> dict[str, Any]:
        """All numbers and the provenance of both sides, as JSON holds them."""
        a, b = self.sides
        report = {
            "kind": self.kind,
            "headline": self.headline,
            "reference": "b",
            "a": _plain_side(a),
            "b": _plain_side(b),
            **plain_figures(self.figures()),
            "why_undefined": self.why_undefined,
            "portal": {"a": portal_numbers(a), "b": portal_numbers(b)},
            "notes": self.notes,
            "software": f"napari-cryoet {__version__}",
        }
        return dict(json.loads(json.dumps(plain_data(report), default=str)))  # a script's `about` can be anything


def figures_of_scores(scores: Scores, noun: str = "", how: str = "true positives") -> list[Figure]:
    """Counts and scores of picks, or of another noun."""
    of, why = f" of {noun}" if noun else "", scores.why_undefined
    return [
        Figure("true_positives", f"{noun} matched ({how})".strip(), scores.true_positives),
        Figure("false_positives", f"{noun} only in A (false positives)".strip(), scores.false_positives),
        Figure("false_negatives", f"{noun} only in B (false negatives)".strip(), scores.false_negatives),
        Figure("precision", f"precision{of}", scores.precision, why.get("precision", "")),
        Figure("recall", f"recall{of}", scores.recall, why.get("recall", "")),
        Figure("beta", "", scores.beta),
        Figure("f_beta", f"F-beta{of}, beta {scores.beta:g}", scores.f_beta, why.get("f_beta", "")),
    ]


def plain_figures(figures: list[Figure]) -> dict[str, Any]:
    """Numbers by their keys, as JSON holds them."""
    return {
        figure.key: figure.value.plain() if isinstance(figure.value, Spread) else figure.value
        for figure in figures
        if figure.key
    }


def name_of_side(side: Picks | Mask) -> str:
    """The name that is shown, else of its annotation, else of its file; empty if nothing is known."""
    about = side.about
    if about.get(SHOWN_NAME):
        return plain(str(about[SHOWN_NAME]))
    if about.get("annotation_id"):
        return joined(plain(about.get("run_name")), plain(about.get("object_name")), f"AN-{about['annotation_id']}")
    return plain(name_of(about["source_url"])) if about.get("source_url") else ""


def edits_of(side: Picks | Mask) -> tuple[str, ...]:
    """What was done to a side since it was published."""
    edits = side.edits if isinstance(side, Picks) and side.edits else side.about.get("edits")
    return tuple(map(str, edits)) if isinstance(edits, list | tuple) else ()


def portal_numbers(side: Picks | Mask) -> dict[str, Any] | None:
    """The portal's own precision and recall of an annotation in percent, and its ground truth; None if it has none."""
    about = side.about
    records = about.get("records")
    annotation = records.get("annotation") if isinstance(records, Mapping) else None
    used = annotation.get("ground_truth_used") if isinstance(annotation, Mapping) else None
    found = {name: about.get(name) for name in ("confidence_precision_percent", "confidence_recall_percent")}
    numbers = {name: value if isinstance(value, int | float) else None for name, value in found.items()}
    if not used and all(value is None for value in numbers.values()):
        return None
    return {"annotation_id": about.get("annotation_id"), **numbers, "ground_truth_used": used}


def _plain_side(side: Picks | Mask) -> dict[str, Any]:
    known = {name: getattr(side, name) for name in ("spacing_angstrom", "alignment_id")}
    count = len(side) if isinstance(side, Picks) else None
    return {"name": name_of_side(side), "count": count, **known, "edits": edits_of(side), "about": dict(side.about)}
