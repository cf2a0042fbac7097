"""Menus that may hold remote text."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import shorten
from typing import Final

from qtpy.QtGui import QAction
from qtpy.QtWidgets import QLabel, QMenu, QWidget, QWidgetAction

from napari_cryoet.wording import plain

_MAX_LETTERS: Final = 80  # in a menu item


def drop_menu(menu: QMenu, control: QWidget) -> None:
    """Open a menu below a control, or above it at the screen's edge."""
    menu.popup(control.mapToGlobal(control.rect().bottomLeft()))


def passing_menu(parent: QWidget) -> QMenu:
    """A menu that is deleted after it closes."""
    menu = QMenu(parent)
    menu.aboutToHide.connect(menu.deleteLater)
    return menu


def add_item(menu: QMenu, text: str, then: Callable[[], object]) -> QAction:
    """Add a menu item whose text may be remote: shorten it, and escape ampersands."""
    action = QAction(shorten(plain(text), _MAX_LETTERS, placeholder="…").replace("&", "&&"), menu)
    action.triggered.connect(lambda _checked=False: then())
    menu.addAction(action)
    return action


def add_title(menu: QMenu, text: str) -> None:
    """Add the title of a group of items; the sections of Qt are plain lines in napari's style."""
    if not menu.isEmpty():
        menu.addSeparator()
    label = QLabel(plain(text).replace("&", "&&"))
    label.setObjectName("menuTitle")
    title = QWidgetAction(menu)
    title.setText(text)
    title.setDefaultWidget(label)
    title.setEnabled(False)  # the keys skip it
    menu.addAction(title)


def add_menu(menu: QMenu, text: str) -> QMenu:
    """Add a submenu."""
    submenu = QMenu(text, menu)
    menu.addMenu(submenu)
    return submenu
