"""copick's files of picks: JSON with positions in ångström, one file an object, run, user and session.

Conventions, from copick's source (``models.py``: ``CopickPicksFile``, ``CopickPoint``): ``location`` is x, y, z in
ångström, 0 at the centre of the first voxel (copick's own import of the portal's points multiplies voxel indices by the
voxel spacing); ``transformation_`` is a 4 x 4 matrix "to transform coordinates from the object space to the tomogram
space": active, on column vectors in x, y, z, as in the portal's files, and its last column is a shift that is added to
the location (``util/formats.py``: ``dynamo_to_copick_transform``, which also has the same angles as we do).
``trust_orientation`` says whether it means anything. ``instance_id`` and ``score`` may be null; a score may also be NaN
or Infinity, which copick writes and reads although JSON has no such numbers.

A file lies at ``ExperimentRuns/{run}/Picks/{user}_{session}_{object}.json`` of its project, and its name is what copick
goes by.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError, MissingContextError, SaveError
from napari_cryoet.formats.column_types import shortened
from napari_cryoet.formats.exchange import (
    Context,
    checked_picks,
    listed,
    not_utf8,
    object_of_pairs,
    refuse_unreadable,
    rounded_scores,
)
from napari_cryoet.picks import NO_INSTANCE, Picks

#: Who we are where nobody says; session 0 is copick's for picks that a tool made.
TOOL_USER: Final = "napari-cryoet"
TOOL_SESSION: Final = "0"
#: Under which keys a file says whose picks of what it holds.
_ABOUT: Final = {
    "object_name": "pickable_object_name",
    "user_id": "user_id",
    "session_id": "session_id",
    "run_name": "run_name",
}
_AXES: Final = frozenset("xyz")
_POINT_KEYS: Final = frozenset({"location", "transformation_", "instance_id", "score"})
_FILE_KEYS: Final = frozenset({*_ABOUT.values(), "voxel_spacing", "unit", "points", "trust_orientation"})
_KEYS: Final = frozenset({"pickable_object_name", "user_id", "session_id", "points"})
#: What a part of a name can't have: copick takes names apart at each "_", and its ``sanitize_name`` replaces the rest.
_NO_PART: Final = r"_\s<>:\"/\\|?*\x00-\x1f\x7f"
#: Names that start with a dot are passed over.
_NAME: Final = re.compile(rf"(?!\.)(?P<user>[^{_NO_PART}]+)_(?P<session>[^{_NO_PART}]+)_(?P<object>[^{_NO_PART}]+)")
_DEFAULT_SCORE: Final = 1.0
#: How far the last row of a transformation may be from 0, 0, 0, 1, as in copick: an inverse is rounded.
_ROUNDED: Final = 1e-8


class Place(NamedTuple):
    """Whose picks of what a file holds, as copick tells files apart."""

    run: str
    user: str
    session: str
    object: str


def holds_picks(path: Path, head: str) -> bool:
    """Whether a JSON file is one of copick's picks; ``head`` is how it starts."""
    if not head.lstrip("\ufeff \t\r\n").startswith("{") or not any(f'"{key}"' in head for key in _KEYS):
        return False
    try:
        document = _document(path)
    except FormatError:
        return False
    return set(document) >= _KEYS


def read_picks_file(path: Path, context: Context) -> Picks:
    """The picks of a file; ``about`` has whose picks of what they are.

    Where copick's file doesn't trust its orientations, or all of them are the identity, which is what copick's tools
    write for picks that were never oriented, the picks have no rotations.

    Raises
    ------
    FormatError
        If it is no such file.
    MissingContextError
        If it doesn't say the voxel spacing of its tomogram, and nobody else does.
    """
    document = _document(path)
    if not set(document) >= _KEYS:
        raise FormatError(f"{path.name} holds no picks of copick: it has no {listed(sorted(_KEYS - set(document)))}.")
    unit = document.get("unit", "angstrom")
    if unit != "angstrom":
        raise FormatError(f"{path.name} counts in {unit!r}; copick's positions are in angstrom.")
    spacing = context.spacing_angstrom if context.spacing_angstrom is not None else _spacing(document)
    if spacing is None:
        raise MissingContextError(
            f"{path.name} has its positions in ångström and doesn't say how wide a voxel is.",
            hint="Give the voxel spacing of the tomogram.",
            missing=("spacing_angstrom",),
        )
    points = document["points"] or []
    if not isinstance(points, list):
        raise FormatError(f"{path.name}: its points aren't a list.")
    rows = [_row(path, number, point) for number, point in enumerate(points, start=1)]
    positions_xyz = np.array([row.position_xyz for row in rows], dtype=np.float64).reshape(-1, 3)
    names, said = _names(path, document)
    return checked_picks(
        path,
        called="point",
        points_zyx=positions_xyz[:, ::-1] / spacing,
        spacing_angstrom=spacing,
        rotations_zyx=_rotations_zyx(rows) if document.get("trust_orientation", True) is not False else None,
        instance_ids=_instances(rows),
        scores=_scores(rows),
        shape_zyx=context.shape_zyx,
        about=names
        | {"warnings": [*said, *rounded_scores([row.score for row in rows]), *_unknown_keys(document, points)]},
    )


