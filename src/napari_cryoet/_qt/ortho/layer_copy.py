"""Copies of layers for another viewer, with shared data, and with appearance and edits kept in sync.

Streamed copies share their layer's pyramid, including its requests and cache. Arrays are shared
too.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Points, Vectors
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.layers.placement import PLACING
from napari_cryoet._qt.picks.slabs import show_as_discs_like, show_slab, slab_nm_of
from napari_cryoet._qt.streaming.progressive import StreamState, StreamStatus, make_layer, stream_of
from napari_cryoet._qt.tasks import single_shot
from napari_cryoet._qt.viewer.adding import adopt_layers_of
from napari_cryoet._qt.widgets.connections import Connections
from napari_cryoet.layers.specs import PICKS_KEY, LayerSpec
from napari_cryoet.streaming import Display, pyramid_of

#: The attributes to copy, in the order of setting: dependencies come first.
_COMMON: Final = (
    "name",
    "visible",
    "opacity",
    "blending",
    *PLACING,
)
_OF_TYPE: Final[dict[type[Layer], tuple[str, ...]]] = {
    Image: (
        "contrast_limits_range",
        "contrast_limits",
        "gamma",
        "colormap",
        "interpolation2d",
        "projection_mode",
    ),
    Labels: ("colormap", "contour", "selected_label", "show_selected_label", "projection_mode"),
    Points: (
        *("data", "features", "size", "symbol", "border_width", "border_width_is_relative"),
        *("face_color", "border_color", "shown", "antialiasing", "projection_mode"),
    ),
    Vectors: (
        "data",
        "features",
        "edge_width",
        "edge_color",
        "length",
        "vector_style",
        "projection_mode",
    ),
}
#: Attributes with a value per point or vector; when the number of rows changes, all must be set.
_OF_ROWS: Final = frozenset(
    {"data", "features", "size", "symbol", "border_width", "face_color", "border_color", "shown"}
    | {"edge_width", "edge_color"}
)
#: The events of a mask whose shared array has changed in place.
_PAINTED: Final = frozenset({"paint", "labels_update"})
#: Attributes for 3D, which don't apply to planes.
_ONLY_3D: Final = frozenset({"experimental_clipping_planes", "locked_data_level"})
#: Attributes that napari's layer data tuples of labels lack.
_NOT_IN_TUPLE: Final = ("contour", "selected_label", "show_selected_label")


def why_not_copied(layer: Layer) -> str:
    """The reason why a layer can't be shown in other planes, to follow its name.

    Empty if it can.
    """
    if _type_of(layer) is None:
        return f"is a {type(layer).__name__.lower()} layer"
    if layer.ndim < 3:
        return "has no depth"
    if isinstance(layer, Image) and layer.rgb:
        return "is a colour picture"
    if isinstance(layer, Image | Labels) and pyramid_of(layer.data) is None:
        levels = layer.data if layer.multiscale else [layer.data]
        if not all(isinstance(level, np.ndarray) for level in levels):
            return "is read from its file plane by plane, which would block the window"
    return ""


class LayerCopy(QObject):
    """Keeps a copy of a layer in sync with the layer.

    Parameters
    ----------
    layer
        The layer to copy; `why_not_copied` must be empty for it.
    viewer
        The viewer of the copy; the caller inserts it.
    """

    replaced = Signal()  # the layer has new voxel data, so the copy must be recreated

    def __init__(self, layer: Layer, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.layer = layer
        self._attributes = (*_COMMON, *_OF_TYPE[_type_of(layer) or Image])
        self.copy, self.stream = copy_layer(layer, viewer)
        self._usual_bytes = self.display.usual_view_bytes // 2 if self.display is not None else 0
        self.update_budget()
        self._data = layer.data
        self._changed: set[str] = set()
        self._update_soon = single_shot(self, 0, self._update)
        self._connections = Connections()
        self._follow_layer()
        self._follow_stream()

    @property
    def display(self) -> Display | None:
        """The copy's display, if it streams."""
        stream = stream_of(self.copy)
        return None if stream is None else stream.display

    @property
    def state(self) -> StreamState | None:
        """The copy's loading state; None if it is hidden or doesn't stream."""
        return self.stream.state if self.stream is not None and self.copy.visible else None

    def update_budget(self) -> None:
        """Limit the plane to half of the main plane's bytes, or to the coarsest level under the data saver."""
        if (display := self.display) is not None:
            display.largest_view_bytes = 0 if display.pyramid.stays_coarse else self._usual_bytes

    def set_active(self, is_active: bool) -> None:
        """Resume or pause fetching for the copy."""
        if self.display is not None:
            (self.display.resume if is_active else self.display.pause)()

    def close(self) -> None:
        """Disconnect from the layer and stop fetching."""
        self._update_soon.stop()
        self._connections.close()
        if self.stream is not None:
            self.stream.close()

    def _follow_stream(self) -> None:
        """Stop and retry the copy together with the layer."""
        stream = stream_of(self.layer)
        if stream is None or self.stream is None:
            return
        if stream.state.is_stopped:
            self.stream.stop()
        self._connections.connect(stream.stopped, self.stream.stop)
        self._connections.connect(stream.retried, self.stream.retry)

    def _follow_layer(self) -> None:
        events, connect = self.layer.events, self._connections.connect
        for name in {*self._attributes, "data", *_PAINTED}:
            if hasattr(events, name):
                connect(getattr(events, name), partial(self._note, name))
        if isinstance(self.layer, Points):
            selection = self.layer.selected_data.events.items_changed
            connect(selection, partial(self._note, "selected_data"))
        if isinstance(self.layer, Points | Vectors):
            connect(events.set_data, self._on_sliced)

    def _on_sliced(self, _event: Any = None) -> None:
        """Detect changes without events: arrows that follow their picks, pasted points, and slabs."""
        if self.layer.data is not self._data:
            self._data = self.layer.data
            self._note("data")
        for name in ("shown", "size") if isinstance(self.layer, Points) else ():
            if not np.array_equal(getattr(self.layer, name), getattr(self.copy, name)):
                self._note(name)
        if slab_nm_of(self.layer) != slab_nm_of(self.copy):
            self._note("slab")

    def _note(self, name: str, *_event: object) -> None:
        self._changed.add(name)
        if name in ("data", "features"):
            self._changed |= _OF_ROWS & set(self._attributes)
        self._update_soon.start()

    def _update(self) -> None:
        """Apply all changes since the last update."""
        changed, self._changed = self._changed, set()
        if "data" in changed and "data" not in self._attributes:
            self.replaced.emit()
            return
        for name in self._attributes:
            if name in changed:
                _set(self.copy, name, getattr(self.layer, name))
        if "selected_data" in changed:
            self.copy.selected_data = set(self.layer.selected_data)
        if "slab" in changed:
            show_slab(self.copy, slab_nm_of(self.layer))
        if changed & _PAINTED:
            self.copy.refresh(extent=False, thumbnail=False)


