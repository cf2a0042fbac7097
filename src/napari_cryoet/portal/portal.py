"""A portal to ask: live, a server of one's own, the demo or a pack; one request a page, shown again without network."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar
from urllib.parse import urlsplit

from msgspec.structs import replace

from napari_cryoet.exceptions import NetworkError, NotFoundError, PortalError, raise_if_stopped
from napari_cryoet.files import cache_path, host_of, without_login
from napari_cryoet.portal import answers, queries
from napari_cryoet.portal.answers import Answer
from napari_cryoet.portal.links import is_web_address
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
from napari_cryoet.portal.transport import AnswerCache, Ask, PackAsker, ask_server
from napari_cryoet.records import PORTAL_TERMS, AnnotationFile, Record, Terms

if TYPE_CHECKING:
    from napari_cryoet.tables.database import Database

T = TypeVar("T")
Row: TypeAlias = dict[str, Any]

LIVE_URL: Final = "https://graphql.cryoetdataportal.czscience.com/graphql"
RUNS_A_PAGE: Final = 50

_MAX_RUNS_A_PAGE: Final = 500  # the server takes 0 for "all" and has no bound of its own
_SOURCE_HINT: Final = 'Name "live", "demo", an address that begins with https:// or http://, or the folder of a pack.'


class Source(Record, frozen=True):
    """Where a portal's answers come from."""

    kind: Literal["live", "url", "demo", "pack"]
    location: str  # the URL of the endpoint, or the folder; for the demo "demo"
    label: str  # what a person calls it
    terms: Terms | None = None  # None as long as they aren't known

    def page_url(self, kind: str, record_id: int) -> str:
        """The page of a dataset, run or deposition on the source's own site; empty where there is none.

        A pack or another server may give its own ids to records, so it never leads to the live portal.
        """
        if self.terms is None or (self.terms.site == PORTAL_TERMS.site and self.kind != "live"):
            return ""
        return self.terms.page_url(kind, record_id)


_LIVE: Final = Source("live", LIVE_URL, "CryoET Data Portal", PORTAL_TERMS)


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
        return Portal(Source("demo", "demo", "Demo"), _open_demo)
    if not text:
        raise PortalError("No source is named.", hint=_SOURCE_HINT)
    if text != "live" and "://" not in text:
        return _open_pack(Path(source).expanduser())
    origin = _LIVE if text == "live" else Source("url", text, host_of(text))
    if not is_web_address(origin.location):
        raise PortalError(f"{without_login(text)!r} isn't the address of a portal.", hint=_SOURCE_HINT)
    cache = AnswerCache(cache_dir or cache_path() / "answers")
    return Portal(origin, lambda _: partial(ask_server, origin.location), cache=cache, offline=offline)


def find_portal(address: str, *, stop: threading.Event | None = None) -> str:
    """The endpoint of the portal at an address as a user types it; asks the server whether it answers as a portal does.

    Without a path, ``/graphql`` is meant; without a scheme, ``https``, or ``http`` for a port or a number.

    Raises
    ------
    PortalError
        If it isn't an address.
    NetworkError
        If no portal answers there.
    """
    text = address.strip()
    if "://" not in text:
        host = text.partition("/")[0]
        is_near = host == "localhost" or ":" in host or host.replace(".", "").isdigit()
        text = f"{'http' if is_near else 'https'}://{text}"
    if not is_web_address(text):
        raise PortalError(f"{without_login(address.strip())!r} isn't the address of a portal.", hint=_SOURCE_HINT)
    url = text if urlsplit(text).path.strip("/") else f"{text.rstrip('/')}/graphql"
    ask_server(url, "{ __typename }", {}, stop)
    return url


