"""Reading and writing picks in every format; what each format needs, and what it can't hold.

Reading guesses nothing: a file that doesn't say how wide a voxel is, or how large the volume is from whose centre it
counts, raises `MissingContextError`, which names what to say. Exports carry their provenance, in the file if the format
has a place for it, else in a ``.provenance.json`` beside it; `read_picks` takes both up again.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np

from napari_cryoet.exceptions import Context as Missing
from napari_cryoet.exceptions import FormatError, MissingContextError, SaveError
from napari_cryoet.files import path_to_read, path_to_write, written_whole
from napari_cryoet.formats import copick, dynamo, ndjson, relion, tables
from napari_cryoet.formats.common import (
    Context,
    Unit,
    as_kind,
    check_file,
    kind_of,
    listed,
    plain_columns,
    spacing_in_layout,
    turned_into_texts,
    with_warnings,
)
from napari_cryoet.formats.notes import (
    Notes,
    of_bare_file,
    of_export,
    path_beside,
    read_beside,
    remove_beside,
    source_of_download,
    written_with_notes,
)
from napari_cryoet.picks import Picks
from napari_cryoet.picks.picks import checked_shape

PickFormat = Literal["ndjson", "relion5", "relion4", "relion3", "dynamo", "copick", "csv", "parquet"]
FORMATS: Final[tuple[PickFormat, ...]] = get_args(PickFormat)


@dataclass(frozen=True, slots=True)
class _Format:
    """A format's name, its suffix, and its module's functions.

    Attributes
    ----------
    missing
        What picks have to say before they can be written in it, and don't.
    read_notes
        The notes in a file; None if they are beside it.
    names_tomograms
        Whether a file says of each pick in which tomogram it is.
    """

    title: str
    suffix: str
    holds: Callable[[Path, bytes], bool]
    read: Callable[[Path, Context, Notes], Picks]
    write: Callable[[Picks, Path, Path, Mapping[str, Any]], dict[str, Any]]
    losses: Callable[[Picks], list[str]]
    missing: Callable[[Picks], tuple[Missing, ...]] = lambda _picks: ()
    read_notes: Callable[[Path], Notes | None] | None = None
    names_tomograms: bool = False


def _relion(title: str, version: relion.Version) -> _Format:
    return _Format(
        title,
        ".star",
        relion.holds,
        relion.read,
        lambda picks, path, _place, notes: relion.write(picks, path, notes, version),
        lambda picks: relion.losses(picks, version),
        lambda picks: relion.missing_for(picks, version),
        relion.read_notes,
        names_tomograms=True,
    )


def _without_spacing(picks: Picks) -> tuple[Missing, ...]:
    return ("spacing_angstrom",) if picks.spacing_angstrom is None else ()


_OF_NAME: Final[dict[PickFormat, _Format]] = {
    "ndjson": _Format("portal ndjson", ".ndjson", ndjson.holds, ndjson.read, ndjson.write, ndjson.losses),
    "relion5": _relion("RELION 5 STAR", "relion5"),
    "relion4": _relion("RELION 4 STAR", "relion4"),
    "relion3": _relion("RELION 3.1 STAR", "relion3"),
    "dynamo": _Format(
        "Dynamo table", ".tbl", dynamo.holds, dynamo.read, dynamo.write, dynamo.losses, names_tomograms=True
    ),
    "copick": _Format(
        "copick picks", ".json", copick.holds, copick.read, copick.write, copick.losses, missing=_without_spacing
    ),
    "csv": _Format("CSV", ".csv", tables.holds_csv, tables.read_csv, tables.write_csv, tables.losses),
    "parquet": _Format(
        "Parquet",
        ".parquet",
        tables.holds_parquet,
        tables.read_parquet,
        tables.write_parquet,
        tables.losses,
        read_notes=tables.read_parquet_notes,
    ),
}
#: What to call a format in a list, and how its files end.
TITLES: Final[dict[PickFormat, str]] = {name: each.title for name, each in _OF_NAME.items()}
SUFFIXES: Final[dict[PickFormat, str]] = {name: each.suffix for name, each in _OF_NAME.items()}
_OF_SUFFIX: Final[dict[str, PickFormat]] = {suffix: name for name, suffix in reversed(SUFFIXES.items())}
#: What to call what a format needs to know of picks.
MISSING_WORDS: Final[dict[Missing, str]] = {
    "spacing_angstrom": "the voxel spacing",
    "shape_zyx": "the size of the volume",
    "tomogram": "the tomogram",
}
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
_HEAD_BYTES: Final = 2**20
_ALIGNMENT: Final = "alignment_id"
#: Up to which share of them spacings are the same: headers keep few digits.
_SAME_SPACING: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Written:
    """What was written.

    Attributes
    ----------
    path, format
        Where, and as what.
    count
        How many picks.
    losses
        What the file doesn't say of them.
    provenance_path
        The file beside it that says where they come from; None if the file itself does.
    """

    path: Path
    format: PickFormat
    count: int
    losses: tuple[str, ...]
    provenance_path: Path | None


# which format


def detect_format(path: str | Path) -> PickFormat | None:
    """The format of a file, by its suffix and its content; None if it holds no picks. "relion5" for any STAR file."""
    path = path_to_read(path)
    name = format_of_name(path)
    if name is None:
        return None
    check_file(path, is_text=name != "parquet")
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return name if _OF_NAME[name].holds(path, head) else None


def format_of_name(path: str | Path) -> PickFormat | None:
    """The format that a file's suffix means; "relion5" for any STAR file."""
    return _OF_SUFFIX.get(Path(path).suffix.lower())


