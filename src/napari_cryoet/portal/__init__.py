"""The portal's metadata: queries, transports, decoding, what is kept on disk, and the search over all datasets."""

from napari_cryoet.portal.catalogue import Jump, parse_jump, portal_url, search_catalogue
from napari_cryoet.portal.portal import LIVE_URL, Portal, Source, open_portal

__all__ = ["LIVE_URL", "Jump", "Portal", "Source", "open_portal", "parse_jump", "portal_url", "search_catalogue"]
