"""RELION STAR files of subtomogram positions: what versions 3.0 to 5 write, in and out.

Conventions, from RELION's source (``src/jaz/tomography/particle_set.cpp`` of 5.0; labels in ``metadata_label.h``):

- Positions are 0-based: x, y, z = 0 is the centre of the first pixel. 3.0 and 3.1 count in pixels of the micrograph
  (here: the tomogram), whose width stands in 3.1's optics as ``rlnMicrographPixelSize``, if anywhere. 4 counts
  (``rlnCoordinateX/Y/Z``) in pixels of the unbinned tilt series, ``rlnTomoTiltSeriesPixelSize`` wide. 5 writes ångström
  from the centre of the tomogram (``rlnCenteredCoordinateX/Y/ZAngst``), and that centre is half the tomogram's size:
  voxel index N / 2 of a grid of N voxels (``Tomogram::centre``, ``w0 / 2.0``).
  4.0 itself (not 5.0) adds one such pixel to a coordinate before it extracts (``getPosition``); files of 4 are taken
  at their word here, as those of 5 are.
  A file that has both must say the same by both.
- ``rlnOriginX/Y/ZAngst`` is subtracted from the position, turned by the subtomogram's matrix first (``getPosition``).
  3.0 has ``rlnOriginX/Y/Z`` in pixels of the particle's image.
- Orientation is A_subtomogram A_particle (``getMatrix3x3``) of ``rlnTomoSubtomogramRot/Tilt/Psi`` and
  ``rlnAngleRot/Tilt/Psi``; what these angles mean is in `napari_cryoet.formats.eulers`.

Labels that RELION doesn't know are kept by it: ours start with ``napariCryoet``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError, MissingContextError
from napari_cryoet.formats.eulers import matrices_of
from napari_cryoet.formats.exchange import (
    Context,
    checked_picks,
    choose_tomogram,
    listed,
    numbers_in,
    refuse_unreadable,
    typed,
)
from napari_cryoet.formats.star_blocks import Block, read_blocks
from napari_cryoet.formats.text_columns import TextTable, wholes
from napari_cryoet.picks import Picks

PIXELS: Final = ("rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ")
CENTRED: Final = ("rlnCenteredCoordinateXAngst", "rlnCenteredCoordinateYAngst", "rlnCenteredCoordinateZAngst")
ANGLES: Final = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
SUBTOMOGRAM_ANGLES: Final = ("rlnTomoSubtomogramRot", "rlnTomoSubtomogramTilt", "rlnTomoSubtomogramPsi")
_PRIORS: Final = ("rlnAngleRotPrior", "rlnAngleTiltPrior", "rlnAnglePsiPrior")
_SHIFTS_ANGSTROM: Final = ("rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst")
_SHIFTS_PIXELS: Final = ("rlnOriginX", "rlnOriginY", "rlnOriginZ")
_SIZES: Final = ("rlnTomoSizeX", "rlnTomoSizeY", "rlnTomoSizeZ")
TOMOGRAM_NAMES: Final = ("rlnTomoName", "rlnMicrographName")
PIXEL_SIZES: Final = ("rlnTomoTiltSeriesPixelSize", "rlnMicrographPixelSize")
#: The first that a file has is the score: RELION's own, then those of pytom-match-pick.
SCORES: Final = ("rlnAutopickFigureOfMerit", "rlnLCCmax", "ptmLCCmax")
GROUP: Final = "rlnOpticsGroup"
#: Under this name `about` has the optics groups and the general block of the file that picks come from.
PROJECT: Final = "relion"
_OWN_OPTICS: Final = frozenset({"rlnOpticsGroup", "rlnOpticsGroupName", *PIXEL_SIZES})
_LINES_LOOKED_AT: Final = 1_000
_MISSING: Final = frozenset({"nan", "NaN", "<NA>"})
#: How far positions in ångström may be from those in pixels: as far as rounding to one decimal brings them.
_ROUNDING_PIXELS: Final = 0.1
_START_CHARACTERS: Final = 2**16
PICK_ID, INSTANCE_ID, IS_ORIENTED = "napariCryoetPickId", "napariCryoetInstanceId", "napariCryoetIsOriented"

#: What other columns of a file can't be called, since these say where and how a particle lies.
OWN: Final = frozenset(
    {*PIXELS, *CENTRED, *ANGLES, *SUBTOMOGRAM_ANGLES, *_SHIFTS_ANGSTROM, *_SHIFTS_PIXELS, *_SIZES, *PIXEL_SIZES}
    | {GROUP, PICK_ID, INSTANCE_ID, IS_ORIENTED}
)


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


def read_star(path: Path, context: Context) -> Picks:
    """The picks of one tomogram; `about` has its name as the file has it, and what RELION needs beside the particles.

    Positions are counted in the context's voxels if it gives their width and the file's positions have one, else in the
    file's own pixels.

    Raises
    ------
    FormatError
        If it is no STAR file of three-dimensional positions.
    MissingContextError
        If positions are from the centre and the tomogram's size isn't known, if shifts are in ångström and the width
        of a pixel isn't, or if there are several tomograms and none was chosen.
    """
    table, optics, general = _blocks(path)
    tomogram_label = next((label for label in TOMOGRAM_NAMES if label in table), None)
    names = [] if tomogram_label is None else table.different(tomogram_label)
    tomogram = choose_tomogram(names, context.tomogram, path.name)
    if tomogram_label is not None:
        table = table.where(tomogram_label, tomogram)
    rows = _Rows(path, table, optics, context)
    points_xyz, spacing = rows.points_xyz()
    score_label = next((label for label in SCORES if label in table), None)
    rotations_xyz = rows.rotations_xyz()
    used = {*OWN, tomogram_label, score_label, *rows.priors_of_other_angles()}
    features = {label: typed(table[label]) for label in table if label not in used}
    project = _project(optics, general)
    if project and GROUP in table:
        features[GROUP] = typed(table[GROUP])
    return checked_picks(
        path,
        rows=rows.numbers_in_file,
        points_zyx=points_xyz[:, ::-1],
        spacing_angstrom=spacing,
        rotations_zyx=None if rotations_xyz is None else rotations_xyz[:, ::-1, ::-1],
        scores=rows.numbers(score_label) if score_label else None,
        instance_ids=rows.whole(INSTANCE_ID),
        ids=rows.whole(PICK_ID),
        features=features,
        shape_zyx=context.shape_zyx if spacing == context.spacing_angstrom else None,
        about={"tomogram_name": tomogram, "warnings": rows.warnings, PROJECT: project},
    )


class _Rows:
    """The rows of one tomogram, with what their optics groups say."""

    def __init__(self, path: Path, table: TextTable, optics: TextTable | None, context: Context) -> None:
        self._path, self._table, self._optics, self._context = path, table, optics, context
        self.numbers_in_file = table.rows
        self.warnings: list[str] = []

    def numbers(self, label: str) -> NDArray[np.float64]:
        return numbers_in(self._path, label, self._table[label], self.numbers_in_file)

    def whole(self, label: str) -> NDArray[np.int64] | None:
        if label not in self._table:
            return None
        numbers = wholes(self._table[label])
        if numbers is not None:
            return numbers
        try:
            return np.array([int(value) for value in self._table.texts(label)], dtype=np.int64)
        except (ValueError, OverflowError) as error:
            raise FormatError(f"{self._path.name}: {label} isn't a column of whole numbers ({error}).") from error

    def points_xyz(self) -> tuple[NDArray[np.float64], float | None]:
        """Positions in voxels after shifts, and the width of a voxel where it is known."""
        pixel = self._pixel_angstrom()
        shifts = self._shifts_angstrom()
        wanted = self._context.spacing_angstrom
        own = None if pixel is None or not len(pixel) else float(pixel[0])
        if all(label in self._table for label in CENTRED) and not self._needs_no_centre(pixel):
            positions = self._triple(CENTRED) + self._centre_angstrom(pixel)
            self._refuse_contradictions(positions, pixel)
            positions = positions - shifts
            spacing = wanted if wanted is not None else own
            assert spacing is not None  # noqa: S101 - else there would be no centre
            return positions / spacing, spacing
        pixels = self._triple(PIXELS)
        if pixel is not None and own is not None:
            spacing = wanted if wanted is not None else own
            return (pixels * pixel[:, None] - shifts) / spacing, spacing
        if wanted is not None:
            return pixels - shifts / wanted, wanted
        if shifts.any():
            raise MissingContextError(
                f"{self._path.name} shifts its positions by ångström, but doesn't say how wide its pixels are.",
                hint="Give the voxel spacing of the tomogram in which they were counted.",
                missing=("spacing_angstrom",),
            )
        return pixels, None

    def _refuse_contradictions(self, positions: NDArray[np.float64], pixel: NDArray[np.float64] | None) -> None:
        """Raise `FormatError` for the first row that is elsewhere by its pixels; what can't be compared is said."""
        if not all(label in self._table for label in PIXELS):
            return
        if pixel is None:
            self.warnings.append("Its positions in pixels were left out: the file doesn't say how wide those are.")
            return
        pixels, width = self._triple(PIXELS), pixel[:, None]
        far, at = _ROUNDING_PIXELS * width, ""
        shape, spacing = self._context.shape_zyx, self._context.spacing_angstrom
        if shape is not None and spacing is not None:
            far = far + spacing / 2  # a binned volume has a rounded size
            at = f" in a volume of {' x '.join(map(str, shape))} voxels (z, y, x) of {spacing:g} Å"
        with np.errstate(invalid="ignore"):
            differ = np.argwhere(np.abs(positions - pixels * width) > far)
        if len(differ):
            row, axis = (int(index) for index in differ[0])
            centred = self.numbers(CENTRED[axis])[row]
            raise FormatError(
                f"{self._path.name}, row {self.numbers_in_file[row]}: {PIXELS[axis]} {pixels[row, axis]:.10g} at "
                f"{pixel[row]:g} Å a pixel and {CENTRED[axis]} {centred:.10g} aren't the same place{at}.",
                hint="Remove the columns that are wrong; those of one kind are enough.",
            )

    def _needs_no_centre(self, pixel: NDArray[np.float64] | None) -> bool:
        """Whether nobody knows the tomogram's size, and positions in pixels say the same places without it.

        The centre is then what all rows differ by; where they don't agree on it, one of the two kinds is wrong.
        """
        if pixel is None or not all(label in self._table for label in PIXELS) or self._known_centre(pixel) is not None:
            return False
        centres = self._triple(PIXELS) * pixel[:, None] - self._triple(CENTRED)
        with np.errstate(invalid="ignore"):
            centre = np.median(centres, axis=0) if len(centres) else np.zeros(3)
            differ = np.argwhere(np.abs(centres - centre) > 2 * _ROUNDING_PIXELS * pixel[:, None])
        if len(differ):
            row, axis = (int(index) for index in differ[0])
            raise FormatError(
                f"{self._path.name}, row {self.numbers_in_file[row]}: {PIXELS[axis]} and {CENTRED[axis]} differ by "
                "another centre of the tomogram than in other rows.",
                hint="Remove the columns that are wrong; those of one kind are enough.",
            )
        self.warnings.append(
            "Its positions in pixels were taken; those from the centre say the same if the tomogram is as large as "
            "they need, and nobody said how large it is."
        )
        return True

    def rotations_xyz(self) -> NDArray[np.float64] | None:
        """Active matrices; None where the file has no angles."""
        parts = [self._matrices(labels) for labels in (SUBTOMOGRAM_ANGLES, ANGLES)]
        given = [part for part in parts if part is not None]
        if not given:
            return None
        rotations = given[0] if len(given) == 1 else given[0] @ given[1]
        is_oriented = self.whole(IS_ORIENTED)
        if is_oriented is not None:
            rotations[is_oriented == 0] = np.nan
        return rotations

    def priors_of_other_angles(self) -> list[str]:
        """Labels of priors that are meant beside the subtomograms' own rotations, which are part of the angles here."""
        labels = [label for label in _PRIORS if label in self._table]
        subtomogram = self._matrices(SUBTOMOGRAM_ANGLES)
        if not labels or subtomogram is None or np.allclose(subtomogram, np.eye(3), equal_nan=True):
            return []
        self.warnings.append(
            f"The priors of its angles ({listed(labels)}) were left out: they are meant beside rlnTomoSubtomogramRot, "
            "Tilt and Psi, which are part of the angles here."
        )
        return labels

    def _matrices(self, labels: tuple[str, str, str]) -> NDArray[np.float64] | None:
        if not any(label in self._table for label in labels):
            return None
        return matrices_of(self._triple(labels, missing=0.0), "relion")

    def _triple(self, labels: tuple[str, str, str], missing: float = np.nan) -> NDArray[np.float64]:
        columns = [
            self.numbers(label) if label in self._table else np.full(len(self._table), missing) for label in labels
        ]
        return np.stack(columns, axis=1)

    def _pixel_angstrom(self) -> NDArray[np.float64] | None:
        """The width of the pixels in which each row counts, as the file says it."""
        for label in PIXEL_SIZES:
            values = self._by_group(label)
            if values is None:
                continue
            if (np.isfinite(values) & (values > 0)).all():
                return values
            odd = values[~(np.isfinite(values) & (values > 0))][0]
            self.warnings.append(f"Pixels can't be {odd:g} Å wide, as its {label} says: it was left out.")
        for label in ("rlnImagePixelSize", "rlnPixelSize"):
            values = self._by_group(label)
            if values is not None and len(values):
                self.warnings.append(
                    f"The file gives {values[0]:g} Å as the pixel size of the particles' own images ({label}), which "
                    "need not be the tomogram's."
                )
        return None

    def _by_group(self, label: str) -> NDArray[np.float64] | None:
        if label in self._table:
            return self.numbers(label)
        optics = self._optics
        if optics is None or label not in optics or not len(optics):
            return None
        try:
            if GROUP in optics and GROUP in self._table:
                of_group = self._widths_of_groups(optics, label)
                lost = [group for group in self._table.different(GROUP) if group not in of_group]
                if lost:
                    raise FormatError(
                        f"{self._path.name}: its optics table has no group {listed(list(map(str, lost)))}."
                    )
                return np.array([of_group[group] for group in self._table.texts(GROUP)], dtype=np.float64)
            widths = {float(width) for width in optics.texts(label)}
            if len(widths) > 1:  # which of them, nobody knows
                self.warnings.append(f"The optics groups differ in {label}, and particles have no {GROUP}.")
                return None
            return np.full(len(self._table), widths.pop())
        except ValueError as error:
            raise FormatError(f"{self._path.name}: the optics table has no usable {label} ({error}).") from error

    def _widths_of_groups(self, optics: TextTable, label: str) -> dict[str, float]:
        found: dict[str, float] = {}
        for group, text in zip(optics.texts(GROUP), optics.texts(label), strict=True):
            width = float(text)
            if found.setdefault(group, width) != width:
                raise FormatError(
                    f"{self._path.name}: its optics table has group {group} twice, with different values of {label}."
                )
        return found

    def _centre_angstrom(self, pixel: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Half the tomogram's size in x, y, z."""
        known = self._known_centre(pixel)
        if known is not None:
            return known
        context = self._context
        missing: list[Literal["spacing_angstrom", "shape_zyx"]] = []
        missing += [] if context.spacing_angstrom is not None else ["spacing_angstrom"]
        missing += [] if context.shape_zyx is not None else ["shape_zyx"]
        raise MissingContextError(
            f"{self._path.name} counts from the centre of the tomogram, but doesn't say how large the tomogram is.",
            hint="Give the tomogram's voxel spacing and its size in voxels.",
            missing=tuple(missing),
        )

    def _known_centre(self, pixel: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
        context = self._context
        if context.shape_zyx is not None and context.spacing_angstrom is not None:
            return np.array(context.shape_zyx[::-1]) * context.spacing_angstrom / 2
        if pixel is not None and all(label in self._table for label in _SIZES):
            return self._triple(_SIZES) * pixel[:, None] / 2
        return None

    def _shifts_angstrom(self) -> NDArray[np.float64]:
        """What is to be subtracted from positions, in the tomogram's axes."""
        if any(label in self._table for label in _SHIFTS_ANGSTROM):
            shifts = self._triple(_SHIFTS_ANGSTROM, missing=0.0)
        elif any(label in self._table for label in _SHIFTS_PIXELS):
            shifts = self._triple(_SHIFTS_PIXELS, missing=0.0)
            if shifts.any():
                shifts = shifts * self._image_pixel_angstrom()[:, None]
        else:
            return np.zeros((len(self._table), 3))
        subtomogram = self._matrices(SUBTOMOGRAM_ANGLES)
        return shifts if subtomogram is None else np.einsum("nij,nj->ni", subtomogram, shifts)

    def _image_pixel_angstrom(self) -> NDArray[np.float64]:
        """The width of a pixel of the particles' images, in which RELION 3.0 counts shifts."""
        for label in ("rlnImagePixelSize", "rlnPixelSize"):
            values = self._by_group(label)
            if values is not None:
                return values
        if "rlnDetectorPixelSize" in self._table and "rlnMagnification" in self._table:
            return self.numbers("rlnDetectorPixelSize") * 1e4 / self.numbers("rlnMagnification")  # µm on the detector
        raise FormatError(
            f"{self._path.name} shifts its positions by pixels of the particles' images, but doesn't say how wide "
            "those are.",
            hint="Convert the file with relion_convert_star, which writes shifts in ångström.",
        )


def _project(optics: TextTable | None, general: dict[str, Any]) -> dict[str, Any] | None:
    """What a RELION project needs beside its particles, as plain texts; None where it is no more than we write."""
    is_ours = optics is None or (len(optics) <= 1 and set(optics) <= _OWN_OPTICS)
    if is_ours and not general:
        return None
    columns = {} if optics is None else {label: optics.texts(label) for label in optics}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return {"optics": rows, "general": {str(label): str(value) for label, value in general.items()}}


def _blocks(path: Path) -> tuple[TextTable, TextTable | None, dict[str, Any]]:
    """The block with positions, the blocks of optics groups and of general facts if there are; all values as texts."""
    refuse_unreadable(path)
    blocks = read_blocks(path)
    found = [block for block in blocks if set(PIXELS) <= set(block.labels) or set(CENTRED) <= set(block.labels)]
    names = [block.name for block in blocks]
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
            hint="Choose the file of particles, with rlnCoordinateX/Y/Z or rlnCenteredCoordinateX/Y/ZAngst.",
        )
    optics = next((block for block in blocks if block.name == "optics"), None)
    general = next((block for block in blocks if block.name == "general" and not block.is_loop), None)
    facts = {} if general is None else dict(zip(general.labels, general.rows[0], strict=True))
    return _as_table(found[0]), None if optics is None else _as_table(optics), facts


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
