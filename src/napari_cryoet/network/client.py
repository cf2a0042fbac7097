"""HTTP for metadata, pictures, pixels and downloads.

`get`, `post_json` and `stream` run on one background event loop. `run` and `submit` start
coroutines on it from any other thread; `fetch` is the blocking version of `get`. Body sizes are
limited, every request obeys `policy`, and every failure is a `NetworkError` with a message for the
user.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import email.utils
import functools
import json
import random
import re
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from urllib.parse import urljoin, urlsplit

from napari_cryoet.exceptions import ChangedError, NetworkError, StoppedError
from napari_cryoet.locations import file_of, host_of, without_login
from napari_cryoet.network.connections import CONNECTIONS_HEADER, network, tls
from napari_cryoet.network.hosts import is_link_local
from napari_cryoet.network.policy import Receipt, policy
from napari_cryoet.task import UNWATCHED, Task

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

P = ParamSpec("P")
T = TypeVar("T")

STALL_S = 30.0  # give up on a server that sends less than _LEAST_BYTES in this time

_LEAST_BYTES = 2**16
_POLL_S = 0.05
_ATTEMPTS = 4
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 8.0
_LONGEST_RETRY_AFTER_S = 60.0
_LEAST_TOLD_S, _MOST_TOLD_S = 1.0, 24 * 3600.0  # of waits that servers ask for
_MOST_REDIRECTS = 5
_DRAIN_S, _MOST_DRAINED_BYTES = 1.0, 2**18
_MOST_SKIPPED_BYTES = 4 * 2**20  # of a whole file, to reach a part

_MISSING_STATUSES = frozenset({404, 410})
_BUSY_STATUSES = frozenset({429, 503})
_RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Response:
    """A server's response.

    ``status`` is 206 for a part, or 200 for a part that was cut from a whole file because the
    server ignores ranges. ``etag`` identifies the version of the file: its ETag, else its
    modification date and size, else None. ``total_bytes`` is the size of the whole file, or None if
    unknown.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    etag: str | None
    total_bytes: int | None


def loop() -> asyncio.AbstractEventLoop:
    """The event loop for all coroutines of this module; a forked process gets its own."""
    return network().loop()


def server_of(url: str) -> str:
    """The server of an address: scheme, host and port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"


def refusals(server: str) -> int:
    """How often a server asked for fewer requests (status 429 or 503)."""
    return network().refusals[server]


def wait_text(server: str) -> str:
    """That a server asked to wait and until when, for users; empty if it doesn't."""
    until_s = network().waits.get(server, 0.0)
    return f"The server asks to wait until {_clock(until_s)}" if until_s > time.time() else ""


def _clock(time_s: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(time_s))


def submit(coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
    """Start a coroutine on the loop, from any thread."""
    return asyncio.run_coroutine_threadsafe(coroutine, loop())


def run(coroutine: Coroutine[Any, Any, T], task: Task = UNWATCHED, *, server: str = "") -> T:
    """Run a coroutine on the loop and wait for it, from any thread but the loop's own.

    Once ``task`` is set, it is cancelled, and a StoppedError is raised within 0.1 s. While
    ``server`` asks to wait, the task says so.
    """
    if task.is_stopped:
        coroutine.close()
        raise StoppedError
    future = submit(coroutine)
    try:
        while not concurrent.futures.wait([future], _POLL_S).done:
            if task.is_stopped:
                raise StoppedError
            if text := wait_text(server):
                task.step(0.0, text)
        return future.result()
    except concurrent.futures.CancelledError as error:  # at exit
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
    task: Task = UNWATCHED,
) -> Response | None:
    """Read a file or a part of it; see `get`."""
    return run(get(url, start=start, length=length, etag=etag, limit_bytes=limit_bytes), task)


