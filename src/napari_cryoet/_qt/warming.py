"""Does early, in a worker, what napari's first layers would else do on the GUI thread: 0.5 s of imports and parsing.

Imports are safe on any thread, since Python locks each module while it is imported. The registry of units is not: pint
makes its own on first use, without a lock, and whoever asks meanwhile gets a half-made one. So the worker makes one
that nobody else knows, and the GUI thread, where napari asks for units, puts it in place of pint's if that is unused.
"""

from __future__ import annotations

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
    import pandas  # noqa: F401 - napari keeps the features of points in its tables
    import scipy.ndimage  # noqa: F401 - napari makes thumbnails with it

    from napari_cryoet.streaming.warming import warm_up as warm_up_streaming

    warm_up_streaming()
    registry = _pint.LazyRegistry()
    registry.parse_units("angstrom")
    return registry


def _hand_over(registry: object) -> None:
    if _is_unused():  # else there are units of the other one, and they don't mix
        _pint.set_application_registry(registry)


def _is_unused() -> bool:
    """Whether nobody has asked pint's own registry for anything: it becomes another class when it is made."""
    return type(_pint.get_application_registry().get()) is _pint.LazyRegistry
