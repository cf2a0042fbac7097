"""A popover to set how a layer's picks are drawn: diameter, orientations and slab."""

from __future__ import annotations

from typing import Final

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer, Points
from napari.utils.notifications import show_info
from napari.viewer import Viewer
from qtpy.QtCore import QPoint, QSignalBlocker, Qt
from qtpy.QtGui import QCursor
from qtpy.QtWidgets import QComboBox, QFrame, QWidget

from napari_cryoet._qt.layers.ownership import about_of
from napari_cryoet._qt.layers.placement import ANGSTROM_PER_NM, spacing_angstrom_of
from napari_cryoet._qt.picks.orientations import OrientationDisplay, active_points, orientation_of
from napari_cryoet._qt.picks.slabs import MOST_PICKS_NM, show_slab, slab_nm_of
from napari_cryoet._qt.widgets.controls import (
    form_of,
    main_window,
    not_none,
    number_box,
    plain_label,
    plain_tooltip,
)
from napari_cryoet.appearance.diameters import (
    LARGEST_ANGSTROM,
    SMALLEST_ANGSTROM,
    diameter_angstrom,
    set_diameter,
)
from napari_cryoet.appearance.objects import object_key
from napari_cryoet.exceptions import SaveError
from napari_cryoet.layers.specs import PICKS_KEY
from napari_cryoet.picks import Picks
from napari_cryoet.picks.orientations import Orientation
from napari_cryoet.wording import count_text, plain

_MOST_LENGTH_NM: Final = 10_000.0
_WIDTH_PX: Final = 300


def show_popover_of_active(viewer: Viewer) -> None:
    """Open the popover of the viewer's active layer of picks."""
    points = active_points(viewer.layers)
    if not isinstance(points, Points) or points.ndim != 3:
        show_info("Select a layer of picks first.")
        return
    show_picks_popover(viewer, points)


def show_picks_popover(
    viewer: ViewerModel, layer: Points, position: QPoint | None = None
) -> PicksPopover | None:
    """Open the popover of a layer of picks, by default at the mouse."""
    try:
        popover = PicksPopover(
            viewer, layer, main_window(viewer) if isinstance(viewer, Viewer) else None
        )
    except ValueError as error:
        show_info(plain(f"{layer.name} holds no picks: {error}."))
        return None
    popover.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    popover.open_at(position or QCursor.pos())
    return popover


