"""``napari-cryoet links``: open links to views by a click, or no longer."""

from __future__ import annotations

import typer

from napari_cryoet.cli.console import say, tell

app = typer.Typer(
    help="Open napari-cryoet: links in napari when you click them.", rich_markup_mode=None
)


@app.callback(invoke_without_command=True)
def _links(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        status()


@app.command()
def status() -> None:
    """Show which program opens these links (default)."""
    from napari_cryoet.views.scheme import handler, is_ours

    program = handler()
    if not program:
        say("off: no program opens napari-cryoet: links")
    elif is_ours(program):
        say("on: napari-cryoet: links open in napari")
    else:
        say(f"off: another program opens napari-cryoet: links ({program})")


@app.command()
def on() -> None:
    """Open these links in napari."""
    from napari_cryoet.views.scheme import handler, is_ours, register

    before = handler()
    register()
    if before and not is_ours(before):
        tell(f"replaced {before}, which opened these links before")
    status()


@app.command()
def off() -> None:
    """Stop opening these links; another program that does keeps doing so."""
    from napari_cryoet.views.scheme import unregister

    unregister()
    status()
