"""A loopback server that answers with exactly the bytes it was told to, however wrong.

A behaviour answers one request; a fault makes a bad behaviour of a good one.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import re
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self


@dataclass
class Request:
    """What a client sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Behaviour = Callable[[socket.socket, Request], None]
Fault = Callable[[Behaviour], Behaviour]


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


def files(folder: Path) -> Behaviour:
    """Serve a folder as a good server does, with ranges and ETags."""

    def behave(connection: socket.socket, request: Request) -> None:
        file = folder / request.path.partition("?")[0].lstrip("/")
        if not file.is_file():
            return reply(b"", 404)(connection, request)
        about = file.stat()
        return ranged(file.read_bytes(), ETag=f'"{about.st_mtime_ns}-{about.st_size}"')(connection, request)

    return behave


@dataclass
class Faulty:
    """A good behaviour with a fault.

    Attributes
    ----------
    good
        What it does where there is no fault.
    fault
        The fault, None for none.
    pattern
        Which paths it hits.
    left
        How many more requests it hits, None for all.
    hits
        How many it has hit.
    """

    good: Behaviour
    fault: Fault | None = None
    pattern: str = "."
    left: int | None = None
    hits: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, connection: socket.socket, request: Request) -> None:
        fault = self._fault_for(request)
        return (fault(self.good) if fault else self.good)(connection, request)

    def _fault_for(self, request: Request) -> Fault | None:
        with self._lock:
            if self.fault is None or self.left == 0 or not re.search(self.pattern, request.path):
                return None
            self.hits += 1
            self.left = None if self.left is None else self.left - 1
            return self.fault


class _Recorder:
    """Takes down what a behaviour sends."""

    def __init__(self) -> None:
        self.sent = b""

    def sendall(self, data: bytes) -> None:
        self.sent += data


def head_and_body(good: Behaviour, request: Request) -> tuple[bytes, bytes]:
    """Head, with its empty line, and body of what a behaviour answers."""
    recorder = _Recorder()
    good(recorder, request)
    head, blank, body = recorder.sent.partition(b"\r\n\r\n")
    return head + blank, body


def altered(change: Callable[[bytes, bytes], tuple[bytes, bytes]]) -> Fault:
    """Send another head and body than the good ones."""

    def fault(good: Behaviour) -> Behaviour:
        def behave(connection: socket.socket, request: Request) -> None:
            connection.sendall(b"".join(change(*head_and_body(good, request))))

        return behave

    return fault


def instead(behaviour: Behaviour) -> Fault:
    """Do something else altogether."""
    return lambda good: behaviour


def dropped(good: Behaviour) -> Behaviour:
    """Hang up in the middle of the body."""

    def behave(connection: socket.socket, request: Request) -> None:
        head, body = head_and_body(good, request)
        connection.sendall(head + body[: len(body) // 2])
        raise ConnectionAbortedError

    return behave


def whole(good: Behaviour) -> Behaviour:
    """Know nothing of ranges."""

    def behave(connection: socket.socket, request: Request) -> None:
        without = {name: value for name, value in request.headers.items() if name != "range"}
        good(connection, Request(request.method, request.path, without, request.body))

    return behave


def stored_packed(good: Behaviour) -> Behaviour:
    """Serve ranges of the file as it was compressed when it was stored, as S3 does."""

    def behave(connection: socket.socket, request: Request) -> None:
        recorder = _Recorder()
        whole(good)(recorder, request)
        head, _, body = recorder.sent.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            return connection.sendall(recorder.sent)
        etag = re.search(rb"ETag: (\S+)", head)
        headers = {"ETag": etag[1].decode()} if etag else {}
        return ranged(gzip.compress(body, 1), Content_Encoding="gzip", **headers)(connection, request)

    return behave


def app_of_one_page(good: Behaviour) -> Behaviour:
    """Send a page, in parts where these are asked for, in place of whatever isn't there."""

    def behave(connection: socket.socket, request: Request) -> None:
        head, body = head_and_body(good, request)
        if b" 404 " not in head.partition(b"\r\n")[0]:
            return connection.sendall(head + body)
        return ranged(b"<!doctype html><html>An app.</html>" * 50, Content_Type="text/html")(connection, request)

    return behave


def in_chunks(good: Behaviour) -> Behaviour:
    """Send bodies in chunks, so that nobody knows before how long they are."""

    def behave(connection: socket.socket, request: Request) -> None:
        head, body = head_and_body(good, request)
        pieces = [body[start : start + 2**14] for start in range(0, len(body), 2**14)]
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])
        connection.sendall(re.sub(rb"Content-Length: \d+", b"Transfer-Encoding: chunked", head) + chunks)

    return behave


def _shorter(head: bytes, body: bytes) -> tuple[bytes, bytes]:
    half = body[: len(body) // 2]
    return re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % len(half), head), half


def _shifted(head: bytes, body: bytes) -> tuple[bytes, bytes]:
    return re.sub(rb"bytes (\d+)-(\d+)", lambda m: b"bytes %d-%d" % (int(m[1]) + 1, int(m[2]) + 1), head), body


def _renamed(numbers: Iterable[int]) -> Callable[[bytes, bytes], tuple[bytes, bytes]]:
    following = iter(numbers)
    return lambda head, body: (re.sub(rb"ETag: .*", b'ETag: "%d"' % next(following), head), body)


truncated = altered(_shorter)
shifted = altered(_shifted)
inverted = altered(lambda head, body: (head, bytes(255 - byte for byte in body)))
said_to_be_packed = altered(lambda head, body: (head.replace(b"ETag", b"Content-Encoding: gzip\r\nETag"), body))
ever_another = altered(_renamed(itertools.count()))
page = instead(reply(b"<!DOCTYPE html><html>Please sign in.</html>" * 20_000, Content_Type="text/html"))
too_many = instead(reply(b"", 429, Retry_After="0"))
broken = instead(reply(b"", 500))


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
        self._closing.wait(100)

    def stalled(self, good: Behaviour) -> Behaviour:
        """Say nothing any more in the middle of the body."""

        def behave(connection: socket.socket, request: Request) -> None:
            head, body = head_and_body(good, request)
            connection.sendall(head + body[: len(body) // 2])
            self._closing.wait(100)

        return behave

    def slow_to_start(self, good: Behaviour) -> Behaviour:
        """Take a while for the head and the first bytes."""

        def behave(connection: socket.socket, request: Request) -> None:
            head, body = head_and_body(good, request)
            for piece in (head[:5], head[5:], body[:1], body[1:100]):
                self._closing.wait(0.05)
                connection.sendall(piece)
            connection.sendall(body[100:])

        return behave

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
