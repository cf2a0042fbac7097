"""Reads the bodies of HTTP answers, whole or in pieces: bounded, parts only as asked for, JSON only if it is JSON."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import urllib3

from napari_cryoet import http_faults as faults
from napari_cryoet.exceptions import StoppedError, WithheldError
from napari_cryoet.http_counting import Beat, Meter, Tally, number
from napari_cryoet.http_dates import changed_at
from napari_cryoet.http_faults import FaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from urllib3.response import BaseHTTPResponse

    from napari_cryoet.errand import Errand
    from napari_cryoet.exceptions import CryoETError
    from napari_cryoet.network.policy import Policy

PIECE_BYTES = 2**16  # a body that brings less than this on average within the time limit counts as silent

_CHUNK_BYTES = 2**20
_CHUNK_S = 0.25
_KNOWN_ENCODINGS = frozenset(urllib3.response.HTTPResponse.CONTENT_DECODERS)
_MAX_SKIP_BYTES = 4 * 2**20  # as much is read in vain from a server that ignores ranges, and no more
_MAX_UNPACKED_BYTES = 16 * 2**20  # as much is unpacked in vain of a file that is stored compressed
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII | re.IGNORECASE)  # RFC 9110, 14.1


@dataclass(frozen=True, slots=True)
class Part:
    """The part of a file that is wanted: from ``start`` (negative: from the end), ``length`` bytes or the rest."""

    start: int
    length: int | None = None

    @property
    def header(self) -> str:
        """The value of the Range header."""
        if self.start < 0:
            return f"bytes={self.start}"
        return f"bytes={self.start}-" if self.length is None else f"bytes={self.start}-{self.start + self.length - 1}"


@dataclass(frozen=True, slots=True)
class HttpPiece:
    """A file or a part of it.

    Attributes
    ----------
    content
        The bytes.
    version
        The file's ETag, else when it was changed and its size; None where the server says neither.
    total_bytes
        Size of the whole file, where it is known.
    may_go_on
        Whether it is shorter than was asked for, and the server doesn't say whether the file ends there.
    changed_at
        When the file was changed, in seconds since 1970; None where the server doesn't say.
    is_cut
        Whether it was cut out of the whole file: the server sends no parts.
    """

    content: bytes
    version: str | None
    total_bytes: int | None
    may_go_on: bool = False
    changed_at: float | None = None
    is_cut: bool = False


class Gatherer:
    """Takes a body in by chunks: up to 1 MiB, or what came in a quarter of a second; all that came before an error.

    Whoever gathers on another thread takes nothing: it may be that nobody waits for that thread any more.
    """

    def __init__(self, response: BaseHTTPResponse, tally: Tally) -> None:
        self._pieces, self._tally = _pieces_of(response), tally
        self._gathered: list[bytes] = []
        self._lock = threading.Lock()
        self._error: Exception | None = None

    def gather(self, beat: Beat) -> None:
        """Wait for the next chunk, which is to be taken; nothing comes at the end."""
        if self._error is not None:
            raise self._error
        began, size = time.monotonic(), 0
        try:
            for piece in self._pieces:
                self._gathered.append(piece)
                size += len(piece)
                self._tally.note(len(piece))
                beat()
                if size >= _CHUNK_BYTES or time.monotonic() - began > _CHUNK_S:
                    break
        except (urllib3.exceptions.HTTPError, OSError, WithheldError) as error:
            if not size:
                raise
            self._error = error

    def take(self) -> bytes:
        """What came since it was last taken; also for whoever leaves while more is gathered."""
        with self._lock:
            gathered, self._gathered = self._gathered, []
        return b"".join(gathered)


class Client(Protocol):
    """See `napari_cryoet.http.Http`."""

    policy: Policy

    def attempt(
        self,
        url: str,
        work: Callable[[Errand[None]], None],
        stop: threading.Event | None,
        *,
        discard: Callable[[None], None] | None = None,
    ) -> None:
        """Do one blocking thing on another thread."""


class HttpBody:
    """A body that is read piece by piece.

    Attributes
    ----------
    status
        200, or 206 where the server starts at the wanted byte.
    start
        The position of the first byte in the file: 0 where the server ignored or declined the wanted start.
    total_bytes
        Size of the whole file, where the server says it.
    etag
        The version of the file, where the server says it.
    tally
        Told how much comes, so that it ends where no more may.
    """

    tally: Tally

    def __init__(self, url: str, response: BaseHTTPResponse, http: Client, stop: threading.Event | None) -> None:
        self.status = response.status
        self.start, self.total_bytes = span_of(url, response)
        self.etag = response.headers.get("ETag")
        self._url, self._response, self._http, self._stop = url, response, http, stop
        self._is_left = False
        self._error: CryoETError | None = None

    @property
    def can_go_on(self) -> bool:
        """Whether its server may send the rest of it later, and say that it is of the same version."""
        is_of_version = bool(self.etag) and not (self.etag or "").startswith("W/")  # RFC 9110, 13.1.5
        has_parts = self.status == 206 or self._response.headers.get("Accept-Ranges", "").lower() != "none"
        return is_of_version and has_parts and not is_encoded(self._response)

    def chunks(self) -> Iterator[bytes]:
        """The body in order, up to 1 MiB at a time; NetworkError where it ends early, after what came.

        StoppedError, and WithheldError where more comes than may, also come after what came.
        """
        pieces = Gatherer(self._response, self.tally)
        position = self.start
        while chunk := self._next(pieces):
            position += len(chunk)
            yield chunk
        if self.total_bytes is not None and position != self.total_bytes:
            raise faults.broken_off(self._url).error

    def _next(self, pieces: Gatherer) -> bytes:
        if self._error is not None:
            raise self._error
        self._http.policy.require()

        def gather(errand: Errand[None]) -> None:
            errand.abort_with(self._hang_up)
            try:
                pieces.gather(errand.beat)
            except BaseException:
                self._response.close()
                raise

        try:
            self._http.attempt(self._url, gather, self._stop, discard=lambda _: self._response.close())
        except (StoppedError, FaultError) as error:
            self._is_left = True
            self._error = error.error if isinstance(error, FaultError) else error
            if came := pieces.take():
                return came
            raise self._error from None
        return pieces.take()

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError, ValueError, RuntimeError):  # it may have ended by itself meanwhile
            self._response.shutdown()

    def close(self) -> None:
        """Give the connection up; a reader that is still blocked in it closes it when it wakes."""
        if not self._is_left:
            self._response.close()


def read_piece(
    url: str,
    response: BaseHTTPResponse,
    part: Part | None,
    max_bytes: int,
    meter: Meter,
    *,
    version: str | None = None,
) -> HttpPiece:
    """The whole body or a part of it, if the file is the wanted version; no body is read of another one."""
    if response.status not in {200, 206}:
        raise faults.from_status(url, response.status)
    first, total = span_of(url, response)
    found, changed = _version(response, total), changed_at(response)  # by its clock, which is compared with ours now
    if version is not None and found != version:
        is_page = response.headers.get("Content-Type", "").lower().startswith("text/html")
        raise faults.web_page(url, response.status) if is_page else faults.changed(url)
    if part is not None:
        content = read_part(url, response, part, max_bytes, meter)
        may_go_on = response.status == 206 and total is None and len(content) < (part.length or 0)
        is_cut = response.status == 200 and total is not None and len(content) < total
        return HttpPiece(content, found, total, may_go_on, changed, is_cut)
    content = read_all(url, response, max_bytes, meter)
    if response.status == 206 and (first, total) != (0, len(content)):
        raise faults.wrong_part(url)
    if response.status == 200 and faults.is_web_page(content):
        raise faults.web_page(url, response.status)
    return HttpPiece(content, found, len(content), changed_at=changed)


def read_all(url: str, response: BaseHTTPResponse, max_bytes: int, meter: Meter) -> bytes:
    """The whole body, if it isn't longer than ``max_bytes``."""
    announced = number(response.headers.get("Content-Length"))
    if announced is not None and announced > max_bytes:
        raise faults.too_large(url, max_bytes)
    step = PIECE_BYTES if announced is None or is_encoded(response) else min(_CHUNK_BYTES, max(announced, 1))
    n_steps = -(-step // PIECE_BYTES)
    meter.beat(n_steps)
    pieces, size = [], 0
    for piece in _pieces_of(response, step):
        meter.beat(n_steps)
        meter.note(len(piece))
        size += len(piece)
        if size > max_bytes:
            raise faults.too_large(url, max_bytes)
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def read_part(url: str, response: BaseHTTPResponse, part: Part, max_bytes: int, meter: Meter) -> bytes:
    """Exactly the wanted bytes, from a partial answer that is checked or from a whole one that is cut.

    Fewer come where the file ends, and where it isn't said how long the file is.
    """
    if response.status != 206:
        return _cut(url, response, part, max_bytes, meter)
    first, last, total = _content_range(url, response)
    body = read_all(url, response, max_bytes, meter)
    if first == 0 and faults.is_web_page(body):
        raise faults.web_page(url, response.status)
    reaches_end = last + 1 == total
    if part.start < 0:
        is_right = reaches_end and len(body) == min(-part.start, total or 0)
    elif part.length is None:
        is_right = first == part.start and (reaches_end or total is None)
    else:
        is_complete = len(body) == part.length or ((reaches_end or total is None) and 0 < len(body) < part.length)
        is_right = first == part.start and is_complete
    if not is_right or len(body) != last - first + 1:  # which tells of a body without a length, too
        raise faults.wrong_part(url)
    return body


def announced(response: BaseHTTPResponse, part: Part | None) -> int:
    """How much is to come, as far as it is said; of a whole file in place of a part, all before that is read, too."""
    size_bytes = number(response.headers.get("Content-Length")) or 0
    if part is None or response.status == 206 or part.start < 0 or part.length is None:
        return size_bytes
    return min(size_bytes, part.start + part.length)


def is_of_packed_file(response: BaseHTTPResponse, part: Part | None) -> bool:
    """Whether a part came of a file that is stored compressed, so that its content must be had from its start on."""
    is_near = part is not None and 0 <= part.start <= _MAX_UNPACKED_BYTES
    return is_near and response.status == 206 and is_encoded(response)


def drain(response: BaseHTTPResponse) -> bytes:
    """Read the short body of an error or redirect, so that its connection can be used again."""
    size = number(response.headers.get("Content-Length"))
    is_in_chunks = response.headers.get("Transfer-Encoding", "").lower() == "chunked"
    is_short = is_in_chunks if size is None else size <= PIECE_BYTES
    content = response.read(PIECE_BYTES) if is_short else b""
    if response.connection is not None:  # there is more
        response.close()
    return content


def span_of(url: str, response: BaseHTTPResponse) -> tuple[int, int | None]:
    """Where a body begins in its file, and how long the whole file is.

    FaultError where the headers contradict each other, or name a compression that can't be undone here.
    """
    if is_encoded(response) and not _encodings(response) <= _KNOWN_ENCODINGS:
        raise faults.unknown_encoding(url)  # urllib3 would hand it out as it is
    if response.status != 206:
        return 0, None if is_encoded(response) else number(response.headers.get("Content-Length"))
    first, _, total = _content_range(url, response)
    return first, total


def _content_range(url: str, response: BaseHTTPResponse) -> tuple[int, int, int | None]:
    """The first and the last byte that a partial answer says it has, and how long the whole file is."""
    length = number(response.headers.get("Content-Length"))
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if is_encoded(response):
        raise faults.no_parts(url, response.status, packing=response.headers["Content-Encoding"])
    if found is None:
        raise faults.wrong_part(url)
    first, last = int(found[1]), int(found[2])
    total = None if found[3] == "*" else int(found[3])
    if last < first or (total is not None and last >= total) or length not in {None, last - first + 1}:
        raise faults.wrong_part(url)
    return first, last, total


def parse_json(url: str, body: bytes, status: int) -> Any:
    """The JSON value that a body holds; FaultError for anything else, NaN and endless nesting included."""
    try:
        return json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise faults.not_json(url, body, status) from error


def _version(response: BaseHTTPResponse, total_bytes: int | None) -> str | None:
    """What tells this version of a file from others."""
    etag, changed_at = response.headers.get("ETag"), response.headers.get("Last-Modified")
    return etag or (f"{changed_at} {total_bytes}" if changed_at else None)


def is_encoded(response: BaseHTTPResponse) -> bool:
    """Whether a body came compressed, so that its length isn't that of its content."""
    return bool(_encodings(response))


def _encodings(response: BaseHTTPResponse) -> set[str]:
    """What was done to the body on its way; labels that some stores keep though it was undone don't count."""
    words = response.headers.get("Content-Encoding", "").lower().split(",")
    return {word.strip() for word in words} - {"", "identity", "utf-8", "aws-chunked"}


def _cut(url: str, response: BaseHTTPResponse, part: Part, max_bytes: int, meter: Meter) -> bytes:
    """The wanted part of a whole body, without reading much more than that."""
    total = span_of(url, response)[1]
    start = part.start if part.start >= 0 or total is None else max(0, total + part.start)
    packing = response.headers["Content-Encoding"] if is_encoded(response) else ""
    if not 0 <= start <= (_MAX_UNPACKED_BYTES if packing else _MAX_SKIP_BYTES):
        raise faults.no_parts(url, response.status, packing=packing, total_bytes=total)
    end = start + (max_bytes if part.length is None else part.length)
    pieces, position = [], 0
    for piece in _pieces_of(response):
        meter.beat()
        meter.note(len(piece))
        if position == 0 and faults.is_web_page(piece):
            raise faults.web_page(url, response.status)
        pieces.append(piece[max(0, start - position) : max(0, end - position)])
        position += len(piece)
        if position >= end and part.length is not None:
            break
        if position > end:
            raise faults.too_large(url, max_bytes)
    if position <= start and part.start >= 0:
        raise faults.from_status(url, 416)
    return b"".join(pieces)


def _pieces_of(response: BaseHTTPResponse, piece_bytes: int = PIECE_BYTES) -> Iterator[bytes]:
    """The body in pieces; what isn't compressed is spared the detour through a decompressor's buffers."""
    return response.stream(piece_bytes, decode_content="Content-Encoding" in response.headers)


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} isn't JSON")