def _names(path: Path, document: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Whose picks of what they are, and what to say of it: in a project by its folders and its name, as copick."""
    inside = {name: str(document[key]) for name, key in _ABOUT.items() if document.get(key)}
    run, named = run_of_project(path), _NAME.fullmatch(path.stem)
    if not run:
        return inside, []
    if named is None:
        return inside | {"run_name": run}, []
    names = {"object_name": named["object"], "user_id": named["user"], "session_id": named["session"]}
    others = [inside[name] for name in names if name in inside and inside[name] != names[name]]
    said = (
        "Its name says whose picks of what they are, and copick lists them by it; the file itself says "
        f"{listed(others)}."
    )
    return names | {"run_name": run}, [said] if others else []


def _unknown_keys(document: Mapping[str, Any], points: list[Any]) -> list[str]:
    """What a file and its points have that copick doesn't know, in words."""
    of_file = _said(document, _FILE_KEYS)
    of_points = dict.fromkeys(key for point in points for key in _said(point, _POINT_KEYS))
    of_places = dict.fromkeys(f"location.{key}" for point in points for key in _said(point["location"], _AXES))
    found = {"files": of_file, "points": [*of_points, *of_places]}
    return [f"What copick's {what} don't have was left out: {listed(keys)}." for what, keys in found.items() if keys]


def _said(values: Mapping[str, Any], known: Collection[str]) -> list[str]:
    """The names of what an object says beside what is known; null says nothing."""
    return [key for key, value in values.items() if key not in known and value is not None]


def losses(picks: Picks) -> list[str]:
    """What a file of copick can't hold, in words."""
    said = []
    given = np.zeros((0, 3, 3)) if picks.rotations_zyx is None else picks.rotations_zyx
    has_one = ~np.isnan(given).any(axis=(1, 2))
    if has_one.any() and not has_one.all():
        n_without = int((~has_one).sum())
        said.append(f"Picks without orientation ({n_without:,}) get the identity, which copick takes for one.")
    if has_one.any() and (given[has_one] == np.eye(3)).all():
        said.append("All rotations are the identity; they read back as none.")
    if not np.array_equal(picks.ids, np.arange(len(picks))):
        said.append("copick counts points by their place in the file: the picks' own ids are left out.")
    if picks.scores is not None and len(picks):
        if (picks.scores == _DEFAULT_SCORE).all():
            said.append("All scores are 1, which is what copick writes where there are none; they read back as none.")
        if np.isinf(picks.scores).any():
            said.append("JSON knows no infinite scores; they are left out.")
    if picks.instance_ids is not None and len(picks) and not picks.instance_ids.any():
        said.append("All instance ids are 0, as copick writes where there are none; they read back as none.")
    if picks.features:
        said.append(f"A point of copick has no {listed(list(picks.features))}.")
    if picks.alignment_id is not None or picks.about:
        said.append("copick has no place for where picks come from; it stands in the .provenance.json beside the file.")
    return said


def picks_file(picks: Picks, path: Path) -> bytes:
    """The content of a file that is to lie at ``path``; where that is a copick project, its names go by it."""
    assert picks.spacing_angstrom is not None  # noqa: S101 - the caller has seen to it
    place = place_of(path, picks.about)
    locations = (picks.points_xyz * picks.spacing_angstrom).tolist()
    transformations = np.tile(np.eye(4), (len(picks), 1, 1))
    rotations = picks.rotations_xyz
    has_rotations = rotations is not None and not np.isnan(rotations).all()
    if rotations is not None:
        is_given = ~np.isnan(rotations).any(axis=(1, 2))
        transformations[is_given, :3, :3] = rotations[is_given]
    instances = [None] * len(picks) if picks.instance_ids is None else picks.instance_ids.tolist()
    scores = [math.nan] * len(picks) if picks.scores is None else picks.scores.tolist()
    points = [
        {
            "location": dict(zip("xyz", location, strict=True)),
            "transformation_": transformation,
            "instance_id": None if instance in (None, NO_INSTANCE) else instance,
            "score": score if math.isfinite(score) else None,
        }
        for location, transformation, instance, score in zip(
            locations, transformations.tolist(), instances, scores, strict=True
        )
    ]
    document = {
        "pickable_object_name": place.object,
        "user_id": place.user,
        "session_id": place.session,
        "run_name": place.run,
        "voxel_spacing": picks.spacing_angstrom,
        "unit": "angstrom",
        "points": points,
        "trust_orientation": has_rotations,
    }
    return json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False).encode(errors="backslashreplace")


