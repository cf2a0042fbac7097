"""The state of a review on screen: a sheet of cells, one per shown pick, and a status text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError
from napari_cryoet.measure.measuring import COLUMNS, NEAREST
from napari_cryoet.review.columns import Order
from napari_cryoet.review.review import Review
from napari_cryoet.review.session import Verdict
from napari_cryoet.volumes import Volume
from napari_cryoet.volumes.crops import PlaneName
from napari_cryoet.wording import count_text

KEYS: Final = "Space: next undecided · Ctrl+Z: undo"


class Looks(msgspec.Struct, frozen=True):
    """How crops are cut and drawn, as saved in the review's file."""

    side_nm: float = 40.0
    slab_nm: float = 5.0
    plane: PlaneName = "xy"
    is_oriented: bool = False
    crop_px: int = 80

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain data."""
        return msgspec.structs.asdict(self)

    def resumed(self, review: Review) -> Looks:
        """The settings saved in a review; unchanged if they are invalid."""
        try:
            return msgspec.convert({**self.to_dict(), **review.view}, Looks)
        except msgspec.ValidationError:
            return self


class ReviewSheet:
    """The cells of a review, and the message about the last action.

    Attributes
    ----------
    ids
        The ids of the shown picks, in order. They don't change with verdicts, only with `look_at`.
    message
        The result of the last action, until the next one.
    """

    def __init__(self, review: Review) -> None:
        self.review = review
        self.message = ""

    @property
    def ids(self) -> NDArray[np.int64]:
        """The ids of the shown picks, in order."""
        return self.review.ids[self.review.rows]

    def row_at(self, cell: int) -> int:
        """The row of the pick in a cell."""
        return int(self.review.rows[cell])

    def cell_of(self, row: int) -> int | None:
        """The cell of a pick; None if it isn't shown."""
        matches = np.flatnonzero(self.review.rows == row)
        return int(matches[0]) if len(matches) else None

    # judging

    def judge(self, cells: Sequence[int], verdict: Verdict) -> bool:
        """Give the picks of cells a verdict; False if they had it already."""
        changed = self.review.judge(self.review.rows[list(cells)], verdict)
        if len(changed):
            self.message = ""
        return len(changed) > 0

    def next_undecided(self, after: int, step: int = 1) -> int | None:
        """The cell of the next undecided pick after a cell, wrapping around.

        None if all are judged.
        """
        cell = self.review.next_undecided(after, step)
        self.message = (
            "All shown picks are judged." if cell is None and len(self.review.rows) else ""
        )
        return cell

    def undo(self) -> list[int] | None:
        """Undo the last verdict and return the cells of its picks.

        Hidden picks have no cell. None if there is nothing to undo.
        """
        return self._stepped("Undone", self.review.undo())

    def redo(self) -> list[int] | None:
        """Redo the last undone verdict; see `undo`."""
        return self._stepped("Redone", self.review.redo())

    def _stepped(self, action: str, pick_ids: NDArray[np.int64]) -> list[int] | None:
        if not len(pick_ids):
            return None
        verdicts = set(self.review.decisions.codes(pick_ids).tolist())
        result = f"{Verdict(verdicts.pop()).word} again" if len(verdicts) == 1 else "as they were"
        if len(pick_ids) == 1:
            picks = f"pick {number_of(pick_ids[0])} is"
        else:
            picks = f"{count_text(len(pick_ids), 'pick')} are"
        self.message = f"{action}: {picks} {result}."
        cells: list[int] = np.flatnonzero(np.isin(self.ids, pick_ids)).tolist()
        return cells

    # sorting and filtering

    def missing_column(self, order: Order, filter_text: str, *, has_volume: bool) -> str | None:
        """The first column to measure for an order and a filter.

        Without a volume, only `NEAREST` can be measured.
        """
        can_measure = COLUMNS[Volume]
        if not has_volume:
            can_measure = () if self.review.picks.spacing_angstrom is None else (NEAREST,)
        for name in can_measure:
            is_wanted = name == order.column or name in filter_text.lower()
            if is_wanted and name not in self.review.columns:
                return name
        return None

    def look_at(self, order: Order, filter_text: str, verdict: Verdict | None = None) -> str:
        """Sort and filter; return what is wrong with the filter, or an empty text."""
        try:
            self.review.look_at(order, filter_text, verdict)
        except FormatError as error:
            return str(error)
        self.message = ""
        return ""

    def same_cell(self, cell: int, ids: NDArray[np.int64]) -> int | None:
        """The cell of the pick that was in a cell before sorting, when ``ids`` were shown.

        If it is hidden now: the same cell, or the last one. Without a cell (-1): the first
        undecided pick. None if no picks are shown.
        """
        n_cells = len(self.review.rows)
        if not n_cells:
            return None
        if cell < 0:
            return self.review.next_undecided(-1) or 0
        again = np.flatnonzero(self.ids == ids[cell])
        return int(again[0]) if len(again) else min(cell, n_cells - 1)

    # texts

    def status_text(self, n_waiting: int) -> str:
        """The last message, else the crops to read, else the shown picks, else a hint about keys."""
        if self.message:
            return self.message
        if n_waiting:
            return f"Reading {count_text(n_waiting, 'crop')}…"
        n_shown = len(self.review.rows)
        n_picks = len(self.review.ids)
        if n_picks and not n_shown:
            return "No pick matches the filter. Clear it to see all."
        if n_shown < n_picks:
            return f"{n_shown:,} of {n_picks:,} shown."
        return KEYS if n_picks else ""

    def pick_text(self, row: int) -> str:
        """The number, position and columns of a pick, one per line."""
        z, y, x = self.review.picks.points_zyx[row]
        lines = [
            f"Pick {number_of(self.review.ids[row])}",
            f"x {x:.1f}, y {y:.1f}, z {z:.1f} voxels",
        ]
        for column, values in self.review.columns.items():
            lines.append(f"{column}: {value_text(values[row])}")
        return "\n".join(lines)

    def caption(self, row: int) -> str:
        """The number of a pick, and the value that the picks are sorted by: ``12 · 0.53``."""
        number = str(number_of(self.review.ids[row]))
        values = self.review.sort_values
        return number if values is None else f"{number} · {value_text(values[row])}"


def number_of(pick_id: int) -> int:
    """A pick's number, counted from 1."""
    return int(pick_id) + 1


def value_text(value: Any) -> str:
    """A short text for a value."""
    if isinstance(value, float | np.floating):
        return "–" if np.isnan(value) else f"{value:.3g}"
    return "–" if value in (None, "") else str(value)
