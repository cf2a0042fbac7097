"""The dialog that starts a class from the window, and shows how to join it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QCheckBox, QDialog, QLabel, QLineEdit, QWidget

from napari_cryoet._qt.tasks import Job, Tasks
from napari_cryoet._qt.widgets.controls import (
    column_in,
    form_of,
    open_in_browser,
    plain_label,
    push_button,
)
from napari_cryoet._qt.widgets.start_bar import StartBar
from napari_cryoet.demo.write import ensure_demo_pack
from napari_cryoet.lessons.folder import lessons_of

if TYPE_CHECKING:
    from napari_cryoet.classroom.server import ClassServer

_KEY: Final = "teach a class"
_EVERYBODY: Final = "0.0.0.0"  # noqa: S104 - only if the teacher ticks it
_QR_SCALE: Final = 5


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
        self.name = QLineEdit("My class")
        self.others = QCheckBox("Let others in this network join")
        self.bar = StartBar(self._tasks, _KEY, "Start", "Start the class")
        self.bar.start_requested.connect(self._on_start)
        self.how = plain_label()
        self.how.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.qr = QLabel()
        self.board = push_button("Open the board", self._open_board)
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
        name = self.name.text().strip() or "My class"
        host = _EVERYBODY if self.others.isChecked() else "127.0.0.1"

        def work(job: Job) -> ClassServer:
            from napari_cryoet.classroom.server import ClassServer

            folder = pack or ensure_demo_pack(task=job)
            return ClassServer(folder, name, lessons_of(folder), host)

        self._tasks.run(_KEY, work, then=self._on_started, failed=self.bar.show_error)

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

    def _open_board(self) -> None:
        if self.server is not None:
            open_in_browser(self.server.board_url)
