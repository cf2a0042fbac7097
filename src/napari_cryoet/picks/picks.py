"""The frozen type of picks: positions, rotations, instances, scores and further columns, one row a pick.

Changes make new picks and are noted in their `edits`. A pick keeps its id through all of them, which links it to its
row in a layer, its line in a file and its verdict in a review.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: The instance id of a pick that belongs to no instance.
NO_INSTANCE: Final = -1
#: Ids lie within ±`LARGEST_ID`, in memory and in every file, so that there are always ids left for added picks.
LARGEST_ID: Final = 2**62
#: How far a matrix may be from a rotation; the portal's files keep three or four digits at worst.
ROTATION_TOLERANCE: Final = 1e-2

_COLUMNS: Final = ("points_zyx", "rotations_zyx", "instance_ids", "scores", "ids")


@dataclass(frozen=True, eq=False)
class Picks:
    """Points of one volume. Arrays are read-only; row i of each belongs to pick i.

    Attributes
    ----------
    points_zyx
        float64 (n, 3), voxel indices in the grid of the file; whole numbers are voxel centres.
    spacing_angstrom
        Voxel size of that grid; None if unknown.
    rotations_zyx
        float64 (n, 3, 3), active, particle to volume, acting on z, y, x vectors: columns are the particle's z, y and
        x axes. NaN for picks without a rotation; None if no pick has one.
    instance_ids
        int64 (n,), `NO_INSTANCE` for picks without; None if no pick has one.
    scores
        float64 (n,), higher is better, NaN for picks without; None if no pick has one.
    features
        Further columns by name.
    ids
        int64 (n,), unique; 0, 1, 2... by default.
    shape_zyx
        Size of the grid in voxels, if known.
    alignment_id
        The portal's alignment that the positions belong to, if known.
    about
        Where the picks come from, as plain data.
    edits
        What was done to them since they were read, oldest first.
    next_id
        The first id for added picks: larger than any that was ever among them.
    """

    points_zyx: NDArray[np.float64]
    spacing_angstrom: float | None = None
    rotations_zyx: NDArray[np.float64] | None = None
    instance_ids: NDArray[np.int64] | None = None
    scores: NDArray[np.float64] | None = None
    features: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    ids: NDArray[np.int64] = None  # type: ignore[assignment] # becomes 0, 1, 2...
    shape_zyx: tuple[int, int, int] | None = None
    alignment_id: int | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    edits: tuple[str, ...] = ()
    next_id: int = 0

    def __post_init__(self) -> None:
        points = _frozen(self.points_zyx, np.float64, (-1, 3), "points_zyx")
        _refuse_nowhere(points)
        count = len(points)
        given_ids: Any = self.ids
        ids = _frozen(np.arange(count) if given_ids is None else given_ids, np.int64, (count,), "ids")
        in_order = np.sort(ids)  # quicker than numpy's `unique`
        if (in_order[1:] == in_order[:-1]).any() or (count and not -LARGEST_ID <= ids.min() <= ids.max() <= LARGEST_ID):
            raise ValueError("ids must be unique, and lie within 2^62 of 0")
        values: dict[str, Any] = {
            "points_zyx": points,
            "spacing_angstrom": None if self.spacing_angstrom is None else _checked_spacing(self.spacing_angstrom),
            "rotations_zyx": _frozen_or_none(self.rotations_zyx, np.float64, (count, 3, 3), "rotations_zyx"),
            "instance_ids": _frozen_or_none(self.instance_ids, np.int64, (count,), "instance_ids"),
            "scores": _frozen_or_none(self.scores, np.float64, (count,), "scores"),
            "features": MappingProxyType(_frozen_features(self.features, count)),
            "ids": ids,
            "shape_zyx": None if self.shape_zyx is None else _checked_shape(self.shape_zyx),
            "alignment_id": None if self.alignment_id is None else _checked_alignment(self.alignment_id),
            "about": MappingProxyType(dict(self.about)),
            "edits": tuple(self.edits),
            "next_id": max(self.next_id, int(ids.max(initial=-1)) + 1),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy without the read-only views of dicts."""
        state = {each.name: getattr(self, each.name) for each in fields(self)}
        state |= {"features": dict(self.features), "about": dict(self.about)}
        return partial(Picks, **state), ()

    def __len__(self) -> int:
        return len(self.points_zyx)

    @property
    def positions_angstrom_zyx(self) -> NDArray[np.float64]:
        """Positions in the world: ångström in z, y, x from the centre of voxel (0, 0, 0)."""
        if self.spacing_angstrom is None:
            raise ValueError("picks without a voxel spacing have no position in ångström")
        return self.points_zyx * self.spacing_angstrom

    @property
    def points_xyz(self) -> NDArray[np.float64]:
        """Voxel indices in x, y, z, as most files have them."""
        return np.ascontiguousarray(self.points_zyx[:, ::-1])

    @property
    def rotations_xyz(self) -> NDArray[np.float64] | None:
        """The same rotations acting on x, y, z vectors: rows and columns reversed."""
        return None if self.rotations_zyx is None else np.ascontiguousarray(self.rotations_zyx[:, ::-1, ::-1])

    @cached_property
    def are_oriented(self) -> NDArray[np.bool_]:
        """Which picks have a matrix that is a proper rotation (orthonormal, determinant +1)."""
        if self.rotations_zyx is None:
            return np.zeros(len(self), dtype=bool)
        return are_rotations(self.rotations_zyx)

    @property
    def is_cloud(self) -> bool:
        """Whether they outline instances, as points of a segmentation do, instead of marking particles."""
        ids = self.instance_ids
        return ids is not None and self.rotations_zyx is None and len(self) > 0 and bool((ids != NO_INSTANCE).all())

    def particle_axes_zyx(self, axis: int = 2) -> NDArray[np.float64] | None:
        """Unit vectors (n, 3), z, y, x, of the particles' own x (0), y (1) or z (2) axis; NaN for picks without."""
        if self.rotations_zyx is None:
            return None
        columns = self.rotations_zyx[:, :, 2 - axis]
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return np.asarray(columns / np.linalg.norm(columns, axis=1, keepdims=True))

    def table(self) -> dict[str, NDArray[Any]]:
        """All columns but position and rotation by name, as a layer's features show them."""
        columns: dict[str, NDArray[Any]] = {}
        if self.instance_ids is not None and (self.instance_ids != NO_INSTANCE).any():
            columns["instance_id"] = self.instance_ids
        if self.scores is not None:
            columns["score"] = self.scores
        return columns | {name: column for name, column in self.features.items() if name not in columns}

    def take(self, which: ArrayLike, edit: str = "") -> Picks:
        """Some of the picks, by a mask or by row numbers in any order."""
        rows = np.asarray(which)
        if rows.dtype == bool and len(rows) != len(self):
            raise ValueError(f"a mask of {len(rows)} doesn't fit {len(self)} picks")
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.intp)

        def part(column: NDArray[Any] | None) -> Any:
            if column is None:
                return None
            taken = column[rows]
            taken.setflags(write=False)
            return taken

        columns = {name: part(getattr(self, name)) for name in _COLUMNS}
        features = {name: part(column) for name, column in self.features.items()}
        return self.changed(edit, **columns, features=features)

    def rescaled(self, spacing_angstrom: float, shape_zyx: tuple[int, int, int] | None = None) -> Picks:
        """The same places counted in voxels of another size, with the size of the new grid if it is known."""
        if self.spacing_angstrom is None:
            raise ValueError("picks without a voxel spacing can't be rescaled")
        points = self.points_zyx * (self.spacing_angstrom / _checked_spacing(spacing_angstrom))
        return replace(self, points_zyx=points, spacing_angstrom=spacing_angstrom, shape_zyx=shape_zyx)

    def added(self, points_zyx: ArrayLike, edit: str = "") -> Picks:
        """With further picks at the end, of which only the position is known, in voxels of the picks' own grid."""
        points = np.asarray(points_zyx, dtype=np.float64).reshape(-1, 3)
        count = len(points)
        return self.changed(
            edit,
            points_zyx=np.concatenate([self.points_zyx, points]),
            rotations_zyx=_extended(self.rotations_zyx, count, np.nan),
            instance_ids=_extended(self.instance_ids, count, NO_INSTANCE),
            scores=_extended(self.scores, count, np.nan),
            features={name: _extended(column, count, np.nan) for name, column in self.features.items()},
            ids=np.concatenate([self.ids, np.arange(self.next_id, self.next_id + count)]),
        )

    def changed(self, edit: str = "", **columns: Any) -> Picks:
        """With other values of some attributes, and a note of what was done."""
        return replace(self, **columns, edits=(*self.edits, edit) if edit else self.edits)


