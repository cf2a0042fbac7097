"""A read-only zarr store over urllib3, for where fsspec's aiohttp isn't installed: no rival is slower by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import urllib3
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype


class HttpStore(Store):
    supports_writes = supports_deletes = supports_listing = False

    def __init__(self, url: str, connections: int) -> None:
        super().__init__(read_only=True)
        self._url = url
        self._pool = urllib3.PoolManager(maxsize=connections, retries=False)

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = None  # type: ignore[assignment]

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        content = await asyncio.to_thread(self._read, key, byte_range)
        return None if content is None else prototype.buffer.from_bytes(content)

    def _read(self, key: str, byte_range: ByteRequest | None) -> bytes | None:
        wanted = ""
        match byte_range:
            case RangeByteRequest(start, end):
                wanted = f"{start}-{end - 1}"
            case OffsetByteRequest(start):
                wanted = f"{start}-"
            case SuffixByteRequest(suffix):
                wanted = f"-{suffix}"
        headers = {"Range": f"bytes={wanted}"} if wanted else {}
        answer = self._pool.request("GET", f"{self._url}/{key}", headers=headers)
        return answer.data if answer.status in {200, 206} else None

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return list(await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges)))

    async def exists(self, key: str) -> bool:
        return await asyncio.to_thread(self._read, key, RangeByteRequest(0, 1)) is not None

    async def set(self, key: str, value: Buffer) -> None:
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        raise NotImplementedError

    def list(self) -> AsyncIterator[str]:
        raise NotImplementedError

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        raise NotImplementedError

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        raise NotImplementedError
