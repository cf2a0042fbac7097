"""The lines of a session file: first what is judged, then one for each decision.

A decision is ``[pick id, "kept" or "rejected", z, y, x, unit]``; the unit of the position is ``"a"`` (ångström) or
``"v"`` (voxels of the picks' own grid). In version 2, which is written only where it is needed, three more numbers say
where a pick was when the picks were opened, if it was moved since; 1e299 if it was added since where several others
are, or where others were when it was deleted; -1e299 if it was added since where another one is; 1e299 twice and a
number if it was deleted since where so many others were left that had been there before. In version 3, again only where
it is needed, three more each say where a pick was before that, or behind such a mark, as in other files of the same
picks. In version 4, again only where it is needed, there may be twelve of these places, not six; a last whole number
tells a pick from others at its place, of which score, instance or rotation are others; and of picks that were moved
there is a line also where they are ``"undecided"``. In version 5, again only where it is needed, there is such a
number, with 2^52 added, also for a pick that others are with which are the same. So a decision without a number is
about a pick that was alone at its place, if the first line says that ``"twins"`` are ``"marked"``; where it doesn't, an
earlier version of this program wrote it. The first line also says how wide the voxels were, in ångström, or that nobody
knew it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError
from napari_cryoet.review.decisions import Verdict
from napari_cryoet.review.places import MOST_FORMER
from napari_cryoet.review.rows import Rows, known_places
from napari_cryoet.review.spots import NOWHERE
from napari_cryoet.review.twins import ALIKE

FORMAT: Final = "napari-cryoet review"
VERSIONS: Final = (1, 2, 3, 4, 5)
MAX_DECISIONS: Final = 4_000_000  # more than there are picks in any file that is read
_MAX_LINE: Final = 2**16
_UNITS: Final = {"a": "angstrom", "v": "voxel"}
_VERDICTS: Final = {verdict.value: verdict for verdict in Verdict}
_LARGEST: Final = 1e300  # of a place: more is no number that arrays hold
_FARTHEST: Final = NOWHERE  # places beyond are kept as that, and found no more
_SHORT: Final = 6  # parts of a decision about a pick that wasn't moved
_FORMER_IN_3: Final = 6
_LENGTHS: Final = {  # by version
    version: frozenset(_SHORT + 3 * former + mark for former in range(most + 1) for mark in range(most_marks + 1))
    for version, most, most_marks in (
        (1, 0, 0),
        (2, 1, 0),
        (3, _FORMER_IN_3, 0),
        (4, MOST_FORMER, 1),
        (5, MOST_FORMER, 1),
    )
}
_MARKED: Final = (_SHORT + 1) % 3  # their number, if the last one is a mark
_MARKED_TWINS: Final = "marked"
_UNMOVED: Final = [np.nan] * (3 * MOST_FORMER)
_LINES_AT_ONCE: Final = 1000  # a millisecond, for which other threads wait


@dataclass(frozen=True, slots=True)
class Saved:
    """What a session file holds.

    Attributes
    ----------
    parts
        The decisions, those in one unit together.
    view
        How the picks were looked at.
    taken_over
        Which decisions of other files are in it, or were: the `digest` of each file, by its key.
    digest
        Tells whether the file is another one now.
    """

    parts: tuple[Rows, ...]
    view: Mapping[str, Any]
    taken_over: Mapping[str, str]
    digest: str


def lines_of(
    key: str,
    name: str,
    parts: Sequence[Rows],
    view: Mapping[str, Any],
    taken_over: Mapping[str, str] = MappingProxyType({}),
) -> Iterable[str]:
    """The text of a session file in portions of whole lines."""
    header: dict[str, Any] = {
        "format": FORMAT,
        "version": _version(parts),
        "key": key,
        "name": name,
        "saved_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "decisions": sum(map(len, parts)),
        "view": dict(view),
        "twins": _MARKED_TWINS,
        "spacing_angstrom": _common_spacing(parts),
    }
    if taken_over:
        header["taken_over"] = dict(taken_over)
    yield json.dumps(header) + "\n"
    for rows in parts:
        places = _rounded(rows.positions_zyx)
        words = [verdict.value for verdict in rows.verdicts]
        decisions = [
            [pick_id, word, *place, rows.unit[0]]
            for pick_id, word, place in zip(rows.ids.tolist(), words, places, strict=True)
        ]
        if rows.opened_zyx is not None:
            n_former = rows.opened_zyx.shape[1] // 3
            are_known = np.isfinite(rows.opened_zyx.reshape(-1, n_former, 3)).all(axis=2).repeat(3, axis=1)
            for row in np.flatnonzero(are_known.any(axis=1)).tolist():
                decisions[row] += _rounded(rows.opened_zyx[row, are_known[row]])
        if rows.marks is not None:
            for row in np.flatnonzero(rows.marks).tolist():
                decisions[row].append(int(rows.marks[row]))
        for start in range(0, len(decisions), _LINES_AT_ONCE):  # one by one takes four times as long
            together = json.dumps(decisions[start : start + _LINES_AT_ONCE])
            yield together[1:-1].replace("], [", "]\n[") + "\n"


def _common_spacing(parts: Sequence[Rows]) -> float | None:
    """How wide voxels were of all decisions in ångström; None where they were of several widths, or nobody knows."""
    spacings = {rows.spacing_angstrom for rows in parts if rows.unit == "angstrom" and len(rows)}
    return spacings.pop() if len(spacings) == 1 else None


def _version(parts: Sequence[Rows]) -> int:
    if any(rows.marks is not None and (rows.marks >= ALIKE).any() for rows in parts):
        return 5
    n_former = max((len(rows.places_zyx) - 1 for rows in parts), default=0)
    if n_former > _FORMER_IN_3 or any(rows.marks is not None or Verdict.UNDECIDED in rows.verdicts for rows in parts):
        return 4
    return min(3, n_former + 1)


def _rounded(places: NDArray[np.float64]) -> Any:
    return np.clip(np.round(places, 4), -_FARTHEST, _FARTHEST).tolist()


def parse(content: str, key: str) -> Saved:
    """What the text of a session file says.

    Raises
    ------
    FormatError
        If anything in it isn't what it should be; half a file is no file.
    """
    lines = [line.rstrip("\r") for line in content.split("\n") if line.strip()]  # editors add empty ones
    header = _json(lines[0] if lines else "", 1)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise FormatError("it is no review.")
    version = header.get("version")
    if isinstance(version, bool) or version not in VERSIONS:
        raise FormatError(f"it has the version {str(version)[:20]}, and this program knows {VERSIONS[-1]}.")
    if header.get("key") != key:
        raise FormatError("it is about something else.")
    if header.get("decisions") != len(lines) - 1 or len(lines) - 1 > MAX_DECISIONS:
        raise FormatError("it is not whole.")
    ids, words, places, units, opened, marks = _columns(lines[1:], _LENGTHS[version])
    verdicts = list(map(_VERDICTS.__getitem__, words))
    parts = []
    kinds = [(word == "undecided", unit) for word, unit in zip(words, units, strict=True)]
    for kind in sorted(set(kinds)):  # units differ where picks were given the size of their voxels between two reviews
        rows = [row for row, each in enumerate(kinds) if each == kind]
        former = None if opened is None else known_places(opened[rows])
        own = marks[rows] if marks[rows].any() else None
        decided = tuple(verdicts[row] for row in rows)
        are_marked = header.get("twins") == _MARKED_TWINS
        spacing = _spacing(header) if kind[1] == "a" else None
        parts.append(Rows(ids[rows], places[rows], decided, _UNITS[kind[1]], former, own, are_marked, spacing))
    view, taken_over = (found if isinstance(found := header.get(name), dict) else {} for name in ("view", "taken_over"))
    digest = hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()
    return Saved(tuple(parts), view, taken_over, digest)


def _spacing(header: dict[str, Any]) -> float | None:
    """How wide voxels were of all decisions in ångström; None where a file doesn't say, as of an earlier version."""
    value = header.get("spacing_angstrom")
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < _LARGEST:
        return None
    return float(value)


