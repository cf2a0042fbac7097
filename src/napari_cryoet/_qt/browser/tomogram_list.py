"""A run's tomograms as radio rows: one is chosen, and each can be ticked to download."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qtpy.QtCore import QPoint, QPointF, QRect, Qt, Signal
from qtpy.QtGui import QColor, QContextMenuEvent, QKeyEvent, QMouseEvent, QPainter, QPen
from qtpy.QtWidgets import QListWidgetItem, QWidget

from napari_cryoet._qt.browser.deposition_menu import deposition_text
from napari_cryoet._qt.widgets import icons
from napari_cryoet._qt.widgets.item_list import ENTER_KEYS
from napari_cryoet._qt.widgets.labels import plain_tooltip
from napari_cryoet._qt.widgets.painting import draw_chip, draw_line, draw_tick
from napari_cryoet._qt.widgets.record_list import RecordDelegate, RecordList
from napari_cryoet._qt.widgets.roles import Index, Role
from napari_cryoet._qt.widgets.theme import Colors, Theme
from napari_cryoet.records import Tomogram
from napari_cryoet.wording import dimensions_text, joined, plain, size_text, spacing_text

TICK_WIDTH_PX = 42
RADIO_WIDTH_PX = 24


class TomogramList(RecordList):
    """The chosen tomogram is the current row; choosing opens nothing."""

    chosen = Signal(object)  # Tomogram
    open_requested = Signal(object)  # Tomogram
    downloads_changed = Signal()
    menu_requested = Signal(object, QPoint)  # Tomogram, where on the screen

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(_TomogramDelegate(theme), "Tomograms", parent)
        self.setObjectName("tomogramList")
        self.currentItemChanged.connect(self._on_current)
        self.itemDoubleClicked.connect(lambda item: self.open_requested.emit(item.data(Role.RECORD)))

    def set_tomograms(self, tomograms: Sequence[Tomogram]) -> None:
        """List tomograms, the default first, and choose that."""
        self.clear()
        several_alignments = len({tomogram.alignment_id for tomogram in tomograms}) > 1
        for number, tomogram in enumerate(tomograms):
            item = QListWidgetItem(first_line(tomogram))
            item.setData(Role.RECORD, tomogram)
            item.setData(Role.IS_OPEN, False)
            item.setData(Qt.ItemDataRole.CheckStateRole, Qt.CheckState.Unchecked)
            is_default = number == 0
            second = second_line(tomogram, says_alignment=several_alignments)
            item.setData(Role.SECOND_LINE, second)
            item.setData(Role.IS_DEFAULT, is_default)
            said = joined(first_line(tomogram), second, "default" if is_default else "")
            item.setData(Qt.ItemDataRole.AccessibleTextRole, said)
            item.setToolTip(plain_tooltip(_all_about(tomogram)))
            self.addItem(item)
        if tomograms:
            self.setCurrentRow(0)
        self.fit_height()

    def choose(self, tomogram: Tomogram) -> None:
        """Make a tomogram the chosen one."""
        for item in self.rows():
            if item.data(Role.RECORD).id == tomogram.id:
                self.setCurrentItem(item)

    def set_open(self, tomogram_ids: Iterable[int]) -> None:
        """Mark the tomograms that are layers now."""
        opened = set(tomogram_ids)
        for item in self.rows():
            item.setData(Role.IS_OPEN, item.data(Role.RECORD).id in opened)

    @property
    def current_tomogram(self) -> Tomogram | None:
        """The chosen tomogram; None for a run without."""
        item = self.currentItem()
        return None if item is None else item.data(Role.RECORD)

    def tomograms_to_download(self) -> tuple[Tomogram, ...]:
        """What is ticked."""
        return tuple(
            item.data(Role.RECORD)
            for item in self.rows()
            if item.data(Qt.ItemDataRole.CheckStateRole) == Qt.CheckState.Checked
        )

    def toggle_download(self, item: QListWidgetItem) -> None:
        """Tick or untick a row."""
        is_on = item.data(Qt.ItemDataRole.CheckStateRole) == Qt.CheckState.Checked
        item.setData(Qt.ItemDataRole.CheckStateRole, Qt.CheckState.Unchecked if is_on else Qt.CheckState.Checked)
        self.downloads_changed.emit()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Enter opens, D ticks for download, M opens the menu; the rest is Qt's."""
        item = self.currentItem()
        if event is None or item is None:
            super().keyPressEvent(event)
        elif event.key() == Qt.Key.Key_D:
            self.toggle_download(item)
        elif event.key() in ENTER_KEYS:
            self.open_requested.emit(item.data(Role.RECORD))
        elif event.key() == Qt.Key.Key_M:  # not every keyboard has a key for menus
            self._offer_menu(item)
        else:
            super().keyPressEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent | None) -> None:
        """The menu of a row, by mouse or by the menu key."""
        if event is None:
            return
        if event.reason() == QContextMenuEvent.Reason.Mouse:
            self._offer_menu(self.itemAt(event.pos()), event.globalPos())
        else:
            self._offer_menu(self.currentItem())

    def _offer_menu(self, item: QListWidgetItem | None, where: QPoint | None = None) -> None:
        """Ask for the menu of a row, by default below it."""
        viewport = self.viewport()
        if item is not None and viewport is not None:
            below = viewport.mapToGlobal(self.visualItemRect(item).bottomLeft())
            self.menu_requested.emit(item.data(Role.RECORD), where or below)

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        """A click at the right edge ticks for download."""
        item = None if event is None else self.itemAt(event.position().toPoint())
        super().mouseReleaseEvent(event)
        if event is not None and item is not None and event.position().x() > self.width() - TICK_WIDTH_PX:
            self.toggle_download(item)

    def _on_current(self, item: QListWidgetItem | None) -> None:
        if item is not None:
            self.chosen.emit(item.data(Role.RECORD))


