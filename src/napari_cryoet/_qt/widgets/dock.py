"""The base class of all docks: viewer, theme, tasks, docking as a tab, and keyboard focus."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from npe2 import PluginManager
from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtGui import QCloseEvent, QHideEvent, QKeyEvent, QKeySequence, QShowEvent
from qtpy.QtWidgets import (
    QApplication,
    QDockWidget,
    QLabel,
    QMainWindow,
    QPushButton,
    QTabBar,
    QToolButton,
    QWidget,
)

from napari_cryoet._qt.tasks import Tasks, single_shot
from napari_cryoet._qt.widgets.controls import not_none
from napari_cryoet._qt.widgets.theme import Theme

if TYPE_CHECKING:
    import napari
    from napari.components import ViewerModel

PLUGIN_NAME: Final = "napari-cryoet"
BROWSER: Final = "CryoET Explorer"  # the name of the portal's dock in the manifest
COMMAND_KEYS: Final = (
    Qt.KeyboardModifier.ControlModifier
    | Qt.KeyboardModifier.AltModifier
    | Qt.KeyboardModifier.MetaModifier
)
_ENTER: Final = (Qt.Key.Key_Return, Qt.Key.Key_Enter)
_DELETE: Final = (Qt.Key.Key_Delete, Qt.Key.Key_Backspace)
_EDITING: Final = (
    QKeySequence.StandardKey.SelectAll,
    QKeySequence.StandardKey.Copy,
    QKeySequence.StandardKey.Cut,
    QKeySequence.StandardKey.Paste,
)
_MINIMUM_PX: Final = QSize(320, 280)
_MAX_MINIMUM_WIDTH_PX: Final = (
    360  # all that a 1280 px wide window leaves beside napari's own docks
)


def open_dock(viewer: napari.Viewer, name: str, *, in_front: bool = True) -> Any:
    """Open one of our docks as napari's menu does, or bring it to the front if it is open.

    With ``in_front`` False, a dock that is open stays as it is.
    """
    plugins = PluginManager.instance()
    full_name = _full_name(name)
    dock = viewer.window.dock_widgets.get(full_name)
    if dock is None:  # by this name, while napari's add_plugin_dock_widget uses another
        make_dock = next(
            widget.get_callable()
            for widget in plugins.iter_widgets()
            if (widget.plugin_name, widget.display_name) == (PLUGIN_NAME, name)
        )
        dock = make_dock(viewer)
        viewer.window.add_dock_widget(dock, name=full_name)
    if in_front:
        dock.come_forward()
    return dock


def toggle_dock(viewer: napari.Viewer, name: str) -> None:
    """Open one of our docks, or hide it if it is open and in front: it keeps its place and size."""
    dock = viewer.window.dock_widgets.get(_full_name(name))
    if dock is not None and dock.is_in_front:
        dock.parent().hide()
    else:
        open_dock(viewer, name)


def is_open(viewer: ViewerModel, name: str) -> bool:
    """Whether a viewer has one of our docks, and it isn't hidden; a viewer without a window has none."""
    window = getattr(viewer, "window", None)
    dock = None if window is None else window.dock_widgets.get(_full_name(name))
    return dock is not None and not dock.parent().isHidden()


def _full_name(name: str) -> str:
    """The name that napari gives a dock of ours."""
    return f"{name} ({PluginManager.instance().get_manifest(PLUGIN_NAME).display_name})"


