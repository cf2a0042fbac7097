"""Text and ticks in rows."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QEvent, QPoint, Qt
from qtpy.QtGui import QHelpEvent
from qtpy.QtWidgets import QApplication, QComboBox, QToolTip

from napari_cryoet._qt.widgets.elided_combo import elide_middle
from napari_cryoet._qt.widgets.labels import ElidedLabel

WHITE, BLACK = "#ffffff", "#000000"


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
