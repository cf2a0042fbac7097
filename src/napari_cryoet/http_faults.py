"""What goes wrong between us and a server, in words for a biologist, and whether trying again can help."""

from __future__ import annotations

import errno
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import IntEnum
from typing import TYPE_CHECKING

import urllib3.exceptions as u3

from napari_cryoet.errand import NO_THREADS_HINT, NoThreadError
from napari_cryoet.exceptions import CHANGED_HINT, NetworkError, NoPartsError
from napari_cryoet.files import file_of, host_of, server_of, without_login
from napari_cryoet.http_dialling import DialError, GreetingTimeoutError

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANGED_STATUS = 412
BEYOND_END_STATUS = 416
ALWAYS, ONCE, NEVER = 1_000, 1, 0  # how often a fault may be tried again; the number of attempts bounds it too

_RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_NO_NETWORK_ERRNOS = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})
_NO_WAY_ERRNOS = _NO_NETWORK_ERRNOS | {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}  # as where there is no IPv6 at all
_MOST_NAMED = 4
_LATER = "Try again later."
_CHECK_NETWORK = "Check the internet connection, then try again."
_CHECK_PROXY = "Check the proxy settings."
_NAME_PROXY = "Name one as in https_proxy=http://proxy:8080."
_NAME_OWN_LOGIN = "Name a user and a password that it knows in the address, as in https://user:password@files.org."
_NAME_LOGIN = "Name them in the proxy's address, as in https_proxy=http://user:password@proxy:8080."


class _Unmet(IntEnum):
    """Why an address couldn't be connected to; what tells more about the server is greater."""

    NO_WAY = 0
    ODD = 1
    SILENT = 2
    REFUSED = 3


_SAID = {  # of one address among others, or of some
    _Unmet.NO_WAY: "led nowhere",
    _Unmet.ODD: "couldn't be connected to",
    _Unmet.SILENT: "didn't answer in time",
    _Unmet.REFUSED: "refused the connection",
}
_HINTS = {
    _Unmet.NO_WAY: _CHECK_NETWORK,
    _Unmet.ODD: _LATER,
    _Unmet.SILENT: "The network may be slow; try again.",
    _Unmet.REFUSED: "It may be down; try again later.",
}


@dataclass(eq=False)
class FaultError(Exception):
    """One failed attempt: the error that the caller would see, and what the retry loop needs to know."""

    error: NetworkError
    retries: int = NEVER
    retry_after_s: float | None = None
    attempt: int = 1


def _file(url: str, otherwise: str = "A file") -> str:
    """What to call the file of a URL; otherwise what it is, where its path is empty."""
    return file_of(url) or otherwise


def fault(url: str, message: str, hint: str = _LATER, *, status: int | None = None, retries: int = NEVER) -> FaultError:
    """Make a fault about one URL."""
    return FaultError(NetworkError(message, hint=hint, url=without_login(url), status=status), retries)


def not_an_address(url: str) -> FaultError:
    """What should be an http or https address is something else."""
    return fault(url, f"{server_of(url)!r} isn't a web address.", "Check the address.")


def unusable_proxy(url: str) -> FaultError:
    """The system names a proxy whose address is none, or that is of another kind than those that are used here."""
    return fault(url, "This network's proxy can't be used: it is no http or https proxy.", _NAME_PROXY)


def timed_out(url: str, timeout_s: float, *, is_of_file: bool = True) -> FaultError:
    """No answer, or no more of it, came in time."""
    asked_for = f" when asked for {file_of(url)}" if is_of_file and file_of(url) else ""
    message = f"The server {host_of(url)} didn't answer within {timeout_s:g} seconds{asked_for}."
    return fault(url, message, "The network may be slow; try again.", retries=ONCE)


def broken_off(url: str, *, is_of_file: bool = True) -> FaultError:
    """The connection ended before the answer did."""
    what = _file(url, "its answer") if is_of_file else "its answer"
    message = f"The server {host_of(url)} broke off in the middle of {what}."
    return fault(url, message, "The network may be unstable; try again.", retries=ALWAYS)


def wrong_part(url: str) -> FaultError:
    """Bytes came, but not those that were asked for."""
    message = f"The server {host_of(url)} sent another part of {_file(url, 'a file')} than the one asked for."
    return fault(url, message, status=206, retries=ONCE)


def no_parts(url: str, status: int, *, packing: str, total_bytes: int | None = None) -> FaultError:
    """A part can't be had: the server sends only whole files, or the file is stored packed as a whole."""
    message = f"The server {host_of(url)} can't send parts of a file, as of {_file(url, 'this one')}."
    if packing:
        stored = f"stored compressed as a whole ({packing[:20]!r})"
        message = f"{_file(url)} on {host_of(url)} is {stored}, so that this part of it can't be read."
    error = NoPartsError(
        message,
        hint="Download the whole file instead.",
        url=without_login(url),
        status=status,
        total_bytes=None if packing else total_bytes,
    )
    return FaultError(error, ONCE if packing else NEVER)


