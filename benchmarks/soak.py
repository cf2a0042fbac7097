"""An hour's browsing compressed in time: does anything grow, get stuck or show what isn't there?

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/soak.py --minutes 10 --seed 0 --out soak.json

A random walk in a napari window against a server that is slow and sometimes fails: planes, axes, levels, 2D and 3D,
zoom, layers shown, hidden, opened and closed, stop and go on, exact reads by a script. After every tour of some actions
all is closed, and memory, threads, files, sockets and caches are counted. A line is fitted to each count after warm-up
(the first third); what it grows by, less twice its standard error, must stay within a bound. At every pause what is
drawn is compared with the truth. ``--control`` shows the same volumes from memory, which tells napari's own growth from
ours. Exits with 1 on any finding.
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
#: What may be gained between warm-up and the end.
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
    """Write a volume, a mask and instances as the portal does."""
    from napari_cryoet.formats.ome_zarr import write_pyramid

    noise = np.random.default_rng(0).normal(size=SHAPE).astype("f4")
    blobs = np.zeros(SHAPE, "u2")
    for number, centre in enumerate(np.random.default_rng(1).integers(20, min(SHAPE) - 20, (60, 3)), 1):
        blobs[tuple(slice(c - 9, c + 9) for c in centre)] = number
    write_pyramid(folder / KINDS["image"], noise, SPACING_ANGSTROM)
    write_pyramid(folder / KINDS["mask"], (blobs > 0).astype("i1"), SPACING_ANGSTROM, "mask")
    write_pyramid(folder / KINDS["instances"], blobs, SPACING_ANGSTROM, "instances")


class Truth:
    """The values of all levels, in memory."""

    def __init__(self, folder: Path) -> None:
        import zarr

        self.levels = {
            kind: [zarr.open_array(folder / name / str(level), mode="r")[:] for level in range(LEVELS)]
            for kind, name in KINDS.items()
        }

    def differs(self, layer: Any, kind: str) -> str:
        """How the picture that a layer drew last differs from what it should be; nothing where it doesn't.

        The plane of a coarse level may be either of the two between which the finest one lies.
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
            at = layer.world_to_data(layer._slice_input.world_slice.point)[axis] / 2**layer.data_level
            choices.append(sorted({min(int(f(at + 1e-6)), values.shape[axis] - 1) for f in (math.floor, math.ceil)}))
        for index in itertools.product(*choices):
            expected = values[index].transpose(np.argsort(np.argsort(shown)))
            if raw.shape == expected.shape and np.array_equal(raw, expected):
                return ""
        return f"{kind}, level {layer.data_level}, order {layer._slice_input.order}, {raw.shape} at {index}"


class Walk:
    """A window, what is open in it, and what went wrong so far."""

    def __init__(self, url: str, folder: Path, seed: int, *, is_control: bool) -> None:
        import napari

        self.url, self.is_control = url, is_control
        self.random = random.Random(seed)
        self.truth = Truth(folder)
        self.viewer = napari.Viewer()
        self.open: dict[Any, tuple[str, Any, Any]] = {}  # layer: kind, status, pyramid
        self.findings: list[str] = []
        self.counts: Counter[str] = Counter()
        sys.excepthook = lambda kind, error, trace: self.note("".join(traceback.format_exception(kind, error, trace)))
        threading.excepthook = lambda args: self.note(f"in thread {args.thread}: {args.exc_value!r}")
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
        actions = [self.scrub] * 6 + [self.jump] * 3 + [self.turn, self.dimensions, self.zoom, self.lock, self.hide]
        actions += [self.add, self.add, self.remove, self.stop, self.retry, self.read, self.pause, self.pause]
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
            self.open[make(self.truth.levels[kind], multiscale=True, **options)] = (kind, None, None)
            return
        from napari_cryoet import CryoETError
        from napari_cryoet._qt.streaming.progressive import stream_of
        from napari_cryoet.streaming import pyramid_of

        try:
            (layer,) = self.viewer.open(f"{self.url}/{KINDS[kind]}", plugin=PLUGIN, **options)
        except CryoETError:
            self.counts["opening failed"] += 1  # as it may, with such a server
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
        """What a script would do: an exact read of some box."""
        if not self.open:
            return
        kind, _, pyramid = self.random.choice(list(self.open.values()))
        level = self.random.randrange(3)
        values = self.truth.levels[kind][level]
        starts = [self.random.randrange(size) for size in values.shape]
        box = tuple(slice(a, min(a + self.random.randint(1, 40), n)) for a, n in zip(starts, values.shape, strict=True))
        if pyramid is None:
            return
        from napari_cryoet import CryoETError

        try:
            found = self.in_thread(lambda: pyramid.levels[level][box].compute(num_workers=2))
        except CryoETError:
            self.counts["read failed"] += 1
            return
        if not np.array_equal(found, values[box]):
            self.note(f"a read of {kind}, level {level}, {box} was wrong")
        self.counts["reads compared"] += 1

    def pause(self) -> None:
        """Rest until all is as sharp as it gets, and compare it with the truth."""
        self.retry()
        waiting = [layer for layer in self.open if layer.visible]
        if not self.wait_for(lambda: all(self._is_settled(layer) for layer in waiting), STUCK_S):
            states = [self.open[layer][1].state for layer in waiting if self.open[layer][1] is not None]
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
        """Count what is left once all is closed and has come to rest."""
        from napari_cryoet.streaming.engine import shared_engine

        self.close_all()
        engine = shared_engine()
        if not self.wait_for(lambda: engine.is_idle, QUIET_S):
            self.note(f"requests that don't end:\n{_stacks_of_own()}")
        for _ in range(3):
            gc.collect()
            self.wait(20)
        with suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)  # glibc's: what it holds back of freed memory is nobody's leak
        links = []
        for link in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                links.append(os.readlink(link))
        alive = Counter(_COUNTED.get(type(each).__name__) for each in gc.get_objects())
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


