"""Point annotations: one JSON object per line, voxel coordinates in x, y, z.

The portal writes three kinds of line::

    {"type": "point", "location": {"x": 517.0, "y": 261.0, "z": 469.0}}
    {"type": "orientedPoint", "location": {...}, "xyz_rotation_matrix": [[...], [...], [...]]}
    {"type": "instancePoint", "location": {...}, "instance_id": 3}

Coordinates are 0-based voxel indices of the volume that the file was made on, not ångström. A rotation matrix is
active, turns the particle's frame into the tomogram's, and acts on column vectors in x, y, z.

An ``instance_id`` of null or -1 is none: such an ``instancePoint`` is read as a ``point``; a warning names its line.
"""

from __future__ import annotations

import json
import math
import sys
from array import array
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError
from napari_cryoet.formats import ndjson_columns
from napari_cryoet.formats.exchange import TwiceError, numbered, object_of_pairs, rotation_warnings
from napari_cryoet.formats.ndjson_columns import lines_of
from napari_cryoet.formats.ndjson_points import (
    INSTANCE_POINT,
    ORIENTED_POINT,
    PICK_ID,
    POINT,
    SCORE,
    Points,
    SkippedLine,
    warnings_of_scores,
)
from napari_cryoet.picks import NO_INSTANCE

__all__ = [
    "INSTANCE_POINT",
    "ORIENTED_POINT",
    "OWN_KEYS",
    "PICK_ID",
    "POINT",
    "SCORE",
    "Points",
    "SkippedLine",
    "holds_points",
    "known_kind",
    "lines_of",
    "read_points",
    "write_points",
]

#: Bounds on what is read, far above the largest file known (26,000 points, 3 MB).
MAX_FILE_BYTES: Final = 512 * 2**20
MAX_LINE_BYTES: Final = 2**20  # above what the columns below can take
MAX_POINTS: Final = 3_000_000
MAX_COLUMNS: Final = 64
MAX_TEXT: Final = 1_000
_LINES_LOOKED_AT: Final = 20
#: From this size on, files are read as columns if they can be.
MANY_BYTES: Final = 2**18
#: How much of an offending line a message shows.
SHOWN_TEXT: Final = 120

_KINDS: Final = {kind.lower(): kind for kind in (POINT, ORIENTED_POINT, INSTANCE_POINT)}
_NUMBER_TYPES: Final = frozenset({int, float})  # exactly: a truth value is no number
_AXES: Final = frozenset("xyz")
_MOST_NAMES: Final = 5  # of what is left out, in a message
_OWN_KEYS: Final = frozenset({"type", "location", "xyz_rotation_matrix", "instance_id"})

#: What no further column can be called.
OWN_KEYS: Final = _OWN_KEYS | {SCORE, PICK_ID}


def read_points(source: bytes | str | Path) -> Points:
    """Read a point annotation file.

    Parameters
    ----------
    source
        The file's bytes, or its path.

    Raises
    ------
    FormatError
        If a line isn't JSON, or is a point without what a point needs; the message has the line's number and text.
    """
    content = source if isinstance(source, bytes) else _read_bounded(Path(source))
    if len(content) > MAX_FILE_BYTES:
        raise FormatError(f"This file is too large for point annotations ({len(content):,} bytes).")
    if len(content) >= MANY_BYTES:
        points = ndjson_columns.read_even(
            content,
            known_kind,
            _OWN_KEYS,
            max_points=MAX_POINTS,
            max_line_bytes=MAX_LINE_BYTES,
            max_columns=MAX_COLUMNS,
            max_text=MAX_TEXT,
        )
        if points is not None:
            return points
    builder = _Builder()
    for number, line in _lines(content):
        builder.add(number, line)
    return builder.build()


def holds_points(head: bytes) -> bool:
    """Whether one of the first lines of a file is a point of a kind that we know; ``head`` is how the file starts."""
    lines = [line for line in head.split(b"\n") if line.strip()][:_LINES_LOOKED_AT]
    return any(_is_point(line) for line in lines)


def known_kind(word: object) -> str | None:
    """The kind of point that a line's ``type`` names, in whatever case; None for any other."""
    return _KINDS.get(word.lower()) if isinstance(word, str) else None


def write_points(points: Points) -> bytes:
    """The bytes of a file with these points, as the portal writes it; `read_points` gives the same points back."""
    return b"".join(lines_of(points))


def _is_point(line: bytes) -> bool:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and known_kind(record.get("type")) is not None


