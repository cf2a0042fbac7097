"""Picks shown as napari layers."""
