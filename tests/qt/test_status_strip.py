"""The line at a dock's lower edge: how high it is."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_cryoet._qt.status_strip import StatusStrip

STYLE = """
QFrame#statusStrip { border: 1px solid red; border-top: 2px solid red; }
QWidget { font-size: 9pt; }
QPushButton { padding: 0px; border: none; }
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_both_lines_have_room_below_a_border_whenever_the_style_comes(qtbot, when):
    holder = QWidget()
    qtbot.addWidget(holder)
    if when == "before":
        holder.setStyleSheet(STYLE)
    strip = StatusStrip(lines=2)
    QVBoxLayout(holder).addWidget(strip)
    holder.show()
    if when == "after":
        holder.setStyleSheet(STYLE)
    strip.set_status("a line\nand another")

    assert strip.contentsRect().height() < strip.height()  # the border
    qtbot.waitUntil(lambda: strip.label.height() >= 2 * strip.label.fontMetrics().lineSpacing())
