"""A scriptable HTTP/1.1 file server on this computer: latency, bandwidth, counts, faults and versions of files.

In a test, on a thread of this process::

    with Server(folder) as server:
        busy = server.script(r"/0/0/0$", status(503), times=1)
        assert read(f"{server.url}/image.zarr") == values
        assert busy.hits == 1

In a benchmark, in a separate process, so that it doesn't compete with the measured code::

    with server_process(folder, latency=0.06, connection_mb=20, total_mb=50) as url: ...

or ``python tests/server.py FOLDER --latency 0.06 --connection-mb 20 --total-mb 50``, which prints
its URL. ``GET /?reset`` returns the counts as JSON and resets them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import email.utils
import json
import math
import random
import re
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import unquote

#: How an answer is sent: correctly; half of the body, then hanging up or stalling; not at all; byte
#: by byte; the body
#: repeated endlessly without a length; or without a head, so that it needn't be HTTP.
Manner = Literal["well", "cut", "stalled", "silent", "dribbling", "endless", "raw"]
#: Looks up the file or content at a path.
Find = Callable[[str], "Path | bytes | None"]

_DRIBBLE_S = 0.05
_ENDLESS_BYTES = 2**26  # practically endless, but fits into memory
_PIECE_BYTES, _PIECE_S = (
    2**16,
    0.002,
)  # fast connections get larger pieces, so that this process keeps up


@dataclass
class Request:
    """A client's request (header names in lower case), and the bytes of the file sent in reply."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    status: int = 0
    start: int = 0
    sent_bytes: int = 0


