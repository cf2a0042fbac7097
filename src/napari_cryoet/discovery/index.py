"""The search index: find, count and list, in the tables of a portal.

A pack has its tables on disk. From a server, whole tables are fetched in pages, but only the
columns that are used, and cached as one SQLite file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from napari_cryoet.discovery.columns import COLUMNS, RUNS_WITH, Columns
from napari_cryoet.discovery.fields import spelled
from napari_cryoet.discovery.matches import Matches, find
from napari_cryoet.discovery.search import Search, search_with
from napari_cryoet.exceptions import NetworkError, PackError, PortalError, SaveError
from napari_cryoet.files import written_whole
from napari_cryoet.portal.portal import Portal
from napari_cryoet.tables.database import Database
from napari_cryoet.task import UNWATCHED, Task, shows_progress

ROWS_A_PAGE: Final = 5000
IN_FLIGHT: Final = 4


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
    task: Task = UNWATCHED,
) -> Index:
    """Read the index of a portal: immediately for a pack, the demo, and a server whose tables are cached.

    With ``refresh``, a server's tables are fetched again: a minute for the live portal. Otherwise,
    or if the server can't be reached (see `Index.reason`), cached tables of any age are used.

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
    database = portal.database(task=task)
    if database is not None:
        for table, _ in RUNS_WITH.values():
            database.load(table)
        return Index(database, portal.source, datetime.now(UTC))
    path = _cache_path(portal)
    if (portal.is_offline or not refresh) and (cached := _cached(path, portal, "")):
        return cached
    if portal.is_offline:
        hint = "Connect to the network and go online once."
        raise PortalError(
            "The search index wasn't downloaded before, and you are working offline.", hint=hint
        )
    try:
        return _fetch_index(portal, path, task)
    except NetworkError as error:
        if cached := _cached(path, portal, error.message):
            return cached
        raise


def _cache_path(portal: Portal) -> Path:
    """The cache file of a server's tables; a version that reads other columns has another one."""
    folder = portal.cache_folder
    assert folder is not None  # noqa: S101 - only packs have none
    location, version = (
        hashlib.sha256(json.dumps(each).encode()).hexdigest()[:16]
        for each in (portal.source.location, [COLUMNS, [*RUNS_WITH]])
    )
    return folder / f"index-{location}-{version}.sqlite"


def _cached(path: Path, portal: Portal, reason: str) -> Index | None:
    try:
        as_of = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return Index(Database({}, saved=path), portal.source, as_of, reason)
    except (OSError, PackError):
        return None


def _fetch_index(portal: Portal, path: Path, task: Task) -> Index:
    """Fetch the tables of a server and cache them."""
    as_of = datetime.now(UTC)
    names = (*RUNS_WITH, *reversed([*COLUMNS]))  # the largest first
    database = Database({})
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
                if rows is not None:
                    database.load(RUNS_WITH[name][0] if name in RUNS_WITH else name, rows)
                    n_rows += len(rows)
                task.step(n_done / len(names), f"reading the search index: {n_rows:,} rows")
        finally:
            fetching.stop()
            pool.shutdown(cancel_futures=True)
    with suppress(OSError, SaveError):
        with written_whole(path, overwrite=True, flush=False) as fresh:
            database.save(fresh)
        for older in set(path.parent.glob(f"{path.stem.rpartition('-')[0]}-*.sqlite")) - {path}:
            older.unlink()
    return Index(database, portal.source, as_of)


def _pages(portal: Portal, name: str, task: Task) -> Iterator[list[dict[str, Any]]]:
    """The rows of a table; for a key of `RUNS_WITH`, one row for each run that has rows there."""
    if name in COLUMNS:
        yield from portal.pages(name, COLUMNS[name], {}, size=ROWS_A_PAGE, task=task)
        return
    table, clause = RUNS_WITH[name]
    for page in portal.pages("runs", (), {table: clause}, size=ROWS_A_PAGE, task=task):
        yield [row | {"runId": row["id"]} | dict.fromkeys(clause, 0.0) for row in page]
