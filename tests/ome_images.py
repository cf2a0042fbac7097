"""Small OME-Zarr images of any axes, written by zarr itself."""

from __future__ import annotations

import numpy as np
import zarr

UNITS = {"space": "micrometer", "time": "second"}
SPACE = {"z": 2.0, "y": 0.5, "x": 0.5}


def write_image(path, values, axes, *, levels=2, chunks=None, zarr_format=2, name="cells", **attributes):
    """Write an image of some levels, each every second voxel along y and x of the one before; gives its levels."""
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    arrays = [values[tuple(slice(None, None, 2**k if a in "yx" else 1) for a in axes)] for k in range(levels)]
    for k, array in enumerate(arrays):
        stored = group.create_array(str(k), shape=array.shape, chunks=chunks or array.shape, dtype=array.dtype)
        stored[...] = array
    kinds = {"t": "time", "c": "channel"}
    multiscale = {
        "name": name,
        "type": "nearest",
        "axes": [_axis(axis, kinds.get(axis, "space")) for axis in axes],
        "datasets": [
            {
                "path": str(k),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [SPACE.get(a, 1.0) * (2**k if a in "yx" else 1) for a in axes]},
                    {"type": "translation", "translation": [5.0 if a == "z" else 0.0 for a in axes]},
                ],
            }
            for k in range(levels)
        ],
    }
    metadata = {"version": "0.5" if zarr_format == 3 else "0.4", "multiscales": [multiscale]} | attributes
    group.attrs.update({"ome": metadata} if zarr_format == 3 else metadata)
    return arrays


def write_label_list(path, names, *, zarr_format=2):
    group = zarr.open_group(f"{path}/labels", mode="a", zarr_format=zarr_format)
    group.attrs.update({"ome": {"labels": names}} if zarr_format == 3 else {"labels": names})


def _axis(name, kind):
    return {"name": name, "type": kind} | ({"unit": UNITS[kind]} if kind in UNITS else {})


def noise(shape, dtype="u2"):
    return np.random.default_rng(0).integers(1, 2000, shape).astype(dtype)
