"""HTTP for metadata, pictures, pixels and downloads.

`get`, `head`, `post_json` and `stream` are coroutines for one background event loop. `run` and `submit` start
coroutines on it from any other thread; `fetch` is the blocking twin of `get`.

Only http and https are spoken, every body is bounded while it arrives, all requests obey `policy`, and every failure is
a `NetworkError` in plain words.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
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
from typing import Any, Final, TypeVar

import aiohttp
from yarl import URL

from napari_cryoet.exceptions import ChangedError, CryoETError, NetworkError, StoppedError
from napari_cryoet.files import file_of, host_of, server_of, without_login
from napari_cryoet.network.connections import is_link_local, network, tls
from napari_cryoet.network.policy import Receipt, policy

T = TypeVar("T")

STALL_S: Final = 30.0  # a server that sends less than _LEAST_BYTES in this time is given up

_LEAST_BYTES = 2**16
_POLL_S = 0.05
_ATTEMPTS = 4
_ATTEMPTS_IN_SILENCE = 2
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


async def get(
    url: str,
    *,
    start: int = 0,
    length: int | None = None,
    etag: str | None = None,
    limit_bytes: int,
    stall_s: float = STALL_S,
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
    stall_s
        How long the server may be silent.

    Returns
    -------
    Response or None
        None where the server has no such file. Beyond the end of a file, an empty body with the status 416.

    Raises
    ------
    NetworkError
        With the HTTP status where there was an answer. The status is 200 where a server sends no parts, and the wanted
        one lies far into the file.
    ChangedError
        Where the file isn't ``etag`` any more.
    """
    part = _Part(start, length) if start or length is not None else None
    headers = {"Accept-Encoding": "identity"}
    if part is not None:
        headers["Range"] = part.header
    if etag is not None and etag.startswith('"'):
        headers["If-Match"] = etag

    async def attempt() -> Response | None:
        with policy().request(min(length or 0, limit_bytes)) as receipt:
            async with _respond("GET", url, headers, receipt, stall_s=stall_s) as body:
                return await _read(body, part, etag, limit_bytes)

    return await _retried(attempt)


async def head(url: str) -> Response | None:
    """Ask for the size and the version of a file; None where the server has no such file."""

    async def attempt() -> Response | None:
        with policy().request() as receipt:
            async with _respond("HEAD", url, {"Accept-Encoding": "identity"}, receipt) as body:
                if body.status in _MISSING_STATUSES:
                    return None
                body.require_success()
                return body.response(b"")

    return await _retried(attempt)


async def post_json(url: str, payload: Mapping[str, Any], *, limit_bytes: int) -> Response:
    """Send JSON, and get the answer. It is sent again where the server stumbles, so that must be safe.

    Answers with the status 400 and 422 are returned too: GraphQL servers say in them what is wrong with a query.
    """
    content = json.dumps(payload).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "gzip"}

    async def attempt() -> Response:
        with policy().request() as receipt:
            async with _respond("POST", url, headers, receipt, content=content) as body:
                if body.status not in {400, 422}:
                    body.require_success()
                return body.response(await body.read(limit_bytes))

    return await _retried(attempt)


@asynccontextmanager
async def stream(url: str, *, start: int = 0, etag: str | None = None) -> AsyncIterator[Body]:
    """Read a file chunk by chunk, from ``start`` on if it is still the version ``etag``.

    Look at ``body.start``: it is 0 where the file changed, or where the server can't begin in the middle. Any status
    but 200 and 206 is a NetworkError, 404 as well.
    """
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-"} | ({"If-Range": etag} if etag else {})
    async with AsyncExitStack() as stack:
        receipt = stack.enter_context(policy().request())

        async def attempt() -> Body:
            async with AsyncExitStack() as opening:
                body = await opening.enter_async_context(_respond("GET", url, headers, receipt))
                body.require_success()
                if body.status == 206 and (body.start != start or body.is_encoded):
                    raise _wrong_answer(body)
                stack.push_async_exit(opening.pop_all())
                return body

        yield await _retried(attempt)


