"""Filters: from a ``where`` clause to the rows that match, as the portal's server takes it.

Operators and fields are ANDed. A relation asks whether there is a related row that matches, all conditions on the same
row; an empty clause asks whether there is any. Null matches no operator but ``_is_null``, ``_eq: null``, ``_neq: null``
and ``_nin: []``, as in SQL.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from napari_cryoet.packs import regular
from napari_cryoet.packs.database import Database, Record
from napari_cryoet.packs.like import like
from napari_cryoet.packs.limits import MAX_LIST_VALUES, MAX_RELATION_HOPS, Budget, QueryRefused
from napari_cryoet.packs.schema import Relation, TableShape

Clause = Mapping[str, Any]
Test = Callable[[Record], bool]
CellTest = Callable[[Any], bool]

_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "_eq": operator.eq,
    "_neq": operator.ne,
    "_gt": operator.gt,
    "_gte": operator.ge,
    "_lt": operator.lt,
    "_lte": operator.le,
}
_LIKES: Final = {"_like": (False, False), "_nlike": (True, False), "_ilike": (False, True), "_nilike": (True, True)}
_REGULARS: Final = {
    "_regex": (False, False),
    "_nregex": (True, False),
    "_iregex": (False, True),
    "_niregex": (True, True),
}


class Filters:
    """Applies where clauses for one query; its verdicts on related rows are kept until the query is answered."""

    def __init__(self, database: Database, budget: Budget) -> None:
        self._database = database
        self._budget = budget

    def rows(self, table: str, clause: Clause | None, *, hops: int = 0) -> list[Record]:
        """All rows of a table that match.

        Raises
        ------
        QueryRefused
            The clause is wrong, or costs too much.
        PackError
            A table is damaged.
        """
        if not clause:
            rows = list(self._database.table(table).rows)
            self._budget.spend(len(rows))
            return rows
        test = self.test(table, clause, hops=hops)
        candidates = self._candidates(table, clause)
        if candidates is None:
            candidates = self._database.table(table).rows
        self._budget.spend(len(candidates))
        return [row for row in candidates if test(row)]

    def test(self, table: str, clause: Clause | None, *, hops: int = 0) -> Test:
        """A test whether a row of a table matches.

        Parameters
        ----------
        table, clause
            Whose rows, and what they have to match; None matches all.
        hops
            How many relations lie between the clause and its query.

        Raises
        ------
        QueryRefused
            The clause is wrong, or follows too many relations.
        """
        if hops > MAX_RELATION_HOPS:
            raise QueryRefused("Max filter depth exceeded")
        shape = self._database.shapes[table]
        tests = [self._field_test(shape, name, condition, hops) for name, condition in (clause or {}).items()]
        if len(tests) == 1:
            return tests[0]
        return lambda row: all(test(row) for test in tests)

    def _field_test(self, shape: TableShape, name: str, condition: Clause | None, hops: int) -> Test:
        if name in shape.parents:
            return self._parent_test(shape.parents[name], condition, hops)
        if name in shape.children:
            return self._children_test(shape.children[name], condition, hops)
        if condition is None:
            raise QueryRefused(f"The condition on {name} is null; please leave it out.")
        if name in shape.columns:
            test = self._cell_test(name, condition)
            return lambda row: test(row[name])
        return self._count_test(shape.children[name.removesuffix("Aggregate")], condition["count"], hops)

    def _parent_test(self, relation: Relation, clause: Clause | None, hops: int) -> Test:
        test = self.test(relation.table, clause, hops=hops + 1)
        parents, spend = self._database.table(relation.table), self._budget.spend
        verdicts: dict[int | None, bool] = {None: False}

        def parent_matches(row: Record) -> bool:
            key = row[relation.key]
            if key not in verdicts:
                spend()
                parent = parents.get(key)
                verdicts[key] = parent is not None and test(parent)
            return verdicts[key]

        return parent_matches

    def _children_test(self, relation: Relation, clause: Clause | None, hops: int) -> Test:
        test = self.test(relation.table, clause, hops=hops + 1)
        children, spend = self._database.table(relation.table).by(relation.key), self._budget.spend

        def any_child_matches(row: Record) -> bool:
            candidates = children.get(row["id"], ())
            spend(len(candidates))
            return any(map(test, candidates))

        return any_child_matches

    def _count_test(self, relation: Relation, count: Clause, hops: int) -> Test:
        """Compare how many children there are; the portal's server counts such a condition as two relations."""
        test = self.test(relation.table, count.get("filter"), hops=hops + 2)
        matches = self._cell_test("count", count.get("predicate") or {})
        children, spend = self._database.table(relation.table).by(relation.key), self._budget.spend
        column, distinct = count.get("arguments"), bool(count.get("distinct"))

        def count_matches(row: Record) -> bool:
            candidates = children.get(row["id"], ())
            spend(len(candidates))
            return matches(count_rows(filter(test, candidates), column, distinct))

        return count_matches

    def _cell_test(self, name: str, condition: Clause) -> CellTest:
        tests = [self._operator_test(name, sign, value) for sign, value in condition.items()]
        if len(tests) == 1:
            return tests[0]
        return lambda cell: all(test(cell) for test in tests)

    def _operator_test(self, name: str, sign: str, value: Any) -> CellTest:
        if sign == "_is_null":
            return _is_null if value else _is_not_null
        if value is None and sign in ("_eq", "_neq"):
            return _is_null if sign == "_eq" else _is_not_null
        if value is None:
            raise QueryRefused(f"The condition {sign} on {name} is null; please leave it out.")
        if sign in _COMPARISONS:
            return _not_null_and(partial(_swapped, _COMPARISONS[sign], value))
        if sign in ("_in", "_nin"):
            return _membership_test(value, negated=sign == "_nin")
        negated, ignore_case = (_LIKES if sign in _LIKES else _REGULARS)[sign]
        try:
            if sign in _LIKES:
                matches = like(value, ignore_case=ignore_case)
            else:
                matches = regular.search(value, ignore_case=ignore_case, spend=self._budget.spend)
        except ValueError as error:
            raise QueryRefused(f"The condition {sign} on {name} can't be used. {error}") from error
        return _not_null_and(lambda cell: matches(cell) is not negated)

    def _candidates(self, table: str, clause: Clause) -> Sequence[Record] | None:
        """Rows among which all that match are, where an index finds them; None where only a scan does."""
        shape = self._database.shapes[table]
        keys = {"id", *(relation.key for relation in shape.parents.values())}
        for name, condition in clause.items():
            if name in keys and (values := _wanted_values(condition)) is not None:
                return self._indexed(table, name, values)
        for name, condition in clause.items():
            if name in shape.parents and condition:
                relation = shape.parents[name]
                parents = self._candidates(relation.table, condition)
                if parents is not None:
                    return self._indexed(table, relation.key, (parent["id"] for parent in parents))
        return None

    def _indexed(self, table: str, column: str, values: Iterable[Any]) -> list[Record]:
        index = self._database.table(table).by(column)
        return [row for value in dict.fromkeys(values) for row in index.get(value, ())]


