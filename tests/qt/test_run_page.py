"""The page of a run: its rows, and their sync with layers, on a small demo pack without a window."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Image, Points
from qtpy.QtCore import QModelIndex, QPoint, Qt
from qtpy.QtWidgets import QApplication, QMenu, QMessageBox

from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.browser.run_page import SHOW, RunView, Shown, key_of_row
from napari_cryoet._qt.layers.colors import Appearance
from napari_cryoet._qt.layers.ownership import LayerKey
from napari_cryoet._qt.picks.popover import PicksPopover
from napari_cryoet._qt.rooms import LAYERS
from napari_cryoet._qt.widgets.record_model import RecordModel
from napari_cryoet.layers.specs import METADATA_KEY
from napari_cryoet.pages.rows import RecordRow, Tick, TickState
from napari_cryoet.pages.run import titles_of
from napari_cryoet.runs.outline import AnnotationRow
from qt.fake_portal import run_page

ON, OFF, HALF = Qt.CheckState.Checked, Qt.CheckState.Unchecked, Qt.CheckState.PartiallyChecked
CELL_RUN, RUN_WITHOUT_TOMOGRAM, RIBOSOME_RUN = 9001, 9004, 9007
RED = (1.0, 0.0, 0.0, 1.0)


# rows


@pytest.fixture
def run_view(qtbot, theme, tasks, tmp_path) -> RunView:
    """The page of a canned run."""
    view = RunView(theme)
    qtbot.addWidget(view)
    view.resize(360, 700)
    view.show()
    view.set_page(run_page(506, "TS_006"))
    return view


def annotation(rows: list[RecordRow], annotation_id: int) -> RecordRow:
    children = (
        child
        for row in rows
        for child in row.children
        if child.record.annotation.id == annotation_id
    )
    return next(children)


def test_a_tooltip_shows_remote_text_as_plain_text(run_view):
    row = annotation(run_view.annotations.rows, 5061)
    index = run_view.annotations.index_of(row.key)
    assert "&lt;b&gt;expert&lt;/b&gt;" in index.data(Qt.ItemDataRole.ToolTipRole)
    assert "(★ recommended)" in run_view.annotations.title


def test_the_tick_of_a_row_follows_its_layer(run_view):
    key, model = LayerKey("annotation", 50610), run_view.annotations

    def tick(shown: Shown, annotation_id: int = 5061) -> Tick | None:
        run_view.set_shown(shown)
        return model.tick(annotation(model.rows, annotation_id), SHOW)

    assert tick(Shown()) == Tick(TickState.OFF)
    assert tick(Shown(coming={key})) == Tick(TickState.PARTIAL)
    assert tick(Shown({key: Appearance(is_visible=True, color=RED)})) == Tick(TickState.ON, RED)
    assert tick(Shown({key: Appearance(is_visible=False, color=RED)})) == Tick(
        TickState.OFF, RED, is_hollow=True
    )
    assert tick(Shown(), 5067) is None, "nothing to draw"


def test_the_button_shows_the_progress_of_a_tomogram(run_view):
    key = LayerKey("tomogram", run_view.tomogram.id)
    run_view.set_shown(Shown(coming={key}))
    run_view.set_progress("3.1 MB of 7 MB")
    assert run_view.open.text() == "Stop · 3.1 MB of 7 MB"
    for is_visible, shown_text in ((True, "Shown"), (False, "Show")):
        run_view.set_shown(Shown({key: Appearance(is_visible, None)}))
        assert run_view.open.text() == shown_text
        assert run_view.open.isEnabled() is not is_visible


# rows and layers


@pytest.fixture
def dock(viewer_model, make_demo_browser) -> PortalBrowser:
    """The dock on the demo, with one of the user's own layers."""
    viewer_model.add_points(np.zeros((1, 3)), name="my picks")
    return make_demo_browser()


@pytest.fixture
def run_dock(qtbot, dock) -> PortalBrowser:
    """The dock at the page of the run with the most annotations, without layers."""
    go_to(qtbot, dock, CELL_RUN)
    return dock


def go_to(qtbot, dock, run_id: int) -> RunView:
    with qtbot.waitSignal(dock.navigator.run_arrived):
        dock.navigator.go_to_run(run_id)
    return dock.screens.run


