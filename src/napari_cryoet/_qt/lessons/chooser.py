"""The list of lessons: of a class, the open pack or the demo."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCommandLinkButton,
    QFileDialog,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_cryoet._qt.tasks import Job, Tasks
from napari_cryoet._qt.widgets.controls import clear_layout, flow_of, plain_label
from napari_cryoet._qt.widgets.messages import Loadable
from napari_cryoet.classroom.client import ClassClient
from napari_cryoet.demo.write import ensure_demo_pack
from napari_cryoet.lessons.folder import lessons_of
from napari_cryoet.lessons.lesson import LESSON_NAME, LessonSource
from napari_cryoet.wording import plain

_LIST: Final = "list of lessons"


class LessonChooser(QWidget):
    """Lists lessons, above buttons that are there while the list is made too."""

    chosen = Signal(object)  # LessonSource

    def __init__(self, tasks: Tasks, buttons: Iterable[QPushButton]) -> None:
        super().__init__()
        self._tasks = tasks
        self._list = QWidget()
        self._rows = QVBoxLayout(self._list)
        self._rows.setContentsMargins(6, 12, 6, 6)
        self.loadable = Loadable(self._list)
        below = flow_of(buttons)
        below.setContentsMargins(6, 0, 6, 6)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.loadable)
        whole.addLayout(below)
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
            button.clicked.connect(partial(self._choose, source))
            self._rows.addWidget(button)
        self._rows.addStretch(1)
        self.loadable.show_content()

    def _choose(self, lesson: LessonSource, _checked: bool = False) -> None:
        self.chosen.emit(lesson)


def ask_for_lesson(parent: QWidget) -> Path | None:
    """Let the user choose a lesson's file; None if none was chosen."""
    chosen, _ = QFileDialog.getOpenFileName(parent, "Open a lesson", "", f"Lessons ({LESSON_NAME})")
    return Path(chosen) if chosen else None
