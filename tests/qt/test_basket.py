"""The basket in a dock on the demo: ticks in lists, its page, files and exports, by clicks and keys."""

from __future__ import annotations

import pytest
import zarr
from filelock import FileLock
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QDialog,
    QFileDialog,
    QInputDialog,
    QPushButton,
)

from napari_cryoet._qt.basket import page as page_module
from napari_cryoet._qt.basket.page import EXPORT
from napari_cryoet._qt.basket.room import BASKET, BasketStrip, WholeRun, basket_of
from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.lessons.class_pack import ClassPackDialog
from napari_cryoet._qt.widgets.record_view import RecordView
from napari_cryoet.basket.basket import Basket, BasketStore, Split, read_basket, write_basket
from napari_cryoet.basket.contents import KnownRuns
from napari_cryoet.exceptions import NetworkError
from napari_cryoet.packs.zipped import is_zipped_pack
from napari_cryoet.pages.rows import RecordRow
from qt.buttons import button_in

ON, OFF, HALF = Qt.CheckState.Checked, Qt.CheckState.Unchecked, Qt.CheckState.PartiallyChecked
CELL_RUN, CELLS, MIXES = 9001, 90001, 90002


@pytest.fixture
def make_dock(qtbot, make_demo_browser):
    """Make a narrow dock on the demo with a loaded basket."""

    def make() -> PortalBrowser:
        browser = make_demo_browser(width=322)
        settle(qtbot, browser)
        return browser

    return make


@pytest.fixture
def dock(make_dock) -> PortalBrowser:
    return make_dock()


def settle(qtbot, dock: PortalBrowser) -> None:
    """Wait until the basket is saved and its contents are counted."""
    qtbot.waitUntil(lambda: not {"basket", "contents of the basket"} & set(dock.tasks.running))


def go_to_run(qtbot, dock: PortalBrowser, run_id: int = CELL_RUN):
    with qtbot.waitSignal(dock.navigator.run_arrived):
        dock.navigator.go_to_run(run_id)
    return dock.screens.run


def press(
    qtbot, dock: PortalBrowser, view: RecordView, key, row_key: Qt.Key = Qt.Key.Key_D
) -> None:
    """Press a key on a row."""
    view.select(key)
    qtbot.keyClick(view, row_key)
    settle(qtbot, dock)


def state(view: RecordView, key) -> Qt.CheckState:
    """The tick of a row in the last column."""
    index = view.model().index_of(key)
    last = index.siblingAtColumn(view.model().columnCount() - 1)
    return Qt.CheckState(last.data(Qt.ItemDataRole.CheckStateRole))


def ribosomes(run) -> RecordRow:
    """The rows of an object with several annotations."""
    return next(row for row in run.annotations.rows if len(row.children) > 1)


@pytest.fixture
def filled(qtbot, dock) -> PortalBrowser:
    """The dock at the page of a basket with a tomogram and all annotations of one object."""
    run = go_to_run(qtbot, dock)
    press(qtbot, dock, run.tomograms, run.tomogram_model.rows[0].key)
    press(qtbot, dock, run.tree, ribosomes(run).key)
    qtbot.mouseClick(dock.findChild(BasketStrip), Qt.MouseButton.LeftButton)
    assert dock.screens.breadcrumb.accessibleName() == "Datasets › DEMO_001 › Basket"
    return dock


# ticks


def test_ticks_persist_across_pages_and_restarts(qtbot, make_dock):
    dock = make_dock()
    assert dock.findChild(BasketStrip).text().startswith("The basket is empty")
    run = go_to_run(qtbot, dock)
    group = ribosomes(run)
    press(qtbot, dock, run.tree, group.key)
    assert [state(run.tree, row.key) for row in (group, *group.children)] == [
        ON,
        ON,
        OFF,
        ON,
        ON,
        ON,
    ], "the richest"
    press(qtbot, dock, run.tree, group.children[0].key)
    assert (state(run.tree, group.key), state(run.tree, group.children[0].key)) == (HALF, OFF)
    press(qtbot, dock, run.tomograms, run.tomogram_model.rows[0].key)
    strip = dock.findChild(BasketStrip).text()
    assert strip.startswith("Basket: 1 run · ")
    assert "MB" in strip
    again = make_dock()
    assert again.findChild(BasketStrip).text() == strip
    run = go_to_run(qtbot, again)
    assert state(run.tree, group.key) == HALF
    assert state(run.tomograms, run.tomogram_model.rows[0].key) == ON
    assert not dock.findChild(WholeRun).isChecked()


