"""What a command says: results on stdout, progress on stderr, and Ctrl+C as a stop that leaves things in order."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import typer

from napari_cryoet.exceptions import StoppedError

_LOG_INTERVAL_S: Final = 5.0
#: What a terminal would obey instead of showing it: control characters, and those that turn the direction of texts.
_OBEYED: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def prepare_streams() -> None:
    """Let stdout and stderr take whatever is said: Å and · are beyond some terminals and most logs of Windows."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def harmless(text: str) -> str:
    """A text, such as a name of a file, with what a terminal would obey spelled out as JSON does."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def say(text: str) -> None:
    """Print the result, or a part of it; ends the command where its reader has left, as ``head`` does."""
    try:
        sys.stdout.write(f"{harmless(text)}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None


def say_json(value: Any) -> None:
    """Print records, or what is made of them, as JSON."""
    from napari_cryoet.formats.notes import plain_data

    say(json.dumps(plain_data(value), indent=1))


def say_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a line for each row; columns whose name begins with ">" are aligned to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name.removeprefix(">"), justify="right" if name.startswith(">") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(harmless(" ".join(cell.split()))) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else 1000, color_system=None)
    with console.capture() as captured:
        console.print(table)
    say("\n".join(line.rstrip() for line in captured.get().splitlines()))


def tell(line: str) -> None:
    """Print a line about what happens, beside the result."""
    sys.stderr.write(f"{harmless(' '.join(line.splitlines()))}\n")


class Steps:
    """How far a command is: a bar on a terminal, elsewhere a line now and then."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._told_at = float("-inf")

    def show(self, share: float, words: str) -> None:
        """Show that a share of the work is done."""
        if sys.stderr.isatty():
            self._bar = self._bar or _started_bar()
            self._bar.update(self._bar.task_ids[0], completed=share, description=harmless(words))
        elif time.monotonic() - self._told_at >= _LOG_INTERVAL_S:
            self._told_at = time.monotonic()
            tell(f"{share:4.0%}  {words}")

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()


def _started_bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    described = TextColumn("{task.description}", markup=False)
    columns = (BarColumn(bar_width=20), TaskProgressColumn(), TimeRemainingColumn(), described)
    bar = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
    bar.add_task("", total=1.0)
    bar.start()
    return bar


@contextmanager
def working() -> Iterator[tuple[threading.Event, Steps]]:
    """Give an event that the first Ctrl+C or SIGTERM sets, and what shows how far the work is.

    A second signal acts as usual. Work that ends with StoppedError ends the command as a shell expects it.
    """
    stop, steps, received = threading.Event(), Steps(), list[int]()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_signal(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        stop.set()
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, on_signal)
    try:
        yield stop, steps
    except StoppedError:
        steps.close()
        tell("napari-cryoet: stopped")
        raise typer.Exit(128 + (received or [signal.SIGINT])[0]) from None
    finally:
        restore()
        steps.close()
