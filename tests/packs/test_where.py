import pytest

from napari_cryoet.packs.limits import Budget
from napari_cryoet.packs.resolve import execute
from packs.small_pack import ask, database, refusal, row


def found(source, table, where, **variables):
    return sorted(record["id"] for record in ask(source, f"{{ {table}(where: {where}) {{ id }} }}", **variables)[table])


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ("{objectCount: {_eq: 12}}", [3]),
        ("{objectCount: {_neq: 12}}", [1, 4, 5]),  # null is neither equal nor different
        ("{objectCount: {_in: [0, 3]}}", [4, 5]),
        ("{objectCount: {_nin: [0, 3]}}", [1, 3]),
        ("{objectCount: {_in: []}}", []),
        ("{objectCount: {_nin: []}}", [1, 2, 3, 4, 5, 6]),
        ("{objectCount: {_gt: 3}}", [1, 3]),
        ("{objectCount: {_gte: 3}}", [1, 3, 4]),
        ("{objectCount: {_lt: 3}}", [5]),
        ("{objectCount: {_lte: 3}}", [4, 5]),
        ("{objectCount: {_is_null: true}}", [2, 6]),
        ("{objectCount: {_is_null: false}}", [1, 3, 4, 5]),
        ("{objectCount: {_eq: null}}", [2, 6]),
        ("{objectCount: {_neq: null}}", [1, 3, 4, 5]),
        ("{objectCount: {_gte: 3, _lt: 13}}", [3, 4]),
        ("{objectCount: {}}", [1, 2, 3, 4, 5, 6]),
        ("{}", [1, 2, 3, 4, 5, 6]),
        ("null", [1, 2, 3, 4, 5, 6]),
        ("{confidencePrecision: {_gte: 80}}", [1]),
        ("{groundTruthStatus: {_eq: true}}", [1]),
        ("{groundTruthStatus: {_neq: true}}", [3]),
        ("{groundTruthStatus: {_in: [true, false]}}", [1, 3]),
        ("{methodType: {_eq: manual}}", [2, 4, 5, 6]),
        ("{methodType: {_nin: [manual, hybrid]}}", [3]),
        ("{objectName: {_like: \"%ribosome%\"}}", [1, 3]),
        ("{objectName: {_ilike: \"%ribosome%\"}}", [1, 3, 4]),
        ("{objectName: {_nlike: \"%ribosome%\"}}", [2, 4, 5, 6]),
        ("{objectName: {_nilike: \"%ribosome%\"}}", [2, 5, 6]),
        ("{objectName: {_like: \"F_S\"}}", [5]),
        ("{objectName: {_regex: \"^ribo|S$\"}}", [1, 3, 5]),
        ("{objectName: {_iregex: \"^ribo|s$\"}}", [1, 3, 4, 5]),
        ("{objectName: {_nregex: \"ribo\"}}", [2, 4, 5, 6]),
        ("{objectName: {_niregex: \"ribo\"}}", [2, 5, 6]),
        ("{objectName: {_gt: \"m\", _lt: \"o\"}}", [2]),
        ("{objectName: {_eq: \"ribosome\"}, objectCount: {_lt: 100}}", [3]),
        ("{id: {_in: [3, 1, 77]}}", [1, 3]),
        ("{runId: {_eq: 100}, id: {_gt: 1}}", [2, 3]),
    ],
)  # fmt: skip
def test_operators_on_cells(small, where, ids):
    assert found(small, "annotations", where) == ids


def test_a_null_cell_is_not_like_or_unlike_anything(small):
    assert found(small, "datasets", '{organismName: {_nlike: "x%"}}') == [10, 11]
    assert found(small, "datasets", '{organismName: {_niregex: "x"}}') == [10, 11]
    assert found(small, "datasets", '{organismName: {_nin: ["x"]}}') == [10, 11]


def test_wildcards_are_taken_literally_after_a_backslash(small):
    assert found(small, "datasets", r'{title: {_like: "Yeast_%"}}') == [10, 11]
    assert found(small, "datasets", r'{title: {_like: "Yeast\\_%"}}') == [11]
    assert found(small, "datasets", r'{title: {_ilike: "yeast 100\\%"}}') == [10]


@pytest.mark.parametrize(
    "instant", ["2025-06-01", "2025-06-01T00:00:00", "2025-06-01T00:00:00Z", "2025-06-01T02:00:00+02:00"]
)
def test_dates_are_compared_as_dates_whatever_their_spelling(small, instant):
    assert found(small, "datasets", f'{{releaseDate: {{_eq: "{instant}"}}}}') == [11, 12]
    assert found(small, "datasets", f'{{releaseDate: {{_lt: "{instant}"}}}}') == [10]
    assert found(small, "datasets", f'{{releaseDate: {{_in: ["{instant}"]}}}}') == [11, 12]


