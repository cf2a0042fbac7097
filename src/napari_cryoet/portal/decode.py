"""JSON rows to records, strictly: a value of the wrong type is a `PortalError` that names the field."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from napari_cryoet.exceptions import PortalError
from napari_cryoet.portal.fields import scalar_fields

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_cryoet.portal.fields import ScalarField

R = TypeVar("R")

Row = dict[str, Any]

_MAX_INT = 2**53  # what every JSON implementation can carry; the API's own limit is 2^31


def rows_of(parent: Mapping[str, Any], name: str) -> list[Row]:
    """The rows of a root list."""
    rows = parent.get(name)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise not_understood(name, "isn't a list of records", rows)
    return rows


def nodes_of(row: Row, name: str, where: str) -> list[Row]:
    """The rows of a nested connection, which the API wraps in edges and nodes."""
    edges = rows_of(object_of(row, name, where), "edges")
    return [object_of(edge, "node", f"{where}.{name}") for edge in edges]


def object_of(row: Row, name: str, where: str) -> Row:
    """A nested object that must be there."""
    found = optional_object_of(row, name, where)
    if found is None:
        raise not_understood(f"{where}.{name}", "is missing")
    return found


def optional_object_of(row: Row, name: str, where: str) -> Row | None:
    """A nested object, or None where the API says null."""
    found = row.get(name)
    if found is not None and not isinstance(found, dict):
        raise not_understood(f"{where}.{name}", "isn't a record", found)
    return found


def records_of(kind: type[R], parent: Mapping[str, Any], name: str) -> list[R]:
    """The rows of a root list as records without relations."""
    return [record_of(kind, row, f"{name}[{number}]") for number, row in enumerate(rows_of(parent, name))]


def record_of(kind: type[R], row: Row, where: str, **relations: Any) -> R:
    """One record from one row, with its relations as they are given."""
    values = {field.name: _value_of(row, field, where) for field in scalar_fields(kind)}
    return kind(**values, **relations)


def groups_of(parent: Mapping[str, Any], name: str, where: str = "") -> list[tuple[int, Row]]:
    """The counts of a grouped aggregate, each with its group; none where the API has an empty list."""
    place = f"{where}.{name}".lstrip(".")
    aggregates = rows_of(object_of(dict(parent), name, where), "aggregate")
    return [(count_in(each, place), object_of(each, "groupBy", place)) for each in aggregates]


def count_of(parent: Mapping[str, Any], name: str, where: str = "") -> int:
    """The count of an aggregate without groups; 0 where the API has an empty list."""
    aggregates = rows_of(object_of(dict(parent), name, where), "aggregate")
    return count_in(aggregates[0], f"{where}.{name}".lstrip(".")) if aggregates else 0


def count_in(aggregate: Row, where: str) -> int:
    """The count of one group."""
    return int_of(aggregate, "count", where)


def int_of(row: Row, name: str, where: str) -> int:
    """An integer that must be there."""
    return _to_int(row.get(name), f"{where}.{name}")


def float_of(row: Row, name: str, where: str) -> float:
    """A number that must be there."""
    return _to_float(row.get(name), f"{where}.{name}")


def text_of(row: Row, name: str, where: str) -> str | None:
    """A text, or None where the API says null."""
    found = row.get(name)
    if found is not None and not isinstance(found, str):
        raise not_understood(f"{where}.{name}", "isn't text", found)
    return None if found is None else clean(found)


def not_understood(where: str, what: str, found: object = None) -> PortalError:
    """The error for an answer that isn't what the schema promises."""
    came = "" if found is None else f" (it is {type(found).__name__})"
    return PortalError(
        f"The portal's answer can't be understood: {where} {what}{came}.",
        hint="The portal may have changed; look for a newer version of napari-cryoet.",
    )


def clean(text: str) -> str:
    """Text that can be shown and saved: half characters, which JSON allows, would fail there."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _value_of(row: Row, field: ScalarField, where: str) -> Any:
    value = row.get(field.wire_name)
    place = f"{where}.{field.wire_name}"
    if value is None:
        if not field.is_nullable:
            raise not_understood(place, "is missing")
        return None
    if field.kind is str:
        if not isinstance(value, str):
            raise not_understood(place, "isn't text", value)
        return clean(value)
    return _CONVERTERS[field.kind](value, place)


def _to_int(value: object, place: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= _MAX_INT:
        raise not_understood(place, "isn't a whole number", value)
    return value


def _to_float(value: object, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e300:
        raise not_understood(place, "isn't a number", value)
    number = float(value)
    if not math.isfinite(number):
        raise not_understood(place, "isn't a number", value)
    return number


def _to_bool(value: object, place: str) -> bool:
    if not isinstance(value, bool):
        raise not_understood(place, "is neither true nor false", value)
    return value


def _to_datetime(value: object, place: str) -> datetime:
    if not isinstance(value, str):
        raise not_understood(place, "isn't a date", value)
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise not_understood(place, "isn't a date", value) from error


_CONVERTERS = {int: _to_int, float: _to_float, bool: _to_bool, datetime: _to_datetime}


def sequence_by(rows: Sequence[Row], key: str, where: str) -> dict[int, list[Row]]:
    """Rows under the id of their parent, in order; rows without a parent are left out."""
    found: dict[int, list[Row]] = {}
    for number, row in enumerate(rows):
        if row.get(key) is not None:
            found.setdefault(int_of(row, key, f"{where}[{number}]"), []).append(row)
    return found
