"""Dynamo tables (.tbl): 26 to 42 columns of numbers without a header, one row per particle.

Conventions, from Dynamo's wiki (*Table convention*): x, y, z (columns 24 to 26) are the position
"in original volume". dx, dy, dz (4 to 6) are a shift that is added to it. Both are in voxels.
Dynamo indexes volumes like MATLAB, so the centre of the first voxel is 1, 1, 1 here; copick, ArtiaX
and dynamo2m count from 0 and differ by one voxel. `matrices_of` explains tdrot, tilt, narot (7 to
9). ``tag`` (1) identifies a particle, ``cc`` (10) is the score, ``tomo`` (20) the tomogram number,
``reg`` (21) a region of it (read as instances), ``apix`` (36) the voxel size in ångström. Columns
of zeros are treated as unset, and so are tags that only number the rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError
from napari_cryoet.formats.common import (
    Context,
    angles_of,
    choose_tomogram,
    known_rotations,
    listed,
    matrices_of,
    numbers_of,
    picks_of_file,
    rotation_losses,
    whole_numbers_of,
)
from napari_cryoet.picks import Picks
from napari_cryoet.provenance import Provenance
from napari_cryoet.wording import brief

if TYPE_CHECKING:
    import pandas as pd

_ANGLES: Final = ("tdrot", "tilt", "narot")
_POSITION: Final = ("x", "y", "z")
_SHIFTS: Final = ("dx", "dy", "dz")
_FIRST_VOXEL: Final = 1.0
_OWN: Final = frozenset({*_ANGLES, *_POSITION, *_SHIFTS, "tag", "cc", "tomo", "reg", "apix"})
_TOMOGRAM_NUMBER: Final = "tomogram_number"
_LEAST_COLUMNS: Final = 26
_SHIFTED: Final = "The table's shifts (dx, dy, dz) were added to the positions: crop again if you export to Dynamo."
_COUNTED_FROM_1: Final = (
    "Positions in Dynamo tables are counted from 1, as in MATLAB; copick, ArtiaX and dynamo2m count from 0 and are one "
    "voxel off."
)


def holds(_path: Path, _head: bytes) -> bool:
    """Tables always count as picks; `read` explains what is wrong."""
    return True


def read(path: Path, context: Context) -> Picks:
    """Read the picks of one tomogram; its name is its number."""
    table = _read_table(path)
    numbers = np.array([f"{number:.15g}" for number in table["tomo"].tolist()], dtype=object)
    tomogram = choose_tomogram(numbers.tolist(), context.tomogram, path.name)
    table = table[numbers == tomogram]
    pixels, shifts, angles = (
        table["apix"],
        table[list(_SHIFTS)].to_numpy(),
        table[list(_ANGLES)].to_numpy(),
    )
    tags = whole_numbers_of(path, "tag", table["tag"])
    has_tags = len(np.unique(tags)) == len(tags) and not np.array_equal(
        tags, np.arange(1, len(tags) + 1)
    )
    kept = [name for name in table if name not in _OWN and _is_set(name, table[name].to_numpy())]
    return picks_of_file(
        path,
        points_zyx=(table[list(_POSITION)].to_numpy() + shifts - _FIRST_VOXEL)[:, ::-1],
        spacing_angstrom=float(pixels.iloc[0])
        if pixels.nunique() == 1 and pixels.any()
        else context.spacing_angstrom,
        rotations_zyx=matrices_of(angles, "dynamo")[:, ::-1, ::-1] if np.any(angles) else None,
        scores=table["cc"].to_numpy() if table["cc"].any() else None,
        instance_ids=whole_numbers_of(path, "reg", table["reg"]) if table["reg"].any() else None,
        ids=tags if has_tags else None,
        features={name: _narrowed(table[name].to_numpy()) for name in kept},
        about=Provenance(
            warnings=(_COUNTED_FROM_1, _SHIFTED) if shifts.any() else (_COUNTED_FROM_1,),
            more={_TOMOGRAM_NUMBER: int(tomogram)} if tomogram and tomogram.isdecimal() else {},
        ),
    )


def losses(picks: Picks, _name: str) -> list[str]:
    """Warnings about data that a table can't hold."""
    if not len(picks):
        return []
    warnings = [*rotation_losses(picks), _COUNTED_FROM_1]
    known = known_rotations(picks)
    if known is None or not known[1].all():
        warnings.append(
            "Picks without orientation get the angles 0, 0, 0, which Dynamo treats as an orientation."
        )
    if picks.ids.min() < 1 and not np.array_equal(picks.ids, np.arange(len(picks))):
        warnings.append("Tags start at 1: the picks are renumbered.")
    unnamed = [name for name in picks.features if name not in _further_columns(picks)]
    if unnamed:
        warnings.append(f"A table has no column for {listed(unnamed)}.")
    return warnings


