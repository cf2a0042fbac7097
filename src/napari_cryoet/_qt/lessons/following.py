"""A class in the window: students follow the teacher's view, and the teacher shares it."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from napari import Viewer
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QCheckBox

from napari_cryoet._qt.lessons.dock import LessonDock, open_lesson_dock
from napari_cryoet._qt.views.capture import view_of
from napari_cryoet._qt.views.restore import BROWSER
from napari_cryoet._qt.widgets.dock import open_dock
from napari_cryoet.classroom.client import ClassLesson, Following, TeacherClient
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.views.view import View

SHARE: Final = "Show my view to the class"
FOLLOW: Final = "Follow the teacher’s view"
_SHARE: Final = "share the view"
_LOOK_MS: Final = 250  # between two looks at whether the teacher's view changed


def open_class(viewer: Viewer, joined: ClassLesson | TeacherClient) -> Follower | Sharer:
    """Play a lesson of a class and follow the teacher, or let the teacher share the window's view."""
    if isinstance(joined, TeacherClient):
        return Sharer(open_lesson_dock(viewer), joined)
    dock = open_lesson_dock(viewer, joined, agreed=[joined.student.host])
    return Follower(dock, joined)


class Follower(QObject):
    """Shows the views that the teacher shares, unless the student leaves.

    Attributes
    ----------
    shared
        The teacher's view; None while there is none.
    switch
        Whether to follow; hidden while nothing is shared.
    """

    _arrived = Signal(object)  # View or None, from another thread

    def __init__(self, dock: LessonDock, lesson: ClassLesson) -> None:
        super().__init__(dock)
        self._dock = dock
        self._host = lesson.student.host
        self.shared: View | None = None
        self.switch = _switch(dock, FOLLOW)
        self.switch.setChecked(True)
        self.switch.hide()
        self.switch.toggled.connect(self._show)
        self._arrived.connect(self._on_view)
        following: Following = lesson.student.follow(self._arrived.emit)
        dock.at_close(following.close)

    def _on_view(self, view: View | None) -> None:
        self.shared = view
        self.switch.setVisible(view is not None)
        self._show()

    def _show(self, *_: Any) -> None:
        if self.shared is not None and self.switch.isChecked():
            browser = open_dock(self._dock.viewer, BROWSER, in_front=False)
            browser.open_view(self.shared, agreed=[self._host])


class Sharer(QObject):
    """Shows the window's view to a class while its ``switch`` is on."""

    def __init__(self, dock: LessonDock, teacher: TeacherClient) -> None:
        super().__init__(dock)
        self._dock = dock
        self._teacher = teacher
        self._shown: View | None = None
        self.switch = _switch(dock, SHARE)
        self.switch.toggled.connect(self._look)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)
        self._timer.start(_LOOK_MS)
        dock.at_close(self._timer.stop)

    def _look(self, *_: Any) -> None:
        """Share the view if it changed, one at a time."""
        tasks = self._dock.tasks
        if tasks.is_running(_SHARE):
            return
        view: View | None = None
        if self.switch.isChecked():
            try:
                view = view_of(self._dock.viewer)
            except CryoETError:
                return  # there is no tomogram yet
        if view != self._shown:
            work = partial(self._teacher.share, view)
            then = partial(setattr, self, "_shown", view)
            tasks.run(_SHARE, work, then=lambda _: then(), failed=self._on_failed)

    def _on_failed(self, error: CryoETError) -> None:
        self.switch.setChecked(False)
        self._shown = None
        self._dock.notice.show_error(error)


def _switch(dock: LessonDock, text: str) -> QCheckBox:
    """A switch below the lesson, instead of that of an earlier class."""
    for older in dock.findChildren(QCheckBox, "classSwitch"):
        older.setParent(None)
        older.deleteLater()
    switch = QCheckBox(text)
    switch.setObjectName("classSwitch")
    layout = dock.layout()
    assert layout is not None  # noqa: S101 - the dock has one
    layout.addWidget(switch)
    return switch
