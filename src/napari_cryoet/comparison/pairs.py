"""Which two of several annotations to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

from napari_cryoet.provenance import Provenance


@dataclass(frozen=True, slots=True)
class Candidate:
    """An annotation that could be compared: picks or a mask, and its provenance."""

    are_picks: bool
    about: Provenance


def likely_pair(candidates: Sequence[Candidate], *, of: int | None = None) -> tuple[int, int]:
    """The numbers of the best matching A and B: same run, type and object, with a ground truth as B.

    ``of`` is the number of a candidate that takes part. Of equal pairs, it is the one with the last B.
    """
    numbers = range(len(candidates))
    pairs = [pair for pair in permutations(numbers, 2) if of is None or of in pair]
    return min(pairs, key=lambda pair: (_distance(*(candidates[each] for each in pair)), -pair[1]))


def _distance(a: Candidate, b: Candidate) -> tuple[bool, ...]:
    runs = {a.about.run_id, b.about.run_id} - {None}
    return (
        not a.are_picks and b.are_picks,  # can't be compared
        len(runs) > 1,
        a.are_picks is not b.are_picks,
        a.about.object_id != b.about.object_id,
        not b.about.is_ground_truth,
        bool(a.about.is_ground_truth),
    )
