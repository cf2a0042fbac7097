"""The orientations of a layer's picks, drawn as a Vectors layer that follows the points in whatever is done to them."""

from __future__ import annotations

import contextlib
import operator
import weakref
from typing import Any, Final, cast

import numpy as np
from napari.components import ViewerModel
from napari.components.layerlist import LayerList
from napari.layers import Layer, Points, Vectors
from numpy.typing import NDArray
from qtpy.QtCore import QObject

from napari_cryoet._qt.layers.ownership import (
    LayerWatch,
    active_layer,
    add_layer,
    group_of,
    key_of,
    real,
    remove_layer,
    tag,
)
from napari_cryoet._qt.layers.types import Vectors as OwnVectors
from napari_cryoet._qt.picks.layer_picks import link_of
from napari_cryoet._qt.picks.slabs import radius_of, show_as_discs, show_slab, slab_nm_of
from napari_cryoet._qt.streaming.seam import refresh_blocked
from napari_cryoet._qt.tasks import single_shot
from napari_cryoet.layers.specs import METADATA_KEY, PICK_ID, PICKS_KEY, UNKNOWN_SPACING_ANGSTROM
from napari_cryoet.picks import Picks
from napari_cryoet.picks.orientations import AXIS_COLORS, Orientation, line_width, orientation_vectors

#: While some picks are selected, the arrows of the others are so faint.
_UNSELECTED_OPACITY: Final = 0.25
_PLACING: Final = ("scale", "translate", "rotate", "shear", "affine")
_POINTS: Final = "_napari_cryoet_points"  # the attribute of arrows that refers to their points


def show_orientations(
    viewer: ViewerModel,
    layer: Points,
    orientation: Orientation | str | None = None,
    *,
    length_angstrom: float | None = None,
) -> str:
    """Draw the orientations of a layer's picks as arrows, as triads or not at all; what isn't given stays as it is.

    Parameters
    ----------
    viewer
        In whose layers the arrows are put.
    layer
        Of picks; the arrows follow it from then on.
    orientation
        ``"arrows"`` along the particles' z axes, ``"triads"`` of all three axes, or ``"off"``.
    length_angstrom
        Of an arrow, or of a triad's z axis; until it is given, the particle's diameter.

    Returns
    -------
    str
        What to know of what is drawn, such as how many picks have no valid orientation; empty if nothing.

    Raises
    ------
    ValueError
        If there is no such orientation or length.
    """
    display = orientation_of(layer, viewer)
    display.show(orientation, length_angstrom)
    return display.remark


def orientation_of(points: Points, viewer: ViewerModel | None = None) -> OrientationDisplay:
    """How the orientations of a Points layer are drawn; made at the first call. Arrows are put into the viewer."""
    link = link_of(points)
    display = next((child for child in link.children() if isinstance(child, OrientationDisplay)), None)
    display = display or OrientationDisplay(points, link)
    if viewer is not None:
        display.lie_in(viewer)
    return display


def adopt_arrows(layer: Points | Vectors, viewer: ViewerModel) -> None:
    """Let arrows of the same picks belong to points in the same viewer, whichever of the two came first."""
    for points in [layer] if isinstance(layer, Points) else list(viewer.layers):
        if not isinstance(points, Points) or PICKS_KEY not in points.metadata:
            continue
        display = orientation_of(points, viewer)
        for arrows in [layer] if isinstance(layer, Vectors) else list(viewer.layers):
            if isinstance(arrows, Vectors) and display.layer is None and display.can_take(arrows):
                display.take_over(arrows)


def points_of(vectors: Vectors) -> Points | None:
    """The points that arrows follow; None where they follow none."""
    vectors = getattr(vectors, "__wrapped__", vectors)
    reference = vars(vectors).get(_POINTS)
    points: Points | None = None if reference is None else reference()
    return points if points is not None and orientation_of(points).layer is vectors else None


def active_points(layers: LayerList) -> Layer | None:
    """The layer that is active in a viewer's list; for arrows the points that they follow."""
    active = active_layer(layers)
    return (points_of(active) if isinstance(active, Vectors) else None) or active


