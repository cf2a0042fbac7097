"""A picture of a whole window, checked to show something before it is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QBuffer, QIODevice, QRect
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QMainWindow, QWidget

from napari_cryoet.exceptions import CryoETError
from napari_cryoet.files import replace_file

MIN_GREYS = 24  # a tomogram has a hundred
MAX_BACKGROUND = 0.8  # share of the commonest grey: an empty canvas with its welcome text has more


def save_picture(window: QMainWindow, path: Path, *, must_show_data: bool) -> None:
    """Draw a window into a PNG file.

    Parameters
    ----------
    window
        The window.
    path
        The file; it is replaced in one step.
    must_show_data
        Whether the middle of the canvas has to show more than a background.

    Raises
    ------
    CryoETError
        If nothing is drawn, or the file can't be written.
    """
    image = window.grab().toImage()
    if image.isNull():
        raise CryoETError("The window could not be drawn.")
    if must_show_data:
        canvas = window.centralWidget()
        if canvas is None or not shows_data(_greys(image, _middle_of(canvas, window, image))):
            raise CryoETError(
                "Nothing is drawn in the window's middle.", hint="OpenGL may not work here; napari --info tells more."
            )
    _write(image, path.expanduser().absolute())


def shows_data(greys: NDArray[np.uint8]) -> bool:
    """Whether an 8-bit grey picture shows more than a background with a word or a line on it."""
    counts = np.bincount(greys.ravel(), minlength=256)
    return bool(np.count_nonzero(counts) >= MIN_GREYS and counts.max() <= MAX_BACKGROUND * greys.size)


def _write(image: QImage, path: Path) -> None:
    """Write a picture as PNG, whole or not at all."""
    content = QBuffer()
    content.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(content, "PNG")
    try:
        replace_file(path, content.data().data())
    except OSError as error:
        raise CryoETError(f"The picture can't be written to {path}: {error.strerror}.") from error


def _middle_of(widget: QWidget, window: QWidget, image: QImage) -> QRect:
    """Return the inner half of a widget in pixels of the window's picture."""
    scale = image.width() / max(1, window.width())  # screens of double density
    corner = widget.mapTo(window, widget.rect().topLeft())
    width, height = widget.width(), widget.height()
    return QRect(
        int((corner.x() + width / 4) * scale),
        int((corner.y() + height / 4) * scale),
        int(width / 2 * scale),
        int(height / 2 * scale),
    )


def _greys(image: QImage, area: QRect) -> NDArray[np.uint8]:
    """Return a part of a picture as 8-bit greys."""
    part = image.copy(area.intersected(image.rect())).convertToFormat(QImage.Format.Format_Grayscale8)
    if part.isNull():
        return np.zeros((1, 1), dtype=np.uint8)
    bits: Any = part.constBits()
    if hasattr(bits, "setsize"):  # of PyQt
        bits.setsize(part.sizeInBytes())
    rows = np.frombuffer(bits, dtype=np.uint8).reshape(part.height(), part.bytesPerLine())
    return rows[:, : part.width()].copy()
