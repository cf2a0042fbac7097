"""Which level of a streamed layer is shown in three dimensions: the finest that costs little, or what a person chooses.

In three dimensions all of a level is fetched, held and drawn, whatever is seen of it. napari shows the coarsest one. It
shows a level that a layer is locked to in two dimensions as well. So a layer is locked only while three are shown, and
what was chosen is remembered for the next time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.layers.manager import LayerManager
from napari_cryoet._qt.layers.ownership import LayerKey
from napari_cryoet._qt.streaming.detail import Detail, usual_bytes_of
from napari_cryoet._qt.streaming.texture_limit import draws_in_software, largest_texture_side
from napari_cryoet.streaming import Display
from napari_cryoet.streaming.engine import shared_engine
from napari_cryoet.streaming.plan import LevelCost, level_costs

_USABLE_SHARE = 0.8  # of the memory for pixels: coarser levels are needed beside
#: Unless a person chooses: a little more than the coarsest level of a usual tomogram of the portal has (6.9 million).
_UNASKED_VOXELS = 2**23
#: As long as no graphics card is known of: what is turned is to follow the mouse.
_UNASKED_VOXELS_IN_SOFTWARE = 2**20


class VolumeDetail(QObject):
    """Shows the levels that were chosen, and what each would cost."""

    changed = Signal()

    def __init__(self, viewer: ViewerModel, link: LayerManager, detail: Detail, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._link, self._detail = viewer, link, detail
        self._chosen: WeakKeyDictionary[Display, int] = WeakKeyDictionary()  # a layer may be given another image
        self._locks = _Locks(viewer)
        self._begun: WeakSet[Display] = WeakSet()  # since volumes are shown; whoever unlocks one wants napari's level
        link.changed.connect(self._begin)
        link.streams_changed.connect(self._on_streams)
        viewer.dims.events.ndisplay.connect(self._on_ndisplay, position="last")  # napari slices first

    @property
    def is_3d(self) -> bool:
        """Whether volumes are shown."""
        return bool(self._viewer.dims.ndisplay == 3)

    @property
    def largest_bytes(self) -> int:
        """How much memory one volume may take."""
        return int(shared_engine().memory.limit_bytes * _USABLE_SHARE)

    def volumes(self) -> tuple[LayerKey, ...]:
        """What has levels to choose from, from bottom to top."""
        order = {id(layer): place for place, layer in enumerate(self._viewer.layers)}
        found = [key for key in self._link.shown() if self.levels(key)]
        return tuple(sorted(found, key=lambda key: order.get(id(self._link.layers_of(key)[0]), -1)))

    def levels(self, key: LayerKey) -> Sequence[LevelCost]:
        """The levels of something, coarsest first; none where there is nothing to choose."""
        display = self._link.display_of(key)
        if display is None or len(display.pyramid.shapes) < 2:
            return ()
        return level_costs(display.pyramid, largest_side=largest_texture_side(), largest_bytes=self.largest_bytes)

    def chosen(self, key: LayerKey) -> int:
        """The level that is shown in three dimensions, now or the next time."""
        layer = self._link.layers_of(key)[0]
        if self.is_3d:
            return int(layer.data_level)  # napari's own controls may have chosen, too
        display = self._link.display_of(key)
        level = None if display is None else self._chosen.get(display)
        return self._unasked(key) if level is None else level

    def choose(self, key: LayerKey, level: int) -> None:
        """Show another level, at once if volumes are shown."""
        display = self._link.display_of(key)
        if display is not None:
            self._chosen[display] = level
            if self.is_3d:
                self._show_chosen(display, self._link.layers_of(key)[0])
        self.changed.emit()

    def close(self) -> None:
        """Hear no more of the viewer; what volumes may need, planes may not, as soon as these are shown."""
        self._viewer.dims.events.ndisplay.disconnect(self._on_ndisplay)
        if self.is_3d:
            self._locks.lend(self._chosen)

    def _on_ndisplay(self, _event: Any = None) -> None:
        self._begun.clear()
        if self.is_3d:
            self._locks.begin()
            self._begin()
        else:
            for display in list(self._chosen):
                self._detail.ask_for(display, None)
            self._locks.end()
        self.changed.emit()

    def _on_streams(self) -> None:
        self._begin()
        self.changed.emit()

    def _begin(self) -> None:
        """Give each volume that has come into the 3D view a level, once."""
        if not self.is_3d:
            return
        for key in self._link.shown():
            layer, display = self._link.layers_of(key)[0], self._link.display_of(key)
            if display is None or display in self._begun:
                continue
            self._begun.add(display)
            if display in self._chosen:
                self._show_chosen(display, layer)
            elif (level := self._unasked(key)) < self._coarsest(key) and layer.locked_data_level is None:
                self._locks.lock(layer, level)

    def _unasked(self, key: LayerKey) -> int:
        """The finest level that isn't much, or the coarsest one; this one, too, while the data saver wants it so."""
        display, coarsest = self._link.display_of(key), self._coarsest(key)
        if display is None or display.pyramid.stays_coarse:
            return coarsest
        most = _UNASKED_VOXELS if draws_in_software() is False else _UNASKED_VOXELS_IN_SOFTWARE
        shapes, costs = display.pyramid.shapes, self.levels(key)
        few = (cost.level for cost in costs if not cost.obstacle and math.prod(shapes[cost.level]) <= most)
        return min(few, default=coarsest)

    def _coarsest(self, key: LayerKey) -> int:
        return len(self._link.layers_of(key)[0].data) - 1

    def _show_chosen(self, display: Display, layer: Layer) -> None:
        level = self._chosen[display]
        self._detail.ask_for(display, display.pyramid.size_bytes(level))
        self._locks.lock(layer, level)


