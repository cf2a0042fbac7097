"""Navigation in the dock: the screens, the breadcrumb, and moving between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QScrollArea,
    QSizePolicy,
    QStackedWidget,
    QWidget,
)

from napari_cryoet._qt.browser.catalogue_page import CataloguePage, ListSwitch
from napari_cryoet._qt.browser.filters import FacetPanel, FilterBar
from napari_cryoet._qt.browser.record_pages import DatasetView, DepositionView
from napari_cryoet._qt.browser.run_page import RunView
from napari_cryoet._qt.browser.session import Session
from napari_cryoet._qt.browser.source_bar import SearchBox, SourceBar, StartPage
from napari_cryoet._qt.tasks import single_shot
from napari_cryoet._qt.viewer.status import StatusStrip
from napari_cryoet._qt.widgets.controls import ElidedLabel, column_in, tool_button
from napari_cryoet._qt.widgets.messages import Loadable, NoticeBar
from napari_cryoet._qt.widgets.record_view import ListPage
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet._qt.widgets.thumbnails import Thumbnails
from napari_cryoet.discovery.matches import ListedRun
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.locations import Location
from napari_cryoet.network.policy import policy
from napari_cryoet.pages.breadcrumbs import (
    DATASETS,
    LISTS,
    MOST_CRUMBS,
    Crumbs,
    Place,
    begin,
    follow,
    follow_to_page,
    follow_to_run,
)
from napari_cryoet.pages.lists import (
    DATASET_ORDERS,
    DEPOSITION_ORDERS,
    RUN_ORDERS,
    dataset_row,
    deposition_row,
    found_run_row,
)
from napari_cryoet.portal.pages import (
    Catalogue,
    CatalogueRow,
    DatasetCount,
    DatasetPage,
    DepositionPage,
    DepositionRow,
    Freshness,
    RunPage,
    RunRow,
)
from napari_cryoet.portal.portal import Portal
from napari_cryoet.task import Task
from napari_cryoet.wording import plain

_SEARCH_HINT: Final = "ribosome, membrane, 10000, a link …"
_FROM_CACHE: Final = "from the cache"  # topic of notices
_TYPING_PAUSE_MS: Final = 30  # short, since searches run locally
_RUNS_A_PAGE: Final = 50
_LOADING_DELAY_MS: Final = 200  # the old screen stays this long before a loading message


class Breadcrumb(QWidget):
    """``‹ Datasets › DS-10000 › TS_026``: a click on a step except the last goes back to it."""

    level_chosen = Signal(int)  # 0 is the list

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._current = ElidedLabel(elide=Qt.TextElideMode.ElideMiddle)
        self._current.setMinimumHeight(
            self._current.fontMetrics().height() + 6
        )  # as high as the buttons
        self._n_steps = 0
        self.back = tool_button("", "Back (Backspace)")
        theme.set_icon(self.back, "back")
        self.back.clicked.connect(lambda: self.level_chosen.emit(self._n_steps - 1))
        self._steps = [tool_button("", "") for _ in range(MOST_CRUMBS - 1)]
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        for level, button in enumerate((self.back, *self._steps), -1):
            button.setFocusPolicy(
                Qt.FocusPolicy.TabFocus
            )  # a click keeps the keyboard focus in the list
            row.addWidget(button)
            if level >= 0:
                button.clicked.connect(
                    lambda _checked=False, level=level: self.level_chosen.emit(level)
                )
        row.addWidget(self._current, 1)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def set_steps(self, names: Sequence[str]) -> None:
        *previous, current = map(plain, names)
        self._n_steps = len(previous)
        for button, name in zip(self._steps, [*previous, *[""] * MOST_CRUMBS], strict=False):
            button.setText(f"{name} ›".replace("&", "&&"))
            button.setAccessibleName(f"Back to {name}")
            button.setVisible(bool(name))
        self._current.setText(current)
        self.back.setEnabled(bool(previous))
        self.setAccessibleName(" › ".join([*previous, current]))

    def mousePressEvent(self, _event: QMouseEvent | None) -> None:
        """Keep the keyboard focus in the list after a click beside the buttons."""
        self.level_chosen.emit(self._n_steps)


class Screens:
    """The widgets of the dock and their layout."""

    def __init__(self, owner: QWidget, theme: Theme, thumbnails: Thumbnails) -> None:
        self.owner = owner
        self.source_bar = SourceBar(theme)
        self.search = SearchBox(
            theme, _SEARCH_HINT, "Search, or jump to an id or link", pause_ms=_TYPING_PAUSE_MS
        )
        self.filter_bar = FilterBar()
        self.facets = FacetPanel(theme)
        self.switch = ListSwitch()
        self.breadcrumb = Breadcrumb(theme)
        self.notice = NoticeBar(theme)
        self.start = StartPage(theme)
        self.datasets = CataloguePage(theme, thumbnails, "dataset", DATASET_ORDERS, dataset_row)
        self.runs = CataloguePage(theme, thumbnails, "run", RUN_ORDERS, found_run_row)
        self.depositions = CataloguePage(
            theme, thumbnails, "deposition", DEPOSITION_ORDERS, deposition_row
        )
        self.lists: tuple[CataloguePage[Any], ...] = (self.datasets, self.runs, self.depositions)
        self.deposition = DepositionView(theme, thumbnails)
        self.dataset = DatasetView(theme, thumbnails)
        self.run = RunView(theme)
        area = QScrollArea()  # in case the dock is too low
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setWidget(self.run)
        self.run_loadable = Loadable(area)
        self.stack = QStackedWidget()
        self._pages: dict[str, Any] = {
            "datasets": self.datasets,
            "runs": self.runs,
            "depositions": self.depositions,
            "dataset": self.dataset,
            "deposition": self.deposition,
            "run": self.run_loadable,
        }
        self._make_page: dict[str, Callable[[], QWidget]] = {}  # of pages that weren't shown yet
        self._strips: dict[str, QWidget] = {}  # below all pages but their own
        for page in (self.start, *self._pages.values()):
            self.stack.addWidget(page)
        self.status = StatusStrip()
        above = (self.source_bar, self.search, self.filter_bar, self.switch, self.breadcrumb)
        parts = (*above, self.facets, self.stack, self.status)
        self._column = column_in(owner, *parts, margins=(6, 6, 6, 4), spacing=6)
        self._column.setStretchFactor(self.facets, 2)
        self._column.setStretchFactor(self.stack, 3)
        self.notice.float_in(self.stack, self._list_shown)
        self.show_start()

    @property
    def kinds(self) -> set[str]:
        """The kinds of pages."""
        return {*self._pages, *self._make_page}

    def page(self, kind: str) -> Any:
        """The page of a kind; a room's page is made by the first call."""
        if kind in self._make_page:
            page = self._make_page.pop(kind)()
            self._pages[kind] = page
            self.stack.addWidget(page)
        return self._pages[kind]

    def add_page(self, kind: str, make: Callable[[], QWidget], strip: QWidget) -> None:
        """Add the page of a room, and a strip that leads to it below all other pages."""
        self._make_page[kind] = make
        self._strips[kind] = strip
        self._column.insertWidget(self._column.indexOf(self.status), strip)

    def show_start(self) -> None:
        self.stack.setCurrentWidget(self.start)
        for part in (
            self.search,
            self.filter_bar,
            self.facets,
            self.switch,
            self.breadcrumb,
            self.status,
            *self._strips.values(),
        ):
            part.hide()

    def show_page(self, kind: str) -> None:
        """Show a screen other than the start page, below the switch for lists and the breadcrumb for others."""
        page = self.page(kind)
        is_list = page in self.lists
        self.stack.setCurrentWidget(page)
        self.search.show()
        self.status.show()
        for other, strip in self._strips.items():
            strip.setVisible(other != kind)
        self.switch.setVisible(is_list)
        self.filter_bar.setVisible(is_list)
        self.facets.setVisible(is_list and self.filter_bar.filters.isChecked())
        self.breadcrumb.setVisible(not is_list)

    def _list_shown(self) -> QWidget:
        """The part of the current page that notices may cover."""
        page = self.stack.currentWidget()
        if page is self.run_loadable and self.run.tree.isVisible():
            return self.run.tree
        return page.loadable if isinstance(page, ListPage) else self.stack

    def focus_search(self) -> None:
        self.search.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.search.selectAll()


