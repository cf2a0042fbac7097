"""Reading and writing picks in every format; what each format needs, and what it can't hold.

Reading guesses nothing: a file that doesn't say how wide a voxel is, or how large the volume is from whose centre it
counts, raises `MissingContextError`, which names what to say.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np

from napari_cryoet.exceptions import Context as Missing
from napari_cryoet.exceptions import FormatError, SaveError
from napari_cryoet.files import path_to_read, path_to_write
from napari_cryoet.formats import copick, dynamo, ndjson, relion, tables
from napari_cryoet.formats.common import (
    Context,
    Unit,
    check_file,
    lacking,
    listed,
    plain_columns,
    spacing_in_layout,
    with_warning,
)
from napari_cryoet.formats.notes import of_bare_file, of_export, path_beside, read_beside, source_of, written_with_notes
from napari_cryoet.picks import Picks

PickFormat = Literal["ndjson", "relion5", "relion4", "relion3", "dynamo", "copick", "csv", "parquet"]
FORMATS: Final[tuple[PickFormat, ...]] = get_args(PickFormat)


@dataclass(frozen=True, slots=True)
class _Format:
    title: str
    suffix: str
    read: Callable[[Path, Context], Picks]
    write: Callable[[Picks, Path, Path], None]  # to the path of a hidden file, which gets the second one
    losses: Callable[[Picks], list[str]]
    needs: tuple[Missing, ...] = ()  # what picks have to say before they can be written
    holds: Callable[[Path, bytes], bool] = lambda _path, _head: True  # by a file's path and its first bytes


def _relion(title: str, version: relion.Version, *needs: Missing) -> _Format:
    write, losses_of = partial(relion.write, version=version), partial(relion.losses, version=version)
    return _Format(title, ".star", relion.read, write, losses_of, needs)


_OF_NAME: Final[dict[PickFormat, _Format]] = {
    "ndjson": _Format("portal ndjson", ".ndjson", ndjson.read, ndjson.write, ndjson.losses, (), ndjson.holds),
    "relion5": _relion("RELION 5 STAR", "relion5", "spacing_angstrom", "shape_zyx"),
    "relion4": _relion("RELION 4 STAR", "relion4", "spacing_angstrom"),
    "relion3": _relion("RELION 3.1 STAR", "relion3"),
    "dynamo": _Format("Dynamo table", ".tbl", dynamo.read, dynamo.write, dynamo.losses),
    "copick": _Format(
        "copick picks", ".json", copick.read, copick.write, copick.losses, ("spacing_angstrom",), copick.holds
    ),
    "csv": _Format("CSV", ".csv", tables.read_csv, tables.write_csv, tables.losses, (), tables.holds_csv),
    "parquet": _Format(
        "Parquet", ".parquet", tables.read_parquet, tables.write_parquet, tables.losses, (), tables.holds_parquet
    ),
}
#: What to call a format in a list, and how its files end.
TITLES: Final[dict[PickFormat, str]] = {name: each.title for name, each in _OF_NAME.items()}
SUFFIXES: Final[dict[PickFormat, str]] = {name: each.suffix for name, each in _OF_NAME.items()}
_OF_SUFFIX: Final[dict[str, PickFormat]] = {suffix: name for name, suffix in reversed(SUFFIXES.items())}
#: Files of other programs, with a way out.
_FOREIGN: Final = {
    ".em": (
        "an EM file, such as a motive list of TOM, AV3 or STOPGAP",
        "Convert it to a RELION STAR file or a Dynamo table first, for example with ArtiaX.",
    ),
    ".mod": (
        "a model of IMOD",
        "Write its points as text with IMOD's model2point, and save them as a CSV file whose first line is "
        "x_voxel,y_voxel,z_voxel.",
    ),
}
_HEAD_BYTES: Final = 2**16
_ALIGNMENT: Final = "alignment_id"


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: where, as what, and how many picks."""

    path: Path
    format: PickFormat
    count: int
    losses: tuple[str, ...]  # what the file can't hold
    provenance_path: Path  # the file beside it that says where the picks come from


