"""Text of a lesson as rich text: as high as its content, with pictures that come later."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QImage, QTextDocument
from qtpy.QtWidgets import QFrame, QSizePolicy, QTextBrowser

from napari_cryoet._qt.tasks import Tasks
from napari_cryoet._qt.widgets.controls import not_none
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.lessons.markdown import to_html

_MARGIN_PX: Final = 8
_CELL: Final = "padding: 2px 8px 2px 0px; text-align: left"


class LessonText(QTextBrowser):
    """Shows Markdown of a lesson.

    Parameters
    ----------
    read_file
        Called off the GUI thread with the name of a picture in the lesson.
    act
        Called with a link that is clicked.
    """

    def __init__(
        self,
        theme: Theme,
        tasks: Tasks,
        read_file: Callable[[str], bytes],
        act: Callable[[QUrl], object],
    ) -> None:
        super().__init__()
        self._tasks = tasks
        self._read_file = read_file
        self.anchorClicked.connect(act)
        self._theme = theme
        self._markdown = ""
        self._pictures: dict[str, QImage] = {}  # by name; null until they come
        self.setObjectName("lessonText")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setOpenLinks(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self._show)
        not_none(self._document.documentLayout()).documentSizeChanged.connect(self._fit)

    def show_markdown(self, markdown: str) -> None:
        """Replace the text; an empty one hides the widget."""
        self._markdown = markdown
        self._pictures = {}  # their files may have changed, or couldn't be read
        self.setVisible(bool(markdown))
        self._show()

    def _add_picture(self, name: str, picture: QImage) -> None:
        self._pictures[name] = picture
        self._show()

    def loadResource(self, _kind: int, url: QUrl) -> Any:
        """A picture of the lesson at the width of the text; nothing is read from elsewhere."""
        name = url.toString()
        if name not in self._pictures:
            self._pictures[name] = QImage()
            self._tasks.run(
                (self, name),  # another text may want the same one
                lambda _job: QImage.fromData(self._read_file(name)),
                then=partial(self._add_picture, name),
            )
        picture = self._pictures[name]
        if picture.isNull():
            return picture
        width = min(picture.width(), self._width())
        return picture.scaledToWidth(width, Qt.TransformationMode.SmoothTransformation)

    @property
    def _document(self) -> QTextDocument:
        return not_none(self.document())

    def _width(self) -> int:
        return max(100, self.width() - 2 * _MARGIN_PX)

    def _show(self) -> None:
        accent = self._theme.colors.accent.name()
        self._document.setDefaultStyleSheet(f"a {{ color: {accent}; }} td, th {{ {_CELL}; }}")
        self.setHtml(to_html(self._markdown).strip())

    def _fit(self, _size: object = None) -> None:
        around = self.height() - not_none(self.viewport()).height()
        height = math.ceil(self._document.size().height()) + around
        if height != self.height():
            self.setFixedHeight(height)
