"""A dock for how picks are drawn: how thick a slab of them and of density, their orientations, and their size."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import napari
from magicgui.widgets import ComboBox, FloatSpinBox
from napari.layers import Points
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_cryoet._qt.layers.layer_spacing import ANGSTROM_PER_NM
from napari_cryoet._qt.picks.orientation_display import OrientationDisplay, active_points, orientation_of
from napari_cryoet._qt.picks.pick_sizes import diameter_nm, object_text, remark_on_size, show_diameter
from napari_cryoet._qt.picks.picks_link import PicksLink, link_of
from napari_cryoet._qt.picks.slabs import MOST_PICKS_NM, slabs_of
from napari_cryoet._qt.widgets.dock import Dock
from napari_cryoet._qt.widgets.labels import plain_label
from napari_cryoet._qt.widgets.letters import keep_fitted
from napari_cryoet._qt.widgets.scrolling import ScrollingPage
from napari_cryoet._qt.widgets.timers import single_shot
from napari_cryoet.appearance.diameters import LARGEST_ANGSTROM, SMALLEST_ANGSTROM
from napari_cryoet.exceptions import FormatError
from napari_cryoet.layers.specs import PICKS_KEY
from napari_cryoet.picks.orientations import Orientation
from napari_cryoet.wording import count_text, plain

_LONGEST_LABEL: Final = "Orientations"
_MOST_LENGTH_NM: Final = 10_000.0


class PicksOnScreen(Dock):
    """Sets how the picks of a viewer are drawn; what it sets can also be set from Python.

    Slabs are the viewer's. Orientation, size and undo are those of one layer of picks: the one that is selected in
    napari's list, or else the topmost.

    Parameters
    ----------
    napari_viewer
        Whose picks these are.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, "Picks on screen", tab_name="On screen")
        self._layer: Points | None = None
        self._link: PicksLink | None = None
        self._display: OrientationDisplay | None = None
        self._slabs = slabs_of(napari_viewer)
        nm: dict[str, Any] = {"min": 0.0, "step": 1.0}
        self.picks_nm = FloatSpinBox(label="Picks", max=MOST_PICKS_NM, **nm)
        self.density_nm = FloatSpinBox(label="Density", max=0.0, **nm)
        self.orientation = ComboBox(label="Orientations", choices=[str(each) for each in Orientation])
        self.length = FloatSpinBox(label="Length", min=0.1, max=_MOST_LENGTH_NM, step=1.0)
        self.diameter_nm = FloatSpinBox(
            label="Diameter", min=SMALLEST_ANGSTROM / 10, max=LARGEST_ANGSTROM / 10, step=1.0
        )
        self.slab_remark, self.orientation_remark = (
            plain_label(name="dimText"),
            plain_label(name="orientationRemark"),
        )
        self.size_remark = plain_label(name="dimText")
        self.of_layer = plain_label(name="picksLayer")
        self.use = QPushButton("Use these points as picks")
        self.undo, self.redo = QPushButton("Undo"), QPushButton("Redo")
        self._lay_out()
        self._soon = single_shot(self, 0, self.refresh)
        self._connect()
        self.refresh()

    @property
    def layer(self) -> Points | None:
        """The layer whose orientations and size are shown."""
        return self._layer

    # how it is built

    def _lay_out(self) -> None:
        self.use.setToolTip("Gives each point an id of its own, in the features, and lets you undo and orient them")
        for slab in (self.picks_nm, self.density_nm):
            slab.native.setSpecialValueText("one plane")
        for field, purpose in (
            (self.picks_nm, "How thick a slab around the plane is whose picks are shown in full"),
            (self.density_nm, "How thick a slab of density is whose mean is shown"),
            (self.orientation, "Arrows along the particles' z axes, or all three axes"),
            (self.length, "How long the arrow, or the z axis, is drawn"),
            (self.diameter_nm, "How large the particle is drawn"),
        ):
            field.native.setToolTip(purpose)
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(6, 6, 6, 4)
        column.setSpacing(6)
        column.addWidget(_heading("Slab in 2D"))
        column.addLayout(_form(self.picks_nm, self.density_nm))
        column.addWidget(self.slab_remark)
        column.addWidget(_heading("Picks"))
        column.addWidget(self.of_layer)
        column.addWidget(self.use)
        column.addLayout(_form(self.orientation, self.length))
        column.addWidget(self.orientation_remark)
        column.addLayout(_form(self.diameter_nm))
        column.addWidget(self.size_remark)
        buttons = QHBoxLayout()
        buttons.addWidget(self.undo, 1)
        buttons.addWidget(self.redo, 1)
        column.addLayout(buttons)
        column.addStretch(1)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(ScrollingPage(content))

    def _connect(self) -> None:
        self.picks_nm.changed.connect(self._on_picks_nm)
        self.density_nm.changed.connect(self._on_density_nm)
        self.orientation.changed.connect(self._on_orientation)
        self.length.changed.connect(self._on_length)
        self.diameter_nm.changed.connect(self._on_diameter)
        self.use.clicked.connect(self._on_use)
        self.undo.clicked.connect(self._on_undo)
        self.redo.clicked.connect(self._on_redo)
        self._slabs.changed.connect(self._soon.start)
        layers = self.viewer.layers
        for event in (layers.events.inserted, layers.events.removed, layers.selection.events.active):
            self.listen(event, self._on_layers)
        self.at_close(self._soon.stop)
        self.at_close(lambda: self._slabs.changed.disconnect(self._soon.start))
        self.at_close(lambda: self._turn_to(None))

    # what it shows

    def refresh(self) -> None:
        """Show what holds now."""
        self._turn_to(self._chosen_layer())
        self._show_slabs()
        self._show_layer()

    def _chosen_layer(self) -> Points | None:
        active = active_points(self.viewer.layers)
        if isinstance(active, Points) and active.ndim == 3:
            return active
        return next(
            (
                layer
                for layer in reversed(self.viewer.layers)
                if isinstance(layer, Points) and PICKS_KEY in layer.metadata
            ),
            None,
        )

    def _turn_to(self, layer: Points | None) -> None:
        is_known = layer is not None and PICKS_KEY in layer.metadata
        link = link_of(layer) if layer is not None and is_known else None
        if link is not self._link:
            for old in (self._link, self._display):
                if old is not None:
                    old.changed.disconnect(self._soon.start)
            self._link = link
            self._display = (
                orientation_of(layer, self.viewer.layers) if layer is not None and link is not None else None
            )
            for new in (self._link, self._display):
                if new is not None:
                    new.changed.connect(self._soon.start)
        if layer is not self._layer:
            if self._layer is not None:
                self._layer.events.size.disconnect(self._on_layers)
            if layer is not None:
                layer.events.size.connect(self._on_layers)
        self._layer = layer

    def _show_slabs(self) -> None:
        slabs = self._slabs
        most = slabs.most_density_nm
        with self.picks_nm.changed.blocked(), self.density_nm.changed.blocked():
            self.picks_nm.value = slabs.picks_nm
            self.density_nm.max = max(round(most, 2), slabs.density_nm)
            self.density_nm.value = slabs.density_nm
        self.density_nm.enabled = most > 0
        self.slab_remark.setText("\n".join(filter(None, (slabs.remark, slabs.remark_on_picks))))

    def _show_layer(self) -> None:
        layer, link, display = self._layer, self._link, self._display
        obstacle = link.obstacle if link is not None else ""
        if obstacle:  # undo helps
            display = None
        is_linked = link is not None and display is not None
        self.use.setVisible(layer is not None and link is None)
        if layer is None:
            self.of_layer.setText("Open picks: show an annotation from the portal's dock, or open a file of picks.")
        elif obstacle:
            self.of_layer.setText(plain(f"{layer.name} can't be used as picks just now: {obstacle}."))
        elif link is None:
            self.of_layer.setText(plain(layer.name))
        else:
            self.of_layer.setText(f"{plain(layer.name)}: {count_text(len(link.picks), 'pick')}")
        has_any = display is not None and display.has_orientations
        self.orientation.enabled = has_any
        _know(self.length, has_any)
        if display is not None:
            with self.orientation.changed.blocked(), self.length.changed.blocked():
                self.orientation.value = str(display.orientation)
                if has_any:
                    self.length.value = max(0.1, display.length_angstrom / ANGSTROM_PER_NM)
        self._tell(self.orientation_remark, display.remark if display is not None else "")
        self._show_size(layer if is_linked else None)
        for button, verb, words in (
            (self.undo, "Undo", link.undo_text if link is not None else ""),
            (self.redo, "Redo", link.redo_text if link is not None else ""),
        ):
            button.setEnabled(bool(words))
            button.setToolTip(f"{verb}: {plain(words)}" if words else f"Nothing to {verb.lower()}")
            button.setAccessibleName(f"{verb} {plain(words)}")

    def _show_size(self, layer: Points | None) -> None:
        size = diameter_nm(layer) if layer is not None else None
        _know(self.diameter_nm, size is not None)
        if layer is not None and size is not None:
            with self.diameter_nm.changed.blocked():
                self.diameter_nm.value = size
            said = f"For all picks of {object_text(layer)}, also when they are opened again."
            self._tell(self.size_remark, " ".join(filter(None, (said, remark_on_size(self.viewer.layers, layer)))))
        else:
            self._tell(
                self.size_remark, "" if layer is None else "These picks have several sizes, or no known voxel size."
            )

    def _tell(self, label: QLabel, text: str) -> None:
        label.setText(text)
        label.setVisible(bool(text))

    # what it does

    def _on_layers(self, _event: Any = None) -> None:
        self._soon.start()

    def _on_picks_nm(self, value: float) -> None:
        self._slabs.show_picks(value)

    def _on_density_nm(self, value: float) -> None:
        self._slabs.show_density(min(value, self._slabs.most_density_nm))

    def _on_orientation(self, value: str) -> None:
        if self._display is not None:
            self._display.show(value)

    def _on_length(self, value: float) -> None:
        if self._display is not None:
            self._display.show(length_angstrom=value * ANGSTROM_PER_NM)

    def _on_diameter(self, value: float) -> None:
        if self._layer is None:
            return
        try:
            show_diameter(self.viewer.layers, self._layer, value)
        except (ValueError, FormatError) as error:
            self._tell(self.size_remark, plain(str(error)))

    def _on_use(self) -> None:
        if self._layer is None:
            return
        try:
            link_of(self._layer)
        except ValueError as error:  # as points that are nowhere
            self._tell(self.size_remark, plain(f"{self._layer.name} can't be used as picks: {error}."))
            return
        self._slabs.show_picks(self._slabs.picks_nm)  # in this layer too
        self.refresh()

    def _on_undo(self) -> None:
        if self._link is not None:
            self._link.undo()

    def _on_redo(self) -> None:
        if self._link is not None:
            self._link.redo()


