"""How long the window stands still while one browses a slow portal, against napari on its own.

A pack of 370 datasets, one of them with 5,000 runs, one run with 140 annotations, is served by another process; every
answer comes 500 ms late. The dock is driven with keys as a person would; a timer measures how late the event loop gets
round to it. napari's own stalls are measured in the same window before the dock is there: while it is idle, and while
it draws its own status line anew 20 times a second (drawing anything in a window with a canvas costs the same, and
dearly where OpenGL is software). Each repeat is a new process, since what is imported and looked up the first time one
connects would else be there from the second on.

    python benchmarks/browse_stall.py --repeats 3 --out stall.json

prints and writes JSON: the longest stall in milliseconds of each of these and of each step of browsing, as medians over
the repeats, and by how much browsing exceeds napari's own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import napari
from arguments import how_often
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest

from napari_cryoet._qt.browser import PortalBrowser
from napari_cryoet._qt.memory import Memory
from napari_cryoet.packs.pack import Manifest, write_pack
from napari_cryoet.portal import Portal, open_portal
from portal_rows import Tables

N_DATASETS, N_RUNS, N_ANNOTATIONS = 370, 5000, 140
OBJECTS = ("cytosolic ribosome", "membrane", "microtubule", "fatty acid synthase", "actin filament", "proteasome")
BEAT_MS = 5
PATIENCE_S = 60


def make_pack(folder: Path) -> None:
    """Write the tables of a portal as large as the live one."""
    tables = Tables()
    deposition_id = tables.add("depositions", id=10300, title="A deposition")
    for number in range(N_DATASETS):
        dataset_id = 10000 + number
        tables.add(
            "datasets",
            id=dataset_id,
            depositionId=deposition_id,
            title=f"Cryo-electron tomography of sample {number} under conditions that make its title rather long",
            organismName="Saccharomyces cerevisiae",
            keyPhotoThumbnailUrl=f"https://files.example.org/{dataset_id}/thumbnail.png",
        )
        for order in range(8):
            tables.add("datasetAuthors", datasetId=dataset_id, name=f"Author {order}", authorListOrder=order)
        write_thumbnail(folder / "files" / str(dataset_id) / "thumbnail.png", number)
    for number in range(N_RUNS):
        tables.add("runs", id=number + 1, datasetId=10000, name=f"TS_{number:04}")
    alignment_id = tables.add("alignments", runId=1)
    spacing_id = tables.add("tomogramVoxelSpacings", runId=1, voxelSpacing=10.0)
    tables.add("tomograms", runId=1, tomogramVoxelSpacingId=spacing_id, alignmentId=alignment_id, voxelSpacing=10.0)
    for number in range(N_ANNOTATIONS):
        named = {"objectName": OBJECTS[number % len(OBJECTS)], "objectId": f"GO:{number % len(OBJECTS):07}"}
        tables.add_annotation(1, shapes={"Point": ["ndjson"]}, objectCount=number, **named)
    prefixes = {"https_prefix": "https://files.example.org/", "s3_prefix": "s3://example/"}
    write_pack(folder, Manifest(title="A large portal", **prefixes), tables)


def write_thumbnail(path: Path, number: int) -> None:
    """Write a small picture."""
    from PIL import Image

    path.parent.mkdir(parents=True)
    Image.new("RGB", (400, 300), (number % 255, 90, 120)).save(path)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The GraphQL address of the pack, served by another process so that it shares nothing with the window."""
    command = [sys.executable, "-m", "napari_cryoet.cli", "serve", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())["graphql"]
        finally:
            server.terminate()


class LatePortal:
    """A portal whose every answer takes longer."""

    def __init__(self, portal: Portal, latency_s: float) -> None:
        self._portal = portal
        self._latency_s = latency_s

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._portal, name)
        if name not in {"catalogue", "dataset_page", "run_page", "lookup"}:
            return found

        def late(*args: Any, stop: threading.Event | None = None, **options: Any) -> Any:
            (stop or threading.Event()).wait(self._latency_s)
            return found(*args, stop=stop, **options)

        return late


class Heartbeat:
    """Notes the longest time that the event loop took to come round, and how long it computed at most meanwhile.

    The first is what a person feels, and what a busy machine lengthens; the second is the work that was done.
    """

    def __init__(self) -> None:
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(BEAT_MS)
        self._timer.timeout.connect(self._beat)
        self._last_s = self._last_cpu_s = 0.0
        self.longest_s = self.longest_cpu_s = 0.0

    @contextmanager
    def watching(self) -> Iterator[Heartbeat]:
        self.longest_s, self._last_s = 0.0, time.perf_counter()
        self.longest_cpu_s, self._last_cpu_s = 0.0, time.thread_time()
        self._timer.start()
        yield self
        self._timer.stop()

    def _beat(self) -> None:
        now_s = time.perf_counter()
        self.longest_s = max(self.longest_s, now_s - self._last_s - BEAT_MS / 1000)
        self._last_s = now_s
        cpu_s = time.thread_time()
        self.longest_cpu_s = max(self.longest_cpu_s, cpu_s - self._last_cpu_s)
        self._last_cpu_s = cpu_s


