"""Test how well picks fit the density, how significant that is, and whether another reading fits better.

The effect size is Cliff's delta between the contrast at the picks and at the *same pattern of picks, shifted slightly
as a whole*: the fraction of comparisons in which the pick is brighter, minus that in which it is darker. 0 is chance;
-1 means that every pick is darker than every position nearby. Shifting the whole pattern preserves its clusters, rows
and layers, and small shifts keep it in the lamella, so that neither is mistaken for a fit.

References: Cliff, Psychol. Bull. 114 (1993), 494; for toroidal shifts of a point pattern as null
model, Lotwick and Silverman, J. R. Stat. Soc. B 44 (1982), 406.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.check.readings import Reading, all_readings, shifted
from napari_cryoet.measure.measuring import Contrast, PicksFrame
from napari_cryoet.volumes import are_inside

#: ``fits``: the picks as given are on density with contrast. ``better``: another reading fits much
#: better.
#: ``several``: several readings fit much better and can't be distinguished. ``unclear``: the test
#: is inconclusive.
CheckVerdict = Literal["fits", "better", "several", "unclear"]

#: Family-wise probability of a false suggestion, over everything that is tried.
ALARM_LEVEL: Final = 0.01
#: Probability that random picks count as fitting.
FIT_LEVEL: Final = 0.001
#: Maximum number of picks to compare; more are sampled at random.
MAX_COMPARED: Final = 3000

_N_SHIFTS: Final = 256
_N_SHIFTS_IN_SCREENING: Final = 24
_N_JUDGED: Final = 8  # readings to judge after the screening
#: Maximum shift of the pattern along z, y and x, in diameters: less along z, to stay in the
#: lamella.
_REACH_ZYX: Final = (1.5, 4.0, 4.0)
_TOO_NEAR: Final = 1.25  # diameters; at smaller shifts, a pick still overlaps its particle
#: Minimum distance between neighbouring particles, in diameters.
_NEIGHBOUR: Final = 0.75
#: Readings with a smaller fraction of picks inside the volume aren't tried.
_MIN_SHARE_INSIDE: Final = 0.75
#: Minimum gain in Cliff's delta for a better reading, and for a move of picks that are beside their
#: particles.
_MIN_GAIN: Final = 0.1
_MIN_GAIN_OF_MOVE: Final = 0.03
#: Number of positions within `_TOO_NEAR`, half a particle apart.
_N_BESIDE: Final = 125
_LARGEST_RANK: Final = 0.999
_POSITIONS_AT_ONCE: Final = 2**20

_N_RESAMPLED: Final = 200
#: An offset is reported if it is at least this many errors from 0, and a sixth of a particle or
#: exactly one voxel.
_MIN_ERRORS: Final = 5.0
_MIN_OFFSET_DIAMETERS: Final = 1 / 6
#: Maximum error, in voxels, at which an offset of one voxel can be identified.
_MAX_ERROR_VOXELS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Evidence:
    """How well a reading fits."""

    reading: Reading
    share_inside: float  # fraction of the picks inside the volume
    effect: float = (
        0.0  # Cliff's delta of the picks inside against the shifted pattern; negative is darker
    )
    sigma: float = (
        0.0  # distance from the mean of the shifted patterns, in their standard deviations
    )
    gain: float = (
        0.0  # mean rank of the picks minus that of the shifted ones; picks outside count as 0
    )
    noise: float = 0.0  # standard deviation of the gain

    @property
    def is_above_chance(self) -> bool:
        """Whether random picks would hardly ever fit this well."""
        return self.strength >= sigma_needed(1, FIT_LEVEL)

    @property
    def strength(self) -> float:
        """Absolute value of ``sigma``."""
        return abs(self.sigma)


@dataclass(frozen=True, slots=True)
class Offset:
    """Offset of the density from fitting picks, in voxels of the volume along z, y, x, with its error."""

    voxels_zyx: tuple[float, float, float]
    error_zyx: tuple[float, float, float]
    is_one_based: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """The result of comparing picks with the density."""

    verdict: CheckVerdict
    given: Evidence  # for the picks as given
    best: Evidence | None = None  # for the best of the other readings and shifts
    n_tried: int = 0
    offset: Offset | None = None  # of the density from fitting picks, if significant
    why_not: str = ""  # why the density wasn't examined
    surely_better: tuple[
        Evidence, ...
    ] = ()  # readings that fit much better than the given one, best first


def judge_densities(
    contrast: Contrast, frame: PicksFrame, diameter_angstrom: float, *, seed: int
) -> Judgement:
    """Compare the given reading with all other readings, and with shifts of the picks."""
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
    significant = [
        one for one in tried if one.strength >= sigma_needed(n_moves if one is move else n_readings)
    ]
    candidates = [one for one in significant if one is move or one is readings[0]]
    named = next(
        (
            one
            for one in candidates
            if _is_much_better(one, given) or _is_beside(pattern, one, given)
        ),
        None,
    )
    rivals = [] if named is None else [one for one in significant if _is_rival(pattern, one, named)]
    if named is not None and not rivals:
        return Judgement("better", given, named, n_tried, surely_better=(named,))
    if given.is_above_chance:
        inside = voxels[are_inside(voxels, frame.shape_zyx)]
        return Judgement(
            "fits", given, best, n_tried, measure_offset(contrast, inside, diameter_angstrom, seed)
        )
    # rivals fit equally well, so no single reading can be suggested
    better = [one for one in (named, *rivals) if one is not None and _is_much_better(one, given)]
    if len(better) > 1:
        return Judgement("several", given, best, n_tried, surely_better=tuple(better))
    unconfirmed = tuple(one for one in significant if _is_much_better(one, given))
    return Judgement("unclear", given, best, n_tried, surely_better=unconfirmed)


class Pattern:
    """Picks in a volume, and the shifts to compare them with.

    ``shifts`` are random (n, 3) shifts in coarse voxels, limited by the size of the volume, and
    large enough that a pick doesn't overlap its particle. ``reach_zyx`` is the maximum along each
    axis.
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
        half = np.minimum(
            np.multiply(_REACH_ZYX, diameter_angstrom),
            np.multiply(grid.shape_zyx, grid.spacing_zyx) / 2,
        )
        nearest = min(_TOO_NEAR * diameter_angstrom, 0.6 * float(half.max()))
        rng = np.random.default_rng(seed)
        shifts: NDArray[np.float64] = np.empty((0, 3))
        while len(shifts) < _N_SHIFTS:
            candidates = rng.uniform(-half, half, (4 * _N_SHIFTS, 3))
            shifts = np.concatenate(
                [shifts, candidates[np.linalg.norm(candidates, axis=1) >= nearest]]
            )
        self.shifts, self.reach_zyx = shifts[:_N_SHIFTS] / grid.spacing_zyx, half / grid.spacing_zyx

    def positions(self, reading: Reading) -> tuple[NDArray[np.float64], float]:
        """Picks inside the volume under a reading, in coarse voxels; and their fraction."""
        points = reading.apply(self.voxels_zyx, self.shape_zyx)
        is_in = are_inside(points, self.shape_zyx)
        return self.contrast.grid.from_finest(points[is_in]), float(is_in.mean())

    def judge(self, reading: Reading, n_shifts: int = _N_SHIFTS) -> Evidence:
        """Compare a reading of the picks with the same pattern at the first ``n_shifts`` shifts."""
        positions, share = self.positions(reading)
        if not len(positions):
            return Evidence(reading, 0.0)
        at_picks = self.contrast.nearest(positions)
        shifted_ranks = np.concatenate(list(self.shifted_ranks(positions, self.shifts[:n_shifts])))
        difference = float(at_picks.mean() - shifted_ranks.mean())
        # the picks' own scatter is a lower limit: patterns shifted into empty ice would
        # underestimate the noise
        noise = float(
            max(shifted_ranks.mean(axis=1).std(), at_picks.std() / np.sqrt(len(at_picks)))
        )
        sigma = difference / noise if noise > 0 else 0.0
        effect = cliffs_delta(at_picks, shifted_ranks.ravel())
        return Evidence(reading, share, effect, sigma, share * difference, share * noise)

    def shifted_ranks(
        self, positions_zyx: NDArray[np.float64], shifts: NDArray[Any]
    ) -> Iterator[NDArray[np.float32]]:
        """Iterate over batches of shifts.

        Each has the ranks (shifts, picks) at the shifted positions.
        """
        at_once = max(1, _POSITIONS_AT_ONCE // len(positions_zyx))
        for start in range(0, len(shifts), at_once):
            yield self.contrast.nearest(positions_zyx + shifts[start : start + at_once, None])


def cliffs_delta(ones: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """The fraction of pairs in which the first is greater, minus that in which it is smaller.

    >>> cliffs_delta(np.array([3, 4]), np.array([1, 2, 3]))
    0.8333333333333334
    """
    ordered = np.sort(others)
    below = np.searchsorted(ordered, ones, side="left")
    above = len(ordered) - np.searchsorted(ordered, ones, side="right")
    return float((below - above).sum(dtype=np.int64)) / (len(ones) * len(ordered))


def sigma_needed(n_tried: int, level: float = ALARM_LEVEL / 2) -> float:
    """The two-sided significance threshold for the best of ``n_tried``, in standard deviations (Bonferroni).

    Half of `ALARM_LEVEL` is for readings, half for shifts.
    """
    from scipy.stats import norm

    return float(norm.isf(level / (2 * max(n_tried, 1))))


def measure_offset(
    contrast: Contrast, voxels_zyx: NDArray[np.float64], diameter_angstrom: float, seed: int
) -> Offset | None:
    """Measure the peak of the mean contrast around fitting picks; None if it is at the picks or uncertain.

    Fits a parabola through three positions along each axis, a quarter of a particle apart. The
    error comes from bootstrapping the picks.
    """
    quarter = _quarter_particle(contrast, diameter_angstrom)
    profiles = _profiles(contrast, contrast.grid.from_finest(voxels_zyx), quarter)
    peak = peaks(profiles.mean(axis=0))
    if not np.isfinite(peak).all():
        return None
    samples = np.random.default_rng(seed).integers(0, len(profiles), (_N_RESAMPLED, len(profiles)))
    resampled = np.array([peaks(profiles[rows].mean(axis=0)) for rows in samples])
    if not np.isfinite(resampled).all():
        return None
    step = quarter * contrast.grid.factor_zyx
    offset, error = peak * step, resampled.std(axis=0) * step
    is_significant = np.abs(offset) > _MIN_ERRORS * error
    is_near_one = np.abs(offset - np.sign(offset[0])) <= np.maximum(3 * error, _MAX_ERROR_VOXELS)
    is_one_based = bool(
        is_significant.any() and (error <= _MAX_ERROR_VOXELS).all() and is_near_one.all()
    )
    is_far = bool((is_significant & (np.abs(offset) >= _MIN_OFFSET_DIAMETERS * 4 * step)).any())
    if not (is_one_based or is_far):
        return None
    (z, y, x), (error_z, error_y, error_x) = offset.tolist(), error.tolist()
    return Offset((z, y, x), (error_z, error_y, error_x), is_one_based)


def peaks(profile: NDArray[np.float64]) -> NDArray[np.float64]:
    """The vertex of a parabola through each row of three values, in steps.

    NaN if it isn't a peak within 1.5 steps.
    """
    left, middle, right = profile.T
    curvature = left - 2 * middle + right
    with np.errstate(divide="ignore", invalid="ignore"):
        peak = (left - right) / (2 * curvature)
    return np.where((np.abs(peak) <= 1.5) & (np.sign(curvature) == -np.sign(middle)), peak, np.nan)


def _strongest_first(evidence: list[Evidence]) -> list[Evidence]:
    return sorted(evidence, key=lambda one: one.strength, reverse=True)


def _best_readings(pattern: Pattern, readings: list[Reading]) -> tuple[list[Evidence], int]:
    """The best readings, best first, and the number tried.

    Readings with picks outside the volume are skipped.
    """
    tried = [reading for reading in readings if pattern.positions(reading)[1] >= _MIN_SHARE_INSIDE]
    screened = _strongest_first(
        [pattern.judge(reading, _N_SHIFTS_IN_SCREENING) for reading in tried]
    )
    return _strongest_first([pattern.judge(one.reading) for one in screened[:_N_JUDGED]]), len(
        tried
    )


def _best_move(pattern: Pattern) -> tuple[Evidence | None, int]:
    """The best shift of all picks by more than a quarter of a particle, and the number tried.

    None if the shift moves too many picks out of the volume. None also if the opposite shift has at
    least half the contrast: the picks are then in the middle of something larger than the particle.
    None also if it leads from one particle to a neighbour with the same relative position, such as
    the other half of a pair.
    """
    grid, contrast = pattern.contrast.grid, pattern.contrast
    reach = np.floor(pattern.reach_zyx).astype(int)
    steps = np.stack(
        np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1
    ).reshape(-1, 3)
    steps = steps[np.linalg.norm(steps * grid.spacing_zyx, axis=1) > pattern.diameter_angstrom / 4]
    if not len(steps):
        return None, 0
    positions = grid.from_finest(pattern.voxels_zyx)
    means = np.concatenate(
        [ranks.mean(axis=1) for ranks in pattern.shifted_ranks(positions, steps)]
    )
    step = steps[np.argmax(np.abs(means - np.median(means)))]
    quarter = _quarter_particle(contrast, pattern.diameter_angstrom)
    peak = peaks(_profiles(contrast, positions + step, quarter).mean(axis=0))
    best = np.round((step + np.nan_to_num(peak) * quarter) * grid.factor_zyx, 1)
    moved, opposite = pattern.judge(shifted(best)), pattern.judge(shifted(-best))
    is_one_way = np.sign(moved.gain) * opposite.gain < abs(moved.gain) / 2
    is_valid = (
        moved.share_inside >= _MIN_SHARE_INSIDE
        and is_one_way
        and not _is_neighbour(pattern, positions, moved)
    )
    return (moved if is_valid else None), len(steps)


def _is_neighbour(pattern: Pattern, positions: NDArray[np.float64], moved: Evidence) -> bool:
    """Whether a shift leads to neighbouring particles although the picks are on particles already."""
    contrast = pattern.contrast
    move_angstrom = (
        np.array(moved.reading.shift_zyx) / contrast.grid.factor_zyx * contrast.grid.spacing_zyx
    )
    if np.linalg.norm(move_angstrom) < _NEIGHBOUR * pattern.diameter_angstrom:
        return False
    profile = _profiles(
        contrast, positions, _quarter_particle(contrast, pattern.diameter_angstrom)
    ).mean(axis=0)
    is_same = np.sign(profile[0, 1]) == np.sign(moved.effect)
    return bool(is_same and (np.abs(peaks(profile)) <= 1).all())


def _is_much_better(one: Evidence, given: Evidence) -> bool:
    """Whether a significant reading fits much better than the given one.

    A single comparison of two effects needs no correction. If the given reading isn't significant,
    its noise is ignored: if positions are read too small, all picks are in one spot, and its effect
    is meaningless.
    """
    noise = float(np.hypot(one.noise, given.noise)) if given.is_above_chance else one.noise
    more = (abs(one.gain) - abs(given.gain)) / max(noise, 1e-12)
    return more >= sigma_needed(1, 2 * ALARM_LEVEL) and _gain_over(one, given) >= _MIN_GAIN


def _is_beside(pattern: Pattern, moved: Evidence, given: Evidence) -> bool:
    """Whether picks that are significant as given are beside their particles: shifted, their contrast is larger.

    The surroundings of a dark particle are relatively bright, so picks beside particles have
    contrast, too. A paired comparison, corrected for the number of positions beside a particle,
    decides which is the particle.
    """
    if (
        not any(moved.reading.shift_zyx)
        or not given.is_above_chance
        or _gain_over(moved, given) < _MIN_GAIN_OF_MOVE
    ):
        return False
    contrast, voxels = pattern.contrast, pattern.voxels_zyx
    before = np.sign(given.effect) * contrast.nearest(contrast.grid.from_finest(voxels))
    after = np.sign(moved.effect) * contrast.nearest(
        contrast.grid.from_finest(voxels + moved.reading.shift_zyx)
    )
    difference = after - before
    return bool(
        difference.mean()
        >= sigma_needed(_N_BESIDE) * float(difference.std()) / np.sqrt(len(difference))
    )


def _is_rival(pattern: Pattern, other: Evidence, best: Evidence) -> bool:
    """Whether a significant reading isn't significantly worse than the best one, but gives other positions.

    This happens for symmetric content, such as a virus in the middle of the volume, where flips
    can't be distinguished.
    """
    less = abs(best.gain) - abs(other.gain)
    if less >= sigma_needed(1, 2 * ALARM_LEVEL) * float(np.hypot(other.noise, best.noise)):
        return False
    grid = pattern.contrast.grid
    best_zyx, other_zyx = (
        one.reading.apply(pattern.voxels_zyx, pattern.shape_zyx) for one in (best, other)
    )
    distances = np.linalg.norm((best_zyx - other_zyx) / grid.factor_zyx * grid.spacing_zyx, axis=1)
    return float(np.median(distances)) > pattern.diameter_angstrom / 2


def _gain_over(one: Evidence, given: Evidence) -> float:
    return abs(one.effect) * one.share_inside - abs(given.effect) * given.share_inside


def _quarter_particle(contrast: Contrast, diameter_angstrom: float) -> NDArray[np.float64]:
    """A quarter of a particle along z, y and x in coarse voxels, at least one."""
    return np.maximum(diameter_angstrom / 4 / contrast.grid.spacing_zyx, 1.0)


def _profiles(
    contrast: Contrast, positions_zyx: NDArray[np.float64], step_zyx: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Scores (picks, axes, 3) at each position and one step before and after it, along z, y and x.

    Ranks saturate towards -1 and 1, at particles; converted to log odds they have a peak.
    """
    steps = np.array([-1.0, 0.0, 1.0])[:, None, None] * np.diag(step_zyx)
    along = [contrast.interpolated(positions_zyx[:, None] + steps[:, axis]) for axis in range(3)]
    return np.asarray(np.arctanh(np.clip(np.stack(along, axis=1), -_LARGEST_RANK, _LARGEST_RANK)))
