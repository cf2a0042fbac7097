"""Colours that tell layers apart: of what a person opens from a file, and of two annotations of one object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Layer

from napari_cryoet._qt.appearance import appearance_of
from napari_cryoet.color_vision import are_alike
from napari_cryoet.colors import RGBA, another_color, object_key, own_color
from napari_cryoet.layer_spec import METADATA_KEY, LayerKind, LayerSpec
from napari_cryoet.meshes import mesh_colormap
from napari_cryoet.readers import LayerData


def taken_colors(layers: Iterable[Layer]) -> list[RGBA]:
    """The colours of the layers that have a single one."""
    return [color for layer in layers if (color := appearance_of(layer).color) is not None]


def with_own_color(layers: list[LayerData], shown: Iterable[Layer]) -> list[LayerData]:
    """Layers of one file of a person's own that are to join others; what has several colours keeps those."""
    chosen = own_color(taken_colors(shown))  # points and their arrows have the same
    return [_recolored(*layer, chosen) for layer in layers]


def told_apart(specs: Sequence[LayerSpec], beside: Iterable[Layer], reserved: Iterable[RGBA]) -> tuple[LayerSpec, ...]:
    """Layers of an annotation in another colour than further annotations of the same object have that are shown.

    Where another shape of the annotation is shown, they have the colour of that, if it does.

    Parameters
    ----------
    beside
        The layers that are shown.
    reserved
        Colours that aren't to be given, such as those of the other objects of a run.
    """
    layers = list(beside)
    about = specs[0].options["metadata"].get(METADATA_KEY, {})
    same = [color for layer in layers if _is_rival(about, layer) and (color := appearance_of(layer).color)]
    mine = _color_in(specs[0].options, specs[0].kind)
    if mine is None or _is_apart(mine, same):
        return tuple(specs)
    own = [color for color in taken_colors(filter(partial(_is_of_same, about), layers)) if _is_apart(color, same)]
    chosen = own[0] if own else another_color(same, [*taken_colors(layers), *reserved])
    return tuple(LayerSpec(*_recolored(*spec, chosen)) for spec in specs)


def _is_rival(about: dict[str, Any], layer: Layer) -> bool:
    """Whether a layer shows another annotation of the same object in the same run."""
    other = layer.metadata.get(METADATA_KEY)
    if not isinstance(other, dict) or other.get("annotation_id") in {None, about.get("annotation_id")}:
        return False
    return other.get("run_id") == about.get("run_id") and _object_in(other) == _object_in(about)


def _is_of_same(about: dict[str, Any], layer: Layer) -> bool:
    """Whether a layer shows the very annotation, in whichever shape."""
    other, own_id = layer.metadata.get(METADATA_KEY), about.get("annotation_id")
    return isinstance(other, dict) and own_id is not None and other.get("annotation_id") == own_id


def _is_apart(color: RGBA, others: Iterable[RGBA]) -> bool:
    return not any(are_alike(color, other) for other in others)


def _object_in(about: dict[str, Any]) -> str:
    return object_key(about.get("object_id"), about.get("object_name"))


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
