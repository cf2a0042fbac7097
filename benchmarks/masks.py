"""What nearly empty masks cost: the first exact plane, all of a mask, and a mask in the viewer.

    xvfb-run python benchmarks/masks.py [--repeats 5] [--data FOLDER] > result.json

Two masks of 500 x 960 x 928 voxels as the portal writes them, int8 (0 and 1) and uint16 (instances), behind a loopback
server (60 ms, 20 MB/s a connection, 50 MB/s in all). Every run is a new process without any cache on disk. Rivals
(whole chunks through zarr, fsspec and dask) get as many dask threads as we have requests in flight, and are measured
with their default as well; in the viewer, arrays in memory are the floor. Memory is by how much the process grew,
without the array that is computed.
"""

from __future__ import annotations

import argparse
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
from slow_link import PROFILES, Blobs, Profile, counted, slow_server
from streaming_first_plane import SHAPE, SPACING_ANGSTROM, THREADS, _in_thread, rival_levels

MIDDLE = SHAPE[0] // 2
KINDS = {"int8": "mask", "uint16": "instances"}
VARIANTS = [
    f"{what}: {who}"
    for what, whose in {
        "plane": ["rival", "rival, default threads", "ours"],
        "all": ["rival", "rival, default threads", "ours"],
        "viewer": ["in memory", "rival", "rival, default threads", "ours"],
    }.items()
    for who in whose
]


