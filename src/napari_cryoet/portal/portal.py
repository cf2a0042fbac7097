"""A portal to ask: live, a server of one's own, the demo or a pack; one request a page, shown again without network."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar
from urllib.parse import urlsplit

from napari_cryoet.exceptions import NetworkError, NotFoundError, PortalError, WithheldError
from napari_cryoet.expecting import path_text
from napari_cryoet.files import cache_path, without_login, without_password
from napari_cryoet.portal import catalogue as catalogues
from napari_cryoet.portal import decode_depositions, decode_pages, queries
from napari_cryoet.portal.cache import Answer, AnswerCache, Question
from napari_cryoet.portal.pages import Freshness
from napari_cryoet.stopping import POLL_S, raise_if_stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gql.transport import Transport
    from graphql import DocumentNode

    from napari_cryoet.portal.decode import Row
    from napari_cryoet.portal.pages import (
        Catalogue,
        CatalogueRow,
        DatasetPage,
        DepositionPage,
        DepositionRow,
        LookupHit,
        RunPage,
        RunRow,
    )
    from napari_cryoet.records import AnnotationFile

T = TypeVar("T")

LIVE_URL = "https://graphql.cryoetdataportal.czscience.com/graphql"
RUNS_A_PAGE = 50

_SOURCE_HINT = 'Name "live", "demo", an address that begins with https:// or http://, or the folder of a pack.'

_MAX_SEARCH_WORDS = 24
_MAX_RUNS_A_PAGE = 500  # the server takes 0 for "all" and has no bound of its own


@dataclass(frozen=True, slots=True)
class Source:
    """Where a portal's answers come from."""

    kind: Literal["live", "url", "demo", "pack"]
    location: str  # URL of the endpoint, or folder; for the demo "demo"
    label: str  # as a person calls it


def open_portal(source: str | Path = "live", *, cache_dir: Path | None = None, offline: bool = False) -> Portal:
    """Open a portal without asking it anything yet.

    Parameters
    ----------
    source
        ``"live"``, ``"demo"`` (generated on first use), the URL of a GraphQL endpoint, or the folder of a pack.
    cache_dir
        Where answers are kept; the user's cache folder by default.
    offline
        Never use the network: only what was seen before.

    Raises
    ------
    PackError
        The folder isn't a pack.
    PortalError
        The source is empty, or an address that isn't one of the web.
    """
    source = path_text(source, "source")
    if source == "demo":
        return Portal(Source("demo", "demo", "Demo"), _demo_transport)
    text = str(source).strip()
    if not text:
        raise PortalError("No source is named.", hint=_SOURCE_HINT)
    if text != "live" and "://" not in text:
        return _open_pack(Path(source).expanduser())
    url = LIVE_URL if text == "live" else text
    label = "CryoET Data Portal" if text == "live" else _host_of(url)
    return Portal(
        Source("live" if text == "live" else "url", url, label),
        lambda _: _http_transport(url),
        cache=AnswerCache(cache_dir or _default_cache_dir()),
        offline=offline,
    )


