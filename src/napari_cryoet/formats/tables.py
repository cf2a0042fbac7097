"""Picks as a table, CSV or Parquet, whose column names say axis, unit and frame.

| columns | meaning |
|---|---|
| ``z_voxel``, ``y_voxel``, ``x_voxel`` | 0-based voxel indices; whole numbers are voxel centres |
| ``z_angstrom``, ``y_angstrom``, ``x_angstrom`` | from the centre of the first voxel; also ``_nanometer``, ``Z [A]`` |
| ``voxel_spacing_angstrom`` | the voxel size, the same in all rows |
| ``particle_x_axis_z``, ... (nine) | component along the volume's z of the particle's own x axis |
| ``pick_id``, ``instance_id``, ``score`` | as in `Picks`; empty where a pick has none |

Positions in several units must agree. Further columns are kept. Columns x, y, z without a unit are refused, unless the
caller says what they count. Parquet has units and notes in its metadata, under ``napari_cryoet``.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError, MissingContextError
from napari_cryoet.files import brief
from napari_cryoet.formats.common import (
    LARGEST_EXACT,
    MAX_PICKS,
    Context,
    as_texts,
    listed,
    numbers_of,
    picks_of_file,
    whole_numbers_of,
    with_warnings,
)
from napari_cryoet.formats.notes import Notes, as_json, parse
from napari_cryoet.picks import NO_INSTANCE, Picks

if TYPE_CHECKING:
    import pyarrow as pa

_AXES: Final = "zyx"
_UNITS_ANGSTROM: Final = {"angstrom": 1.0, "nanometer": 10.0}
_POSITIONS: Final = {unit: tuple(f"{axis}_{unit}" for axis in _AXES) for unit in ("voxel", *_UNITS_ANGSTROM)}
_ROTATION: Final = tuple(f"particle_{own}_axis_{axis}" for axis in _AXES for own in _AXES)
_SPACING, _PICK_ID, _INSTANCE_ID, _SCORE = "voxel_spacing_angstrom", "pick_id", "instance_id", "score"
_OWN: Final = frozenset(
    {*_ROTATION, *(name for names in _POSITIONS.values() for name in names), _SPACING, _PICK_ID, _INSTANCE_ID, _SCORE}
)
#: How other programs spell positions in ångström and nanometres: ``X [A]``, ``x (Å)``, ``Z[nm]``.
_SPELLED_OTHERWISE: Final = re.compile(r"([xyz])\s*[\[(]\s*(?:(å|a|ang|angstroms?)|(nm))\s*[\])]", re.IGNORECASE)
#: Columns of a CSV file that napari itself writes.
_NAPARIS_POINTS: Final = frozenset({"index", "axis-0", "axis-1", "axis-2"})
_SEPARATORS: Final = ",;\t"
_METADATA_KEY: Final = b"napari_cryoet"
#: How far positions in two units may be apart, in ångström or voxels: as far as rounding to one decimal brings them.
_ROUNDING: Final = 0.5
#: What a number doesn't spell back: 007 and 2024_01.
_NO_NUMBER: Final = re.compile(r"^\s*[+-]?0\d|_", re.MULTILINE)


def holds_csv(path: Path, _head: bytes) -> bool:
    """Whether a header has positions with a unit."""
    try:
        return _has_positions(_header(path)[0])
    except UnicodeDecodeError:
        return False


def holds_parquet(path: Path, head: bytes) -> bool:
    """Whether a Parquet file has columns of positions with a unit."""
    return head.startswith(b"PAR1") and _has_positions(_parquet_schema(path).names)


def read_csv(path: Path, context: Context, notes: Notes) -> Picks:
    """The picks of a CSV file.

    Raises
    ------
    FormatError
        If there are no positions with a unit, or such in two units that contradict each other.
    MissingContextError
        If positions are in ångström and the voxel spacing isn't known.
    """
    import pandas as pd

    try:
        names, separator = _header(path)
        if len({_recognized(name) for name in names}) < len(names):
            raise FormatError(f"{path.name} has several columns of one name.")
        table = pd.read_csv(
            path, names=names, header=0, dtype=object, keep_default_na=False, encoding="utf-8-sig", sep=separator
        )
    except UnicodeDecodeError as error:
        raise FormatError(f"{path.name} isn't UTF-8 text.", hint="Save it with the encoding UTF-8.") from error
    except ValueError as error:
        raise FormatError(f"{path.name} is no CSV file that can be read ({brief(error)}).") from error
    if not isinstance(table.index, pd.RangeIndex):  # pandas took the first values for names of the rows
        raise FormatError(
            f"{path.name} has more values in a row than names of columns.",
            hint="Give each column a name, and remove a comma at the end of the rows.",
        )
    texts = {_recognized(str(name)): table[name].fillna("").to_numpy(dtype=object) for name in table}
    known = {name for name, kind in notes.columns.items() if kind == "text"} | _OWN
    columns = {name: column if name in known else _typed(column) for name, column in texts.items()}
    return _picks_of(path, columns, context)


def read_parquet(path: Path, context: Context, _notes: Notes) -> Picks:
    """The picks of a Parquet file; raises as `read_csv` does."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        content = pa.BufferReader(path.read_bytes())  # Arrow's threads may hold files until the program ends
        if pq.read_metadata(content).num_rows > MAX_PICKS:  # compressed, any number of rows takes next to nothing
            raise FormatError(f"{path.name} has more than {MAX_PICKS:,} picks.")
        table = pq.read_table(content)
        columns = {name: _column_of_arrow(table[name]) for name in table.column_names}
    except (OSError, ValueError, LookupError, pa.ArrowException) as error:
        raise FormatError(f"{path.name} is no Parquet file that can be read ({brief(error)}).") from error
    picks = _picks_of(path, {_recognized(name): column for name, column in columns.items()}, context)
    texts = [name for name in picks.features if not _is_plain(table.schema.field(name).type)]
    said = f"Columns that aren't plain numbers or texts were read as texts: {listed(texts)}."
    return with_warnings(picks, said) if texts else picks


