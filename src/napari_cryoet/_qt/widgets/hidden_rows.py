"""Hidden layers with other rows than before: napari slices them only once they are seen, but draws each change."""

from __future__ import annotations

from napari.layers import Layer


def slice_hidden(layer: Layer) -> None:
    """Let what is drawn of a hidden layer be rows that it has; what is seen is sliced anyway."""
    if not layer.visible:
        layer.set_view_slice()
