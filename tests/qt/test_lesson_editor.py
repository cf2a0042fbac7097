"""A teacher writes a lesson with clicks and keys, and never touches a file."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from napari import Viewer
from napari.components import ViewerModel
from napari.layers import Points
from PIL import Image
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QMimeData, Qt, QUrl
from qtpy.QtWidgets import QFileDialog, QMessageBox

from lessons.sample_lesson import TASKS
from napari_cryoet._qt.lessons.dock import WRITE, open_lesson_dock
from napari_cryoet._qt.lessons.editor import LessonEditor
from napari_cryoet._qt.lessons.task_form import (
    CHOOSE,
    KEPT,
    LAYER,
    NOTHING,
    PICK,
    SCREEN,
    WHOLE,
    TaskForm,
)
from napari_cryoet._qt.picks.layer_picks import picks_of
from napari_cryoet._qt.widgets.dock import BROWSER, Dock, open_dock
from napari_cryoet.exceptions import FormatError
from napari_cryoet.lessons.folder import open_lesson
from napari_cryoet.lessons.lesson import (
    Choice,
    ChooseTask,
    Lesson,
    LessonTask,
    PickAnswer,
    PickTask,
    Step,
)
from napari_cryoet.lessons.writing import Draft
from napari_cryoet.portal.portal import open_portal
from napari_cryoet.views.view import View
from views.cameras import camera_at

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def editor(qtbot: QtBot, viewer_in_window: Viewer, monkeypatch):
    discard = QMessageBox.StandardButton.Discard
    monkeypatch.setattr(QMessageBox, "question", lambda *_: discard)
    viewer_in_window.window.resize(1280, 800)
    editor = open_dock(viewer_in_window, WRITE)
    with qtbot.waitActive(editor.window()):
        editor.window().activateWindow()
    yield editor
    viewer_in_window.window.resize(800, 480)


@pytest.fixture
def form(qtbot: QtBot, viewer_model: ViewerModel) -> Iterator[TaskForm]:
    dock = Dock(viewer_model, "Tasks", tab_name="Tasks")
    qtbot.addWidget(dock)
    form = TaskForm(dock)
    qtbot.addWidget(form)
    yield form
    dock.close_down()


@pytest.fixture
def draft() -> Draft:
    return Draft(Lesson(key="a", title="A", steps=(Step(key="a", title="A"),)))


def insert_link(editor: LessonEditor, text: str) -> None:
    editor.text.links.aboutToShow.emit()
    next(action for action in editor.text.links.actions() if action.text() == text).trigger()


def names_in(lesson: Lesson) -> set[str]:
    """The names of the layers that steps show."""
    return {layer.name for step in lesson.steps for layer in step.view.layers}


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
    for name in ("ribosome", "proteasome"):
        manager.show_annotation(page, page.file(name, shape="OrientedPoint"))
        qtbot.waitUntil(lambda: not manager.coming())
    ribosomes, others = (layer for layer in viewer.layers if isinstance(layer, Points))
    count = len(picks_of(ribosomes))
    editor.come_forward()
    replace_text(qtbot, editor.title, "My ribosomes")

    qtbot.mouseClick(editor.add_button, LEFT)
    replace_text(qtbot, editor.step_title, "Look")
    qtbot.keyClicks(editor.text, "Look ")
    insert_link(editor, "Go to this place")
    insert_link(editor, f"Hide {ribosomes.name}")
    editor.tabs.setCurrentIndex(1)
    assert "Look here" in editor.preview.toPlainText()
    goto, hide = re.findall(r"\((![^)]+)\)", editor.draft.steps[0].text)
    place = tuple(viewer.dims.point)
    viewer.dims.point = (0, 0, 0)
    editor.preview.anchorClicked.emit(QUrl(goto))
    assert viewer.dims.point[0] == pytest.approx(place[0], abs=10)
    editor.preview.anchorClicked.emit(QUrl(hide))
    assert not ribosomes.visible
    ribosomes.visible = True

    viewer.scene.camera.zoom *= 2
    qtbot.mouseClick(editor.add_button, LEFT)
    assert editor.draft.steps[0].task is None
    editor.tabs.setCurrentIndex(2)
    form = editor.form
    form.kind.setCurrentText(PICK)
    form.reference.choose(others)
    assert form.tolerance.value() > 5
    assert form.region.currentText() == SCREEN
    qtbot.keyClicks(form.fields["ask"], "Pick all ribosomes.")
    viewer.scene.camera.zoom /= 2  # the task is of what the step shows, not of this
    qtbot.mouseClick(editor.add_button, LEFT)
    assert not editor.notice.isVisible()

    form.kind.setCurrentText(CHOOSE)
    qtbot.keyClicks(form.choices, "Ice")
    editor.steps.setCurrentRow(0)
    assert "choices" in editor.notice.text
    assert editor.steps.currentRow() == 2
    qtbot.keyClick(form.choices, Qt.Key.Key_Return)
    qtbot.keyClicks(form.choices, "Carbon")
    form.right.setCurrentText("Carbon")
    qtbot.mouseClick(editor.step_buttons[0], LEFT)  # up
    assert [step.title for step in editor.draft.steps] == ["Look", "Step 3", "Step 2"]

    editor.steps.setCurrentRow(2)
    form.reference_from.setCurrentText(LAYER)  # of other picks than before
    form.reference.choose(ribosomes)
    assert f"of its {count} picks" in form.count.text()
    qtbot.mouseClick(editor.try_button, LEFT)
    dock = open_lesson_dock(viewer)
    assert form.reference_from.currentText() == KEPT
    assert names_in(dock.player.session.lesson) == {viewer.layers[0].name, others.name}
    assert editor.draft.folder is None
    _, choose_step, pick = editor.draft.steps
    positions = tuple(map(tuple, picks_of(ribosomes).positions_angstrom_zyx.tolist()))
    answer = PickAnswer(positions_zyx_angstrom=positions)
    tried = dock.player.session.source.grade(pick.key, answer)
    assert tried.score == 1
    n_asked = len(tried.reference_zyx_angstrom)
    assert 0 < n_asked < count

    folder = tmp_path / "my lesson"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args, **_options: (folder, ""))
    qtbot.mouseClick(editor.save_button, LEFT)
    editor.open(folder)
    qtbot.mouseClick(editor.add_button, LEFT)  # the right picks are open still
    qtbot.mouseClick(editor.save_button, LEFT)
    lesson = open_lesson(folder).lesson
    assert lesson == editor.draft.lesson
    assert len(lesson.steps) == 4
    assert lesson.title == "My ribosomes"
    assert lesson.key == "my-lesson"
    assert lesson.step(choose_step.key).task.right == 1
    assert isinstance(lesson.step(pick.key).task, PickTask)
    assert ribosomes.name not in names_in(lesson)
    assert open_lesson(folder).grade(pick.key, answer) == tried
    assert dock.player.session.source.grade(pick.key, answer) == tried


def test_changes_are_asked_about_before_another_lesson_opens(
    qtbot: QtBot, editor: LessonEditor, tmp_path: Path, monkeypatch
) -> None:
    buttons = QMessageBox.StandardButton
    answers = [buttons.Cancel, buttons.Save, buttons.Save]
    monkeypatch.setattr(QMessageBox, "question", lambda *_: answers.pop(0))
    chosen = ["", tmp_path / "lesson"]
    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", lambda *_args, **_options: (chosen.pop(0), "")
    )
    replace_text(qtbot, editor.title, "Kept")
    for _ in range(2):  # Cancel, and Save without a name
        editor.new_lesson()
        assert editor.draft.lesson.title == "Kept"
    editor.new_lesson()
    assert not editor.draft.is_changed
    assert not answers
    editor.open(tmp_path / "lesson")
    assert editor.title.text() == "Kept"


def test_pictures_are_dropped_and_taken_from_the_screen(
    qtbot: QtBot, editor: LessonEditor, tmp_path: Path
) -> None:
    folder = tmp_path / "lesson"
    folder.mkdir()
    (folder / "lesson.md").write_text("---\ntitle: A lesson\n---\n## Look\n")
    editor.open(folder)
    pictures = [tmp_path / "My cell (1).JPG", tmp_path / "other" / "my cell 1.jpg"]
    for size_px, path in enumerate(pictures, 300):
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (size_px, size_px)).save(path)
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in pictures])
    editor.text.insertFromMimeData(mime)
    editor.text.insert_screen()
    text = editor.draft.steps[0].text
    names = re.findall(r"!\[(?:My cell \(1\)|my cell 1|Screen)\]\((.+)\)", text)
    assert len(set(names)) == 3
    editor.tabs.setCurrentIndex(1)
    qtbot.waitUntil(lambda: editor.preview.height() > 600)
    assert [path.name for path in folder.iterdir()] == ["lesson.md"]

    for path in (tmp_path / "missing.png", folder / "lesson.md"):
        editor.text.insert_file(path)
        assert path.stem in editor.notice.text
    assert editor.draft.steps[0].text == text
    qtbot.mouseClick(editor.save_button, LEFT)
    first, second, screen = map(open_lesson(folder).read_file, names)
    assert [first, second] == [path.read_bytes() for path in pictures]
    assert screen.startswith(b"\x89PNG")


@pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)
def test_what_the_user_does_not_touch_stays_exactly(
    task: LessonTask, form: TaskForm, draft: Draft
) -> None:
    form.show_task(task)
    form.fields["explanation"].setPlainText("Changed.")
    assert form.task(draft, 0) == replace(task, explanation="Changed.")


def test_choices_keep_what_the_form_can_only_name(form: TaskForm, draft: Draft) -> None:
    task = next(task for task in TASKS if isinstance(task, ChooseTask))
    form.show_task(task)
    words, crop, picture = form.choices.toPlainText().splitlines()
    form.choices.setPlainText(f"never\nhere · {crop}\n{picture}")
    other = (replace(task.choices[0], text="never"), replace(task.choices[1], text="here"))
    assert form.task(draft, 0) == replace(task, choices=(*other, task.choices[2]))

    form.show_task(task)
    form.right.setCurrentText(picture)
    form.choices.setPlainText(f"{crop}\n{words}\nnew\n{picture}")
    choices = (task.choices[1], task.choices[0], Choice(text="new"), task.choices[2])
    assert form.task(draft, 0) == replace(task, choices=choices, right=3)


@pytest.mark.parametrize(("ndisplay", "offered"), [(2, [SCREEN, WHOLE]), (3, [WHOLE])])
def test_only_a_plane_is_a_region(
    ndisplay: int, offered: list[str], form: TaskForm, draft: Draft
) -> None:
    form.show_task(None, View(camera=camera_at(ndisplay=ndisplay)))
    form.kind.setCurrentText(PICK)
    assert [form.region.itemText(row) for row in range(form.region.count())] == offered
    form.reference_from.setCurrentText(NOTHING)
    form.object_name.setText("ribosome")
    form.tolerance.setValue(10)
    if SCREEN in offered:  # no tomogram is open that limits it
        with pytest.raises(FormatError, match="tomogram"):
            form.task(draft, 0)
        form.region.setCurrentText(WHOLE)
    assert form.task(draft, 0) == PickTask(object_name="ribosome", tolerance_angstrom=100)


def test_missing_files_are_named_until_another_lesson_opens(
    editor: LessonEditor, tmp_path: Path
) -> None:
    step = "## Look\n![a](cell.png)\n```task\nkind: pick\nobject_name: a\ntolerance_angstrom: 1\n"
    for name, text in (("bad", f"{step}reference: answers/a.csv\n```\n"), ("good", "## Look\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "lesson.md").write_text(f"---\ntitle: A lesson\n---\n{text}")
    editor.open(tmp_path / "bad")
    assert "cell.png" in editor.notice.text
    assert "answers/a.csv" in editor.notice.text
    assert "Look" in editor.notice.text
    editor.open(tmp_path / "good")
    assert editor.notice.isHidden()


def test_a_hint_of_several_paragraphs_stays_one(editor: LessonEditor, tmp_path: Path) -> None:
    (tmp_path / "lesson.md").write_text(
        "---\ntitle: A lesson\n---\n## Look\n```hint\nOne.\n\nStill one.\n```\n"
    )
    editor.open(tmp_path)
    editor.hints.appendPlainText("\n---\n\nTwo.")
    assert editor.draft.steps[0].hints == ("One.\n\nStill one.", "Two.")
