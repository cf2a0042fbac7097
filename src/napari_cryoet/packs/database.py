"""A pack's tables as a database: typed rows with every column, found by id and by foreign key.

Rows are read, checked and indexed table by table when a query first needs them. Dates become dates and URLs are
rewritten to where the files are now, once, so that filters, sorting and replies all see the same values.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from napari_cryoet.exceptions import PackError
from napari_cryoet.packs.pack import Pack
from napari_cryoet.packs.schema import Column, Kind, TableShape, portal_schema, to_date
from napari_cryoet.packs.urls import Rewrite, local_urls

Record = Mapping[str, Any]
"""A row with all columns of its table; None stands for null."""

_TYPES: Final[Mapping[Kind, tuple[type, ...]]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "text": (str,),
    "enum": (str,),
    "date": (str,),
    "matrix": (list,),
}
_WORDS: Final[Mapping[Kind, str]] = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "text": "text",
    "enum": "text",
    "date": "an ISO 8601 date",
    "matrix": "rows of numbers",
}
_MAX_INT: Final = 2**31 - 1  # of GraphQL


class Table:
    """The rows of one table."""

    def __init__(self, shape: TableShape, rows: Sequence[Record]) -> None:
        self.shape = shape
        self.rows = rows
        self._indexes: dict[str, dict[Any, list[Record]]] = {}
        self._lock = threading.Lock()

    def by(self, column: str) -> Mapping[Any, Sequence[Record]]:
        """The rows by the value of a column, in the order of the table; the index is made once."""
        with self._lock:
            index = self._indexes.get(column)
            if index is None:
                index = self._indexes[column] = {}
                for row in self.rows:
                    index.setdefault(row[column], []).append(row)
            return index

    def get(self, row_id: int) -> Record | None:
        """The row with an id."""
        return next(iter(self.by("id").get(row_id, ())), None)


class Database:
    """The tables of a pack; safe to share by threads.

    Parameters
    ----------
    pack
        Whose tables.
    rewrite
        What URLs become; by default, ``file://`` URLs of the pack's own files.
    """

    def __init__(self, pack: Pack, rewrite: Rewrite | None = None) -> None:
        self.pack = pack
        self.shapes = portal_schema().tables
        self._rewrite = rewrite or local_urls(pack)
        self._tables: dict[str, Table] = {}
        self._lock = threading.Lock()

    def table(self, name: str) -> Table:
        """A table by the name of its root list field.

        Raises
        ------
        PackError
            The table can't be read, or a cell isn't what its column holds.
        """
        with self._lock:
            table = self._tables.get(name)
            if table is None:
                table = self._tables[name] = self._read(self.shapes[name])
            return table

    def _read(self, shape: TableShape) -> Table:
        converters = [(column.name, _converter(column, self._rewrite), column) for column in shape.columns.values()]
        rows = []
        for row in self.pack.tables[shape.name]:
            record: dict[str, Any] = {}
            for name, convert, column in converters:
                cell = row.get(name)
                try:
                    record[name] = None if cell is None else convert(cell)
                except ValueError as error:
                    raise PackError(
                        f"Row {row['id']} of the table {shape.name} should have {_WORDS[column.kind]}"
                        f" in {name}: {cell!r}."
                    ) from error
            rows.append(record)
        return Table(shape, rows)


def _converter(column: Column, rewrite: Rewrite) -> Callable[[Any], Any]:
    types, is_bool = _TYPES[column.kind], column.kind == "bool"

    def checked(cell: Any) -> Any:
        if not isinstance(cell, types) or isinstance(cell, bool) is not is_bool:
            raise ValueError
        return cell

    def whole(cell: Any) -> Any:
        if not -_MAX_INT <= checked(cell) <= _MAX_INT:
            raise ValueError
        return cell

    match column.kind:
        case "int":
            return whole
        case "matrix":
            return lambda cell: tuple(tuple(row) for row in checked(cell))  # can be compared and grouped by
        case "date":
            return lambda cell: to_date(checked(cell))
        case "text" if column.is_url:
            return lambda cell: rewrite(checked(cell))
    return checked
