"""Point annotations read and written as columns, for files of many points: as `ndjson` does it, but not line by line.

Arrow reads a file whose lines are all of a piece: known kinds of points, each with all that it needs, and further
columns of one type each. Of any other file, and whenever something would have to be said of a line, nothing is read
here, and each line is looked at by itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.formats.exchange import rotation_warnings
from napari_cryoet.formats.ndjson_points import INSTANCE_POINT, ORIENTED_POINT, Points, warnings_of_scores
from napari_cryoet.formats.text_columns import LARGEST_EXACT, as_texts
from napari_cryoet.picks import NO_INSTANCE

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_AT_A_TIME: Final = 2**13  # of the longest texts in all columns, these are still less than Arrow's 2 GiB
_BLOCK_BYTES: Final = 2**20
_SLICE_BYTES: Final = 2**24
_PART_BYTES: Final = 2**24
_LF: Final = 10
_OPENING, _CLOSING = b"{}"
_AFTER_CLOSING: Final = list(b",]}\r\n")
_ANYTHING: Final = 0.5  # in the place of numbers that aren't written


def read_even(
    content: bytes,
    known_kind: Callable[[object], str | None],
    own_keys: frozenset[str],
    *,
    max_points: int,
    max_line_bytes: int,
    max_columns: int,
    max_text: int,
) -> Points | None:
    """The points of a file, or None where a line has to be looked at by itself; parameters are what `ndjson` knows."""
    import pyarrow as pa
    from pyarrow import json as arrow_json

    count = content.count(b"\n") + (not content.endswith(b"\n"))
    if count > max_points or _longest_line(content) > max_line_bytes or not all(map(_are_objects, _parts(content))):
        return None
    number = pa.float64()
    schema = pa.schema(
        {
            "type": pa.string(),
            "location": pa.struct({"x": number, "y": number, "z": number}),
            "xyz_rotation_matrix": pa.list_(pa.list_(number)),
            "instance_id": pa.int64(),
        }
    )
    try:
        tables = [
            arrow_json.read_json(
                pa.BufferReader(part),
                arrow_json.ReadOptions(block_size=_BLOCK_BYTES),
                arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="infer"),
            )
            for part in _parts(content)
        ]
        table = pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return None
    if len(table) != count:
        return None  # blank lines are no points, but count
    try:
        return _points(table, known_kind, own_keys, max_columns=max_columns, max_text=max_text)
    except (_UnevenError, UnicodeDecodeError):  # of text that isn't UTF-8, which Arrow doesn't look into
        return None


class _UnevenError(Exception):
    """Something would have to be said of a line."""


def _parts(content: bytes) -> Iterator[memoryview]:
    """Some megabytes of whole lines each: of what is read at once, Arrow needs a multiple in memory."""
    view, start = memoryview(content), 0
    while start < len(content):
        stop = content.find(b"\n", start + _PART_BYTES) + 1 or len(content)
        yield view[start:stop]
        start = stop


def _are_objects(lines: memoryview) -> bool:
    """Whether nothing but JSON objects can be at the top of some lines; of a null there, Arrow's reader crashes."""
    signs = np.frombuffer(lines, np.uint8)
    before, after = signs[:-1], signs[1:]
    return bool(
        signs[0] == _OPENING
        and (after[before == _LF] == _OPENING).all()
        and np.isin(after[before == _CLOSING], _AFTER_CLOSING).all()
    )


def _longest_line(content: bytes) -> int:
    longest = last = 0
    for start in range(0, len(content), _SLICE_BYTES):
        ends = np.flatnonzero(np.frombuffer(content, np.uint8, min(_SLICE_BYTES, len(content) - start), start) == _LF)
        if len(ends):
            longest = max(longest, start + int(ends[0]) - last, int(np.diff(ends).max(initial=0)))
            last = start + int(ends[-1])
    return max(longest, len(content) - last)


