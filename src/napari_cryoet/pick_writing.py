"""Writes picks into files, whole or not at all, with where they come from; `pick_files` reads them again.

What a format can't hold is known before: see `pick_formats.losses`. Where they come from stands in the file, if the
format has a place for it, else in a ``.provenance.json`` beside it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from napari_cryoet import provenance
from napari_cryoet.exceptions import FormatError, MissingContextError, SaveError
from napari_cryoet.expecting import expect, expect_choice
from napari_cryoet.files import path_to_write, written_whole
from napari_cryoet.formats import copick, dynamo, dynamo_writing, ndjson, star, star_writing, tables
from napari_cryoet.formats.column_types import are_all_missing, kinds_of, plain_columns, without_utf8
from napari_cryoet.formats.exchange import Context, are_endless, listed
from napari_cryoet.pick_formats import (
    FORMATS,
    HOLDS_PROVENANCE,
    MISSING_WORDS,
    OF_SEVERAL_TOMOGRAMS,
    SUFFIXES,
    TITLES,
    PickFormat,
    format_for,
    format_of_name,
    losses,
    missing_for,
)
from napari_cryoet.picks import Picks
from napari_cryoet.provenance_beside import path_beside, remove_beside, written_with_provenance

#: What counts picks anew where their ids are too far from 0.
_WITHOUT_FAR_IDS: Final = frozenset({"dynamo", "copick"})


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
        What the file doesn't say of them, in words.
    provenance_path
        The file beside it that says where they come from; None where the file itself does.
    """

    path: Path
    format: PickFormat
    count: int
    losses: tuple[str, ...]
    provenance_path: Path | None


