"""What docks share that are worked by keys: where the keys are once one opens, and that they stay in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtGui import QCloseEvent, QHideEvent, QKeyEvent, QKeySequence, QShowEvent
from qtpy.QtWidgets import QApplication, QDockWidget, QMainWindow, QPushButton, QTabBar, QToolButton, QWidget

from napari_cryoet._qt.ending import close_window_at_end_of
from napari_cryoet._qt.widgets.item_list import ENTER_KEYS
from napari_cryoet._qt.widgets.timers import single_shot

_DELETING_KEYS = (Qt.Key.Key_Delete, Qt.Key.Key_Backspace)
_EDITING = (
    QKeySequence.StandardKey.SelectAll,
    QKeySequence.StandardKey.Copy,
    QKeySequence.StandardKey.Cut,
    QKeySequence.StandardKey.Paste,
)
#: After these a dock's title may cover more of it, or less.
_MOVES = (QEvent.Type.Resize, QEvent.Type.Move, QEvent.Type.Show, QEvent.Type.LayoutRequest, QEvent.Type.FontChange)
_NO_ROOM_YET_PX = 1
LEAST_PX = QSize(320, 280)  # all docks are usable down to this, with letters of napari's size
WIDEST_NEED_PX = 360  # however large letters are: a window of 1280 pixels has no more beside napari's own columns
COMMAND_KEYS = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.MetaModifier


class Dock(QWidget):
    """A widget for napari's docks.

    It becomes a tab beside other such docks, since two of them one above the other have no room. Opened in a window
    that a person works in, it takes the keys; so it does when its tab is chosen. A click beside its controls lets
    keys go to the dock. A control that has the keys and is hidden or disabled, as a Stop is that was pressed, passes
    them on within the dock. Enter presses a button as Space does. Whatever else is typed in it ends here, and so do
    Delete, copying and pasting: napari would do to the layers what such keys mean there. 1 deletes the points that are
    selected, Ctrl+Delete the selected layers.
    """

    tab_name: ClassVar[str] = ""  # so short that six tabs have room; the title above the dock says all

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self._has_arrived = False
        self._is_behind = False  # another tab is in front
        self._is_wanted = False  # a person works in its window, and so in it
        self._arrive_soon = single_shot(self, 0, self._arrive)  # once napari has placed it
        self._come_forward_soon = single_shot(self, 0, self._come_forward)
        self._need_room_soon = single_shot(self, 0, self._need_room)

    def minimumSizeHint(self) -> QSize:
        """Everything is usable down to this; large letters take a little more, and what needs still more scrolls."""
        needed = super().minimumSizeHint().width()
        return QSize(min(max(LEAST_PX.width(), needed), WIDEST_NEED_PX), LEAST_PX.height())

    def take_keys(self) -> None:
        """Let keys go to where one begins: the first control."""
        next(self._controls_after(self), self).setFocus(Qt.FocusReason.OtherFocusReason)

    def lie_in(self, window: QMainWindow, holder: QDockWidget) -> None:
        """Find its place in a window that it is opened in."""
        _tabify(window, holder)

    def take_out(self) -> None:
        """Begin, or begin again: napari has put it into a dock."""

    def put_away(self) -> None:
        """End what runs: napari closes a dock by leaving its widget without a parent."""

    def close_down(self) -> None:
        """End everything, and hear no more of the viewer, for good."""

    def closeEvent(self, event: QCloseEvent | None) -> None:
        """Close down."""
        self.close_down()
        super().closeEvent(event)

    def event(self, event: QEvent | None) -> bool:
        """Give the keys up before it leaves what holds it: that would go on to point to the control, and Qt crash."""
        if event is not None and event.type() in _MOVES:
            self._begin_below_title()
        if event is not None and event.type() == QEvent.Type.ParentAboutToChange:
            holder = self.parentWidget()
            here = holder.focusWidget() if holder is not None else None
            if here is not None and (here is self or self.isAncestorOf(here)):
                here.clearFocus()
        return super().event(event)

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow what holds it."""
        super().changeEvent(event)
        if event is None or event.type() != QEvent.Type.ParentChange:
            return
        holder = self.parent()
        if isinstance(holder, QDockWidget):
            holder.visibilityChanged.connect(self._on_seen)
            close_window_at_end_of(self)
            self._name_tab(holder)
            # until it is a tab: below other docks, or beside the viewer, there may be no room, and the window grows
            self.setMinimumSize(_NO_ROOM_YET_PX, _NO_ROOM_YET_PX)
            self._need_room_soon.start()
            self.take_out()
        elif holder is None:
            self.put_away()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """What no control had a use for."""
        if event is None:
            return
        has_command, control = bool(event.modifiers() & COMMAND_KEYS), QApplication.focusWidget()
        if event.key() in ENTER_KEYS and not has_command and isinstance(control, QPushButton | QToolButton):
            control.click()
        elif _would_edit_layers(event) or (not has_command and event.text() and event.text().isprintable()):
            event.accept()
        else:
            super().keyPressEvent(event)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Come forward where napari's menu shows it: napari itself leaves it behind the tab in front."""
        super().showEvent(event)
        if self.minimumHeight() == _NO_ROOM_YET_PX:
            self._need_room_soon.start()
        if event is not None and not event.spontaneous() and self.isActiveWindow():
            self._come_forward_soon.start()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Come forward where napari's menu hides what stands behind another tab: whoever chose it wants to see it."""
        super().hideEvent(event)
        holder = self.parent()
        if self._is_behind and isinstance(holder, QDockWidget) and holder.isHidden():
            self._come_forward_soon.start()

    def focusNextPrevChild(self, forwards: bool) -> bool:
        """Stay in the dock where Qt looks for another control because this one went, and the dock did not."""
        here = self.focusWidget()
        is_lost = here is not None and self.isAncestorOf(here) and not (here.isVisible() and here.isEnabled())
        is_lost = is_lost and self.isVisible()
        if here is None or not is_lost:
            return super().focusNextPrevChild(forwards)
        heir = next(self._controls_after(here), None) or next(self._controls_after(here, forwards=False), self)
        heir.setFocus(Qt.FocusReason.OtherFocusReason)
        return True

    def _begin_below_title(self) -> None:
        """Leave the room free that the title takes: napari's grows with its letters, though it says 20 pixels."""
        holder = self.parent()
        title = holder.titleBarWidget() if isinstance(holder, QDockWidget) else None
        if not isinstance(holder, QDockWidget) or title is None or not title.isVisible():
            return
        is_beside = bool(holder.features() & QDockWidget.DockWidgetFeature.DockWidgetVerticalTitleBar)
        covered = title.geometry().right() + 1 - self.x() if is_beside else title.geometry().bottom() + 1 - self.y()
        left, top = (max(0, covered), 0) if is_beside else (0, max(0, covered))
        margins = self.contentsMargins()
        if (margins.left(), margins.top()) != (left, top):
            self.setContentsMargins(left, top, margins.right(), margins.bottom())

    def _name_tab(self, holder: QDockWidget) -> None:
        """Give its tab a short name in place of napari's, which says the plugin's in each; never of others'."""
        title, name = holder.windowTitle(), self.accessibleName()
        if self.tab_name and (title == name or title.startswith(f"{name} (")):
            holder.setWindowTitle(self.tab_name)
            action = holder.toggleViewAction()
            if action is not None:
                action.setText(title)  # in the menu of a right click on a title, which has room

    def _on_seen(self, is_seen: bool) -> None:
        """It was shown or hidden, or its tab was chosen or left."""
        holder, window = self.parent(), self.window()
        if not isinstance(holder, QDockWidget) or window is None:
            return
        if is_seen or not holder.isHidden():
            self._is_behind = not is_seen
        if is_seen:
            self._is_wanted = window.isActiveWindow()  # not where the window itself opens
            self._arrive_soon.start()

    def _arrive(self) -> None:
        holder, window = self.parent(), self.window()
        if not isinstance(holder, QDockWidget) or not isinstance(window, QMainWindow) or not self.isVisible():
            return
        if not self._has_arrived:
            self._has_arrived = True
            self.lie_in(window, holder)
        _show_whole_names(window, holder)
        if self._is_wanted and not self._is_behind and not self.isAncestorOf(QApplication.focusWidget()):
            self.take_keys()

    def _need_room(self) -> None:
        """Find its place, and need the room there that its controls need."""
        window = self.window()
        if isinstance(window, QMainWindow):
            if not window.isVisible():
                return  # until it is shown
            self._is_wanted = window.isActiveWindow()
            self._arrive()
            if any(_is_on_its_way(dock, window) for dock in window.findChildren(Dock)):
                self._need_room_soon.start()  # opened together, as by a script: none needs room before all are tabs
                return
        self.setMinimumSize(0, 0)  # as much as the hint says

    def _come_forward(self) -> None:
        holder = self.parent()
        if isinstance(holder, QDockWidget):
            holder.show()
            holder.raise_()
            self._is_wanted = True
            self._arrive_soon.start()

    def _controls_after(self, here: QWidget, *, forwards: bool = True) -> Iterator[QWidget]:
        """What Tab leads to from here to the end, or the beginning, of the dock."""
        control = here
        while True:
            following = control.nextInFocusChain() if forwards else control.previousInFocusChain()
            if following is None or not self.isAncestorOf(following):
                return
            control = following
            takes_tab = control.focusPolicy().value & Qt.FocusPolicy.TabFocus.value
            if takes_tab and control.isVisible() and control.isEnabled() and control.focusProxy() is None:
                yield control


def _would_edit_layers(event: QKeyEvent) -> bool:
    return event.key() in _DELETING_KEYS or any(event.matches(standard) for standard in _EDITING)


def _is_on_its_way(dock: Dock, window: QMainWindow) -> bool:
    """Whether a dock is to find its place in a window."""
    is_there = dock.isVisible() and dock.window() is window and isinstance(dock.parent(), QDockWidget)
    return is_there and not dock._has_arrived


def _show_whole_names(window: QMainWindow, holder: QDockWidget) -> None:
    """Let the tabs of a dock scroll where there is no room for all: Qt shortens them until all look alike."""
    for bar in window.findChildren(QTabBar, options=Qt.FindChildOption.FindDirectChildrenOnly):
        is_ours = holder.windowTitle() in {bar.tabText(number) for number in range(bar.count())}
        if is_ours and bar.elideMode() != Qt.TextElideMode.ElideNone:  # once: each would lay them out anew
            bar.setElideMode(Qt.TextElideMode.ElideNone)
            bar.setUsesScrollButtons(True)
            bar.setExpanding(True)  # else napari's bar shows as a grey rest beside short names


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
