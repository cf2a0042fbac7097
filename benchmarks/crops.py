"""Measure the export of crops with threads, and with 1, 2 and 4 workers of a dask cluster.

    python benchmarks/crops.py [--line middle] [--repeats 3]

Eight runs, each with a tomogram and 128 picks, are served over a simulated network. New processes
with empty caches export cubes of 32 voxels. Prints medians: total seconds, crops per second, and MB
sent by the server.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import numpy as np
from shared import (
    SHAPE,
    Noise,
    Result,
    counts_of,
    finish,
    fresh_process,
    in_turns,
    line_server,
    options_of,
    report,
)

from napari_cryoet.runs.runs import Runs
from run_rows import rows_of_runs

RUNS, PICKS, CUBE, SPACING_ANGSTROM = 8, 128, 32, 10.0
CROPS_SHAPE = (min(128, SHAPE[0]), min(512, SHAPE[1]), min(512, SHAPE[2]))
WORKERS = ("threads", "1 worker", "2 workers", "4 workers")


def make_files(folder: Path) -> None:
    """Write the tomograms and the picks unless they exist."""
    from napari_cryoet.formats.ome_zarr import write_pyramid

    for run in range(RUNS):
        if not (folder / f"{run}.zarr" / ".zattrs").exists():
            write_pyramid(folder / f"{run}.zarr", Noise(CROPS_SHAPE), SPACING_ANGSTROM)
        points = np.random.default_rng(run).uniform(0, np.array(CROPS_SHAPE) - 1, (PICKS, 3))
        lines = (
            {"type": "point", "location": {"x": x, "y": y, "z": z}} for z, y, x in points.tolist()
        )
        (folder / f"{run}.ndjson").write_text("\n".join(map(json.dumps, lines)))


def measure(workers: str, url: str) -> Result:
    """Export all crops once, in this process or on a new cluster."""
    from napari_cryoet.basket.basket import Basket
    from napari_cryoet.exports import export
    from napari_cryoet.exports.selection import select
    from napari_cryoet.portal.portal import Source

    rows = rows_of_runs(url, RUNS, CROPS_SHAPE, SPACING_ANGSTROM)
    basket = Basket(runs=tuple(row["id"] for row in rows["runs"]))
    selection = select(basket, Runs.of_rows(rows), Source("url", url, "benchmark"))
    with tempfile.TemporaryDirectory() as folder:

        def cut(scheduler: str = "") -> float:
            path = Path(folder, "crops.zarr")
            started = time.perf_counter()
            done = export(selection, "crops", path, size=CUBE, scheduler=scheduler)
            took = time.perf_counter() - started
            assert done.n_picks == RUNS * PICKS
            return took

        if workers == "threads":
            took = cut()
        else:
            from distributed import LocalCluster

            count = int(workers.partition(" ")[0])
            with LocalCluster(
                n_workers=count, threads_per_worker=1, dashboard_address=None
            ) as cluster:
                took = cut(cluster.scheduler_address)
    return {"all, s": round(took, 2), "crops a second": round(RUNS * PICKS / took, 1)}


def main() -> None:
    args = options_of(__doc__).parse_args()
    if args.child:
        finish(measure(" ".join(args.child), args.url))
    with tempfile.TemporaryDirectory() as fresh:
        folder = args.data or Path(fresh)
        make_files(folder)
        with line_server(folder, args.line) as url:

            def measure_one(workers: str) -> Result:
                counts_of(url)
                result = fresh_process(__file__, "--child", *workers.split(), "--url", url)
                return result | {"fetched, MB": round(counts_of(url)["bytes"] / 1e6)}

            runs = in_turns(WORKERS, measure_one, args.repeats)
    report(args, runs)


if __name__ == "__main__":
    main()
