"""Where one is, and how one gets elsewhere: from a list to a deposition, a dataset, a run, and back."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from napari_cryoet._qt.browser.screens import Screens
from napari_cryoet._qt.browser.session import Session
from napari_cryoet._qt.browser.trail import DATASETS, DEPOSITIONS, Place, Trail, begin, follow, follow_to_run
from napari_cryoet._qt.widgets.timers import single_shot
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.network.policy import policy
from napari_cryoet.portal.pages import (
    CatalogueRow,
    DatasetPage,
    DepositionPage,
    DepositionRow,
    Freshness,
    RunPage,
    RunRow,
)
from napari_cryoet.wording import plain

PATIENCE_MS = 200  # for so long the old screen stays while the next one is on its way
LISTS = (DATASETS, DEPOSITIONS)


class Navigator(QObject):
    """Moves between screens; every move drops the run that the screen before was still waiting for.

    A place that is named outright begins a way of its own; with ``follows`` it continues the one so far, so that going
    back leads to where the link was.
    """

    left_lists = Signal()  # for a page of one thing, which may still be on its way
    run_arrived = Signal(object, bool)  # RunPage, whether its default layers are wanted

    def __init__(self, screens: Screens, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._screens = screens
        self._session = session
        self._trail: Trail = (DATASETS,)
        self._coming: Trail = ()  # the way to the run that is asked for
        self._dataset_id: int | None = None  # what the screens of a dataset and of a deposition hold
        self._deposition_id: int | None = None
        self._has_told_offline = False
        self._ask_again: Callable[[], None] | None = None  # what is shown from the cache
        self._leave_soon = single_shot(self, PATIENCE_MS, self._show_run_place)
        session.opening.connect(lambda _source: self._begin_anew())
        session.catalogue_changed.connect(lambda catalogue: self.tell_freshness(catalogue.freshness, session.refresh))
        screens.switch.chosen.connect(lambda number: self.go_to_list(LISTS[number], takes_focus=False))
        screens.breadcrumb.level_chosen.connect(self.go_to_level)
        screens.datasets.opened.connect(lambda dataset: self.go_to_dataset(dataset.id))
        screens.depositions.opened.connect(lambda deposition: self.go_to_deposition(deposition.id))
        screens.deposition.page_requested.connect(self._ask_deposition)
        screens.deposition.dataset_opened.connect(lambda number: self.go_to_dataset(number, follows=True))
        screens.deposition.run_opened.connect(self._on_contributed_run)
        screens.dataset.page_requested.connect(self._ask_runs)
        screens.dataset.run_opened.connect(self._on_run_opened)
        for link in (screens.dataset.header.deposition.requested, screens.run.deposition_requested):
            link.connect(lambda number: self.go_to_deposition(number, follows=True))

    @property
    def level(self) -> int:
        """How many steps back it is to a list; 0 in a list."""
        return len(self._trail) - 1

    def go_to_list(self, which: Place | None = None, *, takes_focus: bool = True) -> None:
        """Show a list as it was left; that where the way began unless the other is named."""
        self._leave()
        self._arrive((which or self._trail[0],))
        if takes_focus:
            self.focus_list()

    def go_to_dataset(self, dataset_id: int, *, follows: bool = False) -> None:
        """Show a dataset as it was left, or begin with the first page of its runs."""
        self._go(self._way_to(Place("dataset", dataset_id), follows=follows))

    def go_to_deposition(self, deposition_id: int, *, follows: bool = False) -> None:
        """Show a deposition as it was left, or ask for it."""
        self._go(self._way_to(Place("deposition", deposition_id), follows=follows))

    def go_to_run(self, run_id: int, name: str = "", *, opens_layers: bool = False, follows: bool = False) -> None:
        """Show a run; with ``opens_layers`` also what the curators show first."""
        way = self._trail if follows else (DATASETS,)
        self._ask_run(Place("run", run_id, name), way, opens_layers=opens_layers)

    def go_to_level(self, level: int) -> None:
        """Go back to a step of the way."""
        self._go(self._trail[: max(level, 0) + 1])

    def go_up(self) -> None:
        """Go back one step."""
        if self.level:
            self.go_to_level(self.level - 1)

    def focus_list(self) -> None:
        """Go on with the keys in what is on screen."""
        screens = self._screens
        match self._trail[-1].kind:
            case "datasets":
                screens.datasets.focus_list()
            case "depositions":
                screens.depositions.focus_list()
            case "dataset":
                screens.dataset.focus_list()
            case "deposition":
                screens.deposition.focus_list()
            case "run":
                screens.run.focus_list()

    def row_of(self, dataset_id: int) -> CatalogueRow | None:
        """What the catalogue knows of a dataset."""
        rows = self._session.catalogue.rows if self._session.catalogue is not None else ()
        return next((row for row in rows if row.id == dataset_id), None)

    def deposition_row_of(self, deposition_id: int | None) -> DepositionRow | None:
        """What the catalogue knows of a deposition."""
        rows = self._session.catalogue.depositions if self._session.catalogue is not None else ()
        return next((row for row in rows if row.id == deposition_id), None)

    def tell_freshness(self, freshness: Freshness, ask_again: Callable[[], None]) -> None:
        """What comes from the cache says so, and why; what comes from the portal takes that back."""
        self._screens.source_bar.set_freshness(freshness)
        self._ask_again = ask_again if freshness.is_offline else None
        if freshness.is_offline and policy().offline:
            return  # as the person wants it; the source bar says so all the time
        if freshness.is_offline:
            self._has_told_offline = True
            words = f"{freshness.reason} Showing what was loaded before ({freshness.text})."
            self._screens.notice.show_notice(plain(words), "Retry", ask_again)
        elif self._has_told_offline:
            self._has_told_offline = False
            self._screens.notice.hide()

    def ask_again(self) -> None:
        """Ask again for what is shown from the cache."""
        ask_again, self._ask_again = self._ask_again, None
        if ask_again is not None:
            ask_again()

    def _way_to(self, place: Place, *, follows: bool) -> Trail:
        return follow(self._trail, place) if follows else begin(place)

    def _go(self, way: Trail) -> None:
        """Go to the end of a way."""
        place = way[-1]
        if place.kind == "run" and not self._holds_run(place.id):
            self._ask_run(place, way[:-1])
            return
        self._leave()
        if place.kind not in {which.kind for which in LISTS}:
            self.left_lists.emit()
        if place.kind == "dataset":
            self._hold_dataset(place.id)
        elif place.kind == "deposition":
            self._hold_deposition(place.id)
        self._arrive(way)
        self.focus_list()

    def _leave(self) -> None:
        self._leave_soon.stop()
        self._session.forget_run()

    def _arrive(self, way: Trail) -> None:
        screens = self._screens
        self._trail = way
        screens.breadcrumb.set_trail([place.label for place in way])
        if way[0] in LISTS:
            screens.switch.set_current(LISTS.index(way[0]))
        shown: dict[str, QWidget] = {
            "datasets": screens.datasets,
            "depositions": screens.depositions,
            "dataset": screens.dataset,
            "deposition": screens.deposition,
            "run": screens.run_place,
        }
        screens.show_screen(shown[way[-1].kind])

    def _begin_anew(self) -> None:
        """Another source: nothing of the one before is held or shown."""
        self._leave()
        self._dataset_id = self._deposition_id = None
        self._screens.run.forget()
        self._screens.notice.hide()
        takes_focus = self._screens.has_focus()  # not where the dock opens what was open last time
        self._arrive((DATASETS,))
        if takes_focus:
            self._screens.datasets.await_focus()

    def _hold_dataset(self, dataset_id: int) -> None:
        if dataset_id == self._dataset_id:
            return
        self._dataset_id = dataset_id
        row = self.row_of(dataset_id)
        deposition = self.deposition_row_of(row.deposition_id if row is not None else None)
        self._screens.dataset.start(dataset_id, row, deposition.title if deposition is not None else "")

    def _hold_deposition(self, deposition_id: int) -> None:
        if deposition_id != self._deposition_id:
            self._deposition_id = deposition_id
            self._screens.deposition.start(deposition_id, self.deposition_row_of(deposition_id))

    def _holds_run(self, run_id: int) -> bool:
        page = self._screens.run.page
        return page is not None and page.run.id == run_id and self._screens.run_place.shows_content

    def _ask_deposition(self) -> None:
        if self._deposition_id is not None:
            show_error = self._screens.deposition.show_error
            self._session.ask_deposition(self._deposition_id, self._on_deposition, show_error)

    def _on_deposition(self, page: DepositionPage) -> None:
        self.tell_freshness(page.freshness, self._screens.deposition.restart)
        self._screens.deposition.set_page(page, self._portal_page("deposition", page.deposition.id))

    def _ask_runs(self, offset: int, name_contains: str) -> None:
        if self._dataset_id is not None:
            show_error = self._screens.dataset.show_error
            self._session.ask_runs(self._dataset_id, offset, name_contains, self._on_runs, show_error)

    def _on_runs(self, page: DatasetPage) -> None:
        self.tell_freshness(page.freshness, self._screens.dataset.restart)
        self._screens.dataset.add_page(page, self._portal_page("dataset", page.dataset.id))

    def _on_run_opened(self, run: RunRow) -> None:
        self.go_to_run(run.id, run.name, opens_layers=True, follows=True)

    def _on_contributed_run(self, run: RunRow) -> None:
        way = follow_to_run(self._trail, Place("dataset", run.dataset_id), Place("run", run.id, run.name))
        self._ask_run(way[-1], way[:-1], opens_layers=True)

    def _ask_run(self, run: Place, way: Trail, *, opens_layers: bool = False) -> None:
        """Ask for a run; the old screen stays for a moment, in case the answer is quick."""
        self._leave()
        self.left_lists.emit()
        self._coming = follow(way, run)
        self._leave_soon.start()

        def ask_again() -> None:
            self._ask_run(run, way, opens_layers=opens_layers)

        def on_run(page: RunPage) -> None:
            self._on_run(page, way, opens_layers=opens_layers)

        def on_failed(error: CryoETError) -> None:
            self._show_run_place()
            self._screens.run_place.show_error(error, ask_again)

        self._session.ask_run(run.id, on_run, on_failed)

    def _on_run(self, page: RunPage, way: Trail, *, opens_layers: bool) -> None:
        self._leave_soon.stop()
        run = Place("run", page.run.id, page.run.name)
        self.tell_freshness(page.freshness, lambda: self._ask_run(run, way))
        self._screens.run.set_page(page, self._portal_page("run", page.run.id))
        self._screens.run_place.show_content()
        self._arrive(follow_to_run(way, Place("dataset", page.run.dataset_id), run))
        self.focus_list()
        self.run_arrived.emit(page, opens_layers)

    def _show_run_place(self) -> None:
        self._leave_soon.stop()
        self._screens.run_place.show_loading(f"Loading {plain(self._coming[-1].label)}…", at_once=True)
        self._arrive(self._coming)

    def _portal_page(self, kind: str, record_id: int) -> str:
        """Where the source's site shows a record; empty where it has none."""
        source = self._session.source
        return source.terms.page_url(kind, record_id) if source is not None and source.terms is not None else ""
