"""Verdicts on picks, with undo and redo."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import repeat
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
