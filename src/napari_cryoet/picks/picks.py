"""Picks as a frozen dataclass: positions, rotations, instances, scores and features, one row per pick.

Every change creates new picks and is recorded in their `edits`. A pick keeps its id, which links it
to its row in a layer, its line in a file and its verdict in a review.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_cryoet.provenance import Provenance
from napari_cryoet.wording import count_text

if TYPE_CHECKING:
    import pandas as pd

#: The instance id of a pick that belongs to no instance.
NO_INSTANCE: Final = -1
#: Ids are within ±`LARGEST_ID`, in memory and in files, so that added picks can always get a new
#: one.
LARGEST_ID: Final = 2**62
#: Tolerance for rotation matrices; some of the portal's files have only three or four digits.
ROTATION_TOLERANCE: Final = 1e-2

#: Names of columns in tables, for positions in one unit and for the particles' axes.
POSITION_COLUMNS: Final = {
    unit: tuple(f"{axis}_{unit}" for axis in "zyx") for unit in ("voxel", "angstrom", "nanometer")
}
ROTATION_COLUMNS: Final = tuple(f"particle_{own}_axis_{axis}" for axis in "zyx" for own in "zyx")

_COLUMNS: Final = ("points_zyx", "rotations_zyx", "instance_ids", "scores", "ids")


@dataclass(frozen=True, eq=False)
class Picks:
    """Points in one volume. Arrays are read-only; row i of each belongs to pick i.

    Attributes
    ----------
    points_zyx
        float64 (n, 3), voxel indices in the file's grid; integers are voxel centres.
    spacing_angstrom
        Voxel size of that grid; None if unknown.
    rotations_zyx
        float64 (n, 3, 3), active, particle to volume, acting on z, y, x vectors: columns are the particle's z, y and
        x axes. NaN for picks without a rotation; None if no pick has one.
    instance_ids
        int64 (n,), `NO_INSTANCE` for picks without an instance; None if no pick has one.
    scores
        float64 (n,), higher is better, NaN for picks without a score; None if no pick has one.
    features
        Other columns by name.
    ids
        int64 (n,), unique; 0, 1, 2... by default.
    shape_zyx
        Size of the grid in voxels, if known.
    alignment_id
        The portal's alignment that the positions belong to, if known.
    about
        Provenance, or its plain data.
    edits
        Changes since the picks were read, oldest first.
    next_id
        The id for the next added pick, larger than any id used before.
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
    about: Provenance = field(default_factory=Provenance)
    edits: tuple[str, ...] = ()
    next_id: int = 0

    def __post_init__(self) -> None:
        points = _frozen(self.points_zyx, np.float64, (-1, 3), "points_zyx")
        _refuse_infinite(points)
        count = len(points)
        ids_or_none: Any = self.ids
        ids = _frozen(
            np.arange(count) if ids_or_none is None else ids_or_none, np.int64, (count,), "ids"
        )
        in_order = np.sort(ids)  # faster than `np.unique`
        if (in_order[1:] == in_order[:-1]).any() or (
            count and not -LARGEST_ID <= ids.min() <= ids.max() <= LARGEST_ID
        ):
            raise ValueError("ids must be unique and within ±2^62")
        features = {
            name: _frozen(column, None, (count,), name) for name, column in self.features.items()
        }
        values: dict[str, Any] = {
            "points_zyx": points,
            "spacing_angstrom": None
            if self.spacing_angstrom is None
            else _checked_spacing(self.spacing_angstrom),
            "rotations_zyx": _frozen_or_none(
                self.rotations_zyx, np.float64, (count, 3, 3), "rotations_zyx"
            ),
            "instance_ids": _frozen_or_none(self.instance_ids, np.int64, (count,), "instance_ids"),
            "scores": _frozen_or_none(self.scores, np.float64, (count,), "scores"),
            "features": MappingProxyType(features),
            "ids": ids,
            "shape_zyx": None if self.shape_zyx is None else _checked_shape(self.shape_zyx),
            "alignment_id": None if self.alignment_id is None else int(self.alignment_id),
            "about": Provenance.of(self.about),
            "edits": tuple(self.edits),
            "next_id": max(self.next_id, int(ids.max(initial=-1)) + 1),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy with plain dicts: mapping proxies can't be pickled."""
        state = {item.name: getattr(self, item.name) for item in fields(self)}
        state |= {"features": dict(self.features)}
        return partial(Picks, **state), ()

    def __len__(self) -> int:
        return len(self.points_zyx)

    def __repr__(self) -> str:
        width = self.spacing_angstrom
        spacing = "unknown voxel spacing" if width is None else f"{width:g} Å"
        columns = "".join(f", {name}" for name in self.table())
        return f"<Picks {len(self):,}, {spacing}{columns}>"

    @property
    def positions_angstrom_zyx(self) -> NDArray[np.float64]:
        """World positions: ångström in z, y, x from the centre of voxel (0, 0, 0)."""
        if self.spacing_angstrom is None:
            raise ValueError("picks without a voxel spacing have no position in ångström")
        return self.points_zyx * self.spacing_angstrom

    @property
    def points_xyz(self) -> NDArray[np.float64]:
        """Voxel indices in x, y, z."""
        return np.ascontiguousarray(self.points_zyx[:, ::-1])

    @property
    def rotations_xyz(self) -> NDArray[np.float64] | None:
        """The same rotations acting on x, y, z vectors: rows and columns reversed."""
        return (
            None
            if self.rotations_zyx is None
            else np.ascontiguousarray(self.rotations_zyx[:, ::-1, ::-1])
        )

    @cached_property
    def are_oriented(self) -> NDArray[np.bool_]:
        """Mask of picks whose matrix is a proper rotation (orthonormal, determinant +1)."""
        if self.rotations_zyx is None:
            return np.zeros(len(self), dtype=bool)
        return are_rotations(self.rotations_zyx)

    @property
    def is_cloud(self) -> bool:
        """Whether the points outline instances, like points of a segmentation, instead of marking particles."""
        ids = self.instance_ids
        return (
            ids is not None
            and self.rotations_zyx is None
            and len(self) > 0
            and bool((ids != NO_INSTANCE).all())
        )

    def particle_axes_zyx(self, axis: int = 2) -> NDArray[np.float64] | None:
        """Unit vectors (n, 3), z, y, x, along the particles' x (0), y (1) or z (2) axis.

        NaN where unknown.
        """
        if self.rotations_zyx is None:
            return None
        columns = self.rotations_zyx[:, :, 2 - axis]
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return np.asarray(columns / np.linalg.norm(columns, axis=1, keepdims=True))

    def table(self) -> dict[str, NDArray[Any]]:
        """All columns except position and rotation, by name, for a layer's features."""
        columns: dict[str, NDArray[Any]] = {}
        if self.instance_ids is not None and (self.instance_ids != NO_INSTANCE).any():
            columns["instance_id"] = self.instance_ids
        if self.scores is not None:
            columns["score"] = self.scores
        return columns | {
            name: column for name, column in self.features.items() if name not in columns
        }

    def to_dataframe(self) -> pd.DataFrame:
        """All columns as a pandas table, whose column names give axis and unit.

        Positions are 0-based voxel indices, and ångström if the voxel spacing is known. `read_picks`
        turns the table into picks again.
        """
        import pandas as pd

        columns: dict[str, Any] = {"pick_id": self.ids}
        columns |= zip(POSITION_COLUMNS["voxel"], self.points_zyx.T, strict=True)
        if self.spacing_angstrom is not None:
            positions = self.positions_angstrom_zyx.T
            columns |= zip(POSITION_COLUMNS["angstrom"], positions, strict=True)
            columns["voxel_spacing_angstrom"] = np.full(len(self), self.spacing_angstrom)
        if self.rotations_zyx is not None:
            cells = self.rotations_zyx.reshape(-1, 9).T
            columns |= zip(ROTATION_COLUMNS, cells, strict=True)
        if self.scores is not None:
            columns["score"] = self.scores
        if self.instance_ids is not None:
            instances = pd.array(self.instance_ids, dtype="Int64")
            instances[self.instance_ids == NO_INSTANCE] = pd.NA
            columns["instance_id"] = instances
        others = {name: each for name, each in self.features.items() if name not in columns}
        return pd.DataFrame(columns | others)

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p>{self.to_dataframe().to_html(max_rows=8)}"

    def take(self, which: ArrayLike, edit: str = "") -> Picks:
        """Select picks by a mask, or by row numbers in any order."""
        chosen = np.asarray(which)
        rows = np.arange(len(self))[chosen if chosen.dtype == bool else chosen.astype(np.intp)]

        def part(column: NDArray[Any] | None) -> Any:
            if column is None:
                return None
            taken = column[rows]
            taken.setflags(write=False)
            return taken

        columns = {name: part(getattr(self, name)) for name in _COLUMNS}
        features = {name: part(column) for name, column in self.features.items()}
        return self.changed(edit, **columns, features=features)

    def rescaled(
        self, spacing_angstrom: float, shape_zyx: tuple[int, int, int] | None = None
    ) -> Picks:
        """Convert positions to another voxel size.

        ``shape_zyx`` is the size of the new grid, if known.
        """
        if self.spacing_angstrom is None:
            raise ValueError("picks without a voxel spacing can't be rescaled")
        points = self.points_zyx * (self.spacing_angstrom / _checked_spacing(spacing_angstrom))
        return replace(
            self, points_zyx=points, spacing_angstrom=spacing_angstrom, shape_zyx=shape_zyx
        )

    def added(self, points_zyx: ArrayLike, edit: str = "") -> Picks:
        """Append picks at positions in voxels of the same grid; their other values are missing."""
        points = np.asarray(points_zyx, dtype=np.float64).reshape(-1, 3)
        count = len(points)
        return self.changed(
            edit,
            points_zyx=np.concatenate([self.points_zyx, points]),
            rotations_zyx=_extended(self.rotations_zyx, count, np.nan),
            instance_ids=_extended(self.instance_ids, count, NO_INSTANCE),
            scores=_extended(self.scores, count, np.nan),
            features={
                name: _extended(column, count, np.nan) for name, column in self.features.items()
            },
            ids=np.concatenate([self.ids, np.arange(self.next_id, self.next_id + count)]),
        )

    def changed(self, edit: str = "", **columns: Any) -> Picks:
        """Replace some attributes and record the edit."""
        return replace(self, **columns, edits=(*self.edits, edit) if edit else self.edits)


def are_rotations(matrices: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mask of (n, 3, 3) matrices that are proper rotations within `ROTATION_TOLERANCE`.

    NaN ones aren't.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        identity_error = np.abs(np.swapaxes(matrices, 1, 2) @ matrices - np.eye(3)).max(axis=(1, 2))
        return np.asarray(
            (identity_error <= ROTATION_TOLERANCE) & (np.linalg.det(matrices) > 0), dtype=bool
        )


def _checked_shape(shape: Any) -> tuple[int, int, int]:
    """Convert to a tuple of three positive integers, or raise ValueError."""
    sizes = tuple(shape) if np.iterable(shape) else ()
    if len(sizes) != 3 or not all(
        isinstance(size, int | np.integer) and size > 0 for size in sizes
    ):
        raise ValueError(f"shape_zyx must be three whole numbers above 0, not {shape!r}")
    return int(sizes[0]), int(sizes[1]), int(sizes[2])


def _checked_spacing(spacing_angstrom: float) -> float:
    if not 0 < spacing_angstrom < np.inf:
        raise ValueError(f"a voxel can't be {spacing_angstrom} Å wide")
    return float(spacing_angstrom)


def _refuse_infinite(points_zyx: NDArray[np.float64]) -> None:
    are_finite = np.isfinite(points_zyx).all(axis=1)
    if not are_finite.all():
        row = int(np.argmin(are_finite))
        z, y, x = points_zyx[row]
        raise ValueError(f"pick {row + 1:,} has no finite position: {z:g}, {y:g}, {x:g} (z, y, x)")


def _frozen(values: Any, dtype: Any, shape: tuple[int, ...], name: str) -> NDArray[Any]:
    """Convert to a read-only array, copying unless it already is one.

    -1 in ``shape`` allows any length.
    """
    is_frozen = (
        isinstance(values, np.ndarray) and values.flags.owndata and not values.flags.writeable
    )
    unchecked = np.asarray(values)
    if dtype is np.int64:
        _refuse_rounding(unchecked, name)
    array = np.asarray(unchecked, dtype) if is_frozen else np.array(unchecked, dtype)
    if array.size == 0 and shape[0] in (-1, 0):
        array = array.reshape(0, *shape[1:])
    if array.ndim != len(shape) or any(
        want not in (-1, have) for want, have in zip(shape, array.shape, strict=True)
    ):
        wanted = ", ".join("n" if size == -1 else str(size) for size in shape)
        raise ValueError(f"{name} must have the shape ({wanted}), not {array.shape}")
    array.setflags(write=False)
    return array


def _refuse_rounding(numbers: NDArray[Any], name: str) -> None:
    """Raise ValueError for numbers that int64 can't represent exactly."""
    try:
        with np.errstate(invalid="ignore"):
            is_exact = bool((numbers.astype(np.int64) == numbers).all())
    except (TypeError, ValueError, OverflowError):
        is_exact = False
    if not is_exact:
        raise ValueError(f"{name} must be 64-bit integers")


def _frozen_or_none(
    values: Any, dtype: Any, shape: tuple[int, ...], name: str
) -> NDArray[Any] | None:
    return None if values is None else _frozen(values, dtype, shape, name)


def _extended(column: NDArray[Any] | None, count: int, missing: float) -> Any:
    """Append missing values to a column; empty strings to columns of text or booleans."""
    if column is None or not count:
        return column
    if column.dtype.kind not in "iuf":
        return np.concatenate([column.astype(object), np.full(count, "", object)])
    return np.concatenate([column, np.full((count, *column.shape[1:]), missing)])


# what changed


def what_changed(before: Picks, after: Picks) -> str:
    """Describe how ``after`` differs from ``before``, matched by id; empty if they are equal."""
    _, rows_before, rows_after = np.intersect1d(
        before.ids, after.ids, assume_unique=True, return_indices=True
    )

    def differing(one: NDArray[Any], other: NDArray[Any]) -> int:
        differs = ~same_values(one[rows_before], other[rows_after])
        return int(differs.reshape(len(differs), -1).any(axis=1).sum()) if differs.size else 0

    counts = {
        "added": len(after) - len(rows_after),
        "deleted": len(before) - len(rows_before),
        "moved": differing(before.points_zyx, after.points_zyx),
        "turned": differing(_rotations(before), _rotations(after)),
    }
    changes = [f"{verb} {count_text(count, 'pick')}" for verb, count in counts.items() if count]
    one, other = before.table(), after.table()
    for name in dict.fromkeys([*one, *other]):
        count = (
            differing(one[name], other[name]) if name in one and name in other else len(rows_after)
        )
        if count:
            changes.append(f"changed {name} of {count_text(count, 'pick')}")
    if not changes and not np.array_equal(before.ids, after.ids):
        return f"put {count_text(len(after), 'pick')} in another order"
    return ", ".join(changes)


def same_values(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    """Elementwise equality of two columns; missing values equal each other."""
    if "O" in (one.dtype.kind, other.dtype.kind):
        one = _without_na(one)
        other = _without_na(other)
    with np.errstate(invalid="ignore"):
        are_same = np.asarray(one == other, dtype=bool)
        if are_same.all():
            return are_same
        return np.asarray(are_same | ((one != one) & (other != other)), dtype=bool)  # noqa: PLR0124 - NaN


def _without_na(column: NDArray[Any]) -> NDArray[Any]:
    """Replace pandas' NA, which can't be compared, with None."""
    comparable = np.empty(len(column), dtype=object)
    comparable[:] = [
        None if type(value).__name__ == "NAType" else value for value in column.tolist()
    ]
    return comparable


def _rotations(picks: Picks) -> NDArray[np.float64]:
    return (
        np.full((len(picks), 9), np.nan)
        if picks.rotations_zyx is None
        else picks.rotations_zyx.reshape(-1, 9)
    )