def settle(qtbot, dock) -> None:
    qtbot.waitUntil(lambda: not dock.manager.coming())


def first_that(model: RecordModel, condition: Callable[[AnnotationRow], bool]) -> QModelIndex:
    """The *Show* tick of the first annotation of a kind."""
    index = next(
        index
        for index in model.indexes()
        if index.parent().isValid() and condition(model.record_at(index))
    )
    return index.siblingAtColumn(SHOW + 1)


def state(index: QModelIndex) -> Qt.CheckState:
    return Qt.CheckState(index.data(Qt.ItemDataRole.CheckStateRole))


def toggle(index: QModelIndex) -> LayerKey | None:
    """Click a tick and return its new state."""
    index.model().request_tick(index, SHOW)
    return key_of_row(index.model().record_at(index))


def is_points(row: AnnotationRow) -> bool:
    return row.fits and row.shown_file is not None and row.shown_file.format == "ndjson"


def is_misfit(row: AnnotationRow) -> bool:
    return not row.fits and row.shown_file is not None


def is_text(row: AnnotationRow) -> bool:
    return row.caption_file is not None


def test_ten_annotations_are_visible_in_a_1280_x_800_window(qtbot, run_dock):
    run_dock.resize(400, 734)  # the dock's size in such a window
    tree, model = run_dock.screens.run.tree, run_dock.screens.run.annotations

    def count_seen() -> int:
        room = tree.viewport().rect()
        annotations = [index for index in model.indexes() if index.parent().isValid()]
        return sum(
            tree.visualRect(index).isValid() and room.contains(tree.visualRect(index))
            for index in annotations
        )

    qtbot.waitUntil(lambda: count_seen() >= 10)


def test_the_button_opens_stops_and_shows_the_tomogram(qtbot, run_dock, viewer_model):
    button = run_dock.screens.run.open
    for _ in range(2):
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert button.text().startswith("Open")
    assert not run_dock.manager.coming()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert button.text().startswith("Stop")
    settle(qtbot, run_dock)
    assert button.text() == "Shown"
    (image,) = [layer for layer in viewer_model.layers if isinstance(layer, Image)]
    image.visible = False
    assert button.text() == "Show"
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert image.visible
    assert len([layer for layer in viewer_model.layers if isinstance(layer, Image)]) == 1


def test_opening_another_tomogram_hides_the_first(qtbot, run_dock):
    run = run_dock.screens.run
    first, second = (LayerKey("tomogram", tomogram.id) for tomogram in run.page.tomograms[:2])
    qtbot.keyClick(run.tomograms, Qt.Key.Key_Return)
    settle(qtbot, run_dock)
    qtbot.keyClick(run.tomograms, Qt.Key.Key_Down)
    assert run.open.text().startswith("Open")
    qtbot.keyClick(run.tomograms, Qt.Key.Key_Return)
    settle(qtbot, run_dock)
    assert [run_dock.manager.appearance(key).is_visible for key in (first, second)] == [False, True]
    qtbot.keyClick(run.tomograms, Qt.Key.Key_Up)
    assert run.open.text() == "Show"
    qtbot.mouseClick(run.open, Qt.MouseButton.LeftButton)
    assert [run_dock.manager.appearance(key).is_visible for key in (first, second)] == [True, False]


def test_a_row_shows_its_layers_colour_and_visibility(qtbot, run_dock):
    model = run_dock.screens.run.annotations
    index = first_that(model, is_points)
    key = toggle(index)
    settle(qtbot, run_dock)

    def tick() -> Tick:
        return model.tick(model.row_at(index), SHOW)

    assert tick().color[:3] == pytest.approx(model.row_at(index.parent()).color[:3], abs=0.01)
    (layer,) = [layer for layer in run_dock.manager.layers_of(key) if isinstance(layer, Points)]
    layer.visible = False
    layer.border_color = "red"
    assert tick().is_hollow
    assert tick().color[:3] == pytest.approx(RED[:3], abs=0.01)


