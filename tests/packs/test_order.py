import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packs.small_pack import ask, database, refusal, row


def found(source, table, order_by):
    return [record["id"] for record in ask(source, f"{{ {table}(orderBy: {order_by}) {{ id }} }}")[table]]


@pytest.mark.parametrize(
    ("order_by", "ids"),
    [
        ("[{objectCount: asc}, {id: asc}]", [5, 4, 3, 1, 2, 6]),
        ("[{objectCount: asc_nulls_last}, {id: asc}]", [5, 4, 3, 1, 2, 6]),
        ("[{objectCount: asc_nulls_first}, {id: asc}]", [2, 6, 5, 4, 3, 1]),
        ("[{objectCount: desc}, {id: asc}]", [2, 6, 1, 3, 4, 5]),
        ("[{objectCount: desc_nulls_first}, {id: asc}]", [2, 6, 1, 3, 4, 5]),
        ("[{objectCount: desc_nulls_last}, {id: asc}]", [1, 3, 4, 5, 2, 6]),
        ("[{objectName: asc}, {id: desc}]", [5, 4, 2, 6, 3, 1]),
        ("[{groundTruthStatus: desc_nulls_last}, {objectCount: asc_nulls_first}, {id: desc}]", [1, 3, 6, 2, 5, 4]),
        ("[]", [1, 2, 3, 4, 5, 6]),
    ],
)
def test_rows_are_sorted_with_nulls_where_they_belong(small, order_by, ids):
    assert found(small, "annotations", order_by) == ids


def test_dates_are_sorted_as_dates(small):
    assert found(small, "datasets", "[{releaseDate: desc}, {id: asc}]") == [11, 12, 10]


def test_an_order_may_go_through_to_one_relations(small):
    assert found(small, "annotations", "[{run: {dataset: {releaseDate: desc}}}, {id: asc}]") == [5, 1, 2, 3, 4]
    assert found(small, "runs", "[{dataset: {organismName: asc}}, {id: desc}]") == [103, 102, 101, 100]


def test_rows_without_the_parent_that_the_order_goes_through_are_dropped(small):
    assert found(small, "annotations", "[{deposition: {title: asc}}, {id: asc}]") == [1, 2, 3, 5, 6]


def test_an_order_can_come_as_a_variable(small):
    query = "query Q($order: [RunOrderByClause!]) { runs(orderBy: $order) { id } }"
    order = [{"dataset": {"title": "desc"}}, {"id": "desc"}]
    assert [record["id"] for record in ask(small, query, order=order)["runs"]] == [103, 102, 101, 100]


def test_a_null_direction_is_an_error(small):
    assert "name is null" in refusal(small, "{ runs(orderBy: [{name: null}]) { id } }")


def test_relations_to_many_and_other_directions_are_not_in_the_schema(small):
    assert "annotations" in refusal(small, "{ runs(orderBy: [{annotations: {id: asc}}]) { id } }")
    assert "upwards" in refusal(small, "{ runs(orderBy: [{name: upwards}]) { id } }")


@pytest.mark.parametrize(
    ("cut", "ids"),
    [
        ("{limit: 2}", [1, 2]),
        ("{limit: 2, offset: 3}", [4, 5]),
        ("{limit: 2, offset: 5}", [6]),
        ("{limit: 2, offset: 9}", []),
        ("{limit: 0}", [1, 2, 3, 4, 5, 6]),  # as on the portal, 0 is no limit
        ("{limit: 99}", [1, 2, 3, 4, 5, 6]),
        ("{limit: null, offset: null}", [1, 2, 3, 4, 5, 6]),
        ("{offset: 0}", [1, 2, 3, 4, 5, 6]),
        ("null", [1, 2, 3, 4, 5, 6]),
    ],
)
def test_a_root_list_is_cut_by_limit_and_offset(small, cut, ids):
    query = f"{{ annotations(orderBy: [{{id: asc}}], limitOffset: {cut}) {{ id }} }}"
    assert [record["id"] for record in ask(small, query)["annotations"]] == ids


