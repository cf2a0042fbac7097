"""What keys and buttons of the review dock do to verdicts: give them, take them back, and go on to the next pick."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal

from napari_cryoet._qt.review.review_screen import ReviewScreen
from napari_cryoet.review.decisions import Verdict
from napari_cryoet.review.review import Review
from napari_cryoet.wording import count_text

if TYPE_CHECKING:
    import napari


class ReviewJudging(ReviewScreen):
    """The widgets of the review dock, by which one judges.

    Attributes
    ----------
    review
        What is judged; None while no layer is.
    """

    decided = Signal()  # verdicts are others
    told = Signal(str)  # what a key did; empty where that needs no words
    went_on = Signal()  # to the next undecided pick: the viewer may follow once the keys rest

    def __init__(self, viewer: napari.Viewer) -> None:
        super().__init__(viewer)
        self.review: Review | None = None
        self.verdicts.judged.connect(self.judge)
        self.sheet.judged.connect(self.judge)
        self.sheet.next_undecided_requested.connect(self.next_undecided)
        self.sheet.undo_requested.connect(self.undo)
        self.sheet.redo_requested.connect(self.redo)

    def judge(self, verdict: Verdict, goes_on: bool = False) -> None:
        """Give what is selected in the sheet a verdict; ``goes_on`` to the next undecided pick."""
        review, places = self.review, self.sheet.selected_places
        if review is None or not places:
            return
        if len(review.judge(review.rows[places], verdict)):
            self.told.emit("")
            self.decided.emit()
        if goes_on:
            self.next_undecided()

    def undo(self) -> None:
        """Take back the last decision, say so, and show what it was about."""
        if self.review is not None:
            self._after_step("Undone", self.review.undo())

    def redo(self) -> None:
        """Take the decision again that was taken back last."""
        if self.review is not None:
            self._after_step("Redone", self.review.redo())

    def next_undecided(self, step: int = 1) -> None:
        """Go to the next pick that isn't judged, in the sheet, and soon in the viewer."""
        review = self.review
        place = None if review is None else review.next_undecided(self.sheet.currentIndex().row(), step)
        if place is None:
            self.told.emit("All picks that are shown are judged." if self.model.rowCount() else "")
            return
        self.told.emit("")
        self.sheet.go_to(place)
        self.went_on.emit()

    def _after_step(self, done: str, pick_ids: NDArray[np.int64]) -> None:
        review = self.review
        if review is None or not len(pick_ids):
            return
        rows = np.flatnonzero(np.isin(review.ids, pick_ids))
        places = self.model.places_of(rows)
        self.told.emit(_step_text(done, review, rows, is_hidden=len(places) < len(rows)))
        if len(places):
            self.sheet.go_to(int(places[0]))
            self.sheet.select(places)
        self.decided.emit()


def _step_text(done: str, review: Review, rows: NDArray[np.intp], *, is_hidden: bool) -> str:
    """What a step did, as ``Undone: 3 picks are undecided again.`` does: they may be out of sight."""
    if not len(rows):
        return f"{done}, for picks that were deleted since."
    picks = f"pick {review.ids[rows[0]]} is" if len(rows) == 1 else f"{count_text(len(rows), 'pick')} are"
    codes = np.unique(review.decisions.codes(review.ids[rows]))
    how = f"{Verdict(codes[0]).word} again" if len(codes) == 1 else "as they were"
    hidden = " The filter hides it." if len(rows) == 1 else " The filter hides some of them."
    return f"{done}: {picks} {how}." + (hidden if is_hidden else "")
