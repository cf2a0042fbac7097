"""The sources of answers: a GraphQL server, the tables of a pack, or the cache on disk."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import msgspec

from napari_cryoet.exceptions import FormatError, NetworkError, PackError, PortalError, SaveError
from napari_cryoet.files import cache_path, replace_file, written_whole
from napari_cryoet.locations import Location, host_of, is_web_address, without_login
from napari_cryoet.portal.answers import PortalAnswer
from napari_cryoet.portal.queries import known_part
from napari_cryoet.records import CHANGED_HINT, Terms
from napari_cryoet.tables.database import Database, Limits, tables
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.wording import brief

if TYPE_CHECKING:
    from graphql import GraphQLSchema, IntrospectionQuery

    from napari_cryoet.packs.pack import Pack

MAX_REPLY_BYTES: Final = 200_000_000
MAX_PICTURE_BYTES: Final = 4_000_000
MAX_CACHE_BYTES: Final = 200_000_000
_CACHE_VERSION: Final = 3
_LARGE_PACK_BYTES: Final = 20_000_000  # of tables; smaller ones are parsed in half a second

Variables: TypeAlias = Mapping[str, Any]
Ask: TypeAlias = Callable[[str, Variables, Task], PortalAnswer]
"""Answers a query, on any thread. Raises PortalError, NetworkError if there is no answer, StoppedError if stopped."""


class _Error(msgspec.Struct):
    message: str = "it gave no reason"


class _Extensions(msgspec.Struct):
    terms: Terms | None = None  # sent by servers of packs


class _Reply(msgspec.Struct):
    data: dict[str, Any] | None = None
    errors: list[_Error] | None = None
    extensions: _Extensions | None = None


def ask_server(url: str, query: str, variables: Variables, task: Task = UNWATCHED) -> PortalAnswer:
    """Ask a GraphQL server; the HTTP client retries and limits concurrent requests."""
    from napari_cryoet.network import client

    payload = {"query": query, "variables": variables}
    asked = client.post_json(url, payload, limit_bytes=MAX_REPLY_BYTES)
    response = client.run(asked, task, server=client.server_of(url))
    try:
        reply = msgspec.json.decode(response.body, type=_Reply)
    except (msgspec.MsgspecError, RecursionError):
        reply = _Reply()
    for error in reply.errors or ():  # data beside it lacks what failed
        message = f"The portal couldn't answer: {brief(error.message).rstrip('.')}."
        raise PortalError(message, hint=CHANGED_HINT)
    if reply.data is None:
        message = (
            f"The server {host_of(url)} doesn't answer like a portal (status {response.status})."
        )
        hint = "Check the address; a sign-in page of this network may be in the way."
        raise NetworkError(message, hint=hint, url=without_login(url), status=response.status)
    _blank_unsafe_urls(reply.data)
    return PortalAnswer(reply.data, reply.extensions.terms if reply.extensions else None)


class ServerAsker:
    """Asks a GraphQL server, without the optional fields that it doesn't know.

    After the first error it requests the server's schema, once.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._schema: GraphQLSchema | None = None
        self._lock = threading.Lock()

    def __call__(self, query: str, variables: Variables, task: Task = UNWATCHED) -> PortalAnswer:
        """Answer a query; see `Ask`."""
        schema = self._schema
        known = query if schema is None else known_part(query, schema)
        try:
            return ask_server(self._url, known, variables, task) if known else PortalAnswer({})
        except PortalError:
            if schema is not None:
                raise
            smaller = known_part(query, self._read_schema(task))
            if smaller == query:
                raise
        return self(query, variables, task)

    def _read_schema(self, task: Task) -> GraphQLSchema:
        from graphql import build_client_schema, get_introspection_query

        with self._lock:
            if self._schema is None:
                query = get_introspection_query(descriptions=False)
                content = ask_server(self._url, query, {}, task).data
                try:
                    self._schema = build_client_schema(cast("IntrospectionQuery", content))
                except (TypeError, ValueError, KeyError) as error:
                    raise PortalError("The portal's schema is invalid.") from error
            return self._schema


def replace_tables(path: Path, database: Database) -> None:
    """Save tables as ``NAME-VERSION.sqlite``, and delete other versions; ignores write errors."""
    with suppress(OSError, SaveError):
        with written_whole(path, overwrite=True, flush=False) as fresh:
            database.save(fresh)
        for older in {*path.parent.glob(f"{path.stem.rpartition('-')[0]}-*.sqlite")} - {path}:
            older.unlink()


