"""Shared by the benchmarks: data, simulated connections, fresh processes, and an observed window.

Each measurement runs in a new process with empty caches, like a user's start.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, ClassVar, Final

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from server import counts_of, server_process

#: Voxels along z, y and x; set ``BENCH_SHAPE=16x64x64`` to try a benchmark quickly.
SHAPE = tuple(map(int, os.environ.get("BENCH_SHAPE", "500x960x928").split("x")))
SPACING_ANGSTROM: Final = 13.48
STRIDE: Final = 7  # expected values are kept for every STRIDE-th voxel along y and x
LEVELS: Final = 3
IMAGE: Final = "a.zarr"
MASKS: Final = ("mask0.zarr", "mask1.zarr")
OWN_SRC: Final = Path(__file__).resolve().parents[1] / "src"
PLUGIN: Final = "napari-cryoet"

#: Simulated networks: latency in seconds, MB/s per connection and in total.
LINES: Final = {
    "near": {"latency": 0.02, "connection_mb": 300, "total_mb": 300},
    "middle": {"latency": 0.06, "connection_mb": 20, "total_mb": 50},
    "cloud": {"latency": 0.06, "connection_mb": 20, "total_mb": 1000},
    "far": {"latency": 0.15, "connection_mb": 100, "total_mb": 100},
    "slow": {"latency": 0.2, "connection_mb": 2, "total_mb": 2},
}
_TIMEOUT_S: Final = 900

Result = dict[str, Any]


# data


@dataclass(frozen=True)
class Noise:
    """A volume of noise with some structure, generated on demand."""

    shape: tuple[int, ...] = SHAPE
    dtype: ClassVar[Any] = np.dtype("f4")

    def __getitem__(self, region: Any) -> Any:
        spans = [part.indices(size)[:2] for part, size in zip(region, self.shape, strict=True)]
        z, y, x = np.ogrid[tuple(slice(*span) for span in spans)]
        random = np.random.default_rng([start for start, _ in spans])
        values = random.standard_normal([stop - start for start, stop in spans], dtype="f4")
        return (values + np.sin(z / 17) * np.cos(y / 31) + np.sin(x / 23)).astype("f4")


def balls(seed: int) -> Any:
    """A sparse mask of balls."""
    mask = np.zeros(SHAPE, "i1")
    for centre in np.random.default_rng(seed).integers(0, SHAPE, (60, 3)):
        box = tuple(slice(max(0, position - 15), position + 16) for position in centre)
        z, y, x = (
            np.arange(span.start, min(span.stop, size))
            for span, size in zip(box, SHAPE, strict=True)
        )
        distances = np.ix_((z - centre[0]) ** 2, (y - centre[1]) ** 2, (x - centre[2]) ** 2)
        mask[box] |= sum(distances) < 15**2
    return mask


def make_data(folder: Path) -> None:
    """Write the volume and two masks in the portal's layout, and samples of each level, unless they exist."""
    import zarr

    from napari_cryoet.formats.ome_zarr import write_pyramid

    if (folder / "done").exists():
        return
    if not (folder / IMAGE / ".zattrs").exists():
        write_pyramid(folder / IMAGE, Noise(), SPACING_ANGSTROM)
    for seed, name in enumerate(MASKS):
        if not (folder / name / ".zattrs").exists():
            write_pyramid(folder / name, balls(seed), SPACING_ANGSTROM, "mask")
    for name, level in itertools.product((IMAGE, *MASKS), range(LEVELS)):
        stored = zarr.open_array(folder / name / str(level), mode="r")
        y, x = (
            np.minimum(np.arange(0, size, STRIDE) >> level, size_k - 1)
            for size, size_k in _pairs(stored.shape)
        )
        slabs = [
            stored[start : start + 128][:, y[:, None], x]
            for start in range(0, stored.shape[0], 128)
        ]
        np.save(_sample_file(folder, name, level), np.concatenate(slabs))
    (folder / "done").touch()


def _pairs(shape: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip(SHAPE[1:], shape[1:], strict=True))


def _sample_file(folder: Path, name: str, level: int) -> Path:
    return folder / f"{name.removesuffix('.zarr')}-{level}.npy"


# processes


def line_server(folder: Path, line: str) -> AbstractContextManager[str]:
    """Serve a folder from a separate process over a simulated network; yields the URL."""
    return server_process(folder, **LINES[line])


