"""The contact sheet: cells of one size, keys that judge, and word of what is on screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QItemSelection, QItemSelectionModel, QModelIndex, QSize, Qt, Signal
from qtpy.QtGui import QKeyEvent, QRegion, QResizeEvent
from qtpy.QtWidgets import QAbstractItemView, QListView, QWidget

from napari_cryoet._qt.review.sheet_delegate import GAP_PX, SheetDelegate
from napari_cryoet._qt.review.sheet_model import SheetModel
from napari_cryoet._qt.widgets.item_list import ENTER_KEYS
from napari_cryoet._qt.widgets.painting import repaint
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet._qt.widgets.timers import single_shot
from napari_cryoet.review.decisions import Verdict

SMALLEST_CELL_PX: Final = 78
_CAPTION_PX: Final = 15
_VERDICT_KEYS: Final = {
    Qt.Key.Key_K: Verdict.KEPT,
    Qt.Key.Key_X: Verdict.REJECTED,
    Qt.Key.Key_U: Verdict.UNDECIDED,
}
_STEP_KEYS: Final = {Qt.Key.Key_N: 1, Qt.Key.Key_P: -1}
_SHEET_KEYS: Final = (Qt.Key.Key_Space, *ENTER_KEYS)
_MOST_RUNS: Final = 500
_SHIFT, _CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier


class SheetView(QListView):
    """Shows a `SheetModel`.

    Laid out as a list that flows and wraps, not in Qt's mode for icons: that one looks for each item's place in a tree,
    which takes seconds for a hundred thousand.
    """

    judged = Signal(object, bool)  # Verdict of what is selected; whether to go on to the next undecided pick
    opened = Signal(int)  # the place that one wants to see in the viewer
    stepped = Signal()  # to the next or previous pick, by key: the viewer may follow once the keys rest
    next_undecided_requested = Signal(int)  # 1 onwards, -1 backwards
    undo_requested = Signal()
    redo_requested = Signal()
    looked_at = Signal(object, object)  # the places on screen in reading order; those of the next screen

    def __init__(self, model: SheetModel, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sheet = model
        self._delegate = SheetDelegate(theme, self)
        self.setObjectName("contactSheet")
        self.setAccessibleName("Contact sheet of picks")
        self.setModel(model)
        self.setItemDelegate(self._delegate)
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(True)
        self.setUniformItemSizes(True)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setMovement(QListView.Movement.Static)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)  # else the cells would jump
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setMouseTracking(True)
        self._look_soon = single_shot(self, 30, self._look)
        scroll = self.verticalScrollBar()
        if scroll is not None:
            scroll.valueChanged.connect(self._on_scroll)
        self.clicked.connect(lambda index: self.opened.emit(index.row()))
        model.modelReset.connect(self._look_soon.start)
        theme.changed.connect(self._repaint)

    @property
    def crop_px(self) -> int:
        """How wide a crop is drawn, in pixels of the screen."""
        return round((self._delegate.cell.width() - 3 * GAP_PX) * self.devicePixelRatioF())

    @property
    def selected_places(self) -> list[int]:
        """What is selected, from the first on; where nothing is, where the keys are."""
        found, current = self.selectionModel(), self.currentIndex()
        chosen = QItemSelection() if found is None else found.selection()
        spans = [chosen[number] for number in range(len(chosen))]  # `selectedIndexes` would make two objects for each
        if spans:
            places = np.concatenate([np.arange(span.top(), span.bottom() + 1) for span in spans])
            return list(np.unique(places).tolist())
        return [current.row()] if current.isValid() else []

    def go_to(self, place: int) -> None:
        """Let the keys be at a place, select it alone, and bring it on screen."""
        index, found = self._sheet.index(place), self.selectionModel()
        self.setCurrentIndex(index)
        if found is not None and self.selected_places != [place]:  # Qt adds to what is selected while Ctrl is held
            found.select(index, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        self.scrollTo(index)

    def select(self, places: Sequence[int] | NDArray[np.intp]) -> None:
        """Select some places; of very many that lie apart only the first, since Qt compares each with every other."""
        selection = QItemSelection()
        for first, last in _runs(places)[:_MOST_RUNS]:
            selection.select(self._sheet.index(first), self._sheet.index(last))
        found = self.selectionModel()
        if found is not None:
            found.select(selection, QItemSelectionModel.SelectionFlag.ClearAndSelect)

    def places_on_screen(self) -> range:
        """What one sees now, whole or in part."""
        viewport, scroll = self.viewport(), self.verticalScrollBar()
        if viewport is None or scroll is None:
            return range(0)
        cell = self._delegate.cell
        columns = max(1, viewport.width() // cell.width())
        first = scroll.value() // cell.height() * columns
        last = ((scroll.value() + viewport.height() - 1) // cell.height() + 1) * columns
        return range(min(first, self._sheet.rowCount()), min(last, self._sheet.rowCount()))

    def dataChanged(self, first: QModelIndex, last: QModelIndex, _roles: Iterable[int] = ()) -> None:
        """Draw anew what one sees of it; Qt would lay out all cells again, each time that a crop comes."""
        viewport, shown = self.viewport(), self.places_on_screen()
        if viewport is not None and first.row() < shown.stop and shown.start <= last.row():
            viewport.update(self.visualRect(first) if first.row() == last.row() else viewport.rect())

    def visualRegionForSelection(self, _selection: QItemSelection) -> QRegion:
        """What has to be drawn anew when it is selected or no longer; Qt would ask for the place of each item."""
        viewport = self.viewport()
        return QRegion() if viewport is None else QRegion(viewport.rect())

    def look_again(self) -> None:
        """Say soon what is on screen, though nothing moved."""
        self._look_soon.start()

    def event(self, event: QEvent | None) -> bool:
        """Our keys are ours while one is here, whatever else they mean in the viewer."""
        is_asked = event is not None and event.type() == QEvent.Type.ShortcutOverride
        if is_asked and isinstance(event, QKeyEvent) and (self.takes(event) or event.key() in _SHEET_KEYS):
            event.accept()
            return True
        return bool(super().event(event))

    def takes(self, event: QKeyEvent) -> bool:
        """Whether a key judges, undoes or steps, wherever in the dock it is pressed."""
        if event.modifiers() & ~_SHIFT:
            return event.key() == Qt.Key.Key_Z and bool(event.modifiers() & _CONTROL)
        return event.key() in _VERDICT_KEYS or event.key() in _STEP_KEYS

    def do(self, event: QKeyEvent) -> None:
        """What a key asks for that the sheet `takes`."""
        key, has_shift = Qt.Key(event.key()), bool(event.modifiers() & _SHIFT)
        if key in _VERDICT_KEYS:
            self.judged.emit(_VERDICT_KEYS[key], has_shift)
        elif key in _STEP_KEYS:
            self._step(_STEP_KEYS[key])
        else:
            (self.redo_requested if has_shift else self.undo_requested).emit()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Judge, undo, go on, or fly there; else as in any list."""
        if event is None:
            return
        key, modifiers = Qt.Key(event.key()), event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if self.takes(event):
            self.do(event)
        elif modifiers & ~_SHIFT:
            super().keyPressEvent(event)
        elif key == Qt.Key.Key_Space:
            self.next_undecided_requested.emit(-1 if modifiers & _SHIFT else 1)
        elif key in ENTER_KEYS and self.currentIndex().isValid():
            self.opened.emit(self.currentIndex().row())
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Fill the width with as many cells as fit."""
        self._fit_cells()
        super().resizeEvent(event)
        self._look_soon.start()

    def _fit_cells(self) -> None:
        viewport = self.viewport()
        if viewport is None:
            return
        width = max(viewport.width() - 1, SMALLEST_CELL_PX)
        side = width // max(1, width // SMALLEST_CELL_PX)
        self._delegate.cell = QSize(side, side + _CAPTION_PX)
        self.setGridSize(self._delegate.cell)
        scroll = self.verticalScrollBar()
        if scroll is not None:
            scroll.setSingleStep(max(1, self._delegate.cell.height() // 3))

    def _step(self, step: int) -> None:
        place = self.currentIndex().row() + step
        if 0 <= place < self._sheet.rowCount():
            self.go_to(place)
            self.stepped.emit()

    def _on_scroll(self, _value: int) -> None:
        if not self._look_soon.isActive():
            self._look_soon.start()

    def _look(self) -> None:
        shown = self.places_on_screen()
        ahead = range(shown.stop, min(shown.stop + len(shown), self._sheet.rowCount()))
        self.looked_at.emit(list(shown), list(ahead))

    def _repaint(self) -> None:
        repaint(self)

    def currentChanged(self, current: QModelIndex, previous: QModelIndex) -> None:
        """Keep where the keys are on screen."""
        super().currentChanged(current, previous)
        if current.isValid() and self.hasFocus():
            self.scrollTo(current)


def _runs(places: Sequence[int] | NDArray[np.intp]) -> list[tuple[int, int]]:
    """The first and the last of those that follow each other, of places in order."""
    numbers = np.asarray(places)
    if not len(numbers):
        return []
    starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 2) != 1)
    ends = np.append(starts[1:], len(numbers)) - 1
    return list(zip(numbers[starts].tolist(), numbers[ends].tolist(), strict=True))
