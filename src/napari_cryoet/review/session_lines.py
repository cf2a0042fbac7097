"""The lines of a session file: first what is judged, then one for each decision.

A decision is ``[pick id, "kept" or "rejected", z, y, x, unit]``; the unit of the position is ``"a"`` (ångström) or
``"v"`` (voxels of the picks' own grid).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from napari_cryoet.exceptions import FormatError
from napari_cryoet.review.decisions import Verdict
from napari_cryoet.review.matching import Rows

FORMAT: Final = "napari-cryoet review"
VERSION: Final = 1
MAX_DECISIONS: Final = 2_000_000
_MAX_LINE: Final = 2**16


def lines_of(key: str, name: str, parts: Sequence[Rows], view: Mapping[str, Any]) -> Iterable[str]:
    """The lines of a session file, each with its line end."""
    header = {
        "format": FORMAT,
        "version": VERSION,
        "key": key,
        "name": name,
        "saved_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "decisions": sum(map(len, parts)),
        "view": dict(view),
    }
    yield json.dumps(header) + "\n"
    for rows in parts:
        places = np.round(rows.positions_zyx, 4).tolist()
        for pick_id, verdict, place in zip(rows.ids.tolist(), rows.verdicts, places, strict=True):
            yield json.dumps([pick_id, verdict.value, *place, rows.unit[0]]) + "\n"


def parse(content: str, key: str) -> tuple[tuple[Rows, ...], Mapping[str, Any]]:
    """The decisions, those in one unit together, and the view in a session file.

    Raises
    ------
    FormatError
        If anything in it isn't what it should be; half a file is no file.
    """
    lines = content.splitlines()
    header = _json(lines[0] if lines else "", 1)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise FormatError("it is no review.")
    if header.get("version") != VERSION:
        raise FormatError(f"it has the version {str(header.get('version'))[:20]}, and this program knows {VERSION}.")
    if header.get("key") != key:
        raise FormatError("it is about something else.")
    if header.get("decisions") != len(lines) - 1 or len(lines) - 1 > MAX_DECISIONS:
        raise FormatError("it is not whole.")
    found = [_decision(_json(line, number), number) for number, line in enumerate(lines[1:], start=2)]
    # several, where picks were given the size of their voxels between two reviews
    parts = tuple(_rows([each for each in found if each[3] == unit], unit) for unit in sorted({u for *_, u in found}))
    view = header.get("view")
    return parts, view if isinstance(view, dict) else {}


def _rows(found: Sequence[tuple[int, Verdict, list[float], str]], unit: str) -> Rows:
    return Rows(
        np.array([pick_id for pick_id, *_ in found], dtype=np.int64),
        np.array([place for _, _, place, _ in found], dtype=np.float64).reshape(-1, 3),
        tuple(verdict for _, verdict, _, _ in found),
        unit,
    )


def _json(line: str, number: int) -> Any:
    if len(line) > _MAX_LINE:
        raise FormatError(f"its line {number} is too long.")
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"its line {number} is damaged.") from error


def _decision(value: Any, number: int) -> tuple[int, Verdict, list[float], str]:
    match value:
        case [int(pick_id), ("kept" | "rejected") as word, *place, ("a" | "v") as unit] if (
            not isinstance(pick_id, bool)
            and abs(pick_id) < 2**63
            and len(place) == 3
            and all(isinstance(part, int | float) and math.isfinite(part) for part in place)
        ):
            return pick_id, Verdict(word), [float(part) for part in place], {"a": "angstrom", "v": "voxel"}[unit]
    raise FormatError(f"its line {number} is no decision.")
