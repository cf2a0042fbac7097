"""Columns of Parquet files as picks have them: numbers, truth values and texts; all else becomes texts, and is told."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa


def column_of_arrow(column: pa.ChunkedArray) -> NDArray[Any]:
    """A column of a file, with NaN, None or "" where a row has no value.

    Raises
    ------
    ValueError
        If a value can't be read.
    """
    import pyarrow as pa

    column = _without_codes(column)
    if len(column) and (
        pa.types.is_floating(column.type) or (_is_whole_or_truth(column.type) and not column.null_count)
    ):
        return np.array(column.to_numpy())
    values = column.to_pylist() if is_plain(column.type) else _texts(column)
    present = [value for value in values if value is not None]
    if present and all(isinstance(value, float) for value in present):
        return np.array([math.nan if value is None else value for value in values])
    if present and all(isinstance(value, int) for value in present):
        return np.array(values, dtype=object)
    return np.array(["" if value is None else str(value) for value in values], dtype=object)


def is_plain(kind: pa.DataType) -> bool:
    """Whether values of a type are numbers, truth values or texts, or there are none."""
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return bool(is_text or pa.types.is_floating(kind) or _is_whole_or_truth(kind) or pa.types.is_null(kind))


def has_zone(kind: pa.DataType) -> bool:
    """Whether values of a type are times of a zone."""
    import pyarrow as pa

    return bool(pa.types.is_timestamp(kind) and kind.tz is not None)


def _texts(column: pa.ChunkedArray) -> list[str | None]:
    """Values that are neither numbers nor texts, spelled with all their digits; times of a zone in UTC."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_timestamp(kind):
        texts = pc.cast(column.cast(pa.timestamp(kind.unit)), pa.string())  # whose zone needs to be known to nobody
        found = pc.binary_join_element_wise(texts, "", "Z") if has_zone(kind) else texts
        return list(found.to_pylist())
    if pa.types.is_date(kind) or pa.types.is_time(kind) or pa.types.is_decimal(kind):
        return list(pc.cast(column, pa.string()).to_pylist())
    if pa.types.is_duration(kind):
        return [None if np.isnat(length) else str(length) for length in column.to_numpy()]
    try:
        return [None if value is None else str(value) for value in column.to_pylist()]
    except (OverflowError, LookupError) as error:  # of dates in lists, say, that Python can't have
        raise ValueError(f"{error}") from error


def _without_codes(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values in place of the numbers that stand for them."""
    import pyarrow as pa

    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _is_whole_or_truth(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind))
