"""Keys and clicks as a person's reach a window: to whatever has the focus, and to whatever lies there."""

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
    """Press a key in the window in front."""
    window = QApplication.activePopupWidget() or QApplication.activeModalWidget() or QApplication.activeWindow()
    assert window is not None, "no window is in front"
    QTest.keyClick(window.windowHandle(), key, modifiers)
    QApplication.processEvents()


def click(widget: QWidget, at: QPoint | None = None) -> None:
    """Click what is seen of a widget, by default its middle."""
    window = widget.window()
    place = widget.mapTo(window, widget.rect().center() if at is None else at)
    hit = window.childAt(place)
    assert hit is widget or widget.isAncestorOf(hit), f"{widget} is covered by {hit}"
    QTest.mouseClick(window.windowHandle(), Qt.MouseButton.LeftButton, NONE, place)
    QApplication.processEvents()


def has_keys(widget: QWidget) -> bool:
    """Whether keys go to a widget or to a part of it."""
    focus = QApplication.focusWidget()
    return focus is not None and (focus is widget or widget.isAncestorOf(focus))


def spoken(widget: QWidget) -> str:
    """What a control is read aloud as: by its own name, what a button says, or the label that leads to it."""
    buddies = (label.text() for label in widget.window().findChildren(QLabel) if label.buddy() is widget)
    text = widget.text() if isinstance(widget, QAbstractButton) else ""
    return widget.accessibleName() or text or next(buddies, "")


def picture(widget: QWidget) -> np.ndarray:
    """Red, green and blue of every pixel of a widget, as it is drawn now."""
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    bits = image.constBits().asarray(image.sizeInBytes())
    rows = np.frombuffer(bits, np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).astype(int)


def marks_of_keys(control: QWidget, dock: QWidget) -> int:
    """How many pixels of a dock look otherwise while a control of it has the keys."""
    focus = QApplication.focusWidget()
    if focus is not None:
        focus.clearFocus()
    QApplication.processEvents()
    without = picture(dock)
    control.setFocus(Qt.FocusReason.TabFocusReason)
    QApplication.processEvents()
    return int((abs(picture(dock) - without).max(axis=2) > 40).sum())


def controls_by_tab(dock: QWidget) -> list[QWidget]:
    """What Tab leads to in a dock, from what has the keys on until it leaves the dock or comes round."""
    found: list[QWidget] = []
    while has_keys(dock) and QApplication.focusWidget() not in found:
        found.append(QApplication.focusWidget())
        press(Qt.Key.Key_Tab)
    return found


class Keys:
    """A user without a mouse."""

    def __init__(self, qtbot, viewer) -> None:
        self._qtbot, self._viewer = qtbot, viewer

    def until(self, condition) -> None:
        self._qtbot.waitUntil(condition)

    def type(self, text: str) -> None:
        self._qtbot.keyClicks(QApplication.focusWidget(), text)

    def open_dock(self, name: str) -> QWidget:
        """Open a dock from napari's command palette; it has the keys then."""
        press(Qt.Key.Key_P, CONTROL | SHIFT)
        self.until(lambda: isinstance(QApplication.focusWidget(), QLineEdit))
        self.type(name)
        press(Qt.Key.Key_Return)
        title = f"{name} (CryoET Data Portal)"
        self.until(lambda: title in self._viewer.window.dock_widgets)
        dock = self._viewer.window.dock_widgets[title]
        self.until(lambda: has_keys(dock))
        return dock

    def tab_to(self, control: QWidget, *, back: bool = False) -> None:
        passed = []
        while not has_keys(control):
            assert len(passed) < 40, f"Tab leads to {[spoken(each) for each in passed]} and not to {control}"
            passed.append(QApplication.focusWidget())
            press(Qt.Key.Key_Backtab if back else Qt.Key.Key_Tab, SHIFT if back else Qt.KeyboardModifier.NoModifier)

    def choose(self, box: QWidget, text: str) -> None:
        """Choose in a combo box that has the keys."""
        if box.currentText() != text:
            press(Qt.Key.Key_Home)
        for _ in range(box.count()):
            if box.currentText() != text:
                press(Qt.Key.Key_Down)
        assert box.currentText() == text
