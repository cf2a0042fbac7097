"""Stopping while a server is silent, stalls or is slow: no partial layer, no further work, and retries succeed."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from qtpy.QtCore import Qt

from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.layers.ownership import LayerKey
from napari_cryoet._qt.viewer.manager import LayerManager
from qt.docks import ARROWS, MASK, TOMOGRAM, VOXELS, dock_at_run, page_at, write_run
from server import Server, sent

POINTS = r"\.ndjson$"
REQUESTS = {
    "tomogram metadata": (TOMOGRAM, r"raw\.zarr/\."),
    "tomogram voxels": (TOMOGRAM, VOXELS),
    "points": (ARROWS, POINTS),
    "mask": (MASK, r"mask\.zarr"),
}
POOL_THREADS = tuple(
    f"napari-cryoet-{what}" for what in ("network", "call", "decode", "disk", "review", "basket")
)
N_LAYERS = {TOMOGRAM: 1, ARROWS: 2, MASK: 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_run(folder)
    return folder


@pytest.fixture
def server(folder) -> Iterator[Server]:
    with Server(folder) as server:
        yield server


@pytest.fixture
def page(server):
    return page_at(server.url)


@pytest.fixture
def manager(qtbot, viewer_model, tasks) -> Iterator[LayerManager]:
    manager = LayerManager(viewer_model, tasks)
    yield manager
    manager.close()


@pytest.fixture
def dock(qtbot, viewer_model, memory, page) -> Iterator[PortalBrowser]:
    """The dock at the run's page."""
    browser = dock_at_run(qtbot, viewer_model, memory, page)
    qtbot.addWidget(browser)
    browser.resize(380, 760)
    browser.show()
    yield browser
    browser.close_down()


def show(manager: LayerManager, page, key: LayerKey) -> None:
    if key == TOMOGRAM:
        manager.open_tomogram(page, page.tomograms[0])
    else:
        manager.show_annotation(
            page, next(file for file in page.annotation_files if file.id == key.id)
        )


def busy_threads() -> list[str]:
    """The names of our running threads, without idle pool threads.

    Their requests show at the server.
    """
    names = [thread.name for thread in threading.enumerate()]
    return [
        name
        for name in names
        if name.startswith("napari-cryoet") and not name.startswith(POOL_THREADS)
    ]


def wait_until_idle(qtbot, server: Server) -> None:
    server.wait_until(lambda: not server.held)
    qtbot.waitUntil(lambda: not busy_threads())


def click(qtbot, widget) -> None:
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)


@pytest.mark.parametrize(
    ("what", "how"),
    [
        ("tomogram metadata", "silent"),
        ("tomogram voxels", "dribbling"),
        ("points", "stalled"),
        ("mask", "silent"),
    ],
)
def test_stopping_leaves_no_layer_and_loading_again_succeeds(
    qtbot, server, page, manager, tasks, viewer_model, what, how
):
    key, pattern = REQUESTS[what]
    server.script(pattern, sent(how))
    show(manager, page, key)
    qtbot.waitUntil(lambda: server.held > 0)

    with qtbot.waitSignal(tasks.finished) as finished:
        manager.stop(key)

    assert finished.args == [key]
    assert manager.coming() == set()
    wait_until_idle(qtbot, server)
    assert not viewer_model.layers

    server.end()
    show(manager, page, key)
    qtbot.waitUntil(lambda: not manager.coming())
    assert manager.shown() == {key}
    assert len(viewer_model.layers) == N_LAYERS[key]


def test_the_button_stops_loading_and_opens_again(qtbot, server, dock, viewer_model):
    button = dock.screens.run.open
    server.script(VOXELS, sent("silent"))
    click(qtbot, button)
    qtbot.waitUntil(lambda: server.held > 0)
    assert button.text().startswith("Stop")

    with qtbot.waitSignal(dock.tasks.finished):
        click(qtbot, button)

    assert button.text().startswith("Open")
    wait_until_idle(qtbot, server)
    assert not viewer_model.layers

    server.end()
    click(qtbot, button)
    qtbot.waitUntil(lambda: dock.manager.shown() == {TOMOGRAM})
    assert button.text() == "Shown"


def test_removing_the_dock_stops_loading(qtbot, server, page, memory, make_napari_viewer):
    viewer = make_napari_viewer()
    browser = dock_at_run(qtbot, viewer, memory, page)
    viewer.window.add_dock_widget(browser, name="CryoET Explorer")
    server.script(VOXELS, sent("stalled"))
    show(browser.manager, page, TOMOGRAM)
    qtbot.waitUntil(lambda: server.held > 0)

    viewer.window.remove_dock_widget(browser)

    wait_until_idle(qtbot, server)
    assert not viewer.layers


CLOSE_THE_VIEWER = """
import sys
from pathlib import Path
import napari
from qtpy.QtCore import QTimer
from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet.settings import Settings
from qt.docks import OneRunPortal, page_at

sys.excepthook = sys.__excepthook__  # so that PyQt6 aborts on exceptions in slots
base, folder = sys.argv[1:]
page = page_at(base)
viewer = napari.Viewer(show=True)
browser = PortalBrowser(
    viewer, open_portal=lambda _source, _job: OneRunPortal(page), memory=Settings(Path(folder) / "settings.json")
)
viewer.window.add_dock_widget(browser)
browser.manager.open_tomogram(page, page.tomograms[0])
browser.manager.show_annotation(page, page.annotation_files[0])
sys.stdin.readline()  # the test continues once both requests wait
QTimer.singleShot(100, viewer.close)
napari.run()
print("closed")
"""


@pytest.mark.slow
@pytest.mark.timeout(400)  # starting several viewers at the same time is slow
def test_closing_the_viewer_while_loading_exits_cleanly(server, project_folder, tmp_path):
    server.script(f"{POINTS}|{VOXELS}", sent("dribbling"))
    command = [sys.executable, "-c", CLOSE_THE_VIEWER, server.url, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=project_folder / "tests", text=True, **pipes) as program:
        server.wait_until(lambda: server.held > 1, timeout_s=180)
        output, errors = program.communicate("close\n", timeout=120)
    assert (program.returncode, output) == (0, "closed\n"), errors
    assert "Traceback" not in errors
    server.wait_until(lambda: not server.held)
