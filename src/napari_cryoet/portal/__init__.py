"""The portal's metadata: queries, where their answers come from, answers as records, and the search."""

from napari_cryoet.portal.portal import LIVE_URL, Portal, Source, open_portal

__all__ = ["LIVE_URL", "Portal", "Source", "open_portal"]
