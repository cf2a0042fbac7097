"""How much data may come over the network, and what of it is kept: offline mode, the data saver, the held data."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from magicgui import magicgui
from qtpy.QtCore import QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QGridLayout, QVBoxLayout, QWidget

from napari_cryoet._qt.settings import DataSaver, Settings, recall
from napari_cryoet._qt.tasks import Job, Tasks
from napari_cryoet._qt.widgets.labels import ElidedLabel, plain_label, plain_tooltip, push_button
from napari_cryoet._qt.widgets.messages import agrees, open_folder
from napari_cryoet.held import Held, held_data, size_bytes
from napari_cryoet.held import clear as clear_held
from napari_cryoet.network.policy import MEGABYTE, Policy, network_use_text, policy, save_data
from napari_cryoet.wording import size_text

_LOOK_MS: Final = 1000  # bytes come on other threads
_MOST_MB: Final = 1_000_000
_SAVER_TEXT: Final = (
    "Holds for everything that comes over the network: metadata, pictures, tomograms, downloads. "
    "The demo, packs and what was loaded before are not limited. 0 is any amount."
)
_HELD_NAMES: Final = {
    "metadata": "Pages of the portal",
    "pixels": "Tomograms and masks",
    "demo": "The demo",
    "other": "Other",
}


class NetworkUse(QObject):
    """Shows and changes the policy of the process, and remembers what was chosen here."""

    changed = Signal(str, bool)  # what to say of it, whether we are offline
    loosened = Signal()  # what was withheld can be tried again

    def __init__(self, memory: Settings, parent: QWidget) -> None:
        super().__init__(parent)
        self._memory, self._widget, self._policy = memory, parent, policy()
        self._told = ("", False)
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_MS)
        self._timer.timeout.connect(self.look)

    def recall(self) -> None:
        recall(self._memory)
        self.look()

    def set_offline(self, is_offline: bool) -> None:
        self._policy.offline = self._memory.is_offline = is_offline
        self.look()
        if not is_offline:
            self.loosened.emit()

    def ask_limits(self) -> None:
        dialog = SaverDialog(self._policy, self._widget)
        dialog.accepted.connect(self._on_limits)
        dialog.open()

    def look(self) -> None:
        """Report changes, and check again soon while bytes are counted."""
        told = (network_use_text(self._policy), self._policy.offline)
        if told != self._told:
            self._told = told
            self.changed.emit(*told)
        if self._policy.max_session_bytes is None:
            self._timer.stop()
        elif not self._timer.isActive():
            self._timer.start()

    def _on_limits(self) -> None:
        now = self._policy
        self._memory.data_saver = DataSaver((now.max_session_bytes or 0) // MEGABYTE, now.coarse_only)
        self.look()
        self.loosened.emit()


class SaverDialog(QDialog):
    """A form over `save_data`: sets the data saver of the whole process when it is accepted."""

    def __init__(self, policy: Policy, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Data saver")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(340)
        megabytes = (policy.max_session_bytes or 0) // MEGABYTE
        self.form = magicgui(
            save_data,
            call_button=False,
            mb_a_session={"max": _MOST_MB, "step": 10, "label": "MB a session", "value": megabytes},
            coarse_only={"text": "coarse only, until I ask for more", "value": policy.coarse_only},
        )
        self.form.mb_a_session.native.setAccessibleName("MB a session, 0 is any amount")
        self.form.coarse_only.native.setAccessibleName("Show only coarse data until I ask for more")
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        self.buttons.accepted.connect(self._apply)
        self.buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.addWidget(plain_label(_SAVER_TEXT))
        column.addWidget(self.form.native)
        column.addWidget(plain_label(f"{size_text(policy.received_bytes)} came in this session."))
        column.addWidget(self.buttons)

    def _apply(self) -> None:
        self.form()
        self.accept()


class _Row(NamedTuple):
    name: str
    folder: Path
    size_bytes: int
    held: Held | None  # None for downloads, which are the user's own


class HeldDataDialog(QDialog):
    """What is cached and downloaded on this computer, with *Clear* but for kinds in use, and *Open folder*."""

    def __init__(
        self, tasks: Tasks, downloads: Path, in_use: Collection[str] = (), parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Data on this computer")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(380)
        self._tasks, self._downloads, self._in_use = tasks, downloads, in_use
        self.message = plain_label("Looking…")
        self.rows = QWidget()
        self._grid = QGridLayout(self.rows)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setColumnStretch(0, 1)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.addWidget(self.rows)
        column.addWidget(self.message)
        column.addStretch(1)
        column.addWidget(buttons)
        self.finished.connect(lambda _result: tasks.stop("held data"))
        self._look()

    def _look(self, then_clear: Held | None = None) -> None:
        def work(_job: Job) -> list[_Row]:
            if then_clear is not None:
                clear_held(then_clear)
            rows = [_Row(_HELD_NAMES[held.kind], held.path, held.size_bytes, held) for held in held_data()]
            if self._downloads.is_dir():
                rows.append(_Row("Downloads", self._downloads, size_bytes(self._downloads), None))
            return rows

        self._tasks.run("held data", work, then=self._show, failed=lambda error: self.message.setText(str(error)))

    def _show(self, rows: list[_Row]) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        for number, row in enumerate(rows):
            name, size = ElidedLabel(row.name), plain_label(size_text(row.size_bytes))
            name.setToolTip(plain_tooltip(str(row.folder)))
            self._grid.addWidget(name, number, 0)
            self._grid.addWidget(size, number, 1)
            show = push_button("Open folder", partial(open_folder, row.folder), f"Open folder of {row.name}")
            self._grid.addWidget(show, number, 2)
            if row.held is not None and row.held.kind not in self._in_use:
                clear = push_button("Clear", partial(self._ask_to_clear, row), f"Clear {row.name}")
                self._grid.addWidget(clear, number, 3)
        cached = sum(row.size_bytes for row in rows if row.held is not None)
        self.message.setText(f"{size_text(cached)} cached. It is loaded again when needed.")
        self.adjustSize()

    def _ask_to_clear(self, row: _Row) -> None:
        text = f"Clear {size_text(row.size_bytes)} of “{row.name}”? It can't be seen offline then."
        if agrees(self, "Clear", text, verb="Clear"):
            self.message.setText("Clearing…")
            self._look(then_clear=row.held)
