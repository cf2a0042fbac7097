"""A layer once more, in another viewer: the same data, and its looks and edits kept in step one way.

What streams is made from the same pyramid, so both views share one fetcher and one memory, and no byte is fetched
twice. Arrays are shared, never copied.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Points, Vectors
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.layers.adopting import adopt_layers_of
from napari_cryoet._qt.picks.slabs import show_as_discs_like, show_slab, slab_nm_of
from napari_cryoet._qt.streaming.progressive import StreamState, StreamStatus, display_of, make_layer, stream_of
from napari_cryoet._qt.widgets.hidden_rows import slice_hidden
from napari_cryoet._qt.widgets.timers import single_shot
from napari_cryoet.layers.specs import PICKS_KEY, LayerKind, LayerSpec
from napari_cryoet.streaming import Display, pyramid_of

#: In the order in which they are set: what others depend on comes first.
_COMMON: Final = ("name", "visible", "opacity", "blending", "scale", "translate", "rotate", "shear", "affine", "units")
_OF_TYPE: Final[dict[type[Layer], tuple[str, ...]]] = {
    Image: ("contrast_limits_range", "contrast_limits", "gamma", "colormap", "interpolation2d", "projection_mode"),
    Labels: ("colormap", "contour", "selected_label", "show_selected_label", "projection_mode"),
    Points: (
        *("data", "features", "size", "symbol", "border_width", "border_width_is_relative"),
        *("face_color", "border_color", "shown", "antialiasing", "projection_mode"),
    ),
    Vectors: ("data", "features", "edge_width", "edge_color", "length", "vector_style", "projection_mode"),
}
_KINDS: Final[dict[type[Layer], LayerKind]] = {Image: "image", Labels: "labels", Points: "points", Vectors: "vectors"}
#: What is changed without an event of its own: by napari, as where points are pasted, and by who draws arrows for them.
_SILENT: Final[dict[type[Layer], tuple[str, ...]]] = {
    Points: ("data", "size", "shown"),
    Vectors: ("data", "edge_width", "edge_color"),
}
#: Nothing is cut off or added in a copy, nor is it held at the level that was chosen for three dimensions; and napari
#: doesn't take every default of a table's column back.
_OF_NO_COPY: Final = frozenset({"experimental_clipping_planes", "feature_defaults", "locked_data_level"})
#: What napari leaves out where it says what a layer is made of.
_OF_NO_TUPLE: Final[dict[type[Layer], tuple[str, ...]]] = {Labels: ("contour", "selected_label", "show_selected_label")}
#: What changes with the number of points or vectors, and is only right when all of it is set.
_OF_EACH: Final = frozenset(
    {"data", "features", "size", "symbol", "border_width", "face_color", "border_color", "shown"}
    | {"edge_width", "edge_color"}
)


def why_not_mirrored(layer: Layer) -> str:
    """Why a layer can't be shown in other planes too, in words that follow its name; empty where it can."""
    if _type_of(layer) is None:
        return f"is a {type(layer).__name__.lower()} layer"
    if layer.ndim < 3:
        return "has no depth"
    if isinstance(layer, Image) and layer.rgb:
        return "is a colour picture"
    if isinstance(layer, Image | Labels) and pyramid_of(layer.data) is None and not _is_in_memory(layer):
        return "is read from its file plane by plane, and another plane would hold up the window"
    return ""


