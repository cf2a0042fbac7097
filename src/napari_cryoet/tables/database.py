"""The portal's tables in SQLite, queried with the API's ``where``, ``orderBy`` and ``groupBy``."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from napari_cryoet.exceptions import PackError, PortalError
from napari_cryoet.records import MAX_ID, Id
from napari_cryoet.task import UNWATCHED, Task

Row = dict[str, Any]
"""Text, numbers, booleans and None by column; a matrix is a list of rows."""
Clause = Mapping[str, Any]
"""A ``where`` argument of the API."""
ColumnPath = Sequence[str]
"""The relations that lead to a column, then the column."""
MovedUrl = Callable[[str], str]
"""Maps the URL of a file to where its source has it now."""
Rows = Mapping[str, Sequence[Row]]
"""Rows by table, spelled as in the API."""
ColumnType = Literal["int", "float", "bool", "text", "word", "date", "matrix"]
"""A "word" is a text from the portal's list of words, which may grow; a "matrix" is rows of numbers."""


def by_id(rows: Rows) -> dict[str, dict[int, Row]]:
    """Rows by table and id."""
    return {name: {row["id"]: row for row in of_table} for name, of_table in rows.items()}


MAX_SECONDS: Final = 20.0

_NOTES: Final = '"notes about the tables"'  # no table of the portal has this name
_ROWS_AT_ONCE: Final = 5000  # inserted at once: rows are larger in Python than in SQLite
_STEPS_A_CHECK: Final = 20_000  # SQLite instructions between checks: about a millisecond
_SQL_TYPES: Final[Mapping[ColumnType, str]] = {"int": "INTEGER", "float": "REAL", "bool": "INTEGER"}
_TYPES: Final[Mapping[ColumnType, Any]] = {
    "int": Annotated[int, msgspec.Meta(ge=-MAX_ID, le=MAX_ID)],
    "float": float,
    "bool": bool,
    "text": str,
    "word": str,
    "date": str,
    "matrix": list[list[float]],
}
_CONDITIONS: Final = {
    "_eq": "{} = ?",
    "_neq": "{} <> ?",
    "_gt": "{} > ?",
    "_gte": "{} >= ?",
    "_lt": "{} < ?",
    "_lte": "{} <= ?",
    "_in": "{} IN (SELECT value FROM json_each(?))",
    "_like": "{} LIKE ? ESCAPE '\\'",
    "_ilike": "folded({}) LIKE folded(?) ESCAPE '\\'",
    "_is_null": "({} IS NULL) = ?",
}
_PLAIN_DIRECTIONS: Final = {"asc": "asc_nulls_last", "desc": "desc_nulls_first"}


@dataclass(slots=True)
class Limits:
    """The deadline of a query, and the task that stops it."""

    task: Task = UNWATCHED
    deadline: float = field(default_factory=lambda: time.monotonic() + MAX_SECONDS)

    def is_over(self) -> bool:
        """Whether `check` would raise."""
        return self.task.is_stopped or time.monotonic() > self.deadline

    def check(self) -> None:
        """Raise StoppedError if stopped, PortalError after the deadline."""
        if self.is_over():
            self.task.check()
            raise PortalError("The query takes too long.", hint="Request less at once.")


