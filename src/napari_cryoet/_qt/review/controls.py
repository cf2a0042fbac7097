"""The settings of a review: tomogram, crops, order and filter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QLineEdit,
    QSizePolicy,
    QSlider,
    QToolButton,
    QWidget,
)

from napari_cryoet._qt.layers.layer_combo import LayerCombo
from napari_cryoet._qt.review.contact_sheet import LARGEST_PX, SMALLEST_PX
from napari_cryoet._qt.widgets.controls import (
    explain,
    form_of,
    narrow_combo,
    not_none,
    plain_label,
    row_of,
)
from napari_cryoet.measure.measuring import CONTRAST, DENSITY, EDGE, NEAREST
from napari_cryoet.review.columns import Order
from napari_cryoet.review.sheet import Looks
from napari_cryoet.volumes.crops import PlaneName

PLANES: Final[tuple[PlaneName, ...]] = ("xy", "xz", "yz")
_WORDS: Final = {
    "": "file order",
    "score": "score",
    DENSITY: "density",
    CONTRAST: "contrast",
    NEAREST: "nearest pick, nm",
    EDGE: "edge, nm",
}
_SLIDER_PX: Final = 64
_ORIENTED: Final = "Cut each crop along the particle's own axes"
_NOT_ORIENTED: Final = "These picks have no orientations, so crops are cut along the volume's axes"
_FILTER: Final = (
    "Filter picks by any column: score > 0.4 and edge_distance_nm > 20, density in -4..-2, score is missing. "
    "The columns density, contrast, nearest_neighbour_nm and edge_distance_nm are measured."
)


class ReviewControls(QWidget):
    """The fields of a review's settings; signals report only changes by the user."""

    looks_changed = Signal()
    order_changed = Signal()

    def __init__(self, image: LayerCombo, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.image = image
        self.side = _Length("Side of a crop", 2, 500)
        self.slab = _Length("Thickness of the slab that is averaged in a crop", 0.5, 200)
        self.slab.setPrefix("slab ")
        self.plane = _combo("Plane of the crops")
        for plane in PLANES:
            self.plane.addItem(plane.upper(), plane)
        self.oriented = QCheckBox("Oriented")
        self.order = _combo("Sort by")
        self.direction = QToolButton()
        self.direction.setCheckable(True)
        self.direction.setText("↑")
        explain(self.direction, "Largest first")
        self.filter = QLineEdit()
        self.filter.setAccessibleName("Filter")
        self.filter.setToolTip(_FILTER)
        self.filter.setClearButtonEnabled(True)
        self.filter_problem = plain_label(name="filterProblem")
        self.filter_problem.hide()
        self.crop_size = QSlider(Qt.Orientation.Horizontal)  # the dock shows it beside the gear
        self.crop_size.setRange(SMALLEST_PX, LARGEST_PX)
        explain(self.crop_size, "Size of the crops on screen")
        self.crop_size.setFixedWidth(_SLIDER_PX)
        self._lay_out()
        self._connect()
        self.begin(Looks(), (), can_orient=False)

    @property
    def looks(self) -> Looks:
        plane: PlaneName = self.plane.currentData()
        size = self.crop_size.value()
        return Looks(self.side.value(), self.slab.value(), plane, self.oriented.isChecked(), size)

    @property
    def sorting(self) -> Order:
        return Order(str(self.order.currentData() or ""), self.direction.isChecked())

    @property
    def filter_text(self) -> str:
        return self.filter.text().strip()

    def begin(self, looks: Looks, columns: Iterable[str], *, can_orient: bool) -> None:
        """Set the fields for a new review, in file order and without a filter."""
        with QSignalBlocker(self):
            self.side.setValue(looks.side_nm)
            self.slab.setValue(looks.slab_nm)
            self.plane.setCurrentIndex(PLANES.index(looks.plane))
            self.oriented.setChecked(looks.is_oriented and can_orient)
            self.direction.setChecked(False)
            self.filter.clear()
            self.crop_size.setValue(looks.crop_px)
        self.oriented.setEnabled(can_orient)
        self.oriented.setToolTip(_ORIENTED if can_orient else _NOT_ORIENTED)
        self.set_columns(columns, "")
        self.set_filter_problem("")

    def set_columns(self, names: Iterable[str], chosen: str) -> None:
        """Set the columns to sort by, including those that can be measured."""
        names = list(names)
        self.filter.setPlaceholderText(
            "such as score > 0.4" if "score" in names else f"such as {EDGE} > 20"
        )
        with QSignalBlocker(self):
            self.order.clear()
            for name in dict.fromkeys(["", *names, DENSITY, CONTRAST, NEAREST, EDGE]):
                self.order.addItem(_WORDS.get(name, name), name)
            self.order.setCurrentIndex(max(0, self.order.findData(chosen)))

    def set_filter_problem(self, problem: str) -> None:
        """Show an error message for the filter; empty hides it."""
        self.filter_problem.setText(problem)
        self.filter_problem.setVisible(bool(problem))

    def _connect(self) -> None:
        for changed in (
            self.plane.currentIndexChanged,
            self.side.valueChanged,
            self.slab.valueChanged,
            self.oriented.toggled,
            self.crop_size.valueChanged,
        ):
            changed.connect(lambda _value: self.looks_changed.emit())
        self.order.currentIndexChanged.connect(lambda _index: self.order_changed.emit())
        self.direction.toggled.connect(lambda is_on: self.direction.setText("↓" if is_on else "↑"))
        self.direction.toggled.connect(lambda _is_on: self.order_changed.emit())
        self.filter.editingFinished.connect(
            self.order_changed
        )  # also when the field loses the focus

    def _lay_out(self) -> None:
        form = form_of(
            ("Tomogram", self.image),
            ("Crop", row_of(self.side, self.slab)),
            ("Plane", row_of(self.plane, self.oriented)),
            ("Sort", row_of(self.order, self.direction)),
            ("Filter", self.filter),
            parent=self,
        )
        form.addRow(self.filter_problem)


class _Length(QDoubleSpinBox):
    """A spin box for a length, applied once it is typed in full.

    Letters go to the dock as shortcuts.
    """

    def __init__(self, name: str, low: float, high: float) -> None:
        super().__init__()
        self.setRange(low, high)
        self.setDecimals(1)
        self.setSuffix(" nm")
        explain(self, name)
        self.setKeyboardTracking(False)
        self.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setMinimumWidth(40)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        event = not_none(event)
        if event.text().isalpha() and not event.modifiers():
            event.ignore()
        else:
            super().keyPressEvent(event)


def _combo(name: str) -> QComboBox:
    combo = narrow_combo(name)
    combo.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return combo
