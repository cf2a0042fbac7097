"""Messages, notices, questions, labels, colours and the box for layers."""

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QLineEdit, QMessageBox, QPushButton, QVBoxLayout, QWidget

from keyboard import has_keys, press
from napari_cryoet._qt.widgets.layer_combo import LayerCombo
from napari_cryoet._qt.widgets.messages import Action, MessagePanel, agrees


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


@pytest.mark.parametrize(
    ("key", "is_harmless", "answer"),
    [(Qt.Key.Key_Return, True, True), (Qt.Key.Key_Return, False, False), (Qt.Key.Key_Escape, True, False)],
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


class TestLayerCombo:
    @pytest.fixture
    def combo(self, qtbot, viewer_model):
        combo = LayerCombo(viewer_model, lambda layer: isinstance(layer, Image), "What is judged", "nothing is open")
        qtbot.addWidget(combo)
        yield combo
        combo.close_down()

    def test_it_follows_the_viewer(self, qtbot, viewer_model, combo):
        assert (combo.layer, combo.isEnabled(), combo.placeholderText()) == (None, False, "nothing is open")
        viewer_model.add_points(np.zeros((1, 3)))
        first, second = (viewer_model.add_image(np.zeros((4, 4)), name=name) for name in ("first", "second"))
        assert combo.layer is first, "others come and go beside it"
        combo.choose(second)
        second.name = "renamed"
        qtbot.waitUntil(lambda: combo.currentText() == "renamed")
        assert "What is judged" in combo.toolTip()
        with qtbot.waitSignal(combo.layer_changed):
            viewer_model.layers.remove(second)
        assert combo.layer is first
