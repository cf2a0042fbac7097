"""The resolvers of one query: rows, parents, children and aggregates, for any table of the schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLResolveInfo

from napari_cryoet.exceptions import PackError
from napari_cryoet.packs import aggregate, connection
from napari_cryoet.packs.aggregate import FUNCTIONS, Group
from napari_cryoet.packs.database import Database, Record
from napari_cryoet.packs.limits import Budget, QueryRefused
from napari_cryoet.packs.order import OrderBy, SortKey, ordered, sort_keys
from napari_cryoet.packs.schema import Column, Relation
from napari_cryoet.packs.where import Clause, Filters, Test, count_rows

__all__ = [
    "FUNCTIONS",
    "Query",
    "cell",
    "children",
    "children_aggregate",
    "function_cell",
    "group_common",
    "group_count",
    "group_function",
    "groups",
    "parent",
    "root_aggregate",
    "root_rows",
]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a nested field wants of its rows; the same for every row that the field is asked of."""

    test: Test
    keys: Sequence[SortKey]


@dataclass(frozen=True, slots=True)
class Aggregated:
    """The rows that an ``aggregate`` is about."""

    table: str
    rows: Sequence[Record]
    is_root: bool


class Query:
    """What the resolvers of one query share."""

    def __init__(self, database: Database, budget: Budget) -> None:
        self.database = database
        self.budget = budget
        self.filters = Filters(database, budget)
        self._plans: dict[tuple[int, str], Plan] = {}
        self._orders: dict[tuple[str, str, str], str] = {}

    def plan(
        self,
        info: GraphQLResolveInfo[Any],
        table: str,
        clause: Clause | None,
        order_by: OrderBy | None,
        *,
        hops: int = 0,
    ) -> Plan:
        """Make the plan of a nested field, once for all rows."""
        place = (id(info.field_nodes[0]), table)
        if place not in self._plans:
            self._check_order(info, clause, order_by or ())
            keys = sort_keys(self.database, table, order_by)
            self._plans[place] = Plan(self.filters.test(table, clause, hops=hops), keys)
        return self._plans[place]

    def _check_order(self, info: GraphQLResolveInfo[Any], clause: Clause | None, order_by: OrderBy) -> None:
        """Refuse what the portal's server confuses: one relation twice, under orders of the same keys."""
        fields = sorted(repr(field) for item in order_by for field in item.items())
        place = (f"{info.parent_type.name}.{info.field_name}", repr(clause or {}), repr(fields))
        if self._orders.setdefault(place, repr(order_by)) != repr(order_by):
            raise QueryRefused(
                f"The portal confuses two orders of {info.field_name} that have the same keys;"
                " please ask for them in two queries."
            )


def root_rows(
    table: str,
    _root: None,
    info: GraphQLResolveInfo[Any],
    *,
    where: Clause | None = None,
    orderBy: OrderBy | None = None,  # noqa: N803  # the schema's own names
    limitOffset: Mapping[str, int | None] | None = None,  # noqa: N803
) -> Sequence[Record]:
    """The rows of a root list; all of them where no limit is given."""
    query: Query = info.context
    limit, offset = (limitOffset or {}).get("limit"), (limitOffset or {}).get("offset")
    if offset and not limit:
        raise QueryRefused("Cannot use offset without limit")
    if (limit or 0) < 0 or (offset or 0) < 0:
        raise QueryRefused("A limit or an offset can't be negative.")
    keys = sort_keys(query.database, table, orderBy)
    rows = ordered(query.database, query.filters.rows(table, where), keys)
    start = offset or 0
    return rows[start : start + limit] if limit else rows


def parent(
    relation: Relation,
    row: Record,
    info: GraphQLResolveInfo[Any],
    *,
    where: Clause | None = None,
    orderBy: OrderBy | None = None,  # noqa: N803
) -> Record | None:
    """The row that a row belongs to, if it matches."""
    query: Query = info.context
    query.budget.spend()
    found = query.database.table(relation.table).get(row[relation.key])
    if found is None or not (where or orderBy):
        return found
    plan = query.plan(info, relation.table, where, orderBy)
    return next(iter(ordered(query.database, [found], plan.keys)), None) if plan.test(found) else None


