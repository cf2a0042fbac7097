"""Serves a pack over HTTP as the portal does: GraphQL, files with ranges, and the S3 listing of its bucket.

::

    POST /graphql                    {"query", "variables", "operationName"}; errors with status 200, as the portal's
    GET, HEAD /files/10000/...       bytes of a file, whole or a range
    GET, HEAD /s3/BUCKET[/KEY]       keys with a prefix, or bytes of a file; BOTO_ENDPOINT_URL for the official client

Web pages can't read a pack: there are no CORS headers unless an origin is named, and requests for another host than the
ones served are refused, so that no page can give its own name to this computer.
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
        "Serving a pack needs starlette and uvicorn.", hint="Run: pip install 'napari-cryoet[serve]'"
    ) from error

MAX_BODY_BYTES: Final = 4 << 20
MAX_CONNECTIONS_A_CLIENT: Final = 64

_STOP_S: Final = 5.0
_OWN_NAMES: Final = ("localhost", "127.0.0.1", "[::1]", socket.gethostname(), f"{socket.gethostname()}.local")


class PackServer(AbstractContextManager["PackServer"]):
    """A pack that is being served, until `close`; a context too. NetworkError where the address can't be had.

    By default only this machine can connect, at a free port. ``names`` are further names of this computer under which
    clients may ask, such as the one that a router gives it, ``cors`` origins whose web pages may read.
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
        name = _outward_name(host)
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
        """Stop: no new connections, the open ones cut, no thread left. A second call does nothing."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(_STOP_S)
        self._socket.close()

    def __exit__(self, *_: object) -> None:
        self.close()


def serve_until_signalled(folder: Path | str, *args: Any, **options: Any) -> signal.Signals:
    """Serve a pack as `PackServer` does until SIGINT or SIGTERM, and give that; for the main thread of a program.

    When ready, prints one line of JSON: ``{"graphql": URL, "files": URL, "s3": URL}``.
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
    """A connection that is refused where its client has many."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        clients = [each.client[0] for each in self.connections if isinstance(each, _Connection) and each.client]
        if self.client is not None and clients.count(self.client[0]) > MAX_CONNECTIONS_A_CLIENT:
            transport.abort()


class PackFile(FileResponse):
    """A file, in chunks that are worth the way to a thread."""

    chunk_size = 1 << 20


class _Files(StaticFiles):
    """The plain files below a folder, links that lead out of it left out; a browser shows none of them as a page."""

    def file_response(self, full_path: Any, stat_result: os.stat_result, *_: Any, **__: Any) -> Response:
        headers = {"X-Content-Type-Options": "nosniff"}
        return PackFile(full_path, headers=headers, media_type="application/octet-stream", stat_result=stat_result)


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
                return PlainTextResponse(f"A request may have {MAX_BODY_BYTES} bytes at most.", 413)
        try:
            query = msgspec.json.decode(body, type=_Query)
        except (msgspec.MsgspecError, RecursionError):
            return PlainTextResponse("A request is a JSON object with a query, and variables if need be.", 400)
        reply = await run_in_threadpool(self._answer, query, f"{request.base_url}files/")
        return Response(msgspec.json.encode(reply), media_type="application/json")

    def listing(self, request: Request) -> Response:
        """All keys with a prefix, as ``ListObjectsV2`` gives them."""
        prefix = request.query_params.get("prefix", "")
        start = prefix.removeprefix(self._key_prefix)
        found = (self._root / start.rpartition("/")[0]).rglob("*") if is_safe(start) else ()
        entries = []
        for path in sorted(path for path in found if path.is_file() and path.resolve().is_relative_to(self._root)):
            key = self._key_prefix + path.relative_to(self._root).as_posix()
            if key.startswith(prefix):
                about = path.stat()
                changed = datetime.fromtimestamp(about.st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
                details = f"<LastModified>{changed}</LastModified><Size>{about.st_size}</Size>"
                entries.append(f"<Contents><Key>{escape(key)}</Key>{details}</Contents>")
        text = (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>false</IsTruncated>{''.join(entries)}</ListBucketResult>"
        )
        return Response(text, media_type="application/xml")

    def _answer(self, asked: _Query, files_url: str) -> dict[str, Any]:
        def moved_url(url: str) -> str:
            return self._pack.moved_url(url, files_url)

        try:
            data = execute(self._database, asked.query, asked.variables, asked.operation_name, moved_url=moved_url)
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
                expose_headers=["Accept-Ranges", "Content-Length", "Content-Range", "ETag", "Last-Modified"],
            )
        )
    return Starlette(routes=routes, middleware=middleware)


def _listening_socket(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        words = getattr(error, "strerror", None) or error
        raise NetworkError(f"{host}, port {port}, can't be served from: {words}.") from error


def _outward_name(host: str) -> str:
    """The host in URLs; where all addresses of this machine are listened at, the one that others reach."""
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - the user's choice
        family, elsewhere = (socket.AF_INET6, "2001:db8::1") if host == "::" else (socket.AF_INET, "192.0.2.1")
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((elsewhere, 9))  # sends nothing: it only chooses the address to send from
                host = str(probe.getsockname()[0])
            except OSError:  # no network
                host = "::1" if host == "::" else "127.0.0.1"
    return f"[{host}]" if ":" in host else host
