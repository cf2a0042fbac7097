"""The way back: ``Datasets › DS-10000 › TS_026``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QMenu, QSizePolicy, QToolButton, QWidget

from napari_cryoet._qt.widgets.icons import icon
from napari_cryoet._qt.widgets.labels import ElidedLabel
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.wording import plain

HERE_PX = 90  # what the last step needs at most before earlier ones are folded away


class Breadcrumb(QWidget):
    """Steps from a list to where one is; all but the last can be gone back to, those in the middle fold if need be."""

    level_chosen = Signal(int)  # 0: the list

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._steps: list[tuple[QToolButton, QLabel]] = []  # a button and the mark after it
        self._here = ElidedLabel(elide=Qt.TextElideMode.ElideMiddle)
        self.back = QToolButton()
        self.back.setAutoRaise(True)
        self.back.setAccessibleName("Back one step")
        self.back.setToolTip("Back one step (Backspace)")
        self.back.clicked.connect(lambda _checked=False: self.level_chosen.emit(len(self._steps) - 1))
        self.folded = _step_button("…")
        self.folded.setAccessibleName("Steps between")
        self.folded.clicked.connect(lambda _checked=False: self._offer_folded())
        self._after_folded = QLabel("›")
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(2)
        for part in (self.back, self.folded, self._after_folded):
            self._row.addWidget(part)
        self._row.addWidget(self._here, 1)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self._draw_icon)
        self._draw_icon()

    @property
    def text(self) -> str:
        """The whole way, as read aloud."""
        return " › ".join([*(button.text() for button, _ in self._steps), self._here.text()])

    def step(self, level: int) -> QToolButton:
        """The button that leads back to a level."""
        return self._steps[level][0]

    def set_trail(self, names: Sequence[str]) -> None:
        """Show the names of the levels, the list first."""
        for step in self._steps:
            for part in step:
                self._row.removeWidget(part)
                part.hide()
                part.deleteLater()
        self._steps = [self._add(level, plain(name)) for level, name in enumerate(names[:-1])]
        buttons = [button for button, _ in self._steps]
        for before, after in pairwise([self.back, *buttons[:1], self.folded, *buttons[1:]]):
            self.setTabOrder(before, after)  # else new buttons would come after all of the page
        self._here.setText(plain(names[-1]))
        self.back.setEnabled(len(names) > 1)
        self.setAccessibleName(self.text)
        self._fold()

    def minimumSizeHint(self) -> QSize:
        """What doesn't fit is folded."""
        return QSize(24, super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Fold as many steps as the width asks for."""
        super().resizeEvent(event)
        self._fold()

    def _add(self, level: int, name: str) -> tuple[QToolButton, QLabel]:
        button, mark = _step_button(name), QLabel("›")
        button.clicked.connect(lambda _checked=False: self.level_chosen.emit(level))
        if level == 0:  # before what is folded
            self._row.insertWidget(1, button)
            self._row.insertWidget(2, mark)
        else:
            self._row.insertWidget(self._row.count() - 1, button)
            self._row.insertWidget(self._row.count() - 1, mark)
        return button, mark

    def _fold(self) -> None:
        """Show the list and where one is, and of what lies between as much as fits, the nearest first."""
        here = min(self._here.sizeHint().width(), HERE_PX)
        root, *needed = [sum(map(self._width_of, step)) for step in self._steps] or [0]
        room = self.width() - here - self._width_of(self.back) - root
        n_folded = 0
        if sum(needed) > room:
            room -= self._width_of(self.folded) + self._width_of(self._after_folded)
            while n_folded < len(needed) and sum(needed[n_folded:]) > room:
                n_folded += 1
        for number, step in enumerate(self._steps[1:]):
            for part in step:
                part.setVisible(number >= n_folded)
        self.folded.setVisible(n_folded > 0)
        self._after_folded.setVisible(n_folded > 0)
        self.folded.setToolTip(" › ".join(button.text() for button, _ in self._steps[1 : n_folded + 1]))

    def _width_of(self, part: QWidget) -> int:
        return part.sizeHint().width() + self._row.spacing()

    def _offer_folded(self) -> None:
        menu = QMenu(self)
        menu.aboutToHide.connect(menu.deleteLater)
        for level, (button, _) in enumerate(self._steps):
            if level and button.isHidden():
                action = menu.addAction(button.text().replace("&", "&&"))
                if action is not None:
                    action.triggered.connect(lambda _checked=False, level=level: self.level_chosen.emit(level))
        menu.popup(self.folded.mapToGlobal(self.folded.rect().bottomLeft()))

    def _draw_icon(self) -> None:
        self.back.setIcon(icon("back", self._theme.colors.text))


def _step_button(name: str) -> QToolButton:
    button = QToolButton()
    button.setAutoRaise(True)
    button.setText(name)
    button.setAccessibleName(f"Back to {name}")
    return button
