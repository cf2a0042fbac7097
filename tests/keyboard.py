"""Keys and clicks that reach windows as a user's do: the focused widget, and the widget at a position."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QImage
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QApplication, QLabel, QLineEdit, QWidget

NONE, SHIFT, CONTROL = (
    Qt.KeyboardModifier.NoModifier,
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.ControlModifier,
)


def press(key: Qt.Key, modifiers: Qt.KeyboardModifier = NONE) -> None:
    """Press a key in the active window."""
    window = (
        QApplication.activePopupWidget()
        or QApplication.activeModalWidget()
        or QApplication.activeWindow()
    )
    assert window is not None, "no window is active"
    QTest.keyClick(window.windowHandle(), key, modifiers)
    QApplication.processEvents()


def click(widget: QWidget, at: QPoint | None = None) -> None:
    """Click a widget where it is visible, by default at its centre."""
    window = widget.window()
    position = widget.mapTo(window, widget.rect().center() if at is None else at)
    hit = window.childAt(position)
    assert hit is widget or widget.isAncestorOf(hit), f"{widget} is covered by {hit}"
    QTest.mouseClick(window.windowHandle(), Qt.MouseButton.LeftButton, NONE, position)
    QApplication.processEvents()


def has_keys(widget: QWidget) -> bool:
    """Whether a widget or one of its descendants has the keyboard focus."""
    focus = QApplication.focusWidget()
    return focus is not None and (focus is widget or widget.isAncestorOf(focus))


def spoken(widget: QWidget) -> str:
    """The name that screen readers use for a control: its accessible name, button text or label."""
    buddies = (
        label.text() for label in widget.window().findChildren(QLabel) if label.buddy() is widget
    )
    text = widget.text() if isinstance(widget, QAbstractButton) else ""
    return widget.accessibleName() or text or next(buddies, "")


def picture(widget: QWidget) -> np.ndarray:
    """The RGB pixels of a widget, as an array (height, width, 3)."""
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    bits = image.constBits().asarray(image.sizeInBytes())
    rows = np.frombuffer(bits, np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).astype(int)


def marks_of_keys(control: QWidget, dock: QWidget) -> int:
    """The number of pixels of a dock that change when a control gets the keyboard focus."""
    focus = QApplication.focusWidget()
    if focus is not None:
        focus.clearFocus()
    QApplication.processEvents()
    without = picture(dock)
    control.setFocus(Qt.FocusReason.TabFocusReason)
    QApplication.processEvents()
    return int((abs(picture(dock) - without).max(axis=2) > 40).sum())


def controls_by_tab(dock: QWidget) -> list[QWidget]:
    """The controls of a dock in tab order, starting at the focused one."""
    found: list[QWidget] = []
    while has_keys(dock) and QApplication.focusWidget() not in found:
        found.append(QApplication.focusWidget())
        press(Qt.Key.Key_Tab)
    return found


class Keys:
    """Simulates a user without a mouse."""

    def __init__(self, qtbot, viewer) -> None:
        self._qtbot, self._viewer = qtbot, viewer

    def until(self, condition) -> None:
        self._qtbot.waitUntil(condition)

    def type(self, text: str) -> None:
        self._qtbot.keyClicks(QApplication.focusWidget(), text)

    def open_dock(self, name: str) -> QWidget:
        """Open a dock from napari's command palette, and wait until it has the keyboard focus."""
        press(Qt.Key.Key_P, CONTROL | SHIFT)
        self.until(lambda: isinstance(QApplication.focusWidget(), QLineEdit))
        self.type(name)
        press(Qt.Key.Key_Return)
        title = f"{name} (CryoET Explorer)"
        self.until(lambda: title in self._viewer.window.dock_widgets)
        dock = self._viewer.window.dock_widgets[title]
        self.until(lambda: has_keys(dock))
        return dock

    def tab_to(self, control: QWidget, *, back: bool = False) -> None:
        passed = []
        while not has_keys(control):
            assert len(passed) < 40, (
                f"Tab leads to {[spoken(each) for each in passed]} and not to {control}"
            )
            passed.append(QApplication.focusWidget())
            press(
                Qt.Key.Key_Backtab if back else Qt.Key.Key_Tab,
                SHIFT if back else Qt.KeyboardModifier.NoModifier,
            )

    def choose(self, box: QWidget, text: str) -> None:
        """Choose an item of the focused combo box."""
        if box.currentText() != text:
            press(Qt.Key.Key_Home)
        for _ in range(box.count()):
            if box.currentText() != text:
                press(Qt.Key.Key_Down)
        assert box.currentText() == text
