"""A layer's appearance in its row of the dock: visibility and colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels, Layer, Points, Surface, Vectors
from napari.utils.colormaps import DirectLabelColormap
from napari.utils.colormaps.standardize_color import transform_color

from napari_cryoet.appearance.colors import RGBA


@dataclass(frozen=True, slots=True)
class Appearance:
    """What a row shows of its layer; ``color`` is None unless the layer has a single colour."""

    is_visible: bool
    color: RGBA | None


def appearance_events(layer: Layer) -> list[Any]:
    """A layer's event emitters for changes of its appearance."""
    emitters = [layer.events.visible]
    match layer:
        case Points():
            emitters.append(layer.events.border_color)
        case Vectors():
            emitters.append(layer.events.edge_color)
        case Labels() | Surface():
            emitters.append(layer.events.colormap)
    return emitters


def shown_color_of(layer: Layer) -> RGBA | None:
    """A layer's colour; None unless it has a single one."""
    match layer:
        case Points():
            empty = transform_color(layer.current_border_color)
            return _single(_undimmed(layer.border_color if len(layer.data) else empty))
        case Vectors():
            return _single(_undimmed(layer.edge_color))
        case Surface():
            return _single(layer.colormap.colors)
        case Labels(colormap=DirectLabelColormap() as colormap):
            return _single(
                [
                    colormap.color_dict[label]
                    for label in colormap.color_dict
                    if label not in {0, None}
                ]
            )
    return None


def _undimmed(colors: Any) -> Any:
    """The colours with the largest opacity among them, since a review dims rejected picks."""
    array = np.array(colors, dtype=float)
    array[:, 3] = array[:, 3].max(initial=0.0)
    return array


def _single(colors: Any) -> RGBA | None:
    """The colour if all are the same, or None."""
    array = np.atleast_2d(np.asarray(colors, dtype=float))
    if array.size == 0:
        return None
    if not (array == array[0]).all() and not np.allclose(
        array, array[0]
    ):  # allclose is ten times slower
        return None
    red, green, blue, alpha = (float(part) for part in array[0])
    return red, green, blue, alpha
