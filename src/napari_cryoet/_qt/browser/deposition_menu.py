"""The way to a deposition, as an item of a menu."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QMenu, QWidget

from napari_cryoet._qt.widgets.labels import plain_tooltip
from napari_cryoet.records import DepositionTitle
from napari_cryoet.wording import joined, plain

LETTERS = 70


def deposition_text(deposition_id: int | None, deposition: DepositionTitle | None) -> str:
    """Which deposition a record belongs to: ``Deposition: S. pombe lamellae (CZCDP-10301)``; empty without one."""
    if deposition_id is None:
        return ""
    number = f"CZCDP-{deposition_id}"
    return f"Deposition: {deposition.title} ({number})" if deposition is not None else f"Deposition: {number}"


def passing_menu(parent: QWidget) -> QMenu:
    """A menu that goes away for good when it closes."""
    menu = QMenu(parent)
    menu.aboutToHide.connect(menu.deleteLater)
    return menu


def add_deposition(menu: QMenu, deposition_id: int, about: str, then: Callable[[int], None]) -> None:
    """Add an item that leads to a deposition; ``about`` is its title, or all that there is to say."""
    named = joined(f"CZCDP-{deposition_id}", plain(about))
    short = named if len(named) <= LETTERS else f"{named[: LETTERS - 1].rstrip()}…"
    action = menu.addAction(f"Deposition {short}".replace("&", "&&"))
    if action is not None:
        action.setToolTip(plain_tooltip(f"Show the deposition {named}"))
        action.triggered.connect(lambda _checked=False: then(deposition_id))
