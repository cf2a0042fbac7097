"""The list of lessons: of the open pack or the demo, and of a file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCommandLinkButton,
    QFileDialog,
    QHBoxLayout,
    QVBoxLayout,
    QWidget,
)

from napari_cryoet._qt.tasks import Job, Tasks
from napari_cryoet._qt.widgets.controls import clear_layout, plain_label, push_button
from napari_cryoet._qt.widgets.messages import Loadable
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.classroom.client import ClassClient
from napari_cryoet.demo.write import ensure_demo_pack
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.lessons.folder import lessons_of, open_lesson
from napari_cryoet.lessons.lesson import LESSON_NAME, LessonSource
from napari_cryoet.wording import plain

_LIST: Final = "list of lessons"


class LessonChooser(QWidget):
    """Lists lessons, and opens the one that is clicked."""

    chosen = Signal(object)  # LessonSource
    join_requested = Signal()
    teach_requested = Signal()
    write_requested = Signal()

    def __init__(self, theme: Theme, tasks: Tasks) -> None:
        super().__init__()
        self._theme = theme
        self._tasks = tasks
        #: The open pack, whose lessons are listed instead of the demo's.
        self.pack: Path | None = None
        #: The student of a class, whose lessons are listed instead.
        self.student: ClassClient | None = None
        self._list = QWidget()
        self._rows = QVBoxLayout(self._list)
        self._rows.setContentsMargins(6, 12, 6, 6)
        self.loadable = Loadable(self._list)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.loadable)
        #: Always there, while the demo is made too.
        self.join = push_button("Join a class…", self.join_requested.emit)
        beside = QHBoxLayout()
        beside.setContentsMargins(6, 0, 6, 6)
        beside.addWidget(self.join)
        self.teach = push_button("Teach a class…", self.teach_requested.emit)
        beside.addWidget(self.teach)
        beside.addStretch(1)
        whole.addLayout(beside)
        tasks.said.connect(self._on_said)

    @property
    def buttons(self) -> list[QCommandLinkButton]:
        """The buttons of the listed lessons."""
        return self._list.findChildren(QCommandLinkButton)

    def fill(self) -> None:
        """List the lessons; without a pack that has some, the demo is made if it isn't there."""
        pack = self.pack
        student = self.student

        def work(job: Job) -> tuple[LessonSource, ...]:
            if student is not None:
                return tuple(student.open_lesson(key, job) for key in student.lessons)
            lessons = () if pack is None else lessons_of(pack)
            return lessons or lessons_of(ensure_demo_pack(task=job))

        self.loadable.show_loading("Looking for lessons…")
        self._tasks.run(_LIST, work, then=self._show, failed=self._on_failed)

    def take_focus(self) -> None:
        buttons = self.buttons
        (buttons[0] if buttons else self.loadable).setFocus()

    def open_file(self) -> None:
        """Let the user choose a lesson's file."""
        path = ask_for_lesson(self)
        if path is not None:
            self._tasks.run(
                _LIST,
                lambda _job: open_lesson(path),
                then=self.chosen.emit,
                failed=self._on_failed,
            )

    def _on_said(self, key: object, fraction: float, text: str) -> None:
        if key == _LIST and text:
            stop = partial(self._tasks.stop, _LIST)
            self.loadable.show_progress("Preparing the demo", text, fraction, stop)

    def _on_failed(self, error: CryoETError) -> None:
        self.loadable.show_error(error, self.fill)

    def _show(self, lessons: Sequence[LessonSource]) -> None:
        clear_layout(self._rows)
        self._rows.addWidget(plain_label("Take a lesson", name="messageTitle"))
        for source in lessons:
            lesson = source.lesson
            about = f"{lesson.minutes} minutes. {plain(lesson.description)}"
            button = QCommandLinkButton(plain(lesson.title).replace("&", "&&"), about)
            button.setObjectName("startChoice")
            button.setAutoDefault(True)
            button.clicked.connect(partial(self._choose, source))
            self._rows.addWidget(button)
        self._rows.addWidget(push_button("Open a lesson’s file…", self.open_file))
        self._rows.addWidget(push_button("Write a lesson…", self.write_requested.emit))
        self._rows.addStretch(1)
        self.loadable.show_content()

    def _choose(self, lesson: LessonSource, _checked: bool = False) -> None:
        self.chosen.emit(lesson)


def ask_for_lesson(parent: QWidget) -> Path | None:
    """Let the user choose a lesson's file; None if none was chosen."""
    chosen, _ = QFileDialog.getOpenFileName(parent, "Open a lesson", "", f"Lessons ({LESSON_NAME})")
    return Path(chosen) if chosen else None
