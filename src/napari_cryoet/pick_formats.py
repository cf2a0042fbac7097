"""Which formats of picks there are: what they are called, which file is in which, what each needs and can't hold."""

from __future__ import annotations

from numbers import Real
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import Context, FormatError, SaveError
from napari_cryoet.files import path_to_read
from napari_cryoet.formats import copick, dynamo, dynamo_writing, ndjson, star, star_writing, tables
from napari_cryoet.formats.column_types import are_all_missing, plain_columns, rounded, turned_into_texts
from napari_cryoet.formats.exchange import listed, numbered
from napari_cryoet.formats.star_labels import Dialect
from napari_cryoet.picks import Picks
from napari_cryoet.provenance_beside import SUFFIX

PickFormat = Literal["ndjson", "relion5", "relion4", "relion3", "dynamo", "copick", "csv", "parquet"]
FORMATS: Final[tuple[PickFormat, ...]] = get_args(PickFormat)
#: What to call a format in a list of them.
TITLES: Final[dict[PickFormat, str]] = {
    "ndjson": "portal ndjson",
    "relion5": "RELION 5 STAR",
    "relion4": "RELION 4 STAR",
    "relion3": "RELION 3.1 STAR",
    "dynamo": "Dynamo table",
    "copick": "copick picks",
    "csv": "CSV",
    "parquet": "Parquet",
}
SUFFIXES: Final[dict[PickFormat, str]] = {
    "ndjson": ".ndjson",
    "relion5": ".star",
    "relion4": ".star",
    "relion3": ".star",
    "dynamo": ".tbl",
    "copick": ".json",
    "csv": ".csv",
    "parquet": ".parquet",
}
#: What to call what a format needs to know of picks.
MISSING_WORDS: Final[dict[Context, str]] = {
    "spacing_angstrom": "the voxel spacing",
    "shape_zyx": "the size of the volume",
    "tomogram": "the tomogram",
}

_OF_SUFFIX: Final[dict[str, PickFormat]] = {suffix: name for name, suffix in reversed(SUFFIXES.items())}
RELION: Final[dict[str, Dialect]] = {"relion5": "relion5", "relion4": "relion4", "relion3": "relion3"}
#: Formats that say of each pick in which tomogram it is.
OF_SEVERAL_TOMOGRAMS: Final = frozenset({*RELION, "dynamo"})
HOLDS_PROVENANCE: Final = frozenset({"relion5", "relion4", "relion3", "parquet"})
_HEAD_BYTES: Final = ndjson.MAX_LINE_BYTES + 1


def detect_format(path: str | Path) -> PickFormat | None:
    """Which format of picks a file is in: its name says which it may be, its content whether it is.

    None where it is none of ours; for any STAR file, "relion5".
    """
    path = path_to_read(path)
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise FormatError(f"{str(path)!r} is no file.")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise FormatError(f"{path.name!r} can't be read: {error.strerror or error}.") from error
    name = format_of_name(path)
    text = head.decode("utf-8", errors="replace")
    match name:
        case "parquet":
            is_it = head.startswith(b"PAR1") and tables.holds_picks_parquet(path)
        case "csv":
            is_it = tables.holds_picks_csv(text)
        case "dynamo":
            is_it = dynamo.holds_table(text)
        case "copick":
            is_it = copick.holds_picks(path, text)
        case "relion5" | "relion4" | "relion3":
            is_it = star.holds_blocks(path)
        case "ndjson":
            is_it = ndjson.holds_points(head) or not text.strip()
        case None:
            return None
    return name if is_it else None


def format_of_name(path: str | Path) -> PickFormat | None:
    """The format that a file is called after; "relion5" for any STAR file."""
    return _OF_SUFFIX.get(Path(path).suffix.lower())


def losses(picks: Picks, format: PickFormat) -> tuple[str, ...]:  # noqa: A002 - what everybody calls it
    """What a file of this format would not say of these picks, in words for the person who is about to write it."""
    return (*_losses(_as_written(picks), format), *_column_losses(picks, format))


def _as_written(picks: Picks) -> Picks:
    """Picks whose columns of Python's numbers, or of numbers beyond 2^63, are those that are written."""
    mixed = {name: column for name, column in picks.features.items() if column.dtype.kind in "Ou"}
    some = {
        name: next((value for value in column if isinstance(value, str | Real)), None) for name, column in mixed.items()
    }
    numbers = {name: mixed[name] for name, value in some.items() if isinstance(value, Real)}
    return picks.changed(features=dict(picks.features) | plain_columns(numbers)) if numbers else picks


