"""A review of one set of picks: what is judged, in which order it is looked at, and how far one is.

This is all of the review dock that needs no window. It tells nobody when it changes: whoever changes it knows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import CryoETError, ExistsError, FormatError, SaveError
from napari_cryoet.picks import Picks
from napari_cryoet.review.autosave import AutoSaver
from napari_cryoet.review.by_id import ById
from napari_cryoet.review.decisions import CODES, VERDICTS, Counts, Decisions, Verdict
from napari_cryoet.review.filtering import Filter, parse_filter
from napari_cryoet.review.matching import join, marks_before, match_parts, states_before
from napari_cryoet.review.ordering import Columns, Order
from napari_cryoet.review.places import Former, states_of
from napari_cryoet.review.rows import Rows
from napari_cryoet.review.session import SessionStore, Subject
from napari_cryoet.review.snapshot import Snapshot
from napari_cryoet.review.trails import Trail, with_gone, with_step

_WRITING: Final = threading.Lock()  # two windows of one program don't write between each other's look and writing
_JOINED_KEPT: Final = 16


class Review:
    """Judges picks, and keeps what was decided in a session file.

    Parameters
    ----------
    picks
        What is judged.
    subject
        What these picks are, so that an earlier review of them is found and goes on.
    store
        Where reviews are kept.
    opened
        The picks as they were when they were opened, if some were moved since: where they come from, they are still
        there. And behind that as they were meanwhile: a file may have been saved of them. By default these.
    gone
        Others that are known to have been among them, as `ever` of an earlier review says: they may come back.
    failed
        Told, on any thread, when the session could not be saved.
    recovered
        Told, on any thread, once it is saved all the same.
    joined
        Told, on any thread, what is decided in all when another window judged the same picks; see `adopt`.

    Attributes
    ----------
    picks, decisions
        As they are now.
    rows
        The picks that are looked at, as row numbers, in order.
    n_unsorted
        How many of them have no value to sort by, and come last.
    remark
        What was found of an earlier review; or empty.
    view
        How the picks were looked at, as plain data; saved with the decisions.
    problem
        Why the last attempt to save failed; empty where it didn't.

    Raises
    ------
    CryoETError
        If there is an earlier review that can neither be read nor set aside.
    """

    def __init__(
        self,
        picks: Picks,
        subject: Subject,
        store: SessionStore | None = None,
        *,
        opened: Former = None,
        gone: Picks | None = None,
        failed: Callable[[CryoETError], None] = lambda _error: None,
        recovered: Callable[[], None] = lambda: None,
        joined: Callable[[Decisions], None] = lambda _decisions: None,
    ) -> None:
        # a store of its own: of two reviews of the same picks that share one, neither would see what the other wrote
        self._store = SessionStore() if store is None else replace(store, _seen={}, _taken_over={})
        self.tell(failed=failed, recovered=recovered, joined=joined)
        self._is_behind, self.problem = False, ""
        self.picks, self.subject = picks, subject
        opened, *trail = states_of(opened) or (picks,)
        resumed = self._store.resume(subject, picks, (opened, *trail), gone)
        self._opened = resumed.opened or (opened,)  # and behind that other places that the file knows of
        self._trail: Trail = tuple(trail)
        self._marks = resumed.marks
        self._placed: Picks | None = None
        self.decisions: Decisions = resumed.decisions
        self.remark = resumed.remark
        self.view: Mapping[str, Any] = resumed.view
        self.order, self.filter = Order(), _no_filter()
        self._elsewhere = resumed.elsewhere
        self._elsewhere_since = 0  # the step from which on it may hold what the file doesn't
        self._gone = gone
        self._ever = picks  # and those that were deleted since: a decision about one holds if it comes back
        self._step = 0  # counts what is done here
        self._touched = ById()  # in which step each pick was judged here last
        self._saved_step = 0  # what was done until then is in the file; only who writes uses this
        self._in_file: tuple[Decisions, tuple[Rows, ...]] | None = None  # and this: what it holds, once others write it
        self._theirs: tuple[Picks, ...] = ()  # and these: the picks where others put them, as their files say
        self._their_marks = ById()
        self._joined_at: dict[int, tuple[Decisions, int]] = {}  # what was told, and what step of ours is in it
        self._saver: AutoSaver[Snapshot] = AutoSaver(self._write, self._on_unsaved)
        self._measured: dict[str, NDArray[Any]] = {}
        self._measurable: tuple[str, ...] = ()
        self.rows, self.n_unsorted = np.arange(len(picks)), 0
        self._codes_of: tuple[Decisions, Picks, NDArray[np.int64]] | None = None
        self._shown_of: tuple[NDArray[np.intp], Picks, NDArray[np.int64]] | None = None

    def tell(
        self,
        *,
        failed: Callable[[CryoETError], None] = lambda _error: None,
        recovered: Callable[[], None] = lambda: None,
        joined: Callable[[Decisions], None] = lambda _decisions: None,
    ) -> None:
        """Tell somebody else from now on, or nobody; parameters as those of the review."""
        self._failed, self._recovered, self._joined = failed, recovered, joined

    # what there is

    @property
    def folder(self) -> Path:
        """Where the session file is kept."""
        return self._store.folder

    @property
    def ids(self) -> NDArray[np.int64]:
        """Of all picks, in their own order."""
        return self.picks.ids

    @property
    def ever(self) -> Picks:
        """All picks, and behind them those that were deleted since, or before, of which only the place counts."""
        return self._ever if self._gone is None else with_gone(self._ever, self._gone)

    @property
    def shown_ids(self) -> NDArray[np.int64]:
        """Of the picks that are looked at, in order."""
        if self._shown_of is None or self._shown_of[0] is not self.rows or self._shown_of[1] is not self.picks:
            self._shown_of = (self.rows, self.picks, self.ids[self.rows])
        return self._shown_of[2]

    @property
    def counts(self) -> Counts:
        """How far one is with all picks."""
        return Counts.of(self._codes)

    @property
    def _codes(self) -> NDArray[np.int64]:
        """Of all picks, the code of each one's verdict; counted once for many who ask."""
        if self._codes_of is None or self._codes_of[0] is not self.decisions or self._codes_of[1] is not self.picks:
            self._codes_of = (self.decisions, self.picks, self.decisions.codes(self.ids))
        return self._codes_of[2]

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """All that picks can be sorted and filtered by."""
        return self.picks.table() | self._measured

    def verdict(self, row: int) -> Verdict:
        """Of a pick, by its row."""
        return VERDICTS[self._codes[row]]

    def verdicts(self, rows: Sequence[int] | NDArray[np.intp]) -> list[Verdict]:
        """Of some picks, by their rows."""
        return [VERDICTS[code] for code in self._codes[rows].tolist()]

    def rows_with(self, verdict: Verdict) -> NDArray[np.intp]:
        """The rows of all picks with a verdict."""
        return np.flatnonzero(self._codes == CODES[verdict])

    def next_undecided(self, after: int, step: int = 1) -> int | None:
        """The place in ``rows`` of the next undecided pick; see `Decisions.next_undecided`."""
        return self.decisions.next_undecided(self.shown_ids, after, step)

    @property
    def _former(self) -> tuple[Picks, ...]:
        """The picks as they were when they were opened, since, and in sessions before."""
        placed = () if self._placed is None else (self._placed,)
        return self._opened[0], *placed, *self._trail, *self._opened[1:]

    # judging

    def judge(self, rows: Iterable[int] | NDArray[np.intp], verdict: Verdict) -> bool:
        """Give some picks a verdict, as one step; whether that changed anything."""
        places = rows if isinstance(rows, np.ndarray) else np.fromiter(rows, dtype=np.intp)
        decisions = self.decisions.judged(self.ids[places], verdict)
        return self._decide(decisions, decisions.changed_by_last_step())

    def undo(self) -> bool:
        """Take back the last step."""
        return self._decide(self.decisions.undone(), self.decisions.changed_by_last_step())

    def redo(self) -> bool:
        """Take the step again that was taken back last."""
        decisions = self.decisions.redone()
        return self._decide(decisions, decisions.changed_by_last_step())

    def _decide(self, decisions: Decisions, ids: NDArray[np.int64]) -> bool:
        """Take decisions that are others about some picks, unless they are the same."""
        if decisions is self.decisions:
            return False
        about = ids[decisions.codes(ids) != self.decisions.codes(ids)]
        self._step += 1
        self._touched = self._touched.changed(about, self._step)
        self.decisions = decisions
        self.save_soon()
        return True

    def adopt(self, joined: Decisions) -> int:
        """Take over what is decided in all about picks that weren't judged here since; how many that changed."""
        _, step = self._joined_at.pop(id(joined), (joined, 0))
        ids = self._ever.ids
        ids = ids[self._touched.of(ids) <= step]
        others = ids[joined.codes(ids) != self.decisions.codes(ids)]
        if len(others):
            self.decisions = self.decisions.with_others(joined, others)
        return len(others)

    # what is looked at

    def look_at(self, order: Order, filter_text: str) -> None:
        """Sort and filter.

        Raises
        ------
        FormatError
            If the filter isn't understood, or there is no such column; all stays as it was.
        """
        columns = self.columns
        chosen = parse_filter(filter_text, columns, self._measurable)
        shown = None if chosen is None else chosen(columns)
        if order.column and order.column not in columns:
            order = Order(is_descending=order.is_descending)
        table = columns or {"": self.ids}
        self.rows, self.n_unsorted = Columns(table).rows(order, shown)
        self.order, self.filter = order, chosen or _no_filter()

    def set_measured(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Let picks be sorted and filtered by something that was measured: one value a pick."""
        self._measured.update(columns)

    def forget_measured(self, measurable: Iterable[str] = ()) -> None:
        """What was measured holds no more; ``measurable`` is what can be measured anew once it is asked for."""
        self._measured.clear()
        self._measurable = tuple(measurable)

    def set_picks(self, picks: Picks) -> None:
        """Go on with picks that were changed meanwhile.

        A decision stays with its pick's id, wherever that was moved, and is kept when it is deleted: where the picks
        come from, it is still there. One that found no pick yet may find one that comes now.
        """
        self._trail = with_step(self._trail, self.picks, picks)
        self._look_for_what_came(picks)
        self._ever = with_gone(picks, self._ever)
        self.picks = picks
        self._measured.clear()
        try:
            self.look_at(self.order, self.filter.text)
        except CryoETError:
            self.look_at(self.order, "")
        self.save_soon()

    def _look_for_what_came(self, picks: Picks) -> None:
        """Take over decisions about picks that were never here, as those deleted before that come back by undo."""
        if not self._elsewhere:
            return
        came = ~np.isin(picks.ids, self._ever.ids)
        found, elsewhere = match_parts(self._elsewhere, picks.take(came), self._former)
        self.decisions, self._elsewhere = self.decisions.with_others(found, found.judged_ids), elsewhere

    def set_placed(self, picks: Picks) -> None:
        """Know the picks, too, where the viewer shows them in a layer that was moved: files are saved of them there."""
        is_moved = not np.array_equal(picks.points_zyx, self.picks.points_zyx)
        placed = picks if is_moved and picks.spacing_angstrom == self.picks.spacing_angstrom else None
        if placed is not None or self._placed is not None:
            self._placed = placed
            self.save_soon()

    def take_up(self, picks: Picks, opened: Former = None) -> None:
        """Go on with picks that were opened anew: other ones may have their ids, so that places count as in a file."""
        states = states_of(opened) or (picks,)
        decisions, elsewhere = self._found_again(self.decisions, self._elsewhere, picks, states)
        ids = picks.ids
        if (decisions.codes(ids) != self.decisions.codes(ids)).any():  # as rows of a file that was changed
            if self._in_file is not None:
                self._in_file = self._found_again(*self._in_file, picks, states)
            self._step += 1
            self._touched = ById().changed(decisions.judged_ids, self._step)
            self._marks = marks_before(self._snapshot.rows(), picks, states)
            self.decisions, self._elsewhere, self._ever = decisions, elsewhere, picks
            self.picks, self._opened, self._trail, self._theirs = picks, states[:1], states[1:], ()
            self._elsewhere_since = self._step
        self.set_picks(picks)

    def _found_again(
        self, decisions: Decisions, elsewhere: tuple[Rows, ...], picks: Picks, opened: Former
    ) -> tuple[Decisions, tuple[Rows, ...]]:
        return match_parts(self._snapshot.rows(decisions, elsewhere), picks, opened)

    # keeping it

    @property
    def _snapshot(self) -> Snapshot:
        said = self.decisions, self._touched, self._step, self._ever, len(self.picks), self._former, self._elsewhere
        return Snapshot(*said, self._elsewhere_since, self._marks, dict(self.view))

    def save_soon(self) -> None:
        """Save within a second, on another thread."""
        self._saver.put(self._snapshot)

    def save(self) -> bool:
        """Save now what isn't saved; whether all is."""
        return self._saver.flush()

    def save_copy(self, folder: Path) -> Path:
        """Write what is decided now into a folder where reviews aren't kept; the new file.

        Put where reviews are kept, it is found there. Its name is that of the session file.

        Raises
        ------
        SaveError
            If there is such a file already, or it can't be written.
        """
        path = folder / self.subject.file_name
        if path.exists():
            raise ExistsError(f"There is a file {path.name} in that folder already.", hint="Choose another folder.")
        try:
            return replace(self._store, folder=folder, _seen={}).save(self.subject, self._snapshot.rows(), self.view)
        except CryoETError as error:
            raise SaveError(error.message, hint="Choose another folder.") from error

    def _write(self, state: Snapshot) -> None:
        with _WRITING, self._store.alone():
            self._write_joined(state)
        if self._is_behind:
            self._is_behind, self.problem = False, ""
            self._recovered()

    def _on_unsaved(self, error: CryoETError) -> None:
        self._is_behind, self.problem = True, error.message
        self._failed(error)

    def _write_joined(self, state: Snapshot) -> None:
        """Write what is decided in all: of two that judged a pick, what was saved last."""
        decisions, elsewhere = state.decisions, state.elsewhere
        touched = state.touched.ids[state.touched.values > self._saved_step]
        if self._in_file is not None:
            decisions, elsewhere = self._in_file
            decisions = decisions.with_others(state.decisions, touched)
        try:
            theirs = self._store.others(self.subject)
        except FormatError as error:
            self._failed(error)
            theirs = None
        if theirs is not None:
            unknown = elsewhere if state.elsewhere_since > self._saved_step else ()
            decisions, elsewhere = join(decisions, unknown, touched, theirs, state.picks, opened=state.opened)
            self._their_marks = marks_before(theirs, state.picks, state.opened)
            self._theirs = states_before(theirs, state.picks, state.opened[0])[1:]
        has_news = theirs is not None
        if self._in_file is not None or has_news:  # a pick that others judged may have come here since
            found, elsewhere = match_parts(elsewhere, state.picks, state.opened)
            came = np.setdiff1d(found.judged_ids, np.union1d(decisions.judged_ids, state.touched.ids))
            decisions, has_news = decisions.with_others(found, came), has_news or len(came) > 0
        rows = state.rows(decisions, elsewhere, self._theirs, self._their_marks)
        self._store.save(self.subject, rows, state.view)
        self._saved_step = state.step
        if has_news or self._in_file is not None:
            self._in_file = decisions, elsewhere
        if has_news:
            self._joined_at[id(decisions)] = (decisions, state.step)
            while len(self._joined_at) > _JOINED_KEPT:  # nobody adopts them
                self._joined_at.pop(next(iter(self._joined_at)))
            self._joined(decisions)


def _no_filter() -> Filter:
    return Filter("", lambda table: np.ones(len(next(iter(table.values()), ())), dtype=bool))
