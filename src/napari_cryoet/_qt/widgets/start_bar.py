"""A button that starts and stops a task, and dialogs with tasks."""

from __future__ import annotations

from collections.abc import Hashable

from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtWidgets import QDialog, QPushButton, QWidget

from napari_cryoet._qt.tasks import Tasks, UnexpectedError
from napari_cryoet._qt.widgets.controls import (
    BAR_STEPS,
    COPY_REPORT,
    column_in,
    copy_text,
    not_none,
    plain_label,
    progress_bar,
    push_button,
)
from napari_cryoet.exceptions import CryoETError


class StartBar(QWidget):
    """A button that starts and stops a task, with a progress bar and a message."""

    start_requested = Signal()

    def __init__(self, tasks: Tasks, key: Hashable, text: str, tooltip: str) -> None:
        super().__init__()
        self._tasks, self._key, self._text = tasks, key, text
        self._is_ready = True
        self.button = QPushButton()
        self.button.setToolTip(tooltip)
        self.bar = progress_bar()
        self.message = plain_label(name="dimText")
        self.report = push_button(COPY_REPORT)
        self._report = ""  # of the bug that is shown
        column_in(self, self.button, self.bar, self.message, self.report, margins=(0, 0, 0, 0))
        self.button.clicked.connect(self._on_click)
        self.report.clicked.connect(lambda _checked=False: copy_text(self._report))
        tasks.started.connect(self._on_change)
        tasks.finished.connect(self._on_change)
        tasks.said.connect(self._on_said)
        self._on_change(key)

    def say(self, text: str, *, report: str = "") -> None:
        """Show a message, with a button that copies the report of a bug."""
        self._report = report
        self.message.setText(text)
        self.message.setVisible(bool(text))
        self.report.setVisible(bool(report))

    def show_error(self, error: CryoETError) -> None:
        self.say(str(error), report=error.report if isinstance(error, UnexpectedError) else "")

    def set_ready(self, is_ready: bool) -> None:
        """Enable or disable starting the task."""
        self._is_ready = is_ready
        self.button.setEnabled(is_ready or self._tasks.is_running(self._key))

    def _on_click(self) -> None:
        if self._tasks.is_running(self._key):
            self._tasks.stop(self._key)
            self.say("Stopped.")
        else:
            self.start_requested.emit()

    def _on_change(self, key: object) -> None:
        if key == self._key:
            is_running = self._tasks.is_running(key)
            self.button.setText("Stop" if is_running else self._text)
            self.bar.setValue(0)
            self.bar.setVisible(is_running)
            self.set_ready(self._is_ready)
            self.say("")

    def _on_said(self, key: object, fraction: float, message: str) -> None:
        if key == self._key:
            self.bar.setValue(round(fraction * BAR_STEPS))
            self.say(message)


class TaskDialog(QDialog):
    """A dialog that grows with its messages; closing it stops its tasks and deletes it."""

    def __init__(self, title: str, width_px: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(width_px)
        self.tasks = Tasks(self)

    def event(self, event: QEvent | None) -> bool:
        """Grow when a message needs more lines, instead of squeezing the fields."""
        is_resized = not_none(event).type() == QEvent.Type.LayoutRequest
        is_done = super().event(event)  # which deletes the dialog if that is asked for
        if is_resized:
            needed_px = not_none(self.layout()).totalHeightForWidth(self.width())
            self.resize(self.width(), max(self.height(), needed_px))
        return is_done

    def done(self, result: int) -> None:
        """Close, however it was asked for: also Escape and the title bar's button lead here."""
        self.tasks.close()
        super().done(result)
