"""Packs: offline parts of the portal, as folders that can be browsed, streamed and served like the portal."""
