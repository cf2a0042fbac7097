"""How a basket has aged: changed and withdrawn records, and new matches of its searches."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from napari_cryoet.basket.basket import KINDS, Basket, RecordKind
from napari_cryoet.basket.contents import TABLES
from napari_cryoet.discovery.index import Index
from napari_cryoet.discovery.matches import find
from napari_cryoet.discovery.search import search_from
from napari_cryoet.portal.portal import Portal
from napari_cryoet.portal.rows import ask_table
from napari_cryoet.records import Record
from napari_cryoet.tables.database import normalised
from napari_cryoet.tables.schema import tables
from napari_cryoet.task import UNWATCHED, Task

Dates = Mapping[RecordKind, Mapping[int, str]]
"""Last modification dates by kind and id; an empty text for kinds without dates."""


class Age(Record, frozen=True, kw_only=True):
    """The differences from today's portal: ids by kind."""

    changed: dict[RecordKind, tuple[int, ...]] = msgspec.field(default_factory=dict)
    withdrawn: dict[RecordKind, tuple[int, ...]] = msgspec.field(default_factory=dict)
    new: dict[RecordKind, tuple[int, ...]] = msgspec.field(default_factory=dict)

    @property
    def text(self) -> str:
        """``3 changed, 1 withdrawn, 2 new match``; empty if nothing differs."""
        counts = ((self.changed, "changed"), (self.withdrawn, "withdrawn"), (self.new, "new match"))
        numbers = ((sum(map(len, ids.values())), label) for ids, label in counts)
        return ", ".join(f"{number:,} {label}" for number, label in numbers if number)


def ask_dates(portal: Portal, basket: Basket, *, task: Task = UNWATCHED) -> Dates:
    """Today's last modification dates of the ticked records, without withdrawn ones."""
    basket.require_source(portal.source)
    dates: dict[RecordKind, dict[int, str]] = {}
    for kind in KINDS:
        if ids := basket.ids(kind):
            name = TABLES[kind]
            columns = [
                column for column in ("id", "lastModifiedDate") if column in tables()[name].columns
            ]
            if kind == "annotation_shapes":
                columns.append("annotation { lastModifiedDate }")
            rows = ask_table(portal, name, {"id": {"_in": [*ids]}}, columns=columns, task=task)
            dates[kind] = {
                row["id"]: (row.get("annotation") or row).get("lastModifiedDate") or ""
                for row in rows
            }
    return dates


def age_of(
    basket: Basket,
    today: Dates,
    index: Index | None = None,
) -> Age:
    """Compare a basket with today's dates, and with the matches of its searches in today's index.

    Pasted ids have no date, so they never count as changed.
    """
    changed, withdrawn, new = ({kind: list[int]() for kind in KINDS} for _ in range(3))
    for kind in KINDS:
        now, then = today.get(kind, {}), basket.seen.get(kind, {})
        withdrawn[kind] = [row_id for row_id in basket.ids(kind) if row_id not in now]
        dated = (row_id for row_id in basket.ids(kind) if now.get(row_id) and then.get(row_id))
        changed[kind] = [
            row_id for row_id in dated if _normalised(now[row_id]) != _normalised(then[row_id])
        ]
    for search in basket.searches:
        if index is None:
            break
        known = {*basket.ids(search.adds), *basket.seen.get(search.adds, {}), *new[search.adds]}
        found = find(index, search_from(search.search))
        new[search.adds] += (row_id for row_id in found.ids(search.adds) if row_id not in known)
    differences = (
        {kind: tuple(ids) for kind, ids in each.items() if ids}
        for each in (changed, withdrawn, new)
    )
    return Age(**dict(zip(("changed", "withdrawn", "new"), differences, strict=True)))


def brought_up_to_date(basket: Basket, age: Age, today: Dates) -> Basket:
    """Untick withdrawn records, tick new matches, and store today's dates."""
    for kind, ids in age.withdrawn.items():
        basket = basket.without_ids(kind, ids)
    for kind, ids in age.new.items():
        basket = basket.with_ids(kind, ids)
    for kind, dates in today.items():
        basket = basket.with_ids(kind, basket.ids(kind), modified=dates)
    return basket


def _normalised(date: str) -> str:
    """A date in one spelling, for comparison; unchanged if it isn't a date."""
    try:
        return normalised(date)
    except (ValueError, OverflowError):
        return date
