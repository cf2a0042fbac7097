"""The boxes of a lesson's tasks: each takes one kind of answer, on the canvas or in the dock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from napari.layers import Image, Layer, Points, Vectors
from napari.viewer import Viewer
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QSize, Qt, Signal
from qtpy.QtGui import QIcon, QKeyEvent, QKeySequence, QMouseEvent, QPixmap
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from napari_cryoet._qt.layers.ownership import about_of, remove_layer
from napari_cryoet._qt.layers.placement import spacing_angstrom_of
from napari_cryoet._qt.lessons.marks import Marks, add_empty_picks
from napari_cryoet._qt.lessons.text import LessonText
from napari_cryoet._qt.picks.edits import NEW_PICKS, edits_of
from napari_cryoet._qt.picks.layer_picks import volume_for
from napari_cryoet._qt.review.contact_sheet import SheetModel, SheetView
from napari_cryoet._qt.review.crops import CropFeed, reader_at
from napari_cryoet._qt.review.reviewed_layer import fly_to
from napari_cryoet._qt.tasks import Tasks, single_shot
from napari_cryoet._qt.views.capture import positions_of
from napari_cryoet._qt.widgets.controls import (
    explain,
    plain_label,
    plain_tooltip,
    progress_bar,
    push_button,
    tool_button,
)
from napari_cryoet._qt.widgets.dock import COMMAND_KEYS
from napari_cryoet._qt.widgets.start_bar import StartBar
from napari_cryoet._qt.widgets.theme import Theme
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
from napari_cryoet.provenance import Provenance
from napari_cryoet.review.review import Review
from napari_cryoet.review.session import Subject, Verdict
from napari_cryoet.review.sheet import ReviewSheet
from napari_cryoet.views.view import zyx_of
from napari_cryoet.volumes.crops import Frame
from napari_cryoet.wording import count_text, nm_text

YOUR_PICKS: Final = "Your picks"
YOUR_LINE: Final = "Your measurement"
NO_TOMOGRAM: Final = "This task needs the step's tomogram. Press “Reset view” to open it."
_CROP_PX: Final = 96
_SHEET_PX: Final = 260
_CROP_DIAMETERS: Final = 1.8
_USUAL_ANGSTROM: Final = 250.0  # of a particle
_SLAB_ANGSTROM: Final = 50.0
_MEASURED_POINT_ANGSTROM: Final = 40.0
_VERDICTS: Final = {
    Qt.Key.Key_K: (Verdict.KEPT, "K  Keep"),
    Qt.Key.Key_X: (Verdict.REJECTED, "X  Reject"),
}


@dataclass(frozen=True)
class Stage:
    """What the boxes of a lesson work with."""

    viewer: Viewer
    theme: Theme
    tasks: Tasks
    marks: Marks
    title: str  # of the step
    fetch_picture: Callable[[str, Callable[[bytes], None]], None]
    fetch_picks: Callable[[str, Callable[[Picks], None]], None]

    @property
    def volume(self) -> Image | None:
        """The tomogram that the step shows."""
        volume = volume_for(list(self.viewer.layers), None)
        return volume if volume is not None and volume.visible else None


class TaskBox(QFrame):
    """A task: what to do, controls for the answer, and a button that checks it."""

    answered = Signal(object)  # Answer

    def __init__(self, task: LessonTask, stage: Stage) -> None:
        super().__init__()
        self.setObjectName("taskBox")
        self.task = task
        self.stage = stage
        self.is_on_canvas = False
        self.ask = LessonText(stage.theme)
        self.ask.show_markdown(task.ask)
        self.bar = StartBar(
            stage.tasks, self, "Check my answer", "Compare your answer with the right one"
        )
        self.bar.start_requested.connect(self._on_check)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(8, 6, 8, 6)
        self.column.addWidget(self.ask)

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

    @property
    def layers(self) -> list[Layer]:
        """The layers of the learner's answer."""
        return []

    @property
    def diameter_angstrom(self) -> float:
        """The diameter of the objects that the task is about."""
        return _USUAL_ANGSTROM

    def update_bar(self) -> None:
        self.bar.set_ready(self.answer() is not None)

    def _on_check(self) -> None:
        answer = self.answer()
        if answer is not None:
            self.answered.emit(answer)


