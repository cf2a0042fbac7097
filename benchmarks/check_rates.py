"""Measure how often `check_picks` is right, wrong or undecided on the demo, whose ground truth is known.

    python benchmarks/check_rates.py [--cases 400] [--source demo]

Prints the table of `docs/guides/check.md`. Each case is a noisy subset of a ground truth in one of
its tomograms, with or without a mistake; or a pattern unrelated to the tomogram. Rates have 95 %
Wilson intervals.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_cryoet import Findings, Picks, check_picks, open_annotation, open_portal
from napari_cryoet.measure.measuring import diameter_of
from napari_cryoet.records import Tomogram
from napari_cryoet.volumes import Volume

COUNTS = (10, 20, 43, 100)
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """A tomogram, and the positions of one object's particles in its voxels."""

    tomogram: Tomogram
    truth: Points
    diameter: float  # in ångström

    @property
    def shape(self) -> Points:
        return np.array(self.tomogram.shape_zyx, dtype=float)

    @property
    def width(self) -> float:
        """The particle's diameter in voxels."""
        return self.diameter / self.tomogram.voxel_spacing


@dataclass(frozen=True)
class Outcome:
    kind: str
    n_picks: int
    outcome: str


def scenes(source: str) -> list[Scene]:
    """All ground truths with at least ten points, in each tomogram of their alignment."""
    result, portal = [], open_portal(source)
    for run in (run for dataset in portal.datasets() for run in portal.runs(dataset.id)):
        page = portal.run_page(run.id)
        truths = [
            f
            for f in page.annotation_files
            if f.format == "ndjson" and f.shape.annotation.ground_truth_status
        ]
        one_each = {
            file.shape.annotation.id: file for file in truths
        }  # the last one of several shapes
        for tomogram, file in itertools.product(page.tomograms, one_each.values()):
            if file.alignment_id != tomogram.alignment_id:
                continue
            picks = open_annotation(file)
            if isinstance(picks, Picks) and not picks.is_cloud and len(picks) >= COUNTS[0]:
                points = picks.rescaled(tomogram.voxel_spacing).points_zyx
                result.append(Scene(tomogram, points, diameter_of(picks.about)[0]))
    return result


def picked(rng: np.random.Generator, scene: Scene) -> Points:
    """A noisy subset of the ground truth."""
    rows = rng.permutation(len(scene.truth))[: rng.choice(COUNTS)]
    return np.asarray(scene.truth[rows] + rng.normal(0, 0.08 * scene.width, (len(rows), 3)))


def moved(p: Points, s: Scene, rng: np.random.Generator) -> Points:
    direction = rng.normal(0, (0.4, 1, 1))
    return np.asarray(p + direction / np.linalg.norm(direction) * rng.uniform(0.7, 2.5) * s.width)


Mistake = Callable[[Points, Scene, np.random.Generator], Points]
FLIPS = [flipped for flipped in itertools.product((False, True), repeat=3) if any(flipped)]
ORDERS = [order for order in itertools.permutations(range(3)) if order != (0, 1, 2)]
MISTAKES: dict[str, list[Mistake]] = {
    "… axes flipped": [lambda p, s, _rng, f=f: np.where(f, s.shape - 1 - p, p) for f in FLIPS],  # type: ignore[misc]
    "… axes in another order": [lambda p, _s, _rng, o=o: p[:, o] for o in ORDERS],  # type: ignore[misc]
    "… another scale": [
        lambda p, s, _rng: p * s.tomogram.voxel_spacing,
        lambda p, s, _rng: p / s.tomogram.voxel_spacing,
        *(lambda p, _s, _rng, f=f: p * f for f in (0.25, 0.5, 2.0)),  # type: ignore[misc]
    ],
    "… moved by 0.7 to 2.5 particles": [moved],
}


def anywhere(rng: np.random.Generator, shape: Points, count: int) -> Points:
    return rng.uniform(0, shape - 1, (count, 3))


def in_clusters(rng: np.random.Generator, shape: Points, count: int) -> Points:
    points = anywhere(rng, shape, 4)[rng.integers(4, size=count)] + rng.normal(0, 10, (count, 3))
    return np.asarray(np.clip(points, 0, shape - 1))


