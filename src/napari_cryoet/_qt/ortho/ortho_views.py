"""Orthogonal views: XZ and YZ beside the viewer's own XY, with one cursor, and the picks and masks in each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QHideEvent, QResizeEvent, QShowEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QDockWidget,
    QHBoxLayout,
    QMainWindow,
    QPushButton,
    QSizePolicy,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from napari_cryoet._qt.ortho.linked_cameras import LinkedCameras
from napari_cryoet._qt.ortho.plane_view import PlaneView
from napari_cryoet._qt.ortho.planes import XZ, YZ, unit_of
from napari_cryoet._qt.ortho.shared_cursor import SharedCursor
from napari_cryoet._qt.streaming.napari_internals import delete_in_own_canvas
from napari_cryoet._qt.widgets.dock import Dock
from napari_cryoet._qt.widgets.labels import ElidedLabel, plain_tooltip
from napari_cryoet._qt.widgets.timers import single_shot
from napari_cryoet.wording import count_text, plain

if TYPE_CHECKING:
    import napari

DOCK_NAME: Final = "Orthogonal views"
_SHARE: Final = 0.38  # of the window's height
_CONTROLS_TO_COME_PX: Final = 300  # by which napari's controls of layers may grow: those of labels are the highest
_NOTHING_YET: Final = "Open a tomogram: it is shown here in XZ and YZ, with what lies on it."
_HINT: Final = (
    "Click, drag or arrow keys: cursor · wheel, Page up or down: step · Ctrl+wheel, + or −: zoom · right drag: pan · "
    "Home: fit · in the viewer itself: click, or Shift+drag"
)


def open_ortho_views(viewer: napari.Viewer) -> None:
    """Open the dock in a viewer's window as napari's menu does, which brings one that is open forward."""
    try:
        viewer.window.add_plugin_dock_widget("napari-cryoet", DOCK_NAME)
    except ValueError:  # the person has switched the plugin off in napari, but asks for it here
        viewer.window.add_dock_widget(OrthoViews(viewer), name=DOCK_NAME, area="bottom")


class OrthoViews(Dock):
    """The widget of napari's menu.

    Parameters
    ----------
    napari_viewer
        Whose layers are shown in further planes. Nothing is added to its list.
    """

    opened = Signal()  # both planes show all layers; until then they come one by one, and the window lives on

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, DOCK_NAME, tab_name="Planes")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)  # else napari adds empty room
        self._is_closed = self._was_placed = self._has_corner = False
        self._give_corner_back: Callable[[], None] = lambda: None
        self.shared_cursor = SharedCursor(napari_viewer, self)
        self.views = tuple(PlaneView(plane, napari_viewer, self.shared_cursor, parent=self) for plane in (XZ, YZ))
        self.cameras = LinkedCameras(napari_viewer, self.views, self.shared_cursor, self)
        self.place = ElidedLabel(elide=Qt.TextElideMode.ElideRight)
        self.place.setObjectName("dimText")
        self.link = QCheckBox("Link zoom")
        self.link.setToolTip("Zoom and pan the viewer and these planes together")
        self.link.toggled.connect(self.cameras.set_linked)
        self.fit = QPushButton("Fit")
        self.fit.setToolTip("Show all of both planes")
        self.fit.clicked.connect(self._on_fit)
        self.retry = QPushButton("Go on")
        self.retry.setToolTip("Ask again for what failed or was stopped in these planes")
        self.retry.clicked.connect(self._on_retry)
        self.retry.hide()
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        for view in self.views:
            self.splitter.addWidget(view)
            view.setToolTip(_HINT)
            view.fit_requested.connect(self._on_fit)
        self.splitter.setChildrenCollapsible(False)
        self._lay_out()
        self._tell_later = single_shot(self, 0, self._tell)
        self.shared_cursor.moved.connect(self._tell_later.start)
        for event in (napari_viewer.layers.events.inserted, napari_viewer.layers.events.removed):
            self.listen(event, self._on_layers)
        self._tell()
        self._go_on_soon = single_shot(self, 0, self._go_on)
        for view in self.views:
            view.canvas_lost.connect(self._go_on_soon.start)
            view.told.connect(self._tell_later.start)
        self._go_on_soon.start()

    def sizeHint(self) -> QSize:
        """Two planes side by side, below the viewer."""
        return QSize(560, 300)

    def minimumSizeHint(self) -> QSize:
        """As little as is of any use."""
        return QSize(240, 160)

    def close_down(self) -> None:
        """Let go of the viewer, for good: no canvas, no layer, no request stays."""
        if self._is_closed:
            return
        self._is_closed = True
        self._tell_later.stop()
        self._go_on_soon.stop()
        self._give_corner_back()
        self.cameras.close()
        for view in self.views:
            view.close_down()
        self.shared_cursor.close()
        super().close_down()

    def put_away(self) -> None:
        """The end, too."""
        if self._was_placed:
            self.close_down()

    def take_keys(self) -> None:
        """Begin where the cursor can be moved."""
        self.views[0].setFocus(Qt.FocusReason.OtherFocusReason)

    def place_in(self, window: QMainWindow, holder: QDockWidget) -> None:
        """Planes of a tomogram are wide and flat: from the side, where napari puts docks, move below the viewer."""
        if holder.isFloating():
            return
        wanted_px = self._make_room(window)
        if window.dockWidgetArea(holder) != Qt.DockWidgetArea.BottomDockWidgetArea:
            window.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, holder)
        window.resizeDocks([holder], [wanted_px], Qt.Orientation.Vertical)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Draw again; and the first time, take the room below the viewer."""
        super().showEvent(event)
        self._set_active(True)
        if not self._was_placed:
            self._was_placed = True
            delete_in_own_canvas(self)  # also what the viewer itself draws

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Fetch nothing for what nobody sees; a window that goes takes its planes along."""
        super().hideEvent(event)
        self._set_active(False)
        main = self._main_window()
        if event is not None and not event.spontaneous() and main is not None and not main.isVisible():
            self.close_down()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Another place may be better used otherwise."""
        super().resizeEvent(event)
        self._turn_splitter()

    def _turn_splitter(self) -> None:
        """Planes side by side or one above the other, however both are larger."""
        width, height, bar = self.splitter.width(), self.splitter.height(), self.views[0].label.height()
        beside = min(view.zoom_in(width // 2, height - bar) for view in self.views)
        below = min(view.zoom_in(width, height // 2 - bar) for view in self.views)
        is_wide = width >= height if beside == below else beside > below
        self.splitter.setOrientation(Qt.Orientation.Horizontal if is_wide else Qt.Orientation.Vertical)

    def _go_on(self) -> None:
        """Make the planes part by part, and let the window draw and answer after each."""
        if any(view.go_on() for view in self.views):
            self._go_on_soon.start()
        else:
            self._turn_splitter()
            self.opened.emit()

    def _set_active(self, is_active: bool) -> None:
        if not self._is_closed:
            self.shared_cursor.set_shown(is_active)
            for view in self.views:
                view.set_active(is_active)

    def _main_window(self) -> QWidget | None:
        """The window that it belongs to, also while its dock floats as one of its own."""
        window = self.window()
        if isinstance(window, QDockWidget):
            parent = window.parentWidget()
            return parent.window() if parent is not None else None
        return window if window is not self else None

    def _make_room(self, window: QMainWindow) -> int:
        """Take no height from a left column that hasn't enough: the window would grow, and stay so; gives its own."""
        wanted_px = int(_SHARE * window.height())
        if not self._has_corner and _left_column_px(window) + _CONTROLS_TO_COME_PX + wanted_px > _room_px(window):
            self._give_corner(window)
        return wanted_px

    def _give_corner(self, window: QMainWindow) -> None:
        """Lie beside the left column, not below it, until this is closed."""
        corner = Qt.Corner.BottomLeftCorner
        before = window.corner(corner)

        def give_back() -> None:
            with suppress(RuntimeError):  # the window may be gone before
                window.setCorner(corner, before)

        self._has_corner, self._give_corner_back = True, give_back
        window.setCorner(corner, Qt.DockWidgetArea.LeftDockWidgetArea)

    def _on_layers(self, _event: Any = None) -> None:
        self._tell_later.start()

    def _on_fit(self) -> None:
        self.link.setChecked(False)
        for view in self.views:
            view.fit()

    def _on_retry(self) -> None:
        for view in self.views:
            view.retry()

    def _tell(self) -> None:
        """Say where the cursor is, and what isn't shown."""
        self.retry.setVisible(any(view.can_go_on for view in self.views))
        left_out = self.views[0].left_out()
        place = self._place() if len(left_out) < len(self.viewer.layers) else _NOTHING_YET
        missing = f"{count_text(len(left_out), 'layer')} not shown here" if left_out else ""
        self.place.setText("  —  ".join(part for part in (plain(place), missing) if part))
        self.place.setToolTip(plain_tooltip("\n".join(plain(sentence) for sentence in left_out)))

    def _place(self) -> str:
        """Where the cursor is; axes that nobody named are called as everywhere in cryo-ET."""
        position = self.shared_cursor.position[-3:]
        named = zip(self.viewer.dims.axis_labels[-3:], "zyx"[-len(position) :], position, strict=False)
        told = [f"{plain_name if name.startswith('-') else name} {at:,.0f}" for name, plain_name, at in named]
        return f"{' · '.join(told)} {unit_of(self.viewer)}".rstrip()

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.addWidget(self.place, 1)
        top.addWidget(self.retry)
        top.addWidget(self.link)
        top.addWidget(self.fit)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 2, 6, 4)
        column.setSpacing(3)
        column.addLayout(top)
        column.addWidget(self.splitter, 1)


def _left_column_px(window: QMainWindow) -> int:
    """How little height the docks at the left can do with."""
    return sum(
        dock.minimumSizeHint().height()
        for dock in window.findChildren(QDockWidget)
        if dock.isVisible()
        and not dock.isFloating()
        and window.dockWidgetArea(dock) == Qt.DockWidgetArea.LeftDockWidgetArea
    )


def _room_px(window: QMainWindow) -> int:
    """How high docks can be between the menu and the status bar."""
    bars = (window.menuBar(), window.statusBar())
    return window.height() - sum(bar.height() for bar in bars if bar is not None and bar.isVisible())
