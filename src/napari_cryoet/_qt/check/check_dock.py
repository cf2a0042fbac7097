"""The dock that asks whether picks make sense in a tomogram; `napari_cryoet.check_picks` answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer, Points
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QDoubleSpinBox, QFormLayout, QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout

from napari_cryoet._qt.check.check_results import CheckResults
from napari_cryoet._qt.check.layer_volume import are_picks, is_volume, picks_in, volume_of
from napari_cryoet._qt.layers.colors import taken_colors
from napari_cryoet._qt.layers.manager import add_layers
from napari_cryoet._qt.layers.watch import GridWatch
from napari_cryoet._qt.picks.layer_geometry import lacks_unit
from napari_cryoet._qt.tasks import Job
from napari_cryoet._qt.widgets.dock import Dock
from napari_cryoet._qt.widgets.labels import ElidedLabel, roomy
from napari_cryoet._qt.widgets.layer_combo import NO_PICKS, NO_TOMOGRAM, LayerCombo
from napari_cryoet.appearance.colors import own_color
from napari_cryoet.check.findings import Findings, check_picks, diameter_of
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.layers.specs import MAX_SPACING_ANGSTROM, METADATA_KEY, arrows_spec, points_spec
from napari_cryoet.wording import plain

if TYPE_CHECKING:
    import napari

_KEY = "check"
_MISSING = {
    "picks": "Open picks to begin: show an annotation from the portal's dock, or open a file of picks.",
    "a tomogram": "Open a tomogram to begin: the one that these picks were made in.",
}
_NO_SPACING = "Nothing says how wide the voxels of this tomogram are. Say it in the field above."
_CHANGED = "The picks or the tomogram have changed since. Check them again."
_RUN = "Look whether the picks sit on density, and whether another way to read them would fit better"
_INVITATION = (
    "Compares the density at the picks with places nearby, and with other ways to read the same numbers: flipped or "
    "swapped axes, ångström for voxels, binning. Looks for duplicates and picks at the edge. Nothing is changed."
)


class CheckDock(Dock):
    """Check a layer of picks against a tomogram, and act on what is found.

    Parameters
    ----------
    napari_viewer
        The viewer whose layers are checked.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, "Check picks", tab_name="Check")
        #: What the field shows unless a person says it, and the diameter that is meant; None where nobody knows one.
        self._suggested: tuple[float, float | None] = (0.0, None)
        self._checked: tuple[Points, Image, Findings] | None = None
        self._unit_watch = GridWatch(self)
        self._asks_for_spacing = False
        self.points = LayerCombo(napari_viewer, are_picks, "The picks to check", NO_PICKS)
        self.image = LayerCombo(napari_viewer, is_volume, "The tomogram that they lie in", NO_TOMOGRAM)
        self.spacing = QDoubleSpinBox()
        self.diameter_nm = QDoubleSpinBox()
        self._form = QFormLayout()
        self.run = QPushButton("Check")
        self.progress = QProgressBar()
        self.doing = ElidedLabel()
        self.results = CheckResults(self.theme)
        for end in (self._unit_watch.watch, self.points.close_down, self.image.close_down):
            self.at_close(end)
        self._lay_out()
        self._connect()
        self._on_picks()
        self._on_image_choice()

    @property
    def found(self) -> Findings | None:
        """What the last check found; None while nothing is shown of one."""
        return None if self._checked is None else self._checked[2]

    def choose(self, points: Layer, image: Layer) -> None:
        """Choose what to check; nothing is checked yet."""
        self.points.choose(points)
        self.image.choose(image)

    def start(self) -> None:
        """Check the chosen picks against the chosen tomogram."""
        points, image = self.points.layer, self.image.layer
        if points is None or image is None:
            return
        try:
            picks, volume = picks_in(points, image, self.spacing.value() or None), volume_of(image)
        except CryoETError as error:
            self._show_error(error)
            return
        if volume.spacing_angstrom is None and self.spacing.value():
            volume = replace(volume, spacing_angstrom=(self.spacing.value(),) * 3)
        shown_nm, suggested = self._suggested
        size_nm = self.diameter_nm.value()
        diameter = suggested if size_nm == shown_nm else size_nm * 10  # the field rounds, and scripts don't

        def work(job: Job) -> Findings:
            return check_picks(picks, volume, diameter_angstrom=diameter, stop=job.stop, progress=job.say)

        self._checked = None
        self.results.show_text("")
        self.tasks.run(
            _KEY,
            work,
            then=lambda found: self._show(points, image, found),
            failed=self._show_error,
            title=f"Checking {plain(points.name)}",
        )

    def _lay_out(self) -> None:
        self.diameter_nm.setRange(1, 1000)
        self.diameter_nm.setDecimals(1)
        self.diameter_nm.setSuffix(" nm")
        self.diameter_nm.setAccessibleName("Diameter of the particle in nm")
        self.diameter_nm.setToolTip("How large the particle is: density is averaged over a ball of that size")
        self.spacing.setRange(0, MAX_SPACING_ANGSTROM)
        self.spacing.setDecimals(3)
        self.spacing.setSuffix(" Å")
        self.spacing.setSpecialValueText("unknown")
        self.spacing.setAccessibleName("Voxel spacing of the tomogram in ångström")
        self.spacing.setToolTip("How wide its voxels are, which its layer doesn't say")
        self.run.setAccessibleName("Check the picks")
        roomy(self.run)
        self.progress.setRange(0, 100)
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(6)
        self.doing.setObjectName("dimText")
        form = self._form
        form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Picks", self.points)
        form.addRow("Tomogram", self.image)
        form.addRow("Voxel spacing", self.spacing)
        form.addRow("Diameter", self.diameter_nm)
        state = QVBoxLayout()
        state.setSpacing(2)
        state.addWidget(self.doing)
        state.addWidget(self.progress)
        row = QHBoxLayout()
        row.addWidget(self.run)
        row.addLayout(state, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 6, 6, 4)
        column.setSpacing(6)
        column.addLayout(form)
        column.addLayout(row)
        column.addWidget(self.results, 1)
        self._show_running(is_running=False)

    def _connect(self) -> None:
        self.run.clicked.connect(self._on_run)
        self.points.layer_changed.connect(self._on_picks)
        self.image.layer_changed.connect(self._on_image_choice)
        self.spacing.valueChanged.connect(self._on_choice)
        self._unit_watch.changed.connect(self._on_unit)
        self.tasks.started.connect(lambda _key, _title: self._show_running(is_running=True))
        self.tasks.finished.connect(lambda _key: self._on_finished())
        self.tasks.said.connect(self._on_said)
        self.results.copy_requested.connect(self._add_copy)
        self.results.select_requested.connect(self._select)

    def _on_run(self) -> None:
        if self.tasks.is_running(_KEY):
            self.tasks.stop(_KEY)
        else:
            self.start()

    def _on_finished(self) -> None:
        """An answer follows, unless it was stopped."""
        self._show_running(is_running=False)
        self.results.show_text("Stopped.")

    def _on_picks(self) -> None:
        """Other picks, of particles of another size; what a person said of the others' says nothing of these."""
        points = self.points.layer
        if points is not None:
            diameter, is_known = diameter_of(points.metadata.get(METADATA_KEY, {}))
            self.diameter_nm.setValue(diameter / 10)
            self._suggested = self.diameter_nm.value(), diameter if is_known else None
        else:
            self.diameter_nm.setValue(self.diameter_nm.minimum())
        self.diameter_nm.setEnabled(points is not None)
        self.diameter_nm.setSpecialValueText("–" if points is None else "")
        self._on_choice()

    def _on_image_choice(self) -> None:
        """Another tomogram; what a person said of the other's voxels says nothing of its own."""
        with QSignalBlocker(self.spacing):
            self.spacing.setValue(0)
        self._unit_watch.watch(self.image.layer)
        self._on_choice()

    def _on_unit(self) -> None:
        """The tomogram's layer has another scale or unit, which may say now how wide its voxels are."""
        if lacks_unit(self.image.layer) != self._asks_for_spacing:
            self._on_choice()

    def _on_choice(self) -> None:
        """Other layers: what was found of those before says nothing of these."""
        self.tasks.stop(_KEY)
        self._checked = None
        self._asks_for_spacing = lacks_unit(self.image.layer)
        self._form.setRowVisible(self.spacing, self._asks_for_spacing)
        missing = self._missing
        self.run.setEnabled(not missing)
        self._tell_what_it_does()
        self.results.show_text(f"{missing}\n\n{_INVITATION}" if missing else _INVITATION)

    @property
    def _missing(self) -> str:
        """What has to be chosen or said before picks can be checked; empty where nothing has."""
        if self.points.layer is None or self.image.layer is None:
            return _MISSING["picks" if self.points.layer is None else "a tomogram"]
        return _NO_SPACING if self._asks_for_spacing and not self.spacing.value() else ""

    def _on_said(self, _key: object, share: float, words: str) -> None:
        self.progress.setValue(round(share * 100))
        self.doing.setText(words)

    def _show_running(self, *, is_running: bool) -> None:
        self.run.setText("Stop" if is_running else "Check")
        self.run.setAccessibleName("Stop checking" if is_running else "Check the picks")
        self._tell_what_it_does()
        for part in (self.progress, self.doing):  # they keep their place
            policy = part.sizePolicy()
            policy.setRetainSizeWhenHidden(True)
            part.setSizePolicy(policy)
            part.setVisible(is_running)
        self.progress.setValue(0)
        self.doing.setText("")

    def _tell_what_it_does(self) -> None:
        """Say what the button does, or what it lacks."""
        words = "Stop; nothing of this check is shown" if self.tasks.is_running(_KEY) else _RUN
        self.run.setToolTip(words if self.run.isEnabled() else self._missing)

    def _show(self, points: Points, image: Image, found: Findings) -> None:
        self._checked = (points, image, found)
        self.results.show_findings(found)

    def _is_outdated(self) -> bool:
        """Whether the picks or the tomogram have changed since; then it says so."""
        if self._checked is None or not _are_same(*self._checked):
            self.results.show_text(_CHANGED)
            return True
        return False

    def _show_error(self, error: CryoETError) -> None:
        self.results.show_text(str(error))

    def _add_copy(self) -> None:
        """A new layer in the tomogram's grid; the one that was checked stays as it is."""
        if self._checked is None or self._is_outdated():
            return
        points, image, found = self._checked
        picks, suggestion = found.suggested_picks(), found.suggestion
        name = f"{points.name} · {suggestion.words() if suggestion is not None else ''}"
        common: dict[str, Any] = {
            "scale": image.scale,
            "translate": image.translate,
            "affine": np.array(image.affine.affine_matrix),
            "units": image.units,
            "axis_labels": image.axis_labels,
            "metadata": {METADATA_KEY: dict(picks.about)},
        }
        sizes = {
            "diameter_angstrom": found.diameter_angstrom,
            "spacing_angstrom": found.frame.mean_spacing,
        }
        color = own_color(taken_colors(self.viewer.layers))
        specs = [points_spec(picks, common, name=name, color=color, **sizes)]
        arrows = arrows_spec(picks, common, name=f"{name} · orientation", color=color, **sizes)
        added = add_layers(self.viewer, specs if arrows is None else [*specs, arrows])
        self.viewer.layers.selection.active = added[-1]

    def _select(self, rows: Any, _which: str) -> None:
        """Select picks in their layer, if it still holds those that were checked."""
        if self._checked is None or self._is_outdated():
            return
        points, _, _ = self._checked
        self.viewer.layers.selection.active = points
        points.selected_data = {int(row) for row in rows}
        points.mode = "select"


def _are_same(points: Points, image: Image, found: Findings) -> bool:
    """Whether the layers still hold the picks that were checked, row by row, and a volume of the same grid."""
    try:
        now, volume = picks_in(points, image, found.frame.spacing_zyx[0]), volume_of(image)
    except CryoETError:  # turned since, or no picks any more
        return False
    is_same_grid = volume.shape_zyx == found.frame.shape_zyx and (
        volume.spacing_angstrom is None or np.allclose(volume.spacing_angstrom, found.frame.spacing_zyx)
    )
    return is_same_grid and np.array_equal(now.points_zyx, found.picks.points_zyx)
