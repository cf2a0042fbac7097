"""Small volumes and point files on disk, for the tests of loading."""

import json

import numpy as np

from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.records import ShapeType
from samples import make_file, make_tomogram

SHAPE_ZYX = (21, 30, 43)  # odd, and different along every axis, so that a swap of axes can't hide
QUARTER_TURN_ABOUT_X = [[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]  # takes the particle's z to -y


def noise(shape=SHAPE_ZYX, mean=5.0, deviation=2.0):
    return np.random.default_rng(1).normal(mean, deviation, shape).astype(np.float32)


def written(path, volume, spacing=13.48, kind="tomogram"):
    write_pyramid(path, volume, spacing, kind)
    return path.as_uri()


def tomogram_at(url, shape_zyx=SHAPE_ZYX, **fields):
    z, y, x = shape_zyx
    return make_tomogram(size_z=z, size_y=y, size_x=x, https_omezarr_dir=url, **fields)


def points_file(path, lines, shape_type=ShapeType.POINT, **fields):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return make_file(shape_type, https_path=path.as_uri(), **fields)


def point(x, y, z, kind="point", **more):
    return {"type": kind, "location": {"x": x, "y": y, "z": z}, **more}
