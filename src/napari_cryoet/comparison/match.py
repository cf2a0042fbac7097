"""The numbers of a comparison: one-to-one matches, angles between orientations, scores, and how values are spread."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import ComparisonError, raise_if_stopped

Method = Literal["optimal", "greedy"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)
Progress = Callable[[float], None]
_POLL_S = 0.05
T = TypeVar("T")

#: More pairs within the radius take gigabytes; the radius is then far larger than a particle.
MAX_PAIRS: Final = 10_000_000
#: The largest cost table of one cluster: 320 MB, and about a second to solve.
MAX_TABLE: Final = 40_000_000
_AT_ONCE: Final = 2**16  # pairs between two looks at `stop`
_CLUSTERS_AT_ONCE: Final = 512
_LARGE_CLUSTER: Final = 4096  # of pairs


@dataclass(frozen=True, slots=True)
class Settings:
    """How to compare; see `napari_cryoet.compare`."""

    radius_angstrom: float
    beta: float
    method: Method
    fold: int
    iou_threshold: float
    progress: Progress
    stop: threading.Event | None


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """Rows of A and of B that are paired, and their distances or other costs."""

    rows_a: NDArray[np.intp]
    rows_b: NDArray[np.intp]
    costs: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.costs)

    def take(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> Matches:
        """Some of the pairs."""
        return Matches(self.rows_a[which], self.rows_b[which], self.costs[which])


def pairs_within(points_a: NDArray[np.float64], points_b: NDArray[np.float64], radius: float) -> Matches:
    """All pairs of points (n, 3) and (m, 3) that are at most ``radius`` apart.

    Raises
    ------
    ComparisonError
        If there are more than `MAX_PAIRS`.
    """
    from scipy.spatial import KDTree

    if not len(points_a) or not len(points_b):
        return Matches(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0))
    reach = radius * (1 + 1e-9)  # the trees compare squares and might lose a pair at exactly the radius
    tree_a, tree_b = KDTree(points_a), KDTree(points_b)
    if tree_a.count_neighbors(tree_b, reach) > MAX_PAIRS:
        raise _radius_too_large(f"More than {MAX_PAIRS:,} pairs are within this radius.")
    near = tree_a.sparse_distance_matrix(tree_b, reach, output_type="ndarray")
    rows_a, rows_b = near["i"].astype(np.intp), near["j"].astype(np.intp)
    distances = np.linalg.norm(points_a[rows_a] - points_b[rows_b], axis=1)
    return Matches(rows_a, rows_b, distances).take(distances <= radius)


def match_pairs(
    pairs: Matches,
    method: Method = "optimal",
    *,
    progress: Progress = lambda _share: None,
    stop: threading.Event | None = None,
) -> Matches:
    """Choose among possible pairs so that no row occurs twice; sorted by the rows of A.

    Parameters
    ----------
    method
        ``"optimal"``: as many matches as possible, and among these choices one with the smallest sum of costs.
        ``"greedy"``: the cheapest pair first, then the cheapest of the rest; ties in the order of rows.

    Raises
    ------
    ComparisonError
        If a cluster is too large to be solved.
    StoppedError
        When ``stop`` is set.
    """
    if not len(pairs):
        return pairs
    choose = _cheapest_first if method == "greedy" else _cheapest_in_all
    chosen = choose(pairs, progress, stop)
    return pairs.take(chosen[np.argsort(pairs.rows_a[chosen])])


def stoppable(work: Callable[[], T], stop: threading.Event | None) -> T:
    """Run one long call of NumPy or SciPy in a thread; abandon it with `StoppedError` once ``stop`` is set."""
    raise_if_stopped(stop)
    if stop is None:
        return work()
    executor = ThreadPoolExecutor(1, thread_name_prefix="napari-cryoet comparison")
    future = executor.submit(work)
    executor.shutdown(wait=False)
    while True:
        try:
            return future.result(_POLL_S)
        except TimeoutError:
            raise_if_stopped(stop)


def fold_of(symmetry: str) -> int:
    """How many times a particle looks the same in one turn about its z axis: 13 for ``"C13"``.

    Raises
    ------
    ValueError
        If it isn't C1, C2, ... C999.
    """
    match = re.fullmatch(r"[Cc]([1-9][0-9]{0,2})", str(symmetry).strip())
    if match is None:
        raise ValueError(f"symmetry must be C1, C2, C3, …, not {symmetry!r}")
    return int(match[1])


def angular_errors(
    rotations_a_xyz: NDArray[np.float64], rotations_b_xyz: NDArray[np.float64], fold: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The angles between orientations, and between their z axes, in degrees from 0 to 180.

    The quaternion (x, y, z, w) of the rotation from A to B, in the particle's frame, is a turn by 2 atan2(z, w) about
    z, then a tilt of z by 2 atan2(√(x² + y²), √(z² + w²)). An n-fold axis keeps the tilt and reduces the turn to what
    is beyond the nearest multiple of 360°/n. Formulas in atan2 stay exact for small angles.

    Parameters
    ----------
    rotations_a_xyz, rotations_b_xyz
        (n, 3, 3) proper rotations, active, particle to volume, in x, y, z.
    fold
        Of the rotational symmetry about the particle's z axis.
    """
    from scipy.spatial.transform import Rotation

    if len(rotations_a_xyz) == 0:
        return np.empty(0), np.empty(0)
    x, y, z, w = (Rotation.from_matrix(rotations_a_xyz).inv() * Rotation.from_matrix(rotations_b_xyz)).as_quat().T
    half_tilt = np.arctan2(np.hypot(x, y), np.hypot(z, w))
    turn = 2 * np.arctan2(z, w)
    period = 2 * np.pi / fold
    half_turn = (turn - period * np.rint(turn / period)) / 2
    sine = np.hypot(np.sin(half_tilt), np.cos(half_tilt) * np.sin(half_turn))
    half_angle = np.arctan2(sine, np.abs(np.cos(half_tilt) * np.cos(half_turn)))
    return np.degrees(2 * half_angle), np.degrees(2 * half_tilt)


