"""Asks what a file of picks doesn't say of its volume: the voxel spacing, the size, which tomogram.

Volumes that are open are offered, and none is chosen beforehand: nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_cryoet._qt.layers.alignment import ShownVolume
from napari_cryoet._qt.widgets.elided_combo import elide_middle
from napari_cryoet._qt.widgets.labels import plain_label
from napari_cryoet._qt.widgets.theme import Colors, style_sheet
from napari_cryoet.exceptions import Context
from napari_cryoet.layers.specs import MAX_SPACING_ANGSTROM
from napari_cryoet.wording import spacing_text

_MAX_VOXELS = 2**20
_UNKNOWN = "not known"
_TEXTS = {"tomogram": "which tomogram", "spacing_angstrom": "the voxel spacing", "shape_zyx": "the size"}


class Answer(NamedTuple):
    """What a person said; None for what wasn't asked."""

    spacing_angstrom: float | None = None
    shape_zyx: tuple[int, int, int] | None = None
    tomogram: str | None = None

    def updated(self, other: Answer) -> Answer:
        """With what was said since."""
        return self._replace(**{name: said for name, said in other._asdict().items() if said is not None})


class ContextDialog(QDialog):
    """A question about a file.

    Parameters
    ----------
    message
        What the file says and what it doesn't.
    missing
        What to ask for.
    choices
        The tomograms of the file, where one has to be chosen.
    volumes
        What is open, offered for spacing and size.
    otherwise
        What the button is called that goes on without an answer; no such button where that makes no sense.
    colors
        Of the viewer's theme.
    """

    def __init__(
        self,
        message: str,
        missing: Sequence[Context],
        *,
        choices: Sequence[str] = (),
        volumes: Sequence[ShownVolume] = (),
        otherwise: str = "",
        colors: Colors | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("What this file doesn't say")
        self.setMinimumWidth(360)
        if colors is not None:
            self.setStyleSheet(style_sheet(colors))
        self._missing, self._volumes = frozenset(missing), tuple(volumes)
        self.message = plain_label(message, name="contextMessage")
        self.tomogram = QComboBox()
        self.volume = QComboBox()
        self.spacing = QDoubleSpinBox()
        self.sizes_zyx = [QSpinBox() for _ in "zyx"]
        self.accept_button = QPushButton("Use this")
        self.without_button = QPushButton(otherwise) if otherwise else None
        self.cancel_button = QPushButton("Cancel")
        self._goes_without = False
        self._fill(choices)
        self._lay_out()
        self.tomogram.currentIndexChanged.connect(self._set_state)
        self.volume.currentIndexChanged.connect(self._on_volume)
        self.spacing.valueChanged.connect(self._set_state)
        for box in self.sizes_zyx:
            box.valueChanged.connect(self._set_state)
        self._set_state()

    @property
    def answer(self) -> Answer:
        """What was said so far; nothing where one goes on without."""
        if self._goes_without:
            return Answer()
        spacing = self._spacing_angstrom() if self._asks_for_grid else None
        return Answer(
            spacing,
            self._shape_zyx(spacing),
            self.tomogram.currentText() if "tomogram" in self._missing and self.tomogram.currentIndex() > 0 else None,
        )

    @property
    def _chosen(self) -> ShownVolume | None:
        """The volume whose grid it is said to be."""
        return self._volumes[self.volume.currentIndex() - 1] if self.volume.currentIndex() > 0 else None

    def _spacing_angstrom(self) -> float | None:
        """What was typed; that of the chosen volume with all its digits, as long as the field shows it."""
        typed, chosen = self.spacing.value(), self._chosen
        rounding = 0.51 * 10.0 ** -self.spacing.decimals()
        is_of_chosen = chosen is not None and abs(chosen.spacing_angstrom - typed) <= rounding
        return chosen.spacing_angstrom if chosen is not None and is_of_chosen else typed or None

    def _shape_zyx(self, spacing_angstrom: float | None) -> tuple[int, int, int] | None:
        """What was typed; where the size isn't asked for, that of the volume whose grid it is said to be."""
        if "shape_zyx" in self._missing:
            z, y, x = (box.value() for box in self.sizes_zyx)
            return (z, y, x) if z and y and x else None
        chosen = self._chosen
        return chosen.shape_zyx if chosen is not None and chosen.spacing_angstrom == spacing_angstrom else None

    @property
    def _asks_for_grid(self) -> bool:
        """A size means something only with the width of the voxels that it is counted in, so that is asked for too."""
        return bool(self._missing & {"spacing_angstrom", "shape_zyx"})

    def _fill(self, choices: Sequence[str]) -> None:
        self.tomogram.addItems(["choose…", *choices])
        self.volume.addItem("choose, or type below…")
        for volume in self._volumes:
            size = " × ".join(map(str, volume.shape_zyx))
            self.volume.addItem(f"{volume.name} ({spacing_text(volume.spacing_angstrom)}, {size})")
        for combo in (self.tomogram, self.volume):  # names may be as long as they like
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            combo.setMinimumContentsLength(20)
            elide_middle(combo)
        self.spacing.setRange(0.0, MAX_SPACING_ANGSTROM)
        self.spacing.setDecimals(6)
        self.spacing.setSuffix(" Å")
        self.spacing.setSpecialValueText(_UNKNOWN)
        for axis, box in zip("zyx", self.sizes_zyx, strict=True):
            box.setRange(0, _MAX_VOXELS)
            box.setSpecialValueText(axis)
            box.setAccessibleName(f"Size along {axis} in voxels")
        self.tomogram.setAccessibleName("Tomogram in the file")
        self.volume.setAccessibleName("Volume that is open")
        self.spacing.setAccessibleName("Voxel spacing in ångström")

    def _lay_out(self) -> None:
        sizes = QHBoxLayout()
        for box in self.sizes_zyx:
            sizes.addWidget(box, 1)
        form = QFormLayout()
        if "tomogram" in self._missing:
            form.addRow("Tomogram", self.tomogram)
        if self._asks_for_grid:
            if self._volumes:
                form.addRow("Same as", self.volume)
            form.addRow("Voxel spacing", self.spacing)
        if "shape_zyx" in self._missing:
            form.addRow("Voxels z, y, x", sizes)
        buttons = QDialogButtonBox()
        buttons.addButton(self.accept_button, QDialogButtonBox.ButtonRole.AcceptRole)
        if self.without_button is not None:
            buttons.addButton(self.without_button, QDialogButtonBox.ButtonRole.ActionRole)
            self.without_button.clicked.connect(lambda _checked=False: self._go_without())
        buttons.addButton(self.cancel_button, QDialogButtonBox.ButtonRole.RejectRole)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.addWidget(self.message)
        column.addLayout(form)
        column.addWidget(buttons)
        self.accept_button.setDefault(True)

    def _on_volume(self, index: int) -> None:
        if index > 0:
            chosen = self._volumes[index - 1]
            self.spacing.setValue(chosen.spacing_angstrom)
            for box, size in zip(self.sizes_zyx, chosen.shape_zyx, strict=True):
                box.setValue(size)

    def _go_without(self) -> None:
        self._goes_without = True
        self.accept()

    def _set_state(self, _value: object = None) -> None:
        answer = self.answer
        wanted = set(self._missing) | ({"spacing_angstrom"} if self._asks_for_grid else set())
        lacking = [text for name, text in _TEXTS.items() if name in wanted and getattr(answer, name) is None]
        self.accept_button.setEnabled(not lacking)
        self.accept_button.setToolTip(f"Say {' and '.join(lacking)} first" if lacking else "")
