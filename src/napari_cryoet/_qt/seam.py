"""All uses of napari's private API, each with a fallback.

Streaming, picks as discs and overlays depend on how napari slices and draws layers. `can_stream`
and `can_slice_picks` test the private names once. Without them, napari slices exact arrays, and
picks show only in the plane of their centre. The other functions here don't fail if a name is
missing.
"""

from __future__ import annotations

import dataclasses
import importlib
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cache, partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import napari
import numpy as np
from napari.components import ViewerModel
from napari.components.overlays import ScaleBarOverlay
from napari.layers import Image, Layer, Points, Vectors
from napari.utils.notifications import Notification, notification_manager
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari.qt import QtViewer
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QWidget

log = logging.getLogger(__name__)

_CANVAS: Final = "napari._vispy.canvas"
_VISUALS: Final = "napari._vispy.utils.visual"
_OVERLAYS: Final = "napari._vispy.overlays.base"
_SCALE_BAR: Final = "napari._vispy.overlays.scale_bar"
_STATE: Final = (
    "_slice_input",
    "_units",
    "data_slice",
    "set_slice_input",
    "_update_slice_response",
)
_REQUEST: Final = (
    *(
        "data_at_data_level",
        "data_at_thumbnail_level",
        "data_level",
        "thumbnail_level",
        "data_slice",
    ),
    *("corner_pixels", "downsample_factors", "level_shapes", "projection_mode", "slice_input"),
)
_RESPONSE: Final = ("image.raw", "tile_to_data", "slice_input", "empty")
_POINT_REQUESTS: Final = (
    "make_slice_request_internal",
    "_make_slice_request_internal",
)  # for points, for vectors
_POINT_REQUEST: Final = (
    "data",
    "slice_input",
    "data_slice.point",
    "data_slice.margin_left",
    "data_slice.margin_right",
)

_GL_RENDERER: Final = 0x1F01
_GL_MAX_3D_TEXTURE_SIZE: Final = 0x8073
#: Renderer names of software drivers: Mesa, Chromium, Windows and macOS.
_SOFTWARE: Final = (
    "llvmpipe",
    "softpipe",
    "software",
    "swiftshader",
    "gdi generic",
    "microsoft basic render",
)


# slicing of volumes


class Slicer(Protocol):
    """What slices a layer in napari's place."""

    @property
    def postpones_thumbnail(self) -> bool:
        """Whether an update of the thumbnail is scheduled, so that earlier ones can be skipped."""

    def begin_slice(self) -> None:
        """Called before each slice request."""

    def changed_request(self, request: Any) -> Any:
        """Change napari's slice request."""

    def changed_response(self, response: Any) -> Any:
        """Change the response to a slice request."""

    def end_slice(self) -> None:
        """Called after each slice."""


class _Slicing:
    """A mixin for the slicing state of an image or labels."""

    layer: Layer
    slicer: Slicer

    def _make_slice_request_internal(self, **arguments: Any) -> Any:
        self.slicer.begin_slice()
        _skip_whole_levels(self.layer)  # again, since the data may have been replaced
        return self.slicer.changed_request(super()._make_slice_request_internal(**arguments))  # type: ignore[misc]

    def _update_slice_response(self, response: Any) -> None:
        super()._update_slice_response(self.slicer.changed_response(response))  # type: ignore[misc]
        self.slicer.end_slice()


def slice_by(layer: Layer, slicer: Slicer) -> bool:
    """Route a layer's slice requests and responses through a stream.

    False if this napari doesn't support it.
    """
    if not can_stream():
        return False
    own: Any = layer._slicing_state
    _skip_whole_levels(layer)
    state: Any = type(f"Streamed{type(own).__name__}", (_Slicing, type(own)), {})(
        layer, layer.data, False
    )
    state.set_slice_input(own._slice_input, True)
    state._units, state.slicer = own._units, slicer
    layer._slicing_state = state
    return True


def slicer_of(layer: Any) -> Slicer | None:
    """The stream that slices a layer; None if napari does."""
    return getattr(getattr(layer, "_slicing_state", None), "slicer", None)


def _skip_whole_levels(layer: Any) -> None:
    """Stop napari from reading the whole coarsest level of a 2D picture before it draws."""
    layer._level_materializer = None


def is_sliced_in_3d(layer: Layer) -> bool:
    """Whether all of a streamed layer's last three axes are displayed."""
    return len(layer._slicing_state._slice_input.displayed) == 3


def shown_values(layer: Image) -> NDArray[Any]:
    """The values that a layer shows; none if this napari doesn't tell."""
    with suppress(AttributeError):
        return np.asarray(layer._slice.image.raw)
    return np.empty(0)


def update_thumbnail(layer: Layer) -> None:
    """Update a layer's thumbnail from its current slice, if this napari can."""
    with suppress(AttributeError):
        layer._update_thumbnail()


