"""How a basket has aged: what changed since it was ticked, what is gone, and what newly matches its searches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping

import msgspec

from napari_cryoet.basket.basket import KINDS, Basket, Kind, SavedSearch
from napari_cryoet.basket.contents import TABLES
from napari_cryoet.download.rows import ask_table
from napari_cryoet.portal.portal import Portal
from napari_cryoet.records import Record
from napari_cryoet.tables.database import normalised
from napari_cryoet.tables.schema import tables

Dates = Mapping[Kind, Mapping[int, str]]
"""When records were last modified, by kind and id; empty where their kind has no dates."""


class Age(Record, frozen=True, kw_only=True):
    """What is different today; ids by kind."""

    changed: dict[Kind, tuple[int, ...]] = msgspec.field(default_factory=dict)
    withdrawn: dict[Kind, tuple[int, ...]] = msgspec.field(default_factory=dict)
    new: dict[Kind, tuple[int, ...]] = msgspec.field(default_factory=dict)

    @property
    def text(self) -> str:
        """``3 changed, 1 withdrawn, 2 new match``; empty where nothing is different."""
        counts = ((self.changed, "changed"), (self.withdrawn, "withdrawn"), (self.new, "new match"))
        numbers = ((sum(map(len, found.values())), words) for found, words in counts)
        return ", ".join(f"{number:,} {words}" for number, words in numbers if number)


def ask_dates(portal: Portal, basket: Basket, *, stop: threading.Event | None = None) -> Dates:
    """When the ticked records were last modified, for all that the portal has."""
    dates: dict[Kind, dict[int, str]] = {}
    for kind in KINDS:
        if ids := basket.ids(kind):
            name = TABLES[kind]
            columns = [column for column in ("id", "lastModifiedDate") if column in tables()[name].columns]
            if kind == "annotation_shapes":
                columns.append("annotation { lastModifiedDate }")
            rows = ask_table(portal, name, {"id": {"_in": [*ids]}}, columns=columns, stop=stop)
            dates[kind] = {row["id"]: (row.get("annotation") or row).get("lastModifiedDate") or "" for row in rows}
    return dates


def age_of(basket: Basket, today: Dates, matches: Callable[[SavedSearch], Iterable[int]] = lambda _search: ()) -> Age:
    """Compare a basket with the dates of today, and with what its searches find.

    Ids that were pasted in have no date, so they never count as changed. ``matches`` gives the ids that match a saved
    search today, of the kind that it adds.
    """
    changed, withdrawn, new = ({kind: list[int]() for kind in KINDS} for _ in range(3))
    for kind in KINDS:
        now, then = today.get(kind, {}), basket.seen.get(kind, {})
        withdrawn[kind] = [each for each in basket.ids(kind) if each not in now]
        dated = (each for each in basket.ids(kind) if now.get(each) and then.get(each))
        changed[kind] = [each for each in dated if _moment(now[each]) != _moment(then[each])]
    for search in basket.searches:
        known = {*basket.ids(search.adds), *basket.seen.get(search.adds, {}), *new[search.adds]}
        new[search.adds] += (each for each in matches(search) if each not in known)
    found = ({kind: tuple(ids) for kind, ids in each.items() if ids} for each in (changed, withdrawn, new))
    return Age(**dict(zip(("changed", "withdrawn", "new"), found, strict=True)))


def brought_up_to_date(basket: Basket, age: Age, today: Dates) -> Basket:
    """Untick what is withdrawn, tick what newly matches, and take today's dates for all."""
    for kind, ids in age.withdrawn.items():
        basket = basket.without_ids(kind, ids)
    for kind, ids in age.new.items():
        basket = basket.with_ids(kind, ids)
    for kind, dates in today.items():
        basket = basket.with_ids(kind, basket.ids(kind), modified=dates)
    return basket


def _moment(date: str) -> str:
    """A date that can be compared with another spelling of it."""
    try:
        return normalised(date)
    except (ValueError, OverflowError):
        return date