class Database:
    """Tables in memory, each loaded when a query first needs it; thread-safe.

    ``saved`` is a file written by `save`, whose tables are loaded at once. Methods raise
    PortalError for queries that are invalid or take too long, PackError if a table or the file
    can't be read, and StoppedError if the limits' task is stopped.
    """

    def __init__(self, rows: Mapping[str, Iterable[Row]], *, saved: Path | None = None) -> None:
        self._rows = rows
        self._lock = threading.RLock()
        self._db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        if saved is not None:
            _read_saved(saved, self._db)
        self._db.execute("PRAGMA case_sensitive_like = ON")
        self._db.create_function("folded", 1, _folded, deterministic=True)
        self._db.execute(f"CREATE TABLE IF NOT EXISTS {_NOTES} (name TEXT PRIMARY KEY, text TEXT)")
        names = self._fetch("SELECT name FROM sqlite_master WHERE type = 'table'", (), None)
        self._loaded = {name for (name,) in names}

    def is_loaded(self, table: str) -> bool:
        """Whether the rows of a table are in memory."""
        return table in self._loaded

    @property
    def notes(self) -> dict[str, str]:
        """Short texts that are saved with the tables, such as their date."""
        with self._lock:
            return dict(self._db.execute(f"SELECT name, text FROM {_NOTES}"))

    def note(self, **texts: str) -> None:
        """Add or replace notes."""
        with self._lock:
            self._db.executemany(f"INSERT OR REPLACE INTO {_NOTES} VALUES (?, ?)", texts.items())

    def save(self, path: Path) -> None:
        """Write all loaded tables to a new file; OSError if that fails."""
        with self._lock, closing(sqlite3.connect(path)) as file:
            try:
                self._db.backup(file)
            except sqlite3.Error as error:
                raise OSError(f"SQLite can't write {path.name}: {error}") from error

    def cells(
        self,
        table: str,
        columns: Sequence[str],
        *clauses: Clause | None,
        limits: Limits | None = None,
    ) -> list[tuple[Any, ...]]:
        """Cells of some columns of the rows that match all clauses, sorted by id."""
        statement = _Statement(self, table)
        condition = statement.where(clauses)
        names = ", ".join(
            f'{statement.alias}."{tables()[table].columns[name].name}"' for name in columns
        )
        sql = f'SELECT {names} FROM "{table}" {statement.alias} WHERE {condition} ORDER BY {statement.alias}.id'
        return self._fetch(sql, statement.values, limits)

    def rows(
        self,
        table: str,
        *clauses: Clause | None,
        order_by: Iterable[Clause] = (),
        limit: int | None = None,
        offset: int = 0,
        moved_url: MovedUrl | None = None,
        limits: Limits | None = None,
    ) -> list[dict[str, Any]]:
        """The rows that match all clauses, in order; ties are sorted by id.

        Clauses compare URLs as ``moved_url`` maps them; the rows have the stored ones.
        """
        statement = _Statement(self, table, moved_url)
        condition = statement.where(clauses)
        columns = tables()[table].columns
        cells = ", ".join(f'{statement.alias}."{name}"' for name in columns)
        sql = f'SELECT {cells} FROM "{table}" {statement.alias} WHERE {condition}'
        sql += f" ORDER BY {statement.order(order_by)} LIMIT ? OFFSET ?"
        values = [*statement.values, limit or -1, offset]
        matches = self._fetch(sql, values, limits, statement.moves)
        rows = [dict(zip(columns, row, strict=True)) for row in matches]
        for name in [column.name for column in columns.values() if column.kind == "matrix"]:
            for row in rows:
                row[name] = row[name] and json.loads(row[name])
        return rows

    def counts(
        self,
        table: str,
        *clauses: Clause | None,
        group_by: Sequence[ColumnPath] = (),
        moved_url: MovedUrl | None = None,
        limits: Limits | None = None,
    ) -> list[tuple[Any, ...]]:
        """Count the rows that match all clauses, as `rows` does; the cells of a group follow its count.

        Every relation of a path is an inner join: rows without a partner are left out, and a row
        counts once per combination of partners.
        """
        statement = _Statement(self, table, moved_url)
        joins, cells = statement.group(group_by)
        condition = statement.where(clauses)
        sql = f'SELECT {", ".join(["COUNT(*)", *cells])} FROM "{table}" {statement.alias} {joins} WHERE {condition}'
        if cells:
            sql += f" GROUP BY {', '.join(cells)} ORDER BY MIN({statement.alias}.id)"
        return self._fetch(sql, statement.values, limits, statement.moves)

    def load(self, name: str, rows: Iterable[Row] | None = None) -> None:
        """Load the rows of a table, once; by default those that the database was made with."""
        with self._lock:
            if name in self._loaded:
                return
            table = tables()[name]
            kinds = table.columns.values()
            columns = [f'"{each.name}" {_SQL_TYPES.get(each.kind, "TEXT")}' for each in kinds]
            definitions = ", ".join(columns).replace('"id" INTEGER', '"id" INTEGER PRIMARY KEY')
            try:
                self._db.execute("BEGIN")
                self._db.execute(f'CREATE TABLE "{name}" ({definitions})')
                insert = f'INSERT INTO "{name}" VALUES ({", ".join("?" * len(columns))})'
                for batch in _validated(self._rows.get(name, ()) if rows is None else rows, name):
                    stored = (
                        [_stored(each, getattr(row, each.name)) for each in kinds] for row in batch
                    )
                    self._db.executemany(insert, stored)
                for relation in table.parents.values():
                    self._db.execute(
                        f'CREATE INDEX "{name}.{relation.key}" ON "{name}" ("{relation.key}")'
                    )
                self._db.execute(
                    f'ANALYZE "{name}"'
                )  # else SQLite may search by a key that all rows share
                self._db.execute("COMMIT")
            except (msgspec.ValidationError, ValueError, OverflowError, sqlite3.Error) as error:
                raise PackError(f"The table {name} is invalid: {error}.") from error
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
            self._loaded.add(name)

    def _fetch(
        self,
        sql: str,
        values: Sequence[Any],
        limits: Limits | None,
        moved_url: MovedUrl | None = None,
    ) -> list[tuple[Any, ...]]:
        limits = limits or Limits()
        limits.check()
        with self._lock:
            if moved_url is not None:
                self._db.create_function("moved", 1, lambda url: url and moved_url(url))
            self._db.set_progress_handler(limits.is_over, _STEPS_A_CHECK)
            try:
                return self._db.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                limits.check()
                raise PortalError(f"The query can't be answered: {error}.") from error
            finally:
                self._db.set_progress_handler(None, 0)


