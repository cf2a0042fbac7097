"""A small simulated tomogram with known particles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_cryoet.volumes import Volume

SPACING_ANGSTROM = 10.0
DIAMETER_ANGSTROM = 80.0
SHAPE_ZYX = (40, 72, 64)  # all sides differ, so that each order of axes gives other positions


@dataclass(frozen=True)
class Scene:
    """Dark (or bright) particles in noise, and their positions in voxels."""

    grey: np.ndarray
    truth_zyx: np.ndarray

    @property
    def volume(self) -> Volume:
        return volume_of_array(self.grey)


def volume_of_array(array, spacing_angstrom=SPACING_ANGSTROM):
    spacing = None if spacing_angstrom is None else (spacing_angstrom,) * 3
    return Volume([array], spacing)


def make_scene(*, n_particles=40, polarity=-1.0, seed=3, shape=SHAPE_ZYX) -> Scene:
    rng = np.random.default_rng(seed)
    truth = spaced_positions(rng, n_particles, DIAMETER_ANGSTROM / SPACING_ANGSTROM, shape)
    return Scene(_grey(rng, truth, polarity, shape), truth)


def make_mirrored_scene(seed=0) -> Scene:
    """A volume that is symmetric in z, with the particles of its lower half."""
    rng = np.random.default_rng(seed)
    half = (SHAPE_ZYX[0] // 2, *SHAPE_ZYX[1:])
    truth = spaced_positions(rng, 25, DIAMETER_ANGSTROM / SPACING_ANGSTROM, half)
    mirrored = np.where((True, False, False), SHAPE_ZYX[0] - 1 - truth, truth)
    return Scene(_grey(rng, np.concatenate([truth, mirrored]), -1.0, SHAPE_ZYX), truth)


def _grey(rng, positions, polarity, shape) -> np.ndarray:
    """Noise with particles."""
    z, y, x = np.indices(shape)
    grey = ndimage.gaussian_filter(rng.standard_normal(shape), 0.7)
    grey /= grey.std()
    radius = DIAMETER_ANGSTROM / 2 / SPACING_ANGSTROM
    for at_z, at_y, at_x in positions:
        distance = np.sqrt((z - at_z) ** 2 + (y - at_y) ** 2 + (x - at_x) ** 2)
        grey += polarity * np.clip(radius - distance + 0.5, 0, 1)
    return grey.astype(np.float32)


def spaced_positions(rng, count, distance, shape) -> np.ndarray:
    """Random positions with a minimum distance."""
    kept = np.empty((0, 3))
    while len(kept) < count:
        point = rng.uniform(3, np.array(shape) - 4)
        if not len(kept) or np.linalg.norm(kept - point, axis=1).min() > distance:
            kept = np.vstack([kept, point])
    return kept
