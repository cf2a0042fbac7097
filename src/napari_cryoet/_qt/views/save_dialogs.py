"""The dialogs that save a picture and a movie of what a viewer shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from magicgui import magicgui
from napari.viewer import Viewer
from qtpy.QtCore import QStandardPaths

from napari_cryoet._qt.layers.ownership import about_of, real
from napari_cryoet._qt.layers.placement import ANGSTROM_PER_NM
from napari_cryoet._qt.views.camera import camera_of
from napari_cryoet._qt.views.picture import (
    MOVIE_PX,
    SIZE_PX,
    Frames,
    write_movie,
    write_picture,
)
from napari_cryoet._qt.widgets.controls import column_in, main_window, may_replace, name_file_field
from napari_cryoet._qt.widgets.dock import Dock
from napari_cryoet._qt.widgets.start_bar import StartBar, TaskDialog
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.files import clean_name
from napari_cryoet.views.movie import LONGEST_S, between, frame_count, sweep, turn
from napari_cryoet.views.store import kept_views
from napari_cryoet.views.view import Camera, read_view
from napari_cryoet.wording import plain

KEY: Final = "save picture or movie"
SWEEP: Final = "sweep"
TURN: Final = "turn"
TO_VIEW: Final = "to view"
_MOTIONS: Final = [
    ("Sweep through the planes", SWEEP),
    ("Turn in 3D", TURN),
    ("Move to a view", TO_VIEW),
]
_SIZE: Final = {"min": 16, "max": 8192}
_NM: Final = {"min": -1e6, "max": 1e6, "step": 1.0}
_MARKS: Final = ("scale_bar", "legend", "citation")
#: The fields that only movies have, and the motion that needs them; "" for all.
_OF_MOVIES: Final = {
    "motion": "",
    "first_nm": SWEEP,
    "last_nm": SWEEP,
    "kept": TO_VIEW,
    "view": TO_VIEW,
    "degrees": TURN,
    "seconds": "",
}
#: How the form shows its fields.
_FIELDS: Final[Any] = {
    "file": {"widget_type": "FileEdit", "mode": "w", "label": "File"},
    "motion": {"choices": _MOTIONS, "label": "Motion"},
    "first_nm": {**_NM, "label": "From (nm)"},
    "last_nm": {**_NM, "label": "To (nm)"},
    "view": {"widget_type": "FileEdit", "mode": "r", "label": "File of the view"},
    "degrees": {"min": -3600, "max": 3600, "step": 15, "label": "Degrees"},
    "seconds": {"min": 0.1, "max": LONGEST_S, "step": 1, "label": "Seconds"},
    "width": {**_SIZE, "label": "Width (pixels)"},
    "height": {**_SIZE, "label": "Height (pixels)"},
    "scale_bar": {"text": "scale bar"},
    "legend": {"text": "legend of the shown objects"},
    "citation": {"text": "citation of the data"},
    "is_coarse": {"text": "coarse data will do"},
}


def _options(
    file: str,
    *,
    motion: str,
    first_nm: float,
    last_nm: float,
    kept: str,
    view: str,
    width: int,
    height: int,
    degrees: float = 360.0,
    seconds: float = 4.0,
    scale_bar: bool = True,
    legend: bool = True,
    citation: bool = True,
    is_coarse: bool = False,
) -> None:
    """Fields of the form."""


def save_picture(dock: Dock) -> None:
    """Open the dialog that saves a picture, from the gear menu."""
    save_picture_dialog(dock.viewer)


def save_movie(dock: Dock) -> None:
    """Open the dialog that saves a movie, from the gear menu."""
    save_movie_dialog(dock.viewer)


def save_picture_dialog(viewer: Viewer) -> None:
    """Open the dialog that saves a picture, from napari's menu."""
    SaveDialog(viewer, is_movie=False).show()


def save_movie_dialog(viewer: Viewer) -> None:
    """Open the dialog that saves a movie, from napari's menu."""
    SaveDialog(viewer, is_movie=True).show()


