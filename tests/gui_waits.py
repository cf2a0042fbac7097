"""Proof that a window's thread waits for nobody: whatever would make it wait is written down, with where it was."""

from __future__ import annotations

import contextlib
import functools
import selectors
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from fault_server import Behaviour, Request, head_and_body

#: What a thread waits in, as Python code may call it. Queues, events, semaphores and futures wait in a condition.
WAITS: tuple[tuple[Any, str], ...] = (
    (threading.Condition, "wait"),
    (threading.Thread, "join"),
    (time, "sleep"),
    (selectors.DefaultSelector, "select"),
    (subprocess.Popen, "wait"),
    (socket, "getaddrinfo"),
    *((socket.socket, name) for name in ("connect", "connect_ex", "accept", "recv", "recv_into", "sendall")),
)
FREED_AFTER_S = 60.0  # then a window that waits is let go, so that the test can say what it waited for


@contextlib.contextmanager
def gui_waits() -> Iterator[list[str]]:
    """Where the thread that this is called on waits for others from now on; the list fills while it goes on."""
    found: list[str] = []
    window_thread = threading.get_ident()

    def noted(name: str, wait: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(wait)
        def note(*arguments: Any, **options: Any) -> Any:
            is_look = name == "Condition.wait" and any(
                isinstance(each, int | float) and each <= 0 for each in arguments
            )
            if threading.get_ident() == window_thread and not (is_look or _is_of_start(sys._getframe(1))):
                found.append(f"{name}\n{''.join(traceback.format_stack(sys._getframe(1), limit=12))}")
            return wait(*arguments, **options)

        return note

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in WAITS:
            patch.setattr(owner, name, noted(f"{owner.__name__}.{name}", getattr(owner, name)))
        yield found


def _is_of_start(frame: FrameType | None) -> bool:
    """Whether a wait is for the operating system to begin with a thread."""
    callers = (frame, frame and frame.f_back)
    return any(each is not None and each.f_code is threading.Thread.start.__code__ for each in callers)


class Gate:
    """Holds back what a server answers, from the beginning or from the middle on, until it is opened.

    Where the window itself waits for that, which no test could end, it is opened after a while, and `found` tells
    where the window's thread was.
    """

    def __init__(self, *, is_in_middle: bool) -> None:
        self.held = 0
        self.found: list[str] = []
        self._is_in_middle = is_in_middle
        self._is_open = threading.Event()
        self._timer = threading.Timer(FREED_AFTER_S, self._free, [threading.get_ident()])
        self._timer.daemon = True

    def __enter__(self) -> Gate:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.open()

    def open(self) -> None:
        """Let answers come, also those that were held back."""
        self._timer.cancel()
        self._is_open.set()

    def __call__(self, good: Behaviour) -> Behaviour:
        """A fault of `fault_server`."""

        def behave(connection: socket.socket, request: Request) -> None:
            head, body = head_and_body(good, request)
            half = len(body) // 2 if self._is_in_middle else 0
            if half:
                connection.sendall(head + body[:half])
            self.held += 1
            self._is_open.wait()
            connection.sendall(body[half:] if half else head + body)

        return behave

    def _free(self, window_thread: int) -> None:
        stack = traceback.format_stack(sys._current_frames()[window_thread])
        self.found.append(f"after {FREED_AFTER_S:g} s the window was in\n{''.join(stack[-12:])}")
        self._is_open.set()
