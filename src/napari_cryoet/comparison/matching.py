"""Which points of two sets are the same: one-to-one, no farther apart than a radius."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.comparison.assignment import cheapest_matches
from napari_cryoet.comparison.sorting import sorted_portions
from napari_cryoet.exceptions import ComparisonError
from napari_cryoet.stopping import raise_if_stopped

Method = Literal["optimal", "greedy"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)

#: More pairs within the radius would take gigabytes, and say that the radius is far larger than a particle.
MAX_PAIRS: Final = 10_000_000
_POINTS_AT_ONCE: Final = 50_000
#: In ångström: no position is so far, and from there on digits of distances are lost.
_FARTHEST: Final = 1e15
_A_LITTLE_MORE: Final = 1 + 1e-9
_PAIRS_SHARE: Final = 0.3  # of the work, for the progress


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """Pairs of the same thing: no row occurs twice on either side. Sorted by the rows of A."""

    rows_a: NDArray[np.intp]
    rows_b: NDArray[np.intp]
    distances: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.distances)


def match_points(
    points_a: NDArray[np.float64],
    points_b: NDArray[np.float64],
    radius: float,
    method: Method = "optimal",
    *,
    progress: Callable[[float], None] = lambda _share: None,
    stop: threading.Event | None = None,
) -> Matches:
    """Match points (n, 3) to points (m, 3) that are at most ``radius`` away, in whatever unit all of them have.

    Parameters
    ----------
    method
        ``"optimal"``: as many matches as there can be, and of all such choices one with the least sum of distances.
        ``"greedy"``: the nearest two first, then the nearest two of the rest; equal distances in the order of rows.

    Raises
    ------
    ComparisonError
        If more than `MAX_PAIRS` pairs lie within the radius, or a point is beyond all volumes.
    StoppedError
        When ``stop`` is set.
    """
    pairs = _pairs_within(points_a, points_b, radius, lambda share: progress(share * _PAIRS_SHARE), stop)

    def tell(share: float) -> None:
        progress(_PAIRS_SHARE + share * (1 - _PAIRS_SHARE))

    return match_pairs(pairs, len(points_a), len(points_b), method, progress=tell, stop=stop)


def match_pairs(
    pairs: Matches,
    n_a: int,
    n_b: int,
    method: Method,
    *,
    progress: Callable[[float], None] = lambda _share: None,
    stop: threading.Event | None = None,
) -> Matches:
    """Choose matches of all pairs that come into question; their ``distances`` may be costs of any kind."""
    if method == "greedy":
        chosen = _nearest_first(pairs, n_a, n_b, progress, stop)
    else:
        chosen = cheapest_matches(pairs.rows_a, pairs.rows_b, pairs.distances, n_a, n_b, progress=progress, stop=stop)
    chosen = chosen[np.argsort(pairs.rows_a[chosen])]
    return Matches(pairs.rows_a[chosen], pairs.rows_b[chosen], pairs.distances[chosen])


def _pairs_within(
    points_a: NDArray[np.float64],
    points_b: NDArray[np.float64],
    radius: float,
    progress: Callable[[float], None],
    stop: threading.Event | None,
) -> Matches:
    from scipy.spatial import cKDTree

    found = [Matches(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0))]
    if not len(points_a) or not len(points_b):
        return found[0]
    refuse_far(points_a, "A")
    refuse_far(points_b, "B")
    reach = radius * _A_LITTLE_MORE  # the tree compares squares; what is exactly as far as the radius is within
    tree_a, tree_b = cKDTree(points_a), cKDTree(points_b)
    if tree_a.count_neighbors(tree_b, reach) > MAX_PAIRS:
        raise ComparisonError(
            f"More than {MAX_PAIRS:,} pairs of points lie within that radius of each other.",
            hint="Choose a radius that is no larger than a particle.",
        )
    for start in range(0, len(points_a), _POINTS_AT_ONCE):
        raise_if_stopped(stop)
        progress(start / len(points_a))
        some = tree_a.indices[start : start + _POINTS_AT_ONCE]  # as they lie, so that each portion is near few others
        near = cKDTree(points_a[some]).sparse_distance_matrix(tree_b, reach, output_type="ndarray")
        rows_a, rows_b = some[near["i"]], near["j"].astype(np.intp)
        distances = np.linalg.norm(points_a[rows_a] - points_b[rows_b], axis=1)
        is_near = distances <= radius
        found.append(Matches(rows_a[is_near], rows_b[is_near], distances[is_near]))
    return Matches(
        np.concatenate([part.rows_a for part in found]),
        np.concatenate([part.rows_b for part in found]),
        np.concatenate([part.distances for part in found]),
    )


def refuse_far(points: NDArray[np.float64], letter: str) -> None:
    """Raise `ComparisonError` for positions in ångström of which no ångström is left in the digits of a number."""
    are_far = ~(np.abs(points) < _FARTHEST).all(axis=1)
    if are_far.any():
        row = int(np.argmax(are_far))
        raise ComparisonError(
            f"Pick {row + 1:,} of {letter} can't be compared: it is {np.abs(points[row]).max():g} Å from the first "
            "voxel, where no volume reaches.",
            hint="Remove it.",
        )


def _nearest_first(
    pairs: Matches, n_a: int, n_b: int, progress: Callable[[float], None], stop: threading.Event | None
) -> NDArray[np.intp]:
    if not len(pairs):
        return np.empty(0, dtype=np.intp)
    is_taken_a, is_taken_b = bytearray(n_a), bytearray(n_b)
    chosen: list[int] = []
    n_seen, most = 0, min(n_a, n_b)
    for order in sorted_portions((pairs.distances, pairs.rows_a, pairs.rows_b), partial(raise_if_stopped, stop)):
        progress(n_seen / len(pairs))
        n_seen += len(order)
        rows = zip(order.tolist(), pairs.rows_a[order].tolist(), pairs.rows_b[order].tolist(), strict=True)
        for pair, a, b in rows:
            if not is_taken_a[a] and not is_taken_b[b]:
                is_taken_a[a] = is_taken_b[b] = True
                chosen.append(pair)
        if len(chosen) == most:
            break
    return np.array(chosen, dtype=np.intp)
