"""Picks of the columns of a table, by the names of these; what they mean is told in `napari_cryoet.formats.tables`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError, MissingContextError
from napari_cryoet.formats.column_types import numbers_in, whole_number
from napari_cryoet.formats.exchange import Context, checked_picks, listed, rounded_scores, with_warnings
from napari_cryoet.picks import NO_INSTANCE, Picks

AXES: Final = "zyx"
SPACING: Final = "voxel_spacing_angstrom"
PICK_ID, INSTANCE_ID, SCORE = "pick_id", "instance_id", "score"
#: How far positions in two units may be apart: as far as rounding to one decimal brings them.
_ROUNDING_VOXELS: Final = 0.1
_ROUNDING_ANGSTROM: Final = 0.5
_ROUNDING_RATIO: Final = 1e-6  # of 32-bit numbers
_UNITS_ANGSTROM: Final = {"angstrom": 1.0, "nanometer": 10.0}
ROTATION: Final = tuple(f"particle_{own}_axis_{axis}" for axis in AXES for own in AXES)
POSITIONS: Final = {unit: tuple(f"{axis}_{unit}" for axis in AXES) for unit in ("voxel", *_UNITS_ANGSTROM)}
#: Columns of a CSV file that napari itself writes.
_NAPARIS_POINTS: Final = frozenset({"index", "axis-0", "axis-1", "axis-2"})
_OTHER_SEPARATORS: Final = {";": "semicolons", "\t": "tabs"}
OWN: Final = frozenset(
    {*ROTATION, *(name for names in POSITIONS.values() for name in names), SPACING, PICK_ID, INSTANCE_ID, SCORE}
)


def picks_of_columns(path: Path, columns: dict[str, NDArray[Any]], context: Context) -> Picks:
    """The picks of a file's columns; raises as `tables.read_csv` does."""
    points_zyx, spacing = _positions(path, columns, context)
    rotations = None
    if all(name in columns for name in ROTATION):
        rotations = np.stack([_numbers(path, columns, name) for name in ROTATION], axis=1).reshape(-1, 3, 3)
    elif any(name in columns for name in ROTATION):
        lacking = [name for name in ROTATION if name not in columns]
        raise FormatError(f"{path.name} has some columns of the particles' axes, but lacks {listed(lacking)}.")
    picks = checked_picks(
        path,
        points_zyx=points_zyx,
        spacing_angstrom=spacing,
        rotations_zyx=rotations,
        instance_ids=_whole(path, columns, INSTANCE_ID, missing=NO_INSTANCE),
        scores=_numbers(path, columns, SCORE) if SCORE in columns else None,
        ids=_whole(path, columns, PICK_ID),
        features={name: column for name, column in columns.items() if name not in OWN},
        shape_zyx=context.shape_zyx,
    )
    lone = [name for names in POSITIONS.values() if not set(names) <= set(columns) for name in names if name in columns]
    said = rounded_scores(columns.get(SCORE))
    if lone:
        said.append(f"Columns of places along some axes only were left out: {listed(lone)}.")
    return with_warnings(picks, *said) if said else picks


def _positions(
    path: Path, columns: Mapping[str, NDArray[Any]], context: Context
) -> tuple[NDArray[np.float64], float | None]:
    """Voxel indices in z, y, x, and the voxel spacing where it is known."""
    own = _own_spacing(path, columns)
    wanted = context.spacing_angstrom
    _refuse_contradictions(path, columns, own if own is not None else wanted)
    for unit, names in POSITIONS.items():
        if not all(name in columns for name in names):
            continue
        values = np.stack([_numbers(path, columns, name) for name in names], axis=1)
        spacing = wanted if wanted is not None else own
        if unit == "voxel":
            return (values if own is None or spacing is None or own == spacing else values * (own / spacing)), spacing
        if spacing is None:
            raise MissingContextError(
                f"{path.name} has its positions in {unit} and doesn't say how wide a voxel is.",
                hint=f"Give the voxel spacing of the tomogram, or add a column {SPACING}.",
                missing=("spacing_angstrom",),
            )
        return values * (_UNITS_ANGSTROM[unit] / spacing), spacing
    raise no_positions(path, list(columns))


