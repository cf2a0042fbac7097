"""Depositions in the dock: listed beside datasets, found by words, opened by id and link."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from qt.test_browser import current_screen, press, search_for, type_text
from qt.test_depositions import activate, list_depositions, wait_for_deposition

# the list


def test_depositions_are_listed_beside_datasets(qtbot, browser, portal):
    n_asked = len(portal.asked)
    list_depositions(qtbot, browser)
    assert current_screen(browser) is browser.screens.depositions
    assert browser.screens.depositions.count.text() == "2 depositions"
    model = browser.screens.depositions.model
    assert [model.record_at(model.index(row)).id for row in range(2)] == [10310, 10300], "newest first"
    assert len(portal.asked) == n_asked, "the catalogue has them already"


def test_a_row_says_what_a_deposition_brought_and_what_it_added_to(browser):
    model = browser.screens.depositions.model
    said = [model.index(row).data(Qt.ItemDataRole.AccessibleTextRole) for row in range(2)]
    assert said[0].startswith("Picks by <b>deep</b> learning & more, CZCDP-10310 · adds to 1 dataset, 5 annotations")
    assert said[1].startswith("S. pombe lamellae, CZCDP-10300 · 3 datasets, 309 annotations · cytosolic ribosome")
    assert "&lt;b&gt;deep" in model.index(0).data(Qt.ItemDataRole.ToolTipRole)


def test_depositions_can_be_sorted(qtbot, browser):
    list_depositions(qtbot, browser)
    depositions = browser.screens.depositions
    depositions.sort.setCurrentText("most datasets")
    assert depositions.model.record_at(depositions.model.index(0)).id == 10300


def test_a_search_finds_both_and_says_how_many(qtbot, browser):
    search_for(qtbot, browser, "deep learning")
    switch = browser.screens.switch
    assert [switch.tabText(number) for number in range(2)] == ["Datasets 0", "Depositions 1"]
    place = browser.screens.datasets.place
    assert "No dataset matches “deep learning”" in place.message.text
    qtbot.mouseClick(place.message.button("Show 1 deposition"), Qt.MouseButton.LeftButton)
    assert current_screen(browser) is browser.screens.depositions
    assert browser.screens.depositions.count.text() == "1 of 2 depositions"
    press(qtbot, browser.screens.search, Qt.Key.Key_Escape)
    assert [switch.tabText(number) for number in range(2)] == ["Datasets", "Depositions"]
    assert current_screen(browser) is browser.screens.depositions


# ids and links


@pytest.mark.parametrize(
    "text", ["CZCDP-10310", "10310", "https://cryoetdataportal.czscience.com/depositions/10310?tab=annotations"]
)
def test_an_id_or_link_of_a_deposition_opens_its_page(qtbot, browser, text):
    type_text(qtbot, browser, text)
    press(qtbot, browser.screens.search, Qt.Key.Key_Return)
    wait_for_deposition(qtbot, browser)
    assert current_screen(browser) is browser.screens.deposition
    assert browser.screens.breadcrumb.text == "Depositions › CZCDP-10310"


def test_a_deposition_that_is_not_there_says_so(qtbot, browser):
    activate(qtbot, browser)
    type_text(qtbot, browser, "CZCDP-99999")
    press(qtbot, browser.screens.search, Qt.Key.Key_Return)
    message = browser.screens.deposition.place.message
    qtbot.waitUntil(lambda: "no deposition 99999" in message.text)
    assert message.button("Retry").hasFocus()
    press(qtbot, message.button("Retry"), Qt.Key.Key_Backspace)
    assert current_screen(browser) is browser.screens.depositions