class Portal:
    """Answers about depositions, datasets and runs; every call blocks, may be made from any thread and can be stopped.

    Without network an answer that was seen before is given again, and its ``freshness`` says so; without one the
    NetworkError is raised. An answer that can't be understood is a PortalError, a record that isn't there a
    NotFoundError, and a set ``stop`` a StoppedError.

    Parameters
    ----------
    source
        What this is a portal to.
    make_transport
        Called once, before the first question.
    cache
        Where answers are kept; None for sources that are on this computer anyway.
    offline
        Only answer from the cache.
    """

    def __init__(
        self,
        source: Source,
        make_transport: Callable[[threading.Event | None], Transport],
        *,
        cache: AnswerCache | None = None,
        offline: bool = False,
    ) -> None:
        self.source = source
        self._make_transport = make_transport
        self._cache = cache
        self._is_offline = offline
        self._transport: Transport | None = None
        self._transport_lock = threading.Lock()
        self._catalogue: Catalogue | None = None

    def catalogue(self, *, refresh: bool = False, stop: threading.Event | None = None) -> Catalogue:
        """All datasets and depositions; asked for once a session unless ``refresh`` is wanted."""
        known = self._catalogue
        if known is not None and not refresh:
            return known
        fetched = self._ask(queries.CATALOGUE, {}, decode_pages.catalogue, stop)
        self._catalogue = None if fetched.freshness.is_offline else fetched
        return fetched

    def cached_catalogue(self) -> Catalogue | None:
        """The catalogue as it was last seen, without asking anybody; None where it never was."""
        return self._catalogue or self._kept(queries.CATALOGUE, {}, decode_pages.catalogue)

    def dataset_page(
        self,
        dataset_id: int,
        *,
        offset: int = 0,
        limit: int = RUNS_A_PAGE,
        name_contains: str = "",
        stop: threading.Event | None = None,
    ) -> DatasetPage:
        """A dataset and ``limit`` of its runs by name, from the ``offset``-th on, whose names contain some text."""
        _require_id("dataset", dataset_id)
        offset, limit = max(0, offset), min(max(1, limit), _MAX_RUNS_A_PAGE)
        variables = queries.dataset_page_variables(dataset_id, offset, limit, name_contains.strip())
        return self._ask(
            queries.DATASET_PAGE,
            variables,
            lambda data, freshness: decode_pages.dataset_page(data, dataset_id, offset, freshness),
            stop,
        )

    def run_page(self, run_id: int, *, stop: threading.Event | None = None) -> RunPage:
        """Everything of a run, however much it is, in one request."""
        _require_id("run", run_id)
        return self._ask(
            queries.RUN_PAGE,
            {"id": run_id},
            lambda data, freshness: decode_pages.run_page(data, run_id, freshness),
            stop,
        )

    def annotation_file(self, file_id: int, *, stop: threading.Event | None = None) -> AnnotationFile:
        """One annotation file with its parents, in two requests: for its run, and for everything of that."""
        _require_id("annotation file", file_id)
        run_id = self._ask(queries.FILE_RUN, {"id": file_id}, lambda data, _: decode_pages.run_of_file(data), stop)
        files = self.run_page(run_id, stop=stop).annotation_files if run_id is not None else ()
        for file in files:
            if file.id == file_id:
                return file
        raise NotFoundError(f"The portal has no annotation file {file_id}.")

    def deposition_page(self, deposition_id: int, *, stop: threading.Event | None = None) -> DepositionPage:
        """A deposition, the datasets that it brought or added to, and the runs of others that it added to."""
        _require_id("deposition", deposition_id)
        return self._ask(
            queries.DEPOSITION_PAGE,
            queries.deposition_page_variables(deposition_id),
            lambda data, freshness: decode_depositions.deposition_page(data, deposition_id, freshness),
            stop,
        )

    def lookup(self, record_id: int, *, stop: threading.Event | None = None) -> tuple[LookupHit, ...]:
        """All records that carry an id: those of different kinds overlap."""
        if not 0 < record_id <= catalogues.MAX_ID:
            return ()
        return self._ask(queries.LOOKUP, {"id": record_id}, lambda data, _: decode_pages.lookup(data), stop)

    def search(self, text: str, *, stop: threading.Event | None = None) -> tuple[CatalogueRow, ...]:
        """The datasets in which every word occurs, be it where `search_catalogue` looks or where the server does.

        The server also looks through descriptions, methods, run names and the like; it is asked for six words at once.

        Raises
        ------
        PortalError
            For more than 24 words.
        """
        words = tuple(dict.fromkeys(catalogues.split_words(text, simplified=False)))
        if not words:
            return self.catalogue(stop=stop).rows
        if len(words) > _MAX_SEARCH_WORDS:
            raise PortalError(f"A search takes up to {_MAX_SEARCH_WORDS} words.", hint="Search for fewer words.")
        by_word: list[set[int]] = []
        for first in range(0, len(words), queries.MAX_WORDS_A_QUERY):
            by_word += self._ask_for_words(words[first : first + queries.MAX_WORDS_A_QUERY], stop)
        known = self.catalogue(stop=stop)
        if not set().union(*by_word) <= {row.id for row in known.rows}:
            known = self.catalogue(refresh=True, stop=stop)
        for word, ids in zip(words, by_word, strict=True):
            ids.update(row.id for row in catalogues.rows_with(known, [catalogues.simplify(word)]))
        found = set.intersection(*by_word)
        return tuple(row for row in known.rows if row.id in found)

    def datasets(self, *, stop: threading.Event | None = None) -> tuple[CatalogueRow, ...]:
        """All datasets, newest first."""
        return self.catalogue(stop=stop).rows

    def depositions(self, *, stop: threading.Event | None = None) -> tuple[DepositionRow, ...]:
        """All depositions, newest first."""
        return self.catalogue(stop=stop).depositions

    def runs(self, dataset_id: int, *, stop: threading.Event | None = None) -> Iterator[RunRow]:
        """All runs of a dataset by name, asked for page by page as they are used."""
        offset = 0
        while True:
            # as long as the dock's pages: offline each finds the other's
            page = self.dataset_page(dataset_id, offset=offset, stop=stop)
            yield from page.runs
            offset += len(page.runs)
            if page.is_last or not page.runs:
                return

    def close(self) -> None:
        """Give up what the transport holds; a later question opens it again."""
        with self._transport_lock:
            transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()  # type: ignore[no-untyped-call]

    def _ask_for_words(self, words: Sequence[str], stop: threading.Event | None) -> list[set[int]]:
        """For each word, the datasets in which the server finds it."""
        query, variables = queries.search(words)
        return self._ask(query, variables, lambda data, _: decode_pages.found_ids(data, len(words)), stop)

    def _ask(
        self, query: str, variables: Row, decode: Callable[[Row, Freshness], T], stop: threading.Event | None
    ) -> T:
        """One question and its decoded answer; without network, the answer that is kept."""
        if self._is_offline:
            kept = self._kept(query, variables, decode, "Working offline.")
            if kept is None:
                hint = "Connect to the network and go online to see it."
                raise PortalError("This wasn't loaded before, and you are working offline.", hint=hint)
            return kept
        try:
            data = self._fetch(query, variables, stop)
        except NetworkError as error:
            kept = self._kept(query, variables, decode, _reason(error))
            if kept is None:
                raise
            return kept
        question, now = self._question(query, variables), datetime.now(UTC)
        try:
            page = decode(data, Freshness(fetched_at=now))
        except NotFoundError:
            if self._cache is not None:
                self._cache.forget(question)
            raise
        if self._cache is not None:
            self._cache.put(question, Answer(data, now))
        return page

    def _fetch(self, query: str, variables: Row, stop: threading.Event | None) -> Row:
        from gql import GraphQLRequest

        from napari_cryoet.portal.transports import data_of

        raise_if_stopped(stop)
        transport = self._opened_transport(stop)
        request = GraphQLRequest(_parsed(query), variable_values=variables)
        result = transport.execute(request, stop=stop)
        raise_if_stopped(stop)
        return data_of(result)

    def _kept(self, query: str, variables: Row, decode: Callable[[Row, Freshness], T], reason: str = "") -> T | None:
        """The answer on disk; with a reason, as one that is shown instead of a fresh one."""
        if self._cache is None:
            return None
        question = self._question(query, variables)
        answer = self._cache.get(question)
        if answer is None:
            return None
        freshness = Freshness(fetched_at=answer.fetched_at, is_offline=bool(reason) or self._is_offline, reason=reason)
        try:
            return decode(answer.data, freshness)
        except PortalError:  # kept by a version that asked for less
            self._cache.forget(question)
            return None

    def _question(self, query: str, variables: Row) -> Question:
        return Question(without_password(self.source.location), query, variables)

    def _opened_transport(self, stop: threading.Event | None) -> Transport:
        """The transport, made by the first who needs it; generating a demo takes a while, so waiting can be stopped."""
        while not self._transport_lock.acquire(timeout=POLL_S):
            raise_if_stopped(stop)
        try:
            if self._transport is None:
                self._transport = self._make_transport(stop)
            return self._transport
        finally:
            self._transport_lock.release()


