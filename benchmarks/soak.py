"""An hour's scrubbing compressed in time: does anything grow, get stuck or show what isn't there?

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/soak.py --minutes 10 --seed 0 > soak.json

A random walk in a real napari window against a server that is slow and sometimes fails: planes, axes, levels, 2D and
3D, zoom, layers shown, hidden, opened and closed, stop and go on, exact reads by a script. After every tour of
``--actions`` actions all is closed, and once what must end has ended, memory, threads, files, sockets and caches are
counted. ``malloc_mb`` is what glibc's allocations hold that nobody has given back yet, ``malloc_free_mb`` what was
given back and lies between them: where only that grows with ``private_mb``, memory is in pieces but nobody's leak.
After warm-up (the first third) none may grow: a line is fitted, and what it grows by from there to the end, less twice
its standard error, must stay within a bound. At the end of every pause what is drawn is compared with the truth.
``--control`` shows the same volumes from memory, which tells napari's own growth from ours. Exits with 1 on any
finding.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import gc
import json
import os
import random
import subprocess
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
from slow_link import counted
from soak_data import KINDS, SHAPE, SPACING_ANGSTROM, Truth, write_data

MEMORY_BYTES = 96 * 2**20
DISK_LIMIT = "60MB"
STUCK_S = 60.0
QUIET_S = 30.0
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
    "cache_blocks": 1.0,
    "cache_mb": 1.0,
}
Sample = dict[str, float]


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
        self.seconds: Counter[str] = Counter()
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
        began = time.monotonic()
        action()
        self.counts[action.__name__] += 1
        self.seconds[action.__name__] += time.monotonic() - began

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
        from napari_cryoet import make_layer
        from napari_cryoet.exceptions import CryoETError
        from napari_cryoet.layers.specs import LayerSpec
        from napari_cryoet.streaming import open_pyramid

        cache: Any = self.random.choice((None, "shared"))
        try:
            pyramid = self.in_thread(lambda: open_pyramid(f"{self.url}/{KINDS[kind]}", cache=cache))
        except CryoETError:
            self.counts["opening failed"] += 1  # as it may, with such a server
            return
        spec = LayerSpec(pyramid.levels, options, "image" if kind == "image" else "labels")
        layer, status = make_layer(spec, viewer=self.viewer)
        self.viewer.add_layer(layer)
        self.open[layer] = (kind, status, pyramid)

    def remove(self, layer: Any = None) -> None:
        if not self.open:
            return
        layer = layer or self.random.choice(list(self.open))
        _, status, pyramid = self.open.pop(layer)
        self.viewer.layers.remove(layer)
        if pyramid is not None:
            status.close()
            pyramid.close()

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
        from napari_cryoet.exceptions import CryoETError

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
        untrimmed_mb = _private_mb()
        with suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)  # glibc's: what it holds back of freed memory is nobody's leak
        malloc_mb, malloc_free_mb = _malloc_mb()
        alive = Counter(type(each).__name__ for each in gc.get_objects() if type(each).__name__ in _WATCHED)
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        links = []
        for link in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                links.append(os.readlink(link))
        return {
            "private_mb": _private_mb(),
            "untrimmed_mb": untrimmed_mb,
            "malloc_mb": malloc_mb,
            "malloc_free_mb": malloc_free_mb,
            "rss_mb": int(status["VmRSS"].split()[0]) / 1024,
            "traced_mb": tracemalloc.get_traced_memory()[0] / 2**20,
            "threads": threading.active_count(),
            "os_threads": int(status["Threads"]),
            "files": sum(not link.startswith("socket:") for link in links),
            "sockets": sum(link.startswith("socket:") for link in links),
            "pyramids": alive["Pyramid"],
            "displays": alive["Display"],
            "layers": alive["Image"] + alive["Labels"],
            "cache_blocks": len(engine.memory._entries),
            "cache_mb": engine.memory.size_bytes / 2**20,
        }


_WATCHED = {"Pyramid", "Display", "Image", "Labels"}


def _own_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("napari-cryoet")]


def _private_mb() -> float:
    return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) / 1024


_MALLINFO = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")


class _MallInfo(ctypes.Structure):
    """glibc's ``mallinfo2``."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in _MALLINFO)


def _malloc_mb() -> tuple[float, float]:
    """What glibc has given out (Python's small objects aren't among it) and what it holds free; zeros elsewhere."""
    try:
        ask = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return 0.0, 0.0
    ask.restype = _MallInfo
    info = ask()
    return (info.uordblks + info.hblkhd) / 2**20, info.fordblks / 2**20


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


def walk(url: str, given: argparse.Namespace) -> dict[str, Any]:
    from napari_cryoet.streaming.engine import shared_engine

    faulthandler.dump_traceback_later(QUIET_S * 10 + given.minutes * 120, exit=True)
    shared_engine().memory.limit_bytes = MEMORY_BYTES
    tracemalloc.start(given.frames)
    traveller = Walk(url, given.data, given.seed, is_control=given.control)
    samples: list[Sample] = []
    began = time.monotonic()
    warm = None
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
        "minutes": given.minutes,
        "seed": given.seed,
        "is_control": given.control,
        "tours": len(samples),
        "actions": dict(traveller.counts),
        "seconds": {name: round(seconds, 1) for name, seconds in traveller.seconds.items()},
        "server": counted(url),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "growth_after_warm_up": {key: {"mean": round(g, 2), "error": round(e, 2)} for key, (g, e) in gains.items()},
        "first_sample": samples[0],
        "last_sample": samples[-1],
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
    parser.add_argument("--latency-ms", type=float, default=10)
    parser.add_argument("--frames", type=int, default=1, help="of the stack that are kept for each allocation")
    parser.add_argument("--control", action="store_true", help="show arrays in memory instead")
    parser.add_argument("--data", type=Path, help="where the volumes are kept between runs")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        given.data = given.data or Path(temporary) / "data"
        given.data.mkdir(exist_ok=True)
        # settings and caches of whoever runs this are neither used nor changed
        os.environ |= {"NAPARI_CONFIG": f"{temporary}/napari.yaml", "XDG_CACHE_HOME": temporary, "NAPARI_ASYNC": "0"}
        os.environ |= {"NAPARI_CRYOET_CACHE_DIR": f"{temporary}/pixels", "NAPARI_CRYOET_CACHE_LIMIT": DISK_LIMIT}
        write_data(given.data)
        call = [sys.executable, str(Path(__file__).with_name("faulty_file_server.py")), str(given.data)]
        call += ["--faults", str(given.faults), "--seed", str(given.seed), "--latency-ms", str(given.latency_ms)]
        server = subprocess.Popen(call, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            result = walk(json.loads(server.stdout.readline())["url"], given)
        finally:
            server.terminate()
            server.wait()
    print(json.dumps(result, indent=1), flush=True)
    os._exit(bool(result["findings"]))  # napari's window is not ours to take down


if __name__ == "__main__":
    main()
