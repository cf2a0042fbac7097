"""What a review says at one moment, so that another thread can save it while the review goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from napari_cryoet.picks import Picks
from napari_cryoet.review.by_id import ById
from napari_cryoet.review.decisions import Decisions
from napari_cryoet.review.rows import Rows, rows_of


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is saved.

    Attributes
    ----------
    decisions
        About the picks.
    touched, step
        In which step each pick was judged here last, and how many steps there were.
    picks, n_there
        All that ever were there; those behind the first so many were deleted.
    opened
        The picks as they were when they were opened, and as they were before.
    elsewhere, elsewhere_since
        Decisions that found no pick, and since which step that may be more than the file holds.
    marks
        What tells picks from others at their places in other files, by id.
    view
        How the picks are looked at.
    """

    decisions: Decisions
    touched: ById
    step: int
    picks: Picks
    n_there: int
    opened: tuple[Picks, ...]
    elsewhere: tuple[Rows, ...]
    elsewhere_since: int
    marks: ById
    view: Mapping[str, Any]

    def rows(
        self,
        decisions: Decisions | None = None,
        elsewhere: tuple[Rows, ...] | None = None,
        their_places: Sequence[Picks] = (),
        their_marks: ById | None = None,
    ) -> list[Rows]:
        """The decisions as they are kept: these, or others, and with what others know of the picks."""
        decisions = self.decisions if decisions is None else decisions
        elsewhere = self.elsewhere if elsewhere is None else elsewhere
        known = (their_marks or ById()).changed(self.marks.ids, self.marks.values)
        former = *self.opened, *their_places
        rows = rows_of(decisions, self.picks, former, n_there=self.n_there, known=known, beside=elsewhere)
        return [rows, *elsewhere]
