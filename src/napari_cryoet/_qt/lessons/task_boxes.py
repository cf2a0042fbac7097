"""The boxes of a lesson's tasks: what to do, and controls for the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Final
from uuid import uuid4

import numpy as np
from napari.layers import Points
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt, QTimer, Signal
from qtpy.QtGui import QIcon, QImage, QKeyEvent, QKeySequence, QMouseEvent, QPixmap
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QRadioButton,
    QWidget,
)

from napari_cryoet._qt.layers.ownership import remove_layer
from napari_cryoet._qt.lessons.stage import Stage, about_picks_on, add_points
from napari_cryoet._qt.picks.edits import NEW_PICKS, edits_of
from napari_cryoet._qt.review.contact_sheet import SheetKeys, SheetModel, SheetView
from napari_cryoet._qt.review.crops import CropFeed, reader_at
from napari_cryoet._qt.views.capture import positions_of
from napari_cryoet._qt.widgets.controls import (
    column_in,
    explain,
    narrow_combo,
    plain_label,
    progress_bar,
    push_button,
    row_of,
    set_look,
    tool_button,
)
from napari_cryoet._qt.widgets.dock import COMMAND_KEYS
from napari_cryoet._qt.widgets.start_bar import StartBar
from napari_cryoet.appearance.diameters import diameter_angstrom, known_diameter
from napari_cryoet.lessons.lesson import (
    MAX_PICKS,
    Answer,
    ChooseAnswer,
    ChooseTask,
    CompareAnswer,
    CompareTask,
    LessonTask,
    MeasureAnswer,
    MeasureTask,
    PickAnswer,
    PickTask,
    SortAnswer,
    SortTask,
)
from napari_cryoet.picks import Picks
from napari_cryoet.review.review import Review
from napari_cryoet.review.session import Subject, Verdict
from napari_cryoet.review.sheet import ReviewSheet
from napari_cryoet.views.view import Zyx, zyx_of
from napari_cryoet.volumes.crops import Frame
from napari_cryoet.wording import count_text, nm_text

_CROP_DIAMETERS: Final = 1.8
_SLAB_ANGSTROM: Final = 50.0
_CROP_PX: Final = 96
_NO_TOMOGRAM: Final = "This task needs the step's tomogram. Press “Reset view” to open it."
_SHEET_PX: Final = 260
_VERDICTS: Final = {
    Qt.Key.Key_K: (Verdict.KEPT, "K  Keep"),
    Qt.Key.Key_X: (Verdict.REJECTED, "X  Reject"),
}


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
        ask = stage.text()
        ask.show_markdown(task.ask)
        self.bar = StartBar(
            stage.tasks, self, "Check my answer", "Compare your answer with the right one"
        )
        set_look(self.bar.button, "isMain", True)
        self.bar.set_ready(False)
        self.bar.start_requested.connect(lambda: self.answered.emit(self.answer()))
        self.column = column_in(self, ask, margins=(8, 6, 8, 6))

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


def _crop_frame(diameter_angstrom: float, size_px: int) -> Frame:
    """The frame of crops around particles."""
    return Frame(diameter_angstrom * _CROP_DIAMETERS, _SLAB_ANGSTROM, "xy", False, size_px)


class ChooseBox(TaskBox):
    """Choose one of several texts, pictures or crops."""

    task: ChooseTask

    def __init__(self, task: ChooseTask, stage: Stage, title: str) -> None:
        super().__init__(task, stage, title)
        self.choices = QButtonGroup(self)
        self._choices: list[_Choice] = []
        self._crops: dict[int, Zyx] = {}  # places by the number of their choice
        for number, choice in enumerate(task.choices):
            shown = _Choice(choice.text or ascii_uppercase[number])
            self._choices.append(shown)
            self.choices.addButton(shown.radio, number)
            self.column.addWidget(shown)
            if choice.position_zyx_angstrom is not None:
                self._crops[number] = choice.position_zyx_angstrom
        self.feed = CropFeed(stage.tasks, self)
        self.feed.arrived.connect(self._on_crop)
        self.choices.idToggled.connect(lambda _number, _is_on: self.update_bar())

    def begin(self) -> None:
        super().begin()
        for choice, shown in zip(self.task.choices, self._choices, strict=True):
            if choice.picture is not None and shown.radio.icon().isNull():
                self.stage.fetch_picture(choice.picture, shown.show_picture)
        volume = self.stage.volume
        if self._crops and volume is not None:
            positions = np.array(list(self._crops.values()))
            frame = _crop_frame(self.diameter_angstrom, _CROP_PX)
            self.feed.use(reader_at(volume, positions), frame)
            self.feed.want(range(len(positions)))

    def answer(self) -> Answer | None:
        number = self.choices.checkedId()
        return ChooseAnswer(choice=number) if number >= 0 else None

    def _on_crop(self, row: int) -> None:
        picture = self.feed.picture(row)
        number = list(self._crops)[row]
        if picture is not None:
            self._choices[number].show_picture(picture.toImage())


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

    def show_picture(self, picture: QImage) -> None:
        side = QSize(_CROP_PX, _CROP_PX)
        scaled = picture.scaled(side, Qt.AspectRatioMode.KeepAspectRatio)
        self.radio.setIcon(QIcon(QPixmap.fromImage(scaled)))
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
    return combo


class PointsBox(TaskBox):
    """A task that is answered by clicks on the canvas, in a layer of points."""

    layer_name = "Your picks"

    def __init__(self, task: LessonTask, stage: Stage, title: str) -> None:
        super().__init__(task, stage, title)
        self.points: Points | None = None
        self.count = QLabel()
        self.undo = tool_button("Undo", "Undo the last click")
        self.undo.clicked.connect(self._undo)
        self.column.addWidget(row_of(self.count, self.undo))

    def begin(self) -> None:
        points = self._shown_points()
        if points is not None:
            points.visible = True
            self.stage.viewer.layers.selection.active = points
            points.mode = "add"
        super().begin()
        if points is None:
            self.bar.say(_NO_TOMOGRAM)

    def leave(self) -> None:
        super().leave()
        self.rest()
        if self.points is not None and len(self.points.data):
            self.points.visible = False
        elif self.points is not None:  # else one would pile up for each task
            remove_layer(self.stage.viewer, self.points)
            self.points = None

    def rest(self) -> None:
        if self.points is not None:
            self.points.mode = "pan_zoom"

    @property
    def positions(self) -> NDArray[np.float64]:
        """The clicked positions in ångström, z, y, x."""
        return np.empty((0, 3)) if self.points is None else positions_of(self.points)

    def update_bar(self) -> None:
        self.count.setText(self.count_text())
        self.undo.setEnabled(len(self.positions) > 0)
        super().update_bar()

    def count_text(self) -> str:
        """What was clicked so far."""
        raise NotImplementedError

    def on_data(self, _event: Any = None) -> None:
        """Follow a change of the points."""
        self.update_bar()

    def _shown_points(self) -> Points | None:
        """The learner's layer; a new one if there is none, or it was removed."""
        volume = self.stage.volume
        if self.points is not None and self.points in self.stage.viewer.layers:
            return self.points
        if volume is None:
            return None
        # else edits of an earlier time would be offered
        about = about_picks_on(volume, kind=NEW_PICKS, more={"made_on": uuid4().hex})
        self.points = add_points(
            self.stage.viewer,
            f"{self.layer_name} · {self.title}",
            np.empty((0, 3)),
            about,
            diameter_angstrom=self.diameter_angstrom,
        )
        self.points.events.data.connect(self.on_data)
        return self.points

    def _undo(self) -> None:
        log = None if self.points is None else edits_of(self.points)
        if log is not None and log.steps:
            log.undo()


