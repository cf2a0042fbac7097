"""A class in the window: students follow the teacher's view, and the teacher shares it."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from napari import Viewer
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QCheckBox

from napari_cryoet._qt.tasks import Tasks
from napari_cryoet._qt.views.capture import view_of
from napari_cryoet._qt.views.restore import BROWSER
from napari_cryoet._qt.widgets.dock import open_dock
from napari_cryoet.classroom.client import ClassClient, TeacherClient
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.views.view import View

_SHARE: Final = "share the view"
_LOOK_MS: Final = 250  # between two looks at whether the teacher's view changed


class FollowSwitch(QCheckBox):
    """Shows the views that the teacher shares while it is on; hidden while there is none.

    Attributes
    ----------
    shared
        The teacher's view; None while there is none.
    """

    _arrived = Signal(object)  # View or None, from another thread

    def __init__(self, viewer: Viewer, student: ClassClient) -> None:
        super().__init__("Follow the teacher’s view")
        self._viewer = viewer
        self._host = student.host
        self.shared: View | None = None
        self.setChecked(True)
        self.hide()
        self.toggled.connect(self._show)
        self._arrived.connect(self._on_view)
        self._following = student.follow(self._arrived.emit)

    def end(self) -> None:
        """Stop following."""
        self._following.cancel()

    def _on_view(self, view: View | None) -> None:
        self.shared = view
        self.setVisible(view is not None)
        self._show()

    def _show(self, *_: Any) -> None:
        if self.shared is not None and self.isChecked():
            browser = open_dock(self._viewer, BROWSER, in_front=False)
            browser.open_view(self.shared, agreed=[self._host])


class ShareSwitch(QCheckBox):
    """Shows the window's view to a class while it is on."""

    failed = Signal(object)  # CryoETError

    def __init__(self, viewer: Viewer, tasks: Tasks, teacher: TeacherClient) -> None:
        super().__init__("Show my view to the class")
        self._viewer = viewer
        self._tasks = tasks
        self._teacher = teacher
        self._shown: View | None = None
        self.toggled.connect(self._look)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)
        self._timer.start(_LOOK_MS)

    def end(self) -> None:
        """Stop looking for changes; the class keeps the last view."""
        self._timer.stop()

    def _look(self, *_: Any) -> None:
        """Share the view if it changed, one at a time."""
        if self._tasks.is_running(_SHARE):
            return
        view: View | None = None
        if self.isChecked():
            try:
                view = view_of(self._viewer)
            except CryoETError:
                return  # there is no tomogram yet
        if view != self._shown:
            self._tasks.run(
                _SHARE,
                partial(self._teacher.share, view),
                then=lambda _: self._on_shared(view),
                failed=self._on_failed,
            )

    def _on_shared(self, view: View | None) -> None:
        self._shown = view

    def _on_failed(self, error: CryoETError) -> None:
        self._shown = None
        self.setChecked(False)
        self.failed.emit(error)
