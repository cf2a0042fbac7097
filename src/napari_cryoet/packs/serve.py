"""Serves a pack over HTTP as the portal does: GraphQL, files with ranges, and the S3 listing of its bucket.

::

    POST /graphql                    {"query", "variables", "operationName"}; errors with status 200, as the portal's
    GET, HEAD /files/10000/...       bytes of a file, whole or a range
    GET, HEAD /s3/BUCKET[/KEY]       ListObjectsV2, or bytes of a file; BOTO_ENDPOINT_URL for the official client

Web pages can't read a pack: there are no CORS headers unless an origin is named, and requests for another host than the
ones served are refused, so that no page can give its own name to this computer.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote
from xml.sax.saxutils import escape

import msgspec

from napari_cryoet.exceptions import CryoETError, NetworkError, PackError
from napari_cryoet.packs.graphql import execute
from napari_cryoet.packs.pack import Pack, is_safe, open_pack
from napari_cryoet.tables.database import Database

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.middleware import Middleware
    from starlette.middleware.cors import CORSMiddleware
    from starlette.requests import Request
    from starlette.responses import FileResponse, PlainTextResponse, Response
    from starlette.routing import Route
    from starlette.types import ASGIApp, Receive, Scope, Send
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ImportError as error:
    raise CryoETError(
        "Serving a pack needs starlette and uvicorn.", hint="Run: pip install 'napari-cryoet[serve]'"
    ) from error

MAX_BODY_BYTES: Final = 4 << 20
MAX_CONNECTIONS_A_CLIENT: Final = 64
MAX_KEYS: Final = 1000
IDLE_S: Final = 60.0

_STOP_S: Final = 5.0
_OWN_NAMES: Final = ("localhost", socket.gethostname(), f"{socket.gethostname()}.local")
_HOST: Final = re.compile(r"([A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(:\d{1,5})?")
_XML: Final = '<?xml version="1.0" encoding="UTF-8"?>'
_NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
_CONTENT_TYPES: Final[Mapping[str, str]] = {
    **dict.fromkeys((".json", ".zattrs", ".zarray", ".zgroup", ".zmetadata"), "application/json"),
    ".ndjson": "application/x-ndjson",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".csv": "text/csv; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}


class PackServer:
    """A pack that is being served, until `close`; see `serve_pack`."""

    def __init__(self, pack: Pack, host: str, port: int, names: Sequence[str], cors: Sequence[str]) -> None:
        self.pack = pack
        self._host = _outward_address(host)
        self._socket = _listening_socket(host, port)
        self.port = int(self._socket.getsockname()[1])
        config = uvicorn.Config(
            _application(pack, {self._host, *_OWN_NAMES, *names}, cors),
            http=_Connection,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            server_header=False,
            timeout_keep_alive=int(IDLE_S),
        )
        self._server = uvicorn.Server(config)
        run = partial(self._server.run, [self._socket])
        self._thread = threading.Thread(target=run, name="pack server", daemon=True)
        self._thread.start()

    @property
    def base_url(self) -> str:
        """What all of its URLs begin with, up to and with the slash; other machines can use it, if they may connect."""
        return f"http://[{self._host}]:{self.port}/" if ":" in self._host else f"http://{self._host}:{self.port}/"

    @property
    def graphql_url(self) -> str:
        """Where queries go."""
        return f"{self.base_url}graphql"

    @property
    def files_url(self) -> str:
        """What the URLs of files begin with."""
        return f"{self.base_url}files/"

    @property
    def s3_url(self) -> str:
        """The endpoint for S3 clients."""
        return f"{self.base_url}s3"

    def close(self) -> None:
        """Stop: no new connections, the open ones cut, no thread left. A second call does nothing."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(_STOP_S)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve_pack(
    folder: Path | str,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    names: Sequence[str] = (),
    cors: Sequence[str] = (),
) -> PackServer:
    """Serve a pack in a thread of this process.

    Parameters
    ----------
    folder
        The pack.
    host
        The address to listen at; by default this machine alone can connect.
    port
        The port, or 0 for a free one.
    names
        Further names of this computer under which clients may ask, such as the one that a router gives it.
    cors
        Origins whose web pages may read, such as ``https://neuroglancer-demo.appspot.com``; none by default.

    Raises
    ------
    PackError
        The folder isn't a pack.
    NetworkError
        The address can't be had.
    """
    return PackServer(open_pack(folder), host, port, names, cors)


