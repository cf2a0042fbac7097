"""The reviewed layer in the viewer: fade rejected picks, mark and show one pick, and make result layers."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from napari.components import ViewerModel
from napari.layers import Points
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QSignalBlocker, Signal

from napari_cryoet._qt.layers.ownership import about_of
from napari_cryoet._qt.layers.placement import placing_of, world_position
from napari_cryoet._qt.picks.layer_picks import live_picks_of
from napari_cryoet._qt.tasks import single_shot
from napari_cryoet._qt.viewer.crosshair import move_sliders, remove_crosshair, show_crosshair
from napari_cryoet._qt.widgets.connections import Connections
from napari_cryoet.appearance.colors import rgba_of
from napari_cryoet.layers.specs import METADATA_KEY, LayerSpec, picks_specs
from napari_cryoet.picks import Picks
from napari_cryoet.provenance import Provenance
from napari_cryoet.review.review import Review, kept_picks, rejected_picks
from napari_cryoet.review.session import Verdict

#: Relative opacity of rejected picks.
FAINT: Final = 0.2
_MARK: Final = "napari_cryoet_reviewed_pick"
_MARK_RADII: Final = 1.5  # gap of the mark, in particle radii
#: Symbols, and the sheet's frame colours made lighter to stand out from a tomogram.
_LOOKS: Final = {Verdict.KEPT: ("#00d494", "disc"), Verdict.REJECTED: ("#ff6a3c", "x")}


class ReviewedLayer(QObject):
    """Follows a layer during a review; closing it restores the layer's appearance.

    Arrows copy the colours of their points, so they fade too.

    Attributes
    ----------
    picks
        The layer's current picks, in its order.

    Raises
    ------
    ValueError
        If a coordinate isn't finite.
    """

    changed = Signal()  # of `picks`
    selected = Signal(object)  # rows selected in the viewer

    def __init__(self, viewer: ViewerModel, layer: Points, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.layer = layer
        self.live = live_picks_of(layer)
        self.picks: Picks = self.live.picks
        self._viewer = viewer
        self._mark = PickMark(viewer, layer)
        self._rejected = np.empty(0, np.int64)
        self._faint = (
            np.empty(0, np.int64),
            np.empty((0, 2)),
        )  # sorted ids, and their original face and border opacity
        self._fade_soon = single_shot(self, 0, self._fade)
        self._connections = Connections()
        self._connections.connect(self.live.changed, self._on_edited)
        self._connections.connect(layer.events.face_color, self._on_color)
        self._connections.connect(layer.events.border_color, self._on_color)
        self._connections.connect(layer.selected_data.events.items_changed, self._on_selection)

    def close(self) -> None:
        """Stop following the layer and restore its appearance."""
        self._fade_soon.stop()
        self._mark.close()
        self.live.read_kept = None
        self._connections.close()
        self.fade(np.empty(0, np.int64))

    def fade(self, ids: NDArray[np.int64]) -> None:
        """Fade these picks and restore all others."""
        if not np.array_equal(ids, self._rejected):
            self._rejected = ids
            self._fade()

    def fly_to(self, row: int) -> None:
        """Centre the view on a pick in its plane, and select it."""
        if row >= len(self.picks):
            return
        self.mark(row)
        position = world_position(self._viewer, self.layer, self.picks.points_zyx[row])
        fly_to(self._viewer, position)
        with QSignalBlocker(self):
            self.layer.selected_data = {int(row)}

    def mark(self, row: int | None) -> None:
        self._mark.show(
            None if row is None or row >= len(self.picks) else self.picks.points_zyx[row]
        )

    def _on_edited(self) -> None:
        """Update after an edit; colours have moved with their points."""
        self.picks = self.live.picks
        self._fade()
        self.changed.emit()

    def _on_color(self, _event: Any = None) -> None:
        self._fade_soon.start()

    def _on_selection(self, _added: object = None, _removed: object = None) -> None:
        if not self.live.is_writing:
            self.selected.emit(sorted(map(int, self.layer.selected_data)))

    def _fade(self) -> None:
        """Restore the opacity of all picks, then reduce that of the rejected ones."""
        ids, (faint, before) = self.picks.ids, self._faint
        columns = [getattr(self.layer, name)[:, 3] for name in ("face_color", "border_color")]
        if len(columns[0]) != len(ids):
            return  # the layer is being edited, and a signal will follow
        opacities = np.column_stack(columns)
        was_faint = np.isin(ids, faint)
        opacities[was_faint] = before[np.searchsorted(faint, ids[was_faint])]
        rows = np.flatnonzero(np.isin(ids, self._rejected))
        rows = rows[np.argsort(ids[rows])]
        self._faint = ids[rows], opacities[rows]
        opacities[rows] *= FAINT
        for column, values in zip(columns, opacities.T, strict=True):
            column[:] = values
        with self.layer.events.border_color.blocker(self._on_color):
            self.layer.events.border_color()  # redraws the faces too


class PickMark:
    """A crosshair around one pick, visible near its plane.

    An overlay, so that the layer list doesn't change.
    """

    def __init__(self, viewer: ViewerModel, layer: Points) -> None:
        self._viewer, self._layer = viewer, layer
        self._point_zyx: NDArray[np.float64] | None = None
        self._crosshair = show_crosshair(viewer, _MARK)
        self._connections = Connections()
        dims, own = viewer.dims.events, layer.events
        for event in (
            *(dims.point, dims.order, dims.ndisplay),
            *(own.visible, own.size, own.units, own.scale, own.translate),
        ):
            self._connections.connect(event, self._draw)
        self._draw()

    def close(self) -> None:
        self._connections.close()
        remove_crosshair(self._viewer, _MARK)

    def show(self, point_zyx: NDArray[np.float64] | None) -> None:
        self._point_zyx = point_zyx
        self._draw()

    def _draw(self, _event: Any = None) -> None:
        viewer, layer, point = self._viewer, self._layer, self._point_zyx
        if point is None or not layer.visible:
            self._crosshair.visible = False
            return
        center = world_position(viewer, layer, point)
        dims = viewer.dims
        size = float(np.median(layer.size)) if len(layer.size) else 1.0
        edge = world_position(viewer, layer, point + size / 2)
        radius = float(np.abs(edge - center).max())
        position = (*dims.point[: dims.ndim - len(center)], *map(float, center))
        self._crosshair.gap = radius * _MARK_RADII
        self._crosshair.position = position
        self._crosshair.visible = all(
            abs(dims.point[axis] - position[axis]) <= radius for axis in dims.not_displayed
        )


def fly_to(viewer: ViewerModel, world: NDArray[np.float64]) -> None:
    """Centre the view on a position, in world coordinates along the viewer's last axes, without zooming.

    In 2D, sliders along the plane move too, so that orthogonal views follow.
    """
    dims = viewer.dims
    first = dims.ndim - len(world)
    point = [*dims.point[:first], *map(float, world)]
    axes = range(first, dims.ndim)
    if any(axis >= first for axis in dims.not_displayed):
        move_sliders(dims, {axis: point[axis] for axis in axes})
    center = [point[axis] for axis in dims.displayed]
    viewer.scene.camera.center = (*(0.0,) * (3 - len(center)), *center)


def result_specs(layer: Points, review: Review) -> list[LayerSpec]:
    """Layers of the kept and of the rejected picks, if any, placed like the reviewed layer."""
    specs: list[LayerSpec] = []
    for verdict, chosen in ((Verdict.KEPT, kept_picks), (Verdict.REJECTED, rejected_picks)):
        picks, (color, symbol) = chosen(review.picks, review.decisions), _LOOKS[verdict]
        about = about_of(layer).updated(picks.about)
        about = about.updated(Provenance(more={"review": verdict.word}))
        points, *arrows = picks_specs(
            picks,
            placing_of(layer) | {"metadata": {METADATA_KEY: about}},
            name=f"{verdict.word} {len(picks):,} · {layer.name}",
            color=rgba_of(color),
            diameter_angstrom=float(np.median(layer.size)) if len(layer.size) else 10.0,
            spacing_angstrom=1.0,
        )
        points.options["symbol"] = symbol
        if len(picks):
            specs += [points, *arrows]
    return specs
