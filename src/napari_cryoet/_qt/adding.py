"""Adds loaded layers to a viewer, for scripts: what the dock does when something is opened."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from napari.components import ViewerModel
from napari.layers import Layer

from napari_cryoet._qt.adopting import adopt_layers_of
from napari_cryoet._qt.streaming.progressive import make_layer
from napari_cryoet.expecting import expect
from napari_cryoet.layer_spec import LayerKind, LayerSpec

_KINDS: Final[tuple[LayerKind, ...]] = ("image", "labels", "surface", "vectors", "points")


def add_layers(viewer: ViewerModel, specs: Iterable[LayerSpec]) -> list[Layer]:
    """Add what was loaded to a viewer; volumes stream, and picks show as discs in every plane that cuts their particle.

    Parameters
    ----------
    viewer
        A `napari.Viewer`.
    specs
        From `load_tomogram` and `load_annotation`. Images come below masks, and these below arrows and points.

    Returns
    -------
    list of napari.layers.Layer
        One for each spec, as they are in the viewer: from bottom to top.
    """
    expect(viewer, ViewerModel, "viewer")
    specs = list(specs)
    for number, spec in enumerate(specs):
        expect(spec, LayerSpec, f"specs[{number}]", "load_tomogram and load_annotation give such.")
    adopt_layers_of(viewer)
    if not viewer.layers:
        viewer.canvas.overlays.scale_bar.visible = True
    from_bottom = sorted(specs, key=lambda spec: _KINDS.index(spec.kind))
    layers = [make_layer(spec, viewer=viewer)[0] for spec in from_bottom]
    viewer.layers.extend(layers)
    return layers
