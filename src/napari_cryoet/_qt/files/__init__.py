"""Exporting and saving picks and masks."""