def format_for(path: str | Path, picks: Picks) -> PickFormat:
    """The format to write for a name; for ``.star``, RELION's newest for which enough is known.

    Raises
    ------
    SaveError
        If no format has such a suffix.
    """
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
    said = _OF_NAME[format].losses(picks)
    if format not in {"dynamo", "copick"} and (texts := turned_into_texts(picks.features)):
        said.append(f"Columns that aren't plain numbers or texts are written as texts: {listed(texts)}.")
    return tuple(said)


def missing_for(picks: Picks, format: PickFormat) -> tuple[Missing, ...]:  # noqa: A002
    """What has to be known of the picks' volume before they can be written in this format, and isn't."""
    return _OF_NAME[format].missing(picks)


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
        If the content shall not decide; any of RELION's reads all STAR files.
    spacing_angstrom
        The voxel size of the grid in which positions shall be counted: of the volume on which a file without one was
        made, else whichever you like.
    shape_zyx
        The size of that grid in voxels.
    tomogram
        Which one of several, by its name or the end of its path. Formats that can't name any (ndjson, copick, tables)
        give all their picks, with a warning.
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
    TypeError, ValueError
        If an argument is no such thing.
    """
    path = path_to_read(path)
    wanted = _checked_context(spacing_angstrom, shape_zyx, tomogram)
    name = _format_to_read(path, format)
    of_format = _OF_NAME[name]
    check_file(path, is_text=name != "parquet")
    notes = read_beside(path) if of_format.read_notes is None else of_format.read_notes(path)
    grid = _grid_of(path, notes, wanted)
    picks = of_format.read(path, replace(grid, tomogram=tomogram, unit=unit), notes or Notes())
    picks = _with_provenance(picks, notes, path)
    if tomogram is not None and not of_format.names_tomograms:
        picks = _with_tomogram_doubted(picks, tomogram)
    picks = _of_alignment(picks, alignment_id, path.name)
    spacing, shape = wanted.spacing_angstrom, wanted.shape_zyx
    if spacing is not None and picks.spacing_angstrom not in (None, spacing):
        return picks.rescaled(spacing, shape)
    if spacing is not None and picks.spacing_angstrom is None:
        return replace(picks, spacing_angstrom=spacing, shape_zyx=shape)
    return picks if shape is None else replace(picks, shape_zyx=shape)


def read_in_own_grid(
    path: str | Path,
    *,
    spacing_angstrom: float | None = None,
    shape_zyx: tuple[int, int, int] | None = None,
    tomogram: str | None = None,
    unit: Unit | None = None,
) -> Picks:
    """The picks of a file, counted as the file counts them: what is given stands in for what it doesn't say.

    Parameters and errors are those of `read_picks`. If the file says another voxel spacing than the given one, the
    file's is taken, with a warning.
    """
    given: dict[str, Any] = {"spacing_angstrom": spacing_angstrom, "shape_zyx": shape_zyx}
    given |= {"tomogram": tomogram, "unit": unit}
    if spacing_angstrom is None:
        return read_picks(path, **given)
    try:
        picks = read_picks(path, tomogram=tomogram, unit=unit)
    except MissingContextError:
        return read_picks(path, **given)
    own = picks.spacing_angstrom
    if own is None or own == spacing_in_layout(path):
        return read_picks(path, **given)
    if math.isclose(own, spacing_angstrom, rel_tol=_SAME_SPACING):
        return picks if shape_zyx is None or picks.shape_zyx is not None else replace(picks, shape_zyx=shape_zyx)
    said = f"Its file says that voxels are {own:g} Å wide; that was taken, not {spacing_angstrom:g} Å."
    return with_warnings(picks, said)


def _checked_context(spacing_angstrom: Any, shape_zyx: Any, tomogram: Any) -> Context:
    if spacing_angstrom is not None and not 0 < spacing_angstrom < math.inf:
        raise ValueError(f"a voxel can't be {spacing_angstrom} Å wide")
    if tomogram is not None and not isinstance(tomogram, str):
        raise TypeError(f"tomogram must be a name as the file has it, not {tomogram!r}")
    return Context(spacing_angstrom, None if shape_zyx is None else checked_shape(shape_zyx), tomogram)


def _format_to_read(path: Path, wanted: PickFormat | None) -> PickFormat:
    if wanted is not None:
        if wanted not in FORMATS:
            raise ValueError(f"format must be one of {', '.join(FORMATS)}, not {wanted!r}")
        return wanted
    name = format_of_name(path)
    if name is not None:
        return name  # its reader says what is wrong
    if path.suffix.lower() in _FOREIGN and path.is_file():
        what, hint = _FOREIGN[path.suffix.lower()]
        raise FormatError(f"{path.name} is {what}, which isn't read here.", hint=hint)
    check_file(path, is_text=False)  # which names what x.star.gz is packed with
    raise FormatError(
        f"{path.name} is no file of picks that can be read.", hint=f"These can: {', '.join(TITLES.values())}."
    )


def _grid_of(path: Path, notes: Notes | None, wanted: Context) -> Context:
    """The grid of an export of ours; else the given one; else the one that the portal's folders name."""
    if notes is not None and notes.voxel_spacing_angstrom is not None:
        return Context(notes.voxel_spacing_angstrom, notes.shape_zyx)
    if wanted.spacing_angstrom is not None:
        return wanted
    return replace(wanted, spacing_angstrom=spacing_in_layout(path))


