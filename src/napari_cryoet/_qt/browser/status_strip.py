"""The quiet line at the dock's lower edge: how exact the picture is, or how fast it is getting there."""

from __future__ import annotations

from qtpy.QtCore import QPoint, Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QMenu, QPushButton, QSizePolicy, QWidget

from napari_cryoet._qt.widgets.labels import ElidedLabel
from napari_cryoet._qt.widgets.letters import keep_fitted


class StatusStrip(QFrame):
    """A line of text; a Stop while something streams, a Go on when it was stopped or failed, or another action.

    Parameters
    ----------
    lines
        How many lines a long text may take, 1 or 2; there is room for them at all times, so that nothing jumps.
    """

    stop_requested = Signal()
    retry_requested = Signal()
    action_requested = Signal()
    levels_requested = Signal()  # before the menu of levels opens

    def __init__(self, parent: QWidget | None = None, *, lines: int = 1) -> None:
        super().__init__(parent)
        self.setObjectName("statusStrip")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self._lines = lines
        self.label = ElidedLabel(lines=lines)
        self.label.setObjectName("statusText")
        self.stop = _button("Stop", "Stop loading")
        self.retry = _button("Go on", "Go on loading")
        self.stop.clicked.connect(lambda _checked=False: self.stop_requested.emit())
        self.retry.clicked.connect(lambda _checked=False: self.retry_requested.emit())
        self.action = _button("", "")
        self.action.clicked.connect(lambda _checked=False: self.action_requested.emit())
        self.levels = _button("3D detail", "Choose how fine volumes are shown")
        self.levels_menu = QMenu(self.levels)
        self.levels.clicked.connect(self._drop_levels)
        self.levels.hide()
        row = QHBoxLayout(self)
        row.setContentsMargins(4, 2, 0, 2)
        row.addWidget(self.label, 1)
        row.addWidget(self.levels)
        row.addWidget(self.action)
        row.addWidget(self.retry)
        row.addWidget(self.stop)
        keep_fitted(self.label, self._fit)
        self.set_status("")

    def _fit(self) -> None:
        """Be as high at all times, so that nothing jumps when loading ends, with borders on top."""
        text = self._lines * self.label.fontMetrics().lineSpacing()
        self.label.setFixedHeight(max(self.stop.sizeHint().height(), text))

    def set_status(self, text: str, *, can_stop: bool = False, can_retry: bool = False, action: str = "") -> None:
        """Say how things are, and what can be done about it."""
        self.label.setText(text)
        self.label.setAccessibleName(text)
        self.stop.setVisible(can_stop)
        self.retry.setVisible(can_retry)
        self.action.setVisible(bool(action))
        if action != self.action.text():
            self.action.setText(action)
            self.action.setAccessibleName(action)
            self.action.setToolTip(action)

    def _drop_levels(self) -> None:
        """Open upwards: the strip is at the lower edge."""
        self.levels_requested.emit()
        size, corner = self.levels_menu.sizeHint(), self.levels.rect().topRight()
        self.levels_menu.popup(self.levels.mapToGlobal(corner - QPoint(size.width(), size.height())))


def _button(text: str, purpose: str) -> QPushButton:
    button = QPushButton(text)
    button.setAccessibleName(purpose)
    button.setToolTip(purpose)
    button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
    return button