class Dock(QWidget):
    """A dock widget that opens as a tab beside our other docks and takes the focus when its tab is chosen.

    Keys typed in it never reach napari's layers, where 1 or Delete would delete the selected
    points.

    Parameters
    ----------
    viewer
        The viewer that the dock belongs to.
    name
        The dock's name in napari's menu.
    tab_name
        The tab's title; short, so that six tabs fit.
    """

    def __init__(self, viewer: napari.Viewer, name: str, *, tab_name: str) -> None:
        super().__init__()
        self.setObjectName(type(self).__name__)
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.viewer, self.tab_name = viewer, tab_name
        self._at_close = ExitStack()
        self._is_docked = False
        self._is_behind = False  # another tab is in front
        self._wants_focus = False
        self._arrive_soon = single_shot(self, 0, self._arrive)  # after napari has docked it
        self._come_forward_soon = single_shot(self, 0, self.come_forward)
        self.theme = Theme(viewer, self)
        self.theme.style(self)
        self.at_close(self.theme.close)
        self.tasks = Tasks(self)
        self.at_close(self.tasks.close)

    @property
    def is_in_front(self) -> bool:
        """Whether the dock is open and no other tab hides it."""
        return self.isVisible() and not self._is_behind

    # for subclasses

    def at_close(self, end: Callable[[], object]) -> None:
        """Call ``end`` once when the dock closes, in reverse order of registration."""
        self._at_close.callback(end)

    def take_keys(self) -> None:
        """Focus the dock's main control; by default the first one."""
        self.setFocus(Qt.FocusReason.OtherFocusReason)
        super().focusNextPrevChild(True)

    def dock_in(self, window: QMainWindow, holder: QDockWidget) -> None:
        """Dock in the window; by default as a tab over another of our docks."""
        _tabify(window, holder)

    def close_down(self) -> None:
        """Stop the tasks and disconnect from the viewer; a second call does nothing."""
        self._at_close.close()

    def sizeHint(self) -> QSize:
        return QSize(380, 720)

    def minimumSizeHint(self) -> QSize:
        width = super().minimumSizeHint().width()
        height = (
            _MINIMUM_PX.height() if self._is_docked else 1
        )  # the window would grow before the dock is a tab
        return QSize(min(max(_MINIMUM_PX.width(), width), _MAX_MINIMUM_WIDTH_PX), height)

    # showing and closing

    def event(self, event: QEvent | None) -> bool:
        """Clear the focus before the dock is reparented: Qt would keep a pointer to the control and crash."""
        if event is not None and event.type() == QEvent.Type.ParentAboutToChange:
            control = QApplication.focusWidget()
            if control is not None and (control is self or self.isAncestorOf(control)):
                control.clearFocus()
        return super().event(event)

    def changeEvent(self, event: QEvent | None) -> None:
        super().changeEvent(event)
        if event is None or event.type() != QEvent.Type.ParentChange:
            return
        holder = self.parent()
        if isinstance(holder, QDockWidget):
            holder.visibilityChanged.connect(self._on_visibility)
            holder.dockLocationChanged.connect(self._arrive_soon.start)
        elif holder is None:  # napari closed the dock, and would keep it as a hidden window
            self.close_down()
            self.deleteLater()

    def closeEvent(self, event: QCloseEvent | None) -> None:
        self.close_down()
        super().closeEvent(event)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Come to the front when napari's menu shows the dock.

        Napari would leave it behind another tab.
        """
        super().showEvent(event)
        if event is not None and not event.spontaneous() and self.isActiveWindow():
            self._come_forward_soon.start()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Come to the front instead when napari's menu hides a dock that is behind another tab."""
        super().hideEvent(event)
        holder = self.parent()
        if self._is_behind and isinstance(holder, QDockWidget) and holder.isHidden():
            self._come_forward_soon.start()

    def _shorten_titles(self, holder: QDockWidget) -> None:
        """Remove the plugin's name from the title and the tab.

        Napari resets the title when a dock is moved.
        """
        holder.setWindowTitle(self.tab_name)
        bar = holder.titleBarWidget()
        not_none(holder.toggleViewAction()).setText(self.accessibleName())
        for label in bar.findChildren(QLabel) if bar is not None else ():
            if label.text():
                label.setText(self.accessibleName())

    def _on_visibility(self, is_visible: bool) -> None:
        holder = self.parent()
        if not isinstance(holder, QDockWidget):
            return
        if is_visible or not holder.isHidden():
            self._is_behind = not is_visible
        if is_visible:
            self._wants_focus = holder.isActiveWindow()  # not if it opens together with its window
            self._arrive_soon.start()

    def _arrive(self) -> None:
        holder, window = self.parent(), self.window()
        if (
            not isinstance(holder, QDockWidget)
            or not isinstance(window, QMainWindow)
            or not self.isVisible()
        ):
            return
        if not self._is_docked:
            self._is_docked = True
            self.dock_in(window, holder)
            self.updateGeometry()
        self._shorten_titles(holder)
        _show_whole_names(window, holder)
        if (
            self._wants_focus
            and not self._is_behind
            and not self.isAncestorOf(QApplication.focusWidget())
        ):
            self.take_keys()

    def come_forward(self) -> None:
        """Show the dock in front of other tabs and focus it."""
        holder = self.parent()
        if isinstance(holder, QDockWidget):
            holder.show()
            holder.raise_()
            self._wants_focus = True
            self._arrive_soon.start()

    # keys

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Click the focused button on Enter; keep other keys from napari's layers."""
        event = not_none(event)
        has_command, control = bool(event.modifiers() & COMMAND_KEYS), QApplication.focusWidget()
        is_text = not has_command and bool(event.text()) and event.text().isprintable()
        if (
            event.key() in _ENTER
            and not has_command
            and isinstance(control, QPushButton | QToolButton)
        ):
            control.click()
        elif (
            is_text
            or event.key() in _DELETE
            or any(event.matches(standard) for standard in _EDITING)
        ):
            event.accept()
        else:
            super().keyPressEvent(event)

    def focusNextPrevChild(self, forwards: bool) -> bool:
        """Keep the focus in the dock when the focused control is hidden or disabled, as a clicked Stop is."""
        here = self.focusWidget()
        is_in_use = here is None or (here.isVisible() and here.isEnabled())
        has_moved = super().focusNextPrevChild(forwards)
        if is_in_use or not self.isVisible() or self.isAncestorOf(QApplication.focusWidget()):
            return has_moved
        self.setFocus(Qt.FocusReason.OtherFocusReason)
        return True


def _show_whole_names(window: QMainWindow, holder: QDockWidget) -> None:
    """Make the tabs scroll if they don't fit, since Qt would elide their titles beyond recognition."""
    for bar in window.findChildren(QTabBar, options=Qt.FindChildOption.FindDirectChildrenOnly):
        is_ours = holder.windowTitle() in {bar.tabText(number) for number in range(bar.count())}
        if is_ours and bar.elideMode() != Qt.TextElideMode.ElideNone:
            bar.setElideMode(Qt.TextElideMode.ElideNone)
            bar.setUsesScrollButtons(True)
            bar.setExpanding(True)


def _tabify(window: QMainWindow, holder: QDockWidget) -> None:
    """Tabify a dock with another of ours in the same dock area, unless it is a tab already or floats."""
    if holder.isFloating() or window.tabifiedDockWidgets(holder):
        return
    area = window.dockWidgetArea(holder)
    for other in window.findChildren(QDockWidget):
        is_ours = other is not holder and isinstance(other.widget(), Dock)
        if (
            is_ours
            and other.isVisible()
            and not other.isFloating()
            and window.dockWidgetArea(other) == area
        ):
            window.tabifyDockWidget(other, holder)
            holder.show()
            holder.raise_()
            return