class PicksPopover(QFrame):
    """A popover to set how picks are drawn; a click outside or Escape closes it."""

    def __init__(self, viewer: ViewerModel, layer: Points, parent: QWidget | None = None) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setObjectName("picksPopover")
        self.setAccessibleName("How these picks are drawn")
        self.setFrameShape(QFrame.Shape.Box)
        self.setFixedWidth(_WIDTH_PX)
        self._viewer, self._layer = viewer, layer
        self._display: OrientationDisplay = orientation_of(layer, viewer)
        smallest, largest = SMALLEST_ANGSTROM / ANGSTROM_PER_NM, LARGEST_ANGSTROM / ANGSTROM_PER_NM
        self.diameter = number_box("How large the particle is drawn", "nm", largest, least=smallest)
        self.orientation = QComboBox()
        self.length = number_box(
            "Length of an arrow, or of the z axis of a triad", "nm", _MOST_LENGTH_NM, least=0.1
        )
        self.slab = number_box(
            "Show the picks of a slab around the plane", "nm", MOST_PICKS_NM, unset="one plane"
        )
        for box in (self.diameter, self.length, self.slab):
            box.setKeyboardTracking(False)  # apply a number once it is typed in full
        self.remark = plain_label()
        self._lay_out()
        self.refresh()
        self.diameter.valueChanged.connect(self._set_diameter)
        self.orientation.currentIndexChanged.connect(self._set_orientation)
        self.length.valueChanged.connect(
            lambda nm: self._display.show(length_angstrom=nm * ANGSTROM_PER_NM)
        )
        self.slab.valueChanged.connect(self._set_slab)

    def open_at(self, position: QPoint) -> None:
        """Open at a screen position, moved so that the whole popover is visible."""
        self.adjustSize()
        available = not_none(self.screen()).availableGeometry()
        self.move(
            max(available.left(), min(position.x(), available.right() - self.width())),
            max(available.top(), min(position.y(), available.bottom() - self.height())),
        )
        self.show()
        self.diameter.setFocus(Qt.FocusReason.PopupFocusReason)
        self.diameter.selectAll()

    def refresh(self) -> None:
        display, nm = self._display, diameter_nm_of(self._layer)
        values = ((self.diameter, nm), (self.length, display.length_angstrom / ANGSTROM_PER_NM))
        for box, value in (*values, (self.slab, slab_nm_of(self._layer))):
            with QSignalBlocker(box):
                box.setValue(value or box.minimum())
        with QSignalBlocker(self.orientation):
            self.orientation.setCurrentIndex(self.orientation.findData(display.orientation))
        self.diameter.setEnabled(nm is not None)
        self.orientation.setEnabled(display.has_orientations)
        self.length.setEnabled(display.has_orientations and display.orientation != Orientation.OFF)
        self._say(display.remark)

    def _lay_out(self) -> None:
        for orientation in Orientation:
            self.orientation.addItem(str(orientation), orientation)
        self.orientation.setAccessibleName("Orientations")
        self.orientation.setToolTip(
            "Arrows along the particles' z axes, or triads: x orange, y green, z blue"
        )
        name = plain(object_of(self._layer)[1])
        purpose = f"How large {name} is drawn, in all layers and when it is opened again"
        self.diameter.setToolTip(plain_tooltip(purpose))
        title = plain_label(plain(self._layer.name))
        title.setStyleSheet("font-weight: bold")
        form = form_of(parent=self)
        form.setContentsMargins(9, 9, 9, 9)
        form.addRow(title)
        form.addRow(plain_label(count_text(len(self._layer.data), "pick")))
        for text, field in (
            ("Diameter", self.diameter),
            ("Orientations", self.orientation),
            ("Length", self.length),
            ("Slab", self.slab),
        ):
            form.addRow(text, field)
        form.addRow(self.remark)

    def _say(self, text: str) -> None:
        self.remark.setText(text)
        self.remark.setVisible(bool(text))

    def _set_diameter(self, nm: float) -> None:
        try:
            show_diameter(self._viewer, self._layer, nm)
        except (ValueError, SaveError) as error:
            self._say(plain(str(error)))

    def _set_orientation(self, _index: int) -> None:
        self._display.show(self.orientation.currentData())
        self.refresh()

    def _set_slab(self, nm: float) -> None:
        for layer in (self._layer, self._display.layer):
            if layer is not None:
                show_slab(layer, nm)


# the diameter of an object in all its layers


def show_diameter(viewer: ViewerModel, layer: Points, diameter_nm: float) -> None:
    """Set and save the diameter of a layer's object, and apply it to all layers of this object.

    Raises
    ------
    ValueError
        If the diameter is out of range.
    SaveError
        If it can't be saved.
    """
    object_id, name = object_of(layer)
    set_diameter(object_id or name, diameter_nm * ANGSTROM_PER_NM)
    keys = _keys(layer)
    for other in viewer.layers:
        if _is_of_particles(other) and not _keys(other).isdisjoint(keys):
            _resize(other, diameter_angstrom(*object_of(other)))


def diameter_nm_of(layer: Points) -> float | None:
    """The diameter of a layer's picks; None if sizes differ or the voxel spacing is unknown."""
    spacing = spacing_angstrom_of(layer)
    sizes = layer.size if len(layer.data) else np.array([layer.current_size])
    if spacing is None or not np.allclose(sizes, sizes[0]):
        return None
    return float(sizes[0]) * spacing / ANGSTROM_PER_NM


def object_of(layer: Points) -> tuple[str | None, str]:
    """The id, if known, and the name of the object of a layer's picks."""
    about = about_of(layer)
    return about.object_id or None, about.object_name or str(layer.name)


def _is_of_particles(layer: Layer) -> bool:
    picks = layer.metadata.get(PICKS_KEY)
    return isinstance(layer, Points) and isinstance(picks, Picks) and not picks.is_cloud


def _resize(layer: Points, angstrom: float) -> None:
    spacing = spacing_angstrom_of(layer)
    if spacing is None:
        return
    size = angstrom / spacing
    if not np.allclose(layer.size, size):
        layer.size = size
    if not np.isclose(layer.current_size, size):
        selected = set(layer.selected_data)
        layer.selected_data = set()  # else napari resizes the selected points too
        layer.current_size = size
        layer.selected_data = selected


def _keys(layer: Points) -> frozenset[str]:
    """The keys of a layer's object in the table of diameters, by its id and by its name."""
    object_id, name = object_of(layer)
    return frozenset({object_key(object_id), object_key(None, name)} - {""})
