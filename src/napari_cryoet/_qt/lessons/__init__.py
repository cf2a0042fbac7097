"""Lessons in napari: the dock that plays them."""
