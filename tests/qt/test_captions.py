"""Texts of captions: ticked open, read as plain text, closed with their tick, key or run."""

from __future__ import annotations

import json
import shutil

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QLabel

from keyboard import marks_of_keys, spoken
from napari_cryoet._qt import caption_desk
from napari_cryoet._qt.caption_panel import CaptionPanel
from napari_cryoet.layers.load import Caption
from napari_cryoet.portal import open_portal
from qt.test_layer_desk import CHECK, OFF, ON, dock, first_that, names  # noqa: F401 - the dock is a fixture

CELL_RUN, RIBOSOME_RUN = 9001, 9007


def is_text(row) -> bool:
    return row.caption_file is not None


def go_to(qtbot, dock, run_id):  # noqa: F811
    with qtbot.waitSignal(dock.navigator.run_arrived):
        dock.navigator.go_to_run(run_id)
    return dock.screens.run


@pytest.mark.parametrize(
    ("run_id", "words"), [(CELL_RUN, "a cisterna with ribosomes"), (RIBOSOME_RUN, "Ribosomes at random")]
)
def test_a_tick_opens_the_text_and_closes_it(qtbot, dock, viewer_model, run_id, words):  # noqa: F811
    run = go_to(qtbot, dock, run_id)
    tick = first_that(run.annotations, is_text)
    assert run.annotations.data(tick, CHECK) == OFF
    run.annotations.setData(tick, ON, CHECK)
    qtbot.waitUntil(run.caption.isVisible)
    assert words in run.caption.text.text()
    assert "text about" in run.caption.title.text()
    assert run.annotations.data(tick, CHECK) == ON
    assert names(viewer_model) == ["my picks"], "a text is no layer"
    run.annotations.setData(tick, OFF, CHECK)
    assert not run.caption.isVisible()
    assert run.annotations.data(tick, CHECK) == OFF


def test_a_text_that_is_cancelled_in_naparis_activity_dock_can_be_ticked_again(qtbot, dock, monkeypatch):  # noqa: F811
    run = go_to(qtbot, dock, CELL_RUN)
    tick = first_that(run.annotations, is_text)
    with monkeypatch.context() as patch:
        patch.setattr(caption_desk, "load_captions", lambda _file, *, stop: stop.wait(60))
        run.annotations.setData(tick, ON, CHECK)
        assert run.annotations.data(tick, CHECK) != OFF
        dock._activity._bars["caption"].cancel()
    assert run.annotations.data(tick, CHECK) == OFF
    run.annotations.setData(tick, ON, CHECK)
    qtbot.waitUntil(run.caption.isVisible)


def test_the_text_has_a_name_and_shows_when_it_has_the_keys(qtbot, dock):  # noqa: F811
    run = go_to(qtbot, dock, CELL_RUN)
    with qtbot.waitActive(dock.window()):
        dock.window().activateWindow()
    for words in ("some words", "w" * 400):
        run.caption.show_captions("about", [Caption(words)])
        QApplication.processEvents()
        controls = run.caption.dismiss, run.caption.text
        assert [
            control for control in controls if not spoken(control) or marks_of_keys(control, run.caption) < 20
        ] == []


def test_the_button_and_escape_close_the_text_too(qtbot, dock):  # noqa: F811
    run = go_to(qtbot, dock, CELL_RUN)
    tick = first_that(run.annotations, is_text)
    for close in (
        lambda: qtbot.mouseClick(run.caption.dismiss, Qt.MouseButton.LeftButton),
        lambda: qtbot.keyClick(run.caption, Qt.Key.Key_Escape),
    ):
        run.annotations.setData(tick, ON, CHECK)
        qtbot.waitUntil(run.caption.isVisible)
        close()
        assert not run.caption.isVisible()
        assert run.annotations.data(tick, CHECK) == OFF


def test_the_row_that_was_ticked_stays_in_sight_above_its_text(qtbot, dock):  # noqa: F811
    run = go_to(qtbot, dock, CELL_RUN)
    tick = first_that(run.annotations, is_text)
    tree, seen = run.tree, run.tree.viewport().rect
    qtbot.waitUntil(lambda: tree.viewport().height() > 200)
    tree.setCurrentIndex(tick)
    tree.scrollTo(tick, tree.ScrollHint.PositionAtBottom)
    height = tree.viewport().height()
    run.annotations.setData(tick, ON, CHECK)
    qtbot.waitUntil(lambda: run.caption.isVisible() and tree.viewport().height() < height)
    qtbot.waitUntil(lambda: seen().contains(tree.visualRect(tick).center()))


def test_another_run_closes_the_text(qtbot, dock):  # noqa: F811
    run = go_to(qtbot, dock, CELL_RUN)
    run.annotations.setData(first_that(run.annotations, is_text), ON, CHECK)
    qtbot.waitUntil(run.caption.isVisible)
    go_to(qtbot, dock, RIBOSOME_RUN)
    assert not run.caption.isVisible()
    assert run.annotations.data(first_that(run.annotations, is_text), CHECK) == OFF


def test_a_text_that_cannot_be_read_says_so(qtbot, dock, demo_pack, tmp_path):  # noqa: F811
    pack = tmp_path / "pack"
    shutil.copytree(demo_pack, pack)  # the demo itself is read by tests of other processes, perhaps just now
    portal = open_portal(pack)
    (file,) = [each for each in portal.run_page(CELL_RUN).annotation_files if each.format == "json"]
    portal.close()
    (pack / "files" / file.https_path.partition("/files/")[2]).write_bytes(b"[]")
    with qtbot.waitSignal(dock.session.catalogue_changed):
        dock.use_source(pack)
    run = go_to(qtbot, dock, CELL_RUN)
    run.annotations.setData(first_that(run.annotations, is_text), ON, CHECK)
    qtbot.waitUntil(lambda: "no file of captions" in dock.screens.notice.text)
    assert not run.caption.isVisible()
    assert run.annotations.data(first_that(run.annotations, is_text), CHECK) == OFF


def test_no_text_is_markup(qtbot, theme):
    panel = CaptionPanel(theme)
    qtbot.addWidget(panel)
    panel.show_captions("<b>title</b>", [Caption("<b>bold</b>"), Caption("second\nline")])
    labels = [panel.text, panel.title]
    assert all(isinstance(label, QLabel) and label.textFormat() == Qt.TextFormat.PlainText for label in labels)
    assert panel.text.text() == "<b>bold</b>\n\nsecond\nline"


def test_a_long_text_scrolls_and_leaves_room_for_the_list(qtbot, theme):
    panel = CaptionPanel(theme)
    qtbot.addWidget(panel)
    panel.resize(340, 400)
    panel.show_captions("long", [Caption(json.dumps("word " * 2000))])
    assert panel.sizeHint().height() < 250
