"""What napari makes of a streamed layer, as its *Duplicate* and *Convert to Image* do, streams as well.

napari makes these layers itself, of the same levels. It would read them on the window's thread, at each step. Once it
does, before they are in a viewer and anybody hears of them: what of that plane hasn't come is waited for. A level that
it takes out by itself (*New layer from selected multiscale level*) gets rid of its padding, and lies where it is. A
layer that is given other levels streams these.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from napari_cryoet._qt import napari_internals, volume_layers
from napari_cryoet._qt.active_layer import real
from napari_cryoet.layer_spec import METADATA_KEY
from napari_cryoet.streaming.exact_array import ExactArray
from napari_cryoet.streaming.own_levels import level_of, pyramid_below

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_cryoet.streaming.pyramid import Pyramid

#: In which `adopting` sees to what has `METADATA_KEY`, with all that belongs to it.
adopting_viewers: Final[WeakSet[ViewerModel]] = WeakSet()
_viewers: Final[WeakSet[ViewerModel]] = WeakSet()
_heeded: Final[WeakSet[Layer]] = WeakSet()  # layers that may be given other data


def stream_copies_in(viewer: ViewerModel, attach: Callable[..., object]) -> None:
    """Let what is inserted into a viewer stream if its data are a pyramid's; calling it again changes nothing.

    So does a layer in it that is given a pyramid's levels later.

    Parameters
    ----------
    viewer
        In which something streams.
    attach
        What lets a layer stream; see `progressive.attach`.
    """
    viewer = real(viewer)
    if viewer not in _viewers:
        _viewers.add(viewer)
        viewer.layers.events.inserted.connect(partial(_on_inserted, viewer, attach))
        for layer in viewer.layers:
            _heed(layer, attach)


def show_as_stored(layer: Layer) -> None:
    """See to a level that napari has taken out of a layer: its padding would be saved with it.

    napari moves each by half of what its voxels are larger, also where every n-th voxel makes the level.
    """
    parent = layer.source.parent and layer.source.parent()
    if parent is None or not isinstance(layer.data, ExactArray) or (found := level_of(layer.data)) is None:
        return
    stored = layer.data.as_stored()
    if stored is not layer.data:
        layer.data = stored
    pyramid, level = found
    if pyramid.coarse_offset != "strided" or not level or parent.ndim != layer.ndim:
        return
    moved = (np.array(pyramid.factors[level]) - 1) / 2 * np.asarray(parent.scale)
    if np.allclose(layer.translate, parent.translate + moved):
        layer.translate = parent.translate


def _on_inserted(viewer: ViewerModel, attach: Callable[..., object], event: Any) -> None:
    layer = event.value
    _heed(layer, attach)
    is_adopted = METADATA_KEY in layer.metadata and viewer in adopting_viewers
    if not getattr(napari_internals.slicing_state_of(layer), "has_its_data", True):
        _stream_what_it_was_given(layer, attach)  # while it was in no viewer
    if type(layer) not in volume_layers.OWN_TYPES or is_adopted:
        return
    pyramid = pyramid_below(layer.data)
    if pyramid is not None:
        _stream(layer, pyramid, viewer, attach)
    show_as_stored(layer)


def _heed(layer: Layer, attach: Callable[..., object]) -> None:
    if isinstance(layer, Image | Labels) and layer not in _heeded:
        _heeded.add(layer)
        layer.events.data.connect(lambda event: _stream_what_it_was_given(event.source, attach))


def _stream_what_it_was_given(layer: Image | Labels, attach: Callable[..., object]) -> None:
    """Let a layer that somebody has given levels of a pyramid stream these; napari has read its first picture."""
    viewer = next((viewer for viewer in _viewers if layer in viewer.layers), None)
    pyramid, state = pyramid_below(layer.data), napari_internals.slicing_state_of(layer)
    if getattr(state, "has_its_data", False):
        volume_layers.become(layer, type(layer))  # as it was: napari has forgotten how large it is
        return
    if viewer is None or pyramid is None:
        return
    if (before := getattr(state, "status", None)) is not None:
        before.close()
    _stream(layer, pyramid, viewer, attach)


def _stream(layer: Image | Labels, pyramid: Pyramid, viewer: ViewerModel, attach: Callable[..., object]) -> None:
    volume_layers.become(layer, volume_layers.OWN_TYPES.get(type(layer), type(layer)))
    attach(layer, pyramid, viewer=viewer)
    layer.translate = layer.translate  # napari looks anew where the layer ends
