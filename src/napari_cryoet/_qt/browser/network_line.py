"""A line that says how the network may be used while that isn't freely, with the switch at its end."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QSizePolicy, QWidget

from napari_cryoet._qt.widgets.labels import ElidedLabel

GO_ONLINE = "Go online"
CHANGE = "Change…"


class NetworkLine(QWidget):
    """``offline: only what was loaded before [Go online]``, or ``data saver: 38 of 200 MB [Change…]``."""

    online_requested = Signal()
    saver_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._is_offline = False
        self.label = ElidedLabel()
        self.label.setObjectName("networkUse")
        self.switch = QPushButton()
        self.switch.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.switch.clicked.connect(self._on_clicked)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        row.addWidget(self.label, 1)
        row.addWidget(self.switch)
        self.hide()

    def set_use(self, text: str, *, is_offline: bool) -> None:
        """Say how the network may be used; an empty text: freely."""
        self._is_offline = is_offline
        self.label.setText(text)
        self.label.setAccessibleName(text)
        self.switch.setText(GO_ONLINE if is_offline else CHANGE)
        purpose = "Turn offline mode off" if is_offline else "Change how much the data saver allows"
        self.switch.setAccessibleName(purpose)
        self.switch.setToolTip(purpose)
        self.setVisible(bool(text))

    def _on_clicked(self) -> None:
        (self.online_requested if self._is_offline else self.saver_requested).emit()
