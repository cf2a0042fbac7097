"""Reads a review's data in the background: crops, measured columns, and the average of the kept picks."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from napari.layers import Image, Points
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QWidget

from napari_cryoet._qt.layers.placement import Placement, PlacementError, placement_of
from napari_cryoet._qt.tasks import Job, Tasks, single_shot
from napari_cryoet._qt.widgets.controls import ElidedLabel
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.layers.specs import robust_limits
from napari_cryoet.measure.measuring import NEAREST, measured_columns, nearest_neighbours
from napari_cryoet.picks import Picks
from napari_cryoet.volumes import Volume
from napari_cryoet.volumes.crops import Crop, CropReader, Cube, Frame, RunningMean

log = logging.getLogger(__name__)

_CACHE_BYTES: Final = 64 * 2**20
_CONTRAST_CROPS: Final = 64  # the contrast limits come from the first crops
_READ, _AVERAGE = "review crops", "review average"  # task keys
_CROP_DIAMETERS: Final = 1.6  # initial width of a crop
_USUAL_ANGSTROM: Final = 250.0
_SECTION_PX: Final = 56
_SMOOTH: Final = Qt.TransformationMode.SmoothTransformation
_SHOW_EVERY_MS: Final = 50


def reader_for(points: Points, image: Image, picks: Picks) -> CropReader:
    """A reader of crops around picks, whose voxel spacing may differ from the image's."""
    placement = placement_of(points, may_flip=True)
    image_placement = placement_of(image, may_flip=True)
    points_zyx = image_placement.to_grid(placement.to_world(picks.points_zyx))
    rotations = picks.rotations_zyx
    if rotations is not None and placement.is_flipped:  # flip the particles' axes with the layer
        rotations = np.sign(placement.steps)[:, None] * rotations
    volume = _volume_of(image, image_placement)
    return CropReader(volume, points_zyx, rotations, are_oriented=picks.are_oriented)


def reader_at(image: Image, positions_zyx: NDArray[np.float64]) -> CropReader:
    """A reader of crops around positions in the world."""
    placement = placement_of(image, may_flip=True)
    return CropReader(_volume_of(image, placement), placement.to_grid(positions_zyx))


def _volume_of(image: Image, placement: Placement) -> Volume:
    z, y, x = placement.steps.tolist()
    return Volume(list(image.data) if image.multiscale else [image.data], (z, y, x))


def particle_angstrom(layer: Points) -> float:
    """The particle diameter, from the size of the layer's points, or a typical one if that is unknown."""
    size = float(np.median(layer.size)) if len(layer.size) else 0.0
    try:
        steps = placement_of(layer, may_flip=True).steps
    except PlacementError:
        return _USUAL_ANGSTROM  # the error is shown when crops are cut
    return size * float(np.mean(np.abs(steps))) or _USUAL_ANGSTROM


def crop_side_nm(layer: Points) -> float:
    """The initial width of crops around a layer's points."""
    return round(particle_angstrom(layer) / 10 * _CROP_DIAMETERS) or 40.0


