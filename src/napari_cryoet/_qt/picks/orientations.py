"""The orientations of a layer's picks, drawn as a Vectors layer that follows changes of the points."""

from __future__ import annotations

import contextlib
import operator
from functools import partial
from typing import Any, Final

import numpy as np
from napari.components import ViewerModel
from napari.components.layerlist import LayerList
from napari.layers import Layer, Points, Vectors
from numpy.typing import NDArray
from qtpy.QtCore import QObject

from napari_cryoet._qt.layers.ownership import (
    LayerWatch,
    about_of,
    active_layer,
    add_layer,
    group_of,
    key_of,
    real,
    remove_layer,
    tag,
)
from napari_cryoet._qt.layers.placement import PLACING
from napari_cryoet._qt.layers.types import Vectors as OwnVectors
from napari_cryoet._qt.picks.layer_picks import live_picks_of
from napari_cryoet._qt.picks.slabs import radius_of, show_as_discs, show_slab, slab_nm_of
from napari_cryoet._qt.seam import refresh_blocked
from napari_cryoet._qt.tasks import single_shot
from napari_cryoet.layers.specs import (
    METADATA_KEY,
    PICK_ID,
    PICKS_KEY,
    UNKNOWN_SPACING_ANGSTROM,
    arrows_name,
)
from napari_cryoet.picks import Picks
from napari_cryoet.picks.orientations import (
    AXIS_COLORS,
    Orientation,
    line_width,
    orientation_vectors,
)

#: Opacity of arrows of unselected picks while others are selected.
_UNSELECTED_OPACITY: Final = 0.25
_POINTS: Final = "_napari_cryoet_points"  # the attribute of a Vectors layer that holds its points


def show_orientations(
    viewer: ViewerModel,
    layer: Points,
    orientation: Orientation | str | None = None,
    *,
    length_angstrom: float | None = None,
) -> str:
    """Draw the orientations of a layer's picks as arrows or triads, or hide them; None keeps a setting.

    Parameters
    ----------
    viewer
        The viewer to add the arrows to.
    layer
        A layer of picks; the arrows follow its changes.
    orientation
        ``"arrows"`` along the particles' z axes, ``"triads"`` of all three axes, or ``"off"``.
    length_angstrom
        The length of an arrow or of a triad's z axis; the particle's diameter by default.

    Returns
    -------
    str
        A remark, such as how many picks have no valid orientation; may be empty.

    Raises
    ------
    ValueError
        If the orientation or the length is invalid.
    """
    display = orientation_of(layer, viewer)
    display.show(orientation, length_angstrom)
    return display.remark


def orientation_of(points: Points, viewer: ViewerModel | None = None) -> OrientationDisplay:
    """The orientation display of a Points layer, created at the first call.

    It adds arrows to the viewer.
    """
    live = live_picks_of(points)
    display = next(
        (child for child in live.children() if isinstance(child, OrientationDisplay)), None
    )
    display = display or OrientationDisplay(points, live)
    if viewer is not None:
        display.lie_in(viewer)
    return display


def adopt_arrows(layer: Points | Vectors, viewer: ViewerModel) -> None:
    """Link points and arrows of the same picks in one viewer, whichever was added first."""
    for points in [layer] if isinstance(layer, Points) else list(viewer.layers):
        if not isinstance(points, Points) or PICKS_KEY not in points.metadata:
            continue
        display = orientation_of(points, viewer)
        for arrows in [layer] if isinstance(layer, Vectors) else list(viewer.layers):
            if isinstance(arrows, Vectors) and display.layer is None and display.can_take(arrows):
                display.take_over(arrows)


def points_of(vectors: Vectors) -> Points | None:
    """The points that a layer of arrows follows, if any."""
    vectors = getattr(vectors, "__wrapped__", vectors)
    points: Points | None = vars(vectors).get(_POINTS)
    return points if points is not None and orientation_of(points).layer is vectors else None


def active_points(layers: LayerList) -> Layer | None:
    """The active layer; for arrows, the points that they follow."""
    active = active_layer(layers)
    return (points_of(active) if isinstance(active, Vectors) else None) or active


