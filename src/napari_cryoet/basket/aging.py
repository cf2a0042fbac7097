"""How a basket has aged: changed and withdrawn records, lost ground truth, and new matches of its searches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
from msgspec.structs import replace

from napari_cryoet.basket.basket import KINDS, PREFIXES, Basket, RecordKind
from napari_cryoet.basket.contents import TABLES
from napari_cryoet.discovery.index import Index
from napari_cryoet.discovery.matches import find
from napari_cryoet.discovery.search import search_from
from napari_cryoet.records import Record
from napari_cryoet.runs.runs import Runs
from napari_cryoet.tables.database import Row, by_id, normalised

_NAMES = {kind: prefix for prefix, kind in PREFIXES.items()} | {"annotation_shapes": "shape"}


class Age(Record, frozen=True, kw_only=True):
    """The differences from today's portal: ids by kind, and a line of text for each."""

    changed: dict[RecordKind, tuple[int, ...]] = msgspec.field(default_factory=dict)
    withdrawn: dict[RecordKind, tuple[int, ...]] = msgspec.field(default_factory=dict)
    new: dict[RecordKind, tuple[int, ...]] = msgspec.field(default_factory=dict)
    no_ground_truth: tuple[int, ...] = ()  # annotations that were ground truth
    lines: tuple[str, ...] = ()  # AN-9003 (ribosome, TS_026): changed on 2025-06-01

    @property
    def text(self) -> str:
        """``3 changed, 1 withdrawn, 2 new match``; empty if nothing differs."""
        counts = {
            "changed": sum(map(len, self.changed.values())),
            "no longer ground truth": len(self.no_ground_truth),
            "withdrawn": sum(map(len, self.withdrawn.values())),
            "new match": sum(map(len, self.new.values())),
        }
        return ", ".join(f"{number:,} {label}" for label, number in counts.items() if number)


def age_of(basket: Basket, runs: Runs, index: Index | None = None) -> Age:
    """Compare a basket with its runs today, and with the matches of its searches in today's index.

    Pasted ids have no date, so they never count as changed.
    """
    rows = _ticked_rows(basket, runs)
    changed, withdrawn, new = ({kind: list[int]() for kind in KINDS} for _ in range(3))
    for kind, today in rows.items():
        then = basket.seen.get(kind, {})
        withdrawn[kind] = [row_id for row_id in basket.ids(kind) if row_id not in today]
        changed[kind] = [
            row_id
            for row_id, row in today.items()
            if then.get(row_id) and _date(row) and _normalised(then[row_id]) != _date(row)
        ]
    annotations = _ticked_annotations(rows)
    no_ground_truth = [
        row_id
        for row_id in basket.ground_truth
        if row_id in annotations and not annotations[row_id]["groundTruthStatus"]
    ]
    for search in basket.searches:
        if index is None:
            break
        known = {*basket.ids(search.adds), *basket.seen.get(search.adds, {}), *new[search.adds]}
        found = find(index, search_from(search.search))
        new[search.adds] += (row_id for row_id in found.ids(search.adds) if row_id not in known)
    age = Age(
        changed=_without_empty(changed),
        withdrawn=_without_empty(withdrawn),
        new=_without_empty(new),
        no_ground_truth=tuple(no_ground_truth),
    )
    return replace(age, lines=tuple(_lines(age, rows, runs)))


def brought_up_to_date(basket: Basket, age: Age, runs: Runs, index: Index | None = None) -> Basket:
    """Untick withdrawn records, tick new matches, and store today's dates and ground truth."""
    for kind, ids in age.withdrawn.items():
        basket = basket.without_ids(kind, ids)
    seen = {
        kind: {row_id: date for row_id, date in dates.items() if row_id not in basket.ids(kind)}
        for kind, dates in basket.seen.items()
    }
    basket = with_dates(replace(basket, seen=seen, ground_truth=()), runs)
    for kind, ids in age.new.items():
        rows = [] if index is None else index.rows(TABLES[kind], ids)
        basket = basket.with_rows(kind, rows)
    return basket


def with_dates(basket: Basket, runs: Runs) -> Basket:
    """Store today's dates and ground truth of ticked records without a date, such as pasted ids."""
    for kind, rows in _ticked_rows(basket, runs).items():
        known = basket.seen.get(kind, {})
        dates = {row_id: _date(row) for row_id, row in rows.items() if row_id not in known}
        truth = [rows[row_id]["id"] for row_id in dates if rows[row_id].get("groundTruthStatus")]
        basket = basket.with_ids(kind, dates, modified=dates, ground_truth=truth)
    return basket


def _ticked_rows(basket: Basket, runs: Runs) -> dict[RecordKind, dict[int, Row]]:
    """The rows of the ticked records; of a shape, that of its annotation."""
    known = by_id(runs.rows)
    rows: dict[RecordKind, dict[int, Row]] = {}
    for kind in KINDS:
        of_table = known[TABLES[kind]]
        rows[kind] = {row_id: of_table[row_id] for row_id in basket.ids(kind) if row_id in of_table}
    annotations = known["annotations"]
    rows["annotation_shapes"] = {
        row_id: annotations[shape["annotationId"]]
        for row_id, shape in rows["annotation_shapes"].items()
    }
    return rows


def _ticked_annotations(rows: Mapping[RecordKind, Mapping[int, Row]]) -> dict[int, Row]:
    of_shapes = {row["id"]: row for row in rows["annotation_shapes"].values()}
    return {**rows["annotations"], **of_shapes}


def _date(row: Row) -> str:
    return _normalised(row.get("lastModifiedDate") or "")


def _normalised(date: str) -> str:
    """A date in one spelling, for comparison; unchanged if it isn't a date."""
    try:
        return normalised(date)
    except (ValueError, OverflowError):
        return date


def _without_empty(by_kind: Mapping[RecordKind, list[int]]) -> dict[RecordKind, tuple[int, ...]]:
    return {kind: tuple(ids) for kind, ids in by_kind.items() if ids}


def _lines(age: Age, rows: Mapping[RecordKind, Mapping[int, Row]], runs: Runs) -> Iterator[str]:
    """The differences as text: changed, lost ground truth, withdrawn, new."""
    for kind, ids in age.changed.items():
        for row_id in ids:
            row = rows[kind][row_id]
            yield f"{_name(kind, row_id, row, runs)}: changed on {_date(row)[:10]}"
    annotations = _ticked_annotations(rows)
    for row_id in age.no_ground_truth:
        yield f"{_name('annotations', row_id, annotations[row_id], runs)}: no longer ground truth"
    for kind, ids in age.withdrawn.items():
        for row_id in ids:
            yield f"{_NAMES[kind]}-{row_id}: withdrawn"
    for kind, ids in age.new.items():
        for row_id in ids:
            yield f"{_NAMES[kind]}-{row_id}: new match"


def _name(kind: RecordKind, row_id: int, row: Row, runs: Runs) -> str:
    """``AN-9003 (ribosome, TS_026)``."""
    run = runs.records.get(row.get("runId", row_id))
    words = [row.get("objectName"), row.get("processing"), run and run.run.name]
    about = ", ".join(word for word in words if word)
    return f"{_NAMES[kind]}-{row_id}" + (f" ({about})" if about else "")
