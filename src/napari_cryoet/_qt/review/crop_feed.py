"""Crops for whichever picks are on screen: read in the background in the order in which they are wanted."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal
from qtpy.QtGui import QImage, QPixmap

from napari_cryoet._qt.tasks import Job, Tasks
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.layers.specs import robust_limits
from napari_cryoet.review.crops import Crop, CropReader, Frame

log = logging.getLogger(__name__)

KEPT_BYTES = 64 * 2**20
TOGETHER = 8
IN_FLIGHT = 3
_JUDGED_BY = 64  # crops; the contrast, common to all, then stays as it is
_NOTICED = 0.08  # a smaller change of contrast would only flicker
_DRAWN = 1000
_TOLD_EVERY_S = 0.2  # drawing anything costs: what comes sooner after one another is shown together


class CropFeed(QObject):
    """Keeps the crops of one set of picks in one frame, bounded in bytes.

    Parameters
    ----------
    tasks
        Runs the reading, under the keys ``("crops", number)``.
    """

    arrived = Signal(object)  # the rows whose crops are here
    contrast_changed = Signal()
    state_changed = Signal()  # ask `n_waiting` and `error`

    def __init__(self, tasks: Tasks, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._tasks = tasks
        self._reader: CropReader | None = None
        self._frame = Frame(400, 50)
        self._kept: OrderedDict[int, Crop] = OrderedDict()
        self._drawn: OrderedDict[int, QPixmap] = OrderedDict()
        self._wanted: list[int] = []
        self._seen: frozenset[int] = frozenset()
        self._in_flight: dict[int, list[int]] = {}
        self._failed: set[int] = set()
        self._number = 0
        self._sample: list[NDArray[np.float32]] = []
        self.limits = (0.0, 1.0)
        self.error: CryoETError | None = None
        self.is_stopped = False

    @property
    def n_waiting(self) -> int:
        """How many of the wanted crops are on their way, or will be."""
        if self._reader is None:
            return 0
        return len(self._lacking()) + sum(map(len, self._in_flight.values()))

    def use(self, reader: CropReader | None, frame: Frame) -> None:
        """Begin anew: other picks, another volume or another frame."""
        self._end_flights()
        self._reader, self._frame = reader, frame
        self._sample.clear()
        self._kept.clear()
        self._drawn.clear()
        self._failed.clear()
        self._wanted.clear()
        self.error, self.is_stopped = None, False
        self.state_changed.emit()

    @property
    def frame(self) -> Frame:
        """How crops are cut."""
        return self._frame

    def want(self, rows: Iterable[int], soon: Iterable[int] = ()) -> None:
        """Say which picks are on screen, most important first; nothing else is read any more.

        Parameters
        ----------
        rows
            What one sees.
        soon
            What one may see soon: it is read once all that one sees is here.
        """
        seen = [int(row) for row in rows]
        self._seen = frozenset(seen)
        self._wanted = seen + [int(row) for row in soon]
        wanted = set(self._wanted)
        for number, flying in tuple(self._in_flight.items()):
            if wanted.isdisjoint(flying):
                self._tasks.stop(("crops", number))
                del self._in_flight[number]
        self._start_next()

    def crop(self, row: int) -> Crop | None:
        """The crop of a pick, if it is here."""
        crop = self._kept.get(row)
        if crop is not None:
            self._kept.move_to_end(row)
        return crop

    def picture(self, row: int) -> QPixmap | None:
        """The same as a picture; transparent outside of the volume."""
        crop = self.crop(row)
        if crop is None:
            return None
        if row not in self._drawn:
            self._drawn[row] = QPixmap.fromImage(grey_image(crop.values, self.limits))
            while len(self._drawn) > _DRAWN:
                self._drawn.popitem(last=False)
        return self._drawn[row]

    def has_failed(self, row: int) -> bool:
        """Whether a crop could not be read."""
        return row in self._failed

    def stop(self) -> None:
        """Read nothing any more, until `retry`."""
        self._end_flights()
        self.is_stopped = True
        self.state_changed.emit()

    def retry(self) -> None:
        """Go on, also with what failed."""
        self.is_stopped, self.error = False, None
        self._failed.clear()
        self._start_next()

    def _end_flights(self) -> None:
        for number in self._in_flight:
            self._tasks.stop(("crops", number))
        self._in_flight.clear()

    def _lacking(self) -> list[int]:
        flying = {row for rows in self._in_flight.values() for row in rows}
        return [r for r in self._wanted if r not in self._kept and r not in flying and r not in self._failed]

    def _start_next(self) -> None:
        reader, frame = self._reader, self._frame
        lacking = self._lacking() if reader is not None and not self.is_stopped else []
        if any(row in self._seen and row not in self._failed and row not in self._kept for row in self._wanted):
            lacking = [row for row in lacking if row in self._seen]
        while reader is not None and lacking and len(self._in_flight) < IN_FLIGHT:
            rows, lacking = lacking[:TOGETHER], lacking[TOGETHER:]
            self._start(reader, frame, rows)
        self.state_changed.emit()

    def _start(self, reader: CropReader, frame: Frame, rows: list[int]) -> None:
        self._number += 1
        number = self._number
        self._in_flight[number] = rows

        def read(job: Job) -> list[Crop]:
            untold: list[Crop] = []
            told_at = time.monotonic()
            for crop in reader.read(rows, frame, stop=job.stop):
                untold.append(crop)
                if time.monotonic() - told_at >= _TOLD_EVERY_S:
                    job.hand_over(untold)
                    untold, told_at = [], time.monotonic()
            return untold

        self._tasks.run(
            ("crops", number),
            read,
            then=lambda crops: self._on_read(number, crops),
            failed=lambda error: self._on_failed(number, error),
            part=lambda crops: self._on_some(number, crops),
        )

    def _on_some(self, number: int, crops: list[Crop]) -> None:
        """A few of those that are read together are here."""
        if number in self._in_flight:  # else nobody wants them any more
            came = {crop.row for crop in crops}
            self._in_flight[number] = [row for row in self._in_flight[number] if row not in came]
            self._keep(crops)
            self._start_next()

    def _on_read(self, number: int, crops: list[Crop]) -> None:
        self._in_flight.pop(number, None)
        self._keep(crops)
        self._start_next()

    def _keep(self, crops: list[Crop]) -> None:
        for crop in crops:
            self._kept[crop.row] = crop
        while crops and crops[0].values.nbytes * len(self._kept) > KEPT_BYTES:
            row, _ = self._kept.popitem(last=False)
            self._drawn.pop(row, None)
        self._judge_contrast(crops)
        self.arrived.emit([crop.row for crop in crops])

    def _on_failed(self, number: int, error: CryoETError) -> None:
        rows = self._in_flight.pop(number, [])
        log.info("Crops could not be read: %s", error)
        self.error = error
        self._failed.update(rows)
        self.arrived.emit(rows)
        self._start_next()

    def _judge_contrast(self, crops: list[Crop]) -> None:
        """Let the first crops say what is black and white in all of them."""
        if len(self._sample) >= _JUDGED_BY:
            return
        self._sample += [values for crop in crops if (values := crop.values[np.isfinite(crop.values)]).size]
        limits = robust_limits(np.concatenate(self._sample)) if self._sample else None
        if limits is None:
            return
        width = max(limits[1] - limits[0], self.limits[1] - self.limits[0])
        if max(abs(new - old) for new, old in zip(limits, self.limits, strict=True)) > _NOTICED * width:
            self.limits = limits
            self._drawn.clear()
            self.contrast_changed.emit()


def grey_image(values: NDArray[np.float32], limits: tuple[float, float]) -> QImage:
    """Values as grey between two limits; transparent where there are none."""
    low, high = limits
    is_outside = ~np.isfinite(values)
    share = (np.where(is_outside, low, values) - low) / (high - low or 1.0)
    grey = (np.clip(share, 0, 1) * 255).astype(np.uint32)
    pixels = np.ascontiguousarray((grey << 16) | (grey << 8) | grey | np.uint32(0xFF000000))
    pixels[is_outside] = 0
    height, width = pixels.shape
    image = QImage(pixels.tobytes(), width, height, 4 * width, QImage.Format.Format_ARGB32)
    return image.copy()  # which owns its pixels