def box_for(task: LessonTask, stage: Stage) -> TaskBox:
    """The box of a task."""
    match task:
        case PickTask():
            return PickBox(task, stage)
        case SortTask():
            return SortBox(task, stage)
        case ChooseTask():
            return ChooseBox(task, stage)
        case MeasureTask():
            return MeasureBox(task, stage)
        case CompareTask():
            return CompareBox(task, stage)


class PointsBox(TaskBox):
    """A task that is answered by clicks on the canvas, in a layer of points."""

    layer_name = YOUR_PICKS

    def __init__(self, task: LessonTask, stage: Stage) -> None:
        super().__init__(task, stage)
        self.points: Points | None = None
        self.count = QLabel()
        self.undo = tool_button("Undo", "Undo the last click")
        self.undo.clicked.connect(self._undo)
        row = QHBoxLayout()
        row.addWidget(self.count, 1)
        row.addWidget(self.undo)
        self.column.addLayout(row)
        self.column.addWidget(self.bar)

    def begin(self) -> None:
        points = self._shown_points()
        if points is not None:
            points.visible = True
            self.stage.viewer.layers.selection.active = points
            points.mode = "add"
        super().begin()
        if points is None:
            self.bar.say(NO_TOMOGRAM)

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
    def layers(self) -> list[Layer]:
        return [] if self.points is None else [self.points]

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

    def on_data(self) -> None:
        """Follow a change of the points."""
        self.update_bar()

    def _shown_points(self) -> Points | None:
        """The learner's layer; a new one if there is none, or it was removed."""
        volume = self.stage.volume
        if self.points is not None and self.points in self.stage.viewer.layers:
            return self.points
        spacing = None if volume is None else spacing_angstrom_of(volume)
        if volume is None or spacing is None:
            return None
        of_volume = about_of(volume)
        # a name of its own for every time that the lesson is taken, else old edits would be offered
        made_on = f"{self.stage.title} {id(self):x}"
        about = Provenance(
            kind=NEW_PICKS,
            run_id=of_volume.run_id,
            run_name=of_volume.run_name,
            tomogram_id=of_volume.tomogram_id,
            alignment_id=of_volume.alignment_id,
            more={"made_on": made_on},
        )
        self.points = add_empty_picks(
            self.stage.viewer, self.layer_name, about, spacing, self.diameter_angstrom
        )
        self.points.events.data.connect(self._on_data_event)
        return self.points

    def _on_data_event(self, _event: Any = None) -> None:
        self.on_data()

    def _undo(self) -> None:
        log = None if self.points is None else edits_of(self.points)
        if log is not None and log.steps:
            log.undo()


class PickBox(PointsBox):
    """Pick all objects of one kind; or state that there are none."""

    task: PickTask

    def __init__(self, task: PickTask, stage: Stage) -> None:
        super().__init__(task, stage)
        self.outside = push_button("Go to the region", self._go_to_region)
        self.nothing = push_button("Nothing here", self._on_nothing)
        explain(self.nothing, f"Answer that there is no {task.object_name} here")
        self.column.insertWidget(1, self.outside)
        self.column.addWidget(self.nothing)
        self.outside.hide()

    def begin(self) -> None:
        if self.task.region_zyx_angstrom is not None:
            self.stage.marks.show_region(self.task.region_zyx_angstrom)
            self.stage.viewer.dims.events.point.connect(self._on_plane)
            self._on_plane()
        super().begin()

    def leave(self) -> None:
        if self.is_on_canvas and self.task.region_zyx_angstrom is not None:
            self.stage.viewer.dims.events.point.disconnect(self._on_plane)
        super().leave()

    @property
    def diameter_angstrom(self) -> float:
        return diameter_angstrom(None, self.task.object_name)

    def answer(self) -> Answer | None:
        positions = self.positions
        return _picked(positions) if 0 < len(positions) <= MAX_PICKS else None

    def count_text(self) -> str:
        n = len(self.positions)
        return f"{count_text(n, 'pick')}" if n else "Click on the canvas to pick."

    def _on_nothing(self) -> None:
        self.answered.emit(PickAnswer())

    def _on_plane(self, _event: Any = None) -> None:
        """Offer to go to the region if the shown plane doesn't cut it."""
        dims = self.stage.viewer.dims
        region = self.task.region_zyx_angstrom
        is_outside = region is not None and any(
            not region[axis][0] <= dims.point[axis] <= region[axis][1]
            for axis in dims.not_displayed
        )
        self.outside.setVisible(is_outside)

    def _go_to_region(self) -> None:
        region = self.task.region_zyx_angstrom
        if region is not None:
            fly_to(self.stage.viewer, np.array(region).mean(axis=1))


