"""RELION STAR files of subtomogram positions: what versions 3.0 to 5 write, in and out.

Conventions, from RELION's source (``src/jaz/tomography/particle_set.cpp`` of 5.0; labels in ``metadata_label.h``):

- Positions are 0-based: x, y, z = 0 is the centre of the first pixel. 3.0 and 3.1 count in pixels of the micrograph
  (here: the tomogram), whose width stands in 3.1's optics as ``rlnMicrographPixelSize``, if anywhere. 4 counts
  (``rlnCoordinateX/Y/Z``) in pixels of the unbinned tilt series, ``rlnTomoTiltSeriesPixelSize`` wide. 5 writes ångström
  from the centre of the tomogram (``rlnCenteredCoordinateX/Y/ZAngst``), along the same axes, and that centre is half
  the tomogram's size: voxel index N / 2 of a grid of N voxels (``Tomogram::centre``, ``w0 / 2.0``), where N is odd,
  too. (Its projections count from the whole number below then: 3dem/relion issue 1280.) N is in pixels of the unbinned
  tilt series, ``rlnTomoSizeX/Y/Z`` of the tomograms' file, which a binned volume has rounded.
- What 5 extracts of particles in pixels (of 4 or WarpTools), it writes in ångström from that centre, and without the
  pixels (``setParticleCoordDecenteredPixel``, ``ParticleSet::write``). Refinement leaves positions as they are.
  4.0 itself (not 5.0) adds one such pixel to a coordinate before it extracts (``getPosition``); files of 4 are taken
  at their word here, as those of 5 are.
  A file that has both must say the same by both.
- ``rlnOriginX/Y/ZAngst`` is subtracted from the position, turned by the subtomogram's matrix first (``getPosition``).
  3.0 has ``rlnOriginX/Y/Z`` in pixels of the particle's image; picks have them in ångström, as of later versions.
- Orientation is A_subtomogram A_particle (``getMatrix3x3``) of ``rlnTomoSubtomogramRot/Tilt/Psi`` and
  ``rlnAngleRot/Tilt/Psi``; what these angles mean is in `napari_cryoet.formats.eulers`.
- Shifts and the subtomogram's angles say where the particle's image was cut out, and how it was turned. Picks have
  them as columns, and files for 4 and 5 are written with them again: with the same place, orientation and image.

Labels that RELION doesn't know are kept by it: ours start with ``napariCryoet``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError
from napari_cryoet.formats.column_types import shortened, typed
from napari_cryoet.formats.exchange import (
    Context,
    checked_picks,
    choose_tomogram,
    listed,
    refuse_unreadable,
    rounded_scores,
)
from napari_cryoet.formats.star_blocks import Block, read_blocks
from napari_cryoet.formats.star_labels import (
    CENTRED,
    GROUP,
    INSTANCE_ID,
    OF_IMAGES,
    OWN,
    PICK_ID,
    PIXEL_SIZES,
    PIXELS,
    SCORES,
    SIZES,
    TOMOGRAM_NAMES,
)
from napari_cryoet.formats.star_rows import Rows
from napari_cryoet.formats.text_columns import LARGEST_EXACT, TextTable
from napari_cryoet.picks import NO_INSTANCE, Picks

#: Under this name `about` has the optics groups and the general block of the file that picks come from.
PROJECT: Final = "relion"
_OWN_OPTICS: Final = frozenset({"rlnOpticsGroup", "rlnOpticsGroupName", *PIXEL_SIZES})
#: Labels of positions in STAR files that aren't RELION's.
_OF_OTHER_PROGRAMS: Final = {"wrpCoordinateX1": "M", "orig_x": "STOPGAP"}
#: What an optimisation set of RELION says.
_PARTICLES: Final = "rlnTomoParticlesFile"
_LINES_LOOKED_AT: Final = 1_000
_MISSING: Final = frozenset({"nan", "NaN", "<NA>"})
_START_CHARACTERS: Final = 2**16


def holds_blocks(path: Path) -> bool:
    """Whether a file starts as a STAR file does: with a block, after nothing but comments, however long."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            for _ in range(_LINES_LOOKED_AT):
                start = file.readline(_START_CHARACTERS)
                if start.startswith("data_"):
                    return True
                if not start or not (start.isspace() or start.lstrip().startswith("#")):
                    return False
                while start and not start.endswith("\n"):  # the rest of a long comment
                    start = file.readline(_START_CHARACTERS)
    except OSError:
        return False
    return False


