"""Widgets shared by the docks."""
