"""HTTP for metadata, pictures, pixels and downloads.

`get`, `post_json` and `stream` are coroutines for one background event loop. `run` and `submit` start
coroutines on it from any other thread; `fetch` is the blocking twin of `get`.

Only http and https are spoken, every body is bounded while it arrives, all requests obey `policy`, and every failure is
a `NetworkError` in plain words.
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
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, ParamSpec, TypeVar

import aiohttp
from yarl import URL

from napari_cryoet.exceptions import ChangedError, CryoETError, NetworkError, StoppedError
from napari_cryoet.files import file_of, host_of, server_of, without_login
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
_DRAIN_S, _MOST_DRAINED_CHUNKS = 1.0, 8
_MOST_SKIPPED_BYTES = 4 * 2**20  # of a whole file, to get at a part

_MISSING_STATUSES = frozenset({404, 410})
_RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Response:
    """What a server answered.

    Attributes
    ----------
    url
        What was asked for.
    status
        206 for a part. 200 for a whole file, and for a part that was cut out of one: the server sends no parts.
    etag
        What tells this version of the file from others: its ETag, else when it was changed and its size. None where the
        server says neither.
    total_bytes
        Size of the whole file, where it is known.
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

    Raises
    ------
    StoppedError
        Within 0.1 s after ``stop`` is set; the coroutine is cancelled.
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
    """Try a few times what may work later, with pauses that grow, or that the server asks for."""

    @functools.wraps(once)
    async def several_times(*args: P.args, **kwargs: P.kwargs) -> T:
        made = 0
        while True:
            made += 1
            try:
                return await once(*args, **kwargs)
            except _FailedError as failed:
                if made >= failed.attempts or failed.retry_after_s > _LONGEST_RETRY_AFTER_S:
                    raise failed.error from failed.__cause__
                longest_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (made - 1))
                pause_s = failed.retry_after_s + random.uniform(longest_s / 2, longest_s)  # noqa: S311 - no secret
            await asyncio.sleep(pause_s)

    return several_times


@_retried
async def get(
    url: str, *, start: int = 0, length: int | None = None, etag: str | None = None, limit_bytes: int
) -> Response | None:
    """Read a file, or a part of it.

    Parameters
    ----------
    url
        An http or https address.
    start
        The first byte; negative counts from the end.
    length
        How many bytes; fewer come only where the file ends. None reads to the end.
    etag
        What an earlier `Response` said; any other version of the file is refused.
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
    ChangedError
        Where the file isn't ``etag`` any more.
    """
    part = _Part(start, length) if start or length is not None else None
    headers = {"Range": part.header} if part is not None else {}
    if etag is not None and etag.startswith('"'):
        headers["If-Match"] = etag
    async with _respond("GET", url, headers, wanted_bytes=min(length or 0, limit_bytes)) as body:
        if etag is not None and body.status in {*_MISSING_STATUSES, 412, 416}:
            raise _changed(url)
        if body.status in _MISSING_STATUSES:
            return None
        if body.status == 416 and part is not None:
            return body.response(b"")
        body.require_success()
        if etag is not None and body.etag != etag:
            is_page = body.headers.get("Content-Type", "").startswith("text/html")
            raise _failed(url, "web page", status=body.status) if is_page else _changed(url)
        content = await (body.read(limit_bytes) if part is None else _read_part(body, part, limit_bytes))
        if body.start == 0 and content[:512].lstrip().lower().startswith((b"<!doctype html", b"<html")):
            raise _failed(url, "web page", status=body.status)
        return body.response(content)


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
                    raise _failed(url, "wrong part", status=body.status)
                stack.push_async_exit(opening.pop_all())
                return body

        yield await begun()


