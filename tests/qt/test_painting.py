"""Text and ticks in rows."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QEvent, QPoint, Qt
from qtpy.QtGui import QColor, QHelpEvent
from qtpy.QtWidgets import QApplication, QComboBox, QToolTip

from napari_cryoet._qt.elided_combo import elide_middle
from napari_cryoet._qt.labels import ElidedLabel, TitleLabel
from napari_cryoet._qt.painting import readable_on
from napari_cryoet._qt.theme import colors_of

WHITE, BLACK = "#ffffff", "#000000"


@pytest.mark.parametrize(
    ("background", "mark"), [("yellow", BLACK), ("#3b00ff", WHITE), ("#aa5500", WHITE), ("white", BLACK)]
)
def test_a_check_mark_stands_out_from_any_colour(background, mark):
    assert readable_on(QColor(background)).name() == mark


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
