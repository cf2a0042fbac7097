"""What a person decided about each pick, as a value: every change makes a new one that can be undone and redone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.review.by_id import ById, different

_LONGEST_PAST: Final = 1000  # steps that can be undone
_LOOKED_AT_FIRST: Final = 64


class Verdict(Enum):
    """What a pick was judged to be."""

    UNDECIDED = "undecided"
    KEPT = "kept"
    REJECTED = "rejected"

    @property
    def letter(self) -> str:
        """K, X or nothing: what is said beside a colour, so that nobody needs to see the colour."""
        return {"kept": "K", "rejected": "X"}.get(self.value, "")


#: Verdicts as small numbers, which arrays hold; undecided is 0.
VERDICTS: Final = (Verdict.UNDECIDED, Verdict.KEPT, Verdict.REJECTED)
CODES: Final = {verdict: code for code, verdict in enumerate(VERDICTS)}


@dataclass(frozen=True, slots=True, eq=False)
class _Change:
    """The picks that one step changed, and the codes of their verdicts before and after it."""

    ids: NDArray[np.int64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]


class Decisions:
    """Verdicts by pick id; whatever isn't there is undecided. Never changes: each step gives another one.

    Parameters
    ----------
    verdicts
        Of the picks that were judged.
    """

    __slots__ = ("_codes", "_future", "_past")

    def __init__(self, verdicts: Mapping[int, Verdict] = MappingProxyType({})) -> None:
        codes = {int(pick_id): CODES[verdict] for pick_id, verdict in verdicts.items()}
        ids = np.fromiter(codes, dtype=np.int64, count=len(codes))
        self._codes = ById().changed(ids, np.fromiter(codes.values(), dtype=np.int64, count=len(codes)))
        self._past: tuple[_Change, ...] = ()
        self._future: tuple[_Change, ...] = ()

    @property
    def verdicts(self) -> Mapping[int, Verdict]:
        """Of the picks that were judged, by id."""
        verdicts = map(VERDICTS.__getitem__, self._codes.values.tolist())
        return MappingProxyType(dict(zip(self._codes.ids.tolist(), verdicts, strict=True)))

    def __getitem__(self, pick_id: int) -> Verdict:
        return VERDICTS[int(self._codes.of(np.array([pick_id], dtype=np.int64))[0])]

    # one step on, back and on again

    def judged(self, pick_ids: Iterable[int] | NDArray[np.int64], verdict: Verdict) -> Decisions:
        """With this verdict on some picks; where that changes nothing, the very same value."""
        ids = different(pick_ids if isinstance(pick_ids, np.ndarray) else np.fromiter(pick_ids, dtype=np.int64))
        before = self._codes.of(ids)
        is_other = before != CODES[verdict]
        if not is_other.any():
            return self
        change = _Change(ids[is_other], before[is_other], np.full(is_other.sum(), CODES[verdict], dtype=np.int64))
        return self._with(change.ids, change.after, (*self._past, change)[-_LONGEST_PAST:])

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to take again."""
        return bool(self._future)

    def undone(self) -> Decisions:
        """Before the last step; what others decided since of its picks stays."""
        if not self._past:
            return self
        change = self._past[-1]
        ours = self._codes.of(change.ids) == change.after
        return self._with(change.ids[ours], change.before[ours], self._past[:-1], (change, *self._future))

    def redone(self) -> Decisions:
        """With the step that was undone last; what others decided since of its picks stays."""
        if not self._future:
            return self
        change = self._future[0]
        ours = self._codes.of(change.ids) == change.before
        return self._with(change.ids[ours], change.after[ours], (*self._past, change), self._future[1:])

    def with_others(self, others: Decisions, pick_ids: NDArray[np.int64]) -> Decisions:
        """With what others say of some picks, which is no step of ours: undoing leaves it."""
        ids = different(pick_ids)
        return self._with(ids, others.codes(ids), self._past, self._future)

    def changed_by_last_step(self) -> NDArray[np.int64]:
        """The picks that undoing would change, smallest id first."""
        if not self._past:
            return np.empty(0, dtype=np.int64)
        change = self._past[-1]
        return np.asarray(change.ids[self._codes.of(change.ids) == change.after])

    def _with(
        self,
        ids: NDArray[np.int64],
        codes: NDArray[np.int64],
        past: tuple[_Change, ...],
        future: tuple[_Change, ...] = (),
    ) -> Decisions:
        other = Decisions()
        other._codes, other._past, other._future = self._codes.changed(ids, codes), past, future
        return other

    # what they say of some picks

    @property
    def judged_ids(self) -> NDArray[np.int64]:
        """The judged picks, smallest id first."""
        return self._codes.ids

    def ids(self, verdict: Verdict) -> NDArray[np.int64]:
        """The judged picks with a verdict, smallest id first."""
        return np.asarray(self._codes.ids[self._codes.values == CODES[verdict]])

    def codes(self, pick_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The verdict of each of these picks, by its place in `VERDICTS`."""
        return self._codes.of(pick_ids)

    def which(self, pick_ids: NDArray[np.int64], verdict: Verdict) -> NDArray[np.bool_]:
        """Which of these picks have a verdict, as a mask."""
        return np.asarray(self._codes.of(pick_ids) == CODES[verdict])

    def count(self, pick_ids: NDArray[np.int64]) -> Counts:
        """How far one is with these picks."""
        return Counts.of(self._codes.of(pick_ids))

    def next_undecided(self, pick_ids: Sequence[int] | NDArray[Any], after: int, step: int = 1) -> int | None:
        """The place of the next undecided pick in a list, round its end; ``after`` and the answer are places.

        Parameters
        ----------
        pick_ids
            In the order in which they are looked at.
        after
            Where one is; -1 starts at the first.
        step
            1 looks onwards, -1 backwards.
        """
        ids = np.asarray(pick_ids, dtype=np.int64)
        first, many = 1, _LOOKED_AT_FIRST
        while first <= len(ids):  # most often the next one is near
            distances = np.arange(first, min(first + many, len(ids) + 1))
            places = (after + step * distances) % len(ids)
            undecided = np.flatnonzero(self._codes.of(ids[places]) == 0)
            if len(undecided):
                return int(places[undecided[0]])
            first, many = first + many, 8 * many
        return None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many picks there are, and how many of them were kept and rejected."""

    total: int
    kept: int
    rejected: int

    @classmethod
    def of(cls, codes: NDArray[np.integer[Any]]) -> Counts:
        """Of picks, by the code of each one's verdict."""
        _, kept, rejected = np.bincount(codes, minlength=len(VERDICTS)).tolist()
        return cls(len(codes), kept, rejected)

    @property
    def judged(self) -> int:
        """Kept or rejected."""
        return self.kept + self.rejected

    def __str__(self) -> str:
        return f"{self.judged:,} of {self.total:,} judged"
