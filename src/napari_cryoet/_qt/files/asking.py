"""What a person is asked about files of picks, where there is a window: what one doesn't say, or won't hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from napari.viewer import Viewer, current_viewer
from qtpy.QtCore import QCoreApplication, QThread
from qtpy.QtWidgets import QWidget

from napari_cryoet._qt.browser.main_window import main_window
from napari_cryoet._qt.files.context_dialog import Answer, ContextDialog
from napari_cryoet._qt.layers.alignment import shown_volumes
from napari_cryoet._qt.tasks import wait_for
from napari_cryoet._qt.widgets.dialogs import agrees
from napari_cryoet._qt.widgets.theme import colors_of
from napari_cryoet.exceptions import MissingContextError
from napari_cryoet.files import refuse_existing
from napari_cryoet.layers.readers import LayerData, only_path, read_pick_file
from napari_cryoet.layers.specs import METADATA_KEY, PICKS_KEY
from napari_cryoet.wording import plain

_KEEP_VOXELS = "Open in voxels"


def read_asking(read: Callable[[], list[LayerData]], path: Any) -> list[LayerData]:
    """The layers of a file, after asking for what it doesn't say; none if the person would rather not have it.

    Parameters
    ----------
    read
        Reads with what the file says alone.
    path
        Of the file.

    Raises
    ------
    MissingContextError
        If there is nobody to ask.
    """
    answer = Answer()
    while True:
        try:
            layers = read()
        except MissingContextError as error:
            given = _ask(str(error), error.missing, error.choices)
            if given is None and viewer_to_ask_in() is None:
                raise
            if given is None:
                return []
        else:
            warnings = _without_spacing(layers, path)
            if warnings is None:
                return layers
            given = _ask(" ".join(warnings), ("spacing_angstrom",), (), otherwise=_KEEP_VOXELS)
            if given is None and viewer_to_ask_in() is not None:
                return []
            if given is None or given == Answer():
                return layers
        answer = answer.updated(given)
        read = partial(_read_with, answer, path)


def _read_with(answer: Answer, path: Any) -> list[LayerData]:
    return wait_for(lambda _job: read_pick_file(only_path(path), **answer._asdict()))


def may_write(name: str, said: Sequence[str]) -> bool:
    """Whether a person wants a file that doesn't hold all; yes where there is nobody to ask, or a script saves.

    Parameters
    ----------
    name
        Of the file.
    said
        What it won't hold, in words.
    """
    viewer = _viewer_of_a_person()
    if viewer is None or not said:
        return True
    return agrees(
        main_window(viewer),
        "What this file won't hold",
        f"Before {plain(name)} is written:",
        verb="Write",
        details="\n".join(f"• {line}" for line in said),
        is_harmless=True,
    )


def may_replace(path: Path) -> bool:
    """Whether a person wants a file replaced that napari's dialog knew nothing of.

    Raises
    ------
    ExistsError
        If there is nobody to ask, or a script saves.
    """
    viewer = _viewer_of_a_person()
    refuse_existing(path, overwrite=viewer is not None)
    return viewer is None or agrees_to_replace(main_window(viewer), "Save picks", path)


def agrees_to_replace(parent: QWidget, title: str, path: Path) -> bool:
    """Ask about a file that the dialog for files knew nothing of, since it saw the name without its ending."""
    text = f"There is a {plain(path.name)} already. Replace it?"
    return agrees(parent, title, text, verb="Replace")


def _ask(message: str, missing: Any, choices: tuple[str, ...], otherwise: str = "") -> Answer | None:
    viewer = viewer_to_ask_in()
    if viewer is None:
        return None
    dialog = ContextDialog(
        message,
        missing,
        choices=choices,
        volumes=shown_volumes(viewer.layers),
        otherwise=otherwise,
        colors=colors_of(viewer.theme),
        parent=main_window(viewer),
    )
    return dialog.answer if dialog.exec() else None


def viewer_to_ask_in() -> Viewer | None:
    """The viewer in front, if a person sees it: a script that opens a file mustn't hang on a question."""
    application = QCoreApplication.instance()
    if application is None or QThread.currentThread() is not application.thread():
        return None
    viewer = current_viewer()
    return viewer if viewer is not None and main_window(viewer).isVisible() else None


def window_to_ask_in() -> QWidget | None:
    """The window of `viewer_to_ask_in`."""
    viewer = viewer_to_ask_in()
    return None if viewer is None else main_window(viewer)


def _viewer_of_a_person() -> Viewer | None:
    """The viewer to ask in, where it is a person who saves and no script."""
    thread = QThread.currentThread()
    is_script = thread is None or thread.loopLevel() == 0  # what a person does comes from the window's event loop
    return None if is_script else viewer_to_ask_in()


def _without_spacing(layers: list[LayerData], path: Any) -> list[str] | None:
    """What to tell about picks that are in voxels of unknown width; None where they aren't."""
    for _data, options, _kind in layers:
        metadata = options.get("metadata", {})
        picks = metadata.get(PICKS_KEY)
        if picks is not None and picks.spacing_angstrom is None and Path(only_path(path)).is_file():
            said = [f"{Path(only_path(path)).name} doesn't say how wide its voxels are."]
            return said + [text for text in metadata.get(METADATA_KEY, {}).get("warnings", ()) if "pixel size" in text]
    return None
