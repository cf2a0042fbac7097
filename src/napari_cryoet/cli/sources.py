"""Opening the SOURCE of a command."""

from __future__ import annotations

import threading

from napari_cryoet.cli.console import ProgressLine
from napari_cryoet.portal.portal import Portal, open_portal


def open_source(source: str, line: ProgressLine, stop: threading.Event) -> Portal:
    """Return the portal of a SOURCE; the demo is made first where this computer doesn't have it yet."""
    if source == "demo":
        make_demo(line, stop)
    return open_portal(source)


def make_demo(line: ProgressLine, stop: threading.Event) -> None:
    """Make the demo if need be, with progress."""
    from napari_cryoet.demo import ensure_demo_pack

    ensure_demo_pack(progress=lambda share, words: line.show(f"{share:4.0%}  {words}"), stop=stop)