def write(picks: Picks, path: Path, _final_path: Path, _name: str) -> None:
    """Write a table of 42 columns."""
    import pyarrow as pa
    from pyarrow import csv

    known, number = known_rotations(picks), picks.about.more.get(_TOMOGRAM_NUMBER)
    angles = np.zeros((len(picks), 3)) if known is None else angles_of(known[0], "dynamo")
    columns: dict[str, Any] = {
        "tag": picks.ids if picks.ids.min(initial=1) >= 1 else np.arange(1, len(picks) + 1),
        "tomo": np.full(len(picks), number if isinstance(number, int) else 1),
    }
    columns |= dict(zip(_POSITION, (picks.points_xyz + _FIRST_VOXEL).T, strict=True))
    columns |= dict(zip(_ANGLES, angles.T, strict=True))
    if picks.scores is not None:
        columns["cc"] = picks.scores
    if picks.instance_ids is not None:
        columns["reg"] = picks.instance_ids
    if picks.spacing_angstrom is not None:
        columns["apix"] = np.full(len(picks), picks.spacing_angstrom)
    columns |= _further_columns(picks)
    table = {
        name: columns.get(name, np.full(len(picks), _default(name))) for name in _column_names()
    }
    with path.open("wb") as file:
        csv.write_csv(
            pa.table(table),
            file,
            csv.WriteOptions(include_header=False, delimiter=" ", quoting_style="none"),
        )


def _read_table(path: Path) -> pd.DataFrame:
    import dynamotable
    import pandas as pd

    known = _column_names()
    try:
        table = dynamotable.read(path)
    except pd.errors.EmptyDataError:
        return pd.DataFrame(np.zeros((0, len(known))), columns=known)
    except ValueError as error:
        raise FormatError(f"{path.name} isn't a Dynamo table ({brief(error)}).") from error
    if table.shape[1] < _LEAST_COLUMNS:
        raise FormatError(
            f"{path.name} isn't a Dynamo table: it has {table.shape[1]} columns; at least 26 are needed."
        )
    if table.iloc[:, -1].isna().any():
        _refuse_short_rows(path, table.shape[1])
    columns = {
        name: numbers_of(path, name, table[name])
        if name in _OWN
        else pd.to_numeric(table[name], errors="coerce")
        for name in known
        if name in table
    }
    return pd.DataFrame({"apix": 0.0} | columns, index=table.index)


def _refuse_short_rows(path: Path, n_columns: int) -> None:
    """Refuse rows with missing values: pandas would shift the values after them."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        rows = filter(None, (line.split() for line in file))
        short = next(
            (
                (number, len(words))
                for number, words in enumerate(rows, 1)
                if len(words) < n_columns
            ),
            None,
        )
    if short is not None:
        raise FormatError(
            f"{path.name}, row {short[0]}: {short[1]} values where other rows have {n_columns}."
        )


def _column_names() -> list[str]:
    from dynamotable.constants import COLUMN_NAME_TO_COLUMN_NUMBER

    return list(COLUMN_NAME_TO_COLUMN_NUMBER)


def _default(name: str) -> int:
    return 1 if name == "aligned_value" else 0


def _is_set(name: str, column: NDArray[Any]) -> bool:
    return bool((np.isfinite(column) & (column != _default(name))).any())


def _narrowed(column: NDArray[Any]) -> NDArray[Any]:
    is_whole = (column == np.round(column)).all() and (np.abs(column) < 2**63).all()
    return column.astype(np.int64) if is_whole else column


def _further_columns(picks: Picks) -> dict[str, NDArray[Any]]:
    """The picks' features that have a column in a table."""
    available = {*_column_names()} - _OWN
    return {
        name: column
        for name, column in picks.features.items()
        if name in available and column.dtype.kind in "iuf"
    }
