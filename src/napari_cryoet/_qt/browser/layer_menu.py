"""What can be done with the layer of a row: its eye, its colour, its name, its detail in 3D, a review of its picks."""

from __future__ import annotations

from typing import Final

from napari.layers import Points
from qtpy.QtCore import Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QColorDialog, QInputDialog, QMenu, QWidget

from napari_cryoet._qt.browser.level_menu import add_levels
from napari_cryoet._qt.layers.appearance import Appearance
from napari_cryoet._qt.layers.manager import LayerManager
from napari_cryoet._qt.layers.ownership import LayerKey
from napari_cryoet._qt.streaming.volume_detail import VolumeDetail

_NAME_ROOM_PX: Final = 60  # beside the name, in the dialog that asks for another
_NARROW_PX: Final = 320
_WIDE_PX: Final = 720


class LayerMenu(QMenu):
    """Offered for what is shown; goes away by itself."""

    review_requested = Signal(object)  # the layer of points
    drawing_requested = Signal(object)  # the layer of points whose popover is wanted

    def __init__(self, link: LayerManager, key: LayerKey, volumes: VolumeDetail, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._link = link
        self._key = key
        self.aboutToHide.connect(self.deleteLater)
        look = link.appearance(key)
        if look is None:
            return
        self.eye = self.addAction("Close the eye" if look.is_visible else "Open the eye")
        self.color = self.addAction("Colour…")
        self.name = self.addAction("Rename…")
        self.levels: QMenu | None = None
        if volumes.levels(key):
            self.levels = self.addMenu("3D detail")
            if self.levels is not None:
                add_levels(self.levels, volumes, key)
        layers = link.layers_of(key)
        if layers and isinstance(layers[0], Points):
            self.review = self.addAction("Review picks…")
            if self.review is not None:
                self.review.triggered.connect(lambda _checked=False: self.review_requested.emit(layers[0]))
            self.drawing = self.addAction("How picks are drawn…")
            if self.drawing is not None:
                self.drawing.triggered.connect(lambda _checked=False: self.drawing_requested.emit(layers[0]))
        if self.eye is not None:
            self.eye.triggered.connect(lambda _checked=False: link.set_visible(key, not look.is_visible))
        if self.color is not None:
            self.color.setEnabled(look.color is not None)
            self.color.triggered.connect(lambda _checked=False: self._ask_color(look))
        if self.name is not None:
            self.name.triggered.connect(lambda _checked=False: self._ask_name(look))

    def _ask_color(self, look: Appearance) -> None:
        now = QColor.fromRgbF(*look.color) if look.color is not None else QColor()
        chosen = QColorDialog.getColor(now, self.parentWidget(), "Colour of the layer")
        if chosen.isValid():
            self._link.set_color(self._key, (chosen.redF(), chosen.greenF(), chosen.blueF(), now.alphaF()))

    def _ask_name(self, look: Appearance) -> None:
        dialog = QInputDialog(self.parentWidget())
        dialog.setWindowTitle("Rename the layer")
        dialog.setLabelText("Name of the layer")
        dialog.setTextValue(look.name)
        width = dialog.fontMetrics().horizontalAdvance(look.name) + _NAME_ROOM_PX
        dialog.resize(min(max(width, _NARROW_PX), _WIDE_PX), dialog.sizeHint().height())
        name = dialog.textValue().strip() if dialog.exec() else ""
        dialog.deleteLater()
        if name:
            self._link.rename(self._key, name)
