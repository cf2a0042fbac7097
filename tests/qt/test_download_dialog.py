"""Downloading what is ticked, from a demo pack on this machine."""

from __future__ import annotations

import threading

import pytest
from qtpy.QtCore import Qt

from keyboard import controls_by_tab, spoken
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
    def make(**options) -> DownloadDialog:
        rows = [row for row in outline_run(page, page.default_tomogram).rows() if row.files]
        ticked = {"tomograms": page.tomograms[:1], "rows": rows, "folder": tmp_path / "data"} | options
        dialog = DownloadDialog(tasks, theme, portal, page, **ticked)
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


def test_the_size_stands_there_before_anything_is_fetched(make_dialog):
    dialog = make_dialog()
    assert "MB in" in dialog.size_label.text()
    assert not dialog.chosen_folder.exists()


def test_every_control_has_a_name_and_the_keys_reach_it(qtbot, make_dialog):
    dialog = make_dialog()
    with qtbot.waitActive(dialog):
        dialog.activateWindow()
    dialog.form.folder.line_edit.native.setFocus()
    controls = controls_by_tab(dialog)
    assert {dialog.form.overwrite.native, dialog.form.volume_format.native, dialog.start} <= set(controls)
    assert [control for control in controls if not spoken(control)] == []


def test_another_format_has_another_size(make_dialog):
    dialog = make_dialog()
    before = dialog.size_label.text()
    dialog.form.volume_format.value = "mrc"
    assert dialog.size_label.text() != before


def test_what_is_ticked_lands_in_the_folder(qtbot, tasks, make_dialog):
    dialog = make_dialog()
    download(qtbot, tasks, dialog)
    assert "downloaded" in dialog.message.text()
    assert dialog.show_folder.isVisible()
    assert (dialog.chosen_folder / "manifest.json").is_file()
    assert list(dialog.chosen_folder.rglob("*.ndjson"))
    assert list(dialog.chosen_folder.rglob(".zattrs"))


def test_a_second_download_fetches_nothing_again(qtbot, tasks, make_dialog):
    download(qtbot, tasks, make_dialog())
    dialog = make_dialog()
    download(qtbot, tasks, dialog)
    assert dialog.message.text().startswith("0 files downloaded")


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


@pytest.mark.parametrize("by", ["button", "closing the portal's dock"])
def test_stop_stops_and_says_that_it_can_go_on(by, qtbot, tasks, make_dialog, monkeypatch):
    stopped = threading.Event()

    def endless(plan, folder, *, overwrite, progress, stop):
        if stop.wait(60):
            stopped.set()

    monkeypatch.setattr("napari_cryoet._qt.browser.download_dialog.download_files", endless)
    dialog = make_dialog()
    click(qtbot, dialog.start)
    assert dialog.is_downloading
    assert not dialog.form.enabled
    click(qtbot, dialog.stop) if by == "button" else tasks.stop_all()
    assert stopped.wait(30)
    assert not tasks.is_running(KEY)
    assert dialog.message.text().startswith("Stopped.")
    assert dialog.start.isVisible()
    assert dialog.form.enabled
    tasks.progressed.emit(KEY, 1, 2)
    assert dialog.message.text().startswith("Stopped.")


def test_escape_stops_first_and_closes_then(qtbot, make_dialog, monkeypatch):
    monkeypatch.setattr(
        "napari_cryoet._qt.browser.download_dialog.download_files", lambda *_args, stop, **_options: stop.wait(60)
    )
    dialog = make_dialog()
    click(qtbot, dialog.start)
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.is_downloading
    assert dialog.isVisible()
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible()


def test_a_folder_has_to_be_said(qtbot, make_dialog):
    dialog = make_dialog()
    dialog.form.folder.line_edit.native.clear()
    click(qtbot, dialog.start)
    assert not dialog.is_downloading
    assert dialog.message.text() == "Choose a folder to download to."


def test_nothing_to_download_says_so(make_dialog):
    dialog = make_dialog(tomograms=(), rows=())
    assert "Nothing is selected" in dialog.size_label.text()
    assert not dialog.start.isEnabled()


def test_a_folder_that_cannot_be_made_is_told_in_words(qtbot, tasks, make_dialog, tmp_path):
    (tmp_path / "file").write_text("in the way")
    dialog = make_dialog(folder=tmp_path / "file" / "data")
    download(qtbot, tasks, dialog)
    assert dialog.notice.text
    assert "Traceback" not in dialog.notice.text
