"""Soak test: a long random session that looks for leaks, hangs and wrong images.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/soak.py --minutes 10 --seed 0 --out
    soak.json

It performs random actions in a napari window, with a slow server that sometimes fails: planes,
axes, levels, 2D and 3D, zoom, showing, hiding, opening and closing layers, stopping and resuming,
and exact reads. After every tour of some actions, everything is closed, and memory, threads, files,
sockets and caches are counted. A line is fitted to each count after warm-up (the first third); its
growth, minus twice the standard error, must stay within a bound. At every pause, images are
compared with expected values. ``--control`` shows the same volumes from memory, to separate
napari's growth from ours. The exit code is 1 if there is any finding.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import gc
import itertools
import json
import math
import os
import random
import sys
import tempfile
import threading
import time
import traceback
import tracemalloc
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from shared import PLUGIN, counts_of, server_process

SHAPE = tuple(map(int, os.environ.get("BENCH_SHAPE", "280x300x270").split("x")))
SPACING_ANGSTROM = 10.0
KINDS = {"image": "image.zarr", "mask": "mask.zarr", "instances": "instances.zarr"}
LEVELS = 3
MEMORY_BYTES, DISK_LIMIT = 96 * 2**20, "60MB"
STUCK_S, QUIET_S = 60.0, 30.0
#: Maximum growth between warm-up and the end.
BOUNDS = {
    "private_mb": 40.0,
    "malloc_mb": 20.0,
    "traced_mb": 4.0,
    "threads": 2.0,
    "files": 2.0,
    "sockets": 2.0,
    "pyramids": 1.0,
    "displays": 1.0,
    "layers": 1.0,
    "cache_mb": 1.0,
}
_COUNTED = {"Pyramid": "pyramids", "Display": "displays", "Image": "layers", "Labels": "layers"}
Sample = dict[str, float]


def write_data(folder: Path) -> None:
    """Write a volume, a mask and instances in the portal's layout."""
    from napari_cryoet.formats.ome_zarr import write_pyramid

    noise = np.random.default_rng(0).normal(size=SHAPE).astype("f4")
    blobs = np.zeros(SHAPE, "u2")
    for number, centre in enumerate(
        np.random.default_rng(1).integers(20, min(SHAPE) - 20, (60, 3)), 1
    ):
        blobs[tuple(slice(c - 9, c + 9) for c in centre)] = number
    write_pyramid(folder / KINDS["image"], noise, SPACING_ANGSTROM)
    write_pyramid(folder / KINDS["mask"], (blobs > 0).astype("i1"), SPACING_ANGSTROM, "mask")
    write_pyramid(folder / KINDS["instances"], blobs, SPACING_ANGSTROM, "instances")


class Truth:
    """The expected values of all levels, in memory."""

    def __init__(self, folder: Path) -> None:
        import zarr

        self.levels = {
            kind: [
                zarr.open_array(folder / name / str(level), mode="r")[:] for level in range(LEVELS)
            ]
            for kind, name in KINDS.items()
        }

    def differs(self, layer: Any, kind: str) -> str:
        """Describe how a layer's last image differs from the expected values; empty if it doesn't.

        For a coarse level, either of the two planes around the finest one is accepted.
        """
        values = self.levels[kind][layer.data_level]
        raw = layer._slice.image.raw
        shown = list(layer._slice_input.displayed)
        corners = np.clip(layer.corner_pixels, 0, np.array(values.shape) - 1)
        tile = [slice(None) if len(shown) == 3 else slice(a, b + 1) for a, b in corners.T]
        choices: list[Any] = []
        for axis in range(3):
            if axis in shown:
                choices.append([tile[axis]])
                continue
            at = (
                layer.world_to_data(layer._slice_input.world_slice.point)[axis]
                / 2**layer.data_level
            )
            choices.append(
                sorted(
                    {
                        min(int(f(at + 1e-6)), values.shape[axis] - 1)
                        for f in (math.floor, math.ceil)
                    }
                )
            )
        for index in itertools.product(*choices):
            expected = values[index].transpose(np.argsort(np.argsort(shown)))
            if raw.shape == expected.shape and np.array_equal(raw, expected):
                return ""
        return f"{kind}, level {layer.data_level}, order {layer._slice_input.order}, {raw.shape} at {index}"


