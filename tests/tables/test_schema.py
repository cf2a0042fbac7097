"""Our schema of the portal, as data and as GraphQL, against that of the official client."""

from __future__ import annotations

from collections.abc import Mapping

import graphql

from napari_cryoet.packs.graphql import graphql_schema
from napari_cryoet.tables.database import Column, Relation, Table, tables
from portal_rows import portal_schema

KINDS = {"Int": "int", "Float": "float", "Boolean": "bool", "String": "text", "DateTime": "date"}


def table_names(schema: graphql.GraphQLSchema) -> dict[str, str]:
    """Root lists by the type of their rows."""
    return {
        graphql.get_named_type(field.type).name: name
        for name, field in schema.query_type.fields.items()
        if not name.endswith("Aggregate")
    }


def column_of(name: str, field: graphql.GraphQLField) -> Column | None:
    named = graphql.get_named_type(field.type)
    if not graphql.is_leaf_type(named) or name == "_id":
        return None
    kind = "word" if graphql.is_enum_type(named) else KINDS[named.name]
    if graphql.is_list_type(graphql.get_nullable_type(field.type)):
        kind = "matrix"
    return Column(name, kind, graphql.is_non_null_type(field.type))


def client_table(schema: graphql.GraphQLSchema, type_name: str, names: Mapping[str, str]) -> Table:
    fields = schema.type_map[type_name].fields
    columns = {name: column_of(name, field) for name, field in fields.items()}
    columns = {name: column for name, column in columns.items() if column is not None}
    parents = {}
    children = {}
    for name, field in fields.items():
        target = graphql.get_named_type(field.type).name
        row_type = target.removesuffix("Connection")
        if target in names:
            parents[name] = Relation(names[target], f"{name}Id")
        elif target != row_type:
            keys = schema.type_map[row_type].fields.items()
            key = next(key for key, each in keys if each.type is schema.type_map[type_name])
            children[name] = Relation(names[row_type], f"{key}Id")
    return Table(names[type_name], type_name, columns, parents, children)


def test_the_tables_are_those_of_the_official_client() -> None:
    schema = portal_schema()
    names = table_names(schema)
    assert tables().keys() == {*names.values()}
    for type_name, name in names.items():
        assert tables()[name] == client_table(schema, type_name, names)


def test_queries_for_packs_are_valid_for_the_portal() -> None:
    # as if the portal's schema replaced ours: nothing that ours offers may be missing there
    changes = graphql.find_breaking_changes(graphql_schema(), portal_schema())
    assert [each.description for each in changes if "Word" not in each.description] == []
