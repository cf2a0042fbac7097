"""Opens the reviews of a dock where they are kept, and sees to those that can't be saved there."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from napari.components import ViewerModel
from napari.layers import Points
from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from napari_cryoet._qt.closing import CloseGuard, guard_for, losses_text, unsaved_in
from napari_cryoet._qt.layer_picks import placed_picks_of
from napari_cryoet.picks import Picks
from napari_cryoet.review.places import Former
from napari_cryoet.review.review import Review
from napari_cryoet.review.session import SessionStore, Subject

#: A layer that was never in a file is known by its name: by the first, whatever it is called later.
_first_names: WeakKeyDictionary[Points, str] = WeakKeyDictionary()
#: Which picks a layer had, and those that were deleted since, when its last review ended.
_ever_there: WeakKeyDictionary[Points, Picks] = WeakKeyDictionary()


def subject_of(layer: Points, picks: Picks) -> Subject:
    """What a layer's picks are; the same as long as the layer lives, whatever a person calls it."""
    first = _first_names.setdefault(layer, layer.name)
    subject = Subject.of(picks, name=first, path=getattr(layer.source, "path", None))
    return replace(subject, name=layer.name)


class ReviewKeeping(QObject):
    """What a dock reviews, one at a time; its signals come from the thread that saves.

    Parameters
    ----------
    viewer
        Whose picks are reviewed; what can't be saved is kept with it, for its next dock.
    store
        Where reviews are kept.
    """

    failed = Signal(object)  # CryoETError: it could not be saved
    recovered = Signal()
    joined = Signal(object, object)  # the Subject, and Decisions with those of another window

    def __init__(self, viewer: ViewerModel, store: SessionStore, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._store = viewer, store
        self._unsaved = unsaved_in(viewer)
        self._review: Review | None = None
        self._layer: Points | None = None
        self._guard: CloseGuard | None = None

    @property
    def has_unsaved(self) -> bool:
        """Whether there is a review that ended and could not be saved."""
        return bool(self._unsaved)

    def open(self, layer: Points, picks: Picks, opened: Former = None) -> Review:
        """The review that could not be saved yet, if there is one; else what is in its file."""
        subject, self._layer = subject_of(layer, picks), layer
        told: dict[str, Any] = {
            "failed": self.failed.emit,
            "recovered": self.recovered.emit,
            "joined": partial(self.joined.emit, subject),
        }
        of_these = [review for review in self._unsaved if review.subject.key == subject.key]
        self._review = next((review for review in of_these if review.folder == self._store.folder), None)
        if self._review is None:
            gone = _ever_there.get(layer)
            self._review = Review(picks, subject, self._store, opened=opened, gone=gone, **told)
        else:
            self._review.tell(**told)
            self._review.take_up(picks, opened)
        return self._review

    def note_place(self) -> None:
        """Let the review know where the viewer shows its layer: files that are saved of it have the picks there."""
        if self._review is not None and self._layer is not None:
            with suppress(ValueError):  # it is turned, or shows no picks just now
                self._review.set_placed(placed_picks_of(self._layer))

    def end(self) -> None:
        """Save the review that is open, and what could not be saved before."""
        self.note_place()
        if self._review is not None and self._layer is not None:
            _ever_there[self._layer] = self._review.ever
        ended = [] if self._review is None or self._review in self._unsaved else [self._review]
        self._unsaved[:] = [review for review in (*self._unsaved, *ended) if not review.save()]
        self._review = self._layer = None

    def leave(self) -> None:
        """Say where the dock goes and the window stays that something couldn't be saved; the next dock takes it up."""
        for review in self._unsaved:
            review.tell()
        if self._unsaved:
            lost = losses_text(self._unsaved)
            show_warning(f"{lost} can't be saved now. They are kept until this window closes, which then asks.")

    def watch_window_of(self, widget: QWidget) -> None:
        """Let the window that a widget is in not close over what can't be saved."""
        guard = guard_for(widget, self._viewer)
        if guard is not self._guard:
            guard.closing.connect(self._on_closing)
            self._guard = guard

    def _on_closing(self, at_risk: list[Review]) -> None:
        review = self._review
        if review is not None and review not in at_risk and not review.save():
            at_risk.append(review)