def _refuse_contradictions(path: Path, columns: Mapping[str, NDArray[Any]], spacing: float | None) -> None:
    """Raise `FormatError` for the first row whose positions differ from unit to unit."""
    units = [unit for unit, names in POSITIONS.items() if all(name in columns for name in names)]
    if len(units) < 2:
        return
    given = {unit: np.stack([_numbers(path, columns, name) for name in POSITIONS[unit]], axis=1) for unit in units}
    for first, second in itertools.combinations(units, 2):
        width, far, at = _UNITS_ANGSTROM.get(first, 0.0), _ROUNDING_ANGSTROM, ""
        found = given[second] * _UNITS_ANGSTROM[second]
        if first == "voxel":
            width = spacing if spacing is not None and spacing > 0 else _likely_width(given[first], found)
            far, at = _ROUNDING_VOXELS * width, f" at {width:g} Å a voxel"
        expected = given[first] * width
        with np.errstate(invalid="ignore"):
            differ = np.argwhere(np.abs(expected - found) > far + _ROUNDING_RATIO * np.abs(expected))
        if len(differ):
            row, axis = (int(index) for index in differ[0])
            names = [f"{POSITIONS[unit][axis]} {given[unit][row, axis]:.10g}" for unit in (first, second)]
            raise FormatError(
                f"{path.name}, row {row + 1}: {' and '.join(names)} aren't the same place{at}.",
                hint="Remove the columns that are wrong; those of one unit are enough.",
            )


def _likely_width(voxels: NDArray[np.float64], angstrom: NDArray[np.float64]) -> float:
    """The voxel spacing that most positions agree on, where the file doesn't say it: large numbers tell it best."""
    is_telling = (np.abs(voxels) > 0) & np.isfinite(angstrom) & np.isfinite(voxels)
    if not is_telling.any():
        return 1.0
    weights, ratios = np.abs(voxels[is_telling]), angstrom[is_telling] / voxels[is_telling]
    order = np.argsort(ratios)
    shares = np.cumsum(weights[order])
    return float(ratios[order][np.searchsorted(shares, shares[-1] / 2)])


def no_positions(path: Path, names: Sequence[str]) -> FormatError:
    """An error that says why there are no positions in columns of such names."""
    other = next((sign for sign in _OTHER_SEPARATORS if len(names) == 1 and sign in names[0]), None)
    if other is not None:
        return FormatError(
            f"{path.name} separates its columns by {_OTHER_SEPARATORS[other]}, not by commas.",
            hint="Save it with commas between columns, and points in numbers.",
        )
    if set(names) >= _NAPARIS_POINTS:
        return FormatError(
            f"{path.name} was written as napari's own type of points: it has positions in voxels of their layer, but "
            "no rotations, no voxel spacing and nothing of where they come from.",
            hint="Save the layer once more, as the type “CryoET Data Portal Picks” in napari's dialog, or with "
            "Export picks. If it is gone, napari's own reader opens this file.",
        )
    bare = [name for name in names if name.strip().lower() in set(AXES)]
    hint = "Name the columns z_voxel, y_voxel, x_voxel (counted from 0) or z_angstrom, y_angstrom, x_angstrom."
    if bare:
        return FormatError(f"{path.name}: the columns {listed(bare)} don't say what they count.", hint=hint)
    return FormatError(f"{path.name} has no columns of positions (it has {listed(names) or 'none'}).", hint=hint)


def holds_positions(names: Sequence[str]) -> bool:
    """Whether there are columns of positions with a unit."""
    return any(set(wanted) <= set(names) for wanted in POSITIONS.values())


def _own_spacing(path: Path, columns: Mapping[str, NDArray[Any]]) -> float | None:
    if SPACING not in columns or not len(columns[SPACING]):
        return None
    spacings = np.unique(_numbers(path, columns, SPACING))
    if np.isnan(spacings).all():  # an empty column says nothing
        return None
    if len(spacings) > 1:
        raise FormatError(
            f"{path.name} has picks of several voxel spacings "
            f"({listed(['none' if np.isnan(s) else f'{s:g} Å' for s in spacings])})."
        )
    spacing = float(spacings[0])
    if not 0 < spacing < math.inf:
        raise FormatError(f"{path.name} can't be used: a voxel can't be {spacing:g} Å wide, as its {SPACING} says.")
    return spacing


def _numbers(path: Path, columns: Mapping[str, NDArray[Any]], name: str) -> NDArray[np.float64]:
    column = columns[name]
    return column.astype(np.float64) if column.dtype.kind in "iuf" else numbers_in(path, name, column.tolist())


def _whole(
    path: Path, columns: Mapping[str, NDArray[Any]], name: str, missing: int | None = None
) -> NDArray[np.int64] | None:
    if name not in columns:
        return None
    if columns[name].dtype == np.int64:
        return columns[name]
    try:
        values = [whole_number(value, missing) for value in columns[name].tolist()]
        return np.array(values, dtype=np.int64)
    except (TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"{path.name}: {name} isn't a column of whole numbers ({error}).") from error
