"""The settings of a review, which the gear unfolds: the tomogram, the crop, the order and the filter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

import msgspec
import numpy as np
from napari.layers import Image, Layer
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from napari_cryoet._qt.layers.alignment import spacing_angstrom_of
from napari_cryoet._qt.picks.layer_geometry import lacks_unit
from napari_cryoet._qt.tasks import single_shot
from napari_cryoet._qt.widgets.labels import plain_label
from napari_cryoet._qt.widgets.layer_combo import LayerCombo
from napari_cryoet.layers.specs import MAX_SPACING_ANGSTROM
from napari_cryoet.review.columns import Order
from napari_cryoet.review.crops import Plane
from napari_cryoet.review.measure import DENSITY, EDGE, NEAREST

PLANES: Final[tuple[Plane, ...]] = ("xy", "xz", "yz")
_WORDS: Final = {
    "": "file order",
    "score": "score",
    DENSITY: "density",
    NEAREST: "nearest pick, nm",
    EDGE: "edge, nm",
}
_TYPING_MS: Final = 300
_ORIENTED: Final = "Cut each crop along the particle's own axes"
_NOT_ORIENTED: Final = "These picks have no orientations, so crops are cut along the volume's axes"
_FILTER: Final = (
    "Show only some picks, by any column: score > 0.4 and nearest_nm > 20, density in -4..-2, score is missing. "
    "Measured are density, nearest_nm and edge_nm."
)


class Looks(msgspec.Struct, frozen=True):
    """How crops are cut and drawn, as the review's file remembers it."""

    side_nm: float = 40.0
    slab_nm: float = 5.0
    plane: Plane = "xy"
    is_oriented: bool = False
    crop_px: int = 80

    def remembered(self) -> dict[str, Any]:
        """As plain data."""
        return msgspec.structs.asdict(self)

    def recalled(self, saved: Mapping[str, Any]) -> Looks:
        """As saved, where that can be used."""
        try:
            return msgspec.convert({**self.remembered(), **saved}, Looks)
        except msgspec.ValidationError:
            return self


_PLACING = ("scale", "translate", "units")


