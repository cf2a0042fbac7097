"""Serve a pack over HTTP like the portal: GraphQL, files with ranges, and the S3 listing of its bucket.

::

    POST /graphql                    {"query", "variables", "operationName"}; errors have status
                                     200, as in the portal
    GET, HEAD /files/10000/...       a file or a range of it
    GET, HEAD /s3/BUCKET[/KEY]       keys with a prefix, or a file; the BOTO_ENDPOINT_URL of the
                                     official client, and the AWS_ENDPOINT_URL_S3 of the aws command

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
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

import msgspec

from napari_cryoet.exceptions import CryoETError, NetworkError, PortalError
from napari_cryoet.packs.graphql import execute
from napari_cryoet.packs.pack import Pack, is_safe, open_pack
from napari_cryoet.tables.database import Database

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.middleware import Middleware
    from starlette.middleware.cors import CORSMiddleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import FileResponse, PlainTextResponse, Response
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ImportError as error:
    raise CryoETError(
        "Serving a pack needs starlette and uvicorn.",
        hint="Run: pip install 'napari-cryoet[serve]'",
    ) from error

MAX_BODY_BYTES: Final = 4 << 20
MAX_CONNECTIONS_A_CLIENT: Final = 64

_STOP_S: Final = 5.0
_OWN_NAMES: Final = (
    "localhost",
    "127.0.0.1",
    "[::1]",
    socket.gethostname(),
    f"{socket.gethostname()}.local",
)


class PackServer(AbstractContextManager["PackServer"]):
    """Serves a pack until `close`; also a context manager. NetworkError if the address isn't available.

    By default only this machine can connect, at a free port. ``names`` are further host names that
    clients may use, such as one given by a router; ``cors`` are origins whose web pages may read
    the pack.
    """

    def __init__(
        self,
        folder: Path | str,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        names: Sequence[str] = (),
        cors: Sequence[str] = (),
    ) -> None:
        self.pack = open_pack(folder)
        self._socket = _listening_socket(host, port)
        self.port = int(self._socket.getsockname()[1])
        name = _public_host(host)
        self.graphql_url, self.files_url, self.s3_url = (
            f"http://{name}:{self.port}/{place}" for place in ("graphql", "files/", "s3")
        )
        config = uvicorn.Config(
            _application(self.pack, [name, *_OWN_NAMES, *names], cors),
            http=_Connection,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            server_header=False,
            timeout_keep_alive=60,
        )
        self._server = uvicorn.Server(config)
        run = partial(self._server.run, [self._socket])
        self._thread = threading.Thread(target=run, name="pack server", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Refuse new connections, close open ones and end the thread; further calls do nothing."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(_STOP_S)
        self._socket.close()

    def __exit__(self, *_: object) -> None:
        self.close()


def serve_until_signalled(folder: Path | str, *args: Any, **options: Any) -> signal.Signals:
    """Serve a pack with `PackServer` until SIGINT or SIGTERM, and return that signal; for the main thread only.

    Once ready, prints one line of JSON: ``{"graphql": URL, "files": URL, "s3": URL}``.
    """
    received: list[signal.Signals] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: received.append(signal.Signals(number)))
    with PackServer(folder, *args, **options) as server:
        urls = {"graphql": server.graphql_url, "files": server.files_url, "s3": server.s3_url}
        sys.stdout.write(json.dumps(urls) + "\n")
        sys.stdout.flush()
        while not received:
            time.sleep(0.1)
    return received[0]


class _Connection(H11Protocol):
    """A connection that is refused if its client has too many."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        clients = [
            each.client[0]
            for each in self.connections
            if isinstance(each, _Connection) and each.client
        ]
        if self.client is not None and clients.count(self.client[0]) > MAX_CONNECTIONS_A_CLIENT:
            transport.abort()


class PackFile(FileResponse):
    """A file response with chunks large enough to be worth a thread switch."""

    chunk_size = 1 << 20


class _Files(StaticFiles):
    """The files below a folder, without links that lead out of it.

    Browsers don't show them as pages.
    """

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


class _Query(msgspec.Struct, rename="camel"):
    """A GraphQL request."""

    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None


class _Handlers:
    """Answers requests for one pack."""

    def __init__(self, pack: Pack) -> None:
        self._pack = pack
        self._database = Database(pack.tables)
        self._root = pack.files.resolve()
        self._key_prefix = pack.manifest.s3_prefix.removeprefix("s3://").partition("/")[2]

    async def graphql(self, request: Request) -> Response:
        """Answer a query."""
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY_BYTES:
                return PlainTextResponse(f"A request may have at most {MAX_BODY_BYTES} bytes.", 413)
        try:
            query = msgspec.json.decode(body, type=_Query)
        except (msgspec.MsgspecError, RecursionError):
            return PlainTextResponse(
                "A request is a JSON object with a query and optional variables.", 400
            )
        reply = await run_in_threadpool(self._answer, query, f"{request.base_url}files/")
        return Response(msgspec.json.encode(reply), media_type="application/json")

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
            return self._pack.moved_url(url, files_url)

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
        return {"data": data, "extensions": {"terms": self._pack.manifest.terms}}


def _application(pack: Pack, names: Sequence[str], cors: Sequence[str]) -> Starlette:
    handlers, files = _Handlers(pack), _Files(directory=pack.files)
    bucket, _, prefix = pack.manifest.s3_prefix.removeprefix("s3://").partition("/")
    routes = [
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
    return Starlette(routes=routes, middleware=middleware)


def _listening_socket(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NetworkError(f"Can't serve at {host}, port {port}: {reason}.") from error


def _public_host(host: str) -> str:
    """The host in URLs; when listening on all addresses, the one that other machines can reach."""
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - the user's choice
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
