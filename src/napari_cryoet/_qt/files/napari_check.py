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
from napari.layers import Layer, Points, Vectors

from napari_cryoet._qt.streaming import napari_internals

log = logging.getLogger(__name__)

_SLICE_FIELDS = frozenset({"point", "margin_left", "margin_right"})
_POINT_REQUEST_FIELDS = frozenset({"data", "data_slice", "slice_input"})
_ARROW_RESPONSE_FIELDS = frozenset({"indices", "alphas"})


class Feature(Enum):
    """What needs more than napari promises; each value says what there is without it."""

    DISCS = "picks show in the plane of their centre only"
    ARROWS = "arrows are sliced more often than needed"
    WRITING = "picks are sliced more often than needed"
    CROSSHAIR = "there is no crosshair"
    DRAGS = "each move of a pick that is dragged can be undone by itself"
    WINDOWS = (
        "napari opens its next window where the one of a tilt series was, which may take along what other windows draw "
        "when it closes, sees to opened files in one viewer, and a script that closes a viewer may be asked what to do "
        "with decisions that can't be saved"
    )


@cache
def lacks(feature: Feature) -> tuple[str, ...]:
    """What a feature needs and this napari hasn't, or does in another way; tried once, and written into the log."""
    names: list[str] = []
    try:
        names.extend(_TRIES[feature]())
    except Exception as error:  # noqa: BLE001 - whatever a napari may do that nobody knows yet
        names.append(f"such internals ({type(error).__name__}: {error})")
    if names:
        log.warning("napari %s has no %s: %s", napari.__version__, ", ".join(names), feature.value)
    return tuple(names)


def _without(thing: Any, owner: str, names: Iterable[str]) -> list[str]:
    return [f"{owner}.{name}" for name in names if not hasattr(thing, name)]


def _without_fields(record: Any, owner: str, names: frozenset[str]) -> list[str]:
    if not dataclasses.is_dataclass(record):
        return [f"{owner} that is a dataclass"]
    return [f"{owner}.{name}" for name in sorted(names - {field.name for field in dataclasses.fields(record)})]


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


def _try_windows() -> Iterator[str]:
    yield from _without(importlib.import_module("napari.viewer").Viewer, "Viewer", ["_instances"])
    window = importlib.import_module("napari._qt.qt_main_window")._QtMainWindow
    yield from _without(window, "main window", ["_save_current_window_settings"])
    canvas = importlib.import_module("napari._vispy.canvas").VispyCanvas
    for owner, kind, name in (("main window", window, "_qt_viewer"), ("canvas", canvas, "_scene_canvas")):
        if name not in kind.__init__.__code__.co_names:  # set at start
            yield f"{owner}.{name}"


_TRIES: Final[Mapping[Feature, Callable[[], Iterable[str]]]] = {
    Feature.DISCS: _try_discs,
    Feature.ARROWS: _try_arrows,
    Feature.WRITING: lambda: _without(Layer, "Layer", ["_block_refresh"]),
    Feature.CROSSHAIR: _try_crosshair,
    Feature.DRAGS: lambda: _without(Points(np.zeros((1, 3))), "Points", ["_drag_start"]),
    Feature.WINDOWS: _try_windows,
}
