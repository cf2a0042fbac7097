"""The dock that checks whether picks fit a tomogram, with `napari_cryoet.check_picks`."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import napari
import numpy as np
from napari.layers import Image, Layer, Points
from numpy.typing import NDArray
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QWidget,
)

from napari_cryoet._qt.files.questions import ask_spacing
from napari_cryoet._qt.layers.layer_combo import NO_PICKS, NO_TOMOGRAM, LayerCombo
from napari_cryoet._qt.layers.ownership import about_of
from napari_cryoet._qt.layers.placement import placement_of, placing_of
from napari_cryoet._qt.picks.layer_picks import (
    are_picks,
    is_volume,
    lacks_unit,
    picks_of,
    volume_for,
)
from napari_cryoet._qt.tasks import Job
from napari_cryoet._qt.viewer.adding import add_layers
from napari_cryoet._qt.widgets.controls import (
    column_in,
    form_of,
    more_button,
    not_none,
    number_box,
    plain_label,
)
from napari_cryoet._qt.widgets.dock import Dock
from napari_cryoet._qt.widgets.start_bar import StartBar
from napari_cryoet._qt.widgets.theme import Theme, pixmap
from napari_cryoet.appearance.colors import PALETTE, rgba_of
from napari_cryoet.check.findings import Findings, Mark, Statement, check_picks
from napari_cryoet.exceptions import CryoETError, FormatError
from napari_cryoet.layers.specs import METADATA_KEY, picks_specs
from napari_cryoet.picks import Picks
from napari_cryoet.volumes import Volume, checked_spacing
from napari_cryoet.wording import count_text, plain

_KEY: Final = "check"
_NO_PICKS: Final = "Open picks to check: show an annotation, or open a file of picks."
_NO_TOMOGRAM: Final = "Open the tomogram that these picks were made in."
_INVITATION: Final = (
    "Compares the density at the picks with that nearby, and tries other ways to read the positions: flipped or "
    "swapped axes, ångström, binning. Also finds duplicates and picks at the edge. The picks stay as they are."
)
_CHANGED: Final = "The picks have changed since. Check them again."
_NO_COPY: Final = "Several readings fit equally well, so no corrected copy is offered."
#: Picks that buttons select: an attribute of `Findings` and its description.
_SELECTIONS: Final = {
    "outside": "outside the volume",
    "duplicates": "too close to another",
    "edge": "cut by the edge",
}
_MARKS: Final[tuple[Mark, ...]] = ("odd", "note", "good")  # in order of display


class CheckDock(Dock):
    """Checks a layer of picks against a tomogram, and offers to correct or select the picks.

    Parameters
    ----------
    napari_viewer
        The viewer whose layers are checked.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, "Check picks", tab_name="Check")
        self.findings: Findings | None = None
        self._checked: _Checked | None = None
        self.points = LayerCombo(self, are_picks, "The picks to check", NO_PICKS)
        self.image = LayerCombo(self, is_volume, "The tomogram that they lie in", NO_TOMOGRAM)
        self.diameter_nm = number_box("Diameter of the particle", "nm", 1000, unset="of the object")
        self.bar = StartBar(self.tasks, _KEY, "Check", "Check whether the picks fit the density")
        self.results = CheckResults(self.theme)
        self._lay_out()
        self.bar.start_requested.connect(self.start)
        self.points.layer_changed.connect(self._on_points)
        self.image.layer_changed.connect(self._on_choice)
        self.diameter_nm.valueChanged.connect(self._on_choice)
        self.results.copy_requested.connect(self._add_copy)
        self.results.select_requested.connect(self._select)
        self._on_choice()

    def choose(self, points: Layer, image: Layer) -> None:
        self.points.choose(points)
        self.image.choose(image)

    def start(self) -> None:
        """Check the chosen picks against the chosen tomogram."""
        points, image = self.points.layer, self.image.layer
        diameter = self.diameter_nm.value() * 10 or None
        if lacks_unit(image) and not ask_spacing(image, self):
            return
        try:
            picks, volume = picks_in(points, image), volume_of(image)
        except CryoETError as error:
            self.bar.show_error(error)
            return

        def work(job: Job) -> Findings:
            return check_picks(picks, volume, diameter_angstrom=diameter, task=job)

        self.findings = None
        self._checked = _Checked(points, np.array(points.data), image)
        self.results.clear()
        title = f"Checking {plain(points.name)}"
        self.tasks.run(_KEY, work, then=self._on_findings, failed=self.bar.show_error, title=title)

    def _on_choice(self) -> None:
        """Clear the findings when another layer or diameter is chosen, or a layer is removed."""
        self.tasks.stop(_KEY)
        self.findings = None
        self._checked = None
        points, image = self.points.layer, self.image.layer
        missing = _NO_PICKS if points is None else _NO_TOMOGRAM if image is None else ""
        self.bar.set_ready(not missing)
        self.results.clear()
        self.bar.say(missing or _INVITATION)

    def _on_points(self) -> None:
        """Choose the tomogram of the picks' run, unless it is chosen already."""
        points, image = self.points.layer, self.image.layer
        if points is not None and image is not None:
            runs = {about_of(layer).run_id for layer in (points, image)} - {None}
            if len(runs) == 2 and (own := volume_for(list(self.viewer.layers), points)) is not None:
                self.image.choose(own)
        self._on_choice()

    def _on_findings(self, findings: Findings) -> None:
        self.findings = findings
        self.results.show_findings(findings)

    def _add_copy(self) -> None:
        """Add the suggested picks as a new layer in the tomogram's grid.

        The checked layer doesn't change.
        """
        findings, checked = not_none(self.findings), not_none(self._checked)
        picks, image = findings.suggested_picks(), checked.image
        specs = picks_specs(
            picks,
            placing_of(image) | {"metadata": {METADATA_KEY: picks.about}},
            name=f"{not_none(findings.suggestion).words()} · {checked.points.name}",
            color=rgba_of(PALETTE["mint"]),
            diameter_angstrom=findings.diameter_angstrom,
            spacing_angstrom=findings.frame.mean_spacing,
        )
        added = add_layers(self.viewer, specs)
        self.viewer.layers.selection.active = added[-1]

    def _select(self, rows: NDArray[np.intp]) -> None:
        """Select picks in their layer, unless it changed since the check."""
        if self._checked is None or not np.array_equal(
            self._checked.points.data, self._checked.data
        ):
            self.results.clear()
            self.bar.say(_CHANGED)
            return
        points = self._checked.points
        self.viewer.layers.selection.active = points
        points.selected_data = set(rows.tolist())
        points.mode = "select"

    def _lay_out(self) -> None:
        options = QWidget()
        form_of(("Diameter", self.diameter_nm), parent=options)
        column = column_in(
            self,
            form_of(("Picks", self.points), ("Tomogram", self.image)),
            more_button(options),
            options,
            self.bar,
            self.results,
            margins=(6, 6, 6, 4),
        )
        column.setStretchFactor(self.results, 1)


