"""The dialogs that save a picture and a movie of what a viewer shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from magicgui import magicgui
from napari.viewer import Viewer
from qtpy.QtCore import QStandardPaths, Qt
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QDialog, QVBoxLayout

from napari_cryoet._qt.files.questions import may_replace
from napari_cryoet._qt.layers.ownership import about_of, real
from napari_cryoet._qt.layers.placement import ANGSTROM_PER_NM
from napari_cryoet._qt.tasks import Tasks
from napari_cryoet._qt.views.camera import camera_of
from napari_cryoet._qt.views.movie import even, write_movie
from napari_cryoet._qt.views.picture import SIZE_PX, Frames
from napari_cryoet._qt.widgets.controls import main_window
from napari_cryoet._qt.widgets.start_bar import StartBar
from napari_cryoet.download.plan import clean_name
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.task import Task
from napari_cryoet.views.movie import LONGEST_S, between, frame_count, sweep, turn
from napari_cryoet.views.view import Camera, read_view

KEY: Final = "save picture or movie"
SWEEP: Final = "sweep"
TURN: Final = "turn"
TO_VIEW: Final = "to view"
_MOTIONS: Final = [
    ("Sweep through the planes", SWEEP),
    ("Turn in 3D", TURN),
    ("Move to a view", TO_VIEW),
]
_LARGEST_PX: Final = 8192
_MARKS: Final = ("scale_bar", "legend", "citation")
_SIZE: Final = {"min": 16, "max": _LARGEST_PX}
#: How the form shows the fields that both dialogs have.
_FIELDS: Final[Any] = {
    "width": {**_SIZE, "label": "Width (pixels)"},
    "height": {**_SIZE, "label": "Height (pixels)"},
    "scale_bar": {"text": "scale bar"},
    "legend": {"text": "legend of the shown objects"},
    "citation": {"text": "citation of the data"},
    "is_coarse": {"text": "coarse data will do"},
}


def _picture_options(
    file: str,
    *,
    width: int = SIZE_PX[0],
    height: int = SIZE_PX[1],
    scale_bar: bool = True,
    legend: bool = True,
    citation: bool = True,
    is_coarse: bool = False,
) -> None:
    """Fields of the form."""


def _movie_options(
    file: str,
    *,
    motion: str,
    first_nm: float,
    last_nm: float,
    view: str,
    degrees: float = 360.0,
    seconds: float = 4.0,
    width: int = 1280,
    height: int = 720,
    scale_bar: bool = True,
    legend: bool = True,
    citation: bool = True,
    is_coarse: bool = False,
) -> None:
    """Fields of the form."""


def save_picture_dialog(viewer: Viewer) -> PictureDialog:
    """Open the dialog that saves a picture of what a viewer shows."""
    dialog = PictureDialog(viewer)
    dialog.show()
    return dialog


def save_movie_dialog(viewer: Viewer) -> MovieDialog:
    """Open the dialog that saves a movie of what a viewer shows."""
    dialog = MovieDialog(viewer)
    dialog.show()
    return dialog


class SaveDialog(QDialog):
    """Asks for a file and options, then draws; closing it stops drawing."""

    def __init__(self, viewer: Viewer, title: str, form: Any, suffix: str) -> None:
        super().__init__(main_window(viewer))
        self.setWindowTitle(title)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(420)
        self._viewer = real(viewer)
        self._tasks = Tasks(self)
        self._frames: Frames | None = None
        self.form = form
        self.form.file.value = free_path(viewer, suffix)
        self.form.file.choose_btn.text = "Choose…"
        self.form.file.line_edit.native.setAccessibleName("File to save")
        self.form.file.choose_btn.native.setAccessibleName("Choose the file to save")
        for name in (*_MARKS, "is_coarse"):
            self.form[name].native.setAccessibleName(_FIELDS[name]["text"])
        self.bar = StartBar(self._tasks, KEY, "Save", "Save the file once all data are exact")
        self.bar.button.setDefault(True)
        self.bar.start_requested.connect(self._on_start)
        self._tasks.finished.connect(self._on_finished)
        column = QVBoxLayout(self)
        column.addWidget(self.form.native)
        column.addStretch(1)
        column.addWidget(self.bar)

    def closeEvent(self, event: QCloseEvent | None) -> None:
        self._tasks.close()
        super().closeEvent(event)

    def reject(self) -> None:
        """Close on Escape, as the title bar's button does."""
        self.close()

    @property
    def path(self) -> Path:
        return Path(str(self.form.file.value)).expanduser()

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of the frames."""
        return self.form["width"].value, self.form["height"].value  # the form has its own size

    def work(self, frames: Frames, path: Path, cameras: list[Camera], task: Task) -> Path:
        """Write the file, from a worker thread."""
        raise NotImplementedError

    def cameras(self) -> list[Camera]:
        """What each frame shows; CryoETError if the form asks for what is impossible."""
        raise NotImplementedError

    def _on_start(self) -> None:
        path = self.path
        if path.exists() and not may_replace(path, self):
            return
        marks = {name: self.form[name].value for name in _MARKS}
        try:
            cameras = self.cameras()
            frames = Frames(
                self._viewer, self.size_px, is_coarse=self.form.is_coarse.value, **marks
            )
        except CryoETError as error:
            self.bar.show_error(error)
            return
        self._frames = frames
        self.form.enabled = False
        self._tasks.run(
            KEY,
            lambda job: self.work(frames, path, cameras, job),
            then=lambda saved: self.bar.say(f"Saved to {saved}."),
            failed=self.bar.show_error,
        )

    def _on_finished(self, _key: object) -> None:
        self.form.enabled = True
        if self._frames is not None:
            self._frames.close()
            self._frames = None


class PictureDialog(SaveDialog):
    """Saves a picture."""

    def __init__(self, viewer: Viewer) -> None:
        form: Any = magicgui(
            _picture_options,
            call_button=False,
            file={
                "widget_type": "FileEdit",
                "mode": "w",
                "label": "File",
                "filter": "Pictures (*.png *.svg)",
            },
            **_FIELDS,
        )
        super().__init__(viewer, "Save picture", form, ".png")

    def cameras(self) -> list[Camera]:
        return [camera_of(self._viewer)]

    def work(self, frames: Frames, path: Path, cameras: list[Camera], task: Task) -> Path:
        return frames.write_picture(cameras[0], path, overwrite=True, task=task)


class MovieDialog(SaveDialog):
    """Saves a movie."""

    def __init__(self, viewer: Viewer) -> None:
        first, last = planes_nm(viewer)
        nm = {"min": -1e6, "max": 1e6, "step": 1.0}
        form: Any = magicgui(
            _movie_options,
            call_button=False,
            file={
                "widget_type": "FileEdit",
                "mode": "w",
                "label": "File",
                "filter": "Movies (*.mp4 *.gif)",
            },
            motion={
                "label": "Motion",
                "choices": _MOTIONS,
                "value": TURN if viewer.dims.ndisplay == 3 else SWEEP,
            },
            first_nm={**nm, "value": first, "label": "From (nm)"},
            last_nm={**nm, "value": last, "label": "To (nm)"},
            view={
                "widget_type": "FileEdit",
                "mode": "r",
                "filter": "Views (*.view.json)",
                "label": "To the view",
            },
            degrees={"min": -3600, "max": 3600, "step": 15, "label": "Degrees"},
            seconds={"min": 0.1, "max": LONGEST_S, "step": 1, "label": "Seconds"},
            **_FIELDS,
        )
        super().__init__(viewer, "Save movie", form, ".mp4")
        self.form.motion.changed.connect(self._show_fields)
        self._show_fields(self.form.motion.value)

    def cameras(self) -> list[Camera]:
        form, now = self.form, camera_of(self._viewer)
        n = frame_count(form.seconds.value)
        match form.motion.value:
            case "sweep":
                ends = (form.first_nm.value, form.last_nm.value)
                first, last = (end * ANGSTROM_PER_NM for end in ends)
                return sweep(now, first, last, n)
            case "turn":
                return turn(now, form.degrees.value, n)
        return between(now, read_view(form.view.value).camera, n)

    @property
    def size_px(self) -> tuple[int, int]:
        return even(super().size_px)

    def work(self, frames: Frames, path: Path, cameras: list[Camera], task: Task) -> Path:
        return write_movie(frames, cameras, path, overwrite=True, task=task)

    def _show_fields(self, motion: str) -> None:
        """Show the fields that the motion needs."""
        for name, needed_by in (
            ("first_nm", SWEEP),
            ("last_nm", SWEEP),
            ("degrees", TURN),
            ("view", TO_VIEW),
        ):
            self.form[name].visible = motion == needed_by


def planes_nm(viewer: Viewer) -> tuple[float, float]:
    """The first and last position of a viewer's planes."""
    dims = viewer.dims
    planes = dims.range[dims.order[0]]
    return planes.start / ANGSTROM_PER_NM, planes.stop / ANGSTROM_PER_NM


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
