"""The tables of the portal, read from the GraphQL schema that the official client bundles.

A type with a root list field is a table, and its scalar fields are columns. A field of a record
type is a parent, found by the column ``xxxId``. A field of a connection type is a set of children,
found by their foreign key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Final, Literal

from graphql import (
    GraphQLField,
    GraphQLSchema,
    assert_object_type,
    build_schema,
    get_named_type,
    get_nullable_type,
    is_enum_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)

ColumnType = Literal["int", "float", "bool", "text", "date", "matrix"]

_KINDS: Final[Mapping[str, ColumnType]] = {
    "Int": "int",
    "Float": "float",
    "Boolean": "bool",
    "String": "text",
    "DateTime": "date",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A scalar column, or a matrix: rows of numbers."""

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


@cache
def portal_schema() -> GraphQLSchema:
    """The schema, parsed once per process."""
    # importing the client would cost half a second
    path = distribution("cryoet-data-portal").locate_file("cryoet_data_portal/data/schema.graphql")
    return build_schema(
        Path(str(path)).read_text(encoding="utf-8"), assume_valid=True, no_location=True
    )


@cache
def tables() -> Mapping[str, Table]:
    """All tables by name."""
    roots = assert_object_type(portal_schema().query_type).fields
    names = {
        get_named_type(field.type).name: name for name, field in roots.items() if _is_list(field)
    }
    return {name: _table(name, type_name, names) for type_name, name in names.items()}


def is_url(column: str) -> bool:
    """Whether a column holds the URL of a file or folder, judged by its name."""
    return column.startswith(("https", "s3")) or column.endswith("Url")


def _table(name: str, type_name: str, names: Mapping[str, str]) -> Table:
    fields = _fields(type_name)
    columns = {
        column.name: column for key, field in fields.items() if (column := _column(key, field))
    }
    parents, children = {}, {}
    for key, field in fields.items():
        target = get_named_type(field.type).name
        child = target.removesuffix("Connection")
        if target in names and f"{key}Id" in columns:
            parents[key] = Relation(names[target], f"{key}Id")
        elif (
            child != target and child in names and (foreign_key := _key_of_parent(child, type_name))
        ):
            children[key] = Relation(names[child], foreign_key)
    return Table(name, type_name, columns, parents, children)


def _fields(type_name: str) -> Mapping[str, GraphQLField]:
    fields: Mapping[str, GraphQLField] = assert_object_type(
        portal_schema().type_map[type_name]
    ).fields
    return fields


def _key_of_parent(child_type: str, parent_type: str) -> str | None:
    fields = _fields(child_type)
    keys = (
        f"{name}Id"
        for name, field in fields.items()
        if get_named_type(field.type).name == parent_type
    )
    return next((key for key in keys if key in fields), None)


def _column(name: str, field: GraphQLField) -> Column | None:
    named, is_required = get_named_type(field.type), is_non_null_type(field.type)
    if named.name == "Float" and is_list_type(get_nullable_type(field.type)):
        return Column(name, "matrix", is_required)
    if is_enum_type(named):
        return Column(name, "text", is_required)
    return Column(name, _KINDS[named.name], is_required) if named.name in _KINDS else None


def _is_list(field: GraphQLField) -> bool:
    return is_list_type(get_nullable_type(field.type)) and is_object_type(
        get_named_type(field.type)
    )