class MeasureBox(PointsBox):
    """Measure a distance by two clicks; a third one starts again."""

    task: MeasureTask
    layer_name = YOUR_LINE

    def __init__(self, task: MeasureTask, stage: Stage) -> None:
        super().__init__(task, stage)
        self._line: Vectors | None = None
        self._start_again_soon = single_shot(self, 0, self._start_again)

    def begin(self) -> None:
        super().begin()
        if self._follow not in self.stage.viewer.mouse_move_callbacks:
            self.stage.viewer.mouse_move_callbacks.append(self._follow)
        if self.points is not None:
            self._draw(self.points)

    def leave(self) -> None:
        super().leave()
        if self._follow in self.stage.viewer.mouse_move_callbacks:
            self.stage.viewer.mouse_move_callbacks.remove(self._follow)
        if self._line is not None:
            remove_layer(self.stage.viewer, self._line)
            self._line = None

    @property
    def diameter_angstrom(self) -> float:
        return _MEASURED_POINT_ANGSTROM

    @property
    def layers(self) -> list[Layer]:
        return super().layers + ([] if self._line is None else [self._line])

    def answer(self) -> Answer | None:
        ends = self.positions
        if len(ends) != 2:
            return None
        first, last = (zyx_of(end) for end in ends)
        return MeasureAnswer(length_angstrom=_length(*ends), ends_zyx_angstrom=(first, last))

    def count_text(self) -> str:
        ends = self.positions
        if len(ends) == 2:
            return f"Distance: {nm_text(_length(*ends))}"
        return "Click on the other end." if len(ends) else "Click on one end."

    def on_data(self) -> None:
        super().on_data()
        ends = self.positions
        if len(ends) > 2:
            self._start_again_soon.start()  # after napari has added the point
        elif self.points is not None:
            self._draw(self.points)

    def _start_again(self) -> None:
        if self.points is not None:
            self.points.data = self.points.data[-1:]

    def _draw(self, points: Points) -> None:
        """Draw the line between the ends."""
        ends = np.asarray(points.data)
        vectors = np.empty((0, 2, 3))
        if len(ends) == 2:
            vectors = np.array([[ends[0], ends[1] - ends[0]]])
        layers = self.stage.viewer.layers
        if self._line is not None and self._line in layers:
            self._line.data = vectors
        elif len(vectors):
            self._line = Vectors(
                vectors,
                name=f"{YOUR_LINE}: line",
                scale=points.scale,
                units=points.units,
                edge_color="yellow",
                edge_width=15 / float(points.scale[-1]),
                vector_style="line",
            )
            layers.insert(layers.index(points), self._line)
            layers.selection.active = points

    def _follow(self, viewer: Any, _event: Any) -> None:
        """Show the distance from the first end to the mouse."""
        ends = self.positions
        if len(ends) == 1:
            here = np.asarray(viewer.cursor.position)[-3:]
            self.count.setText(f"{nm_text(_length(ends[0], here))} to the mouse")


