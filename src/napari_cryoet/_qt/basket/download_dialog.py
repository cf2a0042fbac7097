"""The dialog that downloads the basket: folder, format and size, then progress with Pause, Stop and Retry."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final

from magicgui import magicgui
from qtpy.QtCore import QTimer, Signal
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_cryoet._qt.basket.state import BasketState
from napari_cryoet._qt.tasks import Job
from napari_cryoet._qt.widgets.controls import (
    BAR_STEPS,
    column_in,
    name_file_field,
    not_none,
    open_folder,
    plain_label,
    progress_bar,
    push_button,
)
from napari_cryoet._qt.widgets.messages import NoticeBar
from napari_cryoet._qt.widgets.record_model import RecordModel
from napari_cryoet._qt.widgets.record_view import RecordView
from napari_cryoet._qt.widgets.start_bar import TaskDialog
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.basket.basket import Basket
from napari_cryoet.basket.contents import KnownRuns
from napari_cryoet.download import Download, DownloadReport, Plan, incomplete, plan_basket
from napari_cryoet.download.run import FileState
from napari_cryoet.exceptions import CryoETError, DownloadError
from napari_cryoet.pages.rows import RecordRow
from napari_cryoet.wording import count_text, differences_text, duration_text, joined, size_text

KEY: Final = "download"
_PLAN_KEY: Final = "download plan"
_REFRESH_MS: Final = 200


def _options(
    folder: str, volume_format: str = "zarr", metadata: bool = True, overwrite: bool = False
) -> None:
    """Fields of the form."""


class DownloadDialog(TaskDialog):
    """Asks for options, then downloads.

    Closing it stops the download, which can be resumed later.
    """

    began = Signal(object)  # the chosen folder
    opened = Signal(object)  # a downloaded folder to browse

    def __init__(self, theme: Theme, state: BasketState, parent: QWidget | None = None) -> None:
        super().__init__(f"Download {state.basket.name or 'the basket'}", 420, parent)
        self._state = state
        self._basket, choices = state.basket, state.basket.choices
        self._runs = KnownRuns(state.portal, for_download=True)
        self._plan: Plan | None = None
        self._queue: Download | None = None
        self.form: Any = magicgui(
            _options,
            call_button=False,
            folder={
                "widget_type": "FileEdit",
                "mode": "d",
                "value": state.folder,
                "label": "Folder",
            },
            volume_format={
                "choices": [("OME-Zarr", "zarr"), ("MRC", "mrc")],
                "value": choices.volume_format,
                "label": "Volumes as",
            },
            metadata={"text": "with metadata files", "value": choices.metadata},
            overwrite={"text": "replace files that differ"},
        )
        name_file_field(self.form.folder, "folder to download to")
        self.form.volume_format.native.setAccessibleName("Format of volumes")
        self.size_label = plain_label(name="downloadSize")
        self.bar = progress_bar("Download progress")
        self.message = plain_label(name="downloadMessage")
        self.model = RecordModel(parent=self)
        self.files = RecordView(theme, self.model, "Files in progress or failed", uniform=True)
        self.notice = NoticeBar(theme)
        self.start = push_button("Download", self._on_start)
        self.pause = push_button("Pause", self._on_pause)
        self.stop = push_button("Stop", lambda: self.tasks.stop(KEY))
        self.show_folder = push_button("Show folder", lambda: open_folder(self.chosen_folder))
        self.browse = push_button("Browse", self._on_browse, "Browse the downloaded data offline")
        self.close_button = push_button("Close", self.reject)
        self.start.setDefault(True)  # otherwise Enter in the folder field opens the folder chooser
        self._timer = QTimer(self)
        self._timer.setInterval(_REFRESH_MS)
        self._timer.timeout.connect(self._show_queue)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        for button in (
            self.show_folder,
            self.browse,
            self.pause,
            self.stop,
            self.start,
            self.close_button,
        ):
            buttons.addWidget(button)
        texts = (self.form.native, self.size_label, self.bar, self.message)
        column_in(self, *texts, self.files, self.notice, buttons)
        self.form.volume_format.changed.connect(self._make_plan)
        self.form.metadata.changed.connect(self._make_plan)
        self.form.folder.changed.connect(self._show_state)
        self.tasks.finished.connect(self._on_finished)
        self.files.hide()
        self._make_plan()

    @property
    def is_downloading(self) -> bool:
        return self.tasks.is_running(KEY)

    @property
    def chosen_folder(self) -> Path:
        return Path(str(self.form.folder.value)).expanduser()

    def closeEvent(self, event: QCloseEvent | None) -> None:
        self.tasks.stop(KEY)
        super().closeEvent(event)

    def reject(self) -> None:
        """Stop a running download; otherwise close."""
        if self.is_downloading:
            self.tasks.stop(KEY)
        else:
            super().reject()

    def _chosen(self, basket: Basket) -> Basket:
        form = self.form
        return basket.with_choices(
            volume_format=form.volume_format.value, metadata=form.metadata.value
        )

    def _make_plan(self, _value: Any = None) -> None:
        basket = self._chosen(self._basket)
        runs = self._runs
        portal = self._state.portal
        self._on_plan(None, "Looking up sizes…")
        self.tasks.run(
            _PLAN_KEY,
            lambda job: plan_basket(basket, runs.of(basket, task=job), portal),
            then=self._on_plan,
            failed=partial(self._on_plan, None),
        )

    def _on_plan(self, plan: Plan | None, message: object = "") -> None:
        self._plan = plan
        if plan is not None:
            more = " or more" if plan.n_unknown_sizes else ""
            message = (
                f"{size_text(plan.total_bytes)}{more} in {count_text(len(plan.items), 'item')}"
            )
        self.size_label.setText(str(message))
        self._show_state()

    def _on_start(self) -> None:
        self._state.change(self._chosen)  # saves the options in the basket
        self._run()

    def _run(self, *, is_rest: bool = False) -> None:
        plan = not_none(self._plan)
        folder, overwrite = self.chosen_folder, self.form.overwrite.value

        def work(job: Job) -> DownloadReport:
            queue = Download(
                incomplete(plan, folder) if is_rest else plan, folder, overwrite=overwrite
            )
            job.hand_over(queue)
            return queue.run(task=job)

        self._queue = None
        self.tasks.run(
            KEY,
            work,
            then=self._on_done,
            failed=self._on_failed,
            part=partial(setattr, self, "_queue"),
            title=self.windowTitle(),
        )
        self.began.emit(folder)
        self._timer.start()
        self.bar.setValue(0)
        self.notice.hide()
        self.model.set_rows([])
        self.message.setText("Checking existing files…")
        self._show_state()

    def _on_pause(self) -> None:
        if self._queue is not None:
            (self._queue.resume if self._queue.state.is_paused else self._queue.pause)()
            self._timer.start()

    def _show_queue(self) -> None:
        """Show the total progress and each active or failed file."""
        if self._queue is None:
            return
        state = self._queue.state
        self.pause.setText("Resume" if state.is_paused else "Pause")
        self.model.set_rows([_file_row(file) for file in state.files])
        self.files.setVisible(bool(state.files))
        if self.is_downloading and state.done_bytes:
            waiting = (
                count_text(state.n_waiting, "file waits", "files wait") if state.n_waiting else ""
            )
            self.bar.setValue(state.done_bytes * BAR_STEPS // max(1, state.total_bytes))
            self.message.setText(joined(state.text, waiting))

    def _on_finished(self, key: object) -> None:
        """Assume that the download was stopped.

        A result or an error, which follows, replaces the message.
        """
        if key == KEY:
            self._timer.stop()
            self._show_queue()
            self.message.setText("Stopped. Complete files are kept; Download continues from there.")
            self._show_state()

    def _on_done(self, report: DownloadReport) -> None:
        fetched = (
            f"{count_text(report.n_fetched, 'file')} downloaded ({size_text(report.fetched_bytes)})"
        )
        skipped = (
            f"{count_text(report.n_skipped, 'file')} already there" if report.n_skipped else ""
        )
        self.message.setText(joined(fetched, skipped))
        if report.differences:
            self.notice.show_notice(differences_text(report.differences))
        self.show_folder.show()
        self.browse.show()

    def _on_failed(self, error: CryoETError) -> None:
        self.message.setText("")
        if (
            isinstance(error, DownloadError)
            and self._queue is not None
            and self._queue.state.n_done
        ):
            self.notice.show_notice(
                str(error), "Retry failed files", partial(self._run, is_rest=True)
            )
        else:
            self.notice.show_error(error, self._on_start)

    def _on_browse(self) -> None:
        self.opened.emit(self.chosen_folder)
        self.close()

    def _show_state(self, _value: Any = None) -> None:
        is_downloading = self.is_downloading
        self.form.enabled = not is_downloading
        self.start.setEnabled(
            self._plan is not None and bool(self.form.folder.line_edit.value.strip())
        )
        for button in (self.start, self.close_button):
            button.setVisible(not is_downloading)
        for part in (self.bar, self.pause, self.stop):
            part.setVisible(is_downloading)
        self.show_folder.hide()
        self.browse.hide()


def _file_row(file: FileState) -> RecordRow:
    """A file's row: ``membrane.zarr  3.1 MB of 7 MB · 2 MB/s · 2 s left``, or its error."""
    name = file.path.rpartition("/")[2]
    done = (
        f"{size_text(file.done_bytes)} of {size_text(file.size_bytes)}" if file.size_bytes else ""
    )
    speed = f"{size_text(file.bytes_per_s)}/s" if file.bytes_per_s else ""
    left = f"{duration_text(file.seconds_left)} left" if file.seconds_left else ""
    texts = (joined(done, speed, left), joined(done, speed), done, "")
    return RecordRow(
        file,
        (file.error and f"{name}: {file.error}") or name,
        file.path,
        right="" if file.error else texts,
    )