def changed(url: str) -> FaultError:
    """The file isn't any more the version that was asked for; the status is the one that HTTP has for this."""
    message = f"{_file(url)} on {host_of(url)} changed while it was read."
    return fault(url, message, CHANGED_HINT, status=CHANGED_STATUS)


def too_large(url: str, max_bytes: int) -> FaultError:
    """The answer is longer than anything that is expected here."""
    size = f"larger than the {max_bytes:,} bytes that are expected here"
    return fault(url, f"{_file(url, 'The answer')} on {host_of(url)} is {size}.", "")


def unknown_encoding(url: str) -> FaultError:
    """A body came compressed, though nobody asked for that, and in a way that can't be undone."""
    message = f"The server {host_of(url)} sent {_file(url, 'its answer')} in a compression that isn't known here."
    return fault(url, message, retries=ONCE)


def is_web_page(start: bytes) -> bool:
    """Whether a body that starts like this is HTML."""
    return start[:512].lstrip().lower().startswith((b"<!doctype html", b"<html", b"<!--"))


def web_page(url: str, status: int, *, is_of_file: bool = True) -> FaultError:
    """A page for people came with a status that promises data."""
    what = _file(url, "data") if is_of_file else "data"
    hint = "A sign-in page of this network may be in the way: open any web page in a browser, then try again."
    return fault(url, f"A web page came from {host_of(url)} instead of {what}.", hint, status=status)


def not_json(url: str, body: bytes, status: int) -> FaultError:
    """An answer that should be JSON is something else."""
    if is_web_page(body):
        return web_page(url, status, is_of_file=False)  # often it is a question's address, which names no file
    return fault(url, f"The answer of {host_of(url)} can't be read: it isn't JSON.", status=status, retries=ONCE)


def from_status(
    url: str, status: int, retry_after: str | None = None, content: bytes = b"", *, is_of_file: bool = True
) -> FaultError:
    """A status other than success, and what came with it; names the file, where one was asked for."""
    host, file = host_of(url), _file(url, "this") if is_of_file else "this"
    with_file, for_file, not_file = "", "", ""
    if file != "this":
        with_file, for_file, not_file = f" with {file}", f" for {file}", f", and didn't send {file}"
    match status:
        case 401 | 403:
            message = f"The server {host} doesn't allow access to {file} (status {status})."
            hint = _NAME_OWN_LOGIN if status == 401 else ""
        case 407:
            message, hint = "This network's proxy asks for a user and a password (status 407).", _NAME_LOGIN
        case 404 | 410:
            message, hint = f"The server {host} doesn't have {file} (status {status}).", ""
        case 412:
            message, hint = f"{_file(url)} on {host} changed while it was read (status 412).", CHANGED_HINT
        case 416:
            message, hint = f"{_file(url)} on {host} is shorter than expected (status 416).", ""
        case 429:
            message, hint = (
                f"The server {host} got too many requests at once (status 429){not_file}.",
                "Wait a minute, try again.",
            )
        case _ if status >= 500:
            message, hint = f"The server {host} has a problem of its own{with_file} (status {status}).", _LATER
        case _ if 300 <= status < 400:
            message, hint = (
                f"The server {host} points somewhere else{for_file} in a way that can't be followed ({status}).",
                "",
            )
        case _:
            message, hint = f"The server {host} didn't understand the request{for_file} (status {status}).", ""
    result = fault(url, message, hint, status=status, retries=ALWAYS if status in _RETRIED_STATUSES else NEVER)
    result.retry_after_s = _seconds(retry_after)
    del content  # not told any more
    return result


def from_error(url: str, error: BaseException, timeout_s: float, *, is_of_file: bool = True) -> FaultError:
    """Any error that urllib3 or the sockets below it raise; names the file, where one was asked for."""
    causes = tuple(_causes(error))
    is_of_proxy = any(isinstance(cause, u3.ProxyError) for cause in causes)
    if (dialled := next((cause for cause in causes if isinstance(cause, DialError)), None)) is not None:
        return _not_connected(url, dialled, is_of_proxy=is_of_proxy)
    if any(isinstance(cause, OSError) and cause.errno in _NO_NETWORK_ERRNOS for cause in causes):
        return fault(url, f"The server {host_of(url)} can't be reached: no network?", _CHECK_NETWORK, retries=ONCE)
    if is_of_proxy:
        return _of_proxy(url, " ".join(str(cause) for cause in causes))
    for types, message, hint, retries in _TELLING_ERRORS:
        if any(isinstance(cause, types) for cause in causes):
            file = _file(url, "The answer") if is_of_file else "The answer"
            return fault(url, message.format(host=host_of(url), file=file), hint, retries=retries)
    if any(isinstance(cause, u3.LocationValueError | UnicodeError) for cause in causes):
        return not_an_address(url)
    is_late = any(isinstance(cause, u3.TimeoutError | TimeoutError) for cause in causes)
    limits_s = (cause.timeout_s for cause in causes if isinstance(cause, GreetingTimeoutError))
    limit_s = next(limits_s, timeout_s)
    return timed_out(url, limit_s, is_of_file=is_of_file) if is_late else broken_off(url, is_of_file=is_of_file)


