"""Read a portal: the live one, another server, the demo or a pack.

A page is one request, cached for offline use.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

from msgspec.structs import replace

from napari_cryoet.exceptions import NetworkError, NotFoundError, PortalError
from napari_cryoet.locations import (
    Location,
    host_of,
    is_web_address,
    without_login,
    without_password,
)
from napari_cryoet.portal import answers, queries
from napari_cryoet.portal.answers import PortalAnswer
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
from napari_cryoet.portal.transport import (
    AnswerCache,
    Ask,
    PackAsker,
    ServerAsker,
    answers_folder,
    ask_server,
)
from napari_cryoet.records import PORTAL_TERMS, AnnotationFile, Record, Terms
from napari_cryoet.tables.database import Database, Row, Rows, tables
from napari_cryoet.task import UNWATCHED, Task

T = TypeVar("T")

LIVE_URL: Final = "https://graphql.cryoetdataportal.czscience.com/graphql"
RUNS_A_PAGE: Final = 50

_MAX_RUNS_A_PAGE: Final = 500  # the server reads 0 as "all" and has no limit of its own
_SOURCE_HINT: Final = (
    'Name "live", "demo", an address that begins with https:// or http://, '
    "or the folder or zip of a pack."
)
IN_FLIGHT: Final = 4
ROWS_A_PAGE: Final = 1000

_LEFT_OUT: Final = frozenset({"neuroglancerConfig"})  # 14 kB per tomogram, for another viewer


class Source(Record, frozen=True):
    """The source of a portal's data."""

    kind: Literal["live", "url", "demo", "pack"]
    location: str  # the URL of the endpoint, the folder, or "demo"
    label: str  # shown to users
    terms: Terms | None = None  # None while unknown
    origin: str = ""  # of a download: the name of the source that its records are from

    @property
    def name(self) -> str:
        """What `open_portal` opens it by, and a basket names it by."""
        return self.kind if self.kind in {"live", "demo"} else self.location

    def has_records_of(self, name: str) -> bool:
        """Whether its records are those of a named source: itself, or what it was downloaded from."""
        names = {without_password(self.name), without_password(self.origin)}
        if self.kind == "pack" and not name.startswith(("https://", "http://")):
            names.add(name if Path(name).resolve() == Path(self.location) else "")
        return without_password(name) in names

    def page_url(self, kind: str, record_id: int) -> str:
        """URL of the page of a dataset, run or deposition on the source's site; empty if there is none.

        Packs and other servers may use other ids, so their records never link to the live portal.
        """
        if self.terms is None or (self.terms.site == PORTAL_TERMS.site and self.kind != "live"):
            return ""
        return self.terms.page_url(kind, record_id)


_LIVE: Final = Source("live", LIVE_URL, "CryoET Data Portal", PORTAL_TERMS)


def open_portal(
    source: str | Path = "live", *, cache_dir: Path | None = None, offline: bool = False
) -> Portal:
    """Open a portal; nothing is requested yet.

    Parameters
    ----------
    source
        ``"live"``, ``"demo"`` (generated on first use), the URL of a GraphQL endpoint or of its
        server, or a pack: its folder, or a zip, which is unpacked into the cache folder at once.
    cache_dir
        The folder for cached answers; by default the user's cache folder.
    offline
        Never use the network; return only cached answers.

    Raises
    ------
    PackError
        If the folder or zip isn't a pack.
    PortalError
        If the source is empty, or an address but not a web address.
    """
    text = os.fspath(source).strip()
    if text == "demo":
        return Portal(Source("demo", "demo", "Demo"), _open_demo)
    if not text:
        raise PortalError("No source is named.", hint=_SOURCE_HINT)
    origin = _LIVE
    if text != "live":
        location = Location.of(source, PortalError)
        if location.path is not None:
            return _open_pack(location.path)
        if not is_web_address(location.text):
            raise PortalError(
                f"{str(location)!r} isn't the address of a portal.", hint=_SOURCE_HINT
            )
        origin = Source("url", _endpoint(location.text), host_of(location.text))
    cache = AnswerCache(cache_dir or answers_folder())
    return Portal(origin, lambda _: ServerAsker(origin.location), cache=cache, offline=offline)