class SaveDialog(TaskDialog):
    """Asks for a file and options, then draws; closing it stops drawing."""

    def __init__(self, viewer: Viewer, *, is_movie: bool) -> None:
        title = "Save movie" if is_movie else "Save picture"
        super().__init__(title, 420, main_window(viewer))
        self._viewer = real(viewer)
        self._is_movie = is_movie
        self._frames: Frames | None = None
        views = [*kept_choices(self._viewer), ("A file…", "")]
        to_view = {"widget_type": "ComboBox", "choices": views, "label": "To the view"}
        self.form: Any = magicgui(_options, call_button=False, kept=to_view, **_FIELDS)
        self._fill_form()
        self.bar = StartBar(self.tasks, KEY, "Save", "Save the file once all data are exact")
        self.bar.button.setDefault(True)
        self.bar.start_requested.connect(self._on_start)
        self.tasks.finished.connect(self._on_finished)
        column_in(self, self.form.native, self.bar).insertStretch(1, 1)

    @property
    def path(self) -> Path:
        return Path(str(self.form.file.value)).expanduser()

    def _fill_form(self) -> None:
        form = self.form
        form.file.value = free_path(self._viewer, ".mp4" if self._is_movie else ".png")
        form.file.filter = "*.mp4 *.gif" if self._is_movie else "*.png *.svg"
        form.view.filter = "*.view.json"
        form["width"].value, form["height"].value = MOVIE_PX if self._is_movie else SIZE_PX
        form.motion.value = TURN if self._viewer.dims.ndisplay == 3 else SWEEP
        form.first_nm.value, form.last_nm.value = planes_nm(self._viewer)
        name_file_field(form.file, "file to save")
        name_file_field(form.view, "view to move to")
        for name in (*_MARKS, "is_coarse"):
            form[name].native.setAccessibleName(_FIELDS[name]["text"])
        form.motion.changed.connect(self._show_fields)
        form.kept.changed.connect(self._show_fields)
        self._show_fields()

    def _show_fields(self, _chosen: object = None) -> None:
        """Show the fields that the motion needs."""
        for name, motion in _OF_MOVIES.items():
            is_needed = motion in {"", self.form.motion.value}
            self.form[name].visible = self._is_movie and is_needed
        if self.form.kept.value:
            self.form.view.visible = False

    def _cameras(self) -> list[Camera]:
        """The camera of each frame; CryoETError if the form's motion is impossible."""
        form = self.form
        now = camera_of(self._viewer)
        n = frame_count(form.seconds.value)
        if not self._is_movie:
            return [now]
        if form.motion.value == TURN:
            return turn(now, form.degrees.value, n)
        if form.motion.value == TO_VIEW:
            return between(now, read_view(form.kept.value or form.view.value).camera, n)
        ends = (form.first_nm.value, form.last_nm.value)
        first, last = (end * ANGSTROM_PER_NM for end in ends)
        return sweep(now, first, last, n)

    def _on_start(self) -> None:
        path = self.path
        form = self.form
        if path.exists() and not may_replace(path, self):
            return
        write = write_movie if self._is_movie else write_picture
        size_px = form["width"].value, form["height"].value  # the form has a width of its own
        marks = {name: form[name].value for name in _MARKS}
        try:
            cameras = self._cameras()
            frames = Frames(self._viewer, size_px, is_coarse=form.is_coarse.value, **marks)
        except CryoETError as error:
            self.bar.show_error(error)
            return
        self._frames = frames
        form.enabled = False
        self.tasks.run(
            KEY,
            lambda job: write(frames, cameras, path, overwrite=True, task=job),
            then=lambda saved: self.bar.say(f"Saved to {saved}."),
            failed=self.bar.show_error,
        )

    def _on_finished(self, _key: object) -> None:
        self.form.enabled = True
        if self._frames is not None:
            self._frames.close()
            self._frames = None


def planes_nm(viewer: Viewer) -> tuple[float, float]:
    """The first and last position of a viewer's planes."""
    dims = viewer.dims
    planes = dims.range[dims.order[0]]
    return planes.start / ANGSTROM_PER_NM, planes.stop / ANGSTROM_PER_NM


def kept_choices(viewer: Viewer) -> list[tuple[str, str]]:
    """The titles and paths of the views that are kept for the shown runs."""
    abouts = [about_of(layer) for layer in viewer.layers if layer.visible]
    runs = {(about.dataset_id, about.run_name): None for about in abouts}
    choices = []
    for dataset_id, run_name in runs:
        for each in kept_views(dataset_id, run_name) if dataset_id is not None else ():
            title = f"{each.title} ({run_name})" if len(runs) > 1 else each.title
            choices.append((plain(title), str(each.path)))
    return choices


def free_path(viewer: Viewer, suffix: str) -> Path:
    """A new file in the user's folder of pictures, with the name of the shown run."""
    folder = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.PicturesLocation)
    runs = [about_of(layer).run_name for layer in viewer.layers if layer.visible]
    name = clean_name(next(filter(None, runs), "napari"))
    path = Path(folder or Path.home(), f"{name}{suffix}")
    number = 1
    while path.exists():
        number += 1
        path = path.with_name(f"{name}-{number}{suffix}")
    return path
