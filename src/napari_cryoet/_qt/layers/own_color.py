"""The colour of what a person opens from a file, which nothing else in the viewer has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from napari.layers import Layer

from napari_cryoet._qt.layers.appearance import appearance_of
from napari_cryoet.appearance.colors import RGBA, own_color
from napari_cryoet.layers.readers import LayerData
from napari_cryoet.layers.specs import LayerKind, mesh_colormap


def taken_colors(layers: Iterable[Layer]) -> list[RGBA]:
    """The colours of the layers that have a single one."""
    return [color for layer in layers if (color := appearance_of(layer).color) is not None]


def with_own_color(layers: list[LayerData], shown: Iterable[Layer]) -> list[LayerData]:
    """Layers of one file of a person's own that are to join others; what has several colours keeps those."""
    chosen = own_color(taken_colors(shown))  # points and their arrows have the same
    return [_recolored(*layer, chosen) for layer in layers]


def _recolored(data: Any, options: dict[str, Any], kind: LayerKind, color: RGBA) -> LayerData:
    return data, options | (_painted(options, kind, color) if _has_one_color(options, kind) else {}), kind


def _has_one_color(options: dict[str, Any], kind: LayerKind) -> bool:
    return _color_in(options, kind) is not None


def _color_in(options: dict[str, Any], kind: LayerKind) -> RGBA | None:
    """The colour that a layer will have, if it is to have a single one."""
    colormap = options.get("colormap")
    match kind:
        case "points":
            found = options.get("border_color")
        case "vectors":
            found = options.get("edge_color")
        case "labels":
            found = colormap.get(1) if isinstance(colormap, dict) else None
        case "surface":
            found = colormap["colors"][0] if isinstance(colormap, dict) else None
        case _:
            found = None
    if found is None or np.shape(found) != (4,):
        return None
    red, green, blue, alpha = (float(part) for part in found)
    return red, green, blue, alpha


def _painted(options: dict[str, Any], kind: LayerKind, color: RGBA) -> dict[str, Any]:
    """What of a layer's options has its colour, in another one."""
    if kind == "points":
        return {"border_color": list(color), "face_color": [*color[:3], options["face_color"][3]]}
    if kind == "vectors":
        return {"edge_color": list(color)}
    if kind == "surface":
        return {"colormap": mesh_colormap(color)}
    return {"colormap": {**options["colormap"], None: color, 1: color}}
