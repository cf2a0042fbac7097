"""A loopback file server with ranges that counts, waits and refuses as it is told."""

from __future__ import annotations

import hashlib
import re
import ssl
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import unquote

from certificates import speak_https


class StreamServer:
    """Serves a folder over HTTP/1.1.

    Attributes
    ----------
    requests
        Path and Range header of every GET so far.
    bytes_sent
        Content sent so far.
    statuses
        Paths that are answered with a status instead; a pattern that is searched in the path.
    gate
        Cleared, it holds every answer until it is set again.
    latency_s
        How long every answer waits.
    tells_versions
        Whether answers have an ETag.
    tells_sums
        Whether that is a sum of the content, as on S3, beside the time of change.
    ahead_s
        How much its clock is ahead.
    before_answer
        Called with path and Range header before every answer.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[tuple[str, str | None]] = []
        self.bytes_sent = 0
        self.statuses: dict[str, int] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.latency_s = 0.0
        self.tells_versions, self.tells_sums = True, False
        self.ahead_s = 0.0
        self.before_answer: Callable[[str, str | None], None] = lambda _path, _wanted: None
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True, name="stream-server")
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def secure(self, context: ssl.SSLContext) -> None:
        """Speak https from now on."""
        speak_https(self._server, context)

    def begin(self, path: str, wanted: str | None) -> None:
        with self._lock:
            self.requests.append((path, wanted))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)

    def end(self, size: int) -> None:
        with self._lock:
            self._at_once -= 1
            self.bytes_sent += size

    @property
    def is_answering(self) -> bool:
        """Whether a request has come that is not answered yet."""
        return self._at_once > 0

    def status_of(self, path: str) -> int | None:
        return next((status for pattern, status in self.statuses.items() if re.search(pattern, path)), None)


class _Handler(BaseHTTPRequestHandler):
    owner: StreamServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        owner = self.owner
        wanted = self.headers.get("Range")
        owner.begin(self.path, wanted)
        body = b""
        try:
            if owner.latency_s:
                threading.Event().wait(owner.latency_s)
            owner.gate.wait(100)  # nearly as long as a test may take
            owner.before_answer(self.path, wanted)
            status, body, span = self._answer(wanted)
        finally:
            owner.end(len(body))  # before it is sent: whoever has got it may count at once
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if span:
                self.send_header("Content-Range", span)
            if owner.tells_versions and status < 300:
                self.send_header("ETag", self._etag())
            if owner.tells_sums and status < 300:
                self.send_header("Last-Modified", formatdate(self._file().stat().st_mtime, usegmt=True))
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:
            self.close_connection = True

    def _answer(self, wanted: str | None) -> tuple[int, bytes, str]:
        status = self.owner.status_of(self.path)
        if status is not None:
            return status, b"", ""
        file = self._file()
        if not file.is_file():
            return 404, b"", ""
        size = file.stat().st_size
        if wanted is None:
            return 200, file.read_bytes(), ""
        first_text, _, last_text = wanted.removeprefix("bytes=").partition("-")
        first = int(first_text) if first_text else max(0, size - int(last_text))
        last = min(int(last_text), size - 1) if first_text and last_text else size - 1
        if first >= size:
            return 416, b"", f"bytes */{size}"
        with file.open("rb") as stream:
            stream.seek(first)
            return 206, stream.read(last - first + 1), f"bytes {first}-{last}/{size}"

    def _file(self) -> Path:
        return self.owner.folder / unquote(self.path.partition("?")[0]).lstrip("/")

    def _etag(self) -> str:
        if self.owner.tells_sums:
            return f'"{hashlib.sha256(self._file().read_bytes()).hexdigest()}"'
        about = self._file().stat()
        return f'"{about.st_mtime_ns}-{about.st_ino}-{about.st_size}"'

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string((timestamp or time.time()) + self.owner.ahead_s)

    def log_message(self, *_: object) -> None:
        pass
