"""The search index: find, count and list, in the tables of a portal.

A pack has its tables on disk. From a server, whole tables are fetched in pages, but only the
columns that are used, and cached as one SQLite file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from napari_cryoet.discovery.columns import COLUMNS, RUNS_WITH, Columns
from napari_cryoet.discovery.fields import spelled
from napari_cryoet.discovery.matches import Matches, find
from napari_cryoet.discovery.search import Search, search_with
from napari_cryoet.exceptions import NetworkError, PackError, PortalError
from napari_cryoet.portal.portal import Portal
from napari_cryoet.portal.transport import digest_of, replace_tables
from napari_cryoet.tables.database import Database
from napari_cryoet.task import UNWATCHED, Task, shows_progress

ROWS_A_PAGE: Final = 5000
IN_FLIGHT: Final = 4

#: The number of rows of each table, and the dates of the newest records.
STATE: Final = "query State {{ {} {} }}".format(
    " ".join(f"{table}Aggregate {{ aggregate {{ count }} }}" for table in COLUMNS),
    " ".join(
        f"{table}(orderBy: [{{lastModifiedDate: desc_nulls_last}}, {{id: asc}}], limitOffset: {{limit: 1, offset: 0}})"
        " { lastModifiedDate }"
        for table, columns in COLUMNS.items()
        if "lastModifiedDate" in columns
    ),
)
_VERSION: Final = 2  # of the notes in the cache
_MAX_AGE: Final = timedelta(days=7)  # some changes alter neither counts nor dates
_RETRY_AFTER: Final = timedelta(hours=1)  # of tables that the server refused


class Index(Columns):
    """The searchable tables of one portal. Use `read_index` to make one.

    It sends no requests, doesn't change, and may be used from any thread.

    Attributes
    ----------
    as_of
        When the tables were read from the source.
    reason
        Why cached tables are used, such as a server that can't be reached; empty otherwise.
    """

    def __repr__(self) -> str:
        return f"<Index of {self.source.label}: {self.count('runs'):,} runs, as of {self.as_of:%Y-%m-%d}>"

    def find(self, search: Search | str = "", **fields: Any) -> Matches:
        """Find the matches of a search, in a few milliseconds.

        Parameters
        ----------
        search
            A search, or words that occur in the dataset or in the run.
        fields
            Further fields of `Search`, and those of one `Condition` for the annotations, such as
            ``objects="ribosome", is_ground_truth=True, processing="denoised"``. A text where several
            are possible is one. Words of the portal's lists, such as shapes, ignore case.

        Raises
        ------
        CryoETError
            A word isn't in its list; the hint has the list.
        """
        start = Search(text=search) if isinstance(search, str) else search
        asked = search_with(start, fields)
        conditions = tuple(spelled(self, each) for each in asked.annotations)
        return find(self, replace(spelled(self, asked), annotations=conditions))


@shows_progress
def read_index(
    portal: Portal,
    *,
    refresh: bool = False,
    meanwhile: Callable[[Index], None] = lambda _index: None,
    task: Task = UNWATCHED,
) -> Index:
    """Read the index of a portal: immediately for a pack, the demo, and a server whose tables are cached.

    One small request asks whether the server's tables have changed since they were cached. If they
    have, if the cache is older than a week, or with ``refresh``, they are fetched again: a minute
    for the live portal. Without an answer, cached tables of any age are used; see `Index.reason`.

    Parameters
    ----------
    meanwhile
        Called with the cached tables, to be used until it is known whether they are current.

    Raises
    ------
    NetworkError
        A server can't be reached and its tables aren't cached.
    PortalError
        The tables can't be read, or you are offline and they aren't cached.
    StoppedError
        ``task`` was stopped; the cache is unchanged.
    """
    task.check()
    if database := portal.database((*COLUMNS, *map(_table_of, RUNS_WITH)), task=task):
        return Index(database, portal.source, datetime.now(UTC))
    path = _cache_path(portal)
    cached = _cached(path)
    if portal.is_offline:
        if cached is None:
            raise PortalError(
                "The search index wasn't downloaded before, and you are working offline.",
                hint="Connect to the network and go online once.",
            )
        return _index(cached, portal)
    kept = None if cached is None else _index(cached, portal)
    if kept is not None and not refresh:
        meanwhile(kept)
    try:
        state = _ask_state(portal, task)
        if cached is None or kept is None or refresh or not _is_current(cached, state):
            return _index(_fetch_tables(Database({}), state, path, portal, task), portal)
        if kept.unknown and _is_older(cached, "tried", _RETRY_AFTER):
            return _index(_fetch_tables(cached, state, path, portal, task), portal)
    except (NetworkError, PortalError) as error:
        if cached is None:
            raise
        return _index(cached, portal, error.message)
    return kept


def _index(database: Database, portal: Portal, reason: str = "") -> Index:
    as_of = datetime.fromisoformat(database.notes["as_of"])
    return Index(database, portal.source, as_of, reason)


def _cache_path(portal: Portal) -> Path:
    """The cache file of a server's tables; a version that reads other columns has another one."""
    folder = portal.cache_folder
    assert folder is not None  # noqa: S101 - only packs have none
    version = digest_of([_VERSION, COLUMNS, [*RUNS_WITH]])
    return folder / f"index-{digest_of(portal.source.location)}-{version}.sqlite"


