"""One HTTP connection to a served pack: takes requests apart, finds who answers, and writes the replies."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote

from napari_cryoet._version import __version__
from napari_cryoet.exceptions import PackError
from napari_cryoet.packs.files import answer, file_below
from napari_cryoet.packs.resolve import execute
from napari_cryoet.packs.s3 import ListingError, error_xml, listing_xml

if TYPE_CHECKING:
    from napari_cryoet.packs.serve import _Server

logger = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 4 << 20
IDLE_TIMEOUT_S: Final = 60.0
_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,255}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")
_CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Length, Content-Range, ETag, Last-Modified",
}
_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, OPTIONS",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Max-Age": "86400",
}


class PackHandler(BaseHTTPRequestHandler):
    """Answers the requests of one connection, one after another."""

    protocol_version = "HTTP/1.1"
    server_version = f"napari-cryoet/{__version__}"
    sys_version = ""
    timeout = IDLE_TIMEOUT_S
    disable_nagle_algorithm = True  # or the head of a reply waits 40 ms for its body
    server: _Server

    def do_GET(self) -> None:
        """Send a file, or a listing."""
        path, _, query = self.path.partition("?")
        match path.split("/", 2)[1:]:
            case ["files", rest]:
                self._send_file(file_below(self.server.bucket.root, unquote(rest)))
            case ["s3", rest]:
                self._answer_s3(rest, query)
            case ["graphql"]:
                self._send_json(HTTPStatus.METHOD_NOT_ALLOWED, {"error": "Please POST queries."}, {"Allow": "POST"})
            case _:
                self._send_json(HTTPStatus.NOT_FOUND, {"error": "There is nothing here."})

    do_HEAD = do_GET  # noqa: N815  # the base class's way of naming

    def do_OPTIONS(self) -> None:
        """Allow a browser all that is here."""
        self._send(HTTPStatus.NO_CONTENT, b"", _PREFLIGHT)

    def do_POST(self) -> None:
        """Answer a GraphQL query."""
        if self.path.partition("?")[0].rstrip("/") != "/graphql":
            self.close_connection = True  # the body is left unread
            self._send_json(HTTPStatus.NOT_FOUND, {"error": "There is nothing here."})
            return
        body = self._body()
        if body is None:
            return
        request = _graphql_request(body)
        if request is None:
            words = "A request is a JSON object with a query, and variables if need be."
            self._send_json(HTTPStatus.BAD_REQUEST, {"error": words})
            return
        try:
            result = execute(self.server.database(self._base_url()), *request).formatted
        except PackError as error:
            logger.error("a query met a damaged pack: %s", error)
            result = {"data": None, "errors": [{"message": str(error)}]}
        self._send_json(HTTPStatus.OK, result)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Log requests quietly."""
        logger.debug(format, *args)

    def _answer_s3(self, rest: str, query: str) -> None:
        bucket = self.server.bucket
        name, _, key = rest.partition("/")
        if unquote(name) != bucket.name:
            self._send_xml(HTTPStatus.NOT_FOUND, error_xml("NoSuchBucket", f"The only bucket is {bucket.name}."))
            return
        if key:
            path = bucket.file(unquote(key))
            self._send_file(path, otherwise=error_xml("NoSuchKey", "There is no such key."))
            return
        parameters = {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}
        if self.command != "HEAD" and parameters.get("list-type") != "2":
            self._send_xml(HTTPStatus.NOT_IMPLEMENTED, error_xml("NotImplemented", "Only ListObjectsV2 is here."))
            return
        try:
            self._send_xml(HTTPStatus.OK, listing_xml(bucket, parameters))
        except ListingError as error:
            self._send_xml(HTTPStatus.BAD_REQUEST, error_xml("InvalidArgument", str(error)))

    def _send_file(self, path: Path | None, *, otherwise: str | None = None) -> None:
        try:
            file = path.open("rb") if path else None
        except OSError:
            file = None
        if path is None or file is None:
            if otherwise is None:
                self._send_json(HTTPStatus.NOT_FOUND, {"error": "There is no such file."})
            else:
                self._send_xml(HTTPStatus.NOT_FOUND, otherwise)
            return
        with file:
            found = answer(path, os.fstat(file.fileno()), {name.lower(): value for name, value in self.headers.items()})
            self._send_head(found.status, found.length, found.headers)
            if self.command != "HEAD" and found.length:
                file.seek(found.start)
                sent = self.connection.sendfile(file, found.start, found.length)
                self.close_connection |= sent != found.length  # the file shrank: the client must not wait for more

    def _body(self) -> bytes | None:
        """The request's body; None where it was refused, and that has been said."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            self._send_json(HTTPStatus.LENGTH_REQUIRED, {"error": "The request doesn't say how long it is."})
            return None
        if len(length) > 12 or int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            words = f"A request may have {MAX_BODY_BYTES} bytes at most."
            self._send_json(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": words})
            return None
        return self.rfile.read(int(length))

    def _base_url(self) -> str:
        """What URLs have to begin with to lead back here, for whoever asks: the host that the request was sent to."""
        host = self.headers.get("Host", "")
        if not _HOST.fullmatch(host):
            name = str(self.server.server_address[0])
            host = f"[{name}]:{self.server.server_port}" if ":" in name else f"{name}:{self.server.server_port}"
        return f"http://{host}/"

    def _send_json(self, status: HTTPStatus, content: Any, headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        self._send(status, body, {"Content-Type": "application/json", **(headers or {})})

    def _send_xml(self, status: HTTPStatus, content: str) -> None:
        self._send(status, content.encode(), {"Content-Type": "application/xml"})

    def _send(self, status: HTTPStatus, body: bytes, headers: Mapping[str, str]) -> None:
        self._send_head(status, len(body), headers)
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_head(self, status: HTTPStatus, length: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, **_CORS, "X-Content-Type-Options": "nosniff"}.items():
            self.send_header(name, value)
        if status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            self.send_header("Content-Length", str(length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()


def _graphql_request(body: bytes) -> tuple[str, dict[str, Any], str | None] | None:
    """Query, variables and operation name; None where the body isn't a request."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    query, variables, name = content.get("query"), content.get("variables") or {}, content.get("operationName")
    if not isinstance(query, str) or not isinstance(variables, dict) or not (name is None or isinstance(name, str)):
        return None
    return query, variables, name
