"""The lists of datasets, runs and depositions: sorted search results, and suggestions if there are none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QTabBar, QToolButton

from napari_cryoet._qt.widgets.controls import ElidedLabel, explain, not_none, tool_button
from napari_cryoet._qt.widgets.messages import Action
from napari_cryoet._qt.widgets.record_view import ListPage
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet._qt.widgets.thumbnails import Thumbnails
from napari_cryoet.discovery.matches import ListedRun
from napari_cryoet.discovery.search import Search
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.pages.breadcrumbs import LISTS, Place
from napari_cryoet.pages.lists import Answer, nothing_found, remark_text
from napari_cryoet.pages.rows import RecordRow, RowKind
from napari_cryoet.portal.pages import CatalogueRow, DepositionRow
from napari_cryoet.wording import count_text

R = TypeVar("R", CatalogueRow, DepositionRow, ListedRun)

ROWS_AT_ONCE: Final = 100  # scrolling adds more: there can be 25,000 runs
_ORDER_CHARS: Final = 9


class CataloguePage(ListPage, Generic[R]):
    """A list of records named by ``noun``; ``row_of`` turns a record of an answer into a row."""

    menu_requested = Signal(object)  # the button to show the menu below
    rest_requested = Signal()  # more results are needed than were passed

    def __init__(
        self,
        theme: Theme,
        thumbnails: Thumbnails,
        noun: str,
        orders: Mapping[str, Callable[[R], Any]],
        row_of: Callable[[R, Answer], RecordRow],
    ) -> None:
        super().__init__(theme, thumbnails, f"{noun.capitalize()}s")
        self._noun = noun
        self._orders: Mapping[str, Callable[[R], Any]] = orders
        self._row_of: Callable[[R, Answer], RecordRow] = row_of
        self._answer = Answer(Search())
        self._results: Sequence[R] = ()
        self._n_results = 0  # all results, of which `_results` may be only the first
        self._pending: list[R] = []  # results without rows so far
        self._is_listed = True  # False while hidden with outdated rows
        self.count = ElidedLabel(name="dimText")
        self.menu_button = tool_button("⋯", f"Actions for all listed {noun}s")
        self.menu_button.clicked.connect(lambda: self.menu_requested.emit(self.menu_button))
        self.sort = QComboBox()
        self.sort.addItems(list(orders))
        self.sort.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.sort.setMinimumContentsLength(_ORDER_CHARS)
        view = not_none(self.sort.view())
        view.setMinimumWidth(view.sizeHintForColumn(0) + 2 * _ORDER_CHARS)
        explain(self.sort, f"Sort the {noun}s")
        self.sort.currentTextChanged.connect(lambda _name: self._list())
        self.model.more_requested.connect(self._list_more)
        self.remark = ElidedLabel(name="dimText")
        self._buttons: list[QToolButton] = []
        top = QHBoxLayout()
        self._below = QHBoxLayout()
        top.addWidget(self.count, 1)
        top.addWidget(self.menu_button)
        top.addWidget(self.sort)
        self._below.addWidget(self.remark, 1)
        self.column.insertLayout(0, top)
        self.column.insertLayout(1, self._below)

    def add_button(self, text: str, purpose: str) -> QToolButton:
        """Add a button beside the remark, which is enabled while there are matches."""
        button = tool_button(text, purpose)
        button.setEnabled(False)
        self._buttons.append(button)
        self._below.addWidget(button)
        return button

    def show_results(
        self,
        results: Sequence[R],
        n_results: int,
        total: int,
        answer: Answer,
        actions: Sequence[Action],
    ) -> None:
        """List the results of a search, or the first of them.

        If there are none, offer ``actions``.
        """
        has_same_start = (
            0 < len(self._results) < len(results) and results[: len(self._results)] == self._results
        )
        is_rest = (
            has_same_start and answer.search == self._answer.search and not self.sort.currentIndex()
        )
        n_listed = len(self._results) - len(self._pending)
        self._results, self._n_results, self._answer = results, n_results, answer
        self._is_listed = self.isVisible()
        if is_rest and self._is_listed:
            self._pending = list(results[n_listed:])
            self._list_more()
        elif self._is_listed:
            self._list()
        total_text = count_text(total, self._noun)
        self.count.setText(total_text if n_results == total else f"{n_results:,} of {total_text}")
        self.remark.setText(remark_text(answer) if results else "")
        for button in self._buttons:
            button.setEnabled(bool(results) and answer.matches is not None)
        if results:
            self.loadable.show_content()
        else:
            is_empty_source = answer.search == Search()
            self.loadable.show_message(
                *nothing_found(self._noun, answer), () if is_empty_source else actions
            )

    def clear(self) -> None:
        self._results, self._n_results, self._answer = (), 0, Answer(Search())
        self._list()
        self.count.setText("")
        self.remark.setText("")
        for button in self._buttons:
            button.setEnabled(False)

    def show_error(self, error: CryoETError, retry: Callable[[], None]) -> None:
        self.count.setText("")
        self.loadable.show_error(error, retry)

    def showEvent(self, event: QShowEvent | None) -> None:
        super().showEvent(event)
        if not self._is_listed:
            self._is_listed = True
            self._list()

    def _list(self) -> None:
        if self._n_results > len(self._results) and self.sort.currentIndex():
            self.rest_requested.emit()  # sorting needs all results
            return
        self._pending = sorted(self._results, key=self._orders[self.sort.currentText()])
        self.model.set_rows(self._next_rows())

    def _list_more(self) -> None:
        if not self._pending:
            self.rest_requested.emit()
            return
        self.model.append_rows(self._next_rows())

    def _next_rows(self) -> list[RecordRow]:
        batch, self._pending = self._pending[:ROWS_AT_ONCE], self._pending[ROWS_AT_ONCE:]
        rows: list[RecordRow] = [self._row_of(record, self._answer) for record in batch]
        n_more = self._n_results - len(self._results) + len(self._pending)
        return (
            [*rows, RecordRow(None, f"{n_more:,} more…", kind=RowKind.MESSAGE)] if n_more else rows
        )


class ListSwitch(QTabBar):
    """Tabs for the lists, with the number of search results in each."""

    chosen = Signal(int)  # by the user: index in `LISTS`

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("listSwitch")
        self.setAccessibleName("Lists")
        self.setDrawBase(False)
        self.setExpanding(False)
        self.setUsesScrollButtons(False)
        for place in LISTS:
            self.addTab(place.label)
        self.currentChanged.connect(self.chosen)

    @property
    def current(self) -> Place:
        return LISTS[self.currentIndex()]

    def set_current(self, number: int) -> None:
        with QSignalBlocker(self):
            self.setCurrentIndex(number)

    def set_counts(self, counts: Sequence[int | None] = (None, None, None)) -> None:
        """Show the number of search results in each list, if known."""
        for number, (place, count) in enumerate(zip(LISTS, counts, strict=True)):
            self.setTabText(number, place.label if count is None else f"{place.label} {count:,}")