def fresh_process(
    script: str, *arguments: object, src: Path = OWN_SRC, cache: Path | None = None
) -> Result:
    """Run a script with a checkout's package and return its JSON output.

    Without ``cache``, there is no disk cache.
    """
    with tempfile.TemporaryDirectory() as fresh:
        environment = {
            "PYTHONPATH": os.pathsep.join(filter(None, [str(src), os.environ.get("PYTHONPATH")])),
            "NAPARI_CONFIG": f"{fresh}/napari.yaml",
            "NAPARI_ASYNC": "0",
            "XDG_CACHE_HOME": fresh,
            "NAPARI_CRYOET_CACHE_DIR": str(cache or fresh),
            "NAPARI_CRYOET_CACHE_LIMIT": "5GB" if cache else "off",
        }
        command = [sys.executable, script, *map(str, arguments)]
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            env=os.environ | environment,
        )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def finish(result: Result) -> None:
    """Print the result and exit without waiting for requests in flight."""
    print(json.dumps(result), flush=True)
    os._exit(0)


@contextlib.contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep so many processes busy, as other programs do on a user's computer."""
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def in_turns(
    names: Sequence[str], measure: Callable[[str], Result], repeats: int
) -> dict[str, list[Result]]:
    """Measure alternately, so that a slowdown of the machine affects all candidates."""
    runs: dict[str, list[Result]] = {name: [] for name in names}
    for number, name in itertools.product(range(repeats), names):
        runs[name].append(measure(name))
        print(f"{number + 1}/{repeats} {name}: {runs[name][-1]}", file=sys.stderr, flush=True)
    return runs


def medians(runs: Sequence[Result]) -> Result:
    """The median of each figure; None if it is missing in any run."""
    figures = {key: [run.get(key) for run in runs] for key in runs[0]}
    return {
        key: None if None in values else round(median(values), 3) for key, values in figures.items()
    }


def table(columns: dict[str, Result]) -> str:
    """Figures as a Markdown table; for two columns, with their ratio."""
    names = list(dict.fromkeys(itertools.chain(*columns.values())))
    heads = [*columns, *(["ratio"] if len(columns) == 2 else [])]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for name in names:
        values = [column.get(name) for column in columns.values()]
        cells = ["–" if value is None else f"{value:g}" for value in values]
        if len(columns) == 2:
            is_defined = None not in values and values[0]
            cells.append(f"{values[1] / values[0]:.2f}" if is_defined else "–")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def options_of(description: str | None) -> argparse.ArgumentParser:
    """The parser with the common options."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--data", type=Path, help="folder that keeps the volumes between runs")
    parser.add_argument("--line", choices=LINES, default="middle", help="the simulated network")
    parser.add_argument("--out", type=Path, help="also write all runs to this JSON file")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    return parser


def add_src_option(parser: argparse.ArgumentParser) -> None:
    """Add the option to compare with another checkout."""
    parser.add_argument(
        "--src", type=Path, help="the src folder of another checkout to compare with"
    )


def checkouts(args: argparse.Namespace) -> dict[str, Path]:
    """The src folders to measure; the other checkout comes first."""
    others = {"other": args.src.resolve()} if args.src else {}
    return others | {"this": OWN_SRC}


def report(args: argparse.Namespace, runs: dict[str, list[Result]]) -> None:
    """Print the medians, and write all runs if requested."""
    print(table({name: medians(results) for name, results in runs.items()}))
    if args.out is not None:
        about = {"shape": SHAPE, "line": args.line, "cpus": os.cpu_count(), "repeats": args.repeats}
        args.out.write_text(json.dumps(about | {"runs": runs}, indent=1) + "\n")


def peak_memory_mb() -> float:
    """The peak memory of this process in MB; Linux only."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1e6


# a window

#: Quality of an image: exact, exact at half the resolution, of any coarser level, or partly empty.
EXACT, HALF, COARSE, BLANK = "exact", "half", "coarse", "blank"


@dataclass(frozen=True)
class Frame:
    """One drawn frame of the layer that was opened first."""

    at_s: float
    index: int
    quality: str


