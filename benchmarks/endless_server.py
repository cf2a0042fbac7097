"""A server of volumes of any size that takes neither memory nor disk: one stored chunk stands for every chunk.

Addresses look like ``/500x960x928/a.zarr``: an OME-Zarr image of that size as the portal writes it (three levels, 256^3
chunks, Blosc lz4 with shuffle, float32). ``b.zarr`` there is another image with the same values. Latency and bandwidth
are those of ``slow_file_server.py``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import tempfile
from pathlib import Path

import numpy as np
from slow_file_server import Link, SlowFileServer, _span

CHUNK = (int(os.environ.get("BENCH_CHUNK", "256")),) * 3
LEVELS = 3
_IMAGE = re.compile(r"/(\d+)x(\d+)x(\d+)/\w+\.zarr/(.*)")
_CHUNK_KEY = re.compile(r"([0-2])/(\d+)/(\d+)/(\d+)")


def chunk_values() -> np.ndarray:
    """The values of every chunk."""
    values = np.random.default_rng(0).standard_normal(CHUNK, dtype="f4")
    return values + np.arange(CHUNK[0], dtype="f4")[:, None, None] / 64


def chunk_frame() -> bytes:
    """The same as it lies in a file."""
    from numcodecs import Blosc

    return bytes(Blosc("lz4", 5, Blosc.SHUFFLE).encode(chunk_values()))


def document(shape: tuple[int, ...], name: str) -> bytes | None:
    """The metadata files of an image."""
    if name == ".zattrs":
        scales = [[float(2**level)] * 3 for level in range(LEVELS)]
        datasets = [
            {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
            for level, scale in enumerate(scales)
        ]
        axes = [{"name": axis, "type": "space", "unit": "angstrom"} for axis in "zyx"]
        return json.dumps({"multiscales": [{"version": "0.4", "axes": axes, "datasets": datasets}]}).encode()
    if name == ".zgroup":
        return b'{"zarr_format": 2}'
    if (found := re.fullmatch(r"([0-2])/\.zarray", name)) is None:
        return None
    array = {
        "zarr_format": 2,
        "shape": level_shape(shape, int(found[1])),
        "chunks": CHUNK,
        "dtype": "<f4",
        "compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0},
        "fill_value": 0.0,
        "filters": None,
        "order": "C",
        "dimension_separator": "/",
    }
    return json.dumps(array).encode()


def level_shape(shape: tuple[int, ...], level: int) -> list[int]:
    return [-(-size // 2**level) for size in shape]


class EndlessServer(SlowFileServer):
    def __init__(self, folder: Path, latency_s: float, connection_bytes_s: float, total_bytes_s: float) -> None:
        super().__init__(folder, latency_s, connection_bytes_s, total_bytes_s)
        self._chunk = folder / "chunk"
        self._chunk.write_bytes(chunk_frame())

    async def _answer(
        self, writer: asyncio.StreamWriter, line: Link, method: str, path: str, wanted: str | None
    ) -> None:
        if path == "/?reset":
            await super()._answer(writer, line, method, path, wanted)
            return
        self.requests += 1
        await asyncio.sleep(self._latency_s)
        file = self._file_of(path)
        if file is None:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        size = file.stat().st_size
        start, stop = _span(wanted, size)
        status = "200 OK" if wanted is None else "206 Partial Content"
        fields = f'Content-Length: {stop - start}\r\nETag: "1"\r\n'
        fields += "" if wanted is None else f"Content-Range: bytes {start}-{stop - 1}/{size}\r\n"
        writer.write(f"HTTP/1.1 {status}\r\n{fields}\r\n".encode())
        if method != "HEAD":
            await self._send(writer, line, file, start, stop)

    def _file_of(self, path: str) -> Path | None:
        if (image := _IMAGE.fullmatch(path.partition("?")[0])) is None:
            return None
        shape, name = tuple(map(int, image.groups()[:3])), image[4]
        if (chunk := _CHUNK_KEY.fullmatch(name)) is not None:
            sizes = level_shape(shape, int(chunk[1]))
            is_there = all(int(at) * CHUNK[0] < size for at, size in zip(chunk.groups()[1:], sizes, strict=True))
            return self._chunk if is_there else None
        file = self._folder / path.strip("/").replace("/", "_")
        if not file.exists():
            content = document(shape, name)
            if content is None:
                return None
            file.write_bytes(content)
        return file


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency-ms", type=float, default=60)
    parser.add_argument("--connection-mb-s", type=float, default=20)
    parser.add_argument("--total-mb-s", type=float, default=50)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rates = (given.connection_mb_s * 1e6, given.total_mb_s * 1e6)
        endless = EndlessServer(Path(folder), given.latency_ms / 1000, *rates)
        server = await asyncio.start_server(endless.serve, "127.0.0.1", 0, limit=2**20)
        print(json.dumps({"url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"}), flush=True)
        async with server:
            await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
