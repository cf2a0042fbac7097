"""The average of the kept picks, as three sections that follow each verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from qtpy.QtCore import QRect, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPixmap
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QWidget
from superqt import QElidingLabel

from napari_cryoet._qt.review.crops import grey_image
from napari_cryoet._qt.tasks import Job, Tasks, single_shot
from napari_cryoet.review.crops import Crop, CropReader, Cube, RunningMean

_TASK: Final = "review average"
_PLANES: Final = ("XY", "XZ", "YZ")
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
        self.sections = [QLabel() for _ in _PLANES]
        for plane, section in zip(_PLANES, self.sections, strict=True):
            section.setFixedSize(_SIDE_PX, _SIDE_PX)
            section.setToolTip(f"{plane} section through the average of the kept picks")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(3)
        grid.setColumnStretch(0, 1)
        grid.addWidget(self.switch, 0, 0)
        grid.addWidget(self.note, 1, 0, Qt.AlignmentFlag.AlignTop)
        for column, section in enumerate(self.sections, 1):
            grid.addWidget(section, 0, column, 2, 1)
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
        is_on = self.switch.isChecked()
        sections = self.mean.sections() if is_on else None
        known = np.concatenate(
            [section[np.isfinite(section)] for section in sections or ()] or [np.empty(0, np.float32)]
        )
        limits = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        for plane, section, values in zip(_PLANES, self.sections, sections or (None,) * 3, strict=True):
            section.setVisible(is_on)
            section.setPixmap(QPixmap() if values is None else _labelled(grey_image(values, limits), plane))
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


def _labelled(image: QImage, plane: str) -> QPixmap:
    """A section with the name of its plane in a corner."""
    picture = QPixmap.fromImage(image.scaled(_SIDE_PX, _SIDE_PX, transformMode=_SMOOTH))
    painter, corner = QPainter(picture), QRect(0, _SIDE_PX - 13, 20, 13)
    font = painter.font()
    font.setPixelSize(10)
    painter.setFont(font)
    painter.fillRect(corner, QColor("black"))
    painter.setPen(QColor("white"))
    painter.drawText(corner, int(Qt.AlignmentFlag.AlignCenter), plane)
    painter.end()
    return picture
