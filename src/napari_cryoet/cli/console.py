"""What a command says: results on stdout, progress on stderr, and Ctrl+C as a stop that leaves things in order."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_LINE_INTERVAL_S = 0.1  # of the one line on a terminal
_LOG_INTERVAL_S = 5.0  # of lines in a log
#: What a terminal would obey instead of showing it: control characters, and those that turn the direction of texts.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


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
    sys.stdout.write(f"{harmless(text)}\n")


def tell(text: str) -> None:
    """Print a line about what happens, beside the result."""
    sys.stderr.write(f"{harmless(' '.join(text.splitlines()))}\n")


class ProgressLine:
    """One line that changes in place on a terminal; elsewhere now and then a line of its own."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._interval_s = _LINE_INTERVAL_S if self._is_terminal else _LOG_INTERVAL_S
        self._shown_at = float("-inf")
        self._is_open = False

    def show(self, text: str, *, is_last: bool = False) -> None:
        """Show how far it is; most calls are swallowed."""
        now_s = time.monotonic()
        if not is_last and now_s - self._shown_at < self._interval_s:
            return
        self._shown_at = now_s
        text = harmless(text)
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r{text[:width]:<{width}}")
            self._is_open = True
        else:
            sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def close(self) -> None:
        """Wipe the line, so that the result stands alone."""
        if self._is_open:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r{'':{width}}\r")
            sys.stderr.flush()
            self._is_open = False

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


@contextmanager
def terminated_like_interrupted() -> Iterator[threading.Event]:
    """Let SIGTERM stop a command as Ctrl+C does; give an event that tells that it came."""
    was_terminated = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield was_terminated
        return

    def on_terminate(_number: int, _frame: FrameType | None) -> None:
        was_terminated.set()
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGTERM, on_terminate)
    try:
        yield was_terminated
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def stop_on_interrupt() -> Iterator[threading.Event]:
    """Give an event that the first Ctrl+C sets; the second one interrupts as usual."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.getsignal(signal.SIGINT)

    def on_interrupt(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
