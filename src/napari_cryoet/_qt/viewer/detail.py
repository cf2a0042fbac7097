"""The resolution of streamed layers: limited by the data saver, and chosen by cost or by the user in 3D.

A volume in 3D needs a whole level to be fetched, held in memory and drawn. napari shows the
coarsest level unless the layer is locked to another. The lock would also apply in 2D, so layers are
locked only in 3D.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakSet

from napari.components import ViewerModel
from napari.layers import Image, Layer
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.layers.ownership import key_of
from napari_cryoet._qt.seam import draws_in_software, largest_texture_side
from napari_cryoet._qt.streaming.progressive import stream_of
from napari_cryoet._qt.viewer.manager import LayerManager
from napari_cryoet._qt.widgets.connections import Connections
from napari_cryoet._qt.widgets.controls import not_none
from napari_cryoet.streaming import Display, pyramid_of
from napari_cryoet.streaming.engine import shared_engine
from napari_cryoet.streaming.plan import LevelCost, level_costs

_USABLE_FRACTION: Final = 0.8  # of the pixel cache: coarser levels need the rest
#: Default limit; a little more than the coarsest level of a typical portal tomogram (6.9 million).
_DEFAULT_VOXELS: Final = 2**23
#: Default limit without a graphics card, so that rotating the volume stays smooth.
_DEFAULT_VOXELS_IN_SOFTWARE: Final = 2**20


class Detail(QObject):
    """Limits the bytes per view of each display.

    The data saver allows none, so layers stay coarse.
    """

    changed = Signal()

    def __init__(
        self, viewer: ViewerModel, manager: LayerManager, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer, self._manager = viewer, manager
        self._usual_bytes: WeakKeyDictionary[Display, int] = WeakKeyDictionary()
        self._requested_bytes: WeakKeyDictionary[Display, int] = WeakKeyDictionary()
        self._shows_full_detail = False  # whether full detail of the current plane was requested
        manager.changed.connect(self.update)
        manager.streams_changed.connect(self.update)
        self._moves = Connections()
        moves = viewer.dims.events
        for event in (moves.current_step, moves.ndisplay, moves.order):
            self._moves.connect(event, self._on_move)

    @property
    def is_held_coarse(self) -> bool:
        return any(self._is_limited(display) for display in self._displays(only_visible=True))

    def load_full(self) -> None:
        """Show the current view at full resolution, until another plane is shown."""
        self._shows_full_detail = True
        self.update()
        for display in self._displays(only_visible=True):
            display.load_in_full()

    def ask_for(self, display: Display, requested_bytes: int) -> None:
        """Allow a display this many bytes per view at the user's request; 0 cancels that."""
        self._requested_bytes[display] = requested_bytes
        self.update()

    def update(self) -> None:
        for display in self._displays():
            usual = self._usual_bytes.setdefault(display, display.usual_view_bytes)
            requested = self._requested_bytes.get(display, 0)
            display.largest_view_bytes = (
                requested if self._is_limited(display) else max(usual, requested)
            )
        self.changed.emit()

    def close(self) -> None:
        """Disconnect from the viewer and reset the limits of the displays."""
        self._moves.close()
        for display in self._displays():
            display.largest_view_bytes = None

    def _is_limited(self, display: Display) -> bool:
        return display.pyramid.stays_coarse and not self._shows_full_detail

    def _displays(self, *, only_visible: bool = False) -> list[Display]:
        return [
            stream.display
            for layer, stream in self._manager.streams()
            if layer.visible or not only_visible
        ]

    def _on_move(self, _event: Any = None) -> None:
        if self._shows_full_detail:
            self._shows_full_detail = False
            self.update()


