"""The review dock: judges the picks of a layer in a contact sheet, and gives back those that were kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from qtpy.QtGui import QHideEvent

from napari_cryoet._qt.check.layer_volume import are_picks
from napari_cryoet._qt.layers.grid_watch import GridWatch
from napari_cryoet._qt.layers.watch import LayerWatch
from napari_cryoet._qt.picks.layer_geometry import (
    crop_side_nm,
    lacks_unit,
    offered,
    particle_angstrom,
    reader_for,
    volume_for,
)
from napari_cryoet._qt.picks.orientations import active_points
from napari_cryoet._qt.review.review_judging import ReviewJudging
from napari_cryoet._qt.review.review_keeping import ReviewKeeping
from napari_cryoet._qt.review.reviewed_layer import ReviewedLayer
from napari_cryoet._qt.widgets.measuring import Measuring
from napari_cryoet._qt.widgets.timers import single_shot
from napari_cryoet.exceptions import CryoETError, WithheldError
from napari_cryoet.review.columns import Order
from napari_cryoet.review.crops import CropReader, Cube, Frame
from napari_cryoet.review.decisions import Verdict

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Points

#: The viewer follows keys once they rest for so long: napari takes longer to fly than a person to judge the next pick.
_KEYS_REST_MS: Final = 120


class ReviewDock(ReviewJudging):
    """Review picks.

    Parameters
    ----------
    napari_viewer
        The viewer whose layers are reviewed.
    folder
        Where decisions are kept between sessions; None for the user's own folder.
    """

    def __init__(self, napari_viewer: napari.Viewer, *, folder: Path | None = None) -> None:
        super().__init__(napari_viewer)
        self._keeping = ReviewKeeping(folder, self)
        self._layer: ReviewedLayer | None = None
        self._reader: CropReader | None = None
        self._image: Image | None = None
        self._told = ""  # what the last key did
        self.measuring = Measuring(self.tasks, self)
        self._recut_soon = single_shot(self, 0, self._recut)
        self._layer_watch = LayerWatch(napari_viewer, self)
        self._grid_watch = GridWatch(self)
        self._fly_soon = single_shot(self, _KEYS_REST_MS, self._follow_keys)
        self.at_close(self._layer_watch.close)
        self.at_close(self._end)
        self._connect()
        self._begin_with_something()

    # what is reviewed

    @property
    def layer(self) -> Points | None:
        """The layer whose picks are judged."""
        return None if self._layer is None else self._layer.layer

    @property
    def image(self) -> Image | None:
        """The layer that crops are cut from."""
        return self._image

    def use_layer(self, layer: Points) -> None:
        """Review this layer's picks, unless they are reviewed already, and take the keys."""
        if self.layer is not layer:
            self.review_layer(layer)
        self.sheet.setFocus()

    def review_layer(self, layer: Points | None, image: Image | None = None) -> None:
        """Judge the picks of a layer; what was decided about them before is there again.

        Parameters
        ----------
        layer
            Any Points layer with three axes; None ends the review.
        image
            What crops are cut from; by default the volume that lies below it.
        """
        if layer is not None and self.review is not None and not self._keeping.save(self.review):
            self._list_layers()  # stay with what can't be saved
            return
        self._end()
        self._image = image or volume_for(list(self.viewer.layers), layer)
        if layer is not None:
            self._begin(layer)
        self._list_layers()
        self._show_review()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Save what could not be saved before."""
        super().hideEvent(event)
        if self.review is not None:
            self._keeping.save_soon(self.review)

    def _begin_with_something(self) -> None:
        """The active layer, or the only one there is."""
        active, choices = active_points(self.viewer.layers), list(filter(are_picks, self.viewer.layers))
        self.review_layer(active if active in choices else choices[0] if len(choices) == 1 else None)

    def _begin(self, layer: Points) -> None:
        reviewed = None
        try:
            reviewed = ReviewedLayer(self.viewer, layer, self)
            review = self._keeping.open(layer, reviewed.picks)
        except CryoETError as error:
            if reviewed is not None:
                reviewed.close()
                reviewed.deleteLater()
            self.notice.show_error(error)
            return
        self._layer, self.review = reviewed, review
        reviewed.changed.connect(self._on_picks_changed)
        reviewed.obstacle_changed.connect(self._show_review)
        reviewed.selected.connect(self._on_selected_in_viewer)
        if review.remark:
            (self.notice.show_news if review.counts.judged else self.notice.show_notice)(review.remark)
        self.controls.set_can_orient(bool(review.picks.are_oriented.any()))
        self.controls.set_looks(self.controls.looks.recalled(review.view, crop_side_nm(layer)))
        self.controls.set_columns(review.picks.table())
        self.controls.set_sorting(Order(), "")
        self.results.use(layer, review)
        self._recut()
        self._show_decisions()

    def _end(self) -> None:
        """Save, and let go of the layer."""
        self.notice.hide()
        if self.review is not None:
            self._keeping.save(self.review)
        self._recut_soon.stop()
        self._fly_soon.stop()
        self.controls.forget_typing()
        self.measuring.use(None, None)
        self._grid_watch.watch()
        self.feed.use(None, Frame(400, 50))
        self.average.use(None, Cube(400))
        self.model.set_review(None)
        self.results.use(None, None)
        if self._layer is not None:
            self._layer.close()
            self._layer.deleteLater()
        self._layer = self._reader = self.review = None
        self._told = ""

    # what is looked at

    def _recut(self, here: NDArray[np.int64] | None = None) -> None:
        """Cut all crops anew: of other picks, from another volume, or in another frame; ``here`` as in `_sort`."""
        review, layer = self.review, self._layer
        if review is None or layer is None:
            return
        had_volume = self._reader is not None
        self._reader = None
        if self._image is not None:
            try:
                self._reader = reader_for(layer.layer, self._image, review.picks)
            except CryoETError as error:
                self.notice.show_error(error)
        self._grid_watch.watch(layer.layer, self._image)
        looks = self.controls.looks
        side = looks.side_nm * 10
        frame = Frame(side, looks.slab_nm * 10, looks.plane, looks.is_oriented, self.sheet.crop_px | 1)
        self.feed.use(self._reader, frame)
        if self._reader is not None and not had_volume:
            self.average.switch.setChecked(self._reader.volume.is_local)
        self.average.use(self._reader, Cube(side, looks.is_oriented))
        self.measuring.use(review, self._reader, particle_angstrom(layer.layer))
        self._want_average()
        self._sort(here)
        self.sheet.look_again()

    def _sort(self, here: NDArray[np.int64] | None = None) -> None:
        """Sort and filter as the fields say, once all that takes is measured.

        Parameters
        ----------
        here
            What `picks_from_here` was before the picks became others; by default they are the same.
        """
        review = self.review
        if review is None:
            return
        order, text = self.controls.sorting, self.controls.filter_text
        if self.measuring.lacks(order, text):
            if here is not None or self.model.rowCount() != len(review.rows):
                self.show_picks(review, here)  # as they stand, until it is measured
            self._show_status()
            return
        at = self.picks_from_here if here is None else here
        try:
            review.look_at(order, text)
        except CryoETError as error:
            if here is not None:
                self.show_picks(review, here)
            self.controls.set_filter_problem(self.measuring.why_not(text) or str(error))
            return
        self.controls.set_filter_problem("")
        self._told = ""
        self.show_picks(review, at)
        self.show_counts(review)
        self._show_status()

    def _show_review(self) -> None:
        is_unitless = lacks_unit(self.layer) or lacks_unit(self._image)
        obstacle = self._layer.obstacle if self._layer is not None else ""
        self.controls.voxels.ask_about(self._image, beside=self.layer)
        self.show_review(
            self.review,
            self._reader,
            has_image=self._image is not None,
            is_unitless=is_unitless,
            is_image_unitless=lacks_unit(self._image) and not lacks_unit(self.layer),
            obstacle=obstacle,
        )

    # what follows judging

    def fly_to(self, place: int) -> None:
        """Show the pick at a place of the sheet in the viewer, and select it there."""
        self._fly_soon.stop()
        if self._layer is not None:
            row = self.model.row_at(place)
            self._layer.fly_to(row)
            self._layer.select([row])

    def _follow_keys(self) -> None:
        place = self.sheet.currentIndex().row()
        if 0 <= place < self.model.rowCount():
            self.fly_to(place)

    def _show_decisions(self) -> None:
        """Verdicts are others: in the sheet, the viewer, the average and the counts."""
        review = self.review
        if review is None or self._layer is None:
            return
        self.model.refresh()
        self._layer.dim(review.ids[review.rows_with(Verdict.REJECTED)])
        self._want_average()
        self.results.update_counts()
        self.show_counts(review)

    def _want_average(self) -> None:
        if self.review is not None:
            self.average.want(self.review.rows_with(Verdict.KEPT).tolist())

    # what happens

    def _connect(self) -> None:
        self.controls.points_chosen.connect(self.review_layer)
        self.controls.image_chosen.connect(self._on_image_chosen)
        self.controls.looks_changed.connect(self._on_looks)
        self.controls.order_changed.connect(self._sort)
        self.told.connect(self._tell)
        self.decided.connect(self._on_decided)
        self.went_on.connect(self._fly_soon.start)
        self.sheet.opened.connect(self.fly_to)
        self.sheet.stepped.connect(self._fly_soon.start)
        self.sheet.looked_at.connect(self._on_looked_at)
        self.feed.state_changed.connect(self._show_status)
        self.average.state_changed.connect(self._show_status)
        self.measuring.done.connect(self._sort)
        self.measuring.ended.connect(self._show_status)
        self.status.stop_requested.connect(self._on_stop)
        self.status.retry_requested.connect(self.feed.retry)
        self.results.told.connect(self.notice.show_news)
        for part in (self.measuring, self.average, self.results):
            part.failed.connect(self._on_failed)
        self._keeping.failed.connect(self.notice.show_error)
        self._keeping.recovered.connect(self._on_recovered)
        self.tasks.unhandled.connect(self._on_failed)
        self._grid_watch.changed.connect(self._on_grid)
        self._layer_watch.changed.connect(self._list_layers)

    def _on_decided(self) -> None:
        if self.review is not None:
            self._keeping.save_soon(self.review)
        self._show_decisions()

    def _on_looks(self) -> None:
        """Cut crops as the fields say now, and remember that."""
        self._recut_soon.start()
        if self.review is not None:
            self.review.remember_view(self.controls.looks.remembered())
            self._keeping.save_soon(self.review)

    def _on_looked_at(self, shown: list[int], ahead: list[int]) -> None:
        self.feed.want(map(self.model.row_at, shown), map(self.model.row_at, ahead))

    def _on_image_chosen(self, image: Image | None) -> None:
        self._image, self._reader = image, None
        self._recut()
        self._show_review()

    def _on_grid(self) -> None:
        if self._reader is None:
            self.notice.hide()  # a complaint about where they lay
        self._recut()
        self._show_review()

    def _on_picks_changed(self) -> None:
        if self.review is None or self._layer is None:
            return
        here = self.picks_from_here
        self.review.set_picks(self._layer.picks)
        if self.model.rowCount() != len(self.review.rows):
            self.model.set_review(self.review)  # at once: there are other places now, and whoever looks asks for them
        self.controls.set_columns(self.review.picks.table())
        self._recut(here)
        self._show_review()
        self._show_decisions()

    def _on_selected_in_viewer(self, rows: list[int]) -> None:
        """One pick that is selected in the viewer is shown in the sheet."""
        place = self.model.place_of(rows[0]) if len(rows) == 1 else None
        if place is not None:
            self.sheet.go_to(place)

    def _on_stop(self) -> None:
        self.measuring.stop()
        self.average.stop()
        self.feed.stop()

    def _on_failed(self, error: CryoETError) -> None:
        if isinstance(error, WithheldError):
            self.notice.show_notice(str(error))  # the switch is in the portal's dock
        else:
            self.notice.show_error(error)
        self._show_status()

    def _on_recovered(self) -> None:
        self.notice.show_news("What could not be saved is saved now.")

    def _show_status(self) -> None:
        self.show_status(self.review, self._told, is_measuring=self.measuring.is_running)

    def _tell(self, text: str) -> None:
        """Say what a key did, until the next one does something else."""
        self._told = text
        self._show_status()

    # which layers there are

    def _list_layers(self) -> None:
        """Offer the layers that there are; what is reviewed ends with its layer."""
        layers = list(self.viewer.layers)
        if self.layer is not None and self.layer not in layers:
            self.review_layer(None)
            return
        points, images = offered(layers)
        self.controls.set_layers(points, images)
        if self._image not in images:
            self._on_image_chosen(volume_for(layers, self.layer))
        self.controls.choose(self.layer, self._image)
