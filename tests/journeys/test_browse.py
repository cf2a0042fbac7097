"""From a source to picks over a tomogram, in a real window: on the demo in process, and over HTTP with faults.

The test also counts portal requests, and checks that the GUI thread neither blocks nor decodes
chunks.
"""

from __future__ import annotations

import functools
import json
import selectors
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numcodecs.blosc
import numpy as np
import pytest
import zarr
from napari.layers import Image, Points
from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtWidgets import QPushButton

from journeys.proxy import Proxy
from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.layers.ownership import LayerKey
from napari_cryoet._qt.widgets.record_model import RecordModel

#: Blocking functions that Python code may call. Queues, events, semaphores and futures block in a
#: condition.
WAITS: tuple[tuple[Any, str], ...] = (
    (threading.Condition, "wait"),
    (threading.Thread, "join"),
    (time, "sleep"),
    (selectors.DefaultSelector, "select"),
    (subprocess.Popen, "wait"),
    (socket, "getaddrinfo"),
    *((socket.socket, name) for name in ("connect", "connect_ex", "recv", "recv_into", "sendall")),
)


@pytest.fixture(
    params=["the demo in process", pytest.param("HTTP with faults", marks=pytest.mark.slow)]
)
def proxy(request) -> Iterator[Proxy | None]:
    """A faulty proxy of the served demo; None for the demo in process."""
    if request.param == "the demo in process":
        request.getfixturevalue("demo_at_home")
        yield None
        return
    with Proxy(request.getfixturevalue("served_demo")["graphql"]) as proxy:
        proxy.fail_in_turn()
        yield proxy


@contextmanager
def gui_waits() -> Iterator[list[str]]:
    """Yield a list that collects stack traces of blocking calls on the calling thread."""
    stacks: list[str] = []
    window_thread = threading.get_ident()

    def recorded(name: str, wait: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(wait)
        def record(*arguments: Any, **options: Any) -> Any:
            is_poll = name == "wait" and any(
                isinstance(each, int | float) and each <= 0 for each in arguments
            )
            callers = (sys._getframe(1), sys._getframe(2))
            is_thread_start = any(
                each.f_code is threading.Thread.start.__code__ for each in callers
            )
            if threading.get_ident() == window_thread and not (is_poll or is_thread_start):
                stacks.append(f"{name}\n{''.join(traceback.format_stack(limit=12))}")
            return wait(*arguments, **options)

        return record

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in WAITS:
            patch.setattr(owner, name, recorded(name, getattr(owner, name)))
        yield stacks


@pytest.fixture
def decoding(monkeypatch) -> set[threading.Thread]:
    """The threads that have decoded chunks."""
    threads: set[threading.Thread] = set()
    decompress = numcodecs.blosc.decompress

    def recorded(*arguments):
        threads.add(threading.current_thread())
        return decompress(*arguments)

    monkeypatch.setattr(numcodecs.blosc, "decompress", recorded)
    return threads


def click(qtbot, widget, index: QModelIndex | None = None) -> None:
    """Click a button, or a row of a view."""
    if index is None:
        qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)
    else:
        widget.scrollTo(index)
        qtbot.mouseClick(
            widget.viewport(), Qt.MouseButton.LeftButton, pos=widget.visualRect(index).center()
        )


def press(qtbot, widget, key: Qt.Key) -> None:
    qtbot.keyClick(widget, key)


def choose_source(qtbot, browser: PortalBrowser, proxy: Proxy | None) -> None:
    """Click the button of the demo, or open the URL of the proxy, which has no button."""
    with qtbot.waitSignal(browser.session.catalogue_changed):
        if proxy is None:
            buttons = browser.screens.start.findChildren(QPushButton)
            click(qtbot, next(button for button in buttons if button.text() == "Explore the demo"))
        else:
            browser.use_source(f"{proxy.url}/graphql")


def tick_of(model: RecordModel, condition: Callable[[object], bool]) -> QModelIndex:
    """The *Show* tick of the first annotation that meets a condition."""
    for index in model.indexes():
        if index.parent().isValid() and condition(model.record_at(index)):
            return index.siblingAtColumn(1)
    raise AssertionError("there is no such annotation")


