"""All that is touched of napari beyond what napari promises.

napari lets plugins make layers; how these are sliced and drawn is its own affair. Pictures that sharpen, picks that
show as discs, sliders that end with the volume and a crosshair need a little of that. Every private name of napari's is
in this module and in no other but `napari_check`, which tries each of them before anything is built on it (a test walks
through all modules). Nothing here fails if a name is gone, unless it says so.

`slice_geometry`, `thick_slices` and `discs` read the fields of napari's requests and responses, and change copies.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from napari.layers import Labels, Layer, Points, Vectors
from numpy.typing import NDArray

from napari_cryoet._qt.gap_colors import know_gaps
from napari_cryoet._qt.saving_names import not_one_array

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QWidget

try:
    from napari.layers._multiscale_data import MultiScaleData
except ImportError:

    class MultiScaleData:  # type: ignore[no-redef]
        """Nothing is one of these."""


VISUALS: Final = "napari._vispy.utils.visual"
OVERLAYS: Final = "napari._vispy.overlays.base"
COLORS_OF_POINTS: Final = ("_face", "_border")
POINT_REQUESTS: Final = ("make_slice_request_internal", "_make_slice_request_internal")  # of points, of vectors


# how volumes are sliced


def slicing_state_of(layer: Any) -> Any:
    """What slices a layer, and where those may leave a note who change how; None where there is no such thing."""
    return getattr(layer, "_slicing_state", None)


def is_sliced_in_3d(layer: Layer | None) -> bool:
    """Whether all of a layer's last three axes are displayed."""
    displayed = getattr(getattr(slicing_state_of(layer), "_slice_input", None), "displayed", ())
    return len(displayed) == 3  # a picture of two axes has but these, also in a 3D view


def update_thumbnail(layer: Layer) -> None:
    """Make a layer's thumbnail anew from the slice that it has."""
    if hasattr(layer, "_update_thumbnail"):
        layer._update_thumbnail()


class PatientThumbnail:
    """Over a napari layer: its thumbnail waits where its slicing state says so."""

    def _update_thumbnail(self) -> None:
        state, make = slicing_state_of(self), getattr(super(), "_update_thumbnail", None)
        if make is not None and not (isinstance(state, ChangedSlicing) and state.puts_off_thumbnail()):
            make()


class ChangedSlicing:
    """Over the slicing state of an image or labels: requests, and what comes of them on any thread, are changed."""

    layer: Any

    def begin_slice(self) -> None:
        """Note that napari begins to slice."""

    def changed_request(self, request: Any) -> Any:
        """The request to slice by, instead of napari's."""
        return request

    def changed_response(self, response: Any) -> Any:
        """What to show, instead of what came of the request."""
        return response

    def end_slice(self) -> None:
        """Note that what was sliced is shown."""

    def puts_off_thumbnail(self) -> bool:
        """Whether the layer's thumbnail, which napari makes with each slice, is to be made later."""
        return False

    def _make_slice_request_internal(self, **arguments: Any) -> Any:
        self.begin_slice()
        return self.changed_request(super()._make_slice_request_internal(**arguments))  # type: ignore[misc]

    def _update_slice_response(self, response: Any) -> None:
        super()._update_slice_response(self.changed_response(response))  # type: ignore[misc]
        self.end_slice()


def read_no_level_whole(layer: Layer) -> None:
    """Let napari ask for what it draws of a picture without depth; it would read all of the coarsest level before."""
    if getattr(layer, "_level_materializer", None) is not None:
        layer._level_materializer = None


S = TypeVar("S", bound=ChangedSlicing)


def trial_request(layer: Layer) -> Any:
    """The request by which napari would slice an image or labels now; it raises whatever it may in another napari."""
    state: Any = layer._slicing_state
    arguments = {"slice_input": state._slice_input, "data_slice": state.data_slice, "dask_indexer": nullcontext}
    return state._make_slice_request_internal(**arguments)


def changed_slicing(layer: Layer, kind: type[S]) -> S:
    """A slicing state that goes on from a layer's own, for `slice_by`; it raises whatever it may in another napari."""
    own: Any = layer._slicing_state
    base = type(own).__bases__[-1] if isinstance(own, ChangedSlicing) else type(own)
    changed: Any = type(f"{kind.__name__}{base.__name__}", (kind, base), {})(layer, layer.data, False)
    changed.set_slice_input(own._slice_input, True)
    changed._units = own._units
    return changed  # type: ignore[no-any-return]


def slice_by(layer: Layer, state: ChangedSlicing) -> None:
    """Let a layer be sliced by another state from now on."""
    layer._slicing_state = state


# how points and vectors are sliced

Requests = Callable[[Any, Any], Any]  # napari's slice input and data slice to a request


