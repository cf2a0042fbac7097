"""Alternative readings of positions: order and direction of axes, unit, and origin.

Pick files rarely state these, and programs have different conventions.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.measure.measuring import PicksFrame
from napari_cryoet.picks import Picks

_AXES: Final = "zyx"
#: Factors that differ by less count as equal; the density can't distinguish them.
_SAME_FACTOR: Final = 0.05


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read positions; the default takes them as given."""

    order_zyx: tuple[int, int, int] = (
        0,
        1,
        2,
    )  # the given axes (0 is z, 1 is y, 2 is x) that are really z, y, x
    flipped_zyx: tuple[bool, bool, bool] = (
        False,
        False,
        False,
    )  # whether each counts from the far end of the volume
    factor: float = 1.0  # multiplies the positions
    unit: str = ""  # describes the factor
    shift_zyx: tuple[float, float, float] = (0.0, 0.0, 0.0)  # added last, in voxels of the volume

    @property
    def axes_zyx(self) -> NDArray[np.float64]:
        """The matrix (3, 3) from given to real directions in z, y, x."""
        signs = np.where(self.flipped_zyx, -1.0, 1.0)
        return np.asarray(signs[:, None] * np.eye(3)[list(self.order_zyx)])

    def apply(
        self, voxels_zyx: NDArray[np.float64], shape_zyx: tuple[int, int, int]
    ) -> NDArray[np.float64]:
        """Apply this reading to positions (n, 3) in voxels of a volume."""
        points = voxels_zyx[:, self.order_zyx] * self.factor
        return np.asarray(
            np.where(self.flipped_zyx, np.array(shape_zyx) - 1.0 - points, points) + self.shift_zyx
        )

    def words(self) -> str:
        """Describe the reading, to follow an "if": ``y is flipped``."""
        moved = [_AXES[axis] for axis in range(3) if self.order_zyx[axis] != axis][::-1]
        axes_given = _listed([_AXES[axis] for axis in self.order_zyx])
        order = (
            f"{axes_given} are taken for z, y and x"
            if len(moved) == 3
            else f"{_listed(moved)} are swapped"
        )
        axes = [
            name for name, is_flipped in zip(_AXES, self.flipped_zyx, strict=True) if is_flipped
        ][::-1]
        shifts = [
            f"{length:+.3g} in {name}"
            for name, length in zip(_AXES, self.shift_zyx, strict=True)
            if length
        ]
        parts = [
            order if moved else "",
            f"{_listed(axes)} {'is' if len(axes) == 1 else 'are'} flipped" if axes else "",
            self.unit,
            f"all are moved by {_listed(shifts[::-1])} voxels" if shifts else "",
        ]
        return " and ".join(filter(None, parts)) or "they are taken as given"

    def applied_to(self, frame: PicksFrame) -> Picks:
        """Apply this reading to picks; the result is in the volume's grid.

        Orientations are transformed, too. A reading that mirrors drops them: a mirrored rotation
        isn't a rotation.
        """
        rotations, is_mirrored = frame.picks.rotations_zyx, np.linalg.det(self.axes_zyx) < 0
        lost = (
            " (orientations left out: they cannot be mirrored)"
            if rotations is not None and is_mirrored
            else ""
        )
        return frame.picks.changed(
            f"reread so that {self.words()}{lost}",
            points_zyx=self.apply(frame.voxels_zyx, frame.shape_zyx) + frame.origin_zyx,
            rotations_zyx=None if rotations is None or is_mirrored else self.axes_zyx @ rotations,
            spacing_angstrom=frame.spacing_zyx[0] if len(set(frame.spacing_zyx)) == 1 else None,
            shape_zyx=frame.shape_zyx,
        )


def all_readings(picks_angstrom: float, volume_angstrom: float) -> Iterator[Reading]:
    """All orders and flips of axes at all plausible scales; the given reading comes first."""
    candidates = [
        (1.0, ""),
        (1 / picks_angstrom, "the numbers are ångström, not voxels"),
        (
            picks_angstrom,
            "the numbers are voxels that were divided by the voxel spacing once too often",
        ),
        (volume_angstrom / picks_angstrom, "the numbers are voxels of this volume"),
        (2.0, "they were picked in voxels twice as wide (binned by 2)"),
        (4.0, "they were picked in voxels four times as wide (binned by 4)"),
        (0.5, "they were picked in voxels half as wide (this volume is binned by 2)"),
        (0.25, "they were picked in voxels a quarter as wide (this volume is binned by 4)"),
    ]
    tried: list[float] = []
    for factor, unit in candidates:
        if all(abs(math.log(factor / other)) > _SAME_FACTOR for other in tried):
            tried.append(factor)
            for order in itertools.permutations(range(3)):
                for flipped in itertools.product((False, True), repeat=3):
                    yield Reading(order, flipped, factor, unit)  # type: ignore[arg-type] # three of each


def shifted(shift_zyx: NDArray[np.float64]) -> Reading:
    """A reading that only shifts positions."""
    z, y, x = shift_zyx.tolist()
    return Reading(shift_zyx=(z, y, x))


def duplicates(
    points: NDArray[np.float64], scores: NDArray[np.float64] | None, nearest: float
) -> NDArray[np.intp]:
    """Sorted rows to remove so that no two remaining points are closer than ``nearest``.

    Of two close points, the one with the better score stays, or else the first.
    """
    from scipy.spatial import KDTree

    order = (
        np.arange(len(points))
        if scores is None
        else np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")
    )
    points = points[order]
    tree, reach = KDTree(points), np.nextafter(nearest, 0)
    is_kept = np.ones(len(points), dtype=bool)
    distances, _ = tree.query(points, k=[2], distance_upper_bound=nearest)
    for number in np.flatnonzero(distances[:, 0] < nearest):
        if is_kept[number]:
            near = np.array(tree.query_ball_point(points[number], reach))
            is_kept[near[near > number]] = False
    return np.sort(order[~is_kept])


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
