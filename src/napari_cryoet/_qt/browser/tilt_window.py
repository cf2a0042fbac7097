"""Tilt series in separate napari windows.

The first axis of a tilt series is the tilt, not the depth of a tomogram. In the same window, both
would share a slider and a camera. All windows stream through the same caches.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import napari
from qtpy.QtCore import QObject, QSize, Signal
from qtpy.QtGui import QHideEvent
from qtpy.QtWidgets import QWidget

from napari_cryoet._qt.browser.run_page import RunView, Shown
from napari_cryoet._qt.layers.colors import Appearance
from napari_cryoet._qt.layers.ownership import LayerKey, about_of
from napari_cryoet._qt.seam import forget_window_position
from napari_cryoet._qt.tasks import Tasks
from napari_cryoet._qt.viewer.detail import Detail
from napari_cryoet._qt.viewer.manager import LayerManager
from napari_cryoet._qt.viewer.status import StatusStrip, StreamWatch
from napari_cryoet._qt.widgets.controls import column_in, plain_label
from napari_cryoet._qt.widgets.messages import NoticeBar
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.pages.run import tilt_text
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.records import TiltSeries
from napari_cryoet.wording import plain

WINDOW_SIZE: Final = QSize(760, 680)


class TiltWindows(QObject):
    """Opens a window for each ticked tilt series; they close with the dock."""

    def __init__(self, run: RunView, notice: NoticeBar, *, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._run, self._notice = run, notice
        self.windows: dict[int, TiltWindow] = {}
        run.tilt_series_toggled.connect(self._on_toggled)
        run.tilt_series.opened.connect(self._on_opened)
        run.page_shown.connect(lambda _page: self.update())

    def show(self, page: RunPage, series: TiltSeries) -> None:
        window = self.windows.get(series.id)
        if window is None:
            window = self.windows[series.id] = TiltWindow(page, series, self)
            window.changed.connect(self.update)
            window.closed.connect(partial(self._on_closed, series.id))
            window.failed.connect(
                lambda error: self._notice.show_error(error, partial(self.show, page, series))
            )
        window.show()

    def update(self) -> None:
        windows = self.windows.values()
        appearances = {
            window.key: Appearance(is_visible=True, color=None)
            for window in windows
            if window.is_shown
        }
        self._run.set_shown_tilt_series(
            Shown(appearances, {window.key for window in windows if window.is_coming})
        )

    def retry(self) -> None:
        for window in self.windows.values():
            window.stream_watch.retry()

    def close(self) -> None:
        for window in tuple(self.windows.values()):
            window.close()

    def _on_toggled(self, series: TiltSeries) -> None:
        if series.id in self.windows:
            self.windows[series.id].close()
        else:
            self._on_opened(series)

    def _on_opened(self, series: TiltSeries) -> None:
        if self._run.page is not None and series.url:
            self.show(self._run.page, series)

    def _on_closed(self, series_id: int) -> None:
        self.windows.pop(series_id).deleteLater()
        self.update()


class TiltWindow(QObject):
    """Loads a tilt series, and shows its window once the layer exists."""

    changed = Signal()  # shown, hidden or loading
    failed = Signal(object)  # CryoETError; a window that wasn't shown yet is closed
    closed = Signal()

    def __init__(self, page: RunPage, series: TiltSeries, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.key = LayerKey("tilt series", series.id)
        self.viewer = napari.Viewer(title=f"Tilt series of {plain(page.run.name)}", show=False)
        self._page, self._series = page, series
        self._is_on_screen = self._is_closed = False
        self._tasks = Tasks(self)
        self._theme = Theme(self.viewer, self)
        self.manager = LayerManager(self.viewer, self._tasks, parent=self)
        self.detail = Detail(self.viewer, self.manager, self)
        self.panel = TiltPanel()
        self.stream_watch = StreamWatch(self.manager, self.panel.strip, self.detail, self)
        self.viewer.window.add_dock_widget(self.panel, name="Tilt", area="bottom")
        self.panel.window_closed.connect(
            self.close
        )  # otherwise the viewer's threads would keep running
        self.viewer.dims.events.current_step.connect(self._show_tilt)
        self.manager.changed.connect(self._on_changed)
        self.manager.failed.connect(lambda _key, error: self._fail(error))
        self._theme.style(self.panel)

    @property
    def is_shown(self) -> bool:
        return self.key in self.manager.shown()

    @property
    def is_coming(self) -> bool:
        return self.key in self.manager.coming()

    def show(self) -> None:
        self.manager.show_tilt_series(self._page, self._series)
        window = self.panel.window()
        if self._is_on_screen and window is not None:
            window.activateWindow()
            window.raise_()

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self.stream_watch.close()
        for _layer, stream in self.manager.streams():
            stream.close()
        self.viewer.dims.events.current_step.disconnect(self._show_tilt)
        self.detail.close()
        self.manager.close()
        self._tasks.close()
        self._theme.close()
        self.closed.emit()
        self.viewer.close()

    def _on_changed(self) -> None:
        if self._is_closed:
            return
        window = self.panel.window()
        if self.is_shown and not self._is_on_screen and window is not None:
            self._is_on_screen = True
            forget_window_position(window)
            window.resize(WINDOW_SIZE)
            window.show()  # napari's own method would restore the main window's geometry
        self._show_tilt()
        self.changed.emit()

    def _fail(self, error: object) -> None:
        if not self._is_on_screen:
            self.close()
        self.failed.emit(error)

    def _show_tilt(self, _event: Any = None) -> None:
        layers = self.manager.layers_of(self.key)
        if layers:
            about = about_of(layers[0])
            n_images = int(
                layers[0].data[0].shape[0] if layers[0].multiscale else layers[0].data.shape[0]
            )
            step = self.viewer.dims.current_step[0]
            angles = about.tilt_angles_degree
            self.panel.label.setText(tilt_text(step, n_images, angles, about.warnings))


class TiltPanel(QWidget):
    """The number and tilt of the image on screen, and its loading status."""

    window_closed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.label = plain_label(name="tiltText", is_selectable=True)
        self.strip = StatusStrip()
        column_in(self, self.label, self.strip, margins=(6, 2, 6, 2), spacing=2)

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Emit ``window_closed`` while the window's parts still exist."""
        super().hideEvent(event)
        window = self.window()
        if (
            event is not None
            and not event.spontaneous()
            and window is not None
            and not window.isVisible()
        ):
            self.window_closed.emit()