def change_requests(layer: Points | Vectors, change: Callable[[Requests, Any, Any], Any]) -> bool:
    """Let another function make a layer's slice requests, given napari's own and its arguments; False if none do."""
    state = slicing_state_of(layer)
    name = next((name for name in POINT_REQUESTS if hasattr(state, name)), None)
    if name is None:
        return False
    setattr(state, name, partial(change, getattr(state, name)))
    return True


# how large layers are


class OwnCorners:
    """Over a napari layer: says itself where its data begin and end."""

    def corners(self) -> NDArray[Any]:
        """The least and the largest coordinates, (2, n axes), in the layer's own; several times a step of a slider."""
        return super()._extent_data  # type: ignore[misc, no-any-return]

    @property
    def _extent_data(self) -> NDArray[Any]:
        return self.corners()


class TrueRays:
    """Over an image or labels: in 3D, the value under the mouse is of the voxel that is drawn, padding or not."""

    def _get_value_ray(self, start_point: Any, end_point: Any, dims_displayed: Any) -> Any:
        ends = (self.as_napari_counts(point, list(dims_displayed)) for point in (start_point, end_point))
        return super()._get_value_ray(*ends, dims_displayed)  # type: ignore[misc]

    def as_napari_counts(self, point: Any, displayed: list[int]) -> Any:
        """A place, moved so that napari finds the voxel that is there."""
        sliced, transforms = getattr(self, "_slice", None), getattr(self, "_transforms", None)
        if point is None or sliced is None or transforms is None or len(displayed) != sliced.image.raw.ndim:
            return point
        finest: Any = self.level_shapes[0]  # type: ignore[attr-defined]
        place, counted = transforms[0], finest[displayed] / sliced.image.raw.shape
        moved = np.array(point, float)
        moved[displayed] = (moved - place.translate)[displayed] / np.asarray(place.scale)[displayed] * counted
        return moved


class _Levels(MultiScaleData):  # type: ignore[misc] # napari is not typed
    def __init__(self, levels: Any, shape: tuple[int, ...], *, is_mask: bool) -> None:
        super().__init__(levels)
        self._shape, self.is_mask = shape, is_mask

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the finest level, by what is said of it."""
        return self._shape

    @property
    def nbytes(self) -> int:
        """By which a writer of TIFF opens a file: it would empty one that is there before it asks for values."""
        raise not_one_array(is_mask=self.is_mask)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """What napari gives, the coarsest level; with a type, as its own writers ask, it fails without a reason."""
        if dtype is not None:
            raise not_one_array(is_mask=self.is_mask)
        return super().__array__()  # type: ignore[no-any-return]


def say_shape(layer: Layer, shape: tuple[int, ...]) -> None:
    """Let several levels of a layer say how large they are: so large are labels that napari makes over them."""
    if isinstance(getattr(layer, "_data", None), MultiScaleData):
        layer._data = _Levels(layer._data, shape, is_mask=isinstance(layer, Labels))


# oblique planes through volumes


def place_plane(layer: Any) -> None:
    """Draw a volume's oblique plane where the layer says: napari takes finest voxels for those of the level drawn."""
    if str(layer.depiction) != "plane" or not is_sliced_in_3d(layer) or not hasattr(layer, "_transforms"):
        return
    displayed = list(slicing_state_of(layer)._slice_input.displayed)
    scale = np.asarray(layer._transforms[0].scale)[displayed]
    corner = np.asarray(layer._transforms[0].translate)[displayed] - 0.5
    canvases = (getattr(getattr(viewer.window, "_qt_viewer", None), "canvas", None) for viewer in open_viewers())
    for visual in (getattr(canvas, "layer_to_visual", {}).get(layer) for canvas in canvases):
        node = getattr(visual, "node", None)
        if node is not None and hasattr(node, "plane_position"):
            node.plane_position = tuple((np.asarray(layer.plane.position) - corner) / scale - 0.5)
            node.plane_normal = tuple(np.asarray(layer.plane.normal) * scale)
            node.plane_thickness = max(1.0, layer.plane.thickness / float(scale.max()))


# what is painted


class DrawnByHand:
    """Over labels: what somebody draws with the mouse passes by here, and nothing that a script paints."""

    def may_draw(self) -> bool:
        """Whether a stroke may begin."""
        return True

    def draw_by(self, draw: Callable[[], None]) -> None:
        """Draw, between one place of the mouse and the next."""
        draw()

    def _draw(self, *arguments: Any) -> None:
        self.draw_by(partial(super()._draw, *arguments))  # type: ignore[misc]

    @property
    def _drag_modes(self) -> dict[Any, Any]:
        """What napari calls in each mode where the mouse is pressed."""
        modes: dict[Any, Any] = super()._drag_modes  # type: ignore[misc]
        return {mode: _IfItMay(act) if str(mode) in {"paint", "erase", "fill"} else act for mode, act in modes.items()}


