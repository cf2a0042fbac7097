"""Read and write picks in every format; what each format requires and can't hold.

Reading doesn't guess. If a file needs the voxel spacing or the size of its volume and doesn't have
it, `MissingContextError` names the missing arguments.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final, Literal, get_args

import numpy as np
from msgspec import structs

from napari_cryoet.exceptions import ContextField, FormatError, SaveError
from napari_cryoet.formats.common import (
    Context,
    LengthUnit,
    check_file,
    lacking,
    listed,
    plain_columns,
    spacing_in_layout,
    with_warning,
)
from napari_cryoet.formats.notes import (
    of_export,
    path_beside,
    read_beside,
    source_of,
    written_with_notes,
)
from napari_cryoet.locations import Location, PathOrUrl, path_to_read, path_to_write
from napari_cryoet.picks import Picks
from napari_cryoet.provenance import Provenance

if TYPE_CHECKING:
    import pandas as pd

PickFormat = Literal[
    "ndjson", "relion5", "relion4", "relion3", "dynamo", "copick", "csv", "parquet"
]
FORMATS: Final[tuple[PickFormat, ...]] = get_args(PickFormat)


@dataclass(frozen=True, slots=True)
class _Format:
    title: str
    suffix: str
    module: str  # of this package; imported when a file of the format is read or written
    needs: tuple[ContextField, ...] = ()  # attributes that picks must have to be written


_FORMATS: Final[dict[PickFormat, _Format]] = {
    "ndjson": _Format("portal ndjson", ".ndjson", "ndjson"),
    "relion5": _Format("RELION 5 STAR", ".star", "relion", ("spacing_angstrom", "shape_zyx")),
    "relion4": _Format("RELION 4 STAR", ".star", "relion", ("spacing_angstrom",)),
    "relion3": _Format("RELION 3.1 STAR", ".star", "relion"),
    "dynamo": _Format("Dynamo table", ".tbl", "dynamo"),
    "copick": _Format("copick picks", ".json", "copick", ("spacing_angstrom",)),
    "csv": _Format("CSV", ".csv", "tables"),
    "parquet": _Format("Parquet", ".parquet", "tables"),
}
#: Titles for menus and messages, and suffixes of files.
TITLES: Final[dict[PickFormat, str]] = {name: entry.title for name, entry in _FORMATS.items()}
SUFFIXES: Final[dict[PickFormat, str]] = {name: entry.suffix for name, entry in _FORMATS.items()}
_OF_SUFFIX: Final[dict[str, PickFormat]] = {
    suffix: name for name, suffix in reversed(SUFFIXES.items())
}
#: Other programs' formats, with how to convert them.
_FOREIGN: Final = {
    ".em": (
        "an EM file, such as a motive list of TOM, AV3 or STOPGAP",
        "Convert it to a RELION STAR file or a Dynamo table first, for example with ArtiaX.",
    ),
    ".mod": (
        "an IMOD model",
        "Run IMOD's model2point on it, save the three columns as a comma-separated file with the "
        "first line x_voxel,y_voxel,z_voxel, give it a name that ends in .picks.csv, and open that.",
    ),
}
_HEAD_BYTES: Final = 2**16


@dataclass(frozen=True, slots=True)
class Written:
    """A pick file that was written."""

    path: Path
    format: PickFormat
    count: int
    losses: tuple[str, ...]  # warnings about data that the file can't hold
    provenance_path: Path  # the provenance file beside it


def detect_format(path: PathOrUrl) -> PickFormat | None:
    """A file's format, from suffix and content; None if it has no picks.

    Any STAR file is "relion5".
    """
    path = path_to_read(path)
    name = format_of_name(path)
    if name is None:
        return None
    check_file(path)
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return name if _module(name).holds(path, head) else None


def format_of_name(path: PathOrUrl) -> PickFormat | None:
    """The format of a suffix, or None. Any STAR file is "relion5"."""
    return _OF_SUFFIX.get(Location.of(path).suffix)


def format_for(path: PathOrUrl, picks: Picks) -> PickFormat:
    """The format to write for a file name, or SaveError.

    For ``.star``, the newest version that the picks allow.
    """
    name = format_of_name(path)
    if name is None:
        raise SaveError(
            f"The name {Location.of(path).name or path} doesn't tell the format.",
            hint=f"Use a name that ends in {', '.join(_OF_SUFFIX)}.",
        )
    candidates = (other for other in FORMATS if SUFFIXES[other] == SUFFIXES[name])
    return next((other for other in candidates if not missing_for(picks, other)), name)


def losses(picks: Picks, format: PickFormat) -> tuple[str, ...]:  # noqa: A002
    """Warnings about what a file of this format can't hold of the picks."""
    return tuple(_module(format).losses(picks, format))


