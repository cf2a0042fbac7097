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
from qtpy.QtWidgets import QHBoxLayout, QPushButton

from napari_cryoet._qt.layers.placement import spacing_angstrom_of
from napari_cryoet._qt.lessons.stage import Stage
from napari_cryoet._qt.lessons.task_box import TaskBox, crop_frame
from napari_cryoet._qt.review.contact_sheet import SheetKeys, SheetModel, SheetView
from napari_cryoet._qt.review.crops import CropFeed, reader_at
from napari_cryoet._qt.widgets.controls import progress_bar
from napari_cryoet._qt.widgets.dock import COMMAND_KEYS
from napari_cryoet.appearance.diameters import known_diameter
from napari_cryoet.lessons.lesson import Answer, SortAnswer, SortTask
from napari_cryoet.picks import Picks
from napari_cryoet.provenance import Provenance
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
        self.sheet: ReviewSheet | None = None
        self._positions_zyx = np.empty((0, 3))  # in ångström, of the crops
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
        self.view.opened.connect(self._fly_to)
        self.view.looked_at.connect(
            lambda cells: self.feed.want(self.model.row_at(cell) for cell in cells)
        )
        SheetKeys(self, self._action_of)

    def begin(self) -> None:
        super().begin()
        if self.sheet is None:
            self.stage.fetch_picks(self.task.picks, self._on_picks)
        self.view.setFocus()  # for its keys
        self._cut()

    @property
    def diameter_angstrom(self) -> float:
        about = Provenance() if self.sheet is None else self.sheet.review.picks.about
        return known_diameter(about.object_id, about.object_name) or super().diameter_angstrom

    def answer(self) -> Answer | None:
        if self.sheet is None or self.sheet.review.counts.judged < len(self.sheet.review.ids):
            return None
        review = self.sheet.review
        kept = review.rows_with(Verdict.KEPT).tolist()
        rejected = review.rows_with(Verdict.REJECTED).tolist()
        return SortAnswer(kept=tuple(kept), rejected=tuple(rejected))

    def judge(self, verdict: Verdict) -> None:
        """Give the selected crops a verdict, and go on to the next undecided one."""
        cells = self.view.selected_cells
        if self.sheet is None or not cells:
            return
        self.sheet.judge(cells, verdict)
        cell = self.sheet.next_undecided(cells[-1])
        if cell is not None:
            self.view.go_to(cell)
        self._show_verdicts(self.sheet)

    def undo(self) -> None:
        """Undo the last verdict."""
        cells = [] if self.sheet is None else self.sheet.undo()
        if self.sheet is not None and cells:
            self.view.go_to(cells[0])
            self._show_verdicts(self.sheet)

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
        subject = Subject(key=uuid4().hex, name=self.task.picks)
        self.sheet = ReviewSheet(Review(picks, subject, Path()))  # it isn't saved
        self.model.set_sheet(self.sheet)
        self.view.go_to(0)
        self._cut()
        self._show_verdicts(self.sheet)

    def _cut(self) -> None:
        """Cut the crops out of the step's tomogram, once both are there."""
        volume = self.stage.volume
        if self.sheet is None or volume is None or not self.is_on_canvas:
            return
        picks = self.sheet.review.picks
        spacing = picks.spacing_angstrom or spacing_angstrom_of(volume) or 1.0
        self._positions_zyx = picks.points_zyx * spacing
        frame = crop_frame(self.diameter_angstrom, self.view.crop_px | 1)
        self.feed.use(reader_at(volume, self._positions_zyx), frame)
        self.feed.want(self.model.row_at(cell) for cell in self.view.cells_on_screen())

    def _fly_to(self, cell: int) -> None:
        if 0 <= cell < len(self._positions_zyx):
            position = self._positions_zyx[self.model.row_at(cell)]
            self.stage.marks.highlight(zyx_of(position))

    def _show_verdicts(self, sheet: ReviewSheet) -> None:
        counts = sheet.review.counts
        self.model.refresh()
        self.progress.setMaximum(max(1, counts.total))
        self.progress.setValue(counts.judged)
        self.update_bar()
