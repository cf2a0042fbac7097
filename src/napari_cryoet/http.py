"""The one place that talks HTTP: keep-alive, time limits, bounded retries, checked ranges, and a stop that works.

Only http and https are spoken, also after a redirect; every body has a bound; every failure is a `NetworkError` in
words for a biologist (made in `http_faults`); a stop is a `StoppedError` within a fraction of a second, even while a
name is looked up, a server is silent or a retry is waiting.
"""

from __future__ import annotations

import contextlib
import json
import platform
import random
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import urllib3

from napari_cryoet import http_faults as faults
from napari_cryoet._version import __version__
from napari_cryoet.errand import Errand, ErrandOverdueError
from napari_cryoet.exceptions import NetworkError, StoppedError
from napari_cryoet.files import host_of, without_login
from napari_cryoet.http_bodies import (
    HttpBody,
    HttpPiece,
    Part,
    announced,
    drain,
    is_encoded,
    is_of_packed_file,
    parse_json,
    read_all,
    read_piece,
)
from napari_cryoet.http_connections import Connections, watch_requests
from napari_cryoet.http_counting import Lengths, Meter, number
from napari_cryoet.http_faults import FaultError
from napari_cryoet.http_redirects import redirected
from napari_cryoet.logins import authorization_of, is_same_server
from napari_cryoet.network.policy import Policy, Receipt
from napari_cryoet.network.policy import policy as shared_policy
from napari_cryoet.shared import made_once
from napari_cryoet.stopping import raise_if_stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from urllib3.response import BaseHTTPResponse

T = TypeVar("T")

USER_AGENT = f"napari-cryoet/{__version__} (+python {platform.python_version()})"
MAX_JSON_BYTES = 64 * 2**20
MAX_GET_BYTES = 2 * 2**30

_MAX_REDIRECTS = 5
_MOST_PACKED = 10_000
_MOST_TO_CONNECT_S = 10.0  # for all addresses of a server together
_FIRST_PAUSE_S = 0.5
_MAX_PAUSE_S = 8.0
_MAX_PROMISED_BYTES = 8 * 2**20  # whoever names more means "all there is"
_MAX_RETRY_AFTER_S = 60.0  # a server that wants more is left alone, with its words


@dataclass(frozen=True, slots=True)
class HttpHead:
    """What a server says about a file without sending it."""

    size_bytes: int | None
    etag: str | None


