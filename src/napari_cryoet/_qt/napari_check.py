"""Whether this napari has what `napari_internals` touches of it, and what there is where it hasn't."""

from __future__ import annotations

import dataclasses
import importlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from functools import cache
from typing import Any, Final

import napari
import numpy as np
from napari.layers import Image, Labels, Layer, Points, Vectors

from napari_cryoet._qt import napari_internals
from napari_cryoet._qt.outline_shader import outlined_labels, outlined_markers

log = logging.getLogger(__name__)

#: What `slice_geometry`, `thick_slices` and `discs` read and change.
_REQUEST_FIELDS = frozenset(
    {"data_at_data_level", "data_at_thumbnail_level", "data_level", "thumbnail_level", "data_slice"}
    | {"corner_pixels", "downsample_factors", "level_shapes", "projection_mode", "slice_input"}
)
_RESPONSE_FIELDS = frozenset({"image", "tile_to_data", "slice_input", "empty"})
_SLICE_FIELDS = frozenset({"point", "margin_left", "margin_right"})
_POINT_REQUEST_FIELDS = frozenset({"data", "data_slice", "slice_input"})
_ARROW_RESPONSE_FIELDS = frozenset({"indices", "alphas"})


class Feature(Enum):
    """What needs more than napari promises; each value says what there is without it."""

    SHARPENING = "volumes do not sharpen while they load, napari slices exact values on its own thread"
    FLAT = "images of two axes wait for their coarsest level"
    THUMBNAILS = "thumbnails are made with each step, or as old as napari lets them be"
    VALUES = "in 3D, the value under the mouse may be that of a voxel beside it"
    FITTING = "sliders go on into the padding of volumes"
    DISCS = "picks show in the plane of their centre only"
    ARROWS = "arrows are sliced more often than needed"
    WRITING = "picks are sliced more often than needed"
    DRAWING = (
        "who draws in a mask of one level waits for what is under the brush where that hasn't come yet, and isn't told "
        "in plain words that nothing can be drawn in 3D"
    )
    CROSSHAIR = "there is no crosshair"
    OUTLINES = "there are no lines around picks and masks, and light ones are hard to see on a light canvas"
    DRAGS = "each move of a pick that is dragged can be undone by itself"
    GAPS = "no pick can be added while colours come in turn by a column of numbers"
    WINDOWS = (
        "napari opens its next window where the one of a tilt series was, which may take along what other windows draw "
        "when it closes, sees to opened files in one viewer, and a script that closes a viewer may be asked what to do "
        "with decisions that can't be saved"
    )


#: Trying these makes layers of points and arrows, which takes a quarter of a second where there were none before.
OF_PICKS: Final = frozenset({Feature.DISCS, Feature.ARROWS, Feature.WRITING, Feature.DRAGS, Feature.GAPS})


def tell_what_is_missing(features: Iterable[Feature] = Feature) -> None:
    """Write into the log what this napari lacks for some features and what there is instead."""
    for feature in features:
        if names := lacks(feature):
            log.warning("napari %s has no %s: %s", napari.__version__, ", ".join(names), feature.value)


@cache
def lacks(feature: Feature) -> tuple[str, ...]:
    """What a feature needs and this napari hasn't, or does in another way; tried once, on layers of a few voxels."""
    names: list[str] = []
    try:
        names.extend(_TRIES[feature]())
    except Exception as error:  # noqa: BLE001 - whatever a napari may do that nobody knows yet
        names.append(f"such internals ({type(error).__name__}: {error})")
    return tuple(names)


def _without(thing: Any, owner: str, names: Iterable[str]) -> list[str]:
    return [f"{owner}.{name}" for name in names if not hasattr(thing, name)]


def _without_fields(record: Any, owner: str, names: frozenset[str]) -> list[str]:
    if not dataclasses.is_dataclass(record):
        return [f"{owner} that is a dataclass"]
    return [f"{owner}.{name}" for name in sorted(names - {field.name for field in dataclasses.fields(record)})]


def _two_levels() -> Image:
    levels = [np.zeros((4, 4, 4)), np.zeros((2, 2, 2))]
    return Image(levels, multiscale=True, contrast_limits=(0, 1), cache=False, visible=False)


_OF_STATE: Final = ("_slice_input", "_units", "data_slice", "set_slice_input")
_METHODS_OF_STATE: Final = ("_make_slice_request_internal", "_update_slice_response")


def _try_sharpening() -> Iterator[str]:
    layer = _two_levels()
    if gone := _without(layer, "Layer", ["_slicing_state"]):
        yield from gone
        return
    state = napari_internals.slicing_state_of(layer)
    if gone := _without(state, "slicing state", (*_OF_STATE, *_METHODS_OF_STATE)):
        yield from gone
        return
    request = napari_internals.trial_request(layer)
    response = request()
    yield from _without(request.slice_input, "slice input", ("ndisplay", "displayed", "not_displayed"))
    yield from _without_fields(request, "slice request", _REQUEST_FIELDS)
    yield from _without_fields(request.data_slice, "data slice", _SLICE_FIELDS)
    yield from _without_fields(response, "slice response", _RESPONSE_FIELDS)
    yield from _without(response.image, "sliced image", ("raw", "from_view"))
    yield from _without(response.tile_to_data, "place of a slice", ("scale", "translate"))
    passed = []

    class Noted(napari_internals.ChangedSlicing):
        def changed_request(self, request: Any) -> Any:
            passed.append(_METHODS_OF_STATE[0])
            return request

        def changed_response(self, response: Any) -> Any:
            passed.append(_METHODS_OF_STATE[1])
            return response

    napari_internals.slice_by(layer, napari_internals.changed_slicing(layer, Noted))
    layer.set_view_slice()
    yield from (f"use of {name}" for name in _METHODS_OF_STATE if name not in passed)


