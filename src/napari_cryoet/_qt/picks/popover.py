"""A popover of how the picks of a layer are drawn: size, orientations, slabs. Open from a row's or a layer's menu."""

from __future__ import annotations

from typing import Final

from napari.components import ViewerModel
from napari.layers import Points
from napari.utils.notifications import show_info
from napari.viewer import Viewer
from qtpy.QtCore import QPoint, QSignalBlocker, Qt
from qtpy.QtGui import QCursor
from qtpy.QtWidgets import QComboBox, QFormLayout, QFrame, QWidget

from napari_cryoet._qt.layers.alignment import ANGSTROM_PER_NM
from napari_cryoet._qt.picks.orientations import OrientationDisplay, active_points, orientation_of
from napari_cryoet._qt.picks.sizes import diameter_nm_of, object_of, show_diameter
from napari_cryoet._qt.picks.slabs import (
    MOST_PICKS_NM,
    density_nm_of,
    most_density_nm,
    show_slab,
    show_slabs,
    slab_nm_of,
)
from napari_cryoet._qt.widgets.labels import number_box, plain_label
from napari_cryoet._qt.widgets.messages import main_window
from napari_cryoet.appearance.diameters import LARGEST_ANGSTROM, SMALLEST_ANGSTROM
from napari_cryoet.exceptions import FormatError
from napari_cryoet.picks.orientations import Orientation
from napari_cryoet.wording import count_text, plain

_MOST_LENGTH_NM: Final = 10_000.0
_WIDTH_PX: Final = 300


def show_popover_of_active(viewer: Viewer) -> None:
    """Open the popover of the layer of picks that is selected in the viewer."""
    points = active_points(viewer.layers)
    if not isinstance(points, Points) or points.ndim != 3:
        show_info("Select a layer of picks first.")
        return
    show_picks_popover(viewer, points)


def show_picks_popover(viewer: ViewerModel, layer: Points, where: QPoint | None = None) -> PicksPopover | None:
    """Open the popover of a layer of picks, by default where the mouse is."""
    try:
        popover = PicksPopover(viewer, layer, main_window(viewer) if isinstance(viewer, Viewer) else None)
    except ValueError as error:
        show_info(plain(f"{layer.name} holds no picks: {error}."))
        return None
    popover.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    popover.open_at(where or QCursor.pos())
    return popover


class PicksPopover(QFrame):
    """Sets how the picks of a layer are drawn; a click beside it or Escape closes it."""

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
        self.length = number_box("Length of an arrow, or of the z axis of a triad", "nm", _MOST_LENGTH_NM, least=0.1)
        self.slab = number_box("Show the picks of a slab around the plane", "nm", MOST_PICKS_NM, unset="one plane")
        self.density = number_box("Average images over a slab around the plane", "nm", MOST_PICKS_NM, unset="one plane")
        for box in (self.diameter, self.length, self.slab, self.density):
            box.setKeyboardTracking(False)  # a number counts once it is whole
        self.remark = plain_label()
        self._lay_out()
        self.refresh()
        self.diameter.valueChanged.connect(self._set_diameter)
        self.orientation.currentIndexChanged.connect(self._set_orientation)
        self.length.valueChanged.connect(lambda nm: self._display.show(length_angstrom=nm * ANGSTROM_PER_NM))
        self.slab.valueChanged.connect(self._set_slab)
        self.density.valueChanged.connect(self._set_density)

    def open_at(self, where: QPoint) -> None:
        """Open at a place on the screen, all of it in sight."""
        self.adjustSize()
        screen = self.screen()
        if screen is not None:
            room = screen.availableGeometry()
            where = QPoint(
                max(room.left(), min(where.x(), room.right() - self.width())),
                max(room.top(), min(where.y(), room.bottom() - self.height())),
            )
        self.move(where)
        self.show()
        self.diameter.setFocus(Qt.FocusReason.PopupFocusReason)
        self.diameter.selectAll()

    def refresh(self) -> None:
        """Show what holds now."""
        display, nm = self._display, diameter_nm_of(self._layer)
        values = ((self.diameter, nm), (self.length, display.length_angstrom / ANGSTROM_PER_NM))
        settings = (*values, (self.slab, slab_nm_of(self._layer)), (self.density, density_nm_of(self._viewer)))
        for box, value in settings:
            with QSignalBlocker(box):
                box.setValue(value or box.minimum())
        with QSignalBlocker(self.orientation):
            self.orientation.setCurrentIndex(self.orientation.findData(display.orientation))
        self.diameter.setEnabled(nm is not None)
        self.orientation.setEnabled(display.has_orientations)
        self.length.setEnabled(display.has_orientations and display.orientation != Orientation.OFF)
        self.density.setEnabled(most_density_nm(self._viewer) > 0)
        self._say(display.remark)

    def _lay_out(self) -> None:
        for orientation in Orientation:
            self.orientation.addItem(str(orientation), orientation)
        self.orientation.setAccessibleName("Orientations")
        self.orientation.setToolTip("Arrows along the particles' z axes, or triads: x orange, y green, z blue")
        self.diameter.setToolTip(
            plain(f"How large {object_of(self._layer)[1]} is drawn, in all layers and when it is opened again")
        )
        title = plain_label(plain(self._layer.name))
        title.setStyleSheet("font-weight: bold")
        form = QFormLayout(self)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(title)
        form.addRow(plain_label(count_text(len(self._layer.data), "pick")))
        for text, field in (
            ("Diameter", self.diameter),
            ("Orientations", self.orientation),
            ("Length", self.length),
            ("Slab of picks", self.slab),
            ("Slab of density", self.density),
        ):
            form.addRow(text, field)
        form.addRow(self.remark)

    def _say(self, text: str) -> None:
        self.remark.setText(text)
        self.remark.setVisible(bool(text))

    def _set_diameter(self, nm: float) -> None:
        try:
            show_diameter(self._viewer, self._layer, nm)
        except (ValueError, FormatError) as error:
            self._say(plain(str(error)))

    def _set_orientation(self, _index: int) -> None:
        self._display.show(self.orientation.currentData())
        self.refresh()

    def _set_density(self, nm: float) -> None:
        most_nm = most_density_nm(self._viewer)
        show_slabs(self._viewer, density_nm=min(nm, most_nm))
        self.refresh()
        if nm > most_nm:
            self._say(f"Density is averaged over at most {most_nm:.3g} nm, so that stepping stays smooth.")

    def _set_slab(self, nm: float) -> None:
        for layer in (self._layer, self._display.layer):
            if layer is not None:
                show_slab(layer, nm)
