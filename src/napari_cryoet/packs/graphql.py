"""Answer GraphQL queries from tables, with the part of the portal's schema that queries use.

The queries for the live portal and those of its official client run here unchanged. As there, a
nested connection silently ends after 100 edges, and a reply with an error has no data. Features
that neither uses aren't in the schema: cursors, conditions on counts or on a parent, and aggregates
other than plain counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Any, Final

from graphql import (
    ConstValueNode,
    DocumentNode,
    EnumValueNode,
    FieldNode,
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLEnumValue,
    GraphQLError,
    GraphQLField,
    GraphQLFloat,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLString,
    SelectionSetNode,
    StringValueNode,
    Undefined,
    execute_sync,
    parse,
    validate,
)

from napari_cryoet.exceptions import CryoETError, PortalError
from napari_cryoet.tables.database import (
    Clause,
    Column,
    ColumnPath,
    ColumnType,
    Database,
    Limits,
    MovedUrl,
    Relation,
    Row,
    Table,
    is_url,
    tables,
)

PAGE: Final = 100  # edges of a nested connection
MAX_TOKENS: Final = 100_000

Info = GraphQLResolveInfo[Any]


def execute(
    database: Database,
    query: str,
    variables: Mapping[str, Any] | None = None,
    operation_name: str | None = None,
    *,
    moved_url: MovedUrl,
    limits: Limits | None = None,
) -> dict[str, Any]:
    """The data of a query's answer; ``moved_url`` maps the URLs of rows, also for conditions.

    Raises PortalError if the query can't be answered, PackError if the tables are damaged.
    """
    try:
        result = execute_sync(
            graphql_schema(),
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
    moved_url: MovedUrl
    limits: Limits


@lru_cache(maxsize=64)  # programs repeat the same few queries
def _document(text: str) -> DocumentNode:
    """Parse and validate a query."""
    document = parse(text, max_tokens=MAX_TOKENS, no_location=True)
    for error in validate(graphql_schema(), document, max_errors=1):
        raise error
    return document


@cache
def graphql_schema() -> GraphQLSchema:
    """The schema of all tables, with resolvers."""
    return _SchemaBuilder().schema


class _SchemaBuilder:
    """Makes the types of all tables, named as in the portal's schema."""

    def __init__(self) -> None:
        found = tables().values()
        self._wheres = {
            table.name: GraphQLInputObjectType(
                f"{table.type_name}WhereClause", partial(self._where_fields, table)
            )
            for table in found
        }
        self._orders = {
            table.name: GraphQLInputObjectType(
                f"{table.type_name}OrderByClause",
                {column.name: GraphQLInputField(_DIRECTION) for column in _own_columns(table)},
            )
            for table in found
        }
        self._groups = {
            table.name: GraphQLObjectType(
                f"{table.type_name}GroupByOptions", partial(self._group_fields, table)
            )
            for table in found
        }
        self._rows = {
            table.name: GraphQLObjectType(table.type_name, partial(self._row_fields, table))
            for table in found
        }
        self._aggregates = {table.name: self._aggregate_type(table) for table in found}
        self._connections = {table.name: self._connection_type(table) for table in found}
        self.schema = GraphQLSchema(GraphQLObjectType("Query", self._roots()), assume_valid=True)

    def _roots(self) -> dict[str, GraphQLField]:
        """The root list and the root count of each table."""
        fields = {}
        for name, row_type in self._rows.items():
            several = GraphQLNonNull(GraphQLList(GraphQLNonNull(row_type)))
            arguments = self._arguments(name, orderBy=True)
            arguments["limitOffset"] = GraphQLArgument(_LIMIT_OFFSET)
            fields[name] = GraphQLField(several, arguments, partial(_root, name))
            fields[f"{name}Aggregate"] = GraphQLField(
                GraphQLNonNull(self._aggregates[name]),
                self._arguments(name),
                partial(_aggregate, name, None),
            )
        return fields

    def _arguments(self, name: str, *, orderBy: bool = False) -> dict[str, GraphQLArgument]:  # noqa: N803
        arguments = {"where": GraphQLArgument(self._wheres[name])}
        if orderBy:
            terms = GraphQLList(GraphQLNonNull(self._orders[name]))
            arguments["orderBy"] = GraphQLArgument(terms)
        return arguments

    def _where_fields(self, table: Table) -> dict[str, GraphQLInputField]:
        fields = {
            column.name: GraphQLInputField(_COMPARATORS[column.kind])
            for column in table.columns.values()
            if column.kind in _COMPARATORS
        }
        for name, relation in table.relations.items():
            fields[name] = GraphQLInputField(self._wheres[relation.table])
        return fields

    def _group_fields(self, table: Table) -> dict[str, GraphQLField]:
        fields = {column.name: GraphQLField(_TYPES[column.kind]) for column in _own_columns(table)}
        for name, relation in table.relations.items():
            fields[name] = GraphQLField(self._groups[relation.table])
        return fields

    def _row_fields(self, table: Table) -> dict[str, GraphQLField]:
        fields = {}
        for column in table.columns.values():
            kind = _TYPES[column.kind]
            fields[column.name] = GraphQLField(GraphQLNonNull(kind) if column.is_required else kind)
        for name, relation in table.parents.items():
            fields[name] = GraphQLField(
                self._rows[relation.table], resolve=partial(_parent, relation)
            )
        for name, relation in table.children.items():
            target = relation.table
            arguments = self._arguments(target, orderBy=True)
            arguments["first"] = GraphQLArgument(GraphQLInt)
            fields[name] = GraphQLField(
                GraphQLNonNull(self._connections[target]), arguments, partial(_children, relation)
            )
            fields[f"{name}Aggregate"] = GraphQLField(
                self._aggregates[target],
                self._arguments(target),
                partial(_aggregate, target, relation.key),
            )
        return fields

    def _aggregate_type(self, table: Table) -> GraphQLObjectType:
        functions = GraphQLObjectType(
            f"{table.type_name}AggregateFunctions",
            {
                "groupBy": GraphQLField(self._groups[table.name]),
                "count": GraphQLField(GraphQLInt),
            },
        )
        groups = GraphQLList(GraphQLNonNull(functions))
        fields = {"aggregate": GraphQLField(groups, resolve=_groups)}
        return GraphQLObjectType(f"{table.type_name}Aggregate", fields)

    def _connection_type(self, table: Table) -> GraphQLObjectType:
        node = {"node": GraphQLField(GraphQLNonNull(self._rows[table.name]))}
        edge = GraphQLObjectType(f"{table.type_name}Edge", node)
        edges = GraphQLNonNull(GraphQLList(GraphQLNonNull(edge)))
        return GraphQLObjectType(f"{table.type_name}Connection", {"edges": GraphQLField(edges)})


