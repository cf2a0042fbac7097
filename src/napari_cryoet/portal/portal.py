"""A portal to ask: live, a server of one's own, the demo or a pack; one request a page, shown again without network."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, TypeVar
from urllib.parse import urlsplit

from napari_cryoet.exceptions import NetworkError, NotFoundError, PortalError, StoppedError, WithheldError
from napari_cryoet.files import cache_path, without_login, without_password
from napari_cryoet.portal import answers, queries
from napari_cryoet.portal.cache import Answer, AnswerCache
from napari_cryoet.portal.pages import (
    Catalogue,
    CatalogueRow,
    DatasetPage,
    DepositionPage,
    DepositionRow,
    Freshness,
    LookupHit,
    RunPage,
    RunRow,
)
from napari_cryoet.portal.search import rows_with, simplify, split_words
from napari_cryoet.portal.transport import HttpTransport, PackTransport, Row, Transport
from napari_cryoet.records import MAX_ID, PORTAL_TERMS, AnnotationFile, Terms

T = TypeVar("T")
Decode: TypeAlias = Callable[[Row, Freshness, Terms | None], T]

LIVE_URL: Final = "https://graphql.cryoetdataportal.czscience.com/graphql"
RUNS_A_PAGE: Final = 50

_MAX_RUNS_A_PAGE: Final = 500  # the server takes 0 for "all" and has no bound of its own
_POLL_S: Final = 0.05
_SOURCE_HINT: Final = 'Name "live", "demo", an address that begins with https:// or http://, or the folder of a pack.'


@dataclass(frozen=True, slots=True)
class Source:
    """Where a portal's answers come from.

    Attributes
    ----------
    location
        The URL of the endpoint, or the folder; for the demo "demo".
    label
        What a person calls it.
    terms
        The licence of its data, and the site that has pages about it; None as long as that isn't known.
    """

    kind: Literal["live", "url", "demo", "pack"]
    location: str
    label: str
    terms: Terms | None = None


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
    text = os.fspath(source).strip()
    if text == "demo":
        return Portal(Source("demo", "demo", "Demo"), _demo_transport)
    if not text:
        raise PortalError("No source is named.", hint=_SOURCE_HINT)
    if text != "live" and "://" not in text:
        return _open_pack(Path(source).expanduser())
    cache = AnswerCache(cache_dir or cache_path() / "answers")
    if text == "live":
        live = Source("live", LIVE_URL, "CryoET Data Portal", PORTAL_TERMS)
        return Portal(live, lambda _: HttpTransport(LIVE_URL), cache=cache, offline=offline)
    return Portal(Source("url", text, _host_of(text)), lambda _: HttpTransport(text), cache=cache, offline=offline)


class Portal:
    """Answers about depositions, datasets and runs; every call blocks, may be made from any thread and can be stopped.

    Without network an answer that was seen before is given again, and its ``freshness`` says so; without one the
    NetworkError is raised. An answer that can't be understood is a PortalError, a record that isn't there a
    NotFoundError, and a set ``stop`` a StoppedError.

    Parameters
    ----------
    source
        What this is a portal to; its terms become those that its answers tell.
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
        fetched = self._ask(queries.CATALOGUE, {}, answers.catalogue, stop)
        self._catalogue = None if fetched.freshness.is_offline else fetched
        return fetched

    def cached_catalogue(self) -> Catalogue | None:
        """The catalogue as it was last seen, without asking anybody; None where it never was."""
        return self._catalogue or self._kept(queries.CATALOGUE, {}, answers.catalogue)

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
        return self._ask(queries.DATASET_PAGE, variables, partial(answers.dataset_page, dataset_id, offset), stop)

    def run_page(self, run_id: int, *, stop: threading.Event | None = None) -> RunPage:
        """Everything of a run, however much it is, in one request."""
        _require_id("run", run_id)
        return self._ask(queries.RUN_PAGE, {"id": run_id}, partial(answers.run_page, run_id), stop)

    def annotation_file(self, file_id: int, *, stop: threading.Event | None = None) -> AnnotationFile:
        """One annotation file with its parents, in two requests: for its run, and for everything of that."""
        _require_id("annotation file", file_id)
        run_id = self._ask(queries.FILE_RUN, {"id": file_id}, answers.run_of_file, stop)
        files = self.run_page(run_id, stop=stop).annotation_files if run_id is not None else ()
        for file in files:
            if file.id == file_id:
                return file
        raise NotFoundError(f"The portal has no annotation file {file_id}.")

    def deposition_page(self, deposition_id: int, *, stop: threading.Event | None = None) -> DepositionPage:
        """A deposition, the datasets that it brought or added to, and the runs of others that it added to."""
        _require_id("deposition", deposition_id)
        variables = {"id": deposition_id, "runs": {"limit": queries.MAX_CONTRIBUTED_RUNS, "offset": 0}}
        return self._ask(queries.DEPOSITION_PAGE, variables, partial(answers.deposition_page, deposition_id), stop)

    def lookup(self, record_id: int, *, stop: threading.Event | None = None) -> tuple[LookupHit, ...]:
        """All records that carry an id: those of different kinds overlap."""
        if not 0 < record_id <= MAX_ID:
            return ()
        return self._ask(queries.LOOKUP, {"id": record_id}, answers.lookup, stop)

    def search(self, text: str, *, stop: threading.Event | None = None) -> tuple[CatalogueRow, ...]:
        """The datasets in which every word occurs, be it where `search_catalogue` looks or where the server does.

        The server also looks through descriptions, methods, run names and the like, for the first eight words; where it
        can't be reached, the catalogue that was seen before answers alone.
        """
        words = tuple(dict.fromkeys(split_words(text, simplified=False)))
        if not words:
            return self.catalogue(stop=stop).rows
        by_word = self._found_by_server(words, stop)
        known = self.catalogue(stop=stop)
        if not set().union(*by_word) <= {row.id for row in known.rows}:
            known = self.catalogue(refresh=True, stop=stop)
        for word, ids in zip(words, by_word, strict=True):
            ids.update(row.id for row in rows_with(known, [simplify(word)]))
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
            page = self.dataset_page(dataset_id, offset=offset, stop=stop)
            yield from page.runs
            offset += len(page.runs)
            if page.is_last or not page.runs:
                return

    def query(self, text: str, variables: Row, *, stop: threading.Event | None = None) -> Row:
        """The data that answers a query of one's own; nothing of it is kept."""
        reply = self._opened_transport(stop).ask(text, variables, stop)
        self._learn(reply.terms)
        return reply.data

    def close(self) -> None:
        """Give up what the transport holds; a later question opens it again."""
        with self._transport_lock:
            self._transport = None

    def _found_by_server(self, words: Sequence[str], stop: threading.Event | None) -> list[set[int]]:
        """For each word, the datasets in which the server finds it; none where it can't be asked."""
        asked = words[: queries.MAX_SEARCHED_WORDS]
        query, variables = queries.search(asked)
        nowhere: list[set[int]] = [set() for _ in words]
        try:
            found = self._ask(query, variables, partial(answers.found_ids, len(asked)), stop)
        except (NetworkError, _NotSeenError):
            return nowhere
        return [*found, *nowhere[len(asked) :]]

    def _ask(self, query: str, variables: Row, decode: Decode[T], stop: threading.Event | None) -> T:
        """One question and its decoded answer; without network, the answer that is kept."""
        if self._is_offline:
            kept = self._kept(query, variables, decode, "Working offline.")
            if kept is None:
                raise _NotSeenError
            return kept
        try:
            reply = self._opened_transport(stop).ask(query, variables, stop)
        except NetworkError as error:
            kept = self._kept(query, variables, decode, _reason(error))
            if kept is None:
                raise
            return kept
        _raise_if_stopped(stop)
        self._learn(reply.terms)
        now, location = datetime.now(UTC), without_password(self.source.location)
        try:
            page = decode(reply.data, Freshness(fetched_at=now), self.source.terms)
        except NotFoundError:
            if self._cache is not None:
                self._cache.forget(location, query, variables)
            raise
        if self._cache is not None:
            self._cache.put(location, query, variables, Answer(now, reply.data, reply.terms))
        return page

    def _kept(self, query: str, variables: Mapping[str, Any], decode: Decode[T], reason: str = "") -> T | None:
        """The answer on disk; with a reason, as one that is shown instead of a fresh one."""
        location = without_password(self.source.location)
        answer = self._cache.get(location, query, variables) if self._cache is not None else None
        if self._cache is None or answer is None:
            return None
        self._learn(answer.terms)
        is_offline = bool(reason) or self._is_offline
        freshness = Freshness(fetched_at=answer.fetched_at, is_offline=is_offline, reason=reason)
        try:
            return decode(answer.data, freshness, self.source.terms)
        except PortalError:  # kept by a version that asked for less
            self._cache.forget(location, query, variables)
            return None

    def _learn(self, terms: Terms | None) -> None:
        """Note the terms that a source tells of itself."""
        if terms is not None and terms != self.source.terms:
            self.source = replace(self.source, terms=terms)

    def _opened_transport(self, stop: threading.Event | None) -> Transport:
        """The transport, made by the first who needs it; generating a demo takes a while, so waiting can be stopped."""
        _raise_if_stopped(stop)
        while not self._transport_lock.acquire(timeout=_POLL_S):
            _raise_if_stopped(stop)
        try:
            if self._transport is None:
                self._transport = self._make_transport(stop)
            return self._transport
        finally:
            self._transport_lock.release()


class _NotSeenError(PortalError):
    def __init__(self) -> None:
        hint = "Connect to the network and go online to see it."
        super().__init__("This wasn't loaded before, and you are working offline.", hint=hint)


def _raise_if_stopped(stop: threading.Event | None) -> None:
    if stop is not None and stop.is_set():
        raise StoppedError


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
    source = Source("pack", str(folder.resolve()), pack.manifest.title or folder.name, pack.manifest.terms)
    return Portal(source, lambda _: PackTransport(pack))


def _demo_transport(stop: threading.Event | None) -> Transport:
    from napari_cryoet.demo import ensure_demo_pack
    from napari_cryoet.packs.pack import open_pack

    return PackTransport(open_pack(ensure_demo_pack(stop=stop)))


def _require_id(kind: str, record_id: int) -> None:
    if not 0 < record_id <= MAX_ID:
        raise NotFoundError(f"The portal has no {kind} {record_id}.")
