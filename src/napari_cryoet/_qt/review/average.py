"""The average of the kept picks, as three sections that follow each verdict."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

import numpy as np
from qtpy.QtCore import QRect, Qt, Signal
from qtpy.QtGui import QPainter, QPaintEvent, QPixmap
from qtpy.QtWidgets import QCheckBox, QGridLayout, QWidget
from superqt import QElidingLabel

from napari_cryoet._qt.review.crops import grey_image
from napari_cryoet._qt.tasks import Job, Tasks
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.review.crops import Crop, CropReader, Cube, RunningMean

TASK: Final = "review average"
_SIDE_PX: Final = 56
_TOGETHER: Final = 12  # cubes in a request


class AveragePanel(QWidget):
    """Keeps a `RunningMean` in step with the kept picks while it is switched on."""

    failed = Signal(object)  # CryoETError
    state_changed = Signal()  # see `is_reading`

    def __init__(self, tasks: Tasks, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tasks = tasks
        self._reader: CropReader | None = None
        self._cube = Cube(400)
        self._kept: Sequence[int] = ()
        self._usable: frozenset[int] = frozenset()  # the kept picks that can be in it
        self._queue: deque[int] | None = None  # rows to read, in order; None while unknown
        self.mean = RunningMean()
        self.switch = QCheckBox("Average of kept")
        self.switch.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.switch.setToolTip("Average the kept picks; the average follows each verdict")
        self.note = QElidingLabel()
        self.note.setObjectName("dimText")
        self.sections = [_Section(name, theme) for name in ("XY", "XZ", "YZ")]
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(3)
        grid.setColumnStretch(0, 1)
        grid.addWidget(self.switch, 0, 0)
        grid.addWidget(self.note, 1, 0, Qt.AlignmentFlag.AlignTop)
        for column, section in enumerate(self.sections, 1):
            grid.addWidget(section, 0, column, 2, 1)
        self.switch.toggled.connect(self._on_switched)
        self._show()

    @property
    def count(self) -> int:
        """How many picks are in the average."""
        return len(self.mean)

    @property
    def is_reading(self) -> bool:
        """Whether cubes are being read."""
        return self._tasks.is_running(TASK)

    def use(self, reader: CropReader | None, cube: Cube) -> None:
        """Start again with other picks, another volume or another cube."""
        if reader is self._reader and cube == self._cube:
            return
        self._tasks.stop(TASK)
        self._reader, self._cube, self.mean = reader, cube, RunningMean()
        self.want([])

    def want(self, rows: Sequence[int]) -> None:
        """Average these picks; with oriented cubes, those of them that have an orientation."""
        reader = self._reader
        self._kept, self._queue = rows, None
        self._usable = frozenset(
            row for row in rows if reader is not None and (not self._cube.is_oriented or reader.are_oriented[row])
        )
        self._read_next()

    def stop(self) -> None:
        """Stop reading until it is switched on again."""
        if self.is_reading:
            self.switch.setChecked(False)

    def _on_switched(self, is_on: bool) -> None:
        if not is_on:
            self._tasks.stop(TASK)
        self._queue = None
        self._read_next()

    def _read_next(self) -> None:
        """Read some of the cubes that are to be added or taken away."""
        reader, cube = self._reader, self._cube
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

        def read(job: Job) -> list[Crop]:
            return list(reader.read(wanted, cube, stop=job.stop))

        self._tasks.run(TASK, read, then=self._on_read, failed=self._on_failed)
        self.state_changed.emit()

    def _on_read(self, crops: list[Crop]) -> None:
        for crop in crops:
            if (crop.row in self._usable) != (crop.row in self.mean.rows):
                self.mean.change(crop)
        self._read_next()

    def _on_failed(self, error: CryoETError) -> None:
        self._queue = None  # read again what failed
        self._show()
        self.failed.emit(error)

    def _show(self) -> None:
        is_on = self.switch.isChecked()
        sections = self.mean.sections() if is_on else None
        known = np.concatenate(
            [section[np.isfinite(section)] for section in sections or ()] or [np.empty(0, np.float32)]
        )
        limits = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        for widget, values in zip(self.sections, sections or (None,) * 3, strict=True):
            widget.setVisible(is_on)
            widget.show_picture(None if values is None else QPixmap.fromImage(grey_image(values, limits)))
        self.note.setVisible(is_on)
        self.note.setText(self._words())
        self.state_changed.emit()

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


class _Section(QWidget):
    """A section through the average, with the name of its plane."""

    def __init__(self, name: str, theme: Theme) -> None:
        super().__init__()
        self._name, self._theme = name, theme
        self._picture: QPixmap | None = None
        self.setFixedSize(_SIDE_PX, _SIDE_PX)
        self.setAccessibleName(f"{name} section through the average of the kept picks")
        self.setToolTip(self.accessibleName())

    @property
    def has_picture(self) -> bool:
        """Whether there is one."""
        return self._picture is not None

    def show_picture(self, picture: QPixmap | None) -> None:
        """Show a picture, or none."""
        self._picture = picture
        self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draw the picture, or its placeholder."""
        painter, colors = QPainter(self), self._theme.colors
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.fillRect(self.rect(), colors.raised)
        font = painter.font()
        font.setPixelSize(10)
        painter.setFont(font)
        painter.setPen(colors.dim)
        label = self.rect()
        if self._picture is not None:
            painter.drawPixmap(self.rect(), self._picture)
            label = QRect(0, self.height() - 13, 20, 13)
            painter.fillRect(label, colors.background)
            painter.setPen(colors.text)
        painter.drawText(label, int(Qt.AlignmentFlag.AlignCenter), self._name)