class VolumeDetail(QObject):
    """Sets the level shown in 3D: the user's choice, or the finest cheap level."""

    changed = Signal()

    def __init__(
        self,
        viewer: ViewerModel,
        manager: LayerManager,
        detail: Detail,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._manager, self._detail = viewer, manager, detail
        self._chosen: WeakKeyDictionary[Layer, int] = WeakKeyDictionary()
        self._locked: WeakKeyDictionary[Layer, int] = WeakKeyDictionary()
        self._handled: WeakSet[Layer] = (
            WeakSet()
        )  # layers handled since entering 3D; users may unlock them
        manager.changed.connect(self._set_levels)
        manager.streams_changed.connect(self._on_streams)
        viewer.dims.events.ndisplay.connect(
            self._on_ndisplay, position="last"
        )  # napari slices first

    @property
    def is_3d(self) -> bool:
        return bool(self._viewer.dims.ndisplay == 3)

    @property
    def largest_bytes(self) -> int:
        return int(shared_engine().memory.limit_bytes * _USABLE_FRACTION)

    def volumes(self) -> list[Layer]:
        """Our layers with a choice of levels, from bottom to top."""
        return [layer for layer in self._streamed() if self.levels(layer)]

    def levels(self, layer: Layer) -> Sequence[LevelCost]:
        """The costs of a layer's levels, coarsest first; empty if there is no choice."""
        pyramid = pyramid_of(layer.data)
        if pyramid is None or len(pyramid.shapes) < 2:
            return ()
        return level_costs(
            pyramid, largest_side=largest_texture_side(), largest_bytes=self.largest_bytes
        )

    def chosen(self, layer: Layer) -> int:
        """The level that 3D shows now, or would show."""
        if self.is_3d:
            return int(layer.data_level)  # may have been set in napari's own controls
        level = self._chosen.get(layer)
        return self._default_level(layer) if level is None else level

    def choose(self, layer: Layer, level: int) -> None:
        self._chosen[layer] = level
        if self.is_3d:
            self._show_chosen(layer)
        self.changed.emit()

    def close(self) -> None:
        self._viewer.dims.events.ndisplay.disconnect(self._on_ndisplay)
        self._unlock()

    def _streamed(self) -> list[Layer]:
        return [layer for layer, _ in self._manager.streams() if key_of(layer) is not None]

    def _on_ndisplay(self, _event: Any = None) -> None:
        self._handled.clear()
        if self.is_3d:
            self._place_planes()
            self._set_levels()
        else:
            for layer in list(self._chosen):
                self._request_bytes(layer, 0)
            self._unlock()
        self.changed.emit()

    def _place_planes(self) -> None:
        """Show tomograms in 3D at the position that was shown in 2D."""
        for layer in self._streamed():
            if isinstance(layer, Image):
                layer.plane.position = layer.world_to_data(self._viewer.dims.point[-layer.ndim :])

    def _on_streams(self) -> None:
        self._set_levels()
        self.changed.emit()

    def _set_levels(self) -> None:
        """Set the level of each volume once after it appears in 3D."""
        for layer in self._streamed() if self.is_3d else ():
            if layer in self._handled:
                continue
            self._handled.add(layer)
            if layer in self._chosen:
                self._show_chosen(layer)
            elif (level := self._default_level(layer)) < len(
                layer.data
            ) - 1 and layer.locked_data_level is None:
                self._lock(layer, level)

    def _default_level(self, layer: Layer) -> int:
        """The default level: the finest cheap one, or the coarsest, also under the data saver."""
        pyramid, coarsest = pyramid_of(layer.data), len(layer.data) - 1
        if pyramid is None or pyramid.stays_coarse:
            return coarsest
        max_voxels = _DEFAULT_VOXELS if not draws_in_software() else _DEFAULT_VOXELS_IN_SOFTWARE
        costs, shapes = self.levels(layer), pyramid.shapes
        cheap = (
            cost.level
            for cost in costs
            if not cost.obstacle and math.prod(shapes[cost.level]) <= max_voxels
        )
        return min(cheap, default=coarsest)

    def _show_chosen(self, layer: Layer) -> None:
        level = self._chosen[layer]
        self._request_bytes(layer, not_none(pyramid_of(layer.data)).size_bytes(level))
        self._lock(layer, level)

    def _request_bytes(self, layer: Layer, requested_bytes: int) -> None:
        if (stream := stream_of(layer)) is not None:
            self._detail.ask_for(stream.display, requested_bytes)

    def _lock(self, layer: Layer, level: int) -> None:
        self._locked[layer] = layer.locked_data_level = level

    def _unlock(self) -> None:
        for layer, level in self._locked.items():
            if layer.locked_data_level == level:
                layer.locked_data_level = None
        self._locked.clear()
