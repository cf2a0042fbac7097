"""Serve a pack over HTTP like the portal: GraphQL, files with ranges, and the S3 listing of its bucket.

::

    POST /graphql                    {"query", "variables", "operationName"}; errors have status
                                     200, as in the portal
    GET, HEAD /files/10000/...       a file or a range of it
    GET /                            a page that says what this is and how to open it
    GET, HEAD /s3/BUCKET[/KEY]       keys with a prefix, or a file; the BOTO_ENDPOINT_URL of the
                                     official client, and the AWS_ENDPOINT_URL_S3 of the aws command

Each response asks clients to open few connections, so that a class fits behind one address. If there
are too many nevertheless, one of the address with the most is closed.

Web pages can't read a pack: there are no CORS headers unless you name an origin. Requests for other
host names are refused, so that no page can use its own host name for this computer (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar
from xml.sax.saxutils import escape

import msgspec

from napari_cryoet.exceptions import CryoETError, FormatError, NetworkError, PortalError
from napari_cryoet.network.connections import CONNECTIONS_HEADER
from napari_cryoet.network.hosts import is_this_computer
from napari_cryoet.packs.graphql import execute
from napari_cryoet.packs.pack import Pack, is_safe, open_pack
from napari_cryoet.tables.database import Database
from napari_cryoet.wording import joined

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.datastructures import MutableHeaders
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.middleware.cors import CORSMiddleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
    from starlette.routing import BaseRoute, Mount, Route
    from starlette.staticfiles import StaticFiles
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ImportError as error:
    raise CryoETError(
        "Serving a pack needs starlette and uvicorn.",
        hint="Run: pip install 'napari-cryoet[serve]'",
    ) from error

T = TypeVar("T", bound=msgspec.Struct)

#: Hosts that stand for all networks of this computer.
EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - the user's choice
MAX_BODY_BYTES: Final = 4 << 20
MAX_CONNECTIONS: Final = 800  # each is an open file, of which Linux allows 1024
CONNECTIONS_A_CLIENT: Final = 8

_HOW_TO_OPEN: Final = """<ol>
<li>Start napari with the plugin napari-cryoet, and open <em>Plugins › CryoET Explorer</em>.
<li>On its start page, or in the menu of its source, choose <em>Open an address…</em>
<li>Type <code>{address}</code>
</ol>
<p>Or type in a terminal: <code>napari-cryoet open {address}</code></p>
"""
_BODY_S: Final = 20.0
_STOP_S: Final = 5.0
_HOST: Final = socket.gethostname()
_SHORT_HOST: Final = _HOST.partition(".")[0]
_OWN_NAMES: Final = (
    "localhost",
    "127.0.0.1",
    "[::1]",
    _HOST,
    f"{_HOST}.local",
    _SHORT_HOST,
    f"{_SHORT_HOST}.local",
)


class Visitor(NamedTuple):
    """The use of a server from one address, which may be that of a whole class."""

    address: str
    connections: int  # open now
    requests: int
    sent_bytes: int


class PackServer(AbstractContextManager["PackServer"]):
    """Serves a pack until `close`; also a context manager. NetworkError if the address isn't available.

    By default only this machine can connect, at a free port. ``names`` are further host names that
    clients may use, such as one given by a router; ``cors`` are origins whose web pages may read
    the pack; ``routes`` come before the pack's own; ``how_to`` is HTML for the server's page, which
    may name its ``{address}``.
    """

    def __init__(
        self,
        folder: Path | str,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        names: Sequence[str] = (),
        cors: Sequence[str] = (),
        routes: Sequence[BaseRoute] = (),
        how_to: str = _HOW_TO_OPEN,
    ) -> None:
        self.pack = open_pack(folder)
        self._socket = _listening_socket(host, port)
        self.port = int(self._socket.getsockname()[1])
        name = _public_host(host)
        self.graphql_url, self.files_url, self.s3_url = (
            f"http://{name}:{self.port}/{place}" for place in ("graphql", "files/", "s3")
        )
        self.page_url = f"http://{name}:{self.port}"
        hosts = [name, *_OWN_NAMES, *names]
        handlers = _Handlers(self.pack, self.page_url, how_to)
        self._counts = _Counts(_application(handlers, hosts, cors, routes))
        config = uvicorn.Config(
            self._counts,
            http=_Connection,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            server_header=False,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=0,  # Python waits for connections that wait for an event
        )
        self._server = uvicorn.Server(config)
        run = partial(self._server.run, [self._socket])
        self._thread = threading.Thread(target=run, name="pack server", daemon=True)
        self._thread.start()

    @property
    def urls(self) -> dict[str, str]:
        """Its addresses by name."""
        return {
            "graphql": self.graphql_url,
            "files": self.files_url,
            "s3": self.s3_url,
            "page": self.page_url,
        }

    def visitors(self) -> list[Visitor]:
        """Who has sent requests so far, in order of arrival."""
        connections = Counter(
            each.address
            for each in tuple(self._server.server_state.connections)
            if isinstance(each, _Connection)
        )
        return [
            Visitor(address, connections[address], requests, self._counts.sent_bytes[address])
            for address, requests in tuple(self._counts.requests.items())
        ]

    def close(self) -> None:
        """Refuse new connections, close open ones and end the thread; further calls do nothing."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(_STOP_S)
        self._socket.close()

    def __exit__(self, *_: object) -> None:
        self.close()


