"""``napari-cryoet cache``: what is kept on this computer, and how to be rid of it."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import platformdirs

from napari_cryoet.cli.console import say
from napari_cryoet.wording import size_text


def cache(options: argparse.Namespace) -> int:
    """Show the size of each part of the cache, or delete it all."""
    folder = platformdirs.user_cache_path("napari-cryoet", appauthor=False)
    parts = sorted(folder.iterdir()) if folder.is_dir() else []
    for part in parts:
        say(f"{size_text(_size_bytes(part)):>9}  {part}")
    if options.action == "clear":
        for part in parts:
            shutil.rmtree(part) if part.is_dir() and not part.is_symlink() else part.unlink()
        say("cleared" if parts else "nothing to clear")
    elif not parts:
        say(f"nothing is kept in {folder}")
    return 0


def _size_bytes(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(_size_bytes(inside) for inside in path.iterdir())
