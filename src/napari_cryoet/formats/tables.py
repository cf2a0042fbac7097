"""Picks as CSV or Parquet tables, whose column names give axis, unit and frame.

| columns | meaning |
|---|---|
| ``z_voxel``, ``y_voxel``, ``x_voxel`` | 0-based voxel indices; integers are voxel centres |
| ``z_angstrom``, ``y_angstrom``, ``x_angstrom`` | from the centre of the first voxel; also ``_nanometer``, ``Z [A]`` |
| ``voxel_spacing_angstrom`` | the voxel size, the same in all rows |
| ``particle_x_axis_z``, ... (nine) | z component of the particle's x axis, in the volume's frame |
| ``pick_id``, ``instance_id``, ``score`` | as in `Picks`; empty if a pick has none |

Positions in several units must agree. Other columns are kept. Columns x, y, z without a unit are
refused, unless the caller gives the unit.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError
from napari_cryoet.formats.common import (
    MAX_PICKS,
    Context,
    lacking,
    listed,
    numbers_of,
    picks_of_file,
    plain_columns,
    read_text,
    whole_numbers_of,
)
from napari_cryoet.picks import NO_INSTANCE, Picks
from napari_cryoet.picks.picks import POSITION_COLUMNS, ROTATION_COLUMNS
from napari_cryoet.wording import brief

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_UNITS_ANGSTROM: Final = {"angstrom": 1.0, "nanometer": 10.0}
_SPACING: Final = "voxel_spacing_angstrom"
_PICK_ID: Final = "pick_id"
_INSTANCE_ID: Final = "instance_id"
_SCORE: Final = "score"
_OWN: Final = frozenset(
    {
        *ROTATION_COLUMNS,
        *(name for names in POSITION_COLUMNS.values() for name in names),
        _SPACING,
        _PICK_ID,
        _INSTANCE_ID,
        _SCORE,
    }
)
#: Other programs' names for positions in ångström and nanometres: ``X [A]``, ``x (Å)``, ``Z[nm]``.
_OTHER_SPELLING: Final = re.compile(
    r"([xyz])\s*[\[(]\s*(?:(å|a|ang|angstroms?)|(nm))\s*[\])]", re.IGNORECASE
)
_SEPARATORS: Final = ",;\t"
_PARQUET: Final = b"PAR1"  # the first bytes of a file
_MISSING: Final = ["", "NA", "NaN", "nan"]
#: Tolerance between positions in two units, in voxels; allows for rounding to one decimal.
_ROUNDING_VOXELS: Final = 0.5


def holds(path: Path, head: bytes) -> bool:
    """Whether a table has position columns with a unit."""
    if head.startswith(_PARQUET):
        return _has_positions(_read_parquet(path).schema.names)
    first_line = head.decode("utf-8-sig", errors="replace").partition("\n")[0]
    return _has_positions(next(csv.reader([first_line], delimiter=_separator(head)), []))


def read(path: Path, context: Context) -> Picks:
    """Read a table; its own voxel spacing takes precedence over the context's."""
    with path.open("rb") as file:
        is_parquet = file.read(len(_PARQUET)) == _PARQUET or path.suffix.lower() == ".parquet"
    table = _read_parquet(path) if is_parquet else _read_csv(path)
    return picks_of_frame(path, table.to_pandas(), context)