def test_ticking_points_of_other_planes_says_where_and_goes_there(qtbot, run_dock, viewer_model):
    run, notice = run_dock.screens.run, run_dock.screens.notice
    qtbot.mouseClick(run.open, Qt.MouseButton.LeftButton)
    settle(qtbot, run_dock)
    viewer_model.dims.set_current_step(0, 0)
    index = first_that(run.annotations, lambda row: row.annotation.object_name == "microtubule")
    key = toggle(index)
    settle(qtbot, run_dock)
    assert "its points lie at z" in notice.text
    qtbot.mouseClick(notice.action, Qt.MouseButton.LeftButton)
    (layer,) = run_dock.manager.layers_of(key)
    assert len(layer._view_data), "napari draws them"  # its public data has all points

    for _ in range(2):  # hide and show
        toggle(index)
    assert not notice.isVisible()


# menus


def menu_at(dock, index: QModelIndex) -> dict[str, Callable[[], None]]:
    """The actions of an annotation's menu, by their text before any number."""
    dock.screens.run.tree.menu_requested.emit(index.model().record_at(index), QPoint(10, 10))
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu)
    menu.close()
    return {
        action.text().partition(" (")[0]: action.trigger
        for action in menu.actions()
        if action.text()
    }


def test_an_annotations_menu_offers_the_same_tools_shown_or_hidden(qtbot, run_dock):
    index = first_that(run_dock.screens.run.annotations, is_points)
    tools = ["Review…", "Compare with…", "Export…"]
    menu = menu_at(run_dock, index)
    assert list(menu)[:4] == ["Show", *tools]
    menu["Show"]()
    settle(qtbot, run_dock)
    menu = menu_at(run_dock, index)
    assert list(menu)[:4] == ["Hide", *tools]
    menu["Hide"]()
    assert state(index) == OFF
    menu_at(run_dock, index)["Copy id"]()
    assert QApplication.clipboard().text() == f"AN-{index.model().record_at(index).annotation.id}"


def test_tools_can_be_opened_for_an_annotation_not_shown_yet(
    qtbot, viewer_in_window, memory, demo_pack
):
    browser = PortalBrowser(viewer_in_window, memory=memory)
    viewer_in_window.window.add_dock_widget(browser)
    with qtbot.waitSignal(browser.session.catalogue_changed):
        browser.use_source(demo_pack)
    go_to(qtbot, browser, CELL_RUN)
    index = first_that(browser.screens.run.annotations, is_points)
    key = LayerKey("annotation", index.model().record_at(index).shown_file.id)
    for entry in LAYERS:
        with qtbot.waitSignal(browser.run_layers.dock_requested) as asked:
            menu_at(browser, index)[entry.text]()
        assert asked.args == [entry.dock, browser.manager.layers_of(key)[0]]
        assert entry.dock in " ".join(viewer_in_window.window.dock_widgets)
    menu_at(browser, index)["How picks are drawn…"]()
    popover = QApplication.activePopupWidget()
    assert isinstance(popover, PicksPopover)
    popover.close()
    browser.close_down()


# annotations of another alignment


def box(qtbot, dock) -> QMessageBox:
    qtbot.waitUntil(lambda: bool(dock.screens.run.findChildren(QMessageBox)))
    return dock.screens.run.findChildren(QMessageBox)[-1]


def answer(qtbot, dock, text: str) -> None:
    question = box(qtbot, dock)
    (button,) = [button for button in question.buttons() if button.text() == text]
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.screens.run.findChildren(QMessageBox))


def test_a_misfit_is_shown_only_if_the_user_insists(qtbot, run_dock):
    tick = first_that(run_dock.screens.run.annotations, is_misfit)
    toggle(tick)
    answer(qtbot, run_dock, "Cancel")
    assert not run_dock.manager.coming()
    key = toggle(tick)
    answer(qtbot, run_dock, "Show anyway")
    settle(qtbot, run_dock)
    assert state(tick) == ON
    run = run_dock.screens.run
    run.tomogram_open_requested.emit(run.page, run.tomogram)
    settle(qtbot, run_dock)
    assert run_dock.manager.is_visible(key), "opening a tomogram again doesn't hide it"
    (layer,) = run_dock.manager.layers_of(key)
    assert "made on AL-" in layer.name
    assert not run_dock.screens.notice.isVisible(), "the question already explained it"
    assert layer.metadata[METADATA_KEY].fit["kind"] == "other_alignment"