_Columns = tuple[
    NDArray[np.int64], Sequence[str], NDArray[np.float64], Sequence[str], NDArray[np.float64] | None, NDArray[np.int64]
]


def _columns(lines: Sequence[str], lengths: frozenset[int]) -> _Columns:
    """Ids, verdicts, places, units, former places and marks of decisions, one a line."""
    found = _all_at_once(lines, lengths)
    if found is None:  # one by one, to say which line is wrong
        found = [_decision(_json(line, number), number, lengths) for number, line in enumerate(lines, start=2)]
    marks = np.zeros(len(found), dtype=np.int64)
    for row in [row for row, each in enumerate(found) if len(each) % 3 == _MARKED]:
        marks[row] = _mark(found[row].pop(), row + 2)
    short, moved = _parted(found)
    unmoved, full = _UNMOVED, _SHORT + len(_UNMOVED)
    former = np.array([[*each[_SHORT:], *unmoved[: full - len(each)]] for each in found], float) if moved else None
    ids, words, *places, units = zip(*short, strict=True) if short else ((),) * _SHORT
    places_zyx = np.array(places, dtype=np.float64).T.reshape(-1, 3)
    return np.array(ids, dtype=np.int64), words, places_zyx, units, former, marks


def _mark(value: Any, number: int) -> int:
    if type(value) is not int or not 0 < value < 2**53:
        raise FormatError(f"its line {number} is no decision.")
    return value