def _retried(attempt: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Retry after transient errors, with growing pauses or those that the server requests."""

    @functools.wraps(attempt)
    async def with_retries(*args: P.args, **kwargs: P.kwargs) -> T:
        number = 0
        while True:
            number += 1
            try:
                return await attempt(*args, **kwargs)
            except _TransientError as error:
                if number >= error.attempts or error.retry_after_s > _LONGEST_RETRY_AFTER_S:
                    raise
                longest_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (number - 1))
                pause_s = error.retry_after_s + random.uniform(longest_s / 2, longest_s)  # noqa: S311 - no secret
                if error.retry_after_s >= _LEAST_TOLD_S:
                    network().waits[server_of(error.url)] = time.time() + pause_s
            await asyncio.sleep(pause_s)

    return with_retries


@_retried
async def get(
    url: str,
    *,
    start: int = 0,
    length: int | None = None,
    etag: str | None = None,
    limit_bytes: int,
) -> Response | None:
    """Read a file, or a part of it.

    Parameters
    ----------
    start
        The first byte; negative counts from the end.
    length
        How many bytes; the result is shorter only at the end of the file. None reads to the end.
    etag
        That of an earlier `Response`; any other version of the file is a ChangedError.
    limit_bytes
        The size limit of the body.

    Returns
    -------
    Response or None
        None if the server has no such file; an empty body with status 416 beyond the end of a file.

    Raises
    ------
    NetworkError
        With the HTTP status if there was a response. It is 200 if the server ignores ranges and the part is far into
        the file.
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
        content = await (
            _read_part(body, start, length, limit_bytes) if is_part else body.read(limit_bytes)
        )
        if body.start == 0 and content[:512].lstrip().lower().startswith(
            (b"<!doctype html", b"<html")
        ):
            raise _error(url, "web page", status=body.status)
        return body.response(content)


def _range_header(start: int, length: int | None) -> str:
    if start < 0:
        return f"bytes={start}"
    return f"bytes={start}-" if length is None else f"bytes={start}-{start + length - 1}"


async def _read_part(body: Body, start: int, length: int | None, limit_bytes: int) -> bytes:
    """A part of a file: a partial response, or cut from a whole one, reading little beyond the part."""
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
            raise _error(body.url, "interrupted")
        return content
    if start > _MOST_SKIPPED_BYTES:
        raise _error(body.url, "wrong part", status=200)
    if start < 0 or length is None:
        return (await body.read(max(0, start) + limit_bytes))[start:]
    end = start + min(length, limit_bytes)
    return (await body.read(end, is_enough=True))[start:end]


@_retried
async def post_json(url: str, payload: Mapping[str, Any], *, limit_bytes: int) -> Response:
    """Post JSON and return the response. Retries, so posting twice must be safe.

    Responses with status 400 and 422 are returned too: in GraphQL they explain what is wrong with a
    query.
    """
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "gzip",
    }
    async with _respond("POST", url, headers, content=json.dumps(payload).encode()) as body:
        if body.status not in {400, 422}:
            body.require_success()
        return body.response(await body.read(limit_bytes))


@asynccontextmanager
async def stream(url: str, *, start: int = 0, etag: str | None = None) -> AsyncIterator[Body]:
    """Read a file chunk by chunk, from ``start`` on if it is still the version ``etag``.

    Check ``body.start``: it is 0 if the file changed or the server ignores ranges. Any status but
    200 and 206 is a NetworkError, including 404.
    """
    headers = {"Range": f"bytes={start}-"} if start else {}
    if start and etag:
        headers["If-Range"] = etag
    async with AsyncExitStack() as stack:

        @_retried
        async def open_body() -> Body:
            async with AsyncExitStack() as opening:
                body = await opening.enter_async_context(_respond("GET", url, headers))
                body.require_success()
                if body.status == 206 and (body.start != start or body.is_encoded):
                    raise _error(url, "wrong part", status=body.status)
                stack.push_async_exit(opening.pop_all())
                return body

        yield await open_body()


