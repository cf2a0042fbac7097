"""A class in the window: join one or teach one, follow the teacher's view or share it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from msgspec.structs import replace
from napari import Viewer
from napari.layers import Points
from qtpy.QtCore import QTimer, Signal
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QCheckBox, QDialog, QHBoxLayout, QLabel, QLineEdit, QWidget
from superqt.utils import ensure_main_thread

from napari_cryoet._qt.layers.ownership import remove_layer
from napari_cryoet._qt.lessons.stage import LETTERS, about_picks_on, add_points
from napari_cryoet._qt.picks.layer_picks import volume_for
from napari_cryoet._qt.tasks import Job, Tasks
from napari_cryoet._qt.views.capture import view_of
from napari_cryoet._qt.views.restore import restorer_of
from napari_cryoet._qt.widgets.controls import (
    ElidedLabel,
    column_in,
    form_of,
    not_none,
    open_in_browser,
    plain_label,
    push_button,
)
from napari_cryoet._qt.widgets.dock import BROWSER, open_dock
from napari_cryoet._qt.widgets.start_bar import StartBar, TaskDialog
from napari_cryoet._version import __version__
from napari_cryoet.appearance.diameters import diameter_angstrom
from napari_cryoet.classroom.client import ClassClient, TeacherClient, join_class
from napari_cryoet.classroom.messages import ClassPicks
from napari_cryoet.comparison.consensus import VOTES
from napari_cryoet.demo.write import ensure_demo_pack
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.lessons.folder import lessons_of
from napari_cryoet.lessons.lesson import PickTask, Step
from napari_cryoet.views.view import View
from napari_cryoet.wording import count_text, plain

if TYPE_CHECKING:
    from napari_cryoet.classroom.server import ClassServer

#: The name of a layer.
CLASS_PICKS: Final = "Picks of the class"
_ABOUT: Final = "Your teacher’s board shows the address and the code."
_PRIVACY: Final = (
    "The class gets your nickname, your answers and the step you are at, nothing else."
)
_MY_CLASS: Final = "My class"
_EVERYBODY: Final = "0.0.0.0"  # noqa: S104 - only if the teacher ticks it
_QR_SCALE: Final = 5
_LOOK_MS: Final = 250  # between two looks at whether the teacher's view changed
_COLOR: Final = "#4fc3f7"
#: Keys of tasks.
_JOIN: Final = "join a class"
_TEACH: Final = "teach a class"
_SHARE: Final = "share the view"
_GET_PICKS: Final = "picks of the class"


class JoinDialog(TaskDialog):
    """Asks for the address, the code and a nickname, and closes once the class is joined."""

    joined = Signal(object)  # what `join_class` returns

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Join a class", 360, parent)
        self.address = QLineEdit()
        self.address.setPlaceholderText("192.168.1.7:8000")
        self.code = QLineEdit()
        self.code.setPlaceholderText("K7QM-4XDA")
        self.nickname = QLineEdit()
        self.bar = StartBar(self.tasks, _JOIN, "Join", "Join the class")
        self.bar.button.setDefault(True)
        self.bar.start_requested.connect(self._on_start)
        fields = (("Address", self.address), ("Code", self.code), ("Nickname", self.nickname))
        about = plain_label(_ABOUT)
        privacy = plain_label(_PRIVACY, name="dimText")
        column_in(self, about, form_of(*fields), privacy, self.bar)

    def _on_start(self) -> None:
        join = partial(join_class, self.address.text(), self.code.text(), self.nickname.text())
        self.tasks.run(
            _JOIN,
            lambda job: join(task=job),
            then=self._on_joined,
            failed=self.bar.show_error,
        )

    def _on_joined(self, joined: object) -> None:
        self.joined.emit(joined)
        self.accept()


class TeachDialog(QDialog):
    """Starts and stops a class with the lessons of a pack, or of the demo; closed, the class goes on."""

    started = Signal(object)  # ClassServer
    ended = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Teach a class")
        self.setMinimumWidth(380)
        self._tasks = Tasks(self)
        self.server: ClassServer | None = None
        self._pack: Path | None = None  # None for the demo
        self.served = plain_label()
        self.name = QLineEdit(_MY_CLASS)
        self.others = QCheckBox("Let others in this network join")
        self.bar = StartBar(self._tasks, _TEACH, "Start", "Start the class")
        self.bar.start_requested.connect(self._on_start)
        self.how = plain_label(is_selectable=True)
        self.qr = QLabel()
        self.board = push_button("Open the board")
        self.board.clicked.connect(lambda: open_in_browser(not_none(self.server).board_url))
        self.stop = push_button("Stop the class", self.stop_class)
        form = form_of(("Class", self.name), ("Lessons", self.served), ("", self.others))
        column_in(self, form, self.bar, self.how, self.qr, self.board, self.stop)
        self._show_class(False)

    def open_for(self, pack: Path | None) -> None:
        """Show the dialog, to serve a pack, or the demo, unless a class is running."""
        if self.server is None:
            self._pack = pack
            self.served.setText("those of the demo" if pack is None else f"those of {pack.name}")
        self.show()
        self.raise_()

    def stop_class(self) -> None:
        """Stop the class; students keep what they can't deliver."""
        if self.server is not None:
            self.server.close()
            self.server = None
            self._show_class(False)
            self.ended.emit()

    def end(self) -> None:
        """Stop the class, for good."""
        self._tasks.close()
        self.stop_class()

    def _show_class(self, is_running: bool) -> None:
        """Show what a running class needs, or what is needed to start one."""
        self.name.setEnabled(not is_running)
        self.others.setEnabled(not is_running)
        self.bar.setVisible(not is_running)
        for part in (self.how, self.qr, self.board, self.stop):
            part.setVisible(is_running)
        self.adjustSize()

    def _on_start(self) -> None:
        pack = self._pack
        name = self.name.text().strip() or _MY_CLASS
        host = _EVERYBODY if self.others.isChecked() else "127.0.0.1"

        def work(job: Job) -> ClassServer:
            from napari_cryoet.classroom.server import ClassServer

            folder = pack or ensure_demo_pack(task=job)
            return ClassServer(folder, name, lessons_of(folder), host)

        self._tasks.run(_TEACH, work, then=self._on_started, failed=self.bar.show_error)

    def _on_started(self, server: ClassServer) -> None:
        self.server = server
        pixmap = QPixmap()
        pixmap.loadFromData(server.qr_picture("png", _QR_SCALE))
        self.qr.setPixmap(pixmap)
        address = server.page_url.removeprefix("http://")
        lines = (
            f"Address: {address}",
            f"Code for students: {server.join_code}",
            f"Your own code, for the board: {server.teacher_code}",
            "The class goes on until you stop it here, or close the dock “Lesson”.",
        )
        self.how.setText("\n".join(lines))
        self._show_class(True)
        self.started.emit(server)


