"""The average of the kept picks, as three sections that follow each verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QWidget
from superqt import QElidingLabel

from napari_cryoet._qt.review.crops import grey_image
from napari_cryoet._qt.tasks import Job, Tasks, single_shot
from napari_cryoet.review.crops import Crop, CropReader, Cube, RunningMean

_TASK: Final = "review average"
_SIDE_PX: Final = 56
_SMOOTH: Final = Qt.TransformationMode.SmoothTransformation
_SHOW_EVERY_MS: Final = 50


class AveragePanel(QWidget):
    """Keeps a `RunningMean` in step with the kept picks while it is switched on."""

    def __init__(self, tasks: Tasks, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tasks = tasks
        self._reader: CropReader | None = None
        self._cube = Cube(400)
        self._kept: Sequence[int] = ()
        self._usable: frozenset[int] = frozenset()  # the kept picks that can be in it
        self.mean = RunningMean()
        self.switch = QCheckBox("Average of kept")
        self.switch.setToolTip("Average the kept picks; the average follows each verdict")
        self.note = QElidingLabel()
        self.note.setObjectName("dimText")
        self.sections = QLabel()
        self.sections.setFixedHeight(_SIDE_PX)
        self.sections.setToolTip("XY, XZ and YZ sections through the average of the kept picks")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(3)
        grid.setColumnStretch(0, 1)
        grid.addWidget(self.switch, 0, 0)
        grid.addWidget(self.note, 1, 0, Qt.AlignmentFlag.AlignTop)
        grid.addWidget(self.sections, 0, 1, 2, 1)
        self.switch.toggled.connect(lambda _on: self._read())
        self._show_soon = single_shot(self, _SHOW_EVERY_MS, self._show)
        self._show()

    @property
    def count(self) -> int:
        """How many picks are in the average."""
        return len(self.mean)

    def use(self, reader: CropReader | None, cube: Cube) -> None:
        """Start again with other picks, another volume or another cube."""
        if reader is not self._reader or cube != self._cube:
            self._reader, self._cube, self.mean = reader, cube, RunningMean()
            self.want([])

    def want(self, rows: Sequence[int]) -> None:
        """Average these picks; with oriented cubes, those of them that have an orientation."""
        reader = self._reader
        self._kept = rows
        self._usable = frozenset(
            row for row in rows if reader is not None and (not self._cube.is_oriented or reader.are_oriented[row])
        )
        self._read()

    def _read(self) -> None:
        """Read the cubes that are to be added or taken away."""
        reader, cube, rows = self._reader, self._cube, sorted(self._usable ^ self.mean.rows)
        self._tasks.stop(_TASK)
        if reader is not None and rows and self.switch.isChecked():
            rows = reader.near_each_other(rows)

            def read(job: Job) -> None:
                for crop in reader.read(rows, cube, stop=job.stop):
                    job.hand_over(crop)

            self._tasks.run(_TASK, read, then=lambda _none: self._show(), part=self._on_cube)
        self._show()

    def _on_cube(self, crop: Crop) -> None:
        self.mean.change(crop)
        if not self._show_soon.isActive():
            self._show_soon.start()

    def _show(self) -> None:
        is_on, picture = self.switch.isChecked(), QPixmap()
        sections = self.mean.sections() if is_on else None
        if sections is not None:
            values = np.hstack([np.pad(section, ((0, 0), (0, 1)), constant_values=np.nan) for section in sections])
            known = values[np.isfinite(values)]
            limits = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
            picture = QPixmap.fromImage(grey_image(values, limits)).scaledToHeight(_SIDE_PX, _SMOOTH)
        self.sections.setPixmap(picture)
        self.sections.setVisible(is_on)
        self.note.setVisible(is_on)
        self.note.setText(self._words())

    def _words(self) -> str:
        if self._reader is None:
            return "needs a tomogram"
        if not self._kept:
            return "none is kept"
        usable, count = len(self._usable), len(self.mean)
        words = f"{count:,}" if count == usable else f"{count:,} of {usable:,}…"
        left_out = len(self._kept) - usable
        without = f"; {left_out:,} have no orientation" if left_out else ""
        return words + (", aligned" if self._cube.is_oriented else ", not aligned") + without
