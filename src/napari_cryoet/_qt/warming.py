"""Does early, in a worker, what napari's first layers would else do on the GUI thread: 0.5 s of imports and parsing.

Imports are safe on any thread, since Python locks each module while it is imported. The registry of units is not: pint
makes its own on first use, without a lock, and whoever asks meanwhile gets a half-made one. So the worker makes one
that nobody else knows, and the GUI thread, where napari asks for units, puts it in place of pint's if that is unused.

Imports make so many objects that Python looks through all there are for garbage, which holds every thread up for 0.2 s
in a process with napari in it. So it is told to wait until they are over, and then to take what there is for old, which
it looks through the next time that it looks through everything.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pint

from napari_cryoet._qt.tasks import Job, Tasks

_KEY = "warm-up"
_pint: Any = pint  # which is typed only in part


def warm_up(tasks: Tasks) -> None:
    """Start in the background; the second time there is nothing to do, and that costs nothing."""
    if _is_unused() and not tasks.is_running(_KEY):
        tasks.run(_KEY, _prepare, then=_hand_over, failed=lambda _error: None)


def _prepare(_job: Job) -> object:
    with _without_looking_for_garbage():
        import pandas  # noqa: F401 - napari keeps the features of points in its tables
        import scipy.ndimage  # noqa: F401 - napari makes thumbnails with it

        from napari_cryoet.streaming.warming import warm_up as warm_up_streaming

        warm_up_streaming()
        registry = _pint.LazyRegistry()
        registry.parse_units("angstrom")
        return registry


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


def _hand_over(registry: object) -> None:
    if _is_unused():  # else there are units of the other one, and they don't mix
        _pint.set_application_registry(registry)


def _is_unused() -> bool:
    """Whether nobody has asked pint's own registry for anything: it becomes another class when it is made."""
    return type(_pint.get_application_registry().get()) is _pint.LazyRegistry
