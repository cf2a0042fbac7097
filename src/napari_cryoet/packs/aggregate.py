"""Aggregates as the portal's server computes them: functions over joined rows, grouped across relations.

``groupBy`` joins every relation that it follows, and drops rows without a partner. The functions then see a row once
for each combination of partners: ``count`` counts joined rows, ``count(columns: id, distinct: true)`` the rows
themselves. What the server answers wrongly without a word (two counts in one ``aggregate``, two ``aggregate`` in one
parent, and both inside fragments) is refused here, so that a query that works on a pack works on the portal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

from graphql import (
    FieldNode,
    GraphQLIncludeDirective,
    GraphQLResolveInfo,
    GraphQLSkipDirective,
    SelectionSetNode,
)
from graphql.execution.values import get_directive_values

from napari_cryoet.packs.database import Database, Record
from napari_cryoet.packs.limits import MAX_RELATION_HOPS, Budget, QueryRefused
from napari_cryoet.packs.schema import Column

ROOT_HOPS: Final = 1  # the portal's server counts an aggregate itself as one relation

STEPS_A_GROUP: Final = 10  # about what it takes to write it into the answer, in cells

GroupKey = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class GroupBy:
    """The columns of one table to group by, and those of its relations."""

    columns: tuple[str, ...]
    relations: tuple[tuple[str, GroupBy], ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """The joined rows of one group, and what they have in common, nested as ``groupBy`` asked for it."""

    rows: Sequence[Record]
    common: Mapping[str, Any] | None


def groups_of(database: Database, budget: Budget, table: str, rows: Iterable[Record], group_by: GroupBy) -> list[Group]:
    """Group rows of a table, in the order in which groups are first met."""
    grouped: dict[GroupKey, list[Record]] = {}
    keys_of = _Keys(database, budget)
    for row in rows:
        for key in keys_of(table, row, group_by):
            if key not in grouped:
                budget.spend(STEPS_A_GROUP)
            grouped.setdefault(key, []).append(row)
    return [Group(members, _nested(group_by, iter(key))) for key, members in grouped.items()]


def read_group_by(info: GraphQLResolveInfo[Any], database: Database, table: str) -> GroupBy | None:
    """What the ``aggregate`` field that is being resolved wants grouped; None for nothing.

    Raises
    ------
    QueryRefused
        It selects no function, or what the portal's server answers wrongly.
    """
    fields = [field for node in info.field_nodes for field in _selected(node.selection_set, info)]
    counts = {_response_key(field) for field in fields if field.name.value == "count"}
    if len(counts) > 1:
        raise QueryRefused(
            "The portal answers two counts in one aggregate with the same number; please use two aliased root fields."
        )
    groupings = [field for field in fields if field.name.value == "groupBy"]
    if len(groupings) == len(fields):
        raise QueryRefused("No aggregate functions selected")
    if not groupings:
        return None
    return _group_by(info, database, table, [field.selection_set for field in groupings], ROOT_HOPS)


def check_aggregate_parent(info: GraphQLResolveInfo[Any]) -> None:
    """Check the parent of ``aggregate``, such as ``runsAggregate``.

    Raises
    ------
    QueryRefused
        It holds two ``aggregate`` under different names, or one inside a fragment.
    """
    fields = [field for node in info.field_nodes for field in _selected(node.selection_set, info)]
    if len({_response_key(field) for field in fields if field.name.value == "aggregate"}) > 1:
        raise QueryRefused("The portal groups two aggregates in one field alike; please use two aliased root fields.")


def apply_function(name: str, rows: Iterable[Record], column: Column) -> Any:
    """One of min, max, sum, avg, stddev and variance over the values of a column; None over no values.

    As in the portal's replies, what comes from whole numbers is whole: an average is cut to its integer part.
    """
    values = [row[column.name] for row in rows if row[column.name] is not None]
    result = _FUNCTIONS[name](values) if values else None
    return int(result) if column.kind == "int" and result is not None else result


def _variance(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _stddev(values: Sequence[float]) -> float | None:
    variance = _variance(values)
    return None if variance is None else math.sqrt(variance)


_FUNCTIONS: Final[Mapping[str, Callable[[Sequence[Any]], Any]]] = {
    "min": min,
    "max": max,
    "sum": sum,
    "avg": lambda values: math.fsum(values) / len(values),
    "stddev": _stddev,
    "variance": _variance,
}
FUNCTIONS: Final = frozenset(_FUNCTIONS)


class _Keys:
    """The group keys of a row, one for each combination of partners; those of a parent are found once."""

    def __init__(self, database: Database, budget: Budget) -> None:
        self._database = database
        self._budget = budget
        self._of_parents: dict[tuple[int, int], list[GroupKey]] = {}

    def __call__(self, table: str, row: Record, group_by: GroupBy) -> list[GroupKey]:
        keys: list[GroupKey] = [tuple([row[column] for column in group_by.columns])]
        for relation, inner in group_by.relations:
            partners = self._of_partners(table, row, relation, inner)
            self._budget.spend(len(keys) * len(partners))
            keys = [own + partner for own, partner in product(keys, partners)]
        self._budget.spend()
        return keys

    def _of_partners(self, table: str, row: Record, name: str, inner: GroupBy) -> list[GroupKey]:
        shape = self._database.shapes[table]
        if name in shape.children:
            relation = shape.children[name]
            children = self._database.table(relation.table).by(relation.key).get(row["id"], ())
            return [key for child in children for key in self(relation.table, child, inner)]
        relation = shape.parents[name]
        place = (id(inner), row[relation.key])
        if place not in self._of_parents:
            parent = self._database.table(relation.table).get(row[relation.key])
            self._of_parents[place] = self(relation.table, parent, inner) if parent else []
        return self._of_parents[place]


def _nested(group_by: GroupBy, cells: Iterator[Any]) -> dict[str, Any]:
    common = {column: next(cells) for column in group_by.columns}
    return common | {name: _nested(inner, cells) for name, inner in group_by.relations}


def _group_by(
    info: GraphQLResolveInfo[Any],
    database: Database,
    table: str,
    selections: Sequence[SelectionSetNode | None],
    hops: int,
) -> GroupBy:
    if hops > MAX_RELATION_HOPS:
        raise QueryRefused("Max filter depth exceeded")
    shape = database.shapes[table]
    columns: dict[str, None] = {}
    relations: dict[str, list[SelectionSetNode | None]] = {}
    for selection in selections:
        for field in _selected(selection, info):
            name = field.name.value
            if name in shape.columns:
                columns[name] = None
            else:
                relations.setdefault(name, []).append(field.selection_set)
    targets = {**shape.parents, **shape.children}
    return GroupBy(
        tuple(columns),
        tuple(
            (name, _group_by(info, database, targets[name].table, inner, hops + 1)) for name, inner in relations.items()
        ),
    )


def _selected(selections: SelectionSetNode | None, info: GraphQLResolveInfo[Any]) -> Iterator[FieldNode]:
    """The fields of an aggregate that are selected and not left out by a directive."""
    for node in selections.selections if selections else ():
        if not isinstance(node, FieldNode):
            raise QueryRefused("The portal can't answer aggregates inside fragments; please write them out.")
        skip = get_directive_values(GraphQLSkipDirective, node, info.variable_values)
        include = get_directive_values(GraphQLIncludeDirective, node, info.variable_values)
        is_left_out = (skip is not None and skip["if"]) or (include is not None and not include["if"])
        if not is_left_out and node.name.value != "__typename":
            yield node


def _response_key(field: FieldNode) -> str:
    return field.alias.value if field.alias else field.name.value
