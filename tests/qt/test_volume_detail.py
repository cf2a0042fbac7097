"""Which level is shown in 3D is chosen in the dock, knowing what it costs."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMenu

from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.layers.ownership import LayerKey
from napari_cryoet._qt.streaming import volume_detail
from napari_cryoet.network.policy import save_data
from napari_cryoet.streaming import pyramid_of
from qt.docks import TOMOGRAM, dock_at_run, page_at, write_run
from server import Server

LONG_MS = 60_000
ALL_OF_LEVEL_1 = 4 * 256 * 256  # voxels
UNASKED = ("_UNASKED_VOXELS", "_UNASKED_VOXELS_IN_SOFTWARE")


@pytest.fixture(autouse=True)
def no_data_saver():
    yield
    save_data()


@pytest.fixture(autouse=True)
def nothing_unasked(monkeypatch):
    """As with volumes that are large: shown at their coarsest level until somebody chooses."""
    for name in UNASKED:
        monkeypatch.setattr(volume_detail, name, 0)


@pytest.fixture
def level_1_unasked(monkeypatch):
    for name in UNASKED:
        monkeypatch.setattr(volume_detail, name, ALL_OF_LEVEL_1)


@pytest.fixture
def dock(qtbot, viewer_in_window, memory, tmp_path):
    """The dock in a window, at the page of a run on a server."""
    write_run(tmp_path)
    with Server(tmp_path) as served:
        page = page_at(served.url)
        browser = dock_at_run(qtbot, viewer_in_window, memory, page)
        yield browser
        browser.close_down()


def show(qtbot, dock: PortalBrowser, key: LayerKey):
    page = dock.screens.run.page
    if key == TOMOGRAM:
        dock.link.open_tomogram(page, page.tomograms[0])
    else:
        dock.link.show_annotation(page, next(file for file in page.annotation_files if file.id == key.id))
    qtbot.waitUntil(lambda: key in dock.link.shown(), timeout=LONG_MS)
    return dock.link.layers_of(key)[0]


def wait_exact(qtbot, dock: PortalBrowser, key: LayerKey, shape) -> None:
    layer = dock.link.layers_of(key)[0]

    def is_drawn():
        assert dock.link.stream_of(key).state.is_exact
        assert layer._slice.image.raw.shape == shape

    qtbot.waitUntil(is_drawn, timeout=LONG_MS)


def offered(menu: QMenu):
    return {action.text().split(",")[0]: action for action in menu.actions() if not action.isSeparator()}


def drop_levels(qtbot, dock: PortalBrowser) -> QMenu:
    strip = dock.screens.status
    qtbot.waitUntil(strip.levels.isVisible)
    strip.levels.setFocus()
    qtbot.keyClick(strip.levels, Qt.Key.Key_Space)
    qtbot.waitUntil(strip.levels_menu.isVisible)
    return strip.levels_menu


def take(qtbot, menu: QMenu, level: int) -> None:
    menu.setActiveAction(offered(menu)[f"level {level}"])
    qtbot.keyClick(menu, Qt.Key.Key_Return)


def test_levels_are_offered_in_3d_with_what_they_cost(qtbot, dock):
    show(qtbot, dock, TOMOGRAM)
    strip = dock.screens.status
    assert not strip.levels.isVisible()
    dock.viewer.dims.ndisplay = 3
    qtbot.waitUntil(strip.levels.isVisible)
    assert strip.levels.accessibleName().startswith("3D detail: level 2, ")
    menu = drop_levels(qtbot, dock)
    heading, *texts = [action.text() for action in menu.actions()]
    assert heading.startswith("3D detail of TS_026")
    assert [text.split(",")[0] for text in texts] == ["level 2", "level 1", "level 0"]
    assert [text[-3:] for text in texts] == [" KB", " MB", " MB"]
    assert [action.isChecked() for action in menu.actions()[1:]] == [True, False, False]
    menu.close()
    dock.viewer.dims.ndisplay = 2
    qtbot.waitUntil(lambda: not strip.levels.isVisible())


def test_a_level_is_chosen_by_keys_and_streams(qtbot, dock):
    key = TOMOGRAM
    layer = show(qtbot, dock, key)
    dock.viewer.dims.ndisplay = 3
    wait_exact(qtbot, dock, key, (2, 128, 128))
    take(qtbot, drop_levels(qtbot, dock), 1)
    assert layer.locked_data_level == 1
    wait_exact(qtbot, dock, key, (4, 256, 256))
    assert np.array_equal(layer._slice.image.raw, pyramid_of(layer.data).read(1))
    assert "level 1" in dock.screens.status.levels.accessibleName()


@pytest.mark.usefixtures("level_1_unasked")
def test_the_finest_level_that_costs_little_fills_in_unasked_and_leaves_planes_alone(qtbot, dock):
    key = TOMOGRAM
    layer = show(qtbot, dock, key)
    assert dock.volumes.chosen(key) == 1
    assert layer.locked_data_level is None
    for _ in range(2):
        dock.viewer.dims.ndisplay = 3
        assert layer.locked_data_level == 1
        wait_exact(qtbot, dock, key, (4, 256, 256))
        assert np.array_equal(layer._slice.image.raw, pyramid_of(layer.data).read(1))
        assert "level 1" in dock.screens.status.levels.accessibleName()
        dock.viewer.dims.ndisplay = 2
        assert layer.locked_data_level is None


@pytest.mark.usefixtures("level_1_unasked")
def test_coarse_only_leaves_volumes_at_their_coarsest_level_until_another_is_chosen(qtbot, dock):
    save_data(coarse_only=True)
    dock.network.look()
    layer = show(qtbot, dock, TOMOGRAM)
    dock.viewer.dims.ndisplay = 3
    wait_exact(qtbot, dock, TOMOGRAM, (2, 128, 128))
    assert layer.locked_data_level is None
    dock.volumes.choose(TOMOGRAM, 1)
    wait_exact(qtbot, dock, TOMOGRAM, (4, 256, 256))


def test_what_is_too_large_says_for_what_and_cannot_be_chosen(qtbot, dock, monkeypatch):
    monkeypatch.setattr(volume_detail, "largest_texture_side", lambda: 300)
    monkeypatch.setattr(volume_detail, "_USABLE_SHARE", 1e-9)
    show(qtbot, dock, TOMOGRAM)
    dock.viewer.dims.ndisplay = 3
    menu = drop_levels(qtbot, dock)
    actions = offered(menu)
    assert actions["level 0"].text().endswith("too large for the graphics card")
    assert actions["level 1"].text().endswith("too large for the memory")
    assert [actions[f"level {level}"].isEnabled() for level in (2, 1, 0)] == [True, False, False]
    menu.close()
