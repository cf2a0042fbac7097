"""What all formats of picks share: the context that a reader is given, checks, and plain columns."""

from __future__ import annotations

import codecs
import math
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError, MissingContextError
from napari_cryoet.picks import Picks

#: Far above any known file of picks.
MAX_FILE_BYTES: Final = 512 * 2**20
MAX_PICKS: Final = 3_000_000
#: Up to here a float64 holds every whole number.
LARGEST_EXACT: Final = 2**53
_PACKED: Final = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zX": "xz", b"PK\x03\x04": "zip"}
_NO_NUMBER: Final = ("", "nan", "NaN", "NA")
_SHOWN_CHARACTERS: Final = 60
_SPACING_FOLDER: Final = re.compile(r"/VoxelSpacing(\d{1,6}(?:\.\d{1,6})?)/")


#: What positions may count.
Unit = Literal["voxel", "angstrom", "nanometer"]


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of the volume of a file's picks besides the file.

    Attributes
    ----------
    spacing_angstrom, shape_zyx
        Of the grid in which positions shall be counted.
    tomogram
        Which one, of a file with several.
    unit
        What columns x, y, z of a table count.
    """

    spacing_angstrom: float | None = None
    shape_zyx: tuple[int, int, int] | None = None
    tomogram: str | None = None
    unit: Unit | None = None


def check_file(path: Path, *, is_text: bool = True) -> None:
    """Refuse what no reader can use: no file, a compressed or a huge one, and text in UTF-16."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise FormatError(f"{str(path)!r} is no file.")
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise FormatError(f"{path.name!r} can't be read: {error.strerror or error}.") from error
    if status.st_size > MAX_FILE_BYTES:
        raise FormatError(f"{path.name} is too large for a file of picks ({status.st_size:,} bytes).")
    packing = next((name for magic, name in _PACKED.items() if start.startswith(magic)), None)
    if packing is not None:
        raise FormatError(f"{path.name} is compressed with {packing}.", hint="Unpack it first.")
    if is_text and start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise FormatError(f"{path.name} is text in UTF-16.", hint="Save it with the encoding UTF-8.")


def choose_tomogram(names: Sequence[str], wanted: str | None, file_name: str) -> str | None:
    """The chosen one of a file's tomograms, by its name or the end of its path; None if the file names none.

    Raises
    ------
    MissingContextError
        If there are several and none was chosen; it has their names.
    FormatError
        If the chosen one isn't there.
    """
    found = tuple(dict.fromkeys(names))
    if wanted is None and len(found) > 1:
        raise MissingContextError(
            f"{file_name} holds the picks of {len(found)} tomograms: {listed(found)}.",
            hint="Say which one.",
            missing=("tomogram",),
            choices=found,
        )
    if wanted is None:
        return found[0] if found else None
    matching = [name for name in found if name == wanted] or [name for name in found if name.endswith(f"/{wanted}")]
    if len(matching) != 1:
        hint = f"It has those of {listed(found)}." if found else "It names no tomogram."
        raise FormatError(f"{file_name} has no picks of a tomogram {wanted!r}.", hint=hint)
    return matching[0]


def picks_of_file(path: Path, *, row_name: str = "row", rows: Sequence[int] | None = None, **columns: Any) -> Picks:
    """Picks of a file's columns, or a `FormatError` that names the row that can't be one.

    Parameters
    ----------
    row_name, rows
        What the file's picks are called and counted as in messages; by default from 1.
    """
    points = np.asarray(columns["points_zyx"], dtype=np.float64)
    are_odd = ~np.isfinite(points).all(axis=1)
    if are_odd.any():
        first = int(np.argmax(are_odd))
        axes = " and ".join(axis for axis, value in zip("zyx", points[first], strict=True) if not math.isfinite(value))
        number = first + 1 if rows is None else rows[first]
        raise FormatError(f"{path.name} can't be used: {row_name} {number} has no finite position along {axes}.")
    try:
        picks = Picks(**columns)
    except (ValueError, TypeError, OverflowError) as error:
        raise FormatError(f"{path.name} can't be used: {error}.") from error
    n_given = 0 if picks.rotations_zyx is None else int((~np.isnan(picks.rotations_zyx).all(axis=(1, 2))).sum())
    n_bad = n_given - int(picks.are_oriented.sum())
    said = f"{n_bad:,} of {n_given:,} orientations aren't rotations, so not drawn."
    return with_warnings(picks, said) if n_bad else picks


def spacing_in_layout(url_or_path: str | Path) -> float | None:
    """The voxel spacing of the portal's folders, which downloads keep: ``…/VoxelSpacing13.480/…``, or None."""
    text = str(url_or_path)
    place = unquote(text.partition("?")[0]) if "://" in text else Path(text).absolute().as_posix()
    found = _SPACING_FOLDER.search(place)
    return float(found[1]) or None if found else None


def with_warnings(picks: Picks, *warnings: str) -> Picks:
    """The same picks with further warnings for whoever uses them."""
    return replace(picks, about=dict(picks.about) | {"warnings": [*picks.about.get("warnings", ()), *warnings]})


def known_rotations(picks: Picks) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | None:
    """The picks' rotations in x, y, z, the identity for picks without, and which have one; None if none has."""
    matrices, are_known = picks.rotations_xyz, picks.are_oriented
    if matrices is None or not are_known.any():
        return None
    return np.where(are_known[:, None, None], matrices, np.eye(3)), are_known