class PackAsker:
    """Answers queries from a pack's tables; the URLs of its files become ``file://`` URLs."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self._kept = _path_of_tables(pack)
        try:
            self.database = Database(pack.tables, saved=self._kept if self._is_kept else None)
        except PackError:  # a damaged copy
            self.database = Database(pack.tables)

    @property
    def _is_kept(self) -> bool:
        return self._kept is not None and self._kept.exists()

    def load(self, names: Iterable[str]) -> None:
        """Load tables, and keep those of a large pack for the next process, since parsing them takes seconds."""
        for name in names:
            self.database.load(name)
        if self._kept is not None and not self._is_kept:
            replace_tables(self._kept, self.database)

    def __call__(self, query: str, variables: Variables, task: Task = UNWATCHED) -> PortalAnswer:
        """Answer a query; see `Ask`."""
        from napari_cryoet.packs.graphql import execute

        data = execute(
            self.database, query, variables, moved_url=self.pack.local_url, limits=Limits(task)
        )
        return PortalAnswer(data, self.pack.manifest.terms)


class AnswerCache:
    """Caches answers in a folder that processes can share: one JSON file each, named after the hash of the request."""

    def __init__(self, folder: Path, *, max_bytes: int = MAX_CACHE_BYTES) -> None:
        self.folder = folder
        self._max_bytes = max_bytes

    def get(self, *request: Any) -> PortalAnswer | None:
        """The cached answer for a request, given as plain data.

        None if it is missing or unreadable.
        """
        try:
            return msgspec.json.decode(self._path(request).read_bytes(), type=PortalAnswer)
        except (OSError, msgspec.MsgspecError, RecursionError):
            return None

    def put(self, answer: PortalAnswer, *request: Any) -> None:
        """Cache an answer, ignoring write errors."""
        with suppress(OSError, SaveError):
            replace_file(self._path(request), msgspec.json.encode(answer))
            self._shrink()

    def _path(self, request: tuple[Any, ...]) -> Path:
        text = json.dumps([_CACHE_VERSION, *request], sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()}.json"

    def _shrink(self) -> None:
        """Remove the oldest answers until the rest fits."""
        newest_first = sorted(
            self.folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True
        )
        totals = accumulate([path.stat().st_size for path in newest_first])
        for path, total in zip(newest_first, totals, strict=True):
            if total > self._max_bytes:
                path.unlink(missing_ok=True)


def read_picture(url: str, *, folder: Path | None = None, task: Task = UNWATCHED) -> bytes:
    """The bytes of a key photo or thumbnail.

    ``file:`` URLs are read only below the pack's ``folder``.
    """
    if is_web_address(url):
        from napari_cryoet.network.client import fetch

        answer = fetch(url, limit_bytes=MAX_PICTURE_BYTES, task=task)
        if answer is not None:
            return answer.body
    elif folder is not None and (path := Location.of(url).path) is not None:
        path = path.resolve()
        if path.is_relative_to(folder.resolve()) and path.is_file():
            with path.open("rb") as file:
                return file.read(MAX_PICTURE_BYTES)
    raise FormatError(f"There is no picture at {Location.of(url)}.")


def _path_of_tables(pack: Pack) -> Path | None:
    """Where the tables of a large pack are kept, named after their files; None for a small pack."""
    folder = pack.folder.resolve()
    files = [(path.name, path.stat()) for path in sorted(folder.glob("tables/*.json"))]
    if sum(about.st_size for _, about in files) < _LARGE_PACK_BYTES:
        return None
    state = [(name, about.st_size, about.st_mtime_ns) for name, about in files]
    columns = {table.name: [*table.columns] for table in tables().values()}
    return answers_folder() / f"pack-{digest_of(str(folder))}-{digest_of([state, columns])}.sqlite"


def answers_folder() -> Path:
    """The folder of cached answers and tables."""
    return cache_path() / "answers"


def digest_of(value: Any) -> str:
    """Sixteen digits for plain data, as part of a file's name."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def _blank_unsafe_urls(data: Any) -> None:
    """Blank URLs that aren't web addresses, in place: only a local pack may refer to local files."""
    pending = [data]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending.extend(item)
        elif isinstance(item, dict):
            pending.extend(item.values())
            for name, value in item.items():
                is_url = isinstance(value, str) and (
                    name.startswith("https") or name.endswith("Url")
                )
                if is_url and not value.lower().startswith(("https://", "http://")):
                    item[name] = ""
