from functools import partial

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication

from napari_cryoet._qt import plugin
from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.reader import get_reader
from napari_cryoet._qt.streaming.progressive import StreamStatus, stream_of
from napari_cryoet._qt.widgets.dock import BROWSER, open_dock
from napari_cryoet.exceptions import FormatError, WithheldError
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.lessons.class_pack import zip_folder
from napari_cryoet.network.policy import policy as shared_policy
from napari_cryoet.network.policy import recall_once, save_data
from napari_cryoet.pages.breadcrumbs import Place
from napari_cryoet.settings import Settings
from napari_cryoet.streaming.pyramid import Pyramid
from napari_cryoet.views.view import Camera, View, ViewedRun, write_view
from server import Server

SHAPE_ZYX = (9, 14, 21)


@pytest.fixture
def viewer(viewer_in_hidden_window):
    return viewer_in_hidden_window


@pytest.fixture
def volume():
    return np.random.default_rng(0).normal(size=SHAPE_ZYX).astype(np.float32)


def test_a_zarr_opens_at_the_middle_without_reads_on_the_gui_thread(
    viewer, volume, tmp_path, off_gui_thread
):
    write_pyramid(tmp_path / "TS.zarr", volume, 13.48)
    off_gui_thread(Pyramid, "read")
    (layer,) = viewer.open(str(tmp_path / "TS.zarr"), plugin="napari-cryoet")
    QApplication.processEvents()

    assert isinstance(stream_of(layer), StreamStatus)
    assert viewer.dims.current_step == (4, 6, 10)


def test_a_dropped_zip_of_a_pack_opens_in_the_dock(qtbot, viewer, demo_pack, tmp_path, monkeypatch):
    monkeypatch.setattr(plugin, "viewer_to_ask_in", lambda: viewer)
    zip_folder(demo_pack, tmp_path / "class.zip")
    viewer.open(str(tmp_path / "class.zip"), plugin="napari-cryoet")
    session = open_dock(viewer, BROWSER).session
    qtbot.waitUntil(lambda: session.source is not None)
    assert session.source.kind == "pack"
    assert len(viewer.layers) == 0


def test_copying_citations_of_selected_layers_shows_a_message(viewer, demo_pack, monkeypatch):
    viewer.open(str(demo_pack), plugin="napari-cryoet")
    viewer.layers.selection = set(viewer.layers[:2]) | {viewer.add_points(np.zeros((1, 3)))}
    shown = []
    monkeypatch.setattr(plugin, "show_info", shown.append)

    plugin.copy_citations(viewer)

    text = QApplication.clipboard().text()
    assert "Licence: CC0-1.0" in text
    assert "DS-9000" in text
    assert shown == ["Copied the citations of 2 layers. 1 other layer had none."]


def test_declined_and_damaged_files_are_reported(tmp_path, monkeypatch):
    (tmp_path / "treasure.map").write_text("Here be dragons. " * 100)
    (tmp_path / "packed.mrc.gz").write_bytes(b"\x1f\x8b" + bytes(2000))
    shown = []
    monkeypatch.setattr(plugin, "viewer_to_ask_in", lambda: "a viewer")
    monkeypatch.setattr(plugin, "show_in_full", lambda text, _severity: shown.append(text))

    assert get_reader(str(tmp_path / "treasure.map")) is None
    with pytest.raises(FormatError, match="is compressed"):
        get_reader(str(tmp_path / "packed.mrc.gz"))(str(tmp_path / "packed.mrc.gz"))

    assert "leaves this to other readers" in shown[0]
    assert "treasure.map isn't an MRC file" in shown[0]
    assert "packed.mrc.gz is compressed" in shown[1]


@pytest.fixture
def saved_settings():
    """Settings from an earlier session that haven't been read yet."""
    recall_once.cache_clear()
    yield Settings()
    shared_policy().offline = False
    save_data()
    recall_once.cache_clear()


def test_saved_offline_mode_applies_without_a_dock(saved_settings, viewer, volume, tmp_path):
    write_pyramid(tmp_path / "TS.zarr", volume, 13.48)
    saved_settings.is_offline = True
    with Server(tmp_path) as served:
        with pytest.raises(WithheldError, match="offline mode is on"):
            get_reader(f"{served.url}/TS.zarr")
        assert served.requests == []
        shared_policy().offline = False  # as the user may choose
        assert get_reader(f"{served.url}/TS.zarr") is not None


# views and pages, which open in the dock


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_view_opens_before_the_window_is_shown_as_from_napari_s_command_line(
    qtbot, viewer, demo_at_home, tmp_path, kind
):
    place = {"point_zyx_angstrom": (0, 0, 0), "center_zyx_angstrom": (0, 0, 0)}
    camera = Camera(field_angstrom=(400, 600), **place)
    run = ViewedRun(source="demo", dataset_id=90001, run_name="DEMO_001")
    view = View(runs=(run,), camera=camera)
    text = view.link() if kind == "link" else str(write_view(view, tmp_path / "a"))
    assert viewer.open(text, plugin=None) == []
    browser = open_dock(viewer, BROWSER)
    qtbot.waitUntil(lambda: browser.screens.run.page is not None)


def test_pages_of_the_portal_open_in_the_dock(qtbot, viewer, portal, memory):
    browser = PortalBrowser(viewer, open_portal=lambda _source, _job: portal, memory=memory)
    viewer.window.add_dock_widget(browser, name=f"{BROWSER} (CryoET Explorer)")
    for place in (Place("run", 507), Place("dataset", 10000), Place("deposition", 10301)):
        page = f"https://cryoetdataportal.czscience.com/{place.kind}s/{place.id}?tab=x"
        assert viewer.open(page, plugin=None) == []
        qtbot.waitUntil(partial(is_at, browser, place))


def is_at(browser, place):
    return browser.navigator.crumbs[-1] == place