def _with_provenance(picks: Picks, notes: Notes | None, path: Path) -> Picks:
    """Picks of a file with what is known of them beside their positions."""
    of_file = {key: value for key, value in picks.about.items() if value not in (None, [], ())}
    about = of_bare_file("picks", str(path), picks.spacing_angstrom) | of_file
    if notes is None:
        source = source_of_download(path)
        edits = tuple(map(str, source.pop("edits", None) or ()))
        alignment = source.get("alignment_id")
        return replace(
            picks, about=about | source, edits=edits, alignment_id=alignment if isinstance(alignment, int) else None
        )
    edits = notes.edits
    if notes.count != len(picks):
        edits = (*edits, f"changed by another program to {len(picks):,} picks")
    features = {name: as_kind(column, notes.columns.get(name)) for name, column in picks.features.items()}
    in_order = [name for name in notes.columns if name in features]
    return replace(
        picks,
        features={name: features[name] for name in dict.fromkeys([*in_order, *features])},
        alignment_id=notes.alignment_id,
        about=about | notes.lasting_source,
        edits=edits,
        shape_zyx=notes.shape_zyx,
    )


def _with_tomogram_doubted(picks: Picks, tomogram: str) -> Picks:
    """Picks with a warning if nothing in their file says that they are of the tomogram that was asked for."""
    names = [name for key in ("tomogram_name", "run_name") if (name := picks.about.get(key))]
    if tomogram in names:
        return picks
    why = f"The file says that its picks are of {names[0]}" if names else "The file names no tomogram"
    return with_warnings(picks, f"{why}: all were taken, though those of {tomogram} were asked for.")


