"""Plays one lesson: text, view, task, hints and feedback of one step at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from napari import Viewer
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
    QVBoxLayout,
    QWidget,
)

from napari_cryoet._qt.lessons.stage import Stage
from napari_cryoet._qt.lessons.task_boxes import (
    ChooseBox,
    CompareBox,
    MeasureBox,
    PickBox,
    SortBox,
    TaskBox,
)
from napari_cryoet._qt.tasks import Tasks, single_shot
from napari_cryoet._qt.widgets.controls import (
    ElidedLabel,
    add_item,
    column_in,
    drop_menu,
    passing_menu,
    plain_label,
    progress_bar,
    push_button,
    row_of,
    set_look,
    tool_button,
)
from napari_cryoet._qt.widgets.messages import NoticeBar
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.lessons.folder import files_of, write_result
from napari_cryoet.lessons.lesson import (
    Answer,
    ChooseTask,
    CompareTask,
    Feedback,
    LessonSource,
    LessonTask,
    MeasureTask,
    PickTask,
    Progress,
    SortTask,
    Step,
)
from napari_cryoet.lessons.session import (
    RESULT_SUFFIX,
    LessonSession,
    feedback_text,
)
from napari_cryoet.wording import plain

_BOXES: Final[dict[type[LessonTask], Callable[[Any, Stage, str], TaskBox]]] = {
    PickTask: PickBox,
    SortTask: SortBox,
    ChooseTask: ChooseBox,
    MeasureTask: MeasureBox,
    CompareTask: CompareBox,
}
_BELOW_PX: Final = 6
_LARGE_PT: Final = 16
_PAUSED: Final = "You see your teacher’s view."


class LessonPlayer(QWidget):
    """Plays one lesson, and keeps answers, hints and the step while no dock shows it.

    Parameters
    ----------
    agreed
        Hosts that the lesson's views may load from without a question, such as that of a class
        that the user joined.
    progress
        Where to go on, from an earlier time.

    Attributes
    ----------
    session
        The learner's way through the lesson.
    box
        The box of the current step's task, if it has one.
    """

    ready = Signal(str)  # key of the step whose view is on the canvas, or can't be
    graded = Signal(str, object)  # key of the step and Feedback
    list_requested = Signal()
    join_requested = Signal()

    def __init__(
        self,
        viewer: Viewer,
        source: LessonSource,
        *,
        agreed: Iterable[str] = (),
        progress: Progress | None = None,
    ) -> None:
        super().__init__()
        self.session = LessonSession(source, progress)
        self.box: TaskBox | None = None
        self.theme = Theme(viewer, self)
        self.destroyed.connect(partial(Theme.close, self.theme))
        self.tasks = Tasks(self)
        self.notice = NoticeBar(self.theme)
        self.stage = Stage(
            viewer, source, self.theme, self.tasks, self.notice, agreed=agreed, parent=self
        )
        self._boxes: dict[str, TaskBox] = {}  # by step key
        self._scroll_soon = single_shot(self, 0, self._scroll_to_feedback)  # once laid out
        self._make_widgets()
        self._lay_out()
        self._connect()

    # steps

    def go_to(self, number: int) -> None:
        """Show a step, or the summary after the last one."""
        number = max(0, min(number, len(self.session.lesson.steps)))
        if number != self.session.number:
            self.leave()
            self.session.go_to(number)
            self.enter()

    def next(self) -> None:
        self.go_to(self.session.number + 1)

    def back(self) -> None:
        self.go_to(self.session.number - 1)

    def enter(self) -> None:
        """Show the current step, here and on the canvas."""
        self._show_step()
        session = self.session
        is_here = session.view is self.stage.view and session.step.view is None
        if is_here or session.is_over:
            self._begin()
        else:
            self.open_view()

    def open_view(self) -> None:
        """Show the view that the step starts from, again too."""
        view = self.session.view
        self._clear_canvas()
        if view is None:
            self._begin()
        else:
            self.status.setText("Opening the view…")
            self.stage.show(view, files_of(self.session.step, view))

    def pause_step(self) -> None:
        """Leave the canvas to the teacher's view until `open_view`; the answer so far is kept."""
        self._clear_canvas()
        self.stage.view = None
        self.feedback.hide()
        self.status.setText(_PAUSED)
        if self.box is not None:
            self._let_answer(self.box, False)

    def leave(self) -> None:
        """Take away what the step added; the learner's own picks are hidden."""
        self._clear_canvas()
        self.notice.hide()
        if self.box is not None:
            self.tasks.stop(self.box)
            self.box.hide()
            self.box.bar.hide()
            self.box = None

    def close_down(self) -> None:
        """Give the canvas back to the user; `enter` goes on with the lesson."""
        self.leave()
        self.stage.close()

    def end(self) -> None:
        """Give the canvas back for good, without the lesson's layers."""
        self.leave()
        self.stage.end()

    def _clear_canvas(self) -> None:
        self.stage.stop()
        self.stage.marks.clear()
        if self.box is not None:
            self.box.leave()

    def _on_view_failed(self, error: CryoETError) -> None:
        self.notice.show_error(error, self.open_view)
        self._begin()

    def _begin(self) -> None:
        """Start the step's task, now that the canvas shows what it can."""
        self.status.setText("")
        step = self.session.step
        if self.box is not None:
            self._let_answer(self.box, True)
            self.box.begin()
            self._show_feedback(self.box, self.session.feedback(step.key))
        self.ready.emit(step.key)

    # the task

    def _box_of(self, step: Step) -> TaskBox | None:
        if step.task is None:
            return None
        if step.key not in self._boxes:
            box = _BOXES[type(step.task)](step.task, self.stage, plain(step.title))
            box.answered.connect(partial(self._on_answer, box, step.key))
            self._boxes[step.key] = box
            self.steps.insertWidget(1, box)
            self.checks.addWidget(box.bar)
        return self._boxes[step.key]

    def _on_answer(self, box: TaskBox, step_key: str, answer: Answer) -> None:
        n_hints = len(self.session.hints)
        self.tasks.run(
            box,
            lambda job: self.session.source.grade(step_key, answer, job, n_hints=n_hints),
            then=partial(self.take_feedback, step_key, answer),
            failed=box.bar.show_error,
            title="Checking your answer",
        )

    def take_feedback(self, step_key: str, answer: Answer, feedback: Feedback) -> None:
        """Keep the feedback on an answer, which may have been delivered late, and show it at its step."""
        self.session.keep(step_key, answer, feedback)
        box = self.box
        # the canvas may show another step by now, or the teacher's view
        if box is not None and box.is_on_canvas and self.session.step.key == step_key:
            self._show_feedback(box, feedback)
            self._scroll_soon.start()
        self.graded.emit(step_key, feedback)

    def _show_feedback(self, box: TaskBox, feedback: Feedback | None) -> None:
        self.feedback.setVisible(feedback is not None)
        if feedback is None:
            return
        set_look(self.feedback, "isRight", feedback.is_right)
        self.feedback_text.show_markdown(feedback_text(feedback))
        self.stage.marks.show_feedback(feedback, box.diameter_angstrom)
        box.rest()
        self._let_answer(box, False)

    def _let_answer(self, box: TaskBox, is_open: bool) -> None:
        """Let the learner answer, or only go on."""
        box.setEnabled(is_open)
        box.bar.setVisible(is_open)
        set_look(self.next_button, "isMain", not is_open)

    def _scroll_to_feedback(self) -> None:
        """Scroll to the end of the feedback, or to its start if it is higher than the page."""
        frame = self.feedback.geometry()
        self.area.ensureVisible(0, frame.bottom(), 0, _BELOW_PX)
        self.area.ensureVisible(0, frame.top(), 0, 0)

    def try_again(self) -> None:
        """Take the feedback away and let the learner change the answer."""
        self.feedback.hide()
        self.stage.marks.hide_feedback()
        if self.box is not None:
            self._let_answer(self.box, True)
            self.box.begin()

    # showing the step

    def _show_step(self) -> None:
        session = self.session
        step = self.session.step
        n_steps = len(session.lesson.steps)
        self.where.setText(f"{session.text} ▾")
        self.bar.setValue(session.number)
        self.back_button.setEnabled(session.number > 0)
        self.next_button.setText("Finish" if session.number >= n_steps - 1 else "Next ›")
        self.next_button.setVisible(not session.is_over)
        self.save.setVisible(session.is_over)
        self.feedback.hide()
        self.status.setText("")
        self.reset.setVisible(session.view is not None and not session.is_over)
        self.heading.setText(plain(step.title))
        self.text.show_markdown(step.text)
        self.box = self._box_of(step)
        set_look(self.next_button, "isMain", self.box is None)
        if self.box is not None:
            self.box.show()
        self._show_hints()
        self.area.ensureVisible(0, 0)

    def _show_hints(self) -> None:
        self.hints.show_markdown("\n\n".join(self.session.hints))
        self.hint.setVisible(self.session.has_hint)

    def _on_hint(self) -> None:
        self.session.take_hint()
        self._show_hints()

    def _drop_steps(self) -> None:
        menu: QMenu = passing_menu(self.where)
        steps = self.session.lesson.steps
        for number, step in enumerate(steps):
            add_item(menu, f"{number + 1}  {step.title}", partial(self.go_to, number))
        add_item(menu, "Summary", partial(self.go_to, len(steps)))
        menu.addSeparator()
        add_item(menu, "Other lessons…", self.list_requested.emit)
        add_item(menu, "Join a class…", self.join_requested.emit)
        drop_menu(menu, self.where)

    def _set_large(self, is_large: bool) -> None:
        style = f"QWidget {{ font-size: {_LARGE_PT}pt; }}" if is_large else ""
        for part in (self.heading, self.area):
            part.setStyleSheet(style)

    # the result

    def _on_save(self) -> None:
        nickname, is_accepted = QInputDialog.getText(
            self, "Save result", "Your name or nickname, up to 40 letters"
        )
        nickname = nickname.strip()[:40]
        if not is_accepted or not nickname:
            return
        name = f"{self.session.lesson.key}-{nickname}{RESULT_SUFFIX}".replace("/", "-")
        chosen, _ = QFileDialog.getSaveFileName(
            self, "Save result", name, f"Results (*{RESULT_SUFFIX})"
        )
        if chosen:
            result = self.session.result(nickname)
            self.tasks.run(
                "save result",
                lambda _job: write_result(result, chosen),
                then=lambda path: self.notice.show_notice(f"Saved {path.name}.", is_news=True),
                failed=self.notice.show_error,
            )

    # widgets

    def _make_widgets(self) -> None:
        lesson = self.session.lesson
        self.title = ElidedLabel(plain(lesson.title), name="pageTitle")
        self.large = tool_button("A+", "Larger type")
        self.large.setCheckable(True)
        self.where = tool_button("", "Go to another step")
        self.bar = progress_bar("Progress of the lesson")
        self.bar.setMaximum(len(lesson.steps))
        self.reset = tool_button("Reset view", "Show what the step starts from again")
        self.heading = plain_label(name="messageTitle")
        self.text = self.stage.text()
        self.hints = self.stage.text()
        self.hint = push_button("Hint", self._on_hint, "Show a hint")
        self.feedback = QFrame()
        self.feedback.setObjectName("lessonFeedback")
        self.feedback_text = self.stage.text()
        self.again = push_button("Try again", self.try_again)
        self.status = plain_label(name="dimText")
        self.back_button = QPushButton("‹ Back")
        self.next_button = QPushButton("Next ›")
        self.save = QPushButton("Save result…")

    def _lay_out(self) -> None:
        column_in(self.feedback, self.feedback_text, self.again, margins=(8, 4, 8, 6))
        content = QWidget()
        in_step = (self.text, self.feedback, self.hints, self.hint)
        self.steps = column_in(content, *in_step, margins=(0, 0, 4, 0))
        self.steps.addStretch(1)
        self.area = QScrollArea()
        self.area.setWidgetResizable(True)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setWidget(content)
        below = QHBoxLayout()
        below.addWidget(self.where)
        below.addStretch(1)
        below.addWidget(self.reset)
        self.checks = QVBoxLayout()  # always in view
        self.ways = row_of(self.back_button, self.next_button, self.save)
        column = column_in(
            self,
            row_of(self.title, self.large),
            below,
            self.bar,
            self.heading,
            self.area,
            self.checks,
            self.status,
            self.notice,
            self.ways,
            margins=(6, 6, 6, 4),
        )
        column.setStretchFactor(self.area, 1)

    def _connect(self) -> None:
        self.stage.shown.connect(self._begin)
        self.stage.failed.connect(self._on_view_failed)
        self.tasks.unhandled.connect(lambda error: self.notice.show_error(error, self.open_view))
        self.large.toggled.connect(self._set_large)
        self.where.clicked.connect(self._drop_steps)
        self.reset.clicked.connect(self.open_view)
        self.next_button.clicked.connect(self.next)
        self.back_button.clicked.connect(self.back)
        self.save.clicked.connect(self._on_save)
        # a presenter's keys work while the canvas has the focus, arrows not where they do other things
        in_window = Qt.ShortcutContext.WindowShortcut
        among_buttons = Qt.ShortcutContext.WidgetWithChildrenShortcut
        for key, slot, context in (
            ("PgDown", self.next, in_window),
            ("PgUp", self.back, in_window),
            ("Right", self.next, among_buttons),
            ("Left", self.back, among_buttons),
        ):
            shortcut = QShortcut(QKeySequence(key), self.ways)
            shortcut.setContext(context)
            shortcut.activated.connect(slot)
