import pytest

from packs.small_pack import ask, database, refusal, row


def aggregate(source, field, selection):
    return ask(source, f"{{ {field} {{ aggregate {{ {selection} }} }} }}")[field.partition("(")[0]]["aggregate"]


def as_set(groups):
    return sorted(repr(group) for group in groups)


def test_a_root_count_counts_rows(small):
    assert aggregate(small, "annotationsAggregate", "count") == [{"count": 6}]
    assert aggregate(small, "annotationsAggregate(where: {runId: {_eq: 100}})", "count") == [{"count": 3}]


def test_a_root_aggregate_over_nothing_counts_zero(small):
    where = "(where: {id: {_eq: 0}})"
    assert aggregate(small, f"annotationsAggregate{where}", "count min { id } avg { objectCount }") == [
        {"count": 0, "min": {"id": None}, "avg": {"objectCount": None}}
    ]
    assert aggregate(small, f"annotationsAggregate{where}", "count groupBy { objectName }") == []


def test_a_count_of_a_column_skips_nulls_and_distinct_counts_values(small):
    assert aggregate(small, "annotationsAggregate", "count(columns: objectCount)") == [{"count": 4}]
    assert aggregate(small, "annotationsAggregate", "count(columns: objectName, distinct: true)") == [{"count": 5}]
    assert aggregate(small, "annotationsAggregate", "count(distinct: true)") == [{"count": 6}]


def test_functions_over_columns(small):
    found = aggregate(
        small,
        "annotationsAggregate",
        "min { objectCount objectName } max { objectCount releaseDate } sum { objectCount } avg { objectCount }"
        " stddev { confidencePrecision objectCount } variance { objectCount }",
    )
    assert found == [
        {
            "min": {"objectCount": 0, "objectName": "FAS"},
            "max": {"objectCount": 838, "releaseDate": "2025-06-01T00:00:00+00:00"},
            "sum": {"objectCount": 853},
            "avg": {"objectCount": 213},  # 213.25: what comes of whole numbers is whole
            "stddev": {"confidencePrecision": None, "objectCount": 416},  # of one value there is none
            "variance": {"objectCount": 173498},
        }
    ]


def test_floats_stay_floats(small):
    found = aggregate(small, "tomogramsAggregate", "avg { voxelSpacing } stddev { voxelSpacing }")
    assert found[0]["avg"]["voxelSpacing"] == pytest.approx(12.32)
    assert found[0]["stddev"]["voxelSpacing"] == pytest.approx(2.00918)


def test_groups_of_a_column_have_nulls_too(small):
    assert as_set(aggregate(small, "annotationsAggregate", "count groupBy { groundTruthStatus }")) == as_set(
        [
            {"count": 1, "groupBy": {"groundTruthStatus": True}},
            {"count": 1, "groupBy": {"groundTruthStatus": False}},
            {"count": 4, "groupBy": {"groundTruthStatus": None}},
        ]
    )


def test_groups_across_to_one_relations_drop_rows_without_the_parent(small):
    assert as_set(aggregate(small, "annotationsAggregate", "count groupBy { run { dataset { id } } }")) == as_set(
        [
            {"count": 4, "groupBy": {"run": {"dataset": {"id": 10}}}},
            {"count": 1, "groupBy": {"run": {"dataset": {"id": 11}}}},
        ]
    )


def test_groups_across_to_many_relations_count_joined_rows(small):
    found = aggregate(small, "datasetsAggregate", "count groupBy { id runs { annotations { objectName } } }")
    assert as_set(found) == as_set(
        [
            {"count": 2, "groupBy": {"id": 10, "runs": {"annotations": {"objectName": "ribosome"}}}},
            {"count": 1, "groupBy": {"id": 10, "runs": {"annotations": {"objectName": "membrane"}}}},
            {"count": 1, "groupBy": {"id": 10, "runs": {"annotations": {"objectName": "Ribosome, large"}}}},
            {"count": 1, "groupBy": {"id": 11, "runs": {"annotations": {"objectName": "FAS"}}}},
        ]
    )


