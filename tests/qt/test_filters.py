"""Filtering the demo's lists by clicks and keys: filters, runs, saved searches, and menus for all matches."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QModelIndex, QPoint, Qt
from qtpy.QtWidgets import QApplication, QInputDialog, QMenu, QToolButton

from generated_portal import write_generated_pack
from napari_cryoet._qt.basket.room import basket_of
from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.browser.filters import FilterBar
from napari_cryoet._qt.layers.ownership import LayerKey
from napari_cryoet.discovery.search import Condition, Search
from qt.buttons import button_in

RIBOSOME = "cytosolic ribosome"


@pytest.fixture
def browser(make_demo_browser) -> PortalBrowser:
    return make_demo_browser()


def wait(qtbot, browser: PortalBrowser) -> None:
    qtbot.waitUntil(lambda: not {"index", "search"} & set(browser.tasks.running))


def click(qtbot, browser: PortalBrowser, widget, position: QPoint | None = None) -> None:
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton, pos=position or QPoint())
    wait(qtbot, browser)


def open_filters(qtbot, browser: PortalBrowser) -> None:
    click(qtbot, browser, browser.screens.filter_bar.filters)


def show_list(qtbot, browser: PortalBrowser, number: int) -> None:
    click(qtbot, browser, browser.screens.switch, browser.screens.switch.tabRect(number).center())


def click_row(qtbot, browser: PortalBrowser, index: QModelIndex, column: int = 0) -> None:
    view = browser.screens.facets.view
    view.setExpanded(index.parent(), True)
    view.scrollTo(index)
    click(qtbot, browser, view.viewport(), view.visualRect(index.siblingAtColumn(column)).center())


def value(browser: PortalBrowser, title: str, text: str, condition: int = 0) -> QModelIndex:
    """The index of a facet's value."""
    model = browser.screens.facets.model
    for index in model.indexes():
        facet = model.row_at(index.parent())
        if (
            facet
            and facet.title == title
            and facet.key[0] == condition
            and model.row_at(index).title == text
        ):
            return index
    raise AssertionError(f"{title} has no {text}")


def menu_of(browser: PortalBrowser, page) -> dict[str, QMenu | object]:
    """The actions and submenus of a list's menu."""
    page.menu_button.click()
    actions = QApplication.activePopupWidget().actions()
    return {action.text(): action.menu() or action for action in actions}


def item(menu: QMenu, text: str):
    return next(action for action in menu.actions() if text in action.text())


def expected(browser: PortalBrowser, **fields):
    return browser.session.index.find(Search(**fields))


def test_a_filter_applies_to_all_lists_until_its_chip_is_clicked(qtbot, browser):
    screens = browser.screens
    assert browser.session.index is None, "it is read only when needed"
    open_filters(qtbot, browser)
    click_row(qtbot, browser, value(browser, "Object", RIBOSOME))
    click_row(qtbot, browser, value(browser, "Ground truth", "yes"), column=1)
    matches = expected(
        browser, annotations=(Condition(objects=(f'"{RIBOSOME}"',), is_ground_truth=True),)
    )
    assert [row.record.id for row in screens.datasets.model.rows] == list(matches.dataset_ids)
    assert screens.switch.tabText(1) == f"Runs {len(matches.run_ids)}"
    show_list(qtbot, browser, 1)
    assert {row.record.run_id for row in screens.runs.model.rows} == set(matches.run_ids)
    assert all(RIBOSOME in row.lines[1][0] for row in screens.runs.model.rows)
    qtbot.keyClicks(screens.search, "yeast")
    qtbot.waitUntil(lambda: browser.finder.answer.search.text == "yeast")
    for text in (RIBOSOME, "ground truth"):
        click(qtbot, browser, screens.filter_bar.chip(text))
    assert browser.finder.answer.search == Search(text="yeast")
    assert screens.runs.count.text() == "4 of 7 runs"


