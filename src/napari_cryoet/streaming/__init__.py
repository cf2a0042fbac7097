"""Bytes to arrays: remote or local OME-Zarr as exact lazy arrays, and as a picture that sharpens while it loads.

Nothing here knows the portal, cryo-ET, Qt or napari.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_cryoet.streaming.disk_cache import DiskCache
    from napari_cryoet.streaming.display import Display
    from napari_cryoet.streaming.display_level import DisplayLevel
    from napari_cryoet.streaming.display_state import DisplayState
    from napari_cryoet.streaming.label_images import find_labels
    from napari_cryoet.streaming.making import open_pyramid
    from napari_cryoet.streaming.own_levels import pyramid_of
    from napari_cryoet.streaming.pyramid import Pyramid
    from napari_cryoet.streaming.right_of_way import RightOfWay
    from napari_cryoet.streaming.splitting import split_pyramid

__all__ = [
    "DiskCache",
    "Display",
    "DisplayLevel",
    "DisplayState",
    "Pyramid",
    "RightOfWay",
    "find_labels",
    "open_pyramid",
    "pyramid_of",
    "split_pyramid",
]

_HOMES = {
    "DiskCache": "disk_cache",
    "Display": "display",
    "DisplayLevel": "display_level",
    "DisplayState": "display_state",
    "Pyramid": "pyramid",
    "RightOfWay": "right_of_way",
    "find_labels": "label_images",
    "open_pyramid": "making",
    "pyramid_of": "own_levels",
    "split_pyramid": "splitting",
}


def __getattr__(name: str) -> Any:
    """Import zarr and dask only when a pyramid is wanted: they cost half a second each."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
