"""Answer GraphQL queries from tables: the official client's schema, with resolvers derived from its structure.

The queries for the live portal run here unchanged. As there, a nested connection silently ends
after 100 edges, and a reply with an error has no data. Features that neither our queries nor the
official client use are refused: cursors, conditions on counts, and aggregates other than plain
counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    SelectionSetNode,
    assert_object_type,
    execute_sync,
    get_named_type,
    is_enum_type,
    parse,
    validate,
)

from napari_cryoet.exceptions import CryoETError, PortalError
from napari_cryoet.tables.database import Clause, ColumnPath, Database, Limits, Row
from napari_cryoet.tables.schema import Relation, Table, is_url, portal_schema, tables

PAGE: Final = 100  # edges of a nested connection
MAX_TOKENS: Final = 100_000

Info = GraphQLResolveInfo[Any]


def execute(
    database: Database,
    query: str,
    variables: Mapping[str, Any] | None = None,
    operation_name: str | None = None,
    *,
    moved_url: Callable[[str], str],
    limits: Limits | None = None,
) -> dict[str, Any]:
    """The data of a query's answer; ``moved_url`` maps the URLs of rows.

    Raises PortalError if the query can't be answered, PackError if the tables are damaged.
    """
    try:
        result = execute_sync(
            _executable_schema(),
            _document(query),
            context_value=_Context(database, moved_url, limits or Limits()),
            variable_values=dict(variables or {}),
            operation_name=operation_name,
            field_resolver=_cell,
        )
    except (GraphQLError, RecursionError) as error:
        raise PortalError(
            f"The query can't be answered: {getattr(error, 'message', error)}"
        ) from error
    for first in result.errors or ():
        if isinstance(first.original_error, CryoETError):
            raise first.original_error
        raise PortalError(f"The query can't be answered: {first.message}") from first
    return result.data or {}


@dataclass(frozen=True, slots=True)
class _Context:
    """Context shared by the resolvers of one query."""

    database: Database
    moved_url: Callable[[str], str]
    limits: Limits


@lru_cache(maxsize=64)  # programs repeat the same few queries
def _document(text: str) -> DocumentNode:
    """Parse and validate a query."""
    document = parse(text, max_tokens=MAX_TOKENS, no_location=True)
    for error in validate(_executable_schema(), document, max_errors=1):
        raise error
    return document


@cache
def _executable_schema() -> GraphQLSchema:
    schema = portal_schema()
    for graphql_type in schema.type_map.values():
        if is_enum_type(graphql_type) and not graphql_type.name.startswith("__"):
            # accept values added after the schema was released
            graphql_type.coerce_output_value = str  # type: ignore[method-assign,assignment]
    query_type = assert_object_type(schema.query_type)
    for table in tables().values():
        query_type.fields[table.name].resolve = partial(_root, table.name)
        if aggregate := query_type.fields.get(f"{table.name}Aggregate"):
            aggregate.resolve = partial(_aggregate, table.name, None)
            groups = assert_object_type(get_named_type(aggregate.type)).fields["aggregate"]
            groups.resolve = _groups
            assert_object_type(get_named_type(groups.type)).fields["count"].resolve = _count
        _attach_to_rows(assert_object_type(schema.type_map[table.type_name]), table)
    return schema


def _attach_to_rows(row_type: GraphQLObjectType, table: Table) -> None:
    for name, field in row_type.fields.items():
        if relation := table.parents.get(name):
            field.resolve = partial(_parent, relation)
        elif relation := table.children.get(name):
            field.resolve = partial(_children, relation)
        elif relation := table.children.get(name.removesuffix("Aggregate")):
            field.resolve = partial(_aggregate, relation.table, relation.key)


def _cell(row: Row, info: Info) -> Any:
    """The default resolver: a field of a row, a group or a connection by name."""
    context: _Context = info.context
    context.limits.check()
    cell = row.get(info.field_name)
    return context.moved_url(cell) if isinstance(cell, str) and is_url(info.field_name) else cell


def _root(
    table: str,
    _: None,
    info: Info,
    *,
    where: Clause | None = None,
    orderBy: Sequence[Clause] | None = None,  # noqa: N803 - names from the schema
    limitOffset: Mapping[str, int | None] | None = None,  # noqa: N803
) -> Sequence[Row]:
    """Resolve a root list; all its rows unless there is a limit."""
    context: _Context = info.context
    page = limitOffset or {}
    limit, offset = page.get("limit"), page.get("offset") or 0
    return context.database.rows(
        table, where, order_by=orderBy or (), limit=limit, offset=offset, limits=context.limits
    )


def _parent(relation: Relation, row: Row, info: Info, **others: Any) -> Row | None:
    """Resolve the parent of a row."""
    _refuse(others)
    context: _Context = info.context
    own = {"id": {"_in": [row[relation.key]]}}  # None if the key is null
    return next(iter(context.database.rows(relation.table, own, limits=context.limits)), None)


def _children(
    relation: Relation,
    row: Row,
    info: Info,
    *,
    where: Clause | None = None,
    orderBy: Sequence[Clause] | None = None,  # noqa: N803
    first: int | None = None,
    **others: Any,
) -> dict[str, Any]:
    """Resolve the first children of a row."""
    _refuse(others)
    limit = PAGE if first is None else first
    if not 0 < limit <= PAGE:
        raise PortalError(f"The argument 'first' must be between 1 and {PAGE}.")
    context: _Context = info.context
    own = {relation.key: {"_eq": row["id"]}}
    rows = context.database.rows(
        relation.table, own, where, order_by=orderBy or (), limit=limit, limits=context.limits
    )
    return {"edges": [{"node": each} for each in rows]}


def _refuse(arguments: Mapping[str, Any]) -> None:
    """Raise PortalError for unsupported arguments; absent ones are empty."""
    for name, value in arguments.items():
        if value:
            raise PortalError(f"The argument '{name}' isn't supported.")


def _aggregate(
    table: str, key: str | None, row: Row | None, _: Info, *, where: Clause | None = None
) -> tuple[str, Clause | None, Clause | None]:
    """What an ``aggregate`` counts: rows of a table or children of a row, filtered by ``where``."""
    return table, None if row is None else {str(key): {"_eq": row["id"]}}, where


def _groups(source: tuple[str, Clause | None, Clause | None], info: Info) -> list[dict[str, Any]]:
    """Resolve the counts of an aggregate by group.

    Without ``groupBy`` one count, or none if a nested one is 0.
    """
    table, own, where = source
    context: _Context = info.context
    paths: list[ColumnPath] = []
    for node in _fields(*(node.selection_set for node in info.field_nodes)):
        if node.name.value == "groupBy":
            paths += _paths(node.selection_set)
        elif node.name.value != "count":
            raise PortalError("Only counts are supported in aggregates.")
    groups = []
    for count, *cells in context.database.counts(
        table, own, where, group_by=paths, limits=context.limits
    ):
        if count or own is None:
            group: dict[str, Any] = {}
            for path, cell in zip(paths, cells, strict=True):
                _put(group, path, cell)
            groups.append({"count": count, "groupBy": group})
    return groups


def _count(group: Mapping[str, Any], _: Info, **arguments: Any) -> Any:
    _refuse(arguments)
    return group["count"]


def _fields(*selections: SelectionSetNode | None) -> Iterator[FieldNode]:
    """The fields of an aggregate."""
    for node in (node for selection in selections if selection for node in selection.selections):
        if not isinstance(node, FieldNode):
            raise PortalError("Fragments aren't supported in aggregates.")
        if node.name.value != "__typename":
            yield node


def _paths(selection: SelectionSetNode | None) -> Iterator[ColumnPath]:
    """The columns of a ``groupBy``, each preceded by the relations that lead to it."""
    for node in _fields(selection):
        inner = _paths(node.selection_set) if node.selection_set else [()]
        yield from ((node.name.value, *path) for path in inner)


def _put(group: dict[str, Any], path: ColumnPath, cell: Any) -> None:
    *relations, column = path
    for name in relations:
        group = group.setdefault(name, {})
    group[column] = cell
