"""Picks from files and into files, whatever the format; writing them is told in `pick_writing`.

Reading guesses nothing: a file that doesn't say how wide a voxel is, or how large the volume is from whose centre it
counts, raises `MissingContextError`, which names what to say. What napari-cryoet writes carries where the picks come
from: in the file where the format has a place for it, else in a ``.provenance.json`` beside it, which counts only as
long as the file is the one that it was written for. `read_picks` takes both up again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet import provenance
from napari_cryoet.exceptions import FormatError, MissingContextError
from napari_cryoet.expecting import expect, expect_choice, expect_number
from napari_cryoet.export_notes import alignment_number, grid_of, left_out_of, read_notes, source_of_download
from napari_cryoet.files import path_to_read
from napari_cryoet.formats import copick, dynamo, ndjson, star, star_writing, tables
from napari_cryoet.formats.column_types import as_kind, empty_column
from napari_cryoet.formats.exchange import (
    Context,
    listed,
    refuse_unreadable,
    refuse_unusable_ids,
    with_warnings,
)
from napari_cryoet.pick_formats import (
    FORMATS,
    OF_SEVERAL_TOMOGRAMS,
    SUFFIXES,
    TITLES,
    PickFormat,
    detect_format,
    format_for,
    format_of_name,
    losses,
    missing_for,
)
from napari_cryoet.pick_writing import Written, write_kept, write_picks
from napari_cryoet.picks import Picks
from napari_cryoet.volumes import spacing_in_layout

__all__ = [
    "FORMATS",
    "SUFFIXES",
    "TITLES",
    "PickFormat",
    "Written",
    "detect_format",
    "format_for",
    "losses",
    "missing_for",
    "read_in_own_grid",
    "read_picks",
    "write_kept",
    "write_picks",
]

#: Up to which share of them spacings are the same: headers keep few digits.
_SAME_SPACING: Final = 1e-3
#: What a column is called that says of which alignment each pick is; what we write says it of all at once.
_ALIGNMENT: Final = "alignment_id"


def read_picks(
    path: str | Path,
    *,
    format: PickFormat | None = None,  # noqa: A002 - what everybody calls it
    spacing_angstrom: float | None = None,
    shape_zyx: tuple[int, int, int] | None = None,
    tomogram: str | None = None,
    alignment_id: int | None = None,
) -> Picks:
    """The picks of a file, with what is known of where they come from.

    Parameters
    ----------
    path
        On this computer.
    format
        Where the content shall not decide; any of RELION's reads all STAR files.
    spacing_angstrom
        The width of a voxel of the grid in which positions shall be counted: of the volume on which a file without
        one was made, else whichever you like.
    shape_zyx
        The size of that grid in voxels.
    tomogram
        Which one, by the name in the file or the end of its path, where it has several. Formats that can't name any
        (ndjson, copick, tables) give all their picks, with a warning.
    alignment_id
        Of the portal's alignment. Of a file whose column ``alignment_id`` names several, only its picks are read; of a
        file that says none, all are taken to belong to it.

    Raises
    ------
    FormatError
        If there are no picks that can be read, in words that say why.
    MissingContextError
        If positions can't be told from the file alone; its ``missing`` names the arguments that help.
    TypeError, ValueError
        If an argument is no such thing.
    """
    path = path_to_read(path)
    wanted = _wanted(spacing_angstrom, shape_zyx, tomogram)
    if alignment_id is not None:
        expect(alignment_id, int, "alignment_id")
    if format is not None:
        expect_choice(format, FORMATS, "format")
    name = format or detect_format(path) or format_of_name(path)  # which says why it is none
    if name is None:
        raise _no_picks(path)
    refuse_unreadable(path, is_text=name != "parquet")
    notes = read_notes(path, name)
    own = grid_of(notes)
    grid = own if own.spacing_angstrom is not None else _of_layout(path, wanted)
    picks = _read(path, name, replace(grid, tomogram=tomogram), notes)
    picks = _with_notes(picks, notes, path)
    if tomogram is not None and name not in OF_SEVERAL_TOMOGRAMS:
        picks = _with_tomogram_told(picks, tomogram)
    if alignment_id is not None:
        picks = _of_alignment(picks, alignment_id, path.name)
    picks = _with_alignments_told(picks)
    if wanted.spacing_angstrom is None or wanted.spacing_angstrom == picks.spacing_angstrom:
        return picks if wanted.shape_zyx is None else replace(picks, shape_zyx=wanted.shape_zyx)
    if picks.spacing_angstrom is None:
        return replace(picks, spacing_angstrom=wanted.spacing_angstrom, shape_zyx=wanted.shape_zyx)
    return picks.rescaled(wanted.spacing_angstrom, wanted.shape_zyx)


def read_in_own_grid(
    path: str | Path,
    *,
    spacing_angstrom: float | None = None,
    shape_zyx: tuple[int, int, int] | None = None,
    tomogram: str | None = None,
) -> Picks:
    """The picks of a file, counted as the file counts them: what is given stands in for what it doesn't say.

    Parameters and errors are those of `read_picks`. A file that says another voxel spacing than the one that is given
    is taken at its word, with a warning.
    """
    given: dict[str, Any] = {"spacing_angstrom": spacing_angstrom, "shape_zyx": shape_zyx, "tomogram": tomogram}
    if spacing_angstrom is None:
        return read_picks(path, **given)
    try:
        picks = read_picks(path, tomogram=tomogram)
    except MissingContextError:
        return read_picks(path, **given)
    own = picks.spacing_angstrom
    if own is None or own == spacing_in_layout(Path(path).absolute()):
        return read_picks(path, **given)
    if math.isclose(own, spacing_angstrom, rel_tol=_SAME_SPACING):
        is_shape_said = shape_zyx is None or picks.shape_zyx is not None
        return picks if is_shape_said else read_picks(path, shape_zyx=shape_zyx, tomogram=tomogram)
    return with_warnings(
        picks, f"Its file says that voxels are {own:g} Å wide; that was taken, not {spacing_angstrom:g} Å."
    )


def _no_picks(path: Path) -> FormatError:
    """An error about a file that isn't called like one of picks; one that is but for a last ending may be packed."""
    if format_of_name(path.stem) is not None:  # of x.star.gz
        refuse_unreadable(path, is_text=False)
    return FormatError(
        f"{path.name} is no file of picks that can be read.", hint=f"These can: {', '.join(TITLES.values())}."
    )


