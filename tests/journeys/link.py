"""A link of limited bandwidth that all connections to a server on this computer share."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType

_CHUNK_BYTES = 1 << 16


class SharedLink:
    """Forwards connections to a port; what comes back passes at ``bytes_per_s`` in all."""

    def __init__(self, port: int, bytes_per_s: float) -> None:
        self._target = port
        self._bytes_per_s = bytes_per_s
        self._free_at = 0.0
        self.sent_bytes = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        starting = asyncio.start_server(self._forward, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result()
        self.port = self._server.sockets[0].getsockname()[1]

    def __enter__(self) -> SharedLink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        async def end() -> None:
            self._server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            await asyncio.gather(
                self._copy(reader, there_writer, is_limited=False),
                self._copy(there_reader, writer, is_limited=True),
            )
        finally:
            writer.close()
            there_writer.close()

    async def _copy(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, is_limited: bool
    ) -> None:
        while data := await source.read(_CHUNK_BYTES):
            if is_limited:
                self.sent_bytes += len(data)
                now = self._loop.time()
                self._free_at = max(now, self._free_at) + len(data) / self._bytes_per_s
                await asyncio.sleep(self._free_at - now)
            target.write(data)
            await target.drain()
        target.close()
