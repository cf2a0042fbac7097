import threading

import numpy as np
import pytest
from napari.layers import Image, Labels, Points
from qtpy.QtWidgets import QApplication

from napari_cryoet._qt import plugin
from napari_cryoet._qt.settings import Settings, recall_once
from napari_cryoet._qt.streaming.progressive import StreamStatus, stream_of
from napari_cryoet.exceptions import FormatError, WithheldError
from napari_cryoet.formats.mrc import write_mrc
from napari_cryoet.formats.ndjson import lines_of
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.network.policy import policy as shared_policy
from napari_cryoet.network.policy import save_data
from napari_cryoet.picks import Picks
from napari_cryoet.streaming.pyramid import Pyramid
from server import Server

SHAPE_ZYX = (9, 14, 21)


@pytest.fixture
def viewer(viewer_in_hidden_window):
    return viewer_in_hidden_window


@pytest.fixture
def volume():
    return np.random.default_rng(0).normal(size=SHAPE_ZYX).astype(np.float32)


def test_a_zarr_opens_and_streams(viewer, volume, tmp_path):
    write_pyramid(tmp_path / "TS.zarr", volume, 13.48)

    (layer,) = viewer.open(str(tmp_path / "TS.zarr"), plugin="napari-cryoet")

    assert isinstance(layer, Image)
    assert isinstance(stream_of(layer), StreamStatus)
    assert layer.scale.tolist() == [13.48] * 3


@pytest.mark.parametrize("name", ["mask.zarr", "mask.mrc"])
def test_a_mask_opens_as_labels(viewer, tmp_path, name):
    mask = np.zeros(SHAPE_ZYX, np.int8)
    mask[4, 6, 8] = 1
    (
        write_pyramid(tmp_path / name, mask, 13.48, "mask")
        if name.endswith("zarr")
        else write_mrc(tmp_path / name, mask, 9)
    )

    (layer,) = viewer.open(str(tmp_path / name), plugin="napari-cryoet")

    assert isinstance(layer, Labels)
    assert isinstance(stream_of(layer), StreamStatus)


def test_points_open_and_show_as_discs(viewer, tmp_path):
    path = tmp_path / "VoxelSpacing10.000" / "ribosome.ndjson"
    path.parent.mkdir()
    path.write_bytes(b"".join(lines_of(Picks(np.array([[3.0, 2.0, 1.0], [40.0, 2.0, 1.0]])))))

    (layer,) = viewer.open(str(path), plugin="napari-cryoet")

    assert isinstance(layer, Points)
    viewer.dims.set_point(0, 100.0)  # 70 Å from the first point, whose radius is 150 Å
    assert list(layer._view_indices) == [0]


def test_addresses_open(viewer, demo_pack):
    from napari_cryoet.packs.serve import PackServer

    with PackServer(demo_pack) as server:
        for suffix, kind in ((".zarr", Image), (".ndjson", Points), (".mrc", Image)):
            path = next(path for path in sorted((demo_pack / "files").rglob(f"*{suffix}")) if "Tilt" not in str(path))
            url = f"{server.files_url.rstrip('/')}/{path.relative_to(demo_pack / 'files').as_posix()}"
            layers = viewer.open(url, plugin="napari-cryoet")
            assert layers, url
            assert isinstance(layers[-1], kind | Labels), url


def test_a_pack_opens_its_default_run(viewer, demo_pack):
    layers = viewer.open(str(demo_pack), plugin="napari-cryoet")

    assert isinstance(layers[0], Image)
    assert {str(unit) for layer in viewer.layers for unit in layer.units} == {"angstrom"}


def test_the_sample_is_the_demos_default_run(viewer, demo_pack, monkeypatch):
    monkeypatch.setattr("napari_cryoet.demo.write.ensure_demo_pack", lambda stop=None: demo_pack)

    layers = viewer.open_sample("napari-cryoet", "demo_run")

    assert layers[0].name.startswith("DEMO_001")
    assert len(layers) > 1


def test_no_voxel_is_read_on_the_gui_thread(viewer, volume, tmp_path, monkeypatch):
    write_pyramid(tmp_path / "TS.zarr", volume, 13.48)
    readers, read = set(), Pyramid.read

    def noted(self, *args, **options):
        readers.add(threading.current_thread())
        return read(self, *args, **options)

    monkeypatch.setattr(Pyramid, "read", noted)
    viewer.open(str(tmp_path / "TS.zarr"), plugin="napari-cryoet")
    QApplication.processEvents()

    assert readers
    assert threading.main_thread() not in readers


def test_what_nobody_can_read_is_refused_in_words(viewer, tmp_path):
    (tmp_path / "log.ndjson").write_text('{"type": "log"}\n')

    with pytest.raises(ValueError, match="refused the file"):
        viewer.open(str(tmp_path / "log.ndjson"), plugin="napari-cryoet")


def test_citations_of_the_selected_layers_are_copied_and_that_is_said(viewer, demo_pack, monkeypatch):
    viewer.open(str(demo_pack), plugin="napari-cryoet")
    viewer.layers.selection = set(viewer.layers[:2]) | {viewer.add_points(np.zeros((1, 3)))}
    said = []
    monkeypatch.setattr(plugin, "show_info", said.append)

    plugin.copy_citations(viewer)

    text = QApplication.clipboard().text()
    assert "Licence: CC0-1.0" in text
    assert "DS-9000" in text
    assert said == ["Copied whom to cite for 2 layers. 1 other layer didn't say."]


def test_what_is_declined_says_why_and_what_is_damaged_what_is_wrong(tmp_path, monkeypatch):
    (tmp_path / "treasure.map").write_text("Here be dragons. " * 100)
    (tmp_path / "empty.mrc").write_bytes(b"")
    (tmp_path / "packed.mrc.gz").write_bytes(b"\x1f\x8b" + bytes(2000))
    said = []
    monkeypatch.setattr(plugin, "viewer_to_ask_in", lambda: "a viewer")
    monkeypatch.setattr(plugin, "show_info", said.append)
    monkeypatch.setattr(plugin, "show_error", said.append)

    assert plugin.get_reader(str(tmp_path / "treasure.map")) is None
    with pytest.raises(FormatError, match="is empty"):
        plugin.get_reader(str(tmp_path / "empty.mrc"))(str(tmp_path / "empty.mrc"))
    with pytest.raises(FormatError, match="is compressed"):
        plugin.get_reader(str(tmp_path / "packed.mrc.gz"))(str(tmp_path / "packed.mrc.gz"))

    assert "leaves this to other readers" in said[0]
    assert "treasure.map is no MRC file" in said[0]
    assert "empty.mrc is empty" in said[1]
    assert "packed.mrc.gz is compressed" in said[2]


@pytest.fixture
def kept():
    """What was chosen in an earlier session, which nothing has looked at yet in this one."""
    recall_once.cache_clear()
    yield Settings()
    shared_policy().offline = False
    save_data()
    recall_once.cache_clear()


def test_offline_mode_of_an_earlier_session_holds_though_no_dock_was_opened(kept, viewer, volume, tmp_path):
    write_pyramid(tmp_path / "TS.zarr", volume, 13.48)
    kept.is_offline = True
    with Server(tmp_path) as served:
        with pytest.raises(WithheldError, match="offline mode is on"):
            plugin.get_reader(f"{served.url}/TS.zarr")
        assert served.requests == []
        shared_policy().offline = False  # by a person, who had rather have it
        assert plugin.get_reader(f"{served.url}/TS.zarr") is not None
