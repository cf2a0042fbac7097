"""How often `check_picks` is right, silent and wrong: on picks whose mistake is known, on right ones, and on nothing.

    python benchmarks/fitness_rates.py --cases 300 --out fitness_rates.json

Each case is a small simulated tomogram of its own (lamella, membrane, other particles, noise, dark or bright protein)
with picks of its own. Rates come with 95 % intervals (Wilson). The last table is of the demo, whose truth is known.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_cryoet.fitness import Findings, Reading, check_picks
from napari_cryoet.picks import Picks
from napari_cryoet.volumes import Volume

SPACING = 10.0
COUNTS = (10, 20, 43, 100)
SIGNALS = (0.25, 0.5, 1.0)  # density of a particle in standard deviations of a voxel's noise
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """A simulated tomogram with the true places of its particles, in voxels."""

    volume: Volume
    truth: Points
    diameter: float
    signal: float
    lamella: tuple[float, float]

    @property
    def shape(self) -> Points:
        return np.array(self.volume.shape_zyx, dtype=float)


def as_volume(array: NDArray[np.float32]) -> Volume:
    shape = (array.shape[0], array.shape[1], array.shape[2])
    return Volume([array], shape, (SPACING,) * 3, False, None)  # type: ignore[list-item] # any array will do


def noise(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Noise that neighbouring voxels share, as after reconstruction."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), 0.7)
    return field / field.std()


def scene(rng: np.random.Generator, *, is_empty: bool = False) -> Scene:
    shape = tuple(int(n) for n in (rng.integers(36, 52), rng.integers(88, 120), rng.integers(88, 120)))
    diameter, signal = float(rng.uniform(90, 150)), float(rng.choice(SIGNALS))
    thickness = rng.uniform(0.6, 1.0) * shape[0]
    start = rng.uniform(0, shape[0] - thickness)
    lamella = (start, start + thickness)
    grey = noise(rng, shape)
    truth = places(rng, shape, lamella, diameter, int(rng.integers(110, 160)))
    if not is_empty:
        z, y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij", sparse=True)
        sheet = shape[1] * rng.uniform(0.2, 0.8) + rng.uniform(-0.3, 0.3) * x + 6 * np.sin(x / 15 + z / 20)
        density = 1.5 * np.exp(-(((y - sheet) / 2) ** 2)) * ((z >= lamella[0]) & (z < lamella[1]))
        density += blobs(shape, truth, diameter)
        for _ in range(2):  # other particles, larger and smaller
            size = diameter * rng.uniform(0.5, 1.6)
            density += blobs(shape, places(rng, shape, lamella, size, 30, avoid=truth), size) * rng.uniform(0.6, 1.2)
        polarity = -1 if rng.random() < 0.8 else 1
        grey = grey + (polarity * signal * density).astype(np.float32)
    return Scene(as_volume(grey.astype(np.float32)), truth, diameter, signal, lamella)


def places(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    lamella: tuple[float, float],
    diameter: float,
    count: int,
    avoid: Points | None = None,
) -> Points:
    """Places in the lamella that don't overlap, in patches as in a cell."""
    taken = np.empty((0, 3)) if avoid is None else avoid
    kept: list[Points] = []
    centres = rng.uniform((lamella[0], 0, 0), (lamella[1], shape[1], shape[2]), (12, 3))
    for _ in range(40 * count):
        point = centres[rng.integers(len(centres))] + rng.normal(0, (12, 22, 22))
        if not (np.array((lamella[0], 0, 0)) <= point).all() or not (point < (lamella[1], shape[1], shape[2])).all():
            continue
        others = np.concatenate([taken, np.array(kept).reshape(-1, 3)])
        if len(others) == 0 or np.linalg.norm(others - point, axis=1).min() > diameter / SPACING:
            kept.append(point)
        if len(kept) == count:
            break
    return np.array(kept).reshape(-1, 3)


def blobs(shape: tuple[int, ...], points: Points, diameter: float) -> NDArray[np.float32]:
    """Soft spheres."""
    marks = np.zeros(shape, np.float32)
    index = np.clip(np.rint(points).astype(int), 0, np.array(shape) - 1)
    np.add.at(marks, tuple(index.T), 1)
    radius = diameter / 2 / SPACING
    n = math.ceil(radius) + 1
    z, y, x = np.meshgrid(*(np.arange(-n, n + 1),) * 3, indexing="ij")
    ball = np.clip(radius - np.sqrt(z**2 + y**2 + x**2) + 0.5, 0, 1).astype(np.float32)
    from scipy.signal import fftconvolve

    return np.asarray(fftconvolve(marks, ball, mode="same"), dtype=np.float32)


def picked(rng: np.random.Generator, made: Scene, count: int) -> Points:
    """True places, found as well as a person finds them."""
    some = rng.permutation(len(made.truth))[:count]
    return made.truth[some] + rng.normal(0, 0.08 * made.diameter / SPACING, (len(some), 3))


# mistakes: what a file says, made from the truth