def read_star(path: Path, context: Context, *, is_ours: bool = False) -> Picks:
    """The picks of one tomogram; `about` has its name as the file has it, and what RELION needs beside the particles.

    Positions are counted in the context's voxels if it gives their width and the file's positions have one, else in the
    file's own pixels.

    Parameters
    ----------
    is_ours
        Whether the file says that we wrote it, so that nobody need be told what other programs may mean by it.

    Raises
    ------
    FormatError
        If it is no STAR file of three-dimensional positions.
    MissingContextError
        If positions are from the centre and the tomogram's size isn't known, if shifts are in ångström and the width
        of a pixel isn't, or if there are several tomograms and none was chosen.
    """
    table, optics, general, others = _blocks(path)
    tomogram_label = next((label for label in TOMOGRAM_NAMES if label in table), None)
    names = [] if tomogram_label is None else table.different(tomogram_label)
    tomogram = choose_tomogram(names, context.tomogram, path.name)
    if tomogram_label is not None:
        table = table.where(tomogram_label, tomogram)
    rows = Rows(path, table, optics, context, is_ours=is_ours)
    points_xyz, spacing = rows.points_xyz()
    score_label = next((label for label in SCORES if label in table), None)
    scores = rows.numbers(score_label) if score_label else None
    rotations_xyz = rows.rotations_xyz()
    used = {*OWN, tomogram_label, score_label} - {*OF_IMAGES}
    features = {label: typed(table[label]) for label in table if label not in used} | rows.shifts_of_3_0()
    project = _project(optics, general)
    if GROUP in table and (project or (optics is None and len(table.different(GROUP)) > 1)):
        features[GROUP] = typed(table[GROUP])
    return checked_picks(
        path,
        rows=rows.numbers_in_file,
        points_zyx=points_xyz[:, ::-1],
        spacing_angstrom=spacing,
        rotations_zyx=None if rotations_xyz is None else rotations_xyz[:, ::-1, ::-1],
        scores=scores,
        instance_ids=rows.whole(INSTANCE_ID, missing=NO_INSTANCE),
        ids=rows.whole(PICK_ID),
        features=features,
        shape_zyx=context.shape_zyx if spacing == context.spacing_angstrom else None,
        about={  # last, since all that is read above may warn
            "tomogram_name": tomogram,
            "warnings": [*rows.warnings, *_left_out(table, others), *_rounded(table, score_label, scores)],
            PROJECT: project,
        },
    )


def _rounded(table: TextTable, label: str | None, scores: NDArray[np.float64] | None) -> list[str]:
    """What to tell of scores with more digits than are kept; only of large ones the texts are looked at."""
    if label is None or scores is None:
        return []
    return rounded_scores(table[label].take(np.flatnonzero(np.abs(scores) >= LARGEST_EXACT)).to_pylist())


def _project(optics: TextTable | None, general: dict[str, Any]) -> dict[str, Any] | None:
    """What a RELION project needs beside its particles, as plain texts; None where it is no more than we write."""
    is_ours = optics is None or (len(optics) <= 1 and set(optics) <= _OWN_OPTICS)
    if is_ours and not general:
        return None
    columns = {} if optics is None else {label: optics.texts(label) for label in optics}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return {"optics": rows, "general": {str(label): str(value) for label, value in general.items()}}


def _left_out(table: TextTable, others: list[str]) -> list[str]:
    """What a file has beside what picks have, in words."""
    parts = [labels for labels in (PIXELS, CENTRED, SIZES) if not all(label in table for label in labels)]
    lone = [label for labels in parts for label in labels if label in table]
    said = [f"What its other blocks say was left out: {listed(others)}."] if others else []
    return said + ([f"Columns of places along some axes only were left out: {listed(lone)}."] if lone else [])


class _Blocks(NamedTuple):
    """The blocks of a file that are read, and the names of others."""

    particles: TextTable
    optics: TextTable | None
    general: dict[str, Any]
    others: list[str]


def _blocks(path: Path) -> _Blocks:
    """The block with positions, the blocks of optics groups and of general facts if there are; all values as texts."""
    refuse_unreadable(path)
    blocks = read_blocks(path)
    found = [block for block in blocks if set(PIXELS) <= set(block.labels) or set(CENTRED) <= set(block.labels)]
    names = [block.name or "one without a name" for block in blocks]
    if len(found) > 1:
        raise FormatError(
            f"{path.name} has positions in {len(found)} blocks, of {listed(names)}.",
            hint="Put them into one block, or into files of their own.",
        )
    if not found:
        flat = any(set(PIXELS[:2]) <= set(block.labels) for block in blocks)
        what = "its positions have no z" if flat else f"its blocks are {listed(names) or 'none'}"
        raise FormatError(
            f"{path.name} holds no positions of particles in a volume ({what}).",
            hint=f"{_origin_of(blocks)}, with rlnCoordinateX/Y/Z or rlnCenteredCoordinateX/Y/ZAngst.",
        )
    optics = next((block for block in blocks if block.name == "optics"), None)
    general = next((block for block in blocks if block.name == "general" and not block.is_loop), None)
    facts = {} if general is None else dict(zip(general.labels, general.rows[0], strict=True))
    read = (found[0], optics, general)
    others = [name for name, block in zip(names, blocks, strict=True) if all(block is not each for each in read)]
    return _Blocks(_as_table(found[0]), None if optics is None else _as_table(optics), facts, others)


def _origin_of(blocks: list[Block]) -> str:
    """What to do about a file without RELION's labels, by the program whose labels it has."""
    labels = {label for block in blocks for label in block.labels}
    program = next((name for label, name in _OF_OTHER_PROGRAMS.items() if label in labels), None)
    if program:
        return f"It is a file of {program}: convert it to one of RELION"
    sets = [block for block in blocks if _PARTICLES in block.labels and len(block)]
    named = sets[0].rows[0][sets[0].labels.index(_PARTICLES)] if sets else ""
    return f"Choose the file of particles{f' that it names ({shortened(named)})' if named else ''}"


def _as_table(block: Block) -> TextTable:
    """A block as a table of texts, with null where nothing is known."""
    import pyarrow as pa
    import pyarrow.compute as pc

    unknown = pa.array(sorted(_MISSING))
    columns = {
        label: pc.if_else(pc.is_in(column, value_set=unknown), pa.scalar(None, pa.string()), column)
        for label, column in zip(block.labels, block.columns, strict=True)
    }
    if GROUP in columns:  # some programs write these numbers as reals
        columns[GROUP] = pc.replace_substring_regex(columns[GROUP], r"^([0-9]+)\.0*$", r"\1")
    return TextTable(columns, np.arange(1, len(block) + 1))