class _TomogramDelegate(RecordDelegate):
    """A radio mark, two lines of facts, and a tick."""

    lines = 2

    def paint_row(self, painter: QPainter, rect: QRect, index: Index, colors: Colors, *, is_chosen: bool) -> None:
        _draw_radio(painter, rect, colors, is_chosen=is_chosen)
        tick = QRect(rect)
        tick.setLeft(tick.right() - TICK_WIDTH_PX + 1)
        draw_tick(painter, tick, index.data(Qt.ItemDataRole.CheckStateRole), colors)
        text = rect.adjusted(RADIO_WIDTH_PX, 4, -TICK_WIDTH_PX, -4)
        _draw_facts(painter, text, index, colors, colors.text if is_chosen else colors.dim)


def first_line(tomogram: Tomogram) -> str:
    """What tells tomograms of a run apart: processing, software of it, reconstruction, spacing."""
    return joined(
        plain(str(tomogram.processing)),
        plain(str(tomogram.reconstruction_method)),
        spacing_text(tomogram.voxel_spacing),
        "CTF corrected" if tomogram.ctf_corrected else "",
    )


def second_line(tomogram: Tomogram, *, says_alignment: bool) -> str:
    """Sizes in voxels and bytes, and the alignment where that differs within the run."""
    return joined(
        dimensions_text(tomogram.size_x, tomogram.size_y, tomogram.size_z),
        size_text(tomogram.file_size_omezarr),
        f"AL-{tomogram.alignment_id}" if says_alignment and tomogram.alignment_id is not None else "",
        plain(tomogram.processing_software),
    )


def _draw_radio(painter: QPainter, rect: QRect, colors: Colors, *, is_chosen: bool) -> None:
    center = QPointF(rect.left() + RADIO_WIDTH_PX / 2, rect.center().y() + 0.5)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(colors.text if is_chosen else colors.dim, 1.2))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawEllipse(center, 5.5, 5.5)
    if is_chosen:
        painter.setBrush(colors.text)
        painter.drawEllipse(center, 2.5, 2.5)


def _draw_facts(painter: QPainter, rect: QRect, index: Index, colors: Colors, dim: QColor) -> None:
    spacing = painter.fontMetrics().lineSpacing()
    line = QRect(rect.left(), rect.top(), rect.width(), spacing)
    if index.data(Role.IS_DEFAULT):
        end = QPointF(line.right(), line.center().y() + 1)
        line.setRight(line.right() - draw_chip(painter, end, "default", colors.text, colors.border) - 6)
    painter.setPen(colors.text)
    draw_line(painter, line, index.data(Qt.ItemDataRole.DisplayRole))
    line = QRect(rect.left(), rect.top() + spacing, rect.width(), spacing)
    if index.data(Role.IS_OPEN):
        icons.draw(painter, "eye", line.adjusted(0, 1, 14 - line.width(), 0).toRectF(), dim)
        line.setLeft(line.left() + 20)
    painter.setPen(dim)
    draw_line(painter, line, index.data(Role.SECOND_LINE))


def _all_about(tomogram: Tomogram) -> str:
    lines = (
        joined(tomogram.name or "", f"TM-{tomogram.id}"),
        joined(first_line(tomogram), second_line(tomogram, says_alignment=True)),
        f"Reconstructed with {tomogram.reconstruction_software}",
        f"Processed with {tomogram.processing_software}" if tomogram.processing_software else "",
        f"Authors: {', '.join(author.name for author in tomogram.authors)}" if tomogram.authors else "",
        f"Publications: {tomogram.publications}" if tomogram.publications else "",
        deposition_text(tomogram.deposition_id, tomogram.deposition),
        f"OME-Zarr {size_text(tomogram.file_size_omezarr)}" if tomogram.file_size_omezarr else "",
        f"MRC {size_text(tomogram.file_size_mrc)}" if tomogram.file_size_mrc else "",
    )
    return "\n".join(line for line in lines if line)
