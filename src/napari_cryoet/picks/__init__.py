"""Picks: the points of one annotation as an immutable object, and descriptions of changes."""

from napari_cryoet.picks.picks import LARGEST_ID, NO_INSTANCE, Picks, are_rotations

__all__ = ["LARGEST_ID", "NO_INSTANCE", "Picks", "are_rotations"]