@dataclass(frozen=True)
class Answer:
    """A server's response."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    start: int = 0  # of the body in its file
    manner: Manner = "well"
    whole: Callable[[], Answer] | None = None  # the answer without a range, if this one has a range
    request: Request | None = None  # given to faults

    def saying(self, **headers: str) -> Answer:
        """A copy with changed headers; underscores in names become dashes."""
        return replace(
            self,
            headers=self.headers | {name.replace("_", "-"): text for name, text in headers.items()},
        )

    def head(self) -> bytes:
        """Status line and headers."""
        has_length = self.manner != "endless" and "Transfer-Encoding" not in self.headers
        length = {"Content-Length": str(len(self.body))} if has_length else {}
        lines = [f"{name}: {text}" for name, text in (length | self.headers).items()]
        return "\r\n".join([f"HTTP/1.1 {self.status} Status", *lines, "", ""]).encode("latin-1")


Fault = Callable[[Answer], Answer]


def status(code: int, body: bytes = b"", **headers: str) -> Fault:
    """Respond with a status."""
    return lambda _answer: Answer(code, body=body).saying(**headers)


def sent(manner: Manner) -> Fault:
    """Send the right answer in a faulty manner."""
    return lambda answer: replace(answer, manner=manner)


def saying(**headers: str) -> Fault:
    """Send the right body with changed headers."""
    return lambda answer: answer.saying(**headers)


def without_ranges(answer: Answer) -> Answer:
    """Send the whole file, like a server without ranges."""
    return answer.whole() if answer.whole else answer


def truncated(answer: Answer) -> Answer:
    """Send half of the body with a matching length; the Content-Range stays."""
    return replace(answer, body=answer.body[: len(answer.body) // 2])


def shifted(answer: Answer) -> Answer:
    """Announce a range one byte after the one sent."""
    first, stop = answer.start + 1, answer.start + 1 + len(answer.body)
    return answer.saying(Content_Range=f"bytes {first}-{stop - 1}/{stop}")


def garbled(answer: Answer) -> Answer:
    """Send random bytes of the right length."""
    return replace(answer, body=random.Random(0).randbytes(len(answer.body)))


def in_chunks(answer: Answer) -> Answer:
    """Send the body in chunks, without announcing its length."""
    pieces = [answer.body[at : at + 2**14] for at in range(0, len(answer.body), 2**14)]
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])
    return replace(answer.saying(Transfer_Encoding="chunked"), body=body)


class Script:
    """A fault for some requests, active until it has hit ``times`` requests or is ended."""

    def __init__(
        self, wanted: str | Callable[[Request], Any], fault: Fault | None, times: float, skip: int
    ) -> None:
        self.wanted = (
            (lambda request: re.search(wanted, request.path)) if isinstance(wanted, str) else wanted
        )
        self.fault, self.times, self.skip, self.hits = fault, times, skip, 0
        self.ended = asyncio.Event()  # set by the server

    def takes(self, request: Request) -> bool:
        """Whether the fault applies to a request, which is then counted."""
        if self.ended.is_set() or self.hits >= self.times or not self.wanted(request):
            return False
        self.skip -= 1
        self.hits += self.skip < 0
        return self.skip < 0


class Link:
    """A connection of limited bandwidth: computes when bytes have passed."""

    def __init__(self, bytes_per_s: float) -> None:
        self.bytes_per_s, self._free_at = bytes_per_s, 0.0

    def passed_at(self, now: float, size: int) -> float:
        """When ``size`` bytes sent now have passed."""
        self._free_at = max(now, self._free_at) + size / self.bytes_per_s
        return self._free_at


@dataclass(eq=False, repr=False)
class Server:
    """Serves a folder to this computer.

    Its files may be written, replaced and deleted at any time.
    """

    folder: Path = Path()
    latency_s: float = 0.0  # of each answer
    connection_bytes_s: float = math.inf  # bandwidth of one connection
    total_bytes_s: float = math.inf  # bandwidth of all connections together
    etags: bool = True  # from the file's size and modification time
    last_modified: bool = False
    find: Find | None = None  # replaces the folder
    tls: ssl.SSLContext | None = None  # to speak https
    requests: list[Request] = field(default_factory=list)  # so far
    connections: int = 0  # opened so far
    answering: int = 0  # requests not answered yet
    most_at_once: int = 0  # the most of these at once
    held: int = 0  # requests that scripts keep waiting, with the client still connected
    late_s: float = 0.0  # the longest delay beyond its own schedule

    def __post_init__(self) -> None:
        self._total, self._scripts = Link(self.total_bytes_s), []
        self._changed, self._cpu_from_s = threading.Condition(), time.process_time()

    def __enter__(self) -> Self:
        started = threading.Event()
        self._thread = threading.Thread(
            target=asyncio.run, args=[self.run(started.set)], daemon=True, name="server"
        )
        self._thread.start()
        assert started.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def script(
        self,
        wanted: str | Callable[[Request], Any],
        fault: Fault | None,
        *,
        times: float = math.inf,
        skip: int = 0,
    ) -> Script:
        """Apply a fault to requests; None holds them until the script ends, then answers them. The newest script wins.

        ``wanted`` is a pattern for paths or a function; ``times`` requests are hit, after ``skip``
        others.
        """
        self._scripts.insert(0, Script(wanted, fault, times, skip))
        return self._scripts[0]

    def end(self, *scripts: Script) -> None:
        """End scripts, by default all: held requests are answered, stalled ones are disconnected."""
        for script in scripts or list(self._scripts):
            self._scripts.remove(script)
            self._loop.call_soon_threadsafe(script.ended.set)

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Wait until requests make a condition true."""
        with self._changed:
            assert self._changed.wait_for(condition, timeout_s), [
                request.path for request in self.requests[-20:]
            ]

    def to(self, pattern: str = "") -> list[Request]:
        """The requests so far whose path matches a pattern."""
        return [request for request in self.requests if re.search(pattern, request.path)]

    def sent_bytes(self, pattern: str = "") -> int:
        """The bytes of bodies sent so far."""
        return sum(request.sent_bytes for request in self.to(pattern))

    def repeated_bytes(self, pattern: str = "") -> int:
        """How many of these bytes had been sent before."""
        repeated, ends = 0, defaultdict(int)
        for request in sorted(self.to(pattern), key=lambda request: request.start):
            stop, known = request.start + request.sent_bytes, ends[request.path]
            repeated += max(0, min(stop, known) - request.start)
            ends[request.path] = max(stop, known)
        return repeated

    def reset(self) -> dict[str, Any]:
        """Return all counts and reset them.

        If ``server_late_s`` is large, this process couldn't keep up.
        """
        folders = Counter()
        for request in self.requests:
            folders["/".join(request.path.split("/")[1:3])] += request.sent_bytes  # as a.zarr/0
        counts = {
            "requests": len(self.requests),
            "bytes": self.sent_bytes(),
            "bytes_again": self.repeated_bytes(),
        }
        cpu_s = time.process_time() - self._cpu_from_s
        counts |= {"by_folder": folders, "server_cpu_s": cpu_s, "server_late_s": self.late_s}
        self.requests, self._cpu_from_s = [], time.process_time()
        self.connections, self.most_at_once, self.late_s = 0, 0, 0.0
        return counts

    async def run(self, started: Callable[[], object], port: int = 0) -> None:
        """Serve, and call ``started`` once `url` is known."""
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        listener = await asyncio.start_server(
            self.serve, "127.0.0.1", port, limit=2**20, ssl=self.tls
        )
        self.url = (
            f"http{'s' if self.tls else ''}://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        )
        started()
        await self._closing.wait()
        listener.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # until transports are closed

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection."""
        self.note("connections", 1)
        links = Link(self.connection_bytes_s), self._total
        try:
            while request := await _read_request(reader):
                sender = _Sender(self, request, links, reader, writer)
                if request.path == "/?reset":
                    await sender.send(Answer(body=json.dumps(self.reset()).encode()))
                    continue
                self.requests.append(request)
                self.note("answering", 1)
                try:
                    script = next(
                        (script for script in list(self._scripts) if script.takes(request)), None
                    )
                    await asyncio.sleep(self.latency_s)
                    await (
                        sender.send_wrongly(script)
                        if script
                        else sender.send(self.right_answer(request))
                    )
                finally:
                    self.note("answering", -1)
        except (OSError, asyncio.IncompleteReadError):
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        finally:
            writer.transport.abort()

    def note(self, name: str, change: int) -> None:
        """Change a count and notify waiters."""
        with self._changed:
            setattr(self, name, getattr(self, name) + change)
            self.most_at_once = max(self.most_at_once, self.answering)
            self._changed.notify_all()

    def right_answer(self, request: Request, *, is_whole: bool = False) -> Answer:
        """The correct answer; ``is_whole`` ignores the request's range."""
        path = unquote(request.path.partition("?")[0])
        file = self.find(path) if self.find else self.folder / path.lstrip("/")
        if file is None or (isinstance(file, Path) and not file.is_file()):
            return Answer(404)
        stat_result = None if isinstance(file, bytes) else file.stat()
        size, modified_ns = (
            (stat_result.st_size, stat_result.st_mtime_ns) if stat_result else (len(file), 0)
        )
        tag = f'"{modified_ns:x}-{size:x}"' if self.etags else ""
        headers = {"ETag": tag} if tag else {}
        if self.last_modified:
            headers["Last-Modified"] = email.utils.formatdate(modified_ns / 1e9, usegmt=True)
        if request.headers.get("if-match", "*") not in {"*", tag}:
            return Answer(412)
        if tag and request.headers.get("if-none-match") == tag:
            return Answer(304, headers)
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
        if wanted is None or is_whole:
            return Answer(200, headers | {"Accept-Ranges": "bytes"}, _part(file, 0, size))
        first = int(wanted[1]) if wanted[1] else max(0, size - int(wanted[2]))
        stop = min(size, int(wanted[2]) + 1) if wanted[1] and wanted[2] else size
        if first >= size:
            return Answer(416, headers | {"Content-Range": f"bytes */{size}"})
        headers["Content-Range"] = f"bytes {first}-{stop - 1}/{size}"
        whole = lambda: self.right_answer(request, is_whole=True)  # noqa: E731
        return Answer(206, headers, _part(file, first, stop), first, whole=whole)


@dataclass
class _Sender:
    """Sends the answer to one request."""

    server: Server
    request: Request
    links: tuple[Link, Link]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, answer: Answer) -> None:
        """Send all of an answer."""
        self.request.status, self.request.start = answer.status, answer.start
        if answer.manner != "raw":
            self.writer.write(answer.head())
        await self._send_body(b"" if self.request.method == "HEAD" else answer.body)

    async def send_wrongly(self, script: Script) -> None:
        """Send the answer changed by a script; ConnectionAbortedError to hang up."""
        if script.fault is None:
            await self._wait_for_end(script)
            await self.send(self.server.right_answer(self.request))
            return
        right = self.server.right_answer(self.request)
        answer = script.fault(replace(right, request=self.request))
        body, manner = answer.body, answer.manner
        if not body and manner in {"stalled", "dribbling"}:
            manner = "silent"  # else the head would be the whole answer
        if manner in {"cut", "stalled", "dribbling"}:
            answer = answer.saying(Content_Length=str(len(body)))
            answer = replace(answer, body=b"" if manner == "dribbling" else body[: len(body) // 2])
        if manner != "silent":
            await self.send(answer)
        while manner == "endless" and self.request.sent_bytes < _ENDLESS_BYTES:
            await self._send_body((body or b" ") * (_PIECE_BYTES // max(1, len(body)) + 1))
        if manner in {"silent", "stalled", "dribbling"}:
            await self._wait_for_end(script, body if manner == "dribbling" else b"")
        if manner != "well":
            raise ConnectionAbortedError

    async def _send_body(self, body: bytes) -> None:
        narrowest = min(2**30, *(link.bytes_per_s for link in self.links))
        piece_bytes = max(_PIECE_BYTES, round(narrowest * _PIECE_S))
        due_at = 0.0
        for at in range(0, len(body), piece_bytes):
            piece, now = body[at : at + piece_bytes], time.monotonic()
            begun_at = max(due_at, now - _PIECE_S)  # small delays of this process don't add up
            due_at = max(link.passed_at(begun_at, len(piece)) for link in self.links)
            if due_at > now:
                await asyncio.sleep(due_at - now)
                self.server.late_s = max(self.server.late_s, time.monotonic() - due_at)
            self.request.sent_bytes += len(
                piece
            )  # before sending, because the client may check the count at once
            self.writer.write(piece)
            await self.writer.drain()

    async def _wait_for_end(self, script: Script, dribble: bytes = b"") -> None:
        """Wait until a script ends; ConnectionAbortedError if the client hangs up first."""
        ended, hung_up = (
            asyncio.ensure_future(wait) for wait in (script.ended.wait(), self.reader.read(1))
        )
        self.server.note("held", 1)
        try:
            for byte in dribble:
                self.writer.write(bytes([byte]))
                if (
                    await asyncio.wait(
                        (ended, hung_up), timeout=_DRIBBLE_S, return_when="FIRST_COMPLETED"
                    )
                )[0]:
                    break
            await asyncio.wait((ended, hung_up), return_when="FIRST_COMPLETED")
            if hung_up.done():
                raise ConnectionAbortedError
        finally:
            ended.cancel()
            hung_up.cancel()
            await asyncio.wait((ended, hung_up))  # else the next request couldn't be read
            self.server.note("held", -1)


def _part(file: Path | bytes, start: int, stop: int) -> bytes:
    if isinstance(file, bytes):
        return file[start:stop]
    with file.open("rb") as stream:
        stream.seek(start)
        return stream.read(stop - start)


async def _read_request(reader: asyncio.StreamReader) -> Request:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    method, path, _version = first.split(" ")
    headers = {
        name.lower(): text.strip() for name, _, text in (line.partition(":") for line in lines)
    }
    return Request(
        method, path, headers, await reader.readexactly(int(headers.get("content-length", 0)))
    )


@contextlib.contextmanager
def server_process(folder: Path, **options: float) -> Iterator[str]:
    """Run a server in a separate process with command-line options; yields its URL."""
    named = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    with subprocess.Popen(
        [sys.executable, __file__, folder, *named], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def counts_of(url: str) -> dict[str, Any]:
    """The counts of a server in another process since the last call."""
    with urllib.request.urlopen(f"{url}/?reset", timeout=10) as answer:
        return json.load(answer)


def main(find: Find | None = None) -> None:
    """Serve until killed; ``find`` replaces the folder, as for a volume that isn't on disk."""
    parser = argparse.ArgumentParser(
        description="Serve a folder over HTTP, slowly or with faults if requested."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="of each answer, in seconds")
    parser.add_argument(
        "--connection-mb", type=float, default=math.inf, help="a second, for one connection"
    )
    parser.add_argument(
        "--total-mb", type=float, default=math.inf, help="a second, for all of them"
    )
    parser.add_argument(
        "--faults", type=float, default=0.0, help="the fraction of answers that fail"
    )
    arguments = parser.parse_args()
    server = Server(
        arguments.folder,
        arguments.latency,
        arguments.connection_mb * 1e6,
        arguments.total_mb * 1e6,
        find=find,
    )
    if arguments.faults:
        chance = random.Random(0)
        for fault in (
            status(500),
            status(503),
            status(429, Retry_After="0"),
            sent("cut"),
            truncated,
            without_ranges,
        ):
            server.script(lambda _request: chance.random() < arguments.faults / 6, fault)
    asyncio.run(server.run(lambda: print(server.url, flush=True), arguments.port))  # noqa: T201


if __name__ == "__main__":
    main()
