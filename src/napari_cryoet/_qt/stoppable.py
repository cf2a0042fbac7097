"""Waiting for long work that napari wants done before it goes on, with a bar and a Stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TypeVar

from qtpy.QtCore import QTimer

from napari_cryoet._qt.browser.main_window import main_window
from napari_cryoet._qt.files.asking import viewer_to_ask_in
from napari_cryoet._qt.plugin import wait_for
from napari_cryoet._qt.widgets.progress_box import ProgressBox
from napari_cryoet._qt.widgets.theme import colors_of
from napari_cryoet._qt.widgets.timers import single_shot

T = TypeVar("T")
Progress = Callable[[int, int | None], None]

_SHOWN_AFTER_MS: Final = 500
_REFRESH_MS: Final = 50


def wait_with_stop(work: Callable[[Progress, threading.Event], T], title: str, text: str) -> T:
    """Do something on another thread and give its answer; if that takes a while, show how far it is.

    Parameters
    ----------
    work
        Gets a function to tell how many bytes are done, of how many, and an event that is set when it shall end. It
        may raise what it likes; after a stop, `StoppedError`.
    title, text
        What kind of work it is, and what is being done.
    """
    stop = threading.Event()
    so_far: list[tuple[int, int | None]] = [(0, None)]

    def progress(done: int, total: int | None) -> None:
        so_far[0] = done, total

    viewer = viewer_to_ask_in()
    if viewer is None:
        return wait_for(lambda: work(progress, stop))
    box = ProgressBox(title, text, colors_of(viewer.theme), main_window(viewer))
    box.stop_requested.connect(stop.set)
    timer = QTimer(box)
    timer.timeout.connect(lambda: box.show_progress(*so_far[0]))
    timer.start(_REFRESH_MS)
    soon = single_shot(box, _SHOWN_AFTER_MS, box.show)
    soon.start()
    try:
        return wait_for(lambda: work(progress, stop), takes_input=box.isVisible)
    finally:
        soon.stop()
        timer.stop()
        box.put_away()
