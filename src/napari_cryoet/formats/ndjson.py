"""Point annotations of the portal: one JSON object per line, voxel coordinates in x, y, z.

The portal writes three kinds of line::

    {"type": "point", "location": {"x": 517.0, "y": 261.0, "z": 469.0}}
    {"type": "orientedPoint", "location": {...}, "xyz_rotation_matrix": [[...], [...], [...]]}
    {"type": "instancePoint", "location": {...}, "instance_id": 3}

Coordinates are 0-based voxel indices of the volume that the file was made on, not ångström. A
rotation matrix is active, maps the particle's frame to the tomogram's, and acts on column vectors
in x, y, z. An ``instance_id`` of null or -1 means no instance. Our exports add ``score``, features,
and ``pick_id`` if ids aren't 0, 1, 2...
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError
from napari_cryoet.formats.common import (
    MAX_PICKS,
    Context,
    Xyz,
    is_missing,
    listed,
    picks_of_file,
)
from napari_cryoet.picks import NO_INSTANCE, Picks
from napari_cryoet.provenance import Provenance

MAX_COLUMNS: Final = 64
_ORIENTED: Final = "orientedPoint"
_INSTANCE: Final = "instancePoint"
_KINDS: Final = {kind.lower(): kind for kind in ("point", _ORIENTED, _INSTANCE)}
_POINT_KEYS: Final = frozenset({"type", "location", "xyz_rotation_matrix", "instance_id"})
_TAKEN: Final = _POINT_KEYS | {"score", "pick_id"}
_INFINITE: Final = (math.inf, -math.inf)
_HEAD_LINES: Final = 20
_SHOWN_CHARACTERS: Final = 120

_Row = tuple[float, float, float]


class _Line(msgspec.Struct):
    location: Xyz
    xyz_rotation_matrix: tuple[_Row, _Row, _Row] | None = None
    instance_id: int | None = None


def holds(_path: Path, head: bytes) -> bool:
    """Whether a file is empty or one of its first lines is a known kind of point."""
    lines = [line for line in head.split(b"\n") if line.strip()][:_HEAD_LINES]
    return not lines or any(map(_is_point, lines))


def read(path: Path, context: Context) -> Picks:
    """Read a file; the context gives the voxel spacing."""
    return read_points(path.read_bytes(), path.name, context.spacing_angstrom)


def read_points(
    content: bytes, where: str, spacing_angstrom: float | None = None, **known: Any
) -> Picks:
    """Parse a file's content.

    ``known`` are further attributes of the picks; ``where`` names the file in messages.
    """
    columns = _Columns()
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if line and not line.isspace():
            try:
                columns.add(line)
            except (ValueError, RecursionError) as error:
                shown = line.strip()[:_SHOWN_CHARACTERS].decode(errors="replace")
                raise FormatError(
                    f"{where}, line {number} is not a portal point ({error}): {shown}"
                ) from error
    if columns.n_unknown and not columns.n_points:
        raise FormatError(f"None of the {columns.n_unknown:,} lines in {where} is a point.")
    about = Provenance.of(known.pop("about", {}))
    if warnings := columns.warnings():
        about = about.with_warnings(*warnings)
    known |= {"spacing_angstrom": spacing_angstrom, "about": about}
    return picks_of_file(Path(where), **columns.as_picks(), **known)


def losses(picks: Picks, _name: str) -> list[str]:
    """Warnings about data that the format can't hold."""
    warnings = []
    taken = [name for name in picks.features if name in _TAKEN]
    if taken:
        warnings.append(f"Columns named {listed(taken)} would be misread; they are left out.")
    columns = [*picks.features.values(), *([] if picks.scores is None else [picks.scores])]
    if any(column.dtype.kind == "f" and np.isinf(column).any() for column in columns):
        warnings.append("JSON has no infinite numbers; they are left out.")
    return warnings


def write(picks: Picks, path: Path, _final_path: Path, _name: str) -> None:
    """Write picks to a file."""
    with path.open("wb") as file:
        file.writelines(lines_of(picks))


def lines_of(picks: Picks) -> Iterator[bytes]:
    """Encode picks, one line each."""
    encode = msgspec.json.Encoder().encode
    matrices = picks.rotations_xyz
    instances = (
        np.full(len(picks), NO_INSTANCE) if picks.instance_ids is None else picks.instance_ids
    )
    further = {
        name: column.tolist() for name, column in picks.features.items() if name not in _TAKEN
    }
    if picks.scores is not None:
        further["score"] = picks.scores.tolist()
    if not np.array_equal(picks.ids, np.arange(len(picks))):
        further["pick_id"] = picks.ids.tolist()
    for row, (x, y, z) in enumerate(picks.points_xyz.tolist()):
        instance = int(instances[row])
        line: dict[str, Any] = {"type": "point", "location": {"x": x, "y": y, "z": z}}
        if matrices is not None and np.isfinite(matrices[row]).all():
            line |= {"type": _ORIENTED, "xyz_rotation_matrix": matrices[row].tolist()}
        elif instance != NO_INSTANCE:
            line["type"] = _INSTANCE
        if instance != NO_INSTANCE:
            line["instance_id"] = instance
        values = ((name, column[row]) for name, column in further.items())
        line |= {
            name: value
            for name, value in values
            if not is_missing(value) and value not in _INFINITE
        }
        yield encode(line) + b"\n"


