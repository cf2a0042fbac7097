"""Opens the review dock for a layer, from wherever one meets the layer."""

from __future__ import annotations

from typing import Final

from napari.layers import Points
from napari.viewer import Viewer

from napari_cryoet._qt.review.review_dock import ReviewDock

PLUGIN_NAME: Final = "napari-cryoet"
DOCK_NAME: Final = "Review picks"


def review_picks(viewer: Viewer, layer: Points) -> ReviewDock:
    """Review the picks of a layer in the viewer's review dock, which is brought forward, and made if there is none.

    Raises
    ------
    TypeError
        If it is no layer of points, or no viewer with a window.
    ValueError
        If its points haven't three coordinates.
    """
    if not isinstance(viewer, Viewer):
        raise TypeError(f"viewer must be a Viewer with a window, not {type(viewer).__name__}.")
    if not isinstance(layer, Points):
        raise TypeError(f"layer must be a Points layer, not {type(layer).__name__}. Only points can be reviewed.")
    if layer.ndim != 3:
        raise ValueError(f"picks have three coordinates, and the layer {layer.name!r} has {layer.ndim}")
    holder, dock = viewer.window.add_plugin_dock_widget(PLUGIN_NAME, DOCK_NAME, tabify=True)
    assert isinstance(dock, ReviewDock), "the manifest names the dock"  # noqa: S101
    holder.show()
    holder.raise_()
    dock.use_layer(layer)
    return dock