def in_rows(rng: np.random.Generator, shape: Points, count: int) -> Points:
    start, steps = anywhere(rng, shape, 4), np.arange(count)
    directions = rng.normal(0, (0.2, 1, 1), (4, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return np.asarray(
        (start[steps % 4] + directions[steps % 4] * (steps // 4)[:, None] * 4) % shape
    )


def with_mistake(seed: int, known: list[Scene]) -> Outcome:
    rng = np.random.default_rng([1, seed])
    kind = list(MISTAKES)[seed % len(MISTAKES)]
    scene = known[rng.integers(len(known))]
    truth = picked(rng, scene)
    points = MISTAKES[kind][rng.integers(len(MISTAKES[kind]))](truth, scene, rng)
    findings = check_picks(
        Picks(points), scene.tomogram, diameter_angstrom=scene.diameter, seed=seed
    )
    return Outcome(kind, len(truth), outcome_of(findings, truth, scene))


def right(seed: int, known: list[Scene]) -> Outcome:
    rng = np.random.default_rng([2, seed])
    scene = known[rng.integers(len(known))]
    truth = picked(rng, scene)
    diameter = scene.diameter * (1.0 if seed % 2 else rng.uniform(0.6, 1.7))
    findings = check_picks(Picks(truth), scene.tomogram, diameter_angstrom=diameter, seed=seed)
    kind = "correct" if seed % 2 else "correct, wrong diameter (0.6 to 1.7 of the true one)"
    return Outcome(kind, len(truth), outcome_of(findings, None, scene))


def nothing(seed: int, known: list[Scene]) -> Outcome:
    rng = np.random.default_rng([3, seed])
    scene, pattern = (
        known[rng.integers(len(known))],
        (anywhere, in_clusters, in_rows)[seed // 2 % 3],
    )
    points = pattern(rng, scene.shape, int(rng.choice(COUNTS)))
    volume: Tomogram | Volume = scene.tomogram
    if seed % 2:
        shape = scene.tomogram.shape_zyx
        noise = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), 0.7)
        volume = Volume([noise], (scene.tomogram.voxel_spacing,) * 3)  # type: ignore[list-item]
    findings = check_picks(Picks(points), volume, diameter_angstrom=scene.diameter, seed=seed)
    return Outcome(
        "anywhere, in noise" if seed % 2 else "anywhere, in a tomogram",
        len(points),
        outcome_of(findings, None, scene),
    )


def outcome_of(findings: Findings, truth: Points | None, scene: Scene) -> str:
    """Classify findings.

    A suggestion is right if its mean error is less than a third of a particle.
    """
    readings = (
        [findings.suggestion] if findings.suggestion is not None else list(findings.alternatives)
    )
    if not readings:
        return "fits" if findings.verdict == "fits" else "can't tell"
    if truth is not None:
        for reading in readings:
            placed = reading.apply(findings.frame.voxels_zyx, findings.frame.shape_zyx)
            if np.linalg.norm(placed - truth, axis=1).mean() <= scene.width / 3:
                return "named"
    return "wrong"


def row(name: str, outcomes: list[str], right: str) -> str:
    """A table row with the rates of right answers, false alarms and undecided cases."""
    counts, n = Counter(outcomes), len(outcomes)
    false = n - counts["can't tell"] - (counts[right] if right else 0)
    cells = (rate(counts[right], n) if right else "", rate(false, n), rate(counts["can't tell"], n))
    return f"| {name} | {n} | {' | '.join(cells)} |"


def rate(hits: int, n: int, z: float = 1.96) -> str:
    """Format a rate with its Wilson interval."""
    share, spread = hits / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / n + spread / n / 4) / (1 + spread)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return f"{100 * share:.0f} % ({100 * low:.0f}–{100 * high:.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--cases", type=int, default=400, help="number of cases of each of the three kinds"
    )
    parser.add_argument("--source", default="demo")
    args = parser.parse_args()
    known = scenes(args.source)
    print(
        f"{len(known)} ground truths in {len({scene.tomogram.id for scene in known})} tomograms\n"
    )
    print("| picks | cases | right answer | false alarm | can't tell |\n|---|---|---|---|---|")
    for what, make, right_outcome in (
        ("a mistake", with_mistake, "named"),
        ("no mistake", right, "fits"),
        ("nothing", nothing, ""),
    ):
        results = []
        for seed in range(args.cases):
            results.append(make(seed, known))
            sys.stderr.write(f"\r{what}: {seed + 1} of {args.cases}")
        sys.stderr.write("\n")
        if make is with_mistake:
            print(row("with a mistake", [result.outcome for result in results], right_outcome))
            many = [result.outcome for result in results if result.n_picks > COUNTS[1]]
            if many:
                print(row(f"… more than {COUNTS[1]} picks", many, right_outcome))
        for kind in dict.fromkeys(result.kind for result in results):
            print(
                row(
                    kind,
                    [result.outcome for result in results if result.kind == kind],
                    right_outcome,
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
