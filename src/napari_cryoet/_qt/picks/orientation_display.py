"""The arrows of a Points layer: drawn as a Vectors layer that follows the points in whatever is done to them."""

from __future__ import annotations

import weakref
from collections.abc import Set as AbstractSet
from typing import Any, Final

import numpy as np
from napari.components.layerlist import LayerList
from napari.layers import Layer, Points, Vectors
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.layers.ownership import active_layer, add_layer, group_of, key_of, real, remove_layer, tag
from napari_cryoet._qt.picks.arrows import Vectors as OwnVectors
from napari_cryoet._qt.picks.discs import radius_of, say_arrows_a_pick, show_as_discs, thinning
from napari_cryoet._qt.picks.picks_link import PicksLink, link_of
from napari_cryoet._qt.streaming.napari_internals import cut_colors, refresh_blocked, shows_gone_rows
from napari_cryoet._qt.widgets.timers import single_shot
from napari_cryoet.layers.specs import METADATA_KEY, PICK_ID, PICKS_KEY, UNKNOWN_SPACING_ANGSTROM
from napari_cryoet.picks import Picks
from napari_cryoet.picks.orientations import AXIS_COLORS, Orientation, line_width, orientation_vectors

#: While some picks are selected, the arrows of the others are so faint.
_UNSELECTED_OPACITY: Final = 0.25
#: What says where a layer lies, beside its unit.
_PLACING: Final = ("scale", "translate", "rotate", "shear", "affine")

_displays: weakref.WeakKeyDictionary[Points, OrientationDisplay] = weakref.WeakKeyDictionary()


def orientation_of(points: Points, layers: LayerList | None = None) -> OrientationDisplay:
    """How the orientations of a Points layer are drawn; made if nobody asked for it yet.

    Parameters
    ----------
    points
        A layer with three axes.
    layers
        Of the viewer that it is in: there the arrows are put.
    """
    display = _displays.get(points)
    if display is None:
        display = _displays[points] = OrientationDisplay(points)
    if layers is not None:
        display.lie_in(layers)
    return display


def adopt_arrows(points: Points, layers: LayerList) -> OrientationDisplay:
    """As `orientation_of`; arrows of these picks that are in the same viewer, and nobody's yet, become the points'."""
    display = orientation_of(points, layers)
    for vectors in layers:
        if isinstance(vectors, Vectors) and display.layer is None and _can_be_taken(vectors, display):
            display.take_over(vectors)
    return display


def give_to_points(vectors: Vectors, layers: LayerList) -> None:
    """Let arrows belong to the points in the same viewer whose picks they show, if these have none yet."""
    for points in layers:
        if isinstance(points, Points) and PICKS_KEY in points.metadata:
            display = orientation_of(points, layers)
            if display.layer is None and _can_be_taken(vectors, display):
                display.take_over(vectors)


def points_of(vectors: Vectors) -> Points | None:
    """The points that arrows follow; None where they follow none."""
    return next((points for points, display in tuple(_displays.items()) if display.layer is vectors), None)


def active_points(layers: LayerList) -> Layer | None:
    """The layer that a person has chosen in a viewer's list, and for arrows the points that they follow."""
    active = active_layer(layers)
    return (points_of(active) if isinstance(active, Vectors) else None) or active


def _can_be_taken(vectors: Vectors, display: OrientationDisplay) -> bool:
    return PICKS_KEY in vectors.metadata and points_of(vectors) is None and display.is_drawn_by(vectors)