class _Checked(NamedTuple):
    points: Points
    data: NDArray[Any]  # the points' coordinates at the time of the check
    image: Image


class CheckResults(QScrollArea):
    """Shows the findings of a check: a headline, the evidence with problems first, and buttons."""

    copy_requested = Signal()
    select_requested = Signal(object)  # rows

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.setObjectName("findings")
        self.setAccessibleName("Findings")
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.clear()

    def clear(self) -> None:
        self.headline, self.texts, self.buttons = "", list[str](), dict[str, QPushButton]()
        page = QWidget()
        self._column = column_in(page, margins=(0, 4, 0, 0), spacing=8)
        self.setWidget(page)

    def show_findings(self, findings: Findings) -> None:
        """Show findings and the actions for them."""
        self.clear()
        self.headline, column = findings.headline, self._column
        column.addWidget(plain_label(findings.headline, name="heading"))
        for statement in sorted(
            findings.statements, key=lambda statement: _MARKS.index(statement.mark)
        ):
            self.texts.append(statement.text)
            column.addLayout(self._line(statement))
        if findings.suggestion is not None:
            tip = f"Add a copy in which {findings.suggestion.words()}"
            self._add_button("copy", "Add a corrected copy", tip).clicked.connect(
                self.copy_requested
            )
        elif findings.alternatives:
            column.addWidget(plain_label(_NO_COPY, name="dimText"))
        for key, description in _SELECTIONS.items():
            if len(rows := getattr(findings, key)):
                button = self._add_button(
                    key, f"Select {count_text(len(rows), 'pick')} {description}"
                )
                button.clicked.connect(
                    lambda _checked=False, rows=rows: self.select_requested.emit(rows)
                )
        column.addWidget(plain_label(findings.basis, name="dimText"))
        column.addStretch(1)

    def _line(self, statement: Statement) -> QHBoxLayout:
        sign, colors = QLabel(), self._theme.colors
        label = plain_label(statement.text, is_selectable=True)
        looks = {
            "odd": ("warning", colors.warning),
            "note": ("dot", colors.dim),
            "good": ("check", colors.dim),
        }
        sign.setFixedWidth(18)
        sign.setPixmap(pixmap(*looks[statement.mark]))
        label.setAccessibleName(f"{'Odd: ' if statement.is_odd else ''}{statement.text}")
        row = QHBoxLayout()
        row.addWidget(sign, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(label, 1, Qt.AlignmentFlag.AlignTop)
        return row

    def _add_button(self, key: str, text: str, tip: str = "") -> QPushButton:
        button = self.buttons[key] = QPushButton(text)
        button.setToolTip(tip)
        button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._column.addWidget(button)
        return button


# arguments of `check_picks` from layers


def volume_of(layer: Image) -> Volume:
    """The volume of an image layer; no voxels are read.

    Raises
    ------
    PlacementError
        If the layer is rotated, sheared or flipped.
    """
    placement = placement_of(layer)
    return Volume(
        levels=list(layer.data) if layer.multiscale else [layer.data],
        spacing_angstrom=checked_spacing(placement.steps) if placement.is_in_angstrom else None,
    )


def picks_in(layer: Points, image: Image) -> Picks:
    """The picks of a layer, relative to the first voxel of an image.

    If the layer's unit is a length, picks keep their positions in the viewer. If it is pixels, the
    coordinates are used unchanged.

    Raises
    ------
    PlacementError
        If a layer is rotated, sheared or flipped.
    FormatError
        If the points aren't valid picks.
    """
    placement = placement_of(layer)
    image_placement = placement_of(image)
    try:
        picks = picks_of(layer)
    except ValueError as error:
        raise FormatError(f"“{layer.name}” can't be taken for picks: {error}.") from error
    if not placement.is_in_angstrom or not image_placement.is_in_angstrom:
        return picks
    is_moved = placement.start.any() or image_placement.start.any()
    if not is_moved and (placement.steps == picks.spacing_angstrom).all():
        return picks  # without rounding errors
    spacing = picks.spacing_angstrom or float(np.mean(placement.steps))
    from_start = placement.to_world(picks.points_zyx) - image_placement.start
    return picks.changed(points_zyx=from_start / spacing, spacing_angstrom=spacing)
