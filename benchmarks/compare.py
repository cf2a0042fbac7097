"""What comparing costs: picks against picks, picks against a mask, and a mask against a mask.

    python benchmarks/compare.py [--repeats 5] [--most 100000]

Particles are placed at random, 0.05 in a cubic radius. Four of five are found and moved by a third of the radius; as
many as were missed are invented; all are oriented. "Crowded" has 1 in a cubic radius, so that each pick has four others
within the radius, more than any sensible radius. Masks are spheres, one label each.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from statistics import median

import numpy as np

from napari_cryoet import Mask, Picks, compare

RADIUS_ANGSTROM, SPACING_ANGSTROM = 100.0, 10.0
USUAL, CROWDED = 0.05, 1.0


def two_sets(count: int, density: float) -> tuple[Picks, Picks]:
    """What a program found, and the truth."""
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(0)
    side = (count / density) ** (1 / 3) * RADIUS_ANGSTROM
    truth = rng.uniform(0, side, (count, 3))
    kept = rng.permutation(count)[: count * 4 // 5]
    found = truth[kept] + rng.normal(0, RADIUS_ANGSTROM / 3 / math.sqrt(3), (len(kept), 3))
    found = np.concatenate([found, rng.uniform(0, side, (count - len(kept), 3))])
    rotations = Rotation.random(count, rng=rng).as_matrix()
    a, b = (Picks(points / SPACING_ANGSTROM, SPACING_ANGSTROM, rotations_zyx=rotations) for points in (found, truth))
    return a, b


def spheres(side: int, step: int = 32, radius: float = 12) -> Mask:
    """A volume full of spheres in int32, as large as a binned tomogram."""
    z, y, x = np.meshgrid(*(np.arange(side, dtype=np.int32),) * 3, indexing="ij", sparse=True)
    is_in = ((z % step - step // 2) ** 2 + (y % step - step // 2) ** 2 + (x % step - step // 2) ** 2) < radius**2
    n = -(-side // step)
    return Mask(is_in * (1 + x // step + n * (y // step) + n * n * (z // step)), SPACING_ANGSTROM)


def timed(what: str, work: Callable[[], object], repeats: int) -> None:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    print(f"| {what} | {median(times):.2f} s |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--most", type=int, default=100_000, help="picks of the largest sets")
    given = parser.parse_args()
    print(f"| compared | median of {given.repeats} |\n|---|---|")
    for name, count, density, methods in (
        ("", 10_000, USUAL, ("optimal", "greedy")),
        ("", 100_000, USUAL, ("optimal", "greedy")),
        ("", 1_000_000, USUAL, ("optimal", "greedy")),
        (", crowded", 5_000, CROWDED, ("optimal", "greedy")),
        (", crowded", 100_000, CROWDED, ("greedy",)),
    ):
        if count <= given.most:
            a, b = two_sets(count, density)
            for method in methods:
                options = {"radius_angstrom": RADIUS_ANGSTROM, "method": method}
                timed(f"{count:,} picks{name}, {method}", lambda a=a, b=b, o=options: compare(a, b, **o), given.repeats)
    mask, (picks, _) = spheres(384), two_sets(10_000, USUAL)
    timed("10,000 picks, mask of 384³ voxels", lambda: compare(picks, mask), given.repeats)
    timed("two masks of 384³ voxels", lambda: compare(mask, mask), given.repeats)


if __name__ == "__main__":
    main()
