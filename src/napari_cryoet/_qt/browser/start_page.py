"""The first screen: nothing is asked of any network before the person has chosen where to look."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_cryoet._qt.widgets.message_panel import Action, MessagePanel


class StartPage(QWidget):
    """Offers the three ways in."""

    source_chosen = Signal(str)
    pack_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.message = MessagePanel()
        self.message.show_message(
            "Browse cryo-ET datasets",
            "The demo needs no network. The live portal streams from cryoetdataportal.czscience.com. "
            "A pack is a folder with a slice of the portal.",
            [
                Action("Explore the demo", lambda: self.source_chosen.emit("demo")),
                Action("Browse the live portal", lambda: self.source_chosen.emit("live")),
                Action("Open a pack…", self.pack_requested.emit),
            ],
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.message)
