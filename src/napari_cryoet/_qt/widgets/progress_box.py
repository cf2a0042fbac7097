"""A small window over napari's that says what is being done and how far it is, with a Stop."""

from __future__ import annotations

from typing import Final

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QDialog, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_cryoet._qt.widgets.labels import plain_label, roomy
from napari_cryoet._qt.widgets.theme import Colors, style_sheet

_STEPS: Final = 1000
_BAR_PX: Final = 8
_LETTERS_BEGIN_PX: Final = 5  # from the edge of napari's labels
_WIDTH_PX: Final = 380


class ProgressBox(QDialog):
    """Says how far some work is that nothing else may be done meanwhile.

    Stop, Escape and the window's own cross ask for the end; the box stays until whoever works has ended, and says so.

    Parameters
    ----------
    title, text
        What kind of work it is, and what is being done; plain text.
    colors
        Of the viewer's theme.
    """

    stop_requested = Signal()

    def __init__(self, title: str, text: str, colors: Colors, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setStyleSheet(style_sheet(colors))
        self.setWindowTitle(title)
        self.setWindowModality(Qt.WindowModality.ApplicationModal)  # floating docks belong to other windows
        self.text = plain_label(text)
        self.bar = QProgressBar()
        self.bar.setRange(0, _STEPS)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(_BAR_PX)
        self.bar.setAccessibleName(text)
        self.amount = QLabel()
        self.amount.setObjectName("dimText")
        self.amount.setTextFormat(Qt.TextFormat.PlainText)
        self.stop = QPushButton("Stop")
        self.stop.setAccessibleName(f"Stop: {text}")
        self.stop.setAutoDefault(False)  # Enter, pressed for something else, ends nothing
        self.stop.clicked.connect(self.reject)
        roomy(self.stop)
        below = QHBoxLayout()
        below.addWidget(self.amount, 1)
        below.addWidget(self.stop)
        column = QVBoxLayout(self)
        column.setContentsMargins(14, 14, 14, 12)
        column.setSpacing(8)
        column.addWidget(self.text)
        beside = QHBoxLayout()
        beside.setContentsMargins(_LETTERS_BEGIN_PX, 0, 0, 0)
        beside.addWidget(self.bar)
        column.addLayout(beside)
        column.addLayout(below)
        self.setMinimumWidth(_WIDTH_PX)
        self._is_ending = False
        self.show_progress(0, None)

    def show_progress(self, done_bytes: int, total_bytes: int | None) -> None:
        """Show which share is done, and nothing more once it was stopped."""
        if self._is_ending:
            return
        share = done_bytes / total_bytes if total_bytes else 0.0
        self.bar.setValue(min(int(share * _STEPS), _STEPS))
        self.amount.setText(f"{share:.0%}" if total_bytes else "")

    def reject(self) -> None:
        """Ask for the end, once."""
        if self._is_ending:
            return
        self._is_ending = True
        self.stop.setEnabled(False)
        self.amount.setText("Stopping…")
        self.stop_requested.emit()

    def closeEvent(self, event: QCloseEvent | None) -> None:
        """The window's cross asks for the end; whoever works closes the box."""
        if event is not None:
            event.ignore()
        self.reject()

    def put_away(self) -> None:
        """Go: the work has ended."""
        self.hide()
        self.deleteLater()
