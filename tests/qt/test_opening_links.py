"""Links and view files that are clicked elsewhere, dropped, or opened by napari."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from zipfile import ZipFile

import pytest
from napari import Viewer
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QWidget

from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.tasks import wait_for
from napari_cryoet._qt.views.handover import LinkServer, hand_over
from napari_cryoet._qt.views.restore import restorer_of
from napari_cryoet._qt.widgets.dock import BROWSER, open_dock
from napari_cryoet.cli import main, window
from napari_cryoet.views.view import View, ViewedRun, write_view
from qt.fake_portal import FakePortal
from views.cameras import camera_at

NO_KEYS = Qt.KeyboardModifier.NoModifier
PAGE = "https://cryoetdataportal.czscience.com/runs/507"
RUN = ViewedRun(source="demo", dataset_id=90001, run_name="DEMO_001")
VIEW = View(runs=(RUN,), camera=camera_at())


@pytest.fixture
def browser(qtbot: QtBot, viewer_in_window: Viewer) -> PortalBrowser:
    browser: PortalBrowser = open_dock(viewer_in_window, BROWSER)
    qtbot.waitUntil(lambda: browser.findChild(LinkServer) is not None)
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
    with qtbot.waitSignal(restorer_of(browser).opened):
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


# dropping


def drop(widget: QWidget, text: str = "", urls: Sequence[QUrl] = ()) -> bool:
    """Drag something over a widget, and drop it if the widget takes it."""
    mime = QMimeData()
    if text:
        mime.setText(text)
    if urls:
        mime.setUrls(urls)
    options = (Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, NO_KEYS)
    entered = QDragEnterEvent(QPoint(9, 9), *options)
    entered.ignore()
    QApplication.sendEvent(widget, entered)
    if entered.isAccepted():
        QApplication.sendEvent(widget, QDropEvent(QPointF(9, 9), *options))
    return entered.isAccepted()


def test_a_dropped_file_of_a_view_opens_before_and_after_a_source(
    qtbot: QtBot, demo_at_home: None, make_browser: Callable[..., PortalBrowser], tmp_path: Path
) -> None:
    browser = make_browser()
    url = QUrl.fromLocalFile(str(write_view(VIEW, tmp_path / "a")))
    for _ in range(2):
        with qtbot.waitSignal(restorer_of(browser).opened):
            assert drop(browser, urls=[url])
        qtbot.waitUntil(lambda: browser.session.catalogue is not None)
    assert not drop(browser, urls=[url, url])
    assert not drop(browser, urls=[QUrl.fromLocalFile(str(tmp_path / "a.mrc"))])


def test_a_dropped_pack_opens_as_folder_or_zip(
    qtbot: QtBot,
    make_browser: Callable[..., PortalBrowser],
    portal: FakePortal,
    demo_pack: Path,
    tmp_path: Path,
) -> None:
    browser = make_browser(portal)
    path = tmp_path / "class.zip"
    for file in (path, tmp_path / "other.zip"):
        with ZipFile(file, "w") as archive:
            archive.writestr("pack.json" if file == path else "notes.txt", "")
    for dropped, source in (
        (path, path),
        (demo_pack, demo_pack),
        (demo_pack / "pack.json", demo_pack),
    ):
        with qtbot.waitSignal(browser.session.opening) as opening:
            assert drop(browser, urls=[QUrl.fromLocalFile(str(dropped))])
        assert opening.args == [str(source)]
    assert not drop(browser, urls=[QUrl.fromLocalFile(str(tmp_path / "other.zip"))])


def test_dropped_text_is_searched_and_a_dropped_link_opens_each_time(
    qtbot: QtBot, make_browser: Callable[..., PortalBrowser], portal: FakePortal
) -> None:
    browser = make_browser(portal)
    with qtbot.waitSignal(browser.session.catalogue_changed):
        browser.use_source("live")
    for widget, text in ((browser, "membrane"), (browser.screens.search, "ribosome")):
        assert drop(widget, text)
        qtbot.waitUntil(partial(searches, browser, text))
    for _ in range(2):
        with qtbot.waitSignal(browser.navigator.run_arrived):
            assert drop(browser, urls=[QUrl(PAGE)])
        browser.navigator.go_to_list()


def searches(browser: PortalBrowser, text: str) -> bool:
    return browser.finder.search.text == text
