"""Dynamo tables (.tbl): 35 to 42 columns of numbers without a header, a row a particle.

Conventions, from Dynamo's wiki (*Table convention*, *Euler angles convention*): x, y, z (columns 24 to 26) are the
position "in original volume" and dx, dy, dz (4 to 6) a shift that is added to it, all in voxels. The wiki doesn't say
where they start. Dynamo indexes volumes as MATLAB does, from 1, so here the centre of the first voxel is 1, 1, 1;
other converters (copick, ArtiaX, dynamo2m) take the numbers as they are, and differ by this one voxel. What tdrot,
tilt, narot (7 to 9) mean is in `napari_cryoet.formats.eulers`. ``tag`` (1) tells particles apart, ``cc`` (10) is the
score, ``tomo`` (20) the number of the tomogram, whose name may stand in a table map (``.doc``) beside the table,
``reg`` (21) is free for regions in a tomogram (here: instances), ``apix`` (36) the width of a voxel in ångström.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError
from napari_cryoet.formats.column_types import numbers_in
from napari_cryoet.formats.dynamo_columns import (
    ANGLES,
    FIRST_VOXEL,
    OWN,
    POSITION,
    TOMOGRAM_NUMBER,
    all_columns,
    are_whole,
    is_said,
)
from napari_cryoet.formats.dynamo_shifts import SHIFT, shift_columns
from napari_cryoet.formats.eulers import matrices_of
from napari_cryoet.formats.exchange import (
    Context,
    angle_warnings,
    checked_picks,
    choose_tomogram,
    not_utf8,
    refuse_unreadable,
)
from napari_cryoet.formats.text_columns import LARGEST_EXACT, holds_empty, read_separated, texts_of
from napari_cryoet.picks import IN_VOXELS, NO_INSTANCE, Picks

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_LEAST_COLUMNS: Final = 26
_MOST_COLUMNS: Final = 200  # far above the 42 that there are
_FIRST_LINE_CHARACTERS: Final = 2**16
#: What a person should know who opens a table that another program wrote.
COUNTED_FROM_1: Final = (
    "Positions in Dynamo tables are taken to count from 1, as in MATLAB. copick, ArtiaX and dynamo2m count from 0: a "
    "table that one of them wrote is shown one voxel off along each axis."
)
_ODD_PIXELS: Final = "Its apix isn't one positive width for all rows, so nothing says how wide a voxel is."
_ODD_TAGS: Final = (
    "Its tags don't tell all picks apart, or aren't whole numbers: the picks are counted anew, and tag is a column."
)
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+|nan|inf)(?:[eE][+-]?\d+)?(?:[+-][\d.eE+-]*i)?", re.IGNORECASE)


def holds_table(text: str) -> bool:
    """Whether the first line of a text is a row of such a table; nothing at all is a table without particles."""
    if not text.strip():
        return True
    words = text.lstrip("\ufeff \t\r\n").split("\n", 1)[0].split()
    return len(words) >= _LEAST_COLUMNS and all(_NUMBER.fullmatch(word) for word in words)


def read_table(path: Path, context: Context, *, tag_offset: object = None) -> Picks:
    """The picks of one tomogram.

    Dynamo always has angles. If they are 0, 0, 0 for all particles, none of these was ever oriented, and the picks have
    no rotations. Likewise, scores and regions that are 0 throughout are none. Regions that aren't whole numbers are a
    column like any other, and so are tags that can't be ids.

    Parameters
    ----------
    context
        Its ``tomogram`` is a number, or the tomogram's file as the table map has it.
    tag_offset
        What an export of ours added to ids to make tags of them.

    Raises
    ------
    FormatError
        If it is no such table.
    MissingContextError
        If there are several tomograms and none was chosen.
    """
    table, n_more = _table(path)
    in_map = _table_map(path)
    table, tomogram = _of_tomogram(path, table, in_map, context.tomogram)
    spacing = context.spacing_angstrom
    pixel = table["apix"].to_numpy() if "apix" in table else np.zeros(0)
    own = float(pixel[0]) if len(pixel) and 0 < pixel[0] < np.inf and (pixel == pixel[0]).all() else None
    rows = table.index.to_numpy() + 1  # of the file, whichever tomogram is read
    shifts = table[list(SHIFT)].to_numpy()
    points_xyz = table[list(POSITION)].to_numpy() + shifts - FIRST_VOXEL
    if own is not None and spacing is not None and own != spacing:
        points_xyz, shifts = points_xyz * (own / spacing), shifts * (own / spacing)
    angles = table[list(ANGLES)].to_numpy()
    rotations_xyz = matrices_of(angles, "dynamo") if np.any(angles) else None
    regions = _given(table, "reg")
    has_other_regions = regions is not None and not are_whole(regions[np.isfinite(regions)])
    tags, offset = table["tag"].to_numpy(), tag_offset if isinstance(tag_offset, int) else 0
    ids = _ids(tags, offset)
    has_other_tags = ids is None and bool(np.any(tags))
    names_of_features = [*_features_in(table), *["reg"] * has_other_regions, *["tag"] * has_other_tags]
    return checked_picks(
        path,
        rows=rows,
        points_zyx=points_xyz[:, ::-1],
        spacing_angstrom=spacing if spacing is not None else own,
        rotations_zyx=None if rotations_xyz is None else rotations_xyz[:, ::-1, ::-1],
        scores=_given(table, "cc"),
        instance_ids=None if has_other_regions else _whole(regions, NO_INSTANCE),
        ids=ids,
        features=shift_columns(shifts) | {name: _narrowed(table[name].to_numpy()) for name in names_of_features},
        shape_zyx=context.shape_zyx,
        about={
            "tomogram_name": tomogram if in_map else None,
            TOMOGRAM_NUMBER: _tomogram_number(table, in_map),
            IN_VOXELS: [*shift_columns(shifts)],
            "warnings": [
                *([COUNTED_FROM_1] if len(table) and tag_offset is None else []),
                *angle_warnings(angles, rows),
                *[_ODD_TAGS] * has_other_tags,
                *[_ODD_PIXELS] * (own is None and bool(pixel.any())),
                *[_more_columns(n_more)] * bool(n_more),
            ],
        },
    )


def _of_tomogram(
    path: Path, table: pd.DataFrame, in_map: Mapping[int, str], wanted: str | None
) -> tuple[pd.DataFrame, str | None]:
    """The rows of one tomogram, and what it is called: as the table map says, else by its number."""
    numbers = table["tomo"].to_numpy() if "tomo" in table else np.zeros(len(table))
    different, first, which = np.unique(numbers, return_index=True, return_inverse=True)
    names = [_name(float(number), in_map) for number in different]
    tomogram = choose_tomogram([names[index] for index in np.argsort(first)], wanted, path.name)
    return (table[np.array(names, dtype=object)[which] == tomogram] if len(table) else table), tomogram


def _name(number: float, in_map: Mapping[int, str]) -> str:
    """What a tomogram is called; its number with all digits, so that no two are taken for one."""
    if np.isfinite(number) and number == round(number):
        return in_map.get(int(number), f"{number:.0f}")
    return repr(number)


def _more_columns(count: int) -> str:
    known = len(all_columns())
    return f"The table's last {count} columns are left out: Dynamo has {known}, and nobody says what more mean."


def _table(path: Path) -> tuple[pd.DataFrame, int]:
    """The columns that Dynamo has, and how many more there are."""
    import pandas as pd

    refuse_unreadable(path)
    names = all_columns()
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        first_line = file.readline(_FIRST_LINE_CHARACTERS)
        n_columns = len(first_line.split())
    if n_columns > _MOST_COLUMNS:
        raise FormatError(f"{path.name} is no Dynamo table: a row of it has more than {_MOST_COLUMNS} columns.")
    if _LEAST_COLUMNS <= n_columns <= len(names) and first_line.split() == first_line.removesuffix("\n").split(" "):
        columns = read_separated(path, names[:n_columns], separator=" ")
        if columns is not None and not any(holds_empty(texts) for texts in columns.values()):
            return pd.DataFrame({name: _numbers(path, name, texts) for name, texts in columns.items()}), 0
    try:
        table = pd.read_csv(path, header=None, sep=r"\s+", dtype=str, keep_default_na=False)
    except pd.errors.EmptyDataError:
        return pd.DataFrame(np.empty((0, len(names))), columns=list(names)), 0
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error
    except ValueError as error:
        raise FormatError(f"{path.name} is no Dynamo table ({f'{error}'.strip()}).") from error
    if table.shape[1] < _LEAST_COLUMNS:
        raise FormatError(
            f"{path.name} is no Dynamo table: it has {table.shape[1]} columns, and positions are in the 24th to 26th."
        )
    _refuse_short_rows(path, table)
    n_more = max(0, table.shape[1] - len(names))
    table = table.iloc[:, : len(names)]
    table.columns = list(names[: table.shape[1]])
    return pd.DataFrame({name: _numbers(path, name, texts_of(table[name])) for name in table}), n_more


def _refuse_short_rows(path: Path, table: pd.DataFrame) -> None:
    """Of a row that lacks a value, nobody knows which; a file that was cut short ends so, too."""
    counts = (table.notna() & (table != "")).sum(axis=1).to_numpy()
    if (counts < table.shape[1]).any():
        row = int(np.argmax(counts < table.shape[1]))
        raise FormatError(
            f"{path.name}, row {row + 1}: {counts[row]} values where other rows have {table.shape[1]}.",
            hint="Copy the file again, or remove the row.",
        )


def _numbers(path: Path, name: str, texts: pa.ChunkedArray) -> NDArray[np.float64]:
    """A column of numbers; of complex ones, which Dynamo leaves in columns that nobody needs, NaN."""
    try:
        return numbers_in(path, name, texts)
    except FormatError:
        if name not in OWN and all(_NUMBER.fullmatch(text or "") for text in texts.to_pylist()):
            return np.full(len(texts), np.nan)
        raise


def _table_map(path: Path) -> dict[int, str]:
    """The tomograms' files by number, of the table map beside a table; empty where there is none."""
    beside = path.with_suffix(".doc")
    if not beside.is_file():
        return {}
    try:
        refuse_unreadable(beside)
    except FormatError:  # somebody's letter that is called so
        return {}
    lines = [line.split(None, 1) for line in beside.read_text(encoding="utf-8", errors="replace").splitlines()]
    return {int(words[0]): words[1].strip() for words in lines if len(words) == 2 and words[0].isdecimal()}