def read_parquet_notes(path: Path) -> Notes | None:
    """The notes of an export of ours, from its metadata."""
    content = (_parquet_schema(path).metadata or {}).get(_METADATA_KEY)
    return parse(content) if content else None


def losses(picks: Picks) -> list[str]:
    """What a table can't hold."""
    taken = [name for name in picks.features if _recognized(name) in _OWN]
    return [f"Columns called {listed(taken)} would be taken for something else; they are left out."] if taken else []


def write_csv(picks: Picks, path: Path, _place: Path, _notes: Mapping[str, Any]) -> dict[str, Any]:
    """Write a CSV file in UTF-8, with all digits."""
    from pyarrow import csv as arrow_csv

    with path.open("wb") as file:
        arrow_csv.write_csv(_arrow_table(picks), file, arrow_csv.WriteOptions(quoting_style="needed"))
    return {}


def write_parquet(picks: Picks, path: Path, _place: Path, notes: Mapping[str, Any]) -> dict[str, Any]:
    """Write a Parquet file; units of the columns and the notes go into its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = _arrow_table(picks)
    units = {name: unit for unit, names in _POSITIONS.items() for name in names} | {_SPACING: "angstrom"}
    fields = [
        field.with_metadata({"unit": units[field.name]}) if field.name in units else field for field in table.schema
    ]
    with path.open("wb") as file:
        pq.write_table(table.cast(pa.schema(fields, metadata={_METADATA_KEY: as_json(notes).encode()})), file)
    return {}


def _header(path: Path) -> tuple[list[str], str]:
    """The names in the first line of a file, and what separates them."""
    found: dict[str, list[str]] = {}
    for separator in _SEPARATORS:
        with path.open(encoding="utf-8-sig", newline="") as file:
            try:
                found[separator] = next(csv.reader(file, delimiter=separator), [])
            except csv.Error:
                found[separator] = []
    separator = max(found, key=lambda each: len(found[each]))
    return found[separator], separator


def _recognized(name: str) -> str:
    """One of our names if a column means the same; any other as it is."""
    found = _SPELLED_OTHERWISE.fullmatch(name.strip())
    if found:
        return f"{found[1].lower()}_{'angstrom' if found[2] else 'nanometer'}"
    return name.strip() if name.strip() in _OWN else name


def _has_positions(names: Sequence[str]) -> bool:
    return any(set(wanted) <= {_recognized(name) for name in names} for wanted in _POSITIONS.values())


def _picks_of(path: Path, columns: Mapping[str, NDArray[Any]], context: Context) -> Picks:
    if context.unit is not None and not _has_positions(list(columns)):
        bare = {name: f"{name.strip().lower()}_{context.unit}" for name in _bare(columns)}
        columns = {bare.get(name, name): column for name, column in columns.items()}
    points_zyx, spacing = _positions(path, columns, context)
    lacking = [name for name in _ROTATION if name not in columns]
    if 0 < len(lacking) < len(_ROTATION):
        raise FormatError(f"{path.name} has some columns of the particles' axes, but lacks {listed(lacking)}.")
    return picks_of_file(
        path,
        points_zyx=points_zyx,
        spacing_angstrom=spacing,
        rotations_zyx=None if lacking else _stacked(path, columns, _ROTATION).reshape(-1, 3, 3),
        instance_ids=_whole(path, columns, _INSTANCE_ID, NO_INSTANCE),
        scores=numbers_of(path, _SCORE, columns[_SCORE]) if _SCORE in columns else None,
        ids=_whole(path, columns, _PICK_ID),
        features={name: column for name, column in columns.items() if name not in _OWN},
        shape_zyx=context.shape_zyx,
    )


def _positions(
    path: Path, columns: Mapping[str, NDArray[Any]], context: Context
) -> tuple[NDArray[np.float64], float | None]:
    """Voxel indices in z, y, x, and the voxel spacing if it is known."""
    own = _own_spacing(path, columns)
    spacing = context.spacing_angstrom if context.spacing_angstrom is not None else own
    given = {
        unit: _stacked(path, columns, names)
        for unit, names in _POSITIONS.items()
        if all(name in columns for name in names)
    }
    if not given:
        raise _no_positions(path, list(columns))
    width = own if own is not None else spacing  # of the voxels in which the file counts
    angstrom = [given[unit] * factor for unit, factor in _UNITS_ANGSTROM.items() if unit in given]
    if "voxel" in given and width is not None:
        angstrom.append(given["voxel"] * width)
    for other in angstrom[1:]:
        with np.errstate(invalid="ignore"):
            differ = (np.abs(other - angstrom[0]) > _ROUNDING * max(1.0, width or 1.0)).any(axis=1)
        if differ.any():
            raise FormatError(
                f"{path.name}, row {np.argmax(differ) + 1}: positions in {' and '.join(given)} aren't the same place.",
                hint="Remove the columns that are wrong; those of one unit are enough.",
            )
    if "voxel" in given:
        factor = width / spacing if width is not None and spacing is not None else 1.0
        return given["voxel"] * factor, spacing
    if spacing is None:
        raise MissingContextError(
            f"{path.name} has its positions in {next(iter(given))} and doesn't say how wide a voxel is.",
            hint=f"Give the voxel spacing of the tomogram, or add a column {_SPACING}.",
            missing=("spacing_angstrom",),
        )
    return angstrom[0] / spacing, spacing


def _bare(names: Iterable[str]) -> list[str]:
    """The columns x, y, z without a unit."""
    return [name for name in names if name.strip().lower() in set(_AXES)]


def _no_positions(path: Path, names: Sequence[str]) -> FormatError:
    if set(names) >= _NAPARIS_POINTS:
        return FormatError(
            f"{path.name} was written as napari's own type of points, without rotations and voxel spacing.",
            hint="Save the layer once more, as “CryoET Data Portal Picks” in napari's dialog or with Export picks, or "
            "open this file with napari's own reader.",
        )
    hint = "Name the columns z_voxel, y_voxel, x_voxel (counted from 0) or z_angstrom, y_angstrom, x_angstrom."
    if bare := _bare(names):
        hint += " Or say which unit it is (--unit on the command line)."
        return FormatError(f"{path.name}: the columns {listed(bare)} don't say what they count.", hint=hint)
    return FormatError(f"{path.name} has no columns of positions (it has {listed(names) or 'none'}).", hint=hint)


def _own_spacing(path: Path, columns: Mapping[str, NDArray[Any]]) -> float | None:
    if _SPACING not in columns:
        return None
    spacings = np.unique(numbers_of(path, _SPACING, columns[_SPACING]))
    if not len(spacings) or np.isnan(spacings).all():
        return None
    if len(spacings) > 1:
        raise FormatError(
            f"{path.name} has picks of several voxel spacings ({listed([f'{s:g} Å' for s in spacings])})."
        )
    if not 0 < spacings[0] < np.inf:
        raise FormatError(f"{path.name}: a voxel can't be {spacings[0]:g} Å wide, as its {_SPACING} says.")
    return float(spacings[0])


def _stacked(path: Path, columns: Mapping[str, NDArray[Any]], names: Sequence[str]) -> NDArray[np.float64]:
    return np.stack([numbers_of(path, name, columns[name]) for name in names], axis=1)


def _whole(path: Path, columns: Mapping[str, NDArray[Any]], name: str, missing: int | None = None) -> Any:
    return whole_numbers_of(path, name, columns[name], missing) if name in columns else None


def _typed(texts: NDArray[Any]) -> NDArray[Any]:
    """A column of texts as numbers if these spell the same; missing ones are NaN."""
    import pandas as pd

    if not any(texts) or _NO_NUMBER.search("\n".join(texts)):
        return texts
    try:
        numbers = np.array(pd.to_numeric(pd.Series(texts, dtype=object).replace(["NA", "nan", "NaN"], "")))
    except ValueError:
        return np.where(texts == "True", True, False) if set(texts.tolist()) <= {"True", "False"} else texts
    if (
        numbers.dtype.kind == "f" and np.abs(numbers).max(initial=0, where=~np.isnan(numbers)) >= LARGEST_EXACT
    ):  # some digits may be lost
        return texts
    return numbers


def _column_of_arrow(column: pa.ChunkedArray) -> NDArray[Any]:
    """Numbers, truth values or texts; NaN, None or "" where a row has no value."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_floating(kind) or (
        (pa.types.is_integer(kind) or pa.types.is_boolean(kind)) and not column.null_count
    ):
        return np.array(column.to_numpy())
    values = column.to_pylist()
    if pa.types.is_integer(kind) and column.null_count < len(column):
        return np.array(values, dtype=object)
    return as_texts(values)