def serve_until_signalled(
    open_server: Callable[[], PackServer], watch: Callable[[PackServer], None]
) -> signal.Signals:
    """Serve until SIGINT or SIGTERM, and return that signal; for the main thread only.

    Once ready, prints one line of JSON with the server's ``urls``. Then calls ``watch`` every 0.1 s.
    """
    _allow_open_files()
    received: list[signal.Signals] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: received.append(signal.Signals(number)))
    with open_server() as server:
        sys.stdout.write(json.dumps(server.urls) + "\n")
        sys.stdout.flush()
        while not received:
            time.sleep(0.1)
            watch(server)
    return received[0]


def _allow_open_files() -> None:
    """Let this process open as many files as it may have connections; macOS allows 256 by default."""
    if sys.platform != "win32":
        import resource

        wanted = MAX_CONNECTIONS + 200
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < wanted:
            with suppress(ValueError, OSError):  # the administrator's limit is lower
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class _Connection(H11Protocol):
    """A connection; if there are too many, one of the address with the most is closed."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.idle_since = time.monotonic()
        connections = [
            each
            for each in self.connections
            if isinstance(each, _Connection) and not each.transport.is_closing()
        ]
        if len(connections) > MAX_CONNECTIONS:
            ((fullest, _),) = Counter(each.address for each in connections).most_common(1)
            closable = [each for each in connections if each.address == fullest]
            # half-open connections and those that wait for the next request come first
            min(closable, key=lambda each: (each.is_busy, each.idle_since)).transport.abort()

    @property
    def address(self) -> str:
        """The client's address; empty until it is known, since a new connection is listed before."""
        return self.client[0] if self.client is not None else ""

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        return bool(self.cycle) and not self.cycle.response_complete  # no cycle before a request

    def on_response_complete(self) -> None:
        self.idle_since = time.monotonic()
        super().on_response_complete()


class _Counts:
    """An application that counts the requests and the bytes sent for each address."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application
        self.requests: Counter[str] = Counter()
        self.sent_bytes: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        address = scope["client"][0]
        self.requests[address] += 1

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[CONNECTIONS_HEADER] = str(CONNECTIONS_A_CLIENT)
            self.sent_bytes[address] += len(message.get("body", b""))
            await send(message)

        await self._application(scope, receive, counted)


class PackFile(FileResponse):
    """A file response with chunks large enough to be worth a thread switch."""

    chunk_size = 1 << 20


class _Files(StaticFiles):
    """The files below a folder, without links that lead out of it.

    Browsers don't show them as pages.
    """

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        return ("", None) if "\0" in path else super().lookup_path(path)  # which no file has

    def file_response(
        self, full_path: Any, stat_result: os.stat_result, *_: Any, **__: Any
    ) -> Response:
        headers = {"X-Content-Type-Options": "nosniff"}
        return PackFile(
            full_path,
            headers=headers,
            media_type="application/octet-stream",
            stat_result=stat_result,
        )


_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body {{ font: 1.1em/1.5 sans-serif; max-width: 38em; margin: 3em auto; padding: 0 1em }}
code {{ background: #8882; padding: .1em .3em }}</style>
<h1>{title}</h1>
<p>Cryo-electron tomograms with annotations, served to napari from a computer of this network.</p>
<p>{terms}</p>
<h2>How to join</h2>
{how}
</html>
"""


class _Query(msgspec.Struct, rename="camel"):
    """A GraphQL request."""

    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None


