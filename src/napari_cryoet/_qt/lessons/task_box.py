"""The boxes of a lesson's tasks, and those that are answered in the dock: choose and compare."""

from __future__ import annotations

from collections.abc import Iterable
from string import ascii_uppercase
from typing import Final

import numpy as np
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QMouseEvent, QPixmap
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QPlainTextEdit,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from napari_cryoet._qt.lessons.stage import Stage
from napari_cryoet._qt.lessons.text import LessonText
from napari_cryoet._qt.review.crops import CropFeed, reader_at
from napari_cryoet._qt.widgets.controls import narrow_combo, plain_label, plain_tooltip, set_look
from napari_cryoet._qt.widgets.start_bar import StartBar
from napari_cryoet.lessons.lesson import (
    Answer,
    ChooseAnswer,
    ChooseTask,
    CompareAnswer,
    CompareTask,
    LessonTask,
)
from napari_cryoet.volumes.crops import Frame

_CROP_DIAMETERS: Final = 1.8
_SLAB_ANGSTROM: Final = 50.0
_CROP_PX: Final = 96


class TaskBox(QFrame):
    """A task: what to do, controls for the answer, and a button that checks it."""

    answered = Signal(object)  # Answer
    diameter_angstrom = 250.0  # usually, of what the task is about

    def __init__(self, task: LessonTask, stage: Stage, title: str) -> None:
        super().__init__()
        self.setObjectName("taskBox")
        self.task = task
        self.stage = stage
        self.title = title  # of the step
        self.is_on_canvas = False
        ask = LessonText(stage.theme)
        stage.serve(ask)
        ask.show_markdown(task.ask)
        self.bar = StartBar(
            stage.tasks, self, "Check my answer", "Compare your answer with the right one"
        )
        set_look(self.bar.button, "isMain", True)
        self.bar.set_ready(False)
        self.bar.start_requested.connect(self._on_check)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(8, 6, 8, 6)
        self.column.addWidget(ask)

    def begin(self) -> None:
        """Start on the canvas, now that it shows the step's view."""
        self.is_on_canvas = True
        self.update_bar()

    def leave(self) -> None:
        """Leave the canvas; the answer so far is kept."""
        self.is_on_canvas = False

    def rest(self) -> None:
        """Take no clicks on the canvas while feedback is shown."""

    def answer(self) -> Answer | None:
        """The answer so far; None if it isn't complete."""
        raise NotImplementedError

    def update_bar(self) -> None:
        self.bar.set_ready(self.answer() is not None)

    def _on_check(self) -> None:
        answer = self.answer()
        if answer is not None:
            self.answered.emit(answer)


def crop_frame(diameter_angstrom: float, size_px: int) -> Frame:
    """The frame of crops around particles."""
    return Frame(diameter_angstrom * _CROP_DIAMETERS, _SLAB_ANGSTROM, "xy", False, size_px)


class ChooseBox(TaskBox):
    """Choose one of several texts, pictures or crops."""

    task: ChooseTask

    def __init__(self, task: ChooseTask, stage: Stage, title: str) -> None:
        super().__init__(task, stage, title)
        self.choices = QButtonGroup(self)
        lettered = zip(task.choices, ascii_uppercase, strict=False)
        texts = [choice.text or letter for choice, letter in lettered]
        self._choices = [_Choice(text) for text in texts]
        for number, choice in enumerate(self._choices):
            self.choices.addButton(choice.radio, number)
            self.column.addWidget(choice)
        places = enumerate(choice.position_zyx_angstrom for choice in task.choices)
        self._crops = [(number, place) for number, place in places if place is not None]
        self.feed = CropFeed(stage.tasks, self)
        self.feed.arrived.connect(self._on_crop)
        self.choices.idToggled.connect(lambda _number, _is_on: self.update_bar())

    def begin(self) -> None:
        super().begin()
        for choice, shown in zip(self.task.choices, self._choices, strict=True):
            if choice.picture is not None and shown.radio.icon().isNull():
                self.stage.fetch_picture(choice.picture, shown.show_content)
        volume = self.stage.volume
        if self._crops and volume is not None:
            positions = np.array([place for _, place in self._crops])
            frame = crop_frame(self.diameter_angstrom, _CROP_PX)
            self.feed.use(reader_at(volume, positions), frame)
            self.feed.want(range(len(positions)))

    def answer(self) -> Answer | None:
        number = self.choices.checkedId()
        return ChooseAnswer(choice=number) if number >= 0 else None

    def _on_crop(self, row: int) -> None:
        picture = self.feed.picture(row)
        number, _ = self._crops[row]
        if picture is not None:
            self._choices[number].show_picture(picture)


class _Choice(QWidget):
    """A radio button beside a text that wraps."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.radio = QRadioButton()
        self.radio.setAccessibleName(text)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.radio)
        row.addWidget(plain_label(text), 1)

    def mousePressEvent(self, _event: QMouseEvent | None) -> None:
        """Choose by a click on the text too."""
        self.radio.click()

    def show_content(self, content: bytes) -> None:
        """Show the content of a picture's file."""
        picture = QPixmap()
        picture.loadFromData(content)
        self.show_picture(picture)

    def show_picture(self, picture: QPixmap) -> None:
        side = QSize(_CROP_PX, _CROP_PX)
        self.radio.setIcon(QIcon(picture.scaled(side, Qt.AspectRatioMode.KeepAspectRatio)))
        self.radio.setIconSize(side)


class CompareBox(TaskBox):
    """State which layer is wrong, in which way, and why."""

    task: CompareTask

    def __init__(self, task: CompareTask, stage: Stage, title: str) -> None:
        super().__init__(task, stage, title)
        self.layer = _combo("Which one is it?", task.layers)
        self.cause = _combo("What is wrong with it?", task.causes)
        self.cause.setVisible(bool(task.causes))
        self.why = QPlainTextEdit()
        self.why.setPlaceholderText("How can you tell? (It isn't graded.)")
        self.why.setTabChangesFocus(True)
        self.why.setFixedHeight(64)
        for part in (self.layer, self.cause, self.why):
            self.column.addWidget(part)
        for combo in (self.layer, self.cause):
            combo.currentIndexChanged.connect(lambda _index: self.update_bar())

    def answer(self) -> Answer | None:
        is_whole = self.layer.currentIndex() >= 0
        is_whole &= self.cause.currentIndex() >= 0 or not self.task.causes
        if not is_whole:
            return None
        return CompareAnswer(
            layer=self.layer.currentText(),
            cause=self.cause.currentText(),
            explanation=self.why.toPlainText()[:20_000],
        )


def _combo(purpose: str, texts: Iterable[str]) -> QComboBox:
    combo = narrow_combo(purpose, texts)
    combo.setPlaceholderText(purpose)
    combo.setCurrentIndex(-1)
    combo.currentTextChanged.connect(lambda text: combo.setToolTip(plain_tooltip(text)))
    return combo
