"""A colour of its own for what a person opens from a file: one that nothing on screen has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from napari.layers import Layer

from napari_cryoet._qt.appearance import appearance_of
from napari_cryoet.colors import RGBA, free_color
from napari_cryoet.layer_spec import METADATA_KEY, LayerKind
from napari_cryoet.readers import LayerData


def taken_colors(layers: Iterable[Layer]) -> list[RGBA]:
    """The colours of the layers that have a single one."""
    return [color for layer in layers if (color := appearance_of(layer).color) is not None]


def with_own_color(layers: list[LayerData], shown: Iterable[Layer]) -> list[LayerData]:
    """Layers of one file that are to join others, in another colour where one of those has theirs.

    An annotation of a portal or a pack keeps the colour of its object, and what has several colours keeps those.
    """
    taken = taken_colors(shown)
    return [_recolored(*layer, taken) for layer in layers]


def _recolored(data: Any, options: dict[str, Any], kind: LayerKind, taken: list[RGBA]) -> LayerData:
    color = _color_of(options, kind)
    if color is None or options.get("metadata", {}).get(METADATA_KEY, {}).get("annotation_file_id") is not None:
        return data, options, kind
    chosen = free_color(color, taken)
    return data, options | _painted(options, kind, chosen), kind


def _color_of(options: dict[str, Any], kind: LayerKind) -> RGBA | None:
    """The one colour that a layer will have."""
    colormap = options.get("colormap")
    match kind:
        case "points":
            found = options.get("border_color")
        case "vectors":
            found = options.get("edge_color")
        case "labels":
            found = colormap.get(1) if isinstance(colormap, dict) else None
        case _:
            return None
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
    return {"colormap": {**options["colormap"], None: color, 1: color}}