class _Handlers:
    """Answers requests for one pack."""

    def __init__(self, pack: Pack, page_url: str, how_to: str) -> None:
        self.pack = pack
        self._page_url = page_url
        self._how_to = how_to
        self._database = Database(pack.tables)
        self._root = pack.files.resolve()
        self._key_prefix = pack.manifest.s3_prefix.removeprefix("s3://").partition("/")[2]

    async def graphql(self, request: Request) -> Response:
        """Answer a query."""
        query = await message_of(request, _Query)
        reply = await run_in_threadpool(self._answer, query, f"{request.base_url}files/")
        return Response(msgspec.json.encode(reply), media_type="application/json")

    def page(self, request: Request) -> Response:
        """What this is and how to open it, for those who type the address in a browser."""
        manifest = self.pack.manifest
        address = str(request.base_url).rstrip("/")
        if is_this_computer(request.base_url.hostname or ""):
            address = self._page_url  # which other computers may reach
        texts = {
            "title": escape(manifest.title),
            "terms": escape(joined(manifest.source, manifest.licence)),
            "how": self._how_to.format(address=escape(address)),
        }
        headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return HTMLResponse(_PAGE.format(**texts), headers=headers)

    def listing(self, request: Request) -> Response:
        """List all keys with a prefix, like ``ListObjectsV2``."""
        prefix = request.query_params.get("prefix", "")
        start = prefix.removeprefix(self._key_prefix)
        paths = (self._root / start.rpartition("/")[0]).rglob("*") if is_safe(start) else ()
        entries = []
        for path in sorted(
            path for path in paths if path.is_file() and path.resolve().is_relative_to(self._root)
        ):
            key = self._key_prefix + path.relative_to(self._root).as_posix()
            if key.startswith(prefix):
                stat_result = path.stat()
                changed = datetime.fromtimestamp(stat_result.st_mtime, UTC).strftime(
                    "%Y-%m-%dT%H:%M:%S.000Z"
                )
                details = (
                    f"<LastModified>{changed}</LastModified><Size>{stat_result.st_size}</Size>"
                )
                entries.append(f"<Contents><Key>{escape(key)}</Key>{details}</Contents>")
        text = (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>false</IsTruncated>{''.join(entries)}</ListBucketResult>"
        )
        return Response(text, media_type="application/xml")

    def _answer(self, request: _Query, files_url: str) -> dict[str, Any]:
        def moved_url(url: str) -> str:
            return self.pack.moved_url(url, files_url)

        try:
            data = execute(
                self._database,
                request.query,
                request.variables,
                request.operation_name,
                moved_url=moved_url,
            )
        except PortalError as error:
            return {"data": None, "errors": [{"message": str(error)}]}
        return {"data": data, "extensions": {"terms": self.pack.manifest.terms}}


async def message_of(request: Request, kind: type[T]) -> T:
    """The message in a request's body; FormatError if it isn't one."""
    too_large = HTTPException(413, f"A request may have at most {MAX_BODY_BYTES} bytes.")
    if int(request.headers.get("Content-Length", "0")) > MAX_BODY_BYTES:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_S):
            async for part in request.stream():
                body += part
                if len(body) > MAX_BODY_BYTES:
                    raise too_large
        return msgspec.json.decode(body, type=kind)
    except TimeoutError as error:
        raise HTTPException(408) from error
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise FormatError(f"This request can't be understood: {error}.") from error


def _refuse(request: Request, error: Exception) -> Response:
    """The response to an error of ours; after GET, it is that there is no such thing."""
    return PlainTextResponse(str(error), 404 if request.method == "GET" else 400)


def _application(
    handlers: _Handlers, names: Sequence[str], cors: Sequence[str], more: Sequence[BaseRoute]
) -> Starlette:
    pack = handlers.pack
    files = _Files(directory=pack.files)
    bucket, _, prefix = pack.manifest.s3_prefix.removeprefix("s3://").partition("/")
    routes = [
        *more,
        Route("/", handlers.page),
        Route("/graphql", handlers.page, methods=["GET"]),
        Route("/graphql", handlers.graphql, methods=["POST"]),
        Mount("/files", files),
        Route(f"/s3/{bucket}", handlers.listing),
        Mount(f"/s3/{bucket}/{prefix}", files),
    ]
    middleware = [Middleware(TrustedHostMiddleware, allowed_hosts=names, www_redirect=False)]
    if cors:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(cors),
                allow_methods=["GET", "HEAD", "POST"],
                allow_headers=["*"],
                expose_headers=[
                    "Accept-Ranges",
                    "Content-Length",
                    "Content-Range",
                    "ETag",
                    "Last-Modified",
                ],
            )
        )
    handlers_of_errors = {CryoETError: _refuse}
    return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers_of_errors)


def _listening_socket(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NetworkError(f"Can't serve at {host}, port {port}: {reason}.") from error


def _public_host(host: str) -> str:
    """The host in URLs; when listening on all addresses, the one that other machines can reach."""
    if host in EVERYWHERE:
        family, elsewhere = (
            (socket.AF_INET6, "2001:db8::1") if host == "::" else (socket.AF_INET, "192.0.2.1")
        )
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((elsewhere, 9))  # sends nothing, only selects the outgoing address
                host = str(probe.getsockname()[0])
            except OSError:  # no network
                host = "::1" if host == "::" else "127.0.0.1"
    return f"[{host}]" if ":" in host else host
