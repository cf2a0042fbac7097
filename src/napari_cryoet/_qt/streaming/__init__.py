"""Streamed layers in napari: drawing never blocks, and `layer.data` stays exact."""
