import base64

import pytest

from packs.small_pack import ask, database, refusal, row


@pytest.fixture
def crowded(tmp_path):
    """A run with 250 annotations, ids from 1."""
    annotations = [row("annotations", id=number, runId=1, objectName=f"{number % 2}") for number in range(1, 251)]
    return database(tmp_path, {"runs": [row("runs", id=1)], "annotations": annotations})


def page(source, arguments=""):
    selection = "edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
    return ask(source, f"{{ runs {{ annotations{arguments} {{ {selection} }} }} }}")["runs"][0]["annotations"]


def ids(connection):
    return [edge["node"]["id"] for edge in connection["edges"]]


def test_nested_relations_end_after_a_hundred_without_a_word(crowded):
    found = page(crowded)
    assert ids(found) == list(range(1, 101))
    assert found["pageInfo"]["hasNextPage"]


def test_more_than_a_hundred_are_an_error(crowded):
    query = "{ runs { annotations(first: 101) { edges { node { id } } } } }"
    assert refusal(crowded, query) == "Argument 'first' cannot be higher than 100."
    query = "{ runs { annotations(last: 101) { edges { node { id } } } } }"
    assert refusal(crowded, query) == "Argument 'last' cannot be higher than 100."
    assert "non-negative" in refusal(crowded, "{ runs { annotations(first: -1) { edges { node { id } } } } }")


def test_pages_follow_each_other_by_cursor(crowded):
    seen, after = [], ""
    while True:
        found = page(crowded, f'(first: 90, after: "{after}")' if after else "(first: 90)")
        seen += ids(found)
        if not found["pageInfo"]["hasNextPage"]:
            break
        after = found["pageInfo"]["endCursor"]
    assert seen == list(range(1, 251))


def test_cursors_are_places_that_can_be_made_by_hand(crowded):
    cursor = base64.b64encode(b"arrayconnection:199").decode()
    found = page(crowded, f'(first: 2, after: "{cursor}")')
    assert ids(found) == [201, 202]
    assert found["edges"][0]["cursor"] == base64.b64encode(b"arrayconnection:200").decode()
    assert found["pageInfo"]["hasPreviousPage"]


def test_pages_run_backwards_too(crowded):
    assert ids(page(crowded, "(last: 2)")) == [249, 250]
    found = page(crowded, f'(last: 2, before: "{base64.b64encode(b"arrayconnection:10").decode()}")')
    assert ids(found) == [9, 10]
    assert found["pageInfo"]["hasNextPage"]


def test_filters_and_orders_apply_before_the_cut(crowded):
    found = page(crowded, '(where: {objectName: {_eq: "0"}}, orderBy: [{id: desc}], first: 3)')
    assert ids(found) == [250, 248, 246]


def test_no_rows_are_an_empty_page(crowded):
    found = page(crowded, "(where: {id: {_eq: 0}})")
    assert found["edges"] == []
    assert found["pageInfo"] == {
        "hasNextPage": False,
        "hasPreviousPage": False,
        "startCursor": None,
        "endCursor": None,
    }


def test_no_edges_are_asked_for_and_none_come(crowded):
    assert page(crowded, "(first: 0)")["edges"] == []


@pytest.mark.parametrize("cursor", ["x", "", base64.b64encode(b"arrayconnection:x").decode()])
def test_what_is_no_cursor_is_an_error_unless_empty(crowded, cursor):
    query = f'{{ runs {{ annotations(after: "{cursor}") {{ edges {{ node {{ id }} }} }} }} }}'
    if cursor:
        assert "not a cursor" in refusal(crowded, query)
    else:
        assert ask(crowded, query)