class OrientationDisplay(QObject):
    """What is drawn of the orientations of one layer's picks.

    Made by `orientation_of`. Arrows are where the picks are, in the colour of each pick's ring, or in that of its axis
    for triads. What is hidden or faint of the picks is so of the arrows. While picks are selected, the others' arrows
    are faint.
    """

    changed = Signal()  # what is drawn is something else now: ask `orientation`, `length_angstrom`, `remark`

    def __init__(self, points: Points) -> None:
        super().__init__()
        self._points = weakref.ref(points)
        self._vectors: weakref.ReferenceType[Vectors] | None = None
        self._layers: weakref.ReferenceType[LayerList] | None = None
        self._link: PicksLink = link_of(points)
        self._orientation = Orientation.OFF
        self._length_angstrom = 0.0
        self._drawn: tuple[Any, ...] = ()  # of what, and how, the arrows were made
        self._size: NDArray[np.float64] | None = None  # of the points then; napari changes it without a word
        self._rows: NDArray[np.intp] = np.empty(0, dtype=np.intp)
        self._axes: NDArray[np.intp] = np.empty(0, dtype=np.intp)
        self._is_writing = False
        self._is_hidden_with_points = False
        self._soon = single_shot(self, 0, self._follow)
        self._tidy = single_shot(self, 0, self._remove_orphan)
        self._link.changed.connect(self._follow)
        self._link.selection_changed.connect(self._soon.start)
        points.events.border_color.connect(self._on_looks)
        points.events.size.connect(self._on_looks)
        points.events.set_data.connect(self._on_sliced)
        points.events.visible.connect(self._on_visible)
        for name in (*_PLACING, "units"):
            getattr(points.events, name).connect(self._on_placed)

    # what there is

    @property
    def orientation(self) -> Orientation:
        """What is drawn: arrows, triads or nothing."""
        return self._orientation

    @property
    def length_angstrom(self) -> float:
        """How long an arrow, or the z axis of a triad, is; the particle's diameter unless somebody says otherwise."""
        points = self._points()
        if self._length_angstrom or points is None:
            return self._length_angstrom
        return 2 * radius_of(points) * self._spacing_angstrom

    @property
    def has_orientations(self) -> bool:
        """Whether any pick has a proper rotation, so that there is something to draw."""
        return bool(self._link.picks.are_oriented.any())

    @property
    def layer(self) -> Vectors | None:
        """The layer of arrows; None where nothing was ever drawn, or a person removed it."""
        vectors = self._vectors() if self._vectors is not None else None
        layers = self._layers() if self._layers is not None else None
        return vectors if vectors is not None and layers is not None and vectors in layers else None

    @property
    def remark(self) -> str:
        """What to know of what is drawn; empty where it is all there is."""
        picks = self._link.picks
        if not self.has_orientations:
            return "These picks have no orientations."
        parts = []
        n_without = len(picks) - int(picks.are_oriented.sum())
        if n_without:
            parts.append(f"{n_without:,} of {len(picks):,} picks have no valid orientation.")
        if picks.spacing_angstrom is None:
            parts.append(f"The voxel size isn't known: lengths hold if it is {UNKNOWN_SPACING_ANGSTROM:g} Å.")
        step = thinning(len(self._rows))
        if step > 1:
            parts.append(f"In 3D, one pick in {step} has its orientation drawn: there are too many for all.")
        return " ".join(parts)

    def is_drawn_by(self, vectors: Vectors) -> bool:
        """Whether a layer's arrows begin at the picks that have orientations, one at each."""
        if self._link.obstacle:  # as points that are nowhere, which show no picks just now
            return False
        points, rows = self._points(), np.flatnonzero(self._link.picks.are_oriented)
        if points is None or vectors.ndim != 3 or not 0 < len(rows) == len(vectors.data):
            return False
        return np.allclose(vectors.data[:, 0], points.data[rows], atol=1e-3)

    # what can be done

    def show(self, orientation: Orientation | str | None = None, length_angstrom: float | None = None) -> None:
        """Draw something else, or at another length; what isn't given stays as it is.

        Raises
        ------
        ValueError
            If there is no such orientation, or the length isn't positive.
        """
        if length_angstrom is not None and not 0 < length_angstrom < np.inf:
            raise ValueError(f"an arrow can't be {length_angstrom} Å long")
        self._length_angstrom = length_angstrom if length_angstrom is not None else self._length_angstrom
        self._orientation = Orientation(orientation) if orientation is not None else self._orientation
        self._follow()
        self.changed.emit()

    def lie_in(self, layers: LayerList) -> None:
        """Say in which viewer's list the points are."""
        layers = real(layers)
        if self._layers is None or self._layers() is not layers:
            self._layers = weakref.ref(layers)
            layers.events.removed.connect(self._on_removed)

    def take_over(self, vectors: Vectors) -> None:
        """Let a layer that shows arrows of these picks follow them from now on."""
        points, picks = self._points(), self._link.picks
        self._use(vectors)
        self._orientation = Orientation.ARROWS
        rows = np.flatnonzero(picks.are_oriented)
        length = float(np.linalg.norm(vectors.data[0, 1])) if len(vectors.data) else 0.0
        is_diameter = points is not None and np.isclose(length, 2 * radius_of(points))
        self._length_angstrom = 0.0 if is_diameter else length * self._spacing_angstrom
        if points is not None and len(rows) == len(vectors.data) and points.shown.all():
            self._rows, self._axes = rows, np.full(len(rows), 2)
            self._drawn = (picks, points.shown, self._orientation, length)  # as they were made: nothing to do
            self._size = points.size
        else:
            self._follow()

    # how the points are followed

    @property
    def _spacing_angstrom(self) -> float:
        return self._link.picks.spacing_angstrom or UNKNOWN_SPACING_ANGSTROM

    def _use(self, vectors: Vectors) -> None:
        points = self._points
        self._vectors = weakref.ref(vectors)
        self._drawn = ()
        show_as_discs(vectors, radius=lambda: radius_of(alive) if (alive := points()) is not None else 0.0)

    def _on_looks(self, _event: Any = None) -> None:
        self._soon.start()

    def _on_sliced(self, _event: Any = None) -> None:
        """Napari says so at each step of a slider, and when other points are shown, or have other sizes."""
        points = self._points()
        if points is not None and self._drawn and (points.shown is not self._drawn[1] or points.size is not self._size):
            self._soon.start()

    def _on_visible(self, _event: Any = None) -> None:
        """Arrows are hidden with their points, and shown with them again unless a person had hidden them alone."""
        points, vectors = self._points(), self.layer
        if points is None or vectors is None:
            return
        if points.visible:
            vectors.visible |= self._is_hidden_with_points
        self._is_hidden_with_points = not points.visible and vectors.visible
        vectors.visible &= points.visible

    def _on_placed(self, _event: Any = None) -> None:
        points, vectors = self._points(), self.layer
        if points is not None and vectors is not None:
            for name in (*_PLACING, "units"):
                setattr(vectors, name, getattr(points, name))

    def _on_removed(self, event: Any) -> None:
        points = self._points()
        if points is not None and event.value is points:
            self._tidy.start()  # not amid the removal
        elif self._vectors is not None and event.value is self._vectors() and self._orientation != Orientation.OFF:
            self._orientation, self._vectors = Orientation.OFF, None
            self.changed.emit()

    def _remove_orphan(self) -> None:
        """Arrows go with their points."""
        vectors, points = self.layer, self._points()
        layers = self._layers() if self._layers is not None else None
        if vectors is not None and layers is not None and points not in layers:
            remove_layer(layers, vectors)

    def _follow(self) -> None:
        points = self._points()
        if points is None or self._is_writing or self._link.obstacle:
            return
        self._is_writing = True
        try:
            self._draw(points)
        finally:
            self._is_writing = False

    def _draw(self, points: Points) -> None:
        self._soon.stop()
        self._size = points.size
        picks = self._link.picks
        vectors = self.layer or self._new_layer(points, picks)
        if vectors is None:
            return
        what = (picks, points.shown, self._orientation, self.length_angstrom / self._spacing_angstrom)
        is_alike = bool(self._drawn) and all(
            one is other or (not isinstance(one, (Picks, np.ndarray)) and one == other)
            for one, other in zip(self._drawn, what, strict=True)
        )
        with vectors.events.blocker_all(), refresh_blocked(vectors):  # once is enough
            if not is_alike:
                self._write(vectors, *what)
            is_painted = self._paint(vectors, self._colors(points.border_color, points.selected_data))
        if not is_alike or (is_painted and shows_gone_rows(vectors)):  # not sliced yet
            vectors.refresh()
        elif is_painted:
            vectors.events.edge_color()  # the array is the same, and so are the arrows in the plane

    def _write(
        self, vectors: Vectors, picks: Picks, shown: NDArray[np.bool_], orientation: Orientation, length: float
    ) -> None:
        """Let the layer show other arrows; nobody hears of it, since no person edited them."""
        arrows = orientation_vectors(picks, orientation, length, shown)
        self._rows, self._axes, self._drawn = arrows.rows, arrows.axes, (picks, shown, orientation, length)
        say_arrows_a_pick(vectors, 3 if orientation == Orientation.TRIADS else 1)
        cut_colors(vectors, len(arrows))
        vectors.data = arrows.data
        columns = picks.table() | {PICK_ID: picks.ids}
        vectors.features = {name: column[arrows.rows] for name, column in columns.items()}
        vectors.edge_width = line_width(orientation, length)

    @staticmethod
    def _paint(vectors: Vectors, colors: NDArray[np.float32]) -> bool:
        """Let arrows have colours; whether they had others. napari examines each colour that it is given."""
        held = vectors.edge_color
        is_ready = vectors.visible and str(vectors.edge_color_mode) == "direct" and held.flags.writeable
        if not is_ready or held.shape != colors.shape:
            if len(colors):  # napari would take none for wrong ones
                vectors.edge_color = colors
            return True
        if np.array_equal(held, colors):
            return False
        held[:] = colors
        return True

    def _colors(self, of_points: NDArray[np.float32], selected: AbstractSet[int]) -> NDArray[np.float32]:
        """Of the arrows, by the colours of the points and which of these are selected."""
        colors: NDArray[np.float32] = of_points.astype(np.float32)
        if selected:
            is_faint = np.ones(len(colors), dtype=bool)
            rows = np.fromiter(selected, dtype=np.intp)
            is_faint[rows[rows < len(colors)]] = False  # napari goes on with rows that are there no more
            colors[is_faint, 3] *= _UNSELECTED_OPACITY
        colors = colors[self._rows]
        if self._orientation == Orientation.TRIADS:
            colors[:, :3] = np.array(AXIS_COLORS, dtype=np.float32)[self._axes, :3]
        return colors

    def _new_layer(self, points: Points, picks: Picks) -> Vectors | None:
        """A layer of arrows below the points, if there is something to draw and a viewer to draw it in."""
        layers = self._layers() if self._layers is not None else None
        if self._orientation == Orientation.OFF or layers is None or points not in layers or not self.has_orientations:
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
        active = active_layer(layers)
        add_layer(layers, vectors)
        layers.selection.active = active
        self._use(vectors)
        self._is_hidden_with_points = not points.visible
        return vectors