class PickBox(PointsBox):
    """Pick all objects of one kind; or state that there are none."""

    task: PickTask

    def __init__(self, task: PickTask, stage: Stage, title: str) -> None:
        super().__init__(task, stage, title)
        self.diameter_angstrom = diameter_angstrom(None, task.object_name)
        answer_nothing = partial(self.answered.emit, PickAnswer())
        self.nothing = push_button("Nothing here", answer_nothing)
        explain(self.nothing, f"Answer that there is no {task.object_name} here")
        self.column.addWidget(self.nothing)

    def begin(self) -> None:
        if self.task.region_zyx_angstrom is not None:
            self.stage.marks.show_region(self.task.region_zyx_angstrom)
        super().begin()

    def answer(self) -> Answer | None:
        positions = tuple(map(zyx_of, self.positions))
        is_whole = 0 < len(positions) <= MAX_PICKS
        return PickAnswer(positions_zyx_angstrom=positions) if is_whole else None

    def update_bar(self) -> None:
        super().update_bar()
        self.nothing.setEnabled(len(self.positions) == 0)

    def count_text(self) -> str:
        n = len(self.positions)
        return f"{count_text(n, 'pick')}" if n else "Click on the canvas to pick."


class MeasureBox(PointsBox):
    """Measure a distance by two clicks; a third one starts again."""

    task: MeasureTask
    layer_name = "Your measurement"
    diameter_angstrom = 40.0

    def update_bar(self) -> None:
        super().update_bar()
        self.stage.marks.show_line(self.positions)

    def answer(self) -> Answer | None:
        ends = self.positions
        if len(ends) != 2:
            return None
        first, last = map(zyx_of, ends)
        return MeasureAnswer(length_angstrom=_length(*ends), ends_zyx_angstrom=(first, last))

    def count_text(self) -> str:
        ends = self.positions
        if len(ends) == 2:
            return f"Distance: {nm_text(_length(*ends))}"
        return "Click on the other end." if len(ends) else "Click on one end."

    def on_data(self, _event: Any = None) -> None:
        super().on_data()
        if len(self.positions) > 2:
            QTimer.singleShot(0, self._start_again)  # after napari has added the point

    def _start_again(self) -> None:
        if self.points is not None:
            self.points.data = self.points.data[-1:]


