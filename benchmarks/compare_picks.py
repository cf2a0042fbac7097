"""What it costs to compare two sets of picks: against plain loops, a full table of distances, and scipy's solvers.

    python benchmarks/compare_picks.py [--repeats 3] [--most 1000000] > result.json

Particles lie at random with a density of 0.05 a radius³, four in five are found, moved by a third of the radius,
and as many again as were missed are invented; all are oriented. "crowded" has a density of 1: each pick has four others
within the radius, and nearly all hang together. Plain ways grow with the square of the number of picks or worse and are
measured up to `MOST`. All ways that claim to be optimal must come to the same count and total distance.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from statistics import median
from typing import Any

import numpy as np
from arguments import how_often

from napari_cryoet import compare
from napari_cryoet.picks import Picks

RADIUS_ANGSTROM = 100.0
SPACING_ANGSTROM = 10.0
DENSITIES = {"usual": 0.05, "crowded": 1.0}
#: The most points that each way is measured with.
MOST = {"loops, greedy": 1_000, "table and linear_sum_assignment": 5_000, "min_weight_full_bipartite_matching": 30_000}


def two_sets(count: int, density: float, seed: int = 0) -> tuple[Picks, Picks]:
    """What a program found, and the truth."""
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(seed)
    side = (count / density) ** (1 / 3) * RADIUS_ANGSTROM
    truth = rng.uniform(0, side, (count, 3))
    kept = rng.permutation(count)[: count * 4 // 5]
    found = truth[kept] + rng.normal(0, RADIUS_ANGSTROM / 3 / math.sqrt(3), (len(kept), 3))
    found = np.concatenate([found, rng.uniform(0, side, (count - len(kept), 3))])
    rotations = Rotation.random(count, rng=rng).as_matrix()
    return (
        Picks(found / SPACING_ANGSTROM, SPACING_ANGSTROM, rotations_zyx=rotations),
        Picks(truth / SPACING_ANGSTROM, SPACING_ANGSTROM, rotations_zyx=rotations),
    )


def by_loops(a: Picks, b: Picks) -> tuple[int, float]:
    """Greedy, as one writes it down first."""
    pairs = []
    for i, p in enumerate(a.positions_angstrom_zyx.tolist()):
        for j, q in enumerate(b.positions_angstrom_zyx.tolist()):
            distance = math.dist(p, q)
            if distance <= RADIUS_ANGSTROM:
                pairs.append((distance, i, j))
    used_a, used_b, total = set(), set(), 0.0
    for distance, i, j in sorted(pairs):
        if i not in used_a and j not in used_b:
            used_a.add(i)
            used_b.add(j)
            total += distance
    return len(used_a), total


def by_table(a: Picks, b: Picks) -> tuple[int, float]:
    """Optimal, with all distances in one table."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    distances = cdist(a.positions_angstrom_zyx, b.positions_angstrom_zyx)
    alone = (len(a) + 1) * RADIUS_ANGSTROM
    costs = np.where(distances <= RADIUS_ANGSTROM, distances, alone)
    rows_a, rows_b = linear_sum_assignment(costs)
    matched = costs[rows_a, rows_b]
    matched = matched[matched < alone]
    return len(matched), float(matched.sum())


def by_sparse_solver(a: Picks, b: Picks) -> tuple[int, float]:
    """Optimal, with scipy's sparse solver: each pick of A may also stay alone."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching
    from scipy.spatial import cKDTree

    tree = cKDTree(b.positions_angstrom_zyx)
    near = cKDTree(a.positions_angstrom_zyx).sparse_distance_matrix(tree, RADIUS_ANGSTROM, output_type="ndarray")
    alone = (len(a) + 1) * RADIUS_ANGSTROM
    rows = np.concatenate([near["i"], np.arange(len(a))])
    columns = np.concatenate([near["j"], len(b) + np.arange(len(a))])
    costs = np.concatenate([near["v"], np.full(len(a), alone)]) + 1  # no cost may be zero
    graph = coo_array((costs, (rows, columns)), shape=(len(a), len(b) + len(a))).tocsr()
    rows_a, columns_b = min_weight_full_bipartite_matching(graph)
    matched = columns_b < len(b)
    apart = a.positions_angstrom_zyx[rows_a[matched]] - b.positions_angstrom_zyx[columns_b[matched]]
    return int(matched.sum()), float(np.linalg.norm(apart, axis=1).sum())


def ours(method: str) -> Any:
    def way(a: Picks, b: Picks) -> tuple[int, float]:
        found = compare(a, b, radius_angstrom=RADIUS_ANGSTROM, method=method)  # type: ignore[arg-type]
        return len(found.rows_a), float(found.distances_angstrom.sum())

    return way


WAYS: dict[str, Any] = {
    "ours, optimal": ours("optimal"),
    "ours, greedy": ours("greedy"),
    "loops, greedy": by_loops,
    "table and linear_sum_assignment": by_table,
    "min_weight_full_bipartite_matching": by_sparse_solver,
}


def benchmark(counts: list[int], repeats: int) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for kind, density in DENSITIES.items():
        for count in counts:
            if kind == "crowded" and count > 100_000:
                continue
            a, b = two_sets(count, density)
            found = {}
            for name, way in WAYS.items():
                if count > MOST.get(name, math.inf):
                    continue
                times = []
                for _ in range(repeats if count <= 100_000 else 1):
                    began = time.perf_counter()
                    found[name] = way(a, b)
                    times.append(time.perf_counter() - began)
                results[f"{kind}, {count:,}: {name}"] = {"s": round(median(times), 4), "matched": found[name][0]}
                print(kind, count, name, results[f"{kind}, {count:,}: {name}"], file=sys.stderr, flush=True)
            check(found)
    return results


def check(found: dict[str, tuple[int, float]]) -> None:
    """Those that claim the same must come to the same."""
    for same in (("ours, optimal", *list(WAYS)[3:]), ("ours, greedy", "loops, greedy")):
        answers = [found[name] for name in same if name in found]
        assert all(
            count == answers[0][0] and math.isclose(total, answers[0][1], rel_tol=1e-9) for count, total in answers
        ), answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=how_often, default=3)
    parser.add_argument("--most", type=int, default=1_000_000, help="points of the largest sets")
    given = parser.parse_args()
    counts = [count for count in (1_000, 5_000, 10_000, 100_000, 1_000_000) if count <= given.most]
    about = {"cpus": os.cpu_count(), "repeats": given.repeats, "radius_angstrom": RADIUS_ANGSTROM}
    print(json.dumps(about | {"results": benchmark(counts, given.repeats)}, indent=1))


if __name__ == "__main__":
    main()
