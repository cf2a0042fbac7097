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
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError
from napari_cryoet.formats.arrow_columns import column_of_arrow, has_zone, is_plain
from napari_cryoet.formats.column_types import as_kind, typed
from napari_cryoet.formats.exchange import (
    MAX_PICKS,
    Context,
    listed,
    not_utf8,
    numbered,
    refuse_unreadable,
    with_warnings,
)
from napari_cryoet.formats.table_columns import (
    INSTANCE_ID,
    OWN,
    PICK_ID,
    POSITIONS,
    ROTATION,
    SCORE,
    SPACING,
    holds_positions,
    no_positions,
    picks_of_columns,
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

METADATA_KEY: Final = b"napari_cryoet"
_HEADER_CHARACTERS: Final = 2**20
_PART_BYTES: Final = 2**24
#: The first line by which Excel goes, and which some programs write for it.
_SEPARATOR_LINE: Final = re.compile(r'"?sep=([,;:|\t])"?\s*', re.IGNORECASE)
#: What R and others write where a row has no number.
_NO_NUMBER: Final = ("NA", "NaN", "nan")


def holds_picks_csv(head: str) -> bool:
    """Whether a text starts with a header that has positions with units."""
    return holds_positions(_header(head))


def _header(text: str) -> list[str]:
    """The names in the first line of a text, as a CSV file has them."""
    lines = io.StringIO(text.removeprefix("\ufeff"), newline="")  # ``splitlines`` knows ends of lines that CSV doesn't
    separator = _separator_said(lines) or ","
    try:
        return list(map(_recognized, next(csv.reader(lines, delimiter=separator), [])))
    except csv.Error:
        return []


def _separator_said(file: TextIO) -> str | None:
    """What a first line says that stands between values, which is then behind us; None where it says no such thing."""
    found = _SEPARATOR_LINE.fullmatch(file.readline(_HEADER_CHARACTERS))
    if found is None:
        file.seek(0)
    return None if found is None else found[1]


def _recognized(name: str) -> str:
    """A name without spaces around it where it then is one of ours; any other as it is."""
    return name.strip() if name.strip() in OWN else name


def holds_picks_parquet(path: Path) -> bool:
    """Whether a Parquet file has columns of positions with units."""
    return holds_positions(_parquet_schema(path).names)


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
    kinds = {name: kind for name, kind in kinds.items() if name not in OWN}  # of a further column that was left out
    columns = _even_columns(path)
    if columns is not None:
        return picks_of_columns(
            path, {name: _column(name, texts, kinds.get(name)) for name, texts in columns.items()}, context
        )
    table, names = _separated(path)
    if len(names) == 1 and not holds_positions(names):
        raise no_positions(path, names)
    if not isinstance(table.index, pd.RangeIndex):  # the library has taken the first column for names of the rows
        raise FormatError(
            f"{path.name} has more values in a row than names of columns, so nobody knows which is which.",
            hint="Give each column a name, and remove a comma at the end of the rows.",
        )
    is_plain = len(names) == table.shape[1] == len(set(names))  # of others, the library makes names of its own
    table.columns = names if is_plain else [_recognized(str(name)) for name in table.columns]
    twice = [name for name in sorted(OWN) if names.count(name) > 1]
    if twice:
        raise _twice(path, twice)
    columns = {str(name): texts_of(table[name]) for name in table}
    picks = picks_of_columns(
        path, {name: _column(name, texts, kinds.get(name)) for name, texts in columns.items()}, context
    )
    renamed = [new for old, new in zip(names, columns, strict=False) if old != new]
    if renamed and len(names) == len(columns):
        picks = with_warnings(picks, f"Columns without a name, or called as others, have new names: {listed(renamed)}.")
    rows = _short_rows(path, table.shape[1])
    if not rows:
        return picks
    said = (
        f"{len(rows):,} of {len(picks):,} rows have fewer values than there are columns; what they lack was taken to "
        f"be at their end ({numbered('row', rows)})."
    )
    return with_warnings(picks, said)


def _separated(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """All values as texts, as the library takes the file, and the names of its columns as they stand there."""
    import pandas as pd

    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            said = _separator_said(file)
        start = {"sep": said or ",", "skiprows": int(said is not None)}
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", **start)
        return table, _names_in(path)
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error
    except ValueError as error:
        raise FormatError(f"{path.name} is no CSV file that can be read ({error}).") from error


def _twice(path: Path, names: list[str]) -> FormatError:
    return FormatError(f"{path.name} has several columns called {listed(names)}.")


def _short_rows(path: Path, n_columns: int) -> list[int]:
    """The numbers of rows that have fewer values than there are columns, which the library fills without a word."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        separator = _separator_said(file) or ","
        try:
            rows = csv.reader(file, delimiter=separator)
            lengths = [len(row) for row in rows if len(row) > 1 or any(map(str.strip, row))]  # not lines of blanks
        except csv.Error:
            return []
    return [number for number, length in enumerate(lengths[1:], start=1) if length < n_columns]


def _even_columns(path: Path) -> dict[str, pa.ChunkedArray] | None:
    """The texts of all columns, where each row has one for each; None where something has to be said of the file."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline(_HEADER_CHARACTERS)
            names = _header(header)
    except (ValueError, OSError):
        return None
    if header.count('"') % 2:  # a name with a line feed in it
        return None
    if len(set(names)) < len(names) or not holds_positions(names) or _may_have_open_quotes(path):
        return None
    return read_separated(path, names, separator=",", skip_rows=1)


def _names_in(path: Path) -> list[str]:
    """The names of columns, in the first line that has any; a name may go on over several lines."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        separator = _separator_said(file) or ","
        lines = iter(lambda: file.readline(_HEADER_CHARACTERS), "")
        try:
            return list(map(_recognized, next((row for row in csv.reader(lines, delimiter=separator) if row), [])))
        except csv.Error:
            return []


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
            metadata = pq.read_metadata(file)
            count, names = metadata.num_rows, metadata.schema.to_arrow_schema().names
            if count > MAX_PICKS:  # compressed, any number of them takes next to nothing
                raise FormatError(f"{path.name} has more than {MAX_PICKS:,} picks.")
            twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
            if twice:
                raise _twice(path, twice)
            table = pq.read_table(file)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise FormatError(f"{path.name} is no Parquet file that can be read ({error}).") from error
    columns = {name: _read_column(path, name, table.column(name)) for name in table.column_names}
    return _with_texts_told(picks_of_columns(path, columns, context), table.schema)


def _read_column(path: Path, name: str, column: pa.ChunkedArray) -> NDArray[Any]:
    import pyarrow as pa

    try:
        return column_of_arrow(column)
    except (ValueError, pa.ArrowException) as error:
        raise FormatError(f"{path.name}: its column {name} can't be read ({error}).") from error


def _with_texts_told(picks: Picks, schema: pa.Schema) -> Picks:
    """Picks with a warning about further columns that are no longer what they were in their file."""
    names = [name for name in picks.features if not is_plain(schema.field(name).type)]
    if not names:
        return picks
    in_utc = " Times of a zone are in UTC." if any(has_zone(schema.field(name).type) for name in names) else ""
    said = f"Columns that aren't plain numbers or texts were read as texts: {listed(names)}.{in_utc}"
    return with_warnings(picks, said)


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
    taken = [name for name in picks.features if _recognized(name) in OWN]
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
    units = {name: unit for unit, names in POSITIONS.items() for name in names} | {SPACING: "angstrom"}
    fields = [
        field.with_metadata({"unit": units[field.name]}) if field.name in units else field for field in table.schema
    ]
    metadata = {METADATA_KEY: json.dumps(dict(notes), default=str).encode()}
    with path.open("wb") as file:
        pq.write_table(table.cast(pa.schema(fields, metadata=metadata)), file)


def _frame(picks: Picks) -> pd.DataFrame:
    import pandas as pd

    columns: dict[str, Any] = {PICK_ID: picks.ids}
    columns |= dict(zip(POSITIONS["voxel"], picks.points_zyx.T, strict=True))
    if picks.spacing_angstrom is not None:
        columns |= dict(zip(POSITIONS["angstrom"], picks.positions_angstrom_zyx.T, strict=True))
        columns[SPACING] = np.full(len(picks), picks.spacing_angstrom)
    if picks.rotations_zyx is not None:
        columns |= dict(zip(ROTATION, picks.rotations_zyx.reshape(-1, 9).T, strict=True))
    if picks.instance_ids is not None:
        missing = picks.instance_ids == NO_INSTANCE
        columns[INSTANCE_ID] = pd.array(picks.instance_ids, dtype="Int64")
        columns[INSTANCE_ID][missing] = pd.NA
    if picks.scores is not None:
        columns[SCORE] = picks.scores
    columns |= {name: column for name, column in picks.features.items() if _recognized(name) not in OWN}
    return pd.DataFrame(columns)


def _column(name: str, texts: pa.ChunkedArray, kind: object) -> NDArray[Any]:
    """A column of a CSV file; instances and ids with gaps stay texts, since they would lose digits as numbers."""
    whole = wholes(texts) if kind is None or kind == "whole" else None
    if whole is not None:
        return whole
    if name in OWN:
        texts = _without_words(texts)
    if name in {INSTANCE_ID, PICK_ID}:
        return np.array(texts.to_pylist(), dtype=object)
    real = reals(texts) if kind == "real" else None
    if real is not None:
        return real
    return _told_by_content(texts) if kind is None else as_kind(np.array(texts.to_pylist(), dtype=object), kind)


def _told_by_content(texts: pa.ChunkedArray) -> NDArray[Any]:
    """A column whose type nobody says: words for no number are such among numbers, and texts among texts."""
    given = _without_words(texts)
    column = typed(given)
    return column if given is texts or column.dtype.kind != "O" else typed(texts)


def _without_words(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts with empty ones in place of words for no number; the same texts where there is none of these."""
    import pyarrow as pa
    import pyarrow.compute as pc

    is_word = pc.is_in(texts, value_set=pa.array(_NO_NUMBER, texts.type))
    return pc.if_else(is_word, pa.scalar("", texts.type), texts) if pc.any(is_word).as_py() else texts


def _parquet_schema(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with opened_by_arrow(path) as file:
            return pq.read_schema(file)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise FormatError(f"{path.name} is no Parquet file that can be read ({error}).") from error
