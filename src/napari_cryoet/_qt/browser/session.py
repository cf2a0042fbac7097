"""The open portal as the screens see it: every question is a background task, every answer comes on the GUI thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.tasks import Job, Tasks
from napari_cryoet.discovery.answers import Answer, Question, all_runs, answer, answer_from_catalogue, with_reasons
from napari_cryoet.discovery.catalogue import CatalogueSearch
from napari_cryoet.discovery.facets import count_facets
from napari_cryoet.discovery.index import Index, read_index
from napari_cryoet.discovery.search import Search, find
from napari_cryoet.exceptions import CryoETError, NetworkError, WithheldError, raise_if_stopped
from napari_cryoet.portal.pages import Catalogue, CatalogueRow, DepositionRow
from napari_cryoet.portal.transport import read_picture

if TYPE_CHECKING:
    from napari_cryoet.portal.portal import Portal, Source

T = TypeVar("T")
Failed = Callable[[CryoETError], None]
OpenPortal: TypeAlias = "Callable[[str, Job], Portal]"

_PAUSE_S = 0.1  # before reasons are looked for: what was found is painted first
_QUESTIONS = ("catalogue", "index", "search", "runs", "run", "deposition", "lookup")


class Session(QObject):
    """One source at a time; opening another drops every answer of the one before."""

    opening = Signal(str)  # source, as `open_portal` takes it
    preparing = Signal(float, str)  # share that is done and words, where opening a source takes work
    opened = Signal(object)  # Source
    catalogue_changed = Signal(object)  # Catalogue
    failed = Signal(object)  # CryoETError: the source can't be opened, or its catalogue can't be had
    index_said = Signal(float, str)  # share of the index that is read, and words
    index_read = Signal(object)  # Index
    index_failed = Signal(object)  # CryoETError
    unreachable = Signal(object)  # NetworkError: the server didn't answer, whatever it was asked

    def __init__(self, tasks: Tasks, open_portal: OpenPortal, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._tasks = tasks
        self._open_portal = open_portal
        self._portals: list[Portal] = []  # what was opened, also where another source was chosen meanwhile
        self._asked_for = ""
        self._is_open = False
        self.catalogue: Catalogue | None = None
        self.index: Index | None = None
        self._words: CatalogueSearch | None = None
        tasks.said.connect(self._on_said)

    @property
    def portal(self) -> Portal:
        """The open portal, for work that queries it on another thread."""
        return self._portals[-1]

    @property
    def source(self) -> Source | None:
        return self.portal.source if self._is_open else None

    def open(self, source: str) -> None:
        """Open a source and fetch its catalogue; a cached one is shown meanwhile."""
        self.close()
        self._asked_for, portals = source, self._portals
        self.opening.emit(source)

        def work(job: Job) -> Catalogue | None:
            portal = self._open_portal(source, job)
            portals.append(portal)
            if job.stop.is_set():  # `close` may have looked before
                portal.close()
            raise_if_stopped(job.stop)
            return portal.cached_catalogue()

        title = "Preparing the demo" if source == "demo" else ""
        self._tasks.run("source", work, then=self._on_opened, failed=partial(self._on_failed, None), title=title)

    def retry(self) -> None:
        """Try again what failed: to open the source, or to have its catalogue."""
        if not self._is_open:
            self.open(self._asked_for)
        else:
            self.ask("catalogue", lambda portal, stop: portal.catalogue(refresh=True, stop=stop), self._on_catalogue)

    def close(self) -> None:
        """Forget the source and whatever was asked of it."""
        for key in ("source", *_QUESTIONS):
            self._tasks.stop(key)
        for portal in self._portals:
            portal.close()
        self._portals, self._is_open, self.catalogue, self.index = [], False, None, None

    def read_index(self, *, refresh: bool = False) -> None:
        """Read what filters and lists of runs need, once; ``refresh`` reads it anew from the source."""
        if self._is_open and (self.index is None or refresh) and not self._tasks.is_running("index"):
            self.index_said.emit(0.0, "")
            self._tasks.run(
                "index",
                partial(_read_index, self.portal, refresh),
                then=self._on_index,
                failed=partial(self._on_failed, self.index_failed.emit),
            )

    def stop_index(self) -> None:
        self._tasks.stop("index")

    def search(self, question: Question, show: Callable[[Answer], None]) -> None:
        """Find locally what a search asks for: in the index, or in the catalogue as long as there is none.

        ``show`` gets the answer, and again once it says why each dataset matched.
        """
        catalogue, words, index = self.catalogue, self._words, self.index
        if catalogue is None or words is None:
            return
        if index is None and not question.search.text:
            self._tasks.stop("search")
            show(answer_from_catalogue(catalogue, words, question.search))
            return

        def work(job: Job) -> Answer:
            if index is None:
                return answer_from_catalogue(catalogue, words, question.search)
            found = answer(index, catalogue, words, question)
            if question.unit == "runs" or not question.search.text:
                return found
            job.hand_over(found)
            job.stop.wait(_PAUSE_S)
            raise_if_stopped(job.stop)
            return with_reasons(index, found)

        self._tasks.run("search", work, part=show, then=show)

    def list_all_runs(self, found: Answer, show: Callable[[Answer], None]) -> None:
        """Complete an answer that has only the first runs."""
        if (index := self.index) is not None:
            self._tasks.run("search", lambda _job: all_runs(index, found), then=show)

    def ask(
        self, key: str, question: Callable[[Portal, Event], T], then: Callable[[T], None], failed: Failed | None = None
    ) -> None:
        """Ask the portal something; a newer question of the same key drops the answer of the older one."""
        if not self._is_open:
            return
        portal = self.portal

        self._tasks.run(key, lambda job: question(portal, job.stop), then=then, failed=partial(self._on_failed, failed))

    def row_of(self, dataset_id: int) -> CatalogueRow | None:
        rows = self.catalogue.rows if self.catalogue is not None else ()
        return next((row for row in rows if row.id == dataset_id), None)

    def deposition_row_of(self, deposition_id: int | None) -> DepositionRow | None:
        rows = self.catalogue.depositions if self.catalogue is not None else ()
        return next((row for row in rows if row.id == deposition_id), None)

    def page_url(self, kind: str, record_id: int) -> str:
        """Where the source's site shows a record; empty where it has none."""
        return self.portal.source.page_url(kind, record_id) if self._is_open else ""

    def forget_run(self) -> None:
        """The user went elsewhere: no run is waited for any more."""
        self._tasks.stop("run")
        self._tasks.stop("lookup")

    def picture_reader(self) -> Callable[[str, Event], bytes]:
        """Reads pictures of the source that is open now, in workers, also after another one was opened."""
        return partial(_read_picture, self.source)

    def _on_opened(self, cached: Catalogue | None) -> None:
        self._is_open = True
        self.opened.emit(self.source)
        if cached is not None:
            self._on_catalogue(cached)
        self.retry()

    def _on_failed(self, tell: Failed | None, error: CryoETError) -> None:
        (tell or self.failed.emit)(error)
        if isinstance(error, NetworkError) and not isinstance(error, WithheldError):
            self.unreachable.emit(error)

    def _on_catalogue(self, catalogue: Catalogue) -> None:
        self.catalogue, self._words = catalogue, CatalogueSearch(catalogue)
        self.catalogue_changed.emit(catalogue)

    def _on_index(self, index: Index) -> None:
        self.index = index
        self.index_read.emit(index)

    def _on_said(self, key: object, share: float, words: str) -> None:
        if key == "source":
            self.preparing.emit(share, words)
        elif key == "index":
            self.index_said.emit(share, words)


def _read_index(portal: Portal, refresh: bool, job: Job) -> Index:
    index = read_index(portal, refresh=refresh, progress=job.say, stop=job.stop)
    count_facets(index, Search())  # these two prepare what each answer needs
    find(index, Search(text="a"))
    return index


def _read_picture(source: Source | None, url: str, stop: Event) -> bytes:
    folder = None  # where the source's files are, if on this computer
    if source is not None and source.kind == "pack":
        folder = Path(source.location)
    elif source is not None and source.kind == "demo":
        from napari_cryoet.demo.write import demo_folder

        folder = demo_folder()
    return read_picture(url, folder=folder, stop=stop)
