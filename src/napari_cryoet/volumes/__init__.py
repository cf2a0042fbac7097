"""Volumes: any file as lazy levels in z, y, x, and crops of it."""

from napari_cryoet.volumes.opening import (
    AXES,
    MRC_SUFFIXES,
    TIFF_SUFFIXES,
    checked_spacing,
    fetch_file,
    is_packed_volume,
    open_file,
    open_volume,
    own_provenance,
)
from napari_cryoet.volumes.volume import LevelGrid, Mask, Volume, are_inside, edge_distances

__all__ = [
    "AXES",
    "MRC_SUFFIXES",
    "TIFF_SUFFIXES",
    "LevelGrid",
    "Mask",
    "Volume",
    "are_inside",
    "checked_spacing",
    "edge_distances",
    "fetch_file",
    "is_packed_volume",
    "open_file",
    "open_volume",
    "own_provenance",
]
