"""Small light-microscopy images as OME-Zarr with any axes, in zarr's default codec."""

from __future__ import annotations

import numpy as np
import zarr

import portal_images

UNITS = {"space": "micrometer", "time": "second"}
SPACE = {"z": 2.0, "y": 0.5, "x": 0.5}


def write_image(
    path, values, axes, *, levels=2, chunks=None, zarr_format=2, name="cells", **attributes
):
    """Write an image whose levels keep every second voxel along y and x; returns the levels."""
    own = (
        {"compressors": "auto", "chunk_key_encoding": {"name": "v2", "separator": "."}}
        if zarr_format == 2
        else {}
    )
    return portal_images.write_image(
        path,
        values,
        levels=levels,
        axes=axes,
        halved="yx",
        scale=[SPACE.get(axis, 1.0) for axis in axes],
        offset=[5.0 if axis == "z" else 0.0 for axis in axes],
        units=UNITS,
        zarr_format=zarr_format,
        about={"name": name, "type": "nearest"},
        attributes=attributes,
        chunks=chunks or values.shape,
        **own,
    )


def write_label_list(path, names, *, zarr_format=2):
    group = zarr.open_group(f"{path}/labels", mode="a", zarr_format=zarr_format)
    group.attrs.update({"ome": {"labels": names}} if zarr_format == 3 else {"labels": names})


def noise(shape, dtype="u2"):
    return np.random.default_rng(0).integers(1, 2000, shape).astype(dtype)