def place_of(path: Path, about: Mapping[str, Any]) -> Place:
    """Whose picks of what a file at ``path`` holds: in a copick project by its name and folders, else by what is known.

    Raises
    ------
    SaveError
        If it is to lie in a project, where copick wouldn't find it under its name.
    """
    run = run_of_project(path)
    if run:
        named = _NAME.fullmatch(path.stem)
        if named is None:
            raise SaveError(
                f"copick won't find a file called {path.name}.",
                hint="In a project, call it USER_SESSION_OBJECT.json, without further underscores or spaces.",
            )
        return Place(run, named["user"], named["session"], named["object"])
    user, session = str(about.get("user_id") or TOOL_USER), str(about.get("session_id") or TOOL_SESSION)
    return Place(str(about.get("run_name") or ""), user, session, str(about.get("object_name") or path.stem))


def run_of_project(path: Path) -> str:
    """The run that a file in a copick project belongs to, by its folders; empty outside of one."""
    folders = [folder.name for folder in path.absolute().parents[:3]]
    return folders[1] if len(folders) == 3 and (folders[0], folders[2]) == ("Picks", "ExperimentRuns") else ""


class _Row(NamedTuple):
    position_xyz: list[float]
    rotation_xyz: list[list[float]]
    instance_id: int | None
    score: float | None  # as the file spells it


_IDENTITY: Final = np.eye(4).tolist()


def _row(path: Path, number: int, point: Any) -> _Row:
    try:
        if not isinstance(point, dict):
            raise _UnusableError("it is no object")
        location = _vector([point["location"].get(axis) for axis in "xyz"] if _has_place(point) else [], "location", 3)
        given = point.get("transformation_") or _IDENTITY
        if not isinstance(given, list) or len(given) != 4 or not all(isinstance(row, list) for row in given):
            raise _UnusableError("its transformation_ isn't 4 x 4")
        matrix = [_vector(row, "transformation_", 4) for row in given]
        if any(abs(value - wanted) > _ROUNDED for value, wanted in zip(matrix[3], _IDENTITY[3], strict=True)):
            raise _UnusableError("the last row of its transformation_ isn't 0, 0, 0, 1")
        instance, score = point.get("instance_id"), point.get("score")
        return _Row(
            [at + row[3] for at, row in zip(location, matrix, strict=False)],
            [row[:3] for row in matrix[:3]],
            None if instance is None else _whole(instance),
            None if score is None else _score(score),
        )
    except _UnusableError as error:
        raise FormatError(f"{path.name}: point {number} can't be used: {error}.") from error


class _UnusableError(Exception):
    """Why a point can't be used."""


def _has_place(point: Mapping[str, Any]) -> bool:
    return isinstance(point.get("location"), dict)


def _vector(values: list[Any], what: str, length: int) -> list[float]:
    if len(values) != length:
        raise _UnusableError(f"its {what} lacks numbers")
    return [_number(value, what) for value in values]


def _number(value: Any, what: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not abs(value) <= sys.float_info.max:
        raise _UnusableError(f"its {what} has {shortened(repr(value))}, which is no number")
    return float(value)


def _score(value: Any) -> float:
    if not isinstance(value, float):
        _number(value, "score")
    score: float = value  # a whole number stays one until it is known whether digits are lost
    return score


def _whole(value: Any) -> int:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    if not is_number or value != int(value) or not -(2**63) <= value < 2**63:
        raise _UnusableError(f"its instance_id {shortened(repr(value))} is no whole number that can be used")
    return int(value)


def _rotations_zyx(rows: list[_Row]) -> NDArray[np.float64] | None:
    matrices = np.array([row.rotation_xyz for row in rows], dtype=np.float64).reshape(-1, 3, 3)
    return None if (matrices == np.eye(3)).all() else matrices[:, ::-1, ::-1]


def _instances(rows: list[_Row]) -> list[int] | None:
    """None where all are copick's default."""
    ids = [NO_INSTANCE if row.instance_id is None else row.instance_id for row in rows]
    return None if set(ids) <= {0} or set(ids) <= {NO_INSTANCE} else ids


def _scores(rows: list[_Row]) -> list[float] | None:
    """None where all are copick's default."""
    scores = [math.nan if row.score is None else row.score for row in rows]
    return None if all(score == _DEFAULT_SCORE for score in scores) or all(map(math.isnan, scores)) else scores


def _spacing(document: Mapping[str, Any]) -> float | None:
    spacing = document.get("voxel_spacing")
    is_width = isinstance(spacing, int | float) and not isinstance(spacing, bool) and 0 < spacing <= sys.float_info.max
    return float(spacing) if is_width and spacing is not None else None


def _document(path: Path) -> dict[str, Any]:
    refuse_unreadable(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=object_of_pairs)
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"{path.name} is no JSON that can be read ({error}).") from error
    if not isinstance(document, dict):
        raise FormatError(f"{path.name} holds no picks of copick.")
    return document
