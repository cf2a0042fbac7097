"""GraphQL over tables: rows, counts, limits, and replies shaped like the portal's."""

import threading
import time

import pytest

from napari_cryoet.exceptions import PackError, PortalError, StoppedError
from napari_cryoet.packs.graphql import PAGE
from napari_cryoet.tables.database import Limits
from napari_cryoet.task import Task
from packs.small_pack import ask, database, row, small_tables


@pytest.fixture(scope="module")
def small():
    return database()


@pytest.fixture(scope="module")
def many():
    """A dataset with 250 runs."""
    runs = [row("runs", id=number, datasetId=1, name=f"TS_{number:03}") for number in range(1, 251)]
    return database({"datasets": [row("datasets", id=1)], "runs": runs})


def test_queries_return_parents_children_and_counts(small):
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


def test_only_nested_lists_are_limited_to_100(many):
    query = "{ runs { id } datasets { runs { edges { node { id } } } } }"
    data = ask(many, query)
    assert [edge["node"]["id"] for edge in data["datasets"][0]["runs"]["edges"]] == list(
        range(1, PAGE + 1)
    )
    assert len(data["runs"]) == 250


def test_a_nested_count_of_zero_is_an_empty_list(small):
    assert ask(
        small, "{ runs(where: {id: {_eq: 103}}) { annotationsAggregate { aggregate { count } } } }"
    ) == {"runs": [{"annotationsAggregate": {"aggregate": []}}]}
    nothing = "{ runsAggregate(where: {id: {_eq: 5}}) { aggregate { count } } }"
    assert ask(small, nothing) == {"runsAggregate": {"aggregate": [{"count": 0}]}}


@pytest.mark.parametrize(
    "query",
    [
        "{ runsAggregate { aggregate { max { id } } } }",
        "{ runsAggregate { aggregate { count(columns: id, distinct: true) } } }",
        "{ datasets { runs(first: 101) { edges { node { id } } } } }",
        "{ runs { ...a } } fragment a on Run { ...a }",
        "{ runs {" + "dataset { runs { edges { node {" * 200 + " id " + "}}}}" * 200 + "} }",
        "{ runs {" + "id " * 90_000 + "} }",
    ],
)
def test_unsupported_and_expensive_queries_are_refused(small, query):
    with pytest.raises(PortalError):
        ask(small, query)


def test_queries_end_at_a_deadline_or_stop(many):
    nested = "{ runs {" + "dataset { runs { edges { node {" * 4 + " id " + "}}}}" * 4 + "} }"
    with pytest.raises(PortalError, match="long"):
        ask(many, nested, limits=Limits(deadline=time.monotonic() + 0.1))
    task = Task()
    threading.Timer(0.2, task.stop).start()
    with pytest.raises(StoppedError):
        ask(many, nested, limits=Limits(task))


def test_errors_name_the_damaged_table():
    damaged = database(small_tables() | {"runs": [row("runs", id="x")]})
    assert ask(damaged, "{ datasets { id } }")
    with pytest.raises(PackError, match="runs"):
        ask(damaged, "{ datasets { runs { edges { node { id } } } } }")
    with pytest.raises(PortalError, match=r"Run\.name"):
        ask(database({"runs": [{"id": 1}]}), "{ runs { name } }")


def test_enum_values_unknown_to_the_schema_are_kept():
    later = database({"annotationShapes": [row("annotationShapes", id=1, shapeType="Hologram")]})
    assert ask(later, "{ annotationShapes { shapeType } }") == {
        "annotationShapes": [{"shapeType": "Hologram"}]
    }
