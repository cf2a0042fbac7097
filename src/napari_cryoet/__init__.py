"""Browse, stream, overlay and download the CZ CryoET Data Portal.

The names in ``__init__.pyi`` are the public API, with those of `napari_cryoet.viewer` and
`napari_cryoet.streaming`. Each is imported at first use, so importing this package costs nothing.

>>> import napari_cryoet
>>> "open_portal" in dir(napari_cryoet)
True
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