class Http:
    """A thread-safe client with keep-alive.

    Parameters
    ----------
    timeout_s
        How long a server may be silent.
    attempts
        How often a request is sent at most; what can't get better (403, 404, a bad certificate) is sent once.
    connections
        How many connections are kept open.
    policy
        What may be sent, else a WithheldError (a NetworkError) is raised; by default that of the whole process.
    """

    def __init__(
        self, *, timeout_s: float = 30, attempts: int = 4, connections: int = 32, policy: Policy | None = None
    ) -> None:
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._connections = Connections(connections)
        self._packed: set[str] = set()  # files whose ranges are ranges of something else
        self._lengths = Lengths()
        self.policy = policy or shared_policy()

    def get(
        self,
        url: str,
        *,
        start: int | None = None,
        length: int | None = None,
        stop: threading.Event | None = None,
        max_bytes: int | None = None,
    ) -> bytes:
        """Read a file, or a part of it; see `get_piece`."""
        return self.get_piece(url, start=start, length=length, stop=stop, max_bytes=max_bytes).content

    def get_piece(
        self,
        url: str,
        *,
        start: int | None = None,
        length: int | None = None,
        version: str | None = None,
        stop: threading.Event | None = None,
        max_bytes: int | None = None,
        came: Callable[[int], None] | None = None,
    ) -> HttpPiece:
        """Read a file, or a part of it, and what the server says of the whole.

        Parameters
        ----------
        url
            An http or https address.
        start
            First byte; negative counts from the end; None reads the whole file.
        length
            How many bytes, fewer only where the file ends; None reads to the end.
        version
            What an earlier piece said; a file that is another one by now is an error with the status 412.
        stop
            Set by whoever no longer wants the bytes.
        max_bytes
            More than this is refused.
        came
            Told on another thread, piece by piece, how many bytes have come, also of what isn't wanted or comes anew.

        Raises
        ------
        NetworkError
            With the HTTP status, or None where there was no answer.
        StoppedError
            When ``stop`` is set.
        """
        if length == 0:
            return HttpPiece(b"", version, None)
        bound = min(length or MAX_GET_BYTES, MAX_GET_BYTES if max_bytes is None else max_bytes)
        part = None if start is None else Part(start, length)
        piece = self._get_part(url, part, bound, version, stop, may_be_packed=bool(start), came=came)
        return self._checked_end(url, piece, start or 0, stop) if piece.may_go_on else piece

    def _get_part(
        self,
        url: str,
        part: Part | None,
        bound: int,
        version: str | None,
        stop: threading.Event | None,
        *,
        may_be_packed: bool,
        came: Callable[[int], None] | None = None,
    ) -> HttpPiece:
        """See `get_piece`; what lies beyond the end of a file that ``may_be_packed`` may be in its content."""
        headers, length = {"Accept-Encoding": "identity"}, (part and part.length) or 0
        if part is not None and url not in self._packed:
            headers["Range"] = part.header

        def read(errand: Errand[HttpPiece]) -> HttpPiece:
            try:
                with self._respond("GET", url, headers, errand, receipt=receipt) as response:
                    self._note_packing(url, response)
                    if not (is_of_packed_file(response, part) and headers.pop("Range", "")):
                        receipt.expect(announced(response, part))
                        meter = Meter(response, receipt, errand.beat, came)
                        with self._lengths.learned((url, part), meter):
                            return read_piece(url, response, part, bound, meter, version=version)
            except FaultError as fault:
                is_beyond = fault.error.status == faults.BEYOND_END_STATUS and may_be_packed
                if not (is_beyond and "Range" in headers and self._is_packed(url, errand, receipt)):
                    raise
                del headers["Range"]
            return read(errand)  # without the range

        with self.policy.request(length if length <= _MAX_PROMISED_BYTES else 0) as receipt:
            return self._retry(lambda: self.attempt(url, read, stop), stop)

    def _note_packing(self, url: str, response: BaseHTTPResponse) -> None:
        """Remember whether a file is stored compressed: ranges of it are of no use, or beyond its end."""
        if not is_encoded(response):
            self._packed.discard(url)
        elif response.status == 206:
            if len(self._packed) >= _MOST_PACKED:
                self._packed.clear()
            self._packed.add(url)

    def _is_packed(self, url: str, errand: Errand[Any], receipt: Receipt) -> bool:
        """Ask whether a file is stored compressed, as one may be whose ranges end before its content does."""
        begin = {"Accept-Encoding": "identity", "Range": "bytes=0-0"}
        with self._respond("GET", url, begin, errand, receipt=receipt) as response:
            self._note_packing(url, response)
        return url in self._packed

    def _checked_end(self, url: str, piece: HttpPiece, start: int, stop: threading.Event | None) -> HttpPiece:
        """A piece that ends where its file does: nothing comes after it."""
        end = start + len(piece.content)
        try:
            self._get_part(url, Part(end, 1), 1, piece.version, stop, may_be_packed=False)
        except NetworkError as error:
            if error.status != faults.BEYOND_END_STATUS:
                raise
            return replace(piece, total_bytes=end)
        raise faults.wrong_part(url).error

    def head(self, url: str, *, stop: threading.Event | None = None) -> HttpHead:
        """Ask for the size and version of a file."""

        def ask(errand: Errand[HttpHead]) -> HttpHead:
            with self._respond("HEAD", url, {"Accept-Encoding": "identity"}, errand, receipt=receipt) as response:
                response.read()  # nothing, but it hands the connection back
                return HttpHead(number(response.headers.get("Content-Length")), response.headers.get("ETag"))

        with self.policy.request() as receipt:
            return self._retry(lambda: self.attempt(url, ask, stop), stop)

    @contextlib.contextmanager
    def open(
        self,
        url: str,
        *,
        start: int = 0,
        etag: str | None = None,
        size_bytes: int = 0,
        stop: threading.Event | None = None,
    ) -> Iterator[HttpBody]:
        """Read a file piece by piece from ``start`` on; with ``etag``, only if it is still that version.

        Look at ``body.start``: it is 0 where the server can't or won't start in the middle. ``size_bytes`` is what
        others say of the file, for a server that doesn't say it, nor could go on where no more may come.
        """
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = Part(start).header
            if etag:
                headers["If-Range"] = etag

        def begin(errand: Errand[BaseHTTPResponse]) -> BaseHTTPResponse:
            return self._request("GET", url, headers, errand)

        with self.policy.request():
            response = self._retry(lambda: self.attempt(url, begin, stop, discard=lambda late: late.close()), stop)
        try:
            body = HttpBody(url, response, self, stop)
            if body.status == 206 and body.start != start:
                raise faults.wrong_part(url)
        except FaultError as error:
            response.close()
            raise error.error from error
        has_restarted = bool(start) and body.start == 0 and body.etag == etag  # so it can't go on
        can_go_on, least_bytes = body.can_go_on and not has_restarted, max(size_bytes, start if has_restarted else 0)
        tallied = self._lengths.tallied(url, response, self.policy, can_go_on=can_go_on, least_bytes=least_bytes)
        try:
            with tallied as body.tally:
                yield body
        finally:
            body.close()

    def post_json(
        self, url: str, body: Mapping[str, Any], *, stop: threading.Event | None = None, max_bytes: int = MAX_JSON_BYTES
    ) -> Any:
        """Send JSON and read the JSON answer; safe to repeat, so it is retried."""
        content = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "gzip"}

        def ask(errand: Errand[Any]) -> Any:
            with self._respond("POST", url, headers, errand, content, receipt=receipt) as response:
                receipt.expect(announced(response, None))
                answer = read_all(url, response, max_bytes, Meter(response, receipt, errand.beat))
            return parse_json(url, answer, response.status)

        with self.policy.request() as receipt:
            return self._retry(lambda: self.attempt(url, ask, stop, is_of_file=False), stop)

    def warm_up(self) -> None:
        """Do now what the first request would wait for: reading certificate authorities takes a tenth of a second."""
        self._connections.pool_for("https://localhost")

    def close(self) -> None:
        """Close the idle connections."""
        self._connections.close()

    def attempt(
        self,
        url: str,
        work: Callable[[Errand[T]], T],
        stop: threading.Event | None,
        *,
        discard: Callable[[T], None] | None = None,
        is_of_file: bool = True,
    ) -> T:
        """Do one blocking thing on another thread: its result, or FaultError, or StoppedError on ``stop``."""
        raise_if_stopped(stop)
        try:
            return Errand(work, discard=discard).wait(stop, self._timeout_s)
        except ErrandOverdueError as error:
            raise faults.timed_out(url, self._timeout_s, is_of_file=is_of_file) from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise faults.from_error(url, error, self._timeout_s, is_of_file=is_of_file) from error

    def _retry(self, attempt: Callable[[], T], stop: threading.Event | None) -> T:
        made = 0
        while True:
            made += 1
            self.policy.require()  # it may have been turned off during the pause
            try:
                return attempt()
            except FaultError as fault:
                is_last = made > fault.retries or made >= self._attempts
                if is_last or (fault.retry_after_s or 0) > _MAX_RETRY_AFTER_S:
                    raise fault.error from fault.__cause__
                fault.attempt = made
                pause_s = _pause_s(fault)
            if (stop or threading.Event()).wait(pause_s):
                raise StoppedError

    @contextlib.contextmanager
    def _respond(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        errand: Errand[Any],
        body: bytes | None = None,
        *,
        receipt: Receipt,
    ) -> Iterator[BaseHTTPResponse]:
        """A successful response; its connection is kept if the body was read to its end, else closed."""
        response = self._request(method, url, headers, errand, body)
        try:
            yield response
        finally:
            receipt.add(response.tell())
            errand.abort_with(_leave_alone)  # the connection may be somebody else's from now on
            response.close() if response.connection is not None else response.release_conn()

    def _request(
        self, method: str, url: str, headers: Mapping[str, str], errand: Errand[Any], body: bytes | None = None
    ) -> BaseHTTPResponse:
        """Send a request and follow its redirects; FaultError for any status that isn't success."""
        login = {"Authorization": authorization_of(url)} if authorization_of(url) else {}
        watch_requests(errand)
        target = without_login(url)
        for _ in range(_MAX_REDIRECTS + 1):
            told = login if is_same_server(url, target) else {}
            response = self._connections.pool_for(target).request(
                method,
                target,
                headers={"User-Agent": USER_AGENT, **headers, **told},
                body=body,
                redirect=False,
                retries=False,
                preload_content=False,
                timeout=urllib3.Timeout(connect=min(_MOST_TO_CONNECT_S, self._timeout_s), read=self._timeout_s),
            )
            try:
                errand.beat()
                if response.status < 300:
                    return response
                content = drain(response)
                errand.abort_with(_leave_alone)
                target = redirected(target, response, method, content)
            except BaseException:
                response.close()
                raise
        raise faults.fault(url, f"The server {host_of(url)} sends us round in circles.")


@made_once
def shared_http() -> Http:
    """The client that all parts of the program share, so that they share its connections."""
    return Http()


def backoff_s(attempt: int) -> float:
    """How long to wait after the n-th failure: doubling up to a ceiling, with jitter so that clients spread out."""
    ceiling = min(_MAX_PAUSE_S, _FIRST_PAUSE_S * 2 ** (attempt - 1))
    return random.uniform(ceiling / 2, ceiling)  # noqa: S311 - jitter, no secret


def _pause_s(fault: FaultError) -> float:
    """How long to wait before the next attempt: what the server asked for, else a back-off."""
    if fault.retry_after_s is not None:
        return fault.retry_after_s + backoff_s(1)
    return backoff_s(fault.attempt)


def _leave_alone() -> None:
    """What to do with a connection that isn't ours any more."""
