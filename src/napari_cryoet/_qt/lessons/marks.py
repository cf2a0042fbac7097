"""What a lesson adds to the canvas: regions, right and wrong picks, and a crosshair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer, Points, Vectors
from numpy.typing import NDArray

from napari_cryoet._qt.layers.ownership import remove_layers
from napari_cryoet._qt.layers.placement import spacing_angstrom_of
from napari_cryoet._qt.ortho.cursor import CrosshairOverlay, remove_crosshair, show_crosshair
from napari_cryoet._qt.picks.layer_picks import is_volume
from napari_cryoet._qt.review.reviewed_layer import fly_to
from napari_cryoet._qt.viewer.adding import add_layers
from napari_cryoet.appearance.colors import rgba_of
from napari_cryoet.layers.specs import UNKNOWN_SPACING_ANGSTROM, points_spec, world
from napari_cryoet.lessons.lesson import Feedback, RegionZyx
from napari_cryoet.lessons.session import MARKS, OTHER_MARK
from napari_cryoet.picks import Picks
from napari_cryoet.provenance import Provenance
from napari_cryoet.views.view import Zyx

#: The names of layers.
REGION: Final = "Region of the task"
RIGHT_PICKS: Final = "Right picks"
WRONG_PICKS: Final = "Wrong and missed"
#: Our mark of layers that aren't shown after their step.
LESSON_KIND: Final = "lesson"
_HIGHLIGHT: Final = "napari_cryoet_lesson"
_OWN_COLOR: Final = "#ffb300"
_RIGHT_COLOR: Final = "#00d494"
_REGION_COLOR: Final = "#ffd54f"
LETTERS: Final = {"string": "{mark}", "color": "white", "size": 14, "anchor": "center"}
_FILL_OPACITY: Final = 0.15
_USUAL_ANGSTROM: Final = 150.0


class Marks:
    """Adds layers and a crosshair for one step, and removes them again."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._region: list[Layer] = []
        self._feedback: list[Layer] = []
        self._crosshair: CrosshairOverlay | None = None

    def show_region(self, region: RegionZyx) -> None:
        """Outline a box in all planes and in 3D."""
        if self._region:
            return
        bounds = np.array(region)
        diagonal = np.array([[bounds[:, 0], bounds[:, 1] - bounds[:, 0]]])
        spacing = self.spacing_angstrom
        layer = Vectors(  # for its extent: the vector itself isn't seen
            diagonal / spacing,
            name=REGION,
            edge_color="transparent",
            scale=(spacing,) * 3,
            units=("angstrom",) * 3,
        )
        box = layer.bounding_box
        box.line_color = _REGION_COLOR
        box.line_thickness = 2
        box.points = False
        box.visible = True
        with self._active_kept():
            self._viewer.add_layer(layer)
        self._region = [layer]

    def show_feedback(self, feedback: Feedback, diameter_angstrom: float) -> None:
        """Show the right picks, and the wrong and missed ones with a letter for each cause."""
        self.hide_feedback()
        right = feedback.reference_zyx_angstrom
        if right:
            layer = self._points(RIGHT_PICKS, right, diameter_angstrom, _RIGHT_COLOR)
            self._feedback.append(layer)
        if feedback.remarks:
            positions = [remark.position_zyx_angstrom for remark in feedback.remarks]
            marks = [MARKS.get(remark.cause, OTHER_MARK) for remark in feedback.remarks]
            wrong: Any = self._points(
                WRONG_PICKS, positions, diameter_angstrom * 1.3, OTHER_MARK[1]
            )
            wrong.border_color = [rgba_of(color) for _, color in marks]
            wrong.face_color = [(*rgba_of(color)[:3], _FILL_OPACITY) for _, color in marks]
            wrong.features = {"mark": [letter for letter, _ in marks]}
            wrong.text = LETTERS
            self._feedback.append(wrong)

    def hide_feedback(self) -> None:
        remove_layers(self._viewer.layers, self._feedback)
        self._feedback = []

    def highlight(self, position_zyx_angstrom: Zyx) -> None:
        """Go to a position and mark it with a crosshair, until the step ends."""
        fly_to(self._viewer, np.array(position_zyx_angstrom))
        if self._crosshair is None:
            self._crosshair = show_crosshair(self._viewer, _HIGHLIGHT)
        self._crosshair.gap = _USUAL_ANGSTROM
        self._crosshair.position = position_zyx_angstrom

    def clear(self) -> None:
        """Remove everything."""
        remove_layers(self._viewer.layers, self._feedback + self._region)
        self._feedback = []
        self._region = []
        if self._crosshair is not None:
            remove_crosshair(self._viewer, _HIGHLIGHT)
            self._crosshair = None

    @property
    def spacing_angstrom(self) -> float:
        """The voxel spacing of the shown tomogram, so that planes stay as they are."""
        shown = [each for each in self._viewer.layers if is_volume(each) and each.visible]
        spacings = [spacing_angstrom_of(each) for each in shown]
        return next(filter(None, reversed(spacings)), UNKNOWN_SPACING_ANGSTROM)

    def _points(
        self, name: str, positions: Sequence[Zyx], diameter_angstrom: float, color: str
    ) -> Points:
        about = Provenance(kind=LESSON_KIND)
        with self._active_kept():
            return add_points(
                self._viewer,
                name,
                np.array(positions),
                about,
                spacing_angstrom=self.spacing_angstrom,
                diameter_angstrom=diameter_angstrom,
                color=color,
            )

    @contextmanager
    def _active_kept(self) -> Iterator[None]:
        """Keep the active layer while others are added: it may take the clicks of a task."""
        active = self._viewer.layers.selection.active
        yield
        if active is not None:
            self._viewer.layers.selection.active = active


def add_points(
    viewer: ViewerModel,
    name: str,
    positions_zyx_angstrom: NDArray[np.float64],
    about: Provenance,
    *,
    spacing_angstrom: float,
    diameter_angstrom: float,
    color: str = _OWN_COLOR,
    features: Mapping[str, NDArray[Any]] = MappingProxyType({}),
) -> Points:
    """Add a layer of picks, whose edits can be undone if ``about`` says that they are new."""
    picks = Picks(
        positions_zyx_angstrom / spacing_angstrom, spacing_angstrom, features=features, about=about
    )
    spec = points_spec(
        picks,
        world(about, spacing_angstrom),
        name=name,
        color=rgba_of(color),
        diameter_angstrom=diameter_angstrom,
        spacing_angstrom=spacing_angstrom,
    )
    (layer,) = add_layers(viewer, [spec])
    assert isinstance(layer, Points)  # noqa: S101 - its spec says so
    return layer
