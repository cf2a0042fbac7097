"""The main job from end to end in a real window, by clicks and keys: on the demo in process, and over HTTP with faults.

On the way it is counted what is asked of the portal, and noted which threads read and decode.
"""

from __future__ import annotations

import inspect
import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dask.base
import numpy as np
import pytest
import zarr
from napari.layers import Image, Points
from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtWidgets import QPushButton

from napari_cryoet import http
from napari_cryoet._qt.annotation_model import AnnotationModel, Column
from napari_cryoet._qt.browser import PortalBrowser
from napari_cryoet._qt.own_layers import LayerKey
from napari_cryoet.outline import AnnotationRow
from napari_cryoet.packs.demo import demo_folder
from napari_cryoet.packs.serve import serve_pack
from napari_cryoet.packs.transport import PackTransport
from napari_cryoet.portal.transports import HttpTransport
from napari_cryoet.streaming import fetcher, readers, sources
from stumbling import Stumbling

LONG_MS = 60_000
WAYS_TO_STUMBLE = {"a_500", "no_word", "half_an_answer", "a_429", "a_stall"}


@dataclass
class Way:
    """How the dock gets at the pack, and what went wrong there."""

    source: str
    stumbling: Stumbling | None = None


@pytest.fixture(params=["the demo in process", "HTTP with faults"])
def way(request, demo_pack, monkeypatch) -> Iterator[Way]:
    if request.param == "the demo in process":
        shutil.copytree(demo_pack, demo_folder())
        yield Way("demo")
        return
    client = http.Http(timeout_s=2, attempts=6)
    monkeypatch.setattr(http, "shared_http", lambda: client)
    monkeypatch.setattr(http, "_FIRST_PAUSE_S", 0.01)
    stumbling = Stumbling(monkeypatch)
    with serve_pack(demo_pack) as server:
        yield Way(server.graphql_url, stumbling)
        stumbling.end.set()


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """The names of the queries that were asked so far."""
    asked: list[str] = []
    for transport in (PackTransport, HttpTransport):

        def noted(self, request, *args, execute=transport.execute, **options):
            (operation,) = request.document.definitions[:1]
            asked.append(operation.name.value)
            return execute(self, request, *args, **options)

        monkeypatch.setattr(transport, "execute", noted)
    return asked


@dataclass
class Threads:
    """Who read bytes, who turned bytes into voxels, and who waited until others had."""

    reading: set[threading.Thread] = field(default_factory=set)
    decoding: set[threading.Thread] = field(default_factory=set)
    waiting: set[threading.Thread] = field(default_factory=set)


@pytest.fixture
def threads(monkeypatch) -> Threads:
    threads = Threads()

    def note(owner: object, name: str, noted: set[threading.Thread]) -> None:
        do = vars(owner)[name]

        def noting(*args, **options):
            noted.add(threading.current_thread())
            return do(*args, **options)

        monkeypatch.setattr(owner, name, noting)

    for module, method, noted in ((sources, "read", threads.reading), (readers, "load", threads.decoding)):
        for _, owner in inspect.getmembers(module, inspect.isclass):
            if method in vars(owner):
                note(owner, method, noted)
    note(fetcher.Fetcher, "fetch", threads.waiting)
    note(fetcher.Fetcher, "arriving", threads.waiting)
    note(dask.base, "compute", threads.waiting)
    return threads


def click(qtbot, widget, index: QModelIndex | None = None) -> None:
    """Click a button, or a row of a view."""
    if index is None:
        qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)
    else:
        widget.scrollTo(index)
        qtbot.mouseClick(widget.viewport(), Qt.MouseButton.LeftButton, pos=widget.visualRect(index).center())


def press(qtbot, widget, key: Qt.Key) -> None:
    qtbot.keyClick(widget, key)


def start(qtbot, browser: PortalBrowser, source: str) -> None:
    """Click on the demo; only the address of a server of one's own has no button."""
    with qtbot.waitSignal(browser.session.catalogue_changed, timeout=LONG_MS):
        if source == "demo":
            buttons = browser.screens.start.findChildren(QPushButton)
            click(qtbot, next(button for button in buttons if button.text() == "Explore the demo"))
        else:
            browser.use_source(source)


