"""napari's *Save as…*; tests/api/test_plugin.py covers the saved content."""

from __future__ import annotations

import npe2
import numpy as np
import pytest
from napari._qt.qt_viewer import QFileDialog
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QInputDialog, QMessageBox

from napari_cryoet._qt.layers.placement import PlacementError
from napari_cryoet._qt.viewer.adding import add_layers
from napari_cryoet.exceptions import ExistsError, SaveError
from napari_cryoet.formats.registry import read_picks
from napari_cryoet.layers.load import load_picks
from napari_cryoet.layers.specs import METADATA_KEY
from napari_cryoet.volumes import open_volume
from qt.two_picks import ROTATIONS, messages, two_picks

PLUGIN = "napari-cryoet"
WORLD = {"scale": (10.0,) * 3, "units": "angstrom"}


def add_picks(viewer, name="80S"):
    return add_layers(viewer, load_picks(two_picks(), name=name))[-1]


class TestSaveFromScript:
    @pytest.fixture
    def viewer(self, qtbot, viewer_model):
        npe2.PluginManager.instance().discover()
        return viewer_model

    def test_points_saved_with_their_arrows_keep_rotations(self, viewer, tmp_path):
        add_picks(viewer)
        viewer.layers.selection = set(viewer.layers)
        assert str(tmp_path / "a.star") in viewer.layers.save(
            str(tmp_path / "a.star"), selected=True
        )
        np.testing.assert_allclose(
            read_picks(tmp_path / "a.star").rotations_zyx, ROTATIONS, atol=1e-9
        )

        viewer.add_vectors(np.ones((2, 2, 3)), name="flow")
        with pytest.raises(SaveError, match="flow"):
            viewer.layers.save(str(tmp_path / "b.star"))
        assert not (tmp_path / "b.star").exists()

    def test_existing_files_are_not_replaced(self, viewer, tmp_path):
        layer = add_picks(viewer)
        (tmp_path / "a.ndjson").write_text("precious")
        for name in ("a", "a.ndjson"):
            for save in (
                lambda path: layer.save(path, plugin=PLUGIN),
                lambda path: npe2.write(path, [layer], plugin_name=PLUGIN),
            ):
                with pytest.raises(ExistsError, match="already"):
                    save(str(tmp_path / name))
        assert (tmp_path / "a.ndjson").read_text() == "precious"

    @pytest.mark.parametrize("ours_first", [True, False])
    def test_a_folder_receives_picks_and_masks_but_no_tomogram(
        self, viewer, tmp_path, monkeypatch, ours_first
    ):
        find = npe2.PluginManager.iter_compatible_writers
        monkeypatch.setattr(
            npe2.PluginManager,
            "iter_compatible_writers",
            lambda manager, kinds: sorted(
                find(manager, kinds),
                key=lambda writer: (writer.plugin_name == PLUGIN) != ours_first,
            ),
        )
        add_picks(viewer, "ribosomes")
        mask = np.zeros((9, 14, 21), dtype=np.int64)
        mask[4, 6, 8] = 1
        viewer.add_labels(mask, name="vesicles", **WORLD)
        viewer.add_image(
            np.zeros((4, 5, 6)), name="TS_1", metadata={METADATA_KEY: {"kind": "tomogram"}}, **WORLD
        )
        viewer.add_points(np.ones((2, 2)), name="flat")  # napari writes these
        written = viewer.layers.save(str(tmp_path / "all"))

        volume = open_volume(tmp_path / "all" / "vesicles.zarr")
        np.testing.assert_array_equal(volume.read_planes(slice(0, 9)), mask)
        assert {path.rsplit(".", 1)[1] for path in written} == {"ndjson", "zarr", "csv"}
        assert "TS_1 isn't written" in messages()

    def test_all_layers_are_saved_or_none(self, viewer, tmp_path):
        add_picks(viewer, "ribosomes")
        viewer.add_labels(np.ones((4, 5, 6), int), name="turned", rotate=(0, 0, 30), **WORLD)
        with pytest.raises(PlacementError, match="rotated"):
            viewer.layers.save(str(tmp_path / "all"))

        assert list(tmp_path.iterdir()) == []


class TestSaveDialog:
    """Tests with napari's own dialog, which asks before it replaces a file."""

    @pytest.fixture
    def save(self, viewer_in_window, monkeypatch, qtbot):
        """Save picks under a typed name, press a button of each dialog, and return the questions."""
        viewer = viewer_in_window

        def save(path, button=""):
            def choose(*_arguments, filter, **_options):  # noqa: A002 - as Qt calls it
                return str(path), next(
                    item for item in filter.split(";;") if item.startswith("CryoET Explorer")
                )

            def press():
                box = QApplication.activeModalWidget()
                if isinstance(box, QMessageBox):
                    questions.append(f"{box.text()} {box.informativeText()}")
                    next(
                        item for item in box.buttons() if item.text().replace("&", "") == button
                    ).click()

            def act():
                try:
                    viewer.window._qt_viewer._save_layers_dialog(selected=True)
                except OSError as error:  # from napari, if no file was written
                    done.append(error)
                else:
                    done.append(None)

            monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
            viewer.layers.selection = {add_picks(viewer)}
            questions, done, timer = [], [], QTimer()
            timer.timeout.connect(press)
            timer.start(20)
            QTimer.singleShot(0, act)
            qtbot.waitUntil(lambda: bool(done))
            timer.stop()
            return questions

        return save

    def test_a_name_without_a_suffix_is_saved_as_ndjson(self, tmp_path, save):
        save(tmp_path / "80S v. 2")

        np.testing.assert_allclose(
            read_picks(tmp_path / "80S v. 2.ndjson").rotations_zyx, ROTATIONS, atol=1e-9
        )
        assert not (tmp_path / "80S v. 2").exists()

    def test_losses_are_confirmed_before_writing(self, tmp_path, save):
        for button, is_written in (("Cancel", False), ("Write", True)):
            assert "counted from 1" in save(tmp_path / "a.tbl", button)[0]
            assert (tmp_path / "a.tbl").exists() is is_written

    def test_replacing_a_file_with_an_added_suffix_is_confirmed(self, tmp_path, save):
        (tmp_path / "a.ndjson").write_text("precious")
        for button, is_replaced in (("Cancel", False), ("Replace", True)):
            assert "a.ndjson" in save(tmp_path / "a", button)[0]
            assert ((tmp_path / "a.ndjson").read_text() != "precious") is is_replaced
            assert "Nothing was written." in messages()

    @pytest.mark.parametrize(("version", "is_given"), [("3.1", True), ("5", False)])
    def test_the_relion_version_is_asked_and_cancelling_keeps_the_file(
        self, tmp_path, save, monkeypatch, version, is_given
    ):
        (tmp_path / "a.star").write_text("old")
        monkeypatch.setattr(QInputDialog, "getItem", lambda *_what: (version, is_given))
        save(tmp_path / "a.star", "Write")

        assert ("_rlnCoordinateX" in (tmp_path / "a.star").read_text()) is is_given
