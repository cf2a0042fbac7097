"""A thin line around picks and masks of ours, which sets them off from whatever they lie on.

The canvas is white in napari's light theme and black in its dark one, and tomograms have all greys: no colour stands
out from all of them. A line does: black around light colours, white around dark ones. It is drawn by the graphics card
and is in no data, so layers, files and what people chose are as they were. Masks in 3D, which have shades, go without.
Where this napari or its vispy draws in another way, there is no line.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any, Final
from weakref import WeakSet

from napari.layers import Labels, Layer, Points

from napari_cryoet._qt import napari_internals
from napari_cryoet._qt.napari_check import Feature, lacks
from napari_cryoet._qt.outline_shader import outlined_labels, outlined_markers
from napari_cryoet.layer_spec import METADATA_KEY

_outlined: Final[WeakSet[Any]] = WeakSet()


def draw_outlines() -> None:
    """Draw a line around what is shown of ours from now on; calling it again changes nothing."""
    if napari_internals.VISUALS in sys.modules:  # else nothing can be drawn yet, and to import it takes a while
        _begin()


@cache
def _begin() -> None:
    if lacks(Feature.OUTLINES):
        return
    for kind in (Points, Labels):
        napari_internals.change_drawing(kind, _outline)


def _outline(layer: Layer, node: Any) -> None:
    """Let what draws a layer draw the line, too; napari draws a layer by other things in 3D, or with other data."""
    if METADATA_KEY not in layer.metadata or node in _outlined:
        return
    _outlined.add(node)
    outlined = outlined_markers if isinstance(layer, Points) else outlined_labels
    program: Any = getattr(getattr(node, "points_markers", node), "shared_program", ())
    for drawn in program:
        fragment = outlined(drawn.frag.code)
        if fragment is not None:
            program.frag = fragment
        return  # it is that of all
