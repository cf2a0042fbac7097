"""Dynamo tables, written with all 42 columns; what these mean is told in `napari_cryoet.formats.dynamo`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.formats.dynamo_columns import (
    ANGLES,
    FIRST_VOXEL,
    OWN,
    POSITION,
    TOMOGRAM_NUMBER,
    UNSAID,
    all_columns,
    are_whole,
    is_said,
)
from napari_cryoet.formats.dynamo_shifts import SHIFT, shift_columns, shifts_of
from napari_cryoet.formats.eulers import angles_of
from napari_cryoet.formats.exchange import are_endless, listed, orientations_of, rotation_losses
from napari_cryoet.formats.text_columns import LARGEST_EXACT, rows_as_text
from napari_cryoet.picks import Picks
from napari_cryoet.picks.history import are_moved


def losses(picks: Picks) -> list[str]:
    """What a table can't hold, in words."""
    said = rotation_losses(picks)
    orientations = orientations_of(picks)
    if orientations is None and len(picks):
        said.append("A table always has angles: 0, 0, 0 is written, which Dynamo takes for an orientation.")
    elif orientations is not None:
        n_without = int((~orientations.are_known).sum())
        if n_without:
            said.append(f"Picks without orientation ({n_without:,}) get 0, 0, 0, which Dynamo takes for one.")
        if not np.any(angles_of(orientations.matrices_xyz, "dynamo")):
            said.append("All rotations are the identity; they read back as none.")
    for column, what in ((picks.scores, "scores"), (picks.instance_ids, "instance ids")):
        if column is not None and len(column) and not column.any():
            said.append(f"All {what} are 0, which is what a table says where there are none.")
    if picks.instance_ids is not None and _is_beyond_reals(picks.instance_ids):
        said.append("Instance ids beyond 2^53 lose their last digits: tables hold floating-point numbers.")
        if float(picks.instance_ids.max()) >= 2.0**63:
            said.append("Instance ids that are rounded to 2^63 make all of them a column called reg.")
    if not _can_be_tags(picks.ids):
        said.append("The picks' own ids are beyond 2^53, which tags can't be: the picks are counted anew.")
    if len(picks):
        said.append(
            "Positions are written counted from 1, as in MATLAB: programs that count tables from 0 (copick, ArtiaX, "
            "dynamo2m) take them to be one voxel off."
        )
    if len(picks) and picks.about.get(TOMOGRAM_NUMBER) is not None and are_moved(picks.edits):
        said.append("Picks that were moved keep their tags, and so what Dynamo cropped at their old places: crop anew.")
    said += _column_losses(picks)
    if picks.alignment_id is not None or picks.about:
        said.append("A table has no place for where picks come from; it stands in the .provenance.json beside it.")
    return said


def _column_losses(picks: Picks) -> list[str]:
    said = []
    columns, numbers, without_rows = set(all_columns()), _further_columns(picks), columns_without_rows(picks)
    if without_rows:
        said.append(
            f"A table without rows has no trace of its columns ({listed(without_rows)}); these stand in the "
            ".provenance.json beside it."
        )
    if len(picks) and picks.instance_ids is None and "reg" in picks.features and _are_regions(picks.features["reg"]):
        said.append("Regions (reg) that are whole numbers are read back as instance ids.")
    shifts = shifts_of(picks.features)
    said_at_once = SHIFT if shifts is not None and shifts.any() else ()
    blank = [n for n, each in numbers.items() if n not in said_at_once and len(each) and not is_said(n, each).any()]
    if blank:
        said.append(
            f"Columns that hold nothing but what a table says where there is none read back as none: {listed(blank)}."
        )
    rounded = [name for name, column in numbers.items() if column.dtype.kind in "iu" and _is_beyond_reals(column)]
    if rounded:
        said.append(f"Numbers beyond 2^53 lose their last digits, in {listed(rounded)}.")
    unnamed = [name for name, column in picks.features.items() if name not in columns or column.dtype.kind not in "iuf"]
    unnamed += [name for name in picks.features if name in _taken_by(picks)]
    if unnamed:
        said.append(f"A table has no column for {listed(unnamed)}.")
    return said


def columns_without_rows(picks: Picks) -> list[str]:
    """The columns of no picks at all that a table would have if there were any: which, has to be noted beside it."""
    return [] if len(picks) else list(_further_columns(picks))


def _further_columns(picks: Picks) -> dict[str, NDArray[Any]]:
    """The picks' own columns that a table has a place for."""
    free = set(all_columns()) - _taken_by(picks)
    return {name: column for name, column in picks.features.items() if name in free and column.dtype.kind in "iuf"}


def _taken_by(picks: Picks) -> frozenset[str]:
    """Columns that say what picks have anyway, so that no further column can be called so."""
    taken = OWN if shifts_of(picks.features) is None else OWN - {*SHIFT}
    return taken - {"reg"} if picks.instance_ids is None else taken


def write_table(picks: Picks, path: Path) -> int:
    """Write a table of 42 columns; gives what was added to ids, since tags start at 1."""
    ids = picks.ids if _can_be_tags(picks.ids) else np.arange(len(picks))
    offset = _tag_offset(ids)
    orientations = orientations_of(picks)
    angles = np.zeros((len(picks), 3)) if orientations is None else angles_of(orientations.matrices_xyz, "dynamo")
    number = picks.about.get(TOMOGRAM_NUMBER)
    is_number = isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 2**53
    columns: dict[str, Any] = {"tag": ids + offset, "tomo": np.full(len(picks), number if is_number else 1)}
    shifts = shifts_of(picks.features)
    shifts = np.zeros((len(picks), 3)) if shifts is None else shifts
    columns |= dict(zip(POSITION, (picks.points_xyz - shifts + FIRST_VOXEL).T, strict=True)) | shift_columns(shifts)
    columns |= dict(zip(ANGLES, angles.T, strict=True))
    if picks.scores is not None:
        columns["cc"] = picks.scores
    if picks.instance_ids is not None:
        columns["reg"] = picks.instance_ids
    if picks.spacing_angstrom is not None:
        columns["apix"] = np.full(len(picks), picks.spacing_angstrom)
    columns |= {name: column for name, column in _further_columns(picks).items() if name not in SHIFT}
    unsaid = {name: np.full(len(picks), int(UNSAID.get(name, 0.0))) for name in all_columns() if name not in columns}
    ordered = {name: unsaid[name] if name in unsaid else columns[name] for name in all_columns()}
    with path.open("wb") as file:
        file.writelines(rows_as_text(ordered, separator=" ", missing="NaN"))  # as MATLAB spells it
    return offset


def _tag_offset(ids: NDArray[np.int64]) -> int:
    """What has to be added to ids so that tags start at 1."""
    return max(0, 1 - int(ids.min(initial=1)))


def _can_be_tags(ids: NDArray[np.int64]) -> bool:
    """Whether what is added leaves them numbers that reals of 64 bits tell apart."""
    return not len(ids) or (not are_endless(ids) and int(ids.max()) + _tag_offset(ids) < LARGEST_EXACT)


def _are_regions(column: NDArray[Any]) -> bool:
    return column.dtype.kind in "iu" or (
        column.dtype.kind == "f" and are_whole(column[np.isfinite(column)].astype(np.float64))
    )


def _is_beyond_reals(column: NDArray[Any]) -> bool:
    return int(column.max(initial=0)) > LARGEST_EXACT or int(column.min(initial=0)) < -LARGEST_EXACT