class OrientationDisplay(QObject):
    """The arrows or triads of one layer's picks. Created by `orientation_of`.

    Arrows start at the picks and have their border colours; triads are coloured by axis. Arrows are
    hidden and faded with their picks. While picks are selected, the arrows of the others are faint.
    """

    def __init__(self, points: Points, parent: QObject) -> None:
        super().__init__(parent)
        self._live = live_picks_of(points)
        self._points = self._live.layer
        self._vectors: Vectors | None = None
        self._layers: LayerList | None = None
        self.orientation = Orientation.OFF  # set by `show`
        self._length_angstrom = 0.0
        self._drawn: tuple[
            Any, ...
        ] = ()  # picks, shown mask, sizes, orientation and length that were drawn
        self._rows: NDArray[np.intp] = np.empty(0, dtype=np.intp)
        self._axes: NDArray[np.intp] = np.empty(0, dtype=np.intp)
        self._is_hidden_with_points = False
        self._follow_soon = single_shot(self, 0, self._follow)
        self._remove_soon = single_shot(self, 0, self._remove_orphan)
        self._live.changed.connect(self._follow)
        self._live.selection_changed.connect(self._follow)
        events = self._points.events
        events.border_color.connect(self._on_looks)
        events.set_data.connect(self._on_sliced)
        events.visible.connect(self._on_visible)
        for name in PLACING:
            getattr(events, name).connect(self._on_placed)

    @property
    def length_angstrom(self) -> float:
        """The length of an arrow or of a triad's z axis; by default the particle's diameter."""
        return self._length_angstrom or 2 * radius_of(self._points) * self._spacing_angstrom

    @property
    def has_orientations(self) -> bool:
        """Whether any pick has a valid rotation."""
        return bool(self._live.picks.are_oriented.any())

    @property
    def layer(self) -> Vectors | None:
        """The layer of arrows; None if it was never drawn or was removed."""
        return self._vectors if self._vectors in (self._layers or ()) else None

    @property
    def remark(self) -> str:
        """A remark about missing orientations or an unknown voxel size; may be empty."""
        picks = self._live.picks
        n_oriented = int(picks.are_oriented.sum())
        if not n_oriented:
            return "These picks have no orientations."
        parts = []
        if n_oriented < len(picks):
            parts.append(
                f"{len(picks) - n_oriented:,} of {len(picks):,} picks have no valid orientation."
            )
        if picks.spacing_angstrom is None:
            parts.append(
                f"The voxel size isn't known: lengths hold if it is {UNKNOWN_SPACING_ANGSTROM:g} Å."
            )
        return " ".join(parts)

    def can_take(self, vectors: Vectors) -> bool:
        """Whether arrows follow no points yet and start at exactly the picks with an orientation."""
        if PICKS_KEY not in vectors.metadata or points_of(vectors) is not None:
            return False
        rows = np.flatnonzero(self._live.picks.are_oriented)
        if not 0 < len(rows) == len(vectors.data):
            return False
        return np.allclose(vectors.data[:, 0], self._points.data[rows], atol=1e-3)

    def show(
        self, orientation: Orientation | str | None = None, length_angstrom: float | None = None
    ) -> None:
        """Set what is drawn; see `show_orientations`."""
        if length_angstrom is not None and not 0 < length_angstrom < np.inf:
            raise ValueError(f"an arrow can't be {length_angstrom} Å long")
        self._length_angstrom = (
            length_angstrom if length_angstrom is not None else self._length_angstrom
        )
        self.orientation = Orientation(orientation) if orientation is not None else self.orientation
        self._follow()

    def lie_in(self, viewer: ViewerModel) -> None:
        """Set the viewer that the points belong to."""
        if self._layers is None:
            self._layers = real(viewer).layers
            LayerWatch(viewer, self).removed.connect(self._on_removed)

    def take_over(self, vectors: Vectors) -> None:
        """Make an existing layer of arrows follow these picks."""
        points, picks = self._points, self._live.picks
        self._use(vectors)
        self.orientation = Orientation.ARROWS
        length = float(np.linalg.norm(vectors.data[0, 1]))
        is_diameter = np.isclose(length, 2 * radius_of(points))
        self._length_angstrom = 0.0 if is_diameter else length * self._spacing_angstrom
        if points.shown.all():
            self._rows = np.flatnonzero(picks.are_oriented)
            self._axes = np.full(len(self._rows), 2)
            self._drawn = (
                picks,
                points.shown,
                points.size,
                self.orientation,
                length,
            )  # nothing to redraw
        else:
            self._follow()

    # following the points

    @property
    def _spacing_angstrom(self) -> float:
        return self._live.picks.spacing_angstrom or UNKNOWN_SPACING_ANGSTROM

    def _use(self, vectors: Vectors) -> None:
        self._vectors = vectors
        vars(vectors)[_POINTS] = self._points
        self._drawn = ()
        show_as_discs(vectors, radius=partial(radius_of, self._points))
        show_slab(vectors, slab_nm_of(self._points))

    def _on_looks(self, _event: Any = None) -> None:
        self._follow_soon.start()

    def _on_sliced(self, _event: Any = None) -> None:
        """Redraw after changes of ``shown`` and ``size``, for which napari lacks reliable events."""
        if self._drawn and not all(
            map(operator.is_, self._drawn[1:3], (self._points.shown, self._points.size))
        ):
            self._follow_soon.start()

    def _on_visible(self, _event: Any = None) -> None:
        """Hide and show arrows with their points, unless the user hid the arrows alone."""
        points, vectors = self._points, self.layer
        if vectors is None:
            return
        if points.visible:
            vectors.visible |= self._is_hidden_with_points
        self._is_hidden_with_points = not points.visible and vectors.visible
        vectors.visible &= points.visible

    def _on_placed(self, _event: Any = None) -> None:
        vectors = self.layer
        for name in PLACING if vectors is not None else ():
            setattr(vectors, name, getattr(self._points, name))

    def _on_removed(self, layer: Layer) -> None:
        if layer is self._points:
            self._remove_soon.start()  # not during the removal
        elif layer is self._vectors:
            self.orientation = Orientation.OFF
            self._vectors = None

    def _remove_orphan(self) -> None:
        """Remove the arrows if their points were removed."""
        vectors, layers = self.layer, self._layers
        if vectors is not None and layers is not None and self._points not in layers:
            remove_layer(layers, vectors)

    def _follow(self) -> None:
        with contextlib.suppress(ValueError):  # points with coordinates that aren't finite
            self._draw(self._live.picks)

    def _draw(self, picks: Picks) -> None:
        self._follow_soon.stop()
        points = self._points
        vectors = self.layer or self._new_layer(points, picks)
        if vectors is None:
            return
        length = self.length_angstrom / self._spacing_angstrom
        drawn = (picks, points.shown, points.size, self.orientation, length)
        is_same = self._drawn and all(map(operator.is_, self._drawn[:3], drawn[:3]))
        if is_same and self._drawn[3:] == drawn[3:]:
            self._paint(vectors, points)
            return
        arrows = orientation_vectors(picks, self.orientation, length, points.shown)
        self._rows, self._axes, self._drawn = arrows.rows, arrows.axes, drawn
        columns = picks.table() | {PICK_ID: picks.ids}
        with (
            vectors.events.blocker_all(),
            refresh_blocked(vectors),
        ):  # one refresh, and no events: it's no user edit
            vectors.data = arrows.data
            vectors.features = {name: column[arrows.rows] for name, column in columns.items()}
            vectors.edge_width = line_width(self.orientation, length)
            self._paint(vectors, points)
        vectors.refresh()
        if not vectors.visible:  # napari doesn't slice hidden layers, but draws their new colours
            vectors.set_view_slice()

    def _paint(self, vectors: Vectors, points: Points) -> None:
        """Colour arrows like their points, or by axis, and fade them while other points are selected."""
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
        """Add a layer of arrows below the points; None if there is nothing to draw or no viewer."""
        layers = self._layers
        is_wanted = self.orientation != Orientation.OFF and self.has_orientations
        if not is_wanted or layers is None or points not in layers:
            return None
        vectors = OwnVectors(
            np.empty((0, 2, 3)),
            ndim=3,
            name=arrows_name(points.name),
            visible=points.visible,
            axis_labels=points.axis_labels,
            metadata={METADATA_KEY: about_of(points), PICKS_KEY: picks},
            vector_style="arrow",
            projection_mode="fade",
            **{name: getattr(points, name) for name in PLACING},
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
