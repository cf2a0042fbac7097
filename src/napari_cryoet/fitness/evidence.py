"""How well positions fit what stands out in a volume, and how sure that is.

The measure is Cliff's delta between the places of the picks and those of the *same pattern of picks, moved a little as
a whole*: the share of comparisons in which a pick is brighter, less that in which it is darker. 0 is chance, -1 means
that every pick is darker than every place near the picks. Moving the whole pattern keeps whatever it has of clusters,
rows and layers, and moving it only a little keeps it in the lamella, so that neither can be mistaken for a fit.

References: Cliff, Psychol. Bull. 114 (1993), 494; for toroidal shifts of a point pattern as its null, Lotwick and
Silverman, J. R. Stat. Soc. B 44 (1982), 406.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.fitness.density import Contrast
from napari_cryoet.fitness.readings import Reading, are_inside, shifted
from napari_cryoet.stopping import raise_if_stopped

#: How often a suggestion may be wrong, over all that is tried together.
ALARM_LEVEL: Final = 0.01
#: A reading that leaves more of the picks outside than this isn't one.
MIN_SHARE_INSIDE: Final = 0.75
#: What a better reading must gain at least, in Cliff's delta: less isn't "much better", however sure it is.
MIN_GAIN: Final = 0.1
#: And picks that are moved, where what is a little beside particles stands out too, only the other way.
MIN_GAIN_OF_MOVE: Final = 0.03
#: How often picks that were put anywhere may be said to fit.
FIT_LEVEL: Final = 0.001
MIN_PICKS: Final = 5

_N_SHIFTS: Final = 256
_N_SHIFTS_AT_FIRST_SIGHT: Final = 24
_N_JUDGED: Final = 8  # of the readings that look best at first sight
#: How far the pattern is moved along z, y and x, in diameters: less along z, to stay in the lamella.
_REACH_ZYX: Final = (1.5, 4.0, 4.0)
_LARGEST_RANK: Final = 0.999
_STEPS: Final = np.array([-1.0, 0.0, 1.0])
_TOO_NEAR: Final = 1.25  # diameters: nearer than that, a moved pick still sees its particle
#: As far apart, in diameters, particles can touch.
_NEIGHBOUR: Final = 0.75
#: Half a particle apart, so many places are within reach of `_TOO_NEAR`.
_N_BESIDE: Final = 125
_PLACES_AT_ONCE: Final = 2**20


@dataclass(frozen=True, slots=True)
class Evidence:
    """How well a reading fits.

    Attributes
    ----------
    reading
        Which.
    share_inside
        Of the picks, in the volume.
    effect
        Cliff's delta of the picks that are inside against the same pattern moved a little; negative is darker.
    sigma
        How many standard deviations of the moved patterns that is from their mean.
    gain, noise
        What ``sigma`` is the ratio of, over all picks: those outside count as 0.
    """

    reading: Reading
    share_inside: float
    effect: float
    sigma: float
    gain: float
    noise: float

    @property
    def is_above_chance(self) -> bool:
        """Whether picks that were put anywhere would hardly ever fit like this."""
        return abs(self.sigma) >= sigma_needed(1, FIT_LEVEL)


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """Picks in a volume, and where they are moved to for comparison.

    Attributes
    ----------
    contrast
        What stands out in the volume.
    voxels_zyx
        The picks as given, in voxels of the volume.
    shape_zyx
        Of the volume.
    diameter_angstrom
        Of the particle.
    shifts
        Random moves (n, 3) in coarse voxels of the contrast, none so small that a pick would still see its particle.
    reach_zyx
        The longest of them along each axis.
    """

    contrast: Contrast
    voxels_zyx: NDArray[np.float64]
    shape_zyx: tuple[int, int, int]
    diameter_angstrom: float
    shifts: NDArray[np.float64]
    reach_zyx: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        contrast: Contrast,
        voxels_zyx: NDArray[np.float64],
        shape_zyx: tuple[int, int, int],
        *,
        diameter_angstrom: float,
        seed: int,
    ) -> Pattern:
        """Picks, with moves of a few particles' size, as far as the volume goes."""
        grid = contrast.grid
        extent = np.array(grid.shape_zyx) * grid.spacing_zyx
        half = np.minimum(np.multiply(_REACH_ZYX, diameter_angstrom), extent / 2)
        nearest = min(_TOO_NEAR * diameter_angstrom, 0.6 * float(half.max()))
        rng = np.random.default_rng(seed)
        found: NDArray[np.float64] = np.empty((0, 3))
        while len(found) < _N_SHIFTS:
            more = rng.uniform(-half, half, (4 * _N_SHIFTS, 3))
            found = np.concatenate([found, more[np.linalg.norm(more, axis=1) >= nearest]])
        shifts, reach = found[:_N_SHIFTS] / grid.spacing_zyx, half / grid.spacing_zyx
        return cls(contrast, voxels_zyx, shape_zyx, diameter_angstrom, shifts, reach)

    def places(self, reading: Reading) -> tuple[NDArray[np.float64], float]:
        """Coarse voxels of the picks that are in the volume if they are read this way, and the share of these."""
        points = reading.apply(self.voxels_zyx, self.shape_zyx)
        is_in = are_inside(points, self.shape_zyx)
        return self.contrast.grid.places(points[is_in]), float(is_in.mean())


