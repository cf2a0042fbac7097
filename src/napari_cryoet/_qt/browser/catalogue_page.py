"""The lists of datasets, runs and depositions: sorted search results, and suggestions if there are none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QTabBar

from napari_cryoet._qt.widgets.labels import ElidedLabel, explain, tool_button
from napari_cryoet._qt.widgets.messages import Action
from napari_cryoet._qt.widgets.record_model import RecordRow, RowKind, TickColumn
from napari_cryoet._qt.widgets.record_view import ListPage
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet._qt.widgets.thumbnails import Thumbnails
from napari_cryoet.discovery.catalogue import found_first
from napari_cryoet.discovery.listing import ListedRun
from napari_cryoet.discovery.search import Search
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.pages.about import dataset_tooltip, deposition_tooltip
from napari_cryoet.pages.answers import Answer
from napari_cryoet.pages.breadcrumbs import LISTS, Place
from napari_cryoet.portal.pages import CatalogueRow, DepositionRow, ObjectCount, objects_text
from napari_cryoet.wording import count_text, joined, plain, short_species, size_text, spacing_text

R = TypeVar("R", CatalogueRow, DepositionRow, ListedRun)

ROWS_AT_ONCE: Final = 100  # scrolling adds more: there can be 25,000 runs
_ORDER_CHARS: Final = 9
#: Sort keys of runs by name of the order. Search results are already sorted by dataset and name.
RUN_ORDERS: Final[Mapping[str, Callable[[ListedRun], Any]]] = {
    "by dataset": lambda _run: 0,
    "by name": lambda run: (run.run.casefold(), run.run_id),
    "most picks": lambda run: -sum(run.object_counts),
    "most annotations": lambda run: -run.n_annotations,
    "finest": lambda run: run.spacings_angstrom or (float("inf"),),
    "best tilts": lambda run: -(run.tilt_quality or 0),
    "smallest": lambda run: run.size_bytes,
}


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
        *,
        tick_columns: Sequence[TickColumn] = (),
    ) -> None:
        name, has_ticks = f"{noun.capitalize()}s", bool(tick_columns)
        super().__init__(theme, thumbnails, name, has_header=has_ticks, tick_columns=tick_columns)
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
        if (view := self.sort.view()) is not None:
            view.setMinimumWidth(view.sizeHintForColumn(0) + 2 * _ORDER_CHARS)
        explain(self.sort, f"Sort the {noun}s")
        self.sort.currentTextChanged.connect(lambda _name: self._list())
        self.model.more_requested.connect(self._list_more)
        self.remark = ElidedLabel(name="dimText")
        self.remark.hide()
        top = QHBoxLayout()
        top.addWidget(self.count, 1)
        top.addWidget(self.menu_button)
        top.addWidget(self.sort)
        self.column.insertLayout(0, top)
        self.column.insertWidget(1, self.remark)

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
        corrections = answer.matches.corrections.items() if answer.matches is not None else ()
        self.remark.setText(
            " ".join(
                f"No results for “{word}”: showing {' or '.join(like)}."
                for word, like in corrections
            )
        )
        self.remark.setVisible(bool(results and corrections))
        if results:
            self.place.show_content()
        elif answer.search == Search():
            self.place.show_message(f"This source has no {self._noun}s.")
        elif (chip := answer.to_drop) is not None:
            left = "there is 1" if answer.n_without == 1 else f"there are {answer.n_without:,}"
            self.place.show_message(
                f"No {self._noun} matches all filters.", f"Without “{chip.text}”, {left}.", actions
            )
        else:
            text, hint = answer.search.text, "Every word has to match. Try fewer or shorter words."
            query = f"“{text}”" if text else "this search"
            self.place.show_message(
                f"No {self._noun} matches {query}.",
                f"{hint} To jump to an id like 10000, press Enter.",
                actions,
            )

    def clear(self) -> None:
        self._results, self._n_results, self._answer = (), 0, Answer(Search())
        self._list()
        self.count.setText("")
        self.remark.hide()

    def show_error(self, error: CryoETError, retry: Callable[[], None]) -> None:
        self.count.setText("")
        self.place.show_error(error, retry)

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


def dataset_row(dataset: CatalogueRow, answer: Answer) -> RecordRow:
    """A dataset in the list of datasets, with the reason for the match or its objects, searched ones first."""
    named = found_first(dataset.objects, answer.words)
    n_runs, n_found = dataset.run_count, answer.run_counts.get(dataset.id, dataset.run_count)
    runs = (
        count_text(n_runs, "run")
        if n_found in (0, n_runs)
        else f"{n_found:,} of {count_text(n_runs, 'run')}"
    )
    annotations = (
        count_text(dataset.annotation_count, "annotation") if dataset.annotation_count else ""
    )
    head = (f"DS-{dataset.id}", short_species(dataset.organism_name), runs)
    objects = tuple(objects_text(named, limit) for limit in (3, 2, 1))
    reason = plain(answer.reasons.get(dataset.id, ""))
    contents = reason or (objects if dataset.objects else "no annotations")
    return RecordRow(
        record=dataset,
        key=dataset.id,
        title=plain(dataset.title),
        title_lines=2,
        is_bold=True,
        lines=((joined(*head, annotations), joined(*head), joined(head[0], runs)), contents),
        picture_url=dataset.key_photo_thumbnail_url or "",
        tooltip="\n".join(filter(None, (dataset_tooltip(dataset, named), reason))),
    )


def found_run_row(run: ListedRun, _answer: Answer) -> RecordRow:
    """A run in the list of runs, with its matching objects, voxel spacings and processing."""
    counts = zip(run.objects, run.object_counts, strict=True)
    objects = [ObjectCount(object_name=name, count=count) for name, count in counts]
    contents = tuple(
        objects_text(objects, limit, with_counts=True) for limit in (len(objects), 4, 3, 2, 1)
    )
    spacings = ", ".join(map(spacing_text, run.spacings_angstrom))
    facts = joined(f"DS-{run.dataset_id}", spacings, ", ".join(run.processing))
    return RecordRow(
        record=run,
        key=run.run_id,
        title=plain(run.run),
        is_bold=True,
        right=(size_text(run.size_bytes), ""),
        lines=(facts, contents if objects else "no annotations"),
        tooltip="\n".join((run.run, f"RN-{run.run_id}", facts, contents[0])),
    )


def deposition_row(deposition: DepositionRow, answer: Answer) -> RecordRow:
    """A deposition in the list of depositions."""
    named = found_first(deposition.objects, answer.words)
    brought, enriched = len(deposition.dataset_ids), len(deposition.enriched_dataset_ids)
    added = (
        f"adds to {count_text(enriched, 'other dataset' if brought else 'dataset')}"
        if enriched
        else ""
    )
    facts = joined(
        f"CZCDP-{deposition.id}", count_text(brought, "dataset") if brought else "", added
    )
    count = deposition.annotation_count
    annotations = count_text(count, "annotation") if count else "no annotations"
    contents = tuple(joined(annotations, objects_text(named, limit)) for limit in (3, 2, 1))
    return RecordRow(
        record=deposition,
        key=deposition.id,
        title=plain(deposition.title),
        title_lines=2,
        is_bold=True,
        lines=(facts, contents),
        picture_url=deposition.key_photo_thumbnail_url or "",
        tooltip=deposition_tooltip(deposition, facts, named),
    )
