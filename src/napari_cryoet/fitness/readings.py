"""The ways in which positions can be read: which axis is which, which run backwards, what a unit is, where 0 is.

A file of picks seldom says any of this, and each program has its own habit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.picks import Picks

_AXES: Final = "zyx"
#: Two factors that differ by less are the same reading; a density couldn't tell them apart either.
_SAME_FACTOR: Final = 0.05
#: No volume has so many voxels: positions beyond are damaged, and their squares may be no numbers any more.
FARTHEST: Final = 1e12
#: How far a pick may be beyond the centre of the outermost voxel and still be inside.
_HALF_VOXEL: Final = 0.5


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read positions; the default one takes them as they are.

    Attributes
    ----------
    order_zyx
        Which of the given axes (0 is z, 1 is y, 2 is x) is really z, y and x.
    flipped_zyx
        Which of these then count from the far end of the volume.
    factor
        What the positions are multiplied by.
    unit
        What the factor means, in words.
    shift_zyx
        What is added in the end, in voxels of the volume.
    """

    order_zyx: tuple[int, int, int] = (0, 1, 2)
    flipped_zyx: tuple[bool, bool, bool] = (False, False, False)
    factor: float = 1.0
    unit: str = ""
    shift_zyx: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def is_given(self) -> bool:
        """Whether it changes nothing."""
        return self == Reading()

    @property
    def is_mirrored(self) -> bool:
        """Whether it turns a right hand into a left one."""
        return bool(np.linalg.det(self.axes_zyx) < 0)

    @property
    def axes_zyx(self) -> NDArray[np.float64]:
        """The matrix (3, 3) that takes directions in z, y, x as given to those that are meant."""
        signs = np.where(self.flipped_zyx, -1.0, 1.0)
        return np.asarray(signs[:, None] * np.eye(3)[list(self.order_zyx)])

    def apply(self, voxels_zyx: NDArray[np.float64], shape_zyx: tuple[int, int, int]) -> NDArray[np.float64]:
        """Positions (n, 3) in voxels of a volume of that shape, read this way."""
        points = voxels_zyx[:, self.order_zyx] * self.factor
        far_end = np.array(shape_zyx) - 1.0
        return np.asarray(np.where(self.flipped_zyx, far_end - points, points) + self.shift_zyx)

    def words(self) -> str:
        """What is different, to follow an "if": ``y is flipped``."""
        parts = (_order_words(self.order_zyx), _flip_words(self.flipped_zyx), self.unit, _shift_words(self.shift_zyx))
        return " and ".join(part for part in parts if part) or "they are taken as they are"

    def applied_to(self, picks: Picks, frame: Frame) -> Picks:
        """Picks read this way, in the grid of the volume.

        Orientations turn along, unless the reading mirrors: a mirrored rotation is none, so they are left out.
        """
        rotations = picks.rotations_zyx
        lost = rotations is not None and self.is_mirrored
        return picks.changed(
            f"read anew so that {self.words()}{' (orientations left out: they cannot be mirrored)' if lost else ''}",
            points_zyx=self.apply(frame.voxels_zyx, frame.shape_zyx) + frame.origin_zyx,
            rotations_zyx=None if rotations is None or lost else self.axes_zyx @ rotations,
            spacing_angstrom=frame.spacing_zyx[0] if len(set(frame.spacing_zyx)) == 1 else None,
            shape_zyx=frame.shape_zyx,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Where picks are in a volume as they are given.

    Attributes
    ----------
    voxels_zyx
        Their positions (n, 3) in voxels of the volume.
    picks_angstrom
        The width of a voxel of their own grid.
    shape_zyx, spacing_zyx
        The volume's size in voxels, and a voxel's in ångström.
    origin_zyx
        Where the volume's first voxel lies in the frame of the picks, in voxels of the volume.
    """

    voxels_zyx: NDArray[np.float64]
    picks_angstrom: float
    shape_zyx: tuple[int, int, int]
    spacing_zyx: tuple[float, float, float]
    origin_zyx: tuple[float, float, float]

    @classmethod
    def of(
        cls,
        picks: Picks,
        shape_zyx: tuple[int, int, int],
        spacing_zyx: tuple[float, float, float],
        origin_zyx: tuple[float, float, float],
    ) -> Frame:
        """Picks in a volume; where they have no voxel spacing of their own, they count in its voxels."""
        own = picks.spacing_angstrom
        scale = np.ones(3) if own is None else own / np.array(spacing_zyx)
        mean = float(np.mean(spacing_zyx))
        return cls(picks.points_zyx * scale - origin_zyx, own or mean, shape_zyx, spacing_zyx, origin_zyx)

    @property
    def mean_spacing(self) -> float:
        """The width of a voxel of the volume."""
        return float(np.mean(self.spacing_zyx))


def all_readings(picks_angstrom: float, volume_angstrom: float) -> Iterator[Reading]:
    """Every order of the axes with every flip at every scale that a mistake makes likely, the given one first.

    Parameters
    ----------
    picks_angstrom, volume_angstrom
        The width of a voxel of the picks' own grid, and of the volume.
    """
    for factor, unit in _scales(picks_angstrom, volume_angstrom):
        for order in itertools.permutations(range(3)):
            for flipped in itertools.product((False, True), repeat=3):
                yield Reading(order, flipped, factor, unit)  # type: ignore[arg-type] # three of each


def shifted(shift_zyx: NDArray[np.float64]) -> Reading:
    """The given positions, elsewhere."""
    z, y, x = (float(length) for length in shift_zyx)
    return Reading(shift_zyx=(z, y, x))


def are_inside(points_zyx: NDArray[np.float64], shape_zyx: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Which positions, in voxels, are in a volume of that shape."""
    is_in = (points_zyx >= -_HALF_VOXEL) & (points_zyx <= np.array(shape_zyx) - _HALF_VOXEL)
    return np.asarray(is_in.all(axis=1))


def _scales(picks_angstrom: float, volume_angstrom: float) -> list[tuple[float, str]]:
    """Factors with their meaning in words, each once."""
    candidates = [
        (1.0, ""),
        (1 / picks_angstrom, "the numbers are ångström, not voxels"),
        (picks_angstrom, "the numbers are voxels that were divided by the voxel spacing once too often"),
        (volume_angstrom / picks_angstrom, "the numbers are voxels of this volume"),
        (2.0, "they were picked in voxels twice as wide (binned by 2)"),
        (4.0, "they were picked in voxels four times as wide (binned by 4)"),
        (0.5, "they were picked in voxels half as wide (this volume is binned by 2)"),
        (0.25, "they were picked in voxels a quarter as wide (this volume is binned by 4)"),
    ]
    kept: list[tuple[float, str]] = []
    for factor, words in candidates:
        if all(abs(math.log(factor / other)) > _SAME_FACTOR for other, _ in kept):
            kept.append((factor, words))
    return kept


def _order_words(order: tuple[int, int, int]) -> str:
    moved = [axis for axis in range(3) if order[axis] != axis]
    if len(moved) == 2:
        return f"{_AXES[moved[1]]} and {_AXES[moved[0]]} are swapped"
    if not moved:
        return ""
    return f"what is given as {_listed([_AXES[given] for given in order])} is taken for z, y and x"


def _flip_words(flipped: tuple[bool, bool, bool]) -> str:
    axes = [name for name, is_flipped in zip(_AXES, flipped, strict=True) if is_flipped]
    return f"{_listed(axes[::-1])} {'is' if len(axes) == 1 else 'are'} flipped" if axes else ""


def _shift_words(shift: tuple[float, float, float]) -> str:
    parts = [f"{length:+.3g} in {name}" for name, length in zip(_AXES, shift, strict=True) if length]
    return f"all are moved by {_listed(parts[::-1])} voxels" if parts else ""


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
