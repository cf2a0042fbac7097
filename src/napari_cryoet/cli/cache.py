"""``napari-cryoet cache``: show, limit and clear the data kept on this computer."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from napari_cryoet.cli.console import say, say_table
from napari_cryoet.cli.options import one_of
from napari_cryoet.wording import size_text

app = typer.Typer(
    help="Show, limit or clear the data kept on this computer.", rich_markup_mode=None
)


def _limit_of(text: str) -> int | str:
    """A number of bytes, or "default"."""
    from napari_cryoet.streaming.disk_cache import parse_size

    return text if text == "default" else parse_size(text)


@app.callback(invoke_without_command=True)
def _cache(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        show()


@app.command()
def show() -> None:
    """Show the data kept on this computer (default)."""
    from napari_cryoet.files import cache_path
    from napari_cryoet.held import held_data
    from napari_cryoet.portal.transport import MAX_CACHE_BYTES
    from napari_cryoet.streaming.disk_cache import cache_folder

    limits = {"metadata": f"at most {size_text(MAX_CACHE_BYTES)}", "pixels": _pixel_limit_text()}
    kept = [
        (size_text(held.size_bytes), held.kind, str(held.path), limits.get(held.kind, ""))
        for held in held_data()
    ]
    if kept:
        say_table((">size", "kind", "folder", "limit"), kept)
    else:
        say(f"nothing is kept in {cache_path()}")
        say(f"pixels would be kept in {cache_folder()} ({limits['pixels']})")


@app.command()
def limit(
    size: Annotated[
        Any, typer.Argument(parser=_limit_of, metavar="SIZE", help="5GB, 500MB, off or default.")
    ],
) -> None:
    """Limit the size of the pixel cache."""
    from napari_cryoet.streaming.disk_cache import DiskCache, choose_limit, limit_bytes

    choose_limit(None if size == "default" else size)
    DiskCache().shrink(limit_bytes())
    say(f"pixels: {_pixel_limit_text()}")


@app.command()
def clear(
    what: Annotated[
        list[Any] | None,
        typer.Argument(parser=one_of("metadata", "demo", "pack", "pixels"), metavar="[WHAT]..."),
    ] = None,
) -> None:
    """Delete the data kept on this computer: all of it, or metadata, demo, pack or pixels."""
    from napari_cryoet import held

    rows = []
    for each in list(held.held_data()):
        if not what or each.kind in what:
            rows.append((size_text(each.size_bytes), each.kind, "deleted"))
            held.clear(each)
    if rows:
        say_table((">size", "kind", ""), rows)
    else:
        say("nothing to clear")


def _pixel_limit_text() -> str:
    from napari_cryoet.streaming import disk_cache

    limit_bytes = disk_cache.limit_bytes()
    text = f"at most {size_text(limit_bytes)}" if limit_bytes > 0 else "turned off"
    if disk_cache.environment_limit_bytes() is not None:
        text += f", set by {disk_cache.LIMIT_VARIABLE}"
    return text + (", the default" if disk_cache.named_limit_bytes() is None else "")