class Body:
    """A response whose body isn't read yet.

    ``start`` and ``task`` delimit a partial response in its file.
    """

    def __init__(self, url: str, answer: aiohttp.ClientResponse, receipt: Receipt) -> None:
        self.url, self.status, self.headers = url, answer.status, answer.headers
        self.is_encoded = self.headers.get("Content-Encoding", "").lower() not in {
            "",
            "identity",
            "aws-chunked",
        }
        self.start, self.stop, self.total_bytes = (
            0,
            0,
            None if self.is_encoded else answer.content_length,
        )
        if self.status == 206:
            content_range = _CONTENT_RANGE.fullmatch(self.headers.get("Content-Range", "").strip())
            first, last, total = map(int, content_range.groups()) if content_range else (-1, -1, -1)
            self.start, self.stop, self.total_bytes = (
                first,
                last + 1,
                total if content_range else None,
            )
        changed = self.headers.get("Last-Modified")
        self.etag = self.headers.get("ETag") or (
            f"{changed} {self.total_bytes}" if changed else None
        )
        self._answer, self._receipt = answer, receipt
        self._received_bytes = self._recent_bytes = 0
        self._deadline = asyncio.get_running_loop().time() + STALL_S

    def response(self, content: bytes) -> Response:
        """The response with its body."""
        return Response(self.url, self.status, self.headers, content, self.etag, self.total_bytes)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the chunks in order; NetworkError if the body ends too early."""
        while data := await self._next():
            yield data
        if self.total_bytes is not None and self.start + self._received_bytes != self.total_bytes:
            raise _error(self.url, "interrupted")

    async def read(self, limit_bytes: int, *, is_enough: bool = False) -> bytes:
        """Read the body.

        Beyond ``limit_bytes`` a NetworkError, or cut if the beginning ``is_enough``.
        """
        announced = self._answer.content_length or 0
        if announced > limit_bytes and not is_enough:
            raise _error(self.url, "too large", limit=limit_bytes)
        self._receipt.expect(min(announced, limit_bytes))
        chunks = []
        while data := await self._next():
            chunks.append(data)
            if self._received_bytes >= limit_bytes and is_enough:
                break
            if self._received_bytes > limit_bytes:
                raise _error(self.url, "too large", limit=limit_bytes)
        content = b"".join(chunks)
        if self.status == 200 and not is_enough:
            self.total_bytes = len(content)
        return content

    async def _next(self) -> bytes:
        """Read the next bytes of the body; empty at its end."""
        try:
            async with asyncio.timeout_at(self._deadline):
                data = await self._answer.content.readany()
        except _failures() as error:
            raise _network_error(self.url, error) from error
        self._received_bytes += len(data)
        self._recent_bytes += len(data)
        if self._recent_bytes >= _LEAST_BYTES:
            self._recent_bytes, self._deadline = 0, asyncio.get_running_loop().time() + STALL_S
        self._receipt.add(len(data))
        return data

    def require_success(self) -> None:
        """Raise a NetworkError for any status but 200 and 206."""
        if self.status in {200, 206}:
            return
        if self.status not in _RETRIED_STATUSES:
            raise _error(self.url, _STATUSES.get(self.status, "refused"), status=self.status)
        wait_s = _retry_after_s(self.headers.get("Retry-After", ""))
        kind = "busy" if wait_s >= _LEAST_TOLD_S else "refused"
        until = _clock(time.time() + wait_s)
        error = _error(self.url, kind, status=self.status, until=until)
        raise _TransientError(error, _ATTEMPTS, wait_s)


def _retry_after_s(header: str) -> float:
    """How long a server asks to wait: its header has seconds or a date."""
    if header.isascii() and header.isdigit():
        return min(float(header), _MOST_TOLD_S)
    date = email.utils.parsedate_tz(header)
    wait_s = email.utils.mktime_tz(date) - time.time() if date is not None else 0.0
    return min(max(0.0, wait_s), _MOST_TOLD_S)


@asynccontextmanager
async def _respond(
    method: str,
    url: str,
    headers: Mapping[str, str],
    *,
    content: bytes | None = None,
    wanted_bytes: int = 0,
) -> AsyncIterator[Body]:
    """Send a request and follow redirects.

    The connection is reused if the body is read to its end.
    """
    connections = network()
    target = first = _parse_url(url)
    async with connections.slot(method, first), AsyncExitStack() as stack:
        receipt = stack.enter_context(policy().request(wanted_bytes))
        for _ in range(_MOST_REDIRECTS + 1):
            try:
                async with asyncio.timeout(STALL_S):
                    answer = await connections.session().request(
                        method,
                        target,
                        headers={"Accept-Encoding": "identity", **headers},
                        data=content,
                        allow_redirects=False,
                        proxy=await connections.proxy_for(target),
                        ssl=tls() if target.scheme == "https" else True,
                    )
            except _failures() as error:
                connections.forget_proxies()
                raise _network_error(url, error) from error
            stack.push_async_callback(_release, answer)
            connections.limit(target, answer.headers.get(CONNECTIONS_HEADER, ""))
            if answer.status in _BUSY_STATUSES:
                connections.refusals[server_of(url)] += 1
            location = (
                answer.headers.get("Location", "") if answer.status in _REDIRECT_STATUSES else ""
            )
            if not location or (method == "POST" and answer.status not in {307, 308}):
                yield Body(url, answer, receipt)
                return
            target = _redirect_target(url, first, target, location)
    raise _error(url, "redirect loop")


async def _release(answer: aiohttp.ClientResponse) -> None:
    """Release a connection, for reuse if its body was read or is short, as those of errors are."""
    if answer.status not in {200, 206}:
        with suppress(*_failures(), asyncio.IncompleteReadError):
            async with asyncio.timeout(_DRAIN_S):
                await answer.content.readexactly(_MOST_DRAINED_BYTES)
    answer.release()


def _parse_url(address: str, base: str = "") -> URL:
    """Parse and check an address, perhaps relative to another: it must be http or https, and not link-local."""
    from yarl import URL

    try:
        address = urljoin(base, address)
        target = URL(address, encoded=address.isascii() and " " not in address)
        host = target.host if target.scheme in {"http", "https"} and address.isprintable() else ""
    except ValueError:
        host = ""
    if not host:
        raise _error(address, "invalid")
    if is_link_local(host):
        raise _error(address, "link-local")
    return target


def _redirect_target(url: str, first: URL, target: URL, location: str) -> URL:
    """The target of a redirect; a login in the address is passed on to the same server only."""
    redirected = _parse_url(location, str(target))
    if target.scheme == "https" and redirected.scheme != "https":
        raise _error(url, "insecure redirect")
    if redirected.origin() in {first.origin(), first.origin().with_scheme("https")}:
        return redirected.with_user(first.user).with_password(first.password)
    return redirected.with_user(None)


class _TransientError(NetworkError):
    """An error that may pass: retry up to ``attempts`` times in all, each after ``retry_after_s``."""

    def __init__(self, error: NetworkError, attempts: int, retry_after_s: float = 0.0) -> None:
        super().__init__(error.message, hint=error.hint, url=error.url, status=error.status)
        self.attempts, self.retry_after_s = attempts, retry_after_s

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a plain error, so that worker processes can report it."""
        return NetworkError, (self.message,), vars(self)


