"""Bytes to arrays: remote or local OME-Zarr as exact lazy arrays, and as a picture that sharpens while it loads.

Nothing here knows the portal, cryo-ET, Qt or napari.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_cryoet.streaming.pyramid import Pyramid, open_pyramid, pyramid_of

__all__ = ["Pyramid", "open_pyramid", "pyramid_of"]


def __getattr__(name: str) -> Any:
    """Import zarr and dask only when a pyramid is wanted: they cost half a second each."""
    if name in __all__:
        from napari_cryoet.streaming import pyramid

        return getattr(pyramid, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
