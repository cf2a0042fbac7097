"""A question with two answers: what Enter does is seen, and Escape is always the answer that changes nothing."""

from __future__ import annotations

import re
from typing import Final

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMessageBox, QWidget

from napari_cryoet._qt.widgets.theme import Colors, style_sheet

#: A box is as wide as its longest word; names may be as long as they like.
_LONG_WORD: Final = re.compile(r"\S{30}(?=\S)")


class Question(QMessageBox):
    """Asks whether to do something.

    Parameters
    ----------
    title, text, details
        Plain text: names in it are never taken for markup.
    colors
        Of the viewer's theme; None where a widget of ours that it belongs to has them.
    verb
        What the button says that does it; the other one says Cancel.
    is_harmless
        Whether Enter does it; else Enter cancels, as Escape always does.

    Attributes
    ----------
    agree, cancel
        The buttons.
    """

    def __init__(
        self,
        title: str,
        text: str,
        *,
        verb: str,
        colors: Colors | None = None,
        details: str = "",
        is_harmless: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        if colors is not None:
            self.setStyleSheet(style_sheet(colors))
        self.setWindowTitle(title)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setText(_breakable(text))
        self.setInformativeText(_breakable(details))
        self.agree = self.addButton(verb, QMessageBox.ButtonRole.AcceptRole)
        self.cancel = self.addButton("Cancel", QMessageBox.ButtonRole.RejectRole)  # the standard one may have an icon
        self.setDefaultButton(self.agree if is_harmless else self.cancel)
        self.setEscapeButton(self.cancel)

    def ask(self) -> bool:
        """Wait for the answer; whether to do it."""
        self.exec()
        does_agree = self.clickedButton() is self.agree
        self.deleteLater()
        return does_agree


def _breakable(text: str) -> str:
    """A text whose long words may be broken."""
    return _LONG_WORD.sub("\\g<0>\N{ZERO WIDTH SPACE}", text)
