"""What the benchmarks share: the data, the connections, fresh processes in turns, and a window that is watched.

A measurement is a process of its own, with empty caches, that has imported nothing but napari: as a user starts it.
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
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, ClassVar, Final

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from server import counts_of, server_process

#: Voxels along z, y and x; ``BENCH_SHAPE=16x64x64`` tries any benchmark in a moment.
SHAPE = tuple(map(int, os.environ.get("BENCH_SHAPE", "500x960x928").split("x")))
SPACING_ANGSTROM: Final = 13.48
STRIDE: Final = 7  # voxels between two of which the truth is known, along y and x
LEVELS: Final = 3
IMAGE: Final = "a.zarr"
MASKS: Final = ("mask0.zarr", "mask1.zarr")
OWN_SRC: Final = Path(__file__).resolve().parents[1] / "src"
PLUGIN: Final = "napari-cryoet"

#: Connections: seconds until an answer, MB/s of one connection and of all together.
LINES: Final = {
    "near": {"latency": 0.02, "connection_mb": 300, "total_mb": 300},
    "middle": {"latency": 0.06, "connection_mb": 20, "total_mb": 50},
    "cloud": {"latency": 0.06, "connection_mb": 20, "total_mb": 1000},
    "far": {"latency": 0.2, "connection_mb": 2, "total_mb": 2},
}
_TIMEOUT_S: Final = 900

Result = dict[str, Any]


# data


@dataclass(frozen=True)
class Noise:
    """A volume of noise with some structure, made a box at a time."""

    shape: tuple[int, ...] = SHAPE
    dtype: ClassVar[Any] = np.dtype("f4")

    def __getitem__(self, region: Any) -> Any:
        spans = [part.indices(size)[:2] for part, size in zip(region, self.shape, strict=True)]
        z, y, x = np.ogrid[tuple(slice(*span) for span in spans)]
        random = np.random.default_rng([start for start, _ in spans])
        values = random.standard_normal([stop - start for start, stop in spans], dtype="f4")
        return (values + np.sin(z / 17) * np.cos(y / 31) + np.sin(x / 23)).astype("f4")


def balls(seed: int) -> Any:
    """A mask of some balls, nearly empty."""
    mask = np.zeros(SHAPE, "i1")
    for centre in np.random.default_rng(seed).integers(0, SHAPE, (60, 3)):
        box = tuple(slice(max(0, at - 15), at + 16) for at in centre)
        z, y, x = (np.arange(span.start, min(span.stop, size)) for span, size in zip(box, SHAPE, strict=True))
        distances = np.ix_((z - centre[0]) ** 2, (y - centre[1]) ** 2, (x - centre[2]) ** 2)
        mask[box] |= sum(distances) < 15**2
    return mask


def make_data(folder: Path) -> None:
    """Write the volume and two masks as the portal does, and samples of each level, where they aren't yet."""
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
        y, x = (np.minimum(np.arange(0, size, STRIDE) >> level, size_k - 1) for size, size_k in _pairs(stored.shape))
        slabs = [stored[start : start + 128][:, y[:, None], x] for start in range(0, stored.shape[0], 128)]
        np.save(_sample_file(folder, name, level), np.concatenate(slabs))
    (folder / "done").touch()


def _pairs(shape: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip(SHAPE[1:], shape[1:], strict=True))


def _sample_file(folder: Path, name: str, level: int) -> Path:
    return folder / f"{name.removesuffix('.zarr')}-{level}.npy"


# processes


def line_server(folder: Path, line: str) -> AbstractContextManager[str]:
    """A server of a folder in a process of its own, at the end of a connection; gives its address."""
    return server_process(folder, **LINES[line])


