"""The quiet line at the dock's lower edge: how exact the picture is, or how fast it is getting there."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QPushButton, QSizePolicy, QWidget

from napari_cryoet._qt.labels import ElidedLabel


class StatusStrip(QFrame):
    """One line of text, and a Stop while something streams."""

    stop_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("statusStrip")
        self.label = ElidedLabel()
        self.label.setObjectName("statusText")
        self.stop = QPushButton("Stop")
        self.stop.setAccessibleName("Stop loading")
        self.stop.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        retained = self.stop.sizePolicy()
        retained.setRetainSizeWhenHidden(True)  # so that nothing jumps when loading ends
        self.stop.setSizePolicy(retained)
        self.stop.clicked.connect(lambda _checked=False: self.stop_requested.emit())
        row = QHBoxLayout(self)
        row.setContentsMargins(4, 2, 0, 2)
        row.addWidget(self.label, 1)
        row.addWidget(self.stop)
        self.set_status("")

    def set_status(self, text: str, *, can_stop: bool = False) -> None:
        """Say how things are; ``can_stop`` shows the Stop button."""
        self.label.setText(text)
        self.label.setAccessibleName(text)
        self.stop.setVisible(can_stop)
