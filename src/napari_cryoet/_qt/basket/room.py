"""The basket in the portal's dock: ticks in the lists, the strip below them, and the basket's page."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QCheckBox, QPushButton, QSizePolicy, QToolButton

from napari_cryoet._qt.basket.state import BasketState
from napari_cryoet._qt.browser.run_page import RunView
from napari_cryoet._qt.widgets.controls import (
    add_item,
    add_title,
    drop_menu,
    explain,
    not_none,
    passing_menu,
)
from napari_cryoet._qt.widgets.dock import Dock
from napari_cryoet.discovery.matches import ListKind, Matches
from napari_cryoet.pages.basket import Entry
from napari_cryoet.pages.breadcrumbs import Place
from napari_cryoet.pages.rows import TickState
from napari_cryoet.wording import count_text

if TYPE_CHECKING:
    from napari_cryoet._qt.basket.page import BasketPage
    from napari_cryoet._qt.browser.dock import PortalBrowser

BASKET: Final = Place("basket")
#: Kinds of matching records that the menu adds to the basket, one entry each.
_ADDS: Final[tuple[tuple[ListKind, ...], ...]] = (
    ("annotations",),
    ("annotations", "tomograms"),
    ("tomograms",),
    ("runs",),
)
_NOTES: Final = {"tomograms": " (one per run)", "runs": " with everything"}


def add_basket(browser: PortalBrowser) -> None:
    """Add the basket to a dock whose first source was opened."""
    BasketRoom(browser)


def basket_of(dock: Dock) -> BasketState:
    """The basket of a portal's dock whose first source was opened."""
    state: BasketState = dock.findChild(BasketState)
    return state


class BasketRoom(QObject):
    """Adds the basket of the open source to the dock."""

    def __init__(self, browser: PortalBrowser) -> None:
        super().__init__(browser)
        self._browser = browser
        self._state = BasketState(browser.tasks, browser.memory.download_folder, self)
        screens = browser.screens
        strip = BasketStrip(self._state)
        strip.clicked.connect(self._go_to_basket)
        screens.add_page(BASKET.kind, self._make_page, strip)
        screens.run.add_to_heading(WholeRun(screens.run, self._state))
        browser.add_key("B", self._go_to_basket)
        self._add_ticks()
        for page, noun in ((screens.datasets, "dataset"), (screens.runs, "run")):
            button = page.add_button("Add all matches ▾", f"Add all listed {noun}s to the basket")
            button.clicked.connect(partial(self._drop_additions, button))
        self._state.refused.connect(screens.notice.show_notice)
        self._state.failed.connect(screens.notice.show_error)
        browser.session.opening.connect(self._state.close)
        browser.session.opened.connect(self._open)
        browser.at_close(self._state.close)
        self._open()

    def _open(self, _source: object = None) -> None:
        self._state.open(self._browser.session.portal)

    def _go_to_basket(self) -> None:
        if self._browser.session.source is not None:
            self._browser.navigator.go_to_page(BASKET)

    def _make_page(self) -> BasketPage:
        from napari_cryoet._qt.basket.page import BasketPage  # here, as it brings downloads

        page = BasketPage(self._browser, self._state)
        page.view.opened.connect(self._open_entry)
        return page

    def _add_ticks(self) -> None:
        screens = self._browser.screens
        for page in (screens.datasets, screens.runs, screens.dataset, screens.deposition):
            page.add_ticks(self._state.column)
        run = screens.run
        for model in (run.tomogram_model, run.annotations, run.tilt_series_model):
            model.add_tick_column(self._state.column)

    def _open_entry(self, entry: Entry) -> None:
        navigator = self._browser.navigator
        if entry.run_id is not None:
            navigator.go_to_run(entry.run_id, (navigator.crumbs[0], BASKET), opens_layers=True)
        elif entry.dataset_id is not None:
            navigator.go_to_dataset(entry.dataset_id, follows=True)

    def _drop_additions(self, button: QToolButton) -> None:
        """Open a menu that puts the matches into the basket, with their counts."""
        matches = not_none(self._browser.finder.answer.matches)
        menu = passing_menu(button)
        add_title(menu, "Add to the basket")
        for kinds in _ADDS:
            counts = {kind: len(matches.ids(kind)) for kind in kinds}
            counts_text = " and ".join(
                count_text(n, kind[:-1]) + _NOTES.get(kind, "") for kind, n in counts.items()
            )
            add = add_item(menu, counts_text, partial(self._add, matches, kinds, counts_text))
            add.setEnabled(all(counts.values()))
        drop_menu(menu, button)

    def _add(self, matches: Matches, kinds: tuple[ListKind, ...], counts_text: str) -> None:
        self._state.change(lambda basket: basket.add(matches, *kinds), is_slow=True)
        notice = self._browser.screens.notice
        notice.show_notice(f"Added {counts_text} to the basket.", is_news=True)


class BasketStrip(QPushButton):
    """The button ``Basket: 3 runs · 12 files · 412 MB ▸`` below each page, which opens the basket."""

    def __init__(self, basket: BasketState) -> None:
        super().__init__()
        self.setObjectName("basketStrip")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._basket = basket
        basket.changed.connect(self._update)
        self._update()

    def _update(self) -> None:
        contents = self._basket.ticks.text
        text = f"Basket: {contents}" if contents else "The basket is empty"
        self.setText(f"{text} ▸")
        explain(self, f"{text}. Open the basket (B)")


class WholeRun(QCheckBox):
    """Adds all files of the shown run to the basket."""

    def __init__(self, run: RunView, basket: BasketState) -> None:
        super().__init__("Whole run")
        self._run = run
        self._basket = basket
        explain(
            self,
            "Add all files of this run to the basket, including frames, tilt series and alignments",
        )
        self.clicked.connect(self._on_clicked)
        basket.changed.connect(self._update)
        run.page_shown.connect(self._update)

    def _update(self, _page: object = None) -> None:
        page = self._run.page
        tick = None if page is None else self._basket.tick_of(page.run)
        if tick is not None:
            self.setChecked(tick.state is TickState.ON)

    def _on_clicked(self) -> None:
        if self._run.page is not None:
            self._basket.toggle(self._run.page.run)
        self._update()
