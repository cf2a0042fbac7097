"""The tables in SQLite answer as a plain evaluation of the demo's rows does, and within limits."""

from __future__ import annotations

import random
import threading
import time

import pytest

from napari_cryoet.exceptions import PackError, PortalError, StoppedError
from napari_cryoet.packs.pack import open_pack
from napari_cryoet.records import MAX_ID
from napari_cryoet.tables.database import Database, Limits
from napari_cryoet.tables.schema import tables
from packs.small_pack import row, small_tables
from tables.evaluation import Evaluation, moment

SIGNS = {
    "text": ("_eq", "_neq", "_in", "_ilike", "_like", "_is_null"),
    "bool": ("_eq", "_neq", "_is_null"),
    "int": ("_eq", "_neq", "_in", "_gt", "_gte", "_lt", "_lte", "_is_null"),
}
SIGNS["float"] = SIGNS["date"] = SIGNS["int"]


@pytest.fixture(scope="module")
def demo(demo_pack):
    """The demo's rows."""
    pack = open_pack(demo_pack)
    return {name: pack.tables[name] for name in pack.tables}


class Clauses:
    """Makes up clauses that some of the rows match."""

    def __init__(self, rows, seed):
        self.rows, self.random = rows, random.Random(seed)

    def of(self, table, depth=2):
        shape, clause = tables()[table], {}
        for _ in range(self.random.randint(1, 2)):
            relations = {**shape.parents, **shape.children}
            if self.random.random() < 0.6 or not depth or not relations:
                column = self.random.choice([each for each in shape.columns.values() if each.kind != "matrix"])
                clause[column.name] = self.condition(table, column)
            else:
                name = self.random.choice(list(relations))
                clause[name] = self.of(relations[name].table, depth - 1)
        return clause

    def condition(self, table, column):
        sign = self.random.choice(SIGNS[column.kind])
        cells = [each[column.name] for each in self.rows.get(table, ()) if each.get(column.name) is not None]
        if sign == "_is_null" or not cells:
            return {"_is_null": self.random.random() < 0.5}
        value = self.random.choice(cells)
        if sign == "_in":
            return {sign: [self.random.choice(cells) for _ in range(self.random.randint(0, 3))]}
        if "like" in sign:
            start = self.random.randrange(len(value) + 1)
            part = value[start : start + 6].replace("_", "%").replace("\\", "%")
            return {sign: f"%{part.upper() if 'il' in sign else part}%"}
        return {sign: value}


@pytest.mark.parametrize("seed", range(4))
def test_clauses_find_the_rows_that_they_mean(demo, seed):
    database, expected, clauses = Database(demo), Evaluation(demo), Clauses(demo, seed)
    full = 0
    for _ in range(60):
        table = clauses.random.choice([name for name in demo if 0 < len(demo[name]) < 300])
        where = clauses.of(table)
        found = [each["id"] for each in database.rows(table, where)]
        assert found == sorted(expected.ids(table, where)), (table, where)
        full += 0 < len(found) < len(demo[table])
    assert full > 10  # else the clauses are no test


@pytest.mark.parametrize(
    ("table", "paths"),
    [
        ("annotations", [("objectName",), ("methodType",), ("run", "dataset", "id")]),
        ("datasets", [("id",), ("runs", "annotations", "annotationShapes", "shapeType")]),
        ("datasets", [("runs", "annotations", "objectName"), ("runs", "tomograms", "processing")]),
    ],
)
def test_groups_count_joined_rows(demo, table, paths):
    database = Database(demo)
    groups = database.counts(table, group_by=paths)
    assert {tuple(cells): count for count, *cells in groups} == dict(Evaluation(demo).counts(table, paths))


def test_rows_come_in_order_with_nulls_where_the_portal_puts_them():
    database = Database(small_tables())

    def order(*clauses, table="annotations"):
        return [each["id"] for each in database.rows(table, order_by=clauses)]

    assert order({"objectCount": "asc"}) == [5, 4, 3, 1, 2, 6]
    assert order({"objectCount": "desc"}) == [2, 6, 1, 3, 4, 5]
    assert order({"objectCount": "asc_nulls_first"}, {"id": "desc"}) == [6, 2, 5, 4, 3, 1]
    assert order({"objectCount": "desc_nulls_last"})[:2] == [1, 3]
    assert order({"releaseDate": "desc"}, table="datasets") == [11, 12, 10]  # equal moments in other zones: by id
    assert [each["id"] for each in database.rows("runs", limit=2, offset=1)] == [101, 102]