class FollowBar(QWidget):
    """Names the class, and shows the views that the teacher shares while its switch is on.

    The switch is hidden while there is no shared view.

    Attributes
    ----------
    shared
        The teacher's view; None while there is none.
    """

    followed = Signal(bool)  # whether the canvas shows the teacher's view from now on
    delivered = Signal(object, object)  # Delivery and Feedback of an answer that was kept
    refused = Signal(object)  # AnswerError of such an answer

    def __init__(self, viewer: Viewer, student: ClassClient) -> None:
        super().__init__()
        self._viewer = viewer
        self.student = student
        self.shared: View | None = None
        self._is_followed = False
        name = f"{plain(student.name)}, as {plain(student.nickname)}"
        self.name = ElidedLabel(name, name="dimText")
        self.switch = QCheckBox("Follow the teacher’s view")
        self.switch.setChecked(True)
        self.switch.hide()
        row = QHBoxLayout(self)
        row.addWidget(self.name, 1)
        row.addWidget(self.switch)
        self.switch.toggled.connect(self._show)
        self._following = student.follow(
            partial(self._later, self._on_view),
            partial(self._later, self.delivered.emit),
            partial(self._later, self.refused.emit),
        )
        self.destroyed.connect(self._following.cancel)  # also if the whole window closes

    def end(self) -> None:
        """Stop following."""
        self._following.cancel()

    @ensure_main_thread
    def _later(self, act: Callable[..., None], *news: Any) -> None:
        """Act on news from another thread, unless following has ended."""
        if not self._following.cancelled():
            act(*news)

    def _on_view(self, view: View | None) -> None:
        self.shared = view
        self.switch.setVisible(view is not None)
        self._show()

    def _show(self, *_: Any) -> None:
        was_followed = self._is_followed
        self._is_followed = self.shared is not None and self.switch.isChecked()
        if self._is_followed or was_followed:
            self.followed.emit(self._is_followed)
        if self.shared is not None and self._is_followed:
            restorer = restorer_of(open_dock(self._viewer, BROWSER, in_front=False))
            restorer.open(self.shared, agreed=[self.student.host], is_followed=True)


