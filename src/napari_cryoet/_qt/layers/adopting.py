"""Completes layers with data of ours that napari makes itself: those of our readers, and copies of ours.

As soon as one is inserted it gets our type: its volume streams, its picks show as discs, and the sliders step with the
tomogram. By then napari has read a visible volume on the GUI thread, so readers return volumes with
``visible=NOT_YET``.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Points, Vectors

from napari_cryoet._qt.layers.ownership import real
from napari_cryoet._qt.layers.types import OWN_TYPES, StepsWithTomograms, become
from napari_cryoet._qt.picks.orientations import adopt_arrows
from napari_cryoet._qt.picks.slabs import show_as_discs
from napari_cryoet._qt.streaming.progressive import attach
from napari_cryoet._qt.streaming.seam import count_in_nanometers
from napari_cryoet.layers.specs import METADATA_KEY, PICKS_KEY
from napari_cryoet.streaming import pyramid_of


class _NotYet(int):
    """Equals False, and can be told from a user's False, which means that a layer stays hidden."""


NOT_YET: Final = _NotYet(0)


def adopt_layers_of(viewer: ViewerModel) -> None:
    """Complete every layer with data of ours that is inserted into a viewer; calling it again changes nothing.

    This outlives docks, for files that are opened and layers that are duplicated without one.
    """
    viewer = real(viewer)
    inserted = viewer.layers.events.inserted
    if not any(isinstance(slot, partial) and slot.func is _on_inserted for slot in inserted.callbacks):
        inserted.connect(partial(_on_inserted, viewer))
        count_in_nanometers(viewer)


def _on_inserted(viewer: ViewerModel, event: Any) -> None:
    layer, layers = event.value, event.source
    if METADATA_KEY not in layer.metadata:
        return
    was_seen = layer.extent
    own_type = OWN_TYPES.get(type(layer))
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
    if isinstance(layer, Points | Vectors) and PICKS_KEY in layer.metadata:
        adopt_arrows(layer, viewer)
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


def _is_alike(one: Any, other: Any) -> bool:
    return bool((one.world == other.world).all() and (one.step == other.step).all())


def _start_in_the_middle(viewer: ViewerModel) -> None:
    """As napari does with the first layer of a viewer."""
    viewer.reset_view()
    for axis, steps in enumerate(viewer.dims.nsteps):
        viewer.dims.set_current_step(axis, (steps - 1) // 2)
