"""How long it takes to add many oriented picks and to step through them, against plain napari.

    python benchmarks/oriented_picks.py [--counts 1000 100000 1000000] [--json FILE]

Ours are added with `add_layers`: discs in every plane that cuts them, arrows or triads that follow their points, undo.
Plain napari gets the same numbers as a Points and a Vectors layer with its own options. A row is the seconds until the
window has drawn; steps are the median and the worst of 20. Needs a display; `xvfb-run` will do.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_cryoet import add_layers, show_orientations, show_slabs
from napari_cryoet._qt.picks_link import link_of
from napari_cryoet.layers.specs import arrows_spec, points_spec
from napari_cryoet.picks import Picks

SPACING_ANGSTROM = 10.0
DIAMETER_ANGSTROM = 300.0
SHAPE = (900, 960, 928)
N_STEPS = 20


def random_picks(count: int) -> Picks:
    from scipy.spatial.transform import Rotation

    generator = np.random.default_rng(0)
    rotations = Rotation.random(count, random_state=0).as_matrix()
    return Picks(generator.uniform(0, SHAPE, (count, 3)), SPACING_ANGSTROM, rotations_zyx=rotations[:, ::-1, ::-1])


def drawn(action: Callable[[], Any]) -> tuple[float, float]:
    """Seconds that an action held up the window, and until the window had drawn what came of it."""
    started = time.perf_counter()
    action()
    held_s = time.perf_counter() - started
    for _ in range(3):
        QApplication.processEvents()
    return held_s, time.perf_counter() - started


def steps(viewer: napari.Viewer) -> dict[str, float]:
    planes = np.linspace(100, 800, N_STEPS).astype(int)
    times = [drawn(lambda plane=plane: viewer.dims.set_current_step(0, plane)) for plane in planes]
    return {
        "step_held_median_s": statistics.median(held for held, _ in times),
        "step_median_s": statistics.median(until_drawn for _, until_drawn in times),
        "step_worst_s": max(until_drawn for _, until_drawn in times),
    }


def new_viewer() -> napari.Viewer:
    viewer = napari.Viewer()
    viewer.add_image(np.zeros((SHAPE[0], 8, 8), np.float32), scale=(10, 1200, 1160), units="angstrom")
    viewer.dims.set_current_step(0, 50)
    for _ in range(5):
        QApplication.processEvents()
    return viewer


def ours(picks: Picks) -> dict[str, Any]:
    viewer = new_viewer()
    common = {"scale": (SPACING_ANGSTROM,) * 3, "units": ("angstrom",) * 3, "metadata": {"napari_cryoet": {}}}
    look = {"color": (1, 0, 0, 1), "diameter_angstrom": DIAMETER_ANGSTROM, "spacing_angstrom": SPACING_ANGSTROM}

    def add() -> None:
        specs = [points_spec(picks, common, name="picks", **look), arrows_spec(picks, common, name="arrows", **look)]
        add_layers(viewer, [spec for spec in specs if spec is not None])

    row: dict[str, Any] = {"what": "ours", "count": len(picks)}
    row["add_held_s"], row["add_s"] = drawn(add)
    row |= steps(viewer)
    layer = viewer.layers["picks"]
    show_slabs(viewer, picks_nm=20)
    row |= {f"slab_{name}": value for name, value in steps(viewer).items()}
    show_slabs(viewer, picks_nm=0)
    row["triads_held_s"], row["triads_s"] = drawn(lambda: show_orientations(viewer, layer, "triads"))
    row |= {f"triads_{name}": value for name, value in steps(viewer).items()}
    row["delete_one_held_s"], row["delete_one_s"] = drawn(lambda: layer.remove([0]))
    row["undo_held_s"], row["undo_s"] = drawn(link_of(layer).undo)
    viewer.close()
    return row


def plain(picks: Picks) -> dict[str, Any]:
    viewer = new_viewer()
    size = DIAMETER_ANGSTROM / SPACING_ANGSTROM
    options = {"scale": (SPACING_ANGSTROM,) * 3, "units": "angstrom"}

    def add() -> None:
        axes = picks.particle_axes_zyx()
        assert axes is not None
        arrows = np.stack([picks.points_zyx, axes * size], axis=1)
        viewer.add_vectors(arrows, edge_width=2, vector_style="arrow", **options)
        viewer.add_points(picks.points_zyx, size=size, **options)

    row: dict[str, Any] = {"what": "plain napari", "count": len(picks)}
    row["add_held_s"], row["add_s"] = drawn(add)
    row |= steps(viewer)
    layer = viewer.layers[-1]
    row["delete_one_held_s"], row["delete_one_s"] = drawn(lambda: layer.remove([0]))
    viewer.close()
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    ours(random_picks(100))  # what is imported and compiled first costs nobody
    plain(random_picks(100))
    rows = []
    for count in arguments.counts:
        picks = random_picks(count)
        for measure in (ours, plain):
            row = {
                name: round(value, 4) if isinstance(value, float) else value for name, value in measure(picks).items()
            }
            print(json.dumps(row), file=sys.stderr, flush=True)
            rows.append(row)
    text = json.dumps(rows, indent=1)
    if arguments.json is not None:
        arguments.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
