"""The dock *Lesson*: lists lessons, plays one, and takes part in a class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from napari import Viewer
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCommandLinkButton,
    QFileDialog,
    QPushButton,
    QSizePolicy,
    QStackedWidget,
    QWidget,
)

from napari_cryoet._qt.lessons.classroom import FollowBar, JoinDialog, ShareBar, TeachDialog
from napari_cryoet._qt.lessons.player import LessonPlayer
from napari_cryoet._qt.tasks import Job, Tasks, single_shot
from napari_cryoet._qt.widgets.controls import (
    clear_layout,
    column_in,
    flow_of,
    main_window,
    plain_label,
    push_button,
)
from napari_cryoet._qt.widgets.dock import BROWSER, Dock, is_open, open_dock
from napari_cryoet._qt.widgets.messages import Loadable, NoticeBar
from napari_cryoet.classroom.client import ClassClient, ClassLesson, TeacherClient
from napari_cryoet.demo.write import ensure_demo_pack
from napari_cryoet.lessons.folder import lessons_of, open_lesson
from napari_cryoet.lessons.lesson import LESSON_NAME, Feedback, LessonSource, Step
from napari_cryoet.locations import path_to_read
from napari_cryoet.wording import plain

if TYPE_CHECKING:
    from napari_cryoet.classroom.messages import Delivery

NAME: Final = "Lesson"
WRITE: Final = "Write a lesson"
_LIST: Final = "list of lessons"  # key of a task


def open_lesson_dock(viewer: Viewer, source: LessonSource | None = None) -> LessonDock:
    """Open the dock, and play a lesson if one is given."""
    dock: LessonDock = open_dock(viewer, NAME)
    if source is not None:
        dock.play(source)
    return dock


def take_lesson(dock: Dock) -> None:
    """List all lessons in the dock."""
    open_lesson_dock(dock.viewer).choose_lesson()


def open_lesson_file(dock: Dock, text: str) -> None:
    """Play the lesson whose file a text names."""
    open_lesson_dock(dock.viewer, open_lesson(path_to_read(text)))


class LessonDock(Dock):
    """Plays lessons; without one it lists those of the demo and of the open pack.

    If it is closed during a lesson, the window keeps that for the next dock.

    Attributes
    ----------
    player
        The lesson that is played, or was left for a look at the list; None without one.
    class_bar
        Follows the teacher of a class, or shares the teacher's view.
    """

    ready = Signal(str)  # key of the step whose view is on the canvas, or can't be

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer, NAME, tab_name=NAME)
        # otherwise napari adds empty space below
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.player: LessonPlayer | None = None
        self.class_bar: FollowBar | ShareBar | None = None
        self.teaching = TeachDialog(self)
        self.notice = NoticeBar(self.theme)
        self.back_to_lesson = push_button("Back to the lesson", self.go_on)
        self.join = push_button("Join a class…", self.join_class)
        self.teach = push_button("Teach a class…", self.teach_class)
        write = push_button("Write a lesson…", partial(open_dock, napari_viewer, WRITE))
        opener = push_button("Open a lesson’s file…", self.open_file)
        buttons = (self.back_to_lesson, opener, write, self.join, self.teach)
        self.chooser = LessonChooser(self.tasks, buttons)
        self._lay_out()
        self._connect()
        for end in (self._keep_lesson, self._leave_class, self.teaching.end):
            self.at_close(end)
        direct = Qt.FindChildOption.FindDirectChildrenOnly
        kept = main_window(napari_viewer).findChild(LessonPlayer, options=direct)
        if kept is not None:
            self._take(kept)
        self._begin_soon = single_shot(self, 0, self.go_on)  # unless a lesson is played at once
        self._begin_soon.start()

    # lessons

    def play(self, source: LessonSource) -> None:
        """Play a lesson from its first step; one that is being played ends."""
        is_large = self.player is not None and self.player.large.isChecked()
        self.end_lesson()
        agreed = [source.student.host] if isinstance(source, ClassLesson) else []
        progress = source.progress if isinstance(source, ClassLesson) else None
        player = LessonPlayer(self.viewer, source, agreed=agreed, progress=progress)
        self._take(player).large.setChecked(is_large)
        self.go_on()

    def go_on(self) -> None:
        """Show the lesson's step, after a look at the list or after the dock was closed.

        Without a lesson, list them.
        """
        self._begin_soon.stop()  # listing lessons may make the demo
        player = self.player
        if player is None:
            self.choose_lesson()
            return
        self.pages.setCurrentWidget(player)
        source = player.session.source
        if isinstance(source, ClassLesson) and self.class_bar is None:
            self._follow(source.student)
        player.enter()

    def choose_lesson(self) -> None:
        """List all lessons; the current one is kept until another one is played."""
        self._begin_soon.stop()
        if self.player is not None:
            self.player.close_down()
        self.back_to_lesson.setVisible(self.player is not None)
        bar = self.class_bar
        student = bar.student if isinstance(bar, FollowBar) else None
        self.chooser.fill(self._open_pack(), student)
        self.pages.setCurrentWidget(self.chooser)

    def open_file(self) -> None:
        """Let the user choose a lesson's file, and play it."""
        path = ask_for_lesson(self)
        if path is not None:
            with self.notice.reporting():
                self.play(open_lesson(path))

    def end_lesson(self) -> None:
        """End the lesson; answers that weren't saved are lost."""
        if self.player is not None:
            self.player.end()
            self.pages.removeWidget(self.player)
            self.player.deleteLater()
            self.player = None

    @property
    def _shown_player(self) -> LessonPlayer | None:
        """The player unless the list of lessons is shown."""
        return self.player if self.pages.currentWidget() is self.player else None

    def _take(self, player: LessonPlayer) -> LessonPlayer:
        self.player = player
        self.pages.addWidget(player)
        player.ready.connect(self._on_ready)
        player.list_requested.connect(self.choose_lesson)
        player.join_requested.connect(self.join_class)
        return player

    def _keep_lesson(self) -> None:
        """Leave the lesson with the window, where the next dock finds it."""
        if self.player is not None:
            self.player.close_down()
            self.player.setParent(main_window(self.viewer))

    def _on_ready(self, step_key: str) -> None:
        if not self.is_in_front:
            self.come_forward()  # the portal's dock opened in front
        self.ready.emit(step_key)

    def _open_pack(self) -> Path | None:
        """The pack that the portal's dock shows; else the demo's lessons are listed."""
        if not is_open(self.viewer, BROWSER):
            return None
        source = open_dock(self.viewer, BROWSER, in_front=False).session.source
        is_pack = source is not None and source.kind == "pack"
        return Path(source.location) if is_pack else None

    # classes

    def join_class(self) -> None:
        """Ask for the address and the code of a class, then play its lesson."""
        dialog = JoinDialog(self)
        dialog.joined.connect(self.play_class)
        dialog.open()

    def teach_class(self) -> None:
        """Start a class with the lessons of the open pack or the demo, or show how to join the one that was started."""
        self.teaching.open_for(self._open_pack())

    def play_class(self, joined: ClassLesson | ClassClient | TeacherClient) -> None:
        """Play or list lessons of a class and follow the teacher, or let the teacher share the view."""
        self._leave_class()
        if isinstance(joined, TeacherClient):
            share = ShareBar(self.viewer, self.tasks, joined, self._place)
            share.failed.connect(self.notice.show_error)
            self._take_part(share)
        elif isinstance(joined, ClassLesson):
            self.play(joined)
        else:
            self._follow(joined)
            self.choose_lesson()

    def _place(self) -> tuple[str, Step] | None:
        """The key of the lesson, and the step that is played."""
        session = None if self.player is None else self.player.session
        if session is None or session.is_over:
            return None
        return session.lesson.key, session.step

    def _follow(self, student: ClassClient) -> None:
        bar = FollowBar(self.viewer, student)
        bar.followed.connect(self._on_followed)
        bar.delivered.connect(self._on_delivered)
        bar.refused.connect(self.notice.show_error)
        self._take_part(bar)

    def _on_followed(self, is_followed: bool) -> None:
        player = self._shown_player
        if player is not None:
            change = player.pause_step if is_followed else player.open_view
            change()

    def _on_delivered(self, delivery: Delivery, feedback: Feedback) -> None:
        player = self.player
        if player is not None and player.session.lesson.key == delivery.lesson:
            player.take_feedback(delivery.step, delivery.answer, feedback)

    def _take_part(self, switch: FollowBar | ShareBar) -> None:
        self.class_bar = switch
        self.whole.addWidget(switch)

    def _leave_class(self) -> None:
        if self.class_bar is not None:
            self.class_bar.end()
            self.class_bar.hide()
            self.class_bar.deleteLater()
            self.class_bar = None

    # widgets

    def take_keys(self) -> None:
        """Focus Next, or the first lesson of the list."""
        player = self._shown_player
        if player is not None:
            player.next_button.setFocus(Qt.FocusReason.OtherFocusReason)
        else:
            self.chooser.take_focus()

    def _lay_out(self) -> None:
        self.pages = QStackedWidget()
        self.pages.addWidget(self.chooser)
        self.whole = column_in(self, self.pages, self.notice, margins=(0, 0, 0, 0))

    def _connect(self) -> None:
        self.chooser.chosen.connect(self.play)
        self.teaching.started.connect(
            lambda server: self.play_class(TeacherClient(server.page_url, server.teacher_code))
        )
        self.teaching.ended.connect(self._leave_class)
        self.tasks.unhandled.connect(self.notice.show_error)


