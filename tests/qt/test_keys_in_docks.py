"""Keys that are typed in a dock or in a plane: what they mean there, and never what they do to layers elsewhere."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from keyboard import SHIFT, controls_by_tab, has_keys, marks_of_keys, press, spoken
from napari_cryoet._qt.ortho.dock import OrthoViews


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


@pytest.fixture
def add(viewer, qtbot):
    def add(dock, area="right"):
        viewer.window.add_dock_widget(dock, area=area)
        qtbot.waitUntil(lambda: has_keys(dock))
        return dock

    yield add
    for view in viewer.window._qt_window.findChildren(OrthoViews):
        view.close_down()


@pytest.mark.slow
def test_orthogonal_views_take_the_keys_and_show_where_they_are(viewer, add):
    views = add(OrthoViews(viewer))
    assert has_keys(views.views[0])
    press(Qt.Key.Key_Backtab, SHIFT)
    press(Qt.Key.Key_Backtab, SHIFT)
    assert [spoken(control) for control in controls_by_tab(views)] == ["Link zoom", "Fit", "XZ plane", "YZ plane"]
    for theme in ("dark", "light"):
        viewer.theme = theme
        assert [spoken(view) for view in views.views if marks_of_keys(view, views) < 200] == []
