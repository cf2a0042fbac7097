"""Network use and cached data: offline mode, the data saver, and the dialog for data on this computer."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from magicgui import magicgui
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QDialogButtonBox, QGridLayout, QWidget

from napari_cryoet._qt.tasks import Job
from napari_cryoet._qt.widgets.controls import (
    ElidedLabel,
    agrees,
    clear_layout,
    column_in,
    open_folder,
    plain_label,
    plain_tooltip,
    push_button,
)
from napari_cryoet._qt.widgets.start_bar import TaskDialog
from napari_cryoet.files import size_on_disk
from napari_cryoet.held import Held, held_data
from napari_cryoet.held import clear as clear_held
from napari_cryoet.network.policy import (
    MEGABYTE,
    Policy,
    network_use_text,
    policy,
    recall,
    save_data,
)
from napari_cryoet.settings import DataSaver, Settings
from napari_cryoet.wording import size_text

_CHECK_MS: Final = 1000  # bytes are counted on other threads
_MOST_MB: Final = 1_000_000
_SAVER_TEXT: Final = (
    "Limits everything loaded over the network: metadata, pictures, tomograms and downloads. "
    "The demo, packs and cached data are not limited. 0 means no limit."
)
_HELD_NAMES: Final = {
    "metadata": "Portal pages",
    "pixels": "Tomograms and masks",
    "demo": "The demo",
    "pack": "Unpacked packs",
    "other": "Other",
}


class NetworkUse(QObject):
    """Shows and changes the network policy of the process, and saves the user's choices."""

    changed = Signal(str, bool)  # description of the limits, whether offline mode is on
    loosened = Signal()  # refused requests can be retried

    def __init__(self, memory: Settings, parent: QWidget) -> None:
        super().__init__(parent)
        self._memory, self._widget, self._policy = memory, parent, policy()
        self._reported = ("", False)
        self._timer = QTimer(self)
        self._timer.setInterval(_CHECK_MS)
        self._timer.timeout.connect(self.check)

    def recall(self) -> None:
        recall(self._memory)
        self.check()

    def set_offline(self, is_offline: bool) -> None:
        self._policy.offline = self._memory.is_offline = is_offline
        self.check()
        if not is_offline:
            self.loosened.emit()

    def ask_limits(self) -> None:
        dialog = SaverDialog(self._policy, self._widget)
        dialog.accepted.connect(self._on_limits)
        dialog.open()

    def check(self) -> None:
        """Report changes, and keep checking while the data saver counts bytes."""
        state = (network_use_text(self._policy), self._policy.offline)
        if state != self._reported:
            self._reported = state
            self.changed.emit(*state)
        if self._policy.max_session_bytes is None:
            self._timer.stop()
        elif not self._timer.isActive():
            self._timer.start()

    def _on_limits(self) -> None:
        limits = self._policy
        self._memory.data_saver = DataSaver(
            (limits.max_session_bytes or 0) // MEGABYTE, limits.coarse_only
        )
        self.check()
        self.loosened.emit()


class SaverDialog(TaskDialog):
    """A form for `save_data`; accepting it sets the data saver of the process."""

    def __init__(self, policy: Policy, parent: QWidget | None = None) -> None:
        super().__init__("Data saver", 340, parent)
        megabytes = (policy.max_session_bytes or 0) // MEGABYTE
        self.form = magicgui(
            save_data,
            call_button=False,
            mb_a_session={
                "max": _MOST_MB,
                "step": 10,
                "label": "MB per session",
                "value": megabytes,
            },
            coarse_only={"text": "coarse only, until I ask for more", "value": policy.coarse_only},
        )
        self.form.mb_a_session.native.setAccessibleName("MB per session, 0 for no limit")
        self.form.coarse_only.native.setAccessibleName("Show only coarse data until I ask for more")
        self.buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        self.buttons.accepted.connect(self._apply)
        self.buttons.rejected.connect(self.reject)
        loaded = plain_label(f"{size_text(policy.received_bytes)} loaded in this session.")
        column_in(self, plain_label(_SAVER_TEXT), self.form.native, loaded, self.buttons)

    def _apply(self) -> None:
        self.form()
        self.accept()


class _Row(NamedTuple):
    name: str
    folder: Path
    size_bytes: int
    held: Held | None  # None for downloads, which belong to the user


class HeldDataDialog(TaskDialog):
    """Sizes of cached and downloaded data, with *Open folder*, and *Clear* for caches that aren't in use."""

    def __init__(
        self,
        downloads: Path,
        in_use: Collection[str] = (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__("Data on this computer", 380, parent)
        self._downloads, self._in_use = downloads, in_use
        self.message = plain_label("Measuring…")
        self.rows = QWidget()
        self._grid = QGridLayout(self.rows)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setColumnStretch(0, 1)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        column_in(self, self.rows, self.message, buttons).insertStretch(2, 1)
        self._measure()

    def _measure(self, clear_first: Held | None = None) -> None:
        def work(_job: Job) -> list[_Row]:
            if clear_first is not None:
                clear_held(clear_first)
            rows = [
                _Row(_HELD_NAMES[held.kind], held.path, held.size_bytes, held)
                for held in held_data()
            ]
            if self._downloads.is_dir():
                rows.append(_Row("Downloads", self._downloads, size_on_disk(self._downloads), None))
            return rows

        self.tasks.run(
            "held data",
            work,
            then=self._show,
            failed=lambda error: self.message.setText(str(error)),
        )

    def _show(self, rows: list[_Row]) -> None:
        clear_layout(self._grid)
        for number, row in enumerate(rows):
            name, size = ElidedLabel(row.name), plain_label(size_text(row.size_bytes))
            name.setToolTip(plain_tooltip(str(row.folder)))
            self._grid.addWidget(name, number, 0)
            self._grid.addWidget(size, number, 1)
            show = push_button(
                "Open folder", partial(open_folder, row.folder), f"Open folder of {row.name}"
            )
            self._grid.addWidget(show, number, 2)
            if row.held is not None and row.held.kind not in self._in_use:
                clear = push_button("Clear", partial(self._ask_to_clear, row), f"Clear {row.name}")
                self._grid.addWidget(clear, number, 3)
        cached = sum(row.size_bytes for row in rows if row.held is not None)
        self.message.setText(
            f"{size_text(cached)} cached. Cleared data is loaded again when needed."
        )
        self.adjustSize()

    def _ask_to_clear(self, row: _Row) -> None:
        text = f"Clear {size_text(row.size_bytes)} of “{row.name}”? You won't be able to see it offline."
        if agrees(self, "Clear", text, verb="Clear"):
            self.message.setText("Clearing…")
            self._measure(clear_first=row.held)
