"""Picks: the points of one annotation with all that is known of each, as one value that never changes.

Whatever changes picks makes new ones, and says so in their `edits`. A pick keeps its id through all of it, so that a
decision about a pick, its row in a layer and its line in a file can be told to be of the same one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_cryoet.expecting import expect, expect_number, expect_texts
from napari_cryoet.frozen_columns import frozen, frozen_columns, frozen_or_none
from napari_cryoet.table_rows import are_unique, spans_of, taken

#: The instance id of a pick that belongs to no instance.
NO_INSTANCE: Final = -1
#: Under this name `Picks.about` may list further columns that count in voxels of the picks' grid, as positions do.
IN_VOXELS: Final = "columns_in_voxels"
_COLUMNS: Final = ("points_zyx", "rotations_zyx", "instance_ids", "scores", "ids")
#: How far a matrix may be from a rotation; the portal's files keep three or four digits at worst.
ROTATION_TOLERANCE: Final = 1e-2


@dataclass(frozen=True, slots=True, eq=False)
class Picks:
    """Points of one volume. Arrays are read-only; rows of all of them are the same picks.

    Attributes
    ----------
    points_zyx
        float64 (n, 3), voxel indices in the grid of the file that they come from; whole numbers are voxel centres.
    spacing_angstrom
        The width of a voxel of that grid; None where nobody said it.
    rotations_zyx
        float64 (n, 3, 3), active, particle to volume, acting on z, y, x vectors: columns are the particle's z, y and
        x axis. NaN for picks without. None where no pick has one.
    instance_ids
        int64 (n,), `NO_INSTANCE` for picks without. None where no pick has one.
    scores
        float64 (n,), higher is better, NaN for picks without. None where no pick has one.
    features
        Any further column by name, one value a pick.
    ids
        int64 (n,), unique; by default 0, 1, 2...
    shape_zyx
        The size of the grid in voxels, where it is known.
    alignment_id
        Of the portal's alignment that the positions belong to, where it is known.
    about
        Where the picks come from: plain data, as `provenance` makes it.
    edits
        What was done to them since they were read, in words, oldest first.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If a value is none that the attribute can have, or a column isn't as long as the points; it says which.
    """

    points_zyx: NDArray[np.float64]
    spacing_angstrom: float | None = None
    rotations_zyx: NDArray[np.float64] | None = None
    instance_ids: NDArray[np.int64] | None = None
    scores: NDArray[np.float64] | None = None
    features: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    ids: NDArray[np.int64] = None  # type: ignore[assignment] # None is taken for 0, 1, 2..., and nobody ever sees it
    shape_zyx: tuple[int, int, int] | None = None
    alignment_id: int | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    edits: tuple[str, ...] = ()
    _oriented: NDArray[np.bool_] | None = field(default=None, init=False, repr=False)
    _next_id: int = field(default=0, init=False, repr=False)  # larger than that of any pick that ever was among them

    def __post_init__(self) -> None:
        points = frozen(self.points_zyx, np.float64, (-1, 3), "points_zyx")
        count = len(points)
        if not np.isfinite(points).all():
            raise ValueError(_nowhere(points))
        spacing = self.spacing_angstrom
        if spacing is not None:
            expect_number(spacing, "spacing_angstrom")
        if spacing is not None and not 0 < spacing < np.inf:
            raise ValueError(f"a voxel can't be {spacing} Å wide")
        if self.shape_zyx is not None and not _is_shape(self.shape_zyx):
            raise ValueError(f"shape_zyx must be three whole numbers above 0, not {self.shape_zyx!r}")
        alignment_id: Any = self.alignment_id
        ids: Any = self.ids
        if alignment_id is not None:
            expect(alignment_id, (int, np.integer), "alignment_id")
        plain = {  # numbers of numpy's are no numbers to JSON
            "spacing_angstrom": None if spacing is None else float(spacing),
            "shape_zyx": None if self.shape_zyx is None else tuple(map(int, self.shape_zyx)),
            "alignment_id": None if alignment_id is None else int(alignment_id),
        }
        columns: dict[str, Any] = plain | {
            "points_zyx": points,
            "rotations_zyx": frozen_or_none(self.rotations_zyx, np.float64, (count, 3, 3), "rotations_zyx"),
            "instance_ids": frozen_or_none(self.instance_ids, np.int64, (count,), "instance_ids"),
            "scores": frozen_or_none(self.scores, np.float64, (count,), "scores"),
            "ids": frozen(np.arange(count) if ids is None else ids, np.int64, (count,), "ids"),
            "features": MappingProxyType(frozen_columns(self.features, count)),
            "about": MappingProxyType(dict(self.about)),
            "edits": expect_texts(self.edits, "edits"),
        }
        if not are_unique(columns["ids"]):
            raise ValueError("ids must be unique")
        for name, value in columns.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_next_id", int(columns["ids"].max(initial=-1)) + 1)

    def __reduce__(self) -> tuple[Any, ...]:
        """For copies and other processes, which can take no views of dictionaries.

        Not ``__getstate__``: in Python 3.11, frozen dataclasses with slots replace it by their own.
        """
        state = {each.name: getattr(self, each.name) for each in fields(self)}
        plain = {name: dict(value) if isinstance(value, MappingProxyType) else value for name, value in state.items()}
        return _made_again, (plain,)

    def __len__(self) -> int:
        return len(self.points_zyx)

    # what they are

    @property
    def positions_angstrom_zyx(self) -> NDArray[np.float64]:
        """Where they are in the world: ångström in z, y, x from the centre of voxel (0, 0, 0)."""
        if self.spacing_angstrom is None:
            raise ValueError("without a voxel spacing, picks have no place in ångström")
        return self.points_zyx * self.spacing_angstrom

    @property
    def points_xyz(self) -> NDArray[np.float64]:
        """Voxel indices as most files have them: x, y, z."""
        return np.ascontiguousarray(self.points_zyx[:, ::-1])

    @property
    def rotations_xyz(self) -> NDArray[np.float64] | None:
        """The same rotations acting on x, y, z vectors: rows and columns reversed."""
        return None if self.rotations_zyx is None else np.ascontiguousarray(self.rotations_zyx[:, ::-1, ::-1])

    @property
    def are_oriented(self) -> NDArray[np.bool_]:
        """For each pick, whether it has a matrix that is a proper rotation (orthonormal, determinant +1)."""
        if self._oriented is None:
            nothing = np.zeros(len(self), dtype=bool)
            oriented = nothing if self.rotations_zyx is None else are_rotations(self.rotations_zyx)
            oriented.setflags(write=False)
            object.__setattr__(self, "_oriented", oriented)  # picks never change, so this is asked for once
        assert self._oriented is not None  # noqa: S101 - see above
        return self._oriented

    @property
    def is_cloud(self) -> bool:
        """Whether they outline instances, as points of an instance segmentation do, instead of marking particles."""
        ids = self.instance_ids
        return ids is not None and self.rotations_zyx is None and len(self) > 0 and bool((ids != NO_INSTANCE).all())

    def particle_axes_zyx(self, axis: int = 2) -> NDArray[np.float64] | None:
        """Unit vectors (n, 3), z, y, x, of the particles' own x (0), y (1) or z (2) axis; NaN for picks without."""
        if self.rotations_zyx is None:
            return None
        columns = self.rotations_zyx[:, :, 2 - axis]
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            lengths = np.sqrt(np.einsum("ij,ij->i", columns, columns))  # twice as quick as numpy's norm
            axes_zyx: NDArray[np.float64] = columns / lengths[:, None]
        return axes_zyx

    def table(self) -> dict[str, NDArray[Any]]:
        """One column a property but place and rotation, by name, as a layer's features show them."""
        columns: dict[str, NDArray[Any]] = {}
        if self.instance_ids is not None and (self.instance_ids != NO_INSTANCE).any():
            columns["instance_id"] = self.instance_ids
        if self.scores is not None:
            columns["score"] = self.scores
        return columns | {name: column for name, column in self.features.items() if name not in columns}

    # what can be made of them

    def take(self, which: ArrayLike, edit: str = "") -> Picks:
        """Some of them, by a mask or by row numbers in a new order, with what was done in words.

        Raises
        ------
        ValueError
            If a mask is longer or shorter than the picks.
        IndexError
            If there is no such row.
        """
        rows = np.asarray(which)
        if rows.dtype == bool and len(rows) != len(self):
            raise ValueError(f"a mask of {len(rows)} doesn't fit {len(self)} picks")
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.intp)
        spans = spans_of(rows, len(self))

        def part(column: NDArray[Any] | None) -> Any:
            if column is None:
                return None
            found = taken(column, rows, spans)
            found.setflags(write=False)  # so that it isn't copied once more
            return found

        columns = {name: part(getattr(self, name)) for name in _COLUMNS}
        features = {name: part(column) for name, column in self.features.items()}
        chosen = self._with(**columns, features=features, edits=self._edits(edit))
        object.__setattr__(chosen, "_oriented", part(self._oriented))
        return chosen

    def rescaled(self, spacing_angstrom: float, shape_zyx: tuple[int, int, int] | None = None) -> Picks:
        """The same places in ångström, counted in voxels of another width, as are columns that count in them.

        Parameters
        ----------
        spacing_angstrom
            The width of these voxels.
        shape_zyx
            The size of their grid, where it is known; that of the old grid isn't kept.

        Raises
        ------
        ValueError
            If the picks have no voxel spacing, or the new one can't be one.
        """
        if self.spacing_angstrom is None:
            raise ValueError("picks without a voxel spacing can't be rescaled")
        expect_number(spacing_angstrom, "spacing_angstrom")
        if not 0 < spacing_angstrom < np.inf:
            raise ValueError(f"a voxel can't be {spacing_angstrom} Å wide")
        factor = self.spacing_angstrom / spacing_angstrom
        features, grid = dict(self.features), {"spacing_angstrom": spacing_angstrom, "shape_zyx": shape_zyx}
        for name in self.about.get(IN_VOXELS, ()):
            if name in features and features[name].dtype.kind in "iuf":
                features[name] = features[name] * factor
        return self._with(points_zyx=self.points_zyx * factor, features=features, **grid)

    def added(self, points_zyx: ArrayLike, edit: str = "") -> Picks:
        """With further picks at the end, of which nothing but the place is known; no pick before had their ids.

        Parameters
        ----------
        points_zyx
            (n, 3) voxel indices in the picks' own grid.
        edit
            What was done, in words.
        """
        places = np.asarray(points_zyx, dtype=np.float64).reshape(-1, 3)
        ids = np.arange(self._next_id, self._next_id + len(places))
        return joined([self, Picks(places, self.spacing_angstrom, ids=ids)], edit)

    def changed(self, edit: str = "", **columns: Any) -> Picks:
        """With other values of some attributes, by name, and what was done in words.

        Raises
        ------
        ValueError
            If a value has not the shape that the attribute has.
        """
        other = self._with(**columns, edits=self._edits(edit))
        if other.rotations_zyx is self.rotations_zyx and len(other) == len(self):  # of picks without, both are None
            object.__setattr__(other, "_oriented", self._oriented)
        return other

    def without_ids_below(self, next_id: int) -> Picks:
        """The same picks; what is added to them later gets no smaller ids."""
        if next_id <= self._next_id:
            return self
        same = self.changed()
        object.__setattr__(same, "_next_id", next_id)
        return same

    def _edits(self, edit: str) -> tuple[str, ...]:
        return (*self.edits, edit) if edit else self.edits

    def _with(self, **columns: Any) -> Picks:
        """Others that remember which ids were ever given."""
        other = replace(self, **columns)
        object.__setattr__(other, "_next_id", max(self._next_id, other._next_id))
        return other


