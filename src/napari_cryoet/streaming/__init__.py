"""Bytes to arrays: remote or local OME-Zarr as exact lazy arrays, and as a picture that sharpens while it loads.

Nothing here knows the portal, cryo-ET, Qt or napari.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_cryoet.streaming.label_images import find_labels
    from napari_cryoet.streaming.making import open_pyramid
    from napari_cryoet.streaming.own_levels import pyramid_of
    from napari_cryoet.streaming.pyramid import Pyramid
    from napari_cryoet.streaming.splitting import split_pyramid

__all__ = ["Pyramid", "find_labels", "open_pyramid", "pyramid_of", "split_pyramid"]

_HOMES = {
    "find_labels": "label_images",
    "open_pyramid": "making",
    "pyramid_of": "own_levels",
    "split_pyramid": "splitting",
}


def __getattr__(name: str) -> Any:
    """Import zarr and dask only when a pyramid is wanted: they cost half a second each."""
    if name in __all__:
        return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'pyramid')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
