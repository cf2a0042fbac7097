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
    """What a pick was judged to be."""

    UNDECIDED = 0
    KEPT = 1
    REJECTED = 2

    @property
    def word(self) -> str:
        """Such as ``kept``."""
        return self.name.lower()

    @property
    def letter(self) -> str:
        """K, X or nothing: shown beside a colour, for those who can't tell the colours apart."""
        return ("", "K", "X")[self]


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    ids: NDArray[np.int64]
    before: NDArray[np.int8]
    after: NDArray[np.int8]


class Decisions:
    """Verdicts by pick id. A pick that isn't in it is undecided, and what it begins with can't be undone."""

    def __init__(self, verdicts: Mapping[int, Verdict] = MappingProxyType({})) -> None:
        self._codes = {int(pick_id): int(verdict) for pick_id, verdict in verdicts.items()}
        self._past: list[_Step] = []
        self._future: list[_Step] = []

    def __getitem__(self, pick_id: int) -> Verdict:
        return Verdict(self._codes.get(pick_id, 0))

    def codes(self, pick_ids: NDArray[np.int64]) -> NDArray[np.int8]:
        """The verdict of each pick, as a number."""
        return np.fromiter(map(self._codes.get, pick_ids.tolist(), repeat(0)), dtype=np.int8, count=len(pick_ids))

    # each of these returns the ids of the picks whose verdict it changed

    def judge(self, pick_ids: Iterable[int] | NDArray[np.int64], verdict: Verdict) -> NDArray[np.int64]:
        """Give picks a verdict, as one step."""
        ids = np.unique(np.fromiter(pick_ids, dtype=np.int64))
        before = self.codes(ids)
        is_changed = before != verdict
        if not is_changed.any():
            return ids[:0]
        step = _Step(ids[is_changed], before[is_changed], np.full(is_changed.sum(), verdict, dtype=np.int8))
        self._past.append(step)
        self._future.clear()
        return self._set(step.ids, step.after)

    def undo(self) -> NDArray[np.int64]:
        """Take back the last step."""
        if not self._past:
            return np.empty(0, dtype=np.int64)
        step = self._past.pop()
        self._future.append(step)
        return self._set(step.ids, step.before)

    def redo(self) -> NDArray[np.int64]:
        """Take the step again that was undone last."""
        if not self._future:
            return np.empty(0, dtype=np.int64)
        step = self._future.pop()
        self._past.append(step)
        return self._set(step.ids, step.after)

    def _set(self, ids: NDArray[np.int64], codes: NDArray[np.int8]) -> NDArray[np.int64]:
        self._codes.update(zip(ids.tolist(), codes.tolist(), strict=True))
        return ids


@dataclass(frozen=True, slots=True)
class Counts:
    """How many picks there are, and how many of them were kept and rejected."""

    total: int
    kept: int
    rejected: int

    @classmethod
    def of(cls, codes: NDArray[np.integer[Any]]) -> Counts:
        """Count verdicts, given as numbers."""
        _, kept, rejected = np.bincount(codes, minlength=len(Verdict)).tolist()
        return cls(len(codes), kept, rejected)

    @property
    def judged(self) -> int:
        """Kept or rejected."""
        return self.kept + self.rejected

    def __str__(self) -> str:
        return f"{self.judged:,} of {self.total:,} judged"