def detect_format(path: str | Path) -> PickFormat | None:
    """The format of a file, by its suffix and its content; None if it holds no picks. "relion5" for any STAR file."""
    path = path_to_read(path)
    name = format_of_name(path)
    if name is None:
        return None
    check_file(path)
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return name if _OF_NAME[name].holds(path, head) else None


def format_of_name(path: str | Path) -> PickFormat | None:
    """The format that a file's suffix means; "relion5" for any STAR file."""
    return _OF_SUFFIX.get(Path(path).suffix.lower())


def format_for(path: str | Path, picks: Picks) -> PickFormat:
    """The format to write for a name; for ``.star``, RELION's newest for which enough is known. Else SaveError."""
    name = format_of_name(path)
    if name is None:
        raise SaveError(
            f"A name like {Path(path).name or path} doesn't say in which format.",
            hint=f"Let it end in {', '.join(_OF_SUFFIX)}.",
        )
    of_suffix = [each for each in FORMATS if SUFFIXES[each] == SUFFIXES[name]]
    return next((each for each in of_suffix if not missing_for(picks, each)), name)


def losses(picks: Picks, format: PickFormat) -> tuple[str, ...]:  # noqa: A002
    """What a file of this format would not hold of these picks."""
    return tuple(_OF_NAME[format].losses(picks))


def missing_for(picks: Picks, format: PickFormat) -> tuple[Missing, ...]:  # noqa: A002
    """What has to be known of the picks' volume before they can be written in this format, and isn't."""
    return tuple(name for name in _OF_NAME[format].needs if getattr(picks, name) is None)


def _refuse_unknown(format: str | None) -> None:  # noqa: A002
    if format is not None and format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, not {format!r}")


# reading


def read_picks(
    path: str | Path,
    *,
    format: PickFormat | None = None,  # noqa: A002
    spacing_angstrom: float | None = None,
    shape_zyx: tuple[int, int, int] | None = None,
    tomogram: str | None = None,
    alignment_id: int | None = None,
    unit: Unit | None = None,
) -> Picks:
    """The picks of a file, with what is known of where they come from.

    Parameters
    ----------
    path
        On this computer.
    format
        If the suffix shall not decide; any of RELION's reads all STAR files.
    spacing_angstrom
        The voxel size of the grid in which positions shall be counted: of the volume on which a file without one was
        made, else whichever you like.
    shape_zyx
        The size of that grid in voxels.
    tomogram
        Which one of several, by its name or the end of its path; for STAR files and Dynamo tables.
    alignment_id
        Of the portal's alignment. If a column ``alignment_id`` names several, only its picks are read; picks of a file
        that names none are taken to belong to it.
    unit
        What the columns x, y, z of a table count, where their names don't say it.

    Raises
    ------
    FormatError
        If there are no picks that can be read.
    MissingContextError
        If positions can't be told from the file alone; its ``missing`` names the arguments that help.
    """
    picks = read_in_own_grid(path, Context(spacing_angstrom, shape_zyx, tomogram, unit), format=format)
    return _in_grid(_of_alignment(picks, alignment_id, Path(path).name), spacing_angstrom, shape_zyx)


def read_in_own_grid(path: str | Path, known: Context, *, format: PickFormat | None = None) -> Picks:  # noqa: A002
    """As `read_picks`, but counted as the file counts: what is given stands in for what it doesn't say."""
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
    spacing = spacing_angstrom or spacing_in_layout(path)
    picks = _OF_NAME[name].read(path, replace(known, spacing_angstrom=spacing, shape_zyx=shape_zyx))
    source = of_bare_file("picks", str(path), picks.spacing_angstrom)
    source |= {key: value for key, value in picks.about.items() if value not in (None, [])} | source_of(path, notes)
    edits, alignment = source.pop("edits", ()), source.get(_ALIGNMENT)
    picks = replace(
        picks,
        about=source,
        edits=tuple(map(str, edits)),
        alignment_id=alignment if isinstance(alignment, int) else None,
    )
    return picks if noted is None else _in_grid(picks, noted, shape_zyx)