def on_plane(event: Any) -> None:
    """Correct the position of a volume's oblique plane: napari ignores the scale of the level that it draws."""
    layer = event.source
    if str(layer.depiction) != "plane" or not is_sliced_in_3d(layer):
        return
    with suppress(AttributeError, ImportError):  # other versions of napari may draw it differently
        displayed = list(layer._slicing_state._slice_input.displayed)
        scale = np.asarray(layer._transforms[0].scale)[displayed]
        corner = np.asarray(layer._transforms[0].translate)[displayed] - 0.5
        for canvas in importlib.import_module(_CANVAS).VispyCanvas._instances:
            visual = canvas.layer_to_visual.get(layer)
            if visual is not None:
                visual.node.plane_position = tuple(
                    (np.asarray(layer.plane.position) - corner) / scale - 0.5
                )
                visual.node.plane_normal = tuple(np.asarray(layer.plane.normal) * scale)
                visual.node.plane_thickness = max(1.0, layer.plane.thickness / float(scale.max()))


class LateThumbnail:
    """A mixin for a napari layer that skips thumbnails while its stream postpones them."""

    def _update_thumbnail(self) -> None:
        slicer = slicer_of(self)
        if slicer is None or not slicer.postpones_thumbnail:
            super()._update_thumbnail()  # type: ignore[misc]


@cache
def can_stream() -> bool:
    """Whether this napari supports streaming; tested once on a tiny layer."""
    levels = [np.zeros((4, 4, 4)), np.zeros((2, 2, 2))]
    try:
        layer = Image(levels, multiscale=True, contrast_limits=(0, 1), cache=False, visible=False)
        state: Any = layer._slicing_state
        attrgetter(*_STATE)(state)
        request = state._make_slice_request_internal(
            slice_input=state._slice_input, data_slice=state.data_slice, dask_indexer=nullcontext
        )
        dataclasses.replace(request, **{name: getattr(request, name) for name in _REQUEST})
        attrgetter(*_RESPONSE)(dataclasses.replace(request()))
    except Exception as error:  # noqa: BLE001 - a future napari may fail in any way
        log.warning(
            "napari %s isn't supported for streaming: volumes stay coarse (%r)",
            napari.__version__,
            error,
        )
        return False
    return True


# slicing of points and vectors


def slicing_state_of(layer: Any) -> Any:
    """The object that slices a layer, which also stores our settings for it.

    None if napari has none.
    """
    return getattr(layer, "_slicing_state", None)


Requests = Callable[[Any, Any], Any]  # makes a request from napari's slice input and data slice


def change_requests(layer: Points | Vectors, change: Callable[[Requests, Any, Any], Any]) -> bool:
    """Wrap the function that makes a layer's slice requests; False if napari has none.

    ``change`` is called with napari's function and its arguments.
    """
    state = slicing_state_of(layer)
    name = next((name for name in _POINT_REQUESTS if hasattr(state, name)), None)
    if name is None:
        return False
    setattr(state, name, partial(change, getattr(state, name)))
    return True


@cache
def can_slice_picks() -> bool:
    """Whether slice requests of points and vectors can be changed in this napari; tested once."""
    made: list[Any] = []

    def note(make: Requests, *arguments: Any) -> Any:
        made.append(make(*arguments))
        return made[-1]

    try:
        layers = Points(np.zeros((1, 3))), Vectors(np.zeros((1, 2, 3)))
        for layer in layers:
            change_requests(layer, note)
            layer.set_view_slice()
            attrgetter(*_POINT_REQUEST)(made.pop())
    except Exception as error:  # noqa: BLE001 - a future napari may fail in any way
        log.warning(
            "napari %s isn't supported for discs: picks show in one plane (%r)",
            napari.__version__,
            error,
        )
        return False
    return True


# extents of layers


class OwnCorners:
    """A mixin for a napari layer that computes its own extent, which napari reads at every slider step.

    `corners` returns the smallest and largest data coordinates, of shape (2, n axes).
    """

    corners: Callable[[], NDArray[Any]]

    @property
    def _extent_data(self) -> NDArray[Any]:
        return self.corners()


# drawing of arrows and points


class SparseThumbnail:
    """A mixin for a Vectors layer with few arrows in its thumbnail, which napari draws one by one at each step."""

    _max_vectors_thumbnail = 128


def refresh_blocked(layer: Layer) -> AbstractContextManager[Any]:
    """Block slicing while a layer is changed; the caller must refresh it afterwards."""
    block = getattr(layer, "_block_refresh", nullcontext)
    return block()


# overlays


def opened_from(path: Path) -> AbstractContextManager[Any]:
    """Let layers that are made in this block state their file, like those that napari opens."""
    try:
        from napari.layers._source import layer_source
    except ImportError:
        return nullcontext()
    block: AbstractContextManager[Any] = layer_source(path=str(path))
    return block


def draw_overlays(kind: type, make_visual: Callable[[type], type]) -> bool:
    """Register a class of scene overlays with napari; False if this napari doesn't support it.

    ``make_visual`` is called with napari's base class and returns the vispy visual's class.
    """
    try:
        bases, known = (
            importlib.import_module(_OVERLAYS),
            importlib.import_module(_VISUALS).overlay_to_visual,
        )
        known[kind] = make_visual(
            type("SceneVisual", (bases.ViewerOverlayMixin, bases.VispySceneOverlay), {})
        )
    except (ImportError, AttributeError) as error:
        log.warning("napari %s isn't supported for overlays: %s", napari.__version__, error)
        return False
    return True