def find_portal(address: str, *, task: Task = UNWATCHED) -> str:
    """The endpoint for a portal's address as typed by a user; checks that a portal answers there.

    The default path is ``/graphql``. The default scheme is ``https``, or ``http`` for ports and IP
    addresses.

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
        is_plain = host == "localhost" or ":" in host or host.replace(".", "").isdigit()
        text = f"{'http' if is_plain else 'https'}://{text}"
    if not is_web_address(text):
        raise PortalError(
            f"{without_login(address.strip())!r} isn't the address of a portal.", hint=_SOURCE_HINT
        )
    url = _endpoint(text)
    ask_server(url, "{ __typename }", {}, task)
    return url


def _endpoint(url: str) -> str:
    """The endpoint at a URL; if that has no path, ``/graphql``."""
    return url if urlsplit(url).path.strip("/") else f"{url.rstrip('/')}/graphql"


class Portal:
    """The depositions, datasets and runs of a portal, made by `open_portal`. Methods may be called from any thread.

    If the portal can't be reached, or answers with an error, methods return the cached answer, and
    its ``freshness`` says so; NetworkError or PortalError if there is none. A missing record is a
    NotFoundError. If it ``is_offline``, they never use the network.
    """

    def __init__(
        self,
        source: Source,
        open_source: Callable[[Task], Ask],
        *,
        cache: AnswerCache | None = None,
        offline: bool = False,
    ) -> None:
        self.source = source
        self._open_source = open_source
        self._cache = cache
        self.is_offline = offline
        self._opened: Ask | None = None
        self._catalogue: Catalogue | None = None

    def catalogue(self, *, refresh: bool = False, task: Task = UNWATCHED) -> Catalogue:
        """All datasets and depositions, requested once per session unless ``refresh`` is set."""
        known = self._catalogue
        if known is not None and not refresh:
            return known
        fetched = self._page(queries.CATALOGUE, {}, answers.catalogue, task)
        self._catalogue = None if fetched.freshness.is_cached else fetched
        return fetched

    def cached_catalogue(self) -> Catalogue | None:
        """The last catalogue, without a request; None if there is none."""
        return self._catalogue or self._cached(queries.CATALOGUE, {}, answers.catalogue)

    def dataset_page(
        self,
        dataset_id: int,
        *,
        offset: int = 0,
        limit: int = RUNS_A_PAGE,
        name_contains: str = "",
        task: Task = UNWATCHED,
    ) -> DatasetPage:
        """A dataset and one page of its runs, sorted by name.

        ``name_contains`` filters the runs.
        """
        offset, limit = max(0, offset), min(max(1, limit), _MAX_RUNS_A_PAGE)
        runs: dict[str, Any] = {"datasetId": {"_eq": dataset_id}}
        if name := name_contains.strip():
            runs["name"] = {"_ilike": queries.containing(name)}
        variables = {"id": dataset_id, "runs": runs, "page": {"limit": limit, "offset": offset}}
        return self._page(
            queries.DATASET_PAGE, variables, partial(answers.dataset_page, dataset_id, offset), task
        )

    def run_page(self, run_id: int, *, task: Task = UNWATCHED) -> RunPage:
        """A run with all its records, in one request."""
        return self._page(queries.RUN_PAGE, {"id": run_id}, partial(answers.run_page, run_id), task)

    def annotation_file(self, file_id: int, *, task: Task = UNWATCHED) -> AnnotationFile:
        """An annotation file with its parents, in two requests: for the id of its run, and for the run's page."""
        run_id = self._page(queries.FILE_RUN, {"id": file_id}, answers.run_of_file, task)
        files = self.run_page(run_id, task=task).annotation_files if run_id is not None else ()
        for file in files:
            if file.id == file_id:
                return file
        raise NotFoundError(f"The portal has no annotation file {file_id}.")

    def neuroglancer_config(self, tomogram_id: int, *, task: Task = UNWATCHED) -> str:
        """The state of the portal's viewer for a tomogram, as JSON; empty if it has none."""
        decode = partial(answers.neuroglancer_config, tomogram_id)
        return self._page(queries.NEUROGLANCER_CONFIG, {"id": tomogram_id}, decode, task)

    def deposition_page(self, deposition_id: int, *, task: Task = UNWATCHED) -> DepositionPage:
        """A deposition, its own datasets, and the datasets and runs of others that it added to."""
        variables = {
            "id": deposition_id,
            "page": {"limit": queries.MAX_CONTRIBUTED_RUNS, "offset": 0},
        }
        return self._page(
            queries.DEPOSITION_PAGE,
            variables,
            partial(answers.deposition_page, deposition_id),
            task,
        )

    def lookup(self, record_id: int, *, task: Task = UNWATCHED) -> tuple[LookupHit, ...]:
        """All records with an id; ids of different kinds overlap."""
        return self._page(queries.LOOKUP, {"id": record_id}, answers.lookup, task)

    def datasets(self, *, task: Task = UNWATCHED) -> tuple[CatalogueRow, ...]:
        """All datasets, newest first."""
        return self.catalogue(task=task).rows

    def depositions(self, *, task: Task = UNWATCHED) -> tuple[DepositionRow, ...]:
        """All depositions, newest first."""
        return self.catalogue(task=task).depositions

    def runs(self, dataset_id: int, *, task: Task = UNWATCHED) -> Iterator[RunRow]:
        """All runs of a dataset, sorted by name and fetched page by page during iteration."""
        offset = 0
        while True:
            page = self.dataset_page(dataset_id, offset=offset, task=task)
            yield from page.runs
            offset += len(page.runs)
            if page.is_last or not page.runs:
                return

    def query(
        self, text: str, variables: dict[str, Any], *, task: Task = UNWATCHED
    ) -> dict[str, Any]:
        """The data for any query; the answer isn't cached."""
        return self._decoded(self._ask(text, variables, task), lambda answer: answer.data)

    def pages(
        self,
        table: str,
        columns: Iterable[str],
        where: dict[str, Any],
        *,
        size: int,
        task: Task = UNWATCHED,
    ) -> Iterator[list[Row]]:
        """Pages of matching rows of a table, sorted by id: the id and some columns, ``size`` rows per request.

        Each page starts after the last id, so rows added or removed meanwhile cause no duplicates
        or gaps. A server that doesn't know an optional table has no rows of it.
        """
        query = (
            f"query Rows($where: {tables()[table].type_name}WhereClause, $page: LimitOffsetClause) {{ "
            f"rows: {table}(where: $where, limitOffset: $page, orderBy: [{{id: asc}}]) {{ id {' '.join(columns)} }} }}"
        )
        last, is_last = 0, False
        while not is_last:
            after = {"id": where.get("id", {}) | {"_gt": last}}
            variables = {"where": where | after, "page": {"limit": size, "offset": 0}}
            rows = self.query(query, variables, task=task).get("rows", [])
            if rows and rows[-1]["id"] <= last:
                raise PortalError(f"The server keeps sending the same rows of {table}.")
            last, is_last = rows[-1]["id"] if rows else last, len(rows) < size
            yield rows

    def database(self, names: Iterable[str] = (), *, task: Task = UNWATCHED) -> Database | None:
        """The tables of a pack or the demo, with some of them loaded; None for a server."""
        ask = self._opened = self._opened or self._open_source(task)
        if not isinstance(ask, PackAsker):
            return None
        ask.load(names)
        return ask.database

    @property
    def cache_folder(self) -> Path | None:
        """The folder of a server's cached answers; None for a pack and the demo."""
        return self._cache.folder if self._cache is not None else None

    def close(self) -> None:
        """Free the source's memory; the next request reopens it."""
        self._opened = None

    def _page(
        self,
        query: str,
        variables: dict[str, Any],
        decode: Callable[[PortalAnswer], T],
        task: Task,
    ) -> T:
        """Run a query and decode its answer; if there is no valid one, use the cached answer."""
        task.check()
        if self.is_offline:
            page = self._cached(query, variables, decode, NetworkError("Working offline."))
            if page is None:
                hint = "Connect to the network and go online to see it."
                raise PortalError(
                    "This wasn't loaded before, and you are working offline.", hint=hint
                )
            return page
        try:
            answer = self._ask(query, variables, task)
            page = self._decoded(answer, decode)
        except NotFoundError:
            raise
        except (NetworkError, PortalError) as error:
            page = self._cached(query, variables, decode, error)
            if page is None:
                raise
            return page
        if self._cache is not None:
            self._cache.put(answer, self.source.location, query, variables)
        return page

    def _ask(self, query: str, variables: dict[str, Any], task: Task) -> PortalAnswer:
        ask = self._opened = self._opened or self._open_source(task)
        return ask(query, variables, task)

    def _cached(
        self,
        query: str,
        variables: dict[str, Any],
        decode: Callable[[PortalAnswer], T],
        error: NetworkError | PortalError | None = None,
    ) -> T | None:
        """The cached answer, or None; ``error`` is why it is shown instead of a new one."""
        answer = (
            self._cache.get(self.source.location, query, variables)
            if self._cache is not None
            else None
        )
        if answer is None:
            return None
        freshness = answer.freshness
        if isinstance(error, NetworkError):
            freshness = replace(freshness, is_offline=True, reason=error.message)
        elif error is not None:
            freshness = replace(freshness, is_failing=True, reason=str(error))
        try:
            return self._decoded(replace(answer, freshness=freshness), decode)
        except PortalError:  # cached by an older version that requested less
            return None

    def _decoded(self, answer: PortalAnswer, decode: Callable[[PortalAnswer], T]) -> T:
        """Decode an answer; its terms, if any, become the source's."""
        self.source = replace(self.source, terms=answer.terms or self.source.terms)
        return decode(replace(answer, terms=self.source.terms, source=self.source.name))


