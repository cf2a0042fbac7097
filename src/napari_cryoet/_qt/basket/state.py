"""The basket of the open source, changed by the ticks of all lists and saved on every change."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from qtpy.QtCore import QFileSystemWatcher, QObject, Qt, Signal

from napari_cryoet._qt.tasks import Job, Tasks, single_shot
from napari_cryoet._qt.widgets.record_model import TickColumn
from napari_cryoet.basket.basket import Basket, BasketStore
from napari_cryoet.basket.contents import KnownRuns
from napari_cryoet.exceptions import CryoETError, FormatError, SaveError
from napari_cryoet.pages.basket import BasketDetails
from napari_cryoet.pages.rows import Tick, TickState
from napari_cryoet.pages.ticks import BasketTicks, ticked
from napari_cryoet.portal.portal import Portal

Change = Callable[[Basket], Basket]

_SAVE, _LOOK_UP = "basket", "contents of the basket"
_PAUSE_S: Final = (
    0.1  # the window paints ticks first: a busy thread delays each call of a Qt model by 5 ms
)
_SETTLE_MS: Final = 100  # one change by another process is several events
#: Reads and writes all baskets in order. A basket that another process has locked blocks this
#: thread, not the window; Python waits for it at exit.
_disk: Final = ThreadPoolExecutor(1, thread_name_prefix="napari-cryoet-basket")


class BasketState(QObject):
    """Applies changes immediately; saves them and looks up the contents in the background."""

    changed = Signal()  # the ticks or the contents
    failed = Signal(object)  # CryoETError: the basket can't be read or saved
    refused = Signal(str, str, object)  # why a tick can't be removed, button text, button callback

    def __init__(self, tasks: Tasks, folder: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.folder = folder  #: The download folder; its disk is checked for free space.
        self.column = TickColumn(
            "Basket",
            "Add to the basket (D)",
            Qt.Key.Key_D,
            self.tick_of,
            self.toggle,
            self.changed,
        )
        self.tasks = tasks
        self._store = BasketStore()
        self._unsaved: deque[tuple[str, Change]] = deque()  # unsaved changes, with their sources
        self._watcher = QFileSystemWatcher(self)  # sees changes by commands and other windows
        self._reread_soon = single_shot(self, _SETTLE_MS, self._reread)
        self._watcher.directoryChanged.connect(self._reread_soon.start)
        self._forget()

    def _forget(self) -> None:
        self._portal: Portal | None = None
        self._known_runs: KnownRuns | None = None
        self.ticks = BasketTicks(Basket())
        self.error: CryoETError | None = None  # why the contents aren't known

    # one source at a time

    def open(self, portal: Portal) -> None:
        """Read the basket of a portal."""
        self._portal = portal
        self._known_runs = KnownRuns(portal)
        self.ticks = BasketTicks(Basket(source=self.source))  # until the file is read
        self._save()

    def close(self) -> None:
        """Forget the source; unsaved changes are still saved in the background."""
        self.tasks.stop(_SAVE)
        self.tasks.stop(_LOOK_UP)
        if self._unsaved:
            _disk.submit(self._write)
        self._forget()
        self.changed.emit()

    @property
    def portal(self) -> Portal:
        """The open portal, for work that queries it on another thread."""
        assert self._portal is not None  # noqa: S101 - nothing can be ticked before a source is open
        return self._portal

    @property
    def source(self) -> str:
        """The name of the source in basket files."""
        return self.portal.source.name

    @property
    def basket(self) -> Basket:
        return self.ticks.basket

    @property
    def details(self) -> BasketDetails | None:
        """The contents; None until they are known."""
        return self.ticks.details

    # changes

    def tick_of(self, record: Any) -> Tick | None:
        """The tick of a record; None if there is nothing to download."""
        return self.ticks.tick_of(record)

    def toggle(self, record: Any) -> None:
        """Tick a record that is unticked or partly ticked; untick a ticked one."""
        tick = self.ticks.tick_of(record)
        if tick is None or tick.state is not TickState.ON:
            self.change(partial(ticked, record=record))
        elif (parent := self.ticks.parent_of(record)) is not None:
            remove = partial(Basket.without_ids, kind=parent.kind, ids=[parent.id])
            text = f"All of {parent.name} is in the basket."
            self.refused.emit(text, "Remove it", partial(self.change, remove))
        else:
            self.change(partial(self.ticks.unticked, record=record))

    def change(self, change: Change, *, is_slow: bool = False) -> None:
        """Apply a change to the basket immediately, or only in the background if ``is_slow``."""
        if self._portal is None:
            return
        self._unsaved.append((self.source, change))
        if not is_slow:
            self._set(change(self.basket))
        self._save()

    def _save(self) -> None:
        source = self.source

        def write_and_read() -> Basket:
            self._write()
            with suppress(OSError):  # a folder that can't be made can't be watched
                self._store.folder.mkdir(parents=True, exist_ok=True)
            return self._store.current(source)

        def show(basket: Basket) -> None:
            folder = str(self._store.folder)
            if not self._watcher.directories() and self._watcher.addPath(folder):
                self._reread_soon.start()  # in case the basket changed just before
            self._set(basket)

        saving = _disk.submit(write_and_read)
        self.tasks.run(_SAVE, lambda _job: saving.result(), then=show, failed=self.failed.emit)

    def _reread(self) -> None:
        if self._portal is not None:
            self._save()

    def _write(self) -> None:
        while self._unsaved:
            unsaved = self._unsaved.popleft()
            try:
                self._store.change(*unsaved)
            except (FormatError, SaveError):
                self._unsaved.appendleft(unsaved)  # retried with the next change
                raise

    def _set(self, basket: Basket) -> None:
        if basket == self.basket:
            return
        self.ticks = BasketTicks(basket, self.details)
        self.changed.emit()
        self.ask()

    # contents

    def ask(self) -> None:
        """Look up the contents of the basket."""
        basket, known_runs, folder = self.basket, self._known_runs, self.folder
        if basket.is_empty or known_runs is None:
            self.tasks.stop(_LOOK_UP)
            self._on_details(None)
            return

        def work(job: Job) -> BasketDetails:
            job.wait(_PAUSE_S)
            job.check()
            runs = known_runs.of(basket, task=job)
            existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
            return BasketDetails.of(basket, runs, free_bytes=shutil.disk_usage(existing).free)

        self.tasks.run(
            _LOOK_UP, work, then=self._on_details, failed=partial(self._on_details, None)
        )

    def _on_details(self, details: BasketDetails | None, error: CryoETError | None = None) -> None:
        self.ticks = BasketTicks(self.basket, details)
        self.error = error
        self.changed.emit()
