"""How well positions fit what stands out in a volume, how sure that is, and whether another reading fits better.

The measure is Cliff's delta between the places of the picks and those of the *same pattern of picks, moved a little as
a whole*: the share of comparisons in which a pick is brighter, less that in which it is darker. 0 is chance, -1 means
that each pick is darker than each place nearby. Moving the whole pattern keeps its clusters, rows and layers, and
moving it only a little keeps it in the lamella, so that neither passes for a fit.

References: Cliff, Psychol. Bull. 114 (1993), 494; for toroidal shifts of a point pattern as its null, Lotwick and
Silverman, J. R. Stat. Soc. B 44 (1982), 406.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.check.contrast import Contrast
from napari_cryoet.check.readings import Frame, Reading, all_readings, shifted
from napari_cryoet.volumes import are_inside

#: ``fits``: the picks as given are on density that stands out. ``better``: another reading fits much better.
#: ``several``: several readings fit much better, and nothing says which one is meant. ``unclear``: nobody can tell.
Verdict = Literal["fits", "better", "several", "unclear"]

#: How often a suggestion may be wrong, over all that is tried together.
ALARM_LEVEL: Final = 0.01
#: How often picks that were put anywhere may be said to fit.
FIT_LEVEL: Final = 0.001
#: Densities are compared at no more picks, chosen at random.
MAX_COMPARED: Final = 3000

_N_SHIFTS: Final = 256
_N_SHIFTS_AT_FIRST_SIGHT: Final = 24
_N_JUDGED: Final = 8  # of the readings that look best at first sight
#: How far the pattern is moved along z, y and x, in diameters: less along z, to stay in the lamella.
_REACH_ZYX: Final = (1.5, 4.0, 4.0)
_TOO_NEAR: Final = 1.25  # diameters: nearer, a moved pick still sees its particle
#: Particles that touch can be so near, in diameters.
_NEIGHBOUR: Final = 0.75
#: A reading that leaves more of the picks outside isn't tried.
_MIN_SHARE_INSIDE: Final = 0.75
#: The least gain in Cliff's delta of a better reading, and of picks moved from beside their particles.
_MIN_GAIN: Final = 0.1
_MIN_GAIN_OF_MOVE: Final = 0.03
#: Half a particle apart, so many places are within `_TOO_NEAR`.
_N_BESIDE: Final = 125
_LARGEST_RANK: Final = 0.999
_PLACES_AT_ONCE: Final = 2**20

_N_RESAMPLED: Final = 200
#: An offset is told if it is so many errors from 0, and a sixth of a particle, or a voxel that is certain.
_SURE: Final = 5.0
_WORTH_TELLING: Final = 1 / 6
#: Up to this error, in voxels, one voxel can be told from none and from two.
_FINE: Final = 0.2


@dataclass(frozen=True, slots=True)
class Evidence:
    """How well a reading fits."""

    reading: Reading
    share_inside: float  # of the picks, in the volume
    effect: float = 0.0  # Cliff's delta of the picks inside against the same pattern moved a little; negative is darker
    sigma: float = 0.0  # how many standard deviations of the moved patterns that is from their mean
    gain: float = 0.0  # the mean rank of the picks less that of the moved ones; picks outside count as 0
    noise: float = 0.0  # the standard deviation of that

    @property
    def is_above_chance(self) -> bool:
        """Whether picks that were put anywhere would hardly ever fit like this."""
        return self.strength >= sigma_needed(1, FIT_LEVEL)

    @property
    def strength(self) -> float:
        """How far it is from chance, dark or bright."""
        return abs(self.sigma)


@dataclass(frozen=True, slots=True)
class Offset:
    """How far the density lies beside picks that fit, in voxels of the volume along z, y, x, with its error."""

    voxels_zyx: tuple[float, float, float]
    error_zyx: tuple[float, float, float]
    is_one_based: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the density says."""

    verdict: Verdict
    given: Evidence  # how well the picks fit as given
    best: Evidence | None = None  # the other reading or shift that fits best of all that were tried
    n_tried: int = 0
    offset: Offset | None = None  # how far the density lies beside picks that fit, if that is sure and isn't nothing
    why_not: str = ""  # why the density wasn't looked at
    surely_better: tuple[Evidence, ...] = ()  # the readings that each fit much better than the given one, best first


