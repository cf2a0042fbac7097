"""Pictures and movies of what a viewer shows, with a scale bar, a legend and the data's citation."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from napari.components import ViewerModel
from qtpy.QtCore import QPoint, QRect, QSize, Qt
from qtpy.QtGui import QColor, QFont, QFontMetrics, QImage, QPainter
from qtpy.QtSvg import QSvgGenerator

from napari_cryoet._qt.layers.colors import shown_color_of
from napari_cryoet._qt.layers.ownership import about_of, real
from napari_cryoet._qt.ortho.plane_view import unit_of
from napari_cryoet._qt.tasks import wait_for
from napari_cryoet._qt.views.camera import camera_of
from napari_cryoet._qt.views.canvas import Canvas
from napari_cryoet.appearance.colors import RGBA
from napari_cryoet.exceptions import CryoETError, SaveError
from napari_cryoet.files import written_whole
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.views.movie import movie_file
from napari_cryoet.views.view import Camera
from napari_cryoet.wording import joined, nm_text, plain

SIZE_PX: Final = (1920, 1080)
MOVIE_PX: Final = (1280, 720)
SUFFIXES: Final = (".png", ".svg")

_LINES_OF_HEIGHT: Final = 45  # lines of text in the height of a picture
_SMALLEST_PX: Final = 7
_LONGEST_BAR: Final = 0.2  # of the width
_LARGEST_CITATION: Final = 0.25  # of the height
_BEHIND: Final = QColor(0, 0, 0, 160)
_TEXT: Final = QColor(255, 255, 255)


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks over a picture; ``legend`` has names and colours."""

    has_scale_bar: bool = False
    legend: tuple[tuple[str, RGBA], ...] = ()
    citation: str = ""


class Frames(Canvas):
    """Draws what a viewer shows now, with marks; create and close it on the GUI thread.

    Parameters
    ----------
    viewer, size_px, is_coarse
        As of `Canvas`.
    scale_bar, legend, citation
        Which marks to draw.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        size_px: tuple[int, int] = SIZE_PX,
        *,
        scale_bar: bool = True,
        legend: bool = True,
        citation: bool = True,
        is_coarse: bool = False,
    ) -> None:
        viewer = real(viewer)
        if not any(layer.visible for layer in viewer.layers):
            raise CryoETError("There is nothing to draw.", hint="Open or show a layer.")
        super().__init__(viewer, size_px, is_coarse=is_coarse)
        self.marks = Marks(
            has_scale_bar=scale_bar and unit_of(viewer) == "Å",
            legend=_legend_of(viewer) if legend else (),
            citation=_citation_of(viewer) if citation else "",
        )

    def marked_frame(self, camera: Camera, task: Task, label: str = "") -> QImage:
        """A frame with its marks, for a worker thread; raises as `Canvas.frame` does."""
        frame = self.frame(camera, task, label)
        painter = QPainter(frame)
        paint_marks(painter, self.size_px, camera, self.marks)
        painter.end()
        return frame


def save_picture(
    viewer: ViewerModel,
    path: str | Path,
    size_px: tuple[int, int] = SIZE_PX,
    *,
    camera: Camera | None = None,
    scale_bar: bool = True,
    legend: bool = True,
    citation: bool = True,
    is_coarse: bool = False,
    overwrite: bool = False,
    task: Task = UNWATCHED,
) -> Path:
    """Save what a viewer shows as PNG or SVG, once all of it is exact; the window keeps drawing.

    Parameters
    ----------
    size_px
        Width and height. The picture shows at least the canvas's field of view.
    camera
        What to show instead of the canvas's own place.
    is_coarse
        Don't wait for exact data.

    Raises
    ------
    CryoETError
        If the data can't be exact, or SaveError if the file can't be written.
    """
    camera = camera or camera_of(viewer)
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
            lambda _job: write_picture(frames, [camera], Path(path), overwrite=overwrite, task=task)
        )


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


def canvas_png(viewer: ViewerModel, largest_px: tuple[int, int]) -> bytes:
    """A PNG of the canvas as it is, at most this wide and high; empty without a window."""
    from PIL import Image

    if not hasattr(viewer, "window"):
        return b""
    picture = Image.fromarray(viewer.screenshot(canvas_only=True, flash=False))
    picture.thumbnail(largest_px)
    content = io.BytesIO()
    picture.convert("RGB").save(content, "PNG")
    return content.getvalue()


def write_picture(
    frames: Frames,
    cameras: Sequence[Camera],
    path: Path,
    *,
    overwrite: bool = False,
    task: Task = UNWATCHED,
) -> Path:
    """Write a picture's file from a worker thread; of several cameras, it shows the first one."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise SaveError(f"Pictures are saved as {' or '.join(SUFFIXES)}, not as {path.name}.")
    camera = cameras[0]
    with written_whole(path, overwrite=overwrite) as unfinished:
        if suffix == ".svg":  # the marks as lines and text over the frame's pixels
            frame = frames.frame(camera, task)
            drawing = QSvgGenerator()
            drawing.setFileName(str(unfinished))
            drawing.setViewBox(frame.rect())
            painter = QPainter(drawing)
            painter.drawImage(0, 0, frame)
            paint_marks(painter, frames.size_px, camera, frames.marks)
            painter.end()
        elif not frames.marked_frame(camera, task).save(str(unfinished), "PNG"):
            raise SaveError(f"{path.name} can't be written.")
    return path


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
            append(_rgba(frames.marked_frame(camera, part, f"frame {index + 1} of {n}")))
    return path