def _of_alignment(picks: Picks, wanted: int | None, file_name: str) -> Picks:
    """The picks of an alignment, as far as the file names any; with a warning if several stay."""
    column = picks.features.get(_ALIGNMENT)
    numbers = None if column is None else np.array([_alignment_number(value) for value in column.tolist()])
    known = [] if numbers is None else [f"AL-{number}" for number in sorted(set(numbers[numbers >= 0].tolist()))]
    if wanted is None and len(known) > 1:
        said = (
            f"Its picks are of {len(known):,} alignments ({listed(known, 5)}): positions of one don't fit another's "
            "tomograms. Keep those of one of them, as napari-cryoet convert --alignment does."
        )
        return with_warnings(picks, said)
    if wanted is None:
        return picks
    if numbers is None and picks.alignment_id not in (None, wanted):
        raise FormatError(f"{file_name} says that its picks are of AL-{picks.alignment_id}, not of AL-{wanted}.")
    if numbers is not None and len(picks):
        is_it = numbers == wanted
        if not is_it.any():
            hint = f"It has those of {listed(known)}." if known else ""
            raise FormatError(f"{file_name} has no picks of AL-{wanted}.", hint=hint)
        picks = picks.take(is_it, "" if is_it.all() else f"kept the {is_it.sum():,} of {len(picks):,} of AL-{wanted}")
    return replace(picks, alignment_id=wanted)


def _alignment_number(value: Any) -> int:
    """The number of an alignment, such as 17, 17.0, "17" or "AL-17"; -1 for what is none."""
    text = str(value).strip().upper().removeprefix("AL-").removesuffix(".0")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else -1


# writing


def write_picks(
    picks: Picks,
    path: str | Path,
    *,
    format: PickFormat | None = None,  # noqa: A002
    overwrite: bool = False,
    who: str = "",
) -> Written:
    """Write picks, whole or not at all, with where they come from.

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
        If the file can't be written, its suffix is that of another format or of none, or the file that would be
        replaced holds the picks of several tomograms.
    ValueError
        If there is no such ``format``.
    """
    path = path_to_write(path)
    if format is not None and format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, not {format!r}")
    name = format or format_for(path, picks)
    _refuse_misleading(path, name)
    _refuse_incomplete(picks, name)
    if overwrite:
        _refuse_losing_others(path)
    said = losses(picks, name)
    picks = replace(picks, features=plain_columns(picks.features))
    of_format, is_beside = _OF_NAME[name], _OF_NAME[name].read_notes is None
    notes = of_export(
        "picks",
        picks.about,
        spacing_angstrom=picks.spacing_angstrom,
        shape_zyx=picks.shape_zyx,
        alignment_id=picks.alignment_id,
        edits=picks.edits,
        who=who,
    ) | {
        "count": len(picks),
        "columns": {column: kind_of(values) for column, values in picks.features.items()},
        "format": name,
        "losses": list(said),
    }
    written = (
        written_with_notes(path, notes, overwrite=overwrite) if is_beside else written_whole(path, overwrite=overwrite)
    )
    with written as unfinished:
        try:
            notes |= of_format.write(picks, unfinished, path, notes)
        except (ValueError, TypeError, NotImplementedError) as error:  # of the libraries
            raise SaveError(f"These picks can't be written as {of_format.title} ({error}).") from error
    if overwrite and not is_beside:
        remove_beside(path)
    return Written(path, name, len(picks), said, path_beside(path) if is_beside else None)


def _refuse_misleading(path: Path, name: PickFormat) -> None:
    other = format_of_name(path)
    if other is not None and SUFFIXES[other] != SUFFIXES[name]:
        raise SaveError(
            f"{path.name} has the name of another format than {TITLES[name]}.", hint=f"Let it end in {SUFFIXES[name]}."
        )


def _refuse_incomplete(picks: Picks, name: PickFormat) -> None:
    missing = missing_for(picks, name)
    if missing:
        what = " and ".join(MISSING_WORDS[each] for each in missing)
        raise MissingContextError(
            f"{TITLES[name]} can't be written without {what}, which these picks don't say.",
            hint="Give it, or choose another format.",
            missing=missing,
        )


def _refuse_losing_others(path: Path) -> None:
    """Refuse to replace a file of several tomograms by the picks of one."""
    name = format_of_name(path)
    if name is None or not _OF_NAME[name].names_tomograms or not os.path.isfile(path):
        return
    try:
        _OF_NAME[name].read(path, Context(), Notes())
    except MissingContextError as error:
        if "tomogram" in error.missing:
            raise SaveError(
                f"{error.message} Those of one would replace them all.", hint="Choose another name."
            ) from error
    except FormatError:
        pass  # nobody reads it
