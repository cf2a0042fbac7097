"""The portal's tables in SQLite: takes rows, and answers the API's ``where``, ``orderBy`` and ``groupBy``."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import compress
from typing import Any, Final

from napari_cryoet.exceptions import PackError, PortalError, StoppedError
from napari_cryoet.records import MAX_ID
from napari_cryoet.tables.schema import Column, Kind, Relation, Table, tables

Row = Mapping[str, Any]
"""A row by column; in one that a `Database` gives, columns without a value hold None."""
Clause = Mapping[str, Any]
"""A ``where`` argument of the API."""
Path = Sequence[str]
"""A column, after the relations that lead to it."""

MAX_SECONDS: Final = 20.0
MAX_HOPS: Final = 4  # relations in a where, as on the portal

_STEPS_A_CHECK: Final = 20_000  # of SQLite's machine: about a millisecond
_SQL_TYPES: Final[Mapping[Kind, str]] = {"int": "INTEGER", "float": "REAL", "bool": "INTEGER"}
_TYPES: Final[Mapping[Kind, tuple[tuple[type, ...], str]]] = {
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
    "text": ((str,), "text"),
    "date": ((str,), "an ISO 8601 date"),
    "matrix": ((list, tuple), "rows of numbers"),
}
_COMPARISONS: Final = {"_eq": "=", "_neq": "<>", "_gt": ">", "_gte": ">=", "_lt": "<", "_lte": "<="}
_COUNTED: Final = Column("count", "int", is_required=True)


@dataclass(slots=True)
class Limits:
    """What a query may take: its end, and who may stop it."""

    stop: threading.Event | None = None
    deadline: float = field(default_factory=lambda: time.monotonic() + MAX_SECONDS)

    def check(self) -> None:
        """Raise StoppedError on a stop, and PortalError after the deadline."""
        if self.stop is not None and self.stop.is_set():
            raise StoppedError
        if time.monotonic() > self.deadline:
            raise PortalError("The query takes too long.", hint="Ask for less at once.")

    def is_over(self) -> bool:
        """Whether `check` would raise."""
        return (self.stop is not None and self.stop.is_set()) or time.monotonic() > self.deadline


@dataclass(frozen=True, slots=True)
class Count:
    """A count of rows; with a column of its values, or of its different values."""

    column: str | None = None
    distinct: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """A compiled statement and its values; the first value is the parent's id where one is wanted."""

    sql: str
    values: Sequence[Any]


