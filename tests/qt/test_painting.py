"""Text and ticks in rows."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QEvent, QPoint, QRect, Qt
from qtpy.QtGui import QColor, QFont, QFontMetrics, QHelpEvent, QImage, QPainter
from qtpy.QtWidgets import QApplication, QComboBox, QToolTip

from napari_cryoet._qt.elided_combo import elide_middle
from napari_cryoet._qt.labels import ElidedLabel, TitleLabel, plain_label, plain_tooltip
from napari_cryoet._qt.painting import Look, draw_tick, first_line, readable_on
from napari_cryoet._qt.theme import colors_of

WHITE, BLACK = "#ffffff", "#000000"


@pytest.mark.parametrize(
    ("background", "mark"), [("yellow", BLACK), ("#3b00ff", WHITE), ("#aa5500", WHITE), ("white", BLACK)]
)
def test_a_check_mark_stands_out_from_any_colour(background, mark):
    assert readable_on(QColor(background)).name() == mark


def test_the_first_line_breaks_between_words(qapp):
    font = QFont()
    width = QFontMetrics(font).horizontalAdvance("one two thr")
    assert first_line("one two three", font, width).strip() == "one two"
    assert first_line("short", font, width) == "short"
    assert first_line("", font, width) == ""


@pytest.mark.parametrize(("is_visible", "is_filled"), [(True, True), (False, False)])
def test_the_tick_of_a_layer_is_filled_while_its_eye_is_open(qapp, is_visible, is_filled):
    image = QImage(40, 40, QImage.Format.Format_RGB32)
    image.fill(QColor("black"))
    painter = QPainter(image)
    look = Look(QColor("#ff0000"), is_visible)
    draw_tick(painter, QRect(0, 0, 40, 40), Qt.CheckState.Checked, colors_of("dark"), look=look)
    painter.end()
    inside = image.pixelColor(15, 26)  # a corner of the box that the check mark doesn't touch
    assert (inside.name() == "#ff0000") is is_filled


def contrast(front: QColor, back: QColor) -> float:
    def luminance(color: QColor) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color.getRgbF()[:3]]
        return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    lighter, darker = sorted((luminance(front), luminance(back)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("name", ["dark", "light"])
def test_text_can_be_read_in_both_themes(name):
    colors = colors_of(name)
    assert contrast(colors.text, colors.background) >= 7
    assert contrast(colors.dim, colors.background) >= 4.5
    assert contrast(colors.warning, colors.background) >= 4.5
    for background in (colors.selection, colors.raised, colors.border):
        assert contrast(colors.text, background) >= 4.5


@pytest.mark.parametrize("label_type", [ElidedLabel, TitleLabel])
def test_labels_yield_to_any_width_and_tell_all_in_the_tooltip(qtbot, label_type):
    label = label_type()
    qtbot.addWidget(label)
    label.setText("<b>A title</b> " * 30)
    assert label.minimumSizeHint().width() < 40
    assert label.textFormat() == Qt.TextFormat.PlainText
    assert label.toolTip().count("&lt;b&gt;") == 30
    label.resize(200, 40)
    label.grab()


def test_an_empty_text_has_no_tooltip():
    assert plain_tooltip("") == ""


def test_a_word_that_is_longer_than_a_line_is_broken_and_seen_to_its_end(qtbot):
    label = plain_label("Wrote " + "a_very_long_name_" * 6)
    qtbot.addWidget(label)
    line = label.fontMetrics().lineSpacing()
    label.resize(150, label.heightForWidth(150))
    picture = label.grab().toImage()
    background = picture.pixelColor(149, 0)
    last = [picture.pixelColor(x, y) for x in range(150) for y in range(label.height() - line, label.height())]

    assert label.minimumSizeHint().width() <= 60
    assert label.heightForWidth(150) >= 5 * line
    assert any(color != background for color in last)


def test_a_wrapping_label_is_no_higher_than_its_lines(qtbot):
    label = plain_label("A (DEMO_001 · cytosolic ribosome · oriented points · AN-9003) against B, the reference")
    label.setStyleSheet("QLabel { border: 1px solid black; }")
    qtbot.addWidget(label)
    label.show()
    line = label.fontMetrics().lineSpacing()
    heights = [label.heightForWidth(width) for width in range(200, 900)]

    assert min(heights) < 2 * line  # on one line as soon as there is room
    room = 900 - (label.width() - label.contentsRect().width()) - label.fontMetrics().horizontalAdvance("x") // 2
    needed = label.fontMetrics().horizontalAdvance(label.text())
    assert label.heightForWidth(900 - room + needed + 1) < 2 * line


def test_a_name_that_is_left_out_in_part_is_whole_in_the_tooltip(qtbot):
    combo = QComboBox()
    qtbot.addWidget(combo)
    elide_middle(combo)
    combo.addItem("a very long name of a layer " * 5)
    combo.setToolTip("What is judged")
    combo.resize(150, 24)
    combo.show()
    QApplication.sendEvent(combo, QHelpEvent(QEvent.Type.ToolTip, QPoint(5, 5), combo.mapToGlobal(QPoint(5, 5))))

    assert combo.currentText().strip() in QToolTip.text()
    assert "What is judged" in QToolTip.text()