def test_an_offset_needs_a_limit(small):
    assert refusal(small, "{ runs(limitOffset: {offset: 1}) { id } }") == "Cannot use offset without limit"
    assert refusal(small, "{ runs(limitOffset: {offset: 1, limit: 0}) { id } }") == "Cannot use offset without limit"
    assert "negative" in refusal(small, "{ runs(limitOffset: {limit: -1}) { id } }")
    assert "negative" in refusal(small, "{ runs(limitOffset: {limit: 1, offset: -1}) { id } }")


# Filters and orders together, against plain Python.

_NAMES = st.one_of(st.none(), st.text("aAb%_ ", max_size=3))
_COUNTS = st.one_of(st.none(), st.integers(-2, 3))
_ROWS = st.lists(st.tuples(st.one_of(st.none(), st.integers(1, 3)), _NAMES, _COUNTS), max_size=12)
_RUNS = st.lists(st.integers(1, 2), min_size=3, max_size=3)
_COUNT_SIGNS = {
    "_eq": lambda cell, value: cell == value,
    "_neq": lambda cell, value: cell != value,
    "_gt": lambda cell, value: cell > value,
    "_gte": lambda cell, value: cell >= value,
    "_lt": lambda cell, value: cell < value,
    "_lte": lambda cell, value: cell <= value,
}
_DIRECTIONS = ["asc", "asc_nulls_first", "asc_nulls_last", "desc", "desc_nulls_first", "desc_nulls_last"]


def _sorted(rows, direction, cell):
    nulls = [record for record in rows if cell(record) is None]
    valued = sorted((record for record in rows if cell(record) is not None), key=cell, reverse=direction[0] == "d")
    first = direction in ("desc", "desc_nulls_first", "asc_nulls_first")
    return nulls + valued if first else valued + nulls


@settings(deadline=None, max_examples=80)
@given(
    rows=_ROWS,
    dataset_of_run=_RUNS,
    sign=st.sampled_from(sorted(_COUNT_SIGNS)),
    value=st.integers(-2, 3),
    dataset=st.one_of(st.none(), st.integers(1, 2)),
    directions=st.tuples(st.sampled_from(_DIRECTIONS), st.sampled_from(_DIRECTIONS)),
    seed=st.integers(),
)
def test_filters_and_orders_agree_with_plain_python(
    tmp_path_factory, rows, dataset_of_run, sign, value, dataset, directions, seed
):
    annotations = [
        {"id": number, "runId": run, "objectState": name, "objectCount": count}
        for number, (run, name, count) in enumerate(rows, start=1)
    ]
    shuffled = random.Random(seed).sample(annotations, len(annotations))
    source = database(
        tmp_path_factory.mktemp("pack"),
        {
            "datasets": [row("datasets", id=1), row("datasets", id=2)],
            "runs": [row("runs", id=run, datasetId=parent) for run, parent in enumerate(dataset_of_run, start=1)],
            "annotations": [row("annotations", **cells) for cells in shuffled],
        },
    )
    where = {"objectCount": {sign: value}} | ({"run": {"datasetId": {"_eq": dataset}}} if dataset else {})
    order = [{"objectState": directions[0]}, {"objectCount": directions[1]}, {"id": "asc"}]
    query = """query Q($where: AnnotationWhereClause, $order: [AnnotationOrderByClause!]) {
        annotations(where: $where, orderBy: $order) { id }
    }"""

    def matches(cells):
        in_dataset = dataset is None or (cells["runId"] and dataset_of_run[cells["runId"] - 1] == dataset)
        return in_dataset and cells["objectCount"] is not None and _COUNT_SIGNS[sign](cells["objectCount"], value)

    expected = [cells for cells in annotations if matches(cells)]
    expected = _sorted(expected, directions[1], lambda cells: cells["objectCount"])
    expected = _sorted(expected, directions[0], lambda cells: cells["objectState"])
    found_rows = ask(source, query, where=where, order=order)["annotations"]
    assert [record["id"] for record in found_rows] == [cells["id"] for cells in expected]
