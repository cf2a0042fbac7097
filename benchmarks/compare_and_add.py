"""Measure operations on many picks: comparing, opening in a window, stepping through planes, and deleting one.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/compare_and_add.py [--counts 1000
    100000 1000000]

Particles are placed at random, 0.05 per cubic radius, with orientations. The picks are four fifths
of them, displaced by a third of the radius, and as many false ones as were missed. They are
compared with the ground truth, and opened from a file with ``viewer.open``. Plain napari gets the
same numbers as a Points and a Vectors layer. Prints medians in seconds.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from shared import PLUGIN, Result, finish, fresh_process, in_turns, options_of, report

RADIUS_ANGSTROM, SPACING_ANGSTROM, DENSITY = 100.0, 10.0, 0.05
MASK_SIDE, SPHERE_STEP = 384, 32
N_STEPS = 20


def two_sets(count: int) -> tuple[Any, Any]:
    """Simulated picks and the ground truth."""
    from scipy.spatial.transform import Rotation

    from napari_cryoet import Picks

    random = np.random.default_rng(0)
    side = (count / DENSITY) ** (1 / 3) * RADIUS_ANGSTROM
    truth = random.uniform(0, side, (count, 3))
    kept = random.permutation(count)[: count * 4 // 5]
    picked = truth[kept] + random.normal(0, RADIUS_ANGSTROM / 3 / math.sqrt(3), (len(kept), 3))
    picked = np.concatenate([picked, random.uniform(0, side, (count - len(kept), 3))])
    rotations = Rotation.random(count, rng=random).as_matrix()
    a, b = (
        Picks(points / SPACING_ANGSTROM, SPACING_ANGSTROM, rotations_zyx=rotations)
        for points in (picked, truth)
    )
    return a, b


def spheres() -> Any:
    """A mask of spheres with one label each, the size of a binned tomogram."""
    from napari_cryoet import Mask

    z, y, x = np.ogrid[(slice(0, MASK_SIDE),) * 3]
    is_in = sum((at % SPHERE_STEP - SPHERE_STEP // 2) ** 2 for at in (z, y, x)) < 12**2
    n = -(-MASK_SIDE // SPHERE_STEP)
    labels = 1 + x // SPHERE_STEP + n * (y // SPHERE_STEP) + n * n * (z // SPHERE_STEP)
    return Mask((is_in * labels).astype("i4"), SPACING_ANGSTROM)


def compared(count: int) -> Result:
    """Measure comparisons of picks with picks, of picks with a mask, and of masks."""
    from napari_cryoet import compare

    a, b = two_sets(count)
    result = {
        f"compare {count:,} picks, {method}": timed(
            lambda m=method: compare(a, b, radius_angstrom=RADIUS_ANGSTROM, method=m)
        )
        for method in ("optimal", "greedy")
    }
    mask = spheres()
    result[f"compare {count:,} picks with a mask of {MASK_SIDE}³"] = timed(lambda: compare(a, mask))
    return result | {f"compare two masks of {MASK_SIDE}³": timed(lambda: compare(mask, mask))}


def timed(work: Callable[[], object]) -> float:
    """The duration of a call in seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def added(count: int, file: Path) -> Result:
    """Measure opening picks from a file in a new window."""
    viewer = new_window()
    seconds = timed(lambda: drawn(lambda: viewer.open(file, plugin=PLUGIN)))
    return {f"open {count:,} oriented picks": seconds} | edited(viewer, count)


def added_plainly(count: int, file: Path) -> Result:
    """Measure adding the same numbers to plain napari, without reading the file."""
    from napari_cryoet import read_picks

    picks = read_picks(file, spacing_angstrom=SPACING_ANGSTROM)
    axes = picks.rotations_zyx[:, :, 0] * RADIUS_ANGSTROM / SPACING_ANGSTROM
    viewer = new_window()

    def add() -> None:
        viewer.add_vectors(
            np.stack([picks.points_zyx, axes], axis=1), edge_width=2, vector_style="arrow"
        )
        viewer.add_points(picks.points_zyx, size=2 * RADIUS_ANGSTROM / SPACING_ANGSTROM)

    seconds = timed(lambda: drawn(add))
    return {f"open {count:,} oriented picks": seconds} | edited(viewer, count)


def edited(viewer: Any, count: int) -> Result:
    """Measure stepping through picks and deleting one."""
    from napari.layers import Points

    points = next(layer for layer in viewer.layers if isinstance(layer, Points))
    n_planes = int(viewer.dims.nsteps[0])
    planes = np.linspace(0.1 * n_planes, 0.9 * n_planes, N_STEPS).astype(int)
    steps = [
        timed(lambda p=plane: drawn(lambda: viewer.dims.set_current_step(0, p))) for plane in planes
    ]
    return {
        f"step through {count:,}, median": median(steps),
        f"step through {count:,}, worst": max(steps),
        f"delete one of {count:,}": timed(lambda: drawn(lambda: points.remove([0]))),
    }


def new_window() -> Any:
    """An empty napari window."""
    import napari
    from qtpy.QtTest import QTest

    viewer = napari.Viewer()
    QTest.qWait(500)
    return viewer


def drawn(work: Callable[[], object]) -> None:
    """Call a function and draw the result."""
    from qtpy.QtWidgets import QApplication

    work()
    for _ in range(3):
        QApplication.processEvents()


def main() -> None:
    parser = options_of(__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 100_000])
    args = parser.parse_args()
    if args.child:
        what, count, file = args.child[0], int(args.child[1]), args.child[2]
        finish(compared(count) if what == "compared" else PARTS[what](count, Path(file)))
    from napari_cryoet import write_picks

    with tempfile.TemporaryDirectory() as folder:
        for count in args.counts:
            write_picks(two_sets(count)[0], Path(folder, f"{count}.ndjson"))

        def measure(parts: str) -> Result:
            result: Result = {}
            for count in args.counts:
                for part in CANDIDATES[parts]:
                    result |= fresh_process(
                        __file__, "--child", part, count, Path(folder, f"{count}.ndjson")
                    )
            return result

        runs = in_turns(list(CANDIDATES), measure, args.repeats)
    report(args, runs)


PARTS = {"added": added, "added_plainly": added_plainly}
CANDIDATES = {"napari-cryoet": ("compared", "added"), "plain napari": ("added_plainly",)}

if __name__ == "__main__":
    main()