def judge_densities(contrast: Contrast, frame: Frame, diameter_angstrom: float, *, seed: int) -> Judgement:
    """Compare picks as given with all other readings, and with the same picks elsewhere."""
    voxels = frame.voxels_zyx
    if len(voxels) > MAX_COMPARED:
        voxels = np.random.default_rng(seed).choice(voxels, MAX_COMPARED, replace=False)
    pattern = Pattern(contrast, voxels, frame.shape_zyx, diameter_angstrom, seed=seed)
    as_given, *others = all_readings(frame.picks_angstrom, frame.mean_spacing)
    given = pattern.judge(as_given)
    readings, n_readings = _best_readings(pattern, others)
    move, n_moves = _best_move(pattern)
    tried = _strongest_first(readings if move is None else [*readings, move])
    best, n_tried = tried[0] if tried else None, n_readings + n_moves
    real = [one for one in tried if one.strength >= sigma_needed(n_moves if one is move else n_readings)]
    candidates = [one for one in real if one is move or one is readings[0]]
    named = next((one for one in candidates if _is_much_better(one, given) or _is_beside(pattern, one, given)), None)
    rivals = [] if named is None else [one for one in real if _is_rival(pattern, one, named)]
    if named is not None and not rivals:
        return Judgement("better", given, named, n_tried, surely_better=(named,))
    if given.is_above_chance:
        inside = voxels[are_inside(voxels, frame.shape_zyx)]
        return Judgement("fits", given, best, n_tried, measure_offset(contrast, inside, diameter_angstrom, seed))
    # no single reading can be named, since rivals put the picks on what looks alike
    each = [one for one in (named, *rivals) if one is not None and _is_much_better(one, given)]
    if len(each) > 1:
        return Judgement("several", given, best, n_tried, surely_better=tuple(each))
    alone = tuple(one for one in real if _is_much_better(one, given))
    return Judgement("unclear", given, best, n_tried, surely_better=alone)