def path_of(pack: Path, url: str) -> Path:
    """The local file of a URL in a pack."""
    return pack / "files" / url.partition("/files/")[2]


def centres_angstrom(path: Path, spacing: float) -> np.ndarray:
    """Particle centres in a file, as an (N, 3) array in z, y, x."""
    locations = [json.loads(line)["location"] for line in path.read_text().splitlines()]
    return np.array([[location[axis] for axis in "zyx"] for location in locations]) * spacing


class Canvas:
    """The canvas of a window that shows a z plane."""

    def __init__(self, qtbot, viewer, browser: PortalBrowser) -> None:
        self._qtbot, self._viewer, self._browser = qtbot, viewer, browser
        viewer.canvas.overlays.scale_bar.visible = False

    @contextmanager
    def only(self, *shown) -> Iterator[None]:
        """Show only these layers, and wait until they are exact."""
        for layer in self._viewer.layers:
            layer.visible = layer in shown
        self.until_exact()
        yield
        for layer in self._viewer.layers:
            layer.visible = True

    def until_exact(self) -> None:
        def is_exact() -> bool:
            return all(
                stream.state.is_exact
                for layer, stream in self._browser.manager.streams()
                if layer.visible
            )

        self._qtbot.waitUntil(is_exact)
        self._qtbot.waitUntil(lambda: self._browser.screens.status.label.text() == "")

    def picture(self) -> np.ndarray:
        """Red, green and blue of every pixel."""
        return self._viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)

    def pixels_of(self, yx_angstrom: np.ndarray, picture: np.ndarray) -> np.ndarray:
        """Rows and columns of positions in the plane, as an (N, 2) array."""
        camera = self._viewer.scene.camera
        middle = np.array(picture.shape[:2]) / 2
        return (yx_angstrom - np.array(camera.center[1:])) * camera.zoom + middle

    def shows_plane(self, image: Image, plane: np.ndarray) -> bool:
        """Whether the grey at the centre of each voxel matches the file, given the layer's contrast limits."""
        picture = self.picture()
        inner = np.stack(
            np.meshgrid(*(np.arange(2, n - 2) for n in plane.shape), indexing="ij"), -1
        ).reshape(-1, 2)
        pixels = np.round(self.pixels_of(inner * image.scale[0], picture) - 0.5).astype(int)
        is_seen = ((pixels >= 0) & (pixels < picture.shape[:2])).all(axis=1)
        assert is_seen.mean() > 0.5
        inner, (rows, columns) = inner[is_seen], pixels[is_seen].T
        low, high = image.contrast_limits
        expected = np.clip((plane[tuple(inner.T)] - low) / (high - low), 0, 1) * 255
        is_grey = np.ptp(picture, axis=2).max() == 0
        return is_grey and np.corrcoef(picture[rows, columns, 0], expected)[0, 1] > 0.99