def write_picks(
    picks: Picks,
    path: str | Path,
    *,
    format: PickFormat | None = None,  # noqa: A002 - what everybody calls it
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
        By default the one that the name ends like; for ``.star``, the newest version for which enough is known.
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
        If the file can't be written, its name is that of another format or of none, the picks have ids that no file is
        read with, or the file that would be replaced holds the picks of several tomograms.
    ValueError
        If there is no such ``format``.
    """
    expect(picks, Picks, "picks")
    path = path_to_write(path)
    if format is not None:
        expect_choice(format, FORMATS, "format")
    name = format or format_for(path, picks)
    _refuse_misleading(path, name)
    _refuse_incomplete(picks, name)
    _refuse_endless_ids(picks, name)
    if overwrite:
        _refuse_losing_others(path)
    said = losses(picks, name)
    picks = picks.changed(features=plain_columns(picks.features))
    notes = provenance.of_export(
        "picks",
        picks.about,
        spacing_angstrom=picks.spacing_angstrom,
        shape_zyx=picks.shape_zyx,
        alignment_id=picks.alignment_id,
        edits=picks.edits,
        who=who,
        when=datetime.now(UTC),
    ) | {
        "count": len(picks),
        "columns": kinds_of(picks.features),
        "format": name,
        "losses": list(said),
    }
    has_place = name in HOLDS_PROVENANCE
    written = written_with_provenance(path, notes, overwrite=overwrite)
    if has_place:
        written = written_whole(path, overwrite=overwrite)
    with written as unfinished:
        try:
            notes |= _write(picks, unfinished, name, notes, path)
        except UnicodeEncodeError as error:
            names = listed(without_utf8(picks.features))
            raise SaveError(
                f"{path.name} can't be written: {TITLES[name]} has no way to spell a half of a character, in {names}."
            ) from error
        except (ValueError, TypeError, NotImplementedError) as error:  # of the libraries, about values nobody expects
            raise SaveError(f"These picks can't be written as {TITLES[name]} ({error}).") from error
    if has_place and overwrite:
        remove_beside(path)
    return Written(path, name, len(picks), said, None if has_place else path_beside(path))


def write_kept(
    picks: Picks,
    is_kept: ArrayLike,
    path: str | Path,
    *,
    who: str,
    format: PickFormat | None = None,  # noqa: A002 - what everybody calls it
    overwrite: bool = False,
) -> Written:
    """Write the picks that a review kept, and put on record who kept how many of them, and when.

    Parameters
    ----------
    is_kept
        For each pick, whether it was kept.
    picks, path, who, format, overwrite
        As in `write_picks`, which also says what is raised.
    """
    kept = np.asarray(is_kept, dtype=bool)
    when = datetime.now(UTC).isoformat(timespec="seconds")
    by = f" by {who}" if who else ""
    edit = f"reviewed{by}, {when}: {int(kept.sum()):,} of {len(picks):,} picks kept"
    return write_picks(picks.take(kept, edit), path, format=format, overwrite=overwrite, who=who)


def _write(picks: Picks, unfinished: Path, name: PickFormat, notes: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Write a file; give what has to be noted beside it to read it again as it was."""
    match name:
        case "ndjson":
            points = _ndjson_points(picks)
            with unfinished.open("wb") as file:
                file.writelines(ndjson.lines_of(points))
            empty = [name for name, column in points.features.items() if are_all_missing(column)]
            return {"empty_columns": [name for name in empty if name not in ndjson.OWN_KEYS]}
        case "dynamo":
            offset = dynamo_writing.write_table(picks, unfinished)
            return {"dynamo_tag_offset": offset, "empty_columns": dynamo_writing.columns_without_rows(picks)}
        case "copick":
            unfinished.write_bytes(copick.picks_file(picks, path))
        case "csv":
            tables.write_csv(picks, unfinished)
        case "parquet":
            tables.write_parquet(picks, unfinished, notes)
        case "relion5" | "relion4" | "relion3":
            star_writing.write_star(picks, unfinished, name, notes)
    return {}


def _ndjson_points(picks: Picks) -> ndjson.Points:
    """With ids as a column of their own, where they aren't the lines' numbers."""
    scores = picks.scores
    features = {
        name: np.where(np.isinf(column), np.nan, column) if column.dtype.kind == "f" else column
        for name, column in picks.features.items()
        if name not in ndjson.OWN_KEYS
    }
    if not np.array_equal(picks.ids, np.arange(len(picks))):
        features[ndjson.PICK_ID] = picks.ids
    scores = None if scores is None else np.where(np.isinf(scores), np.nan, scores)
    return ndjson.Points.from_picks(replace(picks, features=features, scores=scores))


def _refuse_misleading(path: Path, name: PickFormat) -> None:
    """A file whose name promises another format could not be opened by it."""
    other = format_of_name(path)
    if other is not None and SUFFIXES[other] != SUFFIXES[name]:
        raise SaveError(
            f"{path.name} has the name of another format than {TITLES[name]}.", hint=f"Let it end in {SUFFIXES[name]}."
        )


def _refuse_losing_others(path: Path) -> None:
    """Refuse to replace a file of several tomograms: the picks of one come of it, and those of the others would go."""
    name = format_of_name(path)
    if name not in OF_SEVERAL_TOMOGRAMS or not os.path.isfile(path):  # also where it is too long a name
        return
    read = dynamo.read_table if name == "dynamo" else star.read_star
    try:
        read(path, Context())
    except MissingContextError as error:
        if "tomogram" in error.missing:
            raise SaveError(
                f"{error.message} Those of one would replace them all.", hint="Choose another name."
            ) from error
    except (FormatError, OSError):  # of no picks that anybody reads
        pass


def _refuse_endless_ids(picks: Picks, name: PickFormat) -> None:
    """A file with ids that no file is read with could not be opened again."""
    if name not in _WITHOUT_FAR_IDS and are_endless(picks.ids):
        raise SaveError(
            f"{TITLES[name]} can't be written with ids beyond 2^62, which these picks have.",
            hint="Number the picks anew, as with picks.changed(ids=range(len(picks))).",
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