def _read_bounded(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise FormatError(f"{path.name!r} can't be read: {error.strerror or error}.") from error


def _lines(content: bytes) -> Iterator[tuple[int, str]]:
    """Each line that isn't blank, with its number; only line feeds end a line, as JSON texts may hold other breaks."""
    for number, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not raw or raw.isspace():
            continue
        if len(raw) > MAX_LINE_BYTES:
            raise _malformed(number, raw[:SHOWN_TEXT].decode(errors="replace"), f"it has {len(raw):,} bytes")
        try:
            yield number, raw.decode()
        except UnicodeDecodeError as error:
            raise _malformed(number, raw.decode(errors="replace"), "it isn't UTF-8 text") from error


def _malformed(number: int, text: str, why: str) -> FormatError:
    shown = text.strip()
    shown = shown if len(shown) <= SHOWN_TEXT else shown[:SHOWN_TEXT] + "…"
    return FormatError(f"Line {number} is not a portal point ({why}): {shown!r}")


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


_decode: Final = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=object_of_pairs).decode


class _Builder:
    """Collects lines into columns."""

    def __init__(self) -> None:
        self._xyz = array("d")  # flat, three a point: lists of lists would keep the garbage collector busy
        self._kinds: list[str] = []
        self._numbers: list[int] = []
        self._oriented: list[int] = []
        self._rotations = array("d")  # flat, nine an oriented point
        self._instances: dict[int, int] = {}
        self._columns: dict[str, dict[int, Any]] = {}
        self._without_id: list[int] = []
        self._turned: list[int] = []
        self._beside: dict[str, None] = {}
        self._left_out: dict[str, None] = {}
        self._skipped: list[SkippedLine] = []

    def add(self, number: int, line: str) -> None:
        """Take one line, or say why it can't be taken."""
        try:
            record = _decode(line)
        except TwiceError as error:
            raise _malformed(number, line, str(error)) from error
        except (ValueError, RecursionError) as error:
            raise _malformed(number, line, "it isn't JSON with finite numbers") from error
        if not isinstance(record, dict):
            raise _malformed(number, line, "it isn't a JSON object")
        kind = known_kind(record.get("type"))
        if kind is None:
            self._skipped.append(SkippedLine(number, line.strip()[:SHOWN_TEXT]))
            return
        if len(self._kinds) >= MAX_POINTS:
            raise FormatError(f"This file has more than {MAX_POINTS:,} points.")
        try:
            self._take(record, kind)
        except _UnusableError as error:
            raise _malformed(number, line, str(error)) from error
        if kind == INSTANCE_POINT and self._instances.get(len(self._kinds), NO_INSTANCE) == NO_INSTANCE:
            kind = POINT
            self._without_id.append(number)
        if kind != ORIENTED_POINT and record.get("xyz_rotation_matrix") is not None:
            self._turned.append(number)
        self._kinds.append(kind)
        self._numbers.append(number)

    def _take(self, record: dict[str, Any], kind: str) -> None:
        index = len(self._kinds)
        location = record.get("location")
        if not isinstance(location, dict):
            raise _UnusableError("it has no location")
        _extend(self._xyz, [location.get("x"), location.get("y"), location.get("z")], "location")
        if len(location) > 3:
            _note(
                self._beside,
                [f"location.{name}" for name, value in location.items() if name not in _AXES and value is not None],
            )
        if kind == ORIENTED_POINT:
            _extend(self._rotations, _nine(record.get("xyz_rotation_matrix")), "xyz_rotation_matrix")
            self._oriented.append(index)
        if record.get("instance_id") is not None:
            self._instances[index] = _whole_number(record["instance_id"])
        elif kind == INSTANCE_POINT and "instance_id" not in record:
            raise _UnusableError("it has no instance_id")
        if len(record) > 2:
            for name, value in record.items():
                if name not in _OWN_KEYS:
                    self._take_feature(index, name, value)

    def _take_feature(self, index: int, name: str, value: Any) -> None:
        if value is None:
            return
        if isinstance(value, float) and not math.isfinite(value):
            raise _UnusableError(f"its {name[:SHOWN_TEXT]} is not finite")
        is_scalar = isinstance(value, (str, bool, int, float))
        is_bounded = len(name) <= MAX_TEXT and not (isinstance(value, str) and len(value) > MAX_TEXT)
        if not is_scalar or not is_bounded or (name not in self._columns and len(self._columns) >= MAX_COLUMNS):
            _note(self._left_out, [name])
            return
        self._columns.setdefault(name, {})[index] = value

    def build(self) -> Points:
        """All that was taken, as arrays."""
        count = len(self._kinds)
        rotations = None
        if self._oriented:
            rotations = np.full((count, 3, 3), np.nan)
            rotations[self._oriented] = np.array(self._rotations).reshape(-1, 3, 3)
        instances = None
        if self._instances:
            instances = np.full(count, NO_INSTANCE, dtype=np.int64)
            instances[list(self._instances)] = list(self._instances.values())
        numbers = np.array(self._numbers, dtype=np.int64)
        features = {name: _column(values, count) for name, values in self._columns.items()}
        return Points(
            points_xyz=np.array(self._xyz).reshape(count, 3),
            kinds=tuple(self._kinds),
            rotations_xyz=rotations,
            instance_ids=instances,
            features=features,
            skipped=tuple(self._skipped),
            warnings=(*self._warnings(rotations, numbers), *warnings_of_scores(features)),
        )

    def _warnings(self, rotations: NDArray[np.float64] | None, numbers: NDArray[np.int64]) -> Iterator[str]:
        if self._skipped:
            lines = numbered("line", [skipped.number for skipped in self._skipped])
            yield f"{len(self._skipped):,} of the file's lines are no known kind of point and were left out ({lines})."
        if self._without_id:
            lines = numbered("line", self._without_id)
            yield f"No instance is named by {len(self._without_id):,} points: instance_id is null or -1 ({lines})."
        if self._turned:
            lines, count = numbered("line", self._turned), len(self._turned)
            yield f"Matrices of {count:,} points that call themselves no {ORIENTED_POINT} were left out ({lines})."
        yield from rotation_warnings(rotations, numbers, "line")
        if self._beside:
            yield f"What places have beside x, y and z was left out: {_named(self._beside)}."
        if self._left_out:
            kinds = f"aren't plain numbers or texts, are too long, or come after {MAX_COLUMNS} others"
            yield f"Columns that {kinds} were left out: {_named(self._left_out)}."


