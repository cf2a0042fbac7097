"""What a lesson does on the canvas: views, regions, lines, right and wrong picks, links that act."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from weakref import WeakSet

import numpy as np
from napari import Viewer
from napari.components import ViewerModel
from napari.layers import Image, Layer, Points, Vectors
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QUrl, Signal
from qtpy.QtGui import QImage

from napari_cryoet._qt.layers.ownership import about_of, add_layer, key_of, remove_layers
from napari_cryoet._qt.layers.placement import spacing_angstrom_of
from napari_cryoet._qt.lessons.text import LessonText
from napari_cryoet._qt.picks.layer_picks import is_volume, volume_for
from napari_cryoet._qt.picks.orientations import points_of
from napari_cryoet._qt.review.reviewed_layer import fly_to
from napari_cryoet._qt.tasks import Tasks
from napari_cryoet._qt.viewer.adding import add_layers
from napari_cryoet._qt.viewer.crosshair import CrosshairOverlay, remove_crosshair, show_crosshair
from napari_cryoet._qt.views.capture import is_edited
from napari_cryoet._qt.views.restore import Restorer, restorer_of
from napari_cryoet._qt.widgets.controls import open_in_browser
from napari_cryoet._qt.widgets.dock import BROWSER, open_dock
from napari_cryoet._qt.widgets.messages import NoticeBar
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.appearance.colors import rgba_of
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.layers.specs import UNKNOWN_SPACING_ANGSTROM, points_spec, world
from napari_cryoet.lessons.folder import LessonFolder, fetch_files
from napari_cryoet.lessons.lesson import Feedback, LessonSource, RegionZyx
from napari_cryoet.lessons.markdown import Action, parse_action
from napari_cryoet.lessons.session import MARKS, OTHER_MARK
from napari_cryoet.picks import Picks
from napari_cryoet.provenance import Provenance
from napari_cryoet.views.view import View, Zyx
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
_OWN_LAYERS: Final = "Your own layers are hidden during a lesson. They come back at its end."
_FILES: Final = "files of a step"


class Stage(QObject):
    """What the steps of a lesson share: the canvas, its marks, and the lesson's files.

    Parameters
    ----------
    agreed
        Hosts that the lesson's views may load from without a question.

    Attributes
    ----------
    view
        The view of a step that is on the canvas; None before the first one.
    """

    shown = Signal()  # the canvas shows the view, or one that the user opened meanwhile
    failed = Signal(object)  # CryoETError: the view can't be shown

    def __init__(
        self,
        viewer: Viewer,
        source: LessonSource,
        theme: Theme,
        tasks: Tasks,
        notice: NoticeBar,
        *,
        agreed: Iterable[str],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.theme = theme
        self.tasks = tasks
        self.notice = notice
        self.marks = Marks(viewer, notice)
        self.view: View | None = None
        self._source = source
        self._agreed = tuple(agreed)
        self._folder = tempfile.TemporaryDirectory(prefix="napari-cryoet-lesson-")
        self.destroyed.connect(self._folder.cleanup)
        self._restorer: Restorer | None = None
        self._opening: View | None = None
        self._of_lesson: WeakSet[Layer] = WeakSet()  # of all views that were opened
        self._hidden: list[Layer] = []  # the user's own
        self._before = WeakSet(viewer.layers)

    @property
    def volume(self) -> Image | None:
        """The tomogram that the step shows."""
        volume = volume_for(list(self.viewer.layers), None)
        return volume if volume is not None and volume.visible else None

    # views

    def show(self, view: View, names: Iterable[str]) -> None:
        """Show a view and nothing else, after getting the files of a step."""
        folder = Path(self._folder.name)
        work = partial(fetch_files, self._source, names, folder)
        then = partial(self._open, view)
        self.tasks.run(_FILES, work, then=then, failed=self.failed.emit)

    def stop(self) -> None:
        """Stop waiting for a view."""
        self.tasks.stop(_FILES)
        self._opening = None

    def close(self) -> None:
        """Show the user's own layers again; those of the portal's data stay."""
        self.stop()
        self.view = None
        for layer in self._of_lesson:
            if key_of(layer) is None:
                layer.visible = False
        for layer in self._hidden:
            if layer in self.viewer.layers:
                layer.visible = True
        self._hidden = []

    def end(self) -> None:
        """Remove the layers that the views brought in too, unless they were edited."""
        self.close()
        self._remove(self._of_lesson - self._before)

    def _open(self, view: View, files: LessonFolder) -> None:
        restorer = restorer_of(open_dock(self.viewer, BROWSER, in_front=False))
        if restorer is not self._restorer:
            self._restorer = restorer
            restorer.opened.connect(self._on_opened)
            restorer.failed.connect(self._on_failed)
        if self.view is not None and _has_tilts(view) != _has_tilts(self.view):
            self._remove(self._of_lesson)  # napari would warn of degrees beside ångström
        self._opening = view
        restorer.open(view, folder=files.folder, agreed=self._agreed)

    def _on_opened(self, view: View, _remarks: str) -> None:
        opening = self._opening
        self._opening = None
        if view is opening and self._restorer is not None:
            self.view = view
            layers = self._restorer.layers
            self._of_lesson.update(layers.values())
            self.marks.named = {view.layers[number].name: layers[number] for number in layers}
            self._hide_others(layers.values())
        if opening is not None:  # it was shown, or replaced, such as by the teacher's view
            self.shown.emit()

    def _on_failed(self, error: CryoETError) -> None:
        if self._opening is not None:
            self._opening = None
            self.failed.emit(error)

    def _hide_others(self, shown: Collection[Layer]) -> None:
        """Hide all layers that aren't of the view; those of the portal's data aren't the user's own."""
        n_before = len(self._hidden)
        for layer in self.viewer.layers:
            owner = points_of(layer) if isinstance(layer, Vectors) else None
            if layer.visible and layer not in shown and owner not in shown:
                layer.visible = False
                if layer not in self._of_lesson and key_of(layer) is None:
                    self._hidden.append(layer)
        if len(self._hidden) > n_before:
            self.notice.show_notice(_OWN_LAYERS, is_news=True)

    def _remove(self, layers: Iterable[Layer]) -> None:
        unedited = [layer for layer in layers if not is_edited(layer)]
        remove_layers(self.viewer.layers, unedited)

    # files

    def fetch_picture(self, name: str, then: Callable[[QImage], None]) -> None:
        """Read a picture of the lesson in the background; it is null if the file is no picture."""
        self.tasks.run(
            (name, then),  # two texts may want the same one
            lambda _job: QImage.fromData(self._source.read_file(name)),
            then=then,
        )

    def fetch_picks(self, name: str, then: Callable[[Picks], None]) -> None:
        """Read picks of the lesson in the background."""
        folder = Path(self._folder.name)
        self.tasks.run(
            ("picks", name),
            lambda job: fetch_files(self._source, [name], folder, job).read_picks(name),
            then=then,
        )

    def text(self) -> LessonText:
        """A text with the lesson's pictures, whose links act on the canvas."""
        return LessonText(self.theme, self.tasks, self._source.read_file, self.marks.act)


