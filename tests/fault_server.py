"""A loopback server that answers with exactly the bytes it was told to, however wrong."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Self


@dataclass
class Request:
    """What a client sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Behaviour = Callable[[socket.socket, Request], None]


def reply(
    body: bytes = b"", status: int = 200, *, length: int | None = None, keep: bool = True, **headers: str
) -> Behaviour:
    """Answer with a body; ``length`` overrides the Content-Length, ``keep`` keeps the connection open after it."""

    def behave(connection: socket.socket, request: Request) -> None:
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body) if length is None else length}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        lines += [] if keep else ["Connection: close"]
        content = b"" if request.method == "HEAD" else body
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        if not keep:
            raise ConnectionAbortedError

    return behave


def raw(data: bytes) -> Behaviour:
    """Send bytes that need not be HTTP at all and hang up."""

    def behave(connection: socket.socket, request: Request) -> None:
        connection.sendall(data)
        raise ConnectionAbortedError

    return behave


def ranged(content: bytes, **headers: str) -> Behaviour:
    """Serve a file as a good server does, with ranges."""

    def behave(connection: socket.socket, request: Request) -> None:
        wanted = request.headers.get("range")
        if wanted is None:
            return reply(content, Accept_Ranges="bytes", **headers)(connection, request)
        first_text, _, last_text = wanted.removeprefix("bytes=").partition("-")
        if not first_text:
            first, last = max(0, len(content) - int(last_text)), len(content) - 1
        else:
            first, last = int(first_text), min(int(last_text or len(content)), len(content) - 1)
        if first >= len(content):
            return reply(b"", 416, Content_Range=f"bytes */{len(content)}")(connection, request)
        part = content[first : last + 1]
        where = f"bytes {first}-{last}/{len(content)}"
        return reply(part, 206, Content_Range=where, **headers)(connection, request)

    return behave


@dataclass
class FaultServer:
    """Answers the n-th request with the n-th behaviour; the last one is repeated."""

    behaviours: list[Behaviour] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    def __enter__(self) -> Self:
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/file"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        for each in [self._listener, *self._sockets]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def behave(self, *behaviours: Behaviour) -> str:
        """Set what comes next and give the URL to ask for."""
        self.behaviours = list(behaviours)
        return self.url

    def silence(self, connection: socket.socket, request: Request) -> None:
        """Say nothing until the test ends."""
        self._closing.wait(30)

    def drip(self, pieces: Iterable[bytes], pause_s: float) -> Behaviour:
        """Send pieces with pauses between."""

        def behave(connection: socket.socket, request: Request) -> None:
            for piece in pieces:
                connection.sendall(piece)
                if self._closing.wait(pause_s):
                    return
            raise ConnectionAbortedError

        return behave

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(connection)
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as stream:
                while (request := _read_request(stream)) is not None:
                    with self._lock:
                        self.requests.append(request)
                        behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
                    behaviour(connection, request)
        except OSError:
            pass


def _read_request(stream: object) -> Request | None:
    line = stream.readline().decode("latin-1").split()
    if len(line) < 3:
        return None
    headers = {}
    while (text := stream.readline().decode("latin-1").strip()) != "":
        name, _, value = text.partition(":")
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", 0)))
    return Request(line[0], line[1], headers, body)
