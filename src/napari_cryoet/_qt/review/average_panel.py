"""The average of the kept picks beside the contact sheet: three sections, how many are in it, and its own reading."""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
from qtpy.QtCore import QRect, Qt, Signal
from qtpy.QtGui import QPainter, QPaintEvent, QPixmap
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QVBoxLayout, QWidget

from napari_cryoet._qt.review.crop_feed import grey_image
from napari_cryoet._qt.tasks import Job, Tasks
from napari_cryoet._qt.widgets.labels import ElidedLabel
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.review.crops import Crop, CropReader, Cube, RunningMean

SIDE_PX: Final = 70
TASK: Final = "review average"
_TOGETHER: Final = 12


class Section(QWidget):
    """One section through the average, with the name of its plane."""

    def __init__(self, name: str, theme: Theme) -> None:
        super().__init__()
        self._name, self._theme = name, theme
        self._picture: QPixmap | None = None
        self.setFixedSize(SIDE_PX, SIDE_PX)
        self.setAccessibleName(f"{name} section through the average of the kept picks")
        self.setToolTip(self.accessibleName())

    def show_picture(self, picture: QPixmap | None) -> None:
        """Show a picture, or none."""
        self._picture = picture
        self.update()

    @property
    def has_picture(self) -> bool:
        """Whether there is one."""
        return self._picture is not None

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draw the picture, or the quiet place for it."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        colors = self._theme.colors
        painter.fillRect(self.rect(), colors.raised)
        if self._picture is not None:
            painter.drawPixmap(self.rect(), self._picture)
        font = painter.font()
        font.setPixelSize(10)
        painter.setFont(font)
        painter.setPen(colors.dim)
        if self._picture is None:
            painter.drawText(self.rect(), int(Qt.AlignmentFlag.AlignCenter), self._name)
            return
        label = QRect(0, self.height() - 14, 22, 14)
        painter.fillRect(label, colors.background)
        painter.setPen(colors.text)
        painter.drawText(label, int(Qt.AlignmentFlag.AlignCenter), self._name)


class AveragePanel(QWidget):
    """Keeps a `RunningMean` in step with what is kept, while it is switched on."""

    failed = Signal(object)  # CryoETError
    state_changed = Signal()  # ask `is_reading`

    def __init__(self, tasks: Tasks, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tasks = tasks
        self._reader: CropReader | None = None
        self._cube = Cube(400)
        self._wanted: list[int] = []
        self._usable: frozenset[int] = frozenset()  # those of the wanted that can be in it
        self._queue: deque[int] | None = None  # what is still to be read, in order; None where nobody knows
        self.mean = RunningMean()
        self.switch = QCheckBox("Average of kept")
        self.switch.setToolTip("A quick average of all kept picks, which follows each decision")
        self.note = ElidedLabel()
        self.note.setObjectName("dimText")
        self.sections = [Section(name, theme) for name in ("XY", "XZ", "YZ")]
        words = QHBoxLayout()
        words.addWidget(self.switch)
        words.addWidget(self.note, 1)
        row = QHBoxLayout()
        row.setSpacing(4)
        for section in self.sections:
            row.addWidget(section)
        row.addStretch()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addLayout(words)
        column.addLayout(row)
        self.switch.toggled.connect(self._on_switched)
        self._show()

    @property
    def count(self) -> int:
        """How many picks are in the average that is shown."""
        return len(self.mean)

    def use(self, reader: CropReader | None, cube: Cube) -> None:
        """Begin anew: other picks, another volume or another cube; `want` says what of it."""
        if reader is self._reader and cube == self._cube:
            return
        self._tasks.stop(TASK)
        self._reader, self._cube, self.mean = reader, cube, RunningMean()
        self.want([])

    def want(self, rows: list[int]) -> None:
        """Say which picks are kept; those that can't be aligned are left out where one aligns."""
        self._wanted, self._usable, self._queue = rows, self._usable_of(rows), None
        self._go_on()

    @property
    def is_reading(self) -> bool:
        """Whether cubes are on their way."""
        return self._tasks.is_running(TASK)

    def stop(self) -> None:
        """Read nothing any more, until it is switched on again; does nothing where nothing is being read."""
        if self.is_reading:
            self.switch.setChecked(False)

    def _on_switched(self, is_on: bool) -> None:
        if not is_on:
            self._tasks.stop(TASK)
        self._queue = None
        self._go_on()

    def _usable_of(self, rows: list[int]) -> frozenset[int]:
        reader = self._reader
        if reader is None:
            return frozenset()
        return frozenset(row for row in rows if not self._cube.is_oriented or reader.are_oriented[row])

    def _go_on(self) -> None:
        """Read a few of what is missing, or too much; and again once they are here."""
        reader = self._reader
        if reader is None or not self.switch.isChecked():
            self._show()
            return
        if self._queue is None:
            self._queue = deque(reader.near_each_other(sorted(self._usable ^ self.mean.rows)))
        self._show()
        wanted = [self._queue.popleft() for _ in range(min(_TOGETHER, len(self._queue)))]
        if not wanted:
            self._tasks.stop(TASK)
            return
        cube = self._cube

        def read(job: Job) -> list[Crop]:
            return list(reader.read(wanted, cube, stop=job.stop))

        self._tasks.run(TASK, read, then=self._on_read, failed=self._on_failed)
        self.state_changed.emit()

    def _on_read(self, crops: list[Crop]) -> None:
        for crop in crops:
            if (crop.row in self._usable) != (crop.row in self.mean.rows):
                self.mean.change(crop)
        self._go_on()

    def _on_failed(self, error: CryoETError) -> None:
        self._queue = None  # what failed is still lacking
        self._show()
        self.failed.emit(error)

    def _show(self) -> None:
        sections = self.mean.sections() if self.switch.isChecked() else None
        limits = None
        if sections is not None:
            known = np.concatenate([section[np.isfinite(section)] for section in sections])
            limits = (float(known.min()), float(known.max())) if known.size else None
        for widget, values in zip(self.sections, sections or (None,) * 3, strict=True):
            picture = None if values is None or limits is None else QPixmap.fromImage(grey_image(values, limits))
            widget.show_picture(picture)
        self.note.setText(self._words())
        self.state_changed.emit()

    def _words(self) -> str:
        if not self.switch.isChecked():
            return "off"
        if self._reader is None:
            return "needs a tomogram"
        usable, count = len(self._usable), len(self.mean)
        if not self._wanted:
            return "none is kept"
        left_out = len(self._wanted) - usable
        words = f"{count:,}" if count == usable else f"{count:,} of {usable:,}…"
        how = ", aligned" if self._cube.is_oriented else ", not aligned"
        return words + how + (f"; {left_out:,} have no orientation" if left_out else "")
