"""Where one is, and how one gets elsewhere: from the catalogue to a dataset to a run and back."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.message_panel import Action
from napari_cryoet._qt.screens import Screens
from napari_cryoet._qt.session import Session
from napari_cryoet._qt.timers import single_shot
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.portal.catalogue import portal_url
from napari_cryoet.portal.pages import Catalogue, CatalogueRow, DatasetPage, Freshness, RunPage, RunRow
from napari_cryoet.wording import freshness_text, plain

PATIENCE_MS = 200  # for so long the old screen stays while the next one is on its way
ROOT = "Datasets"


class Navigator(QObject):
    """Moves between screens; every move drops the run that the screen before was still waiting for."""

    run_arrived = Signal(object, bool)  # RunPage, whether its default layers are wanted

    def __init__(self, screens: Screens, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._screens = screens
        self._session = session
        self._dataset_id: int | None = None
        self._run_name = ""
        self._level = 0
        self._has_told_offline = False
        self._leave_soon = single_shot(self, PATIENCE_MS, self._show_run_place)
        self._is_preparing = False
        session.opening.connect(self._on_opening)
        session.preparing.connect(self._on_preparing)
        session.catalogue_changed.connect(self._on_catalogue)
        session.failed.connect(self._on_source_failed)
        screens.breadcrumb.level_chosen.connect(self.go_to_level)
        screens.datasets.dataset_opened.connect(self._on_dataset_opened)
        screens.dataset.page_requested.connect(self._ask_runs)
        screens.dataset.run_opened.connect(self._on_run_opened)

    @property
    def level(self) -> int:
        """0 in the list of datasets, 1 in a dataset, 2 in a run."""
        return self._level

    def go_to_datasets(self, *, takes_focus: bool = True) -> None:
        """Show the list of datasets as it was left."""
        self._leave()
        self._arrive(0)
        self._screens.show_screen(self._screens.datasets)
        if takes_focus:
            self.focus_list()

    def go_to_dataset(self, dataset_id: int) -> None:
        """Show a dataset as it was left, or begin with the first page of its runs."""
        self._leave()
        if dataset_id != self._dataset_id:
            self._dataset_id = dataset_id
            self._screens.dataset.start(dataset_id, self.row_of(dataset_id))
        self._arrive(1)
        self._screens.show_screen(self._screens.dataset)
        self.focus_list()

    def go_to_run(self, run_id: int, name: str = "", *, opens_layers: bool = False) -> None:
        """Show a run; with ``opens_layers`` also what the curators show first."""
        self._leave()
        self._run_name = name or f"RN-{run_id}"
        self._leave_soon.start()

        def on_failed(error: CryoETError) -> None:
            self._show_run_place()
            self._screens.run_place.show_error(error, lambda: self.go_to_run(run_id, name, opens_layers=opens_layers))

        self._session.ask_run(run_id, lambda page: self._on_run(page, opens_layers=opens_layers), on_failed)

    def go_to_level(self, level: int) -> None:
        """Go back to a step of the way."""
        if level <= 0 or self._dataset_id is None:
            self.go_to_datasets()
        else:
            self.go_to_dataset(self._dataset_id)

    def go_up(self) -> None:
        """Go back one step."""
        if self._level:
            self.go_to_level(self._level - 1)

    def focus_list(self) -> None:
        """Go on with the keys in what is on screen."""
        match self._level:
            case 0:
                self._screens.datasets.focus_list()
            case 1:
                self._screens.dataset.focus_list()
            case _:
                self._screens.run.focus_list()

    def row_of(self, dataset_id: int) -> CatalogueRow | None:
        """What the catalogue knows of a dataset."""
        rows = self._session.catalogue.rows if self._session.catalogue is not None else ()
        return next((row for row in rows if row.id == dataset_id), None)

    def _leave(self) -> None:
        self._leave_soon.stop()
        self._session.forget_run()

    def _arrive(self, level: int) -> None:
        self._level = level
        dataset = [f"DS-{self._dataset_id}"] if self._dataset_id is not None else []
        self._screens.breadcrumb.set_trail([[ROOT], [ROOT, *dataset], [ROOT, *dataset, self._run_name]][level])

    def _on_opening(self, source: str) -> None:
        self._leave()
        self._dataset_id = None
        self._arrive(0)
        self._is_preparing = False
        self._screens.notice.hide()
        self._screens.datasets.clear()
        self._screens.source_bar.set_state("opening…" if source == "demo" else "connecting…")
        self._screens.datasets.show_loading("Loading datasets…")
        takes_focus = self._screens.has_focus()  # not where the dock opens what was open last time
        self._screens.show_screen(self._screens.datasets)
        if takes_focus:
            self._screens.datasets.await_focus()

    def _on_preparing(self, share: float, words: str) -> None:
        title = f"Preparing the demo… {share:.0%}"
        if self._is_preparing:
            self._screens.datasets.place.message.retitle(title, words)
            return
        self._is_preparing = True
        self._screens.datasets.place.show_message(title, words, [Action("Stop", self._stop_preparing)])

    def _stop_preparing(self) -> None:
        self._session.stop_opening()
        self._screens.source_bar.set_state("")
        self._screens.show_start()

    def _on_catalogue(self, catalogue: Catalogue) -> None:
        self._tell_freshness(catalogue.freshness, self._session.refresh)

    def _on_source_failed(self, error: CryoETError) -> None:
        if self._session.catalogue is not None:
            self._screens.notice.show_error(error, self._session.refresh)
        else:
            self._screens.source_bar.set_state("not reached", is_offline=True, reason=str(error))
            self._screens.datasets.show_error(error, self._session.retry)

    def _on_dataset_opened(self, dataset: CatalogueRow) -> None:
        self.go_to_dataset(dataset.id)

    def _ask_runs(self, offset: int, name_contains: str) -> None:
        if self._dataset_id is not None:
            show_error = self._screens.dataset.show_error
            self._session.ask_runs(self._dataset_id, offset, name_contains, self._on_runs, show_error)

    def _on_runs(self, page: DatasetPage) -> None:
        self._tell_freshness(page.freshness, self._screens.dataset.restart)
        self._screens.dataset.add_page(page, self._portal_page("dataset", page.dataset.id))

    def _on_run_opened(self, run: RunRow) -> None:
        self.go_to_run(run.id, run.name, opens_layers=True)

    def _on_run(self, page: RunPage, *, opens_layers: bool) -> None:
        self._leave_soon.stop()
        self._run_name = page.run.name
        if self._dataset_id != page.run.dataset_id:  # going up from a run that was jumped to leads to its own dataset
            self._dataset_id = page.run.dataset_id
            self._screens.dataset.start(page.run.dataset_id, self.row_of(page.run.dataset_id))
        self._tell_freshness(page.freshness, lambda: self.go_to_run(page.run.id, page.run.name))
        self._screens.run.set_page(page, self._portal_page("run", page.run.id))
        self._screens.run_place.show_content()
        self._arrive(2)
        self._screens.show_screen(self._screens.run_place)
        self.focus_list()
        self.run_arrived.emit(page, opens_layers)

    def _show_run_place(self) -> None:
        self._leave_soon.stop()
        self._screens.run_place.show_loading(f"Loading {plain(self._run_name)}…", at_once=True)
        self._arrive(2)
        self._screens.show_screen(self._screens.run_place)

    def _tell_freshness(self, freshness: Freshness, ask_again: Callable[[], None]) -> None:
        """What comes from the cache says so, and why; what comes from the portal takes that back."""
        self._screens.source_bar.set_freshness(freshness)
        if freshness.is_offline:
            self._has_told_offline = True
            words = f"{freshness.reason} Showing what was loaded before ({freshness_text(freshness)})."
            self._screens.notice.show_notice(plain(words), "Retry", ask_again)
        elif self._has_told_offline:
            self._has_told_offline = False
            self._screens.notice.hide()

    def _portal_page(self, kind: str, record_id: int) -> str:
        """Where the portal shows a record; nowhere if it is one of the demo's."""
        source = self._session.source
        return portal_url(kind, record_id) if source is not None and source.kind != "demo" else ""
