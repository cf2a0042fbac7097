"""Which of the two lists is shown, and while a search is on, how much it found in each."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QTabBar, QWidget

NAMES = ("Datasets", "Depositions")


class ListSwitch(QTabBar):
    """Two tabs; Left and Right change between them."""

    chosen = Signal(int)  # by the person: the number in `NAMES`

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("listSwitch")
        self.setAccessibleName("What is listed")
        self.setDrawBase(False)
        self.setExpanding(False)
        self.setUsesScrollButtons(False)
        for name in NAMES:
            self.addTab(name)
        self.currentChanged.connect(self.chosen)

    def set_current(self, number: int) -> None:
        """Show which list is there, without telling anybody."""
        self.blockSignals(True)
        self.setCurrentIndex(number)
        self.blockSignals(False)

    def set_found(self, counts: tuple[int, int] | None) -> None:
        """Say how much a search found in each list; nothing while none is on."""
        for number, name in enumerate(NAMES):
            self.setTabText(number, name if counts is None else f"{name} {counts[number]:,}")
