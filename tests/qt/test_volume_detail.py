"""Choosing the level shown in 3D in the dock, by its cost."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMenu

from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.streaming.progressive import stream_of
from napari_cryoet._qt.viewer import detail
from napari_cryoet.network.policy import save_data
from napari_cryoet.streaming import pyramid_of
from qt.docks import TOMOGRAM, dock_at_run, page_at, write_run
from server import Server

LONG_MS = 60_000
LEVEL_1_VOXELS = 4 * 256 * 256
DEFAULTS = ("_DEFAULT_VOXELS", "_DEFAULT_VOXELS_IN_SOFTWARE")


@pytest.fixture(autouse=True)
def no_data_saver():
    yield
    save_data()


@pytest.fixture(autouse=True)
def coarsest_level_by_default(monkeypatch):
    """Simulate large volumes, which are shown at the coarsest level until the user chooses another."""
    for name in DEFAULTS:
        monkeypatch.setattr(detail, name, 0)


@pytest.fixture
def level_1_by_default(monkeypatch):
    for name in DEFAULTS:
        monkeypatch.setattr(detail, name, LEVEL_1_VOXELS)


@pytest.fixture
def dock(qtbot, viewer_in_window, memory, tmp_path):
    """The dock in a window, at the page of a run on a server."""
    write_run(tmp_path)
    with Server(tmp_path) as served:
        page = page_at(served.url)
        browser = dock_at_run(qtbot, viewer_in_window, memory, page)
        yield browser
        browser.close_down()


def show(qtbot, dock: PortalBrowser):
    page = dock.screens.run.page
    dock.manager.open_tomogram(page, page.tomograms[0])
    qtbot.waitUntil(lambda: TOMOGRAM in dock.manager.shown(), timeout=LONG_MS)
    return dock.manager.layers_of(TOMOGRAM)[0]


def wait_exact(qtbot, layer, shape) -> None:
    def is_drawn():
        assert stream_of(layer).state.is_exact
        assert layer._slice.image.raw.shape == shape

    qtbot.waitUntil(is_drawn, timeout=LONG_MS)


def actions_by_level(menu: QMenu):
    return {
        action.text().split(",")[0]: action for action in menu.actions() if not action.isSeparator()
    }


def drop_levels(qtbot, dock: PortalBrowser) -> QMenu:
    strip = dock.screens.status
    qtbot.waitUntil(strip.levels.isVisible)
    strip.levels.setFocus()
    qtbot.keyClick(strip.levels, Qt.Key.Key_Space)
    qtbot.waitUntil(strip.levels_menu.isVisible)
    return strip.levels_menu


def test_the_3d_level_menu_shows_sizes_and_the_chosen_level_streams(qtbot, dock):
    layer, strip = show(qtbot, dock), dock.screens.status
    assert not strip.levels.isVisible()
    dock.viewer.dims.ndisplay = 3
    wait_exact(qtbot, layer, (2, 128, 128))
    menu = drop_levels(qtbot, dock)
    _, *actions = menu.actions()
    assert [action.text().split(",")[0] for action in actions] == ["level 2", "level 1", "level 0"]
    assert [action.text()[-3:] for action in actions] == [" KB", " MB", " MB"]
    assert [action.isChecked() for action in actions] == [True, False, False]
    menu.setActiveAction(actions[1])
    qtbot.keyClick(menu, Qt.Key.Key_Return)
    assert layer.locked_data_level == 1
    wait_exact(qtbot, layer, (4, 256, 256))
    assert np.array_equal(layer._slice.image.raw, pyramid_of(layer.data).read(1))
    assert "level 1" in strip.levels.accessibleName()
    dock.viewer.dims.ndisplay = 2
    qtbot.waitUntil(lambda: not strip.levels.isVisible())


@pytest.mark.usefixtures("level_1_by_default")
def test_the_finest_cheap_level_is_the_default_in_3d_only(qtbot, dock):
    layer = show(qtbot, dock)
    assert dock.volumes.chosen(layer) == 1
    assert layer.locked_data_level is None
    dock.viewer.dims.set_current_step(0, 6)
    for _ in range(2):
        dock.viewer.dims.ndisplay = 3
        assert layer.locked_data_level == 1
        assert str(layer.depiction) == "plane"
        assert layer.plane.position[0] == 6, "at the plane that was shown"
        wait_exact(qtbot, layer, (4, 256, 256))
        assert np.array_equal(layer._slice.image.raw, pyramid_of(layer.data).read(1))
        assert "level 1" in dock.screens.status.levels.accessibleName()
        dock.viewer.dims.ndisplay = 2
        assert layer.locked_data_level is None


@pytest.mark.usefixtures("level_1_by_default")
def test_coarse_only_shows_the_coarsest_level_until_another_is_chosen(qtbot, dock):
    save_data(coarse_only=True)
    dock.network.check()
    layer = show(qtbot, dock)
    dock.viewer.dims.ndisplay = 3
    wait_exact(qtbot, layer, (2, 128, 128))
    assert layer.locked_data_level is None
    dock.volumes.choose(layer, 1)
    wait_exact(qtbot, layer, (4, 256, 256))


def test_levels_that_are_too_large_are_disabled_with_a_reason(qtbot, dock, monkeypatch):
    monkeypatch.setattr(detail, "largest_texture_side", lambda: 300)
    monkeypatch.setattr(detail, "_USABLE_FRACTION", 1e-9)
    show(qtbot, dock)
    dock.viewer.dims.ndisplay = 3
    menu = drop_levels(qtbot, dock)
    actions = actions_by_level(menu)
    assert "graphics card" in actions["level 0"].text()
    assert "memory" in actions["level 1"].text()
    assert [actions[f"level {level}"].isEnabled() for level in (2, 1, 0)] == [True, False, False]
    menu.close()