def _is_plain(kind: pa.DataType) -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    tests = ("string", "large_string", "string_view", "floating", "integer", "boolean", "null")
    return any(getattr(pa.types, f"is_{test}")(kind) for test in tests)


def _arrow_table(picks: Picks) -> pa.Table:
    import pyarrow as pa

    columns: dict[str, Any] = {_PICK_ID: picks.ids}
    columns |= dict(zip(_POSITIONS["voxel"], picks.points_zyx.T, strict=True))
    if picks.spacing_angstrom is not None:
        columns |= dict(zip(_POSITIONS["angstrom"], picks.positions_angstrom_zyx.T, strict=True))
        columns[_SPACING] = np.full(len(picks), picks.spacing_angstrom)
    if picks.rotations_zyx is not None:
        columns |= dict(zip(_ROTATION, picks.rotations_zyx.reshape(-1, 9).T, strict=True))
    if picks.scores is not None:
        columns[_SCORE] = picks.scores
    columns |= {name: column for name, column in picks.features.items() if _recognized(name) not in _OWN}
    arrays = {name: pa.array(np.ascontiguousarray(column), from_pandas=True) for name, column in columns.items()}
    if picks.instance_ids is not None:
        arrays[_INSTANCE_ID] = pa.array(picks.instance_ids, mask=picks.instance_ids == NO_INSTANCE)
    return pa.table(arrays)


def _parquet_schema(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(pa.BufferReader(path.read_bytes()))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise FormatError(f"{path.name} is no Parquet file that can be read ({brief(error)}).") from error