def _own_columns(table: Table) -> list[Column]:
    """The columns that rows can be ordered and grouped by: all but the ids of parents."""
    keys = {relation.key for relation in table.parents.values()}
    return [column for column in table.columns.values() if column.name not in keys]


def _word(node: ConstValueNode) -> Any:
    """A word in a query, with or without quotes."""
    return node.value if isinstance(node, EnumValueNode | StringValueNode) else Undefined


_DATE: Final = GraphQLScalarType("DateTime")
_WORD: Final = GraphQLScalarType(
    "Word", coerce_output_value=str, coerce_input_value=str, coerce_input_literal=_word
)
_TYPES: Final[Mapping[ColumnType, Any]] = {
    "int": GraphQLInt,
    "float": GraphQLFloat,
    "bool": GraphQLBoolean,
    "text": GraphQLString,
    "word": _WORD,
    "date": _DATE,
    "matrix": GraphQLList(GraphQLNonNull(GraphQLList(GraphQLNonNull(GraphQLFloat)))),
}
_DIRECTION: Final = GraphQLEnumType(
    "orderBy",
    {
        word: GraphQLEnumValue(word)
        for direction in ("asc", "desc")
        for word in (direction, f"{direction}_nulls_first", f"{direction}_nulls_last")
    },
)
_LIMIT_OFFSET: Final = GraphQLInputObjectType(
    "LimitOffsetClause",
    {"limit": GraphQLInputField(GraphQLInt), "offset": GraphQLInputField(GraphQLInt)},
)


def _comparators(name: str, kind: ColumnType, more: str) -> GraphQLInputObjectType:
    scalar = _TYPES[kind]
    signs = {sign: GraphQLInputField(scalar) for sign in ["_eq", "_neq", *more.split()]}
    signs["_in"] = GraphQLInputField(GraphQLList(GraphQLNonNull(scalar)))
    signs["_is_null"] = GraphQLInputField(GraphQLBoolean)
    return GraphQLInputObjectType(f"{name}Comparators", signs)


_RANGE: Final = "_gt _gte _lt _lte"
_COMPARATORS: Final[Mapping[ColumnType, GraphQLInputObjectType]] = {
    "int": _comparators("Int", "int", _RANGE),
    "float": _comparators("Float", "float", _RANGE),
    "bool": _comparators("Bool", "bool", ""),
    "text": _comparators("Str", "text", f"{_RANGE} _like _ilike"),
    "word": _comparators("Word", "word", ""),
    "date": _comparators("Datetime", "date", _RANGE),
}


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
        table,
        where,
        order_by=orderBy or (),
        limit=limit,
        offset=offset,
        moved_url=context.moved_url,
        limits=context.limits,
    )


def _parent(relation: Relation, row: Row, info: Info) -> Row | None:
    """Resolve the parent of a row."""
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
) -> dict[str, Any]:
    """Resolve the first children of a row."""
    limit = PAGE if first is None else first
    if not 0 < limit <= PAGE:
        raise PortalError(f"The argument 'first' must be between 1 and {PAGE}.")
    context: _Context = info.context
    own = {relation.key: {"_eq": row["id"]}}
    rows = context.database.rows(
        relation.table,
        own,
        where,
        order_by=orderBy or (),
        limit=limit,
        moved_url=context.moved_url,
        limits=context.limits,
    )
    return {"edges": [{"node": each} for each in rows]}


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
    groups = []
    for count, *cells in context.database.counts(
        table,
        own,
        where,
        group_by=paths,
        moved_url=context.moved_url,
        limits=context.limits,
    ):
        if count or own is None:
            group: dict[str, Any] = {}
            for path, cell in zip(paths, cells, strict=True):
                _put(group, path, cell)
            groups.append({"count": count, "groupBy": group})
    return groups


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
