"""HTTP for metadata, pictures, pixels and downloads.

`get`, `post_json` and `stream` are coroutines for one background event loop. `run` and `submit` start
coroutines on it from any other thread; `fetch` is the blocking twin of `get`. Every body is bounded while it arrives,
every request obeys `policy`, and every failure is a `NetworkError` in plain words.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import json
import random
import re
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import aiohttp
from yarl import URL

from napari_cryoet.exceptions import ChangedError, NetworkError, StoppedError
from napari_cryoet.files import file_of, host_of, without_login
from napari_cryoet.network.connections import is_link_local, network, tls
from napari_cryoet.network.policy import Receipt, policy

P = ParamSpec("P")
T = TypeVar("T")

STALL_S = 30.0  # a server that sends less than _LEAST_BYTES in this time is given up

_LEAST_BYTES = 2**16
_POLL_S = 0.05
_ATTEMPTS = 4
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 8.0
_LONGEST_RETRY_AFTER_S = 60.0
_MOST_REDIRECTS = 5
_DRAIN_S, _MOST_DRAINED_BYTES = 1.0, 2**18
_MOST_SKIPPED_BYTES = 4 * 2**20  # of a whole file, to get at a part

_MISSING_STATUSES = frozenset({404, 410})
_RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Response:
    """What a server answered.

    The ``status`` is 206 for a part, and 200 also for a part that was cut out of a whole file: the server sends no
    parts. ``etag`` tells this version of the file from others: its ETag, else when it was changed and its size, else
    None. ``total_bytes`` is the size of the whole file, where it is known.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    etag: str | None
    total_bytes: int | None


def loop() -> asyncio.AbstractEventLoop:
    """The event loop on which all coroutines of this module run; a forked process gets its own."""
    return network().loop()


