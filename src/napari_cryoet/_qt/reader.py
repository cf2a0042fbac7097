"""The reader that napari asks first: it imports everything else on another thread, while the window keeps drawing."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from napari_cryoet._qt.tasks import wait_for

if TYPE_CHECKING:
    from napari_cryoet.layers.readers import ReaderFunction


def get_reader(path: str | Sequence[str]) -> ReaderFunction | None:
    """See `napari_cryoet._qt.plugin.reader_for`."""
    wait_for(lambda _job: import_module("napari_cryoet._qt.plugin"))
    from napari_cryoet._qt.plugin import reader_for

    return reader_for(path)
