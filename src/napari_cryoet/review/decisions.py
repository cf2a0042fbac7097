"""What a person decided about each pick, as a value: every change makes a new one that can be undone and redone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LONGEST_PAST = 1000  # steps that can be undone


class Verdict(Enum):
    """What a pick was judged to be."""

    UNDECIDED = "undecided"
    KEPT = "kept"
    REJECTED = "rejected"

    @property
    def letter(self) -> str:
        """K, X or nothing: what is said beside a colour, so that nobody needs to see the colour."""
        return {"kept": "K", "rejected": "X"}.get(self.value, "")


@dataclass(frozen=True, slots=True)
class _Change:
    """Verdicts before and after one step, of the picks that it changed."""

    before: Mapping[int, Verdict]
    after: Mapping[int, Verdict]


@dataclass(frozen=True, slots=True)
class Decisions:
    """Verdicts by pick id; whatever isn't there is undecided.

    Attributes
    ----------
    verdicts
        Of the picks that were judged.
    """

    verdicts: Mapping[int, Verdict] = field(default_factory=dict)
    _past: tuple[_Change, ...] = ()
    _future: tuple[_Change, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.verdicts, MappingProxyType):
            judged = {int(i): v for i, v in self.verdicts.items() if v is not Verdict.UNDECIDED}
            object.__setattr__(self, "verdicts", MappingProxyType(judged))

    def __getitem__(self, pick_id: int) -> Verdict:
        return self.verdicts.get(int(pick_id), Verdict.UNDECIDED)

    # one step on, back and on again

    def judged(self, pick_ids: Iterable[int], verdict: Verdict) -> Decisions:
        """With this verdict on some picks; where that changes nothing, the very same value."""
        before = {int(pick_id): self[pick_id] for pick_id in pick_ids}
        before = {pick_id: was for pick_id, was in before.items() if was is not verdict}
        if not before:
            return self
        change = _Change(before, dict.fromkeys(before, verdict))
        return Decisions(self._with(change.after), (*self._past, change)[-_LONGEST_PAST:])

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to take again."""
        return bool(self._future)

    def undone(self) -> Decisions:
        """Before the last step."""
        if not self._past:
            return self
        change = self._past[-1]
        return Decisions(self._with(change.before), self._past[:-1], (change, *self._future))

    def redone(self) -> Decisions:
        """With the step that was undone last."""
        if not self._future:
            return self
        change = self._future[0]
        return Decisions(self._with(change.after), (*self._past, change), self._future[1:])

    def with_others(self, verdicts: Mapping[int, Verdict]) -> Decisions:
        """With verdicts that were given elsewhere, which are no step of ours: undoing leaves them."""
        return Decisions(self._with(verdicts), self._past, self._future)

    def changed_by_last_step(self) -> frozenset[int]:
        """The picks that undoing would change."""
        return frozenset(self._past[-1].before) if self._past else frozenset()

    def _with(self, changes: Mapping[int, Verdict]) -> Mapping[int, Verdict]:
        verdicts = dict(self.verdicts)
        for pick_id, verdict in changes.items():
            if verdict is Verdict.UNDECIDED:
                verdicts.pop(pick_id, None)
            else:
                verdicts[pick_id] = verdict
        return MappingProxyType(verdicts)

    # what they say of some picks

    def ids(self, verdict: Verdict) -> NDArray[np.int64]:
        """The judged picks with a verdict, smallest id first."""
        return np.array(sorted(i for i, found in self.verdicts.items() if found is verdict), dtype=np.int64)

    def which(self, pick_ids: NDArray[np.int64], verdict: Verdict) -> NDArray[np.bool_]:
        """Which of these picks have a verdict, as a mask."""
        if verdict is Verdict.UNDECIDED:
            return ~np.isin(pick_ids, np.fromiter(self.verdicts, dtype=np.int64, count=len(self.verdicts)))
        return np.isin(pick_ids, self.ids(verdict))

    def count(self, pick_ids: NDArray[np.int64]) -> Counts:
        """How far one is with these picks."""
        kept = int(self.which(pick_ids, Verdict.KEPT).sum())
        return Counts(len(pick_ids), kept, int(self.which(pick_ids, Verdict.REJECTED).sum()))

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
        count = len(pick_ids)
        for distance in range(1, count + 1):
            place = (after + step * distance) % count
            if int(pick_ids[place]) not in self.verdicts:
                return place
        return None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many picks there are, and how many of them were kept and rejected."""

    total: int
    kept: int
    rejected: int

    @property
    def judged(self) -> int:
        """Kept or rejected."""
        return self.kept + self.rejected

    def __str__(self) -> str:
        return f"{self.judged:,} of {self.total:,} judged"