class Portal:
    """Answers about depositions, datasets and runs, from any thread; `open_portal` makes it.

    Without network you get the answer that was seen before, and its ``freshness`` says so; without one, a NetworkError.
    An answer that can't be understood is a PortalError, a record that isn't there a NotFoundError.
    """

    def __init__(
        self,
        source: Source,
        open_source: Callable[[threading.Event | None], Ask],
        *,
        cache: AnswerCache | None = None,
        offline: bool = False,
    ) -> None:
        self.source = source
        self._open_source = open_source
        self._cache = cache
        self._is_offline = offline
        self._opened: Ask | None = None
        self._catalogue: Catalogue | None = None

    def catalogue(self, *, refresh: bool = False, stop: threading.Event | None = None) -> Catalogue:
        """All datasets and depositions; asked for once a session unless ``refresh`` is wanted."""
        known = self._catalogue
        if known is not None and not refresh:
            return known
        fetched = self._page(queries.CATALOGUE, {}, answers.catalogue, stop)
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
        offset, limit = max(0, offset), min(max(1, limit), _MAX_RUNS_A_PAGE)
        runs: Row = {"datasetId": {"_eq": dataset_id}}
        if name := name_contains.strip():
            runs["name"] = {"_ilike": queries.containing(name)}
        variables = {"id": dataset_id, "runs": runs, "page": {"limit": limit, "offset": offset}}
        return self._page(queries.DATASET_PAGE, variables, partial(answers.dataset_page, dataset_id, offset), stop)

    def run_page(self, run_id: int, *, stop: threading.Event | None = None) -> RunPage:
        """Everything of a run, however much it is, in one request."""
        return self._page(queries.RUN_PAGE, {"id": run_id}, partial(answers.run_page, run_id), stop)

    def annotation_file(self, file_id: int, *, stop: threading.Event | None = None) -> AnnotationFile:
        """One annotation file with its parents, in two requests: for its run, and for everything of that."""
        run_id = self._page(queries.FILE_RUN, {"id": file_id}, answers.run_of_file, stop)
        files = self.run_page(run_id, stop=stop).annotation_files if run_id is not None else ()
        for file in files:
            if file.id == file_id:
                return file
        raise NotFoundError(f"The portal has no annotation file {file_id}.")

    def deposition_page(self, deposition_id: int, *, stop: threading.Event | None = None) -> DepositionPage:
        """A deposition, the datasets that it brought or added to, and the runs of others that it added to."""
        variables = {"id": deposition_id, "page": {"limit": queries.MAX_CONTRIBUTED_RUNS, "offset": 0}}
        return self._page(queries.DEPOSITION_PAGE, variables, partial(answers.deposition_page, deposition_id), stop)

    def lookup(self, record_id: int, *, stop: threading.Event | None = None) -> tuple[LookupHit, ...]:
        """All records that carry an id: those of different kinds overlap."""
        return self._page(queries.LOOKUP, {"id": record_id}, answers.lookup, stop)

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
        return self._decoded(self._ask(text, variables, stop), lambda answer: answer.data)

    def pages(
        self, table: str, columns: Iterable[str], where: Row, *, size: int, stop: threading.Event | None = None
    ) -> Iterator[list[Row]]:
        """The rows of a table that match, by id: the id and some columns, ``size`` rows a request.

        Each page begins after the last id: rows that come or go meanwhile make no others appear twice or never.
        """
        from napari_cryoet.tables.schema import tables

        query = (
            f"query Rows($where: {tables()[table].type_name}WhereClause, $page: LimitOffsetClause) {{ "
            f"rows: {table}(where: $where, limitOffset: $page, orderBy: [{{id: asc}}]) {{ id {' '.join(columns)} }} }}"
        )
        last, is_last = 0, False
        while not is_last:
            beyond = {"id": where.get("id", {}) | {"_gt": last}}
            variables = {"where": where | beyond, "page": {"limit": size, "offset": 0}}
            rows = self.query(query, variables, stop=stop)["rows"]
            if rows and rows[-1]["id"] <= last:
                raise PortalError(f"The server gives the same rows of {table} again and again.")
            last, is_last = rows[-1]["id"] if rows else last, len(rows) < size
            yield rows

    def database(self, *, stop: threading.Event | None = None) -> Database | None:
        """The tables of a pack or of the demo; None for a server, which has them itself."""
        if self._cache is not None:
            return None
        ask = self._opened = self._opened or self._open_source(stop)
        return ask.database if isinstance(ask, PackAsker) else None

    @property
    def cache_folder(self) -> Path | None:
        """Where answers of a server are kept; None for a pack and the demo."""
        return self._cache.folder if self._cache is not None else None

    @property
    def is_offline(self) -> bool:
        """Whether the network isn't used."""
        return self._is_offline

    def close(self) -> None:
        """Give up what the source holds in memory; a later question opens it again."""
        self._opened = None

    def _page(self, query: str, variables: Row, decode: Callable[[Answer], T], stop: threading.Event | None) -> T:
        """One question and its decoded answer; without network, the answer that is kept."""
        raise_if_stopped(stop)
        if self._is_offline:
            page = self._kept(query, variables, decode, "Working offline.")
            if page is None:
                hint = "Connect to the network and go online to see it."
                raise PortalError("This wasn't loaded before, and you are working offline.", hint=hint)
            return page
        try:
            answer = self._ask(query, variables, stop)
        except NetworkError as error:
            page = self._kept(query, variables, decode, error.message)
            if page is None:
                raise
            return page
        page = self._decoded(answer, decode)
        if self._cache is not None:
            self._cache.put(answer, self.source.location, query, variables)
        return page

    def _ask(self, query: str, variables: Row, stop: threading.Event | None) -> Answer:
        ask = self._opened = self._opened or self._open_source(stop)
        return ask(query, variables, stop)

    def _kept(self, query: str, variables: Row, decode: Callable[[Answer], T], reason: str = "") -> T | None:
        """The answer on disk; with a reason, as one that is shown instead of a fresh one."""
        answer = self._cache.get(self.source.location, query, variables) if self._cache is not None else None
        if answer is None:
            return None
        freshness = replace(answer.freshness, is_offline=bool(reason), reason=reason)
        try:
            return self._decoded(replace(answer, freshness=freshness), decode)
        except PortalError:  # kept by a version that asked for less
            return None

    def _decoded(self, answer: Answer, decode: Callable[[Answer], T]) -> T:
        """What an answer says; its terms, or those known before, become the source's."""
        self.source = replace(self.source, terms=answer.terms or self.source.terms)
        return decode(replace(answer, terms=self.source.terms))


def _open_pack(folder: Path) -> Portal:
    from napari_cryoet.packs.pack import open_pack

    pack = open_pack(folder)
    source = Source("pack", str(folder.resolve()), pack.manifest.title or folder.name, pack.manifest.terms)
    return Portal(source, lambda _: PackAsker(pack))


def _open_demo(stop: threading.Event | None) -> Ask:
    from napari_cryoet.demo.write import ensure_demo_pack
    from napari_cryoet.packs.pack import open_pack

    return PackAsker(open_pack(ensure_demo_pack(stop=stop)))