def _has_tilts(view: View) -> bool:
    return any(layer.kind == "tilt series" for layer in view.layers)


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

    def _show_line(self, name: str, ends: NDArray[np.float64], *, color: str) -> Vectors:
        spacing = _shown_spacing(self._viewer)
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
    diameter_angstrom: float,
    color: str = _OWN_COLOR,
    features: Mapping[str, NDArray[Any]] = MappingProxyType({}),
) -> Points:
    """Add a layer of picks, whose edits can be undone if ``about`` says that they are new.

    The active layer stays active: it may take the clicks of a task.
    """
    spacing = _shown_spacing(viewer)
    picks = Picks(positions_zyx_angstrom / spacing, spacing, features=features, about=about)
    spec = points_spec(
        picks,
        world(about, spacing),
        name=name,
        color=rgba_of(color),
        diameter_angstrom=diameter_angstrom,
        spacing_angstrom=spacing,
    )
    active = viewer.layers.selection.active
    (layer,) = add_layers(viewer, [spec])
    viewer.layers.selection.active = active or layer
    assert isinstance(layer, Points)  # noqa: S101 - its spec says so
    return layer


def about_picks_on(volume: Layer, **more: Any) -> Provenance:
    """The provenance of picks that are made on a tomogram."""
    about = about_of(volume)
    return Provenance(
        run_id=about.run_id,
        run_name=about.run_name,
        tomogram_id=about.tomogram_id,
        alignment_id=about.alignment_id,
        **more,
    )


def _shown_spacing(viewer: ViewerModel) -> float:
    """The voxel spacing of the shown tomogram, so that planes stay as they are."""
    shown = [each for each in viewer.layers if is_volume(each) and each.visible]
    spacings = [spacing_angstrom_of(each) for each in shown]
    return next(filter(None, reversed(spacings)), UNKNOWN_SPACING_ANGSTROM)