class _Statement:
    """Builds a SQL statement about a table: aliases of tables, and values to bind."""

    def __init__(self, database: Database, table: str, moved_url: MovedUrl | None = None) -> None:
        self._database = database
        self._table = table
        self._moved_url = moved_url
        self.moves: MovedUrl | None = None  # set if a condition needs it
        self._count = 0
        self.values: list[Any] = []
        self.alias = self._new_alias(table)

    def where(self, clauses: Iterable[Clause | None]) -> str:
        """The SQL condition for clauses."""
        return (
            " AND ".join(self._where(self._table, self.alias, clause or {}) for clause in clauses)
            or "1"
        )

    def order(self, order_by: Iterable[Clause]) -> str:
        """The SQL terms to sort by."""
        terms = []
        for name, direction in chain.from_iterable(clause.items() for clause in order_by):
            if name not in tables()[self._table].columns or not isinstance(direction, str):
                raise PortalError(f"{self._table} can't be ordered by {name}.")
            words = _PLAIN_DIRECTIONS.get(direction, direction).replace("_", " ")
            terms.append(f'{self.alias}."{name}" {words}')
        return ", ".join([*terms, f"{self.alias}.id"])

    def group(self, paths: Sequence[ColumnPath]) -> tuple[str, list[str]]:
        """SQL joins, and the cells at the ends of paths; paths with a common start share joins."""
        ends: dict[tuple[str, ...], tuple[str, str]] = {(): (self._table, self.alias)}
        joins, cells = [], []
        for *relations, column in paths:
            for length in range(len(relations)):
                source, path = tuple(relations[:length]), tuple(relations[: length + 1])
                if path not in ends:
                    target, inner, join = self._follow(*ends[source], path[-1])
                    joins.append(f'JOIN "{target}" {inner} ON {join}')
                    ends[path] = target, inner
            target, inner = ends[tuple(relations)]
            if column not in tables()[target].columns:
                raise PortalError(f"{target} has no {column}.")
            cells.append(f'{inner}."{column}"')
        return " ".join(joins), cells

    def _new_alias(self, table: str) -> str:
        self._database.load(table)
        self._count += 1
        return f"t{self._count}"

    def _where(self, table: str, alias: str, clause: Clause) -> str:
        columns, terms = tables()[table].columns, ["1"]
        for name, condition in clause.items():
            if name in columns:
                cell = f'{alias}."{name}"'
                terms += [
                    self._compare(columns[name], cell, sign, value)
                    for sign, value in condition.items()
                ]
            else:
                target, inner, join = self._follow(table, alias, name)
                matches = self._where(target, inner, condition)
                terms.append(
                    f'EXISTS (SELECT 1 FROM "{target}" {inner} WHERE {join} AND {matches})'
                )
        return " AND ".join(terms)

    def _follow(self, table: str, alias: str, name: str) -> tuple[str, str, str]:
        """The table that a relation leads to, a new alias for it, and the join condition."""
        shape = tables()[table]
        relation = shape.parents.get(name) or shape.children.get(name)
        if relation is None:
            raise PortalError(f"{table} has no {name}.")
        inner = self._new_alias(relation.table)
        child, parent = (alias, inner) if name in shape.parents else (inner, alias)
        return relation.table, inner, f'{child}."{relation.key}" = {parent}.id'

    def _compare(self, column: Column, cell: str, sign: str, value: Any) -> str:
        if value is None and sign in {"_eq", "_neq"}:
            sign, value = "_is_null", sign == "_eq"
        if sign not in _CONDITIONS:
            raise PortalError(f"The condition {sign} isn't supported.")
        if column.kind == "date" and sign != "_is_null":
            value = [_parse_date(each) for each in value] if sign == "_in" else _parse_date(value)
        if self._moved_url is not None and is_url(column.name):
            self.moves = self._moved_url
            cell = f"moved({cell})"
        self.values.append(json.dumps(value) if sign == "_in" else value)
        return _CONDITIONS[sign].format(cell)