def rotation_losses(picks: Picks) -> list[str]:
    """What becomes of matrices that angles can't hold."""
    if picks.rotations_zyx is None:
        return []
    losses = []
    n_improper = int((~np.isnan(picks.rotations_zyx).all(axis=(1, 2)) & ~picks.are_oriented).sum())
    if n_improper:
        losses.append(f"{n_improper:,} of the matrices are no rotations; these picks are written without orientation.")
    matrices = picks.rotations_zyx[picks.are_oriented]
    if len(matrices) and not np.allclose(np.swapaxes(matrices, 1, 2) @ matrices, np.eye(3), rtol=0, atol=1e-6):
        losses.append("Rotations are rounded in the source; angles hold the nearest exact rotation.")
    return losses


def numbers_of(path: Path, name: str, column: Any) -> NDArray[np.float64]:
    """A column of a file as numbers, NaN where it has no value, or a `FormatError` that names a wrong value."""
    column = np.asarray(column)
    if column.dtype.kind in "biuf":
        return np.array(column, dtype=np.float64)
    import pandas as pd

    numbers = np.array(pd.to_numeric(pd.Series(column, dtype=object), errors="coerce"), dtype=np.float64)
    for row in np.flatnonzero(np.isnan(numbers)):
        value = column[row]
        if not is_missing(value) and value not in _NO_NUMBER:
            said = f"{name} isn't a column of numbers: row {row + 1} has {shortened(value)!r}."
            raise FormatError(f"{path.name}: {said}")
    return numbers


def whole_numbers_of(path: Path, name: str, column: Any, missing: int | None = None) -> NDArray[np.int64]:
    """A column of a file as whole numbers with all their digits, also if it was written with decimals (``7.0``).

    Parameters
    ----------
    missing
        What stands for no value; None if each row must have one.
    """
    column = np.asarray(column)
    if column.dtype.kind == "i":
        return np.array(column, dtype=np.int64)
    try:
        return np.array([_whole_number(value, missing) for value in column.tolist()], dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise FormatError(f"{path.name}: {name} isn't a column of whole numbers ({error}).") from error


def _whole_number(value: Any, missing: int | None) -> int:
    if isinstance(value, int):
        return value
    if is_missing(value) or value in _NO_NUMBER:
        if missing is None:
            raise ValueError("a row has none")
        return missing
    if isinstance(value, str) and value.strip().lstrip("+-").isdecimal():
        return int(value)
    if float(value) != math.floor(float(value)):
        raise ValueError(f"{value} is not whole")
    return int(float(value))


def plain_columns(features: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Columns as files have them: truth values, whole numbers, reals and texts; all else as texts."""
    return {name: _plain(column) for name, column in features.items()}


def turned_into_texts(features: Mapping[str, NDArray[Any]]) -> list[str]:
    """The names of columns of something else that `plain_columns` gives as texts."""
    return [
        name
        for name, column in features.items()
        if kind_of(_plain(column)) == "text" and not all(isinstance(v, str) or is_missing(v) for v in column.tolist())
    ]


def _plain(column: NDArray[Any]) -> NDArray[Any]:
    kind = column.dtype.kind
    if kind in "bi" or (kind == "u" and int(column.max(initial=0)) < 2**63):
        return column
    if kind == "f":
        return np.array(column, dtype=np.float64)
    if kind in "mM":
        return as_texts(["" if np.isnat(time) else str(time) for time in column])
    values = column.tolist()
    given = [value for value in values if not is_missing(value)]
    if given and all(isinstance(value, Real) and not isinstance(value, bool) for value in given):
        return np.array([math.nan if is_missing(value) else float(value) for value in values])
    return as_texts(values)


def as_texts(values: Sequence[Any]) -> NDArray[Any]:
    """Values as texts, "" for missing ones."""
    return np.array(["" if is_missing(value) else str(value) for value in values], dtype=object)


def kind_of(column: NDArray[Any]) -> str:
    """What an export notes as the type of a column."""
    return {"b": "truth", "i": "whole", "u": "whole", "f": "real"}.get(column.dtype.kind, "text")


def as_kind(column: NDArray[Any], kind: str | None) -> NDArray[Any]:
    """A column with the type that it had before it went through a file; unchanged if it can't have it."""
    if kind in (None, kind_of(column)):
        return column
    try:
        match kind:
            case "truth":
                return np.isin(column.astype(str), ["True", "true", "1", "1.0"])
            case "whole":
                return whole_numbers_of(Path(), "", column)
            case "real":
                return np.array([math.nan if is_missing(value) else float(value) for value in column.tolist()])
    except (ValueError, FormatError):
        return column
    return as_texts(column.tolist())


def is_missing(value: Any) -> bool:
    """Whether a value stands for none: None, NaN, an empty text, or pandas' NA and NaT."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or value == "" or type(value).__name__ in {"NAType", "NaTType"}


def listed(names: Sequence[str], most: int = 20) -> str:
    """Names in a sentence, not more than fit into one."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(_shown(name) for name in names[:most]) + more


def shortened(value: Any) -> str:
    """As much of a text as a message shows."""
    text = str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _shown(name: str) -> str:
    """A name as it is, its end if it is long, or in quotes if it couldn't be seen in a sentence."""
    text = name if len(name) <= _SHOWN_CHARACTERS else f"…{name[-_SHOWN_CHARACTERS + 1 :]}"
    return text if text and text == text.strip() and text.isprintable() else repr(text)