class CropFeed(QObject):
    """Reads and caches the crops of one set of picks, with bounded memory."""

    arrived = Signal(int)  # the row of the loaded crop
    failed = Signal()  # see `error`
    contrast_changed = Signal()

    def __init__(self, tasks: Tasks, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._tasks = tasks
        self._reader: CropReader | None = None
        self.frame = Frame(400, 50)
        self._crops: OrderedDict[int, Crop] = OrderedDict()  # most recently used last
        self._pixmaps: dict[int, QPixmap] = {}
        self._wanted: list[int] = []
        self._sample: list[NDArray[np.float32]] = []
        self.limits = (0.0, 1.0)
        self.error: CryoETError | None = None

    @property
    def n_waiting(self) -> int:
        """The number of requested crops that aren't loaded yet."""
        return len(self._lacking())

    def use(self, reader: CropReader | None, frame: Frame) -> None:
        """Start over with new picks, another volume or another frame."""
        self._reader, self.frame = reader, frame
        for stored in (self._sample, self._crops, self._pixmaps, self._wanted):
            stored.clear()
        self.error = None
        self._read()

    def want(self, rows: Iterable[int]) -> None:
        """Read these crops in this order, replacing earlier requests."""
        wanted = [int(row) for row in rows]
        if wanted != self._wanted:
            self._wanted = wanted
            self.retry()

    def crop(self, row: int) -> Crop | None:
        crop = self._crops.get(row)
        if crop is not None:
            self._crops.move_to_end(row)
        return crop

    def picture(self, row: int) -> QPixmap | None:
        """The crop as a picture, transparent outside the volume."""
        crop = self.crop(row)
        if crop is not None and row not in self._pixmaps:
            self._pixmaps[row] = QPixmap.fromImage(grey_image(crop.values, self.limits))
        return self._pixmaps.get(row)

    def retry(self) -> None:
        self.error = None
        self._read()

    def _lacking(self) -> list[int]:
        if self._reader is None or self.error is not None:
            return []
        return [row for row in self._wanted if row not in self._crops]

    def _read(self) -> None:
        reader, frame, rows = self._reader, self.frame, self._lacking()
        self._tasks.stop(_READ)
        if reader is not None and rows:
            read = partial(_read_crops, reader, rows, frame)
            self._tasks.run(
                _READ, read, then=lambda _none: None, failed=self._on_failed, part=self._on_crop
            )

    def _on_crop(self, crop: Crop) -> None:
        self._crops[crop.row] = crop
        while crop.values.nbytes * len(self._crops) > _CACHE_BYTES:
            row, _ = self._crops.popitem(last=False)
            self._pixmaps.pop(row, None)
        self._set_contrast(crop.values)
        self.arrived.emit(crop.row)

    def _on_failed(self, error: CryoETError) -> None:
        log.info("Crops could not be read: %s", error)
        self.error = error
        self.failed.emit()

    def _set_contrast(self, values: NDArray[np.float32]) -> None:
        known = values[np.isfinite(values)]
        if len(self._sample) >= _CONTRAST_CROPS or not known.size:
            return
        self._sample.append(known)
        count = len(self._sample)
        is_doubled = count & (count - 1) == 0  # at 1, 2, 4, 8, …
        limits = robust_limits(np.concatenate(self._sample)) if is_doubled else None
        if limits is not None:
            self.limits = limits
            self._pixmaps.clear()
            self.contrast_changed.emit()


def _read_crops(reader: CropReader, rows: Sequence[int], frame: Frame | Cube, job: Job) -> None:
    for crop in reader.read(rows, frame, task=job):
        job.hand_over(crop)


def grey_image(values: NDArray[np.float32], limits: tuple[float, float]) -> QImage:
    """An image in grey between two limits, transparent where values aren't finite."""
    low, high = limits
    is_outside = ~np.isfinite(values)
    fraction = (np.where(is_outside, low, values) - low) / (high - low or 1.0)
    grey = (np.clip(fraction, 0, 1) * 255).astype(np.uint32)
    pixels = np.ascontiguousarray((grey << 16) | (grey << 8) | grey | np.uint32(0xFF000000))
    pixels[is_outside] = 0
    height, width = pixels.shape
    image = QImage(pixels.tobytes(), width, height, 4 * width, QImage.Format.Format_ARGB32)
    return image.copy()  # the copy owns its pixels


class AveragePanel(QWidget):
    """Averages the kept picks with a `RunningMean`, updated while it is switched on."""

    def __init__(self, tasks: Tasks, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tasks = tasks
        self._reader: CropReader | None = None
        self._cube = Cube(400)
        self._kept: Sequence[int] = ()
        self._usable: frozenset[int] = frozenset()  # the kept picks that can be averaged
        self.mean = RunningMean()
        self.switch = QCheckBox("Average of kept")
        self.switch.setToolTip("Average the kept picks; the average follows each verdict")
        self.note = ElidedLabel(name="dimText")
        self.sections = QLabel()
        self.sections.setFixedHeight(_SECTION_PX)
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
        return len(self.mean)

    def use(self, reader: CropReader | None, cube: Cube) -> None:
        """Start over with new picks, another volume or another cube."""
        if reader is not self._reader or cube != self._cube:
            self._reader, self._cube, self.mean = reader, cube, RunningMean()
            self.want([])

    def want(self, rows: Sequence[int]) -> None:
        """Average these picks; oriented cubes need picks with an orientation."""
        reader = self._reader
        self._kept = rows
        self._usable = frozenset(
            row
            for row in rows
            if reader is not None and (not self._cube.is_oriented or reader.are_oriented[row])
        )
        self._read()

    def _read(self) -> None:
        """Read the cubes to add to or subtract from the average."""
        reader, cube, rows = self._reader, self._cube, sorted(self._usable ^ self.mean.rows)
        self._tasks.stop(_AVERAGE)
        if reader is not None and rows and self.switch.isChecked():
            read = partial(_read_crops, reader, reader.near_each_other(rows), cube)
            self._tasks.run(_AVERAGE, read, then=lambda _none: self._show(), part=self._on_cube)
        self._show()

    def _on_cube(self, crop: Crop) -> None:
        self.mean.change(crop)
        if not self._show_soon.isActive():
            self._show_soon.start()

    def _show(self) -> None:
        is_on, picture = self.switch.isChecked(), QPixmap()
        sections = self.mean.sections() if is_on else None
        if sections is not None:
            values = np.hstack(
                [np.pad(section, ((0, 0), (0, 1)), constant_values=np.nan) for section in sections]
            )
            known = values[np.isfinite(values)]
            limits = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
            picture = QPixmap.fromImage(grey_image(values, limits)).scaledToHeight(
                _SECTION_PX, _SMOOTH
            )
        self.sections.setPixmap(picture)
        self.sections.setVisible(is_on)
        self.note.setVisible(is_on)
        self.note.setText(self._status_text())

    def _status_text(self) -> str:
        if self._reader is None:
            return "needs a tomogram"
        if not self._kept:
            return "no kept picks"
        usable, count = len(self._usable), len(self.mean)
        text = f"{count:,}" if count == usable else f"{count:,} of {usable:,}…"
        left_out = len(self._kept) - usable
        without = f"; {left_out:,} have no orientation" if left_out else ""
        return text + (", aligned" if self._cube.is_oriented else ", not aligned") + without


# measured columns


def measured(
    job: Job, name: str, picks: Picks, reader: CropReader | None, diameter_angstrom: float
) -> dict[str, NDArray[Any]]:
    """Measure a column of picks, and others along with it.

    Density and contrast are those of spheres of the given diameter.
    """
    if reader is None:
        return {NEAREST: nearest_neighbours(picks.positions_angstrom_zyx) / 10}
    return measured_columns(
        reader.points_zyx,
        reader.volume,
        {name},
        diameter_angstrom=diameter_angstrom,
        task=job,
    )
