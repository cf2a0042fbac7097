"""The command line ``napari-cryoet``.

Only ``open`` and ``demo`` import Qt, through `napari_cryoet._qt.launch`.
"""

from __future__ import annotations

from napari_cryoet.cli.app import main

__all__ = ["main"]