class Walk:
    """A window, its open layers, and the findings so far."""

    def __init__(self, url: str, folder: Path, seed: int, *, is_control: bool) -> None:
        import napari

        self.url, self.is_control = url, is_control
        self.random = random.Random(seed)
        self.truth = Truth(folder)
        self.viewer = napari.Viewer()
        self.open: dict[Any, tuple[str, Any, Any]] = {}  # layer: kind, status, pyramid
        self.findings: list[str] = []
        self.counts: Counter[str] = Counter()
        sys.excepthook = lambda kind, error, trace: self.note(
            "".join(traceback.format_exception(kind, error, trace))
        )
        threading.excepthook = lambda args: self.note(
            f"in thread {args.thread}: {args.exc_value!r}"
        )
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="soak")

    def note(self, finding: str) -> None:
        print(finding, file=sys.stderr, flush=True)
        self.findings.append(finding)

    def wait(self, ms: int) -> None:
        from qtpy.QtTest import QTest

        QTest.qWait(ms)

    def wait_for(self, condition: Any, timeout_s: float) -> bool:
        end = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end:
                return False
            self.wait(10)
        return True

    def in_thread(self, work: Any) -> Any:
        future = self._threads.submit(work)
        self.wait_for(future.done, STUCK_S * 4)
        return future.result(0)

    # actions

    def act(self) -> None:
        actions = (
            [self.scrub] * 6
            + [self.jump] * 3
            + [self.turn, self.dimensions, self.zoom, self.lock, self.hide]
        )
        actions += [
            self.add,
            self.add,
            self.remove,
            self.stop,
            self.retry,
            self.read,
            self.pause,
            self.pause,
        ]
        action = self.random.choice(actions)
        action()
        self.counts[action.__name__] += 1

    def scrub(self) -> None:
        axis, sign = self.viewer.dims.order[0], self.random.choice((-1, 1))
        for _ in range(self.random.randint(3, 15)):
            at = self.viewer.dims.current_step[axis] + sign * self.random.randint(1, 2)
            self.viewer.dims.set_current_step(axis, at)
            self.wait(self.random.choice((1, 10, 40)))

    def jump(self) -> None:
        axis = self.viewer.dims.order[0]
        self.viewer.dims.set_current_step(axis, self.random.randrange(SHAPE[axis]))
        self.wait(self.random.choice((1, 50, 200)))

    def turn(self) -> None:
        orders = ((0, 1, 2), (1, 0, 2), (2, 0, 1), (0, 2, 1))
        if len(self.viewer.dims.order) == 3:
            self.viewer.dims.order = self.random.choice(orders)
        self.wait(20)

    def dimensions(self) -> None:
        self.viewer.dims.ndisplay = self.random.choice((2, 2, 3))
        self.wait(50)

    def zoom(self) -> None:
        if self.random.random() < 0.5:
            self.viewer.reset_view()
        else:
            self.viewer.scene.camera.zoom *= self.random.choice((0.3, 0.6, 1.7, 4))
        self.wait(20)

    def lock(self) -> None:
        for layer in self.open:
            layer.locked_data_level = self.random.choice((None, None, 0, 1, 2))
        self.wait(20)

    def hide(self) -> None:
        for layer in self.open:
            layer.visible = self.random.random() < 0.8
        self.wait(20)

    def add(self) -> None:
        if len(self.open) >= 4:
            return
        kind = self.random.choice(list(KINDS))
        options: dict[str, Any] = {"scale": (SPACING_ANGSTROM,) * 3, "name": kind}
        options |= {"contrast_limits": (-3, 3)} if kind == "image" else {}
        if self.is_control:
            make = self.viewer.add_image if kind == "image" else self.viewer.add_labels
            self.open[make(self.truth.levels[kind], multiscale=True, **options)] = (
                kind,
                None,
                None,
            )
            return
        from napari_cryoet import CryoETError
        from napari_cryoet._qt.streaming.progressive import stream_of
        from napari_cryoet.streaming import pyramid_of

        try:
            (layer,) = self.viewer.open(f"{self.url}/{KINDS[kind]}", plugin=PLUGIN, **options)
        except CryoETError:
            self.counts["opening failed"] += 1  # expected with this server
            return
        self.open[layer] = (kind, stream_of(layer), pyramid_of(list(layer.data)))

    def remove(self, layer: Any = None) -> None:
        if not self.open:
            return
        layer = layer or self.random.choice(list(self.open))
        del self.open[layer]
        self.viewer.layers.remove(layer)

    def stop(self) -> None:
        for _, status, _ in self.open.values():
            if status is not None and self.random.random() < 0.5:
                status.stop()
        self.wait(20)

    def retry(self) -> None:
        for _, status, _ in self.open.values():
            if status is not None:
                status.retry()
        self.wait(20)

    def read(self) -> None:
        """Read a box exactly, like a script."""
        if not self.open:
            return
        kind, _, pyramid = self.random.choice(list(self.open.values()))
        level = self.random.randrange(3)
        values = self.truth.levels[kind][level]
        starts = [self.random.randrange(size) for size in values.shape]
        box = tuple(
            slice(a, min(a + self.random.randint(1, 40), n))
            for a, n in zip(starts, values.shape, strict=True)
        )
        if pyramid is None:
            return
        from napari_cryoet import CryoETError

        try:
            result = self.in_thread(lambda: pyramid.levels[level][box].compute(num_workers=2))
        except CryoETError:
            self.counts["read failed"] += 1
            return
        if not np.array_equal(result, values[box]):
            self.note(f"a read of {kind}, level {level}, {box} was wrong")
        self.counts["reads compared"] += 1

    def pause(self) -> None:
        """Wait until all layers are as sharp as possible, and compare them with the expected values."""
        self.retry()
        waiting = [layer for layer in self.open if layer.visible]
        if not self.wait_for(lambda: all(self._is_settled(layer) for layer in waiting), STUCK_S):
            states = [
                self.open[layer][1].state for layer in waiting if self.open[layer][1] is not None
            ]
            self.note(f"still not exact after {STUCK_S} s: {states}")
        self.wait(100)
        for layer in waiting:
            self._compare(layer)

    def _is_settled(self, layer: Any) -> bool:
        _, status, _ = self.open[layer]
        if status is None:
            return True
        state = status.state
        if state.error is not None:
            self.counts["errors told"] += 1
            status.retry()
        return state.is_exact or (state.is_limited and state.missing_blocks == 0)

    def _compare(self, layer: Any) -> None:
        kind, status, _ = self.open[layer]
        if status is not None and not status.state.is_exact:
            self.counts["pictures that were not to be exact"] += 1
            return
        if self.wait_for(lambda: not self.truth.differs(layer, kind), 5.0):
            self.counts["pictures compared"] += 1
        else:
            self.note(f"a picture was wrong: {self.truth.differs(layer, kind)}")

    # counting

    def close_all(self) -> None:
        for layer in list(self.open):
            self.remove(layer)
        self.viewer.dims.ndisplay = 2
        self.wait(50)

    def sample(self) -> Sample:
        """Close everything, wait until idle, and count what remains."""
        from napari_cryoet.streaming.engine import shared_engine

        self.close_all()
        engine = shared_engine()
        if not self.wait_for(lambda: engine.is_idle, QUIET_S):
            self.note(f"requests that don't end:\n{_stacks_of_own()}")
        for _ in range(3):
            gc.collect()
            self.wait(20)
        with suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)  # freed memory that glibc keeps isn't a leak
        links = []
        for link in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                links.append(os.readlink(link))
        alive = Counter(_COUNTED.get(type(item).__name__) for item in gc.get_objects())
        return {
            "private_mb": _private_mb(),
            "malloc_mb": _malloc_mb(),
            "traced_mb": tracemalloc.get_traced_memory()[0] / 2**20,
            "threads": threading.active_count(),
            "files": sum(not link.startswith("socket:") for link in links),
            "sockets": sum(link.startswith("socket:") for link in links),
            **{name: alive[name] for name in _COUNTED.values()},
            "cache_mb": engine.memory.size_bytes / 2**20,
        }


