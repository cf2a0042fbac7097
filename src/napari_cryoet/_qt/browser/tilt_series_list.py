"""A run's tilt series: what they are, what they weigh, and a tick that shows one in a window of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qtpy.QtCore import QRect, Qt, Signal
from qtpy.QtGui import QKeyEvent, QMouseEvent, QPainter
from qtpy.QtWidgets import QListWidgetItem, QWidget

from napari_cryoet._qt.widgets.item_list import ENTER_KEYS
from napari_cryoet._qt.widgets.labels import plain_tooltip
from napari_cryoet._qt.widgets.painting import draw_line, draw_tick
from napari_cryoet._qt.widgets.record_list import RecordDelegate, RecordList
from napari_cryoet._qt.widgets.roles import Index, Role
from napari_cryoet._qt.widgets.theme import Colors, Theme
from napari_cryoet.records import TiltSeries
from napari_cryoet.wording import joined, plain, size_text, spacing_text

TICK_WIDTH_PX = 28
NO_STACK = "no image stack on the portal"


class TiltSeriesList(RecordList):
    """One line each; a tick asks, and is set once the window is there."""

    show_requested = Signal(object)  # TiltSeries
    hide_requested = Signal(object)  # TiltSeries

    rows_in_view = 3

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(_TiltSeriesDelegate(theme), "Tilt series; tick to show in a window of its own", parent)
        self.setObjectName("tiltSeriesList")

    def set_series(self, series: Sequence[TiltSeries]) -> None:
        """List tilt series, none of them shown."""
        self.clear()
        for each in series:
            self.addItem(_item(each))
        self.fit_height()
        self.setVisible(bool(series))

    def set_shown(self, shown: Iterable[int], coming: Iterable[int] = ()) -> None:
        """Say which tilt series are shown now, and which are on their way."""
        on_their_way = frozenset(coming)
        ticked = frozenset(shown) | on_their_way
        for item in self.rows():
            series: TiltSeries = item.data(Role.RECORD)
            is_ticked = series.id in ticked
            state = Qt.CheckState.Checked if is_ticked else Qt.CheckState.Unchecked
            item.setData(Qt.ItemDataRole.CheckStateRole, state)
            item.setText(joined("opening…" if series.id in on_their_way else "", tilt_series_text(series)))

    def toggle(self, item: QListWidgetItem) -> None:
        """Ask for what a row's tick doesn't say yet."""
        series: TiltSeries = item.data(Role.RECORD)
        if has_stack(series):
            is_on = item.data(Qt.ItemDataRole.CheckStateRole) == Qt.CheckState.Checked
            (self.hide_requested if is_on else self.show_requested).emit(series)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Space ticks, Enter opens or brings forward what is open; the rest is Qt's."""
        item = self.currentItem()
        if event is not None and item is not None and event.key() == Qt.Key.Key_Space:
            self.toggle(item)
        elif event is not None and item is not None and event.key() in ENTER_KEYS:
            if has_stack(item.data(Role.RECORD)):
                self.show_requested.emit(item.data(Role.RECORD))
        else:
            super().keyPressEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        """A click at the left edge ticks."""
        item = None if event is None else self.itemAt(event.position().toPoint())
        super().mouseReleaseEvent(event)
        if event is not None and item is not None and event.position().x() < TICK_WIDTH_PX:
            self.toggle(item)


def _item(series: TiltSeries) -> QListWidgetItem:
    item = QListWidgetItem(tilt_series_text(series))
    item.setData(Role.RECORD, series)
    item.setToolTip(plain_tooltip(_all_about(series)))
    item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsUserCheckable)  # the list asks first
    item.setData(Qt.ItemDataRole.CheckStateRole, Qt.CheckState.Unchecked)
    return item


class _TiltSeriesDelegate(RecordDelegate):
    """A tick where there is something to show, and a line of facts."""

    def paint_row(self, painter: QPainter, rect: QRect, index: Index, colors: Colors, *, is_chosen: bool) -> None:
        has_images = has_stack(index.data(Role.RECORD))
        if has_images:
            tick = QRect(rect)
            tick.setWidth(TICK_WIDTH_PX)
            draw_tick(painter, tick, index.data(Qt.ItemDataRole.CheckStateRole), colors)
        painter.setPen(colors.text if has_images or is_chosen else colors.dim)
        draw_line(painter, rect.adjusted(TICK_WIDTH_PX, 4, -4, -4), index.data(Qt.ItemDataRole.DisplayRole))


def has_stack(series: TiltSeries) -> bool:
    """Whether there are images to show."""
    return bool(series.https_omezarr_dir or series.https_mrc_file)


def tilt_series_text(series: TiltSeries) -> str:
    """A tilt series in one line: ``41 images · −60…60° by 3° · 3.37 Å · 1.2 GB``."""
    size_bytes = series.file_size_omezarr if series.https_omezarr_dir else series.file_size_mrc
    return joined(
        "" if has_stack(series) else NO_STACK,
        f"{series.size_z} images" if series.size_z else "",
        f"{series.tilt_min:.3g}…{series.tilt_max:.3g}° by {series.tilt_step:.3g}°".replace("-", "−"),
        spacing_text(series.pixel_spacing),
        size_text(size_bytes),
    )


def _all_about(series: TiltSeries) -> str:
    microscope = f"{series.microscope_manufacturer} {series.microscope_model}"
    camera = f"{series.camera_manufacturer} {series.camera_model}"
    return "\n".join(
        (
            joined(f"TS-{series.id}", tilt_series_text(series), f"quality {series.tilt_series_quality} of 5"),
            joined(plain(microscope), f"{series.acceleration_voltage / 1000:g} kV", plain(camera)),
            joined(f"{series.total_flux:g} e⁻/Å²", plain(series.tilting_scheme), f"tilt axis {series.tilt_axis:g}°"),
            plain(series.data_acquisition_software),
            "Opens in a window of its own: its images don't lie in the tomogram's space.",
        )
    )
