"""The way back: ``Datasets › DS-10000 › TS_026``."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QToolButton, QWidget

from napari_cryoet._qt.icons import icon
from napari_cryoet._qt.labels import ElidedLabel
from napari_cryoet._qt.theme import Theme
from napari_cryoet.wording import plain


class Breadcrumb(QWidget):
    """Steps from the list of datasets to where one is; all but the last can be gone back to."""

    level_chosen = Signal(int)  # 0: the list of datasets

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._steps: list[QWidget] = []
        self._here = ElidedLabel(elide=Qt.TextElideMode.ElideMiddle)
        self.back = QToolButton()
        self.back.setAutoRaise(True)
        self.back.setAccessibleName("Up one level")
        self.back.setToolTip("Up one level (Backspace)")
        self.back.clicked.connect(lambda _checked=False: self.level_chosen.emit(len(self._steps) // 2 - 1))
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(2)
        self._row.addWidget(self.back)
        self._row.addWidget(self._here, 1)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self._draw_icon)
        self._draw_icon()

    @property
    def text(self) -> str:
        """The whole way, as read aloud."""
        steps = [step.text() for step in self._steps if isinstance(step, QToolButton)]
        return " › ".join([*steps, self._here.text()])

    def step(self, level: int) -> QToolButton:
        """The button that leads back to a level."""
        return [step for step in self._steps if isinstance(step, QToolButton)][level]

    def set_trail(self, names: Sequence[str]) -> None:
        """Show the names of the levels, the list of datasets first."""
        for step in self._steps:
            self._row.removeWidget(step)
            step.hide()
            step.deleteLater()
        self._steps.clear()
        for level, name in enumerate(names[:-1]):
            self._add(_step_button(plain(name)), level)
            self._add(QLabel("›"), None)
        self._here.setText(plain(names[-1]))
        self.back.setEnabled(len(names) > 1)
        self.setAccessibleName(self.text)

    def _add(self, step: QWidget, level: int | None) -> None:
        if isinstance(step, QToolButton) and level is not None:
            step.clicked.connect(lambda _checked=False: self.level_chosen.emit(level))
        self._row.insertWidget(self._row.count() - 1, step)
        self._steps.append(step)

    def _draw_icon(self) -> None:
        self.back.setIcon(icon("back", self._theme.colors.text))


def _step_button(name: str) -> QToolButton:
    button = QToolButton()
    button.setAutoRaise(True)
    button.setText(name)
    button.setAccessibleName(f"Back to {name}")
    return button
