"""The dock that plays a lesson: text, view, task, hints and feedback of one step at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

import numpy as np
from napari import Viewer
from napari.layers import Layer, Vectors
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QInputDialog,
    QMenu,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_cryoet._qt.lessons.chooser import LessonChooser
from napari_cryoet._qt.lessons.following import FollowSwitch, ShareSwitch
from napari_cryoet._qt.lessons.joining import JoinDialog
from napari_cryoet._qt.lessons.marks import Marks
from napari_cryoet._qt.lessons.task_boxes import Stage, TaskBox, box_for
from napari_cryoet._qt.lessons.teaching import TeachDialog
from napari_cryoet._qt.lessons.text import LessonText
from napari_cryoet._qt.picks.orientations import points_of
from napari_cryoet._qt.review.reviewed_layer import fly_to
from napari_cryoet._qt.tasks import Job, single_shot
from napari_cryoet._qt.views.restore import BROWSER
from napari_cryoet._qt.widgets.controls import (
    ElidedLabel,
    add_item,
    drop_menu,
    passing_menu,
    plain_label,
    progress_bar,
    push_button,
    tool_button,
)
from napari_cryoet._qt.widgets.dock import Dock, is_open, open_dock
from napari_cryoet._qt.widgets.messages import NoticeBar
from napari_cryoet.classroom.client import ClassLesson, TeacherClient
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.formats.registry import read_picks
from napari_cryoet.lessons.folder import write_result
from napari_cryoet.lessons.lesson import Answer, Feedback, LessonSource, Step
from napari_cryoet.lessons.markdown import Action
from napari_cryoet.lessons.session import (
    RESULT_SUFFIX,
    LessonSession,
    feedback_text,
    fetch_files,
    files_of,
    summary_text,
)
from napari_cryoet.picks import Picks
from napari_cryoet.views.view import View
from napari_cryoet.wording import plain

if TYPE_CHECKING:
    from napari_cryoet.classroom.server import ClassServer

NAME: Final = "Lesson"
WRITE: Final = "Write a lesson"
_OWN_LAYERS: Final = "Your own layers are hidden during a lesson. They come back at its end."
_LARGE_PT: Final = 16
_VIEW: Final = "view of a step"
_FILES: Final = "files of a step"
_SAVE: Final = "save result"


def open_lesson_dock(
    viewer: Viewer, source: LessonSource | None = None, *, agreed: Iterable[str] = ()
) -> LessonDock:
    """Open the dock, and play a lesson if one is given.

    Parameters
    ----------
    agreed
        Hosts that the lesson's views may load from without a question, such as that of a class
        that the user joined.
    """
    dock: LessonDock = open_dock(viewer, NAME)
    if source is not None:
        dock.play(source, agreed=agreed)
    return dock


class LessonDock(Dock):
    """Plays lessons; without one it lists those of the demo and of the open pack.

    Attributes
    ----------
    session
        The learner's way through the lesson; None without one.
    box
        The box of the current step's task, if it has one.
    """

    entered = Signal(str)  # key of the step that is shown now; empty at the summary
    ready = Signal(str)  # key of the step whose view is on the canvas, or can't be
    graded = Signal(str, object)  # key of the step and Feedback

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer, NAME, tab_name=NAME)
        # otherwise napari adds empty space below
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.session: LessonSession | None = None
        self.box: TaskBox | None = None
        #: Follows the teacher of a class, or shares the teacher's view.
        self.class_switch: FollowSwitch | ShareSwitch | None = None
        self.marks = Marks(napari_viewer)
        self._boxes: dict[str, TaskBox] = {}  # by step key
        self._agreed: tuple[str, ...] = ()
        self._files: tempfile.TemporaryDirectory[str] | None = None  # of a class
        self._browser: Any = None
        self._opening: View | None = None
        self._opened: View | None = None
        self._of_views: WeakSet[Layer] = WeakSet()  # of this and earlier lessons
        self._hidden: list[Layer] = []  # the user's own
        self._tilt_series: list[Layer] = []  # of the step
        self._make_widgets()
        self._lay_out()
        self._connect()
        self.at_close(self._end)
        self.at_close(self._leave_class)
        self.at_close(self.teaching.end)
        self._list_soon = single_shot(self, 0, self._list_lessons)  # unless one is played at once
        self._list_soon.start()

    # lessons

    def play(self, source: LessonSource, *, agreed: Iterable[str] = ()) -> None:
        """Play a lesson from its first step; one that is being played ends."""
        self._end()
        self._list_soon.stop()  # it may make the demo
        self.session = LessonSession(source)
        self._agreed = tuple(agreed)
        self._files = tempfile.TemporaryDirectory(prefix="napari-cryoet-lesson-")
        self.pages.setCurrentWidget(self.player)
        self.title.setText(plain(source.lesson.title))
        self.bar.setMaximum(len(source.lesson.steps))
        self._enter(0)

    def go_to(self, number: int) -> None:
        """Show a step, or the summary after the last one."""
        if self.session is not None and number != self.session.number:
            self._leave()
            self._enter(number)

    def next(self) -> None:
        if self.session is not None:
            self.go_to(min(self.session.number + 1, len(self.session.lesson.steps)))

    def back(self) -> None:
        if self.session is not None:
            self.go_to(max(self.session.number - 1, 0))

    def choose_lesson(self) -> None:
        """End the lesson, and list all lessons."""
        self._end()
        self._list_lessons()
        self.pages.setCurrentWidget(self.chooser)

    def join_class(self) -> None:
        """Ask for the address and the code of a class, then play its lesson."""
        dialog = JoinDialog(self)
        dialog.joined.connect(self.play_class)
        dialog.open()

    def teach_class(self) -> None:
        """Start a class with the listed lessons, or show how to join the one that was started."""
        self.teaching.pack = self.chooser.pack
        self.teaching.show()
        self.teaching.raise_()

    def _on_class(self, server: ClassServer) -> None:
        self.play_class(TeacherClient(server.page_url, server.teacher_code))

    def play_class(self, joined: ClassLesson | TeacherClient) -> None:
        """Play a lesson of a class and follow the teacher, or let the teacher share the view."""
        self._leave_class()
        if isinstance(joined, TeacherClient):
            self.class_switch = ShareSwitch(self.viewer, self.tasks, joined)
            self.class_switch.failed.connect(self.notice.show_error)
        else:
            self.play(joined, agreed=[joined.student.host])
            self.class_switch = FollowSwitch(self.viewer, joined.student)
        self.whole.addWidget(self.class_switch)

    def _leave_class(self) -> None:
        if self.class_switch is not None:
            self.class_switch.end()
            self.class_switch.hide()
            self.class_switch.deleteLater()
            self.class_switch = None

    def _list_lessons(self) -> None:
        """List the lessons of the pack that the portal's dock shows, or else the demo's."""
        self.chooser.pack = None
        if is_open(self.viewer, BROWSER):
            source = open_dock(self.viewer, BROWSER, in_front=False).session.source
            if source is not None and source.kind == "pack":
                self.chooser.pack = Path(source.location)
        self.chooser.fill()

    def _end(self) -> None:
        self._leave()
        for box in self._boxes.values():
            self.steps.removeWidget(box)
            box.deleteLater()
        self._boxes = {}
        self.session = None
        self._opened = None
        for layer in self._hidden:
            if layer in self.viewer.layers:
                layer.visible = True
        self._hidden = []
        if self._files is not None:
            self._files.cleanup()
            self._files = None

    # steps

    def _enter(self, number: int) -> None:
        session = self.session
        assert session is not None  # noqa: S101 - only called in a lesson
        session.go_to(number)
        step = session.step
        self._show_step(step)
        self.entered.emit("" if step is None else step.key)
        if step is None:
            return
        view = session.view
        if view is not None and (step.view is not None or view is not self._opened):
            self.open_view()
        else:
            self._begin()

    def _leave(self) -> None:
        """Take away what the step added; the learner's own picks are hidden."""
        self.tasks.stop(_FILES)
        self._opening = None
        self.notice.hide()
        if self.box is not None:
            self.tasks.stop(self.box)
            self.box.leave()
            self.box.hide()
            self.box = None
        self.marks.clear()

    def open_view(self) -> None:
        """Show the view that the step starts from, again too."""
        session = self.session
        view = None if session is None else session.view
        if session is None or session.step is None or view is None or self._files is None:
            return
        self._opening = view
        self.status.setText("Opening the view…")
        names = files_of(session.step, view)
        work = partial(fetch_files, session.source, names, Path(self._files.name))
        self.tasks.run(
            _FILES,
            work,
            then=partial(self._open_in_browser, view),
            failed=self._on_view_failed,
        )

    def _open_in_browser(self, view: View, folder: Path) -> None:
        browser = open_dock(self.viewer, BROWSER, in_front=False)
        if browser is not self._browser:
            self._browser = browser
            browser.restorer.opened.connect(self._on_view)
            browser.restorer.failed.connect(self._on_view_failed)
        browser.open_view(view, folder=folder, agreed=self._agreed)

    def _on_view(self, view: View, _remarks: str) -> None:
        if view is not self._opening:
            return  # the user opened another one
        self._opening = None
        self._opened = view
        layers = self._browser.restorer.layers
        self._of_views.update(layers)
        self._hide_others(layers)
        self._remove_tilt_series(view, layers)
        self.status.setText("")
        if not self.is_in_front:
            self.come_forward()  # the portal's dock opened in front
        self._begin()

    def _on_view_failed(self, error: CryoETError) -> None:
        if self._opening is not None:
            self._opening = None
            self.status.setText("")
            self.notice.show_error(error, self.open_view, topic=_VIEW)
            self._begin()

    def _hide_others(self, shown: list[Layer]) -> None:
        """Hide all layers that aren't of the view."""
        of_lesson = [layer for box in self._boxes.values() for layer in box.layers]
        before = len(self._hidden)
        for layer in self.viewer.layers:
            owner = points_of(layer) if isinstance(layer, Vectors) else None
            if layer.visible and layer not in shown and owner not in shown:
                layer.visible = False
                if layer not in of_lesson and layer not in self._of_views:
                    self._hidden.append(layer)
        if len(self._hidden) > before:
            self.notice.show_notice(_OWN_LAYERS, is_news=True)

    def _remove_tilt_series(self, view: View, shown: list[Layer]) -> None:
        """Remove the tilt series of earlier steps: napari warns of its degrees beside ångström."""
        for layer in self._tilt_series:
            if layer not in shown and layer in self.viewer.layers:
                self.viewer.layers.remove(layer)
        pairs = zip(view.layers, shown, strict=False)
        self._tilt_series = [layer for viewed, layer in pairs if viewed.kind == "tilt series"]

    def _begin(self) -> None:
        """Start the step's task, now that the canvas shows what it can."""
        session = self.session
        step = None if session is None else session.step
        if session is None or step is None:
            return
        if self.box is not None:
            self.box.begin()
        self._show_feedback(session.feedback(step.key))
        self.ready.emit(step.key)

    # the task

    def _box_of(self, step: Step) -> TaskBox | None:
        if step.task is None:
            return None
        if step.key not in self._boxes:
            stage = Stage(
                viewer=self.viewer,
                theme=self.theme,
                tasks=self.tasks,
                marks=self.marks,
                title=step.title,
                fetch_picture=self._fetch_picture,
                fetch_picks=self._fetch_picks,
            )
            box = box_for(step.task, stage)
            box.answered.connect(partial(self._on_answer, step.key))
            box.ask.action_requested.connect(self._act)
            self._boxes[step.key] = box
            self.steps.insertWidget(1, box)
        return self._boxes[step.key]

    def _on_answer(self, step_key: str, answer: Answer) -> None:
        session = self.session
        box = self.box
        if session is None or box is None:
            return
        self.tasks.run(
            box,
            lambda job: session.grade(step_key, answer, job),
            then=partial(self._on_graded, step_key, answer),
            failed=box.bar.show_error,
            title="Checking your answer",
        )

    def _on_graded(self, step_key: str, answer: Answer, feedback: Feedback) -> None:
        if self.session is not None:
            self.session.keep(step_key, answer, feedback)
            self._show_feedback(feedback)
            self.area.ensureWidgetVisible(self.feedback)
            self.graded.emit(step_key, feedback)

    def _show_feedback(self, feedback: Feedback | None) -> None:
        box = self.box
        is_shown = feedback is not None and box is not None
        self.feedback.setVisible(is_shown)
        if feedback is None or box is None:
            return
        self.feedback.setProperty("isRight", feedback.is_right)
        style = self.feedback.style()
        if style is not None:
            style.polish(self.feedback)
        self.feedback_text.show_markdown(feedback_text(feedback))
        self.marks.show_feedback(feedback, box.diameter_angstrom)
        box.rest()
        box.setEnabled(False)

    def try_again(self) -> None:
        """Take the feedback away and let the learner change the answer."""
        self.feedback.hide()
        self.marks.hide_feedback()
        if self.box is not None:
            self.box.setEnabled(True)
            self.box.begin()

    def _fetch_picks(self, name: str, then: Callable[[Picks], None]) -> None:
        session = self.session
        if session is None or self._files is None:
            return
        folder = Path(self._files.name)

        def work(job: Job) -> Picks:
            return read_picks(fetch_files(session.source, [name], folder, job) / name)

        self.tasks.run(("picks", name), work, then=then, failed=self.notice.show_error)

    def _fetch_picture(self, name: str, then: Callable[[bytes], None]) -> None:
        session = self.session
        if session is not None:
            self.tasks.run(
                ("picture", name),
                lambda _job: session.source.read_file(name),
                then=then,
                failed=self.notice.show_error,
            )

    # links in the text

    def _act(self, action: Action) -> None:
        position = action.position_zyx_angstrom
        if position is not None:
            if action.kind == "highlight":
                self.marks.highlight(position)
            else:
                fly_to(self.viewer, np.array(position))
            return
        for layer in self._layers_named(action.layer):
            layer.visible = action.kind != "hide"
            if action.kind == "highlight":
                self.viewer.layers.selection.active = layer

    def _layers_named(self, name: str) -> list[Layer]:
        """The layers of a name, as napari or the step's view calls them."""
        named = [layer for layer in self.viewer.layers if layer.name == name]
        if not named and self._opened is not None:
            shown = zip(self._opened.layers, self._browser.restorer.layers, strict=False)
            named = [layer for viewed, layer in shown if viewed.name == name]
        if not named:
            self.notice.show_notice(f"There is no layer “{plain(name)}” here.")
        return named

    # what the dock shows

    def _show_step(self, step: Step | None) -> None:
        session = self.session
        assert session is not None  # noqa: S101 - only called in a lesson
        self.where.setText(f"{session.text} ▾")
        self.bar.setValue(session.number)
        self.back_button.setEnabled(session.number > 0)
        is_last = session.number >= len(session.lesson.steps) - 1
        self.next_button.setText("Finish" if is_last else "Next ›")
        self.next_button.setVisible(step is not None)
        self.save.setVisible(step is None)
        self.feedback.hide()
        self.status.setText("")
        self.reset.setVisible(session.view is not None and step is not None)
        self.box = None if step is None else self._box_of(step)
        if step is None:
            self.heading.setText("Summary")
            self.text.show_markdown(summary_text(session.scores))
        else:
            self.heading.setText(plain(step.title))
            self.text.show_markdown(step.text)
        if self.box is not None:
            self.box.setEnabled(True)
            self.box.show()
        self._show_hints()
        scroll = self.area.verticalScrollBar()
        if scroll is not None:
            scroll.setValue(0)

    def _show_hints(self) -> None:
        session = self.session
        step = None if session is None else session.step
        if session is None or step is None:
            self.hints.show_markdown("")
            self.hint.hide()
            return
        self.hints.show_markdown("\n\n".join(session.hints(step.key)))
        self.hint.setVisible(session.has_hint(step.key))

    def _on_hint(self) -> None:
        if self.session is not None and self.session.step is not None:
            self.session.take_hint(self.session.step.key)
            self._show_hints()

    def _drop_steps(self) -> None:
        session = self.session
        if session is None:
            return
        menu: QMenu = passing_menu(self.where)
        for number, step in enumerate(session.lesson.steps):
            add_item(menu, f"{number + 1}  {step.title}", partial(self.go_to, number))
        n_steps = len(session.lesson.steps)
        add_item(menu, "Summary", partial(self.go_to, n_steps))
        menu.addSeparator()
        add_item(menu, "Other lessons…", self.choose_lesson)
        drop_menu(menu, self.where)

    def _set_large(self, is_large: bool) -> None:
        self.area.setStyleSheet(f"QWidget {{ font-size: {_LARGE_PT}pt; }}" if is_large else "")

    # the result

    def _on_save(self) -> None:
        session = self.session
        if session is None:
            return
        nickname, is_accepted = QInputDialog.getText(
            self, "Save result", "Your name or nickname, up to 40 letters"
        )
        nickname = nickname.strip()[:40]
        if not is_accepted or not nickname:
            return
        name = f"{session.lesson.key}-{nickname}{RESULT_SUFFIX}".replace("/", "-")
        chosen, _ = QFileDialog.getSaveFileName(
            self, "Save result", name, f"Results (*{RESULT_SUFFIX})"
        )
        if chosen:
            result = session.result(nickname)
            self.tasks.run(
                _SAVE,
                lambda _job: write_result(result, chosen),
                then=lambda path: self.notice.show_notice(f"Saved {path.name}.", is_news=True),
                failed=self.notice.show_error,
            )

    # keys

    def take_keys(self) -> None:
        """Focus Next, or the first lesson of the list."""
        if self.session is None:
            self.chooser.take_focus()
        else:
            self.next_button.setFocus(Qt.FocusReason.OtherFocusReason)

    # widgets

    def _make_widgets(self) -> None:
        self.chooser = LessonChooser(self.theme, self.tasks)
        self.teaching = TeachDialog(self)
        self.title = ElidedLabel(name="pageTitle")
        self.large = tool_button("A+", "Larger type")
        self.large.setCheckable(True)
        self.where = tool_button("", "Go to another step")
        self.bar = progress_bar("Progress of the lesson")
        self.reset = tool_button("Reset view", "Show what the step starts from again")
        self.heading = plain_label(name="messageTitle")
        self.text = LessonText(self.theme)
        self.hints = LessonText(self.theme)
        self.hint = push_button("Hint", self._on_hint, "Show a hint")
        self.feedback = QFrame()
        self.feedback.setObjectName("lessonFeedback")
        self.feedback_text = LessonText(self.theme)
        self.again = push_button("Try again", self.try_again)
        self.status = plain_label(name="dimText")
        self.notice = NoticeBar(self.theme)
        self.back_button = QPushButton("‹ Back")
        self.next_button = QPushButton("Next ›")
        self.save = QPushButton("Save result…")

    def _lay_out(self) -> None:
        in_feedback = QVBoxLayout(self.feedback)
        in_feedback.setContentsMargins(8, 4, 8, 6)
        in_feedback.addWidget(self.feedback_text)
        in_feedback.addWidget(self.again)
        content = QWidget()
        self.steps = QVBoxLayout(content)
        self.steps.setContentsMargins(0, 0, 4, 0)
        for part in (self.text, self.feedback, self.hints, self.hint):
            self.steps.addWidget(part)
        self.steps.addStretch(1)
        self.area = QScrollArea()
        self.area.setWidgetResizable(True)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setWidget(content)
        top = QHBoxLayout()
        top.addWidget(self.title, 1)
        top.addWidget(self.large)
        below = QHBoxLayout()
        below.addWidget(self.where)
        below.addStretch(1)
        below.addWidget(self.reset)
        last = QHBoxLayout()
        for button in (self.back_button, self.next_button, self.save):
            last.addWidget(button, 1)
        self.player = QWidget()
        column = QVBoxLayout(self.player)
        column.setContentsMargins(6, 6, 6, 4)
        column.addLayout(top)
        column.addLayout(below)
        column.addWidget(self.bar)
        column.addWidget(self.heading)
        column.addWidget(self.area, 1)
        column.addWidget(self.status)
        column.addWidget(self.notice)
        column.addLayout(last)
        self.pages = QStackedWidget()
        self.pages.addWidget(self.chooser)
        self.pages.addWidget(self.player)
        self.whole = QVBoxLayout(self)
        self.whole.setContentsMargins(0, 0, 0, 0)
        self.whole.addWidget(self.pages)

    def _connect(self) -> None:
        self.chooser.chosen.connect(self.play)
        self.chooser.join_requested.connect(self.join_class)
        self.chooser.write_requested.connect(partial(open_dock, self.viewer, WRITE))
        self.chooser.teach_requested.connect(self.teach_class)
        self.teaching.started.connect(self._on_class)
        self.large.toggled.connect(self._set_large)
        self.where.clicked.connect(self._drop_steps)
        self.reset.clicked.connect(self.open_view)
        self.next_button.clicked.connect(self.next)
        self.back_button.clicked.connect(self.back)
        self.save.clicked.connect(self._on_save)
        self.tasks.unhandled.connect(self.notice.show_error)
        for text in (self.text, self.hints, self.feedback_text):
            text.action_requested.connect(self._act)
            text.failed.connect(self.notice.show_error)
            text.picture_wanted.connect(
                lambda name, text=text: self._fetch_picture(name, partial(text.add_picture, name))
            )
        in_window = Qt.ShortcutContext.WindowShortcut  # a presenter clicks on the canvas too
        in_dock = Qt.ShortcutContext.WidgetWithChildrenShortcut
        for key, slot, context in (
            ("PgDown", self.next, in_window),
            ("PgUp", self.back, in_window),
            ("Right", self.next, in_dock),
            ("Left", self.back, in_dock),
        ):
            shortcut = QShortcut(QKeySequence(key), self)
            shortcut.setContext(context)
            shortcut.activated.connect(slot)
