"""Layers that show data of ours, whoever adds them to a viewer: the dock, napari's reader, a person's copy.

napari makes the layers of readers and copies itself. What they need beyond that they get as soon as they are inserted:
volumes stream and end where what was stored ends, picks show as discs, and the sliders step with the tomogram.

napari serves its own listeners first, so by then it has read a visible volume on the GUI thread. Whoever hands volumes
to napari therefore hands them over with ``visible=NOT_YET``.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final
from weakref import WeakSet

import numpy as np
from napari import layers as napari_layers
from napari.components import ViewerModel
from napari.components.layerlist import LayerList
from napari.layers import Image, Labels, Layer, Points, Vectors
from napari.utils.notifications import show_info
from qtpy.QtCore import QTimer

from napari_cryoet._qt.layers.ownership import real
from napari_cryoet._qt.layers.types import OWN_TYPES, StepsWithTomograms, Surface, become
from napari_cryoet._qt.picks.orientations import adopt_arrows, points_of
from napari_cryoet._qt.picks.slabs import show_as_discs
from napari_cryoet._qt.picks.types import Points as OwnPoints
from napari_cryoet._qt.picks.types import Vectors as OwnVectors
from napari_cryoet._qt.streaming.progressive import attach
from napari_cryoet.layers.specs import METADATA_KEY, PICKS_KEY
from napari_cryoet.streaming import pyramid_of
from napari_cryoet.wording import plain


class _NotYet(int):
    """As false as 0, and not the False by which a person says that a layer shall stay hidden."""


NOT_YET: Final = _NotYet(0)
_adopting_viewers: Final[WeakSet[ViewerModel]] = WeakSet()

_OWN_TYPES: Final[dict[type[Layer], type[Layer]]] = OWN_TYPES | {
    napari_layers.Points: OwnPoints,
    napari_layers.Surface: Surface,
    napari_layers.Vectors: OwnVectors,
}


def adopt_layers_of(viewer: ViewerModel) -> None:
    """See to every layer with data of ours that will be inserted into a viewer; calling it again changes nothing."""
    viewer = real(viewer)
    if viewer not in _adopting_viewers:
        _adopting_viewers.add(viewer)
        viewer.layers.events.inserted.connect(partial(_on_inserted, viewer))


def _on_inserted(viewer: ViewerModel, event: Any) -> None:
    layer, layers = event.value, event.source
    if METADATA_KEY not in layer.metadata:
        return
    was_seen = layer.extent
    own_type = _OWN_TYPES.get(type(layer))
    pyramid = pyramid_of(layer.data) if isinstance(layer, Image | Labels) else None
    if own_type is not None:
        become(layer, own_type)  # whoever keeps its extent is told below, if that is another
    if isinstance(layer, StepsWithTomograms):
        layer.lie_beside(layers)
    if isinstance(layer, Image | Labels):
        _place_level(layer)
    if pyramid is not None:
        attach(layer, pyramid, viewer=viewer)
    show_as_discs(layer)
    if isinstance(layer, Points) and PICKS_KEY in layer.metadata:
        adopt_arrows(layer, viewer)
    elif isinstance(layer, Vectors) and PICKS_KEY in layer.metadata:
        adopt_arrows(layer, viewer)
        if layer.source.parent is not None:  # a copy; that of its points may be on its way
            QTimer.singleShot(0, partial(_tell_of_lone_arrows, layer, layers))
    if not _is_alike(was_seen, layer.extent):
        layer.translate = layer.translate  # napari looks anew where the layer ends and how its planes lie
        if len(layers) == 1:
            _start_in_the_middle(viewer)
    if layer.visible is NOT_YET:
        layer.visible = True


def _place_level(layer: Image | Labels) -> None:
    """Put a level that napari made a layer of where its voxels are: napari takes them for means of finer ones."""
    parent = layer.source.parent and layer.source.parent()
    pyramid = None if parent is None else pyramid_of(parent.data)
    if pyramid is not None and pyramid.coarse_offset == "strided" and not layer.multiscale:
        as_mean = parent.translate + (layer.scale - parent.scale) / 2
        if np.allclose(layer.translate, as_mean):
            layer.translate = parent.translate


def _tell_of_lone_arrows(arrows: Vectors, layers: LayerList) -> None:
    """The *Duplicate* of napari makes arrows that look as if they belonged to picks."""
    if arrows in layers and points_of(arrows) is None:
        show_info(f"“{plain(arrows.name)}” stays as it is: arrows that are copied without their picks follow none.")


def _is_alike(one: Any, other: Any) -> bool:
    return bool((one.world == other.world).all() and (one.step == other.step).all())


def _start_in_the_middle(viewer: ViewerModel) -> None:
    """As napari does with the first layer of a viewer."""
    viewer.reset_view()
    for axis, steps in enumerate(viewer.dims.nsteps):
        viewer.dims.set_current_step(axis, (steps - 1) // 2)
