"""Layers in the viewer: adding, ownership, colours, alignment and our layer types."""
