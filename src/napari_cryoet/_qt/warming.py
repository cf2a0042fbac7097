"""Imports on another thread what reading and the first layers would else import on the GUI thread."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from napari_cryoet._qt.tasks import Job, Tasks

#: What reads pixels, what napari makes thumbnails with, and what it keeps the features of points in.
_MODULES: Final = ("napari_cryoet.streaming.pyramid", "zarr", "dask.array", "scipy.ndimage", "pandas")
_KEY: Final = "warm-up"


def warm_up(tasks: Tasks) -> None:
    """Start to import what the dock will need; the second time there is nothing to do, and that costs nothing."""
    if not tasks.is_running(_KEY):
        tasks.run(_KEY, _import_all, then=lambda _none: None, failed=lambda _error: None)


def _import_all(_job: Job) -> None:
    for name in _MODULES:
        import_module(name)


def warm_up_layers() -> None:
    """Import and make what the first image layer of a process needs; only while no other thread makes layers."""
    import pint
    import scipy.ndimage  # noqa: F401

    registry: Any = pint  # which is typed only in part
    registry.get_application_registry().parse_units("angstrom")