def _given(table: pd.DataFrame, name: str) -> NDArray[np.float64] | None:
    """A column, or None where it is 0 throughout, as where nothing was ever written into it."""
    column: NDArray[np.float64] = table[name].to_numpy()
    return column if np.any(column) else None


def _whole(column: NDArray[np.float64] | None, missing: int) -> NDArray[np.int64] | None:
    if column is None:
        return None
    return np.where(np.isfinite(column), column, missing).astype(np.int64)


def _tomogram_number(table: pd.DataFrame, in_map: Mapping[int, str]) -> int | None:
    """Dynamo's number of the tomogram whose rows these are; 0 is none, but where the table map names it."""
    number = float(table["tomo"].iloc[0]) if len(table) else np.nan
    is_whole = np.isfinite(number) and number == round(number)
    return int(number) if is_whole and (number > 0 or int(number) in in_map) else None


def _ids(tags: NDArray[np.float64], offset: int) -> NDArray[np.int64] | None:
    """The tags as ids, where they are whole and tell all rows apart."""
    if not are_whole(tags) or (np.abs(tags) >= LARGEST_EXACT).any() or len(np.unique(tags)) != len(tags):
        return None
    return tags.astype(np.int64) - offset


def _features_in(table: pd.DataFrame) -> list[str]:
    """Further columns in which something was written."""
    found = []
    for name in table:
        column = table[name].to_numpy()
        if name not in OWN and is_said(name, column).any():
            found.append(name)
    return found


def _narrowed(column: NDArray[np.float64]) -> NDArray[Any]:
    return column.astype(np.int64) if (column == np.round(column)).all() and (np.abs(column) < 2**53).all() else column
