"""The open portal as the screens see it: requests run in background tasks, answers arrive on the GUI thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event
from typing import TypeAlias, TypeVar

from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.tasks import Job, Tasks
from napari_cryoet.discovery.catalogue import CatalogueSearch
from napari_cryoet.discovery.index import Index, read_index
from napari_cryoet.exceptions import CryoETError, NetworkError, WithheldError
from napari_cryoet.pages.lists import (
    Answer,
    Question,
    all_runs,
    answer,
    answer_from_catalogue,
    warm_up,
    with_reasons,
)
from napari_cryoet.portal.pages import Catalogue, CatalogueRow, DepositionRow
from napari_cryoet.portal.portal import Portal, Source
from napari_cryoet.portal.transport import read_picture
from napari_cryoet.task import Task

T = TypeVar("T")
Failed = Callable[[CryoETError], None]
OpenPortal: TypeAlias = "Callable[[str, Job], Portal]"

_PAUSE_S = 0.1  # lets the window paint results before reasons are looked up
_TASKS = ("catalogue", "index", "search", "runs", "run", "deposition", "lookup")


class Session(QObject):
    """Holds one open source; opening another drops all pending answers."""

    opening = Signal(str)  # source, as `open_portal` takes it
    preparing = Signal(float, str)  # fraction done and status message, while the demo is created
    opened = Signal(object)  # Source
    catalogue_changed = Signal(object)  # Catalogue
    failed = Signal(object)  # CryoETError: the source or its catalogue can't be read
    index_said = Signal(float, str)  # fraction read and status message
    index_read = Signal(object)  # Index
    index_failed = Signal(object)  # CryoETError
    unreachable = Signal(object)  # NetworkError of any request that was sent
    waiting = Signal(str, str)  # key of a request, and until when the server asks to wait

    def __init__(
        self, tasks: Tasks, open_portal: OpenPortal, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._tasks = tasks
        self._open_portal = open_portal
        self._portals: list[
            Portal
        ] = []  # including ones that opened after another source was chosen
        self._requested = ""
        self._is_open = False
        self.catalogue: Catalogue | None = None
        self.index: Index | None = None
        self._catalogue_search: CatalogueSearch | None = None
        tasks.said.connect(self._on_said)

    @property
    def portal(self) -> Portal:
        """The open portal, for work that queries it on another thread."""
        return self._portals[-1]

    @property
    def source(self) -> Source | None:
        return self.portal.source if self._is_open else None

    def open(self, source: str) -> None:
        """Open a source and fetch its catalogue, showing a cached one meanwhile."""
        self.close()
        self._requested, portals = source, self._portals
        self.opening.emit(source)

        def work(job: Job) -> Catalogue | None:
            portal = self._open_portal(source, job)
            portals.append(portal)
            if job.is_stopped:  # opened after `close`
                portal.close()
            job.check()
            return portal.cached_catalogue()

        title = "Preparing the demo" if source == "demo" else ""
        self._tasks.run(
            "source", work, then=self._on_opened, failed=partial(self._on_failed, None), title=title
        )

    def retry(self) -> None:
        """Retry opening the source or, if it is open, fetching its catalogue."""
        if not self._is_open:
            self.open(self._requested)
        else:
            self.ask(
                "catalogue",
                lambda portal, task: portal.catalogue(refresh=True, task=task),
                self._on_catalogue,
            )

    def close(self) -> None:
        """Close the source and drop its pending requests."""
        for key in ("source", *_TASKS):
            self._tasks.stop(key)
        for portal in self._portals:
            portal.close()
        self._portals, self._is_open, self.catalogue, self.index = [], False, None, None

    def read_index(self, *, refresh: bool = False) -> None:
        """Read the index, which filters and the list of runs need, unless it is there.

        ``refresh`` reloads it.
        """
        if (
            self._is_open
            and (self.index is None or refresh)
            and not self._tasks.is_running("index")
        ):
            self.index_said.emit(0.0, "")
            self._tasks.run(
                "index",
                partial(_read_index, self.portal, refresh),
                part=self._on_index,
                then=self._on_index,
                failed=partial(self._on_failed, self.index_failed.emit),
            )

    def stop_index(self) -> None:
        self._tasks.stop("index")

    def search(self, question: Question, show: Callable[[Answer], None]) -> None:
        """Search locally in the index, or in the catalogue while there is no index.

        ``show`` is called with the answer, and again once the answer includes why each dataset
        matched.
        """
        catalogue, catalogue_search, index = self.catalogue, self._catalogue_search, self.index
        if catalogue is None or catalogue_search is None:
            return
        if index is None and not question.search.text:
            self._tasks.stop("search")
            show(answer_from_catalogue(catalogue, catalogue_search, question.search))
            return

        def work(job: Job) -> Answer:
            if index is None:
                return answer_from_catalogue(catalogue, catalogue_search, question.search)
            first_answer = answer(index, catalogue, catalogue_search, question)
            if question.unit == "runs" or not question.search.text:
                return first_answer
            job.hand_over(first_answer)
            job.wait(_PAUSE_S)
            job.check()
            return with_reasons(index, first_answer)

        self._tasks.run("search", work, part=show, then=show)

    def list_all_runs(self, first_answer: Answer, show: Callable[[Answer], None]) -> None:
        """Add the missing runs to an answer that has only the first ones."""
        self._tasks.run("search", lambda _job: all_runs(first_answer), then=show)

    def ask(
        self,
        key: str,
        request: Callable[[Portal, Task], T],
        then: Callable[[T], None],
        failed: Failed | None = None,
    ) -> None:
        """Run a portal request in a task; a newer one with the same key replaces it."""
        if not self._is_open:
            return
        portal = self.portal
        self._tasks.run(
            key,
            lambda job: request(portal, job),
            then=then,
            failed=partial(self._on_failed, failed),
        )

    def portal_of(self, source: str, job: Job) -> Portal:
        """The portal of a source; the open one if it is that. For worker threads."""
        opened = self.source
        if opened is not None and opened.name == source:
            return self.portal
        return self._open_portal(source, job)

    def row_of(self, dataset_id: int) -> CatalogueRow | None:
        rows = self.catalogue.rows if self.catalogue is not None else ()
        return next((row for row in rows if row.id == dataset_id), None)

    def deposition_row_of(self, deposition_id: int | None) -> DepositionRow | None:
        rows = self.catalogue.depositions if self.catalogue is not None else ()
        return next((row for row in rows if row.id == deposition_id), None)

    def page_url(self, kind: str, record_id: int) -> str:
        """The URL of a record on the source's website, or an empty string."""
        return self.portal.source.page_url(kind, record_id) if self._is_open else ""

    def cancel_run(self) -> None:
        """Cancel the pending request of a run, since the user went elsewhere."""
        self._tasks.stop("run")
        self._tasks.stop("lookup")

    def picture_reader(self) -> Callable[[str, Event], bytes]:
        """A function that reads the open source's pictures, also after another one was opened.

        For worker threads.
        """
        return partial(_read_picture, self.source)

    def _on_opened(self, cached: Catalogue | None) -> None:
        self._is_open = True
        self.opened.emit(self.source)
        if cached is not None:
            self._on_catalogue(cached)
        self.retry()

    def _on_failed(self, failed: Failed | None, error: CryoETError) -> None:
        (failed or self.failed.emit)(error)
        if isinstance(error, NetworkError) and not isinstance(error, WithheldError):
            self.unreachable.emit(error)

    def _on_catalogue(self, catalogue: Catalogue) -> None:
        self.catalogue, self._catalogue_search = catalogue, CatalogueSearch(catalogue)
        self.catalogue_changed.emit(catalogue)

    def _on_index(self, index: Index) -> None:
        if index is not self.index:
            self.index = index
            self.index_read.emit(index)

    def _on_said(self, key: object, fraction: float, message: str) -> None:
        if key == "source":
            self.preparing.emit(fraction, message)
        elif key == "index":
            self.index_said.emit(fraction, message)
        elif key in _TASKS:
            self.waiting.emit(key, message)


def _read_index(portal: Portal, refresh: bool, job: Job) -> Index:
    kept: Index | None = None

    def use_meanwhile(index: Index) -> None:
        nonlocal kept
        kept = index
        warm_up(index)
        job.hand_over(index)

    index = read_index(portal, refresh=refresh, meanwhile=use_meanwhile, task=job)
    if index is not kept:
        warm_up(index)
    return index


def _read_picture(source: Source | None, url: str, task: Task) -> bytes:
    folder = None  # the source's local files
    if source is not None and source.kind == "pack":
        folder = Path(source.location)
    elif source is not None and source.kind == "demo":
        from napari_cryoet.demo.write import demo_folder

        folder = demo_folder()
    return read_picture(url, folder=folder, task=task)
