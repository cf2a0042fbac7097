"""What a check of picks found, as lines with a mark for what is odd, and buttons for what can be done about it."""

from __future__ import annotations

from itertools import pairwise

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from napari_cryoet._qt.widgets.icons import pixmap
from napari_cryoet._qt.widgets.labels import plain_label, plain_tooltip
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.check.findings import Findings, Mark, Statement
from napari_cryoet.wording import count_text

#: Which rows a button selects, by its key, and how it says so.
_SELECTIONS = {"outside": "outside the volume", "duplicates": "too close to another", "edge": "cut by the edge"}
#: In which order they are listed.
_MARKS: tuple[Mark, ...] = ("odd", "note", "good")

_NO_COPY = "No corrected copy is offered, since nobody can tell which of these ways is the right one."


class CheckResults(QScrollArea):
    """Shows `Findings`; acts on nothing itself."""

    copy_requested = Signal()
    select_requested = Signal(object, str)  # rows, which they are

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.setObjectName("findings")
        self.setAccessibleName("Findings")
        self._signs: list[tuple[QLabel, Mark]] = []
        self.buttons: dict[str, QPushButton] = {}
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        theme.changed.connect(self._draw_signs)
        self.show_text("")

    @property
    def marks(self) -> list[Mark]:
        """What the sign before each of the lines says."""
        return [mark for _, mark in self._signs]

    @property
    def texts(self) -> list[str]:
        """The lines that are shown."""
        page = self.widget()
        labels = [] if page is None else page.findChildren(QLabel, "finding")
        return [label.text() for label in labels]

    def show_text(self, text: str) -> None:
        """Say something in place of findings."""
        page, column = self._new_page()
        column.addWidget(plain_label(text, name="finding"))
        column.addStretch(1)
        self.setWidget(page)

    def show_findings(self, found: Findings) -> None:
        """What was found, what is odd first; and what can be done."""
        page, column = self._new_page()
        heading = plain_label(found.headline, name="heading")
        column.addWidget(heading)
        for statement in sorted(found.statements, key=lambda statement: _MARKS.index(statement.mark)):
            column.addLayout(self._line(statement))
        column.addSpacing(4)
        if found.suggestion is not None:
            text = f"Add a copy in which {found.suggestion.words()}"
            self._add_button(column, "copy", "Add a corrected copy", text).clicked.connect(self.copy_requested)
        elif found.alternatives:
            column.addWidget(plain_label(_NO_COPY, name="dimText"))
        for key, words in _SELECTIONS.items():
            rows = getattr(found, key)
            if len(rows):
                text = f"Select {count_text(len(rows), 'pick')} {words}"
                button = self._add_button(column, key, text, text)
                button.clicked.connect(lambda _checked=False, r=rows, k=key: self.select_requested.emit(r, k))
        note = plain_label(found.basis, name="dimText")
        column.addWidget(note)
        column.addStretch(1)
        self.setWidget(page)
        for before, after in pairwise([self, *self.buttons.values()]):
            self.setTabOrder(before, after)  # else they came after all of the window
        self._draw_signs()

    def _new_page(self) -> tuple[QWidget, QVBoxLayout]:
        self._signs, self.buttons = [], {}
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 4, 0, 0)
        column.setSpacing(8)
        return page, column

    def _line(self, statement: Statement) -> QHBoxLayout:
        sign = QLabel()
        sign.setFixedWidth(18)
        sign.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._signs.append((sign, statement.mark))
        label = plain_label(statement.text, name="finding")
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        label.setAccessibleName(f"{'Odd: ' if statement.is_odd else ''}{statement.text}")
        row = QHBoxLayout()
        row.setSpacing(6)
        row.addWidget(sign)
        row.addWidget(label, 1, Qt.AlignmentFlag.AlignTop)  # beside its sign
        return row

    def _add_button(self, column: QVBoxLayout, key: str, text: str, purpose: str) -> QPushButton:
        button = QPushButton(text)
        button.setAccessibleName(purpose)
        button.setToolTip(plain_tooltip(purpose))
        button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.buttons[key] = button
        column.addWidget(button)
        return button

    def _draw_signs(self) -> None:
        colors = self._theme.colors
        looks = {"odd": ("warning", colors.warning), "note": ("dot", colors.dim), "good": ("check", colors.dim)}
        for sign, mark in self._signs:
            sign.setPixmap(pixmap(*looks[mark]))
