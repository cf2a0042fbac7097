"""Measures of picks what they are to be sorted or filtered by: where they are at once, density in the background."""

from __future__ import annotations

from typing import Any, Final

from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.tasks import Job, Tasks
from napari_cryoet.picks import Picks
from napari_cryoet.review.columns import Order
from napari_cryoet.review.crops import CropReader
from napari_cryoet.review.measure import DENSITY, MEASURED, NEAREST, densities_at, distances_nm, nearest_distances
from napari_cryoet.review.review import Review

TASK: Final = "review measure"
_AT_ONCE: Final = 20_000  # picks whose places are measured in a hundredth of a second


class Measuring(QObject):
    """Adds columns to a `Review`."""

    done = Signal()  # a column that was lacking is there
    ended = Signal()  # nothing is measured any more, whether it is there or somebody stopped it
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
        return self._tasks.is_running(TASK)

    def use(self, review: Review | None, reader: CropReader | None, diameter_angstrom: float = 100.0) -> None:
        """Begin anew: other picks, or another volume; what was measured before is forgotten.

        Parameters
        ----------
        reader
            Of the volume; without one, only how far the nearest other pick is can be measured.
        diameter_angstrom
            Of the ball that density is measured in.
        """
        self._tasks.stop(TASK)
        self._review, self._reader, self._diameter_angstrom = review, reader, diameter_angstrom
        if review is None:
            return
        review.forget_measured()
        if self._can_measure(NEAREST) and len(review.picks) <= _AT_ONCE:
            review.set_measured(_places(review.picks, reader))

    def lacks(self, order: Order, filter_text: str) -> bool:
        """Whether something has to be measured first, which then begins; `done` tells when it is there."""
        review = self._review
        for name in () if review is None else self._unknown(order.column, filter_text):
            if review is not None and self._can_measure(name):
                self._measure(review, self._reader, name)
                return True
        return False

    def why_not(self, filter_text: str) -> str:
        """What a filter lacks that names something that can't be measured: a tomogram to measure it in; else empty."""
        lacking = [name for name in self._unknown("", filter_text) if not self._can_measure(name)]
        return f"{lacking[0]} is measured in a tomogram: choose one above." if lacking else ""

    def stop(self) -> None:
        """Measure nothing any more."""
        self._tasks.stop(TASK)

    def _on_finished(self, key: object) -> None:
        if key == TASK:
            self.ended.emit()

    def _unknown(self, column: str, filter_text: str) -> list[str]:
        """What is asked for and can be measured, and isn't yet."""
        known = {} if self._review is None else self._review.columns
        return [name for name in MEASURED if (name == column or name in filter_text.lower()) and name not in known]

    def _can_measure(self, name: str) -> bool:
        has_places = self._review is not None and self._review.picks.spacing_angstrom is not None
        return self._reader is not None or (name == NEAREST and has_places)

    def _measure(self, review: Review, reader: CropReader | None, name: str) -> None:
        picks, diameter = review.picks, self._diameter_angstrom

        def work(job: Job) -> dict[str, NDArray[Any]]:
            if reader is None or name != DENSITY:
                return _places(picks, reader)

            def tell(done: int, total: int) -> None:
                job.say(done / max(total, 1), f"{done:,} of {total:,} picks")

            return {DENSITY: densities_at(reader.volume, reader.points_zyx, diameter, stop=job.stop, progress=tell)}

        def then(columns: dict[str, NDArray[Any]]) -> None:
            review.set_measured(columns)
            self.done.emit()

        self._tasks.run(TASK, work, then=then, failed=self.failed.emit, title="Measuring picks")


def _places(picks: Picks, reader: CropReader | None) -> dict[str, NDArray[Any]]:
    if reader is None:
        return {NEAREST: nearest_distances(picks.positions_angstrom_zyx) / 10}
    volume = reader.volume
    return distances_nm(reader.points_zyx, volume.shape, volume.spacing_zyx)
