"""Serves a pack over HTTP as the portal does: GraphQL, files with ranges, and the S3 listing of its bucket.

::

    POST /graphql                    {"query", "variables", "operationName"}; errors with status 200, as the portal's
    GET, HEAD /files/10000/...       bytes of a file, whole or a range
    GET, HEAD /s3/BUCKET[/KEY]       ListObjectsV2, or bytes of a file; BOTO_ENDPOINT_URL for the official client

URLs in the rows of a reply lead to the host and port that the request came to, so they work from other machines and
through forwarded ports too. The server is the standard library's, a thread a connection: answers are computed in
Python or copied by the kernel, so an event loop would gain nothing, and nothing has to be installed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import socketserver
import sys
import threading
from collections import OrderedDict
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Any, Final, Self

from napari_cryoet.exceptions import NetworkError
from napari_cryoet.packs.database import Database
from napari_cryoet.packs.handler import PackHandler
from napari_cryoet.packs.pack import Pack, open_pack
from napari_cryoet.packs.resolve import executable_schema
from napari_cryoet.packs.s3 import Bucket
from napari_cryoet.packs.urls import moved_urls

logger = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 256
MAX_DATABASES: Final = 4
CLOSE_TIMEOUT_S: Final = 5.0


class PackServer:
    """A pack that is being served, until `close`. Use `serve_pack` to make one.

    Parameters
    ----------
    pack
        What to serve.
    host, port
        Where; port 0 takes a free one.

    Raises
    ------
    NetworkError
        The address can't be had.
    """

    def __init__(self, pack: Pack, host: str, port: int) -> None:
        self.pack = pack
        executable_schema()  # so that the first request doesn't wait for it
        try:
            self._server = _Server(pack, host, port)
        except OSError as error:
            raise NetworkError(f"{host}, port {port}, can't be served from: {error.strerror or error}.") from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="pack server", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that was taken."""
        return int(self._server.server_address[1])

    @property
    def base_url(self) -> str:
        """What all of its URLs begin with, up to and with the slash."""
        host = str(self._server.server_address[0])
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # where it listens everywhere
        return f"http://[{host}]:{self.port}/" if ":" in host else f"http://{host}:{self.port}/"

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
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(CLOSE_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve_pack(folder: Path | str, host: str = "127.0.0.1", port: int = 0) -> PackServer:
    """Serve a pack in threads of this process.

    Parameters
    ----------
    folder
        The pack.
    host
        The address to listen at; by default this machine alone can connect.
    port
        The port, or 0 for a free one.

    Raises
    ------
    PackError
        The folder isn't a pack.
    NetworkError
        The address can't be had.
    """
    return PackServer(open_pack(folder), host, port)


def serve_until_signalled(
    folder: Path | str, host: str = "127.0.0.1", port: int = 0, *, output: IO[str] | None = None
) -> signal.Signals:
    """Serve a pack until SIGINT or SIGTERM; what the command line does. To be called from the main thread.

    When ready, prints one line of JSON: ``{"graphql": URL, "files": URL, "s3": URL}``.

    Returns
    -------
    signal.Signals
        What ended it.

    Raises
    ------
    PackError
        The folder isn't a pack.
    NetworkError
        The address can't be had.
    """
    output = output or sys.stdout
    signalled = threading.Event()
    ending = signal.SIGTERM

    def on_signal(number: int, _frame: FrameType | None) -> None:
        nonlocal ending
        ending = signal.Signals(number)
        signalled.set()

    handlers = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with serve_pack(folder, host, port) as server:
            urls = {"graphql": server.graphql_url, "files": server.files_url, "s3": server.s3_url}
            print(json.dumps(urls), file=output, flush=True)
            while not signalled.wait(0.5):  # a wait without end would keep signals from Python on Windows
                pass
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return ending


class _Server(ThreadingHTTPServer):
    """Knows its connections, so that it can end them."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    allow_reuse_address = os.name != "nt"  # on Windows it would let another program take over the port

    def __init__(self, pack: Pack, host: str, port: int) -> None:
        self.pack = pack
        s3_prefix = pack.manifest.s3_prefix.removeprefix("s3://")
        name, _, key_prefix = s3_prefix.partition("/")
        self.bucket = Bucket(name, key_prefix, pack.files.resolve())
        self._databases: OrderedDict[str, Database] = OrderedDict()
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), PackHandler)

    def server_bind(self) -> None:
        """Bind without asking the name service for this machine's name, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def database(self, base_url: str) -> Database:
        """The pack's tables, with URLs that begin with ``base_url``; those of the last few bases are kept."""
        with self._lock:
            database = self._databases.pop(base_url, None)
            if database is None:
                database = Database(self.pack, moved_urls(self.pack, f"{base_url}files/"))
            self._databases[base_url] = database
            while len(self._databases) > MAX_DATABASES:
                self._databases.popitem(last=False)
            return database

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection a thread of its own, unless there are too many."""
        with self._lock:
            if len(self._connections) >= MAX_CONNECTIONS:
                self.shutdown_request(request)
                return
            thread = threading.Thread(
                target=self._serve_connection, args=(request, client_address), name="pack connection", daemon=True
            )
            self._connections[thread] = request
        try:
            thread.start()
        except RuntimeError:  # the system has no more to give
            with self._lock:
                self._connections.pop(thread)
            self.shutdown_request(request)

    def server_close(self) -> None:
        """Close the listening socket, cut what is still connected, and wait for the threads."""
        super().server_close()
        with self._lock:
            connections = dict(self._connections)
        for request in connections.values():
            with contextlib.suppress(OSError):  # it ended by itself
                request.shutdown(socket.SHUT_RDWR)
        for thread in connections:
            thread.join(CLOSE_TIMEOUT_S)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  # the base class's
        """Log what a connection died of; a client that went away is nothing to speak of."""
        error = sys.exc_info()[1]
        level = logging.DEBUG if isinstance(error, ConnectionError | TimeoutError) else logging.ERROR
        logger.log(level, "connection of %s failed", client_address, exc_info=error)

    def _serve_connection(self, request: Any, client_address: Any) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._connections.pop(threading.current_thread(), None)
