"""What clauses mean, in plain Python: slow, obvious, and independent of SQL."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from itertools import product

from napari_cryoet.tables.schema import tables

COMPARED = {"_gt": "__gt__", "_gte": "__ge__", "_lt": "__lt__", "_lte": "__le__"}


class Evaluation:
    """Answers over rows by table."""

    def __init__(self, rows):
        self.rows = {name: list(rows.get(name, ())) for name in tables()}

    def ids(self, table, where):
        """The ids of the rows that match."""
        return [row["id"] for row in self.rows[table] if self.matches(table, row, where)]

    def matches(self, table, row, where):
        return all(self._field(table, row, name, condition) for name, condition in where.items())

    def _field(self, table, row, name, condition):
        shape = tables()[table]
        if name in shape.columns:
            return all(holds(shape.columns[name].kind, row.get(name), *each) for each in condition.items())
        target = {**shape.parents, **shape.children}[name].table
        return any(self.matches(target, other, condition) for other in self.related(table, row, name))

    def related(self, table, row, name):
        """The rows that a relation leads to."""
        shape = tables()[table]
        if name in shape.parents:
            relation = shape.parents[name]
            return [other for other in self.rows[relation.table] if other["id"] == row.get(relation.key)]
        relation = shape.children[name]
        return [other for other in self.rows[relation.table] if other.get(relation.key) == row["id"]]

    def counts(self, table, paths):
        """How many joined rows there are for each combination of cells at the ends of paths from the table."""
        found = Counter()
        for row in self.rows[table]:
            found.update(self._combinations(table, row, paths))
        return found

    def _combinations(self, table, row, paths):
        relations = list(dict.fromkeys(path[0] for path in paths if len(path) > 1))
        choices = []
        for name in relations:
            target = {**tables()[table].parents, **tables()[table].children}[name].table
            inner = [path[1:] for path in paths if len(path) > 1 and path[0] == name]
            others = self.related(table, row, name)
            choices.append([cells for other in others for cells in self._combinations(target, other, inner)])
        for chosen in product(*choices):
            cells = {name: iter(each) for name, each in zip(relations, chosen, strict=True)}
            yield tuple(row.get(path[0]) if len(path) == 1 else next(cells[path[0]]) for path in paths)


def holds(kind, cell, sign, value):
    """Whether a cell meets one operator; null meets none but those that ask for it."""
    if sign == "_is_null":
        return (cell is None) == value
    if value is None:
        return (cell is None) == (sign == "_eq")
    if cell is None:
        return False
    if kind == "date":
        cell, value = moment(cell), [moment(v) for v in value] if isinstance(value, list) else moment(value)
    match sign:
        case "_gt" | "_gte" | "_lt" | "_lte":
            return getattr(cell, COMPARED[sign])(value)
        case "_eq" | "_neq":
            return (cell == value) is (sign == "_eq")
        case "_in":
            return cell in value
    pattern = re.sub(r"%|_|[^%_]+", lambda part: LIKE.get(part[0]) or re.escape(part[0]), value)
    return re.fullmatch(pattern, cell, re.DOTALL | (re.IGNORECASE if sign == "_ilike" else 0)) is not None


LIKE = {"%": ".*", "_": "."}


def moment(text):
    date = datetime.fromisoformat(text)
    return date if date.tzinfo else date.replace(tzinfo=UTC)
