"""The application: its commands, and what becomes of errors."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from napari_cryoet._version import __version__
from napari_cryoet.cli import baskets, cache, exports, picks, portals, searches, window
from napari_cryoet.cli.console import harmless, prepare_streams, say, tell
from napari_cryoet.exceptions import CryoETError, DownloadError, ExistsError, MissingContextError

FAILED: Final = 1
MISUSED: Final = 2
STOPPED: Final = 130

_DEBUG: Final = "--debug"
_MOST_LISTED: Final = 20
#: What says what a file doesn't.
_OPTIONS: Final = {"spacing_angstrom": "--spacing Å", "shape_zyx": "--shape Z,Y,X", "tomogram": "--tomogram NAME"}
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]  # typer has no public name for it

# plain help comes three times as fast as rich help
app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})
for _group in (window.app, searches.app, portals.app, baskets.download_app, picks.app, exports.app):
    app.registered_commands += _group.registered_commands
app.add_typer(cache.app, name="cache")
app.add_typer(baskets.app, name="basket")


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Tell the version.")] = False,
    _debug: Annotated[bool, typer.Option(_DEBUG, help="Show where an error comes from.")] = False,
) -> None:
    """Browse, stream, overlay and download the CZ CryoET Data Portal."""
    if version:
        say(f"napari-cryoet {__version__}")
    elif context.invoked_subcommand is None:
        context.fail("Say a command.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 1 failed, 2 not understood, 130 or 143 stopped by a signal."""
    prepare_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    words = [each for each in given if each != _DEBUG]
    try:
        command = typer.main.get_command(app)
        return int(command.main(words, "napari-cryoet", standalone_mode=False, obj=words) or 0)
    except _UsageError as error:
        text = io.StringIO()
        error.show(text)  # type: ignore[attr-defined]
        sys.stderr.write(harmless(text.getvalue()))
        return MISUSED
    except (KeyboardInterrupt, typer.Abort):
        tell("napari-cryoet: stopped")
        return STOPPED
    except (CryoETError, OSError) as error:
        if _DEBUG in given:
            raise
        return _failed(error)


def _failed(error: CryoETError | OSError) -> int:
    """Say what went wrong, and which options help."""
    match error:
        case MissingContextError():
            words = f"{error.message} Say {' and '.join(_OPTIONS[name] for name in error.missing)}."
        case ExistsError():
            words = f"{error.message} Choose another place, or say --overwrite where that is an option."
        case OSError() if error.strerror:
            words = ": ".join(filter(None, [error.strerror, error.filename]))
        case _:
            words = str(error)
    tell(f"napari-cryoet: {words}")
    files = error.files if isinstance(error, DownloadError) else ()
    for file in files[:_MOST_LISTED]:
        tell(f"  {file}")
    if len(files) > _MOST_LISTED:
        tell(f"  and {len(files) - _MOST_LISTED} more")
    return FAILED
