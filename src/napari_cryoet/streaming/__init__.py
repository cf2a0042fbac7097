"""Stream remote or local OME-Zarr as exact lazy arrays, or as a picture that sharpens while it loads.

Nothing here knows the portal, cryo-ET, Qt or napari. The names are in ``__init__.pyi``. Each is
imported at first use: aiohttp alone takes a quarter of a second.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