def _rgba(image: QImage) -> bytes:
    """The pixels of an image, row by row."""
    pixels: Any = image.constBits()
    if hasattr(pixels, "setsize"):  # PyQt's pointers have no size of their own
        pixels.setsize(image.sizeInBytes())
    return bytes(pixels)


def angstrom_per_px(camera: Camera, size_px: tuple[int, int]) -> float:
    """The width of a pixel of a picture that shows at least the camera's field."""
    width, height = size_px
    high, wide = camera.field_angstrom
    return max(high / height, wide / width)


def bar_length_angstrom(camera: Camera, size_px: tuple[int, int]) -> float:
    """The longest of 1, 2, 5, 10, ... nm that takes at most a fifth of a picture's width."""
    longest = _LONGEST_BAR * size_px[0] * angstrom_per_px(camera, size_px)
    power = 10.0 ** math.floor(math.log10(longest))
    return power * max(step for step in (1, 2, 5) if step * power <= longest)


def paint_marks(painter: QPainter, size_px: tuple[int, int], camera: Camera, marks: Marks) -> None:
    """Paint the legend at the top, and the scale bar above the citation at the bottom."""
    width, height = size_px
    font = QFont()
    font.setPixelSize(max(_SMALLEST_PX, height // _LINES_OF_HEIGHT))
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setFont(font)
    if marks.legend:
        _paint_legend(painter, QSize(width, height), marks.legend)
    bottom = height
    if marks.citation:
        bottom = _paint_citation(painter, QSize(width, height), marks.citation)
        painter.setFont(font)
    # with perspective, one length has many sizes
    if marks.has_scale_bar and not (camera.ndisplay == 3 and camera.perspective):
        length = bar_length_angstrom(camera, size_px)
        _paint_bar(painter, bottom, length, length / angstrom_per_px(camera, size_px))


def _paint_bar(painter: QPainter, bottom: int, length_angstrom: float, length_px: float) -> None:
    text = f"{length_angstrom / 1e4:g} µm" if length_angstrom >= 1e4 else nm_text(length_angstrom)
    line = painter.fontMetrics().height()
    bar = QRect(line, bottom - line - line // 4, round(length_px), max(2, line // 4))
    label = QRect(bar.left(), bar.top() - line - line // 4, bar.width(), line)
    around = label.united(bar).adjusted(-line // 2, -line // 4, line // 2, line // 2)
    painter.fillRect(around, _BEHIND)
    painter.fillRect(bar, _TEXT)
    painter.setPen(_TEXT)
    painter.drawText(label, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextDontClip, text)


def _paint_legend(painter: QPainter, size: QSize, legend: tuple[tuple[str, RGBA], ...]) -> None:
    metrics = painter.fontMetrics()
    line = metrics.height()
    names = [
        metrics.elidedText(name, Qt.TextElideMode.ElideRight, size.width() // 2)
        for name, _ in legend
    ]
    widest = max(metrics.horizontalAdvance(name) for name in names)
    step = line * 5 // 4
    box = QRect(line // 2, line // 2, widest + line * 5 // 2, step * len(names) + line // 2)
    painter.fillRect(box, _BEHIND)
    for row, (name, (_, (red, green, blue, _alpha))) in enumerate(zip(names, legend, strict=True)):
        corner = box.topLeft() + QPoint(line // 2, line // 4 + row * step)
        chip = QRect(corner, QSize(line, line)).adjusted(0, line // 8, 0, -line // 8)
        painter.fillRect(chip, QColor.fromRgbF(red, green, blue))
        painter.setPen(_TEXT)
        text = QRect(corner + QPoint(line * 3 // 2, 0), QSize(widest, line))
        painter.drawText(text, Qt.AlignmentFlag.AlignVCenter, name)


def _paint_citation(painter: QPainter, size: QSize, citation: str) -> int:
    """Paint the citation in full, in smaller letters if it is long, and return its top."""
    font = painter.font()
    edge = painter.fontMetrics().height() // 2
    room = QRect(edge, 0, size.width() - 2 * edge, size.height())
    wrap = Qt.TextFlag.TextWordWrap | Qt.AlignmentFlag.AlignLeft
    largest_px = max(_SMALLEST_PX, font.pixelSize() * 2 // 3)
    for pixels in range(largest_px, _SMALLEST_PX - 1, -1):
        font.setPixelSize(pixels)
        needed = QFontMetrics(font).boundingRect(room, wrap, citation)
        if needed.height() <= size.height() * _LARGEST_CITATION:
            break
    painter.setFont(font)
    top = size.height() - needed.height() - edge
    painter.fillRect(0, top - edge // 2, size.width(), size.height() - top + edge, _BEHIND)
    painter.setPen(_TEXT)
    painter.drawText(QRect(edge, top, room.width(), needed.height()), wrap, citation)
    return top - edge // 2


def _legend_of(viewer: ViewerModel) -> tuple[tuple[str, RGBA], ...]:
    """The names and colours of the shown objects, the top one first."""
    colors: dict[str, RGBA] = {}
    for layer in reversed(viewer.layers):
        color = shown_color_of(layer)
        if layer.visible and color is not None:
            colors.setdefault(plain(about_of(layer).object_name or layer.name), color)
    return tuple(colors.items())


def _citation_of(viewer: ViewerModel) -> str:
    """The citations of the shown layers, a paragraph each."""
    citations = [about_of(layer).citation for layer in viewer.layers if layer.visible]
    lines = [joined(*map(plain, citation.splitlines())) for citation in citations if citation]
    return "\n".join(dict.fromkeys(lines))
