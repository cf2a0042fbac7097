"""Rows, ticks and buttons that fit where letters are too large for one line."""

import pytest
from qtpy.QtWidgets import QCheckBox, QPushButton, QVBoxLayout, QWidget

from napari_cryoet._qt.elided_button import ElidedButton
from napari_cryoet._qt.flow_row import FlowRow
from napari_cryoet._qt.wrapped_tick import wrap_words


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


def test_what_is_hidden_takes_no_room(holder, buttons):
    buttons[2].hide()
    narrow = holder.layout().sizeHint().width()
    holder.resize(narrow, 100)
    holder.show()

    assert len(set(tops(buttons[:2]))) == 1
    assert holder.heightForWidth(narrow) == buttons[0].sizeHint().height()


def test_what_follows_a_stretch_lies_at_the_right(holder):
    row, left, right = FlowRow(parent=holder), QPushButton("Swap"), QPushButton("Compare")
    row.add(left)
    row.add_stretch()
    row.add(right)
    holder.resize(400, 40)
    holder.show()

    assert (left.x(), right.geometry().right()) == (0, 399)


def test_a_tick_breaks_its_words_where_they_have_no_room_and_joins_them_again(holder):
    tick = QCheckBox("Replace the file if there is one")
    whole = tick.sizeHint().width()
    wrap_words(tick)
    QVBoxLayout(holder).addWidget(tick)
    holder.show()
    margins = holder.layout().contentsMargins().left() * 2
    holder.resize(margins + whole - 20, 80)
    assert tick.text() == "Replace the file\nif there is one"
    assert tick.width() >= tick.minimumWidth()
    holder.resize(margins + whole + 20, 80)
    assert tick.text() == "Replace the file if there is one"


def test_a_button_without_room_leaves_out_the_end_of_its_text(qtbot):
    button = ElidedButton()
    qtbot.addWidget(button)
    button.setText("Download…  tick what to take along")
    button.resize(button.sizeHint())
    assert button.fitted() == button.text()
    button.resize(button.minimumSizeHint())
    assert button.fitted().endswith("…")
    assert button.fitted().startswith("Down")
    assert button.minimumSizeHint().width() < button.sizeHint().width() / 2
