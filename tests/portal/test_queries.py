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

NAMES = [
    *("CATALOGUE", "DATASET_PAGE", "RUN_PAGE", "DEPOSITION_PAGE", "LOOKUP", "FILE_RUN"),
    "NEUROGLANCER_CONFIG",
]
all_queries = pytest.mark.parametrize("text", [getattr(queries, name) for name in NAMES], ids=NAMES)

#: Connections that are requested although they end at 100, and why that loses nothing.
BOUNDED_CONNECTIONS = {
    ("Run", "tomograms")  # the default comes first and only it is shown; the count is an aggregate
}


@pytest.fixture
def schema() -> graphql.GraphQLSchema:
    return portal_schema()


def fields_of(text: str, schema: graphql.GraphQLSchema) -> list[tuple[str, str, FieldNode]]:
    """Every field of a query: its parent type, name and node."""
    fields = []
    types = TypeInfo(schema)

    class Collector(Visitor):
        def enter_field(self, node, *_):
            fields.append((types.get_parent_type().name, node.name.value, node))

    visit(graphql.parse(text), TypeInfoVisitor(types, Collector()))
    return fields


def argument(node: FieldNode, name: str):
    return next((each.value for each in node.arguments or () if each.name.value == name), None)


@all_queries
def test_queries_match_the_portals_schema(text, schema):
    assert graphql.validate(schema, graphql.parse(text)) == []
    assert ("neuroglancerConfig" in text) == (text == queries.NEUROGLANCER_CONFIG)


@all_queries
def test_no_nested_connection_can_lose_records(text, schema):
    for parent, name, _ in fields_of(text, schema):
        kind = graphql.get_named_type(schema.type_map[parent].fields[name].type).name
        if kind.endswith("Connection"):
            assert (parent, name) in BOUNDED_CONNECTIONS


@all_queries
def test_lists_are_ordered_by_their_own_columns_and_id(text, schema):
    for parent, name, node in fields_of(text, schema):
        for each in getattr(argument(node, "orderBy"), "values", ()):
            assert all(isinstance(field.value, graphql.EnumValueNode) for field in each.fields)
        if parent != "Query" or name.endswith("Aggregate"):
            continue
        where = argument(node, "where")
        is_by_id = (
            where is not None and "".join(graphql.print_ast(where).split()) == "{id:{_eq:$id}}"
        )
        requested = {
            each.name.value for each in node.selection_set.selections if isinstance(each, FieldNode)
        }
        if not is_by_id and requested != {"id"}:
            assert "".join(graphql.print_ast(argument(node, "orderBy")).split()).endswith(
                "{id:asc}]"
            )


@all_queries
def test_relations_are_requested_once_per_parent(text, schema):
    for parent, name, node in fields_of(text, schema):
        names = [each.name.value for each in getattr(node.selection_set, "selections", ())]
        assert len(names) == len(set(names)), (
            f"{parent}.{name}: two aliases of one relation share one answer"
        )


@all_queries
def test_unfiltered_lists_have_no_relations(text, schema):
    for parent, name, node in fields_of(text, schema):
        if parent == "Query" and not name.endswith("Aggregate") and argument(node, "where") is None:
            assert all(each.selection_set is None for each in node.selection_set.selections)


#: As the docstring of `napari_cryoet.records` says.
LEFT_OUT = {"_id", "neuroglancerConfig", "annotationIngestId", "email"}
OTHER_NAMES = {
    "TiltSeries": "Tiltseries",
    "VoxelSpacing": "TomogramVoxelSpacing",
    "Author": "AnnotationAuthor",
    "MethodLink": "AnnotationMethodLink",
    "Funding": "DatasetFunding",
}
SAME_NAMES = (
    *("Deposition", "Dataset", "Run", "Alignment", "Tomogram"),
    *("Annotation", "AnnotationShape", "AnnotationFile", "IdentifiedObject"),
)


@pytest.mark.parametrize("name", [*SAME_NAMES, *OTHER_NAMES])
def test_records_have_every_documented_field_and_its_nullability(name, schema):
    fields = schema.type_map[OTHER_NAMES.get(name, name)].fields
    documented = {
        each
        for each, field in fields.items()
        if graphql.is_leaf_type(graphql.get_named_type(field.type))
    }
    record = getattr(records, name)
    requested = {field.encode_name: field for field in msgspec.structs.fields(record)}
    requested = {each: requested[each] for each in queries.fields_of(record).split()}
    # a part needs neither an id nor that of its parent
    is_part = name in {"Author", "MethodLink", "Funding"}
    assert documented - LEFT_OUT - requested.keys() <= (
        {"id", "annotationId", "datasetId"} if is_part else set()
    )
    for each, field in requested.items():
        is_nullable = type(None) in typing.get_args(field.type)
        assert is_nullable == (not graphql.is_non_null_type(fields[each].type)), each


def test_wildcards_in_typed_text_are_escaped():
    assert [queries.containing(text) for text in ("TS_026", "100%", "a\\b", "")] == [
        r"%TS\_026%",
        r"%100\%%",
        r"%a\\b%",
        "%%",
    ]
