"""Asks how much of the network may be used: a form over `napari_cryoet.network.policy.save_data`."""

from __future__ import annotations

from typing import Any

from magicgui import magicgui
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QPushButton, QVBoxLayout, QWidget

from napari_cryoet._qt.widgets.labels import plain_label
from napari_cryoet.network.policy import MEGABYTE, Policy, save_data
from napari_cryoet.wording import size_text

MOST_MB = 1_000_000
_EXPLANATION = (
    "Holds for everything that comes over the network: metadata, pictures, tomograms, downloads. "
    "The demo, packs and what was loaded before are not limited. 0 is any amount."
)


class SaverDialog(QDialog):
    """Sets the data saver of the whole process when it is accepted."""

    def __init__(self, policy: Policy, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Data saver")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(340)
        spin: dict[str, Any] = {"max": MOST_MB, "step": 10, "tooltip": "0 is any amount"}
        self.form = magicgui(
            save_data,
            call_button=False,
            mb_a_session=spin | {"label": "MB a session", "value": (policy.max_session_bytes or 0) // MEGABYTE},
            coarse_only={"text": "coarse only, until I ask for more", "value": policy.coarse_only},
        )
        self.form.mb_a_session.native.setAccessibleName("MB a session, 0 is any amount")
        self.form.coarse_only.native.setAccessibleName("Show only coarse data until I ask for more")
        self.used = plain_label(f"{size_text(policy.received_bytes)} came in this session.", name="saverUsed")
        self.apply = QPushButton("Apply")
        self.turn_off = QPushButton("Turn off")
        self.turn_off.setAccessibleName("Turn the data saver off")
        self.apply.setAccessibleName("Apply these limits")
        self.apply.clicked.connect(self._on_apply)
        self.turn_off.clicked.connect(self._on_turn_off)
        self.cancel = QPushButton("Cancel")
        buttons = QDialogButtonBox()
        buttons.addButton(self.apply, QDialogButtonBox.ButtonRole.AcceptRole)
        buttons.addButton(self.turn_off, QDialogButtonBox.ButtonRole.ResetRole)
        buttons.addButton(self.cancel, QDialogButtonBox.ButtonRole.RejectRole)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.addWidget(plain_label(_EXPLANATION))
        column.addWidget(self.form.native)
        column.addWidget(self.used)
        column.addWidget(buttons)
        self.apply.setDefault(True)

    def _on_apply(self) -> None:
        self.form()
        self.accept()

    def _on_turn_off(self) -> None:
        save_data()
        self.accept()
