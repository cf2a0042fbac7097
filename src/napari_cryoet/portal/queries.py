"""The portal's queries: one per screen, so each screen takes one request.

Limitations of the portal's server, all measured; it reports no errors for them:

- Nested connections end silently after 100 edges. So lists that may be longer are root lists, filtered by the parent.
- Without ``orderBy`` the order is undefined. Ordering or grouping through a nullable relation drops rows.
- Aliased counts in one aggregate, or aliased aggregates of one relation, all get the last one's value. So each count
  has its own root field or relation.
- A root list without a filter has no limit. So ours have no nested relations.
- `neuroglancerConfig` makes up most of a tomogram's bytes. So it is only requested for one tomogram.

``...Name`` is replaced by the fields of a record, so that records are complete in every query, or
by a text of `_SHARED`. (The server's aggregates fail in real fragments.)
"""

from __future__ import annotations

import re
import typing
from typing import TYPE_CHECKING, Any, Final

import msgspec

from napari_cryoet import records
from napari_cryoet.runs.runs import DEFAULT_FIRST
from napari_cryoet.tables.database import tables

if TYPE_CHECKING:
    from graphql import (
        FieldNode,
        GraphQLSchema,
        ObjectValueNode,
        OperationDefinitionNode,
        TypeInfo,
        Visitor,
    )

MAX_CONTRIBUTED_RUNS: Final = (
    500  # in others' datasets, on a deposition's page; their counts are complete
)

#: Tables that only add facts about records of other tables; some servers lack them.
OPTIONAL_TABLES: Final = frozenset({"annotationMethodLinks", "datasetFunding", "identifiedObjects"})

_SHARED: Final = {
    "DefaultTomogramFirst": ", ".join(
        [*(f"{{{column}: desc_nulls_last}}" for column in DEFAULT_FIRST), "{id: asc}"]
    ),
    "DatasetInDeposition": "id title organismName keyPhotoThumbnailUrl",
    "CountByDataset": "aggregate { count groupBy { dataset { id } } }",
    "RunInDeposition": """
    id name datasetId
    annotationsAggregate(where: {depositionId: {_eq: $id}}) { aggregate { count groupBy { objectName methodType } } }
    tomogramsAggregate(where: {depositionId: {_eq: $id}}) { aggregate { count } }
    """,
}


def fields_of(record: type[msgspec.Struct]) -> str:
    """The scalar fields of a record, spelled as in the API; nested records are left out."""
    return " ".join(
        field.encode_name
        for field in msgspec.structs.fields(record)
        if field.name != "opened_from" and not _is_nested(field.type)
    )


def _is_nested(hint: Any) -> bool:
    parts = hint, *typing.get_args(hint)
    is_record = any(isinstance(each, type) and issubclass(each, msgspec.Struct) for each in parts)
    return is_record or typing.get_origin(hint) is tuple


def _expanded(query: str) -> str:
    """Expand each ``...Name`` in a query."""
    return re.sub(
        r"\.\.\.(\w+)",
        lambda match: _SHARED.get(match[1]) or fields_of(getattr(records, match[1])),
        query,
    )


CATALOGUE: Final = """
query Catalogue {
  datasets(orderBy: [{releaseDate: desc}, {id: asc}]) {
    id title organismName sampleType cellName tissueName releaseDate depositionId
    datasetPublications relatedDatabaseEntries keyPhotoThumbnailUrl
  }
  datasetAuthors(orderBy: [{authorListOrder: asc}, {id: asc}]) { datasetId name orcid }
  runCounts: runsAggregate { aggregate { count groupBy { dataset { id } } } }
  objects: datasetsAggregate { aggregate { count groupBy { id runs { annotations { objectName } } } } }
  shapes: datasetsAggregate {
    aggregate { count groupBy { id runs { annotations { annotationShapes { shapeType } } } } }
  }
  depositions(orderBy: [{releaseDate: desc}, {id: asc}]) {
    id title tag releaseDate depositionPublications relatedDatabaseEntries keyPhotoThumbnailUrl
  }
  depositionAuthors(orderBy: [{authorListOrder: asc}, {id: asc}]) { depositionId name orcid }
  depositionTypes(orderBy: [{id: asc}]) { depositionId type }
  tomogramCounts: tomogramsAggregate { aggregate { count groupBy { deposition { id } run { dataset { id } } } } }
  annotationCounts: annotationsAggregate {
    aggregate { count groupBy { objectName deposition { id } run { dataset { id } } } }
  }
}
"""

