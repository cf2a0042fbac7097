"""What we ask the portal: one query, and so one request, a screen.

Rules that the portal's server sets (each was measured, none is announced by an error):

- A nested connection ends after 100 edges in silence: whatever can be longer is a root list, filtered by its parent.
- Without ``orderBy`` the order is undefined, and ordering through a nullable relation drops rows.
- Two aliased counts in one aggregate, or two aliased aggregates of one relation, both get the last one's value: each
  count has a root field, or a relation, of its own.
- A root list without a filter has no limit; none of ours has a nested relation.
- `neuroglancerConfig` is most of a tomogram's bytes and of no use to us: never asked for.

Fields come from the records, so a record is complete whichever query made it.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from napari_cryoet import records

MAX_SEARCHED_WORDS: Final = 8  # each is 15 lists
MAX_CONTRIBUTED_RUNS: Final = 500  # of other people's datasets, on a deposition's page; their numbers are complete


def fields_of(record: type[msgspec.Struct]) -> str:
    """The scalars of a record as the API spells them; nested records are left out."""
    return " ".join(field.encode_name for field in msgspec.structs.fields(record) if _is_scalar(field.type))


def _is_scalar(hint: Any) -> bool:
    kinds = typing.get_args(hint) if typing.get_origin(hint) in {typing.Union, types.UnionType} else (hint,)
    kinds = tuple(typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind for kind in kinds)
    return not any(typing.get_origin(kind) is tuple or issubclass(kind, msgspec.Struct) for kind in kinds)


_FRAGMENTS: Final = {
    type_name: f"fragment {type_name} on {type_name} {{ {fields_of(record)} {also} }}\n"
    for type_name, record, also in (
        ("Deposition", records.Deposition, ""),
        ("DepositionAuthor", records.Author, "depositionId"),
        ("Dataset", records.Dataset, "deposition { id title }"),
        ("DatasetAuthor", records.Author, "datasetId"),
        ("DatasetFunding", records.Funding, "datasetId"),
        ("Run", records.Run, ""),
        ("Tiltseries", records.TiltSeries, ""),
        ("Alignment", records.Alignment, ""),
        ("TomogramVoxelSpacing", records.VoxelSpacing, ""),
        ("Tomogram", records.Tomogram, "deposition { id title }"),
        ("TomogramAuthor", records.Author, "tomogramId"),
        ("Annotation", records.Annotation, "deposition { id title }"),
        ("AnnotationAuthor", records.Author, "annotationId"),
        ("AnnotationMethodLink", records.MethodLink, "annotationId"),
        ("AnnotationShape", records.AnnotationShape, ""),
        ("AnnotationFile", records.AnnotationFile, ""),
    )
} | {"RunPlace": "fragment RunPlace on Run { id title: name dataset { id title } }\n"}


def _whole(query: str) -> str:
    """A query with the fragments that it uses."""
    return query + "".join(_FRAGMENTS[name] for name in dict.fromkeys(re.findall(r"\.\.\.(\w+)", query)))


CATALOGUE: Final = """
query Catalogue {
  datasets(orderBy: [{releaseDate: desc}, {id: asc}]) {
    id title organismName organismTaxid sampleType cellName tissueName releaseDate depositionId
    datasetPublications relatedDatabaseEntries keyPhotoThumbnailUrl
  }
  datasetAuthors(orderBy: [{authorListOrder: asc}, {id: asc}]) {
    datasetId name orcid primaryAuthorStatus correspondingAuthorStatus
  }
  runCounts: runsAggregate { aggregate { count groupBy { dataset { id } } } }
  tomogramCounts: tomogramsAggregate { aggregate { count groupBy { run { dataset { id } } } } }
  annotationCounts: annotationsAggregate { aggregate { count groupBy { run { dataset { id } } } } }
  objects: datasetsAggregate { aggregate { count groupBy { id runs { annotations { objectName } } } } }
  shapes: datasetsAggregate {
    aggregate { count groupBy { id runs { annotations { annotationShapes { shapeType } } } } }
  }
  depositions(orderBy: [{releaseDate: desc}, {id: asc}]) {
    id title tag releaseDate depositionPublications relatedDatabaseEntries keyPhotoThumbnailUrl
  }
  depositionAuthors(orderBy: [{authorListOrder: asc}, {id: asc}]) { depositionId name orcid }
  depositionTypes(orderBy: [{id: asc}]) { depositionId type }
  depositionObjects: annotationsAggregate { aggregate { count groupBy { objectName deposition { id } } } }
  depositionAnnotations: annotationsAggregate {
    aggregate { count groupBy { deposition { id } run { dataset { id } } } }
  }
  depositionTomograms: tomogramsAggregate {
    aggregate { count groupBy { deposition { id } run { dataset { id } } } }
  }
}
"""

DATASET_PAGE: Final = _whole("""
query DatasetPage($id: Int!, $runs: RunWhereClause!, $page: LimitOffsetClause!) {
  datasets(where: {id: {_eq: $id}}) { ...Dataset }
  datasetAuthors(where: {datasetId: {_eq: $id}}, orderBy: [{authorListOrder: asc}, {id: asc}]) {
    ...DatasetAuthor
  }
  datasetFunding(where: {datasetId: {_eq: $id}}, orderBy: [{id: asc}]) { ...DatasetFunding }
  total: runsAggregate(where: $runs) { aggregate { count } }
  runs(where: $runs, limitOffset: $page, orderBy: [{name: asc}, {id: asc}]) {
    id name datasetId
    tomograms(first: 1, orderBy: [
      {isVisualizationDefault: desc_nulls_last}, {isPortalStandard: desc_nulls_last},
      {isAuthorSubmitted: desc_nulls_last}, {voxelSpacing: desc}, {id: asc}
    ]) { edges { node { voxelSpacing sizeX sizeY sizeZ fileSizeOmezarr keyPhotoThumbnailUrl } } }
    tomogramsAggregate { aggregate { count } }
    annotationsAggregate { aggregate { count groupBy { objectName } } }
    tiltseries(first: 1, orderBy: [{id: asc}]) { edges { node { tiltSeriesQuality } } }
  }
  objects: annotationsAggregate(where: {run: {datasetId: {_eq: $id}}}) {
    aggregate { count groupBy { objectName } }
  }
}
""")

RUN_PAGE: Final = _whole("""
query RunPage($id: Int!) {
  runs(where: {id: {_eq: $id}}) { ...Run dataset { ...Dataset } }
  datasetAuthors(
    where: {dataset: {runs: {id: {_eq: $id}}}}, orderBy: [{authorListOrder: asc}, {id: asc}]
  ) { ...DatasetAuthor }
  datasetFunding(where: {dataset: {runs: {id: {_eq: $id}}}}, orderBy: [{id: asc}]) { ...DatasetFunding }
  tomogramVoxelSpacings(where: {runId: {_eq: $id}}, orderBy: [{voxelSpacing: asc}, {id: asc}]) {
    ...TomogramVoxelSpacing
  }
  tomograms(where: {runId: {_eq: $id}}, orderBy: [{id: asc}]) { ...Tomogram }
  tomogramAuthors(where: {tomogram: {runId: {_eq: $id}}}, orderBy: [{authorListOrder: asc}, {id: asc}]) {
    ...TomogramAuthor
  }
  annotations(where: {runId: {_eq: $id}}, orderBy: [{objectName: asc}, {id: asc}]) { ...Annotation }
  annotationAuthors(
    where: {annotation: {runId: {_eq: $id}}}, orderBy: [{authorListOrder: asc}, {id: asc}]
  ) { ...AnnotationAuthor }
  annotationMethodLinks(where: {annotation: {runId: {_eq: $id}}}, orderBy: [{id: asc}]) {
    ...AnnotationMethodLink
  }
  annotationShapes(where: {annotation: {runId: {_eq: $id}}}, orderBy: [{id: asc}]) { ...AnnotationShape }
  annotationFiles(where: {annotationShape: {annotation: {runId: {_eq: $id}}}}, orderBy: [{id: asc}]) {
    ...AnnotationFile
  }
  alignments(where: {runId: {_eq: $id}}, orderBy: [{id: asc}]) { ...Alignment }
  tiltseries(where: {runId: {_eq: $id}}, orderBy: [{id: asc}]) { ...Tiltseries }
}
""")

DEPOSITION_PAGE: Final = _whole("""
query DepositionPage($id: Int!, $runs: LimitOffsetClause!) {
  depositions(where: {id: {_eq: $id}}) { ...Deposition }
  depositionAuthors(where: {depositionId: {_eq: $id}}, orderBy: [{authorListOrder: asc}, {id: asc}]) {
    ...DepositionAuthor
  }
  depositionTypes(where: {depositionId: {_eq: $id}}, orderBy: [{id: asc}]) { depositionId type }
  datasets(where: {depositionId: {_eq: $id}}, orderBy: [{id: asc}]) {
    id title organismName keyPhotoThumbnailUrl
    runsAggregate { aggregate { count } }
  }
  tomogramTotal: tomogramsAggregate(where: {depositionId: {_eq: $id}}) { aggregate { count } }
  annotationTotal: annotationsAggregate(where: {depositionId: {_eq: $id}}) { aggregate { count } }
  tomogramCounts: tomogramsAggregate(where: {depositionId: {_eq: $id}}) {
    aggregate { count groupBy { run { dataset { id title organismName keyPhotoThumbnailUrl } } } }
  }
  annotationCounts: annotationsAggregate(where: {depositionId: {_eq: $id}}) {
    aggregate { count groupBy { run { dataset { id title organismName keyPhotoThumbnailUrl } } } }
  }
  contributions: annotationsAggregate(where: {depositionId: {_eq: $id}}) {
    aggregate { count groupBy { objectName methodType run { dataset { id } } } }
  }
  annotatedRuns: runs(
    where: {annotations: {depositionId: {_eq: $id}}, dataset: {depositionId: {_neq: $id}}}
    limitOffset: $runs, orderBy: [{name: asc}, {id: asc}]
  ) {
    id name datasetId
    annotationsAggregate(where: {depositionId: {_eq: $id}}) { aggregate { count groupBy { objectName methodType } } }
  }
  reconstructedRuns: runs(
    where: {tomograms: {depositionId: {_eq: $id}}, dataset: {depositionId: {_neq: $id}}}
    limitOffset: $runs, orderBy: [{name: asc}, {id: asc}]
  ) {
    id name datasetId
    tomogramsAggregate(where: {depositionId: {_eq: $id}}) { aggregate { count } }
  }
  runsWithTomograms: runsAggregate(where: {tomograms: {depositionId: {_eq: $id}}}) {
    aggregate { count groupBy { dataset { id } } }
  }
  runsWithAnnotations: runsAggregate(where: {annotations: {depositionId: {_eq: $id}}}) {
    aggregate { count groupBy { dataset { id } } }
  }
  objects: annotationsAggregate(where: {depositionId: {_eq: $id}}) {
    aggregate { count groupBy { objectName } }
  }
}
""")

LOOKUP: Final = _whole("""
query Lookup($id: Int!) {
  dataset: datasets(where: {id: {_eq: $id}}) { id title }
  deposition: depositions(where: {id: {_eq: $id}}) { id title }
  run: runs(where: {id: {_eq: $id}}) { ...RunPlace }
  tomogram: tomograms(where: {id: {_eq: $id}}) { id title: name voxelSpacing processing run { ...RunPlace } }
  annotation: annotations(where: {id: {_eq: $id}}) { id title: objectName run { ...RunPlace } }
  alignment: alignments(where: {id: {_eq: $id}}) { id title: alignmentMethod run { ...RunPlace } }
  tiltseries(where: {id: {_eq: $id}}) { id title: cameraModel run { ...RunPlace } }
}
""")

#: The run of an annotation file, by its id.
FILE_RUN: Final = """
query FileRun($id: Int!) {
  files: annotationFiles(where: {id: {_eq: $id}}) { id annotationShape { annotation { runId } } }
}
"""

#: Where a searched word may stand; the server has no "or", so each is a list of its own, joined here.
_SEARCH_BRANCHES = {
    "title": "title: {_ilike: $%s}",
    "description": "description: {_ilike: $%s}",
    "organism": "organismName: {_ilike: $%s}",
    "tissue": "tissueName: {_ilike: $%s}",
    "cell": "cellName: {_ilike: $%s}",
    "strain": "cellStrainName: {_ilike: $%s}",
    "component": "cellComponentName: {_ilike: $%s}",
    "preparation": "samplePreparation: {_ilike: $%s}",
    "publication": "datasetPublications: {_ilike: $%s}",
    "entry": "relatedDatabaseEntries: {_ilike: $%s}",
    "author": "authors: {name: {_ilike: $%s}}",
    "orcid": "authors: {orcid: {_ilike: $%s}}",
    "object": "runs: {annotations: {objectName: {_ilike: $%s}}}",
    "method": "runs: {annotations: {annotationMethod: {_ilike: $%s}}}",
    "run": "runs: {name: {_ilike: $%s}}",
}


def search(words: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """One query with all branches of every word, and its variables; the aliases are ``w0_title``, ``w1_title``, ..."""
    names = [f"w{number}" for number in range(len(words))]
    branches = [
        f"  {name}_{branch}: datasets(where: {{{where % name}}}) {{ id }}"
        for name in names
        for branch, where in _SEARCH_BRANCHES.items()
    ]
    header = ", ".join(f"${name}: String!" for name in names)
    text = "\n".join([f"query Search({header}) {{", *branches, "}"])
    return text, {name: containing(word) for name, word in zip(names, words, strict=True)}


def dataset_page_variables(dataset_id: int, offset: int, limit: int, name_contains: str) -> dict[str, Any]:
    """The variables of `DATASET_PAGE`; a filter that isn't wanted is left out, since null means something else."""
    runs: dict[str, Any] = {"datasetId": {"_eq": dataset_id}}
    if name_contains:
        runs["name"] = {"_ilike": containing(name_contains)}
    return {"id": dataset_id, "runs": runs, "page": {"limit": limit, "offset": offset}}


def deposition_page_variables(deposition_id: int) -> dict[str, Any]:
    """The variables of `DEPOSITION_PAGE`."""
    return {"id": deposition_id, "runs": {"limit": MAX_CONTRIBUTED_RUNS, "offset": 0}}


def containing(text: str) -> str:
    r"""The LIKE pattern for texts that contain ``text`` as it is.

    >>> containing("TS_026")
    '%TS\\_026%'
    """
    return "%" + re.sub(r"([\\%_])", r"\\\1", text) + "%"
