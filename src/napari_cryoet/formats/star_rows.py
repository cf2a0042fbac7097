"""The rows of one tomogram in a STAR file: positions, shifts and angles, with what their optics groups say of them.

What the labels mean is told in `napari_cryoet.formats.star`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError, MissingContextError
from napari_cryoet.formats.column_types import numbers_in, typed, whole_number
from napari_cryoet.formats.eulers import matrices_of
from napari_cryoet.formats.exchange import Context, angle_warnings, listed
from napari_cryoet.formats.star_labels import (
    ANGLES,
    CENTRED,
    GROUP,
    IMAGE_PIXELS,
    IS_ORIENTED,
    MAGNIFIED,
    PIXEL_SIZES,
    PIXELS,
    SHIFTS_ANGSTROM,
    SHIFTS_PIXELS,
    SIZES,
    SUBTOMOGRAM_ANGLES,
    TOMOGRAM_NAMES,
)
from napari_cryoet.formats.text_columns import TextTable, wholes

#: How far positions in ångström may be from those in pixels: as far as rounding to one decimal brings them.
_ROUNDING_PIXELS: Final = 0.1
_SAME_WIDTH: Final = 1e-3
#: How Warp's names of tomograms end.
_OF_WARP: Final = ".tomostar"


class Rows:
    """The rows of one tomogram, with what their optics groups say.

    Attributes
    ----------
    numbers_in_file
        What each row is counted as, from 1.
    warnings
        What there is to say of what was read.
    """

    def __init__(
        self, path: Path, table: TextTable, optics: TextTable | None, context: Context, *, is_ours: bool
    ) -> None:
        self._path, self._table, self._optics, self._context = path, table, optics, context
        self._is_ours = is_ours
        self.numbers_in_file = table.rows
        self.warnings: list[str] = []

    def numbers(self, label: str) -> NDArray[np.float64]:
        """A column as numbers, NaN where it says nothing."""
        return numbers_in(self._path, label, self._table[label], self.numbers_in_file)

    def whole(self, label: str, missing: int | None = None) -> NDArray[np.int64] | None:
        """A column as whole numbers, with ``missing`` where it says nothing; None where there is none."""
        if label not in self._table:
            return None
        numbers = wholes(self._table[label])
        if numbers is not None:
            return numbers
        try:
            return np.array([whole_number(value, missing) for value in self._table[label].to_pylist()], dtype=np.int64)
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
            if not self._is_ours:
                self._tell_of_warps_pixels(own)
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

    def _tell_of_warps_pixels(self, pixel_angstrom: float) -> None:
        """Say that positions may be in other pixels than the file says, as WarpTools wrote them (warpem/warp 504)."""
        images = next(iter(self._image_pixels_angstrom().values()), np.zeros(0))
        names = [name for label in TOMOGRAM_NAMES if label in self._table for name in self._table.different(label)]
        is_warps = len(names) > 0 and all(name.endswith(_OF_WARP) for name in names)
        if is_warps and len(images) and not math.isclose(images[0], pixel_angstrom, rel_tol=_SAME_WIDTH):
            self.warnings.append(
                f"Its tomogram has a name of Warp's. WarpTools up to 2.0.0dev39 counts in pixels of the particles' "
                f"images ({images[0]:g} Å), though its files say {pixel_angstrom:g} Å, which was taken: picks of such "
                f"a file lie too near to a corner of the tomogram. If they do, set {PIXEL_SIZES[0]} in the file to "
                f"{images[0]:g}."
            )

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
        for labels in (SUBTOMOGRAM_ANGLES, ANGLES):
            if any(label in self._table for label in labels):
                self.warnings += angle_warnings(self._triple(labels, missing=0.0), np.asarray(self.numbers_in_file))
        is_oriented = self.whole(IS_ORIENTED, missing=1)
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
            if values is None:
                continue
            if (np.isfinite(values) & (values > 0)).all():
                return values
            odd = values[~(np.isfinite(values) & (values > 0))][0]
            self.warnings.append(f"Pixels can't be {odd:g} Å wide, as its {label} says: it was left out.")
        for label, values in self._image_pixels_angstrom().items():
            if len(values):
                self.warnings.append(
                    f"The file gives {values[0]:g} Å as the pixel size of the particles' own images ({label}), which "
                    "need not be the tomogram's."
                )
        self._tell_of_pytoms_pixels()
        return None

    def _tell_of_pytoms_pixels(self) -> None:
        """Say what a detector's pixels may be beside which there is no magnification (pytom_tm/extract.py)."""
        detector, magnification = MAGNIFIED
        if detector not in self._table or magnification in self._table or not len(self._table):
            return
        widths = typed(self._table[detector])
        if widths.dtype.kind in "if" and widths[0] > 0:
            self.warnings.append(
                f"The file gives {widths[0]:g} as {detector}, and no magnification: in files of pytom-match-pick, this "
                "is the pixel size of the tomogram in Å."
            )

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
            known = found.setdefault(group, width)
            if known != width and not (math.isnan(known) and math.isnan(width)):
                raise FormatError(
                    f"{self._path.name}: its optics table has group {group} twice, with different values of {label}."
                )
        return found

    def _centre_angstrom(self, pixel: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Half the tomogram's size in x, y, z."""
        known = self._known_centre(pixel)
        if known is not None:
            self._tell_of_another_size(known, pixel)
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

    def _tell_of_another_size(self, centre: NDArray[np.float64], pixel: NDArray[np.float64] | None) -> None:
        """Say that the file has a size of its own for the tomogram, beside which the one that was given is wrong."""
        spacing = self._context.spacing_angstrom
        if spacing is None or pixel is None or not all(label in self._table for label in SIZES):
            return
        own = self._triple(SIZES) * pixel[:, None] / 2
        with np.errstate(invalid="ignore"):
            is_other = (np.abs(own - centre) > spacing).any()  # a binned volume has a rounded size
        if is_other:
            self.warnings.append(
                f"Its tomogram has another size by the file's own {', '.join(SIZES)}: the one that was given was "
                "taken. Where that is wrong, all picks lie elsewhere."
            )

    def _known_centre(self, pixel: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
        context = self._context
        if context.shape_zyx is not None and context.spacing_angstrom is not None:
            return np.array(context.shape_zyx[::-1]) * context.spacing_angstrom / 2
        if pixel is not None and all(label in self._table for label in SIZES):
            return self._triple(SIZES) * pixel[:, None] / 2
        return None

    def _shifts_angstrom(self) -> NDArray[np.float64]:
        """What is to be subtracted from positions, in the tomogram's axes."""
        if any(label in self._table for label in SHIFTS_ANGSTROM):
            shifts = self._triple(SHIFTS_ANGSTROM, missing=0.0)
        elif any(label in self._table for label in SHIFTS_PIXELS):
            shifts = self._shifts_of_3_0_angstrom()
        else:
            return np.zeros((len(self._table), 3))
        subtomogram = self._matrices(SUBTOMOGRAM_ANGLES)
        return shifts if subtomogram is None else np.einsum("nij,nj->ni", subtomogram, shifts)

    def shifts_of_3_0(self) -> dict[str, NDArray[np.float64]]:
        """RELION 3.0's shifts as columns of later versions, in ångström; none where nothing is shifted by such."""
        is_of_3_0 = any(label in self._table for label in SHIFTS_PIXELS)
        if not is_of_3_0 or any(label in self._table for label in SHIFTS_ANGSTROM):
            return {}
        shifts = self._shifts_of_3_0_angstrom()
        return dict(zip(SHIFTS_ANGSTROM, shifts.T, strict=True)) if shifts.any() else {}

    def _shifts_of_3_0_angstrom(self) -> NDArray[np.float64]:
        shifts = self._triple(SHIFTS_PIXELS, missing=0.0)
        if not shifts.any():
            return shifts
        with np.errstate(invalid="ignore", divide="ignore"):  # what makes no position is refused with its row
            return shifts * self._image_pixel_angstrom()[:, None]

    def _image_pixel_angstrom(self) -> NDArray[np.float64]:
        """The width of a pixel of the particles' images, in which RELION 3.0 counts shifts."""
        for values in self._image_pixels_angstrom().values():
            return values
        raise FormatError(
            f"{self._path.name} shifts its positions by pixels of the particles' images, but doesn't say how wide "
            "those are.",
            hint="Convert the file with relion_convert_star, which writes shifts in ångström.",
        )

    def _image_pixels_angstrom(self) -> dict[str, NDArray[np.float64]]:
        """How wide the pixels of the particles' images are, by the labels that say so."""
        said = {label: self._by_group(label) for label in IMAGE_PIXELS}
        found = {label: values for label, values in said.items() if values is not None}
        if not found and all(label in self._table for label in MAGNIFIED):
            detector, magnification = map(self.numbers, MAGNIFIED)
            with np.errstate(invalid="ignore", divide="ignore"):  # what is no width makes no position, and is refused
                found[" and ".join(MAGNIFIED)] = detector * 1e4 / magnification  # µm on the detector
        return found
