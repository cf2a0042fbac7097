"""Search filters: chips for the chosen ones, and a panel of facets with counts above the lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any, Final

from qtpy.QtCore import QModelIndex, Qt, Signal
from qtpy.QtGui import QKeySequence, QResizeEvent, QShortcut
from qtpy.QtWidgets import QHBoxLayout, QLineEdit, QSizePolicy, QToolButton, QWidget

from napari_cryoet._qt.browser.source_bar import SearchBox
from napari_cryoet._qt.widgets.controls import (
    add_item,
    add_title,
    drop_menu,
    not_none,
    passing_menu,
    tool_button,
)
from napari_cryoet._qt.widgets.record_model import TickColumn
from napari_cryoet._qt.widgets.record_view import ListPage
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.appearance.objects import is_object
from napari_cryoet.discovery.facets import Facet, FacetValue, toggled
from napari_cryoet.discovery.fields import typed_range
from napari_cryoet.discovery.search import Search, chips
from napari_cryoet.pages.rows import RecordRow, RowKind, Tick, TickState
from napari_cryoet.wording import joined, plain

_FEW: Final = 8  # values listed before "more…"
_SHORT: Final = 3  # facets with no more values start unfolded
_WIDEST_CHIP_PX: Final = 180
_CHIP_GAP_PX: Final = 4
_IN_CONDITION: Final = (
    "objects",
    "shapes",
    "is_ground_truth",
    "methods",
)  # facets of further annotations
_ANNOTATION_FACETS: Final = (*_IN_CONDITION, "min_count")  # listed above the others
#: Facets that accept a range, with the end of the placeholder text.
_RANGES: Final = {
    "spacing_angstrom": " in Å, such as ..10 or 8..14",
    "min_count": ", at least",
    "tilt_range_degrees": " in °, such as 100.. or 90..120",
    "released": ", such as 2024.. or 2023-05-31..",
}
_ANOTHER: Final = "another"


class FilterBar(QWidget):
    """A line with the button that opens the facets, and a chip with a cross for each filter.

    Chips that don't fit are in a menu, so that the lists below stay where they are.
    """

    search_changed = Signal(object)  # Search

    def __init__(self) -> None:
        super().__init__()
        self.filters = tool_button(
            "Filters ▾", "Narrow the lists by object, method, processing and more"
        )
        self.filters.setCheckable(True)
        self.clear = tool_button("Clear", "Remove all filters")
        self._chips: list[QToolButton] = []
        self._search = Search()
        self.more = tool_button("", "Filters that don't fit in this line")
        self.more.clicked.connect(self._drop_hidden)
        self._line = QHBoxLayout(self)
        self._line.setContentsMargins(0, 0, 0, 0)
        self._line.setSpacing(_CHIP_GAP_PX)
        self._line.addWidget(self.filters)
        self._line.addWidget(self.more)
        self._line.addStretch(1)
        self._line.addWidget(self.clear)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.clear.clicked.connect(lambda: self.search_changed.emit(Search(text=self._search.text)))
        self.show_search(self._search)

    def chip(self, text: str) -> QToolButton:
        """The chip with a text, even if it is shown elided."""
        return next(
            chip for chip in self._chips if chip.accessibleName() == f"Remove the filter {text}"
        )

    def show_search(self, search: Search) -> None:
        self._search = search
        if any(chip.hasFocus() for chip in (*self._chips, self.clear)):
            self.filters.setFocus(Qt.FocusReason.OtherFocusReason)
        for chip in self._chips:
            self._line.removeWidget(chip)
            chip.deleteLater()
        further = range(
            *(len(chips(Search(annotations=search.annotations[:end]))) for end in (1, None))
        )
        self._chips = [
            self._make_chip(
                f"and {plain(chip.text)}" if number in further else plain(chip.text), chip.without
            )
            for number, chip in enumerate(chips(search))
        ]
        for number, chip in enumerate(self._chips, 1):
            self._line.insertWidget(number, chip)
        buttons = [self.filters, *self._chips, self.more, self.clear]
        for previous, button in pairwise(buttons):  # otherwise Tab reaches new buttons last
            QWidget.setTabOrder(previous, button)
        self.clear.setVisible(bool(self._chips))
        self._fit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Show as many chips as fit, and the number of the others."""
        widths = [chip.sizeHint().width() + _CHIP_GAP_PX for chip in self._chips]
        room = self.width() - self.filters.sizeHint().width() - self.clear.sizeHint().width()
        room -= 2 * _CHIP_GAP_PX
        if sum(widths) > room:
            self.more.setText(f"+{len(widths)} ▾")
            room -= self.more.sizeHint().width() + _CHIP_GAP_PX
        n_shown = sum(end <= room for end in accumulate(widths))
        for number, chip in enumerate(self._chips):
            chip.setVisible(number < n_shown)
        n_hidden = len(widths) - n_shown
        self.more.setText(f"+{n_hidden} ▾")
        self.more.setVisible(n_hidden > 0)

    def _drop_hidden(self) -> None:
        menu = passing_menu(self.more)
        add_title(menu, "Remove a filter")
        for chip in self._chips:
            if chip.isHidden():
                add_item(menu, chip.text().replace("&&", "&"), chip.click)
        drop_menu(menu, self.more)

    def _make_chip(self, text: str, without: Search) -> QToolButton:
        shown = self.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, _WIDEST_CHIP_PX)
        chip = tool_button(f"{shown} ×".replace("&", "&&"), f"Remove the filter {text}")
        chip.setObjectName("chip")
        chip.clicked.connect(lambda: self.search_changed.emit(without))
        return chip