def test_long_lists_of_runs_load_more_rows_on_scrolling(qtbot, browser, tmp_path):
    write_generated_pack(tmp_path / "pack", n_datasets=3, n_runs=250, n_annotations=20)
    with qtbot.waitSignal(browser.session.catalogue_changed):
        browser.use_source(str(tmp_path / "pack"))
    show_list(qtbot, browser, 1)
    page, view = browser.screens.runs, browser.screens.runs.view
    first = [row.key for row in page.model.rows]
    assert page.model.rows[-1].title == "150 more…"
    assert len(browser.finder.answer.runs) == 100, "listing all takes time"
    view.scrollToBottom()
    qtbot.waitUntil(lambda: page.model.rows[-1].title == "50 more…")
    keys = [row.key for row in page.model.rows]
    assert keys[:100] == first[:100], "earlier rows stay in place"
    assert view.verticalScrollBar().value() > 0
    qtbot.keyClicks(browser.screens.search, "TS")
    wait(qtbot, browser)
    page.sort.setCurrentText("by name")
    wait(qtbot, browser)
    names = [run.run.casefold() for run in browser.finder.answer.runs]
    assert [row.title.casefold() for row in page.model.rows[:-1]] == sorted(names)[:100]


def test_filters_can_be_chosen_by_keyboard(qtbot, browser):
    view = browser.screens.facets.view
    browser.activateWindow()
    qtbot.waitUntil(browser.isActiveWindow)
    browser.screens.filter_bar.filters.setFocus()
    qtbot.keyClick(browser.screens.filter_bar.filters, Qt.Key.Key_Space)
    wait(qtbot, browser)
    qtbot.waitUntil(view.hasFocus)
    qtbot.keyClick(view, Qt.Key.Key_Down)
    first = view.current_row.title
    for key in (Qt.Key.Key_Space, Qt.Key.Key_Return):
        qtbot.keyClick(view, key)
        wait(qtbot, browser)
        assert view.current_row.title == first
        assert (browser.finder.answer.search == Search()) == (key == Qt.Key.Key_Return), (
            "Enter unticks it"
        )


def test_a_second_annotation_filter_applies_to_the_same_run(qtbot, browser):
    open_filters(qtbot, browser)
    click_row(qtbot, browser, value(browser, "Object", RIBOSOME))
    click_row(qtbot, browser, browser.screens.facets.model.index_of("another"))
    click_row(qtbot, browser, value(browser, "Object", "membrane", condition=1))
    click_row(qtbot, browser, value(browser, "Processing", "denoised"))
    conditions = Condition(objects=(f'"{RIBOSOME}"',)), Condition(objects=('"membrane"',))
    matches = expected(browser, annotations=conditions, processing=("denoised",))
    assert browser.finder.answer.matches.run_ids == matches.run_ids
    for text in (RIBOSOME, "and membrane", "denoised"):
        assert browser.screens.filter_bar.chip(text)


def test_nothing_moves_under_the_mouse_while_filters_are_chosen(qtbot, browser):
    screens, facets = browser.screens, browser.screens.facets.view
    open_filters(qtbot, browser)
    places = set()
    for title, text in (("Object", RIBOSOME), ("Processing", "denoised"), ("Ground truth", "yes")):
        index = value(browser, title, text)
        facets.setExpanded(index.parent(), True)
        facets.scrollTo(index, facets.ScrollHint.PositionAtCenter)
        before = facets.visualRect(index).top()
        click(qtbot, browser, facets.viewport(), facets.visualRect(index).center())
        assert facets.visualRect(value(browser, title, text)).top() == before
        places.add(facets.mapTo(browser, QPoint()).y())
    assert len(places) == 1
    assert screens.filter_bar.more.text() == "+2 ▾", "the line has room for one"
    screens.filter_bar.more.click()
    item(QApplication.activePopupWidget(), "denoised").trigger()
    wait(qtbot, browser)
    assert not browser.finder.answer.search.processing


def test_all_matches_are_added_with_a_button(qtbot, browser):
    page = browser.screens.datasets
    assert not button_in(page, "Add all matches ▾").isEnabled(), "nothing was searched"
    open_filters(qtbot, browser)
    click_row(qtbot, browser, value(browser, "Object", RIBOSOME))
    click(qtbot, browser, button_in(page, "Add all matches ▾"))
    item(QApplication.activePopupWidget(), "tomograms (one per run)").trigger()
    tomograms = browser.finder.answer.matches.ids("tomograms")
    qtbot.waitUntil(lambda: {*basket_of(browser).basket.tomograms} == {*tomograms})


