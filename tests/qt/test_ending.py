"""A program that ends while a window is open ends in order."""

from __future__ import annotations

import subprocess
import sys

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QMainWindow

from napari_cryoet._qt import ending
from napari_cryoet._qt.dock import Dock

#: As somebody does who leaves IPython while napari is open.
LEAVES_THE_WINDOW_OPEN = """
import sys
import napari
from qtpy.QtTest import QTest
from napari_cryoet import add_layers, load_tomogram, open_portal

viewer = napari.Viewer(show=True, show_welcome_screen=False)
add_layers(viewer, [load_tomogram(open_portal(sys.argv[1]).run_page(9001).default_tomogram)])
_, views = viewer.window.add_plugin_dock_widget("napari-cryoet", "Orthogonal views")
while not all(view.model.layers for view in views.views):
    QTest.qWait(20)
print("open", flush=True)
"""


@pytest.fixture
def window(qtbot):
    window = QMainWindow()
    qtbot.addWidget(window)
    window.show()
    return window


@pytest.fixture
def hold(window):
    """Put a dock into the window; gives what holds it."""

    def hold():
        holder = QDockWidget(window)
        holder.setWidget(Dock())
        window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, holder)
        return holder

    return hold


def test_a_script_that_ends_while_orthogonal_views_are_open_does_not_crash(demo_pack):
    command = [sys.executable, "-c", LEAVES_THE_WINDOW_OPEN, str(demo_pack)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)

    assert (ended.returncode, ended.stdout) == (0, "open\n"), ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("floats", [False, True], ids=["in the window", "floating"])
def test_the_window_of_a_dock_is_closed_before_the_end(window, hold, floats):
    hold().setFloating(floats)

    ending._close_windows()

    assert not window.isVisible()


def test_docks_that_qt_has_ended_and_windows_that_are_closed_are_left_alone(window, hold, qtbot):
    holder = hold()
    window.close()
    holder.widget().deleteLater()
    qtbot.wait(20)

    ending._close_windows()

    assert not window.isVisible()
