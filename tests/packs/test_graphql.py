"""GraphQL over tables: rows, counts, limits, and the shape of the portal's own replies."""

import threading
import time

import pytest

from napari_cryoet.exceptions import PackError, PortalError, StoppedError
from napari_cryoet.packs.graphql import PAGE
from napari_cryoet.tables.database import Limits
from packs.small_pack import ask, database, row, small_tables
from portal_rows import real_run


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
        ...Run dataset { title deposition { id } }
        manual: annotationsAggregate(where: {methodType: {_eq: manual}}) { aggregate { count } }
      }
      total: runsAggregate { aggregate { count } }
      objects: annotationsAggregate(where: {runId: {_is_null: false}}) {
        aggregate { count groupBy { objectName run { dataset { id httpsPrefix } } } }
      }
    }
    fragment Run on Run {
      id annotations(orderBy: [{objectCount: desc_nulls_last}], first: 1) { edges { node { id } } }
    }"""
    data = ask(small, query, name="ts%", page={"limit": 2})
    assert [run["id"] for run in data["runs"]] == [102, 101]
    assert data["runs"][0]["dataset"] == {"title": "Yeast_two", "deposition": {"id": 2}}
    assert data["runs"][1]["annotations"]["edges"] == [{"node": {"id": 4}}]
    assert data["runs"][0]["manual"] == {"aggregate": [{"count": 1}]}
    assert data["total"] == {"aggregate": [{"count": 4}]}
    dataset = {"id": 10, "httpsPrefix": "https://files.example.org/10/"}
    group = {"count": 2, "groupBy": {"objectName": "ribosome", "run": {"dataset": dataset}}}
    assert group in data["objects"]["aggregate"]


def test_a_nested_list_ends_after_100_and_a_root_list_does_not(many):
    query = "{ runs { id } datasets { runs { edges { node { id } } } } }"
    data = ask(many, query)
    assert [edge["node"]["id"] for edge in data["datasets"][0]["runs"]["edges"]] == list(range(1, PAGE + 1))
    assert len(data["runs"]) == 250


def test_a_nested_count_of_nothing_is_an_empty_list_as_on_the_portal(small):
    assert ask(small, "{ runs(where: {id: {_eq: 103}}) { annotationsAggregate { aggregate { count } } } }") == {
        "runs": [{"annotationsAggregate": {"aggregate": []}}]
    }
    nothing = "{ runsAggregate(where: {id: {_eq: 5}}) { aggregate { count } } }"
    assert ask(small, nothing) == {"runsAggregate": {"aggregate": [{"count": 0}]}}


def test_dates_words_and_numbers_are_as_in_json(small):
    (dataset,) = ask(small, "{ datasets(where: {id: {_eq: 12}}) { releaseDate sampleType fileSize organismTaxid } }")[
        "datasets"
    ]
    words = {"releaseDate": "2025-06-01T00:00:00+00:00", "sampleType": "in_vitro"}
    assert dataset == words | {"fileSize": 0.5, "organismTaxid": None}
    later = database({"annotationShapes": [row("annotationShapes", id=1, shapeType="Hologram")]})
    assert ask(later, "{ annotationShapes { shapeType } }") == {"annotationShapes": [{"shapeType": "Hologram"}]}


@pytest.mark.parametrize(
    "query",
    [
        "{ runs { nothing } }",
        '{ runs(where: {name: {_iregex: "a"}}) { id } }',
        "{ runsAggregate { aggregate { max { id } } } }",
        "{ runsAggregate { aggregate { count(columns: id, distinct: true) } } }",
        "{ datasets { runs(first: 101) { edges { node { id } } } } }",
        "{ runs { ...a } } fragment a on Run { ...a }",
        "{ runs {" + "dataset { runs { edges { node {" * 200 + " id " + "}}}}" * 200 + "} }",
        "{ runs {" + "id " * 90_000 + "} }",
        "",
    ],
)
def test_what_cannot_be_answered_or_costs_too_much_is_refused(small, query):
    with pytest.raises(PortalError):
        ask(small, query)


def test_an_answer_ends_in_time_and_at_a_stop(many):
    nested = "{ runs {" + "dataset { runs { edges { node {" * 4 + " id " + "}}}}" * 4 + "} }"
    with pytest.raises(PortalError, match="long"):
        ask(many, nested, limits=Limits(deadline=time.monotonic() + 0.1))
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(StoppedError):
        ask(many, nested, limits=Limits(stop))


def test_damaged_tables_are_named_where_a_query_looks():
    damaged = database(small_tables() | {"runs": [row("runs", id="x")]})
    assert ask(damaged, "{ datasets { id } }")
    with pytest.raises(PackError, match="runs"):
        ask(damaged, "{ datasets { runs { edges { node { id } } } } }")
    with pytest.raises(PortalError, match=r"Run\.name"):
        ask(database({"runs": [{"id": 1}]}), "{ runs { name } }")


#: The portal's own server answered this query; rows that its reply implies must give the same reply here.
RUN_PAGE = """query RunPage($id: Int!) {
  runs(where: {id: {_eq: $id}}) { id name s3Prefix httpsPrefix dataset { id title deposition { id title } } }
  annotations(where: {runId: {_eq: $id}}, orderBy: [{objectName: asc}, {id: asc}]) {
    id objectName objectCount methodType groundTruthStatus confidencePrecision releaseDate deposition { id title }
    authors(orderBy: [{authorListOrder: asc}]) { edges { node { name orcid primaryAuthorStatus } } }
    annotationShapes { edges { node {
      id shapeType annotationFiles { edges { node { id format httpsPath fileSize isVisualizationDefault } } }
    } } }
  }
}"""


def contained(mine, theirs):
    """Whether a reply says what another says, which may say more."""
    if isinstance(mine, dict):
        return all(contained(value, theirs[name]) for name, value in mine.items())
    if isinstance(mine, list):
        return len(mine) == len(theirs) and all(map(contained, mine, theirs))
    return mine == theirs


def test_a_run_page_comes_as_from_the_portals_server(real_data):
    reply, tables = real_run(real_data / "run.reply.json")
    found = ask(database(tables), RUN_PAGE, id=reply["runs"][0]["id"])
    assert found["runs"]
    assert contained(found, reply)
