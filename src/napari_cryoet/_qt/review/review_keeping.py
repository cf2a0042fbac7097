"""Opens the reviews of a dock, and saves them on a thread of their own."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from weakref import WeakKeyDictionary

from napari.layers import Points
from qtpy.QtCore import QObject, Signal

from napari_cryoet.exceptions import CryoETError
from napari_cryoet.picks import Picks
from napari_cryoet.review.review import Review
from napari_cryoet.review.session import Subject

#: A layer that was never in a file is known by its name: by the first, whatever it is called later.
_first_names: WeakKeyDictionary[Points, str] = WeakKeyDictionary()


def subject_of(layer: Points, picks: Picks) -> Subject:
    """What a layer's picks are; the same as long as the layer lives, whatever a person calls it."""
    first = _first_names.setdefault(layer, layer.name)
    subject = Subject.of(picks, name=first, path=getattr(layer.source, "path", None))
    return replace(subject, name=layer.name)


class ReviewKeeping(QObject):
    """Opens and saves the reviews of one dock.

    Parameters
    ----------
    folder
        Where reviews are kept; None for the user's own folder.
    """

    failed = Signal(object)  # CryoETError: it could not be saved
    recovered = Signal()  # what could not be saved is saved now

    def __init__(self, folder: Path | None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._folder = folder
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="napari-cryoet review")  # Python waits for it at the end
        self._queued: tuple[Review, Future[bool]] | None = None
        self._has_failed = False

    def open(self, layer: Points, picks: Picks) -> Review:
        """The review of a layer's picks, as its file says.

        Raises
        ------
        CryoETError
            If that can't be read.
        """
        return Review(picks, subject_of(layer, picks), self._folder)

    def save_soon(self, review: Review) -> None:
        """Save in the background; the window never waits for a disk."""
        if self._queued is not None:
            queued, save = self._queued
            if queued is review and not save.running() and not save.done():
                return  # it will take this, too
        try:
            self._queued = review, self._pool.submit(self.save, review)
        except RuntimeError:  # Python is ending
            self.save(review)

    def save(self, review: Review) -> bool:
        """Save now; whether that went well, else `failed` says why."""
        try:
            review.save()
        except CryoETError as error:
            self._has_failed = True
            with suppress(RuntimeError):  # the dock has gone
                self.failed.emit(error)
            return False
        if self._has_failed:
            self._has_failed = False
            with suppress(RuntimeError):
                self.recovered.emit()
        return True
