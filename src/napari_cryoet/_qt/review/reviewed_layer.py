"""A Points layer as it is reviewed: which picks it shows, which of them are dim, and where they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Points, Vectors
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.layers.dimming import Dimming, dimmings_of
from napari_cryoet._qt.picks.layer_picks import link_of
from napari_cryoet._qt.picks.orientations import points_of
from napari_cryoet._qt.review.flying import fly_to, place_in
from napari_cryoet._qt.widgets.timers import single_shot
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.layers.specs import PICK_ID
from napari_cryoet.picks import Picks


class ReviewedLayer(QObject):
    """Follows a layer, and the arrows that go with it, until it is closed; then they look as they did before.

    Raises
    ------
    CryoETError
        If its points are no picks.

    Attributes
    ----------
    picks
        What the layer shows now, in its order; a pick keeps its id wherever its row goes.
    """

    changed = Signal()  # the picks are others now
    obstacle_changed = Signal()  # ask `obstacle`
    selected = Signal(object)  # the rows that a person selected in the viewer

    def __init__(self, viewer: ViewerModel, layer: Points, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.layer = layer
        try:
            self._link = link_of(layer)
        except ValueError as error:  # as points that are nowhere
            raise CryoETError(f"The points of {layer.name} can't be reviewed: {error}.") from error
        self.picks: Picks = self._link.picks
        self._viewer = viewer
        self._dimmed = np.empty(0, np.int64)
        self._points = dimmings_of(layer)
        self._arrows: dict[Vectors, list[Dimming]] = {}
        self._is_ours = False
        self._recolor_soon = single_shot(self, 0, self._recolor)
        self._link.changed.connect(self._on_edited)
        self._link.obstacle_changed.connect(self.obstacle_changed)
        self._events = [
            (layer.events.face_color, self._on_color),
            (layer.events.border_color, self._on_color),
            (layer.selected_data.events.items_changed, self._on_selection),
            (viewer.layers.events.inserted, self._on_color),
        ]
        for event, slot in self._events:
            event.connect(slot)

    def close(self) -> None:
        """Follow the layer no more, and let it look as it did."""
        self._recolor_soon.stop()
        self._link.changed.disconnect(self._on_edited)
        self._link.obstacle_changed.disconnect(self.obstacle_changed)
        for event, slot in self._events:
            event.disconnect(slot)
        self.dim(np.empty(0, np.int64))

    @property
    def obstacle(self) -> str:
        """Why what the layer shows just now can't be picks, while `picks` are those of before; empty where it can."""
        return self._link.obstacle

    def dim(self, ids: NDArray[np.int64]) -> None:
        """Draw some picks faintly, their arrows too, and no others."""
        if not np.array_equal(ids, self._dimmed):
            self._dimmed = ids
            self._recolor()

    def select(self, rows: Iterable[int]) -> None:
        """Select picks in the layer."""
        self._is_ours = True
        try:
            self.layer.selected_data = {int(row) for row in rows}
        finally:
            self._is_ours = False

    def fly_to(self, row: int) -> None:
        """Show a pick in the middle of the canvas, in its plane."""
        if row < len(self.picks):
            fly_to(self._viewer, place_in(self._viewer, self.layer, self.picks.points_zyx[row]))

    def _on_edited(self) -> None:
        """Colours have moved with their points."""
        self.picks = self._link.picks
        self._recolor()
        self.changed.emit()

    def _on_color(self, _event: Any = None) -> None:
        if not self._is_ours:
            self._recolor_soon.start()

    def _on_selection(self, _added: object = None, _removed: object = None) -> None:
        if not self._is_ours and not self._link.is_writing:
            self.selected.emit(sorted(map(int, self.layer.selected_data)))

    def _recolor(self) -> None:
        """Dim what is to be dim, in the colours that there are now."""
        self._arrows = {
            layer: self._arrows.get(layer) or dimmings_of(layer)
            for layer in self._viewer.layers
            if isinstance(layer, Vectors) and PICK_ID in layer.features and points_of(layer) is self.layer
        }
        self._is_ours = True
        try:
            for part in self._points:
                part.show(self.picks.ids, self._dimmed)
            for arrows, parts in self._arrows.items():
                for part in parts:
                    part.show(np.asarray(arrows.features[PICK_ID], dtype=np.int64), self._dimmed)
        finally:
            self._is_ours = False