def _is_point(line: bytes) -> bool:
    try:
        return _kind_of(msgspec.json.decode(line)) is not None
    except (ValueError, RecursionError):
        return False


def _kind_of(record: Any) -> str | None:
    return _KINDS.get(str(record.get("type")).lower()) if isinstance(record, dict) else None


class _Columns:
    """Collects lines into columns."""

    def __init__(self) -> None:
        self.n_points = self.n_unknown = 0
        self._xyz, self._rotations = (
            array("d"),
            array("d"),
        )  # flat: millions of small lists would be slow
        self._oriented: list[int] = []
        self._instances: dict[int, int] = {}
        self._further: dict[str, dict[int, Any]] = {}
        self._left_out: set[str] = set()
        self._decode = msgspec.json.Decoder().decode

    def add(self, line: bytes) -> None:
        """Add a line; ValueError if it is invalid."""
        record = self._decode(line)
        if not isinstance(record, dict):
            raise ValueError("it isn't a JSON object")
        kind = _kind_of(record)
        if kind is None:
            self.n_unknown += 1
            return
        if self.n_points >= MAX_PICKS:
            raise ValueError(f"more than {MAX_PICKS:,} points")
        point = msgspec.convert(record, _Line)
        index, self.n_points = self.n_points, self.n_points + 1
        self._xyz.extend((point.location.x, point.location.y, point.location.z))
        if kind == _ORIENTED:
            if point.xyz_rotation_matrix is None:
                raise ValueError("it has no xyz_rotation_matrix")
            self._oriented.append(index)
            for row in point.xyz_rotation_matrix:
                self._rotations.extend(row)
        if point.instance_id is not None and point.instance_id != NO_INSTANCE:
            self._instances[index] = point.instance_id
        for name, value in record.items():
            if name not in _POINT_KEYS:
                self._add_feature(index, name, value)

    def _add_feature(self, index: int, name: str, value: Any) -> None:
        has_room = (
            name in self._further or len(self._further) < MAX_COLUMNS
        )  # a malicious file may have millions
        if has_room and isinstance(value, str | bool | int | float):
            self._further.setdefault(name, {})[index] = value
        elif value is not None:
            self._left_out.add(name)

    def as_picks(self) -> dict[str, Any]:
        """Attributes for `Picks`, in z, y, x."""
        count = self.n_points
        features = {name: _column(values, count) for name, values in self._further.items()}
        points_zyx = np.array(self._xyz).reshape(count, 3)[:, ::-1]
        attributes: dict[str, Any] = {"points_zyx": points_zyx, "features": features}
        if self._oriented:
            attributes["rotations_zyx"] = np.full((count, 3, 3), np.nan)
            attributes["rotations_zyx"][self._oriented] = np.array(self._rotations).reshape(
                -1, 3, 3
            )[:, ::-1, ::-1]
        if self._instances:
            attributes["instance_ids"] = [
                self._instances.get(index, NO_INSTANCE) for index in range(count)
            ]
        if "score" in features and features["score"].dtype.kind in "if":
            attributes["scores"] = features.pop("score")
        ids = features.get("pick_id")
        if ids is not None and ids.dtype.kind == "i" and len(np.unique(ids)) == count:
            attributes["ids"] = features.pop("pick_id")
        return attributes

    def warnings(self) -> list[str]:
        """Warnings about ignored lines and columns."""
        messages = []
        if self.n_unknown:
            messages.append(
                f"{self.n_unknown:,} lines of the file aren't a known kind of point and were left out."
            )
        if self._left_out:
            names = listed(sorted(self._left_out))
            messages.append(
                f"Columns that aren't numbers or text, or exceed the limit, were left out: {names}."
            )
        return messages


def _column(values: dict[int, Any], count: int) -> NDArray[Any]:
    """An array of bool or int if every point has a value, else float with NaN, or str with ""."""
    kinds = {type(value) for value in values.values()}
    are_numbers = kinds <= {int, float} and all(
        -(2**63) <= value < 2**63 for value in values.values()
    )
    if len(values) == count and (kinds == {bool} or (kinds == {int} and are_numbers)):
        return np.array(list(values.values()))
    if are_numbers:
        return np.array([values.get(index, np.nan) for index in range(count)], dtype=np.float64)
    return np.array([str(values.get(index, "")) for index in range(count)], dtype=object)