def _points(
    table: pa.Table,
    known_kind: Callable[[object], str | None],
    own_keys: frozenset[str],
    *,
    max_columns: int,
    max_text: int,
) -> Points:
    import pyarrow.compute as pc

    words = table["type"]
    _need(words.null_count == 0)
    known = {word: known_kind(word) for word in pc.unique(words).to_pylist()}
    _need(None not in known.values())
    kinds = np.array([known[word] for word in words.to_pylist()], dtype=object)
    location = table["location"]
    _need(location.null_count == 0 and location.type.num_fields == 3)
    points_xyz = np.stack([_numbers(pc.struct_field(location, axis)) for axis in "xyz"], axis=1)
    is_oriented = kinds == ORIENTED_POINT
    rotations = _rotations(table["xyz_rotation_matrix"], is_oriented)
    ids = table["instance_id"]
    instances = None
    if ids.null_count < len(ids):
        instances = np.array(pc.fill_null(ids, NO_INSTANCE).to_numpy())
    is_instance = kinds == INSTANCE_POINT
    _need(not is_instance.any() or (instances is not None and bool((instances[is_instance] != NO_INSTANCE).all())))
    names = [name for name in table.column_names if name not in own_keys]
    _need(len(names) <= max_columns and all(len(name) <= max_text for name in names))
    features = {name: _feature(table[name], max_text) for name in names if str(table[name].type) != "null"}
    numbers = np.arange(1, len(table) + 1, dtype=np.int64)
    return Points(
        points_xyz=points_xyz,
        kinds=tuple(kinds.tolist()),
        rotations_xyz=rotations,
        instance_ids=instances,
        features=features,
        warnings=(*rotation_warnings(rotations, numbers, "line"), *warnings_of_scores(features)),
    )


def _need(is_so: bool) -> None:
    if not is_so:
        raise _UnevenError


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Finite numbers, one in each row."""
    _need(column.null_count == 0)
    found = np.array(column.to_numpy())
    _need(bool(np.isfinite(found).all()))
    return found


def _rotations(column: pa.ChunkedArray, is_oriented: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    lists = column.filter(pa.array(is_oriented))
    _need(len(lists) - lists.null_count == len(column) - column.null_count)  # no other kind of point has a matrix
    if not len(lists):
        return None
    for _ in range(2):
        _need(lists.null_count == 0 and pc.all(pc.equal(pc.list_value_length(lists), 3)).as_py())
        lists = pc.list_flatten(lists)
    rotations = np.full((len(is_oriented), 3, 3), np.nan)
    rotations[is_oriented] = _numbers(lists).reshape(-1, 3, 3)
    return rotations


def _feature(column: pa.ChunkedArray, max_text: int) -> NDArray[Any]:
    """A further column, as `ndjson` makes it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, is_whole = column.type, not column.null_count
    if pa.types.is_boolean(kind) and is_whole:
        return np.array(column.to_numpy())
    if pa.types.is_integer(kind) and is_whole:
        return np.array(column.to_numpy())
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        numbers = np.array(pc.cast(column, pa.float64(), safe=False).to_numpy())
        _need(
            not (np.abs(numbers) >= LARGEST_EXACT).any()
        )  # from there on, lines may have digits that reals don't have
        return numbers
    _need(pa.types.is_string(kind) and pc.max(pc.utf8_length(column)).as_py() <= max_text)
    texts = pc.fill_null(column, "").combine_chunks().dictionary_encode()
    different = np.array(texts.dictionary.to_pylist(), dtype=object)  # each text is kept once
    return np.asarray(different[texts.indices.to_numpy()])


def lines_of(points: Points) -> Iterator[bytes]:
    """The lines of a file with these points, some thousands at a time, as the portal writes them.

    Raises
    ------
    ValueError
        If a number isn't finite.
    """
    columns = {name: _written(name, column) for name, column in points.features.items()}
    kinds = np.array(points.kinds, dtype=object)
    for start in range(0, len(points), _ROWS_AT_A_TIME):
        rows = slice(start, min(start + _ROWS_AT_A_TIME, len(points)))
        yield _lines(points, kinds[rows], columns, rows)


