"""What typing into the search field does: words narrow the lists, ids and links lead to their record."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QObject, QPoint
from qtpy.QtWidgets import QMenu

from napari_cryoet._qt.browser.navigation import DATASETS, DEPOSITIONS, Navigator, Place, Screens
from napari_cryoet._qt.browser.session import Found, Session
from napari_cryoet._qt.widgets.message_panel import Action
from napari_cryoet.portal.links import Jump, parse_jump
from napari_cryoet.portal.pages import LookupHit
from napari_cryoet.wording import count_text, plain

HIT_LETTERS = 100


class Finder(QObject):
    """Connects the search field with the catalogue and the navigator."""

    def __init__(self, screens: Screens, session: Session, navigator: Navigator, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._screens = screens
        self._session = session
        self._navigator = navigator
        self._complaint = ""  # about an id that nobody knows
        session.opening.connect(lambda _source: screens.search.clear_quietly())
        session.catalogue_changed.connect(lambda _catalogue: self._search())
        screens.search.settled.connect(self._on_settled)
        screens.search.entered.connect(self._on_entered)
        screens.search.pasted.connect(self._on_pasted)
        screens.search.left_downwards.connect(navigator.focus_list)
        for each in (screens.datasets, screens.depositions):
            each.left_upwards.connect(screens.focus_search)
            each.search_cleared.connect(self.clear)

    def clear(self) -> None:
        """List everything again."""
        self._screens.search.clear_quietly()
        self._search()
        self._screens.focus_search()

    def jump(self, jump: Jump) -> None:
        """Go to the record that was named."""
        if self._complaint and self._screens.notice.text == self._complaint:
            self._screens.notice.hide()
        is_listed = self._navigator.row_of(jump.id) is not None
        if jump.kind == "run":
            self._navigator.go_to_run(jump.id)
        elif jump.kind == "dataset" or (jump.kind is None and is_listed):
            self._navigator.go_to_dataset(jump.id)
        elif jump.kind == "deposition":
            self._navigator.go_to_deposition(jump.id)
        else:
            self._session.look_up(jump, partial(self._on_hits, jump), self._screens.notice.show_error)

    def _on_settled(self, _text: str) -> None:
        if self._navigator.level:
            self._navigator.go_to_list(takes_focus=False)
        self._search()

    def _on_entered(self, text: str) -> None:
        jump = parse_jump(text)
        if jump is not None:
            self.jump(jump)
        elif text:
            self._navigator.focus_list()

    def _on_pasted(self, text: str) -> None:
        if is_link(text):
            self._on_entered(text)

    def _search(self) -> None:
        text = self._screens.search.text().strip()
        if is_link(text):
            text = ""  # it leads somewhere; no title has it in it
        self._session.search(text, partial(self._show_found, text))

    def _show_found(self, text: str, found: Found) -> None:
        catalogue = self._session.catalogue
        if catalogue is None:
            return
        datasets, depositions = found
        there = self._offer_jump(text)
        self._screens.switch.set_found((len(datasets), len(depositions)) if text else None)
        self._screens.datasets.set_rows(
            datasets, len(catalogue.rows), text, elsewhere=there or self._offer_list(DEPOSITIONS, len(depositions))
        )
        self._screens.depositions.set_rows(
            depositions, len(catalogue.depositions), text, elsewhere=there or self._offer_list(DATASETS, len(datasets))
        )

    def _offer_list(self, which: Place, count: int) -> Action | None:
        """A button to the other list, if there is something in it."""
        if not count:
            return None
        noun = which.kind.removesuffix("s")
        return Action(f"Show {count_text(count, noun)}", lambda: self._navigator.go_to_list(which))

    def _offer_jump(self, text: str) -> Action | None:
        """A button to the record that an id names, as Enter leads to it."""
        jump = parse_jump(text)
        return None if jump is None else Action(f"Go to {jump.kind or 'id'} {jump.id}", partial(self.jump, jump))

    def _on_hits(self, jump: Jump, hits: tuple[LookupHit, ...]) -> None:
        leads = [(hit, lead) for hit in hits if (lead := lead_of(hit)) is not None]
        if not leads:
            self._complaint = f"This source has no {jump.kind or 'record'} with the id {jump.id}."
            self._screens.notice.show_notice(self._complaint)
        elif len(leads) == 1:
            self.jump(leads[0][1])
        else:
            self._offer(leads)

    def _offer(self, leads: list[tuple[LookupHit, Jump]]) -> None:
        """Let the person choose, since ids of different kinds overlap."""
        menu = QMenu(self._screens.search)
        menu.aboutToHide.connect(menu.deleteLater)
        for hit, lead in leads:
            text = plain(f"{hit.kind} {hit.id}: {hit.title or ''}")[:HIT_LETTERS].replace("&", "&&")
            action = menu.addAction(text)
            if action is not None:
                action.triggered.connect(partial(self._on_offered, lead))
        menu.popup(self._screens.search.mapToGlobal(QPoint(0, self._screens.search.height())))

    def _on_offered(self, lead: Jump, _checked: bool = False) -> None:
        self.jump(lead)


def is_link(text: str) -> bool:
    """Whether a text is a link to a record: a word that no title has in it."""
    return "/" in text and parse_jump(text) is not None


def lead_of(hit: LookupHit) -> Jump | None:
    """The screen that shows a record: its own, or its run's; None where it belongs to no run."""
    if hit.kind in {"dataset", "run", "deposition"}:
        return Jump(hit.kind, hit.id)
    return None if hit.run_id is None else Jump("run", hit.run_id)
