"""How orthogonal views feel while the cursor moves: how long the window stands still, and what is fetched for it.

    python benchmarks/ortho_views.py [--profile middle] [--repeats 5] [--data FOLDER] > out.json

A volume of 500 x 960 x 928 float32, two masks and 1,000 picks, written as the portal writes them, behind a loopback
server that is as far away and as narrow as a profile says. Each measurement is a new process with a window of
1280 x 800 and empty caches: the volume is opened, the views are, and the cursor moves at 30 steps a second along z,
along y, along x, and in the XZ plane, as a drag does; and a second time over the same places. What is sent then is
what the first time was too fast for; what had been sent before is counted apart: beginnings of answers that nobody
waited for any more. ``viewer alone`` moves the same way along z without further planes; ``views in memory`` are the
same views of NumPy arrays: what napari, three canvases and the display take where nothing is streamed. Needs a display;
``xvfb-run -a -s "-screen 0 1600x1000x24"`` makes one.
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
import zarr
from arguments import how_often
from slow_link import PROFILES, counted, make_data, slow_server
from streaming_first_plane import LIMITS, SHAPE, SPACING_ANGSTROM
from witness import Witnesses, rest

VARIANTS = ("viewer alone", "views", "views in memory")
WINDOW = (1280, 800)  # width and height
STEPS, STEP_S = 40, 1 / 30
START = tuple(share * size for share, size in zip((0.24, 0.3125, 0.3233), SHAPE, strict=True))
NEXT_START = (0.08 * SHAPE[0], 0, 0)  # of the next direction
ADDED_MS, OPENED_MS, REST_MS, SHARPENED_MS = 3000, 4000, 300, 1500
STALL_LIMIT_S = 0.08
DRAGS = {"z": (1, 0, 0), "y": (0, 1, 0), "x": (0, 0, 1), "xz": (1, 0, 2)}
TIMEOUT_S = 300


class Window:
    """A napari window with the volume, two masks and picks, and how long its event loop stood still."""

    def __init__(self, url: str, folder: Path | None = None) -> None:
        import napari
        from qtpy.QtCore import QTimer
        from qtpy.QtTest import QTest

        self.wait = QTest.qWait
        self.viewer = napari.Viewer(show=False)
        self.viewer.window.resize(*WINDOW)
        self.viewer.window.show()
        world = {"scale": (SPACING_ANGSTROM,) * 3, "units": ("angstrom",) * 3, "axis_labels": ("z", "y", "x")}
        if folder is None:
            self._stream(url, world)
        else:
            self._hold(folder, world)
        picks = np.random.default_rng(0).uniform(0, SHAPE, (1000, 3))
        self.viewer.add_points(picks, size=20.0, projection_mode="rescale_spherical", **world)
        self.turns: list[tuple[float, float]] = []
        self.witnesses = Witnesses()
        self._timer = QTimer()
        self._timer.timeout.connect(lambda: self.turns.append(now()))
        self._timer.start(1)
        self.wait(ADDED_MS)

    def _stream(self, url: str, world: dict[str, Any]) -> None:
        from napari_cryoet import add_layers
        from napari_cryoet.layers.specs import METADATA_KEY, LayerSpec
        from napari_cryoet.streaming import open_pyramid

        common = world | {"metadata": {METADATA_KEY: {}}}
        image = LayerSpec(open_pyramid(f"{url}/a.zarr").levels, common | {"contrast_limits": LIMITS}, "image")
        masks = [LayerSpec(open_pyramid(f"{url}/mask{n}.zarr").levels, dict(common), "labels") for n in range(2)]
        add_layers(self.viewer, [image, *masks])

    def _hold(self, folder: Path, world: dict[str, Any]) -> None:
        def levels(name: str) -> list[np.ndarray]:
            return [zarr.open_array(str(folder / name / str(level)), mode="r")[:] for level in range(3)]

        self.viewer.add_image(levels("a.zarr"), multiscale=True, contrast_limits=LIMITS, **world)
        for number in range(2):
            self.viewer.add_labels(levels(f"mask{number}.zarr"), multiscale=True, **world)

    def stalls_s(self) -> np.ndarray:
        """How long the event loop stood still between any two turns since this was asked last, and how long it worked.

        (n, 2): by the clock, and by the thread's own use of a processor, which others on the machine don't lengthen.
        """
        turns, self.turns[:] = [*self.turns, now()], []
        return np.diff(np.array(turns), axis=0)


def now() -> tuple[float, float]:
    return time.perf_counter(), time.thread_time()


def measure(url: str, variant: str, folder: Path) -> dict[str, Any]:
    """Open, move, and say what that took."""
    window = Window(url, folder if variant == "views in memory" else None)
    found: dict[str, Any] = {}
    views = None
    if variant != "viewer alone":
        from qtpy.QtCore import QEventLoop

        from napari_cryoet._qt.ortho_views import OrthoViews

        window.stalls_s()
        began = time.perf_counter()
        views = OrthoViews(window.viewer)
        window.viewer.window.add_dock_widget(views, name="Orthogonal views", area="bottom")
        loop = QEventLoop()
        views.opened.connect(loop.quit)
        loop.exec()
        found["opening_s"] = time.perf_counter() - began
        window.wait(OPENED_MS)
        found["opening_worst_stall_s"] = round(float(window.stalls_s()[:, 0].max()), 3)
    for what, (round_number, (name, direction)) in itertools.product(("first", "again"), enumerate(DRAGS.items())):
        if views is None and name != "z":
            continue
        counted(url)
        found[f"{name} {what}"] = drag(window, views, np.array(direction), round_number)
        sent = counted(url)
        found[f"{name} {what}"] |= {"sent_mb": sent["bytes"] / 1e6, "sent_again_mb": sent["bytes_again"] / 1e6}
    window.witnesses.close()
    return found


def drag(window: Window, views: Any, direction: np.ndarray, number: int) -> dict[str, Any]:
    """Move the cursor as a drag of the mouse does."""
    start = (np.array(START) + number * np.array(NEXT_START)).round() * SPACING_ANGSTROM
    window.wait(REST_MS)
    window.stalls_s()
    began = time.perf_counter()
    for step in range(STEPS):
        at = time.perf_counter()
        place = start + step * direction * SPACING_ANGSTROM
        if views is None:
            window.viewer.dims.set_current_step(0, round(place[0] / SPACING_ANGSTROM))
        else:
            views.shared_cursor.move_to(dict(enumerate(place)))
        window.wait(max(1, round(1000 * (STEP_S - (time.perf_counter() - at)))))
    window.wait(SHARPENED_MS)  # of the picture
    stalls = window.stalls_s()
    found = {"machine_longest_ms": round(1000 * window.witnesses.longest_s(began), 1)}
    for kind, times in zip(("stall", "work"), stalls.T, strict=True):
        found |= {
            f"{kind}_longest_ms": round(1000 * float(times.max()), 1),
            f"{kind}_p99_ms": round(1000 * float(np.percentile(times, 99)), 1),
            f"{kind}s_over_80_ms": int((times > STALL_LIMIT_S).sum()),
        }
    return found


def run_child(variant: str, url: str, folder: Path) -> dict[str, Any]:
    """Measure once, in a new process with settings and caches of its own."""
    rest()
    counted(url, forget=True)
    with tempfile.TemporaryDirectory() as fresh:
        own = {"NAPARI_CONFIG": f"{fresh}/napari.yaml", "XDG_CACHE_HOME": fresh, "NAPARI_CRYOET_CACHE_DIR": fresh}
        done = subprocess.run(
            [sys.executable, __file__, "--child", variant, "--url", url, "--data", folder],
            check=False,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            env=os.environ | own,
        )
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        raise SystemExit(f"{variant}: failed")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", choices=PROFILES, default="middle")
    parser.add_argument("--repeats", type=how_often, default=5)
    parser.add_argument("--data", type=Path, help="where the data are kept between runs")
    parser.add_argument("--child", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(measure(given.url, given.child, given.data)), flush=True)
        os._exit(0)  # what is still being fetched is no part of the measurement
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.data or Path(temporary)
        make_data(folder)
        with slow_server(folder, PROFILES[given.profile]) as url:
            runs: dict[str, list[dict[str, Any]]] = {variant: [] for variant in VARIANTS}
            for _ in range(given.repeats):  # in turns, so that none has a better hour
                for variant in VARIANTS:
                    runs[variant].append(run_child(variant, url, folder))
    print(
        json.dumps({"profile": given.profile, "cpus": os.cpu_count(), "summary": summary(runs), "runs": runs}, indent=1)
    )


def summary(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The medians of all runs."""
    return {
        f"{variant}: {name}": {key: round(median(run[name][key] for run in each), 1) for key in each[0][name]}
        if isinstance(each[0][name], dict)
        else round(median(run[name] for run in each), 2)
        for variant, each in runs.items()
        for name in each[0]
    }


if __name__ == "__main__":
    main()
