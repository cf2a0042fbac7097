"""What is to be compared, and how: a form over `napari_cryoet.compare`, filled with the viewer's layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from magicgui.widgets import CheckBox, ComboBox, FloatSpinBox, SpinBox
from napari.components import ViewerModel
from napari.layers import Labels, Layer, Points
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QSizePolicy, QWidget

from napari_cryoet._qt.compare.comparable import (
    are_alike,
    comparable_layers,
    lacks_spacing,
    likely_pair,
    side_of,
    suggested_radius_angstrom,
)
from napari_cryoet._qt.layers.watch import GridWatch
from napari_cryoet._qt.widgets.elided_combo import elide_middle
from napari_cryoet._qt.widgets.layer_combo import NO_ANNOTATION, named_layers
from napari_cryoet._qt.widgets.wrapped_tick import wrap_words
from napari_cryoet.comparison.masks import Mask
from napari_cryoet.comparison.match import Method
from napari_cryoet.layers.specs import MAX_SPACING_ANGSTROM
from napari_cryoet.picks import Picks

_METHODS: dict[str, Method] = {"optimal: most pairs": "optimal", "greedy: nearest first": "greedy"}
#: Of the list of layers, or of a layer in it.
_CHANGES_OF_CHOICES = frozenset({"inserted", "removed", "reordered", "name"})


@dataclass(frozen=True, slots=True)
class Question:
    """What `napari_cryoet.compare` is asked."""

    a: Picks | Mask
    b: Picks | Mask
    radius_angstrom: float
    beta: float
    method: Method
    symmetry: str
    iou_threshold: float
    insist: bool


class CompareForm(QWidget):
    """The form; its choices follow the viewer's layers."""

    changed = Signal()

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._radius_is_own = False
        self.a = ComboBox(choices=self._choices)
        self.b = ComboBox(choices=self._choices)
        self.radius = FloatSpinBox(min=0.1, max=1000, step=0.5, value=5)
        self.beta = FloatSpinBox(min=0.1, max=100, step=1, value=1)
        self.method = ComboBox(choices=list(_METHODS))
        self.fold = SpinBox(min=1, max=999, value=1)
        self.iou = FloatSpinBox(min=0.01, max=1, step=0.05, value=0.5)
        self.spacing = FloatSpinBox(min=0, max=MAX_SPACING_ANGSTROM, step=0.1, value=0)  # nobody knows it before
        self.insist = CheckBox(text="Also on different alignments")
        self._said_of: WeakSet[Layer] = WeakSet()  # whose width of voxels a person said
        self._units = GridWatch(self)  # of layers that may say one day how wide their voxels are
        self._lay_out()
        self._connect()
        self._refresh()

    @property
    def has_pair(self) -> bool:
        """Whether there is something to compare."""
        return self.a.value is not None and self.b.value is not None and self.a.value is not self.b.value

    @property
    def without_spacing(self) -> str:
        """Of which side nobody said how wide its voxels are: A, B, or both of them; empty where that is known."""
        if self.spacing.value:
            return ""
        return " and ".join(letter for letter, field in (("A", self.a), ("B", self.b)) if lacks_spacing(field.value))

    def question(self) -> Question:
        """What is asked now.

        Raises
        ------
        ComparisonError
            If a layer can't be compared.
        """
        spacing = float(self.spacing.value) or None
        return Question(
            a=side_of(self.a.value, spacing),
            b=side_of(self.b.value, spacing),
            radius_angstrom=float(self.radius.value) * 10,
            beta=float(self.beta.value),
            method=_METHODS[self.method.value],
            symmetry=f"C{int(self.fold.value)}",
            iou_threshold=float(self.iou.value),
            insist=bool(self.insist.value),
        )

    def swap(self) -> None:
        """Judge the other one."""
        with self.a.changed.blocked(), self.b.changed.blocked():  # between the two there is no pair
            self.a.value, self.b.value = self.b.value, self.a.value
        self._adapt()

    def close_down(self) -> None:
        """Hear no more of the viewer."""
        self._units.watch()
        self._viewer.layers.events.disconnect(self._on_layers)

    def _choices(self, _widget: Any = None) -> list[tuple[str, Layer]]:
        return named_layers(comparable_layers(self._viewer))

    def _on_layers(self, event: Any) -> None:
        if event.type in _CHANGES_OF_CHOICES:
            self._refresh()

    def _refresh(self) -> None:
        """Offer what there is now; what was chosen stays chosen while it is there."""
        before = (self.a.value, self.b.value)
        with self.a.changed.blocked(), self.b.changed.blocked():  # what is chosen meanwhile, nobody chose
            self.a.reset_choices()
            self.b.reset_choices()
            layers = comparable_layers(self._viewer)
            if len(layers) > 1:
                is_kept = before[0] in layers and before[1] in layers and before[0] is not before[1]
                self.a.value, self.b.value = before if is_kept else likely_pair(layers)  # a new name loses it
        self._adapt()

    def _adapt(self, _value: Any = None) -> None:
        """Ask only what matters for what is chosen."""
        a, b = self.a.value, self.b.value
        are_points = isinstance(a, Points) and isinstance(b, Points)
        for field in (self.radius, self.method, self.fold):
            self._rows.setRowVisible(field.native, are_points or not self.has_pair)
        self._rows.setRowVisible(self.beta.native, are_alike(a, b))
        self._rows.setRowVisible(self.iou.native, isinstance(a, Labels) and isinstance(b, Labels))
        self._rows.setRowVisible(self.spacing.native, lacks_spacing(a) or lacks_spacing(b))
        if are_points and not self._radius_is_own:
            with self.radius.changed.blocked():
                self.radius.value = suggested_radius_angstrom(a) / 10
        self._units.watch(a, b)
        if not self._said_of.issuperset(self._unknown()):  # what was said of another layer says nothing of this one
            with self.spacing.changed.blocked():
                self.spacing.value = 0
        self.changed.emit()

    def _on_radius(self, _value: float) -> None:
        self._radius_is_own = True  # from now on nobody else's idea takes its place

    def _on_spacing(self, _value: float) -> None:
        self._said_of = WeakSet(self._unknown())
        self.changed.emit()

    def _unknown(self) -> list[Layer]:
        """Which of the two don't say how wide their voxels are."""
        return [layer for layer in (self.a.value, self.b.value) if lacks_spacing(layer)]

    def _connect(self) -> None:
        self._viewer.layers.events.connect(self._on_layers)
        self.a.changed.connect(self._adapt)
        self.b.changed.connect(self._adapt)
        self.radius.changed.connect(self._on_radius)
        self.spacing.changed.connect(self._on_spacing)
        self._units.changed.connect(self._adapt)

    def _lay_out(self) -> None:
        self._rows = QFormLayout(self)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
        self._rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rows: list[tuple[str, ComboBox | FloatSpinBox | SpinBox | CheckBox, str, str]] = [
            ("A, judged", self.a, "A, what is judged", "Points or labels of three dimensions"),
            ("B, reference", self.b, "B, the reference", "What counts as the truth"),
            (
                "Radius",
                self.radius,
                "Radius in nm",
                "How far apart two picks of the same particle may be; at first half of the particle's diameter",
            ),
            (
                "Beta of F",
                self.beta,
                "Beta of the F score",
                "How many times as important recall is as precision; the CZII challenge took 4",
            ),
            ("Matching", self.method, "Way of matching", "Each pick gets at most one partner"),
            (
                "Symmetry, C",
                self.fold,
                "Symmetry of the particle about its z axis",
                "7 for C7, 1 for none; matters for angles only",
            ),
            (
                "Least IoU",
                self.iou,
                "Least intersection over union",
                "From which overlap on two objects are one; matters for masks that tell objects apart",
            ),
            ("Voxel spacing", self.spacing, "Voxel spacing in ångström", "Of the layer whose scale doesn't say it"),
            ("", self.insist, "Compare also layers of different alignments or runs", "Positions may then not fit"),
        ]
        for number, unit, decimals in ((self.radius, " nm", 2), (self.beta, "", 1), (self.spacing, " Å", 3)):
            number.native.setSuffix(unit)
            number.native.setDecimals(decimals)
        self.spacing.native.setSpecialValueText("unknown")
        for label, field, name, tooltip in rows:
            field.native.setAccessibleName(name)
            field.native.setToolTip(tooltip)
            if field is self.insist:
                self._rows.addRow(field.native)  # in all the width: Qt wraps no row that has no label
            else:
                self._rows.addRow(label, field.native)
        wrap_words(self.insist.native)
        self.a.native.setPlaceholderText(NO_ANNOTATION)
        self.b.native.setPlaceholderText(NO_ANNOTATION)
        for combo in (self.a.native, self.b.native, self.method.native):
            elide_middle(combo)
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            combo.setMinimumContentsLength(5)
            combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
