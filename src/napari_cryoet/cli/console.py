"""What a command says: results on stdout, progress on stderr, and Ctrl+C as a stop that leaves things in order."""

from __future__ import annotations

import io
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

_LOG_INTERVAL_S: Final = 5.0
#: What a terminal would obey instead of showing it: control characters, and those that turn the direction of texts.
_OBEYED: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def prepare_streams() -> None:
    """Make stdout and stderr take whatever is said: also if they can't spell it, or the caller has closed them."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - as long as the process lasts
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # Å and · are beyond some terminals and most logs of Windows


def harmless(text: str) -> str:
    """A text, such as a name of a file, with what a terminal would obey spelled out as JSON does."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def say(text: str) -> None:
    """Print a line of the result, or several."""
    _print(harmless(text))


def say_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows below each other; columns whose name begins with ">" are aligned to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name.removeprefix(">"), justify="right" if name.startswith(">") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(harmless(cell)) for cell in row))
    is_terminal = sys.stdout.isatty()
    console = Console(width=None if is_terminal else 1000, no_color=not is_terminal)
    with console.capture() as captured:
        console.print(table)
    _print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _print(text: str) -> None:
    """Print; ends the command where its reader has left, as `head` does."""
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None


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
            self._show_bar(share, harmless(words))
        elif time.monotonic() - self._told_at >= _LOG_INTERVAL_S:
            self._told_at = time.monotonic()
            tell(f"{share:4.0%}  {words}")

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _show_bar(self, share: float, words: str) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

            described = TextColumn("{task.description}", markup=False)
            columns = (BarColumn(bar_width=20), TaskProgressColumn(), TimeRemainingColumn(), described)
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.add_task("", total=1.0)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=share, description=words)


@contextmanager
def terminated_like_interrupted() -> Iterator[threading.Event]:
    """Let SIGTERM stop a command as Ctrl+C does; give an event that tells that it came."""
    was_terminated = threading.Event()

    def on_terminate(_number: int, _frame: FrameType | None) -> None:
        was_terminated.set()
        signal.raise_signal(signal.SIGINT)

    with _handling(signal.SIGTERM, on_terminate):
        yield was_terminated


@contextmanager
def working() -> Iterator[tuple[threading.Event, Steps]]:
    """Give an event that the first Ctrl+C sets, the second one interrupts as usual; and what shows how far it is."""
    stop, before = threading.Event(), signal.getsignal(signal.SIGINT)

    def on_interrupt(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    with _handling(signal.SIGINT, on_interrupt), Steps() as steps:
        yield stop, steps


@contextmanager
def _handling(number: int, handler: Any) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