class _IfItMay:
    """What napari calls to draw, once the layer was asked; it equals that, since napari looks for it to take it out."""

    def __init__(self, act: Callable[[Any, Any], Any]) -> None:
        self.act = act

    def __call__(self, layer: Any, event: Any) -> Any:
        return self.act(layer, event) if layer.may_draw() else None

    def __eq__(self, other: object) -> bool:
        return bool(self.act == getattr(other, "act", other))

    def __hash__(self) -> int:
        return hash(self.act)


# what is drawn of arrows and points


class SparseThumbnail:
    """Over a Vectors layer: few arrows in its thumbnail, since napari draws them one by one, at each step."""

    _max_vectors_thumbnail = 128


def refresh_blocked(layer: Layer) -> AbstractContextManager[Any]:
    """Keep a layer from being sliced anew with each change; whoever blocks it refreshes it afterwards."""
    block = getattr(layer, "_block_refresh", nullcontext)
    return block()


def color_gaps(points: Points) -> None:
    """Let points be coloured in turn by a column of numbers in which some are missing."""
    for name in COLORS_OF_POINTS:
        know_gaps(getattr(points, name, None))


def is_gripped(points: Points) -> bool:
    """Whether points are under way with the mouse; no where nobody knows."""
    return getattr(points, "_drag_start", None) is not None and str(points.mode) == "select"


def shows_gone_rows(vectors: Vectors) -> bool:
    """Whether what was sliced of a layer has rows that its data don't have any more; yes where nobody knows."""
    shown = getattr(vectors, "_view_indices", None)
    return shown is None or bool(len(shown) and shown.max() >= len(vectors.data))


def cut_colors(vectors: Vectors, count: int) -> None:
    """Keep the first colours only, before data of so many rows are given; else napari looks for those to delete."""
    if count < len(vectors.edge_color) and hasattr(vectors, "_edge"):
        vectors._edge.colors = vectors.edge_color[:count]


def change_drawing(kind: type[Layer], change: Callable[[Layer, Any], None]) -> None:
    """Let another function change what layers of a type of napari's are drawn by, each time that it has other data.

    It gets a layer and vispy's node; layers in a viewer already are left alone. In a napari that draws them in another
    way, that is an ImportError, an AttributeError or a KeyError.
    """
    visuals = importlib.import_module(VISUALS)

    class ChangedVisual(visuals.layer_to_visual[kind]):  # type: ignore[misc, name-defined]
        def _on_data_change(self) -> None:
            super()._on_data_change()
            change(self.layer, self.node)

    visuals.layer_to_visual[kind] = ChangedVisual


# what is drawn over layers


def draw_overlays(kind: type, make_visual: Callable[[type], type]) -> None:
    """Let napari draw overlays of a class in a viewer's scene.

    ``make_visual`` gets a class and makes one over it, for vispy: `has_place` says whether there is something to draw,
    `look_again` has that asked anew. In a napari that draws them in another way, that is an ImportError or an
    AttributeError.
    """
    bases = importlib.import_module(OVERLAYS)

    class SceneVisual(bases.ViewerOverlayMixin, bases.VispySceneOverlay):  # type: ignore[misc, name-defined]
        def has_place(self) -> bool:
            return True

        def look_again(self) -> None:
            self._on_visible_change()

        def _should_be_visible(self) -> bool:
            return bool(super()._should_be_visible() and self.has_place())

    importlib.import_module(VISUALS).overlay_to_visual[kind] = make_visual(SceneVisual)


# windows


def open_viewers() -> set[Viewer]:
    """All viewers with a window, whichever napari asks for; at least the one in front."""
    from napari.viewer import Viewer, current_viewer

    return set(getattr(Viewer, "_instances", {current_viewer()} - {None}))


def has_lost_canvas(window: QWidget) -> bool:
    """Whether napari has closed the canvas of a window, as `Viewer.close` does before it closes the window."""
    canvas = getattr(window, "_qt_viewer", None)
    return canvas is not None and not canvas.isVisible()


def forget_place(window: QWidget) -> None:
    """Have a window of napari's closed without napari opening the next one where it was."""
    if hasattr(window, "_save_current_window_settings"):
        window._save_current_window_settings = lambda: None


def delete_in_own_canvas(widget: QWidget | None) -> None:
    """Have what napari deletes of layers' drawings be that of a `QtViewer`, or of the window that a widget is in.

    napari deletes textures in whichever canvas drew last. Where several windows draw, that may be another one's, which
    has textures of its own under the same numbers: it would lose them.
    """
    from napari.qt import QtViewer

    while widget is not None and not (isinstance(widget, QtViewer) or hasattr(widget, "_qt_viewer")):
        widget = widget.parentWidget()
    canvas = getattr(getattr(widget, "_qt_viewer", widget), "canvas", None)
    context: Any = getattr(getattr(canvas, "_scene_canvas", None), "context", None)
    drawn: Any = getattr(canvas, "native", None)
    if not hasattr(context, "finish") or not hasattr(drawn, "makeCurrent"):
        return

    def finish_here() -> None:
        drawn.makeCurrent()
        type(context).finish(context)

    context.finish = finish_here
