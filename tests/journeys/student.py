"""A student of a class: a process of its own, with its own caches and connections, without a window."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from threading import Barrier

import aiohttp  # noqa: F401 - imported once, before the processes fork
import dask.array  # noqa: F401
import numpy as np
import zarr  # noqa: F401
from numpy.typing import NDArray

from napari_cryoet import load_tomogram, open_portal
from napari_cryoet.streaming import Display, pyramid_of

PATIENCE_S = 60.0


def save_first_plane(url: str, folder: Path, variables: Sequence[str], others: Barrier) -> None:
    """Wait for the other students, show the first plane, and save it as ``plane.npy``."""
    os.environ.update({variable: str(folder / variable) for variable in variables})
    others.wait(PATIENCE_S)
    np.save(folder / "plane.npy", first_plane(url))


def first_plane(url: str) -> NDArray[np.float32]:
    """Open the run of a portal, and show the middle plane of its tomogram as a layer does."""
    portal = open_portal(url)
    (dataset,) = portal.datasets()
    (run,) = portal.runs(dataset.id)
    tomogram = portal.run_page(run.id).default_tomogram
    assert tomogram is not None
    pyramid = pyramid_of(load_tomogram(tomogram).data)
    assert pyramid is not None
    is_changed = threading.Event()
    display = Display(pyramid, on_change=is_changed.set)
    while True:
        is_changed.clear()
        plane = np.asarray(display.levels[0][tomogram.size_z // 2])
        if display.state.is_settled:
            assert display.state.is_exact, display.state
            return plane
        assert is_changed.wait(PATIENCE_S), display.state
