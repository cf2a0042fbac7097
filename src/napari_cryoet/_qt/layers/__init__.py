"""Layers in the viewer: adding, ownership, colours, our layer types."""
