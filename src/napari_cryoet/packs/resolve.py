"""Answers GraphQL queries over a pack's tables: the client's schema, with resolvers that follow from its structure.

The same query text that goes to the live portal runs here, in process or behind `napari_cryoet.packs.serve`, with the
limits and the meaning of the portal's own server. As there, a reply with an error has no data.
"""

from __future__ import annotations

import base64
import threading
from collections import OrderedDict
from collections.abc import Mapping
from functools import cache, partial
from typing import Any, Final

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    assert_object_type,
    execute_sync,
    get_named_type,
    parse,
    print_ast,
    validate,
)

from napari_cryoet.exceptions import PackError
from napari_cryoet.packs import resolvers
from napari_cryoet.packs.database import Database
from napari_cryoet.packs.limits import MAX_QUERY_CHARACTERS, MAX_TOKENS, Budget, QueryRefused, check_document
from napari_cryoet.packs.schema import TableShape, portal_schema

MAX_KEPT_DOCUMENTS: Final = 64

_lock = threading.Lock()
_documents: OrderedDict[str, DocumentNode] = OrderedDict()


def execute(
    database: Database,
    query: str | DocumentNode,
    variables: Mapping[str, Any] | None = None,
    operation_name: str | None = None,
    *,
    budget: Budget | None = None,
) -> ExecutionResult:
    """Answer a query.

    Parameters
    ----------
    database
        The tables of a pack.
    query, variables, operation_name
        As in a GraphQL request.
    budget
        What the query may cost; the usual bounds by default.

    Returns
    -------
    ExecutionResult
        Data, or one error and no data. Dates are text, as in JSON.

    Raises
    ------
    PackError
        The pack is damaged where the query looked.
    """
    try:
        document = _checked_document(query if isinstance(query, str) else print_ast(query))
        result = execute_sync(
            executable_schema(),
            document,
            context_value=resolvers.Query(database, budget or Budget()),
            variable_values=dict(variables or {}),
            operation_name=operation_name,
        )
    except GraphQLError as refusal:
        return ExecutionResult(None, [refusal])
    except RecursionError:
        return ExecutionResult(None, [QueryRefused("The query is nested too deep.")])
    for error in result.errors or ():
        if isinstance(error.original_error, PackError):
            raise error.original_error
    return ExecutionResult(None, result.errors[:1]) if result.errors else result


def executable_schema() -> GraphQLSchema:
    """The client's schema with resolvers; made once a process."""
    with _lock:
        return _executable_schema()


@cache
def _executable_schema() -> GraphQLSchema:
    schema, tables = portal_schema().graphql, portal_schema().tables
    query_type = assert_object_type(schema.query_type)
    for shape in tables.values():
        _attach_to_root(query_type, shape)
        _attach_to_rows(assert_object_type(schema.type_map[shape.type_name]), shape)
    return schema


def _attach_to_root(query_type: GraphQLObjectType, shape: TableShape) -> None:
    query_type.fields[shape.name].resolve = partial(resolvers.root_rows, shape.name)
    if f"{shape.name}Aggregate" in query_type.fields:
        root = query_type.fields[f"{shape.name}Aggregate"]
        root.resolve = partial(resolvers.root_aggregate, shape.name)
        _attach_to_aggregate(get_named_type(root.type), shape)


def _attach_to_rows(row_type: GraphQLObjectType, shape: TableShape) -> None:
    for name, field in row_type.fields.items():
        if name in shape.columns:
            field.resolve = resolvers.cell(shape.name, shape.columns[name])
        elif name in shape.parents:
            field.resolve = partial(resolvers.parent, shape.parents[name])
        elif name in shape.children:
            field.resolve = partial(resolvers.children, shape.children[name])
            _attach_to_connection(get_named_type(field.type))
        elif (relation := shape.children.get(name.removesuffix("Aggregate"))) is not None:
            field.resolve = partial(resolvers.children_aggregate, relation)
    row_type.fields["_id"].resolve = lambda row, _: base64.b64encode(f"{shape.type_name}:{row['id']}".encode()).decode()


def _attach_to_connection(connection_type: GraphQLObjectType) -> None:
    connection_type.fields["pageInfo"].resolve = lambda page, _: page.page_info


def _attach_to_aggregate(aggregate_type: GraphQLObjectType, shape: TableShape) -> None:
    field = aggregate_type.fields["aggregate"]
    field.resolve = resolvers.groups
    functions = get_named_type(field.type)
    functions.fields["count"].resolve = resolvers.group_count
    functions.fields["groupBy"].resolve = resolvers.group_common
    for name in resolvers.FUNCTIONS & functions.fields.keys():
        functions.fields[name].resolve = partial(resolvers.group_function, name)
        for column, column_field in get_named_type(functions.fields[name].type).fields.items():
            column_field.resolve = partial(resolvers.function_cell, shape.columns[column])


def _checked_document(text: str) -> DocumentNode:
    """Parse and validate a query; the last ones are kept, since a program asks the same few again and again."""
    with _lock:
        if text in _documents:
            _documents.move_to_end(text)
            return _documents[text]
    if len(text) > MAX_QUERY_CHARACTERS:
        raise QueryRefused(f"A query may have {MAX_QUERY_CHARACTERS} characters at most.")
    document = parse(text, max_tokens=MAX_TOKENS)
    check_document(document)
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode) and definition.operation is not OperationType.QUERY:
            raise QueryRefused("A pack can be read only.")
    errors = validate(executable_schema(), document, max_errors=1)
    if errors:
        raise errors[0]
    with _lock:
        _documents[text] = document
        while len(_documents) > MAX_KEPT_DOCUMENTS:
            _documents.popitem(last=False)
    return document
