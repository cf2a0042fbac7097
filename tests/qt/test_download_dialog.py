"""Downloading what is ticked, from a demo pack on this machine."""

from __future__ import annotations

import threading

import pytest
from qtpy.QtCore import Qt

from napari_cryoet._qt.browser.download_dialog import KEY, DownloadDialog
from napari_cryoet.portal.portal import open_portal
from napari_cryoet.run.outline import outline_run


@pytest.fixture
def portal(demo_pack):
    return open_portal(demo_pack)


@pytest.fixture
def page(portal):
    run = next(run for dataset in portal.datasets() for run in portal.runs(dataset.id) if run.annotation_count)
    return portal.run_page(run.id)


@pytest.fixture
def make_dialog(qtbot, tasks, theme, portal, page, tmp_path):
    def make() -> DownloadDialog:
        rows = [row for row in outline_run(page, page.default_tomogram).rows() if row.files]
        tomograms, folder = page.tomograms[:1], tmp_path / "data"
        dialog = DownloadDialog(tasks, theme, portal, page, tomograms=tomograms, rows=rows, folder=folder)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
        qtbot.addWidget(dialog)
        dialog.show()
        qtbot.waitUntil(lambda: not dialog.size_label.text().startswith("Looking"))
        return dialog

    return make


def click(qtbot, button) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def download(qtbot, tasks, dialog) -> None:
    with qtbot.waitSignal(tasks.finished):
        click(qtbot, dialog.start)
    qtbot.waitUntil(lambda: not dialog.is_downloading and not dialog.stop.isVisible())


def test_what_is_ticked_lands_in_the_folder(qtbot, tasks, make_dialog):
    dialog = make_dialog()
    assert "MB in" in dialog.size_label.text()
    assert not dialog.chosen_folder.exists()
    download(qtbot, tasks, dialog)
    assert "downloaded" in dialog.message.text()
    assert dialog.show_folder.isVisible()
    assert (dialog.chosen_folder / "manifest.json").is_file()
    assert list(dialog.chosen_folder.rglob("*.ndjson"))
    assert list(dialog.chosen_folder.rglob(".zattrs"))


def test_files_that_differ_are_not_overwritten_unasked(qtbot, tasks, make_dialog):
    first = make_dialog()
    download(qtbot, tasks, first)
    picks = next(iter(first.chosen_folder.rglob("*.ndjson")))
    picks.write_text("my own")
    dialog = make_dialog()
    download(qtbot, tasks, dialog)
    assert "would be overwritten" in dialog.notice.text
    assert picks.read_text() == "my own"
    dialog.form.overwrite.value = True
    download(qtbot, tasks, dialog)
    assert picks.read_text() != "my own"


def test_escape_stops_first_says_that_it_can_go_on_and_closes_then(qtbot, tasks, make_dialog, monkeypatch):
    stopped = threading.Event()

    def endless(plan, folder, *, overwrite, progress, stop):
        if stop.wait(60):
            stopped.set()

    monkeypatch.setattr("napari_cryoet._qt.browser.download_dialog.download_files", endless)
    dialog = make_dialog()
    click(qtbot, dialog.start)
    assert dialog.is_downloading
    assert not dialog.form.enabled
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert stopped.wait(30)
    assert not dialog.is_downloading
    assert dialog.start.isVisible()
    assert dialog.form.enabled
    tasks.progressed.emit(KEY, 1, 2)
    assert dialog.message.text().startswith("Stopped.")
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible()


def test_a_folder_has_to_be_said(qtbot, make_dialog):
    dialog = make_dialog()
    dialog.form.folder.line_edit.native.clear()
    click(qtbot, dialog.start)
    assert not dialog.is_downloading
    assert dialog.message.text() == "Choose a folder to download to."
