"""Depositions in the dock: the list, searching, pages, and links."""

from __future__ import annotations

from qtpy.QtCore import Qt

from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet.portal.pages import RunRow
from qt.buttons import button_in
from qt.test_browser import current_screen, open_dataset, open_run, press, search_for, type_text


def activate(qtbot, browser: PortalBrowser) -> None:
    """Focus the dock, which its shortcuts need."""
    browser.activateWindow()
    qtbot.waitUntil(browser.isActiveWindow)


def list_depositions(qtbot, browser: PortalBrowser) -> None:
    switch = browser.screens.switch
    qtbot.mouseClick(switch, Qt.MouseButton.LeftButton, pos=switch.tabRect(2).center())


def open_deposition(qtbot, browser: PortalBrowser, deposition_id: int) -> None:
    type_text(qtbot, browser, f"CZCDP-{deposition_id}")
    press(qtbot, browser.screens.search, Qt.Key.Key_Return)
    wait_for_deposition(qtbot, browser)


def wait_for_deposition(qtbot, browser: PortalBrowser) -> None:
    qtbot.waitUntil(lambda: browser.screens.deposition.model.rowCount() > 0)


def index_of(browser: PortalBrowser, kind: type):
    """The first row of a kind."""
    model = browser.screens.deposition.model
    return next(index for index in model.indexes() if isinstance(model.record_at(index), kind))


# the list


def test_a_search_counts_datasets_and_depositions(qtbot, browser):
    search_for(qtbot, browser, "deep learning")
    switch = browser.screens.switch
    assert [switch.tabText(number) for number in range(3)] == [
        "Datasets 0",
        "Runs",
        "Depositions 1",
    ]
    loadable = browser.screens.datasets.loadable
    assert "No dataset matches “deep learning”" in loadable.message.text
    list_depositions(qtbot, browser)
    assert current_screen(browser) is browser.screens.depositions
    assert browser.screens.depositions.count.text() == "1 of 2 depositions"
    press(qtbot, browser.screens.search, Qt.Key.Key_Escape)
    assert [switch.tabText(number) for number in range(3)] == ["Datasets", "Runs", "Depositions"]
    assert current_screen(browser) is browser.screens.depositions


# the page


def test_a_run_opens_with_layers_and_back_goes_through_its_dataset(qtbot, browser):
    open_deposition(qtbot, browser, 10310)
    tree = browser.screens.deposition.view
    tree.setCurrentIndex(index_of(browser, RunRow))
    with qtbot.waitSignal(browser.navigator.run_arrived) as arrived:
        press(qtbot, tree, Qt.Key.Key_Return)
    assert arrived.args[1], "as if opened from its dataset's page"
    crumbs = browser.screens.breadcrumb
    assert crumbs.accessibleName() == "Depositions › CZCDP-10310 › DS-10000 › TS_006"
    qtbot.mouseClick(crumbs.back, Qt.MouseButton.LeftButton)
    assert current_screen(browser) is browser.screens.dataset
    qtbot.mouseClick(crumbs.back, Qt.MouseButton.LeftButton)
    assert current_screen(browser) is browser.screens.deposition
    qtbot.mouseClick(button_in(crumbs, "Depositions ›"), Qt.MouseButton.LeftButton)
    assert current_screen(browser) is browser.screens.depositions


# links to it


def test_a_dataset_links_to_its_deposition_and_back(qtbot, browser):
    activate(qtbot, browser)
    open_dataset(qtbot, browser, row=2)
    link = browser.screens.dataset.header.links.menu().actions()[0]
    assert link.text() == "Deposition CZCDP-10300 · S. pombe lamellae"
    link.trigger()
    wait_for_deposition(qtbot, browser)
    assert browser.screens.breadcrumb.accessibleName() == "Datasets › DS-10000 › CZCDP-10300"
    press(qtbot, browser.screens.deposition.view, Qt.Key.Key_Backspace)
    assert current_screen(browser) is browser.screens.dataset


def test_a_run_lists_the_depositions_of_its_data(qtbot, browser, portal):
    open_dataset(qtbot, browser, row=2)
    open_run(qtbot, browser)
    menu = browser.screens.run.depositions.menu()
    assert [action.text() for action in menu.actions()] == [
        "Deposition CZCDP-10300 · 2 tomograms, 7 annotations · S. pombe lamellae",
        "Deposition CZCDP-10310 · 1 annotation · Picks by <b>deep</b> learning && more",
    ]
    menu.actions()[1].trigger()
    wait_for_deposition(qtbot, browser)
    crumbs = browser.screens.breadcrumb.accessibleName()
    assert crumbs == "Datasets › DS-10000 › TS_006 › CZCDP-10310"
    n_requests = len(portal.requests)
    browser.navigator.go_up()
    assert current_screen(browser) is browser.screens.run_loadable
    assert len(portal.requests) == n_requests, "the run is still there"
