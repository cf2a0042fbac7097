"""Messages, notices, questions, labels, colours and the box for layers."""

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QApplication, QLineEdit, QMessageBox, QPushButton, QVBoxLayout, QWidget

from keyboard import has_keys, press
from napari_cryoet._qt.widgets.dialogs import agrees
from napari_cryoet._qt.widgets.labels import ElidedLabel, plain_label
from napari_cryoet._qt.widgets.layer_combo import LayerCombo
from napari_cryoet._qt.widgets.messages import Action, MessagePanel, NoticeBar
from napari_cryoet._qt.widgets.theme import (
    KEPT_COLOR,
    PLACEHOLDER_SHARE,
    REJECTED_COLOR,
    blend,
    colors_of,
    style_sheet,
)


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


@pytest.mark.parametrize("lines", [1, 2])
def test_labels_yield_to_any_width_and_tell_all_in_the_tooltip(qtbot, lines):
    label = ElidedLabel(lines=lines)
    qtbot.addWidget(label)
    label.setText("<b>A title</b> " * 30)
    assert label.minimumSizeHint().width() < 40
    assert label.textFormat() == Qt.TextFormat.PlainText
    assert label.toolTip().count("&lt;b&gt;") == 30
    label.resize(200, 40)
    label.grab()


def test_long_words_are_broken_and_numbers_stay_with_their_units(qtbot):
    label = plain_label(f"{'w' * 400} within 15 nm")
    qtbot.addWidget(label)
    label.setFixedWidth(300)
    assert label.heightForWidth(300) > 8 * label.fontMetrics().lineSpacing()
    assert label.text().endswith("within 15 nm"), "as it was given"


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

    def test_closed_down_it_hears_no_more(self, viewer_model, combo):
        combo.close_down()
        viewer_model.add_image(np.zeros((4, 4)))
        assert combo.layer is None


def contrast(one: QColor, other: QColor) -> float:
    """After WCAG 2: 4.5 is enough for text, 3 for marks."""
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def luminance(color: QColor) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in color.getRgbF()[:3]]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.fixture(params=["dark", "light"])
def colors(request):
    return colors_of(request.param)


def test_text_can_be_read_wherever_it_stands(colors):
    for text, background in [
        (colors.text, colors.background),
        (colors.text, colors.raised),
        (colors.text, colors.border),
        (colors.text, colors.selection),
        (colors.dim, colors.background),
        (colors.dim, colors.raised),
        (colors.warning, colors.raised),
        (blend(colors.text, colors.border, PLACEHOLDER_SHARE), colors.border),  # fields are of the border's colour
    ]:
        assert contrast(text, background) > 4.5


def test_marks_stand_out(colors):
    for mark in (colors.accent, KEPT_COLOR, REJECTED_COLOR):
        assert contrast(mark, colors.background) > 3
