"""Whether picks fit a volume as they are, fit much better in one way or in several, or can't be told from chance."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal

import numpy as np

from napari_cryoet.fitness.density import Contrast
from napari_cryoet.fitness.evidence import (
    Evidence,
    Pattern,
    is_beside,
    is_much_better,
    is_rival,
    judge,
    look_around,
    look_through,
)
from napari_cryoet.fitness.offsets import Offset, measure_offset
from napari_cryoet.fitness.readings import FARTHEST, Frame, Reading, all_readings, are_inside

#: ``fits``: the picks as given stand on density that stands out. ``better``: another reading fits much better.
#: ``several``: each of several readings fits much better, and nobody can tell which of them is meant.
#: ``unclear``: neither can be told from chance.
Verdict = Literal["fits", "better", "several", "unclear"]

#: Densities are compared at no more picks than these, chosen at random.
MAX_COMPARED = 3000


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the density says.

    Attributes
    ----------
    verdict
        Whether picks fit as given, another reading or several fit much better, or neither can be told.
    given
        How well they fit as they are.
    best
        The other reading that fits best of all that were tried; None where none was.
    n_tried
        How many other readings, and shifts of all picks, were tried.
    offset
        By how much the density lies beside picks that fit, where that can be measured and isn't nothing.
    why_not
        Why the density wasn't looked at; empty where it was.
    surely_better
        Where the picks don't fit as they are and no one reading can be named: those that each fit much better, the
        best first. None of them is surely better than the others.
    """

    verdict: Verdict
    given: Evidence
    best: Evidence | None = None
    n_tried: int = 0
    offset: Offset | None = None
    why_not: str = ""
    surely_better: tuple[Evidence, ...] = ()


def undecided(frame: Frame, why_not: str) -> Judgement:
    """What can be said without looking at the density."""
    is_in = are_inside(frame.voxels_zyx, frame.shape_zyx)
    given = Evidence(Reading(), float(is_in.mean()) if len(is_in) else 0.0, 0.0, 0.0, 0.0, 0.0)
    return Judgement("unclear", given, why_not=why_not)


def judge_densities(
    contrast: Contrast,
    frame: Frame,
    diameter_angstrom: float,
    *,
    seed: int,
    stop: threading.Event | None = None,
) -> Judgement:
    """Compare picks as they are with every other reading and with the same picks elsewhere.

    Raises
    ------
    StoppedError
        When ``stop`` is set.
    """
    voxels = np.clip(frame.voxels_zyx, -FARTHEST, FARTHEST)
    if len(voxels) > MAX_COMPARED:
        voxels = np.random.default_rng(seed).choice(voxels, MAX_COMPARED, replace=False)
    pattern = Pattern.of(contrast, voxels, frame.shape_zyx, diameter_angstrom=diameter_angstrom, seed=seed)
    given = judge(pattern, Reading())
    others = [reading for reading in all_readings(frame.picks_angstrom, frame.mean_spacing) if not reading.is_given]
    readings, n_readings = look_through(pattern, others, stop)
    move, n_moves = look_around(pattern, stop)
    n_tried = n_readings + n_moves
    tried = [(reading, n_readings) for reading in readings] + ([(move, n_moves)] if move is not None else [])
    tried.sort(key=lambda pair: abs(pair[0].sigma), reverse=True)
    best = tried[0][0] if tried else None
    rivals: list[tuple[Evidence, int]] = []
    for candidate, n in [pair for pair in tried if pair[0] in (move, *readings[:1])]:
        if is_much_better(candidate, given, n) or (candidate is move and is_beside(pattern, candidate, given, n)):
            rivals = [pair for pair in tried if is_rival(pattern, pair[0], candidate, pair[1])]
            if not rivals:
                return Judgement("better", given, candidate, n_tried)
            rivals.insert(0, (candidate, n))
            break
    if not given.is_above_chance:
        return _without_one(given, best, n_tried, tried, rivals)
    inside = voxels[are_inside(voxels, frame.shape_zyx)]
    return Judgement("fits", given, best, n_tried, measure_offset(contrast, inside, diameter_angstrom, seed))


def _without_one(
    given: Evidence,
    best: Evidence | None,
    n_tried: int,
    tried: list[tuple[Evidence, int]],
    rivals: list[tuple[Evidence, int]],
) -> Judgement:
    """Of picks that don't fit as they are where no one reading can be named, as rivals put them on what looks alike.

    That two ways can't be told apart doesn't say that the given one is right: it is wrong where it is surely worse
    than each of them, by what is asked of a reading that is alone.
    """
    each = tuple(evidence for evidence, n in rivals if is_much_better(evidence, given, n))
    if len(each) > 1:
        return Judgement("several", given, best, n_tried, surely_better=each)
    lone = tuple(evidence for evidence, n in tried if is_much_better(evidence, given, n))
    return Judgement("unclear", given, best, n_tried, surely_better=lone)
