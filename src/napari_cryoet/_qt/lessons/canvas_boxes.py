"""The boxes of tasks that are answered by clicks on the canvas: pick and measure."""

from __future__ import annotations

from typing import Any, Final
from uuid import uuid4

import numpy as np
from napari.layers import Points
from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel

from napari_cryoet._qt.layers.ownership import about_of, remove_layer
from napari_cryoet._qt.layers.placement import spacing_angstrom_of
from napari_cryoet._qt.lessons.marks import add_points
from napari_cryoet._qt.lessons.stage import Stage
from napari_cryoet._qt.lessons.task_box import TaskBox
from napari_cryoet._qt.picks.edits import NEW_PICKS, edits_of
from napari_cryoet._qt.views.capture import positions_of
from napari_cryoet._qt.widgets.controls import explain, push_button, row_of, tool_button
from napari_cryoet.appearance.diameters import diameter_angstrom
from napari_cryoet.lessons.lesson import (
    MAX_PICKS,
    Answer,
    LessonTask,
    MeasureAnswer,
    MeasureTask,
    PickAnswer,
    PickTask,
)
from napari_cryoet.provenance import Provenance
from napari_cryoet.views.view import zyx_of
from napari_cryoet.wording import count_text, nm_text

YOUR_PICKS: Final = "Your picks"
YOUR_LINE: Final = "Your measurement"
NO_TOMOGRAM: Final = "This task needs the step's tomogram. Press “Reset view” to open it."


class PointsBox(TaskBox):
    """A task that is answered by clicks on the canvas, in a layer of points."""

    layer_name = YOUR_PICKS

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
        spacing = None if volume is None else spacing_angstrom_of(volume)
        if volume is None or spacing is None:
            return None
        of_volume = about_of(volume)
        about = Provenance(
            kind=NEW_PICKS,
            run_id=of_volume.run_id,
            run_name=of_volume.run_name,
            tomogram_id=of_volume.tomogram_id,
            alignment_id=of_volume.alignment_id,
            more={"made_on": uuid4().hex},  # else edits of an earlier time would be offered
        )
        self.points = add_points(
            self.stage.viewer,
            f"{self.layer_name} · {self.title}",
            np.empty((0, 3)),
            about,
            spacing_angstrom=spacing,
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
        self.nothing = push_button("Nothing here", self._on_nothing)
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

    def _on_nothing(self) -> None:
        self.answered.emit(PickAnswer())


class MeasureBox(PointsBox):
    """Measure a distance by two clicks; a third one starts again."""

    task: MeasureTask
    layer_name = YOUR_LINE
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