class Database:
    """Tables in memory; safe to share by threads.

    Parameters
    ----------
    rows
        The rows of each table; a table is taken from it when a query first needs it.
    """

    def __init__(self, rows: Mapping[str, Iterable[Row]]) -> None:
        self._rows = rows
        self._loaded: set[str] = set()
        self._lock = threading.RLock()
        self._db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA case_sensitive_like = ON")
        self._db.create_function("folded", 1, _folded, deterministic=True)

    def rows(
        self,
        table: str,
        where: Clause | None = None,
        order_by: Iterable[Clause] = (),
        *,
        limit: int | None = None,
        offset: int = 0,
        limits: Limits | None = None,
    ) -> list[Row]:
        """The rows that match, in order; rows that are equal under it come by id.

        Raises
        ------
        PortalError
            The clause can't be answered, or takes too long.
        PackError
            A table can't be read, or a cell isn't what its column holds.
        StoppedError
            The limits' ``stop`` was set.
        """
        return self.run(table, self.compile_rows(table, where, order_by, limit=limit, offset=offset), limits)

    def get(self, table: str, row_id: int, limits: Limits | None = None) -> Row | None:
        """The row with an id."""
        return next(iter(self.rows(table, {"id": {"_eq": row_id}}, limits=limits)), None)

    def count_by(
        self, table: str, path: Path, where: Clause | None = None, limits: Limits | None = None
    ) -> dict[Any, int]:
        """How many rows that match have each value at the end of a path, such as ``runs annotations objectName``."""
        query = self.compile_counts(table, [Count("id", distinct=True)], [path], where)
        return {value: count for count, value in self.fetch(query, limits)}

    def run(self, table: str, query: Query, limits: Limits | None = None) -> list[Row]:
        """The rows that a query of `compile_rows` gives."""
        names = tuple(tables()[table].columns)
        return [dict(zip(names, cells, strict=True)) for cells in self.fetch(query, limits)]

    def fetch(self, query: Query, limits: Limits | None = None) -> list[tuple[Any, ...]]:
        """The cells that a query gives."""
        limits = limits or Limits()
        with self._lock:
            self._db.set_progress_handler(limits.is_over, _STEPS_A_CHECK)
            try:
                return self._db.execute(query.sql, query.values).fetchall()
            except sqlite3.Error as error:
                limits.check()
                raise PortalError(f"The query can't be answered: {error}.") from error
            finally:
                self._db.set_progress_handler(None, 0)

    def compile_rows(
        self,
        table: str,
        where: Clause | None = None,
        order_by: Iterable[Clause] = (),
        *,
        key: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> Query:
        """A query for rows; with a ``key``, for the children of the parent whose id is the query's first value."""
        if (limit or 0) < 0 or offset < 0:
            raise PortalError("A limit or an offset can't be negative.")
        statement = _Statement(self)
        place = statement.place(table)
        joins, order = statement.order(table, place, order_by)
        own = f'{place}."{key}" = ? AND ' if key else ""
        condition = statement.where(table, place, where)
        columns = ", ".join(f'{place}."{name}"' for name in tables()[table].columns)
        sql = (
            f'SELECT {columns} FROM "{table}" {place} {joins} WHERE {own}{condition}'
            f" ORDER BY {order} LIMIT {limit or -1} OFFSET {offset}"
        )
        return Query(sql, statement.values)

    def compile_counts(
        self,
        table: str,
        counts: Sequence[Count],
        group_by: Sequence[Path] = (),
        where: Clause | None = None,
        *,
        key: str | None = None,
    ) -> Query:
        """A query for counts of the rows that match, then the cells that they are grouped by.

        Every relation of a path is joined: rows without a partner are left out, and ``count`` without a column counts a
        row once for each combination of partners.
        """
        statement = _Statement(self)
        place = statement.place(table)
        joins, columns = statement.group(table, place, group_by)
        own = f'{place}."{key}" = ? AND ' if key else ""
        condition = statement.where(table, place, where)
        cells = ", ".join([*(_count(table, place, each) for each in counts), *columns])
        sql = f'SELECT {cells} FROM "{table}" {place} {joins} WHERE {own}{condition}'
        if columns:
            sql += f" GROUP BY {', '.join(columns)} ORDER BY MIN({place}.id)"
        return Query(sql, statement.values)

    def matching(self, table: str, column: str, pattern: str, *, ignore_case: bool) -> list[str]:
        """The texts of a column in which a regular expression is found; RE2, which takes linear time for any."""
        import pyarrow
        from pyarrow import compute

        cells = self.fetch(Query(f'SELECT DISTINCT "{column}" FROM "{table}"', ()))
        texts = [text for (text,) in cells if text is not None]
        try:
            array = pyarrow.array(texts, pyarrow.string())
            found = compute.match_substring_regex(array, pattern, ignore_case=ignore_case)
        except pyarrow.ArrowInvalid as error:
            raise PortalError(f"{pattern!r} isn't a regular expression.") from error
        return list(compress(texts, found.to_pylist()))

    def _load(self, name: str) -> None:
        """Take in the rows of a table, once."""
        with self._lock:
            if name in self._loaded:
                return
            table = tables()[name]
            columns = [f'"{column.name}" {_SQL_TYPES.get(column.kind, "TEXT")}' for column in table.columns.values()]
            definitions = ", ".join(columns).replace('"id" INTEGER', '"id" INTEGER PRIMARY KEY')
            cells = [
                [_stored(table, column, row) for column in table.columns.values()] for row in self._rows.get(name, ())
            ]
            try:
                self._db.execute(f'CREATE TABLE "{name}" ({definitions})')
                self._db.executemany(f'INSERT INTO "{name}" VALUES ({", ".join("?" * len(columns))})', cells)
                for relation in table.parents.values():
                    self._db.execute(f'CREATE INDEX "{name}.{relation.key}" ON "{name}" ("{relation.key}")')
                self._db.execute(f'ANALYZE "{name}"')  # or SQLite may search by a key that all rows share
            except (sqlite3.Error, UnicodeEncodeError) as error:
                self._db.execute(f'DROP TABLE "{name}"')
                raise PackError(f"The table {name} can't be read: {error}.") from error
            self._loaded.add(name)


class _Statement:
    """A statement that is being written: its places (aliases of tables) and its values."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._count = 0
        self.values: list[Any] = []

    def place(self, table: str) -> str:
        """A new alias of a table."""
        self._database._load(table)
        self._count += 1
        return f"t{self._count}"

    def where(self, table: str, place: str, clause: Clause | None, hops: int = 0) -> str:
        """The condition that a clause means for the row at a place."""
        if hops > MAX_HOPS:
            raise PortalError("Max filter depth exceeded.")
        shape, terms = tables()[table], ["1"]
        for name, condition in (clause or {}).items():
            if name in shape.columns:
                terms += self._cell(table, place, name, condition)
            elif counted := shape.children.get(name.removesuffix("Aggregate") if name.endswith("Aggregate") else ""):
                terms += self._count_of_children(counted, place, condition["count"], hops)
            else:
                target, inner, join = self._follow(table, place, name)
                matches = self.where(target, inner, condition, hops + 1)
                terms.append(f'EXISTS (SELECT 1 FROM "{target}" {inner} WHERE {join} AND {matches})')
        return " AND ".join(terms)

    def _follow(self, table: str, place: str, name: str) -> tuple[str, str, str]:
        """The table that a relation leads to, a place for its row, and how the two are joined."""
        shape = tables()[table]
        relation = shape.parents.get(name) or shape.children.get(name)
        if relation is None:
            raise PortalError(f"{table} has no {name}.")
        inner = self.place(relation.table)
        child, parent = (place, inner) if name in shape.parents else (inner, place)
        return relation.table, inner, f'{child}."{relation.key}" = {parent}.id'

    def _count_of_children(self, relation: Relation, parent: str, count: Clause, hops: int) -> Iterator[str]:
        wanted = Count(count.get("arguments"), bool(count.get("distinct")))
        for sign, value in (count.get("predicate") or {}).items():
            place = self.place(relation.table)
            matches = self.where(relation.table, place, count.get("filter"), hops + 2)
            counted = _count(relation.table, place, wanted)
            join = f'{place}."{relation.key}" = {parent}.id'
            number = f'(SELECT {counted} FROM "{relation.table}" {place} WHERE {join} AND {matches})'
            yield self._operator(number, _COUNTED, sign, value)

    def _cell(self, table: str, place: str, name: str, condition: Clause | None) -> Iterator[str]:
        if condition is None:
            raise PortalError(f"The condition on {name} is null; leave it out.")
        for sign, value in condition.items():
            if value is None and sign not in {"_eq", "_neq"}:
                raise PortalError(f"The condition {sign} on {name} is null; leave it out.")
            if sign.endswith("regex"):
                found = self._database.matching(table, name, value, ignore_case="ireg" in sign)
                sign, value = "_nin" if sign.startswith("_n") else "_in", found  # noqa: PLW2901 - the same condition
            yield self._operator(f'{place}."{name}"', tables()[table].columns[name], sign, value)

    def _operator(self, cell: str, column: Column, sign: str, value: Any) -> str:
        if sign == "_is_null" or value is None:
            is_null = value if sign == "_is_null" else sign == "_eq"
            return f"{cell} IS {'' if is_null else 'NOT '}NULL"
        if sign in {"_in", "_nin"}:
            self.values.append(json.dumps([_comparable(column, each) for each in value]))
            return f"{cell} {'NOT ' if sign == '_nin' else ''}IN (SELECT value FROM json_each(?))"
        if sign in _COMPARISONS:
            self.values.append(_comparable(column, value))
            return f"{cell} {_COMPARISONS[sign]} ?"
        negated = "NOT " if sign.startswith("_n") else ""
        if sign.endswith("ilike"):
            self.values.append(_folded(value))
            return f"folded({cell}) {negated}LIKE ? ESCAPE '\\'"
        self.values.append(value)
        return f"{cell} {negated}LIKE ? ESCAPE '\\'"

    def order(self, table: str, place: str, order_by: Iterable[Clause]) -> tuple[str, str]:
        """Joins, and the terms to sort by; rows without a parent that the order goes through are left out."""
        joins: list[str] = []
        terms: list[str] = []

        def walk(table: str, place: str, clause: Clause) -> None:
            shape = tables()[table]
            for name, direction in clause.items():
                if direction is None or name in shape.children:
                    raise PortalError(f"{table} can't be ordered by {name}.")
                if name in shape.columns:
                    terms.append(f'{place}."{name}" {_direction(direction)}')
                else:
                    target, inner, join = self._follow(table, place, name)
                    joins.append(f'JOIN "{target}" {inner} ON {join}')
                    walk(target, inner, direction)

        for item in order_by:
            walk(table, place, item)
        return " ".join(joins), ", ".join([*terms, f"{place}.id"])

    def group(self, table: str, place: str, paths: Sequence[Path]) -> tuple[str, list[str]]:
        """Joins, and the cells at the ends of paths; paths that begin alike share their joins."""
        ends: dict[tuple[str, ...], tuple[str, str]] = {(): (table, place)}
        joins, cells = [], []
        for *relations, column in paths:
            for length in range(len(relations)):
                above, here = tuple(relations[:length]), tuple(relations[: length + 1])
                if here not in ends:
                    target, inner, join = self._follow(*ends[above], here[-1])
                    joins.append(f'JOIN "{target}" {inner} ON {join}')
                    ends[here] = target, inner
            target, inner = ends[tuple(relations)]
            if column not in tables()[target].columns:
                raise PortalError(f"{target} has no {column}.")
            cells.append(f'{inner}."{column}"')
        return " ".join(joins), cells


def normalised_date(text: str) -> str:
    """A date of the API in UTC, so that equal moments are equal texts; one without a time zone is in UTC.

    Raises
    ------
    ValueError
        It isn't an ISO 8601 date.
    """
    date = datetime.fromisoformat(text)
    return (date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)).isoformat()


def _stored(table: Table, column: Column, row: Row) -> Any:
    """A cell as SQLite keeps it."""
    cell: Any = row.get(column.name)
    if cell is None and column.name != "id":
        return None
    types, words = _TYPES[column.kind]
    is_right = isinstance(cell, types) and isinstance(cell, bool) is (column.kind == "bool")
    if column.name == "id":
        is_right, words = is_right and 0 < cell <= MAX_ID, f"a whole number from 1 to {MAX_ID}"
    elif column.kind == "int":
        is_right = is_right and abs(cell) <= MAX_ID
    try:
        if not is_right:
            raise ValueError
        if column.kind == "date":
            return normalised_date(cell)
        return json.dumps(cell) if column.kind == "matrix" else cell
    except (ValueError, OverflowError) as error:
        place = f"Row {row.get('id')} of the table {table.name}"
        raise PackError(f"{place} should have {words} in {column.name}: {str(cell)[:60]!r}.") from error


def _comparable(column: Column, value: Any) -> Any:
    """A value of a condition, spelled as the cells are."""
    if column.kind != "date":
        return value
    try:
        return normalised_date(str(value))
    except (ValueError, OverflowError) as error:
        raise PortalError(f"{value!r} isn't a date.") from error


def _count(table: str, place: str, count: Count) -> str:
    if count.column is None:
        return "COUNT(*)"
    if count.column not in tables()[table].columns:
        raise PortalError(f"{table} has no {count.column}.")
    return f'COUNT({"DISTINCT " if count.distinct else ""}{place}."{count.column}")'


def _direction(direction: str) -> str:
    """Nulls come last where ascending and first where descending, unless the direction says it."""
    is_down = direction.startswith("desc")
    is_null_first = direction.endswith("first") or (is_down and not direction.endswith("last"))
    return f"{'DESC' if is_down else 'ASC'} NULLS {'FIRST' if is_null_first else 'LAST'}"


def _folded(text: Any) -> Any:
    return text.lower() if isinstance(text, str) else text
