"""What napari makes of a streamed layer, as its *Duplicate* and *Convert to Image* do, streams as well.

napari makes these layers itself, of the same levels. It would read them on the window's thread, at each step. Once it
does, before they are in a viewer and anybody hears of them: what of that plane hasn't come is waited for.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from napari.components import ViewerModel

from napari_cryoet._qt import volume_layers
from napari_cryoet._qt.active_layer import real
from napari_cryoet.layer_spec import METADATA_KEY
from napari_cryoet.streaming.own_levels import pyramid_below

if TYPE_CHECKING:
    from collections.abc import Callable

#: In which `adopting` sees to what has `METADATA_KEY`, with all that belongs to it.
adopting_viewers: Final[WeakSet[ViewerModel]] = WeakSet()
_viewers: Final[WeakSet[ViewerModel]] = WeakSet()


def stream_copies_in(viewer: ViewerModel, attach: Callable[..., object]) -> None:
    """Let what is inserted into a viewer stream if its data are a pyramid's; calling it again changes nothing.

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


def _on_inserted(viewer: ViewerModel, attach: Callable[..., object], event: Any) -> None:
    layer = event.value
    own_type = volume_layers.OWN_TYPES.get(type(layer))
    is_adopted = METADATA_KEY in layer.metadata and viewer in adopting_viewers
    pyramid = None if own_type is None or is_adopted else pyramid_below(layer.data)
    if own_type is None or pyramid is None:
        return
    volume_layers.become(layer, own_type)
    attach(layer, pyramid, viewer=viewer)
    layer.translate = layer.translate  # napari looks anew where the layer ends