def children(
    relation: Relation,
    row: Record,
    info: GraphQLResolveInfo[Any],
    *,
    where: Clause | None = None,
    orderBy: OrderBy | None = None,  # noqa: N803
    **cut: Any,
) -> connection.Connection:
    """One page of the rows that belong to a row."""
    query: Query = info.context
    rows = _children(relation, row, query)
    if where or orderBy:
        plan = query.plan(info, relation.table, where, orderBy)
        rows = ordered(query.database, filter(plan.test, rows), plan.keys)
    found = connection.page(rows, **cut)
    query.budget.spend(len(found.edges))
    return found


def children_aggregate(
    relation: Relation, row: Record, info: GraphQLResolveInfo[Any], *, where: Clause | None = None
) -> Aggregated:
    """The rows that belong to a row, to be aggregated."""
    aggregate.check_aggregate_parent(info)
    query: Query = info.context
    rows = _children(relation, row, query)
    if where:
        plan = query.plan(info, relation.table, where, None, hops=aggregate.ROOT_HOPS)
        rows = [child for child in rows if plan.test(child)]
    return Aggregated(relation.table, rows, is_root=False)


def root_aggregate(
    table: str, _root: None, info: GraphQLResolveInfo[Any], *, where: Clause | None = None
) -> Aggregated:
    """The rows of a table, to be aggregated."""
    aggregate.check_aggregate_parent(info)
    query: Query = info.context
    return Aggregated(table, query.filters.rows(table, where, hops=aggregate.ROOT_HOPS), is_root=True)


def groups(source: Aggregated, info: GraphQLResolveInfo[Any]) -> Sequence[Group]:
    """The groups of an aggregate; without ``groupBy`` one, or none where a nested one has no rows."""
    query: Query = info.context
    group_by = aggregate.read_group_by(info, query.database, source.table)
    if group_by is not None:
        return aggregate.groups_of(query.database, query.budget, source.table, source.rows, group_by)
    return [Group(source.rows, None)] if source.rows or source.is_root else []


def group_count(
    group: Group, _info: GraphQLResolveInfo[Any], *, columns: str | None = None, distinct: bool | None = False
) -> int:
    """The count of a group: ``distinct`` has a meaning with ``columns`` only."""
    return count_rows(group.rows, columns, bool(distinct))


def group_common(group: Group, info: GraphQLResolveInfo[Any]) -> Mapping[str, Any] | None:
    """What the rows of a group have in common."""
    query: Query = info.context
    query.budget.spend()
    return group.common


def group_function(name: str, group: Group, _info: GraphQLResolveInfo[Any]) -> tuple[str, Group]:
    """A function of a group, still to be told its column."""
    return name, group


def function_cell(column: Column, source: tuple[str, Group], _info: GraphQLResolveInfo[Any]) -> Any:
    """A function's value for one column."""
    name, group = source
    return aggregate.apply_function(name, group.rows, column)


def cell(table: str, column: Column) -> Callable[[Record, GraphQLResolveInfo[Any]], Any]:
    """The resolver of a column.

    Raises
    ------
    PackError
        From the resolver, where a row lacks what every row must have.
    """
    name = column.name

    def any_value(row: Record, info: GraphQLResolveInfo[Any]) -> Any:
        info.context.budget.spend()
        return row[name]

    def required_value(row: Record, info: GraphQLResolveInfo[Any]) -> Any:
        value = any_value(row, info)
        if value is None:
            raise PackError(f"Row {row['id']} of the table {table} lacks {name}, which every row must have.")
        return value

    return required_value if column.is_required else any_value


def _children(relation: Relation, row: Record, query: Query) -> Sequence[Record]:
    rows = query.database.table(relation.table).by(relation.key).get(row["id"], ())
    query.budget.spend(len(rows))
    return rows
