"""A class pack in a window."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from napari import Viewer
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QMenu

from lessons.sample_lesson import RUN, view_at, write_lesson
from napari_cryoet import make_class_pack, open_portal
from napari_cryoet._qt.layers.ownership import about_of
from napari_cryoet._qt.lessons.dock import NAME as LESSON
from napari_cryoet._qt.views.restore import restorer_of
from napari_cryoet._qt.widgets.dock import BROWSER, open_dock
from qt.buttons import button_in


def test_a_zip_leads_to_its_lesson_and_views_without_a_network_and_the_demo(
    qtbot: QtBot,
    viewer_in_window: Viewer,
    demo_at_home: Path,
    tmp_path: Path,
) -> None:
    portal = open_portal("demo")
    folder = write_lesson(tmp_path / "ribosomes", view_at(portal, (60.0, 400.0, 400.0)))
    views = [view_at(portal, (80.0, 300.0, 300.0), "A & B")]
    path = make_class_pack(
        portal, tmp_path / "class.zip", lessons=[folder], views=views, around_nm=1
    )
    for used in (demo_at_home, folder):
        shutil.rmtree(used)
    browser = open_dock(viewer_in_window, BROWSER)
    browser.use_source(path)
    notice = browser.screens.notice
    qtbot.waitUntil(lambda: "lesson" in notice.text)
    qtbot.mouseClick(notice.action, Qt.MouseButton.LeftButton)
    dock = open_dock(viewer_in_window, LESSON)
    qtbot.waitUntil(lambda: bool(dock.chooser.buttons))
    (button,) = dock.chooser.buttons
    assert button.text() == "Ribosomes"
    with qtbot.waitSignal(dock.ready):
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    (tomogram,) = (layer for layer in viewer_in_window.layers if about_of(layer).kind == "tomogram")
    assert about_of(tomogram).source == str(browser.session.source.location)
    status = browser.screens.status.label
    qtbot.waitUntil(lambda: "full resolution only in parts" in status.text())

    # and to its views
    qtbot.keyClick(dock.player.next_button, Qt.Key.Key_PageDown)
    browser.come_forward()
    browser.navigator.go_to_run(RUN)
    qtbot.waitUntil(lambda: browser.screens.run.page is not None)
    button_in(browser.screens.run, "Views ▾").click()
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu)
    menu.close()
    (action,) = (action for action in menu.actions() if action.text() == "A && B")
    with qtbot.waitSignal(restorer_of(browser).opened):
        action.trigger()
    assert viewer_in_window.dims.point[0] == pytest.approx(80, abs=20)
    assert not demo_at_home.exists()
