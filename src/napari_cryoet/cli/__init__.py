"""The command line ``napari-cryoet``.

Nothing here imports Qt; ``open`` and ``demo`` hand over to `napari_cryoet._qt.launch` once they know what to show.
"""

from __future__ import annotations

from napari_cryoet.cli.app import main

__all__ = ["main"]
