"""Small files like the portal's, written by other libraries, and records for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import mrcfile
import numpy as np

from portal_images import UNITS, write_image

R = TypeVar("R")

SHAPE_ZYX = (21, 30, 43)  # odd, and different along every axis, so that a swap of axes can't hide
QUARTER_TURN_ABOUT_X = [
    [1.0, 0.0, 0.0],
    [0.0, 0.0, -1.0],
    [0.0, 1.0, 0.0],
]  # maps the particle's z to -y
METADATA = "napari_cryoet"  # for the provenance of layers


def noise(
    shape: tuple[int, ...] = SHAPE_ZYX, mean: float = 5.0, deviation: float = 2.0
) -> np.ndarray:
    return np.random.default_rng(1).normal(mean, deviation, shape).astype(np.float32)


def write_zarr(
    path: Path,
    volume: np.ndarray,
    spacing_angstrom: float | None = 10.0,
    *,
    n_levels: int = 2,
    halved: str = "zyx",
) -> str:
    """Write an OME-Zarr 0.4 with the portal's chunks and codec; returns its URL."""
    units = UNITS if spacing_angstrom else {}
    scale = [spacing_angstrom or 1.0] * 3
    write_image(
        path, volume, levels=n_levels, halved=halved, scale=scale, units=units, chunks=(256,) * 3
    )
    return path.as_uri()


def write_mrc(path: Path, volume: np.ndarray, spacing_angstrom: float = 10.0) -> str:
    with mrcfile.new(path, data=volume) as mrc:
        mrc.voxel_size = spacing_angstrom
        mrc.set_volume()
    return path.as_uri()


def point(x: float, y: float, z: float, kind: str = "point", **more: Any) -> dict[str, Any]:
    """A line of the portal's ndjson."""
    return {"type": kind, "location": {"x": x, "y": y, "z": z}, **more}


def write_lines(path: Path, lines: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path.as_uri()


def points_zyx_of(url: str) -> np.ndarray:
    """The positions in a portal ndjson file."""
    lines = Path(url.removeprefix("file://")).read_text().splitlines()
    return np.array([[json.loads(line)["location"][axis] for axis in "zyx"] for line in lines])


def with_fields(record: R, **fields: Any) -> R:
    """A copy of a record with some fields replaced."""
    names = getattr(record, "__struct_fields__", None) or tuple(record.__dataclass_fields__)
    return type(record)(**({name: getattr(record, name) for name in names} | fields))
