"""A review's file: append-only JSON lines, replayed when the same picks are opened again.

The first line identifies the picks. Every other line is a decision, ``[pick id, verdict, z, y, x,
spacing]``, or the view settings, ``{"view": {...}}``. Positions are in voxels; the spacing is in
ångström, or null if unknown. The last line about a pick wins, even if several windows write to the
file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from itertools import repeat
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.comparison.match import match_pairs, pairs_within
from napari_cryoet.exceptions import CryoETError, FormatError, SaveError
from napari_cryoet.files import data_path
from napari_cryoet.locations import Location
from napari_cryoet.picks import Picks

TOLERANCE_VOXELS: Final = 0.5


# verdicts


class Verdict(IntEnum):
    """The verdict on a pick."""

    UNDECIDED = 0
    KEPT = 1
    REJECTED = 2

    @property
    def word(self) -> str:
        """The verdict in lower case, such as ``kept``."""
        return self.name.lower()

    @property
    def letter(self) -> str:
        """K, X or empty: shown with the colour, for colour-blind people."""
        return ("", "K", "X")[self]


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    ids: NDArray[np.int64]
    before: NDArray[np.int8]
    after: NDArray[np.int8]


class Decisions:
    """Verdicts by pick id, undecided by default. The initial verdicts can't be undone."""

    def __init__(self, verdicts: Mapping[int, Verdict] = MappingProxyType({})) -> None:
        self._codes = {int(pick_id): int(verdict) for pick_id, verdict in verdicts.items()}
        self._undo_stack: list[_Step] = []
        self._redo_stack: list[_Step] = []

    def __getitem__(self, pick_id: int) -> Verdict:
        return Verdict(self._codes.get(pick_id, 0))

    def codes(self, pick_ids: NDArray[np.int64]) -> NDArray[np.int8]:
        """The verdicts of picks, as integers."""
        return np.fromiter(
            map(self._codes.get, pick_ids.tolist(), repeat(0)), dtype=np.int8, count=len(pick_ids)
        )

    # these methods return the ids of the picks whose verdict changed

    def judge(
        self, pick_ids: Iterable[int] | NDArray[np.int64], verdict: Verdict
    ) -> NDArray[np.int64]:
        """Give picks a verdict, as one step."""
        ids = np.unique(np.fromiter(pick_ids, dtype=np.int64))
        before = self.codes(ids)
        is_changed = before != verdict
        if not is_changed.any():
            return ids[:0]
        step = _Step(
            ids[is_changed], before[is_changed], np.full(is_changed.sum(), verdict, dtype=np.int8)
        )
        self._undo_stack.append(step)
        self._redo_stack.clear()
        return self._set(step.ids, step.after)

    def undo(self) -> NDArray[np.int64]:
        """Undo the last step."""
        if not self._undo_stack:
            return np.empty(0, dtype=np.int64)
        step = self._undo_stack.pop()
        self._redo_stack.append(step)
        return self._set(step.ids, step.before)

    def redo(self) -> NDArray[np.int64]:
        """Redo the last undone step."""
        if not self._redo_stack:
            return np.empty(0, dtype=np.int64)
        step = self._redo_stack.pop()
        self._undo_stack.append(step)
        return self._set(step.ids, step.after)

    def _set(self, ids: NDArray[np.int64], codes: NDArray[np.int8]) -> NDArray[np.int64]:
        self._codes.update(zip(ids.tolist(), codes.tolist(), strict=True))
        return ids


@dataclass(frozen=True, slots=True)
class Counts:
    """The number of picks, in total, kept and rejected."""

    total: int
    kept: int
    rejected: int

    @classmethod
    def of(cls, codes: NDArray[np.integer[Any]]) -> Counts:
        """Count verdicts from their integers."""
        _, kept, rejected = np.bincount(codes, minlength=len(Verdict)).tolist()
        return cls(len(codes), kept, rejected)

    @property
    def judged(self) -> int:
        """The number of kept or rejected picks."""
        return self.kept + self.rejected

    def __str__(self) -> str:
        return f"{self.judged:,} of {self.total:,} judged"


_VERDICTS: Final = {verdict.word: verdict for verdict in Verdict}


@dataclass(frozen=True, slots=True)
class Subject:
    """The picks under review, identified by ``key`` across sessions."""

    key: str  # from a portal annotation file or a path
    name: str  # for display; it may change

    @classmethod
    def of(cls, picks: Picks, *, name: str, path: str | Path | None = None) -> Subject:
        """Identify picks by their portal annotation file, else by their path, else by their name."""
        about = picks.about
        file_id, source = about.annotation_file_id, about.source_url
        if file_id is not None and about.path:  # the same for the portal, packs and servers
            return cls(f"annotation file {file_id} of {about.path}", name)
        if source or file_id is not None:
            key = f"annotation file {file_id} of {_resolved(source)}"
        elif path:
            key = f"file {Path(path).resolve()}"
        else:
            made_on = about.more.get("made_on")
            return cls(f"layer {name} on {made_on}" if made_on else f"layer {name}", name)
        tomogram = about.more.get("tomogram_name") or about.more.get("tomogram_number")
        is_single = tomogram is None or file_id is not None
        return cls(key if is_single else f"{key}, tomogram {tomogram}", name)

    def file_name(self, what: str) -> str:
        """The name of a file about these picks, unique and recognisable."""
        words = re.sub(r"[^A-Za-z0-9]+", "-", self.key)[-40:].strip("-") or "picks"
        digest = hashlib.sha256(self.key.encode(errors="surrogatepass")).hexdigest()
        return f"{words}.{digest[:16]}.{what}.jsonl"

    def journal(self, what: str, folder: Path | None = None) -> Journal:
        """The ``review`` or hand ``edits`` of these picks, by default in the user's data folder."""
        header = {"format": f"napari-cryoet {what}", "key": self.key, "name": self.name}
        path = (folder or data_path() / "reviews") / self.file_name(what)
        return Journal(path, header, what)