@pytest.mark.parametrize(
    ("table", "where", "ids"),
    [
        ("annotations", "{run: {dataset: {organismName: {_ilike: \"%pombe\"}}}}", [1, 2, 3, 4]),
        ("annotations", "{run: {}}", [1, 2, 3, 4, 5]),
        ("annotations", "{deposition: {title: {_eq: \"Alpha\"}}}", [1, 2]),
        ("runs", "{annotations: {}}", [100, 101, 102]),
        ("runs", "{annotations: {objectName: {_eq: \"ribosome\"}, methodType: {_eq: automated}}}", [100]),
        ("runs", "{annotations: {objectName: {_eq: \"membrane\"}, objectCount: {_gt: 0}}}", []),
        ("runs", "{annotations: {annotationShapes: {shapeType: {_in: [OrientedPoint]}}}}", [100]),
        ("runs", "{annotations: {objectName: {_eq: \"ribosome\"}}, tomograms: {processing: {_eq: denoised}}}", [100]),
        ("datasets", "{runs: {annotations: {annotationShapes: {shapeType: {_eq: Point}}}}}", [10, 11]),
        ("datasets", "{runs: {dataset: {runs: {dataset: {id: {_eq: 10}}}}}}", [10]),
        ("annotationShapes", "{annotation: {run: {datasetId: {_eq: 10}}}}", [1, 2, 3, 4]),
    ],
)  # fmt: skip
def test_a_relation_asks_for_one_related_row_that_meets_all(small, table, where, ids):
    assert found(small, table, where) == ids


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ("{annotationsAggregate: {count: {predicate: {_eq: 0}}}}", [103]),
        ("{annotationsAggregate: {count: {predicate: {_gte: 1}}}}", [100, 101, 102]),
        ("{annotationsAggregate: {count: {predicate: {_gt: 1, _lt: 3}}}}", []),
        ("{annotationsAggregate: {count: {predicate: {_eq: 2}, distinct: true, arguments: objectName}}}", [100]),
        ("{annotationsAggregate: {count: {predicate: {_eq: 2}, arguments: objectCount}}}", [100]),
        ("{annotationsAggregate: {count: {predicate: {_eq: 3}, distinct: true}}}", [100]),  # distinct needs a column
        ("{annotationsAggregate: {count: {predicate: {_eq: 0}, filter: {methodType: {_eq: manual}}}}}", [103]),
        ("{annotationsAggregate: {count: {predicate: {_eq: 1}, filter: {annotationShapes: {}}}}}", [102]),
        ("{annotationsAggregate: {count: {}}}", [100, 101, 102, 103]),
    ],
)  # fmt: skip
def test_conditions_on_counts(small, where, ids):
    assert found(small, "runs", where) == ids


def test_filters_can_come_as_variables(small):
    where = {"runs": {"annotations": {"annotationShapes": {"shapeType": {"_in": ["OrientedPoint"]}}}}}
    data = ask(small, "query Q($where: DatasetWhereClause) { datasets(where: $where) { id } }", where=where)
    assert data == {"datasets": [{"id": 10}]}


def test_four_relations_are_followed_and_a_fifth_is_refused(small):
    def nested(hops):
        names = ["dataset: {", "runs: {"]
        return "{" + "".join(names[hop % 2] for hop in range(hops)) + "}" * hops + "}"

    assert found(small, "runs", nested(4)) == [100, 101, 102, 103]
    assert refusal(small, f"{{ runs(where: {nested(5)}) {{ id }} }}") == "Max filter depth exceeded"
    assert ask(small, f"{{ runsAggregate(where: {nested(3)}) {{ aggregate {{ count }} }} }}")
    query = f"{{ runsAggregate(where: {nested(4)}) {{ aggregate {{ count }} }} }}"
    assert refusal(small, query) == "Max filter depth exceeded"


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("{objectName: null}", "objectName is null"),
        ("{objectCount: {_gt: null}}", "_gt on objectCount is null"),
        ("{objectCount: {_in: null}}", "_in on objectCount is null"),
        ('{objectName: {_regex: "("}}', "_regex on objectName can't be used"),
        ('{objectName: {_like: "a\\\\"}}', "must not end with a backslash"),
        ('{releaseDate: {_eq: "June"}}', "date"),
        ("{methodType: {_eq: magic}}", "magic"),
        ('{objectCount: {_like: "1"}}', "_like"),
        ("{name: {_eq: 1}}", "name"),
    ],
)
def test_a_wrong_condition_is_an_error_that_says_what_is_wrong(small, where, words):
    assert words in refusal(small, f"{{ annotations(where: {where}) {{ id }} }}")


def test_a_list_of_values_may_be_as_long_as_on_the_portal_and_no_longer(small):
    query = "query Q($ids: [Int!]) { runs(where: {id: {_in: $ids}}) { id } }"
    assert len(ask(small, query, ids=list(range(32_767)))["runs"]) == 4
    assert "32767" in refusal(small, query, ids=list(range(32_768)))


def test_a_dangling_key_matches_no_relation(tmp_path):
    source = database(tmp_path, {"runs": [row("runs", id=1, datasetId=99)]})
    assert found(source, "runs", "{dataset: {}}") == []
    assert found(source, "runs", "{datasetId: {_eq: 99}}") == [1]


def test_a_filter_that_costs_too_much_is_stopped(small):
    query = '{ runs(where: {annotations: {objectName: {_regex: "(a|b)*c"}}}) { id } }'
    result = execute(small, query, budget=Budget(5))
    assert "too much at once" in result.errors[0].message
    result = execute(small, "{ runs { id } }", budget=Budget(seconds=-1))
    assert "too long" in result.errors[0].message
