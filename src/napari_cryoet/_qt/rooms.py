"""What rooms add to the portal's dock: choices, buttons, menu entries, keys and openers.

A room is a folder beside this module, such as `lessons` or `basket`. Its code is named here as text
and imported when it is first used, so a room that isn't entered costs nothing, and a new room adds
its rows to these tables and no line to the dock.

Each target is called with the dock, and with what its record says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Entry:
    """A button or a menu entry; the target of a button also gets the button."""

    text: str
    target: str  # "module:function"
    purpose: str = ""
    icon: str = ""


@dataclass(frozen=True, slots=True)
class LayerEntry:
    """An entry in the menu of an annotation, which opens a dock that takes its layer."""

    text: str
    dock: str  # its name in the manifest
    takes_masks: bool = False


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens a link or a path; the target gets its text, and returns a record that is left to show.

    It raises FormatError if the link or the file is damaged.
    """

    pattern: re.Pattern[str]
    target: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A notice about packs that have certain files, with a button."""

    files: str  # a pattern of paths
    text: str
    entry: Entry


_TAKE_LESSON: Final = Entry(
    "Take a lesson",
    "napari_cryoet._qt.lessons.dock:take_lesson",
    "Learn to look, to pick and to judge",
    "star",
)
#: Choices of the start page and of the source menu, after the demo.
START: Final = (_TAKE_LESSON,)
#: Notices about an opened pack.
OFFERS: Final = (Offer("lessons/*/lesson.md", "This pack has lessons.", _TAKE_LESSON),)
#: Entries of the gear menu.
OPTIONS: Final = (
    Entry("Save picture…", "napari_cryoet._qt.views.save_dialogs:save_picture"),
    Entry("Save movie…", "napari_cryoet._qt.views.save_dialogs:save_movie"),
)
#: Buttons at the page of a run with a tomogram.
RUN_BUTTONS: Final = (
    Entry(
        "XZ YZ",
        "napari_cryoet._qt.ortho.dock:toggle_planes",
        "Show or hide XZ and YZ below the viewer, with a shared cursor",
    ),
    Entry(
        "Views ▾",
        "napari_cryoet._qt.views.kept:drop_menu_of_views",
        "Copy a link to what you see, and the kept views",
    ),
)
#: Entries in the menu of an annotation with points or a mask.
LAYERS: Final = (
    LayerEntry("Review…", "Review picks"),
    LayerEntry("Compare with…", "Compare annotations", takes_masks=True),
    LayerEntry("Export…", "Export picks"),
)
#: What the dock's keys do.
KEYS: Final = {"V": "napari_cryoet._qt.views.kept:open_next_view"}
OPENERS: Final = (
    Opener(
        re.compile(r"(.*[/\\])?lesson\.md"),
        "napari_cryoet._qt.lessons.dock:open_lesson_file",
    ),
    Opener(
        re.compile(r".*\.view\.json|(?is:\W*napari-cryoet:.*|\W*https?://[^#]*#(!|%21).*)"),
        "napari_cryoet._qt.views.restore:open_link",
    ),
)
#: Entries in the basket's menu of files.
BASKET_FILES: Final = (
    Entry("Make a class pack…", "napari_cryoet._qt.lessons.class_pack:make_class_pack"),
)
#: What the first opened source brings; a worker imports it.
SOURCE: Final[tuple[str, ...]] = ("napari_cryoet._qt.basket.room:add_basket",)
#: What starts once the window is shown. It is imported on the GUI thread: importing another module
#: of Qt beside it crashes PyQt.
LATER: Final[tuple[str, ...]] = ("napari_cryoet._qt.views.handover:take_links",)


def call(target: str, *arguments: Any) -> Any:
    """Import a target, and call it."""
    return resolve_name(target)(*arguments)


def opener_of(text: str) -> Opener | None:
    """The room that opens a link or a path; None for other text."""
    return next((each for each in OPENERS if each.pattern.fullmatch(text.strip())), None)