def _length(first: NDArray[np.float64], last: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(last - first))


class SortBox(TaskBox):
    """Sort crops into keep and reject, with the contact sheet of reviews."""

    task: SortTask

    def __init__(self, task: SortTask, stage: Stage, title: str) -> None:
        super().__init__(task, stage, title)
        self.sheet = self._sheet_of(Picks(np.empty((0, 3)), 1.0))  # until the picks are read
        self.feed = CropFeed(stage.tasks, self)
        self.model = SheetModel(self.feed, self)
        self.view = SheetView(self.model, stage.theme)
        self.view.setFixedHeight(_SHEET_PX)
        self.progress = progress_bar("Sorted crops")
        self.column.addWidget(self.view)
        buttons = []
        for verdict, text in _VERDICTS.values():
            button = QPushButton(text)
            button.setObjectName(f"verdict{text[0]}")
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a click leaves the keys in the sheet
            button.clicked.connect(partial(self.judge, verdict))
            buttons.append(button)
        self.column.addWidget(row_of(*buttons))
        self.column.addWidget(self.progress)
        self.view.opened.connect(self._fly_to)
        self.view.looked_at.connect(lambda cells: self.feed.want(map(self.model.row_at, cells)))
        SheetKeys(self, self._action_of)

    def begin(self) -> None:
        super().begin()
        if not self.model.rowCount():
            self.stage.fetch_picks(self.task.picks, self._on_picks)
        self.view.setFocus()  # for its keys
        self._cut()

    def answer(self) -> Answer | None:
        review = self.sheet.review
        counts = review.counts
        if not counts.total or counts.judged < counts.total:
            return None
        kept = review.rows_with(Verdict.KEPT).tolist()
        rejected = review.rows_with(Verdict.REJECTED).tolist()
        return SortAnswer(kept=tuple(kept), rejected=tuple(rejected))

    def judge(self, verdict: Verdict, _checked: bool = False) -> None:
        """Give the selected crops a verdict, and go on to the next undecided one."""
        self.view.setFocus()
        cells = self.view.selected_cells
        if not cells:
            return
        self.sheet.judge(cells, verdict)
        cell = self.sheet.next_undecided(cells[-1])
        if cell is not None:
            self.view.go_to(cell)
        self._show_verdicts()

    def undo(self) -> None:
        """Undo the last verdict."""
        cells = self.sheet.undo()
        if cells:
            self.view.go_to(cells[0])
            self._show_verdicts()

    def _action_of(self, event: QKeyEvent) -> Callable[[], None] | None:
        if event.matches(QKeySequence.StandardKey.Undo):
            return self.undo
        if event.modifiers() & COMMAND_KEYS or event.key() not in _VERDICTS:
            return None
        verdict, _ = _VERDICTS[Qt.Key(event.key())]
        return partial(self.judge, verdict)

    def _on_picks(self, picks: Picks) -> None:
        self.sheet = self._sheet_of(picks)
        known = known_diameter(picks.about.object_id, picks.about.object_name)
        self.diameter_angstrom = known or self.diameter_angstrom
        self.model.set_sheet(self.sheet)
        self.view.go_to(0)
        self._cut()
        self._show_verdicts()

    def _sheet_of(self, picks: Picks) -> ReviewSheet:
        subject = Subject(key=uuid4().hex, name=self.task.picks)
        return ReviewSheet(Review(picks, subject, Path()))  # it isn't saved

    def _cut(self) -> None:
        """Cut the crops out of the step's tomogram, once both are there."""
        volume = self.stage.volume
        if volume is None or not self.is_on_canvas:
            return
        frame = _crop_frame(self.diameter_angstrom, self.view.crop_px | 1)
        self.feed.use(reader_at(volume, self.sheet.review.picks.positions_angstrom_zyx), frame)
        self.feed.want(self.model.row_at(cell) for cell in self.view.cells_on_screen())

    def _fly_to(self, cell: int) -> None:
        if cell >= 0:
            positions = self.sheet.review.picks.positions_angstrom_zyx
            self.stage.marks.highlight(zyx_of(positions[self.sheet.row_at(cell)]))

    def _show_verdicts(self) -> None:
        counts = self.sheet.review.counts
        self.model.refresh()
        self.progress.setMaximum(max(1, counts.total))
        self.progress.setValue(counts.judged)
        self.update_bar()