def are_rotations(matrices: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of (n, 3, 3) matrices are proper rotations within `ROTATION_TOLERANCE`; NaN ones aren't."""
    with np.errstate(invalid="ignore", over="ignore"):
        identity_error = np.abs(np.swapaxes(matrices, 1, 2) @ matrices - np.eye(3)).max(axis=(1, 2))
        return np.asarray((identity_error <= ROTATION_TOLERANCE) & (np.linalg.det(matrices) > 0), dtype=bool)


def _checked_shape(shape: Any) -> tuple[int, int, int]:
    """Three whole numbers above 0 as a tuple, or ValueError."""
    sizes = tuple(shape) if np.iterable(shape) else ()
    if len(sizes) != 3 or not all(isinstance(size, int | np.integer) and size > 0 for size in sizes):
        raise ValueError(f"shape_zyx must be three whole numbers above 0, not {shape!r}")
    return int(sizes[0]), int(sizes[1]), int(sizes[2])


def _checked_spacing(spacing_angstrom: float) -> float:
    if not 0 < spacing_angstrom < np.inf:
        raise ValueError(f"a voxel can't be {spacing_angstrom} Å wide")
    return float(spacing_angstrom)


def _checked_alignment(alignment_id: Any) -> int:
    if not isinstance(alignment_id, int | np.integer):
        raise TypeError(f"alignment_id must be an int, not {alignment_id!r}")
    return int(alignment_id)


def _refuse_nowhere(points_zyx: NDArray[np.float64]) -> None:
    are_finite = np.isfinite(points_zyx).all(axis=1)
    if not are_finite.all():
        row = int(np.argmin(are_finite))
        z, y, x = points_zyx[row]
        raise ValueError(f"pick {row + 1:,} is nowhere: its place is {z:g}, {y:g}, {x:g} (z, y, x)")


def _frozen(values: Any, dtype: Any, shape: tuple[int, ...], name: str) -> NDArray[Any]:
    """A read-only array of a shape, in which -1 is any length; copied unless it is read-only already."""
    is_frozen = isinstance(values, np.ndarray) and values.flags.owndata and not values.flags.writeable
    given = np.asarray(values)
    if dtype is np.int64:
        _refuse_rounding(given, name)
    array = np.asarray(given, dtype) if is_frozen else np.array(given, dtype)
    if array.size == 0 and shape[0] in (-1, 0):
        array = array.reshape(0, *shape[1:])
    if array.ndim != len(shape) or any(want not in (-1, have) for want, have in zip(shape, array.shape, strict=True)):
        wanted = ", ".join("n" if size == -1 else str(size) for size in shape)
        raise ValueError(f"{name} has the shape {array.shape}, and must have ({wanted})")
    array.setflags(write=False)
    return array


def _refuse_rounding(given: NDArray[Any], name: str) -> None:
    """Raise ValueError if an int64 can't hold a number exactly."""
    try:
        with np.errstate(invalid="ignore"):
            is_exact = bool((given.astype(np.int64) == given).all())
    except (TypeError, ValueError, OverflowError):
        is_exact = False
    if not is_exact:
        raise ValueError(f"{name} must be whole numbers of 64 bits")


def _frozen_or_none(values: Any, dtype: Any, shape: tuple[int, ...], name: str) -> NDArray[Any] | None:
    return None if values is None else _frozen(values, dtype, shape, name)


def _frozen_features(features: Mapping[str, Any], count: int) -> dict[str, NDArray[Any]]:
    for name in features:
        if not isinstance(name, str):
            raise TypeError(f"names of columns are texts, not {name!r}")
    return {name: _frozen(column, None, (count,), name) for name, column in features.items()}


def _extended(column: NDArray[Any] | None, count: int, missing: float) -> Any:
    """A column with more rows, of which nothing is known: for texts and truth values an empty text stands there."""
    if column is None or not count:
        return column
    if column.dtype.kind not in "iuf":
        return np.concatenate([column.astype(object), np.full(count, "", object)])
    return np.concatenate([column, np.full((count, *column.shape[1:]), missing)])
