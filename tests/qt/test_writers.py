"""Save as… and open again, through napari, in a real viewer."""

from __future__ import annotations

import npe2
import numpy as np
import pytest
from napari._qt.qt_viewer import QFileDialog
from napari.layers import Labels, Points, Vectors
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QInputDialog, QMessageBox

from napari_cryoet._qt.files.writers import write_labels, write_points
from napari_cryoet._qt.layers.manager import add_layers
from napari_cryoet.exceptions import ExistsError, SaveError
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.formats.registry import read_picks
from napari_cryoet.layers.load import load_annotation, load_picks
from napari_cryoet.layers.specs import METADATA_KEY
from napari_cryoet.picks import Picks
from napari_cryoet.volumes import open_volume
from qt.two_picks import ROTATIONS, messages, two_picks

PLUGIN = "napari-cryoet"
PICKS = "CryoET Data Portal Picks"
MASKS = "CryoET Data Portal Masks"


def add_picks(viewer, name="80S"):
    return next(made for made in add_layers(viewer, load_picks(two_picks(), name=name)) if isinstance(made, Points))


def add_mask(viewer, folder):
    mask = np.zeros((9, 15, 21), np.int8)
    mask[4:6, 6:9, 8:20] = 1
    write_pyramid(folder / "source.zarr", mask, 13.48, "mask")
    (layer,) = add_layers(viewer, load_annotation(folder / "source.zarr"))
    assert isinstance(layer, Labels)
    return layer, mask


class TestByAScript:
    @pytest.fixture
    def viewer(self, viewer_in_window):
        return viewer_in_window

    @pytest.fixture
    def layer(self, viewer):
        return add_picks(viewer)

    @pytest.mark.parametrize("name", ["a.ndjson", "a.star", "a.tbl", "a.parquet"])
    def test_points_are_saved_with_all_that_is_known_of_them_and_open_again(self, viewer, layer, tmp_path, name):
        layer.data = np.add(layer.data, [0.5, 0.0, 0.0])
        assert str(tmp_path / name) in layer.save(str(tmp_path / name), plugin=PLUGIN)

        viewer.layers.clear()
        opened = viewer.open(str(tmp_path / name), plugin=PLUGIN)
        (points,) = [made for made in opened if isinstance(made, Points)]
        found = read_picks(tmp_path / name)
        np.testing.assert_allclose(points.data, np.add(two_picks().points_zyx, [0.5, 0, 0]))
        np.testing.assert_allclose(found.rotations_zyx, ROTATIONS, atol=1e-9)
        assert points.scale.tolist() == [10.0] * 3
        assert found.about["authors"] == ["Ada"]
        assert found.alignment_id == 17

    def test_points_that_are_selected_with_their_arrows_keep_their_rotations(self, viewer, layer, tmp_path):
        viewer.layers.selection = set(viewer.layers)
        assert any(isinstance(made, Vectors) for made in viewer.layers.selection)

        assert str(tmp_path / "a.star") in viewer.layers.save(str(tmp_path / "a.star"), selected=True)
        np.testing.assert_allclose(read_picks(tmp_path / "a.star").rotations_zyx, ROTATIONS, atol=1e-9)

        viewer.add_vectors(np.ones((2, 2, 3)), name="flow")
        with pytest.raises(SaveError, match="flow are no picks' arrows"):
            viewer.layers.save(str(tmp_path / "b.star"))
        assert not (tmp_path / "b.star").exists()

    def test_what_a_format_cant_hold_is_told_in_words(self, layer, tmp_path):
        layer.features["by"] = ["me", "you"]
        layer.save(str(tmp_path / "a.tbl"), plugin=PLUGIN)

        assert "Wrote 2 picks to a.tbl (Dynamo table)." in messages()
        assert "A table has no column for by" in messages()

    @pytest.mark.parametrize("name", ["a.star", "a.csv"])
    def test_anybodys_points_are_saved_too(self, viewer, tmp_path, name):
        points = viewer.add_points(np.ones((2, 3)), scale=(1, 1, 1), units="nm", features={"score": [0.25, 0.5]})
        points.save(str(tmp_path / name), plugin=PLUGIN)

        assert read_picks(tmp_path / name).spacing_angstrom == 10.0
        assert read_picks(tmp_path / name).scores.tolist() == [0.25, 0.5]

    @pytest.mark.parametrize("name", ["mask.zarr", "mask.mrc"])
    def test_labels_are_saved_as_a_mask(self, viewer, tmp_path, name):
        mask = np.zeros((9, 14, 21), dtype=np.int64)
        mask[4, 6, 8] = 700
        labels = viewer.add_labels(mask, scale=(13.48,) * 3, units="angstrom")
        labels.save(str(tmp_path / name), plugin=PLUGIN)
        volume = open_volume(tmp_path / name)

        np.testing.assert_array_equal(volume.read_planes(slice(0, 9)), mask)
        np.testing.assert_allclose(volume.spacing_angstrom, [13.48] * 3, rtol=1e-6)

    def test_a_streaming_mask_is_saved_in_full_resolution(self, viewer, tmp_path):
        labels, mask = add_mask(viewer, tmp_path)
        labels.save(str(tmp_path / "copy.mrc"), plugin=PLUGIN)

        np.testing.assert_array_equal(open_volume(tmp_path / "copy.mrc").read_planes(slice(0, 9)), mask)

    def test_a_mask_that_is_flipped_in_the_viewer_is_refused(self, viewer, tmp_path):
        labels = viewer.add_labels(np.ones((4, 4, 4), np.uint8), scale=(13.48, -13.48, 13.48), units="angstrom")
        with pytest.raises(SaveError, match="flipped"):
            labels.save(str(tmp_path / "mask.mrc"), plugin=PLUGIN)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("name", ["a", "a.ndjson", "a.star"])
    def test_no_file_is_replaced(self, viewer, layer, tmp_path, name):
        place = tmp_path / (name if "." in name else f"{name}.ndjson")
        place.write_text("precious")
        viewer.layers.selection = {layer}

        for save in (
            lambda path: layer.save(path, plugin=PLUGIN),
            lambda path: viewer.layers.save(path, plugin=PLUGIN, selected=True),
            lambda path: npe2.write(path, [layer], plugin_name=PLUGIN),
        ):
            with pytest.raises(ExistsError, match="already"):
                save(str(tmp_path / name))
        assert place.read_text() == "precious"