DATASET_PAGE: Final = _expanded("""
query DatasetPage($id: Int!, $runs: RunWhereClause!, $page: LimitOffsetClause!) {
  datasets(where: {id: {_eq: $id}}) { ...Dataset deposition { id title } }
  datasetAuthors(where: {datasetId: {_eq: $id}}, orderBy: [{id: asc}]) { datasetId ...Author }
  datasetFunding(where: {datasetId: {_eq: $id}}, orderBy: [{id: asc}]) { datasetId ...Funding }
  total: runsAggregate(where: $runs) { aggregate { count } }
  runs(where: $runs, limitOffset: $page, orderBy: [{name: asc}, {id: asc}]) {
    id name datasetId
    tomograms(first: 1, orderBy: [...DefaultTomogramFirst]) {
      edges { node { voxelSpacing sizeX sizeY sizeZ fileSizeOmezarr keyPhotoThumbnailUrl } }
    }
    tomogramsAggregate { aggregate { count } }
    annotationsAggregate { aggregate { count groupBy { objectName } } }
  }
}
""")

RUN_PAGE: Final = _expanded("""
query RunPage($id: Int!) {
  runs(where: {id: {_eq: $id}}) { ...Run }
  datasets(where: {runs: {id: {_eq: $id}}}, orderBy: [{id: asc}]) { ...Dataset deposition { id title } }
  datasetAuthors(where: {dataset: {runs: {id: {_eq: $id}}}}, orderBy: [{id: asc}]) { datasetId ...Author }
  datasetFunding(where: {dataset: {runs: {id: {_eq: $id}}}}, orderBy: [{id: asc}]) { datasetId ...Funding }
  tomogramVoxelSpacings(where: {runId: {_eq: $id}}, orderBy: [{id: asc}]) { ...VoxelSpacing }
  tomograms(where: {runId: {_eq: $id}}, orderBy: [{id: asc}]) { ...Tomogram deposition { id title } }
  tomogramAuthors(where: {tomogram: {runId: {_eq: $id}}}, orderBy: [{id: asc}]) { tomogramId ...Author }
  annotations(where: {runId: {_eq: $id}}, orderBy: [{id: asc}]) { ...Annotation deposition { id title } }
  annotationAuthors(where: {annotation: {runId: {_eq: $id}}}, orderBy: [{id: asc}]) { annotationId ...Author }
  annotationMethodLinks(where: {annotation: {runId: {_eq: $id}}}, orderBy: [{id: asc}]) {
    annotationId ...MethodLink
  }
  annotationShapes(where: {annotation: {runId: {_eq: $id}}}, orderBy: [{id: asc}]) { ...AnnotationShape }
  annotationFiles(where: {annotationShape: {annotation: {runId: {_eq: $id}}}}, orderBy: [{id: asc}]) {
    ...AnnotationFile
  }
  alignments(where: {runId: {_eq: $id}}, orderBy: [{id: asc}]) { ...Alignment }
  tiltseries(where: {runId: {_eq: $id}}, orderBy: [{id: asc}]) { ...TiltSeries }
  identifiedObjects(where: {runId: {_eq: $id}}, orderBy: [{id: asc}]) { ...IdentifiedObject }
}
""")

