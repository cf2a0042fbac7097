"""Links that are clicked while a window is open."""

from __future__ import annotations

import pytest
from napari import Viewer
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QApplication, QWidget

from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.tasks import wait_for
from napari_cryoet._qt.views.handover import LinkServer, hand_over
from napari_cryoet._qt.views.restore import BROWSER
from napari_cryoet._qt.widgets.dock import open_dock
from napari_cryoet.cli import main, window
from napari_cryoet.views.view import Camera, View, ViewedRun

RUN = ViewedRun(source="demo", dataset_id=90001, run_name="DEMO_001")
VIEW = View(
    runs=(RUN,),
    camera=Camera(
        point_zyx_angstrom=(0, 0, 0), center_zyx_angstrom=(0, 0, 0), field_angstrom=(400, 600)
    ),
)


@pytest.fixture
def browser(qtbot: QtBot, viewer_in_window: Viewer) -> PortalBrowser:
    browser: PortalBrowser = open_dock(viewer_in_window, BROWSER)
    return browser


@pytest.fixture
def own_window(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What would open a window of its own."""
    opened: list[str] = []
    monkeypatch.setattr(window, "_open", lambda _args, **options: opened.append(options) or 0)
    return opened


def test_the_next_window_takes_links_once_the_first_is_closed(qtbot: QtBot) -> None:
    widget = QWidget()
    qtbot.addWidget(widget)
    first = LinkServer(widget)
    QApplication.processEvents()
    assert not wait_for(lambda _job: hand_over("to none, as no window is shown"))
    widget.show()
    second = LinkServer(widget)
    links: list[str] = []
    second.received.connect(links.append)
    QApplication.instance().focusWindowChanged.emit(None)
    assert wait_for(lambda _job: hand_over("to the first"))
    first.close()
    QApplication.instance().focusWindowChanged.emit(None)
    assert wait_for(lambda _job: hand_over("to the\r\n second"))
    qtbot.waitUntil(lambda: links == ["to the second"])
    second.close()


def test_a_clicked_link_opens_in_the_window_that_is_open(
    qtbot: QtBot, demo_at_home: None, browser: PortalBrowser, own_window: list[str]
) -> None:
    with qtbot.waitSignal(browser.restorer.opened):
        assert wait_for(lambda _job: main(["open", VIEW.link()])) == 0
    qtbot.waitUntil(lambda: browser.screens.run.page is not None)
    assert not own_window
    assert wait_for(lambda _job: main(["open", VIEW.link(), "--unaligned"])) == 0
    browser.close_down()
    assert main(["open", VIEW.link()]) == 0
    assert len(own_window) == 2


@pytest.mark.parametrize("text", ["napari-cryoet:v1/damaged", "#!/bin/sh", "DS-x", "a" * 2_000_000])
def test_what_another_program_sends_is_only_read_as_a_link(
    qtbot: QtBot, browser: PortalBrowser, text: str
) -> None:
    is_taken = wait_for(lambda _job: hand_over(text))
    assert is_taken == (len(text) < 1_000_000)
    QApplication.processEvents()
    assert ("damaged" in browser.screens.notice.text) == ("damaged" in text)
    assert browser.session.source is None
