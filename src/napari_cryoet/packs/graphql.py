"""Answers GraphQL queries over tables: the official client's schema, with resolvers that follow from its structure.

The same query text that goes to the live portal runs here. As there, a nested connection ends after 100 edges in
silence, and a reply with an error has no data.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, lru_cache, partial
from typing import Any, Final

from graphql import (
    DocumentNode,
    EnumValueNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    assert_object_type,
    execute_sync,
    get_named_type,
    is_enum_type,
    parse,
    validate,
)

from napari_cryoet.exceptions import PackError, PortalError, StoppedError
from napari_cryoet.tables.database import Clause, Count, Database, Limits, Path, Query, Row
from napari_cryoet.tables.schema import Column, Relation, Table, portal_schema, tables

PAGE: Final = 100  # edges of a nested connection
MAX_QUERY_CHARACTERS: Final = 1 << 20
MAX_TOKENS: Final = 100_000
MAX_FIELDS: Final = 2_000
MAX_DEPTH: Final = 40
MAX_CELLS: Final = 5_000_000

_CURSOR: Final = "arrayconnection:"

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
    """Answer a query.

    Parameters
    ----------
    database
        The tables.
    query, variables, operation_name
        As in a GraphQL request.
    moved_url
        What the URLs of rows become.
    limits
        What the query may take.

    Returns
    -------
    dict
        A reply as in JSON: ``data``, or ``errors`` with one message and no data.

    Raises
    ------
    PackError
        The tables are damaged where the query looked.
    StoppedError
        The limits' ``stop`` was set.
    """
    try:
        result = execute_sync(
            _executable_schema(),
            _document(query),
            context_value=_Asked(database, moved_url, limits or Limits()),
            variable_values=dict(variables or {}),
            operation_name=operation_name,
        )
    except GraphQLError as refusal:
        return _refused(refusal.message)
    except RecursionError:
        return _refused("The query is nested too deep.")
    for error in result.errors or ():
        if isinstance(error.original_error, PackError | StoppedError):
            raise error.original_error
        return _refused(error.message)
    return {"data": result.data}


class _Asked:
    """What the resolvers of one query share."""

    def __init__(self, database: Database, moved_url: Callable[[str], str], limits: Limits) -> None:
        self.database, self.moved_url, self.limits = database, moved_url, limits
        self._cells = 0
        self._compiled: dict[int, Query] = {}

    def count_cell(self) -> None:
        """Keep the answer within its limits."""
        self._cells += 1
        if self._cells > MAX_CELLS:
            raise PortalError("The query asks for too much at once.")
        if self._cells % 4096 == 0:
            self.limits.check()

    def compiled(self, info: Info, compile_query: Callable[[], Query]) -> Query:
        """The query of a nested field, compiled once for all parents."""
        place = id(info.field_nodes[0])
        if place not in self._compiled:
            self._compiled[place] = compile_query()
        return self._compiled[place]

    def rows(self, table: str, query: Query) -> list[Row]:
        """The rows of a query."""
        self.limits.check()
        return self.database.run(table, query, self.limits)


@cache
def _executable_schema() -> GraphQLSchema:
    schema = portal_schema()
    for graphql_type in schema.type_map.values():
        if is_enum_type(graphql_type) and not graphql_type.name.startswith("__"):
            # lets words through that came later than the schema; graphql-core 3.2 and 3.3 name it differently
            graphql_type.serialize = graphql_type.coerce_output_value = str  # type: ignore[method-assign,assignment]
    query_type = assert_object_type(schema.query_type)
    for table in tables().values():
        query_type.fields[table.name].resolve = partial(_root, table.name)
        if aggregate := query_type.fields.get(f"{table.name}Aggregate"):
            aggregate.resolve = partial(_aggregated, table.name, None)
            _attach_to_aggregate(assert_object_type(get_named_type(aggregate.type)), table)
        _attach_to_rows(assert_object_type(schema.type_map[table.type_name]), table)
    return schema


def _attach_to_rows(row_type: GraphQLObjectType, table: Table) -> None:
    for name, field in row_type.fields.items():
        if column := table.columns.get(name):
            field.resolve = _cell(column)
        elif relation := table.parents.get(name):
            field.resolve = partial(_parent, relation)
        elif relation := table.children.get(name):
            field.resolve = partial(_children, relation)
        elif relation := table.children.get(name.removesuffix("Aggregate")):
            field.resolve = partial(_aggregated, relation.table, relation.key)
    row_type.fields["_id"].resolve = lambda row, _: _encoded(f"{table.type_name}:{row['id']}")


def _attach_to_aggregate(aggregate_type: GraphQLObjectType, table: Table) -> None:
    groups = aggregate_type.fields["aggregate"]
    groups.resolve = _groups
    functions = assert_object_type(get_named_type(groups.type)).fields
    functions["count"].resolve = lambda group, info, **_: group[info.path.key]
    group_fields = assert_object_type(get_named_type(functions["groupBy"].type)).fields
    for name in group_fields.keys() & table.columns.keys():
        group_fields[name].resolve = _cell(table.columns[name])


def _root(
    table: str,
    _: None,
    info: Info,
    *,
    where: Clause | None = None,
    orderBy: Sequence[Clause] | None = None,  # noqa: N803 - the schema's own names
    limitOffset: Mapping[str, int | None] | None = None,  # noqa: N803
) -> list[Row]:
    """The rows of a root list; all of them where no limit is given."""
    asked: _Asked = info.context
    page = limitOffset or {}
    limit, offset = page.get("limit"), page.get("offset") or 0
    return asked.rows(table, asked.database.compile_rows(table, where, orderBy or (), limit=limit, offset=offset))


def _parent(
    relation: Relation,
    row: Row,
    info: Info,
    *,
    where: Clause | None = None,
    orderBy: Sequence[Clause] | None = None,  # noqa: N803, ARG001 - there is one at most
) -> Row | None:
    """The row that a row belongs to, if it matches."""
    asked: _Asked = info.context
    if (parent_id := row[relation.key]) is None:
        return None
    query = asked.compiled(info, lambda: asked.database.compile_rows(relation.table, where, key="id"))
    return next(iter(asked.rows(relation.table, Query(query.sql, [parent_id, *query.values]))), None)


def _children(
    relation: Relation,
    row: Row,
    info: Info,
    *,
    where: Clause | None = None,
    orderBy: Sequence[Clause] | None = None,  # noqa: N803
    first: int | None = None,
    after: str | None = None,
    last: int | None = None,
    before: str | None = None,
) -> dict[str, Any]:
    """One page of the rows that belong to a row."""
    asked: _Asked = info.context
    if last is not None or before is not None:
        raise PortalError("Pages are counted from the start here: use 'first' and 'after'.")
    count, start = PAGE if first is None else first, _index(after) + 1 if after else 0
    if not 0 <= count <= PAGE:
        raise PortalError(f"Argument 'first' has to be between 0 and {PAGE}.")
    query = asked.compiled(
        info,
        lambda: asked.database.compile_rows(
            relation.table, where, orderBy or (), key=relation.key, limit=count + 1, offset=start
        ),
    )
    rows = asked.rows(relation.table, Query(query.sql, [row["id"], *query.values]))
    edges = [{"node": each, "cursor": _encoded(f"{_CURSOR}{start + n}")} for n, each in enumerate(rows[:count])]
    page_info = {
        "hasNextPage": len(rows) > count,
        "hasPreviousPage": start > 0,
        "startCursor": edges[0]["cursor"] if edges else None,
        "endCursor": edges[-1]["cursor"] if edges else None,
    }
    return {"edges": edges, "pageInfo": page_info}


def _aggregated(
    table: str, key: str | None, row: Row | None, _: Info, *, where: Clause | None = None
) -> tuple[str, str | None, Row | None, Clause | None]:
    """What an ``aggregate`` is about: a table, or the children of a row, and which of them."""
    return table, key, row, where


def _groups(source: tuple[str, str | None, Row | None, Clause | None], info: Info) -> list[dict[str, Any]]:
    """The counts of an aggregate by group; without ``groupBy`` one, or none where a nested one has no rows."""
    table, key, row, where = source
    asked: _Asked = info.context
    counts: dict[str, Count] = {}
    paths: list[Path] = []
    for node in _fields(*(node.selection_set for node in info.field_nodes)):
        if node.name.value == "groupBy":
            paths += _paths(node.selection_set)
        elif node.name.value == "count":
            counts[node.alias.value if node.alias else "count"] = _count(node)
        else:
            raise PortalError("Only counts are answered here.")
    query = asked.compiled(
        info,
        lambda: asked.database.compile_counts(table, [Count(), *counts.values()], paths, where, key=key),
    )
    parent = [] if row is None else [row["id"]]
    groups = []
    for total, *cells in asked.database.fetch(Query(query.sql, [*parent, *query.values]), asked.limits):
        asked.count_cell()
        if total or paths or row is None:
            group: dict[str, Any] = {"groupBy": {}} | dict(zip(counts, cells, strict=False))
            for path, cell in zip(paths, cells[len(counts) :], strict=True):
                _put(group["groupBy"], path, cell)
            groups.append(group)
    return groups


def _fields(*selections: SelectionSetNode | None) -> Iterator[FieldNode]:
    """The fields of an aggregate."""
    for node in (node for selection in selections if selection for node in selection.selections):
        if not isinstance(node, FieldNode):
            raise PortalError("Aggregates can't be asked for in fragments.")
        if node.name.value != "__typename":
            yield node


def _paths(selection: SelectionSetNode | None) -> Iterator[Path]:
    """The columns of a ``groupBy``, each after the relations that lead to it."""
    for node in _fields(selection):
        inner = _paths(node.selection_set) if node.selection_set else [()]
        yield from ((node.name.value, *path) for path in inner)


def _count(node: FieldNode) -> Count:
    arguments = {argument.name.value: argument.value for argument in node.arguments or ()}
    columns, distinct = arguments.get("columns"), arguments.get("distinct")
    if columns is not None and not isinstance(columns, EnumValueNode):
        raise PortalError("The column of a count has to be named in the query.")
    return Count(columns.value if columns else None, bool(getattr(distinct, "value", False)))


def _put(group: dict[str, Any], path: Path, cell: Any) -> None:
    *relations, column = path
    for name in relations:
        group = group.setdefault(name, {})
    group[column] = cell


def _cell(column: Column) -> Callable[[Row, Info], Any]:
    name = column.name

    def plain(row: Row, info: Info) -> Any:
        info.context.count_cell()
        return row[name]

    def matrix(row: Row, _: Info) -> Any:
        return row[name] and json.loads(row[name])

    def url(row: Row, info: Info) -> Any:
        info.context.count_cell()
        return None if row[name] is None else info.context.moved_url(row[name])

    if column.kind == "matrix":
        return matrix
    return url if column.is_url else plain


@lru_cache(maxsize=64)  # a program asks the same few queries again and again
def _document(text: str) -> DocumentNode:
    """Parse and validate a query."""
    if len(text) > MAX_QUERY_CHARACTERS:
        raise GraphQLError(f"A query may have {MAX_QUERY_CHARACTERS} characters at most.")
    document = parse(text, max_tokens=MAX_TOKENS, no_location=True)
    _check_size(document)
    errors = validate(_executable_schema(), document, max_errors=1)
    if errors:
        raise errors[0]
    return document


def _check_size(document: DocumentNode) -> None:
    """Refuse a query that selects too much, with its fragments in place, before anything is done with it."""
    fragments = {
        each.name.value: each.selection_set for each in document.definitions if isinstance(each, FragmentDefinitionNode)
    }
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode) and definition.operation is not OperationType.QUERY:
            raise GraphQLError("Packs can be read only.")
        count, waiting = 0, [(getattr(definition, "selection_set", None), 1)]
        while waiting:
            selection, depth = waiting.pop()
            for node in selection.selections if selection else ():
                count += 1
                if count > MAX_FIELDS or depth > MAX_DEPTH:
                    raise GraphQLError("The query asks for too many fields, or nests them too deep.")
                if isinstance(node, FragmentSpreadNode):
                    waiting.append((fragments.get(node.name.value), depth + 1))
                elif isinstance(node, FieldNode | InlineFragmentNode):
                    waiting.append((node.selection_set, depth + 1))


def _refused(message: str) -> dict[str, Any]:
    return {"data": None, "errors": [{"message": message}]}


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _index(cursor: str) -> int:
    try:
        return max(0, int(base64.b64decode(cursor, validate=True).decode().removeprefix(_CURSOR)))
    except (binascii.Error, ValueError) as error:
        raise PortalError(f"{cursor!r} isn't a cursor.") from error