@pytest.mark.timeout(300)
def test_opening_picks_over_a_tomogram_from_a_source(
    qtbot, make_napari_viewer, memory, demo_pack, proxy, decoding
):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1280, 800)
    browser = PortalBrowser(viewer, memory=memory)
    viewer.window.add_dock_widget(browser, name="CryoET Explorer")
    screens, manager, run = browser.screens, browser.manager, browser.screens.run

    with gui_waits() as waits:
        # open a source and search in it
        choose_source(qtbot, browser, proxy)
        press(qtbot, screens.datasets.view, Qt.Key.Key_Slash)
        qtbot.keyClicks(screens.search, "cytoplasm ribosome")
        qtbot.waitUntil(lambda: screens.datasets.count.text() == "1 of 2 datasets")

        # open a dataset, and its run with the most annotations
        press(qtbot, screens.search, Qt.Key.Key_Down)
        press(qtbot, screens.datasets.view, Qt.Key.Key_Return)
        qtbot.waitUntil(lambda: len(screens.dataset.runs) > 0)
        richest = max(screens.dataset.runs, key=lambda run: run.annotation_count)
        click(qtbot, screens.dataset.view, screens.dataset.model.index_of(richest.id))
        assert not viewer.layers, "selecting opens nothing"
        questions_before = proxy.questions if proxy else 0
        with qtbot.waitSignal(browser.navigator.run_arrived):
            press(qtbot, screens.dataset.view, Qt.Key.Key_Return)

        # the default tomogram and the curators' annotations open automatically
        tomogram = run.page.default_tomogram
        key = LayerKey("tomogram", tomogram.id)
        qtbot.waitUntil(lambda: not manager.coming())
        assert not screens.notice.isVisible(), screens.notice.text
        files = run.page.annotation_files
        defaults = {
            LayerKey("annotation", file.id) for file in files if file.is_visualization_default
        }
        assert key in manager.shown()
        assert manager.shown() - {key} <= defaults
        (image,) = manager.layers_of(key)
        assert isinstance(image, Image)
        spacing = tomogram.voxel_spacing
        assert image.scale.tolist() == [spacing] * 3
        assert image.translate.tolist() == [0, 0, 0]
        assert viewer.dims.current_step[0] == (tomogram.size_z - 1) // 2

    # tick another annotation: its points are at the positions in the file
    def is_more(row) -> bool:
        is_points = row.fits and row.shown_file is not None and row.shown_file.format == "ndjson"
        return is_points and LayerKey("annotation", row.shown_file.id) not in manager.shown()

    index = tick_of(run.annotations, is_more)
    file = run.annotations.record_at(index).shown_file
    centres = centres_angstrom(
        path_of(demo_pack, file.https_path), file.voxel_spacing.voxel_spacing
    )
    volume = zarr.open_group(path_of(demo_pack, tomogram.https_omezarr_dir), mode="r")["0"][:]
    decoding.clear()
    with gui_waits() as more_waits:
        before = list(viewer.layers)
        click(qtbot, run.tree, index)
        ticked = LayerKey("annotation", file.id)
        qtbot.waitUntil(lambda: ticked in manager.shown())
        points = manager.layers_of(ticked)[0]
        assert isinstance(points, Points)
        shown = np.array([points.data_to_world(point) for point in points.data])
        np.testing.assert_allclose(shown, centres, atol=1e-3)

        # step through planes by key: each one becomes exact and matches the file
        canvas = Canvas(qtbot, viewer, browser)
        native = (
            viewer.window._qt_viewer.canvas.native
        )  # napari has no public name for the canvas widget
        z = viewer.dims.current_step[0]
        for step in (Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Left):
            press(qtbot, native, step)
            z += 1 if step == Qt.Key.Key_Right else -1
            assert viewer.dims.current_step[0] == z
            with canvas.only(image):
                qtbot.waitUntil(lambda z=z: canvas.shows_plane(image, volume[z]))

        # in the plane of a pick, only picks are drawn over the tomogram
        z = int(np.round(centres[len(centres) // 2, 0] / spacing))
        viewer.dims.set_current_step(0, z)
        with canvas.only(image):
            qtbot.waitUntil(lambda: canvas.shows_plane(image, volume[z]))
            without = canvas.picture()
        with canvas.only(image, points):
            qtbot.waitUntil(lambda: not np.array_equal(canvas.picture(), without))
            over = canvas.picture()
        drawn = np.argwhere((without != over).any(axis=2))
        zoom, radius = viewer.scene.camera.zoom, points.size.max() / 2 * spacing
        near = centres[np.abs(centres[:, 0] - z * spacing) <= radius]
        centre_pixels = canvas.pixels_of(near[:, 1:], over) - 0.5
        distances = np.linalg.norm(drawn[:, None] - centre_pixels[None], axis=2)
        assert distances.min(axis=1).max() <= radius * zoom + 5  # plus the border

        # hide it by key, then switch to 3D and back
        run.tree.setCurrentIndex(index.siblingAtColumn(0))
        press(qtbot, run.tree, Qt.Key.Key_Space)
        assert [layer for layer in viewer.layers if layer.visible] == before
        for ndisplay in (3, 2):
            viewer.dims.ndisplay = ndisplay
            canvas.until_exact()

    assert waits + more_waits == [], "the GUI thread never blocks"
    assert decoding
    assert threading.main_thread() not in decoding
    if proxy is not None:
        assert proxy.questions == questions_before + 1, (
            "a run with its tomogram and annotations takes one query"
        )

    # close the dock: the layers stay, and loading stops
    viewer.window.remove_dock_widget(browser)
    browser.close()
    assert [layer for layer in viewer.layers if layer.visible] == before
    assert not manager.coming()