def _format_to_read(path: Path) -> PickFormat:
    name = format_of_name(path)
    if name is not None:
        return name  # its reader says what is wrong
    check_file(path)
    if path.suffix.lower() in _FOREIGN:
        what, hint = _FOREIGN[path.suffix.lower()]
        raise FormatError(f"{path.name} is {what}, which isn't read here.", hint=hint)
    raise FormatError(
        f"{path.name} is no file of picks that can be read.", hint=f"These can: {', '.join(TITLES.values())}."
    )


def _in_grid(picks: Picks, spacing_angstrom: float | None, shape_zyx: tuple[int, int, int] | None) -> Picks:
    """The picks counted in voxels of a grid, as far as that is known."""
    own = picks.spacing_angstrom
    if spacing_angstrom is not None and own is not None and own != spacing_angstrom:
        return picks.rescaled(spacing_angstrom, shape_zyx)
    return replace(picks, spacing_angstrom=spacing_angstrom or own, shape_zyx=shape_zyx or picks.shape_zyx)


def _of_alignment(picks: Picks, wanted: int | None, file_name: str) -> Picks:
    """The picks of an alignment, as far as the file names any; with a warning if several stay."""
    column = picks.features.get(_ALIGNMENT, np.zeros(0))
    numbers = np.array([str(value).removeprefix("AL-").removesuffix(".0") for value in column.tolist()], dtype=object)
    known = sorted({*numbers.tolist()} - {"", "nan"})
    if wanted is None:
        said = f"Its picks are of several alignments ({listed(known)}), which don't fit each other."
        return with_warning(picks, said) if len(known) > 1 else picks
    own = known or ([] if picks.alignment_id is None else [str(picks.alignment_id)])
    if own and str(wanted) not in own:
        found = listed([f"AL-{number}" for number in own])
        raise FormatError(f"{file_name} has no picks of AL-{wanted}.", hint=f"It has those of {found}.")
    if len(known) > 1:
        picks = picks.take(numbers == str(wanted), f"kept those of AL-{wanted}")
    return replace(picks, alignment_id=wanted)


# writing


def write_picks(
    picks: Picks,
    path: str | Path,
    *,
    format: PickFormat | None = None,  # noqa: A002
    overwrite: bool = False,
    who: str = "",
) -> Written:
    """Write picks, whole or not at all, and beside them where they come from.

    Parameters
    ----------
    picks
        With all that is known of them.
    path
        Where to.
    format
        By default the one of the suffix; for ``.star``, the newest version for which enough is known.
    overwrite
        Whether to replace what is there.
    who
        Who does this, for the record.

    Raises
    ------
    ExistsError
        If there is a file, and ``overwrite`` isn't set.
    MissingContextError
        If the format needs to know more of the volume than the picks say.
    SaveError
        If the file can't be written, or its suffix is that of another format or of none.
    """
    path = path_to_write(path)
    _refuse_unknown(format)
    name = format or format_for(path, picks)
    title, suffix = TITLES[name], SUFFIXES[name]
    other, missing = format_of_name(path), missing_for(picks, name)
    if other is not None and SUFFIXES[other] != suffix:
        raise SaveError(f"{path.name} has the name of another format than {title}.", hint=f"Let it end in {suffix}.")
    if missing:
        raise lacking(f"These picks can't be written as {title} yet", *missing, way_out=", or choose another format")
    said = losses(picks, name)
    notes = of_export(
        "picks",
        picks.about,
        spacing_angstrom=picks.spacing_angstrom,
        shape_zyx=picks.shape_zyx,
        alignment_id=picks.alignment_id,
        edits=picks.edits,
        who=who,
    )
    with written_with_notes(path, notes | {"format": name, "losses": said}, overwrite=overwrite) as unfinished:
        try:
            _OF_NAME[name].write(replace(picks, features=plain_columns(picks.features)), unfinished, path)
        except (ValueError, TypeError, NotImplementedError) as error:  # of the libraries
            raise SaveError(f"These picks can't be written as {title} ({error}).") from error
    return Written(path, name, len(picks), said, path_beside(path))