def test_cells_come_as_the_schema_says(demo):
    database = Database(demo)
    for table in ("tomograms", "annotations", "tiltseries", "alignments"):
        for mine, theirs in zip(database.rows(table), sorted(demo[table], key=lambda each: each["id"]), strict=True):
            for name, column in tables()[table].columns.items():
                cell = theirs.get(name)
                if column.kind == "date":
                    assert moment(mine[name]) == moment(cell)
                else:
                    assert mine[name] == cell


@pytest.mark.parametrize(
    ("table", "cells", "word"),
    [
        ("runs", {"id": None}, "id"),
        ("runs", {"id": MAX_ID + 1}, "id"),
        ("runs", {"datasetId": "ten"}, "datasetId"),
        ("runs", {"name": 5}, "name"),
        ("tomograms", {"ctfCorrected": 1}, "ctfCorrected"),
        ("datasets", {"releaseDate": "yesterday"}, "yesterday"),
        ("datasets", {"releaseDate": "0001-01-01T00:00:00+14:00"}, "datasets"),
    ],
)
def test_a_cell_that_is_not_what_its_column_holds_is_named(table, cells, word):
    database = Database({table: [row(table, id=5) | cells]})
    for _ in range(2):  # also when asked again
        with pytest.raises(PackError, match=word):
            database.rows(table)


@pytest.mark.parametrize(
    ("where", "order"),
    [
        ({"nothing": {}}, ()),
        ({"name": None}, ()),
        ({"name": {"_regex": "a"}}, ()),
        ({"tomogramsAggregate": {"count": {"predicate": {"_gte": 1}}}}, ()),
        ({"dataset": {"releaseDate": {"_gt": "soon"}}}, ()),
        ({}, [{"nothing": "asc"}]),
        ({}, [{"tomograms": {"id": "asc"}}]),
    ],
)
def test_a_clause_that_cannot_be_answered_is_refused(where, order):
    with pytest.raises(PortalError):
        Database(small_tables()).rows("runs", where, order_by=order)


def test_names_from_outside_are_never_sql():
    database = Database(small_tables())
    for path in (("name' OR 1=1 --",), ("dataset", 'id") FROM runs --'), ("nothing", "id")):
        with pytest.raises(PortalError):
            database.counts("runs", group_by=[path])
    assert database.rows("runs", {"name": {"_eq": "' OR 1=1 --"}}) == []


def test_text_is_compared_without_case_in_every_script():
    database = Database({"datasets": [row("datasets", id=1, title="Schäfer ÉCOLE ÅNGSTRÖM")]})
    for pattern in ("%SCHÄFER%", "%école%", "%ångström"):
        assert database.rows("datasets", {"title": {"_ilike": pattern}})
    assert not database.rows("datasets", {"title": {"_like": "%SCHÄFER%"}})


def endless():
    """A database and a clause that takes SQLite hours: no row matches, and each is compared with each."""
    database = Database({"runs": [row("runs", id=n, datasetId=1, name="a" * 200) for n in range(1, 3000)]})
    database.rows("runs")
    clause = {"name": {"_like": "%" + "a%" * 60 + "b"}}
    for _ in range(2):
        clause = {"dataset": {"runs": clause}}
    return Database({"datasets": [row("datasets", id=1)], "runs": database.rows("runs")}), clause


def test_a_query_ends_at_its_limit_and_within_a_fifth_of_a_second_of_a_stop():
    database, clause = endless()
    database.rows("runs", {"dataset": {"id": {"_eq": 2}}})  # loads both
    with pytest.raises(PortalError, match="long"):
        database.rows("runs", clause, limits=Limits(deadline=time.monotonic() + 0.1))
    stop = threading.Event()
    began = []
    threading.Timer(0.2, lambda: (began.append(time.monotonic()), stop.set())).start()
    with pytest.raises(StoppedError):
        database.rows("runs", clause, limits=Limits(stop))
    assert time.monotonic() - began[0] < 0.2
    assert database.rows("runs", {"id": {"_eq": 1}})  # and others are answered after it
