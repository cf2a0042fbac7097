"""What is reviewed and how it is looked at: which picks, which volume, the crop, the order and the filter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLayout,
    QLineEdit,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from napari_cryoet._qt.layers.voxel_width import VoxelWidth
from napari_cryoet._qt.review.crop_looks import PLANES, Looks
from napari_cryoet._qt.widgets.elided_combo import elide_middle
from napari_cryoet._qt.widgets.flow_row import FlowRow
from napari_cryoet._qt.widgets.labels import plain_label
from napari_cryoet._qt.widgets.layer_combo import NO_PICKS, NO_TOMOGRAM
from napari_cryoet._qt.widgets.letters import keep_fitted
from napari_cryoet._qt.widgets.timers import single_shot
from napari_cryoet.review.columns import Order
from napari_cryoet.review.crops import Plane
from napari_cryoet.review.measure import DENSITY, EDGE, NEAREST

_WORDS: Final = {
    "": "file order",
    "score": "score",
    DENSITY: "density",
    NEAREST: "nearest pick, nm",
    EDGE: "edge, nm",
}
_IGNORED: Final = QSizePolicy.Policy.Ignored
_TYPING_MS: Final = 300
_FILTER: Final = (
    "Show only some picks, by any column: score > 0.4 and nearest_nm > 20, density in -4..-2, score is missing. "
    "Measured are density, nearest_nm and edge_nm."
)


class Nanometres(QDoubleSpinBox):
    """A length that is taken over once it is typed in full, since each digit would cut all crops anew."""

    def __init__(self, name: str, low: float, high: float, value: float, *, prefix: str = "") -> None:
        super().__init__()
        self.setRange(low, high)
        self.setDecimals(1)
        self.setValue(value)
        self.setPrefix(prefix)
        self.setSuffix(" nm")
        self.setAccessibleName(name)
        self.setToolTip(name)
        self.setKeyboardTracking(False)
        self.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        keep_fitted(self, self._fit)

    def _fit(self) -> None:
        self.setFixedWidth(self.fontMetrics().horizontalAdvance(f"{self.prefix()}88.8 nm") + 12)

    def textFromValue(self, value: float) -> str:
        """Without a nought that says nothing."""
        return f"{value:.1f}".removesuffix(".0")


class ReviewControls(QWidget):
    """The fields above the contact sheet."""

    points_chosen = Signal(object)  # the layer, or None
    image_chosen = Signal(object)
    looks_changed = Signal()
    order_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.points = _combo("Picks to review")
        self.image = _combo("Tomogram that crops are cut from")
        for combo, nothing in ((self.points, NO_PICKS), (self.image, NO_TOMOGRAM)):
            combo.setPlaceholderText(nothing)
        self.voxels = VoxelWidth()
        self.side = Nanometres("Side of a crop", 2, 500, 40)
        self.slab = Nanometres("Thickness of the slab that is averaged in a crop", 0.5, 200, 5, prefix="slab ")
        self.plane = _combo("Plane of the crops")
        keep_fitted(self.plane, self._fit_plane)
        for plane in PLANES:
            self.plane.addItem(plane.upper(), plane)
        self.oriented = QCheckBox("Oriented")
        self.order = _combo("Sort by")
        for combo in (self.points, self.image, self.order):  # long names, and words for none, must not widen the dock
            combo.setSizePolicy(_IGNORED, QSizePolicy.Policy.Fixed)
            elide_middle(combo)
        self.direction = QToolButton()
        self.direction.setCheckable(True)
        self.filter = QLineEdit()
        self.filter.setAccessibleName("Filter")
        self.filter.setToolTip(_FILTER)
        self.filter.setClearButtonEnabled(True)
        self.filter_problem = plain_label(name="filterProblem")
        self.filter_problem.hide()
        self._typed = single_shot(self, _TYPING_MS, self.order_changed.emit)
        self._lay_out()
        self._connect()
        self.set_columns(())
        self._name_direction()
        self.set_can_orient(False)

    def _fit_plane(self) -> None:
        self.plane.setFixedWidth(self.plane.fontMetrics().horizontalAdvance("XY") + 52)

    # what is chosen

    @property
    def looks(self) -> Looks:
        """How crops are to be cut."""
        plane: Plane = PLANES[max(0, self.plane.currentIndex())]
        is_oriented = self.oriented.isEnabled() and self.oriented.isChecked()
        return Looks(self.side.value(), self.slab.value(), plane, is_oriented)

    @property
    def sorting(self) -> Order:
        """How picks are to be sorted."""
        return Order(str(self.order.currentData() or ""), self.direction.isChecked())

    @property
    def filter_text(self) -> str:
        """As it is typed."""
        return self.filter.text().strip()

    # what there is to choose from

    def set_layers(self, points: Iterable[Any], images: Iterable[Any]) -> None:
        """Offer layers; what was chosen stays chosen if it is still there."""
        _offer(self.points, points)
        _offer(self.image, images)

    def choose(self, points: Any, image: Any) -> None:
        """Let layers be chosen, without a word."""
        for combo, layer in ((self.points, points), (self.image, image)):
            with QSignalBlocker(combo):
                combo.setCurrentIndex(_index_of(combo, layer))

    def set_looks(self, looks: Looks) -> None:
        """Show how crops are cut, without a word."""
        with QSignalBlocker(self.side), QSignalBlocker(self.slab), QSignalBlocker(self.plane):
            self.side.setValue(looks.side_nm)
            self.slab.setValue(looks.slab_nm)
            self.plane.setCurrentIndex(PLANES.index(looks.plane))
        with QSignalBlocker(self.oriented):
            self.oriented.setChecked(looks.is_oriented)

    def set_live(self, is_live: bool) -> None:
        """Say whether there are picks that the fields matter for."""
        for field in (self.side, self.slab, self.plane, self.order, self.direction, self.filter):
            field.setEnabled(is_live)
        if not is_live:
            self.oriented.setEnabled(False)  # `set_can_orient` says when it isn't

    def set_can_orient(self, can_orient: bool) -> None:
        """Say whether any of the picks has an orientation."""
        self.oriented.setEnabled(can_orient)
        self.oriented.setToolTip(
            "Cut each crop along the particle's own axes"
            if can_orient
            else "These picks have no orientations, so crops are cut along the volume's axes"
        )

    def set_columns(self, names: Iterable[str]) -> None:
        """Offer columns to sort by, beside what can be measured."""
        chosen, names = self.order.currentData(), list(names)
        self.filter.setPlaceholderText("such as score > 0.4" if "score" in names else f"such as {EDGE} > 20")
        with QSignalBlocker(self.order):
            self.order.clear()
            for name in dict.fromkeys(["", *names, DENSITY, NEAREST, EDGE]):
                self.order.addItem(_WORDS.get(name, name), name)
            self.order.setCurrentIndex(max(0, self.order.findData(chosen)))

    def set_sorting(self, order: Order, filter_text: str) -> None:
        """Show how picks are sorted and filtered, without a word."""
        with QSignalBlocker(self.order), QSignalBlocker(self.direction), QSignalBlocker(self.filter):
            self.order.setCurrentIndex(max(0, self.order.findData(order.column)))
            self.direction.setChecked(order.is_descending)
            self.filter.setText(filter_text)
        self._name_direction()

    def forget_typing(self) -> None:
        """Tell no more of what was typed just now: nobody hears of it."""
        self._typed.stop()

    def set_filter_problem(self, problem: str) -> None:
        """Say below the field what is wrong with the filter; nothing where it is right."""
        self.filter_problem.setText(problem)
        self.filter_problem.setVisible(bool(problem))
        self.filter.setProperty("hasProblem", bool(problem))
        style = self.filter.style()
        if style is not None:
            style.polish(self.filter)

    def _connect(self) -> None:
        self.points.currentIndexChanged.connect(lambda _i: self.points_chosen.emit(self.points.currentData()))
        self.image.currentIndexChanged.connect(lambda _i: self.image_chosen.emit(self.image.currentData()))
        self.plane.currentIndexChanged.connect(lambda _i: self.looks_changed.emit())
        self.side.valueChanged.connect(lambda _v: self.looks_changed.emit())
        self.slab.valueChanged.connect(lambda _v: self.looks_changed.emit())
        self.oriented.toggled.connect(lambda _on: self.looks_changed.emit())
        self.order.currentIndexChanged.connect(lambda _i: self.order_changed.emit())
        self.direction.toggled.connect(self._on_direction)
        self.filter.textChanged.connect(lambda _text: self._typed.start())
        self.filter.returnPressed.connect(self.order_changed)

    def _on_direction(self, _is_descending: bool) -> None:
        self._name_direction()
        self.order_changed.emit()

    def _name_direction(self) -> None:
        is_descending = self.direction.isChecked()
        words = "Largest first" if is_descending else "Smallest first"
        self.direction.setText("↓" if is_descending else "↑")
        self.direction.setAccessibleName(words)
        self.direction.setToolTip(words)

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(1, 1)
        rows: tuple[tuple[str, tuple[QWidget, ...]], ...] = (
            ("Picks", (self.points,)),
            ("Tomogram", (self.image,)),
            ("Voxel spacing", (self.voxels,)),
            ("Crop", (self.side, self.slab)),
            ("Plane", (self.plane, self.oriented)),
            ("Sort", (self.order, self.direction)),
            ("Filter", (self.filter,)),
        )
        for number, (name, fields) in enumerate(rows):
            label = _dim(name)
            grid.addWidget(label, number, 0)
            grid.addLayout(_line_of(fields), number, 1)
            if fields[0] is self.voxels:
                label.hide()
                self.voxels.asks.connect(label.setVisible)
        grid.addWidget(self.filter_problem, len(rows), 1)


def _line_of(fields: tuple[QWidget, ...]) -> QLayout:
    """Short fields side by side, or one that takes all the width, with what belongs to it."""
    if not isinstance(fields[0], QLineEdit) and fields[0].sizePolicy().horizontalPolicy() != _IGNORED:
        line = FlowRow()
        for field in fields:
            line.add(field)
        return line
    row = QHBoxLayout()
    row.setSpacing(4)
    row.addWidget(fields[0], 1)
    for field in fields[1:]:
        row.addWidget(field)
    return row


def _combo(name: str) -> QComboBox:
    combo = QComboBox()
    combo.setAccessibleName(name)
    combo.setToolTip(name)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(2)
    combo.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
    return combo


def _dim(text: str) -> QLabel:
    label = QLabel(text)
    label.setObjectName("dimText")
    return label


def _offer(combo: QComboBox, layers: Iterable[Any]) -> None:
    chosen = combo.currentData()
    with QSignalBlocker(combo):
        combo.clear()
        for layer in layers:
            combo.addItem(layer.name, layer)
        combo.setCurrentIndex(_index_of(combo, chosen))


def _index_of(combo: QComboBox, layer: Any) -> int:
    return next((i for i in range(combo.count()) if combo.itemData(i) is layer), -1)
