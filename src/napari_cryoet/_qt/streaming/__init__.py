"""Streamed layers in napari: what is drawn comes from a display that never waits, `layer.data` stays exact."""