class _Locks:
    """The levels that layers are locked to while a viewer shows volumes; they end with that, also without a dock."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._levels: WeakKeyDictionary[Layer, int] = WeakKeyDictionary()
        self._before: WeakKeyDictionary[Layer, int] = WeakKeyDictionary()  # what somebody locked: copies, too
        self._lent: WeakKeyDictionary[Display, int] = WeakKeyDictionary()  # what planes of each may need then
        self._hear = partial(_Locks._on_ndisplay, self)  # napari keeps this alive, and a method it wouldn't

    def begin(self) -> None:
        """Know what is locked already, as volumes begin to be shown."""
        self._levels.clear()
        self._before = WeakKeyDictionary()
        for layer in self._viewer.layers:
            if (level := _locked_level(layer)) is not None:
                self._before[layer] = level

    def lock(self, layer: Layer, level: int) -> None:
        """Lock a layer for as long as volumes are shown."""
        self._viewer.dims.events.ndisplay.connect(self._hear, position="last")  # napari slices first
        self._levels[layer] = layer.locked_data_level = level

    def lend(self, displays: Iterable[Display]) -> None:
        """Let displays need what they may for as long as volumes are shown."""
        for display in displays:
            self._lent[display] = usual_bytes_of(display)

    def end(self) -> None:
        """Lock what somebody locked before, and nothing else, nor copies that napari made of what was locked."""
        self._viewer.dims.events.ndisplay.disconnect(self._hear)
        for layer, level in self._levels.items():
            if layer.locked_data_level == level:
                layer.locked_data_level = self._before.get(layer)
        for layer in self._viewer.layers:
            parent = None if layer.source.parent is None else layer.source.parent()  # napari keeps a weak reference
            if parent in self._levels and layer not in self._before and _locked_level(layer) == self._levels[parent]:
                layer.locked_data_level = None
        self._levels.clear()
        for display, usual_bytes in self._lent.items():
            display.largest_view_bytes = 0 if display.pyramid.stays_coarse else usual_bytes
        self._lent.clear()

    def _on_ndisplay(self, _event: Any = None) -> None:
        if self._viewer.dims.ndisplay != 3:
            self.end()


def _locked_level(layer: Layer) -> int | None:
    return getattr(layer, "locked_data_level", None)