def _cached(path: Path) -> Database | None:
    try:
        return Database({}, saved=path) if path.exists() else None
    except PackError:
        return None


def _ask_state(portal: Portal, task: Task) -> str:
    """The number of rows of each table and the newest dates; empty if the server can't tell."""
    try:
        return json.dumps(portal.query(STATE, {}, task=task), sort_keys=True)
    except PortalError:
        return ""


def _is_current(database: Database, state: str) -> bool:
    is_changed = state not in {"", database.notes["state"]}
    return not is_changed and not _is_older(database, "as_of", _MAX_AGE)


def _is_older(database: Database, note: str, age: timedelta) -> bool:
    """Whether the time in a note is longer ago than an age; no if there is no such note."""
    notes = database.notes
    return note in notes and datetime.now(UTC) - datetime.fromisoformat(notes[note]) > age


def _fetch_tables(
    database: Database, state: str, path: Path, portal: Portal, task: Task
) -> Database:
    """Fetch the tables that a database lacks from a server, and cache them."""
    now = datetime.now(UTC).isoformat()
    names = [  # the largest first
        name
        for name in (*RUNS_WITH, *reversed([*COLUMNS]))
        if not database.is_loaded(_table_of(name))
    ]
    fetching = Task()
    n_rows = 0

    def fetch(name: str) -> list[dict[str, Any]] | None:
        rows = []
        try:
            for page in _pages(portal, name, task):
                fetching.check()
                rows += page
        except PortalError:
            if name not in RUNS_WITH:  # these are the most expensive queries
                raise
            return None
        return rows

    with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="napari-cryoet-index") as pool:
        fetched = {pool.submit(fetch, name): name for name in names}
        try:
            for n_done, future in enumerate(as_completed(fetched), 1):
                name, rows = fetched.pop(future), future.result()
                if rows is None:
                    database.note(tried=now)
                else:
                    database.load(_table_of(name), rows)
                    n_rows += len(rows)
                task.step(n_done / len(names), f"reading the search index: {n_rows:,} rows")
        finally:
            fetching.stop()
            pool.shutdown(cancel_futures=True)
    database.note(**{"as_of": now, "state": state} | database.notes)
    replace_tables(path, database)
    return database


def _table_of(name: str) -> str:
    """The table of a key of `RUNS_WITH`, or the table itself."""
    return RUNS_WITH[name][0] if name in RUNS_WITH else name


def _pages(portal: Portal, name: str, task: Task) -> Iterator[list[dict[str, Any]]]:
    """The rows of a table; for a key of `RUNS_WITH`, one row for each run that has rows there."""
    if name in COLUMNS:
        yield from portal.pages(name, COLUMNS[name], {}, size=ROWS_A_PAGE, task=task)
        return
    table, clause = RUNS_WITH[name]
    for page in portal.pages("runs", (), {table: clause}, size=ROWS_A_PAGE, task=task):
        yield [row | {"runId": row["id"]} | dict.fromkeys(clause, 0.0) for row in page]
