"""The review dock: judges the picks of a layer in a contact sheet, and gives back those that were kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from qtpy.QtCore import QEvent, QSize, Qt, Signal
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_cryoet._qt.activity import Activity
from napari_cryoet._qt.average_panel import AveragePanel
from napari_cryoet._qt.crop_feed import CropFeed
from napari_cryoet._qt.notice_bar import NoticeBar
from napari_cryoet._qt.picks_in_volume import can_be_cut, diameter_angstrom, has_picks, reader_for
from napari_cryoet._qt.review_controls import Looks, ReviewControls
from napari_cryoet._qt.review_results import ReviewResults
from napari_cryoet._qt.reviewed_layer import ReviewedLayer
from napari_cryoet._qt.sheet_model import SheetModel
from napari_cryoet._qt.sheet_view import SheetView
from napari_cryoet._qt.status_strip import StatusStrip
from napari_cryoet._qt.styling import style_sheet
from napari_cryoet._qt.tasks import Job, Tasks
from napari_cryoet._qt.theme import Theme
from napari_cryoet._qt.timers import single_shot
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.review.cropping import Cube, Frame
from napari_cryoet.review.crops import CropReader
from napari_cryoet.review.decisions import Verdict
from napari_cryoet.review.density import densities_at
from napari_cryoet.review.ordering import DENSITY, EDGE, NEAREST, Order, measured
from napari_cryoet.review.review import Review
from napari_cryoet.review.session import SessionStore, Subject

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Points
    from numpy.typing import NDArray

_MEASURING: Final = "review measure"
EMPTY: Final = "Choose a layer of points to review. Show an annotation from the portal dock, or open a file of picks."
NO_IMAGE: Final = "Open the tomogram that these picks were made in: crops are cut from it."
_CROP_DIAMETERS: Final = 1.6
_DEFAULT_SIDE_NM: Final = 40.0


class ReviewDock(QWidget):
    """Review picks.

    Parameters
    ----------
    napari_viewer
        The viewer whose layers are reviewed.
    store
        Where decisions are kept between sessions.
    """

    _save_failed = Signal(object)  # CryoETError, from the thread that saves

    def __init__(self, napari_viewer: napari.Viewer, *, store: SessionStore | None = None) -> None:
        super().__init__()
        self.setObjectName("ReviewDock")
        self.setAccessibleName("Review picks")
        self._viewer, self._store = napari_viewer, store or SessionStore()
        self._layer: ReviewedLayer | None = None
        self._reader: CropReader | None = None
        self.review: Review | None = None
        self.tasks = Tasks(self)
        self._activity = Activity(self.tasks, self)
        self._theme = Theme(napari_viewer, self)
        self.feed = CropFeed(self.tasks, self)
        self.model = SheetModel(self.feed, self)
        self.controls = ReviewControls()
        self.notice = NoticeBar(self._theme)
        self.sheet = SheetView(self.model, self._theme)
        self.average = AveragePanel(self.tasks, self._theme)
        self.empty = QLabel(EMPTY)
        self.progress = QProgressBar()
        self.counts = QLabel()
        self.results = ReviewResults(napari_viewer, self.tasks, self)
        self.status = StatusStrip()
        self._recut_soon = single_shot(self, 0, self._recut)
        self._list_soon = single_shot(self, 0, self._list_layers)
        self._buttons: dict[Verdict, QPushButton] = {}
        self._lay_out()
        self._connect()
        self._on_theme()
        self._list_layers()
        self._begin_with_something()

    # what is reviewed

    @property
    def layer(self) -> Points | None:
        """The layer whose picks are judged."""
        return None if self._layer is None else self._layer.layer

    @property
    def image(self) -> Image | None:
        """The layer that crops are cut from."""
        found: Image | None = self.controls.image.currentData()
        return found

    def review_layer(self, layer: Points | None, image: Image | None = None) -> None:
        """Judge the picks of a layer; what was decided about them before is there again.

        Parameters
        ----------
        layer
            Any Points layer with three axes; None ends the review.
        image
            What crops are cut from; by default the tomogram that lies below, if there is one.
        """
        self._end()
        self._list_layers()
        image = image or self.image or self._image_for(layer)
        self.controls.choose(layer, image)
        if layer is not None:
            self._begin(layer)
        self._show_all()

    def sizeHint(self) -> QSize:
        """As wide as the portal's dock."""
        return QSize(400, 760)

    def minimumSizeHint(self) -> QSize:
        """Everything is usable down to this."""
        return QSize(320, 360)

    def closeEvent(self, event: QCloseEvent | None) -> None:
        """End the review."""
        self.close_down()
        super().closeEvent(event)

    def changeEvent(self, event: QEvent | None) -> None:
        """A dock that napari closes leaves its widget without a parent: that ends the review too."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._end()
            self.tasks.stop_all()

    def close_down(self) -> None:
        """End the review for good: save, let layers look as they did, read nothing any more."""
        self._end()
        layers = self._viewer.layers
        for event in (layers.events.inserted, layers.events.removed):
            event.disconnect(self._on_layers)
        self.tasks.close()
        self._theme.close()

    def _begin_with_something(self) -> None:
        active = self._viewer.layers.selection.active
        choices = [layer for layer in self._viewer.layers if has_picks(layer)]
        if active is not None and has_picks(active):
            self.review_layer(active)
        elif len(choices) == 1:
            self.review_layer(choices[0])
        else:
            self.review_layer(None)

    def _begin(self, layer: Points) -> None:
        try:
            reviewed = ReviewedLayer(self._viewer, layer, self)
            path = getattr(layer.source, "path", None)
            subject = Subject.of(reviewed.picks, name=layer.name, path=path)
            review = Review(reviewed.picks, subject, self._store, failed=self._save_failed.emit)
        except CryoETError as error:
            self.notice.show_error(error)
            return
        self._layer, self.review = reviewed, review
        reviewed.changed.connect(self._on_picks_changed)
        reviewed.selected.connect(self._on_selected_in_viewer)
        layer.events.name.connect(self._on_layers)
        if review.remark:
            self.notice.show_notice(review.remark)
        self.controls.set_can_orient(bool(review.picks.are_oriented.any()))
        self.controls.set_looks(self._looks_of(review, layer))
        self.controls.set_columns(review.picks.table())
        self.controls.set_sorting(Order(), "")
        self._recut()
        self._show_decisions()

    def _end(self) -> None:
        """Save and let go of the layer."""
        self.tasks.stop(_MEASURING)
        self.feed.use(None, Frame(400, 50))
        self.average.use(None, Cube(400))
        self.model.set_review(None)
        if self.review is not None:
            self.review.save()
        if self._layer is not None:
            self._layer.layer.events.name.disconnect(self._on_layers)
            self._layer.close()
            self._layer.deleteLater()
        self._layer = self._reader = self.review = None
        self.notice.hide()

    def _looks_of(self, review: Review, layer: Points) -> Looks:
        """As these picks were looked at last, or as large as suits them."""
        now, saved = self.controls.looks, review.view
        diameter_nm = 0.0
        try:
            diameter_nm = diameter_angstrom(layer) / 10
        except CryoETError as error:
            self.notice.show_error(error)
        side = round(diameter_nm * _CROP_DIAMETERS) or _DEFAULT_SIDE_NM
        plane = saved.get("plane")
        return Looks(
            _number(saved.get("side_nm"), side),
            _number(saved.get("slab_nm"), now.slab_nm),
            plane if plane in {"xy", "xz", "yz"} else now.plane,
            bool(saved.get("oriented", False)),
        )

    # crops

    def _recut(self) -> None:
        """Cut all crops anew: of other picks, from another volume, or in another frame."""
        review, image = self.review, self.image
        self._reader = None
        if review is not None and self._layer is not None and image is not None:
            try:
                self._reader = reader_for(self._layer.layer, image, review.picks)
            except CryoETError as error:
                self.notice.show_error(error)
        looks = self.controls.looks
        side, slab = looks.side_nm * 10, looks.slab_nm * 10
        pixels = max(33, self.sheet.crop_px | 1)
        self.feed.use(self._reader, Frame(side, slab, looks.plane, looks.is_oriented, pixels))
        self.average.use(self._reader, Cube(side, looks.is_oriented))
        if review is not None:
            review.view = {
                "side_nm": looks.side_nm,
                "slab_nm": looks.slab_nm,
                "plane": looks.plane,
                "oriented": looks.is_oriented,
            }
            self._want_average()
        self._measure_places()
        self._sort()

    def _measure_places(self) -> None:
        """Forget what was measured in another volume; places are measured at once, density when it is asked for."""
        reader, review = self._reader, self.review
        if review is None:
            return
        review.forget_measured()
        if reader is not None and len(review.picks) < 20_000:  # a hundredth of a second
            review.set_measured(_places(reader))

    def _measure(self, wanted: str) -> None:
        """Measure something of all picks, and sort again."""
        reader, review = self._reader, self.review
        if reader is None or review is None:
            return
        diameter = self.controls.looks.side_nm * 10 / _CROP_DIAMETERS

        def work(job: Job) -> dict[str, NDArray[Any]]:
            if wanted != DENSITY:
                return _places(reader)
            found = densities_at(
                reader.volume,
                reader.points_zyx,
                diameter,
                stop=job.stop,
                progress=lambda done, total: job.say(done / max(total, 1), f"{done:,} of {total:,} picks"),
            )
            return {DENSITY: found}

        def then(columns: dict[str, NDArray[Any]]) -> None:
            if self._reader is reader and self.review is review:
                review.set_measured(columns)
                self._sort()

        self.tasks.run(_MEASURING, work, then=then, failed=self._on_failed, title="Measuring picks")
        self._show_status()

    # order

    def _sort(self) -> None:
        """Sort and filter as the fields say, once all that takes is measured."""
        review = self.review
        if review is None:
            self.model.set_review(None)
            return
        order, text = self.controls.sorting, self.controls.filter_text
        missing = [
            name
            for name in (DENSITY, NEAREST, EDGE)
            if (name == order.column or name in text.lower()) and name not in review.columns
        ]
        if missing and self._reader is not None:
            self._measure(missing[0])
            return
        problem = ""
        place = self.sheet.currentIndex().row()
        row = self.model.row_at(place) if 0 <= place < self.model.rowCount() else None
        try:
            review.look_at(order, text)
        except CryoETError as error:
            problem = str(error)
        self.controls.set_filter_problem(problem)
        self.controls.filter.setToolTip(problem or "Show only picks that pass, such as: score > 0.4 and edge_nm > 20")
        if problem:
            self.status.set_status(problem)
            return
        self.model.set_review(review)
        kept_place = None if row is None else self.model.place_of(row)
        if kept_place is not None:
            self.sheet.go_to(kept_place)
        self._show_counts()
        self._show_status()

    # judging

    def judge(self, verdict: Verdict, *, goes_on: bool = False) -> None:
        """Give what is selected in the sheet a verdict; ``goes_on`` to the next undecided pick."""
        review = self.review
        if review is None or not self.sheet.selected_places:
            return
        if review.judge([self.model.row_at(place) for place in self.sheet.selected_places], verdict):
            self._show_decisions()
        if goes_on:
            self.next_undecided()

    def undo(self) -> None:
        """Take back the last decision, and show what it was about."""
        if self.review is not None:
            about = self.review.decisions.changed_by_last_step()
            self._after_step(self.review.undo(), about)

    def redo(self) -> None:
        """Take the decision again that was taken back last."""
        if self.review is not None:
            is_done = self.review.redo()
            self._after_step(is_done, self.review.decisions.changed_by_last_step())

    def next_undecided(self, step: int = 1) -> None:
        """Go to the next pick that isn't judged, in the sheet and in the viewer."""
        review = self.review
        place = None if review is None else review.next_undecided(self.sheet.currentIndex().row(), step)
        if place is None:
            self.status.set_status("All picks that are shown are judged.")
            return
        self.sheet.go_to(place)
        self.fly_to(place)

    def fly_to(self, place: int) -> None:
        """Show the pick at a place of the sheet in the viewer, and select it there."""
        if self._layer is not None:
            row = self.model.row_at(place)
            self._layer.fly_to(row)
            self._layer.select([row])

    def _after_step(self, is_done: bool, about: frozenset[int]) -> None:
        review = self.review
        if review is None or not is_done:
            return
        rows = np.flatnonzero(np.isin(review.ids, list(about)))
        places = sorted(place for row in rows.tolist() if (place := self.model.place_of(row)) is not None)
        if places:
            self.sheet.go_to(places[0])
            self.sheet.select(places)
        self._show_decisions()

    # what is shown

    def _show_decisions(self) -> None:
        """Verdicts are others: in the sheet, the viewer, the average and the counts."""
        review = self.review
        if review is None:
            return
        self.model.refresh()
        if self._layer is not None:
            self._layer.dim(review.decisions.ids(Verdict.REJECTED))
        self._want_average()
        self._show_counts()

    def _want_average(self) -> None:
        if self.review is not None:
            self.average.want(self.review.rows_with(Verdict.KEPT).tolist())

    def _show_counts(self) -> None:
        review = self.review
        if review is None:
            self.counts.setText("")
            self.progress.setMaximum(1)
            self.progress.setValue(0)
            self.results.use(None, None)
            return
        counts = review.counts
        words = f"{counts} · kept {counts.kept:,} · rejected {counts.rejected:,}"
        if len(review.rows) < counts.total:
            words += f" · {len(review.rows):,} shown"
        self.counts.setText(words)
        self.progress.setMaximum(max(1, counts.total))
        self.progress.setValue(counts.judged)
        self.progress.setAccessibleName(words)
        self.results.use(self.layer, review)

    def _show_all(self) -> None:
        has_picks_now = self.review is not None
        self.empty.setText(EMPTY if not has_picks_now else NO_IMAGE)
        self.empty.setVisible(not has_picks_now or self.image is None)
        self.sheet.setVisible(has_picks_now)
        for widget in (*self._buttons.values(), self.average):
            widget.setEnabled(has_picks_now)
        self._show_counts()
        self._show_status()

    def _show_status(self) -> None:
        """What is being read, or why not."""
        feed, review = self.feed, self.review
        if self.tasks.is_running(_MEASURING):
            self.status.set_status("Measuring picks…", can_stop=True)
        elif feed.error is not None:
            self.status.set_status(str(feed.error), can_retry=True)
        elif feed.is_stopped:
            self.status.set_status("Stopped reading crops.", can_retry=True)
        elif feed.n_waiting and self._reader is not None:
            self.status.set_status(f"Reading {feed.n_waiting} crops…", can_stop=True)
        elif review is not None and review.n_unsorted:
            self.status.set_status(f"{review.n_unsorted:,} picks without that value come last.")
        else:
            self.status.set_status("")

    def _lay_out(self) -> None:
        self.empty.setWordWrap(True)
        self.empty.setTextFormat(Qt.TextFormat.PlainText)
        self.empty.setObjectName("dimText")
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(6)
        self.counts.setObjectName("reviewCounts")
        judging = QGridLayout()
        judging.setSpacing(3)
        for number, (verdict, letter, word) in enumerate(
            ((Verdict.KEPT, "K", "Keep"), (Verdict.REJECTED, "X", "Reject"), (Verdict.UNDECIDED, "U", "Undecided"))
        ):
            button = QPushButton(f"{letter}  {word}")
            button.setObjectName(f"verdict{letter}")
            button.setToolTip(f"{word} what is selected ({letter}; Shift+{letter} goes on to the next undecided pick)")
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a click leaves the keys in the sheet
            button.clicked.connect(lambda _checked=False, verdict=verdict: self.judge(verdict))
            self._buttons[verdict] = button
            judging.addWidget(button, number, 0)
        below = QHBoxLayout()
        below.setSpacing(8)
        below.addWidget(self.average, 1)
        below.addLayout(judging)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 6, 6, 0)
        column.setSpacing(6)
        column.addWidget(self.controls)
        column.addWidget(self.notice)
        column.addWidget(self.empty)
        column.addWidget(self.sheet, 1)
        column.addLayout(below)
        column.addWidget(self.counts)
        column.addWidget(self.progress)
        column.addWidget(self.results)
        column.addWidget(self.status)

    def _connect(self) -> None:
        self.controls.points_chosen.connect(self.review_layer)
        self.controls.image_chosen.connect(lambda _image: self._on_image())
        self.controls.looks_changed.connect(self._recut_soon.start)
        self.controls.order_changed.connect(self._sort)
        self.sheet.judged.connect(lambda verdict, goes_on: self.judge(verdict, goes_on=goes_on))
        self.sheet.opened.connect(self.fly_to)
        self.sheet.next_undecided_requested.connect(self.next_undecided)
        self.sheet.undo_requested.connect(self.undo)
        self.sheet.redo_requested.connect(self.redo)
        self.sheet.looked_at.connect(self._on_looked_at)
        self.feed.state_changed.connect(self._show_status)
        self.average.failed.connect(self._on_failed)
        self.status.stop_requested.connect(self._on_stop)
        self.status.retry_requested.connect(self.feed.retry)
        self.results.failed.connect(self._on_failed)
        self.results.told.connect(self.notice.show_notice)
        self.tasks.unhandled.connect(self.notice.show_error)
        self._save_failed.connect(self._on_failed)
        self._theme.changed.connect(self._on_theme)
        layers = self._viewer.layers
        layers.events.inserted.connect(self._on_layers)
        layers.events.removed.connect(self._on_layers)

    # what happens

    def _on_looked_at(self, places: list[int]) -> None:
        self.feed.want(self.model.row_at(place) for place in places)

    def _on_image(self) -> None:
        self._recut()
        self._show_all()

    def _on_picks_changed(self) -> None:
        if self.review is None or self._layer is None:
            return
        self.review.set_picks(self._layer.picks, are_ids_stable=self._layer.are_ids_stable)
        self.controls.set_columns(self.review.picks.table())
        self._recut()
        self._show_decisions()

    def _on_selected_in_viewer(self, rows: list[int]) -> None:
        """One pick that is selected in the viewer is shown in the sheet."""
        place = self.model.place_of(rows[0]) if len(rows) == 1 else None
        if place is not None:
            self.sheet.go_to(place)

    def _on_stop(self) -> None:
        self.tasks.stop(_MEASURING)
        self.average.stop()
        self.feed.stop()

    def _on_failed(self, error: CryoETError) -> None:
        self.notice.show_error(error)
        self._show_status()

    def _on_layers(self, _event: Any = None) -> None:
        self._list_soon.start()

    def _list_layers(self) -> None:
        layers = list(self._viewer.layers)
        if self._layer is not None and self._layer.layer not in layers:
            self.review_layer(None)
            return
        had_image = self.image
        points = [layer for layer in reversed(layers) if has_picks(layer)]
        self.controls.set_layers(points, [layer for layer in reversed(layers) if can_be_cut(layer)])
        if self.image is None and self.layer is not None:
            self.controls.choose(self.layer, self._image_for(self.layer))
        if self.image is not had_image:
            self._on_image()

    def _image_for(self, layer: Points | None) -> Image | None:
        """The visible volume that lies nearest below a layer."""
        layers = list(self._viewer.layers)
        below = layers[: layers.index(layer)] if layer in layers else layers
        choices = [other for other in below if can_be_cut(other)] or [other for other in layers if can_be_cut(other)]
        visible = [other for other in choices if other.visible]
        return next(reversed(visible or choices), None)

    def _on_theme(self) -> None:
        self.setStyleSheet(style_sheet(self._theme.colors, self.objectName()))


def _places(reader: CropReader) -> dict[str, NDArray[Any]]:
    volume = reader.volume
    return measured(reader.points_zyx, volume.shapes[0], volume.spacing_zyx)


def _number(value: Any, default: float) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e4
    return float(value) if is_number else default
