"""The portal's schema, read from the official client's package, and the shape of its tables that follows from it.

The client bundles the schema as text (SDL). A type with a root list field is a *table*; its scalar fields are columns;
a field that leads to one record is a *parent*, found by the column ``xxxId``; a field that leads to a connection is a
set of *children*, found by the parent field of theirs that leads back here.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

from graphql import (
    GraphQLError,
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
    is_scalar_type,
)

from napari_cryoet.exceptions import PortalError

Kind = Literal["int", "float", "bool", "text", "enum", "date", "matrix"]

_KINDS: Final[Mapping[str, Kind]] = {
    "Int": "int",
    "Float": "float",
    "Boolean": "bool",
    "String": "text",
    "DateTime": "date",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One scalar of a table, or one matrix: rows of numbers."""

    name: str
    kind: Kind
    is_required: bool
    words: frozenset[str] = frozenset()  # of an enumeration

    @property
    def is_url(self) -> bool:
        """Whether it holds a place where files are."""
        return self.kind == "text" and (self.name.startswith(("https", "s3")) or self.name.endswith("Url"))


@dataclass(frozen=True, slots=True)
class Relation:
    """A way from one table to another.

    Parameters
    ----------
    table
        The table that it leads to.
    key
        The column that joins them: the parent's id in the child's row.
    """

    table: str
    key: str


@dataclass(frozen=True, slots=True)
class TableShape:
    """What a table has: ``name`` is the root list field, ``type_name`` that of its rows."""

    name: str
    type_name: str
    columns: Mapping[str, Column]
    parents: Mapping[str, Relation]
    children: Mapping[str, Relation]


@dataclass(frozen=True, slots=True)
class PortalSchema:
    """The schema, and the tables by name."""

    graphql: GraphQLSchema
    tables: Mapping[str, TableShape]


_lock = threading.Lock()
_loaded: list[PortalSchema] = []


def portal_schema() -> PortalSchema:
    """The schema that ships with the official client; parsed once a process.

    Raises
    ------
    PortalError
        The client isn't installed as this package expects it.
    """
    with _lock:
        if not _loaded:
            schema = build_schema(schema_text(), assume_valid=True, no_location=True)
            _read_dates(schema)
            _loaded.append(PortalSchema(schema, _table_shapes(schema)))
        return _loaded[0]


def schema_text() -> str:
    """The schema as the official client bundles it.

    Raises
    ------
    PortalError
        The client isn't installed as this package expects it.
    """
    spec = find_spec("cryoet_data_portal")  # importing it would cost half a second
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / "data" / "schema.graphql"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise PortalError(
        "The portal's schema was not found.",
        hint="Please install the package cryoet-data-portal, version 4.9 or newer.",
    )


def to_date(text: str) -> datetime:
    """A date of the API; one without a time zone is in UTC.

    Raises
    ------
    ValueError
        It isn't an ISO 8601 date.
    """
    date = datetime.fromisoformat(text)
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _read_dates(schema: GraphQLSchema) -> None:
    """Let the scalar DateTime carry dates; let enumerations carry words that came later than the schema."""
    for graphql_type in schema.type_map.values():
        if graphql_type.name == "DateTime":
            _set_coercers(graphql_type, output=_date_to_json, value=_date_from_json)
        elif is_enum_type(graphql_type) and not graphql_type.name.startswith("__"):
            _set_coercers(graphql_type, output=str)


def _set_coercers(graphql_type: Any, *, output: Any, value: Any = None) -> None:
    graphql_type.serialize = graphql_type.coerce_output_value = output  # graphql-core 3.2 and 3.3 name it differently
    if value is not None:
        graphql_type.parse_value = graphql_type.coerce_input_value = value


def _date_to_json(date: datetime) -> str:
    return date.isoformat()


def _date_from_json(text: object) -> datetime:
    if not isinstance(text, str):
        raise GraphQLError(f"{text!r} is not a date.")
    try:
        return to_date(text)
    except ValueError as error:
        raise GraphQLError(f"{text!r} is not a date.") from error


def _table_shapes(schema: GraphQLSchema) -> dict[str, TableShape]:
    query = assert_object_type(schema.query_type)
    names = {get_named_type(field.type).name: name for name, field in query.fields.items() if _is_list(field)}
    return {name: _table_shape(schema, name, type_name, names) for type_name, name in names.items()}


def _table_shape(schema: GraphQLSchema, name: str, type_name: str, names: Mapping[str, str]) -> TableShape:
    fields = _fields(schema, type_name)
    columns = {column.name: column for key, field in fields.items() if (column := _column(key, field))}
    parents, children = {}, {}
    for key, field in fields.items():
        target = get_named_type(field.type).name
        if target in names and f"{key}Id" in columns:
            parents[key] = Relation(names[target], f"{key}Id")
        elif (child := target.removesuffix("Connection")) != target and child in names:
            back = _key_of_parent(_fields(schema, child), type_name)
            if back:
                children[key] = Relation(names[child], back)
    return TableShape(name, type_name, columns, parents, children)


def _key_of_parent(child_fields: Mapping[str, GraphQLField], parent_type: str) -> str | None:
    for name, field in child_fields.items():
        if get_named_type(field.type).name == parent_type and f"{name}Id" in child_fields:
            return f"{name}Id"
    return None


def _column(name: str, field: GraphQLField) -> Column | None:
    named = get_named_type(field.type)
    required = is_non_null_type(field.type)
    if named.name == "Float" and is_list_type(get_nullable_type(field.type)):
        return Column(name, "matrix", required)
    if is_enum_type(named):
        return Column(name, "enum", required, frozenset(named.values))
    if is_scalar_type(named) and named.name in _KINDS:
        return Column(name, _KINDS[named.name], required)
    return None


def _fields(schema: GraphQLSchema, type_name: str) -> Mapping[str, GraphQLField]:
    fields: Mapping[str, GraphQLField] = assert_object_type(schema.type_map[type_name]).fields
    return fields


def _is_list(field: GraphQLField) -> bool:
    return is_list_type(get_nullable_type(field.type)) and is_object_type(get_named_type(field.type))