def _try_fitting() -> Iterator[str]:
    layer = _two_levels()
    yield from _without(layer, "Layer", ["_extent_data"])
    napari_internals.say_shape(layer, (3, 3, 3))
    if getattr(layer.data, "shape", None) != (3, 3, 3):
        yield "MultiScaleData in Image._data"


def _try_discs() -> Iterator[str]:
    for layer in (Points(np.zeros((1, 3))), Vectors(np.zeros((1, 2, 3)))):
        owner = type(layer).__name__
        requests: list[Any] = []

        def make(make: napari_internals.Requests, *arguments: Any, requests: list[Any] = requests) -> Any:
            requests.append(make(*arguments))
            return requests[-1]

        if gone := _without(layer, owner, ["_slicing_state"]):
            yield from gone
            continue
        is_changed = napari_internals.change_requests(layer, make)
        layer.set_view_slice()
        if not is_changed or not requests:
            yield f"use of {' or '.join(napari_internals.POINT_REQUESTS)} in {owner}"
            continue
        yield from _without_fields(requests[0], f"slice request of {owner}", _POINT_REQUEST_FIELDS)
        yield from _without_fields(requests[0].data_slice, "data slice", _SLICE_FIELDS)
        if isinstance(layer, Vectors):
            yield from _without_fields(requests[0](), f"slice response of {owner}", _ARROW_RESPONSE_FIELDS)


def _try_arrows() -> Iterator[str]:
    layer = Vectors(np.zeros((1, 2, 3)))
    gone = _without(layer, "Vectors", ("_view_indices", "_max_vectors_thumbnail", "_edge"))
    yield from gone or _without(layer._edge, "Vectors._edge", ["colors"])


def _try_crosshair() -> Iterator[str]:
    visuals, bases = (importlib.import_module(name) for name in (napari_internals.VISUALS, napari_internals.OVERLAYS))
    yield from _without(visuals, visuals.__name__, ["overlay_to_visual"])
    gone = _without(bases, bases.__name__, ("ViewerOverlayMixin", "VispySceneOverlay"))
    names = ("_on_visible_change", "_should_be_visible", "reset", "close")
    yield from gone or _without(bases.VispySceneOverlay, "VispySceneOverlay", names)


def _try_outlines() -> Iterator[str]:
    visuals = importlib.import_module(napari_internals.VISUALS)
    if gone := _without(visuals, visuals.__name__, ["layer_to_visual"]):
        yield from gone
        return
    for kind, visual in visuals.layer_to_visual.items():
        if kind.__name__ in {"Points", "Labels"}:
            yield from _without(visual, visual.__name__, ["_on_data_change"])
    for name, outlined in (("Markers", outlined_markers), ("Image", outlined_labels)):
        drawn = getattr(importlib.import_module(f"vispy.visuals.{name.lower()}"), f"{name}Visual")
        if outlined(drawn._shaders["fragment"]) is None:
            yield f"shader of {drawn.__name__} that is known"


def _try_gaps() -> Iterator[str]:
    layer = Points(np.zeros((2, 3)), features={"class": [0.0, np.nan]})
    if gone := _without(layer, "Points", napari_internals.COLORS_OF_POINTS):
        yield from gone
        return
    napari_internals.color_gaps(layer)
    layer.face_color, layer.face_color_mode = "class", "cycle"
    if len(layer.face_color) != len(layer.data):
        yield "CategoricalColormap.map"


def _try_windows() -> Iterator[str]:
    yield from _without(importlib.import_module("napari.viewer").Viewer, "Viewer", ["_instances"])
    window = importlib.import_module("napari._qt.qt_main_window")._QtMainWindow
    yield from _without(window, "main window", ["_save_current_window_settings"])
    canvas = importlib.import_module("napari._vispy.canvas").VispyCanvas
    for owner, kind, name in (("main window", window, "_qt_viewer"), ("canvas", canvas, "_scene_canvas")):
        if name not in kind.__init__.__code__.co_names:  # set at start
            yield f"{owner}.{name}"


_TRIES: Final[Mapping[Feature, Callable[[], Iterable[str]]]] = {
    Feature.SHARPENING: _try_sharpening,
    Feature.FLAT: lambda: _without(_two_levels(), "Image", ["_level_materializer"]),
    Feature.THUMBNAILS: lambda: _without(Layer, "Layer", ["_update_thumbnail"]),
    Feature.VALUES: lambda: _without(_two_levels(), "Image", ("_get_value_ray", "_slice", "_transforms")),
    Feature.FITTING: _try_fitting,
    Feature.DISCS: _try_discs,
    Feature.ARROWS: _try_arrows,
    Feature.WRITING: lambda: _without(Layer, "Layer", ["_block_refresh"]),
    Feature.DRAWING: lambda: _without(Labels, "Labels", ("_draw", "_drag_modes")),
    Feature.CROSSHAIR: _try_crosshair,
    Feature.OUTLINES: _try_outlines,
    Feature.DRAGS: lambda: _without(Points(np.zeros((1, 3))), "Points", ["_drag_start"]),
    Feature.GAPS: _try_gaps,
    Feature.WINDOWS: _try_windows,
}