def _wanted(spacing_angstrom: Any, shape_zyx: Any, tomogram: Any) -> Context:
    """What somebody says of the volume, if it can be so."""
    if spacing_angstrom is not None:
        expect_number(spacing_angstrom, "spacing_angstrom")
        if not 0 < spacing_angstrom < math.inf:
            raise ValueError(f"a voxel can't be {spacing_angstrom} Å wide")
    if shape_zyx is not None:
        sizes = tuple(shape_zyx) if isinstance(shape_zyx, tuple | list | np.ndarray) else ()
        if len(sizes) != 3 or not all(isinstance(size, int | np.integer) and size > 0 for size in sizes):
            raise ValueError(f"shape_zyx must be three whole numbers above 0, not {shape_zyx!r}")
        shape_zyx = int(sizes[0]), int(sizes[1]), int(sizes[2])
    if tomogram is not None:
        expect(tomogram, str, "tomogram", "Name it as the file does.")
    return Context(spacing_angstrom, shape_zyx, tomogram)


def _read(path: Path, name: PickFormat, context: Context, notes: Mapping[str, Any]) -> Picks:
    match name:
        case "ndjson":
            return _read_ndjson(path, context)
        case "dynamo":
            return dynamo.read_table(path, context, tag_offset=notes.get("dynamo_tag_offset"))
        case "copick":
            return copick.read_picks_file(path, context)
        case "csv":
            return tables.read_csv(path, context, notes.get("columns", {}))
        case "parquet":
            return tables.read_parquet(path, context)
        case "relion5" | "relion4" | "relion3":
            picks = star.read_star(path, context, is_ours=bool(notes))
            return replace(picks, features=star_writing.restored_features(picks.features, notes))


def _read_ndjson(path: Path, context: Context) -> Picks:
    points = ndjson.read_points(path)
    if not len(points) and points.skipped:
        raise FormatError(f"None of the {len(points.skipped):,} lines of {path.name} is a point.")
    picks = points.to_picks(context.spacing_angstrom, about={"warnings": list(points.warnings)})
    column = picks.features.get(ndjson.PICK_ID)
    if (
        column is not None and column.dtype.kind == "i" and len(np.unique(column)) == len(column)
    ):  # else somebody else's, of another kind
        refuse_unusable_ids(path, column)
    return picks


def _of_layout(path: Path, wanted: Context) -> Context:
    """The grid that somebody names, or the one that the portal's folders around the file name."""
    if wanted.spacing_angstrom is not None:
        return wanted
    return replace(wanted, spacing_angstrom=spacing_in_layout(path.absolute()))


