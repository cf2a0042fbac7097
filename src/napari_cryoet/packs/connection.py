"""Pages of a nested relation, as the portal's server cuts them: at most 100 edges, and no word about the rest."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from napari_cryoet.packs.database import Record
from napari_cryoet.packs.limits import QueryRefused

MAX_EDGES: Final = 100
_CURSOR: Final = "arrayconnection:"


@dataclass(frozen=True, slots=True)
class Edge:
    """A row at its place among all rows of the relation."""

    index: int
    node: Record

    @property
    def cursor(self) -> str:
        """The opaque name of the place."""
        return base64.b64encode(f"{_CURSOR}{self.index}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Connection:
    """One page of a relation."""

    edges: Sequence[Edge]
    has_previous: bool
    has_next: bool

    @property
    def page_info(self) -> dict[str, Any]:
        """The object ``pageInfo``."""
        return {
            "hasNextPage": self.has_next,
            "hasPreviousPage": self.has_previous,
            "startCursor": self.edges[0].cursor if self.edges else None,
            "endCursor": self.edges[-1].cursor if self.edges else None,
        }


def page(
    rows: Sequence[Record],
    *,
    before: str | None = None,
    after: str | None = None,
    first: int | None = None,
    last: int | None = None,
) -> Connection:
    """Cut a page out of all rows of a relation.

    Raises
    ------
    QueryRefused
        More than 100 or less than no edges are asked for, or a cursor isn't one.
    """
    for name, count in (("first", first), ("last", last)):
        if count is not None and count < 0:
            raise QueryRefused(f"Argument '{name}' must be a non-negative integer.")
        if count is not None and count > MAX_EDGES:
            raise QueryRefused(f"Argument '{name}' cannot be higher than {MAX_EDGES}.")
    start = _index(after) + 1 if after else 0
    stop = min(_index(before), len(rows)) if before else len(rows)
    if first is not None or last is None:
        stop = min(stop, start + (MAX_EDGES if first is None else first))
    if last is not None:
        start = max(start, stop - last)
    edges = [Edge(index, rows[index]) for index in range(start, stop)]
    return Connection(edges, has_previous=start > 0, has_next=stop < len(rows))


def _index(cursor: str) -> int:
    try:
        text = base64.b64decode(cursor, validate=True).decode()
        return max(0, int(text.removeprefix(_CURSOR)))
    except (binascii.Error, ValueError) as error:
        raise QueryRefused(f"{cursor!r} is not a cursor.") from error
