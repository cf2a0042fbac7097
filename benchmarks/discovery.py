"""Measure searches and facets in a large portal, and the memory of its index.

    python benchmarks/discovery.py [--datasets 500 --runs 25000 --annotations 50000]

The generated portal has the proportions of the real one. A new process reads the saved index, then
searches after each typed letter and counts all facets. Prints medians and maxima.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

TYPED = ("ribosomes", "pombe membrane", "schafer", "cell membrane", "ribsome", "TS_012")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, size in (("datasets", 500), ("runs", 25_000), ("annotations", 50_000)):
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(measure(args.child)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "index.sqlite")
        keep(path, args.datasets, args.runs, args.annotations)
        done = subprocess.run(
            [sys.executable, __file__, "--child", path], capture_output=True, text=True, check=True
        )
        print(f"{args.datasets:,} datasets, {args.runs:,} runs, {args.annotations:,} annotations")
        print(f"kept on disk, MB  {path.stat().st_size / 1e6:.0f}")
        for name, value in json.loads(done.stdout).items():
            print(f"{name}  {value:.3g}")


def keep(path: Path, n_datasets: int, n_runs: int, n_annotations: int) -> None:
    """Write the index of a generated portal, like `read_index`."""
    from generated_portal import generated_tables
    from napari_cryoet.discovery.columns import COLUMNS
    from napari_cryoet.tables.database import Database

    database = Database(generated_tables(n_datasets, n_runs, n_annotations))
    for table in (*COLUMNS, "frames", "perSectionParameters"):
        database.load(table)
    database.save(path)


def measure(path: Path) -> dict[str, float]:
    """Measure reading the index, searches, and memory."""
    from napari_cryoet.discovery.facets import count_facets
    from napari_cryoet.discovery.index import Index
    from napari_cryoet.discovery.search import Condition, Search
    from napari_cryoet.portal.portal import Source
    from napari_cryoet.tables.database import Database

    conditions = (
        Condition(objects=("ribosome",), shapes=("Point",)),
        Condition(objects=("membrane",)),
    )
    searches = [Search(text=text[:length]) for text in TYPED for length in range(1, len(text) + 1)]
    searches += [
        Search(annotations=conditions, processing=("denoised",), spacing_angstrom=(None, 10.0)),
        Search(),
    ]
    before_mb, began = resident_mb(), time.perf_counter()
    index = Index(
        Database({}, saved=path), Source("url", "generated", "Generated"), datetime.now(UTC)
    )
    count_facets(index, Search())
    index.find(Search(text="a"))  # prepares the texts
    result = {"read the index, s": time.perf_counter() - began}
    took: dict[str, list[float]] = {}
    for unit in ("datasets", "runs"):
        for search in searches:
            began = time.perf_counter()
            index.find(search)
            after_find = time.perf_counter()
            count_facets(index, search, unit)
            took.setdefault("find", []).append(1000 * (after_find - began))
            took.setdefault(f"find and all facets of {unit}", []).append(
                1000 * (time.perf_counter() - began)
            )
    for name, times in took.items():
        result |= {f"{name}, ms": median(times), f"{name}, slowest, ms": max(times)}
    return result | {"memory more than before, MB": resident_mb() - before_mb}


def resident_mb() -> float:
    """The resident memory of this process; Linux only."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


if __name__ == "__main__":
    main()
