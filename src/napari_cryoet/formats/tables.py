"""Picks as a table, CSV or Parquet, whose column names say what they mean: axis, unit and frame.

| columns | meaning |
|---|---|
| ``z_voxel``, ``y_voxel``, ``x_voxel`` | 0-based voxel indices; whole numbers are voxel centres |
| ``z_angstrom``, ``y_angstrom``, ``x_angstrom`` | from the centre of the first voxel; also ``_nanometer`` |
| ``voxel_spacing_angstrom`` | the width of a voxel, the same in all rows |
| ``particle_x_axis_z``, ... (nine) | component along the volume's z of the particle's own x axis |
| ``pick_id``, ``instance_id``, ``score`` | as in `napari_cryoet.picks.Picks`; empty where a pick has none |

Positions in several units must agree, row by row. Any further column is kept as it is. Columns x, y, z without a unit
are refused: nobody knows what they count.
Parquet also keeps units and where picks come from in its metadata, under ``napari_cryoet``.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError, MissingContextError
from napari_cryoet.formats.exchange import (
    MAX_PICKS,
    Context,
    as_kind,
    checked_picks,
    listed,
    numbers_in,
    refuse_unreadable,
    typed,
)
from napari_cryoet.formats.text_columns import (
    in_quotes,
    opened_by_arrow,
    read_separated,
    reals,
    rows_as_text,
    texts_of,
    wholes,
)
from napari_cryoet.picks import NO_INSTANCE, Picks

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

AXES: Final = "zyx"
SPACING: Final = "voxel_spacing_angstrom"
PICK_ID, INSTANCE_ID, SCORE = "pick_id", "instance_id", "score"
METADATA_KEY: Final = b"napari_cryoet"
_HEADER_CHARACTERS: Final = 2**20
_PART_BYTES: Final = 2**24
#: How far positions in two units may be apart: as far as rounding to one decimal brings them.
_ROUNDING_VOXELS: Final = 0.1
_ROUNDING_ANGSTROM: Final = 0.5
_ROUNDING_RATIO: Final = 1e-6  # of 32-bit numbers
_WHOLE_AS_REAL: Final = re.compile(r"[+-]?\d+\.0*")
_UNITS_ANGSTROM: Final = {"angstrom": 1.0, "nanometer": 10.0}
_ROTATION: Final = tuple(f"particle_{own}_axis_{axis}" for axis in AXES for own in AXES)
_POSITIONS: Final = {unit: tuple(f"{axis}_{unit}" for axis in AXES) for unit in ("voxel", *_UNITS_ANGSTROM)}
_OTHER_SEPARATORS: Final = {";": "semicolons", "\t": "tabs"}
_OWN: Final = frozenset(
    {*_ROTATION, *(name for names in _POSITIONS.values() for name in names), SPACING, PICK_ID, INSTANCE_ID, SCORE}
)


def holds_picks_csv(head: str) -> bool:
    """Whether a text starts with a header that has positions with units."""
    return _holds_positions(_header(head))


def _header(text: str) -> list[str]:
    """The names in the first line of a text, as a CSV file has them."""
    lines = io.StringIO(text.removeprefix("\ufeff"), newline="")  # ``splitlines`` knows ends of lines that CSV doesn't
    try:
        return list(map(_recognized, next(csv.reader(lines), [])))
    except csv.Error:
        return []


def _recognized(name: str) -> str:
    """A name without spaces around it where it then is one of ours; any other as it is."""
    return name.strip() if name.strip() in _OWN else name


def holds_picks_parquet(path: Path) -> bool:
    """Whether a Parquet file has columns of positions with units."""
    return _holds_positions(_parquet_schema(path).names)


def read_csv(path: Path, context: Context, kinds: Mapping[str, Any]) -> Picks:
    """The picks of a CSV file.

    Parameters
    ----------
    kinds
        The types of its further columns by name, where they are known; else they are told by their content.

    Raises
    ------
    FormatError
        If there are no positions in it, none with a unit, or such in two units that contradict each other.
    MissingContextError
        If positions are in ångström and the voxel spacing isn't known.
    """
    import pandas as pd

    refuse_unreadable(path)
    kinds = {name: kind for name, kind in kinds.items() if name not in _OWN}  # of a further column that was left out
    columns = _even_columns(path)
    if columns is not None:
        return _picks(path, {name: _column(name, texts, kinds.get(name)) for name, texts in columns.items()}, context)
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        with path.open(encoding="utf-8-sig", newline="") as file:
            names = _header(file.readline(_HEADER_CHARACTERS))
    except (ValueError, UnicodeDecodeError) as error:
        raise FormatError(f"{path.name} is no CSV file that can be read ({error}).") from error
    if len(names) == 1 and not _holds_positions(names):
        raise _no_positions(path, names)
    if not isinstance(table.index, pd.RangeIndex):  # the library has taken the first column for names of the rows
        raise FormatError(
            f"{path.name} has more values in a row than names of columns, so nobody knows which is which.",
            hint="Give each column a name, and remove a comma at the end of the rows.",
        )
    table.columns = [_recognized(str(name)) for name in table.columns]
    twice = [name for name in sorted(_OWN) if names.count(name) > 1]
    if twice:
        raise FormatError(f"{path.name} has several columns called {listed(twice)}.")
    columns = {str(name): texts_of(table[name]) for name in table}
    return _picks(path, {name: _column(name, texts, kinds.get(name)) for name, texts in columns.items()}, context)


def _even_columns(path: Path) -> dict[str, pa.ChunkedArray] | None:
    """The texts of all columns, where each row has one for each; None where something has to be said of the file."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            names = _header(file.readline(_HEADER_CHARACTERS))
    except (ValueError, OSError):
        return None
    if len(set(names)) < len(names) or not _holds_positions(names) or _may_have_open_quotes(path):
        return None
    return read_separated(path, names, separator=",", skip_rows=1)