def _lines(
    points: Points, kinds: NDArray[Any], columns: dict[str, Callable[[slice], tuple[pa.Array, Any]]], rows: slice
) -> bytes:
    import pyarrow as pa
    import pyarrow.compute as pc

    x, y, z = (_reals(points.points_xyz[rows, axis]) for axis in range(3))
    parts: list[Any] = ['{"type": "', pa.array(kinds, pa.string()), '", "location": {"x": ']
    parts += [x, ', "y": ', y, ', "z": ', z, "}"]
    is_oriented = kinds == ORIENTED_POINT
    if points.rotations_xyz is not None and is_oriented.any():
        matrices = np.where(is_oriented[:, None, None], points.rotations_xyz[rows], _ANYTHING)
        lines = [_bracketed([_reals(matrices[:, row, column]) for column in range(3)]) for row in range(3)]
        said = pc.binary_join_element_wise(', "xyz_rotation_matrix": ', _bracketed(lines), "")
        parts.append(pc.if_else(pa.array(is_oriented), said, ""))
    if points.instance_ids is not None:
        ids = points.instance_ids[rows]
        said = pc.binary_join_element_wise(', "instance_id": ', pc.cast(pa.array(ids), pa.string()), "")
        parts.append(pc.if_else(pa.array(ids != NO_INSTANCE), said, ""))
    for name, written in columns.items():
        texts, is_given = written(rows)
        key = f", {_json(name)}: "
        said = pc.binary_join_element_wise(key, texts, "")
        parts.append(pc.if_else(is_given, said, ""))
    lines = pc.binary_join_element_wise(*parts, "}\n", "")
    return b"".join(pc.cast(lines, pa.binary()).to_pylist())


def _bracketed(texts: list[pa.Array]) -> pa.Array:
    """Texts as the members of lists."""
    import pyarrow.compute as pc

    return pc.binary_join_element_wise("[", pc.binary_join_element_wise(*texts, ", "), "]", "")


def _reals(values: NDArray[np.float64]) -> pa.Array:
    """Reals as JSON has them; whole ones with .0."""
    import pyarrow as pa

    if not np.isfinite(values).all():
        raise ValueError("Out of range float values are not JSON compliant")
    array = pa.array(values, pa.float64())
    return as_texts(array, bool((values == np.round(values)).any()))


def _written(name: str, column: NDArray[Any]) -> Callable[[slice], tuple[pa.Array, Any]]:
    """What gives the values of some rows as JSON, and which of them there are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.dtype.kind == "f":
        if np.isinf(column).any():
            raise ValueError(f"{name} has values that are infinite")

        def reals(rows: slice) -> tuple[pa.Array, Any]:
            values = column[rows].astype(np.float64)
            is_given = ~np.isnan(values)
            return _reals(np.where(is_given, values, _ANYTHING)), pa.array(is_given)

        return reals
    if column.dtype.kind in "iu":
        return lambda rows: (pc.cast(pa.array(column[rows]), pa.string()), True)
    if column.dtype.kind == "b":
        return lambda rows: (pc.if_else(pa.array(column[rows]), "true", "false"), True)

    def texts(rows: slice) -> tuple[pa.Array, Any]:
        values = [value.item() if isinstance(value, np.generic) else value for value in column[rows].tolist()]
        is_given = [not (value == "" or (isinstance(value, float) and math.isnan(value))) for value in values]
        spelled: dict[Any, str] = {}
        for value, is_there in zip(values, is_given, strict=True):
            if is_there and (type(value), value) not in spelled:
                spelled[type(value), value] = _json(value)
        found = [spelled.get((type(value), value), "") for value in values]  # of what isn't given, nothing is used
        return pa.array(found, pa.string()), pa.array(is_given)

    return texts


def _json(value: Any) -> str:
    """A value as JSON in UTF-8; half a character, as in names that aren't text, by its number."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    return text.encode(errors="backslashreplace").decode()