def _not_connected(url: str, dialled: DialError, *, is_of_proxy: bool) -> FaultError:
    """No address of the server, or of the proxy before it, could be connected to; says which were tried."""
    kinds: dict[_Unmet, list[str]] = {}
    for address, error in dialled.tried:
        kinds.setdefault(_kind_of(error), []).append(address)
    if len(kinds) > 1:
        listed, why = "", ", ".join(f"{_listed(addresses)} {_SAID[kind]}" for kind, addresses in kinds.items())
    else:
        listed, why = _listed([address for address, _error in dialled.tried]), _why(dialled)
    said = why if why.endswith("?") else f"{why}."
    if is_of_proxy:
        place = dialled.host + (f" ({listed})" if listed not in ("", dialled.host) else "")
        return fault(url, f"This network's proxy can't be reached at {place}: {said}", _CHECK_PROXY, retries=ONCE)
    place = f" at {listed}" if listed not in ("", host_of(url)) else ""
    hint = _HINTS[max(kinds, default=_Unmet.NO_WAY)]
    return fault(url, f"The server {host_of(url)} can't be reached{place}: {said}", hint, retries=ONCE)


def _kind_of(error: OSError | None) -> _Unmet:
    if error is None or isinstance(error, TimeoutError):
        return _Unmet.SILENT
    if isinstance(error, ConnectionRefusedError):
        return _Unmet.REFUSED
    return _Unmet.NO_WAY if error.errno in _NO_WAY_ERRNOS else _Unmet.ODD


def _why(dialled: DialError) -> str:
    """What was wrong with each address."""
    error = dialled.tried[0][1] if dialled.tried else OSError(errno.ENETUNREACH, "")
    match _kind_of(error):
        case _Unmet.SILENT:
            return "no answer" if dialled.timeout_s is None else f"no answer within {dialled.timeout_s:g} seconds"
        case _Unmet.REFUSED:
            return "it refuses connections"
        case _Unmet.NO_WAY:
            return "no network?"
    return f"{error}"


def _listed(addresses: list[str]) -> str:
    """Addresses as a sentence lists them, not endlessly."""
    named = addresses if len(addresses) <= _MOST_NAMED else [*addresses[:_MOST_NAMED], "others"]
    return " and ".join(part for part in (", ".join(named[:-1]), *named[-1:]) if part)


def _of_proxy(url: str, said: str) -> FaultError:
    """The proxy can't be reached, or it makes no tunnel to a server."""
    if "Tunnel connection failed: 407" in said:
        return from_status(url, 407)
    if "Tunnel connection failed" in said:
        return fault(url, f"This network's proxy doesn't let us reach {host_of(url)}.", _CHECK_PROXY)
    return fault(url, "This network's proxy can't be reached.", _CHECK_PROXY, retries=ONCE)


_TELLING_ERRORS: tuple[tuple[tuple[type[BaseException], ...], str, str, int], ...] = (
    (
        (NoThreadError,),
        "No thread can be started to ask {host} with.",
        NO_THREADS_HINT,
        ONCE,
    ),
    (
        (ssl.SSLError, u3.SSLError),
        "No secure connection to {host} could be made.",
        "Check the computer's date; a filter or proxy of this network may be in the way.",
        NEVER,
    ),
    (
        (u3.NameResolutionError, socket.gaierror),
        "The server {host} can't be found: no network?",
        _CHECK_NETWORK,
        ONCE,
    ),
    (
        (u3.DecodeError,),
        "{file} came damaged from {host}: it can't be decompressed.",
        _LATER,
        ONCE,
    ),
)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error with everything that caused it, however urllib3 wrapped it."""
    queue, seen = [error], set[int]()
    while queue:
        current = queue.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        wrapped = (current.__cause__, current.__context__, getattr(current, "reason", None), *current.args)
        queue.extend(each for each in wrapped if isinstance(each, BaseException))


def _seconds(retry_after: str | None) -> float | None:
    """The Retry-After header, which is a number of seconds or a date, in seconds from now."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