class ShareBar(QWidget):
    """Shows the window's view to a class while its switch is on, and adds what the class picked.

    Parameters
    ----------
    place_of
        Called for the key of the lesson and the step that the teacher plays, if any.
    """

    failed = Signal(object)  # CryoETError

    def __init__(
        self,
        viewer: Viewer,
        tasks: Tasks,
        teacher: TeacherClient,
        place_of: Callable[[], tuple[str, Step] | None],
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._tasks = tasks
        self._teacher = teacher
        self._place_of = place_of
        self._shown: View | None = None
        self._layer: Points | None = None
        self.switch = QCheckBox("Show my view to the class")
        tooltip = (
            "Add what the class agrees on in this task as a layer, with the number of students"
        )
        self.picks = push_button(CLASS_PICKS, self._get_picks, tooltip)
        self.picks.hide()
        row = QHBoxLayout(self)
        row.addWidget(self.switch, 1)
        row.addWidget(self.picks)
        self.switch.toggled.connect(self._look)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)
        self._timer.start(_LOOK_MS)

    def end(self) -> None:
        """Stop looking for changes, and stop sharing."""
        self._timer.stop()
        if self._shown is not None:
            stop = partial(self._teacher.share, None)
            self._tasks.run(_SHARE, stop, then=self._on_shared, failed=lambda _error: None)

    def _look(self, *_: Any) -> None:
        """Share the view if it changed, one at a time."""
        place = self._place_of()
        self.picks.setVisible(place is not None and isinstance(place[1].task, PickTask))
        if self._tasks.is_running(_SHARE):
            return
        view: View | None = None
        if self.switch.isChecked():
            try:
                whole = view_of(self._viewer)
                view = replace(whole, layers=whole.visible_layers)  # students may lack others
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
        self.switch.setChecked(False)
        self.failed.emit(error)

    # the picks of the class

    def _get_picks(self) -> None:
        place = self._place_of()
        if place is not None:
            lesson_key, step = place
            self._tasks.run(
                _GET_PICKS,
                lambda job: self._teacher.picks(lesson_key, step.key, job),
                then=self._add_picks,
                failed=self.failed.emit,
            )

    def _add_picks(self, found: ClassPicks) -> None:
        """Add the picks as a layer, in place of an earlier one of this bar."""
        volume = volume_for(list(self._viewer.layers), None)
        if not found.votes or volume is None:
            people = count_text(len(found.people), "student")
            hint = "A layer needs a tomogram, and the picks of two students."
            self.failed.emit(CryoETError(f"{people} picked here so far.", hint=hint))
            return
        if self._layer is not None:
            remove_layer(self._viewer, self._layer)
        about = about_picks_on(
            volume,
            kind="annotation",
            shown_name=CLASS_PICKS,
            object_name=found.object_name,
            software=f"napari-cryoet {__version__}",
            more={"made_by": f"consensus of {len(found.people)} students"},
        )
        self._layer = add_points(
            self._viewer,
            CLASS_PICKS,
            np.array(found.agreed_zyx_angstrom),
            about,
            diameter_angstrom=diameter_angstrom(None, found.object_name),
            color=_COLOR,
            features={VOTES: np.array(found.votes)},
        )
        self._layer.text = LETTERS | {"string": f"{{{VOTES}}}"}
