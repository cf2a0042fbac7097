"""What is changed in napari's slicing of image and labels layers so that they stream.

Each of these layers has a slicing state, which builds frozen slice requests and takes in the responses. `slice_by` puts
a subclass in its place, which hands both over to be changed. napari promises none of these names: `missing_names` tries
all of them once, and without them napari slices the exact arrays.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from contextlib import nullcontext
from functools import cache
from typing import Any, Final, Protocol

import napari
import numpy as np
from napari.layers import Image, Layer

from napari_cryoet._qt.streaming.napari_internals import open_viewers

log = logging.getLogger(__name__)

_OF_STATE: Final = ("_slice_input", "_units", "data_slice", "set_slice_input")
_METHODS_OF_STATE: Final = ("_make_slice_request_internal", "_update_slice_response")
_REQUEST_FIELDS: Final = frozenset(
    {"data_at_data_level", "data_at_thumbnail_level", "data_level", "thumbnail_level", "data_slice"}
    | {"corner_pixels", "downsample_factors", "level_shapes", "projection_mode", "slice_input"}
)
_RESPONSE_FIELDS: Final = frozenset({"image", "tile_to_data", "slice_input", "empty"})


class Slicer(Protocol):
    """Changes how a layer is sliced."""

    def begin_slice(self) -> None:
        """Napari begins to slice the layer."""

    def changed_request(self, request: Any) -> Any:
        """The request to slice by, instead of napari's."""

    def changed_response(self, response: Any) -> Any:
        """What to show, instead of what came of the request."""

    def end_slice(self) -> None:
        """What was sliced is shown."""

    @property
    def postpones_thumbnail(self) -> bool:
        """Whether the thumbnail, which napari makes with each slice, is made later."""


class _Slicing:
    """Over the slicing state of an image or labels."""

    slicer: Slicer

    def _make_slice_request_internal(self, **arguments: Any) -> Any:
        self.slicer.begin_slice()
        return self.slicer.changed_request(super()._make_slice_request_internal(**arguments))  # type: ignore[misc]

    def _update_slice_response(self, response: Any) -> None:
        super()._update_slice_response(self.slicer.changed_response(response))  # type: ignore[misc]
        self.slicer.end_slice()


def slice_by(layer: Layer, slicer: Slicer) -> bool:
    """Let a layer be sliced by a slicer from now on; False if this napari slices in another way."""
    if missing_names():
        return False
    own: Any = layer._slicing_state
    base = type(own).__bases__[-1] if isinstance(own, _Slicing) else type(own)
    try:
        slicer.changed_request(_trial_request(layer))
        state: Any = type(f"Streamed{base.__name__}", (_Slicing, base), {})(layer, layer.data, False)
        state.set_slice_input(own._slice_input, True)
        state._units, state.slicer = own._units, slicer
    except Exception as error:  # noqa: BLE001 - whatever a napari may do that nobody knows yet
        log.warning("%s is not drawn progressively: %s", layer.name, error)
        return False
    layer._slicing_state = state
    return True


def slicer_of(layer: Any) -> Slicer | None:
    """By what a layer is sliced; None where that is napari."""
    return getattr(getattr(layer, "_slicing_state", None), "slicer", None)


def read_no_level_whole(layer: Layer) -> None:
    """Have napari ask for what it draws of a picture without depth; else it reads all of the coarsest level before."""
    if getattr(layer, "_level_materializer", None) is not None:
        layer._level_materializer = None


def is_sliced_in_3d(layer: Layer | None) -> bool:
    """Whether all of a layer's last three axes are displayed."""
    state = getattr(layer, "_slicing_state", None)
    return len(getattr(getattr(state, "_slice_input", None), "displayed", ())) == 3


def update_thumbnail(layer: Layer) -> None:
    """Make a layer's thumbnail anew from the slice that it has."""
    if hasattr(layer, "_update_thumbnail"):
        layer._update_thumbnail()


def place_plane(layer: Any) -> None:
    """Draw a volume's oblique plane where the layer says: napari takes finest voxels for those of the level drawn."""
    if str(layer.depiction) != "plane" or not is_sliced_in_3d(layer) or not hasattr(layer, "_transforms"):
        return
    displayed = list(layer._slicing_state._slice_input.displayed)
    scale = np.asarray(layer._transforms[0].scale)[displayed]
    corner = np.asarray(layer._transforms[0].translate)[displayed] - 0.5
    canvases = (getattr(getattr(viewer.window, "_qt_viewer", None), "canvas", None) for viewer in open_viewers())
    for visual in (getattr(canvas, "layer_to_visual", {}).get(layer) for canvas in canvases):
        node = getattr(visual, "node", None)
        if node is not None and hasattr(node, "plane_position"):
            node.plane_position = tuple((np.asarray(layer.plane.position) - corner) / scale - 0.5)
            node.plane_normal = tuple(np.asarray(layer.plane.normal) * scale)
            node.plane_thickness = max(1.0, layer.plane.thickness / float(scale.max()))


class LateThumbnail:
    """Over a napari layer: its thumbnail waits where its slicer says so."""

    def _update_thumbnail(self) -> None:
        slicer = slicer_of(self)
        if slicer is None or not slicer.postpones_thumbnail:
            super()._update_thumbnail()  # type: ignore[misc]


@cache
def missing_names() -> tuple[str, ...]:
    """What this napari lacks of all that; tried once, on a layer of a few voxels, and written into the log."""
    try:
        names = tuple(_missing_names())
    except Exception as error:  # noqa: BLE001 - whatever a napari may do that nobody knows yet
        names = (f"such internals ({type(error).__name__}: {error})",)
    if names:
        log.warning("napari %s has no %s: volumes don't sharpen while they load", napari.__version__, ", ".join(names))
    return names


def _missing_names() -> Iterator[str]:
    levels = [np.zeros((4, 4, 4)), np.zeros((2, 2, 2))]
    layer = Image(levels, multiscale=True, contrast_limits=(0, 1), cache=False, visible=False)
    state: Any = getattr(layer, "_slicing_state", None)
    if gone := [name for name in (*_OF_STATE, *_METHODS_OF_STATE) if not hasattr(state, name)]:
        yield from gone
        return
    request = _trial_request(layer)
    for record, names in ((request, _REQUEST_FIELDS), (request(), _RESPONSE_FIELDS)):
        fields = {field.name for field in dataclasses.fields(record)} if dataclasses.is_dataclass(record) else set()
        yield from sorted(names - fields)


def _trial_request(layer: Layer) -> Any:
    """The request by which napari would slice a layer now."""
    state: Any = layer._slicing_state
    napari_state: Any = super(_Slicing, state) if isinstance(state, _Slicing) else state
    arguments = {"slice_input": state._slice_input, "data_slice": state.data_slice, "dask_indexer": nullcontext}
    return napari_state._make_slice_request_internal(**arguments)
