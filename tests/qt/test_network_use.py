"""Offline mode and the data saver in the dock: switching, messages, effects, and persistence."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMenu

from napari_cryoet._qt.browser.data_use import SaverDialog
from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.streaming.progressive import stream_of
from napari_cryoet.exceptions import WithheldError
from napari_cryoet.network.policy import policy as shared_policy
from napari_cryoet.network.policy import save_data
from napari_cryoet.settings import DataSaver
from napari_cryoet.streaming.layout import HEAD_BYTES
from qt.docks import TOMOGRAM, VOXELS, dock_at_run, page_at, write_run
from server import Server

OFFLINE = WithheldError("This isn't on this computer, and offline mode is on.")


@pytest.fixture(autouse=True)
def policy():
    policy = shared_policy()
    policy.received_bytes = 0
    yield policy
    policy.offline = False
    save_data()


def click(qtbot, widget) -> None:
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)


def choose(qtbot, menu: QMenu, action) -> None:
    """Choose a menu entry by keys."""
    menu.setActiveAction(action)
    qtbot.keyClick(menu, Qt.Key.Key_Return)


def open_options(qtbot, browser: PortalBrowser) -> QMenu:
    bar = browser.screens.source_bar
    bar.options.setFocus()
    qtbot.keyClick(bar.options, Qt.Key.Key_Space)
    qtbot.waitUntil(bar.options_menu.isVisible)
    return bar.options_menu


# switches


def test_offline_mode_is_set_in_the_menu_and_shown(qtbot, browser, policy, memory):
    bar = browser.screens.source_bar
    assert not bar.network.isVisible()
    choose(qtbot, open_options(qtbot, browser), browser.screens.source_bar.work_offline)
    assert policy.offline
    assert bar.network.text() == "offline: only what was loaded before"
    assert bar.network.isVisible()
    assert not browser.screens.source_bar.state.isVisible()  # it showed that the source was reached
    assert memory.is_offline
    click(qtbot, bar.switch)
    assert not policy.offline
    assert not bar.network.isVisible()
    assert browser.screens.source_bar.state.text() == "online"
    assert not memory.is_offline
    assert not browser.screens.source_bar.work_offline.isChecked()


def test_the_data_saver_form_can_be_filled_in_by_keyboard(qtbot, browser, policy, memory):
    choose(qtbot, open_options(qtbot, browser), browser.screens.source_bar.saver)
    (dialog,) = browser.findChildren(SaverDialog)
    dialog.activateWindow()
    qtbot.waitUntil(dialog.isActiveWindow)
    box = dialog.form.mb_a_session.native
    box.setFocus()
    box.selectAll()
    qtbot.keyClicks(box, "200")
    dialog.form.coarse_only.native.setFocus()
    qtbot.keyClick(dialog.form.coarse_only.native, Qt.Key.Key_Space)
    qtbot.keyClick(dialog, Qt.Key.Key_Return)
    assert policy.max_session_bytes == 200_000_000
    assert policy.coarse_only
    assert memory.data_saver == DataSaver(200, coarse_only=True)
    text = browser.screens.source_bar.network.text()
    assert text == "data saver: 0 of 200 MB · coarse only"


# refusals


def test_a_withheld_page_loads_when_going_online(qtbot, make_browser, portal, policy):
    policy.offline, portal.error = True, OFFLINE
    browser = make_browser(portal)
    with qtbot.waitSignal(browser.session.failed):
        browser.use_source("live")
    message = browser.screens.datasets.loadable.message
    assert "offline mode is on" in message.text
    portal.error = None
    with qtbot.waitSignal(browser.session.catalogue_changed):
        click(qtbot, browser.screens.source_bar.switch)
    assert not policy.offline


# pixels


@pytest.fixture
def served(tmp_path):
    write_run(tmp_path)
    with Server(tmp_path) as server:
        yield server


@pytest.fixture
def dock(qtbot, viewer_in_window, memory, served):
    """The dock in a window, at the page of a run with a tomogram on a server."""
    viewer_in_window.window.resize(1280, 800)  # so that the finest level is shown
    browser = dock_at_run(qtbot, viewer_in_window, memory, page_at(served.url))
    yield browser
    browser.close_down()


def open_tomogram(qtbot, dock: PortalBrowser):
    with qtbot.waitSignal(dock.manager.changed):
        click(qtbot, dock.screens.run.open)
    qtbot.waitUntil(lambda: TOMOGRAM in dock.manager.shown())
    return dock.manager.layers_of(TOMOGRAM)[0]


def finest_blocks(served: Server) -> list[str | None]:
    """The requested parts of the finest level, without the file headers."""
    spans = [request.headers.get("range") for request in served.to(VOXELS)]
    return [span for span in spans if span != f"bytes=0-{HEAD_BYTES - 1}"]


def strip_says(dock: PortalBrowser, expected: str) -> bool:
    text = dock.screens.status.label.text()
    return expected in text if expected else not text


def test_coarse_only_does_not_fetch_the_finest_level_until_requested(qtbot, dock, served):
    save_data(coarse_only=True)
    dock.network.check()
    layer = open_tomogram(qtbot, dock)
    strip = dock.screens.status
    qtbot.waitUntil(lambda: strip_says(dock, "coarse only"))
    assert layer.data_level < 2
    assert finest_blocks(served) == []
    assert strip.action.text() == "Load full detail"
    click(qtbot, strip.action)
    qtbot.waitUntil(
        lambda: (
            stream_of(dock.manager.layers_of(TOMOGRAM)[0]).state.is_exact and strip_says(dock, "")
        )
    )
    assert finest_blocks(served)
    assert not strip.action.isVisible()
    dock.viewer.dims.set_current_step(0, 6)  # full detail applied only to the plane on screen
    qtbot.waitUntil(lambda: strip_says(dock, "coarse only"))
