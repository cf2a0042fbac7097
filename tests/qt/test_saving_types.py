"""napari's dialog that saves layers, with each type that it offers, and names whose ending nobody typed."""

import npe2
import numpy as np
import pytest
from napari._qt.qt_viewer import QFileDialog
from napari.layers import Labels, Points
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QMessageBox

from napari_cryoet._qt.layers.manager import add_layers
from napari_cryoet.exceptions import ExistsError, SaveError
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.formats.registry import read_picks
from napari_cryoet.layers.load import load_annotation, load_picks
from napari_cryoet.volumes import open_volume
from qt.two_picks import ROTATIONS, messages, two_picks

PLUGIN = "napari-cryoet"
PICKS = "CryoET Data Portal Picks"
MASKS = "CryoET Data Portal Masks"


@pytest.fixture
def viewer(viewer_in_window):
    return viewer_in_window


def add_picks(viewer):
    return next(made for made in add_layers(viewer, load_picks(two_picks(), name="80S")) if isinstance(made, Points))


def add_mask(viewer, folder):
    mask = np.zeros((9, 15, 21), np.int8)
    mask[4:6, 6:9, 8:20] = 1
    write_pyramid(folder / "source.zarr", mask, 13.48, "mask")
    (layer,) = (made for made in add_layers(viewer, load_annotation(folder / "source.zarr")))
    assert isinstance(layer, Labels)
    return layer, mask


@pytest.fixture
def save(monkeypatch):
    """Save a layer through napari's own dialog, as if somebody chose a name and a type in it; gives all types."""

    def save(viewer, layer, path, kind):
        offered = []

        def choose(*_arguments, filter, **_options):  # noqa: A002 - as Qt calls it
            offered.extend(filter.split(";;"))
            return str(path), next(each for each in offered if each.startswith(kind))

        monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
        viewer.layers.selection = {layer}
        viewer.layers.selection.active = layer
        viewer.window._qt_viewer._save_layers_dialog(selected=True)
        return offered

    return save


@pytest.mark.parametrize("name", ["a.star"])
def test_with_our_type_the_ending_says_the_format(viewer, tmp_path, save, name):
    save(viewer, add_picks(viewer), tmp_path / name, PICKS)

    np.testing.assert_allclose(read_picks(tmp_path / name).rotations_zyx, ROTATIONS, atol=1e-9)


@pytest.mark.parametrize("name", ["80S", "80S v. 2"])
def test_picks_whose_name_has_no_ending_are_written_as_ndjson(viewer, tmp_path, save, name):
    save(viewer, add_picks(viewer), tmp_path / name, PICKS)

    np.testing.assert_allclose(read_picks(tmp_path / f"{name}.ndjson").rotations_zyx, ROTATIONS, atol=1e-9)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["mask"])
def test_masks_whose_name_has_no_ending_are_written_as_zarr(viewer, tmp_path, save, name):
    layer, mask = add_mask(viewer, tmp_path)
    save(viewer, layer, tmp_path / name, MASKS)

    np.testing.assert_array_equal(open_volume(tmp_path / f"{name}.zarr").read_planes(slice(0, 9)), mask)


def test_an_ending_of_something_else_is_refused_still(viewer, tmp_path, save):
    with pytest.raises(SaveError, match=r"A name like a\.xyz"):
        save(viewer, add_picks(viewer), tmp_path / "a.xyz", PICKS)
    with pytest.raises(SaveError, match=r"A name like a\.tif"):
        save(viewer, add_mask(viewer, tmp_path)[0], tmp_path / "a.tif", MASKS)


class TestFilesThatNobodyNamed:
    def test_a_script_doesnt_replace_the_file_that_a_name_without_ending_comes_to(self, viewer, tmp_path):
        (tmp_path / "a.ndjson").write_text("precious")
        layer = add_picks(viewer)

        for save in (layer.save, viewer.layers.save):
            viewer.layers.selection = {layer}
            options = {} if save == layer.save else {"selected": True}
            with pytest.raises(ExistsError, match=r"There is a a\.ndjson already"):
                save(str(tmp_path / "a"), plugin=PLUGIN, **options)
        with pytest.raises(ExistsError, match=r"There is a a\.ndjson already"):
            npe2.write(tmp_path / "a", [layer], plugin_name=PLUGIN)
        assert (tmp_path / "a.ndjson").read_text() == "precious"

    def test_a_file_that_is_named_is_replaced_as_before(self, viewer, tmp_path):
        (tmp_path / "a.ndjson").write_text("old")
        add_picks(viewer).save(str(tmp_path / "a.ndjson"), plugin=PLUGIN)

        assert len(read_picks(tmp_path / "a.ndjson")) == 2

    @pytest.mark.parametrize(("button", "is_replaced"), [("Replace", True), ("Cancel", False)])
    def test_who_sees_the_window_is_asked(self, viewer, qtbot, tmp_path, save, button, is_replaced):
        layer, path = add_picks(viewer), tmp_path / "a.ndjson"
        path.write_text("precious")
        asked, done = [], []

        def press():
            box = QApplication.activeModalWidget()
            if isinstance(box, QMessageBox):
                asked.append(box.text())
                next(each for each in box.buttons() if each.text().replace("&", "") == button).click()

        def act():
            try:
                save(viewer, layer, tmp_path / "a", PICKS)
            except OSError as error:  # of napari, to which we gave no file
                done.append(error)
            else:
                done.append(None)

        timer = QTimer()
        timer.timeout.connect(press)
        timer.start(20)
        QTimer.singleShot(0, act)
        qtbot.waitUntil(lambda: bool(done))
        timer.stop()

        assert asked[0] == "There is a a.ndjson already. Replace it?"
        assert (path.read_text() != "precious") is is_replaced
        assert ("Nothing was written." in messages()) is not is_replaced