class Mirror(QObject):
    """Keeps a copy of a layer in another viewer in step with the layer.

    Parameters
    ----------
    layer
        Whose copy it is; `why_not_mirrored` has nothing against it.
    viewer
        Where the copy is; the caller inserts it.
    main
        Where the layer is.
    """

    replaced = Signal()  # the layer has other data: whoever shows the copy makes another one
    told = Signal()  # ask `state`

    def __init__(self, layer: Layer, viewer: ViewerModel, main: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.layer = layer
        self._main = main
        self._place = self._place_now()
        found = _type_of(layer)
        assert found is not None, "its type was asked for"  # noqa: S101
        self._attributes = (*_COMMON, *_OF_TYPE[found])
        self.copy, self.stream = _copy_of(layer, _KINDS[found], viewer)
        for name in _OF_NO_TUPLE.get(found, ()):
            _set(self.copy, name, getattr(layer, name))
        self._usual_bytes = self.display.usual_view_bytes // 2 if self.display is not None else 0
        self.update_budget()
        self._changed: set[str] = set()
        self._seen = self._silent()
        self._later = single_shot(self, 0, self._catch_up)
        self._obeyed = stream_of(layer)  # kept, to be disconnected from once the layer has other data
        self._connections = [*self._connect(), *self._obey(self._obeyed)]

    @property
    def display(self) -> Display | None:
        """What the copy's picture is made from, where it streams."""
        return display_of(self.copy)

    @property
    def state(self) -> StreamState | None:
        """How far the copy's picture is; None where it isn't seen or doesn't stream."""
        return self.stream.state if self.stream is not None and self.copy.visible else None

    def update_budget(self) -> None:
        """Let both further planes together take no more than one of the main viewer; coarse where bytes are saved."""
        display = self.display
        if display is None:
            return
        display.largest_view_bytes = 0 if display.pyramid.stays_coarse else self._usual_bytes

    def set_active(self, is_active: bool) -> None:
        """Fetch for the copy, or for as long as nobody sees it don't."""
        if self.display is not None:
            (self.display.resume if is_active else self.display.pause)()

    def close(self) -> None:
        """Hear no more of the layer, and fetch nothing more for the copy."""
        self._later.stop()
        for emitter, slot in self._connections:
            emitter.disconnect(slot)
        self._connections.clear()
        self._obeyed = None
        if self.stream is not None:
            self.stream.close()

    def _obey(self, stream: StreamStatus | None) -> Any:
        """Stop and go on together with the layer, and tell how far the copy is."""
        if stream is None or self.stream is None:
            return
        if stream.state.is_stopped:
            self.stream.stop()
        self.stream.changed.connect(self.told)
        for signal, slot in ((stream.stopped, self.stream.stop), (stream.retried, self.stream.retry)):
            signal.connect(slot)
            yield signal, slot

    def _connect(self) -> Any:
        """Every event that changes what is seen, with what then has to be set."""
        events = self.layer.events
        named = [(getattr(events, name), name) for name in self._attributes if hasattr(events, name)]
        # napari tells of some changes under the name of another
        named += [(getattr(events, name), "") for name in ("paint", "labels_update") if hasattr(events, name)]
        if isinstance(self.layer, Image | Labels):
            for event, hear in ((events.data, self._on_data), (events.set_data, self._on_sliced)):
                event.connect(hear)
                yield event, hear
        if isinstance(self.layer, Points):
            named.append((self.layer.selected_data.events.items_changed, "selected_data"))
        if isinstance(self.layer, Points | Vectors):
            events.set_data.connect(self._look_at_silent)
            yield events.set_data, self._look_at_silent
        for emitter, name in named:

            def slot(*_event: Any, name: str = name) -> None:
                self._note(name)

            emitter.connect(slot)
            yield emitter, slot

    def _on_data(self, _event: Any = None) -> None:
        self._changed.add("data")
        self._later.start()

    def _on_sliced(self, _event: Any = None) -> None:
        """Values may be others where napari slices a layer in memory again and shows the same plane, as after undo."""
        before, self._place = self._place, self._place_now()
        if before == self._place and stream_of(self.layer) is None:
            self._note("")

    def _place_now(self) -> tuple[Any, ...]:
        return self._main.dims.point, self._main.dims.order, self._main.dims.ndisplay

    def _silent(self) -> dict[str, Any]:
        """What changes without a word, except that the layer is sliced again: each change is another array."""
        names = next((names for kind, names in _SILENT.items() if isinstance(self.layer, kind)), ())
        return {name: getattr(self.layer, name) for name in names} | {"slab": slab_nm_of(self.layer)}

    def _look_at_silent(self, _event: Any = None) -> None:
        before, self._seen = self._seen, self._silent()
        for name, value in self._seen.items():
            old = before[name]
            if value is not old and (isinstance(value, np.ndarray) or value != old):
                self._note(name)

    def _note(self, name: str) -> None:
        self._changed.update(_OF_EACH & set(self._attributes) if name in ("data", "features") else {name})
        self._later.start()

    def _catch_up(self) -> None:
        """Set whatever changed, once for all changes of a moment."""
        self._look_at_silent()  # napari doesn't slice hidden layers, so nothing was told of these
        self._later.stop()
        changed, self._changed = self._changed, set()
        if "data" in changed and "data" not in self._attributes:
            self.replaced.emit()
            return
        for name in self._attributes:
            if name in changed:
                _set(self.copy, name, getattr(self.layer, name))
        if "selected_data" in changed and isinstance(self.layer, Points):
            self.copy.selected_data = set(self.layer.selected_data)
        if "slab" in changed:
            show_slab(self.copy, slab_nm_of(self.layer))
        if "" in changed:  # painted: the array is the same
            self.copy.refresh(extent=False, thumbnail=False)


def _copy_of(layer: Layer, kind: LayerKind, viewer: ViewerModel) -> tuple[Layer, StreamStatus | None]:
    data, options, _ = layer.as_layer_data_tuple()
    options = {key: value for key, value in options.items() if key not in _OF_NO_COPY}
    # of picks, a copy is only what it looks like: else it would be followed as picks, and draw arrows of its own
    options["metadata"] = {key: value for key, value in layer.metadata.items() if key != PICKS_KEY}
    adopt_layers_of(viewer)
    copy, stream = make_layer(LayerSpec(data, options, kind), viewer=viewer)
    show_as_discs_like(copy, layer)
    return copy, stream


def _set(copy: Layer, name: str, value: Any) -> None:
    """Give the copy a value, unless it has it; arrays are changed in place by napari, so they are always given."""
    if name.endswith("_color") and not len(value):
        return  # napari takes no colours for wrong ones
    if name not in _OF_EACH and np.array_equal(value, getattr(copy, name)):
        return
    setattr(copy, name, value)
    if name == "data":
        slice_hidden(copy)


def _type_of(layer: Layer) -> type[Layer] | None:
    return next((known for known in _OF_TYPE if isinstance(layer, known)), None)


def _is_in_memory(layer: Image | Labels) -> bool:
    """Whether slicing has nothing to compute; a multiscale image has several arrays, and passes for one itself."""
    return all(isinstance(level, np.ndarray) for level in (layer.data if layer.multiscale else [layer.data]))
