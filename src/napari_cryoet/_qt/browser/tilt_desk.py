"""Between the run's page and the windows of its tilt series: a tick opens one, and its closing unticks."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.browser.run_page import RunView
from napari_cryoet._qt.browser.tilt_window import TiltWindow
from napari_cryoet._qt.widgets.notice_bar import NoticeBar
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.records import TiltSeries


class TiltDesk(QObject):
    """Keeps the windows; they close with the dock.

    Parameters
    ----------
    theme
        That windows take on.
    """

    switch_requested = Signal(object, object)  # WithheldError, what to do once it is lifted

    def __init__(
        self,
        run: RunView,
        notice: NoticeBar,
        theme: Theme,
        *,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._theme = theme
        self._run, self._notice = run, notice
        self.windows: dict[int, TiltWindow] = {}
        run.tilt_series_show_requested.connect(self.show)
        run.tilt_series_hide_requested.connect(self.hide)
        run.page_shown.connect(lambda _page: self.update())
        theme.changed.connect(self._take_on_theme)

    def show(self, page: RunPage, series: TiltSeries) -> None:
        """Open the window of a tilt series, or bring it forward."""
        window = self.windows.get(series.id)
        if window is None:
            window = TiltWindow(page, series, self, main=self._run.window())
            self.windows[series.id] = window
            self._take_on_theme()
            window.changed.connect(self.update)
            window.closed.connect(partial(self._on_closed, series.id))
            window.failed.connect(partial(self._on_failed, page, series))
            window.switch_requested.connect(self.switch_requested)
        window.show()

    def hide(self, series: TiltSeries) -> None:
        """Close the window of a tilt series, or stop it from coming."""
        window = self.windows.get(series.id)
        if window is not None:
            window.close()

    def update(self) -> None:
        """Let the page show which windows there are."""
        windows = self.windows.items()
        shown = [number for number, window in windows if window.is_shown]
        self._run.tilt_series.set_shown(shown, [number for number, window in windows if window.is_coming])

    def retry(self) -> None:
        """Go on with everything that was stopped, failed or withheld."""
        for window in self.windows.values():
            window.stream_watch.retry()

    def close(self) -> None:
        """Close every window."""
        for window in tuple(self.windows.values()):
            window.close()

    def _on_closed(self, series_id: int) -> None:
        window = self.windows.pop(series_id, None)
        if window is not None:
            window.deleteLater()
        self.update()

    def _take_on_theme(self) -> None:
        for window in self.windows.values():
            window.viewer.theme = self._theme.name

    def _on_failed(self, page: RunPage, series: TiltSeries, error: CryoETError) -> None:
        self._notice.show_error(error, partial(self.show, page, series))
