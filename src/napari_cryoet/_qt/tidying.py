"""Has Python look for garbage while a window rests, rather than in the middle of a drag, which would stick.

A search through all objects of napari and its libraries stops every thread for 0.15 to 0.4 s. Python begins one when
enough has been allocated since the last, and most is while planes are stepped through.
"""

from __future__ import annotations

import gc
from functools import cache
from typing import Final

from qtpy.QtCore import QCoreApplication, QObject, Qt
from qtpy.QtGui import QGuiApplication

from napari_cryoet._qt.timers import single_shot

_REST_MS: Final = 2000


class Tidying(QObject):
    """Looks for garbage once nothing has moved for two seconds, if Python is half on its way to do it by itself."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rest = single_shot(self, _REST_MS, self._on_rest)

    def put_off(self) -> None:
        """Note that something moves."""
        self._rest.start()

    def _on_rest(self) -> None:
        if QGuiApplication.mouseButtons() != Qt.MouseButton.NoButton:
            self.put_off()
        elif is_half_due():
            gc.collect()


def is_half_due() -> bool:
    """Whether half of what has to happen before Python searches all objects has happened since it did."""
    due_after = gc.get_threshold()[2]  # none where Python does it bit by bit
    return gc.isenabled() and 0 < due_after <= 2 * gc.get_count()[2]


@cache
def shared_tidying() -> Tidying:
    """That of all windows; for the GUI thread only."""
    return Tidying(QCoreApplication.instance())
