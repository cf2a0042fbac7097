"""The view of a run's annotations: Space shows, D ticks for download, and what doesn't fit starts folded."""

from __future__ import annotations

from qtpy.QtCore import QModelIndex, QPoint, QRect, Qt, Signal
from qtpy.QtGui import QContextMenuEvent, QFocusEvent, QKeyEvent, QPainter, QResizeEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTreeView, QWidget

from napari_cryoet._qt.browser.annotation_delegate import AnnotationDelegate
from napari_cryoet._qt.browser.annotation_model import AnnotationModel, Apart, Column
from napari_cryoet._qt.browser.tomogram_list import TICK_WIDTH_PX
from napari_cryoet._qt.widgets.item_list import ENTER_KEYS
from napari_cryoet._qt.widgets.letters import keep_fitted
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.run.outline import AnnotationRow, RunOutline

LEAST_HEIGHT_PX = 90  # the header and an annotation


class AnnotationTree(QTreeView):
    """Shows an `AnnotationModel`."""

    left_upwards = Signal()
    menu_requested = Signal(object, QPoint)  # AnnotationRow, where on the screen

    def __init__(self, theme: Theme, model: AnnotationModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._annotations = model
        self.setObjectName("annotationTree")
        self.setAccessibleName("Annotations")
        self.setModel(model)
        self.setItemDelegate(AnnotationDelegate(theme, self))
        self.setMouseTracking(True)
        self.setAllColumnsShowFocus(True)
        self.setIndentation(14)
        self.setExpandsOnDoubleClick(True)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setMinimumHeight(LEAST_HEIGHT_PX)
        self._set_columns()

    def set_outline(self, outline: RunOutline | None) -> None:
        """List annotations; what fits is unfolded, the rest folded."""
        self._annotations.set_outline(outline)
        for row in range(self._annotations.rowCount()):
            index = self._annotations.index(row, 0)
            self.setExpanded(index, not isinstance(self._annotations.record_at(index), Apart))

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Space and Enter show or hide, D ticks for download, M opens the menu, Up leaves from the top."""
        if event is None:
            return
        index = self.currentIndex()
        is_row = index.isValid() and index.parent().isValid()
        if is_row and event.key() in (Qt.Key.Key_Space, *ENTER_KEYS):
            self._annotations.toggle(index, Column.SHOW)
        elif index.isValid() and event.key() in ENTER_KEYS:
            self.setExpanded(index.siblingAtColumn(0), not self.isExpanded(index.siblingAtColumn(0)))
        elif index.isValid() and event.key() == Qt.Key.Key_D:
            self._annotations.toggle(index, Column.DOWNLOAD)
        elif event.key() == Qt.Key.Key_M:  # not every keyboard has a key for menus
            self._offer_menu(index)
        elif event.key() == Qt.Key.Key_Up and not self.indexAbove(index).isValid():
            self.left_upwards.emit()
        else:
            super().keyPressEvent(event)

    def drawBranches(self, painter: QPainter | None, rect: QRect, index: QModelIndex) -> None:
        """The arrow before an object, on the background of its row."""
        selection = self.selectionModel()
        if painter is not None and selection is not None and selection.isSelected(index):
            colors = self._theme.colors
            painter.fillRect(rect, colors.selection if self.hasFocus() else colors.border)
        super().drawBranches(painter, rect, index)

    def contextMenuEvent(self, event: QContextMenuEvent | None) -> None:
        """The menu of a row, by mouse or by the menu key."""
        if event is None:
            return
        if event.reason() == QContextMenuEvent.Reason.Mouse:
            self._offer_menu(self.indexAt(event.pos()), event.globalPos())
        else:
            self._offer_menu(self.currentIndex())

    def _offer_menu(self, index: QModelIndex, where: QPoint | None = None) -> None:
        """Ask for the menu of a row, by default below it."""
        row, viewport = self._annotations.record_at(index), self.viewport()
        if isinstance(row, AnnotationRow) and viewport is not None:
            self.menu_requested.emit(row, where or viewport.mapToGlobal(self.visualRect(index).bottomLeft()))

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Keep the row where one is in sight, if it was: texts and notices take room from the tree."""
        here = self.currentIndex()
        was_seen = event is not None and QRect(QPoint(0, 0), event.oldSize()).contains(self.visualRect(here).center())
        super().resizeEvent(event)
        if here.isValid() and was_seen:
            self.scrollTo(here)

    def focusInEvent(self, event: QFocusEvent | None) -> None:
        """Whoever comes with the keys sees on which row they are."""
        super().focusInEvent(event)
        selection = self.selectionModel()
        if selection is not None and not selection.hasSelection():
            self.setCurrentIndex(self.currentIndex())

    def focus_first(self) -> None:
        """Go on in the tree, where one was or at its top."""
        if not self.currentIndex().isValid():
            self.setCurrentIndex(self._annotations.index(0, 0, QModelIndex()))
        self.setFocus(Qt.FocusReason.TabFocusReason)

    def _set_columns(self) -> None:
        header = self.header()
        if header is None:
            return
        header.setStretchLastSection(False)
        header.setSectionsMovable(False)
        header.setMinimumSectionSize(TICK_WIDTH_PX)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignCenter)
        header.setSectionResizeMode(Column.TEXT, QHeaderView.ResizeMode.Stretch)
        for column in (Column.SHOW, Column.DOWNLOAD):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
        self._header = header  # else Python forgets it, and who watches it
        keep_fitted(header, self._fit_ticks)

    def _fit_ticks(self) -> None:
        """Columns of ticks are as wide as what stands above them."""
        header, model = self.header(), self.model()
        if header is None or model is None:
            return
        for column in (Column.SHOW, Column.DOWNLOAD):
            title = str(model.headerData(column, Qt.Orientation.Horizontal))
            header.resizeSection(column, max(TICK_WIDTH_PX, header.fontMetrics().horizontalAdvance(title) + 8))
