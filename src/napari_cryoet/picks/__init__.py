"""Picks: the points of one annotation as one frozen value, and what was done to it."""

from napari_cryoet.picks.picks import LARGEST_ID, NO_INSTANCE, Picks, are_rotations

__all__ = ["LARGEST_ID", "NO_INSTANCE", "Picks", "are_rotations"]
