"""The review dock: judge a layer's picks in a contact sheet, and add or export the kept ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from napari import Viewer
from napari.layers import Image, Layer, Points
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeyEvent, QKeySequence
from qtpy.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSlider,
    QToolButton,
)

from napari_cryoet._qt.files.questions import ask_spacing
from napari_cryoet._qt.layers.layer_combo import NO_PICKS, NO_TOMOGRAM, LayerCombo
from napari_cryoet._qt.layers.placement import PLACING
from napari_cryoet._qt.picks.layer_picks import (
    are_picks,
    is_volume,
    lacks_unit,
    placed_picks_of,
    volume_for,
)
from napari_cryoet._qt.picks.orientations import active_points
from napari_cryoet._qt.review.contact_sheet import SheetKeys, SheetModel, SheetView
from napari_cryoet._qt.review.controls import ReviewControls
from napari_cryoet._qt.review.crops import (
    AveragePanel,
    CropFeed,
    crop_side_nm,
    measured,
    particle_angstrom,
    reader_for,
)
from napari_cryoet._qt.review.reviewed_layer import ReviewedLayer, result_specs
from napari_cryoet._qt.tasks import disk, single_shot
from napari_cryoet._qt.viewer.adding import add_layers
from napari_cryoet._qt.widgets.connections import Connections
from napari_cryoet._qt.widgets.controls import (
    ElidedLabel,
    column_in,
    explain,
    not_none,
    plain_label,
    progress_bar,
    row_of,
)
from napari_cryoet._qt.widgets.dock import COMMAND_KEYS, Dock, open_dock
from napari_cryoet._qt.widgets.messages import NoticeBar
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.review.review import Review, kept_picks
from napari_cryoet.review.session import Counts, Subject, Verdict
from napari_cryoet.review.sheet import Looks, ReviewSheet
from napari_cryoet.volumes import are_inside
from napari_cryoet.volumes.crops import CropReader, Cube, Frame

NOTHING: Final = "Choose a layer of points to review. Show an annotation from the portal dock, or open a file of picks."
NO_IMAGE: Final = "Open the tomogram that these picks were made in: crops are cut from it."
EMPTY: Final = "This layer holds no picks. Add some with napari's tools, or choose another layer."
ALL_OUTSIDE: Final = (
    "None of these picks lies inside this tomogram. Choose the one that they were made in, or let Check picks find out "
    "what is wrong."
)
IMAGE_WITHOUT_UNIT: Final = (
    "This tomogram's layer doesn't say how wide its voxels are, so the picks don't fit it."
)
_FOLLOW_MS: Final = (
    120  # wait for a pause in typing, since moving the viewer takes longer than judging a pick
)
_RECUT_MS: Final = 150  # wait while a layer or a slider is dragged
_OPEN, _SAVE, _MEASURE = "open review", "save review", "measure picks"
_RECUT, _SPACING = "cut crops", "voxel spacing"
_VERDICTS: Final = {
    Qt.Key.Key_K: (Verdict.KEPT, "Keep"),
    Qt.Key.Key_X: (Verdict.REJECTED, "Reject"),
    Qt.Key.Key_U: (Verdict.UNDECIDED, "Undecided"),
}


class ReviewDock(Dock):
    """The dock to review picks.

    Parameters
    ----------
    napari_viewer
        The viewer whose layers are reviewed.
    folder
        The folder for review files; None for the user's data folder.

    Attributes
    ----------
    review_sheet
        The state of the current review; None until its file is read.
    """

    def __init__(self, napari_viewer: Viewer, *, folder: Path | None = None) -> None:
        super().__init__(napari_viewer, "Review picks", tab_name="Review")
        self.review_sheet: ReviewSheet | None = None
        self._folder = folder
        self._layer: ReviewedLayer | None = None
        self._reader: CropReader | None = None
        self._watched = Connections()  # to what cuts crops again
        self.points = LayerCombo(self, are_picks, "Picks to review", NO_PICKS)
        self.image = LayerCombo(self, is_volume, "Tomogram that crops are cut from", NO_TOMOGRAM)
        self.controls = ReviewControls(self.image)
        self.feed = CropFeed(self.tasks, self)
        self.model = SheetModel(self.feed, self)
        self.sheet = SheetView(self.model, self.theme)
        self.average = AveragePanel(self.tasks)
        self.notice = NoticeBar(self.theme)
        self._recut_soon = single_shot(self, _RECUT_MS, self._recut)
        self._fly_soon = single_shot(
            self, _FOLLOW_MS, lambda: self.fly_to(self.sheet.currentIndex().row())
        )
        self._make_buttons()
        self._lay_out()
        self._connect()
        SheetKeys(self, self._action_of)
        self.at_close(self._end)
        active = active_points(napari_viewer.layers)
        self.review_layer(active if active is not None and are_picks(active) else self.points.layer)

    # the reviewed layer

    @property
    def review(self) -> Review | None:
        return None if self.review_sheet is None else self.review_sheet.review

    @property
    def layer(self) -> Points | None:
        return None if self._layer is None else self._layer.layer

    def use_layer(self, layer: Points) -> None:
        """Review this layer's picks, unless they are under review, and focus the sheet."""
        if self.layer is not layer:
            self.review_layer(layer)
        self.sheet.setFocus()

    def review_layer(self, layer: Points | None) -> None:
        """Start reviewing a layer's picks, restoring earlier verdicts; None ends the review."""
        review = self.review
        has_failed = review is not None and review.has_unsaved and not self.tasks.is_running(_SAVE)
        if has_failed and self.layer in self.viewer.layers:
            self._save()  # retry, and stay with verdicts that couldn't be saved
        else:
            self._end()
            image = volume_for(list(self.viewer.layers), layer)
            if image is not None:
                self.image.choose(image)
            if layer is not None:
                self._begin(layer)
        if self.layer is not None:
            self.points.choose(self.layer)
        self._show_review()

    def _begin(self, layer: Points) -> None:
        try:
            self._layer = ReviewedLayer(self.viewer, layer, self)
        except ValueError as error:
            self.notice.show_notice(f"The points of {layer.name} can't be reviewed: {error}.")
            return
        picks = self._layer.picks
        subject = Subject.of(picks, name=layer.name, path=getattr(layer.source, "path", None))
        self._layer.changed.connect(self._on_picks_changed)
        self._layer.selected.connect(self._on_selected_in_viewer)
        opening = disk.submit(Review, picks, subject, self._folder)
        self.tasks.run(_OPEN, lambda _job: opening.result(), then=self._on_opened)

    def _on_opened(self, review: Review) -> None:
        reviewed = not_none(self._layer)
        layer = reviewed.layer
        self.review_sheet = ReviewSheet(review)
        if review.picks is not reviewed.picks:  # edited while the file was read
            review.set_picks(reviewed.picks)
        reviewed.live.read_kept = lambda: kept_picks(placed_picks_of(layer), review.decisions)
        looks = Looks(side_nm=crop_side_nm(layer)).resumed(review)
        self.controls.begin(
            looks, review.picks.table(), can_orient=bool(review.picks.are_oriented.any())
        )
        review.view = self.controls.looks.to_dict()
        self._recut()
        self.review_sheet.message = review.remark  # after the sorting, which clears it
        self._show_verdicts()

    def _end(self) -> None:
        self._save()
        self.notice.hide()
        self.tasks.stop(_OPEN)
        self._fly_soon.stop()
        if self._layer is not None:
            self._layer.close()
            self._layer.deleteLater()
        self._layer = None
        self.review_sheet = None
        for button in self.shown.values():
            button.setChecked(False)
        self.controls.begin(self.controls.looks, (), can_orient=False)
        self.model.set_sheet(None)
        self._recut()

    # saving, in the background

    def _save(self) -> None:
        review = self.review
        if review is None:
            return
        if self.controls.looks.to_dict() != review.view:
            review.remember_view(self.controls.looks.to_dict())
        if not review.has_unsaved:
            return
        saving = disk.submit(review.save)
        self.tasks.run(
            _SAVE,
            lambda _job: saving.result(),
            then=lambda _none: self.notice.withdraw(_SAVE),
            failed=partial(self.notice.show_error, topic=_SAVE),
        )

    # judging

    def judge(self, verdict: Verdict) -> None:
        """Apply a verdict to the selected picks; keeping and rejecting move on to the next pick."""
        cells = self.sheet.selected_cells
        if self.review_sheet is None or not cells:
            return
        if self.review_sheet.judge(cells, verdict):
            self._save()
            self._show_verdicts()
        if verdict is not Verdict.UNDECIDED:
            self.next_undecided(otherwise=cells[-1] + 1)

    def next_undecided(self, step: int = 1, *, otherwise: int = -1) -> None:
        """Go to the next undecided pick, or to the cell ``otherwise`` if there is none.

        The viewer follows.
        """
        cell = not_none(self.review_sheet).next_undecided(self.sheet.currentIndex().row(), step)
        self._show_status()
        self._go_to(otherwise if cell is None else cell)

    def _go_to(self, cell: int) -> None:
        if 0 <= cell < self.model.rowCount():
            self._fly_soon.start()
            self.sheet.go_to(cell)

    def undo(self) -> None:
        """Undo the last verdict and select its picks."""
        self._show_step(not_none(self.review_sheet).undo())

    def redo(self) -> None:
        """Redo the last undone verdict and select its picks."""
        self._show_step(not_none(self.review_sheet).redo())

    def _show_step(self, cells: list[int] | None) -> None:
        if cells is None:
            return
        if cells:
            self._go_to(cells[0])
            self.sheet.select(cells)
        self._save()
        self._show_verdicts()

    def _show_verdicts(self) -> None:
        """Update the sheet, the viewer, the average and the counts after a change of verdicts."""
        review = not_none(self.review)
        self.model.refresh()
        not_none(self._layer).fade(review.ids[review.rows_with(Verdict.REJECTED)])
        self.average.want(review.rows_with(Verdict.KEPT).tolist())
        self._show_counts()

    # crops and order

    def fly_to(self, cell: int) -> None:
        """Show and select the pick of a cell in the viewer."""
        self._fly_soon.stop()
        if self._layer is not None and 0 <= cell < self.model.rowCount():
            self._layer.fly_to(self.model.row_at(cell))

    def _mark(self) -> None:
        if self._fly_soon.isActive():
            return  # the viewer is drawn once, after it moved
        index = self.sheet.currentIndex()
        if self._layer is not None:
            self._layer.mark(self.model.row_at(index.row()) if index.isValid() else None)

    def _recut(self) -> None:
        """Cut all crops again after picks, volume or frame changed."""
        review, layer, image, looks = self.review, self.layer, self.image.layer, self.controls.looks
        had_volume, self._reader = self._reader is not None, None
        self._recut_soon.stop()
        self.tasks.stop(_MEASURE)
        if review is None or layer is None:
            self._watch()
        else:
            self._watch(layer, image)
            self._reader = self._read(layer, image, review)
            review.forget_measured()
            self._save()
        side, pixels = looks.side_nm * 10, self.sheet.crop_px | 1
        self.feed.use(
            self._reader, Frame(side, looks.slab_nm * 10, looks.plane, looks.is_oriented, pixels)
        )
        if self._reader is not None and not had_volume:
            self.average.switch.setChecked(self._reader.volume.is_local)
        self.average.use(self._reader, Cube(side, looks.is_oriented))
        self.average.want([] if review is None else review.rows_with(Verdict.KEPT).tolist())
        self._sort()
        self._show_review()

    def _read(self, layer: Points, image: Image | None, review: Review) -> CropReader | None:
        if image is None:
            return None
        try:
            reader = reader_for(layer, image, review.picks)
        except CryoETError as error:
            self.notice.show_error(error, topic=_RECUT)
            return None
        self.notice.withdraw(_RECUT)
        return reader

    def _watch(self, *layers: Layer | None) -> None:
        """Cut crops again whenever one of these layers is moved; stop watching others."""
        self._watched.close()
        for layer in layers:
            if layer is not None:
                for name in PLACING:
                    self._watched.connect(getattr(layer.events, name), self._on_moved)

    def _on_moved(self, _event: object = None) -> None:
        self._recut_soon.start()

    def _sort(self) -> None:
        """Apply the sort order and the filter, after measuring the columns they need."""
        review_sheet = self.review_sheet
        layer = self.layer
        if review_sheet is None or layer is None:
            return
        order = self.controls.sorting
        text = self.controls.filter_text
        name = review_sheet.missing_column(order, text, has_volume=self._reader is not None)
        if name is not None:
            work = partial(
                measured,
                name=name,
                picks=review_sheet.review.picks,
                reader=self._reader,
                diameter_angstrom=particle_angstrom(layer),
            )
            self.tasks.run(_MEASURE, work, then=self._on_measured, title="Measuring picks")
        else:
            problem = review_sheet.look_at(order, text, self.shown_verdict)
            self.controls.set_filter_problem(problem)
        self._show_picks(review_sheet)
        self._show_counts()

    def _on_measured(self, columns: dict[str, NDArray[Any]]) -> None:
        not_none(self.review).set_measured(columns)
        self._sort()

    @property
    def shown_verdict(self) -> Verdict | None:
        """The verdict to which the sheet is limited; None for all."""
        return next((verdict for verdict, button in self.shown.items() if button.isChecked()), None)

    def _show_picks(self, review_sheet: ReviewSheet) -> None:
        """Show the picks in their new order.

        Keep the current pick, or its cell if it is hidden.
        """
        before = self.model.ids
        current = self.sheet.currentIndex().row()
        self.model.set_sheet(review_sheet)
        cell = review_sheet.same_cell(current, before)
        if cell is not None:
            self.sheet.go_to(cell)
        self._mark()

    # signals

    def _connect(self) -> None:
        self.points.layer_changed.connect(self._on_points)
        self.image.layer_changed.connect(self._on_image)
        self.controls.looks_changed.connect(self._recut_soon.start)
        self.controls.order_changed.connect(self._sort)
        self.controls.filter.returnPressed.connect(self.sheet.setFocus)
        self.controls.crop_size.valueChanged.connect(self.sheet.set_crop_px)
        self.gear.toggled.connect(self.controls.setVisible)
        self.sheet.opened.connect(self.fly_to)
        self.sheet.moved.connect(self._mark)
        self.sheet.looked_at.connect(lambda cells: self.feed.want(map(self.model.row_at, cells)))
        for changed in (
            self.feed.arrived,
            self.feed.failed,
            self.tasks.started,
            self.tasks.finished,
        ):
            changed.connect(lambda *_what: self._show_status())
        self.tasks.unhandled.connect(self.notice.show_error)

    def add_result_layers(self) -> None:
        """Add the kept and the rejected picks as layers; the active layer stays active."""
        sheet = not_none(self.review_sheet)
        active = self.viewer.layers.selection.active
        add_layers(self.viewer, result_specs(not_none(self.layer), sheet.review))
        self.viewer.layers.selection.active = active
        counts = sheet.review.counts
        sheet.message = (
            f"Added layers of {counts.kept:,} kept and {counts.rejected:,} rejected picks."
        )
        self._show_status()

    def _on_points(self) -> None:
        if self.points.layer is not self.layer:
            self.review_layer(self.points.layer)

    def _on_image(self) -> None:
        self._reader = None  # resets the average's switch for the new volume
        self._recut()

    def _on_shown(self, verdict: Verdict) -> None:
        for other, button in self.shown.items():
            if other is not verdict:
                button.setChecked(False)
        self._sort()

    def _on_picks_changed(self) -> None:
        if self.review is None or self._layer is None:
            return
        self.review.set_picks(self._layer.picks)
        self.controls.set_columns(self.review.picks.table(), self.controls.sorting.column)
        self._recut()
        self._show_verdicts()

    def _on_selected_in_viewer(self, rows: list[int]) -> None:
        if self.review_sheet is None or len(rows) != 1:
            return
        cell = self.review_sheet.cell_of(rows[0])
        if cell is not None:
            self.sheet.go_to(cell)

    # keys

    def take_keys(self) -> None:
        """Focus the sheet, or the choice of layer if there is nothing to judge."""
        (self.points if self.sheet.isHidden() else self.sheet).setFocus(
            Qt.FocusReason.OtherFocusReason
        )

    def _action_of(self, event: QKeyEvent) -> Callable[[], None] | None:
        """The action of a key in a review; None for other keys."""
        if self.review is None:
            return None
        if event.matches(QKeySequence.StandardKey.Undo):
            return self.undo
        if event.matches(QKeySequence.StandardKey.Redo):
            return self.redo
        if event.modifiers() & COMMAND_KEYS:
            return None
        if event.key() == Qt.Key.Key_Space:
            is_back = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
            return partial(self.next_undecided, -1 if is_back else 1)
        key = Qt.Key(event.key())
        return partial(self.judge, _VERDICTS[key][0]) if key in _VERDICTS else None

    # status and counts

    def _show_review(self) -> None:
        """Show the review's widgets, or a hint about what is missing."""
        has_layer = self._layer is not None
        image = self.image.layer
        self.notice.withdraw(_SPACING)
        if has_layer and lacks_unit(image) and not lacks_unit(self.layer):
            self.notice.show_notice(
                IMAGE_WITHOUT_UNIT, "Give it…", lambda: ask_spacing(image, self), topic=_SPACING
            )
        hint = self._missing()
        self.hint.setText(hint)
        self.hint.setVisible(bool(hint))
        for part in (self.controls.crop_size, *self._judging):
            part.setVisible(has_layer)
        self.gear.setEnabled(has_layer)
        self.controls.setVisible(has_layer and self.gear.isChecked())
        self._show_counts()

    def _missing(self) -> str:
        layer, image, reader = self.layer, self.image.layer, self._reader
        if layer is None:
            return NOTHING
        if not len(layer.data):
            return EMPTY
        if image is None:
            return NO_IMAGE
        if reader is not None and not are_inside(reader.points_zyx, reader.volume.shape_zyx).any():
            return ALL_OUTSIDE
        return ""

    def _show_counts(self) -> None:
        counts = Counts(0, 0, 0) if self.review is None else self.review.counts
        self.shown[Verdict.KEPT].setText(f"Kept {counts.kept:,}")
        self.shown[Verdict.REJECTED].setText(f"Rejected {counts.rejected:,}")
        self.shown[Verdict.UNDECIDED].setText(f"Undecided {counts.total - counts.judged:,}")
        self.progress.setMaximum(max(1, counts.total))
        self.progress.setValue(counts.judged)
        self.progress.setAccessibleName(str(counts))
        self.counts.setText(f"{counts.judged:,} of {counts.total:,}")
        self.as_layers.setEnabled(counts.judged > 0)
        self.export.setEnabled(counts.kept > 0)
        self._show_status()

    def _show_status(self) -> None:
        """Show an error, the result of the last action, or the reading progress."""
        text = ""
        is_measuring = self.tasks.is_running(_MEASURE)
        if is_measuring:
            text = "Measuring picks…"
        elif self.review_sheet is not None:
            text = str(self.feed.error or self.review_sheet.status_text(self.feed.n_waiting))
        self.status.setText(text)
        self.stop.setVisible(is_measuring)
        self.retry.setVisible(self.feed.error is not None)

    # widgets

    def _make_buttons(self) -> None:
        self.gear = QToolButton()
        self.gear.setCheckable(True)
        explain(self.gear, "Settings: tomogram, crop, order and filter")
        self.theme.set_icon(self.gear, "gear")
        self.shown, self.verdicts = {}, {}
        for key, (verdict, word) in _VERDICTS.items():
            shown = _button(
                "",
                f"Show only {verdict.word} picks; click again for all",
                partial(self._on_shown, verdict),
            )
            shown.setCheckable(True)
            goes_on = ", and go on to the next pick" if verdict else ""
            tip = f"{word} the selected picks{goes_on} ({chr(key)})"
            judge = _button(f"{chr(key)}  {word}", tip, partial(self.judge, verdict))
            judge.setObjectName(f"verdict{chr(key)}")
            self.shown[verdict], self.verdicts[verdict] = shown, judge
        self.hint = plain_label(name="dimText")
        self.progress, self.counts = progress_bar(), QLabel()
        self.progress.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        tip = "Add the kept and the rejected picks as layers"
        self.as_layers = _button("As layers", tip, self.add_result_layers)
        tip = "Write the kept picks to a file, with the reviewer's name and the date"
        self.export = _button(
            "Export…",
            tip,
            lambda: open_dock(self.viewer, "Export picks").use_layer(self.layer, "kept"),
        )
        self.status = ElidedLabel(name="statusText")
        self.stop = _button("Stop", "Stop measuring", lambda: self.tasks.stop(_MEASURE))
        self.retry = _button("Retry", "Read the missing crops again", self.feed.retry)

    def _lay_out(self) -> None:
        self.setFocusProxy(self.sheet)
        self._judging = (
            row_of(*self.shown.values()),
            self.sheet,
            row_of(*self.verdicts.values()),
            self.average,
            row_of(self.progress, self.counts, self.as_layers, self.export),
        )
        column = column_in(
            self,
            row_of(self.points, self.controls.crop_size, self.gear),
            self.controls,
            self.notice,
            self.hint,
            *self._judging,
            row_of(self.status, self.retry, self.stop),
            margins=(6, 6, 6, 2),
            spacing=5,
        )
        column.setStretchFactor(self.sheet, 1)
        column.addStretch(0)
        for kind in (QAbstractButton, QComboBox, QSlider):
            for control in self.findChildren(kind):
                control.setFocusPolicy(
                    Qt.FocusPolicy.TabFocus
                )  # clicks leave the focus on the sheet


def _button(text: str, tooltip: str, act: Callable[[], object]) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tooltip)
    button.clicked.connect(lambda _checked: act())
    return button