def _note(left_out: dict[str, None], names: Sequence[str]) -> None:
    """Note what is left out, as much of it as anybody reads."""
    for name in names[: MAX_COLUMNS - len(left_out)]:
        left_out[name[:SHOWN_TEXT]] = None


def _named(left_out: Collection[str]) -> str:
    names, more = ", ".join(map(repr, islice(left_out, _MOST_NAMES))), len(left_out) - _MOST_NAMES
    if more <= 0:
        return names
    return f"{names} and {'at least ' * (len(left_out) >= MAX_COLUMNS)}{more} more"


class _UnusableError(Exception):
    """Why a line that calls itself a point isn't one."""


def _extend(column: array[float], numbers: list[Any], what: str) -> None:
    """Append numbers, all or none of them, and only finite ones."""
    if not _NUMBER_TYPES.issuperset(map(type, numbers)):
        raise _UnusableError(f"its {what} lacks a number")
    try:
        are_finite = all(map(math.isfinite, numbers))
    except OverflowError:  # a whole number that no float can hold
        are_finite = False
    if not are_finite:
        raise _UnusableError(f"its {what} is not finite")
    column.extend(numbers)


def _nine(matrix: Any) -> list[Any]:
    """The numbers of a 3 x 3 matrix, row by row."""
    match matrix:
        case [[_, _, _] as first, [_, _, _] as second, [_, _, _] as third]:
            return [*first, *second, *third]
    raise _UnusableError("it has no xyz_rotation_matrix of three rows of three numbers")


def _whole_number(value: Any) -> int:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not _fits(value) or value != int(value):
        raise _UnusableError("its instance_id is no whole number of 64 bits")
    return int(value)


def _fits(value: float) -> bool:
    """Whether a whole number fits 64 bits."""
    return -(2**63) <= value < 2**63


def _is_real(value: float) -> bool:
    """Whether a real of 64 bits is the same number."""
    return abs(value) <= sys.float_info.max and float(value) == value


def _column(values: dict[int, Any], count: int) -> NDArray[Any]:
    """One array of a column: whole numbers and truth values stay such where every point has one.

    Numbers of more digits than a real has stay texts where there is no whole number in each row.
    """
    kinds = {type(value) for value in values.values()}
    if kinds == {bool} and len(values) == count:
        return np.array(list(values.values()), dtype=bool)
    if kinds == {int} and len(values) == count and all(map(_fits, values.values())):
        return np.array(list(values.values()), dtype=np.int64)
    if kinds <= {int, float} and all(map(_is_real, values.values())):
        column = np.full(count, np.nan)
        column[list(values)] = [float(value) for value in values.values()]
        return column
    texts = np.full(count, "", dtype=object)
    for index, value in values.items():
        texts[index] = value if isinstance(value, str) else json.dumps(value)
    return texts
