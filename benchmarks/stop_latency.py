"""How long it takes from a Stop until one is free again, while a server is silent, stalls, dribbles, or isn't found.

A server on this machine leaves requests waiting: without a word (silent), in the middle of a body (stalled), or with a
byte now and then (slow); or the look-up of its name takes for ever (no name). Meanwhile somebody says stop. One is free
when the call has returned, its thread has ended and the server has been hung up on; for what runs in the window, also
when nothing is on its way any more and no layer has come. (A thread in which a name is being looked up can't be ended:
it is left behind, and not counted.)

    xvfb-run -a python benchmarks/stop_latency.py --repeats 20 --out stop.json

prints and writes JSON: median and worst in milliseconds of each thing that is stopped in each of these ways. Exits with
1 where the worst exceeds the limit of 200 ms.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from arguments import how_often
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

import download_samples
from fault_server import Request
from napari_cryoet._qt.browser import PortalBrowser
from napari_cryoet._qt.memory import Memory
from napari_cryoet.download import download_files, plan_download, select
from napari_cryoet.exceptions import StoppedError
from napari_cryoet.portal import open_portal
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.streaming.sources import read_file
from qt.stalling_world import (
    RUN_ID,
    OneRunPortal,
    asks_for_metadata,
    asks_for_voxels,
    page_of_world,
    write_world,
)
from stalling_server import StallingServer

LIMIT_MS = 200
SIDE = 1024
STAYING = ("napari-cryoet-network", "napari-cryoet-calls", "napari-cryoet-decode", "napari-cryoet-disk")
PATIENCE_S = 30
WAYS = ("silent", "stalled", "slow", "no name")


class Obstacle(Protocol):
    """What leaves somebody waiting."""

    def address_of(self, path: str) -> str: ...
    @property
    def n_held(self) -> int: ...
    @property
    def is_waited_for(self) -> bool: ...


class NameServer:
    """Looks a name up for ever."""

    def __init__(self) -> None:
        self._look_up, self._release, self._is_asked = socket.getaddrinfo, threading.Event(), threading.Event()
        self.n_held = 0  # nobody is hung up on: a name server isn't connected to

    def address_of(self, path: str) -> str:
        return f"http://files.invalid/{path}"

    @property
    def is_waited_for(self) -> bool:
        return self._is_asked.is_set()

    @contextmanager
    def asked(self) -> Iterator[None]:
        self._release.clear()
        self._is_asked.clear()
        socket.getaddrinfo = self._wait  # type: ignore[assignment]
        try:
            yield
        finally:
            self._release.set()
            socket.getaddrinfo = self._look_up

    def _wait(self, *_: Any, **__: Any) -> Any:
        self._is_asked.set()
        self._release.wait(PATIENCE_S)
        raise socket.gaierror(socket.EAI_NONAME, "released")


class Stoppable(Protocol):
    """Something that waits for a server."""

    def begin(self) -> None: ...
    def stop(self) -> None: ...
    def is_over(self) -> bool: ...


class Call:
    """A blocking call in a thread of its own, as scripts and workers make it."""

    def __init__(self, work: Callable[[threading.Event], Any]) -> None:
        self._work, self._stop, self._error = work, threading.Event(), None

    def begin(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True, name="napari-cryoet benchmark")
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._work(self._stop)
        except StoppedError:
            return
        raise RuntimeError("it was not stopped, it ended")


class InTheWindow:
    """What the dock or its link does; a person says stop."""

    def __init__(self, browser: PortalBrowser, begin: Callable[[], object], stop: Callable[[], object]) -> None:
        self._browser, self._begin, self._stop = browser, begin, stop

    def begin(self) -> None:
        self._begin()

    def stop(self) -> None:
        self._stop()

    def is_over(self) -> bool:
        is_idle = not self._browser.link.coming() and not self._browser.screens.run.open.is_loading
        return is_idle and not self._browser.link.shown()


@dataclass(frozen=True)
class Case:
    """Something to stop, and which of its requests are left waiting."""

    name: str
    make: Callable[[Callable[[str], str]], Stoppable]
    chosen: Callable[[Request], bool] = lambda _request: True
    ways: tuple[str, ...] = WAYS


def cases(folder: Path, dock: Dock) -> list[Case]:
    """Everything that can be stopped while it waits for a server."""

    def metadata(address_of: Callable[[str], str]) -> Stoppable:
        portal = open_portal(address_of("graphql"), cache_dir=folder / "cache")
        return Call(lambda stop: portal.run_page(6, stop=stop))

    def file_range(address_of: Callable[[str], str]) -> Stoppable:
        about = {"start": 1000, "length": 100_000, "limit_bytes": 100_000}
        return Call(lambda stop: read_file(address_of("arrows.ndjson"), **about, stop=stop))

    def download(address_of: Callable[[str], str]) -> Stoppable:
        rows = download_samples.sample_rows(address_of("bucket/"))
        plan = plan_download(rows, select(rows, ["everything"]))
        return Call(lambda stop: download_files(plan, folder / f"to {time.monotonic_ns()}", stop=stop))

    return [
        Case("metadata request", metadata),
        Case("range of a file", file_range),
        Case("download, files being found", download, lambda request: request.path.endswith("/.zattrs")),
        Case("download, in a file", download, lambda request: request.path.endswith(".mrc"), WAYS[:3]),
        Case("tomogram being found, link", dock.tomogram_by_link, asks_for_metadata),
        Case("tomogram being read, link", dock.tomogram_by_link, asks_for_voxels, WAYS[:3]),
        Case("annotation, link", dock.annotation_by_link),
        Case("tomogram being found, dock's button", dock.tomogram_by_button, asks_for_metadata),
        Case("tomogram being read, dock's button", dock.tomogram_by_button, asks_for_voxels, WAYS[:3]),
        Case("annotation, dock's strip", dock.annotation_by_tick),
    ]


class Dock:
    """The dock at a run's page, on a viewer without a window of its own."""

    def __init__(self, folder: Path) -> None:
        self.viewer = ViewerModel()
        self._portal = OneRunPortal(page_of_world(str, SIDE))
        self.browser = PortalBrowser(
            self.viewer, open_portal=lambda _source, _job: self._portal, memory=Memory(folder / "browser.ini")
        )
        self.browser.resize(380, 760)
        self.browser.show()
        self.browser.use_source("live")
        wait_until(lambda: self.browser.session.catalogue is not None)

    def tomogram_by_link(self, address_of: Callable[[str], str]) -> Stoppable:
        page, link = self._go_to(address_of), self.browser.link
        return InTheWindow(self.browser, lambda: link.open_tomogram(page, page.tomograms[0]), link.stop)

    def annotation_by_link(self, address_of: Callable[[str], str]) -> Stoppable:
        page, link = self._go_to(address_of), self.browser.link
        return InTheWindow(self.browser, lambda: link.show_annotation(page, page.annotation_files[0]), link.stop)

    def tomogram_by_button(self, address_of: Callable[[str], str]) -> Stoppable:
        self._go_to(address_of)
        button = self.browser.screens.run.open
        return InTheWindow(self.browser, lambda: click(button), lambda: click(button))

    def annotation_by_tick(self, address_of: Callable[[str], str]) -> Stoppable:
        self._go_to(address_of)
        tree = self.browser.screens.run.tree
        tree.setCurrentIndex(tree.model().index(0, 0, tree.model().index(0, 0)))
        strip = self.browser.screens.status
        return InTheWindow(self.browser, lambda: QTest.keyClick(tree, Qt.Key.Key_Space), lambda: click(strip.stop))

    def _go_to(self, address_of: Callable[[str], str]) -> RunPage:
        page = self._portal.page = page_of_world(address_of, SIDE)
        self.browser.navigator.go_to_run(RUN_ID)
        wait_until(lambda: self.browser.screens.run.page is page)
        return page

    def close(self) -> None:
        self.browser.close()


