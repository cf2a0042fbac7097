import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from graphql import build_client_schema, get_introspection_query, parse

from napari_cryoet.exceptions import PackError
from napari_cryoet.packs.database import Database
from napari_cryoet.packs.limits import Budget
from napari_cryoet.packs.pack import write_pack
from napari_cryoet.packs.resolve import execute
from packs.small_pack import MANIFEST, ask, database, placed, refusal, row


def test_a_record_comes_with_its_parents_and_children(small):
    data = ask(
        small,
        """{ tomograms(where: {id: {_eq: 2}}) {
            id processing sizeX voxelSpacing name isVisualizationDefault
            run { name dataset { title deposition { title } } }
            tomogramVoxelSpacing { voxelSpacing tomograms(orderBy: [{id: asc}]) { edges { node { id } } } }
            alignment { id } authors { edges { node { name } } }
        } }""",
    )
    assert data["tomograms"] == [
        {
            "id": 2,
            "processing": "denoised",
            "sizeX": 961,
            "voxelSpacing": 13.48,
            "name": None,
            "isVisualizationDefault": True,
            "run": {"name": "TS_026", "dataset": {"title": "Yeast 100%", "deposition": {"title": "Alpha"}}},
            "tomogramVoxelSpacing": {
                "voxelSpacing": 13.48,
                "tomograms": {"edges": [{"node": {"id": 1}}, {"node": {"id": 2}}]},
            },
            "alignment": None,
            "authors": {"edges": []},
        }
    ]


def test_dates_come_in_one_spelling(small):
    data = ask(small, "{ datasets(orderBy: [{id: asc}]) { releaseDate } }")
    dates = [dataset["releaseDate"] for dataset in data["datasets"]]
    assert dates == ["2024-01-01T00:00:00+00:00", "2025-06-01T00:00:00+00:00", "2025-06-01T02:00:00+02:00"]


def test_a_matrix_is_given_compared_and_grouped_by(tmp_path):
    turned, plain = [[0.5, -1], [1, 0.5]], [[1.0, 0.0], [0.0, 1.0]]
    tables = {
        "perSectionAlignmentParameters": [
            row("perSectionAlignmentParameters", id=1, inPlaneRotation=turned),
            row("perSectionAlignmentParameters", id=2, inPlaneRotation=plain),
            row("perSectionAlignmentParameters", id=3, inPlaneRotation=plain),
            row("perSectionAlignmentParameters", id=4),
        ]
    }
    data = ask(
        database(tmp_path, tables),
        """{
            perSectionAlignmentParameters(orderBy: [{inPlaneRotation: asc}, {id: asc}]) { id inPlaneRotation }
            perSectionAlignmentParametersAggregate { aggregate { count groupBy { inPlaneRotation } } }
        }""",
    )
    rows = data["perSectionAlignmentParameters"]
    assert [(each["id"], each["inPlaneRotation"]) for each in rows] == [(1, turned), (2, plain), (3, plain), (4, None)]
    groups = data["perSectionAlignmentParametersAggregate"]["aggregate"]
    assert [(each["count"], each["groupBy"]["inPlaneRotation"]) for each in groups] == [
        (1, turned),
        (2, plain),
        (1, None),
    ]


def test_a_number_is_no_matrix(tmp_path):
    tables = {"perSectionAlignmentParameters": [row("perSectionAlignmentParameters", id=1, inPlaneRotation=0.0)]}
    with pytest.raises(PackError, match="should have rows of numbers in inPlaneRotation"):
        execute(database(tmp_path, tables), "{ perSectionAlignmentParameters { inPlaneRotation } }")


def test_a_parent_that_does_not_match_is_null(small):
    query = """{ annotations(where: {id: {_in: [1, 5]}}, orderBy: [{id: asc}]) {
        run(where: {name: {_eq: "TS_026"}}) { id }
    } }"""
    assert ask(small, query)["annotations"] == [{"run": {"id": 100}}, {"run": None}]


def test_fragments_directives_and_type_names_work(small):
    query = """query Q($more: Boolean!) { runs(where: {id: {_eq: 100}}) { ...F __typename } }
    fragment F on Run { id ... on Run { name } dataset @include(if: $more) { id } s3Prefix @skip(if: $more) }"""
    assert ask(small, query, more=True)["runs"] == [
        {"id": 100, "name": "TS_026", "dataset": {"id": 10}, "__typename": "Run"}
    ]


def test_the_global_id_names_type_and_id(small):
    found = ask(small, "{ runs(where: {id: {_eq: 100}}) { _id } }")["runs"][0]["_id"]
    assert base64.b64decode(found) == b"Run:100"


def test_the_schema_can_be_asked_for(small):
    schema = build_client_schema(ask(small, get_introspection_query()))
    assert "tomograms" in schema.query_type.fields


def test_one_of_several_operations_is_run_by_name(small):
    query = "query A { runs { id } } query B { datasets { id } }"
    assert set(execute(small, query, operation_name="B").data) == {"datasets"}
    assert execute(small, query).errors


