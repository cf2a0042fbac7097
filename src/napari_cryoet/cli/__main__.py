"""``python -m napari_cryoet.cli``."""

from __future__ import annotations

import sys

from napari_cryoet.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
