"""How streaming scales: with the size of the volume, with the distance of the server, with the number of layers.

    python benchmarks/streaming_scaling.py [--repeats 5] [--only size,latency] [--plots docs/images] > result.json

Until the middle full-resolution z-plane is exact, without a viewer, in a new process each time with empty caches; then
the next plane, and the one after it (the first of another block). Volumes of any size come from ``endless_server.py``.
The rival reads whole chunks through zarr, fsspec and dask with as many dask threads as we have requests in flight (16),
and keeps none, so that its next plane costs as much as the first. It is measured up to 500 x 960 x 928 only: a plane of
1024 x 2048 x 2048 is 3.7 GB for it, 75 s at least on this line.
``window`` adds layers of any size to a real napari window (it needs a display; ``xvfb-run`` makes one) and tells how
long each part held up its event loop.
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
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from arguments import how_often, some_of
from slow_link import counted
from streaming_first_plane import THREADS, rival_levels

SIZES = ((256, 256, 256), (512, 512, 512), (500, 960, 928), (1024, 2048, 2048), (1024, 4096, 4096))
LARGEST_FOR_RIVAL = 500 * 960 * 928
USUAL = (500, 960, 928)
FOR_LAYERS = (512, 512, 512)
LATENCIES_MS = (1, 20, 60, 150, 300)
LATENCIES_FOR_RIVAL_MS = (1, 60, 300)
LAYERS = (1, 2, 3, 4, 6)
WHAT = ("size", "latency", "layers", "window")
TIMEOUT_S = 600
Result = dict[str, float]


def planes_of(variant: str, url: str) -> Any:
    """Open an image; what is returned reads a z-plane of it."""
    if variant == "rival":
        finest = rival_levels(url)[0]
        return lambda z: finest[z].compute()
    from napari_cryoet.streaming import open_pyramid

    pyramid = open_pyramid(url)
    across = tuple((0, size) for size in pyramid.shapes[0][1:])
    return lambda z: pyramid.read(0, ((z, z + 1), *across))[0]


def measure_planes(variant: str, urls: list[str], middle: int) -> Result:
    """Read planes of some images at once."""
    import dask.array
    import zarr  # noqa: F401 - imported before the clock starts

    import napari_cryoet.streaming.pyramid  # noqa: F401

    server = urls[0].rsplit("/", 2)[0]
    dask.config.set(num_workers=THREADS)
    result: Result = {}
    with ThreadPoolExecutor(len(urls)) as threads:
        counted(server)
        began = time.perf_counter()
        readers = list(threads.map(lambda url: planes_of(variant, url), urls))
        result["open_s"] = time.perf_counter() - began
        for step, name in enumerate(("first", "next", "after") if variant == "ours" else ("first",)):
            planes = list(threads.map(lambda reader, z=middle + step: reader(z), readers))
            result[f"{name}_s"] = time.perf_counter() - began
            sent = counted(server)
            result |= {f"{name}_mb": sent["bytes"] / 1e6, f"{name}_requests": sent["requests"]}
            for plane in planes:
                check(plane, middle + step)
            began = time.perf_counter()
    return result | {"peak_rss_mb": peak_rss_mb()}


def check(plane: Any, z: int) -> None:
    import numpy as np
    from endless_server import CHUNK, chunk_values

    y, x = (np.arange(0, size, 37) for size in plane.shape)
    expected = chunk_values()[z % CHUNK[0]]
    assert np.array_equal(plane[y[:, None], x], expected[y[:, None] % CHUNK[1], x % CHUNK[2]])


def measure_window(url: str) -> Result:
    """Open one volume in a window: what each part takes of the GUI thread, until the picture is exact, and one step."""
    import dask.array  # noqa: F401 - imported before the clock starts
    import napari
    import numpy as np
    from qtpy.QtCore import QTimer
    from qtpy.QtTest import QTest

    from napari_cryoet import make_layer
    from napari_cryoet.layers.specs import LayerSpec
    from napari_cryoet.streaming import open_pyramid

    viewer = napari.Viewer()
    viewer.add_image(np.zeros((8, 8, 8), "f4"))  # the first layer of a process costs 0.8 s more, whatever it is
    QTest.qWait(500)
    viewer.layers.clear()
    turns = [time.perf_counter()]
    timer = QTimer()
    timer.timeout.connect(lambda: turns.append(time.perf_counter()))
    timer.start(1)
    result: Result = {}

    def timed(name: str, work: Any) -> Any:
        began = time.perf_counter()
        value = work()
        result[name] = time.perf_counter() - began
        return value

    def until_exact(name: str) -> None:
        began = time.perf_counter()
        turns[:] = [began]
        while not status.state.is_exact:
            QTest.qWait(1)
            assert time.perf_counter() - began < 120
        result[f"{name}_s"] = time.perf_counter() - began
        result[f"{name}_stall_s"] = max(b - a for a, b in itertools.pairwise([*turns, time.perf_counter()]))

    pyramid = timed("open_s", lambda: open_pyramid(url))
    levels = timed("levels_s", lambda: pyramid.levels)
    spec = LayerSpec(levels, {"contrast_limits": (-3, 7)}, "image")
    layer, status = timed("make_layer_s", lambda: make_layer(spec, viewer=viewer))
    timed("add_layer_s", lambda: viewer.add_layer(layer))
    until_exact("exact")
    result["level"] = layer.data_level
    result["dask_chunks"] = float(levels[0].npartitions)
    timed("step_s", lambda: viewer.dims.set_current_step(0, 10))
    until_exact("step_exact")
    timed("turn_s", lambda: setattr(viewer.dims, "order", (1, 0, 2)))
    end = time.perf_counter() + 5
    turns[:] = [time.perf_counter()]
    while time.perf_counter() < end and not (status.state.is_exact or status.state.missing_blocks == 0):
        QTest.qWait(1)
    result["turn_stall_s"] = max(b - a for a, b in itertools.pairwise([*turns, time.perf_counter()]))
    began = time.perf_counter()
    float(levels[0][10, :256, :256].sum().compute())
    result["script_corner_s"] = time.perf_counter() - began
    return result | {"peak_rss_mb": peak_rss_mb()}


def peak_rss_mb() -> float:
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def run_child(kind: str, urls: list[str], middle: int) -> Result:
    with tempfile.TemporaryDirectory() as fresh:
        # settings and caches of whoever runs this are neither used nor changed
        own = {"NAPARI_CONFIG": f"{fresh}/napari.yaml", "XDG_CACHE_HOME": fresh, "NAPARI_ASYNC": "0"}
        own |= {"NAPARI_CRYOET_CACHE_DIR": f"{fresh}/pixels"}
        call = [sys.executable, __file__, "--child", kind, "--middle", str(middle), "--url", *urls]
        done = subprocess.run(
            call, check=False, capture_output=True, text=True, timeout=TIMEOUT_S, env=os.environ | own
        )
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        raise SystemExit(f"{kind}, {urls}: failed")
    return json.loads(done.stdout.strip().splitlines()[-1])


@contextmanager
def endless_server(latency_ms: float, given: argparse.Namespace) -> Iterator[str]:
    call = [sys.executable, str(Path(__file__).with_name("endless_server.py")), "--latency-ms", str(latency_ms)]
    call += ["--connection-mb-s", str(given.connection_mb_s), "--total-mb-s", str(given.total_mb_s)]
    server = subprocess.Popen(call, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield json.loads(server.stdout.readline())["url"]
    finally:
        server.terminate()
        server.wait()


def text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def measured(
    kind: str, server: str, shape: tuple[int, ...], given: argparse.Namespace, layers: int = 1
) -> dict[str, Any]:
    """Medians over new processes."""
    urls = [f"{server}/{text(shape)}/{name}.zarr" for name in "abcdef"[:layers]]
    repeats = given.rival_repeats if kind == "rival" and given.rival_repeats is not None else given.repeats
    runs = [run_child(kind, urls, shape[0] // 2) for _ in range(repeats)]
    medians = {key: round(median(run[key] for run in runs), 4) for key in runs[0]}
    print(kind, text(shape), layers, json.dumps(medians), file=sys.stderr, flush=True)
    return medians | {"repeats": repeats}


def benchmark(given: argparse.Namespace) -> dict[str, Any]:
    rows: dict[str, list[dict[str, Any]]] = {}
    only = given.only
    with endless_server(given.latency_ms, given) as server:
        for shape in SIZES if "size" in only else ():
            for kind in ("ours", "rival") if shape[0] * shape[1] * shape[2] <= LARGEST_FOR_RIVAL else ("ours",):
                row = {"kind": kind, "shape": shape, **measured(kind, server, shape, given)}
                rows.setdefault("size", []).append(row)
        for layers in LAYERS if "layers" in only else ():
            for kind in ("ours", "rival"):
                row = {"kind": kind, "layers": layers, **measured(kind, server, FOR_LAYERS, given, layers)}
                rows.setdefault("layers", []).append(row)
        for shape in SIZES if "window" in only else ():
            row = {"kind": "window", "shape": shape, **measured("window", server, shape, given)}
            rows.setdefault("window", []).append(row)
    for latency_ms in LATENCIES_MS if "latency" in only else ():
        with endless_server(latency_ms, given) as server:
            for kind in ("ours", "rival") if latency_ms in LATENCIES_FOR_RIVAL_MS else ("ours",):
                row = {"kind": kind, "latency_ms": latency_ms, **measured(kind, server, USUAL, given)}
                rows.setdefault("latency", []).append(row)
    about = {"threads": THREADS, "cpus": os.cpu_count(), "load": os.getloadavg()[1]}
    line = {name: getattr(given, name) for name in ("latency_ms", "connection_mb_s", "total_mb_s")}
    return about | line | {"rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=how_often, default=5)
    parser.add_argument("--rival-repeats", type=how_often, help="its runs are long; by default as often as ours")
    parser.add_argument("--only", type=some_of(WHAT), default=list(WHAT), help="of these, with commas")
    parser.add_argument("--latency-ms", type=float, default=60)
    parser.add_argument("--connection-mb-s", type=float, default=20)
    parser.add_argument("--total-mb-s", type=float, default=50)
    parser.add_argument("--plots", type=Path, help="the folder for a plot of each")
    parser.add_argument("--from", type=Path, dest="earlier", help="plot an earlier result instead of measuring")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--url", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--middle", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        is_window = given.child == "window"
        print(
            json.dumps(
                measure_window(*given.url) if is_window else measure_planes(given.child, given.url, given.middle)
            )
        )
        sys.stdout.flush()
        os._exit(0)  # what is still being fetched is no part of the measurement
    result = json.loads(given.earlier.read_text()) if given.earlier else benchmark(given)
    print(json.dumps(result, indent=1))
    sys.stdout.flush()  # first: a plot that can't be drawn must not take hours of measuring along
    if given.plots:
        from scaling_plots import draw

        given.plots.mkdir(parents=True, exist_ok=True)
        draw(result, given.plots)


if __name__ == "__main__":
    main()
