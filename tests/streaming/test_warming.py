"""What is made ready before anything is opened, in a process of its own: in this one all is imported already."""

import json
import subprocess
import sys

import numpy as np
import pytest
import zarr
from numcodecs import Blosc

PROGRAM = """
import json, sys
from napari_cryoet.streaming.warming import warm_up
if "warm" in sys.argv:
    warm_up()
import napari_cryoet.streaming as streaming
before = set(sys.modules)
total = int(streaming.open_pyramid(sys.argv[1]).read(0).sum())
print(json.dumps([total, sorted({name.partition(".")[0] for name in set(sys.modules) - before})]))
"""


@pytest.fixture
def image(tmp_path):
    """A Blosc-coded OME-Zarr image of ones, 8 x 8 x 8."""
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    array = group.create_array("0", shape=(8, 8, 8), chunks=(4, 8, 8), dtype="u1", compressors=Blosc())
    array[:] = np.ones((8, 8, 8), "u1")
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    scale = [{"type": "scale", "scale": [1, 1, 1]}]
    level = {"path": "0", "coordinateTransformations": scale}
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [level]}]
    return tmp_path / "a.zarr"


def imported_while_read(*arguments):
    """What is in all of an image, and the packages that a new process imports while it opens and reads it."""
    call = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    return json.loads(subprocess.run(call, check=True, capture_output=True, text=True, timeout=60).stdout)


def test_the_first_chunk_waits_for_no_import_once_all_is_made_ready(image):
    total, packages = imported_while_read(image, "warm")
    assert total == 512
    assert {"numcodecs", "zarr", "dask", "numpy"}.isdisjoint(packages)


def test_what_that_looks_at_is_imported_where_nothing_was_made_ready(image):
    total, packages = imported_while_read(image)
    assert total == 512
    assert "numcodecs" in packages
