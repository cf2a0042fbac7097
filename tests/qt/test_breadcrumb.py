"""Steps back are reached by Tab in the order in which they stand."""

from itertools import takewhile

from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_cryoet._qt.breadcrumb import Breadcrumb
from napari_cryoet._qt.theme import Theme


def by_tab(first):
    """The texts of the buttons from one on, as Tab reaches them, until it is reached again."""
    reached, widget = [], first
    while (widget := widget.nextInFocusChain()) is not first:
        reached.append(widget)
    return [each.text() for each in reached if hasattr(each, "clicked") and not each.isHidden()]


def test_steps_come_before_what_is_below(qtbot, viewer_model):
    page = QWidget()
    qtbot.addWidget(page)
    trail, below = Breadcrumb(Theme(viewer_model)), QPushButton("below")
    layout = QVBoxLayout(page)
    layout.addWidget(trail)
    layout.addWidget(below)
    for names in (["Datasets"], ["Datasets", "DS-1"], ["Datasets", "DS-1", "TS_1"]):
        trail.set_trail(names)
        steps = list(takewhile(lambda text: text != "below", by_tab(trail.back)))
        assert [text for text in steps if text != "…"] == names[:-1]
