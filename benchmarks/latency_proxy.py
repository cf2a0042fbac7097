"""A loopback proxy that makes a server as far away as a real one: every byte takes half a round trip each way.

Bytes are delayed, not slowed down, so bandwidth stays what it was. Opening a connection costs nothing here, and over
TLS it would cost two more round trips: the figures flatter whoever opens many connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Self


class LatencyProxy:
    """Forwards a port of this machine to another one with a delay, and counts connections and requests.

    Parameters
    ----------
    port
        Where the server listens on 127.0.0.1.
    round_trip_s
        How long a question and its answer take on the way.
    """

    def __init__(self, port: int, round_trip_s: float) -> None:
        self._target_port = port
        self._delay_s = round_trip_s / 2
        self.connections = 0
        self.requests = 0

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def reset(self) -> None:
        """Begin counting anew."""
        self.connections = self.requests = 0

    async def _end(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        ways = self._forward(reader, far_writer, is_request=True), self._forward(far_reader, writer, is_request=False)
        with contextlib.suppress(asyncio.CancelledError):  # asyncio's servers report a cancelled connection as an error
            await asyncio.gather(*ways)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_request: bool) -> None:
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                due_at, data = await queue.get()
                await asyncio.sleep(max(0.0, due_at - self._loop.time()))
                if not data:
                    return
                writer.write(data)
                await writer.drain()

        delivery = asyncio.ensure_future(deliver())
        with contextlib.suppress(OSError):
            while data := await reader.read(2**16):
                self.requests += is_request and data.startswith((b"POST ", b"GET ", b"HEAD "))
                queue.put_nowait((self._loop.time() + self._delay_s, data))
        queue.put_nowait((self._loop.time() + self._delay_s, b""))
        with contextlib.suppress(OSError):
            await delivery
        writer.close()