def _resolved(source: Any) -> Any:
    """A local path without links, which is the same for every way to open the file."""
    with suppress(CryoETError, OSError, RuntimeError, TypeError):
        path = Location.of(source).path
        return source if path is None else path.resolve()
    return source


@dataclass(frozen=True, slots=True)
class Decision:
    """A line of the file: the verdict on a pick, and the pick's position."""

    pick_id: int
    verdict: Verdict
    position_zyx: Sequence[float]  # in voxels
    spacing_angstrom: float | None

    def to_json(self) -> list[Any]:
        """Encode as a line."""
        rounded = [round(coordinate, 4) for coordinate in self.position_zyx]
        return [self.pick_id, self.verdict.word, *rounded, self.spacing_angstrom]


def replayed(values: Iterable[Any]) -> tuple[dict[int, Decision], dict[str, Any]]:
    """The last decision about each decided pick, and the view settings, from a file's lines.

    Other lines are ignored.
    """
    decisions: dict[int, Decision] = {}
    latest_view: dict[str, Any] = {}
    for value in values:
        match value:
            case {"view": dict(view)}:
                latest_view = view
            case [int(pick_id), str(word), float(z), float(y), float(x), float() | None as spacing]:
                if word in _VERDICTS:
                    decisions[pick_id] = Decision(pick_id, _VERDICTS[word], (z, y, x), spacing)
    return {
        pick_id: decision for pick_id, decision in decisions.items() if decision.verdict
    }, latest_view


def rows_of(decisions: Sequence[Decision], picks: Picks) -> NDArray[np.intp]:
    """The row of each decision's pick; -1 if there is none.

    A decision matches the pick with its id if that is within half a voxel of the saved position.
    Remaining decisions are assigned to the nearest remaining picks within that distance, one per
    pick.
    """
    if not len(decisions) or not len(picks):
        return np.full(len(decisions), -1, dtype=np.intp)
    widths = [(decision.spacing_angstrom, picks.spacing_angstrom) for decision in decisions]
    factors = np.array([own / width if own and width else 1.0 for own, width in widths])
    positions = (
        np.array([decision.position_zyx for decision in decisions], dtype=np.float64)
        * factors[:, None]
    )
    ids = np.array([decision.pick_id for decision in decisions])

    order = np.argsort(picks.ids)
    candidates = order[np.minimum(np.searchsorted(picks.ids, ids, sorter=order), len(order) - 1)]
    is_near = np.linalg.norm(picks.points_zyx[candidates] - positions, axis=1) <= TOLERANCE_VOXELS
    rows = np.where(is_near & (picks.ids[candidates] == ids), candidates, -1)

    unmatched = np.flatnonzero(rows < 0)
    unclaimed = np.setdiff1d(np.arange(len(picks)), rows)
    if len(unmatched) and len(unclaimed):
        near = pairs_within(positions[unmatched], picks.points_zyx[unclaimed], TOLERANCE_VOXELS)
        matches = match_pairs(near, "greedy")
        rows[unmatched[matches.rows_a]] = unclaimed[matches.rows_b]
    return rows


# the file


class Journal:
    """One file, with a header in its first line, and the values that aren't written yet.

    Parameters
    ----------
    path
        The file; it may not exist yet.
    header
        The first line, without the date.
    what
        What the file holds, for messages, such as "review".
    """

    def __init__(self, path: Path, header: Mapping[str, Any], what: str) -> None:
        self.path = path
        self._header, self._what = header, what
        self._unsaved: list[Any] = []
        self._saving = threading.Lock()

    def values(self) -> list[Any]:
        """The values of all valid lines, the header first; FormatError if they can't be read."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise FormatError(
                f"The saved {self._what} can't be read: {error.strerror}.", hint=str(self.path)
            ) from error
        values = []
        for line in content.decode("utf-8", errors="replace").split("\n"):
            with suppress(ValueError):  # a line that was cut off by a crash
                values.append(json.loads(line))
        return values

    def queue(self, values: Iterable[Any]) -> None:
        """Keep values for the next `save`."""
        self._unsaved += values

    @property
    def has_unsaved(self) -> bool:
        """Whether there are values to save."""
        return bool(self._unsaved)

    def save(self) -> None:
        """Append the unsaved values and flush them to disk. Thread-safe.

        Raises
        ------
        SaveError
            If writing fails. The next call tries again: duplicate lines do no harm.
        """
        with self._saving:
            values = list(self._unsaved)
            if values:
                self._append(values)
                del self._unsaved[: len(values)]  # others may have been added meanwhile

    def _append(self, values: list[Any]) -> None:
        lines = [json.dumps(value) for value in values]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                header = {**self._header, "began_at": f"{datetime.now(UTC):%FT%TZ}"}
                start = "" if file.tell() else json.dumps(header)
                file.write("\n".join([start, *lines]).encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise SaveError(
                f"The {self._what} can't be saved: {error.strerror}.",
                hint=f"Make {self.path.parent} writable; the next change is saved with this one.",
            ) from error
