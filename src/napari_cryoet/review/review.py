"""A review of one set of picks: verdicts, sorting and filtering, and progress."""

from __future__ import annotations

import getpass
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
from napari_cryoet.review.session import (
    Counts,
    Decision,
    Decisions,
    Subject,
    Verdict,
    replayed,
    rows_of,
)
from napari_cryoet.wording import count_text

#: The column with the verdicts.
VERDICT = "verdict"


class Review:
    """A review of picks. It resumes an earlier review of the same picks.

    Nothing is written until you call `save`, which is thread-safe.

    Attributes
    ----------
    picks, decisions
        The current picks and decisions. Decisions about deleted picks are kept.
    rows
        Row numbers of the shown picks, in order. They don't change with verdicts, only with `look_at`.
    sort_values
        The values that all picks are sorted by; None for file order.
    remark
        A message about the earlier review, or empty.
    view
        The view settings, as plain data.

    Raises
    ------
    FormatError
        If an earlier review can't be read.
    """

    def __init__(self, picks: Picks, subject: Subject, folder: Path | None = None) -> None:
        self.picks, self.subject = picks, subject
        self._file = subject.journal("review", folder)
        self.order, self.filter_text = Order(), ""
        self.shown_verdict: Verdict | None = None
        self.rows = np.arange(len(picks))
        self.sort_values: NDArray[Any] | None = None
        self._measured: dict[str, NDArray[Any]] = {}
        self._resume()

    def _resume(self) -> None:
        saved, self.view = replayed(self._file.values())
        decisions = list(saved.values())
        rows = rows_of(decisions, self.picks)
        pairs = list(zip(decisions, rows, strict=True))
        verdicts = {int(self.ids[row]): decision.verdict for decision, row in pairs if row >= 0}
        self.decisions = Decisions(verdicts)
        outdated = [  # if a pick's id changed, clear the decision for the old id
            replace(decision, verdict=Verdict.UNDECIDED).to_json()
            for decision, row in pairs
            if row >= 0 and self.ids[row] != decision.pick_id
        ]
        if outdated:
            self._file.queue(outdated)
            self._queue(np.array(list(verdicts)))
        self.remark = _remark(len(verdicts), len(decisions) - len(verdicts))

    # state

    @property
    def path(self) -> Path:
        """The review's file."""
        return self._file.path

    @property
    def ids(self) -> NDArray[np.int64]:
        """The ids of all picks, in file order."""
        return self.picks.ids

    @property
    def counts(self) -> Counts:
        """The number of kept and rejected picks."""
        return Counts.of(self.decisions.codes(self.ids))

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """All columns to sort and filter by."""
        verdicts = np.array([verdict.word for verdict in Verdict])[self.decisions.codes(self.ids)]
        return {VERDICT: verdicts, **self.picks.table(), **self._measured}

    def verdict(self, row: int) -> Verdict:
        """The verdict on the pick in a row."""
        return self.decisions[int(self.ids[row])]

    def rows_with(self, verdict: Verdict) -> NDArray[np.intp]:
        """The rows of all picks with a verdict."""
        return np.flatnonzero(self.decisions.codes(self.ids) == verdict)

    def next_undecided(self, after: int, step: int = 1) -> int | None:
        """The index in ``rows`` of the next undecided pick after one, wrapping around.

        None if all are judged.
        """
        count = len(self.rows)
        indices = (after + step * np.arange(1, count + 1)) % max(count, 1)
        undecided = np.flatnonzero(
            self.decisions.codes(self.ids[self.rows[indices]]) == Verdict.UNDECIDED
        )
        return int(indices[undecided[0]]) if len(undecided) else None

    # judging; these methods return the ids of the picks whose verdict changed

    def judge(self, rows: Iterable[int] | NDArray[np.intp], verdict: Verdict) -> NDArray[np.int64]:
        """Give some picks a verdict, as one step."""
        indices = rows if isinstance(rows, np.ndarray) else np.fromiter(rows, dtype=np.intp)
        return self._queue(self.decisions.judge(self.ids[indices], verdict))

    def undo(self) -> NDArray[np.int64]:
        """Undo the last step."""
        return self._queue(self.decisions.undo())

    def redo(self) -> NDArray[np.int64]:
        """Redo the last undone step."""
        return self._queue(self.decisions.redo())

    def _queue(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Queue the verdicts of picks for the next `save`."""
        rows = np.flatnonzero(np.isin(self.ids, ids))
        verdicts = map(Verdict, self.decisions.codes(self.ids[rows]))
        positions = self.picks.points_zyx[rows].tolist()
        decisions = (
            Decision(pick_id, verdict, position, self.picks.spacing_angstrom)
            for pick_id, verdict, position in zip(
                self.ids[rows].tolist(), verdicts, positions, strict=True
            )
        )
        self._file.queue(decision.to_json() for decision in decisions)
        return ids

    # sorting and filtering

    def look_at(self, order: Order, filter_text: str, verdict: Verdict | None = None) -> None:
        """Sort and filter; with a verdict, show only picks that currently have it.

        Raises
        ------
        FormatError
            If the filter is invalid or names an unknown column; nothing changes then.
        """
        columns = self.columns
        shown = matching(filter_text, columns)
        if verdict is not None:
            shown = shown & (self.decisions.codes(self.ids) == verdict)
        rows = np.flatnonzero(shown)
        values = columns.get(order.column)
        if values is not None:
            rows = rows[sorted_rows(values[rows], is_descending=order.is_descending)]
        elif order.is_descending:
            rows = rows[::-1]
        self.rows = rows
        self.sort_values = values
        self.order = order if values is not None else replace(order, column="")
        self.filter_text = filter_text
        self.shown_verdict = verdict

    def set_measured(self, columns: Mapping[str, ArrayLike]) -> None:
        """Add measured columns to sort and filter by, with one value per pick."""
        self._measured.update({name: np.asarray(column) for name, column in columns.items()})

    def forget_measured(self) -> None:
        """Remove measured columns, for example when the volume changes."""
        self._measured.clear()

    def set_picks(self, picks: Picks) -> None:
        """Replace the picks after an edit. Verdicts are kept by pick id."""
        self.picks = picks
        self._measured.clear()
        try:
            self.look_at(self.order, self.filter_text, self.shown_verdict)
        except FormatError:  # it names a removed column
            self.look_at(self.order, "", self.shown_verdict)

    # saving

    def remember_view(self, view: Mapping[str, Any]) -> None:
        """Save the view settings with the review."""
        self.view = dict(view)
        self._file.queue([{"view": self.view}])

    @property
    def has_unsaved(self) -> bool:
        """Whether there are unsaved decisions or view settings."""
        return self._file.has_unsaved

    def save(self) -> None:
        """Append unsaved decisions to the file. Thread-safe.

        Raises
        ------
        SaveError
            If writing fails. The next call tries again.
        """
        self._file.save()


def kept_picks(picks: Picks, decisions: Decisions, *, by: str = "") -> Picks:
    """The kept picks; the last of their `edits` has the counts, reviewer and date."""
    return _judged(picks, decisions, Verdict.KEPT, by)


def rejected_picks(picks: Picks, decisions: Decisions, *, by: str = "") -> Picks:
    """The rejected picks; see `kept_picks`."""
    return _judged(picks, decisions, Verdict.REJECTED, by)


def reviewer() -> str:
    """The user's account name, or empty."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _judged(picks: Picks, decisions: Decisions, verdict: Verdict, by: str) -> Picks:
    codes = decisions.codes(picks.ids)
    chosen, counts = codes == verdict, Counts.of(codes)
    name, day = by or reviewer(), datetime.now(UTC).date().isoformat()
    who = f" by {name}" if name else ""
    undecided = (
        f" ({counts.total - counts.judged} undecided)" if counts.judged < counts.total else ""
    )
    return picks.take(
        chosen, f"{verdict.word} {chosen.sum()} of {len(picks)} in review{who} on {day}{undecided}"
    )


def _remark(n_found: int, n_lost: int) -> str:
    resumed = (
        f"Resumed {count_text(n_found, 'decision')} of an earlier review."
        if n_found or n_lost
        else ""
    )
    return resumed + (
        f" {n_lost:,} more match no pick; they are kept in the file." if n_lost else ""
    )
