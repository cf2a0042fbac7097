"""Stream remote or local OME-Zarr as exact lazy arrays, or as a picture that sharpens while it loads.

Nothing here knows the portal, cryo-ET, Qt or napari.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_cryoet.streaming.disk_cache import DiskCache
    from napari_cryoet.streaming.display import Display, DisplayLevel, DisplayState
    from napari_cryoet.streaming.layout import find_labels
    from napari_cryoet.streaming.pyramid import Pyramid, open_pyramid, pyramid_of, split_pyramid

__all__ = [
    "DiskCache",
    "Display",
    "DisplayLevel",
    "DisplayState",
    "Pyramid",
    "find_labels",
    "open_pyramid",
    "pyramid_of",
    "split_pyramid",
]

_MODULES = {
    "DiskCache": "disk_cache",
    "Display": "display",
    "DisplayLevel": "display",
    "DisplayState": "display",
    "find_labels": "layout",
}


def __getattr__(name: str) -> Any:
    """Import names at first use: aiohttp alone takes a quarter of a second."""
    if name in __all__:
        return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'pyramid')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
