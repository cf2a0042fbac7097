"""The three verdicts as buttons, which say the keys that do the same."""

from __future__ import annotations

from typing import Final

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_cryoet.review.decisions import Verdict

_WORDS: Final = (
    (Verdict.KEPT, "K", "Keep"),
    (Verdict.REJECTED, "X", "Reject"),
    (Verdict.UNDECIDED, "U", "Undecided"),
)


class VerdictButtons(QWidget):
    """One below the other."""

    judged = Signal(object)  # Verdict

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons: dict[Verdict, QPushButton] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        for verdict, letter, word in _WORDS:
            button = QPushButton(f"{letter}  {word}")
            button.setObjectName(f"verdict{letter}")
            button.setToolTip(f"{word} ({letter}); Shift+{letter} goes on to the next undecided pick")
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a click leaves the keys to the dock
            button.clicked.connect(lambda _checked=False, verdict=verdict: self.judged.emit(verdict))
            self.buttons[verdict] = button
            column.addWidget(button)
