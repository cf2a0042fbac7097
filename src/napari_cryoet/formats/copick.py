"""copick's pick files: JSON with positions in ångström, one file per object, run, user and session.

Conventions, from copick's source (``models.py``): ``location`` is x, y, z in ångström, 0 at the
centre of the first voxel. ``transformation_`` is a 4 x 4 matrix from the object's space to the
tomogram's: active, on column vectors in x, y, z. Its last column is added to the location. The
identity for all points, or ``trust_orientation`` false, means no orientation. Likewise, copick's
defaults are instance id 0 and score 1 for all points. Scores may be NaN.

In a project, the path is ``ExperimentRuns/{run}/Picks/{user}_{session}_{object}.json``. copick
relies on this name.
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
from napari_cryoet.formats.common import Context, Xyz, lacking, listed, picks_of_file, read_text
from napari_cryoet.formats.notes import run_of_copick_project
from napari_cryoet.picks import NO_INSTANCE, Picks
from napari_cryoet.provenance import Provenance

#: Written if no user or session is known; copick uses session 0 for picks made by a tool.
_USER, _SESSION = "napari-cryoet", "0"
#: copick splits names at each "_".
_NAME: Final = re.compile(r"(?P<user_id>[^_\s]+)_(?P<session_id>[^_\s]+)_(?P<object_name>[^_\s]+)")
_KEYS: Final = (b'"pickable_object_name"', b'"user_id"', b'"session_id"', b'"points"')

_Row = tuple[float, float, float, float]


class _Point(msgspec.Struct):
    location: Xyz
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
    """Whether a JSON file contains copick picks."""
    content = path.read_bytes()
    return all(key in content for key in _KEYS)


def read(path: Path, context: Context) -> Picks:
    """Read a file; `about` has the user, session, object and run."""
    try:
        document = msgspec.convert(json.loads(read_text(path)), _File)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path.name} isn't a copick pick file ({error}).") from error
    if document.unit != "angstrom":
        raise FormatError(
            f"{path.name} has positions in {document.unit!r}; copick's are in angstrom."
        )
    spacing = document.voxel_spacing or context.spacing_angstrom
    if spacing is None:
        raise lacking(
            f"{path.name} has its positions in ångström and doesn't say how wide a voxel is",
            "spacing_angstrom",
        )
    points = document.points or []
    identity = tuple(map(tuple, np.eye(4).tolist()))
    transformations = np.array(
        [point.transformation_ or identity for point in points], float
    ).reshape(-1, 4, 4)
    if (transformations[:, 3] != identity[3]).any():
        raise FormatError(f"{path.name}: the last row of a transformation_ isn't 0, 0, 0, 1.")
    locations = np.array(
        [(point.location.x, point.location.y, point.location.z) for point in points]
    ).reshape(-1, 3)
    rotations = transformations[:, :3, :3]
    has_rotations = document.trust_orientation is not False and bool((rotations != np.eye(3)).any())
    instances = [
        NO_INSTANCE if point.instance_id is None else point.instance_id for point in points
    ]
    scores = np.array(
        [math.nan if point.score is None else point.score for point in points], dtype=np.float64
    )
    return picks_of_file(
        path,
        points_zyx=(locations + transformations[:, :3, 3])[:, ::-1] / spacing,
        spacing_angstrom=spacing,
        rotations_zyx=rotations[:, ::-1, ::-1] if has_rotations else None,
        instance_ids=instances if set(instances) - {NO_INSTANCE, 0} else None,
        scores=None if (scores == 1.0).all() or np.isnan(scores).all() else scores,
        about=Provenance.of(_names_of(path, document)),
    )


def losses(picks: Picks, _name: str) -> list[str]:
    """Warnings about data that the format can't hold."""
    warnings = []
    have_rotation = (
        np.zeros(0, dtype=bool)
        if picks.rotations_zyx is None
        else ~np.isnan(picks.rotations_zyx[:, 0, 0])
    )
    if have_rotation.any() and not have_rotation.all():
        warnings.append(
            "Picks without orientation get the identity matrix, which copick treats as an orientation."
        )
    if not np.array_equal(picks.ids, np.arange(len(picks))):
        warnings.append(
            "copick numbers points by their order in the file: the picks' own ids are left out."
        )
    if picks.features:
        warnings.append(f"copick points can't hold {listed(list(picks.features))}.")
    return warnings


def write(picks: Picks, path: Path, final_path: Path, _name: str) -> None:
    """Write a file; names come from ``final_path`` if that is in a copick project."""
    assert picks.spacing_angstrom is not None  # noqa: S101 - see `registry.missing_for`
    transformations = np.tile(np.eye(4), (len(picks), 1, 1))
    are_turned = np.zeros(len(picks), dtype=bool)
    if picks.rotations_xyz is not None:
        are_turned = ~np.isnan(picks.rotations_xyz[:, 0, 0])
        transformations[are_turned, :3, :3] = picks.rotations_xyz[are_turned]
    instances = (
        [NO_INSTANCE] * len(picks) if picks.instance_ids is None else picks.instance_ids.tolist()
    )
    scores = [math.nan] * len(picks) if picks.scores is None else picks.scores.tolist()
    locations = (picks.points_xyz * picks.spacing_angstrom).tolist()
    points = [
        _Point(
            Xyz(*location),
            transformation,
            None if instance == NO_INSTANCE else instance,
            score if math.isfinite(score) else None,
        )
        for location, transformation, instance, score in zip(
            locations, transformations.tolist(), instances, scores, strict=True
        )
    ]
    names = _names_to_write(final_path, picks.about.to_dict())
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
    """User, session, object and run; in a project from the path, as in copick."""
    names = {
        "object_name": document.pickable_object_name,
        "user_id": document.user_id,
        "session_id": document.session_id,
        "run_name": document.run_name,
    }
    return {key: value for key, value in (names | _names_in_project(path)).items() if value}


def _names_to_write(final_path: Path, about: Mapping[str, Any]) -> dict[str, str]:
    names = {
        "object_name": final_path.stem,
        "user_id": _USER,
        "session_id": _SESSION,
        "run_name": "",
    }
    names |= {key: str(about[key]) for key in names if about.get(key)}
    in_project = _names_in_project(final_path)
    if not in_project and run_of_copick_project(final_path):
        raise SaveError(
            f"copick won't find a file called {final_path.name}.",
            hint="In a project, call it USER_SESSION_OBJECT.json, without further underscores or spaces.",
        )
    return names | in_project


def _names_in_project(path: Path) -> dict[str, str]:
    """User, session, object and run from a file's path; empty outside a copick project."""
    run, match = run_of_copick_project(path), _NAME.fullmatch(path.stem)
    return {**match.groupdict(), "run_name": run} if run and match is not None else {}
