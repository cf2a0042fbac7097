"""Controls that docks share: a number with its unit, and a button that starts a task and stops it again."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QDoubleSpinBox, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_cryoet._qt.tasks import Tasks
from napari_cryoet._qt.widgets.labels import plain_label

_STEPS: Final = 1000


def number_box(
    purpose: str, unit: str, largest: float, *, least: float = 0, decimals: int = 1, unset: str = ""
) -> QDoubleSpinBox:
    """A box for a number; while it holds the least one, it says ``unset``."""
    box = QDoubleSpinBox()
    box.setRange(least, largest)
    box.setDecimals(decimals)
    box.setSuffix(f" {unit}")
    box.setSpecialValueText(unset)
    box.setAccessibleName(purpose)
    box.setToolTip(purpose)
    return box


class StartBar(QWidget):
    """A button that starts a task, then a Stop and how far the task is; below it a message."""

    start_requested = Signal()

    def __init__(self, tasks: Tasks, key: Hashable, text: str, tooltip: str) -> None:
        super().__init__()
        self._tasks, self._key, self._text = tasks, key, text
        self._is_ready = True
        self.button = QPushButton()
        self.button.setToolTip(tooltip)
        self.bar = QProgressBar()
        self.bar.setRange(0, _STEPS)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(6)
        self.bar.setAccessibleName("Progress")
        self.message = plain_label(name="dimText")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (self.button, self.bar, self.message):
            column.addWidget(part)
        self.button.clicked.connect(self._on_click)
        tasks.started.connect(self._on_change)
        tasks.finished.connect(self._on_change)
        tasks.said.connect(self._on_said)
        self._on_change(key)

    def say(self, text: str) -> None:
        """Show a message."""
        self.message.setText(text)
        self.message.setVisible(bool(text))

    def set_ready(self, is_ready: bool) -> None:
        """Whether there is something to start."""
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

    def _on_said(self, key: object, share: float, words: str) -> None:
        if key == self._key:
            self.bar.setValue(round(share * _STEPS))
            self.say(words)
