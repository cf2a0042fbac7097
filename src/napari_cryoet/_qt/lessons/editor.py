"""The dock in which a teacher writes a lesson: steps from the screen, text, tasks, and a try."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote

from napari import Viewer
from napari.layers import Vectors
from qtpy.QtCore import QMimeData, QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QLineEdit,
    QListWidget,
    QMenu,
    QMessageBox,
    QPlainTextEdit,
    QScrollArea,
    QSpinBox,
    QTabWidget,
    QWidget,
)

from napari_cryoet._qt.layers.ownership import about_of
from napari_cryoet._qt.lessons.dock import WRITE as NAME
from napari_cryoet._qt.lessons.dock import ask_for_lesson, open_lesson_dock
from napari_cryoet._qt.lessons.stage import Marks
from napari_cryoet._qt.lessons.task_form import TaskForm
from napari_cryoet._qt.lessons.text import LessonText
from napari_cryoet._qt.picks.layer_picks import are_picks
from napari_cryoet._qt.views.camera import camera_of
from napari_cryoet._qt.views.capture import capture, positions_of
from napari_cryoet._qt.views.picture import canvas_png
from napari_cryoet._qt.widgets.controls import (
    add_item,
    agrees,
    column_in,
    flow_of,
    form_of,
    not_none,
    push_button,
)
from napari_cryoet._qt.widgets.dock import Dock
from napari_cryoet._qt.widgets.messages import NoticeBar
from napari_cryoet.files import content_of
from napari_cryoet.lessons.folder import MAX_SHOWN_BYTES
from napari_cryoet.lessons.lesson import Step
from napari_cryoet.lessons.markdown import ActionKind
from napari_cryoet.lessons.writing import Draft
from napari_cryoet.views.view import View
from napari_cryoet.wording import plain

_LIST_PX: Final = 110
_PICTURE_PX: Final = (1600, 1200)  # of the screen, at most
_BETWEEN_HINTS: Final = "---"
_NO_STEP: Final = Step(key="none", title="")
_UNSAVED: Final = "The lesson has changes that aren't saved. Save them?"


class LessonEditor(Dock):
    """Writes a lesson, and asks before it discards unsaved changes.

    Attributes
    ----------
    draft
        The lesson as it is now.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer, NAME, tab_name="Write")
        self.draft = Draft()
        #: The number of the step that is edited; -1 without one.
        self.number = -1
        self._make_widgets()
        self._lay_out()
        self._connect()
        self.at_close(self.marks.clear)
        self.at_close(self._leave)
        self._show_lesson()

    @property
    def step(self) -> Step | None:
        """The step that is edited."""
        return self.draft.steps[self.number] if self.number >= 0 else None

    # lessons

    def new_lesson(self) -> None:
        """Begin a new lesson."""
        if self._may_leave():
            self.draft = Draft()
            self._show_lesson()

    def choose_lesson(self) -> None:
        """Let the user choose a lesson to edit."""
        path = ask_for_lesson(self)
        if path is not None:
            self.open(path)

    def open(self, path: Path) -> None:
        """Edit a lesson by its file or folder."""
        if self._may_leave():
            with self.notice.reporting():
                self.draft = Draft.of_folder(path)
                if missing := self.draft.missing():
                    self.notice.show_notice("\n".join(missing))
            self._show_lesson()

    def save(self) -> bool:
        """Save, a new lesson in a folder that the user chooses; whether it was saved."""
        if not self._settle_task():
            return False
        folder = self.draft.folder
        if folder is None:
            chosen, _ = QFileDialog.getSaveFileName(
                self, "Name the lesson's new folder", plain(self.draft.lesson.title)
            )
            if not chosen:
                return False
            folder = Path(chosen)
        with self.notice.reporting():
            self.draft.save(folder)
            self.notice.show_notice(f"Saved in {folder}.", is_news=True)
        return not self.draft.is_changed

    def try_lesson(self) -> None:
        """Play the lesson as a learner does, from the step that is edited; nothing is saved."""
        if self._settle_task():
            with self.notice.reporting():
                dock = open_lesson_dock(self.viewer, self.draft.trial())
                assert dock.player is not None  # noqa: S101 - it plays the lesson
                dock.player.go_to(self.number)

    def _may_leave(self, *, can_cancel: bool = True) -> bool:
        """Whether the lesson has no changes, or they are saved or discarded now."""
        if self._settle_task() and not self.draft.is_changed:
            return True
        buttons = QMessageBox.StandardButton
        cancel = buttons.Cancel if can_cancel else buttons.NoButton
        answer = QMessageBox.question(self, NAME, _UNSAVED, buttons.Save | buttons.Discard | cancel)
        return answer == buttons.Discard or (answer == buttons.Save and self.save())

    def _leave(self) -> None:
        if not self._settle_task():
            self._show_step()  # a task that lacks something can't be saved
        while not self._may_leave(can_cancel=False):
            pass  # it couldn't be saved

    # steps

    def add_step(self) -> None:
        """Add a step that starts from the screen's view."""
        view = self._view() if self._settle_task() else None
        if view is not None:
            self._show_steps(self.draft.add_step(view, self.number))
            self.step_title.selectAll()
            self.step_title.setFocus()

    def take_screen(self) -> None:
        """Replace the step's view by the screen's."""
        view = self._view() if self._settle_task() else None
        if view is not None:
            self.draft.change_step(self.number, view=view)
            self._show_step()
            self.notice.show_notice("The step starts from what you see now.", is_news=True)

    def move_step(self, by: int) -> None:
        """Move the step up or down."""
        to = self.number + by
        if 0 <= to < len(self.draft.steps) and self._settle_task():
            self.draft.move_step(self.number, to)
            self._show_steps(to)

    def remove_step(self) -> None:
        """Remove the step, after a question."""
        title = plain(self.draft.steps[self.number].title)
        question = f"Remove the step “{title}” with its text and task?"
        if agrees(self, NAME, question, verb="Remove"):
            self.draft.remove_step(self.number)
            self._show_steps(min(self.number, len(self.draft.steps) - 1))

    def _settle_task(self) -> bool:
        """Give the step the task of the form; False if that lacks something."""
        if self.step is None:
            return True
        with self.notice.reporting():
            task = self.form.task(self.draft, self.number)
            self.draft.change_step(self.number, task=task)
            self.form.show_task(task, self.step.view)
            for layer in filter(are_picks, self.viewer.layers):
                self.draft.recognise(positions_of(layer), about_of(layer).path)
            return True
        return False

    def _view(self) -> View | None:
        """The screen's view; None after showing an error if there is none."""
        with self.notice.reporting():
            captured = capture(self.viewer, folder=self.draft.folder)
            if captured.left_out:
                left_out = "\n".join(captured.left_out)
                self.notice.show_notice(f"The step won't show:\n{left_out}", is_news=True)
            return captured.view
        return None

    # what the dock shows

    def _show_lesson(self) -> None:
        with QSignalBlocker(self.title), QSignalBlocker(self.minutes):
            self.title.setText(self.draft.lesson.title)
            self.minutes.setValue(self.draft.lesson.minutes)
        self.text.draft = self.draft
        self._show_steps(0 if self.draft.steps else -1)

    def _show_steps(self, number: int) -> None:
        with QSignalBlocker(self.steps):
            self.steps.clear()
            for count, step in enumerate(self.draft.steps):
                self.steps.addItem(f"{count + 1}  {plain(step.title)}")
            self.steps.setCurrentRow(number)
        self._show_step()

    def _on_row(self, row: int) -> None:
        if row != self.number and self._settle_task():
            self._show_step()
        else:
            self.steps.setCurrentRow(self.number)

    def _show_step(self) -> None:
        self.number = self.steps.currentRow()
        step = self.step
        for part in (self.tabs, self.step_title, *self.step_buttons):
            part.setEnabled(step is not None)
        step = step or _NO_STEP
        with QSignalBlocker(self.step_title), QSignalBlocker(self.text), QSignalBlocker(self.hints):
            self.step_title.setText(step.title)
            self.text.setPlainText(step.text)
            self.hints.setPlainText(f"\n\n{_BETWEEN_HINTS}\n\n".join(step.hints))
        self._show_preview()
        self.form.show_task(step.task, step.view)

    def _show_preview(self, _number: int = 0) -> None:
        self.preview.show_markdown(self.text.toPlainText())

    def _read_file(self, name: str) -> bytes:
        return self.draft.files.read_file(name)

    def _on_step_title(self, title: str) -> None:
        title = " ".join(title.split()) or "Step"
        self.draft.change_step(self.number, title=title)
        not_none(self.steps.currentItem()).setText(f"{self.number + 1}  {plain(title)}")

    def _on_hints(self) -> None:
        hints = re.split(f"^{_BETWEEN_HINTS}$", self.hints.toPlainText(), flags=re.MULTILINE)
        self.draft.change_step(self.number, hints=tuple(filter(None, map(str.strip, hints))))

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
            push_button("▲", partial(self.move_step, -1), "Move the step up"),
            push_button("▼", partial(self.move_step, 1), "Move the step down"),
            push_button("Take the screen again", self.take_screen),
            push_button("Remove…", self.remove_step, "Remove the step"),
        )
        self.step_title = QLineEdit()
        self.step_title.setPlaceholderText("Title of the step")
        self.notice = NoticeBar(self.theme)
        self.marks = Marks(self.viewer, self.notice)  # for links
        self.text = StepText(self.viewer, self.notice)
        self.link_button = push_button("Link", purpose="Insert a link that acts on the canvas")
        self.link_button.setMenu(self.text.links)
        self.picture_button = push_button("Picture", purpose="Insert a picture")
        self.picture_button.setMenu(self.text.pictures)
        self.preview = LessonText(self.theme, self.tasks, self._read_file, self.marks.act)
        self.form = TaskForm(self)
        self.hints = QPlainTextEdit()
        self.hints.setPlaceholderText(f"Hints, with a line {_BETWEEN_HINTS} between two")
        self.try_button = push_button("Try as a learner", self.try_lesson)
        self.save_button = push_button("Save", self.save)

    def _lay_out(self) -> None:
        writing = QWidget()
        column_in(writing, self.text, flow_of([self.link_button, self.picture_button]))
        self.tabs = QTabWidget()
        for name, part in (
            ("Text", writing),
            ("Preview", _scrolling(self.preview)),
            ("Task", _scrolling(self.form)),
            ("Hints", self.hints),
        ):
            self.tabs.addTab(part, name)
        new = push_button("New", self.new_lesson, "Begin a new lesson")
        opener = push_button("Open…", self.choose_lesson, "Edit a lesson that exists")
        column = column_in(
            self,
            flow_of([new, opener, self.save_button, self.try_button]),
            form_of(("Lesson", self.title), ("Takes", self.minutes)),
            self.steps,
            flow_of([self.add_button, *self.step_buttons]),
            self.step_title,
            self.tabs,
            self.notice,
            margins=(6, 6, 6, 6),
        )
        column.setStretchFactor(self.tabs, 1)

    def _connect(self) -> None:
        self.title.textChanged.connect(
            lambda title: self.draft.change(title=" ".join(title.split()) or "A lesson")
        )
        self.minutes.valueChanged.connect(lambda minutes: self.draft.change(minutes=minutes))
        self.steps.currentRowChanged.connect(self._on_row)
        self.step_title.textChanged.connect(self._on_step_title)
        self.text.textChanged.connect(
            lambda: self.draft.change_step(self.number, text=self.text.toPlainText())
        )
        self.hints.textChanged.connect(self._on_hints)
        self.tabs.currentChanged.connect(self._show_preview)
        self.tasks.unhandled.connect(self.notice.show_error)


