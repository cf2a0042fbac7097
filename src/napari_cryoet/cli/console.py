"""Output of commands: results on stdout, progress on stderr, and a clean stop on Ctrl+C."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import typer

from napari_cryoet.exceptions import StoppedError
from napari_cryoet.task import Task

_LOG_INTERVAL_S: Final = 5.0
#: Characters that a terminal interprets: control characters and text direction marks.
_INTERPRETED: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)


#: The exit code if a basket's data changed on the portal.
CHANGED: Final = 4
_MOST_LISTED: Final = 20


def prepare_streams() -> None:
    """Replace characters that stdout and stderr can't encode, such as Å on some terminals and in logs on Windows."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def harmless(text: str) -> str:
    """Escape characters that a terminal interprets, as JSON does."""
    return _INTERPRETED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def say(text: str) -> None:
    """Print a result; exit if the reader closed the pipe, as ``head`` does."""
    try:
        sys.stdout.write(f"{harmless(text)}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None


def say_json(value: Any) -> None:
    """Print records or other values as JSON."""
    from napari_cryoet.provenance import plain_data

    say(json.dumps(plain_data(value), indent=1))


def say_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; columns whose name begins with ">" are right-aligned."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(
            name.removeprefix(">"),
            justify="right" if name.startswith(">") else "left",
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(harmless(" ".join(cell.split()))) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else 1000, color_system=None)
    with console.capture() as captured:
        console.print(table)
    say("\n".join(line.rstrip() for line in captured.get().splitlines()))


def tell(line: str) -> None:
    """Print a line to stderr."""
    sys.stderr.write(f"{harmless(' '.join(line.splitlines()))}\n")


def tell_some(lines: Sequence[str]) -> None:
    """Print the first lines to stderr, indented, and how many more there are."""
    for line in lines[:_MOST_LISTED]:
        tell(f"  {line}")
    if len(lines) > _MOST_LISTED:
        tell(f"  and {len(lines) - _MOST_LISTED} more")


def tell_differences(differences: Sequence[str]) -> None:
    """List how a basket's data differ from those that it was filled or locked with."""
    if differences:
        tell("The portal has changed since the basket was filled or locked:")
        tell_some(differences)


class ProgressDisplay:
    """The progress of a command: a bar on a terminal, or a line every few seconds elsewhere."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._logged_at = float("-inf")

    def show(self, fraction: float, message: str) -> None:
        """Show the fraction done and a status message."""
        if sys.stderr.isatty():
            self._bar = self._bar or _started_bar()
            self._bar.update(
                self._bar.task_ids[0], completed=fraction, description=harmless(message)
            )
        elif time.monotonic() - self._logged_at >= _LOG_INTERVAL_S:
            self._logged_at = time.monotonic()
            tell(f"{fraction:4.0%}  {message}")

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()


def _started_bar() -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    described = TextColumn("{task.description}", markup=False)
    columns = (BarColumn(bar_width=20), TaskProgressColumn(), TimeRemainingColumn(), described)
    bar = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
    bar.add_task("", total=1.0)
    bar.start()
    return bar


@contextmanager
def working() -> Iterator[Task]:
    """Provide a task that shows its progress, and that the first Ctrl+C or SIGTERM stops.

    A second signal acts as usual. StoppedError exits with the code that shells expect.
    """
    progress = ProgressDisplay()
    task = Task(progress.show)
    received: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_signal(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        task.stop()
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, on_signal)
    try:
        yield task
    except StoppedError:
        progress.close()
        tell("napari-cryoet: stopped")
        raise typer.Exit(128 + (received or [signal.SIGINT])[0]) from None
    finally:
        restore()
        progress.close()