def test_ticking_a_run_or_dataset_ticks_its_contents(qtbot, dock):
    screens = dock.screens
    press(qtbot, dock, screens.datasets.view, CELLS)
    assert dock.findChild(BasketStrip).text().startswith("Basket: 4 runs")
    dock.navigator.go_to_dataset(CELLS)
    qtbot.waitUntil(lambda: len(screens.dataset.runs) > 0)
    assert state(screens.dataset.view, CELL_RUN) == ON
    run = go_to_run(qtbot, dock)
    assert dock.findChild(WholeRun).isChecked()
    press(qtbot, dock, run.tree, ribosomes(run).key)
    assert state(run.tree, ribosomes(run).key) == ON, "the dataset contains it"
    assert screens.notice.text == f"All of DS-{CELLS} is in the basket."
    qtbot.mouseClick(screens.notice.action, Qt.MouseButton.LeftButton)
    settle(qtbot, dock)
    assert state(run.tree, ribosomes(run).key) == OFF
    dock.findChild(WholeRun).click()
    settle(qtbot, dock)
    assert basket_of(dock).basket.runs == (CELL_RUN,)
    assert state(screens.datasets.view, CELLS) == HALF


def test_a_change_by_a_terminal_is_seen_in_the_open_window(qtbot, dock):
    source = basket_of(dock).source
    for run_id in (CELL_RUN, 9002):  # the folder is watched, not only its first file
        BasketStore().change(
            source, lambda basket, run_id=run_id: basket.with_ids("runs", [run_id])
        )
        qtbot.waitUntil(lambda run_id=run_id: run_id in basket_of(dock).basket.runs)
    qtbot.waitUntil(lambda: "2 runs" in dock.findChild(BasketStrip).text())


def test_a_locked_basket_is_saved_later_without_blocking_the_window(qtbot, dock):
    source = basket_of(dock).source
    path = BasketStore().path(source)
    path.parent.mkdir(exist_ok=True, parents=True)
    with FileLock(path.with_suffix(".lock")):  # another process
        basket_of(dock).change(lambda basket: basket.with_ids("runs", [CELL_RUN]))
        basket_of(dock).close()
    qtbot.waitUntil(lambda: BasketStore().current(source).runs == (CELL_RUN,))


def test_an_unreadable_basket_file_is_reported_and_kept(qtbot, dock):
    path = BasketStore().path(basket_of(dock).source)
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("runs = [1\n")
    press(qtbot, dock, dock.screens.datasets.view, CELLS)
    assert "isn't TOML" in dock.screens.notice.text
    assert path.read_text() == "runs = [1\n"
    path.write_text("runs = [9001]\n")
    press(qtbot, dock, dock.screens.datasets.view, MIXES)
    assert read_basket(path).datasets == (CELLS, MIXES), "the first tick isn't lost"
    assert basket_of(dock).basket.runs == (CELL_RUN,)


def test_without_a_network_ticks_are_counted_and_retry_works(qtbot, dock, monkeypatch):
    def fail(*_args, **_options):
        raise NetworkError("Couldn't reach the portal.")

    with monkeypatch.context() as without_network:
        without_network.setattr(KnownRuns, "of", fail)
        press(qtbot, dock, dock.screens.datasets.view, CELLS)
        assert dock.findChild(BasketStrip).text() == "Basket: 1 ticked ▸"
        dock.navigator.go_to_page(BASKET)
        message = dock.screens.page("basket").loadable.message
        assert message.text == "Couldn't reach the portal."
    qtbot.mouseClick(button_in(message, "Retry"), Qt.MouseButton.LeftButton)
    settle(qtbot, dock)
    assert dock.screens.page("basket").model.rows[0].record.dataset_id == CELLS


# its page


def test_the_page_lists_contents_unticks_them_and_opens_runs(qtbot, filled):
    page = filled.screens.page("basket")
    filled.navigator.go_up()
    assert filled.screens.breadcrumb.accessibleName() == f"Datasets › DS-{CELLS} › DEMO_001"
    filled.navigator.go_to_page(BASKET)
    (run,) = page.model.rows
    assert run.title == "DEMO_001"
    assert len(run.children) > 2
    assert page.sizes.text().startswith("tomograms ")
    gone = run.children[0]
    press(qtbot, filled, page.view, gone.key)
    assert gone.key not in [row.key for row in page.model.rows[0].children]
    with qtbot.waitSignal(filled.navigator.run_arrived):
        press(qtbot, filled, page.view, page.model.rows[0].key, Qt.Key.Key_Return)
    crumbs = filled.screens.breadcrumb.accessibleName()
    assert crumbs == f"Datasets › Basket › DS-{CELLS} › DEMO_001"
    filled.navigator.go_to_page(BASKET)
    press(qtbot, filled, page.view, page.model.rows[0].key)
    assert "The basket is empty." in page.loadable.message.text
    assert not page.download.isEnabled()


