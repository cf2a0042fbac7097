"""A review of one set of picks: what is judged, in which order it is looked at, and how far one is."""

from __future__ import annotations

import getpass
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_cryoet.exceptions import FormatError
from napari_cryoet.picks import Picks
from napari_cryoet.review.columns import Order, matching, sorted_rows
from napari_cryoet.review.decisions import Counts, Decisions, Verdict
from napari_cryoet.review.session import Decision, SessionFile, Subject, rows_of
from napari_cryoet.wording import count_text

#: The column that can be filtered by what was decided.
VERDICT = "verdict"


class Review:
    """Judges picks. An earlier review of the same picks goes on where it ended.

    Nothing is written before `save` is called, which may be on any thread while the review goes on.

    Attributes
    ----------
    picks, decisions
        As they are now. Decisions about picks that were deleted since stay.
    rows
        The picks that are looked at, as row numbers, in order. They stay when verdicts change, until `look_at`.
    sort_values, n_unsorted
        What all picks are sorted by, None in file order; and how many have no such value and come last.
    remark
        What was found of an earlier review, in words; or empty.
    view
        How the picks were looked at, as plain data.

    Raises
    ------
    FormatError
        If there is an earlier review that can't be read.
    """

    def __init__(self, picks: Picks, subject: Subject, folder: Path | None = None) -> None:
        self.picks, self.subject = picks, subject
        self._file = SessionFile(subject, folder)
        self._unsaved: list[Decision | Mapping[str, Any]] = []
        self._saving = threading.Lock()
        self.order, self.filter_text = Order(), ""
        self.shown_verdict: Verdict | None = None
        self.rows, self.n_unsorted = np.arange(len(picks)), 0
        self.sort_values: NDArray[Any] | None = None
        self._measured: dict[str, NDArray[Any]] = {}
        self._resume()

    def _resume(self) -> None:
        saved, self.view = self._file.read()
        decisions = list(saved.values())
        rows = rows_of(decisions, self.picks)
        verdicts = {int(self.ids[row]): each.verdict for each, row in zip(decisions, rows, strict=True) if row >= 0}
        self.decisions = Decisions(verdicts)
        self._unsaved += [  # a pick that has another id now is called by that from now on
            replace(each, verdict=Verdict.UNDECIDED)
            for each, row in zip(decisions, rows, strict=True)
            if row >= 0 and self.ids[row] != each.pick_id
        ]
        if self._unsaved:
            self._remember(np.array(list(verdicts)))
        self.remark = _remark(len(verdicts), len(decisions) - len(verdicts))

    # what there is

    @property
    def path(self) -> Path:
        """The file that the review is kept in."""
        return self._file.path

    @property
    def ids(self) -> NDArray[np.int64]:
        """Of all picks, in their own order."""
        return self.picks.ids

    @property
    def counts(self) -> Counts:
        """How far one is with all picks."""
        return Counts.of(self.decisions.codes(self.ids))

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """All that picks can be sorted and filtered by."""
        verdicts = np.array([verdict.word for verdict in Verdict])[self.decisions.codes(self.ids)]
        return {VERDICT: verdicts, **self.picks.table(), **self._measured}

    def verdict(self, row: int) -> Verdict:
        """Of a pick, by its row."""
        return self.decisions[int(self.ids[row])]

    def rows_with(self, verdict: Verdict) -> NDArray[np.intp]:
        """The rows of all picks with a verdict."""
        return np.flatnonzero(self.decisions.codes(self.ids) == verdict)

    def next_undecided(self, after: int, step: int = 1) -> int | None:
        """The place in ``rows`` of the next undecided pick behind a place, round the end; None where all are judged."""
        count = len(self.rows)
        places = (after + step * np.arange(1, count + 1)) % max(count, 1)
        undecided = np.flatnonzero(self.decisions.codes(self.ids[self.rows[places]]) == Verdict.UNDECIDED)
        return int(places[undecided[0]]) if len(undecided) else None

    # judging; each of these returns the ids of the picks whose verdict it changed

    def judge(self, rows: Iterable[int] | NDArray[np.intp], verdict: Verdict) -> NDArray[np.int64]:
        """Give some picks a verdict, as one step."""
        places = rows if isinstance(rows, np.ndarray) else np.fromiter(rows, dtype=np.intp)
        return self._remember(self.decisions.judge(self.ids[places], verdict))

    def undo(self) -> NDArray[np.int64]:
        """Take back the last step."""
        return self._remember(self.decisions.undo())

    def redo(self) -> NDArray[np.int64]:
        """Take the step again that was taken back last."""
        return self._remember(self.decisions.redo())

    def _remember(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Have the verdicts of picks written by the next `save`."""
        rows = np.flatnonzero(np.isin(self.ids, ids))
        verdicts = map(Verdict, self.decisions.codes(self.ids[rows]))
        places = self.picks.points_zyx[rows].tolist()
        self._unsaved += [
            Decision(pick_id, verdict, place, self.picks.spacing_angstrom)
            for pick_id, verdict, place in zip(self.ids[rows].tolist(), verdicts, places, strict=True)
        ]
        return ids

    # what is looked at

    def look_at(self, order: Order, filter_text: str, verdict: Verdict | None = None) -> None:
        """Sort and filter; with a verdict, show only the picks that have it now.

        Raises
        ------
        FormatError
            If the filter isn't understood, or there is no such column; all stays as it was.
        """
        columns = self.columns
        shown, n_unsorted = matching(filter_text, columns), 0
        if verdict is not None:
            shown = shown & (self.decisions.codes(self.ids) == verdict)
        rows = np.flatnonzero(shown)
        values = columns.get(order.column)
        if values is not None:
            sorting, n_unsorted = sorted_rows(values[rows], is_descending=order.is_descending)
            rows = rows[sorting]
        elif order.is_descending:
            rows = rows[::-1]
        self.rows, self.n_unsorted, self.sort_values = rows, n_unsorted, values
        self.order, self.filter_text = replace(order, column=order.column if values is not None else ""), filter_text
        self.shown_verdict = verdict

    def set_measured(self, columns: Mapping[str, ArrayLike]) -> None:
        """Let picks be sorted and filtered by something that was measured: one value a pick."""
        self._measured.update({name: np.asarray(column) for name, column in columns.items()})

    def forget_measured(self) -> None:
        """Drop what was measured, as in another volume."""
        self._measured.clear()

    def set_picks(self, picks: Picks) -> None:
        """Go on with picks that were moved, added or deleted. Verdicts stay with the ids of their picks."""
        self.picks = picks
        self._measured.clear()
        try:
            self.look_at(self.order, self.filter_text, self.shown_verdict)
        except FormatError:  # it names a column that is gone
            self.look_at(self.order, "", self.shown_verdict)

    # keeping it

    def remember_view(self, view: Mapping[str, Any]) -> None:
        """Keep with the review how the picks are looked at."""
        self.view = dict(view)
        self._unsaved.append(self.view)

    @property
    def has_unsaved(self) -> bool:
        """Whether something was decided that isn't in the file."""
        return bool(self._unsaved)

    def save(self) -> None:
        """Append what was decided since to the file. May be called on any thread.

        Raises
        ------
        SaveError
            If it can't be written. The next call tries again.
        """
        with self._saving:
            lines = list(self._unsaved)
            if lines:
                self._file.append(lines)
                del self._unsaved[: len(lines)]  # more may have come meanwhile


def kept_picks(picks: Picks, decisions: Decisions, *, by: str = "") -> Picks:
    """The picks that were kept; their `edits` end with how many of how many, by whom and when."""
    return _judged(picks, decisions, Verdict.KEPT, by)


def rejected_picks(picks: Picks, decisions: Decisions, *, by: str = "") -> Picks:
    """The picks that were rejected; as `kept_picks`."""
    return _judged(picks, decisions, Verdict.REJECTED, by)


def reviewer() -> str:
    """The name of the account on this computer, or nothing where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _judged(picks: Picks, decisions: Decisions, verdict: Verdict, by: str) -> Picks:
    codes = decisions.codes(picks.ids)
    chosen, counts = codes == verdict, Counts.of(codes)
    name, day = by or reviewer(), datetime.now(UTC).date().isoformat()
    who = f" by {name}" if name else ""
    undecided = f" ({counts.total - counts.judged} undecided)" if counts.judged < counts.total else ""
    return picks.take(chosen, f"{verdict.word} {chosen.sum()} of {len(picks)} in review{who} on {day}{undecided}")


def _remark(n_found: int, n_lost: int) -> str:
    resumed = f"Resumed {count_text(n_found, 'decision')} of an earlier review." if n_found or n_lost else ""
    return resumed + (f" {n_lost:,} more found no pick in their place; kept in the file." if n_lost else "")