def judge(pattern: Pattern, reading: Reading, n_shifts: int = _N_SHIFTS) -> Evidence:
    """Compare picks, read one way, with the same pattern moved by each of the shifts, or only by some of them."""
    places, share = pattern.places(reading)
    if not len(places):
        return Evidence(reading, 0.0, 0.0, 0.0, 0.0, 0.0)
    here = pattern.contrast.near(places)
    there = _moved(pattern.contrast, places, pattern.shifts[:n_shifts])
    difference = float(here.mean() - there.mean())
    # the picks' own scatter is a floor: patterns moved into the empty ice above and below would make it too small
    noise = float(max(there.mean(axis=1).std(), here.std() / np.sqrt(len(here))))
    sigma = difference / noise if noise > 0 else 0.0
    return Evidence(reading, share, cliffs_delta(here, there.ravel()), sigma, share * difference, share * noise)


def look_through(
    pattern: Pattern, readings: Sequence[Reading], stop: threading.Event | None = None
) -> tuple[list[Evidence], int]:
    """The readings that fit best, best first, and how many were tried: those that leave the picks in the volume."""
    first_sight: list[Evidence] = []
    for reading in readings:
        raise_if_stopped(stop)
        _, share = pattern.places(reading)
        if share >= MIN_SHARE_INSIDE:
            first_sight.append(judge(pattern, reading, _N_SHIFTS_AT_FIRST_SIGHT))
    first_sight.sort(key=_strength, reverse=True)
    judged = []
    for evidence in first_sight[:_N_JUDGED]:
        raise_if_stopped(stop)
        judged.append(judge(pattern, evidence.reading))
    return sorted(judged, key=_strength, reverse=True), len(first_sight)


def look_around(pattern: Pattern, stop: threading.Event | None = None) -> tuple[Evidence | None, int]:
    """The move of all picks that fits best, of those over a quarter of a particle, and how many were tried.

    None where it takes too many picks out of the volume, or picks stand out half as much moved the opposite way: they
    are then in the middle of something larger than the particle was said to be. None either where it leads from one
    particle to another that lies beside each in the same way, as the other half of a pair.
    """
    grid = pattern.contrast.grid
    reach = np.floor(pattern.reach_zyx).astype(int)
    steps = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1).reshape(-1, 3)
    steps = steps[np.linalg.norm(steps * grid.spacing_zyx, axis=1) > pattern.diameter_angstrom / 4]
    if not len(steps):
        return None, 0
    places = grid.places(pattern.voxels_zyx)
    means = _moved(pattern.contrast, places, steps, stop=stop, only_means=True)
    step = steps[np.argmax(np.abs(means - np.median(means)))]
    quarter = quarter_particle(pattern.contrast, pattern.diameter_angstrom)
    height, _ = peaks(profiles(pattern.contrast, places + step, quarter).mean(axis=0))
    best = np.round((step + np.nan_to_num(height) * quarter) * grid.step_zyx, 1)
    moved, opposite = judge(pattern, shifted(best)), judge(pattern, shifted(-best))
    is_one_way = np.sign(moved.gain) * opposite.gain < abs(moved.gain) / 2
    is_one = moved.share_inside >= MIN_SHARE_INSIDE and is_one_way and not _is_neighbour(pattern, places, moved)
    return (moved if is_one else None), len(steps)


def _is_neighbour(pattern: Pattern, places: NDArray[np.float64], moved: Evidence) -> bool:
    """Whether picks that are moved so far are on other particles, and have particles of their own where they are."""
    contrast = pattern.contrast
    shift_angstrom = np.array(moved.reading.shift_zyx) / contrast.grid.step_zyx * contrast.grid.spacing_zyx
    if np.linalg.norm(shift_angstrom) < _NEIGHBOUR * pattern.diameter_angstrom:
        return False
    around = profiles(contrast, places, quarter_particle(contrast, pattern.diameter_angstrom)).mean(axis=0)
    height, is_there = peaks(around)
    is_same = np.sign(around[0, 1]) == np.sign(moved.effect)
    return bool(is_there and is_same and (np.abs(height) <= 1).all())