class Instances(Blobs):
    """The same balls, each with a number of its own."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.dtype = np.dtype("u2")

    def __getitem__(self, region: Any) -> Any:
        spans = [part.indices(size)[:2] for part, size in zip(region, SHAPE, strict=True)]
        z, y, x = np.ogrid[tuple(slice(*span) for span in spans)]
        values = np.zeros(np.broadcast_shapes(z.shape, y.shape, x.shape), "u2")
        for number, centre in enumerate(self._centres, 1):
            if all(a - 15 < at < b + 15 for (a, b), at in zip(spans, centre, strict=True)):
                at_z, at_y, at_x = centre
                values[(z - at_z) ** 2 + (y - at_y) ** 2 + (x - at_x) ** 2 < 15**2] = number
        return values


def measure(variant: str, url: str) -> dict[str, float]:
    import dask
    import zarr  # noqa: F401 - imported before the clock starts

    from napari_cryoet.streaming import open_pyramid

    if "default" not in variant:
        dask.config.set(num_workers=THREADS)
    before = _resident_mb()
    began = time.perf_counter()
    if "ours" in variant:
        pyramid = open_pyramid(url)
        box = None if variant.startswith("all") else ((MIDDLE, MIDDLE + 1), (0, SHAPE[1]), (0, SHAPE[2]))
        values = pyramid.read(0, box)
    else:
        level = rival_levels(url)[0]
        values = (level if variant.startswith("all") else level[MIDDLE : MIDDLE + 1]).compute()
    seconds = time.perf_counter() - began
    grown = _peak_mb() - before - values.nbytes / 1e6
    used = counted(url.rpartition("/")[0])
    sums = {"sum": float(values.sum(dtype=np.int64))}
    return {"s": seconds, "mb": used["bytes"] / 1e6, "requests": used["requests"], "memory_mb": grown} | sums


def measure_viewer(variant: str, url: str) -> dict[str, float]:
    import dask
    import napari
    import zarr  # noqa: F401 - imported before the clock starts
    from qtpy.QtCore import QTimer
    from qtpy.QtTest import QTest

    from napari_cryoet import make_layer
    from napari_cryoet._qt.warming import warm_up_layers
    from napari_cryoet.layers.specs import LayerSpec
    from napari_cryoet.streaming import open_pyramid

    warm_up_layers()  # as the dock does before anything can be opened
    if "default" not in variant:
        dask.config.set(num_workers=THREADS)
    viewer = napari.Viewer()
    viewer.add_labels(np.zeros((8, 8, 8), "u1"))  # the first layer of a process costs more, whatever it is
    QTest.qWait(500)
    viewer.layers.clear()
    source = open_pyramid(url)
    expected = source.read(0, (((SHAPE[0] - 1) // 2, (SHAPE[0] + 1) // 2), (0, SHAPE[1]), (0, SHAPE[2])))[0]
    in_memory = [source.read(level) for level in range(len(source.levels))] if "in memory" in variant else None
    counted(url.rpartition("/")[0])
    turns: list[float] = []
    timer = QTimer()
    timer.timeout.connect(lambda: turns.append(time.perf_counter()))
    timer.start(1)
    QTest.qWait(50)
    turns[:] = [began := time.perf_counter()]
    if "ours" in variant:
        pyramid = _in_thread(lambda: open_pyramid(url))  # a new one: it shares no block with the one above
        layer, _ = make_layer(LayerSpec(pyramid.levels, {"scale": (SPACING_ANGSTROM,) * 3}, "labels"), viewer=viewer)
        viewer.add_layer(layer)
    else:
        levels = in_memory or _in_thread(lambda: rival_levels(url))
        layer = viewer.add_labels(levels, multiscale=True, scale=(SPACING_ANGSTROM,) * 3)
    while not _shows(layer, expected):
        QTest.qWait(2)
        assert time.perf_counter() - began < 120
    seconds = time.perf_counter() - began
    turns.append(time.perf_counter())
    stall = max(later - earlier for earlier, later in itertools.pairwise(turns))
    used = counted(url.rpartition("/")[0])
    return {"s": seconds, "longest_stall_s": stall, "mb": used["bytes"] / 1e6, "requests": used["requests"]}


def _shows(layer: Any, expected: Any) -> bool:
    raw = layer._slice.image.raw
    return raw.shape == expected.shape and np.array_equal(raw, expected)


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _peak_mb() -> float:
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def run_child(variant: str, url: str) -> dict[str, float]:
    counted(url.rpartition("/")[0])
    call = [sys.executable, __file__, "--child", variant, "--url", url]
    own = {"NAPARI_ASYNC": "0", "NAPARI_CRYOET_CACHE_LIMIT": "off"}
    done = subprocess.run(call, check=True, capture_output=True, text=True, timeout=300, env=os.environ | own)
    return json.loads(done.stdout.strip().splitlines()[-1])


def benchmark(folder: Path, link: Profile, repeats: int, only: str) -> dict[str, Any]:
    from napari_cryoet.formats.ome_zarr import write_pyramid

    results: dict[str, Any] = {}
    for dtype, kind in KINDS.items():
        if not (folder / f"{kind}.zarr" / ".zattrs").exists():
            volume = Blobs(0) if dtype == "int8" else Instances(0)
            write_pyramid(folder / f"{kind}.zarr", volume, SPACING_ANGSTROM, kind)  # type: ignore[arg-type]
    with slow_server(folder, link) as url:
        for (dtype, kind), variant in itertools.product(KINDS.items(), VARIANTS):
            name = f"{dtype} {variant}"
            if only in name:
                runs = [run_child(variant, f"{url}/{kind}.zarr") for _ in range(repeats)]
                results[name] = {key: round(median(run[key] for run in runs), 3) for key in runs[0]}
                print(name, results[name], file=sys.stderr, flush=True)
    for (dtype, what), of in itertools.groupby(results, lambda name: (name.split(" ")[0], name.split(" ")[1])):
        assert len({results[name].get("sum") for name in of}) == 1, f"not the same {dtype} values: {what}"
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=how_often, default=5)
    parser.add_argument("--data", type=Path, help="where the masks are kept between runs")
    parser.add_argument("--line", choices=PROFILES, default="middle")
    parser.add_argument("--only", default="", help="only the variants whose name has this in it")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        does = measure_viewer if given.child.startswith("viewer") else measure
        print(json.dumps(does(given.child, given.url)), flush=True)
        os._exit(0)  # what is still being fetched is no part of the measurement
    with tempfile.TemporaryDirectory() as temporary:
        medians = benchmark(given.data or Path(temporary), PROFILES[given.line], given.repeats, given.only)
    about = {"shape": SHAPE, "threads": THREADS, "cpus": os.cpu_count(), "repeats": given.repeats, "line": given.line}
    print(json.dumps(about | {"medians": medians}, indent=1))


if __name__ == "__main__":
    main()
