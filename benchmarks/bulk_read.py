"""How fast large parts of a volume are read exactly, against zarr-python, at equal threads.

    python benchmarks/bulk_read.py [--repeats 5] [--data FOLDER] [--line near] > result.json

``whole`` is all of level 0, ``box`` a large part of it that cuts chunks. 256 x 960 x 928 float32 in three layouts: as
the portal writes them (zarr v2, chunks of 256^3, Blosc), zarr v3 with chunks of 64^3 in shards of 256^3 (Zstandard),
and zarr v3 without compression. From a local folder (in the page cache) and from the loopback server. ``zarr`` reads
by itself, with as many requests in flight as we have; ``dask`` is what viewers do with it, with as many threads.
``ratio`` is the time of each of these over those of `Pyramid.read` and of ``levels[0].compute()``. The variants take
turns, so that a busy machine slows all of them.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from arguments import how_often
from slow_link import PROFILES, Profile, slow_server
from streaming_first_plane import SHAPE as VOLUME_SHAPE
from streaming_first_plane import THREADS, Noise

SHAPE = (min(256, VOLUME_SHAPE[0]), *VOLUME_SHAPE[1:])
_BOX_OF = ((17, 241, 256), (100, 860, 960), (64, 850, 928))  # from, to, of
BOX = tuple((a * size // whole, b * size // whole) for (a, b, whole), size in zip(_BOX_OF, SHAPE, strict=True))
READERS = ("zarr", "dask", "ours: read", "ours: dask levels")
RIVALS = ("zarr", "dask")
LAYOUTS = ("portal", "sharded", "plain")


def write_layouts(folder: Path) -> None:
    import zarr
    from numcodecs import Blosc

    made: dict[str, dict[str, Any]] = {
        "portal": {
            "zarr_format": 2,
            "chunks": (256, 256, 256),
            "compressors": Blosc("lz4", 5, Blosc.SHUFFLE),
            "chunk_key_encoding": {"name": "v2", "separator": "/"},
        },
        "sharded": {"zarr_format": 3, "chunks": (64, 64, 64), "shards": (256, 256, 256)},
        "plain": {"zarr_format": 3, "chunks": (128, 256, 256), "compressors": None},
    }
    noise = Noise()
    for name, options in made.items():
        path = folder / f"{name}.zarr"
        if path.exists():
            continue
        array = zarr.create_array(path, shape=SHAPE, dtype="f4", **options)
        for y in range(0, SHAPE[1], 256):
            region = (slice(0, 256), slice(y, min(y + 256, SHAPE[1])), slice(0, SHAPE[2]))
            array[region] = noise[region]


def remote_store(url: str) -> Any:
    """What zarr reads an address through: fsspec with aiohttp where that is installed, else urllib3."""
    import zarr

    if importlib.util.find_spec("aiohttp") and importlib.util.find_spec("requests"):
        return zarr.storage.FsspecStore.from_url(url, read_only=True)
    from http_store import HttpStore

    return HttpStore(url, THREADS)


def measure(reader: str, url: str, part: str) -> dict[str, float]:
    import dask
    import dask.array as da
    import zarr

    from napari_cryoet.streaming import open_pyramid

    dask.config.set(num_workers=THREADS)
    zarr.config.set({"async.concurrency": THREADS, "threading.max_workers": THREADS})
    box = BOX if part == "box" else tuple((0, size) for size in SHAPE)
    slices = tuple(slice(*span) for span in box)
    began = time.perf_counter()
    if reader.startswith("ours"):
        pyramid = open_pyramid(url)
        values = pyramid.read(0, box) if "read" in reader else pyramid.levels[0][slices].compute()
    else:
        store = url if not url.startswith("http") else remote_store(url)
        array = zarr.open_array(store, mode="r")
        values = array[slices] if reader == "zarr" else da.from_zarr(array)[slices].compute()
    seconds = time.perf_counter() - began
    assert values.shape == tuple(stop - start for start, stop in box)
    status = Path("/proc/self/status").read_text()
    peak_mb = int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    return {"s": seconds, "peak_mb": peak_mb, "sum": float(np.float64(values[::3, ::5, ::7]).sum())}


def run_child(reader: str, url: str, part: str) -> dict[str, float]:
    call = [sys.executable, __file__, "--child", reader, "--url", url, "--part", part]
    own = {"NAPARI_CRYOET_CACHE_LIMIT": "off"}
    done = subprocess.run(call, check=True, capture_output=True, text=True, timeout=600, env=os.environ | own)
    return json.loads(done.stdout.strip().splitlines()[-1])


def benchmark(places: dict[str, str], repeats: int, only: str) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for (place, root), layout, part in itertools.product(places.items(), LAYOUTS, ("whole", "box")):
        name = f"{place}, {layout}, {part}"
        if only not in name:
            continue
        runs: dict[str, list[dict[str, float]]] = {reader: [] for reader in READERS}
        for _ in range(repeats):
            for reader in READERS:
                runs[reader].append(run_child(reader, f"{root}/{layout}.zarr", part))
        assert len({run["sum"] for of in runs.values() for run in of}) == 1, "not the same values"
        seconds = {reader: median(run["s"] for run in of) for reader, of in runs.items()}
        found = {
            reader: {"s": round(seconds[reader], 3), "peak_mb": round(median(run["peak_mb"] for run in of))}
            for reader, of in runs.items()
        }
        ratios = {
            ours: {rival: round(seconds[rival] / seconds[ours], 2) for rival in RIVALS}
            for ours in READERS
            if ours not in RIVALS
        }
        results[name] = found | {"ratio": ratios}
        print(name, results[name], file=sys.stderr, flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=how_often, default=5)
    parser.add_argument("--data", type=Path, help="where the volumes are kept between runs")
    parser.add_argument("--line", choices=PROFILES, default="near")
    parser.add_argument("--only", default="", help="only what has this in its name")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(measure(given.child, given.url, given.part)), flush=True)
        os._exit(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.data or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        write_layouts(folder)
        line: Profile = PROFILES[given.line]
        with slow_server(folder, line) as url:
            medians = benchmark({"disk": str(folder), "http": url}, given.repeats, given.only)
    about = {"shape": SHAPE, "threads": THREADS, "cpus": os.cpu_count(), "repeats": given.repeats, "line": given.line}
    print(json.dumps(about | {"medians": medians}, indent=1))


if __name__ == "__main__":
    main()
