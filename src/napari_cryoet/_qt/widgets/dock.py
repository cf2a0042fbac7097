"""The base of all docks: viewer, theme and tasks, a tab beside our other docks, and keys that stay in the dock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from npe2 import PluginManager
from npe2.manifest.utils import import_python_name
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
from napari_cryoet._qt.widgets.theme import Theme

if TYPE_CHECKING:
    import napari

PLUGIN_NAME: Final = "napari-cryoet"
COMMAND_KEYS: Final = (
    Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.MetaModifier
)
_ENTER: Final = (Qt.Key.Key_Return, Qt.Key.Key_Enter)
_DELETE: Final = (Qt.Key.Key_Delete, Qt.Key.Key_Backspace)
_EDITING: Final = (
    QKeySequence.StandardKey.SelectAll,
    QKeySequence.StandardKey.Copy,
    QKeySequence.StandardKey.Cut,
    QKeySequence.StandardKey.Paste,
)
_LEAST_PX: Final = QSize(320, 280)
_WIDEST_NEED_PX: Final = 360  # a window of 1280 pixels has no more beside napari's own columns


def open_dock(viewer: napari.Viewer, name: str) -> Any:
    """Open one of our docks as napari's menu does, so that the menu knows it; or bring it to the front."""
    manifest = PluginManager.instance().get_manifest(PLUGIN_NAME)
    full_name = f"{name} ({manifest.display_name})"
    dock = viewer.window.dock_widgets.get(full_name)
    if dock is None:
        command = next(each.command for each in manifest.contributions.widgets or () if each.display_name == name)
        commands = {each.id: each.python_name or "" for each in manifest.contributions.commands or ()}
        dock = import_python_name(commands[command])(viewer)
        viewer.window.add_dock_widget(dock, name=full_name)
    dock.come_forward()
    return dock


