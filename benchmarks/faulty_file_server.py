"""The slow file server on a bad day: some answers fail in one of the ways that real servers and lines fail.

    python benchmarks/faulty_file_server.py FOLDER --faults 0.03 --seed 0 --latency-ms 10

prints one JSON line with its URL, as ``slow_file_server.py`` does; ``/?reset`` also tells the faults so far. What can't
be noticed by any client (other bytes of the right length in a format without checksums) is not among the faults.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

from slow_file_server import Link, SlowFileServer, _span

FAULTS = ("500", "503", "429", "hung up", "dropped", "truncated", "whole", "late")
LATE_S = 1.0


class FaultyFileServer(SlowFileServer):
    def __init__(self, folder: Path, latency_s: float, bytes_s: float, share: float, seed: int) -> None:
        super().__init__(folder, latency_s, bytes_s, bytes_s)
        self._share, self._random = share, random.Random(seed)
        self.faults: Counter[str] = Counter()

    def _count(self) -> dict[str, object]:
        return super()._count() | {"faults": dict(self.faults)}

    async def _answer(
        self, writer: asyncio.StreamWriter, line: Link, method: str, path: str, wanted: str | None
    ) -> None:
        file = self._folder / unquote(path.partition("?")[0]).lstrip("/")
        if path == "/?reset" or not file.is_file() or self._random.random() >= self._share:
            await super()._answer(writer, line, method, path, wanted)
            return
        fault = self._random.choice(FAULTS)
        self.faults[fault] += 1
        match fault:
            case "500" | "503":
                writer.write(f"HTTP/1.1 {fault} Broken\r\nContent-Length: 0\r\n\r\n".encode())
            case "429":
                writer.write(b"HTTP/1.1 429 Too Many\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n")
            case "hung up":
                writer.transport.abort()
            case "late":
                await asyncio.sleep(LATE_S)
                await super()._answer(writer, line, method, path, wanted)
            case "whole":
                await super()._answer(writer, line, method, path, None)
            case _:
                await self._send_half(writer, line, file, wanted, is_honest=fault == "truncated")

    async def _send_half(
        self, writer: asyncio.StreamWriter, line: Link, file: Path, wanted: str | None, *, is_honest: bool
    ) -> None:
        """Half of the body, after a head that says so or not."""
        about = file.stat()
        size = about.st_size
        start, stop = _span(wanted, size)
        half = start + (stop - start) // 2
        length = (half if is_honest else stop) - start
        fields = f'ETag: "{about.st_mtime_ns}-{size}"\r\n'
        fields += "" if wanted is None else f"Content-Range: bytes {start}-{stop - 1}/{size}\r\n"
        status = "200 OK" if wanted is None else "206 Partial Content"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{fields}\r\n".encode())
        await self._send(writer, line, file, start, half)
        if not is_honest:
            writer.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--faults", type=float, default=0.03, help="the share of answers that fail")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=10)
    parser.add_argument("--mb-s", type=float, default=100)
    given = parser.parse_args()
    files = FaultyFileServer(given.folder, given.latency_ms / 1000, given.mb_s * 1e6, given.faults, given.seed)
    server = await asyncio.start_server(files.serve, "127.0.0.1", 0, limit=2**20)
    print(json.dumps({"url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"}), flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