def tick_of(model: AnnotationModel, condition) -> QModelIndex:
    """The tick of the first annotation that is as wanted."""
    for group in range(model.rowCount()):
        parent = model.index(group, 0)
        for number in range(model.rowCount(parent)):
            if condition(model.record_at(model.index(number, 0, parent))):
                return model.index(number, Column.SHOW, parent)
    raise AssertionError("there is no such annotation")


def path_of(pack: Path, address: str) -> Path:
    """Where the pack keeps what an address leads to."""
    return pack / "files" / address.partition("/files/")[2]


def centres_angstrom(path: Path, spacing: float) -> np.ndarray:
    """Where a file says that particles are: z, y, x."""
    places = [json.loads(line)["location"] for line in path.read_text().splitlines()]
    return np.array([[place[axis] for axis in "zyx"] for place in places]) * spacing


class Canvas:
    """What is drawn, in a window that shows a plane along z."""

    def __init__(self, qtbot, viewer, status) -> None:
        self._qtbot, self._viewer, self._status = qtbot, viewer, status
        viewer.canvas.overlays.scale_bar.visible = False

    def picture(self, *shown) -> np.ndarray:
        """Red, green and blue of every pixel with only these layers shown, once all is exact."""
        for layer in self._viewer.layers:
            layer.visible = layer in shown
        streams = [layer._slicing_state.status for layer in shown if hasattr(layer._slicing_state, "status")]
        self._qtbot.waitUntil(lambda: all(stream.state.is_exact for stream in streams), timeout=LONG_MS)
        self._qtbot.wait(150)  # longer than the status takes to settle
        self._qtbot.waitUntil(lambda: self._status.label.text().endswith("exact"), timeout=LONG_MS)
        self._qtbot.wait(100)
        return self._viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)

    def pixels_of(self, yx_angstrom: np.ndarray, picture: np.ndarray) -> np.ndarray:
        """Row and column of places in the plane."""
        camera = self._viewer.scene.camera
        middle = np.array(picture.shape[:2]) / 2
        return (yx_angstrom - np.array(camera.center[1:])) * camera.zoom + middle


def assert_shows_plane(canvas: Canvas, picture: np.ndarray, image: Image, volume: np.ndarray, z: int) -> None:
    """The grey of the pixel in the middle of every voxel is the file's value, by the layer's contrast."""
    spacing = image.scale[0]
    inner = np.stack(np.meshgrid(*(np.arange(2, n - 2) for n in volume.shape[1:]), indexing="ij"), -1).reshape(-1, 2)
    pixels = np.round(canvas.pixels_of(inner * spacing, picture) - 0.5).astype(int)
    is_seen = ((pixels >= 0) & (pixels < picture.shape[:2])).all(axis=1)
    assert is_seen.mean() > 0.5
    inner, (rows, columns) = inner[is_seen], pixels[is_seen].T
    low, high = image.contrast_limits
    expected = np.clip((volume[z][tuple(inner.T)] - low) / (high - low), 0, 1) * 255
    assert np.ptp(picture, axis=2).max() == 0, "a tomogram is grey"
    assert np.corrcoef(picture[rows, columns, 0], expected)[0, 1] > 0.99


