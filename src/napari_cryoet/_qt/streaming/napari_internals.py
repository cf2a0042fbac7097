"""What is touched of napari beyond what napari promises, but for `streaming.seam`.

napari lets plugins make layers; how these are sliced and drawn is its own affair. Picks that show as discs and a
crosshair need a little of that. `napari_check` tries these names before anything is built on them. Nothing here fails
if a name is gone, unless it says so.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

from napari.components.overlays import ScaleBarOverlay
from napari.layers import Layer, Points, Vectors
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QWidget

VISUALS: Final = "napari._vispy.utils.visual"
OVERLAYS: Final = "napari._vispy.overlays.base"
SCALE_BAR: Final = "napari._vispy.overlays.scale_bar"
POINT_REQUESTS: Final = ("make_slice_request_internal", "_make_slice_request_internal")  # of points, of vectors


# how points and vectors are sliced


def slicing_state_of(layer: Any) -> Any:
    """What slices a layer, and where those may leave a note who change how; None where there is no such thing."""
    return getattr(layer, "_slicing_state", None)


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


# what is drawn of arrows and points


class SparseThumbnail:
    """Over a Vectors layer: few arrows in its thumbnail, since napari draws them one by one, at each step."""

    _max_vectors_thumbnail = 128


def refresh_blocked(layer: Layer) -> AbstractContextManager[Any]:
    """Keep a layer from being sliced anew with each change; whoever blocks it refreshes it afterwards."""
    block = getattr(layer, "_block_refresh", nullcontext)
    return block()


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


def show_scale_bar(viewer: ViewerModel) -> None:
    """Show a viewer's scale bar, in nm or µm where napari would say kÅ; in another napari, as that draws it."""
    overlays = viewer.canvas.overlays
    if hasattr(viewer, "window") and type(overlays.scale_bar) is ScaleBarOverlay and _can_draw_nanometers():
        options = dict(overlays.pop("scale_bar"))  # an equal one would not take its place
        overlays["scale_bar"] = NanometerScaleBar(**options)
    overlays.scale_bar.visible = True


class NanometerScaleBar(ScaleBarOverlay):  # type: ignore[misc] # napari is not typed
    """napari's scale bar for a world in ångström."""

    unit = ScaleBarOverlay.unit  # events of properties aren't inherited


@cache
def _can_draw_nanometers() -> bool:
    try:
        napari_visual = importlib.import_module(SCALE_BAR).VispyScaleBarOverlay
        known = importlib.import_module(VISUALS).overlay_to_visual
    except (ImportError, AttributeError):
        return False
    if not hasattr(napari_visual, "_on_unit_change") or not hasattr(napari_visual, "_on_size_or_zoom_change"):
        return False

    class Visual(napari_visual):  # type: ignore[misc, valid-type]
        _unit: Any

        def _on_unit_change(self) -> None:
            super()._on_unit_change()
            is_length = self._unit.is_compatible_with("angstrom") and self.overlay.length is None
            if is_length and str(self._unit.units) == "angstrom":
                self._unit = self._unit.to("nanometer")
                self._on_size_or_zoom_change(force=True)

    known[NanometerScaleBar] = Visual
    return True


# windows


def open_viewers() -> set[Viewer]:
    """All viewers with a window, whichever napari asks for; at least the one in front."""
    from napari.viewer import Viewer, current_viewer

    return set(getattr(Viewer, "_instances", {current_viewer()} - {None}))


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