def missing_for(picks: Picks, format: PickFormat) -> tuple[ContextField, ...]:  # noqa: A002
    """The attributes that the picks lack for this format."""
    return tuple(name for name in _FORMATS[format].needs if getattr(picks, name) is None)


def _module(name: PickFormat) -> ModuleType:
    """The module of a format, whose functions are `read`, `write`, `losses` and `holds`."""
    return import_module(f"napari_cryoet.formats.{_FORMATS[name].module}")


def _refuse_unknown(format: str | None) -> None:  # noqa: A002
    if format is not None and format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, not {format!r}")


# reading


def read_picks(
    path: PathOrUrl | pd.DataFrame,
    *,
    format: PickFormat | None = None,  # noqa: A002
    spacing_angstrom: float | None = None,
    shape_zyx: tuple[int, int, int] | None = None,
    tomogram: str | None = None,
    alignment_id: int | None = None,
    unit: LengthUnit | None = None,
) -> Picks:
    """Read picks and their provenance from a file, or from a pandas table with the columns of one.

    Parameters
    ----------
    path
        A local file, or a table such as that of `Picks.to_dataframe`.
    format
        By default from the suffix. Any RELION format reads all STAR files.
    spacing_angstrom
        The voxel size of the grid for the returned positions. If the file has none, give that of the volume on which
        the picks were made; else choose any.
    shape_zyx
        The size of that grid in voxels.
    tomogram
        The name of a tomogram, or the end of its path, if a STAR file or Dynamo table has several.
    alignment_id
        The portal's alignment. If a column ``alignment_id`` has several, only picks of this one are read. If the file
        names none, its picks are assigned to it.
    unit
        The unit of columns x, y, z of a table, if their names don't tell.

    Raises
    ------
    FormatError
        If the file has no readable picks.
    MissingContextError
        If the file alone doesn't define positions; ``missing`` names the arguments to give.
    """
    known = Context(spacing_angstrom, shape_zyx, tomogram, unit)
    if isinstance(path, str | os.PathLike | Location):
        name = Location.of(path).name
        picks = read_in_own_grid(path, known, format=format)
    else:
        from napari_cryoet.formats.tables import picks_of_frame

        name = "The table"
        picks = picks_of_frame(Path(name), path, known)
    return _in_grid(_of_alignment(picks, alignment_id, name), spacing_angstrom, shape_zyx)


def read_in_own_grid(
    path: PathOrUrl,
    known: Context,
    *,
    format: PickFormat | None = None,  # noqa: A002
) -> Picks:
    """Like `read_picks`, but in the file's own grid.

    ``known`` is used only where the file lacks a value.
    """
    path = path_to_read(path)
    _refuse_unknown(format)
    spacing_angstrom, shape_zyx = known.spacing_angstrom, known.shape_zyx
    if spacing_angstrom is not None and not 0 < spacing_angstrom < math.inf:
        raise ValueError(f"a voxel can't be {spacing_angstrom} Å wide")
    name = format or _format_to_read(path)
    check_file(path)
    notes = read_beside(path)
    noted = None if notes is None else notes.voxel_spacing_angstrom
    if notes is not None and noted is not None:
        spacing_angstrom, shape_zyx = noted, notes.shape_zyx
    location = Location.of(path)
    spacing = spacing_angstrom or spacing_in_layout(location)
    picks: Picks = _module(name).read(
        path, replace(known, spacing_angstrom=spacing, shape_zyx=shape_zyx)
    )
    about = Provenance.of_file("picks", location, picks.spacing_angstrom)
    about = about.updated(picks.about).updated(source_of(path, notes))
    picks = replace(
        picks,
        about=structs.replace(about, edits=()),
        edits=about.edits,
        alignment_id=about.alignment_id,
    )
    return picks if noted is None else _in_grid(picks, noted, shape_zyx)


