"""Queries: each is valid in the portal's schema and avoids the undocumented limits of its server."""

from __future__ import annotations

import typing

import graphql
import msgspec
import pytest
from graphql import FieldNode, TypeInfo, TypeInfoVisitor, Visitor, visit

from napari_cryoet import records
from napari_cryoet.portal import queries
from portal_rows import portal_schema

NAMES = ["CATALOGUE", "DATASET_PAGE", "RUN_PAGE", "DEPOSITION_PAGE", "LOOKUP", "FILE_RUN"]
all_queries = pytest.mark.parametrize("text", [getattr(queries, name) for name in NAMES], ids=NAMES)

#: Connections that are asked for although they end at 100, and why that loses nothing.
BOUNDED_CONNECTIONS = {
    ("Run", "tomograms"),  # the default comes first and only it is shown; the count is an aggregate
}


@pytest.fixture
def schema() -> graphql.GraphQLSchema:
    return portal_schema()


def fields_of(text: str, schema: graphql.GraphQLSchema) -> list[tuple[str, str, FieldNode]]:
    """Every field of a query: its parent type, name and node."""
    found = []
    types = TypeInfo(schema)

    class Collector(Visitor):
        def enter_field(self, node, *_):
            found.append((types.get_parent_type().name, node.name.value, node))

    visit(graphql.parse(text), TypeInfoVisitor(types, Collector()))
    return found


def argument(node: FieldNode, name: str):
    return next((each.value for each in node.arguments or () if each.name.value == name), None)


@all_queries
def test_a_query_is_valid_for_the_portals_schema(text, schema):
    assert graphql.validate(schema, graphql.parse(text)) == []
    assert "neuroglancerConfig" not in text


@all_queries
def test_no_nested_connection_can_lose_records(text, schema):
    for parent, name, _ in fields_of(text, schema):
        kind = graphql.get_named_type(schema.type_map[parent].fields[name].type).name
        if kind.endswith("Connection"):
            assert (parent, name) in BOUNDED_CONNECTIONS


@all_queries
def test_every_list_has_an_order_of_its_own_columns_that_ends_with_the_id_or_only_asks_for_ids(text, schema):
    for parent, name, node in fields_of(text, schema):
        for each in getattr(argument(node, "orderBy"), "values", ()):
            assert all(isinstance(field.value, graphql.EnumValueNode) for field in each.fields)
        if parent != "Query" or name.endswith("Aggregate"):
            continue
        where = argument(node, "where")
        is_by_id = where is not None and "".join(graphql.print_ast(where).split()) == "{id:{_eq:$id}}"
        asked = {each.name.value for each in node.selection_set.selections if isinstance(each, FieldNode)}
        if not is_by_id and asked != {"id"}:
            assert "".join(graphql.print_ast(argument(node, "orderBy")).split()).endswith("{id:asc}]")


@all_queries
def test_a_relation_is_asked_for_once_a_parent(text, schema):
    for parent, name, node in fields_of(text, schema):
        names = [each.name.value for each in getattr(node.selection_set, "selections", ())]
        assert len(names) == len(set(names)), f"{parent}.{name}: two aliases of one relation share one answer"


@all_queries
def test_an_unfiltered_list_has_no_relations(text, schema):
    for parent, name, node in fields_of(text, schema):
        if parent == "Query" and not name.endswith("Aggregate") and argument(node, "where") is None:
            assert all(each.selection_set is None for each in node.selection_set.selections)


#: As the docstring of `napari_cryoet.records` says.
LEFT_OUT = {"_id", "neuroglancerConfig", "annotationIngestId", "email"}
TYPE_NAMES = {
    **{name: name for name in ("Deposition", "Dataset", "Run", "Alignment", "Tomogram", "Annotation")},
    **{name: name for name in ("AnnotationShape", "AnnotationFile")},
    **{"TiltSeries": "Tiltseries", "VoxelSpacing": "TomogramVoxelSpacing"},
    **{"Author": "AnnotationAuthor", "MethodLink": "AnnotationMethodLink", "Funding": "DatasetFunding"},
}


@pytest.mark.parametrize("name", TYPE_NAMES)
def test_a_record_has_every_field_that_the_portal_documents_and_null_where_it_may_be(name, schema):
    fields = schema.type_map[TYPE_NAMES[name]].fields
    documented = {each for each, field in fields.items() if graphql.is_leaf_type(graphql.get_named_type(field.type))}
    record = getattr(records, name)
    asked = {field.encode_name: field for field in msgspec.structs.fields(record)}
    asked = {each: asked[each] for each in queries.fields_of(record).split()}
    is_part = name in {"Author", "MethodLink", "Funding"}  # needs neither an id nor that of its parent
    assert documented - LEFT_OUT - asked.keys() <= ({"id", "annotationId", "datasetId"} if is_part else set())
    for each, field in asked.items():
        is_nullable = type(None) in typing.get_args(field.type)
        assert is_nullable == (not graphql.is_non_null_type(fields[each].type)), each


def test_wildcards_in_what_a_person_typed_are_ordinary_characters():
    assert [queries.containing(text) for text in ("TS_026", "100%", "a\\b", "")] == [
        r"%TS\_026%",
        r"%100\%%",
        r"%a\\b%",
        "%%",
    ]
