"""Rows, ticks and buttons that fit where letters are too large for one line."""

import pytest
from qtpy.QtWidgets import QPushButton, QWidget

from napari_cryoet._qt.flow_row import FlowRow


@pytest.fixture
def holder(qtbot):
    holder = QWidget()
    qtbot.addWidget(holder)
    return holder


@pytest.fixture
def buttons(holder):
    """Three buttons in a row, of which the last takes what is left."""
    row = FlowRow(gap_px=4, parent=holder)
    buttons = [QPushButton(text) for text in ("Keep", "Reject", "Export kept…")]
    for button in buttons[:2]:
        row.add(button)
    row.add(buttons[2], 1)
    return buttons


def tops(buttons):
    return [button.y() for button in buttons]


def test_a_row_with_room_is_one_line_to_its_end(holder, buttons):
    wide = holder.layout().sizeHint().width() + 50
    holder.resize(wide, holder.heightForWidth(wide))
    holder.show()

    assert len(set(tops(buttons))) == 1
    assert buttons[2].geometry().right() == wide - 1
    assert buttons[0].width() == buttons[0].sizeHint().width()


def test_a_row_without_room_goes_on_below_and_says_how_high_it_is(holder, buttons):
    narrow = holder.layout().sizeHint().width() - 10
    holder.resize(narrow, holder.heightForWidth(narrow))
    holder.show()

    assert tops(buttons)[0] == tops(buttons)[1] < tops(buttons)[2]
    assert buttons[2].geometry().bottom() < holder.height()
    assert holder.minimumSizeHint().width() == max(button.minimumSizeHint().width() for button in buttons)