Mistake = Callable[[Points, Scene, np.random.Generator], Points]


def flips() -> dict[str, Mistake]:
    made: dict[str, Mistake] = {}
    for flipped in itertools.product((False, True), repeat=3):
        if any(flipped):
            name = "".join(axis for axis, is_flipped in zip("zyx", flipped, strict=True) if is_flipped)
            made[f"flip {name}"] = lambda p, s, _rng, f=flipped: np.where(f, s.shape - 1 - p, p)
    return made


def orders() -> dict[str, Mistake]:
    return {
        f"order {''.join('zyx'[axis] for axis in order)}": lambda p, _s, _rng, o=order: p[:, o]
        for order in itertools.permutations(range(3))
        if order != (0, 1, 2)
    }


def turned(p: Points, s: Scene, rng: np.random.Generator) -> Points:
    """An order and a flip at once."""
    given = Reading((2, 1, 0), (False, True, False)) if rng.random() < 0.5 else Reading((0, 2, 1), (True, False, False))
    order = np.array(given.order_zyx)
    back = np.where(given.flipped_zyx, s.shape - 1 - p, p)
    return np.asarray(back[:, np.argsort(order)])


def moved(p: Points, s: Scene, rng: np.random.Generator) -> Points:
    way = rng.normal(0, (0.4, 1, 1))
    return np.asarray(p + way / np.linalg.norm(way) * rng.uniform(0.7, 2.5) * s.diameter / SPACING)


MISTAKES: dict[str, Mistake] = {
    **flips(),
    **orders(),
    "order and flip": turned,
    "ångström taken for voxels": lambda p, _s, _rng: p * SPACING,
    "voxels taken for ångström": lambda p, _s, _rng: p / SPACING,
    "binned by 2": lambda p, _s, _rng: p / 2,
    "binned by 4": lambda p, _s, _rng: p / 4,
    "volume binned by 2": lambda p, _s, _rng: p * 2,
    "moved by 0.7 to 2.5 particles": moved,
}


# nothing to be found


def _uniform(rng: np.random.Generator, made: Scene, count: int) -> Points:
    return rng.uniform((made.lamella[0], 0, 0), (made.lamella[1], *made.shape[1:]), (count, 3))


def _clustered(rng: np.random.Generator, made: Scene, count: int) -> Points:
    centres = _uniform(rng, made, 4)
    points = centres[rng.integers(4, size=count)] + rng.normal(0, 10, (count, 3))
    return np.asarray(np.clip(points, 0, made.shape - 1))


