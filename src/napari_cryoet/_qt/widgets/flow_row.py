"""A row of controls that goes on in a further line where letters are too large for one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from qtpy.QtCore import QRect, QSize, Qt
from qtpy.QtWidgets import QLayout, QLayoutItem, QSpacerItem, QWidget, QWidgetItem

_GAP_PX: Final = 4


class FlowRow(QLayout):
    """Lays out widgets side by side, as wide as they like to be, and shares what is left of a line by their stretch.

    Parameters
    ----------
    gap_px
        Between widgets, and between lines.
    """

    def __init__(self, *, gap_px: int = _GAP_PX, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._items: list[tuple[QLayoutItem, int]] = []
        self.setContentsMargins(0, 0, 0, 0)
        self.setSpacing(gap_px)

    def add(self, widget: QWidget, stretch: int = 0) -> None:
        """Add a widget at the end."""
        self.addChildWidget(widget)
        self._items.append((QWidgetItem(widget), stretch))
        self.invalidate()

    def add_stretch(self) -> None:
        """Let what follows lie at the right."""
        self._items.append((QSpacerItem(0, 0), 1))

    def addItem(self, item: QLayoutItem | None) -> None:
        """Add what Qt made."""
        if item is not None:
            self._items.append((item, 0))

    def count(self) -> int:
        """How many it lays out."""
        return len(self._items)

    def itemAt(self, index: int) -> QLayoutItem | None:
        """One of them; None past the end, where Qt stops."""
        return self._items[index][0] if 0 <= index < len(self._items) else None

    def takeAt(self, index: int) -> QLayoutItem | None:
        """Lay it out no more."""
        return self._items.pop(index)[0] if 0 <= index < len(self._items) else None

    def expandingDirections(self) -> Qt.Orientation:
        """It takes the width of its place, and no more height than its lines need."""
        return Qt.Orientation.Horizontal

    def hasHeightForWidth(self) -> bool:
        """The narrower, the more lines."""
        return True

    def heightForWidth(self, width: int) -> int:
        """Of all lines."""
        heights = [_height(line) for line in self._lines(width)]
        return sum(heights) + self.spacing() * max(0, len(heights) - 1)

    def sizeHint(self) -> QSize:
        """All in one line."""
        shown = [item for item, _ in self._shown()]
        width = sum(item.sizeHint().width() for item in shown) + self.spacing() * max(0, len(shown) - 1)
        return QSize(width, max((item.sizeHint().height() for item in shown), default=0))

    def minimumSize(self) -> QSize:
        """As wide as the widest; the height follows the width."""
        shown = [item for item, _ in self._shown()]
        width = max((item.minimumSize().width() for item in shown), default=0)
        return QSize(width, max((item.minimumSize().height() for item in shown), default=0))

    def setGeometry(self, place: QRect) -> None:
        """Lay out line after line."""
        super().setGeometry(place)
        top = place.top()
        for line in self._lines(place.width()):
            self._place(line, QRect(place.left(), top, place.width(), _height(line)))
            top += _height(line) + self.spacing()

    def _place(self, line: list[tuple[QLayoutItem, int]], place: QRect) -> None:
        used = sum(item.sizeHint().width() for item, _ in line) + self.spacing() * (len(line) - 1)
        left, rest, shares = place.left(), max(0, place.width() - used), sum(stretch for _, stretch in line)
        for item, stretch in line:
            more = rest * stretch // shares if stretch else 0
            rest, shares = rest - more, shares - stretch
            width = min(item.sizeHint().width() + more, place.width())
            item.setGeometry(QRect(left, place.top(), width, place.height()))
            left += width + self.spacing()

    def _lines(self, width: int) -> Iterator[list[tuple[QLayoutItem, int]]]:
        line: list[tuple[QLayoutItem, int]] = []
        used = 0
        for item, stretch in self._shown():
            needed = item.sizeHint().width()
            if line and used + self.spacing() + needed > width:
                yield line
                line, used = [], 0
            used += needed + (self.spacing() if line else 0)
            line.append((item, stretch))
        if line:
            yield line

    def _shown(self) -> Iterator[tuple[QLayoutItem, int]]:
        return ((item, stretch) for item, stretch in self._items if item.widget() is None or not item.isEmpty())


def _height(line: list[tuple[QLayoutItem, int]]) -> int:
    return max(item.sizeHint().height() for item, _ in line)
