"""A class in the window: students follow the teacher's view; the teacher shares it and gets their picks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
from msgspec.structs import replace
from napari import Viewer
from napari.layers import Points
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QWidget
from superqt.utils import ensure_main_thread

from napari_cryoet._qt.layers.ownership import about_of, remove_layer
from napari_cryoet._qt.layers.placement import spacing_angstrom_of
from napari_cryoet._qt.lessons.marks import LETTERS, add_points
from napari_cryoet._qt.picks.layer_picks import volume_for
from napari_cryoet._qt.tasks import Tasks
from napari_cryoet._qt.views.capture import view_of
from napari_cryoet._qt.views.restore import BROWSER
from napari_cryoet._qt.widgets.controls import ElidedLabel, push_button
from napari_cryoet._qt.widgets.dock import open_dock
from napari_cryoet._version import __version__
from napari_cryoet.appearance.diameters import diameter_angstrom
from napari_cryoet.classroom.client import ClassClient, TeacherClient
from napari_cryoet.classroom.messages import ClassPicks
from napari_cryoet.comparison.consensus import VOTES
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.lessons.lesson import PickTask, Step
from napari_cryoet.provenance import Provenance
from napari_cryoet.views.view import View
from napari_cryoet.wording import count_text, plain

#: The name of a layer.
CLASS_PICKS: Final = "Picks of the class"
_SHARE: Final = "share the view"
_GET_PICKS: Final = "picks of the class"
_LOOK_MS: Final = 250  # between two looks at whether the teacher's view changed
_COLOR: Final = "#4fc3f7"


class FollowBar(QWidget):
    """Names the class, and shows the views that the teacher shares while its switch is on.

    The switch is hidden while there is no shared view.

    Attributes
    ----------
    shared
        The teacher's view; None while there is none.
    """

    followed = Signal(bool)  # whether the canvas shows the teacher's view from now on
    delivered = Signal(object, object)  # Delivery and Feedback of an answer that was kept

    def __init__(self, viewer: Viewer, student: ClassClient) -> None:
        super().__init__()
        self._viewer = viewer
        self.student = student
        self.shared: View | None = None
        self._is_followed = False
        name = f"{plain(student.name)}, as {plain(student.nickname)}"
        self.name = ElidedLabel(name, name="dimText")
        self.switch = QCheckBox("Follow the teacher’s view")
        self.switch.setChecked(True)
        self.switch.hide()
        row = QHBoxLayout(self)
        row.addWidget(self.name, 1)
        row.addWidget(self.switch)
        self.switch.toggled.connect(self._show)
        self._following = student.follow(
            partial(self._later, self._on_view), partial(self._later, self.delivered.emit)
        )
        self.destroyed.connect(self._following.cancel)  # also if the whole window closes

    def end(self) -> None:
        """Stop following."""
        self._following.cancel()

    @ensure_main_thread
    def _later(self, act: Callable[..., None], *news: Any) -> None:
        """Act on news from another thread, unless following has ended."""
        if not self._following.cancelled():
            act(*news)

    def _on_view(self, view: View | None) -> None:
        self.shared = view
        self.switch.setVisible(view is not None)
        self._show()

    def _show(self, *_: Any) -> None:
        was_followed = self._is_followed
        self._is_followed = self.shared is not None and self.switch.isChecked()
        if self._is_followed or was_followed:
            self.followed.emit(self._is_followed)
        if self.shared is not None and self._is_followed:
            browser = open_dock(self._viewer, BROWSER, in_front=False)
            browser.open_view(self.shared, agreed=[self.student.host], is_followed=True)


class ShareBar(QWidget):
    """Shows the window's view to a class while its switch is on, and adds what the class picked.

    Parameters
    ----------
    place_of
        Called for the key of the lesson and the step that the teacher plays, if any.
    """

    failed = Signal(object)  # CryoETError

    def __init__(
        self,
        viewer: Viewer,
        tasks: Tasks,
        teacher: TeacherClient,
        place_of: Callable[[], tuple[str, Step] | None],
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._tasks = tasks
        self._teacher = teacher
        self._place_of = place_of
        self._shown: View | None = None
        self._layer: Points | None = None
        self.switch = QCheckBox("Show my view to the class")
        tooltip = (
            "Add what the class agrees on in this task as a layer, with the number of students"
        )
        self.picks = push_button(CLASS_PICKS, self._get_picks, tooltip)
        self.picks.hide()
        row = QHBoxLayout(self)
        row.addWidget(self.switch, 1)
        row.addWidget(self.picks)
        self.switch.toggled.connect(self._look)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)
        self._timer.start(_LOOK_MS)

    def end(self) -> None:
        """Stop looking for changes, and stop sharing."""
        self._timer.stop()
        if self._shown is not None:
            stop = partial(self._teacher.share, None)
            self._tasks.run(_SHARE, stop, then=self._on_shared, failed=lambda _error: None)

    def _look(self, *_: Any) -> None:
        """Share the view if it changed, one at a time."""
        place = self._place_of()
        self.picks.setVisible(place is not None and isinstance(place[1].task, PickTask))
        if self._tasks.is_running(_SHARE):
            return
        view: View | None = None
        if self.switch.isChecked():
            try:
                view = _visible(view_of(self._viewer))
            except CryoETError:
                return  # there is no tomogram yet
        if view != self._shown:
            self._tasks.run(
                _SHARE,
                partial(self._teacher.share, view),
                then=lambda _: self._on_shared(view),
                failed=self._on_failed,
            )

    def _on_shared(self, view: View | None) -> None:
        self._shown = view

    def _on_failed(self, error: CryoETError) -> None:
        self._shown = None
        self.switch.setChecked(False)
        self.failed.emit(error)

    # the picks of the class

    def _get_picks(self) -> None:
        place = self._place_of()
        if place is not None:
            lesson_key, step = place
            self._tasks.run(
                _GET_PICKS,
                lambda job: self._teacher.picks(lesson_key, step.key, job),
                then=self._add_picks,
                failed=self.failed.emit,
            )

    def _add_picks(self, found: ClassPicks) -> None:
        """Add the picks as a layer, in place of an earlier one of this bar."""
        volume = volume_for(list(self._viewer.layers), None)
        spacing = None if volume is None else spacing_angstrom_of(volume)
        if not found.votes or volume is None or spacing is None:
            people = count_text(len(found.people), "student")
            hint = "A layer needs a tomogram, and the picks of two students."
            self.failed.emit(CryoETError(f"{people} picked here so far.", hint=hint))
            return
        if self._layer is not None:
            remove_layer(self._viewer, self._layer)
        of_volume = about_of(volume)
        about = Provenance(
            kind="annotation",
            shown_name=CLASS_PICKS,
            object_name=found.object_name,
            run_id=of_volume.run_id,
            run_name=of_volume.run_name,
            tomogram_id=of_volume.tomogram_id,
            alignment_id=of_volume.alignment_id,
            software=f"napari-cryoet {__version__}",
            more={"made_by": f"consensus of {len(found.people)} students"},
        )
        self._layer = add_points(
            self._viewer,
            CLASS_PICKS,
            np.array(found.agreed_zyx_angstrom),
            about,
            spacing_angstrom=spacing,
            diameter_angstrom=diameter_angstrom(None, found.object_name),
            color=_COLOR,
            features={VOTES: np.array(found.votes)},
        )
        self._layer.text = LETTERS | {"string": f"{{{VOTES}}}"}


def _visible(view: View) -> View:
    """A view without its hidden layers, which students may not have."""
    shown = tuple(layer for layer in view.layers if layer.looks.visible)
    return replace(view, layers=shown)
