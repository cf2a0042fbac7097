"""How the images of particles lie and are turned, as far as a STAR file is written with it beside the particles.

Picks have a source's shifts and the angles of its subtomograms as columns; what these mean is told in
`napari_cryoet.formats.star`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.formats.eulers import matrices_of
from napari_cryoet.formats.star_labels import SHIFTS_ANGSTROM, SUBTOMOGRAM_ANGLES, Dialect
from napari_cryoet.picks import Picks

#: Of shifts, in ångström: beside such, places would lose digits, and no image is so far from its particle.
_FAR: Final = 1e6


class Images(NamedTuple):
    """How the images of particles lie, and are turned, as far as a file says it beside the particles.

    Attributes
    ----------
    columns
        What the file says of it, by label.
    beside_xyz_angstrom
        How far from the particle each was cut out, in the tomogram's axes; None where that isn't said.
    matrices_xyz
        How each is turned in the tomogram; None where that isn't said.
    """

    columns: dict[str, NDArray[np.float64]]
    beside_xyz_angstrom: NDArray[np.float64] | None = None
    matrices_xyz: NDArray[np.float64] | None = None


def images_of(picks: Picks, dialect: Dialect) -> Images:
    """What picks say of their images; those that a person added lie where, and as, the particles do."""
    shifts, angles = _told_of_images(picks, dialect)
    columns: dict[str, NDArray[np.float64]] = {}
    for labels, values in ((SHIFTS_ANGSTROM, shifts), (SUBTOMOGRAM_ANGLES, angles)):
        if values is not None:
            columns |= {label: values[:, axis] for axis, label in enumerate(labels) if label in picks.features}
    matrices = None if angles is None else matrices_of(angles, "relion")
    if shifts is None or matrices is None:
        return Images(columns, shifts, matrices)
    return Images(columns, np.einsum("nij,nj->ni", matrices, shifts), matrices)


def _told_of_images(picks: Picks, dialect: Dialect) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """The shifts and angles of images that a file says; None where there are none, or it can't."""
    shifts, angles = (_triple(picks, labels) for labels in (SHIFTS_ANGSTROM, SUBTOMOGRAM_ANGLES))
    if angles is not None and (dialect == "relion3" or not picks.are_oriented.any()):  # 3.1 has no such angles
        return None, None
    farthest = 0.0 if shifts is None else np.abs(shifts).max(initial=0.0)
    is_lost = farthest >= _FAR or (farthest > 0 and picks.spacing_angstrom is None)
    return None if is_lost else shifts, angles


def untold_of_images(picks: Picks, dialect: Dialect) -> list[str]:
    """The picks' columns of where and how their images lie that a file can't say to RELION, but for zeros."""
    told = zip((SHIFTS_ANGSTROM, SUBTOMOGRAM_ANGLES), _told_of_images(picks, dialect), strict=True)
    labels = [label for labels, values in told if values is None for label in labels if label in picks.features]
    columns = {label: picks.features[label] for label in labels}
    return [label for label, column in columns.items() if column.dtype.kind in "iuf" and np.nan_to_num(column).any()]


def _triple(picks: Picks, labels: tuple[str, str, str]) -> NDArray[np.float64] | None:
    """Three columns of numbers, 0 where nothing is said; None where there is none of them, or one is of texts."""
    given = [picks.features[label] for label in labels if label in picks.features]
    if not given or any(column.dtype.kind not in "iuf" for column in given):
        return None
    columns = [picks.features.get(label, np.zeros(len(picks))).astype(np.float64) for label in labels]
    return np.nan_to_num(np.stack(columns, axis=1), nan=0.0, posinf=0.0, neginf=0.0)
