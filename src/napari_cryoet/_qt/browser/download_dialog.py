"""Download the ticked files: ask for folder and format, show the size, then progress with a Stop."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Final, Literal, cast

from magicgui import magicgui
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QDialog, QHBoxLayout, QVBoxLayout, QWidget

from napari_cryoet._qt.tasks import Job, Tasks
from napari_cryoet._qt.widgets.labels import BAR_STEPS, plain_label, progress_bar, push_button
from napari_cryoet._qt.widgets.messages import NoticeBar, open_folder
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.download import DownloadReport, Plan, Rows, ask_rows, download_files, plan_ticked
from napari_cryoet.exceptions import CryoETError, DownloadError
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.portal.portal import Portal
from napari_cryoet.records import Tomogram
from napari_cryoet.run.outline import AnnotationRow
from napari_cryoet.wording import count_text, joined, size_text

KEY: Final = "download"
_ROWS_KEY: Final = "download rows"


def _options(folder: str, volume_format: str = "zarr", with_metadata: bool = True, overwrite: bool = False) -> None:
    """What the form asks for."""


class DownloadDialog(QDialog):
    """Asks, then downloads; closing it while it downloads stops it, and starting again goes on from there."""

    began = Signal(object)  # the folder that was chosen

    def __init__(
        self,
        tasks: Tasks,
        theme: Theme,
        portal: Portal,
        page: RunPage,
        *,
        tomograms: Collection[Tomogram],
        rows: Collection[AnnotationRow],
        folder: Path,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._title = f"Download from {page.run.name}"
        self.setWindowTitle(self._title)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(420)
        self._tasks, self._portal = tasks, portal
        self._ticked = tuple(tomograms), tuple(rows)
        self._rows: Rows | None = None
        self._plan: Plan | None = None
        self.form: Any = magicgui(
            _options,
            call_button=False,
            folder={"widget_type": "FileEdit", "mode": "d", "value": folder, "label": "Folder"},
            volume_format={"choices": [("OME-Zarr", "zarr"), ("MRC", "mrc")], "label": "Volumes as"},
            with_metadata={"text": "with metadata files"},
            overwrite={"text": "replace files that differ"},
        )
        self.form.folder.line_edit.native.setAccessibleName("Folder to download to")
        self.form.folder.choose_btn.native.setAccessibleName("Choose the folder to download to")
        self.form.folder.choose_btn.text = "Choose…"
        self.form.volume_format.native.setAccessibleName("Format of volumes")
        self.size_label = plain_label("Looking up sizes…", name="downloadSize")
        self.bar = progress_bar("How far the download is")
        self.message = plain_label(name="downloadMessage")
        self.notice = NoticeBar(theme)
        self.start = push_button("Download", self._on_start)
        self.stop = push_button("Stop", lambda: tasks.stop(KEY))
        self.show_folder = push_button("Show folder", lambda: open_folder(self.chosen_folder))
        self.close_button = push_button("Close", self.reject)
        self.start.setDefault(True)  # else Enter in the field of the folder would choose another one
        buttons, column = QHBoxLayout(), QVBoxLayout(self)
        buttons.addStretch(1)
        for button in (self.show_folder, self.stop, self.start, self.close_button):
            buttons.addWidget(button)
        for part in (self.form.native, self.size_label, self.bar, self.message, self.notice):
            column.addWidget(part)
        column.addLayout(buttons)
        self.form.volume_format.changed.connect(self._make_plan)
        self.form.with_metadata.changed.connect(self._make_plan)
        tasks.progressed.connect(self._on_progress)
        tasks.finished.connect(self._on_finished)
        self._show_state()
        tasks.run(
            _ROWS_KEY,
            lambda job: ask_rows(portal, run_ids=[page.run.id], stop=job.stop),
            then=self._on_rows,
            failed=lambda error: self.size_label.setText(str(error)),
        )

    @property
    def is_downloading(self) -> bool:
        return self._tasks.is_running(KEY)

    @property
    def chosen_folder(self) -> Path:
        return Path(str(self.form.folder.value)).expanduser()

    def closeEvent(self, event: QCloseEvent | None) -> None:
        self._tasks.stop(KEY)
        self._tasks.stop(_ROWS_KEY)
        super().closeEvent(event)

    def reject(self) -> None:
        """Escape stops a download first, and closes only then."""
        if self.is_downloading:
            self._tasks.stop(KEY)
        else:
            super().reject()

    def _on_rows(self, rows: Rows) -> None:
        self._rows = rows
        self._make_plan()

    def _make_plan(self, _value: Any = None) -> None:
        if self._rows is None:
            return
        try:
            self._plan = plan_ticked(
                self._rows,
                self._portal.source,
                *self._ticked,
                volume_format=cast(Literal["zarr", "mrc"], self.form.volume_format.value),
                with_metadata=self.form.with_metadata.value,
            )
        except DownloadError as error:
            self._plan = None
            self.size_label.setText(str(error))
        else:
            unknown = self._plan.n_unknown_sizes
            more = f"and {count_text(unknown, 'small file')} of unknown size" if unknown else ""
            known = f"{size_text(self._plan.total_bytes)} in {count_text(len(self._plan.items) - unknown, 'item')}"
            self.size_label.setText(f"{known} {more}".strip())
        self._show_state()

    def _on_start(self) -> None:
        plan = self._plan
        if plan is None:
            return
        if not self.form.folder.line_edit.value.strip():
            self.message.setText("Choose a folder to download to.")
            self.form.folder.line_edit.native.setFocus(Qt.FocusReason.OtherFocusReason)
            return
        folder, overwrite = self.chosen_folder, self.form.overwrite.value

        def work(job: Job) -> DownloadReport:
            return download_files(plan, folder, overwrite=overwrite, progress=job.progress, stop=job.stop)

        self._tasks.run(KEY, work, then=self._on_done, failed=self._on_failed, title=self._title)
        self.began.emit(folder)
        self.bar.setValue(0)
        self.notice.hide()
        self.message.setText("Looking at what is there…")
        self._show_state()

    def _on_progress(self, key: object, done_bytes: int, total_bytes: int | None) -> None:
        if key == KEY and total_bytes and self.is_downloading:
            self.bar.setValue(done_bytes * BAR_STEPS // total_bytes)
            self.message.setText(f"{size_text(done_bytes)} of {size_text(total_bytes)}")

    def _on_finished(self, key: object) -> None:
        """An answer follows, unless it was stopped, here or in napari's activity dock."""
        if key == KEY:
            self.message.setText("Stopped. What is complete stays; Download goes on from there.")
            self._show_state()

    def _on_done(self, report: DownloadReport) -> None:
        fetched = f"{count_text(report.n_fetched, 'file')} downloaded ({size_text(report.fetched_bytes)})"
        skipped = f"{count_text(report.n_skipped, 'file')} there already" if report.n_skipped else ""
        self.message.setText(joined(fetched, skipped))
        self.show_folder.show()

    def _on_failed(self, error: CryoETError) -> None:
        self.message.setText("")
        self.notice.show_error(error)

    def _show_state(self) -> None:
        is_downloading = self.is_downloading
        self.form.enabled = not is_downloading
        self.start.setEnabled(self._plan is not None)
        for button in (self.start, self.close_button):
            button.setVisible(not is_downloading)
        for part in (self.bar, self.stop):
            part.setVisible(is_downloading)
        self.show_folder.hide()
