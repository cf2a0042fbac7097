"""Reads what the contact sheet shows: crops of the picks on screen, and the values that picks are sorted by."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal
from qtpy.QtGui import QImage, QPixmap

from napari_cryoet._qt.tasks import Job, Tasks
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.layers.specs import robust_limits
from napari_cryoet.picks import Picks
from napari_cryoet.review.columns import Order
from napari_cryoet.review.crops import Crop, CropReader, Frame
from napari_cryoet.review.measure import DENSITY, MEASURED, NEAREST, densities_at, distances_nm, nearest_distances
from napari_cryoet.review.review import Review

log = logging.getLogger(__name__)

_CACHE_BYTES: Final = 64 * 2**20
_CONTRAST_CROPS: Final = 64  # the first ones set the contrast of all
_READ: Final = "review crops"


class CropFeed(QObject):
    """Keeps the crops of one set of picks in one frame, in bounded memory."""

    arrived = Signal(int)  # the row whose crop is here
    failed = Signal()  # see `error`
    contrast_changed = Signal()

    def __init__(self, tasks: Tasks, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._tasks = tasks
        self._reader: CropReader | None = None
        self.frame = Frame(400, 50)
        self._crops: OrderedDict[int, Crop] = OrderedDict()  # the one used last at the end
        self._pixmaps: dict[int, QPixmap] = {}
        self._wanted: list[int] = []
        self._sample: list[NDArray[np.float32]] = []
        self.limits = (0.0, 1.0)
        self.error: CryoETError | None = None

    @property
    def n_waiting(self) -> int:
        """How many of the wanted crops aren't here yet."""
        return len(self._lacking())

    def use(self, reader: CropReader | None, frame: Frame) -> None:
        """Start again with other picks, another volume or another frame."""
        self._reader, self.frame = reader, frame
        for stored in (self._sample, self._crops, self._pixmaps, self._wanted):
            stored.clear()
        self.error = None
        self._read()

    def want(self, rows: Iterable[int]) -> None:
        """Read these crops, in this order, and no others any more."""
        wanted = [int(row) for row in rows]
        if wanted != self._wanted:
            self._wanted = wanted
            self.retry()

    def crop(self, row: int) -> Crop | None:
        """The crop of a pick, if it is here."""
        crop = self._crops.get(row)
        if crop is not None:
            self._crops.move_to_end(row)
        return crop

    def picture(self, row: int) -> QPixmap | None:
        """The crop as a picture, transparent outside of the volume."""
        crop = self.crop(row)
        if crop is not None and row not in self._pixmaps:
            self._pixmaps[row] = QPixmap.fromImage(grey_image(crop.values, self.limits))
        return self._pixmaps.get(row)

    def retry(self) -> None:
        """Read again what failed."""
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

            def read(job: Job) -> None:
                for crop in reader.read(rows, frame, stop=job.stop):
                    job.hand_over(crop)

            self._tasks.run(_READ, read, then=lambda _none: None, failed=self._on_failed, part=self._on_crop)

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
        limits = robust_limits(np.concatenate(self._sample)) if count & (count - 1) == 0 else None  # at 1, 2, 4, 8, …
        if limits is not None:
            self.limits = limits
            self._pixmaps.clear()
            self.contrast_changed.emit()


def grey_image(values: NDArray[np.float32], limits: tuple[float, float]) -> QImage:
    """Values as grey between two limits, transparent where there are none."""
    low, high = limits
    is_outside = ~np.isfinite(values)
    share = (np.where(is_outside, low, values) - low) / (high - low or 1.0)
    grey = (np.clip(share, 0, 1) * 255).astype(np.uint32)
    pixels = np.ascontiguousarray((grey << 16) | (grey << 8) | grey | np.uint32(0xFF000000))
    pixels[is_outside] = 0
    height, width = pixels.shape
    image = QImage(pixels.tobytes(), width, height, 4 * width, QImage.Format.Format_ARGB32)
    return image.copy()  # which owns its pixels


def to_measure(review: Review, reader: CropReader | None, order: Order, filter_text: str) -> str | None:
    """The first column to measure for an order and a filter; without a volume, only `NEAREST` can be."""
    can_measure = {NEAREST} if review.picks.spacing_angstrom is not None else set()
    if reader is not None:
        can_measure = set(MEASURED)
    wanted = [name for name in MEASURED if name == order.column or name in filter_text.lower()]
    return next((name for name in wanted if name in can_measure and name not in review.columns), None)


def measured(
    job: Job, name: str, picks: Picks, reader: CropReader | None, diameter_angstrom: float
) -> dict[str, NDArray[Any]]:
    """A column of picks, and others that come with it; density is measured in balls of that diameter."""
    if reader is None:
        return {NEAREST: nearest_distances(picks.positions_angstrom_zyx) / 10}
    if name != DENSITY:
        return distances_nm(reader.points_zyx, reader.volume.shape, reader.volume.spacing_zyx)

    def report(done: int, total: int) -> None:
        job.say(done / max(total, 1), f"{done:,} of {total:,} picks")

    return {DENSITY: densities_at(reader.volume, reader.points_zyx, diameter_angstrom, stop=job.stop, progress=report)}