def _with_notes(picks: Picks, notes: Mapping[str, Any], path: Path) -> Picks:
    """Picks of a file with what is known of them beside their positions."""
    of_file = {key: value for key, value in picks.about.items() if value not in (None, [], ())}
    bare = provenance.of_bare_file("picks", str(path), picks.spacing_angstrom)
    if not notes:
        source = source_of_download(path)
        edits = tuple(source.pop("edits", ()))
        return replace(picks, about=bare | of_file | source, alignment_id=source.get("alignment_id"), edits=edits)
    known = dict(notes.get("source", {}))
    known.pop("warnings", None)  # those were about the source's own file
    kinds = notes.get("columns", {})
    features = dict(picks.features) | _empty_columns(notes, kinds, picks)
    features = {name: features[name] for name in (*(name for name in kinds if name in features), *features)}
    edits = tuple(notes.get("edits", ()))
    if notes.get("count") != len(picks):
        edits = (*edits, f"changed by another program to {len(picks):,} picks")
    if said := left_out_of(notes):
        of_file["warnings"] = [*of_file.get("warnings", ()), *said]
    return replace(
        picks,
        features={name: as_kind(column, kinds.get(name)) for name, column in features.items()},
        alignment_id=notes.get("alignment_id"),
        about=bare | of_file | known,
        edits=edits,
        shape_zyx=grid_of(notes).shape_zyx,
    )


def _of_alignment(picks: Picks, alignment_id: int, file_name: str) -> Picks:
    """The picks that belong to an alignment, as far as the file says anything of that."""
    if _ALIGNMENT not in picks.features:
        if picks.alignment_id not in (None, alignment_id):
            raise FormatError(
                f"{file_name} says that its picks are of AL-{picks.alignment_id}, not of AL-{alignment_id}."
            )
        return replace(picks, alignment_id=alignment_id)
    numbers = [alignment_number(value) for value in picks.features[_ALIGNMENT].tolist()]
    is_it = np.array([number == alignment_id for number in numbers], dtype=bool)
    if len(picks) and not is_it.any():
        there = [f"AL-{number}" for number in dict.fromkeys(numbers) if number is not None]
        raise FormatError(
            f"{file_name} has no picks of AL-{alignment_id}.",
            hint=f"It has those of {listed(there)}." if there else "Its alignments have no numbers.",
        )
    kept = (
        picks if is_it.all() else picks.take(is_it, f"kept the {is_it.sum():,} of {len(picks):,} of AL-{alignment_id}")
    )
    return replace(kept, alignment_id=alignment_id)


def _with_tomogram_told(picks: Picks, tomogram: str) -> Picks:
    """Picks with a warning where nothing in their file says that they are of the tomogram that was asked for."""
    names = [name for key in ("tomogram_name", "run_name") if (name := picks.about.get(key))]
    if tomogram in names:
        return picks
    why = (
        f"The file says that its picks are of {names[0]}"
        if names
        else "Nothing in the file says of which tomogram its picks are"
    )
    return with_warnings(picks, f"{why}: all were taken, though those of {tomogram} were asked for.")


def _with_alignments_told(picks: Picks) -> Picks:
    """Picks with a warning where a column of theirs names several alignments."""
    column = picks.features.get(_ALIGNMENT)
    values = [] if column is None else column.tolist()
    known = [value for value in values if value != "" and not (isinstance(value, float) and math.isnan(value))]
    numbers: dict[Any, Any] = {}
    for value in dict.fromkeys(known):
        number = alignment_number(value)
        numbers.setdefault(value if number is None else number, value)
    different = list(numbers.values())
    if len(different) < 2:
        return picks
    names = listed([f"{value:g}" if isinstance(value, float) else f"{value}" for value in different], 5)
    said = (
        f"Its picks are of {len(different):,} alignments ({_ALIGNMENT} {names}): "
        "positions of one don't fit the tomograms of another. Keep the rows of one of them, as "
        "napari-cryoet convert --alignment does."
    )
    return with_warnings(picks, said)


def _empty_columns(notes: Mapping[str, Any], kinds: Mapping[str, Any], picks: Picks) -> dict[str, NDArray[Any]]:
    """Columns of which a file has no trace, since no pick has a value in them."""
    names = [name for name in notes.get("empty_columns", ()) if name not in picks.features]
    return {name: empty_column(kinds.get(name), len(picks)) for name in names}