class Dock(QWidget):
    """A widget for napari's docks.

    It opens as a tab beside our other docks and takes the keys when its tab is chosen. Keys typed in it never reach
    napari's layers: there, 1 or Delete would delete the selected points.

    Parameters
    ----------
    viewer
        The viewer that the dock works for.
    name
        Its name in napari's menu.
    tab_name
        A name so short that six tabs have room.
    """

    def __init__(self, viewer: napari.Viewer, name: str, *, tab_name: str) -> None:
        super().__init__()
        self.setObjectName(type(self).__name__)
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.viewer, self.tab_name = viewer, tab_name
        self._at_close = ExitStack()
        self._is_placed = False
        self._is_behind = False  # another tab is in front
        self._wants_keys = False
        self._arrive_soon = single_shot(self, 0, self._arrive)  # once napari has placed it
        self._come_forward_soon = single_shot(self, 0, self.come_forward)
        self.theme = Theme(viewer, self)
        self.theme.style(self)
        self.at_close(self.theme.close)
        self.tasks = Tasks(self)
        self.at_close(self.tasks.close)

    # what docks use and override

    def listen(self, emitter: Any, slot: Callable[..., object]) -> None:
        """Connect a napari event until the dock closes."""
        emitter.connect(slot)
        self.at_close(lambda: emitter.disconnect(slot))

    def at_close(self, end: Callable[[], object]) -> None:
        """Call ``end`` once when the dock closes; what was added last ends first."""
        self._at_close.callback(end)

    def take_keys(self) -> None:
        """Focus the control where work begins: by default the first."""
        next(self._controls_after(self), self).setFocus(Qt.FocusReason.OtherFocusReason)

    def place_in(self, window: QMainWindow, holder: QDockWidget) -> None:
        """Find a place in the window: by default as a tab over another of our docks."""
        _tabify(window, holder)

    def close_down(self) -> None:
        """End the tasks and disconnect from the viewer, for good; a second call does nothing."""
        self._at_close.close()

    def sizeHint(self) -> QSize:
        return QSize(380, 720)

    def minimumSizeHint(self) -> QSize:
        """Everything is usable down to this; large fonts take a little more, and what needs still more scrolls."""
        width = super().minimumSizeHint().width()
        height = _LEAST_PX.height() if self._is_placed else 1  # before it is a tab, the window would grow
        return QSize(min(max(_LEAST_PX.width(), width), _WIDEST_NEED_PX), height)

    # how it comes and goes

    def event(self, event: QEvent | None) -> bool:
        """Drop the focus before the dock leaves its holder: Qt would keep a pointer to the control, and crash."""
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
        elif holder is None:  # napari has closed the dock
            self.close_down()

    def closeEvent(self, event: QCloseEvent | None) -> None:
        self.close_down()
        super().closeEvent(event)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Come to the front where napari's menu shows it; napari would leave it behind another tab."""
        super().showEvent(event)
        if event is not None and not event.spontaneous() and self.isActiveWindow():
            self._come_forward_soon.start()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Come to the front where napari's menu would hide a dock that is behind another tab."""
        super().hideEvent(event)
        holder = self.parent()
        if self._is_behind and isinstance(holder, QDockWidget) and holder.isHidden():
            self._come_forward_soon.start()

    def _shorten_titles(self, holder: QDockWidget) -> None:
        """Take the plugin's name out of the title and the tab; napari makes the title anew when a dock is moved."""
        holder.setWindowTitle(self.tab_name)
        bar, action = holder.titleBarWidget(), holder.toggleViewAction()
        if action is not None:
            action.setText(self.accessibleName())
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
            self._wants_keys = holder.isActiveWindow()  # not where it opens together with its window
            self._arrive_soon.start()

    def _arrive(self) -> None:
        holder, window = self.parent(), self.window()
        if not isinstance(holder, QDockWidget) or not isinstance(window, QMainWindow) or not self.isVisible():
            return
        if not self._is_placed:
            self._is_placed = True
            self.place_in(window, holder)
            self.updateGeometry()
        self._shorten_titles(holder)
        _show_whole_names(window, holder)
        if self._wants_keys and not self._is_behind and not self.isAncestorOf(QApplication.focusWidget()):
            self.take_keys()

    def come_forward(self) -> None:
        """Show the dock, in front of other tabs, and give it the keys."""
        holder = self.parent()
        if isinstance(holder, QDockWidget):
            holder.show()
            holder.raise_()
            self._wants_keys = True
            self._arrive_soon.start()

    # keys

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Press a button with Enter; keep other keys from napari's layers."""
        if event is None:
            return
        has_command, control = bool(event.modifiers() & COMMAND_KEYS), QApplication.focusWidget()
        is_text = not has_command and bool(event.text()) and event.text().isprintable()
        if event.key() in _ENTER and not has_command and isinstance(control, QPushButton | QToolButton):
            control.click()
        elif is_text or event.key() in _DELETE or any(event.matches(standard) for standard in _EDITING):
            event.accept()
        else:
            super().keyPressEvent(event)

    def focusNextPrevChild(self, forwards: bool) -> bool:
        """Keep the keys in the dock where a control with the keys is hidden or disabled, as a pressed Stop is."""
        here = self.focusWidget()
        if here is None or not self.isVisible() or not self.isAncestorOf(here):
            return super().focusNextPrevChild(forwards)
        if here.isVisible() and here.isEnabled():
            return super().focusNextPrevChild(forwards)
        heir = next(self._controls_after(here), self)
        heir.setFocus(Qt.FocusReason.OtherFocusReason)
        return True

    def _controls_after(self, here: QWidget) -> Iterator[QWidget]:
        """What Tab leads to from here to the end of the dock."""
        control = here.nextInFocusChain()
        while control is not None and self.isAncestorOf(control):
            takes_tab = control.focusPolicy().value & Qt.FocusPolicy.TabFocus.value
            if takes_tab and control.isVisible() and control.isEnabled() and control.focusProxy() is None:
                yield control
            control = control.nextInFocusChain()


def _show_whole_names(window: QMainWindow, holder: QDockWidget) -> None:
    """Let the tabs scroll where there is no room for all: Qt shortens them until all look alike."""
    for bar in window.findChildren(QTabBar, options=Qt.FindChildOption.FindDirectChildrenOnly):
        is_ours = holder.windowTitle() in {bar.tabText(number) for number in range(bar.count())}
        if is_ours and bar.elideMode() != Qt.TextElideMode.ElideNone:
            bar.setElideMode(Qt.TextElideMode.ElideNone)
            bar.setUsesScrollButtons(True)
            bar.setExpanding(True)


def _tabify(window: QMainWindow, holder: QDockWidget) -> None:
    """Lay a dock over another of ours at the same edge of the window, unless it is a tab already or floats."""
    if holder.isFloating() or window.tabifiedDockWidgets(holder):
        return
    area = window.dockWidgetArea(holder)
    for other in window.findChildren(QDockWidget):
        is_ours = other is not holder and isinstance(other.widget(), Dock)
        if is_ours and other.isVisible() and not other.isFloating() and window.dockWidgetArea(other) == area:
            window.tabifyDockWidget(other, holder)
            holder.show()
            holder.raise_()
            return
