"""Layers in napari: adding and streaming them, and how picks are drawn. Needs napari.

The names are in ``viewer.pyi``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub("napari_cryoet", __file__)