class Body:
    """An answer whose body is still to come.

    Attributes
    ----------
    start
        Where in its file the body begins.
    etag, total_bytes
        See `Response`.
    """

    def __init__(self, url: str, answer: aiohttp.ClientResponse, receipt: Receipt) -> None:
        self.url, self.status, self.headers = url, answer.status, answer.headers
        self.is_encoded = self.headers.get("Content-Encoding", "").lower() not in {"", "identity", "aws-chunked"}
        self.start, self.last, self.total_bytes = 0, -1, None if self.is_encoded else answer.content_length
        if self.status == 206 and (found := _CONTENT_RANGE.fullmatch(self.headers.get("Content-Range", "").strip())):
            self.start, self.last = int(found[1]), int(found[2])
            self.total_bytes = None if found[3] == "*" else int(found[3])
        changed = self.headers.get("Last-Modified")
        self.etag = self.headers.get("ETag") or (f"{changed} {self.total_bytes}" if changed else None)
        self._answer, self._receipt = answer, receipt
        self._patience_s = STALL_S
        self._came_bytes = self._came_lately_bytes = 0

    def response(self, content: bytes) -> Response:
        """The answer with what came of its body."""
        return Response(self.url, self.status, self.headers, content, self.etag, self.total_bytes)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The chunks in order; NetworkError where the body ends too early."""
        try:
            while data := await self._next():
                yield data
        except _FailedError as failed:
            raise failed.error from failed.__cause__
        if self.total_bytes is not None and self.start + self._came_bytes != self.total_bytes:
            raise _failed(self.url, "broken off").error

    async def read(self, limit_bytes: int, *, is_enough: bool = False) -> bytes:
        """The body, if it isn't longer than ``limit_bytes``; where that ``is_enough``, its beginning."""
        announced = self._answer.content_length or 0
        if announced > limit_bytes and not is_enough:
            raise _failed(self.url, "too large", limit=limit_bytes)
        self._receipt.expect(min(announced, limit_bytes))
        chunks = []
        while data := await self._next():
            chunks.append(data)
            if self._came_bytes >= limit_bytes and is_enough:
                break
            if self._came_bytes > limit_bytes:
                raise _failed(self.url, "too large", limit=limit_bytes)
        content = b"".join(chunks)
        if self.status == 200 and not is_enough:
            self.total_bytes = len(content)
        return content

    async def _next(self) -> bytes:
        """Some more of the body; nothing at its end."""
        clock = asyncio.get_running_loop().time
        began_s = clock()
        try:
            async with asyncio.timeout(self._patience_s):
                data = await self._answer.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise _explained(self.url, error) from error
        self._patience_s -= clock() - began_s
        self._came_bytes += len(data)
        self._came_lately_bytes += len(data)
        if self._came_lately_bytes >= _LEAST_BYTES:
            self._came_lately_bytes, self._patience_s = 0, STALL_S
        self._receipt.expect(self._came_bytes)
        self._receipt.add(len(data))
        return data

    def require_success(self) -> None:
        """Let only the status 200 and 206 pass."""
        if self.status not in {200, 206}:
            kind = "busy" if self.status >= 500 else "refused"
            failed = _failed(self.url, _STATUSES.get(self.status, kind), status=self.status)
            failed.attempts = _ATTEMPTS if self.status in _RETRIED_STATUSES else 1
            failed.retry_after_s = _seconds(self.headers.get("Retry-After", ""))
            raise failed


@dataclass(frozen=True, slots=True)
class _Part:
    """The part of a file that is wanted."""

    start: int
    length: int | None

    @property
    def header(self) -> str:
        if self.start < 0:
            return f"bytes={self.start}"
        return f"bytes={self.start}-" if self.length is None else f"bytes={self.start}-{self.start + self.length - 1}"

    def is_in(self, body: Body) -> bool:
        """Whether a server says that it sends what was asked for."""
        first, last, total = body.start, body.last, body.total_bytes
        if last < first or (total is not None and last >= total):
            return False
        if self.start < 0:
            return total is not None and last == total - 1 and first == max(0, total + self.start)
        if self.length is None:
            return first == self.start and total in {None, last + 1}
        wanted = self.start + self.length - 1
        return first == self.start and (last == wanted or (last < wanted and last + 1 == total))


async def _read_part(body: Body, part: _Part, limit_bytes: int) -> bytes:
    """A part of a file: all of a partial answer, or cut out of a whole one, of which not much more is read."""
    if body.status == 206:
        size = body.last - body.start + 1
        if body.is_encoded or not part.is_in(body):
            raise _failed(body.url, "wrong part", status=206)
        if size > limit_bytes:
            raise _failed(body.url, "too large", limit=limit_bytes)
        content = await body.read(size)
        if len(content) != size:
            raise _failed(body.url, "broken off")
        return content
    start, length = part.start, part.length
    if start < 0 and body.total_bytes is not None:
        start = max(0, body.total_bytes + start)
    if start > _MOST_SKIPPED_BYTES:
        raise _failed(body.url, "wrong part", status=200)
    if start < 0 or length is None:
        return (await body.read(max(0, start) + limit_bytes))[start:]
    end = start + min(length, limit_bytes)
    return (await body.read(end, is_enough=True))[start:end]


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
    raise _failed(url, "circle")


