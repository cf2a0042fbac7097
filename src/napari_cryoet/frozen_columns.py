"""Columns that nobody can change: read-only arrays of the shape that they must have, or words on why they aren't."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.expecting import kind_of


def frozen(values: Any, dtype: Any, shape: tuple[int, ...], name: str) -> NDArray[Any]:
    """A read-only copy of the wanted shape, or what is one already; -1 stands for any length.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If the values are no such array; ``name`` says whose they are.
    """
    is_ours = isinstance(values, np.ndarray) and values.flags.owndata and not values.flags.writeable
    try:
        given = np.asarray(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise _no_array(values, name, error) from error
    if dtype is np.int64:
        _refuse_rounding(given, name)
    try:
        array = np.asarray(values, dtype=dtype) if is_ours else np.array(values, dtype=dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise _no_array(values, name, error) from error
    if array.size == 0 and shape[0] in (-1, 0):
        array = array.reshape(0, *shape[1:])
    if array.ndim != len(shape) or any(want not in (-1, have) for want, have in zip(shape, array.shape, strict=True)):
        wanted = ", ".join("n" if size == -1 else str(size) for size in shape)
        raise ValueError(f"{name} has the shape {array.shape}, and must have ({wanted}{',' * (len(shape) == 1)})")
    array.setflags(write=False)
    return array


def _no_array(values: Any, name: str, error: Exception) -> Exception:
    return type(error)(f"{name} must be an array of numbers, not {kind_of(values)} ({error})")


def _refuse_rounding(given: NDArray[Any], name: str) -> None:
    """Raise ValueError for what would become another number as a whole number of 64 bits."""
    match given.dtype.kind:
        case "u":
            are_kept = given <= np.uint64(2**63 - 1)
        case "f":  # and NaN is none of these
            are_kept = (given == np.floor(given)) & (given >= -(2.0**63)) & (given < 2.0**63)
        case "O":
            are_kept = np.array([_is_kept(value) for value in given.flat], dtype=bool).reshape(given.shape)
        case "c" | "M" | "m":
            are_kept = np.zeros(given.shape, dtype=bool)
        case _:
            return
    if not are_kept.all():
        raise ValueError(f"{name} must be whole numbers of 64 bits, and one is {given[~are_kept].flat[0]}")


def _is_kept(value: Any) -> bool:
    """Whether a value of a column of mixed ones is no number with a fraction, or without an end."""
    if isinstance(value, Integral) or not isinstance(value, Real | Decimal):
        return True
    return math.isfinite(value) and value % 1 == 0


def frozen_or_none(values: Any, dtype: Any, shape: tuple[int, ...], name: str) -> NDArray[Any] | None:
    """As `frozen`; None of None."""
    return None if values is None else frozen(values, dtype, shape, name)


def frozen_columns(columns: Mapping[str, Any], count: int) -> dict[str, NDArray[Any]]:
    """Columns of one value a row each, as `frozen`, by their names, which files have to be able to hold.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If a name is no text, or as `frozen`.
    """
    for name in columns:
        if not isinstance(name, str):
            raise TypeError(f"columns are called by texts, not by {name!r}")
    return {name: frozen(column, None, (count,), name) for name, column in columns.items()}
