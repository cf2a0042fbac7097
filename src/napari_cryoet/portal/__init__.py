"""The portal's metadata: queries, transports, answers as records, what is kept on disk, and the search."""

from napari_cryoet.portal.links import Jump, parse_jump
from napari_cryoet.portal.portal import LIVE_URL, Portal, Source, open_portal
from napari_cryoet.portal.search import search_catalogue

__all__ = ["LIVE_URL", "Jump", "Portal", "Source", "open_portal", "parse_jump", "search_catalogue"]
