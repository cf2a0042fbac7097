"""The tables in SQLite answer like the portal, within limits."""

from __future__ import annotations

import threading
import time

import pytest

from napari_cryoet.exceptions import PackError, PortalError, StoppedError
from napari_cryoet.records import MAX_ID
from napari_cryoet.tables.database import Database, Limits
from napari_cryoet.task import Task
from packs.small_pack import row, small_tables


@pytest.fixture(scope="module")
def small():
    return Database(small_tables())


@pytest.mark.parametrize(
    ("table", "where", "ids"),
    [
        ("annotations", {"objectCount": {"_gt": 3}}, [1, 3]),
        ("annotations", {"objectCount": {"_gte": 3, "_lt": 838}}, [3, 4]),
        ("annotations", {"objectCount": {"_is_null": True}}, [2, 6]),
        ("annotations", {"objectCount": {"_neq": None}}, [1, 3, 4, 5]),
        ("annotations", {"objectName": {"_ilike": "%RIBO%"}}, [1, 3, 4]),
        ("annotations", {"objectName": {"_like": "ribo%"}}, [1, 3]),
        ("annotations", {"objectName": {"_in": ["FAS", "orphan"]}}, [5, 6]),
        ("annotations", {"objectName": {"_in": []}}, []),
        ("annotations", {"groundTruthStatus": {"_neq": True}}, [3]),  # null meets no condition
        ("annotations", {"run": {"dataset": {"id": {"_eq": 10}}}}, [1, 2, 3, 4]),
        (
            "annotations",
            {"annotationShapes": {"shapeType": {"_eq": "Point"}}, "methodType": {"_eq": "manual"}},
            [5],
        ),
        (
            "runs",
            {"annotations": {"objectName": {"_eq": "ribosome"}, "methodType": {"_eq": "manual"}}},
            [],
        ),  # the same
        ("runs", {"name": {"_ilike": r"ts\_%"}}, [100, 101, 102]),
        ("runs", {"name": {"_like": r"%50\%"}}, [101]),
        ("datasets", {"runs": {"annotations": {}}}, [10, 11]),
        ("datasets", {"releaseDate": {"_eq": "2025-06-01T00:00:00+00:00"}}, [11, 12]),
        ("datasets", {"releaseDate": {"_in": ["2024-01-01"]}}, [10]),
        ("datasets", {"fileSize": {"_lt": 10.5}}, [12]),
    ],
)
def test_clauses_select_the_same_rows_as_on_the_portal(small, table, where, ids):
    assert [each["id"] for each in small.rows(table, where)] == ids


def test_groups_count_joined_rows(small):
    def counts(table, *paths):
        return {tuple(cells): count for count, *cells in small.counts(table, group_by=paths)}

    by_object = {
        ("ribosome", 10): 2,
        ("membrane", 10): 1,
        ("Ribosome, large", 10): 1,
        ("FAS", 11): 1,
    }
    assert counts("annotations", ("objectName",), ("run", "dataset", "id")) == by_object
    by_shape = {
        (10, "Point"): 2,
        (10, "OrientedPoint"): 1,
        (10, "SegmentationMask"): 1,
        (11, "Point"): 1,
    }
    assert (
        counts("datasets", ("id",), ("runs", "annotations", "annotationShapes", "shapeType"))
        == by_shape
    )
    pairs = {
        ("ribosome", "raw"): 2,
        ("ribosome", "denoised"): 2,
        ("membrane", "raw"): 1,
        ("membrane", "denoised"): 1,
    }
    pairs |= {("FAS", "raw"): 1}  # annotations with tomograms of one run
    assert (
        counts(
            "datasets", ("runs", "annotations", "objectName"), ("runs", "tomograms", "processing")
        )
        == pairs
    )


def test_rows_are_ordered_with_nulls_as_on_the_portal(small):
    def order(*clauses, table="annotations"):
        return [each["id"] for each in small.rows(table, order_by=clauses)]

    assert order({"objectCount": "asc"}) == [5, 4, 3, 1, 2, 6]
    assert order({"objectCount": "desc"}) == [2, 6, 1, 3, 4, 5]
    assert order({"objectCount": "asc_nulls_first"}, {"id": "desc"}) == [6, 2, 5, 4, 3, 1]
    assert order({"objectCount": "desc_nulls_last"})[:2] == [1, 3]
    assert order({"releaseDate": "desc"}, table="datasets") == [
        11,
        12,
        10,
    ]  # equal moments in other zones: by id
    assert [each["id"] for each in small.rows("runs", limit=2, offset=1)] == [101, 102]


@pytest.mark.parametrize(
    ("table", "cells", "word"),
    [
        ("runs", {"id": MAX_ID + 1}, "id"),
        ("runs", {"datasetId": "ten"}, "datasetId"),
        ("runs", {"name": 5}, "name"),
        ("datasets", {"releaseDate": "yesterday"}, "yesterday"),
    ],
)
def test_errors_name_invalid_cells(table, cells, word):
    database = Database({table: [row(table, id=5) | cells]})
    for _ in range(2):  # also when asked again
        with pytest.raises(PackError, match=word):
            database.rows(table)


@pytest.mark.parametrize(
    ("where", "order"),
    [
        ({"nothing": {}}, ()),
        ({"name": {"_regex": "a"}}, ()),
        ({"tomogramsAggregate": {"count": {"predicate": {"_gte": 1}}}}, ()),
        ({"dataset": {"releaseDate": {"_gt": "soon"}}}, ()),
        ({}, [{"nothing": "asc"}]),
    ],
)
def test_unsupported_clauses_are_refused(small, where, order):
    with pytest.raises(PortalError):
        small.rows("runs", where, order_by=order)


def test_names_are_never_run_as_sql(small):
    for path in (("name' OR 1=1 --",), ("dataset", 'id") FROM runs --'), ("nothing", "id")):
        with pytest.raises(PortalError):
            small.counts("runs", group_by=[path])
    assert small.rows("runs", {"name": {"_eq": "' OR 1=1 --"}}) == []


def slow_query():
    """A database and a clause that would take SQLite hours: it compares all pairs of rows and matches none."""
    database = Database(
        {"runs": [row("runs", id=n, datasetId=1, name="a" * 200) for n in range(1, 3000)]}
    )
    database.rows("runs")
    clause = {"name": {"_like": "%" + "a%" * 60 + "b"}}
    for _ in range(2):
        clause = {"dataset": {"runs": clause}}
    return Database({"datasets": [row("datasets", id=1)], "runs": database.rows("runs")}), clause


def test_queries_end_at_a_deadline_or_stop():
    database, clause = slow_query()
    database.rows("runs", {"dataset": {"id": {"_eq": 2}}})  # loads both
    with pytest.raises(PortalError, match="long"):
        database.rows("runs", clause, limits=Limits(deadline=time.monotonic() + 0.1))
    task = Task()
    threading.Timer(0.2, task.stop).start()
    with pytest.raises(StoppedError):
        database.rows("runs", clause, limits=Limits(task))
    assert database.rows("runs", {"id": {"_eq": 1}})  # and others are answered after it
