"""By how much density lies beside picks that fit: a voxel where a program counts from 1, or more where it is off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.fitness.density import Contrast
from napari_cryoet.fitness.evidence import peaks, profiles, quarter_particle

_N_RESAMPLED: Final = 200
#: An offset is told where it is this many errors from none, along one axis.
_SURE: Final = 5.0
#: And where it is at least this much of a particle, or a voxel that is certain.
_WORTH_TELLING: Final = 1 / 6
#: An error up to which one voxel can be told from none and from two.
_FINE: Final = 0.2


@dataclass(frozen=True, slots=True)
class Offset:
    """By how much the density lies beside picks that fit, in voxels of the volume along z, y, x, with its error."""

    voxels_zyx: tuple[float, float, float]
    error_zyx: tuple[float, float, float]
    is_one_based: bool


def measure_offset(
    contrast: Contrast, voxels_zyx: NDArray[np.float64], diameter_angstrom: float, seed: int
) -> Offset | None:
    """Where the mean contrast about the picks is at its height; None where that is at the picks, or not to be told.

    A parabola through three places along each axis, a quarter of a particle apart; its error by resampling the picks.

    Parameters
    ----------
    voxels_zyx
        Picks inside the volume that fit it.
    diameter_angstrom
        Of the particle.
    seed
        Of the resampling.
    """
    quarter = quarter_particle(contrast, diameter_angstrom)
    around = profiles(contrast, contrast.grid.places(voxels_zyx), quarter)
    found, is_there = peaks(around.mean(axis=0))
    if not is_there:
        return None
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, len(around), (_N_RESAMPLED, len(around)))
    again = np.array([peaks(around[some].mean(axis=0))[0] for some in rows])
    if not np.isfinite(again).all():
        return None
    step = quarter * contrast.grid.step_zyx
    return _told(found * step, again.std(axis=0) * step, 4 * step)


def _told(offset: NDArray[np.float64], error: NDArray[np.float64], diameter: NDArray[np.float64]) -> Offset | None:
    is_sure = np.abs(offset) > _SURE * error
    one = np.sign(offset[0])
    is_near_one = np.abs(offset - one) <= np.maximum(3 * error, _FINE)
    is_one_based = bool(is_sure.any() and (error <= _FINE).all() and is_near_one.all())
    is_far = bool((is_sure & (np.abs(offset) >= _WORTH_TELLING * diameter)).any())
    if not (is_one_based or is_far):
        return None
    return Offset(_three(offset), _three(error), is_one_based)


def _three(values: NDArray[np.float64]) -> tuple[float, float, float]:
    z, y, x = (float(value) for value in values)
    return z, y, x
