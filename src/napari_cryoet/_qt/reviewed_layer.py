"""A Points layer as it is reviewed: which picks it shows, which of them are dim, and where they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from napari.components import ViewerModel
from napari.layers import Points, Vectors
from napari.utils.colormaps.standardize_color import transform_color
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.dimming import DimmedColors, dimmed_parts, undimmed_colors
from napari_cryoet._qt.flying import fly_to, place_in
from napari_cryoet._qt.layer_table import table_of
from napari_cryoet._qt.orientation_display import points_of
from napari_cryoet._qt.picks_link import link_of
from napari_cryoet._qt.point_looks import Looks
from napari_cryoet._qt.timers import single_shot
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.layer_spec import METADATA_KEY, PICK_ID
from napari_cryoet.picks import Picks

#: napari tells colours in whole parts of 255.
_HEX_STEP: Final = 1 / 255
_COLORS: Final = ("face_color", "border_color")


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
    former
        The picks as they were when they were opened, and where those that were moved have been since.
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
        self.former: tuple[Picks, ...] = self._link.former
        self._viewer = viewer
        self._dimmed = np.empty(0, np.int64)
        self._points = dimmed_parts(layer)
        self._arrows: dict[Vectors, list[DimmedColors]] = {}
        self._is_ours = False
        self._shows_others = bool(self._link.obstacle)
        self._recolor_soon = single_shot(self, 0, self._recolor)
        self._link.changed.connect(self._on_edited)
        self._link.obstacle_changed.connect(self._on_obstacle)
        self._link.true_looks = self._true_looks
        undimmed_colors[layer] = self._undimmed_colors
        layer.events.face_color.connect(self._on_color)
        layer.events.border_color.connect(self._on_color)
        layer.events.current_face_color.connect(self._on_current_color)
        layer.events.current_border_color.connect(self._on_current_color)
        layer.selected_data.events.items_changed.connect(self._on_selection)
        viewer.layers.events.inserted.connect(self._on_color)

    def close(self) -> None:
        """Follow the layer no more, and let it look as it did."""
        self._recolor_soon.stop()
        self._link.changed.disconnect(self._on_edited)
        self._link.obstacle_changed.disconnect(self._on_obstacle)
        self._link.true_looks = lambda looks: looks
        layer = self.layer
        undimmed_colors.pop(layer, None)
        layer.events.face_color.disconnect(self._on_color)
        layer.events.border_color.disconnect(self._on_color)
        layer.events.current_face_color.disconnect(self._on_current_color)
        layer.events.current_border_color.disconnect(self._on_current_color)
        layer.selected_data.events.items_changed.disconnect(self._on_selection)
        self._viewer.layers.events.inserted.disconnect(self._on_color)
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
        chosen = {int(row) for row in rows}
        if self._shows_others:
            chosen = set(np.flatnonzero(np.isin(self._ids_of_rows(), self._ids[sorted(chosen)])).tolist())
        self._is_ours = True
        try:
            self.layer.selected_data = chosen
        finally:
            self._is_ours = False

    def fly_to(self, row: int) -> None:
        """Show a pick in the middle of the canvas, in its plane."""
        if row < len(self.picks):
            fly_to(self._viewer, place_in(self._viewer, self.layer, self.picks.points_zyx[row]))

    @property
    def _ids(self) -> NDArray[np.int64]:
        return self.picks.ids

    def _ids_of_rows(self) -> NDArray[np.int64]:
        """Which pick each row of the layer is; among picks that can't be any just now there are others."""
        column = table_of(self.layer).get(PICK_ID) if self._shows_others else None
        is_told = column is not None and column.dtype.kind in "iu" and len(column) == len(self.layer.data)
        return np.asarray(column, dtype=np.int64) if is_told else self._ids

    def _on_edited(self) -> None:
        """Colours have moved with their points."""
        self.picks = self._link.picks
        self._recolor()
        self.changed.emit()

    def _on_obstacle(self) -> None:
        """The layer's rows are others than the picks, or are these again."""
        self._shows_others = bool(self.obstacle)
        self._recolor()
        self.obstacle_changed.emit()

    def _on_color(self, _event: Any = None) -> None:
        if not self._is_ours:
            self._recolor_soon.start()

    def _on_current_color(self, _event: Any = None) -> None:
        """A person may have coloured what is selected; napari says the same where something else is selected."""
        if any(part.is_touched for part in self._points):
            self._on_color()

    def _on_selection(self, _added: object = None, _removed: object = None) -> None:
        if not self._is_ours and not self._link.is_writing:
            rows = sorted(map(int, self.layer.selected_data))
            if self._shows_others:
                ids = self._ids_of_rows()
                rows = np.flatnonzero(np.isin(self._ids, ids[[row for row in rows if row < len(ids)]])).tolist()
            self.selected.emit(rows)

    def _recolor(self) -> None:
        """Dim what is to be dim, in the colours that there are now."""
        ids = self._ids_of_rows()
        self._is_ours = True
        try:
            self._brighten_the_next()  # while it is known what was dim
            for part in self._points:
                part.show(ids, self._dimmed)
            for arrows, parts in self._find_arrows().items():
                row_ids = np.asarray(arrows.features[PICK_ID], dtype=np.int64)
                for part in parts:
                    part.show(row_ids, self._dimmed)
        finally:
            self._is_ours = False

    def _true_looks(self, looks: Looks) -> Looks:
        """How picks look where they aren't reviewed: they may come back after that."""
        colors = {
            name: part.undimmed(looks.ids, looks.values[name]) for name, part in zip(_COLORS, self._points, strict=True)
        }
        return Looks(looks.ids, looks.values | colors)

    def _undimmed_colors(self) -> dict[str, NDArray[np.float64]]:
        ids = self._ids_of_rows()
        return {
            name: part.undimmed(ids, getattr(self.layer, name))
            for name, part in zip(_COLORS, self._points, strict=True)
        }

    def _brighten_the_next(self) -> None:
        """The colour that napari gives the next point is that of what was selected last, which may be dim."""
        for name, part in zip(("current_face_color", "current_border_color"), self._points, strict=True):
            (color,) = transform_color(getattr(self.layer, name))
            (bright,) = part.brightened(np.array([color]), _HEX_STEP)
            if not np.array_equal(bright, color):
                with self.layer.block_update_properties():
                    setattr(self.layer, name, bright)

    def _find_arrows(self) -> dict[Vectors, list[DimmedColors]]:
        """The layers of arrows that were made of the same picks."""
        self._arrows = {
            layer: self._arrows.get(layer) or dimmed_parts(layer)
            for layer in self._viewer.layers
            if isinstance(layer, Vectors) and PICK_ID in layer.features and self._are_ours(layer)
        }
        return self._arrows

    def _are_ours(self, arrows: Vectors) -> bool:
        """Whether arrows follow these points; of those that follow none, whether they are of the same picks."""
        points, about = points_of(arrows), _source(self.layer)
        return points is self.layer if points is not None else about is not None and _source(arrows) == about


def _source(layer: Points | Vectors) -> Any:
    """What says that two layers are of the same picks: who made them of which file."""
    about = layer.metadata.get(METADATA_KEY)
    if not isinstance(about, dict):
        return None
    source = about.get("source_url"), about.get("annotation_file_id"), about.get("review")
    return None if source == (None, None, None) else source
