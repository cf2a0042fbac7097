"""How queries and pictures get to us: over HTTP, or from the tables and files of a pack."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

import msgspec

from napari_cryoet.exceptions import FormatError, NetworkError, PortalError
from napari_cryoet.files import host_of, without_login
from napari_cryoet.records import Terms
from napari_cryoet.wording import plain

if TYPE_CHECKING:
    from napari_cryoet.packs.pack import Pack

MAX_REPLY_BYTES: Final = 200_000_000
MAX_PICTURE_BYTES: Final = 4_000_000

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """What came: the data, and under which terms it is, where the server says so."""

    data: Row
    terms: Terms | None = None


class Transport(Protocol):
    """Answers queries; may be asked from any thread."""

    def ask(self, query: str, variables: Mapping[str, Any], stop: threading.Event | None = None) -> Reply:
        """The answer to a query.

        Raises
        ------
        PortalError
            The query can't be answered.
        NetworkError
            No answer came.
        StoppedError
            ``stop`` was set.
        """
        ...


class HttpTransport:
    """Asks a GraphQL server; the HTTP client sees to retries, and to few requests at once.

    Parameters
    ----------
    url
        The endpoint.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, query: str, variables: Mapping[str, Any], stop: threading.Event | None = None) -> Reply:
        """The server's answer; see `Transport`."""
        from napari_cryoet.network import client

        payload = {"query": query, "variables": variables}
        response = client.run(client.post_json(self._url, payload, limit_bytes=MAX_REPLY_BYTES), stop)
        try:
            reply = msgspec.json.decode(response.body, type=dict[str, Any])
        except (msgspec.MsgspecError, RecursionError) as error:
            raise self._no_portal(response.status) from error
        if response.status not in {200, 206} and not reply.get("errors"):
            raise self._no_portal(response.status)
        data = _data_of(reply)
        _blank_unsafe_urls(data)
        return Reply(data, _terms_of(reply))

    def _no_portal(self, status: int) -> NetworkError:
        message = f"The server {host_of(self._url)} doesn't answer as a portal does (status {status})."
        hint = "Check the address; a sign-in page of this network may be in the way."
        return NetworkError(message, hint=hint, url=without_login(self._url), status=status)


class PackTransport:
    """Runs queries over a pack's tables; the URLs of its files become ``file://`` URLs.

    Parameters
    ----------
    pack
        An open pack.
    """

    def __init__(self, pack: Pack) -> None:
        from napari_cryoet.tables.database import Database

        self._pack = pack
        self._database = Database(pack.tables)

    def ask(self, query: str, variables: Mapping[str, Any], stop: threading.Event | None = None) -> Reply:
        """The pack's answer; see `Transport`."""
        from napari_cryoet.packs.graphql import execute
        from napari_cryoet.tables.database import Limits

        data = execute(self._database, query, variables, moved_url=self._pack.local_url, limits=Limits(stop))
        return Reply(data, self._pack.manifest.terms)


def read_picture(url: str, *, folder: Path | None = None, stop: threading.Event | None = None) -> bytes:
    """The bytes of a key photo or thumbnail.

    Parameters
    ----------
    url
        A web address; or a ``file:`` address, which is read only if it lies below ``folder``.
    folder
        The pack that is browsed; None where records come from a server, whose addresses may not lead to our disk.

    Raises
    ------
    FormatError
        If the file is too large, missing, or not ours to read.
    NetworkError
        If the server doesn't give it.
    """
    parts = urlsplit(url)
    if parts.scheme in {"http", "https"}:
        from napari_cryoet.network.client import fetch

        answer = fetch(url, limit_bytes=MAX_PICTURE_BYTES, stop=stop)
        if answer is None:
            raise FormatError(f"There is no picture at {without_login(url)}.")
        return answer.body
    path = Path(url2pathname(parts.path)).resolve()
    if parts.scheme != "file" or folder is None or not path.is_relative_to(folder.resolve()):
        raise FormatError(f"The picture's address leads neither to the web nor into the pack: {url}")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_PICTURE_BYTES + 1)
    except OSError as error:
        raise FormatError(f"The pack has no picture {path.name}.") from error
    if len(content) > MAX_PICTURE_BYTES:
        raise FormatError(f"The picture {path.name} is too large.")
    return content


def _data_of(reply: Mapping[str, Any]) -> Row:
    """The data of a reply that has no errors."""
    errors = reply.get("errors")
    if errors:
        first = errors[0] if isinstance(errors, list) else errors
        words = str(first.get("message", first) if isinstance(first, dict) else first)
        message = f"The portal couldn't answer: {plain(words[:200]).rstrip('.')}."
        raise PortalError(message, hint="Try again later.")
    data = reply.get("data")
    if not isinstance(data, dict):
        raise PortalError("The portal's answer is empty.", hint="Try again later.")
    return data


def _terms_of(reply: Mapping[str, Any]) -> Terms | None:
    """The terms that servers of packs send along."""
    extensions = reply.get("extensions")
    try:
        return msgspec.convert(extensions["terms"], Terms) if isinstance(extensions, dict) else None
    except (KeyError, msgspec.ValidationError):
        return None


def _blank_unsafe_urls(data: Any) -> None:
    """Blank, in place, the URLs that aren't web addresses: only a pack on this computer may name files on it."""
    waiting = [data]
    while waiting:
        place = waiting.pop()
        if isinstance(place, list):
            waiting.extend(place)
        elif isinstance(place, dict):
            waiting.extend(value for value in place.values() if isinstance(value, dict | list))
            for name, value in place.items():
                is_url = isinstance(value, str) and (name.startswith("https") or name.endswith("Url"))
                if is_url and not value.lower().startswith(("https://", "http://")):
                    place[name] = ""
