"""Waiting for long work that napari wants done before it goes on, with a bar and a Stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from qtpy.QtCore import QCoreApplication, Qt, QThread, QTimer
from qtpy.QtWidgets import QApplication, QProgressDialog

from napari_cryoet._qt.plugin import wait_for

T = TypeVar("T")
Progress = Callable[[int, int | None], None]

_STEPS = 1000
_SHOWN_AFTER_MS = 500
_REFRESH_MS = 50


def wait_with_stop(work: Callable[[Progress, threading.Event], T], title: str) -> T:
    """Do something on another thread and give its answer; if that takes a while, show how far it is.

    Parameters
    ----------
    work
        Gets a function to tell how many bytes are done, of how many, and an event that is set when it shall end. It
        may raise what it likes; after a stop, `StoppedError`.
    title
        What is being done.
    """
    stop = threading.Event()
    share = [0.0]

    def progress(done: int, total: int | None) -> None:
        share[0] = done / total if total else 0.0

    application = QCoreApplication.instance()
    is_gui = application is not None and QThread.currentThread() is application.thread()
    window = QApplication.activeWindow() if is_gui else None
    if window is None:
        return wait_for(lambda: work(progress, stop))
    dialog = QProgressDialog(title, "Stop", 0, _STEPS, window)
    dialog.setWindowModality(Qt.WindowModality.WindowModal)  # napari waits: nothing else may happen to the layer
    dialog.setMinimumDuration(_SHOWN_AFTER_MS)
    dialog.setAutoClose(False)
    dialog.setAutoReset(False)
    dialog.canceled.connect(stop.set)
    timer = QTimer(dialog)
    timer.timeout.connect(lambda: dialog.setValue(min(int(share[0] * _STEPS), _STEPS - 1)))
    timer.start(_REFRESH_MS)
    try:
        return wait_for(lambda: work(progress, stop), takes_input=dialog.isVisible)
    finally:
        timer.stop()
        dialog.canceled.disconnect(stop.set)
        dialog.close()
        dialog.deleteLater()