class LessonChooser(QWidget):
    """Lists lessons, above buttons that are there while the list is made too."""

    chosen = Signal(object)  # LessonSource

    def __init__(self, tasks: Tasks, buttons: Iterable[QPushButton]) -> None:
        super().__init__()
        self._tasks = tasks
        self._list = QWidget()
        self._rows = column_in(self._list, margins=(6, 12, 6, 6))
        self.loadable = Loadable(self._list)
        below = flow_of(buttons)
        below.setContentsMargins(6, 0, 6, 6)
        column_in(self, self.loadable, below, margins=(0, 0, 0, 0))
        tasks.said.connect(self._on_said)

    @property
    def buttons(self) -> list[QCommandLinkButton]:
        """The buttons of the listed lessons."""
        return self._list.findChildren(QCommandLinkButton)

    def fill(self, pack: Path | None, student: ClassClient | None) -> None:
        """List the lessons of a student's class or of a pack, else those of the demo.

        The demo is made if it isn't there.
        """

        def work(job: Job) -> tuple[LessonSource, ...]:
            if student is not None:
                return tuple(student.open_lesson(key, job) for key in student.lessons)
            lessons = () if pack is None else lessons_of(pack)
            return lessons or lessons_of(ensure_demo_pack(task=job))

        retry = partial(self.fill, pack, student)
        self.loadable.show_loading("Looking for lessons…")
        self._tasks.run(
            _LIST,
            work,
            then=self._show,
            failed=lambda error: self.loadable.show_error(error, retry),
        )

    def take_focus(self) -> None:
        buttons = self.buttons
        (buttons[0] if buttons else self.loadable).setFocus()

    def _on_said(self, key: object, fraction: float, text: str) -> None:
        if key == _LIST and text:
            stop = partial(self._tasks.stop, _LIST)
            self.loadable.show_progress("Preparing the demo", text, fraction, stop)

    def _show(self, lessons: Sequence[LessonSource]) -> None:
        clear_layout(self._rows)
        self._rows.addWidget(plain_label("Take a lesson", name="messageTitle"))
        for source in lessons:
            lesson = source.lesson
            about = f"{lesson.minutes} minutes. {plain(lesson.description)}"
            button = QCommandLinkButton(plain(lesson.title).replace("&", "&&"), about)
            button.setObjectName("startChoice")
            button.setAutoDefault(True)
            button.clicked.connect(lambda _checked=False, source=source: self.chosen.emit(source))
            self._rows.addWidget(button)
        self._rows.addStretch(1)
        self.loadable.show_content()


def ask_for_lesson(parent: QWidget) -> Path | None:
    """Let the user choose a lesson's file; None if none was chosen."""
    chosen, _ = QFileDialog.getOpenFileName(parent, "Open a lesson", "", f"Lessons ({LESSON_NAME})")
    return Path(chosen) if chosen else None
