"""The dock in which a teacher writes a lesson: steps from the screen, text, tasks, and a try."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

from napari import Viewer
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QMessageBox,
    QPlainTextEdit,
    QScrollArea,
    QSpinBox,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_cryoet._qt.layers.ownership import about_of
from napari_cryoet._qt.lessons.dock import WRITE as NAME
from napari_cryoet._qt.lessons.dock import open_lesson_dock
from napari_cryoet._qt.lessons.task_form import TaskForm
from napari_cryoet._qt.lessons.text import LessonText
from napari_cryoet._qt.views.camera import camera_of
from napari_cryoet._qt.views.capture import capture
from napari_cryoet._qt.widgets.controls import agrees, form_of, plain_label, push_button
from napari_cryoet._qt.widgets.dock import Dock
from napari_cryoet._qt.widgets.messages import NoticeBar
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.lessons.folder import open_lesson
from napari_cryoet.lessons.lesson import LESSON_NAME, Step
from napari_cryoet.lessons.writing import Draft
from napari_cryoet.views.view import View
from napari_cryoet.wording import plain

_LIST_PX: Final = 110
_UNSAVED: Final = "The lesson has changes that aren't saved. Save them?"


class LessonEditor(Dock):
    """Writes a lesson, and asks before it discards unsaved changes.

    Attributes
    ----------
    draft
        The lesson as it is now.
    """

    played = Signal(object)  # LessonDock

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer, NAME, tab_name="Write")
        self.draft = Draft()
        #: The number of the step that is edited; -1 without one.
        self.number = -1
        self._make_widgets()
        self._lay_out()
        self._connect()
        self.at_close(self.form.close_down)
        self.at_close(self._ask_about_changes)
        self._show_lesson()

    @property
    def step(self) -> Step | None:
        """The step that is edited."""
        return self.draft.steps[self.number] if self.number >= 0 else None

    # lessons

    def new_lesson(self) -> None:
        """Begin a new lesson."""
        self._ask_about_changes()
        self.draft = Draft()
        self._show_lesson()

    def choose_lesson(self) -> None:
        """Let the user choose a lesson to edit."""
        chosen, _ = QFileDialog.getOpenFileName(
            self, "Open a lesson", "", f"Lessons ({LESSON_NAME})"
        )
        if chosen:
            self.open(Path(chosen))

    def open(self, path: Path) -> None:
        """Edit a lesson by its file or folder."""
        self._ask_about_changes()
        try:
            self.draft = Draft.of_folder(path)
        except CryoETError as error:
            self.notice.show_error(error)
        self._show_lesson()

    def save(self) -> bool:
        """Save, a new lesson in a folder that the user chooses; whether it was saved."""
        self._settle_task()
        folder = self.draft.folder
        if folder is None:
            chosen, _ = QFileDialog.getSaveFileName(
                self, "Name the lesson's new folder", plain(self.draft.lesson.title)
            )
            if not chosen:
                return False
            folder = Path(chosen)
        try:
            saved = self.draft.save(folder)
        except CryoETError as error:
            self.notice.show_error(error)
            return False
        self.notice.show_notice(f"Saved in {saved}.", is_news=True)
        return True

    def try_lesson(self) -> None:
        """Save, then play the lesson as a learner does."""
        self._settle_task()
        if (not self.draft.is_changed and self.draft.folder) or self.save():
            assert self.draft.folder is not None  # noqa: S101 - it is saved
            dock = open_lesson_dock(self.viewer, open_lesson(self.draft.folder))
            assert dock.player is not None  # noqa: S101 - it plays the lesson
            dock.player.go_to(max(0, self.number))
            self.played.emit(dock)

    def _ask_about_changes(self) -> None:
        self._settle_task()
        if self.draft.is_changed:
            buttons = QMessageBox.StandardButton
            answer = QMessageBox.question(self, NAME, _UNSAVED, buttons.Save | buttons.Discard)
            if answer == buttons.Save:
                self.save()

    # steps

    def add_step(self) -> None:
        """Add a step that starts from the screen's view."""
        self._settle_task()
        view = self._view()
        if view is not None:
            number = self.draft.add_step(view, self.number)
            self._show_steps(number)
            self.step_title.selectAll()
            self.step_title.setFocus()

    def take_screen(self) -> None:
        """Replace the step's view by the screen's."""
        view = self._view()
        if view is not None and self.step is not None:
            self.draft.show(self.number, view)
            self.notice.show_notice("The step starts from what you see now.", is_news=True)

    def move_step(self, by: int) -> None:
        """Move the step up or down."""
        self._settle_task()
        to = self.number + by
        if self.step is not None and 0 <= to < len(self.draft.steps):
            self.draft.move_step(self.number, to)
            self._show_steps(to)

    def remove_step(self) -> None:
        """Remove the step, after a question."""
        step = self.step
        if step is None:
            return
        question = f"Remove the step “{plain(step.title)}” with its text and task?"
        if agrees(self, NAME, question, verb="Remove"):
            number = self.number
            self.draft.remove_step(number)
            self._show_steps(min(number, len(self.draft.steps) - 1))

    def insert_link(self) -> None:
        """Insert a link to the middle of the screen at the text's cursor."""
        try:
            center = camera_of(self.viewer).center_zyx_angstrom
            point = camera_of(self.viewer).point_zyx_angstrom
        except CryoETError as error:
            self.notice.show_error(error)
            return
        through = self.viewer.dims.order[0]
        place = [point[axis] if axis == through else center[axis] for axis in range(3)]
        numbers = ",".join(f"{length:.0f}" for length in place)
        cursor = self.text.textCursor()
        words = cursor.selectedText() or "here"
        cursor.insertText(f"[{words}](!goto={numbers})")
        self.text.setFocus()

    def set_task(self) -> None:
        """Give the step the task of the form."""
        if self.step is None:
            return
        try:
            task = self.form.task(self.draft, self.number)
        except CryoETError as error:
            self.notice.show_error(error)
            return
        self.draft.change_step(self.number, task=task)
        reference = self.form.reference_layer
        if reference is not None and about_of(reference).path:
            self.draft.hide(about_of(reference).path)
        self._show_task()

    def _settle_task(self) -> None:
        """Give the step the task of the form if that was changed."""
        if self.form.is_touched:
            self.set_task()

    def remove_task(self) -> None:
        """Leave the step without a task."""
        if self.step is not None:
            self.draft.change_step(self.number, task=None)
            self._show_task()

    def _view(self) -> View | None:
        """The screen's view; None after showing an error if there is none."""
        try:
            captured = capture(self.viewer, folder=self.draft.folder)
        except CryoETError as error:
            self.notice.show_error(error)
            return None
        if captured.left_out:
            left_out = "\n".join(captured.left_out)
            self.notice.show_notice(f"The step won't show:\n{left_out}", is_news=True)
        return captured.view

    # what the dock shows

    def _show_lesson(self) -> None:
        with QSignalBlocker(self.title), QSignalBlocker(self.minutes):
            self.title.setText(self.draft.lesson.title)
            self.minutes.setValue(self.draft.lesson.minutes)
        self._show_steps(0 if self.draft.steps else -1)

    def _show_steps(self, number: int) -> None:
        with QSignalBlocker(self.steps):
            self.steps.clear()
            for count, step in enumerate(self.draft.steps):
                self.steps.addItem(f"{count + 1}  {plain(step.title)}")
            self.steps.setCurrentRow(number)
        self._show_step()

    def _on_row(self, _row: int) -> None:
        self._settle_task()
        self._show_step()

    def _show_step(self) -> None:
        self.number = self.steps.currentRow()
        step = self.step
        for part in (self.tabs, self.step_title, *self.step_buttons):
            part.setEnabled(step is not None)
        edited = (self.step_title, self.text, self.hints)
        blockers = [QSignalBlocker(each) for each in edited]
        self.step_title.setText("" if step is None else step.title)
        self.text.setPlainText("" if step is None else step.text)
        self.hints.setPlainText("" if step is None else "\n\n".join(step.hints))
        for blocker in blockers:
            blocker.unblock()
        self._show_preview()
        self._show_task()

    def _show_task(self) -> None:
        task = None if self.step is None else self.step.task
        self.form.show_task(task)
        self.no_task.setEnabled(task is not None)
        kept = "The step has no task yet." if task is None else "The step has this task."
        self.task_state.setText(kept)

    def _show_preview(self, _number: int = 0) -> None:
        self.preview.show_markdown("" if self.step is None else self.step.text)

    def _show_picture(self, name: str) -> None:
        if self.draft.folder is None:
            return
        try:
            self.preview.add_picture(name, open_lesson(self.draft.folder).read_file(name))
        except CryoETError as error:
            self.notice.show_error(error)

    def _on_step_title(self, title: str) -> None:
        title = " ".join(title.split()) or "Step"
        self.draft.change_step(self.number, title=title)
        item = self.steps.currentItem()
        if item is not None:
            item.setText(f"{self.number + 1}  {plain(title)}")

    def _on_text(self) -> None:
        self.draft.change_step(self.number, text=self.text.toPlainText())

    def _on_hints(self) -> None:
        hints = self.hints.toPlainText().split("\n\n")
        self.draft.change_step(self.number, hints=tuple(filter(str.strip, hints)))

    # widgets

    def _make_widgets(self) -> None:
        self.title = QLineEdit()
        self.minutes = QSpinBox()
        self.minutes.setRange(1, 600)
        self.minutes.setSuffix(" minutes")
        self.steps = QListWidget()
        self.steps.setFixedHeight(_LIST_PX)
        self.steps.setAccessibleName("Steps")
        self.add_button = push_button(
            "New step from the screen", self.add_step, "Add a step that starts from what you see"
        )
        self.step_buttons = (
            push_button("Take the screen again", self.take_screen),
            push_button("▲", partial(self.move_step, -1), "Move the step up"),
            push_button("▼", partial(self.move_step, 1), "Move the step down"),
            push_button("Remove…", self.remove_step, "Remove the step"),
        )
        self.step_title = QLineEdit()
        self.step_title.setPlaceholderText("Title of the step")
        self.text = QPlainTextEdit()
        self.text.setPlaceholderText("Text of the step. **Bold**, *italic*, - lists.")
        self.link_button = push_button(
            "Insert link to here", self.insert_link, "Insert a link that goes to this place"
        )
        self.preview = LessonText(self.theme)
        self.form = TaskForm(self.viewer)
        self.task_button = push_button("Set the task", self.set_task)
        self.no_task = push_button("No task", self.remove_task, "Remove the task")
        self.task_state = plain_label(name="dimText")
        self.hints = QPlainTextEdit()
        self.hints.setPlaceholderText("Hints, with an empty line between two")
        self.notice = NoticeBar(self.theme)
        self.try_button = push_button("Try as a learner", self.try_lesson)
        self.save_button = push_button("Save", self.save)

    def _lay_out(self) -> None:
        writing = QWidget()
        in_writing = QVBoxLayout(writing)
        in_writing.addWidget(self.text)
        in_writing.addWidget(self.link_button)
        task = QWidget()
        in_task = QVBoxLayout(task)
        in_task.addWidget(self.task_state)
        in_task.addWidget(self.form)
        in_task.addLayout(_row(self.task_button, self.no_task))
        in_task.addStretch(1)
        self.tabs = QTabWidget()
        for name, part in (
            ("Text", writing),
            ("Preview", _scrolling(self.preview)),
            ("Task", _scrolling(task)),
            ("Hints", self.hints),
        ):
            self.tabs.addTab(part, name)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 6, 6, 6)
        files = _row(
            push_button("New", self.new_lesson, "Begin a new lesson"),
            push_button("Open…", self.choose_lesson, "Edit a lesson that exists"),
            self.save_button,
            self.try_button,
        )
        column.addLayout(files)
        column.addLayout(form_of(("Lesson", self.title), ("Takes", self.minutes)))
        column.addWidget(self.steps)
        column.addLayout(_row(self.add_button, self.step_buttons[0]))
        column.addLayout(_row(*self.step_buttons[1:]))
        column.addWidget(self.step_title)
        column.addWidget(self.tabs, 1)
        column.addWidget(self.notice)

    def _connect(self) -> None:
        self.title.textChanged.connect(
            lambda title: self.draft.change(title=" ".join(title.split()) or "A lesson")
        )
        self.minutes.valueChanged.connect(lambda minutes: self.draft.change(minutes=minutes))
        self.steps.currentRowChanged.connect(self._on_row)
        self.step_title.textChanged.connect(self._on_step_title)
        self.text.textChanged.connect(self._on_text)
        self.hints.textChanged.connect(self._on_hints)
        self.tabs.currentChanged.connect(self._show_preview)
        self.preview.picture_wanted.connect(self._show_picture)
        self.preview.failed.connect(self.notice.show_error)
        self.tasks.unhandled.connect(self.notice.show_error)


def _row(*parts: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for part in parts:
        row.addWidget(part)
    row.addStretch(1)
    return row


def _scrolling(content: QWidget) -> QScrollArea:
    holder = QWidget()
    column = QVBoxLayout(holder)
    column.setContentsMargins(0, 0, 0, 0)
    column.addWidget(content)
    column.addStretch(1)
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(holder)
    return area
