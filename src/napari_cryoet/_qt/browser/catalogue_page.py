"""The lists of all datasets and all depositions: what a search found, sorted, and what to do where it found nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeAlias, TypeVar

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QTabBar

from napari_cryoet._qt.widgets.labels import ElidedLabel, explain
from napari_cryoet._qt.widgets.messages import Action
from napari_cryoet._qt.widgets.record_model import Row
from napari_cryoet._qt.widgets.record_view import ListPage
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet._qt.widgets.thumbnails import Thumbnails
from napari_cryoet.discovery.catalogue import found_first
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.portal.about import dataset_tooltip, deposition_tooltip
from napari_cryoet.portal.pages import CatalogueRow, DepositionRow, ObjectCount, objects_text
from napari_cryoet.wording import count_text, joined, plain, short_species

R = TypeVar("R", CatalogueRow, DepositionRow)
Objects: TypeAlias = tuple[ObjectCount, ...]

LISTS: Final = ("Datasets", "Depositions")


class CataloguePage(ListPage, Generic[R]):
    """The list of all datasets or depositions, as ``noun`` says; a row names those objects first that were found."""

    search_cleared = Signal()

    def __init__(
        self,
        theme: Theme,
        thumbnails: Thumbnails,
        noun: str,
        orders: Mapping[str, Callable[[R], Any]],
        row_of: Callable[[R, Objects], Row],
    ) -> None:
        super().__init__(theme, thumbnails, f"{noun.capitalize()}s")
        self._noun = noun
        self._orders: Mapping[str, Callable[[R], Any]] = orders
        self._row_of: Callable[[R, Objects], Row] = row_of
        self._rows: dict[int, Row] = {}  # as they are without a search: typing shouldn't make hundreds of texts
        self._found: Sequence[R] = ()
        self._search = ""
        self.count = ElidedLabel(name="dimText")
        self.sort = QComboBox()
        self.sort.addItems(list(orders))
        explain(self.sort, f"Order of the {noun}s")
        self.sort.currentTextChanged.connect(lambda _name: self._list())
        top = QHBoxLayout()
        top.addWidget(self.count, 1)
        top.addWidget(self.sort)
        self.column.insertLayout(0, top)

    def set_rows(self, found: Sequence[R], total: int, search: str) -> None:
        self._found, self._search = found, search
        self._list()
        of_all = count_text(total, self._noun)
        self.count.setText(of_all if len(found) == total else f"{len(found):,} of {of_all}")
        if found:
            self.place.show_content()
        elif search:
            self.place.show_message(
                f"No {self._noun} matches “{search}”.",
                "Every word has to match. Try fewer or shorter words. Enter leads to an id like 10000.",
                [Action("Clear the search", self.search_cleared.emit)],
            )
        else:
            self.place.show_message(f"This source has no {self._noun}s.")

    def clear(self) -> None:
        self._found, self._search = (), ""
        self._list()
        self.count.setText("")

    def show_error(self, error: CryoETError, retry: Callable[[], None]) -> None:
        self.count.setText("")
        self.place.show_error(error, retry)

    def _list(self) -> None:
        found = sorted(self._found, key=self._orders[self.sort.currentText()])
        self.model.set_rows([self._row(record) for record in found])

    def _row(self, record: R) -> Row:
        named = found_first(record.objects, self._search)
        if named is not record.objects:
            return self._row_of(record, named)
        row = self._rows.get(record.id)
        if row is None or row.record is not record:
            row = self._rows[record.id] = self._row_of(record, record.objects)
        return row


class ListSwitch(QTabBar):
    """Which of the two lists is shown, and how much a search found in each."""

    chosen = Signal(int)  # by the person: the number in `LISTS`

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("listSwitch")
        self.setAccessibleName("What is listed")
        self.setDrawBase(False)
        self.setExpanding(False)
        self.setUsesScrollButtons(False)
        for name in LISTS:
            self.addTab(name)
        self.currentChanged.connect(self.chosen)

    def set_current(self, number: int) -> None:
        with QSignalBlocker(self):
            self.setCurrentIndex(number)

    def set_found(self, counts: tuple[int, int] | None) -> None:
        """Show how much a search found in each list; None without a search."""
        for number, name in enumerate(LISTS):
            self.setTabText(number, name if counts is None else f"{name} {counts[number]:,}")


def dataset_row(dataset: CatalogueRow, named: Objects) -> Row:
    """A dataset in the list of all datasets."""
    runs = count_text(dataset.run_count, "run")
    annotations = count_text(dataset.annotation_count, "annotation") if dataset.annotation_count else ""
    head = (f"DS-{dataset.id}", short_species(dataset.organism_name), runs)
    objects = tuple(objects_text(named, limit) for limit in (3, 2, 1))
    return Row(
        record=dataset,
        key=dataset.id,
        title=plain(dataset.title),
        title_lines=2,
        is_bold=True,
        lines=((joined(*head, annotations), joined(*head)), objects if dataset.objects else "no annotations"),
        picture_url=dataset.key_photo_thumbnail_url or "",
        tooltip=dataset_tooltip(dataset, named),
    )


def deposition_row(deposition: DepositionRow, named: Objects) -> Row:
    """A deposition in the list of all depositions."""
    brought, enriched = len(deposition.dataset_ids), len(deposition.enriched_dataset_ids)
    added = f"adds to {count_text(enriched, 'other dataset' if brought else 'dataset')}" if enriched else ""
    facts = joined(f"CZCDP-{deposition.id}", count_text(brought, "dataset") if brought else "", added)
    count = deposition.annotation_count
    annotations = count_text(count, "annotation") if count else "no annotations"
    contents = tuple(joined(annotations, objects_text(named, limit)) for limit in (3, 2, 1))
    return Row(
        record=deposition,
        key=deposition.id,
        title=plain(deposition.title),
        title_lines=2,
        is_bold=True,
        lines=(facts, contents),
        picture_url=deposition.key_photo_thumbnail_url or "",
        tooltip=deposition_tooltip(deposition, facts, named),
    )
