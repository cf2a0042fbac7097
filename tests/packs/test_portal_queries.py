"""The portal's own queries mean the same in process and over HTTP, and have the shape of the true server's replies."""

import json

import pytest
from gql import Client, gql

from napari_cryoet.http import Http
from napari_cryoet.packs.pack import write_pack
from napari_cryoet.packs.serve import serve_pack
from napari_cryoet.packs.transport import PackTransport
from napari_cryoet.portal import queries
from napari_cryoet.portal.transports import HttpTransport
from packs.served_files import served_tables
from packs.small_pack import MANIFEST, ask, database, row, small_tables


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folders = []
    for number, tables in enumerate((small_tables(), served_tables(), {})):
        folders.append(tmp_path_factory.mktemp(f"pack-{number}"))
        write_pack(folders[-1], MANIFEST, tables)
    return folders


def asked():
    search, words = queries.search(["yeast", "ribosome", "100%"])
    return {
        "catalogue": (queries.CATALOGUE, {}),
        "dataset": (queries.DATASET_PAGE, queries.dataset_page_variables(10, 0, 50, "")),
        "second page": (queries.DATASET_PAGE, queries.dataset_page_variables(10, 1, 1, "")),
        "filtered": (queries.DATASET_PAGE, queries.dataset_page_variables(10, 0, 50, "TS_")),
        "no dataset": (queries.DATASET_PAGE, queries.dataset_page_variables(9, 0, 50, "")),
        "run": (queries.RUN_PAGE, {"id": 100}),
        "awkward run": (queries.RUN_PAGE, {"id": 101}),
        "no run": (queries.RUN_PAGE, {"id": 9}),
        "deposition": (queries.DEPOSITION_PAGE, queries.deposition_page_variables(2)),
        "lookup": (queries.LOOKUP, {"id": 10}),
        "run of a file": (queries.FILE_RUN, {"id": 1}),
        "search": (search, words),
    }


def test_every_query_of_the_portal_is_asked_here():
    texts = {text for text, _ in asked().values()}
    constants = {value for name, value in vars(queries).items() if name.isupper() and "query " in str(value)}
    assert constants <= texts


@pytest.mark.parametrize("name", sorted(asked()))
def test_answers_in_process_and_over_http_are_equal(folders, name):
    text, variables = asked()[name]
    for folder in folders:
        request = gql(text)
        request.variable_values = variables
        local = Client(transport=PackTransport(folder)).execute(request)
        http = Http()
        with serve_pack(folder) as server:
            remote = Client(transport=HttpTransport(server.graphql_url, http)).execute(request)
        http.close()
        base = (folder / "files").resolve().as_uri() + "/"
        assert json.loads(json.dumps(local).replace(base, server.files_url)) == remote


def test_the_search_finds_what_a_person_would(tmp_path):
    text, variables = queries.search(["100%"])
    found = ask(database(tmp_path), text, **variables)
    assert [dataset["id"] for dataset in found["w0_title"]] == [10]
    assert [dataset["id"] for dataset in found["w0_run"]] == []


# The portal's own server answered these queries; rows that its replies imply must give the same replies here.

CATALOG = """query Catalog {
  datasets(orderBy: [{releaseDate: desc}, {id: asc}]) {
    id title organismName organismTaxid sampleType cellName tissueName releaseDate depositionId
    datasetPublications relatedDatabaseEntries keyPhotoThumbnailUrl
    authors(orderBy: [{authorListOrder: asc}]) {
      edges { node { name orcid primaryAuthorStatus correspondingAuthorStatus } }
    }
  }
  runCounts: runsAggregate { aggregate { count groupBy { dataset { id } } } }
}"""