def test_a_misfits_menu_opens_the_tomogram_it_was_made_on(qtbot, run_dock):
    run = run_dock.screens.run
    tick = first_that(run.annotations, is_misfit)
    row = run.annotations.record_at(tick)
    menu_at(run_dock, tick)["Open the tomogram it was made on"]()
    settle(qtbot, run_dock)
    assert run.tomogram.alignment_id == row.files[0].alignment_id
    key = LayerKey("annotation", row.shown_file.id)
    assert run_dock.manager.shown() == {LayerKey("tomogram", run.tomogram.id), key}
    assert run_dock.manager.layers_of(key)[0].metadata[METADATA_KEY].fit["kind"] == "same"
    assert not run_dock.screens.notice.isVisible()
    assert titles_of(run.annotations.record_at(run.annotations.index_of(row.key))) == (row.summary,)


def test_annotations_of_another_alignment_are_hidden_and_restored(qtbot, run_dock):
    run, manager = run_dock.screens.run, run_dock.manager
    first, other = (
        run.tomogram,
        next(item for item in run.page.tomograms if item.alignment_id == 9002),
    )
    run.tomogram_open_requested.emit(run.page, first)
    key = toggle(first_that(run.annotations, is_points))
    settle(qtbot, run_dock)
    tree_area = run.tree.geometry()
    run.tomogram_open_requested.emit(run.page, other)
    settle(qtbot, run_dock)
    assert not manager.is_visible(key)
    assert run.tree.geometry() == tree_area, "the notice floats over the end of the list"
    assert run_dock.screens.notice.text == "Hid 1 annotation made on another alignment of this run."
    go_to(qtbot, run_dock, RIBOSOME_RUN)
    assert not run_dock.screens.notice.isVisible()
    assert not manager.is_visible(LayerKey("tomogram", other.id))
    go_to(qtbot, run_dock, CELL_RUN)
    assert run.tomogram.id == other.id, "the visible one is chosen"
    run.tomogram_open_requested.emit(run.page, first)
    assert manager.is_visible(key)


def test_a_caption_opens_in_a_message_box_without_a_layer(qtbot, run_dock, viewer_model):
    toggle(first_that(run_dock.screens.run.annotations, is_text))
    text = box(qtbot, run_dock)
    assert "a cisterna with ribosomes" in text.text()
    assert text.textFormat() == Qt.TextFormat.PlainText
    text.close()
    assert [layer.name for layer in viewer_model.layers] == ["my picks"]


def test_a_run_without_a_tomogram_leaves_the_canvas_as_it_is(qtbot, dock, viewer_model):
    for run_id in (CELL_RUN, RUN_WITHOUT_TOMOGRAM):
        page = go_to(qtbot, dock, run_id).page
        dock.run_layers.open_default(page)
        settle(qtbot, dock)
    assert any(isinstance(layer, Image) and layer.visible for layer in viewer_model.layers)
    notice = dock.screens.notice
    assert notice.text.startswith("DEMO_004 has no tomogram")
    assert notice.action.text() == "Show its tilt series"


# failures


def test_a_missing_annotation_file_is_reported_and_can_be_retried(qtbot, dock, demo_pack, tmp_path):
    own_pack = Path(shutil.copytree(demo_pack, tmp_path / "pack", copy_function=os.link))
    for picks in (own_pack / "files").rglob("*.ndjson"):
        picks.rename(picks.with_suffix(".gone"))
    with qtbot.waitSignal(dock.session.catalogue_changed):
        dock.use_source(own_pack)
    run = go_to(qtbot, dock, CELL_RUN)
    tick = first_that(run.annotations, is_points)
    with qtbot.waitSignal(dock.manager.failed):
        toggle(tick)
    assert dock.screens.notice.isVisible()
    assert "Traceback" not in dock.screens.notice.text
    assert state(tick) == OFF
    for gone in (own_pack / "files").rglob("*.gone"):
        gone.rename(gone.with_suffix(".ndjson"))
    qtbot.mouseClick(dock.screens.notice.action, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: state(tick) == ON)
