"""Lists and trees of records: changing rows, requesting ticks, and loading more rows when they become visible."""

from __future__ import annotations

from dataclasses import replace

import pytest
from qtpy.QtCore import QObject, QRect, Qt, Signal
from qtpy.QtGui import QImage, QPainter
from qtpy.QtWidgets import QApplication, QStyleOptionViewItem

from napari_cryoet._qt.widgets.record_model import RecordModel, TickColumn
from napari_cryoet._qt.widgets.record_view import RecordView
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.pages.rows import RecordRow, RowKind, Tick, TickState

CHECK = Qt.ItemDataRole.CheckStateRole
ON, OFF = Qt.CheckState.Checked, Qt.CheckState.Unchecked


class Ticks(QObject):
    """Columns of ticks that only emit requests."""

    changed = Signal()
    requested = Signal(object, str)  # record, title of the column

    def __init__(self) -> None:
        super().__init__()
        self.shown: dict[str, Tick] = {"ribosome 1": Tick(), "ribosome 2": Tick()}
        self.saved = self.shown | {"membrane": Tick()}

    @property
    def columns(self) -> list[TickColumn]:
        return [
            TickColumn(title, f"{title} it", key, lambda record, ticks=ticks: ticks.get(record),
                       lambda record, title=title: self.requested.emit(record, title), self.changed)
            for title, key, ticks in (("Show", Qt.Key.Key_Space, self.shown), ("Save", Qt.Key.Key_D, self.saved))
        ]  # fmt: skip


def rows(*names: str) -> list[RecordRow]:
    return [RecordRow(record=name, key=name, title=name) for name in names]


def tree() -> list[RecordRow]:
    leaves = tuple(rows("ribosome 1", "ribosome 2"))
    heading = RecordRow(record=None, key="heading", title="Objects", kind=RowKind.HEADING)
    group = RecordRow(
        record="ribosome", key="group", title="ribosome", is_bold=True, opens=False, children=leaves
    )
    return [heading, group, *rows("membrane")]


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def model(ticks) -> RecordModel:
    return RecordModel(title="Annotations", tick_columns=ticks.columns)


@pytest.fixture
def view(qtbot, viewer_model, model):
    theme = Theme(viewer_model)
    view = RecordView(theme, model, "Annotations")
    qtbot.addWidget(view)
    view.resize(300, 120)
    view.show()
    view.activateWindow()
    view.setFocus()
    qtbot.waitUntil(view.hasFocus)
    yield view
    theme.close()


def test_the_model_passes_qt_model_checks(model, qtmodeltester):
    model.set_rows(tree())
    qtmodeltester.check(model)
    model.append_rows(rows("a", "b"))
    model.set_rows([])


def test_only_changed_rows_are_updated(model, qtbot):
    model.set_rows(tree())
    with qtbot.assertNotEmitted(model.modelReset), qtbot.assertNotEmitted(model.dataChanged):
        model.set_rows(tree())
    heading, group, *others = tree()
    leaves = (group.children[0], replace(group.children[1], title="80S"))
    with qtbot.assertNotEmitted(model.modelReset), qtbot.waitSignal(model.dataChanged):
        model.set_rows([heading, replace(group, children=leaves), *others])
    assert model.index_of("ribosome 2").data() == "80S"


def test_a_tick_emits_a_request_and_follows_its_column(model, ticks, qtbot):
    model.set_rows(tree())
    tick = model.index_of("ribosome 1").siblingAtColumn(1)
    with qtbot.waitSignal(ticks.requested) as requested:
        model.request_tick(tick, 0)
    assert requested.args == ["ribosome 1", "Show"]
    assert tick.data(CHECK) == OFF
    with qtbot.waitSignal(model.dataChanged):
        ticks.shown["ribosome 1"] = Tick(TickState.ON)
        ticks.changed.emit()
    assert tick.data(CHECK) == ON
    nothing = model.index_of("membrane").siblingAtColumn(1)
    assert nothing.data(CHECK) is None
    with qtbot.assertNotEmitted(ticks.requested):
        assert not model.request_tick(nothing, 0)


def test_keys_open_tick_and_fold_rows(view, model, ticks, qtbot):
    model.set_rows(tree())
    group = model.index_of("group")
    qtbot.waitUntil(lambda: view.currentIndex() == group)  # headings can't be selected
    qtbot.keyClick(view, Qt.Key.Key_Return)
    assert not view.isExpanded(group)
    qtbot.keyClick(view, Qt.Key.Key_Space)
    assert view.isExpanded(group), "a group without ticks"
    with qtbot.waitSignal(view.left_upwards):
        qtbot.keyClick(view, Qt.Key.Key_Up)
    qtbot.keyClick(view, Qt.Key.Key_Down)
    for key, column in ((Qt.Key.Key_Space, "Show"), (Qt.Key.Key_D, "Save")):
        with qtbot.waitSignal(ticks.requested) as requested:
            qtbot.keyClick(view, key)
        assert requested.args == ["ribosome 1", column]
    with qtbot.waitSignal(view.opened) as opened:
        qtbot.keyClick(view, Qt.Key.Key_Return)
    assert opened.args == ["ribosome 1"]
    with qtbot.waitSignal(view.menu_requested) as menu:
        qtbot.keyClick(view, Qt.Key.Key_M)
    assert menu.args[0] == "ribosome 1"


