"""The dialog that joins a class."""

from __future__ import annotations

from typing import Final

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLineEdit, QWidget

from napari_cryoet._qt.widgets.controls import column_in, form_of, plain_label
from napari_cryoet._qt.widgets.start_bar import StartBar, StartDialog
from napari_cryoet.classroom.client import join_class

_ABOUT: Final = "Your teacher’s board shows the address and the code."
_PRIVACY: Final = (
    "The class gets your nickname, your answers and the step you are at, nothing else."
)
_KEY: Final = "join a class"


class JoinDialog(StartDialog):
    """Asks for the address, the code and a nickname, and closes once the class is joined."""

    joined = Signal(object)  # what `join_class` returns

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Join a class", 360, parent)
        self.address = QLineEdit()
        self.address.setPlaceholderText("192.168.1.7:8000")
        self.code = QLineEdit()
        self.code.setPlaceholderText("K7QM-4XDA")
        self.nickname = QLineEdit()
        self.bar = StartBar(self.tasks, _KEY, "Join", "Join the class")
        self.bar.button.setDefault(True)
        self.bar.start_requested.connect(self._on_start)
        fields = (("Address", self.address), ("Code", self.code), ("Nickname", self.nickname))
        about = plain_label(_ABOUT)
        privacy = plain_label(_PRIVACY, name="dimText")
        column_in(self, about, form_of(*fields), privacy, self.bar)

    def _on_start(self) -> None:
        address = self.address.text()
        code = self.code.text()
        nickname = self.nickname.text()
        self.tasks.run(
            _KEY,
            lambda job: join_class(address, code, nickname, task=job),
            then=self._on_joined,
            failed=self.bar.show_error,
        )

    def _on_joined(self, joined: object) -> None:
        self.joined.emit(joined)
        self.accept()