def _parted(found: list[list[Any]]) -> tuple[list[list[Any]], list[list[Any]]]:
    """Decisions without former places, and those that have one; quick where none has, as most often."""
    moved = [each for each in found if len(each) > _SHORT]
    return ([each[:_SHORT] for each in found] if moved else found), moved


def _all_at_once(lines: Sequence[str], lengths: frozenset[int]) -> list[list[Any]] | None:
    """What stands in lines, in a fifth of the time; None where not all of them are decisions."""
    if max(map(len, lines), default=0) > _MAX_LINE or any(line[:1] != "[" or line[-1:] != "]" for line in lines):
        return None
    try:
        found = json.loads(f"[{','.join(lines)}]")
    except (ValueError, RecursionError):
        return None
    if len(found) != len(lines) or any(type(each) is not list or len(each) not in lengths for each in found):
        return None
    short, moved = _parted(found)
    ids, words, *places, units = zip(*short, strict=True) if short else ((),) * _SHORT
    former = [part for each in moved for part in each[_SHORT:]]
    is_right = (
        set(map(type, ids)) <= {int}
        and max(map(abs, ids), default=0) < 2**63
        and {type(part) for column in (*places, former) for part in column} <= {int, float}
        and all(abs(part) < _LARGEST for column in (*places, former) for part in column)  # NaN isn't
        and all(type(word) is str for word in (*words, *units))
        and set(words) <= set(_VERDICTS)
        and set(units) <= set(_UNITS)
    )
    return found if is_right else None


def _json(line: str, number: int) -> Any:
    if len(line) > _MAX_LINE:
        raise FormatError(f"its line {number} is too long.")
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"its line {number} is damaged.") from error


def _decision(value: Any, number: int, lengths: frozenset[int]) -> list[Any]:
    match value:
        case [int(pick_id), ("kept" | "rejected" | "undecided"), z, y, x, ("a" | "v"), *former] if (
            not isinstance(pick_id, bool)
            and abs(pick_id) < 2**63
            and len(value) in lengths
            and all(isinstance(part, int | float) and abs(part) < _LARGEST for part in (z, y, x, *former))
        ):
            return list(value)
    raise FormatError(f"its line {number} is no decision.")
