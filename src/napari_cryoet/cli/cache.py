"""``napari-cryoet cache``: what is kept on this computer, how much it may become, and how to be rid of it."""

from __future__ import annotations

import shutil
import stat
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from napari_cryoet.cli.console import say, say_table
from napari_cryoet.files import cache_path
from napari_cryoet.wording import size_text

app = typer.Typer(help="Show, limit or clear what is kept on this computer.", rich_markup_mode=None)


class Kind(StrEnum):
    """What can be cleared by itself."""

    METADATA = "metadata"
    DEMO = "demo"
    PIXELS = "pixels"


_OTHER: Final = "other"


def _limit_of(text: str) -> Any:
    """A number of bytes, or "default"."""
    from napari_cryoet.streaming.disk_cache import parse_size

    try:
        return text if text.strip().lower() == "default" else parse_size(text)
    except ValueError as error:
        raise typer.BadParameter(f"{error}, or default") from error


@app.callback(invoke_without_command=True)
def _cache(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        show()


@app.command()
def show() -> None:
    """Show what is kept on this computer (default)."""
    from napari_cryoet.portal.transport import MAX_CACHE_BYTES

    limits = {"metadata": f"at most {size_text(MAX_CACHE_BYTES)}", "pixels": _pixel_limit_text()}
    kept = [
        (size_text(_size_bytes(_own(path))), kind, str(path), limits.get(kind, ""))
        for kind, paths in _folders().items()
        for path in paths
    ]
    if kept:
        say_table((">size", "kind", "folder", "limit"), kept)
    else:
        say(f"nothing is kept in {cache_path()}")
        say(f"pixels would be kept in {_pixel_folder()} ({limits['pixels']})")


@app.command()
def limit(
    size: Annotated[Any, typer.Argument(parser=_limit_of, metavar="SIZE", help="5GB, 500MB, off or default.")],
) -> None:
    """Say how much pixels may take."""
    from napari_cryoet.streaming.disk_cache import DiskCache, choose_limit, limit_bytes

    choose_limit(None if isinstance(size, str) else size)
    DiskCache(_pixel_folder()).shrink(limit_bytes())
    say(f"pixels: {_pixel_limit_text()}")


@app.command()
def clear(
    what: Annotated[list[Kind] | None, typer.Argument(metavar="[WHAT]...")] = None,
) -> None:
    """Delete what is kept on this computer: all of it, or metadata, demo or pixels."""
    from napari_cryoet.streaming.disk_cache import DiskCache

    rows = []
    for kind in what or (*Kind, _OTHER):
        for path in _folders()[kind]:
            rows.append((size_text(_size_bytes(_own(path))), kind, "deleted"))
            if kind == "pixels":
                DiskCache(path).clear()  # those who have them open keep an empty cache
            elif path.is_symlink() or not path.is_dir():
                path.unlink()
            else:
                shutil.rmtree(path)
            with suppress(OSError):  # a folder that the person named may hold other things
                path.rmdir()
    if rows:
        say_table((">size", "kind", ""), rows)
    else:
        say("nothing to clear")


def _folders() -> dict[str, list[Path]]:
    """What is kept of each kind."""
    folders: dict[str, list[Path]] = {kind: [] for kind in (*Kind, _OTHER)}
    root, pixels = cache_path(), _pixel_folder()
    for path in sorted(root.iterdir()) if root.is_dir() else []:
        if path not in {pixels, _own(pixels)} and path.suffix != ".lock":  # by which processes wait for each other
            is_demo = path.name.startswith("demo-")
            folders["metadata" if path.name == "answers" else "demo" if is_demo else _OTHER].append(path)
    if _own(pixels).is_dir():
        folders["pixels"].append(pixels)
    return folders


def _pixel_folder() -> Path:
    from napari_cryoet.streaming.disk_cache import cache_folder

    return cache_folder()


def _own(path: Path) -> Path:
    """What is ours of a folder: all, unless it was named for the pixels, and may hold the person's own things."""
    from napari_cryoet.streaming.disk_cache import OWN_FOLDER

    return path / OWN_FOLDER if path == _pixel_folder() else path


def _pixel_limit_text() -> str:
    from napari_cryoet.streaming import disk_cache

    limit_bytes = disk_cache.limit_bytes()
    text = f"at most {size_text(limit_bytes)}" if limit_bytes > 0 else "turned off"
    if disk_cache.environment_limit_bytes() is not None:
        text += f", as {disk_cache.LIMIT_VARIABLE} says"
    text += ", the default here" if disk_cache.named_limit_bytes() is None else ""
    return text


def _size_bytes(folder: Path) -> int:
    size_bytes = 0
    for path in [folder, *folder.rglob("*")]:
        with suppress(FileNotFoundError):  # others may be using it
            status = path.lstat()
            size_bytes += 0 if stat.S_ISDIR(status.st_mode) else status.st_size
    return size_bytes
