"""The picks of a review as items: one each, in the order in which they are looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QModelIndex, QObject, QStringListModel, Qt

from napari_cryoet._qt.review.crop_feed import CropFeed
from napari_cryoet._qt.widgets.labels import plain_tooltip
from napari_cryoet._qt.widgets.roles import Role
from napari_cryoet.picks import Picks
from napari_cryoet.review.decisions import Verdict
from napari_cryoet.review.review import VERDICT, Review


@dataclass(frozen=True, slots=True)
class Card:
    """What the sheet shows of a pick, beside its crop.

    Attributes
    ----------
    row
        Which pick, by its row.
    caption
        The value that picks are sorted by, or the pick's id.
    """

    row: int
    verdict: Verdict
    caption: str
    has_failed: bool


class SheetModel(QStringListModel):
    """Shows a `Review` with the crops of a `CropFeed`.

    Of its strings, all empty, only the number counts: views ask for that several times for each item whenever they lay
    them out, which takes seconds for a million where Python has to answer.
    """

    def __init__(self, feed: CropFeed, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._feed = feed
        self._review: Review | None = None
        self._laid_out: tuple[NDArray[np.intp], Picks] | None = None
        self._places = np.empty(0, dtype=np.intp)  # of each row, -1 where it isn't looked at
        feed.arrived.connect(self._on_crops)
        feed.contrast_changed.connect(self.refresh)

    @property
    def review(self) -> Review | None:
        """What is shown."""
        return self._review

    def set_review(self, review: Review | None) -> None:
        """Show another review, or the same in another order; what stands where it stood is not laid out again."""
        laid_out = None if review is None else (review.rows, review.picks)
        is_same = laid_out is not None and review is self._review and self._laid_out is not None
        if is_same and all(now is before for now, before in zip(laid_out or (), self._laid_out or (), strict=True)):
            self.refresh()
            return
        self._review, self._laid_out = review, laid_out
        self._places = np.full(0 if review is None else len(review.picks), -1, dtype=np.intp)
        if review is not None:
            self._places[review.rows] = np.arange(len(review.rows))
        self.setStringList([""] * (0 if review is None else len(review.rows)))

    def refresh(self) -> None:
        """Verdicts or pictures are others; what is where stays."""
        count = self.rowCount()
        if count:
            self.dataChanged.emit(self.index(0), self.index(count - 1))

    def row_at(self, place: int) -> int:
        """Which pick is at a place."""
        return int(self._review.rows[place]) if self._review is not None else -1

    def place_of(self, row: int) -> int | None:
        """Where a pick is; None where it isn't looked at."""
        place = int(self._places[row]) if 0 <= row < len(self._places) else -1
        return place if place >= 0 else None

    def places_of(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Where those of some picks are that are looked at, from the first on."""
        places = self._places[rows[rows < len(self._places)]]
        return np.sort(places[places >= 0])

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Picks are chosen, and neither typed nor dragged."""
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable if index.isValid() else Qt.ItemFlag.NoItemFlags

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A `Card`, its crop, or words about both."""
        if not index.isValid() or self._review is None:
            return None
        row = self.row_at(index.row())
        match role:
            case Role.RECORD:
                return self._card(row)
            case Role.PICTURE:
                return self._feed.picture(row)
            case Qt.ItemDataRole.AccessibleTextRole:
                return f"Pick {self._review.ids[row]}, {self._review.verdict(row).value}"
            case Qt.ItemDataRole.ToolTipRole:
                return plain_tooltip(self._words(row))
        return None

    def _card(self, row: int) -> Card:
        review = self._review
        assert review is not None  # noqa: S101 - asked before
        values = review.sort_values
        caption = f"#{review.ids[row]}" if values is None else value_text(values[row])
        return Card(row, review.verdict(row), caption, self._feed.has_failed(row))

    def _words(self, row: int) -> str:
        """All that is known of a pick, one line each."""
        review = self._review
        assert review is not None  # noqa: S101 - asked before
        z, y, x = review.picks.points_zyx[row]
        lines = [f"Pick {review.ids[row]}: {review.verdict(row).value}", f"x {x:.1f}, y {y:.1f}, z {z:.1f} voxels"]
        columns = {name: column for name, column in review.columns.items() if name != VERDICT}
        lines += [f"{name}: {value_text(column[row])}" for name, column in columns.items()]
        crop = self._feed.crop(row)
        if crop is not None and np.isnan(crop.values).any():
            lines.append("Hatched: outside of the volume")
        return "\n".join(lines)

    def _on_crops(self, rows: list[int]) -> None:
        for row in rows:
            place = self.place_of(row)
            if place is not None:
                self.dataChanged.emit(self.index(place), self.index(place))


def value_text(value: Any) -> str:
    """A value as short as it can be understood."""
    if isinstance(value, float | np.floating):
        return "–" if np.isnan(value) else f"{value:#.3g}".removesuffix(".")
    return "–" if value is None or (isinstance(value, str) and not value) else str(value)