def test_a_remark_has_a_button_that_fixes_it(qtbot, filled):
    page = filled.screens.page("basket")
    ids = {row.record.annotation.id for row in ribosomes(filled.screens.run).children}
    assert set(basket_of(filled).basket.annotations) == ids
    button = next(
        button
        for button in page.remarks.findChildren(QPushButton)
        if button.text() == "Keep the best"
    )
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    settle(qtbot, filled)
    assert len(basket_of(filled).basket.annotations) < len(ids)


def test_download_level_and_split_are_chosen_in_menus(qtbot, filled):
    page, before = (
        filled.screens.page("basket"),
        basket_of(filled).details.chosen.contents.total.size_bytes,
    )

    def choose(menu, text: str) -> None:
        menu.aboutToShow.emit()
        next(action for action in menu.actions() if action.text() == text).trigger()
        settle(qtbot, filled)

    choose(page.choices.menu(), "Level 1 and coarser: 1/8 of the size")
    titles = [action.text() for action in page.choices.menu().actions() if not action.isEnabled()]
    assert {"Levels", "Format"} <= {*titles}
    assert basket_of(filled).details.chosen.contents.total.size_bytes < before / 4
    choose(page.split.menu(), "80/10/10")
    seed = basket_of(filled).basket.split.seed
    assert page.split.text() == "Split 1/0/0 ▾"
    assert "train" in page.model.rows[0].right[0]
    choose(page.split.menu(), "80/10/10")
    assert basket_of(filled).basket.split.seed == seed
    choose(page.split.menu(), "Draw again")
    assert basket_of(filled).basket.split.seed == seed + 1
    choose(page.split.menu(), "No split")
    assert basket_of(filled).basket.split is None


def test_the_basket_can_be_saved_emptied_pasted_and_opened(qtbot, filled, monkeypatch, tmp_path):
    page, path = filled.screens.page("basket"), tmp_path / "mine.toml"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args: (str(path), ""))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_args: (str(path), ""))
    monkeypatch.setattr(
        QInputDialog, "getMultiLineText", lambda *_args: ("RN-9005 and DS-90002", True)
    )
    monkeypatch.setattr(page_module, "agrees", lambda *_args, **_options: True)
    actions = {action.text(): action for action in page.file.menu().actions()}
    page.name.setFocus()
    qtbot.keyClicks(page.name, "mine")
    qtbot.keyClick(page.name, Qt.Key.Key_Return)
    actions["Save as…"].trigger()
    qtbot.waitUntil(path.exists)
    before = basket_of(filled).basket
    assert read_basket(path) == before
    assert before.name == "mine"
    actions["Empty…"].trigger()
    settle(qtbot, filled)
    assert basket_of(filled).basket.is_empty
    actions["Paste ids…"].trigger()
    settle(qtbot, filled)
    assert (basket_of(filled).basket.runs, basket_of(filled).basket.datasets) == ((9005,), (MIXES,))
    actions["Open…"].trigger()
    qtbot.waitUntil(lambda: basket_of(filled).basket == before)


def test_opening_a_basket_of_another_source_opens_that_source(qtbot, filled, monkeypatch, tmp_path):
    write_basket(Basket(source="http://127.0.0.1:9/graphql", runs=(1,)), tmp_path / "other.toml")
    monkeypatch.setattr(
        QFileDialog, "getOpenFileName", lambda *_args: (str(tmp_path / "other.toml"), "")
    )
    monkeypatch.setattr(page_module, "agrees", lambda *_args, **_options: True)
    before = basket_of(filled).basket
    filled.screens.page("basket").name.setFocus()
    qtbot.keyClicks(filled.screens.page("basket").name, "never mind")
    with qtbot.waitSignal(filled.session.opening) as opening:
        filled.screens.page("basket").file.menu().actions()[0].trigger()
    assert opening.args == ["http://127.0.0.1:9/graphql"]
    assert BasketStore().current(before.source).tomograms == before.tomograms
    assert not basket_of(filled).basket.name


