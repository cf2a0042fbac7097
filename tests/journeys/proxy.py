"""A server before a served pack that counts questions and, if told to, fails in turn in five ways."""

from __future__ import annotations

import http.client
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

FAULTS_OF_A_KIND = 3
RETRY_AFTER_S = 1
STALL_S = 1.0


class Proxy(ThreadingHTTPServer):
    """Passes requests on, once for each request a fault before that.

    Attributes
    ----------
    questions
        How many GraphQL queries were answered.
    faults
        How often it went wrong in which way.
    held
        Requests for paths with this in them are answered only at the end.
    is_holding
        Set once there is such a request.
    """

    def __init__(self, pack_url: str, *, is_faulty: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pack_url, self.url = pack_url, f"http://127.0.0.1:{self.server_port}"
        self.questions = 0
        self.faults: Counter[str] = Counter()
        self.held: str | None = None
        self.is_holding = threading.Event()
        self.end = threading.Event()
        self._lock = threading.Lock()
        self._failed: set[object] = set()
        kinds = (_server_error, _hang_up, _break_off, _too_many_requests, _stall)
        self._kinds = itertools.cycle(kinds if is_faulty else ())

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up as they like."""

    @property
    def all_faults(self) -> int:
        """How many faults there are in all."""
        return 5 * FAULTS_OF_A_KIND

    def fault_for(self, request: object) -> Callable[[_Handler], None] | None:
        with self._lock:
            if request in self._failed or self.faults.total() == self.all_faults:
                return None
            self._failed.add(request)
            fault = next(self._kinds, None)
            if fault is not None:
                self.faults[fault.__name__] += 1
            return fault


@contextmanager
def proxied(pack_url: str, *, is_faulty: bool = False) -> Iterator[Proxy]:
    """Serve on a thread until the end of the block."""
    with Proxy(pack_url, is_faulty=is_faulty) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield proxy
        proxy.end.set()
        proxy.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def do_GET(self) -> None:
        if self.server.held is not None and self.server.held in self.path:
            self.server.is_holding.set()
            self.server.end.wait()
        if self.server.end.is_set():  # a kept connection outlives the server
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if fault := self.server.fault_for((self.command, self.path, self.headers["Range"], body)):
            self.close_connection = True
            fault(self)
            return
        status, headers, content = self._ask_pack(body)
        if self.path.startswith("/graphql"):
            self.server.questions += 1
            content = content.replace(self.server.pack_url.encode(), self.server.url.encode())
            headers["Content-Length"] = str(len(content))
        self.send(status, content, headers)

    do_POST = do_HEAD = do_GET  # noqa: N815 - the base class's names

    def send(self, status: int, content: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": "0"} if headers is None else headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass

    def _ask_pack(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(urlsplit(self.server.pack_url).netloc, timeout=60)
        passed_on = {"content-type", "range", "if-match", "if-none-match", "if-range", "accept"}
        headers = {name: value for name, value in self.headers.items() if name.lower() in passed_on}
        connection.request(self.command, self.path, body or None, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        own = {"connection", "date", "server", "transfer-encoding"}
        return (
            answer.status,
            {name.title(): value for name, value in answer.getheaders() if name.lower() not in own},
            content,
        )


def _server_error(handler: _Handler) -> None:
    handler.send(500)


def _hang_up(_handler: _Handler) -> None:
    pass


def _break_off(handler: _Handler) -> None:
    handler.send(200, b'{"data": {', {"Content-Length": "1000"})


def _too_many_requests(handler: _Handler) -> None:
    handler.send(429, headers={"Content-Length": "0", "Retry-After": str(RETRY_AFTER_S)})


def _stall(handler: _Handler) -> None:
    handler.server.end.wait(STALL_S)