def test_distinct_ids_count_the_rows_themselves(small):
    selection = "count(columns: id, distinct: true) groupBy { runs { annotations { annotationShapes { shapeType } } } }"
    assert as_set(aggregate(small, "datasetsAggregate", selection)) == as_set(
        [
            {"count": 2, "groupBy": {"runs": {"annotations": {"annotationShapes": {"shapeType": "Point"}}}}},
            {"count": 1, "groupBy": {"runs": {"annotations": {"annotationShapes": {"shapeType": "OrientedPoint"}}}}},
            {"count": 1, "groupBy": {"runs": {"annotations": {"annotationShapes": {"shapeType": "SegmentationMask"}}}}},
        ]
    )


def test_two_relations_in_one_group_by_are_combined(small):
    found = aggregate(
        small, "runsAggregate", "count groupBy { id tomograms { processing } annotations { objectName } }"
    )
    assert {
        "count": 2,
        "groupBy": {"id": 100, "tomograms": {"processing": "raw"}, "annotations": {"objectName": "ribosome"}},
    } in found
    assert len(found) == 5  # raw and denoised by ribosome and membrane, and run 102's one


def test_nested_aggregates_without_rows_are_empty(small):
    data = ask(
        small,
        """{ runs(orderBy: [{id: asc}]) {
            all: annotationsAggregate { aggregate { count } }
            byName: annotationsAggregate(where: {methodType: {_eq: manual}}) {
                aggregate { count groupBy { objectName } }
            }
        } }""",
    )
    assert [run["all"]["aggregate"] for run in data["runs"]] == [[{"count": 3}], [{"count": 1}], [{"count": 1}], []]
    assert [len(run["byName"]["aggregate"]) for run in data["runs"]] == [1, 1, 1, 0]


def test_group_by_needs_a_function_beside_it(small):
    query = "{ runsAggregate { aggregate { groupBy { name } } } }"
    assert refusal(small, query) == "No aggregate functions selected"
    query = "{ datasets { runsAggregate { aggregate { groupBy { name } } } } }"
    assert refusal(small, query) == "No aggregate functions selected"


def test_three_relations_are_grouped_by_and_a_fourth_is_refused(small):
    query = (
        "{ annotationFilesAggregate { aggregate { count groupBy { annotationShape { annotation { run { %s } } } } } } }"
    )
    assert ask(small, query % "name")
    assert refusal(small, query % "dataset { id }") == "Max filter depth exceeded"


def test_directives_count(small):
    query = """query Q($wanted: Boolean!) {
        runsAggregate { aggregate { __typename count groupBy @include(if: $wanted) { datasetId: dataset { id } } } }
    }"""
    assert len(ask(small, query, wanted=True)["runsAggregate"]["aggregate"]) == 2
    assert [group["count"] for group in ask(small, query, wanted=False)["runsAggregate"]["aggregate"]] == [4]


def test_aliases_of_root_fields_are_independent(small):
    data = ask(
        small,
        """{ joined: datasetsAggregate { aggregate { count groupBy { runs { annotations { methodType } } } } }
             rows: datasetsAggregate { aggregate { count } } }""",
    )
    assert data["rows"]["aggregate"] == [{"count": 3}]
    assert sum(group["count"] for group in data["joined"]["aggregate"]) == 5


@pytest.mark.parametrize(
    "query",
    [
        "{ runsAggregate { aggregate { a: count b: count(columns: name, distinct: true) } } }",
        "{ runsAggregate { a: aggregate { count } b: aggregate { count groupBy { name } } } }",
        "{ datasets { runsAggregate { a: aggregate { count } b: aggregate { count groupBy { name } } } } }",
        "{ runsAggregate { ...F } } fragment F on RunAggregate { aggregate { count } }",
        "{ runsAggregate { aggregate { ...F } } } fragment F on RunAggregateFunctions { count }",
        "{ runsAggregate { aggregate { count groupBy { ... on RunGroupByOptions { name } } } } }",
    ],
)
def test_what_the_portal_answers_wrongly_is_refused(small, query):
    assert "portal" in refusal(small, query).lower()


def test_a_join_that_explodes_is_stopped(tmp_path):
    rows = [row("annotations", id=number, runId=1, objectName=str(number)) for number in range(2_000)]
    tomograms = [row("tomograms", id=number, runId=1, name=str(number)) for number in range(2_000)]
    source = database(tmp_path, {"runs": [row("runs", id=1)], "annotations": rows, "tomograms": tomograms})
    query = "{ runsAggregate { aggregate { count groupBy { annotations { objectName } tomograms { name } } } } }"
    assert "too much at once" in refusal(source, query)
