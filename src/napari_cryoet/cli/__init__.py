"""The command line: ``napari-cryoet demo | open | search | download | convert | compare | check | pack | serve | …``.

Nothing here imports Qt; `open` and `demo` hand over to `napari_cryoet._qt.launch` once they know what to show.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from napari_cryoet.cli.console import prepare_streams, tell, terminated_like_interrupted
from napari_cryoet.cli.parser import build_parser
from napari_cryoet.exceptions import CryoETError, DownloadError, StoppedError

OK, FAILED, STOPPED, TERMINATED = 0, 1, 130, 143  # and 2 from the parser
_MAX_LISTED = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 1 failed, 2 not understood, 130 or 143 stopped by a signal."""
    prepare_streams()
    options = build_parser().parse_args(arguments)
    options.arguments = list(sys.argv[1:] if arguments is None else arguments)
    with terminated_like_interrupted() as was_terminated:
        code = _run(options)
    return TERMINATED if code == STOPPED and was_terminated.is_set() else code


def _run(options: argparse.Namespace) -> int:
    try:
        code = int(options.command(options))
        sys.stdout.flush()  # here, and not at the very end, where nobody could see to a reader that has left
        return code
    except (StoppedError, KeyboardInterrupt):
        _tell("stopped")
        return STOPPED
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except CryoETError as error:
        if options.debug:
            raise
        _tell(str(error))
        for line in _list_of_files(error):
            tell(line)
        return FAILED
    except OSError as error:
        if options.debug:
            raise
        _tell(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        return FAILED


def _tell(text: str) -> None:
    tell(f"napari-cryoet: {text}")


def _list_of_files(error: CryoETError) -> list[str]:
    files = error.files if isinstance(error, DownloadError) else ()
    more = [f"  and {len(files) - _MAX_LISTED} more"] if len(files) > _MAX_LISTED else []
    return [f"  {path}" for path in files[:_MAX_LISTED]] + more
