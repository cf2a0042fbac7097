"""The searchable columns of a portal's tables as NumPy arrays."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, reduce
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import (
    PortalError,
)
from napari_cryoet.portal.portal import Source
from napari_cryoet.tables.database import Clause, Database, tables

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


class Columns:
    """The searchable tables of one portal as columns, whose rows are in the order of their ids.

    They send no requests, don't change, and may be used from any thread. Tables and columns have the
    API's names; `COLUMNS` lists them.

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
