"""Nothing that was decided is lost without a word where it can't be saved and its window closes."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from napari.components import ViewerModel
from qtpy.QtCore import QEvent, QObject, QThread, Signal
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QFileDialog, QMainWindow, QMessageBox, QWidget

from napari_cryoet._qt.active_layer import real
from napari_cryoet._qt.napari_internals import has_lost_canvas
from napari_cryoet._qt.question import Question
from napari_cryoet._qt.theme import colors_of
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.review.review import Review
from napari_cryoet.wording import count_text, joined, plain

log = logging.getLogger(__name__)

_unsaved: WeakKeyDictionary[ViewerModel, list[Review]] = WeakKeyDictionary()


def unsaved_in(viewer: ViewerModel) -> list[Review]:
    """The reviews of a viewer that ended while they could not be saved; whoever ends one, or takes one up, edits it."""
    return _unsaved.setdefault(real(viewer), [])


def guard_for(widget: QWidget, viewer: ViewerModel) -> CloseGuard:
    """What watches over the window that a widget is in; made if there is none yet."""
    window: QWidget = widget
    while not isinstance(window, QMainWindow) and (holder := window.parentWidget()) is not None:
        window = holder  # a dock that floats is a window, too, but not the one that ends it all
    found = window.findChildren(CloseGuard)
    return found[0] if found else CloseGuard(window, viewer)


def losses_text(reviews: Sequence[Review]) -> str:
    """What would be lost, in words: ``3 decisions about “ribosomes”``."""
    return joined(
        *(f"{count_text(review.counts.judged, 'decision')} about “{plain(review.subject.name)}”" for review in reviews),
    )


class CloseGuard(QObject):
    """Asks, before a window closes, where to put decisions that can't be saved where reviews are kept.

    Where nobody can be asked, as when a script closes the viewer, they are written into a new folder among the
    temporary files, and a warning says where.

    Parameters
    ----------
    window
        That may close; the guard lives as long as it does.
    viewer
        Of that window.
    """

    #: The window is about to close. Whoever reviews saves, and appends to the list that it gets what can't be saved.
    closing = Signal(object)

    def __init__(self, window: QWidget, viewer: ViewerModel) -> None:
        super().__init__(window)
        self._window, self._viewer = window, viewer
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Keep the window open if that is what the person wants."""
        if not isinstance(event, QCloseEvent):
            return False  # Qt tells of more when Python has cleared this already
        if watched is not self._window:
            return False
        if self._may_close(event):
            return False
        event.ignore()
        return True

    def _may_close(self, event: QCloseEvent) -> bool:
        at_risk = [review for review in unsaved_in(self._viewer) if not review.save()]
        self.closing.emit(at_risk)
        if not at_risk:
            return True
        if not self._can_ask(event):
            _rescue(at_risk)
            return True
        while True:
            answer = self._ask(at_risk)
            if answer is None:
                return False
            if not answer:
                unsaved_in(self._viewer).clear()
                return True
            folder = QFileDialog.getExistingDirectory(self._window, "Save the review elsewhere", str(Path.home()))
            if folder and self._is_saved_in(Path(folder), at_risk):
                unsaved_in(self._viewer).clear()
                return True

    def _can_ask(self, event: QCloseEvent) -> bool:
        """Whether a person closes the window, and not a script, which would hang on a question."""
        thread = QThread.currentThread()
        is_script = not event.spontaneous() and (thread is None or thread.loopLevel() == 0)
        return self._window.isVisible() and not is_script and not has_lost_canvas(self._window)

    def _ask(self, at_risk: Sequence[Review]) -> bool | None:
        """Whether to save elsewhere; None to keep the window open."""
        folders = joined(*dict.fromkeys(str(review.folder) for review in at_risk))
        problems = " ".join(dict.fromkeys(review.problem for review in at_risk))
        question = Question(
            "Decisions that can't be saved",
            f"{problems} If the window closes, {losses_text(at_risk)} would be lost.",
            verb="Save elsewhere…",
            details=f"Save them in another folder. To go on with them later, put the file into {folders}.",
            colors=colors_of(self._viewer.theme),
            is_harmless=True,
            parent=self._window,
        )
        lose = question.addButton("Close and lose them", QMessageBox.ButtonRole.DestructiveRole)
        does_save = question.ask()
        return True if does_save else False if question.clickedButton() is lose else None

    def _is_saved_in(self, folder: Path, at_risk: Sequence[Review]) -> bool:
        """Write all into a folder; whether that went well, else the person was told."""
        try:
            for review in at_risk:
                review.save_copy(folder)
        except CryoETError as error:
            QMessageBox.warning(self._window, "Decisions that can't be saved", plain(str(error)))
            return False
        return True


def _rescue(at_risk: Sequence[Review]) -> None:
    """Put what would be lost among the temporary files, and say where."""
    for review in at_risk:
        told: tuple[Any, ...] = (losses_text([review]), review.folder)
        try:
            path = review.save_copy(Path(tempfile.mkdtemp(prefix="napari-cryoet-review-")))
        except (CryoETError, OSError) as error:
            log.error("%s can't be saved in %s nor elsewhere, and went with the window: %s", *told, error)
        else:
            log.warning("%s can't be saved in %s; they are kept in %s. Move the file there later.", *told, path)
