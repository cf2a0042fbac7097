"""A link of limited bandwidth that all connections to a server on this computer share."""

from __future__ import annotations

import asyncio
import time

from server import Link, Server

_CHUNK_BYTES = 1 << 16


class SharedLink(Server):
    """Forwards connections to a port; what comes back passes at ``bytes_per_s`` in all."""

    def __init__(self, port: int, bytes_per_s: float) -> None:
        super().__init__()
        self._target = port
        self._link = Link(bytes_per_s)
        self.passed_bytes = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copy what comes from either side to the other one."""
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            await asyncio.gather(
                self._copy(reader, there_writer), self._copy(there_reader, writer, self._link)
            )
        finally:
            writer.close()
            there_writer.close()

    async def _copy(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, link: Link | None = None
    ) -> None:
        while data := await source.read(_CHUNK_BYTES):
            if link is not None:
                self.passed_bytes += len(data)
                now = time.monotonic()
                await asyncio.sleep(link.passed_at(now, len(data)) - now)
            target.write(data)
            await target.drain()
        target.close()
