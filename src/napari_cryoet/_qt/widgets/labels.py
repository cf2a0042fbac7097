"""Labels and tooltips that show remote text as plain text."""

from __future__ import annotations

import re
from html import escape
from typing import Final

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QContextMenuEvent, QKeyEvent, QKeySequence
from qtpy.QtWidgets import (
    QLabel,
    QSizePolicy,
    QWidget,
)
from superqt import QElidingLabel

from napari_cryoet._qt.widgets.desktop import copy_text
from napari_cryoet._qt.widgets.menus import add_item, passing_menu

_NARROW_PX: Final = 60
_DESCENDERS_PX: Final = 4  # Qt draws the last line this much lower than the font metrics say
_NUMBER_AND_UNIT: Final = re.compile(r"(?<=\d) (?=(?:%|Å|nm|σ|MB|GB)(?!\w))")
_LONG_WORD: Final = re.compile(r"\S{20,}")
_PART_OF_WORD: Final = re.compile(r"(?:\S{0,14}?[/\\_.-]|\S{15})(?=\S)")


def plain_tooltip(text: str) -> str:
    """A text as a tooltip that Qt wraps but doesn't interpret as markup."""
    return f"<qt>{escape(text).replace(chr(10), '<br>')}</qt>" if text else ""


def wrappable(text: str) -> str:
    """A text with break points in long words and no-break spaces before units: ``30 nm``, ``85.9 %``."""
    text = _LONG_WORD.sub(
        lambda word: _PART_OF_WORD.sub("\\g<0>\N{ZERO WIDTH SPACE}", word[0]), text
    )
    return _NUMBER_AND_UNIT.sub("\N{NO-BREAK SPACE}", text)


def unwrappable(text: str) -> str:
    """A text without the break points and no-break spaces of `wrappable`."""
    return text.replace("\N{ZERO WIDTH SPACE}", "").replace("\N{NO-BREAK SPACE}", " ")


def plain_label(text: str = "", *, parent: QWidget | None = None, name: str = "") -> QLabel:
    """A wrapping label for plain text that breaks words longer than a line."""
    label = WrappedLabel(parent)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setText(text)
    label.setObjectName(name)
    return label


class WrappedLabel(QLabel):
    """A label that also wraps long words, so that they don't widen a dock."""

    _plain_text = ""

    def setText(self, text: str | None) -> None:
        self._plain_text = text or ""
        super().setText(wrappable(self._plain_text))

    def text(self) -> str:
        return self._plain_text

    def copy(self) -> None:
        """Copy the selected text, or all of it."""
        copy_text(unwrappable(self.selectedText()) or self._plain_text)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        if event is not None and event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        else:
            super().keyPressEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent | None) -> None:
        """Offer to copy; Qt's own menu would copy the break points too."""
        is_selectable = self.textInteractionFlags() & Qt.TextInteractionFlag.TextSelectableByMouse
        if event is not None and is_selectable:
            menu = passing_menu(self)
            add_item(menu, "Copy", self.copy)
            menu.popup(event.globalPos())

    def minimumSizeHint(self) -> QSize:
        hint = super().minimumSizeHint()
        return QSize(min(hint.width(), _NARROW_PX), hint.height())


class ElidedLabel(QElidingLabel):
    """A single line of plain text that is elided to any width; the tooltip shows the whole text."""

    def __init__(
        self,
        text: str = "",
        *,
        elide: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
        name: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setElideMode(elide)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setText(text)

    def setText(self, text: str | None) -> None:
        super().setText(text or "")
        self.setToolTip(plain_tooltip(text or ""))

    def sizeHint(self) -> QSize:
        """The same height for every text, so that nothing below it jumps."""
        return QSize(100, self.fontMetrics().lineSpacing() + _DESCENDERS_PX)

    def minimumSizeHint(self) -> QSize:
        return QSize(24, self.sizeHint().height())
