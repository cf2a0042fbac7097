"""The canvas and the files of a lesson: opens the views of its steps."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet

from napari import Viewer
from napari.layers import Image, Layer, Vectors
from qtpy.QtCore import QObject, Signal
from qtpy.QtGui import QImage

from napari_cryoet._qt.layers.ownership import key_of, remove_layers
from napari_cryoet._qt.lessons.marks import Marks
from napari_cryoet._qt.lessons.text import LessonText
from napari_cryoet._qt.picks.layer_picks import volume_for
from napari_cryoet._qt.picks.orientations import points_of
from napari_cryoet._qt.tasks import Tasks
from napari_cryoet._qt.views.capture import is_edited
from napari_cryoet._qt.views.restore import BROWSER
from napari_cryoet._qt.widgets.dock import open_dock
from napari_cryoet._qt.widgets.messages import NoticeBar
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.lessons.folder import LessonFolder, fetch_files
from napari_cryoet.lessons.lesson import LessonSource
from napari_cryoet.picks import Picks
from napari_cryoet.views.view import View

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
        self._browser: Any = None
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
        browser = open_dock(self.viewer, BROWSER, in_front=False)
        if browser is not self._browser:
            self._browser = browser
            browser.restorer.opened.connect(self._on_opened)
            browser.restorer.failed.connect(self._on_failed)
        if self.view is not None and _has_tilts(view) != _has_tilts(self.view):
            self._remove(self._of_lesson)  # napari would warn of degrees beside ångström
        self._opening = view
        browser.open_view(view, folder=files.folder, agreed=self._agreed)

    def _on_opened(self, view: View, _remarks: str) -> None:
        opening = self._opening
        self._opening = None
        if view is opening:
            self.view = view
            layers = self._browser.restorer.layers
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

    # texts

    def serve(self, text: LessonText) -> None:
        """Let the links of a text act on the canvas, and give it its pictures."""
        text.anchorClicked.connect(self.marks.act)
        text.picture_wanted.connect(
            lambda name: self.fetch_picture(name, partial(text.add_picture, name))
        )


def _has_tilts(view: View) -> bool:
    return any(layer.kind == "tilt series" for layer in view.layers)
