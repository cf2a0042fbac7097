"""The command-line application: its commands, and how errors are reported."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer

from napari_cryoet._version import __version__
from napari_cryoet.cli import (
    baskets,
    cache,
    packs,
    picks,
    pictures,
    portals,
    searches,
    window,
)
from napari_cryoet.cli.console import harmless, prepare_streams, say, tell, tell_some
from napari_cryoet.exceptions import (
    CryoETError,
    DownloadError,
    ExistsError,
    MissingContextError,
    NetworkError,
)

FAILED: Final = 1
MISUSED: Final = 2
UNREACHABLE: Final = 5
STOPPED: Final = 130

_DEBUG: Final = "--debug"
#: Options for values that a file may lack.
_OPTIONS: Final = {
    "spacing_angstrom": "--spacing Å",
    "shape_zyx": "--shape Z,Y,X",
    "tomogram": "--tomogram NAME",
}
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]  # typer has no public name for it

# plain help is three times as fast as rich help
app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})
for _group in (
    window.app,
    searches.app,
    packs.app,
    portals.app,
    baskets.download_app,
    picks.app,
    pictures.app,
):
    app.registered_commands += _group.registered_commands
app.add_typer(cache.app, name="cache")
app.add_typer(baskets.app, name="basket")


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    _debug: Annotated[bool, typer.Option(_DEBUG, help="Show the traceback of an error.")] = False,
) -> None:
    """Browse, stream, overlay and download the CZ CryoET Data Portal."""
    if version:
        say(f"napari-cryoet {__version__}")
    elif context.invoked_subcommand is None:
        context.fail("Missing command.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 1 failed, 2 wrong usage, 130 or 143 stopped by a signal.

    3 to 5 say more: something was left out, the portal's data changed, a server can't be reached.
    """
    prepare_streams()
    given_arguments = list(sys.argv[1:] if arguments is None else arguments)
    command_arguments = [each for each in given_arguments if each != _DEBUG]
    try:
        command = typer.main.get_command(app)
        return int(
            command.main(
                command_arguments, "napari-cryoet", standalone_mode=False, obj=command_arguments
            )
            or 0
        )
    except _UsageError as error:
        text = io.StringIO()
        error.show(text)  # type: ignore[attr-defined]
        sys.stderr.write(harmless(text.getvalue()))
        return MISUSED
    except (KeyboardInterrupt, typer.Abort):
        tell("napari-cryoet: stopped")
        return STOPPED
    except (CryoETError, OSError) as error:
        if _DEBUG in given_arguments:
            raise
        return _failed(error, can_replace=_has_option("--overwrite", command_arguments))


def _has_option(option: str, arguments: Sequence[str]) -> bool:
    """Whether the command that is called has an option."""
    command: Any = typer.main.get_command(app)
    for argument in arguments:
        command = getattr(command, "commands", {}).get(argument, command)
    return any(option in each.opts for each in command.params)


def _failed(error: CryoETError | OSError, *, can_replace: bool) -> int:
    """Print what went wrong and which options help."""
    match error:
        case MissingContextError():
            words = f"{error.message} Add {' and '.join(_OPTIONS[name] for name in error.missing)}."
        case ExistsError():
            other = (
                "Choose another path, or use --overwrite."
                if can_replace
                else "Choose another path."
            )
            words = f"{error.message} {other}"
        case OSError() if error.strerror:
            words = ": ".join(filter(None, [error.strerror, error.filename]))
        case _:
            words = str(error)
    tell(f"napari-cryoet: {words}")
    files = error.files if isinstance(error, DownloadError) else ()
    tell_some(files)
    return UNREACHABLE if isinstance(error, NetworkError) else FAILED
