"""Texts of captions: ticked open, read as plain text, closed with their tick, key or run."""

from __future__ import annotations

import shutil

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from napari_cryoet._qt.browser.caption_panel import CaptionPanel
from napari_cryoet.layers.load import Caption
from napari_cryoet.portal.portal import open_portal
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