def cliffs_delta(ones: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """The share of pairs in which the one is greater than the other, less that in which it is smaller.

    >>> cliffs_delta(np.array([3, 4]), np.array([1, 2, 3]))
    0.8333333333333333
    """
    ordered = np.sort(others)
    below = np.searchsorted(ordered, ones, side="left")
    above = len(ordered) - np.searchsorted(ordered, ones, side="right")
    return float((below - above).sum(dtype=np.int64)) / (len(ones) * len(ordered))


def sigma_needed(n_tried: int, level: float = ALARM_LEVEL / 2) -> float:
    """How many standard deviations the best of so many must have, dark or bright, to be above chance (Bonferroni).

    Half of `ALARM_LEVEL` is for readings, half for shifts.
    """
    from scipy.stats import norm

    return float(norm.isf(level / (2 * max(n_tried, 1))))


def is_much_better(one: Evidence, given: Evidence, n_tried: int) -> bool:
    """Whether a reading is above chance, with correction for all that was tried, and fits better than the given one.

    The second is one comparison of two effects, so it needs no correction: what is chance fails the first. And where
    the given one is no effect at all, it isn't asked how large an effect it might still be: picks that are read too
    small lie all in one place, and might be anything.
    """
    noise = float(np.hypot(one.noise, given.noise)) if given.is_above_chance else one.noise
    more = (abs(one.gain) - abs(given.gain)) / max(noise, 1e-12)
    is_real = abs(one.sigma) >= sigma_needed(n_tried)
    return is_real and more >= sigma_needed(1, 2 * ALARM_LEVEL) and _gained(one, given) >= MIN_GAIN


def is_beside(pattern: Pattern, moved: Evidence, given: Evidence, n_tried: int) -> bool:
    """Whether picks that are above chance as they are, are more so moved: they lie beside their particles.

    What is beside a dark particle is bright against it. So picks that are all off by a particle stand out as well, and
    only the comparison pick by pick says which of the two is the particle; with correction, since many places beside a
    particle stand out.
    """
    is_real = abs(moved.sigma) >= sigma_needed(n_tried)
    if not (given.is_above_chance and is_real) or _gained(moved, given) < MIN_GAIN_OF_MOVE:
        return False
    contrast, voxels = pattern.contrast, pattern.voxels_zyx
    before = np.sign(given.effect) * contrast.near(contrast.grid.places(voxels))
    after = np.sign(moved.effect) * contrast.near(contrast.grid.places(voxels + moved.reading.shift_zyx))
    difference = after - before
    error = float(difference.std()) / np.sqrt(len(difference))
    return bool(difference.mean() >= sigma_needed(_N_BESIDE) * error)


def is_rival(pattern: Pattern, other: Evidence, best: Evidence, n_tried: int) -> bool:
    """Whether a reading is above chance, too, not surely worse than the best one, and puts the picks elsewhere.

    Picks on what looks the same from several sides, such as a virus in the middle of the volume, don't say from which.
    """
    less = abs(best.gain) - abs(other.gain)
    is_worse = less >= sigma_needed(1, 2 * ALARM_LEVEL) * float(np.hypot(other.noise, best.noise))
    if is_worse or abs(other.sigma) < sigma_needed(n_tried):
        return False
    grid = pattern.contrast.grid
    here, there = (each.reading.apply(pattern.voxels_zyx, pattern.shape_zyx) for each in (best, other))
    apart = np.linalg.norm((here - there) / grid.step_zyx * grid.spacing_zyx, axis=1)
    return float(np.median(apart)) > pattern.diameter_angstrom / 2


def _strength(evidence: Evidence) -> float:
    return abs(evidence.sigma)


def _gained(one: Evidence, given: Evidence) -> float:
    return abs(one.effect) * one.share_inside - abs(given.effect) * given.share_inside


def quarter_particle(contrast: Contrast, diameter_angstrom: float) -> NDArray[np.float64]:
    """A step of a quarter of a particle along z, y and x in coarse voxels, but never less than one."""
    return np.maximum(diameter_angstrom / 4 / contrast.grid.spacing_zyx, 1.0)


def profiles(contrast: Contrast, places_zyx: NDArray[np.float64], step_zyx: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores (picks, axes, 3) a step before each place, at it, and a step after it, along z, y and x.

    Ranks flatten out towards -1 and 1, where particles are; as log odds they have a peak.
    """
    steps = _STEPS[:, None, None] * np.diag(step_zyx)
    along = [contrast.between(places_zyx[:, None] + steps[:, axis]) for axis in range(3)]
    return np.asarray(np.arctanh(np.clip(np.stack(along, axis=1), -_LARGEST_RANK, _LARGEST_RANK)))


def peaks(profile: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool]:
    """Where the parabola through each row of three values has its height, in steps, and whether all are well within.

    NaN where there is none, or it is further than one and a half.
    """
    left, middle, right = profile.T
    bend = left - 2 * middle + right
    with np.errstate(divide="ignore", invalid="ignore"):
        height = (left - right) / (2 * bend)
    is_there = (np.abs(height) <= 1.5) & (np.sign(bend) == -np.sign(middle))
    return np.where(is_there, height, np.nan), bool(is_there.all())


def _moved(
    contrast: Contrast,
    places_zyx: NDArray[np.float64],
    shifts: NDArray[np.float64] | NDArray[np.intp],
    *,
    stop: threading.Event | None = None,
    only_means: bool = False,
) -> NDArray[np.float32]:
    """The ranks (shifts, picks) at places moved by each shift, or only the mean of each shift."""
    at_once = max(1, _PLACES_AT_ONCE // len(places_zyx))
    parts = []
    for start in range(0, len(shifts), at_once):
        raise_if_stopped(stop)
        ranks = contrast.near(places_zyx + shifts[start : start + at_once, None])
        parts.append(ranks.mean(axis=1) if only_means else ranks)
    return np.concatenate(parts)
