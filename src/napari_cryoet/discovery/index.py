"""The search index: the searchable columns of a portal's tables as NumPy arrays.

A pack has its tables on disk. From a server, whole tables are fetched in pages, but only the
columns that are used, and cached as one SQLite file.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, reduce
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import (
    NetworkError,
    PackError,
    PortalError,
    SaveError,
    raise_if_stopped,
)
from napari_cryoet.files import written_whole
from napari_cryoet.portal.portal import Portal, Source
from napari_cryoet.progress import Progress
from napari_cryoet.tables.database import Clause, Database
from napari_cryoet.tables.schema import tables

T = TypeVar("T")
RowMask = NDArray[np.bool_]
"""For each row of a table, ordered by id, whether it is selected."""
Places = NDArray[np.int32]
"""For each row of a table, ordered by id, a position in another list; -1 for none."""

#: The columns to read of each table. A download queries the URLs itself.
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    table: tuple(columns.split())
    for table, columns in {
        "depositions": "id title",
        "datasets": "id depositionId title description organismName sampleType cellName tissueName cellStrainName"
        " cellComponentName samplePreparation releaseDate lastModifiedDate datasetPublications relatedDatabaseEntries"
        " fileSize",
        "datasetAuthors": "id datasetId name orcid",
        "runs": "id datasetId name",
        "tiltseries": "id runId tiltRange tiltSeriesQuality",
        "alignments": "id runId",
        "tomograms": "id runId depositionId alignmentId voxelSpacing sizeX sizeY sizeZ processing processingSoftware"
        " reconstructionMethod isVisualizationDefault isPortalStandard isAuthorSubmitted fileSizeOmezarr"
        " lastModifiedDate",
        "annotations": "id runId depositionId objectId objectName objectCount methodType annotationMethod"
        " annotationSoftware groundTruthStatus lastModifiedDate",
        "annotationAuthors": "id annotationId name",
        "annotationShapes": "id annotationId shapeType",
        "annotationFiles": "id annotationShapeId fileSize",
        "identifiedObjects": "id runId objectId objectName",
    }.items()
}
#: Tables that are too large to fetch: only which runs have rows in them that meet a clause.
RUNS_WITH: Final[Mapping[str, tuple[str, Clause]]] = {
    "frames": ("frames", {}),
    "ctf": ("perSectionParameters", {"majorDefocus": {"_is_null": False}}),
}
ROWS_A_PAGE: Final = 5000
IN_FLIGHT: Final = 4

_NOT_REPORTED: Final = frozenset({"", "not_reported"})


@dataclass(frozen=True, slots=True)
class Words:
    """A column of texts, encoded: for each row a position in ``words``, which are unique.

    -1 for none.
    """

    codes: Places
    words: tuple[str, ...]

    def rows_at(self, is_wanted: Sequence[bool] | RowMask) -> RowMask:
        """The rows whose word is wanted; ``is_wanted`` has one item for each of `words`."""
        mask: RowMask = np.append(np.asarray(is_wanted, dtype=np.bool_), False)[self.codes]
        return mask


class Index:
    """The searchable tables of one portal as columns, whose rows are in the order of their ids.

    Use `read_index` to make one. It sends no requests, doesn't change, and may be used from any
    thread. Tables and columns have the API's names; `COLUMNS` lists them.

    Attributes
    ----------
    as_of
        When the tables were read from the source.
    reason
        Why cached tables are used, such as a server that can't be reached; empty otherwise.
    unknown
        Keys of `RUNS_WITH` that the server couldn't answer; they can't be searched for.
    """

    def __init__(
        self, database: Database, source: Source, as_of: datetime, reason: str = ""
    ) -> None:
        self.source, self.as_of, self.reason = source, as_of, reason
        self.unknown = frozenset(
            what for what, (table, _) in RUNS_WITH.items() if not database.is_loaded(table)
        )
        self._database = database
        self._lock = threading.RLock()
        self._made: dict[Any, Any] = {}
        #: Calls a function with the index and a value, with a small cache.
        self.recent = lru_cache(maxsize=16)(lambda make, value: make(self, value))

    def __repr__(self) -> str:
        counts = f"{self.count('datasets'):,} datasets, {self.count('runs'):,} runs"
        return f"<Index of {self.source.label}: {counts}, as of {self.as_of:%Y-%m-%d}>"

    def count(self, table: str) -> int:
        """The number of rows of a table."""
        return len(self.ids(table))

    def ids(self, table: str) -> NDArray[np.int64]:
        """The ids of all rows of a table, ascending."""
        return self.made(("ids", table), lambda: np.fromiter(self._cells(table, "id"), np.int64))

    def words(self, table: str, column: str) -> Words:
        """A column of texts, encoded; ``not_reported`` counts as none."""
        return self.made(("words", table, column), lambda: encoded(self._cells(table, column)))

    def numbers(self, table: str, column: str) -> NDArray[np.float64]:
        """A column of numbers, with 1 and 0 for true and false and NaN for none."""
        return self.made(
            ("numbers", table, column),
            lambda: np.array(
                [np.nan if x is None else x for x in self._cells(table, column)], np.float64
            ),
        )

    def texts(self, table: str, column: str) -> list[str]:
        """A column of texts, one for each row; empty for none."""
        return self.made(
            ("texts", table, column), lambda: [text or "" for text in self._cells(table, column)]
        )

    def places(self, table: str, above: str) -> Places:
        """The position of each row's parent or further ancestor in the table ``above``.

        -1 for none.
        """
        return self.made(("places", table, above), lambda: self._places(table, above))

    def runs_with(self, what: str) -> RowMask:
        """The runs that have rows in a table or a key of `RUNS_WITH`.

        PortalError if it is `unknown`.
        """
        if what in self.unknown:
            raise PortalError(
                f"The portal couldn't determine which runs have {what}.", hint="Try again later."
            )
        return self.made(
            ("runs with", what), lambda: self._runs_with(*RUNS_WITH.get(what, (what, {})))
        )

    def rows(self, table: str, ids: Iterable[int]) -> list[dict[str, Any]]:
        """The rows with these ids as dictionaries of `COLUMNS`, ordered by id.

        Unknown ids are skipped.
        """
        columns, clause = COLUMNS[table], {"id": {"_in": [int(each) for each in ids]}}
        return [
            dict(zip(columns, row, strict=True))
            for row in self._database.cells(table, columns, clause)
        ]

    def made(self, key: Any, make: Callable[[], T]) -> T:
        """The cached value for a key; ``make`` is called the first time."""
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
            value: T = self._made[key]
            return value

    def _cells(self, table: str, column: str) -> Iterator[Any]:
        return (cell for (cell,) in self._database.cells(table, [column]))

    def _places(self, table: str, above: str) -> Places:
        if table == above:
            return np.arange(self.count(table), dtype=np.int32)
        relation = next(
            (each for each in tables()[table].parents.values() if each.table == above), None
        )
        if relation is not None:
            keys, ids = self.numbers(table, relation.key), self.ids(above)
            places = np.searchsorted(ids, keys)
            return np.where(np.append(ids, 0)[places] == keys, places, -1).astype(np.int32)
        middle = tables()[table].parents[tables()[table].owner or ""].table
        return np.append(self.places(middle, above), np.int32(-1))[self.places(table, middle)]

    def _runs_with(self, table: str, clause: Clause) -> RowMask:
        return np.isin(self.ids("runs"), self._database.cells("runs", ["id"], {table: clause}))


def encoded(cells: Iterable[str | None]) -> Words:
    """Encode a column of texts; ``not_reported`` counts as none."""
    known: dict[str, int] = {}
    codes = [
        -1 if not cell or cell in _NOT_REPORTED else known.setdefault(cell, len(known))
        for cell in cells
    ]
    return Words(np.array(codes, np.int32), tuple(known))


def marked(places: NDArray[np.integer[Any]], size: int) -> RowMask:
    """A mask of this size that is true at the positions; -1 is ignored."""
    mask = np.zeros(size + 1, np.bool_)
    mask[places] = True
    return mask[:size]


def all_of(masks: Iterable[RowMask], size: int) -> RowMask:
    """The intersection of masks."""
    return reduce(np.logical_and, masks, np.ones(size, np.bool_))


def at(mask: RowMask, places: Places) -> RowMask:
    """The values of a mask at the positions; false at -1."""
    values: RowMask = np.append(mask, False)[places]
    return values


def read_index(
    portal: Portal,
    *,
    refresh: bool = False,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
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
        ``stop`` was set; the cache is unchanged.
    """
    raise_if_stopped(stop)
    database = portal.database(stop=stop)
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
        return _fetch_index(portal, path, progress or (lambda _fraction, _message: None), stop)
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