def wait_until(condition: Callable[[], bool]) -> None:
    """Let the event loop run until something holds."""
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end_s:
            raise TimeoutError("the dock did not get there")
        QTest.qWait(20)


def browse(browser: PortalBrowser) -> dict[str, Callable[[], None]]:
    """The steps of a person who looks around, by name."""
    screens = browser.screens

    def scroll(view: Any, steps: int) -> None:
        for _ in range(steps):
            QTest.keyClick(view, Qt.Key.Key_PageDown)
            QTest.qWait(30)

    def connect() -> None:
        browser.use_source("late")
        wait_until(lambda: screens.datasets.model.rowCount() == N_DATASETS)

    def scroll_datasets() -> None:
        scroll(screens.datasets.view, 30)
        QTest.qWait(500)

    def search() -> None:
        for letter in "sample 36":
            QTest.keyClicks(screens.search, letter)
            QTest.qWait(60)
        wait_until(lambda: " of " in screens.datasets.count.text())
        QTest.keyClick(screens.search, Qt.Key.Key_Escape)

    def open_dataset() -> None:
        browser.navigator.go_to_dataset(10000)
        wait_until(lambda: screens.dataset.model.loaded > 0)

    def scroll_runs() -> None:
        while screens.dataset.model.loaded < 500:
            scroll(screens.dataset.view, 10)

    def open_run() -> None:
        browser.navigator.go_to_run(1)
        wait_until(lambda: screens.run.page is not None and screens.run_place.shows_content)
        scroll(screens.run.tree, 20)

    def go_back() -> None:
        browser.navigator.go_up()
        QTest.qWait(100)
        browser.navigator.go_up()
        QTest.qWait(300)

    return {
        "connect": connect,
        "scroll datasets": scroll_datasets,
        "search": search,
        "open dataset": open_dataset,
        "scroll runs": scroll_runs,
        "open run": open_run,
        "go back": go_back,
    }


def repaint(viewer: napari.Viewer, seconds: float) -> None:
    """Let napari draw its own status line, and nothing of ours."""
    for number in range(round(seconds * 20)):
        viewer.status = f"drawn {number} times"
        QTest.qWait(50)


Longest = dict[str, tuple[float, float]]  # by step: the longest stall and the longest computing, in milliseconds


def measure(graphql_url: str, latency_s: float, watch_s: float, folder: Path) -> Longest:
    """Watch a new napari on its own, then every step of browsing in it."""
    portal = LatePortal(open_portal(graphql_url, cache_dir=folder / "cache"), latency_s)
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 800)
    QTest.qWait(2000)  # napari is still settling
    heartbeat, longest_ms = Heartbeat(), Longest()

    def watch(name: str, step: Callable[[], None]) -> None:
        with heartbeat.watching():
            step()
        longest_ms[name] = heartbeat.longest_s * 1000, heartbeat.longest_cpu_s * 1000

    watch("napari idle", lambda: QTest.qWait(round(watch_s * 1000)))
    watch("napari repainting", lambda: repaint(viewer, watch_s))
    browser = PortalBrowser(viewer, open_portal=lambda _source, _job: portal, memory=Memory(folder / "browser.ini"))
    viewer.window.add_dock_widget(browser, name="CryoET Data Portal")
    QTest.qWait(500)
    for name, step in browse(browser).items():
        watch(name, step)
    viewer.close()
    return longest_ms


def summed_up(runs: list[Longest], latency_s: float) -> dict[str, Any]:
    """Medians over repeats, and what browsing adds to napari's own."""
    stalls, computing = (
        {name: round(statistics.median(run[name][which] for run in runs), 1) for name in runs[0]} for which in (0, 1)
    )
    own = {name: stalls.pop(name) for name in ("napari idle", "napari repainting")}
    own_computing = {name: computing.pop(name) for name in own}
    return {
        "latency_ms": latency_s * 1000,
        "repeats": len(runs),
        "napari_idle_longest_stall_ms": own["napari idle"],
        "napari_repainting_longest_stall_ms": own["napari repainting"],
        "browsing_longest_stall_ms": max(stalls.values()),
        "beyond_napari_ms": round(max(stalls.values()) - max(own.values()), 1),
        "napari_longest_computing_ms": max(own_computing.values()),
        "browsing_longest_computing_ms": max(computing.values()),
        "steps_longest_stall_ms": stalls,
        "steps_longest_computing_ms": computing,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.5, help="seconds that every answer is late")
    parser.add_argument("--watch", type=float, default=5.0, help="seconds to watch napari on its own")
    parser.add_argument("--repeats", type=how_often, default=3)
    parser.add_argument("--out", type=Path, help="write the JSON to this file too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        make_pack(folder / "pack")
        with (
            served(folder / "pack") as graphql_url,
            ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as processes,
        ):
            runs = [
                processes.submit(measure, graphql_url, options.latency, options.watch, folder / str(number)).result()
                for number in range(options.repeats)
            ]
    text = json.dumps(summed_up(runs, options.latency), indent=2)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
