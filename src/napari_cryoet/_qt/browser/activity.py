"""Titled tasks in napari's activity dock, with bytes and a Cancel."""

from __future__ import annotations

import io
from collections.abc import Callable, Hashable

from napari.utils import cancelable_progress
from qtpy.QtCore import QObject

from napari_cryoet._qt.tasks import Tasks
from napari_cryoet.wording import size_text

STEPS = 1000  # napari's bars count in 32 bits, files are larger


class Activity(QObject):
    """Follows the tasks that have a title."""

    def __init__(self, tasks: Tasks, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._tasks = tasks
        self._bars: dict[Hashable, cancelable_progress] = {}
        self._titles: dict[Hashable, str] = {}
        tasks.started.connect(self._on_started)
        tasks.progressed.connect(self._on_progressed)
        tasks.said.connect(self._on_said)
        tasks.finished.connect(self._on_finished)

    def _on_started(self, key: Hashable, title: str) -> None:
        if title:
            self._titles[key] = title
            self._bars[key] = _Bar(title, lambda: self._tasks.cancel(key))

    def _on_progressed(self, key: Hashable, done_bytes: int, total_bytes: int | None) -> None:
        bar = self._bars.get(key)
        if bar is None:
            return
        done = size_text(done_bytes)
        told = f"{done} of {size_text(total_bytes)}" if total_bytes else done
        bar.set_description(f"{self._titles[key]}  {told}")
        if total_bytes and key in self._bars:  # napari handles other events meanwhile: the task may be over by now
            bar.reach(done_bytes / total_bytes)

    def _on_said(self, key: Hashable, share: float, words: str) -> None:
        bar = self._bars.get(key)
        if bar is not None:
            bar.set_description(f"{self._titles[key]}  {words}")
            if key in self._bars:
                bar.reach(share)

    def _on_finished(self, key: Hashable) -> None:
        bar = self._bars.pop(key, None)
        self._titles.pop(key, None)
        if bar is not None:
            bar.close()


class _Bar(cancelable_progress):  # type: ignore[misc] # napari is not typed
    """A bar whose Cancel acts at once, not at the next step of a loop."""

    def __init__(self, title: str, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._is_counting = False
        quiet = io.StringIO()  # where there is no window, tqdm would draw into the terminal instead
        super().__init__(desc=title, total=0, file=quiet)

    def reach(self, share: float) -> None:
        """Fill the bar up to a share of its length."""
        if not self._is_counting:
            self._is_counting = True
            self.total = STEPS
        steps = max(0, min(STEPS, round(share * STEPS)) - self.n)
        if steps:
            self.update(steps)

    def cancel(self) -> None:
        """Stop the task."""
        super().cancel()
        self._stop()
