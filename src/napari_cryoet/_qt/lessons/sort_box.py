"""The box of a task to sort crops into keep and reject, with the contact sheet of reviews."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final
from uuid import uuid4

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeyEvent, QKeySequence
from qtpy.QtWidgets import QPushButton

from napari_cryoet._qt.lessons.stage import Stage
from napari_cryoet._qt.lessons.task_box import TaskBox, crop_frame
from napari_cryoet._qt.review.contact_sheet import SheetKeys, SheetModel, SheetView
from napari_cryoet._qt.review.crops import CropFeed, reader_at
from napari_cryoet._qt.widgets.controls import progress_bar, row_of
from napari_cryoet._qt.widgets.dock import COMMAND_KEYS
from napari_cryoet.appearance.diameters import known_diameter
from napari_cryoet.lessons.lesson import Answer, SortAnswer, SortTask
from napari_cryoet.picks import Picks
from napari_cryoet.review.review import Review
from napari_cryoet.review.session import Subject, Verdict
from napari_cryoet.review.sheet import ReviewSheet
from napari_cryoet.views.view import zyx_of

_SHEET_PX: Final = 260
_VERDICTS: Final = {
    Qt.Key.Key_K: (Verdict.KEPT, "K  Keep"),
    Qt.Key.Key_X: (Verdict.REJECTED, "X  Reject"),
}


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
            button.clicked.connect(partial(self._on_verdict, verdict))
            buttons.append(button)
        self.column.addWidget(row_of(*buttons))
        self.column.addWidget(self.progress)
        self.view.opened.connect(self._fly_to)
        self.view.looked_at.connect(
            lambda cells: self.feed.want(self.model.row_at(cell) for cell in cells)
        )
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

    def judge(self, verdict: Verdict) -> None:
        """Give the selected crops a verdict, and go on to the next undecided one."""
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

    def _on_verdict(self, verdict: Verdict, _checked: bool = False) -> None:
        self.judge(verdict)
        self.view.setFocus()

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
        frame = crop_frame(self.diameter_angstrom, self.view.crop_px | 1)
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
