"""Which fields of the API make up a record: read off the records, so that queries and decoding can't disagree."""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class ScalarField:
    """One scalar of a record and how the API spells it."""

    name: str  # snake_case, in the record
    wire_name: str  # camelCase, in the API
    kind: type  # int, float, str, bool or datetime
    is_nullable: bool


def scalar_fields(record: type) -> tuple[ScalarField, ...]:
    """The scalars of a record in its own order; nested records and tuples of records are left out."""
    return _scalar_fields(record)


@cache
def _scalar_fields(record: type[Any]) -> tuple[ScalarField, ...]:
    hints = typing.get_type_hints(record)
    found = []
    for field in msgspec.structs.fields(record):
        kind, is_nullable = _without_none(hints[field.name])
        if kind in {int, float, str, bool, datetime}:
            found.append(ScalarField(field.name, field.encode_name, kind, is_nullable))
    return tuple(found)


def _without_none(hint: Any) -> tuple[Any, bool]:
    """The type that is wanted, and whether None is allowed beside it."""
    if typing.get_origin(hint) not in {typing.Union, types.UnionType}:
        return hint, False
    kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
    return (kinds[0] if len(kinds) == 1 else None), True
