"""GraphQL over tables: pages, counts, limits, and the shape of the portal's own replies."""

import base64
import json
import threading

import pytest

from napari_cryoet.exceptions import PackError, StoppedError
from napari_cryoet.packs.graphql import PAGE, execute
from napari_cryoet.tables.database import Limits
from packs.small_pack import ask, database, refusal, row, small_tables


@pytest.fixture(scope="module")
def small():
    return database()


@pytest.fixture(scope="module")
def many():
    """A dataset with 250 runs."""
    runs = [row("runs", id=number, datasetId=1, name=f"TS_{number:03}") for number in range(1, 251)]
    return database({"datasets": [row("datasets", id=1)], "runs": runs})


def test_rows_come_with_parents_children_and_counts(small):
    query = """query Q($name: String!, $page: LimitOffsetClause) {
      runs(where: {name: {_ilike: $name}}, orderBy: [{id: desc}], limitOffset: $page) {
        ...Run dataset { title deposition(where: {title: {_eq: "Alpha"}}) { id } }
      }
      total: runsAggregate { aggregate { count } }
      objects: annotationsAggregate(where: {runId: {_is_null: false}}) {
        aggregate { number: count kinds: count(columns: methodType, distinct: true) groupBy { objectName } }
      }
    }
    fragment Run on Run {
      id annotations(orderBy: [{objectCount: desc_nulls_last}], first: 1) { edges { node { id } } }
    }"""
    data = ask(small, query, name="ts%", page={"limit": 2})
    assert [run["id"] for run in data["runs"]] == [102, 101]
    assert data["runs"][0]["dataset"] == {"title": "Yeast_two", "deposition": None}
    assert data["runs"][1]["dataset"]["deposition"] == {"id": 1}
    assert data["runs"][1]["annotations"]["edges"] == [{"node": {"id": 4}}]
    assert data["total"] == {"aggregate": [{"count": 4}]}
    ribosome = next(each for each in data["objects"]["aggregate"] if each["groupBy"]["objectName"] == "ribosome")
    assert (ribosome["number"], ribosome["kinds"]) == (2, 2)


