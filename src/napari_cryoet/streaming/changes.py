"""Files that are met changed: how often, and which pyramids read the same ones."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet

from napari_cryoet.forks import FreshLock

if TYPE_CHECKING:
    from napari_cryoet.streaming.pyramid import Pyramid


class Changes:
    """Shared by all parts of a pyramid: what one of them learns of a file holds for what the others have of it.

    Attributes
    ----------
    lock
        To be held while ``count`` is read or changed.
    count
        How often a file was met changed so far.
    readers
        The pyramids.
    """

    def __init__(self) -> None:
        self.lock, self.count = FreshLock(), 0
        self.readers: WeakSet[Pyramid] = WeakSet()

    def concern(self, pyramid: Pyramid) -> None:
        """Count a pyramid in."""
        with self.lock:
            self.readers.add(pyramid)
