"""What a lesson does on the canvas: regions, lines, right and wrong picks, and links that act."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer, Points, Vectors
from numpy.typing import NDArray
from qtpy.QtCore import QUrl

from napari_cryoet._qt.layers.ownership import add_layer, remove_layers
from napari_cryoet._qt.layers.placement import spacing_angstrom_of
from napari_cryoet._qt.ortho.cursor import CrosshairOverlay, remove_crosshair, show_crosshair
from napari_cryoet._qt.picks.layer_picks import is_volume
from napari_cryoet._qt.review.reviewed_layer import fly_to
from napari_cryoet._qt.viewer.adding import add_layers
from napari_cryoet._qt.widgets.controls import open_in_browser
from napari_cryoet._qt.widgets.messages import NoticeBar
from napari_cryoet.appearance.colors import rgba_of
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.layers.specs import UNKNOWN_SPACING_ANGSTROM, points_spec, world
from napari_cryoet.lessons.lesson import Feedback, RegionZyx
from napari_cryoet.lessons.markdown import Action, parse_action
from napari_cryoet.lessons.session import MARKS, OTHER_MARK
from napari_cryoet.picks import Picks
from napari_cryoet.provenance import Provenance
from napari_cryoet.views.view import Zyx
from napari_cryoet.wording import plain

#: The names of layers.
REGION: Final = "Region of the task"
LINE: Final = "Measured line"
RIGHT_PICKS: Final = "Right picks"
WRONG_PICKS: Final = "Wrong and missed"
_HIGHLIGHT: Final = "napari_cryoet_lesson"
_OWN_COLOR: Final = "#ffb300"
_RIGHT_COLOR: Final = "#00d494"
_REGION_COLOR: Final = "#ffd54f"
_LINE_COLOR: Final = "yellow"
_LINE_ANGSTROM: Final = 15.0  # wide
LETTERS: Final = {"string": "{mark}", "color": "white", "size": 14, "anchor": "center"}
_FILL_OPACITY: Final = 0.15
_USUAL_ANGSTROM: Final = 150.0


class Marks:
    """Adds layers and a crosshair for one step, and removes them again; does what links say.

    Parameters
    ----------
    notice
        Where a link's error is shown.
    """

    def __init__(self, viewer: ViewerModel, notice: NoticeBar) -> None:
        self._viewer = viewer
        self._notice = notice
        #: The layers of the step's view, by their names in it: napari may have changed these.
        self.named: Mapping[str, Layer] = {}
        self._layers: dict[str, Layer] = {}  # by the names that they were added with
        self._crosshair: CrosshairOverlay | None = None

    def show_region(self, region: RegionZyx) -> None:
        """Outline a box in all planes and in 3D."""
        diagonal = self._show_line(REGION, np.transpose(region), color="transparent")
        box = diagonal.bounding_box
        box.line_color = _REGION_COLOR
        box.line_thickness = 2
        box.points = False
        box.visible = True

    def show_line(self, ends_zyx_angstrom: NDArray[np.float64]) -> None:
        """Draw a line between two ends, in place of an earlier one; no line between fewer."""
        if len(ends_zyx_angstrom) == 2:
            self._show_line(LINE, ends_zyx_angstrom, color=_LINE_COLOR)
        else:
            self._hide(LINE)

    def show_feedback(self, feedback: Feedback, diameter_angstrom: float) -> None:
        """Show the right picks, and the wrong and missed ones with a letter for each cause."""
        self.hide_feedback()
        right = feedback.reference_zyx_angstrom
        if right:
            self._show_points(RIGHT_PICKS, right, diameter_angstrom, _RIGHT_COLOR)
        if feedback.remarks:
            positions = [remark.position_zyx_angstrom for remark in feedback.remarks]
            marks = [MARKS.get(remark.cause, OTHER_MARK) for remark in feedback.remarks]
            color = OTHER_MARK[1]
            wrong: Any = self._show_points(WRONG_PICKS, positions, diameter_angstrom * 1.3, color)
            wrong.border_color = [rgba_of(color) for _, color in marks]
            wrong.face_color = [(*rgba_of(color)[:3], _FILL_OPACITY) for _, color in marks]
            wrong.features = {"mark": [letter for letter, _ in marks]}
            wrong.text = LETTERS

    def hide_feedback(self) -> None:
        self._hide(RIGHT_PICKS, WRONG_PICKS)

    def highlight(self, position_zyx_angstrom: Zyx) -> None:
        """Go to a position and mark it with a crosshair, until the step ends."""
        fly_to(self._viewer, np.array(position_zyx_angstrom))
        if self._crosshair is None:
            self._crosshair = show_crosshair(self._viewer, _HIGHLIGHT)
        self._crosshair.gap = _USUAL_ANGSTROM
        self._crosshair.position = position_zyx_angstrom

    def act(self, url: QUrl) -> None:
        """Do what a link in a lesson's text says, or show why that can't be done."""
        href = url.toString()
        with self._notice.reporting():
            action = parse_action(href)
            if action is None:
                open_in_browser(href)
            elif action.position_zyx_angstrom is not None:
                self.highlight(action.position_zyx_angstrom)
            else:
                self._act_on_layer(action)

    def _act_on_layer(self, action: Action) -> None:
        others = (layer for layer in self._viewer.layers if layer.name == action.layer)
        layer = self.named.get(action.layer) or next(others, None)
        if layer is None:
            raise CryoETError(f"There is no layer “{plain(action.layer)}” here.")
        layer.visible = action.kind != "hide"
        if action.kind == "highlight":
            self._viewer.layers.selection.active = layer

    def clear(self) -> None:
        """Remove everything."""
        self._hide(*self._layers)
        if self._crosshair is not None:
            remove_crosshair(self._viewer, _HIGHLIGHT)
            self._crosshair = None

    @property
    def spacing_angstrom(self) -> float:
        """The voxel spacing of the shown tomogram, so that planes stay as they are."""
        shown = [each for each in self._viewer.layers if is_volume(each) and each.visible]
        spacings = [spacing_angstrom_of(each) for each in shown]
        return next(filter(None, reversed(spacings)), UNKNOWN_SPACING_ANGSTROM)

    def _show_line(self, name: str, ends: NDArray[np.float64], *, color: str) -> Vectors:
        spacing = self.spacing_angstrom
        layer = Vectors(
            np.array([[ends[0], ends[1] - ends[0]]]) / spacing,
            name=name,
            scale=(spacing,) * 3,
            units=("angstrom",) * 3,
            edge_color=color,
            edge_width=_LINE_ANGSTROM / spacing,
            vector_style="line",
        )
        self._hide(name)
        active = self._viewer.layers.selection.active  # it takes the clicks of a task
        add_layer(self._viewer, layer)
        self._viewer.layers.selection.active = active
        self._layers[name] = layer
        return layer

    def _show_points(
        self, name: str, positions: Sequence[Zyx], diameter_angstrom: float, color: str
    ) -> Points:
        layer = add_points(
            self._viewer,
            name,
            np.array(positions),
            Provenance(kind="lesson"),
            spacing_angstrom=self.spacing_angstrom,
            diameter_angstrom=diameter_angstrom,
            color=color,
        )
        self._layers[name] = layer
        return layer

    def _hide(self, *names: str) -> None:
        shown = [self._layers.pop(name) for name in names if name in self._layers]
        remove_layers(self._viewer.layers, shown)


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
    """Add a layer of picks, whose edits can be undone if ``about`` says that they are new.

    The active layer stays active: it may take the clicks of a task.
    """
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
    active = viewer.layers.selection.active
    (layer,) = add_layers(viewer, [spec])
    viewer.layers.selection.active = active or layer
    assert isinstance(layer, Points)  # noqa: S101 - its spec says so
    return layer