class FacetPanel(ListPage):
    """A tree of facets and their values; a click, Space or Enter toggles a value."""

    search_changed = Signal(object)  # Search
    more_requested = Signal()  # to show facets of another annotation

    def __init__(self, theme: Theme) -> None:
        chosen = TickColumn("", "Choose (Space)", Qt.Key.Key_Space, _tick_of, self._act)
        super().__init__(theme, None, "Filters", uniform=False, tick_columns=[chosen])
        self._search = Search()
        self._sets: Sequence[tuple[Facet, ...]] = ()
        self._long: set[object] = set()  # keys of facets with all values listed
        self.objects = SearchBox(
            theme, "find an object, Enter for all its kinds", "Find an object to filter by"
        )
        self.column.insertWidget(0, self.objects)
        self.range = QLineEdit()
        self.range.hide()
        self._ranged: tuple[Facet, int] | None = (
            None  # the facet of the range field, and its condition
        )
        self.column.addWidget(self.range)
        self.objects.settled.connect(lambda _text: self.show_facets(self._search, self._sets))
        self.objects.entered.connect(self._choose_objects)
        self.objects.left_downwards.connect(self.focus_list)
        self.view.left_upwards.connect(
            lambda: self.objects.setFocus(Qt.FocusReason.BacktabFocusReason)
        )
        self.view.clicked.connect(self._on_click)
        self.view.opened.connect(self._act)
        self.range.returnPressed.connect(self._on_range)
        escape = QShortcut(QKeySequence(Qt.Key.Key_Escape), self.range)
        escape.setContext(Qt.ShortcutContext.WidgetShortcut)
        escape.activated.connect(self._close_range)

    def show_facets(self, search: Search, facet_sets: Sequence[tuple[Facet, ...]]) -> None:
        """Show sets of facets.

        Each set after the first is about a further annotation of the same run.
        """
        is_longer = 1 <= len(self._sets) < len(facet_sets)
        self._search, self._sets = search, facet_sets
        self.model.set_rows(list(self._rows()))
        self.loadable.show_content()
        if is_longer:
            number = len(facet_sets) - 1
            self.view.select((number, "objects"))
            self.view.scrollTo(
                self.model.index_of(("heading", number)), self.view.ScrollHint.PositionAtTop
            )

    def _rows(self) -> Iterable[RecordRow]:
        first, *others = self._sets
        annotation_facets = [facet for facet in first if facet.name in _ANNOTATION_FACETS]
        yield from self._facet_rows(annotation_facets, 0)
        for number, facets in enumerate(others, 1):
            yield RecordRow(
                None, "And in the same run", ("heading", number), RowKind.HEADING, is_bold=True
            )
            yield from self._facet_rows(
                [facet for facet in facets if facet.name in _IN_CONDITION], number
            )
        if len(self._sets) <= len(self._search.annotations):
            yield RecordRow(_ANOTHER, "Another annotation in the same run…", _ANOTHER, is_dim=True)
        yield from self._facet_rows([facet for facet in first if facet not in annotation_facets], 0)

    def _facet_rows(self, facets: Iterable[Facet], condition: int) -> Iterable[RecordRow]:
        for facet in facets:
            key = (condition, facet.name)
            typed = self.objects.text().strip() if facet.name == "objects" else ""
            values = _values_named(facet, typed) if typed else facet.values
            shown = values if typed or key in self._long else values[:_FEW]
            shown += tuple(value for value in values[len(shown) :] if value.is_chosen)
            rows = [_value_row(facet, value, condition) for value in shown]
            if rest := len(values) - len(shown):
                rows.append(RecordRow(key, f"{rest:,} more…", ("more", *key), is_dim=True))
            if facet.name in _RANGES:
                rows.append(
                    RecordRow(
                        (facet, None, condition), "from … to …", ("bounds", *key), is_dim=True
                    )
                )
            chosen = joined(*(plain(value.text) for value in facet.values if value.is_chosen))
            if facet.values:
                is_open = facet.name == "objects" or len(facet.values) <= _SHORT
                yield RecordRow(
                    None,
                    facet.title,
                    key,
                    right=chosen,
                    opens=False,
                    is_unfolded=is_open,
                    children=tuple(rows),
                )

    def _on_click(self, index: QModelIndex) -> None:
        row = self.model.row_at(index)
        if row is not None and row.children:
            self.view.setExpanded(
                index.siblingAtColumn(0), not self.view.isExpanded(index.siblingAtColumn(0))
            )
        elif row is not None and index.column() == 0:  # clicks on ticks are handled by the view
            self._act(row.record)

    def _act(self, record: Any) -> None:
        match record:
            case (Facet() as facet, None, int(condition)):
                self._ask_range(facet, condition)
            case (Facet() as facet, FacetValue() as value, int(condition)):
                self._toggle(facet, value.value, condition)
            case (int(), str()):
                self._long.add(record)
                self.show_facets(self._search, self._sets)
            case str():
                self.more_requested.emit()

    def _toggle(self, facet: Facet, value: Any, condition: int) -> None:
        self.search_changed.emit(toggled(self._search, facet, value, condition=condition))

    def _choose_objects(self, typed: str) -> None:
        """Filter by a typed object and its kinds, as words and ``--object`` do."""
        if not typed or not self._sets:
            return
        condition = len(self._sets) - 1
        facet = next(each for each in self._sets[condition] if each.name == "objects")
        self.objects.set_quietly("")
        self._toggle(facet, typed, condition)

    def _ask_range(self, facet: Facet, condition: int) -> None:
        self._ranged = facet, condition
        self.range.clear()
        self.range.setPlaceholderText(f"{facet.title}{_RANGES[facet.name]}")
        self.range.setAccessibleName(self.range.placeholderText())
        self.range.show()
        self.range.setFocus(Qt.FocusReason.OtherFocusReason)

    def _close_range(self) -> None:
        self.view.setFocus(Qt.FocusReason.OtherFocusReason)
        self.range.hide()

    def _on_range(self) -> None:
        facet, condition = not_none(self._ranged)
        text, is_minimum = self.range.text().replace(",", "."), facet.name == "min_count"
        try:
            value = int(text) if is_minimum else typed_range(text, of_days=facet.name == "released")
        except ValueError:
            self.range.selectAll()
            return
        self._close_range()
        self._toggle(facet, value, condition)


def _values_named(facet: Facet, typed: str) -> tuple[FacetValue, ...]:
    """The objects that a typed name means or is a part of."""
    part = typed.casefold()
    return tuple(
        value
        for value in facet.values
        if part in value.text.casefold() or is_object(value.text, typed)
    )


def _value_row(facet: Facet, value: FacetValue, condition: int) -> RecordRow:
    return RecordRow(
        record=(facet, value, condition),
        key=(condition, facet.name, value.value),
        title=plain(value.text),
        right=f"{value.count:,}",
    )


def _tick_of(record: Any) -> Tick | None:
    match record:
        case (Facet(), FacetValue(is_chosen=is_chosen), int()):
            return Tick(TickState.ON if is_chosen else TickState.OFF)
    return None
