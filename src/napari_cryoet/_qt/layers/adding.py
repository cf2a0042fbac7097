"""Adds loaded layers to a viewer, for scripts: what the dock does when something is opened."""

from __future__ import annotations

from collections.abc import Iterable

from napari.components import ViewerModel
from napari.layers import Layer

from napari_cryoet._qt.layers.adopting import adopt_layers_of
from napari_cryoet._qt.streaming.progressive import make_layer
from napari_cryoet.layers.specs import FROM_BOTTOM, LayerSpec


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
    if not isinstance(viewer, ViewerModel):
        raise TypeError(f"viewer must be a napari viewer, not {type(viewer).__name__}.")
    specs = list(specs)
    for spec in specs:
        if not isinstance(spec, LayerSpec):
            raise TypeError(f"specs must be of load_tomogram, load_annotation and the like, not {type(spec).__name__}.")
    adopt_layers_of(viewer)
    if not viewer.layers:
        viewer.canvas.overlays.scale_bar.visible = True
    from_bottom = sorted(specs, key=lambda spec: FROM_BOTTOM.index(spec.kind))
    layers = [make_layer(spec, viewer=viewer)[0] for spec in from_bottom]
    viewer.layers.extend(layers)
    return layers