class TestAFolder:
    @pytest.fixture
    def viewer(self, viewer_in_window):
        """With two sets of picks, one of them with arrows."""
        viewer = viewer_in_window
        add_picks(viewer, "ribosomes")
        add_layers(viewer, load_picks(Picks([[7.0, 8.0, 9.0]], 13.48, scores=[0.5]), name="a/b: *"))
        return viewer

    def test_several_layers_of_picks_keep_all_that_is_known_of_them(self, viewer, tmp_path):
        written = viewer.layers.save(str(tmp_path / "all"))  # whichever plugin is asked

        found = read_picks(tmp_path / "all" / "ribosomes.ndjson")
        np.testing.assert_allclose(found.rotations_zyx, ROTATIONS, atol=1e-9)
        assert (found.spacing_angstrom, found.shape_zyx, found.alignment_id) == (10.0, (40, 50, 60), 17)
        (other,) = (path for path in written if "ribosomes" not in path)
        assert read_picks(other).spacing_angstrom == 13.48
        assert len(written) == 2
        assert "into the folder all" in messages()

    def test_masks_are_saved_with_picks_and_tomograms_are_not(self, viewer, tmp_path):
        mask = np.zeros((9, 14, 21), dtype=np.int64)
        mask[4, 6, 8] = 1
        world = {"scale": (13.48,) * 3, "units": "angstrom"}
        viewer.add_labels(mask, name="vesicles", **world)
        viewer.add_image(np.zeros((4, 5, 6)), name="TS_1", metadata={METADATA_KEY: {"kind": "tomogram"}}, **world)
        written = viewer.layers.save(str(tmp_path / "all"))

        volume = open_volume(tmp_path / "all" / "vesicles.zarr")
        np.testing.assert_array_equal(volume.read_planes(slice(0, 9)), mask)
        assert {path.rsplit(".", 1)[1] for path in written} == {"ndjson", "zarr"}
        assert "TS_1 isn't written: only picks and masks are." in messages()

    def test_all_layers_are_saved_or_none(self, viewer, tmp_path):
        world = {"scale": (10,) * 3, "units": "angstrom"}
        viewer.add_labels(np.ones((4, 5, 6), int), name="turned", rotate=(0, 0, 30), **world)
        with pytest.raises(SaveError, match="rotated or sheared"):
            viewer.layers.save(str(tmp_path / "all"))
        viewer.layers.remove("turned")
        viewer.add_labels(-np.ones((4, 5, 6), int), name="negative", **world)
        with pytest.raises(SaveError, match="no values below 0"):
            viewer.layers.save(str(tmp_path / "all"))

        assert list(tmp_path.iterdir()) == []

    def test_no_folder_that_is_there_is_touched(self, viewer, tmp_path):
        (tmp_path / "all").mkdir()
        with pytest.raises(ExistsError, match="There is a all already"):
            viewer.layers.save(str(tmp_path / "all"))

        assert list((tmp_path / "all").iterdir()) == []

    def test_layers_that_are_no_picks_are_left_to_napari(self, viewer_in_window, tmp_path):
        viewer_in_window.add_points(np.ones((2, 2)), name="flat")
        viewer_in_window.add_points(np.ones((2, 3)), name="deep")
        viewer_in_window.layers.save(str(tmp_path / "napari"))
        assert {path.name for path in (tmp_path / "napari").iterdir()} == {"flat.csv", "deep.csv"}

        add_picks(viewer_in_window, "ribosomes")
        viewer_in_window.layers.save(str(tmp_path / "all"))
        assert {path.name for path in (tmp_path / "all").iterdir()} == {
            *("flat.csv", "deep.csv"),
            *("ribosomes.ndjson", "ribosomes.ndjson.provenance.json"),
        }