class Body:
    """An answer whose body is still to come.

    Attributes
    ----------
    start
        Where in its file the body begins.
    etag, total_bytes
        See `Response`.
    """

    def __init__(self, url: str, answer: aiohttp.ClientResponse, receipt: Receipt, stall_s: float) -> None:
        self.url, self.status, self.headers = url, answer.status, answer.headers
        self.is_encoded = self.headers.get("Content-Encoding", "").lower() not in {"", "identity", "aws-chunked"}
        self.start, self.last, self.total_bytes = 0, -1, None if self.is_encoded else answer.content_length
        if self.status == 206 and (found := _CONTENT_RANGE.fullmatch(self.headers.get("Content-Range", "").strip())):
            self.start, self.last = int(found[1]), int(found[2])
            self.total_bytes = None if found[3] == "*" else int(found[3])
        changed = self.headers.get("Last-Modified")
        self.etag = self.headers.get("ETag") or (f"{changed} {self.total_bytes}" if changed else None)
        self._answer, self._receipt = answer, receipt
        self._stall_s = self._patience_s = stall_s
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
            raise _broken_off(self.url).error

    async def read(self, limit_bytes: int, *, is_enough: bool = False) -> bytes:
        """The body, if it isn't longer than ``limit_bytes``; where that ``is_enough``, its beginning."""
        announced = self._answer.content_length or 0
        if announced > limit_bytes and not is_enough:
            raise _too_large(self.url, limit_bytes)
        self._receipt.expect(min(announced, limit_bytes))
        chunks = []
        while data := await self._next():
            chunks.append(data)
            if self._came_bytes >= limit_bytes and is_enough:
                break
            if self._came_bytes > limit_bytes:
                raise _too_large(self.url, limit_bytes)
        return b"".join(chunks)

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
            self._came_lately_bytes, self._patience_s = 0, self._stall_s
        self._receipt.expect(self._came_bytes)
        self._receipt.add(len(data))
        return data

    def require_success(self) -> None:
        """Let only the status 200 and 206 pass."""
        if self.status not in {200, 206}:
            raise _refused(self)


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


async def _read(body: Body, part: _Part | None, etag: str | None, limit_bytes: int) -> Response | None:
    """The whole body or a part of it, if the file is the wanted version."""
    if etag is not None and body.status in {*_MISSING_STATUSES, 412, 416}:
        raise _changed(body.url)
    if body.status in _MISSING_STATUSES:
        return None
    if body.status == 416 and part is not None:
        return body.response(b"")
    body.require_success()
    if etag is not None and body.etag != etag:
        raise _changed(body.url)
    if body.status == 206:
        content = await _read_part(body, part, limit_bytes)
    elif part is not None:
        content = await _cut_part(body, part, limit_bytes)
    else:
        content = await body.read(limit_bytes)
        body.total_bytes = len(content)
    if body.start == 0 and content[:512].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise _web_page(body)
    return body.response(content)


async def _read_part(body: Body, part: _Part | None, limit_bytes: int) -> bytes:
    """The body of a partial answer, if it is the part that was asked for."""
    if part is None or body.is_encoded or not part.is_in(body):
        raise _wrong_answer(body)
    size = body.last - body.start + 1
    if size > limit_bytes:
        raise _too_large(body.url, limit_bytes)
    content = await body.read(size)
    if len(content) != size:
        raise _broken_off(body.url)
    return content


async def _cut_part(body: Body, part: _Part, limit_bytes: int) -> bytes:
    """A part of a body that is a whole file; not much more than that is read."""
    start, length = part.start, part.length
    if start < 0 and body.total_bytes is not None:
        start = max(0, body.total_bytes + start)
    if start > _MOST_SKIPPED_BYTES:
        raise _wrong_answer(body)
    if start < 0 or length is None:
        return (await body.read(max(0, start) + limit_bytes))[start:]
    end = start + min(length, limit_bytes)
    return (await body.read(end, is_enough=True))[start:end]


@asynccontextmanager
async def _respond(
    method: str,
    url: str,
    headers: Mapping[str, str],
    receipt: Receipt,
    *,
    content: bytes | None = None,
    stall_s: float = STALL_S,
) -> AsyncIterator[Body]:
    """The answer to a request, after redirects; its connection is kept if the body is read to its end."""
    ours = network()
    target = first = _checked(url, url)
    async with ours.slot(method, first), AsyncExitStack() as stack:
        for _ in range(_MOST_REDIRECTS + 1):
            try:
                async with asyncio.timeout(stall_s):
                    answer = await ours.session().request(
                        method,
                        target,
                        headers=headers,
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
                yield Body(url, answer, receipt, stall_s)
                return
            target = _redirected(url, first, target, location)
    raise _failed(url, f"The server {host_of(url)} sends us round in circles.")


async def _release(answer: aiohttp.ClientResponse) -> None:
    """Give a connection back, to be used again if its body was read or is short, as that of an error."""
    if answer.status not in {200, 206}:
        with suppress(aiohttp.ClientError, OSError):
            async with asyncio.timeout(_DRAIN_S):
                for _ in range(_MOST_DRAINED_CHUNKS):
                    if not await answer.content.readany():
                        break
    answer.release()


def _checked(url: str, address: str) -> URL:
    """An address that may be asked for: of http or https, and not link-local."""
    try:
        target = URL(address, encoded=address.isascii() and " " not in address)
        host = target.host if target.scheme in {"http", "https"} and address.isprintable() else ""
    except ValueError:
        host = ""
    if not host:
        raise _failed(url, f"{server_of(address)!r} isn't a web address.", "Check the address.")
    if is_link_local(host):
        raise _failed(url, f"Nothing is read from {host}, which is an address for machines of a cloud.", "")
    return target


def _redirected(url: str, first: URL, target: URL, location: str) -> URL:
    """Where a redirect leads; a user and a password in the address go on to the same server only."""
    found = _checked(url, str(target.join(URL(location, encoded=location.isascii()))))
    if target.scheme == "https" and found.scheme != "https":
        raise _failed(url, f"The server {host_of(url)} points to an unsafe place.")
    if found.origin() in {first.origin(), first.origin().with_scheme("https")}:
        return found.with_user(first.user).with_password(first.password)
    return found.with_user(None)


async def _retried(attempt: Callable[[], Awaitable[T]]) -> T:
    """Try a few times what may work later, with pauses that grow, or that the server asks for."""
    made = 0
    while True:
        made += 1
        try:
            return await attempt()
        except _FailedError as failed:
            if made >= failed.attempts or failed.retry_after_s > _LONGEST_RETRY_AFTER_S:
                raise failed.error from failed.__cause__
            longest_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (made - 1))
            pause_s = failed.retry_after_s + random.uniform(longest_s / 2, longest_s)  # noqa: S311 - no secret
        await asyncio.sleep(pause_s)