def _open_pack(folder: Path) -> Portal:
    from napari_cryoet.packs.pack import open_pack
    from napari_cryoet.packs.zipped import SUFFIX, unpacked

    if folder.suffix.lower() == SUFFIX and not folder.is_dir():
        folder = unpacked(folder)
    pack = open_pack(folder)
    manifest = pack.manifest
    source = Source(
        "pack",
        str(folder.resolve()),
        manifest.title or folder.name,
        manifest.terms,
        manifest.origin,
    )
    return Portal(source, lambda _: PackAsker(pack))


def _open_demo(task: Task) -> Ask:
    from napari_cryoet.demo.write import ensure_demo_pack
    from napari_cryoet.packs.pack import open_pack

    return PackAsker(open_pack(ensure_demo_pack(task=task)))


# rows


def ask_rows(
    portal: Portal,
    *,
    dataset_id: int | None = None,
    run_ids: Iterable[int] = (),
    names: Collection[str] | None = None,
    task: Task = UNWATCHED,
) -> Rows:
    """All rows of a dataset, or of runs, with their datasets and depositions; NotFoundError if one is missing.

    ``names`` are the tables to request, by default all.
    """
    wanted = set(run_ids)
    names = tables().keys() if names is None else names
    rows: dict[str, list[Row]] = {}
    roots: dict[str, dict[str, Any]] = {
        "runs": {"datasetId": {"_eq": dataset_id}} if dataset_id else {"id": {"_in": [*wanted]}}
    }

    def ask(names: Iterable[str]) -> None:
        wheres = {
            name: where for name in names if name not in rows and (where := _where(name, roots))
        }
        with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="napari-cryoet-rows") as pool:
            answers = pool.map(
                lambda name: ask_table(portal, name, wheres[name], task=task), wheres
            )
            rows.update(zip(wheres, answers, strict=True))

    ask(["runs"])
    if missing := wanted - {row["id"] for row in rows["runs"]}:
        raise NotFoundError(f"The portal has no run {min(missing)}.")
    dataset_ids = {dataset_id} if dataset_id else {row["datasetId"] for row in rows["runs"]}
    roots["datasets"] = {"id": {"_in": [*dataset_ids]}}
    ask(names)
    if not rows["datasets"]:
        raise NotFoundError(f"The portal has no dataset {dataset_id}.")
    deposition_ids = {row.get("depositionId") for of_table in rows.values() for row in of_table} - {
        None
    }
    roots["depositions"] = {"id": {"_in": [*deposition_ids]}}
    ask(names)
    return rows


def ask_table(
    portal: Portal,
    name: str,
    where: dict[str, Any],
    *,
    columns: Collection[str] = (),
    task: Task = UNWATCHED,
) -> list[Row]:
    """All rows of a table that match ``where``, with all columns or the id and some, requested page by page."""
    wanted = columns or [column for column in tables()[name].columns if column not in _LEFT_OUT]
    return [*chain.from_iterable(portal.pages(name, wanted, where, size=ROWS_A_PAGE, task=task))]


def _where(name: str, roots: Mapping[str, dict[str, Any]]) -> dict[str, Any] | None:
    """The condition on a table that follows from that on its run, dataset or deposition.

    None if there is none yet.
    """
    table = tables()[name]
    owner = table.owning
    if name in roots or owner is None:
        return roots.get(name)
    where = _where(owner.table, roots)
    return None if where is None else {str(table.owner): where}
