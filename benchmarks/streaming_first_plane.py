"""How long until the first exact full-resolution plane of a remote tomogram is on screen, and what it costs.

    python benchmarks/streaming_first_plane.py [--repeats 5] [--data FOLDER] > result.json

A volume of 500 x 960 x 928 float32 as the portal writes it, behind a loopback server with a latency of 60 ms, 20 MB/s
a connection and 50 MB/s in all. Every run is a new process with empty caches. Rivals (whole chunks through zarr,
fsspec and dask, as napari's OME-Zarr readers do it) get as many dask threads as we have requests in flight, and are
measured with their default as well. ``plane`` has no viewer; ``viewer`` adds the layer to a real one, and the longest
stall is the longest time in which its event loop did not turn.
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
import urllib.request
from pathlib import Path
from statistics import median
from typing import Any

from arguments import how_often

#: Voxels along z, y and x; ``BENCH_SHAPE=16x64x64`` tries any benchmark of this volume in a moment.
SHAPE = tuple(map(int, os.environ.get("BENCH_SHAPE", "500x960x928").split("x")))
SPACING_ANGSTROM = 13.48
THREADS = 16
LIMITS = (-3.0, 3.0)
VARIANTS = [
    "plane: rival",
    "plane: rival, default threads",
    "plane: dask levels",
    "plane: dask levels, default threads",
    "plane: pyramid.read",
    "viewer: in memory",
    "viewer: rival",
    "viewer: ours",
]


class Noise:
    """A volume of noise with some structure, made a box at a time."""

    shape = SHAPE

    def __init__(self) -> None:
        import numpy as np

        self.dtype = np.dtype("f4")

    def __getitem__(self, region: Any) -> Any:
        import numpy as np

        starts = [part.indices(size)[:2] for part, size in zip(region, SHAPE, strict=True)]
        z, y, x = np.ogrid[tuple(slice(*span) for span in starts)]
        values = np.random.default_rng([start for start, _ in starts]).normal(
            size=[stop - start for start, stop in starts]
        )
        return (values + np.sin(z / 17) * np.cos(y / 31) + np.sin(x / 23)).astype("f4")


def rival_levels(url: str, *, is_patient: bool = False) -> list[Any]:
    """Levels of whole chunks; a patient rival's HTTP library ends no request, which it does after five minutes."""
    import dask.array as da
    import zarr

    options: dict[str, Any] = {}
    if is_patient:
        import aiohttp

        options = {"client_kwargs": {"timeout": aiohttp.ClientTimeout(total=None)}}
    store = zarr.storage.FsspecStore.from_url(url, storage_options=options, read_only=True)
    group = zarr.open_group(store, mode="r", zarr_format=2)
    paths = [dataset["path"] for dataset in group.attrs["multiscales"][0]["datasets"]]
    return [da.from_zarr(group[path]) for path in paths]


def measure_plane(variant: str, url: str) -> dict[str, float]:
    import dask.array
    import zarr  # noqa: F401 - imported before the clock starts

    from napari_cryoet.streaming import open_pyramid

    if "default" not in variant:
        dask.config.set(num_workers=THREADS)
    began = time.perf_counter()
    middle = SHAPE[0] // 2
    if "rival" in variant:
        plane = rival_levels(url)[0][middle].compute()
    else:
        pyramid = open_pyramid(url)
        if "dask" in variant:
            plane = pyramid.levels[0][middle].compute()
        else:
            plane = pyramid.read(0, ((middle, middle + 1), (0, SHAPE[1]), (0, SHAPE[2])))[0]
    seconds = time.perf_counter() - began
    assert plane.shape == SHAPE[1:]
    used = _reset(url.rpartition("/")[0])
    return {"first_exact_s": seconds, "mb": used["bytes"] / 1e6, "requests": used["requests"]}