RUN_PAGE = """query RunPage($id: Int!) {
  runs(where: {id: {_eq: $id}}) {
    id name s3Prefix httpsPrefix dataset { id title organismName deposition { id title } }
  }
  tomogramVoxelSpacings(where: {runId: {_eq: $id}}, orderBy: [{voxelSpacing: asc}]) { id voxelSpacing httpsPrefix }
  annotations(where: {runId: {_eq: $id}}, orderBy: [{objectName: asc}, {id: asc}]) {
    id objectName objectCount methodType groundTruthStatus isCuratorRecommended confidencePrecision releaseDate
    depositionId deposition { id title }
    authors(orderBy: [{authorListOrder: asc}]) {
      edges { node { name orcid primaryAuthorStatus correspondingAuthorStatus } }
    }
    methodLinks { edges { node { name link linkType } } }
    annotationShapes { edges { node { id shapeType
      annotationFiles { edges { node {
        id format httpsPath s3Path fileSize isVisualizationDefault source alignmentId tomogramVoxelSpacingId
      } } }
    } } }
  }
}"""


class Rows(dict):
    """Tables made from the objects of a reply."""

    def add(self, table, node, **keys):
        cells = {name: cell for name, cell in node.items() if not isinstance(cell, dict)}
        number = len(self.get(table, ())) + 1
        self.setdefault(table, []).append(row(table, **{"id": number} | cells | keys))
        return self[table][-1]["id"]

    def add_nodes(self, table, connection, **keys):
        ids = []
        for order, edge in enumerate(connection["edges"]):
            ordered = {"authorListOrder": order} if table.endswith("Authors") else {}
            ids.append(self.add(table, edge["node"], **keys, **ordered))
        return ids


def same_groups(groups):
    return sorted(json.dumps(group, sort_keys=True) for group in groups["aggregate"])


def test_the_catalogue_comes_as_from_the_portals_server(real_data, tmp_path):
    reply = json.loads((real_data / "catalog.reply.json").read_text())["data"]
    rows = Rows()
    for dataset in reply["datasets"]:
        rows.add("datasets", dataset)
        rows.add_nodes("datasetAuthors", dataset["authors"], datasetId=dataset["id"])
    for group in reply["runCounts"]["aggregate"]:
        for _ in range(group["count"]):
            rows.add("runs", {}, datasetId=group["groupBy"]["dataset"]["id"])
    found = ask(database(tmp_path, rows), CATALOG)
    assert found["datasets"] == reply["datasets"]
    assert same_groups(found["runCounts"]) == same_groups(reply["runCounts"])


def test_a_run_page_comes_as_from_the_portals_server(real_data, tmp_path):
    reply = json.loads((real_data / "run.reply.json").read_text())["data"]
    (run,) = reply["runs"]
    rows = Rows()
    rows.add("depositions", run["dataset"]["deposition"])
    rows.add("datasets", run["dataset"], depositionId=run["dataset"]["deposition"]["id"])
    rows.add("runs", run, datasetId=run["dataset"]["id"])
    for spacing in reply["tomogramVoxelSpacings"]:
        rows.add("tomogramVoxelSpacings", spacing, runId=run["id"])
    for annotation in reply["annotations"]:
        rows.add("annotations", annotation, runId=run["id"])
        rows.add_nodes("annotationAuthors", annotation["authors"], annotationId=annotation["id"])
        rows.add_nodes("annotationMethodLinks", annotation["methodLinks"], annotationId=annotation["id"])
        rows.add_nodes("annotationShapes", annotation["annotationShapes"], annotationId=annotation["id"])
        for shape in annotation["annotationShapes"]["edges"]:
            key = shape["node"]["id"]
            rows.add_nodes("annotationFiles", shape["node"]["annotationFiles"], annotationShapeId=key)
    found = ask(database(tmp_path, rows), RUN_PAGE, id=run["id"])
    assert found["runs"] == reply["runs"]
    assert found["tomogramVoxelSpacings"] == reply["tomogramVoxelSpacings"]
    for mine, theirs in zip(found["annotations"], reply["annotations"], strict=True):
        assert mine == {name: theirs[name] for name in mine}
