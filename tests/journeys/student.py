"""A student of a class: a process of its own, with its own caches and connections, without a window."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from queue import Queue
from threading import Barrier

import aiohttp  # noqa: F401 - imported once, before the processes fork
import dask.array  # noqa: F401
import numpy as np
import zarr  # noqa: F401
from numpy.typing import NDArray

from napari_cryoet import load_tomogram, open_portal
from napari_cryoet.classroom.client import ClassLesson, join_class
from napari_cryoet.lessons.lesson import ChooseAnswer
from napari_cryoet.streaming import Display, pyramid_of
from napari_cryoet.views.view import View

PATIENCE_S = 60.0


def save_first_plane(url: str, folder: Path, variables: Sequence[str], others: Barrier) -> None:
    """Wait for the other students, show the first plane, and save it as ``plane.npy``."""
    os.environ.update({variable: str(folder / variable) for variable in variables})
    others.wait(PATIENCE_S)
    np.save(folder / "plane.npy", first_plane(url))


def take_part(
    address: str, code: str, folder: Path, variables: Sequence[str], others: Barrier
) -> None:
    """Join a class with the others, see the first plane, answer, and follow; saves times as ``times.json``."""
    os.environ.update({variable: str(folder / variable) for variable in variables})
    others.wait(PATIENCE_S)
    started_s = time.monotonic()
    lesson = join_class(address, code, folder.name)
    assert isinstance(lesson, ClassLesson)
    first_plane(lesson.portal)
    times = {"first_plane_s": time.monotonic() - started_s}
    seen: Queue[View | None] = Queue()
    following = lesson.student.follow(seen.put, print, print)
    times["score"] = lesson.grade("choose", ChooseAnswer(choice=1)).score
    others.wait(PATIENCE_S)
    assert seen.get(timeout=PATIENCE_S) is not None
    times["followed_at_s"] = time.monotonic()
    following.cancel()
    (folder / "times.json").write_text(json.dumps(times))


def see_runs(
    address: str, folder: Path, variables: Sequence[str], n_runs: int, others: Barrier
) -> None:
    """See the first planes of so many runs, one after the other; saves the time as ``times.json``."""
    os.environ.update({variable: str(folder / variable) for variable in variables})
    others.wait(PATIENCE_S)
    started_s = time.monotonic()
    for number in range(n_runs):
        first_plane(f"{address}/graphql", number)
    (folder / "times.json").write_text(json.dumps({"s": time.monotonic() - started_s}))


def first_plane(url: str, number: int = 0) -> NDArray[np.float32]:
    """Open a run of a portal, and show the middle plane of its tomogram as a layer does."""
    portal = open_portal(url)
    (dataset,) = portal.datasets()
    run = list(portal.runs(dataset.id))[number]
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