def _losses(picks: Picks, format: PickFormat) -> tuple[str, ...]:  # noqa: A002
    match format:
        case "ndjson":
            return tuple(_ndjson_losses(picks))
        case "dynamo":
            return tuple(dynamo_writing.losses(picks))
        case "copick":
            return tuple(copick.losses(picks))
        case "csv" | "parquet":
            return tuple(tables.losses(picks))
        case "relion5" | "relion4" | "relion3":
            return tuple(star_writing.losses(picks, RELION[format]))


def _column_losses(picks: Picks, format: PickFormat) -> list[str]:  # noqa: A002
    """What becomes of columns that no file has a type for; formats without further columns have said so already."""
    features = {} if format in {"dynamo", "copick"} else picks.features
    texts, numbers = turned_into_texts(features), rounded(features)
    said = [f"Columns that aren't plain numbers or texts are written as texts: {listed(texts)}."] if texts else []
    return [
        *said,
        *([f"Numbers of more digits than reals of 64 bits have are rounded, in {listed(numbers)}."] if numbers else []),
    ]


def missing_for(picks: Picks, format: PickFormat) -> tuple[Context, ...]:  # noqa: A002
    """What has to be known of the picks' volume before they can be written in this format, and isn't."""
    if format in RELION:
        return star_writing.missing_for(picks, RELION[format])
    if format == "copick" and picks.spacing_angstrom is None:
        return ("spacing_angstrom",)
    return ()


def format_for(path: str | Path, picks: Picks) -> PickFormat:
    """The format that a file's name asks for; for ``.star``, RELION's newest for which enough is known.

    Raises
    ------
    SaveError
        If no format is called so.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".star":
        return next(name for name in RELION.values() if not star_writing.missing_for(picks, name))
    if suffix not in _OF_SUFFIX:
        raise SaveError(
            f"A name like {Path(path).name or path} doesn't say in which format.",
            hint=f"Let it end in {', '.join(_OF_SUFFIX)}.",
        )
    return _OF_SUFFIX[suffix]


def _ndjson_losses(picks: Picks) -> list[str]:
    said = [] if picks.spacing_angstrom is None else [_beside("the voxel spacing")]
    unnamed = [name for name in picks.features if name in ndjson.OWN_KEYS]
    if unnamed:
        said.append(f"Columns called {', '.join(unnamed)} would be taken for something else; they are left out.")
    empty = [name for name, column in picks.features.items() if name not in unnamed and are_all_missing(column)]
    if empty:
        said.append(f"Lines have no trace of columns without any value ({listed(empty)}); these stand in the {SUFFIX}.")
    if picks.rotations_zyx is not None:
        is_missing = np.isnan(picks.rotations_zyx)
        is_part = is_missing.any(axis=(1, 2)) & ~is_missing.all(axis=(1, 2))
        if is_part.any():
            which = numbered("pick", picks.ids[is_part].tolist())
            said.append(f"Matrices that lack some of their numbers are left out ({which}).")
    columns = [*picks.features.values(), *([] if picks.scores is None else [picks.scores])]
    if any(column.dtype.kind == "f" and np.isinf(column).any() for column in columns):
        said.append("JSON knows no infinite numbers; they are left out.")
    long = [name for name, column in picks.features.items() if _longest_text(column) > ndjson.MAX_TEXT]
    if long:
        said.append(f"Texts of more than {ndjson.MAX_TEXT:,} characters can't be read again, in {listed(long)}.")
    if any(len(name) > ndjson.MAX_TEXT for name in picks.features):
        said.append(f"Columns whose names have more than {ndjson.MAX_TEXT:,} characters can't be read again.")
    if len(picks.features) > ndjson.MAX_COLUMNS:
        said.append(f"No more than {ndjson.MAX_COLUMNS} further columns can be read again, of {len(picks.features)}.")
    return said


def _longest_text(column: NDArray[Any]) -> int:
    return max(map(len, map(str, column.tolist())), default=0) if column.dtype.kind in "OUS" else 0


def _beside(what: str) -> str:
    return f"The format has no place for {what}; it stands in the {SUFFIX} beside the file."