class VoxelWidth(QDoubleSpinBox):
    """How wide an image's voxels are, where its layer counts in pixels.

    What users say becomes the layer's scale, so that picks in ångström lie on it. It can be changed and taken back.
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


class ReviewControls(QWidget):
    """Fields that tell what a person chose.

    Parameters
    ----------
    image
        Chooses the tomogram.
    """

    looks_changed = Signal()
    order_changed = Signal()
    filter_entered = Signal()  # by Enter: the keys may go back to the sheet

    def __init__(self, image: LayerCombo, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.image = image
        self.voxels = VoxelWidth()
        self.side = _Nanometres("Side of a crop", 2, 500)
        self.slab = _Nanometres("Thickness of the slab that is averaged in a crop", 0.5, 200, prefix="slab ")
        self.plane = _combo("Plane of the crops")
        for plane in PLANES:
            self.plane.addItem(plane.upper(), plane)
        self.oriented = QCheckBox("Oriented")
        self.order = _combo("Sort by")
        self.direction = QToolButton()
        self.direction.setCheckable(True)
        self.filter = QLineEdit()
        self.filter.setAccessibleName("Filter")
        self.filter.setToolTip(_FILTER)
        self.filter.setClearButtonEnabled(True)
        self.filter_problem = plain_label(name="filterProblem")
        self.filter_problem.hide()
        self._crop_px = Looks().crop_px
        self._typed = single_shot(self, _TYPING_MS, self.order_changed.emit)
        self._lay_out()
        self._connect()
        self.begin(Looks(), (), can_orient=False)

    @property
    def looks(self) -> Looks:
        """How crops are to be cut."""
        is_oriented = self.oriented.isEnabled() and self.oriented.isChecked()
        plane = PLANES[max(0, self.plane.currentIndex())]
        return Looks(self.side.value(), self.slab.value(), plane, is_oriented, self._crop_px)

    @property
    def sorting(self) -> Order:
        """How picks are to be sorted."""
        return Order(str(self.order.currentData() or ""), self.direction.isChecked())

    @property
    def filter_text(self) -> str:
        """The filter as typed."""
        return self.filter.text().strip()

    # none of these emits a signal

    def begin(self, looks: Looks, columns: Iterable[str], *, can_orient: bool) -> None:
        """Show how the crops of a review are cut, in file order and without a filter."""
        self._typed.stop()
        with QSignalBlocker(self):
            self.side.setValue(looks.side_nm)
            self.slab.setValue(looks.slab_nm)
            self.plane.setCurrentIndex(PLANES.index(looks.plane))
            self.oriented.setChecked(looks.is_oriented)
            self.direction.setChecked(False)
            self.filter.clear()
            self._typed.stop()
        self._crop_px = looks.crop_px
        self.oriented.setEnabled(can_orient)
        self.oriented.setToolTip(_ORIENTED if can_orient else _NOT_ORIENTED)
        self.order.setCurrentIndex(-1)
        self.set_columns(columns)
        self.set_filter_problem("")
        self._name_direction()

    def set_crop_px(self, crop_px: int) -> None:
        """Remember how wide crops are drawn."""
        self._crop_px = crop_px

    def set_columns(self, names: Iterable[str]) -> None:
        """Offer columns to sort by, and what can be measured."""
        chosen, names = self.order.currentData(), list(names)
        self.filter.setPlaceholderText("such as score > 0.4" if "score" in names else f"such as {EDGE} > 20")
        with QSignalBlocker(self):
            self.order.clear()
            for name in dict.fromkeys(["", *names, DENSITY, NEAREST, EDGE]):
                self.order.addItem(_WORDS.get(name, name), name)
            self.order.setCurrentIndex(max(0, self.order.findData(chosen)))

    def set_filter_problem(self, problem: str) -> None:
        """Show what is wrong with the filter, if anything."""
        self.filter_problem.setText(problem)
        self.filter_problem.setVisible(bool(problem))
        self.filter.setProperty("hasProblem", bool(problem))
        style = self.filter.style()
        if style is not None:
            style.polish(self.filter)

    def _connect(self) -> None:
        for changed in (
            self.plane.currentIndexChanged,
            self.side.valueChanged,
            self.slab.valueChanged,
            self.oriented.toggled,
        ):
            changed.connect(lambda _value: self.looks_changed.emit())
        self.order.currentIndexChanged.connect(lambda _index: self.order_changed.emit())
        self.direction.toggled.connect(self._on_direction)
        self.filter.textChanged.connect(lambda _text: self._typed.start())
        self.filter.returnPressed.connect(self._on_filter_entered)

    def _on_filter_entered(self) -> None:
        self._typed.stop()
        self.order_changed.emit()
        self.filter_entered.emit()

    def _on_direction(self, _is_descending: bool) -> None:
        self._name_direction()
        self.order_changed.emit()

    def _name_direction(self) -> None:
        arrow, words = ("↓", "Largest first") if self.direction.isChecked() else ("↑", "Smallest first")
        self.direction.setText(arrow)
        self.direction.setAccessibleName(words)
        self.direction.setToolTip(words)

    def _lay_out(self) -> None:
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setHorizontalSpacing(6)
        form.setVerticalSpacing(4)
        for name, fields in (
            ("Tomogram", (self.image,)),
            ("Voxel spacing", (self.voxels,)),
            ("Crop", (self.side, self.slab)),
            ("Plane", (self.plane, self.oriented)),
            ("Sort", (self.order, self.direction)),
            ("Filter", (self.filter,)),
        ):
            label, row = QLabel(name), QHBoxLayout()
            label.setObjectName("dimText")
            for field in fields:
                row.addWidget(field, 0 if field is self.direction else 1)
            form.addRow(label, row)
            if fields == (self.voxels,):
                label.hide()
                self.voxels.asks.connect(label.setVisible)
        form.addRow(self.filter_problem)


class _Nanometres(QDoubleSpinBox):
    """A length that counts once it is typed in full. Letters go to the dock, where they judge."""

    def __init__(self, name: str, low: float, high: float, *, prefix: str = "") -> None:
        super().__init__()
        self.setRange(low, high)
        self.setDecimals(1)
        self.setPrefix(prefix)
        self.setSuffix(" nm")
        self.setAccessibleName(name)
        self.setToolTip(name)
        self.setKeyboardTracking(False)
        self.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setMinimumWidth(40)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Leave letters to the dock."""
        if event is not None and event.text().isalpha() and not event.modifiers():
            event.ignore()
        else:
            super().keyPressEvent(event)


def _combo(name: str) -> QComboBox:
    combo = QComboBox()
    combo.setAccessibleName(name)
    combo.setToolTip(name)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(2)
    combo.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return combo
