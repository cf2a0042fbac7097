"""Streamed layers: drawing never blocks, and `layer.data` stays exact."""
