"""``napari-cryoet pack`` and ``serve``, and how a command opens its SOURCE."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option, Typer

from napari_cryoet.cli.console import Steps, say, working
from napari_cryoet.exceptions import PackError

if TYPE_CHECKING:
    from napari_cryoet.portal.portal import Portal

app = Typer()


def open_source(source: str, steps: Steps, stop: threading.Event) -> Portal:
    """The portal of a SOURCE; the demo is made first where this computer doesn't have it yet."""
    from napari_cryoet.portal.portal import open_portal

    if source == "demo":
        make_demo(steps, stop)
    return open_portal(source)


def make_demo(steps: Steps, stop: threading.Event) -> None:
    """Make the demo if need be."""
    from napari_cryoet.demo.write import ensure_demo_pack

    ensure_demo_pack(progress=steps.show, stop=stop)


@app.command()
def pack(
    _what: Annotated[Literal["demo"], Argument(metavar="demo", help="What to write.")],
    folder: Annotated[Path, Argument(metavar="FOLDER", help="Where to; must not be there yet, or be empty.")],
) -> None:
    """Write a pack: a folder that can be opened and served like a portal."""
    from napari_cryoet.demo.write import write_demo_pack

    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise PackError(f"{folder} is there already and isn't an empty folder.", hint="Choose a new folder.")
    with working() as (stop, steps):
        write_demo_pack(folder, progress=steps.show, stop=stop)
    say(f"{folder}")


@app.command()
def serve(
    folder: Annotated[Path, Argument(metavar="FOLDER", help="The pack.")],
    host: Annotated[str, Option(metavar="HOST", help="The address to listen on; 0.0.0.0 for a class.")] = "127.0.0.1",
    port: Annotated[
        int, Option(min=0, max=65535, metavar="PORT", help="The port to listen on; 0 for any that is free.")
    ] = 0,
    name: Annotated[list[str] | None, Option(metavar="NAME", help="Another name of this computer; repeatable.")] = None,
    cors: Annotated[list[str] | None, Option(metavar="ORIGIN", help="Let its web pages read; repeatable.")] = None,
) -> int:
    """Serve a pack over HTTP, until Ctrl+C. When ready, one line of JSON tells the addresses."""
    from napari_cryoet.packs.serve import serve_until_signalled

    received = serve_until_signalled(folder, host, port, names=name or [], cors=cors or [])
    return 128 + received if received == signal.SIGINT else 0
