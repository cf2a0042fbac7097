"""The demo: a small simulated portal, generated on this machine from a seed.

`write` makes it, `ensure` keeps it in the user's cache, `truth` knows where everything was planted.
"""

from __future__ import annotations

from napari_cryoet.packs.demo.ensure import demo_folder, ensure_demo_pack
from napari_cryoet.packs.demo.write import write_demo_pack

__all__ = ["demo_folder", "ensure_demo_pack", "write_demo_pack"]