class Window:
    """A real napari window. Its frames are compared with expected values, and its event loop is timed.

    Parameters
    ----------
    url, folder
        The counting server and the folder that it serves.
    root
        The folder or URL to open volumes from; by default the server.

    Attributes
    ----------
    frames
        All frames since `begin`.
    axis
        The axis perpendicular to the displayed plane.
    """

    def __init__(self, url: str, folder: Path, root: str = "") -> None:
        import napari
        from qtpy.QtCore import QTimer

        self.url, self.root, self.axis = url, root or url, 0
        self.frames: list[Frame] = []
        self.layers: dict[str, Any] = {}
        self._truth = {
            name: [
                np.load(_sample_file(folder, name, level), mmap_mode="r") for level in range(LEVELS)
            ]
            for name in (IMAGE, *MASKS)
        }
        self._ticks: list[float] = []
        self._began = 0.0
        self.viewer = napari.Viewer()
        canvas = self.viewer.window._qt_viewer.canvas._scene_canvas
        canvas.events.draw.connect(self._on_draw, position="last")
        self._timer = QTimer()
        self._timer.timeout.connect(lambda: self._ticks.append(time.perf_counter()))
        self.wait(1.0)  # until napari is idle
        self._timer.start(1)
        self.begin()

    def begin(self) -> None:
        """Reset frames, stalls, bytes and time."""
        counts_of(self.url)
        self.wait(0.02)
        self.frames.clear()
        self._began = time.perf_counter()
        self._ticks[:] = [self._began]

    @property
    def elapsed_s(self) -> float:
        """Seconds since `begin`."""
        return time.perf_counter() - self._began

    def stall_s(self, from_s: float = 0.0) -> float:
        """The longest stall of the event loop, starting ``from_s`` after `begin`."""
        ticks = [
            tick for tick in [*self._ticks, time.perf_counter()] if tick >= self._began + from_s
        ]
        return max((later - earlier for earlier, later in itertools.pairwise(ticks)), default=0.0)

    def sent_mb(self) -> float:
        """MB sent by the server since `begin` or the last call."""
        return counts_of(self.url)["bytes"] / 1e6

    def wait(self, seconds: float) -> None:
        """Run the event loop."""
        from qtpy.QtTest import QTest

        QTest.qWait(round(seconds * 1000))

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 120.0) -> bool:
        """Run the event loop until a condition holds; False on timeout."""
        end = time.perf_counter() + timeout_s
        self.wait(0.001)
        while not condition():
            if time.perf_counter() > end:
                return False
            self.wait(0.002)
        return True

    def open(self, name: str) -> None:
        """Open a volume as a user does."""

        def remember(event: Any) -> None:  # in the event: napari may draw before `open` returns
            self.layers[name] = event.value

        self.viewer.layers.events.inserted.connect(remember)
        self.viewer.open(f"{self.root}/{name}", plugin=PLUGIN)
        self.viewer.layers.events.inserted.disconnect(remember)

    def go_to(self, index: int) -> None:
        """Show another plane."""
        self.viewer.dims.set_current_step(self.axis, index)

    def look_across(self, axis: int) -> None:
        """Show planes perpendicular to an axis."""
        self.axis = axis
        self.viewer.dims.order = (axis, *(other for other in range(3) if other != axis))

    @property
    def index(self) -> int:
        """The index of the requested plane."""
        return int(self.viewer.dims.current_step[self.axis])

    def first(self, *qualities: str, index: int | None = None) -> float | None:
        """The time at which a plane was first drawn in one of these qualities."""
        wanted = self.index if index is None else index
        return next(
            (f.at_s for f in self.frames if f.index == wanted and f.quality in qualities), None
        )

    def is_exact(self) -> bool:
        """Whether the last frame and all other layers are exact."""
        return (
            bool(self.frames)
            and (self.frames[-1].index, self.frames[-1].quality) == (self.index, EXACT)
            and all(self.quality(name) == EXACT for name in list(self.layers)[1:])
        )

    def quality(self, name: str) -> str:
        """The quality of a layer's current image."""
        raw = self.layers[name]._slice.image.raw
        if self.viewer.dims.ndisplay == 3:
            exact = self._truth[name][-1]
            y, x = (np.arange(0, size, STRIDE) >> (LEVELS - 1) for size in SHAPE[1:])
            if raw.shape != tuple(size >> (LEVELS - 1) for size in SHAPE):
                return BLANK
            shown = raw[
                :, np.minimum(y, raw.shape[1] - 1)[:, None], np.minimum(x, raw.shape[2] - 1)
            ]
            return EXACT if np.array_equal(shown, exact) else COARSE if np.any(shown) else BLANK
        exact, half = self._plane(name, 0), self._plane(name, 1)
        shown = raw[::STRIDE, ::STRIDE] if self.axis == 0 else raw[:, ::STRIDE]
        if shown.shape != exact.shape:
            return COARSE if raw.size and np.ptp(raw) else BLANK
        if np.array_equal(shown, exact):
            return EXACT
        if np.all((shown == exact) | (shown == half)):
            return HALF
        return BLANK if np.mean(shown == 0) > 0.01 else COARSE

    def _plane(self, name: str, level: int) -> Any:
        """Expected values of the plane, for every ``STRIDE``-th index along y and x."""
        sample = self._truth[name][level]
        z = np.minimum(np.arange(SHAPE[0]) >> level, len(sample) - 1)
        if self.axis == 0:
            return sample[z[self.index]]
        return sample[z].take(self.index // STRIDE, self.axis)

    def _on_draw(self, _event: Any) -> None:
        if self.layers:
            self.frames.append(
                Frame(self.elapsed_s, self.index, self.quality(next(iter(self.layers))))
            )
