"""A proxy on this computer, as a classroom has: it forwards http, tunnels https (CONNECT), and may ask who one is."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import pytest

from certificates import speak_https
from napari_cryoet import http_connections

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@contextmanager
def no_proxy_named(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An environment that names no proxy; what is set in it before the first request counts."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    known = (http_connections._proxy_for, http_connections._tls_context)
    for each in known:
        each.cache_clear()
    yield
    for each in known:
        each.cache_clear()


class ForwardProxy:
    """A forward proxy whose name server knows what a test says.

    Parameters
    ----------
    hosts
        Which port of this computer stands for which host.

    Attributes
    ----------
    asked
        Method and address of all that it was asked for, in order.
    told
        What it was told of who asks, each time.
    login
        What has to be told; empty where anybody may ask.
    """

    def __init__(self, hosts: dict[str, int], *, login: str = "") -> None:
        self.hosts = hosts
        self.login = login
        self.asked: list[tuple[str, str]] = []
        self.told: list[str | None] = []

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True, name="forward-proxy")
        self._thread.start()
        self.port = self._server.server_port
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def secure(self, context: ssl.SSLContext) -> None:
        """Speak https from now on."""
        speak_https(self._server, context)


class _Handler(BaseHTTPRequestHandler):
    owner: ForwardProxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        port = self._port_for(parts.hostname)
        if port is None:
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        headers = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
        server.request(self.command, urlunsplit(parts._replace(scheme="", netloc="")), body, headers)
        answer = server.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in {"transfer-encoding", "content-length", "connection", "server", "date"}:
                self.send_header(name, value)
        self.send_header("Content-Length", answer.headers.get("Content-Length", str(len(content))))
        self.end_headers()
        self.wfile.write(content)
        server.close()

    def do_POST(self) -> None:
        self.do_GET()

    def do_CONNECT(self) -> None:
        port = self._port_for(self.path.rpartition(":")[0])
        if port is None:
            return
        self.close_connection = True
        with socket.create_connection(("127.0.0.1", port)) as server:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_pump, args=(server, self.connection), daemon=True)
            back.start()
            _pump(self.connection, server)
            back.join()

    def _port_for(self, host: str | None) -> int | None:
        """Where a host is that may be asked; None where it was answered that it may not."""
        told = self.headers.get("Proxy-Authorization")
        self.owner.asked.append((self.command, self.path))
        self.owner.told.append(told)
        status = 407 if self.owner.login and told != self.owner.login else 403 if host not in self.owner.hosts else None
        if status is None:
            return self.owner.hosts[host or ""]
        self.send_response(status)
        if status == 407:
            self.send_header("Proxy-Authenticate", 'Basic realm="classroom"')
        self.send_header("Content-Length", "0")
        self.end_headers()
        return None

    def log_message(self, *_: object) -> None:
        pass


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Hand on what comes, until no more does."""
    try:
        while piece := source.recv(2**16):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