def _nowhere(points_zyx: NDArray[np.float64]) -> str:
    """Which of some positions is none, in words for those who never saw a script, too."""
    row = int(np.argmin(np.isfinite(points_zyx).all(axis=1)))
    z, y, x = points_zyx[row]
    return f"pick {row + 1:,} is nowhere: its place is {z:g}, {y:g}, {x:g} (z, y, x)"


def _made_again(state: dict[str, Any]) -> Picks:
    """Picks of what `Picks.__reduce__` gives; arrays come back writable, and are made read-only again."""
    picks = object.__new__(Picks)
    for array in (*state.values(), *state["features"].values()):
        if isinstance(array, np.ndarray):
            array.setflags(write=False)
    for name, value in state.items():
        object.__setattr__(picks, name, MappingProxyType(value) if isinstance(value, dict) else value)
    return picks


def joined(parts: Sequence[Picks], edit: str = "") -> Picks:
    """All picks of several sets in the grid of the first, which also says where they come from.

    Ids that a part shares with one before it are replaced by fresh ones.

    Raises
    ------
    ValueError
        If some have a voxel spacing and others none, or they are known to be of several alignments, whose positions
        don't fit one tomogram.
    """
    first = parts[0]
    alignments = sorted({part.alignment_id for part in parts if part.alignment_id is not None})
    if len(alignments) > 1:
        raise ValueError(f"picks of several alignments ({', '.join(map(str, alignments))}) can't be joined")
    placed = [first, *(_in_grid_of(first, part) for part in parts[1:])]
    names = list(dict.fromkeys(name for part in placed for name in part.features))
    in_voxels = list(dict.fromkeys(name for part in placed for name in part.about.get(IN_VOXELS, ())))
    return first.changed(
        edit,
        about=dict(first.about) | ({IN_VOXELS: in_voxels} if in_voxels else {}),
        points_zyx=np.concatenate([part.points_zyx for part in placed]),
        rotations_zyx=_stacked(placed, "rotations_zyx", np.nan, (3, 3), np.float64),
        instance_ids=_stacked(placed, "instance_ids", NO_INSTANCE, (), np.int64),
        scores=_stacked(placed, "scores", np.nan, (), np.float64),
        features={name: _joined_column([part.features.get(name) for part in placed], placed) for name in names},
        ids=_unique_ids([part.ids for part in placed], max(part._next_id for part in placed)),
    )