def _scrolling(content: QWidget) -> QScrollArea:
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(content)
    return area


class StepText(QPlainTextEdit):
    """The Markdown of a step, on which pictures can be dropped.

    Attributes
    ----------
    draft
        The lesson that keeps the pictures.
    links, pictures
        Menus of what can be inserted at the cursor.
    """

    def __init__(self, viewer: Viewer, notice: NoticeBar) -> None:
        super().__init__()
        self._viewer = viewer
        self._notice = notice
        self.draft = Draft()
        self.setPlaceholderText("Text of the step. **Bold**, *italic*, - lists.")
        self.links = QMenu(self)
        self.links.aboutToShow.connect(self._fill_links)
        self.pictures = QMenu(self)
        add_item(self.pictures, "Of the screen", self.insert_screen)
        add_item(self.pictures, "From a file…", self.choose_pictures)

    def canInsertFromMimeData(self, source: QMimeData | None) -> bool:
        return bool(_files_of(source)) or super().canInsertFromMimeData(source)

    def insertFromMimeData(self, source: QMimeData | None) -> None:
        files = _files_of(source)
        for path in files:
            self.insert_file(path)
        if not files:
            super().insertFromMimeData(source)

    # links

    def insert_place(self, kind: ActionKind) -> None:
        """Insert a link to the middle of the screen."""
        with self._notice.reporting():
            middle = camera_of(self._viewer).middle_zyx_angstrom
            numbers = ",".join(f"{length:.0f}" for length in middle)
            self._insert_link("here", f"!{kind}={numbers}")

    def insert_layer(self, kind: ActionKind, name: str) -> None:
        """Insert a link that shows or hides a layer."""
        self._insert_link(name, f"!{kind}={quote(name)}")

    def _insert_link(self, words: str, target: str) -> None:
        words = self.textCursor().selectedText() or _in_brackets(words)
        self._insert(f"[{words}]({target})")

    def _fill_links(self) -> None:
        self.links.clear()
        add_item(self.links, "Go to this place", partial(self.insert_place, "goto"))
        add_item(self.links, "Mark this place", partial(self.insert_place, "highlight"))
        for layer in reversed(self._viewer.layers):
            if not isinstance(layer, Vectors):
                name = layer.name
                add_item(self.links, f"Show {name}", partial(self.insert_layer, "show", name))
                add_item(self.links, f"Hide {name}", partial(self.insert_layer, "hide", name))

    # pictures

    def insert_screen(self) -> None:
        """Insert a picture of the canvas as it is."""
        with self._notice.reporting():
            self._insert_picture(canvas_png(self._viewer, _PICTURE_PX), "Screen")

    def choose_pictures(self) -> None:
        """Let the user choose pictures to insert."""
        chosen, _ = QFileDialog.getOpenFileNames(
            self, "Insert pictures", "", "Pictures (*.png *.jpg *.jpeg)"
        )
        for path in chosen:
            self.insert_file(Path(path))

    def insert_file(self, path: Path) -> None:
        """Insert a picture by its file."""
        with self._notice.reporting():
            self._insert_picture(content_of(path, MAX_SHOWN_BYTES), path.stem)

    def _insert_picture(self, content: bytes, title: str) -> None:
        name = self.draft.add_picture(content, title)
        self._insert(f"\n\n![{_in_brackets(title)}]({name})\n\n")

    def _insert(self, markdown: str) -> None:
        self.insertPlainText(markdown)
        self.setFocus()


def _files_of(mime: QMimeData | None) -> list[Path]:
    return [Path(url.toLocalFile()) for url in not_none(mime).urls() if url.isLocalFile()]


def _in_brackets(words: str) -> str:
    """Words for a link or picture, without what would end them."""
    return re.sub(r"[\[\]\\]", "", words)