def _may_have_open_quotes(path: Path) -> bool:
    """Whether a text in quotes may have no end; Arrow would take all rows after it for a part of it."""
    with path.open("rb") as file:
        return bool(sum(part.count(b'"') for part in iter(lambda: file.read(_PART_BYTES), b"")) % 2)


def read_parquet(path: Path, context: Context) -> Picks:
    """The picks of a Parquet file; raises as `read_csv` does."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    refuse_unreadable(path, is_text=False)
    try:
        with opened_by_arrow(path) as file:
            count = pq.read_metadata(file).num_rows
            if count > MAX_PICKS:  # compressed, any number of them takes next to nothing
                raise FormatError(f"{path.name} has more than {MAX_PICKS:,} picks.")
            table = pq.read_table(file)
        columns = {name: _of_arrow(table.column(name)) for name in table.column_names}
    except (OSError, ValueError, pa.ArrowException) as error:
        raise FormatError(f"{path.name} is no Parquet file that can be read ({error}).") from error
    return _picks(path, columns, context)


def read_parquet_notes(path: Path) -> dict[str, Any]:
    """What an export of ours says of itself in its metadata; empty where there is nothing."""
    content = (_parquet_schema(path).metadata or {}).get(METADATA_KEY)
    try:
        notes = json.loads(content) if content else {}
    except (ValueError, RecursionError):
        return {}
    return notes if isinstance(notes, dict) else {}


def losses(picks: Picks) -> list[str]:
    """What a table can't hold, in words."""
    taken = [name for name in picks.features if _recognized(name) in _OWN]
    return [f"Columns called {listed(taken)} would be taken for something else; they are left out."] if taken else []


def write_csv(picks: Picks, path: Path) -> None:
    """Write a CSV file in UTF-8, with all digits."""
    import pyarrow as pa

    frame = _frame(picks)
    with path.open("wb") as file:
        names = in_quotes(pa.array(list(frame.columns), pa.string())).to_pylist()
        file.write(f"{','.join(names)}\n".encode())
        file.writelines(rows_as_text(dict(frame.items()), separator=",", missing="", quoted=in_quotes))


