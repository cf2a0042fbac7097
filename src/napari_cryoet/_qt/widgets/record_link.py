"""A link to another page of the dock: one line that yields to any width, and tells which record it leads to."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QPushButton, QSizePolicy, QWidget

from napari_cryoet._qt.widgets.labels import plain_tooltip
from napari_cryoet.wording import joined, plain


class DepositionLink(QPushButton):
    """Leads to a deposition."""

    requested = Signal(int)  # the deposition's id

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._deposition_id: int | None = None
        self._text = ""
        self.setObjectName("recordLink")
        self.setFlat(True)
        self.setAutoDefault(True)  # Enter follows it, as Space does
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.clicked.connect(self._on_clicked)

    def set_deposition(self, deposition_id: int | None, title: str = "") -> None:
        """Lead to a deposition; to none, there is no link but its room."""
        self._deposition_id = deposition_id
        named = f"CZCDP-{deposition_id}" if deposition_id is not None else ""
        self._text = joined(named, plain(title))
        self.setEnabled(deposition_id is not None)
        self.setAccessibleName(f"Deposition {self._text}" if named else "Deposition")
        self.setToolTip(plain_tooltip(f"Show the deposition {self._text}") if named else "")
        self._elide()

    def minimumSizeHint(self) -> QSize:
        """A few letters."""
        return QSize(24, super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Show what fits."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        shown = self.fontMetrics().elidedText(self._text, Qt.TextElideMode.ElideRight, max(self.width() - 4, 24))
        self.setText(shown.replace("&", "&&"))

    def _on_clicked(self, _checked: bool = False) -> None:
        if self._deposition_id is not None:
            self.requested.emit(self._deposition_id)