DEPOSITION_PAGE: Final = _expanded("""
query DepositionPage($id: Int!, $page: LimitOffsetClause!) {
  depositions(where: {id: {_eq: $id}}) { ...Deposition }
  depositionAuthors(where: {depositionId: {_eq: $id}}, orderBy: [{authorListOrder: asc}, {id: asc}]) { ...Author }
  depositionTypes(where: {depositionId: {_eq: $id}}, orderBy: [{id: asc}]) { depositionId type }
  datasets(where: {depositionId: {_eq: $id}}, orderBy: [{id: asc}]) { ...DatasetInDeposition }
  tomogramCounts: tomogramsAggregate(where: {depositionId: {_eq: $id}}) {
    aggregate { count groupBy { run { dataset { ...DatasetInDeposition } } } }
  }
  annotationCounts: annotationsAggregate(where: {depositionId: {_eq: $id}}) {
    aggregate { count groupBy { objectName methodType run { dataset { ...DatasetInDeposition } } } }
  }
  annotatedRuns: runs(
    where: {annotations: {depositionId: {_eq: $id}}, dataset: {depositionId: {_neq: $id}}}
    limitOffset: $page, orderBy: [{name: asc}, {id: asc}]
  ) { ...RunInDeposition }
  reconstructedRuns: runs(
    where: {tomograms: {depositionId: {_eq: $id}}, dataset: {depositionId: {_neq: $id}}}
    limitOffset: $page, orderBy: [{name: asc}, {id: asc}]
  ) { ...RunInDeposition }
  ownRunCounts: runsAggregate(where: {dataset: {depositionId: {_eq: $id}}}) { ...CountByDataset }
  annotatedRunCounts: runsAggregate(where: {annotations: {depositionId: {_eq: $id}}}) { ...CountByDataset }
  reconstructedRunCounts: runsAggregate(where: {tomograms: {depositionId: {_eq: $id}}}) { ...CountByDataset }
}
""")

LOOKUP: Final = """
query Lookup($id: Int!) {
  dataset: datasets(where: {id: {_eq: $id}}) { id title }
  deposition: depositions(where: {id: {_eq: $id}}) { id title }
  run: runs(where: {id: {_eq: $id}}) { id title: name }
  tomogram: tomograms(where: {id: {_eq: $id}}) { id title: name runId }
  annotation: annotations(where: {id: {_eq: $id}}) { id title: objectName runId }
  alignment: alignments(where: {id: {_eq: $id}}) { id title: alignmentMethod runId }
  tiltseries(where: {id: {_eq: $id}}) { id title: cameraModel runId }
}
"""

FILE_RUN: Final = """
query FileRun($id: Int!) {
  annotationFiles(where: {id: {_eq: $id}}) { id annotationShape { annotation { runId } } }
}
"""

NEUROGLANCER_CONFIG: Final = """
query NeuroglancerConfig($id: Int!) {
  tomograms(where: {id: {_eq: $id}}) { id neuroglancerConfig }
}
"""


def known_part(query: str, schema: GraphQLSchema) -> str:
    """A query without the optional tables, columns and orders that a server's schema lacks.

    Conditions, groups and ids of parents stay, because the answer would be wrong without them. The
    part is empty if nothing is left, and the query itself if nothing was left out.
    """
    from graphql import TypeInfo, TypeInfoVisitor, parse, print_ast, visit

    document = parse(query, no_location=True)
    types = TypeInfo(schema)
    known = visit(document, TypeInfoVisitor(types, _left_out(schema, types)))
    if known is document:
        return query
    return print_ast(known) if known.definitions else ""


def _left_out(schema: GraphQLSchema, types: TypeInfo) -> Visitor:
    """A visitor that removes what a schema lacks from a query."""
    from graphql import REMOVE, SKIP, GraphQLInputObjectType, Visitor, get_named_type

    keys = {parent.key for table in tables().values() for parent in table.parents.values()}

    def if_empty(node: FieldNode | OperationDefinitionNode, *_: Any) -> Any:
        is_empty = node.selection_set is not None and not node.selection_set.selections
        return REMOVE if is_empty else None

    class LeftOut(Visitor):
        def enter_field(self, node: FieldNode, *_: Any) -> Any:
            if node.name.value == "groupBy":
                return SKIP
            if types.get_field_def() is not None:
                return None
            name = node.name.value
            is_table = types.get_parent_type() is schema.query_type
            is_needed = name not in OPTIONAL_TABLES if is_table else name in keys
            return SKIP if is_needed else REMOVE

        def enter_object_value(self, node: ObjectValueNode, *_: Any) -> Any:
            kind = get_named_type(types.get_input_type())
            if not isinstance(kind, GraphQLInputObjectType) or "OrderBy" not in kind.name:
                return None
            is_known = all(field.name.value in kind.fields for field in node.fields)
            return None if is_known else REMOVE

        leave_field = leave_operation_definition = staticmethod(if_empty)

    return LeftOut()


def containing(text: str) -> str:
    r"""The LIKE pattern for texts that contain ``text`` literally.

    >>> containing("TS_026")
    '%TS\\_026%'
    """
    return "%" + re.sub(r"([\\%_])", r"\\\1", text) + "%"
