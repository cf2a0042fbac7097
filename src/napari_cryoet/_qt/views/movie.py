"""Movies of what a viewer shows: each frame is drawn once it is exact, and encoded at once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from napari.components import ViewerModel
from qtpy.QtGui import QImage

from napari_cryoet._qt.tasks import wait_for
from napari_cryoet._qt.views.picture import Frames
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.views.movie import movie_file
from napari_cryoet.views.view import Camera

MOVIE_PX: Final = (1280, 720)


def save_movie(
    viewer: ViewerModel,
    path: str | Path,
    cameras: Sequence[Camera],
    size_px: tuple[int, int] = MOVIE_PX,
    *,
    scale_bar: bool = True,
    legend: bool = True,
    citation: bool = True,
    is_coarse: bool = False,
    overwrite: bool = False,
    task: Task = UNWATCHED,
) -> Path:
    """Save a movie of what a viewer shows as MP4 or GIF; the window keeps drawing.

    Parameters
    ----------
    cameras
        What each frame shows; see `sweep`, `turn` and `between`.
    size_px
        Width and height; MP4 loses the last column or row of an odd size.
    is_coarse
        Don't wait for exact data.

    Raises
    ------
    CryoETError
        If the data can't be exact or ffmpeg is missing, or SaveError if the file can't be written.
    """
    frames = Frames(
        viewer,
        size_px,
        scale_bar=scale_bar,
        legend=legend,
        citation=citation,
        is_coarse=is_coarse,
    )
    with closing(frames):
        return wait_for(
            lambda _job: write_movie(frames, cameras, Path(path), overwrite=overwrite, task=task)
        )


def write_movie(
    frames: Frames,
    cameras: Sequence[Camera],
    path: Path,
    *,
    overwrite: bool = False,
    task: Task = UNWATCHED,
) -> Path:
    """Write a movie's file from a worker thread, one frame at a time."""
    n = len(cameras)
    with movie_file(path, frames.size_px, overwrite=overwrite) as append:
        for index, camera in enumerate(cameras):
            part = task.part(index / n, (index + 1) / n)
            append(_rgba(frames.frame(camera, part, f"frame {index + 1} of {n}")))
    return path


def _rgba(image: QImage) -> bytes:
    """The pixels of an image, row by row."""
    pixels: Any = image.constBits()
    if hasattr(pixels, "setsize"):  # PyQt's pointers have no size of their own
        pixels.setsize(image.sizeInBytes())
    return bytes(pixels)
