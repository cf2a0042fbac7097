"""A loopback server of a folder that leaves chosen requests waiting, and knows which of them still are."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from fault_server import FaultServer, Request, ranged, reply

#: Never a word; the head and half of the body, then never a word; the head, then a byte now and then.
How = Literal["silent", "stalled", "slow"]

TICK_S = 0.01
SLOW_TICKS = 5  # from one byte to the next
HELD_S = 100.0  # longer than anybody here waits for a client to hang up


class StallingServer(FaultServer):
    """Serves files with ranges; whatever is posted gets an empty GraphQL answer.

    Attributes
    ----------
    how
        What becomes of the chosen requests; None answers them as all others.
    chosen
        Which requests are meant.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.how: How | None = None
        self.chosen: Callable[[Request], bool] = lambda _request: True
        self._changed = threading.Condition()
        self._n_held = self._generation = 0
        self.behaviours.append(self._answer)

    def address_of(self, path: str) -> str:
        """The address of a file in the folder."""
        return f"{self.url.removesuffix('file')}{path}"

    @property
    def n_held(self) -> int:
        """How many requests wait, their clients still there."""
        return self._n_held

    @property
    def is_waited_for(self) -> bool:
        """Whether any request waits."""
        return self._n_held > 0

    def wait_until_held(self, count: int = 1, timeout_s: float = 45.0) -> None:
        """Wait until so many requests wait."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._n_held >= count, timeout_s), "no request was left waiting"

    def wait_until_left(self, timeout_s: float = 45.0) -> None:
        """Wait until every client of a waiting request has hung up."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._n_held == 0, timeout_s), f"{self._n_held} requests still wait"

    def let_go(self) -> None:
        """Answer everything from now on; what waits already is cut off."""
        with self._changed:
            self.how = None
            self._generation += 1

    def _answer(self, connection: socket.socket, request: Request) -> None:
        if self.how is None or not self.chosen(request):
            self._reply(connection, request)
        else:
            self._hold(connection, request, self.how)

    def _reply(self, connection: socket.socket | _Tape, request: Request) -> None:
        file = self.folder / request.path.partition("?")[0].lstrip("/")
        if request.method == "POST":
            reply(b'{"data": {}}' + b" " * 50_000)(connection, request)  # long enough to be slow
        elif file.is_file():
            ranged(file.read_bytes(), ETag='"1"')(connection, request)
        else:
            reply(b"", 404)(connection, request)

    def _hold(self, connection: socket.socket, request: Request, how: How) -> None:
        tape = _Tape()
        self._reply(tape, request)
        head, _, body = tape.content.partition(b"\r\n\r\n")
        pieces: Iterator[bytes] = iter(())
        if body and how != "silent":  # without a body the head would be all of the answer
            connection.sendall(head + b"\r\n\r\n" + body[: len(body) // 2 if how == "stalled" else 0])
        if body and how == "slow":
            pieces = (body[i : i + 1] for i in range(len(body)))
        with self._held() as generation:
            for tick in range(round(HELD_S / TICK_S)):
                if _has_hung_up(connection) or self._closing.is_set() or self._generation != generation:
                    break
                if tick % SLOW_TICKS == 0:
                    connection.sendall(next(pieces, b""))
        raise ConnectionAbortedError

    @contextmanager
    def _held(self) -> Iterator[int]:
        with self._changed:
            self._n_held += 1
            generation = self._generation
            self._changed.notify_all()
        try:
            yield generation
        finally:
            with self._changed:
                self._n_held -= 1
                self._changed.notify_all()


class _Tape:
    """Takes what would be sent."""

    def __init__(self) -> None:
        self.content = b""

    def sendall(self, data: bytes) -> None:
        self.content += data


def _has_hung_up(connection: socket.socket) -> bool:
    """Whether the client is gone; looks for one tick."""
    try:
        return bool(select.select([connection], [], [], TICK_S)[0]) and not connection.recv(1, socket.MSG_PEEK)
    except (OSError, ValueError):
        return True
