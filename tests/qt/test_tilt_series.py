"""A run's tilt series: listed with details and size, and shown by a tick in a separate window."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.browser.tilt_window import TiltWindow
from napari_cryoet._qt.layers.ownership import LayerKey
from napari_cryoet._qt.streaming.progressive import stream_of
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.layers.specs import METADATA_KEY
from napari_cryoet.network.policy import save_data
from napari_cryoet.pages.rows import TickState
from napari_cryoet.records import TiltSeries
from qt import fake_portal
from qt.docks import RUN_ID, TOMOGRAM, dock_at_run, page_at, write_run
from server import Server

LONG_MS = 60_000
ANGLES = (-60.0, -30.0, 0.0, 30.0, 60.0)
SERIES = LayerKey("tilt series", 77)


@pytest.fixture(autouse=True)
def no_data_saver():
    yield
    save_data()


@pytest.fixture
def images():
    return np.random.default_rng(5).normal(size=(5, 300, 280)).astype(np.float32)


@pytest.fixture
def served(tmp_path, images):
    write_run(tmp_path)
    write_pyramid(tmp_path / "tilts.zarr", images, 2.17, "tiltseries")
    (tmp_path / "tilts.rawtlt").write_text("".join(f"{angle}\n" for angle in ANGLES))
    with Server(tmp_path) as server:
        yield server


def series_at(served: Server, **fields) -> TiltSeries:
    defaults = {
        "id": SERIES.id,
        "size_z": 5,
        "tilt_step": 30,
        "https_omezarr_dir": f"{served.url}/tilts.zarr",
        "https_angle_list": f"{served.url}/tilts.rawtlt",
        "file_size_omezarr": 1.2e9,
    }
    return replace(fake_portal.tilt_series(RUN_ID), **(defaults | fields))


@pytest.fixture
def make_dock(qtbot, viewer_in_window, memory, served):
    """Make the dock in a window, at the page of a run with these tilt series."""
    docks: list[PortalBrowser] = []

    def make(*series: TiltSeries) -> PortalBrowser:
        page = replace(page_at(served.url), tilt_series=series)
        browser = dock_at_run(qtbot, viewer_in_window, memory, page)
        docks.append(browser)
        return browser

    yield make
    for dock in docks:
        dock.close_down()


def tick(qtbot, dock: PortalBrowser) -> None:
    rows = dock.screens.run.tilt_series
    rows.setCurrentIndex(rows.model().index(0, 0))
    qtbot.keyClick(rows, Qt.Key.Key_Space)


def is_ticked(dock: PortalBrowser) -> bool:
    model = dock.screens.run.tilt_series_model
    return model.tick(model.rows[0], 0).state is TickState.ON


def open_series(qtbot, dock: PortalBrowser) -> TiltWindow:
    tick(qtbot, dock)
    window = dock.tilt_windows.windows[SERIES.id]
    qtbot.waitUntil(lambda: window.is_shown, timeout=LONG_MS)
    return window


def frame_of(window: TiltWindow) -> QWidget:
    return window.panel.window()


def test_a_tick_opens_a_streaming_window_and_keeps_the_tomogram(qtbot, make_dock, served, images):
    dock = make_dock(series_at(served))
    run = dock.screens.run
    dock.manager.open_tomogram(run.page, run.page.tomograms[0])
    qtbot.waitUntil(lambda: TOMOGRAM in dock.manager.shown(), timeout=LONG_MS)
    dock.window().resize(
        1100, 600
    )  # wide enough that docks never enlarge it below the other window
    qtbot.waitUntil(lambda: dock.window().frameGeometry().width() >= 1100, timeout=LONG_MS)
    dims = dock.viewer.dims
    before = dims.range, dims.point, dims.axis_labels, list(dock.viewer.layers)
    window = open_series(qtbot, dock)
    layer = window.manager.layers_of(SERIES)[0]

    def is_exact():
        assert stream_of(layer).state.is_exact
        assert np.array_equal(layer._slice.image.raw, images[2])

    qtbot.waitUntil(is_exact, timeout=LONG_MS)
    assert (dims.range, dims.point, dims.axis_labels, list(dock.viewer.layers)) == before
    assert layer.axis_labels == ("tilt", "y", "x")
    assert layer.name == "tilt series · 3.37 Å · TS_026"
    assert layer.metadata[METADATA_KEY].tilt_angles_degree == tuple(ANGLES)
    assert frame_of(window).windowTitle().startswith("Tilt series of TS_026")
    assert frame_of(window).isVisible()
    assert window.panel.label.text() == "image 3 of 5 · tilt 0°"
    window.viewer.dims.set_current_step(0, 1)
    assert window.panel.label.text() == "image 2 of 5 · tilt −30°"
    qtbot.waitUntil(lambda: not window.panel.strip.label.text(), timeout=LONG_MS)


def test_closing_the_window_unticks_the_row(qtbot, make_dock, served):
    dock = make_dock(series_at(served))
    window = open_series(qtbot, dock)
    assert is_ticked(dock)
    with qtbot.waitSignal(window.closed):
        frame_of(window).close()
    assert not is_ticked(dock)
    assert not dock.tilt_windows.windows


def test_a_missing_tilt_series_is_reported_with_a_retry(qtbot, make_dock, served):
    dock = make_dock(series_at(served, https_omezarr_dir=f"{served.url}/gone.zarr"))
    tick(qtbot, dock)
    notice = dock.screens.notice
    qtbot.waitUntil(notice.isVisible, timeout=LONG_MS)
    assert "gone.zarr" in notice.text
    assert notice.action.text() == "Retry"
    assert not dock.tilt_windows.windows
    assert not is_ticked(dock)


def test_windows_close_with_napari_but_not_when_the_dock_hides(qtbot, make_dock, served):
    dock = make_dock(series_at(served))
    window = open_series(qtbot, dock)
    main, holder = dock.window(), dock.parentWidget()
    holder.hide()
    assert window.is_shown
    holder.show()
    with qtbot.waitSignal(window.closed):
        main.hide()
    main.show()