def _format_to_read(path: Path) -> PickFormat:
    name = format_of_name(path)
    if name is not None:
        return name  # the reader explains what is wrong
    check_file(path)
    if path.suffix.lower() in _FOREIGN:
        what, hint = _FOREIGN[path.suffix.lower()]
        raise FormatError(f"{path.name} is {what}, which can't be read here.", hint=hint)
    raise FormatError(
        f"{path.name} isn't a known kind of pick file.",
        hint=f"Supported formats: {', '.join(TITLES.values())}.",
    )


def _in_grid(
    picks: Picks, spacing_angstrom: float | None, shape_zyx: tuple[int, int, int] | None
) -> Picks:
    """Convert picks to a grid, as far as both grids are known."""
    own = picks.spacing_angstrom
    if spacing_angstrom is not None and own is not None and own != spacing_angstrom:
        return picks.rescaled(spacing_angstrom, shape_zyx)
    return replace(
        picks, spacing_angstrom=spacing_angstrom or own, shape_zyx=shape_zyx or picks.shape_zyx
    )


def _of_alignment(picks: Picks, wanted: int | None, file_name: str) -> Picks:
    """Select the picks of an alignment if the file names any; warn if several remain."""
    column = picks.features.get("alignment_id", np.zeros(0))
    numbers = np.array(
        [str(value).removeprefix("AL-").removesuffix(".0") for value in column.tolist()],
        dtype=object,
    )
    known = sorted({*numbers.tolist()} - {"", "nan"})
    if wanted is None:
        warning = f"Its picks belong to several alignments ({listed(known)}), whose coordinates don't match."
        return with_warning(picks, warning) if len(known) > 1 else picks
    own = known or ([] if picks.alignment_id is None else [str(picks.alignment_id)])
    if own and str(wanted) not in own:
        names = listed([f"AL-{number}" for number in own])
        raise FormatError(
            f"{file_name} has no picks of AL-{wanted}.", hint=f"It has picks of {names}."
        )
    if len(known) > 1:
        picks = picks.take(numbers == str(wanted), f"kept those of AL-{wanted}")
    return replace(picks, alignment_id=wanted)


# writing


def write_picks(
    picks: Picks,
    path: PathOrUrl,
    *,
    format: PickFormat | None = None,  # noqa: A002
    overwrite: bool = False,
    who: str = "",
) -> Written:
    """Write picks to a file, atomically, with a provenance file beside it.

    Parameters
    ----------
    picks
        The picks to write.
    path
        The file to write.
    format
        By default from the suffix; for ``.star``, the newest version that the picks allow.
    overwrite
        Whether to replace an existing file.
    who
        The person who exports, recorded as ``written_by``.

    Raises
    ------
    ExistsError
        If the file exists and ``overwrite`` isn't set.
    MissingContextError
        If the picks lack attributes that the format needs.
    SaveError
        If the file can't be written, or its suffix doesn't fit the format.
    """
    path = path_to_write(path)
    _refuse_unknown(format)
    name = format or format_for(path, picks)
    title, suffix = TITLES[name], SUFFIXES[name]
    other, missing = format_of_name(path), missing_for(picks, name)
    if other is not None and SUFFIXES[other] != suffix:
        raise SaveError(
            f"The suffix of {path.name} doesn't fit {title}.",
            hint=f"Use a name that ends in {suffix}.",
        )
    if missing:
        raise lacking(
            f"These picks can't be written as {title}",
            *missing,
            way_out=", or choose another format",
        )
    warnings = losses(picks, name)
    notes = of_export(
        "picks",
        picks.about,
        spacing_angstrom=picks.spacing_angstrom,
        shape_zyx=picks.shape_zyx,
        alignment_id=picks.alignment_id,
        edits=picks.edits,
        who=who,
    )
    with written_with_notes(
        path, notes | {"format": name, "losses": warnings}, overwrite=overwrite
    ) as unfinished:
        try:
            plain = replace(picks, features=plain_columns(picks.features))
            _module(name).write(plain, unfinished, path, name)
        except (ValueError, TypeError, NotImplementedError) as error:  # raised by libraries
            raise SaveError(f"These picks can't be written as {title} ({error}).") from error
    return Written(path, name, len(picks), warnings, path_beside(path))