@dataclass(frozen=True, slots=True)
class Scores:
    """How good A is, with B as the reference: counts, and scores from 0 to 1 or None where a set is empty."""

    true_positives: int
    false_positives: int
    false_negatives: int
    beta: float
    precision: float | None
    recall: float | None
    f_beta: float | None

    @property
    def why_undefined(self) -> dict[str, str]:
        """The reason for each score that is None."""
        reasons = {"precision": "A is empty.", "recall": "B is empty.", "f_beta": "Both are empty."}
        return {name: reason for name, reason in reasons.items() if getattr(self, name) is None}

    def plain(self) -> dict[str, Any]:
        """The numbers for JSON."""
        return asdict(self)


def scores_of(n_matched: int, n_a: int, n_b: int, beta: float = 1.0) -> Scores:
    """Scores of A, of which ``n_matched`` of ``n_a`` match one of the ``n_b`` of B.

    F-beta is van Rijsbergen's ``(1 + beta²) P R / (beta² P + R)`` in counts, so that it is defined unless both are
    empty. With ``beta`` 1 it is the Dice coefficient.
    """
    only_a, only_b = n_a - n_matched, n_b - n_matched
    total = (1 + beta**2) * n_matched + beta**2 * only_b + only_a
    return Scores(
        true_positives=n_matched,
        false_positives=only_a,
        false_negatives=only_b,
        beta=beta,
        precision=n_matched / n_a if n_a else None,
        recall=n_matched / n_b if n_b else None,
        f_beta=(1 + beta**2) * n_matched / total if total else None,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """Distances (``unit`` is ``"Å"``) or angles (``"°"``), summed up, with a histogram of one edge more than counts."""

    unit: str
    count: int
    mean: float
    median: float
    largest: float
    edges: NDArray[np.float64]
    counts: NDArray[np.int64]

    def plain(self) -> dict[str, Any]:
        """The numbers for JSON."""
        numbers = {name: getattr(self, name) for name in ("unit", "count", "mean", "median", "largest")}
        return numbers | {"histogram": {"edges": self.edges, "counts": self.counts}}

    def text(self, value: float) -> str:
        """One of its values with its unit; lengths in nm."""
        return f"{value:.1f}°" if self.unit == "°" else nm_text(value)


def spread_of(values: NDArray[np.float64], unit: str, *, top: float | None = None) -> Spread | None:
    """The spread of the values that are numbers, or None without any; the histogram may end at a given ``top``."""
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return None
    bottom = min(0.0, float(values.min()))
    end = top or max(float(values.max()), bottom + 0.1)  # a narrower histogram would show rounding errors
    counts, edges = np.histogram(np.clip(values, bottom, end), bins=20, range=(bottom, end))
    mean, median, largest = float(values.mean()), float(np.median(values)), float(values.max())
    return Spread(unit, len(values), mean, median, largest, edges, counts.astype(np.int64))


def nm_text(angstrom: float) -> str:
    """A length in nm, to a tenth of an ångström at most.

    >>> nm_text(150), nm_text(67.4), nm_text(6.58), nm_text(12345)
    ('15 nm', '6.74 nm', '0.66 nm', '1,234 nm')
    """
    length = angstrom / 10
    return f"{round(length, 2):.4g} nm" if abs(length) < 999.5 else f"{length:,.0f} nm"


def share_text(share: float) -> str:
    """A share in whole percent."""
    return f"{100 * share:.0f} %"


def _cheapest_first(pairs: Matches, progress: Progress, stop: threading.Event | None) -> NDArray[np.intp]:
    order = stoppable(lambda: np.lexsort((pairs.rows_b, pairs.rows_a, pairs.costs)), stop)
    taken_a, taken_b = bytearray(pairs.rows_a.max() + 1), bytearray(pairs.rows_b.max() + 1)
    chosen: list[int] = []
    for start in range(0, len(order), _AT_ONCE):
        raise_if_stopped(stop)
        progress(start / len(order))
        some = order[start : start + _AT_ONCE]
        for pair, a, b in zip(some.tolist(), pairs.rows_a[some].tolist(), pairs.rows_b[some].tolist(), strict=True):
            if not taken_a[a] and not taken_b[b]:
                taken_a[a] = taken_b[b] = True
                chosen.append(pair)
    return np.array(chosen, dtype=np.intp)


def _cheapest_in_all(pairs: Matches, progress: Progress, stop: threading.Event | None) -> NDArray[np.intp]:
    """Solve each cluster, that is all rows that hang together through pairs, by itself."""
    n_a, n_b = int(pairs.rows_a.max()) + 1, int(pairs.rows_b.max()) + 1
    cluster_of_row = _clusters(pairs, n_a, n_b)
    place_a, sizes_a = _within_clusters(cluster_of_row[:n_a])
    place_b, sizes_b = _within_clusters(cluster_of_row[n_a:])
    cluster = cluster_of_row[pairs.rows_a]
    order = stoppable(lambda: np.lexsort((pairs.costs, cluster)), stop)
    starts = np.flatnonzero(np.diff(cluster[order], prepend=-1))
    ends = np.append(starts[1:], len(order))
    shapes = np.column_stack([sizes_a[cluster[order[starts]]], sizes_b[cluster[order[starts]]]])
    is_hard = shapes.min(axis=1) > 1  # elsewhere, the cheapest pair is the answer
    chosen = [order[starts[~is_hard]]]
    hard = zip(starts[is_hard].tolist(), ends[is_hard].tolist(), shapes[is_hard].tolist(), strict=True)
    for count, (start, end, shape) in enumerate(hard):
        if count % _CLUSTERS_AT_ONCE == 0:
            raise_if_stopped(stop)
            progress(start / len(order))
        some = order[start:end]
        if shape[0] * shape[1] > MAX_TABLE:
            raise _radius_too_large(f"{shape[0]:,} picks of A and {shape[1]:,} of B form one cluster.")
        solve = partial(_solved, place_a[pairs.rows_a[some]], place_b[pairs.rows_b[some]], pairs.costs[some], shape)
        chosen.append(some[stoppable(solve, stop if len(some) > _LARGE_CLUSTER else None)])
    return np.concatenate(chosen)


def _clusters(pairs: Matches, n_a: int, n_b: int) -> NDArray[np.intp]:
    """The cluster of each row of A, and then of B."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs), np.int8), (pairs.rows_a, n_a + pairs.rows_b)), shape=(n_a + n_b,) * 2)
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.intp)


def _within_clusters(cluster_of_row: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The place of each row within its cluster, and the sizes of clusters."""
    sizes = np.bincount(cluster_of_row)
    order = np.argsort(cluster_of_row, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return place, sizes


def _solved(
    at_a: NDArray[np.intp], at_b: NDArray[np.intp], costs: NDArray[np.float64], shape: list[int]
) -> NDArray[np.bool_]:
    """Which pairs of one cluster are matches."""
    from scipy.optimize import linear_sum_assignment

    no_pair = (min(shape) + 1) * (costs[-1] or 1.0)  # more than any rearrangement can save
    table = np.full(shape, no_pair)
    table[at_a, at_b] = costs
    solved_a, solved_b = linear_sum_assignment(table)
    partner = np.full(shape[0], -1)
    partner[solved_a] = solved_b
    return np.asarray(partner[at_a] == at_b)


def _radius_too_large(message: str) -> ComparisonError:
    return ComparisonError(message, hint="Choose a radius no larger than a particle, or greedy matching.")
