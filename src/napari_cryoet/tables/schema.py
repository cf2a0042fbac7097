"""The tables of the portal: their columns, parents and lists, as data in ``schema.json``.

A type of the portal's GraphQL with a root list is a table, and its scalar fields are columns. A
field of a record type is a parent, found by the column ``xxxId``. A field of a connection type is a
list, found by the foreign key of its rows. A test compares the data with the official client's
schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

ColumnType = Literal["int", "float", "bool", "text", "word", "date", "matrix"]
"""A "word" is a text from the portal's list of words, which may grow; a "matrix" is rows of numbers."""


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
        for field, target in each.lists.items():
            key = next(to.key for to in parents[target].values() if to.table == name)
            lists[field] = Relation(target, key)
        found[name] = Table(name, each.type, columns, parents[name], lists)
    return found


def is_url(column: str) -> bool:
    """Whether a column holds the URL of a file or folder, judged by its name."""
    return column.startswith(("https", "s3")) or column.endswith("Url")


def _column(name: str, kind: str) -> Column:
    column_type: ColumnType = msgspec.convert(kind.removesuffix("!"), ColumnType)
    return Column(name, column_type, is_required=kind.endswith("!"))