@pytest.mark.timeout(300)
def test_from_the_source_to_picks_over_a_tomogram(qtbot, make_napari_viewer, memory, demo_pack, way, asked, threads):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1280, 800)
    browser = PortalBrowser(viewer, memory=memory)
    viewer.window.add_dock_widget(browser, name="CryoET Data Portal")
    screens, link, run = browser.screens, browser.link, browser.screens.run

    # a source, and a search in it
    start(qtbot, browser, way.source)
    press(qtbot, screens.datasets.view, Qt.Key.Key_Slash)
    qtbot.keyClicks(screens.search, "cytoplasm ribosome")
    qtbot.waitUntil(lambda: screens.datasets.count.text() == "1 of 2 datasets")

    # a dataset, and its run with most annotations
    press(qtbot, screens.search, Qt.Key.Key_Down)
    press(qtbot, screens.datasets.view, Qt.Key.Key_Return)
    runs = screens.dataset.model
    qtbot.waitUntil(lambda: runs.loaded > 0, timeout=LONG_MS)
    richest = max(range(runs.loaded), key=lambda row: runs.run_at(runs.index(row)).annotation_count)
    click(qtbot, screens.dataset.view, runs.index(richest))
    assert not viewer.layers, "selecting opens nothing"
    n_asked = len(asked)
    with qtbot.waitSignal(browser.navigator.run_arrived, timeout=LONG_MS):
        press(qtbot, screens.dataset.view, Qt.Key.Key_Return)

    # its default tomogram and what the curators show come by themselves
    tomogram = run.page.default_tomogram
    key = LayerKey("tomogram", tomogram.id)
    qtbot.waitUntil(lambda: not link.coming(), timeout=LONG_MS)
    assert not screens.notice.isVisible(), screens.notice.text
    defaults = {LayerKey("annotation", file.id) for file in run.page.annotation_files if file.is_visualization_default}
    assert key in link.shown()
    assert link.shown() - {key} <= defaults
    (image,) = link.layers_of(key)
    assert isinstance(image, Image)
    spacing = tomogram.voxel_spacing
    assert image.scale.tolist() == [spacing] * 3
    assert image.translate.tolist() == [0, 0, 0]
    assert viewer.dims.current_step[0] == (tomogram.size_z - 1) // 2

    # one more annotation by its tick: its points lie where the file says
    def is_more(row: AnnotationRow) -> bool:
        is_points = row.fits and row.shown_file is not None and row.shown_file.format == "ndjson"
        return is_points and LayerKey("annotation", row.shown_file.id) not in link.shown()

    index = tick_of(run.annotations, is_more)
    file = run.annotations.record_at(index).shown_file
    ticked = LayerKey("annotation", file.id)
    before = list(viewer.layers)
    click(qtbot, run.tree, index)
    qtbot.waitUntil(lambda: ticked in link.shown(), timeout=LONG_MS)
    points = link.layers_of(ticked)[0]
    assert isinstance(points, Points)
    centres = centres_angstrom(path_of(demo_pack, file.https_path), file.voxel_spacing.voxel_spacing)
    shown = np.array([points.data_to_world(point) for point in points.data])
    np.testing.assert_allclose(shown, centres, atol=1e-3)

    # scrubbing, by key: every plane becomes exact, and is the file's
    volume = zarr.open_group(path_of(demo_pack, tomogram.https_omezarr_dir), mode="r")["0"][:]
    canvas = Canvas(qtbot, viewer, screens.status)
    native = viewer.window._qt_viewer.canvas.native
    z = viewer.dims.current_step[0]
    for step in (Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Left):
        press(qtbot, native, step)
        z += 1 if step == Qt.Key.Key_Right else -1
        assert viewer.dims.current_step[0] == z
        assert_shows_plane(canvas, canvas.picture(image), image, volume, z)

    # in the plane of a pick, what is drawn over the tomogram lies on picks and nowhere else
    z = int(np.round(centres[len(centres) // 2, 0] / spacing))
    viewer.dims.set_current_step(0, z)
    without, over = canvas.picture(image), canvas.picture(image, points)
    drawn = np.argwhere((without != over).any(axis=2))
    zoom, radius = viewer.scene.camera.zoom, points.size.max() / 2 * spacing
    near = centres[np.abs(centres[:, 0] - z * spacing) <= radius]
    places = canvas.pixels_of(near[:, 1:], over) - 0.5
    distances = np.linalg.norm(drawn[:, None] - places[None], axis=2)
    assert len(drawn)
    assert distances.min(axis=1).max() <= radius * zoom + 5  # a rim around it

    # away with it, by key; then in 3D and back
    run.tree.setCurrentIndex(index.siblingAtColumn(0))
    press(qtbot, run.tree, Qt.Key.Key_Space)
    assert list(viewer.layers) == before
    viewer.dims.ndisplay = 3
    qtbot.wait(100)
    viewer.dims.ndisplay = 2

    assert asked[n_asked:] == ["RunPage"], "a run, its tomogram and its annotations cost one question"
    assert threads.reading
    assert threads.decoding
    assert threading.main_thread() not in threads.reading | threads.decoding | threads.waiting
    np.asarray(image.data[0][0])
    assert threading.main_thread() in threads.waiting, "had anybody waited for voxels, it would have been noticed"
    if way.stumbling is not None:
        assert set(way.stumbling.stumbled) == WAYS_TO_STUMBLE

    # close the dock: the layers stay, nothing goes on
    viewer.window.remove_dock_widget(browser)
    browser.close()
    assert list(viewer.layers) == before
    assert not link.coming()
