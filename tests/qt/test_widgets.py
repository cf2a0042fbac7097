"""Messages, notices, confirmation dialogs, labels, colours and the layer combo box."""

import threading

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QApplication, QDialog, QLabel, QMessageBox, QVBoxLayout, QWidget

from napari_cryoet._qt.layers.layer_combo import LayerCombo
from napari_cryoet._qt.widgets.controls import agrees, plain_label, progress_bar
from napari_cryoet._qt.widgets.dock import Dock
from napari_cryoet._qt.widgets.messages import NoticeBar
from napari_cryoet._qt.widgets.start_bar import StartBar, TaskDialog


@pytest.mark.parametrize(
    ("key", "is_harmless", "answer"),
    [
        (Qt.Key.Key_Return, True, True),
        (Qt.Key.Key_Return, False, False),
        (Qt.Key.Key_Escape, True, False),
    ],
)
def test_enter_accepts_only_harmless_actions_and_escape_none(qtbot, key, is_harmless, answer):
    seen = []

    def press():
        box = QApplication.activeModalWidget()
        if isinstance(box, QMessageBox):
            seen.append(box.textFormat())
            qtbot.keyClick(box, key)

    timer = QTimer(interval=20)
    timer.timeout.connect(press)
    timer.start()
    assert (
        agrees(None, "Really?", "There is a <b>file</b>.", verb="Replace", is_harmless=is_harmless)
        is answer
    )
    timer.stop()
    assert seen[0] == Qt.TextFormat.PlainText


def test_a_deleted_buttons_icon_is_not_drawn_for_a_new_theme(qtbot, viewer_model, theme):
    dialog = QDialog()
    notice = NoticeBar(theme)
    notice.setParent(dialog)
    theme.style(dialog)
    with qtbot.waitSignal(dialog.destroyed):
        dialog.deleteLater()
    with qtbot.captureExceptions() as errors, qtbot.waitSignal(theme.changed):
        viewer_model.theme = "light"

    assert errors == []


def test_copied_text_has_no_break_points(qtbot, theme):
    notice = NoticeBar(theme)
    qtbot.addWidget(notice)
    path = "/data/of/a/very_long_project/with/a/deep/folder/TS_026.zarr needs 30 nm"
    notice.show_notice(path)
    label = notice.findChild(QLabel, "noticeText")
    for select in (lambda: None, lambda: label.setSelection(0, len(QLabel.text(label)))):
        QApplication.clipboard().clear()
        select()
        qtbot.keySequence(label, QKeySequence.StandardKey.Copy)
        assert QApplication.clipboard().text() == path


class TestLayerCombo:
    @pytest.fixture
    def combo(self, qtbot, viewer_model):
        dock = Dock(viewer_model, "Judge", tab_name="Judge")
        qtbot.addWidget(dock)
        combo = LayerCombo(
            dock, lambda layer: isinstance(layer, Image), "What is judged", "nothing is open"
        )
        qtbot.addWidget(combo)
        yield combo
        dock.close_down()

    def test_the_combo_box_follows_the_viewers_layers(self, qtbot, viewer_model, combo):
        assert (combo.layer, combo.isEnabled(), combo.placeholderText()) == (
            None,
            False,
            "nothing is open",
        )
        viewer_model.add_points(np.zeros((1, 3)))
        first, second = (
            viewer_model.add_image(np.zeros((4, 4)), name=name) for name in ("first", "second")
        )
        assert combo.layer is first, "other layers don't change it"
        combo.choose(second)
        second.name = "renamed"
        qtbot.waitUntil(lambda: combo.currentText() == "renamed")
        assert "What is judged" in combo.toolTip()
        with qtbot.waitSignal(combo.layer_changed):
            viewer_model.layers.remove(second)
        assert combo.layer is first

    def test_a_long_name_is_cut_at_its_end_and_whole_in_tooltip_and_list(
        self, qtbot, viewer_model, combo
    ):
        names = ["ribosome · 85 oriented · " * 9 + ending for ending in ("automated", "by hand")]
        layer = viewer_model.add_image(np.zeros((4, 4)), name=names[0])
        combo.resize(200, combo.height())
        combo.show()
        before = combo.grab().toImage()
        layer.name = names[1]
        qtbot.waitUntil(lambda: combo.currentText() == names[1])
        assert combo.grab().toImage() == before
        assert names[1] in combo.toolTip()
        layer.name = "ribosome · 85 oriented · automated"
        qtbot.waitUntil(lambda: combo.currentText() == layer.name)
        combo.showPopup()
        assert combo.view().viewport().width() >= combo.fontMetrics().horizontalAdvance(layer.name)
        combo.hidePopup()


class Canvas(QWidget):
    paints = 0

    def paintEvent(self, _event):  # noqa: N802
        self.paints += 1


def test_progress_does_not_paint_the_window_at_once(qtbot):
    window, bar, canvas = QWidget(), progress_bar(), Canvas()
    column = QVBoxLayout(window)
    column.addWidget(bar)
    column.addWidget(canvas)
    qtbot.addWidget(window)
    window.resize(200, 200)
    window.show()
    qtbot.waitUntil(lambda: canvas.paints > 0)
    canvas.paints = 0
    canvas.update()
    bar.setValue(500)
    assert canvas.paints == 0
    qtbot.waitUntil(lambda: canvas.paints == 1)


@pytest.mark.parametrize("close", [QDialog.close, QDialog.accept, QDialog.reject])
def test_a_dialog_grows_with_its_message_and_closes_while_a_task_runs(qtbot, close):
    dialog = TaskDialog("Title", 300)
    bar = StartBar(dialog.tasks, "key", "Start", "Start it")
    label = plain_label("Some words that need a second line in a narrow dialog. " * 2)
    column = QVBoxLayout(dialog)
    column.addWidget(label)
    column.addWidget(bar)
    dialog.show()
    is_closed = threading.Event()
    dialog.tasks.run("key", lambda _job: is_closed.wait(30), then=print)
    bar.say("A long message about what went wrong. " * 10)
    qtbot.waitUntil(lambda: bar.message.height() >= bar.message.heightForWidth(bar.width()) > 40)
    assert label.height() >= label.heightForWidth(label.width())
    with qtbot.waitSignals([dialog.destroyed, dialog.tasks.finished]):
        close(dialog)
    is_closed.set()