class TestByAPerson:
    """In napari's own dialog, which asks before it replaces the file whose name was typed."""

    @pytest.fixture
    def viewer(self, viewer_in_window):
        return viewer_in_window

    @pytest.fixture
    def save(self, monkeypatch, qtbot):
        """Save a layer as if somebody chose a name and a type; press a button of each question; give the questions."""

        def save(viewer, layer, path, kind, button=""):
            def choose(*_arguments, filter, **_options):  # noqa: A002 - as Qt calls it
                return str(path), next(each for each in filter.split(";;") if each.startswith(kind))

            def press():
                box = QApplication.activeModalWidget()
                if isinstance(box, QMessageBox):
                    asked.append(f"{box.text()} {box.informativeText()}")
                    next(each for each in box.buttons() if each.text().replace("&", "") == button).click()

            def act():
                try:
                    viewer.window._qt_viewer._save_layers_dialog(selected=True)
                except OSError as error:  # of napari, if it is given no file
                    done.append(error)
                else:
                    done.append(None)

            monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
            viewer.layers.selection = {layer}
            viewer.layers.selection.active = layer
            asked, done, timer = [], [], QTimer()
            timer.timeout.connect(press)
            timer.start(20)
            QTimer.singleShot(0, act)
            qtbot.waitUntil(lambda: bool(done))
            timer.stop()
            return asked

        return save

    @pytest.mark.parametrize("name", ["80S", "80S v. 2"])
    def test_picks_whose_name_has_no_ending_are_written_as_ndjson(self, viewer, tmp_path, save, name):
        save(viewer, add_picks(viewer), tmp_path / name, PICKS)

        np.testing.assert_allclose(read_picks(tmp_path / f"{name}.ndjson").rotations_zyx, ROTATIONS, atol=1e-9)
        assert not (tmp_path / name).exists()

    def test_masks_whose_name_has_no_ending_are_written_as_zarr(self, viewer, tmp_path, save):
        layer, mask = add_mask(viewer, tmp_path)
        save(viewer, layer, tmp_path / "mask", MASKS)

        np.testing.assert_array_equal(open_volume(tmp_path / "mask.zarr").read_planes(slice(0, 9)), mask)

    def test_an_ending_of_something_else_is_refused(self, viewer, tmp_path):
        for write, layer, name in (
            (write_points, add_picks(viewer), "a.xyz"),
            (write_labels, add_mask(viewer, tmp_path)[0], "a.tif"),
        ):
            with pytest.raises(SaveError, match=f"A name like {name}"):
                write(str(tmp_path / name), *layer.as_layer_data_tuple()[:2])

    @pytest.mark.parametrize(("button", "is_written"), [("Write", True), ("Cancel", False)])
    def test_what_the_file_wont_hold_is_said_before(self, viewer, tmp_path, save, button, is_written):
        asked = save(viewer, add_picks(viewer), tmp_path / "a.tbl", PICKS, button)

        assert "counted from 1" in asked[0]
        assert (tmp_path / "a.tbl").exists() is is_written

    @pytest.mark.parametrize(("button", "is_replaced"), [("Replace", True), ("Cancel", False)])
    def test_a_file_that_the_dialog_cant_have_seen_is_asked_about(self, viewer, tmp_path, save, button, is_replaced):
        (tmp_path / "a.ndjson").write_text("precious")
        asked = save(viewer, add_picks(viewer), tmp_path / "a", PICKS, button)

        assert asked[0].strip() == "There is a a.ndjson already. Replace it?"
        assert ((tmp_path / "a.ndjson").read_text() != "precious") is is_replaced
        assert ("Nothing was written." in messages()) is not is_replaced

    @pytest.mark.parametrize(("version", "is_given"), [("3.1", True), ("5", False)])
    def test_the_version_of_relion_is_asked_and_the_dialog_s_consent_counts(
        self, viewer, tmp_path, save, monkeypatch, version, is_given
    ):
        (tmp_path / "a.star").write_text("old")
        offered = []

        def choose(_parent, _title, _text, versions, *_more):
            offered.extend(versions)
            return version, is_given

        monkeypatch.setattr(QInputDialog, "getItem", choose)
        save(viewer, add_picks(viewer), tmp_path / "a.star", PICKS, "Write")

        assert offered == ["5", "4", "3.1"]
        text = (tmp_path / "a.star").read_text()
        assert "_rlnCenteredCoordinateXAngst" not in text
        assert ("_rlnCoordinateX" in text) is is_given
