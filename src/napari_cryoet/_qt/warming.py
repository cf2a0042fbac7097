"""Imports early, in a worker, what the first layers would else import on the GUI thread: half a second.

It is done in two portions, since imports make drawing wait for Python now and then: what reads from servers while a
portal's first answer is waited for, and what layers need when you leave the list of datasets.
"""

from __future__ import annotations

from typing import Final

from napari_cryoet._qt.tasks import Job, Tasks

_READING: Final = "warm-up"
_LAYERS: Final = "warm-up of layers"
_done: set[str] = set()


def warm_up(tasks: Tasks) -> None:
    """Start the first portion in the background; the second time there is nothing to do."""
    if _READING not in _done:
        tasks.run(_READING, _import_reading, then=_done.add, failed=lambda _error: None)


def warm_up_layers(tasks: Tasks) -> None:
    """Start the second portion in the background."""
    if _LAYERS not in _done:
        tasks.run(_LAYERS, _import_layers, then=_done.add, failed=lambda _error: None)


def _import_reading(_job: Job) -> str:
    from napari_cryoet.streaming.warming import warm_up as warm_up_streaming

    warm_up_streaming()
    return _READING


def _import_layers(_job: Job) -> str:
    import pandas  # noqa: F401 - napari keeps the features of points in its tables
    import scipy.ndimage  # noqa: F401 - napari makes thumbnails with it

    return _LAYERS
