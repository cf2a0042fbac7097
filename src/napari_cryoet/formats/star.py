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

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError, MissingContextError
from napari_cryoet.formats.eulers import matrices_of
from napari_cryoet.formats.exchange import (
    Context,
    checked_picks,
    choose_tomogram,
    listed,
    number_of,
    refuse_large,
    typed,
)
from napari_cryoet.picks import Picks

if TYPE_CHECKING:
    import pandas as pd


PIXELS: Final = ("rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ")
CENTRED: Final = ("rlnCenteredCoordinateXAngst", "rlnCenteredCoordinateYAngst", "rlnCenteredCoordinateZAngst")
ANGLES: Final = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
SUBTOMOGRAM_ANGLES: Final = ("rlnTomoSubtomogramRot", "rlnTomoSubtomogramTilt", "rlnTomoSubtomogramPsi")
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
    names = [] if tomogram_label is None else [str(name) for name in table[tomogram_label]]
    tomogram = choose_tomogram(names, context.tomogram, path.name)
    if tomogram_label is not None:
        table = table[np.array(names, dtype=object) == tomogram] if len(table) else table
    rows = _Rows(path, table, optics, context)
    points_xyz, spacing = rows.points_xyz()
    score_label = next((label for label in SCORES if label in table), None)
    rotations_xyz = rows.rotations_xyz()
    used = {*OWN, tomogram_label, score_label}
    features = {label: typed(table[label]) for label in table if label not in used}
    project = _project(optics, general)
    if project and GROUP in table:
        features[GROUP] = typed(table[GROUP])
    return checked_picks(
        path,
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

    def __init__(self, path: Path, table: pd.DataFrame, optics: pd.DataFrame | None, context: Context) -> None:
        self._path, self._table, self._optics, self._context = path, table, optics, context
        self.warnings: list[str] = []

    def numbers(self, label: str) -> NDArray[np.float64]:
        try:
            return np.array([number_of(value) for value in self._table[label]], dtype=np.float64)
        except ValueError as error:
            raise FormatError(f"{self._path.name}: {label} isn't a column of numbers ({error}).") from error

    def whole(self, label: str) -> NDArray[np.int64] | None:
        if label not in self._table:
            return None
        try:
            return np.array([int(value) for value in self._table[label]], dtype=np.int64)
        except (ValueError, OverflowError) as error:
            raise FormatError(f"{self._path.name}: {label} isn't a column of whole numbers ({error}).") from error

    def points_xyz(self) -> tuple[NDArray[np.float64], float | None]:
        """Positions in voxels after shifts, and the width of a voxel where it is known."""
        pixel = self._pixel_angstrom()
        shifts = self._shifts_angstrom()
        wanted = self._context.spacing_angstrom
        own = None if pixel is None or not len(pixel) else float(pixel[0])
        if all(label in self._table for label in CENTRED):
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
                f"{self._path.name}, row {int(self._table.index[row]) + 1}: {PIXELS[axis]} {pixels[row, axis]:.10g} at "
                f"{pixel[row]:g} Å a pixel and {CENTRED[axis]} {centred:.10g} aren't the same place{at}.",
                hint="Remove the columns that are wrong; those of one kind are enough.",
            )

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
            if values is not None and np.isfinite(values).all() and (values > 0).all():
                return values
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
                of_group = dict(zip(optics[GROUP], map(float, optics[label]), strict=True))
                return np.array([of_group[group] for group in self._table[GROUP]], dtype=np.float64)
            widths = {float(width) for width in optics[label]}
            if len(widths) > 1:  # which of them, nobody knows
                self.warnings.append(f"The optics groups differ in {label}, and particles have no {GROUP}.")
                return None
            return np.full(len(self._table), widths.pop())
        except (KeyError, ValueError) as error:
            raise FormatError(f"{self._path.name}: the optics table has no usable {label} ({error}).") from error

    def _centre_angstrom(self, pixel: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Half the tomogram's size in x, y, z."""
        context = self._context
        if context.shape_zyx is not None and context.spacing_angstrom is not None:
            return np.array(context.shape_zyx[::-1]) * context.spacing_angstrom / 2
        if pixel is not None and all(label in self._table for label in _SIZES):
            return self._triple(_SIZES) * pixel[:, None] / 2
        missing: list[Literal["spacing_angstrom", "shape_zyx"]] = []
        missing += [] if context.spacing_angstrom is not None else ["spacing_angstrom"]
        missing += [] if context.shape_zyx is not None else ["shape_zyx"]
        raise MissingContextError(
            f"{self._path.name} counts from the centre of the tomogram, but doesn't say how large the tomogram is.",
            hint="Give the tomogram's voxel spacing and its size in voxels.",
            missing=tuple(missing),
        )

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


def _project(optics: pd.DataFrame | None, general: dict[str, Any]) -> dict[str, Any] | None:
    """What a RELION project needs beside its particles, as plain texts; None where it is no more than we write."""
    is_ours = optics is None or (len(optics) <= 1 and set(optics) <= _OWN_OPTICS)
    if is_ours and not general:
        return None
    rows = [] if optics is None else [{str(label): str(row[label]) for label in optics} for _, row in optics.iterrows()]
    return {"optics": rows, "general": {str(label): str(value) for label, value in general.items()}}


def _blocks(path: Path) -> tuple[pd.DataFrame, pd.DataFrame | None, dict[str, Any]]:
    """The block with positions, the blocks of optics groups and of general facts if there are; all values as texts."""
    import starfile

    refuse_large(path)
    try:
        labels = sorted(set(_labels_in(path)))
        blocks = starfile.read(path, always_dict=True, parse_as_string=labels)  # numbers are ours to read, exactly
    except Exception as error:  # the parser fails in as many ways as there are damaged files
        raise FormatError(f"{path.name} is no STAR file that can be read ({error}).") from error
    tables = {name: _as_table(block) for name, block in blocks.items()}
    found = [table for table in tables.values() if set(PIXELS) <= set(table) or set(CENTRED) <= set(table)]
    if len(found) > 1:
        raise FormatError(
            f"{path.name} has positions in {len(found)} blocks, of {listed(list(blocks))}.",
            hint="Put them into one block, or into files of their own.",
        )
    if not found:
        flat = any(set(PIXELS[:2]) <= set(table) for table in tables.values())
        what = "its positions have no z" if flat else f"its blocks are {listed(list(blocks)) or 'none'}"
        raise FormatError(
            f"{path.name} holds no positions of particles in a volume ({what}).",
            hint="Choose the file of particles, with rlnCoordinateX/Y/Z or rlnCenteredCoordinateX/Y/ZAngst.",
        )
    general = blocks.get("general")
    return found[0], tables.get("optics"), general if isinstance(general, dict) else {}


def _as_table(block: pd.DataFrame | dict[str, Any]) -> pd.DataFrame:
    """A block as a table; one that lists its labels with a value each is a table of one row."""
    import pandas as pd

    if isinstance(block, pd.DataFrame):
        return block
    return pd.DataFrame({label: [str(value)] for label, value in block.items()})


def _labels_in(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            text = line.strip()
            if text.startswith("_"):
                yield text.split()[0][1:]
