"""What the review dock consists of, laid out for a narrow dock, and what it says; it does nothing by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QLabel, QProgressBar, QVBoxLayout, QWidget

from napari_cryoet._qt.browser.status_strip import StatusStrip
from napari_cryoet._qt.review.average_panel import AveragePanel
from napari_cryoet._qt.review.crop_feed import CropFeed
from napari_cryoet._qt.review.review_controls import ReviewControls
from napari_cryoet._qt.review.review_results import ReviewResults
from napari_cryoet._qt.review.sheet_model import SheetModel
from napari_cryoet._qt.review.sheet_view import SheetView
from napari_cryoet._qt.review.verdict_buttons import VerdictButtons
from napari_cryoet._qt.widgets.dock import Dock
from napari_cryoet._qt.widgets.flow_row import FlowRow
from napari_cryoet._qt.widgets.labels import plain_label
from napari_cryoet._qt.widgets.notice_bar import NoticeBar
from napari_cryoet._qt.widgets.scrolling import ScrollingPage
from napari_cryoet.review.crops import CropReader
from napari_cryoet.review.review import Review
from napari_cryoet.volumes import are_inside
from napari_cryoet.wording import count_text, plain

if TYPE_CHECKING:
    import napari

NO_PICKS: Final = (
    "Choose a layer of points to review. Show an annotation from the portal dock, or open a file of picks."
)
NO_IMAGE: Final = "Open the tomogram that these picks were made in: crops are cut from it."
EMPTY: Final = "This layer holds no picks. Add some with napari's tools, or choose another layer."
ALL_OUTSIDE: Final = (
    "None of these picks lies inside this tomogram. Choose the one that they were made in; or let Check picks find out "
    "what is wrong with them."
)
IMAGE_WITHOUT_UNIT: Final = (
    "Nothing says how wide the voxels of this tomogram are, and these picks have their places in ångström: crops are "
    "cut as the viewer shows the two. Say it in the field above, and the layer gets that scale."
)
OBSTACLE: Final = (
    "What the layer shows just now can't be picks: {}. Shown and judged here are the picks from before; Ctrl+Z in the "
    "viewer brings them back."
)
NO_UNIT: Final = "Nothing says in which unit the scale of these layers is: lengths here hold if it is ångström."
_LOWEST_SHEET_PX: Final = 120
KEYS: Final = "Shift+K, Shift+X: judge and go on · Space: next undecided · Enter: fly · Ctrl+Z: undo"


class ReviewScreen(Dock):
    """The widgets of the review dock."""

    def __init__(self, viewer: napari.Viewer) -> None:
        super().__init__(viewer, "Review picks", tab_name="Review")
        self.feed = CropFeed(self.tasks, self)
        self.model = SheetModel(self.feed, self)
        self.controls = ReviewControls()
        self.notice = NoticeBar(self.theme)
        self.empty = QLabel()
        self.sheet = SheetView(self.model, self.theme)
        self.average = AveragePanel(self.tasks, self.theme)
        self.verdicts = VerdictButtons()
        self.counts = plain_label()
        self.progress = QProgressBar()
        self.results = ReviewResults(viewer, self.tasks)
        self.status = StatusStrip(lines=2)
        self._lay_out()
        self.setFocusProxy(self.sheet)  # a click beside the controls, or on a verdict, leaves the keys in the sheet

    def take_keys(self) -> None:
        """Judge at once if there is something to judge."""
        (self.controls.points if self.sheet.isHidden() else self.sheet).setFocus(Qt.FocusReason.OtherFocusReason)

    def event(self, event: QEvent | None) -> bool:
        """What judges in the sheet is ours all over the dock, whatever else it means in the viewer."""
        is_asked = event is not None and event.type() == QEvent.Type.ShortcutOverride
        if is_asked and isinstance(event, QKeyEvent) and self._takes(event):
            event.accept()
            return True
        return bool(super().event(event))

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Keys that the control that has the keys has no use for judge, as they do in the sheet."""
        if event is not None and self._takes(event):
            self.sheet.do(event)
        else:
            super().keyPressEvent(event)

    def _takes(self, event: QKeyEvent) -> bool:
        return not self.sheet.isHidden() and self.sheet.takes(event)

    def show_review(
        self,
        review: Review | None,
        reader: CropReader | None,
        *,
        has_image: bool,
        is_unitless: bool,
        is_image_unitless: bool = False,
        obstacle: str = "",
    ) -> None:
        """Show what there is to judge, or say what is lacking."""
        is_outside = reader is not None and _are_all_outside(reader)
        if review is None:
            words = NO_PICKS
        elif obstacle:
            words = OBSTACLE.format(plain(obstacle))
        elif not len(review.picks):
            words = EMPTY
        else:
            unitless = IMAGE_WITHOUT_UNIT if is_image_unitless else NO_UNIT if is_unitless else ""
            is_elsewhere = is_outside and not is_image_unitless
            words = NO_IMAGE if not has_image else ALL_OUTSIDE if is_elsewhere else unitless
        self.empty.setText(words)
        self.empty.setVisible(bool(words))
        for part in (self.sheet, self.average, self.verdicts, self.counts, self.progress, self.results, self.status):
            part.setVisible(review is not None)
        self.controls.set_live(review is not None)
        self.average.setEnabled(review is not None)
        self.verdicts.setEnabled(review is not None)
        self.show_counts(review)

    @property
    def picks_from_here(self) -> NDArray[np.int64]:
        """The ids of all picks that are shown, from where the keys are to the last, then back; none before they are."""
        place, review = self.sheet.currentIndex().row(), self.model.review
        ids = review.ids[review.rows] if review is not None and place >= 0 else np.empty(0, dtype=np.int64)
        return np.concatenate([ids[place:], ids[:place][::-1]])

    def show_picks(self, review: Review, picks_from_here: NDArray[np.int64] | None) -> None:
        """Show the picks that are to be looked at now, and leave the keys at the first that is left of some by id."""
        self.model.set_review(review)
        if picks_from_here is None:
            return
        left = picks_from_here[np.isin(picks_from_here, review.ids)][:1]
        here = self.model.place_of(int(np.flatnonzero(review.ids == left[0])[0])) if len(left) else None
        if here is None:  # the filter hides it; so that the first key judges something
            here = review.next_undecided(-1)
        if here is not None:
            self.sheet.go_to(here)

    def show_counts(self, review: Review | None) -> None:
        """Say how far one is."""
        words, judged, total = "", 0, 1
        if review is not None:
            counts = review.counts
            judged, total = counts.judged, max(1, counts.total)
            words = f"{counts} · kept {counts.kept:,} · rejected {counts.rejected:,}"
            if len(review.rows) < counts.total:
                words += f" · {len(review.rows):,} shown"
        self.counts.setText(words)
        self.progress.setUpdatesEnabled(False)  # else it would be drawn on the spot, and the whole window with it
        self.progress.setMaximum(total)
        self.progress.setValue(judged)
        self.progress.setUpdatesEnabled(True)
        self.progress.setAccessibleName(words)

    def show_status(self, review: Review | None, told: str, *, is_measuring: bool) -> None:
        """Say what the last key did, or what is being read, or why not."""
        feed = self.feed
        if is_measuring:
            self.status.set_status("Measuring picks…", can_stop=True)
        elif feed.error is not None:
            self.status.set_status(str(feed.error), can_retry=True)
        elif feed.is_stopped:
            self.status.set_status("Stopped reading crops.", can_retry=True)
        elif told:
            self.status.set_status(told, can_stop=bool(feed.n_waiting) or self.average.is_reading)
        elif review is not None and not len(review.rows) and review.counts.total:
            self.status.set_status("No pick matches the filter. Clear it to see all.")
        elif feed.n_waiting:
            self.status.set_status(f"Reading {count_text(feed.n_waiting, 'crop')}…", can_stop=True)
        elif self.average.is_reading:
            self.status.set_status("Reading kept picks for the average…", can_stop=True)
        elif review is not None and self.controls.sorting.column != review.order.column:
            is_known = self.controls.sorting.column in review.columns
            why = ", until the filter is right." if is_known else ": that isn't measured."
            self.status.set_status(f"Not sorted by {self.controls.order.currentText()}{why}")
        elif review is not None and review.n_unsorted:
            self.status.set_status(_unsorted_text(review.n_unsorted, len(review.rows)))
        else:
            self.status.set_status(KEYS if review is not None and len(review.picks) else "")

    def _lay_out(self) -> None:
        self.empty.setWordWrap(True)
        self.empty.setTextFormat(Qt.TextFormat.PlainText)
        self.empty.setObjectName("dimText")
        self.empty.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(6)
        beside = FlowRow()
        beside.add(self.average, 1)
        beside.add(self.verdicts)
        self.sheet.setMinimumHeight(_LOWEST_SHEET_PX)
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(6, 6, 6, 0)
        column.setSpacing(6)
        column.addWidget(self.controls)
        column.addWidget(self.notice)
        column.addWidget(self.empty)
        column.addWidget(self.sheet, 1)
        column.addLayout(beside)
        column.addWidget(self.counts)
        column.addWidget(self.progress)
        column.addWidget(self.results)
        column.addWidget(self.status)
        column.addStretch()
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(ScrollingPage(inner))


def _are_all_outside(reader: CropReader) -> bool:
    points = reader.points_zyx
    return len(points) > 0 and not are_inside(points, reader.volume.shape).any()


def _unsorted_text(n_unsorted: int, total: int) -> str:
    if n_unsorted == total:
        return "None of these picks has that value: they stand in the order of their file."
    return f"{count_text(n_unsorted, 'pick')} without that value {'comes' if n_unsorted == 1 else 'come'} last."