def _reason(error: NetworkError) -> str:
    """Why a kept answer is shown instead of a fresh one."""
    is_wanted = isinstance(error, WithheldError) and error.by == "offline mode"
    return "Working offline." if is_wanted else error.message


def _host_of(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.scheme in ("http", "https") and parts.port != 0 else None
    except ValueError:  # what is no address at all
        host = None
    if host is None:
        raise PortalError(f"{without_login(url)!r} isn't the address of a portal.", hint=_SOURCE_HINT)
    return host


def _open_pack(folder: Path) -> Portal:
    from napari_cryoet.packs.pack import open_pack

    pack = open_pack(folder)

    def make_transport(_: threading.Event | None) -> Transport:
        from napari_cryoet.packs.transport import PackTransport

        return PackTransport(pack)

    return Portal(Source("pack", str(folder.resolve()), pack.manifest.title or folder.name), make_transport)


def _demo_transport(stop: threading.Event | None) -> Transport:
    from napari_cryoet.packs.demo import ensure_demo_pack
    from napari_cryoet.packs.transport import PackTransport

    return PackTransport(ensure_demo_pack(stop=stop))


def _http_transport(url: str) -> Transport:
    from napari_cryoet.http import shared_http
    from napari_cryoet.portal.transports import HttpTransport

    return HttpTransport(url, shared_http())


def _default_cache_dir() -> Path:
    return cache_path() / "answers"


@lru_cache(maxsize=32)
def _parsed(query: str) -> DocumentNode:
    from graphql import parse

    return parse(query, no_location=True)


def _require_id(kind: str, record_id: int) -> None:
    if not 0 < record_id <= catalogues.MAX_ID:
        raise NotFoundError(f"The portal has no {kind} {record_id}.")
