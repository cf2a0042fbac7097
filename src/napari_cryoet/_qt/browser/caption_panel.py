"""The text of a caption, below the list that it was opened from: plain, selectable, as long as it is."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QKeyEvent, QResizeEvent
from qtpy.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QToolButton, QVBoxLayout, QWidget

from napari_cryoet._qt.widgets.icons import icon
from napari_cryoet._qt.widgets.labels import ElidedLabel, plain_label
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.layers.load import Caption

_MOST_LINES = 8


class CaptionPanel(QFrame):
    """One text at a time; hidden while there is none."""

    closed = Signal()  # the person wants no text any more

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.setObjectName("captionPanel")
        self.title = ElidedLabel()
        self.title.setObjectName("dimText")
        self.dismiss = QToolButton()
        self.dismiss.setAutoRaise(True)
        self.dismiss.setAccessibleName("Close this text")
        self.dismiss.clicked.connect(self.closed)
        self.text = plain_label(name="captionText")
        self.text.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.text.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.text.setAccessibleName("Text of the caption")
        self._room = _Scroll(self.text)
        top = QHBoxLayout()
        top.addWidget(self.title, 1)
        top.addWidget(self.dismiss)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 2, 4, 6)
        column.setSpacing(2)
        column.addLayout(top)
        column.addWidget(self._room)
        theme.changed.connect(self._draw_icon)
        self._draw_icon()
        self.hide()

    def show_captions(self, title: str, captions: Sequence[Caption]) -> None:
        """Show the texts of a file, under the name of what they are about."""
        texts = [caption.text for caption in captions]
        self.title.setText(title)
        self.text.setText("\n\n".join(texts) if texts else "This caption is empty.")
        self.setAccessibleName(f"{title}: {self.text.text()}")
        self._room.updateGeometry()
        self.show()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Escape closes the text."""
        if event is not None and event.key() == Qt.Key.Key_Escape:
            self.closed.emit()
        else:
            super().keyPressEvent(event)

    def _draw_icon(self) -> None:
        self.dismiss.setIcon(icon("close", self._theme.colors.text))


class _Scroll(QScrollArea):
    """As high as its text, up to some lines; the rest is scrolled."""

    def __init__(self, text: QWidget) -> None:
        super().__init__()
        self.setObjectName("captionScroll")
        self.setWidget(text)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def sizeHint(self) -> QSize:
        """What its text takes at this width."""
        text, viewport = self.widget(), self.viewport()
        if text is None or viewport is None:
            return super().sizeHint()
        most = _MOST_LINES * text.fontMetrics().lineSpacing()
        return QSize(100, min(most, text.heightForWidth(max(60, viewport.width()))) + 4)

    def minimumSizeHint(self) -> QSize:
        """As large as it wants to be: what is below the list gives way."""
        return QSize(60, self.sizeHint().height())

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Another width breaks lines elsewhere."""
        super().resizeEvent(event)
        self.updateGeometry()
