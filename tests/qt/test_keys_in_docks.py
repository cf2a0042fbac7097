"""Keys that are typed in a dock or in a plane: what they mean there, and never what they do to layers elsewhere."""

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton, QVBoxLayout

from keyboard import CONTROL, NONE, SHIFT, controls_by_tab, has_keys, marks_of_keys, press, spoken
from napari_cryoet._qt.dock import Dock
from napari_cryoet._qt.ortho_views import OrthoViews

EDITING_KEYS = [
    *((key, modifiers) for key in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace) for modifiers in (NONE, SHIFT, CONTROL)),
    *((key, CONTROL) for key in (Qt.Key.Key_A, Qt.Key.Key_C, Qt.Key.Key_V, Qt.Key.Key_X)),
    *((key, NONE) for key in (Qt.Key.Key_1, Qt.Key.Key_2, Qt.Key.Key_A, Qt.Key.Key_V)),
]


@pytest.fixture
def viewer(viewer_in_window, qtbot):
    viewer = viewer_in_window
    viewer.window.resize(1280, 800)
    viewer.add_image(np.zeros((6, 40, 56), np.float32), contrast_limits=(-1, 1))
    viewer.add_points([[1.0, 2, 3], [4, 5, 6]], name="picks")
    window = viewer.window._qt_window
    with qtbot.waitActive(window):
        window.activateWindow()
    return viewer


class OneButton(Dock):
    def __init__(self):
        super().__init__()
        self.button = QPushButton("Swap")
        QVBoxLayout(self).addWidget(self.button)


@pytest.fixture
def add(viewer, qtbot):
    def add(dock, area="right"):
        viewer.window.add_dock_widget(dock, area=area)
        qtbot.waitUntil(lambda: has_keys(dock))
        return dock

    yield add
    for view in viewer.window._qt_window.findChildren(OrthoViews):
        view.close_down()


def state_of(viewer):
    picks = viewer.layers["picks"]
    clipboard = getattr(picks, "_clipboard", {})
    return [layer.name for layer in viewer.layers], picks.data.tolist(), set(picks.selected_data), picks.mode, clipboard


@pytest.mark.parametrize("make", [OneButton, OrthoViews])
def test_keys_that_delete_copy_and_paste_leave_the_layers_alone(viewer, add, make):
    dock = add(make() if make is OneButton else make(viewer))
    picks = viewer.layers["picks"]
    viewer.layers.selection.active = picks
    for key, modifiers in EDITING_KEYS if make is OneButton else EDITING_KEYS[::3]:
        picks.selected_data, picks.visible = {1}, True
        before = state_of(viewer)
        press(key, modifiers)
        assert state_of(viewer) == before, (key, modifiers)
        assert picks.visible
        assert has_keys(dock)


def test_orthogonal_views_take_the_keys_and_show_where_they_are(viewer, add):
    views = add(OrthoViews(viewer))
    assert has_keys(views.views[0])
    press(Qt.Key.Key_Backtab, SHIFT)
    press(Qt.Key.Key_Backtab, SHIFT)
    assert [spoken(control) for control in controls_by_tab(views)] == ["Link zoom", "Fit", "XZ plane", "YZ plane"]
    for theme in ("dark", "light"):
        viewer.theme = theme
        assert [spoken(view) for view in views.views if marks_of_keys(view, views) < 200] == []
