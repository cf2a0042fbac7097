"""Messages, notices and questions: what their buttons do, and how the keys get there."""

import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QLineEdit, QMessageBox, QPushButton, QVBoxLayout, QWidget

from keyboard import has_keys, press
from napari_cryoet._qt.widgets.dialogs import agrees
from napari_cryoet._qt.widgets.messages import Action, MessagePanel, NoticeBar
from napari_cryoet._qt.widgets.theme import style_sheet


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


@pytest.fixture
def bar(qtbot, theme):
    bar = NoticeBar(theme)
    bar.setStyleSheet(style_sheet(theme.colors))
    qtbot.addWidget(bar)
    bar.resize(300, 60)
    return bar


def border_of(bar):
    return bar.grab().toImage().pixelColor(bar.width() // 2, 0).name()


def test_only_what_one_should_mind_looks_like_a_warning(bar, theme):
    colors = theme.colors
    bar.show_news("Took over 3 decisions.")
    assert border_of(bar) == colors.border.name()

    bar.show_notice("The server sent half of a block.")
    assert border_of(bar) == colors.warning.name()


@pytest.mark.parametrize(
    ("key", "is_harmless", "answer"),
    [
        (Qt.Key.Key_Return, True, True),
        (Qt.Key.Key_Return, False, False),
        (Qt.Key.Key_Escape, True, False),
        (Qt.Key.Key_Escape, False, False),
    ],
)
def test_enter_agrees_to_what_is_harmless_and_escape_to_nothing(qtbot, key, is_harmless, answer):
    seen = []

    def press():
        box = QApplication.activeModalWidget()
        if isinstance(box, QMessageBox):
            seen.append(box.textFormat())
            qtbot.keyClick(box, key)

    timer = QTimer(interval=20)
    timer.timeout.connect(press)
    timer.start()
    assert agrees(None, "Really?", "There is a <b>file</b>.", verb="Replace", is_harmless=is_harmless) is answer
    timer.stop()
    assert seen[0] == Qt.TextFormat.PlainText
