"""Sorting as the portal's server does it: through to-one relations, nulls last where ascending and first where not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from napari_cryoet.packs.database import Database, Record
from napari_cryoet.packs.limits import MAX_RELATION_HOPS, QueryRefused
from napari_cryoet.packs.schema import Relation

OrderBy = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class SortKey:
    """A column, the parents that lead to it, and the direction."""

    parents: tuple[Relation, ...]
    column: str
    direction: str


def ordered(database: Database, rows: Iterable[Record], keys: Sequence[SortKey]) -> list[Record]:
    """Sort rows; those that lack a parent that the order goes through are dropped, as the portal's server does.

    Text is sorted by code points. Rows that are equal under the order keep the order in which they came.
    """
    rows = list(rows)
    for key in reversed(keys):
        found = [(cells[0], row) for row in rows if (cells := _cells(database, row, key))]
        valued = [(cell, row) for cell, row in found if cell is not None]
        nulls = [row for cell, row in found if cell is None]
        descending = key.direction.startswith("desc")
        valued.sort(key=lambda pair: pair[0], reverse=descending)
        values = [row for _, row in valued]
        nulls_first = key.direction.endswith("first") or (descending and not key.direction.endswith("last"))
        rows = nulls + values if nulls_first else values + nulls
    return rows


def sort_keys(database: Database, table: str, order_by: OrderBy | None) -> list[SortKey]:
    """What an ``orderBy`` argument sorts by, most important first.

    Raises
    ------
    QueryRefused
        A direction is null, or the order goes through too many relations.
    """
    keys = []
    for item in order_by or ():
        pending: list[tuple[str, Mapping[str, Any], tuple[Relation, ...]]] = [(table, item, ())]
        while pending:
            name, clause, parents = pending.pop(0)
            shape = database.shapes[name]
            for field, direction in clause.items():
                if direction is None:
                    raise QueryRefused(f"The direction of {field} is null; please leave it out.")
                if field in shape.columns:
                    keys.append(SortKey(parents, field, direction))
                elif len(parents) == MAX_RELATION_HOPS:
                    raise QueryRefused("Max filter depth exceeded")
                else:
                    relation = shape.parents[field]
                    pending.append((relation.table, direction, (*parents, relation)))
    return keys


def _cells(database: Database, row: Record, key: SortKey) -> tuple[Any, ...]:
    """The cell to sort by, alone; empty where a parent is missing."""
    for relation in key.parents:
        parent = database.table(relation.table).get(row[relation.key])
        if parent is None:
            return ()
        row = parent
    return (row[key.column],)
