"""Which level is shown in 3D is chosen in the dock, knowing what it costs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from napari.layers._layer_actions import _duplicate_layer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMenu

from napari_cryoet._qt import level_menu, texture_limit, volume_detail
from napari_cryoet._qt.browser import PortalBrowser
from napari_cryoet._qt.layer_menu import LayerMenu
from napari_cryoet._qt.own_layers import LayerKey
from napari_cryoet._qt.texture_limit import draws_in_software, largest_texture_side
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.network.policy import save_data
from napari_cryoet.streaming import open_pyramid, pyramid_of
from napari_cryoet.streaming.plan import LevelCost
from qt.docks import dock_at_run
from qt.stalling_world import MASK, TOMOGRAM, page_of_world, write_world
from stream_server import StreamServer

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
    write_world(tmp_path)
    with StreamServer(tmp_path) as served:
        page = page_of_world(lambda name: f"{served.url}/{name}")
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
    dock._viewer.dims.ndisplay = 3
    qtbot.waitUntil(strip.levels.isVisible)
    assert strip.levels.accessibleName().startswith("3D detail: level 2, ")
    menu = drop_levels(qtbot, dock)
    heading, *texts = [action.text() for action in menu.actions()]
    assert heading.startswith("3D detail of TS_026")
    assert [text.split(",")[0] for text in texts] == ["level 2", "level 1", "level 0"]
    assert texts[0].endswith("KB (shown)")
    assert [text[-3:] for text in texts[1:]] == [" MB", " MB"]
    menu.close()
    dock._viewer.dims.ndisplay = 2
    qtbot.waitUntil(lambda: not strip.levels.isVisible())


@pytest.mark.parametrize("key", [TOMOGRAM, MASK])
def test_a_level_is_chosen_by_keys_and_streams(qtbot, dock, key):
    layer = show(qtbot, dock, key)
    dock._viewer.dims.ndisplay = 3
    wait_exact(qtbot, dock, key, (2, 128, 128))
    take(qtbot, drop_levels(qtbot, dock), 1)
    assert layer.locked_data_level == 1
    wait_exact(qtbot, dock, key, (4, 256, 256))
    assert np.array_equal(layer._slice.image.raw, pyramid_of(layer.data).read(1))
    assert "level 1" in dock.screens.status.levels.accessibleName()


def test_what_was_chosen_in_3d_leaves_planes_alone_and_comes_back(qtbot, dock):
    layer = show(qtbot, dock, TOMOGRAM)
    dock.volumes.choose(TOMOGRAM, 0)
    assert layer.locked_data_level is None
    dock._viewer.dims.ndisplay = 3
    assert layer.locked_data_level == 0
    wait_exact(qtbot, dock, TOMOGRAM, (8, 512, 512))
    dock._viewer.dims.ndisplay = 2
    assert layer.locked_data_level is None
    dock._viewer.dims.ndisplay = 3
    assert layer.locked_data_level == 0


@pytest.mark.usefixtures("level_1_unasked")
@pytest.mark.parametrize("key", [TOMOGRAM, MASK])
def test_the_finest_level_that_costs_little_fills_in_unasked_and_leaves_planes_alone(qtbot, dock, key):
    layer = show(qtbot, dock, key)
    assert dock.volumes.chosen(key) == 1
    assert layer.locked_data_level is None
    for _ in range(2):
        dock._viewer.dims.ndisplay = 3
        assert layer.locked_data_level == 1
        wait_exact(qtbot, dock, key, (4, 256, 256))
        assert np.array_equal(layer._slice.image.raw, pyramid_of(layer.data).read(1))
        assert "level 1" in dock.screens.status.levels.accessibleName()
        dock._viewer.dims.ndisplay = 2
        assert layer.locked_data_level is None


@pytest.mark.usefixtures("level_1_unasked")
def test_a_volume_that_comes_while_volumes_are_shown_fills_in_too_until_another_level_is_chosen(qtbot, dock):
    dock._viewer.dims.ndisplay = 3
    layer = show(qtbot, dock, TOMOGRAM)
    wait_exact(qtbot, dock, TOMOGRAM, (4, 256, 256))
    layer.locked_data_level = None  # by napari's own control
    show(qtbot, dock, MASK)
    assert layer.locked_data_level is None
    dock.volumes.choose(TOMOGRAM, 2)
    dock._viewer.dims.ndisplay = 2
    dock._viewer.dims.ndisplay = 3
    assert layer.locked_data_level == 2
    assert dock.link.layers_of(MASK)[0].locked_data_level == 1


@pytest.mark.usefixtures("level_1_unasked")
def test_what_napari_was_told_to_show_stays_unasked(qtbot, dock):
    layer = show(qtbot, dock, TOMOGRAM)
    layer.locked_data_level = 0
    dock._viewer.dims.ndisplay = 3
    dock._viewer.dims.ndisplay = 2
    assert layer.locked_data_level == 0


@pytest.mark.usefixtures("level_1_unasked")
def test_coarse_only_leaves_volumes_at_their_coarsest_level(qtbot, dock):
    save_data(coarse_only=True)
    dock.network.look()
    layer = show(qtbot, dock, TOMOGRAM)
    dock._viewer.dims.ndisplay = 3
    wait_exact(qtbot, dock, TOMOGRAM, (2, 128, 128))
    assert layer.locked_data_level is None


@pytest.mark.usefixtures("level_1_unasked")
def test_what_this_graphics_card_cannot_draw_is_not_shown_unasked(qtbot, dock, monkeypatch):
    monkeypatch.setattr(volume_detail, "largest_texture_side", lambda: 200)
    layer = show(qtbot, dock, TOMOGRAM)
    dock._viewer.dims.ndisplay = 3
    wait_exact(qtbot, dock, TOMOGRAM, (2, 128, 128))
    assert layer.locked_data_level is None


@pytest.mark.parametrize(("is_software", "level"), [(False, 0), (True, 1), (None, 1)])
def test_less_is_shown_unasked_where_no_graphics_card_is_known_of(is_software, level, qtbot, dock, monkeypatch):
    monkeypatch.setattr(volume_detail, "draws_in_software", lambda: is_software)
    monkeypatch.setattr(volume_detail, UNASKED[0], 8 * ALL_OF_LEVEL_1)
    monkeypatch.setattr(volume_detail, UNASKED[1], ALL_OF_LEVEL_1)
    layer = show(qtbot, dock, TOMOGRAM)
    dock._viewer.dims.ndisplay = 3
    assert layer.locked_data_level == level


@pytest.mark.parametrize(
    ("driver", "expected"),
    [
        ("llvmpipe (LLVM 15.0.6, 256 bits)", True),
        ("Software Rasterizer", True),
        ("ANGLE (Google, Vulkan 1.3.0 (SwiftShader Device (Subzero)), SwiftShader driver)", True),
        ("GDI Generic", True),
        ("Apple Software Renderer", True),
        ("NVIDIA GeForce RTX 3080/PCIe/SSE2", False),
        ("Mesa Intel(R) UHD Graphics 620 (KBL GT2)", False),
        ("Apple M2", False),
    ],
)
def test_drivers_that_draw_with_the_processor_are_known_by_their_names(driver, expected, qtbot, dock, monkeypatch):
    show(qtbot, dock, TOMOGRAM)
    dock._viewer.screenshot(flash=False)
    monkeypatch.setattr(texture_limit, "_asked_name", lambda: driver)
    assert draws_in_software() is expected


def test_the_driver_is_asked_once_something_is_drawn(qtbot, dock):
    show(qtbot, dock, TOMOGRAM)
    dock._viewer.screenshot(flash=False)
    assert texture_limit._asked_name()


def test_a_copy_that_is_made_in_3d_is_fine_again_in_planes(qtbot, dock):
    layer = show(qtbot, dock, TOMOGRAM)
    viewer = dock._viewer
    viewer.dims.ndisplay = 3
    dock.volumes.choose(TOMOGRAM, 1)
    viewer.layers.selection = {layer}
    _duplicate_layer(viewer.layers)
    copy = viewer.layers[viewer.layers.index(layer) + 1]
    assert copy.locked_data_level == 1
    viewer.dims.ndisplay = 2
    assert copy.locked_data_level is None
    copy.locked_data_level = 2  # by napari's own control
    viewer.dims.ndisplay = 3
    viewer.dims.ndisplay = 2
    assert copy.locked_data_level == 2


def test_a_level_that_was_chosen_outright_comes_in_spite_of_coarse_only(qtbot, dock):
    save_data(coarse_only=True)
    dock.network.look()
    show(qtbot, dock, TOMOGRAM)
    dock._viewer.dims.ndisplay = 3
    dock.volumes.choose(TOMOGRAM, 1)
    wait_exact(qtbot, dock, TOMOGRAM, (4, 256, 256))


def test_what_is_too_large_says_for_what_and_cannot_be_chosen(qtbot, dock, monkeypatch):
    for module in (volume_detail, level_menu):
        monkeypatch.setattr(module, "largest_texture_side", lambda: 300)
    monkeypatch.setattr(volume_detail, "_USABLE_SHARE", 1e-9)
    show(qtbot, dock, TOMOGRAM)
    dock._viewer.dims.ndisplay = 3
    menu = drop_levels(qtbot, dock)
    actions = offered(menu)
    assert actions["level 0"].text().endswith("too large for this graphics card (512 of 300 voxels a side)")
    assert "too large for memory (1.05 MB of" in actions["level 1"].text()
    assert [actions[f"level {level}"].isEnabled() for level in (2, 1, 0)] == [True, False, False]
    menu.close()


def test_the_menu_of_a_row_has_the_levels_too(qtbot, dock):
    show(qtbot, dock, TOMOGRAM)
    rows = dock.screens.run.tomograms
    rows.menu_requested.emit(rows.current_tomogram, rows.mapToGlobal(rows.rect().center()))
    (menu,) = dock.screens.run.findChildren(LayerMenu)
    assert list(offered(menu.levels)) == ["level 2", "level 1", "level 0"]
    offered(menu.levels)["level 1"].trigger()
    assert dock.volumes.chosen(TOMOGRAM) == 1
    menu.close()


def test_the_limit_of_the_graphics_card_is_known_once_something_is_drawn(qtbot, dock):
    show(qtbot, dock, TOMOGRAM)
    dock._viewer.screenshot(flash=False)
    assert largest_texture_side() >= 256


def test_costs_are_said_in_words():
    cost = LevelCost(level=1, wire_bytes=107_000_000, memory_bytes=222_000_000, largest_side=480, obstacle=None)
    assert level_menu.level_text(cost) == "level 1, 107 MB"
    assert level_menu.level_text(cost, is_shown=True) == "level 1, 107 MB (shown)"


@pytest.mark.usefixtures("level_1_unasked")
def test_what_somebody_locks_in_planes_stays_locked_whatever_3d_showed_before(qtbot, dock):
    layer = show(qtbot, dock, TOMOGRAM)
    viewer = dock._viewer
    viewer.layers.selection = {layer}
    _duplicate_layer(viewer.layers)
    copy = viewer.layers[viewer.layers.index(layer) + 1]
    viewer.dims.ndisplay = 3
    viewer.dims.ndisplay = 2
    layer.locked_data_level = copy.locked_data_level = 1  # by napari's own control
    viewer.dims.ndisplay = 3
    viewer.dims.ndisplay = 2
    assert (layer.locked_data_level, copy.locked_data_level) == (1, 1)


@pytest.mark.usefixtures("level_1_unasked")
def test_planes_are_fine_again_after_3d_where_the_dock_was_closed_meanwhile(qtbot, dock):
    layer = show(qtbot, dock, TOMOGRAM)
    dock._viewer.dims.ndisplay = 3
    assert layer.locked_data_level == 1
    dock.close_down()
    assert layer.locked_data_level == 1  # what is seen stays as it is
    dock._viewer.dims.ndisplay = 2
    assert layer.locked_data_level is None


def test_what_somebody_locks_in_planes_is_locked_again_though_another_level_was_chosen_for_3d(qtbot, dock):
    layer = show(qtbot, dock, TOMOGRAM)
    dock.volumes.choose(TOMOGRAM, 1)
    layer.locked_data_level = 0  # by napari's own control
    dock._viewer.dims.ndisplay = 3
    assert layer.locked_data_level == 1
    dock.volumes.choose(TOMOGRAM, 2)
    dock._viewer.dims.ndisplay = 2
    assert layer.locked_data_level == 0


def test_a_level_is_chosen_for_the_image_that_a_layer_shows_and_for_no_other_one(qtbot, dock, tmp_path):
    layer = show(qtbot, dock, TOMOGRAM)
    dock.volumes.choose(TOMOGRAM, 2)
    write_pyramid(tmp_path / "small.zarr", np.ones((8, 512, 512), np.float32), 10.0)
    attributes = json.loads((tmp_path / "small.zarr/.zattrs").read_text())
    attributes["multiscales"][0]["datasets"].pop()
    (tmp_path / "small.zarr/.zattrs").write_text(json.dumps(attributes))
    layer.data = open_pyramid(tmp_path / "small.zarr").levels
    assert dock.volumes.chosen(TOMOGRAM) == 1
    dock._viewer.dims.ndisplay = 3
    assert layer.locked_data_level is None
    wait_exact(qtbot, dock, TOMOGRAM, (4, 256, 256))


@pytest.mark.usefixtures("level_1_unasked")
def test_another_image_that_a_layer_is_given_in_3d_fills_in_too(qtbot, dock, tmp_path):
    layer = show(qtbot, dock, TOMOGRAM)
    dock._viewer.dims.ndisplay = 3
    write_pyramid(tmp_path / "other.zarr", np.ones((8, 512, 512), np.float32), 10.0)
    layer.data = open_pyramid(tmp_path / "other.zarr").levels
    wait_exact(qtbot, dock, TOMOGRAM, (4, 256, 256))
    assert "level 1" in dock.screens.status.levels.accessibleName()


def test_the_data_saver_holds_in_planes_after_3d_where_the_dock_was_closed_meanwhile(qtbot, dock):
    save_data(coarse_only=True)
    dock.network.look()
    show(qtbot, dock, TOMOGRAM)
    dock._viewer.dims.ndisplay = 3
    dock.volumes.choose(TOMOGRAM, 0)
    display = dock.link.display_of(TOMOGRAM)
    dock.close_down()
    assert display.largest_view_bytes > 0  # what is seen stays as it is
    dock._viewer.dims.ndisplay = 2
    assert display.largest_view_bytes == 0