def measure_viewer(variant: str, url: str, folder: str) -> dict[str, float]:
    import dask.array
    import napari
    import numpy as np
    import zarr
    from qtpy.QtCore import QTimer
    from qtpy.QtTest import QTest

    from napari_cryoet import make_layer
    from napari_cryoet.layers.specs import LayerSpec
    from napari_cryoet.streaming import open_pyramid

    dask.config.set(num_workers=THREADS)
    viewer = napari.Viewer()
    viewer.add_image(np.zeros((8, 8, 8), "f4"))  # the first layer of a process costs 0.8 s more, whatever it is
    QTest.qWait(500)
    viewer.layers.clear()
    stored = zarr.open_array(f"{folder}/a.zarr/0", mode="r")
    expected = stored[(SHAPE[0] - 1) // 2]
    memory = [zarr.open_array(f"{folder}/a.zarr/{k}", mode="r")[:] for k in range(3)] if "memory" in variant else None
    turns = [time.perf_counter()]
    timer = QTimer()
    timer.timeout.connect(lambda: turns.append(time.perf_counter()))
    timer.start(1)
    QTest.qWait(50)
    turns[:] = [began := time.perf_counter()]
    options = {"contrast_limits": LIMITS, "scale": (SPACING_ANGSTROM,) * 3}
    if "ours" in variant:
        pyramid = _in_thread(lambda: open_pyramid(url))
        layer, _ = make_layer(LayerSpec(pyramid.levels, options, "image"), viewer=viewer)
        placeholder = np.float32(0.0)
        viewer.add_layer(layer)
    else:
        levels = memory if memory is not None else _in_thread(lambda: rival_levels(url))
        layer = viewer.add_image(levels, multiscale=True, cache=False, **options)
        placeholder = None
    first_any = None
    while True:
        raw = layer._slice.image.raw
        if (
            first_any is None
            and raw.shape == expected.shape
            and not (placeholder is not None and (raw == placeholder).all())
        ):
            viewer.window._qt_viewer.canvas._scene_canvas.swap_buffers()
            first_any = time.perf_counter() - began
        if raw.shape == expected.shape and np.array_equal(raw[::7, ::7], expected[::7, ::7]):
            break
        QTest.qWait(2)
        assert time.perf_counter() - began < 120
    exact = time.perf_counter() - began
    turns.append(time.perf_counter())
    stall = max(later - earlier for earlier, later in itertools.pairwise(turns))
    used = _reset(url.rpartition("/")[0])  # before anything is fetched ahead
    counts = {"mb": used["bytes"] / 1e6, "requests": used["requests"]}
    return counts | {"first_any_s": first_any or exact, "first_exact_s": exact, "longest_stall_s": stall}


def _in_thread(work: Any) -> Any:
    """Do it in a thread while the event loop turns, as any viewer would open a file."""
    from concurrent.futures import ThreadPoolExecutor

    from qtpy.QtTest import QTest

    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(work)
        while not future.done():
            QTest.qWait(1)
    return future.result()


def run_child(variant: str, url: str, folder: Path) -> dict[str, float]:
    call = [sys.executable, __file__, "--child", variant, "--url", f"{url}/a.zarr", "--data", str(folder)]
    _reset(url)
    own = {"NAPARI_ASYNC": "0", "NAPARI_CRYOET_CACHE_LIMIT": "off"}
    done = subprocess.run(call, check=True, capture_output=True, text=True, timeout=300, env=os.environ | own)
    return json.loads(done.stdout.strip().splitlines()[-1])


def _reset(url: str) -> dict[str, int]:
    if not url.startswith("http"):
        return {"bytes": 0, "requests": 0}
    with urllib.request.urlopen(f"{url}/?reset", timeout=10) as answer:
        return json.load(answer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=how_often, default=5)
    parser.add_argument("--data", type=Path, help="where the volume is kept between runs")
    parser.add_argument("--latency-ms", type=float, default=60)
    parser.add_argument("--connection-mb-s", type=float, default=20)
    parser.add_argument("--total-mb-s", type=float, default=50)
    parser.add_argument("--only", default="", help="only the variants whose name has this in it")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        measure = measure_plane(given.child, given.url) if given.child.startswith("plane") else None
        print(json.dumps(measure or measure_viewer(given.child, given.url, str(given.data))), flush=True)
        os._exit(0)  # what is still being fetched is no part of the measurement
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.data or Path(temporary)
        if not (folder / "a.zarr" / ".zattrs").exists():
            from napari_cryoet.formats.ome_zarr import write_pyramid

            write_pyramid(folder / "a.zarr", Noise(), SPACING_ANGSTROM)
        print(json.dumps(benchmark(given, folder), indent=1))


def benchmark(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    server_call = [sys.executable, str(Path(__file__).with_name("slow_file_server.py")), str(folder)]
    for name in ("latency_ms", "connection_mb_s", "total_mb_s"):
        server_call += [f"--{name.replace('_', '-')}", str(getattr(given, name))]
    server = subprocess.Popen(server_call, stdout=subprocess.PIPE, text=True)
    try:
        url = json.loads(server.stdout.readline())["url"]
        results = {}
        for variant in VARIANTS:
            if given.only in variant:
                runs = [run_child(variant, url, folder) for _ in range(given.repeats)]
                results[variant] = {key: round(median(run[key] for run in runs), 3) for key in runs[0]}
                print(variant, results[variant], file=sys.stderr, flush=True)
    finally:
        server.terminate()
        server.wait()
    link = {name: getattr(given, name) for name in ("latency_ms", "connection_mb_s", "total_mb_s")}
    return {
        "shape": SHAPE,
        "threads": THREADS,
        "cpus": os.cpu_count(),
        "repeats": given.repeats,
        **link,
        "medians": results,
    }


if __name__ == "__main__":
    main()