class OrientationDisplay(QObject):
    """The arrows or triads of one layer's picks. Made by `orientation_of`.

    Arrows are where the picks are, in the colour of each pick's ring, or for triads in that of the axis. They are
    hidden and faint with their picks. While picks are selected, the arrows of others are faint.
    """

    def __init__(self, points: Points, parent: QObject) -> None:
        super().__init__(parent)
        self._link = link_of(points)
        self._vectors: weakref.ReferenceType[Vectors] | None = None
        self._layers: LayerList | None = None
        self.orientation = Orientation.OFF  # set by `show`
        self._length_angstrom = 0.0
        self._drawn: tuple[Any, ...] = ()  # picks, which are shown, their sizes, what was drawn of them, how long
        self._rows: NDArray[np.intp] = np.empty(0, dtype=np.intp)
        self._axes: NDArray[np.intp] = np.empty(0, dtype=np.intp)
        self._is_hidden_with_points = False
        self._soon, self._remove_soon = single_shot(self, 0, self._follow), single_shot(self, 0, self._remove_orphan)
        self._link.changed.connect(self._follow)
        self._link.selection_changed.connect(self._soon.start)
        points = getattr(points, "__wrapped__", points)  # napari's own, not a stand-in
        points.events.border_color.connect(self._on_looks)
        points.events.set_data.connect(self._on_sliced)
        points.events.visible.connect(self._on_visible)
        for name in (*_PLACING, "units"):
            getattr(points.events, name).connect(self._on_placed)

    @property
    def length_angstrom(self) -> float:
        """How long an arrow, or the z axis of a triad, is; by default the particle's diameter."""
        return self._length_angstrom or 2 * radius_of(self._points) * self._spacing_angstrom

    @property
    def has_orientations(self) -> bool:
        """Whether any pick has a proper rotation, so that there is something to draw."""
        return bool(self._link.picks.are_oriented.any())

    @property
    def layer(self) -> Vectors | None:
        """The layer of arrows; None where nothing was ever drawn, or a person removed it."""
        vectors = self._vectors() if self._vectors is not None else None
        return vectors if vectors is not None and vectors in (self._layers or ()) else None

    @property
    def remark(self) -> str:
        """What to know of what is drawn; empty where it is all there is."""
        picks = self._link.picks
        n_oriented = int(picks.are_oriented.sum())
        if not n_oriented:
            return "These picks have no orientations."
        parts = []
        if n_oriented < len(picks):
            parts.append(f"{len(picks) - n_oriented:,} of {len(picks):,} picks have no valid orientation.")
        if picks.spacing_angstrom is None:
            parts.append(f"The voxel size isn't known: lengths hold if it is {UNKNOWN_SPACING_ANGSTROM:g} Å.")
        return " ".join(parts)

    def can_take(self, vectors: Vectors) -> bool:
        """Whether arrows follow no points yet, and one begins at each pick that has an orientation."""
        if PICKS_KEY not in vectors.metadata or points_of(vectors) is not None:
            return False
        rows = np.flatnonzero(self._link.picks.are_oriented)
        if not 0 < len(rows) == len(vectors.data):
            return False
        return np.allclose(vectors.data[:, 0], self._points.data[rows], atol=1e-3)

    def show(self, orientation: Orientation | str | None = None, length_angstrom: float | None = None) -> None:
        """As `show_orientations`."""
        if length_angstrom is not None and not 0 < length_angstrom < np.inf:
            raise ValueError(f"an arrow can't be {length_angstrom} Å long")
        self._length_angstrom = length_angstrom if length_angstrom is not None else self._length_angstrom
        self.orientation = Orientation(orientation) if orientation is not None else self.orientation
        self._follow()

    def lie_in(self, viewer: ViewerModel) -> None:
        """Say in which viewer the points are."""
        if self._layers is None:
            self._layers = real(viewer).layers
            LayerWatch(viewer, self).removed.connect(self._on_removed)

    def take_over(self, vectors: Vectors) -> None:
        """Let a layer that shows arrows of these picks follow them from now on."""
        points, picks = self._points, self._link.picks
        self._use(vectors)
        self.orientation = Orientation.ARROWS
        length = float(np.linalg.norm(vectors.data[0, 1]))
        is_diameter = np.isclose(length, 2 * radius_of(points))
        self._length_angstrom = 0.0 if is_diameter else length * self._spacing_angstrom
        if points.shown.all():
            self._rows = np.flatnonzero(picks.are_oriented)
            self._axes = np.full(len(self._rows), 2)
            self._drawn = (picks, points.shown, points.size, self.orientation, length)  # as they were made
        else:
            self._follow()

    # how the points are followed

    @property
    def _points(self) -> Points:
        return cast(Points, self._link.layer)  # whose events, or their timers, call

    @property
    def _spacing_angstrom(self) -> float:
        return self._link.picks.spacing_angstrom or UNKNOWN_SPACING_ANGSTROM

    def _use(self, vectors: Vectors) -> None:
        reference = weakref.ref(self._points)
        self._vectors = weakref.ref(vectors)
        vars(vectors)[_POINTS] = reference
        self._drawn = ()
        show_as_discs(vectors, radius=lambda: radius_of(alive) if (alive := reference()) is not None else 0.0)
        show_slab(vectors, slab_nm_of(self._points))

    def _on_looks(self, _event: Any = None) -> None:
        self._soon.start()

    def _on_sliced(self, _event: Any = None) -> None:
        """Also at each step of a slider; napari has no event for which points are shown, nor always for sizes."""
        if self._drawn and not all(map(operator.is_, self._drawn[1:3], (self._points.shown, self._points.size))):
            self._soon.start()

    def _on_visible(self, _event: Any = None) -> None:
        """Arrows are hidden with their points, and shown with them again unless a person had hidden them alone."""
        points, vectors = self._points, self.layer
        if vectors is None:
            return
        if points.visible:
            vectors.visible |= self._is_hidden_with_points
        self._is_hidden_with_points = not points.visible and vectors.visible
        vectors.visible &= points.visible

    def _on_placed(self, _event: Any = None) -> None:
        vectors = self.layer
        for name in (*_PLACING, "units") if vectors is not None else ():
            setattr(vectors, name, getattr(self._points, name))

    def _on_removed(self, layer: Layer) -> None:
        if layer is self._points:
            self._remove_soon.start()  # not amid the removal
        elif self._vectors is not None and layer is self._vectors():
            self.orientation, self._vectors = Orientation.OFF, None

    def _remove_orphan(self) -> None:
        """Arrows go with their points."""
        vectors, layers = self.layer, self._layers
        if vectors is not None and layers is not None and self._points not in layers:
            remove_layer(layers, vectors)

    def _follow(self) -> None:
        with contextlib.suppress(ValueError):  # points without a place, which are no picks
            self._draw(self._points)

    def _draw(self, points: Points) -> None:
        self._soon.stop()
        picks = self._link.picks
        vectors = self.layer or self._new_layer(points, picks)
        if vectors is None:
            return
        length = self.length_angstrom / self._spacing_angstrom
        what = (picks, points.shown, points.size, self.orientation, length)
        if self._drawn and all(map(operator.is_, self._drawn[:3], what[:3])) and self._drawn[3:] == what[3:]:
            self._paint(vectors, points)
            return
        arrows = orientation_vectors(picks, self.orientation, length, points.shown)
        self._rows, self._axes, self._drawn = arrows.rows, arrows.axes, what
        columns = picks.table() | {PICK_ID: picks.ids}
        with vectors.events.blocker_all(), refresh_blocked(vectors):  # once is enough, and nobody edited them
            vectors.data = arrows.data
            vectors.features = {name: column[arrows.rows] for name, column in columns.items()}
            vectors.edge_width = line_width(self.orientation, length)
            self._paint(vectors, points)
        vectors.refresh()
        if not vectors.visible:  # napari draws colours of rows that it hasn't sliced
            vectors.set_view_slice()

    def _paint(self, vectors: Vectors, points: Points) -> None:
        """Let arrows have the colours of their points, or of their axes; fainter while other points are selected."""
        colors: NDArray[np.float32] = points.border_color.astype(np.float32)
        if points.selected_data:
            is_faint = np.ones(len(colors), dtype=bool)
            is_faint[list(points.selected_data)] = False
            colors[is_faint, 3] *= _UNSELECTED_OPACITY
        colors = colors[self._rows]
        if self.orientation == Orientation.TRIADS:
            colors[:, :3] = np.array(AXIS_COLORS, dtype=np.float32)[self._axes, :3]
        if len(colors) and not np.array_equal(vectors.edge_color, colors):
            vectors.edge_color = colors

    def _new_layer(self, points: Points, picks: Picks) -> Vectors | None:
        """A layer of arrows below the points, if there is something to draw and a viewer to draw it in."""
        layers = self._layers
        is_wanted = self.orientation != Orientation.OFF and self.has_orientations
        if not is_wanted or layers is None or points not in layers:
            return None
        vectors = OwnVectors(
            np.empty((0, 2, 3)),
            ndim=3,
            name=f"{points.name} · orientation",
            units=points.units,
            visible=points.visible,
            axis_labels=points.axis_labels,
            metadata={METADATA_KEY: dict(points.metadata.get(METADATA_KEY, {})), PICKS_KEY: picks},
            vector_style="arrow",
            projection_mode="fade",
            **{name: getattr(points, name) for name in _PLACING},
        )
        key = key_of(points)
        if key is not None:
            tag(vectors, key, group_of(points), is_main_layer=False)
        self._use(vectors)
        self._is_hidden_with_points = not points.visible
        active = active_layer(layers)
        add_layer(layers, vectors)
        layers.selection.active = active
        return vectors
