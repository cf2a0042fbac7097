"""The dock on a fake portal: first start, navigation to a run and back, the keyboard, and errors."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QMenu

from keyboard import click
from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet.exceptions import NetworkError
from napari_cryoet.portal.pages import Catalogue, Freshness
from napari_cryoet.portal.portal import Source
from qt.buttons import button_in
from qt.fake_portal import DAY, FakePortal

NO_NETWORK = NetworkError("Couldn't reach the portal (no network).", hint="Check the connection.")


def type_text(qtbot, browser: PortalBrowser, text: str) -> None:
    browser.screens.focus_search()
    qtbot.keyClicks(browser.screens.search, text)


def search_for(qtbot, browser: PortalBrowser, text: str) -> None:
    with qtbot.waitSignal(browser.screens.search.settled):
        type_text(qtbot, browser, text)
    qtbot.waitUntil(lambda: not browser.tasks.is_running("search"))


def press(qtbot, widget, key: Qt.Key) -> None:
    qtbot.keyClick(widget, key)


def open_dataset(qtbot, browser: PortalBrowser, row: int = 0, *, answers: bool = True) -> None:
    view = browser.screens.datasets.view
    view.setCurrentIndex(browser.screens.datasets.model.index(row))
    press(qtbot, view, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: not answers or len(browser.screens.dataset.runs) > 0)


def open_run(qtbot, browser: PortalBrowser, row: int = 6) -> None:
    view = browser.screens.dataset.view
    view.setCurrentIndex(browser.screens.dataset.model.index(row))
    with qtbot.waitSignal(browser.navigator.run_arrived):
        press(qtbot, view, Qt.Key.Key_Return)


def current_screen(browser: PortalBrowser):
    return browser.screens.stack.currentWidget()


# the first start


def test_choosing_a_source_focuses_the_first_dataset(qtbot, make_browser, portal):
    browser = make_browser(portal)
    browser.activateWindow()
    button = button_in(browser.screens.start, "Browse the live portal")
    button.setFocus()
    qtbot.waitUntil(button.hasFocus)
    with qtbot.waitSignal(browser.session.catalogue_changed):
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    view = browser.screens.datasets.view
    qtbot.waitUntil(lambda: view.hasFocus() and view.currentIndex().row() == 0)
    qtbot.keyClick(view, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: current_screen(browser) is browser.screens.dataset)
    runs = browser.screens.dataset.view
    qtbot.waitUntil(lambda: runs.hasFocus() and runs.currentIndex().row() == 0)


def test_preparing_a_source_shows_progress_and_can_be_stopped(qtbot, make_browser):
    def prepare(_source, job):
        job.step(0.25, "Simulating run DEMO_001")
        job.wait(30)
        job.check()

    browser = make_browser(open_portal=prepare)
    message = browser.screens.datasets.loadable.message
    click(button_in(browser.screens.start, "Explore the demo"))
    qtbot.waitUntil(lambda: message.text == "Preparing the demo… 25% Simulating run DEMO_001")
    click(button_in(message, "Stop"))
    assert current_screen(browser) is browser.screens.start
    assert not browser.tasks.is_running("source")


# the list of datasets


def test_a_cached_catalogue_is_shown_before_the_portal_answers(qtbot, make_browser, portal):
    portal.cached = Catalogue(rows=portal.rows[:2], freshness=Freshness(fetched_at=DAY))
    portal.gate.clear()
    browser = make_browser(portal)
    browser.use_source("live")
    qtbot.waitUntil(lambda: browser.screens.datasets.model.rowCount() == 2)
    portal.gate.set()
    qtbot.waitUntil(lambda: browser.screens.datasets.model.rowCount() == 3)


# ids and links


def test_an_ambiguous_id_opens_a_menu_of_records(qtbot, browser):
    type_text(qtbot, browser, "506")
    press(qtbot, browser.screens.search, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: isinstance(QApplication.activePopupWidget(), QMenu))
    menu = QApplication.activePopupWidget()
    assert [action.text() for action in menu.actions()] == [
        "run 506: TS_006",
        "annotation 506: cytosolic ribosome",
    ]
    with qtbot.waitSignal(browser.navigator.run_arrived):
        menu.actions()[0].trigger()
    menu.close()


def test_an_unknown_id_is_reported(qtbot, browser):
    type_text(qtbot, browser, "AN-99")
    press(qtbot, browser.screens.search, Qt.Key.Key_Return)
    qtbot.waitUntil(browser.screens.notice.isVisible)
    assert browser.screens.notice.text == "This source has no annotation with the id 99."
    type_text(qtbot, browser, "p")
    assert not browser.screens.notice.isVisible(), "the notice was about the previous search"
    browser.screens.notice.show_notice("A notice of this page.")
    browser.navigator.go_to_dataset(browser.session.catalogue.rows[0].id)
    assert not browser.screens.notice.isVisible(), "the notice was about the previous page"


def test_a_failed_source_is_named_and_replaces_the_previous_one(qtbot, browser, portal):
    search_for(qtbot, browser, "10001")
    switch = browser.screens.switch
    assert switch.tabText(0) == "Datasets 1"
    portal.error = NO_NETWORK
    with qtbot.waitSignal(browser.session.failed):
        browser.use_source("/packs/gone")
        assert browser.screens.source_bar.button.text() == "gone ▾"  # until its name is known
    assert [switch.tabText(number) for number in range(3)] == ["Datasets", "Runs", "Depositions"]


def test_pasting_a_link_opens_its_page_without_layers_or_filtering(qtbot, browser):
    QApplication.clipboard().setText("https://cryoetdataportal.czscience.com/runs/507?tab=x")
    browser.screens.focus_search()
    with qtbot.waitSignal(browser.navigator.run_arrived) as arrived:
        browser.screens.search.paste()
    assert not arrived.args[1]
    assert browser.screens.breadcrumb.accessibleName() == "Datasets › DS-10000 › TS_007"
    browser.screens.breadcrumb.level_chosen.emit(0)
    qtbot.waitUntil(lambda: not browser.tasks.is_running("search"))
    assert browser.screens.datasets.loadable.shows_content
    assert browser.screens.datasets.count.text() == "3 datasets"


# a run


def test_going_back_while_a_run_loads_cancels_it(qtbot, browser, portal):
    open_dataset(qtbot, browser)
    portal.gate.clear()
    with qtbot.assertNotEmitted(browser.navigator.run_arrived):
        press(qtbot, browser.screens.dataset.view, Qt.Key.Key_Return)
        browser.navigator.go_up()
        assert not browser.tasks.is_running("run")
        portal.gate.set()
    assert current_screen(browser) is browser.screens.datasets


# the keyboard


@pytest.mark.parametrize("level", [0, 2])
def test_clicking_a_breadcrumb_focuses_the_list(qtbot, browser, level):
    browser.activateWindow()
    qtbot.waitUntil(browser.isActiveWindow)
    open_dataset(qtbot, browser, row=2)
    open_run(qtbot, browser)
    screens, crumbs = browser.screens, browser.screens.breadcrumb
    if level < 2:
        click(button_in(crumbs, "Datasets ›"))
    else:
        click(crumbs, crumbs.rect().center() + QPoint(60, 0))
    assert (
        current_screen(browser) is [screens.datasets, screens.dataset, screens.run_loadable][level]
    )
    assert [screens.datasets.view, screens.dataset.view, screens.run.tomograms][level].hasFocus()


# errors


def test_an_unreachable_portal_is_reported_and_can_be_retried(qtbot, make_browser, portal):
    portal.error = NO_NETWORK
    browser = make_browser(portal)
    with qtbot.waitSignal(browser.session.failed):
        browser.use_source("live")
    loadable = browser.screens.datasets.loadable
    assert loadable.message.text == "Couldn't reach the portal (no network). Check the connection."
    portal.error = None
    with qtbot.waitSignal(browser.session.catalogue_changed):
        click(button_in(loadable.message, "Retry"))
    qtbot.waitUntil(lambda: loadable.shows_content)


def test_cached_data_show_their_date(qtbot, make_browser, portal):
    fetched = datetime.now(UTC).replace(month=2, day=12)
    portal.freshness = Freshness(
        fetched_at=fetched, is_offline=True, reason="Couldn't reach the portal (no network)."
    )
    browser = make_browser(portal)
    with qtbot.waitSignal(browser.session.catalogue_changed):
        browser.use_source("live")
    assert browser.screens.source_bar.state.text() == "offline, as of 12 Feb"
    assert "no network" in browser.screens.notice.text
    portal.freshness = Freshness(fetched_at=fetched, is_failing=True, reason="It has changed.")
    with qtbot.waitSignal(browser.session.catalogue_changed):
        qtbot.mouseClick(browser.screens.notice.action, Qt.MouseButton.LeftButton)
    assert browser.screens.source_bar.state.text() == "portal error, as of 12 Feb"
    assert "changed" in browser.screens.notice.text
    portal.freshness = Freshness(fetched_at=fetched)
    with qtbot.waitSignal(browser.session.catalogue_changed):
        qtbot.mouseClick(browser.screens.notice.action, Qt.MouseButton.LeftButton)
    assert not browser.screens.notice.isVisible()
    assert browser.screens.source_bar.state.text() == "online"


def test_a_late_page_shows_no_notice_on_the_next(qtbot, browser, portal):
    portal.gate.clear()
    open_dataset(qtbot, browser, answers=False)
    browser.navigator.go_up()
    portal.freshness = Freshness(
        fetched_at=datetime.now(UTC), is_offline=True, reason="No network."
    )
    portal.gate.set()
    qtbot.waitUntil(lambda: len(browser.screens.dataset.runs) > 0)
    assert not browser.screens.notice.isVisible()
    browser.screens.dataset.restart()
    browser.navigator.go_to_dataset(browser.screens.dataset.dataset_id)
    qtbot.waitUntil(browser.screens.notice.isVisible)


def test_a_page_tells_until_when_the_server_asks_to_wait(qtbot, browser, portal):
    portal.gate.clear()
    portal.says = "The server asks to wait until 16:45:10"
    open_dataset(qtbot, browser, answers=False)
    message = browser.screens.dataset.loadable.message
    qtbot.waitUntil(lambda: message.isVisible() and portal.says in message.text)
    browser.navigator.go_to_run(506)
    message = browser.screens.run_loadable.message
    qtbot.waitUntil(lambda: message.isVisible() and portal.says in message.text)
    with qtbot.waitSignal(browser.navigator.run_arrived):
        portal.gate.set()


def test_the_state_is_not_online_while_the_server_refuses(qtbot, browser, portal):
    state = browser.screens.source_bar.state
    assert state.text() == "online"
    portal.error = NetworkError("The server gave no answer.", status=503)
    open_dataset(qtbot, browser, answers=False)
    qtbot.waitUntil(lambda: state.text() == "refused (503)")
    portal.error = None
    click(button_in(browser.screens.dataset.loadable.message, "Retry"))
    qtbot.waitUntil(lambda: state.text() == "online")


def test_choosing_another_source_closes_the_one_still_opening(qtbot, viewer_model, memory):
    release, first, second = threading.Event(), FakePortal(), FakePortal()

    def open_portal(source, _job):
        if source == "live":
            release.wait(30)
        return {"live": first, "demo": second}[source]

    browser = PortalBrowser(viewer_model, open_portal=open_portal, memory=memory)
    qtbot.addWidget(browser)
    browser.show()
    click(button_in(browser.screens.start, "Browse the live portal"))
    with qtbot.waitSignal(browser.session.catalogue_changed):
        browser.screens.source_bar.chosen.emit("demo")
    release.set()
    qtbot.waitUntil(lambda: first.is_closed)
    assert not second.is_closed
    browser.close_down()
    assert second.is_closed


def test_a_picture_is_read_from_its_own_source(qtbot, browser, portal, tmp_path, monkeypatch):
    folders = []
    monkeypatch.setattr(
        "napari_cryoet._qt.browser.session.read_picture",
        lambda _url, *, folder, task: folders.append(folder),
    )
    portal.source = Source("pack", str(tmp_path / "first"), "First")
    with qtbot.waitSignal(browser.session.catalogue_changed):
        browser.use_source("first")
    read = browser.session.picture_reader()
    portal.source = Source("pack", str(tmp_path / "second"), "Second")
    with qtbot.waitSignal(browser.session.catalogue_changed):
        browser.use_source("second")
    read("file:///a.png", threading.Event())
    assert folders == [tmp_path / "first"]
