"""The box in which a step's text is written, with menus that insert links and pictures."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote

from napari import Viewer
from napari.layers import Vectors
from qtpy.QtCore import QMimeData
from qtpy.QtWidgets import QFileDialog, QMenu, QPlainTextEdit

from napari_cryoet._qt.views.camera import camera_of
from napari_cryoet._qt.views.picture import canvas_png
from napari_cryoet._qt.widgets.controls import add_item
from napari_cryoet._qt.widgets.messages import NoticeBar
from napari_cryoet.files import content_of
from napari_cryoet.lessons.folder import MAX_SHOWN_BYTES
from napari_cryoet.lessons.markdown import ActionKind
from napari_cryoet.lessons.writing import Draft

_PICTURE_PX: Final = (1600, 1200)  # of the screen, at most


class StepText(QPlainTextEdit):
    """The Markdown of a step, on which pictures can be dropped.

    Attributes
    ----------
    draft
        The lesson that keeps the pictures.
    links, pictures
        Menus of what can be inserted at the cursor.
    """

    def __init__(self, viewer: Viewer, notice: NoticeBar) -> None:
        super().__init__()
        self._viewer = viewer
        self._notice = notice
        self.draft = Draft()
        self.setPlaceholderText("Text of the step. **Bold**, *italic*, - lists.")
        self.links = QMenu(self)
        self.links.aboutToShow.connect(self._fill_links)
        self.pictures = QMenu(self)
        add_item(self.pictures, "Of the screen", self.insert_screen)
        add_item(self.pictures, "From a file…", self.choose_pictures)

    def canInsertFromMimeData(self, source: QMimeData | None) -> bool:
        return bool(_files_of(source)) or super().canInsertFromMimeData(source)

    def insertFromMimeData(self, source: QMimeData | None) -> None:
        files = _files_of(source)
        for path in files:
            self.insert_file(path)
        if not files:
            super().insertFromMimeData(source)

    # links

    def insert_place(self, kind: ActionKind) -> None:
        """Insert a link to the middle of the screen."""
        with self._notice.reporting():
            middle = camera_of(self._viewer).middle_zyx_angstrom
            numbers = ",".join(f"{length:.0f}" for length in middle)
            self._insert_link("here", f"!{kind}={numbers}")

    def insert_layer(self, kind: ActionKind, name: str) -> None:
        """Insert a link that shows or hides a layer."""
        self._insert_link(name, f"!{kind}={quote(name)}")

    def _insert_link(self, words: str, target: str) -> None:
        words = self.textCursor().selectedText() or _in_brackets(words)
        self._insert(f"[{words}]({target})")

    def _fill_links(self) -> None:
        self.links.clear()
        add_item(self.links, "Go to this place", partial(self.insert_place, "goto"))
        add_item(self.links, "Mark this place", partial(self.insert_place, "highlight"))
        for layer in reversed(self._viewer.layers):
            if not isinstance(layer, Vectors):
                name = layer.name
                add_item(self.links, f"Show {name}", partial(self.insert_layer, "show", name))
                add_item(self.links, f"Hide {name}", partial(self.insert_layer, "hide", name))

    # pictures

    def insert_screen(self) -> None:
        """Insert a picture of the canvas as it is."""
        with self._notice.reporting():
            self._insert_picture(canvas_png(self._viewer, _PICTURE_PX), "Screen")

    def choose_pictures(self) -> None:
        """Let the user choose pictures to insert."""
        chosen, _ = QFileDialog.getOpenFileNames(
            self, "Insert pictures", "", "Pictures (*.png *.jpg *.jpeg)"
        )
        for path in chosen:
            self.insert_file(Path(path))

    def insert_file(self, path: Path) -> None:
        """Insert a picture by its file."""
        with self._notice.reporting():
            self._insert_picture(content_of(path, MAX_SHOWN_BYTES), path.stem)

    def _insert_picture(self, content: bytes, title: str) -> None:
        name = self.draft.add_picture(content, title)
        self._insert(f"\n\n![{_in_brackets(title)}]({name})\n\n")

    def _insert(self, markdown: str) -> None:
        self.insertPlainText(markdown)
        self.setFocus()


def _files_of(mime: QMimeData | None) -> list[Path]:
    urls = [] if mime is None else mime.urls()
    return [Path(url.toLocalFile()) for url in urls if url.isLocalFile()]


def _in_brackets(words: str) -> str:
    """Words for a link or picture, without what would end them."""
    return re.sub(r"[\[\]\\]", "", words)
