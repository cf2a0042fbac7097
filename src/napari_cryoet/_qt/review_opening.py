"""Opens the review dock for a layer, from wherever one meets the layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from napari_cryoet._qt.review_dock import ReviewDock

if TYPE_CHECKING:
    import napari
    from napari.layers import Points

PLUGIN_NAME: Final = "napari-cryoet"
DOCK_NAME: Final = "Review picks"


def review_picks(viewer: napari.Viewer, layer: Points) -> ReviewDock:
    """Review the picks of a layer in the viewer's review dock, which is brought forward, and made if there is none."""
    holder, dock = viewer.window.add_plugin_dock_widget(PLUGIN_NAME, DOCK_NAME, tabify=True)
    assert isinstance(dock, ReviewDock), "the manifest names the dock"  # noqa: S101
    holder.show()
    holder.raise_()
    if dock.layer is not layer:
        dock.review_layer(layer)
    dock.sheet.setFocus()
    return dock
