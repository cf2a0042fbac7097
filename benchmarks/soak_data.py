"""What the soak looks at: a volume, a mask and instances as the portal writes them, and what pictures have to show."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np

SHAPE = (280, 300, 270)
SPACING_ANGSTROM = 10.0
KINDS = {"image": "image.zarr", "mask": "mask.zarr", "instances": "instances.zarr"}
LEVELS = 3


def write_data(folder: Path) -> None:
    """Write the three, where they aren't yet."""
    from napari_cryoet.formats.ome_zarr import write_pyramid

    if (folder / "done").exists():
        return
    noise = np.random.default_rng(0).normal(size=SHAPE).astype("f4")
    blobs = np.zeros(SHAPE, "u2")
    for number, centre in enumerate(np.random.default_rng(1).integers(20, min(SHAPE) - 20, (60, 3)), 1):
        blobs[tuple(slice(c - 9, c + 9) for c in centre)] = number
    write_pyramid(folder / KINDS["image"], noise, SPACING_ANGSTROM)
    write_pyramid(folder / KINDS["mask"], (blobs > 0).astype("i1"), SPACING_ANGSTROM, "mask")
    write_pyramid(folder / KINDS["instances"], blobs, SPACING_ANGSTROM, "instances")
    (folder / "done").touch()


class Truth:
    """The values of all levels, in memory."""

    def __init__(self, folder: Path) -> None:
        import zarr

        self.levels = {
            kind: [zarr.open_array(folder / name / str(level), mode="r")[:] for level in range(LEVELS)]
            for kind, name in KINDS.items()
        }

    def differs(self, layer: Any, kind: str) -> str:
        """How the picture that a layer drew last differs from what it should be; nothing where it doesn't.

        The plane of a coarse level may be either of the two between which the finest one lies.
        """
        values = self.levels[kind][layer.data_level]
        raw = layer._slice.image.raw
        shown = list(layer._slice_input.displayed)
        corners = np.clip(layer.corner_pixels, 0, np.array(values.shape) - 1)
        is_volume = len(shown) == 3
        tile = [slice(None) if is_volume else slice(a, b + 1) for a, b in corners.T]
        choices: list[Any] = []
        for axis in range(3):
            if axis in shown:
                choices.append([tile[axis]])
                continue
            at = layer.world_to_data(layer._slice_input.world_slice.point)[axis] / 2**layer.data_level
            choices.append(sorted({min(int(f(at + 1e-6)), values.shape[axis] - 1) for f in (math.floor, math.ceil)}))
        for index in itertools.product(*choices):
            expected = values[index].transpose(np.argsort(np.argsort(shown)))
            if raw.shape == expected.shape and np.array_equal(raw, expected):
                return ""
        return f"{kind}, level {layer.data_level}, order {layer._slice_input.order}, {raw.shape} at {index}"
