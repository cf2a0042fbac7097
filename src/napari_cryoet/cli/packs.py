"""``napari-cryoet pack`` and ``napari-cryoet serve``."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from napari_cryoet.cli.console import ProgressLine, say, stop_on_interrupt
from napari_cryoet.exceptions import PackError, StoppedError


def write_pack(options: argparse.Namespace) -> int:
    """Write the demo as a pack."""
    from napari_cryoet.demo import write_demo_pack

    folder: Path = options.folder
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise PackError(f"{folder} is there already and isn't an empty folder.", hint="Choose a new folder.")
    with stop_on_interrupt() as stop, ProgressLine() as line:
        write_demo_pack(folder, progress=lambda share, words: line.show(f"{share:4.0%}  {words}"), stop=stop)
    say(f"{folder}")
    return 0


def serve(options: argparse.Namespace) -> int:
    """Serve a pack until somebody stops it."""
    from napari_cryoet.packs.serve import serve_until_signalled

    ended = serve_until_signalled(options.folder, options.host, options.port, names=options.name, cors=options.cors)
    if ended == signal.SIGINT:
        raise StoppedError
    return 0