def test_a_parsed_document_is_as_good_as_its_text(small):
    assert execute(small, parse("{ runs(where: {id: {_eq: 100}}) { id } }")).data == {"runs": [{"id": 100}]}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("{ runs { idd } }", "Cannot query field 'idd'"),
        ("{ runs { id }", "Syntax Error"),
        ("", "Syntax Error"),
        ("{ runs }", "must have a selection"),
        ("query Q($unused: Int) { runs { id } }", "never used"),
        ("query Q($id: Int!) { runs(where: {id: {_eq: $id}}) { id } }", "$id"),
        ("mutation { deleteRun(where: {}) { id } }", "read only"),
        ("{ runs { ...F } } fragment F on Run { ...F }", "deep"),
    ],
)
def test_a_wrong_query_is_an_error_without_data(small, query, words):
    assert words in refusal(small, query)


def test_any_error_takes_all_data_with_it(small):
    query = "{ datasets { id } runs { annotations(first: 101) { edges { node { id } } } } }"
    result = execute(small, query)
    assert result.data is None
    assert len(result.errors) == 1


def test_orders_that_the_portal_confuses_are_refused(small):
    query = """{ datasets {
        a: authors(orderBy: [{name: asc}, {authorListOrder: asc}]) { edges { node { name } } }
        b: authors(orderBy: [{authorListOrder: asc}, {name: asc}]) { edges { node { name } } }
    } }"""
    assert "confuses two orders of authors" in refusal(small, query)


def test_the_same_order_twice_is_fine(small):
    query = """{ datasets(where: {id: {_eq: 10}}) {
        a: authors(orderBy: [{authorListOrder: asc}]) { edges { node { name } } }
        b: authors(orderBy: [{authorListOrder: desc}], first: 1) { edges { node { name } } }
        c: authors(orderBy: [{authorListOrder: asc}], first: 1) { edges { node { name } } }
    } }"""
    dataset = ask(small, query)["datasets"][0]
    names = {alias: [edge["node"]["name"] for edge in page["edges"]] for alias, page in dataset.items()}
    assert names == {"a": ["Alba", "Irene"], "b": ["Irene"], "c": ["Alba"]}


def test_a_word_newer_than_the_schema_is_passed_on(tmp_path):
    source = database(tmp_path, {"annotationShapes": [row("annotationShapes", id=1, shapeType="Hologram")]})
    assert ask(source, "{ annotationShapes { shapeType } }")["annotationShapes"] == [{"shapeType": "Hologram"}]


# Damaged packs.


def test_a_row_that_lacks_what_it_must_have_is_named_when_it_is_asked_for(tmp_path):
    source = database(tmp_path, {"runs": [{"id": 7, "datasetId": 1}]})
    assert ask(source, "{ runs { id datasetId } }") == {"runs": [{"id": 7, "datasetId": 1}]}
    with pytest.raises(PackError, match="Row 7 of the table runs lacks name"):
        execute(source, "{ runs { name } }")


@pytest.mark.parametrize(
    ("table", "cells", "words"),
    [
        ("runs", {"name": 5}, "Row 1 of the table runs should have text in name: 5"),
        ("runs", {"datasetId": "ten"}, "a whole number in datasetId: 'ten'"),
        ("runs", {"datasetId": True}, "a whole number in datasetId"),
        ("runs", {"datasetId": 2**31}, "a whole number in datasetId"),
        ("tomograms", {"voxelSpacing": "13.48"}, "a number in voxelSpacing"),
        ("tomograms", {"ctfCorrected": 1}, "true or false in ctfCorrected"),
        ("datasets", {"releaseDate": "June"}, "an ISO 8601 date in releaseDate: 'June'"),
        ("datasets", {"releaseDate": 2024}, "an ISO 8601 date in releaseDate"),
    ],
)
def test_a_cell_that_does_not_belong_in_its_column_is_named(tmp_path, table, cells, words):
    source = database(tmp_path, {table: [row(table, id=1) | cells]})
    with pytest.raises(PackError, match=words):
        execute(source, f"{{ {table} {{ id }} }}")


def test_a_damaged_table_harms_no_query_that_leaves_it_alone(tmp_path):
    source = database(tmp_path, {"runs": [row("runs", id=1)]})
    (source.pack.folder / "tables" / "datasets.json").write_text("{")
    assert ask(source, "{ runs { id } }")
    with pytest.raises(PackError, match="isn't valid JSON"):
        execute(source, "{ runs { dataset { id } } }")


# What a query may cost.


def nested(levels):
    return "{ runs " + "{ dataset { runs { edges { node " * levels + "{ id }" + " } } } }" * levels + " }"