def test_changes_on_the_portal_are_reported_and_applied(qtbot, filled):
    page = filled.screens.page("basket")
    old = dict.fromkeys(basket_of(filled).basket.tomograms, "2020-01-01")
    basket_of(filled).change(
        lambda basket: (
            basket.without_ids("tomograms", old)
            .with_ids("tomograms", old, modified=old)
            .with_ids("runs", [77])
        )
    )
    settle(qtbot, filled)
    page.ask_age()
    buttons = page.remarks.findChildren
    qtbot.waitUntil(lambda: any(button.text() == "Update" for button in buttons(QPushButton)))
    (button,) = [button for button in buttons(QPushButton) if button.text() == "Update"]
    assert "DEMO_001): changed on" in button.accessibleName()
    assert "RN-77: withdrawn" in button.accessibleName()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    settle(qtbot, filled)
    assert basket_of(filled).basket.runs == ()

    lock = next(each for each in page.file.menu().actions() if "Lock" in each.text())
    lock.trigger()
    settle(qtbot, filled)
    locked = basket_of(filled).basket.lock
    assert locked is not None
    assert len(locked.files) == basket_of(filled).details.chosen.contents.total.n_files


def test_export_shows_progress_and_asks_before_replacing(qtbot, filled, monkeypatch, tmp_path):
    page, asked = filled.screens.page("basket"), []
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_args: str(tmp_path))
    monkeypatch.setattr(
        page_module, "agrees", lambda *args, **_options: bool(asked.append(args)) or True
    )
    qtbot.mouseClick(page.export.button, Qt.MouseButton.LeftButton)
    page.exports.close()
    for _ in range(2):
        filled.screens.notice.hide()
        page.exports.actions()[0].trigger()
        assert page.export.button.text() == "Stop"
        qtbot.waitUntil(
            lambda: not filled.tasks.is_running(EXPORT) and filled.screens.notice.isVisible()
        )
        assert "1 run" in filled.screens.notice.text
    assert len(asked) == 1
    assert (tmp_path / "basket-copick").exists()


def test_crops_ask_for_sizes_and_whether_a_part_may_be_empty(qtbot, filled, monkeypatch, tmp_path):
    page, asked = filled.screens.page("basket"), []
    basket_of(filled).change(lambda basket: basket.with_split(Split(train=(CELL_RUN,))))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_args: str(tmp_path))
    monkeypatch.setattr(page_module, "agrees", lambda *args, **_options: asked.append(args) or True)

    def fill_form() -> None:
        dialog = QApplication.activeModalWidget()
        assert isinstance(dialog, QDialog)
        dialog.findChildren(QAbstractSpinBox)[0].setValue(8)
        dialog.accept()

    QTimer.singleShot(0, fill_form)
    page.exports.actions()[-1].trigger()
    qtbot.waitUntil(
        lambda: filled.screens.notice.isVisible() and "picks" in filled.screens.notice.text
    )
    assert "validation and test" in asked[0][2]
    crops = zarr.open_array(tmp_path / "basket-crops.zarr" / "crops", mode="r")
    assert crops.shape[1:] == (8, 8, 8)


def test_a_class_pack_is_made_with_its_size_shown_before(qtbot, filled, tmp_path):
    page = filled.screens.page("basket")
    make = next(each for each in page.file.menu().actions() if "class pack" in each.text())
    make.trigger()
    (dialog,) = filled.findChildren(ClassPackDialog)
    dialog.form.left_out.value = "AN-1"
    qtbot.waitUntil(lambda: "AN-1" in dialog.size_label.text())
    dialog.form.left_out.value = ""
    qtbot.waitUntil(lambda: dialog.size_label.text().startswith("About "))
    before = dialog.size_label.text()
    dialog.form.level.value = 2
    qtbot.waitUntil(lambda: dialog.size_label.text().startswith("About "))
    assert dialog.size_label.text() != before
    dialog.form.lesson.line_edit.value = str(tmp_path / "nowhere")
    qtbot.waitUntil(lambda: "lesson.md" in dialog.size_label.text())
    assert not dialog.bar.button.isEnabled()
    dialog.form.lesson.line_edit.value = ""
    dialog.form.file.value = tmp_path / "class.zip"
    qtbot.waitUntil(dialog.bar.button.isEnabled)
    qtbot.mouseClick(dialog.bar.button, Qt.MouseButton.LeftButton)
    assert dialog.bar.button.text() == "Stop"
    qtbot.waitUntil(lambda: "class.zip" in dialog.bar.message.text())
    assert is_zipped_pack(tmp_path / "class.zip")
    qtbot.mouseClick(dialog.bar.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "already" in dialog.bar.message.text())
    dialog.close()
