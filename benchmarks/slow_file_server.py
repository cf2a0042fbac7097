"""A file server with ranges that is as far away and as narrow as it is told to be; run as a process of its own.

    python benchmarks/slow_file_server.py FOLDER --latency-ms 60 --connection-mb-s 20 --total-mb-s 50

prints one JSON line with its URL. ``/?reset`` answers with the requests and bytes since the last reset, how many of
these bytes had been sent before (since the last ``/?forget``), the bytes below each folder of the second rank
(``a.zarr/0``), the processor time that the server itself took, and by how much it was late at most: where that is much,
the server was the bottleneck and the measurement is void.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import time
from collections import Counter, defaultdict
from pathlib import Path
from urllib.parse import unquote

MIN_PIECE_BYTES = 2**16
PIECE_S = 0.002  # a fast line is served in larger pieces, so that this process keeps up with it


class Link:
    """A line of limited width: says when the next bytes have passed."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_at = 0.0

    def pass_at(self, now: float, size: int) -> float:
        self._free_at = max(now, self._free_at) + size / self._bytes_per_s
        return self._free_at


class Spans:
    """Parts of a file."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, int]] = []

    def add(self, start: int, stop: int) -> int:
        """Add a part; how many bytes of it were in there before."""
        before, known = sum(b - a for a, b in self._spans), []
        low, high = start, stop
        for span in self._spans:
            if span[1] < start or span[0] > stop:
                known.append(span)
            else:
                low, high = min(low, span[0]), max(high, span[1])
        self._spans = [*known, (low, high)]
        return stop - start - (sum(b - a for a, b in self._spans) - before)


class SlowFileServer:
    def __init__(self, folder: Path, latency_s: float, connection_bytes_s: float, total_bytes_s: float) -> None:
        self._folder, self._latency_s, self._connection_bytes_s = folder, latency_s, connection_bytes_s
        self._total = Link(total_bytes_s)
        self._piece_bytes = max(MIN_PIECE_BYTES, round(min(connection_bytes_s, total_bytes_s) * PIECE_S))
        self._forget()
        self._begin_count()

    def _forget(self) -> None:
        self._sent: defaultdict[Path, Spans] = defaultdict(Spans)

    def _begin_count(self) -> None:
        self.requests = self.bytes = self.bytes_again = 0
        self.by_folder: Counter[str] = Counter()
        self.late_s = 0.0
        self.cpu_from = time.process_time()

    def _count(self) -> dict[str, object]:
        cpu_s = round(time.process_time() - self.cpu_from, 3)
        count = {"requests": self.requests, "bytes": self.bytes, "by_folder": dict(self.by_folder)}
        count["bytes_again"] = self.bytes_again
        return count | {"server_cpu_s": cpu_s, "server_late_s": round(self.late_s, 3)}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Link(self._connection_bytes_s)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *fields = head.decode("latin-1").strip().split("\r\n")
                method, path, _ = first.split(" ")
                headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
                await self._answer(writer, line, method, path, headers.get("range"))
        writer.close()

    async def _answer(
        self, writer: asyncio.StreamWriter, line: Link, method: str, path: str, wanted: str | None
    ) -> None:
        if path in {"/?reset", "/?forget"}:
            if path == "/?forget":
                self._forget()
            body = json.dumps(self._count()).encode()
            self._begin_count()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            return
        self.requests += 1
        await asyncio.sleep(self._latency_s)
        file = self._folder / unquote(path.partition("?")[0]).lstrip("/")
        if not file.is_file():
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        about = file.stat()
        size = about.st_size
        start, stop = _span(wanted, size)
        status = "200 OK" if wanted is None else "206 Partial Content"
        fields = f"Content-Length: {stop - start}\r\nAccept-Ranges: bytes\r\n"
        fields += f'ETag: "{about.st_mtime_ns}-{size}"\r\n'
        fields += "" if wanted is None else f"Content-Range: bytes {start}-{stop - 1}/{size}\r\n"
        writer.write(f"HTTP/1.1 {status}\r\n{fields}\r\n".encode())
        if method != "HEAD":
            await self._send(writer, line, file, start, stop)

    async def _send(self, writer: asyncio.StreamWriter, line: Link, file: Path, start: int, stop: int) -> None:
        loop = asyncio.get_running_loop()
        folder = "/".join(file.relative_to(self._folder).parts[:2])
        with file.open("rb") as stream:
            stream.seek(start)
            while start < stop:
                piece = stream.read(min(self._piece_bytes, stop - start))
                self.bytes_again += self._sent[file].add(start, start + len(piece))
                start += len(piece)
                self.bytes += len(piece)
                self.by_folder[folder] += len(piece)
                now = loop.time()
                due_at = max(line.pass_at(now, len(piece)), self._total.pass_at(now, len(piece)))
                await asyncio.sleep(max(0.0, due_at - now))
                self.late_s = max(self.late_s, loop.time() - max(now, due_at))
                writer.write(piece)
                await writer.drain()


def _span(wanted: str | None, size: int) -> tuple[int, int]:
    if wanted is None:
        return 0, size
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--latency-ms", type=float, default=60)
    parser.add_argument("--connection-mb-s", type=float, default=20)
    parser.add_argument("--total-mb-s", type=float, default=50)
    given = parser.parse_args()
    files = SlowFileServer(given.folder, given.latency_ms / 1000, given.connection_mb_s * 1e6, given.total_mb_s * 1e6)
    server = await asyncio.start_server(files.serve, "127.0.0.1", 0, limit=2**20)
    print(json.dumps({"url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"}), flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
