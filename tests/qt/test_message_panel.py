"""Messages that stand in for a list: what their buttons do, and how the keys get there."""

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLineEdit, QPushButton, QVBoxLayout, QWidget

from keyboard import has_keys, press
from napari_cryoet._qt.widgets.message_panel import Action, MessagePanel


def test_tab_leads_from_what_is_before_a_message_to_its_buttons_and_then_to_what_is_after(qtbot):
    window = QWidget()
    qtbot.addWidget(window)
    before, panel, after = QLineEdit(), MessagePanel(), QPushButton()
    column = QVBoxLayout(window)
    for part in (before, panel, after):
        column.addWidget(part)
    window.show()
    with qtbot.waitActive(window):
        window.activateWindow()
    done = []
    panel.show_message(
        "Nothing", actions=[Action("one", lambda: done.append(1)), Action("two", lambda: done.append(2))]
    )

    before.setFocus()
    for text in ("one", "two"):
        press(Qt.Key.Key_Tab)
        assert has_keys(panel.button(text))
        press(Qt.Key.Key_Return)
    press(Qt.Key.Key_Tab)
    assert has_keys(after)
    assert done == [1, 2]

    panel.show_message("Less", actions=[Action("one", lambda: done.append(3))])
    panel.take_focus()
    press(Qt.Key.Key_Return)
    press(Qt.Key.Key_Tab)
    assert has_keys(after)
    assert done == [1, 2, 3]