def _read_csv(path: Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    content = read_text(path).encode()
    try:
        return arrow_csv.read_csv(
            pa.BufferReader(content),
            arrow_csv.ReadOptions(
                block_size=len(content) + 1
            ),  # column types are inferred from the first block
            arrow_csv.ParseOptions(delimiter=_separator(content), newlines_in_values=True),
            arrow_csv.ConvertOptions(null_values=_MISSING, strings_can_be_null=True),
        )
    except pa.ArrowException as error:
        raise FormatError(f"{path.name} isn't a valid CSV file ({brief(error)}).") from error


def _read_parquet(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # read at once: Arrow's threads may keep files open until exit
        file = pq.ParquetFile(pa.BufferReader(path.read_bytes()))
        if file.metadata.num_rows > MAX_PICKS:  # a small compressed file can have billions of rows
            raise ValueError(f"more than {MAX_PICKS:,} picks")
        return file.read()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise FormatError(f"{path.name} isn't a valid Parquet file ({brief(error)}).") from error


def losses(picks: Picks, _name: str) -> list[str]:
    """Warnings about data that a table can't hold."""
    taken = [name for name in picks.features if _recognized(name) in _OWN]
    return [f"Columns named {listed(taken)} would be misread; they are left out."] if taken else []


def write(picks: Picks, path: Path, _final_path: Path, name: str) -> None:
    """Write a "csv" in UTF-8 or a "parquet" file, with full precision."""
    write_table(arrow_table(picks), path, name)


def write_table(table: pa.Table, path: Path, name: str) -> None:
    """Write an Arrow table as "csv" or "parquet"."""
    from pyarrow import csv as arrow_csv
    from pyarrow import parquet

    with path.open("wb") as file:
        if name == "csv":
            arrow_csv.write_csv(table, file, arrow_csv.WriteOptions(quoting_style="needed"))
        else:
            parquet.write_table(table, file)


def _separator(content: bytes) -> str:
    """The separator in the first line."""
    return max(_SEPARATORS, key=content.partition(b"\n")[0].decode(errors="replace").count)


def _recognized(name: str) -> str:
    """Convert a column name to ours if it means the same; else return it unchanged."""
    match = _OTHER_SPELLING.fullmatch(name.strip())
    if match:
        return f"{match[1].lower()}_{'angstrom' if match[2] else 'nanometer'}"
    return name.strip() if name.strip() in _OWN else name


def _has_positions(names: Sequence[str]) -> bool:
    return any(
        set(wanted) <= {_recognized(name) for name in names} for wanted in POSITION_COLUMNS.values()
    )


def picks_of_frame(path: Path, table: pd.DataFrame, context: Context) -> Picks:
    """Convert a table to picks; ``path`` names it in errors."""
    names = [_recognized(name) for name in table.columns]
    if context.unit is not None and not _has_positions(names):
        names = [
            f"{name.lower()}_{context.unit}" if name.lower() in {"z", "y", "x"} else name
            for name in names
        ]
    if len(set(names)) < len(names):
        raise FormatError(f"{path.name} has several columns with the same name.")
    table = table.set_axis(names, axis=1)
    points_zyx, spacing = _positions(path, table, context)
    absent = [name for name in ROTATION_COLUMNS if name not in table]
    if 0 < len(absent) < len(ROTATION_COLUMNS):
        raise FormatError(
            f"{path.name} has some columns of the particles' axes, but lacks {listed(absent)}."
        )
    return picks_of_file(
        path,
        points_zyx=points_zyx,
        spacing_angstrom=spacing,
        rotations_zyx=None if absent else _stacked(path, table, ROTATION_COLUMNS).reshape(-1, 3, 3),
        instance_ids=whole_numbers_of(path, _INSTANCE_ID, table[_INSTANCE_ID], NO_INSTANCE)
        if _INSTANCE_ID in table
        else None,
        scores=numbers_of(path, _SCORE, table[_SCORE]) if _SCORE in table else None,
        ids=whole_numbers_of(path, _PICK_ID, table[_PICK_ID]) if _PICK_ID in table else None,
        features=plain_columns(
            {name: table[name].to_numpy() for name in names if name not in _OWN}
        ),
    )


def _positions(
    path: Path, table: pd.DataFrame, context: Context
) -> tuple[NDArray[np.float64], float | None]:
    """Voxel indices in z, y, x, and the voxel spacing if known."""
    units = [
        unit for unit, names in POSITION_COLUMNS.items() if all(name in table for name in names)
    ]
    if not units:
        raise FormatError(
            f"{path.name} has no position columns with a unit (it has {listed(list(table))}).",
            hint="Name them z_voxel, y_voxel, x_voxel (counted from 0) or z_angstrom, y_angstrom, x_angstrom; or give "
            "the unit of x, y and z (--unit on the command line).",
        )
    spacing = _own_spacing(path, table) or context.spacing_angstrom
    if spacing is None and units == ["voxel"]:
        return _stacked(path, table, POSITION_COLUMNS["voxel"]), None
    if spacing is None:
        message = (
            f"{path.name} has its positions in {units[-1]} and doesn't state how wide a voxel is"
        )
        raise lacking(message, "spacing_angstrom", way_out=f", or add a column {_SPACING}")
    widths = {"voxel": spacing} | _UNITS_ANGSTROM
    points, *others = (
        _stacked(path, table, POSITION_COLUMNS[unit]) * (widths[unit] / spacing) for unit in units
    )
    for other in others:
        differ = (np.abs(other - points) > _ROUNDING_VOXELS).any(axis=1)
        if differ.any():
            raise FormatError(
                f"{path.name}, row {np.argmax(differ) + 1}: positions in {' and '.join(units)} disagree.",
                hint="Remove the wrong columns; one unit is enough.",
            )
    return points, spacing


def _own_spacing(path: Path, table: pd.DataFrame) -> float | None:
    if _SPACING not in table:
        return None
    spacings = np.unique(numbers_of(path, _SPACING, table[_SPACING]))
    if len(spacings) > 1:
        raise FormatError(
            f"{path.name} has picks of several voxel spacings ({listed([f'{s:g}' for s in spacings])})."
        )
    return float(spacings[0]) if len(spacings) and not np.isnan(spacings[0]) else None


def _stacked(path: Path, table: pd.DataFrame, names: Sequence[str]) -> NDArray[np.float64]:
    return np.stack([numbers_of(path, name, table[name]) for name in names], axis=1)


def arrow_table(picks: Picks) -> pa.Table:
    """Convert picks to an Arrow table with the columns above, without misleading features."""
    import pyarrow as pa

    kept = {
        name: column for name, column in picks.features.items() if _recognized(name) not in _OWN
    }
    frame = picks.changed(features=kept).to_dataframe()
    return pa.Table.from_pandas(frame, preserve_index=False)