class _FailedError(Exception):
    """One failed attempt: the error for the caller, and how often to try."""

    def __init__(self, error: CryoETError, attempts: int = 1) -> None:
        super().__init__(error)
        self.error, self.attempts = error, attempts
        self.retry_after_s = 0.0


def _failed(
    url: str, message: str, hint: str = "Try again later.", *, status: int | None = None, attempts: int = 1
) -> _FailedError:
    return _FailedError(NetworkError(message, hint=hint, url=without_login(url), status=status), attempts)


def _explained(url: str, error: Exception) -> _FailedError:
    """What aiohttp or the sockets below it raised, in plain words."""
    host, check = host_of(url), "Check the internet connection, then try again."
    match error:
        case aiohttp.ClientHttpProxyError() | aiohttp.ClientProxyConnectionError():
            return _failed(url, f"This network's proxy doesn't let us reach {host}.", "Check the proxy settings.")
        case ssl.SSLError() | aiohttp.ClientSSLError():
            hint = "Check the computer's date; a filter or proxy of this network may be in the way."
            return _failed(url, f"No secure connection to {host} could be made.", hint)
        case aiohttp.ClientConnectorError():
            why = "it refuses connections" if isinstance(error.os_error, ConnectionRefusedError) else "no network?"
            return _failed(url, f"The server {host} can't be reached: {why}", check, attempts=_ATTEMPTS_IN_SILENCE)
        case TimeoutError():
            message, hint = f"The server {host} didn't answer in time.", "The network may be slow; try again."
            return _failed(url, message, hint, attempts=_ATTEMPTS_IN_SILENCE)
        case _:
            return _broken_off(url)


def _refused(body: Body) -> _FailedError:
    """A status other than success, in plain words."""
    status, host, file = body.status, host_of(body.url), file_of(body.url) or "this"
    match status:
        case 401 | 403:
            message = f"The server {host} doesn't allow access to {file} (status {status})."
        case 404 | 410:
            message = f"The server {host} doesn't have {file} (status {status})."
        case 407:
            message = f"This network's proxy asks for a user and a password (status {status})."
        case 429:
            message = f"The server {host} got too many requests at once (status {status})."
        case _ if status >= 500:
            message = f"The server {host} has a problem of its own with {file} (status {status})."
        case _:
            message = f"The server {host} didn't understand the request for {file} (status {status})."
    failed = _failed(body.url, message, status=status, attempts=_ATTEMPTS if status in _RETRIED_STATUSES else 1)
    failed.retry_after_s = _seconds(body.headers.get("Retry-After", ""))
    return failed


def _broken_off(url: str) -> _FailedError:
    message = f"The server {host_of(url)} broke off in the middle of {file_of(url) or 'its answer'}."
    return _failed(url, message, "The network may be unstable; try again.", attempts=_ATTEMPTS)


def _wrong_answer(body: Body) -> _FailedError:
    message = f"The server {host_of(body.url)} can't send the part of {file_of(body.url) or 'the file'} that is needed."
    return _failed(body.url, message, "Download the whole file instead.", status=body.status)


def _too_large(url: str, limit_bytes: int) -> _FailedError:
    message = f"{file_of(url) or 'The answer'} on {host_of(url)} is larger than the {limit_bytes:,} bytes expected."
    return _failed(url, message, "")


def _web_page(body: Body) -> _FailedError:
    message = f"A web page came from {host_of(body.url)} instead of {file_of(body.url) or 'data'}."
    hint = "A sign-in page of this network may be in the way: open any web page in a browser, then try again."
    return _failed(body.url, message, hint, status=body.status)


def _changed(url: str) -> _FailedError:
    message = f"{file_of(url) or 'The file'} on {host_of(url)} changed since it was opened."
    return _FailedError(ChangedError(message, hint="Open it again."))


def _seconds(retry_after: str) -> float:
    """The Retry-After header, a number of seconds or a date, in seconds from now."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    return max(0.0, ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds())
