"""A field for how wide an image's voxels are, where its layer counts in pixels; what is said becomes its scale."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image, Layer
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QDoubleSpinBox, QWidget

from napari_cryoet._qt.layers.alignment import spacing_angstrom_of
from napari_cryoet._qt.picks.layer_geometry import lacks_unit
from napari_cryoet.layers.specs import MAX_SPACING_ANGSTROM

_PLACING = ("scale", "translate", "units")


class VoxelWidth(QDoubleSpinBox):
    """Asks about one image at a time.

    What a person says is given to the layer, so that the viewer, too, shows it where picks in ångström are. As long as
    the layer lives it can be said otherwise, and taken back.
    """

    asks = Signal(bool)  # whether there is something to ask

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setRange(0, MAX_SPACING_ANGSTROM)
        self.setDecimals(3)
        self.setSuffix(" Å")
        self.setSpecialValueText("unknown")
        self.setKeyboardTracking(False)  # each digit would cut all crops anew
        self.setAccessibleName("Voxel spacing of the tomogram in ångström")
        self.setToolTip("How wide its voxels are, which its layer doesn't say: the layer gets this scale")
        self._image: Image | None = None
        #: How layers lay before anybody said it.
        self._before: WeakKeyDictionary[Image, dict[str, Any]] = WeakKeyDictionary()
        self.valueChanged.connect(self._on_said)
        self.hide()

    def ask_about(self, image: Image | None, *, beside: Layer | None) -> None:
        """Ask about an image that counts in pixels beside picks in a unit of length, and hear otherwise later."""
        is_other, self._image = image is not self._image, image
        is_needed = beside is not None and lacks_unit(image) and not lacks_unit(beside)
        width = 0.0 if image is None or lacks_unit(image) else spacing_angstrom_of(image) or 0.0
        if is_other or round(width, self.decimals()) != self.value():  # else what is being typed would go
            with QSignalBlocker(self):
                self.setValue(width)
        asks = is_needed or (image is not None and image in self._before)
        self.setVisible(asks)
        self.asks.emit(asks)

    def _on_said(self, width: float) -> None:
        image = self._image
        if image is None:
            return
        before = self._before.setdefault(image, {name: _copied(getattr(image, name)) for name in _PLACING})
        if not width:
            del self._before[image]
            placing = before
        else:
            wider = width / np.abs(before["scale"])
            placing = {
                "scale": before["scale"] * wider,
                "translate": before["translate"] * wider,
                "units": ("angstrom",) * image.ndim,
            }
        for name, value in placing.items():
            setattr(image, name, value)


def _copied(value: Any) -> Any:
    return np.array(value) if isinstance(value, np.ndarray) else value