def copy_layer(
    layer: Layer, viewer: ViewerModel, *, is_plane: bool = True
) -> tuple[Layer, StreamStatus | None]:
    """A copy of a layer for another viewer, which the caller adds, and its status if it streams.

    ``is_plane`` leaves out clipping and the locked level, which apply to 3D.
    """
    data, options, kind = layer.as_layer_data_tuple()
    options.pop("feature_defaults", None)  # napari can't read back all
    if is_plane:
        options = {key: value for key, value in options.items() if key not in _ONLY_3D}
    # without the picks: otherwise the copy would get arrows too
    options["metadata"] = {key: value for key, value in layer.metadata.items() if key != PICKS_KEY}
    adopt_layers_of(viewer)
    copy, stream = make_layer(LayerSpec(data, options, kind), viewer=viewer)
    if stream is not None:
        stream.is_watched = True  # errors are shown for the layer itself
    show_as_discs_like(copy, layer)
    if isinstance(layer, Labels):
        for name in _NOT_IN_TUPLE:
            _set(copy, name, getattr(layer, name))
    return copy, stream


def _set(copy: Layer, name: str, value: Any) -> None:
    """Set an attribute if its value differs.

    Always set arrays, since napari changes them in place.
    """
    if name.endswith("_color") and not len(value):
        return  # napari rejects empty colour arrays
    if name not in _OF_ROWS and np.array_equal(value, getattr(copy, name)):
        return
    setattr(copy, name, value)
    if name == "data" and not copy.visible:
        copy.set_view_slice()  # napari doesn't slice hidden layers, but draws their old slice


def _type_of(layer: Layer) -> type[Layer] | None:
    return next((layer_type for layer_type in _OF_TYPE if isinstance(layer, layer_type)), None)