def _error(
    url: str, kind: str, *, status: int | None = None, limit: int = 0, until: str = ""
) -> NetworkError:
    """A NetworkError with the message for a kind of failure."""
    message, hint = _MESSAGES[kind]
    names = {"host": host_of(url), "file": file_of(url) or "the file"}
    message = message.format(**names, status=status, limit=limit, until=until)
    error = NetworkError(message, hint=hint, url=without_login(url), status=status)
    return _TransientError(error, _RETRIED[kind]) if kind in _RETRIED else error


def _changed(url: str) -> ChangedError:
    message = f"{file_of(url) or 'The file'} on {host_of(url)} changed since it was opened."
    return ChangedError(message, hint="Reopen it.")


def _failures() -> tuple[type[Exception], ...]:
    """What aiohttp and the sockets below it raise; not known before aiohttp is imported."""
    import aiohttp

    return aiohttp.ClientError, OSError


def _network_error(url: str, error: Exception) -> NetworkError:
    """The NetworkError for one of these errors."""
    import aiohttp

    match error:
        case aiohttp.ClientHttpProxyError() | aiohttp.ClientProxyConnectionError():
            return _error(url, "proxy")
        case ssl.SSLError() | aiohttp.ClientSSLError():
            return _error(url, "insecure")
        case aiohttp.ClientConnectorError():
            return _error(url, "unreachable")
        case TimeoutError():
            return _error(url, "timeout")
    return _error(url, "interrupted")


_NETWORK = "Check the internet connection, then try again."
_MESSAGES = {  # message and hint
    "invalid": ("{host!r} isn't a web address.", "Check the address."),
    "link-local": ("{host} can't be used: such addresses are reserved for cloud machines.", ""),
    "insecure redirect": ("The server {host} redirects to an insecure address.", ""),
    "redirect loop": ("The server {host} redirects in a loop.", "Try again later."),
    "unreachable": ("The server {host} can't be reached.", _NETWORK),
    "timeout": ("The server {host} didn't answer in time.", _NETWORK),
    "interrupted": ("The connection to {host} was lost in the middle of {file}.", _NETWORK),
    "proxy": ("This network's proxy blocks access to {host}.", "Check the proxy settings."),
    "insecure": (
        "No secure connection to {host} could be made.",
        "Check the computer's date; a filter or proxy of this network may be in the way.",
    ),
    "web page": (
        "The server {host} sent a web page instead of {file}.",
        "This network may want you to sign in: open any web page in a browser, then try again.",
    ),
    "wrong part": (
        "The server {host} can't send the requested part of {file}.",
        "Download the whole file.",
    ),
    "too large": ("The server {host} sent more than the {limit:,} bytes expected for {file}.", ""),
    "forbidden": ("The server {host} doesn't allow access to {file} (status {status}).", ""),
    "missing": ("The server {host} doesn't have {file} (status {status}).", ""),
    "busy": ("The server {host} asks to wait until {until} (status {status}).", "Try again then."),
    "refused": (
        "The server {host} can't answer the request for {file} (status {status}).",
        "Try again later.",
    ),
}
_STATUSES = {401: "forbidden", 403: "forbidden", 404: "missing", 407: "proxy", 410: "missing"}
_RETRIED = {"interrupted": _ATTEMPTS, "timeout": 2, "unreachable": 2}
