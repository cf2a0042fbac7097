"""The demo: a small simulated portal, made on this computer from a seed, whose truth is known (`scenes`)."""

from __future__ import annotations

from napari_cryoet.demo.write import demo_folder, ensure_demo_pack, write_demo_pack

__all__ = ["demo_folder", "ensure_demo_pack", "write_demo_pack"]
