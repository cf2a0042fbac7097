"""The pages of a dataset and of a deposition: a header, and the list of its contents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QMenu,
    QPlainTextEdit,
    QSizePolicy,
    QWidget,
)

from napari_cryoet._qt.browser.source_bar import SearchBox
from napari_cryoet._qt.widgets.controls import (
    ElidedLabel,
    add_item,
    add_menu,
    column_in,
    copy_text,
    not_none,
    open_in_browser,
    plain_label,
    plain_tooltip,
    row_of,
    tool_button,
)
from napari_cryoet._qt.widgets.messages import Action
from napari_cryoet._qt.widgets.record_view import ListPage
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet._qt.widgets.thumbnails import Thumbnails
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.locations import is_web_address
from napari_cryoet.pages.about import (
    About,
    about_dataset,
    about_deposition,
    about_listed_dataset,
    about_listed_deposition,
)
from napari_cryoet.pages.lists import holdings, run_row
from napari_cryoet.pages.rows import RecordRow, RowKind
from napari_cryoet.portal.citation import Citation, Style, citation_of, cite
from napari_cryoet.portal.links import database_links, publication_links
from napari_cryoet.portal.pages import (
    CatalogueRow,
    DatasetPage,
    DepositionPage,
    DepositionRow,
    RunRow,
)
from napari_cryoet.wording import (
    count_text,
    names_text,
    plain,
)

FOLDED_LINES, ROOMY_PX = (
    3,
    500,
)  # lines of a folded description, and the page height from which it is shown


class RecordHeader(QWidget):
    """Shows an `About`, which may first hold only what the list knew.

    ``noun`` names the kind of record.
    """

    deposition_requested = Signal(int)  # its id

    def __init__(self, noun: str) -> None:
        super().__init__()
        self._noun = noun
        self._about = About("")
        self.cited: CatalogueRow | DepositionRow | None = None  #: The record to cite.
        self.title = plain_label(name="pageTitle")
        self.authors, self.facts, self.counts = (ElidedLabel(name="dimText") for _ in range(3))
        self.links = tool_button(
            "Links ▾", f"Links of this {noun}: deposition, papers, databases, portal page"
        )
        self.links.setMenu(QMenu(self.links))
        self.details = tool_button("Details", f"All details of this {noun}")
        self.details.setCheckable(True)
        self.description = QPlainTextEdit()
        self.description.setReadOnly(True)
        self.description.setTabChangesFocus(True)
        self.description.setFrameShape(QFrame.Shape.NoFrame)
        self.description.setAccessibleName(f"Description of the {noun}")
        people = row_of(self.authors, self.links, self.details)
        parts = (self.title, people, self.facts, self.counts, self.description)
        column_in(self, *parts, margins=(0, 0, 0, 0), spacing=3)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.details.toggled.connect(self._show_description)
        self.show_about(About("…"))

    def show_about(self, about: About) -> None:
        """Show a record; if it is unchanged, open details stay open."""
        if about == self._about:
            return
        self._about = about
        self.title.setText(plain(about.title))
        self.authors.setText(names_text([plain(name) for name in about.authors]))
        self.authors.setToolTip(plain_tooltip(", ".join(about.authors)))
        self.facts.setText(about.facts)
        self.counts.setText(about.counts)
        self.counts.setVisible(bool(about.counts))
        self.details.setChecked(False)
        self.details.setVisible(bool(about.details))
        self._show_description()
        self._fill_menu()

    def fit_description(self) -> None:
        """Give an open description a third of the page; show a folded one only on high pages."""
        page, is_open = self.parentWidget(), self.details.isChecked()
        page_px, line_px = (
            page.height() if page is not None else 0,
            self.description.fontMetrics().lineSpacing(),
        )
        self.description.setVisible(
            is_open or (bool(self._about.description) and page_px > ROOMY_PX)
        )
        self.description.setFixedHeight(page_px // 3 if is_open else FOLDED_LINES * line_px + 8)

    def _show_description(self) -> None:
        about, is_open = self._about, self.details.isChecked()
        self.description.setPlainText(
            f"{about.description}\n\n{about.details}" if is_open else about.description
        )
        self.fit_description()

    def _fill_menu(self) -> None:
        """Fill the menu with the links that exist; hide the button if there are none."""
        menu, about, deposition = not_none(self.links.menu()), self._about, self._about.deposition
        menu.clear()
        if deposition is not None:
            text = f"Deposition CZCDP-{deposition.id} · {deposition.title}"
            add_item(menu, text, partial(self.deposition_requested.emit, deposition.id))
        if is_web_address(about.portal_page):
            add_item(
                menu,
                f"This {self._noun} on the portal",
                partial(open_in_browser, about.portal_page),
            )
        for link in (*publication_links(about.publications), *database_links(about.entries)):
            add_item(menu, link.text, partial(open_in_browser, link.url))
        if (cited := self.cited) is not None:
            add_citation_items(
                add_menu(menu, "Copy citation"), lambda: [citation_of(cited, about.portal_page)]
            )
        self.links.setVisible(not menu.isEmpty())


def add_citation_items(menu: QMenu, cited: Callable[[], Sequence[Citation]]) -> None:
    """Add menu items that copy citations in each style."""
    styles: tuple[tuple[str, Style], ...] = (
        ("As text", "plain"),
        ("BibTeX", "bibtex"),
        ("RIS", "ris"),
    )
    for name, style in styles:
        add_item(menu, name, lambda style=style: copy_text(cite(cited(), style)))  # type: ignore[misc]


class RecordPage(ListPage):
    """A header above a list, which a message may replace."""

    def __init__(
        self,
        theme: Theme,
        thumbnails: Thumbnails,
        noun: str,
        list_name: str,
        *,
        uniform: bool,
    ) -> None:
        super().__init__(theme, thumbnails, list_name, uniform=uniform)
        self.header = RecordHeader(noun)
        self.column.insertWidget(0, self.header)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        self.header.fit_description()


class DatasetView(RecordPage):
    """Requests pages of runs; the answer goes to `add_page` or `show_error`."""

    page_requested = Signal(int, int, str)  # dataset id, offset, text that run names must contain

    def __init__(self, theme: Theme, thumbnails: Thumbnails) -> None:
        super().__init__(theme, thumbnails, "dataset", "Runs", uniform=True)
        self.dataset_id: int | None = None
        self.runs: list[RunRow] = []
        self.filter = SearchBox(theme, "filter runs by name", "Filter the runs by name")
        self.filter.settled.connect(lambda _text: self.restart())
        self.filter.left_downwards.connect(self.focus_list)
        self.count = ElidedLabel(name="dimText")
        self.count.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.model.more_requested.connect(self._on_more)
        self.view.left_upwards.connect(
            lambda: self.filter.setFocus(Qt.FocusReason.BacktabFocusReason)
        )
        row = QHBoxLayout()
        row.addWidget(self.filter, 3)
        row.addWidget(self.count, 2)
        self.column.insertLayout(1, row)

    def start(
        self, dataset_id: int, row: CatalogueRow | None, deposition: DepositionRow | None = None
    ) -> None:
        """Show what the catalogue knows about a dataset, and request its first page."""
        self.dataset_id, self.header.cited = dataset_id, row
        self.header.show_about(about_listed_dataset(dataset_id, row, deposition))
        self.model.set_rows([])
        self.count.setText("")
        self.filter.set_quietly("")
        self.restart()

    def restart(self) -> None:
        """Request the first page again; the runs so far stay until it arrives or is late."""
        self.runs = []
        self.loadable.show_loading("Loading runs…")
        self.page_requested.emit(self.dataset_id, 0, self.filter.text().strip())

    def add_page(self, page: DatasetPage, portal_page: str) -> None:
        if page.offset == 0:
            self.header.show_about(about_dataset(page.dataset, portal_page))
        self.runs += page.runs
        loaded, total = len(self.runs), page.run_total
        rows = [run_row(run) for run in page.runs]
        if page.runs and not page.is_last:
            rows.append(
                RecordRow(None, f"Loading more… {loaded:,} of {total:,}", kind=RowKind.MESSAGE)
            )
        (self.model.append_rows if page.offset else self.model.set_rows)(rows)
        self.count.setText(
            count_text(total, "run") if loaded >= total else f"{loaded:,} of {total:,} runs"
        )
        if total:
            self.loadable.show_content()
        elif self.filter.text():
            clear = Action("Clear the filter", self._clear_filter)
            self.loadable.show_message(
                f"No run's name contains “{self.filter.text().strip()}”.", "", [clear]
            )
        else:
            self.loadable.show_message("This dataset has no runs yet.")

    def show_error(self, error: CryoETError) -> None:
        """Show why runs are missing: in the last row, or in place of the list if it is empty."""
        if self.runs:
            self.model.append_rows(
                [
                    RecordRow(
                        None, f"{error.message} Press Enter to try again.", kind=RowKind.FAILURE
                    )
                ]
            )
        else:
            self.count.setText("")
            self.loadable.show_error(error, self.restart)

    def _on_more(self) -> None:
        self.model.append_rows(
            [RecordRow(None, "Loading more…", kind=RowKind.MESSAGE)], is_asked=True
        )  # also after a failure
        self.page_requested.emit(self.dataset_id, len(self.runs), self.filter.text().strip())

    def _clear_filter(self) -> None:
        self.filter.set_quietly("")
        self.restart()


class DepositionView(RecordPage):
    """Requests a deposition's page; the answer goes to `set_page` or `show_error`."""

    page_requested = Signal(int)  # its id

    def __init__(self, theme: Theme, thumbnails: Thumbnails) -> None:
        super().__init__(
            theme, thumbnails, "deposition", "Datasets of the deposition", uniform=False
        )
        self.deposition_id: int | None = None
        self.view.left_upwards.connect(
            lambda: self.header.details.setFocus(Qt.FocusReason.BacktabFocusReason)
        )

    def start(self, deposition_id: int, row: DepositionRow | None) -> None:
        """Show what the catalogue knows about a deposition, and request its page."""
        self.deposition_id, self.header.cited = deposition_id, row
        self.header.show_about(about_listed_deposition(deposition_id, row))
        self.model.set_rows([])
        self.restart()

    def restart(self) -> None:
        self.loadable.show_loading("Loading the deposition…")
        self.page_requested.emit(self.deposition_id)

    def set_page(self, page: DepositionPage, portal_page: str) -> None:
        """Show a deposition; ``portal_page`` is its URL on the portal, or empty."""
        self.header.show_about(about_deposition(page, portal_page))
        self.model.set_rows(holdings(page))
        if page.datasets:
            self.loadable.show_content()
        else:
            self.loadable.show_message("This deposition has no data yet.")

    def show_error(self, error: CryoETError) -> None:
        self.loadable.show_error(error, self.restart)