def count_rows(rows: Iterable[Record], column: str | None, distinct: bool) -> int:
    """As SQL's count: all rows, or those that have a value in a column, or the different values of it."""
    if column is None:
        return sum(1 for _ in rows)
    values = [row[column] for row in rows if row[column] is not None]
    return len(set(values)) if distinct else len(values)


def _is_null(cell: Any) -> bool:
    return cell is None


def _is_not_null(cell: Any) -> bool:
    return cell is not None


def _not_null_and(test: CellTest) -> CellTest:
    return lambda cell: cell is not None and test(cell)


def _swapped(compare: Callable[[Any, Any], bool], value: Any, cell: Any) -> bool:
    return compare(cell, value)


def _membership_test(values: Sequence[Any], *, negated: bool) -> CellTest:
    if len(values) > MAX_LIST_VALUES:
        raise QueryRefused(f"A list of values may have {MAX_LIST_VALUES} of them at most.")
    if not values:
        return lambda _: negated
    members = frozenset(values)
    return _not_null_and(lambda cell: (cell in members) is not negated)


def _wanted_values(condition: Clause | None) -> Sequence[Any] | None:
    """The values that a condition allows, where it lists them."""
    if not condition:
        return None
    if condition.get("_eq") is not None:
        return [condition["_eq"]]
    if condition.get("_in") is not None:
        return list(condition["_in"])
    return None