def fresh_process(script: str, *arguments: object, src: Path = OWN_SRC, cache: Path | None = None) -> Result:
    """What a script prints as JSON that is run with the package of a checkout; without ``cache``, no disk cache."""
    with tempfile.TemporaryDirectory() as fresh:
        own = {
            "PYTHONPATH": os.pathsep.join(filter(None, [str(src), os.environ.get("PYTHONPATH")])),
            "NAPARI_CONFIG": f"{fresh}/napari.yaml",
            "NAPARI_ASYNC": "0",
            "XDG_CACHE_HOME": fresh,
            "NAPARI_CRYOET_CACHE_DIR": str(cache or fresh),
            "NAPARI_CRYOET_CACHE_LIMIT": "5GB" if cache else "off",
        }
        call = [sys.executable, script, *map(str, arguments)]
        done = subprocess.run(
            call, check=False, capture_output=True, text=True, timeout=_TIMEOUT_S, env=os.environ | own
        )
    if done.returncode:
        raise SystemExit(f"{' '.join(call)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def finish(result: Result) -> None:
    """End a measurement's process: print its result, and leave alone what is still being fetched."""
    print(json.dumps(result), flush=True)
    os._exit(0)


def in_turns(names: Sequence[str], measure: Callable[[str], Result], repeats: int) -> dict[str, list[Result]]:
    """Measure some things in turns, so that a machine that slows down does so for all of them."""
    runs: dict[str, list[Result]] = {name: [] for name in names}
    for number, name in itertools.product(range(repeats), names):
        runs[name].append(measure(name))
        print(f"{number + 1}/{repeats} {name}: {runs[name][-1]}", file=sys.stderr, flush=True)
    return runs


def medians(runs: Sequence[Result]) -> Result:
    """The median of each figure; None where a run did not get there."""
    values = {key: [run.get(key) for run in runs] for key in runs[0]}
    return {key: None if None in found else round(median(found), 3) for key, found in values.items()}


def table(columns: dict[str, Result]) -> str:
    """Figures in Markdown, a row each; with two columns also the second divided by the first."""
    names = list(dict.fromkeys(itertools.chain(*columns.values())))
    heads = [*columns, *(["ratio"] if len(columns) == 2 else [])]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for name in names:
        values = [found.get(name) for found in columns.values()]
        cells = ["–" if value is None else f"{value:g}" for value in values]
        if len(columns) == 2:
            is_known = None not in values and values[0]
            cells.append(f"{values[1] / values[0]:.2f}" if is_known else "–")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def options_of(description: str | None) -> argparse.ArgumentParser:
    """The options that the benchmarks share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--data", type=Path, help="where the volumes are kept between runs")
    parser.add_argument("--line", choices=LINES, default="middle", help="the connection to the server")
    parser.add_argument("--out", type=Path, help="write all runs to this file too, as JSON")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    return parser


def add_src_option(parser: argparse.ArgumentParser) -> None:
    """Let another checkout be measured in turns with this one."""
    parser.add_argument("--src", type=Path, help="the src folder of another checkout, measured in turns")


def checkouts(given: argparse.Namespace) -> dict[str, Path]:
    """The src folders to measure, the other checkout first."""
    others = {"other": given.src.resolve()} if given.src else {}
    return others | {"this": OWN_SRC}


def report(given: argparse.Namespace, runs: dict[str, list[Result]]) -> None:
    """Print the medians, and write all runs where they are wanted."""
    print(table({name: medians(found) for name, found in runs.items()}))
    if given.out is not None:
        about = {"shape": SHAPE, "line": given.line, "cpus": os.cpu_count(), "repeats": given.repeats}
        given.out.write_text(json.dumps(about | {"runs": runs}, indent=1) + "\n")


def peak_memory_mb() -> float:
    """The most memory that this process had so far, in MB; as Linux says it."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1e6


# a window

#: How good a picture is: exact, exact at half the resolution, of any other level, or partly empty.
EXACT, HALF, COARSE, BLANK = "exact", "half", "coarse", "blank"


@dataclass(frozen=True)
class Frame:
    """One drawing of the canvas, of the layer that was opened first."""

    at_s: float
    index: int
    quality: str


class Window:
    """A real napari window, whose drawings are compared with the truth, and whose event loop is timed.

    Parameters
    ----------
    url, folder
        The server that counts, and what it serves.
    root
        Where volumes are opened, if not from the server.

    Attributes
    ----------
    frames
        Every drawing since `begin`.
    axis
        The axis that the plane is across.
    """

    def __init__(self, url: str, folder: Path, root: str = "") -> None:
        import napari
        from qtpy.QtCore import QTimer

        self.url, self.root, self.axis = url, root or url, 0
        self.frames: list[Frame] = []
        self.layers: dict[str, Any] = {}
        self._truth = {
            name: [np.load(_sample_file(folder, name, level), mmap_mode="r") for level in range(LEVELS)]
            for name in (IMAGE, *MASKS)
        }
        self._turns: list[float] = []
        self._began = 0.0
        self.viewer = napari.Viewer()
        canvas = self.viewer.window._qt_viewer.canvas._scene_canvas
        canvas.events.draw.connect(self._on_draw, position="last")
        self._timer = QTimer()
        self._timer.timeout.connect(lambda: self._turns.append(time.perf_counter()))
        self.wait(1.0)  # napari settles
        self._timer.start(1)
        self.begin()

    def begin(self) -> None:
        """Count frames, stalls, bytes and time from now on."""
        counts_of(self.url)
        self.wait(0.02)
        self.frames.clear()
        self._began = time.perf_counter()
        self._turns[:] = [self._began]

    @property
    def elapsed_s(self) -> float:
        """Seconds since `begin`."""
        return time.perf_counter() - self._began

    def stall_s(self, from_s: float = 0.0) -> float:
        """The longest time that the event loop stood still, of the time since `begin` and some seconds."""
        turns = [turn for turn in [*self._turns, time.perf_counter()] if turn >= self._began + from_s]
        return max((later - earlier for earlier, later in itertools.pairwise(turns)), default=0.0)

    def sent_mb(self) -> float:
        """MB that the server sent since `begin` or since this was asked last."""
        return counts_of(self.url)["bytes"] / 1e6

    def wait(self, seconds: float) -> None:
        """Let the event loop turn."""
        from qtpy.QtTest import QTest

        QTest.qWait(round(seconds * 1000))

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 120.0) -> bool:
        """Let the event loop turn until something is so; False where it isn't in time."""
        end = time.perf_counter() + timeout_s
        self.wait(0.001)
        while not condition():
            if time.perf_counter() > end:
                return False
            self.wait(0.002)
        return True

    def open(self, name: str) -> None:
        """Open a volume as a user does."""

        def remember(event: Any) -> None:  # at once: napari may draw before `open` returns
            self.layers[name] = event.value

        self.viewer.layers.events.inserted.connect(remember)
        self.viewer.open(f"{self.root}/{name}", plugin=PLUGIN)
        self.viewer.layers.events.inserted.disconnect(remember)

    def go_to(self, index: int) -> None:
        """Show another plane."""
        self.viewer.dims.set_current_step(self.axis, index)

    def look_across(self, axis: int) -> None:
        """Show planes across an axis."""
        self.axis = axis
        self.viewer.dims.order = (axis, *(other for other in range(3) if other != axis))

    @property
    def index(self) -> int:
        """Which plane is to be shown."""
        return int(self.viewer.dims.current_step[self.axis])

    def first(self, *qualities: str, index: int | None = None) -> float | None:
        """When a drawing first showed a plane in one of these qualities."""
        wanted = self.index if index is None else index
        return next((f.at_s for f in self.frames if f.index == wanted and f.quality in qualities), None)

    def is_exact(self) -> bool:
        """Whether the last drawing showed the exact plane, and the other layers are exact too."""
        return (
            bool(self.frames)
            and (self.frames[-1].index, self.frames[-1].quality) == (self.index, EXACT)
            and all(self.quality(name) == EXACT for name in list(self.layers)[1:])
        )

    def quality(self, name: str) -> str:
        """How good the picture is that a layer holds now."""
        raw = self.layers[name]._slice.image.raw
        if self.viewer.dims.ndisplay == 3:
            exact = self._truth[name][-1]
            y, x = (np.arange(0, size, STRIDE) >> (LEVELS - 1) for size in SHAPE[1:])
            if raw.shape != tuple(size >> (LEVELS - 1) for size in SHAPE):
                return BLANK
            shown = raw[:, np.minimum(y, raw.shape[1] - 1)[:, None], np.minimum(x, raw.shape[2] - 1)]
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
        """True values of the plane; along y and x only every ``STRIDE``-th index is known."""
        sample = self._truth[name][level]
        z = np.minimum(np.arange(SHAPE[0]) >> level, len(sample) - 1)
        if self.axis == 0:
            return sample[z[self.index]]
        return sample[z].take(self.index // STRIDE, self.axis)

    def _on_draw(self, _event: Any) -> None:
        if self.layers:
            self.frames.append(Frame(self.elapsed_s, self.index, self.quality(next(iter(self.layers)))))