def _rows(rng: np.random.Generator, made: Scene, count: int) -> Points:
    """As on a lattice or along filaments."""
    start, steps = _uniform(rng, made, 4), np.arange(count)
    way = rng.normal(0, (0.2, 1, 1), (4, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    points = start[steps % 4] + way[steps % 4] * (steps // 4)[:, None] * 4
    return np.asarray(points % made.shape)


def _of_another(rng: np.random.Generator, made: Scene, count: int) -> Points:
    other = scene(rng, is_empty=True)
    return np.asarray(picked(rng, other, count) / other.shape * made.shape)


NOTHING = {"anywhere": _uniform, "in clusters": _clustered, "in rows": _rows, "of another tomogram": _of_another}


# running it


@dataclass(frozen=True)
class Outcome:
    kind: str
    n_picks: int
    signal: float
    outcome: str


def outcome_of(found: Findings, truth: Points | None, given: Points, diameter: float) -> str:
    """Said nothing, named what is wrong, or said something that is wrong."""
    if found.alternatives:
        each = [reading.applied_to(found.picks, found.frame).points_zyx for reading in found.alternatives]
        is_among = truth is not None and any(_are_close(points, truth, diameter) for points in each)
        return "named among several" if is_among else "wrong suggestion"
    if found.suggestion is None:
        return found.verdict
    suggested = found.suggested_picks().points_zyx
    if truth is None or not _are_close(suggested, truth, diameter):
        return "wrong suggestion"
    return "named" if not np.array_equal(truth, given) else "wrong suggestion"


def _are_close(points: Points, truth: Points, diameter: float) -> bool:
    return bool(np.linalg.norm(points - truth, axis=1).mean() <= diameter / SPACING / 3)


def planted(seed: int) -> Outcome:
    rng = np.random.default_rng([1, seed])
    kinds = list(MISTAKES)
    kind = kinds[seed % len(kinds)]
    made = scene(rng)
    truth = picked(rng, made, int(rng.choice(COUNTS)))
    given = MISTAKES[kind](truth, made, rng)
    found = check_picks(Picks(given), made.volume, diameter_angstrom=made.diameter, seed=seed)
    return Outcome(kind, len(truth), made.signal, outcome_of(found, truth, given, made.diameter))


def right(seed: int) -> Outcome:
    rng = np.random.default_rng([2, seed])
    made = scene(rng)
    truth = picked(rng, made, int(rng.choice(COUNTS)))
    diameter = made.diameter * (1.0 if seed % 2 else rng.uniform(0.6, 1.7))  # half of them said wrongly
    found = check_picks(Picks(truth), made.volume, diameter_angstrom=diameter, seed=seed)
    kind = "diameter right" if seed % 2 else "diameter wrong by up to 70 %"
    return Outcome(kind, len(truth), made.signal, outcome_of(found, truth, truth, made.diameter))


def nothing(seed: int) -> Outcome:
    rng = np.random.default_rng([3, seed])
    kinds = [(name, is_empty) for is_empty in (True, False) for name in NOTHING]
    name, is_empty = kinds[seed % len(kinds)]
    made = scene(rng, is_empty=is_empty)
    count = int(rng.choice(COUNTS))
    given = NOTHING[name](rng, made, count)
    found = check_picks(Picks(given), made.volume, diameter_angstrom=made.diameter, seed=seed)
    kind = f"{'noise' if is_empty else 'tomogram'}, picks {name}"
    return Outcome(kind, count, made.signal, outcome_of(found, None, given, made.diameter))


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """A 95 % interval of a rate."""
    if n == 0:
        return 0.0, 1.0
    rate, spread = hits / n, z * z / n
    middle = (rate + spread / 2) / (1 + spread)
    half = z * math.sqrt(rate * (1 - rate) / n + spread / n / 4) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def rates(outcomes: list[Outcome]) -> dict[str, object]:
    counts = Counter(each.outcome for each in outcomes)
    n = len(outcomes)
    return {
        "n": n,
        **{
            name: {"count": count, "rate": round(count / n, 4), "interval": [round(v, 4) for v in wilson(count, n)]}
            for name in ("named", "named among several", "wrong suggestion", "fits", "unclear")
            for count in [counts[name]]
        },
    }


def grouped(outcomes: list[Outcome], key: Callable[[Outcome], object]) -> dict[str, object]:
    groups = sorted({str(key(each)) for each in outcomes})
    return {group: rates([each for each in outcomes if str(key(each)) == group]) for group in groups}


def demo() -> list[dict[str, object]]:
    """Every set of points of the demo over every tomogram of its alignment: as it is, and with y flipped."""
    from napari_cryoet import load_annotation, open_portal
    from napari_cryoet.layer_spec import PICKS_KEY

    rows: list[dict[str, object]] = []
    portal = open_portal("demo")
    for run_id in (9001, 9002, 9005, 9006, 9007):
        page = portal.run_page(run_id)
        for tomogram, file in itertools.product(page.tomograms, page.annotation_files):
            if file.format != "ndjson" or file.alignment_id != tomogram.alignment_id:
                continue
            spec = load_annotation(file, tomogram)[0]
            picks: Picks = spec.options["metadata"][PICKS_KEY]
            if picks.is_cloud:
                continue
            size = np.array(tomogram.shape_zyx) * tomogram.voxel_spacing / (picks.spacing_angstrom or 1.0)
            flipped = np.where((False, True, False), size - 1 - picks.points_zyx, picks.points_zyx)
            found = check_picks(picks, tomogram)
            turned_back = check_picks(picks.changed("", points_zyx=flipped, rotations_zyx=None), tomogram)
            rows.append(
                {
                    "layer": spec.name,
                    "tomogram": f"{tomogram.processing} {tomogram.voxel_spacing} Å",
                    "n_picks": len(picks),
                    "as it is": found.verdict,
                    "y flipped": turned_back.suggestion.words() if turned_back.suggestion else turned_back.verdict,
                }
            )
    return rows


def told(what: str, make: Callable[[int], Outcome], n: int) -> Iterator[Outcome]:
    started = time.monotonic()
    for seed in range(n):
        yield make(seed)
        if sys.stderr.isatty() or seed % 50 == 49:
            sys.stderr.write(f"{what}: {seed + 1} of {n}, {time.monotonic() - started:.0f} s\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=300, help="of each of the three kinds (default: 300)")
    parser.add_argument("--no-demo", action="store_true", help="leave the demo out")
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    options = parser.parse_args()
    with_mistake = list(told("mistakes", planted, options.cases))
    as_they_are = list(told("right", right, options.cases))
    chance = list(told("nothing", nothing, options.cases))
    detectable = [each for each in with_mistake if each.n_picks >= 20 and each.signal >= 0.5]
    result = {
        "mistakes": rates(with_mistake),
        "mistakes, at least 20 picks and half a sigma": rates(detectable),
        "mistakes by kind": grouped(with_mistake, lambda each: each.kind),
        "mistakes by picks": grouped(with_mistake, lambda each: f"{each.n_picks:3d}"),
        "mistakes by signal": grouped(with_mistake, lambda each: each.signal),
        "right": rates(as_they_are),
        "right by kind": grouped(as_they_are, lambda each: each.kind),
        "nothing": rates(chance),
        "nothing by kind": grouped(chance, lambda each: each.kind),
        "demo": [] if options.no_demo else demo(),
    }
    text = json.dumps(result, indent=1, ensure_ascii=False)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
