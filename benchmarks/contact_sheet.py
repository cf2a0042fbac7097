"""How soon the contact sheet shows its first screen, and how long the window stands still, against a loop over crops.

A volume of noise is written as the portal writes tomograms, and random picks are put into it. The review dock is opened
on them in a real window; a timer measures how late the event loop comes round while the sheet is scrolled, sorted and
judged. The other side is what one would write without it: a loop that cuts the crop of each pick out of the same lazy
array, as `for z, y, x in points: volume[z - 2 : z + 3, y - 20 : y + 21, x - 20 : x + 21].mean(axis=0)`, on the
window's thread.

    python benchmarks/contact_sheet.py --picks 1000 100000 --out sheet.json

prints and writes JSON: seconds to the first screen, and for each step the longest stall in milliseconds, and how long
the window's thread computed at most meanwhile.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import napari
import numpy as np
from browse_stall import Heartbeat
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_cryoet import add_layers, load_tomogram
from napari_cryoet._qt.review_dock import ReviewDock
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.layers.specs import points_spec
from napari_cryoet.picks import Picks
from napari_cryoet.review import Verdict
from napari_cryoet.streaming import open_pyramid

SHAPE = (128, 512, 512)
SPACING = 10.0
SIDE_NM, SLAB_NM = 41, 5
PATIENCE_MS = 60_000
SCREENS = 30


def make_picks(count: int) -> Picks:
    """Random places that are nowhere near the edge."""
    random = np.random.default_rng(count)
    points = random.uniform((25, 25, 25), np.array(SHAPE) - 26, (count, 3))
    return Picks(points, SPACING, scores=random.random(count), shape_zyx=SHAPE)


def wait_until(condition: Callable[[], bool]) -> float:
    """Let the window go on until something is so; how many seconds that took."""
    start = time.perf_counter()
    while not condition():
        QTest.qWait(1)
        if time.perf_counter() - start > PATIENCE_MS / 1000:
            raise TimeoutError
    return time.perf_counter() - start


def measure_sheet(folder: Path, count: int) -> dict[str, Any]:
    """Open the dock, scroll, sort and judge."""
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(1280, 800)
    common = {"scale": (SPACING,) * 3, "units": ("angstrom",) * 3}
    looks = {"color": (1, 0, 0, 1), "diameter_angstrom": 256.0, "spacing_angstrom": SPACING}
    points = points_spec(make_picks(count), common, name="picks", **looks)
    add_layers(viewer, [load_tomogram(folder / "noise.zarr", spacing_angstrom=SPACING), points])
    viewer.layers.selection.active = viewer.layers["picks"]
    QTest.qWait(3000)
    found: dict[str, Any] = {"picks": count}
    start = time.perf_counter()
    dock = ReviewDock(viewer, folder=folder / "reviews")
    viewer.window.add_dock_widget(dock, name="Review picks", area="right")
    dock.controls.side.setValue(SIDE_NM)
    wait_until(lambda: dock.model.rowCount() == count and is_screen_full(dock))
    found["first_screen_s"] = round(time.perf_counter() - start, 3)
    found["crops_on_screen"] = len(dock.sheet.places_on_screen())
    wait_until(lambda: dock.feed.n_waiting == 0)
    beat = Heartbeat()
    steps: dict[str, Callable[[], object]] = {
        "idle": lambda: QTest.qWait(500),
        "napari_fly": lambda: fly_alone(viewer),
        "scroll": lambda: scroll(dock),
        "sort": lambda: sort(dock),
        "judge": lambda: judge(dock),
        "judge_a_thousand": lambda: judge_many(dock),
    }
    for name, step in steps.items():
        with beat.watching():
            step()
            QTest.qWait(200)
        found[f"{name}_stall_ms"] = round(1000 * beat.longest_s, 1)
        found[f"{name}_busy_ms"] = round(1000 * beat.longest_cpu_s, 1)
    start = time.perf_counter()
    dock.sheet.scrollToBottom()
    QTest.qWait(50)
    wait_until(lambda: is_screen_full(dock))
    found["far_screen_s"] = round(time.perf_counter() - start, 3)
    dock.close_down()
    viewer.close()
    return found


def is_screen_full(dock: ReviewDock) -> bool:
    """Whether there is a crop in each cell that one sees."""
    places = dock.sheet.places_on_screen()
    return bool(places) and all(dock.feed.crop(dock.model.row_at(place)) is not None for place in places)


def scroll(dock: ReviewDock) -> None:
    """Turn the wheel for some screens, without rest."""
    bar = dock.sheet.verticalScrollBar()
    for _ in range(SCREENS * 4):
        bar.setValue(bar.value() + dock.sheet.viewport().height() // 4)
        QTest.qWait(20)


def sort(dock: ReviewDock) -> None:
    """By score, and back."""
    for column in ("score", ""):
        dock.controls.order.setCurrentIndex(dock.controls.order.findData(column))
        QTest.qWait(50)


def fly_alone(viewer: napari.Viewer) -> None:
    """What napari itself takes to show other planes and centres, which judging with keys does too."""
    for z, y, x in make_picks(10).positions_angstrom_zyx:
        viewer.dims.set_point(0, z)
        viewer.scene.camera.center = (0, y, x)
        QTest.qWait(20)


def judge(dock: ReviewDock) -> None:
    """One pick after the other, by keys, without rest; the viewer flies to the last."""
    dock.sheet.go_to(0)
    dock.sheet.setFocus()
    for key in [Qt.Key.Key_K, Qt.Key.Key_X] * 5:
        QTest.keyClick(dock.sheet, key, Qt.KeyboardModifier.ShiftModifier)
        QTest.qWait(20)


def judge_many(dock: ReviewDock) -> None:
    """A range at once."""
    dock.sheet.select(list(range(min(1000, dock.model.rowCount()))))
    dock.judge(Verdict.REJECTED)
    QTest.qWait(20)


def measure_loop(folder: Path, count: int, on_screen: int) -> dict[str, Any]:
    """What a loop takes, which is how long the window stands still."""
    volume = open_pyramid(folder / "noise.zarr").levels[0]
    points = np.round(make_picks(count).points_zyx).astype(int)

    def crops(some: Any) -> float:
        start = time.perf_counter()
        for z, y, x in some:
            np.asarray(volume[z - 2 : z + 3, y - 20 : y + 21, x - 20 : x + 21]).mean(axis=0)
        return time.perf_counter() - start

    screen_s = crops(points[:on_screen])
    thousand_s = crops(points[:1000])
    return {"loop_first_screen_s": round(screen_s, 3), "loop_all_s": round(thousand_s * max(1, count / 1000), 1)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picks", type=int, nargs="+", default=[1000, 100_000])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        noise = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
        write_pyramid(folder / "noise.zarr", noise, spacing_angstrom=SPACING)
        for count in options.picks:
            found = measure_sheet(folder, count)
            results.append(found | measure_loop(folder, count, found["crops_on_screen"]))
    text = json.dumps(results, indent=2)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