def _private_mb() -> float:
    return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) / 1024


_MALLINFO = (
    "arena",
    "ordblks",
    "smblks",
    "hblks",
    "hblkhd",
    "usmblks",
    "fsmblks",
    "uordblks",
    "fordblks",
    "keepcost",
)


class _MallInfo(ctypes.Structure):
    """glibc's ``mallinfo2``."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in _MALLINFO)


def _malloc_mb() -> float:
    """Memory allocated by glibc, without Python's small objects; 0 on other systems."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return 0.0
    mallinfo2.restype = _MallInfo
    info = mallinfo2()
    return float(info.uordblks + info.hblkhd) / 2**20


def _stacks_of_own() -> str:
    frames = sys._current_frames()
    mine = [thread for thread in threading.enumerate() if thread.name.startswith("napari-cryoet")]
    stacks = [
        "".join(traceback.format_stack(frames[own.ident])[-6:])
        for own in mine
        if own.ident in frames
    ]
    return "\n".join(stacks)


def growth(samples: list[Sample], key: str) -> tuple[float, float]:
    """Growth of a fitted line from the end of warm-up to the last sample, and twice its standard error."""
    values = np.array([sample[key] for sample in samples[len(samples) // 3 :]])
    if len(values) < 4:
        return 0.0, 0.0
    x = np.linspace(0, 1, len(values))
    slope, start = np.polyfit(x, values, 1)
    spread = np.sqrt(np.sum((values - slope * x - start) ** 2) / (len(values) - 2))
    return float(slope), float(2 * spread / np.sqrt(np.sum((x - x.mean()) ** 2)))


def walk(url: str, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Run random actions for some minutes, and return the findings."""
    from napari_cryoet.streaming.engine import shared_engine

    faulthandler.dump_traceback_later(QUIET_S * 10 + args.minutes * 120, exit=True)
    tracemalloc.start()
    session = Walk(url, folder, args.seed, is_control=args.control)
    shared_engine().memory.limit_bytes = MEMORY_BYTES
    samples: list[Sample] = []
    began, warm = time.monotonic(), None
    while time.monotonic() - began < args.minutes * 60:
        session.add()
        for _ in range(args.actions):
            session.act()
        samples.append(session.sample())
        print(
            len(samples),
            {k: round(v, 1) for k, v in samples[-1].items()},
            file=sys.stderr,
            flush=True,
        )
        if warm is None and time.monotonic() - began > args.minutes * 20:
            warm = tracemalloc.take_snapshot()
    gains = {key: growth(samples, key) for key in BOUNDS}
    for key, (gain, error) in gains.items():
        if gain - error > BOUNDS[key]:
            session.note(
                f"{key} grew by {gain:.1f} ± {error:.1f} after warm-up; {BOUNDS[key]} are allowed"
            )
    difference = tracemalloc.take_snapshot().compare_to(warm, "lineno")[:15] if warm else []
    return {
        "tours": len(samples),
        "actions": dict(session.counts),
        "server": counts_of(url),
        "growth_after_warm_up": {
            key: {"mean": round(g, 2), "error": round(e, 2)} for key, (g, e) in gains.items()
        },
        "most_grown": [str(line) for line in difference],
        "findings": session.findings,
        "samples": samples,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--actions", type=int, default=40, help="number of actions per tour")
    parser.add_argument(
        "--faults", type=float, default=0.03, help="fraction of responses that fail"
    )
    parser.add_argument("--latency", type=float, default=0.01, help="of each response, in seconds")
    parser.add_argument(
        "--control", action="store_true", help="show arrays in memory, without streaming"
    )
    parser.add_argument("--out", type=Path, help="also write the findings to this JSON file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "data")
        folder.mkdir()
        # don't use or change the user's settings and caches
        os.environ |= {
            "NAPARI_CONFIG": f"{temporary}/napari.yaml",
            "XDG_CACHE_HOME": temporary,
            "NAPARI_ASYNC": "0",
        }
        os.environ |= {
            "NAPARI_CRYOET_CACHE_DIR": f"{temporary}/pixels",
            "NAPARI_CRYOET_CACHE_LIMIT": DISK_LIMIT,
        }
        write_data(folder)
        with server_process(folder, latency=args.latency, faults=args.faults) as url:
            text = json.dumps(result := walk(url, folder, args), indent=1)
    print(text, flush=True)
    if args.out is not None:
        args.out.write_text(text + "\n")
    os._exit(bool(result["findings"]))  # skip the teardown of napari's window


if __name__ == "__main__":
    main()