def count_in_nanometers(viewer: ViewerModel) -> None:
    """Show a viewer's scale bar in nm and µm instead of napari's kÅ, if this napari supports it."""
    overlays = viewer.canvas.overlays
    if not hasattr(viewer, "window") or type(overlays.scale_bar) is not ScaleBarOverlay:
        return
    nanometer_scale_bar = _nanometer_scale_bar()
    if nanometer_scale_bar is not None:
        # napari doesn't replace an overlay by an equal one
        options = dict(overlays.pop("scale_bar"))
        overlays["scale_bar"] = nanometer_scale_bar(**options)


@cache
def _nanometer_scale_bar() -> type[ScaleBarOverlay] | None:
    """A class of scale bars for a world in ångström; None if this napari can't draw it."""
    try:
        napari_visual = importlib.import_module(_SCALE_BAR).VispyScaleBarOverlay
        attrgetter("_on_unit_change", "_on_size_or_zoom_change")(napari_visual)
        known = importlib.import_module(_VISUALS).overlay_to_visual
    except (ImportError, AttributeError):
        return None

    class Visual(napari_visual):  # type: ignore[misc, valid-type]
        _unit: Any = None

        def _on_unit_change(self) -> None:
            super()._on_unit_change()
            unit = self._unit
            is_angstrom = unit is not None and str(unit.units) == "angstrom"
            if is_angstrom and self.overlay.length is None:
                self._unit = unit.to("nanometer")
                self._on_size_or_zoom_change(force=True)

    # events of properties aren't inherited, and napari 0.10 removes this one
    is_property = hasattr(ScaleBarOverlay, "unit")
    members = {"unit": ScaleBarOverlay.unit} if is_property else {}
    kind = type("NanometerScaleBar", (ScaleBarOverlay,), members)
    known[kind] = Visual
    return kind


# windows


def show_in_full(
    message: str, severity: str, actions: Mapping[str, Callable[[Any], object]] | None = None
) -> None:
    """Show a notification of napari with its whole text, which stays until it is closed.

    napari cuts the text off after a line, and closes it after four seconds.
    """
    buttons = tuple((actions or {}).items())
    notification_manager.dispatch(Notification(message, severity, buttons))
    with suppress(AttributeError, ImportError):  # an unknown version of napari
        from napari._qt.dialogs.qt_notification import NapariQtNotification

        for viewer in open_viewers():
            shown = viewer.window._qt_viewer.canvas.native.findChildren(NapariQtNotification)
            for dialog in shown:
                if dialog.message.text() == message and not dialog.property("expanded"):
                    dialog.geom_anim.stop()  # it slides in, and would undo the expansion
                    dialog.source_label.hide()  # the name of a class of napari
                    dialog.toggle_expansion()


def open_viewers() -> set[Viewer]:
    """All viewers with a window; at least the current one."""
    from napari.viewer import Viewer, current_viewer

    return set(getattr(Viewer, "_instances", {current_viewer()} - {None}))


def forget_window_position(window: QWidget) -> None:
    """Keep napari from saving a window's position for the next window."""
    if hasattr(window, "_save_current_window_settings"):
        window._save_current_window_settings = lambda: None


def delete_in_own_canvas(owner: ViewerModel | QtViewer) -> None:
    """Make napari delete a layer's textures in the OpenGL context of the viewer's own canvas.

    napari deletes them in the context of the canvas that drew last. With several windows, another
    canvas may then lose textures with the same numbers.
    """
    try:
        canvas = (owner.window._qt_viewer if isinstance(owner, ViewerModel) else owner).canvas
        context, make_current = canvas._scene_canvas.context, canvas.native.makeCurrent
    except AttributeError:  # no window, or an unknown version of napari
        return

    def finish_here() -> None:
        make_current()
        type(context).finish(context)

    context.finish = finish_here


# capabilities of the graphics card


def largest_texture_side() -> int | None:
    """The longest side of a volume that can be drawn, in voxels; None before the first drawing."""
    return int(_gl_parameter(_GL_MAX_3D_TEXTURE_SIZE) or 0) or None if _has_drawn() else None


def draws_in_software() -> bool:
    """Whether volumes are drawn without a graphics card, which is slow.

    True before the first drawing.
    """
    return not _has_drawn() or any(
        name in str(_gl_parameter(_GL_RENDERER) or "").lower() for name in _SOFTWARE
    )


def _has_drawn() -> bool:
    from vispy.gloo.context import get_current_canvas

    return get_current_canvas() is not None


@cache
def _gl_parameter(parameter: int) -> Any:
    """Query a constant of the driver in the current OpenGL context."""
    from vispy.gloo import gl

    return gl.glGetParameter(parameter)