class ChooseBox(TaskBox):
    """Choose one of several texts, pictures or crops."""

    task: ChooseTask

    def __init__(self, task: ChooseTask, stage: Stage) -> None:
        super().__init__(task, stage)
        self.choices = QButtonGroup(self)
        for number, choice in enumerate(task.choices):
            button = _Choice(choice.text or f"{chr(ord('A') + number)}")
            self.choices.addButton(button.radio, number)
            self.column.addWidget(button)
            if choice.picture is not None:
                stage.fetch_picture(choice.picture, button.show_picture)
        self.column.addWidget(self.bar)
        self.feed = CropFeed(stage.tasks, self)
        self.feed.arrived.connect(self._on_crop)
        self.choices.idToggled.connect(lambda _number, _is_on: self.update_bar())
        self.update_bar()

    def begin(self) -> None:
        super().begin()
        numbers = [
            number
            for number, choice in enumerate(self.task.choices)
            if choice.position_zyx_angstrom is not None
        ]
        volume = self.stage.volume
        if numbers and volume is not None:
            self._numbers = numbers
            positions = [self.task.choices[number].position_zyx_angstrom for number in numbers]
            side = self.diameter_angstrom * _CROP_DIAMETERS
            frame = Frame(side, _SLAB_ANGSTROM, "xy", False, _CROP_PX)
            self.feed.use(reader_at(volume, np.array(positions)), frame)
            self.feed.want(range(len(numbers)))

    def answer(self) -> Answer | None:
        number = self.choices.checkedId()
        return ChooseAnswer(choice=number) if number >= 0 else None

    def _on_crop(self, row: int) -> None:
        picture = self.feed.picture(row)
        button = self.choices.button(self._numbers[row])
        if picture is not None and button is not None:
            _show_icon(button, picture)


class _Choice(QWidget):
    """A radio button beside a text that wraps."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.radio = QRadioButton()
        self.radio.setAccessibleName(text)
        label = plain_label(text)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.radio)
        row.addWidget(label, 1)

    def mousePressEvent(self, _event: QMouseEvent | None) -> None:
        """Choose by a click on the text too."""
        self.radio.click()

    def show_picture(self, content: bytes) -> None:
        picture = QPixmap()
        picture.loadFromData(content)
        _show_icon(self.radio, picture)


def _show_icon(button: Any, picture: QPixmap) -> None:
    side = QSize(_CROP_PX, _CROP_PX)
    button.setIcon(QIcon(picture.scaled(side, Qt.AspectRatioMode.KeepAspectRatio)))
    button.setIconSize(side)


class SortBox(TaskBox):
    """Sort crops into keep and reject, with the contact sheet of reviews."""

    task: SortTask

    def __init__(self, task: SortTask, stage: Stage) -> None:
        super().__init__(task, stage)
        self.sheet: ReviewSheet | None = None
        self._picks: Picks | None = None
        self.feed = CropFeed(stage.tasks, self)
        self.model = SheetModel(self.feed, self)
        self.view = SheetView(self.model, stage.theme)
        self.view.setFixedHeight(_SHEET_PX)
        self.progress = progress_bar("Sorted crops")
        self.column.addWidget(self.view)
        row = QHBoxLayout()
        for verdict, text in _VERDICTS.values():
            button = QPushButton(text)
            button.setObjectName(f"verdict{text[0]}")
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a click leaves the keys in the sheet
            button.clicked.connect(partial(self._on_verdict, verdict))
            row.addWidget(button)
        self.column.addLayout(row)
        self.column.addWidget(self.progress)
        self.column.addWidget(self.bar)
        self.view.opened.connect(self._fly_to)
        self.view.looked_at.connect(
            lambda cells: self.feed.want(self.model.row_at(cell) for cell in cells)
        )
        stage.fetch_picks(task.picks, self._on_picks)

    def begin(self) -> None:
        super().begin()
        self._cut()

    @property
    def diameter_angstrom(self) -> float:
        about = Provenance() if self._picks is None else self._picks.about
        return known_diameter(about.object_id, about.object_name) or super().diameter_angstrom

    def answer(self) -> Answer | None:
        if self.sheet is None or self.sheet.review.counts.judged < len(self.sheet.review.ids):
            return None
        review = self.sheet.review
        kept, rejected = (
            tuple(review.rows_with(verdict).tolist())
            for verdict in (Verdict.KEPT, Verdict.REJECTED)
        )
        return SortAnswer(kept=kept, rejected=rejected)

    def judge(self, verdict: Verdict) -> None:
        """Give the selected crops a verdict, and go on to the next undecided one."""
        cells = self.view.selected_cells
        if self.sheet is None or not cells:
            return
        self.sheet.judge(cells, verdict)
        cell = self.sheet.next_undecided(cells[-1])
        if cell is not None:
            self.view.go_to(cell)
        self._show_verdicts()

    def undo(self) -> None:
        """Undo the last verdict."""
        cells = [] if self.sheet is None else self.sheet.undo()
        if cells:
            self.view.go_to(cells[0])
        self._show_verdicts()

    def event(self, event: QEvent | None) -> bool:
        """Keep shortcuts of the viewer and the dock from overriding the keys of the sheet."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.ShortcutOverride:
            is_ours = self._action_of(event) is not None
            if is_ours or event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Right):
                event.accept()
                return True
        return bool(super().event(event))

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        act = None if event is None else self._action_of(event)
        if act is None:
            super().keyPressEvent(event)
        else:
            act()

    def _action_of(self, event: QKeyEvent) -> Callable[[], None] | None:
        if event.matches(QKeySequence.StandardKey.Undo):
            return self.undo
        if event.modifiers() & COMMAND_KEYS or event.key() not in _VERDICTS:
            return None
        verdict, _ = _VERDICTS[Qt.Key(event.key())]
        return partial(self.judge, verdict)

    def _on_verdict(self, verdict: Verdict, _checked: bool = False) -> None:
        self.judge(verdict)
        self.view.setFocus()

    def _on_picks(self, picks: Picks) -> None:
        self._picks = picks
        subject = Subject(key=f"{self.task.picks} {id(self):x}", name=self.task.picks)
        self.sheet = ReviewSheet(Review(picks, subject, Path()))  # it isn't saved
        self.model.set_sheet(self.sheet)
        self.view.go_to(0)
        self._cut()
        self._show_verdicts()

    def _cut(self) -> None:
        """Cut the crops out of the step's tomogram, once both are there."""
        volume = self.stage.volume
        if self._picks is None or volume is None or not self.is_on_canvas:
            return
        side = self.diameter_angstrom * _CROP_DIAMETERS
        frame = Frame(side, _SLAB_ANGSTROM, "xy", False, self.view.crop_px | 1)
        self.feed.use(reader_at(volume, self._positions(self._picks, volume)), frame)
        self.feed.want(self.model.row_at(cell) for cell in self.view.cells_on_screen())

    def _positions(self, picks: Picks, volume: Image) -> NDArray[np.float64]:
        spacing = picks.spacing_angstrom or spacing_angstrom_of(volume) or 1.0
        return np.asarray(picks.points_zyx * spacing)

    def _fly_to(self, cell: int) -> None:
        volume = self.stage.volume
        if self._picks is not None and volume is not None and 0 <= cell < self.model.rowCount():
            position = self._positions(self._picks, volume)[self.model.row_at(cell)]
            self.stage.marks.highlight(zyx_of(position))

    def _show_verdicts(self) -> None:
        self.model.refresh()
        if self.sheet is not None:
            counts = self.sheet.review.counts
            self.progress.setMaximum(max(1, counts.total))
            self.progress.setValue(counts.judged)
        self.update_bar()


