"""``napari-cryoet cache``: what is kept on this computer, how much it may become, and how to be rid of it."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from napari_cryoet.cli.arguments import KEPT
from napari_cryoet.cli.console import say
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.wording import size_text

_OTHER = "other"
_NOBODY_ELSES = {errno.EROFS, errno.ENOSPC}  # faults that are there whoever else uses it


def cache(options: argparse.Namespace) -> int:
    """Show what is kept, limit or delete it."""
    try:
        match options.action:
            case "clear":
                _clear(options.what or (*KEPT, _OTHER))
            case "limit":
                _limit(options.limit)
            case _:
                _show()
    except OSError as error:
        if options.action not in {"clear", "limit"}:
            raise CryoETError(f"What is kept can't be looked at: {_why(error)}.") from error
        hint = "" if error.errno in _NOBODY_ELSES else "Close napari, then try again."
        raise CryoETError(f"The cache can't be changed: {_why(error)}.", hint=hint) from error
    return 0


def _why(error: OSError) -> str:
    """What the system says, and of what; an error's own text may have names of Python's in it."""
    if error.errno is None:
        return str(error)
    return os.strerror(error.errno) + (f": {error.filename}" if error.filename else "")


def _show() -> None:
    folders = _folders()
    limits = {"metadata": _metadata_limit_text(), "pixels": _pixel_limit_text()}
    for kind, paths in folders.items():
        for path in paths:
            say(f"{size_text(_size_bytes(_own(path))):>9}  {kind:8}  {path}{limits.get(kind, '')}")
    if not any(folders.values()):
        say(f"nothing is kept in {_root()}")
        say(f"pixels would be kept in {_pixel_folder()}{limits['pixels']}")


def _clear(kinds: Sequence[str]) -> None:
    from napari_cryoet.streaming.disk_writer import remove_all

    folders = {kind: paths for kind, paths in _folders().items() if kind in kinds}
    for kind, paths in folders.items():
        for path in paths:
            size = size_text(_size_bytes(_own(path)))
            may_go = kind != "pixels" or remove_all(path)  # for those, too, who have it open: they keep an empty one
            if may_go:
                _remove(_own(path))
            with contextlib.suppress(OSError):  # a folder that the person named may hold other things
                path.rmdir()
            say(f"{size:>9}  {kind:8}  deleted")
    if not any(folders.values()):
        say("nothing to clear")


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def _limit(limit_bytes: int | None) -> None:
    from napari_cryoet.streaming import disk_settings
    from napari_cryoet.streaming.disk_writer import remove_beyond

    disk_settings.choose_limit(limit_bytes)
    remove_beyond(_pixel_folder(), disk_settings.limit_bytes())
    say(f"pixels{_pixel_limit_text()}")


def _folders() -> dict[str, list[Path]]:
    """What is kept of each kind."""
    folders: dict[str, list[Path]] = {kind: [] for kind in (*KEPT, _OTHER)}
    root, pixels = _root(), _pixel_folder()
    for path in sorted(root.iterdir()) if root.is_dir() else []:
        if path not in {pixels, _own(pixels)} and path.suffix != ".lock":  # by which processes wait for each other
            folders[_kind(path)].append(path)
    if _own(pixels).is_dir():
        folders["pixels"].append(pixels)
    return folders


def _kind(path: Path) -> str:
    if path.name == "answers":
        return "metadata"
    return "demo" if path.name.startswith("demo-") else _OTHER


def _root() -> Path:
    from napari_cryoet.files import cache_path

    return cache_path()


def _pixel_folder() -> Path:
    from napari_cryoet.streaming.disk_settings import cache_folder

    return cache_folder()


def _own(path: Path) -> Path:
    """What is ours of a folder: all, unless it was named for the pixels, and may hold the person's own things."""
    from napari_cryoet.streaming.disk_writer import own_folder

    return own_folder(path) if path == _pixel_folder() and path.parent != _root() else path


def _pixel_limit_text() -> str:
    from napari_cryoet.streaming import disk_settings

    limit_bytes = disk_settings.limit_bytes()
    text = f"at most {size_text(limit_bytes)}" if limit_bytes > 0 else "turned off"
    if disk_settings.is_limit_by_environment():  # whatever was set: who sets another one has to know why it isn't that
        text += f", as {disk_settings.LIMIT_VARIABLE} says"
    text += ", the default here" if disk_settings.named_limit_bytes() is None else ""
    if disk_settings.is_limit_unreadable():
        text += f"; what {disk_settings.LIMIT_VARIABLE} says is no size"
    if disk_settings.is_ask_again_unreadable():
        text += f"; what {disk_settings.ASK_AGAIN_VARIABLE} says is no time"
    return f"  ({text})"


def _metadata_limit_text() -> str:
    from napari_cryoet.portal.cache import MAX_CACHE_BYTES

    return f"  (at most {size_text(MAX_CACHE_BYTES)})"


def _size_bytes(path: Path) -> int:
    try:
        if path.is_symlink() or not path.is_dir():
            return path.lstat().st_size
        return sum(_size_bytes(inside) for inside in path.iterdir())
    except FileNotFoundError:  # others may be using it
        return 0