def test_a_typed_object_filters_by_all_its_kinds(qtbot, browser):
    open_filters(qtbot, browser)
    panel = browser.screens.facets
    with qtbot.waitSignal(panel.objects.settled):
        qtbot.keyClicks(panel.objects, "membr")
    titles = [row.title for row in panel.model.row_at(panel.model.index(0)).children]
    assert titles
    assert all("membrane" in title for title in titles)
    panel.objects.clear()
    qtbot.keyClicks(panel.objects, "ribosome\r")
    wait(qtbot, browser)
    matches = browser.session.index.find(objects="ribosome")
    assert browser.finder.answer.search == matches.search
    assert browser.screens.switch.tabText(1) == f"Runs {len(matches.run_ids)}"
    assert browser.screens.filter_bar.chip("any ribosome").isVisible()
    assert not panel.objects.text()


def test_words_and_filters_are_about_one_annotation(qtbot, browser):
    open_filters(qtbot, browser)
    click_row(qtbot, browser, value(browser, "Object", RIBOSOME))
    qtbot.keyClicks(browser.screens.search, "ribosome")
    qtbot.waitUntil(lambda: "ribosome" in browser.screens.datasets.remark.text())
    browser.screens.search.clear()
    qtbot.keyClicks(browser.screens.search, "membrane")
    message = browser.screens.datasets.loadable.message
    qtbot.waitUntil(lambda: "membrane" in message.text)
    click(qtbot, browser, button_in(message, "Both annotations in one run"))
    conditions = Condition(objects=(f'"{RIBOSOME}"',)), Condition(objects=("membrane",))
    assert browser.finder.answer.search == Search(annotations=conditions)
    assert browser.finder.answer.datasets


def test_an_id_that_the_catalogue_lacks_is_found(qtbot, browser, generated_pack):
    with qtbot.waitSignal(browser.session.catalogue_changed):
        browser.use_source(str(generated_pack))
    with qtbot.waitSignal(browser.session.index_read):
        qtbot.keyClicks(browser.screens.search, "PDB-9000")
    qtbot.waitUntil(lambda: bool(browser.finder.answer.datasets))


def test_a_range_can_be_typed(qtbot, browser):
    open_filters(qtbot, browser)
    field = browser.screens.facets.range
    click_row(qtbot, browser, value(browser, "Voxel spacing", "from … to …"))
    qtbot.keyClicks(field, "twelve\r")
    assert field.isVisible(), "this isn't a number"
    field.clear()
    qtbot.keyClicks(field, "..12\r")
    wait(qtbot, browser)
    assert browser.finder.answer.search == Search(spacing_angstrom=(None, 12.0))
    assert browser.screens.filter_bar.chip("≤ 12 Å").isVisible()


def test_a_run_opens_with_the_matching_tomogram_and_annotations(qtbot, browser):
    open_filters(qtbot, browser)
    click_row(qtbot, browser, value(browser, "Object", "membrane"))
    click_row(qtbot, browser, value(browser, "Processing", "denoised"))
    show_list(qtbot, browser, 1)
    view = browser.screens.runs.view
    view.setCurrentIndex(browser.screens.runs.model.index(0))
    with qtbot.waitSignal(browser.navigator.run_arrived):
        qtbot.keyClick(view, Qt.Key.Key_Return)
    (ids,) = browser.finder.answer.matches.annotation_ids
    index, rows = browser.session.index, {}
    for table in ("annotationShapes", "annotationFiles"):
        rows[table] = index.rows(table, index.ids(table))
    shapes = {row["id"] for row in rows["annotationShapes"] if row["annotationId"] in ids}
    files = {row["id"] for row in rows["annotationFiles"] if row["annotationShapeId"] in shapes}
    qtbot.waitUntil(lambda: not browser.manager.coming())
    shown = {key for key in browser.manager.shown() if key.kind == "annotation"}
    assert shown
    assert shown <= {LayerKey("annotation", file_id) for file_id in files}
    assert browser.screens.run.tomogram.processing == "denoised"
    assert browser.screens.breadcrumb.accessibleName().startswith("Runs › DS-")


def test_an_empty_result_names_the_word_to_remove(qtbot, browser):
    open_filters(qtbot, browser)
    click_row(qtbot, browser, value(browser, "Object", "beta-galactosidase"))
    search = browser.finder.answer.search
    qtbot.keyClicks(browser.screens.search, "yeast")
    message = browser.screens.datasets.loadable.message
    qtbot.waitUntil(lambda: "yeast" in message.text)
    click(qtbot, browser, button_in(message, "Remove “yeast”"))
    assert browser.finder.answer.search == search
    assert len(browser.screens.datasets.model.rows) == 1