def test_new_rows_keep_selection_and_folding(view, model):
    model.set_rows(tree())
    view.select("membrane")
    view.collapse(model.index_of("group"))
    model.set_rows([*tree(), *rows("actin")])
    assert view.current_row.key == "membrane"
    assert not view.isExpanded(model.index_of("group"))


def test_changed_rows_leave_the_current_row_where_it_is(view, model, qtbot):
    group = RecordRow(
        "group", "Group", "group", opens=False, is_unfolded=True,
        children=tuple(rows(*map(str, range(60)))),
    )  # fmt: skip
    model.set_rows([group])
    view.select("40")
    view.scrollTo(view.currentIndex(), view.ScrollHint.PositionAtCenter)
    top = view.visualRect(view.currentIndex()).top()
    model.set_rows([replace(group, children=(*rows("new", "newer"), *group.children))])
    assert view.visualRect(model.index_of("40")).top() == top
    remaining = tuple(row for row in group.children if row.key != "40")
    model.set_rows([replace(group, children=remaining)])
    assert view.visualRect(view.currentIndex()).top() == top, "the next row takes its place"
    model.set_rows(rows(*map(str, range(100, 160))))
    assert view.verticalScrollBar().value() == 0, "another list starts at the top"


def test_more_rows_are_requested_once_when_scrolled_into_view(view, model, qtbot):
    more = RecordRow(record=None, title="Loading more…", kind=RowKind.MESSAGE)
    with qtbot.assertNotEmitted(model.more_requested):
        model.set_rows([*rows(*map(str, range(50))), more])
        QApplication.processEvents()
    with qtbot.waitSignal(model.more_requested):
        view.scrollToBottom()
    failed = RecordRow(record=None, title="No network.", kind=RowKind.FAILURE)
    with qtbot.assertNotEmitted(model.more_requested):
        view.scrollToTop()
        view.scrollToBottom()
        model.append_rows([failed])
        QApplication.processEvents()
    view.setCurrentIndex(model.index(50))
    with qtbot.waitSignal(model.more_requested):
        qtbot.keyClick(view, Qt.Key.Key_Return)


class Pen(QPainter):
    """A painter that keeps the texts that it draws."""

    def __init__(self, width: int) -> None:
        self.paper = QImage(width, 20, QImage.Format.Format_ARGB32)
        super().__init__(self.paper)
        self.texts: list[str] = []

    def drawText(self, *args: object) -> None:  # noqa: N802
        self.texts.append(str(args[-1]))


def test_a_name_is_not_cut_for_the_sake_of_its_chip(view, model):
    row = RecordRow(record=None, title="cytosolic ribosome", is_bold=True, badge="identified")
    model.set_rows([row])
    option = QStyleOptionViewItem()
    option.widget, option.font = view, view.font()
    drawn = {}
    for width in (400, 180):
        pen = Pen(width)
        option.rect = QRect(0, 0, width, 20)
        view.itemDelegate().paint(pen, option, model.index(0, 0))
        pen.end()
        drawn[width] = pen.texts
    assert drawn == {400: [row.title, row.badge], 180: [row.title]}


def test_rows_are_drawn_and_clicking_a_tick_requests_it(view, model, ticks, qtbot):
    ticks.shown["membrane"] = Tick(TickState.ON, (0, 1, 0, 1))
    row = RecordRow(
        record="membrane", key=1, title="85 oriented", badge="ground truth", right=("1.2 MB", ""), color=(1, 0, 0, 1),
        icon="star", is_chosen=True, lines=(("too long " * 30, "short"),), picture_url="",
    )  # fmt: skip
    model.set_rows([row, RecordRow(record=None, title="Loading…", kind=RowKind.MESSAGE)])
    picture = view.viewport().grab().toImage()
    colors = {
        picture.pixelColor(x, y).name()
        for x in range(picture.width())
        for y in range(picture.height())
    }
    assert {"#ff0000", "#00ff00"} <= colors
    center = view.visualRect(model.index(0, 2)).center()
    with qtbot.waitSignal(ticks.requested) as requested:
        qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=center)
    assert requested.args == ["membrane", "Save"]