def click(widget: QWidget) -> None:
    QTest.mouseClick(widget, Qt.MouseButton.LeftButton)


def wait_until(condition: Callable[[], bool], pause_s: float = 0.01) -> None:
    """Let the event loop run until something holds."""
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end_s:
            raise TimeoutError("it did not come to that")
        QApplication.processEvents()
        time.sleep(pause_s)


def own_threads() -> set[threading.Thread]:
    """Threads of ours that do something; those that stay a while for more show at the server while they are busy."""
    named = {thread for thread in threading.enumerate() if thread.name.startswith("napari-cryoet")}
    return {thread for thread in named if not thread.name.startswith(STAYING)}


def stop_once(case: Case, obstacle: Obstacle) -> tuple[float, float]:
    """How long the Stop itself took, and how long it took from then until one was free, in milliseconds."""
    before = own_threads()
    what = case.make(obstacle.address_of)
    what.begin()
    wait_until(lambda: obstacle.is_waited_for)
    end_s = time.monotonic() + random.uniform(0.05, 0.15)
    wait_until(lambda: time.monotonic() > end_s)

    def is_free() -> bool:
        return what.is_over() and not own_threads() - before and not obstacle.n_held

    assert not is_free()
    began_s = time.perf_counter()
    what.stop()
    stopped_s = time.perf_counter()
    wait_until(is_free, 0.001)
    return (stopped_s - began_s) * 1000, (time.perf_counter() - began_s) * 1000


def measure(folder: Path, repeats: int, wanted: str) -> list[dict[str, Any]]:
    """Stop everything in every way, so many times."""
    write_world(folder / "world", SIDE)
    download_samples.write_files(folder / "world" / "bucket")
    rows, names, dock = [], NameServer(), Dock(folder)
    with StallingServer(folder / "world") as server:
        for case in cases(folder, dock):
            for way in case.ways:
                if wanted not in f"{case.name}, {way}":
                    continue
                server.chosen, took = case.chosen, []
                for _ in range(repeats):
                    if way == "no name":
                        with names.asked():
                            took.append(stop_once(case, names))
                    else:
                        server.how = way  # type: ignore[assignment]
                        took.append(stop_once(case, server))
                        server.let_go()
                rows.append(summed_up(case.name, way, took))
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    dock.close()
    return rows


def summed_up(name: str, way: str, took: list[tuple[float, float]]) -> dict[str, Any]:
    calls, whole = zip(*took, strict=True)
    return {
        "what": name,
        "server": way,
        "median_ms": round(statistics.median(whole), 1),
        "worst_ms": round(max(whole), 1),
        "worst_stop_call_ms": round(max(calls), 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=how_often, default=20)
    parser.add_argument("--limit-ms", type=float, default=LIMIT_MS)
    parser.add_argument("--only", default="", help="only what has this in its name, as in “download, slow”")
    parser.add_argument("--out", type=Path, help="write the JSON to this file too")
    options = parser.parse_args()
    application = QApplication.instance() or QApplication([])  # noqa: F841 - to be kept
    with tempfile.TemporaryDirectory() as folder_name:
        rows = measure(Path(folder_name), options.repeats, options.only)
    worst_ms = max(row["worst_ms"] for row in rows)
    result = {
        "repeats": options.repeats,
        "limit_ms": options.limit_ms,
        "worst_ms": worst_ms,
        "is_within_limit": worst_ms <= options.limit_ms,
        "stops": rows,
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")
    return 0 if result["is_within_limit"] else 1


if __name__ == "__main__":
    sys.exit(main())
