"""Download what is ticked: where to, in which format, how much that is; then how far it is, with a Stop."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from magicgui.types import FileDialogMode
from magicgui.widgets import CheckBox, ComboBox, FileEdit
from qtpy.QtCore import QEvent, Qt, QUrl, Signal
from qtpy.QtGui import QCloseEvent, QDesktopServices
from qtpy.QtWidgets import QDialog, QFormLayout, QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_cryoet._qt.tasks import Job, Tasks, UnexpectedError
from napari_cryoet._qt.widgets.labels import plain_label, plain_tooltip
from napari_cryoet._qt.widgets.messages import SWITCH_TEXTS, copy_text
from napari_cryoet.download import DownloadReport, Plan, Rows, ask_rows, download_files, plan_ticked
from napari_cryoet.exceptions import CryoETError, DownloadError, WithheldError
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.portal.portal import Portal
from napari_cryoet.records import Tomogram
from napari_cryoet.run.outline import AnnotationRow
from napari_cryoet.wording import count_text, joined, size_text

KEY = "download"
ROWS_KEY = "download rows"
BAR_STEPS = 1000

_FORMATS = {"OME-Zarr": "zarr", "MRC": "mrc"}


class DownloadDialog(QDialog):
    """Asks, then downloads; closing it while it downloads stops it, and starting again goes on from there.

    Parameters
    ----------
    tasks
        Runs the download.
    portal, page, tomograms, rows
        The run, where it is from, and what of it is ticked.
    folder
        Offered as the place to download to.
    """

    began = Signal(object)  # the folder that was chosen
    switch_requested = Signal(object, object)  # WithheldError, what to do once it is lifted

    def __init__(
        self,
        tasks: Tasks,
        portal: Portal,
        page: RunPage,
        *,
        tomograms: Collection[Tomogram],
        rows: Collection[AnnotationRow],
        folder: Path,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Download from {page.run.name}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(420)
        self._tasks = tasks
        self._page, self._tomograms, self._ticked = page, tuple(tomograms), tuple(rows)
        self._portal = portal
        self._rows: Rows | None = None
        self._plan: Plan | None = None
        self._details = ""
        self._withheld: WithheldError | None = None
        self.folder = FileEdit(label="Folder", mode=FileDialogMode.EXISTING_DIRECTORY, value=folder)
        self.volume_format = ComboBox(label="Volumes as", choices=list(_FORMATS))
        self.with_metadata = CheckBox(text="with metadata files", value=True)
        self.overwrite = CheckBox(text="replace files that differ", value=False)
        self.form = QWidget()
        self.folder.line_edit.native.setAccessibleName("Folder to download to")
        self.folder.choose_btn.native.setAccessibleName("Choose the folder to download to")
        self.folder.choose_btn.text = "Choose…"
        self._tell_folder()
        self.volume_format.native.setAccessibleName("Format of volumes")
        self.size_label = plain_label(name="downloadSize")
        self.bar = QProgressBar()
        self.bar.setRange(0, BAR_STEPS)
        self.bar.setAccessibleName("How far the download is")
        self.message = plain_label(name="downloadMessage")
        self.start = QPushButton("Download")
        self.stop = QPushButton("Stop")
        self.show_folder = QPushButton("Show folder")
        self.copy_details = QPushButton("Copy details")
        self.switch = QPushButton()
        self.close_button = QPushButton("Close")
        self._lay_out()
        self.folder.changed.connect(self._tell_folder)
        self.volume_format.changed.connect(self._make_plan)
        self.with_metadata.changed.connect(self._make_plan)
        self.start.clicked.connect(self._on_start)
        self.stop.clicked.connect(lambda _checked=False: self._tasks.stop(KEY))
        self.show_folder.clicked.connect(self._on_show_folder)
        self.switch.clicked.connect(lambda _checked=False: self.switch_requested.emit(self._withheld, None))
        self.close_button.clicked.connect(self.reject)
        self.copy_details.clicked.connect(lambda _checked=False: copy_text(self._details))
        self.size_label.setText("Looking up sizes…")
        self._set_state()
        self._tasks.run(
            ROWS_KEY,
            lambda job: ask_rows(portal, run_ids=[page.run.id], stop=job.stop),
            then=self._on_rows,
            failed=lambda error: self.size_label.setText(str(error)),
        )

    @property
    def is_downloading(self) -> bool:
        """Whether a download is under way."""
        return self._tasks.is_running(KEY)

    @property
    def chosen_folder(self) -> Path:
        """Where to download to."""
        return Path(str(self.folder.value)).expanduser()

    def event(self, event: QEvent | None) -> bool:
        """Grow once there is more to say: Qt would take the room from the fields, and cut their texts."""
        is_handled = bool(super().event(event))
        if event is None or event.type() != QEvent.Type.LayoutRequest:
            return is_handled  # it may be gone by now
        layout = self.layout()
        needed = 0 if layout is None else layout.totalHeightForWidth(self.width())
        if needed > self.height():
            self.resize(self.width(), needed)
        return is_handled

    def closeEvent(self, event: QCloseEvent | None) -> None:
        """Stop; what is complete stays."""
        self._tasks.stop(KEY)
        self._tasks.stop(ROWS_KEY)
        super().closeEvent(event)

    def reject(self) -> None:
        """Escape stops a download first, and closes only then."""
        if self.is_downloading:
            self._tasks.stop(KEY)
        else:
            super().reject()

    def _tell_folder(self, _value: Any = None) -> None:
        """Show all of a path that the field has no room for."""
        self.folder.line_edit.native.setToolTip(plain_tooltip(str(self.chosen_folder)))

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
                self._tomograms,
                self._ticked,
                volume_format="mrc" if _FORMATS[self.volume_format.value] == "mrc" else "zarr",
                with_metadata=bool(self.with_metadata.value),
            )
        except DownloadError as error:
            self._plan = None
            self.size_label.setText(str(error))
        else:
            unknown = self._plan.n_unknown_sizes
            more = f"and {count_text(unknown, 'small file')} of unknown size" if unknown else ""
            known = f"{size_text(self._plan.total_bytes)} in {count_text(len(self._plan.items) - unknown, 'item')}"
            self.size_label.setText(f"{known} {more}".strip())
        self._set_state()

    def _on_start(self) -> None:
        plan = self._plan
        if plan is None:
            return
        if not self.folder.line_edit.value.strip():
            self.message.setText("Choose a folder to download to.")
            self.folder.line_edit.native.setFocus(Qt.FocusReason.OtherFocusReason)
            return
        folder, overwrite = self.chosen_folder, bool(self.overwrite.value)

        def work(job: Job) -> DownloadReport:
            return download_files(plan, folder, overwrite=overwrite, progress=job.progress, stop=job.stop)

        self._tasks.progressed.connect(self._on_progress)
        self._tasks.finished.connect(self._on_finished)
        title = f"Download from {self._page.run.name}"
        self._tasks.run(KEY, work, then=self._on_done, failed=self._on_failed, title=title)
        self.began.emit(folder)
        self.bar.setValue(0)
        self.message.setText("Looking at what is there…")
        self._set_state()

    def _on_progress(self, key: object, done_bytes: int, total_bytes: int | None) -> None:
        if key == KEY and total_bytes:
            self.bar.setValue(min(BAR_STEPS, done_bytes * BAR_STEPS // total_bytes))
            self.message.setText(f"{size_text(done_bytes)} of {size_text(total_bytes)}")

    def _on_finished(self, key: object) -> None:
        """An answer follows, unless it was stopped."""
        if key == KEY:
            self._tasks.progressed.disconnect(self._on_progress)
            self._tasks.finished.disconnect(self._on_finished)
            self._end("Stopped. What is complete stays; Download goes on from there.")

    def _on_done(self, report: DownloadReport) -> None:
        self.bar.setValue(BAR_STEPS)
        self._end(
            joined(
                f"{count_text(report.n_fetched, 'file')} downloaded ({size_text(report.fetched_bytes)})",
                f"{count_text(report.n_skipped, 'file')} there already" if report.n_skipped else "",
            )
        )
        self.show_folder.show()

    def _on_failed(self, error: CryoETError) -> None:
        self._details = error.details if isinstance(error, UnexpectedError) else ""
        self._end(str(error))
        if isinstance(error, WithheldError):
            self._withheld = error
            self.switch.setText(SWITCH_TEXTS[error.by])
            self.switch.setAccessibleName(SWITCH_TEXTS[error.by])
            self.switch.show()

    def _end(self, message: str) -> None:
        self.message.setText(message)
        self._set_state()
        self.copy_details.setVisible(bool(self._details))

    def _set_state(self) -> None:
        is_downloading = self.is_downloading
        self.form.setEnabled(not is_downloading)
        self.bar.setVisible(is_downloading)
        self.start.setVisible(not is_downloading)
        self.start.setEnabled(self._plan is not None)
        self.stop.setVisible(is_downloading)
        self.close_button.setVisible(not is_downloading)
        self.show_folder.hide()
        self.copy_details.hide()
        self.switch.hide()

    def _on_show_folder(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.chosen_folder)))

    def _lay_out(self) -> None:
        rows = QFormLayout(self.form)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for field in (self.folder, self.volume_format):
            rows.addRow(field.label, field.native)
        rows.addRow("", self.with_metadata.native)
        rows.addRow("", self.overwrite.native)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        for button in (self.copy_details, self.switch, self.show_folder, self.stop, self.start, self.close_button):
            button.setAccessibleName(button.text())
            buttons.addWidget(button)
        self.start.setDefault(True)  # else Enter in the field of the folder would choose another one
        column = QVBoxLayout(self)
        column.addWidget(self.form)
        column.addWidget(self.size_label)
        column.addWidget(self.bar)
        column.addWidget(self.message)
        column.addLayout(buttons)
