"""Does early, in a worker, what napari's first layers would else do on the GUI thread: 0.5 s of imports and parsing.

It is done in two portions, since each makes drawing wait for Python now and then: what reads from servers, and tables,
while a portal's first answer is waited for, and what else layers need when somebody leaves the list of datasets, for
there is most to draw while one scrolls that. Whoever loads layers waits for the second in their own worker.

Imports are safe on any thread, since Python locks each module while it is imported. The registry of units is not: pint
makes its own on first use, without a lock, and whoever asks meanwhile gets a half-made one. So the worker makes one
that nobody else knows, and the GUI thread, where napari asks for units, puts it in place of pint's if that is unused.

Imports make so many objects that Python looks through all there are for garbage, which holds every thread up for 0.2 s
in a process with napari in it. So it is told to wait until they are over, and then to take what there is for old, which
it looks through the next time that it looks through everything.

And the GUI thread wants Python back several times in a step of browsing; see `short_turns`.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from typing import Any, Final

import pint

from napari_cryoet._qt.tasks import Job, Tasks
from napari_cryoet.errand import Errand
from napari_cryoet.short_turns import short_turns

_READING: Final = "warm-up"
_LAYERS: Final = "warm-up of layers"
_pint: Any = pint  # which is typed only in part
_one_at_a_time = threading.Lock()
_done: list[str] = []  # the first portion, once it is
_made: list[object] = []  # units that nobody has handed over yet: one registry or none


def warm_up(tasks: Tasks) -> None:
    """Start the first portion in the background; the second time there is nothing to do, and that costs nothing."""
    if not _done and not tasks.is_running(_READING):
        tasks.run(_READING, _prepare_reading, then=_done.append, failed=lambda _error: None)


def warm_up_layers(tasks: Tasks) -> None:
    """Start the second portion in the background; nothing to do where units are in use already."""
    if _is_unused() and not tasks.is_running(_LAYERS):
        tasks.run(_LAYERS, prepare_layers, then=hand_over, failed=lambda _error: None)


def prepare_layers(job: Job) -> object | None:
    """In a worker: make ready what layers need, unless it is, or wait for who does; what to `hand_over`, if anything.

    Raises
    ------
    StoppedError
        As soon as ``job`` is stopped; the work goes on by itself, for whoever comes next.
    """
    return Errand(lambda _errand: _registry()).wait(job.stop, inf) if _is_unused() else None


def hand_over(registry: object | None) -> None:
    """On the GUI thread: let napari find the units made."""
    _made.clear()
    if registry is not None and _is_unused():  # else there are units of the other one, and they don't mix
        _pint.set_application_registry(registry)


def _prepare_reading(_job: Job) -> str:
    with _out_of_the_way():
        import pandas  # noqa: F401 - napari keeps the features of points in its tables

        from napari_cryoet.streaming.warming import warm_up as warm_up_streaming

        warm_up_streaming()
    return _READING


def _registry() -> object | None:
    """Units that are made; none where somebody else has used pint's meanwhile."""
    with _out_of_the_way():
        if not _made and _is_unused():
            import scipy.ndimage  # noqa: F401 - napari makes thumbnails with it

            registry = _pint.LazyRegistry()
            registry.parse_units("angstrom")
            _made.append(registry)
        return next(iter(_made), None)


@contextmanager
def _out_of_the_way() -> Iterator[None]:
    """Hold nobody up for long; one at a time, since each puts back what it found."""
    with _one_at_a_time, _without_looking_for_garbage(), short_turns:
        yield


@contextmanager
def _without_looking_for_garbage() -> Iterator[None]:
    """Put automatic collections off, unless somebody has switched them off, or objects out of their reach, for good."""
    if not gc.isenabled() or gc.get_freeze_count():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.unfreeze()  # the two together move all objects to the oldest generation
        gc.enable()


def _is_unused() -> bool:
    """Whether nobody has asked pint's own registry for anything: it becomes another class when it is made."""
    return type(_pint.get_application_registry().get()) is _pint.LazyRegistry