def _know(field: FloatSpinBox, is_known: bool) -> None:
    """Let a field be of use, or say that there is no number."""
    field.enabled = is_known
    field.native.setSpecialValueText("" if is_known else "–")
    if not is_known:
        with field.changed.blocked():
            field.value = field.min


def _heading(text: str) -> QLabel:
    label = plain_label(text, name="heading")
    font = label.font()
    font.setBold(True)
    label.setFont(font)
    return label


def _form(*widgets: Any) -> QFormLayout:
    """Rows whose fields begin at the same place in all forms of the dock."""
    form = QFormLayout()
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for widget in widgets:
        label = plain_label(widget.label)
        keep_fitted(label, partial(_fit_label, label))
        label.setBuddy(widget.native)
        widget.native.setAccessibleName(widget.label)
        if isinstance(widget.native, QDoubleSpinBox):
            widget.native.setAccessibleName(f"{widget.label} in nm")
            widget.native.setKeyboardTracking(False)  # a number counts once it is whole
            widget.native.setDecimals(1)
            widget.native.setSuffix(" nm")
        form.addRow(label, widget.native)
    return form


def _fit_label(label: QLabel) -> None:
    label.setFixedWidth(label.fontMetrics().horizontalAdvance(_LONGEST_LABEL) + 10)