def _fetch_index(
    portal: Portal, path: Path, progress: Progress, stop: threading.Event | None
) -> Index:
    """Fetch the tables of a server and cache them."""
    as_of = datetime.now(UTC)
    names = (*RUNS_WITH, *reversed([*COLUMNS]))  # the largest first
    database, ended, n_rows = Database({}), threading.Event(), 0

    def fetch(name: str) -> list[dict[str, Any]] | None:
        rows = []
        try:
            for page in _pages(portal, name, stop):
                raise_if_stopped(ended)
                rows += page
        except PortalError:
            if name not in RUNS_WITH:  # these are the most expensive queries
                raise
            return None
        return rows

    with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="napari-cryoet-index") as pool:
        tasks = {pool.submit(fetch, name): name for name in names}
        try:
            for n_done, task in enumerate(as_completed(tasks), 1):
                name, rows = tasks.pop(task), task.result()
                if rows is not None:
                    database.load(RUNS_WITH[name][0] if name in RUNS_WITH else name, rows)
                    n_rows += len(rows)
                progress(n_done / len(names), f"reading the search index: {n_rows:,} rows")
        finally:
            ended.set()
            pool.shutdown(cancel_futures=True)
    with suppress(OSError, SaveError):
        with written_whole(path, overwrite=True, flush=False) as fresh:
            database.save(fresh)
        for older in set(path.parent.glob(f"{path.stem.rpartition('-')[0]}-*.sqlite")) - {path}:
            older.unlink()
    return Index(database, portal.source, as_of)


def _pages(
    portal: Portal, name: str, stop: threading.Event | None
) -> Iterator[list[dict[str, Any]]]:
    """The rows of a table; for a key of `RUNS_WITH`, one row for each run that has rows there."""
    if name in COLUMNS:
        yield from portal.pages(name, COLUMNS[name], {}, size=ROWS_A_PAGE, stop=stop)
        return
    table, clause = RUNS_WITH[name]
    for page in portal.pages("runs", (), {table: clause}, size=ROWS_A_PAGE, stop=stop):
        yield [row | {"runId": row["id"]} | dict.fromkeys(clause, 0.0) for row in page]