def write_parquet(picks: Picks, path: Path, notes: Mapping[str, Any]) -> None:
    """Write a Parquet file; units of the columns and ``notes``, plain data, go into its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(_frame(picks), preserve_index=False)
    units = {name: unit for unit, names in _POSITIONS.items() for name in names} | {SPACING: "angstrom"}
    fields = [
        field.with_metadata({"unit": units[field.name]}) if field.name in units else field for field in table.schema
    ]
    metadata = {METADATA_KEY: json.dumps(dict(notes), default=str).encode()}
    with path.open("wb") as file:
        pq.write_table(table.cast(pa.schema(fields, metadata=metadata)), file)


def _frame(picks: Picks) -> pd.DataFrame:
    import pandas as pd

    columns: dict[str, Any] = {PICK_ID: picks.ids}
    columns |= dict(zip(_POSITIONS["voxel"], picks.points_zyx.T, strict=True))
    if picks.spacing_angstrom is not None:
        columns |= dict(zip(_POSITIONS["angstrom"], picks.positions_angstrom_zyx.T, strict=True))
        columns[SPACING] = np.full(len(picks), picks.spacing_angstrom)
    if picks.rotations_zyx is not None:
        columns |= dict(zip(_ROTATION, picks.rotations_zyx.reshape(-1, 9).T, strict=True))
    if picks.instance_ids is not None:
        missing = picks.instance_ids == NO_INSTANCE
        columns[INSTANCE_ID] = pd.array(picks.instance_ids, dtype="Int64")
        columns[INSTANCE_ID][missing] = pd.NA
    if picks.scores is not None:
        columns[SCORE] = picks.scores
    columns |= {name: column for name, column in picks.features.items() if _recognized(name) not in _OWN}
    return pd.DataFrame(columns)


def _picks(path: Path, columns: dict[str, NDArray[Any]], context: Context) -> Picks:
    points_zyx, spacing = _positions(path, columns, context)
    rotations = None
    if all(name in columns for name in _ROTATION):
        rotations = np.stack([_numbers(path, columns, name) for name in _ROTATION], axis=1).reshape(-1, 3, 3)
    elif any(name in columns for name in _ROTATION):
        lacking = [name for name in _ROTATION if name not in columns]
        raise FormatError(f"{path.name} has some columns of the particles' axes, but lacks {listed(lacking)}.")
    return checked_picks(
        path,
        points_zyx=points_zyx,
        spacing_angstrom=spacing,
        rotations_zyx=rotations,
        instance_ids=_whole(path, columns, INSTANCE_ID, missing=NO_INSTANCE),
        scores=_numbers(path, columns, SCORE) if SCORE in columns else None,
        ids=_whole(path, columns, PICK_ID),
        features={name: column for name, column in columns.items() if name not in _OWN},
        shape_zyx=context.shape_zyx,
    )


def _positions(
    path: Path, columns: Mapping[str, NDArray[Any]], context: Context
) -> tuple[NDArray[np.float64], float | None]:
    """Voxel indices in z, y, x, and the voxel spacing where it is known."""
    own = _own_spacing(path, columns)
    wanted = context.spacing_angstrom
    _refuse_contradictions(path, columns, own if own is not None else wanted)
    for unit, names in _POSITIONS.items():
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
    raise _no_positions(path, list(columns))


def _refuse_contradictions(path: Path, columns: Mapping[str, NDArray[Any]], spacing: float | None) -> None:
    """Raise `FormatError` for the first row whose positions differ from unit to unit."""
    units = [unit for unit, names in _POSITIONS.items() if all(name in columns for name in names)]
    if len(units) < 2:
        return
    given = {unit: np.stack([_numbers(path, columns, name) for name in _POSITIONS[unit]], axis=1) for unit in units}
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
            names = [f"{_POSITIONS[unit][axis]} {given[unit][row, axis]:.10g}" for unit in (first, second)]
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


def _no_positions(path: Path, names: Sequence[str]) -> FormatError:
    other = next((sign for sign in _OTHER_SEPARATORS if len(names) == 1 and sign in names[0]), None)
    if other is not None:
        return FormatError(
            f"{path.name} separates its columns by {_OTHER_SEPARATORS[other]}, not by commas.",
            hint="Save it with commas between columns, and points in numbers.",
        )
    bare = [name for name in names if name.strip().lower() in set(AXES)]
    hint = "Name the columns z_voxel, y_voxel, x_voxel (counted from 0) or z_angstrom, y_angstrom, x_angstrom."
    if bare:
        return FormatError(f"{path.name}: the columns {listed(bare)} don't say what they count.", hint=hint)
    return FormatError(f"{path.name} has no columns of positions (it has {listed(names) or 'none'}).", hint=hint)


def _holds_positions(names: Sequence[str]) -> bool:
    return any(set(wanted) <= set(names) for wanted in _POSITIONS.values())


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
        values = [_whole_number(value, missing) for value in columns[name].tolist()]
        return np.array(values, dtype=np.int64)
    except (TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"{path.name}: {name} isn't a column of whole numbers ({error}).") from error


def _whole_number(value: Any, missing: int | None) -> int:
    is_missing = value is None or value == "" or (isinstance(value, float) and math.isnan(value))
    if is_missing and missing is not None:
        return missing
    if isinstance(value, str) and _WHOLE_AS_REAL.fullmatch(value):  # as pandas writes a column that has gaps
        value = value.split(".")[0]
    if isinstance(value, float) and value != int(value):
        raise ValueError(f"{value} is not whole")
    return int(value)


def _column(name: str, texts: pa.ChunkedArray, kind: object) -> NDArray[Any]:
    """A column of a CSV file; instances and ids with gaps stay texts, since they would lose digits as numbers."""
    whole = wholes(texts) if kind is None or kind == "whole" else None
    if whole is not None:
        return whole
    if name in {INSTANCE_ID, PICK_ID}:
        return np.array(texts.to_pylist(), dtype=object)
    real = reals(texts) if kind == "real" else None
    if real is not None:
        return real
    return typed(texts) if kind is None else as_kind(np.array(texts.to_pylist(), dtype=object), kind)


def _of_arrow(column: Any) -> NDArray[Any]:
    import pyarrow as pa

    if len(column) and (pa.types.is_floating(column.type) or (_is_plain(column.type) and not column.null_count)):
        return np.array(column.to_numpy())
    values = column.to_pylist()
    present = [value for value in values if value is not None]
    if len(present) == len(values) and values and all(isinstance(value, int | float | bool) for value in values):
        return np.asarray(column.to_numpy())
    if present and all(isinstance(value, float) for value in present):
        return np.array([math.nan if value is None else value for value in values])
    if present and all(isinstance(value, int) for value in present):
        return np.array(values, dtype=object)
    return np.array(["" if value is None else str(value) for value in values], dtype=object)


def _is_plain(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _parquet_schema(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with opened_by_arrow(path) as file:
            return pq.read_schema(file)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise FormatError(f"{path.name} is no Parquet file that can be read ({error}).") from error
