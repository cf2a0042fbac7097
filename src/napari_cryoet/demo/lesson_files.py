"""Write the demo's lessons: texts of this package, and picks and right answers from the truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from napari_cryoet.demo.annotations import pick_particles
from napari_cryoet.demo.rows import RUNS, Method, Size
from napari_cryoet.demo.scenes import Floats, rng_for, scene
from napari_cryoet.formats import ndjson
from napari_cryoet.formats.notes import written_with_notes
from napari_cryoet.picks import Picks

#: The run whose picks are hidden: it has a tomogram and no annotation.
_RUN: Final = next(run for run in RUNS if run.name == "DEMO_003")
_TEXTS: Final = Path(__file__).with_name("lessons")
_FINDING: Final = "2-finding-ribosomes"
_TRUSTING: Final = "3-can-you-trust-this-annotation"
#: The annotators of the lesson about trust: one is shifted, one is right, and one is sloppy.
_ANNOTATORS: Final = {
    "A": Method("", "", jitter=12, shift_xyz=(150.0, 0.0, 0.0), missed=0.1),
    "B": Method("", "", jitter=10, missed=0.08),
    "C": Method("", "", jitter=40, missed=0.45, invented=0.3),
}
_CANDIDATES: Final = Method("", "", jitter=20, missed=0.6)
_N_NOISE: Final = 3
_NOWHERE_ANGSTROM: Final = 200.0  # from a ribosome


def write_lessons(folder: Path, size: Size) -> None:
    """Write all lessons into a folder, one folder each."""
    spacing = _RUN.spacing_angstrom(size)
    shown_spacing = f"{_RUN.spacing_angstrom('full'):.3f}"
    for path in sorted(_TEXTS.glob("*/lesson.md")):
        text = path.read_text(encoding="utf-8").replace(shown_spacing, f"{spacing:.3f}")
        target = folder / path.parent.name / path.name
        target.parent.mkdir(parents=True)
        target.write_text(text, encoding="utf-8", newline="\n")
    shape = _RUN.shape_zyx(size)
    notes = {"voxel_spacing_angstrom": spacing, "shape_zyx": shape}
    for name, positions_xyz in _positions():
        picks = Picks(positions_xyz[:, ::-1] / spacing, spacing, shape_zyx=shape)
        target = folder / name
        with written_with_notes(target, notes, flush=False) as unfinished:
            ndjson.write(picks, unfinished, target, "ndjson")


def _positions() -> Iterator[tuple[str, Floats]]:
    """The files of picks by name, and their positions (n, 3) in ångström, x, y, z."""
    truth = scene(_RUN.scene)
    ribosomes = truth.positions_angstrom_xyz["ribosome"]
    proteasomes = truth.positions_angstrom_xyz["proteasome"]
    yield f"{_FINDING}/answers/ribosomes.ndjson", ribosomes
    yield f"{_FINDING}/answers/proteasomes.ndjson", proteasomes
    yield f"{_TRUSTING}/answers/ribosomes.ndjson", ribosomes

    rng = rng_for("lessons", "candidates")
    some = pick_particles(_CANDIDATES, truth, "ribosome", rng).positions_xyz
    anywhere = rng.uniform(0.1, 0.9, (200, 3)) * truth.recipe.extent_xyz
    distances = np.linalg.norm(anywhere[:, None] - ribosomes, axis=-1).min(axis=1)
    noise = anywhere[distances > _NOWHERE_ANGSTROM][:_N_NOISE]
    candidates = np.concatenate([some, proteasomes, noise])
    yield f"{_FINDING}/picks/candidates.ndjson", rng.permutation(candidates)

    for name, method in _ANNOTATORS.items():
        points = pick_particles(method, truth, "ribosome", rng_for("lessons", name))
        positions = points.positions_xyz
        inside = ((positions >= 0) & (positions <= truth.recipe.extent_xyz)).all(axis=1)
        yield f"{_TRUSTING}/picks/{name}.ndjson", positions[inside]
