"""Searching: words and filters narrow the lists, ids and links open a record, and menus act on all matches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from msgspec.structs import replace
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QInputDialog, QWidget

from napari_cryoet._qt.browser.navigation import Navigator, Screens
from napari_cryoet._qt.browser.record_pages import add_citation_items
from napari_cryoet._qt.browser.session import Session
from napari_cryoet._qt.rooms import opener_of
from napari_cryoet._qt.widgets.controls import (
    add_item,
    add_menu,
    copy_text,
    drop_menu,
    not_none,
    passing_menu,
)
from napari_cryoet._qt.widgets.messages import Action
from napari_cryoet.appearance.objects import is_object_id
from napari_cryoet.discovery.advice import Advice
from napari_cryoet.discovery.as_python import client_script, own_script
from napari_cryoet.discovery.index import Index
from napari_cryoet.discovery.search import Search, chips, search_from
from napari_cryoet.exceptions import CryoETError, FormatError
from napari_cryoet.pages.breadcrumbs import DEPOSITIONS, RUNS
from napari_cryoet.pages.lists import Answer, Question
from napari_cryoet.portal.citation import Citation, citation_of
from napari_cryoet.portal.links import Jump, parse_jump
from napari_cryoet.portal.pages import CatalogueRow, DepositionRow, LookupHit
from napari_cryoet.settings import NamedSearch, Settings
from napari_cryoet.wording import count_text, day_text, joined

_MAX_SEARCH: Final = 500  # characters
_NOT_FOUND: Final = "not found"  # topic of notices
_READING: Final = "Reading the portal's metadata…"


class Finder(QObject):
    """Applies search text, filters and saved searches to the lists."""

    searched = Signal()  # another search began

    def __init__(
        self,
        screens: Screens,
        session: Session,
        navigator: Navigator,
        memory: Settings,
        parent: QObject | None = None,
        *,
        follow_link: Callable[[str], Jump | None],
    ) -> None:
        super().__init__(parent)
        self._screens = screens
        self._session = session
        self._navigator = navigator
        self._memory = memory
        self._follow_link = follow_link
        self._search = Search()
        self._wants_another = False  # show facets of one more annotation than the search has
        self._answer = Answer(Search())
        search, bar, panel = screens.search, screens.filter_bar, screens.facets
        session.opening.connect(self._on_opening)
        session.catalogue_changed.connect(lambda _catalogue: self._find())
        session.index_said.connect(self._on_reading)
        session.index_read.connect(self._on_index)
        session.index_failed.connect(self._on_unread)
        search.textChanged.connect(lambda _text: screens.notice.withdraw(_NOT_FOUND))
        search.settled.connect(self._on_settled)
        search.entered.connect(self._on_entered)
        search.left_downwards.connect(navigator.focus_list)
        bar.filters.toggled.connect(self._on_filters)
        bar.search_changed.connect(self.set_search)
        panel.search_changed.connect(self.set_search)
        panel.more_requested.connect(self._add_condition)
        screens.runs.rest_requested.connect(lambda: session.list_all_runs(self._answer, self._show))
        screens.switch.chosen.connect(lambda _number: self._find())
        for page in screens.lists:
            page.view.left_upwards.connect(screens.focus_search)
            page.menu_requested.connect(self._drop_menu)

    @property
    def answer(self) -> Answer:
        """The results now listed."""
        return self._answer

    @property
    def search(self) -> Search:
        return self._search

    def set_search(self, search: Search) -> None:
        """Start another search, and show it in the search box and the filters."""
        self._search, self._wants_another = search, False
        if search.text != self._screens.search.text().strip():
            self._screens.search.set_quietly(search.text)
        self._screens.filter_bar.show_search(search)
        self._find()
        self.searched.emit()

    def jump(self, jump: Jump) -> None:
        self._screens.notice.withdraw(_NOT_FOUND)
        is_listed = self._session.row_of(jump.id) is not None
        if jump.kind == "run":
            self._navigator.go_to_run(jump.id)
        elif jump.kind == "dataset" or (jump.kind is None and is_listed):
            self._navigator.go_to_dataset(jump.id)
        elif jump.kind == "deposition":
            self._navigator.go_to_deposition(jump.id)
        else:
            self._session.ask(
                "lookup",
                lambda portal, task: portal.lookup(jump.id, task=task),
                partial(self._on_hits, jump),
                self._on_failed,
            )

    # typing

    def _on_settled(self, text: str) -> None:
        if self._navigator.level:
            self._navigator.go_to_list(takes_focus=False)
        is_record = "/" in text and parse_jump(text) is not None  # else an id, which Enter opens
        is_link = is_record or opener_of(text) is not None
        self._search = replace(self._search, text="" if is_link else text[:_MAX_SEARCH])
        self._screens.filter_bar.show_search(self._search)
        self._find()
        self.searched.emit()
        if is_link:
            self._open_link(text)

    def _open_link(self, text: str) -> None:
        try:
            record = self._follow_link(text)
        except FormatError as error:
            self._on_failed(error)
            return
        if record is None:
            self._screens.search.set_quietly("")
        else:
            self.jump(record)

    def _on_entered(self, text: str) -> None:
        jump = parse_jump(text)
        if jump is not None:
            self.jump(jump)
        elif text:
            self._navigator.focus_list()

    def _on_hits(self, jump: Jump, hits: tuple[LookupHit, ...]) -> None:
        wanted = (hit for hit in hits if jump.kind in (None, hit.kind))
        targets = [(hit, target) for hit in wanted if (target := _target_of(hit)) is not None]
        if not targets:
            self._on_failed(
                CryoETError(f"This source has no {jump.kind or 'record'} with the id {jump.id}.")
            )
        elif len(targets) == 1:
            self.jump(targets[0][1])
        else:
            menu = passing_menu(self._screens.search)
            for hit, target in targets:
                add_item(
                    menu, f"{hit.kind} {hit.id}: {hit.title or ''}", partial(self.jump, target)
                )
            drop_menu(menu, self._screens.search)

    def _on_failed(self, error: CryoETError) -> None:
        self._screens.notice.show_error(error, topic=_NOT_FOUND)

    # searching

    def _find(self) -> None:
        screens, session, is_open = (
            self._screens,
            self._session,
            self._screens.filter_bar.filters.isChecked(),
        )
        lists_runs = screens.switch.current is RUNS
        if (
            session.index is None
            and session.catalogue is not None
            and (is_open or lists_runs or chips(self._search))
        ):
            session.read_index()
        n_sets = max(1, len(self._search.annotations) + self._wants_another) if is_open else 0
        session.search(
            Question(self._search, "runs" if lists_runs else "datasets", n_sets), self._show
        )

    def _show(self, answer: Answer) -> None:
        catalogue = not_none(self._session.catalogue)
        index, screens = self._session.index, self._screens
        self._answer, search, matches = answer, answer.search, answer.matches
        if not answer.datasets and any(map(is_object_id, search.text.split())):
            self._session.read_index()  # the catalogue has no ids of objects, and no runs
        n_runs = len(matches.run_ids) if matches is not None else None
        n_datasets, n_depositions = len(answer.datasets), len(answer.depositions)
        counts = (n_datasets, n_runs, n_depositions)
        screens.switch.set_counts(*([counts] if search != Search() else []))
        actions = self._actions(answer.advice)
        screens.datasets.show_results(
            answer.datasets, n_datasets, len(catalogue.rows), answer, actions
        )
        screens.depositions.show_results(
            answer.depositions, n_depositions, len(catalogue.depositions), answer, actions
        )
        if index is not None:
            if screens.switch.current is RUNS:
                screens.runs.show_results(
                    answer.runs, n_runs or 0, index.count("runs"), answer, actions
                )
            if answer.facets:
                screens.facets.show_facets(search, answer.facets)

    def _actions(self, advice: Advice) -> list[Action]:
        """Two ways out of a search that finds nothing, the most promising first."""
        changes: list[tuple[str, Search]] = []
        if advice.together is not None:
            changes.append(("Both annotations in one run", advice.together))
        if advice.to_drop is not None:
            changes.append((f"Remove “{advice.to_drop.text}”", advice.to_drop.without))
        changes.append(("Clear the search", Search()))
        return [Action(text, partial(self.set_search, search)) for text, search in changes[:2]]

    def _add_condition(self) -> None:
        self._wants_another = True
        self._find()

    # the index

    def _on_opening(self, _source: str) -> None:
        self._screens.search.set_quietly("")
        self._screens.filter_bar.filters.setChecked(False)
        self._answer = Answer(Search())
        self.set_search(Search())

    def _on_filters(self, is_open: bool) -> None:
        self._screens.facets.setVisible(is_open)
        self._find()
        if is_open:
            self._screens.facets.loadable.take_focus()

    def _on_reading(self, fraction: float, message: str) -> None:
        if (index := self._session.index) is not None:
            text = f"The metadata is of {day_text(index.as_of)}. Reading it again: {fraction:.0%}"
            stop = self._session.stop_index
            self._screens.notice.show_notice(text, "Stop", stop, is_news=True, topic=_READING)
            return
        for page in (self._screens.facets, self._screens.runs):
            page.loadable.show_progress(_READING, message, fraction, self._stop_reading)

    def _stop_reading(self) -> None:
        self._session.stop_index()
        self._on_unread(
            CryoETError(
                "The portal's metadata wasn't read.", hint="Filters and the list of runs need it."
            )
        )

    def _on_index(self, index: Index) -> None:
        self._screens.notice.withdraw(_READING)
        if index.reason:
            self._screens.notice.show_notice(
                f"{index.reason} Searching the metadata of {day_text(index.as_of)}."
            )
        self._find()

    def _on_unread(self, error: CryoETError) -> None:
        if self._session.index is not None:  # a refresh failed: keep searching the old index
            self._screens.notice.show_error(error)
            self._find()
            return
        for page in (self._screens.facets, self._screens.runs):
            page.loadable.show_error(error, self._session.read_index)

    # the menu of a list

    def _drop_menu(self, button: QWidget) -> None:
        menu, index, search = passing_menu(button), self._session.index, self._search
        add_item(menu, "Save this search…", self._save).setEnabled(search != Search())
        if self._memory.searches:
            saved_menu = add_menu(menu, "Saved searches")
            for saved in self._memory.searches:
                add_item(saved_menu, saved.name, partial(self._use_saved, saved))
            saved_menu.addSeparator()
            for saved in self._memory.searches:
                add_item(saved_menu, f"Delete “{saved.name}”", partial(self._delete, saved))
        if index is not None:
            scripts = add_menu(menu, "Copy as Python")
            add_item(
                scripts, "For napari-cryoet", lambda: copy_text(own_script(search, index.source))
            )
            add_item(
                scripts, "For the official client", lambda: copy_text(client_script(index, search))
            )
        lists_depositions = self._screens.switch.current is DEPOSITIONS
        if records := self._answer.depositions if lists_depositions else self._answer.datasets:
            count = count_text(len(records), "deposition" if lists_depositions else "dataset")
            add_citation_items(
                add_menu(menu, f"Copy citation of {count}"), partial(self._citations, records)
            )
        if index is not None and index.source.kind in {"live", "url"}:
            menu.addSeparator()
            reload = partial(self._session.read_index, refresh=True)
            add_item(menu, f"Reload the portal's metadata (of {day_text(index.as_of)})", reload)
        drop_menu(menu, button)

    def _citations(self, records: Sequence[CatalogueRow | DepositionRow]) -> list[Citation]:
        kind = "dataset" if isinstance(records[0], CatalogueRow) else "deposition"
        return [citation_of(record, self._session.page_url(kind, record.id)) for record in records]

    def _save(self) -> None:
        suggestion = joined(self._search.text, *(chip.text for chip in chips(self._search)))
        title, label = "Save this search", "Name of the search"
        name, is_accepted = QInputDialog.getText(self._screens.owner, title, label, text=suggestion)
        if is_accepted:
            others = [saved for saved in self._memory.searches if saved.name != name]
            self._memory.searches = (*others, NamedSearch(name, self._search.to_dict()))

    def _use_saved(self, saved: NamedSearch) -> None:
        try:
            self.set_search(search_from(saved.search))
        except FormatError as error:
            self._screens.notice.show_error(error)

    def _delete(self, saved: NamedSearch) -> None:
        self._memory.searches = tuple(other for other in self._memory.searches if other != saved)


def _target_of(hit: LookupHit) -> Jump | None:
    """The page that shows a record: its own or its run's, or None if it has neither."""
    if hit.kind in {"dataset", "run", "deposition"}:
        return Jump(hit.kind, hit.id)
    return None if hit.run_id is None else Jump("run", hit.run_id)