_MALLINFO = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")


class _MallInfo(ctypes.Structure):
    """glibc's ``mallinfo2``."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in _MALLINFO)


def _malloc_mb() -> float:
    """What glibc has given out, without Python's small objects; 0 elsewhere."""
    try:
        ask = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return 0.0
    ask.restype = _MallInfo
    info = ask()
    return float(info.uordblks + info.hblkhd) / 2**20


def _stacks_of_own() -> str:
    frames = sys._current_frames()
    mine = [thread for thread in threading.enumerate() if thread.name.startswith("napari-cryoet")]
    stacks = ["".join(traceback.format_stack(frames[each.ident])[-6:]) for each in mine if each.ident in frames]
    return "\n".join(stacks)


def growth(samples: list[Sample], key: str) -> tuple[float, float]:
    """By how much a fitted line grows from the end of warm-up to the last sample, and twice its standard error."""
    values = np.array([sample[key] for sample in samples[len(samples) // 3 :]])
    if len(values) < 4:
        return 0.0, 0.0
    x = np.linspace(0, 1, len(values))
    slope, start = np.polyfit(x, values, 1)
    spread = np.sqrt(np.sum((values - slope * x - start) ** 2) / (len(values) - 2))
    return float(slope), float(2 * spread / np.sqrt(np.sum((x - x.mean()) ** 2)))


def walk(url: str, folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Walk for some minutes, and say what was found."""
    from napari_cryoet.streaming.engine import shared_engine

    faulthandler.dump_traceback_later(QUIET_S * 10 + given.minutes * 120, exit=True)
    tracemalloc.start()
    traveller = Walk(url, folder, given.seed, is_control=given.control)
    shared_engine().memory.limit_bytes = MEMORY_BYTES
    samples: list[Sample] = []
    began, warm = time.monotonic(), None
    while time.monotonic() - began < given.minutes * 60:
        traveller.add()
        for _ in range(given.actions):
            traveller.act()
        samples.append(traveller.sample())
        print(len(samples), {k: round(v, 1) for k, v in samples[-1].items()}, file=sys.stderr, flush=True)
        if warm is None and time.monotonic() - began > given.minutes * 20:
            warm = tracemalloc.take_snapshot()
    gains = {key: growth(samples, key) for key in BOUNDS}
    for key, (gain, error) in gains.items():
        if gain - error > BOUNDS[key]:
            traveller.note(f"{key} grew by {gain:.1f} ± {error:.1f} after warm-up; {BOUNDS[key]} are allowed")
    difference = tracemalloc.take_snapshot().compare_to(warm, "lineno")[:15] if warm else []
    return {
        "tours": len(samples),
        "actions": dict(traveller.counts),
        "server": counts_of(url),
        "growth_after_warm_up": {key: {"mean": round(g, 2), "error": round(e, 2)} for key, (g, e) in gains.items()},
        "most_grown": [str(line) for line in difference],
        "findings": traveller.findings,
        "samples": samples,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--actions", type=int, default=40, help="in a tour, after which all is closed and counted")
    parser.add_argument("--faults", type=float, default=0.03, help="the share of the server's answers that fail")
    parser.add_argument("--latency", type=float, default=0.01, help="of each answer, in seconds")
    parser.add_argument("--control", action="store_true", help="show arrays in memory instead")
    parser.add_argument("--out", type=Path, help="write the findings to this file too, as JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "data")
        folder.mkdir()
        # settings and caches of whoever runs this are neither used nor changed
        os.environ |= {"NAPARI_CONFIG": f"{temporary}/napari.yaml", "XDG_CACHE_HOME": temporary, "NAPARI_ASYNC": "0"}
        os.environ |= {"NAPARI_CRYOET_CACHE_DIR": f"{temporary}/pixels", "NAPARI_CRYOET_CACHE_LIMIT": DISK_LIMIT}
        write_data(folder)
        with server_process(folder, latency=given.latency, faults=given.faults) as url:
            text = json.dumps(result := walk(url, folder, given), indent=1)
    print(text, flush=True)
    if given.out is not None:
        given.out.write_text(text + "\n")
    os._exit(bool(result["findings"]))  # napari's window is not ours to take down


if __name__ == "__main__":
    main()