class Navigator(QObject):
    """Moves between screens; every move cancels a run that is still loading.

    With ``follows``, a place is appended to the breadcrumb, so that going back leads to the screen
    with the link.
    """

    moved = Signal()
    run_arrived = Signal(object, bool)  # RunPage, whether to open its default layers

    def __init__(self, screens: Screens, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._screens = screens
        self._session = session
        self._crumbs: Crumbs = (DATASETS,)
        self._pending: Crumbs = ()  # breadcrumb of the requested run
        self._refetch: Callable[[], None] | None = None  # repeats the request of a cached page
        self._loading_delay = single_shot(self, _LOADING_DELAY_MS, self._show_run_loadable)
        session.opening.connect(self._on_opening)
        session.preparing.connect(self._on_preparing)
        session.failed.connect(self._on_failed)
        session.unreachable.connect(screens.source_bar.set_unreachable)
        session.waiting.connect(self._on_waiting)
        session.catalogue_changed.connect(self._on_catalogue)
        screens.switch.chosen.connect(
            lambda number: self.go_to_list(LISTS[number], takes_focus=False)
        )
        screens.breadcrumb.level_chosen.connect(self.go_to_level)
        screens.deposition.page_requested.connect(self._ask_deposition)
        screens.dataset.page_requested.connect(self._ask_runs)
        for page in (screens.deposition, screens.dataset, *screens.lists):
            page.view.opened.connect(self._on_opened)
        for part in (screens.dataset.header, screens.run):
            part.deposition_requested.connect(
                lambda number: self.go_to_deposition(number, follows=True)
            )

    @property
    def crumbs(self) -> Crumbs:
        """Where you are, and the way back."""
        return self._crumbs

    @property
    def level(self) -> int:
        """The number of steps back to a list; 0 in a list."""
        return len(self._crumbs) - 1

    def go_to_list(self, which: Place | None = None, *, takes_focus: bool = True) -> None:
        """Show a list as it was left, by default the first one of the breadcrumb."""
        self._leave()
        self._arrive((which or self._crumbs[0],))
        if takes_focus:
            self.focus_list()

    def go_to_dataset(self, dataset_id: int, *, follows: bool = False) -> None:
        """Show a dataset as it was left, or the first page of its runs."""
        self._go(Place("dataset", dataset_id), follows=follows)

    def go_to_deposition(self, deposition_id: int, *, follows: bool = False) -> None:
        self._go(Place("deposition", deposition_id), follows=follows)

    def go_to_run(
        self, run_id: int, crumbs: Crumbs = (DATASETS,), *, opens_layers: bool = False
    ) -> None:
        """Show a run after a way to it, with its default layers if that is wanted."""
        self._ask_run(Place("run", run_id), crumbs, opens_layers=opens_layers)

    def show_run(self, page: RunPage) -> None:
        """Show a run whose page was requested elsewhere; the keyboard focus stays where it is."""
        self._leave()
        self._on_run(page, (DATASETS,), takes_focus=False)

    def return_to(self, crumbs: Crumbs) -> None:
        """Show the page where a source was left; the keyboard focus doesn't enter the dock."""
        self._crumbs = crumbs
        has_focus = self._screens.owner.isAncestorOf(QApplication.focusWidget())
        self._go(crumbs[-1], follows=True, takes_focus=has_focus)

    def go_to_page(self, page: Place) -> None:
        """Show the page of a room."""
        self._leave()
        self._arrive(follow_to_page(self._crumbs, page))
        self.focus_list()

    def go_to_level(self, level: int) -> None:
        self._go(self._crumbs[level], follows=True)

    def go_up(self) -> None:
        if self.level:
            self.go_to_level(self.level - 1)

    def focus_list(self) -> None:
        screens, kind = self._screens, self._crumbs[-1].kind
        (screens.run if kind == "run" else screens.page(kind)).focus_list()

    def refetch(self) -> None:
        """Repeat the request of the page if it is shown from the cache."""
        refetch, self._refetch = self._refetch, None
        if refetch is not None:
            refetch()

    # moving

    def _go(self, place: Place, *, follows: bool, takes_focus: bool = True) -> None:
        crumbs = follow(self._crumbs, place) if follows else begin(place)
        if place.kind == "run" and not self._holds_run(place.id):
            self._ask_run(place, crumbs[:-1], takes_focus=takes_focus)
            return
        self._leave()
        screens, session = self._screens, self._session
        if place.kind == "run" and screens.run.page is not None:
            crumbs = follow_to_run(
                crumbs[:-1], Place("dataset", screens.run.page.run.dataset_id), place
            )
        elif place.kind == "dataset" and place.id != screens.dataset.dataset_id:
            row = session.row_of(place.id)
            deposition = session.deposition_row_of(row.deposition_id if row is not None else None)
            screens.dataset.start(place.id, row, deposition)
        elif place.kind == "deposition" and place.id != screens.deposition.deposition_id:
            screens.deposition.start(place.id, session.deposition_row_of(place.id))
        self._arrive(crumbs)
        if takes_focus:
            self.focus_list()

    def _leave(self) -> None:
        self._loading_delay.stop()
        self._session.cancel_run()

    def _arrive(self, crumbs: Crumbs) -> None:
        screens = self._screens
        if crumbs[-1] != self._crumbs[-1]:
            screens.notice.hide()  # it was about the page left now
        self._crumbs = crumbs
        screens.breadcrumb.set_steps([place.label for place in crumbs])
        screens.switch.set_current(LISTS.index(crumbs[0]))
        screens.show_page(crumbs[-1].kind)
        self.moved.emit()

    def _holds_run(self, run_id: int) -> bool:
        page = self._screens.run.page
        return (
            page is not None and page.run.id == run_id and self._screens.run_loadable.shows_content
        )

    # the source

    def _on_opening(self, source: str) -> None:
        """Clear everything of the previous source."""
        screens = self._screens
        self._leave()
        screens.dataset.dataset_id = screens.deposition.deposition_id = screens.run.page = (
            self._refetch
        ) = None
        screens.notice.hide()
        for page in screens.lists:
            page.clear()
        screens.switch.set_counts()
        screens.switch.setEnabled(False)  # the lists are empty
        screens.source_bar.set_source(_source_name(source), source)  # until its own label is known
        screens.source_bar.set_state("opening…" if source == "demo" else "connecting…")
        screens.datasets.loadable.show_loading("Loading datasets…")
        takes_focus = screens.owner.isAncestorOf(
            QApplication.focusWidget()
        )  # not when the last source is reopened
        self._arrive((DATASETS,))
        if takes_focus:
            screens.datasets.view.setFocus()  # even before there are rows

    def _on_preparing(self, fraction: float, message: str) -> None:
        loadable = self._screens.datasets.loadable
        loadable.show_progress(
            f"Preparing the demo… {fraction:.0%}", message, fraction, self._cancel_opening
        )

    def _cancel_opening(self) -> None:
        self._session.close()
        self._screens.source_bar.set_source("", "")
        self._screens.show_start()

    def _on_failed(self, error: CryoETError) -> None:
        screens, session = self._screens, self._session
        if session.catalogue is not None:
            screens.notice.show_error(error, session.retry)
            return
        screens.source_bar.set_state("not opened", is_offline=True, reason=str(error))
        screens.datasets.show_error(error, session.retry)

    def _on_waiting(self, key: str, text: str) -> None:
        screens = self._screens
        loadables = {
            "catalogue": screens.datasets.loadable,
            "runs": screens.dataset.loadable,
            "deposition": screens.deposition.loadable,
            "run": screens.run_loadable,
        }
        if key in loadables:
            loadables[key].message.explain(text)

    def _on_catalogue(self, catalogue: Catalogue) -> None:
        self._screens.switch.setEnabled(True)
        self._show_freshness(catalogue.freshness, self._session.retry)

    def _show_freshness(
        self, freshness: Freshness, refetch: Callable[[], None], place: Place | None = None
    ) -> None:
        """Show a notice if a page comes from the cache, and remove it if it comes from the portal.

        The notice is left out if you are no longer at ``place``.
        """
        self._screens.source_bar.set_freshness(freshness)
        if place not in (None, self._crumbs[-1]):
            return
        self._refetch = refetch if freshness.is_cached else None
        notice = self._screens.notice
        if not freshness.is_cached:
            notice.withdraw(_FROM_CACHE)
        elif not policy().offline:  # for offline mode, the source bar is enough
            text = f"{freshness.reason} Showing cached data ({freshness.text})."
            notice.show_notice(plain(text), "Retry", refetch, topic=_FROM_CACHE)

    # requests

    def _ask_deposition(self, number: int) -> None:
        view = self._screens.deposition

        def ask(portal: Portal, task: Task) -> DepositionPage:
            return portal.deposition_page(number, task=task)

        def show(page: DepositionPage) -> None:
            self._show_freshness(page.freshness, view.restart, Place("deposition", number))
            view.set_page(page, self._session.page_url("deposition", number))

        self._session.ask("deposition", ask, show, view.show_error)

    def _ask_runs(self, number: int, offset: int, name: str) -> None:
        view = self._screens.dataset

        def ask(portal: Portal, task: Task) -> DatasetPage:
            return portal.dataset_page(
                number, offset=offset, limit=_RUNS_A_PAGE, name_contains=name, task=task
            )

        def show(page: DatasetPage) -> None:
            self._show_freshness(page.freshness, view.restart, Place("dataset", number))
            view.add_page(page, self._session.page_url("dataset", number))

        self._session.ask("runs", ask, show, view.show_error)

    def _on_opened(
        self, record: CatalogueRow | DepositionRow | DatasetCount | RunRow | ListedRun
    ) -> None:
        match record:
            case CatalogueRow():
                self.go_to_dataset(record.id)
            case DepositionRow():
                self.go_to_deposition(record.id)
            case RunRow():
                self._open_run(record.dataset_id, Place("run", record.id, record.name))
            case ListedRun():
                self._open_run(record.dataset_id, Place("run", record.run_id, record.run))
            case DatasetCount():
                self.go_to_dataset(record.dataset_id, follows=True)

    def _open_run(self, dataset_id: int, run: Place) -> None:
        crumbs = follow_to_run(self._crumbs, Place("dataset", dataset_id), run)
        self._ask_run(crumbs[-1], crumbs[:-1], opens_layers=True)

    def _ask_run(
        self, run: Place, crumbs: Crumbs, *, opens_layers: bool = False, takes_focus: bool = True
    ) -> None:
        """Request a run; the old screen stays for a moment in case the answer is quick."""
        self._leave()
        self._pending = follow(crumbs, run)
        self._loading_delay.start()

        def retry() -> None:
            self._ask_run(run, crumbs, opens_layers=opens_layers)

        def on_run(page: RunPage) -> None:
            self._on_run(page, crumbs, takes_focus=takes_focus)
            self.run_arrived.emit(page, opens_layers)

        def on_failed(error: CryoETError) -> None:
            self._show_run_loadable()
            self._screens.run_loadable.show_error(error, retry)

        self._session.ask(
            "run", lambda portal, task: portal.run_page(run.id, task=task), on_run, on_failed
        )

    def _on_run(self, page: RunPage, crumbs: Crumbs, *, takes_focus: bool) -> None:
        self._loading_delay.stop()
        run = Place("run", page.run.id, page.run.name)
        self._screens.run.set_page(page, self._session.page_url("run", page.run.id))
        self._screens.run_loadable.show_content()
        self._arrive(follow_to_run(crumbs, Place("dataset", page.run.dataset_id), run))
        self._show_freshness(page.freshness, lambda: self._ask_run(run, crumbs))
        if takes_focus:
            self.focus_list()

    def _show_run_loadable(self) -> None:
        self._loading_delay.stop()
        self._screens.run_loadable.show_loading(
            f"Loading {plain(self._pending[-1].label)}…", at_once=True
        )
        self._arrive(self._pending)


def _source_name(source: str) -> str:
    """The name of a source that hasn't answered yet."""
    location = Location.of(source)
    name = location.text if location.is_remote else location.name
    return {"live": "Live portal", "demo": "Demo"}.get(source, name)
