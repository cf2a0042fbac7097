"""How soon the contact sheet shows crops of a volume on a slow server, and whether those on screen come first.

The volume of noise and the picks of `contact_sheet.py`, larger, lie behind `slow_file_server.py` (60 ms, 20 MB/s a
connection, 50 MB/s together), with nothing of it in memory or on disk. The review dock is opened on them in a real
window; then the sheet is paged through as one reads, scrolled without rest from the first pick to the last, sent to a
far place, and stopped.

    python benchmarks/contact_sheet_far.py --picks 1000 --out far.json

prints and writes JSON: seconds from the dock's opening to the first crop and to a full screen, with how many crops that
nobody saw yet came before it was full and the megabytes that were sent; seconds until each of some pages is full, read
for two seconds each; the longest stall of the window in milliseconds while all is scrolled, and seconds from the end of
that until the last screen is full; and seconds from *Stop* until nothing is asked for any more.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import napari
import numpy as np
from browse_stall import Heartbeat
from contact_sheet import SIDE_NM, SPACING, is_screen_full, wait_until
from qtpy.QtTest import QTest
from slow_link import PROFILES, counted, slow_server

from napari_cryoet import add_layers, load_tomogram
from napari_cryoet._qt.review_dock import ReviewDock
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.layers.specs import points_spec
from napari_cryoet.picks import Picks

SHAPE = (256, 768, 768)
MARGIN = 26
FEWEST = 200
PAGES = 6
PAGE_MS = 2000
SCROLL_STEP_MS = 20
STOP_MS = 300


def make_picks(count: int) -> Picks:
    """Random places that are nowhere near the edge."""
    random = np.random.default_rng(count)
    points = random.uniform(MARGIN, np.array(SHAPE) - MARGIN, (count, 3))
    return Picks(points, SPACING, scores=random.random(count), shape_zyx=SHAPE)


def measure(url: str, folder: Path, count: int) -> dict[str, Any]:
    """Open the dock, read, scroll, jump and stop."""
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(1280, 800)
    looks = {"color": (1, 0, 0, 1), "diameter_angstrom": 256.0, "spacing_angstrom": SPACING}
    common = {"scale": (SPACING,) * 3, "units": ("angstrom",) * 3}
    points = points_spec(make_picks(count), common, name="picks", **looks)
    add_layers(viewer, [load_tomogram(f"{url}/noise.zarr", spacing_angstrom=SPACING), points])
    viewer.layers.selection.active = viewer.layers["picks"]
    QTest.qWait(5000)  # the plane in the viewer is there
    found: dict[str, Any] = {"picks": count}
    counted(url)
    start = time.perf_counter()
    dock = ReviewDock(viewer, folder=folder / "reviews")
    came: list[int] = []
    dock.feed.arrived.connect(came.extend)
    viewer.window.add_dock_widget(dock, name="Review picks", area="right")
    dock.controls.side.setValue(SIDE_NM)
    wait_until(lambda: any(dock.feed.crop(row) is not None for row in range(8)))
    found["first_crop_s"] = round(time.perf_counter() - start, 3)
    wait_until(lambda: is_screen_full(dock))
    found["first_screen_s"] = round(time.perf_counter() - start, 3)
    shown = {dock.model.row_at(place) for place in dock.sheet.places_on_screen()}
    found["crops_on_screen"] = len(shown)
    found["came_before_unseen"] = len(set(came) - shown)
    found["first_screen_mb"] = round(counted(url)["bytes"] / 1e6, 1)
    found |= read_pages(dock)
    jump_to(dock, 0.37)
    found["far_screen_s"] = round(wait_until(lambda: is_screen_full(dock)), 3)
    found |= stop(dock, url)
    dock.feed.retry()
    beat = Heartbeat()
    with beat.watching():
        steps = scroll_all(dock)
    found |= {"scroll_steps": steps, "scroll_stall_ms": round(1000 * beat.longest_s, 1)}
    found["scroll_busy_ms"] = round(1000 * beat.longest_cpu_s, 1)
    found["screen_after_scroll_s"] = round(wait_until(lambda: is_screen_full(dock)), 3)
    dock.close_down()
    viewer.close()
    return found


def read_pages(dock: ReviewDock) -> dict[str, Any]:
    """Page down, and look at each page for a while: how long one waits for it."""
    bar, waits = dock.sheet.verticalScrollBar(), []
    for _ in range(PAGES):
        start = time.perf_counter()
        bar.setValue(bar.value() + dock.sheet.viewport().height())
        QTest.qWait(1)
        waits.append(wait_until(lambda: is_screen_full(dock)))
        QTest.qWait(max(0, round(PAGE_MS - 1000 * (time.perf_counter() - start))))
    return {"page_median_s": round(median(waits), 3), "page_longest_s": round(max(waits), 3)}


def scroll_all(dock: ReviewDock) -> int:
    """Turn the wheel from the first pick to the last, a quarter of a screen at a time; how often."""
    bar = dock.sheet.verticalScrollBar()
    bar.setValue(0)
    steps = 0
    while bar.value() < bar.maximum():
        bar.setValue(bar.value() + dock.sheet.viewport().height() // 4)
        QTest.qWait(SCROLL_STEP_MS)
        steps += 1
    return steps


def jump_to(dock: ReviewDock, share: float) -> None:
    """Drag the handle to a place where nothing was read."""
    bar = dock.sheet.verticalScrollBar()
    bar.setValue(round(bar.maximum() * share))
    QTest.qWait(40)


def stop(dock: ReviewDock, url: str) -> dict[str, Any]:
    """Press *Stop* while crops of another place are on their way."""
    jump_to(dock, 0.71)
    wait_until(lambda: dock.feed.n_waiting > 0 and dock.status.stop.isVisible())
    QTest.qWait(100)
    dock.status.stop.click()
    QTest.qWait(STOP_MS)
    counted(url)
    QTest.qWait(1500)
    return {"mb_after_stop": round(counted(url)["bytes"] / 1e6, 1), "says": dock.status.label.text()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picks", type=int, default=1000)
    parser.add_argument("--volume", type=Path, help="a folder to keep the volume in, and to find it in the next time")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.picks < FEWEST:
        parser.error(f"{FEWEST} picks are the fewest of which some are nowhere near what was read")
    with tempfile.TemporaryDirectory() as name:
        folder = options.volume or Path(name)
        os.environ["NAPARI_CRYOET_CACHE_DIR"] = str(Path(name) / "cache")
        if not (folder / "noise.zarr").exists():
            noise = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
            write_pyramid(folder / "noise.zarr", noise, spacing_angstrom=SPACING)
        with slow_server(folder, PROFILES["middle"]) as url:
            found = measure(url, Path(name), options.picks)
    text = json.dumps(found, indent=2)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
