"""The dock of orthogonal views: XZ and YZ planes beside the viewer's XY plane, with a shared cursor."""

from __future__ import annotations

from typing import Final

import napari
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QHideEvent, QResizeEvent, QShowEvent
from qtpy.QtWidgets import (
    QDockWidget,
    QMainWindow,
    QPushButton,
    QSizePolicy,
    QSplitter,
)

from napari_cryoet._qt.layers.ownership import LayerWatch, real
from napari_cryoet._qt.ortho.cursor import SharedCursor
from napari_cryoet._qt.ortho.layer_copy import why_not_copied
from napari_cryoet._qt.ortho.plane_view import XZ, YZ, PlaneView, unit_of
from napari_cryoet._qt.seam import delete_in_own_canvas
from napari_cryoet._qt.tasks import single_shot
from napari_cryoet._qt.widgets.controls import (
    ElidedLabel,
    column_in,
    not_none,
    plain_tooltip,
    row_of,
)
from napari_cryoet._qt.widgets.dock import Dock, toggle_dock
from napari_cryoet.wording import count_text, plain

NAME: Final = "Orthogonal views"  # as in the manifest
_SHARE: Final = 0.38  # of the window's height
_DRAG_MS: Final = 200  # a dragged dock may pass through several windows
_NOTHING_YET: Final = "Open a tomogram to see its XZ and YZ planes."
_HINT: Final = (
    "Click, drag or arrow keys: cursor · wheel, Page up or down: step · Ctrl+wheel, + or −: zoom · right drag: pan · "
    "Home: fit · in the viewer itself: click"
)


def toggle_planes(dock: Dock, _button: QPushButton) -> None:
    """Show or hide the planes, by the button of a run's page."""
    toggle_dock(dock.viewer, NAME)


class OrthoViews(Dock):
    """The dock of the XZ and YZ planes.

    Parameters
    ----------
    napari_viewer
        The viewer whose layers are shown; its layer list doesn't change.
    """

    opened = (
        Signal()
    )  # both planes show all layers; they are built step by step to keep the window responsive

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, NAME, tab_name="Planes")
        self.setSizePolicy(
            QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding
        )  # else napari adds a stretch
        self.shared_cursor = SharedCursor(napari_viewer, self)
        self.position = ElidedLabel(name="dimText")
        self.fit = QPushButton("Fit")
        self.fit.setToolTip("Show all of both planes")
        self.fit.clicked.connect(self._on_fit)
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.setChildrenCollapsible(False)
        self._build_soon = single_shot(self, 0, self._build_next)
        self._replace_soon = single_shot(self, _DRAG_MS, self._replace_views)
        self._say_soon = single_shot(self, 0, self._say)
        self.views: list[PlaneView] = []
        self._make_views()
        self._watch = LayerWatch(napari_viewer, self)
        self._watch.changed.connect(self._say_soon.start)
        self.shared_cursor.moved.connect(self._say_soon.start)
        self.at_close(self._end)
        self._lay_out()
        self._say()

    def sizeHint(self) -> QSize:
        return QSize(560, 300)

    def minimumSizeHint(self) -> QSize:
        return QSize(240, 160)

    def take_keys(self) -> None:
        """Focus the first plane."""
        self.views[0].setFocus(Qt.FocusReason.OtherFocusReason)

    def dock_in(self, window: QMainWindow, holder: QDockWidget) -> None:
        """Dock below the viewer, since a tomogram's planes are wide and flat."""
        delete_in_own_canvas(real(self.viewer))  # for the viewer's own canvas too
        if not holder.isFloating():
            # the docks on both sides keep their height
            window.setCorner(Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea)
            window.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
            window.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, holder)
            window.resizeDocks([holder], [int(_SHARE * window.height())], Qt.Orientation.Vertical)

    def _end(self) -> None:
        """Close all canvases and layers, and stop their requests."""
        self._build_soon.stop()
        self._replace_soon.stop()
        self._watch.close()
        for view in self.views:
            view.close_down()
        self.shared_cursor.close()

    # the planes

    def _make_views(self) -> None:
        for plane in (XZ, YZ):
            view = PlaneView(plane, self.viewer, self.shared_cursor)
            view.setToolTip(_HINT)
            view.context_lost.connect(self._replace_soon.start)
            self.splitter.addWidget(view)
            self.views.append(view)
        self._build_soon.start()

    def _replace_views(self) -> None:
        """Recreate both planes after the dock moved to another window."""
        for view in self.views:
            view.close_down()
            view.setParent(None)
            view.deleteLater()
        self.views.clear()
        self._make_views()

    def _build_next(self) -> None:
        """Build the next part of a plane, so that the window can process events in between."""
        if any(view.build_next() for view in self.views):
            self._build_soon.start()
        else:
            self.opened.emit()

    def _set_active(self, is_active: bool) -> None:
        self.shared_cursor.set_shown(is_active)
        for view in self.views:
            view.set_active(is_active)
        if is_active and not all(view.is_complete for view in self.views):
            self._build_soon.start()

    def showEvent(self, event: QShowEvent | None) -> None:
        super().showEvent(event)
        self._set_active(True)

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Pause while hidden; close with the window."""
        super().hideEvent(event)
        self._set_active(False)
        holder = self.parent()
        window = holder.parent() if isinstance(holder, QDockWidget) else None
        is_hidden = isinstance(window, QMainWindow) and not window.isVisible()
        if is_hidden and not not_none(event).spontaneous():
            self.close_down()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Arrange the planes side by side, or one above the other in a tall dock."""
        super().resizeEvent(event)
        is_wide = self.width() >= self.height()
        self.splitter.setOrientation(
            Qt.Orientation.Horizontal if is_wide else Qt.Orientation.Vertical
        )

    # the line above the planes

    def _on_fit(self) -> None:
        for view in self.views:
            view.fit()

    def _say(self) -> None:
        """Show the cursor's position and the number of layers that can't be shown."""
        missing = [
            f"{layer.name} {why}." for layer in self.viewer.layers if (why := why_not_copied(layer))
        ]
        if len(missing) < len(self.viewer.layers):
            position = self.shared_cursor.position[-3:]
            axes = zip("zyx"[-len(position) :], position, strict=True)
            text = f"{' · '.join(f'{name} {at:,.0f}' for name, at in axes)} {unit_of(self.viewer)}".rstrip()
        else:
            text = _NOTHING_YET
        note = f"{count_text(len(missing), 'layer')} not shown here" if missing else ""
        self.position.setText("  —  ".join(filter(None, (text, note))))
        self.position.setToolTip(plain_tooltip("\n".join(plain(sentence) for sentence in missing)))

    def _lay_out(self) -> None:
        top = row_of(self.position, self.fit)
        column = column_in(self, top, self.splitter, margins=(6, 2, 6, 4), spacing=3)
        column.setStretchFactor(self.splitter, 1)
