"""The two sides of a comparison: what they are called, whether they lie in one frame, what the portal says of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Protocol

from napari_cryoet.exceptions import ComparisonError
from napari_cryoet.provenance import ORIGIN_KEY
from napari_cryoet.volumes import name_of
from napari_cryoet.wording import joined, plain

#: The key of a set's ``about`` under which whoever shows it may keep what it is called there.
SHOWN_NAME = "shown_name"


class Side(Protocol):
    """What picks and masks have in common."""

    @property
    def spacing_angstrom(self) -> float | None:
        """The width of a voxel."""

    @property
    def alignment_id(self) -> int | None:
        """Of the alignment that it was made on."""

    @property
    def about(self) -> Mapping[str, Any]:
        """Where it comes from."""


def name_of_side(side: Side) -> str:
    """What a set is called: as it is shown, else by its annotation, else by its file; empty where nothing is known."""
    about = side.about
    if about.get(SHOWN_NAME):
        return plain(str(about[SHOWN_NAME]))
    if about.get("annotation_id"):
        run, name = plain(about.get("run_name")), plain(about.get("object_name"))
        return joined(run, name, f"AN-{about['annotation_id']}")
    return plain(name_of(about["source_url"])) if about.get("source_url") else ""


def require_one_frame(a: Side, b: Side, *, insist: bool) -> tuple[str, ...]:
    """What is to be told of the frames that two sets lie in.

    Raises
    ------
    ComparisonError
        If a voxel spacing is unknown; also if they were made on different alignments or runs, unless somebody insists.
    """
    spacing_a, spacing_b = spacing_of(a, "A"), spacing_of(b, "B")
    notes = []
    if not insist:
        _refuse_different("run", "RN", a.about.get("run_id"), b.about.get("run_id"))
        _refuse_different("alignment", "AL", a.alignment_id, b.alignment_id)
    else:
        run_a, run_b = a.about.get("run_id"), b.about.get("run_id")
        if _are_different(run_a, run_b):
            notes.append(f"A is of RN-{run_a} and B of RN-{run_b}: compared because you insisted.")
        if _are_different(a.alignment_id, b.alignment_id):
            notes.append(f"A is on AL-{a.alignment_id} and B on AL-{b.alignment_id}: compared because you insisted.")
    if (a.alignment_id is None) != (b.alignment_id is None):
        letter, known = ("A", b.alignment_id) if a.alignment_id is None else ("B", a.alignment_id)
        notes.append(f"Nothing says on which alignment {letter} was made; it was taken to be AL-{known}.")
    if spacing_a != spacing_b:
        notes.append(f"Voxels of A are {spacing_a:g} Å wide and those of B {spacing_b:g} Å.")
    origin_a, origin_b = _origin_text(a), _origin_text(b)
    if origin_a != origin_b:
        notes.append(
            f"A's file places its first voxel at x, y, z = {origin_a} and B's at {origin_b} Å; both were compared "
            "from their first voxels."
        )
    return tuple(notes)


def spacing_of(side: Side, letter: str) -> float:
    """The width of a side's voxels in ångström.

    Raises
    ------
    ComparisonError
        If it is unknown.
    """
    if side.spacing_angstrom is None:
        raise ComparisonError(
            f"Nothing says how large the voxels of {letter} are, so it has no place in ångström.",
            hint="Give its voxel spacing.",
        )
    return side.spacing_angstrom


def _origin_text(side: Side) -> str:
    """Where the side's own file puts its first voxel, x, y, z in ångström."""
    origin = side.about.get(ORIGIN_KEY)
    is_known = isinstance(origin, list | tuple) and all(isinstance(value, int | float) for value in origin)
    return ", ".join(f"{value:.6g}" for value in (reversed(origin) if is_known and origin else (0, 0, 0)))


def plain_side(side: Side, count: int | None = None) -> dict[str, Any]:
    """A side as JSON holds it, with all that is known of where it comes from."""
    return {
        "name": name_of_side(side),
        "count": count,
        "spacing_angstrom": side.spacing_angstrom,
        "alignment_id": side.alignment_id,
        "edits": list(edits_of(side)),
        "about": dict(side.about),
    }


def edits_of(side: Side) -> tuple[str, ...]:
    """What was done to a side since it was published, in words; of masks, their file says it."""
    edits = getattr(side, "edits", ()) or side.about.get("edits")
    return tuple(map(str, edits)) if isinstance(edits, list | tuple) else ()


def portal_numbers(side: Side) -> dict[str, Any] | None:
    """What the portal says of an annotation: precision and recall in percent, and against what; None if nothing.

    What is kept of it in a file that somebody edited may be anything, and counts only if it is of its kind.
    """
    about = side.about
    precision, recall = (_number(about.get(f"confidence_{name}_percent")) for name in ("precision", "recall"))
    records = about.get("records")
    annotation = records.get("annotation") if isinstance(records, Mapping) else None
    used = annotation.get("ground_truth_used") if isinstance(annotation, Mapping) else None
    used = used if isinstance(used, str) else None
    if precision is None and recall is None and not used:
        return None
    return {
        "annotation_id": about.get("annotation_id"),
        "confidence_precision_percent": precision,
        "confidence_recall_percent": recall,
        "ground_truth_used": used,
    }


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and abs(value) <= sys.float_info.max else None


def _refuse_different(what: str, prefix: str, id_a: object, id_b: object) -> None:
    if _are_different(id_a, id_b):
        raise ComparisonError(
            f"A belongs to the {what} {prefix}-{id_a} and B to {prefix}-{id_b}, so their positions can't be compared.",
            hint="Insist if you know that they fit all the same.",
        )


def _are_different(id_a: object, id_b: object) -> bool:
    return isinstance(id_a, int) and isinstance(id_b, int) and id_a != id_b