def test_queries_that_nest_too_deep_are_refused(small):
    assert ask(small, nested(8))
    assert "deeper than 40" in refusal(small, nested(20))
    assert "too deep" in refusal(small, "{ a" * 20_000 + " }" * 20_000)
    deep = {"id": {"_eq": 1}}
    for _ in range(5_000):
        deep = {"dataset": {"runs": deep}}
    assert "too deep" in refusal(small, "query Q($w: RunWhereClause) { runs(where: $w) { id } }", w=deep)


def test_queries_that_select_too_much_are_refused(small):
    assert "more than 2000 fields" in refusal(small, "{ runs {" + "id " * 3_000 + "} }")
    bomb = "{ runs { ...F0 } }" + "".join(
        f" fragment F{n} on Run {{ a{n}: dataset {{ id }} ...F{n + 1} ...F{n + 1} }}" for n in range(18)
    )
    assert "more than 2000 fields" in refusal(small, bomb + " fragment F18 on Run { id }")


def test_queries_that_are_too_long_are_refused(small):
    assert "characters at most" in refusal(small, "#" * (1 << 20) + "\n{ runs { id } }")
    assert refusal(small, "{ " + "a " * 250_000 + "}")


def test_a_recursion_through_many_rows_is_stopped_in_time(tmp_path):
    runs = [row("runs", id=number, datasetId=1) for number in range(100)]
    source = database(tmp_path, {"datasets": [row("datasets", id=1)], "runs": runs})
    result = execute(source, nested(9), budget=Budget(steps=100_000))
    assert result.data is None
    assert result.errors[0].message == "The query asks for too much at once."
    begin = time.thread_time()
    result = execute(source, nested(9), budget=Budget(seconds=0.5))
    assert result.errors[0].message == "The query takes too long."
    assert time.thread_time() - begin < 5


def test_an_answer_that_grows_too_wide_is_stopped(small):
    query = "{ runs { " + " ".join(f"a{number}: id" for number in range(1_000)) + " } }"
    assert len(ask(small, query)["runs"][0]) == 1_000
    assert execute(small, query, budget=Budget(steps=2_000)).errors


# Size, and many at once.


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """One dataset with 5,000 runs, 10,000 annotations and 20,000 annotation files, and 369 empty ones."""
    tables = {
        "depositions": [row("depositions", id=1)],
        "datasets": [row("datasets", id=number, depositionId=1) for number in range(1, 371)],
        "runs": [
            row("runs", id=n, datasetId=1, name=f"run {n:04}", **placed("Prefix", f"1/{n}/")) for n in range(5_000)
        ],
        "tomogramVoxelSpacings": [row("tomogramVoxelSpacings", id=n, runId=n) for n in range(5_000)],
        "alignments": [row("alignments", id=n, runId=n) for n in range(5_000)],
        "tiltseries": [row("tiltseries", id=n, runId=n) for n in range(5_000)],
        "tomograms": [row("tomograms", id=n, runId=n, alignmentId=n, depositionId=1) for n in range(5_000)],
        "annotations": [
            row("annotations", id=n, runId=n // 2, depositionId=1, objectName=f"object {n % 7}") for n in range(10_000)
        ],
        "annotationShapes": [
            row("annotationShapes", id=n, annotationId=n, shapeType=("Point", "SegmentationMask")[n % 2])
            for n in range(10_000)
        ],
        "annotationFiles": [
            row(
                "annotationFiles", id=n, annotationShapeId=n // 2, alignmentId=n // 4, **placed("Path", f"1/{n}.ndjson")
            )
            for n in range(20_000)
        ],
    }
    pack = write_pack(tmp_path_factory.mktemp("large"), MANIFEST, tables)
    source = Database(pack)
    for table in tables:
        source.table(table)
    return source


def test_every_screen_of_a_large_dataset_is_quick(large):
    from napari_cryoet.portal import queries

    search, search_variables = queries.search(["object 3", "run 12"])
    asked = {
        "catalogue": (queries.CATALOGUE, {}),
        "dataset page": (queries.DATASET_PAGE, queries.dataset_page_variables(1, 0, 100, "")),
        "filtered page": (queries.DATASET_PAGE, queries.dataset_page_variables(1, 0, 100, "49")),
        "run page": (queries.RUN_PAGE, {"id": 4_321}),
        "deposition page": (queries.DEPOSITION_PAGE, queries.deposition_page_variables(1)),
        "lookup": (queries.LOOKUP, {"id": 77}),
        "run of a file": (queries.FILE_RUN, {"id": 77}),
        "search": (search, search_variables),
    }
    for name, (query, variables) in asked.items():
        execute(large, query, variables)  # what is parsed and indexed once is not what is measured
        begin = time.thread_time()
        ask(large, query, **variables)
        seconds = time.thread_time() - begin
        assert seconds < 1.5, f"{name} took {seconds:.2f} s"


def test_many_threads_may_ask_one_database(tmp_path):
    source = database(tmp_path)
    query = "{ runs(orderBy: [{id: asc}]) { name annotations { edges { node { id } } } } }"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: json.dumps(ask(source, query)), range(80)))
    assert len(answers) == 80
    assert len(set(answers)) == 1
