"""What the disk cache saves when a tomogram is opened again in a new process, and what the store itself takes.

    xvfb-run -a python benchmarks/disk_cache.py [--repeats 5] [--data FOLDER] > result.json

The volume, the server and the measurements are those of ``streaming_first_plane.py``: the time from opening until the
middle full-resolution plane is there (``plane``) or in napari's window (``viewer``), and the requests and bytes until
then. Every run is a new process; ``local file`` opens the same OME-Zarr from disk, ``cold`` starts with an empty cache,
``warm`` with what an earlier process kept. ``asked`` sends the one request that an opening sends when the last one was
more than an hour ago, ``not asked`` is within that hour. Neither the local file nor what is kept is driven out of the
operating system's own cache. ``store`` is the time that keeping and finding one part takes, in milliseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import streaming_first_plane as first_plane
from arguments import how_often

VARIANTS = ("local file", "cold", "warm, asked", "warm, not asked")
AHEAD_MS = 5000  # until what a still viewer fetches ahead has come, and is kept too
KINDS = ("plane: pyramid.read", "viewer: ours")
PARTS = {"528 B": (528, 2000), "0.5 MB": (500_000, 100), "4 MB": (4_000_000, 16)}


def measure(kind: str, variant: str, url: str, folder: Path) -> dict[str, float]:
    from qtpy.QtTest import QTest

    import napari_cryoet.network.client  # noqa: F401 - as zarr, imported before the clock starts
    from napari_cryoet.streaming import sources
    from napari_cryoet.streaming.disk_cache import shared_disk_cache

    far_away = patch.object(sources, "is_this_computer", return_value=False)  # such a server isn't asked each time
    where = str(folder / "a.zarr") if variant == "local file" else f"{url}/a.zarr"
    with nullcontext() if variant == "warm, asked" else far_away:
        if kind.startswith("plane"):
            result = first_plane.measure_plane(kind, where)
        else:
            result = first_plane.measure_viewer(kind, where, str(folder))
            if variant == "cold":
                QTest.qWait(AHEAD_MS)
    cache = shared_disk_cache()
    assert cache is not None
    assert cache.flush(60)
    return result


def measure_store() -> dict[str, dict[str, float]]:
    from napari_cryoet.streaming.disk_cache import DiskCache
    from napari_cryoet.streaming.sources import Piece

    results = {}
    for name, (size, count) in PARTS.items():
        with tempfile.TemporaryDirectory() as folder:
            cache = DiskCache(Path(folder, "pixels"), 10**10)
            image, content = cache.image("https://files.example.org/a.zarr"), os.urandom(size)
            began = time.perf_counter()
            for number in range(count):
                cache.put(image, f"0/{number}", 0, Piece(content, "v", size))
            queued = time.perf_counter()
            assert cache.flush(60)
            written = time.perf_counter()
            for number in range(count):
                assert cache.find(image, f"0/{number}", 0, size) is not None
            found = time.perf_counter()
            cache.close()
        spans = {"queue_ms": queued - began, "write_ms": written - queued, "find_ms": found - written}
        results[name] = {key: round(1000 * seconds / count, 4) for key, seconds in spans.items()}
    return results


def run_child(kind: str, variant: str, url: str, folder: Path, cache: Path) -> dict[str, float]:
    call = [sys.executable, __file__, "--child", kind, variant, "--url", url, "--data", str(folder)]
    own = {"NAPARI_ASYNC": "0", "NAPARI_CRYOET_CACHE_DIR": str(cache), "NAPARI_CRYOET_CACHE_LIMIT": "5GB"}
    first_plane._reset(url)
    done = subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True, timeout=300, env=os.environ | own)
    return json.loads(done.stdout.strip().splitlines()[-1])


def run_all(kind: str, url: str, folder: Path, repeats: int) -> dict[str, Any]:
    """Medians of runs that take turns, so that a busy machine is busy for all of them."""
    runs: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as kept:
            for variant in VARIANTS:
                runs[variant].append(run_child(kind, variant, url, folder, Path(kept, "pixels")))
    medians = {
        variant: {key: round(median(run[key] for run in done), 3) for key in done[0]} for variant, done in runs.items()
    }
    print(kind, medians, file=sys.stderr, flush=True)
    return medians


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=how_often, default=5)
    parser.add_argument("--data", type=Path, help="where the volume is kept between runs")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(measure(*given.child, given.url, given.data)), flush=True)
        os._exit(0)  # what is still being fetched is no part of the measurement
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.data or Path(temporary)
        if not (folder / "a.zarr" / ".zattrs").exists():
            from napari_cryoet.formats.ome_zarr import write_pyramid

            write_pyramid(folder / "a.zarr", first_plane.Noise(), first_plane.SPACING_ANGSTROM)
        print(json.dumps(benchmark(folder, given.repeats), indent=1))


def benchmark(folder: Path, repeats: int) -> dict[str, Any]:
    call = [sys.executable, str(Path(__file__).with_name("slow_file_server.py")), str(folder)]
    server = subprocess.Popen(call, stdout=subprocess.PIPE, text=True)
    try:
        url = json.loads(server.stdout.readline())["url"]
        medians = {kind: run_all(kind, url, folder, repeats) for kind in KINDS}
    finally:
        server.terminate()
        server.wait()
    return {"cpus": os.cpu_count(), "repeats": repeats, "medians": medians, "store": measure_store()}


if __name__ == "__main__":
    main()