def test_a_corrected_spelling_is_shown(qtbot, browser):
    open_filters(qtbot, browser)
    qtbot.keyClicks(browser.screens.search, "ribsome")
    qtbot.waitUntil(lambda: "ribosome" in browser.screens.datasets.remark.text())


def test_reading_the_index_can_be_stopped_and_retried(qtbot, browser, monkeypatch):
    read = "napari_cryoet._qt.browser.session.read_index"

    def wait_for_stop(_portal, *, task, **_options):
        task.step(0.25, "runs")
        task.wait(30)

    with monkeypatch.context() as patch:
        patch.setattr(read, wait_for_stop)
        switch = browser.screens.switch
        qtbot.mouseClick(switch, Qt.MouseButton.LeftButton, pos=switch.tabRect(1).center())
        message = browser.screens.runs.loadable.message
        qtbot.waitUntil(lambda: "runs" in message.text)
        click(qtbot, browser, button_in(message, "Stop"))
    click(qtbot, browser, button_in(message, "Retry"))
    assert len(browser.screens.runs.model.rows) == 7
    with monkeypatch.context() as patch:
        patch.setattr(read, wait_for_stop)
        browser.session.read_index(refresh=True)
        notice = browser.screens.notice
        qtbot.waitUntil(lambda: "25%" in notice.text)
        assert browser.screens.runs.loadable.shows_content, "the old index is used meanwhile"
        click(qtbot, browser, notice.action)
    assert browser.screens.runs.loadable.shows_content
    assert not notice.isVisible()


def test_a_saved_search_can_be_reused_and_deleted(qtbot, browser, memory, monkeypatch):
    open_filters(qtbot, browser)
    click_row(qtbot, browser, value(browser, "Object", RIBOSOME))
    monkeypatch.setattr(QInputDialog, "getText", lambda *_args, **_options: ("for training", True))
    menu_of(browser, browser.screens.datasets)["Save this search…"].trigger()
    search = browser.finder.answer.search
    view = browser.screens.facets.view
    view.setExpanded(browser.screens.facets.model.index_of((0, "methods")), True)
    for widget in (browser.screens.filter_bar.filters, browser.screens.filter_bar.clear):
        click(qtbot, browser, widget)
    assert browser.finder.answer.search == Search()
    item(menu_of(browser, browser.screens.datasets)["Saved searches"], "for training").trigger()
    wait(qtbot, browser)
    assert browser.finder.answer.search == search
    open_filters(qtbot, browser)
    assert view.isExpanded(browser.screens.facets.model.index_of((0, "methods"))), "as it was left"
    item(menu_of(browser, browser.screens.datasets)["Saved searches"], "Delete").trigger()
    assert not memory.searches


def test_scripts_and_citations_of_listed_rows_can_be_copied(qtbot, browser):
    open_filters(qtbot, browser)
    qtbot.keyClicks(browser.screens.search, "yeast")
    qtbot.waitUntil(lambda: len(browser.screens.datasets.model.rows) == 1)
    wait(qtbot, browser)
    menus = menu_of(browser, browser.screens.datasets)
    clipboard = QApplication.clipboard()
    for text, expected_text in (
        ("napari-cryoet", "text='yeast'"),
        ("official", "cryoet_data_portal"),
    ):
        item(menus["Copy as Python"], text).trigger()
        assert expected_text in clipboard.text()
    item(menus["Copy citation of 1 dataset"], "BibTeX").trigger()
    assert clipboard.text().startswith("@misc{DS90001")
    browser.navigator.go_to_dataset(90001)
    links = browser.screens.dataset.header.links.menu()
    item(next(action.menu() for action in links.actions() if action.menu()), "RIS").trigger()
    assert "ID  - DS-90001" in clipboard.text()


def test_the_tooltip_of_a_chip_shows_remote_text_as_plain_text(qtbot):
    bar = FilterBar()
    qtbot.addWidget(bar)
    bar.show_search(Search(organisms=('"<b>yeast</b>"',)))
    (chip,) = (each for each in bar.findChildren(QToolButton) if each.objectName() == "chip")
    assert "<b>" in chip.accessibleName()
    assert "<b>" not in chip.toolTip()
