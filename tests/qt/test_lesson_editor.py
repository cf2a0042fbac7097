"""A teacher writes a lesson with clicks and keys, and never touches a file."""

from pathlib import Path

import numpy as np
import pytest
from napari import Viewer
from napari.layers import Points
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_cryoet._qt.lessons.dock import WRITE, LessonDock
from napari_cryoet._qt.lessons.editor import LessonEditor
from napari_cryoet._qt.lessons.task_form import SCREEN
from napari_cryoet._qt.picks.layer_picks import picks_of
from napari_cryoet._qt.views.restore import BROWSER
from napari_cryoet._qt.widgets.dock import open_dock
from napari_cryoet.lessons.folder import open_lesson
from napari_cryoet.lessons.lesson import ChooseTask, PickAnswer, PickTask
from napari_cryoet.portal.portal import open_portal

LEFT = Qt.MouseButton.LeftButton
CHOOSE = 2  # in the list of kinds


@pytest.fixture
def editor(qtbot: QtBot, viewer_in_window: Viewer):
    viewer_in_window.window.resize(1280, 800)
    editor = open_dock(viewer_in_window, WRITE)
    with qtbot.waitActive(editor.window()):
        editor.window().activateWindow()
    yield editor
    viewer_in_window.window.resize(800, 480)


def replace_text(qtbot: QtBot, field, text: str) -> None:
    field.selectAll()
    qtbot.keyClicks(field, text)


def test_a_lesson_is_written_saved_tried_and_read_again(
    qtbot: QtBot,
    viewer_in_window: Viewer,
    editor: LessonEditor,
    demo_at_home,
    tmp_path,
    monkeypatch,
) -> None:
    viewer = viewer_in_window
    page = open_portal(demo_at_home).run_page(9001)
    manager = open_dock(viewer, BROWSER, in_front=False).manager
    manager.open_tomogram(page, page.default_tomogram)
    manager.show_annotation(page, page.file("ribosome", shape="OrientedPoint"))
    qtbot.waitUntil(lambda: not manager.coming())
    ribosomes = next(layer for layer in viewer.layers if isinstance(layer, Points))
    count = len(picks_of(ribosomes))
    editor.come_forward()
    replace_text(qtbot, editor.title, "My ribosomes")

    qtbot.mouseClick(editor.add_button, LEFT)
    replace_text(qtbot, editor.step_title, "Look")
    qtbot.keyClicks(editor.text, "Look ")
    qtbot.mouseClick(editor.link_button, LEFT)
    editor.tabs.setCurrentIndex(1)
    assert "Look here" in editor.preview.toPlainText()

    editor.tabs.setCurrentIndex(2)
    qtbot.mouseClick(editor.add_button, LEFT)
    assert editor.draft.steps[0].task is None
    form = editor.form
    form.picks.choose(ribosomes)
    assert form.tolerance.value() > 5
    form.region.setCurrentText(SCREEN)
    qtbot.keyClicks(form.ask, "Pick all ribosomes.")
    qtbot.mouseClick(editor.task_button, LEFT)
    assert not editor.notice.isVisible()

    qtbot.mouseClick(editor.add_button, LEFT)
    form.kind.setCurrentIndex(CHOOSE)
    qtbot.mouseClick(editor.task_button, LEFT)
    assert "choices" in editor.notice.text
    qtbot.keyClicks(form.choices, "Ice")
    qtbot.keyClick(form.choices, Qt.Key.Key_Return)
    qtbot.keyClicks(form.choices, "Carbon")
    qtbot.mouseClick(editor.step_buttons[1], LEFT)  # up, and the task is set, too
    assert [step.title for step in editor.draft.steps] == ["Look", "Step 3", "Step 2"]

    folder = tmp_path / "my lesson"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args, **_options: (folder, ""))
    qtbot.mouseClick(editor.save_button, LEFT)
    lesson = open_lesson(folder).lesson
    assert lesson == editor.draft.lesson
    assert lesson.title == "My ribosomes"
    _, choose, pick = lesson.steps
    assert isinstance(choose.task, ChooseTask)
    assert isinstance(pick.task, PickTask)
    names = [layer.name for step in lesson.steps for layer in step.view.layers]
    assert names
    assert not any(ribosomes.name in name for name in names)
    positions = tuple(map(tuple, picks_of(ribosomes).positions_angstrom_zyx.tolist()))
    feedback = open_lesson(folder).grade(pick.key, PickAnswer(positions_zyx_angstrom=positions))
    assert feedback.score == 1
    assert 0 < len(feedback.reference_zyx_angstrom) <= count

    with qtbot.waitSignal(editor.played) as played:
        qtbot.mouseClick(editor.try_button, LEFT)
    assert isinstance(played.args[0], LessonDock)
    assert played.args[0].player.session.lesson == lesson


def test_changes_are_asked_about_before_another_lesson_opens(
    qtbot: QtBot, editor: LessonEditor, tmp_path: Path, monkeypatch
) -> None:
    asked = []

    def answer(*args, **_options):
        asked.append(args[2])
        return QMessageBox.StandardButton.Save

    monkeypatch.setattr(QMessageBox, "question", answer)
    folder = tmp_path / "lesson"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args, **_options: (folder, ""))
    replace_text(qtbot, editor.title, "Kept")
    editor.new_lesson()
    assert len(asked) == 1
    assert open_lesson(folder).lesson.title == "Kept"
    editor.open(folder)
    assert len(asked) == 1
    assert editor.title.text() == "Kept"
    np.testing.assert_equal(editor.draft.is_changed, False)