def test_a_nested_list_ends_after_100_and_goes_on_at_a_cursor(many):
    query = (
        "query Q($after: String) { datasets { runs(after: $after) { edges { cursor node { id } } pageInfo { %s } } } }"
    )
    query %= "hasNextPage hasPreviousPage endCursor"
    seen, after = [], None
    for length, is_last in ((PAGE, False), (PAGE, False), (50, True)):
        page = ask(many, query, after=after)["datasets"][0]["runs"]
        assert len(page["edges"]) == length
        assert page["pageInfo"]["hasNextPage"] is not is_last
        assert page["pageInfo"]["hasPreviousPage"] is bool(seen)
        seen += [edge["node"]["id"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
    assert seen == list(range(1, 251))
    assert len(ask(many, "{ runs { id } }")["runs"]) == 250  # a root list has no limit of its own
    for wrong in ("first: 101", "first: -1", 'after: "x"', "last: 5"):
        assert refusal(many, f"{{ datasets {{ runs({wrong}) {{ edges {{ cursor }} }} }} }}")


def test_a_nested_count_of_nothing_is_an_empty_list_as_on_the_portal(small):
    assert ask(small, "{ runs(where: {id: {_eq: 103}}) { annotationsAggregate { aggregate { count } } } }") == {
        "runs": [{"annotationsAggregate": {"aggregate": []}}]
    }
    nothing = "{ runsAggregate(where: {id: {_eq: 5}}) { aggregate { count } } }"
    assert ask(small, nothing) == {"runsAggregate": {"aggregate": [{"count": 0}]}}


def test_dates_words_and_numbers_are_as_in_json(small):
    query = "{ datasets(where: {id: {_eq: 12}}) { _id releaseDate sampleType fileSize organismTaxid title } }"
    (dataset,) = ask(small, query)["datasets"]
    assert base64.b64decode(dataset.pop("_id")) == b"Dataset:12"
    assert dataset == {
        "releaseDate": "2025-06-01T00:00:00+00:00",
        "sampleType": "in_vitro",
        "fileSize": 0.5,
        "organismTaxid": None,
        "title": "In vitro",
    }
    later = database({"annotationShapes": [row("annotationShapes", id=1, shapeType="Hologram")]})
    assert ask(later, "{ annotationShapes { shapeType } }") == {"annotationShapes": [{"shapeType": "Hologram"}]}


@pytest.mark.parametrize(
    "query",
    [
        "{ runs { nothing } }",
        "{ runs { id ",
        "mutation { x }",
        "{ runs(where: {name: {_ilike: null}}) { id } }",
        "{ runs(limitOffset: {limit: -1}) { id } }",
        '{ datasets(where: {releaseDate: {_gt: "soon"}}) { id } }',
        "{ runsAggregate { aggregate { max { id } } } }",
        "{ runs { ...a } } fragment a on Run { ...a }",
        "{" + " ".join(f"a{n}: runs {{ id name }}" for n in range(1000)) + "}",
        "{ runs {" + "dataset { runs { edges { node {" * 12 + " id " + "}}}}" * 12 + "} }",
        "query Q { runs { ...f0 } }"
        + "".join(f"fragment f{n} on Run {{ ...f{n + 1} ...f{n + 1} }}" for n in range(20))
        + "fragment f20 on Run { id }",
        "{" * 5000,
        "#" * (2 << 20),
        "",
    ],
)
def test_what_cannot_be_answered_or_costs_too_much_is_refused_at_once(small, query):
    assert refusal(small, query)


def test_an_answer_has_a_size_and_a_time(many, monkeypatch):
    monkeypatch.setattr("napari_cryoet.packs.graphql.MAX_CELLS", 1000)
    assert "too much" in refusal(many, "{ runs { dataset { runs { edges { node { id name } } } } } }")
    monkeypatch.undo()
    reply = execute(many, "{ runs { id } }", moved_url=str, limits=Limits(deadline=0))
    assert (reply["data"], len(reply["errors"])) == (None, 1)


def test_a_stop_and_damaged_tables_are_no_replies(many):
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        execute(many, "{ runs { id } }", moved_url=str, limits=Limits(stop))
    damaged = database(small_tables() | {"runs": [row("runs", id="x")]})
    assert ask(damaged, "{ datasets { id } }")
    with pytest.raises(PackError, match="runs"):
        ask(damaged, "{ datasets { runs { edges { node { id } } } } }")
    incomplete = database({"runs": [{"id": 1}]})
    assert "Run.name" in refusal(incomplete, "{ runs { name } }")


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


def test_the_catalogue_comes_as_from_the_portals_server(real_data):
    reply = json.loads((real_data / "catalog.reply.json").read_text())["data"]
    rows = Rows()
    for dataset in reply["datasets"]:
        rows.add("datasets", dataset)
        rows.add_nodes("datasetAuthors", dataset["authors"], datasetId=dataset["id"])
    for group in reply["runCounts"]["aggregate"]:
        for _ in range(group["count"]):
            rows.add("runs", {}, datasetId=group["groupBy"]["dataset"]["id"])
    found = ask(database(rows), CATALOG)
    assert found["datasets"] == reply["datasets"]
    assert same_groups(found["runCounts"]) == same_groups(reply["runCounts"])


def test_a_run_page_comes_as_from_the_portals_server(real_data):
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
    found = ask(database(rows), RUN_PAGE, id=run["id"])
    assert found["runs"] == reply["runs"]
    assert found["tomogramVoxelSpacings"] == reply["tomogramVoxelSpacings"]
    for mine, theirs in zip(found["annotations"], reply["annotations"], strict=True):
        assert mine == {name: theirs[name] for name in mine}