def are_rotations(matrices: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of (n, 3, 3) matrices are orthonormal with determinant +1, within `ROTATION_TOLERANCE`; NaN ones aren't."""
    with np.errstate(invalid="ignore", over="ignore"):
        identity_error = np.abs(np.swapaxes(matrices, 1, 2) @ matrices - np.eye(3)).max(axis=(1, 2))
        return np.asarray((identity_error <= ROTATION_TOLERANCE) & (np.linalg.det(matrices) > 0), dtype=bool)


def _in_grid_of(first: Picks, part: Picks) -> Picks:
    if part.spacing_angstrom == first.spacing_angstrom:
        return part
    if first.spacing_angstrom is None or part.spacing_angstrom is None:
        raise ValueError("picks with and without a voxel spacing can't be joined")
    return part.rescaled(first.spacing_angstrom)


def _stacked(parts: Sequence[Picks], name: str, missing: float, shape: tuple[int, ...], dtype: Any) -> Any:
    """One attribute of all parts, filled where a part lacks it; None where all do."""
    columns = [getattr(part, name) for part in parts]
    if all(column is None for column in columns):
        return None
    return np.concatenate(
        [
            np.full((len(part), *shape), missing, dtype=dtype) if column is None else column
            for part, column in zip(parts, columns, strict=True)
        ]
    )


def _joined_column(columns: Sequence[NDArray[Any] | None], parts: Sequence[Picks]) -> NDArray[Any]:
    """A column of all parts: of its own type where all have it, else with NaN or "" where a part lacks it."""
    present = [column for column in columns if column is not None]
    is_whole = len(present) == len(columns) or all(
        column is not None or len(part) == 0 for column, part in zip(columns, parts, strict=True)
    )
    kinds = {column.dtype.kind for column in present}
    if kinds <= set("iufb") and (is_whole or "b" not in kinds):
        if is_whole and len({column.dtype for column in present}) == 1:
            return np.concatenate(present)
        filled = [
            np.full(len(part), np.nan) if column is None else column
            for column, part in zip(columns, parts, strict=True)
        ]
        return np.concatenate(filled)
    return np.concatenate(
        [
            np.full(len(part), "", dtype=object) if column is None else column.astype(object)
            for column, part in zip(columns, parts, strict=True)
        ]
    )


def _unique_ids(parts: Iterable[NDArray[np.int64]], next_id: int) -> NDArray[np.int64]:
    """All ids; those that are there already are replaced by fresh ones, counted from ``next_id``."""
    found = np.empty(0, dtype=np.int64)
    for ids in parts:
        is_taken = np.isin(ids, found)
        fresh = ids.copy()
        fresh[is_taken] = np.arange(next_id, next_id + is_taken.sum())
        next_id += int(is_taken.sum())
        found = np.concatenate([found, fresh])
    return found


def _is_shape(shape: Any) -> bool:
    is_triple = isinstance(shape, tuple | list) and len(shape) == 3
    return is_triple and all(isinstance(size, int | np.integer) and size > 0 for size in shape)