class CompareBox(TaskBox):
    """State which layer is wrong, in which way, and why."""

    task: CompareTask

    def __init__(self, task: CompareTask, stage: Stage) -> None:
        super().__init__(task, stage)
        self.layer = _combo("Which one is it?", task.layers)
        self.cause = _combo("What is wrong with it?", task.causes)
        self.cause.setVisible(bool(task.causes))
        self.why = QPlainTextEdit()
        self.why.setPlaceholderText("How can you tell? (It isn't graded.)")
        self.why.setTabChangesFocus(True)
        self.why.setFixedHeight(64)
        for part in (self.layer, self.cause, self.why, self.bar):
            self.column.addWidget(part)
        for combo in (self.layer, self.cause):
            combo.currentIndexChanged.connect(lambda _index: self.update_bar())
        self.update_bar()

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
    combo = QComboBox()
    combo.addItems(list(texts))
    combo.setPlaceholderText(purpose)
    combo.setCurrentIndex(-1)
    combo.setAccessibleName(purpose)
    # a long text would make the whole page wider than the dock
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(2)
    combo.currentTextChanged.connect(lambda text: combo.setToolTip(plain_tooltip(text)))
    return combo


def _picked(positions: NDArray[np.float64]) -> PickAnswer:
    return PickAnswer(positions_zyx_angstrom=tuple(zyx_of(each) for each in positions))


def _length(first: NDArray[np.float64], last: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(last - first))
