"""Downloading the basket, from a demo pack on this machine."""

from __future__ import annotations

import os
import re
import shutil
import threading
from types import SimpleNamespace

import pytest
from qtpy.QtCore import Qt

from napari_cryoet._qt.basket import download_dialog
from napari_cryoet._qt.basket.download_dialog import DownloadDialog
from napari_cryoet._qt.basket.state import BasketState
from napari_cryoet.download.run import QueueState
from napari_cryoet.exceptions import StoppedError
from napari_cryoet.portal.portal import open_portal


@pytest.fixture
def pack(demo_pack, tmp_path):
    return shutil.copytree(demo_pack, tmp_path / "pack", copy_function=os.link)


@pytest.fixture
def make_dialog(qtbot, tasks, theme, pack, tmp_path):
    """Make a dialog on a basket with a tomogram and the annotations of a run."""
    portal = open_portal(pack)
    page, state = portal.run_page(9001), BasketState(tasks, tmp_path / "data")
    state.open(portal)
    ids = [annotation.id for annotation in page.annotations]
    state.change(
        lambda basket: basket.with_ids("annotations", ids).with_ids(
            "tomograms", [page.tomograms[0].id]
        )
    )

    def make(*others: int) -> DownloadDialog:
        if others:
            state.change(lambda basket: basket.with_ids("annotations", others))
        dialog = DownloadDialog(theme, state)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
        qtbot.addWidget(dialog)
        dialog.show()
        qtbot.waitUntil(lambda: not dialog.size_label.text().startswith("Looking"))
        return dialog

    return make


def click(qtbot, button) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def download(qtbot, dialog) -> None:
    click(qtbot, dialog.start)
    qtbot.waitUntil(lambda: not dialog.is_downloading and not dialog.stop.isVisible())


def test_the_basket_is_downloaded_to_the_folder(qtbot, make_dialog):
    dialog = make_dialog()
    assert "MB" in dialog.size_label.text()
    assert not dialog.chosen_folder.exists()
    download(qtbot, dialog)
    assert "downloaded" in dialog.message.text()
    assert dialog.show_folder.isVisible()
    assert (dialog.chosen_folder / "manifest.json").is_file()
    assert list(dialog.chosen_folder.rglob("*.ndjson"))
    assert list(dialog.chosen_folder.rglob(".zattrs"))


def test_a_withdrawn_record_is_named_after_the_download(qtbot, make_dialog):
    dialog = make_dialog(77)
    download(qtbot, dialog)
    assert "AN-77: withdrawn" in dialog.notice.text


def test_changed_files_are_overwritten_only_if_asked_to(qtbot, make_dialog):
    first = make_dialog()
    download(qtbot, first)
    picks = next(iter(first.chosen_folder.rglob("*.ndjson")))
    picks.write_text("my own")
    dialog = make_dialog()
    download(qtbot, dialog)
    assert "would be overwritten" in dialog.notice.text
    assert picks.read_text() == "my own"
    dialog.form.overwrite.value = True
    download(qtbot, dialog)
    assert picks.read_text() != "my own"


class EndlessDownload:
    """A download whose first file doesn't finish until it is stopped."""

    stopped = threading.Event()

    def __init__(self, plan, folder, *, overwrite):
        items = [SimpleNamespace(path=f"a/{name}.zarr", size_bytes=3000) for name in "bcd"]
        self.state = QueueState(items)
        self.state.begin(items[0])
        self.state.count("a/b.zarr", 1000, is_received=True)

    def pause(self):
        self.state.is_paused = True

    def run(self, task):
        try:
            task.wait(60)
        except StoppedError:
            self.stopped.set()


def test_escape_first_stops_the_download_and_then_closes_the_dialog(
    qtbot, make_dialog, monkeypatch
):
    monkeypatch.setattr(download_dialog, "Download", EndlessDownload)
    dialog = make_dialog()
    click(qtbot, dialog.start)
    assert dialog.is_downloading
    assert not dialog.form.enabled
    pattern = "1 KB of 9 KB · .*B/s · .* left · 2 files wait"
    qtbot.waitUntil(lambda: bool(re.fullmatch(pattern, dialog.message.text())))
    (row,) = dialog.model.rows
    assert row.title == "b.zarr"
    assert re.fullmatch("1 KB of 3 KB · .*B/s · .* left", row.right[0])
    click(qtbot, dialog.pause)
    qtbot.waitUntil(lambda: "paused" in dialog.message.text())
    assert dialog.pause.text() == "Resume"
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert EndlessDownload.stopped.wait(30)
    assert not dialog.is_downloading
    assert dialog.start.isVisible()
    assert dialog.form.enabled
    assert dialog.message.text().startswith("Stopped.")
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible()


def test_failed_files_are_listed_and_can_be_retried(qtbot, make_dialog, pack):
    missing_file = next(
        path for path in (pack / "files").rglob("*.ndjson") if "DEMO_001" in path.parts
    )
    missing_file.rename(missing_file.with_suffix(".gone"))
    dialog = make_dialog()
    download(qtbot, dialog)
    qtbot.waitUntil(dialog.notice.isVisible)
    assert any(missing_file.name in row.title for row in dialog.model.rows)
    missing_file.with_suffix(".gone").rename(missing_file)
    click(qtbot, dialog.notice.action)
    qtbot.waitUntil(lambda: "1 file downloaded" in dialog.message.text())
    assert dialog.browse.isVisible()


def test_a_folder_is_required(qtbot, make_dialog):
    dialog = make_dialog()
    dialog.form.folder.line_edit.native.clear()
    assert not dialog.start.isEnabled()