def submit(coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
    """Start a coroutine on the loop, from any thread."""
    return asyncio.run_coroutine_threadsafe(coroutine, loop())


def run(coroutine: Coroutine[Any, Any, T], stop: threading.Event | None = None) -> T:
    """Wait for a coroutine on the loop, from any thread but the loop's own.

    StoppedError within 0.1 s after ``stop`` is set; the coroutine is cancelled.
    """
    if stop is not None and stop.is_set():
        coroutine.close()
        raise StoppedError
    future = submit(coroutine)
    try:
        while not concurrent.futures.wait([future], _POLL_S).done:
            if stop is not None and stop.is_set():
                raise StoppedError
        return future.result()
    except concurrent.futures.CancelledError as error:  # the program ends
        raise StoppedError from error
    finally:
        future.cancel()


def fetch(
    url: str,
    *,
    start: int = 0,
    length: int | None = None,
    etag: str | None = None,
    limit_bytes: int,
    stop: threading.Event | None = None,
) -> Response | None:
    """Read a file or a part of it; see `get`."""
    return run(get(url, start=start, length=length, etag=etag, limit_bytes=limit_bytes), stop)


def _retried(once: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Try again what may work later, after pauses that grow, or that the server asks for."""

    @functools.wraps(once)
    async def several_times(*args: P.args, **kwargs: P.kwargs) -> T:
        attempt = 0
        while True:
            attempt += 1
            try:
                return await once(*args, **kwargs)
            except _TransientError as error:
                if attempt >= error.attempts or error.retry_after_s > _LONGEST_RETRY_AFTER_S:
                    raise
                longest_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (attempt - 1))
                pause_s = error.retry_after_s + random.uniform(longest_s / 2, longest_s)  # noqa: S311 - no secret
            await asyncio.sleep(pause_s)

    return several_times


@_retried
async def get(
    url: str, *, start: int = 0, length: int | None = None, etag: str | None = None, limit_bytes: int
) -> Response | None:
    """Read a file, or a part of it.

    Parameters
    ----------
    start
        The first byte; negative counts from the end.
    length
        How many bytes; fewer come only where the file ends. None reads to the end.
    etag
        What an earlier `Response` said; any other version of the file is a ChangedError.
    limit_bytes
        The most that may come.

    Returns
    -------
    Response or None
        None where the server has no such file. Beyond the end of a file, an empty body with the status 416.

    Raises
    ------
    NetworkError
        With the HTTP status where there was an answer. The status is 200 where a server sends no parts, and the wanted
        one is far into the file.
    """
    is_part = start != 0 or length is not None
    headers = {"Range": _range_header(start, length)} if is_part else {}
    if etag is not None and etag.startswith('"'):
        headers["If-Match"] = etag
    async with _respond("GET", url, headers, wanted_bytes=min(length or 0, limit_bytes)) as body:
        if etag is not None and body.status in {*_MISSING_STATUSES, 412, 416}:
            raise _changed(url)
        if body.status in _MISSING_STATUSES:
            return None
        if body.status == 416 and is_part:
            return body.response(b"")
        body.require_success()
        if etag is not None and body.etag != etag:
            is_page = body.headers.get("Content-Type", "").startswith("text/html")
            raise _error(url, "web page", status=body.status) if is_page else _changed(url)
        content = await (_read_part(body, start, length, limit_bytes) if is_part else body.read(limit_bytes))
        if body.start == 0 and content[:512].lstrip().lower().startswith((b"<!doctype html", b"<html")):
            raise _error(url, "web page", status=body.status)
        return body.response(content)


def _range_header(start: int, length: int | None) -> str:
    if start < 0:
        return f"bytes={start}"
    return f"bytes={start}-" if length is None else f"bytes={start}-{start + length - 1}"


async def _read_part(body: Body, start: int, length: int | None, limit_bytes: int) -> bytes:
    """A part of a file: all of a partial answer, or cut out of a whole one, of which not much more is read."""
    total = body.total_bytes
    if start < 0 and total is not None:
        start = max(0, total + start)
    if body.status == 206:
        stop = total if total is None or length is None else min(total, start + length)
        if body.is_encoded or stop is None or (body.start, body.stop) != (start, stop):
            raise _error(body.url, "wrong part", status=206)
        if stop - start > limit_bytes:
            raise _error(body.url, "too large", limit=limit_bytes)
        content = await body.read(stop - start)
        if len(content) != stop - start:
            raise _error(body.url, "broken off")
        return content
    if start > _MOST_SKIPPED_BYTES:
        raise _error(body.url, "wrong part", status=200)
    if start < 0 or length is None:
        return (await body.read(max(0, start) + limit_bytes))[start:]
    end = start + min(length, limit_bytes)
    return (await body.read(end, is_enough=True))[start:end]


@_retried
async def post_json(url: str, payload: Mapping[str, Any], *, limit_bytes: int) -> Response:
    """Send JSON, and get the answer. It is sent again where the server stumbles, so that must be safe.

    Answers with the status 400 and 422 are returned too: GraphQL servers say in them what is wrong with a query.
    """
    headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "gzip"}
    async with _respond("POST", url, headers, content=json.dumps(payload).encode()) as body:
        if body.status not in {400, 422}:
            body.require_success()
        return body.response(await body.read(limit_bytes))


@asynccontextmanager
async def stream(url: str, *, start: int = 0, etag: str | None = None) -> AsyncIterator[Body]:
    """Read a file chunk by chunk, from ``start`` on if it is still the version ``etag``.

    Look at ``body.start``: it is 0 where the file changed, or where the server can't begin in the middle. Any status
    but 200 and 206 is a NetworkError, 404 as well.
    """
    headers = {"Range": f"bytes={start}-"} if start else {}
    if start and etag:
        headers["If-Range"] = etag
    async with AsyncExitStack() as stack:

        @_retried
        async def begun() -> Body:
            async with AsyncExitStack() as opening:
                body = await opening.enter_async_context(_respond("GET", url, headers))
                body.require_success()
                if body.status == 206 and (body.start != start or body.is_encoded):
                    raise _error(url, "wrong part", status=body.status)
                stack.push_async_exit(opening.pop_all())
                return body

        yield await begun()


class Body:
    """An answer whose body is still to come; ``start`` and ``stop`` say which part of its file a partial one holds."""

    def __init__(self, url: str, answer: aiohttp.ClientResponse, receipt: Receipt) -> None:
        self.url, self.status, self.headers = url, answer.status, answer.headers
        self.is_encoded = self.headers.get("Content-Encoding", "").lower() not in {"", "identity", "aws-chunked"}
        self.start, self.stop, self.total_bytes = 0, 0, None if self.is_encoded else answer.content_length
        if self.status == 206:
            found = _CONTENT_RANGE.fullmatch(self.headers.get("Content-Range", "").strip())
            first, last, total = map(int, found.groups()) if found else (-1, -1, -1)
            self.start, self.stop, self.total_bytes = first, last + 1, total if found else None
        changed = self.headers.get("Last-Modified")
        self.etag = self.headers.get("ETag") or (f"{changed} {self.total_bytes}" if changed else None)
        self._answer, self._receipt = answer, receipt
        self._came_bytes = self._came_lately_bytes = 0
        self._give_up_at = asyncio.get_running_loop().time() + STALL_S

    def response(self, content: bytes) -> Response:
        """The answer with what came of its body."""
        return Response(self.url, self.status, self.headers, content, self.etag, self.total_bytes)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The chunks in order; NetworkError where the body ends too early."""
        while data := await self._next():
            yield data
        if self.total_bytes is not None and self.start + self._came_bytes != self.total_bytes:
            raise _error(self.url, "broken off")

    async def read(self, limit_bytes: int, *, is_enough: bool = False) -> bytes:
        """The body, if it isn't longer than ``limit_bytes``; where that ``is_enough``, its beginning."""
        announced = self._answer.content_length or 0
        if announced > limit_bytes and not is_enough:
            raise _error(self.url, "too large", limit=limit_bytes)
        self._receipt.expect(min(announced, limit_bytes))
        chunks = []
        while data := await self._next():
            chunks.append(data)
            if self._came_bytes >= limit_bytes and is_enough:
                break
            if self._came_bytes > limit_bytes:
                raise _error(self.url, "too large", limit=limit_bytes)
        content = b"".join(chunks)
        if self.status == 200 and not is_enough:
            self.total_bytes = len(content)
        return content

    async def _next(self) -> bytes:
        """Some more of the body; nothing at its end."""
        try:
            async with asyncio.timeout_at(self._give_up_at):
                data = await self._answer.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise _explained(self.url, error) from error
        self._came_bytes += len(data)
        self._came_lately_bytes += len(data)
        if self._came_lately_bytes >= _LEAST_BYTES:
            self._came_lately_bytes, self._give_up_at = 0, asyncio.get_running_loop().time() + STALL_S
        self._receipt.add(len(data))
        return data

    def require_success(self) -> None:
        """Raise a NetworkError for any status but 200 and 206."""
        if self.status in {200, 206}:
            return
        error = _error(self.url, _STATUSES.get(self.status, "refused"), status=self.status)
        if self.status in _RETRIED_STATUSES:
            wait = self.headers.get("Retry-After", "")
            error = _TransientError(error, _ATTEMPTS, float(wait) if wait.isascii() and wait.isdigit() else 0.0)
        raise error


@asynccontextmanager
async def _respond(
    method: str, url: str, headers: Mapping[str, str], *, content: bytes | None = None, wanted_bytes: int = 0
) -> AsyncIterator[Body]:
    """The answer to a request, after redirects; its connection is kept if the body is read to its end."""
    ours = network()
    target = first = _checked(url)
    async with ours.slot(method, first), AsyncExitStack() as stack:
        receipt = stack.enter_context(policy().request(wanted_bytes))
        for _ in range(_MOST_REDIRECTS + 1):
            try:
                async with asyncio.timeout(STALL_S):
                    answer = await ours.session().request(
                        method,
                        target,
                        headers={"Accept-Encoding": "identity", **headers},
                        data=content,
                        allow_redirects=False,
                        proxy=await ours.proxy_for(target),
                        ssl=tls() if target.scheme == "https" else True,
                    )
            except (aiohttp.ClientError, OSError) as error:
                ours.forget_proxies()
                raise _explained(url, error) from error
            stack.push_async_callback(_release, answer)
            location = answer.headers.get("Location", "") if answer.status in _REDIRECT_STATUSES else ""
            if not location or (method == "POST" and answer.status not in {307, 308}):
                yield Body(url, answer, receipt)
                return
            target = _redirected(url, first, target, location)
    raise _error(url, "circle")


async def _release(answer: aiohttp.ClientResponse) -> None:
    """Give a connection back, to be used again if its body was read or is short, as that of an error."""
    if answer.status not in {200, 206}:
        with suppress(aiohttp.ClientError, OSError, asyncio.IncompleteReadError):
            async with asyncio.timeout(_DRAIN_S):
                await answer.content.readexactly(_MOST_DRAINED_BYTES)
    answer.release()


def _checked(address: str) -> URL:
    """An address that may be asked for: of http or https, and not link-local."""
    try:
        target = URL(address, encoded=address.isascii() and " " not in address)
        host = target.host if target.scheme in {"http", "https"} and address.isprintable() else ""
    except ValueError:
        host = ""
    if not host:
        raise _error(address, "no address")
    if is_link_local(host):
        raise _error(address, "link-local")
    return target


def _redirected(url: str, first: URL, target: URL, location: str) -> URL:
    """Where a redirect leads; a user and a password in the address go on to the same server only."""
    found = _checked(str(target.join(URL(location, encoded=location.isascii()))))
    if target.scheme == "https" and found.scheme != "https":
        raise _error(url, "unsafe")
    if found.origin() in {first.origin(), first.origin().with_scheme("https")}:
        return found.with_user(first.user).with_password(first.password)
    return found.with_user(None)


class _TransientError(NetworkError):
    """What may work if it is tried again, so many times in all, not before some time has passed."""

    def __init__(self, error: NetworkError, attempts: int, retry_after_s: float = 0.0) -> None:
        super().__init__(error.message, hint=error.hint, url=error.url, status=error.status)
        self.attempts, self.retry_after_s = attempts, retry_after_s


def _error(url: str, kind: str, *, status: int | None = None, limit: int = 0) -> NetworkError:
    """What went wrong, in plain words."""
    message, hint = _WORDS[kind]
    words = {"host": host_of(url), "file": file_of(url) or "the file"}
    message = message.format(**words, status=status, limit=limit)
    error = NetworkError(message, hint=hint, url=without_login(url), status=status)
    return _TransientError(error, _RETRIED[kind]) if kind in _RETRIED else error


def _changed(url: str) -> ChangedError:
    message = f"{file_of(url) or 'The file'} on {host_of(url)} changed since it was opened."
    return ChangedError(message, hint="Reopen it.")


def _explained(url: str, error: Exception) -> NetworkError:
    """What aiohttp or the sockets below it raised."""
    match error:
        case aiohttp.ClientHttpProxyError() | aiohttp.ClientProxyConnectionError():
            return _error(url, "proxy")
        case ssl.SSLError() | aiohttp.ClientSSLError():
            return _error(url, "insecure")
        case aiohttp.ClientConnectorError():
            return _error(url, "out of reach")
        case TimeoutError():
            return _error(url, "silent")
    return _error(url, "broken off")


_NETWORK = "Check the internet connection, then try again."
_WORDS = {  # what happened, and what to do about it
    "no address": ("{host!r} isn't a web address.", "Check the address."),
    "link-local": ("Nothing is read from {host}: only machines of a cloud may use that address.", ""),
    "unsafe": ("The server {host} points to an unsafe place.", ""),
    "circle": ("The server {host} sends us round in circles.", "Try again later."),
    "out of reach": ("The server {host} can't be reached.", _NETWORK),
    "silent": ("The server {host} didn't answer in time.", _NETWORK),
    "broken off": ("The server {host} broke off in the middle of {file}.", _NETWORK),
    "proxy": ("This network's proxy doesn't let us reach {host}.", "Check the proxy settings."),
    "insecure": (
        "No secure connection to {host} could be made.",
        "Check the computer's date; a filter or proxy of this network may be in the way.",
    ),
    "web page": (
        "A web page came from {host} instead of {file}.",
        "This network may want you to sign in: open any web page in a browser, then try again.",
    ),
    "wrong part": ("The server {host} can't send the part of {file} that is needed.", "Download the whole file."),
    "too large": ("The answer of {host} for {file} is larger than the {limit:,} bytes expected.", ""),
    "forbidden": ("The server {host} doesn't allow access to {file} (status {status}).", ""),
    "missing": ("The server {host} doesn't have {file} (status {status}).", ""),
    "refused": ("The server {host} can't answer the request for {file} (status {status}).", "Try again later."),
}
_STATUSES = {401: "forbidden", 403: "forbidden", 404: "missing", 407: "proxy", 410: "missing"}
_RETRIED = {"broken off": _ATTEMPTS, "silent": 2, "out of reach": 2}