async def _release(answer: aiohttp.ClientResponse) -> None:
    """Give a connection back, to be used again if its body was read or is short, as that of an error."""
    if answer.status not in {200, 206}:
        with suppress(aiohttp.ClientError, OSError):
            async with asyncio.timeout(_DRAIN_S):
                for _ in range(_MOST_DRAINED_CHUNKS):
                    if not await answer.content.readany():
                        break
    answer.release()


def _checked(address: str) -> URL:
    """An address that may be asked for: of http or https, and not link-local."""
    try:
        target = URL(address, encoded=address.isascii() and " " not in address)
        host = target.host if target.scheme in {"http", "https"} and address.isprintable() else ""
    except ValueError:
        host = ""
    if not host:
        raise _failed(address, "no address")
    if is_link_local(host):
        raise _failed(address, "link-local")
    return target


def _redirected(url: str, first: URL, target: URL, location: str) -> URL:
    """Where a redirect leads; a user and a password in the address go on to the same server only."""
    found = _checked(str(target.join(URL(location, encoded=location.isascii()))))
    if target.scheme == "https" and found.scheme != "https":
        raise _failed(url, "unsafe")
    if found.origin() in {first.origin(), first.origin().with_scheme("https")}:
        return found.with_user(first.user).with_password(first.password)
    return found.with_user(None)


class _FailedError(Exception):
    """One failed attempt: the error for the caller, and how often to try."""

    def __init__(self, error: CryoETError, attempts: int = 1) -> None:
        super().__init__(error)
        self.error, self.attempts = error, attempts
        self.retry_after_s = 0.0


def _failed(url: str, kind: str, *, status: int | None = None, limit: int = 0) -> _FailedError:
    """What went wrong, in plain words."""
    message, hint = _WORDS[kind]
    words = {"host": host_of(url), "server": server_of(url), "file": file_of(url) or "the file"}
    message = message.format(**words, status=status, limit=limit)
    return _FailedError(NetworkError(message, hint=hint, url=without_login(url), status=status), _RETRIED.get(kind, 1))


def _changed(url: str) -> _FailedError:
    message = f"{file_of(url) or 'The file'} on {host_of(url)} changed since it was opened."
    return _FailedError(ChangedError(message, hint="Reopen it."))


def _explained(url: str, error: Exception) -> _FailedError:
    """What aiohttp or the sockets below it raised."""
    match error:
        case aiohttp.ClientHttpProxyError() | aiohttp.ClientProxyConnectionError():
            return _failed(url, "proxy")
        case ssl.SSLError() | aiohttp.ClientSSLError():
            return _failed(url, "insecure")
        case aiohttp.ClientConnectorError():
            return _failed(url, "closed" if isinstance(error.os_error, ConnectionRefusedError) else "out of reach")
        case TimeoutError():
            return _failed(url, "silent")
    return _failed(url, "broken off")


_LATER, _NETWORK = "Try again later.", "Check the internet connection, then try again."
_WORDS = {  # what happened, and what to do about it
    "no address": ("{server!r} isn't a web address.", "Check the address."),
    "link-local": ("Nothing is read from {host}: only machines of a cloud may use that address.", ""),
    "unsafe": ("The server {host} points to an unsafe place.", ""),
    "circle": ("The server {host} sends us round in circles.", _LATER),
    "out of reach": ("The server {host} can't be reached: no network?", _NETWORK),
    "closed": ("The server {host} can't be reached: it refuses connections.", _LATER),
    "silent": ("The server {host} didn't answer in time.", "The network may be slow; try again."),
    "broken off": ("The server {host} broke off in the middle of {file}.", "The network may be unstable; try again."),
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
    "too many": ("The server {host} got too many requests at once (status {status}).", "Wait a minute, try again."),
    "busy": ("The server {host} has a problem of its own with {file} (status {status}).", _LATER),
    "refused": ("The server {host} didn't understand the request for {file} (status {status}).", ""),
}
_STATUSES = {401: "forbidden", 403: "forbidden", 404: "missing", 407: "proxy", 410: "missing", 429: "too many"}
_RETRIED = {"broken off": _ATTEMPTS, "silent": 2, "out of reach": 2, "closed": 2}


def _seconds(retry_after: str) -> float:
    """The Retry-After header, a number of seconds or a date, in seconds from now."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    return max(0.0, ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds())
