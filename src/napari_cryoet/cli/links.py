"""``napari-cryoet links``: open links to views by a click, or no longer."""

from __future__ import annotations

from typing import Annotated, Literal

from typer import Argument, Typer

from napari_cryoet.cli.console import say, tell

app = Typer()


@app.command()
def links(
    what: Annotated[Literal["on", "off", "status"], Argument(help="What to do.")] = "status",
) -> None:
    """Open napari-cryoet: links in napari when you click them.

    napari-cryoet links on
    """
    from napari_cryoet.views import scheme

    before = scheme.handler()
    if what == "on":
        scheme.register()
        if before and not scheme.is_ours(before):
            tell(f"replaced {before}, which opened these links before")
    elif what == "off":
        scheme.unregister()
    program = scheme.handler()
    state = "on" if scheme.is_ours(program) else "off"
    say(f"{state}: napari-cryoet: links are opened by {program or 'no program'}")
