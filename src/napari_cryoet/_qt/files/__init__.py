"""Exporting and saving."""
