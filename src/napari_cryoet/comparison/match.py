"""One-to-one matching of points or objects, and angles between orientations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import ComparisonError
from napari_cryoet.task import UNWATCHED, Task

MatchMethod = Literal["optimal", "greedy"]
METHODS: Final[tuple[MatchMethod, ...]] = get_args(MatchMethod)

#: More pairs would need gigabytes of memory; the radius is then far larger than a particle.
MAX_PAIRS: Final = 10_000_000
#: Maximum number of pairs in a cluster; larger ones take many minutes to solve.
MAX_CLUSTER: Final = 500_000
_SOLVED_AT_ONCE: Final = 500  # pairs of small clusters, to amortise the overhead of the solver
_SLACK: Final = 1 + 1e-9  # for rounding errors of picks that are exactly the radius apart


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Paired rows of A and B, and their distances or other costs."""

    rows_a: NDArray[np.intp]
    rows_b: NDArray[np.intp]
    costs: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.costs)

    def take(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> Pairs:
        """Select pairs."""
        return Pairs(self.rows_a[which], self.rows_b[which], self.costs[which])


def pairs_within(
    points_a: NDArray[np.float64], points_b: NDArray[np.float64], radius: float
) -> Pairs:
    """All pairs of points (n, 3) and (m, 3) that are at most ``radius`` apart."""
    from scipy.spatial import KDTree

    tree_a, tree_b = KDTree(points_a), KDTree(points_b)
    if tree_a.count_neighbors(tree_b, radius * _SLACK) > MAX_PAIRS:
        raise _radius_too_large(f"More than {MAX_PAIRS:,} pairs are within this radius.")
    near = tree_a.sparse_distance_matrix(tree_b, radius * _SLACK, output_type="ndarray")
    return Pairs(near["i"].astype(np.intp), near["j"].astype(np.intp), near["v"])


def match_pairs(pairs: Pairs, method: MatchMethod = "optimal", task: Task = UNWATCHED) -> Pairs:
    """Select pairs so that no row occurs twice, sorted by row of A.

    ``"optimal"``: the largest number of matches, with the smallest sum of costs.
    ``"greedy"``: the cheapest pair first, then the cheapest of the rest; ties are resolved by row.
    """
    if not len(pairs):
        return pairs
    chosen = _match_greedily(pairs) if method == "greedy" else _match_optimally(pairs, task)
    return pairs.take(chosen[np.argsort(pairs.rows_a[chosen])])


def angular_errors(
    rotations_a_xyz: NDArray[np.float64], rotations_b_xyz: NDArray[np.float64], fold: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Angles between orientations (n, 3, 3), and between their z axes, in degrees from 0 to 180.

    The quaternion (x, y, z, w) of the rotation from A to B, in the particle's frame, is a turn by 2
    atan2(z, w) about z, then a tilt of z by 2 atan2(√(x² + y²), √(z² + w²)). An n-fold axis keeps
    the tilt and reduces the turn to the difference from the nearest multiple of 360°/n. atan2 is
    accurate for small angles.
    """
    from scipy.spatial.transform import Rotation

    x, y, z, w = (
        (Rotation.from_matrix(rotations_a_xyz).inv() * Rotation.from_matrix(rotations_b_xyz))
        .as_quat()
        .T
    )
    half_tilt = np.arctan2(np.hypot(x, y), np.hypot(z, w))
    turn, period = 2 * np.arctan2(z, w), 2 * np.pi / fold
    half_turn = (turn - period * np.rint(turn / period)) / 2
    sine = np.hypot(np.sin(half_tilt), np.cos(half_tilt) * np.sin(half_turn))
    half_angle = np.arctan2(sine, np.abs(np.cos(half_tilt) * np.cos(half_turn)))
    return np.degrees(2 * half_angle), np.degrees(2 * half_tilt)


def _match_greedily(pairs: Pairs) -> NDArray[np.intp]:
    order = np.lexsort((pairs.rows_b, pairs.rows_a, pairs.costs))
    taken_a: set[int] = set()
    taken_b: set[int] = set()
    chosen: list[int] = []
    rows = zip(
        order.tolist(), pairs.rows_a[order].tolist(), pairs.rows_b[order].tolist(), strict=True
    )
    for pair, a, b in rows:
        if a not in taken_a and b not in taken_b:
            taken_a.add(a)
            taken_b.add(b)
            chosen.append(pair)
    return np.array(chosen, dtype=np.intp)


def _match_optimally(pairs: Pairs, task: Task) -> NDArray[np.intp]:
    """Solve the matching per cluster of connected rows; small clusters are solved together."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n_a, n_b = int(pairs.rows_a.max()) + 1, int(pairs.rows_b.max()) + 1
    links = coo_array(
        (np.ones(len(pairs), np.int8), (pairs.rows_a, n_a + pairs.rows_b)), shape=(n_a + n_b,) * 2
    )
    cluster = connected_components(links, directed=False)[1][pairs.rows_a]
    order = np.argsort(cluster, kind="stable")
    starts = np.flatnonzero(np.diff(cluster[order], prepend=-1))
    cuts = starts[np.flatnonzero(np.diff(starts // _SOLVED_AT_ONCE)) + 1]
    chosen: list[NDArray[np.intp]] = []
    for start, batch in zip([0, *cuts.tolist()], np.split(order, cuts), strict=True):
        task.step(start / len(order))
        if len(batch) > MAX_CLUSTER:
            raise _radius_too_large(f"{len(batch):,} pairs within this radius are connected.")
        chosen.append(batch[_are_matches(pairs.take(batch))])
    return np.concatenate(chosen)


def _are_matches(pairs: Pairs) -> NDArray[np.bool_]:
    """Solve the matching of whole clusters; return a mask of pairs.

    Leaving a row of A unmatched has a high cost.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    rows_a, at_a = np.unique(pairs.rows_a, return_inverse=True)
    rows_b, at_b = np.unique(pairs.rows_b, return_inverse=True)
    n_a, n_b = len(rows_a), len(rows_b)
    costs = pairs.costs + 1  # the solver treats 0 as no pair
    unmatched = np.full(
        n_a, (n_a + 1) * costs.max()
    )  # costs more than any other choice of pairs can save
    rows, columns = np.append(at_a, np.arange(n_a)), np.append(at_b, n_b + np.arange(n_a))
    table = csr_array((np.append(costs, unmatched), (rows, columns)), shape=(n_a, n_b + n_a))
    _, partners = min_weight_full_bipartite_matching(table)
    return np.asarray(partners[at_a] == at_b)


def _radius_too_large(message: str) -> ComparisonError:
    return ComparisonError(
        message, hint="Choose a radius no larger than a particle, or greedy matching."
    )