def serve_until_signalled(folder: Path | str, *args: Any, **options: Any) -> signal.Signals:
    """Serve a pack as `serve_pack` does until SIGINT or SIGTERM, and give that; for the main thread of a program.

    When ready, prints one line of JSON: ``{"graphql": URL, "files": URL, "s3": URL}``.
    """
    received: list[signal.Signals] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: received.append(signal.Signals(number)))
    with serve_pack(folder, *args, **options) as server:
        urls = {"graphql": server.graphql_url, "files": server.files_url, "s3": server.s3_url}
        sys.stdout.write(json.dumps(urls) + "\n")
        sys.stdout.flush()
        while not received:
            time.sleep(0.1)
    return received[0]


class _Connection(H11Protocol):
    """A connection that is refused where its client has many, and cut where nothing comes for long."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        clients = [each.client[0] for each in self.connections if isinstance(each, _Connection) and each.client]
        if self.client is not None and clients.count(self.client[0]) > MAX_CONNECTIONS_A_CLIENT:
            transport.abort()
        self._heard_at = self.loop.time()
        self._watch()

    def data_received(self, data: bytes) -> None:
        self._heard_at = self.loop.time()
        super().data_received(data)

    def _watch(self) -> None:
        """Cut a connection on which a request was begun and not finished."""
        is_answering = bool(self.cycle) and not self.cycle.response_complete  # the first one comes with a request
        if not is_answering and self.loop.time() - self._heard_at >= IDLE_S:
            self.transport.abort()
        elif not self.transport.is_closing():
            self.loop.call_later(IDLE_S / 4, self._watch)


class _OwnHostsOnly:
    """Refuses requests for another host: a web page could point its own name at this computer, and then read."""

    def __init__(self, app: ASGIApp, names: set[str]) -> None:
        self._app, self._names = app, {name.lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        host = Request(scope).headers.get("host", "")
        found = _HOST.fullmatch(host)
        own_address = (scope.get("server") or ("",))[0]  # of this computer, as this client reaches it
        if found is None or found[1].lower().strip("[]") not in {*self._names, own_address}:
            await PlainTextResponse(f"Nothing is served for the host {host[:100]!r}.", 421)(scope, receive, send)
            return
        await self._app(scope, receive, send)


class _Handlers:
    """Answers requests for one pack."""

    def __init__(self, pack: Pack) -> None:
        self._pack = pack
        self._database = Database(pack.tables)
        self._root = pack.files.resolve()
        self._bucket, _, self._key_prefix = pack.manifest.s3_prefix.removeprefix("s3://").partition("/")
        self._extensions = {"terms": pack.manifest.terms}

    async def graphql(self, request: Request) -> Response:
        """Answer a query."""
        body = await _body(request)
        if body is None:
            return PlainTextResponse(f"A request may have {MAX_BODY_BYTES} bytes at most, and has to come soon.", 413)
        try:
            asked = msgspec.json.decode(body, type=_Query)
        except (msgspec.MsgspecError, RecursionError):
            words = "A request is a JSON object with a query, and variables if need be."
            return _json({"errors": [{"message": words}]}, 400)
        files_url = f"http://{request.headers['host']}/files/"  # the host was checked
        reply = await run_in_threadpool(self._answer, asked, files_url)
        return _json(reply | {"extensions": self._extensions})

    def file(self, request: Request) -> Response:
        """Send a file."""
        path = _file_below(self._root, request.path_params["path"])
        return _file_answer(path, request) if path else PlainTextResponse("There is no such file.", 404)

    def s3(self, request: Request) -> Response:
        """Send a listing, or a file."""
        if request.path_params["bucket"] != self._bucket:
            return _s3_error(404, "NoSuchBucket", f"The only bucket is {self._bucket}.")
        if key := request.path_params.get("key", ""):
            path = _file_below(self._root, key.removeprefix(self._key_prefix))
            if path is None or not key.startswith(self._key_prefix):
                return _s3_error(404, "NoSuchKey", "There is no such key.")
            return _file_answer(path, request)
        if request.method != "HEAD" and request.query_params.get("list-type") != "2":
            return _s3_error(501, "NotImplemented", "Only ListObjectsV2 is here.")
        try:
            return Response(self._listing(request.query_params), media_type="application/xml")
        except ValueError as error:
            return _s3_error(400, "InvalidArgument", str(error))

    def _answer(self, asked: _Query, files_url: str) -> dict[str, Any]:
        def moved_url(url: str) -> str:
            return self._pack.moved_url(url, files_url)

        try:
            return execute(self._database, asked.query, asked.variables, asked.operation_name, moved_url=moved_url)
        except PackError as error:
            return {"data": None, "errors": [{"message": str(error)}]}

    def _listing(self, query: Mapping[str, str]) -> str:
        """The reply to ``ListObjectsV2``: keys in the order of their bytes."""
        prefix, delimiter, encoding = (query.get(name, "") for name in ("prefix", "delimiter", "encoding-type"))
        if delimiter not in ("", "/"):
            raise ValueError("Only / is understood as a delimiter.")
        limit = min(int(query.get("max-keys") or MAX_KEYS), MAX_KEYS)
        token = query.get("continuation-token")
        after = query.get("start-after", "") if token is None else _key_of(token)
        entries = [entry for entry in self._entries(prefix, delimiter) if entry.encode() > after.encode()]
        shown, is_truncated = entries[:limit], len(entries) > limit

        def spelled(text: str) -> str:
            return escape(quote(text, safe="/") if encoding == "url" else text)

        head = {
            "Name": escape(self._bucket),
            "Prefix": spelled(prefix),
            "MaxKeys": limit,
            "KeyCount": len(shown),
            "IsTruncated": str(is_truncated).lower(),
        }
        if encoding:
            head["EncodingType"] = "url"
        if is_truncated and shown:
            head["NextContinuationToken"] = base64.urlsafe_b64encode(shown[-1].encode()).decode()
        lines = [f"<{name}>{value}</{name}>" for name, value in head.items()]
        lines += [self._entry_xml(entry, spelled(entry)) for entry in shown]
        return f'{_XML}<ListBucketResult xmlns="{_NAMESPACE}">{"".join(lines)}</ListBucketResult>'

    def _entries(self, prefix: str, delimiter: str) -> list[str]:
        """The keys that begin with a prefix; with a delimiter, those that go on beyond a slash as one prefix."""
        keys = sorted((key for key in self._keys(prefix) if key.startswith(prefix)), key=str.encode)
        if delimiter:
            cut = (key.find("/", len(prefix)) + 1 for key in keys)
            keys = list(dict.fromkeys(key[:end] if end else key for key, end in zip(keys, cut, strict=True)))
        return keys

    def _keys(self, prefix: str) -> Iterator[str]:
        """The keys in the folder that a prefix names, and below."""
        folder = prefix.removeprefix(self._key_prefix).rpartition("/")[0] if prefix.startswith(self._key_prefix) else ""
        if not is_safe(folder):
            return
        for place, _, names in os.walk(self._root / folder):
            for name in names:
                path = Path(place, name)
                if path.is_file() and path.resolve().is_relative_to(self._root) and _is_text(name):
                    yield self._key_prefix + path.relative_to(self._root).as_posix()

    def _entry_xml(self, entry: str, spelled: str) -> str:
        if entry.endswith("/"):
            return f"<CommonPrefixes><Prefix>{spelled}</Prefix></CommonPrefixes>"
        status = (self._root / entry.removeprefix(self._key_prefix)).stat()
        modified = datetime.fromtimestamp(status.st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return (
            f"<Contents><Key>{spelled}</Key><LastModified>{modified}</LastModified><ETag>{escape(_etag(status))}</ETag>"
            f"<Size>{status.st_size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        )


class PackFile(FileResponse):
    """A file, in chunks that are worth the way to a thread."""

    chunk_size = 1 << 20


class _Query(msgspec.Struct, rename="camel"):
    """A GraphQL request."""

    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None


def _application(pack: Pack, names: set[str], cors: Sequence[str]) -> Starlette:
    handlers = _Handlers(pack)
    routes = [
        Route("/graphql", handlers.graphql, methods=["POST"]),
        Route("/files/{path:path}", handlers.file),
        Route("/s3/{bucket}", handlers.s3),
        Route("/s3/{bucket}/{key:path}", handlers.s3),
    ]
    middleware = [Middleware(_OwnHostsOnly, names=names)]
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


async def _body(request: Request) -> bytes | None:
    """The body of a request; None where it is too long or too slow."""
    parts, size = [], 0
    try:
        async with asyncio.timeout(IDLE_S):
            async for part in request.stream():
                parts.append(part)
                size += len(part)
                if size > MAX_BODY_BYTES:
                    return None
    except TimeoutError:
        return None
    return b"".join(parts)


def _json(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def _s3_error(status: int, code: str, message: str) -> Response:
    text = f"{_XML}<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    return Response(text, status, media_type="application/xml")


def _file_below(root: Path, relative: str) -> Path | None:
    """The plain file at a path below a folder, links resolved; None where there is none that may be read."""
    if not relative or relative.endswith("/") or not is_safe(relative):
        return None
    try:
        path = (root / relative).resolve(strict=True)
        return path if path.is_relative_to(root) and path.is_file() else None
    except (OSError, RuntimeError, ValueError):  # nothing there, a loop of links, a name that can't be
        return None


def _file_answer(path: Path, request: Request) -> Response:
    """A file or the range of it that was asked for, if it is the wanted version and not known already."""
    try:
        status = path.stat()
    except OSError:
        return PlainTextResponse("There is no such file.", 404)
    headers = {"ETag": _etag(status), "X-Content-Type-Options": "nosniff"}
    if (wanted := request.headers.get("if-match")) and not _names(wanted, headers["ETag"]):
        return Response(status_code=412, headers=headers)
    if (known := request.headers.get("if-none-match")) and _names(known, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    media_type = _CONTENT_TYPES.get(path.suffix or path.name, "application/octet-stream")
    return PackFile(path, headers=headers, media_type=media_type, stat_result=status)


def _etag(status: os.stat_result) -> str:
    """What tells versions of a file apart: when it last changed, and its size."""
    return f'"{status.st_mtime_ns:x}-{status.st_size:x}"'


def _names(header: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return "*" in tags or etag in tags


def _is_text(name: str) -> bool:
    return name.isascii() or not any("\ud800" <= character <= "\udfff" for character in name)


def _key_of(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise ValueError("The continuation token is not one of this server.") from error


def _listening_socket(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        words = getattr(error, "strerror", None) or error
        raise NetworkError(f"{host}, port {port}, can't be served from: {words}.") from error


def _outward_address(host: str) -> str:
    """An address under which other machines reach this one, where it listens at all of its addresses."""
    if host not in {"0.0.0.0", "::"}:  # noqa: S104 - the user's choice
        return host
    family, elsewhere = (socket.AF_INET6, "2001:db8::1") if host == "::" else (socket.AF_INET, "192.0.2.1")
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((elsewhere, 9))  # sends nothing: it only chooses the address to send from
            return str(probe.getsockname()[0])
        except OSError:  # no network
            return "::1" if host == "::" else "127.0.0.1"