def _read_saved(path: Path, target: sqlite3.Connection) -> None:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as file:
            file.backup(target)
    except sqlite3.Error as error:
        raise PackError(f"{path} can't be read: {error}.") from error


@cache
def _row_type(table: str) -> type[msgspec.Struct]:
    """The type that rows of a table must have."""
    columns = [column for column in tables()[table].columns.values() if column.name != "id"]
    return msgspec.defstruct(
        table, [("id", Id), *((each.name, _TYPES[each.kind] | None, None) for each in columns)]
    )


def _validated(rows: Iterable[Row], table: str) -> Iterator[list[Any]]:
    """Validate rows in batches."""
    remaining = iter(rows)
    while batch := list(islice(remaining, _ROWS_AT_ONCE)):
        yield msgspec.convert(batch, list[_row_type(table)])  # type: ignore[misc]


def _stored(column: Column, cell: Any) -> Any:
    """A cell as stored in SQLite."""
    if cell is None or column.kind not in {"date", "matrix"}:
        return cell
    return normalised(cell) if column.kind == "date" else json.dumps(cell)


def normalised(date: str) -> str:
    """An API date in UTC, so that equal times are equal texts.

    Dates without a time zone are in UTC.
    """
    parsed = datetime.fromisoformat(date)
    return (parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)).isoformat()


def _parse_date(date: str) -> str:
    try:
        return normalised(date)
    except (ValueError, OverflowError) as error:
        raise PortalError(f"{date!r} isn't a date.") from error


def _folded(text: Any) -> Any:
    return text.lower() if isinstance(text, str) else text


# the schema


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    kind: ColumnType
    is_required: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation to another table; ``key`` is the child's column with the parent's id."""

    table: str
    key: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table; ``name`` is its root list field, ``type_name`` the type of its rows."""

    name: str
    type_name: str
    columns: Mapping[str, Column]
    parents: Mapping[str, Relation]
    children: Mapping[str, Relation]

    @property
    def relations(self) -> Mapping[str, Relation]:
        """The parents and children."""
        return {**self.parents, **self.children}

    @property
    def owner(self) -> str | None:
        """The name of the parent of every row.

        If there are several, the run or the annotation shape.
        """
        return min(
            self.parents, key=lambda name: name not in {"run", "annotationShape"}, default=None
        )

    @property
    def owning(self) -> Relation | None:
        """The relation to the owner."""
        return None if self.owner is None else self.parents[self.owner]


class _TableData(msgspec.Struct):
    """A table in the file; an exclamation mark after a column's type marks it as required."""

    type: str
    columns: dict[str, str]
    parents: dict[str, str]  # tables by field
    lists: dict[str, str]


@cache
def tables() -> Mapping[str, Table]:
    """All tables by name."""
    content = Path(__file__).with_name("schema.json").read_bytes()
    data = msgspec.json.decode(content, type=dict[str, _TableData])
    parents = {
        name: {field: Relation(target, f"{field}Id") for field, target in each.parents.items()}
        for name, each in data.items()
    }
    found = {}
    for name, each in data.items():
        columns = {field: _column(field, kind) for field, kind in each.columns.items()}
        lists = {}
        for list_name, target in each.lists.items():
            key = next(to.key for to in parents[target].values() if to.table == name)
            lists[list_name] = Relation(target, key)
        found[name] = Table(name, each.type, columns, parents[name], lists)
    return found


def is_url(column: str) -> bool:
    """Whether a column holds the URL of a file or folder, judged by its name."""
    return column.startswith(("https", "s3")) or column.endswith("Url")


def _column(name: str, kind: str) -> Column:
    column_type: ColumnType = msgspec.convert(kind.removesuffix("!"), ColumnType)
    return Column(name, column_type, is_required=kind.endswith("!"))
