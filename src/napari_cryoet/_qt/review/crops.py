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

IN_FLIGHT: Final = 3  # requests at a time
_TOGETHER: Final = 8  # crops in a request
_CACHE_BYTES: Final = 64 * 2**20
_PIXMAPS: Final = 1000
_CONTRAST_CROPS: Final = 64  # the first ones set the contrast of all
_CONTRAST_STEP: Final = 0.08  # smaller changes of the contrast would only flicker
_MEASURE = "review measure"
_MEASURED_AT_ONCE: Final = 20_000  # picks; their distances take a hundredth of a second


class CropFeed(QObject):
    """Keeps the crops of one set of picks in one frame, in bounded memory.

    Parameters
    ----------
    tasks
        Runs the reading, under the keys ``("crops", number)``.
    """

    arrived = Signal(object)  # rows whose crops are here, or have failed
    contrast_changed = Signal()
    state_changed = Signal()  # see `n_waiting` and `error`

    def __init__(self, tasks: Tasks, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._tasks = tasks
        self._reader: CropReader | None = None
        self.frame = Frame(400, 50)
        self._cache: OrderedDict[int, Crop] = OrderedDict()
        self._pixmaps: OrderedDict[int, QPixmap] = OrderedDict()
        self._wanted: list[int] = []
        self._on_screen: frozenset[int] = frozenset()
        self._in_flight: dict[int, list[int]] = {}
        self._failed: set[int] = set()
        self._number = 0
        self._sample: list[NDArray[np.float32]] = []
        self.limits = (0.0, 1.0)
        self.error: CryoETError | None = None
        self.is_stopped = False

    @property
    def n_waiting(self) -> int:
        """How many of the wanted crops aren't here yet."""
        if self._reader is None:
            return 0
        return len(self._lacking()) + sum(map(len, self._in_flight.values()))

    def use(self, reader: CropReader | None, frame: Frame) -> None:
        """Start again with other picks, another volume or another frame."""
        self._cancel()
        self._reader, self.frame = reader, frame
        for stored in (self._sample, self._cache, self._pixmaps, self._failed, self._wanted):
            stored.clear()
        self.error, self.is_stopped = None, False
        self.state_changed.emit()

    def want(self, rows: Iterable[int], soon: Iterable[int] = ()) -> None:
        """Read the crops on screen, then those that may be seen ``soon``; cancel all others."""
        seen = [int(row) for row in rows]
        self._on_screen = frozenset(seen)
        self._wanted = seen + [int(row) for row in soon]
        wanted = set(self._wanted)
        for number, requested in tuple(self._in_flight.items()):
            if wanted.isdisjoint(requested):
                self._tasks.stop(("crops", number))
                del self._in_flight[number]
        self._start_next()

    def crop(self, row: int) -> Crop | None:
        """The crop of a pick, if it is here."""
        crop = self._cache.get(row)
        if crop is not None:
            self._cache.move_to_end(row)
        return crop

    def picture(self, row: int) -> QPixmap | None:
        """The crop as a picture, transparent outside of the volume."""
        crop = self.crop(row)
        if crop is None:
            return None
        if row not in self._pixmaps:
            self._pixmaps[row] = QPixmap.fromImage(grey_image(crop.values, self.limits))
            while len(self._pixmaps) > _PIXMAPS:
                self._pixmaps.popitem(last=False)
        return self._pixmaps[row]

    def has_failed(self, row: int) -> bool:
        """Whether a crop couldn't be read."""
        return row in self._failed

    def stop(self) -> None:
        """Read nothing until `retry`."""
        self._cancel()
        self.is_stopped = True
        self.state_changed.emit()

    def retry(self) -> None:
        """Continue, and read again what failed."""
        self.is_stopped, self.error = False, None
        self._failed.clear()
        self._start_next()

    def _cancel(self) -> None:
        for number in self._in_flight:
            self._tasks.stop(("crops", number))
        self._in_flight.clear()

    def _lacking(self) -> list[int]:
        requested = {row for rows in self._in_flight.values() for row in rows}
        known = self._cache.keys() | requested | self._failed
        return [row for row in self._wanted if row not in known]

    def _start_next(self) -> None:
        reader = self._reader
        lacking = self._lacking() if reader is not None and not self.is_stopped else []
        if self._on_screen - self._cache.keys() - self._failed:  # these first
            lacking = [row for row in lacking if row in self._on_screen]
        while reader is not None and lacking and len(self._in_flight) < IN_FLIGHT:
            self._start(reader, lacking[:_TOGETHER])
            lacking = lacking[_TOGETHER:]
        self.state_changed.emit()

    def _start(self, reader: CropReader, rows: list[int]) -> None:
        self._number += 1
        number, frame = self._number, self.frame
        self._in_flight[number] = rows

        def read(job: Job) -> None:
            for crop in reader.read(rows, frame, stop=job.stop):
                job.hand_over(crop)

        self._tasks.run(
            ("crops", number),
            read,
            then=lambda _none: self._on_read(number),
            failed=lambda error: self._on_failed(number, error),
            part=lambda crop: self._on_crop(number, crop),
        )

    def _on_read(self, number: int) -> None:
        self._in_flight.pop(number, None)
        self._start_next()

    def _on_failed(self, number: int, error: CryoETError) -> None:
        rows = self._in_flight.pop(number, [])
        log.info("Crops could not be read: %s", error)
        self.error = error
        self._failed.update(rows)
        self.arrived.emit(rows)
        self._start_next()

    def _on_crop(self, number: int, crop: Crop) -> None:
        if number not in self._in_flight:  # cancelled
            return
        self._in_flight[number].remove(crop.row)
        self._cache[crop.row] = crop
        while crop.values.nbytes * len(self._cache) > _CACHE_BYTES:
            row, _ = self._cache.popitem(last=False)
            self._pixmaps.pop(row, None)
        self._set_contrast(crop.values)
        self.arrived.emit([crop.row])
        self.state_changed.emit()

    def _set_contrast(self, values: NDArray[np.float32]) -> None:
        known = values[np.isfinite(values)]
        if len(self._sample) >= _CONTRAST_CROPS or not known.size:
            return
        self._sample.append(known)
        count = len(self._sample)
        limits = robust_limits(np.concatenate(self._sample)) if count & (count - 1) == 0 else None  # at 1, 2, 4, 8, …
        if limits is None:
            return
        width = max(limits[1] - limits[0], self.limits[1] - self.limits[0])
        if max(abs(new - old) for new, old in zip(limits, self.limits, strict=True)) > _CONTRAST_STEP * width:
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


class Measuring(QObject):
    """Adds measured columns to a `Review`: distances at once, density in the background."""

    done = Signal()  # a missing column is there
    ended = Signal()  # nothing is being measured any more
    failed = Signal(object)  # CryoETError

    def __init__(self, tasks: Tasks, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._tasks = tasks
        self._review: Review | None = None
        self._reader: CropReader | None = None
        self._diameter_angstrom = 100.0
        tasks.finished.connect(self._on_finished)

    @property
    def is_running(self) -> bool:
        """Whether something is being measured."""
        return self._tasks.is_running(_MEASURE)

    def use(self, review: Review | None, reader: CropReader | None, diameter_angstrom: float = 100.0) -> None:
        """Start again with other picks or another volume; density is measured in balls of that diameter."""
        self.stop()
        self._review, self._reader, self._diameter_angstrom = review, reader, diameter_angstrom
        if review is None:
            return
        review.forget_measured()
        if self._can_measure(NEAREST) and len(review.picks) <= _MEASURED_AT_ONCE:
            review.set_measured(_distances(review.picks, reader))

    def lacks(self, order: Order, filter_text: str) -> bool:
        """Whether something has to be measured first. If so, measuring starts; `done` follows."""
        name = next(filter(self._can_measure, self._missing(order.column, filter_text)), None)
        if self._review is None or name is None:
            return False
        self._measure(self._review, self._reader, name)
        return True

    def why_not(self, filter_text: str) -> str:
        """Why a filter can't be measured, or nothing."""
        lacking = [name for name in self._missing("", filter_text) if not self._can_measure(name)]
        return f"{lacking[0]} is measured in a tomogram: choose one above." if lacking else ""

    def stop(self) -> None:
        """Stop measuring."""
        self._tasks.stop(_MEASURE)

    def _on_finished(self, key: object) -> None:
        if key == _MEASURE:
            self.ended.emit()

    def _missing(self, column: str, filter_text: str) -> list[str]:
        known = {} if self._review is None else self._review.columns
        return [name for name in MEASURED if (name == column or name in filter_text.lower()) and name not in known]

    def _can_measure(self, name: str) -> bool:
        """All in a volume; without one, only how far the nearest other pick is."""
        has_positions = self._review is not None and self._review.picks.spacing_angstrom is not None
        return self._reader is not None or (name == NEAREST and has_positions)

    def _measure(self, review: Review, reader: CropReader | None, name: str) -> None:
        picks, diameter = review.picks, self._diameter_angstrom

        def work(job: Job) -> dict[str, NDArray[Any]]:
            if reader is None or name != DENSITY:
                return _distances(picks, reader)

            def report(done: int, total: int) -> None:
                job.say(done / max(total, 1), f"{done:,} of {total:,} picks")

            found = densities_at(reader.volume, reader.points_zyx, diameter, stop=job.stop, progress=report)
            return {DENSITY: found}

        def then(columns: dict[str, NDArray[Any]]) -> None:
            review.set_measured(columns)
            self.done.emit()

        self._tasks.run(_MEASURE, work, then=then, failed=self.failed.emit, title="Measuring picks")


def _distances(picks: Picks, reader: CropReader | None) -> dict[str, NDArray[Any]]:
    if reader is None:
        return {NEAREST: nearest_distances(picks.positions_angstrom_zyx) / 10}
    return distances_nm(reader.points_zyx, reader.volume.shape, reader.volume.spacing_zyx)
