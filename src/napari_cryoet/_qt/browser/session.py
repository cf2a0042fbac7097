"""The open portal as the screens see it: every question is a background task, every answer comes on the GUI thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.tasks import Job, Tasks
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.portal.links import Jump
from napari_cryoet.portal.pages import (
    Catalogue,
    CatalogueRow,
    DatasetPage,
    DepositionPage,
    DepositionRow,
    LookupHit,
    RunPage,
)
from napari_cryoet.portal.search import search_catalogue, search_depositions
from napari_cryoet.portal.transport import read_picture

if TYPE_CHECKING:
    from napari_cryoet.portal.portal import Portal, Source

RUNS_PER_PAGE = 50

Failed = Callable[[CryoETError], None]


class Found(NamedTuple):
    """What a search finds."""

    datasets: tuple[CatalogueRow, ...]
    depositions: tuple[DepositionRow, ...]


OpenPortal: TypeAlias = "Callable[[str, Job], Portal]"


class Session(QObject):
    """One source at a time; opening another drops every answer of the one before."""

    opening = Signal(str)  # source, as `open_portal` takes it
    opened = Signal(object)  # Source
    failed = Signal(object)  # CryoETError: the source can't be opened, or its catalogue can't be had
    catalogue_changed = Signal(object)  # Catalogue
    preparing = Signal(float, str)  # share that is done and words, where opening a source takes work
    given_up = Signal()  # no source is opened any more, since somebody stopped that

    def __init__(self, tasks: Tasks, open_portal: OpenPortal, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._tasks = tasks
        self._open_portal = open_portal
        self._portal: Portal | None = None
        self._asked_for = ""
        self.catalogue: Catalogue | None = None
        tasks.said.connect(self._on_said)
        tasks.cancelled.connect(self._on_cancelled)

    @property
    def portal(self) -> Portal:
        """What is open; for work that asks by itself, on a thread of its own."""
        assert self._portal is not None, "a page is shown of what is open"  # noqa: S101
        return self._portal

    @property
    def source(self) -> Source | None:
        """The source that is open."""
        return None if self._portal is None else self._portal.source

    def open(self, source: str) -> None:
        """Open a source and ask for its catalogue; what is on disk of it is shown meanwhile."""
        self.close()
        self._asked_for = source
        self.opening.emit(source)

        def work(job: Job) -> tuple[Portal, Catalogue | None]:
            portal = self._open_portal(source, job)
            return portal, portal.cached_catalogue()

        title = "Preparing the demo" if source == "demo" else ""
        self._tasks.run("source", work, then=self._on_opened, failed=self.failed.emit, title=title)

    def refresh(self) -> None:
        """Ask for the catalogue again."""
        portal = self._portal
        if portal is None:
            return
        self._tasks.run(
            "catalogue",
            lambda job: portal.catalogue(refresh=True, stop=job.stop),
            then=self._on_catalogue,
            failed=self.failed.emit,
        )

    def retry(self) -> None:
        """Try again what failed: to open the source, or to have its catalogue."""
        if self._portal is None:
            self.open(self._asked_for)
        else:
            self.refresh()

    def search(self, text: str, then: Callable[[Found], None]) -> None:
        """Find datasets and depositions by words, locally."""
        catalogue = self.catalogue
        if catalogue is None or not text:
            self._tasks.stop("search")
            then(Found((), ()) if catalogue is None else Found(catalogue.rows, catalogue.depositions))
        else:
            self._tasks.run(
                "search",
                lambda _job: Found(search_catalogue(catalogue, text), search_depositions(catalogue, text)),
                then=then,
            )

    def ask_runs(
        self, dataset_id: int, offset: int, name_contains: str, then: Callable[[DatasetPage], None], failed: Failed
    ) -> None:
        """Ask for one page of a dataset's runs."""
        portal = self._portal
        if portal is None:
            return
        self._tasks.run(
            "runs",
            lambda job: portal.dataset_page(
                dataset_id, offset=offset, limit=RUNS_PER_PAGE, name_contains=name_contains, stop=job.stop
            ),
            then=then,
            failed=failed,
        )

    def ask_run(self, run_id: int, then: Callable[[RunPage], None], failed: Failed) -> None:
        """Ask for everything of a run."""
        portal = self._portal
        if portal is not None:
            self._tasks.run("run", lambda job: portal.run_page(run_id, stop=job.stop), then=then, failed=failed)

    def ask_deposition(self, deposition_id: int, then: Callable[[DepositionPage], None], failed: Failed) -> None:
        """Ask for a deposition and what it holds."""
        portal = self._portal
        if portal is None:
            return
        self._tasks.run(
            "deposition", lambda job: portal.deposition_page(deposition_id, stop=job.stop), then=then, failed=failed
        )

    def look_up(self, jump: Jump, then: Callable[[tuple[LookupHit, ...]], None], failed: Failed) -> None:
        """Ask what has an id; a jump that says of which kind finds only that kind."""
        portal = self._portal
        if portal is None:
            return

        def work(job: Job) -> tuple[LookupHit, ...]:
            hits = portal.lookup(jump.id, stop=job.stop)
            return tuple(hit for hit in hits if jump.kind in (None, hit.kind))

        self._tasks.run("lookup", work, then=then, failed=failed)

    def forget_run(self) -> None:
        """The person went elsewhere: nobody waits for a run any more."""
        self._tasks.stop("run")
        self._tasks.stop("lookup")

    def read_picture(self, url: str, stop: Event) -> bytes:
        """The bytes of a thumbnail; blocks, for workers."""
        return read_picture(url, folder=_folder_of(self.source), stop=stop)

    def close(self) -> None:
        """Forget the source and whatever was asked of it."""
        for key in ("source", "catalogue", "search", "runs", "run", "deposition", "lookup"):
            self._tasks.stop(key)
        if self._portal is not None:
            self._portal.close()
        self._portal = None
        self.catalogue = None

    def stop_opening(self) -> None:
        """Give up opening the source."""
        self._tasks.stop("source")
        self.given_up.emit()

    def _on_cancelled(self, key: object) -> None:
        """Somebody stopped it in napari's activity dock."""
        if key == "source":
            self.given_up.emit()

    def _on_said(self, key: object, share: float, words: str) -> None:
        if key == "source":
            self.preparing.emit(share, words)

    def _on_opened(self, answer: tuple[Portal, Catalogue | None]) -> None:
        self._portal, cached = answer
        self.opened.emit(self._portal.source)
        if cached is not None:
            self._on_catalogue(cached)
        self.refresh()

    def _on_catalogue(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.catalogue_changed.emit(catalogue)


def _folder_of(source: Source | None) -> Path | None:
    """Where the files of a source are, if they are on this computer."""
    if source is None or source.kind not in {"demo", "pack"}:
        return None
    if source.kind == "pack":
        return Path(source.location)
    from napari_cryoet.demo.write import demo_folder

    return demo_folder()
