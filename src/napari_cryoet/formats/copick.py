"""copick's files of picks: JSON with positions in ångström, one file an object, run, user and session.

Conventions, from copick's source (``models.py``): ``location`` is x, y, z in ångström, 0 at the centre of the first
voxel. ``transformation_`` is a 4 x 4 matrix from the object's space to the tomogram's: active, on column vectors in
x, y, z, and its last column is added to the location. The identity for all points, or ``trust_orientation`` false,
means no orientation; likewise instance ids 0 and scores 1 for all points are copick's defaults. Scores may be NaN.

A file lies at ``ExperimentRuns/{run}/Picks/{user}_{session}_{object}.json`` of its project; copick goes by its name.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from napari_cryoet.exceptions import FormatError, SaveError
from napari_cryoet.formats.common import Context, lacking, listed, picks_of_file
from napari_cryoet.formats.notes import run_of_copick_project
from napari_cryoet.picks import NO_INSTANCE, Picks

#: Who we are if nothing else is known; session 0 is copick's for picks that a tool made.
_USER, _SESSION = "napari-cryoet", "0"
#: copick takes names apart at each "_".
_NAME: Final = re.compile(r"(?P<user_id>[^_\s]+)_(?P<session_id>[^_\s]+)_(?P<object_name>[^_\s]+)")
_KEYS: Final = (b'"pickable_object_name"', b'"user_id"', b'"session_id"', b'"points"')

_Row = tuple[float, float, float, float]


class _Location(msgspec.Struct):
    x: float
    y: float
    z: float


class _Point(msgspec.Struct):
    location: _Location
    transformation_: tuple[_Row, _Row, _Row, _Row] | None = None
    instance_id: int | None = None
    score: float | None = None


class _File(msgspec.Struct):
    pickable_object_name: str | None
    user_id: str | None
    session_id: str | None
    points: list[_Point] | None
    run_name: str | None = None
    voxel_spacing: float | None = None
    unit: str = "angstrom"
    trust_orientation: bool | None = True


def holds(path: Path, _head: bytes) -> bool:
    """Whether a JSON file holds copick's picks."""
    content = path.read_bytes()
    return all(key in content for key in _KEYS)


def read(path: Path, context: Context) -> Picks:
    """The picks of a file; `about` has whose picks of what they are."""
    try:
        document = msgspec.convert(json.loads(path.read_text(encoding="utf-8-sig")), _File)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path.name} isn't a file of copick's picks ({error}).") from error
    if document.unit != "angstrom":
        raise FormatError(f"{path.name} counts in {document.unit!r}; copick's positions are in angstrom.")
    spacing = document.voxel_spacing or context.spacing_angstrom
    if spacing is None:
        raise lacking(
            f"{path.name} has its positions in ångström and doesn't say how wide a voxel is", "spacing_angstrom"
        )
    points = document.points or []
    identity = tuple(map(tuple, np.eye(4).tolist()))
    transformations = np.array([point.transformation_ or identity for point in points], float).reshape(-1, 4, 4)
    if (transformations[:, 3] != identity[3]).any():
        raise FormatError(f"{path.name}: the last row of a transformation_ isn't 0, 0, 0, 1.")
    locations = np.array([(each.location.x, each.location.y, each.location.z) for each in points]).reshape(-1, 3)
    rotations = transformations[:, :3, :3]
    has_rotations = document.trust_orientation is not False and bool((rotations != np.eye(3)).any())
    instances = [NO_INSTANCE if point.instance_id is None else point.instance_id for point in points]
    scores = np.array([math.nan if point.score is None else point.score for point in points], dtype=np.float64)
    return picks_of_file(
        path,
        points_zyx=(locations + transformations[:, :3, 3])[:, ::-1] / spacing,
        spacing_angstrom=spacing,
        rotations_zyx=rotations[:, ::-1, ::-1] if has_rotations else None,
        instance_ids=instances if set(instances) - {NO_INSTANCE, 0} else None,
        scores=None if (scores == 1.0).all() or np.isnan(scores).all() else scores,
        about=_names_of(path, document),
    )


def losses(picks: Picks) -> list[str]:
    """What a file can't hold."""
    said = []
    are_given = np.zeros(0, dtype=bool) if picks.rotations_zyx is None else ~np.isnan(picks.rotations_zyx[:, 0, 0])
    if are_given.any() and not are_given.all():
        said.append("Picks without orientation get the identity, which copick takes for one.")
    if not np.array_equal(picks.ids, np.arange(len(picks))):
        said.append("copick counts points by their place in the file: the picks' own ids are left out.")
    if picks.features:
        said.append(f"A point of copick has no {listed(list(picks.features))}.")
    return said


def write(picks: Picks, path: Path, place: Path) -> None:
    """Write a file that is to lie at ``place``, whose names count if that is in a copick project."""
    assert picks.spacing_angstrom is not None  # noqa: S101 - see `registry.missing_for`
    transformations = np.tile(np.eye(4), (len(picks), 1, 1))
    are_turned = np.zeros(len(picks), dtype=bool)
    if picks.rotations_xyz is not None:
        are_turned = ~np.isnan(picks.rotations_xyz[:, 0, 0])
        transformations[are_turned, :3, :3] = picks.rotations_xyz[are_turned]
    instances = [NO_INSTANCE] * len(picks) if picks.instance_ids is None else picks.instance_ids.tolist()
    scores = [math.nan] * len(picks) if picks.scores is None else picks.scores.tolist()
    locations = (picks.points_xyz * picks.spacing_angstrom).tolist()
    points = [
        _Point(
            _Location(*location),
            transformation,
            None if instance == NO_INSTANCE else instance,
            score if math.isfinite(score) else None,
        )
        for location, transformation, instance, score in zip(
            locations, transformations.tolist(), instances, scores, strict=True
        )
    ]
    names = _names_to_write(place, picks.about)
    document = _File(
        names["object_name"],
        names["user_id"],
        names["session_id"],
        points,
        names["run_name"],
        picks.spacing_angstrom,
        trust_orientation=bool(are_turned.any()),
    )
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1))


def _names_of(path: Path, document: _File) -> dict[str, str]:
    """Whose picks of what they are: in a project by its folders and the file's name, as copick goes by these."""
    names = {
        "object_name": document.pickable_object_name,
        "user_id": document.user_id,
        "session_id": document.session_id,
        "run_name": document.run_name,
    }
    return {key: value for key, value in (names | _names_in_project(path)).items() if value}


def _names_to_write(place: Path, about: Mapping[str, Any]) -> dict[str, str]:
    names = {"object_name": place.stem, "user_id": _USER, "session_id": _SESSION, "run_name": ""}
    names |= {key: str(about[key]) for key in names if about.get(key)}
    in_project = _names_in_project(place)
    if not in_project and run_of_copick_project(place):
        raise SaveError(
            f"copick won't find a file called {place.name}.",
            hint="In a project, call it USER_SESSION_OBJECT.json, without further underscores or spaces.",
        )
    return names | in_project


def _names_in_project(path: Path) -> dict[str, str]:
    """User, session, object and run by the name and folders of a file; empty outside of a copick project."""
    run, named = run_of_copick_project(path), _NAME.fullmatch(path.stem)
    return {**named.groupdict(), "run_name": run} if run and named is not None else {}