class Pattern:
    """Picks in a volume, and where they are moved to for comparison.

    ``shifts`` are random moves (n, 3) in coarse voxels, as far as the volume goes, none so small that a pick would
    still see its particle; ``reach_zyx`` is the longest along each axis.
    """

    def __init__(
        self,
        contrast: Contrast,
        voxels_zyx: NDArray[np.float64],
        shape_zyx: tuple[int, int, int],
        diameter_angstrom: float,
        *,
        seed: int,
    ) -> None:
        self.contrast, self.voxels_zyx, self.shape_zyx = contrast, voxels_zyx, shape_zyx
        self.diameter_angstrom = diameter_angstrom
        grid = contrast.grid
        half = np.minimum(np.multiply(_REACH_ZYX, diameter_angstrom), np.multiply(grid.shape_zyx, grid.spacing_zyx) / 2)
        nearest = min(_TOO_NEAR * diameter_angstrom, 0.6 * float(half.max()))
        rng = np.random.default_rng(seed)
        found: NDArray[np.float64] = np.empty((0, 3))
        while len(found) < _N_SHIFTS:
            more = rng.uniform(-half, half, (4 * _N_SHIFTS, 3))
            found = np.concatenate([found, more[np.linalg.norm(more, axis=1) >= nearest]])
        self.shifts, self.reach_zyx = found[:_N_SHIFTS] / grid.spacing_zyx, half / grid.spacing_zyx

    def places(self, reading: Reading) -> tuple[NDArray[np.float64], float]:
        """Coarse voxels of the picks that a reading puts into the volume, and the share of these."""
        points = reading.apply(self.voxels_zyx, self.shape_zyx)
        is_in = are_inside(points, self.shape_zyx)
        return self.contrast.grid.places(points[is_in]), float(is_in.mean())

    def judge(self, reading: Reading, n_shifts: int = _N_SHIFTS) -> Evidence:
        """Compare picks, read one way, with the same pattern moved by some of the shifts."""
        places, share = self.places(reading)
        if not len(places):
            return Evidence(reading, 0.0)
        here = self.contrast.near(places)
        there = np.concatenate(list(self.moved(places, self.shifts[:n_shifts])))
        difference = float(here.mean() - there.mean())
        # the picks' own scatter is a floor: patterns moved into empty ice would make it too small
        noise = float(max(there.mean(axis=1).std(), here.std() / np.sqrt(len(here))))
        sigma = difference / noise if noise > 0 else 0.0
        return Evidence(reading, share, cliffs_delta(here, there.ravel()), sigma, share * difference, share * noise)

    def moved(self, places_zyx: NDArray[np.float64], shifts: NDArray[Any]) -> Iterator[NDArray[np.float32]]:
        """The ranks (shifts, picks) at places moved by each shift, some shifts at a time."""
        at_once = max(1, _PLACES_AT_ONCE // len(places_zyx))
        for start in range(0, len(shifts), at_once):
            yield self.contrast.near(places_zyx + shifts[start : start + at_once, None])


def cliffs_delta(ones: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """The share of pairs in which the one is greater, less that in which it is smaller.

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


def measure_offset(
    contrast: Contrast, voxels_zyx: NDArray[np.float64], diameter_angstrom: float, seed: int
) -> Offset | None:
    """Where the mean contrast about picks that fit has its peak; None if that is at the picks, or can't be told.

    A parabola through three places along each axis, a quarter of a particle apart; its error by resampling the picks.
    """
    quarter = _quarter_particle(contrast, diameter_angstrom)
    around = _profiles(contrast, contrast.grid.places(voxels_zyx), quarter)
    found = peaks(around.mean(axis=0))
    if not np.isfinite(found).all():
        return None
    rows = np.random.default_rng(seed).integers(0, len(around), (_N_RESAMPLED, len(around)))
    again = np.array([peaks(around[some].mean(axis=0)) for some in rows])
    if not np.isfinite(again).all():
        return None
    step = quarter * contrast.grid.step_zyx
    offset, error = found * step, again.std(axis=0) * step
    is_sure = np.abs(offset) > _SURE * error
    is_near_one = np.abs(offset - np.sign(offset[0])) <= np.maximum(3 * error, _FINE)
    is_one_based = bool(is_sure.any() and (error <= _FINE).all() and is_near_one.all())
    is_far = bool((is_sure & (np.abs(offset) >= _WORTH_TELLING * 4 * step)).any())
    if not (is_one_based or is_far):
        return None
    (z, y, x), (error_z, error_y, error_x) = offset.tolist(), error.tolist()
    return Offset((z, y, x), (error_z, error_y, error_x), is_one_based)


def peaks(profile: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the parabola through each row of three values has its peak; NaN without one within one and a half steps."""
    left, middle, right = profile.T
    bend = left - 2 * middle + right
    with np.errstate(divide="ignore", invalid="ignore"):
        peak = (left - right) / (2 * bend)
    return np.where((np.abs(peak) <= 1.5) & (np.sign(bend) == -np.sign(middle)), peak, np.nan)


def _strongest_first(evidence: list[Evidence]) -> list[Evidence]:
    return sorted(evidence, key=lambda one: one.strength, reverse=True)


def _best_readings(pattern: Pattern, readings: list[Reading]) -> tuple[list[Evidence], int]:
    """The readings that fit best, best first, and how many were tried: those that leave the picks in the volume."""
    tried = [reading for reading in readings if pattern.places(reading)[1] >= _MIN_SHARE_INSIDE]
    at_first_sight = _strongest_first([pattern.judge(reading, _N_SHIFTS_AT_FIRST_SIGHT) for reading in tried])
    return _strongest_first([pattern.judge(one.reading) for one in at_first_sight[:_N_JUDGED]]), len(tried)


def _best_move(pattern: Pattern) -> tuple[Evidence | None, int]:
    """The move of all picks that fits best, of those over a quarter of a particle, and how many were tried.

    None if it takes too many picks out of the volume, or if picks stand out half as much moved the opposite way: they
    are then in the middle of something larger than the particle. None also if it leads from one particle to another
    that lies beside each in the same way, such as the other half of a pair.
    """
    grid, contrast = pattern.contrast.grid, pattern.contrast
    reach = np.floor(pattern.reach_zyx).astype(int)
    steps = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1).reshape(-1, 3)
    steps = steps[np.linalg.norm(steps * grid.spacing_zyx, axis=1) > pattern.diameter_angstrom / 4]
    if not len(steps):
        return None, 0
    places = grid.places(pattern.voxels_zyx)
    means = np.concatenate([ranks.mean(axis=1) for ranks in pattern.moved(places, steps)])
    step = steps[np.argmax(np.abs(means - np.median(means)))]
    quarter = _quarter_particle(contrast, pattern.diameter_angstrom)
    peak = peaks(_profiles(contrast, places + step, quarter).mean(axis=0))
    best = np.round((step + np.nan_to_num(peak) * quarter) * grid.step_zyx, 1)
    moved, opposite = pattern.judge(shifted(best)), pattern.judge(shifted(-best))
    is_one_way = np.sign(moved.gain) * opposite.gain < abs(moved.gain) / 2
    is_one = moved.share_inside >= _MIN_SHARE_INSIDE and is_one_way and not _is_neighbour(pattern, places, moved)
    return (moved if is_one else None), len(steps)


def _is_neighbour(pattern: Pattern, places: NDArray[np.float64], moved: Evidence) -> bool:
    """Whether a move leads to other particles, while the picks have particles of their own where they are."""
    contrast = pattern.contrast
    move_angstrom = np.array(moved.reading.shift_zyx) / contrast.grid.step_zyx * contrast.grid.spacing_zyx
    if np.linalg.norm(move_angstrom) < _NEIGHBOUR * pattern.diameter_angstrom:
        return False
    around = _profiles(contrast, places, _quarter_particle(contrast, pattern.diameter_angstrom)).mean(axis=0)
    is_same = np.sign(around[0, 1]) == np.sign(moved.effect)
    return bool(is_same and (np.abs(peaks(around)) <= 1).all())


def _is_much_better(one: Evidence, given: Evidence) -> bool:
    """Whether a reading that is above chance fits better than the given one.

    That is one comparison of two effects, so it needs no correction. If the given one is no effect at all, its noise
    doesn't count: picks that are read too small lie all in one place, and might be anything.
    """
    noise = float(np.hypot(one.noise, given.noise)) if given.is_above_chance else one.noise
    more = (abs(one.gain) - abs(given.gain)) / max(noise, 1e-12)
    return more >= sigma_needed(1, 2 * ALARM_LEVEL) and _gained(one, given) >= _MIN_GAIN


def _is_beside(pattern: Pattern, moved: Evidence, given: Evidence) -> bool:
    """Whether picks that are above chance as given lie beside their particles: moved, they stand out more.

    What is beside a dark particle is bright against it, so picks that are off by a particle stand out as well. Only the
    comparison pick by pick says which of the two is the particle, corrected for the many places beside one.
    """
    if not any(moved.reading.shift_zyx) or not given.is_above_chance or _gained(moved, given) < _MIN_GAIN_OF_MOVE:
        return False
    contrast, voxels = pattern.contrast, pattern.voxels_zyx
    before = np.sign(given.effect) * contrast.near(contrast.grid.places(voxels))
    after = np.sign(moved.effect) * contrast.near(contrast.grid.places(voxels + moved.reading.shift_zyx))
    difference = after - before
    return bool(difference.mean() >= sigma_needed(_N_BESIDE) * float(difference.std()) / np.sqrt(len(difference)))


def _is_rival(pattern: Pattern, other: Evidence, best: Evidence) -> bool:
    """Whether a reading that is above chance is not surely worse than the best one, and puts the picks elsewhere.

    Picks on what looks the same from several sides, such as a virus in the middle of the volume, don't say from which.
    """
    less = abs(best.gain) - abs(other.gain)
    if less >= sigma_needed(1, 2 * ALARM_LEVEL) * float(np.hypot(other.noise, best.noise)):
        return False
    grid = pattern.contrast.grid
    here, there = (each.reading.apply(pattern.voxels_zyx, pattern.shape_zyx) for each in (best, other))
    apart = np.linalg.norm((here - there) / grid.step_zyx * grid.spacing_zyx, axis=1)
    return float(np.median(apart)) > pattern.diameter_angstrom / 2


def _gained(one: Evidence, given: Evidence) -> float:
    return abs(one.effect) * one.share_inside - abs(given.effect) * given.share_inside


def _quarter_particle(contrast: Contrast, diameter_angstrom: float) -> NDArray[np.float64]:
    """A step of a quarter of a particle along z, y and x in coarse voxels, but never less than one."""
    return np.maximum(diameter_angstrom / 4 / contrast.grid.spacing_zyx, 1.0)


def _profiles(
    contrast: Contrast, places_zyx: NDArray[np.float64], step_zyx: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Scores (picks, axes, 3) a step before each place, at it, and a step after it, along z, y and x.

    Ranks flatten out towards -1 and 1, where particles are; as log odds they have a peak.
    """
    steps = np.array([-1.0, 0.0, 1.0])[:, None, None] * np.diag(step_zyx)
    along = [contrast.between(places_zyx[:, None] + steps[:, axis]) for axis in range(3)]
    return np.asarray(np.arctanh(np.clip(np.stack(along, axis=1), -_LARGEST_RANK, _LARGEST_RANK)))
